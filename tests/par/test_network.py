"""The generated networks against what a genuine Caffe ran, against closed forms, and against the files that we ship."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from caffe_port.errors import CaffeError
from caffe_port.net import Net
from caffe_port.par import classic, tree
from caffe_port.par.heads import feature_size
from caffe_port.par.network import generate
from caffe_port.par.settings import VARIANTS
from caffe_port.proto import binary, caffe_pb2, text
from caffe_port.proto.filter import filter_net

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/hmt/stage1_adam"
SMALL = {
    "classes": 5, "width": 8, "size": (64, 32), "loss": "original", "scale": 0.017, "ignore_label": None,
    "sources": "./{kind}_lmdb", "train_images": 16, "test_images": 16, "deploy_batch": 2,
}  # fmt: skip
"""The settings of the golden network: the paper's at width 8 and 64 x 32, with 6 attributes and 5 classes."""


def net_param(source: str):
    return text.parse(source, caffe_pb2.NetParameter).message


def golden(name: str):
    return text.read(GOLDEN / name, caffe_pb2.NetParameter).message


def small(**knobs) -> dict[str, str]:
    return generate("golden", 6, **{**SMALL, **knobs})


def layers(source: str, phase: int = caffe_pb2.TRAIN, stages=()) -> list:
    """The layers of one phase and stage, without the rules that chose them."""
    param = filter_net(net_param(source), phase, stages=stages)
    for layer in param.layer:
        layer.ClearField("include")
        layer.ClearField("exclude")
    return list(param.layer)


def test_deploy_is_the_golden_one() -> None:
    assert net_param(small()["deploy.prototxt"]) == golden("deploy.prototxt")


def test_stage1_is_the_golden_training_net() -> None:
    made, wanted = layers(small()["train_val.prototxt"], stages=["stage1"]), golden("train.prototxt").layer
    assert [layer.name for layer in made] == [layer.name for layer in wanted]
    for ours, theirs in zip(made, wanted, strict=True):
        assert ours == theirs


def test_golden_weights_give_the_golden_outputs() -> None:
    trace = np.load(GOLDEN / "trace.npz")
    net = Net(net_param(small()["deploy.prototxt"]))
    net.copy_from(str(GOLDEN / "final.caffemodel"))
    with torch.no_grad():
        outputs = net(data=torch.from_numpy(trace["x"]))
    for name, value in outputs.items():
        wanted = trace[f"out.{name}"]
        error = np.abs(value.numpy() - wanted).max() / np.abs(wanted).max()
        assert error < 2e-4, f"{name}: off by {error:.2g} of its scale"


LAMBDAS = [
    ("mtms_att", ["stage1"], {"par1_loss": 1, "seg1_loss": 1.5e-4, "par2_loss": 0, "seg2_loss": 0}),
    ("mtms_att", ["joint"], {"par1_loss": 1, "seg1_loss": 1.5e-4, "par2_loss": 1, "seg2_loss": 1.5e-4}),
    ("mtms", [], {"par1_loss": 1, "seg1_loss": 1.5e-4, "par2_loss": 1, "seg2_loss": 1.5e-4}),
    ("multitask", ["joint"], {"par2_loss": 1, "seg2_loss": 1.5e-4}),
    ("baseline", [], {"par2_loss": 1}),
]


@pytest.mark.parametrize(("variant", "stages", "wanted"), LAMBDAS)
@pytest.mark.parametrize("phase", [caffe_pb2.TRAIN, caffe_pb2.TEST])
@pytest.mark.parametrize("loss", ["original", "weighted"])
def test_lambdas(variant, stages, wanted, phase, loss) -> None:
    source = small(variant=variant, loss=loss)["train_val.prototxt"]
    found = {layer.name: layer.loss_weight[0] for layer in layers(source, phase, stages) if layer.loss_weight}
    assert found == pytest.approx(wanted)


def test_pruned_stage1_computes_stage_one_only() -> None:
    source = small(prune_stage1=True)["train_val.prototxt"]
    names = {layer.name for layer in layers(source, stages=["stage1"])}
    assert not [n for n in names if "_main" in n or "4" in n or n.startswith(("par2", "seg2", "att_", "fuse"))]
    assert {"par1_loss", "seg1_loss", "res3d_seg"} <= names
    joint = layers(source, stages=["joint"])
    assert joint == layers(small()["train_val.prototxt"], stages=["joint"])
    assert net_param(small(prune_stage1=True)["deploy.prototxt"]) == golden("deploy.prototxt")


