"""`par train`, `evaluate`, `report` and `demo`: what is done with the paper's networks once their data is there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from caffe_port.cli.flags import add_gpu, positive

SCRATCH = (
    "NO INITIAL WEIGHTS: training from scratch, while the paper's networks start from ImageNet's ResNet-50. A Caffe or "
    "torchvision file of it goes in by --weights FILE --map weights/maps/resnet50_to_hmt.yaml (or "
    "torchvision_resnet50_to_hmt.yaml with --set strided=branch2b). Without one, `caffe-port weights fetch "
    "resnet50_thin` brings a real thin ResNet-50, for networks of width 32 with a stem of 64."
)
PARSER_SCRATCH = (
    "NO INITIAL WEIGHTS: training from scratch, while the body parser starts from ImageNet's ResNet-101, whose Caffe "
    "file goes in by --weights FILE. Without one, `caffe-port weights fetch resnet50_thin` brings a real thin "
    "ResNet-50, for `par parser --width 32 --set stem=64` and --map weights/maps/resnet50_thin_to_parser.yaml."
)
NO_PARTS = (
    "NO SEGMENTATION TRUTH in {data}: the segmentation losses are 0, and what a second task gives cannot be seen. "
    "`caffe-port par pseudo-label {data} --model PARSER --out {data}` makes it by a body parser (`par parser`, "
    "`par train`)."
)


def warn(data: str | None, weights: bool, scratch: str = SCRATCH) -> None:
    """Loudly what the paper's experiment would lack: initial weights, segmentation truth."""
    from caffe_port.par.prepare import finished

    if not weights:
        print(scratch, file=sys.stderr)
    prepared = data is not None and Path(data, "prepare.json").exists()  # else of other make, and nothing is known
    train = finished(data)["summary"]["splits"].get("train") if data and prepared else None
    if train and train["without_segmentation"] == train["records"]:
        print(NO_PARTS.format(data=data), file=sys.stderr)


def add_device(parser: argparse.ArgumentParser) -> None:
    add_gpu(parser, "on the GPU where there is one, else on the CPU")


def demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="runs/demo", metavar="FOLDER", help="where it goes (default runs/demo)")
    add_device(parser)


def run_demo(args: argparse.Namespace) -> int:
    from caffe_port.cli.progress import steps
    from caffe_port.par.demo import run_demo as demo

    with steps() as step:
        page = demo(args.out, device=_device(args.gpu), step=step)
    print("\n".join((Path(args.out) / "evaluation.txt").read_text().split("\n\n")[1:2]))
    print(f"page: {page}")
    return 0


def train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("nets", metavar="NETS", help="the folder that `par prototxt` or `par parser` wrote")
    parser.add_argument("--out", required=True, metavar="RUN", help="the run's folder; an interrupted run goes on")
    parser.add_argument("--weights", default="", metavar="A,B", help="weights that the first training starts from")
    parser.add_argument("--map", metavar="FILE", help="weights/maps/*.yaml that brings them into the branches")
    parser.add_argument("--data", metavar="FOLDER", help="the prepared data set, for the report")
    parser.add_argument("--title", metavar="TEXT", help="of the report")
    add_device(parser)


def run_train(args: argparse.Namespace) -> int:
    from caffe_port.cli.progress import steps
    from caffe_port.par import run as runs
    from caffe_port.par.start_weights import start
    from caffe_port.solver.actions import signals

    about = {name: getattr(args, name) for name in ("data", "title") if getattr(args, name)}
    weights = [name for name in args.weights.split(",") if name]
    if weights and args.map:
        Path(args.out).mkdir(parents=True, exist_ok=True)
        weights = [str(start(weights, args.map, Path(args.nets) / "train_val.prototxt", args.out))]
    if any(Path(args.nets).glob("solver*.prototxt")):
        is_parser = Path(args.nets, "solver.prototxt").exists()  # the paper's networks have one for each stage
        warn(args.data, bool(weights), PARSER_SCRATCH if is_parser else SCRATCH)
    with steps() as step, signals() as poll:
        made = runs.train(args.nets, args.out, weights, _device(args.gpu), poll=poll, step=step, about=about)
    print("\n".join(map(str, made)))
    return 0


def evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the net: train_val.prototxt")
    parser.add_argument("weights", metavar="WEIGHTS", help="the weights to measure")
    parser.add_argument(
        "--data", metavar="FOLDER", help="a prepared data set (default: the databases that MODEL names)"
    )
    parser.add_argument("--split", default="test", metavar="NAME", help="which split (default test)")
    parser.add_argument("--out", metavar="FOLDER", help="write evaluation.json and pictures.npz there")
    parser.add_argument("--batch", type=positive, default=32, metavar="N", help="pictures at a time (default 32)")
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N records")
    parser.add_argument("--pictures", type=int, default=6, metavar="N", help="pictures kept for the report (default 6)")
    add_device(parser)


def run_evaluate(args: argparse.Namespace) -> int:
    from caffe_port.cli.progress import steps
    from caffe_port.par.evaluate import evaluate

    kept = args.pictures if args.out else 0
    with steps() as step:
        result = evaluate(
            args.model, args.weights, args.data, args.split, args.batch, _device(args.gpu), args.limit, kept,
            progress=lambda done, total: step("evaluating", done, total, ""),
        )  # fmt: skip
    print(result.table())
    if args.out:
        folder = Path(args.out)
        folder.mkdir(parents=True, exist_ok=True)
        result.save(folder / "evaluation.json")
        if kept:
            result.save_pictures(folder / "pictures.npz")
    return 0


def report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("--page", action="store_true", help="only write the page anew from what the folder holds")
    parser.add_argument("--split", default="test", metavar="NAME", help="which split to measure on (default test)")
    parser.add_argument("--batch", type=positive, default=32, metavar="N", help="pictures at a time (default 32)")
    add_device(parser)


def run_report(args: argparse.Namespace) -> int:
    from caffe_port.cli.progress import steps
    from caffe_port.par.report import write_report
    from caffe_port.par.run import finish

    if args.page:
        print(write_report(args.run))
        return 0
    with steps() as step:
        page = finish(args.run, device=_device(args.gpu), batch=args.batch, split=args.split, step=step)
    print(page)
    return 0


def _device(flag: str | None) -> str:
    """As asked for; without a word the GPU where there is one."""
    from caffe_port.cli.device import first_of, gpu_ids
    from caffe_port.par.run import pick_device

    return pick_device(None if flag is None else str(first_of(gpu_ids(flag), flag)))
