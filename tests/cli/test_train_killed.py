"""Killed at any moment, the last finished snapshot is whole and resumes; a process that dies ends the others.

CAFFE_PORT_KILLS=50 kills so often.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from caffe_port.proto.binary import read_net, read_solverstate
from caffe_port.solver import resume
from tests.solver import drawn, ranks

HANG = 600  # seconds after which a process counts as hung, however busy the machine is
MORE = "momentum: 0.9 snapshot: 1"
LONG = drawn.SOLVER.replace("max_iter: 6", "max_iter: 1000000")
WIDE = """
layer { name: "wide" type: "InnerProduct" bottom: "data" top: "wide" inner_product_param { num_output: 2000
        weight_filler { type: "xavier" } } }
layer { name: "quiet" type: "Silence" bottom: "wide" }
"""


def finished(folder: Path) -> list[int]:
    return sorted(int(p.stem.rpartition("_")[2]) for p in folder.glob("run_iter_*.solverstate"))


def check(folder: Path) -> int:
    """Every snapshot that has a state is whole; the last one's iteration."""
    for number in finished(folder):
        state, history = read_solverstate(folder / f"run_iter_{number}.solverstate")
        layers = read_net(folder / f"run_iter_{number}.caffemodel").layers
        assert state.iter == number and len(history) == sum(len(layer.blobs) for layer in layers) > 0
        assert resume.read(folder / f"run_iter_{number}.solverstate")[0].facts["iter"] == number
    return finished(folder)[-1]


@contextlib.contextmanager
def started(argv: list[str], **how) -> Iterator[subprocess.Popen]:
    """A process that does not outlive the block."""
    with subprocess.Popen(argv, **how) as process:
        try:
            yield process
        finally:
            process.terminate()  # torchrun then ends its workers
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
            process.kill()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen, seconds: float = HANG) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.005)


def kill_and_resume(folder: Path, times: int, seed: int = 1) -> list[int]:
    """Train, kill at a random moment, go on from the last snapshot, and so on; the iterations reached."""
    generator, reached = random.Random(seed), [0]
    for _ in range(times):
        argv = [sys.executable, "-m", "caffe_port", "train", "--solver=solver.prototxt", "--exact-resume"]
        argv += [f"--snapshot=run_iter_{reached[-1]}.solverstate"] if reached[-1] else []
        before = finished(folder)
        with started(argv, cwd=folder, env=ranks.environment(GLOG_minloglevel=2)) as process:
            wait_for(lambda before=before: len(finished(folder)) > len(before), process)
            time.sleep(generator.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
        assert set(before) <= set(finished(folder))
        reached.append(check(folder))
        for part in folder.glob(".*.part"):
            part.unlink()
        for number in finished(folder)[:-2]:
            for path in folder.glob(f"run_iter_{number}.*"):
                path.unlink()
    return reached


def test_killed_at_random_moments_no_snapshot_is_lost(tmp_path):
    drawn.database(tmp_path)
    drawn.write(tmp_path, MORE, WIDE, solver=LONG)
    reached = kill_and_resume(tmp_path, times=int(os.environ.get("CAFFE_PORT_KILLS", "3")))
    assert reached == sorted(set(reached))


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def rank_of(pid: int) -> str:
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next((v.decode()[5:] for v in variables if v.startswith(b"RANK=")), "")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes in /proc")
def test_a_rank_that_is_killed_ends_the_run_and_leaves_the_snapshots(tmp_path):
    drawn.database(tmp_path)
    drawn.write(tmp_path, MORE, WIDE, solver=LONG)
    argv = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "caffe_port"]
    said = tmp_path / "said"
    with (
        said.open("w") as out,
        started(
            [*argv, "train", "--solver=solver.prototxt", "--exact-resume"],
            cwd=tmp_path,
            env={k: v for k, v in ranks.environment().items() if not k.startswith("MASTER_")},
            stderr=out,
            stdout=out,
        ) as job,
    ):
        wait_for(lambda: len(finished(tmp_path)) > 1, job)
        (victim,) = [pid for pid in children(job.pid) if rank_of(pid) == "1"]
        os.kill(victim, signal.SIGKILL)
        assert job.wait(timeout=HANG) != 0
    last, text = check(tmp_path), said.read_text()
    errors = re.findall(r"^caffe-port: error: (.*)$", text, re.MULTILINE)
    assert len(errors) <= 1  # rank 0 may have been stopped before it could speak
    if errors:
        assert "another process of this run is gone" in errors[0]
        assert re.search(rf"start again with --snapshot=run_iter_({last - 1}|{last}).solverstate", errors[0])
    assert "Signal 9 (SIGKILL) received" in text
