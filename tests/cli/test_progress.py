"""The progress bar: on terminals only, never mixed into a log line."""

from __future__ import annotations

import io

from caffe_port import log
from caffe_port.cli.progress import Bar, bar, steps


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_no_terminal_no_bar(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with bar(10, "train") as shown:
        assert shown is None
        log.info("here.cpp:1", "a line")
    assert stream.getvalue().endswith("here.cpp:1] a line\n") and "#" not in stream.getvalue()


def test_a_log_line_takes_the_bars_place(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with bar(10, "train") as shown:
        shown.update(10, "loss 0.5")
        log.info("here.cpp:1", "a line")
    text = stream.getvalue()
    assert text.startswith("\rtrain [########################] 10/10  100%") and "loss 0.5" in text
    assert "\r\x1b[KI" in text and text.endswith("a line\n")


def test_the_bar_counts_from_where_it_starts():
    stream = Terminal()
    Bar(stream, 40, "train", start=20).update(40)
    assert "40/40" in stream.getvalue() and "0:00 left" in stream.getvalue()


def test_redrawn_ten_times_a_second_at_most():
    stream = Terminal()
    shown = Bar(stream, 10**6, "train")
    for i in range(1000):
        shown.update(i)
    assert stream.getvalue().count("\r") < 50


def test_steps_without_a_terminal_are_a_line_each(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with steps() as step:
        for i in range(100):
            step("drawing", i, 100, "")
        step("training", 0, 5, "loss 1")
    assert stream.getvalue() == "drawing: 0/100\ntraining: 0/5 loss 1\n"


def test_steps_on_a_terminal_are_a_bar_each(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with steps() as step:
        step("drawing", 100, 100, "")
        step("training", 5, 5, "")
    assert [line.strip("\r").split(" [")[0] for line in stream.getvalue().split("\n") if line] == [
        "drawing",
        "training",
    ]
