"""OpenCV's own reading of prototxt and caffemodel (`cv2.dnn`, before version 5): it owes us nothing."""

from __future__ import annotations

import numpy as np

from converters.engines import Arrays, Case
from converters.optional import has


class Engine:
    name = "opencv"

    def why_not(self, case: Case) -> str | None:
        if not has("cv2"):
            return "cv2 not installed; pip install caffe-port[opencv]"
        import cv2

        if not hasattr(cv2.dnn, "readNetFromCaffe"):
            return f"OpenCV {cv2.__version__} no longer reads Caffe; pip install 'opencv-python-headless<5'"
        return None

    def version(self, case: Case) -> str:
        import cv2

        return cv2.__version__

    def run(self, case: Case) -> Arrays:
        """By layers, since OpenCV names values by the layer that makes them."""
        import cv2

        # Silent: the exception says it as well. The function is elsewhere in OpenCV before 4.13.
        (cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2).setLogLevel(0)
        net = cv2.dnn.readNetFromCaffe(*map(str, case.pair))
        net.enableFusion(False)
        for name, array in case.inputs.items():
            net.setInput(array, name)
        nodes = {n.name: n for n in case.reference_net.graph.nodes}
        names = [name for name in net.getLayerNames() if name in nodes]
        made = dict(zip(names, net.forwardAndRetrieve(names), strict=True))
        for name in (n for n, tops in made.items() if len(tops) > 1):
            # Of several tops OpenCV keeps only the first from being overwritten by later layers; now none follows.
            made[name] = net.forwardAndRetrieve([name])[0]
        for name in (n for n in made if nodes[n].param.type == "DetectionOutput"):
            made[name] = [_as_caffe(top, nodes[name].bottoms[0].shape[0]) for top in made[name]]
        return case.by_value({(name, i): top for name, tops in made.items() for i, top in enumerate(tops)})


def _as_caffe(detections: np.ndarray, pictures: int) -> np.ndarray:
    """(1, 1, rows, 7) without the rows of zeros that OpenCV adds up to keep_top_k; no row of Caffe's is one, as its
    score is positive. Where that leaves none, Caffe says so by a row a picture: its number, then -1."""
    kept = detections[:, :, detections.any(axis=(0, 1, 3))]
    if kept.shape[2]:
        return kept
    return np.array([[[[picture, *[-1] * 6] for picture in range(pictures)]]], detections.dtype)
