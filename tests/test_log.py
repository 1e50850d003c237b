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


def test_the_logs_file_does_without_a_users_name_and_without_links(tmp_path, monkeypatch, capsys):
    def none(*_):
        raise KeyError("uid not found")

    def taken(*_):
        raise FileExistsError("another process made it now")

    monkeypatch.setattr("getpass.getuser", none)
    monkeypatch.setattr("pathlib.Path.symlink_to", taken)
    monkeypatch.setenv("RANK", "0")
    with log.configured("caffe-port", str(tmp_path)):
        log.info("solver.cpp:239", "Iteration 0")
    (file,) = tmp_path.iterdir()
    assert ".invalid-user.log.INFO." in file.name and file.read_text().endswith("solver.cpp:239] Iteration 0\n")


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
