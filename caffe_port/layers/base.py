"""What every layer is: an `nn.Module` with Caffe's blobs, a shape rule, mathematics, and an ONNX form.

A layer lives in one file, in one class named by its Caffe type. Its life is Caffe's own:

    layer = Layer(param, phase)        read nothing, allocate nothing
    layer.setup(bottom_shapes)         once: check the options, make the blobs (`LayerSetUp`)
    layer.top_shapes(bottom_shapes)    as often as shapes change: the shape rule (`Reshape`), pure
    layer.forward(*bottoms)            tensors in, tensors out; autograd gives `Backward`

Blobs without values (an empty batch, an axis of size 0) abort in Caffe. Here a layer does what its definition says of
nothing: no values, a loss of 0 or 0/0, or an error where there is nothing to choose from; its docstring says which.

Source: include/caffe/layer.hpp of BVLC Caffe 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from caffe_port.blob import SHAPE_RULE, is_shape
from caffe_port.errors import CaffeError, LayerError, ShapeError, UnsupportedError
from caffe_port.filler import fill
from caffe_port.proto import caffe_pb2
from caffe_port.proto.frozen import frozen

Shape = tuple[int, ...]
TRAIN, TEST = caffe_pb2.TRAIN, caffe_pb2.TEST
KEPT = 32
"""For how many sets of arguments (sizes of maps, mostly) a layer keeps its constants."""


class OnnxGraph(Protocol):
    """What a layer may ask of the ONNX graph being written (the writer is converters/onnx_model.py)."""

    def node(self, op: str, inputs: Sequence[str], outputs: Sequence[str] | int = 1, **attributes: Any) -> Any:
        """Add a node. `outputs`: names, or how many new names to make. Returns the one name, or a list of several."""

    def const(self, array: np.ndarray, hint: str = "const") -> str:
        """Add a constant (an initializer); its name."""

    def blob(self, layer: Layer, name: str) -> str:
        """The initializer of the layer's blob `name`, called `<layer>.<name>`."""

    def shape(self, value: str) -> Shape:
        """The shape that our shape rules gave a bottom (its batch size may be made dynamic: never write it down)."""

    def loop(self, most: str, state: str, body: Callable[[str], Sequence[str]]) -> list[str]:
        """A Loop of `most` rounds. `body` writes one, from the name of the state to those of: whether there is another
        round, the next state, what each round gives. Names of: the last state, what the rounds gave, one after the
        other along a new first axis."""

    def fresh(self, hint: str) -> str:
        """A value name that nobody has yet."""


