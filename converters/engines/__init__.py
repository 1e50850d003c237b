"""Engines that can run a Caffe net, one small class a file; `validate` sets them side by side.

An engine is a class named `Engine` in a module of this package, with

    name            what the table calls it
    why_not(case)   None, or why it cannot run here (a package that is not installed)
    version(case)   what it is, for the report
    run(case)       the values that it computed, by our value id (`conv1@1`: the second version of an in-place blob)

and, where it has a backward pass, `gradients(case)`: diffs by the names that `case.gradient_names` lists.
"""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from caffe_port.net import Net
from caffe_port.proto import binary
from converters.model import Model

Arrays = dict[str, np.ndarray]


@dataclass
class Case:
    """One net, its weights and its inputs, in every form that an engine may want.

    `original`: the user's own prototxt and caffemodel, for engines that read such files by themselves.
    """

    model: Model
    inputs: Arrays
    folder: Path
    caffe_python: str | None = None
    seeds: Arrays = field(default_factory=dict)
    original: tuple[Path, Path] | None = None

    def net(self) -> Net:
        """A fresh runtime net of the inputs' shapes."""
        net = self.model.runtime()
        net.reshape({name: array.shape for name, array in self.inputs.items()})
        return net

    @cached_property
    def reference_net(self) -> Net:
        return self.net()

    @cached_property
    def pair(self) -> tuple[Path, Path]:
        """A prototxt and a caffemodel in `folder`: the `original` files, or ours, with the inputs' shapes."""
        from converters.deploy import deploy

        if self.original is not None:
            first, second = (Path(shutil.copy(file, self.folder)) for file in self.original)
            return first, second
        shaped, _ = deploy(self.model.net, {name: array.shape for name, array in self.inputs.items()})
        prototxt, weights = self.folder / "net.prototxt", self.folder / "net.caffemodel"
        prototxt.write_text(Model(shaped, None).prototxt, encoding="utf-8")
        binary.write_net(weights, shaped, self.model.layer_blobs())
        return prototxt, weights

    def by_value(self, tops: Mapping[tuple[str, int], np.ndarray]) -> Arrays:
        """Arrays by (layer name, top number) to arrays by value id; layers that our graph lacks are left out."""
        ids = {(node.name, i): top.id for node in self.reference_net.graph.nodes for i, top in enumerate(node.tops)}
        return {ids[key]: array for key, array in tops.items() if key in ids}


class EngineType(Protocol):
    name: str

    def why_not(self, case: Case) -> str | None: ...

    def version(self, case: Case) -> str: ...

    def run(self, case: Case) -> Arrays: ...


def all_engines() -> dict[str, Any]:
    """Name -> an instance of every engine, the reference first."""
    modules = [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    found = [module.Engine() for module in modules if hasattr(module, "Engine")]
    return {engine.name: engine for engine in sorted(found, key=lambda e: (e.name != "functional", e.name))}


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="caffe-port-validate-")