def test_python_loss_files_have_no_field_that_a_stock_caffe_lacks() -> None:
    files = small(loss="weighted", python_loss=True)
    assert set(files) == {
        "train_val_python.prototxt", "deploy.prototxt", "solver_stage1_python.prototxt", "solver_joint_python.prototxt",
    }  # fmt: skip
    losses = [layer for layer in net_param(files["train_val_python.prototxt"]).layer if layer.name.startswith("par")]
    assert {layer.type for layer in losses} == {"Convolution", "Pooling", "Flatten", "Python"}
    assert "weighted_sigmoid" not in files["train_val_python.prototxt"]


def test_solvers_hold_the_papers_values() -> None:
    wanted = {"baseline": 1e-3, "multitask": 1e-4, "mtms": 1e-4, "mtms_att": 3e-4}
    for variant, base_lr in wanted.items():
        files = generate("rap", 51, variant=variant)
        assert ("solver_stage1.prototxt" in files) == variant.startswith("mtms")
        s = text.parse(files["solver_joint.prototxt"], caffe_pb2.SolverParameter).message
        assert (s.type, s.lr_policy, s.stepsize) == ("Adam", "step", 2000 * 33268 // 8)
        assert (s.base_lr, s.gamma, s.weight_decay) == pytest.approx((base_lr, 0.8, 0))
        assert s.net == f"prototxt/hmt/rap/{variant}/weighted/train_val.prototxt"
        assert s.test_iter[0] * 8 >= 8317
    own = generate("rap", 51, step_iterations=500, joint_iterations=1000, base_lr=0.01)["solver_joint.prototxt"]
    s = text.parse(own, caffe_pb2.SolverParameter).message
    assert (s.stepsize, s.max_iter) == (500, 1000) and s.base_lr == pytest.approx(0.01)
    assert list(s.train_state.stage) == ["joint"] and list(s.test_state[0].stage) == ["joint"]


# -- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 32), (250, 100), (70, 35), (65, 47), (96, 40), (67, 61)])
def test_any_input_size_gives_maps_of_that_size(size) -> None:
    net = Net(net_param(small(size=size)["deploy.prototxt"]))
    shapes = {value.name: value.shape for node in net.graph.nodes for value in node.tops}
    assert shapes["seg1_prob"] == shapes["seg2_prob"] == (2, 5, *size)
    assert shapes["par1_map"][2:] == tuple(feature_size(pixels, 8) for pixels in size)
    assert shapes["par2_map"] == shapes["att_down"] == (2, 6, *(feature_size(pixels, 16) for pixels in size))
    crops = [node.name for node in net.graph.nodes if node.param.type == "Crop"]
    assert (not crops) == all(pixels % 16 == 0 for pixels in size)


def test_crop_keeps_pixels_in_place() -> None:
    """A score map with one hot cell lands where the uncropped deconvolution of a divisible size puts it."""
    peaks = {}
    for height in (64, 62, 61):
        net = Net(net_param(small(size=(height, 32), variant="multitask")["deploy.prototxt"]))
        layer_names = [node.name for node in net.graph.nodes]
        up = net.layer("seg2_up")
        score = torch.zeros(1, 5, 4, 2)
        score[0, 0, 1, 1] = 1
        top = up(score)
        if "seg2_crop" in layer_names:
            top = net.layer("seg2_crop")(top, torch.zeros(1, 3, height, 32))
        peaks[height] = top[0, 0]
    assert torch.equal(peaks[64][:62], peaks[62]) and torch.equal(peaks[64][:61], peaks[61])


# -- counts ----------------------------------------------------------------------------------------------------------


def conv(size: int, kernel: int, inputs: int, outputs: int, bias: bool = False) -> tuple[int, int]:
    """Parameters and multiply-adds of a convolution to `size` pixels; BatchNorm and Scale add no multiply-adds."""
    return kernel**2 * inputs * outputs + outputs * bias, size * kernel**2 * inputs * outputs


def normed(size: int, kernel: int, inputs: int, outputs: int) -> tuple[int, int]:
    """A biasless convolution, BatchNorm (mean, variance, one factor) and Scale (factor, bias)."""
    parameters, macs = conv(size, kernel, inputs, outputs)
    return parameters + 4 * outputs + 1, macs


def group(size: int, inputs: int, inner: int, first: bool, count: int) -> tuple[int, int]:
    """`count` bottleneck blocks at `size` pixels; the first changes the width where `first` says so."""
    total = np.zeros(2, np.int64)
    for i in range(count):
        shortcut = first and i == 0
        total += normed(size, 1, inputs, inner)
        total += normed(size, 3, inner, inner)
        total += normed(size, 1, inner, 4 * inner)
        if shortcut:
            total += normed(size, 1, inputs, 4 * inner)
        inputs = 4 * inner
    return tuple(total)


def closed_form(variant: str, w: int, height: int, width: int, attributes: int, classes: int) -> tuple[int, int]:
    """Parameters (BatchNorm's statistics with them) and multiply-adds for one image, size divisible by 16."""
    pixels = height * width
    s2, s3, s4 = pixels // 16, pixels // 64, pixels // 256
    a = np.array(normed(pixels // 4, 7, 3, w)) + group(s2, w, w, True, 3)
    b = np.array(group(s3, 4 * w, 2 * w, True, 4))
    c = np.array(group(s4, 8 * w, 4 * w, True, 3))
    d = np.array(group(s4, 16 * w, 4 * w, False, 3))

    def par(size: int, channels: int) -> np.ndarray:
        return np.array(conv(size, 1, channels, attributes, bias=True))

    def seg(size: int, channels: int, stride: int) -> np.ndarray:
        up = (4 * stride**2 * classes, size * 4 * stride**2 * classes)
        return np.array(conv(size, 1, channels, classes, bias=True)) + up

    heads1, heads2 = par(s3, 8 * w) + seg(s3, 8 * w, 8), par(s4, 16 * w) + seg(s4, 16 * w, 16)
    total = {
        "baseline": a + b + c + d + par(s4, 16 * w),
        "multitask": a + 2 * (b + c + d) + heads2,
        "mtms": a + 3 * b + heads1 + c + 2 * d + heads2,
    }
    total["mtms_att"] = total["mtms"] + conv(s4, 3, attributes, attributes, bias=True)
    total["mtms_att"] += 2 * np.array(conv(s4, 1, attributes, attributes, bias=True))
    return tuple(int(n) for n in total[variant])


@pytest.mark.parametrize("variant", VARIANTS)
def test_counts_of_the_papers_networks(variant) -> None:
    net = Net(net_param(generate("rap", 51, variant=variant)["deploy.prototxt"]))
    assert (net.parameter_count(), net.macs()) == closed_form(variant, 64, 256, 128, 51, 20)


def test_full_network_has_the_published_counts() -> None:
    """The numbers that the documentation names."""
    assert closed_form("mtms_att", 64, 256, 128, 51, 20) == (14_551_800, 3_746_161_024)


# -- the shipped files -----------------------------------------------------------------------------------------------


def test_shipped_files_are_what_the_generator_writes() -> None:
    wrong = [n for n, made in tree.tree() if (ROOT / "prototxt" / n).read_text(encoding="utf-8") != made]
    assert not wrong, f"run `python -m caffe_port.par.tree`: {wrong}"
    names = {n for n, _ in tree.tree()}
    there = [p for folder in ("hmt", "parsing", "classic") for p in (ROOT / "prototxt" / folder).rglob("*.prototxt")]
    assert {str(p.relative_to(ROOT / "prototxt")) for p in there} == names


PUBLISHED = [
    ("lenet", 431_080, (64, 10)),
    ("alexnet", 60_965_224, (10, 1000)),
    ("caffenet", 60_965_224, (10, 1000)),
    ("vgg16", 138_357_544, (10, 1000)),
    ("googlenet", 6_998_552, (10, 1000)),
    ("resnet50", 25_557_032 + 64 + 2 * 26_560 + 53, (1, 1000)),  # conv1's bias; BatchNorm's means, variances, factors
    ("squeezenet_v1.1", 1_235_496, (1, 1000, 1, 1)),
]


@pytest.mark.parametrize(("name", "parameters", "shape"), PUBLISHED)
def test_classic_networks_have_their_published_size(name, parameters, shape) -> None:
    with torch.device("meta"):
        net = Net(net_param(classic.files()[f"{name}/deploy.prototxt"]))
    assert net.parameter_count() == parameters
    assert [value.shape for value in net.graph.nodes[-1].tops] == [shape]


# -- settings that cannot be -----------------------------------------------------------------------------------------

WRONG = [
    ({"variant": "mtsm"}, "variant 'mtsm' is none of"),
    ({"loss": "focal"}, "loss 'focal' is none of"),
    ({"split_ab": "3d"}, "split_ab '3d'"),
    ({"split_cd": "4f"}, "split_cd '4f'"),
    ({"strided": "branch1"}, "strided 'branch1' is neither"),
    ({"size": (8, 64)}, "smaller than block 4f's stride"),
    ({"weight_decay": 5e-4}, "prune_stage1=True"),
    ({"python_loss": True}, "loss='weighted'"),
    ({"train_images": 0}, "give train_images and test_images"),
]


@pytest.mark.parametrize(("knobs", "message"), WRONG)
def test_wrong_settings_are_refused(knobs, message) -> None:
    with pytest.raises(CaffeError, match=message.replace("(", r"\(")):
        small(**knobs)


def test_branches_move_with_the_split() -> None:
    names = {layer.name for layer in net_param(small(split_ab="3b", split_cd="4a")["deploy.prototxt"]).layer}
    assert {"res3b", "res3c_par", "res3c_main", "res4a", "res4b_par", "res4f_seg"} <= names
    assert not {"res3b_par", "res4b", "res4a_par"} & names


def test_published_batch_norm_names() -> None:
    names = {layer.name for layer in net_param(small(bn_names="published")["deploy.prototxt"]).layer}
    assert {"bn_conv1", "scale_conv1", "bn2a_branch1", "scale4a_branch2c", "bn3a_par_branch2b"} <= names


def test_weights_round_trip_between_variants_of_one_stage(tmp_path) -> None:
    """A stage-1 snapshot of the pruned net starts the joint net, whose other layers keep their fillers."""
    pruned = Net(net_param(small(prune_stage1=True)["deploy.prototxt"]))
    pruned.save(str(tmp_path / "stage1.caffemodel"))
    assert {layer.name for layer in binary.read_net(str(tmp_path / "stage1.caffemodel")).layers if layer.blobs}
    joint = Net(net_param(small()["deploy.prototxt"]))
    joint.copy_from(str(tmp_path / "stage1.caffemodel"))
    for name in ("conv1", "res3d_seg_branch2c", "par1_map"):
        assert torch.equal(joint.layer(name).weight, pruned.layer(name).weight)


def test_the_python_files_give_the_native_loss(tmp_path, monkeypatch) -> None:
    """Both forms of the weighted loss, reading the rates' file, over the same records."""
    monkeypatch.syspath_prepend(str(ROOT / "prototxt/hmt"))
    (tmp_path / "rates.txt").write_text("".join(f"attribute {i},0.{i + 1}\n" for i in range(6)))
    found = []
    for python in (False, True):
        files = small(
            loss="weighted", python_loss=python, rates=str(tmp_path / "rates.txt"), ignore_label=255,
            sources=f"{GOLDEN.parent}/{{kind}}_lmdb",
        )  # fmt: skip
        net = Net(net_param(files["train_val_python.prototxt" if python else "train_val.prototxt"]))
        net.copy_from(str(GOLDEN / "final.caffemodel"))
        with torch.no_grad():
            found.append({name: float(value) for name, value in net.run().outputs.items()})
    assert found[0] == pytest.approx(found[1], rel=1e-5) and found[0]["par1_loss"] > 0


def test_batch_norm_speed() -> None:
    layers = net_param(small(bn_fraction=0.95)["deploy.prototxt"]).layer
    fractions = [layer.batch_norm_param.moving_average_fraction for layer in layers if layer.type == "BatchNorm"]
    assert fractions and fractions == pytest.approx([0.95] * len(fractions))
