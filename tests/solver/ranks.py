"""One rank of a parallel run: `python -m tests.solver.ranks JOBS`, with RANK and WORLD_SIZE set.

JOBS is JSON: a list of [port, folder, words]; the words are a command of `caffe-port`, or `extract_features ...`.
One process does many jobs, because starting processes is what takes the time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile

from torch.distributed import TCPStore

from caffe_port.cli.main import main

ROOT = Path(__file__).parents[2]
GRACE = 30  # seconds that the others have to end when one process has failed: they wait a little to speak last
Job = tuple[Path, list[str]]


def run(jobs: list[Job], world: int, timeout: float = 600) -> list[str]:
    """Do the jobs in `world` processes; what each rank wrote to standard error. AssertionError where one fails.

    The processes meet at stores that this one holds, as torchrun's do. A free port told to rank 0 could be another
    program's by the time its job comes.
    """
    stores = [TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False) for _ in jobs]
    words = json.dumps([[store.port, str(folder), argv] for store, (folder, argv) in zip(stores, jobs, strict=True)])
    with ExitStack() as stack:
        outputs = [stack.enter_context(TemporaryFile("w+")) for _ in range(world)]
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.solver.ranks", words],
                env=environment(
                    RANK=rank,
                    LOCAL_RANK=rank,
                    WORLD_SIZE=world,
                    LOCAL_WORLD_SIZE=world,
                    TORCHELASTIC_USE_AGENT_STORE=True,
                    TORCHELASTIC_RESTART_COUNT=0,  # torch 2.4 reads it
                ),
                stderr=output,
                cwd=ROOT,
            )
            for rank, output in enumerate(outputs)
        ]
        codes = end(processes, timeout)
        for output in outputs:
            output.seek(0)
        said = [output.read() for output in outputs]
    errors = [line for one in said for line in one.splitlines() if not line.startswith(("I0", "I1"))]
    assert codes == [0] * world, "\n".join([str(codes), *errors])
    return said


def end(processes: Sequence[subprocess.Popen], timeout: float) -> list[int]:
    """Their exit codes. Those still running when one has failed, or when the time is over, are killed."""
    last = time.monotonic() + timeout
    while any(process.poll() is None for process in processes) and time.monotonic() < last:
        if any(process.returncode for process in processes):
            last = min(last, time.monotonic() + GRACE)
        time.sleep(0.05)
    for process in processes:
        process.kill()  # does nothing to one that has ended
    return [process.wait() for process in processes]


def environment(**more: object) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "GLOG_minloglevel": "0",
        **{name: str(value) for name, value in more.items()},
    }


def work(jobs: list[list]) -> int:
    for port, folder, words in jobs:
        os.environ["MASTER_PORT"] = str(port)
        os.chdir(folder)
        if words[0] == "extract_features":
            from tools import extract_features

            status = extract_features.tool.run(extract_features.main, words[1:])
        else:
            status = main(words)
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(work(json.loads(sys.argv[1])))
