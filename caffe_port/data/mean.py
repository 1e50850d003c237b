"""The mean image of a database: what Caffe's compute_image_mean does.

Source: tools/compute_image_mean.cpp of BVLC Caffe 1.0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from caffe_port import log
from caffe_port.data import datum as datums
from caffe_port.data.db import LMDB, open_db
from caffe_port.errors import DataError

TOLD = 10000  # records between two lines of the log


def compute_mean(
    source: str, backend: int = LMDB, progress: Callable[[int, int], None] = lambda done, total: None
) -> np.ndarray:
    """(1, channels, height, width) float32: the mean of all records, compressed ones decoded as they are.

    Sums are float32 in the order of the records, so the result is Caffe's to the bit. DataError, with the record's
    key, where the shapes differ; an empty database is one too.
    """
    with open_db(source, backend) as db:
        cursor = db.cursor()
        name = "lmdb" if backend == LMDB else "leveldb"
        log.info(f"db_{name}.cpp:{35 if backend == LMDB else 18}", f"Opened {name} {source}")
        entries = len(db) if hasattr(db, "__len__") else 0  # type: ignore[arg-type]  # LMDB knows its length
        total: np.ndarray | None = None
        count, wrapped = 0, False
        while not wrapped:
            place = datums.Where(source, cursor.key)
            datum = datums.parse(cursor.value, place)
            array = datums.to_array(datum, place)
            if total is None:
                if datum.encoded:
                    log.info("compute_image_mean.cpp:57", "Decoding Datum")
                log.info("compute_image_mean.cpp:70", "Starting iteration")
                total = np.zeros(array.shape, np.float32)
            if array.shape != total.shape:
                raise DataError(
                    f"{place}: its shape is {array.shape}, the first record's {total.shape}; resize the images"
                )
            total += array
            count += 1
            if count % TOLD == 0:
                log.info("compute_image_mean.cpp:95", f"Processed {count} files.")
            progress(count, entries)
            wrapped = cursor.next()
        cursor.close()
    if count % TOLD != 0:
        log.info("compute_image_mean.cpp:101", f"Processed {count} files.")
    assert total is not None
    return (total / np.float32(count))[None]


def channel_means(mean: np.ndarray) -> list[np.float32]:
    """One number a channel, for `mean_value`: float32 sums in memory's order, as Caffe's."""
    return [np.add.accumulate(channel.ravel())[-1] / np.float32(channel.size) for channel in mean[0]]
