"""The drawn pedestrians: repeatable, imbalanced and correlated as promised, and their labels are in the picture."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_port.errors import DataError
from caffe_port.par.datasets import LIP_CLASSES, open_dataset
from caffe_port.par.datasets.drawn import Drawn
from caffe_port.par.drawing.draw import draw, person_of
from caffe_port.par.drawing.people import ATTRIBUTES

LABELS = np.array([person_of(0, i).vector for i in range(3000)])
RATE = dict(zip(ATTRIBUTES, LABELS.mean(0), strict=True))
SHOWN = [draw(0, i, (128, 64)) for i in range(120)]  # the pictures that the tests below look at


def column(name):
    return LABELS[:, ATTRIBUTES.index(name)].astype(bool)


def test_classes_are_look_into_persons():
    assert LIP_CLASSES == (
        "background", "hat", "hair", "glove", "sunglasses", "upper-clothes", "dress", "coat", "socks", "pants",
        "jumpsuits", "scarf", "skirt", "face", "left-arm", "right-arm", "left-leg", "right-leg", "left-shoe",
        "right-shoe",
    )  # fmt: skip


def test_repeatable_and_different():
    a, b, c = draw(1, 5, (64, 32)), draw(1, 5, (64, 32)), draw(2, 5, (64, 32))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not np.array_equal(a[0], c[0])
    assert np.array_equal(draw(1, 5, (128, 64))[2], a[2])


@pytest.mark.parametrize("size", [(64, 32), (96, 40), (128, 64), (256, 128)])
def test_forms(size):
    image, labels, attributes = draw(0, 7, size)
    assert image.shape == (*size, 3) and image.dtype == np.uint8
    assert labels.shape == size and labels.dtype == np.uint8 and labels.max() < 20
    assert attributes.shape == (len(ATTRIBUTES),) and set(np.unique(attributes)) <= {0, 1}
    assert 0.08 < (labels > 0).mean() < 0.6


def test_imbalance():
    assert len(ATTRIBUTES) >= 20
    assert 0.03 < min(RATE.values()) < 0.08 and 0.55 < max(RATE.values()) < 0.75
    assert sum(rate < 0.1 for rate in RATE.values()) >= 5


@pytest.mark.parametrize(
    "effect, cause",
    [
        ("LongHair", "Skirt"), ("LongHair", "Dress"), ("LongHair", "Female"), ("Boots", "Coat"),
        ("LeatherShoes", "Suit"), ("Hat", "Coat"),
        ("Scarf", "Coat"), ("Gloves", "Coat"), ("Sneakers", "Shorts"), ("ShortSleeve", "Shorts"),
        ("Sunglasses", "ShortSleeve"), ("WideStep", "Child"),
    ],
)  # fmt: skip
def test_correlations(effect, cause):
    with_it, without = column(effect)[column(cause)].mean(), column(effect)[~column(cause)].mean()
    assert with_it > 1.25 * without


def test_what_excludes_each_other():
    kinds = ["Suit", "Dress", "Skirt", "Jumpsuit", "Shorts"]
    assert (sum(column(k).astype(int) for k in kinds) <= 1).all()
    assert not (column("ShortSleeve") & (column("Coat") | column("Jacket"))).any()
    assert not (column("Boots") & column("Sneakers")).any()
    hands = sum(column(k).astype(int) for k in ("Umbrella", "HandBag", "Suitcase", "Calling"))
    assert hands.max() == 2


@pytest.mark.parametrize(
    "attribute, label",
    [("Hat", "hat"), ("Dress", "dress"), ("Skirt", "skirt"), ("Jumpsuit", "jumpsuits"), ("Scarf", "scarf"),
     ("Coat", "coat"), ("Sunglasses", "sunglasses"), ("LongTrousers", "pants")],
)  # fmt: skip
def test_attribute_shows_in_the_segmentation(attribute, label):
    """Where the attribute is, its class is (unless hidden); where the class is, some attribute says why."""
    at, wanted = ATTRIBUTES.index(attribute), LIP_CLASSES.index(label)
    has = [(s == wanted).sum() > 0 for _, s, a in SHOWN if a[at]]
    lacks = [(s == wanted).sum() > 0 for _, s, a in SHOWN if not a[at]]
    assert np.mean(has) >= 0.85
    allowed = {"Coat": ("Jacket", "Suit"), "LongTrousers": ("Shorts",)}.get(attribute, ())
    others = [any(a[ATTRIBUTES.index(o)] for o in allowed) for _, _, a in SHOWN if not a[at]]
    assert not any(shown and not other for shown, other in zip(lacks, others, strict=True))


def test_left_is_the_persons_own():
    """Seen from the front the left shoe is right of the right one, seen from behind left of it."""
    front = back = 0
    for i, (_, labels, _) in enumerate(SHOWN):
        xs = [np.nonzero(labels == LIP_CLASSES.index(f"{side}-shoe"))[1] for side in ("left", "right")]
        yaw = person_of(0, i).yaw
        if person_of(0, i).WideStep or min(len(x) for x in xs) < 4 or 25 < abs(yaw) < 155:
            continue
        gap = (xs[0].mean() - xs[1].mean()) * (1 if abs(yaw) < 90 else -1)
        assert gap > 0, i
        front, back = front + (abs(yaw) < 90), back + (abs(yaw) > 90)
    assert front >= 5 and back >= 5


def test_dataset():
    d = open_dataset("drawn", train=30, val=5, test=10, seed=3, size=(64, 32))
    assert {k: len(v) for k, v in d.splits.items()} == {"train": 30, "val": 5, "test": 10} and len(d) == 45
    sample = d.read(31)
    assert sample.key == "s3_000031" and np.array_equal(sample.attributes, d.labels[31])
    assert sample.image.shape == (64, 32, 3) and d.read(0, (96, 48)).image.shape == (96, 48, 3)
    np.testing.assert_array_equal(d.positive_rates(), d.labels[:30].mean(0))
    assert len(list(d.samples("val"))) == 5


@pytest.mark.parametrize("options", [{"train": -1}, {"size": (8, 4)}, {"seed": -1}])
def test_refusals(options):
    with pytest.raises(DataError):
        Drawn(**options)
    with pytest.raises(DataError, match="no split 'dev'"):
        Drawn(train=2, test=1).indices("dev")
    with pytest.raises(DataError, match="not known"):
        open_dataset("mnist")
    with pytest.raises(DataError, match="needs the folder"):
        open_dataset("peta")
