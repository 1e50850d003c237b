"""Small data sets on disk in the published layouts, for the readers' tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from PIL import Image

from caffe_port.par.datasets.published import published


def cells(values, column: bool = True) -> np.ndarray:
    """A MATLAB cell array, n x 1 or 1 x n."""
    out = np.empty((len(values), 1) if column else (1, len(values)), object)
    for i, value in enumerate(values):
        out.reshape(-1)[i] = value
    return out


def picture(path: Path, seed: int, size: tuple[int, int] = (40, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)


def peta_struct(records: int = 10) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    names = [p.name for p in published("peta")] + [f"more{i}" for i in range(70)]
    data = np.concatenate(
        [np.arange(1, records + 1)[:, None], np.full((records, 3), 7), rng.integers(0, 2, (records, 105))], 1
    ).astype(np.uint16)
    splits = []
    for _ in range(5):
        order = rng.permutation(records) + 1
        splits.append({"train": order[:5][None], "val": order[5:6][None], "test": order[6:][None]})
    return {
        "data": data,
        "attribute": cells(names),
        "selected_attribute": np.arange(5, 40, dtype=np.uint8)[None],
        "partion_attribute": cells(splits),
    }


def write_peta(root: Path, struct: dict[str, Any], suffix: str = ".png") -> Path:
    for i in range(1, len(struct["data"]) + 1):
        picture(root / "images" / f"{i:05d}{suffix}", i)
    scipy.io.savemat(root / "PETA.mat", {"peta": struct})
    return root


def rap_struct(records: int = 12) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    names = [p.name for p in published("rap")] + [f"rest{i}" for i in range(41)]
    label = rng.integers(0, 2, (records, 92)).astype(np.uint8)
    label[3, 2] = label[5, 50] = 2
    label[4, 60] = 7  # beyond the evaluated columns: nobody's concern
    splits = []
    for _ in range(5):
        order = rng.permutation(records) + 1
        splits.append({"train_index": order[:9][None], "test_index": order[9:][None]})
    return {
        "partion": cells(splits),
        "label": label,
        "attribute_eng": cells(names),
        "imagesname": cells([f"CAM{i:02d}-2014_frame{i}-line1.png" for i in range(records)]),
        "position": np.zeros((records, 16)),
    }


def write_rap(root: Path, struct: dict[str, Any]) -> Path:
    for i, name in enumerate(struct["imagesname"].ravel()):
        picture(root / "RAP_dataset" / name, i)
    scipy.io.savemat(root / "RAP_annotation.mat", {"RAP_annotation": struct})
    return root


def write_ccp(root: Path, tags: list[str], strong: int = 10, weak: int = 2) -> Path:
    """Pictures of 48 x 32 with one square person each; weak ones have a list of tags only."""
    scipy.io.savemat(make(root) / "label_list.mat", {"label_list": cells(tags, column=False)})
    for i in range(1, strong + weak + 1):
        picture(root / "photos" / f"{i:04d}.jpg", i, (48, 32))
        if i > strong:
            folder = make(root / "annotations" / "image-level")
            scipy.io.savemat(folder / f"{i:04d}.mat", {"tags": np.array([[0, 1, 3]], np.uint8)})
            continue
        truth = np.zeros((48, 32), np.uint8)
        for tag in range(1, len(tags)):
            if (i + tag) % (tag + 1) == 0:
                truth[4 + 4 * tag : 8 + 4 * tag, 10:20] = tag
        truth[2:6, 10:20] = len(tags) - 1  # the last tag is in all of them
        folder = make(root / "annotations" / "pixel-level")
        scipy.io.savemat(folder / f"{i:04d}.mat", {"groundtruth": truth}, do_compression=True)
    return root


def make(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
