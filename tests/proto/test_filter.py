"""Which layers a state has: the rules of NetStateRule, one line each, and Caffe's words for why not."""

from __future__ import annotations

import pytest

from caffe_port.errors import NetError
from caffe_port.proto import caffe_pb2, text
from caffe_port.proto.filter import filter_net

TRAIN, TEST = caffe_pb2.TRAIN, caffe_pb2.TEST
CASES = [  # rules of the layer, phase, level, stages, whether it is in
    ("", TRAIN, 0, [], True),
    ("include { phase: TRAIN }", TRAIN, 0, [], True),
    ("include { phase: TRAIN }", TEST, 0, [], False),
    ("exclude { phase: TRAIN }", TRAIN, 0, [], False),
    ("exclude { phase: TRAIN }", TEST, 0, [], True),
    ("include { }", TEST, 0, [], True),
    ("exclude { }", TEST, 0, [], False),
    ("include { min_level: 2 }", TEST, 1, [], False),
    ("include { min_level: 2 }", TEST, 2, [], True),
    ("include { max_level: 2 }", TEST, 2, [], True),
    ("include { max_level: 2 }", TEST, 3, [], False),
    ("include { min_level: -1 max_level: 1 }", TEST, 0, [], True),
    ("include { stage: 'a' }", TEST, 0, [], False),
    ("include { stage: 'a' }", TEST, 0, ["b", "a"], True),
    ("include { stage: 'a' stage: 'b' }", TEST, 0, ["a"], False),
    ("include { stage: 'a' stage: 'b' }", TEST, 0, ["a", "b"], True),
    ("include { not_stage: 'a' }", TEST, 0, [], True),
    ("include { not_stage: 'a' }", TEST, 0, ["a"], False),
    ("include { stage: 'a' not_stage: 'b' }", TEST, 0, ["a", "b"], False),
    ("include { phase: TRAIN } include { stage: 'a' }", TEST, 0, ["a"], True),
    ("include { phase: TRAIN } include { stage: 'a' }", TEST, 0, [], False),
    ("exclude { phase: TRAIN } exclude { stage: 'a' }", TEST, 0, ["a"], False),
    ("exclude { phase: TRAIN stage: 'a' }", TRAIN, 0, [], True),
]


@pytest.mark.parametrize(("rules", "phase", "level", "stages", "included"), CASES)
def test_rules(rules: str, phase: int, level: int, stages: list[str], included: bool) -> None:
    net = text.parse(f"name: 'n' layer {{ name: 'a' {rules} }} layer {{ name: 'b' }}", caffe_pb2.NetParameter).message
    filtered = filter_net(net, phase, level, stages)
    assert [layer.name for layer in filtered.layer] == (["a", "b"] if included else ["b"])
    assert (filtered.state.phase, filtered.state.level, list(filtered.state.stage)) == (phase, level, stages)
    assert len(net.layer) == 2 and not net.HasField("state")


def test_stages_of_the_net_itself_count() -> None:
    given = "state { stage: 'a' level: 5 } layer { name: 'x' include { stage: 'a' stage: 'b' max_level: 0 } }"
    filtered = filter_net(text.parse(given, caffe_pb2.NetParameter).message, TEST, 0, ["b", "a"])
    assert len(filtered.layer) == 1 and list(filtered.state.stage) == ["a", "b"] and filtered.state.level == 0


def test_both_kinds_of_rules() -> None:
    given = "layer { name: 'x' include { } exclude { } }"
    with pytest.raises(NetError, match="layer 'x': specify either include rules or exclude rules, not both"):
        filter_net(text.parse(given, caffe_pb2.NetParameter).message, TEST)


NOTICES = {
    "phase: TRAIN": "net.cpp:296 The NetState phase (1) differed from the phase (0) specified by a rule in layer x",
    "min_level: 2": "net.cpp:306 The NetState level (0) is above the min_level (2) specified by a rule in layer x",
    "max_level: -2": "net.cpp:315 The NetState level (0) is above the max_level (-2) specified by a rule in layer x",
    "stage: 'q'": "net.cpp:331 The NetState did not contain stage 'q' specified by a rule in layer x",
    "not_stage: 'a'": "net.cpp:347 The NetState contained a not_stage 'a' specified by a rule in layer x",
}


@pytest.mark.parametrize("rule", NOTICES)
def test_notices_in_caffes_words(rule: str) -> None:
    heard: list[str] = []
    net = text.parse(f"layer {{ name: 'x' include {{ {rule} }} }}", caffe_pb2.NetParameter).message
    filter_net(net, TEST, 0, ["a"], lambda place, message: heard.append(f"{place} {message}"))
    assert heard == [NOTICES[rule]]
