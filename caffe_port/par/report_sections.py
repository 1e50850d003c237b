"""The report's sections, each a function from what was measured to HTML; a section without material is empty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from caffe_port.par import paper_numbers
from caffe_port.par.report_parts import dumbbell, facts, line_chart, percent, points, table, text
from caffe_port.par.training_log import Trace

FIVE = ("mA", "accuracy", "precision", "recall", "f1")
NEAR_CHANCE = 0.60
"""Below this mean accuracy an attribute counts as one that the network fails on: 10 points above chance."""
VARIANTS = {
    "baseline": "ResNet-50 baseline",
    "multitask": "multi-task network",
    "mtms": "two-stage multi-task network",
    "mtms_att": "two-stage multi-task network with attention",
}

DATASETS = {"drawn": "drawn people", "ccp": "Clothing Co-Parsing", "peta": "PETA", "rap": "RAP"}

Run = Mapping[str, Any]
Evaluation = Mapping[str, Any]


def stage_names(evaluation: Evaluation) -> dict[str, str]:
    """Head number -> what to call it."""
    heads = sorted(evaluation["stages"])
    return {h: {"1": "Stage I", "2": "Stage II"}[h] for h in heads} if len(heads) > 1 else {heads[0]: "This network"}


def title(run: Run, evaluation: Evaluation) -> str:
    dataset = run.get("dataset") or evaluation["data"]
    return run.get("title") or f"Pedestrian attributes on {DATASETS.get(dataset, dataset)}"


def header(run: Run, evaluation: Evaluation) -> str:
    variant = run.get("variant", "")
    what = " · ".join(t for t in (VARIANTS.get(variant, variant), f"{run['loss']} loss" if "loss" in run else "") if t)
    size = run.get("size")
    seconds = run.get("seconds")
    spent = sum(seconds.values()) if isinstance(seconds, Mapping) else seconds
    pairs = [
        ("attributes", str(len(evaluation["attributes"]))),
        ("parts of the body", str(len(evaluation["classes"]) or "")),
        ("training pictures", _count(run.get("train_images"))),
        ("test pictures", _count(evaluation["samples"])),
        ("input", f"{size[0]} × {size[1]}" if size else ""),
        ("width", f"{run['width']} (ResNet-50: 64)" if "width" in run else ""),
        ("parameters", _count(run.get("parameters"))),
        ("multiply-adds", _count(run.get("macs"))),
        ("batch", _count(run.get("batch"))),
        ("trained for", _duration(spent)),
        ("on", run.get("device", "")),
        ("date", run.get("date", "")),
    ]
    return f'<p class="eyebrow">{text(what)}</p><h1>{text(title(run, evaluation))}</h1>{lead(evaluation)}{facts(pairs)}'


def lead(evaluation: Evaluation) -> str:
    """The result in a sentence."""
    names = stage_names(evaluation)
    last = sorted(names)[-1]
    best = _ma(evaluation["stages"][last])
    if best is None:
        return ""
    sentence = f"{names[last]} reaches a mean accuracy of <strong>{percent(best)} %</strong>"
    if len(names) > 1 and (first := _ma(evaluation["stages"]["1"])) is not None:
        gain = best - first
        sentence += f", {abs(100 * gain):.1f} points {'above' if gain >= 0 else 'below'} stage I"
    sentence += f" and {abs(100 * (best - 0.5)):.1f} points {'above' if best >= 0.5 else 'below'} chance"
    seg = evaluation["stages"][last].get("segmentation")
    if seg:
        sentence += f"; its body parts cover the truth with a mean IoU of {percent(seg['mean_iou'])} %"
    return f'<p class="lead">{sentence}.</p>'


def measures(run: Run, evaluation: Evaluation) -> str:
    """The five measures and the segmentation's two: chance, every stage, and the paper's figures where it has them."""
    names = stage_names(evaluation)
    rows: list[tuple[str, list[str]]] = []
    everyone = [("quiet", "Chance", evaluation["chance"])]
    everyone += [("", names[h], evaluation["stages"][h]) for h in sorted(names)]
    segmented = any(stage.get("segmentation") for _, _, stage in everyone)
    for kind, name, stage in everyone:
        cells = [text(name), *(percent(stage["attributes"][m], 2) for m in FIVE)]
        if segmented:
            seg = stage.get("segmentation") or {}
            cells += [percent(seg.get("pixel_accuracy"), 2), percent(seg.get("mean_iou"), 2)]
        rows.append((kind, cells))
    paper = paper_numbers.rows(run.get("dataset", ""), run.get("variant", ""), run.get("loss", ""))
    for name, five in paper.items():
        cells = [f"the paper: {text(name)}", *("–" if v is None else f"{v:.2f}" for v in five)]
        rows.append(("quiet", cells + ["–", "–"] * segmented))
    head = [("percent", ""), *((m, "n") for m in paper_numbers.MEASURES)]
    head += [("pixels right", "n"), ("mean IoU", "n")] if segmented else []
    result = evaluation["stages"][sorted(names)[-1]]["attributes"]
    empty = (
        f" {result['empty_prediction']} samples without any prediction, {result['empty_truth']} without any attribute "
        f"and {result['empty_union']} without either count 0 where their denominator is empty."
    )
    note = (
        "mA: mean over attributes of half the sum of both classes' recalls. Acc, Prec, Rec: averages over samples; "
        "F1 of the averages. Chance predicts each attribute by its rate in the "
        f"{text(evaluation.get('rates_of', 'training split'))} alone, each pixel as the commonest class."
        + (empty if any(result[f"empty_{k}"] for k in ("prediction", "truth", "union")) else "")
    )
    if paper:
        note += " The paper's figures are of its own training and initial weights; they are here for orientation."
    return f"<h2>Measures</h2>{table(head, rows, note, 'measures')}"


def curves(traces: Mapping[str, Trace]) -> str:
    """Losses over iterations: attributes and segmentation apart, since their scales are far from each other."""
    titles = {"stage1": "Stage I alone", "joint": "Both stages"}
    if set(traces) == {"joint"}:
        titles = {"joint": "Training"}
    charts = []
    for stage, trace in traces.items():
        for task, what in (("par", "attributes (sum over attributes)"), ("seg", "segmentation (sum over pixels)")):
            lines = []
            for number, label in (("1", "stage I"), ("2", "stage II")):
                name = f"{task}{number}_loss"
                if name in trace.train or name in trace.test:
                    lines.append((label, trace.train.get(name, []), trace.test.get(name, [])))
            if stage == "stage1":
                lines = [line for line in lines if line[0] == "stage I"]
            charts.append(line_chart(f"{titles.get(stage, stage)}: loss of {what}", lines))
        if not any(n.startswith(("par", "seg")) for n in trace.train):
            charts.append(line_chart(titles.get(stage, stage), [("loss", trace.train.get("loss", []), [])]))
    if not any(charts):
        return ""
    note = (
        '<p class="note">Losses before their weights λ, per picture. Faint: as logged; strong: a moving average; dots: '
        "the test split. Horizontal: iterations.</p>"
    )
    return f'<h2>Training</h2><div class="charts">{"".join(charts)}</div>{note}'


def attributes(evaluation: Evaluation) -> str:
    """Every attribute with its rate and both stages' mean accuracy, and those that the network fails on."""
    names = stage_names(evaluation)
    heads = sorted(names)
    by_name = {h: {r["name"]: r for r in evaluation["stages"][h]["attributes"]["attributes"]} for h in heads}
    last = by_name[heads[-1]]
    order = sorted(last, key=lambda n: -1 if last[n]["mA"] is None else -last[n]["mA"] + 2)
    rates = dict(zip(evaluation["attributes"], evaluation["rates"], strict=True))
    values = [r["mA"] for rows in by_name.values() for r in rows.values() if r["mA"] is not None]
    low = min(0.4, math.floor(10 * min(values, default=0.5)) / 10)
    rows = []
    for name in order:
        ma = [by_name[h][name]["mA"] for h in heads]
        one, two = (ma[0], ma[-1]) if len(heads) > 1 else (None, ma[-1])
        cells = [text(name), percent(rates[name]), dumbbell(one, two, low)]
        cells += [percent(one)] if len(heads) > 1 else []
        cells += [percent(two)]
        if len(heads) > 1:
            cells.append(points(None if one is None or two is None else two - one))
        cells += [percent(last[name]["tpr"]), percent(last[name]["tnr"])]
        rows.append(("", cells))
    head = [("attribute", ""), ("rate", "n wide"), (f"mA from {100 * low:.0f} to 100 %, line: chance", "")]
    head += [("stage I", "n wide")] if len(heads) > 1 else []
    head += [("stage II" if len(heads) > 1 else "mA", "n")]
    head += [("gain", "n")] if len(heads) > 1 else []
    head += [("found", "n wide"), ("rejected", "n wide")]
    key = ""
    if len(heads) > 1:
        key = '<span><i class="round one"></i>stage I</span><span><i class="round two"></i>stage II</span>'
        key = f'<p class="key">{key}</p>'
    note = "Best first. Found: share of positives that are predicted; rejected: share of negatives that are not."
    return (
        f"<h2>Attributes</h2>{_failures(last, order)}{_gains(by_name, heads)}"
        f"{key}{table(head, rows, note)}"
    )


