"""`par predict`, `parser`, `evaluate-parser`, `pseudo-label`: networks on pictures, and their truth."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from caffe_port.cli.flags import positive
from caffe_port.cli.par_data import _option, _prepared, _size
from caffe_port.cli.par_run import _device, add_device


def add_model(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--model", required=True, metavar="MODEL", help=f"{what}: a run's folder, deploy.prototxt or .onnx"
    )
    parser.add_argument("--weights", metavar="FILE", help="the weights, where MODEL is a deploy.prototxt")
    parser.add_argument("--net", metavar="FILE", help="train_val.prototxt with mean and scale (default: beside MODEL)")
    parser.add_argument(
        "--names", metavar="FOLDER", help="with attributes.txt and classes.txt (default: the net's data)"
    )
    parser.add_argument("--batch", type=positive, default=16, metavar="N", help="pictures at a time (default 16)")
    add_device(parser)


def _model(args: argparse.Namespace) -> Any:
    from caffe_port.par.use.model import open_model

    return open_model(args.model, args.weights, args.names, args.net, _device(args.gpu))


def predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="pictures, folders of them, videos; one person each")
    parser.add_argument("--out", metavar="FOLDER", help="predictions.json, .csv and pictures go there")
    parser.add_argument(
        "--threshold", type=_probability, default=0.5, metavar="P", help="an attribute is there above it (0.5)"
    )
    parser.add_argument(
        "--every", type=positive, default=1, metavar="N", help="of a video, every N-th frame (default 1)"
    )
    parser.add_argument("--no_pictures", action="store_true", help="only the JSON and the CSV")
    add_model(parser, "the network")


def _probability(text: str) -> float:
    try:
        if 0 <= float(text) <= 1:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"'{text}' is not a probability from 0 to 1")


def run_predict(args: argparse.Namespace) -> int:
    from caffe_port.cli.progress import steps
    from caffe_port.par.use.predict import predict

    with steps() as step:
        rows = predict(
            args.paths, _model(args), args.out, args.batch, args.threshold, not args.no_pictures, args.every,
            progress=lambda done: step("predicting", done, done, ""),
        )  # fmt: skip
    unread = [row for row in rows if "error" in row]
    for row in (row for row in rows if "error" not in row):
        said = ", ".join(f"{n} {100 * row['attributes'][n]:.0f}" for n in row.get("positives", ()))
        parts = (
            ", ".join(f"{n} {100 * s:.0f}" for n, s in row.get("parts", {}).items()) if "attributes" not in row else ""
        )
        print(f"{row['key']}: {said or parts or 'nothing above the threshold'}")
    if args.out:
        print(Path(args.out) / "predictions.json")
    for row in unread:
        print(f"caffe-port: left out: {row['error']}", file=sys.stderr)
    return 1 if unread else 0


def parser_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", nargs="?", default="lip", metavar="DATASET", help="lip (default), ccp or your own")
    parser.add_argument("--data", metavar="FOLDER", help="what `par prepare` wrote: classes, size, numbers of images")
    parser.add_argument("--out", metavar="FOLDER", help="where the files go (default prototxt/parsing/resnet101)")
    parser.add_argument("--blocks", type=_blocks, metavar="A,B,C,D", help="residual blocks a stage (default 3,4,23,3)")
    parser.add_argument("--width", type=positive, metavar="N", help="of the backbone; 64 is ResNet-101 (default 64)")
    parser.add_argument("--size", type=_size, metavar="HxW", help="of the pictures (default 384x192)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="knobs",
        help="any other setting (see caffe_port.par.parsing.settings); may be repeated",
    )  # fmt: skip


def run_parser(args: argparse.Namespace) -> int:
    from dataclasses import fields

    from caffe_port.atomic import atomic_write
    from caffe_port.errors import CaffeError
    from caffe_port.par.parsing.network import generate
    from caffe_port.par.parsing.settings import ParserSettings

    known = [field.name for field in fields(ParserSettings)]
    prepared = _prepared(args.data) if args.data else {}
    knobs = {"dataset": args.dataset, **{k: v for k, v in prepared.items() if k in known}}
    knobs |= {n: getattr(args, n) for n in ("blocks", "width", "size") if getattr(args, n) is not None}
    knobs |= dict(_option(one) for one in args.knobs)
    if unknown := [name for name in knobs if name not in known]:
        raise CaffeError(f"par parser: there is no setting '{unknown[0]}'; there are {', '.join(known)}")
    if args.out:
        knobs["folder"] = args.out
    folder = Path(args.out or ParserSettings(**knobs).folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in generate(**knobs).items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())
        print(folder / name)
    return 0


def _blocks(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(n) for n in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form 3,4,23,3") from None


def evaluate_parser_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the parser's train_val.prototxt")
    parser.add_argument("weights", metavar="WEIGHTS", help="the weights to measure")
    parser.add_argument(
        "--data", metavar="FOLDER", help="a prepared data set (default: the databases that MODEL names)"
    )
    parser.add_argument("--split", default="test", metavar="NAME", help="which split (default test)")
    parser.add_argument("--out", metavar="FILE", help="write the measures and the confusion matrix as JSON there")
    parser.add_argument("--batch", type=positive, default=16, metavar="N", help="pictures at a time (default 16)")
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N records")
    add_device(parser)


def run_evaluate_parser(args: argparse.Namespace) -> int:
    from caffe_port.cli.progress import steps
    from caffe_port.par.parsing.evaluate import evaluate_parser

    with steps() as step:
        result = evaluate_parser(
            args.model, args.weights, args.data, args.split, args.batch, _device(args.gpu), args.limit,
            progress=lambda done, total: step("evaluating", done, total, ""),
        )  # fmt: skip
    print(result.table())
    if args.out:
        result.save(args.out)
    return 0


def pseudo_label_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="pictures or folders; a prepared data set; with --dataset its folder"
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="label maps <key>.png; of prepared data its "
                        "segmentation databases (its own folder: in place)")  # fmt: skip
    parser.add_argument("--dataset", metavar="NAME", help="read PATH as this data set, so that maps have its keys")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the data set's reader")
    add_model(parser, "the parser")


def run_pseudo_label(args: argparse.Namespace) -> int:
    from caffe_port.cli.progress import steps
    from caffe_port.par.datasets import open_dataset
    from caffe_port.par.parsing.pseudo import SHEET, label_databases, label_pictures, of_dataset, of_files

    model = _model(args)
    first = args.paths[0]

    with steps() as step:

        def progress(what: str, done: int, total: int) -> None:
            step(what, done, total, "")

        if args.dataset:
            options = dict(_option(one) for one in args.option)
            source = of_dataset(open_dataset(args.dataset, None if args.dataset == "drawn" else first, **options))
            summary = label_pictures(source, model, args.out, args.batch, progress)
        elif (Path(first) / "prepare.json").exists():
            summary = label_databases(first, model, args.out, args.batch, progress)
        else:
            summary = label_pictures(of_files(args.paths), model, args.out, args.batch, progress)
    print(f"{summary['pictures']} pictures labelled by {summary['weights']}; share of the pixels in percent:")
    for name, share in sorted(summary["share_of_pixels"].items(), key=lambda item: -item[1]):
        if share:
            print(f"  {name:<16}{100 * share:6.2f}")
    print(Path(args.out) / SHEET)
    return 0
