"""What covers the trunk: tops, jackets, coats, dresses, skirts, and what hangs on it: scarf and long hair."""

from __future__ import annotations

import math

import numpy as np

from caffe_port.par.drawing.canvas import Canvas, Colour, tone
from caffe_port.par.drawing.limbs import COAT, DRESS, JUMPSUIT, PANTS, UPPER
from caffe_port.par.drawing.people import CLASSES, Person
from caffe_port.par.drawing.pose import LEFT, RIGHT, Skeleton, View
from caffe_port.par.drawing.shell import Ring, Shell
from caffe_port.par.drawing.wardrobe import Wardrobe

HAIR, SCARF, SKIRT, FACE = (CLASSES.index(n) for n in ("hair", "scarf", "skirt", "face"))


def trunk(s: Skeleton, grow: float, bottom: float) -> Shell:
    """The body from the neck down to `bottom`, widened by `grow`."""
    b, n = s.build, s.lean
    d = b.depth * grow
    top = b.shoulder_y
    rings = [
        Ring(top - 0.030, 0.034, 0.034, n),
        Ring(top - 0.012, b.shoulder * 0.62 * grow, d * 0.72, n),
        Ring(top + 0.010, b.shoulder * 0.98 * grow, d * 0.86, n),
        Ring(top + 0.045, b.shoulder * 0.96 * grow, d * 0.98, n * 0.9),
        Ring(top + 0.090, b.chest * grow, d * 1.06, n * 0.8 + 0.006),
        Ring(b.waist_y, b.waist * grow, d * 0.90, n * 0.4),
        Ring((b.waist_y + b.hip_y) / 2 + 0.01, b.hip * 0.93 * grow, d * 1.0, n * 0.2),
        Ring(b.hip_y, b.hip * grow, d * 1.05, 0.0),
    ]
    if bottom > b.hip_y + 0.015:
        rings.append(Ring(bottom, b.hip * 0.98 * grow, d * 1.04, 0.0))
    return Shell(rings)


def skirt_shell(s: Skeleton, start: float, bottom: float, flare: float, grow: float = 1.0) -> Shell:
    """From the waist outwards down to the hem, wide enough for the step that is taken inside it."""
    b = s.build
    ankles = [s.knee[side] + (s.ankle[side] - s.knee[side]) * 0.4 for side in (LEFT, RIGHT)]
    stride = max(abs(p[2]) for p in ankles)
    share = (bottom - b.hip_y) / (b.thigh + b.shin)
    swing = (ankles[0][2] + ankles[1][2]) / 2 * min(1.0, share * 2)
    wide = b.hip * (1.0 + 0.5 * flare * max(share, 0.15)) * grow
    deep = max(b.depth * (1.1 + 0.6 * flare * share), 0.75 * stride * min(1.0, share * 2)) * grow
    return Shell([
        Ring(start, b.waist * 1.06 * grow, b.depth * 0.95 * grow, s.lean * 0.4),
        Ring(b.hip_y - 0.02, b.hip * 1.06 * grow, b.depth * 1.14 * grow, 0.0),
        Ring((b.hip_y + bottom) / 2, (b.hip * 1.08 * grow + wide) / 2, (b.depth * 1.16 * grow + deep) / 2, swing * 0.4),
        Ring(bottom, wide, deep, swing),
    ])  # fmt: skip


def paint_neck(canvas: Canvas, view: View, s: Skeleton, w: Wardrobe) -> None:
    top = np.array([0.0, s.build.head * 1.3, s.lean + 0.004])
    end = np.array([0.0, s.build.shoulder_y + 0.004, s.lean])
    r = 0.034 * view.scale
    canvas.limb(view.point(top), view.point(end), r * 0.86, r, tone(w.skin, 0.84), FACE)


