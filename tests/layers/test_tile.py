"""Tile: repeats along the first, a middle and the last axis."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run


def case(options, axis, tiles):
    return Case(options, f'type: "Tile" tile_param {{ {options} }}', [(2, 3, 5, 7)],
                lambda bottoms, blobs: [np.concatenate([bottoms[0]] * tiles, axis)], opencv="it has no Tile of Caffe's")


CASES = [
    case("tiles: 2", 1, 2),
    case("axis: 0 tiles: 3", 0, 3),
    case("axis: -1 tiles: 2", 3, 2),
    case("axis: 2 tiles: 1", 2, 1),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Tile"', [(2, 3)], 1, "tiles must be given"),
    ('type: "Tile" tile_param { tiles: -1 }', [(2, 3)], 1, "positive"),
    ('type: "Tile" tile_param { tiles: 2 axis: 2 }', [(2, 3)], 1, "axis 2 is out of range"),
])