def _failures(rows: Mapping[str, Any], order: Sequence[str]) -> str:
    weak = [n for n in reversed(order) if rows[n]["mA"] is not None and rows[n]["mA"] < NEAR_CHANCE]
    unknown = [n for n in order if rows[n]["mA"] is None]
    if weak:
        items = []
        for name in weak:
            r = rows[name]
            why = f"finds {percent(r['tpr'], 0)} % of {r['positives']}"
            if r["tnr"] is not None and r["tnr"] < r["tpr"]:
                why = f"wrongly sees it in {percent(1 - r['tnr'], 0)} % of {r['negatives']}"
            items.append(f"<li>{text(name)}: {percent(r['mA'])} %, {why}</li>")
        said = f"<p>It fails on {len(weak)} of {len(rows)}, with less than {100 * NEAR_CHANCE:.0f} % mean accuracy:</p>"
        said += f'<ul class="fails">{"".join(items)}</ul>'
    else:
        weakest = next((n for n in reversed(order) if rows[n]["mA"] is not None), None)
        shown = f"; the weakest is {text(weakest)} with {percent(rows[weakest]['mA'])} %" if weakest else ""
        said = f"<p>No attribute is below {100 * NEAR_CHANCE:.0f} % mean accuracy{shown}.</p>"
    if unknown:
        said += f'<p class="note">Without a value, as the split holds only one kind: {text(", ".join(unknown))}.</p>'
    return said


