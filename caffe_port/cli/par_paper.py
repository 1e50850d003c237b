"""`par experiment`, `understand`, `figures` and `time`: the paper's tables, figures and times, a command each."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from caffe_port.cli.flags import positive
from caffe_port.cli.par_data import _check_options, _option, _size
from caffe_port.cli.par_run import _device, add_device, warn
from caffe_port.errors import CaffeError


def experiment_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", choices=("table1", "table2"), help="table1: the ablations; table2: both losses")
    parser.add_argument("--dataset", metavar="NAME", help="its name: rap, peta, ccp, drawn or your own")
    parser.add_argument("--data", metavar="FOLDER", help="the prepared data; made there if --root is given")
    parser.add_argument("--root", metavar="FOLDER", help="the unpacked data set, to be prepared first (drawn: '-')")
    parser.add_argument(
        "--split", type=positive, metavar="K", help="which of the data set's published splits (with --root)"
    )
    parser.add_argument(
        "--segmentations", metavar="FOLDER", help="label maps for a data set without its own (with --root)"
    )
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of the reader (with --root)"
    )
    parser.add_argument("--size", type=_size, default=(256, 128), metavar="HxW", help="of the pictures (with --root)")
    parser.add_argument(
        "--parser", metavar="MODEL", help="a body parser that labels the data first: its run's folder, or an .onnx file"
    )
    parser.add_argument("--out", metavar="FOLDER", help="where it goes (default runs/NAME); a begun experiment goes on")
    parser.add_argument("--seed", type=int, nargs="+", default=[1], metavar="N", help="one training a seed (default 1)")
    parser.add_argument(
        "--epochs", type=float, metavar="N", help="of the joint training; stage I gets half as many (default 60 and 30)"
    )
    parser.add_argument("--width", type=positive, default=64, metavar="N", help="of the backbone (default 64)")
    parser.add_argument(
        "--batch", type=positive, default=8, metavar="N", help="training batch (default 8, the paper's)"
    )
    parser.add_argument("--base_lr", type=float, metavar="X", help="for every row (default: the paper's, by variant)")
    parser.add_argument("--weights", default="", metavar="A,B", help="weights to start from (default: from scratch)")
    parser.add_argument("--map", metavar="FILE", help="weights/maps/*.yaml that brings them into the branches")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="knobs", help="generator setting"
    )
    parser.add_argument("--only", metavar="TEXT", help="only trainings whose name holds this, to share the work")
    parser.add_argument(
        "--collect", action="store_true", help="train nothing; write the tables of what --out holds, with its settings"
    )
    add_device(parser)


def run_experiment(args: argparse.Namespace) -> int:
    from caffe_port.cli.progress import steps
    from caffe_port.par.experiment import page
    from caffe_port.par.experiment.results import collect
    from caffe_port.par.experiment.runner import prepared, run_jobs
    from caffe_port.par.experiment.words import markdown
    from caffe_port.solver.actions import signals

    if not (args.out or args.dataset):
        raise CaffeError("par experiment: give --dataset and --data, or with --collect the --out of a begun experiment")
    out = Path(args.out or f"runs/{args.dataset}")
    if args.collect:
        plan = _plan_of(str(out))
    else:
        if not (args.dataset and args.data):
            raise CaffeError("par experiment: give --dataset and --data")
        plan = _plan(args)
        seeds, plan = plan.seeds, _joined(out, plan)
        if args.root:
            _prepare(args)
        if args.parser:
            _label(args)
        prepared(args.data)  # refuses before anything is written
        _save(out, plan)
        warn(args.data, bool(plan.weights))
        with steps() as step, signals() as poll:
            run_jobs(replace(plan, seeds=seeds), args.table, out, _device(args.gpu), poll, step, args.only)
    made = collect(plan, args.table, out)
    paths = page.write(made, out)
    print(markdown(made))
    print("\n".join(map(str, paths.values())))
    return 0


def _joined(out: Path, plan: Any) -> Any:
    """The plan with the seeds of earlier calls, from <out>/plan.json. CaffeError where those had other settings."""
    if not (out / "plan.json").exists():
        return plan
    begun, now = _plan_of(str(out)), json.loads(json.dumps(_plain(plan)))
    before = json.loads(json.dumps(_plain(begun)))
    changed = [name for name in now if name != "seeds" and before[name] != now[name]]
    if changed:
        name = changed[0]
        raise CaffeError(
            f"{out}: was begun with other settings ({name}: {before[name]}, now {now[name]}); give another --out, "
            "or remove it"
        )
    return replace(plan, seeds=tuple(dict.fromkeys((*begun.seeds, *plan.seeds))))


def _save(out: Path, plan: Any) -> None:
    from caffe_port.atomic import atomic_write

    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / "plan.json") as f:
        f.write((json.dumps(_plain(plan), indent=1) + "\n").encode())


def _plan(args: argparse.Namespace) -> Any:
    from caffe_port.par.experiment.plan import Plan

    epochs = {} if args.epochs is None else {"joint_epochs": args.epochs, "stage1_epochs": args.epochs / 2}
    return Plan(
        args.dataset, args.data, seeds=tuple(args.seed), width=args.width, batch=args.batch, base_lr=args.base_lr,
        weights=tuple(w for w in args.weights.split(",") if w), weight_map=args.map,
        knobs=dict(_option(one) for one in args.knobs), split_number=args.split, **epochs,
    )  # fmt: skip


def _plain(plan: Any) -> dict[str, Any]:
    return asdict(plan)


def _prepare(args: argparse.Namespace) -> None:
    from caffe_port.cli.progress import steps
    from caffe_port.par.datasets import NAMES, open_dataset
    from caffe_port.par.prepare import prepare

    options = dict(_option(one) for one in args.option)
    if args.split is not None:
        options["split"] = args.split
    if args.dataset in NAMES:
        _check_options(args.dataset, options)
    dataset = open_dataset(args.dataset, None if args.root == "-" else args.root, **options)
    with steps() as step:
        prepare(
            dataset, args.data, size=args.size, segmentation_dir=args.segmentations, anew=False,
            progress=lambda split, done, total: step(f"preparing {split}", done, total, ""),
        )  # fmt: skip


def _label(args: argparse.Namespace) -> None:
    """The parser's segmentation into the prepared data, from wherever an earlier call came to."""
    from caffe_port.cli.progress import steps
    from caffe_port.par.parsing.pseudo import label_databases, labelled
    from caffe_port.par.use.model import open_model

    model = open_model(args.parser, device=_device(args.gpu))
    if not labelled(args.data, model):
        with steps() as step:
            label_databases(
                args.data, model, args.data, progress=lambda what, done, total: step(what, done, total, "")
            )


