"""Bodies of elliptic cross-section (a torso, a skirt, a bag): outlines and patches of their surface, from any side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caffe_port.par.drawing.canvas import Canvas, Colour, tone
from caffe_port.par.drawing.pose import View

_ANGLE = np.linspace(0, math.pi, 9)
_RIM = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], 1)  # the near half of a lower rim


@dataclass(frozen=True)
class Ring:
    """A cross-section: height y, half width a (sideways), half depth b (forward), centre (l, f)."""

    y: float
    a: float
    b: float
    f: float = 0.0
    l: float = 0.0  # noqa: E741 - the axis' name


class Shell:
    """A stack of rings from the top down, joined by a smooth curve through them."""

    def __init__(self, rings: Sequence[Ring], steps: int = 4) -> None:
        points = np.array([(r.y, r.a, r.b, r.f, r.l) for r in rings])
        self.rings = _smooth(points, steps)

    def at(self, ys: np.ndarray) -> np.ndarray:
        """The rings at these heights, interpolated, (n, 5); the ends are held beyond the ends."""
        y = self.rings[:, 0]
        i = np.clip(np.searchsorted(y, ys), 1, len(y) - 1)
        gap = y[i] - y[i - 1]
        t = np.clip((ys - y[i - 1]) / np.where(gap > 0, gap, 1.0), 0.0, 1.0)[:, None]
        return self.rings[i - 1] * (1 - t) + self.rings[i] * t

    def part(self, y0: float, y1: float) -> np.ndarray:
        """The rings between two heights, both ends interpolated, (n, 5)."""
        y = self.rings[:, 0]
        ends = self.at(np.array([max(y0, y[0]), min(y1, y[-1])]))
        return np.vstack([ends[:1], self.rings[(y > y0) & (y < y1)], ends[1:]])

    def outlines(
        self, view: View, y0: float, y1: float, variants: Sequence[tuple[float, float]]
    ) -> list[np.ndarray]:
        """What is seen between two heights, one polygon a variant (grow, shift): `grow` narrows it, `shift` moves it
        sideways by a share of its half width (for highlights). The lower rim is rounded by the view from above."""
        r = self.part(y0, y1)
        centre = view.at(r[:, 4], r[:, 0], r[:, 3])
        half = np.hypot(r[:, 1] * view.cos, r[:, 2] * view.sin) * view.scale
        sag = math.hypot(r[-1, 1] * view.sin, r[-1, 2] * view.cos) * view.scale * view.tilt
        across = np.concatenate([half, half[-1] * _RIM[:, 0], -half[::-1]])
        middle = np.concatenate([centre[:, 0], np.full(len(_RIM), centre[-1, 0]), centre[::-1, 0]])
        offset = np.concatenate([half, np.full(len(_RIM), half[-1]), half[::-1]])
        y = np.concatenate([centre[:, 1], centre[-1, 1] + sag * _RIM[:, 1], centre[::-1, 1]])
        return [np.stack([middle + shift * offset + grow * across, y], 1) for grow, shift in variants]

    def outline(
        self, view: View, y0: float = -9.0, y1: float = 9.0, grow: float = 1.0, shift: float = 0.0
    ) -> np.ndarray:
        return self.outlines(view, y0, y1, [(grow, shift)])[0]

    def visible(self, view: View) -> tuple[float, float]:
        """The middle of the seen half of the surface and half its extent, as angles from the front towards the left."""
        a, b = self.rings[len(self.rings) // 2, 1:3]
        return math.atan2(view.sin / max(a, 1e-6), view.cos / max(b, 1e-6)), math.pi / 2

    def patch(self, view: View, y0: float, y1: float, turn0: float, turn1: float) -> np.ndarray:
        """The seen part of the surface between two heights and two angles, as a polygon; empty if hidden."""
        middle, extent = self.visible(view)
        span = _clip(turn0, turn1, middle - extent, middle + extent)
        if span is None:
            return np.zeros((0, 2))
        r = self.part(y0, y1)
        turn = np.linspace(span[0], span[1], 6)
        return np.vstack([
            self._surface(view, np.repeat(r[:1], 6, 0), turn),
            self._surface(view, r, span[1]),
            self._surface(view, np.repeat(r[-1:], 6, 0), turn[::-1]),
            self._surface(view, r, span[0])[::-1],
        ])  # fmt: skip

    def path(self, view: View, points: Sequence[tuple[float, float]]) -> np.ndarray:
        """A line on the surface through (y, angle) points, only where it is seen (its longest visible run)."""
        middle, extent = self.visible(view)
        fine = np.array(points, float)
        t = np.linspace(0, len(fine) - 1, 8 * (len(fine) - 1) + 1)
        ys, turns = (np.interp(t, np.arange(len(fine)), fine[:, k]) for k in (0, 1))
        seen = np.abs((turns - middle + math.pi) % (2 * math.pi) - math.pi) <= extent
        run = _longest_run(seen)
        return self._surface(view, self.at(ys[run.start : run.stop]), turns[run.start : run.stop])

    def _surface(self, view: View, r: np.ndarray, turn: np.ndarray | float) -> np.ndarray:
        return view.at(r[:, 4] + r[:, 1] * np.sin(turn), r[:, 0], r[:, 3] + r[:, 2] * np.cos(turn))

    def paint(
        self, canvas: Canvas, view: View, colour: Colour, label: int | None, y0: float = -9.0, y1: float = 9.0
    ) -> None:
        """Fill the outline, darker at the edges, lighter towards the light from the left."""
        shapes = self.outlines(view, y0, y1, [(1.0, 0.0), (0.88, -0.06), (0.74, -0.12), (0.34, -0.3)])
        for i, (points, shade) in enumerate(zip(shapes, (0.72, 0.9, 1.0, 1.08), strict=True)):
            canvas.polygon(points, tone(colour, shade), label if i == 0 else None)

    def stripes(self, canvas: Canvas, view: View, colour: Colour, y0: float, y1: float, step: float) -> None:
        """Rings of another colour, every `step` of height."""
        y = y0 + step * 0.5
        while y < y1:
            edge, inner = self.outlines(view, y, min(y + step * 0.5, y1), [(1.0, 0.0), (0.8, -0.08)])
            canvas.polygon(edge, tone(colour, 0.8))
            canvas.polygon(inner, colour)
            y += step


def _smooth(points: np.ndarray, steps: int) -> np.ndarray:
    """Catmull-Rom through the rows; heights stay in order because rings are listed from the top down."""
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])[:, None]
    t = (np.arange(steps) / steps)[None, :, None]
    p0, p1, p2, p3 = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    cubic = p1 + ((p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3) / 2
    rows = np.vstack([cubic.reshape(-1, points.shape[1]), points[-1:]])
    rows[:, 0] = np.maximum.accumulate(rows[:, 0])
    return rows


def _clip(a0: float, a1: float, b0: float, b1: float) -> tuple[float, float] | None:
    """Overlap of two ranges of angles, trying the first one turned by a full circle either way; the largest."""
    best = None
    for turn in (-2 * math.pi, 0.0, 2 * math.pi):
        low, high = max(a0 + turn, b0), min(a1 + turn, b1)
        if high - low > 1e-3 and (best is None or high - low > best[1] - best[0]):
            best = (low, high)
    return best


def _longest_run(flags: np.ndarray) -> range:
    best, start = range(0), None
    for i, flag in enumerate([*flags.tolist(), False]):
        if flag and start is None:
            start = i
        elif not flag and start is not None:
            if i - start > len(best):
                best = range(start, i)
            start = None
    return best
