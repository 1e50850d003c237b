"""AbsVal: both signs; the derivative at zero; in place, which Caffe refuses."""

import numpy as np
import torch

from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text
from tests.layers.runner import Case, make, run


def reference(bottoms, blobs):
    return [np.abs(bottoms[0])]


CASES = [Case("default", 'type: "AbsVal"', [(2, 3, 5, 7)], reference)]
test_cases = run(CASES)


def test_the_derivative_at_zero_is_zero():
    x = torch.zeros(1, requires_grad=True)
    make(CASES[0]).layer("l")(x).backward()
    assert x.grad.item() == 0


def test_in_place():
    source = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
        'layer { name: "a" type: "AbsVal" bottom: "x" top: "x" }'
    )
    net = Net(text.parse(source, caffe_pb2.NetParameter).message)
    assert net(x=torch.tensor([-3.0, 2.0]))["x"].tolist() == [3.0, 2.0]
