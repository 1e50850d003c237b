"""Where the person stands: backgrounds, what hides a part of the person, and the light over all of it."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from caffe_port.par.drawing.canvas import Canvas, Colour, tone


def _colour(rng: np.random.Generator, low: int, high: int, spread: float = 22) -> Colour:
    r, g, b = np.clip(rng.uniform(low, high) + rng.normal(0, spread, 3), 0, 255).astype(int).tolist()
    return r, g, b


def draw_background(height: int, width: int, ground: float, rng: np.random.Generator) -> np.ndarray:
    """uint8 (height, width, 3): one of five kinds of place, out of focus; `ground` is the row where feet stand."""
    h, w = 128, max(16, round(128 * width / height))
    image = Image.new("RGB", (w, h))
    pen = ImageDraw.Draw(image)
    horizon = int(h * np.clip(ground / height - rng.uniform(0.10, 0.34), 0.35, 0.9))
    kind = (_street, _park, _hall, _clutter, _shop)[int(rng.integers(5))]
    kind(pen, w, h, horizon, rng)
    for _ in range(int(rng.integers(0, 4))):
        _passer_by(pen, w, h, horizon, rng)
    image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 1.6))))
    texture = Image.fromarray((rng.random((h // 2, w // 2)) * 255).astype(np.uint8)).resize((w, h))
    pixels = np.asarray(image, np.float32) + (np.asarray(texture, np.float32)[..., None] - 127) * rng.uniform(0, 0.10)
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def _fill(pen: ImageDraw.ImageDraw, w: int, y0: int, y1: int, top: Colour, bottom: Colour) -> None:
    """A vertical gradient, in bands of two rows."""
    for y in range(y0, y1, 2):
        t = (y - y0) / max(1, y1 - y0 - 1)
        pen.rectangle([0, y, w, y + 1], fill=tuple(int(a + (b - a) * t) for a, b in zip(top, bottom, strict=True)))


def _floor(pen: ImageDraw.ImageDraw, w: int, h: int, y: int, rng: np.random.Generator) -> None:
    """Paving that runs together towards the horizon."""
    base = _colour(rng, 80, 190, 10)
    _fill(pen, w, y, h, tone(base, 0.92), tone(base, 1.06))
    joint, centre = tone(base, 0.82), w * rng.uniform(0.2, 0.8)
    if rng.random() < 0.75:
        for x in np.linspace(-3 * w, 4 * w, int(rng.integers(10, 24))):
            pen.line([centre + (x - centre) * 0.3, y, x, h], fill=joint)
        step = 3.0
        row = float(y)
        while row < h:
            pen.line([0, row, w, row], fill=joint)
            row += step
            step *= 1.35
    if rng.random() < 0.4:
        pen.rectangle([0, y, w, y + 2], fill=tone(base, 1.3))


def _street(pen: ImageDraw.ImageDraw, w: int, h: int, y: int, rng: np.random.Generator) -> None:
    wall = _colour(rng, 70, 205)
    _fill(pen, w, 0, y, tone(wall, 1.1), tone(wall, 0.9))
    if rng.random() < 0.5:
        for row in range(0, y, 5):
            pen.line([0, row, w, row], fill=tone(wall, 0.85))
            for x in range((row // 5 % 2) * 5, w, 10):
                pen.line([x, row, x, row + 5], fill=tone(wall, 0.85))
    wide, tall = int(rng.integers(9, 18)), int(rng.integers(14, 26))
    glass = _colour(rng, 40, 130, 14)
    for x in range(int(rng.integers(-8, 6)), w, wide + int(rng.integers(6, 14))):
        for top in range(int(rng.integers(2, 10)), y - tall - 6, tall + 9):
            pen.rectangle([x, top, x + wide, top + tall], fill=tone(glass, 1.15), outline=tone(wall, 0.6))
            pen.line([x, top + tall, x + wide, top], fill=tone(glass, 1.35))
    _floor(pen, w, h, y, rng)


def _park(pen: ImageDraw.ImageDraw, w: int, h: int, y: int, rng: np.random.Generator) -> None:
    _fill(pen, w, 0, y, (int(rng.integers(120, 190)), 190, 228), (222, 232, 232))
    for _ in range(int(rng.integers(3, 8))):
        x, r = rng.uniform(-6, w + 6), rng.uniform(9, 26)
        leaf = (int(rng.integers(40, 110)), int(rng.integers(90, 150)), int(rng.integers(30, 80)))
        top = y - r * rng.uniform(1.0, 2.6)
        pen.rectangle([x - 2, top, x + 2, y + 4], fill=(88, 66, 48))
        for _ in range(4):
            dx, dy = rng.normal(0, r * 0.4, 2)
            pen.ellipse([x + dx - r * 0.8, top + dy - r * 0.8, x + dx + r * 0.8, top + dy + r * 0.8],
                        fill=tone(leaf, rng.uniform(0.8, 1.2)))  # fmt: skip
    grass = (int(rng.integers(80, 130)), int(rng.integers(130, 170)), int(rng.integers(60, 96)))
    _fill(pen, w, y, h, grass, tone(grass, 0.84))
    if rng.random() < 0.6:
        x = rng.uniform(0.2, 0.8) * w
        pen.polygon([x - 3, y, x + 3, y, x + w * 0.6, h, x - w * 0.6, h], fill=_colour(rng, 150, 210, 8))


def _hall(pen: ImageDraw.ImageDraw, w: int, h: int, y: int, rng: np.random.Generator) -> None:
    wall = _colour(rng, 130, 225, 10)
    _fill(pen, w, 0, y, tone(wall, 0.8), tone(wall, 1.05))
    for x in range(int(rng.integers(0, 14)), w, int(rng.integers(14, 30))):
        pen.rectangle([x, 0, x + 2, y], fill=tone(wall, 0.75))
    for x in range(int(rng.integers(0, 10)), w, 24):
        pen.rectangle([x, 2, x + 12, 5], fill=(250, 248, 232))
    pen.rectangle([0, y - 3, w, y], fill=tone(wall, 0.6))
    _floor(pen, w, h, y, rng)


def _clutter(pen: ImageDraw.ImageDraw, w: int, h: int, y: int, rng: np.random.Generator) -> None:
    _fill(pen, w, 0, h, _colour(rng, 40, 220), _colour(rng, 40, 220))
    for _ in range(int(rng.integers(14, 34))):
        x, top = rng.uniform(-10, w), rng.uniform(-10, h)
        dx, dy = rng.uniform(4, 26), rng.uniform(4, 34)
        shape = pen.ellipse if rng.random() < 0.5 else pen.rectangle
        shape([x, top, x + dx, top + dy], fill=_colour(rng, 20, 235, 36))


def _shop(pen: ImageDraw.ImageDraw, w: int, h: int, y: int, rng: np.random.Generator) -> None:
    wall = _colour(rng, 60, 170)
    _fill(pen, w, 0, y, wall, tone(wall, 0.9))
    pen.rectangle([0, 0, w, int(rng.integers(8, 18))], fill=_colour(rng, 50, 220, 50))
    lit = _colour(rng, 190, 240, 14)
    x = int(rng.integers(-20, 4))
    while x < w:
        wide = int(rng.integers(20, 38))
        pen.rectangle([x + 2, 22, x + wide - 2, y - 8], fill=lit, outline=tone(wall, 0.5))
        for _ in range(6):
            px, py = x + 4 + rng.uniform(0, wide - 8), rng.uniform(30, max(31, y - 24))
            pen.rectangle([px, py, px + rng.uniform(2, 8), py + rng.uniform(4, 14)], fill=_colour(rng, 30, 220, 45))
        x += wide
    for x in range(0, w, 6):
        awning = (240, 236, 230) if x // 6 % 2 else _colour(rng, 60, 200)
        pen.polygon([x, 18, x + 6, 18, x + 5, 26, x + 1, 26], fill=awning)
    _floor(pen, w, h, y, rng)


def _passer_by(pen: ImageDraw.ImageDraw, w: int, h: int, y: int, rng: np.random.Generator) -> None:
    """Somebody far away: not part of any label."""
    tall = rng.uniform(14, 42)
    x, foot = rng.uniform(0, w), y + tall * rng.uniform(0.15, 0.4)
    top, coat, legs = foot - tall, _colour(rng, 30, 200, 30), _colour(rng, 25, 110, 12)
    unit = tall / 7
    pen.rectangle([x - unit * 0.8, top + unit * 3.6, x - unit * 0.1, foot], fill=legs)
    pen.rectangle([x + unit * 0.2, top + unit * 3.6, x + unit * 0.9, foot], fill=legs)
    pen.ellipse([x - unit * 1.1, top + unit, x + unit * 1.1, top + unit * 4.6], fill=coat)
    pen.ellipse([x - unit * 0.5, top, x + unit * 0.5, top + unit * 1.2], fill=(198, 156, 128))


def drop_shadow(background: np.ndarray, x: float, y: float, rx: float, ry: float, strength: float) -> np.ndarray:
    """Darken an ellipse with a soft edge, in place of the ground's lost light."""
    ys, xs = np.mgrid[: background.shape[0], : background.shape[1]].astype(np.float32)
    fall = np.exp(-(((xs - x) / rx) ** 2 + ((ys - y) / ry) ** 2))
    return (background * (1 - strength * fall[..., None])).astype(np.uint8)


