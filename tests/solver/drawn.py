"""A small database of drawn records, and nets that learn them: for tests with data layers and several processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffe_port.data.datum import encode_datum
from caffe_port.data.db import LMDB, create_db

COUNT = 22  # of no batch size below a multiple, so that batches run over the end

DATA = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } transform_param { %(transform)s }
        data_param { source: "train_lmdb" backend: LMDB batch_size: %(batch)d %(reading)s } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST } transform_param { %(fixed)s }
        data_param { source: "train_lmdb" backend: LMDB batch_size: 3 } }
"""
BODY = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 2 }
        convolution_param { num_output: 4 kernel_size: 3 bias_term: false weight_filler { type: "xavier" } } }
%(middle)s
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" param { lr_mult: 1 } param { decay_mult: 0 }
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
"""
NORM = """
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
"""
DROP = """
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
"""
# No loss is above "aside", so no diff reaches its blobs.
ASIDE = """
layer { name: "aside" type: "InnerProduct" bottom: "data" top: "aside" inner_product_param { num_output: 2 } }
layer { name: "quiet" type: "Silence" bottom: "aside" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.05 lr_policy: "step" gamma: 0.5 stepsize: 3 max_iter: 6 random_seed: 3
snapshot_prefix: "run" snapshot_after_train: true
"""


def database(folder: Path, name: str = "train_lmdb") -> None:
    """COUNT records of 2 channels, 6 x 7, and labels 0, 1, 2 that can be told from the pictures."""
    generator = np.random.default_rng(5)
    with create_db(str(folder / name), LMDB) as out:
        for i in range(COUNT):
            picture = generator.integers(0, 60, (2, 6, 7)) + 60 * (i % 3)
            out.put(f"{i:08d}".encode(), encode_datum(picture.astype(np.uint8), i % 3).SerializeToString())


def write(
    folder: Path,
    more: str = "",
    middle: str = "",
    batch: int = 4,
    transform: str = "scale: 0.01",
    reading: str = "",
    solver: str = SOLVER,
) -> None:
    """Net and solver into `folder`. The TEST phase has the transform without the mirror."""
    options = {"batch": batch, "middle": middle, "transform": transform, "reading": reading}
    net = (DATA + BODY) % {**options, "fixed": transform.replace("mirror: true", "")}
    (folder / "net.prototxt").write_text(net)
    (folder / "solver.prototxt").write_text(solver + more)
