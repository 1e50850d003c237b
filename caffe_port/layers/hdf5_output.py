"""HDF5Output: two blobs into an HDF5 file."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import numpy as np
from torch import Tensor

from caffe_port import log
from caffe_port.data.extras import need
from caffe_port.layers.base import Layer, Shape, register


@register()
class HDF5Output(Layer):
    """Bottoms data and label into the data sets "data" and "label" of `hdf5_output_param.file_name`; no tops.

    Both are written with four axes, (num, channels, height, width), missing ones 1; more than four are an error. The
    first forward makes the file anew (Caffe does at setup, so that even looking at a net wipes it). Further ones append
    along the first axis, where Caffe aborts. Needs h5py (`pip install caffe-port[hdf5]`).
    Source: hdf5_output_layer.cpp of BVLC Caffe 1.0.
    """

    role = "metric"
    bottoms = (2, 2)
    tops = (0, 0)

    def setup(self, bottom_shapes: list[Shape]) -> None:
        self.file_name = self.param.hdf5_output_param.file_name
        if not self.file_name:
            raise self.error("hdf5_output_param.file_name must be given")
        self.started = False

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        for name, shape in zip(("data", "label"), bottom_shapes, strict=True):
            if not 1 <= len(shape) <= 4:
                raise self.shape_error(f"{name} has {len(shape)} axes; one to four can be written")
        data, label = bottom_shapes
        if data[0] != label[0]:
            raise self.shape_error(f"data has {data[0]} rows and label {label[0]}; they must be as many")
        return []

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        h5py = need("h5py", "hdf5", f"{self.title}: writing")
        if self.verbose:
            log.info("hdf5_output_layer.cpp:33", f"Saving HDF5 file {self.file_name}")
        try:
            with h5py.File(self.file_name, "a" if self.started else "w") as file:
                for name, bottom in zip(("data", "label"), bottoms, strict=True):
                    self._append(file, name, bottom)
        except (OSError, ValueError) as e:
            raise self.error(f"{os.path.abspath(self.file_name)} cannot be written: {e}") from None
        self.started = True
        if self.verbose:
            log.info("hdf5_output_layer.cpp:38", f"Successfully saved {len(bottoms[0])} rows")
        return ()

    def _append(self, file: Any, name: str, bottom: Tensor) -> None:
        rows = bottom.detach().cpu().numpy().astype(np.float32)
        rows = rows.reshape(rows.shape + (1,) * (4 - rows.ndim))
        with contextlib.suppress(KeyError):
            stored = file[name]
            stored.resize(stored.shape[0] + len(rows), axis=0)
            stored[-len(rows) :] = rows
            return
        file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]))
