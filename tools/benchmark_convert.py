"""Time and peak memory of conversions of a large caffemodel, beside reading its bytes and beside naive protobuf.

    python tools/benchmark_convert.py                  # VGG-16 with drawn weights: 528 MiB
    python tools/benchmark_convert.py --weights net.caffemodel

Every case is a process of its own, run in turn for some rounds; shown are the least times and the greatest memory: the
process's largest resident set as the system counts it, the pages of a mapped file included. `cat` reads the bytes and
writes them to another file, as a conversion must at least; `imports` is what the packages take before that.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

MAKE = """
import sys, torch
from caffe_port.net import Net
from caffe_port.proto.load import read_net
torch.manual_seed(0)
Net(read_net(sys.argv[1])).save(sys.argv[2])
"""
IMPORTS = "import converters, onnx, onnxruntime, safetensors; from converters.hub import formats; formats()"
CONVERT = """
import sys, converters
print(converters.convert(sys.argv[1], sys.argv[2], check=sys.argv[3] == "check"), file=sys.stderr)
"""
NAIVE = """
import sys
from caffe_port.proto import caffe_pb2
net = caffe_pb2.NetParameter.FromString(open(sys.argv[1], "rb").read())
if len(sys.argv) > 2:  # as most converters do: every blob through the message's list of floats
    import numpy as np
    import safetensors.numpy
    arrays = {f"{layer.name}.{i}": np.array(list(blob.data), np.float32) for layer in net.layer
              for i, blob in enumerate(layer.blobs)}
    safetensors.numpy.save_file(arrays, sys.argv[2])
"""


def cases(weights: Path, folder: Path) -> dict[str, list[str]]:
    python = [sys.executable, "-c"]
    source, made = str(weights), {name: str(folder / f"made.{name}") for name in ("onnx", "safetensors", "bytes")}
    commands = {
        "cat": ["sh", "-c", 'cat "$0" > "$1"', source, made["bytes"]],
        "imports": [*python, IMPORTS],
        "google.protobuf, parsing alone": [*python, NAIVE, source],
        "google.protobuf -> safetensors": [*python, NAIVE, source, made["safetensors"]],
    }
    for to in ("safetensors", "onnx"):
        for check in ("no check", "check"):
            commands[f"-> {to}, {check}"] = [*python, CONVERT, source, made[to], check]
    return commands


def measure(command: list[str]) -> tuple[float, float, int]:
    """Seconds, seconds of processor time, and peak bytes of one process. Raises RuntimeError where it fails."""
    start = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[:2]} ended with {process.returncode}: {said.decode()[-2000:]}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="a caffemodel of today's format with its net inside")
    parser.add_argument("--net", type=Path, default=ROOT / "prototxt/classic/vgg16/deploy.prototxt",
                        help="the net to draw weights for, without --weights")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", help="a folder for some times the weights' size (default: the system's)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose names hold this")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.scratch) as name:
        folder = Path(name)
        weights = args.weights or folder / "made.caffemodel"
        if args.weights is None:
            subprocess.run([sys.executable, "-c", MAKE, str(args.net), str(weights)], check=True,
                           env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
        size = weights.stat().st_size
        runs: dict[str, list[tuple[float, float, int]]] = {}
        for _ in range(args.rounds):
            for case, command in cases(weights, folder).items():
                if args.only not in case:
                    continue
                runs.setdefault(case, []).append(measure(command))
    print(f"{size / 2**20:.0f} MiB; the last column is the peak in times of that")
    figures = {}
    for case, measured in runs.items():
        seconds, busy = (min(run[i] for run in measured) for i in (0, 1))
        peak = max(run[2] for run in measured)
        print(f"{case:32s} {seconds:7.2f} s, {busy:7.2f} s busy   {peak / 2**20:6.0f} MiB   {peak / size:5.2f}")
        figures[case] = {"seconds": round(seconds, 2), "busy": round(busy, 2), "peak_over_size": round(peak / size, 2)}
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
