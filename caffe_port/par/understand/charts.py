"""Charts of the understanding page, as SVG: curves over a share in percent, and square matrices with signs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from caffe_port.par.report_parts import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, text, ticks

RIGHT = 130


def curves(
    title: str, lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], across: str, diagonal: bool = False
) -> str:
    """Lines of points in percent, x from 0 to 100; `diagonal` draws y = x."""
    lines = [(name, [(x, y) for x, y in points if math.isfinite(y)]) for name, points in lines]
    lines = [line for line in lines if line[1]]
    if not lines:
        return ""
    ys = [y for _, points in lines for _, y in points]
    low, high = (0.0, 100.0) if diagonal else (math.floor(min(ys) / 10) * 10, math.ceil(max(ys) / 10) * 10)
    high = high if high > low else low + 10
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(value: float) -> float:
        return round(LEFT + wide * value / 100, 1)

    def y(value: float) -> float:
        return round(TOP + tall * (1 - (value - low) / (high - low)), 1)

    parts = []
    for v in ticks(low, high):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + wide}" y1="{y(v)}" y2="{y(v)}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(v) + 4}" text-anchor="end">{v:g}</text>')
    parts += [f'<text x="{x(v)}" y="{HEIGHT - 8}" text-anchor="middle">{v:g}</text>' for v in (0, 25, 50, 75, 100)]
    if diagonal:
        parts.append(f'<line class="grid" x1="{x(0)}" y1="{y(0)}" x2="{x(100)}" y2="{y(100)}" stroke-dasharray="4 4"/>')
    places = spread([y(points[-1][1]) for _, points in lines])
    for i, ((name, points), at) in enumerate(zip(lines, places, strict=True)):
        colour, dashed = i % 3 + 1, ' stroke-dasharray="5 3"' if i >= 3 else ""
        drawn = "M" + "L".join(f"{x(a)} {y(b)}" for a, b in points)
        parts.append(f'<path class="c{colour}"{dashed} d="{drawn}"/>')
        parts += [f'<circle class="f{colour}" cx="{x(a)}" cy="{y(b)}" r="2.4"/>' for a, b in points]
        parts.append(f'<text class="f{colour}" x="{LEFT + wide + 8}" y="{at + 4}">{text(name)}</text>')
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(title)}">{"".join(parts)}</svg>'
        f"<figcaption>{text(title)}. Across: {text(across)}.</figcaption></figure>"
    )


def spread(places: Sequence[float], least: float = 14) -> list[float]:
    """The places moved down until no two are closer than `least`."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    out = list(places)
    for a, b in zip(order, order[1:], strict=False):
        out[b] = max(out[b], out[a] + least)
    over = max(0.0, max(out, default=0) - (HEIGHT - BOTTOM))
    return [round(v - over, 1) for v in out]


def matrix(title: str, values: np.ndarray, names: Sequence[str], order: Sequence[int], caption: str) -> str:
    """A square matrix, red below and blue above 0, full at its 98th percentile of sizes, which the caption says; the
    diagonal is left out. Rows and columns in `order`."""
    n, cell = len(order), 10
    beside = values[~np.eye(len(values), dtype=bool)]
    beside = np.abs(beside[np.isfinite(beside)])
    most = float(np.percentile(beside, 98)) if len(beside) and beside.max() > 0 else 1.0
    left = top = 12 + round(4.7 * max((len(names[i]) for i in order), default=0))
    parts = []
    for r, i in enumerate(order):
        parts.append(f'<text x="{left - 5}" y="{top + cell * r + 8}" text-anchor="end">{text(names[i])}</text>')
        x = left + cell * r + 7.5
        parts.append(f'<text transform="translate({x} {top - 5}) rotate(-90)">{text(names[i])}</text>')
        for c, j in enumerate(order):
            v = float(values[i, j])
            if i == j or not math.isfinite(v):
                continue
            shade = min(abs(v) / (most or 1), 1)
            if shade < 0.04:
                continue
            hover = f"<title>{text(names[j])} → {text(names[i])}: {v:+.2f}</title>" if n <= 40 else ""
            parts.append(
                f'<rect class="{"plus" if v > 0 else "minus"}" opacity="{shade:.2f}" x="{left + cell * c}" '
                f'y="{top + cell * r}" width="{cell - 1}" height="{cell - 1}">{hover}</rect>'
            )
    wide, high = left + cell * n + 2, top + cell * n + 4
    parts.append(f'<rect class="frame" x="{left - 1}" y="{top - 1}" width="{cell * n + 1}" height="{cell * n + 1}"/>')
    return (
        f'<figure class="matrix"><svg viewBox="0 0 {wide} {high}" role="img" '
        f'aria-label="{text(title)}">{"".join(parts)}'
        f"</svg><figcaption><b>{text(title)}</b>. {text(caption)} Full colour: ±{most:.2g}.</figcaption></figure>"
    )


MATRIX_STYLE = """
.matrices{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1.6rem 2rem}
.matrix{margin:0;overflow-x:auto}.matrix svg{font-size:8px;min-width:26rem}
.matrix .plus{fill:var(--two)}.matrix .minus{fill:var(--bad)}
.matrix .frame{fill:none;stroke:var(--line)}
"""