class Layer(nn.Module):
    """Base of all layers. Class attributes are declarations that the graph, the writers and the tables read."""

    blob_names: tuple[str, ...] = ()
    """Names of the learnable blobs in Caffe's order. A blob that an option leaves out is simply not made."""
    bottoms: ClassVar[tuple[int, int | None]] = (1, 1)
    """Least and most bottoms; None: any number."""
    tops: ClassVar[tuple[int, int | None]] = (1, 1)
    """Least and most tops."""
    role: str = "compute"
    """"compute"; or "data", "loss", "metric", which a converted net drops; or "input"."""
    origin: ClassVar[str] = "BVLC"
    """The Caffe that the layer comes from: "BVLC", or the fork or paper."""
    differentiable_bottoms: tuple[int, ...] | None = None
    """Bottoms that may receive a gradient (labels may not); None: all."""
    auto_tops: ClassVar[bool] = False
    """Whether Caffe makes up the top that the definition leaves out (loss layers)."""
    frozen_blobs: bool = False
    """Whether the blobs are statistics that no solver may move (BatchNorm)."""
    diffs_at_any_rate: ClassVar[bool] = False
    """Whether Caffe computes the blobs' diffs even where lr_mult is 0 (they count in the norm that is clipped)."""
    verbose: bool = False
    """Whether a layer logs what Caffe's logs in forward: each new start of a source, each file written."""
    fork_fields: ClassVar[tuple[str, ...]] = ()
    """Options of forks in Caffe's own messages that the layer knows ("pooling_param.ceil_mode"); others are refused."""
    top_is_free: bool = False
    """Whether backward neither needs the top nor shares memory with it: then an in-place ReLU may overwrite it."""
    memory: ClassVar[tuple[str, ...]] = ()
    """Attributes besides the blobs that forward leaves for the next one (numbers, lists of tensors, None)."""
    layers_inside: int = 0
    """How many layers Caffe's own implementation makes inside this one; only its log shows them."""

    def __init__(self, param: Any, phase: int = TEST) -> None:
        super().__init__()
        self._message = param
        self._frozen: Any = None
        self.phase = phase
        self.shared: dict[str, tuple[Layer, str, Shape]] = {}
        self._made_once: dict[Hashable, tuple[Tensor, ...]] = {}
        self.notes: list[tuple[str, str]] = []  # what Caffe logs while it sets the layer up: place, message

    # -- to be written by each layer ---------------------------------------------------------------------------------

    def setup(self, bottom_shapes: list[Shape]) -> None:
        """Check the options and make the blobs with `add_blob`. Called once."""

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        """The shape rule. Pure; raises ShapeError where shapes do not fit. Default: like the first bottom."""
        return [bottom_shapes[0]]

    forward: Callable[..., Any]
    """Bottoms in, tops out: one tensor, or a tuple of them. Raises what the layer's documentation says."""

    def rewrites(self, top: int) -> bool:
        """Whether every forward makes this top anew; if not, only the first does, and what is put there stays."""
        return True

    def shares_memory(self) -> bool:
        """Whether in Caffe all tops are the first bottom's memory, so that a layer in place on one changes all."""
        return False

    def changes_values(self) -> bool:
        """Whether a top differs from the bottom at all."""
        return True

    def reads_values(self, bottom: int) -> bool:
        """Whether it looks at this bottom's values, and not only at its shape."""
        return True

    def replaced_diffs(self, bottom_shapes: list[Shape]) -> tuple[str, ...]:
        """Blobs whose diff Caffe's backward writes anew, where it adds to all others: of several passes before an
        update (iter_size) only the last one counts for them."""
        return ()

    def net_inside(self, bottom_shapes: list[Shape]) -> Any:
        """The net (a NetParameter) that Caffe's own implementation builds inside this layer, which only its log shows;
        None: there is none."""
        return None

    def onnx(self, graph: OnnxGraph, bottoms: list[str], tops: list[str]) -> None:
        """Write the layer into `graph`, TEST phase. Layers without an ONNX form raise `self.unsupported(reason)`."""
        raise self.unsupported("it has no ONNX form")

    def macs(self, bottom_shapes: list[Shape], top_shapes: list[Shape]) -> int:
        """Multiply-adds of one forward pass; 0 for what is not counted (everything but products with blobs)."""
        return 0

    @property
    def param(self) -> Any:
        """The layer's LayerParameter. While torch.compile traces, a snapshot of it: see proto/frozen.py."""
        return self._frozen if torch.compiler.is_compiling() else self._message

    def freeze(self) -> None:
        """Take the snapshot for torch.compile, once the definition changes no more."""
        self._frozen = frozen(self._message)

    # -- what layers use ---------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.param.name

    @property
    def title(self) -> str:
        return f"layer '{self.param.name}' ({self.param.type or type(self).__name__})"

    def error(self, message: str) -> LayerError:
        return LayerError(f"{self.title}: {message}")

    def shape_error(self, message: str) -> ShapeError:
        return ShapeError(f"{self.title}: {message}")

    def unsupported(self, message: str) -> UnsupportedError:
        return UnsupportedError(f"{self.title}: {message}")

    def axis(self, axis: int, rank: int) -> int:
        """Caffe's CanonicalAxisIndex: negative axes count from the end."""
        if not -rank <= axis < rank:
            raise self.shape_error(f"axis {axis} is out of range for a bottom of {rank} axes")
        return axis % rank if rank else 0

    def add_blob(self, name: str, shape: Sequence[int], filler: Any = None, learned: bool = True) -> None:
        """Make the blob `name` (in `blob_names`) and fill it; `filler` None: zeros.

        `learned=False` makes a buffer: no gradient ever reaches it (BatchNorm's statistics). Raises LayerError for a
        blob that Caffe does not have either, and where there is no memory for it.
        """
        if not is_shape(shape):
            raise self.shape_error(f"blob '{name}' would be {tuple(shape)}; {SHAPE_RULE}")
        try:
            value = torch.zeros(tuple(shape), dtype=torch.get_default_dtype())
        except RuntimeError as e:  # torch's allocator
            raise self.error(f"blob '{name}' would be {tuple(shape)}, for which there is no memory") from e
        if filler is not None and not value.is_meta:  # on "meta" only shapes are wanted
            fill(value, filler, where=f"{self.title}: blob '{name}'")
        if learned:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    def made_once(
        self, like: Tensor, make: Callable[..., Sequence[np.ndarray]], *arguments: Hashable
    ) -> tuple[Tensor, ...]:
        """The arrays that `make(*arguments)` gives as tensors where `like` is; fractions also of its type.

        They are kept, since a copy from the host stops a GPU: `make` depends on its arguments and the definition only,
        and nobody writes into what comes back.
        """
        if torch.compiler.is_compiling():  # the compiled function has them within it
            return tuple(_tensor(array, like) for array in make(*arguments))
        key = (make.__name__, *arguments)
        kept = self._made_once.get(key)
        if kept is None or any(t.device != like.device or t.dtype != _kind(t.dtype, like) for t in kept):
            if len(self._made_once) >= KEPT:
                self._made_once.clear()
            with torch.inference_mode(False):  # what is made within it no later training could use
                kept = tuple(_tensor(array, like) for array in make(*arguments))
            self._made_once[key] = kept
        return kept

    @property
    def present_blobs(self) -> list[str]:
        """Names of the blobs that this layer has, in Caffe's order."""
        return [n for n in self.blob_names if n in self.shared or getattr(self, n, None) is not None]

    @property
    def blobs(self) -> list[Tensor]:
        """The layer's blobs in Caffe's order, shared ones as their owner's memory."""
        return [getattr(self, n) for n in self.present_blobs]

    def share(self, name: str, owner: Layer, owner_name: str) -> None:
        """From now on blob `name` is the owner's blob, seen in this layer's own shape."""
        shape = tuple(getattr(self, name).shape)
        delattr(self, name)
        # Not through nn.Module.__setattr__: the owner must not become a submodule of this layer.
        self.shared[name] = (owner, owner_name, shape)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            shared = self.__dict__.get("shared", {})
            if name not in shared:
                raise
        owner, owner_name, shape = shared[name]
        value = getattr(owner, owner_name)
        return value if tuple(value.shape) == shape else value.view(shape)


