"""Weight maps: one network's layers into another's, declared in weights/maps/*.yaml, and read both ways.

A map is a table of pairs of layer names, written shortly:

    source, target    what the two are, in words
    source_names      caffe (the default), or torch: the names of a state dict, see converters/torch_names.py
    for               {variable: [texts]} or {variable: {source text: target text}}
    rules             [{from, to, bias_into}]: `{variable}` stands for each of its texts in turn, in `from` as the
                      source calls it, in `to` as the target does. `from` and `to` are one name or a list: every one
                      that is there is paired with every one of the other side that is there
    left_out          {source: [patterns], target: [patterns]}: layers without a counterpart on purpose (`*`, `[ab]`)
    prototxt          the target's definition, beside the map's own path
    changes           [{layers: [patterns], set: "text"}]: what of the target's definition (fields of its layers) must
                      be otherwise for it to be the source's network
    differences       [sentences]: what the weights alone do not say
    input             {layer, source: {channels, mean, std}, target: {channels, std}}: the first convolution, and how
                      each network wants its pictures: the order of channels, and (pixel - mean) / std of pixels from
                      0 to 255

`bias_into` names the BatchNorm behind a convolution that has a bias on one side only. A bias that the target has not
goes into the mean: BN(Wx + b) is kept by subtracting b from it (Caffe stores the mean times the scale factor, blob 2,
hence b times that factor). One that the source has not is 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from caffe_port.errors import CaffeError, WeightsError
from caffe_port.proto import caffe_pb2, text
from caffe_port.proto.binary import LayerBlobs

KNOWN = {
    "source", "target", "source_names", "for", "rules", "left_out", "prototxt", "changes", "differences", "input",
}  # fmt: skip
MOST_PAIRS = 100_000
MOST_BYTES = 2**20


@dataclass(frozen=True)
class Pair:
    source: str
    target: str
    bias_into: str | None = None
    """The BatchNorm of the source behind this convolution."""


@dataclass(frozen=True)
class Picture:
    """How a network wants its input: `channels` in order, and (pixel - mean) / std, pixels from 0 to 255. `mean` None:
    whatever the other network's is."""

    channels: str
    std: tuple[float, ...]
    mean: tuple[float, ...] | None = None

    def __str__(self) -> str:
        mean = "" if self.mean is None else f" - {_numbers(self.mean)}"
        std = "" if set(self.std) == {1.0} else f" / {_numbers(self.std)}"
        return f"{self.channels}, pixels from 0 to 255{mean}{std}"


@dataclass(frozen=True)
class WeightMap:
    """A map as read; `reversed()` is the same the other way round."""

    pairs: tuple[Pair, ...]
    source: str = "the source"
    target: str = "the target"
    source_names: str = "caffe"
    target_names: str = "caffe"
    source_left_out: tuple[str, ...] = ()
    target_left_out: tuple[str, ...] = ()
    prototxt: Path | None = None
    changes: tuple[tuple[tuple[str, ...], str], ...] = ()
    differences: tuple[str, ...] = ()
    input_layer: str = ""
    source_picture: Picture | None = None
    target_picture: Picture | None = None

    @property
    def adapted_picture(self) -> Picture | None:
        """How the target takes its pictures once its input is adapted: its own order and std, the source's mean, since
        another mean would not be 0 where the convolution pads. None where the map declares no input."""
        source, target = self.source_picture, self.target_picture
        if source is None or target is None:
            return None
        by_channel = None if source.mean is None else dict(zip(source.channels, source.mean, strict=True))
        mean = target.mean if by_channel is None else tuple(by_channel[c] for c in target.channels)
        return replace(target, mean=mean)

    def reversed(self) -> WeightMap:
        norms = {pair.source: pair.target for pair in self.pairs}
        pairs = tuple(
            Pair(p.target, p.source, norms.get(p.bias_into, p.bias_into) if p.bias_into else None) for p in self.pairs
        )
        targets = {pair.source: pair.target for pair in self.pairs}
        return replace(
            self, pairs=pairs, source=self.target, target=self.source, source_names=self.target_names,
            target_names=self.source_names, source_left_out=self.target_left_out, changes=(), prototxt=None,
            target_left_out=self.source_left_out, input_layer=targets.get(self.input_layer, ""),
            source_picture=self.target_picture, target_picture=self.source_picture,
        )  # fmt: skip


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


