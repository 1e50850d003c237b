"""Clothing Co-Parsing's reader on a small tree: which tags are attributes, LIP's classes, splits, wrong files."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from caffe_port.errors import DataError
from caffe_port.par.datasets.base import IGNORE, LIP_CLASSES
from caffe_port.par.datasets.ccp import Ccp
from caffe_port.par.datasets.ccp_classes import TO_LIP, divide, to_lip
from tests.par.trees import picture, write_ccp

TAGS = ["null", "hat", "coat", "jeans", "wallet", "boots", "skin"]
ALL = (
    "null accessories bag belt blazer blouse bodysuit boots bra bracelet cape cardigan clogs coat dress earrings flats "
    "glasses gloves hair hat heels hoodie intimate jacket jeans jumper leggings loafers necklace panties pants pumps "
    "purse ring romper sandals scarf shirt shoes shorts skin skirt sneakers socks stockings suit sunglasses sweater "
    "sweatshirt swimwear t-shirt tie tights top vest wallet watch wedges"
).split()
PIXEL_2, IMAGE_7 = "annotations/pixel-level/0002.mat", "annotations/image-level/0007.mat"
L = {name: i for i, name in enumerate(LIP_CLASSES)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_ccp(tmp_path_factory.mktemp("ccp"), TAGS, strong=40, weak=5)


def test_every_tag_has_a_class():
    assert len(ALL) == 59 and set(TO_LIP) == set(ALL)


def test_attributes_are_the_frequent_tags_of_the_training_pictures(root):
    d = Ccp(root, min_rate=0.3)
    shown = np.array([[t in np.unique(scipy.io.loadmat(root / "annotations/pixel-level" / f"{k}.mat")["groundtruth"])
                       for t in range(len(TAGS))] for k in d.keys])  # fmt: skip
    rates = shown[d.splits["train"]].mean(0)
    assert d.attributes == [TAGS[t] for t in range(1, 7) if 0.3 <= rates[t] <= 0.99]
    np.testing.assert_array_equal(d.labels, shown[:, [TAGS.index(a) for a in d.attributes]])
    assert "skin" not in d.attributes and "skin" in d.notes[0]  # in all of them: nothing to learn
    assert "skin" in Ccp(root, max_rate=1.0).attributes


def test_splits_depend_on_seed_and_key_only(root):
    a, b, weak = Ccp(root), Ccp(root, seed=1), Ccp(root, weak=True)
    assert 0.6 < len(a.splits["train"]) / 40 < 0.95
    assert not set(a.splits["train"]) & set(a.splits["test"]) and len(a) == 40
    assert a.splits["test"].tolist() != b.splits["test"].tolist()
    assert weak.splits["test"].tolist() == a.splits["test"].tolist() and weak.attributes == a.attributes
    assert len(weak) == 45 and set(range(40, 45)) <= set(weak.splits["train"].tolist())


def test_samples(root):
    d, own = Ccp(root, weak=True), Ccp(root, classes="ccp")
    truth = scipy.io.loadmat(root / "annotations/pixel-level/0003.mat")["groundtruth"]
    assert own.classes == TAGS and np.array_equal(own.read(2).segmentation, truth)
    mapped = d.read(2).segmentation
    assert d.classes == list(LIP_CLASSES)
    for tag in ("hat", "coat"):
        assert (mapped[truth == TAGS.index(tag)] == L[tag]).all()
    assert (mapped[truth == TAGS.index("jeans")] == L["pants"]).all()
    assert (mapped[truth == TAGS.index("wallet")] == 0).all()
    weak = d.read(41)
    assert (weak.segmentation == IGNORE).all() and weak.image.shape[:2] == weak.segmentation.shape
    small = d.read(2, (24, 16))
    assert small.image.shape == (24, 16, 3) and set(np.unique(small.segmentation)) <= set(np.unique(mapped))


def test_crop(root):
    sample = Ccp(root, crop=True).read(2)
    assert sample.image.shape[:2] == sample.segmentation.shape
    assert (sample.segmentation > 0).sum() == (Ccp(root).read(2).segmentation > 0).sum()  # nothing of the person is cut


def person():
    """A figure facing us: hair, face, arms hanging at both sides of a shirt, bare legs, shoes. 200 x 100."""
    m = np.zeros((200, 100), np.uint8)
    m[10:18, 42:58] = ALL.index("hair")
    m[18:32, 43:57] = ALL.index("skin")
    m[36:100, 36:64] = ALL.index("shirt")
    m[40:105, 28:35] = m[40:105, 65:72] = ALL.index("skin")
    m[100:120, 36:64] = ALL.index("shorts")
    m[120:182, 38:48] = m[120:182, 52:62] = ALL.index("skin")
    m[182:190, 34:48] = m[182:190, 52:66] = ALL.index("shoes")
    return m


def test_skin_and_shoes_are_divided():
    out = to_lip(person(), ALL)
    assert (out[18:32, 43:57] == L["face"]).all()
    assert (out[40:105, 28:35] == L["right-arm"]).all() and (out[40:105, 65:72] == L["left-arm"]).all()
    assert (out[120:182, 38:48] == L["right-leg"]).all() and (out[120:182, 52:62] == L["left-leg"]).all()
    assert (out[182:190, 34:48] == L["right-shoe"]).all() and (out[182:190, 52:66] == L["left-shoe"]).all()
    assert set(np.unique(out)) <= {*range(20), IGNORE}


def test_joined_skin_is_cut():
    """Face, neck and bare shoulders in one piece; legs that touch; shoes side by side."""
    m = person()
    m[30:44, 30:70] = ALL.index("skin")
    m[120:182, 38:62] = ALL.index("skin")
    m[182:190, 34:66] = ALL.index("shoes")
    out = to_lip(m, ALL)
    assert (out[18:30, 43:57] == L["face"]).all()
    assert (out[60:105, 28:35] == L["right-arm"]).all() and (out[60:105, 65:72] == L["left-arm"]).all()
    assert out[150, 40] == L["right-leg"] and out[150, 60] == L["left-leg"]
    assert out[185, 36] == L["right-shoe"] and out[185, 64] == L["left-shoe"]


def test_nobody_and_unknown_tags():
    assert (divide(np.zeros((5, 7), np.uint8)) == 0).all()
    assert to_lip(np.array([[1]], np.uint8), ["null", "umbrella hat"]) == IGNORE


@pytest.mark.parametrize(
    "file, content, message",
    [
        ("label_list.mat", None, "label_list.mat is missing"),
        (PIXEL_2, {"groundtruth": np.full((48, 32), 9, np.uint8)}, "values from 9 to 9; .* below 7"),
        (PIXEL_2, {"groundtruth": np.full((48, 32), -1, np.int8)}, "values from -1 to -1; .* below 7"),
        (PIXEL_2, {"other": np.eye(3)}, "no variable 'groundtruth'; it holds other"),
        (PIXEL_2, b"junk", "not a readable MAT file"),
        (IMAGE_7, {"tags": np.array([[7]], np.uint8)}, "tags name number 7; there are 7 tags"),
        ("photos/0003.jpg", None, "1 of 7 pictures are missing .*0003"),
    ],
)
def test_wrong_trees(tmp_path, file, content, message):
    root = write_ccp(tmp_path, TAGS, strong=6, weak=1)
    if content is None:
        (root / file).unlink()
    elif isinstance(content, bytes):
        (root / file).write_bytes(content)
    else:
        scipy.io.savemat(root / file, content)
    with pytest.raises(DataError, match=message):
        Ccp(root, weak=True)


def test_sizes_that_disagree(tmp_path):
    root = write_ccp(tmp_path, TAGS, strong=6, weak=1)
    picture(root / "photos" / "0001.jpg", 1, (40, 32))
    with pytest.raises(DataError, match="'0001': the picture is 40 x 32 and its segmentation 48 x 32"):
        Ccp(root).read(0)


def test_no_such_folder_and_options(tmp_path):
    root = write_ccp(tmp_path, TAGS, strong=6, weak=1)
    for path in (root / "annotations/pixel-level").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="holds no .mat file"):
        Ccp(root)
    (root / "annotations/pixel-level").rmdir()
    with pytest.raises(DataError, match="is missing"):
        Ccp(root)
    with pytest.raises(DataError, match="classes is 'atr'"):
        Ccp(root, classes="atr")
