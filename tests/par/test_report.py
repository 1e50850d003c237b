"""The report page: complete, self-contained, honest about what is missing; and the reader of training logs."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from caffe_port.errors import DataError
from caffe_port.par import paper_numbers, training_log
from caffe_port.par.evaluate import Evaluation, Stage
from caffe_port.par.metrics import Confusion, evaluate_attributes
from caffe_port.par.report import page, write_report
from caffe_port.par.report_parts import smooth, ticks

NAMES = ["Hat", "<Bag>", "Never"]
CLASSES = ["background", "hat & hair", "coat"]
GOLDEN = Path(__file__).parents[2] / "tests/golden/cli"


def evaluation(heads: tuple[int, ...] = (1, 2)) -> Evaluation:
    random = np.random.default_rng(1)
    truth = (random.random((40, 3)) < (0.5, 0.2, 0)).astype(np.uint8)
    good = np.clip(truth + random.normal(0, 0.4, truth.shape), 0.01, 0.99)
    confusion = Confusion(CLASSES)
    confusion.add(random.integers(0, 3, (9, 5)), random.integers(0, 3, (9, 5)))
    stages = {n: Stage(evaluate_attributes(good**n, truth, NAMES), confusion.result()) for n in heads}
    shapes = {"image": (2, 32, 16, 3), "truth": (2, 3), "seg": (2, 32, 16), "seg2": (2, 32, 16)}
    pictures = {name: random.integers(0, 2, shape).astype(np.uint8) for name, shape in shapes.items()}
    pictures |= {"prob2": random.random((2, 3)), "par2_map": random.normal(size=(2, 3, 2, 1))}
    return Evaluation(
        "m", "w", "d", "test", 40, 1.0, NAMES, CLASSES, [0.5, 0.2, 0.01], "training split", stages,
        Stage(evaluate_attributes(np.zeros((40, 3)), truth, NAMES), confusion.result()), pictures=pictures,
    )  # fmt: skip


PARITY = {
    "net": "x", "tolerance": 1e-4,
    "engines": [
        {"name": "functional", "version": "torch", "values": 2},
        {"name": "onnxruntime", "version": "1", "values": 2},
        {"name": "caffe", "absent": "no genuine Caffe; name one"},
    ],
    "rows": [
        {"value": v, "layer": v, "type": "Convolution", "depth": i, "engine": "onnxruntime", "verdict": verdict,
         "note": "", "difference": {"absolute": e, "relative": e, "cosine": 1.0}}
        for i, (v, e, verdict) in enumerate([("conv1", 1e-7, "same"), ("par2_prob", None, "differs")])
    ],
}  # fmt: skip


@pytest.fixture
def run(tmp_path) -> Path:
    """A run's folder with everything in it."""
    result = evaluation()
    result.save(tmp_path / "evaluation.json")
    result.save_pictures(tmp_path / "pictures.npz")
    (tmp_path / "parity.json").write_text(json.dumps(PARITY))
    rows = [{"iteration": i, "lr": 0.1, "loss": 3.0, "par1_loss": 9 - i / 10, "seg1_loss": 40.0 + i} for i in range(50)]
    rows[7]["par1_loss"] = math.nan
    trace = {"train": rows, "test": [{"iteration": 40, "par1_loss": 6.0}]}
    (tmp_path / "log_stage1.json").write_text(json.dumps(trace))
    (tmp_path / "log_joint.log").write_text((GOLDEN / "train.log").read_text())
    settings = {"dataset": "peta", "variant": "mtms", "loss": "weighted", "size": [32, 16]}
    settings |= {"seconds": {"a": 60, "b": 90}, "notes": ["a <note>"], "commands": ["do --this"]}
    (tmp_path / "run.json").write_text(json.dumps(settings))
    return tmp_path


