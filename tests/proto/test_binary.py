"""Binary files: what Caffe wrote is read and written back to the byte; every old form of a blob; hostile files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from caffe_port.errors import NetError, WireError
from caffe_port.proto import binary, blobproto, caffe_pb2, text, wire
from caffe_port.proto.binary import LayerBlobs

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(pattern: str) -> list[Path]:
    return sorted(GOLDEN.rglob(pattern))


def named(path: Path) -> str:
    return str(path.relative_to(GOLDEN))


def field(number: int, value: bytes) -> bytes:
    return wire.tag(number, wire.LENGTH) + wire.encode_varint(len(value)) + value


def shape(*dims: int) -> bytes:
    return field(7, field(1, b"".join(wire.encode_varint(dim & (2**64 - 1)) for dim in dims)))


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


@pytest.mark.parametrize("path", golden("*.caffemodel"), ids=named)
def test_nets_are_written_back_to_the_byte(path: Path, tmp_path: Path) -> None:
    found = binary.read_net(path)
    binary.write_net(tmp_path / "out", found.param, found.layers)
    assert (tmp_path / "out").read_bytes() == path.read_bytes()
    parsed = caffe_pb2.NetParameter.FromString(path.read_bytes())
    entries = parsed.layer or parsed.layers
    assert [layer.name for layer in found.layers] == [entry.name for entry in entries]
    for layer, entry in zip(found.layers, entries, strict=True):
        for array, blob in zip(layer.blobs, entry.blobs, strict=True):
            assert array.ravel().tolist() == list(blob.double_data or blob.data)


@pytest.mark.parametrize("path", golden("*.solverstate"), ids=named)
def test_solver_states_are_written_back_to_the_byte(path: Path, tmp_path: Path) -> None:
    state, history = binary.read_solverstate(path)
    binary.write_solverstate(tmp_path / "out", state.iter, state.learned_net, history, state.current_step)
    assert (tmp_path / "out").read_bytes() == path.read_bytes() and not state.history


@pytest.mark.parametrize("path", golden("*.binaryproto"), ids=named)
def test_mean_files_are_written_back_to_the_byte(path: Path, tmp_path: Path) -> None:
    array = binary.read_blob(path)
    binary.write_blob(tmp_path / "out", array, legacy=True)
    assert (tmp_path / "out").read_bytes() == path.read_bytes() and array.ndim == 4
    assert not array.flags.writeable


def test_v1_file_with_legacy_shapes_and_doubles() -> None:
    found = binary.read_net(GOLDEN / "weights" / "v1.caffemodel")
    kinds = [
        (layer.name, layer.type, [(b.shape, b.dtype.name) for b in layer.blobs], layer.legacy) for layer in found.layers
    ]
    assert kinds == [
        ("conv", "Convolution", [((4, 3, 3, 3), "float32"), ((1, 1, 1, 4), "float32")], True),
        ("relu", "ReLU", [], False),
        ("fc/a", "InnerProduct", [((1, 1, 5, 80), "float64"), ((1, 1, 1, 5), "float32")], True),
        ("prob", "Softmax", [], False),
    ]


def test_v0_file(tmp_path: Path) -> None:
    net = text.read(GOLDEN / "upgrade" / "in" / "v0_net.prototxt", caffe_pb2.NetParameter).message
    net.layers[2].layer.blobs.add(num=1, channels=1, height=2, width=3, data=[1, 2, 3, 4, 5, 6])
    path = tmp_path / "v0.caffemodel"
    path.write_bytes(net.SerializeToString())
    found = binary.read_net(path)
    layer = found.layers[2]
    assert (layer.name, layer.type, layer.legacy, layer.blobs[0].shape) == ("c1", "Convolution", True, (1, 1, 2, 3))
    assert found.layers[1].type == "padding" and not found.param.layers[2].layer.blobs
    binary.write_net(tmp_path / "again", found.param, found.layers)
    assert caffe_pb2.NetParameter.FromString((tmp_path / "again").read_bytes()) == net


SIX = floats(1, 2, 3, 4, 5, 6)
ONE_BY_ONE = b"".join(wire.tag(5, wire.FIXED32) + floats(i) for i in range(1, 7))
BLOBS = {  # bytes -> shape, type of the numbers; the numbers are always 1 to 6
    "packed": (field(5, SIX) + shape(2, 3), (2, 3), "float32"),
    "shape first": (shape(2, 3) + field(5, SIX), (2, 3), "float32"),
    "in pieces": (field(5, SIX[:8]) + shape(2, 3) + field(5, b"") + field(5, SIX[8:]), (2, 3), "float32"),
    "one by one": (ONE_BY_ONE + shape(2, 3), (2, 3), "float32"),
    "one by one, then packed": (ONE_BY_ONE[:15] + field(5, SIX[12:]) + shape(2, 3), (2, 3), "float32"),
    "doubles": (shape(2, 3) + field(8, np.arange(1, 7, dtype="<f8").tobytes()), (2, 3), "float64"),
    "doubles one by one": (
        shape(6) + b"".join(wire.tag(8, wire.FIXED64) + struct.pack("<d", i) for i in range(1, 7)), (6,), "float64",
    ),
    "doubles before floats": (
        field(5, floats(9)) + shape(6) + field(8, np.arange(1, 7, dtype="<f8").tobytes()), (6,), "float64",
    ),
    "legacy": (b"\x08\x01\x10\x02\x18\x03\x20\x01" + field(5, SIX), (1, 2, 3, 1), "float32"),
    "legacy wins": (b"\x08\x01\x10\x02\x18\x03\x20\x01" + shape(6) + field(5, SIX), (1, 2, 3, 1), "float32"),
    "half": (shape(6) + b"\x50\x02" + field(12, np.arange(1, 7, dtype="<f2").tobytes()), (6,), "float16"),
    "raw float": (shape(6) + b"\x50\x01" + field(12, SIX), (6,), "float32"),
    "raw double by default": (shape(6) + field(12, np.arange(1, 7, dtype="<f8").tobytes()), (6,), "float64"),
    "shape not packed": (field(7, b"\x08\x02\x08\x03") + field(5, SIX), (2, 3), "float32"),
    "unknown fields": (b"\xfa\x01\x01x" + shape(6) + b"\xa3\x06\x08\x01\xa4\x06" + field(5, SIX), (6,), "float32"),
}  # fmt: skip


@pytest.mark.parametrize("raw", BLOBS.values(), ids=BLOBS.keys())
def test_every_form_of_a_blob(raw: tuple[bytes, tuple[int, ...], str], tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(raw[0])
    array = binary.read_blob(tmp_path / "blob")
    assert array.shape == raw[1] and array.dtype.name == raw[2] and array.ravel().tolist() == [1, 2, 3, 4, 5, 6]
    assert not array.flags.writeable


def test_scalar_empty_and_diff(tmp_path: Path) -> None:
    scalar = blobproto.read(memoryview(field(5, floats(3))), 0, 6)
    assert scalar.data.shape == () and scalar.data == 3 and scalar.diff is None
    raw = field(5, SIX) + field(6, SIX[::-1][::-1]) + shape(3, 2)
    blob = blobproto.read(memoryview(raw), 0, len(raw))
    assert blob.diff is not None and blob.diff.shape == (3, 2)
    assert b"".join(bytes(part) for part in blobproto.parts(blob.data, blob.diff)) == raw
    empty = shape(0, 7)
    assert blobproto.read(memoryview(empty), 0, len(empty)).data.shape == (0, 7)


def test_what_protobuf_would_have_written(tmp_path: Path) -> None:
    """Doubles, diffs, scalars, empty layers, an axis of length 0: the same bytes as protobuf's own serializer."""
    net = caffe_pb2.NetParameter(name="n", force_backward=True)
    first = net.layer.add(name="a", type="X", include=[caffe_pb2.NetStateRule(phase=0)])
    first.blobs.add(data=[1.5], diff=[2.5])
    first.blobs.add(double_data=[1, 2], double_diff=[3, 4]).shape.dim.extend([2, 1])
    net.layer.add(name="b").lrn_param.k = 2
    net.layer.add(name="c").blobs.add().shape.dim.extend([0, 3])
    path = tmp_path / "net"
    path.write_bytes(net.SerializeToString())
    found = binary.read_net(path)
    assert [len(layer.blobs) for layer in found.layers] == [2, 0, 1]
    binary.write_net(tmp_path / "again", found.param, found.layers)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_written_arrays_of_any_layout(tmp_path: Path) -> None:
    net = caffe_pb2.NetParameter(layer=[caffe_pb2.LayerParameter(name="a")])
    arrays = [np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1), np.arange(5, dtype=">f4")[::-1], np.arange(3)]
    binary.write_net(tmp_path / "net", net, [LayerBlobs("a", "", arrays)])
    for array, back in zip(arrays, binary.read_net(tmp_path / "net").layers[0].blobs, strict=True):
        assert np.array_equal(array, back)


