"""`caffe.Classifier`: a net that takes images of any size and averages over crops.

Source: python/caffe/classifier.py of BVLC Caffe 1.0.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from caffe_port.layers.base import TEST
from caffe_port.pycaffe import io
from caffe_port.pycaffe.net import Net


class Classifier(Net):
    """`image_dims` (height, width): the size to resize images to before they are cropped to the net's input; the
    input's own size unless given. `mean`, `input_scale`, `raw_scale`, `channel_swap`: as the Transformer takes them."""

    def __init__(
        self,
        model_file: str | os.PathLike[str],
        pretrained_file: str | os.PathLike[str] | None,
        image_dims: Sequence[int] | None = None,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims if image_dims is None or len(image_dims) == 0 else np.array(image_dims)

    def predict(self, inputs: Sequence[np.ndarray], oversample: bool = True) -> np.ndarray:
        """(N, classes): the net's first output for N images (H x W x K), each the mean over ten crops (corners,
        center, mirrored), or of the center crop alone.

        ValueError: `image_dims` is smaller than the net's input.
        """
        dims = (int(self.image_dims[0]), int(self.image_dims[1]))
        images = np.stack([io.resize_image(image, dims) for image in inputs])
        if oversample:
            crops = io.oversample(images, self.crop_dims)
        else:
            crops = io.center_crops(images, self.crop_dims)
        name = self.inputs[0]
        data = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        predictions = self.forward_all(**{name: data})[self.outputs[0]]
        if oversample:
            predictions = predictions.reshape(len(predictions) // 10, 10, -1).mean(1)
        return predictions


def image_transformer(net: Net, mean: Any, input_scale: Any, raw_scale: Any, channel_swap: Any) -> io.Transformer:
    """For images (H x W x K) into the net's first input; None leaves a step out."""
    name = net.inputs[0]
    transformer = io.Transformer({name: net.blobs[name].shape})
    transformer.set_transpose(name, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(name, mean)
    if input_scale is not None:
        transformer.set_input_scale(name, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(name, channel_swap)
    return transformer
