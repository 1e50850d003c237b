"""Imports point down: the order of the packages is the order in which data flows."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEVELS = [
    {"errors", "log", "atomic", "mangle"},
    {"proto"},
    {"filler", "blob"},
    {"data"},
    {"layers"},
    {"graph"},
    {"fuse", "hdf5"},
    {"weights", "weight_map"},
    {"net"},
    {"islands"},
    {"solver"},
    {"pycaffe", "par"},
    {"cli", "__main__"},
]
LEVEL = {name: i for i, names in enumerate(LEVELS) for name in names}
LAZY = {("layers", "pycaffe"), ("pycaffe", "cli"), ("cli", "converters"), ("par", "converters"), ("par", "cli")}


def imported(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names += [f"{node.module}.{a.name}" for a in node.names]
    return names


def test_imports_point_down() -> None:
    wrong = []
    for path in sorted((ROOT / "caffe_port").rglob("*.py")):
        package = path.relative_to(ROOT / "caffe_port").parts[0].removesuffix(".py")
        for name in imported(path):
            top, _, rest = name.partition(".")
            target = rest.split(".")[0] if top == "caffe_port" else top
            if top in ("tools", "tests") or (top == "converters" and package not in ("cli", "par")):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
            elif top == "caffe_port" and target in LEVEL and package in LEVEL and LEVEL[target] > LEVEL[package]:
                if (package, target) not in LAZY:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_every_module_has_a_level() -> None:
    found = {
        p.name.removesuffix(".py") for p in (ROOT / "caffe_port").iterdir() if p.name not in ("__init__.py", "py.typed")
    }
    assert found - {"__pycache__"} <= set(LEVEL), f"give these a level: {found - set(LEVEL)}"


def test_converters_never_import_tools() -> None:
    for path in (ROOT / "converters").rglob("*.py"):
        assert not [n for n in imported(path) if n.split(".")[0] in ("tools", "tests")], path
