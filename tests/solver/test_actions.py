"""Signals as requests: what Ctrl-C and SIGHUP ask for, once each, and what stays as it was afterwards."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from caffe_port.solver.actions import Action, never, signals


def send(number):
    os.kill(os.getpid(), number)


EFFECTS = [
    (signal.SIGINT, {}, Action.STOP),
    (signal.SIGHUP, {}, Action.SNAPSHOT),
    (signal.SIGINT, {"sigint": Action.SNAPSHOT}, Action.SNAPSHOT),
    (signal.SIGINT, {"sigint": Action.NONE}, Action.NONE),
    (signal.SIGHUP, {"sighup": Action.STOP}, Action.STOP),
]


@pytest.mark.parametrize("number, effects, action", EFFECTS)
def test_a_signal_is_a_request_once(number, effects, action):
    before = signal.getsignal(number)
    with signals(**effects) as poll:
        assert poll() is Action.NONE
        send(number)
        assert poll() is action and poll() is Action.NONE
    assert signal.getsignal(number) is before


def test_both_signals_are_answered_one_after_the_other():
    with signals() as poll:
        send(signal.SIGHUP)
        send(signal.SIGINT)
        assert {poll(), poll()} == {Action.SNAPSHOT, Action.STOP} and poll() is Action.NONE


def test_a_second_ctrl_c_that_nobody_answers_interrupts():
    with signals(), pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)
        send(signal.SIGINT)


@pytest.mark.parametrize("effect", [Action.SNAPSHOT, Action.NONE])
def test_a_second_ctrl_c_interrupts_only_what_the_first_was_to_stop(effect):
    with signals(sigint=effect) as poll:
        send(signal.SIGINT)
        send(signal.SIGINT)
        assert poll() is effect and poll() is Action.NONE


def test_other_threads_get_no_requests():
    found = []

    def work():
        with signals() as poll:
            found.append(poll)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [never] and never() is Action.NONE
