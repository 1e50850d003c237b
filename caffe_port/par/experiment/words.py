"""A table in Markdown, and in words what differs from the paper and what the numbers answer."""

from __future__ import annotations

import math
from pathlib import Path

from caffe_port.par import paper_numbers
from caffe_port.par.experiment.compare import Difference
from caffe_port.par.experiment.results import FIVE, SEGMENTATION, Answer, Row, Table
from caffe_port.par.settings import BASE_LR

DATASETS = {"drawn": "drawn pedestrians", "ccp": "Clothing Co-Parsing", "peta": "PETA", "rap": "RAP"}
RULES = (
    "Chance predicts every attribute by its training rate alone and every pixel as the commonest class. A difference "
    "counts as shown where every seed and 95 % of the bootstrap over test pictures agree in sign."
)
TITLES = {"table1": "Table 1: the ablations", "table2": "Table 2: the two losses"}


def title(table: Table) -> str:
    return f"{TITLES[table.name]} on {DATASETS.get(table.plan.dataset, table.plan.dataset)}"


def differences(table: Table) -> list[str]:
    """What is not as in the paper, a sentence each: data, segmentation truth, size, weights, schedule, repetitions."""
    plan, said = table.plan, []
    if plan.dataset not in ("rap", "peta"):
        said.append(
            f"Data: {DATASETS.get(plan.dataset, plan.dataset)} with {len(table.attributes)} attributes and "
            f"{table.samples} test pictures; the paper has RAP (51 attributes) and PETA (35)."
        )
    if plan.dataset in ("ccp", "drawn") and not any("segmentation predicted by" in note for note in table.notes):
        said.append("Segmentation truth: the data set's own labels; the paper's are predictions of a ResNet-101.")
    if any(r.variant != "baseline" for r in table.rows) and not any("mean_iou" in r.values for r in table.rows):
        said.append("Segmentation truth: NONE, so that the second task teaches nothing and no row shows what it gives.")
    if plan.width != 64:
        said.append(f"Width {plan.width} instead of ResNet-50's 64.")
    if plan.weights:
        by = f" by the map {Path(plan.weight_map).name}" if plan.weight_map else " by name"
        files = ", ".join(Path(w).name for w in plan.weights)
        said.append(f"Start: {files}{by}; the paper: ResNet-50 trained on ImageNet.")
    else:
        said.append("Start: from scratch; the paper starts from ResNet-50 trained on ImageNet.")
    total = plan.stage1_epochs + plan.joint_epochs
    said.append(
        f"Schedule: {plan.stage1_epochs:g} epochs of stage I, then {plan.joint_epochs:g} jointly; one-stage rows "
        f"{total:g} epochs. The paper names only the step of the rate (2000 epochs)."
    )
    rates = "the paper's base_lr by variant (" + ", ".join(f"{v} {lr:g}" for v, lr in BASE_LR.items()) + ")"
    said.append(f"Adam with {rates if plan.base_lr is None else f'base_lr {plan.base_lr:g} for every row'}, batch "
                f"{plan.batch}{'' if plan.batch == 8 else ' (the paper: 8)'}.")  # fmt: skip
    if plan.knobs:
        said.append("Further settings: " + ", ".join(f"{k} = {v}" for k, v in plan.knobs.items()) + ".")
    count = len(plan.seeds)
    said.append(
        f"{count} seeds ({', '.join(map(str, plan.seeds))}); the paper reports one number a row."
        if count > 1
        else "One seed, so that nothing is known of the spread between trainings."
    )
    if table.machines:
        said.append(f"Trained on {'; '.join(table.machines)}.")
    said += [f"Data as prepared: {note}." for note in table.notes]
    if table.missing:
        said.append(f"Not finished yet: {', '.join(table.missing)}.")
    return said


def without_rare(table: Table) -> str:
    """What the second table of measures is over."""
    return (
        f"Over the {len(table.attributes) - len(table.rare)} attributes that at least 1 training picture in 20 has, as "
        f"section 4.2 of the paper words its choice (without {', '.join(table.rare)})"
    )


