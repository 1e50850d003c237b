"""Every layer at its edges, from the layers' own case tables: nothing in the bottoms, axes and counts that cannot be,
bottoms that do not fit each other, labels that are no classes, NaN.

A layer either gives a value, the same from both drivers and of the shape that its rule says, or refuses with an error
that names it. What the tables below do not declare is the rule; what they declare, the layers' docstrings say.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

import tests.layers
from caffe_port.errors import CaffeError
from caffe_port.islands import Islands
from caffe_port.layers import REGISTRY
from tests.layers.runner import Case, check_forward, check_islands, close, feed, inputs, make, outputs

WITHOUT_BOTTOMS = {
    "AnnotatedData", "Data", "DenseImageData", "DummyData", "HDF5Data", "ImageData", "ImageSegData", "Input",
    "MemoryData", "MultiImageData", "WindowData",
}  # fmt: skip
"""Nothing comes in; their own tests have their edges."""
WITHOUT_TOPS = {"HDF5Output"}

EMPTY_BATCH = {
    **dict.fromkeys(
        ("Accuracy", "FocalLoss", "InfogainLoss", "Reduction", "SigmoidCrossEntropyLoss", "SmoothL1Loss",
         "RegionLoss", "SmoothL1LossOHEM", "SoftmaxWithLossOHEM", "Yolov3",
         "SoftmaxWithLoss", "WeightedSigmoidCrossEntropyLoss"), 0.0),
    **dict.fromkeys(
        ("CenterLoss", "ContrastiveLoss", "EuclideanLoss", "HingeLoss", "L1Loss", "MultiLabelLoss",
         "MultinomialLogisticLoss", "Python", "SigmoidWeightedCrossEntropyLoss"), np.nan),
    **dict.fromkeys(("PSROIPooling", "ROIAlign", "ROIPooling", "MultiBoxLoss"), "image 0; there are 0"),
    "BatchReindex": "is not a sample: there are 0",
    "BoxGroupOutput": "the number of images times",
    "BoxOutput": None,  # the row that says that there is no box
    "Concat": None,  # the other bottoms are the top
    "DetectionEvaluate": "wants detections",
    "DetectionOutput": "priors must be",
    "LSTM": "no time step",
    "LSTMUnit": "bottoms must be",
    "Mul": "that has size 1 in neither",
    "MultiLabelAccuracy": "with numbers",
    "PriorBox": None,  # of shapes, not of values
    "Proposal": "those of one image",
    "RNN": "no time step",
    "Reshape": "so the -1 cannot be inferred",
}
"""What a batch of nothing gives where it is not a top of nothing: every number of the tops, or the refusal."""

NAN_OF_NOTHING = {"Correlation"}
"""A mean over an axis of size 0 that is not an axis of the top: 0 / 0."""

SIZE_BY_VALUE = {
    "BoxGroupOutput", "BoxOutput", "DetectionOutput", "Filter", "Proposal", "YoloDetectionOutput",
    "Yolov3DetectionOutput",
}  # fmt: skip
"""The rule says how much there can be; how much there is, the values say."""

AXIS_NOT_LOOKED_AT = {
    "Bias": "a scalar fits everywhere",
    "Scale": "a scalar fits everywhere",
    "ConvolutionDepthwise": "its fork reads four axes, whatever the option says",
}

LABELS = {
    "Accuracy": 1, "BatchReindex": 1, "CenterLoss": 1, "Embed": 0, "FocalLoss": 1, "HingeLoss": 1, "InfogainLoss": 1,
    "MultinomialLogisticLoss": 1, "SoftmaxWithLoss": 1,
}
"""The bottom that holds classes or places."""

NAN_GIVES_WAY = {
    **dict.fromkeys(("ArgMax", "Eltwise"), "by the order of comparisons; their own tests and below"),
    **dict.fromkeys(("InfogainLoss", "SigmoidCrossEntropyLoss", "SoftmaxWithLoss", "WeightedSigmoidCrossEntropyLoss"),
                    "what is ignored costs nothing, NaN or not"),
    **dict.fromkeys(("Interp", "MultiLabelLoss", "PSROIPooling", "ROIAlign", "Resample", "Warp"),
                    "the reference multiplies by 0"),
    "Exp": "base 1: the reference is 1 ^ NaN",
    "Power": "scale 0: the bottom is not looked at",
    "ContrastiveLoss": "the reference drops it by max",
}
"""Why the reference is no witness for a NaN."""


def tables() -> dict[str, list[Case]]:
    found = defaultdict(list)
    for module in pkgutil.iter_modules(tests.layers.__path__):
        if module.name.startswith("test_") and module.name != "test_edges":
            for case in getattr(importlib.import_module(f"tests.layers.{module.name}"), "CASES", []):
                if isinstance(case, Case):
                    found[re.search(r'type: "(\w+)"', case.layer)[1]].append(case)
    return dict(found)


TABLES = tables()
TYPES = sorted(name for name, cases in TABLES.items() if any(case.bottoms for case in cases))


def test_every_layer_has_a_table():
    assert set(REGISTRY) - set(TABLES) == WITHOUT_BOTTOMS | WITHOUT_TOPS


def some(name: str, count: int) -> list[Case]:
    """The layer's cases whose bottoms differ most: of other numbers of axes first."""
    by_axes = {tuple(a.ndim for a in inputs(case)): case for case in reversed(TABLES[name]) if case.bottoms}
    chosen = list(by_axes.values())[::-1]
    return (chosen + [case for case in TABLES[name] if case.bottoms and case not in chosen])[:count]


