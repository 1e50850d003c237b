"""The fillers: their formulas, their statistics, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch

from caffe_port.errors import LayerError
from caffe_port.filler import fill
from caffe_port.proto import caffe_pb2, text


def filled(filler: str, shape: tuple[int, ...] = (60, 40, 3, 5)) -> torch.Tensor:
    torch.manual_seed(0)
    value = torch.zeros(shape)
    fill(value, text.parse(filler, caffe_pb2.FillerParameter).message)
    return value


UNIFORM = [  # filler, half width: fan-in 40*3*5 = 600, fan-out 60*3*5 = 900
    ('type: "uniform" min: -2 max: 2', 2.0),
    ('type: "xavier"', math.sqrt(3 / 600)),
    ('type: "xavier" variance_norm: FAN_OUT', math.sqrt(3 / 900)),
    ('type: "xavier" variance_norm: AVERAGE', math.sqrt(3 / 750)),
]


@pytest.mark.parametrize(("filler", "half"), UNIFORM)
def test_uniform_ones_reach_their_bounds(filler: str, half: float) -> None:
    value = filled(filler)
    assert -half <= float(value.min()) < -0.99 * half and 0.99 * half < float(value.max()) <= half


NORMAL = [
    ('type: "gaussian" mean: 1 std: 3', 1.0, 3.0),
    ('type: "msra"', 0.0, math.sqrt(2 / 600)),
    ('type: "msra" variance_norm: FAN_OUT', 0.0, math.sqrt(2 / 900)),
    ('type: "msra" variance_norm: AVERAGE', 0.0, math.sqrt(2 / 750)),
]


@pytest.mark.parametrize(("filler", "mean", "std"), NORMAL)
def test_normal_ones_have_their_moments(filler: str, mean: float, std: float) -> None:
    value = filled(filler)
    assert float(value.mean()) == pytest.approx(mean, abs=0.03 * std)
    assert float(value.std()) == pytest.approx(std, rel=0.02)


def test_sparse_gaussian_keeps_that_share_of_the_inputs() -> None:
    value = filled('type: "gaussian" std: 1 sparse: 10', (100, 500))
    assert float((value != 0).float().mean()) == pytest.approx(0.1, abs=0.005)


def test_constant_and_unitball() -> None:
    assert filled("value: 2.5").unique().tolist() == [2.5]
    rows = filled('type: "positive_unitball"').view(60, -1).sum(1)
    torch.testing.assert_close(rows, torch.ones(60))


BILINEAR = {3: [0.5, 1.0, 0.5], 4: [0.25, 0.75, 0.75, 0.25], 5: [1 / 3, 2 / 3, 1.0, 2 / 3, 1 / 3]}


@pytest.mark.parametrize("size", BILINEAR)
def test_bilinear_is_caffes_tent(size: int) -> None:
    line = torch.tensor(BILINEAR[size])
    torch.testing.assert_close(filled('type: "bilinear"', (2, 3, size, size))[1, 2], torch.outer(line, line))


BAD = [
    ('type: "xaver"', (2, 3), "unknown filler type 'xaver'"),
    ('type: "bilinear"', (2, 3), "bilinear needs a blob of 4 axes"),
    ('type: "bilinear"', (1, 1, 3, 4), "square"),
    ('type: "uniform" sparse: 3', (2, 3), "sparse is an option of the gaussian filler only"),
]


@pytest.mark.parametrize(("filler", "shape", "message"), BAD)
def test_what_fillers_refuse(filler: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(LayerError, match=message):
        filled(filler, shape)
