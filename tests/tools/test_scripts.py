"""Every script runs from a checkout, wherever one stands, and explains itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.scripts import ROOT, load

NAMES = sorted(p.stem for p in (ROOT / "tools").glob("*.py") if not p.stem.startswith("_"))
CAFFES = {
    "classify", "compute_image_mean", "convert_imageset", "draw_net", "extract_features", "parse_log",
    "plot_training_log", "upgrade_net_proto_binary", "upgrade_net_proto_text", "upgrade_solver_proto_text",
}  # fmt: skip


def test_all_are_there() -> None:
    assert CAFFES <= set(NAMES)


@pytest.mark.parametrize("name", sorted(CAFFES))
def test_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        load(name).tool.parse(["--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0 and f"python tools/{name}.py" in said and len(said) > 300


def test_from_another_folder(tmp_path: Path) -> None:
    """As a process of its own, without PYTHONPATH: the status and the one line of an error."""
    script = str(ROOT / "tools" / "parse_log.py")
    done = subprocess.run(
        [sys.executable, script, "none.log", "."], cwd=tmp_path, capture_output=True, text=True, env={"PATH": ""}
    )
    assert done.returncode == 1 and done.stderr == "parse_log: error: none.log: No such file or directory\n"
