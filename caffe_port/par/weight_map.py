"""Weight maps: one network's layers into another's, one source to several targets, declared in weights/maps/*.yaml.

A map holds, besides `source` and `target` in words:

    for:        {variable: [values]}     every `{variable}` in a target name stands for each of its values in turn
    translate:  {text: text}             replaced in source names before the rules see them (optional)
    mean:       [blue, green, red]       what the source's pictures had subtracted, of 0..255 (optional)
    rules:      [{from, to, ...}]        `from` is a regular expression for a whole source name, `to` the target names
                                         (with \\1 ...). The first rule that fits a layer is the one that counts.
    left_out:   [patterns]               source layers that have no place in the target, on purpose

`bias_into` names the BatchNorm behind a convolution that has a bias while the target has none. Then BN(Wx + b) is kept
by subtracting b from the mean: Caffe stores the mean times the scale factor (blob 2), hence b times that factor.

`from_rgb` says of a first convolution that it was made for red, green, blue of 0..1, divided by these deviations: its
input planes are turned round and divided by 255 times theirs, which is the same function of blue, green, red of 0..255.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from caffe_port.errors import WeightsError
from caffe_port.proto.binary import LayerBlobs


@dataclass
class Mapped:
    """What a map made of some weights, and what it did not use."""

    layers: list[LayerBlobs]
    """Under their target names, ready for `Net.copy_from`."""
    unused: list[str] = field(default_factory=list)
    """Source layers with blobs that no rule and no `left_out` pattern names."""
    left_out: list[str] = field(default_factory=list)
    """Source layers that the map leaves out on purpose."""
    unfilled: list[str] = field(default_factory=list)
    """Layers of `only` that got nothing: they keep their fillers."""

    def __str__(self) -> str:
        parts = [f"{len(self.layers)} layers filled"]
        for what, names in (("unused", self.unused), ("left out", self.left_out), ("keep their filler", self.unfilled)):
            if names:
                parts.append(f"{len(names)} {what}: {', '.join(names[:6])}{' ...' if len(names) > 6 else ''}")
        return "; ".join(parts)


def read(path: str | Path) -> dict[str, Any]:
    """A map file; raises WeightsError naming what is wrong in it."""
    with open(path, encoding="utf-8") as f:
        content = yaml.safe_load(f)
    if not isinstance(content, dict) or not isinstance(content.get("rules"), list):
        raise WeightsError(f"{path}: a weight map needs a list called 'rules'")
    known = {"source", "target", "mean", "for", "translate", "rules", "left_out"}
    if strange := set(content) - known:
        raise WeightsError(f"{path}: unknown entries {sorted(strange)}; a weight map has {sorted(known)}")
    for rule in content["rules"]:
        if not {"from", "to"} <= set(rule) <= {"from", "to", "bias_into", "from_rgb"}:
            raise WeightsError(f"{path}: rule {rule} must have 'from' and 'to', and may have 'bias_into' or 'from_rgb'")
    return content


def apply(
    weight_map: dict[str, Any] | str | Path, layers: Sequence[LayerBlobs], only: Iterable[str] | None = None
) -> Mapped:
    """The layers under their target names. `only`: the target net's layers that have blobs; others are dropped.

    Blobs are shared between the copies, not copied: a net that takes them in copies them anyway. Raises WeightsError
    when two source layers claim one target, or a `bias_into` layer is not a BatchNorm of the source.
    """
    rules = read(weight_map) if isinstance(weight_map, (str, Path)) else weight_map
    wanted = None if only is None else list(only)
    given = {translated(rules, layer.name): layer for layer in layers if layer.blobs}
    result = Mapped([])
    fitting = {name: match for name in given if (match := first_rule(rules, name))}
    for name, (rule, found) in fitting.items():
        if "bias_into" in rule and len(given[name].blobs) == 2:
            given |= without_bias(given, name, found.expand(rule["bias_into"]))
        if "from_rgb" in rule:
            given[name] = for_bgr(given[name], rule["from_rgb"])
    made: dict[str, str] = {}
    for name, layer in given.items():
        if name not in fitting:
            on_purpose = any(re.fullmatch(p, layer.name) for p in rules.get("left_out", []))
            (result.left_out if on_purpose else result.unused).append(layer.name)
            continue
        rule, found = fitting[name]
        for target in targets(rules, rule, found):
            if wanted is not None and target not in wanted:
                continue
            if target in made:
                raise WeightsError(f"weight map: both '{made[target]}' and '{layer.name}' go to '{target}'")
            made[target] = layer.name
            result.layers.append(replace(layer, name=target))
    result.unfilled = [name for name in wanted or [] if name not in made]
    return result


def translated(rules: dict[str, Any], name: str) -> str:
    for old, new in rules.get("translate", {}).items():
        name = name.replace(old, new)
    return name


def first_rule(rules: dict[str, Any], name: str) -> tuple[dict[str, Any], re.Match[str]] | None:
    for rule in rules["rules"]:
        if found := re.fullmatch(rule["from"], name):
            return rule, found
    return None


def targets(rules: dict[str, Any], rule: dict[str, Any], found: re.Match[str]) -> list[str]:
    """Every target name: the templates of `to` with each combination of the `for` variables that they use."""
    names: list[str] = []
    variables = rules.get("for", {})
    for template in rule["to"]:
        used = [v for v in variables if f"{{{v}}}" in template]
        for values in product(*(variables[v] for v in used)):
            text = template
            for variable, value in zip(used, values, strict=True):
                text = text.replace(f"{{{variable}}}", value)
            names.append(found.expand(text))
    return names


def without_bias(given: dict[str, LayerBlobs], name: str, norm: str) -> dict[str, LayerBlobs]:
    """The convolution without its bias, and its BatchNorm with that bias taken off the mean; no diffs."""
    layer, behind = given[name], given.get(norm)
    if behind is None or len(behind.blobs) != 3:
        raise WeightsError(f"weight map: '{layer.name}' has a bias, but '{norm}' is no BatchNorm to take it")
    mean, variance, factor = behind.blobs
    shifted = (mean - layer.blobs[1].reshape(mean.shape) * factor.reshape(-1)[0]).astype(np.float32)
    return {
        name: replace(layer, blobs=[layer.blobs[0]], diffs=[]),
        norm: replace(behind, blobs=[shifted, variance, factor], diffs=[]),
    }


def for_bgr(layer: LayerBlobs, deviations: Sequence[float]) -> LayerBlobs:
    """A first convolution for red, green, blue of 0..1 by these deviations, made one for blue, green, red of 0..255."""
    weight = layer.blobs[0]
    if weight.ndim != 4 or weight.shape[1] != len(deviations):
        raise WeightsError(
            f"weight map: '{layer.name}' has weights of {weight.shape}; from_rgb needs {len(deviations)} input planes"
        )
    scaled = weight / (255 * np.asarray(deviations)).reshape(1, -1, 1, 1)
    return replace(layer, blobs=[np.ascontiguousarray(scaled[:, ::-1]).astype(np.float32), *layer.blobs[1:]], diffs=[])
