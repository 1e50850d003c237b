"""Embed: indices of any shape; fractions cut off; indices outside the table."""

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.runner import Case, make, run

FILLERS = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "uniform" min: -0.5 max: 0.5 }'
INDICES = np.array([[0.0, 6, 3], [3, 2, 6]])
OPENCV = "it has no Embed"


def reference(bottoms, blobs):
    y = blobs[0][bottoms[0].astype(int)]
    return [y + blobs[1] if len(blobs) > 1 else y]


def layer(options=""):
    return f'type: "Embed" embed_param {{ num_output: 5 input_dim: 7 {options} {FILLERS} }}'


CASES = [
    Case("default", layer(), [INDICES], reference, opencv=OPENCV),
    Case("no bias", layer("bias_term: false"), [INDICES[0]], reference, opencv=OPENCV),
    Case("fractions", layer(), [INDICES + 0.75], reference, opencv=OPENCV),
]
test_cases = run(CASES)


@pytest.mark.parametrize("index", [-1, 7])
def test_an_index_outside_the_table(index):
    with pytest.raises(LayerError, match=f"index {index} is outside the table of input_dim 7"):
        make(CASES[0]).layer("l")(torch.tensor([0.0, index]))


@pytest.mark.parametrize("options", ["num_output: 5", "input_dim: 7"])
def test_both_sizes_are_required(options):
    with pytest.raises(LayerError, match="must be given and positive"):
        make(Case("l", f'type: "Embed" embed_param {{ {options} }}', [(2,)]))
