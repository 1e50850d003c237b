"""What an unknown name in a text means: a slip of the pen, a field in the wrong place, or a fork's addition."""

from __future__ import annotations

import difflib
import functools
import re
from typing import Any

from caffe_port.proto import caffe_pb2

LAYER_MESSAGES = ("LayerParameter", "V1LayerParameter", "V0LayerParameter")
OPEN_MESSAGES = LAYER_MESSAGES[:2]  # those that keep a fork's field; a V0 layer holds all options in one message
LEFT_OUT = "a fork's setting for speed or display; left out"
STOCK = 20000  # fields with a number below are Caffe's, see caffe.proto

# Fields that change how fast or in which precision a fork computes, or what it prints, never what is computed. A layer,
# net or solver does without them; they are kept by name and reported. Key: the message, or "*" for any. Most are of
# NVCaffe (its gradient scale is divided out again); mem_param is PSPNet's, richness (memory for cuDNN) the one of the
# temporal segment networks, quantization_param Ristretto's and Intel's.
HARMLESS: dict[str, frozenset[str]] = {
    "*": frozenset({"engine", "debug_info"}),
    "NetParameter": frozenset(
        {
            "default_forward_type", "default_backward_type", "default_forward_math", "default_backward_math",
            "default_conv_algos_override", "default_cudnn_math_override", "global_grad_scale", "reduce_buckets",
            "mem_param", "quantization_param", "eltwise_mem_sharing", "richness",
        }
    ),
    "ConvolutionParameter": frozenset({"conv_algos_override"}),
    "DataParameter": frozenset({"cache", "threads", "parser_threads"}),
    "TransformationParameter": frozenset({"use_gpu_transform"}),
    "SolverParameter": frozenset({"store_blobs_in_old_format", "solver_data_type", "per_parameter_reduce", "richness"}),
}  # fmt: skip
BACKEND = re.compile(r"(?:cudnn|mkldnn|mkl2017)_|_(?:cudnn|mkldnn)$")


def is_harmless(message: str, name: str) -> bool:
    return bool(name in HARMLESS["*"] or name in HARMLESS.get(message, ()) or BACKEND.search(name))


def verdict(descriptor: Any, name: str) -> tuple[bool, str]:
    """(fatal, hint) for the unknown field `name` in a message.

    In a layer an unknown field is a fork's and is kept, unless it looks like a slip (`botom`) or is a known field in
    the wrong place (`num_output` outside convolution_param). Anywhere else it may change what is computed, so it is
    fatal.
    """
    if is_harmless(descriptor.name, name):
        return False, LEFT_OUT
    fields = list(descriptor.fields_by_name)
    if descriptor.name not in OPEN_MESSAGES:
        near = difflib.get_close_matches(name, fields, n=1, cutoff=0.7)
        if near:
            return True, f"did you mean '{near[0]}'?"
        homes = [home for home in ("SolverParameter", "NetParameter", "LayerParameter") if name in _fields(home)]
        if homes:
            return True, f"that is a field of {homes[0]}: is it in the wrong file, or outside its braces?"
        return True, f"it has {', '.join(f.name for f in descriptor.fields if f.number < STOCK)}"
    slip = next((field for field in fields if is_slip(name, field)), None)
    if slip:
        return True, f"did you mean '{slip}'?"
    places = _misplaced().get(name)
    if places:
        return True, f"it belongs into {' or '.join(places)}"
    return False, "not a field of Caffe's layers; kept by name, the layer runs without it"


def nearest(name: str, candidates: list[str]) -> str:
    """A hint: the nearest candidate, or all of them."""
    near = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6) or [c for c in candidates if c == name.upper()]
    return f"did you mean '{near[0]}'?" if near else f"it has {', '.join(candidates)}"


def is_slip(name: str, known: str) -> bool:
    """Whether `name` is `known` misspelt: letters added, dropped, changed or swapped, one or (from eight on) two.

    The first letter and the digits are rarely what slips, and are what tells forks' families apart: `gn_param` is not
    `bn_param`, `selu_param` not `relu_param`, `l2_loss_param` not `l1_loss_param`. `multiimage_data_param` is too
    far from `image_data_param`; `convolution_parm` is `convolution_param`.
    """
    a, b = _stem(name), _stem(known)
    if a == b:
        return True
    if re.sub("[0-9]", "", a) == re.sub("[0-9]", "", b) or a[0] not in b[:2] or b[0] not in a[:2]:
        return False
    if min(len(a), len(b)) <= 3:
        return sorted(a) == sorted(b) or (abs(len(a) - len(b)) == 1 and (a.startswith(b) or b.startswith(a)))
    return _distance(a, b) <= (1 if min(len(a), len(b)) < 8 else 2)


def _stem(name: str) -> str:
    return re.sub(r"_?(?:params?|parameters?|parm|pram|paramter)$", "", name.lower()).replace("_", "") or name.lower()


def _distance(a: str, b: str) -> int:
    """How many letters to add, drop, change or swap with a neighbour to get from `a` to `b`."""
    older: list[int] = []
    before = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        older, before = before, row
    return before[-1]


@functools.cache
def _fields(message: str) -> frozenset[str]:
    return frozenset(caffe_pb2.DESCRIPTOR.message_types_by_name[message].fields_by_name)


@functools.cache
def _misplaced() -> dict[str, list[str]]:
    """Field name -> the layer fields (`convolution_param`) whose messages have it, for names a layer itself lacks."""
    places: dict[str, list[str]] = {}
    for field in caffe_pb2.LayerParameter.DESCRIPTOR.fields:
        if field.message_type is not None and field.number < STOCK:
            for inner in field.message_type.fields:
                places.setdefault(inner.name, []).append(field.name)
    return places
