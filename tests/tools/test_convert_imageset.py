"""convert_imageset: Caffe's databases to the byte, its log, its flags; and how it stops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffe_port.data import imageset
from caffe_port.data.datum import to_array
from caffe_port.data.db import open_db
from caffe_port.data.image import decode
from caffe_port.data.imageset import Options, convert
from caffe_port.data.records import read_list
from caffe_port.errors import DataError
from tests.tools.databases import datums, raw
from tests.tools.scripts import GOLDEN, run, untimed

HERE = GOLDEN / "tools"
INPUT = (f"{HERE}/images/", HERE / "list.txt")
RESIZED = ("-resize_width=14", "-resize_height=20")
GRAY = ("--gray", "--resize_width", 16, "--resize_height", "16")
SPELLINGS = [
    ("db_resized", RESIZED),
    ("db_resized", ("--resize-width=14", "--resize_height", "20", "--nogray", "--encoded=false")),
    ("db_gray", GRAY),
    ("db_gray", ("-gray=true", *GRAY[1:], "-backend", "lmdb", "--noshuffle", "--check_size")),
    ("db_encoded", ("--encoded",)),
    ("db_encoded", ("--encode_type=png",)),
]


@pytest.mark.parametrize("database, flags", SPELLINGS)
def test_golden_databases(database: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    """The same keys and bytes: the golden images are PNGs as OpenCV writes them, so compressed ones too."""
    status, _ = run("convert_imageset", *flags, *INPUT, tmp_path / "db")
    assert status == 0 and raw(tmp_path / "db") == raw(HERE / database)


def test_golden_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = []
    for name, flags in (("db_resized", RESIZED), ("db_gray", GRAY), ("db_encoded", ("--encoded",))):
        said += run("convert_imageset", *flags, *INPUT, name)[1]
    assert said == untimed((HERE / "log_convert.txt").read_text())[: len(said)] and len(said) == 9


def test_gray_compressed_images_are_the_files_unless_they_are_resized(tmp_path: Path) -> None:
    run("convert_imageset", "--gray", "--encoded", *INPUT, tmp_path / "as_is")
    run("convert_imageset", "--gray", "--encoded", *RESIZED, *INPUT, tmp_path / "resized")
    assert raw(tmp_path / "as_is") == raw(HERE / "db_encoded")
    assert {to_array(d).shape for d in datums(tmp_path / "resized").values()} == {(1, 20, 14)}


def test_another_kind_is_encoded_anew(tmp_path: Path) -> None:
    """JPEG of quality 95: close to the pixels; the log says that it takes encoded for granted."""
    _, said = run("convert_imageset", "--encode_type=jpg", *INPUT, tmp_path / "db")
    assert "I convert_imageset.cpp:92] encode_type specified, assuming encoded=true." in said
    for key, datum in datums(tmp_path / "db").items():
        pixels = decode((HERE / "images" / key.split("_", 1)[1]).read_bytes(), True).transpose(2, 0, 1)
        assert datum.data.startswith(b"\xff\xd8") and datum.label % 3 == 0
        assert np.abs(to_array(datum).astype(int) - pixels).mean() < 8


def test_a_kind_that_nobody_can_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert_imageset", "--encode_type=xyz", *INPUT, tmp_path / "db")[0] == 1
    assert "cannot write 'xyz' images" in capsys.readouterr().err
    assert not (tmp_path / "db").exists()


def test_no_image_at_all_leaves_no_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The slash behind the folder is missing."""
    assert run("convert_imageset", INPUT[0].rstrip("/"), INPUT[1], tmp_path / "db")[0] == 1
    assert "none of the 7 images could be read; is '" in capsys.readouterr().err and not (tmp_path / "db").exists()


