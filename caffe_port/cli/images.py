"""What the tools that look at images (classify, detect) read from their flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caffe_port.errors import CaffeError

if TYPE_CHECKING:
    import numpy as np


def numbers(flag: str, text: str) -> list[int]:
    """Whole numbers separated by commas."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise CaffeError(f"--{flag}={text}: give whole numbers separated by commas") from None


def load_mean(path: str) -> np.ndarray:
    """K x H x W or K values, of a .npy or .binaryproto file."""
    import numpy as np

    from caffe_port.proto.binary import read_blob

    try:
        mean = read_blob(path) if path.endswith("proto") else np.load(path)
    except ValueError as e:
        raise CaffeError(f"{path}: not a .npy file ({e})") from None
    return mean[0] if mean.ndim == 4 else mean
