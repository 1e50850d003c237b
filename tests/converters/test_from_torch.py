"""PyTorch and ONNX into what stock Caffe loads: architectures, single operations, and what is refused and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import converters
from caffe_port.errors import ConvertError, UnsupportedError
from caffe_port.net import Net
from caffe_port.proto import load
from converters import from_onnx
from converters.onnx_model import export
from converters.torch_module import from_module
from tests.converters import nets
from tests.converters.torch_nets import ARCHITECTURES, drawn

SHAPE = (2, 3, 64, 64)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_loads_from_its_files_and_agrees(name: str, tmp_path: Path) -> None:
    module = drawn(ARCHITECTURES[name])
    report = converters.convert(module, tmp_path / "net.caffemodel", input={"x": SHAPE})
    assert any("agrees with the PyTorch module" in note for note in report.notes)
    net = Net(load.read_net(tmp_path / "net.prototxt"))  # under the strict schema, from the text
    net.copy_from(str(tmp_path / "net.caffemodel"))
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        wanted = module(x.clone())
        (made,) = net(x=x).values()
    assert float((made - wanted).abs().max()) <= 1e-4 * float(wanted.abs().max())
    assert not any(f.number >= 20000 for layer in net.definition.layer for f, _ in layer.ListFields())


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


EXACT = {
    "max_floor": lambda x: F.max_pool2d(x, 3, 2),
    "max_floor_pad": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max_ceil": lambda x: F.max_pool2d(x, 2, 2, ceil_mode=True),
    "mean_floor": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "mean_without_pads": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, (3, 2)),
    "relu6": lambda x: F.relu6(9 * x),
    "hardswish": lambda x: F.hardswish(4 * x),
    "silu": F.silu,
    "clamp": lambda x: x.clamp(-0.5, 0.25),
    "constants": lambda x: 3 - (x * 2 + 1) / 4,
    "inplace": lambda x: x + F.relu(x - 1, inplace=True),
    "inplace_moves_the_name": lambda x: (lambda y: F.relu(y, inplace=True) * y)(x - 0.5),
    "slices": lambda x: x[:, 1:, :3],
    "chunks": lambda x: (lambda parts: torch.cat([parts[1], parts[0]], 1))(x.chunk(2, 2)),
    "spread": lambda x: x * torch.sigmoid(x.mean((2, 3), keepdim=True)),
    "log_softmax": lambda x: F.log_softmax(x, 1),
    "flatten_middle": lambda x: x.flatten(1, 2),
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "transpose": lambda x: x.transpose(1, -1),
    "steps": lambda x: x[:, ::2, 1::3],
    "unsqueeze": lambda x: x.unsqueeze(1).squeeze(1),
}


@pytest.mark.parametrize("name", EXACT)
def test_an_operation_is_the_same(name: str) -> None:
    model = from_module(Call(EXACT[name]), {"x": (2, 4, 9, 8) if name == "adaptive" else (2, 3, 8, 7)})
    assert "agrees" in model.notes[-1]


class LooksAtShapes(nn.Module):
    """torch.fx cannot follow it; torch.export can, at one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.fc = drawn(ARCHITECTURES["MobileNetV2"]), nn.Linear(9, 4)

    def forward(self, x):
        if x.shape[-1] > 32:
            x = F.max_pool2d(x, 2)
        for _ in range(len(x) - 1):
            x = F.relu_(x - 0.1)
        first, rest = self.net(x)[:, :9].split([3, 6], 1)
        return self.fc(torch.cat([rest, F.log_softmax(first, 1)], 1)).add_(1)


@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 5),
    reason="torch 2.4's export writes BatchNorm as a triple of other operators, which are refused by name",
)
def test_what_fx_cannot_trace_goes_by_export() -> None:
    model = from_module(LooksAtShapes().eval(), {"x": SHAPE})
    assert "agrees" in model.notes[-1]
    assert {"net.features.0.0", "fc"} <= {layer.name for layer in model.net.layer}


REFUSED = {
    "gelu": (F.gelu, "no stock layer computes this function"),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, (3, 3)), "no whole ratio"),
    "roll": (lambda x: x.roll(1), "'roll': no stock layer"),
    "dilated": (lambda x: F.max_pool2d(x, 2, 1, dilation=2), "has no dilation"),
    "branch": (lambda x: x if x.sum() > 0 else -x, "depends on values"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_exact_form_is_refused_with_the_reason(name: str) -> None:
    function, reason = REFUSED[name]
    with pytest.raises(UnsupportedError, match=reason):
        from_module(Call(function), {"x": (2, 4, 8, 7)})


def test_the_module_stays_as_it_was() -> None:
    module = drawn(ARCHITECTURES["VGG"]).train()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    from_module(module, {"x": SHAPE})
    assert module.training and all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    with pytest.raises(ConvertError, match="shapes of its inputs x"):
        from_module(module, {})


@pytest.mark.parametrize("net", ["CLASSIC", "RESIDUAL", "SHARED"])
def test_caffe_to_onnx_to_caffe(net: str, tmp_path: Path) -> None:
    model = nets.model(getattr(nets, net))
    converters.write(model, tmp_path / "x.onnx")
    again, own = converters.read(tmp_path / "x.onnx").runtime(), model.runtime()
    inputs = {name: torch.randn(own.graph.values[name].shape) for name in own.inputs}
    with torch.no_grad():
        wanted, made = own(**inputs), again(**inputs)
    assert list(made) == list(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(made[name].numpy(), value.numpy(), atol=1e-5)


def test_a_changed_file_is_walked_and_not_taken_by_its_prototxt(tmp_path: Path) -> None:
    import onnx

    converters.write(nets.model(nets.CLASSIC), tmp_path / "x.onnx")
    proto = onnx.load(tmp_path / "x.onnx")
    next(n for n in proto.graph.node if n.op_type == "Relu").op_type = "Tanh"
    onnx.save(proto, tmp_path / "x.onnx")
    model = converters.read(tmp_path / "x.onnx")
    assert any(layer.type == "TanH" for layer in model.net.layer) and "onnxruntime" in model.notes[-1]


def test_an_onnx_graph_is_refused_with_everything_at_once(tmp_path: Path) -> None:
    text = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 } } }
layer { name: "a" type: "ELU" bottom: "x" top: "a" }
layer { name: "t" type: "TanH" bottom: "x" top: "t" }"""
    exported = export(nets.model(text).runtime())
    exported.model.ClearField("metadata_props")
    for node, op in zip(exported.model.graph.node, ("Celu", "Erf"), strict=True):
        node.op_type = op
    exported.save(tmp_path / "x.onnx")
    with pytest.raises(UnsupportedError) as refused:
        from_onnx.read(tmp_path / "x.onnx")
    assert "'a' (Celu): no stock layer" in str(refused.value) and "'t' (Erf): no stock layer" in str(refused.value)
