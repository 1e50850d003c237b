"""One figure, painted from the back to the front. The order is the whole content of this file."""

from __future__ import annotations

import numpy as np

from caffe_port.par.drawing import items
from caffe_port.par.drawing.canvas import Canvas
from caffe_port.par.drawing.clothes import paint_clothes, paint_long_hair, paint_neck, paint_scarf
from caffe_port.par.drawing.head import paint_head
from caffe_port.par.drawing.limbs import in_front, paint_arm, paint_leg
from caffe_port.par.drawing.people import Person
from caffe_port.par.drawing.pose import LEFT, RIGHT, Skeleton, View
from caffe_port.par.drawing.wardrobe import Wardrobe


def paint_figure(canvas: Canvas, view: View, s: Skeleton, person: Person, w: Wardrobe) -> None:
    away = view.cos < -0.3
    arms = sorted((LEFT, RIGHT), key=lambda side: view.depth(side, 0.0))
    behind = [side for side in arms if not in_front(view, s, side)]
    ahead = [side for side in arms if in_front(view, s, side)]
    bag = items.bag_side(s, view)

    for side in behind:
        _arm(canvas, view, s, side, person, w)
    if person.Backpack and not away:
        items.paint_backpack(canvas, view, s, w)
    if person.LongHair and not away:
        paint_long_hair(canvas, view, s, w, front=False)
    for side in sorted((LEFT, RIGHT), key=lambda side: _leg_depth(view, s, side)):
        paint_leg(canvas, view, s, side, person, w)
    paint_neck(canvas, view, s, w)
    paint_clothes(canvas, view, s, person, w)
    if person.Backpack:
        items.paint_straps(canvas, view, s, w)
    if person.ShoulderBag:
        items.paint_shoulder_bag(canvas, view, s, w, bag, strap=True)
        items.paint_shoulder_bag(canvas, view, s, w, bag, strap=False)
    if person.Backpack and away:
        items.paint_backpack(canvas, view, s, w)
    if person.Scarf and away:
        paint_scarf(canvas, view, s, w)
    paint_head(canvas, view, s, person, w.looks)
    if person.LongHair:
        paint_long_hair(canvas, view, s, w, front=not away)
    if person.LongHair and away and person.Hat:
        paint_head(canvas, view, s, person, w.looks)
    if person.Scarf and not away:
        paint_scarf(canvas, view, s, w)
    for side in ahead:
        _arm(canvas, view, s, side, person, w)
    for side in arms:
        if s.role[side] == "Umbrella":
            items.paint_canopy(canvas, view, s, side, w)


def _arm(canvas: Canvas, view: View, s: Skeleton, side: int, person: Person, w: Wardrobe) -> None:
    """The arm and what it holds: a bag hangs before the sleeve, a phone is behind the fingers."""
    if s.role[side] == "Umbrella":
        items.paint_shaft(canvas, view, s, side)
    if s.role[side] == "Suitcase":
        items.paint_held(canvas, view, s, side, w)
    paint_arm(canvas, view, s, side, person, w)
    if s.role[side] in ("HandBag", "Calling"):
        items.paint_held(canvas, view, s, side, w)


def _leg_depth(view: View, s: Skeleton, side: int) -> float:
    middle = np.mean([s.hip[side], s.knee[side], s.ankle[side]], axis=0)
    return float(view.depth(middle[0], middle[2]))
