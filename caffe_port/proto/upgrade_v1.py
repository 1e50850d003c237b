"""Nets of 2014 (V1: `layers { type: CONVOLUTION blobs_lr: 1 ... }`) in today's format (`layer { type: "Convolution"
param ... }`).

Where the behaviour comes from: src/caffe/util/upgrade_proto.cpp, UpgradeV1LayerParameter and UpgradeV1LayerType.
"""

from __future__ import annotations

from typing import Any

from caffe_port.proto import caffe_pb2

TYPES = {
    "NONE": "", "ABSVAL": "AbsVal", "ACCURACY": "Accuracy", "ARGMAX": "ArgMax", "BNLL": "BNLL", "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss", "CONVOLUTION": "Convolution", "DATA": "Data",
    "DECONVOLUTION": "Deconvolution", "DROPOUT": "Dropout", "DUMMY_DATA": "DummyData",
    "EUCLIDEAN_LOSS": "EuclideanLoss", "ELTWISE": "Eltwise", "EXP": "Exp", "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output", "HINGE_LOSS": "HingeLoss", "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData", "INFOGAIN_LOSS": "InfogainLoss", "INNER_PRODUCT": "InnerProduct", "LRN": "LRN",
    "MEMORY_DATA": "MemoryData", "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss", "MVN": "MVN",
    "POOLING": "Pooling", "POWER": "Power", "RELU": "ReLU", "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss", "SILENCE": "Silence", "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split", "SLICE": "Slice", "TANH": "TanH",
    "WINDOW_DATA": "WindowData", "THRESHOLD": "Threshold",
    "UPSAMPLE": "Upsample", "RELU6": "ReLU6", "BN": "BN", "UNPOOLING": "Unpooling",  # forks
}  # fmt: skip
SPECS = {"param": "name", "blob_share_mode": "share_mode", "blobs_lr": "lr_mult", "weight_decay": "decay_mult"}
COPIED = ("bottom", "top", "include", "exclude", "blobs", "loss_weight")


def is_v1(param: Any) -> bool:
    return bool(param.layers)


def from_v1(param: Any) -> Any:
    """The V1 NetParameter in today's format."""
    upgraded = caffe_pb2.NetParameter()
    upgraded.CopyFrom(param)
    upgraded.ClearField("layers")
    upgraded.layer.extend(upgrade_layer(layer) for layer in param.layers)
    return upgraded


def type_name(value: int) -> str:
    """V1's number for a layer type as today's string."""
    return TYPES[caffe_pb2.V1LayerParameter.LayerType.Name(value)]


def upgrade_layer(old: Any) -> Any:
    """One layer. Names, sharing and rates of its blobs, four lists in V1, become one `param` a blob."""
    new = caffe_pb2.LayerParameter()
    if old.HasField("name"):
        new.name = old.name
    if old.HasField("type"):
        new.type = type_name(old.type)
    for field in COPIED:
        getattr(new, field).extend(getattr(old, field))
    for field, spec in SPECS.items():
        for i, value in enumerate(getattr(old, field)):
            while len(new.param) <= i:
                new.param.add()
            setattr(new.param[i], spec, value)
    for known, value in old.ListFields():
        if known.name.endswith("_param"):
            getattr(new, known.name).CopyFrom(value)
    return new
