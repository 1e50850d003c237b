"""OpenCV's own reading of prototxt and caffemodel (`cv2.dnn`, before version 5): it owes us nothing."""

from __future__ import annotations

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

        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the exception says it as well
        net = cv2.dnn.readNetFromCaffe(*map(str, case.pair))
        net.enableFusion(False)
        for name, array in case.inputs.items():
            net.setInput(array, name)
        names = [name for name in net.getLayerNames() if name in {n.name for n in case.reference_net.graph.nodes}]
        made = net.forwardAndRetrieve(names)
        return case.by_value(
            {(name, i): top for name, tops in zip(names, made, strict=True) for i, top in enumerate(tops)}
        )
