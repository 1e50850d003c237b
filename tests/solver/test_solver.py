"""The loop: what happens in which order, the nets it builds, its displays, requests from outside, and its refusals."""

from __future__ import annotations

import re

import pytest
import torch

from caffe_port.errors import CaffeError, SolverError
from caffe_port.solver import Solver
from caffe_port.solver.actions import Action
from tests.solver import valley


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make(tmp_path, more="", **how):
    solver = how.pop("solver", valley.SOLVER)
    net = how.pop("net", valley.NET)
    return Solver(valley.write(tmp_path, more, solver, net), log_nets=False, **how)


def said(capsys):
    """Log lines as (place, message)."""
    return [
        tuple(line.split("] ", 1))
        for line in re.sub(r"(?m)^[IWE]\S+ \S+ +\d+ ", "", capsys.readouterr().err).splitlines()
    ]


def blobs(solver):
    return [entry.tensor.detach().clone() for entry in solver.net.learnable]


def same(ours, theirs):
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_the_lines_of_a_run_in_caffes_order(tmp_path, capsys):
    make(tmp_path, "display: 2 test_iter: 2 test_interval: 4 snapshot: 4 test_compute_loss: true").solve()
    assert [place for place, _ in said(capsys)] == [
        "solver.cpp:102", "solver.cpp:190", "solver.cpp:57", "solver.cpp:289", "solver.cpp:290",
        "solver.cpp:347", "solver.cpp:401", "solver.cpp:414",  # test at 0
        "solver.cpp:239", "solver.cpp:258", "sgd_solver.cpp:112",  # display at 0
        "solver.cpp:239", "solver.cpp:258", "sgd_solver.cpp:112",  # at 2
        "solver.cpp:464", "sgd_solver.cpp:284",  # snapshot after the fourth update
        "solver.cpp:347", "solver.cpp:401", "solver.cpp:414",
        "solver.cpp:239", "solver.cpp:258", "sgd_solver.cpp:112",
        "solver.cpp:464", "sgd_solver.cpp:284",  # after training, because 6 is no multiple of 4
        "solver.cpp:327", "solver.cpp:332",
    ]  # fmt: skip