def test_blobs_find_their_layers_by_name(tmp_path: Path) -> None:
    names = ["a", "b", "a"]
    net = caffe_pb2.NetParameter(layer=[caffe_pb2.LayerParameter(name=name) for name in names])
    one, two = np.ones(2, np.float32), np.full(2, 2, np.float32)
    binary.write_net(tmp_path / "net", net, [LayerBlobs("a", "", [one]), LayerBlobs("a", "", [two])])
    assert [[b[0] for b in layer.blobs] for layer in binary.read_net(tmp_path / "net").layers] == [[1], [], [2]]
    with pytest.raises(WireError, match="not written: blobs for 'z', but the net has no such layer"):
        binary.write_net(tmp_path / "other", net, [LayerBlobs("z", "", [one])])
    assert not (tmp_path / "other").exists()


def layer(*blobs: bytes) -> bytes:
    return field(100, field(1, b"conv") + b"".join(field(7, blob) for blob in blobs))


DAMAGED = {  # bytes, what is said
    "empty": (b"", "f: the file is empty"),
    "html": (b"<!DOCTYPE html><html>" + b" " * 99, "an HTML or XML page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 3\n", "Git LFS pointer"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "it is HDF5"),
    "zip": (b"PK\x03\x04" + bytes(99), "zip archive"),
    "gzip": (b"\x1f\x8b\x08" + bytes(99), "compressed with gzip"),
    "text": (b'name: "lenet"\nlayer { name: "x" }\n', "it is text"),
    "no layer": (b"\x08\x07", "holds no layer of a net"),
    "cut in a layer": (layer(field(5, SIX) + shape(6))[:-9], "byte 0: field 100 says it has"),
    "cut in a tag": (layer(field(5, SIX) + shape(6)) + b"\xa2", "a number is cut off"),
    "endless number": (b"\x08" + b"\xff" * 12, "a number of more than 64 bits"),
    "huge length": (b"\xa2\x06\xff\xff\xff\xff\x0f", "says it has 4294967295 bytes, but only 0 are left"),
    "length of 2 ** 63": (b"\xa2\x06" + b"\xff" * 8 + b"\x7f", "bytes, but only 0 are left"),
    "field 0": (b"\x02\x01a", "field number 0"),
    "kind 7": (b"\x0f", "field 1 of kind 7"),
    "end of a group": (b"\x0c", "field 1 of kind 4"),
    "deep groups": (b"\x0b" * 1000, "groups nested more than 64 deep"),
    "negative axis": (layer(field(5, SIX) + shape(-2, -3)), "in layer 0, blobs 0: byte 11: a blob of shape (-2, -3)"),
    "negative num": (layer(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + field(5, SIX)), "cannot be negative"),
    "axes overflow": (layer(field(5, SIX) + shape(2**40, 2**40)), f"takes {2**80} numbers, its data has 6"),
    "too few numbers": (layer(field(5, SIX) + shape(7)), "takes 7 numbers, its data has 6"),
    "too few diffs": (layer(field(5, SIX) + field(6, SIX[:4]) + shape(6)), "its diff has 1"),
    "no numbers": (layer(shape(6)), "a blob of shape (6,) without its 6 numbers"),
    "no shape": (layer(field(5, SIX)), "shape () takes 1 numbers, its data has 6"),
    "empty and huge": (layer(shape(0, *[2**31] * 3)), "a blob of shape (0, 2147483648"),
    "many axes": (layer(field(5, floats(1)) + shape(*[1] * 33)), "a blob with 33 axes"),
    "very many axes": (layer(field(5, floats(1)) + shape(*[1] * 99)), "more than 32 axes"),
    "three bytes": (layer(field(5, b"abc")), "3 bytes of float32 in field 5"),
    "raw of type 3": (layer(shape(1) + b"\x50\x03" + field(12, b"abcd")), "raw numbers of NVCaffe's type 3"),
    "odd raw": (layer(shape(1) + b"\x50\x02" + field(12, b"abc")), "3 raw bytes of float16"),
    "many fields": (b"\x08\x01" * 2000, "more than 1500 fields"),
    "a bad definition": (field(100, field(106, b"\xff")), "not a NetParameter"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_files_say_where_and_what(
    case: tuple[bytes, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_FIELDS", 1500)
    path = tmp_path / "f"
    path.write_bytes(case[0])
    with pytest.raises(WireError) as e:
        binary.read_net(path)
    assert case[1] in str(e.value).replace(str(path), "f") and str(e.value).startswith(f"{path}: ")


def test_other_kinds_of_files(tmp_path: Path) -> None:
    with pytest.raises(WireError, match="absent: cannot be read: No such file"):
        binary.read_net(tmp_path / "absent")
    with pytest.raises(WireError, match="Is a directory"):
        binary.read_net(tmp_path)
    (tmp_path / "net").write_bytes(layer())
    with pytest.raises(WireError, match="holds no solver state"):
        binary.read_solverstate(tmp_path / "net")
    mixed = caffe_pb2.NetParameter(layer=[{"name": "new"}], layers=[{"name": "old"}])
    (tmp_path / "mixed").write_bytes(mixed.SerializeToString())
    with pytest.raises(NetError, match="`layers` for old and `layer` for new"):
        binary.read_net(tmp_path / "mixed")


def test_names_that_are_not_utf8_read_as_latin1(tmp_path: Path) -> None:
    (tmp_path / "net").write_bytes(field(100, field(1, b"caf\xe9") + field(3, b"x\xff")))
    found = binary.read_net(tmp_path / "net")
    assert found.layers[0].name == "café" and list(found.param.layer[0].bottom) == ["xÿ"]


def test_a_file_over_2_gib_is_read_and_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 600_000_000
    head = wire.tag(5, wire.LENGTH) + wire.encode_varint(4 * count)
    with open(tmp_path / "big", "wb") as f:  # a file of holes: it takes no space
        f.write(head + floats(1.5))
        f.seek(len(head) + 4 * (count - 1))
        f.write(floats(2.5) + shape(count))
    array = binary.read_blob(tmp_path / "big")
    assert array.shape == (count,) and array[0] == 1.5 and array[-1] == 2.5 and array[count // 2] == 0
    with pytest.raises(WireError, match=r"not written: it would have 24000000\d\d bytes"):
        binary.write_blob(tmp_path / "out", array)
    assert [path.name for path in tmp_path.iterdir()] == ["big"]
