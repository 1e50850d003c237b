"""pycaffe's Net: the island driver with blobs, params and keyword inputs.

Source of the interface: python/caffe/pycaffe.py and python/caffe/_caffe.cpp of BVLC Caffe 1.0.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from torch import nn

from caffe_port.blob import Blob as TensorBlob
from caffe_port.errors import CaffeError
from caffe_port.islands import Islands
from caffe_port.layers.base import TEST, Layer
from caffe_port.net import Net as TorchNet
from caffe_port.proto.load import read_net
from caffe_port.pycaffe import host, modes
from caffe_port.pycaffe.blob import Blob

Callback = Callable[[int], object]


class FaceError(CaffeError, RuntimeError):
    """Where Caffe's own Python face raises a RuntimeError, which scripts catch; elsewhere its process ends."""


class LayerView:
    """What `net.layers[i]` shows: `type` and `blobs`."""

    def __init__(self, layer: Layer, blobs: list[Blob]) -> None:
        self._layer = layer
        self.blobs = blobs

    @property
    def type(self) -> str:
        return self._layer.param.type


class Net:
    """`Net(prototxt, phase, level=0, stages=None, weights=None)`, or the older `Net(prototxt, caffemodel, phase)`."""

    def __init__(self, network_file: str | os.PathLike[str], *given: Any, **named: Any) -> None:
        self._open(network_file, **_named(given), **named)

    def _open(
        self,
        network_file: str | os.PathLike[str],
        phase: int = TEST,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: str | os.PathLike[str] | None = None,
    ) -> None:
        for path in (network_file, weights):
            if path is not None and not os.path.isfile(path):
                raise FaceError(f"could not open file {path}: there is no such file")
        net = TorchNet(read_net(network_file), phase, level, tuple(stages or ())).to(modes.device())
        self._bind(net)
        if weights is not None:
            self.copy_from(weights)

    @classmethod
    def wrap(cls, net: TorchNet, islands: Islands | None = None) -> Net:
        """pycaffe's face on a net that exists already (a solver's)."""
        self = cls.__new__(cls)
        self._bind(net, islands)
        return self

    def _bind(self, net: TorchNet, islands: Islands | None = None) -> None:
        self._own = net
        self._driver = islands or Islands(net)

    @property
    def _net(self) -> TorchNet:
        """The net, with all that was written into lent arrays."""
        host.settle()
        return self._own

    @property
    def _islands(self) -> Islands:
        host.settle()
        return self._driver

    # -- what is in it -----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._own.name

    @cached_property
    def blobs(self) -> OrderedDict[str, Blob]:
        return OrderedDict((name, Blob(blob)) for name, blob in self._own.blobs.items())

    @cached_property
    def _layer_blobs(self) -> list[list[Blob]]:
        return [
            [Blob(_ParamBlob(node.layer, n, self._own)) for n in node.layer.present_blobs]
            for node in self._own.graph.nodes
        ]

    @cached_property
    def params(self) -> OrderedDict[str, list[Blob]]:
        return OrderedDict(
            (node.name, blobs) for node, blobs in zip(self._own.graph.nodes, self._layer_blobs, strict=True) if blobs
        )

    @cached_property
    def layers(self) -> list[LayerView]:
        return [LayerView(n.layer, b) for n, b in zip(self._own.graph.nodes, self._layer_blobs, strict=True)]

    @cached_property
    def layer_dict(self) -> OrderedDict[str, LayerView]:
        return OrderedDict(zip(self._layer_names, self.layers, strict=True))

    @property
    def _layer_names(self) -> list[str]:
        return [n.name for n in self._own.graph.nodes]

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def inputs(self) -> list[str]:
        return list(self._own.inputs)

    @property
    def outputs(self) -> list[str]:
        return list(self._own.outputs)

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        weights: OrderedDict[str, float] = OrderedDict((name, 0.0) for name in self.blobs)
        for node in self._own.graph.nodes:
            for top, weight in zip(node.tops, node.loss_weights, strict=True):
                weights[top.name] = weight
        return weights

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((n.name, [t.name for t in n.tops]) for n in self._own.graph.nodes)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((n.name, [b.name for b in n.bottoms]) for n in self._own.graph.nodes)

    # What _caffe.cpp has below pycaffe.py: blobs by number

    @property
    def _blobs(self) -> list[Blob]:
        return list(self.blobs.values())

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    @property
    def _inputs(self) -> list[int]:
        return self._ids(self.inputs)

    @property
    def _outputs(self) -> list[int]:
        return self._ids(self.outputs)

    def _top_ids(self, layer: int) -> list[int]:
        return self._ids(v.name for v in self._own.graph.nodes[layer].tops)

    def _bottom_ids(self, layer: int) -> list[int]:
        return self._ids(v.name for v in self._own.graph.nodes[layer].bottoms)

    def _ids(self, names: Iterable[str]) -> list[int]:
        numbers = {name: i for i, name in enumerate(self.blobs)}
        return [numbers[name] for name in names]

    # -- running it --------------------------------------------------------------------------------------------------

    def _index(self, layer: str) -> int:
        if layer not in self._layer_names:
            raise CaffeError(f"net '{self.name}' has no layer '{layer}'; its layers: {', '.join(self._layer_names)}")
        return self._layer_names.index(layer)

    def forward(
        self, blobs: Iterable[str] | None = None, start: str | None = None, end: str | None = None, **inputs: Any
    ) -> dict[str, np.ndarray]:
        """Set inputs by blob name, run layers start..end, return the outputs and `blobs` by name (live arrays)."""
        first = self._index(start) if start is not None else 0
        last = self._index(end) if end is not None else None
        wanted = set(self.top_names[end] if end is not None else self.outputs) | set(blobs or ())
        if inputs:
            if set(inputs) != set(self.inputs):
                raise CaffeError(
                    f"Input blob arguments do not match net inputs: got {sorted(inputs)}, want {self.inputs}"
                )
            for name, values in inputs.items():
                self._fill(name, values, self.blobs[name].data)
        self._forward(first, last)
        return {name: self.blobs[name].data for name in wanted}

    @staticmethod
    def _fill(name: str, values: Any, array: np.ndarray) -> None:
        values = np.asarray(values)
        if values.shape[:1] != array.shape[:1]:
            raise CaffeError(f"Input is not batch sized: {name} is {array.shape}, got {values.shape}")
        array[...] = values

    def _forward(self, start: int, end: int | None) -> float:
        return self._islands.forward(start, end)

    def backward(
        self, diffs: Iterable[str] | None = None, start: str | None = None, end: str | None = None, **tops: Any
    ) -> dict[str, np.ndarray]:
        """Set top diffs by blob name, run layers start down to end, return the inputs' and `diffs`' diffs by name."""
        first = self._index(start) if start is not None else None
        last = self._index(end) if end is not None else 0
        wanted = set(self.bottom_names[end] if end is not None else self.inputs) | set(diffs or ())
        if tops:
            if set(tops) - set(self.top_names[start] if start is not None else self.outputs):
                raise CaffeError(
                    f"Top diff arguments do not match net outputs: got {sorted(tops)}, want {self.outputs}"
                )
            for name, values in tops.items():
                self._fill(name, values, self.blobs[name].diff)
        self._backward(first, last)
        return {name: self.blobs[name].diff for name in wanted}

    def _backward(self, start: int | None, end: int) -> None:
        self._islands.backward(start, end)

    def forward_all(self, blobs: Iterable[str] | None = None, **inputs: Any) -> dict[str, np.ndarray]:
        """Forward over inputs of any number of items, in batches of the net's own size (the last one padded)."""
        return self._in_batches(lambda batch, _: self.forward(blobs, **batch), inputs, {})

    def forward_backward_all(
        self, blobs: Iterable[str] | None = None, diffs: Iterable[str] | None = None, **arrays: Any
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """`forward`, then `backward`, over any number of items in batches: the outputs, and the inputs' diffs.
        `arrays`: the inputs and the diffs of the outputs by name; either may be left out."""
        inputs = {k: v for k, v in arrays.items() if k in self.inputs}
        tops = {k: v for k, v in arrays.items() if k in self.outputs}
        back: dict[str, list[np.ndarray]] = {}

        def run(batch: dict[str, Any], seeds: dict[str, Any]) -> dict[str, np.ndarray]:
            out = {k: v.copy() for k, v in self.forward(blobs, **batch).items()}
            for name, diff in self.backward(diffs, **seeds).items():
                back.setdefault(name, []).append(diff.copy())
            return out

        outs = self._in_batches(run, inputs, tops)
        count = len(next(iter(outs.values())))
        return outs, {name: np.concatenate(parts)[:count] for name, parts in back.items()}

    def _in_batches(
        self,
        run: Callable[[dict[str, Any], dict[str, Any]], dict[str, np.ndarray]],
        inputs: dict[str, Any],
        seeds: dict[str, Any],
    ) -> dict[str, np.ndarray]:
        given = [*inputs.values(), *seeds.values()]
        if not given:
            raise CaffeError(f"give the inputs by name: {self.inputs}")
        total, size = len(given[0]), self._blobs[0].shape[0]
        outs: dict[str, list[np.ndarray]] = {}
        for at in range(0, total, size):
            batch, seed = (
                {k: _padded(np.asarray(v)[at : at + size], size) for k, v in d.items()} for d in (inputs, seeds)
            )
            for name, values in run(batch, seed).items():
                outs.setdefault(name, []).append(values.copy())
        return {name: np.concatenate(parts)[:total] for name, parts in outs.items()}

    def reshape(self) -> None:
        """Adapt every blob to the input blobs' shapes."""
        self._net.reshape()

    def clear_param_diffs(self) -> None:
        self._islands.clear_param_diffs()

    def set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Give the first layer, a MemoryData, its data (N x C x H x W) and labels (N)."""
        layer = self._own.layers[0]
        if not hasattr(layer, "reset"):
            raise FaceError(f"set_input_arrays needs a MemoryData layer first; this net starts with {layer.title}")
        layer.reset(data, labels)

    _set_input_arrays = set_input_arrays

    # -- weights -----------------------------------------------------------------------------------------------------

    def copy_from(self, path: str | os.PathLike[str]) -> None:
        self._net.copy_from(path)

    def share_with(self, other: Net) -> None:
        self._net.share_from(other._net)

    def save(self, path: str | os.PathLike[str]) -> None:
        self._net.save(path)

    def save_hdf5(self, path: str | os.PathLike[str], write_diff: bool = False) -> None:
        from caffe_port import hdf5

        hdf5.write_layers(path, self._net.layer_blobs(diffs=write_diff, owned_only=True))

    def load_hdf5(self, path: str | os.PathLike[str]) -> None:
        from caffe_port import hdf5

        self._net.copy_from(hdf5.read_layers(path))

    # -- callbacks ---------------------------------------------------------------------------------------------------

    # Each is called with the number of a layer.

    def before_forward(self, callback: Callback) -> None:
        self._islands.before_forward.append(host.settling(callback))

    def after_forward(self, callback: Callback) -> None:
        self._islands.after_forward.append(host.settling(callback))

    def before_backward(self, callback: Callback) -> None:
        self._islands.before_backward.append(host.settling(callback))

    def after_backward(self, callback: Callback) -> None:
        self._islands.after_backward.append(host.settling(callback))


class _ParamBlob(TensorBlob):
    """A layer's blob as a Blob: looked up at each use, since moving a net to another device replaces its tensors."""

    def __init__(self, layer: Layer, name: str, net: TorchNet) -> None:
        self._layer, self._name, self._of = layer, name, net

    @property
    def data(self) -> Any:  # type: ignore[override]
        return getattr(self._layer, self._name)

    @property
    def diff(self) -> Any:
        layer, name = self._layer, self._name
        while name in layer.shared:
            layer, name, _ = layer.shared[name]
        learnable = next(x for x in self._of.learnable if x.layer is layer and x.blob == name)
        return learnable.diff.view(self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    def reshape(self, shape: Sequence[int]) -> None:
        """Give the layer's blob another shape (net surgery): the values that there were are kept where the count is."""
        old = self.data
        new = TensorBlob(old.detach().clone())
        new.reshape(shape)
        is_parameter = isinstance(old, nn.Parameter)
        setattr(self._layer, self._name, nn.Parameter(new.data, old.requires_grad) if is_parameter else new.data)


def _named(given: Sequence[Any]) -> dict[str, Any]:
    """Arguments by place, by name. TypeError: too many."""
    is_old = bool(given) and isinstance(given[0], str | os.PathLike)
    names = ("weights", "phase") if is_old else ("phase", "level", "stages", "weights")
    if len(given) > len(names):
        raise TypeError(f"Net takes its file, then {', '.join(names)}; {len(given)} were given")
    return dict(zip(names, given, strict=False))


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    missing = [np.zeros_like(values[:1])] * (size - len(values))
    return np.concatenate([values, *missing]) if missing else values
