"""The head: an ellipsoid looked at pixel by pixel, so that face, hair, glasses and hat are right from every side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from caffe_port.par.drawing.canvas import Canvas, Colour, tone
from caffe_port.par.drawing.people import CLASSES, Person
from caffe_port.par.drawing.pose import Skeleton, View

HAT, HAIR, SUNGLASSES, FACE = (CLASSES.index(n) for n in ("hat", "hair", "sunglasses", "face"))


@dataclass(frozen=True)
class Looks:
    """What of a head is not a label: colours and cut."""

    skin: Colour
    hair: Colour
    hat: Colour
    hat_kind: str  # "beanie", "cap" or "brim"
    beard: bool
    fringe: float  # how far the hair comes down the forehead, degrees


def paint_head(canvas: Canvas, view: View, s: Skeleton, person: Person, looks: Looks) -> None:
    """Face, hair, eyes, mouth, glasses and hat. The hair that falls down the back is clothes.paint_long_hair's."""
    ry = s.build.head * 1.0
    rx, rz = ry * 0.80, ry * 0.90
    f0 = s.lean + 0.012
    cx, cy = view.at(0.0, s.build.head, f0)
    half_x = math.hypot(rx * view.cos, rz * view.sin) * view.scale
    half_y = ry * view.scale
    h, w = int(half_y * 1.3) + 2, int(half_x * 1.25) + 2
    left, top = int(cx) - w, int(cy) - h
    ys, xs = np.mgrid[top : top + 2 * h, left : left + 2 * w]
    _layer(canvas, view, person, looks, (left, top), (xs + 0.5 - cx) / half_x, (ys + 0.5 - cy) / half_y)
    if looks.hat_kind != "beanie" and person.Hat:
        _brim(canvas, view, looks, f0, s.build.head, rx, rz)


def _layer(
    canvas: Canvas, view: View, person: Person, looks: Looks, corner: tuple[int, int], x: np.ndarray, y: np.ndarray
) -> None:
    jaw = np.where(y > 0, 1.0 / (1.0 - 0.20 * np.clip(y, 0, 1) ** 2), 1.0)  # the head narrows to the chin
    u = x * jaw
    radius = u * u + y * y
    inside = radius <= 1.0
    cap = np.zeros_like(inside)
    if person.Hat:  # the hat is a little larger than the skull
        grown = (x / 1.10) ** 2 + ((y + 0.03) / 1.13) ** 2
        cap = (grown <= 1.0) & (y < 0.12)
        inside = inside | cap
    depth = np.sqrt(np.clip(1.0 - np.minimum(radius, 1.0), 0.0, 1.0))
    # Turn from the viewer's axes to the head's: forward is f, left is l.
    f = -u * view.sin + depth * view.cos
    side = u * view.cos + depth * view.sin
    turn = np.degrees(np.arctan2(side, f))
    lift = -np.degrees(np.arcsin(np.clip(y - 0.12 * depth, -1, 1)))  # seen slightly from above

    colours = np.empty((*x.shape, 3), np.float32)
    labels = np.full(x.shape, HAIR, np.uint8)
    colours[:] = looks.hair
    hairline = 34.0 - looks.fringe + 10.0 * np.cos(np.radians(turn) * 3)
    narrow = 52.0 if person.LongHair else 68.0
    low = np.where(lift < -8, 14.0 if not person.LongHair else 6.0, 0.0)
    face = (lift < hairline) & (np.abs(turn) < narrow + low)
    neck = (lift < -38) & (np.abs(turn) > 90) & (not person.LongHair)
    colours[face | neck] = looks.skin
    labels[face | neck] = FACE
    if not person.LongHair:
        ear = ((np.abs(turn) - 84) / 9) ** 2 + ((lift + 4) / 13) ** 2 < 1
        colours[ear] = tone(looks.skin, 0.86)
        labels[ear] = FACE
    _features(colours, labels, face, turn, lift, person, looks)
    if person.Hat:
        line = 12.0 if looks.hat_kind == "beanie" else 18.0
        hat = cap & (lift > line)
        colours[hat] = looks.hat
        band = hat & (lift < line + 14)
        colours[band] = tone(looks.hat, 0.7 if looks.hat_kind != "beanie" else 1.25)
        labels[hat] = HAT
        inside = inside & ((radius <= 1.0) | hat)
    shade = 1.06 - 0.30 * np.clip(np.sqrt(radius) - 0.35, 0, 1) ** 1.5 - 0.10 * x
    colours = np.clip(colours * shade[..., None], 0, 255).astype(np.uint8)
    canvas.stamp(*corner, colours, labels, inside)


