"""Line charts: axes with round numbers, one line a series, a legend."""

from __future__ import annotations

import math
from dataclasses import dataclass

from caffe_port.cli.drawing.picture import INK, QUIET, Line, Picture, Point, Polygon, Text, text_width
from caffe_port.errors import DataError

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a4fbf", "#8c6d31")  # told apart by all
GRID = "#e5e7eb"
WIDTH, HEIGHT = 900, 560
RIGHT, TOP, BOTTOM = 28, 56, 62
FEW = 60  # points up to which each is marked


@dataclass
class Series:
    label: str
    points: list[Point]


def chart(title: str, x_label: str, y_label: str, series: list[Series], legend: str = "upper right") -> Picture:
    """A picture of the series. Points that are no finite numbers interrupt their line. DataError: there are no others.

    `legend`: "upper right" or "lower right"; it moves to the other of these corners where fewer points lie behind it.
    """
    finite = [p for s in series for p in s.points if math.isfinite(p[0]) and math.isfinite(p[1])]
    if not finite:
        raise DataError(f"{title}: not one of the values is a finite number")
    x_ticks = ticks(min(x for x, _ in finite), max(x for x, _ in finite))
    y_ticks = ticks(min(y for _, y in finite), max(y for _, y in finite), 7, widen=True)
    left = 46 + max(text_width(_number(t, y_ticks), 13) for t in y_ticks)
    frame = (left, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)
    x_low, x_high = min(x for x, _ in finite), max(x for x, _ in finite)
    if x_low == x_high:
        x_low, x_high = x_ticks[0], x_ticks[-1]

    def place(point: Point) -> Point:
        return (
            frame[0] + (point[0] - x_low) / (x_high - x_low) * (frame[2] - frame[0]),
            frame[3] - (point[1] - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (frame[3] - frame[1]),
        )

    picture = Picture(WIDTH, HEIGHT, title)
    picture.add(Text((frame[0] + frame[2]) / 2, TOP / 2, title, 18))
    for tick in y_ticks:
        y = place((x_low, tick))[1]
        picture.add(
            Line([(frame[0], y), (frame[2], y)], GRID), Text(frame[0] - 8, y, _number(tick, y_ticks), 13, QUIET, "end")
        )
    for tick in x_ticks:
        if x_low <= tick <= x_high:
            x = place((tick, 0))[0]
            picture.add(
                Line([(x, frame[1]), (x, frame[3])], GRID), Text(x, frame[3] + 16, _number(tick, x_ticks), 13, QUIET)
            )
    picture.add(
        Line([(frame[0], frame[1]), (frame[0], frame[3]), (frame[2], frame[3])], QUIET, 1.2),
        Text((frame[0] + frame[2]) / 2, HEIGHT - 20, x_label, 14),
        Text(18, (frame[1] + frame[3]) / 2, y_label, 14, turned=True),
    )
    for i, one in enumerate(series):
        _draw(picture, [[place(p) for p in run] for run in _runs(one.points)], COLORS[i % len(COLORS)], i)
    _legend(picture, frame, series, legend, [place(p) for p in finite])
    return picture


def ticks(low: float, high: float, wanted: int = 9, widen: bool = False) -> list[float]:
    """Round numbers, at most about `wanted`, over low..high; `widen`: the first and last lie outside."""
    if low == high:
        spread = abs(low) * 0.1 or 1.0
        low, high, widen = low - spread, high + spread, True
    rough = (high - low) / max(wanted - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1, 2, 5, 10) if f * power >= rough * 0.999)
    first = math.floor(low / step + 1e-9) if widen else math.ceil(low / step - 1e-9)
    last = math.ceil(high / step - 1e-9) if widen else math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _number(value: float, among: list[float]) -> str:
    """The tick's number with as many digits as its neighbours need."""
    step = among[1] - among[0] if len(among) > 1 else abs(value) or 1.0
    largest = max(abs(among[0]), abs(among[-1]))
    if value == 0:
        return "0"
    if largest >= 1e6 or largest < 1e-3:
        return f"{value:.3g}"
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{value:.{digits}f}"
    return text if math.isclose(float(text), value, abs_tol=step * 1e-3) else f"{value:.{digits + 1}f}"


def _runs(points: list[Point]) -> list[list[Point]]:
    """The points in pieces without NaN or infinity."""
    runs: list[list[Point]] = [[]]
    for point in points:
        if math.isfinite(point[0]) and math.isfinite(point[1]):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _draw(picture: Picture, runs: list[list[Point]], color: str, number: int) -> None:
    marked = sum(map(len, runs)) <= FEW
    for run in runs:
        if len(run) > 1:
            picture.add(Line(run, color, 1.8))
        if marked or len(run) == 1:
            picture.add(*(_marker(p, color, number) for p in run))


def _marker(point: Point, color: str, number: int) -> Polygon:
    """A circle, square, triangle or diamond, so that lines differ without their colors too."""
    x, y = point
    corners = (16, 4, 3, 4)[number % 4]
    turn = (0.0, math.pi / 4, -math.pi / 2, 0.0)[number % 4]
    size = (3.6, 4.6, 4.8, 4.6)[number % 4]
    angles = [turn + 2 * math.pi * i / corners for i in range(corners)]
    return Polygon([(x + size * math.cos(a), y + size * math.sin(a)) for a in angles], color, "#ffffff", 0.8)


def _legend(
    picture: Picture, frame: tuple[float, float, float, float], series: list[Series], corner: str, points: list[Point]
) -> None:
    width = 54 + max(text_width(s.label, 13) for s in series)
    height = 12 + 20 * len(series)
    tops = {"upper right": frame[1] + 10, "lower right": frame[3] - 10 - height}
    x = frame[2] - 10 - width

    def behind(name: str) -> int:
        return sum(x - 6 <= px and tops[name] - 6 <= py <= tops[name] + height + 6 for px, py in points)

    other = next(name for name in tops if name != corner)
    top = tops[other if behind(other) < behind(corner) else corner]
    box = [(x, top), (x + width, top), (x + width, top + height), (x, top + height)]
    picture.add(Polygon(box, "#ffffff", GRID))
    for i, one in enumerate(series):
        y = top + 16 + 20 * i
        color = COLORS[i % len(COLORS)]
        picture.add(
            Line([(x + 10, y), (x + 34, y)], color, 1.8),
            _marker((x + 22, y), color, i),
            Text(x + 42, y, one.label, 13, INK, "start"),
        )