def paint_clothes(canvas: Canvas, view: View, s: Skeleton, person: Person, w: Wardrobe) -> None:
    b = s.build
    if person.LongTrousers or person.Shorts:
        _trouser_seat(canvas, view, s, w.bottom, PANTS)
    elif person.Jumpsuit:
        _trouser_seat(canvas, view, s, w.top, JUMPSUIT)
    label = DRESS if person.Dress else JUMPSUIT if person.Jumpsuit else UPPER
    hem = b.hip_y - 0.03 if person.Skirt else b.hip_y + 0.01
    if person.Jumpsuit:
        hem = b.hip_y + 0.02
    body = trunk(s, 1.06, hem)
    if person.Skirt:
        bottom = b.hip_y + (0.12 + 0.26 * w.hem)
        shell = skirt_shell(s, b.waist_y + 0.02, bottom, w.flare)
        shell.paint(canvas, view, w.bottom, SKIRT)
        _folds(canvas, view, shell, b.hip_y, bottom, w.bottom)
        hem = b.waist_y + 0.06
    body.paint(canvas, view, w.top, label, y1=hem)
    if person.StripedTop:
        body.stripes(canvas, view, w.stripe, b.shoulder_y + 0.01, hem, 0.05)
    if person.Dress:
        bottom = b.hip_y + (0.14 + 0.24 * w.hem)
        shell = skirt_shell(s, b.waist_y, bottom, w.flare)
        shell.paint(canvas, view, w.top, DRESS)
        _folds(canvas, view, shell, b.waist_y + 0.05, bottom, w.top)
        shell.paint(canvas, view, tone(w.stripe, 0.95), DRESS, y1=b.waist_y + 0.022)
    if person.Jumpsuit:  # a belt and a zip
        body.paint(canvas, view, tone(w.top, 0.55), JUMPSUIT, b.waist_y - 0.002, b.waist_y + 0.02)
        canvas.line(body.path(view, [(b.shoulder_y, 0.0), (hem, 0.0)]), 0.007 * view.scale, tone(w.top, 1.5))
    elif person.LongTrousers and not person.Suit:
        body.paint(canvas, view, tone(w.bottom, 0.6), PANTS, b.hip_y - 0.012, b.hip_y + 0.008)
    _collar(canvas, view, s, body, person, w)
    if person.Coat:
        _outer(canvas, view, s, b.hip_y + 0.10 + 0.16 * w.hem, person, w)
    elif person.Jacket or person.Suit:
        _outer(canvas, view, s, b.hip_y + (0.045 if person.Suit else 0.0), person, w)


def _trouser_seat(canvas: Canvas, view: View, s: Skeleton, colour: Colour, label: int) -> None:
    b = s.build
    seat = Shell([
        Ring(b.waist_y + 0.04, b.waist * 1.04, b.depth * 0.96, s.lean * 0.3),
        Ring(b.hip_y, b.hip * 1.04, b.depth * 1.06),
        Ring(b.hip_y + 0.055, b.hip * 0.94, b.depth * 1.0),
    ])  # fmt: skip
    seat.paint(canvas, view, colour, label)


def _folds(canvas: Canvas, view: View, shell: Shell, y0: float, y1: float, colour: Colour) -> None:
    for turn in np.arange(-math.pi, math.pi, 0.62):
        canvas.line(shell.path(view, [(y0 + 0.03, turn), (y1 - 0.004, turn)]), 0.007 * view.scale, tone(colour, 0.78))


def _collar(canvas: Canvas, view: View, s: Skeleton, body: Shell, person: Person, w: Wardrobe) -> None:
    """The neckline: skin in front, and a tie and white collar for a suit."""
    y = s.build.shoulder_y
    deep = 0.055 if person.Female else 0.02
    v = [body.path(view, [(y - 0.022, turn), (y + deep, 0.0)]) for turn in (-0.75, 0.75)]
    if view.cos > 0.2 and len(v[0]) and len(v[1]) and not person.Suit:
        canvas.polygon(np.vstack([v[0], v[1][::-1]]), tone(w.skin, 0.94), FACE)
    if person.Suit:
        tie = body.patch(view, y - 0.012, y + 0.17, -0.13, 0.13)
        canvas.polygon(tie, tone(w.scarf, 0.85))
        for turn in (-0.75, 0.75):
            canvas.line(body.path(view, [(y - 0.02, turn), (y + 0.02, 0.0)]), 0.010 * view.scale, (250, 250, 250))


def _outer(canvas: Canvas, view: View, s: Skeleton, bottom: float, person: Person, w: Wardrobe) -> None:
    """A coat, jacket or suit jacket: the shell, then what its opening shows of the clothes below."""
    b = s.build
    upper = trunk(s, 1.17 if not person.Suit else 1.13, min(bottom, b.hip_y + 0.04))
    parts: list[tuple[Shell, float, float]] = [(upper, b.shoulder_y - 0.03, min(bottom, b.hip_y + 0.04))]
    if bottom > b.hip_y + 0.06:
        tail = skirt_shell(s, b.waist_y, bottom, 0.7 * w.flare, 1.14)
        parts = [(upper, b.shoulder_y - 0.03, b.waist_y + 0.02), (tail, b.waist_y, bottom)]
    open_front = 0.0 if person.Coat and w.flare < 1.1 else 0.36
    for shell, y0, y1 in parts:
        _opened(canvas, view, shell, y0, y1, open_front, w.outer)
    if open_front == 0.0:  # buttoned: a seam and buttons
        canvas.line(upper.path(view, [(b.shoulder_y, 0.12), (b.hip_y, 0.12)]), 0.006 * view.scale, tone(w.outer, 0.55))
        for y in np.arange(b.shoulder_y + 0.04, b.hip_y, 0.06):
            for p in upper.path(view, [(y, -0.12), (y + 0.001, -0.12)])[:1]:
                canvas.disc(p, 0.008 * view.scale, 0.008 * view.scale, tone(w.outer, 1.6))
    for turn in (-0.5, 0.5):  # lapels
        y = b.shoulder_y
        lapel = [(y - 0.02, turn * 1.6), (y + 0.05, turn * 1.7), (y + 0.13, turn * 0.7)]
        canvas.line(upper.path(view, lapel), 0.014 * view.scale, tone(w.outer, 1.22))
    if person.Coat:
        upper.paint(canvas, view, tone(w.outer, 0.7), COAT, b.waist_y - 0.005, b.waist_y + 0.02)
    elif person.Jacket:
        upper.paint(canvas, view, tone(w.outer, 0.75), COAT, bottom - 0.02, bottom + 0.04)


