"""Look at windows of images with a trained net, as R-CNN does: a prediction for each window.

    python tools/detect.py WINDOWS.csv OUTPUT.csv --crop_mode=list --model_def DEPLOY.prototxt
        --pretrained_model NET.caffemodel [OPTIONS]

WINDOWS.csv has a window a line, under a line that names the columns filename, xmin, ymin, xmax, ymax in any order. A
window is cut out with --context_pad pixels of what is around it and warped to the net's input. OUTPUT.csv has the
columns filename, ymin, xmin, ymax, xmax, class0, class1, ...; OUTPUT.h5 the data sets filename, window (N, 4) and
prediction (N, classes). Windows come in the order of the list, those of one image together.

--crop_mode=selective_search, the default as in Caffe, needs the package selective_search_ijcv_with_python, which runs
MATLAB; its input may be a .txt, an image a line.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from caffe_port.cli.images import load_mean, numbers
from caffe_port.cli.tool import Tool
from caffe_port.errors import CaffeError, DataError

CAFFENET = Path(__file__).resolve().parents[1] / "prototxt" / "classic" / "caffenet" / "deploy.prototxt"
COLUMNS = ("ymin", "xmin", "ymax", "xmax")
TOGETHER = 256  # windows held in memory at a time, or as many as one image has

tool = Tool("detect", __doc__)
tool.add("input_file", metavar="INPUT", help="the windows (.csv), or for selective_search the images (.txt)")
tool.add("output_file", metavar="OUTPUT", help="the .csv or .h5 to write")
tool.add("--model_def", default=str(CAFFENET), metavar="FILE", help="the net definition (default CaffeNet's)")
tool.add("--pretrained_model", required=True, metavar="FILE", help="its weights")
tool.add("--crop_mode", choices=("list", "selective_search"), default="selective_search", help="where windows are from")
tool.switch("gpu", "run on the GPU")
tool.add("--mean_file", default="", metavar="FILE", help="the mean (.npy of K x H x W or K, or .binaryproto)")
tool.add("--input_scale", type=float, metavar="X", help="multiply by this at the end")
tool.add("--raw_scale", type=float, default=255.0, metavar="X", help="multiply the raw input by this (default 255)")
tool.add("--channel_swap", default="2,1,0", metavar="ORDER", help="order of the channels (default 2,1,0: RGB to BGR)")
tool.add("--context_pad", type=int, default=16, metavar="N", help="pixels of context on each side (default 16)")

Windows = dict[str, list[list[int]]]


def read_windows(path: Path) -> Windows:
    """The windows (ymin, xmin, ymax, xmax) of each image, in the order of the file."""
    windows: Windows = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, skipinitialspace=True)
        missing = {"filename", *COLUMNS} - set(rows.fieldnames or ())
        if missing:
            raise DataError(f"{path}: the first line must name the columns filename, {', '.join(COLUMNS)}; "
                            f"there is no {', '.join(sorted(missing))}")  # fmt: skip
        for row in rows:
            try:
                window = [round(float(row[name])) for name in COLUMNS]
            except (TypeError, ValueError, OverflowError):
                raise DataError(f"{path}:{rows.line_num}: a window is four numbers") from None
            top, left, bottom, right = window
            if not (0 <= top < bottom and 0 <= left < right):
                raise DataError(f"{path}:{rows.line_num}: the window must begin at 0 or later and end after it begins")
            windows.setdefault(row["filename"], []).append(window)
    return windows


def together(windows: Windows) -> Iterator[Windows]:
    """Images until there are windows enough."""
    some: Windows = {}
    for name, of_image in windows.items():
        some[name] = of_image
        if sum(map(len, some.values())) >= TOGETHER:
            yield some
            some = {}
    yield some


def detected(net: Any, windows: Windows) -> list[dict[str, Any]]:
    from caffe_port.cli.progress import bar

    found: list[dict[str, Any]] = []
    with bar(sum(map(len, windows.values())), "windows") as shown:
        for some in together(windows):
            found += net.detect_windows(some.items())
            if shown is not None:
                shown.update(len(found))
    return found


def searched(net: Any, path: Path) -> list[dict[str, Any]]:
    if path.suffix.lower() == ".txt":
        names = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    else:
        names = list(read_windows(path))
    try:
        return net.detect_selective_search(names)
    except ImportError:
        raise CaffeError("--crop_mode=selective_search needs the package selective_search_ijcv_with_python, which runs "
                         "MATLAB; write the windows into a .csv file and give --crop_mode=list") from None  # fmt: skip


def write(path: str, found: list[dict[str, Any]]) -> None:
    from caffe_port.atomic import atomic_write
    from caffe_port.hdf5 import write_arrays

    names, windows = [one["filename"] for one in found], [[int(n) for n in one["window"]] for one in found]
    predictions = [one["prediction"].ravel() for one in found]
    if path.lower().endswith(".h5"):
        write_arrays(path, {"filename": names, "window": windows, "prediction": predictions})
        return
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["filename", *COLUMNS, *(f"class{i}" for i in range(len(predictions[0]) if found else 0))])
    writer.writerows([name, *w, *p] for name, w, p in zip(names, windows, predictions, strict=True))
    with atomic_write(path) as file:
        file.write(out.getvalue().encode())


def main(args: argparse.Namespace) -> None:
    import caffe_port.pycaffe as caffe

    source = Path(args.input_file)
    if source.suffix.lower() not in ((".csv",) if args.crop_mode == "list" else (".csv", ".txt")):
        raise CaffeError(f"{source}: --crop_mode={args.crop_mode} wants "
                         f"{'windows, a .csv' if args.crop_mode == 'list' else 'a .txt or .csv'}")  # fmt: skip
    if Path(args.output_file).suffix.lower() not in (".csv", ".h5"):
        raise CaffeError(f"{args.output_file}: the output's name must end in .csv or .h5")
    (caffe.set_mode_gpu if args.gpu else caffe.set_mode_cpu)()
    print("GPU mode" if args.gpu else "CPU mode")
    mean = load_mean(args.mean_file) if args.mean_file else None
    if mean is not None and mean.ndim == 3:
        mean = mean.mean((1, 2))
    start = time.monotonic()
    try:
        net = caffe.Detector(
            args.model_def, args.pretrained_model, mean=mean, input_scale=args.input_scale, raw_scale=args.raw_scale,
            channel_swap=numbers("channel_swap", args.channel_swap) if args.channel_swap else None,
            context_pad=args.context_pad,
        )  # fmt: skip
        print("Loading input...")
        found = detected(net, read_windows(source)) if args.crop_mode == "list" else searched(net, source)
    except ValueError as e:
        raise CaffeError(str(e)) from None
    print(f"Processed {len(found)} windows in {time.monotonic() - start:.3f} s.")
    write(args.output_file, found)
    print(f"Saved to {args.output_file}")


if __name__ == "__main__":
    sys.exit(tool.run(main))
