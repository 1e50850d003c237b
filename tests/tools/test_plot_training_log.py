"""plot_training_log: what each of the eight charts shows, and that its lines are where the numbers are."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from caffe_port.cli.drawing.chart import COLORS, Series, chart, ticks
from caffe_port.cli.drawing.picture import Line, Text
from caffe_port.errors import DataError
from tests.tools.scripts import GOLDEN, load, run

LOG = GOLDEN / "cli" / "train.log"
CHARTS = [
    ("Test accuracy", "Iters", [(0, 0.1), (10, 0.65), (20, 0.7)]),
    ("Test accuracy", "Seconds", [(0.000252, 0.1), (0.00205, 0.65), (0.002827, 0.7)]),
    ("Test loss", "Iters", [(0, 1.51299), (10, 0.885372), (20, 0.758979)]),
    ("Test loss", "Seconds", [(0.000267, 1.51299), (0.002063, 0.885372), (0.002841, 0.758979)]),
    ("Train learning rate", "Iters", [(0, 0.05), (5, 0.05), (10, 0.04), (15, 0.04), (20, 0.032)]),
    ("Train learning rate", "Seconds", None),
    ("Train loss", "Iters", None),
    ("Train loss", "Seconds", None),
]


@pytest.mark.parametrize("number", range(8))
def test_charts(number: int, tmp_path: Path) -> None:
    y, x, points = CHARTS[number]
    series = load("plot_training_log").series_of(str(LOG), "train", y, x)
    assert len(series) == 1 and (points is None or series[0].points == points)
    assert run("plot_training_log", number, tmp_path / "chart.svg", LOG)[0] == 0
    root = ElementTree.parse(tmp_path / "chart.svg").getroot()
    shown = [element.text for element in root.iter() if element.tag.endswith("}text")]
    assert f"{y} vs. {x}" in shown and x in shown and y in shown


def test_png_of_two_logs(tmp_path: Path) -> None:
    """Each line has its color."""
    assert run("plot_training_log", 2, tmp_path / "chart.png", LOG, GOLDEN / "cli" / "resume.log")[0] == 0
    pixels = np.asarray(Image.open(tmp_path / "chart.png")).reshape(-1, 3)
    for color in COLORS[:2]:
        rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(pixels.astype(int) - rgb).sum(1) < 12).sum() > 500


def test_lines_are_where_the_numbers_are() -> None:
    """The four corners of the data, and a NaN that interrupts the line."""
    points = [(0.0, 0.0), (5.0, 10.0), (6.0, math.nan), (8.0, 10.0), (10.0, 5.0)]
    picture = chart("title", "x", "y", [Series("a", points)])
    first, second = [s for s in picture.shapes if isinstance(s, Line) and s.stroke == COLORS[0]][:2]
    (left, low), (middle, high) = first.points
    right, half = second.points[-1]
    assert math.isclose(middle, (left + right) / 2) and math.isclose(half, (low + high) / 2) and high < low
    labels = [s.text for s in picture.shapes if isinstance(s, Text)]
    assert {"title", "x", "y", "a", "0", "10"} <= set(labels)


TICKS = [
    ((0, 20, 9), [0, 5, 10, 15, 20]),
    ((0, 1, 9), [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ((3, 3, 9), [2.7, 2.8, 2.9, 3.0, 3.1, 3.2, 3.3]),
    ((0.00013, 0.00091, 5), [0.0002, 0.0004, 0.0006, 0.0008]),
]


@pytest.mark.parametrize("given, expected", TICKS)
def test_ticks(given: tuple[float, float, int], expected: list[float]) -> None:
    np.testing.assert_allclose(ticks(*given), expected)


BAD = [
    ((0, "chart.gif", LOG), "chart.gif: the picture's name must end in .png or .svg"),
    ((0, "chart.png", "none.log"), "none.log: No such file or directory"),
    ((0, "chart.png", "train_only.log"), "train_only.log: it tells no test accuracy; it tells: loss loss"),
    ((7, "none/chart.png", LOG), "No such file or directory"),
]


@pytest.mark.parametrize("argv, message", BAD)
def test_errors(
    argv: tuple[object, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    stamp = "I20261123 05:09:50.758400  7 solver.cpp:1]"
    Path("train_only.log").write_text(f"{stamp} Solving x\n{stamp} Iteration 0, loss = 1\n")
    assert run("plot_training_log", *argv)[0] == 1
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_nothing_but_nan_is_an_error() -> None:
    with pytest.raises(DataError, match="not one of the values"):
        chart("title", "x", "y", [Series("a", [(1.0, math.nan)])])