def _features(
    colours: np.ndarray, labels: np.ndarray, face: np.ndarray, turn: np.ndarray, lift: np.ndarray, person: Person,
    looks: Looks,
) -> None:  # fmt: skip
    def spot(at: float, up: float, wide: float, high: float) -> np.ndarray:
        return face & (((np.abs(turn) - at) / wide) ** 2 + ((lift - up) / high) ** 2 < 1)

    def middle(up: float, wide: float, high: float) -> np.ndarray:
        return face & ((turn / wide) ** 2 + ((lift - up) / high) ** 2 < 1)

    if looks.beard:
        beard = face & (lift < -24) & ~middle(-36, 14, 6)
        colours[beard] = tone(looks.hair, 0.9)
    else:
        colours[spot(40, -20, 13, 9)] = tone((226, 120, 105), 0.3 + 0.7 * sum(looks.skin) / 660)
    colours[middle(-13, 6, 8)] = tone(looks.skin, 0.84)
    colours[middle(-36, 17, 4.5)] = (186, 60, 70) if person.Female else tone(looks.skin, 0.6)
    colours[spot(22, 13, 12, 2.6)] = tone(looks.hair, 0.7)
    colours[spot(22, 3, 9, 5.5)] = (245, 245, 245)
    colours[spot(22, 3, 5.0, 5.5)] = (30, 25, 30)
    if person.Female:
        colours[spot(23, 8.5, 11, 2.4)] = (25, 20, 25)
    if person.Sunglasses:
        glasses = spot(25, 3, 22, 13) | (face & (np.abs(lift - 7) < 3.5) & (np.abs(turn) < 95))
        temple = (np.abs(lift - 6) < 3.5) & (np.abs(turn) < 92) & (np.abs(turn) > 30)
        colours[glasses | temple] = (18, 18, 24)
        colours[spot(19, 7, 5, 4)] = (84, 92, 120)
        labels[glasses | temple] = SUNGLASSES


def _brim(canvas: Canvas, view: View, looks: Looks, f0: float, head: float, rx: float, rz: float) -> None:
    """A flat disc around the hat, or a visor in front of it, seen from slightly above."""
    y = head * 0.72
    angle = np.linspace(0, 2 * math.pi, 28)
    if looks.hat_kind == "brim":
        points = view.at(rx * 1.55 * np.sin(angle), np.full(28, y), f0 + rz * 1.5 * np.cos(angle))
        low = points + (0, head * 0.10 * view.scale)
        canvas.polygon(low, tone(looks.hat, 0.55), HAT)
        canvas.polygon(points, tone(looks.hat, 0.82), HAT)
        crown = view.at(rx * 1.02 * np.sin(angle), np.full(28, y - head * 0.1), f0 + rz * 1.02 * np.cos(angle))
        top = view.at(rx * 0.85 * np.sin(angle), np.full(28, -head * 0.12), f0 + rz * 0.85 * np.cos(angle))
        for grow, shade in ((1.0, 0.8), (0.7, 1.0)):
            both = np.vstack([crown, top])
            centre = both.mean(0)
            canvas.polygon(_hull(centre + (both - centre) * (grow, 1.0)), tone(looks.hat, shade), HAT)
    else:
        forward = np.linspace(-math.pi / 2, math.pi / 2, 15)
        points = view.at(rx * 0.95 * np.sin(forward), np.full(15, y), f0 + rz * (0.55 + 1.15 * np.cos(forward)))
        if view.cos > -0.6:
            canvas.polygon(np.vstack([points, points[::-1] + (0, head * 0.09 * view.scale)]), tone(looks.hat, 0.6), HAT)
            canvas.polygon(points, tone(looks.hat, 0.85), HAT)


def _hull(points: np.ndarray) -> np.ndarray:
    """Convex hull (Andrew's monotone chain)."""
    order = points[np.lexsort((points[:, 1], points[:, 0]))]

    def half(rows: np.ndarray) -> list[np.ndarray]:
        out: list[np.ndarray] = []
        for p in rows:
            while len(out) > 1 and _cross(out[-1] - out[-2], p - out[-2]) <= 0:
                out.pop()
            out.append(p)
        return out[:-1]

    return np.array(half(order) + half(order[::-1]))


def _cross(a: np.ndarray, b: np.ndarray) -> float:
    return float(a[0] * b[1] - a[1] * b[0])
