"""A picture as a PNG, by Pillow.

Pillow draws without smoothing, so every strip of the picture is drawn larger and made smaller again; strips bound the
memory for a net that is a hundred layers long.
"""

from __future__ import annotations

import io
from typing import Any

from caffe_port.cli.drawing.picture import Line, Picture, Point, Polygon, Shape, Text, arrow_head, font, text_width
from caffe_port.errors import CaffeError

FINER = 3  # how much larger it is drawn
STRIP = 256  # rows of the result drawn at a time
MOST = 120e6  # pixels
ANCHORS = {"start": "lm", "middle": "mm", "end": "rm"}


def png(picture: Picture, scale: float = 2.0) -> bytes:
    """The bytes of a PNG file, `scale` pixels a unit; less for a picture that would be too large for viewers."""
    from PIL import Image

    scale = min(scale, (MOST / (picture.width * picture.height)) ** 0.5, 60000 / max(picture.width, picture.height))
    if scale < 0.2:
        size = f"{picture.width:.0f} x {picture.height:.0f}"
        raise CaffeError(f"the picture has {size} units, too many for a PNG: write SVG")
    width, height = round(picture.width * scale), round(picture.height * scale)
    out = Image.new("RGB", (width, height), "#ffffff")
    placed = [(_extent(shape), shape) for shape in picture.shapes]
    for top in range(0, height, STRIP):
        rows = min(STRIP, height - top)
        inside = [s for (low, high), s in placed if high * scale >= top - 4 and low * scale <= top + rows + 4]
        if not inside:
            continue
        strip = Image.new("RGB", (width * FINER, rows * FINER), "#ffffff")
        pen = _Pen(strip, scale * FINER, top * FINER)
        for shape in inside:
            pen.draw(shape)
        out.paste(strip.resize((width, rows), Image.Resampling.BOX), (0, top))
    file = io.BytesIO()
    out.save(file, "PNG", optimize=width * height < 4e6, dpi=(72 * scale, 72 * scale))
    return file.getvalue()


def _extent(shape: Shape) -> tuple[float, float]:
    """The lowest and the highest y that it may touch."""
    if isinstance(shape, Text):
        reach = text_width(shape.text, shape.size) if shape.turned else shape.size
        return shape.y - reach, shape.y + reach
    ys = [y for _, y in shape.points]
    return min(ys) - 12, max(ys) + 12


class _Pen:
    """Draws shapes onto a strip that begins at row `top`, `scale` pixels a unit."""

    def __init__(self, strip: Any, scale: float, top: int) -> None:
        from PIL import ImageDraw

        self.strip, self.scale, self.top = strip, scale, top
        self.pen = ImageDraw.Draw(strip)

    def place(self, point: Point) -> Point:
        return point[0] * self.scale, point[1] * self.scale - self.top

    def draw(self, shape: Shape) -> None:
        if isinstance(shape, Polygon):
            points = [self.place(p) for p in shape.points]
            self.pen.polygon(points, fill=shape.fill)
            self.line([*points, points[0], points[1]], shape.stroke, shape.width)
        elif isinstance(shape, Line):
            points = [self.place(p) for p in (_flat(shape.points) if shape.curved else shape.points)]
            self.line(points, shape.stroke, shape.width)
            if shape.arrow:
                self.draw(arrow_head(shape))
        else:
            self.text(shape)

    def line(self, points: list[Point], stroke: str, width: float) -> None:
        if width > 0:
            self.pen.line(points, fill=stroke, width=max(1, round(width * self.scale)), joint="curve")

    def text(self, shape: Text) -> None:
        letters = font(shape.size * self.scale)
        at = self.place((shape.x, shape.y))
        if not shape.turned:
            self.pen.text(at, shape.text, fill=shape.color, font=letters, anchor=ANCHORS[shape.anchor])
            return
        from PIL import Image, ImageDraw

        size = round(letters.getlength(shape.text)) + 4, round(2 * shape.size * self.scale)
        mask = Image.new("L", size, 0)
        ImageDraw.Draw(mask).text((size[0] / 2, size[1] / 2), shape.text, fill=255, font=letters, anchor="mm")
        mask = mask.rotate(90, expand=True)
        self.strip.paste(shape.color, (round(at[0] - mask.width / 2), round(at[1] - mask.height / 2)), mask)


def _flat(points: list[Point], pieces: int = 16) -> list[Point]:
    """Cubic Bezier pieces as many short straight ones."""
    out = [points[0]]
    for i in range(0, len(points) - 1, 3):
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = points[i : i + 4]
        if x0 == x1 == x2 == x3 or y0 == y1 == y2 == y3:
            out.append((x3, y3))
            continue
        for n in range(1, pieces + 1):
            t, u = n / pieces, 1 - n / pieces
            a, b, c, d = u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t
            out.append((a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3))
    return out
