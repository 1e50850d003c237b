"""ShuffleChannel: groups that divide, one group, as many groups as channels."""

import numpy as np

from tests.layers.refusals import refusals
from tests.layers.runner import Case, run

X = (1, 12, 2, 3)


def reference(group):
    def tops(bottoms, blobs):
        y = np.empty_like(bottoms[0])
        column = y.shape[1] // group
        for i in range(group):
            for j in range(column):
                y[:, j * group + i] = bottoms[0][:, i * column + j]
        return [y]

    return tops


def case(group, bottom=X, **more):
    text = f'type: "ShuffleChannel" shuffle_channel_param {{ group: {group} }}'
    return Case(f"{group} of {bottom}", text, [bottom], reference(group), **more)


CASES = [
    case(3, (1, 6, 2, 3)), case(2), case(1), case(12),
    case(4, (2, 8), opencv="it wants pictures"),
    case(2, (2, 4, 3), opencv="it wants pictures"),
    case(2, (0, 4, 3, 2), gradient=False, opencv="no picture"),
]  # fmt: skip
test_cases = run(CASES)
test_refused = refusals([
    ('type: "ShuffleChannel" shuffle_channel_param { group: 5 }', [X], 1, "group 5 must divide the channels"),
    ('type: "ShuffleChannel" shuffle_channel_param { group: 0 }', [X], 1, "at least 1"),
    ('type: "ShuffleChannel" shuffle_channel_param { group: 1 }', [(4,)], 1, "must divide the channels"),
])
