"""`.npz`: there and back bit for bit, alone or with a net; damaged and hostile archives end in our own errors."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy

import converters
from caffe_port.errors import CaffeError, ConvertError, WeightsError, WireError
from converters.hub import format_of
from tests.converters import nets
from tests.converters.test_formats import GOLDEN, NETS, bits, same
from tests.converters.test_hostile import Attack


@pytest.mark.parametrize("net", NETS)
def test_from_a_caffemodel_and_back(net: str, tmp_path: Path) -> None:
    model = nets.model(NETS[net])
    converters.write(model, tmp_path / "a.caffemodel")
    (tmp_path / "a.prototxt").rename(tmp_path / "deploy.prototxt")
    report = converters.convert(tmp_path / "a.caffemodel", tmp_path / "b.npz", model=tmp_path / "deploy.prototxt")
    assert "bit for bit" in report.check and report.files == [str(tmp_path / "b.npz")]
    again = converters.read(tmp_path / "b.npz")
    assert again.net == model.net and same(again.named_blobs(), model.named_blobs())
    for given in (None, tmp_path / "deploy.prototxt"):
        converters.convert(tmp_path / "b.npz", tmp_path / "c.caffemodel", model=given)
        assert (tmp_path / "c.caffemodel").read_bytes() == (tmp_path / "a.caffemodel").read_bytes()
        assert bits(converters.read(tmp_path / "c.caffemodel")) == bits(model)


def test_names_and_text_are_what_numpy_users_expect(tmp_path: Path) -> None:
    model = nets.model(nets.CLASSIC.replace('name: "fc.8"', 'name: "ü/x y"'))
    converters.write(model, tmp_path / "X.NPZ")  # NumPy would write X.NPZ.npz
    with np.load(tmp_path / "X.NPZ", allow_pickle=False) as held:
        blobs = [f"{n}.{b}" for n in ("conv1", "conv2", "ü/x y") for b in ("weight", "bias")]
        assert list(held) == [*blobs, "prototxt"]
        assert str(held["prototxt"]) == model.prototxt
    assert same(converters.read(tmp_path / "X.NPZ").named_blobs(), model.named_blobs())


def test_nan_infinities_and_tiny_numbers_stay(tmp_path: Path) -> None:
    model = nets.model(nets.SHARED)
    wild = np.array([0x7FC00123, 0xFF800000, 0x80000000, 0x00000001], np.uint32).view(np.float32)
    model.named_blobs()["left.bias"][...] = wild
    converters.write(model, tmp_path / "x.npz")
    assert converters.read(tmp_path / "x.npz").named_blobs()["right.bias"].tobytes() == wild.tobytes()


def test_v1_weights_of_four_axes_get_the_layers_own_shapes(tmp_path: Path) -> None:
    converters.convert(GOLDEN / "weights/v1.caffemodel", tmp_path / "x.npz")
    shapes = {k: v.shape for k, v in converters.read(tmp_path / "x.npz").named_blobs().items()}
    assert shapes == {"conv.weight": (4, 3, 3, 3), "conv.bias": (4,), "fc/a.weight": (5, 80), "fc/a.bias": (5,)}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_of_plain_arrays_needs_the_net(save: Any, tmp_path: Path) -> None:
    model = nets.model(nets.CLASSIC)
    save(tmp_path / "x.npz", **model.named_blobs())
    with pytest.raises(ConvertError, match="model=deploy.prototxt"):
        converters.read(tmp_path / "x.npz")
    assert same(converters.read(tmp_path / "x.npz", model.net).named_blobs(), model.named_blobs())


@pytest.mark.parametrize("change", [np.asfortranarray, lambda a: a.astype(">f4"), lambda a: a.astype(np.float64)])
def test_other_layouts_of_the_same_numbers(change: Any, tmp_path: Path) -> None:
    model = nets.model(nets.CLASSIC)
    np.savez(tmp_path / "x.npz", **{k: change(v) for k, v in model.named_blobs().items()})
    converters.convert(tmp_path / "x.npz", tmp_path / "x.caffemodel", model=model.net)
    assert same(converters.read(tmp_path / "x.caffemodel").named_blobs(), model.named_blobs())


def test_half_precision_is_widened(tmp_path: Path) -> None:
    model = nets.model(nets.SHARED)
    half = {k: v.astype(np.float16) for k, v in model.named_blobs().items()}
    np.savez(tmp_path / "x.npz", **half)
    read = converters.read(tmp_path / "x.npz", model.net).named_blobs()
    assert all(v.dtype == np.float32 and np.array_equal(v, half[k]) for k, v in read.items())


def test_the_text_may_be_bytes(tmp_path: Path) -> None:
    model = nets.model(nets.SHARED)
    np.savez(tmp_path / "x.npz", prototxt=np.bytes_(model.prototxt.encode()), **model.named_blobs())
    assert converters.read(tmp_path / "x.npz").net == model.net


def test_everything_that_does_not_fit_is_said_at_once(tmp_path: Path) -> None:
    named = nets.model(nets.CLASSIC).named_blobs()
    named["conv9.weight"] = named.pop("conv1.weight")
    named["fc.8.bias"] = np.zeros(4, np.float32)
    np.savez(tmp_path / "x.npz", **named)
    with pytest.raises(WeightsError) as e:
        converters.read(tmp_path / "x.npz", nets.parse(nets.CLASSIC))
    missing, extra = "missing: 'conv1.weight' (8, 3, 3, 3)", "not in the net: 'conv9.weight'"
    for part in (str(tmp_path / "x.npz"), missing, extra, "'fc.8.bias' is (5,) in the net, (4,)"):
        assert part in str(e.value)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x.npz"
    converters.write(nets.model(nets.SHARED), target)
    before = target.read_bytes()

    def half(file: Any, **arrays: Any) -> None:
        file.write(b"PK\x03\x04 half")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(OSError, match="no space"):
        converters.write(nets.model(nets.CLASSIC), target)
    assert target.read_bytes() == before and [f.name for f in tmp_path.iterdir()] == ["x.npz"]


def test_a_write_that_loses_a_bit_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, whole = format_of("x.npz", "write"), np.savez

    def rounded(file: Any, **arrays: Any) -> None:
        whole(file, **{k: a.astype(np.float16) if a.dtype == np.float32 else a for k, a in arrays.items()})

    monkeypatch.setattr(module.np, "savez", rounded)
    with pytest.raises(ConvertError, match="x.npz: reads back different in left.weight"):
        converters.write(nets.model(nets.SHARED), tmp_path / "x.npz")
    assert not list(tmp_path.iterdir())


# -- hostile files -----------------------------------------------------------------------------------------------------


def header(shape: tuple, descr: str = "<f4", body: bytes = b"") -> bytes:
    """A member that says what it likes about itself."""
    out = io.BytesIO()
    npy.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
    return out.getvalue() + body


def archive(path: Path, **members: bytes) -> None:
    """The arrays of the net SHARED, with these members as they are given."""
    named = {k: v for k, v in nets.model(nets.SHARED).named_blobs().items() if k not in members}
    np.savez(path, **named)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as z:
        for name, data in members.items():
            z.writestr(f"{name}.npy", data)


def pickled(path: Path) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([Attack(path)], object), allow_pickle=True)
    return out.getvalue()


@pytest.mark.parametrize("key", ["left.weight", "prototxt", "more"])
def test_code_in_a_file_is_refused_and_not_run(key: str, tmp_path: Path) -> None:
    archive(tmp_path / "x.npz", **{key: pickled(tmp_path / "ran")})
    for model in (None, nets.parse(nets.SHARED)):
        with pytest.raises(WireError, match=f"'{key}' holds Python objects.*code in a file is never run"):
            converters.read(tmp_path / "x.npz", model)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("key", "member", "message"),
    [
        ("left.weight", header((1 << 20, 1 << 22)), r"'left.weight' claims .*1048576, 4194304.* stores 0 bytes"),
        ("left.weight", header((4, -6), body=bytes(96)), "'left.weight' claims"),
        ("left.weight", header((4, 6), body=bytes(95)), "'left.weight' claims .* stores 95 bytes"),
        ("left.weight", header((4, 6), "<i4", bytes(96)), "'left.weight' is of type int32"),
        ("left.weight", header((4, 6), "<c8", bytes(192)), "'left.weight' is of type complex64"),
        ("left.weight", b"not an array", "x.npz: damaged, or not a .npz file"),
        ("left.weight", b"", "x.npz: damaged, or not a .npz file"),
        ("left.weight", b"\x93NUMPY\x01\x00\xff\xff{", "x.npz: damaged, or not a .npz file"),
        ("prototxt", header((), "<f4", bytes(4)), "its 'prototxt' is no text"),
        ("prototxt", header((2,), "<U1", bytes(8)), "its 'prototxt' is no text"),
        ("prototxt", header((), "<U2", b"\xff" * 8), "x.npz: damaged, or not a .npz file"),
        ("prototxt", header((), "|S16", b"layer { nam: 3 }"), r"x.npz \(embedded prototxt\):1:"),
    ],
)
def test_members_that_are_not_what_they_say(key: str, member: bytes, message: str, tmp_path: Path) -> None:
    archive(tmp_path / "x.npz", **{key: member})
    with pytest.raises(CaffeError, match=message):
        converters.read(tmp_path / "x.npz", None if key == "prototxt" else nets.parse(nets.SHARED))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """64 MB of zeros in 64 kB, under a name of the net and under another."""
    zeros = header((1 << 24,), body=bytes(1 << 26))
    for key, message in (("left.weight", r"'left.weight' is \(4, 6\) in the net"), ("more.weight", "not in the net")):
        archive(tmp_path / "x.npz", **{key: zeros})
        tracemalloc.start()
        try:
            with pytest.raises(WeightsError, match=message):
                converters.read(tmp_path / "x.npz", nets.parse(nets.SHARED))
            assert tracemalloc.get_traced_memory()[1] < 1 << 23
        finally:
            tracemalloc.stop()


def test_an_embedded_net_of_gigantic_shapes_costs_nothing(tmp_path: Path) -> None:
    text = nets.SHARED.replace("num_output: 4", "num_output: 200000000").encode()
    archive(tmp_path / "x.npz", prototxt=header((), f"|S{len(text)}", text))
    with pytest.raises(CaffeError, match=r"'left.bias' is \(200000000,\) in the net"):
        converters.read(tmp_path / "x.npz")


def test_a_name_that_is_there_twice_and_one_that_is_no_array(tmp_path: Path) -> None:
    for name in ("left.weight.npy", "readme.txt", "../../escape"):
        archive(tmp_path / "x.npz")
        with zipfile.ZipFile(tmp_path / "x.npz", "a") as z, pytest.warns() if "left" in name else io.BytesIO():
            z.writestr(name, b"x")
        with pytest.raises(WireError, match=f"'{name}' is (there twice|no array)"):
            converters.read(tmp_path / "x.npz", nets.parse(nets.SHARED))


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>Not found</html>", b"\0" * 64, b"PK\x03\x04\xff\xff"])
def test_something_else_by_that_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(WireError, match="not an .npz file, or not the whole of one"):
        converters.read(tmp_path / "x.npz", nets.parse(nets.SHARED))


def test_one_changed_bit_of_a_weight_is_noticed(tmp_path: Path) -> None:
    model = nets.model(nets.SHARED)
    converters.write(model, tmp_path / "x.npz")
    data = bytearray((tmp_path / "x.npz").read_bytes())
    at = data.index(struct.pack("<f", float(model.named_blobs()["left.weight"][1, 2])))
    data[at] ^= 1
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(WireError, match="x.npz: damaged"):
        converters.read(tmp_path / "x.npz")
