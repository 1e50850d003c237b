"""The main job on the embedded default: drawn pedestrians, from nothing to one page, in a few minutes without a GPU.

The same four steps that `caffe-port par prepare | prototxt | train | report` do on any data set, at a small width and
size. What is smaller than the paper's, and what differs, is written on the page.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from caffe_port.par import run as runs
from caffe_port.par.datasets.drawn import Drawn
from caffe_port.par.network import generate
from caffe_port.par.prepare import prepare

SIZE = (96, 48)
TRAIN, TEST = 2400, 600
WIDTH, BATCH = 12, 16
STAGE1, JOINT = 300, 900
BASE_LR = 2e-3

NOTES = [
    f"Width {WIDTH} instead of 64, {SIZE[0]} x {SIZE[1]} instead of 256 x 128, {TRAIN} drawn pictures instead of RAP's 33,268.",
    f"Trained from scratch (the paper starts from ImageNet's ResNet-50), {STAGE1} + {JOINT} iterations of {BATCH} pictures, "
    f"base_lr {BASE_LR:g}.",
    "Stage I is trained without computing stage II (prune_stage1), which gives stage I the same weights faster.",
]


def run_demo(
    out: str | Path = "runs/demo", device: str | None = None, step: runs.Step | None = None, **smaller: Any
) -> Path:
    """Everything; the page's path. `smaller` overrides train, test, width, size, batch, stage1, joint (for a quick
    try).

    A run that was interrupted goes on where it stopped.
    """
    began = time.monotonic()
    sizes = {
        "train": TRAIN,
        "test": TEST,
        "width": WIDTH,
        "size": SIZE,
        "batch": BATCH,
        "stage1": STAGE1,
        "joint": JOINT,
    }
    sizes.update(smaller)
    out = Path(out)
    nets, data = out / "nets", out / "data"
    dataset = Drawn(train=sizes["train"], test=sizes["test"], size=sizes["size"])

    def drawing(split: str, done: int, total: int) -> None:
        if step is not None:
            step(f"drawing {split} pictures", done, total, "")

    prepare(dataset, data, size=sizes["size"], progress=drawing)
    nets.mkdir(parents=True, exist_ok=True)
    files = generate(
        "drawn", attributes=len(dataset.attributes), classes=len(dataset.classes), width=sizes["width"], size=sizes["size"],
        batch=sizes["batch"], data=str(data), folder=str(nets), train_images=sizes["train"], test_images=sizes["test"],
        stage1_iterations=sizes["stage1"], joint_iterations=sizes["joint"], base_lr=BASE_LR, prune_stage1=True,
        mean=(127.0, 127.0, 127.0), scale=1 / 64, test_interval=max(sizes["joint"] // 3, 1), test_batch=50,
        snapshot_interval=max(sizes["joint"] // 3, 1),
    )  # fmt: skip
    for name, text in files.items():
        (nets / name).write_text(text, encoding="utf-8")
    about = {
        "title": "Pedestrian attributes on drawn people", "dataset": "drawn", "variant": "mtms_att", "loss": "weighted",
        "width": sizes["width"], "size": list(sizes["size"]), "train_images": sizes["train"], "batch": sizes["batch"],
        "data": str(data), "notes": NOTES if not smaller else [],
        "commands": [
            f"caffe-port train --solver={nets}/solver_stage1.prototxt",
            f"caffe-port train --solver={nets}/solver_joint.prototxt --weights={out}/stage1_iter_{sizes['stage1']}.caffemodel",
        ],
    }  # fmt: skip
    device = runs.pick_device(device)
    runs.train(nets, out, device=device, step=step, about=about)
    page = runs.finish(out, device=device, batch=50, step=step)
    if step is not None:
        step("done", 1, 1, f"{time.monotonic() - began:.0f} s")
    return page
