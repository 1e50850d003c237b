"""What of a net is converted: a deploy net as it is; of a training net the part that computes."""

from __future__ import annotations

import pytest

from caffe_port.errors import ConvertError
from caffe_port.net import Net
from caffe_port.proto import caffe_pb2
from converters.deploy import deploy, join_splits, parse_inputs
from tests.converters import nets

LABEL_MATHS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "labels" type: "Data" top: "labels" data_param { source: "no" batch_size: 2 } }
layer { name: "slice" type: "Slice" bottom: "labels" top: "one" top: "two" slice_param { axis: 1 } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "fc" bottom: "one" top: "loss" }
layer { name: "euclid" type: "EuclideanLoss" bottom: "two" bottom: "fc" }
layer { name: "quiet" type: "Silence" bottom: "two" }
"""


def names(net) -> list[str]:
    return [layer.name for layer in net.layer]


def test_a_deploy_net_stays_as_it_is() -> None:
    net = nets.parse(nets.CLASSIC)
    result, notes = deploy(net)
    assert result == net and notes == []


def test_train_val_loses_data_loss_and_metric_and_says_so() -> None:
    net, notes = deploy(nets.parse(nets.TRAIN_VAL))
    assert names(net) == ["data", "conv", "relu", "drop", "fc"]
    assert [tuple(layer.input_param.shape[0].dim) for layer in net.layer[:1]] == [(4, 3, 11, 11)]
    assert Net(net).outputs == ["fc"]
    for word in ("'accuracy'", "'loss'", "'fc', as it went into the loss", "'data' of Data layer 'test'"):
        assert any(word in note for note in notes), (word, notes)


def test_the_net_inside_a_training_snapshot() -> None:
    """Caffe writes its own Splits and phase TRAIN into every layer, and only the TRAIN data layer."""
    net = nets.parse(nets.TRAIN_VAL.replace('bottom: "conv" top: "fc"', 'bottom: "conv_split_0" top: "fc"'))
    inside = caffe_pb2.NetParameter()
    for layer in net.layer:
        if layer.name in ("test", "accuracy"):
            continue
        if layer.name == "fc":
            inside.layer.add(name="conv_split", type="Split", bottom=["conv"], top=["conv_split_0", "conv_split_1"])
        inside.layer.add().CopyFrom(layer)
        inside.layer[-1].phase = caffe_pb2.TRAIN
    result, _ = deploy(inside)
    assert names(result) == ["data", "conv", "relu", "drop", "fc"]
    assert list(result.layer[4].bottom) == ["conv"]
    assert tuple(result.layer[0].input_param.shape[0].dim) == (32, 3, 11, 11)
    assert not any(layer.HasField("phase") for layer in result.layer)


def test_what_is_made_of_labels_goes_with_the_loss() -> None:
    net, notes = deploy(nets.parse(LABEL_MATHS))
    assert names(net) == ["data", "fc"] and len(notes) == 5


LABEL_INPUT = """
layer { name: "in" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 5 } } }
layer { name: "spare" type: "Input" top: "spare" input_param { shape { dim: 7 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "label" }
"""


def test_an_input_that_only_the_loss_read_goes_with_it() -> None:
    net, notes = deploy(nets.parse(LABEL_INPUT), {"data": (4, 3)})
    assert [(list(la.top), [list(s.dim) for s in la.input_param.shape]) for la in net.layer[:2]] == [
        (["data"], [[4, 3]]), (["spare"], [[7]]),
    ]  # fmt: skip
    assert set(Net(net).outputs) == {"spare", "fc"} and "dropped input 'label': only dropped layers read it" in notes


def test_an_input_that_went_into_the_loss_as_the_prediction_stays() -> None:
    text = LABEL_INPUT.replace('"spare"', '"x"').replace('"fc" bottom: "label"', '"x" bottom: "label"')
    net, _ = deploy(nets.parse(text))
    assert set(Net(net).outputs) == {"x", "fc"}


def test_splits_that_the_user_wrote_stay() -> None:
    net = nets.parse('layer { name: "s" type: "Split" bottom: "x" top: "left" top: "right" }')
    assert join_splits(net) == net


def test_a_shape_that_is_only_in_the_data_is_asked_for() -> None:
    text = nets.TRAIN_VAL.replace("mean_value: 1 mean_value: 2 mean_value: 3", "")
    with pytest.raises(ConvertError, match=r"layer 'test' \(Data\).*top 'data'.*--input data:1,3,224,224"):
        deploy(nets.parse(text))
    net, _ = deploy(nets.parse(text), {"data": (1, 3, 9, 8)})
    assert tuple(net.layer[0].input_param.shape[0].dim) == (1, 3, 9, 8)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, {}),
        ("data:1,3,224,224", {"data": (1, 3, 224, 224)}),
        (["a:2", "b:c:3, 4"], {"a": (2,), "b:c": (3, 4)}),
        ({"x": [1, 2]}, {"x": (1, 2)}),
    ],
)
def test_input_shapes_as_users_give_them(given, wanted) -> None:
    assert parse_inputs(given) == wanted


@pytest.mark.parametrize("given", ["data", "data:", ":1,2", "data:1,x", "data:1,-2", "data:0,3", {"x": (1, -1)}])
def test_input_shapes_that_are_none(given) -> None:
    with pytest.raises(ConvertError, match="input"):
        parse_inputs(given)


def test_an_input_that_the_net_does_not_have() -> None:
    with pytest.raises(ConvertError, match="'nope'.*the net's inputs are data"):
        deploy(nets.parse(nets.CLASSIC), {"nope": (1,)})


def test_a_python_layer_has_the_role_of_its_instance() -> None:
    python = 'type: "Python" python_param { module: "m" layer: "L" }'
    net = nets.parse(f"""
        layer {{ name: "reader" {python} top: "data" top: "label" }}
        layer {{ name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param {{ num_output: 5 }} }}
        layer {{ name: "mine" {python} bottom: "fc" top: "mine" }}
        layer {{ name: "loss" {python} bottom: "mine" bottom: "label" top: "loss" loss_weight: 1 }}""")
    result, notes = deploy(net, {"data": (2, 3)})
    assert names(result) == ["data", "fc", "mine"]
    assert any("loss layer 'loss'" in note for note in notes) and any("'data' of Python layer" in n for n in notes)
