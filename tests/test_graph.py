"""The graph: versions of in-place blobs, who needs a backward pass, loss weights, and what cannot be a graph."""

from __future__ import annotations

import pytest

from caffe_port.errors import CaffeError, LayerError, NetError, ShapeError, UnsupportedError
from caffe_port.layers.base import TEST, TRAIN
from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text

X = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 4 } } }'
T = 'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 } } }'
IP = 'layer {{ name: "{0}" type: "InnerProduct" bottom: "{1}" top: "{0}" {2} '
IP += 'inner_product_param {{ num_output: {3} }} }}'


def ip(name: str, bottom: str, num: int = 4, extra: str = "") -> str:
    return IP.format(name, bottom, extra, num)


def relu(bottom: str, top: str, name: str = "r", extra: str = "") -> str:
    return f'layer {{ name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{top}" {extra} }}'


def softmax_loss(bottom: str, extra: str = "", name: str = "loss") -> str:
    return f'layer {{ name: "{name}" type: "SoftmaxWithLoss" bottom: "{bottom}" bottom: "t" top: "{name}" {extra} }}'


def net(*layers: str, phase: int = TRAIN, **kwargs: object) -> Net:
    return Net(text.parse("\n".join(layers), caffe_pb2.NetParameter).message, phase, **kwargs)  # type: ignore[arg-type]


def test_in_place_layers_make_versions() -> None:
    graph = net(X, ip("a", "x"), relu("a", "a", "r1"), relu("a", "a", "r2"), ip("b", "a")).graph
    assert list(graph.values) == ["x", "a", "a@1", "a@2", "b"]
    assert [v.id for v in graph.nodes[-1].bottoms] == ["a@2"]
    assert graph.last["a"].version == 2
    assert [n.in_place for n in graph.nodes] == [False, False, True, True, False]


def test_outputs_are_alphabetical_and_splits_are_layers() -> None:
    made = net(X, T, ip("z", "x"), softmax_loss("z"), relu("z", "a"))
    assert made.outputs == ["a", "loss"]
    assert [n.name for n in made.graph.nodes] == ["x", "t", "z", "z_z_0_split", "loss", "r"]


LEARNED = "param { lr_mult: 1 }"
FIXED = "param { lr_mult: 0 } param { lr_mult: 0 }"
BACKWARD = [
    ("a loss needs all before it", [ip("a", "x"), relu("a", "a"), softmax_loss("a")], {"a", "r", "loss"}),
    ("nothing under no loss", [ip("a", "x"), relu("a", "a")], set()),
    ("a side branch without a loss", [ip("a", "x"), ip("s", "x"), softmax_loss("a")], {"a", "loss"}),
    ("loss weight 0 is no loss", [ip("a", "x"), softmax_loss("a", "loss_weight: 0")], set()),
    ("fixed layers below are spared", [ip("a", "x", extra=FIXED), ip("b", "a"), softmax_loss("b")], {"b", "loss"}),
    (
        "fixed layers between pass it on",
        [ip("a", "x"), ip("b", "a", extra=FIXED), softmax_loss("b")],
        {"a", "b", "loss"},
    ),
    (
        "propagate_down: false cuts",
        [ip("a", "x"), ip("b", "a", extra="propagate_down: false"), softmax_loss("b")],
        {"b", "loss"},
    ),
    ("a weight on any layer's top is a loss", [ip("a", "x"), relu("a", "y", extra="loss_weight: 2")], {"a", "r"}),
]


@pytest.mark.parametrize(("layers", "wanted"), [c[1:] for c in BACKWARD], ids=[c[0] for c in BACKWARD])
def test_who_needs_backward(layers: list[str], wanted: set[str]) -> None:
    made = net(X, T, *layers)
    assert {n.name for n in made.graph.nodes if n.needs_backward} - {"x_x_0_split"} == wanted


