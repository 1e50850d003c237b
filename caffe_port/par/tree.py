"""Everything under prototxt/ that is generated, in one place; `python -m caffe_port.par.tree` writes it anew."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from caffe_port.atomic import atomic_write
from caffe_port.par import classic
from caffe_port.par.network import generate
from caffe_port.par.parsing import network as parser
from caffe_port.par.settings import LOSSES, VARIANTS

DATASETS: dict[str, dict[str, Any]] = {
    "rap": {"attributes": 51},
    "peta": {"attributes": 35},
    "ccp": {"attributes": 29, "train_images": 784, "test_images": 220},
    "drawn": {"attributes": 30, "train_images": 2000, "test_images": 500, "width": 16, "size": (128, 64)},
}
"""Attributes and images as the readers give them by default; the drawn set's net is narrow enough for a CPU."""


def tree() -> Iterator[tuple[str, str]]:
    """(path below prototxt/, text) of every generated file."""
    for dataset, settings in DATASETS.items():
        for variant in VARIANTS:
            for loss in LOSSES:
                folder = f"hmt/{dataset}/{variant}/{loss}"
                files = generate(dataset, variant=variant, loss=loss, **settings)
                if loss == "weighted":
                    files |= generate(dataset, variant=variant, loss=loss, python_loss=True, **settings)
                yield from ((f"{folder}/{name}", text) for name, text in files.items())
    yield from ((f"parsing/resnet101/{name}", text) for name, text in parser.generate().items())
    yield from ((f"classic/{name}", text) for name, text in classic.files().items())


def write_tree(root: str | Path = "prototxt") -> int:
    """Write the files that are new or differ; how many those were."""
    written = 0
    for name, text in tree():
        path = Path(root, name)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as f:
                f.write(text.encode())
            written += 1
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", nargs="?", default="prototxt", help="the folder to write (default: %(default)s)")
    root = parser.parse_args().root
    print(f"{write_tree(root)} of {len(list(tree()))} files written under {root}")


if __name__ == "__main__":
    main()
