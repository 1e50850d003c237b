"""PriorBox: sizes, ratios, steps, offsets, clipping and variances, from the definition."""

import itertools

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

MAP, IMAGE = (2, 5, 3, 4), (2, 3, 30, 50)


def priors(sizes, step=None, image=(30, 50), offset=0.5, clip=False, variance=(0.1,) * 4, offsets=None):
    """`sizes`: (width, height) of the boxes around one centre. `offsets`: (y, x) of several centres."""

    def tops(bottoms, blobs):
        (h, w), out = bottoms[0].shape[2:], []
        down, right = step or (image[0] / h, image[1] / w)
        for y in range(h):
            for x in range(w):
                for (width, height), (lower, later) in itertools.product(sizes, offsets or [(offset, offset)]):
                    cx, cy = (x + later) * right, (y + lower) * down
                    box = [(cx - width / 2) / image[1], (cy - height / 2) / image[0],
                           (cx + width / 2) / image[1], (cy + height / 2) / image[0]]
                    out += [min(max(v, 0), 1) for v in box] if clip else box
        return [np.array([[out, list(variance) * (len(out) // 4)]])]

    return tops


def case(name, options, found, bottoms=(MAP, IMAGE), **more):
    return Case(name, f'type: "PriorBox" prior_box_param {{ {options} }}', list(bottoms), found, **more)


def by(size, ratio):
    return size * ratio**0.5, size / ratio**0.5


SQUARE, WIDE, TALL = (6, 6), by(6, 2), by(6, 0.5)
CASES = [
    case("one square", "min_size: 6", priors([SQUARE]), opencv="its default variance is another"),
    case("as SSD has them",
         "min_size: 6 max_size: 10 aspect_ratio: 2 variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2",
         priors([SQUARE, (60**0.5,) * 2, WIDE, TALL], variance=(0.1, 0.1, 0.2, 0.2))),
    case("no flip", "min_size: 6 aspect_ratio: 2 aspect_ratio: 3 flip: false variance: 0.3",
         priors([SQUARE, WIDE, by(6, 3)], variance=(0.3,) * 4)),
    case("ratios given twice, and 1", "min_size: 6 aspect_ratio: 1 aspect_ratio: 2 aspect_ratio: 0.5 variance: 0.1",
         priors([SQUARE, WIDE, TALL])),
    case("two sizes",
         "min_size: 6 min_size: 9 max_size: 10 max_size: 16 aspect_ratio: 2 flip: false variance: 0.1 clip: false",
         priors([SQUARE, (60**0.5,) * 2, WIDE, (9, 9), (12, 12), by(9, 2)])),
    case("step and offset", "min_size: 6 step: 8 offset: 0.25 variance: 0.1 clip: false",
         priors([SQUARE], (8, 8), offset=0.25)),
    case("TextBoxes", "min_size: 6 aspect_ratio: 2 flip: false offset_h: 0.5 offset_w: 0.5 offset_h: 1 offset_w: 0.25 "
         "variance: 0.1 clip: false", priors([SQUARE, WIDE], offsets=[(0.5, 0.5), (1, 0.25)])),
    case("steps", "min_size: 6 step_h: 8 step_w: 9 variance: 0.1", priors([SQUARE], (8, 9))),
    case("clip", "min_size: 20 clip: true variance: 0.1", priors([(20, 20)], clip=True)),
    case("image size given", "min_size: 6 img_size: 40 variance: 0.1", priors([SQUARE], image=(40, 40)),
         opencv="it takes the size of the bottom"),
    case("image sides given", "min_size: 6 img_h: 20 img_w: 40 variance: 0.1", priors([SQUARE], image=(20, 40)),
         opencv="it takes the size of the bottom"),
    case("sizes are cut", "min_size: 6.9 max_size: 10.5 variance: 0.1", priors([SQUARE, (60**0.5,) * 2]),
         opencv="it does not cut sizes to whole pixels"),
    case("empty batch", "min_size: 6 variance: 0.1", priors([SQUARE]), [(0, 5, 3, 4), (0, 3, 30, 50)],
         gradient=False, opencv="it has no empty blobs"),
]
test_cases = run(CASES)
test_refused = refusals([
    (f'type: "PriorBox" prior_box_param {{ {options} }}', list(bottoms), 1, words) for options, bottoms, words in [
        ("", (MAP, IMAGE), "at least one min_size"),
        ("min_size: 0", (MAP, IMAGE), "at least one min_size, all of them positive"),
        ("min_size: 6 min_size: 7 max_size: 9", (MAP, IMAGE), "1 max_size for 2 min_size"),
        ("min_size: 6 max_size: 6", (MAP, IMAGE), "max_size 6 must be greater"),
        ("min_size: 6 variance: 0.1 variance: 0.2", (MAP, IMAGE), "once or four times"),
        ("min_size: 6 variance: -1", (MAP, IMAGE), "be positive"),
        ("min_size: 6 aspect_ratio: 0", (MAP, IMAGE), "aspect_ratio must be positive"),
        ("min_size: 6 img_size: 3 img_h: 4 img_w: 4", (MAP, IMAGE), "give img_size, or img_h and img_w"),
        ("min_size: 6 step_h: 4", (MAP, IMAGE), "give step, or step_h and step_w"),
        ("min_size: 6 step: -2", (MAP, IMAGE), "must be positive"),
        ("min_size: 6 offset_h: 1", (MAP, IMAGE), "as many offset_h as offset_w"),
        ("min_size: 6 offset: 1 offset_h: 1 offset_w: 1", (MAP, IMAGE), "give offset, or"),
        ("min_size: 6", ((2, 5), IMAGE), "feature map must have 4 axes"),
        ("min_size: 6", ((2, 5, 0, 3), IMAGE), "no place for boxes"),
        ("min_size: 6", (MAP,), "takes 2 bottom"),
    ]
])
