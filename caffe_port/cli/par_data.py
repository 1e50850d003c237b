"""`par prepare` and `par prototxt`: a data set into databases, and the networks for it."""

from __future__ import annotations

import argparse
import ast
from pathlib import Path
from typing import Any

LAYOUTS = """\
drawn  nothing: pedestrians are drawn; --option train=N, test=N, seed=N
ccp    photos/, annotations/pixel-level/*.mat, label_list.mat; --option crop=true, weak=true, classes=ccp
peta   PETA.mat, images/00001.png ...; --option split=1..5
rap    RAP_annotation.mat (or in RAP_annotation/), RAP_dataset/*.png; --option split=1..5, unclear=ignore
lip    train_id.txt, val_id.txt, {train,val}_images/, {train,val}_segmentations/
All but drawn take --option missing=skip, which leaves out pictures that are not there. MAT files: version 5 to 7.3.
"""

# -- prepare -------------------------------------------------------------------------------------------------------


def prepare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, LAYOUTS
    parser.add_argument("dataset", choices=("drawn", "ccp", "peta", "rap", "lip"), help="the data set")
    parser.add_argument("root", nargs="?", metavar="FOLDER", help="its unpacked folder; 'drawn' needs none")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where the databases and lists go")
    parser.add_argument(
        "--size", type=_size, default=(256, 128), metavar="HxW", help="of the pictures (default 256x128)"
    )
    parser.add_argument("--splits", default="train,test", metavar="A,B", help="which splits (default train,test)")
    parser.add_argument("--limit", metavar="N", help="at most N records of each split, or train=N,test=M")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the order of the records (default 0)")
    parser.add_argument(
        "--encoding", default="raw", metavar="KIND", help="of the pictures in the database (default raw)"
    )
    parser.add_argument("--quality", type=int, default=95, metavar="N", help="of JPEG (default 95)")
    parser.add_argument("--segmentations", metavar="FOLDER", help="label maps <key>.png for a data set without its own")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the data set's reader (such as train=500 for drawn, split=2 for peta); may be repeated",
    )


def run_prepare(args: argparse.Namespace) -> int:
    from caffe_port.cli.progress import Bar, stderr_bar
    from caffe_port.par.datasets import open_dataset
    from caffe_port.par.prepare import prepare

    options = dict(_option(one) for one in args.option)
    if args.dataset == "drawn":
        options.setdefault("size", args.size)
    _check_options(args.dataset, options)
    dataset = open_dataset(args.dataset, args.root, **options)
    bars: dict[str, Bar | None] = {}

    def progress(split: str, done: int, total: int) -> None:
        if split not in bars:
            bars[split] = stderr_bar(total, f"{args.dataset} {split}", done)
        bar = bars[split]
        if bar is not None:
            bar.update(done)
            if done == total:
                bar.write("")

    summary = prepare(
        dataset, args.out, size=args.size, splits=args.splits.split(","), limit=_limit(args.limit), seed=args.seed,
        encoding=args.encoding, quality=args.quality, segmentation_dir=args.segmentations, progress=progress,
    )  # fmt: skip
    print("\n".join(_summary(summary)))
    return 0


def _summary(summary: dict[str, Any]) -> list[str]:
    """What was written, split by split, with the attributes' positive rates."""
    splits = summary["splits"]
    width = max(map(len, [*summary["attributes"], "without segmentation"]))

    def row(name: str, cells: list[str]) -> str:
        return f"{name:<{width}}" + "".join(f"{cell:>10}" for cell in cells)

    height, across = summary["size"]
    return [
        f"{summary['dataset']}: {height}x{across} pictures, {len(summary['attributes'])} attributes, "
        f"{len(summary['classes'])} segmentation classes",
        row("", list(splits)),
        row("records", [str(split["records"]) for split in splits.values()]),
        row("without segmentation", [str(split["without_segmentation"]) for split in splits.values()]),
        *(row(f"mean {c}", [f"{split['mean_bgr'][i]:.1f}" for split in splits.values()])
          for i, c in enumerate(("blue", "green", "red"))),
        "positive rates, percent",
        *(row(name, [f"{100 * split['positive_rates'][name]:.1f}" for split in splits.values()])
          for name in summary["attributes"]),
        *(f"note: {note}" for note in summary.get("notes", [])),
    ]  # fmt: skip


