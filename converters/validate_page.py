"""A validation as one self-contained HTML page: the verdicts, error by depth as a plot, and the table of all blobs."""

from __future__ import annotations

import math
from html import escape

from converters.validate import DIFFERS, KNOWN, EngineRun, Row, Validation

WIDTH, HEIGHT, LEFT, BOTTOM = 900, 300, 60, 40
LOW, HIGH = -9, 1  # decades of the plot
COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2")

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1f2937;background:#fff}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid #e5e7eb}
td.n{text-align:right;font-variant-numeric:tabular-nums}.scroll{overflow-x:auto}.same{color:#047857}.known{color:#b45309}
.differs,.failed{color:#b91c1c;font-weight:600}svg{width:100%;height:auto}h1{font-size:1.5rem}
"""


def html(result: Validation) -> str:
    state = "agree" if result.ok else "do not agree"
    inputs = ", ".join(f"{escape(k)} {v}" for k, v in result.inputs.items())
    return "\n".join(
        [
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
            "<meta name='viewport' content='width=device-width'>",
            f"<title>Parity of {escape(result.net)}</title><style>{STYLE}</style></head><body>",
            f"<h1>Parity of {escape(result.net)}: engines {state}</h1>",
            f"<p>Inputs {inputs}. Largest error of each blob relative to its own scale;",
            f"tolerance {result.tolerance:g}.</p>",
            _engines(result),
            "<h2>Error by depth</h2>",
            _plot(result),
            "<h2>Blobs</h2>",
            _table(result),
            "</body></html>",
        ]
    )


def _engines(result: Validation) -> str:
    rows = "".join(_engine(result, run) for run in result.engines)
    return (
        f"<div class='scroll'><table><tr><th>engine<th>version<th>values<th>seconds<th>result</tr>{rows}</table></div>"
    )


def _engine(result: Validation, run: EngineRun) -> str:
    first = result.first_diverging(run.name)
    if run.absent:
        verdict = f"not here: {escape(run.absent)}"
    elif run.failed and not run.required:
        verdict = f"cannot run it: {escape(run.failed)}"
    elif run.failed:
        verdict = f"<span class='failed'>failed: {escape(run.failed)}</span>"
    elif first:
        verdict = f"<span class='differs'>first differs at layer {escape(first.layer)} ({escape(first.type)})</span>"
    else:
        worst = max((row.difference.relative for row in result.of(run.name)), default=None)
        verdict = "reference" if worst is None else f"<span class='same'>agrees</span>, worst {worst:.2g}"
    name = f"<td>{escape(run.name)}<td>{escape(run.version)}"
    return f"<tr>{name}<td class='n'>{run.values}<td class='n'>{run.seconds:.2f}<td>{verdict}</tr>"


def _plot(result: Validation) -> str:
    engines = [run.name for run in result.engines if result.of(run.name)]
    deepest = max((row.depth for row in result.rows), default=1) or 1

    def x(row: Row) -> float:
        return LEFT + (WIDTH - LEFT - 20) * row.depth / deepest

    def y(relative: float) -> float:
        decade = HIGH if not math.isfinite(relative) else math.log10(max(relative, 10.0**LOW))
        return 10 + (HEIGHT - BOTTOM - 10) * (HIGH - min(decade, HIGH)) / (HIGH - LOW)

    def line(at: float, style: str) -> str:
        return f"<line x1='{LEFT}' x2='{WIDTH - 20}' y1='{at:.1f}' y2='{at:.1f}' {style}/>"

    parts = [f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' font-size='12' role='img' aria-label='relative error by depth'>"]
    for decade in range(LOW, HIGH + 1, 2):
        at = y(10.0**decade)
        parts.append(line(at, "stroke='#e5e7eb'"))
        parts.append(f"<text x='{LEFT - 8}' y='{at + 4:.1f}' text-anchor='end'>1e{decade}</text>")
    parts.append(line(y(result.tolerance), "stroke='#b91c1c' stroke-dasharray='6 4'"))
    parts.append(f"<text x='{WIDTH / 2}' y='{HEIGHT - 6}' text-anchor='middle'>layer number</text>")
    for number, name in enumerate(engines):
        fill = f"fill='{COLOURS[number % len(COLOURS)]}'"
        for row in result.of(name):
            title = escape(f"{name}: {row.value}, layer {row.layer}: {row.difference.relative:.2g}")
            place = f"cx='{x(row):.1f}' cy='{y(row.difference.relative):.1f}'"
            parts.append(f"<circle {place} r='2.5' {fill}><title>{title}</title></circle>")
        parts.append(f"<text x='{LEFT + 10 + 130 * number}' y='{HEIGHT - 22}' {fill}>&#9679; {escape(name)}</text>")
    return "".join(parts + ["</svg>"])


def _table(result: Validation) -> str:
    head = "<tr><th>blob<th>layer<th>type<th>engine<th>abs<th>rel<th>cosine<th>where<th>verdict</tr>"
    return f"<div class='scroll'><table>{head}{''.join(_row(row) for row in result.rows)}</table></div>"


def _row(row: Row) -> str:
    d = row.difference
    note = f" ({escape(row.note)})" if row.verdict in (KNOWN, DIFFERS) and row.note else ""
    cells = [("d " if row.gradient else "") + row.value, row.layer, row.type, row.engine]
    numbers = [f"{d.absolute:.2e}", f"{d.relative:.2e}", f"{d.cosine:.6f}"]
    return (
        "<tr>"
        + "".join(f"<td>{escape(c)}" for c in cells)
        + "".join(f"<td class='n'>{n}" for n in numbers)
        + f"<td>{escape(d.problem or str(d.index))}<td class='{row.verdict}'>{row.verdict}{note}</tr>"
    )
