"""One file a layer type; importing the package registers them all, so a new file needs no list."""

from __future__ import annotations

import importlib
import pkgutil

from caffe_port.layers.base import REGISTRY, Layer, register

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["REGISTRY", "Layer", "register"]
