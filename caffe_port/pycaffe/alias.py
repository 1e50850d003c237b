"""`import caffe` means this package, where no genuine Caffe is installed: for scripts and Python layers kept unchanged.

A finder at the end of `sys.meta_path` answers only when every other finder has not, and hands out the very modules of
`caffe_port.pycaffe`: an entry in `sys.modules` alone would load the submodules a second time.
`python -m caffe_port.pycaffe script.py` installs it and runs a script.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

HERE = "caffe_port.pycaffe"
ELSEWHERE = {"caffe._caffe": HERE, "caffe.pycaffe": HERE, "caffe.proto.caffe_pb2": "caffe_port.proto.caffe_pb2"}


def _own(name: str) -> str:
    return ELSEWHERE.get(name, HERE + name.removeprefix("caffe"))


class _Loader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(_own(spec.name))
        # The import machinery rewrites __spec__ and friends of what it is handed: keep the module's own.
        self._own = {k: getattr(module, k, None) for k in ("__spec__", "__loader__", "__package__", "__path__")}
        return module

    def exec_module(self, module: ModuleType) -> None:
        for key, value in self._own.items():
            if value is not None:
                setattr(module, key, value)


class CaffeAlias(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "caffe" and not name.startswith("caffe."):
            return None
        try:
            found = importlib.util.find_spec(_own(name))
        except ModuleNotFoundError:
            return None
        if found is None:
            return None
        return ModuleSpec(name, _Loader(), is_package=found.submodule_search_locations is not None)


def install(first: bool = False) -> None:
    """Make `import caffe` work; does nothing the second time, or where a genuine Caffe answers before.

    `first`: answer before all others. A script may put the Python folder of a Caffe that is not compiled on the path.
    """
    if not any(isinstance(finder, CaffeAlias) for finder in sys.meta_path):
        sys.meta_path.insert(0 if first else len(sys.meta_path), CaffeAlias())
