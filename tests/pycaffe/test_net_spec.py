"""caffe.NetSpec and caffe.coord_map: nets written in Python, and where their blobs lie on each other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

import caffe_port.pycaffe as caffe
from caffe_port.proto import caffe_pb2
from caffe_port.pycaffe import coord_map
from caffe_port.pycaffe import layers as L
from caffe_port.pycaffe import params as P


def named() -> caffe.NetSpec:
    n = caffe.NetSpec()
    n.data, n.label = L.Data(batch_size=4, source="db", backend=P.Data.LMDB, ntop=2, include=dict(phase=caffe.TRAIN),
                             transform_param=dict(scale=0.5, mean_value=[1, 2]))  # fmt: skip
    n.conv = L.Convolution(n.data, kernel_size=3, pad=1, num_output=6, name="first",
                           param=[dict(lr_mult=1), dict(lr_mult=2)], weight_filler=dict(type="xavier"))  # fmt: skip
    n.relu = L.ReLU(n.conv, in_place=True)
    n["pool/3"] = L.Pooling(n.relu, pool=P.Pooling.AVE, kernel_size=2, stride=2)
    n.up = L.Deconvolution(n["pool/3"], convolution_param=dict(num_output=2, kernel_size=[4, 6], stride=2))
    n.loss = L.SoftmaxWithLoss(n.up, n.label, loss_weight=3, loss_param=dict(ignore_label=255))
    n.silent = L.Silence(n.label, ntop=0)
    return n


NAMED = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.5 mean_value: 1 mean_value: 2 } data_param { source: "db" batch_size: 4 backend: LMDB } }
layer { name: "first" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 6 pad: 1 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool/3" type: "Pooling" bottom: "conv" top: "pool/3"
  pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "up" type: "Deconvolution" bottom: "pool/3" top: "up"
  convolution_param { num_output: 2 kernel_size: 4 kernel_size: 6 stride: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "up" bottom: "label" top: "loss" loss_weight: 3
  loss_param { ignore_label: 255 } }
layer { name: "silent" type: "Silence" bottom: "label" }
"""


def test_every_kind_of_option_reaches_its_field() -> None:
    assert named().to_proto() == text_format.Parse(NAMED, caffe_pb2.NetParameter())


def test_unnamed_blobs_are_numbered_by_type() -> None:
    data = L.Input(shape=dict(dim=[1, 2]))
    top = L.Eltwise(L.ReLU(data), L.ReLU(data))
    for net in (top.to_proto(), caffe.to_proto(top), caffe.to_proto(data, top)):
        assert [layer.name for layer in net.layer] == ["Input1", "ReLU1", "ReLU2", "Eltwise1"]
        assert list(net.layer[3].bottom) == ["ReLU1", "ReLU2"]


def test_a_layer_comes_once_and_after_what_it_reads() -> None:
    n = caffe.NetSpec()
    data = L.Input(shape=dict(dim=[1, 2]))
    n.sum = L.Eltwise(L.ReLU(data), data)
    n.data = data
    assert [layer.name for layer in n.to_proto().layer] == ["data", "ReLU1", "sum"]


def test_a_net_deeper_than_pythons_stack() -> None:
    top = L.Input(shape=dict(dim=[1, 2]))
    for _ in range(3000):
        top = L.Power(top)
    assert len(top.to_proto().layer) == 3001


def test_a_spec_is_a_mapping_of_its_tops() -> None:
    n = named()
    assert n.keys() == ["data", "label", "conv", "relu", "pool/3", "up", "loss", "silent"]
    assert n["conv"] is n.conv and not hasattr(n, "other") and hasattr(copy.copy(n), "conv")
    del n["silent"]
    assert "silent" not in n.keys()
    with pytest.raises(KeyError, match="no 'silent'"):
        n["silent"]


