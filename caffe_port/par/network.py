"""The generator of prototxt/hmt: the paper's networks and its ablations as train_val, deploy and solver files.

    generate("rap", attributes=51, variant="mtms_att", loss="weighted")    -> {file name: text}

The network (sections 3.1-3.3), block letters as in the paper's figure 2:

    baseline    conv1 .. 4f                                              -> par2
    multitask   A = conv1 .. 2c -> par: 3a .. 4f                         -> par2
                                -> seg: 3a .. 4f                         -> seg2
    mtms        A -> B = 3a .. 3d three times: par -> par1, seg -> seg1, main
                mean of the three (equation 4) -> C = 4a .. 4c -> D = 4d .. 4f twice: par -> par2, seg -> seg2
    mtms_att    the same, with par1's maps correcting par2's (equations 6 and 7)

A head's number is its depth: 1 behind block 3d, 2 behind block 4f, in every variant. One train_val file serves both
trainings of the two-stage variants: the solver's `stage` picks the lambdas of equation 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from caffe_port.par import heads, resnet
from caffe_port.par.builder import NetBuilder
from caffe_port.par.prose import deploy_header, solver_text, train_val_header
from caffe_port.par.settings import Settings


def generate(dataset: str, attributes: int, classes: int = 20, **knobs: Any) -> dict[str, str]:
    """The files of one network: train_val, deploy, solver_joint and, for two-stage variants, solver_stage1 (.prototxt).

    `knobs` are the fields of `caffe_port.par.settings.Settings`. With `python_loss=True` train_val and the solvers are
    named `..._python.prototxt` and a stock Caffe can train from them. Raises CaffeError for settings that cannot be.
    """
    settings = Settings(dataset=dataset, attributes=attributes, classes=classes, **knobs)
    suffix = "_python" if settings.python_loss else ""
    files = {f"train_val{suffix}.prototxt": train_val(settings), "deploy.prototxt": deploy(settings)}
    for stage in settings.stages:
        files[f"solver_{stage}{suffix}.prototxt"] = solver_text(settings, stage, f"train_val{suffix}.prototxt")
    return files


def train_val(settings: Settings) -> str:
    """The net for training and test, reading three LMDBs."""
    net = NetBuilder("hmt")
    data_layers(net, settings)
    body(net, settings, partial(heads.loss, net, settings))
    return net.text(train_val_header(settings))


def deploy(settings: Settings) -> str:
    """The net for use: a batch of images in, probabilities out."""
    net = NetBuilder("hmt")
    shape = {"dim": [settings.deploy_batch, 3, *settings.size]}
    net.add("Input", "data", input_param={"shape": [shape]})
    body(net, replace(settings, prune_stage1=False, weight_decay=0.0), partial(heads.probability, net))
    return net.text(deploy_header(settings))


def data_layers(net: NetBuilder, settings: Settings) -> None:
    """Images, attributes and segmentation truth, from LMDBs with the same keys, read side by side in key order."""
    transform: dict[str, Any] = {"mean_value": settings.mean}
    if settings.scale != 1:
        transform["scale"] = settings.scale
    for kind in ("image", "attr", "seg") if settings.segmentation else ("image", "attr"):
        for phase, split, batch in (
            ("TRAIN", "train", settings.batch),
            ("TEST", "test", settings.test_batch or settings.batch),
        ):
            source = {"source": settings.source(kind, split), "batch_size": batch, "backend": "LMDB"}
            net.add(
                "Data", {"image": "data"}.get(kind, kind), include=[{"phase": phase}], data_param=source,
                transform_param=transform if kind == "image" else None,
            )  # fmt: skip
    net.add("Flatten", "attr_flat", "attr")


def body(net: NetBuilder, settings: Settings, end: Callable[[str, int, str], None]) -> None:
    """Everything behind the image; `end(task, number, blob)` closes each head ("par" logits, "seg" scores)."""
    stem = resnet.stem(net, "data", settings.stem or settings.width, settings.norm)
    if settings.two_stage:
        two_stages(net, settings, stem, end)
    else:
        one_stage(net, settings, stem, end)


def one_stage(net: NetBuilder, settings: Settings, stem: str, end: Callable[[str, int, str], None]) -> None:
    """ResNet-50 to 4f, whole (baseline) or split after block A into a branch per task (multitask)."""

    def par_head(bottom: str) -> None:
        end("par", 2, heads.attribute_logits(net, 2, heads.attribute_maps(net, 2, bottom, settings.attributes)))

    trunk = Trunk(net, settings)
    if not settings.segmentation:
        par_head(trunk.to("4f", "", stem))
        return
    shared = trunk.to(settings.split_ab, "", stem)
    par = trunk.to("4f", "par", shared, after=settings.split_ab)
    seg = trunk.to("4f", "seg", shared, after=settings.split_ab)
    par_head(par)
    end("seg", 2, heads.segmentation_scores(net, 2, seg, settings))


def two_stages(net: NetBuilder, settings: Settings, stem: str, end: Callable[[str, int, str], None]) -> None:
    """Stage I with its three branches, their mean, stage II with its two branches, attention."""
    trunk, attributes, ab, cd = Trunk(net, settings), settings.attributes, settings.split_ab, settings.split_cd
    second = {"exclude": [{"stage": ["stage1"]}]} if settings.prune_stage1 else {}
    shared = trunk.to(ab, "", stem)
    par = trunk.to("3d", "par", shared, after=ab)
    seg = trunk.to("3d", "seg", shared, after=ab)
    with net.under(**second):
        main = trunk.to("3d", "main", shared, after=ab)
    maps1 = heads.attribute_maps(net, 1, par, attributes)
    end("par", 1, heads.attribute_logits(net, 1, maps1))
    end("seg", 1, heads.segmentation_scores(net, 1, seg, settings))
    with net.under(**second):
        mean = {"operation": "SUM", "coeff": [1 / 3] * 3}
        shared = trunk.to(cd, "", net.add("Eltwise", "fuse", [par, seg, main], eltwise_param=mean), after="3d")
        par = trunk.to("4f", "par", shared, after=cd)
        seg = trunk.to("4f", "seg", shared, after=cd)
        maps2 = heads.attribute_maps(net, 2, par, attributes)
        if settings.variant == "mtms_att":
            maps2 = heads.attention(net, maps1, maps2, attributes)
        end("par", 2, heads.attribute_logits(net, 2, maps2))
        end("seg", 2, heads.segmentation_scores(net, 2, seg, settings))


class Trunk:
    """Runs of residual blocks with the settings' width and naming."""

    def __init__(self, net: NetBuilder, settings: Settings) -> None:
        self.net, self.width, self.norm, self.strided = net, settings.width, settings.norm, settings.strided

    def to(self, last: str, branch: str, bottom: str, after: str | None = None) -> str:
        """The blocks behind `after` up to and with `last`."""
        return resnet.blocks(self.net, resnet.between(after, last), branch, bottom, self.width, self.norm, self.strided)
