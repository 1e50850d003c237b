"""Samples as the paper shows them in figures 4 and 5: input, segmentations, and activation maps before pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from caffe_port.par.pictures import blend, colour_labels, enlarge, heatmap, to_data_uri
from caffe_port.par.report_parts import text

MAPS = 4
HIGH = 192
"""Pixels of height that pictures are brought to, so that small inputs are not shown as blurs."""


def samples(
    pictures: Mapping[str, np.ndarray], attributes: Sequence[str], classes: Sequence[str], rates: Sequence[float]
) -> str:
    """Every picture of an evaluation's npz as a row of tiles, and the colours' key."""
    rows = [_sample(pictures, i, attributes, rates) for i in range(len(pictures["image"]))]
    return "\n".join([*rows, _key(pictures, classes)])


def _sample(pictures: Mapping[str, np.ndarray], i: int, attributes: Sequence[str], rates: Sequence[float]) -> str:
    image = _tall(pictures["image"][i])
    parts = [_tile(image, "input", "the picture")]
    for name, caption in (("seg", "truth"), ("seg1", "stage I"), ("seg2", "stage II")):
        if name in pictures:
            labels = colour_labels(pictures[name][i])
            parts.append(_tile(_tall(labels), f"parts, {caption}", f"segmentation, {caption}"))
    grey = np.repeat(image.mean(-1, keepdims=True), 3, -1)
    maps = []
    for blob, stage in (("par1_map", "I"), ("att_y" if "att_y" in pictures else "par2_map", "II")):
        for a in shown_attributes(pictures, i, rates) if blob in pictures else ():
            alt = f"where the stage {stage} map responds to {attributes[a]}"
            maps.append(_tile(blend(grey, heatmap(pictures[blob][i][a]), 0.6), f"{attributes[a]}, {stage}", alt))
    return (
        f'<section class="sample"><div class="tiles parts">{"".join(parts)}</div>'
        f'<div class="tiles maps">{"".join(maps)}</div>{_chips(pictures, i, attributes)}</section>'
    )


def shown_attributes(
    pictures: Mapping[str, np.ndarray], i: int, rates: Sequence[float], count: int = MAPS
) -> list[int]:
    """The sample's own rarest attributes, which say most about it; filled up with the likeliest of the others."""
    truth = pictures["truth"][i]
    there = sorted(np.flatnonzero(truth == 1).tolist(), key=lambda a: rates[a])
    last = pictures.get("prob2", pictures.get("prob1"))
    others = [] if last is None else sorted(np.flatnonzero(truth != 1).tolist(), key=lambda a: -last[i][a])
    return [*there, *others][:count]


def _chips(pictures: Mapping[str, np.ndarray], i: int, attributes: Sequence[str]) -> str:
    """What is predicted: right ones bold, wrong ones struck, missed ones underlined."""
    probability = pictures["prob2"][i] if "prob2" in pictures else pictures["prob1"][i]
    truth = pictures["truth"][i]
    found = []
    for a in np.argsort(-probability).tolist():
        name = f"{text(attributes[a])} {100 * probability[a]:.0f}"
        if probability[a] > 0.5:
            found.append(f"<b>{name}</b>" if truth[a] == 1 else f"<s>{name} ✗</s>" if truth[a] == 0 else name)
        elif truth[a] == 1:
            found.append(f"<u>missed: {name}</u>")
    return f'<p class="chips">{" · ".join(found) or "nothing predicted, nothing there"}</p>'


def _tile(image: np.ndarray, caption: str, alt: str) -> str:
    img = f'<img src="{to_data_uri(image)}" alt="{text(alt)}" loading="lazy">'
    return f"<figure>{img}<figcaption>{text(caption)}</figcaption></figure>"


def _tall(image: np.ndarray) -> np.ndarray:
    return enlarge(image, HIGH) if image.shape[0] < HIGH else image


def _key(pictures: Mapping[str, np.ndarray], classes: Sequence[str]) -> str:
    maps = [pictures[name] for name in ("seg", "seg1", "seg2") if name in pictures]
    return colour_key({c for labels in maps for c in np.unique(labels).tolist()}, classes)


def colour_key(present: set[int], classes: Sequence[str]) -> str:
    """The colours of the classes that occur."""
    spots = []
    for c in sorted(present & set(range(len(classes)))):
        r, g, b = colour_labels(np.array([[c]], np.uint8))[0, 0].tolist()
        spots.append(f'<span><i style="background:rgb({r},{g},{b})"></i>{text(classes[c])}</span>')
    return f'<p class="key">{"".join(spots)}</p>' if spots else ""
