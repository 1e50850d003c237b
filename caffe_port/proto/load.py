"""From a file to a message in today's format: text, upgrade and what to tell the user, in one call."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from caffe_port import log
from caffe_port.proto import caffe_pb2, text
from caffe_port.proto.upgrade import upgrade_net, upgrade_solver


def read_net(path: str | os.PathLike[str]) -> Any:
    """The NetParameter of a prototxt, upgraded. Raises PrototxtError or NetError.

    Fields of forks that the net does without are logged once, each with its position; so are the upgrades.
    """
    source = os.fspath(path)
    found = text.read(path, caffe_pb2.NetParameter)
    _tell(found)
    return upgrade_net(found.message, source)


def read_solver(path: str | os.PathLike[str]) -> Any:
    """The SolverParameter of a prototxt, upgraded, with `snapshot_prefix` filled in. Raises PrototxtError or
    SolverError.

    As in Caffe (upgrade_proto.cpp, UpgradeSnapshotPrefixProperty): no prefix means the solver's own path without its
    suffix, a prefix that is a folder gets the solver's file name without its suffix.
    """
    source = os.fspath(path)
    found = text.read(path, caffe_pb2.SolverParameter)
    _tell(found)
    param = upgrade_solver(found.message, source)
    if not param.HasField("snapshot_prefix"):
        param.snapshot_prefix = os.path.splitext(source)[0]
        log.info("upgrade_proto.cpp:1108", f"snapshot_prefix was not specified and is set to {param.snapshot_prefix}")
    elif os.path.isdir(param.snapshot_prefix):
        param.snapshot_prefix = os.path.join(param.snapshot_prefix, Path(source).stem)
        log.info(
            "upgrade_proto.cpp:1113", f"snapshot_prefix was a directory and is replaced to {param.snapshot_prefix}"
        )
    for field in ("net_param", "train_net_param"):
        if param.HasField(field):
            getattr(param, field).CopyFrom(upgrade_net(getattr(param, field), source))
    for net in param.test_net_param:
        net.CopyFrom(upgrade_net(net, source))
    return param


def _tell(found: text.Text) -> None:
    for unknown in found.unknown:
        log.warn("io.cpp:36", f"{found.source}:{unknown}")
