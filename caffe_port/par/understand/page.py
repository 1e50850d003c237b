"""The page itself: `understand(plan, out)` reads an experiment and writes understanding.html beside its tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from caffe_port.atomic import atomic_write
from caffe_port.data import datum
from caffe_port.data.db import open_db
from caffe_port.errors import DataError
from caffe_port.net import Net
from caffe_port.par.experiment.marks import changed, data_marks
from caffe_port.par.experiment.page import document, gains
from caffe_port.par.experiment.plan import Job, Plan
from caffe_port.par.experiment.results import Table, collect
from caffe_port.par.experiment.words import DATASETS
from caffe_port.par.report_parts import breakable, percent, table, text
from caffe_port.par.run import snapshots
from caffe_port.par.understand import attention as relations
from caffe_port.par.understand.attention import Attention
from caffe_port.par.understand.calibration import Calibration, calibration, corrected, mean_of, thresholds
from caffe_port.par.understand.charts import MATRIX_STYLE, curves, matrix
from caffe_port.par.understand.gallery import GALLERY_STYLE, at_work, failures
from caffe_port.par.use.model import open_model
from caffe_port.proto import load


def understand(plan: Plan, out: str | Path, name: str = "table1", device: str = "cpu") -> Path:
    """Write <out>/understanding.html from what `experiment` left there; its path. DataError where nothing is
    trained."""
    folder = Path(out)
    made = collect(plan, name, folder)
    if unlike := changed(made.made_of, data_marks(plan.data)):
        raise DataError(
            f"{plan.data}: is not what {folder} was trained on (changed since: {', '.join(unlike)}); its pictures and "
            "labels do not belong to these predictions"
        )
    body = [header(made), *pictures(plan, made, folder, device), gains(made), trust(made, rates_of(plan))]
    path = folder / "understanding.html"
    with atomic_write(path) as f:
        title = f"What it learned: {DATASETS.get(plan.dataset, plan.dataset)}"
        f.write(document(title, [b for b in body if b], MATRIX_STYLE + GALLERY_STYLE).encode())
    return path


def header(made: Table) -> str:
    where = DATASETS.get(made.plan.dataset, made.plan.dataset)
    return (
        f'<header><p class="eyebrow">Understanding</p><h1>What the networks learned on {text(where)}</h1>'
        '<p class="lead">Where they fail, what the attention relates, which attributes each step of the paper '
        f"helps, and how far the probabilities can be trusted; {made.samples} test pictures, "
        f"{len(made.attributes)} attributes.</p></header>"
    )


def pictures(plan: Plan, made: Table, folder: Path, device: str) -> list[str]:
    """The failure gallery of the fullest network that is trained, and its attention if it has one."""
    row = max(made.rows, key=lambda r: ["baseline", "multitask", "mtms", "mtms_att"].index(r.variant) + r.head / 10)
    job = next(j for j in plan.jobs(made.name) if (j.variant, j.loss) == (row.variant, row.loss)
               and (folder / j.name / "evaluation.json").exists())  # fmt: skip
    run = folder / job.name
    model = open_model(run, data=plan.data, device=device)
    note = (
        f"The test pictures whose predicted attributes overlap the true ones least, by {text(row.name)}, seed "
        f"{job.seed}. <b>Right</b>, <s>wrong ✗</s>, <u>missed</u>, each with its probability in percent."
    )
    shown = failures(plan.data, plan.split, model, row.probabilities[0], made.truth, made.attributes)
    parts = [f'<h2>Where it fails</h2><p class="chips">{note}</p>{shown}']
    jobs = [j for j in plan.jobs(made.name) if j.variant == "mtms_att" and (folder / j.name / "pictures.npz").exists()]
    if jobs:
        found = [attention_of(folder / j.name, device) for j in jobs]
        with np.load(folder / jobs[0].name / "pictures.npz") as kept:
            work = at_work(kept["image"], found[0].maps, kept["truth"], made.attributes)
        parts.append(relation_section(plan, made, found, jobs, work))
    return parts


def attention_of(run: Path, device: str) -> Attention:
    """The attention of a trained job, on the pictures that its evaluation kept."""
    final = snapshots(run, "joint")
    if not final:
        raise DataError(
            f"{run}: its weights are gone; without joint_iter_N.caffemodel the attention cannot be looked at"
        )
    net = Net(load.read_net(run / "nets" / "deploy.prototxt"))
    net.copy_from(str(final[-1]))
    net.to(device)
    with np.load(run / "pictures.npz") as kept:
        return relations.attention(net, kept["par1_map"], kept["par2_map"])


def relation_section(plan: Plan, made: Table, found: Sequence[Attention], jobs: Sequence[Job], work: str) -> str:
    """Co-occurrence beside what w, b and the final logit take from each attribute, and the strongest links."""
    phi = relations.cooccurrence(train_labels(plan))
    mean = {k: np.mean([getattr(a, k) for a in found], 0) for k in ("w", "b", "y")}
    order = relations.order(phi)
    agree = {k: [relations.agreement(phi, getattr(a, k)) for a in found] for k in mean}
    names = made.attributes
    shown = [matrix("Occur together", phi, names, order, "Correlation of the training labels.")]
    caption = "Effect of the column's stage-I map on the row's, mean over seeds."
    for k, what in (("y", "Final logit"), ("b", "Bias map b"), ("w", "Weight map w")):
        shown.append(matrix(what, mean[k], names, order, caption))
    said = "; ".join(
        f"{what} {', '.join(f'{v:+.2f}' for v in agree[k])}"
        for k, what in (("y", "final logit"), ("b", "b"), ("w", "w"))
    )
    strength = float(np.mean(agree["y"]))
    how = "" if strength > 0.5 else "only weakly " if strength > 0.2 else "hardly "
    lines = [
        ("", [breakable(a), breakable(b), f"{e:+.3f}", f"{p:+.2f}"])
        for a, b, e, p in relations.strongest(mean["y"], phi, names)
    ]
    head = [("stage I sees", ""), ("stage II then changes", ""), ("logit by", "n"), ("correlation of the labels", "n")]
    seeds, links = ", ".join(str(j.seed) for j in jobs), table(head, lines, kind="tight")
    return (
        f"<h2>What the attention relates</h2>{work}"
        f"<p>What it learned follows {how}how attributes occur together: Spearman's rank correlation between the "
        f"labels' correlation and the learned effect, over all pairs, for seed {seeds}: {said}. Blue: together, or "
        "raises; red: apart, or lowers. An effect is how much the mean of the row's map, which for y is its logit, "
        "changes when the column's stage-I map rises by one everywhere.</p>"
        f'<div class="matrices">{"".join(shown)}</div><h3>Strongest links</h3>{links}'
    )


def train_labels(plan: Plan) -> np.ndarray:
    """The training split's attributes, (records, I)."""
    rows = []
    with open_db(Path(plan.data) / "train_attr_lmdb") as db:
        cursor = db.cursor()
        while True:
            rows.append(np.array(datum.to_array(datum.parse(cursor.value))).reshape(-1))
            if cursor.next():
                break
    return np.stack(rows).astype(np.uint8)


