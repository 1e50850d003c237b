"""`caffe.draw`: a NetParameter as a picture, by this project's own drawing: no pydot, no graphviz.

Source of the names: python/caffe/draw.py of BVLC Caffe 1.0. Its `get_pydot_graph` is not here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from caffe_port.atomic import atomic_write
from caffe_port.errors import NetError


def draw_net(
    caffe_net: Any, rankdir: str, ext: str = "png", phase: int | None = None, display_lrm: bool = False
) -> bytes:
    """The picture's bytes. `rankdir`: where arrows lead, TB, BT, LR or RL; `ext`: png or svg; `phase`: TRAIN or TEST,
    None for the layers of both; `display_lrm`: show the learning rate multipliers.

    A net in an old format is drawn as in today's. NetError: another `ext`, or no layer to draw.
    """
    from caffe_port.cli.drawing.net import draw
    from caffe_port.cli.drawing.picture import svg
    from caffe_port.cli.drawing.png import png
    from caffe_port.proto.upgrade import upgrade_net

    if ext not in ("png", "svg"):
        raise NetError(f"a net is drawn as png or svg, not as {ext!r}")
    picture = draw(upgrade_net(caffe_net), rankdir, phase, display_lrm)
    return png(picture) if ext == "png" else svg(picture).encode()


def draw_net_to_file(
    caffe_net: Any,
    filename: str | os.PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """`draw_net` into a file, as its name's ending says."""
    drawn = draw_net(caffe_net, rankdir, Path(filename).suffix.removeprefix("."), phase, display_lrm)
    with atomic_write(filename) as file:
        file.write(drawn)
