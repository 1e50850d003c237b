"""Clothing Co-Parsing's 59 tags as Look-Into-Person's 20 classes.

Most tags have one class (`TO_LIP`). Two do not: Look-Into-Person divides skin into face, arms and legs, and arms, legs
and shoes into left and right, which CCP does not mark. `divide` decides them by where they are on the person. That
division is ours and not the annotators': it takes CCP's people to face the camera, as nearly all do, so that their
left is the right side of the picture. Whoever wants nothing but the annotators' word takes `classes="ccp"`.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from caffe_port.par.datasets.base import IGNORE, LIP_CLASSES

_L = {name: i for i, name in enumerate(LIP_CLASSES)}
_SKIN, _SHOE = 200, 201  # between the two steps only

# Carried things are background in Look-Into-Person; worn ones that it has no class for are not judged (IGNORE).
_TABLE: dict[str | int, str] = {
    "background": "null bag purse wallet",
    IGNORE: "accessories belt bracelet earrings necklace ring watch",
    "hat": "hat",
    "hair": "hair",
    "glove": "gloves",
    "sunglasses": "glasses sunglasses",
    "upper-clothes": "blouse bodysuit bra hoodie intimate jumper shirt sweater sweatshirt swimwear t-shirt tie top "
    "vest",
    "dress": "dress",
    "coat": "blazer cape cardigan coat jacket suit",
    "socks": "socks stockings tights",
    "pants": "jeans leggings panties pants shorts",
    "jumpsuits": "romper",
    "scarf": "scarf",
    "skirt": "skirt",
    _SKIN: "skin",
    _SHOE: "boots clogs flats heels loafers pumps sandals shoes sneakers wedges",
}
TO_LIP: dict[str, int] = {
    tag: target if isinstance(target, int) else _L[target] for target, tags in _TABLE.items() for tag in tags.split()
}


def to_lip(labels: np.ndarray, tags: list[str]) -> np.ndarray:
    """A map of CCP's tag numbers (H, W) to Look-Into-Person's classes and IGNORE; a tag not in the table is IGNORE."""
    table = np.full(256, IGNORE, np.uint8)
    for number, tag in enumerate(tags):
        table[number] = TO_LIP.get(tag, IGNORE)
    return divide(table[labels])


def divide(labels: np.ndarray) -> np.ndarray:
    """Decide the pixels of skin and shoes. Heights are shares r of the person's, from the top (0) to the soles (1)."""
    out = labels.copy()
    person = (labels != 0) & (labels != IGNORE)
    rows, columns = np.nonzero(person)
    if not len(rows):
        return out
    top, tall = rows.min(), max(1, rows.max() + 1 - rows.min())
    r = (np.arange(labels.shape[0])[:, None] - top) / tall
    x = np.broadcast_to(np.arange(labels.shape[1])[None], labels.shape)
    trunk = person & (r > 0.2) & (r < 0.5)
    middle = float(np.median(x[trunk])) if trunk.any() else float(np.median(columns))
    lower = person & (r > 0.55)
    below = float(np.mean(x[lower])) if lower.any() else middle
    head = np.isin(labels, [_L["hat"], _L["hair"], _L["sunglasses"]]) & (r < 0.3)
    near_head = ndimage.binary_dilation(head, iterations=max(2, tall // 100))
    head_x = float(np.median(x[head])) if head.any() else middle

    parts, count = ndimage.label(labels == _SKIN)
    for part, box in zip(range(1, count + 1), ndimage.find_objects(parts), strict=True):
        here = parts[box] == part
        rb, xb = np.broadcast_to(r[box[0]], here.shape), x[box]
        low, high = rb[here].min(), rb[here].max()
        is_head = (rb < 0.22) & (np.abs(xb - head_x) < 0.11 * tall)
        if not ((here & near_head[box]).any() or (here & is_head).sum() > 0.7 * here.sum()):
            is_head = np.zeros_like(here)
        elif high < 0.3:
            is_head = np.ones_like(here)
        if low > 0.42 and high > 0.66:
            is_leg = np.ones_like(here)
        elif high > 0.72:
            is_leg = rb > 0.56
        else:
            is_leg = np.zeros_like(here)
        kind = np.where(is_head, _L["face"], np.where(is_leg, _L["left-leg"], _L["left-arm"]))
        for limb, axis in (("arm", middle), ("leg", below)):
            mine = here & (kind == _L[f"left-{limb}"])
            if mine.any():
                kind = np.where(mine & ~_is_left(mine, xb, axis, tall), _L[f"right-{limb}"], kind)
        out[box][here] = kind[here]
    _shoes(out, labels == _SHOE, x, below, tall)
    return out


def _is_left(mine: np.ndarray, x: np.ndarray, axis: float, tall: int) -> np.ndarray:
    """The person's left of the axis. A piece that is narrow, or lies on one side for three quarters, goes there whole;
    any other (legs that touch, shoulders with both arms) is cut at the axis."""
    columns = x[mine]
    share = float((columns > axis).mean())
    if columns.max() - columns.min() < 0.08 * tall or not 0.25 < share < 0.75:
        return np.full(mine.shape, share > 0.5)
    return x > axis


def _shoes(out: np.ndarray, shoes: np.ndarray, x: np.ndarray, below: float, tall: int) -> None:
    if not shoes.any():
        return
    columns = x[shoes]
    # Feet that stand apart are divided between themselves; one lone shoe by the legs' axis.
    axis = (columns.min() + columns.max()) / 2 if columns.max() - columns.min() > 0.09 * tall else below
    parts, count = ndimage.label(shoes)
    for part, box in zip(range(1, count + 1), ndimage.find_objects(parts), strict=True):
        here = parts[box] == part
        left = _is_left(here, x[box], axis, tall)
        out[box][here] = np.where(left, _L["left-shoe"], _L["right-shoe"])[here]
