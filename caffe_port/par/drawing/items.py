"""What people carry. All of it is background to the segmentation, as in Look-Into-Person."""

from __future__ import annotations

import math

import numpy as np

from caffe_port.par.drawing.canvas import Canvas, tone
from caffe_port.par.drawing.clothes import trunk
from caffe_port.par.drawing.pose import LEFT, Skeleton, View
from caffe_port.par.drawing.shell import Ring, Shell
from caffe_port.par.drawing.wardrobe import Wardrobe

_NOTHING = 0


def paint_backpack(canvas: Canvas, view: View, s: Skeleton, w: Wardrobe) -> None:
    b = s.build
    y, f = b.shoulder_y, s.lean * 0.7 - b.depth - 0.055
    pack = Shell([
        Ring(y - 0.005, 0.045, 0.03, f + 0.01), Ring(y + 0.02, 0.078, 0.055, f),
        Ring(y + 0.12, 0.088, 0.062, f - 0.006), Ring(y + 0.215, 0.084, 0.055, f), Ring(y + 0.235, 0.066, 0.045, f),
    ])  # fmt: skip
    pack.paint(canvas, view, w.bag, _NOTHING)
    canvas.polygon(pack.patch(view, y + 0.12, y + 0.21, math.pi - 0.85, math.pi + 0.85), tone(w.bag, 0.72))
    canvas.polygon(pack.patch(view, y + 0.13, y + 0.2, math.pi - 0.75, math.pi + 0.75), tone(w.bag, 1.12))
    canvas.line(pack.path(view, [(y + 0.075, math.pi - 1.2), (y + 0.075, math.pi + 1.2)]), 0.008 * view.scale,
                tone(w.bag, 0.6))  # fmt: skip


def paint_straps(canvas: Canvas, view: View, s: Skeleton, w: Wardrobe) -> None:
    """The backpack's straps over the chest."""
    b = s.build
    body = trunk(s, 1.2, b.hip_y)
    for side in (-1, 1):
        strap = [(b.shoulder_y - 0.01, side * 1.0), (b.shoulder_y + 0.05, side * 0.62), (b.waist_y - 0.05, side * 0.85)]
        canvas.line(body.path(view, strap), 0.024 * view.scale, tone(w.bag, 0.85), _NOTHING)


def paint_shoulder_bag(canvas: Canvas, view: View, s: Skeleton, w: Wardrobe, side: int, strap: bool) -> None:
    """The bag at the hip (`strap` False) or its strap across the body (True)."""
    b, k = s.build, view.scale
    if strap:
        body = trunk(s, 1.2, b.hip_y + 0.03)
        front = [(b.shoulder_y - 0.012, -side * 0.9), (b.waist_y - 0.04, 0.1 * side), (b.hip_y, side * 1.35)]
        back = [(y, math.pi - turn) for y, turn in front]
        for line in (front, back):
            canvas.line(body.path(view, line), 0.017 * k, tone(w.bag, 0.62), _NOTHING)
        return
    x, y = side * (b.hip + 0.030), b.hip_y - 0.01
    bag = Shell([
        Ring(y - 0.02, 0.026, 0.062, 0.01, x), Ring(y, 0.032, 0.072, 0.01, x),
        Ring(y + 0.08, 0.034, 0.078, 0.01, x), Ring(y + 0.098, 0.028, 0.07, 0.01, x),
    ])  # fmt: skip
    bag.paint(canvas, view, w.bag, _NOTHING)
    out = side * math.pi / 2
    canvas.polygon(bag.patch(view, y - 0.012, y + 0.04, out - 1.2, out + 1.2), tone(w.bag, 0.78))
    for p in bag.path(view, [(y + 0.035, out), (y + 0.036, out)])[:1]:
        canvas.disc(p, 0.009 * k, 0.009 * k, (230, 200, 90))


