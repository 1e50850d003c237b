"""Validation: engines side by side, the first layer that parts, what is known of the others, and the reports."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import converters
from caffe_port.errors import ConvertError
from converters.compare import difference
from converters.engines import all_engines
from converters.validate import DIFFERS, KNOWN, SAME, format_table, validate
from converters.validate_page import html
from tests.converters import nets

LRN_K = nets.CLASSIC.replace("beta: 0.75", "beta: 0.75 k: 2")


@pytest.mark.parametrize("prototxt", [nets.CLASSIC, nets.RESIDUAL], ids=["classic", "residual"])
def test_engines_agree_at_every_value(prototxt: str) -> None:
    result = validate(nets.model(prototxt), against=["islands", "onnxruntime", "opencv"])
    assert result.ok, format_table(result)
    depth = len({row.value for row in result.of("islands")})
    assert depth >= 9 and len(result.of("onnxruntime")) == depth and len(result.of("opencv")) >= depth - 1
    assert [row.depth for row in result.rows] == sorted(row.depth for row in result.rows)
    assert {"conv1@1", "conv@3"} & {row.value for row in result.of("opencv")}


def test_gradients_of_our_two_drivers() -> None:
    result = validate(nets.model(nets.RESIDUAL), against=["islands"], gradients=True)
    assert result.ok, format_table(result)
    compared = {row.value for row in result.of("islands", gradient=True)}
    assert {"x", "conv", "conv.weight", "scale.bias", "logit.weight"} <= compared


def test_from_files_with_a_batch_size_and_arrays(tmp_path: Path) -> None:
    converters.write(nets.model(nets.CLASSIC), tmp_path / "x.caffemodel")
    pair = tmp_path / "x.prototxt", tmp_path / "x.caffemodel"
    assert validate(*pair, against=["islands"], batch=5).inputs == {"data": (5, 3, 17, 15)}
    given = {"data": np.ones((1, 3, 17, 15))}
    assert validate(*pair, against=["opencv"], inputs=given).ok
    assert validate(tmp_path / "x.caffemodel", against=["onnxruntime"]).ok


SLICED = """
name: "sliced"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 6 dim: 5 dim: 4 } } }
layer { name: "cut" type: "Slice" bottom: "x" top: "a" top: "b" top: "c" }
layer { name: "conv_b" type: "Convolution" bottom: "b" top: "conv_b" convolution_param { num_output: 3 kernel_size: 3
  weight_filler { type: "msra" } } }
layer { name: "conv_c" type: "Convolution" bottom: "c" top: "conv_c" convolution_param { num_output: 4 kernel_size: 3
  weight_filler { type: "msra" } } }
layer { name: "sum_a" type: "Convolution" bottom: "a" top: "sum_a" convolution_param { num_output: 5 kernel_size: 3
  weight_filler { type: "msra" } } }
layer { name: "cat" type: "Concat" bottom: "sum_a" bottom: "conv_b" bottom: "conv_c" top: "cat" }
"""


def test_every_top_of_a_layer_with_several_is_opencvs_own() -> None:
    result = validate(nets.model(SLICED), against=["opencv"])
    assert result.ok, format_table(result)
    assert {"a", "b", "c", "cat"} <= {row.value for row in result.of("opencv")}


TRAIN_ONLY = """
layer { name: "again" type: "Softmax" bottom: "fc8" top: "prob" include { phase: TRAIN } }
"""


def test_original_files_reach_the_engines_that_read_them(tmp_path: Path) -> None:
    """OpenCV does not filter by phase: it can read what we make of such a file, and not the file itself."""
    converters.write(nets.model(nets.CLASSIC), tmp_path / "x.caffemodel")
    pair = tmp_path / "x.prototxt", tmp_path / "x.caffemodel"
    assert validate(*pair, against=["opencv"], original=True).ok
    pair[0].write_text(pair[0].read_text() + TRAIN_ONLY, encoding="utf-8")
    assert validate(*pair, against=["opencv"]).ok
    failed = validate(*pair, against=["opencv"], original=True)
    assert not failed.ok and "Duplicate" in failed.engines[-1].failed
    with pytest.raises(ConvertError, match=r"a prototxt and its \.caffemodel; give both"):
        validate(pair[1], against=["opencv"], original=True)


class Broken:
    """An engine that is right but for one layer."""

    name = "broken"

    def __init__(self, at: str) -> None:
        self.at = at

    def why_not(self, case):
        return None

    def version(self, case):
        return "1"

    def run(self, case):
        values = all_engines()["functional"].run(case)
        return {id: v * 1.5 if id == self.at else v for id, v in values.items()}


@pytest.mark.parametrize("at", ["conv", "conv@2", "map"])
def test_the_first_differing_layer_is_named(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = all_engines() | {"broken": Broken(at)}
    monkeypatch.setattr("converters.validate.all_engines", lambda: engines)
    result = validate(nets.model(nets.RESIDUAL), against=["broken"])
    first = result.first_diverging("broken")
    assert not result.ok and first is not None and first.value == at
    assert first.difference.relative == pytest.approx(0.5, rel=1e-5)
    assert f"first differs at layer '{first.layer}'" in format_table(result)


def test_what_opencv_is_known_to_do_is_labelled_as_its_own() -> None:
    result = validate(nets.model(LRN_K), against=["opencv", "onnxruntime"])
    rows = {row.value: row for row in result.of("opencv")}
    assert result.ok and rows["conv1@1"].verdict == SAME
    assert rows["norm1"].verdict == KNOWN and "LRN's k" in rows["norm1"].note
    assert rows["pool1"].verdict == KNOWN and rows["pool1"].note.startswith("follows from")
    assert all(row.verdict == SAME for row in result.of("onnxruntime"))


def test_a_known_deviation_explains_the_diffs_that_it_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Diffs flow up from the layer, and from what computes from its values; the branch beside it has no excuse."""
    text = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 6 dim: 5 dim: 4 } } }
