"""The hub: which format a file name means, and the three verbs. Adding a format is adding one module to this package.

A format module declares `EXTENSIONS = (".npz",)` and has one or both of

    read(path: Path, net: NetParameter | None) -> Model
        `net`: the user's model=..., as its deploy net; it overrides a net inside the file
    write(model: Model, path: Path, **options)
        may write more files beside `path`, and need not be atomic; an option `check` says whether proofs are wanted
    check(model: Model, path: Path, written) -> str
        optional: prove what `write` wrote and returned (`written`); a sentence for the report
    IN_FOLDERS
        optional: those of its EXTENSIONS that are models where a whole folder is converted; all, unless it says so
    read_state(path: Path) -> dict of arrays, write_state(arrays, path: Path)
        optional: the format can hold a state dict of foreign names, for weight maps

`write` works in a folder of its own beside the target; what it wrote is checked there (by `check`, or by reading it
back and comparing every blob bit for bit) and only then moved into place, so a target appears whole and proven or not
at all.
"""

from __future__ import annotations

import filecmp
import importlib
import inspect
import os
import pkgutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from torch import nn

import converters
from caffe_port import weight_map
from caffe_port.errors import CaffeError, ConvertError, WireError
from caffe_port.proto import load
from caffe_port.weight_map import WeightMap
from converters import fold, named
from converters.deploy import deploy, parse_inputs
from converters.model import Model
from converters.spelling import in_stock_words

PathLike = str | os.PathLike[str]
Inputs = Mapping[str, Sequence[int]] | Sequence[str] | str | None
PIECE = 2**24
"""Weights compared at a time, after which the memory of a mapped source is given back: 64 MiB."""


@dataclass
class Report:
    """What a conversion did: `files` written, `notes` on what was left out or assumed, `check` what was proven."""

    source: str
    target: str
    files: list[str]
    check: str
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        lines = [f"{self.source} -> {', '.join(self.files)} ({self.seconds:.1f} s)"]
        return "\n".join(lines + [f"  check: {self.check}"] + [f"  note: {n}" for n in self.notes])


@cache
def formats() -> dict[str, ModuleType]:
    """Extension -> format module."""
    found: dict[str, ModuleType] = {}
    for info in pkgutil.iter_modules(converters.__path__):
        module = importlib.import_module(f"converters.{info.name}")
        for extension in getattr(module, "EXTENSIONS", ()):
            if extension in found:
                raise ValueError(f"{extension} is declared by {found[extension].__name__} and {module.__name__}")
            found[extension] = module
    return found


def format_of(path: PathLike, verb: str) -> ModuleType:
    """The module for the longest extension that fits; ConvertError when none does or it cannot do `verb`."""
    name = Path(path).name.lower()
    for extension in sorted(formats(), key=len, reverse=True):
        if name.endswith(extension):
            module = formats()[extension]
            if hasattr(module, verb):
                return module
            raise ConvertError(
                f"{path}: {extension} files cannot be {verb if verb == 'read' else 'written'} here; {_able(verb)}"
            )
    raise ConvertError(f"{path}: no format has this extension; {_able(verb)}")


def _able(verb: str) -> str:
    able = sorted(e for e, module in formats().items() if hasattr(module, verb))
    return f"files that can be {verb if verb == 'read' else 'written'}: {', '.join(able)}"


def read(
    path: PathLike | Any,
    model: PathLike | Any | None = None,
    input: Inputs = None,
    names: PathLike | WeightMap | None = None,
    adapt_input: bool = False,
) -> Model:
    """The model in `path`, as its deploy net (see deploy.py). `path` may be a live `torch.nn.Module`, with `input`.

    `model`: the prototxt (a path or a NetParameter) that the weights belong to, for files that hold weights only or
    another net than wanted. `input`: shapes of inputs, see `deploy.parse_inputs`. `names`: a weight map
    (weights/maps/*.yaml) from the names in the file to the net's; `adapt_input`: the first convolution takes pictures
    as the map's target wants them. Raises ConvertError, WireError, WeightsError, or what the prototxt itself raises.
    """
    if isinstance(path, nn.Module):
        from converters.torch_module import from_module

        return from_module(path, parse_inputs(input))
    path = Path(path)
    module = format_of(path, "read")
    if not path.is_file():
        raise ConvertError(f"{path}: there is no such file")
    net: Any = None
    notes: list[str] = []
    if model is not None:
        net, notes = deploy(
            load.read_net(model) if isinstance(model, str | os.PathLike) else model, parse_inputs(input)
        )
    try:
        if names is not None:
            raw = named.read(path, module, _map(names), net, adapt_input)
        else:
            raw = module.read(path, net)
    except (CaffeError, ImportError):
        raise
    except Exception as e:  # parsers of other people's formats raise what they like on a damaged file
        raise WireError(f"{path}: damaged, or not a {path.suffix} file: {type(e).__name__}: {e}") from e
    raw.notes = notes + raw.notes
    return deployed(raw, input)


def deployed(model: Model, input: Inputs = None) -> Model:
    """`model` as its deploy net, in stock Caffe's words, with the weights of the layers that it keeps."""
    net, notes = deploy(model.net, parse_inputs(input))
    layers = model.layers
    if layers is not None:
        kept = {layer.name for layer in net.layer}
        unused = [weights.name for weights in layers if weights.name not in kept and weights.blobs]
        layers = [weights for weights in layers if weights.name in kept and weights.blobs]
        if unused:
            notes.append(f"weights of layers that the net does not have were left out: {', '.join(unused)}")
    net, layers, split = in_stock_words(net, layers)
    return Model(net, layers, model.notes + notes + split)


