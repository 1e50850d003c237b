"""A small prototxt builder: layers appended as messages, written one layer a line under a header of comments.

One line a layer keeps a 360-layer file readable with `grep` and `diff`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from textwrap import wrap
from typing import Any

from caffe_port.proto import caffe_pb2
from caffe_port.proto import text as prototxt

Layer = Any
"""A LayerParameter; protobuf makes its classes at run time, so a type checker cannot name them."""


class NetBuilder:
    """A NetParameter that grows layer by layer. Every method returns the name of the blob that it made."""

    def __init__(self, name: str) -> None:
        self.param = caffe_pb2.NetParameter(name=name)
        self.rules: dict[str, Any] = {}

    @contextmanager
    def under(self, **rules: Any):
        """Layers added inside carry these include/exclude rules: `with net.under(exclude=[{"stage": ["stage1"]}])`."""
        before, self.rules = self.rules, {**self.rules, **rules}
        try:
            yield self
        finally:
            self.rules = before

    def add(
        self, type: str, name: str, bottoms: str | Sequence[str] = (), top: str | None = None, **fields: Any
    ) -> str:
        """Append a layer. `fields` are LayerParameter's own, sub-messages as dicts; `top` defaults to the name."""
        bottoms = [bottoms] if isinstance(bottoms, str) else list(bottoms)
        top = name if top is None else top
        layer = caffe_pb2.LayerParameter(
            name=name, type=type, bottom=bottoms, top=[top], **{k: v for k, v in {**self.rules, **fields}.items() if v}
        )
        self.param.layer.append(layer)
        return top

    # -- the layers that networks are mostly made of -----------------------------------------------------------------

    def conv(self, name: str, bottom: str, outputs: int, kernel: int, type: str = "Convolution", **more: Any) -> str:
        """A convolution; `param` (multipliers) goes to the layer, everything else to its convolution_param."""
        param = more.pop("param", None)
        for field in ("stride", "pad", "dilation"):
            if field in more:
                more[field] = [more[field]]
        settings = {"num_output": outputs, "kernel_size": [kernel], **more}
        return self.add(type, name, bottom, param=param, convolution_param=settings)

    def in_place(self, type: str, name: str, blob: str, **fields: Any) -> str:
        return self.add(type, name, blob, blob, **fields)

    def relu(self, blob: str, name: str | None = None) -> str:
        return self.in_place("ReLU", name or f"{blob}_relu", blob)

    def pool(self, name: str, bottom: str, **settings: Any) -> str:
        return self.add("Pooling", name, bottom, pooling_param=settings)

    def text(self, header: str = "") -> str:
        return one_line_layers(self.param, header)


def one_line_layers(param: Any, header: str = "") -> str:
    """A NetParameter as text, one layer a line, under `header` as comments."""
    lines = [comment(header)] if header else []
    lines.append(f'name: "{param.name}"')
    for layer in param.layer:
        fields = " ".join(line.strip() for line in prototxt.format(layer).splitlines())
        lines.append(f"layer {{ {fields} }}")
    return "\n".join(lines) + "\n"


def comment(text: str, width: int = 118) -> str:
    """Paragraphs of `text` (separated by line ends) as wrapped `#` comments."""
    lines = [line for paragraph in text.strip().split("\n") for line in (wrap(paragraph, width) or [""])]
    return "\n".join(f"# {line}".rstrip() for line in lines)