def answer(name: str, case: Case, drivers: bool = True) -> list[np.ndarray] | str:
    """The tops, or the message of the error, which names the layer. With `drivers` both are asked and must agree."""
    try:
        net = make(case)
        torch.manual_seed(5)
        tops = outputs(net, feed(case, torch.float32))
        if drivers and name not in SIZE_BY_VALUE:
            check_islands(case)
    except CaffeError as e:
        assert "layer 'l'" in str(e), f"{case.name}: {e}"
        # "fails on": no check of the layer foresaw it, and torch's own words are all there is
        assert "fails on" not in str(e) or REGISTRY[name].origin != "BVLC", f"{case.name}: {e}"
        return str(e)
    if name not in SIZE_BY_VALUE:
        assert [tuple(t.shape) for t in tops] == [value.shape for value in net.graph.nodes[-1].tops], case.name
    return [top.detach().numpy() for top in tops]


def without(case: Case, axis: int) -> Case:
    """The case with size 0 on this axis, of every bottom that has there the size that the first one has."""
    arrays = inputs(case)
    size = arrays[0].shape[axis]
    cut = [a[(slice(None),) * axis + (slice(0),)] if a.ndim > axis and a.shape[axis] == size else a for a in arrays]
    return replace(case, name=f"{case.name}, axis {axis} empty", bottoms=cut)


@pytest.mark.parametrize("name", TYPES)
def test_empty_batch(name):
    for case in some(name, 3):
        if inputs(case)[0].ndim == 0:
            continue
        got, wanted = answer(name, without(case, 0)), EMPTY_BATCH.get(name, "")
        if isinstance(got, str):
            assert wanted and isinstance(wanted, str) and wanted in got, f"{case.name}: {got}"
        elif isinstance(wanted, float):
            for top in got:
                np.testing.assert_array_equal(top, np.full_like(top, wanted), err_msg=case.name)
        elif wanted is not None:
            assert not any(top.size for top in got), f"{case.name}: values out of nothing"


@pytest.mark.parametrize("name", TYPES)
def test_no_blob_learns_from_an_empty_batch(name):
    """Diffs of blobs are 0, and none is NaN, whatever the loss of nothing is."""
    net = make(some(name, 1)[0])
    case = some(name, 1)[0]
    if not net.learnable or inputs(case)[0].ndim == 0 or isinstance(answer(name, without(case, 0)), str):
        return
    net = make(without(case, 0))
    tops = outputs(net, feed(without(case, 0), torch.float32))
    torch.autograd.backward([t.sum() for t in tops if t.requires_grad])
    for learnable in net.learnable:
        assert not learnable.diff.any(), learnable.blob


