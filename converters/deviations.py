"""Where other engines are known to compute something else than Caffe. A difference that this explains is labelled as
theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from caffe_port.graph import Node


@dataclass(frozen=True)
class Deviation:
    """`version`: how the engine's version string must start for the entry to apply."""

    engine: str
    applies: Callable[[Node], bool]
    text: str
    version: str = ""


def _pool_stride_over_kernel(node: Node) -> bool:
    p = node.param.pooling_param
    kernel, stride = (
        (p.kernel_h or p.kernel_size, p.kernel_w or p.kernel_size),
        (p.stride_h or p.stride, p.stride_w or p.stride),
    )
    return not p.global_pooling and any(s > k for s, k in zip(stride, kernel, strict=True))


def _batch_statistics(node: Node) -> bool:
    p = node.param.batch_norm_param
    return p.HasField("use_global_stats") and not p.use_global_stats


def _fractions_of_pixels(node: Node) -> bool:
    p = node.param.prior_box_param
    return any(size != int(size) for size in (*p.min_size, *p.max_size))


def _log_options(node: Node) -> bool:
    p: Any = node.param.log_param
    return p.base != -1 or p.scale != 1 or p.shift != 0


DEVIATIONS = [
    Deviation("opencv", lambda n: n.param.type == "LRN" and n.param.lrn_param.k != 1, "OpenCV ignores LRN's k"),
    Deviation(
        "opencv",
        lambda n: n.param.type == "LRN" and not n.param.lrn_param.HasField("alpha"),
        "OpenCV takes 0.0001 for an LRN alpha that is not given, Caffe 1",
    ),
    Deviation(
        "opencv",
        lambda n: n.param.type == "InnerProduct" and n.param.inner_product_param.transpose,
        "OpenCV ignores InnerProduct's transpose",
    ),
    Deviation(
        "opencv",
        lambda n: n.param.type == "Deconvolution" and any(d != 1 for d in n.param.convolution_param.dilation),
        "OpenCV ignores Deconvolution's dilation",
    ),
    Deviation(
        "opencv",
        lambda n: n.param.type == "MVN" and n.param.mvn_param.normalize_variance and n.param.mvn_param.eps > 1e-6,
        "OpenCV adds MVN's eps to the variance, Caffe to its root",
    ),
    Deviation(
        "opencv", lambda n: n.param.type == "Log" and _log_options(n), "OpenCV ignores Log's base, scale and shift"
    ),
    Deviation(
        "opencv",
        lambda n: n.param.type == "Pooling" and _pool_stride_over_kernel(n),
        "OpenCV rounds a pooling with stride over kernel differently",
    ),
    Deviation(
        "opencv",
        lambda n: n.param.type == "PriorBox" and _fractions_of_pixels(n),
        "OpenCV keeps fractions of PriorBox's sizes, Caffe's SSD cuts them to whole pixels",
    ),
    Deviation(
        "opencv",
        lambda n: n.param.type == "Pooling" and n.param.pooling_param.HasField("round_mode"),
        "OpenCV ignores Pooling's round_mode",
    ),
    Deviation(
        "caffe",
        lambda n: n.param.type == "BatchNorm" and _batch_statistics(n),
        "kendryte-caffe computes batch statistics wrongly",
        version="kendryte-caffe",
    ),
    Deviation("caffe", lambda n: n.param.type == "Clip", "kendryte-caffe has no Clip", version="kendryte-caffe"),
]


def known_deviation(engine: str, version: str, node: Node) -> str | None:
    for entry in DEVIATIONS:
        if entry.engine == engine and version.startswith(entry.version) and entry.applies(node):
            return entry.text
    return None
