"""The table of real models: what it measures of a made model, and that MODELS.md is what the manifest says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

import converters
from caffe_port.errors import CaffeError
from converters import known_models
from tests.converters import nets
from tools import model_table

ROOT = Path(__file__).parents[2]
PRIORS = """
layer { name: "p" type: "PriorBox" bottom: "conv2" bottom: "data" top: "p"
  prior_box_param { min_size: 2.5 variance: 0.1 } }
layer { name: "sigmoid" type: "Sigmoid" bottom: "p" top: "q" }
"""
ENTRY = """
# a remark that stays
{name}:
  what: nothing
  source: here
  licence: none
  repository: some/one@0123abc
  file: net.caffemodel
  member: net.caffemodel
  sha256: {weights}
  prototxt: deploy.prototxt
  others: {{deploy.prototxt: {{member: deploy.prototxt, sha256: {text}}}}}
"""


@pytest.fixture
def desk(tmp_path: Path):
    """Puts a net into a manifest of its own, and measures it."""

    def measure(name: str, prototxt: str, weights_of: str = "") -> tuple[dict, str]:
        folder = tmp_path / "downloads" / name
        folder.mkdir(parents=True)
        converters.write(nets.model(weights_of or prototxt), folder / "net.caffemodel")
        (folder / "net.prototxt").unlink()
        (folder / "deploy.prototxt").write_text(prototxt, encoding="utf-8")
        sums = [hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in ("net.caffemodel", "deploy.prototxt")]
        manifest = tmp_path / "manifest.yaml"
        with manifest.open("a", encoding="utf-8") as file:
            file.write(ENTRY.format(name=name, weights=sums[0], text=sums[1]))
        model_table.main(
            ["--measure", name, f"--manifest={manifest}", f"--folder={folder.parent}", f"--out={tmp_path / 'M.md'}"]
        )
        held = yaml.safe_load(manifest.read_text(encoding="utf-8"))
        return held[name]["parity"], (tmp_path / "M.md").read_text(encoding="utf-8")

    return measure


def test_a_model_that_agrees(desk) -> None:
    found, page = desk("classic", nets.CLASSIC)
    assert found["format"] == "current" and found["layers"] == 9 and found["types"][:2] == ["Convolution", "Pooling"]
    assert found["onnx"] == found["source"] == model_table.YES and "prototxt" not in found
    for engine in ("opencv", "onnxruntime"):
        assert found[engine]["blobs"] == 9 and 0 < found[engine]["error"] < 1e-4 and "differs" not in found[engine]
    assert "| classic | current | 9: Convolution, Pooling, " in page and "1 agree with OpenCV" in page


def test_one_that_does_not_and_one_that_only_trains(desk) -> None:
    """A known deviation and a refusal become footnotes; a training net is read by others as the deploy net of it."""
    found, _ = desk("priors", nets.CLASSIC + PRIORS)
    assert found["opencv"]["known"] == {next(iter(found["opencv"]["known"])): 2} and "differs" not in found["opencv"]
    only = 'layer { name: "x" type: "Softmax" bottom: "fc8" top: "prob" include { phase: TRAIN } }'
    found, page = desk("trained", nets.CLASSIC + only, nets.CLASSIC)
    assert found["prototxt"] == "ours, of the training net" and found["opencv"]["blobs"] == 9
    assert "2 by its own rule [1]" in page and "[1] OpenCV keeps fractions" in page and "current [2]" in page


def test_the_manifest_is_changed_only_where_it_was_measured(tmp_path: Path) -> None:
    text = "# top\na:\n  what: x\n  parity:\n    old: {1: 2}\n    other: 3\nb:\n  what: y  # said\n"
    changed = model_table.with_parity(text, "a", {"new": [1, 2]})
    assert changed == "# top\na:\n  what: x\n  parity:\n    new: [1, 2]\nb:\n  what: y  # said\n"
    assert model_table.with_parity(changed, "b", {"z": 1}) == changed + "  parity: {z: 1}\n"
    assert model_table.with_parity(changed + "  parity: {z: 1}\n", "b", {"z": 1}) == changed + "  parity: {z: 1}\n"
    with pytest.raises(CaffeError, match="no entry 'c'"):
        model_table.with_parity(text, "c", {})


@pytest.mark.parametrize(("file", "form"), [("v1", "V1"), ("new", "current")])
def test_file_formats(file: str, form: str) -> None:
    assert model_table.file_format(ROOT / "tests" / "golden" / "weights" / f"{file}.caffemodel") == form


def test_the_file_format_of_a_shrunk_model(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV makes the file")
    converters.write(nets.model(nets.CLASSIC), tmp_path / "x.caffemodel")
    cv2.dnn.shrinkCaffeModel(str(tmp_path / "x.caffemodel"), str(tmp_path / "half.caffemodel"))
    assert model_table.file_format(tmp_path / "half.caffemodel") == "current, half precision"


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("refused: layer 'out' (DetectionOutput): operator TopK", "DetectionOutput: operator TopK"),
        ("cannot: layer_factory.hpp:81] Check failed: unknown layer (known types: A, B)", "Caffe: unknown layer"),
        ("cannot: error: OpenCV(4.14.0) /io/dnn/net.hpp:108: error: (-2:Unspecified) no layer", "OpenCV: no layer"),
    ],
)
def test_reasons_lose_what_only_one_model_has(reason: str, said: str) -> None:
    assert model_table._general(reason) == said


def test_models_md_is_what_the_manifest_says() -> None:
    models = known_models.read_manifest(ROOT / "weights" / "manifest.yaml").values()
    assert model_table.table(models) == (ROOT / "MODELS.md").read_text(encoding="utf-8"), (
        "run `python tools/model_table.py`"
    )
    measured = [model for model in models if model.parity]
    assert len(measured) >= 10 and any(model.parity["format"] == "V1" for model in measured)