def test_force_backward_reaches_inputs_but_not_labels() -> None:
    made = net("force_backward: true", X, T, ip("a", "x", extra=FIXED), softmax_loss("a"))
    by_name = {n.name: n for n in made.graph.nodes}
    assert by_name["a"].propagate_down == [True]
    assert by_name["loss"].propagate_down == [True, False]
    assert all(learnable.tensor.requires_grad for learnable in made.learnable)


WEIGHTS = [
    ("a loss weighs 1", "", [1.0]),
    ("as given", "loss_weight: 0.25", [0.25]),
    ("an extra top weighs 0", 'top: "p"', [1.0, 0.0]),
    ("one weight with an extra top", 'top: "p" loss_weight: 3', [3.0, 0.0]),
    ("both given", 'top: "p" loss_weight: 3 loss_weight: 1', [3.0, 1.0]),
]


@pytest.mark.parametrize(("extra", "wanted"), [c[1:] for c in WEIGHTS], ids=[c[0] for c in WEIGHTS])
def test_loss_weights(extra: str, wanted: list[float]) -> None:
    made = net(X, T, ip("a", "x"), softmax_loss("a", extra))
    assert made.graph.nodes[-1].loss_weights == wanted


def test_a_loss_without_a_top_gets_one_that_is_no_output() -> None:
    made = net(X, T, ip("a", "x"), 'layer { name: "l" type: "SoftmaxWithLoss" bottom: "a" bottom: "t" }')
    assert made.outputs == [] and made.graph.nodes[-1].tops[0].name == "(automatic)"
    assert float(made.run().loss.detach()) == pytest.approx(1.3863, abs=1e-4)  # log 4: the blobs are zeros


CONV = (
    'layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 2 kernel_size: %d } }'
)
BAD = [
    (
        "unknown type",
        [X, relu("x", "y").replace("ReLU", "Relu")],
        UnsupportedError,
        r"layer 'r': unknown layer type 'Relu'.*ReLU",
    ),
    ("a bottom that nobody makes", [X, relu("xx", "y")], NetError, r"'xx'.*'r'|'r'.*'xx'"),
    ("two makers of one top", [X, ip("a", "x"), relu("x", "a")], NetError, "'a' is made by layer 'a' already"),
    ("too many bottoms", [X, T, relu("x", "y", extra='bottom: "t"')], LayerError, "takes 1 bottom.*gives 2"),
    ("too few tops", [X, 'layer { name: "s" type: "Slice" bottom: "x" }'], LayerError, "top"),
    ("kernel past the bottom", [X, CONV % 9], ShapeError, r"layer 'c' \(Convolution\)"),
    (
        "shapes that do not fit",
        [X, T, 'layer { name: "e" type: "Eltwise" bottom: "x" bottom: "t" top: "e" }'],
        ShapeError,
        "'e'",
    ),
    (
        "propagate_down of another length",
        [X, relu("x", "y", extra="propagate_down: true propagate_down: true")],
        LayerError,
        "propagate_down is given 2 times for 1",
    ),
    (
        "loss_weight of another length",
        [X, relu("x", "y", extra="loss_weight: 1 loss_weight: 1")],
        LayerError,
        "loss_weight",
    ),
    (
        "too many params",
        [X, ip("a", "x", extra="param {} param {} param {}")],
        LayerError,
        "3 param entries for a layer of 2",
    ),
    (
        "what a layer in place has written over",
        [
            X,
            ip("a", "x"),
            'layer { name: "f" type: "Flatten" bottom: "a" top: "f" }',
            relu("f", "f"),
            ip("b", "a"),
        ],
        LayerError,
        "'b'.*reads 'a_a_0_split_1' after layer 'r' has worked in place on 'f'",
    ),
    (
        "another size in place",
        [X, 'layer { name: "p" type: "Pooling" bottom: "x" top: "x" pooling_param { kernel_size: 2 } }'],
        LayerError,
        r"'p' \(Pooling\): cannot work in place on 'x': the top is \(2, 3, 4, 3\), the bottom \(2, 3, 5, 4\)",
    ),
    (
        "learned statistics",
        [X, 'layer { name: "b" type: "BatchNorm" bottom: "x" top: "b" param { lr_mult: 1 } }'],
        LayerError,
        "lr_mult must be 0",
    ),
    (
        "an option of a fork that would change the result",
        [
            X,
            'layer { name: "b" type: "BatchNorm" bottom: "x" top: "b" batch_norm_param { update_global_stats: true } }',
        ],
        UnsupportedError,
        "'b'.*batch_norm_param.update_global_stats: an option of a fork",
    ),
    (
        "label counts that disagree",
        [
            X,
            'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 7 } } }',
            ip("a", "x"),
            softmax_loss("a"),
        ],
        CaffeError,
        "'loss'",
    ),
]


