"""ResNet's blocks 2a-4f as the paper uses them (section 3.1): convolution, batch normalisation, ReLU, shortcut.

Layer names are those of Caffe's published ResNet-50 with the branch put into the block's name: `res3a_par_branch2b` is
the second convolution of block 3a in the attribute branch. Batch normalisations are called `bn_res3a_par_branch2b` and
`scale_res3a_par_branch2b`, or as published, `bn3a_par_branch2b` and `scale3a_par_branch2b`
(`Norm("published")`; the unbranched blocks then start from a published caffemodel by name alone).

Source: He et al., Deep Residual Learning for Image Recognition, table 1; as in Caffe's version of it the stride of 3a
and 4a stands on the first 1x1 convolution and the convolutions have no bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from caffe_port.par.builder import NetBuilder

BLOCKS = ("2a", "2b", "2c", "3a", "3b", "3c", "3d", "4a", "4b", "4c", "4d", "4e", "4f")
MSRA = {"type": "msra"}


@dataclass(frozen=True)
class Norm:
    """How the batch normalisations are called and how fast their statistics follow (None: Caffe's 0.999)."""

    names: str = "res"
    fraction: float | None = None


def norm(net: NetBuilder, name: str, how: Norm) -> str:
    """BatchNorm and Scale after the convolution `name`, in place."""
    suffix = name.removeprefix("res") if how.names == "published" and name.startswith("res") else f"_{name}"
    settings = {} if how.fraction is None else {"moving_average_fraction": how.fraction}
    net.in_place("BatchNorm", f"bn{suffix}", name, batch_norm_param=settings)
    return net.in_place("Scale", f"scale{suffix}", name, scale_param={"bias_term": True})


def conv_norm(
    net: NetBuilder, name: str, bottom: str, outputs: int, kernel: int, stride: int, pad: int, how: Norm, **more
) -> str:
    net.conv(name, bottom, outputs, kernel, stride=stride, pad=pad, bias_term=False, weight_filler=MSRA, **more)
    return norm(net, name, how)


def stem(net: NetBuilder, bottom: str, outputs: int, how: Norm) -> str:
    """conv1 7x7/2 and the 3x3/2 pooling (Caffe's ceil rule: 64 -> 32 without padding)."""
    conv_norm(net, "conv1", bottom, outputs, 7, 2, 3, how)
    net.relu("conv1")
    return net.pool("pool1", "conv1", pool="MAX", kernel_size=3, stride=2)


def block(
    net: NetBuilder, which: str, branch: str, bottom: str, width: int, how: Norm, stride: int | None = None,
    dilation: int = 1, strided: str = "branch2a",
) -> str:  # fmt: skip
    """One bottleneck block, e.g. which "3a" in branch "par"; `width` is the network's (64 in ResNet-50). `stride` None:
    ResNet's, 2 where a stage begins but the first; a `dilation` spreads the 3x3 convolution instead. `strided` is the
    convolution that has the stride beside the shortcut's: branch2a, or branch2b as in torchvision's ResNet-50."""
    name = f"res{which}_{branch}" if branch else f"res{which}"
    stage, first = int(which[0]), which[1] == "a"
    inner = width * 2 ** (stage - 2)
    if stride is None:
        stride = 2 if first and stage > 2 else 1
    spread = {"dilation": dilation} if dilation > 1 else {}
    shortcut = bottom
    if first:
        shortcut = conv_norm(net, f"{name}_branch1", bottom, 4 * inner, 1, stride, 0, how)
    early, late = (stride, 1) if strided == "branch2a" else (1, stride)
    top = conv_norm(net, f"{name}_branch2a", bottom, inner, 1, early, 0, how)
    net.relu(top)
    top = conv_norm(net, f"{name}_branch2b", top, inner, 3, late, dilation, how, **spread)
    net.relu(top)
    top = conv_norm(net, f"{name}_branch2c", top, 4 * inner, 1, 1, 0, how)
    net.add("Eltwise", name, [shortcut, top])
    return net.relu(name)


def blocks(
    net: NetBuilder, which: Sequence[str], branch: str, bottom: str, width: int, how: Norm, strided: str = "branch2a"
) -> str:
    """Several blocks one after another; the blob after the last, `bottom` itself where there are none."""
    for one in which:
        bottom = block(net, one, branch, bottom, width, how, strided=strided)
    return bottom


def between(after: str | None, to: str) -> tuple[str, ...]:
    """The blocks after `after` (None: from the first) up to and with `to`: between("2c", "3d") is 3a, 3b, 3c, 3d."""
    start = 0 if after is None else BLOCKS.index(after) + 1
    return BLOCKS[start : BLOCKS.index(to) + 1]
