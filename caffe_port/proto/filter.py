"""Which layers a net has in a phase, at a level and in stages: `include` and `exclude`.

Where the behaviour comes from: src/caffe/net.cpp, FilterNet and StateMeetsRule, with their log lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from caffe_port.errors import NetError
from caffe_port.proto import caffe_pb2

Notice = Callable[[str, str], None]  # (place in Caffe, message), such as log.info


def filter_net(param: Any, phase: int, level: int = 0, stages: Iterable[str] = (), notice: Notice | None = None) -> Any:
    """A copy of the net with the layers of this state only; the state is written into it.

    `stages` add to those in the net's own `state`, as in Caffe's Net; phase and level replace its. A layer with
    `include` rules is in if one of them holds; one with `exclude` rules is out if one of them holds. Raises NetError
    for a layer with both.
    """
    state = caffe_pb2.NetState(phase=phase, level=level)
    state.stage.extend(dict.fromkeys([*param.state.stage, *stages]))
    filtered = caffe_pb2.NetParameter()
    filtered.CopyFrom(param)
    filtered.state.CopyFrom(state)
    filtered.ClearField("layer")
    for layer in param.layer:
        if layer.include and layer.exclude:
            raise NetError(f"layer '{layer.name}': specify either include rules or exclude rules, not both")
        rules = layer.include or layer.exclude
        holds = any(rule_holds(rule, state, layer.name, notice) for rule in rules)
        if holds if layer.include else not holds:
            filtered.layer.add().CopyFrom(layer)
    return filtered


def rule_holds(rule: Any, state: Any, layer: str, notice: Notice | None = None) -> bool:
    """Whether everything that the NetStateRule asks for is so. `notice` hears why not, in Caffe's words."""
    by = f"specified by a rule in layer {layer}"
    reason: tuple[int, str] | None = None
    if rule.HasField("phase") and rule.phase != state.phase:
        reason = 296, f"The NetState phase ({state.phase}) differed from the phase ({rule.phase}) {by}"
    elif rule.HasField("min_level") and state.level < rule.min_level:
        reason = 306, f"The NetState level ({state.level}) is above the min_level ({rule.min_level}) {by}"
    elif rule.HasField("max_level") and state.level > rule.max_level:
        reason = 315, f"The NetState level ({state.level}) is above the max_level ({rule.max_level}) {by}"
    else:
        lacking = next((stage for stage in rule.stage if stage not in state.stage), None)
        barred = next((stage for stage in rule.not_stage if stage in state.stage), None)
        if lacking is not None:
            reason = 331, f"The NetState did not contain stage '{lacking}' {by}"
        elif barred is not None:
            reason = 347, f"The NetState contained a not_stage '{barred}' {by}"
    if reason is not None and notice is not None:
        notice(f"net.cpp:{reason[0]}", reason[1])
    return reason is None