def paint_held(canvas: Canvas, view: View, s: Skeleton, side: int, w: Wardrobe) -> None:
    """What the hand of this side holds, but for the umbrella's canopy."""
    role, k = s.role[side], view.scale
    wrist = s.wrist[side] + np.array([0.0, 0.025, 0.0])
    if role == "HandBag":
        x, y, f = wrist if s.elbow[side][1] < s.wrist[side][1] - 0.05 else s.elbow[side] + np.array([0, 0.03, 0.05])
        centre = view.at(x, y + 0.035, f)
        canvas.disc(centre, 0.030 * k, 0.040 * k, tone(w.bag, 0.6), _NOTHING)
        canvas.disc(centre, 0.021 * k, 0.031 * k, tone(w.bag, 1.35))
        bag = Shell([
            Ring(y + 0.045, 0.024, 0.052, f, x), Ring(y + 0.06, 0.030, 0.060, f, x),
            Ring(y + 0.125, 0.036, 0.074, f, x), Ring(y + 0.138, 0.030, 0.068, f, x),
        ])  # fmt: skip
        bag.paint(canvas, view, w.bag, _NOTHING)
        canvas.polygon(bag.outline(view, y + 0.07, y + 0.08), tone(w.bag, 0.6))
    elif role == "Calling":
        at = view.point(s.wrist[side] + np.array([side * 0.004, -0.022, 0.006]))
        turn = np.array([[-0.012, -0.034], [0.012, -0.034], [0.014, 0.022], [-0.010, 0.022]]) * k
        canvas.polygon(at + turn, (22, 22, 28), _NOTHING)
        canvas.polygon(at + turn * 0.6, (150, 200, 240))
    elif role == "Suitcase":
        x, f = wrist[0] + side * 0.012, wrist[2] - 0.10
        low = s.ground - 0.015
        case = Shell([
            Ring(low - 0.215, 0.058, 0.040, f, x), Ring(low - 0.205, 0.068, 0.046, f, x),
            Ring(low - 0.02, 0.068, 0.046, f, x), Ring(low - 0.01, 0.06, 0.04, f, x),
        ])  # fmt: skip
        bar = np.array([view.point(wrist), view.at(x, low - 0.2, f + 0.02)])
        canvas.line(bar, 0.011 * k, (120, 120, 124), _NOTHING)
        for turn_l in (-0.05, 0.05):
            canvas.disc(view.at(x + turn_l, low, f), 0.016 * k, 0.016 * k, (30, 30, 30), _NOTHING)
        case.paint(canvas, view, w.bag, _NOTHING)
        for share in (-0.5, 0.0, 0.5):
            edge = case.outline(view, grow=abs(share) + 0.02)
            column = edge[: len(edge) // 2] if share >= 0 else edge[len(edge) // 2 :]
            canvas.line(column[[0, len(column) // 2]], 0.007 * k, tone(w.bag, 0.66))


def umbrella_top(s: Skeleton, side: int) -> np.ndarray:
    """Where the shaft ends, in body coordinates."""
    return np.array([s.wrist[side][0] * 0.55, -0.125, s.wrist[side][2] * 0.6])


def paint_shaft(canvas: Canvas, view: View, s: Skeleton, side: int) -> None:
    wrist = s.wrist[side] + np.array([0.0, 0.03, 0.0])
    canvas.line(np.array([view.point(wrist), view.point(umbrella_top(s, side))]), 0.013 * view.scale, (70, 64, 60), 0)


def paint_canopy(canvas: Canvas, view: View, s: Skeleton, side: int, w: Wardrobe) -> None:
    """A dome of eight panels above the head, in front of what it covers."""
    k = view.scale
    cx, cy = view.point(umbrella_top(s, side))
    rx, ry, rim = 0.245 * k, 0.125 * k, 0.105 * k
    canvas.line(np.array([[cx, cy - ry * 1.15], [cx, cy]]), 0.010 * k, (60, 54, 50), 0)
    edges = np.linspace(-1, 1, 7)
    angle = np.linspace(0, math.pi / 2, 9)
    for i in range(6):
        a, b = math.sin(edges[i] * math.pi / 2), math.sin(edges[i + 1] * math.pi / 2)
        left = np.stack([cx + rx * a * np.sin(angle), cy - ry * np.cos(angle) + rim], 1)
        right = np.stack([cx + rx * b * np.sin(angle), cy - ry * np.cos(angle) + rim], 1)
        scallop = np.array([[cx + rx * (a + b) / 2, cy + rim - 0.016 * k]])
        colour = tone(w.umbrella[i % 2], (1.1, 1.05, 1.0, 0.94, 0.86, 0.76)[i])
        canvas.polygon(np.vstack([left, scallop, right[::-1]]) - (0, rim), colour, _NOTHING)


def bag_side(s: Skeleton, view: View) -> int:
    """The shoulder bag hangs on the side nearer to the viewer, so that it is seen."""
    return LEFT if view.sin > 0 else -LEFT
