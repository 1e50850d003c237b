"""Forks' spellings come out as stock Caffe's, and the net computes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text
from caffe_port.proto.forks import fork_fields
from converters import hub

CONV = 'type: "Convolution" convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } '
NORM = 'type: "BatchNorm" batch_norm_param { '
SPELLINGS = [  # what a fork writes, what stock writes
    ('type: "Pooling" pooling_param { kernel_size: 2 stride: 3 ceil_mode: false }',
     'type: "Pooling" pooling_param { kernel_size: 2 stride: 3 round_mode: FLOOR }'),
    ('type: "Pooling" pooling_param { kernel_size: 2 stride: 3 ceil_mode: true }',
     'type: "Pooling" pooling_param { kernel_size: 2 stride: 3 }'),
    (f"{CONV} hole: 2 }}", f"{CONV} dilation: 2 }}"),
    (f"{CONV} hole_h: 2 hole_w: 3 }}", f"{CONV} dilation: 2 dilation: 3 }}"),
    (f"{CONV} dilation_h: 3 dilation_w: 1 }}", f"{CONV} dilation: 3 dilation: 1 }}"),
    ('type: "Dropout" dropout_param { dropout_ratio: 0.3 scale_train: true }',
     'type: "Dropout" dropout_param { dropout_ratio: 0.3 }'),
    (f"{NORM} scale_bias: true eps: 1e-7 }}", f"{NORM} eps: 1e-5 }}"),
    (f'{NORM} scale_filler {{ type: "uniform" min: 1 max: 2 }} bias_filler {{ value: 0.5 }} eps: 1e-3 }}',
     f"{NORM} eps: 1e-3 }}"),
]  # fmt: skip


def net(layer: str) -> str:
    return (f'name: "n" layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 dim: 9 dim: 8 '
            f'}} }} }} layer {{ name: "l" bottom: "x" top: "y" {layer} }}')  # fmt: skip


def parse(source: str) -> object:
    return text.parse(source, caffe_pb2.NetParameter).message


@pytest.mark.parametrize(("fork", "stock"), SPELLINGS, ids=[fork for fork, _ in SPELLINGS])
@pytest.mark.parametrize("target", [".caffemodel", ".npz"])
def test_written_as_stock(fork: str, stock: str, target: str, tmp_path: Path) -> None:
    original = Net(parse(net(fork)))
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for layer in original.layers:
            for name in layer.present_blobs:
                getattr(layer, name).copy_(torch.from_numpy(rng.uniform(0.5, 2, tuple(getattr(layer, name).shape))))
    Path(tmp_path, "fork.prototxt").write_text(net(fork))
    original.save(tmp_path / "fork.caffemodel")
    hub.convert(tmp_path / "fork.caffemodel", tmp_path / f"stock{target}", model=tmp_path / "fork.prototxt")
    model = hub.read(tmp_path / f"stock{target}")
    assert not [path for layer in model.net.layer for path in fork_fields(layer)]
    assert list(model.net.layer)[1] == parse(net(stock)).layer[1]
    x = torch.from_numpy(rng.normal(size=(2, 3, 9, 8))).float()
    torch.testing.assert_close(model.runtime()(x=x)["y"], original(x=x)["y"], rtol=2e-6, atol=2e-6)


def test_five_blobs_become_two_layers(tmp_path: Path) -> None:
    """The rates go along; a name that is taken is not taken twice."""
    source = net(f'{NORM} scale_bias: true bias_filler {{ value: 3 }} }} param {{ lr_mult: 0 }} param {{ lr_mult: 0 }} '
                 'param { lr_mult: 0 } param { lr_mult: 2 } param { lr_mult: 5 }') \
             + ' layer { name: "l_scale" type: "ReLU" bottom: "y" top: "z" }'  # fmt: skip
    Path(tmp_path, "net.prototxt").write_text(source)
    hub.convert(tmp_path / "net.prototxt", tmp_path / "out.caffemodel")
    model = hub.read(tmp_path / "out.caffemodel")
    layers = {layer.name: layer for layer in model.net.layer}
    assert list(layers) == ["x", "l", "l_scale1", "l_scale"]
    scale = layers["l_scale1"]
    assert (scale.type, list(scale.bottom), list(scale.top)) == ("Scale", ["y"], ["y"])
    assert scale.scale_param.bias_term and scale.scale_param.bias_filler.value == 3
    assert [p.lr_mult for p in layers["l"].param] == [0, 0, 0] and [p.lr_mult for p in scale.param] == [2, 5]
    shapes = {layer.name: [blob.shape for blob in layer.blobs] for layer in model.layer_blobs()}
    assert shapes["l"] == [(3,), (3,), (1,)] and shapes["l_scale1"] == [(3,), (3,)]
    assert (model.layer_blobs()[1].blobs[1] == 3).all()


def test_what_stock_lacks_stays(tmp_path: Path) -> None:
    source = net('type: "Dropout" dropout_param { scale_train: false }')
    Path(tmp_path, "net.prototxt").write_text(source)
    assert hub.read(tmp_path / "net.prototxt").net.layer[1].dropout_param.HasField("scale_train")
