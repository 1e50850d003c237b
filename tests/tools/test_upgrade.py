"""The three upgrade tools: Caffe's own output for its old formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_port.proto.binary import read_net
from tests.tools.scripts import GOLDEN, run

HERE = GOLDEN / "upgrade"


@pytest.mark.parametrize("path", sorted((HERE / "in").glob("*.prototxt")), ids=lambda p: p.stem)
def test_golden_text(path: Path, tmp_path: Path) -> None:
    """To the byte; upgraded again, it stays and the log says why (BatchNorm's three params are never new enough)."""
    tool, kind = ("upgrade_solver_proto_text", "Solver") if "solver" in path.stem else ("upgrade_net_proto_text", "Net")
    status, said = run(tool, path, tmp_path / "out")
    assert status == 0 and (tmp_path / "out").read_bytes() == (HERE / "out" / path.name).read_bytes()
    assert said[-1] == f"I {tool}.cpp:49] Wrote upgraded {kind}Parameter text proto to {tmp_path / 'out'}"
    status, said = run(tool, tmp_path / "out", tmp_path / "again")
    assert status == 0 and (tmp_path / "again").read_bytes() == (tmp_path / "out").read_bytes()
    if path.stem == "v2_legacy_input":
        assert "upgrade batch norm layers" in said[0]
    else:
        assert said[0] == f"E {tool}.cpp:43] File already in latest proto format: {tmp_path / 'out'}"


def test_binary(tmp_path: Path) -> None:
    """A V1 file with legacy dimensions and double_data: the same blobs under the same names, in today's format."""
    old = GOLDEN / "weights" / "v1.caffemodel"
    status, said = run("upgrade_net_proto_binary", old, tmp_path / "new.caffemodel")
    assert status == 0 and said[-1].startswith("I upgrade_net_proto_binary.cpp:49] Wrote upgraded NetParameter binary")
    before, after = read_net(old), read_net(tmp_path / "new.caffemodel")
    assert before.param.layers and not after.param.layers
    theirs = {layer.name: layer for layer in before.layers}
    for layer in after.layers:
        for mine, given in zip(layer.blobs, theirs[layer.name].blobs if layer.blobs else [], strict=True):
            np.testing.assert_array_equal(mine, given)
    assert sum(len(layer.blobs) for layer in after.layers) == sum(len(layer.blobs) for layer in before.layers) > 0
    run("upgrade_net_proto_binary", tmp_path / "new.caffemodel", tmp_path / "again.caffemodel")
    assert (tmp_path / "again.caffemodel").read_bytes() == (tmp_path / "new.caffemodel").read_bytes()


@pytest.mark.parametrize("tool", ["upgrade_net_proto_text", "upgrade_net_proto_binary", "upgrade_solver_proto_text"])
def test_errors(tool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").write_text("nonsense: {")
    for source in ("none", tmp_path / "in"):
        assert run(tool, source, tmp_path / "out")[0] == 1
        said = capsys.readouterr().err
        assert said.startswith(f"{tool}: error: {source}") and said.count("\n") == 1
    assert not (tmp_path / "out").exists()
