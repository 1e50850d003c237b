"""Whole runs of a genuine Caffe, driven by its Python interface: every line that it logged, and the HDF5 snapshots."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from caffe_port.solver import Solver

GOLDEN = Path(__file__).parents[1] / "golden" / "runs"
CASES = sorted(p.name for p in GOLDEN.iterdir())
# Said by reading threads at moments of their own; and before the first line, where no program has set glog up.
OF_THREADS = ("Waiting for data", "Restarting data prefetching from start.", "is written to STDERR")
NUMBER = r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?"


def lines(text: str) -> list[str]:
    """Level, file and message: the recorded build has the year in its lines, and some lines of its source elsewhere."""
    found = [line for line in text.splitlines() if not line.endswith(OF_THREADS)]
    found = [re.sub(r"^([IWE])(?:\d{4})?\d{4} \S+ +\d+ (\S+):\d+\]", r"\1 \2]", line) for line in found]
    return [re.sub(r"\(\S+ iter/s, \S+s/(\d+) iters\)", r"(... /\1 iters)", line) for line in found]


def same(ours: str, theirs: str) -> bool:
    """Equal but for the numbers, which float32 sums in another order may move by 2e-4 in a dozen iterations."""
    if re.sub(NUMBER, "#", ours) != re.sub(NUMBER, "#", theirs):
        return False
    pairs = [(float(a), float(b)) for a, b in zip(re.findall(NUMBER, ours), re.findall(NUMBER, theirs), strict=True)]
    return all(abs(a - b) <= 2e-4 * max(abs(b), 1e-3) for a, b in pairs)


@pytest.mark.parametrize("islands", [False, True], ids=["functional", "islands"])
@pytest.mark.parametrize("case", CASES)
def test_run(case, islands, tmp_path, monkeypatch, capfd):
    h5py = pytest.importorskip("h5py")
    shutil.copytree(GOLDEN / case, tmp_path / case)
    monkeypatch.chdir(tmp_path / case)
    Path("out").mkdir()
    Solver("solver.prototxt", islands=islands).solve()
    ours, theirs = lines(capfd.readouterr().err), lines(Path("log.txt").read_text())
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        assert same(a, b), f"line {number}, after {theirs[max(0, number - 3) : number]}: {a!r}, Caffe: {b!r}"
    assert len(ours) == len(theirs)
    for path in Path().glob("*.h5"):
        with h5py.File(Path("out") / path) as mine, h5py.File(path) as expected:
            names: list[str] = []
            expected.visit(names.append)
            got: list[str] = []
            mine.visit(got.append)
            assert got == names
            for name in names:
                if isinstance(expected[name], h5py.Dataset):
                    want = np.asarray(expected[name])
                    if want.dtype.kind == "S":  # learned_net
                        assert mine[name][()] == want
                        continue
                    np.testing.assert_allclose(mine[name], want, rtol=0, atol=2e-4 * max(np.abs(want).max(), 1e-6))