def understand_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", metavar="FOLDER", help="what `par experiment` wrote")
    parser.add_argument("--table", default="table1", choices=("table1", "table2"), help="whose rows (default table1)")
    add_device(parser)


def run_understand(args: argparse.Namespace) -> int:
    from caffe_port.par.understand.page import understand

    print(understand(_plan_of(args.experiment), args.experiment, args.table, _device(args.gpu)))
    return 0


def _plan_of(folder: str) -> Any:
    """The plan that `par experiment` left in its folder."""
    from caffe_port.errors import DataError
    from caffe_port.par.experiment.plan import Plan

    try:
        content = json.loads(Path(folder, "plan.json").read_text(encoding="utf-8"))
        return Plan(**{**content, "seeds": tuple(content["seeds"]), "weights": tuple(content["weights"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: not a folder that `par experiment` wrote: {error}") from None


def figures_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a run's folder, or train_val.prototxt with --weights")
    parser.add_argument("--weights", metavar="FILE", help="the weights, where MODEL is a file")
    parser.add_argument("--data", metavar="FOLDER", help="a prepared data set (default: the one it was trained on)")
    parser.add_argument("--out", metavar="FOLDER", help="where they go (default: the run's folder, or here)")
    parser.add_argument("--pictures", type=positive, default=6, metavar="N", help="pictures of figure 5 (default 6)")
    parser.add_argument("--maps", type=positive, default=6, metavar="N", help="attributes a picture (default 6)")
    parser.add_argument("--split", default="test", metavar="NAME", help="which split (default test)")
    add_device(parser)


def run_figures(args: argparse.Namespace) -> int:
    from caffe_port.cli.progress import steps
    from caffe_port.par.evaluate import evaluate
    from caffe_port.par.figures import write_figures
    from caffe_port.par.use.model import run_files

    model, weights, data = Path(args.model), args.weights, args.data
    out = args.out or (model if model.is_dir() else ".")
    if model.is_dir():
        deploy, found, train_val, trained_on = run_files(model)
        model, weights, data = train_val, weights or found, data or trained_on
    elif not weights:
        raise CaffeError(f"{model}: give its weights too, or the run's folder instead of the file")
    with steps() as step:
        result = evaluate(
            model, weights, data, args.split, device=_device(args.gpu), pictures=args.pictures,
            progress=lambda done, total: step("evaluating", done, total, ""),
        )  # fmt: skip
    kept = result.pictures
    made = write_figures(kept, result.attributes, result.rates, len(result.classes) or 20, out, args.maps)
    print("\n".join(map(str, made)))
    return 0


def time_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--variants", default="baseline,multitask,mtms,mtms_att", metavar="A,B", help="default: all")
    parser.add_argument("--batch", type=positive, nargs="+", default=[1, 32], metavar="N", help="default: 1 and 32")
    parser.add_argument("--repeats", type=positive, default=30, metavar="N", help="passes timed (default 30)")
    parser.add_argument("--width", type=positive, default=64, metavar="N", help="of the backbone (default 64)")
    parser.add_argument("--size", type=_size, default=(256, 128), metavar="HxW", help="of the patch (default 256x128)")
    parser.add_argument("--out", metavar="FILE", help="write the times as JSON there")
    add_device(parser)


def run_time(args: argparse.Namespace) -> int:
    from caffe_port.atomic import atomic_write
    from caffe_port.cli.progress import steps
    from caffe_port.par.experiment.runner import machine
    from caffe_port.par.timing import table, time_variants

    device = _device(args.gpu)
    variants = args.variants.split(",")
    with steps() as step:
        found = time_variants(
            variants, args.batch, device, args.repeats, width=args.width, size=args.size,
            step=lambda what: step(what, 0, 1, ""),
        )  # fmt: skip
    print(table(found, machine(device), (args.width, tuple(args.size)) == (64, (256, 128))))
    if args.out:
        with atomic_write(args.out) as f:
            content = {"machine": machine(device), "size": args.size, "width": args.width,
                       "times": [t.to_json() for t in found]}  # fmt: skip
            f.write((json.dumps(content, indent=1) + "\n").encode())
    return 0