def read(path: str | Path) -> WeightMap:
    """A map file. Raises WeightsError that names what is wrong in it."""
    try:
        raw = Path(path).read_bytes()
        if len(raw) > MOST_BYTES:
            raise WeightsError(f"{path}: {len(raw)} bytes; a weight map has at most {MOST_BYTES}")
        content = yaml.safe_load(raw.decode("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as e:
        raise WeightsError(f"{path}: not a weight map: {e}") from e
    try:
        return parse(content, Path(path).parent)
    except WeightsError as e:
        raise WeightsError(f"{path}: {e}") from None


def parse(content: Any, folder: Path = Path()) -> WeightMap:
    """The map that a file's content declares. `folder`: where its paths begin."""
    if not isinstance(content, dict) or not isinstance(content.get("rules"), list):
        raise WeightsError("a weight map needs a list called 'rules'")
    if strange := {str(key) for key in content} - KNOWN:
        raise WeightsError(f"unknown entries {sorted(strange)}; a weight map has {sorted(KNOWN)}")
    names = content.get("source_names", "caffe")
    if names not in ("caffe", "torch"):
        raise WeightsError(f"source_names is {names!r}, not caffe or torch")
    left_out = _table(content, "left_out", {"source", "target"})
    pictures, first = _pictures(content)
    prototxt = content.get("prototxt")
    if prototxt is not None and (not isinstance(prototxt, str) or Path(prototxt).is_absolute()):
        raise WeightsError(f"prototxt is {prototxt!r}, not a path that begins at the map's folder")
    return WeightMap(
        pairs=_pairs(content["rules"], _variables(content)),
        source=str(content.get("source", "the source")), target=str(content.get("target", "the target")),
        source_names=names, source_left_out=_texts(left_out.get("source", []), "left_out.source"),
        target_left_out=_texts(left_out.get("target", []), "left_out.target"),
        prototxt=None if prototxt is None else folder / prototxt, changes=_changes(content),
        differences=_texts(content.get("differences", []), "differences"),
        input_layer=first, source_picture=pictures[0], target_picture=pictures[1],
    )  # fmt: skip


def apply(
    weight_map: WeightMap | str | Path,
    layers: Sequence[LayerBlobs],
    only: Mapping[str, int] | Iterable[str] | None = None,
    adapt_input: bool = False,
) -> Mapped:
    """The layers under their target names. `only`: the target net's layers that have blobs, and how many, where that is
    known; others are dropped. `adapt_input`: the first convolution is made to take the target's pictures.

    Blobs are shared between the copies, not copied: a net that takes them in copies them anyway. Raises WeightsError
    when two source layers claim one target, or a `bias_into` layer is not a BatchNorm of the source.
    """
    rules = weight_map if isinstance(weight_map, WeightMap) else read(weight_map)
    wanted = None if only is None else dict(only) if isinstance(only, Mapping) else dict.fromkeys(only, 0)
    given = {layer.name: layer for layer in layers if layer.blobs}
    paired = {pair.source for pair in rules.pairs}
    result = Mapped([])
    keeps_bias = {pair.source for pair in rules.pairs if wanted and wanted.get(pair.target) == 2}
    for pair in _norm_pairs(rules, given):
        if len(given[pair.source].blobs) == 2 and pair.source not in keeps_bias:
            given |= without_bias(given, pair.source, str(pair.bias_into))
    if adapt_input:
        given |= _adapted(rules, given)
    made: dict[str, str] = {}
    for pair in rules.pairs:
        if pair.source not in given or (wanted is not None and pair.target not in wanted):
            continue
        if pair.target in made:
            if _same(given[made[pair.target]], given[pair.source]):  # copies of one layer, on their way back
                continue
            raise WeightsError(f"weight map: both '{made[pair.target]}' and '{pair.source}' go to '{pair.target}'")
        made[pair.target] = pair.source
        layer = replace(given[pair.source], name=pair.target)
        if pair.bias_into and wanted and wanted.get(pair.target) == 2 and len(layer.blobs) == 1:
            layer = replace(layer, blobs=[*layer.blobs, np.zeros(len(layer.blobs[0]), np.float32)], diffs=[])
        result.layers.append(layer)
    for name in given:
        if name not in paired:
            on_purpose = any(fnmatchcase(name, p) for p in rules.source_left_out)
            (result.left_out if on_purpose else result.unused).append(name)
    result.unfilled = [name for name in wanted or [] if name not in made]
    return result


def fit(weight_map: WeightMap, net: Any) -> tuple[Any, list[str]]:
    """`net`, the target's definition, with what the map changes in it, and sentences about that."""
    fitted = caffe_pb2.NetParameter()
    fitted.CopyFrom(net)
    notes = []
    for patterns, words in weight_map.changes:
        wanted = _layer_fields(words)
        changed = []
        for layer in fitted.layer:
            if not any(fnmatchcase(layer.name, p) for p in patterns):
                continue
            before = layer.SerializeToString(deterministic=True)
            _set_fields(layer, wanted)
            if layer.SerializeToString(deterministic=True) != before:
                changed.append(layer.name)
        if changed:
            notes.append(f"changed, to be the network of the weights: {words} in {', '.join(changed)}")
    return fitted, notes


def without_bias(given: Mapping[str, LayerBlobs], name: str, norm: str) -> dict[str, LayerBlobs]:
    """The convolution without its bias, and its BatchNorm with that bias taken off the mean; no diffs."""
    layer, behind = given[name], given.get(norm)
    if behind is None or len(behind.blobs) != 3:
        raise WeightsError(f"weight map: '{layer.name}' has a bias, but '{norm}' is no BatchNorm to take it")
    mean, variance, factor = behind.blobs
    if not factor.any() and layer.blobs[1].any():
        raise WeightsError(f"weight map: '{norm}' has statistics of nothing (its factor is 0): no mean to take a bias")
    shifted = (mean - layer.blobs[1].reshape(mean.shape) * factor.reshape(-1)[0]).astype(np.float32)
    return {
        name: replace(layer, blobs=[layer.blobs[0]], diffs=[]),
        norm: replace(behind, blobs=[shifted, variance, factor], diffs=[]),
    }


def _same(a: LayerBlobs, b: LayerBlobs) -> bool:
    return a is b or (len(a.blobs) == len(b.blobs) and all(map(np.array_equal, a.blobs, b.blobs)))


# -- the input ---------------------------------------------------------------------------------------------------------


def pictures(rules: WeightMap, adapted: bool) -> list[str]:
    """How the target takes its pictures after the mapping, in words."""
    source, target = rules.source_picture, rules.target_picture
    if source is None or target is None:
        return []
    if adapted:
        return [f"its input, adapted: {rules.adapted_picture}"]
    if (source.channels, source.std) == (target.channels, target.std):
        return []
    return [f"its input is as {rules.source} wants it: {source}; adapt_input makes it take {rules.adapted_picture}"]


def _adapted(rules: WeightMap, given: Mapping[str, LayerBlobs]) -> dict[str, LayerBlobs]:
    """The first convolution over the target's pictures: its channels in their order, times std over std."""
    source, target = rules.source_picture, rules.target_picture
    if source is None or target is None or rules.input_layer not in given:
        raise WeightsError(f"weight map: it declares no input that could be adapted for {rules.target}")
    layer = given[rules.input_layer]
    weight = np.asarray(layer.blobs[0])
    if weight.ndim < 2 or weight.shape[1] != len(source.channels):
        raise WeightsError(f"weight map: '{layer.name}' of shape {weight.shape} takes no {source.channels} pictures")
    order = [source.channels.index(c) for c in target.channels]
    ratio = np.array([t / source.std[i] for t, i in zip(target.std, order, strict=True)])
    scaled = weight[:, order] * ratio.reshape(1, -1, *[1] * (weight.ndim - 2))
    return {layer.name: replace(layer, blobs=[scaled.astype(np.float32), *layer.blobs[1:]], diffs=[])}


def _numbers(values: Sequence[float]) -> str:
    return f"({', '.join(f'{v:g}' for v in values)})"


# -- reading a map -----------------------------------------------------------------------------------------------------


def _norm_pairs(rules: WeightMap, given: Mapping[str, LayerBlobs]) -> list[Pair]:
    """Each source convolution that is there with a norm behind it, once; the norm that is there, if one is."""
    found: dict[str, Pair] = {}
    for pair in rules.pairs:
        if pair.bias_into and pair.source in given and (pair.source not in found or pair.bias_into in given):
            found[pair.source] = pair
    return list(found.values())


Variables = dict[str, list[tuple[str, str]]]


def _variables(content: dict[str, Any]) -> Variables:
    """Each variable's texts, as the source and as the target has them."""
    found: Variables = {}
    for name, values in _table(content, "for", None).items():
        texts = list(values.items()) if isinstance(values, dict) else [(v, v) for v in _list(values)]
        if not texts or not all(isinstance(t, str | int) for pair in texts for t in pair):
            raise WeightsError(f"the variable {name!r} must have texts, or pairs of texts")
        found[str(name)] = [(str(a), str(b)) for a, b in texts]
    return found


def _pairs(rules: list[Any], variables: Variables) -> tuple[Pair, ...]:
    pairs: dict[Pair, None] = {}
    for rule in rules:
        if not isinstance(rule, dict) or not {"from", "to"} <= set(rule) <= {"from", "to", "bias_into"}:
            raise WeightsError(f"rule {rule} must have 'from' and 'to', and may have 'bias_into'")
        sources, targets = _texts(rule["from"], "from"), _texts(rule["to"], "to")
        norms = _texts(rule.get("bias_into", []), "bias_into") or (None,)
        for source, target, norm in product(sources, targets, norms):
            used = [name for name in variables if f"{{{name}}}" in f"{source} {target} {norm}"]
            count = np.prod([float(len(variables[name])) for name in used]) if used else 1
            if len(pairs) + count > MOST_PAIRS:
                raise WeightsError(f"rule {rule} makes more than {MOST_PAIRS} pairs")
            for chosen in product(*(variables[name] for name in used)):
                here, there = ({n: t[side] for n, t in zip(used, chosen, strict=True)} for side in (0, 1))
                behind = None if norm is None else _filled(norm, here)
                pairs[Pair(_filled(source, here), _filled(target, there), behind)] = None
    return tuple(pairs)


def _filled(template: str, texts: Mapping[str, str]) -> str:
    unknown = set(re.findall(r"\{(\w+)\}", template)) - set(texts)
    if unknown:
        raise WeightsError(f"'{template}': 'for' has no {', '.join(sorted(unknown))}")
    return re.sub(r"\{(\w+)\}", lambda found: texts[found[1]], template)


def _changes(content: dict[str, Any]) -> tuple[tuple[tuple[str, ...], str], ...]:
    found = []
    for entry in _list(content.get("changes", [])):
        if not isinstance(entry, dict) or set(entry) != {"layers", "set"} or not isinstance(entry["set"], str):
            raise WeightsError(f"the change {entry} must have 'layers' and 'set'")
        _layer_fields(entry["set"])
        found.append((_texts(entry["layers"], "layers"), entry["set"]))
    return tuple(found)


def _layer_fields(words: str) -> Any:
    try:
        found = text.parse(words, caffe_pb2.LayerParameter)
    except CaffeError as e:
        raise WeightsError(f"the change '{words}': {e}") from e
    if found.unknown:
        raise WeightsError(f"the change '{words}': {found.unknown[0]}")
    return found.message


def _set_fields(message: Any, wanted: Any) -> None:
    """Each field that `wanted` has; one of a list replaces the list."""
    for descriptor, value in wanted.ListFields():
        own = getattr(message, descriptor.name)
        if hasattr(value, "ListFields"):
            own.SetInParent()
            _set_fields(own, value)
        elif hasattr(value, "extend"):
            message.ClearField(descriptor.name)
            getattr(message, descriptor.name).extend(value)
        else:
            setattr(message, descriptor.name, value)


def _pictures(content: dict[str, Any]) -> tuple[tuple[Picture | None, Picture | None], str]:
    held = _table(content, "input", {"layer", "source", "target"})
    if not held:
        return (None, None), ""
    if set(held) != {"layer", "source", "target"} or not isinstance(held["layer"], str):
        raise WeightsError("input needs 'layer', 'source' and 'target'")
    source, target = (_picture(held[side], f"input.{side}") for side in ("source", "target"))
    if sorted(source.channels) != sorted(target.channels):
        raise WeightsError(f"input: the channels {source.channels} and {target.channels} are not the same")
    return (source, target), held["layer"]


def _picture(held: Any, where: str) -> Picture:
    if not isinstance(held, dict) or not {"channels", "std"} <= set(held) <= {"channels", "std", "mean"}:
        raise WeightsError(f"{where} needs 'channels' and 'std', and may have 'mean'")
    channels = held["channels"]
    if not isinstance(channels, str) or len(set(channels)) != len(channels):
        raise WeightsError(f"{where}: channels is {channels!r}, not letters such as RGB")
    numbers: dict[str, tuple[float, ...]] = {}
    for name in ("std", "mean"):
        values = _list(held.get(name, [1] * len(channels)))
        # A float of 32 bits is what it will be; YAML's whole numbers are of any size, and its .nan is equal to nothing.
        if len(values) != len(channels) or not all(isinstance(v, int | float) and abs(v) < 1e38 for v in values):
            raise WeightsError(f"{where}: {name} is {values}, not a number for each of {channels}")
        numbers[name] = tuple(float(v) for v in values)
    if 0 in numbers["std"]:
        raise WeightsError(f"{where}: std must not be 0")
    return Picture(channels, numbers["std"], numbers["mean"] if "mean" in held else None)


def _table(content: dict[str, Any], name: str, known: set[str] | None) -> dict[str, Any]:
    held = content.get(name, {})
    if not isinstance(held, dict) or (known is not None and not set(held) <= known):
        raise WeightsError(f"'{name}' must be a table{'' if known is None else f' of {sorted(known)}'}")
    return held


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _texts(value: Any, where: str) -> tuple[str, ...]:
    texts = _list(value)
    if not all(isinstance(t, str) for t in texts):
        raise WeightsError(f"'{where}' must be a text, or a list of texts, not {value!r}")
    return tuple(texts)
