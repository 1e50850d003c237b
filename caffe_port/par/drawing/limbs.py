"""Legs with shoes, arms with hands."""

from __future__ import annotations

import numpy as np

from caffe_port.par.drawing.canvas import Canvas, Colour, tone
from caffe_port.par.drawing.people import CLASSES, Person
from caffe_port.par.drawing.pose import LEFT, Skeleton, View
from caffe_port.par.drawing.wardrobe import Wardrobe

UPPER, DRESS, COAT, SOCKS, PANTS, JUMPSUIT, GLOVE = (
    CLASSES.index(n) for n in ("upper-clothes", "dress", "coat", "socks", "pants", "jumpsuits", "glove")
)
ARM = {side: CLASSES.index(f"{name}-arm") for side, name in ((1, "left"), (-1, "right"))}
LEG = {side: CLASSES.index(f"{name}-leg") for side, name in ((1, "left"), (-1, "right"))}
SHOE = {side: CLASSES.index(f"{name}-shoe") for side, name in ((1, "left"), (-1, "right"))}


def paint_leg(canvas: Canvas, view: View, s: Skeleton, side: int, person: Person, w: Wardrobe) -> None:
    """One leg from the hip to the sole: bare, in socks, or in whatever covers it."""
    b, k = s.build, view.scale
    hip, knee, ankle = s.hip[side], s.knee[side], s.ankle[side]
    shade = 0.88 if view.depth(side, 0.0) < -0.3 else 1.0
    thin = 0.86 if person.Female else 1.0
    ra, rk, rc, rn = b.leg_r * 1.14 * k, b.leg_r * 0.82 * k, b.leg_r * 0.74 * k, b.leg_r * 0.48 * k * thin
    bare = tone(w.skin, shade)
    covered: tuple[Colour, int] | None = None
    if person.LongTrousers:
        covered = (tone(w.bottom, shade), PANTS)
    elif person.Jumpsuit:
        covered = (tone(w.top, shade), JUMPSUIT)
    _foot(canvas, view, s, side, person, w, shade)
    if covered:
        wide = 1.0 if person.Female else 1.12
        hem = ankle + (knee - ankle) * 0.02
        calf = knee + (hem - knee) * 0.35
        colour, label = covered
        joints = [view.point(p) for p in (hem, calf, knee, hip)]
        canvas.chain(joints, [rn * 1.35 * wide, rk * wide * 0.98, rk * wide, ra], colour, label)
        if person.Jeans:
            seam = np.array([view.point(hip), view.point(knee), view.point(hem)])
            canvas.line(seam + (side * view.cos * ra * 0.5, 0), k * 0.006, tone(colour, 0.72))
            canvas.disc(view.point(knee), rk * 0.55, rk * 0.7, tone(colour, 1.14))
        if person.Boots:
            _boot_shaft(canvas, view, knee, ankle, side, w, rk, rn, shade)
        return
    if w.tights and not person.Shorts and not person.Socks:
        bare = tone(w.tights, shade)
    calf = knee + (ankle - knee) * 0.36
    canvas.chain([view.point(p) for p in (ankle, calf, knee, hip)], [rn, rc, rk * 0.9, ra], bare, LEG[side])
    if person.Socks:
        start = ankle + (knee - ankle) * (0.25 + 0.35 * w.hem)
        canvas.limb(view.point(start), view.point(ankle), rn + (rc - rn) * 0.55, rn * 1.12, w.sock, SOCKS)
        canvas.limb(view.point(start), view.point(start + (ankle - start) * 0.08), rc, rc, tone(w.sock, 0.8), SOCKS)
    if person.Boots:
        _boot_shaft(canvas, view, knee, ankle, side, w, rk, rn, shade)
    if person.Shorts:
        end = hip + (knee - hip) * (0.45 + 0.5 * w.hem)
        canvas.limb(view.point(hip), view.point(end), ra * 1.06, ra * 0.98, tone(w.bottom, shade), PANTS)


def _boot_shaft(
    canvas: Canvas, view: View, knee: np.ndarray, ankle: np.ndarray, side: int, w: Wardrobe, rk: float, rn: float,
    shade: float,
) -> None:  # fmt: skip
    top = ankle + (knee - ankle) * (0.5 + 0.25 * w.flare / 1.5)
    colour = tone(w.shoe, shade)
    canvas.limb(view.point(top), view.point(ankle), rk * 1.0, rn * 1.3, colour, SHOE[side])
    cuff = top + (ankle - top) * 0.06
    canvas.limb(view.point(top), view.point(cuff), rk * 1.06, rk * 1.06, tone(colour, 1.16), SHOE[side])


