"""Random nets of many layer types, for laws: a graph that grows layer by layer, by the layers' own shape rules."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st

from caffe_port.errors import CaffeError
from caffe_port.layers.base import REGISTRY, TEST, Shape
from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text
from converters.model import Model

MOST = 4000
"""Largest number of values of a blob, so that a net takes milliseconds."""

ANY = """
type: "ReLU"
type: "ReLU" relu_param { negative_slope: 0.2 }
type: "PReLU"
type: "Sigmoid"
type: "TanH"
type: "ELU" elu_param { alpha: 0.7 }
type: "AbsVal"
type: "BNLL"
type: "Dropout"
type: "Power" power_param { scale: -0.5 shift: 0.25 }
type: "Exp" exp_param { base: 2 scale: 0.3 }
type: "Swish" swish_param { beta: 1.5 }
type: "Clip" clip_param { min: -0.5 max: 0.75 }
type: "Bias"
type: "Scale" scale_param { bias_term: true }
type: "Scale" scale_param { axis: -1 num_axes: 1 }
type: "BatchNorm"
type: "Softmax"
type: "Softmax" softmax_param { axis: -1 }
type: "MVN"
type: "Tile" tile_param { axis: 1 tiles: 2 }
type: "Concat"
type: "Split"
type: "HardSwish"
type: "Mish"
type: "Reduction" reduction_param { axis: 2 operation: SUMSQ coeff: 0.5 }
type: "Flatten" flatten_param { axis: 2 }
type: "Reduction" reduction_param { axis: 1 operation: MEAN }
type: "Flatten"
type: "ReLU6"
type: "CReLU"
type: "InnerProduct" inner_product_param { num_output: 5 axis: 1 }
type: "Flip"
type: "InnerProduct" inner_product_param { num_output: 4 axis: -1 transpose: true }
type: "Reshape" reshape_param { shape { dim: 0 dim: -1 } axis: 1 num_axes: 2 }
type: "Reverse" reverse_param { axis: 1 }
type: "Permute" permute_param { order: 0 order: 2 order: 1 }
type: "Normalize"
""".strip().splitlines()
"""Layers of one bottom of any number of axes; where one does not fit, its shape rule says so."""

PLANES = """
type: "LRN" lrn_param { local_size: 3 alpha: 0.5 }
type: "SPP" spp_param { pyramid_height: 2 }
type: "LRN" lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 alpha: 0.5 }
type: "Im2col" convolution_param { kernel_size: 2 stride: 2 }
type: "Interp" interp_param { height: 5 width: 4 }
type: "ShuffleChannel" shuffle_channel_param { group: 2 }
type: "Upsample" upsample_param { scale: 2 }
type: "PixelShuffle" pixel_shuffle_param { upscale_factor: 2 }
type: "Reorg" reorg_param { stride: 2 }
type: "Pad" pad_param { pad_t: 1 pad_l: 2 pad_r: 1 }
type: "Pooling" pooling_param { pool: AVE global_pooling: true }
""".strip().splitlines()
PAIRS = """
type: "Eltwise" eltwise_param { coeff: 1 coeff: -0.5 }
type: "Eltwise" eltwise_param { operation: PROD }
type: "Eltwise" eltwise_param { operation: MAX }
type: "Concat" concat_param { axis: 1 }
type: "Concat" concat_param { axis: -1 }
type: "Scale" scale_param { axis: 0 }
type: "Bias" bias_param { axis: 0 }
type: "Crop" crop_param { axis: 2 }
""".strip().splitlines()
TWO_TOPS = ('type: "Slice"', 'type: "Slice" slice_param { axis: -1 slice_point: 1 }', 'type: "Split"')
FIRST = ('type: "ArgMax" argmax_param { axis: 1 top_k: 2 }', 'type: "Threshold" threshold_param { threshold: 0.1 }')
"""What jumps where rounding differs: of an input only."""


@st.composite
def windowed(draw: Any) -> str:
    kernel, stride, pad = (draw(st.integers(low, high)) for low, high in ((1, 3), (1, 3), (0, 2)))
    window = f"kernel_size: {kernel} stride: {stride} pad: {pad}"
    kind = draw(st.sampled_from(["MAX", "AVE", "Convolution", "Deconvolution"]))
    if kind in ("MAX", "AVE"):
        rounding = draw(st.sampled_from(["CEIL", "FLOOR"]))
        return f'type: "Pooling" pooling_param {{ pool: {kind} {window} round_mode: {rounding} }}'
    options = f"num_output: {draw(st.sampled_from([2, 4]))} dilation: {draw(st.integers(1, 2))}"
    bias = draw(st.sampled_from(["", "bias_term: false", "group: 2"]))
    return f'type: "{kind}" convolution_param {{ {window} {options} {bias} }}'


@st.composite
def nets(draw: Any) -> str:
    """A prototxt of one to seven layers over the inputs x and y."""
    blobs: dict[str, Shape] = {"x": (2, 4, 6, 5), "y": (2, 4)}
    lines = []
    for name, shape in blobs.items():
        dims = " ".join(f"dim: {d}" for d in shape)
        lines.append(f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}')
    inside = st.sampled_from(ANY + PLANES)
    for number in range(draw(st.integers(1, 7))):
        bottoms = [draw(st.sampled_from(sorted(blobs)))]
        kind = draw(st.sampled_from(["one", "one", "window", "pair", "pieces", "first"]))
        body = draw(
            {"one": inside, "window": windowed(), "pair": st.sampled_from(PAIRS), "pieces": st.sampled_from(TWO_TOPS),
             "first": st.sampled_from(FIRST)}[kind]
        )  # fmt: skip
        if kind == "pair":
            bottoms.append(draw(st.sampled_from(sorted(blobs))))
        tops = [f"b{number}"] + ([f"c{number}"] if kind == "pieces" else [])
        if kind == "first" and bottoms[0] not in ("x", "y"):
            continue
        wires = " ".join([*(f'bottom: "{b}"' for b in bottoms), *(f'top: "{t}"' for t in tops)])
        line = f'layer {{ name: "layer {number}" {wires} {body} }}'
        shapes = made(line, [blobs[b] for b in bottoms])
        if shapes is not None:
            lines.append(line)
            blobs.update(zip(tops, shapes, strict=True))
    return "\n".join(lines)


def made(line: str, shapes: list[Shape]) -> list[Shape] | None:
    """The tops' shapes of a layer; None where it does not fit, or makes too much or nothing."""
    param = text.parse(line, caffe_pb2.NetParameter).message.layer[0]
    try:
        with torch.device("meta"):
            layer = REGISTRY[param.type](param, TEST)
            layer.setup(shapes)
        found = [tuple(s) for s in layer.top_shapes(shapes)]
    except CaffeError:
        return None
    return found if all(0 < torch.Size(s).numel() <= MOST for s in found) else None


def model(prototxt: str, seed: int) -> Model:
    """The net with drawn blobs, its statistics positive."""
    param = text.parse(prototxt, caffe_pb2.NetParameter).message
    net = Net(param, TEST)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in net.layers:
            for name, blob in zip(layer.present_blobs, layer.blobs, strict=True):
                blob.normal_(0, 0.5, generator=generator)
                if name in ("variance", "scale_factor"):
                    blob.abs_().add_(0.5)
    return Model(param, [given for given in net.layer_blobs() if given.blobs])
