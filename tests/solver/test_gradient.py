"""Clipping, normalising and regularising diffs."""

from __future__ import annotations

import pytest
import torch

from caffe_port.errors import SolverError
from caffe_port.solver import gradient


def test_clip_scales_to_the_norm_over_all_diffs(capsys):
    diffs = [torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])]
    gradient.clip(diffs, 2.5)
    assert torch.allclose(diffs[0], torch.tensor([1.5, 0.0])) and torch.allclose(diffs[1], torch.tensor([[2.0]]))
    assert "sgd_solver.cpp:99] Gradient clipping: scaling down gradients (L2 norm 5 > 2.5) by scale factor 0.5" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("limit", [5.0, 7.0, -1.0])
def test_clip_leaves_what_is_within_the_limit(limit, capsys):
    diffs = [torch.tensor([3.0, 4.0])]
    gradient.clip(diffs, limit)
    assert diffs[0].tolist() == [3.0, 4.0] and not capsys.readouterr().err


def test_clip_to_zero():
    diffs = [torch.tensor([3.0, 4.0])]
    gradient.clip(diffs, 0.0)
    assert diffs[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("iter_size, expected", [(1, 6.0), (2, 3.0), (3, 2.0)])
def test_normalise(iter_size, expected):
    diffs = [torch.tensor([6.0])]
    gradient.normalise(diffs, iter_size)
    assert diffs[0].item() == pytest.approx(expected, rel=1e-7)


# kind, decays, diffs after: data are -2 and 3, diffs 1 and 1
REGULARISED = [
    ("L2", [0.5, 0.5], [0.0, 2.5]),
    ("L2", [0.5, 0.0], [0.0, 1.0]),
    ("L2", [0.0, 0.25], [1.0, 1.75]),
    ("L1", [0.5, 0.25], [0.5, 1.25]),
    ("none of these", [0.0, 0.0], [1.0, 1.0]),
]


@pytest.mark.parametrize("kind, decays, expected", REGULARISED)
def test_regularise(kind, decays, expected):
    diffs, data = [torch.tensor([1.0]), torch.tensor([1.0])], [torch.tensor([-2.0]), torch.tensor([3.0])]
    gradient.regularise(diffs, data, decays, kind)
    assert [d.item() for d in diffs] == expected
    assert [d.item() for d in data] == [-2.0, 3.0]


def test_l1_of_zero_is_zero():
    diffs = [torch.tensor([1.0])]
    gradient.regularise(diffs, [torch.tensor([0.0])], [0.5], "L1")
    assert diffs[0].item() == 1.0


def test_an_unknown_regularisation_is_refused():
    with pytest.raises(SolverError, match="unknown regularization_type 'L3'; known are L2, L1"):
        gradient.regularise([torch.ones(1)], [torch.ones(1)], [0.5], "L3")


def test_no_parameters():
    gradient.clip([], 1.0)
    gradient.normalise([], 2)
    gradient.regularise([], [], [], "L2")