def test_islands_and_functional_driver_train_alike(tmp_path):
    a, b = (
        make(tmp_path, "momentum: 0.9 weight_decay: 0.1"),
        make(tmp_path, "momentum: 0.9 weight_decay: 0.1", islands=True),
    )
    a.step(5)
    b.step(5)
    for ours, theirs in zip(blobs(a), blobs(b), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("islands", [False, True])
def test_iter_size_of_equal_passes_changes_nothing_but_for_parameter_layers(tmp_path, islands):
    """Their diff is that of the last pass, divided by iter_size all the same, as in Caffe."""
    a, b = make(tmp_path, islands=islands), make(tmp_path, "iter_size: 4", islands=islands)
    before = a.net.layer("w").w.detach().clone()
    a.step(1)
    b.step(1)
    torch.testing.assert_close(a.net.layer("off").bias, b.net.layer("off").bias, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close((a.net.layer("w").w - before) / 4, b.net.layer("w").w - before, rtol=1e-5, atol=1e-7)


def test_lr_mult_zero_stands_still_under_decay(tmp_path):
    solver = make(tmp_path, 'weight_decay: 0.5 type: "Adam" momentum: 0.9')
    with torch.no_grad():
        solver.net.layer("goal").w.fill_(1.5)
    solver.step(3)
    assert torch.equal(solver.net.layer("goal").w, torch.full((3, 4), 1.5))
    assert solver.history[2].abs().sum() > 0  # its decay is in the history, as in Caffe


def test_average_loss_is_the_mean_of_the_last(tmp_path, capsys):
    solver = make(tmp_path, "display: 1 average_loss: 3")
    solver.step(5)
    shown = [m for p, m in said(capsys) if p in ("solver.cpp:239", "solver.cpp:258")]
    means = [float(re.search(r"loss = (\S+)", m)[1]) for m in shown[::2]]
    losses = [float(re.search(r"loss = (\S+)", m)[1]) for m in shown[1::2]]
    expected = [sum(losses[max(0, i - 2) : i + 1]) / min(3, i + 1) for i in range(5)]
    assert means == pytest.approx(expected, rel=1e-5)


def test_reading_lr_gives_the_next_rate_and_moves_the_step(tmp_path, capsys):
    solver = make(tmp_path, solver=valley.SOLVER.replace('"fixed"', '"multistep" gamma: 0.5 stepvalue: 2'))
    solver.step(2)
    assert (solver.current_step, solver.lr, solver.current_step) == (0, pytest.approx(0.05), 1)
    assert ("sgd_solver.cpp:50", "MultiStep Status: Iteration 2, step = 1") in said(capsys)


def test_callbacks_stand_around_the_passes(tmp_path):
    solver, seen = make(tmp_path), []
    weight = solver.net.layer("w").w
    solver.add_callback(
        lambda: seen.append(weight.grad is None), lambda: seen.append(bool(weight.grad.abs().sum() > 0))
    )
    solver.step(2)
    assert seen == [True, True, True, True]


def test_a_callback_can_change_the_diffs(tmp_path):
    solver = make(tmp_path)
    before = blobs(solver)
    solver.add_callback(lambda: None, lambda: [entry.diff.zero_() for entry in solver.net.learnable])
    solver.step(2)
    assert same(before, blobs(solver))


def test_the_seed_decides_the_fillers(tmp_path):
    other = valley.SOLVER.replace("random_seed: 3", "random_seed: 4")
    first, again, another = make(tmp_path), make(tmp_path), make(tmp_path, solver=other)
    assert same(blobs(first), blobs(again)) and not same(blobs(first), blobs(another))


def test_the_test_net_has_the_train_nets_blobs(tmp_path, capsys):
    solver = make(tmp_path, "test_iter: 1 test_interval: 100")
    solver.step(4)
    scores = solver.test(0)
    assert scores.sums[0] == solver.net.run().loss.item()
    assert solver.test_nets[0].layer("w").w.data_ptr() == solver.net.layer("w").w.data_ptr()


def test_a_loss_that_is_not_finite_is_warned_about_once(tmp_path, capsys):
    solver = make(tmp_path, solver=valley.SOLVER.replace("base_lr: 0.1", "base_lr: 1e30"))
    solver.step(5)
    warnings = [m for p, m in said(capsys) if "not a finite number" in m]
    assert len(warnings) == 1 and re.match(r"Iteration [12]: the loss is (inf|nan)", warnings[0])


# what is asked at which call of poll, then: iterations done, files written
REQUESTS = [
    ({2: Action.STOP}, 2, {"run_iter_2"}),
    ({2: Action.SNAPSHOT}, 6, {"run_iter_2", "run_iter_6"}),
    ({}, 6, {"run_iter_6"}),
]


@pytest.mark.parametrize("asked, iterations, snapshots", REQUESTS)
def test_requests(tmp_path, asked, iterations, snapshots):
    calls = iter(range(1, 100))
    solver = make(tmp_path, poll=lambda: asked.get(next(calls), Action.NONE))
    solver.solve()
    assert solver.iter == iterations
    assert {p.stem for p in tmp_path.glob("run_iter_*")} == snapshots


def test_stopping_within_a_test_leaves_the_loop_before_the_next_update(tmp_path, capsys):
    solver = make(tmp_path, "test_iter: 3 test_interval: 2 test_initialization: false")
    solver.poll = lambda: Action.STOP if solver.iter == 2 and solver.test_nets else Action.NONE
    solver.poll = _stop_on_the_call(4)  # after updates 1 and 2, the second batch of the test at 2
    solver.solve()
    messages = [m for _, m in said(capsys)]
    assert solver.iter == 2 and "Test interrupted." in messages and "Optimization stopped early." in messages


def _stop_on_the_call(number):
    calls = iter(range(1, 100))
    return lambda: Action.STOP if next(calls) == number else Action.NONE


NET_IN_SOLVER = f"net_param {{ {valley.NET} }}"
REST = ' base_lr: 0.1 lr_policy: "fixed" max_iter: 2 random_seed: 1 snapshot_prefix: "run" '
# solver, test nets, their phases' sources as logged
FORMS = [
    ('net: "net.prototxt" test_iter: 2 test_interval: 1', ["net file: net.prototxt"]),
    ('net: "net.prototxt" test_iter: 2 test_iter: 1 test_interval: 1', ["net file: net.prototxt"] * 2),
    (f"{NET_IN_SOLVER} test_iter: 1 test_interval: 1", ["net_param"]),
    ('train_net: "net.prototxt"', []),
    (
        'train_net: "net.prototxt" test_net: "net.prototxt" test_iter: 1 test_interval: 1',
        ["test_net file: net.prototxt"],
    ),
    (
        f'train_net_param {{ {valley.NET} }} test_net: "net.prototxt" test_net_param {{ {valley.NET} }} '
        "test_iter: 1 test_iter: 1 test_interval: 1",
        ["test_net_param", "test_net file: net.prototxt"],
    ),
    (
        'net: "net.prototxt" test_net: "net.prototxt" test_iter: 1 test_iter: 1 test_interval: 1',
        ["test_net file: net.prototxt", "net file: net.prototxt"],
    ),
]


@pytest.mark.parametrize("definition, sources", FORMS)
def test_forms_of_nets(tmp_path, capsys, definition, sources):
    solver = make(tmp_path, solver=definition + REST)
    solver.solve()
    built = [m.split("specified by ")[1] for p, m in said(capsys) if p == "solver.cpp:190"]
    assert built == sources and len(solver.test_nets) == len(sources)


STAGED = (
    valley.NET
    + """
layer { name: "extra" type: "Power" bottom: "w" top: "extra" include { stage: "more" min_level: 2 } }
layer { name: "fit" type: "Power" bottom: "w" top: "fit" include { phase: TEST } }
"""
)


def test_states_of_the_nets(tmp_path):
    solver = make(
        tmp_path,
        'train_state { stage: "more" level: 2 } test_iter: 1 test_iter: 1 test_interval: 1 test_state { } '
        'test_state { stage: "more" level: 3 }',
        net=STAGED,
    )
    names = [[n.name for n in net.graph.nodes if n.name in ("extra", "fit")] for net in [solver.net, *solver.test_nets]]
    assert names == [["extra"], ["fit"], ["extra", "fit"]]


REFUSED = [
    (REST, "must specify a train net using one of these fields: net, net_param, train_net, train_net_param"),
    ('net: "net.prototxt" train_net: "net.prototxt"' + REST, "specifies a train net more than once .net, train_net."),
    ('train_net: "net.prototxt" test_iter: 1' + REST, "test_iter must be specified for each test network"),
    ('net: "net.prototxt" test_net: "net.prototxt"' + REST, "test_iter must be specified for each test network"),
    ('net: "net.prototxt" test_iter: 1' + REST, "test_interval is 0; set it above 0"),
    (
        'net: "net.prototxt" test_state {}' + REST,
        "test_state must be unspecified or specified once per test net: 1 for 0",
    ),
    ('net: "nowhere.prototxt"' + REST, "there is no file 'nowhere.prototxt' .a path is relative to the folder"),
    ('net: "net.prototxt" average_loss: 0' + REST, "average_loss must be at least 1"),
    ('net: "net.prototxt" iter_size: 0' + REST, "iter_size must be at least 1"),
    ('net: "net.prototxt" weight_decay: 1 regularization_type: "L0"' + REST, "unknown regularization_type 'L0'"),
    (
        'net: "net.prototxt" snapshot: 1' + REST.replace('"run"', '"nowhere/run"'),
        "cannot write to snapshot prefix 'nowhere/run'",
    ),
    ('net: "net.prototxt" weights: "none.caffemodel"' + REST, "there is no file 'none.caffemodel'"),
    ('net: "net.prototxt" type: "Ftrl"' + REST, "unknown solver type 'Ftrl'"),
]


@pytest.mark.parametrize("definition, message", REFUSED)
def test_refused(tmp_path, definition, message):
    with pytest.raises(CaffeError, match=message):
        make(tmp_path, solver=definition)


def test_an_unknown_regularisation_is_no_matter_without_decay(tmp_path):
    make(tmp_path, 'regularization_type: "L0"').step(1)


def test_debug_info_speaks_on_displayed_iterations_only(tmp_path, capsys):
    solver = make(tmp_path, "debug_info: true display: 2")
    solver.step(3)
    lines = said(capsys)
    spoken = [m for p, m in lines if p in ("net.cpp:593", "net.cpp:605", "net.cpp:621", "net.cpp:632", "net.cpp:721")]
    assert len(spoken) == 2 * 12
    assert spoken[2].startswith("    [Forward] Layer off, top blob off data: ")
    assert spoken[7].startswith("    [Backward] Layer loss, bottom blob off diff: ")
    assert spoken[11].startswith("    [Backward] All net params (data, diff): L1 norm = (")
    quiet = make(tmp_path)
    quiet.step(3)
    assert same(blobs(solver), blobs(quiet))


def test_solver_error_is_a_caffe_error():
    assert issubclass(SolverError, CaffeError)
