"""Convert a set of images to the LMDB or LevelDB that Caffe's Data layer reads.

    python tools/convert_imageset.py [FLAGS] ROOTFOLDER/ LISTFILE DB_NAME

Each line of LISTFILE is `subfolder/file.JPEG 7`; ROOTFOLDER is put before the name as it is, so end it with a slash.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from caffe_port.cli.progress import bar
from caffe_port.cli.tool import Tool
from caffe_port.data.db import LEVELDB, LMDB
from caffe_port.data.imageset import Options, convert
from caffe_port.data.records import read_list

tool = Tool("convert_imageset", __doc__)
tool.add("root", metavar="ROOTFOLDER/", help="put before every name of the list")
tool.add("list", metavar="LISTFILE", help="one image a line: name and label")
tool.add("database", metavar="DB_NAME", help="the folder to make")
tool.switch("gray", "treat images as grayscale ones")
tool.switch("shuffle", "randomly shuffle the order of images and their labels")
tool.add("--backend", choices=("lmdb", "leveldb"), default="lmdb", help="the kind of database (default lmdb)")
tool.add("--resize_width", type=int, default=0, metavar="N", help="width images are resized to")
tool.add("--resize_height", type=int, default=0, metavar="N", help="height images are resized to")
tool.switch("check_size", "check that all the datums have the same size")
tool.switch("encoded", "save compressed images in the datums")
tool.add("--encode_type", default="", metavar="KIND", help="what to encode them as (png, jpg, ...)")
tool.switch("resume", "go on with an interrupted conversion of the same list")


def main(args: argparse.Namespace) -> None:
    lines = read_list(args.list)
    options = Options(
        gray=args.gray, shuffle=args.shuffle, height=max(0, args.resize_height), width=max(0, args.resize_width),
        check_size=args.check_size, encoded=args.encoded, encode_type=args.encode_type,
    )  # fmt: skip
    if args.shuffle and args.resume:
        tool.parser.error("--shuffle and --resume exclude each other: the interrupted order is not known any more")
    backend = LMDB if args.backend == "lmdb" else LEVELDB
    with bar(len(lines), "images") as shown:
        progress = (lambda done, total: shown.update(done)) if shown else (lambda done, total: None)
        convert(lines, args.root, args.database, options, backend, args.resume, progress)


if __name__ == "__main__":
    sys.exit(tool.run(main))
