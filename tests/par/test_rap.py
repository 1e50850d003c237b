"""RAP's reader on small trees in the published layout: 51 of 92 columns, unclear labels, wrong trees."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from caffe_port.errors import DataError
from caffe_port.par.datasets.base import IGNORE
from caffe_port.par.datasets.published import published
from caffe_port.par.datasets.rap import Rap
from caffe_port.par.prepare import prepare
from tests.par.trees import cells, rap_struct, write_rap


def test_published_facts():
    rows = published("rap")
    assert len(rows) == 51 and (rows[0].name, rows[0].rate_train) == ("Female", 0.30699)
    assert (rows[-1].name, rows[-1].rate_all) == ("action-CarrybyHand", 0.12892)


@pytest.mark.parametrize("split", [1, 4])
def test_reads(tmp_path, split):
    struct = rap_struct()
    d = Rap(write_rap(tmp_path, struct), split=split)
    assert d.attributes == [p.name for p in published("rap")]
    np.testing.assert_array_equal(d.labels, struct["label"][:, :51] == 1)  # 2 is not positive
    wanted = struct["partion"][split - 1, 0]
    np.testing.assert_array_equal(d.splits["train"], wanted["train_index"].ravel() - 1)
    np.testing.assert_array_equal(d.splits["test"], wanted["test_index"].ravel() - 1)
    np.testing.assert_array_equal(d.positive_rates("test"), d.labels[d.splits["test"]].mean(0))
    assert d.read(2).key == "CAM02-2014_frame2-line1" and "2 labels of 2 (unclear) taken as negative" in d.notes[0]


def test_unclear_as_not_known(tmp_path):
    struct = rap_struct()
    d = Rap(write_rap(tmp_path, struct), unclear="ignore")
    assert d.labels[3, 2] == IGNORE and d.labels[5, 50] == IGNORE and (d.labels == IGNORE).sum() == 2
    train = d.labels[d.splits["train"]][:, 2]
    assert d.positive_rates()[2] == (train == 1).sum() / (train != IGNORE).sum()
    with pytest.raises(DataError, match="unclear is 'maybe'"):
        Rap(tmp_path, unclear="maybe")


def test_images_folder_under_another_name(tmp_path):
    root = write_rap(tmp_path, rap_struct())
    (root / "RAP_dataset").rename(root / "images")
    (root / "RAP_annotation").mkdir()
    (root / "RAP_annotation.mat").rename(root / "RAP_annotation" / "RAP_annotation.mat")
    assert Rap(root).read(0).image.shape == (40, 20, 3)


def test_prepare(tmp_path):
    summary = prepare(Rap(write_rap(tmp_path / "rap", rap_struct())), tmp_path / "out", (32, 16))
    assert summary["splits"]["train"]["records"] == 9 and summary["splits"]["test"]["without_segmentation"] == 3
    lines = (tmp_path / "out" / "positive_rates.txt").read_text().splitlines()
    assert len(lines) == 51 and lines[0].startswith("Female,")


def label_of_three(struct):
    struct["label"][6, 10] = 3


def out_of_range(struct):
    struct["partion"][0, 0]["test_index"][0, 0] = 13


def overlap(struct):
    struct["partion"][0, 0]["test_index"][0, 0] = struct["partion"][0, 0]["train_index"][0, 0]


def few_names(struct):
    struct["attribute_eng"] = cells(["x"] * 50)


def few_columns(struct):
    struct["label"] = struct["label"][:, :50]


def few_pictures(struct):
    struct["imagesname"] = struct["imagesname"][:-1]


def empty_name(struct):
    struct["imagesname"][4, 0] = ""


def empty_cell(struct):
    struct["imagesname"][4, 0] = np.zeros((0, 0))


def same_attribute(struct):
    struct["attribute_eng"][7, 0] = struct["attribute_eng"][2, 0]


def same_picture(struct):
    struct["imagesname"][7, 0] = struct["imagesname"][2, 0]


def no_partition(struct):
    del struct["partion"]


@pytest.mark.parametrize(
    "harm, message",
    [
        (label_of_three, "label, row 7, column 11, is 3; it may be 0, 1, 2"),
        (out_of_range, r"test_index: entry 1 is record 13, outside 1\.\.12"),
        (overlap, "is in test and in train"),
        (few_names, "attribute_eng has 50 names, the evaluation needs the first 51"),
        (few_columns, "expected numbers in 51 columns or more"),
        (few_pictures, "imagesname has 11 names but label 12 rows"),
        (empty_name, "imagesname, cell 5, is empty"),
        (empty_cell, "imagesname, cell 5, is not a text"),
        (same_attribute, f"rap: two attributes are called '{published('rap')[2].name}'"),
        (same_picture, "rap: two records are called 'CAM02-2014_frame2-line1'"),
        (no_partition, "field 'partion' is missing"),
    ],
)
def test_wrong_trees(tmp_path, harm, message):
    root, struct = write_rap(tmp_path, rap_struct()), rap_struct()
    harm(struct)
    scipy.io.savemat(root / "RAP_annotation.mat", {"RAP_annotation": struct})
    with pytest.raises(DataError, match=message):
        Rap(root)


def test_missing_pictures(tmp_path):
    struct = rap_struct()
    root = write_rap(tmp_path, struct)
    gone = int(struct["partion"][0, 0]["test_index"][0, 1]) - 1
    (root / "RAP_dataset" / struct["imagesname"][gone, 0]).unlink()
    with pytest.raises(DataError, match="1 of 12 pictures are missing"):
        Rap(root)
    assert len(Rap(root, missing="skip").splits["test"]) == 2


@pytest.mark.parametrize("split", ["one", 1.5, (1, 2)])
def test_a_split_that_is_no_number_is_refused(split, tmp_path) -> None:
    """As `--option split=one` gives it."""
    with pytest.raises(DataError, match="there is no split"):
        Rap(write_rap(tmp_path, rap_struct()), split=split)


def test_a_sparse_matrix_of_labels_is_read(tmp_path) -> None:
    struct = rap_struct()
    full = Rap(write_rap(tmp_path / "full", struct)).labels
    struct["label"] = scipy.sparse.csc_matrix(struct["label"].astype(float))
    np.testing.assert_array_equal(Rap(write_rap(tmp_path / "sparse", struct)).labels, full)
