"""L1Loss: sums of sizes, of lengths over the channels, plateaus, NaN, divisors, and the derivative at 0."""

import numpy as np
import pytest
import torch

from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

LOSS = "a loss: dropped by its role"


def reference(l2=False, prescale=False, entries=False, epsilon=0.01, plateau=0.0):
    def tops(bottoms, blobs):
        d = bottoms[0] - bottoms[1] if len(bottoms) > 1 else bottoms[0]
        divisor = (~np.isnan(d)).sum() / d.shape[1] if entries else len(d)
        d = np.nan_to_num(d)
        if l2:
            length = (d**2).sum(1) / (d.shape[1] if prescale else 1)
            return [np.array(np.sqrt(np.where(length < plateau**2, 0, length) + epsilon).sum() / divisor)]
        return [np.array(np.where(abs(d) < plateau, 0, abs(d)).sum() / divisor)]

    return tops


X = (2, 3, 4, 5)
HOLES = np.random.default_rng(2).normal(size=X)
HOLES[0, :, 1, 2:] = np.nan


def case(name, options, bottoms, found, **more):
    text = f"l1_loss_param {{ {options} }}" if options else ""
    return Case(name, f'type: "L1Loss" {text}', bottoms, found, onnx=LOSS, opencv=LOSS, **more)


CASES = [
    case("NVIDIA", "", [X, X], reference()),
    case("vectors", "", [(4, 3), (4, 3)], reference()),
    case("one bottom", "epsilon: 1", [X], reference()),
    case("plateau", "plateau: 0.5", [X, X], reference(plateau=0.5)),
    case("lengths", "l2_per_location: true", [X, X], reference(l2=True)),
    case("lengths, prescaled", "l2_per_location: true l2_prescale_by_channels: true epsilon: 0.5", [X, X],
         reference(l2=True, prescale=True, epsilon=0.5)),
    case("lengths, plateau", "l2_per_location: true plateau: 1.5", [X, X], reference(l2=True, plateau=1.5)),
    case("NaN", "l2_per_location: true normalize_by_num_entries: true", [X, HOLES],
         reference(l2=True, entries=True), gradient=(0,)),
    case("NaN, plain", "normalize_by_num_entries: true", [X, HOLES], reference(entries=True), gradient=(0,)),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "L1Loss"', [X, (2, 3, 4, 4)], 1, "must have one shape"),
    ('type: "L1Loss" l1_loss_param { plateau: 1 }', [(3,)], 1, "channels for l1_loss_param"),
])


@pytest.mark.parametrize(("options", "wanted"), [("", [1, -1, 0, 0]), ("epsilon: 1", [1, -1, -1, 0])])
def test_at_zero_and_where_there_is_no_number(options, wanted):
    x = torch.tensor([[2.0, -3, 0, torch.nan]], requires_grad=True)
    make(case("l", options, [(1, 4)], None)).layer("l")(x).backward()
    assert x.grad.tolist() == [wanted]
