"""The body parser's generator: ResNet-101's published names and counts, strides and dilations, sizes, the solver."""

from __future__ import annotations

import pytest

from caffe_port.errors import CaffeError
from caffe_port.net import Net
from caffe_port.par.parsing.network import block_names, generate
from caffe_port.par.parsing.settings import ParserSettings
from caffe_port.proto import caffe_pb2, text
from caffe_port.proto.filter import filter_net

SMALL = {"blocks": (1, 2, 2, 1), "width": 4, "size": (64, 32), "aspp": (1, 2), "train_images": 20, "test_images": 8}


def net_param(source: str):
    return text.parse(source, caffe_pb2.NetParameter).message


def deploy(**knobs) -> Net:
    return Net(net_param(generate(**{**SMALL, **knobs})["deploy.prototxt"]))


def trunk(width: int, blocks: tuple[int, ...]) -> int:
    """Parameters of a ResNet without its classifier; a BatchNorm has 2 statistics and a factor, a Scale 2 values."""

    def normed(kernel: int, inputs: int, outputs: int) -> int:
        return kernel**2 * inputs * outputs + 4 * outputs + 1

    total, inputs = normed(7, 3, width), width
    for stage, count in enumerate(blocks):
        inner = width * 2**stage
        total += normed(1, inputs, 4 * inner)
        for _ in range(count):
            total += normed(1, inputs, inner) + normed(3, inner, inner) + normed(1, inner, 4 * inner)
            inputs = 4 * inner
    return total


def test_full_parser_is_resnet101() -> None:
    net = Net(net_param(generate()["deploy.prototxt"]))
    head, up = 4 * (9 * 2048 * 20 + 20), 20 * 16 * 16
    assert net.parameter_count() == trunk(64, (3, 4, 23, 3)) + head + up
    names = {node.name for node in net.graph.nodes}
    assert {"res2c_branch2c", "res3b3_branch2a", "bn4b22_branch2b", "scale5a_branch1", "bn_conv1"} <= names
    assert "res4b23_branch2a" not in names and ParserSettings().layers == 101
    assert net.graph.last["res5c"].shape == (1, 2048, 48, 24)
    assert net.graph.last["seg_prob"].shape == (1, 20, 384, 192)


@pytest.mark.parametrize(
    ("output_stride", "strides", "dilations"),
    [(8, (1, 2, 1, 1), (1, 1, 2, 4)), (16, (1, 2, 2, 1), (1, 1, 1, 2)), (32, (1, 2, 2, 2), (1, 1, 1, 1))],
)
def test_output_stride(output_stride, strides, dilations) -> None:
    settings = ParserSettings(output_stride=output_stride)
    assert [settings.stage(n) for n in (2, 3, 4, 5)] == list(zip(strides, dilations, strict=True))
    net = deploy(output_stride=output_stride)
    assert net.graph.last["seg_score"].shape == (1, 20, 64 // output_stride, 32 // output_stride)
    for stage, dilation in zip((2, 3, 4, 5), dilations, strict=True):
        conv = next(n.param.convolution_param for n in net.graph.nodes if n.name == f"res{stage}a_branch2b")
        assert (list(conv.dilation) or [1]) == [dilation] and list(conv.pad) == [dilation]


@pytest.mark.parametrize("size", [(64, 32), (70, 35), (65, 47), (67, 61)])
@pytest.mark.parametrize("output_stride", [8, 32])
def test_labels_have_the_inputs_size(size, output_stride) -> None:
    assert deploy(size=size, output_stride=output_stride).graph.last["seg_prob"].shape == (1, 20, *size)


def test_train_val_reads_two_databases() -> None:
    source = generate(**SMALL, data="d", classes=7)["train_val.prototxt"]
    for phase, split, batch in ((caffe_pb2.TRAIN, "train", 8), (caffe_pb2.TEST, "test", 8)):
        layers = filter_net(net_param(source), phase).layer
        data = [(layer.top[0], layer.data_param.source) for layer in layers if layer.type == "Data"]
        assert data == [("data", f"d/{split}_image_lmdb"), ("seg", f"d/{split}_seg_lmdb")]
        assert [layer.type for layer in layers if layer.name.startswith("seg_acc")] == ["Accuracy"] * (phase == 1)
        assert layers[0].data_param.batch_size == batch
    loss = next(layer for layer in net_param(source).layer if layer.name == "seg_loss")
    assert loss.loss_param.ignore_label == 255


SOLVERS = [
    ({}, {"type": "SGD", "base_lr": 2.5e-4, "weight_decay": 5e-4, "max_iter": 114233, "power": 0.9}),
    ({"solver": "Adam", "iterations": 40}, {"type": "Adam", "base_lr": 2e-3, "weight_decay": 0, "max_iter": 40}),
    ({"base_lr": 0.1, "epochs": 2, "batch": 4}, {"base_lr": 0.1, "max_iter": 15231}),
]


@pytest.mark.parametrize(("knobs", "wanted"), SOLVERS)
def test_solver(knobs, wanted) -> None:
    solver = text.parse(generate(**knobs)["solver.prototxt"], caffe_pb2.SolverParameter).message
    assert solver.lr_policy == "poly" and solver.test_iter[0] * knobs.get("batch", 8) >= 10000
    for name, value in wanted.items():
        assert getattr(solver, name) == (pytest.approx(value) if isinstance(value, float) else value)


REFUSED = [
    ({"blocks": (3, 4, 23)}, "give four numbers"),
    ({"output_stride": 4}, "it may be 8, 16 or 32"),
    ({"size": (8, 16)}, "16 pixels are the least"),
    ({"solver": "adam"}, "neither SGD nor Adam"),
    ({"width": 0}, "at least 1"),
    ({"dataset": "mine", "train_images": 0}, "give train_images and test_images"),
]


@pytest.mark.parametrize(("knobs", "message"), REFUSED)
def test_refused(knobs, message) -> None:
    with pytest.raises(CaffeError, match=message):
        generate(**knobs)


def test_block_names_of_resnet101() -> None:
    names = list(block_names((3, 4, 23, 3)))
    assert len(names) == 33 and names[6:9] == ["3b3", "4a", "4b1"] and names[-4:] == ["4b22", "5a", "5b", "5c"]
