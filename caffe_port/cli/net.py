"""The net that --model, --phase, --level and --stage mean together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caffe_port.cli.flags import stages
from caffe_port.proto import caffe_pb2

if TYPE_CHECKING:
    from caffe_port.net import Net


def build_net(path: str, phase: str, level: int = 0, stage: str = "", log: bool = True) -> Net:
    """The net in `path`; its state is set as the constructor of Caffe's Net sets it, which shows in the log."""
    from caffe_port.net import Net
    from caffe_port.proto.load import read_net

    param = read_net(path)
    param.state.level = level
    param.state.stage.extend(stages(stage))
    return Net(param, phase=caffe_pb2.Phase.Value(phase), log=log)
