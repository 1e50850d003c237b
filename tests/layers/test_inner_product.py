"""InnerProduct: every axis, transposed weights, without bias; reshaping checks the number of inputs."""

import math

import pytest

from caffe_port.errors import LayerError, ShapeError
from tests.layers.runner import Case, make, run

FILLERS = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "uniform" min: -0.5 max: 0.5 }'


def reference(axis=1, transpose=False):
    def tops(bottoms, blobs):
        x = bottoms[0]
        y = x.reshape(*x.shape[:axis], math.prod(x.shape[axis:])) @ (blobs[0] if transpose else blobs[0].T)
        return [y + blobs[1] if len(blobs) > 1 else y]

    return tops


def case(name, options, bottom, found, **more):
    layer = f'type: "InnerProduct" inner_product_param {{ num_output: 4 {options} {FILLERS} }}'
    return Case(name, layer, [bottom], found, **more)


CASES = [
    case("default", "", (2, 3, 5, 7), reference()),
    case("vectors", "", (3, 6), reference()),
    case("no bias", "bias_term: false", (2, 3, 5), reference()),
    case("axis 2", "axis: 2", (2, 3, 5, 7), reference(2)),
    case("last axis", "axis: -1", (2, 3, 5), reference(2)),
    case("axis 0", "axis: 0", (2, 3, 5), reference(0)),
    case("transpose", "transpose: true", (2, 3, 5), reference(transpose=True), opencv="its reader ignores transpose"),
    case("transpose, axis 2", "transpose: true axis: 2 bias_term: false", (2, 3, 5, 2), reference(2, True),
         opencv="its reader ignores transpose"),
    case("empty batch", "", (0, 5), reference(), gradient=False, opencv="it has no empty blobs"),
]
test_cases = run(CASES)


def test_num_output_is_required():
    with pytest.raises(LayerError, match="num_output"):
        make(Case("l", 'type: "InnerProduct"', [(2, 3)]))


def test_another_number_of_inputs_is_refused():
    net = make(CASES[0])
    net.reshape({"b0": (5, 7, 3, 5)})
    with pytest.raises(ShapeError, match="take 105 inputs; .* has 24"):
        net.reshape({"b0": (2, 2, 3, 4)})


def test_multiply_adds():
    assert make(CASES[3]).layer("l").macs([(2, 3, 5, 7)], [(2, 3, 4)]) == 2 * 3 * 4 * 35
