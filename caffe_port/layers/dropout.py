"""Dropout: in training, each element is dropped at random."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from caffe_port.layers.base import TRAIN, Layer, register


@register()
class Dropout(Layer):
    """TRAIN: y = x * mask / (1 - dropout_ratio), mask 1 with probability 1 - dropout_ratio; TEST: y = x.

    Bottom and top: any shape. dropout_ratio must lie in [0, 1) or it raises (Caffe checks that in debug builds only).
    The field `scale_train: false` of some forks moves the scaling to the other phase: TRAIN
    y = x * mask, TEST y = x * (1 - dropout_ratio). SegNet's `sample_weights_test` drops in the TEST phase too. The mask
    is drawn from torch's generator of the bottom's device.
    Source: src/caffe/layers/dropout_layer.cpp:11-67. Unlike torch.nn.Dropout the phase decides, not train()/eval().
    """

    fork_fields: ClassVar[tuple[str, ...]] = ("dropout_param.scale_train", "dropout_param.sample_weights_test")

    def setup(self, bottom_shapes) -> None:
        ratio = self.param.dropout_param.dropout_ratio
        if not 0 <= ratio < 1:
            raise self.error(f"dropout_ratio must be at least 0 and below 1, not {ratio:g}")

    @property
    def scale_train(self) -> bool:
        return self.param.dropout_param.scale_train

    @property
    def drops(self) -> bool:
        return self.phase == TRAIN or self.param.dropout_param.sample_weights_test

    def changes_values(self) -> bool:
        return self.drops or not self.scale_train

    def forward(self, bottom: Tensor) -> Tensor:
        keep = 1.0 - self.param.dropout_param.dropout_ratio
        if self.drops:
            mask = torch.empty_like(bottom).bernoulli_(keep)
            return bottom * (mask / keep if self.scale_train else mask)
        return bottom if self.scale_train else bottom * keep

    def onnx(self, graph, bottoms, tops) -> None:
        if self.drops:
            raise self.unsupported("sample_weights_test: it draws at random in the TEST phase too")
        if self.scale_train:
            graph.node("Identity", bottoms, tops)
        else:
            keep = graph.const(np.float32(1.0 - self.param.dropout_param.dropout_ratio), "keep")
            graph.node("Mul", [bottoms[0], keep], tops)

