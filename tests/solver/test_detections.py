"""eval_type "detection": the mean average precision of a test, by its three definitions."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from caffe_port.errors import CaffeError, DataError
from caffe_port.solver import Solver
from caffe_port.solver.detections import AP_VERSIONS, Detections
from tests.solver import valley

# class 1 has four true boxes: hit, miss, hit, miss, hit by falling score; class 2 two, the only detection wrong; class
# 3 none. Rows (image, class, score, right, wrong), in two batches, and one that does not count.
FIRST = [[-1, 1, 3, -1, -1], [-1, 2, 2, -1, -1], [-1, 3, 0, -1, -1],
         [0, 1, 0.9, 1, 0], [0, 1, 0.5, 0, 1], [0, 1, 0.3, 1, 0], [0, 2, 0.8, 0, 1], [0, 1, 0.95, 0, 0]]  # fmt: skip
SECOND = [[-1, 1, 1, -1, -1], [-1, 2, 0, -1, -1], [-1, 3, 0, -1, -1], [1, 1, 0.7, 0, 1], [1, 1, 0.6, 1, 0]]
# recall 1/4, 1/4, 2/4, 2/4, 3/4 at precision 1, 1/2, 2/3, 1/2, 3/5
ONE = {
    "11point": (3 * 1 + 3 * 2 / 3 + 2 * 3 / 5) / 11,  # best at recall 0 to 0.2, 0.3 to 0.5, 0.6 and 0.7
    "MaxIntegral": (1 + 2 / 3 + 3 / 5) / 4,
    "Integral": (1 + 2 / 3 + 3 / 5) / 4,
}


@pytest.mark.parametrize("version", AP_VERSIONS)
def test_of_two_batches(version, capsys):
    scores = Detections(version)
    for rows in (FIRST, SECOND):
        scores.add({"eval": torch.tensor(rows).reshape(1, 1, -1, 5)})
    assert scores.precisions()["eval"] == pytest.approx({1: ONE[version], 2: 0, 3: 0}, rel=1e-6)
    one, missing = f"Isolver.cpp:540] class1: {ONE[version]:g}", "Wsolver.cpp:524] Missing true_pos for label: 3"
    mean = f"Isolver.cpp:546]     Test net output #0: eval = {ONE[version] / 3:g}"
    for per_class, lines in ((True, [one, "Isolver.cpp:540] class2: 0", missing, mean]), (False, [missing, mean])):
        scores.log(per_class)
        assert said(capsys) == lines


def said(capsys) -> list[str]:
    """Lines of the log: severity, place and message."""
    return [line[0] + line.split(maxsplit=3)[3] for line in capsys.readouterr().err.splitlines()]


def test_each_output_has_its_classes_before_it(capsys):
    scores = Detections("Integral")
    scores.add({"one": torch.tensor([[-1.0, 1, 1, -1, -1], [-1, 2, 1, -1, -1], [0, 2, 0.5, 1, 0]]),
                "two": torch.tensor([[-1.0, 1, 2, -1, -1], [0, 1, 0.5, 1, 0]]),
                "nothing": torch.tensor([[-1.0, 1, 1, -1, -1], [0, 1, 0.5, 0, 0]])})  # fmt: skip
    scores.log(per_class=True)
    assert [line.split("] ")[1] for line in said(capsys)] == [
        "Missing true_pos for label: 1", "class2: 1", "    Test net output #0: one = 0.5",
        "class1: 0.5", "    Test net output #1: two = 0.5",
        "Missing true_pos for label: 1", "    Test net output #2: nothing = 0",
    ]  # fmt: skip


@pytest.mark.parametrize(("version", "wanted"), [("MaxIntegral", 2 / 3), ("Integral", (1 / 2 + 2 / 3) / 2)])
def test_where_the_curve_rises(version, wanted):
    """Wrong, right, right: precision 0, 1/2, 2/3 at recall 0, 1/2, 1."""
    recall, precision = (np.array(v, np.float32) for v in ([0, 0.5, 1], [0, 1 / 2, 2 / 3]))
    assert AP_VERSIONS[version](recall, precision) == pytest.approx(wanted, rel=1e-6)


def test_seven_of_ten_is_below_0_7_in_single_precision():
    recall, precision = np.array([7], np.float32) / np.float32(10), np.ones(1, np.float32)
    assert AP_VERSIONS["11point"](recall, precision) == pytest.approx(7 / 11)


@pytest.mark.parametrize(("rows", "message"), [
    (torch.zeros(3, 4), r"output 'eval' is \(3, 4\); eval_type \"detection\" wants rows of 5"),
    (torch.tensor([[-1.0, 1, 1, -1, -1], [0, 1, 0.5, 1, 0], [0, 1, 0.4, 1, 0]]), "class 1 has 2 right detections of 1"),
])
def test_refused(rows, message):
    scores = Detections("Integral")
    with pytest.raises(DataError, match=message):
        scores.add({"eval": rows})
        scores.precisions()


TESTED = valley.NET.replace('name: "loss"', 'name: "loss" include { phase: TRAIN }') + """
layer { name: "data" type: "HDF5Data" top: "found" top: "true" include { phase: TEST }
        hdf5_data_param { source: "list.txt" batch_size: 1 } }
layer { name: "eval" type: "DetectionEvaluate" bottom: "found" bottom: "true" top: "mAP" include { phase: TEST }
        detection_evaluate_param { num_classes: 3 } }
layer { name: "quiet" type: "Silence" bottom: "off" bottom: "goal" include { phase: TEST } }
"""
SETTINGS = 'eval_type: "detection" ap_version: "11point" show_per_class_result: true test_iter: 2 test_interval: 6 '


def test_a_solver_logs_it(tmp_path, monkeypatch, capsys):
    """Two images: class 1 is found in both, once beside it too; class 2 is there once and not found."""
    monkeypatch.chdir(tmp_path)
    box, other = [0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]
    with h5py.File("data.h5", "w") as file:
        file["found"] = np.array([[[[0, 1, 0.9, *other], [0, 1, 0.8, *box]]], [[[0, 1, 0.7, *box], [-1] * 7]]], "f4")
        file["true"] = np.array([[[[0, 1, 0, *box, 0], [0, 2, 0, *other, 0]]], [[[0, 1, 0, *box, 0], [-1] * 8]]], "f4")
    (tmp_path / "list.txt").write_text("data.h5\n")
    Solver(valley.write(tmp_path, SETTINGS, net=TESTED), log_nets=False).solve()
    lines = [line.split("] ", 1)[1] for line in said(capsys) if "class1" in line or "label" in line or "mAP" in line]
    one = 2 / 3  # wrong, right, right: at every recall 2/3 is the best
    wanted = [f"class1: {one:g}", "Missing true_pos for label: 2", f"    Test net output #0: mAP = {one / 2:g}"]
    assert lines == 2 * wanted


@pytest.mark.parametrize(("settings", "message"), [
    ('eval_type: "segmentation"', "eval_type: unknown eval_type 'segmentation'; known are classification, detection"),
    ('ap_version: "12point"', "ap_version: unknown ap_version '12point'; known are 11point, MaxIntegral, Integral"),
    ("plateau_winsize: 3", "plateau_winsize: an option of a fork's solver"),
])
def test_settings(settings, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CaffeError, match=message):
        Solver(valley.write(tmp_path, settings), log_nets=False)
