"""Pictures of the understanding page: the test pictures that a network gets most wrong, and the attention at work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.data import datum
from caffe_port.data.db import open_db
from caffe_port.par.metrics import IGNORE
from caffe_port.par.pictures import blend, colour_labels, heatmap, overlay, to_data_uri
from caffe_port.par.report_parts import text
from caffe_port.par.report_pictures import _tall as tall
from caffe_port.par.report_pictures import colour_key
from caffe_port.par.understand.calibration import jaccard


def worst(probabilities: np.ndarray, truth: np.ndarray, count: int) -> list[int]:
    """The samples whose prediction overlaps their truth least, the surest errors first among equals."""
    says = probabilities > 0.5
    overlap = jaccard(says, truth)
    sure = np.where(truth == IGNORE, 0, np.abs(probabilities - (truth == 1))).max(1)
    return np.lexsort((-sure, overlap))[:count].tolist()


def failures(
    data: str | Path, split: str, model: Any, probabilities: np.ndarray, truth: np.ndarray, attributes: Sequence[str],
    count: int = 12,
) -> str:  # fmt: skip
    """Tiles of the worst test pictures: the picture, its true parts, the predicted ones over it, and what was said; the
    parts' colours."""
    chosen = worst(probabilities, truth, count)
    images = records(Path(data) / f"{split}_image_lmdb", chosen)
    maps = Path(data) / f"{split}_seg_lmdb"
    labels = records(maps, chosen) if maps.exists() else {}
    parts: list[str] = []
    present: set[int] = set()
    for i in chosen:
        image = np.ascontiguousarray(images[i][::-1].transpose(1, 2, 0))
        tiles = [tile(tall(image), "picture")]
        if i in labels and (labels[i] != IGNORE).any():
            tiles.append(tile(tall(colour_labels(labels[i][0])), "true parts"))
            present |= set(np.unique(labels[i]).tolist())
        found = model.predict([image])[0].labels if model is not None else None
        if found is not None:
            tiles.append(tile(tall(overlay(image, found)), "predicted"))
            present |= set(np.unique(found).tolist())
        parts.append(
            '<div class="fail"><div '
            f'class="row">{"".join(tiles)}</div>{said(probabilities[i], truth[i], attributes)}</div>'
        )
    names = model.classes if model is not None else ()
    return f'<div class="gallery">{"".join(parts)}</div>{colour_key(present, names)}'


def records(source: Path, indices: Sequence[int]) -> dict[int, np.ndarray]:
    """Records of a database by their place in it."""
    wanted, found = set(indices), {}
    with open_db(source) as db:
        cursor = db.cursor()
        for i in range(max(wanted) + 1):
            if i in wanted:
                where = datum.Where(str(source), cursor.key)
                found[i] = np.array(datum.to_array(datum.parse(cursor.value, where), where))
            cursor.next()
    return found


def said(probability: np.ndarray, truth: np.ndarray, attributes: Sequence[str]) -> str:
    """Right, wrong and missed attributes with their probabilities. A picture without any true one may well be one that
    nobody annotated, which is said."""
    wrong = [a for a in np.argsort(-probability).tolist() if probability[a] > 0.5 and truth[a] == 0]
    missed = [a for a in np.argsort(probability).tolist() if probability[a] <= 0.5 and truth[a] == 1]
    right = [a for a in np.argsort(-probability).tolist() if probability[a] > 0.5 and truth[a] == 1]
    cells = [] if (truth == 1).any() else ["its truth names no attribute"]
    cells += [f"<b>{text(attributes[a])} {100 * probability[a]:.0f}</b>" for a in right]
    cells += [f"<s>{text(attributes[a])} {100 * probability[a]:.0f} ✗</s>" for a in wrong[:6]]
    cells += [f"<s>and {len(wrong) - 6} more ✗</s>"] if len(wrong) > 6 else []
    cells += [f"<u>missed: {text(attributes[a])} {100 * probability[a]:.0f}</u>" for a in missed]
    return f'<p class="chips">{" · ".join(cells)}</p>'


def at_work(
    images: np.ndarray, maps: dict[str, np.ndarray], truth: np.ndarray, attributes: Sequence[str], count: int = 6
) -> str:
    """For the pictures where it moves a logit most, the attribute that it moves: x1, w, b, x2 and y over the
    picture."""
    before, after = maps["par2_map"].mean((2, 3)), maps["att_y"].mean((2, 3))
    moved = np.abs(after - before)
    rows, used = [], []
    for n in np.argsort(-moved.max(1)).tolist():
        a = next((int(i) for i in np.argsort(-moved[n]) if int(i) not in used), int(moved[n].argmax()))
        used.append(a)
        grey = np.repeat(tall(images[n]).mean(-1, keepdims=True), 3, -1)
        tiles = [tile(tall(images[n]), "picture")]
        for name, caption in (
            ("par1_map", "x1, stage I"),
            ("att_w", "w"),
            ("att_b", "b"),
            ("par2_map", "x2, stage II"),
            ("att_y", "y"),
        ):
            tiles.append(tile(blend(grey, heatmap(maps[name][n][a]), 0.6), caption))
        was, now = (100 / (1 + np.exp(-v)) for v in (before[n, a], after[n, a]))
        true = "there" if truth[n, a] == 1 else "not there" if truth[n, a] == 0 else "not known"
        rows.append(f'<div class="fail"><div class="row six">{"".join(tiles)}</div>'
                    f'<p class="chips"><strong>{text(attributes[a])}</strong>: '
                    f"{was:.0f} % by x2 alone, {now:.0f} % by y; {true}</p></div>")  # fmt: skip
        if len(rows) == count:
            break
    note = (
        "The pictures in which attention moves a logit most, and the attribute: y = b + w x2, where w and b are made "
        "of all attributes' stage-I maps x1. Each map from its own least (blue) to its own largest value (red)."
    )
    return f'<p class="note">{note}</p><div class="gallery wide2">{"".join(rows)}</div>'


def tile(image: np.ndarray, caption: str) -> str:
    img = f'<img src="{to_data_uri(image)}" alt="{text(caption)}" loading="lazy">'
    return f"<figure>{img}<figcaption>{text(caption)}</figcaption></figure>"


GALLERY_STYLE = """
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,18rem),1fr));
gap:1.4rem 1.6rem;margin:1rem 0}
.gallery.wide2{grid-template-columns:repeat(auto-fill,minmax(min(100%,28rem),1fr))}
.row{display:grid;grid-template-columns:repeat(3,1fr);gap:.35rem}.row.six{grid-template-columns:repeat(6,1fr)}
.row figure{margin:0}.row img{display:block;width:100%;border-radius:2px}
.row figcaption{font-size:.7rem;margin-top:.15rem}
.fail .chips{line-height:1.55}
"""