def _opened(
    canvas: Canvas, view: View, shell: Shell, y0: float, y1: float, opening: float, colour: Colour
) -> None:
    """Paint a shell but for the angles within `opening` of the front, which keep what was painted before."""
    if opening == 0.0 or view.cos < 0.15:
        shell.paint(canvas, view, colour, COAT, y0, y1)
        return
    middle, extent = shell.visible(view)
    for a, b in ((opening - 2 * math.pi, -opening), (opening, 2 * math.pi - opening)):
        a, b = max(a, middle - extent), min(b, middle + extent)
        if b <= a:
            continue
        inset = (b - a) * 0.12
        canvas.polygon(shell.patch(view, y0, y1, a, b), tone(colour, 0.74), COAT)
        canvas.polygon(shell.patch(view, y0, y1, a + inset, b - inset), colour)
        if middle > a:  # the side of the light
            canvas.polygon(shell.patch(view, y0, y1, b - (b - a) * 0.5, b - inset * 1.2), tone(colour, 1.06))


def paint_scarf(canvas: Canvas, view: View, s: Skeleton, w: Wardrobe) -> None:
    b, n = s.build, s.lean
    y = b.head * 1.72
    wrap = Shell([
        Ring(y, 0.046, 0.048, n), Ring(y + 0.022, 0.062, 0.062, n), Ring(b.shoulder_y + 0.012, 0.060, 0.060, n),
    ])  # fmt: skip
    body = trunk(s, 1.24, b.hip_y)
    tail = body.patch(view, b.shoulder_y, b.waist_y - 0.03, 0.08, 0.58)
    canvas.polygon(tail, tone(w.scarf, 0.78), SCARF)
    canvas.polygon(body.patch(view, b.shoulder_y, b.waist_y - 0.035, 0.15, 0.5), w.scarf)
    canvas.polygon(body.patch(view, b.waist_y - 0.06, b.waist_y - 0.045, 0.15, 0.5), tone(w.scarf, 0.6))
    wrap.paint(canvas, view, w.scarf, SCARF)
    canvas.line(wrap.path(view, [(y + 0.024, -1.2), (y + 0.034, 1.2)]), 0.007 * view.scale, tone(w.scarf, 0.6))


def paint_long_hair(canvas: Canvas, view: View, s: Skeleton, w: Wardrobe, front: bool) -> None:
    """The hair that falls down: a curtain behind the shoulders, and with `front` the two strands before them."""
    b, n = s.build, s.lean
    k, hair = view.scale, w.looks.hair
    length = b.shoulder_y + 0.05 + 0.07 * w.hem
    if front:
        for side in (LEFT, RIGHT):
            top = np.array([side * b.head * 0.70, b.head * 0.85, n + 0.005])
            end = np.array([side * b.head * 0.80, length - 0.02, n + 0.035])
            if view.depth(end[0], end[2]) > -0.02:
                canvas.limb(view.point(top), view.point(end), b.head * 0.20 * k, b.head * 0.15 * k, hair, HAIR)
        return
    curtain = Shell([
        Ring(b.head * 0.5, b.head * 0.78, b.head * 0.5, n - b.head * 0.30),
        Ring(b.head * 1.5, b.head * 0.88, b.head * 0.42, n - b.head * 0.42),
        Ring(length - 0.03, b.head * 0.98, b.head * 0.34, n - b.head * 0.55),
        Ring(length + 0.02, b.head * 0.66, b.head * 0.24, n - b.head * 0.55),
    ])  # fmt: skip
    curtain.paint(canvas, view, hair, HAIR)
    for turn in (math.pi - 0.7, math.pi, math.pi + 0.7):
        canvas.line(curtain.path(view, [(b.head, turn), (length, turn)]), 0.005 * k, tone(hair, 1.25))
