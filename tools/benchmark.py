"""Speed beside the same network written by hand in plain torch: `make bench`.

Our net and the hand-written one run in turn in one process, on the same inputs; the figure is the median of the ratios
(hand-written time / our time: 1.0 is equal, above is faster than by hand). Measured are the full-size network of the
paper (width 64, 256 x 128, 51 attributes, 20 classes): forward at batch 1 and 8, and one training iteration (forward,
backward, Adam). Options make it smaller or pick the device; --json writes the figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from caffe_port.layers.base import TEST, TRAIN
from caffe_port.net import Net
from caffe_port.par.network import generate
from caffe_port.proto import caffe_pb2, text
from caffe_port.solver.base import Solver


class Block(nn.Module):
    """ResNet-50's bottleneck with the stride on the first 1x1, as Caffe's."""

    def __init__(self, inputs: int, width: int, stride: int, project: bool) -> None:
        super().__init__()
        self.a, self.bn_a = nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width)
        self.b, self.bn_b = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.c, self.bn_c = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.project = (
            nn.Sequential(nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))
            if project
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn_a(self.a(x)))
        y = self.relu(self.bn_b(self.b(y)))
        y = self.bn_c(self.c(y))
        y += x if self.project is None else self.project(x)
        return self.relu(y)


def blocks(inputs: int, width: int, count: int, stride: int, first: bool = True) -> nn.Sequential:
    made = [Block(inputs if first else 4 * width, width, stride if first else 1, first)]
    made += [Block(4 * width, width, 1, False) for _ in range(count - 1)]
    return nn.Sequential(*made)


class ByHand(nn.Module):
    """The paper's network as one would write it in torch."""

    def __init__(self, attributes: int, classes: int, width: int) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(
            nn.Conv2d(3, w, 7, 2, 3, bias=False),
            nn.BatchNorm2d(w),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            blocks(w, w, 3, 1),
        )
        self.par1, self.seg1, self.main = (blocks(4 * w, 2 * w, 4, 2) for _ in range(3))
        self.map1 = nn.Conv2d(8 * w, attributes, 1)
        self.score1, self.up1 = self.segmentation(8 * w, classes, 8)
        self.c = blocks(8 * w, 4 * w, 3, 2)
        self.par2, self.seg2 = (blocks(16 * w, 4 * w, 3, 1, first=False) for _ in range(2))
        self.map2 = nn.Conv2d(16 * w, attributes, 1)
        self.score2, self.up2 = self.segmentation(16 * w, classes, 16)
        self.down = nn.Conv2d(attributes, attributes, 3, 2, 1)
        self.w, self.b = nn.Conv2d(attributes, attributes, 1), nn.Conv2d(attributes, attributes, 1)

    @staticmethod
    def segmentation(inputs: int, classes: int, stride: int) -> tuple[nn.Module, nn.Module]:
        up = nn.ConvTranspose2d(classes, classes, 2 * stride, stride, stride // 2, groups=classes, bias=False)
        up.weight.requires_grad_(False)
        return nn.Conv2d(inputs, classes, 1), up

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        a = self.stem(x)
        p1, s1, m1 = self.par1(a), self.seg1(a), self.main(a)
        map1 = self.map1(p1)
        c = self.c((p1 + s1 + m1) / 3)
        map2 = self.map2(self.par2(c))
        x1 = F.relu(self.down(map1))
        y = self.b(x1) + F.relu(self.w(x1)) * map2
        return (
            map1.mean((2, 3)),
            self.up1(self.score1(s1)),
            y.mean((2, 3)),
            self.up2(self.score2(self.seg2(c))),
        )


def loss_by_hand(outputs: tuple[Tensor, ...], attributes: Tensor, segmentation: Tensor, rates: Tensor) -> Tensor:
    """Equations 2, 3 and 5 with all lambdas on; attributes weigh by their rates."""
    weight = torch.where(attributes > 0, 0.5 / rates, 0.5 / (1 - rates))
    total = torch.zeros((), device=attributes.device)
    batch = attributes.shape[0]
    for logits, scores in (outputs[:2], outputs[2:]):
        total = total + F.binary_cross_entropy_with_logits(logits, attributes, weight, reduction="sum") / batch
        total = total + 1.5e-4 * F.cross_entropy(scores, segmentation, reduction="sum", ignore_index=255) / batch
    return total


def ours(kind: str, a: argparse.Namespace, batch: int, variant: str = "mtms_att") -> str:
    """The generated net with its data layers replaced by inputs, as text."""
    rates = Path(a.scratch) / "rates.txt"
    rates.write_text("".join(f"a{i},0.3\n" for i in range(a.attributes)))
    files = generate(
        "bench",
        attributes=a.attributes,
        classes=a.classes,
        variant=variant,
        width=a.width,
        size=(a.height, a.image_width),
        batch=batch,
        rates=str(rates),
        train_images=8,
        test_images=8,
        deploy_batch=batch,
    )
    param = text.parse(files[f"{kind}.prototxt"], caffe_pb2.NetParameter).message
    shapes = {
        "data": (batch, 3, a.height, a.image_width),
        "attr": (batch, a.attributes, 1, 1),
        "seg": (batch, 1, a.height, a.image_width),
    }
    kept = [layer for layer in param.layer if layer.type not in ("Data", "Input")]
    del param.layer[:]
    for name, shape in shapes.items():
        if any(name in layer.bottom for layer in kept):
            new = param.layer.add(name=name, type="Input", top=[name])
            new.input_param.shape.add().dim.extend(shape)
    param.layer.extend(kept)
    return text.format(param)


def clock(run: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    run()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def compare(
    name: str, mine: Callable[[], object], theirs: Callable[[], object], a: argparse.Namespace
) -> dict[str, object]:
    for _ in range(a.warmup):
        clock(mine, a.device)
        clock(theirs, a.device)
    pairs = []
    for i in range(a.rounds):
        order = (mine, theirs) if i % 2 == 0 else (theirs, mine)
        times = {id(run): clock(run, a.device) for run in order}
        pairs.append((times[id(mine)], times[id(theirs)]))
    ratio = statistics.median(t / m for m, t in pairs)
    figures = {
        "case": name,
        "ratio": round(ratio, 3),
        "ours_ms": round(1e3 * statistics.median(m for m, _ in pairs), 1),
        "by_hand_ms": round(1e3 * statistics.median(t for _, t in pairs), 1),
        "rounds": a.rounds,
    }
    print(
        f"{name:28s} ratio {ratio:5.3f}   ours {figures['ours_ms']:9} ms   by hand {figures['by_hand_ms']:9} ms",
        flush=True,
    )
    return figures


def forward_case(batch: int, a: argparse.Namespace) -> dict[str, object]:
    net = Net(text.parse(ours("deploy", a, batch), caffe_pb2.NetParameter).message, TEST).to(a.device)
    hand = ByHand(a.attributes, a.classes, a.width).eval().to(a.device)
    x = torch.randn(batch, 3, a.height, a.image_width, device=a.device)

    def by_hand() -> list[Tensor]:
        p1, s1, p2, s2 = hand(x)
        return [torch.sigmoid(p1), torch.softmax(s1, 1), torch.sigmoid(p2), torch.softmax(s2, 1)]

    with torch.inference_mode():
        return compare(f"forward, batch {batch}", lambda: net.run({"data": x}), by_hand, a)


def training_solver(batch: int, a: argparse.Namespace, variant: str = "mtms_att") -> Solver:
    """A solver of the whole net, by Adam, over one batch that stays in its input blobs."""
    solver_param = caffe_pb2.SolverParameter(
        type="Adam",
        base_lr=3e-4,
        momentum=0.9,
        momentum2=0.999,
        lr_policy="fixed",
        max_iter=10**6,
        display=0,
        snapshot_prefix=str(Path(a.scratch) / "bench"),
    )
    solver_param.net_param.CopyFrom(text.parse(ours("train_val", a, batch, variant), caffe_pb2.NetParameter).message)
    solver_param.train_state.stage.append("joint")
    solver = Solver(solver_param, device=a.device, log_nets=False)
    blobs = solver.net.blobs
    blobs["data"].data.normal_()
    blobs["attr"].data.copy_(torch.rand(blobs["attr"].shape) < 0.3)
    if "seg" in blobs:
        blobs["seg"].data.copy_(torch.randint(0, a.classes, blobs["seg"].shape))
    return solver


def training_case(batch: int, a: argparse.Namespace) -> dict[str, object]:
    solver = training_solver(batch, a)
    x, attributes, segmentation = (solver.net.blobs[name].data for name in ("data", "attr", "seg"))
    attributes, segmentation = attributes.flatten(1), segmentation[:, 0].long()
    hand = ByHand(a.attributes, a.classes, a.width).train().to(a.device)
    optimizer = torch.optim.Adam([p for p in hand.parameters() if p.requires_grad], lr=3e-4)
    rates = torch.full((a.attributes,), 0.3, device=a.device)

    def by_hand() -> None:
        optimizer.zero_grad()
        loss_by_hand(hand(x), attributes, segmentation, rates).backward()
        optimizer.step()

    assert solver.net.phase == TRAIN
    return compare(f"training iteration, batch {batch}", lambda: solver.step(1), by_hand, a)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--width", type=int, default=64)
    p.add_argument("--height", type=int, default=256)
    p.add_argument("--image-width", type=int, default=128)
    p.add_argument("--attributes", type=int, default=51)
    p.add_argument("--classes", type=int, default=20)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--warmup", type=int, default=1)
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--only", choices=["forward1", "forward8", "train"])
    p.add_argument("--scratch", default="/tmp")
    p.add_argument("--json", type=Path)
    a = p.parse_args()
    cases = {
        "forward1": lambda: forward_case(1, a),
        "forward8": lambda: forward_case(8, a),
        "train": lambda: training_case(8, a),
    }
    print(f"torch {torch.__version__}, {a.device}, {torch.get_num_threads()} threads; ratio = by hand / ours")
    figures = [run() for name, run in cases.items() if a.only in (None, name)]
    if a.json:
        a.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
