"""Small nets that the converter tests share; every axis has a size of its own."""

from __future__ import annotations

from typing import Any

import torch

from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text
from converters.model import Model

CLASSIC = """
name: "classic"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 17 dim: 15 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 3 stride: 2 pad: 1 weight_filler { type: "msra" }
  bias_filler { type: "uniform" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 3 alpha: 0.1 beta: 0.75 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 group: 2 weight_filler { type: "msra" } } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: AVE kernel_size: 2 stride: 2 pad: 1 } }
layer { name: "drop" type: "Dropout" bottom: "pool2" top: "pool2" }
layer { name: "fc.8" type: "InnerProduct" bottom: "pool2" top: "fc8"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } bias_filler { type: "uniform" } } }
layer { name: "prob" type: "Softmax" bottom: "fc8" top: "prob" }
"""

RESIDUAL = """
name: "residual"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 12 dim: 10 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 bias_term: false weight_filler { type: "msra" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true
  filler { type: "uniform" min: 0.5 max: 2 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "side" type: "Convolution" bottom: "conv" top: "side"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "side" top: "sum" eltwise_param { coeff: 1 coeff: -0.5 } }
layer { name: "prelu" type: "PReLU" bottom: "sum" top: "sum" }
layer { name: "up" type: "Deconvolution" bottom: "sum" top: "up"
  convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 group: 4 bias_term: false
  weight_filler { type: "bilinear" } } }
layer { name: "cat" type: "Concat" bottom: "up" bottom: "up" top: "cat" }
layer { name: "map" type: "Sigmoid" bottom: "cat" top: "map" }
layer { name: "global" type: "Pooling" bottom: "sum" top: "global" pooling_param { pool: AVE global_pooling: true } }
layer { name: "logit" type: "InnerProduct" bottom: "global" top: "logit"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
"""

TRAIN_VAL = """
name: "train_val"
layer { name: "train" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 11 mean_value: 1 mean_value: 2 mean_value: 3 }
  data_param { source: "nowhere_train" batch_size: 32 backend: LMDB } }
layer { name: "test" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 11 mean_value: 1 mean_value: 2 mean_value: 3 }
  data_param { source: "nowhere" batch_size: 4 backend: LMDB } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""

SHARED = """
name: "shared"
layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 2 dim: 6 } } }
layer { name: "b" type: "Input" top: "b" input_param { shape { dim: 2 dim: 6 } } }
layer { name: "left" type: "InnerProduct" bottom: "a" top: "left" param { name: "w" } param { name: "v" }
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } bias_filler { type: "uniform" } } }
layer { name: "right" type: "InnerProduct" bottom: "b" top: "right" param { name: "w" } param { name: "v" }
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } bias_filler { type: "uniform" } } }
layer { name: "sum" type: "Eltwise" bottom: "left" bottom: "right" top: "sum" eltwise_param { operation: PROD } }
"""


def parse(prototxt: str) -> Any:
    return text.parse(prototxt, caffe_pb2.NetParameter).message


def model(prototxt: str, seed: int = 0) -> Model:
    """The net with drawn weights, its BatchNorm statistics included."""
    torch.manual_seed(seed)
    net = Net(parse(prototxt))
    for layer in net.layers:
        if layer.param.type == "BatchNorm":
            layer.mean.normal_()
            layer.variance.uniform_(1, 3)
            layer.scale_factor.fill_(2.5)
    return Model(parse(prototxt), [given for given in net.layer_blobs() if given.blobs])
