"""Packages that only some data sources need, imported when they are."""

from __future__ import annotations

import importlib
from typing import Any

from caffe_port.errors import DataError


def need(module: str, extra: str, what: str) -> Any:
    """The module, or a DataError that names the extra to install; `what` starts the sentence ("reading a LevelDB")."""
    try:
        return importlib.import_module(module)
    except ImportError as e:
        raise DataError(f"{what} needs the package {module} ({e}): pip install 'caffe-port[{extra}]'") from None
