"""The main job on the embedded default: drawn pedestrians, from nothing to one page, in a few minutes without a GPU.

The same four steps that `caffe-port par prepare | prototxt | train | report` do on any data set, at a small width and
size. What is smaller than the paper's, and what differs, is written on the page.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from caffe_port.par import run as runs
from caffe_port.par.datasets.drawn import Drawn
from caffe_port.par.network import generate
from caffe_port.par.prepare import prepare


@dataclass(frozen=True)
class Scale:
    """How small the demo is: pictures, their height and width, the net's width, iterations of each training."""

    train: int = 4800
    test: int = 600
    size: tuple[int, int] = (96, 48)
    width: int = 12
    batch: int = 16
    stage1: int = 300
    joint: int = 1200
    base_lr: float = 3e-3
    step: int = 600

    def notes(self) -> list[str]:
        height, width = self.size
        return [
            f"Width {self.width} instead of 64, {height} x {width} instead of 256 x 128, {self.train} drawn pictures "
            "instead of RAP's 33,268.",
            "Trained from scratch, where the paper starts from ImageNet's ResNet-50: "
            f"{self.stage1} + {self.joint} iterations of {self.batch} pictures, base_lr {self.base_lr:g}, "
            f"times 0.25 every {self.step} iterations.",
            "Lambda of the segmentation losses is 1e-3 instead of 1.5e-4: they sum over pixels, which are fewer here.",
            "Stage I is trained without computing stage II (prune_stage1): faster, with the same weights.",
            "BatchNorm averages its statistics with fraction 0.95 instead of Caffe's 0.999, which needs thousands of "
            "iterations.",
        ]


def run_demo(
    out: str | Path = "runs/demo",
    device: str | None = None,
    step: runs.Step | None = None,
    scale: Scale = Scale(),  # noqa: B008 - frozen
) -> Path:
    """Everything; the page's path. A run that was interrupted goes on where it stopped."""
    began = time.monotonic()
    out = Path(out)
    nets, data = out / "nets", out / "data"
    dataset = Drawn(train=scale.train, test=scale.test, size=scale.size)

    def drawing(split: str, done: int, total: int) -> None:
        if step is not None:
            step(f"drawing {split} pictures", done, total, "")

    prepare(dataset, data, size=scale.size, progress=drawing, workers=2)
    nets.mkdir(parents=True, exist_ok=True)
    for name, text in _definitions(dataset, nets, data, scale).items():
        (nets / name).write_text(text, encoding="utf-8")
    about = {
        "title": "Pedestrian attributes on drawn people",
        "dataset": "drawn",
        "variant": "mtms_att",
        "loss": "weighted",
        "width": scale.width,
        "size": list(scale.size),
        "train_images": scale.train,
        "batch": scale.batch,
        "data": str(data),
        "notes": scale.notes(),
        "commands": [f"caffe-port par demo --out {out}"],
    }
    device = runs.pick_device(device)
    runs.train(nets, out, device=device, step=step, about=about)
    page = runs.finish(out, device=device, batch=50, step=step)
    if step is not None:
        step("done", 1, 1, f"{time.monotonic() - began:.0f} s")
    return page


def _definitions(dataset: Drawn, nets: Path, data: Path, scale: Scale) -> dict[str, str]:
    third = max(scale.joint // 3, 1)
    return generate(
        "drawn",
        attributes=len(dataset.attributes),
        classes=len(dataset.classes),
        width=scale.width,
        size=scale.size,
        batch=scale.batch,
        test_batch=min(50, scale.test),
        data=str(data),
        folder=str(nets),
        train_images=scale.train,
        test_images=scale.test,
        stage1_iterations=scale.stage1,
        joint_iterations=scale.joint,
        base_lr=scale.base_lr,
        gamma=0.25,
        seg_lambda=1e-3,
        step_iterations=scale.step,
        prune_stage1=True,
        bn_fraction=0.95,
        mean=(127.0, 127.0, 127.0),
        scale=1 / 64,
        test_interval=third,
        snapshot_interval=third,
    )
