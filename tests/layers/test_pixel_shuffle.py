"""PixelShuffle: two names of the message, the side of a block and its area."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

X = (1, 12, 2, 3)


def reference(r):
    def tops(bottoms, blobs):
        n, c, h, w = bottoms[0].shape
        y = np.zeros((n, c // r**2, h * r, w * r))
        for channel in range(c):
            out, i, j = channel // r**2, channel // r % r, channel % r
            y[:, out, i::r, j::r] = bottoms[0][:, channel]
        return [y]

    return tops


def case(name, options, r, bottom=X, **more):
    return Case(name, f'type: "PixelShuffle" {options}', [bottom], reference(r), opencv="it has no such layer", **more)


CASES = [
    case("2", "pixelshuffle_param { upscale_factor: 2 }", 2),
    case("3", "pixel_shuffle_param { upscale_factor: 3 }", 3, (1, 18, 2, 3)),
    case("area 4", "pixel_shuffle_param { scale: 4 }", 2),
    case("1", "pixelshuffle_param { upscale_factor: 1 }", 1),
    case("empty batch", "pixelshuffle_param { upscale_factor: 2 }", 2, (0, 4, 2, 3), gradient=False),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "PixelShuffle"', [X], 1, "give upscale_factor"),
    ('type: "PixelShuffle" pixelshuffle_param { upscale_factor: 2 scale: 4 }', [X], 1, "give upscale_factor"),
    ('type: "PixelShuffle" pixelshuffle_param { scale: 6 }', [X], 1, "scale a square"),
    ('type: "PixelShuffle" pixelshuffle_param { upscale_factor: 0 }', [X], 1, "must be positive"),
    ('type: "PixelShuffle" pixelshuffle_param { upscale_factor: 5 }', [X], 1, "25 must divide the channels"),
])
