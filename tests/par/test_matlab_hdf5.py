"""MAT files of version 7.3 give what version 5 gives, for every data set that has such files; damaged ones are told."""

from __future__ import annotations

import itertools
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from caffe_port.errors import DataError
from caffe_port.par.datasets import matlab, matlab_hdf5, open_dataset
from tests.par import mat73
from tests.par.trees import cells, peta_struct, rap_struct, write_ccp, write_peta, write_rap

TAGS = ["null", "hat", "dress", "bag", "skin"]


def as_73(root: Path) -> None:
    """Every MAT file below the folder anew, as version 7.3."""
    for path in sorted(root.rglob("*.mat")):
        content = scipy.io.loadmat(str(path))
        mat73.savemat(path, {n: plain(v) for n, v in content.items() if not n.startswith("__")})


def plain(value: np.ndarray):
    """scipy's structs as dicts and its texts as str, which is what both writers take."""
    if value.dtype.names:
        return {name: plain(value[name][0, 0]) for name in value.dtype.names}
    if value.dtype == object:
        out = np.empty(value.shape, object)
        out.reshape(-1)[:] = [None] * value.size
        for i, cell in enumerate(value.ravel()):
            out.reshape(-1)[i] = plain(cell)
        return out
    return str(value[0]) if value.dtype.kind == "U" and value.size else value


@pytest.mark.parametrize(
    "name, write, options",
    [
        ("rap", lambda root: write_rap(root, rap_struct()), {"split": 3, "unclear": "ignore"}),
        ("peta", lambda root: write_peta(root, peta_struct()), {"split": 2}),
        ("ccp", lambda root: write_ccp(root, TAGS), {"weak": True, "classes": "ccp"}),
    ],
)
def test_equals_version_5(tmp_path, name, write, options):
    root = write(tmp_path)
    before = open_dataset(name, root, **options)
    as_73(root)
    assert (path := next(root.rglob("*.mat"))).read_bytes()[:10] == b"MATLAB 7.3" and h5py.is_hdf5(path)
    after = open_dataset(name, root, **options)
    assert (after.attributes, after.keys, after.notes) == (before.attributes, before.keys, before.notes)
    np.testing.assert_array_equal(after.labels, before.labels)
    assert {k: v.tolist() for k, v in after.splits.items()} == {k: v.tolist() for k, v in before.splits.items()}
    for ours, theirs in zip(after.samples("train"), before.samples("train"), strict=True):
        np.testing.assert_array_equal(ours.image, theirs.image)
        np.testing.assert_array_equal(ours.segmentation, theirs.segmentation)


VALUES = {
    "numbers": np.arange(6, dtype=np.float64).reshape(2, 3),
    "bytes": np.arange(6, dtype=np.uint8).reshape(3, 2),
    "yes": np.array([[True, False, True]]),
    "text": "straße 東京 👟",
    "nothing": np.zeros((0, 5)),
    "no_cells": np.zeros((0, 0), object),
    "table": np.array([["a", "bcd", ""], ["é", "f", np.zeros((1, 2))]], object),
    "inner": {"x": np.ones((1, 1)), "y": cells(["p", "q"])},
}


@pytest.mark.parametrize("field", VALUES)
def test_values(tmp_path, field):
    """Field by field what scipy makes of its own file."""
    scipy.io.savemat(tmp_path / "5.mat", {"s": VALUES})
    mat73.savemat(tmp_path / "73.mat", {"s": VALUES})
    theirs, ours = (matlab.load(tmp_path / name, "s")[field][0, 0] for name in ("5.mat", "73.mat"))
    same(ours, theirs)


def same(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape and ours.dtype.names == theirs.dtype.names
    if theirs.dtype.names:
        for name in theirs.dtype.names:
            same(ours[name], theirs[name])
    elif theirs.dtype == object:
        for a, b in zip(ours.ravel(), theirs.ravel(), strict=True):
            same(a, b)
    else:
        np.testing.assert_array_equal(ours, theirs)


def test_struct_arrays(tmp_path):
    """A 1 x 2 struct array: a dataset of references a field, without a class."""
    mat73.savemat(tmp_path / "a.mat", {"s": {"x": cells([np.eye(2), np.eye(3)], False), "y": cells(["p", "q"], False)}})
    with h5py.File(tmp_path / "a.mat", "r+") as file:
        for field in file["s"].values():
            del field.attrs["MATLAB_class"]
    found = matlab.load(tmp_path / "a.mat", "s")
    assert found.shape == (1, 2) and found["y"][0, 1].tolist() == ["q"]
    np.testing.assert_array_equal(found["x"][0, 0], np.eye(2))


def itself(file):
    loop = file["#refs#"].create_dataset("loop", (1, 1), h5py.ref_dtype)
    loop[...] = loop.ref
    del file["s/label"]
    file["s/label"] = h5py.SoftLink("/#refs#/loop")


def huge(file):
    del file["s/label"]
    file["s"].create_dataset("label", (2**40, 92), np.uint8, chunks=(2**16, 92))


def many(file):
    """Few bytes, 10^12 ways through them."""
    path = [file["#refs#"].create_group(f"level{i}") for i in range(13)]
    for above, below in itertools.pairwise(path):
        for i in range(10):
            above[f"way{i}"] = below
    file["s/more"] = path[0]


def elsewhere(file):
    with h5py.File(Path(file.filename).with_name("other.mat"), "w") as other:
        other["secret"] = np.eye(2)
    file["link"] = h5py.ExternalLink("other.mat", "/secret")
    file["s/more"] = h5py.SoftLink("/link")


def variable_length(file):
    file["s/more"] = ["of any length, all of them perhaps the same"]


def sparse(file):
    del file["s/label"]
    file["s"].create_group("label").attrs["MATLAB_sparse"] = np.uint64(4)


def nowhere(file):
    file["s/attribute_eng"][0, 3] = h5py.Reference()


def strings(file):
    file["s/attribute_eng"].attrs["MATLAB_object_decode"] = np.int32(3)
    file["s/attribute_eng"].attrs["MATLAB_class"] = np.bytes_("string")


def cut(path):
    path.write_bytes(path.read_bytes()[:4096])


@pytest.mark.parametrize(
    "harm, message",
    [
        (itself, "nested more than 16 deep"),
        (huge, r"s.label claims \(1099511627776, 92\) but the file stores no such data"),
        (many, "s.more.*: the file unpacks to more than it can hold"),
        (elsewhere, "s.more is a link to another file, which is not followed"),
        (variable_length, "s.more is of HDF5's type object, which MATLAB does not write"),
        (sparse, r"s.label is sparse, which is not read; make it a full matrix"),
        (nowhere, "s.attribute_eng, cell 4, refers to nothing"),
        (strings, "s.attribute_eng is of class string, which is not read; .* texts a cell array"),
        (cut, "not a readable MAT file of version 7.3"),
    ],
)
def test_damaged(tmp_path, harm, message, monkeypatch):
    monkeypatch.setattr(matlab_hdf5, "VALUE", 2**16)  # the bound on values is met within a second
    mat73.savemat(path := tmp_path / "a.mat", {"s": rap_struct()})
    if harm is cut:
        cut(path)
    else:
        with h5py.File(path, "r+") as file:
            harm(file)
    with pytest.raises(DataError, match=message):
        matlab.load(path, "s")


def test_other_variable(tmp_path):
    mat73.savemat(tmp_path / "a.mat", {"other": np.ones((1, 1))})
    with pytest.raises(DataError, match="has no variable 'RAP_annotation'; it holds other"):
        matlab.load(tmp_path / "a.mat", "RAP_annotation")
