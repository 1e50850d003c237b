"""Log lines in glog's shape."""

from __future__ import annotations

import io
import re

import pytest

from caffe_port import log


@pytest.mark.parametrize(
    ("flag", "stamp"), [(None, r"I\d{4}"), ("0", r"I\d{4}"), ("1", r"I20\d{6}"), ("true", r"I20\d{6}")]
)
def test_the_year_is_there_if_glogs_own_flag_asks_for_it(flag, stamp, monkeypatch):
    monkeypatch.delenv("GLOG_log_year_in_prefix", raising=False)
    if flag is not None:
        monkeypatch.setenv("GLOG_log_year_in_prefix", flag)
    said = log.line("I", "solver.cpp:239", "Iteration 0")
    assert re.fullmatch(stamp + r" \d\d:\d\d:\d\d\.\d{6} +\d+ solver\.cpp:239\] Iteration 0", said)


def test_a_record_is_whole_where_the_screen_is_to_be_quiet(monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    for record, wanted in [(False, ["E"]), (True, ["I", "E"])]:
        said = io.StringIO()
        log.redirect(said, record=record)
        try:
            log.info("solver.cpp:239", "Iteration 0")
            log.error("net.cpp:721", "no")
        finally:
            log.redirect(None)
        assert [line[0] for line in said.getvalue().splitlines()] == wanted
