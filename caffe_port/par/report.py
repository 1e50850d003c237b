"""One self-contained HTML page about one run: what was trained, how well it does, what it looks at, and its parity.

    write_report("runs/demo")          # -> runs/demo/report.html

A run's folder holds (only evaluation.json must be there; a section without its file is left out):

    evaluation.json       `Evaluation.save` of caffe_port.par.evaluate
    pictures.npz          `Evaluation.save_pictures`
    log_stage1.*          the training of stage I: Caffe's log lines (.log, .txt), or JSON (training_log.py)
    log_joint.*           the joint training, or the only one
    parity.json           what `caffe-port validate --json` wrote
    run.json              settings in words, all optional: title, dataset, variant, loss, width, size [height, width],
                          train_images, batch, parameters, macs, device, date, seconds (a number, or one for each
                          training), commands [text], notes [text]

The page needs no other file and no network, follows the reader's light or dark setting, and reads on a phone.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.atomic import atomic_write
from caffe_port.errors import DataError
from caffe_port.par import report_sections as sections
from caffe_port.par import training_log
from caffe_port.par.report_parts import text
from caffe_port.par.report_pictures import samples
from caffe_port.par.report_style import STYLE

STAGES = ("stage1", "joint")


def write_report(run_dir: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Path:
    """Write the page to `out` (default: report.html in the folder); its path. DataError says what is missing."""
    path = Path(out) if out is not None else Path(run_dir) / "report.html"
    with atomic_write(path) as f:
        f.write(page(run_dir).encode())
    return path


def page(run_dir: str | os.PathLike[str]) -> str:
    """The page's HTML."""
    folder = Path(run_dir)
    if not (folder / "evaluation.json").exists():
        raise DataError(f"{folder}: holds no evaluation.json; `caffe-port par evaluate --out {folder}` writes it")
    evaluation, run = _json(folder / "evaluation.json"), _json(folder / "run.json") or {}
    parity = _json(folder / "parity.json")
    body = [
        f"<header>{sections.header(run, evaluation)}</header>",
        sections.measures(run, evaluation),
        sections.curves(_traces(folder)),
        sections.attributes(evaluation),
        _pictures(folder / "pictures.npz", evaluation),
        sections.parity(parity) if parity else "",
        sections.making(run),
        '<footer><p class="note">After Gao et al., Pedestrian Attribute Recognition via Hierarchical Multi-task '
        "Learning and Relationship Attention, ACM MM 2019. Written by caffe_port.</p></footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{text(sections.title(run, evaluation))}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main></body></html>\n"
    )


def _pictures(path: Path, evaluation: dict[str, Any]) -> str:
    if not path.exists():
        return ""
    with np.load(path) as pictures:
        rows = samples(dict(pictures), evaluation["attributes"], evaluation["classes"], evaluation["rates"])
    note = (
        "Activation maps before pooling, over the picture in grey, for each picture's rarest attributes: blue is the "
        "map's least value, red its largest. Under each, what the last stage predicts, in percent: <b>right</b>, "
        "<s>wrong ✗</s>, <u>missed</u>."
    )
    return f'<h2>What it sees</h2><p class="chips">{note}</p>{rows}'


def _traces(folder: Path) -> dict[str, training_log.Trace]:
    found = {}
    for stage in STAGES:
        logs = sorted(p for p in folder.glob(f"log_{stage}.*") if p.suffix in (".json", ".log", ".txt"))
        if logs:
            found[stage] = training_log.read(logs[0])
    return found


def _json(path: Path) -> Any:
    """The file's content; None where there is none."""
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not JSON: {error}") from None
