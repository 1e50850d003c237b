"""From the jobs' folders to a table: five measures a row, mean and deviation over seeds, beside the paper's."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.errors import DataError
from caffe_port.par import paper_numbers
from caffe_port.par.experiment.compare import Difference, difference, mean_deviation
from caffe_port.par.experiment.marks import begun_on, changed, data_marks
from caffe_port.par.experiment.plan import TABLES, Job, Plan
from caffe_port.par.metrics import evaluate_attributes
from caffe_port.par.settings import SPLITS

FIVE = ("mA", "accuracy", "precision", "recall", "f1")
RARE = 1 / 20
"""Section 4.2 says that only attributes of this positive rate or above count; the published lists of PETA and RAP hold
rarer ones. Both are reported."""
SEGMENTATION = ("pixel_accuracy", "mean_iou")
ROWS = {
    ("baseline", 2): "baseline", ("multitask", 2): "multi-task", ("mtms", 1): "MTMS (S1)", ("mtms", 2): "MTMS (S2)",
    ("mtms_att", 1): "MTMS+Att (S1)", ("mtms_att", 2): "MTMS+Att",
}  # fmt: skip
PAPER = {"baseline": "baseline", "multi-task": "multitask", "MTMS (S1)": "mtms S1", "MTMS (S2)": "mtms S2",
         "MTMS+Att": "mtms_att"}  # fmt: skip
QUESTIONS = (
    ("Does a segmentation task beside the attributes help?", "baseline", "multi-task"),
    ("Do two stages help?", "multi-task", "MTMS (S2)"),
    ("Is stage II better than stage I?", "MTMS (S1)", "MTMS (S2)"),
    ("Does attention help?", "MTMS (S2)", "MTMS+Att"),
    ("Is the whole better than the baseline?", "baseline", "MTMS+Att"),
)


@dataclass
class Row:
    """One row: per measure its value in each seed's run, as fractions; `paper` in percent or None."""

    name: str
    variant: str
    loss: str
    head: int
    values: dict[str, list[float]]
    paper: tuple[float | None, ...] | None
    seconds: list[float] = field(default_factory=list)
    parameters: int = 0
    macs: int = 0
    probabilities: list[np.ndarray] = field(default_factory=list, repr=False)
    seeds: list[int] = field(default_factory=list)
    frequent: dict[str, list[float]] = field(default_factory=dict)
    """The five measures over the attributes that are not rarer than RARE; empty where all are."""

    def of(self, seeds: list[int]) -> list[np.ndarray]:
        """The runs of these seeds."""
        return [p for p, seed in zip(self.probabilities, self.seeds, strict=True) if seed in seeds]

    def shown(self, measure: str, digits: int = 2, frequent: bool = False) -> str:
        """Percent, mean ± deviation; with `frequent` over the attributes that are not rare."""
        values = self.frequent if frequent else self.values
        if measure not in values:
            return "–"
        mean, deviation = mean_deviation(values[measure])
        spread = "" if deviation is None else f" ± {100 * deviation:.{digits}f}"
        return f"{100 * mean:.{digits}f}{spread}"

    def mean(self, measure: str) -> float:
        return float(np.mean(self.values[measure]))


@dataclass
class Answer:
    """One question of the ablation, ours and the paper's (in points; None where the paper has no such row)."""

    question: str
    a: str
    b: str
    ma: Difference
    f1: Difference
    paper_ma: float | None
    paper_f1: float | None


