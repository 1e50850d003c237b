"""The ONNX graph while layers write themselves into it: `layers.base.OnnxGraph`, as `Layer.onnx` sees it.

Names: a layer's first node has the layer's name, further ones `<layer>/<op>`; blobs are `<layer>.<blob>`; everything
that layers make up in between is `<layer>/<hint>`. No name is given twice. Equal constants are stored once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from caffe_port.layers.base import Layer, Shape
from converters.optional import need

OPSET = 17
"""The one opset that is written."""


class GraphBuilder:
    """Collects `nodes` (NodeProto) and `initializers` (name -> array). `taken`: names that values of the net have."""

    def __init__(self, shapes: Mapping[str, Shape], taken: Iterable[str] = ()) -> None:
        self.nodes: list[Any] = []
        self.initializers: dict[str, np.ndarray] = {}
        self._shapes = shapes
        self._names = set(taken) | set(shapes)
        self._node_names: set[str] = set()
        self._constants: dict[tuple[str, Shape, bytes], str] = {}
        self._blobs: dict[tuple[int, str], str] = {}
        self._layer: Layer | None = None
        self._helper = need("onnx.helper", "onnx")

    def write(self, layer: Layer, bottoms: list[str], tops: list[str]) -> None:
        """Let `layer` write its nodes, from values named `bottoms` to values named `tops`."""
        self._layer = layer
        layer.onnx(self, bottoms, tops)
        made = {name for node in self.nodes for name in node.output}
        lacking = [top for top in tops if top not in made]
        if lacking:
            raise layer.unsupported(f"its ONNX form does not make {', '.join(lacking)}")

    def types(self, nodes: Sequence[Any]) -> dict[str, int]:
        """ONNX's element types of what `nodes`, a layer's, make."""
        numbers = {name: self._helper.np_dtype_to_tensor_dtype(a.dtype) for name, a in self.initializers.items()}
        made = dict.fromkeys(name for node in nodes for name in node.output if name)
        read = dict.fromkeys(name for node in nodes for name in node.input if name and name not in made)
        graph = self._helper.make_graph(
            list(nodes),
            "types",
            [self._helper.make_tensor_value_info(name, numbers.get(name, 1), None) for name in read],  # 1: FLOAT
            [self._helper.make_empty_tensor_value_info(name) for name in made],
        )
        model = self._helper.make_model(graph, opset_imports=[self._helper.make_opsetid("", OPSET)])
        inferred = need("onnx.shape_inference", "onnx").infer_shapes(model).graph
        return {value.name: value.type.tensor_type.elem_type for value in [*inferred.output, *inferred.value_info]}

    # -- the protocol ------------------------------------------------------------------------------------------------

    def node(self, op: str, inputs: Sequence[str], outputs: Sequence[str] | int = 1, **attributes: Any) -> Any:
        if isinstance(outputs, int):
            names = [self.fresh(op.lower()) for _ in range(outputs)]
        else:
            names = list(outputs)
        name = _unused(self._scope, f"{self._scope}/{op}", self._node_names)
        self.nodes.append(self._helper.make_node(op, list(inputs), names, name=name, **attributes))
        return names[0] if len(names) == 1 else names

    def loop(self, most: str, state: str, body: Callable[[str], Sequence[str]]) -> list[str]:
        """The nodes of the body become a graph of their own, which reads by name what is outside."""
        outside, self.nodes = self.nodes, []
        given = [self.fresh(hint) for hint in ("round", "goes_on", "state")]
        try:
            made = body(given[-1])
        finally:
            inside, self.nodes = self.nodes, outside
        of_type, untyped = self._helper.make_tensor_value_info, self._helper.make_empty_tensor_value_info
        number, truth = of_type(given[0], 7, ()), of_type(given[1], 9, ())  # INT64, BOOL; the rest follows from outside
        graph = self._helper.make_graph(
            inside, self.fresh("body"), [number, truth, untyped(given[2])], list(map(untyped, made))
        )
        begin = self.const(np.array(True), "begin")
        names: list[str] = self.node("Loop", [most, begin, state], [self.fresh("loop") for _ in made[1:]], body=graph)
        return names

    def const(self, array: np.ndarray, hint: str = "const") -> str:
        array = np.asarray(array)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self._add(self.fresh(hint), array)
        return self._constants[key]

    def blob(self, layer: Layer, name: str) -> str:
        """One initializer for every blob, and one for all layers that share a blob in one shape."""
        tensor = getattr(layer, name)
        if name in layer.shared:
            owner, owner_name, shape = layer.shared[name]
            if tuple(getattr(owner, owner_name).shape) == shape:
                return self.blob(owner, owner_name)
        key = (id(layer), name)
        if key not in self._blobs:
            wanted = f"{layer.name}.{name}"
            array = tensor.detach().cpu().float().numpy()
            self._blobs[key] = self._add(self._reserve(wanted, wanted), array)
        return self._blobs[key]

    def shape(self, value: str) -> Shape:
        return tuple(self._shapes[value])

    def fresh(self, hint: str) -> str:
        wanted = f"{self._scope}/{hint}"
        return self._reserve(wanted, wanted)

    # -- names -------------------------------------------------------------------------------------------------------

    @property
    def _scope(self) -> str:
        return self._layer.name if self._layer is not None else "net"

    def _add(self, name: str, array: np.ndarray) -> str:
        self.initializers[name] = array
        return name

    def _reserve(self, wanted: str, stem: str) -> str:
        return _unused(wanted, stem, self._names)


def _unused(wanted: str, stem: str, taken: set[str]) -> str:
    """`wanted`, or `stem` with the first number that is free; the name is taken from now on."""
    name, number = wanted, 1
    while name in taken:
        name = stem if number == 1 and stem not in taken else f"{stem}_{number}"
        number += 1
    taken.add(name)
    return name
