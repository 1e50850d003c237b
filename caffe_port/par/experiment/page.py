"""The experiment as one self-contained page: the table with the paper's figures, answers, gains by attribute."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from caffe_port.atomic import atomic_write
from caffe_port.par import paper_numbers
from caffe_port.par.experiment import words
from caffe_port.par.experiment.compare import Difference, mean_deviation
from caffe_port.par.experiment.results import FIVE, SEGMENTATION, Answer, Table
from caffe_port.par.report_parts import breakable, facts, percent, points, table, text
from caffe_port.par.report_style import STYLE

MORE_STYLE = """
table.measures{max-width:none}.pm{color:var(--soft);font-size:.82em}
.ask{display:grid;grid-template-columns:minmax(14rem,1.1fr) 1fr 1fr;gap:.2rem 1.5rem;border-top:1px solid var(--line);
padding:.9rem 0}.ask h3{margin:0}.ask p{margin:.15rem 0 0}.ask .yes{color:var(--good)}.ask .no{color:var(--bad)}
.ask .open{color:var(--soft)}.range{position:relative;height:1.2rem;margin:.45rem 0 .1rem}
.range i{position:absolute}.range .axis{left:0;right:0;top:50%;height:1px;background:var(--line)}
.range .zero{top:0;bottom:0;width:1px;background:var(--soft)}
.range .bar{top:38%;height:24%;background:var(--two);opacity:.35;border-radius:2px}
.range .seed{top:50%;width:.6rem;height:.6rem;border-radius:50%;background:var(--two);transform:translate(-50%,-50%)}
.range .paper{top:50%;width:.7rem;height:.7rem;border:2px solid var(--one);background:var(--card);
transform:translate(-50%,-50%) rotate(45deg)}
@media (max-width:40rem){.ask{grid-template-columns:1fr}}
"""


def write(made: Table, out: str | Path) -> dict[str, Path]:
    """<table>.json, .md and .html in the folder; their paths."""
    folder = Path(out)
    content = {
        "json": json.dumps(made.to_json(), indent=1, default=list) + "\n",
        "md": words.markdown(made),
        "html": page(made),
    }
    paths = {kind: folder / f"{made.name}.{kind}" for kind in content}
    for kind, body in content.items():
        with atomic_write(paths[kind]) as f:
            f.write(body.encode())
    return paths


def page(made: Table) -> str:
    body = [
        f"<header>{header(made)}</header>",
        measures(made),
        answers(made.answers),
        gains(made),
        "<h2>What differs from the paper</h2><ul>"
        + "".join(f"<li>{text(s)}</li>" for s in words.differences(made))
        + "</ul>",
        '<footer><p class="note">After Gao et al., Pedestrian Attribute Recognition via Hierarchical Multi-task '
        "Learning and Relationship Attention, ACM MM 2019. Written by caffe_port.</p></footer>",
    ]
    return document(words.title(made), body)


def document(title: str, body: list[str], style: str = "") -> str:
    """A whole page in the report's look."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}{MORE_STYLE}{style}</style></head>\n<body><main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main></body></html>\n"
    )


def header(made: Table) -> str:
    plan = made.plan
    best = max(made.rows, key=lambda row: row.mean("mA"))
    clear = sum(a.ma.verdict != "no clear difference" for a in made.answers)
    lead = (
        f"Best mean accuracy: <strong>{text(best.name)}, {percent(best.mean('mA'))} %</strong>. Of {len(made.answers)} "
        f"questions to the ablation, {clear} have a clear answer here."
    )
    pairs = [
        ("attributes", str(len(made.attributes))), ("test pictures", str(made.samples)),
        ("width", f"{plan.width} (ResNet-50: 64)"), ("batch", str(plan.batch)),
        ("epochs", f"{plan.stage1_epochs:g} + {plan.joint_epochs:g}"), ("seeds", ", ".join(map(str, plan.seeds))),
        ("start", Path(plan.weights[0]).name if plan.weights else "from scratch"), ("on", "; ".join(made.machines)),
    ]  # fmt: skip
    return (
        f'<p class="eyebrow">Experiment</p><h1>{text(words.title(made))}</h1><p class="lead">{lead}</p>{facts(pairs)}'
    )


def measures(made: Table) -> str:
    segmented = any("mean_iou" in row.values for row in made.rows)
    names = [*FIVE, *(SEGMENTATION if segmented else ())]
    head = [("percent", ""), *((m, "n") for m in paper_numbers.MEASURES)]
    head += [("pixels right", "n"), ("mean IoU", "n")] if segmented else []
    rows: list[tuple[str, list[str]]] = [("quiet", ["Chance", *(percent(made.chance.get(m), 2) for m in names)])]
    best = {m: max(row.mean(m) for row in made.rows if m in row.values) for m in names}
    for row in made.rows:
        rows.append(("", [text(row.name), *(cell(row.values, m, best[m]) for m in names)]))
        if row.paper:
            five = ["lost" if v is None else f"{v:.2f}" for v in row.paper]
            rows.append(("quiet", ["the paper", *five, *["–", "–"][: 2 * segmented]]))
    note = "Mean ± deviation over seeds; bold: the best of each column."
    shown = table(head, rows, note, "measures")
    measured = [("percent", ""), *((m, "n") for m in paper_numbers.MEASURES)]
    if made.rare:
        lines = [("", [text(row.name), *(cell(row.frequent, m) for m in FIVE)]) for row in made.rows]
        rule = table(measured, lines, text(f"{words.without_rare(made)}."), "measures")
        shown += f"<h3>Without the rare attributes</h3>{rule}"
    if not any(row.paper for row in made.rows):
        source = paper_numbers.WEIGHTED if made.name == "table1" else paper_numbers.ORIGINAL
        lines = [
            ("quiet", [text(f"{dataset.upper()}: {name}"), *("lost" if v is None else f"{v:.2f}" for v in values)])
            for dataset, by_name in source.items()
            for name, values in by_name.items()
        ]
        why = "The paper has no row on this data set. These are for orientation only."
        shown += f"<h3>The paper's rows, on other data</h3>{table(measured, lines, why, 'measures')}"
    return f"<h2>Measures</h2>{shown}"


