"""Whatever is in a file, only our own errors come out; a net that does read can be upgraded, printed and written."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffe_port import log
from caffe_port.errors import CaffeError
from caffe_port.proto import binary, caffe_pb2, text
from caffe_port.proto.upgrade import upgrade_net

GOLDEN = Path(__file__).parents[1] / "golden"
BINARY = [GOLDEN / "weights/v1.caffemodel", GOLDEN / "cli/init.caffemodel", GOLDEN / "solvers/sgd_bn/final.solverstate"]
TEXT = [
    GOLDEN / "upgrade/in/v0_net.prototxt",
    GOLDEN / "upgrade/in/v1_convnet.prototxt",
    GOLDEN / "weights/net.prototxt",
]
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@st.composite
def mutated(draw: st.DrawFn, files: list[Path]) -> bytes:
    """A golden file cut, with bytes changed, put in, taken out and repeated."""
    raw = bytearray(draw(st.sampled_from([path.read_bytes() for path in files])))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, min(len(raw), draw(st.sampled_from([60, 10**6]))) - 1)))
        kind = draw(st.sampled_from(["change", "cut", "insert", "delete", "repeat"]))
        if kind == "change" and raw:
            raw[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del raw[at + 1 :]
        elif kind == "insert":
            raw[at:at] = draw(st.binary(max_size=12))
        elif kind == "delete":
            del raw[at : at + draw(st.integers(1, 40))]
        else:
            raw[at:at] = raw[at : at + draw(st.integers(1, 200))]
    return bytes(raw)


@SETTINGS
@given(raw=mutated(BINARY))
def test_mutated_binaries(raw: bytes) -> None:
    log.redirect(io.StringIO())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "f")
        path.write_bytes(raw)
        with contextlib.suppress(CaffeError):
            found = binary.read_net(path)
            text.format(upgrade_net(found.param))
            binary.write_net(Path(folder, "g"), found.param, found.layers)
        for read in (binary.read_solverstate, binary.read_blob):
            with contextlib.suppress(CaffeError):
                read(path)
    log.redirect(None)


@SETTINGS
@given(raw=mutated(TEXT))
def test_mutated_texts(raw: bytes) -> None:
    log.redirect(io.StringIO())
    for strict in (True, False):
        with contextlib.suppress(CaffeError):
            upgrade_net(text.parse(raw, caffe_pb2.NetParameter, strict=strict).message)
    log.redirect(None)


@pytest.mark.parametrize("path", BINARY, ids=lambda path: path.name)
def test_every_truncation(path: Path, tmp_path: Path) -> None:
    """Cut after every 41st byte: an error of ours, or (between two layers) a shorter net."""
    raw = path.read_bytes()
    for end in range(1, len(raw), 41):
        (tmp_path / "f").write_bytes(raw[:end])
        with contextlib.suppress(CaffeError):
            found = binary.read_net(tmp_path / "f")
            assert all(blob.size for layer in found.layers for blob in layer.blobs)
