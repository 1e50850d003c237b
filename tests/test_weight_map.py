"""Weight maps: the form, what it refuses, and biases; the maps of the project are tested with what they map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe_port import weight_map
from caffe_port.errors import WeightsError
from caffe_port.proto.binary import LayerBlobs

MAPS = Path(__file__).parents[1] / "weights/maps"


def layer(name: str, *shapes: tuple[int, ...], type: str = "Convolution") -> LayerBlobs:
    rng = np.random.default_rng(len(name))
    return LayerBlobs(name, type, [rng.standard_normal(shape, np.float32) for shape in shapes])


def pairs(content: dict[str, Any]) -> list[tuple[str, str]]:
    return [(pair.source, pair.target) for pair in weight_map.parse(content).pairs]


def test_variables_stand_for_a_text_on_each_side() -> None:
    content = {
        "for": {"block": {"layer1.0": "2a", "layer1.1": "2b"}, "branch": ["", "_seg"]},
        "rules": [{"from": "{block}.conv", "to": "res{block}{branch}"}, {"from": ["a", "b"], "to": "c"}],
    }
    there = [("layer1.0.conv", "res2a"), ("layer1.0.conv", "res2a_seg"), ("layer1.1.conv", "res2b")]
    there += [("layer1.1.conv", "res2b_seg"), ("a", "c"), ("b", "c")]
    assert pairs(content) == there
    back = weight_map.parse(content).reversed()
    assert [(p.source, p.target) for p in back.pairs] == [(b, a) for a, b in there]
    assert back.reversed().pairs == weight_map.parse(content).pairs


@pytest.mark.parametrize("path", sorted(MAPS.iterdir()), ids=lambda p: p.stem)
def test_the_maps_of_the_project_are_maps_both_ways(path: Path) -> None:
    there = weight_map.read(path)
    assert len(there.pairs) > 100 and there.reversed().reversed().pairs == there.pairs


NORM = {"rules": [{"from": "a", "to": "x", "bias_into": "bn"}, {"from": "bn", "to": "y"}]}


@pytest.mark.parametrize(
    ("given", "wanted", "blobs"), [(2, None, 1), (2, 1, 1), (2, 2, 2), (1, 2, 2), (1, 1, 1), (1, None, 1)]
)
def test_a_bias_on_one_side_only(given: int, wanted: int | None, blobs: int) -> None:
    norm = layer("bn", (4,), (4,), (1,), type="BatchNorm")
    source = [layer("a", *[(4, 2, 1, 1), (4,)][:given]), norm]
    only = None if wanted is None else {"x": wanted, "y": 3}
    made = {m.name: m for m in weight_map.apply(weight_map.parse(NORM), source, only).layers}
    assert len(made["x"].blobs) == blobs
    moved = norm.blobs[0] - (source[0].blobs[1] * norm.blobs[2] if given > blobs else 0)
    np.testing.assert_allclose(made["y"].blobs[0], moved, rtol=1e-6)
    if blobs > given:
        assert not made["x"].blobs[1].any()


def test_a_bias_behind_which_there_are_no_statistics_yet() -> None:
    norm = layer("bn", (4,), (4,), (1,), type="BatchNorm")
    norm.blobs[2][:] = 0
    with pytest.raises(WeightsError, match="'bn' has statistics of nothing"):
        weight_map.apply(weight_map.parse(NORM), [layer("a", (4, 2, 1, 1), (4,)), norm])


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"rules": [{"from": ["a", "b"], "to": "c"}]}, "both 'a' and 'b' go to 'c'"),
    ({"rules": [{"from": "a", "to": "c", "bias_into": "b"}]}, "'a' has a bias, but 'b'"),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_maps_that_do_not_fit_are_refused(content: dict[str, Any], message: str) -> None:
    given = [layer("a", (1, 1, 1, 1), (1,)), layer("b", (1, 1, 1, 1), (2,))]
    with pytest.raises(WeightsError, match=message):
        weight_map.apply(weight_map.parse(content), given)


FILES = [
    ("[]", "a list called 'rules'"),
    ("rules: []\nlabels: 3", "unknown entries"),
    ("rules: [{from: a}]", "must have"),
    ("rules: [{from: a, to: 3}]", "'to' must be a text"),
    ("rules: [{from: '{x}', to: b}]", "'for' has no x"),
    ("for: {x: [1.5]}\nrules: []", "must have texts"),
    (f"for: {{x: &x [{'a, ' * 399} a], y: *x}}\nrules: [{{from: '{{x}}{{y}}', to: b}}]", "more than 100000 pairs"),
    ("rules: []\nchanges: [{layers: a, set: 'no_such_param { x: 1 }'}]", "the change"),
    ("rules: []\ninput: {layer: a, source: {channels: RGB, std: [1, 1]}, target: {channels: R, std: 1}}", "std is"),
    ("rules: []\nprototxt: /etc/passwd", "begins at the map's folder"),
    ("rules: !!python/object/apply:os.system [ls]", "not a weight map"),
    ("rules: [", "not a weight map"),
]


@pytest.mark.parametrize(("content", "message"), FILES)
def test_bad_map_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(content)
    with pytest.raises(WeightsError, match=message):
        weight_map.read(path)
