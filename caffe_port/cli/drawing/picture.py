"""A picture as a list of shapes, and as SVG.

Units are pixels, y points down. Text is measured with Pillow's built-in font; SVG viewers use their own, so boxes leave
some room around it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from html import escape
from typing import Any

Point = tuple[float, float]
INK, QUIET = "#222222", "#6b7280"
FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"


@dataclass
class Polygon:
    points: list[Point]
    fill: str
    stroke: str = INK
    width: float = 1.0
    title: str = ""


@dataclass
class Line:
    """Through `points`; `curved`: a start and then three points a cubic Bezier piece. `arrow`: a head at its end."""

    points: list[Point]
    stroke: str = INK
    width: float = 1.0
    curved: bool = False
    arrow: bool = False


@dataclass
class Text:
    """One line; `anchor` start, middle or end of it is at `x`, its middle in height at `y`; `turned`: read upwards."""

    x: float
    y: float
    text: str
    size: float = 12.0
    color: str = INK
    anchor: str = "middle"
    turned: bool = False


Shape = Polygon | Line | Text


@dataclass
class Picture:
    width: float
    height: float
    title: str = ""
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        self.shapes += shapes


@functools.cache
def font(size: float) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


@functools.cache
def text_width(text: str, size: float) -> float:
    return font(100).getlength(text) * size / 100


def arrow_head(line: Line) -> Polygon:
    """The head at the end of the line, pointing as its last piece does."""
    (x, y), before = line.points[-1], line.points[-2]
    dx, dy = x - before[0], y - before[1]
    length = max((dx * dx + dy * dy) ** 0.5, 1e-6)
    dx, dy = dx / length, dy / length
    long, wide = 4 + 3 * line.width, 1.6 + 1.6 * line.width
    foot = (x - long * dx, y - long * dy)
    return Polygon(
        [(x, y), (foot[0] - wide * dy, foot[1] + wide * dx), (foot[0] + wide * dy, foot[1] - wide * dx)],
        line.stroke, line.stroke, 0.5,
    )  # fmt: skip


def svg(picture: Picture) -> str:
    """The picture as an SVG file's text."""
    w, h = f"{picture.width:.0f}", f"{picture.height:.0f}"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" font-family="{FONT}">',
        f"<title>{escape(picture.title)}</title>",
        f'<rect width="{w}" height="{h}" fill="#ffffff"/>',
    ]
    for shape in picture.shapes:
        if isinstance(shape, Polygon):
            out.append(_svg_polygon(shape))
        elif isinstance(shape, Line):
            out.append(_svg_line(shape))
            if shape.arrow:
                out.append(_svg_polygon(arrow_head(shape)))
        else:
            turn = f' transform="rotate(-90 {shape.x:.1f} {shape.y:.1f})"' if shape.turned else ""
            out.append(
                f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size:g}" fill="{shape.color}" '
                f'text-anchor="{shape.anchor}" dominant-baseline="central"{turn}>{escape(shape.text)}</text>'
            )
    return "\n".join([*out, "</svg>", ""])


def _svg_polygon(shape: Polygon) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
    title = f"<title>{escape(shape.title)}</title>" if shape.title else ""
    return (
        f'<polygon points="{points}" fill="{shape.fill}" stroke="{shape.stroke}" stroke-width="{shape.width:g}" '
        f'stroke-linejoin="round">{title}</polygon>'
    )


def _svg_line(shape: Line) -> str:
    start, *rest = [f"{x:.1f} {y:.1f}" for x, y in shape.points]
    step = 3 if shape.curved else 1
    path = " ".join("CL"[step == 1] + ", ".join(rest[i : i + step]) for i in range(0, len(rest), step))
    return f'<path d="M{start} {path}" fill="none" stroke="{shape.stroke}" stroke-width="{shape.width:g}"/>'