@pytest.mark.parametrize("opencv", [True, False])
def test_encode_without_and_with_opencv(opencv: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from caffe_port.data import encode

    if not opencv:
        monkeypatch.setattr(encode, "opencv", lambda: None)
    for shape in ((5, 7, 3), (5, 7)):
        image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
        for kind in ("png", "BMP", ".tif"):
            np.testing.assert_array_equal(decode(encode.encode(image, kind), None), image)
    with pytest.raises(ValueError, match="xyz"):
        encode.encode(image, "xyz")


def test_check_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert_imageset", "--check_size", *INPUT, tmp_path / "db")[0] == 1
    said = capsys.readouterr().err
    assert "im1.png: it is 32 x 25 x 3, the first image 31 x 23 x 3" in said and said.count("\n") == 1


def test_one_side_alone_resizes_nothing(tmp_path: Path) -> None:
    _, said = run("convert_imageset", "--resize_width=9", *INPUT, tmp_path / "db")
    assert any("nothing is resized" in line for line in said)
    assert to_array(datums(tmp_path / "db")["00000000_im0.png"]).shape == (3, 31, 23)


def test_images_that_cannot_be_read_are_left_out_and_keep_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("im0.png 4\nnone.png 5\nlist.txt 6\nim1.png 7\n")
    for name in ("im0.png", "im1.png"):
        (tmp_path / name).write_bytes((HERE / "images" / name).read_bytes())
    status, said = run("convert_imageset", f"{tmp_path}/", tmp_path / "list.txt", tmp_path / "db")
    assert status == 0 and {k: d.label for k, d in datums(tmp_path / "db").items()} == {
        "00000000_im0.png": 4, "00000003_im1.png": 7,
    }  # fmt: skip
    none, text = [line for line in said if line.startswith("E")]
    assert none == f"E io.cpp:80] Could not open or find file {tmp_path}/none.png: No such file or directory"
    assert text.startswith(f"E io.cpp:80] Could not open or find file {tmp_path}/list.txt: it is not an image")
    assert said[-2:] == [
        "I convert_imageset.cpp:153] Processed 2 files.",
        "W convert_imageset.cpp:124] 2 images could not be read and are left out",
    ]


def test_shuffle_keeps_each_label_with_its_image(tmp_path: Path) -> None:
    run("convert_imageset", "--shuffle", *RESIZED, *INPUT, tmp_path / "db")
    found = {key.split("_", 1)[1]: d.label for key, d in datums(tmp_path / "db").items()}
    assert found == dict(read_list(str(HERE / "list.txt")))


def test_an_interrupt_keeps_what_is_done_and_resume_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, target = read_list(str(INPUT[1])), str(tmp_path / "db")

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    options = Options(height=20, width=14)
    with pytest.raises(KeyboardInterrupt, match="4 of 7 images are in .*; the same command with --resume goes on"):
        convert(lines, INPUT[0], target, options, progress=stop)
    assert raw(tmp_path / "db") == raw(HERE / "db_resized")[:4]
    with pytest.raises(DataError, match="half-written"):
        open_db(target)
    status, _ = run("convert_imageset", *RESIZED, *INPUT, target)
    assert status == 1 and "exists already" in capsys.readouterr().err
    status, said = run("convert_imageset", "--resume", *RESIZED, *INPUT, target)
    assert status == 0 and said[-1].endswith("Processed 3 files.")
    assert raw(tmp_path / "db") == raw(HERE / "db_resized")


def test_the_script_says_how_far_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(path: str, label: int, options: Options) -> None:
        if path.endswith("im3.png"):
            raise KeyboardInterrupt

        return original(path, label, options)  # type: ignore[return-value]

    original = imageset.datum_of
    monkeypatch.setattr(imageset, "datum_of", interrupted)
    assert run("convert_imageset", *INPUT, tmp_path / "db")[0] == 130
    assert "convert_imageset: interrupted: 3 of 7 images are in" in capsys.readouterr().err


def test_every_thousand_images_are_told(tmp_path: Path) -> None:
    Image.new("L", (2, 3)).save(tmp_path / "dot.png")
    (tmp_path / "list.txt").write_text("dot.png 1\n" * 2001)
    _, said = run("convert_imageset", "-gray", f"{tmp_path}/", tmp_path / "list.txt", tmp_path / "db")
    assert said[2:] == [
        "I convert_imageset.cpp:147] Processed 1000 files.",
        "I convert_imageset.cpp:147] Processed 2000 files.",
        "I convert_imageset.cpp:153] Processed 2001 files.",
    ]


BAD = [
    (("none.txt",), "none.txt: the list of images cannot be read"),
    (("empty.txt",), "empty.txt: the list of images is empty"),
    (("bad.txt",), "bad.txt:2: 'b.png'"),
]


@pytest.mark.parametrize("args, message", BAD)
def test_errors(
    args: tuple[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").touch()
    Path("bad.txt").write_text("a.png 1\nb.png\n")
    assert run("convert_imageset", "./", *args, "db")[0] == 1
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and not Path("db").exists()


@pytest.mark.parametrize("argv", [(), ("a",), ("--gray=maybe", *INPUT, "db"), ("--shuffle", "--resume", *INPUT, "db")])
def test_a_command_line_without_sense_is_status_2(argv: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as end:
        run("convert_imageset", *argv)
    assert end.value.code == 2
