"""Python layers that many nets name and whose modules belong to other projects: their own form of each.

The Python layer takes one of these where the module that a net names is nowhere to be found; a module that is there
always comes first. They derive from `caffe.Layer` as any other and run in NumPy.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from caffe_port.layers import boxes
from caffe_port.layers.base import TRAIN
from caffe_port.layers.numpy_blob import NumpyBlob
from caffe_port.layers.python import PythonLayerBase


def options(param_str: str, allowed: Sequence[str]) -> dict[str, Any]:
    """The mapping that `param_str` writes in YAML's flow or block form: 'name': value, one a line or in braces."""
    text = param_str.replace("!!python/tuple", "").strip()
    if not text.startswith("{"):
        text = "{" + ", ".join(line.strip() for line in text.splitlines() if line.strip()) + "}"
    try:
        found = dict(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError):
        raise ValueError(f"param_str {param_str!r} is not 'name': value") from None
    unknown = [name for name in found if name not in allowed]
    if unknown:
        raise ValueError(f"param_str has {unknown[0]!r}; known are {', '.join(allowed)}")
    return found


class ProposalLayer(PythonLayerBase):
    """py-faster-rcnn's rpn.proposal_layer: anchors moved, cut, the small ones left out, the best after suppression.

    Bottoms: scores (1, 2 A, h, w), background first; offsets (1, 4 A, h, w); image (1, 3): height, width, scale. Tops:
    regions (R, 5), and where named their scores (R, 1). param_str: feat_stride, scales (8, 16, 32), and of descendants
    ratios (0.5, 1, 2). As in its default configuration: least side 16 times the scale, suppression above 0.7, and 6000
    before and 300 after it in the TEST phase, 12000 and 2000 in TRAIN. Equal scores: the first in order of row, column,
    anchor, where the original sorts in no fixed order. layers/proposal.py has the C++ form, which keeps small boxes
    last.

    Source: lib/rpn/proposal_layer.py and generate_anchors.py of rbgirshick/py-faster-rcnn (Ren et al., 2015).
    """

    least, overlap, base = 16, 0.7, 16

    def setup(self, bottom: Sequence[NumpyBlob], top: Sequence[NumpyBlob]) -> None:
        # num_classes is for other layers of the same net, which get the same text
        given = options(self.param_str, ("feat_stride", "scales", "ratios", "num_classes"))
        self.stride = given["feat_stride"]
        ratio = np.array(given.get("ratios", (0.5, 1, 2)), np.float64)[:, None]
        scale = np.array(given.get("scales", (8, 16, 32)), np.float64)
        width = np.round(np.sqrt(self.base**2 / ratio))
        half = np.stack([width * scale - 1, np.round(width * ratio) * scale - 1], -1).reshape(-1, 2) / 2
        centre = (self.base - 1) / 2
        self.anchors = np.concatenate([centre - half, centre + half], 1)
        self.before, self.after = (12000, 2000) if self.phase == TRAIN else (6000, 300)
        top[0].reshape(1, 5)
        if len(top) > 1:
            top[1].reshape(1, 1)

    def forward(self, bottom: Sequence[NumpyBlob], top: Sequence[NumpyBlob]) -> None:
        scores, offsets, (info, *_) = (blob.data for blob in bottom)
        count = len(self.anchors)
        if scores.shape[:2] != (1, 2 * count) or offsets.shape != (1, 4 * count, *scores.shape[2:]):
            raise ValueError(f"{count} anchors want (1, {2 * count}, h, w) and (1, {4 * count}, h, w), not "
                             f"{scores.shape} and {offsets.shape}")  # fmt: skip
        found, wanted = self.candidates(scores, offsets, info)
        order = np.argsort(-wanted, kind="stable")[: self.before]
        found, wanted = found[order], wanted[order]
        every = torch.ones(1, len(found), dtype=torch.bool)
        keep = boxes.suppress(torch.from_numpy(found)[None], every, self.overlap, pixels=1, most=self.after)[0].numpy()
        regions = np.pad(found[keep], ((0, 0), (1, 0)))
        top[0].reshape(*regions.shape)
        top[0].data[...] = regions
        if len(top) > 1:
            top[1].reshape(len(regions), 1)
            top[1].data[...] = wanted[keep][:, None]

    def candidates(self, scores: np.ndarray, offsets: np.ndarray, info: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (K, 4) that are large enough, and their scores, by row, column and anchor."""
        height, width = scores.shape[2:]
        y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
        anchors = (np.stack([x, y, x, y], -1)[:, :, None] * self.stride + self.anchors).reshape(-1, 4)
        moves = offsets[0].reshape(-1, 4, height, width).transpose(2, 3, 0, 1).reshape(-1, 4)
        size = anchors[:, 2:] - anchors[:, :2] + 1
        centre = anchors[:, :2] + size / 2 + moves[:, :2] * size
        half = np.exp(moves[:, 2:]) * size / 2
        limit = np.array([info[1], info[0]]) - 1
        low, high = (np.clip(corner, 0, limit) for corner in (centre - half, centre + half))
        fits = (high - low + 1 >= self.least * info[2]).all(1)
        wanted = scores[0, len(self.anchors) :].transpose(1, 2, 0).reshape(-1)
        return np.concatenate([low, high], 1)[fits], wanted[fits]

    def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
        """None, as in the original."""


class SpatialDropoutLayer(PythonLayerBase):
    """ENet's spatial_dropout: whole channels become 0 with probability p, the others grow by 1 / (1 - p).

    Bottom and top (N, C, ...). param_str: {'phase': 'TRAIN' or another word, 'p': '0.1'}. In another phase all grow, as
    in the original. The gradient goes through the channels that were kept; the original takes those of the batch's last
    picture for all. The random numbers are torch's, so a seed repeats them.

    Source: python/spatial_dropout.py of TimoSaemann/caffe-enet.
    """

    def setup(self, bottom: Sequence[NumpyBlob], top: Sequence[NumpyBlob]) -> None:
        given = options(self.param_str, ("phase", "p"))
        self.drops, self.p = given["phase"] == "TRAIN", float(given["p"])
        if not 0 < self.p < 1:
            raise ValueError(f"p must lie between 0 and 1, not be {self.p:g}")

    def reshape(self, bottom: Sequence[NumpyBlob], top: Sequence[NumpyBlob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: Sequence[NumpyBlob], top: Sequence[NumpyBlob]) -> None:
        shape = bottom[0].shape
        kept = torch.rand(shape[:2]).numpy() >= self.p if self.drops else np.ones(shape[:2])
        self.factor = kept.reshape(*shape[:2], *[1] * (len(shape) - 2)) / (1 - self.p)
        top[0].data[...] = bottom[0].data * self.factor

    def backward(self, top: Sequence[NumpyBlob], propagate_down: Any, bottom: Sequence[NumpyBlob]) -> None:
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff * self.factor


KNOWN: dict[tuple[str, str], type[PythonLayerBase]] = {
    ("rpn.proposal_layer", "ProposalLayer"): ProposalLayer,
    ("spatial_dropout", "SpatialDropoutLayer"): SpatialDropoutLayer,
}
