"""Broken and hostile files: our own errors, no code run, no memory for what is not there."""

from __future__ import annotations

import os
import pickle
import resource
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import converters
from caffe_port.errors import CaffeError, ConvertError, UnsupportedError, WireError
from caffe_port.proto import binary
from tests.converters import hostile, nets

FORMATS = ("x.caffemodel", "x.pt", "x.safetensors", "x.npz", "x.caffemodel.h5", "x.prototxt")
SEEDS = int(os.environ.get("CAFFE_PORT_MUTATIONS", "40"))
"""Of each format; `python -m tests.converters.hostile` takes ten thousand, each in a process that may crash."""


class Attack:
    """Unpickled by a careless reader, this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("extension", ["pt", "pth"])
@pytest.mark.parametrize("inside", [lambda a: a, lambda a: {"state_dict": {"conv1.weight": a}}], ids=["bare", "nested"])
def test_code_in_a_pickle_is_refused_and_not_run(extension: str, inside: Callable, tmp_path: Path) -> None:
    path, mark = tmp_path / f"x.{extension}", tmp_path / "ran"
    for save in (lambda held: torch.save(held, path), lambda held: path.write_bytes(pickle.dumps(held, 2))):
        save(inside(Attack(mark)))
        with pytest.raises(WireError, match="code in a file is never run"):
            converters.read(path, nets.parse(nets.CLASSIC))
        assert not mark.exists()


@pytest.mark.parametrize("kind", hostile.KINDS)
def test_damaged_files_end_in_our_own_errors_within_memory(kind: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = hostile.attack(kind, range(SEEDS), tmp_path)
    assert not outcome.wrong, outcome.wrong
    assert sum(outcome.refused.values()) > SEEDS // 5
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 400_000, f"{grown} kilobytes more for files of some thousand bytes"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>Not found</html>", b"\0" * 64, b"PK\x03\x04\xff\xff"])
def test_something_else_by_that_name(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    model = None if name == "x.prototxt" else nets.parse(nets.SHARED)
    with pytest.raises(CaffeError):
        converters.read(tmp_path / name, model).named_blobs()


def test_a_tensor_that_claims_more_than_it_stores(tmp_path: Path) -> None:
    """Strides of zero: 16 numbers that say they are 16 TB."""
    huge = torch.zeros(16).as_strided((1 << 20, 1 << 22), (0, 0))
    torch.save({"left.weight": huge}, tmp_path / "x.pt")
    with pytest.raises(CaffeError, match="left.weight.*claims"):
        converters.read(tmp_path / "x.pt", nets.parse(nets.SHARED))


def test_an_hdf5_dataset_that_claims_more_than_it_stores(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="HDF5 is an extra")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("data/left/0", shape=(1 << 20, 1 << 20), dtype="f4", chunks=(16, 16))
    with pytest.raises(CaffeError, match="data/left/0"):
        converters.read(tmp_path / "x.h5", nets.parse(nets.SHARED))


def test_an_hdf5_file_of_packed_zeros(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="HDF5 is an extra")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        zeros = file.create_dataset("data/left/0", (3, 2**23), "f4", chunks=(1, 2**23), compression="gzip")
        zeros[:] = 0
    with pytest.raises(CaffeError, match="data/left/0.* claims"):
        converters.read(tmp_path / "x.h5", nets.parse(nets.SHARED))


@pytest.mark.parametrize("format", [".onnx", ".py"])
def test_a_net_whose_values_are_too_large_to_try(format: str, tmp_path: Path) -> None:
    text = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 65536 dim: 8192 } } }'
    (tmp_path / "x.prototxt").write_text(text + 'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }')
    with pytest.raises(ConvertError, match=r"'x' would be \(65536, 8192\), too large"):
        converters.convert(tmp_path / "x.prototxt", tmp_path / f"x{format}")


def test_an_onnx_file_whose_weights_are_elsewhere(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="ONNX is an extra")
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(bytes(2**16))
    converters.write(nets.model(nets.CLASSIC), tmp_path / "in/x.onnx", external_data=True)
    proto = onnx.load(str(tmp_path / "in/x.onnx"), load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../secret" if entry.key == "location" else entry.value
    onnx.save(proto, str(tmp_path / "in/x.onnx"))
    with pytest.raises(WireError, match="x.onnx"):
        converters.read(tmp_path / "in/x.onnx")


GIGANTIC: dict[str, tuple[str, list, dict]] = {
    "ConstantOfShape": ("ConstantOfShape", [[2**40, 4]], {}),
    "Expand": ("Expand", [np.float32([1]), [2**40]], {}),
    "Tile": ("Tile", [np.float32([1, 2]), [2**40]], {}),
    "Range": ("Range", [np.float32(0), np.float32(1e9), np.float32(1e-9)], {}),
    "OneHot": ("OneHot", [[1, 2], 2**40, np.float32([0, 1])], {}),
    "Pad": ("Pad", [np.float32([1, 2]), [2**40, 0]], {}),
    "Resize": ("Resize", [np.ones((1, 1, 2, 2), np.float32), None, np.float32([1, 1, 1e9, 1e9])], {}),
    "a product": ("MatMul", [np.ones((2**16, 1), np.float32), np.ones((1, 2**16), np.float32)], {}),
    "HannWindow": ("HannWindow", [2**40], {}),
}


@pytest.mark.parametrize("case", GIGANTIC)
def test_an_onnx_constant_of_gigantic_shape(case: str, tmp_path: Path) -> None:
    op, given, attributes = GIGANTIC[case]
    with _no_more_memory(), pytest.raises(UnsupportedError, match=rf"constant 'c' \({op}\).* bytes"):
        converters.read(_onnx(tmp_path, [(op, given, "c", attributes), ("Add", ["x", "c"], "y", {})]))


def test_onnx_constants_that_are_gigantic_together(tmp_path: Path) -> None:
    grown = [("Tile", [f"c{i}", [4]], f"c{i + 1}", {}) for i in range(20)]
    nodes = [("Tile", [np.float32([1, 2]), [4]], "c0", {}), *grown, ("Add", ["x", "c20"], "y", {})]
    with pytest.raises(UnsupportedError, match=r"constant 'c1\d' \(Tile\).* bytes"):
        converters.read(_onnx(tmp_path, nodes))


@pytest.mark.parametrize(
    "nodes",
    [
        [("Tile", ["x", [2**28, 1, 1, 1]], "t", {}), ("Slice", ["t", [0], [2**28], [0], [2]], "y", {})],
        [("Pad", ["x", [0, 0, 0, 2**33, 0, 0, 0, 0]], "y", {"mode": "edge"})],
        [("Tile", ["x", [1, 1, 1, 2**28]], "t", {}), ("ArgMax", ["t"], "y", {"axis": 3})],
    ],
    ids=["Slice", "Pad", "ArgMax"],
)
def test_onnx_values_of_gigantic_shape(nodes: list, tmp_path: Path) -> None:
    with _no_more_memory(), pytest.raises(UnsupportedError, match="an axis of"):
        converters.read(_onnx(tmp_path, nodes))


def _onnx(folder: Path, nodes: list) -> Path:
    """A file of a net of x (1, 1, 2, 2) and these operators: (operator, inputs, output, attributes)."""
    helper = pytest.importorskip("onnx.helper", reason="ONNX is an extra")
    numpy_helper, onnx = pytest.importorskip("onnx.numpy_helper"), pytest.importorskip("onnx")
    made, stored = [], []
    for op, given, output, attributes in nodes:
        names = []
        for i, value in enumerate(given):
            if value is None or isinstance(value, str):
                names.append(value or "")
                continue
            names.append(f"{output}_{i}")
            stored.append(numpy_helper.from_array(np.asarray(value), names[-1]))
        made.append(helper.make_node(op, names, [output], name=output, **attributes))
    x = helper.make_tensor_value_info("x", 1, (1, 1, 2, 2))
    graph = helper.make_graph(made, "net", [x], [helper.make_empty_tensor_value_info("y")], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "x.onnx")
    return folder / "x.onnx"


@contextmanager
def _no_more_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 400_000, f"{grown} kilobytes more for a file of some hundred bytes"


def test_tensors_that_are_no_weights(tmp_path: Path) -> None:
    plain = torch.zeros(4, 6)
    for value in (plain.long(), plain.to_sparse(), plain.to(torch.complex64)):
        torch.save({**_others(), "left.weight": value}, tmp_path / "x.pt")
        with pytest.raises(CaffeError, match="left.weight"):
            converters.read(tmp_path / "x.pt", nets.parse(nets.SHARED))
    for held in ([1, 2], {"a": 3}, {1: torch.zeros(2)}, {"state_dict": {"a": "b"}}, torch.zeros(3)):
        torch.save(held, tmp_path / "x.pt")
        with pytest.raises(CaffeError, match="state dict"):
            converters.read(tmp_path / "x.pt", nets.parse(nets.SHARED))


def _others() -> dict[str, torch.Tensor]:
    named = nets.model(nets.SHARED).named_blobs()
    return {k: torch.tensor(v) for k, v in named.items() if k != "left.weight"}


def test_a_zip_that_is_no_torch_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("../../escape", b"x")
        z.writestr("x/data.pkl", np.zeros(1 << 22, np.uint8).tobytes())
    with pytest.raises(WireError, match="not a file of plain tensors.*'x/data.pkl|not a file of plain .*escape"):
        converters.read(tmp_path / "x.pt", nets.parse(nets.SHARED))
    assert not (tmp_path.parent.parent / "escape").exists()


CODE = nets.SHARED + """
layer { name: "mine" type: "Python" bottom: "sum" top: "mine" python_param { module: "attack" layer: "L" } }"""


@pytest.mark.parametrize("name", ["x.caffemodel", "x.pt", "x.safetensors", "x.npz", "x.caffemodel.h5"])
def test_a_net_inside_that_names_code(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python layer's module that lies beside the file is not imported on the file's word."""
    (tmp_path / "attack.py").write_text("open('ran', 'w')\nraise SystemExit")
    monkeypatch.chdir(tmp_path)
    whole = nets.model(nets.SHARED)
    monkeypatch.setattr(type(whole), "prototxt", CODE)
    if name == "x.caffemodel":
        binary.write_net(tmp_path / name, nets.parse(CODE), whole.layer_blobs())
    else:
        converters.write(whole, tmp_path / name, check=False)
    with pytest.raises(ConvertError, match=r"Python layers, 'mine' \(attack.L\): code"):
        converters.read(tmp_path / name)
    assert not (tmp_path / "ran").exists()