def _check_options(dataset: str, options: dict[str, Any]) -> None:
    """Options go by name to the reader's constructor; one that it does not have is refused with those that it has."""
    import importlib
    import inspect

    from caffe_port.errors import DataError

    reader = getattr(importlib.import_module(f"caffe_port.par.datasets.{dataset}"), dataset.capitalize())
    known = [name for name in inspect.signature(reader).parameters if name != "root"]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise DataError(f"--option {unknown[0]}: the reader of '{dataset}' has the options {', '.join(known)}")


def _option(text: str) -> tuple[str, Any]:
    from caffe_port.errors import DataError

    name, equals, value = text.partition("=")
    if not equals:
        raise DataError(f"--option {text}: give it as NAME=VALUE")
    return name, _size(value) if name == "size" else _value(value)


def _limit(text: str | None) -> int | dict[str, int] | None:
    if text is None or text.isdigit():
        return None if text is None else int(text)
    from caffe_port.errors import DataError

    try:
        return {name: int(value) for name, value in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise DataError(f"--limit {text}: give a number, or train=N,test=M") from None


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form 256x128 (height x width)")
    return int(height), int(width)


def _value(text: str) -> Any:
    """A Python literal where it is one, else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False}.get(text, text)


# -- prototxt ------------------------------------------------------------------------------------------------------


def prototxt_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="its name: rap, peta, ccp, drawn or one of your own")
    parser.add_argument(
        "--out", metavar="FOLDER", help="where the files go (default prototxt/hmt/DATASET/VARIANT/LOSS)"
    )
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        help="what `par prepare` wrote: attributes, classes, size and numbers of images come from it",
    )
    parser.add_argument("--attributes", type=int, metavar="N", help="number of attributes")
    parser.add_argument("--classes", type=int, metavar="N", help="number of segmentation classes (default 20)")
    parser.add_argument("--variant", metavar="NAME", help="baseline, multitask, mtms or mtms_att (default mtms_att)")
    parser.add_argument("--loss", metavar="NAME", help="original or weighted (default weighted)")
    parser.add_argument("--width", type=int, metavar="N", help="of the backbone; 64 is ResNet-50 (default 64)")
    parser.add_argument("--size", type=_size, metavar="HxW", help="of the pictures (default 256x128)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="knobs",
        help="any other setting of the generator (see caffe_port.par.settings); may be repeated",
    )


def run_prototxt(args: argparse.Namespace) -> int:
    from dataclasses import fields

    from caffe_port.atomic import atomic_write
    from caffe_port.errors import CaffeError
    from caffe_port.par.network import generate
    from caffe_port.par.settings import Settings

    knobs = _prepared(args.data) if args.data else {}
    for name in ("attributes", "classes", "variant", "loss", "width", "size"):
        if getattr(args, name) is not None:
            knobs[name] = getattr(args, name)
    knobs.update(_option(one) for one in args.knobs)
    known = [field.name for field in fields(Settings) if field.name != "dataset"]
    unknown = [name for name in knobs if name not in known]
    if unknown:
        raise CaffeError(f"par prototxt: there is no setting '{unknown[0]}'; there are {', '.join(known)}")
    if "attributes" not in knobs:
        raise CaffeError("par prototxt: give --attributes, or --data with a folder that `par prepare` wrote")
    if args.out:
        knobs["folder"] = args.out
    folder = Path(args.out or Settings(args.dataset, **knobs).net_folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in generate(args.dataset, **knobs).items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())
        print(folder / name)
    return 0


def _prepared(folder: str) -> dict[str, Any]:
    """What the manifest of a prepared data set says about the net for it."""
    from caffe_port.errors import DataError
    from caffe_port.par.prepare import finished

    parameters = finished(folder)["parameters"]
    try:
        attributes = Path(folder, "attributes.txt").read_text().splitlines()
        classes = Path(folder, "classes.txt").read_text().splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"--data {folder}: not a folder that `par prepare` finished: {error}") from None
    images = {f"{split}_images": count for split, count in parameters["splits"].items() if split in ("train", "test")}
    return {
        "data": folder,
        "attributes": len(attributes),
        "classes": len(classes),
        "size": tuple(parameters["size"]),
        **images,
    }
