"""What the detection layers' tests share: definitions in plain float64 NumPy, inputs, and cases whose tops have as many
rows as the values make."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from caffe_port.islands import Islands
from tests.layers import runner
from tests.layers.runner import Case


def iou(a, b, pixels=0):
    """Overlap of two boxes, from the definition; inverted boxes have no area."""

    def area(box):
        return 0 if box[2] < box[0] or box[3] < box[1] else (box[2] - box[0] + pixels) * (box[3] - box[1] + pixels)

    w, h = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + pixels for i in (0, 1))
    shared = w * h if w > 0 and h > 0 else 0
    return shared / (area(a) + area(b) - shared) if shared else 0


def greedy(boxes, order, threshold, eta=1, pixels=0, inclusive=False):
    """Indices that greedy suppression keeps of `order`, best first."""
    kept = []
    for i in order:
        overlaps = [iou(boxes[i], boxes[k], pixels) for k in kept]
        if all(o < threshold if inclusive else o <= threshold for o in overlaps):
            kept.append(i)
            if eta < 1 and threshold > 0.5:
                threshold *= eta
    return kept


def grid_priors(h, w, size=0.3, variance=(0.1, 0.1, 0.2, 0.2)):
    """(1, 2, 4 * h * w): one box of `size` (and of 0.7 of its height) around each place of a grid."""
    centres = [((x + 0.5) / w, (y + 0.5) / h) for y in range(h) for x in range(w)]
    boxes = [(x - size / 2, y - size * 0.35, x + size / 2, y + size * 0.35) for x, y in centres]
    return np.stack([np.ravel(boxes), np.tile(variance, h * w)])[None]


def ordered(rows):
    """The rows by their first columns (image, class, score)."""
    return rows[np.lexsort(rows[:, 2::-1].T)]


def run_free(cases: Sequence[Case]) -> Callable[..., None]:
    """Like runner.run, for layers whose number of rows depends on the values, so that the shape rule cannot know it."""

    def forward(case: Case) -> None:
        tops = runner.outputs(runner.make(case).double(), runner.feed(case, torch.float64))
        for i, (top, want) in enumerate(zip(tops, case.reference(runner.inputs(case), []), strict=True)):
            runner.close(top.detach().numpy(), want, case.tolerance, f"top {i}", case)
        singles = runner.outputs(runner.make(case), runner.feed(case, torch.float32))
        for i, (single, top) in enumerate(zip(singles, tops, strict=True)):
            runner.close(single.numpy(), top.numpy(), max(case.tolerance, 2e-5), f"float32 top {i}", case)

    def islands(case: Case) -> None:
        net = runner.make(case)
        for name, value in runner.feed(case, torch.float32).items():
            net.blobs[name].data.copy_(value)
        Islands(net).forward()
        for i, top in enumerate(runner.outputs(runner.make(case), runner.feed(case, torch.float32))):
            runner.close(net.blobs[f"t{i}"].data.numpy(), top.numpy(), 0, f"island top {i}", case)

    def opencv(case: Case) -> None:
        """OpenCV's top has room for all rows that there could be; what it does not fill is 0. Its order is another."""
        cv2 = pytest.importorskip("cv2", reason="OpenCV is an optional second opinion")
        if not hasattr(cv2.dnn, "readNetFromCaffe"):
            pytest.skip("OpenCV 5 has no Caffe reader")
        text = runner.definition(case).encode()
        theirs = cv2.dnn.readNetFromCaffe(np.frombuffer(text, np.uint8))
        for name, value in runner.feed(case, torch.float32).items():
            theirs.setInput(value.numpy(), name)
        top = runner.outputs(runner.make(case), runner.feed(case, torch.float32))[0].numpy()
        got = np.asarray(theirs.forward()).reshape(-1, top.shape[-1])
        count = top.size // top.shape[-1]
        assert not got[count:].any(), f"{case.name}: OpenCV has more than our {count} rows"
        rows = top.reshape(count, -1)
        runner.close(ordered(got[:count]), ordered(rows), case.opencv_tolerance, "OpenCV's rows, in order", case)

    checks = {**runner.CHECKS, "forward": forward, "islands": islands, "opencv": opencv}
    table = [
        pytest.param(check, case, id=f"{case.name}-{check}")
        for case in cases for check in ("forward", "islands", "onnx", "opencv") if runner.applies(check, case)
    ]

    @pytest.mark.parametrize(("check", "case"), table)
    def test_free(check: str, case: Case) -> None:
        checks[check](case)

    return test_free


def gradients(cases: Sequence[Case]) -> Callable[..., None]:
    """The derivative along random directions: for cases too large to go through element by element."""

    @pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])
    def test_gradient(case: Case) -> None:
        layer = runner.make(case).double().layer("l")
        given = [torch.tensor(a) for a in runner.inputs(case)]
        allowed = range(len(given)) if layer.differentiable_bottoms is None else layer.differentiable_bottoms
        free = [given[i].requires_grad_() for i in allowed]
        torch.manual_seed(1)
        assert torch.autograd.gradcheck(lambda *_: layer(*given), free, fast_mode=True)

    return test_gradient