def occlude(canvas: Canvas, x: float, head: float, foot: float, rng: np.random.Generator) -> None:
    """Something between the viewer and the person; what it hides is background. `x`, `head`, `foot` in pixels."""
    width, height = canvas.size
    tall = foot - head
    colour = _colour(rng, 40, 190, 30)
    kind = rng.random()
    if kind < 0.3:  # a pole
        at, thick = x + rng.normal(0, 0.12) * tall, tall * rng.uniform(0.025, 0.06)
        for grow, shift, shade in ((1.0, 0.0, 0.7), (0.5, -0.25, 1.05)):
            c, t = at + shift * thick, thick * grow / 2
            box = np.array([[c - t, 0], [c + t, 0], [c + t, height], [c - t, height]])
            canvas.polygon(box, tone(colour, shade), 0)
    elif kind < 0.6:  # a low wall, hedge or car in front of the feet
        top = foot - tall * rng.uniform(0.10, 0.36)
        box = np.array([[0, top], [width, top + rng.normal(0, 0.02) * tall], [width, height], [0, height]])
        canvas.polygon(box, tone(colour, 0.8), 0)
        canvas.line(box[:2], tall * 0.02, tone(colour, 1.25), 0)
        for edge in np.arange(0.1, 1.0, 0.22):
            gap = np.array([[edge * width, top + tall * 0.03], [edge * width, height]])
            canvas.line(gap, tall * 0.008, tone(colour, 0.6))
    elif kind < 0.85:  # somebody else's shoulder at the side
        side = 1 if rng.random() < 0.5 else -1
        at = x + side * tall * rng.uniform(0.15, 0.21)
        top = head + tall * rng.uniform(0.2, 0.4)
        canvas.limb((at, top), (at, height), tall * 0.075, tall * 0.09, colour, 0)
        canvas.disc((at, top - tall * 0.11), tall * 0.055, tall * 0.07, (96, 66, 50), 0)
    else:  # leaves from above or below
        base_y = rng.choice([head, foot])
        for _ in range(9):
            cx, cy = x + rng.normal(0, 0.16) * tall, base_y + rng.normal(0, 0.04) * tall
            r = tall * rng.uniform(0.02, 0.05)
            canvas.disc((cx, cy), r, r * 0.7, tone((60, 130, 60), rng.uniform(0.7, 1.2)), 0)


def light(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, colour cast, a gradient of light, blur and noise: the camera's and the day's part."""
    h, w = picture.shape[:2]
    if rng.random() < 0.3:
        radius = float(rng.uniform(0.3, 0.75)) * h / 128
        picture = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))
    gain = rng.normal(1.0, 0.13) * (1 + rng.normal(0, 0.05, 3))
    contrast, lift = rng.uniform(0.75, 1.12), rng.normal(0, 9)
    angle, slope = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.22)
    ys, xs = np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)[None]
    ramp = 1 + slope * (xs * math.cos(angle) + ys * math.sin(angle))
    values = ((picture.astype(np.float32) - 128) * contrast + 128 + lift) * (ramp[..., None] * gain.astype(np.float32))
    values += rng.standard_normal(picture.shape, np.float32) * rng.uniform(0.5, 7.0)
    return np.clip(values, 0, 255).astype(np.uint8)
