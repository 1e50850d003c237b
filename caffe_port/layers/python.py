"""Python: a layer written in Python for pycaffe, run unchanged."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.errors import LayerError
from caffe_port.layers.base import Layer, Shape, register
from caffe_port.layers.numpy_blob import BlobVec, NumpyBlob


class PythonLayerBase:
    """What user classes derive from, as `caffe.Layer`: they write setup, reshape, forward and backward.

    Before `setup` is called it has `param_str`, `phase` (0 TRAIN, 1 TEST) and `blobs`, to which setup may add. Layers
    of before 2015 (py-faster-rcnn's) know the first as `param_str_`.
    """

    type = "Python"
    param_str: str
    phase: int
    blobs: BlobVec

    def __init__(self, param: Any = None) -> None:
        pass

    @property
    def param_str_(self) -> str:
        return self.param_str

    def setup(self, bottom: Sequence[NumpyBlob], top: Sequence[NumpyBlob]) -> None:
        pass

    def reshape(self, bottom: Sequence[NumpyBlob], top: Sequence[NumpyBlob]) -> None:
        pass


@register()
class Python(Layer):
    """Runs class `layer` of module `module` (`python_param`); `param_str` reaches it as `self.param_str`.

    The class derives from `caffe.Layer` and has setup(bottom, top), reshape(bottom, top), forward(bottom, top) and,
    where a gradient is asked for, backward(top, propagate_down, bottom). Blobs have data and diff (NumPy),
    reshape(*dims), shape, num, channels, height, width, count. Bottoms and tops: any number, any shape. The module is
    looked for along sys.path and then in the current directory, which is appended to it; `import caffe` in it means
    caffe_port.pycaffe unless a genuine Caffe is installed. A few that many nets name (py-faster-rcnn's proposals,
    ENet's dropout) need no module: pycaffe/known.py. `share_in_parallel` changes nothing.

    As in Caffe: reshape runs before every forward; a diff that backward does not write keeps its old value (so a
    gradient may be written in forward); the top's diff holds the loss weight, which backward may forget. The diffs of
    `self.blobs` are zeroed before backward and then added to the gradient. Should the net have run again before a
    backward pass, reshape and forward are run once more for it, on the old bottoms: the class remembers only its last
    run.

    The shape rule calls the user's reshape, so it is only as free of side effects as that is. A layer with no bottoms
    counts as data, one with a loss_weight as a loss: converted nets drop them.

    Whatever the user's code raises comes out as a LayerError that names the layer and is of the raised kind too, with
    the original as its cause. Arrays are copies in host memory: on a GPU every pass waits for two transfers.

    Source: python_layer.hpp and python/caffe/_caffe.cpp of BVLC Caffe 1.0.
    """

    bottoms = (0, None)
    tops = (0, None)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        p = self.param.python_param
        self.where = f"{p.module}.{p.layer}"
        if not bottom_shapes:
            self.role = "data"
        elif any(self.param.loss_weight):
            self.role = "loss"
        self.bottom_blobs = [NumpyBlob(shape) for shape in bottom_shapes]
        by_name = dict(zip(self.param.bottom, self.bottom_blobs, strict=False))
        self.top_blobs = [by_name.get(name) or NumpyBlob() for name in self.param.top]  # in-place: the same blob
        self.runs = self.current = 0
        cls = self.load_class()
        self.user = self._guard("the constructor", cls, self.param)
        self.user.param_str, self.user.phase, self.user.blobs = p.param_str, self.phase, BlobVec(self)
        self._call("setup", self.bottom_blobs, self.top_blobs)

    def load_class(self) -> Any:
        """The user's class. An error of its module's import is an ImportError as well."""
        module, name = self.param.python_param.module, self.param.python_param.layer
        if not module or not name:
            raise self.error('needs python_param { module: "..." layer: "..." }')
        importlib.import_module("caffe_port.pycaffe.alias").install()
        if os.getcwd() not in sys.path and "" not in sys.path:
            sys.path.append(os.getcwd())
        known = importlib.import_module("caffe_port.pycaffe.known").KNOWN.get((module, name))
        if known is not None and not _is_there(module):
            return known
        loaded = self._guard(f"importing module '{module}'", importlib.import_module, module)
        cls = getattr(loaded, name, None)
        if cls is None:
            raise self.error(f"module '{module}' ({getattr(loaded, '__file__', '?')}) has no class '{name}'")
        if not (isinstance(cls, type) and issubclass(cls, PythonLayerBase)):
            raise self.error(
                f"{module}.{name} does not derive from this project's caffe.Layer; where a genuine Caffe is installed, "
                "`import caffe` in the module finds that one"
            )
        return cls

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        for blob, shape in zip(self.bottom_blobs, bottom_shapes, strict=True):
            blob.reshape(*shape)
        self._call("reshape", self.bottom_blobs, self.top_blobs)
        return [blob.shape for blob in self.top_blobs]

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        return _Run.apply(self, len(bottoms), *bottoms, *self.blobs)

    def run(self, bottoms: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The user's reshape and forward on these bottoms; new tensors on the bottoms' device."""
        like = next(iter([*bottoms, *self.blobs]), torch.empty(0))
        for blob, value in zip(self.bottom_blobs, bottoms, strict=True):
            blob.load(value)
        for blob in self.top_blobs:
            blob.cast(np.dtype(str(like.dtype).removeprefix("torch.")))
        self._call("reshape", self.bottom_blobs, self.top_blobs)
        self._call("forward", self.bottom_blobs, self.top_blobs)
        return tuple(torch.tensor(blob.data, device=like.device) for blob in self.top_blobs)

    def run_backward(
        self, top_diffs: Sequence[Tensor], propagate_down: list[bool]
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The user's backward: diffs of the bottoms and of the layer's own blobs."""
        for blob, diff in zip(self.top_blobs, top_diffs, strict=True):
            blob.diff[...] = diff.cpu().numpy()
        for own in self.user.blobs:
            own.diff[...] = 0
        self._call("backward", self.top_blobs, propagate_down, self.bottom_blobs)
        return [b.diff for b in self.bottom_blobs], [b.diff for b in self.user.blobs]

    def _call(self, method: str, *arguments: Any) -> None:
        code = getattr(self.user, method, None)
        if code is None:
            raise self.error(f"{self.where} has no method '{method}'")
        for own in self.user.blobs:
            own.pull()
        self._guard(f"{self.where}.{method}", code, *arguments)
        for own in self.user.blobs:
            own.push()

    def _guard(self, what: str, code: Any, *arguments: Any) -> Any:
        try:
            return code(*arguments)
        except Exception as e:
            raise _of_kind(e, f"{self.title}: {what} raised {type(e).__name__}: {e}") from e


class _Run(torch.autograd.Function):
    """The user's forward and backward as one step of autograd; the layer's own blobs are inputs, to get gradients."""

    @staticmethod
    def forward(ctx: Any, layer: Python, bottoms: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.layer, ctx.bottoms = layer, bottoms
        ctx.save_for_backward(*tensors[:bottoms])
        tops = layer.run(tensors[:bottoms])
        layer.runs += 1
        layer.current = ctx.run = layer.runs
        return tops

    @staticmethod
    def backward(ctx: Any, *top_diffs: Tensor) -> tuple[Any, ...]:
        layer, bottoms = ctx.layer, ctx.saved_tensors
        wanted = ctx.needs_input_grad[2:]
        if layer.current != ctx.run:
            layer.run(bottoms)
            layer.current = ctx.run
        diffs, own = layer.run_backward(top_diffs, list(wanted[: ctx.bottoms]))
        tensors = [*bottoms, *layer.blobs]
        grads = [
            torch.tensor(diff, device=t.device, dtype=t.dtype) if need else None
            for diff, t, need in zip([*diffs, *own], tensors, wanted, strict=True)
        ]
        return None, None, *grads


def _is_there(module: str) -> bool:
    try:
        return module in sys.modules or importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its package is not there
        return False


def _of_kind(cause: Exception, message: str) -> LayerError:
    """A LayerError that is of the cause's kind as well: pycaffe lets the cause through, and callers catch that."""
    plain = {"__init__": lambda self, text: Exception.__init__(self, text), "__str__": Exception.__str__}
    try:
        return type(f"Python{type(cause).__name__}", (LayerError, type(cause)), plain)(message)
    except TypeError:  # kinds with a layout or constructor of their own
        return LayerError(message)