REFUSED: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("a tuple of tops", lambda: L.ReLU(L.DummyData(ntop=2)), TypeError, r"ReLU input 0 is not a Top \(type is <class"),
    ("no such option", lambda: L.ReLU(slope=1).to_proto(), AttributeError, "slope"),
    ("no such constant", lambda: P.Pooling.MIN, AttributeError, "MIN"),
    ("no such message", lambda: P.Nothing.MAX, AttributeError, "NothingParameter"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_is_refused(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


# -- where things lie: by the formulas for one axis, position i of the first top is `scale * i + shift` of the second

DATA = L.Input(shape=dict(dim=[1, 1, 40, 50]))
CONV = L.Convolution(DATA, num_output=1, kernel_size=5, stride=2, pad=1)
POOL = L.Pooling(L.ReLU(CONV), kernel_size=2, stride=2)
UP = L.Deconvolution(POOL, convolution_param=dict(num_output=1, kernel_size=8, stride=4, pad=1))
WIDE = L.Convolution(DATA, num_output=1, kernel_size=[3, 5], stride=[1, 2], pad=[0, 4], dilation=2)
MAPS = [
    ("itself", DATA, DATA, (None, 1, 0)),
    ("pad, kernel and stride", DATA, CONV, (1, 0.5, (1 - 2) / 2)),
    ("and back", CONV, DATA, (1, 2, 1)),
    ("through a ReLU", DATA, POOL, (1, 0.25, (-0.5 - 0.5) / 2)),
    ("up again", UP, DATA, (1, 1, 2 - 2.5)),
    ("cropped", L.Crop(UP, DATA, offset=3), DATA, (1, 1, 2 - 2.5 + 3)),
    ("dilated, other by axis", DATA, WIDE, (1, [1, 0.5], [-2, 0])),
    ("two branches", UP, L.Eltwise(DATA, DATA), (1, 1, -0.5)),
]


@pytest.mark.parametrize(("start", "end", "want"), [m[1:] for m in MAPS], ids=[m[0] for m in MAPS])
def test_coordinates(start: Any, end: Any, want: tuple[Any, Any, Any]) -> None:
    axis, scale, shift = coord_map.coord_map_from_to(start, end)
    assert axis == want[0]
    np.testing.assert_allclose(scale, np.broadcast_to(want[1], np.shape(scale)))
    np.testing.assert_allclose(shift, np.broadcast_to(want[2], np.shape(shift)))


def test_crop_aligns() -> None:
    """A padding of 100, as FCN has it: the score is 32 times smaller, is blown up again, and cut where the image is."""
    pooled = L.Convolution(DATA, num_output=1, kernel_size=3, pad=100)
    for _ in range(5):
        pooled = L.Pooling(pooled, kernel_size=2, stride=2)
    score = L.Convolution(pooled, num_output=2, kernel_size=7)
    up = L.Deconvolution(score, convolution_param=dict(num_output=2, kernel_size=64, stride=32))
    cropped = coord_map.crop(up, DATA).fn
    assert cropped.type_name == "Crop" and cropped.params == {"crop_param": {"axis": 2, "offset": [19]}}


NO_CROP = [
    ("other scales", CONV, DATA, AssertionError, "scale mismatch"),
    ("half a pixel", UP, DATA, AssertionError, "noninteger"),
    ("outside", L.Deconvolution(DATA, num_output=1, kernel_size=1, pad=2), DATA, AssertionError, None),
    ("not connected", L.Input(), DATA, RuntimeError, "connected"),
    ("not spatial", L.InnerProduct(CONV, num_output=3), DATA, RuntimeError, "top of InnerProduct"),
    ("legacy sizes", L.Convolution(DATA, kernel_h=3, kernel_w=2), DATA, AssertionError, "kernel_h, kernel_w"),
    ("other axes", DATA, L.Convolution(CONV, kernel_size=1, axis=2), coord_map.AxisMismatchException, "axis"),
]


@pytest.mark.parametrize(("start", "end", "kind", "message"), [c[1:] for c in NO_CROP], ids=[c[0] for c in NO_CROP])
def test_what_cannot_be_cropped(start: Any, end: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        coord_map.crop(start, end)
