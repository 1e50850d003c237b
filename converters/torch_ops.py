"""ONNX operators as lines of plain PyTorch: what `torch_source` writes for layers without an `nn.Module` of their own.

Every layer already says in ONNX what it computes, so this table of operators serves all layers. An operator is one
function named by it: node in, the right side of an assignment out. Constants become literals where they are short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

INT_MAX = 2**31 - 1
TYPES = {1: "torch.float32", 6: "torch.int32", 7: "torch.int64", 9: "torch.bool"}


class Unwritable(Exception):
    """An operator, or a use of one, that this table has no plain torch for."""


class Node:
    """An ONNX node as the table sees it: expressions of its inputs, its attributes, its constants."""

    def __init__(self, proto: Any, inputs: list[str], constants: Mapping[str, np.ndarray]) -> None:
        import onnx

        self.op = proto.op_type
        self.inputs = inputs
        self.outputs = list(proto.output)
        self._constants = [constants.get(name) for name in proto.input]
        self._attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        self.unread = set(self._attributes)

    def get(self, name: str, default: Any = None) -> Any:
        self.unread.discard(name)
        return self._attributes.get(name, default)

    def has(self, i: int) -> bool:
        return i < len(self.inputs) and bool(self.inputs[i])

    def ints(self, i: int) -> list[int]:
        """Input i as the list of whole numbers that it must be."""
        value = self._constants[i] if i < len(self._constants) else None
        if value is None:
            raise Unwritable(f"{self.op} with a computed input {i}")
        return [int(v) for v in np.asarray(value).ravel()]


def number(value: Any) -> str:
    """A number as the shortest literal that is the same float32, and not above the largest."""
    single = np.float32(value)
    text = str(single)
    if np.isfinite(single) and abs(float(text)) > float(np.finfo(np.float32).max):
        text = repr(float(single))
    return f'float("{text}")' if text in ("inf", "-inf", "nan") else text


def _infix(sign: str) -> Callable[[Node], str]:
    return lambda n: f" {sign} ".join(n.inputs)


def _method(name: str) -> Callable[[Node], str]:
    return lambda n: f"{n.inputs[0]}.{name}()"


def _chain(function: str) -> Callable[[Node], str]:
    def write(n: Node) -> str:
        text = n.inputs[0]
        for other in n.inputs[1:]:
            text = f"{function}({text}, {other})"
        return text

    return write


def _reduce(before: str, method: str) -> Callable[[Node], str]:
    """`before`: what is done to the elements first; `method`: the torch reduction over axes."""

    def write(n: Node) -> str:
        axes = n.ints(1) if n.has(1) else n.get("axes")
        if axes is None:
            raise Unwritable(f"{n.op} without axes")
        keep = ", keepdim=True" if n.get("keepdims", 1) else ""
        return f"{n.inputs[0]}{before}.{method}({tuple(axes)}{keep})"

    return write


def _reshape(n: Node) -> str:
    x = n.inputs[0]
    return f"{x}.reshape({', '.join(f'{x}.shape[{i}]' if d == 0 else str(d) for i, d in enumerate(n.ints(1)))})"


def _flatten(n: Node) -> str:
    x, axis = n.inputs[0], n.get("axis", 1)
    if axis == 1:
        return f"{x}.flatten(1)"
    return f"{x}.reshape(1, -1)" if axis == 0 else f"{x}.flatten(0, {axis - 1}).flatten(1)"


def _unsqueeze(n: Node) -> str:
    return n.inputs[0] + "".join(f".unsqueeze({axis})" for axis in sorted(n.ints(1)))


def _squeeze(n: Node) -> str:
    return n.inputs[0] + "".join(f".squeeze({axis})" for axis in sorted(n.ints(1), reverse=True))


def _slice(n: Node) -> str:
    starts, ends = n.ints(1), n.ints(2)
    axes = n.ints(3) if n.has(3) else list(range(len(starts)))
    steps = n.ints(4) if n.has(4) else [1] * len(starts)
    if min(steps) < 1 or min(axes) < 0 <= max(axes):
        raise Unwritable("Slice backwards, or from both ends of the axes")
    ranges = {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        ranges[axis] = f"{start or ''}:{'' if end >= INT_MAX else end}" + (f":{step}" if step != 1 else "")
    if min(axes) < 0:
        return f"{n.inputs[0]}[{', '.join(['...', *(ranges.get(i, ':') for i in range(min(axes), 0))])}]"
    return f"{n.inputs[0]}[{', '.join(ranges.get(i, ':') for i in range(max(axes) + 1))}]"


def _split(n: Node) -> str:
    axis = n.get("axis", 0)
    if n.has(1):
        return f"{n.inputs[0]}.split({n.ints(1)}, {axis})"
    return f"{n.inputs[0]}.chunk({len(n.outputs)}, {axis})"


def _gather(n: Node) -> str:
    index = f"{n.inputs[1]}.long()" if n._constants[1] is None else str(np.asarray(n._constants[1]).tolist())
    return f"{n.inputs[0]}[{':, ' * n.get('axis', 0)}{index}]"


def _pad(n: Node) -> str:
    amounts, value = n.ints(1), n.inputs[2] if n.has(2) else "0.0"
    rank = len(amounts) // 2
    pairs = [(amounts[i], amounts[i + rank]) for i in reversed(range(rank))]
    while pairs and pairs[-1] == (0, 0):
        pairs.pop()
    return f"F.pad({n.inputs[0]}, {tuple(v for pair in pairs for v in pair)}, value={value})"


def _pool(function: str, filler: str) -> Callable[[Node], str]:
    def write(n: Node) -> str:
        indices = ", return_indices=True" if len(n.outputs) > 1 else ""
        kernel, x = n.get("kernel_shape"), n.inputs[0]
        stride, pads = n.get("strides", [1] * len(kernel)), n.get("pads", [0] * 2 * len(kernel))
        inside = n.get("count_include_pad", 0)
        if n.op == "AveragePool" and any(pads) and not inside:
            raise Unwritable("AveragePool that leaves its pads out")
        before, after = pads[: len(kernel)], pads[len(kernel) :]
        padding = ""
        if before == after and all(2 * p <= k for p, k in zip(before, kernel, strict=True)):
            padding = f", padding={tuple(before)}" if any(before) else ""
        elif indices:
            raise Unwritable("MaxPool with indices and uneven pads")
        else:
            pairs = tuple(v for pair in zip(reversed(before), reversed(after), strict=True) for v in pair)
            x = f"F.pad({x}, {pairs}, value={filler})"
        return f"F.{function}{len(kernel)}d({x}, {tuple(kernel)}, {tuple(stride)}{padding}{indices})"

    return write


def _conv(n: Node) -> str:
    spatial, transposed = len(n.get("kernel_shape") or ()), n.op == "ConvTranspose"
    zeros, ones = [0] * spatial, [1] * spatial
    pads = n.get("pads", zeros * 2)
    if not spatial or pads[:spatial] != pads[spatial:] or any(n.get("output_padding", [])):
        raise Unwritable(f"{n.op} with uneven pads")
    bias = n.inputs[2] if n.has(2) else "None"
    options = f"stride={tuple(n.get('strides', ones))}, padding={tuple(pads[:spatial])}"
    options += f", dilation={tuple(n.get('dilations', ones))}, groups={n.get('group', 1)}"
    return f"F.conv{'_transpose' * transposed}{spatial}d({n.inputs[0]}, {n.inputs[1]}, {bias}, {options})"


def _gemm(n: Node) -> str:
    if n.get("transA", 0) or n.get("alpha", 1.0) != 1 or n.get("beta", 1.0) != 1:
        raise Unwritable("Gemm with factors")
    if n.get("transB", 0):
        return f"F.linear({', '.join(n.inputs)})"
    return f"{n.inputs[0]} @ {n.inputs[1]}" + (f" + {n.inputs[2]}" if n.has(2) else "")


def _batch_norm(n: Node) -> str:
    x, weight, bias, mean, variance = n.inputs
    return f"F.batch_norm({x}, {mean}, {variance}, {weight}, {bias}, eps={number(n.get('epsilon', 1e-5))})"


def _lrn(n: Node) -> str:
    options = f"alpha={number(n.get('alpha', 1e-4))}, beta={number(n.get('beta', 0.75))}, k={number(n.get('bias', 1))}"
    return f"F.local_response_norm({n.inputs[0]}, {n.get('size')}, {options})"


def _clip(n: Node) -> str:
    bounds = [n.inputs[i] if n.has(i) else "None" for i in (1, 2)]
    return f"{n.inputs[0]}.clamp({', '.join(bounds)})"


def _arg_max(n: Node) -> str:
    x, axis, keep = n.inputs[0], n.get("axis", 0), ", keepdim=True" if n.get("keepdims", 1) else ""
    if n.get("select_last_index", 0):  # of equal ones; torch takes the first
        return f"{x}.shape[{axis}] - 1 - {x}.flip({axis}).argmax({axis}{keep})"
    return f"{x}.argmax({axis}{keep})"


def _compress(n: Node) -> str:
    return f"{n.inputs[0]}[{':, ' * n.get('axis', 0)}{n.inputs[1]}]"


def _cast(n: Node) -> str:
    if n.get("to") not in TYPES:
        raise Unwritable(f"Cast to type {n.get('to')}")
    return f"{n.inputs[0]}.to({TYPES[n.get('to')]})"


OPS: dict[str, Callable[[Node], str]] = {
    "Abs": _method("abs"),
    "Add": _infix("+"),
    "ArgMax": _arg_max,
    "AveragePool": _pool("avg_pool", "0.0"),
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Compress": _compress,
    "Concat": lambda n: f"torch.cat(({', '.join(n.inputs)},), {n.get('axis')})",
    "Conv": _conv,
    "ConvTranspose": _conv,
    "Div": _infix("/"),
    "Elu": lambda n: f"F.elu({n.inputs[0]}, {number(n.get('alpha', 1.0))})",
    "Equal": _infix("=="),
    "Exp": _method("exp"),
    "Expand": lambda n: f"torch.as_tensor({n.inputs[0]}).expand({n.inputs[1]}.tolist())",
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda n: f"{n.inputs[0]}.mean((2, 3), keepdim=True)",
    "Greater": _infix(">"),
    "Identity": lambda n: n.inputs[0],
    "LRN": _lrn,
    "LeakyRelu": lambda n: f"F.leaky_relu({n.inputs[0]}, {number(n.get('alpha', 0.01))})",
    "Less": _infix("<"),
    "Log": _method("log"),
    "MatMul": _infix("@"),
    "Max": _chain("torch.maximum"),
    "MaxPool": _pool("max_pool", 'float("-inf")'),
    "Min": _chain("torch.minimum"),
    "Mod": _infix("%"),
    "Mul": _infix("*"),
    "Neg": lambda n: f"-{n.inputs[0]}",
    "PRelu": lambda n: f"torch.where({n.inputs[0]} > 0, {n.inputs[0]}, {n.inputs[0]} * {n.inputs[1]})",
    "Pad": _pad,
    "Pow": _infix("**"),
    "ReduceL1": _reduce(".abs()", "sum"),
    "ReduceMax": _reduce("", "amax"),
    "ReduceMean": _reduce("", "mean"),
    "ReduceSum": _reduce("", "sum"),
    "ReduceSumSquare": _reduce(".square()", "sum"),
    "Relu": lambda n: f"F.relu({n.inputs[0]})",
    "Reshape": _reshape,
    "Shape": lambda n: f"torch.tensor({n.inputs[0]}.shape)",
    "Sigmoid": _method("sigmoid"),
    "Slice": _slice,
    "Softmax": lambda n: f"{n.inputs[0]}.softmax({n.get('axis', -1)})",
    "Softplus": lambda n: f"F.softplus({n.inputs[0]})",
    "Split": _split,
    "Sqrt": _method("sqrt"),
    "Squeeze": _squeeze,
    "Sub": _infix("-"),
    "Sum": _infix("+"),
    "Tanh": _method("tanh"),
    "Tile": lambda n: f"{n.inputs[0]}.repeat({', '.join(map(str, n.ints(1)))})",
    "Transpose": lambda n: f"{n.inputs[0]}.permute({', '.join(map(str, n.get('perm')))})",
    "Unsqueeze": _unsqueeze,
    "Where": lambda n: f"torch.where({', '.join(n.inputs)})",
}


def expression(node: Node) -> str:
    """The right side of the assignment for `node`; raises Unwritable."""
    if node.op not in OPS:
        raise Unwritable(f"operator {node.op}")
    text = OPS[node.op](node)
    if node.unread:  # an attribute that the function does not know could change what it means
        raise Unwritable(f"{node.op} with {', '.join(sorted(node.unread))}")
    return text
