"""Split: one, two and three readers; diffs are added; in-place is refused."""

import pytest

from caffe_port.errors import LayerError
from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text
from tests.layers.runner import Case, run

CASES = [
    Case(f"{n} tops", 'type: "Split"', [(2, 3, 5, 7)], lambda bottoms, blobs, n=n: bottoms * n, tops=n,
         opencv="its reader counts only tops that another layer reads") for n in (1, 2, 3)
]
test_cases = run(CASES)


def test_in_place_is_refused():
    definition = """
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }
        layer { name: "l" type: "Split" bottom: "x" top: "x" }"""
    with pytest.raises(LayerError, match="layer 'l' .*in place"):
        Net(text.parse(definition, caffe_pb2.NetParameter).message)
