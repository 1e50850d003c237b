"""classify: an image, a folder or an array in, predictions out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffe_port.pycaffe as caffe
from caffe_port.proto.binary import write_blob
from tests.tools.scripts import GOLDEN, run

IMAGES = GOLDEN / "tools" / "images"
NET = """
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 4 dim: {channels} dim: 12 dim: 10 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param {{ num_output: 5 weight_filler {{ type: "gaussian" std: 0.002 }} }} }}
layer {{ name: "prob" type: "Softmax" bottom: "ip" top: "prob" }}
"""
DIMS = "--images_dim=16,14"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, channels in (("net", 3), ("gray", 1)):
        Path(f"{name}.prototxt").write_text(NET.format(channels=channels))
        caffe.set_random_seed(1)
        caffe.Net(f"{name}.prototxt", caffe.TEST).save(f"{name}.caffemodel")


def classify(given: object, *flags: object, net: str = "net") -> np.ndarray:
    model = (f"--model_def={net}.prototxt", f"--pretrained_model={net}.caffemodel")
    assert run("classify", given, "out", *model, DIMS, *flags)[0] == 0
    return np.load("out.npy")


def test_folder_image_and_array_give_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    paths = sorted(IMAGES.glob("*.png"))
    whole = classify(IMAGES, "--ext", "png")
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == ["CPU mode", f"Loading folder: {IMAGES}", "Classifying 7 inputs."]
    assert said[3].startswith("Done in ") and said[4] == "Saving results into out.npy"
    assert whole.shape == (7, 5)
    np.testing.assert_allclose(whole.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(classify(paths[2]), whole[2:3], rtol=1e-5)
    np.save("in.npy", [caffe.io.load_image(str(paths[2]))])
    np.testing.assert_allclose(classify("in.npy"), whole[2:3], rtol=1e-5)


def test_options_reach_the_classifier() -> None:
    """Means from .npy and .binaryproto are images, resized to the net's input; the default swap is RGB to BGR."""
    image = caffe.io.load_image(str(IMAGES / "im3.png"))
    mean = np.random.default_rng(1).uniform(80, 140, (3, 4, 5)).astype(np.float32)
    np.save("mean.npy", mean)
    write_blob("mean.binaryproto", mean[None])
    net = caffe.Classifier(
        "net.prototxt", "net.caffemodel", [16, 14], mean=mean, input_scale=0.5, raw_scale=200,
        channel_swap=(2, 1, 0),
    )  # fmt: skip
    flags = ("--input_scale=0.5", "-raw_scale", 200)
    for file in ("mean.npy", "mean.binaryproto"):
        made = classify(IMAGES / "im3.png", f"--mean_file={file}", *flags)
        np.testing.assert_allclose(made, net.predict([image]), rtol=1e-4)
        made = classify(IMAGES / "im3.png", f"--mean_file={file}", *flags, "--center_only")
        np.testing.assert_allclose(made, net.predict([image], oversample=False), rtol=1e-4)
    other = classify(IMAGES / "im3.png", "--mean_file=mean.npy", *flags, "--channel_swap=0,1,2")
    assert np.abs(other - net.predict([image])).max() > 1e-4


def test_a_net_with_one_channel_gets_gray_images() -> None:
    net = caffe.Classifier("gray.prototxt", "gray.caffemodel", [16, 14], raw_scale=255)
    image = caffe.io.load_image(str(IMAGES / "im3.png"), color=False)
    np.testing.assert_allclose(classify(IMAGES / "im3.png", net="gray"), net.predict([image]), rtol=1e-4)


def test_more_images_than_are_held_at_a_time() -> None:
    Path("many").mkdir()
    for i in range(35):
        Image.new("RGB", (14, 16), (7 * i, 0, 255 - 7 * i)).save(f"many/{i:02d}.png")
    many = classify("many", "--ext=png")
    np.testing.assert_allclose(many[34:], classify("many/34.png"), rtol=1e-4)
    assert many.shape == (35, 5)


BAD = [
    (("none.jpg",), "none.jpg: No such file or directory"),
    ((IMAGES,), "images: no file in it ends in .jpg; give --ext"),
    (("net.prototxt",), "net.prototxt: it cannot be read as an image"),
    ((IMAGES / "im0.png", "--images_dim=4,x"), "--images_dim=4,x: give whole numbers"),
    ((IMAGES / "im0.png", "--images_dim=4,5"), "images of 4 x 5 have no crop of 12 x 10"),
    ((IMAGES / "im0.png", "--mean_file=gray.prototxt"), "gray.prototxt"),
    ((IMAGES / "im0.png", "--channel_swap=0,1"), "the channel swap needs as many entries"),
    (("flat.npy",), "flat.npy: its shape is (6, 4); it must be (N, H, W, K)"),
]


@pytest.mark.parametrize("argv, message", BAD)
def test_errors(argv: tuple[object, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("flat.npy", np.zeros((6, 4)))
    given, *flags = argv
    model = ("--model_def=net.prototxt", "--pretrained_model=net.caffemodel")
    assert run("classify", given, "out", *model, *flags)[0] == 1
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and not Path("out.npy").exists()