def cell(values: dict[str, list[float]], measure: str, best: float | None = None) -> str:
    if measure not in values:
        return "–"
    mean, deviation = mean_deviation(values[measure])
    shown = f"<b>{percent(mean, 2)}</b>" if mean == best else percent(mean, 2)
    return shown + ("" if deviation is None else f' <span class="pm">± {percent(deviation, 2)}</span>')


def answers(asked: list[Answer]) -> str:
    """Each question with its change of mA and F1: dots are seeds, the bar the bootstrap, the diamond the paper."""
    if not asked:
        return ""
    reach = max(
        [1.0]
        + [abs(100 * v) for a in asked for d in (a.ma, a.f1) for v in (d.low, d.high, *d.by_seed) if math.isfinite(v)]
        + [abs(v) for a in asked for v in (a.paper_ma, a.paper_f1) if v is not None and abs(v) < 12]
    )
    parts = []
    for a in asked:
        kind, said = {
            "better": ("yes", "Yes"),
            "worse": ("no", "No: worse"),
            "no clear difference": ("open", "Not shown"),
        }[a.ma.verdict]
        columns = [
            f'<div><p class="note">{name} {points(d.mean, 2)}</p>{scale(d, paper, reach)}'
            + (f'<p class="note">the paper {paper:+.2f}</p>' if paper is not None else "")
            + "</div>"
            for name, d, paper in (("mA", a.ma, a.paper_ma), ("F1", a.f1, a.paper_f1))
        ]
        parts.append(
            f'<div class="ask"><div><h3>{text(a.question)} <span class="{kind}">{said}.</span></h3>'
            f'<p class="note">{text(a.a)} → {text(a.b)}</p></div>{"".join(columns)}</div>'
        )
    note = (
        f'<p class="note">Change in points; the line in the middle is no change, the ends are ±{reach:.1f}. Dots: '
        "seeds. Bar: 95 % of what other test pictures would give (paired bootstrap). Diamond: the paper. “Yes” and "
        "“No” are by mA, and need all seeds and the whole bar on one side.</p>"
    )
    return f"<h2>What it answers</h2>{''.join(parts)}{note}"


def scale(d: Difference, paper: float | None, reach: float) -> str:
    def at(value: float) -> float:
        return round(50 + 50 * max(-1.0, min(1.0, value / reach)), 1)

    marks = ['<i class="axis"></i><i class="zero" style="left:50%"></i>']
    if math.isfinite(d.low):
        low, high = at(100 * d.low), at(100 * d.high)
        marks.append(f'<i class="bar" style="left:{low}%;width:{high - low:.1f}%"></i>')
    marks += [f'<i class="seed" style="left:{at(100 * v)}%"></i>' for v in d.by_seed]
    if paper is not None:
        marks.append(f'<i class="paper" style="left:{at(paper)}%"></i>')
    return f'<div class="range" aria-hidden="true">{"".join(marks)}</div>'


def gains(made: Table) -> str:
    """Each attribute's mean accuracy in the first row, and how many points each other row is above or below it."""
    if len(made.rows) < 2:
        return ""
    ma = {row.name: attribute_ma(row.probabilities, made.truth) for row in made.rows}
    first, *others = [row.name for row in made.rows]
    order = np.argsort(-np.nan_to_num(ma[others[-1]] - ma[first], nan=-9))
    rate = ((made.truth == 1).sum(0) / np.maximum((made.truth != 255).sum(0), 1)).tolist()
    lines = [
        ("", [breakable(made.attributes[i]), percent(rate[i]), percent(float(ma[first][i])),
              *(shade(float(ma[name][i] - ma[first][i])) for name in others)])
        for i in order.tolist()
    ]  # fmt: skip
    head = [("attribute", ""), ("rate", "n wide"), (first, "n"), *((name, "n") for name in others)]
    note = f"Mean accuracy of {text(first)} in percent, then each row's points above or below it, mean over seeds."
    return f"<h2>Gains by attribute</h2>{table(head, lines, note, 'tight')}"


def shade(apart: float) -> str:
    """A difference on a ground as strong as it is large."""
    if not math.isfinite(apart):
        return "–"
    colour = "var(--good)" if apart > 0 else "var(--bad)"
    strength = round(min(abs(apart) / 0.15, 1) * 38)
    ground = f"color-mix(in srgb,{colour} {strength}%,transparent)"
    return f'<span style="background:{ground};padding:.1rem .3em;border-radius:3px">{100 * apart:+.1f}</span>'


def attribute_ma(runs: list[np.ndarray], truth: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Mean accuracy of each attribute, mean over runs; NaN where the split holds one kind only."""
    positive, negative = truth == 1, truth == 0
    found = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for p in runs:
            says = p > threshold
            tpr = (says & positive).sum(0) / positive.sum(0)
            tnr = (~says & negative).sum(0) / negative.sum(0)
            found.append((tpr + tnr) / 2)
    return np.mean(found, 0)
