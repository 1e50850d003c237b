"""Rows with different seeds finished are compared by the seeds that both have."""

from __future__ import annotations

import numpy as np

from caffe_port.par.experiment.results import Row, _answers

TRUTH = (np.random.default_rng(0).random((30, 4)) < 0.5).astype(np.uint8)


def row(name: str, seeds: list[int], shift: float) -> Row:
    runs = [np.clip(TRUTH + np.random.default_rng(s).normal(0, shift, TRUTH.shape), 0, 1) for s in seeds]
    return Row(name, "v", "weighted", 2, {"mA": [0.5] * len(seeds)}, None, probabilities=runs, seeds=seeds)


def test_only_common_seeds_are_paired() -> None:
    whole, part = row("baseline", [1, 2, 3], 0.6), row("multi-task", [3], 0.6)
    (found,) = _answers("table1", [whole, part], TRUTH)
    assert found.ma.by_seed == (0.0,), "seed 3's runs are the same in both"
    assert _answers("table1", [whole, row("multi-task", [9], 0.6)], TRUTH) == []
