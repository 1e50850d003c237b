"""Pieces of HTML and SVG that the report is made of. Everything that comes from data passes through `text`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from caffe_port.par.training_log import Points

WIDTH, HEIGHT = 520, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 70, 12, 28


def text(value: Any) -> str:
    return escape(str(value))


def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f}"


def points(value: float | None, digits: int = 1) -> str:
    """A difference in percentage points with its sign, coloured by it."""
    if value is None or not math.isfinite(value):
        return "–"
    shown = f"{100 * value:+.{digits}f}".replace("-", "−")
    kind = "" if abs(value) < 0.5 * 10**-digits / 100 else ' class="up"' if value > 0 else ' class="down"'
    return f"<span{kind}>{shown}</span>"


def table(
    head: Sequence[tuple[str, str]], rows: Iterable[tuple[str, Sequence[str]]], caption: str = "", kind: str = ""
) -> str:
    """`head`: (label, class of the column); `rows`: (class of the row, cells as HTML), the first cell its header."""
    top = "".join(f'<th scope="col"{_class(c)}>{text(label)}</th>' for label, c in head)
    body = []
    for row_class, cells in rows:
        first, *rest = cells
        line = f'<th scope="row"{_class(head[0][1])}>{first}</th>'
        for (_, column), cell in zip(head[1:], rest, strict=True):
            line += f"<td{_class(column)}>{cell}</td>"
        body.append(f"<tr{_class(row_class)}>{line}</tr>")
    under = f'<p class="note">{caption}</p>' if caption else ""
    inside = f"<thead><tr>{top}</tr></thead><tbody>{''.join(body)}</tbody>"
    return f'<div class="scroll"><table{_class(kind)}>{inside}</table></div>{under}'


def breakable(name: str) -> str:
    """An attribute's name as HTML that a narrow column may break before its capitals."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "<wbr>", text(name))


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    inside = "".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in pairs if v)
    return f'<dl class="facts">{inside}</dl>'


def dumbbell(one: float | None, two: float | None, low: float) -> str:
    """Stage I's and stage II's mean accuracy of one attribute on an axis from `low` to 1, with chance at 0.5."""

    def at(value: float) -> float:
        return round(100 * min(max((value - low) / (1 - low), 0), 1), 1)

    marks = [f'<i class="chance" style="left:{at(0.5)}%"></i>']
    here = [v for v in (one, two) if v is not None and math.isfinite(v)]
    if len(here) == 2:
        left, right = sorted(at(v) for v in here)
        marks.append(f'<i class="span" style="left:{left}%;width:{right - left:.1f}%"></i>')
    for value, kind in ((one, "one"), (two, "two")):
        if value is not None and math.isfinite(value):
            marks.append(f'<i class="{kind}" style="left:{at(value)}%"></i>')
    return f'<div class="db" aria-hidden="true">{"".join(marks)}</div>'


# -- curves ----------------------------------------------------------------------------------------------------------


def smooth(values: Points, window: int) -> Points:
    """A moving average over `window` neighbours, narrower at the ends."""
    half, numbers = window // 2, [v for _, v in values]
    found = []
    for i, (iteration, _) in enumerate(values):
        reach = min(half, i, len(numbers) - 1 - i)
        part = numbers[i - reach : i + reach + 1]
        found.append((iteration, sum(part) / len(part)))
    return found


def thin(values: Points, most: int = 400) -> Points:
    """Every n-th point, so that a long training does not make a heavy page."""
    step = -(-len(values) // most)
    return values[::step] + ([values[-1]] if values and (len(values) - 1) % step else [])


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers between `low` and `high`."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw)
    first = math.ceil(low / step - 1e-9)
    return [step * i for i in range(first, math.floor(high / step + 1e-9) + 1)]


def line_chart(title: str, lines: Sequence[tuple[str, Points, Points]]) -> str:
    """Curves over iterations: (name, training points, test points) each; raw values faint, their moving average strong,
    test values as dots. Values that are not finite are left out."""
    clean = [(name, _finite(train), _finite(test)) for name, train, test in lines]
    clean = [line for line in clean if line[1] or line[2]]
    window = max([3, *(len(train) // 15 for _, train, _ in clean)])
    curves = [(name, thin(train), thin(smooth(train, window)), test) for name, train, test in clean]
    shown = [v for _, _, line, test in curves for _, v in (*line, *test)]
    if not shown:
        return ""
    low, high = min(0.0, min(shown)), max(shown) * 1.05 or 1.0
    last = max(i for _, raw, _, test in curves for i, _ in (*raw, *test)) or 1
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(iteration: float) -> float:
        return round(LEFT + wide * iteration / last, 1)

    def y(value: float) -> float:
        return round(TOP + tall * (1 - (min(value, high) - low) / (high - low)), 1)

    parts = []
    for value in ticks(low, high):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + wide}" y1="{y(value)}" y2="{y(value)}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4}" text-anchor="end">{value:g}</text>')
    for value in ticks(0, last):
        parts.append(f'<text x="{x(value)}" y="{HEIGHT - 8}" text-anchor="middle">{_short(value)}</text>')
    ends = []
    for i, (name, raw, line, test) in enumerate(curves):
        colour = i % 3 + 1
        if raw:
            parts.append(f'<path class="raw c{colour}" d="{_path(raw, x, y)}"/>')
            parts.append(f'<path class="c{colour}" d="{_path(line, x, y)}"/>')
        parts += [f'<circle class="f{colour}" cx="{x(a)}" cy="{y(b)}" r="3.2"/>' for a, b in test]
        ends.append([y((line or test)[-1][1]), name, colour])
    parts += _end_labels(ends, LEFT + wide + 6)
    what = f"{title}: " + ", ".join(f"{name} ends at {(line or test)[-1][1]:.4g}" for name, _, line, test in curves)
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(what)}">{"".join(parts)}</svg>'
        f"<figcaption>{text(title)}</figcaption></figure>"
    )


def _finite(values: Points) -> Points:
    return [(i, v) for i, v in values if math.isfinite(v)]


def _path(values: Points, x: Any, y: Any) -> str:
    return "M" + "L".join(f"{x(i)} {y(v)}" for i, v in values)


def _short(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 10000 else f"{value:g}"


def _end_labels(ends: list[list[Any]], left: float) -> list[str]:
    """Names at the curves' ends, moved apart where they would overlap."""
    ends.sort(key=lambda e: e[0])
    for before, after in zip(ends, ends[1:], strict=False):
        after[0] = max(after[0], before[0] + 14)
    over = (ends[-1][0] - (HEIGHT - BOTTOM)) if ends else 0
    return [
        f'<text class="f{colour}" x="{left}" y="{at - max(over, 0) + 4:.1f}">{text(name)}</text>'
        for at, name, colour in ends
    ]
