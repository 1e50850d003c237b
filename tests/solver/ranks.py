"""One rank of a parallel run: `python -m tests.solver.ranks JOBS`, with RANK and WORLD_SIZE set.

JOBS is JSON: a list of [port, folder, words]; the words are a command of `caffe-port`, or `extract_features ...`.
One process does many jobs, because starting processes is what takes the time.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from caffe_port.cli.main import main

ROOT = Path(__file__).parents[2]
Job = tuple[Path, list[str]]


def run(jobs: list[Job], world: int, timeout: float = 600) -> list[str]:
    """Do the jobs in `world` processes; what each rank wrote to standard error. AssertionError where one fails."""
    ports = free_ports(len(jobs))
    words = json.dumps([[port, str(folder), argv] for port, (folder, argv) in zip(ports, jobs, strict=True)])
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.solver.ranks", words],
                    env=environment(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=world, LOCAL_WORLD_SIZE=world),
                    stderr=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                )
            )
            for rank in range(world)
        ]
        try:
            said = [process.communicate(timeout=timeout)[1] for process in processes]
        except subprocess.TimeoutExpired:
            for process in processes:  # leaving the block would wait for them
                process.kill()
            raise
    errors = [line for one in said for line in one.splitlines() if not line.startswith(("I0", "I1"))]
    assert [process.returncode for process in processes] == [0] * world, "\n".join(errors)
    return said


def environment(**more: object) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "GLOG_minloglevel": "0",
        **{name: str(value) for name, value in more.items()},
    }


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


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