def _gains(by_name: Mapping[str, Mapping[str, Any]], heads: Sequence[str]) -> str:
    """Where stage II helps most and where it hurts."""
    if len(heads) < 2:
        return ""
    pairs = [(n, by_name[heads[0]][n]["mA"], by_name[heads[-1]][n]["mA"]) for n in by_name[heads[0]]]
    gains = sorted(((two - one, n) for n, one, two in pairs if one is not None and two is not None), reverse=True)
    if not gains:
        return ""
    better = sum(g > 0 for g, _ in gains)
    most = ", ".join(f"{text(n)} ({points(g)})" for g, n in gains[:3] if g > 0)
    least = ", ".join(f"{text(n)} ({points(g)})" for g, n in reversed(gains[-3:]) if g < 0)
    said = f"<p>Stage II is better than stage I on {better} of {len(gains)}"
    said += f", most on {most}" if most else ""
    return said + (f"; it loses on {least}" if least else "") + ".</p>"


def parity(result: Mapping[str, Any]) -> str:
    """What `caffe-port validate` wrote: engines against our runtime, blob by blob, relative to each blob's scale."""
    rows = [r for r in result["rows"] if not r.get("gradient")]
    engines = []
    for engine in result["engines"]:
        mine = [r for r in rows if r["engine"] == engine["name"]]
        worst = max((r for r in mine if r["difference"]["relative"] is not None),
                    key=lambda r: r["difference"]["relative"], default=None)  # fmt: skip
        if engine.get("absent"):
            said = [f"not here: {text(engine['absent'].split(';')[0])}", "", "", ""]
        elif engine.get("failed"):
            said = [f'<span class="differs">failed: {text(engine["failed"])}</span>', "", "", ""]
        elif not mine or worst is None:
            said = ["the reference", _count(engine["values"]), "", ""]
        else:
            differing = sum(r["verdict"] == "differs" for r in mine)
            verdict = '<span class="same">agrees</span>'
            if differing:
                verdict = f'<span class="differs">{differing} differ</span>'
            cosine = min(r["difference"]["cosine"] or 0 for r in mine)
            said = [verdict, _count(len(mine)), _error(worst["difference"]["relative"]), _error(max(1 - cosine, 0.0))]
        engines.append(("", [f"{text(engine['name'])} {text(engine.get('version', ''))}", *said]))
    head = [("engine", ""), ("verdict", ""), ("blobs", "n"), ("worst error", "n"), ("1 − cosine", "n wide")]
    note = "The same input and weights in each. Largest error of a blob divided by its scale; "
    note += f"tolerance {result['tolerance']:g}."
    return f"<h2>Parity</h2>{table(head, engines, note)}{_blobs(rows)}"


def _blobs(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(r["engine"] for r in rows))
    by_value: dict[str, dict[str, Any]] = {}
    for r in sorted(rows, key=lambda r: r["depth"]):
        by_value.setdefault(r["value"], {"type": r["type"]})[r["engine"]] = r
    body = []
    for value, found in by_value.items():
        cells = [text(value), text(found["type"])]
        for name in names:
            one = found.get(name)
            if one is None:
                cells.append("")
                continue
            error, absolute = one["difference"]["relative"], one["difference"]["absolute"]
            shown = _error(error)
            title = text(one.get("note") or f"largest absolute error {absolute}, cosine {one['difference']['cosine']}")
            cells.append(f'<span class="{text(one["verdict"])}" title="{title}">{shown}</span>')
        body.append(("", cells))
    head = [("blob", ""), ("made by", "wide"), *((n, "n") for n in names)]
    return f"<details><summary>All {len(body)} blobs, in the net's order</summary>{table(head, body)}</details>"


def making(run: Run) -> str:
    """Commands and notes, so that the run can be repeated and judged."""
    parts = []
    if run.get("notes"):
        parts.append("<ul>" + "".join(f"<li>{text(n)}</li>" for n in run["notes"]) + "</ul>")
    if run.get("commands"):
        parts.append("<pre>" + "\n".join(text(c) for c in run["commands"]) + "</pre>")
    return f"<h2>How it was made</h2>{''.join(parts)}" if parts else ""


def _ma(stage: Mapping[str, Any]) -> float | None:
    value = stage["attributes"]["mA"]
    return value if value is not None and math.isfinite(value) else None


def _error(value: float | None) -> str:
    """A relative error; JSON holds null for an infinite one."""
    return "∞" if value is None else "0" if value == 0 else f"{value:.1e}"


def _count(value: Any) -> str:
    return "" if value is None else f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else str(value)


def _duration(seconds: float | None) -> str:
    if not seconds:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
