"""Proposal: anchors, offsets, cutting, small boxes, suppression and how many are left."""

import math

import numpy as np
import torch

from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text
from tests.layers.detection import greedy, run_free
from tests.layers.refusals import refusals
from tests.layers.runner import Case, inputs, make, run

H, W = 3, 4
RATIOS, SCALES = (0.5, 1, 2), (1, 2)
A = len(RATIOS) * len(SCALES)


def reference(pre=6000, post=300, nms=0.7, least=16, stride=16, base=16, tops=1, ratios=RATIOS, scales=SCALES):
    def compute(bottoms, blobs):
        scores, offsets, (info,) = bottoms
        count = len(ratios) * len(scales)
        found = []
        for y, x in np.ndindex(*scores.shape[2:]):
            for a in range(count):
                ratio, scale = ratios[a // len(scales)], scales[a % len(scales)]
                wide = math.floor(math.sqrt(base * base / ratio) + 0.5)
                high = math.floor(wide * ratio + 0.5) * scale
                wide *= scale
                centre = (base - 1) / 2
                x1, y1 = x * stride + centre - (wide - 1) / 2, y * stride + centre - (high - 1) / 2
                dx, dy, dw, dh = offsets[0, 4 * a : 4 * a + 4, y, x]
                cx, cy = x1 + wide / 2 + dx * wide, y1 + high / 2 + dy * high
                half_w, half_h = math.exp(dw) * wide / 2, math.exp(dh) * high / 2
                box = [max(0, min(cx - half_w, info[1] - 1)), max(0, min(cy - half_h, info[0] - 1)),
                       max(0, min(cx + half_w, info[1] - 1)), max(0, min(cy + half_h, info[0] - 1))]
                fits = box[2] - box[0] + 1 >= least * info[2] and box[3] - box[1] + 1 >= least * info[2]
                found.append((scores[0, count + a, y, x] * fits, box))
        order = sorted(range(len(found)), key=lambda i: -found[i][0])[:pre]
        kept = greedy([box for _, box in found], order, nms, pixels=1)[:post]
        return [np.array([[0, *found[i][1]] for i in kept]), np.array([found[i][0] for i in kept])][:tops]

    return compute


def bottoms(spread=0.3, info=(48, 64, 1.0)):
    rng = np.random.default_rng(5)
    scores = rng.permutation(2 * A * H * W).reshape(1, 2 * A, H, W) / (2 * A * H * W)
    return [scores, (rng.normal(size=(1, 4 * A, H, W)) * spread).astype(np.float32).astype(float), np.array([info])]


SHAPE = " ".join([f"ratio: {r}" for r in RATIOS] + [f"scale: {s}" for s in SCALES])


def case(name, options, found, given=None, **more):
    more.setdefault("opencv", "it has no least size")
    return Case(name, f'type: "Proposal" proposal_param {{ {SHAPE} {options} }}', given or bottoms(), found, **more)


FREE = [
    case("defaults", "", reference()),
    case("suppression", "nms_thresh: 0.3", reference(nms=0.3)),
    case("few before", "pre_nms_topn: 20 nms_thresh: 0.4", reference(pre=20, nms=0.4)),
    case("small boxes", "min_size: 20 nms_thresh: 0.5", reference(least=20, nms=0.5), bottoms(info=(48, 64, 1.3))),
    case("no least size", "min_size: 1 nms_thresh: 0.5", reference(least=1, nms=0.5), opencv=True),
    case("no least size, few before", "min_size: 1 pre_nms_topn: 25", reference(least=1, pre=25), opencv=True),
    case("other anchors", "feat_stride: 8 base_size: 12 min_size: 4", reference(stride=8, base=12, least=4)),
]
test_free = run_free(FREE)
CASES = [
    case("few after", "post_nms_topn: 7", reference(post=7)),
    case("with scores", "post_nms_topn: 9 nms_thresh: 0.5", reference(post=9, nms=0.5, tops=2), tops=2),
]
test_cases = run(CASES, onnx_in="boxes are suppressed by forks' layers only, DetectionOutput and Proposal")


def test_the_cases_suppress_something():
    found = {c.name: len(c.reference(inputs(c), [])[0]) for c in FREE}
    assert all(7 < n < A * H * W for n in found.values()), found


def test_what_follows_takes_as_many_regions_as_there_are(tmp_path):
    from converters.onnx_check import run_onnx
    from converters.onnx_model import export

    first = make(FREE[1])
    param = caffe_pb2.NetParameter()
    param.CopyFrom(first.definition)
    param.layer.add(name="features", type="Input", top=["features"]).input_param.shape.add(dim=(1, 3, H, W))
    text_of_it = 'name: "p" type: "ROIPooling" bottom: "features" bottom: "t0" top: "pooled" ' \
                 "roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.0625 }"
    param.layer.add().CopyFrom(text.parse(text_of_it, caffe_pb2.LayerParameter).message)
    net = Net(param)
    given = {f"b{i}": torch.tensor(a, dtype=torch.float32) for i, a in enumerate(bottoms())}
    given["features"] = torch.randn(1, 3, H, W)
    pooled = net.run(given).outputs["pooled"]
    count = len(FREE[1].reference(bottoms(), [])[0])
    assert pooled.shape == (count, 3, 2, 2)
    export(net).save(tmp_path / "net.onnx")
    got = run_onnx(tmp_path / "net.onnx", {k: v.numpy() for k, v in given.items()})["pooled"]
    np.testing.assert_allclose(got, pooled.numpy(), rtol=1e-6)


S, D, M = (1, 2 * A, H, W), (1, 4 * A, H, W), (1, 3)
test_refused = refusals([
    (f'type: "Proposal" proposal_param {{ {options} }}', shapes, 1, words) for options, shapes, words in [
        ("scale: 8", [S, D, M], "at least one ratio and one scale"),
        ("ratio: 1", [S, D, M], "at least one ratio and one scale"),
        (f"{SHAPE} feat_stride: 0", [S, D, M], "must be positive"),
        (SHAPE, [(2, *S[1:]), (2, *D[1:]), M], "those of one image"),
        (SHAPE, [(1, A, H, W), D, M], "6 anchors want scores of 12 channels"),
        (SHAPE, [S, (1, 4 * A, W, H), M], "offsets of 24"),
        (SHAPE, [S, D, (3,)], "the image must be"),
        (SHAPE, [S, D], "takes 3 bottom"),
    ]
])