def write(
    model: Model,
    path: PathLike,
    check: bool = True,
    names: PathLike | WeightMap | None = None,
    adapt_input: bool = False,
    fuse: bool = False,
    **options: Any,
) -> Report:
    """Write `model` in the format of `path`'s extension, prove it, move it into place; see the module's docstring.

    `fuse`: BatchNorm and Scale go into the layers before them, see fold.py; off, since what is joined stays so.
    `names`: a weight map from the net's names to those of a state dict, which is what is written then.
    """
    start, path = time.perf_counter(), Path(path)
    module = format_of(path, "write")
    _refuse_unknown_options(module, path, options)
    original, model = model, fold.folded(model) if fuse else model
    if not path.parent.is_dir():
        raise ConvertError(f"{path}: the folder {path.parent} does not exist")
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as staged:
        temporary = Path(staged) / path.name
        if "check" in inspect.signature(module.write).parameters:
            options["check"] = check
        if names is not None:
            written = named.write(model, temporary, module, _map(names), adapt_input)
        else:
            written = module.write(model, temporary, **options)
        proof = "not checked, as asked"
        if check and fuse:
            fold.check(original, model)
        if check and names is not None:
            proof = named.check(temporary, module, written)
        elif check:
            proof = (
                module.check(model, temporary, written)
                if hasattr(module, "check")
                else check_reads_back(model, temporary)
            )
        files = sorted(Path(staged).iterdir(), key=lambda f: (f.name != path.name, f.name))
        _spare_other_files(path, files)
        _move(files, path.parent)
    notes = list(dict.fromkeys(model.notes))
    return Report(
        model.name, str(path), [str(path.parent / f.name) for f in files], proof, notes, time.perf_counter() - start
    )


def convert(
    source: PathLike | Any,
    target: PathLike,
    model: PathLike | Any | None = None,
    input: Inputs = None,
    check: bool = True,
    names: PathLike | WeightMap | None = None,
    adapt_input: bool = False,
    reverse: bool = False,
    **options: Any,
) -> Report:
    """Read `source`, write `target`. Usually: `convert("net.caffemodel", "net.onnx", model="deploy.prototxt")`.

    `names`: a weight map, by which a foreign state dict is read, or one is written where only the target can be one;
    `reverse` is for maps and files that do not tell the direction. `adapt_input`: see `read`.
    """
    start = time.perf_counter()
    if not isinstance(source, nn.Module) and Path(source).resolve() == Path(target).resolve():
        raise ConvertError(f"{source}: source and target are the same file")
    format_of(target, "write")
    if names is None:
        report = write(read(source, model, input), target, check, **options)
    elif _is_written(rules := _map(names), source, target, reverse):
        report = write(read(source, model, input), target, check, rules.reversed(), adapt_input, **options)
    else:
        rules = rules.reversed() if reverse else rules
        report = write(read(source, model, input, rules, adapt_input), target, check, **options)
    report.source = type(source).__name__ if isinstance(source, nn.Module) else str(source)
    report.seconds = time.perf_counter() - start
    return report


def _map(names: PathLike | WeightMap) -> WeightMap:
    return names if isinstance(names, WeightMap) else weight_map.read(Path(names))


def _is_written(rules: WeightMap, source: PathLike | Any, target: PathLike, reverse: bool) -> bool:
    """Whether the map's foreign names are those of the target: where the source cannot have them, or `reverse` says."""
    if rules.source_names != "torch" or not hasattr(format_of(target, "write"), "write_state"):
        return False
    return reverse or isinstance(source, nn.Module) or not hasattr(format_of(source, "read"), "read_state")


def check_reads_back(model: Model, path: Path) -> str:
    """Read what was written and demand the same blobs, bit for bit."""
    module = format_of(path, "read")
    model.release()
    again = deployed(module.read(path, model.net))
    ours, theirs = model.named_blobs(), again.named_blobs()
    different = [key for key in ours if not _same_bits(ours[key], theirs[key], model.release)]
    if different:
        raise ConvertError(f"{path.name}: reads back different in {', '.join(different)}; nothing was written")
    return f"reads back equal, bit for bit ({len(ours)} blobs)"


def _same_bits(a: np.ndarray, b: np.ndarray, after: Callable[[], None]) -> bool:
    """Equal as float32 bits, NaNs included; in pieces, without a copy, and with `after` called after large ones."""
    if a.dtype != b.dtype or a.dtype != np.float32:
        a, b = a.astype(np.float32), b.astype(np.float32)
    if a.shape != b.shape:
        return False
    mine, theirs = (np.ascontiguousarray(x).reshape(-1).view(np.uint32) for x in (a, b))
    for at in range(0, mine.size, PIECE):
        if not np.array_equal(mine[at : at + PIECE], theirs[at : at + PIECE]):
            return False
        if mine.size > PIECE // 16:
            after()
    return True


def _refuse_unknown_options(module: ModuleType, path: Path, options: Mapping[str, Any]) -> None:
    known = [name for name in list(inspect.signature(module.write).parameters)[2:] if name != "check"]
    unknown = [o for o in options if o not in known]
    if unknown:
        takes = f"it takes {', '.join(known)}" if known else "it takes none"
        raise ConvertError(f"{path}: writing this format has no option {', '.join(unknown)}; {takes}")


def _spare_other_files(path: Path, files: Sequence[Path]) -> None:
    """A file that goes beside the target replaces one of that name only where an earlier target explains it."""
    for file in files:
        there = path.parent / file.name
        if there != path and there.exists() and not path.exists() and not filecmp.cmp(there, file, shallow=False):
            raise ConvertError(
                f"{path} goes with {there}, which is there and holds something else; choose another name"
            )


def _move(files: Sequence[Path], folder: Path) -> None:
    for file in files:
        with open(file, "rb") as f:
            os.fsync(f.fileno())
    for file in files:
        os.replace(file, folder / file.name)
