"""RAP and PETA as their owners give them out, the whole way: pseudo labels, databases, training, the measures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from caffe_port.par import run as runs
from caffe_port.par.datasets import open_dataset
from caffe_port.par.evaluate import evaluate
from caffe_port.par.network import generate
from caffe_port.par.parsing.pseudo import label_pictures, of_dataset
from caffe_port.par.prepare import prepare
from caffe_port.par.use.model import open_model
from tests.par import nets
from tests.par.trees import peta_struct, rap_struct, write_peta, write_rap


@pytest.mark.parametrize(
    ("name", "write", "attributes", "sizes"),
    [
        ("rap", lambda root: write_rap(root, rap_struct()), 51, (9, 3)),
        ("peta", lambda root: write_peta(root, peta_struct()), 35, (5, 4)),
    ],
)
def test_from_the_owners_layout_to_measures(tmp_path, name, write, attributes, sizes) -> None:
    dataset = open_dataset(name, write(tmp_path / "raw"), split=2)
    parser, weights = nets.parser(tmp_path / "parser", tmp_path / "no_data")
    label_pictures(of_dataset(dataset), open_model(parser / "deploy.prototxt", weights), tmp_path / "maps")
    summary = prepare(dataset, tmp_path / "data", size=(32, 16), segmentation_dir=tmp_path / "maps")
    assert [summary["splits"][s]["records"] for s in ("train", "test")] == list(sizes)
    assert all(summary["splits"][s]["without_segmentation"] == 0 for s in ("train", "test"))

    folder = tmp_path / "nets"
    folder.mkdir()
    files = generate(
        name, attributes, variant="multitask", loss="original", width=2, size=(32, 16), batch=3, folder=str(folder),
        data=str(tmp_path / "data"), train_images=sizes[0], test_images=sizes[1], joint_iterations=2, bn_fraction=0.5,
    )  # fmt: skip
    for file, text in files.items():
        (folder / file).write_text(text)
    final = runs.train(folder, tmp_path / "run", about={"data": str(tmp_path / "data")})[-1]
    result = evaluate(folder / "train_val.prototxt", final, tmp_path / "data")
    assert result.samples == sizes[1] and result.attributes == dataset.attributes
    order = np.sort(dataset.indices("test"))
    found = np.sort(result.truth.sum(1))
    np.testing.assert_array_equal(found, np.sort(dataset.labels[order].sum(1)))
    assert result.stages[2].segmentation is not None
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"] == str(tmp_path / "data")
