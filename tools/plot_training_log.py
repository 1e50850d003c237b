"""Plot one curve of one or more training logs.

    python tools/plot_training_log.py CHART_TYPE[0-7] SAVE.png FIRST.log [MORE.log ...]

A name that ends in .svg gives an SVG. Supported chart types:
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from caffe_port.atomic import atomic_write
from caffe_port.cli.drawing.chart import Series, chart
from caffe_port.cli.drawing.picture import svg
from caffe_port.cli.drawing.png import png
from caffe_port.cli.tool import Tool
from caffe_port.cli.training_log import Said, read
from caffe_port.errors import DataError

FIELDS = ("Test accuracy", "Test loss", "Train learning rate", "Train loss")
CHARTS = [(y, x) for y in FIELDS for x in ("Iters", "Seconds")]
LISTED = "\n".join(f"    {i}: {y} vs. {x}" for i, (y, x) in enumerate(CHARTS))

tool = Tool("plot_training_log", f"{__doc__}{LISTED}")
tool.add("chart", metavar="CHART_TYPE", type=int, choices=range(len(CHARTS)), help="a number of the list above")
tool.add("picture", metavar="SAVE.png", help="the picture to write (.png or .svg)")
tool.add("logs", metavar="LOG", nargs="+", help="log files of `caffe train`")


def belongs(said: Said, field: str) -> bool:
    """Losses of a test net are the outputs with a loss weight, its accuracies the others."""
    if field.startswith("Test"):
        return said.what == "Test" and said.is_loss == (field == "Test loss")
    return said.what == ("loss" if field == "Train loss" else "rate")


def series_of(path: str, name: str, y: str, x: str) -> list[Series]:
    """A series for each output that belongs to the chart. DataError when there is none."""
    found: dict[tuple[int, str], Series] = {}
    outputs = set()
    for said in read(path):
        outputs.add(f"{said.what} {said.name}")
        if belongs(said, y):
            label = name + (f": {said.name}" if y.startswith("Test") else "")
            one = found.setdefault((said.number, said.name), Series(label, []))
            one.points.append((float(said.iteration) if x == "Iters" else said.seconds, said.value))
    if not found:
        raise DataError(f"{path}: it tells no {y.lower()}; it tells: {', '.join(sorted(outputs)) or 'nothing'}")
    return list(found.values())


def main(args: argparse.Namespace) -> None:
    kind = Path(args.picture).suffix
    if kind not in (".png", ".svg"):
        raise DataError(f"{args.picture}: the picture's name must end in .png or .svg")
    y, x = CHARTS[args.chart]
    names = [Path(path).stem for path in args.logs]
    if len(set(names)) < len(names):
        names = [path.removesuffix(".log") for path in args.logs]
    series = [one for path, name in zip(args.logs, names, strict=True) for one in series_of(path, name, y, x)]
    corner = "lower right" if y == "Test accuracy" else "upper right"
    picture = chart(f"{y} vs. {x}", x, y, series, corner)
    with atomic_write(args.picture) as file:
        file.write(png(picture) if kind == ".png" else svg(picture).encode())
    print(f"Wrote {args.picture}")


if __name__ == "__main__":
    sys.exit(tool.run(main))
