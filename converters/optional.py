"""Packages that only some formats need: imported where they are needed, with an error that says how to get them."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from caffe_port.errors import ConvertError


def has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def need(module: str, extra: str) -> ModuleType:
    """The imported `module`, or a ConvertError that names the extra to install."""
    try:
        return importlib.import_module(module)
    except ImportError as e:
        raise ConvertError(
            f"this needs the package '{module.split('.')[0]}' ({e}); pip install caffe-port[{extra}]"
        ) from e