class Checker(HTMLParser):
    """Balanced tags, and what the page would load."""

    VOID = {"meta", "wbr", "img", "br", "line", "circle"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.alts = 0

    def handle_starttag(self, tag, attrs) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        found = dict(attrs)
        self.sources += [found[name] for name in ("src", "href", "srcset", "data") if name in found]
        self.alts += tag == "img" and bool(found.get("alt"))

    def handle_startendtag(self, tag, attrs) -> None:
        pass

    def handle_endtag(self, tag) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"


def check(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    assert not checker.open
    return checker


def test_the_page_is_whole_and_loads_nothing(run) -> None:
    html = write_report(run).read_text(encoding="utf-8")
    checker = check(html)
    assert checker.sources and all(s.startswith("data:image/png;base64,") for s in checker.sources)
    assert checker.alts == len(checker.sources)
    assert not re.search(r"https?://|@import|url\(|<script", html)
    assert "prefers-color-scheme:dark" in html and "width=device-width" in html
    for section in ("Measures", "Training", "Attributes", "What it sees", "Parity", "How it was made"):
        assert f"<h2>{section}</h2>" in html
    assert "&lt;Bag&gt;" in html and "<Bag>" not in html and "a &lt;note&gt;" in html and "hat &amp; hair" in html
    assert "the paper: mtms S1" in html and "78.24" in html
    assert "PETA" in html and "2 min" in html
    assert "1 differ" in html and "not here: no genuine Caffe" in html and "∞" in html
    assert "only one kind: Never" in html


def test_sections_without_material_are_left_out(tmp_path) -> None:
    evaluation().save(tmp_path / "evaluation.json")
    html = page(tmp_path)
    check(html)
    assert re.findall(r"<h2>(.*?)</h2>", html) == ["Measures", "Attributes"]
    assert "the paper" not in html


def test_one_stage_networks_are_not_called_stage_two(tmp_path) -> None:
    evaluation((2,)).save(tmp_path / "evaluation.json")
    (tmp_path / "run.json").write_text('{"dataset": "rap", "variant": "baseline", "loss": "weighted"}')
    html = page(tmp_path)
    check(html)
    assert "This network" in html and "Stage II" not in html and "the paper: baseline" in html


def test_what_is_missing_or_broken_is_said(tmp_path) -> None:
    with pytest.raises(DataError, match="holds no evaluation.json"):
        write_report(tmp_path)
    (tmp_path / "evaluation.json").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_caffes_log_lines() -> None:
    trace = training_log.read(GOLDEN / "train.log")
    assert trace.train["aux"][:2] == [(0, 1.52567), (5, 0.898804)]
    assert trace.test["accuracy"][:2] == [(0, 0.1), (10, 0.65)]
    assert trace.lr[0] == (0, 0.05) and trace.iterations == 25
    again = trace.to_json()
    assert again["test"][1] == {"iteration": 10, "accuracy": 0.65, "loss": 0.885372}


def test_a_resumed_log_replaces_what_it_repeats(tmp_path) -> None:
    line = "I0101 00:00:00.0 1 solver.cpp:239] Iteration {} (9 iter/s, 1s/1 iters), loss = {}\n"
    path = tmp_path / "log.txt"
    course = [(0, 5), (10, 4), (20, 3), (10, 3.5), (20, "nan")]
    path.write_text("noise\n" + "".join(line.format(i, v) for i, v in course))
    points = training_log.read(path).train["loss"]
    assert points[:2] == [(0, 5.0), (10, 3.5)] and points[2][0] == 20 and math.isnan(points[2][1])


@pytest.mark.parametrize("content", ["[1]", '{"train": [{"loss": 3}]}', "{"])
def test_json_of_another_form_is_refused(tmp_path, content) -> None:
    (tmp_path / "log.json").write_text(content)
    with pytest.raises(DataError, match="not a training trace"):
        training_log.read(tmp_path / "log.json")


def test_smoothing_and_ticks() -> None:
    assert smooth([(i, float(i)) for i in range(9)], 5) == [(i, float(i)) for i in range(9)]
    assert smooth([(0, 0.0), (1, 3.0), (2, 0.0)], 3) == [(0, 0.0), (1, 1.0), (2, 0.0)]
    assert ticks(0, 10) == [0, 2.5, 5, 7.5, 10] and ticks(1, 1) == [1]


def test_the_papers_tables() -> None:
    assert paper_numbers.rows("rap", "mtms_att", "weighted") == {"mtms_att": (82.45, 49.10, 55.00, 80.44, 65.33)}
    assert set(paper_numbers.rows("peta", "mtms", "weighted")) == {"mtms S1", "mtms S2"}
    assert paper_numbers.rows("drawn", "mtms", "weighted") == paper_numbers.rows("rap", "mtms", "original") == {}
    for table in (paper_numbers.WEIGHTED, paper_numbers.ORIGINAL):
        for data in table.values():
            for _, _, precision, recall, f1 in data.values():
                if precision and recall and f1:
                    assert 2 * precision * recall / (precision + recall) == pytest.approx(f1, abs=0.5)