@pytest.mark.parametrize(("layers", "kind", "message"), [c[1:] for c in BAD], ids=[c[0] for c in BAD])
def test_what_cannot_be(layers: list[str], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        net(*layers)


def test_what_a_layer_in_place_leaves_alone() -> None:
    """Readers before it, readers of its own top, readers of shapes, and everybody if it changes nothing."""
    flat = 'layer { name: "f" type: "Flatten" bottom: "a" top: "f" }'
    drop = 'layer { name: "d" type: "Dropout" bottom: "f" top: "f" }'
    net(X, ip("a", "x"), ip("b", "a"), flat, relu("f", "f"), ip("c", "f"))
    net(X, ip("a", "x"), flat, relu("f", "f"), 'layer { name: "s" type: "Silence" bottom: "a" }')
    changed = [X, relu("x", "y", "r0"), flat.replace('"a"', '"x"'), relu("f", "f")]
    net(*changed, 'layer { name: "c" type: "Crop" bottom: "y" bottom: "x" top: "c" }')
    with pytest.raises(LayerError, match="'c'.*reads 'x_x_0_split_.' after layer 'r'"):
        net(*changed, 'layer { name: "c" type: "Crop" bottom: "x" bottom: "y" top: "c" }')
    net(X, ip("a", "x"), flat, drop, ip("b", "a"), phase=TEST)
    with pytest.raises(LayerError, match="'b'.*after layer 'd'"):
        net(X, ip("a", "x"), flat, drop, ip("b", "a"), phase=TRAIN)


def test_phase_stage_and_level_choose_layers() -> None:
    layers = [
        X,
        relu("x", "a", "train", "include { phase: TRAIN }"),
        relu("x", "b", "test", "include { phase: TEST }"),
        relu("x", "c", "deep", "include { min_level: 2 }"),
        relu("x", "d", "shy", 'exclude { stage: "s" }'),
    ]
    names = lambda made: {n.name for n in made.graph.nodes} - {"x", "x_x_0_split"}  # noqa: E731 - used twice, here only
    assert names(net(*layers, phase=TRAIN)) == {"train", "shy"}
    assert names(net(*layers, phase=TEST, level=2, stages=["s"])) == {"test", "deep"}


@pytest.mark.parametrize("specs, learns", [("", [True] * 3), ("param { lr_mult: 0 }", [False, True, True])])
def test_statistics_count_as_learned_where_the_definition_gives_them_no_rate(specs: str, learns: list[bool]) -> None:
    """As in Caffe, which sets BatchNorm's rates to 0 in the layer's own copy alone: its log says that they need it."""
    bn = f'layer {{ name: "bn" type: "BatchNorm" bottom: "x" top: "bn" {specs} }}'
    built = net(X, bn, 'layer { name: "r" type: "Reduction" bottom: "bn" top: "r" loss_weight: 1 }')
    _, node, last = built.graph.nodes
    assert (node.param_propagate_down, node.needs_backward, last.propagate_down) == (learns, True, [True])
    assert [learnable.lr_mult for learnable in built.learnable] == [0, 0, 0]
