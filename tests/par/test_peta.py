"""PETA's reader on small trees in its layout: the right columns, the splits, and a clear word for every wrong tree."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from caffe_port.errors import DataError
from caffe_port.par.datasets.peta import Peta
from caffe_port.par.datasets.published import differences, published
from tests.par.trees import cells, peta_struct, write_peta


def test_published_facts():
    rows = published("peta")
    assert len(rows) == 35 and rows[0].name == "personalLess30" and rows[-1].name == "upperBodyVNeck"
    assert rows[16].rate_all == 0.54847 and rows[16].rate_train == 0.55158
    assert published("drawn") == []


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("split", [1, 5])
def test_reads(tmp_path, suffix, split):
    struct = peta_struct()
    d = Peta(write_peta(tmp_path, struct, suffix), split=split)
    assert d.attributes == [p.name for p in published("peta")]
    np.testing.assert_array_equal(d.labels, struct["data"][:, 4:39])  # columns 5..39 of data, counted from 1
    wanted = struct["partion_attribute"][split - 1, 0]
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(d.splits[part], wanted[part].ravel() - 1)
    np.testing.assert_array_equal(d.positive_rates(), d.labels[d.splits["train"]].mean(0))
    sample = d.read(3, (16, 8))
    assert sample.key == "00004" and sample.image.shape == (16, 8, 3) and sample.segmentation is None
    assert len(d.classes) == 20 and d.notes == ["10 records; the published PETA has 19000"]


def test_what_is_not_as_published_is_said():
    names = [p.name for p in published("peta")]
    rates = [p.rate_all for p in published("peta")]
    whole = (np.arange(19000)[:, None] < np.rint(np.array(rates) * 19000)).astype(np.uint8)
    assert differences("peta", names, whole) == []
    changed = whole.copy()
    changed[:190, 34] = 1 - changed[:190, 34]
    said = "other positive rates than published, by up to 1.00 points (upperBodyVNeck)"
    assert differences("peta", names, changed) == [said]
    assert "first: 'x', 'personalLess45'" in differences("peta", [names[0], "x", *names[2:]], whole)[0]


def drop_field(struct):
    del struct["selected_attribute"]


def split_out_of_range(struct):
    struct["partion_attribute"][0, 0]["test"][0, 1] = 11


def split_zero(struct):
    struct["partion_attribute"][0, 0]["train"][0, 0] = 0


def split_twice(struct):
    row = struct["partion_attribute"][0, 0]["train"]
    row[0, 1] = row[0, 0]


def split_overlap(struct):
    parts = struct["partion_attribute"][0, 0]
    parts["test"][0, 0] = parts["train"][0, 0]


def split_part_missing(struct):
    del struct["partion_attribute"][0, 0]["val"]


def label_of_two(struct):
    struct["data"][2, 6] = 2


def selected_as_numbers(struct):
    struct["selected_attribute"] = np.arange(1, 36, dtype=np.uint8)[None]


def too_few_columns(struct):
    struct["data"] = struct["data"][:, :90]


def names_are_numbers(struct):
    struct["attribute"] = cells([1.0] * 105)


def fractions(struct):
    struct["partion_attribute"][0, 0]["train"] = np.array([[1.5, 2.0]])


@pytest.mark.parametrize(
    "harm, message",
    [
        (drop_field, "field 'selected_attribute' is missing; there are data, attribute, partion_attribute"),
        (split_out_of_range, r"split 1, test: entry 2 is record 11, outside 1\.\.10"),
        (split_zero, r"train: entry 1 is record 0, outside 1\.\.10"),
        (split_twice, "split 1, train names a record twice"),
        (split_overlap, "is in test and in train"),
        (split_part_missing, "field 'val' is missing"),
        (label_of_two, "row 3, column 3, is 2; it may be 0, 1"),
        (selected_as_numbers, r"selected_attribute names columns 1\.\.35 of data; attributes are the columns 5\.\.109"),
        (too_few_columns, "expected numbers in 109 columns or more"),
        (names_are_numbers, "attribute, cell 1, is not a text"),
        (fractions, "not whole"),
    ],
)
def test_wrong_trees(tmp_path, harm, message):
    struct = peta_struct()
    harm(struct)
    with pytest.raises(DataError, match=message):
        Peta(write_peta(tmp_path, struct))


def test_split_number(tmp_path):
    root = write_peta(tmp_path, peta_struct())
    with pytest.raises(DataError, match=r"no split 6; there are 1\.\.5"):
        Peta(root, split=6)


def test_missing_pictures(tmp_path):
    struct = peta_struct()
    root = write_peta(tmp_path, struct)
    first = int(struct["partion_attribute"][0, 0]["train"][0, 0])
    (root / "images" / f"{first:05d}.png").unlink()
    with pytest.raises(DataError, match=f"1 of 10 pictures are missing .*{first:05d}.*--option missing=skip"):
        Peta(root)
    d = Peta(root, missing="skip")
    assert len(d.splits["train"]) == 4 and first - 1 not in d.splits["train"] and "left out" in d.notes[0]


def test_damaged_picture(tmp_path):
    root = write_peta(tmp_path, peta_struct())
    (root / "images" / "00002.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match="peta: '00002': picture .* cannot be read"):
        Peta(root).read(1)


def test_no_folder_of_pictures(tmp_path):
    scipy.io.savemat(tmp_path / "PETA.mat", {"peta": peta_struct()})
    with pytest.raises(DataError, match="folder of pictures .* is missing"):
        Peta(tmp_path)


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "PETA.mat is missing"),
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64" + b" " * 474 + b"\x89HDF\r\n\x1a\n", "file of version 7.3"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 600, "file of version 7.3"),
        (b"", "not a readable MAT file"),
        (b"<!DOCTYPE html><html>" * 20, "not a readable MAT file"),
    ],
)
def test_other_files(tmp_path, content, message):
    if content is not None:
        (tmp_path / "PETA.mat").write_bytes(content)
    with pytest.raises(DataError, match=message):
        Peta(tmp_path)


def test_other_versions_and_variables(tmp_path):
    scipy.io.savemat(tmp_path / "PETA.mat", {"peta": np.eye(3)}, format="4")
    with pytest.raises(DataError, match="field 'attribute' is missing; there are no fields"):
        Peta(tmp_path)
    scipy.io.savemat(tmp_path / "PETA.mat", {"other": np.eye(3)})
    with pytest.raises(DataError, match="no variable 'peta'; it holds other"):
        Peta(tmp_path)
    write_peta(tmp_path, peta_struct())
    whole = (tmp_path / "PETA.mat").read_bytes()
    (tmp_path / "PETA.mat").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="PETA.mat"):
        Peta(tmp_path)


@pytest.mark.parametrize("count", [34, 36])
def test_other_numbers_of_attributes_are_told(count) -> None:
    names = [*(p.name for p in published("peta")), "more"][:count]
    (said,) = differences("peta", names, np.zeros((19000, count), np.uint8))
    assert said == f"{count} attributes; the published PETA is evaluated on 35"
