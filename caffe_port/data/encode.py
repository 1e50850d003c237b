"""Arrays to compressed images, as OpenCV writes them: the other direction of `image.py`."""

from __future__ import annotations

import io

import numpy as np

from caffe_port.data.image import opencv

PILLOW_NAMES = {"jpg": "jpeg", "jpe": "jpeg", "tif": "tiff", "pgm": "ppm", "pbm": "ppm"}


def encode(image: np.ndarray, kind: str) -> bytes:
    """An image file's bytes: `image` uint8 (height, width) or (height, width, 3) as blue, green, red; `kind` as a file
    name ends ("png", "jpg").

    JPEG has quality 95, OpenCV's default, with Pillow too; lossless kinds decode to the same pixels either way.
    ValueError: a kind that cannot be written.
    """
    kind = kind.lower().removeprefix(".")
    cv2 = opencv()
    if cv2 is None:
        return _encode_pillow(image, kind)
    try:
        done, out = cv2.imencode(f".{kind}", image)
    except cv2.error as e:
        raise ValueError(f"OpenCV cannot write '{kind}' images ({e.err})") from None
    if not done:
        raise ValueError(f"OpenCV cannot write this image as '{kind}'")
    return out.tobytes()


def _encode_pillow(image: np.ndarray, kind: str) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    rgb = image if image.ndim == 2 else np.ascontiguousarray(image[:, :, ::-1])
    try:
        Image.fromarray(rgb).save(out, PILLOW_NAMES.get(kind, kind), quality=95)
    except (KeyError, ValueError, OSError) as e:
        raise ValueError(f"Pillow cannot write '{kind}' images ({e})") from None
    return out.getvalue()