@pytest.mark.parametrize("name", TYPES)
def test_an_axis_of_size_0(name):
    for case in some(name, 2):
        for axis in range(1, inputs(case)[0].ndim):
            got = answer(name, without(case, axis))
            if name not in NAN_OF_NOTHING and not isinstance(got, str):
                assert not any(np.isnan(top).any() for top in got), f"{case.name}, axis {axis} empty: NaN"


def misfits(case: Case) -> Iterator[Case]:
    """One bottom at a time: longer at either end, one axis more, one less."""
    arrays = inputs(case)
    for i, a in enumerate(arrays):
        other = [np.stack([a, a], -1)]
        if a.ndim:
            other += [np.concatenate([a, a[:1]]), np.concatenate([a, a[..., :1]], -1), a[..., 0]]
        for b in other:
            shapes = f"{case.name}, bottom {i} {b.shape} instead of {a.shape}"
            yield replace(case, name=shapes, bottoms=[*arrays[:i], b, *arrays[i + 1 :]])


@pytest.mark.parametrize("name", TYPES)
def test_bottoms_that_do_not_fit(name):
    """They are refused, or one that is right by itself has its value.

    What a net refuses when it is built it refuses from the program, too.
    """
    for case in some(name, 1):
        for misfit in misfits(case):
            if isinstance(answer(name, misfit, drivers=False), str) and name != "Python":  # whose code decides
                with pytest.raises(CaffeError, match="layer 'l'|input 'b"):
                    outputs(make(case), feed(misfit, torch.float32))


@pytest.mark.parametrize("name", sorted(TABLES))
def test_numbers_of_bottoms_and_tops(name):
    case, cls = (some(name, 1) or TABLES[name])[0], REGISTRY[name]
    arrays, made = inputs(case), []
    if cls.bottoms[0]:
        made.append(replace(case, bottoms=arrays[: cls.bottoms[0] - 1]))
    if cls.bottoms[1] is not None:
        spare = arrays[0] if arrays else np.zeros(2)
        made.append(replace(case, bottoms=[*arrays, *[spare] * (cls.bottoms[1] + 1 - len(arrays))]))
    if cls.tops[0] and not cls.auto_tops:
        made.append(replace(case, tops=cls.tops[0] - 1))
    if cls.tops[1] is not None:
        made.append(replace(case, tops=cls.tops[1] + 1))
    for wrong in made:
        with pytest.raises(CaffeError, match="layer 'l' .*(bottom|top)"):
            make(wrong)


AXIS = r"(\w+_)?axis|concat_dim|slice_dim"


def axis_options(case: Case) -> Iterator[tuple[str, str, bool]]:
    """(message, field, may it be negative) of every option of the layer's that names an axis."""
    param = make(case).layer("l").param
    for field in param.DESCRIPTOR.fields:
        if field.message_type is not None and f"{field.name} {{" in case.layer:
            for option in field.message_type.fields:
                if re.fullmatch(AXIS, option.name):
                    yield field.name, option.name, option.cpp_type == option.CPPTYPE_INT32


@pytest.mark.parametrize("name", TYPES)
def test_axes_out_of_range(name):
    for case in some(name, 3):
        for message, option, signed in axis_options(case):
            bare = re.sub(rf"\b({AXIS}): *-?\d+", "", case.layer)
            for value in (9, -9) if signed else (9,):
                layer = bare.replace(f"{message} {{", f"{message} {{ {option}: {value} ", 1)
                got = answer(name, replace(case, name=f"{case.name}, {option} {value}", layer=layer))
                assert isinstance(got, str) or name in AXIS_NOT_LOOKED_AT, f"{case.name}, {option} {value}"


