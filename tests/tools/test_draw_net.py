"""draw_net: what is drawn, where it stands, and the files."""

from __future__ import annotations

import random
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from caffe_port.cli.drawing.layout import lay_out
from caffe_port.cli.drawing.net import Graph, draw, edge_label, graph_of, label
from caffe_port.cli.drawing.picture import Text
from caffe_port.errors import NetError
from caffe_port.proto import caffe_pb2, text
from caffe_port.proto.load import read_net
from tests.tools.scripts import ROOT, run

NETS = ROOT / "prototxt"
LENET = NETS / "classic" / "lenet" / "train_test.prototxt"


def layer(given: str) -> caffe_pb2.LayerParameter:
    return text.parse(given, caffe_pb2.LayerParameter).message


CONVOLUTION = 'name: "c" type: "Convolution" convolution_param { num_output: 20 kernel_size: 5 %s }'
LABELS = [
    (CONVOLUTION % "stride: 2", "LR", False, ["c", "(Convolution)", "kernel size: 5", "stride: 2", "pad: 0"], "20"),
    (CONVOLUTION % "pad: 1", "TB", False, ["c (Convolution)", "kernel size: 5 stride: 1 pad: 1"], "20"),
    (CONVOLUTION % "pad_h: 3 pad_w: 1", "BT", True,
     ["c (Convolution)", "kernel size: 5 stride: 1 pad: 3x1 lr mult: 1.0, 1.0"], "20"),
    (CONVOLUTION % "dilation: 4", "TB", False,
     ["c (Convolution)", "kernel size: 5 stride: 1 pad: 0 dilation: 4"], "20"),
    ('name: "d" type: "Deconvolution" convolution_param { num_output: 3 kernel_h: 4 kernel_w: 2 stride: 2 }',
     "TB", False, ["d (Deconvolution)", "kernel size: 4x2 stride: 2 pad: 0"], "3"),
    ('name: "p" type: "Pooling" pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }', "RL", False,
     ["p", "(Pooling AVE)", "kernel size: 3", "stride: 2", "pad: 1"], ""),
    ('name: "p" type: "Pooling" pooling_param { global_pooling: true }', "TB", False,
     ["p (Pooling MAX)", "global"], ""),
    ('name: "i" type: "InnerProduct" param { lr_mult: 0 } param { lr_mult: 2 } inner_product_param { num_output: 7 }',
     "TB", True, ["i (InnerProduct)", "lr mult: 0.0, 2.0"], "7"),
    ('name: "i" type: "InnerProduct" param { lr_mult: 0 } param { lr_mult: 0 }', "TB", True, ["i (InnerProduct)"], "0"),
    ('name: "x" type: "Data" data_param { batch_size: 64 }', "LR", True, ["x", "(Data)"], "Batch 64"),
    ('name: "r" type: "ReLU"', "TB", True, ["r (ReLU)"], ""),
]  # fmt: skip


@pytest.mark.parametrize("given, rankdir, rates, expected, arrow", LABELS)
def test_labels(given: str, rankdir: str, rates: bool, expected: list[str], arrow: str) -> None:
    assert label(layer(given), rankdir, rates) == expected and edge_label(layer(given)) == arrow


def names(graph: Graph) -> list[str]:
    return [" + ".join(part.lines[0] for part in node.parts) for node in graph.nodes]


def test_what_is_drawn_of_a_net() -> None:
    """Both data layers feed the blobs that they share; a layer in place hangs on its blob; phases leave layers out."""
    graph = graph_of(read_net(LENET), "TB")
    assert names(graph).count("mnist (Data)") == 2 and names(graph).count("data") == 1
    assert "ip1 + relu1 (ReLU)" in names(graph) and "accuracy (Accuracy)" in names(graph)
    at = names(graph).index("ip1 + relu1 (ReLU)")
    assert [(names(graph)[a], names(graph)[b], said) for a, b, said in graph.edges if at in (a, b)] == [
        ("ip1 (InnerProduct)", "ip1 + relu1 (ReLU)", "500"),
        ("ip1 + relu1 (ReLU)", "ip2 (InnerProduct)", ""),
    ]
    train = names(graph_of(read_net(LENET), "TB", caffe_pb2.TRAIN))
    assert train.count("mnist (Data)") == 1 and "accuracy (Accuracy)" not in train


def test_phases_by_exclude_and_both() -> None:
    net = text.parse(
        'layer { name: "a" type: "X" top: "a" exclude { phase: TEST } } '
        'layer { name: "b" type: "X" bottom: "a" top: "a" }',
        caffe_pb2.NetParameter,
    ).message
    assert names(graph_of(net, "TB", caffe_pb2.TEST)) == ["a + b (X)"]
    assert names(graph_of(net, "TB", caffe_pb2.TRAIN)) == ["a (X)", "a + b (X)"]
    net.layer[0].include.add(phase=caffe_pb2.TRAIN)
    with pytest.raises(NetError, match="layer 'a' has both include and exclude"):
        graph_of(net, "TB", caffe_pb2.TEST)
    with pytest.raises(NetError, match="there is no layer to draw"):
        graph_of(caffe_pb2.NetParameter())


