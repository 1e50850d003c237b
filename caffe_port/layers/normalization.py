"""What the losses divide their sum by: LossParameter's `normalization`, and the older `normalize`.

| mode | divisor |
|---|---|
| FULL | number of predictions, ignored ones included |
| VALID | number of predictions that are not ignored |
| BATCH_SIZE | predictions before the class axis (usually N) |
| NONE | 1 |

The divisor is at least 1, so a batch without any label costs nothing instead of NaN.

Source: get_normalizer in softmax_loss_layer.cpp, sigmoid_cross_entropy_loss_layer.cpp and infogain_loss_layer.cpp of
BVLC Caffe 1.0.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from caffe_port.proto import caffe_pb2

_Loss = caffe_pb2.LossParameter
FULL, VALID, BATCH_SIZE, NONE = _Loss.FULL, _Loss.VALID, _Loss.BATCH_SIZE, _Loss.NONE


def mode(param: Any, default: int = VALID) -> int:
    """The mode asked for: `normalization`, else `normalize` (true: VALID, false: BATCH_SIZE), else the default."""
    if param.HasField("normalization"):
        return param.normalization
    if param.HasField("normalize"):
        return VALID if param.normalize else BATCH_SIZE
    return default


def divisor(mode: int, outer: int, inner: int, valid: Tensor | None) -> Tensor | int:
    """`valid` marks the predictions that are not ignored; None where nothing can be."""
    if mode == VALID and valid is not None:
        return valid.sum().clamp(min=1)
    count = {FULL: outer * inner, VALID: outer * inner, BATCH_SIZE: outer, NONE: 1}[mode]
    return max(1, count)
