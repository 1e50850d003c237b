"""Split layers: names, order and loss weights as a genuine Caffe saved them for the same net."""

from __future__ import annotations

from typing import Any

import pytest

from caffe_port.errors import NetError
from caffe_port.proto import caffe_pb2, text
from caffe_port.proto.splits import insert_splits

NET = """
layer { name: "d" type: "Input" top: "x" top: "t" }
layer { name: "r" type: "ReLU" bottom: "x" top: "x" }
layer { name: "a" type: "Power" bottom: "x" top: "a" }
layer { name: "b" type: "Power" bottom: "x" top: "b" loss_weight: 2 }
layer { name: "b2" type: "Power" bottom: "b" top: "bb" }
layer { name: "c" type: "Eltwise" bottom: "x" bottom: "b" bottom: "x" top: "c" }
layer { name: "c3" type: "Eltwise" bottom: "x" bottom: "b" bottom: "t" top: "c3" }
layer { name: "loss" type: "EuclideanLoss" bottom: "c" bottom: "t" top: "loss" loss_weight: 0.5 }
layer { name: "sl" type: "Slice" bottom: "c3" top: "s0" top: "s1" top: "s2" loss_weight: [0, 3, 1] }
layer { name: "e" type: "Eltwise" bottom: "s0" bottom: "s1" top: "e" }
layer { name: "e2" type: "Eltwise" bottom: "s2" bottom: "s1" top: "e2" }
layer { name: "p" type: "Power" bottom: "loss" top: "p2" }
layer { name: "p3" type: "Power" bottom: "loss" top: "p3" }
"""
SAVED = """
d | | x t |
t_d_1_split | t | t_d_1_split_0 t_d_1_split_1 |
r | x | x |
x_r_0_split | x | x_r_0_split_0 x_r_0_split_1 x_r_0_split_2 x_r_0_split_3 x_r_0_split_4 |
a | x_r_0_split_0 | a |
b | x_r_0_split_1 | b |
b_b_0_split | b | b_b_0_split_0 b_b_0_split_1 b_b_0_split_2 b_b_0_split_3 | 2 0 0 0
b2 | b_b_0_split_1 | bb |
c | x_r_0_split_2 b_b_0_split_2 x_r_0_split_3 | c |
c3 | x_r_0_split_4 b_b_0_split_3 t_d_1_split_0 | c3 |
loss | c t_d_1_split_1 | loss |
loss_loss_0_split | loss | loss_loss_0_split_0 loss_loss_0_split_1 loss_loss_0_split_2 | 0.5 0 0
sl | c3 | s0 s1 s2 |
s1_sl_1_split | s1 | s1_sl_1_split_0 s1_sl_1_split_1 s1_sl_1_split_2 | 3 0 0
s2_sl_2_split | s2 | s2_sl_2_split_0 s2_sl_2_split_1 | 1 0
e | s0 s1_sl_1_split_1 | e |
e2 | s2_sl_2_split_1 s1_sl_1_split_2 | e2 |
p | loss_loss_0_split_1 | p2 |
p3 | loss_loss_0_split_2 | p3 |
"""


def net(given: str) -> Any:
    return text.parse(given, caffe_pb2.NetParameter).message


def test_as_caffe_saved_it() -> None:
    given = net(NET)
    before = given.SerializeToString()
    rows = [
        " | ".join([x.name, " ".join(x.bottom), " ".join(x.top), " ".join(f"{w:g}" for w in x.loss_weight)])
        for x in insert_splits(given).layer
    ]
    assert [" ".join(row.split()) for row in rows] == [" ".join(row.split()) for row in SAVED.strip().splitlines()]
    assert given.SerializeToString() == before


def test_a_net_without_sharing_stays() -> None:
    given = net("name: 'n' layer { name: 'a' top: 'x' loss_weight: 1 } layer { name: 'b' bottom: 'x' top: 'x' }")
    once = insert_splits(given)
    assert [layer.type for layer in once.layer] == ["", "Split", ""]  # a loss and a reader are two
    given.layer[0].ClearField("loss_weight")
    assert insert_splits(given) == given


UNKNOWN = {
    "layer { name: 'a' top: 'data' } layer { name: 'b' bottom: 'dta' }":
        "Unknown bottom blob 'dta' (layer 'b', bottom index 0); did you mean 'data'?",
    "layer { name: 'a' bottom: 'x' } layer { name: 'b' top: 'x' }":
        "Unknown bottom blob 'x' (layer 'a', bottom index 0); layer 'b' makes it, but only afterwards: "
        "move that layer up",
    "layer { name: 'a' top: 'q' } layer { name: 'b' bottom: 'q' bottom: 'zzz' }":
        "Unknown bottom blob 'zzz' (layer 'b', bottom index 1); no layer makes it in this phase (there is q)",
}  # fmt: skip


@pytest.mark.parametrize("given", UNKNOWN)
def test_a_bottom_that_nobody_makes(given: str) -> None:
    with pytest.raises(NetError) as e:
        insert_splits(net(given))
    assert str(e.value) == UNKNOWN[given]
