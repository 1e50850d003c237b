"""Blobs of a running net into databases: what Caffe's extract_features does.

Records are Datums with float_data, in the order of the batches, under the keys 0000000000, 0000000001, ...
Source: tools/extract_features.cpp of BVLC Caffe 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np
import torch

from caffe_port import log
from caffe_port.data.datum import encode_datum
from caffe_port.data.db import LMDB, create_db
from caffe_port.errors import NetError
from caffe_port.net import Net
from caffe_port.solver.sharing import in_turn
from caffe_port.solver.team import Team

TOLD = 1000  # records between two lines of the log


def check(net: Net, blobs: Sequence[str], databases: Sequence[str], model: str) -> None:
    """NetError unless every blob is there and has one database."""
    if len(blobs) != len(databases):
        raise NetError(f"{len(blobs)} blob names and {len(databases)} database names; give as many of both")
    for name in blobs:
        if name not in net.graph.last:
            raise NetError(f"{model}: there is no blob '{name}'; its blobs: {', '.join(net.graph.last)}")


def extract(
    net: Net,
    blobs: Sequence[str],
    databases: Sequence[str],
    batches: int,
    backend: int = LMDB,
    progress: Callable[[int], None] = lambda batches: None,
    team: Team | None = None,
) -> int:
    """Run `batches` forward passes and write each blob, as it is at the end of a pass, into its database; the number
    of records in each.

    A record has the axes behind the first as (channels, height, width), missing ones 1; axes behind the fourth, where
    Caffe aborts, are part of its width. An interrupt (Ctrl-C) keeps all records of the batches done and leaves the
    databases marked as unfinished. In a team each process runs its part of the batches, and the root writes all.
    """
    team = team or Team()
    ids = {name: net.graph.last[name].id for name in blobs}

    def one_batch() -> list[np.ndarray]:
        values = net.run(keep=set(ids.values())).values
        return [values[ids[blob]].float().cpu().numpy() for blob in blobs]

    counts = [0] * len(blobs)
    name = "lmdb" if backend == LMDB else "leveldb"
    with ExitStack() as stack, torch.no_grad():  # torch 2.4 cannot gather the tensors of inference_mode
        outs = []
        for database in databases if team.is_root else ():
            log.info("extract_features.cpp:125", f"Opening dataset {database}")
            outs.append(stack.enter_context(create_db(database, backend)))
            log.info(f"db_{name}.cpp:{35 if backend == LMDB else 18}", f"Opened {name} {database}")
        log.error("extract_features.cpp:133", "Extracting Features")
        done = 0
        try:
            for values in in_turn(net, batches, one_batch, team):
                for i, blob in enumerate(blobs):
                    for record in records(values[i]):
                        outs[i].put(f"{counts[i]:010d}".encode(), encode_datum(record).SerializeToString())
                        counts[i] += 1
                        if counts[i] % TOLD == 0:
                            log.error("extract_features.cpp:165", _told(counts[i], blob))
                done += 1
                progress(done)
        except KeyboardInterrupt:
            for out in outs:
                out.commit()
            raise KeyboardInterrupt(f"{done} of {batches} batches are in {', '.join(databases)}") from None
    for count, blob in zip(counts, blobs, strict=True):
        log.error("extract_features.cpp:176", _told(count, blob))
    log.error("extract_features.cpp:181", "Successfully extracted the features!")
    return counts[0]


def records(values: np.ndarray) -> np.ndarray:
    """A blob as (records, channels, height, width)."""
    shape = (*values.shape, 1, 1, 1, 1)[: max(4, values.ndim)]
    return values.reshape(*shape[:3], -1) if values.size else values.reshape(0, 1, 1, 1)


def _told(count: int, blob: str) -> str:
    return f"Extracted features of {count} query images for feature blob {blob}"