OUTSIDE = """
layer { name: "d" type: "HDF5Data" top: "a" top: "b" hdf5_data_param { source: "%s" batch_size: 2 } }
layer { name: "i" type: "ImageData" top: "c" top: "l" image_data_param { source: "%s" root_folder: "/" batch_size: 2 }
  transform_param { mean_file: "%s" } }
layer { name: "fc" type: "InnerProduct" bottom: "a" top: "fc" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "InfogainLoss" bottom: "fc" bottom: "b" infogain_loss_param { source: "%s" } }
"""


def test_paths_in_a_net_are_not_opened(tmp_path: Path) -> None:
    """`source` and `mean_file` lead to a pipe without a writer: opening it would never end."""
    os.mkfifo(tmp_path / "secret")
    (tmp_path / "x.prototxt").write_text(OUTSIDE.replace("%s", f"{tmp_path}/../{tmp_path.name}/secret"))
    report = converters.convert(tmp_path / "x.prototxt", tmp_path / "x.npz", input="a:2,3")
    assert "dropped data layer 'i'" in "".join(report.notes)


def test_a_prototxt_inside_that_is_none(tmp_path: Path) -> None:
    torch.save({"state_dict": _others(), "prototxt": "layer { nam: 3 }"}, tmp_path / "x.pt")
    with pytest.raises(CaffeError, match=r"x.pt \(embedded prototxt\):1:"):
        converters.read(tmp_path / "x.pt")


def test_an_embedded_net_of_gigantic_shapes_costs_nothing(tmp_path: Path) -> None:
    text = nets.SHARED.replace("num_output: 4", "num_output: 200000000")
    torch.save({"state_dict": _others(), "prototxt": text}, tmp_path / "x.pt")
    with pytest.raises(CaffeError, match=r"'left.bias' is \(200000000,\) in the net"):
        converters.read(tmp_path / "x.pt")
