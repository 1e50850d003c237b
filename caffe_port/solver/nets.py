"""Which nets a solver definition asks for: one to train, any number to test, in all the forms that Caffe has.

Source: `Solver::InitTrainNet` and `InitTestNets`, src/caffe/solver.cpp.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from caffe_port.errors import SolverError
from caffe_port.proto import caffe_pb2
from caffe_port.proto.load import read_net
from caffe_port.proto.upgrade import upgrade_net

TRAIN_FIELDS = ("net", "net_param", "train_net", "train_net_param")


@dataclass(frozen=True)
class Definition:
    """A net to build: where its definition comes from, in the words of Caffe's log, and what gives the definition in
    its state. Caffe logs the words before it reads a net to train, but after it has read all nets to test."""

    place: str
    source: str
    read: Callable[[], Any]


def train_net(param: Any) -> Definition:
    """The one net to train; the field that gives it must be one of TRAIN_FIELDS, alone."""
    field = train_field(param)
    place, source = {
        "train_net_param": ("solver.cpp:88", "specified in train_net_param."),
        "train_net": ("solver.cpp:92", f"from train_net file: {param.train_net}"),
        "net_param": ("solver.cpp:97", "specified in net_param."),
        "net": ("solver.cpp:102", f"from net file: {param.net}"),
    }[field]
    value = getattr(param, field)
    return Definition(place, source, lambda: _with_state(_read(value, field), caffe_pb2.TRAIN, param.train_state))


def train_field(param: Any) -> str:
    """Which field gives the net to train."""
    given = [name for name in TRAIN_FIELDS if param.HasField(name)]
    if not given:
        raise SolverError(f"the solver must specify a train net using one of these fields: {', '.join(TRAIN_FIELDS)}")
    if len(given) > 1:
        raise SolverError(f"the solver specifies a train net more than once ({', '.join(given)}); leave one of them")
    return given[0]


def test_nets(param: Any) -> list[Definition]:
    """The test nets, as `test_sources` lists them."""
    named = test_sources(param)
    states = list(param.test_state) or [caffe_pb2.NetState()] * len(named)
    read = [_read(value, field) for field, _, value in named]
    return [
        Definition("solver.cpp:190", source, partial(_with_state, net, caffe_pb2.TEST, state))
        for (_, source, _), net, state in zip(named, read, states, strict=True)
    ]


def test_sources(param: Any) -> list[tuple[str, str, Any]]:
    """Field, words for the log, and path or message of every test net: test_net_param's, then test_net's, then `net` or
    `net_param` for every test_iter that is left."""
    named = [("test_net_param", "test_net_param", p) for p in param.test_net_param]
    named += [("test_net", f"test_net file: {path}", path) for path in param.test_net]
    generic = [name for name in ("net", "net_param") if param.HasField(name)]
    count = len(param.test_iter)
    if count < len(named) or (count > len(named) and not generic):
        raise SolverError(
            f"test_iter must be specified for each test network: there are {len(named)} test nets"
            f"{' besides the net itself' if generic else ''} and {count} test_iter"
        )
    if generic:
        source = "net_param" if generic[0] == "net_param" else f"net file: {param.net}"
        named += [(generic[0], source, getattr(param, generic[0]))] * (count - len(named))
    if param.test_state and len(param.test_state) != len(named):
        raise SolverError(
            f"test_state must be unspecified or specified once per test net: {len(param.test_state)} for {len(named)}"
        )
    if named and param.test_interval <= 0:
        raise SolverError(
            f"there are {len(named)} test nets, but test_interval is {param.test_interval}; set it above 0"
        )
    return named


def _read(value: Any, field: str) -> Any:
    """A definition of our own from a path or from a message inside the solver's file."""
    if not isinstance(value, str):
        return upgrade_net(value)
    if not os.path.isfile(value):
        raise SolverError(
            f"{field}: there is no file '{value}' (a path is relative to the folder that the command runs in, "
            f"which is {os.getcwd()})"
        )
    return read_net(value)


def _with_state(net: Any, phase: int, given: Any) -> Any:
    """The net in its state: the phase, overruled by the net's own state, overruled by the solver's."""
    out = caffe_pb2.NetParameter()
    out.CopyFrom(net)
    state = caffe_pb2.NetState(phase=phase)
    state.MergeFrom(net.state)
    state.MergeFrom(given)
    out.state.CopyFrom(state)
    return out