def rates_of(plan: Plan) -> list[float]:
    path = Path(plan.data) / "positive_rates.txt"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return np.nan_to_num([float(line.split(",")[-1]) for line in lines]).tolist()


def trust(made: Table, rates: Sequence[float]) -> str:
    """Calibration of every row, as it is and with the loss's weights undone; the measures as the threshold moves."""
    lines = []
    for row in made.rows:
        raw = [calibration(p, made.truth) for p in row.probabilities]
        undone = [calibration(corrected(p, rates), made.truth) for p in row.probabilities]
        moving = mean_of([thresholds(p, made.truth) for p in row.probabilities])
        half = moving.at.index(0.5)
        best_ma, best_f1 = moving.best("ma"), moving.best("f1")
        after = percent(float(np.mean([c.error for c in undone]))) if row.loss == "weighted" else "–"
        ma, f1 = moving.ma[half], moving.f1[half]
        best = [f'{percent(value)} <span class="pm">at {at:.2f}</span>' for at, value in (best_ma, best_f1)]
        error = percent(float(np.mean([c.error for c in raw])))
        lines.append(("", [text(row.name), error, after, percent(ma), best[0], percent(f1), best[1]]))
    last = made.rows[-1]
    of_last = thresholds(last.probabilities[0], made.truth)
    percents = [100 * t for t in of_last.at]
    three = [(n, list(zip(percents, [100 * v for v in vs], strict=True)))
             for n, vs in (("mA", of_last.ma), ("Acc", of_last.accuracy), ("F1", of_last.f1))]  # fmt: skip
    fixed = calibration(corrected(last.probabilities[0], rates), made.truth)
    pair = [("as predicted", points(calibration(last.probabilities[0], made.truth)))]
    if last.loss == "weighted":
        pair.append(("weights undone", points(fixed)))
    head = [("percent", ""), ("calibration error", "n"), ("weights undone", "n"), ("mA at 0.5", "n"), ("best mA", "n"),
            ("F1 at 0.5", "n"), ("best F1", "n")]  # fmt: skip
    note = (
        "Calibration error: mean distance between a predicted probability and the share that has the attribute, over "
        "tenths. The weighted loss learns as if both kinds were equally many, so that its probabilities are too high "
        "for rare attributes; undone, the odds are multiplied by w/(1-w). Means over seeds. The best thresholds are "
        "chosen on the test pictures themselves, so their values are optimistic."
    )
    reliable = curves(f"{last.name}: share that has it, percent", pair, "predicted probability, percent", True)
    moved = curves(f"{last.name}: measures, percent", three, "threshold, percent")
    shown = table(head, lines, note, "tight")
    return f'<h2>How far to trust a probability</h2><div class="charts">{reliable}{moved}</div>{shown}'


def points(found: Calibration) -> list[tuple[float, float]]:
    return [(100 * said, 100 * was) for said, was, _ in found.bins]
