"""Published weights to start from, brought into a net by a map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from caffe_port import weight_map
from caffe_port.errors import WeightsError
from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, load
from caffe_port.proto.binary import LayerBlobs
from caffe_port.weight_map import WeightMap
from caffe_port.weights import read_layers


def start(weights: Sequence[str], rules: str | Path | None, net: str | Path, folder: str | Path) -> Path:
    """The weights under the layer names of `net` (a train_val.prototxt), in <folder>/start.caffemodel, made once; what
    the map left over in start.txt. `rules` None: by name. WeightsError where nothing fits, a shape does not,
    or the map wants another definition than `net`, as torchvision's strides do."""
    target = Path(folder) / "start.caffemodel"
    if target.exists():
        return target
    definition = load.read_net(net)
    by_map = weight_map.read(rules) if rules else None
    if by_map is not None:
        unlike = [note.partition(": ")[2] for note in weight_map.fit(by_map, definition)[1]]
        if unlike:
            raise WeightsError(
                f"{rules}: for these weights {net} must have {'; '.join(unlike)}: {'; '.join(by_map.differences)}"
            )
    made = Net(definition, caffe_pb2.TRAIN)
    layers = [layer for path in weights for layer in _layers(Path(path), by_map)]
    if by_map is not None:
        wanted = [n.name for n in made.graph.nodes if n.layer.present_blobs]
        mapped = weight_map.apply(by_map, layers, wanted, adapt_input=by_map.adapted_picture is not None)
        if not mapped.layers:
            given = ", ".join([layer.name for layer in layers if layer.blobs][:8])
            raise WeightsError(f"{rules}: names no layer of {', '.join(map(str, weights))}, which has {given} ...")
        Path(folder, "start.txt").write_text(f"{mapped}\n", encoding="utf-8")
        layers = mapped.layers
    made.copy_from(layers)
    made.save(target)
    return target


def _layers(path: Path, rules: WeightMap | None) -> list[LayerBlobs]:
    if rules is None or rules.source_names != "torch":
        return read_layers(str(path))
    from converters import torch_names, torch_weights

    return torch_names.layers_of(torch_weights.read_state(path))
