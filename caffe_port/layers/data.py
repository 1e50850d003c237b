"""Data: batches out of an LMDB or a LevelDB."""

from __future__ import annotations

from caffe_port import log
from caffe_port.data.db import open_db
from caffe_port.data.records import DbRecords
from caffe_port.data.transformer import Transformer
from caffe_port.layers.base import register
from caffe_port.layers.prefetching import PrefetchingLayer


@register()
class Data(PrefetchingLayer):
    """The records of `data_param.source` in key order, for ever, `batch_size` at a time, through `transform_param`.

    Tops: data (batch, channels, height, width) and, where the definition has a second one, label (batch,). The shape
    is that of each batch's first record after the crop; the records of one batch must agree. `prefetch` batches (4)
    are made ahead; 0 makes none ahead (Caffe hangs).

    Beyond Caffe: a record without a label, with too few numbers, or cut short is an error (Caffe goes on with 0, with
    foreign memory, with gray). `rand_skip` and `force_encoded_color` do nothing, as in Caffe 1.0; that the data start
    at the first record in spite of `rand_skip` is logged.
    Source: data_layer.cpp, base_data_layer.cpp of BVLC Caffe 1.0; see data/transformer.py, data/datum.py, data/db.py.
    """

    tops = (1, 2)
    size_place = "data_layer.cpp:45"

    @property
    def batch_size(self) -> int:
        return self.param.data_param.batch_size

    @property
    def depth(self) -> int:
        return self.param.data_param.prefetch

    @property
    def is_random(self) -> bool:
        return False

    def open(self, transformer: Transformer, seed: int) -> DbRecords:
        p = self.param.data_param
        if p.rand_skip:
            log.warn("data_layer.cpp:45", f"{self.title}: rand_skip is ignored, as in Caffe 1.0 (ImageData has it)")
        labels = len(self.param.top) > 1
        return DbRecords(open_db(p.source, p.backend), labels, lambda: transformer.color, self.restarts())