layer { name: "up" type: "Power" bottom: "x" top: "up" power_param { scale: 2 } }
layer { name: "lrn" type: "LRN" bottom: "up" top: "lrn" lrn_param { k: 2 } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "beside" type: "TanH" bottom: "y" top: "beside" }"""

    class Wrong(Broken):
        name = "opencv"

        def gradients(self, case):
            return {name: diff * 2 for name, diff in all_engines()["functional"].gradients(case).items()}

    monkeypatch.setattr("converters.validate.all_engines", lambda: all_engines() | {"opencv": Wrong("lrn")})
    result = validate(nets.model(text), against=["opencv"], gradients=True)
    verdicts = {row.value: row.verdict for row in result.of("opencv", gradient=True)}
    assert verdicts == {"x": KNOWN, "up": KNOWN, "lrn": KNOWN, "y": DIFFERS, "beside": DIFFERS}
    assert not result.ok


def test_a_genuine_caffe_that_is_not_there() -> None:
    result = validate(nets.model(nets.SHARED))
    run = next(e for e in result.engines if e.name == "caffe")
    assert run.absent or run.values  # whoever has one may
    with pytest.raises(ConvertError, match="engine caffe: no genuine Caffe in"):
        validate(nets.model(nets.SHARED), against=["caffe"], caffe_python=str(Path(sys.prefix) / "no-such-python"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"against": ["tensorflow"]}, "no engine is called tensorflow; there are .*onnxruntime"),
        ({"inputs": {"a": np.ones((2, 6))}}, "no array is given for input b"),
        ({"inputs": {"a": np.ones((2, 6)), "c": np.ones(3)}}, "no input is called 'c'"),
    ],
)
def test_calls_that_cannot_be(options: dict, message: str) -> None:
    with pytest.raises(ConvertError, match=message):
        validate(nets.model(nets.SHARED), **options)


def test_reports() -> None:
    result = validate(nets.model(LRN_K), against=["islands", "opencv"])
    held = json.loads(result.to_json())
    assert held["ok"] is True and {e["name"] for e in held["engines"]} == {"functional", "islands", "opencv"}
    assert held["rows"][0]["difference"]["cosine"] == pytest.approx(1)
    page = html(result)
    assert page.count("<circle") == len(result.rows) and "http" not in page and "known" in page
    every = format_table(result, every=True)
    assert all(f" {row.value} " in every for row in result.rows) and " conv1 " not in format_table(result)


@pytest.mark.parametrize(
    ("ours", "theirs", "relative", "index"),
    [
        ([[1, 2], [3, 4]], [[1, 2], [3.5, 4]], 0.125, (1, 0)),
        ([0, 0], [0, 0.5], 0.5, (1,)),
        ([np.nan, np.inf, 2], [np.nan, np.inf, 2], 0, (0,)),
        ([1, 2], [1, np.nan], np.inf, (1,)),
        ([np.inf, 2], [-np.inf, 2], np.inf, (0,)),
        ([1, 2, 3], [1, 2], np.inf, ()),
        ([[1], [2]], [1, 2], 0, (0, 0)),
        ([], [], 0, ()),
    ],
)
def test_difference(ours, theirs, relative: float, index: tuple) -> None:
    got = difference(np.array(ours, np.float32), np.array(theirs, np.float32))
    assert got.relative == relative and got.index == index


def test_verdicts_are_words() -> None:
    assert {SAME, KNOWN, DIFFERS} == {"same", "known", "differs"}
