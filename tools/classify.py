"""Classify images with a trained net: an image, a folder of images, or an array (.npy) in; predictions (.npy) out.

    python tools/classify.py INPUT OUTPUT.npy --model_def DEPLOY.prototxt --pretrained_model NET.caffemodel [OPTIONS]

An image is resized to --images_dim and cropped to the net's input: ten crops, whose predictions are averaged, or the
center alone. A net with one input channel gets gray images.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from caffe_port.cli.images import load_mean, numbers
from caffe_port.cli.tool import Tool
from caffe_port.errors import CaffeError

CAFFENET = Path(__file__).resolve().parents[1] / "prototxt" / "classic" / "caffenet" / "deploy.prototxt"
TOGETHER = 32  # images held in memory at a time

tool = Tool("classify", __doc__)
tool.add("input_file", metavar="INPUT", help="an image, a folder, or .npy: (N, H, W, K), RGB, 0 to 1")
tool.add("output_file", metavar="OUTPUT", help="the .npy to write: (N, classes)")
tool.add("--model_def", default=str(CAFFENET), metavar="FILE", help="the net definition (default CaffeNet's)")
tool.add("--pretrained_model", required=True, metavar="FILE", help="its weights")
tool.switch("gpu", "run on the GPU")
tool.switch("center_only", "predict from the center crop alone, not from ten crops")
tool.add("--images_dim", default="256,256", metavar="H,W", help="size to resize the images to (default 256,256)")
tool.add("--mean_file", default="", metavar="FILE", help="the mean image (.npy of K x H x W, or .binaryproto)")
tool.add("--input_scale", type=float, metavar="X", help="multiply by this at the end")
tool.add("--raw_scale", type=float, default=255.0, metavar="X", help="multiply the raw input by this (default 255)")
tool.add("--channel_swap", metavar="ORDER", help="order of the channels (default 2,1,0 for three: RGB to BGR)")
tool.add("--ext", default="jpg", metavar="EXT", help="ending of the images in a folder (default jpg)")


def load_inputs(path: Path, ext: str, color: bool):  # noqa: ANN201
    """The images, or functions that load them."""
    import numpy as np

    import caffe_port.pycaffe as caffe

    if path.suffix == ".npy":
        print(f"Loading file: {path}")
        array = np.load(path)
        array = array[np.newaxis] if array.ndim == 3 else array
        if array.ndim != 4:
            raise CaffeError(f"{path}: its shape is {array.shape}; it must be (N, H, W, K)")
        return list(array)
    if path.is_dir():
        print(f"Loading folder: {path}")
        names = sorted(path.glob(f"*.{ext}"))
        if not names:
            raise CaffeError(f"{path}: no file in it ends in .{ext}; give --ext")
        return [lambda name=name: caffe.io.load_image(str(name), color) for name in names]
    print(f"Loading file: {path}")
    return [caffe.io.load_image(str(path), color)]


def main(args: argparse.Namespace) -> None:
    import numpy as np

    import caffe_port.pycaffe as caffe
    from caffe_port.atomic import atomic_write
    from caffe_port.cli.progress import bar

    (caffe.set_mode_gpu if args.gpu else caffe.set_mode_cpu)()
    print("GPU mode" if args.gpu else "CPU mode")
    mean = load_mean(args.mean_file) if args.mean_file else None
    swap = numbers("channel_swap", args.channel_swap) if args.channel_swap else None
    try:
        net = caffe.Classifier(
            args.model_def, args.pretrained_model, numbers("images_dim", args.images_dim),
            mean=mean, input_scale=args.input_scale, raw_scale=args.raw_scale, channel_swap=swap,
        )  # fmt: skip
        channels = net.blobs[net.inputs[0]].shape[1]
        if channels == 3 and args.channel_swap is None:
            net.transformer.set_channel_swap(net.inputs[0], (2, 1, 0))
        inputs = load_inputs(Path(args.input_file).expanduser(), args.ext, channels != 1)
        print(f"Classifying {len(inputs)} inputs.")
        start, predictions = time.monotonic(), []
        with bar(len(inputs), "images") as shown:
            for at in range(0, len(inputs), TOGETHER):
                images = [one() if callable(one) else one for one in inputs[at : at + TOGETHER]]
                predictions.append(net.predict(images, not args.center_only))
                if shown is not None:
                    shown.update(at + len(images))
    except ValueError as e:
        raise CaffeError(str(e)) from None
    print(f"Done in {time.monotonic() - start:.2f} s.")
    target = args.output_file if args.output_file.endswith(".npy") else f"{args.output_file}.npy"
    print(f"Saving results into {target}")
    with atomic_write(target) as file:
        np.save(file, np.concatenate(predictions))


if __name__ == "__main__":
    sys.exit(tool.run(main))