def test_a_top_over_one_of_several_bottoms_is_a_new_octagon() -> None:
    """Else an arrow would lead back."""
    net = text.parse(
        'layer { name: "in" type: "Input" top: "a" top: "b" } '
        'layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "a" }', caffe_pb2.NetParameter,
    ).message  # fmt: skip
    assert names(graph_of(net, "TB")).count("a") == 2


Sizes = list[tuple[float, float]]
Edges = list[tuple[int, int]]


def random_graph(seed: int) -> tuple[Sizes, Edges]:
    rng = random.Random(seed)
    count = rng.randint(2, 40)
    edges = [(rng.randrange(i), i) for i in range(1, count) for _ in range(rng.randint(0, 3))]
    if seed % 3 == 0:
        edges.append((count - 1, 0))  # a cycle, perhaps
    return [(rng.uniform(10, 200), rng.uniform(10, 60)) for _ in range(count)], edges


@pytest.mark.parametrize("seed", range(30))
def test_boxes_do_not_overlap_and_arrows_end_at_them(seed: int) -> None:
    sizes, edges = random_graph(seed)
    layout = lay_out(sizes, edges, [0.0] * len(edges))
    boxes = [(x - w / 2, y - d / 2, x + w / 2, y + d / 2) for (x, y), (w, d) in zip(layout.centers, sizes, strict=True)]
    for i, a in enumerate(boxes):
        assert a[0] >= -1e-6 and a[1] >= -1e-6 and a[2] <= layout.width + 1e-6 and a[3] <= layout.depth + 1e-6
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] + 1e-6 or b[2] <= a[0] + 1e-6 or a[3] <= b[1] + 1e-6 or b[3] <= a[1] + 1e-6
    for (start, end), path in zip(edges, layout.paths, strict=True):
        for node, (x, y) in ((start, path[0]), (end, path[-1])):
            assert x == pytest.approx(layout.centers[node][0])
            assert min(abs(y - boxes[node][1]), abs(y - boxes[node][3])) < 1e-6


def test_a_chain_is_straight_and_a_diamond_has_no_crossing() -> None:
    chain = lay_out([(30, 10), (90, 10), (10, 10)], [(0, 1), (1, 2)], [0, 0])
    assert len({x for x, _ in chain.centers}) == 1
    edges = [(0, 2), (0, 1), (1, 3), (2, 4), (3, 5), (4, 5)]
    diamond = lay_out([(20, 10)] * 6, edges, [0] * 6)
    assert (diamond.centers[1][0] < diamond.centers[2][0]) == (diamond.centers[3][0] < diamond.centers[4][0])


def test_arrows_lead_where_rankdir_says() -> None:
    net = read_net(LENET)
    for rankdir, axis, sign in (("TB", "y", 1), ("BT", "y", -1), ("LR", "x", 1), ("RL", "x", -1)):
        picture = draw(net, rankdir, caffe_pb2.TRAIN)
        texts = [s for s in picture.shapes if isinstance(s, Text)]
        first, last = (next(s for s in texts if s.text.startswith(name)) for name in ("mnist", "loss"))
        assert sign * (getattr(last, axis) - getattr(first, axis)) > 100
        assert all(0 < s.x < picture.width and 0 < s.y < picture.height for s in texts)


@pytest.mark.parametrize("path", ["classic/googlenet/deploy.prototxt", "hmt/peta/mtms/weighted/deploy.prototxt"])
def test_large_nets_as_svg(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every layer is in it by name."""
    assert run("draw_net", NETS / path, tmp_path / "net.svg", "-rankdir=TB")[0] == 0
    assert capsys.readouterr().out == f"Drawing net to {tmp_path}/net.svg\n"
    shown = {e.text for e in ElementTree.parse(tmp_path / "net.svg").iter() if e.tag.endswith("}text") and e.text}
    for one in read_net(NETS / path).layer:
        assert any(said.startswith(f"{one.name} (") for said in shown), one.name


def test_png(tmp_path: Path) -> None:
    """It is drawn in several strips; the colors of Data, Convolution, blobs and InnerProduct fill areas of it."""
    assert run("draw_net", LENET, tmp_path / "net.png", "--phase", "TRAIN", "--rankdir", "TB")[0] == 0
    pixels = np.asarray(Image.open(tmp_path / "net.png"))
    assert pixels.shape[0] > 3 * 256 and (pixels[0] == 255).all()
    for color in ((100, 149, 237), (255, 80, 80), (224, 224, 224), (204, 51, 255)):
        assert (pixels == color).all(2).mean() > 0.01


BAD = [
    (("net.prototxt", "net.gif"), 1, "net.gif: the picture's name must end in .svg or .png"),
    (("none.prototxt", "net.svg"), 1, "none.prototxt: cannot be read"),
    ((LENET, "none/net.svg"), 1, "No such file or directory"),
    ((LENET, "net.svg", "--rankdir=XY"), 2, "invalid choice"),
]


@pytest.mark.parametrize("argv, expected, message", BAD)
def test_errors(argv: tuple[object, ...], expected: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = run("draw_net", *argv)[0]
    except SystemExit as end:
        status = int(end.code or 0)
    assert status == expected and message in capsys.readouterr().err
