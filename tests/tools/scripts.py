"""Scripts of tools/ run in this process, as from the command line."""

from __future__ import annotations

import importlib.util
import io
import re
from pathlib import Path
from types import ModuleType

from caffe_port import log

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
STAMP = re.compile(r"^([IWEF])\d{4,8} \d\d:\d\d:\d\d\.\d{6} +\d+ ", re.MULTILINE)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tool_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, *argv: object) -> tuple[int, list[str]]:
    """(exit status, the log's lines without their times)."""
    module = load(name)
    said = io.StringIO()
    log.redirect(said)
    try:
        status = module.tool.run(module.main, [str(word) for word in argv])
    finally:
        log.redirect(None)
    return status, untimed(said.getvalue())


def untimed(text: str) -> list[str]:
    return STAMP.sub(r"\1 ", text).splitlines()
