"""onnxruntime, on the net's ONNX form with every value exposed as an output."""

from __future__ import annotations

from converters.engines import Arrays, Case
from converters.onnx_check import run_onnx
from converters.onnx_model import export
from converters.optional import has


class Engine:
    name = "onnxruntime"

    def why_not(self, case: Case) -> str | None:
        return None if has("onnxruntime") else "not installed; pip install caffe-port[onnxruntime]"

    def version(self, case: Case) -> str:
        import onnxruntime

        return onnxruntime.__version__

    def run(self, case: Case) -> Arrays:
        exported = export(case.reference_net, expose=True)
        path = case.folder / "exposed.onnx"
        exported.save(path)
        made = run_onnx(path, case.inputs)
        return {id: made[name] for id, name in exported.names.items() if name in made}
