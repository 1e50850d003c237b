"""A device that is not the CPU, for machines that have only that.

A `FarTensor` says that it lives elsewhere (on "meta", where torch has no memory) and computes on the CPU. Under `Far`
an operation that brings tensors of both places together is refused, as CUDA refuses it, except where CUDA takes a
single number from the host. So a constant made on the wrong device, a trip through NumPy and a forgotten `device=` show
without a GPU. What only CUDA's own kernels get wrong does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

PLACE = torch.device("meta")
_aten = torch.ops.aten
# An index may lie on the host, and numbers go to and fro here: the operations that CUDA too lets cross.
CROSSING = {_aten._to_copy.default, _aten.copy_.default, _aten._local_scalar_dense.default}
WAITING = {_aten.nonzero.default, _aten.masked_select.default, _aten.bincount.default, _aten.equal.default,
           _aten.repeat_interleave.Tensor, _aten._unique2.default, _aten.unique_dim.default,
           _aten.unique_consecutive.default, _aten._local_scalar_dense.default}  # fmt: skip
INDEXING = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default}

crossed: list[tuple[str, str]] = []
"""What stops a GPU, in order: "there", a copy from the host; "back", values or their number that the host waits for."""


class FarTensor(torch.Tensor):
    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> FarTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, inner.stride(), inner.storage_offset(), dtype=inner.dtype, device=PLACE
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})

    __torch_function__ = torch._C._disabled_torch_function_impl

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a tensor on another device has no NumPy array; .cpu() first")


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class Far(TorchFunctionMode):
    """While it is on, `device=PLACE` makes FarTensors, and `.to(PLACE)` moves modules too."""

    def __enter__(self) -> Far:
        self._overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        self._dispatch = _Dispatch()
        self._dispatch.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._dispatch.__exit__(*error)
        torch.__future__.set_overwrite_module_params_on_conversion(self._overwrite)

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        """Numbers of Python that become a tensor or come out of one never reach the dispatcher of "meta"."""
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu") == PLACE:
            return func(*args, **{**kwargs, "device": "cpu"}).to(PLACE)
        if func is torch.Tensor.new_tensor and isinstance(args[0], FarTensor):
            device = kwargs.pop("device", None) or PLACE
            return torch.tensor(args[1], **{"dtype": args[0].dtype, **kwargs}).to(device)
        if func is torch.Tensor.__getitem__ and isinstance(args[0], FarTensor):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            return func(args[0], tuple(torch.tensor(i) if isinstance(i, list) else i for i in index))
        if func is torch.Tensor.tolist and isinstance(args[0], FarTensor):
            crossed.append(("back", "tolist"))
            return args[0].inner.tolist()
        return func(*args, **kwargs)


def run(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """One operation of torch, on the CPU, refused where the devices do not fit."""
    _note(func, args, kwargs)
    flat = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
    far = [value for value in flat if isinstance(value, FarTensor)]
    near = [value for value in flat if not isinstance(value, FarTensor)]
    lost = [value for value in near if value.device == PLACE]
    assert not lost, (
        f"{func} was given {[tuple(v.shape) for v in lost]} without values: the stand-in missed a way there"
    )
    if far and func not in CROSSING:
        strangers = [value for value in near if value.dim() > 0 and not _host_index(func, value)]
        if strangers:
            raise RuntimeError(
                f"{func} meets tensors on two devices: {[tuple(v.shape) for v in far]} there and "
                f"{[tuple(v.shape) for v in strangers]} on the CPU"
            )
    wanted = kwargs.get("device")
    to_far = bool(far) if wanted is None else torch.device(wanted) == PLACE
    if func is _aten.copy_.default:
        to_far = isinstance(args[0], FarTensor)
    inside = {**kwargs, "device": torch.device("cpu")} if wanted is not None else kwargs
    args, inside = tree_map_only(FarTensor, lambda value: value.inner, (tuple(args), inside))
    found = func(*args, **inside)
    if not to_far or func is _aten._local_scalar_dense.default:
        return found
    same = {id(value.inner): value for value in far}  # an operation in place gives back what it was given
    return tree_map_only(torch.Tensor, lambda value: same[id(value)] if id(value) in same else FarTensor(value), found)


def _host_index(func: Any, value: torch.Tensor) -> bool:
    return func in INDEXING and value.dtype in (torch.int64, torch.bool)


def _note(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    name = str(func).removeprefix("aten.")
    if func in (_aten._to_copy.default, _aten.copy_.default):
        source = args[0 if func is _aten._to_copy.default else 1]
        to = kwargs.get("device") or args[0].device
        if isinstance(source, FarTensor) != (torch.device(to) == PLACE):
            crossed.append(("back" if isinstance(source, FarTensor) else "there", name))
    elif func in WAITING and isinstance(args[0], FarTensor):
        crossed.append(("back", name))
    elif func is _aten.where.self and len({isinstance(value, FarTensor) for value in args}) == 2:
        crossed.append(("there", name))  # even a single number, which arithmetic takes along with the kernel
    elif func in INDEXING and isinstance(args[0], FarTensor):
        index = [i for i in args[1] if i is not None]
        if any(not isinstance(i, FarTensor) for i in index):
            crossed.append(("there", name))
        filled = len(args) > 2 and args[2].numel() == 1  # which CUDA does without a count of them
        if any(i.dtype in (torch.bool, torch.uint8) for i in index) and not filled:
            crossed.append(("back", name))
