"""Everything in a solver's file that we cannot do: its settings, and the nets inside it; nothing is read or written
elsewhere."""

from __future__ import annotations

import os
from typing import Any

from caffe_port.cli.preflight import NOTE, UNSUPPORTED, Report, check_net, located, tell_unknown
from caffe_port.errors import CaffeError
from caffe_port.proto import caffe_pb2, text
from caffe_port.proto.forks import fork_fields
from caffe_port.proto.upgrade import upgrade_net, upgrade_solver
from caffe_port.solver import checks, lr_policy, nets, rule
from caffe_port.solver.detections import AP_VERSIONS


def check(path: str) -> Report:
    """All that is wrong with the solver in `path`. A net in a file of its own that is not here is noted.

    Whether the snapshots' folder can be written is for the run to see: preflight leaves no trace.
    """
    report = Report(path, "solver")
    try:
        read = text.read(path, caffe_pb2.SolverParameter, strict=False)
        tell_unknown(read, report)
        param = upgrade_solver(read.message)
    except CaffeError as error:
        report.add(*located(path, error))
        return report
    for name in (name for name in fork_fields(param) if name not in checks.KNOWN):
        report.add(
            0, f"{name}: an option of a fork's solver that is not known here", UNSUPPORTED, f"solver field '{name}'"
        )
    for name, known in (
        ("lr_policy", lr_policy.POLICIES), ("type", rule.RULES),
        ("eval_type", checks.EVALUATIONS), ("ap_version", AP_VERSIONS),
    ):  # fmt: skip
        value = getattr(param, name)
        if value not in known:
            said = f"{name}: unknown {name} '{value}'; known are {', '.join(known)}"
            report.add(0, said, UNSUPPORTED, f"solver {name} '{value}'")
    for question in (checks.check_settings, rule.rule, nets.train_field, nets.test_sources):
        if report.problems and question in (checks.check_settings, rule.rule):
            continue  # they stop at what is told above
        try:
            question(param)
        except CaffeError as error:
            report.add(0, str(error))
    for field in (*nets.TRAIN_FIELDS, "test_net_param", "test_net"):
        for value in _values(param, field):
            if isinstance(value, str):
                if not os.path.isfile(value):
                    report.add(0, f"{field}: there is no file '{value}' here; it is not checked", NOTE)
            else:
                _check_inside(field, value, report)
    return report


def _values(param: Any, field: str) -> list[Any]:
    value = getattr(param, field)
    if param.DESCRIPTOR.fields_by_name[field].has_presence:
        return [value] if param.HasField(field) else []
    return list(value)


def _check_inside(field: str, net: Any, report: Report) -> None:
    phases = ("TRAIN",) if field.startswith("train") else ("TEST",) if field.startswith("test") else ("TRAIN", "TEST")
    try:
        upgraded = upgrade_net(net)
    except CaffeError as error:
        report.add(0, f"{field}: {error}")
        return
    check_net(upgraded, phases, report, [0] * len(upgraded.layer))
