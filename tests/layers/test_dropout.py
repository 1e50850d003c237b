"""Dropout: the phase decides; scaling in training, or in testing for the forks that say so."""

import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.runner import Case, make, run


def same(bottoms, blobs):
    return [bottoms[0]]


UNSCALED = 'type: "Dropout" dropout_param { dropout_ratio: 0.25 scale_train: false }'
CASES = [
    Case("test", 'type: "Dropout"', [(2, 3, 5, 7)], same),
    Case("train", 'type: "Dropout" dropout_param { dropout_ratio: 0.3 }', [(2, 3, 5)], phase="TRAIN"),
    Case("ratio 0", 'type: "Dropout" dropout_param { dropout_ratio: 0 }', [(2, 3, 5)], same, phase="TRAIN"),
    Case("drawn in the test too", 'type: "Dropout" dropout_param { sample_weights_test: true dropout_ratio: 0 }',
         [(2, 3)], same, onnx="it draws at random", opencv="it does not draw", source="draws at random"),
    Case("fork's test", UNSCALED, [(2, 3)], lambda bottoms, blobs: [0.75 * bottoms[0]]),
]
test_cases = run(CASES)


def drawn(layer: str) -> torch.Tensor:
    torch.manual_seed(1)
    return make(Case("l", layer, [(100, 1000)], phase="TRAIN")).layer("l")(torch.ones(100, 1000))


def test_what_is_kept_is_scaled_up_so_that_the_mean_stays():
    y = drawn('type: "Dropout" dropout_param { dropout_ratio: 0.2 }')
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 1.25]))
    assert abs(y.mean().item() - 1) < 0.01  # 100000 draws: 0.0016 is one standard deviation


def test_a_fork_does_not_scale_in_training():
    y = drawn(UNSCALED)
    assert y.unique().tolist() == [0.0, 1.0]
    assert abs(y.mean().item() - 0.75) < 0.01


@pytest.mark.parametrize("ratio", [-0.5, 1, 1.5])
def test_the_ratio_is_a_probability_below_one(ratio):
    with pytest.raises(LayerError, match="dropout_ratio"):
        make(Case("l", f'type: "Dropout" dropout_param {{ dropout_ratio: {ratio} }}', [(2,)]))


def test_sample_weights_test_draws_in_the_test_phase():
    torch.manual_seed(1)
    layer = 'type: "Dropout" dropout_param { sample_weights_test: true }'
    y = make(Case("l", layer, [(100, 1000)])).layer("l")(torch.ones(100, 1000))
    assert y.unique().tolist() == [0.0, 2.0]
    assert abs(y.mean().item() - 1) < 0.02  # 100000 draws: 0.003 is one standard deviation
