"""A picture and its label map, drawn together: every shape goes to both, so that they cannot disagree.

The picture is drawn `factor` times larger and averaged down (antialiased); the label map takes the label at each
pixel's centre, so that no label is ever mixed. Coordinates are those of the enlarged picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = Sequence[float] | np.ndarray


def tone(colour: Sequence[float], factor: float) -> Colour:
    """The colour made darker (factor < 1) or mixed with white (factor > 1)."""
    if factor <= 1:
        r, g, b = (c * factor for c in colour)
    else:
        r, g, b = (c + (255 - c) * (factor - 1) for c in colour)
    return int(r), int(g), int(b)


class Canvas:
    """`background` is uint8 (H, W, 3) at the final size; the label map starts at 0."""

    def __init__(self, background: np.ndarray, factor: int) -> None:
        height, width = background.shape[:2]
        self.factor = factor
        self.size = (width * factor, height * factor)
        self.rgb = Image.fromarray(background).resize(self.size, Image.Resampling.BILINEAR)
        self.label = Image.new("L", self.size, 0)
        self._paint = ImageDraw.Draw(self.rgb)
        self._mark = ImageDraw.Draw(self.label)

    def polygon(self, points: np.ndarray, colour: Colour, label: int | None = None) -> None:
        """Fill a polygon, points (n, 2) as x, y; label None leaves the label map as it is (a detail of a part)."""
        if len(points) < 3:
            return
        flat = np.asarray(points).ravel().tolist()
        self._paint.polygon(flat, fill=colour)
        if label is not None:
            self._mark.polygon(flat, fill=label)

    def disc(self, centre: Point, rx: float, ry: float, colour: Colour, label: int | None = None) -> None:
        box = [centre[0] - rx, centre[1] - ry, centre[0] + rx, centre[1] + ry]
        self._paint.ellipse(box, fill=colour)
        if label is not None:
            self._mark.ellipse(box, fill=label)

    def line(self, points: np.ndarray, width: float, colour: Colour, label: int | None = None) -> None:
        if len(points) < 2:
            return
        flat = np.asarray(points).ravel().tolist()
        pixels = max(1, round(width))
        self._paint.line(flat, fill=colour, width=pixels, joint="curve")
        if label is not None:
            self._mark.line(flat, fill=label, width=pixels, joint="curve")

    def limb(
        self, a: Point, b: Point, ra: float, rb: float, colour: Colour, label: int | None = None
    ) -> None:
        """A tapered capsule from a to b."""
        self.chain([a, b], [ra, rb], colour, label)

    def chain(
        self, points: Sequence[Point], radii: Sequence[float], colour: Colour, label: int | None = None
    ) -> None:
        """Tapered capsules one after the other, darker at the edge and lighter towards the light, which comes from the
        left. Shade by shade over the whole chain, so that no edge shows at a joint."""
        r = max(radii)
        for grow, shift, shade in ((1.0, 0.0, 0.74), (0.84, -0.14, 1.0), (0.4, -0.3, 1.1)):
            moved = [(p[0] + shift * r, p[1]) for p in points]
            for i in range(len(points) - 1):
                self._capsule(
                    moved[i], moved[i + 1], radii[i] * grow, radii[i + 1] * grow, tone(colour, shade),
                    label if grow == 1.0 else None,
                )  # fmt: skip

    def _capsule(
        self, a: Point, b: Point, ra: float, rb: float, colour: Colour, label: int | None
    ) -> None:
        dx, dy = b[0] - a[0], b[1] - a[1]
        length = math.hypot(dx, dy)
        if length > 1e-6:
            nx, ny = -dy / length, dx / length
            points = [
                (a[0] + nx * ra, a[1] + ny * ra), (b[0] + nx * rb, b[1] + ny * rb),
                (b[0] - nx * rb, b[1] - ny * rb), (a[0] - nx * ra, a[1] - ny * ra),
            ]  # fmt: skip
            self.polygon(np.array(points), colour, label)
        self.disc(a, ra, ra, colour, label)
        self.disc(b, rb, rb, colour, label)

    def stamp(self, left: int, top: int, colours: np.ndarray, labels: np.ndarray, inside: np.ndarray) -> None:
        """Put an array of colours (h, w, 3) and labels (h, w) where `inside` is true, clipped to the picture."""
        mask = Image.fromarray(inside.astype(np.uint8) * 255)
        self.rgb.paste(Image.fromarray(colours), (left, top), mask)
        self.label.paste(Image.fromarray(labels), (left, top), mask)

    def picture(self) -> np.ndarray:
        """uint8 (H, W, 3), averaged down."""
        return np.asarray(self.rgb.reduce(self.factor) if self.factor > 1 else self.rgb).copy()

    def labels(self) -> np.ndarray:
        """uint8 (H, W), the label under each pixel's centre."""
        half = self.factor // 2
        return np.asarray(self.label)[half :: self.factor, half :: self.factor].copy()
