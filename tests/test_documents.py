"""The documents say what is: the layer table is the registry's, and what the README shows is what happens."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from caffe_port.cli import main as cli
from caffe_port.cli.flags import normalise
from caffe_port.layers import REGISTRY
from tools import layer_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(kind: str, document: str = README) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", document, re.DOTALL)


def test_the_layer_table_is_the_registrys() -> None:
    made = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "layer_table.py")], capture_output=True, text=True, check=True
    ).stdout
    assert made == (ROOT / "LAYERS.md").read_text(encoding="utf-8"), "run `python tools/layer_table.py --write`"


def test_every_layer_has_a_test_file() -> None:
    modules = {cls.__module__.rpartition(".")[2] for cls in REGISTRY.values()}
    missing = [name for name in modules if not (ROOT / "tests" / "layers" / f"test_{name}.py").exists()]
    assert not missing, f"layers without a case table: {', '.join(sorted(missing))}"


def test_every_layer_that_computes_has_a_table_of_cases() -> None:
    """Data layers and those without tops have tests of their own."""
    computing = [cls for cls in REGISTRY.values() if cls.role not in ("data", "input") and cls.tops[1] != 0]
    missing = {cls.__name__ for cls in computing if not layer_table.cases(cls.__module__.rpartition(".")[2])}
    assert not missing, f"layers whose test file runs no case: {', '.join(sorted(missing))}"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the definitions, and `caffe-port` on the path."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "prototxt").symlink_to(ROOT / "prototxt")
    (folder / "bin").mkdir()
    command = folder / "bin" / "caffe-port"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m caffe_port "$@"\n')
    command.chmod(0o755)
    return folder


def shown(block: str) -> list[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines shown after it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line)
    return found


def holds(line: str, output: list[str]) -> bool:
    """Whether the output has the line; ` ...` at its end stands for anything."""
    if line.strip() == "...":
        return True
    if line.endswith(" ..."):
        return any(o.startswith(line[: -len(" ...")]) for o in output)
    return line.rstrip() in output


def test_the_readmes_commands_do_what_it_shows(desk: Path) -> None:
    """All console blocks in order, in one folder, as a reader would."""
    env = {**os.environ, "PATH": f"{desk / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    for block in blocks("console"):
        for command, lines in shown(block):
            done = subprocess.run(["bash", "-c", command], cwd=desk, env=env, capture_output=True, text=True)
            expected = 1 if "# exit status 1" in command else 0
            assert done.returncode == expected, f"$ {command}\n{done.stdout}\n{done.stderr}"
            output = [line.rstrip() for line in (done.stdout + done.stderr).splitlines()]
            lost = [line for line in lines if not holds(line, output)]
            assert not lost, f"$ {command}\ndoes not print: {lost}\nbut:\n" + "\n".join(output)


@pytest.mark.parametrize("name", ["README.md", "EXPERIMENTS.md"])
def test_the_other_commands_parse(name: str) -> None:
    """Commands that need data or hours: every flag exists, and every map."""
    names = [module.NAME for module in cli.COMMANDS]
    for block in blocks("sh", (ROOT / name).read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["caffe-port"]:
                args = cli.parser().parse_args(normalise(words[1:], names))
                assert not getattr(args, "map", None) or (ROOT / args.map).is_file(), args.map


def test_the_readmes_python_runs(desk: Path) -> None:
    for block in blocks("python"):
        env = {**os.environ, "PYTHONPATH": str(ROOT), "GLOG_minloglevel": "2"}
        done = subprocess.run([sys.executable, "-c", block], cwd=desk, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        for line in done.stdout.splitlines():
            assert f"`{line}`" in README, f"the README does not say that it prints {line}"
