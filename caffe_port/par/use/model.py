"""A trained network as a function of pictures: a deploy.prototxt with weights, a run's folder, or an ONNX file.

    model = open_model("runs/drawn")                                  # what `caffe-port par train` left
    model = open_model("nets/deploy.prototxt", weights="joint.caffemodel", device="cuda")
    model = open_model("runs/drawn/model.onnx")                       # by onnxruntime
    for prediction in model.predict([rgb, rgb]): prediction.attributes["Hat"], prediction.labels

Input size is the network's; mean, scale and names come from the train_val.prototxt that belongs to it (beside the
deploy file, or named by a run's run.json) and from the data folder that it reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from caffe_port.errors import CaffeError, DataError
from caffe_port.proto import caffe_pb2, load
from caffe_port.proto.filter import filter_net

HEAD = re.compile(r"(par|seg)(\d?)_prob")
Engine = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""A transformed batch (N, 3, H, W) -> outputs by name."""


@dataclass(frozen=True)
class Transform:
    """From pictures of any size to the network's input: resized (the aspect not kept, as in training), blue, green,
    red, less the mean, times the scale."""

    size: tuple[int, int]
    mean: tuple[float, ...] = ()
    scale: float = 1.0

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        batch = np.stack([self.resized(image) for image in images])[..., ::-1].astype(np.float32)
        if self.mean:
            batch -= np.asarray(self.mean, np.float32)
        return np.ascontiguousarray(batch.transpose(0, 3, 1, 2)) * np.float32(self.scale)

    def resized(self, image: np.ndarray) -> np.ndarray:
        if image.shape[:2] == self.size:
            return image
        return np.asarray(Image.fromarray(image).resize((self.size[1], self.size[0]), Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class Prediction:
    """One picture. `probability` by head ("par1", "par2"), `scores` the classes' probabilities by head (K, H, W) at the
    network's size; `attributes` and `labels` are the last head's. Which exist depends on the network."""

    names: Sequence[str]
    probability: dict[str, np.ndarray]
    scores: dict[str, np.ndarray] = field(repr=False)

    @property
    def attributes(self) -> dict[str, float]:
        if not self.probability:
            return {}
        values = self.probability[max(self.probability)].tolist()
        return dict(zip(self.names, values, strict=True))

    def positives(self, threshold: float = 0.5) -> list[str]:
        """Names above the threshold, the surest first."""
        found = sorted(self.attributes.items(), key=lambda item: -item[1])
        return [name for name, p in found if p > threshold]

    @cached_property
    def labels(self) -> np.ndarray | None:
        """uint8 (H, W) of class numbers at the network's size."""
        return self.scores[max(self.scores)].argmax(0).astype(np.uint8) if self.scores else None

    def labels_at(self, size: tuple[int, int]) -> np.ndarray:
        """Class numbers at another (height, width): the probabilities interpolated, then the likeliest class."""
        import torch

        scores = torch.from_numpy(np.ascontiguousarray(self.scores[max(self.scores)]))[None]
        wide = torch.nn.functional.interpolate(scores, size, mode="bilinear", align_corners=False)
        return wide[0].argmax(0).numpy().astype(np.uint8)


@dataclass
class Model:
    """`source` and `weights` say what it was made of."""

    engine: Engine
    transform: Transform
    attributes: list[str]
    classes: list[str]
    source: str
    weights: str

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        """One forward pass over all the pictures (uint8, (H, W, 3), RGB, any sizes)."""
        if not images:
            return []
        heads = {m[1] + m[2]: v for n, v in self.engine(self.transform(images)).items() if (m := HEAD.fullmatch(n))}
        if not heads:
            raise CaffeError(f"{self.source}: has no output called par2_prob, seg2_prob or seg_prob; give a deploy net")
        out = []
        for i in range(len(images)):
            probability = {h: v[i].reshape(-1) for h, v in heads.items() if h.startswith("par")}
            out.append(
                Prediction(self._names(probability), probability, {h: v[i] for h, v in heads.items() if h[0] == "s"})
            )
        return out

    def _names(self, probability: Mapping[str, np.ndarray]) -> Sequence[str]:
        count = len(next(iter(probability.values()))) if probability else 0
        if count and self.attributes and len(self.attributes) != count:
            raise DataError(f"there are {len(self.attributes)} attribute names, but {self.source} predicts {count}")
        return self.attributes or [f"attribute {i + 1}" for i in range(count)]


def open_model(
    model: str | Path, weights: str | Path | None = None, data: str | Path | None = None, net: str | Path | None = None,
    device: str = "cpu",
) -> Model:  # fmt: skip
    """`model`: a run's folder, a deploy.prototxt (with `weights`) or an .onnx file. `net`: the train_val.prototxt with
    mean and scale, where it is not found; `data`: the folder with attributes.txt and classes.txt, likewise."""
    model = Path(model)
    if model.is_dir():
        model, found, train_val, trained_on = run_files(model)
        weights, net, data = weights or found, net or train_val, data or trained_on
    elif not model.exists():
        raise CaffeError(f"{model}: there is no such model; give a run's folder, a deploy.prototxt or an .onnx file")
    elif model.suffix == ".onnx" and (model.parent / "run.json").exists():
        _, _, train_val, trained_on = run_files(model.parent)
        net, data = net or train_val, data or trained_on
    mean, scale, folder = _transform(Path(net) if net else _beside(model))
    folder = Path(data) if data else folder
    if model.suffix == ".onnx":
        engine, size = onnx_engine(model)
    else:
        if not weights:
            raise CaffeError(f"{model}: give its weights too (a .caffemodel), or the run's folder instead of the file")
        engine, size = torch_engine(model, Path(weights), device)
    return Model(
        engine, Transform(size, mean, scale), _lines(folder / "attributes.txt"), _lines(folder / "classes.txt"),
        str(model), str(weights or model),
    )  # fmt: skip


def run_files(run: Path) -> tuple[Path, Path, Path, str | None]:
    """Deploy file, last weights, train_val file and data folder (if it is known) of a run."""
    from caffe_port.par.run import last_weights

    path = run / "run.json"
    if not path.exists():
        raise CaffeError(
            f"{run}: holds no run.json; give a folder that `caffe-port par train` wrote, or a model's file"
        )
    about = json.loads(path.read_text(encoding="utf-8"))
    # Paths are as they were given: from here, or from where the training was started; a moved run may hold its nets.
    begun = Path(about.get("folder", "."))
    places = [Path(about["nets"]), begun / about["nets"], run / Path(about["nets"]).name]
    nets = next((place for place in places if place.is_dir()), None)
    if nets is None:
        raise CaffeError(f"{run}: its networks {about['nets']} are not there; give their deploy.prototxt and --weights")
    trained = last_weights(run)
    if trained is None:
        raise CaffeError(f"{run}: holds no trained weights yet")
    data = about.get("data")
    if data is not None and not Path(data).is_dir() and (begun / data).is_dir():
        data = str(begun / data)
    return nets / "deploy.prototxt", trained, nets / "train_val.prototxt", data


def _beside(model: Path) -> Path:
    for name in ("train_val.prototxt", "train_val_python.prototxt"):
        if (model.parent / name).exists():
            return model.parent / name
    raise CaffeError(
        f"{model}: there is no train_val.prototxt beside it to take mean and scale from; name it with --net"
    )


def _transform(train_val: Path) -> tuple[tuple[float, ...], float, Path]:
    """Mean, scale and data folder of the layer that makes `data` in the TEST phase."""
    for layer in filter_net(load.read_net(train_val), caffe_pb2.TEST).layer:
        if layer.type == "Data" and layer.top[0] == "data":
            t = layer.transform_param
            return tuple(t.mean_value), t.scale, Path(layer.data_param.source).parent
    raise CaffeError(f"{train_val}: has no Data layer that makes 'data', so mean and scale are unknown")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def torch_engine(deploy: Path, weights: Path, device: str) -> tuple[Engine, tuple[int, int]]:
    import torch

    from caffe_port.net import Net

    net = Net(load.read_net(deploy))
    net.copy_from(str(weights))
    net.to(device)

    def run(batch: np.ndarray) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            return {n: v.float().cpu().numpy() for n, v in net(data=torch.from_numpy(batch).to(device)).items()}

    return run, _plane(net.graph.last["data"].shape, str(deploy))


def onnx_engine(path: Path) -> tuple[Engine, tuple[int, int]]:
    try:
        import onnxruntime
    except ImportError:
        raise CaffeError(f"{path}: needs onnxruntime: pip install caffe-port[onnx]") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    providers = [
        p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in onnxruntime.get_available_providers()
    ]
    session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    names = [output.name for output in session.get_outputs()]
    feed = session.get_inputs()[0]

    def run(batch: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, {feed.name: batch}), strict=True))

    return run, _plane(feed.shape, str(path))


def _plane(shape: Sequence[Any], source: str) -> tuple[int, int]:
    if len(shape) != 4 or not all(isinstance(n, int) and n > 0 for n in shape[2:]):
        raise CaffeError(
            f"{source}: its input is {list(shape)}; expected a batch of pictures of a fixed height and width"
        )
    return int(shape[2]), int(shape[3])
