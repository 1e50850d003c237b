"""ONNX operators as lines of plain PyTorch: what `torch_source` writes for layers without an `nn.Module` of their own.

Every layer already says in ONNX what it computes, so this table of operators serves all layers. An operator is one
function named by it: node in, the right side of an assignment out. Constants become literals where they are short.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters import torch_helpers
from converters.torch_node import Node, Unwritable, number

INT_MAX = 2**31 - 1
SHORT = 64
"""Most numbers of an index that is written into the text; a longer one is a buffer."""
TYPES = {1: "torch.float32", 6: "torch.int32", 7: "torch.int64", 9: "torch.bool"}


def _infix(sign: str) -> Callable[[Node], str]:
    return lambda n: f" {sign} ".join(n.inputs)


def _method(name: str) -> Callable[[Node], str]:
    return lambda n: f"{n.inputs[0]}.{name}()"


def _chain(function: str, bound: str) -> Callable[[Node], str]:
    """`bound`: the argument of clamp that takes a number."""

    def write(n: Node) -> str:
        order = sorted(range(len(n.inputs)), key=n.literal)
        text = n.inputs[order[0]]
        for i in order[1:]:
            text = f"{text}.clamp({bound}={n.inputs[i]})" if n.literal(i) else f"{function}({text}, {n.inputs[i]})"
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
    if n.constant(1) is None:
        return f"{x}.reshape({n.inputs[1]}.tolist())"
    return f"{x}.reshape({', '.join(f'{x}.shape[{i}]' if d == 0 else str(d) for i, d in enumerate(n.ints(1)))})"


def _flatten(n: Node) -> str:
    x, axis = n.inputs[0], n.get("axis", 1)
    if axis == 1:
        return f"{x}.flatten(1)"
    return f"{x}.reshape(1, -1)" if axis == 0 else f"{x}.flatten(0, {axis - 1}).flatten(1)"


def _unsqueeze(n: Node) -> str:
    return n.inputs[0] + "".join(f".unsqueeze({axis})" for axis in sorted(n.ints(1)))


def _squeeze(n: Node) -> str:
    if not n.has(1):
        return f"{n.inputs[0]}.squeeze()"
    return n.inputs[0] + "".join(f".squeeze({axis})" for axis in sorted(n.ints(1), reverse=True))


def _slice(n: Node) -> str:
    starts, ends = n.ints(1), n.ints(2)
    axes = n.ints(3) if n.has(3) else list(range(len(starts)))
    steps = n.ints(4) if n.has(4) else [1] * len(starts)
    turned = [axis for axis, step in zip(axes, steps, strict=True) if step < 0]
    text = n.inputs[0] + (f".flip({', '.join(map(str, turned))})" if turned else "")
    ranges = {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 0:
            start, end, step = _from_the_end(start, end, step)
        if (start, step) != (0, 1) or end < INT_MAX:
            ranges[axis] = f"{start or ''}:{'' if end >= INT_MAX else end}" + (f":{step}" if step != 1 else "")
    front, back = ([axis for axis in ranges if (axis < 0) == negative] for negative in (False, True))
    if front:
        text += f"[{', '.join(ranges.get(i, ':') for i in range(max(front) + 1))}]"
    if back:
        text += f"[{', '.join(['...', *(ranges.get(i, ':') for i in range(min(back), 0))])}]"
    return text


def _from_the_end(start: int, end: int, step: int) -> tuple[int, int, int]:
    """A slice backwards as one of the flipped axis."""
    start, end = (0 if start >= INT_MAX else -1 - start), (INT_MAX if end <= -INT_MAX else -1 - end)
    if min(start, end) < 0:
        raise Unwritable("Slice backwards between places counted from the front")
    return start, end, -step


def _split(n: Node) -> str:
    axis = n.get("axis", 0)
    if n.has(1):
        return f"{n.inputs[0]}.split({n.ints(1)}, {axis})"
    return f"{n.inputs[0]}.chunk({len(n.outputs)}, {axis})"


def _gather(n: Node) -> str:
    index = n.constant(1)
    if index is None:
        text = f"{n.inputs[1]}.long()"
    else:
        text = str(index.tolist()) if index.size <= SHORT else n.inputs[1]
    return f"{n.inputs[0]}[{':, ' * n.get('axis', 0)}{text}]"


def _pad(n: Node) -> str:
    amounts, mode = n.ints(1), n.get("mode", "constant")
    value = n.inputs[2] if n.has(2) else "0.0"
    rank = len(amounts) // 2
    pairs = [(amounts[i], amounts[i + rank]) for i in reversed(range(rank))]
    while pairs and pairs[-1] == (0, 0):
        pairs.pop()
    if not pairs:
        return n.inputs[0]
    how = {"constant": f"value={value}", "edge": 'mode="replicate"', "reflect": 'mode="reflect"'}.get(mode)
    if how is None or mode != "constant" and len(pairs) > rank - 2:
        raise Unwritable(f"Pad of mode {mode} in {len(pairs)} axes of {rank}")
    return f"F.pad({n.inputs[0]}, {tuple(v for pair in pairs for v in pair)}, {how})"


def _pool(function: str, filler: str) -> Callable[[Node], str]:
    def write(n: Node) -> str:
        kernel, x = n.get("kernel_shape"), n.inputs[0]
        stride, pads = n.get("strides", [1] * len(kernel)), n.get("pads", [0] * 2 * len(kernel))
        inside = n.get("count_include_pad", 0)
        if n.op == "AveragePool" and any(pads) and not inside:
            raise Unwritable("AveragePool that leaves its pads out")
        if len(n.outputs) > 1:
            places = torch_helpers.max_pool_with_places
            return n.call(places, x, str(tuple(kernel)), str(tuple(stride)), str(tuple(pads)))
        before, after = pads[: len(kernel)], pads[len(kernel) :]
        padding = ""
        if before == after and all(2 * p <= k for p, k in zip(before, kernel, strict=True)):
            padding = f", padding={tuple(before)}" if any(before) else ""
        else:
            pairs = tuple(v for pair in zip(reversed(before), reversed(after), strict=True) for v in pair)
            x = f"F.pad({x}, {pairs}, value={filler})"
        return f"F.{function}{len(kernel)}d({x}, {tuple(kernel)}, {tuple(stride)}{padding})"

    return write


def _conv(n: Node) -> str:
    weight, transposed = n.constant(1), n.op == "ConvTranspose"
    spatial = len(n.get("kernel_shape") or (weight.shape[2:] if weight is not None else ()))
    zeros, ones = [0] * spatial, [1] * spatial
    pads, x = n.get("pads", zeros * 2), n.inputs[0]
    before, after, cut = pads[:spatial], pads[spatial:], ""
    if not spatial or any(n.get("output_padding", [])):
        raise Unwritable(f"{n.op} without a kernel's shape, or with more to its output")
    if before != after and transposed:  # its pads are cut off
        sides = (f"{b or ''}:{-a or ''}" for b, a in zip(before, after, strict=True))
        before, cut = zeros, f"[..., {', '.join(sides)}]"
    elif before != after:
        x = f"F.pad({x}, {tuple(v for pair in zip(reversed(before), reversed(after), strict=True) for v in pair)})"
        before = zeros
    bias = n.inputs[2] if n.has(2) else "None"
    options = f"stride={tuple(n.get('strides', ones))}, padding={tuple(before)}"
    options += f", dilation={tuple(n.get('dilations', ones))}, groups={n.get('group', 1)}"
    return f"F.conv{'_transpose' * transposed}{spatial}d({x}, {n.inputs[1]}, {bias}, {options}){cut}"


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
    to = n.get("to")
    if to not in TYPES:
        raise Unwritable(f"Cast to type {to}")
    return f"{n.inputs[0]}.to({TYPES[to]})"


def _div(n: Node) -> str:
    if n.whole(0):  # ONNX cuts the quotient
        return f'torch.div({n.inputs[0]}, {n.inputs[1]}, rounding_mode="trunc")'
    return _infix("/")(n)


def _depth_to_space(n: Node) -> str:
    if n.get("mode", "DCR") != "CRD":
        raise Unwritable("DepthToSpace of mode DCR")
    return f"F.pixel_shuffle({n.inputs[0]}, {n.get('blocksize')})"


def _resize(n: Node) -> str:
    """Planes to the size that the net has them in; by whole factors where the nearest pixels are repeated."""
    mode, places, x = n.get("mode", "nearest"), n.get("coordinate_transformation_mode", "half_pixel"), n.inputs[0]
    factors = n.constant(2)
    if n.shape is None or len(n.shape) != 4 or factors is None:
        raise Unwritable("Resize of other than planes, or by computed factors")
    if mode == "linear" and places in ("align_corners", "half_pixel"):
        aligned = places == "align_corners"
        return f'F.interpolate({x}, size={tuple(n.shape[2:])}, mode="bilinear", align_corners={aligned})'
    if (mode, places, n.get("nearest_mode")) == ("nearest", "asymmetric", "floor") and not (factors % 1).any():
        repeats = "".join(f".repeat_interleave({int(f)}, {i})" for i, f in enumerate(factors) if f != 1)
        return x + repeats
    raise Unwritable(f"Resize of mode {mode}, places {places}")


def _expand(n: Node) -> str:
    shape = f"{n.inputs[1]}.tolist()" if n.constant(1) is None else str(tuple(n.ints(1)))
    return f"torch.as_tensor({n.inputs[0]}).expand({shape})"


def _shape(n: Node) -> str:
    start, end = n.get("start", 0), n.get("end")
    return f"torch.tensor({n.inputs[0]}.shape" + (f"[{start}:{'' if end is None else end}])" if start or end else ")")


def _grid_sample(n: Node) -> str:
    options = f'mode="{n.get("mode", "bilinear")}", padding_mode="{n.get("padding_mode", "zeros")}"'
    return f"F.grid_sample({n.inputs[0]}, {n.inputs[1]}, {options}, align_corners={bool(n.get('align_corners', 0))})"


def _top_k(n: Node) -> str:
    (count,), axis, largest = n.ints(1), n.get("axis", -1), n.get("largest", 1)
    n.get("sorted")
    return n.call(torch_helpers.top_k, n.inputs[0], str(count), str(axis), *([] if largest else ["False"]))


def _scatter_elements(n: Node) -> str:
    axis, x = n.get("axis", 0), n.inputs[0]
    index = f"{n.inputs[1]} % {x}.shape[{axis}]"  # negative places count from the end
    return f"{x}.scatter({axis}, {index}, {n.inputs[2]})"


def _suppress(n: Node) -> str:
    if n.get("center_point_box", 0) or not n.has(2) or n.constant(2) is None:
        raise Unwritable("NonMaxSuppression of centres, or with a computed limit")
    limits = [None if not n.has(i) else n.constant(i) for i in (3, 4)]
    numbers = [number(np.ravel(limit)[0]) if limit is not None else "None" for limit in limits]
    numbers[0] = numbers[0].replace("None", "0.0")
    return n.call(torch_helpers.non_max_suppression, n.inputs[0], n.inputs[1], str(n.ints(2)[0]), *numbers)


def _max_roi_pool(n: Node) -> str:
    size, scale = tuple(n.get("pooled_shape")), number(n.get("spatial_scale", 1.0))
    return n.call(torch_helpers.max_roi_pool, n.inputs[0], n.inputs[1], str(size), scale)


def _roi_align(n: Node) -> str:
    meant = (n.get("mode", "avg"), n.get("sampling_ratio", 0), n.get("coordinate_transformation_mode", "half_pixel"))
    if meant != ("avg", 0, "output_half_pixel"):
        raise Unwritable(f"RoiAlign of {meant}")
    size, scale = (n.get("output_height", 1), n.get("output_width", 1)), number(n.get("spatial_scale", 1.0))
    return n.call(torch_helpers.roi_align, *n.inputs, str(size), scale)


def _hard_sigmoid(n: Node) -> str:
    return f"({number(n.get('alpha', 0.2))} * {n.inputs[0]} + {number(n.get('beta', 0.5))}).clamp(0.0, 1.0)"


OPS: dict[str, Callable[[Node], str]] = {
    "Abs": _method("abs"),
    "Add": _infix("+"),
    "And": _infix("&"),
    "ArgMax": _arg_max,
    "AveragePool": _pool("avg_pool", "0.0"),
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Ceil": _method("ceil"),
    "Clip": _clip,
    "Compress": _compress,
    "Concat": lambda n: f"torch.cat(({', '.join(n.inputs)},), {n.get('axis')})",
    "Conv": _conv,
    "ConvTranspose": _conv,
    "DepthToSpace": _depth_to_space,
    "Div": _div,
    "Elu": lambda n: f"F.elu({n.inputs[0]}, {number(n.get('alpha', 1.0))})",
    "Equal": _infix("=="),
    "Exp": _method("exp"),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": _method("floor"),
    "Gather": _gather,
    "GatherElements": lambda n: f"{n.inputs[0]}.gather({n.get('axis', 0)}, {n.inputs[1]})",
    "GatherND": lambda n: n.call(torch_helpers.gather_nd, *n.inputs),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda n: f"{n.inputs[0]}.mean((2, 3), keepdim=True)",
    "Greater": _infix(">"),
    "GreaterOrEqual": _infix(">="),
    "GridSample": _grid_sample,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda n: f"F.hardswish({n.inputs[0]})",
    "Identity": lambda n: n.inputs[0],
    "IsNaN": _method("isnan"),
    "LRN": _lrn,
    "LeakyRelu": lambda n: f"F.leaky_relu({n.inputs[0]}, {number(n.get('alpha', 0.01))})",
    "Less": _infix("<"),
    "LessOrEqual": _infix("<="),
    "Log": _method("log"),
    "MatMul": _infix("@"),
    "Max": _chain("torch.maximum", "min"),
    "MaxPool": _pool("max_pool", 'float("-inf")'),
    "MaxRoiPool": _max_roi_pool,
    "Min": _chain("torch.minimum", "max"),
    "Mod": _infix("%"),
    "Mul": _infix("*"),
    "Neg": lambda n: f"-{n.inputs[0]}",
    "NonMaxSuppression": _suppress,
    "NonZero": lambda n: f"{n.inputs[0]}.nonzero().T",
    "Not": lambda n: f"~{n.inputs[0]}",
    "Or": _infix("|"),
    "PRelu": lambda n: f"torch.where({n.inputs[0]} > 0, {n.inputs[0]}, {n.inputs[0]} * {n.inputs[1]})",
    "Pad": _pad,
    "Pow": _infix("**"),
    "Range": lambda n: f"torch.arange({', '.join(n.inputs)})",
    "ReduceL1": _reduce(".abs()", "sum"),
    "ReduceMax": _reduce("", "amax"),
    "ReduceMean": _reduce("", "mean"),
    "ReduceMin": _reduce("", "amin"),
    "ReduceSum": _reduce("", "sum"),
    "ReduceSumSquare": _reduce(".square()", "sum"),
    "Relu": lambda n: f"F.relu({n.inputs[0]})",
    "Reshape": _reshape,
    "Resize": _resize,
    "RoiAlign": _roi_align,
    "ScatterElements": _scatter_elements,
    "ScatterND": lambda n: n.call(torch_helpers.scatter_nd, *n.inputs),
    "Shape": _shape,
    "Sigmoid": _method("sigmoid"),
    "Sign": _method("sign"),
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
    "TopK": _top_k,
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
