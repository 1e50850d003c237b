"""One-trap nets through the runtime, ONNX, ONNX read back and standalone PyTorch: all right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.converters.traps import GOLDEN, Trap
from tools.trap_table import RIGHT, WAYS, every_trap, verdict

TRAPS = every_trap()


@pytest.mark.parametrize("trap", TRAPS, ids=[trap.name for trap in TRAPS])
def test_right(trap: Trap, tmp_path: Path) -> None:
    for way in WAYS:
        state, why = verdict(trap, way, tmp_path)
        assert state == RIGHT, f"{way}: {state}: {why}"


def test_the_table_is_of_these_nets() -> None:
    assert len({trap.name for trap in TRAPS}) == len(TRAPS) >= 100
    text = (GOLDEN.parents[1] / "TRAPS.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and " right | right" in line]
    listed = [row.split(" |")[0][2:] for row in rows]
    assert listed == [trap.name for trap in TRAPS]
