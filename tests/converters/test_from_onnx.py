"""ONNX as other tools write it, opsets 9 to 21, as stock Caffe: what onnxruntime gives, or a reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, parser

from caffe_port.errors import UnsupportedError
from caffe_port.layers.base import REGISTRY
from converters import from_onnx
from converters.compare import difference
from converters.onnx_check import run_onnx, run_ours

FOUR, FLAT, LINE = (2, 3, 5, 7), (4, 6), (2, 3, 8)
RNG = np.random.default_rng(4)


def drawn(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


TIES = np.array([[3, 1, 3, 2], [0, 0, 0, 0], [1, 2, 1, 2]], np.float32)
TWICE = ints(1, 1).reshape(2, 1)
ROWS, WIDE = drawn(3, 6), drawn(6, 5)


@dataclass
class Graph:
    """Nodes in ONNX's text form. `x`: the shape of a normal input, or an array; `c`, `d`, `e`: constants."""

    text: str
    x: Any = FOUR
    opset: int = 17
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    y: Any = None

    def inputs(self) -> dict[str, np.ndarray]:
        given = {"x": self.x, "y": self.y}
        rng = np.random.default_rng(2)
        return {
            name: value if isinstance(value, np.ndarray) else rng.standard_normal(value).astype(np.float32)
            for name, value in given.items()
            if value is not None
        }

    def save(self, path: Path) -> None:
        nodes = [parser.parse_node(line) for line in self.text.split(";")]
        types = {name: helper.np_dtype_to_tensor_dtype(a.dtype) for name, a in self.inputs().items()}
        inputs = [helper.make_tensor_value_info(n, types[n], a.shape) for n, a in self.inputs().items()]
        outputs = [helper.make_empty_tensor_value_info(name) for name in nodes[-1].output]
        held = [onnx.numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        graph = helper.make_graph(nodes, "g", inputs, outputs, held)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        model = onnx.shape_inference.infer_shapes(model)  # for the outputs' types
        onnx.save(model, str(path))


def graph(text: str, x: Any = FOUR, opset: int = 17, y: Any = None, **constants: np.ndarray) -> Graph:
    return Graph(text, x, opset, constants, y)


EXACT = {
    # as older opsets had it
    "Softmax of all behind, opset 11": graph("z = Softmax(x)", opset=11),
    "LogSoftmax, opset 12": graph("z = LogSoftmax<axis=2>(x)", opset=12),
    "Clip, opset 10": graph("z = Clip<min=-0.5, max=1.0>(x)", opset=10),
    "Pad reflect, opset 10": graph('z = Pad<mode="reflect", pads=[0,0,1,2,0,0,0,1]>(x)', opset=10),
    "Slice, opset 9": graph("z = Slice<axes=[1,3], starts=[1,-3], ends=[3,100]>(x)", opset=9),
    "Squeeze, opset 11": graph("a = Unsqueeze<axes=[0,3]>(x); z = Squeeze<axes=[0]>(a)", opset=11),
    "Split, opset 11": graph("a, z = Split<axis=1, split=[1,2]>(x)", opset=11),
    "ReduceSum, opset 11": graph("z = ReduceSum<axes=[1], keepdims=0>(x)", opset=11),
    "Upsample, opset 9": graph('z = Upsample<mode="nearest">(x, c)', opset=9, c=floats(1, 1, 2, 3)),
    "Upsample linear, opset 9": graph('z = Upsample<mode="linear">(x, c)', opset=9, c=floats(1, 1, 2, 2)),
    "Resize, opset 10": graph('z = Resize<mode="nearest">(x, c)', opset=10, c=floats(1, 1, 0.6, 2)),
    "TopK, opset 10": graph("a, b = TopK<axis=1>(x, c); z = Identity(a)", opset=10, c=ints(2)),
    "BatchNormalization, opset 9": graph("z = BatchNormalization<epsilon=0.01>(x, c, d, e, f)", opset=9, c=drawn(3),
                                         d=drawn(3), e=drawn(3), f=abs(drawn(3))),
    # as newer opsets have it
    "ReduceMean, opset 18": graph("z = ReduceMean<keepdims=0>(x, c)", opset=18, c=ints(1, -1)),
    "ReduceMax, opset 18": graph("z = ReduceMax(x, c)", opset=18, c=ints(2, 3)),
    "ReduceMin of all": graph("z = ReduceMin<keepdims=0>(x)"),
    "Pad axes, opset 18": graph("z = Pad(x, c, d, e)", opset=18, c=ints(1, -1, 2, 1), d=np.float32(0.5), e=ints(3, 1)),
    "Split num_outputs, opset 18": graph("a, b, z = Split<axis=3, num_outputs=3>(x)", opset=18),
    "Resize half_pixel": graph('z = Resize<mode="linear">(x, , c)', c=floats(1, 1, 2.5, 0.8)),
    "Resize cubic to sizes": graph('z = Resize<mode="cubic">(x, , , c)', c=ints(2, 3, 9, 4)),
    "Resize axes, opset 19": graph('z = Resize<axes=[2,3], mode="linear">(x, , , c)', opset=19, c=ints(7, 14)),
    "Resize round_prefer_ceil": graph('z = Resize<nearest_mode="round_prefer_ceil">(x, , c)', c=floats(1, 1, 1.5, 2)),
    "GroupNormalization, opset 21": graph("z = GroupNormalization<num_groups=2>(x, c, d)", (2, 4, 3, 5), 21,
                                          c=drawn(4), d=drawn(4)),
    "HardSwish": graph("z = HardSwish(x)"),
    "Mish, opset 18": graph("z = Mish(x)", opset=18),
    # windows
    "Conv SAME_UPPER": graph('z = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, c)', c=drawn(4, 3, 3, 4)),
    "Conv uneven pads": graph("z = Conv<pads=[0,1,2,0], strides=[2,3]>(x, c, d)", c=drawn(4, 3, 3, 2), d=drawn(4)),
    "Conv of a line": graph("z = Conv<pads=[1,1], dilations=[2]>(x, c, d)", LINE, c=drawn(4, 3, 2), d=drawn(4)),
    "ConvTranspose output_padding": graph(
        "z = ConvTranspose<strides=[2,2], output_padding=[1,1]>(x, c, d)", c=drawn(3, 4, 2, 3), d=drawn(4)
    ),
    "ConvTranspose uneven pads": graph("z = ConvTranspose<pads=[0,1,1,0]>(x, c)", c=drawn(3, 4, 3, 3)),
    "MaxPool SAME_LOWER": graph('z = MaxPool<kernel_shape=[2,3], strides=[2,2], auto_pad="SAME_LOWER">(x)'),
    "MaxPool uneven pads": graph("z = MaxPool<kernel_shape=[3,3], pads=[0,1,2,2], strides=[2,1]>(x)"),
    "MaxPool of a line": graph("z = MaxPool<kernel_shape=[3], strides=[2], ceil_mode=1>(x)", LINE),
    "AveragePool uneven pads": graph("z = AveragePool<kernel_shape=[3,3], pads=[0,1,2,2], strides=[2,1]>(x)"),
    "AveragePool counting pads": graph(
        "z = AveragePool<kernel_shape=[3,2], pads=[1,0,0,1], count_include_pad=1, strides=[3,2]>(x)"
    ),
    "AveragePool of channels": graph(
        "z = AveragePool<kernel_shape=[3,1,1], pads=[1,0,0,1,0,0], count_include_pad=1>(x)", (2, 1, 4, 5, 3)
    ),
    "MaxPool of the last two of three": graph("z = MaxPool<kernel_shape=[1,2,2]>(x)", (2, 3, 4, 5, 3)),
    "AveragePool of a line": graph("z = AveragePool<kernel_shape=[3], pads=[1,1]>(x)", LINE),
    "GlobalMaxPool": graph("z = GlobalMaxPool(x)", (2, 3, 4, 3, 2)),
    "GlobalAveragePool of a line": graph("z = GlobalAveragePool(x)", LINE),
    "MaxPool's places in the plane": graph(
        "a, b = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x); d = Mod(b, c); z = Cast<to=1>(d)", c=ints(35)
    ),
    # products
    "Gemm with factors": graph("z = Gemm<alpha=0.5, beta=2.0, transA=1>(x, c, d)", (6, 4), c=WIDE, d=drawn(5)),
    "Gemm plus a matrix": graph("z = Gemm<transB=1>(x, c, y)", FLAT, y=(4, 3), c=ROWS),
    "MatMul from the right": graph("z = MatMul(x, c)", (2, 4, 6), c=WIDE),
    "MatMul from the left": graph("z = MatMul(c, x)", (2, 6, 4), c=ROWS),
    "MatMul with a vector": graph("z = MatMul(x, c)", (2, 4, 6), c=drawn(6)),
    # norms
    "InstanceNormalization": graph("z = InstanceNormalization<epsilon=0.1>(x, c, d)", c=drawn(3), d=drawn(3)),
    "LayerNormalization": graph("z = LayerNormalization<axis=-2>(x, c, d)", c=drawn(5, 7), d=drawn(5, 7)),
    "LRN": graph("z = LRN<size=3, alpha=0.1, bias=2.0>(x)"),
    # recurrent
    "LSTM": graph("z = LSTM<hidden_size=4>(x, c, d, e)", (5, 2, 3), c=drawn(1, 16, 3), d=drawn(1, 16, 4),
                  e=drawn(1, 32)),
    "LSTM backwards, without bias": graph('z = LSTM<hidden_size=4, direction="reverse">(x, c, d)', (5, 2, 3),
                                          c=drawn(1, 16, 3), d=drawn(1, 16, 4)),
    "LSTM both ways, from a state": graph(
        'a, z = LSTM<hidden_size=4, direction="bidirectional">(x, c, d, e, , y, f)', (5, 2, 3), y=(2, 2, 4),
        c=drawn(2, 16, 3), d=drawn(2, 16, 4), e=drawn(2, 32), f=drawn(2, 2, 4)),
    # arithmetic
    "Add of more axes": graph("z = Add(x, c)", (3, 1), c=drawn(2, 1, 4)),
    "Sub that broadcasts": graph("z = Sub(x, y)", y=(3, 1, 7)),
    "Mul by columns": graph("z = Mul(y, x)", y=(7,)),
    "Div by a blob": graph("a = Exp(y); z = Div(c, a)", y=(2, 3), c=drawn(2, 3)),
    "Mul by nothing": graph("z = Mul(x, c)", c=np.float32(0)),
    "Max with numbers": graph("z = Max(x, c, y)", y=(5, 1), c=floats(0.5)),
    "Min of three": graph("z = Min(x, y, c)", y=FOUR, c=drawn(7)),
    "Mean": graph("z = Mean(x, y)", y=FOUR),
    "values one by one": graph("a = Sign(x); b = Softsign(a); d = Selu(x); e = Reciprocal(d); z = Add(b, e)"),
    "ThresholdedRelu": graph("z = ThresholdedRelu<alpha=0.3>(x)"),
    "ReduceL2": graph("z = ReduceL2<axes=[0,2]>(x)"),
    "ReduceLogSumExp": graph("z = ReduceLogSumExp<axes=[3], keepdims=0>(x)"),
    "PRelu": graph("z = PRelu(x, c)", c=drawn(3, 1, 1)),
    # choices
    "Where": graph("a = Greater(x, y); z = Where(a, x, c)", y=(7,), c=floats(np.nan)),
    "comparisons": graph(
        "a = Less(x, c); b = LessOrEqual(c, x); d = And(a, b); e = Or(d, a); f = Not(e); g = Xor(f, a);"
        " z = Cast<to=1>(g)", np.array([[1, 2, 3]], np.float32), c=np.float32(2)),
    "GreaterOrEqual": graph("a = GreaterOrEqual(x, c); z = Cast<to=1>(a)", floats(1, 2, 3), c=np.float32(2)),
    "Equal": graph("a = Equal(x, y); z = Cast<to=1>(a)", floats(1, 2, 3), y=floats(1, -2, 3)),
    "truth": graph("a = Cast<to=9>(x); z = Cast<to=1>(a)", floats(0, -0.5, 3)),
    "ArgMax of equals": graph("a = ArgMax<axis=1>(x); z = Cast<to=1>(a)", TIES),
    "ArgMax of equals, last": graph("a = ArgMax<axis=1, select_last_index=1, keepdims=0>(x); z = Cast<to=1>(a)", TIES),
    "ArgMin": graph("a = ArgMin<axis=0, keepdims=0>(x); z = Cast<to=1>(a)", TIES),
    "TopK of equals": graph("a, b = TopK<axis=1>(x, c); z = Cast<to=1>(b)", TIES, c=ints(3)),
    "TopK smallest": graph("z, b = TopK<largest=0>(x, c)", TIES, c=ints(2)),
    "Compress by a constant": graph("z = Compress<axis=3>(x, c)", c=np.array([0, 1, 1, 0, 0, 1, 0], bool)),
    # moves
    "Transpose": graph("z = Transpose<perm=[3,0,2,1]>(x)"),
    "Transpose, all turned": graph("z = Transpose(x)"),
    "Gather": graph("z = Gather<axis=1>(x, c)", c=ints(-1, 0, -1).reshape(3, 1)),
    "Gather of many": graph("z = Gather<axis=2>(x, c)", (2, 3, 90, 2), c=RNG.permutation(90)),
    "Embed": graph("z = Gather(c, x)", np.array([[0, 2], [1, 5]]), c=WIDE),
    "rows by number": graph("z = Gather(x, y)", y=np.array([1, 1, 0], np.int32)),
    "columns by number": graph("z = Gather<axis=3>(x, y)", y=np.array([[1, 6], [0, 3]])),
    "Slice backwards": graph("z = Slice(x, c, d, e, f)", c=ints(-1, 1), d=ints(-99, 5), e=ints(3, 2), f=ints(-2, 2)),
    "DepthToSpace DCR": graph("z = DepthToSpace<blocksize=2>(x)", (2, 8, 3, 2)),
    "SpaceToDepth": graph("z = SpaceToDepth<blocksize=2>(x)", (2, 3, 4, 6)),
    "Expand": graph("z = Expand(x, c)", (3, 1), c=ints(2, 1, 4)),
    "Tile": graph("z = Tile(x, c)", LINE, c=ints(1, 2, 3)),
    "Concat with a constant": graph("z = Concat<axis=1>(c, x)", FLAT, c=drawn(4, 2)),
    "shapes computed": graph(
        "s = Shape(x); n = Gather(s, c); u = Unsqueeze(n, d); k = Concat<axis=0>(u, e); z = Reshape(x, k)",
        c=np.int64(0), d=ints(0), e=ints(-1, 7)),
    "Shape of a part": graph("s = Shape<start=1, end=3>(x); k = Concat<axis=0>(s, c); z = Reshape(x, k)", c=ints(-1)),
    "a branch": graph("z = If(c) <then_branch = t () => (float[] p) { p = Relu(x) },"
                      " else_branch = e () => (float[] q) { q = Neg(x) }>", c=np.array(False)),
    "Flatten from 2": graph("z = Flatten<axis=2>(x)"),
    "Flatten from -1": graph("z = Flatten<axis=-1>(x)"),
    "whole numbers": graph("a = Add(x, c); b = Mul(a, a); z = Cast<to=1>(b)", np.array([[1, 2, 3]]), c=ints(4)),
    "ScatterElements to constant places": graph("z = ScatterElements<axis=1>(c, d, x)", (2, 3), d=ints(4, 0, 2) * TWICE,
                                                c=np.zeros((2, 5), np.float32)),
    "edge": graph('z = Pad<mode="edge">(x, c)', c=ints(0, 1, 0, 3, 0, 0, 2, 0)),
}  # fmt: skip

REFUSED = {
    "Erf": (graph("z = Erf(x)"), r"node 'z' \(Erf\): no stock layer computes this operation"),
    "Floor": (graph("z = Floor(x)"), "no stock layer rounds"),
    "Cast": (graph("a = Cast<to=7>(x); b = Add(a, a); z = Cast<to=1>(b)"), r"'b' \(Add\): stock layers do not round"),
    "division of whole numbers": (graph("a = Div(x, c); z = Cast<to=1>(a)", ints(7, 8), c=ints(2)), "whole numbers"),
    "two matrices": (graph("z = MatMul(x, y)", FLAT, y=(6, 5)), "both matrices are computed"),
    "dilated": (graph("z = MaxPool<kernel_shape=[2,2], dilations=[2,2]>(x)"), "has no dilation"),
    "three axes": (graph("z = MaxPool<kernel_shape=[2,2,2]>(x)", (2, 3, 4, 5, 3)), "windows over three axes"),
    "places": (graph("a, b = MaxPool<kernel_shape=[2,2]>(x); z = Cast<to=1>(b)"), "within each plane"),
    "an attribute": (graph("z = Relu<slope=0.1>(x)"), r"\(Relu\): its attribute slope is not known here"),
    "no axis": (graph("z = Concat(x, x)"), r"'z' \(Concat\): its attribute axis is missing"),
    "no weights": (graph("z = Conv(x)"), r"'z' \(Conv\): it is not as ONNX defines it"),
    "GRU": (graph("z = GRU<hidden_size=2>(x, c, d)", (3, 2, 2), c=drawn(1, 6, 2), d=drawn(1, 6, 2)), "has its gates"),
    "RNN": (graph("z = RNN<hidden_size=2>(x, c, d)", (3, 2, 2), c=drawn(1, 2, 2), d=drawn(1, 2, 2)), "once more"),
    "no kernel": (graph("z = GlobalAveragePool(x)", (2, 3)), "no plane to pool over"),
    "random": (graph("z = RandomNormalLike(x)"), r"\(RandomNormalLike\): no stock layer"),
    "opset": (graph("z = Relu(x)", opset=8), "opset 8; read are 9 to"),
    "how many": (graph("a = Cast<to=9>(y); b = Compress<axis=0>(x, a); z = Reshape(b, c)", y=(2,), c=ints(-1, 7)),
                 "how many samples there are depends on values"),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_the_net_of_stock_layers_gives_what_onnxruntime_gives(name: str, tmp_path: Path) -> None:
    case, path = EXACT[name], tmp_path / "x.onnx"
    if case.opset > 20 and tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 18):
        pytest.skip(f"onnxruntime {onnxruntime.__version__} knows no opset {case.opset}")
    case.save(path)
    model = from_onnx.read(path)
    assert {REGISTRY[layer.type].origin for layer in model.net.layer} == {"BVLC"}
    net, (wanted, theirs) = model.runtime(), list(run_onnx(path, case.inputs()).items())[-1]
    values = run_ours(net, {k: v.astype(np.float32) for k, v in case.inputs().items()})
    made = values[net.graph.last[wanted].id]
    assert made.shape == theirs.shape
    apart = difference(theirs, made)
    assert apart.relative <= 2e-6, str(apart)  # float32 sums of up to 105 numbers, in another order


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_exact_form_says_which_node_and_why(name: str, tmp_path: Path) -> None:
    case, reason = REFUSED[name]
    case.save(tmp_path / "x.onnx")
    with pytest.raises(UnsupportedError, match=reason):
        from_onnx.read(tmp_path / "x.onnx")
