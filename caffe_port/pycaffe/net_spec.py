"""`caffe.NetSpec`, `caffe.layers` and `caffe.params`: nets written in Python, as NetParameter messages.

    n = caffe.NetSpec()
    n.data = caffe.layers.Input(shape=dict(dim=[1, 3, 8, 8]))
    n.conv = caffe.layers.Convolution(n.data, num_output=4, kernel_size=3)
    print(n.to_proto())

Source of the names and rules: python/caffe/net_spec.py of BVLC Caffe 1.0.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from caffe_port.proto import caffe_pb2


def param_name_dict() -> dict[str, str]:
    """{"Convolution": "convolution", ...}: a message's name without "Parameter" to its field's without "_param"."""
    names: dict[str, str] = {}
    for field in caffe_pb2.LayerParameter.DESCRIPTOR.fields:
        if field.name.endswith("_param") and field.message_type is not None:
            names.setdefault(field.message_type.name.removesuffix("Parameter"), field.name.removesuffix("_param"))
    return names


def to_proto(*tops: Top) -> Any:
    """A NetParameter of all the layers that these tops need; blobs are named by type and number (Convolution1)."""
    return _net({}, tops)


def assign_proto(proto: Any, name: str, val: Any) -> None:
    """Put a Python value into a message's field: dicts become messages, lists repeated values; a single value for a
    repeated field is a list of one. AttributeError: there is no such field."""
    target = getattr(proto, name)
    if hasattr(target, "extend"):
        for item in val if isinstance(val, list | tuple) else [val]:
            if isinstance(item, Mapping):
                _assign_all(target.add(), item)
            else:
                target.append(item)
    elif isinstance(val, Mapping):
        _assign_all(target, val)
    else:
        setattr(proto, name, val)


def _assign_all(message: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        assign_proto(message, name, value)


class Top:
    """Output number `n` of a layer."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> Any:
        return to_proto(self)


class Function:
    """A layer: its type, the tops that it reads, its options. `ntop` of them says how many tops it has (1), `in_place`
    that it writes over its bottoms. TypeError: an input is no Top, such as the tuple that a layer of two tops gives."""

    def __init__(self, type_name: str, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        for index, value in enumerate(inputs):
            if not isinstance(value, Top):
                raise TypeError(f"{type_name} input {index} is not a Top (type is {type(value)})")
        self.type_name = type_name
        self.inputs: tuple[Top, ...] = inputs
        self.params = dict(params)
        self.ntop = self.params.pop("ntop", 1)
        self.in_place = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def options_into(self, layer: Any) -> None:
        """An option is a field of the type's own message where it has one, else of the layer."""
        own = _param_names.get(self.type_name)
        message = getattr(layer, f"{own}_param") if own is not None else None
        for name, value in self.params.items():
            of_type = message is not None and not name.endswith("param") and name in message.DESCRIPTOR.fields_by_name
            assign_proto(message if of_type else layer, name, value)


class NetSpec:
    """A net whose blobs have the names that they are assigned to, as attributes or as items."""

    tops: OrderedDict[str, Any]

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        if name == "tops" or name not in self.tops:  # "tops": a copy that is not filled yet
            raise _NoTop(f"this NetSpec has no '{name}'")
        return self.tops[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    def keys(self) -> list[str]:
        return list(self.tops)

    def to_proto(self) -> Any:
        """A NetParameter of all the layers that the assigned tops need."""
        return _net({value: name for name, value in self.tops.items()}, self.tops.values())


class _NoTop(AttributeError, KeyError):
    """The original raises KeyError, Python's own tools expect AttributeError."""

    __str__ = AttributeError.__str__


class Layers:
    """`caffe.layers`: `layers.Pooling(bottom, kernel_size=2)` is a Top; a tuple of them, or the layer, for other
    `ntop`."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def layer(*bottoms: Top, **options: Any) -> Any:
            fn = Function(name, bottoms, options)
            return fn.tops[0] if fn.ntop == 1 else fn.tops or fn

        return layer


class Parameters:
    """`caffe.params`: the constants of a layer's message, as in `params.Pooling.MAX`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(caffe_pb2, f"{name}Parameter")


def _net(names: dict[Any, str], wanted: Any) -> Any:
    """The layers in an order in which each comes after those that it reads. `names`: of tops, and of layers without."""
    names, counts = dict(names), Counter[str]()
    layers: dict[Function, Any] = {}

    def name_of(key: Top | Function, kind: str) -> str:
        if key not in names:
            counts[kind] += 1
            names[key] = f"{kind}{counts[kind]}"
        return names[key]

    def add(fn: Function) -> None:
        layer = caffe_pb2.LayerParameter(type=fn.type_name)
        layer.bottom.extend(layers[top.fn].top[top.n] for top in fn.inputs)
        layer.top.extend(layer.bottom if fn.in_place else [name_of(top, fn.type_name) for top in fn.tops])
        layer.name = name_of(fn.tops[0] if fn.tops else fn, fn.type_name)
        fn.options_into(layer)
        layers[fn] = layer

    for value in wanted:
        # A stack of its own: nets of a thousand layers are deeper than Python's.
        waiting = [value.fn if isinstance(value, Top) else value]
        while waiting:
            missing = [top.fn for top in waiting[-1].inputs if top.fn not in layers]
            if missing:
                waiting.append(missing[0])
            else:
                fn = waiting.pop()
                if fn not in layers:
                    add(fn)
    return caffe_pb2.NetParameter(layer=layers.values())


_param_names = param_name_dict()
layers = Layers()
params = Parameters()
