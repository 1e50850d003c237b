"""One split on disk: three LMDBs with the same keys, as three Data layers read them, written in step.

Image Datum: 3 x H x W bytes, BGR (or the bytes of a PNG or JPEG file, `encoded`). Attribute Datum: I x 1 x 1 bytes of
0, 1 and 255. Segmentation Datum: 1 x H x W bytes, 255 to be ignored.
"""

from __future__ import annotations

import io
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from caffe_port.data.db import Writer, create_db
from caffe_port.par.datasets.base import Sample
from caffe_port.proto import caffe_pb2

PARTS = ("image", "attr", "seg")
ENCODINGS = ("raw", "png", "jpeg")


def folders(out: Path, split: str) -> dict[str, Path]:
    return {part: out / f"{split}_{part}_lmdb" for part in PARTS}


class Triple:
    """The three databases of a split, open for writing; what they hold already stays and may be written again."""

    def __init__(self, out: Path, split: str) -> None:
        self._writers: list[Writer] = []
        with ExitStack() as stack:
            for path in folders(out, split).values():
                self._writers.append(stack.enter_context(create_db(path, resume=True)))
            self._stack = stack.pop_all()

    def reach(self, key: bytes) -> bool:
        """Whether each of them holds records up to this key."""
        return all((w.last_key() or b"") >= key for w in self._writers)

    def put(self, key: bytes, records: tuple[bytes, bytes, bytes]) -> None:
        for writer, record in zip(self._writers, records, strict=True):
            writer.put(key, record)

    def commit(self) -> None:
        """An interruption between the three is harmless: the same records are written again."""
        for writer in self._writers:
            writer.commit()

    def __enter__(self) -> Triple:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """After an error the databases stay marked as unfinished, with what was committed."""
        self._stack.__exit__(kind, error, trace)


def encode(sample: Sample, encoding: str, quality: int) -> tuple[bytes, bytes, bytes]:
    """The three Datums of a sample that has a segmentation."""
    assert sample.segmentation is not None
    height, width = sample.image.shape[:2]
    image = caffe_pb2.Datum(channels=3, height=height, width=width)
    if encoding == "raw":
        image.data = np.ascontiguousarray(sample.image[:, :, ::-1].transpose(2, 0, 1)).tobytes()
    else:
        image.data, image.encoded = _file(sample.image, encoding, quality), True
    attributes = caffe_pb2.Datum(channels=len(sample.attributes), height=1, width=1, data=sample.attributes.tobytes())
    labels = np.ascontiguousarray(sample.segmentation).tobytes()
    segmentation = caffe_pb2.Datum(channels=1, height=height, width=width, data=labels)
    return image.SerializeToString(), attributes.SerializeToString(), segmentation.SerializeToString()


def _file(image: np.ndarray, encoding: str, quality: int) -> bytes:
    out = io.BytesIO()
    if encoding == "png":
        Image.fromarray(image).save(out, "PNG")
    else:  # no chroma subsampling: clothes' colours are labels here
        Image.fromarray(image).save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()