@pytest.mark.parametrize("name", sorted(LABELS))
@pytest.mark.parametrize("label", [-1, 1e4, np.nan, np.inf], ids=["negative", "too large", "NaN", "infinite"])
def test_a_label_that_is_no_class(name, label):
    for case in some(name, 3):
        if re.search(r"ignore_label: -1\b", case.layer) and label == -1:
            continue
        bottoms = inputs(case)
        bottoms[LABELS[name]] = bottoms[LABELS[name]].copy()
        bottoms[LABELS[name]].flat[-1] = label
        assert isinstance(answer(name, replace(case, bottoms=bottoms)), str), f"{case.name}: label {label} passes"


@pytest.mark.parametrize("name", TYPES)
def test_nan(name):
    """A NaN among the values is where the reference says, for every bottom that may have a gradient."""
    for case in some(name, 2):
        arrays = inputs(case)
        allowed = make(case).layer("l").differentiable_bottoms
        for i in range(len(arrays)) if allowed is None else allowed:
            if i < len(arrays) and arrays[i].size:
                changed = [a.copy() for a in arrays]
                changed[i].flat[changed[i].size // 2] = np.nan
                spoilt = replace(case, name=f"{case.name}, NaN in bottom {i}", bottoms=changed)
                if case.reference is None or name in NAN_GIVES_WAY:
                    answer(name, spoilt)
                else:
                    with np.errstate(invalid="ignore"):  # the references compute with the NaN
                        check_forward(spoilt)


NAN = float("nan")


@pytest.mark.parametrize(("layer", "bottoms", "wanted"), [
    ('type: "ArgMax" argmax_param { axis: 0 }', [[1.0, NAN, 3.0]], [1]),
    ('type: "Accuracy"', [[[1.0, NAN]], [1.0]], 1),
    ('type: "Accuracy"', [[[1.0, NAN]], [0.0]], 1),
    ('type: "Threshold"', [[NAN, 1.0]], [0, 1]),
    ('type: "Exp" exp_param { base: 1 }', [[NAN]], [NAN]),
    ('type: "Power" power_param { scale: 0 shift: 2 }', [[NAN]], [2]),
    ('type: "ContrastiveLoss"', [[[NAN]], [[1.0]], [0.0]], NAN),
    ('type: "ContrastiveLoss" contrastive_loss_param { legacy_version: true }', [[[NAN]], [[1.0]], [0.0]], NAN),
    ('type: "SoftmaxWithLoss" loss_param { ignore_label: 0 }', [[[NAN, 1.0], [2.0, 2.0]], [0.0, 1.0]], np.log(2)),
    ('type: "SigmoidCrossEntropyLoss" loss_param { ignore_label: 7 normalization: VALID }', [[NAN, 0.0], [7.0, 1.0]],
     np.log(2)),
    ('type: "Filter"', [[5.0, 6.0, 7.0], [NAN, 0.0, 1.0]], [5, 7]),
    ('type: "Softmax"', [[[NAN, 1.0], [0.0, 0.0]]], [[NAN, NAN], [0.5, 0.5]]),
    ('type: "Pooling" pooling_param { kernel_size: 2 }', [[[[[NAN, 1.0], [0.0, 2.0]]]]], [[[[2]]]]),
    ('type: "HingeLoss"', [[[NAN, 1.0]], [0.0]], NAN),
])
def test_what_the_docstrings_say_of_nan(layer, bottoms, wanted):
    case = Case("NaN", layer, [np.array(b) for b in bottoms])
    (top,) = answer(re.search(r'"(\w+)"', layer)[1], case)
    close(top, np.array(wanted), 1e-6, "top", case)


def test_inputs_of_another_shape_are_seen_by_both_drivers():
    """Eltwise would broadcast them, and Caffe refuses them."""
    case = Case("sum", 'type: "Eltwise"', [(2, 3), (2, 3)])
    bottoms = {"b0": torch.zeros(2, 3), "b1": torch.zeros(1, 3)}
    with pytest.raises(CaffeError, match="layer 'l' .*all must have one shape"):
        make(case).run(bottoms)
    islands = Islands(make(case))
    islands.net.blobs["b1"].reshape((1, 3))
    with pytest.raises(CaffeError, match="layer 'l' .*all must have one shape"):
        islands.forward()
