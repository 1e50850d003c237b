"""ReLU: slope zero, positive and negative; NaN; the derivative at zero."""

import numpy as np
import torch

from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text
from tests.layers.runner import Case, make, run


def reference(slope):
    return lambda bottoms, blobs: [np.where(bottoms[0] > 0, bottoms[0], slope * bottoms[0])]


X = np.random.default_rng(3).normal(scale=6, size=(2, 3, 4, 5))
CASES = [
    Case("plain", 'type: "ReLU"', [(2, 3, 5, 7)], reference(0.0)),
    Case("leaky", 'type: "ReLU" relu_param { negative_slope: 0.25 }', [(2, 3, 5)], reference(0.25)),
    Case("negative slope", 'type: "ReLU" relu_param { negative_slope: -0.5 }', [(4, 3)], reference(-0.5)),
    Case("relu6", 'type: "ReLU" relu_param { relu6: true }', [X], lambda b, blobs: [np.clip(b[0], 0, 6)],
         opencv="it drops relu6"),
    Case("relu6, leaky", 'type: "ReLU" relu_param { relu6: true negative_slope: 0.5 }', [X],
         lambda b, blobs: [np.minimum(np.where(b[0] < 0, b[0] / 2, b[0]), 6)], opencv="it drops relu6"),
    Case("empty", 'type: "ReLU"', [(0, 3)], reference(0.0), gradient=False, opencv="it has no empty blobs"),
]
test_cases = run(CASES)


def test_nan_stays_nan_and_the_derivative_at_zero_is_the_slope():
    layer = make(Case("l", 'type: "ReLU" relu_param { negative_slope: 0.25 }', [(3,)])).layer("l")
    x = torch.tensor([float("nan"), 0.0, 2.0], requires_grad=True)
    y = layer(x)
    assert torch.isnan(y[0]) and y[2] == 2
    y[1:].sum().backward()
    assert x.grad[1:].tolist() == [0.25, 1.0]


def test_relu6_in_place():
    """It is not joined with the layer before it, which would leave the end at 6 out."""
    net = Net(text.parse("""
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
        layer { name: "p" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } }
        layer { name: "r" type: "ReLU" bottom: "y" top: "y" relu_param { relu6: true } }
    """, caffe_pb2.NetParameter).message)
    x = torch.tensor([[-1.0, 2.0, 3.0]], requires_grad=True)
    y = net(x=x)["y"]
    y.sum().backward()
    assert y.tolist() == [[0, 4, 6]] and x.grad.tolist() == [[0, 2, 0]]
