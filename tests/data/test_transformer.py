"""transform_param against Caffe's loop, written out, on every option and both phases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_port.data.transformer import Transformer
from caffe_port.errors import DataError
from caffe_port.layers.base import TEST, TRAIN
from caffe_port.proto import caffe_pb2, text
from caffe_port.proto.binary import write_blob

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (3, 8, 11), dtype=np.uint8)
MEAN = (RNG.random((1, 3, 8, 11)) * 100).astype(np.float32)


def make(options: str, phase: int = TEST, seed: int = 1) -> Transformer:
    transformer = Transformer(text.parse(options, caffe_pb2.TransformationParameter).message, phase, "layer 'd'")
    transformer.rng = np.random.default_rng(seed)
    return transformer


def caffe_loop(array: np.ndarray, t: Transformer, mirror: bool, row: int, column: int) -> np.ndarray:
    """DataTransformer::Transform, one number after the other."""
    channels, height, width = array.shape
    size = t.param.crop_size
    height, width = (size, size) if size else (height, width)
    out = np.zeros((channels, height, width), np.float32)
    for c in range(channels):
        for h in range(height):
            for w in range(width):
                value = np.float32(array[c, row + h, column + w])
                if t.mean_file is not None:
                    value -= t.mean_file[c, row + h, column + w]
                elif len(t.mean_values):
                    value -= t.mean_values[c if len(t.mean_values) > 1 else 0]
                out[c, h, width - 1 - w if mirror else w] = value * np.float32(t.param.scale)
    return out


OPTIONS = [
    "", "scale: 0.3", "crop_size: 5", "crop_size: 8", "mean_value: 7.7", "mean_value: 1 mean_value: 2.5 mean_value: 3",
    "MEAN", "MEAN crop_size: 4 scale: 0.0039", "mean_value: 9 crop_size: 3 scale: 2",
]


@pytest.mark.parametrize("picture", [PICTURE, PICTURE.astype(np.float32) / 3, np.asfortranarray(PICTURE)])
@pytest.mark.parametrize("options", OPTIONS)
def test_test_phase(options: str, picture: np.ndarray, tmp_path: Path) -> None:
    if "MEAN" in options:
        write_blob(tmp_path / "mean", MEAN, legacy=True)
    t = make(options.replace("MEAN", f'mean_file: "{tmp_path}/mean"'))
    row, column = ((n - c) // 2 if c else 0 for n, c in zip(picture.shape[1:], t.crop, strict=True))
    np.testing.assert_array_equal(t(picture), caffe_loop(picture, t, False, row, column))


@pytest.mark.parametrize("options", OPTIONS)
def test_train_phase(options: str, tmp_path: Path) -> None:
    """Each result is Caffe's loop at some place and mirror; every place and both mirrors come up."""
    write_blob(tmp_path / "mean", MEAN, legacy=True)
    t = make("mirror: true " + options.replace("MEAN", f'mean_file: "{tmp_path}/mean"'), TRAIN)
    size = t.crop[0]
    places = [(r, c) for r in range(8 - size + 1) for c in range(11 - size + 1)] if size else [(0, 0)]
    possible = {caffe_loop(PICTURE, t, m, r, c).tobytes(): (m, r, c) for r, c in places for m in (False, True)}
    tries = 20 * len(possible)
    seen = [possible[t(PICTURE).tobytes()] for _ in range(tries)]
    assert set(seen) == set(possible.values())
    assert 0.3 < sum(m for m, _, _ in seen) / tries < 0.7


@pytest.mark.parametrize("phase", [TRAIN, TEST])
@pytest.mark.parametrize("mirror", ["", "mirror: true "])
@pytest.mark.parametrize("options", OPTIONS)
def test_many_at_once_as_each_by_itself(options: str, mirror: str, phase: int, tmp_path: Path) -> None:
    write_blob(tmp_path / "mean", MEAN, legacy=True)
    one, all_ = (make(mirror + options.replace("MEAN", f'mean_file: "{tmp_path}/mean"'), phase) for _ in range(2))
    pictures = np.random.default_rng(2).integers(0, 256, (9, 300), dtype=np.uint8)[:, 5 : 5 + PICTURE.size]
    pictures = pictures.reshape(9, *PICTURE.shape)  # a view with gaps, as the loader gives it
    out = np.full((9, *all_.out_shape(PICTURE.shape)), np.nan, np.float32)
    all_.apply_all(pictures, all_.draws(9), out)
    np.testing.assert_array_equal(out, [one(picture) for picture in pictures])


def test_mirror_in_test_phase() -> None:
    t = make("mirror: true crop_size: 5")
    straight = make("crop_size: 5")(PICTURE)
    seen = {t(PICTURE).tobytes() for _ in range(30)}
    assert seen == {straight.tobytes(), straight[:, :, ::-1].tobytes()}


def test_seed_repeats_and_state_returns() -> None:
    a, b = (make("mirror: true crop_size: 3", TRAIN, seed=5) for _ in range(2))
    assert a.draws(9) == [b.draws(1)[0] for _ in range(9)]
    state = a.rng.bit_generator.state
    later = a.draws(4)
    a.rng.bit_generator.state = state
    assert a.draws(4) == later
    assert make("crop_size: 3 scale: 2").draws(2) == [None, None]


@pytest.mark.parametrize(("options", "color"), [("", None), ("force_color: true", True), ("force_gray: true", False)])
def test_color(options: str, color: bool | None) -> None:
    assert make(options).color is color


def test_mean_of_three_axes(tmp_path: Path) -> None:
    """Caffe refuses a mean without a batch axis."""
    write_blob(tmp_path / "mean", MEAN[0])
    np.testing.assert_array_equal(make(f'mean_file: "{tmp_path}/mean"')(PICTURE), PICTURE - MEAN[0])


@pytest.mark.parametrize(("options", "message"), [
    ('mean_file: "nope"', r"layer 'd': mean_file nope cannot be read: .*No such file"),
    ('mean_file: "MEAN" mean_value: 3', r"layer 'd': mean_file and mean_value exclude each other"),
    ('mean_file: "FOUR"', r"mean_file .*FOUR holds an array of shape \(2, 3, 8, 11\); it must be \(1, channels"),
    ('mean_file: "SMALL"', r"db: 'k': it is 3 x 8 x 11 .*, but mean_file .*SMALL is 3 x 7 x 7"),
    ("mean_value: 1 mean_value: 2", r"db: 'k': it is 3 x 8 x 11 .*, but there are 2 mean_values; give one"),
    ("crop_size: 9", r"db: 'k': it is 3 x 8 x 11 .*, smaller than crop_size 9"),
    ("force_color: true force_gray: true", r"layer 'd': force_color and force_gray exclude each other"),
])
def test_bad(options: str, message: str, tmp_path: Path) -> None:
    for name, mean in (("MEAN", MEAN), ("FOUR", np.concatenate([MEAN, MEAN])), ("SMALL", MEAN[..., :7, :7])):
        write_blob(tmp_path / name, mean, legacy=True)
        options = options.replace(f'"{name}"', f'"{tmp_path}/{name}"')
    with pytest.raises(DataError, match=message):
        t = make(options)
        t.color  # noqa: B018
        t.out_shape(PICTURE.shape, "db: 'k'")