def points(d: Difference) -> str:
    seeds = ", ".join(f"{100 * v:+.2f}" for v in d.by_seed)
    return f"{100 * d.mean:+.2f} (seeds {seeds}; 95 % of test samples {100 * d.low:+.2f} to {100 * d.high:+.2f})"


def answer(a: Answer) -> str:
    """One question, answered by mA first."""
    verdict = {"better": "Yes, here", "worse": "No, here it is worse", "no clear difference": "Not shown here"}
    moves = (("mA", a.paper_ma), ("F1", a.paper_f1))
    known = ", its ".join(f"{name} moves by {by:+.2f}" for name, by in moves if by is not None)
    paper = f" The paper's {known}." if known else ""
    return f"{verdict[a.ma.verdict]}: mA {points(a.ma)}; F1 {points(a.f1)}.{paper}"


def markdown(table: Table) -> str:
    """The whole result as one Markdown page."""
    count = len(table.plan.seeds)
    segmented = any("mean_iou" in row.values for row in table.rows)
    head = ["percent", *paper_numbers.MEASURES] + ["pixels", "mIoU"] * segmented
    lines = [f"# {title(table)}", ""]
    lines.append(
        f"{table.samples} test pictures, {len(table.attributes)} attributes; mean ± deviation over {count} seeds."
        if count > 1
        else f"{table.samples} test pictures, {len(table.attributes)} attributes; one training a row."
    )
    lines += ["", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    measures = [*FIVE, *(SEGMENTATION if segmented else ())]
    chance = ["chance", *(_percent(table.chance.get(m)) for m in measures)]
    lines.append("| " + " | ".join(chance) + " |")
    for row in table.rows:
        lines.append("| " + " | ".join([row.name, *(row.shown(m) for m in measures)]) + " |")
    if table.rare:
        lines += ["", f"{without_rare(table)}:", "", "| percent | " + " | ".join(paper_numbers.MEASURES) + " |"]
        lines += ["|" + "---|" * 6]
        lines += ["| " + " | ".join([r.name, *(r.shown(m, frequent=True) for m in FIVE)]) + " |" for r in table.rows]
    paper = [row for row in table.rows if row.paper]
    lines += _paper(table, paper)
    if table.answers:
        lines += ["", "## What it answers", ""]
    lines += [f"* **{a.question}** ({a.a} → {a.b}) {answer(a)}" for a in table.answers]
    lines += ["", "## What differs from the paper", ""]
    lines += [f"* {line}" for line in differences(table)]
    lines += ["", RULES, ""]
    return "\n".join(lines)


def _paper(table: Table, rows: list[Row]) -> list[str]:
    """The paper's figures on the same data set; without such, on both of its own."""
    out = ["", "## The paper's figures", ""]
    if rows:
        out += [
            "| percent | " + " | ".join(paper_numbers.MEASURES) + " | ours less the paper's, mA |",
            "|---" * 7 + "|",
        ]
        for row in rows:
            assert row.paper is not None
            cells = ["lost" if v is None else f"{v:.2f}" for v in row.paper]
            apart = "–" if row.paper[0] is None else f"{100 * row.mean('mA') - row.paper[0]:+.2f}"
            out.append(f"| {row.name} | {' | '.join(cells)} | {apart} |")
        return out
    source = paper_numbers.WEIGHTED if table.name == "table1" else paper_numbers.ORIGINAL
    out += ["On other data, for orientation only.", "", "| percent | " + " | ".join(paper_numbers.MEASURES) + " |",
            "|---" * 6 + "|"]  # fmt: skip
    for dataset, by_name in source.items():
        for name, five in by_name.items():
            cells = ["lost" if v is None else f"{v:.2f}" for v in five]
            out.append(f"| {dataset.upper()}: {name} | {' | '.join(cells)} |")
    return out


def _percent(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{100 * value:.2f}"