def numbers(*rows: Any) -> list[np.ndarray]:
    """For `Layer.made_once`: the rows themselves."""
    return [np.array(row, np.float64) for row in rows]


def _tensor(array: np.ndarray, like: Tensor) -> Tensor:
    made = torch.from_numpy(array)
    return made.to(like.device, _kind(made.dtype, like))


def _kind(own: torch.dtype, like: Tensor) -> torch.dtype:
    return like.dtype if own.is_floating_point else own


def guarded(layer: Layer, run: Callable[..., Any], *arguments: Any) -> Any:
    """`run(*arguments)`; what Python or torch raise in it becomes an error that names the layer.

    For what no check of the layer's own foresaw: its author should see the cause, its user the place.
    """
    try:
        return run(*arguments)
    except (CaffeError, torch.cuda.OutOfMemoryError):
        raise
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as e:
        given = [tuple(a.shape) if isinstance(a, Tensor) else a for a in arguments]
        raise layer.error(f"fails on {', '.join(map(str, given)) or 'its options'}: {type(e).__name__}: {e}") from e


REGISTRY: dict[str, type[Layer]] = {}


def register(*names: str) -> Callable[[type[Layer]], type[Layer]]:
    """Class decorator: the layer answers to its class name, or to `names` instead when some are given."""

    def add(cls: type[Layer]) -> type[Layer]:
        for name in names or (cls.__name__,):
            if name in REGISTRY and REGISTRY[name] is not cls:
                raise ValueError(f"layer type {name} is registered twice: {REGISTRY[name]} and {cls}")
            REGISTRY[name] = cls
        return cls

    return add