@dataclass
class Table:
    name: str
    plan: Plan
    rows: list[Row]
    answers: list[Answer]
    samples: int
    attributes: list[str]
    chance: dict[str, float]
    truth: np.ndarray = field(repr=False)
    missing: list[str] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was decided while the data were prepared."""
    rare: list[str] = field(default_factory=list)
    """Attributes whose rate in the training split is below RARE."""
    made_of: dict[str, str] = field(default_factory=dict)
    """Marks of the data and weights that the trainings were begun on (marks.py)."""

    def to_json(self) -> dict[str, Any]:
        rows = []
        for row in self.rows:
            measures = {m: dict(zip(("mean", "deviation"), mean_deviation(v), strict=True)) | {"by_seed": v}
                        for m, v in row.values.items()}  # fmt: skip
            paper = dict(zip(paper_numbers.MEASURES, row.paper, strict=True)) if row.paper else None
            frequent = {m: dict(zip(("mean", "deviation"), mean_deviation(v), strict=True))
                        for m, v in row.frequent.items()}  # fmt: skip
            rows.append({"name": row.name, "variant": row.variant, "loss": row.loss, "head": row.head, "paper": paper,
                         "measures": measures, "measures_without_rare": frequent,
                         "parameters": row.parameters, "macs": row.macs,
                         "seconds": row.seconds})  # fmt: skip
        answers = [{**asdict(a), "verdict_ma": a.ma.verdict, "verdict_f1": a.f1.verdict} for a in self.answers]
        return {"table": self.name, "plan": asdict(self.plan), "samples": self.samples, "attributes": self.attributes,
                "chance": self.chance, "rows": rows, "answers": answers, "missing": self.missing,
                "machines": self.machines, "notes": self.notes, "rare": self.rare}  # fmt: skip


def collect(plan: Plan, table: str, out: str | Path) -> Table:
    """The table of what is done so far; DataError where nothing is, or where its trainings are of different data or
    weights, as folders brought together from several machines may be."""
    found: dict[tuple[str, str], list[tuple[Job, dict[str, Any], dict[str, np.ndarray], dict[str, Any]]]] = {}
    missing, machines = [], []
    made_of: dict[str, str] = {}
    for job in plan.jobs(table):
        folder = Path(out) / job.name
        if not (folder / "evaluation.json").exists():
            missing.append(job.name)
            continue
        evaluation = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if unlike := changed(begun_on(folder), made_of):
            raise DataError(f"{folder}: was begun on other data or weights than those before it ({', '.join(unlike)})")
        made_of |= begun_on(folder)
        with np.load(folder / "predictions.npz") as arrays:
            found.setdefault((job.variant, job.loss), []).append((job, evaluation, dict(arrays), about))
        if about.get("machine") and about["machine"] not in machines:
            machines.append(about["machine"])
    if not found:
        raise DataError(f"{out}: no training of {table} is finished yet ({len(missing)} to do)")
    rows = [row for key in TABLES[table] if key in found for row in _rows(plan, table, key, found[key])]
    first = next(iter(found.values()))[0]
    chance = {m: first[1]["chance"]["attributes"][m] for m in FIVE}
    segmented = (r[1]["chance"]["segmentation"] for runs in found.values() for r in runs)
    constant: dict[str, float] = next((c for c in segmented if c), {})
    chance |= {m: constant.get(m) for m in SEGMENTATION}
    truth = first[2]["truth"]
    common = np.array(first[1]["rates"], float) >= RARE
    if not common.all() and common.any():
        for row in rows:
            row.frequent = _measured(row.probabilities, truth, first[1]["attributes"], common)
    rare = [name for name, kept in zip(first[1]["attributes"], common, strict=True) if not kept]
    return Table(
        table, plan, rows, _answers(table, rows, truth), int(first[1]["samples"]), first[1]["attributes"], chance,
        truth, missing, machines, _notes(plan, made_of), rare, made_of,
    )  # fmt: skip


def _measured(
    runs: list[np.ndarray], truth: np.ndarray, names: list[str], kept: np.ndarray
) -> dict[str, list[float]]:
    """The five measures over some attributes, run by run."""
    found = [evaluate_attributes(p[:, kept], truth[:, kept], list(np.array(names)[kept])).five for p in runs]
    return {m: list(values) for m, values in zip(FIVE, zip(*found, strict=True), strict=True)}


def _notes(plan: Plan, made_of: dict[str, str]) -> list[str]:
    """What the data are: the size of the pictures, how many of a published split, and the reader's own notes. Nothing
    where they are gone; where they are others now than those that the table is of, that."""
    path = Path(plan.data) / "prepare.json"
    if not path.exists():
        return []
    try:
        unlike = changed(made_of, data_marks(plan.data))
    except DataError as error:
        return [f"not as they were in the trainings: {error}"]
    if unlike:
        return [f"changed since the trainings ({', '.join(unlike)}), so that nothing more is said of them here"]
    content = json.loads(path.read_text(encoding="utf-8"))
    said = []
    if parameters := content.get("parameters"):
        height, width = parameters["size"]
        counts = parameters["splits"]
        whole = SPLITS.get(plan.dataset)
        part = ""
        if whole and (counts["train"], counts["test"]) != whole:
            part = f", a part of the published split ({whole[0]} and {whole[1]})"
        said.append(f"{height} x {width} pictures, {counts['train']} for training and {counts['test']} for test{part}")
    return said + list(content.get("summary", {}).get("notes", []))


def _rows(plan: Plan, table: str, key: tuple[str, str], runs: list[Any]) -> list[Row]:
    variant, loss = key
    rows = []
    for head in sorted(int(h) for h in runs[0][1]["stages"]):
        name = ROWS[variant, head]
        if table == "table1" and name == "MTMS+Att (S1)" or table == "table2" and head == 1:
            continue
        values: dict[str, list[float]] = {m: [] for m in FIVE}
        for _, evaluation, _, _ in runs:
            stage = evaluation["stages"][str(head)]
            for m in FIVE:
                values[m].append(stage["attributes"][m])
            for m in SEGMENTATION if stage.get("segmentation") else ():
                values.setdefault(m, []).append(stage["segmentation"][m])
        source = paper_numbers.WEIGHTED if loss == "weighted" else paper_numbers.ORIGINAL
        paper = source.get(plan.dataset, {}).get(PAPER.get(name, ""))
        shown = f"{name}, {loss} loss" if table == "table2" else name
        seconds = [sum(about.get("seconds", {}).values()) for *_, about in runs]
        about = runs[0][3]
        rows.append(Row(shown, variant, loss, head, values, paper, seconds, about.get("parameters", 0),
                        about.get("macs", 0), [arrays[f"prob{head}"] for _, _, arrays, _ in runs],
                        [job.seed for job, *_ in runs]))  # fmt: skip
    return rows


def _answers(table: str, rows: list[Row], truth: np.ndarray) -> list[Answer]:
    by_name = {row.name: row for row in rows}
    questions: tuple[tuple[str, str, str], ...] = QUESTIONS
    if table == "table2":
        questions = (("Does the weighted loss help?", "MTMS+Att, original loss", "MTMS+Att, weighted loss"),)
    answers = []
    for question, first, second in questions:
        if first not in by_name or second not in by_name:
            continue
        a, b = by_name[first], by_name[second]
        both_have = [seed for seed in a.seeds if seed in b.seeds]
        if not both_have:
            continue
        both = [difference(a.of(both_have), b.of(both_have), truth, m) for m in ("mA", "F1")]
        answers.append(Answer(question, first, second, both[0], both[1], _apart(a, b, 0), _apart(a, b, 4)))
    return answers


def _apart(a: Row, b: Row, index: int) -> float | None:
    if not a.paper or not b.paper or a.paper[index] is None or b.paper[index] is None:
        return None
    return round(b.paper[index] - a.paper[index], 2)  # type: ignore[operator]
