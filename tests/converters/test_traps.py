"""One-trap nets through the runtime, ONNX and standalone PyTorch: never silently wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.converters.traps import GOLDEN, Trap
from tools.trap_table import REFUSED, RIGHT, WAYS, every_trap, verdict

TRAPS = every_trap()
NO_PLAIN_PYTORCH = {"pool_mask", "argmax_pairs", "argmax_axis_values", "argmax_negative_axis"}


@pytest.mark.parametrize("trap", TRAPS, ids=[trap.name for trap in TRAPS])
def test_right(trap: Trap, tmp_path: Path) -> None:
    for way in WAYS:
        state, why = verdict(trap, way, tmp_path)
        wanted = REFUSED if way == "PyTorch" and trap.name in NO_PLAIN_PYTORCH else RIGHT
        assert state == wanted, f"{way}: {state}: {why}"


def test_the_table_is_of_these_nets() -> None:
    assert len({trap.name for trap in TRAPS}) == len(TRAPS) >= 100
    text = (GOLDEN.parents[1] / "TRAPS.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and " right | right" in line]
    listed = [row.split(" |")[0][2:] for row in rows]
    assert listed == [trap.name for trap in TRAPS]
