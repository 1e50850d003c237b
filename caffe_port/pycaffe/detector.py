"""`caffe.Detector`: a net over windows of images, as in R-CNN.

Source: python/caffe/detector.py of BVLC Caffe 1.0.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from caffe_port.layers.base import TEST
from caffe_port.pycaffe import io
from caffe_port.pycaffe.classifier import image_transformer
from caffe_port.pycaffe.net import Net


class Detector(Net):
    """`context_pad`: how many pixels of the net's (square) input, on each side, show what is around the window; what
    lies outside the image there is the mean. The rest as the Transformer takes it."""

    def __init__(
        self,
        model_file: str | os.PathLike[str],
        pretrained_file: str | os.PathLike[str] | None,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows: Iterable[tuple[str, Sequence[Sequence[int]]]]) -> list[dict[str, Any]]:
        """A dict (filename, window, prediction) a window (ymin, xmin, ymax, xmax), for each (image file, windows)."""
        jobs, crops = [], []
        for filename, windows in images_windows:
            image = io.load_image(filename)
            for window in windows:
                jobs.append((filename, window))
                crops.append(self.crop(image, window))
        if not jobs:
            return []
        name = self.inputs[0]
        data = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        predictions = self.forward_all(**{name: data})[self.outputs[0]]
        return [
            {"window": window, "prediction": prediction, "filename": filename}
            for (filename, window), prediction in zip(jobs, predictions, strict=True)
        ]

    def detect_selective_search(self, image_fnames: Sequence[str]) -> list[dict[str, Any]]:
        """`detect_windows` over the windows that the package selective_search_ijcv_with_python proposes (it runs
        MATLAB); ImportError without it."""
        import selective_search_ijcv_with_python as selective_search

        names = [os.path.abspath(name) for name in image_fnames]
        windows = selective_search.get_windows(names, cmd="selective_search_rcnn")
        return self.detect_windows(zip(names, windows, strict=True))

    def crop(self, im: np.ndarray, window: Sequence[int]) -> np.ndarray:
        """The window of the image, of its own size; with `context_pad` warped into the net's input, with what is
        around it."""
        y0, x0, y1, x1 = (int(value) for value in window)
        if not self.context_pad:
            return im[y0:y1, x0:x1]
        size = int(self.crop_dims[1])
        scale = size / (size - 2.0 * self.context_pad)
        half = (y1 - y0 + 1) / 2.0, (x1 - x0 + 1) / 2.0
        center = y0 + half[0], x0 + half[1]
        box = np.round([c + side * scale * h for side in (-1, 1) for c, h in zip(center, half, strict=True)])
        scale_h, scale_w = size / (box[2] - box[0] + 1), size / (box[3] - box[1] + 1)
        pad_y, pad_x = round(max(0.0, -box[0]) * scale_h), round(max(0.0, -box[1]) * scale_w)
        rows, columns = im.shape[:2]
        box = np.clip(box, 0.0, [rows, columns, rows, columns]).astype(int)
        crop_h = min(round((box[2] - box[0] + 1) * scale_h), size - pad_y)
        crop_w = min(round((box[3] - box[1] + 1) * scale_w), size - pad_x)
        inside = io.resize_image(im[box[0] : box[2], box[1] : box[3]], (crop_h, crop_w))
        crop = np.ones(self.crop_dims, np.float32) * self.crop_mean
        crop[pad_y : pad_y + crop_h, pad_x : pad_x + crop_w] = inside
        return crop

    def configure_crop(self, context_pad: int | None) -> None:
        """Set the context, and the mean that stands for what is outside an image, in the images' own space.

        ValueError: the context leaves no room for the window.
        """
        name = self.inputs[0]
        back = np.argsort(self.transformer.transpose[name])
        self.crop_dims = np.array(self.blobs[name].shape[1:])[back]
        if context_pad and 2 * context_pad >= min(self.crop_dims[:2]):
            raise ValueError(f"context_pad {context_pad} on each side leaves nothing of an input of "
                             f"{self.crop_dims[0]} x {self.crop_dims[1]}")  # fmt: skip
        self.context_pad = context_pad
        self.crop_mean = np.zeros(tuple(self.crop_dims), np.float32)
        mean = self.transformer.mean.get(name)
        if not context_pad or mean is None:
            return
        self.crop_mean = mean.transpose(back)
        if name in self.transformer.channel_swap:
            self.crop_mean = self.crop_mean[:, :, np.argsort(self.transformer.channel_swap[name])]
        if name in self.transformer.raw_scale:
            self.crop_mean = self.crop_mean / np.float32(self.transformer.raw_scale[name])
