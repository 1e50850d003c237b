"""A list of image files into a database: what Caffe's convert_imageset does.

Keys are `00000012_folder/name.png`: the line's number, 8 digits, and the file as the list names it.
Source: tools/convert_imageset.cpp, ReadImageToDatum in src/caffe/util/io.cpp of BVLC Caffe 1.0.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port import log
from caffe_port.data.datum import channels_first, encode_datum
from caffe_port.data.db import LMDB, create_db
from caffe_port.data.encode import encode
from caffe_port.data.image import decode, resize
from caffe_port.errors import DataError

TOLD = 1000  # images between two lines of the log
AHEAD = 64  # images decoded before the first of them is written: what bounds the memory


@dataclass
class Options:
    """How an image becomes a Datum.

    `height`, `width`: resize to this; 0 leaves the size, one of the two alone does too, as in Caffe. `encoded`: store
    compressed images, of the kind `encode_type` or as the file's name ends. `check_size`: all images must be equally
    large, compressed ones too. `shuffle`: in a random order.
    """

    gray: bool = False
    shuffle: bool = False
    height: int = 0
    width: int = 0
    check_size: bool = False
    encoded: bool = False
    encode_type: str = ""


def datum_of(path: str, label: int, options: Options) -> tuple[Any, tuple[int, ...]]:
    """The Datum of one image file, and the shape of its pixels. ValueError, OSError: a file not there, or no image.

    A compressed image that would be written as it is (no resize, the same kind) is the file's own bytes; then gray
    does not change it, as in Caffe, and its Datum gives no channels, height and width.
    """
    data = Path(path).read_bytes()
    image = decode(data, not options.gray)
    if options.height > 0 and options.width > 0:
        image = resize(image, options.height, options.width)
    if not (options.encoded or options.encode_type):
        datum = encode_datum(channels_first(image), label)
        datum.encoded = False  # Caffe writes it out
        return datum, image.shape
    ending = os.path.splitext(path)[1][1:].lower()
    kind = options.encode_type or ending
    if not (options.height or options.width) and (ending == kind.lower() or (kind, ending) == ("jpg", "jpeg")):
        return encode_datum(encoded=data, label=label), image.shape
    return encode_datum(encoded=encode(image, kind), label=label), image.shape


def convert(
    lines: Sequence[tuple[str, int]],
    root: str,
    target: str,
    options: Options,
    backend: int = LMDB,
    resume: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write the images into a new database and return how many; `root` is put before their names as it is.

    A file that cannot be read is left out with a line in the log, as by Caffe; DataError when none can. `resume`: go
    on behind the last record of an interrupted conversion of the same list. An interrupt (Ctrl-C) keeps every image
    that was told as done, and the database marked as unfinished.
    """
    _check_kind(options.encode_type)
    if options.shuffle:
        log.info("convert_imageset.cpp:86", "Shuffling data")
        lines = random.sample(lines, len(lines))
    log.info("convert_imageset.cpp:89", f"A total of {len(lines)} images.")
    if options.encode_type and not options.encoded:
        log.info("convert_imageset.cpp:92", "encode_type specified, assuming encoded=true.")
    if bool(options.height) != bool(options.width):
        log.warn("convert_imageset.cpp:95", "resize_height and resize_width belong together: nothing is resized")
    with create_db(target, backend, resume) as out:
        name = "lmdb" if backend == LMDB else "leveldb"
        log.info(f"db_{name}.cpp:{35 if backend == LMDB else 18}", f"Opened {name} {target}")
        first = _next_line(out.last_key(), target) if resume else 0
        done, missing = 0, 0
        wanted: tuple[int, ...] | None = None
        try:
            for number, read in _datums(lines, root, options, first):
                progress(number, len(lines))
                if isinstance(read, str):
                    log.error("io.cpp:80", f"Could not open or find file {root}{lines[number][0]}: {read}")
                    missing += 1
                    continue
                datum, shape = read
                wanted = wanted or shape
                if options.check_size and shape != wanted:
                    raise DataError(
                        f"{root}{lines[number][0]}: it is {_size(shape)}, the first image {_size(wanted)}; "
                        "give --resize_height and --resize_width, or leave --check_size out"
                    )
                key = f"{number:08d}_{lines[number][0]}".encode("utf-8", "surrogateescape")
                out.put(key, datum.SerializeToString())
                done += 1
                if done % TOLD == 0:
                    log.info("convert_imageset.cpp:147", f"Processed {done} files.")
        except KeyboardInterrupt:
            out.commit()
            raise KeyboardInterrupt(
                f"{done} of {len(lines) - first} images are in {target}; the same command with --resume goes on"
            ) from None
        progress(len(lines), len(lines))
    if not done and not first:
        shutil.rmtree(target)
        raise DataError(f"none of the {len(lines)} images could be read; is '{root}' their folder, with its slash?")
    if done % TOLD != 0:
        log.info("convert_imageset.cpp:153", f"Processed {done} files.")
    if missing:
        log.warn("convert_imageset.cpp:124", f"{missing} images could not be read and are left out")
    return done


def _datums(
    lines: Sequence[tuple[str, int]], root: str, options: Options, first: int
) -> Iterator[tuple[int, tuple[Any, tuple[int, ...]] | str]]:
    """(line, `datum_of` or why there is none) in order, decoded in as many threads as there are cores."""

    def read(number: int) -> tuple[Any, tuple[int, ...]] | str:
        name, label = lines[number]
        try:
            return datum_of(root + name, label, options)
        except (OSError, ValueError) as e:
            return str(e.strerror if isinstance(e, OSError) else e)

    numbers = iter(range(first, len(lines)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = [(n, pool.submit(read, n)) for n in islice(numbers, AHEAD)]
        try:
            while waiting:
                number, future = waiting.pop(0)
                yield number, future.result()
                waiting += [(n, pool.submit(read, n)) for n in islice(numbers, 1)]
        finally:
            pool.shutdown(cancel_futures=True)


def _check_kind(kind: str) -> None:
    """DataError for a kind of image that cannot be written, before anything is."""
    if kind:
        try:
            encode(np.zeros((2, 2), np.uint8), kind)
        except ValueError as e:
            raise DataError(f"--encode_type={kind}: {e}; png and jpg can be written") from None


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _next_line(last: bytes | None, target: str) -> int:
    if last is None:
        return 0
    try:
        return int(last[:8]) + 1
    except ValueError:
        raise DataError(f"{target}: its last key is {last!r}: this is no database of convert_imageset") from None