def _foot(
    canvas: Canvas, view: View, s: Skeleton, side: int, person: Person, w: Wardrobe, shade: float
) -> None:
    k = view.scale
    ankle, toe = s.ankle[side], s.toe[side]
    heel = ankle + (toe - ankle) * -0.25 + np.array([0.0, 0.012, 0.0])
    a, t = view.point(heel), view.point(toe)
    thick = 0.024 if person.Sneakers or person.Boots else 0.019
    drop = np.array([0.0, 0.010 * k])
    canvas.limb(a + drop, t + drop, thick * k, thick * 0.84 * k, tone(w.sole, shade), SHOE[side])
    canvas.limb(a, t, thick * k, thick * 0.84 * k, tone(w.shoe, shade), SHOE[side])
    canvas.limb(view.point(ankle), a, thick * 0.95 * k, thick * k, tone(w.shoe, shade), SHOE[side])
    if person.Sneakers:
        mid = a + (t - a) * 0.55
        stripe = np.array([mid + (-0.008 * k, -0.014 * k), mid + (0.010 * k, -0.004 * k)])
        canvas.line(stripe, 0.009 * k, (250, 250, 250))
    elif person.LeatherShoes:
        canvas.disc(a + (t - a) * 0.8 + (-0.006 * k, -0.006 * k), 0.007 * k, 0.004 * k, tone(w.shoe, 1.5))


def paint_arm(canvas: Canvas, view: View, s: Skeleton, side: int, person: Person, w: Wardrobe) -> None:
    """One arm from the shoulder to the fingers: sleeve, bare skin, hand or glove."""
    b, k = s.build, view.scale
    shoulder, elbow, wrist = s.shoulder[side], s.elbow[side], s.wrist[side]
    shade = 0.9 if view.depth(side, 0.0) < -0.3 else 1.0
    if person.Coat or person.Jacket or person.Suit:
        colour, label, bulk = w.outer, COAT, 1.14 if person.Suit else 1.22
    elif person.Dress:
        colour, label, bulk = w.top, DRESS, 1.04
    elif person.Jumpsuit:
        colour, label, bulk = w.top, JUMPSUIT, 1.1
    else:
        colour, label, bulk = w.top, UPPER, 1.1
    colour = tone(colour, shade)
    ra, re, rw = b.arm_r * 1.12 * k, b.arm_r * 0.92 * k, b.arm_r * 0.68 * k
    skin = tone(w.skin, shade)
    hand = wrist + (wrist - elbow) / max(float(np.linalg.norm(wrist - elbow)), 1e-6) * 0.022
    palm = (w.glove, GLOVE) if person.Gloves else (skin, ARM[side])
    size = 1.2 if person.Gloves else 1.0
    canvas.limb(view.point(wrist), view.point(hand), 0.017 * k * size, 0.018 * k * size, *palm)
    if person.ShortSleeve:
        end = shoulder + (elbow - shoulder) * (0.42 + 0.4 * (w.flare - 0.7) / 0.8)
        canvas.chain([view.point(p) for p in (wrist, elbow, shoulder)], [rw, re * 0.95, ra], skin, ARM[side])
        canvas.limb(view.point(shoulder), view.point(end), ra * bulk * 1.08, ra * bulk, colour, label)
        _sleeve_stripes(canvas, view, [(shoulder, end)], ra * bulk * 1.02, person, w, shade)
        return
    radii = [rw * bulk * 1.12, re * bulk, ra * bulk]
    canvas.chain([view.point(p) for p in (wrist, elbow, shoulder)], radii, colour, label)
    _sleeve_stripes(canvas, view, [(elbow, wrist), (shoulder, elbow)], re * bulk * 0.96, person, w, shade)
    if person.Coat or person.Suit:
        cuff = wrist + (elbow - wrist) * 0.12
        canvas.limb(view.point(cuff), view.point(wrist), rw * bulk * 1.2, rw * bulk * 1.2, tone(colour, 0.82), label)


def _sleeve_stripes(
    canvas: Canvas, view: View, parts: list[tuple[np.ndarray, np.ndarray]], radius: float, person: Person, w: Wardrobe,
    shade: float,
) -> None:  # fmt: skip
    if not person.StripedTop:
        return
    for a, b in parts:
        p, q = view.point(a), view.point(b)
        along = q - p
        length = float(np.hypot(*along))
        if length < radius:
            continue  # seen end on: no room for a stripe
        n = np.array([-along[1], along[0]]) / length * radius
        count = max(2, round(float(np.linalg.norm(b - a)) / 0.045))
        for i in range(count):
            t0, t1 = p + along * ((i + 0.35) / count), p + along * ((i + 0.8) / count)
            canvas.polygon(np.array([t0 + n, t1 + n, t1 - n, t0 - n]), tone(w.stripe, 0.92 * shade))


def in_front(view: View, s: Skeleton, side: int) -> bool:
    """Whether the arm is nearer to the viewer than the body."""
    reach = (view.depth(s.elbow[side][0], s.elbow[side][2]) + view.depth(s.wrist[side][0], s.wrist[side][2])) / 2
    return reach > (-0.012 if side == LEFT else -0.013)
