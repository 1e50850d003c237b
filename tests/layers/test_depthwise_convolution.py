"""DepthwiseConvolution: a Convolution by another name; group is what the definition says."""

import torch

from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run
from tests.layers.test_convolution_depthwise import FILL, X, reference

NAME = "it has no layer of this name"


def case(name, options, found, **more):
    text = f'type: "DepthwiseConvolution" convolution_param {{ {FILL} {options} }}'
    return Case(name, text, [X], found, opencv=NAME, **more)


CASES = [
    case("3x3", "num_output: 3 group: 3 kernel_size: 3", reference()),
    case("stride", "num_output: 3 group: 3 kernel_size: 3 stride: 2 pad: 1", reference((2, 2), (1, 1))),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "DepthwiseConvolution" convolution_param { kernel_size: 3 num_output: 4 group: 3 }', [X], 1, "must divide"),
])


def test_as_convolution():
    options = f"convolution_param {{ num_output: 6 group: 1 kernel_size: 3 {FILL} }}"
    one, other = (make(Case("l", f'type: "{t}" {options}', [X])) for t in ("DepthwiseConvolution", "Convolution"))
    x = torch.randn(X)
    assert torch.equal(one.layer("l")(x), other.layer("l")(x)) and one.layer("l").weight.shape == (6, 3, 3, 3)
