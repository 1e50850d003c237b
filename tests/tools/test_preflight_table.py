"""PREFLIGHT.md's maker, on a run of the command over three small files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from caffe_port.cli.main import main

TOOL = Path(__file__).parents[2] / "tools" / "preflight_table.py"
NET = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'


def test_the_page(tmp_path, monkeypatch, capsys):
    for name, text in {
        "ann/nets/a.prototxt": NET,
        "ann/nets/deep/b.prototxt": NET + 'layer { name: "w" type: "Warpp" bottom: "x" top: "w" }',
        "bob/nets/c.prototxt": NET + 'layer { name: "r" type: "ReLU" bottom: "y|z" top: "r" }',
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "--preflight", "--json", "ann", "bob"]) == 1
    (tmp_path / "run.json").write_text(capsys.readouterr().out)
    (tmp_path / "sources.txt").write_text(f"ann/nets {'a1' * 20}\nbob/nets {'b2' * 20}\n")
    (tmp_path / "caffe.json").write_text(json.dumps({"nets in one phase": {"the same": 7}}))
    options = ["--caffe", "caffe.json", "--note", "All there were."]
    command = [sys.executable, str(TOOL), "run.json", "sources.txt", *options]
    page = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "over 3 files of" in " ".join(page[:6]) and page[4].endswith("both phases. All there were.")
    for line in (
        "| nets in one phase | the same | 7 |",
        "| unknown layer type 'Warpp' | 1 | ann/nets |",
        "| bob/nets/c.prototxt:2 | layer 'r' (ReLU): unknown bottom blob 'y\\|z': no layer before it makes it |",
        f"| ann/nets | {'a1' * 6} | 2 | 1 |  | 1 |  |  |  |  |",
        f"| bob/nets | {'b2' * 6} | 1 |  |  |  | 1 |  |  |  |",
    ):
        assert line in page, line
