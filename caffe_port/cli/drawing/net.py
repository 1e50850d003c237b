"""A net as a drawing: layers as boxes, blobs as octagons, in-place layers below the blob that they change.

Labels, colors and options are those of python/caffe/draw.py of BVLC Caffe 1.0, except that an in-place layer is no box
of its own between two arrows to and from its blob: it hangs on the blob, in the order of the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from caffe_port.cli.drawing.layout import Layout, lay_out
from caffe_port.cli.drawing.picture import QUIET, Line, Picture, Point, Polygon, Text, text_width
from caffe_port.errors import NetError
from caffe_port.proto import caffe_pb2

RANKDIRS = ("TB", "BT", "LR", "RL")
IN_PLACE, BLOB, LAYER = "#90EE90", "#E0E0E0", "#6495ED"
COLORS = {"Convolution": "#FF5050", "Deconvolution": "#FF5050", "Pooling": "#FF9900", "InnerProduct": "#CC33FF"}
LEARNING = ("Convolution", "Deconvolution", "InnerProduct")
SIZE, LEADING, LABEL = 12.0, 15.0, 10.5  # of the text, and of the labels of arrows
PAD_X, PAD_Y = 10.0, 6.0  # around it
MARGIN, HEAD = 24.0, 44.0


@dataclass
class Part:
    """A box: its lines of text and its color."""

    lines: list[str]
    color: str

    @property
    def width(self) -> float:
        return max(text_width(line, SIZE) for line in self.lines) + 2 * PAD_X

    @property
    def height(self) -> float:
        return LEADING * len(self.lines) + 2 * PAD_Y


@dataclass
class Node:
    """A layer, or a blob with the in-place layers on it; parts stand below each other."""

    parts: list[Part]
    is_blob: bool

    @property
    def width(self) -> float:
        return max(part.width for part in self.parts) + (8 if self.is_blob else 0)

    @property
    def height(self) -> float:
        return sum(part.height for part in self.parts)


@dataclass
class Graph:
    nodes: list[Node] = field(default_factory=list)
    edges: list[tuple[int, int, str]] = field(default_factory=list)  # from, to, label

    def add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1


def graph_of(net: Any, rankdir: str = "LR", phase: int | None = None, display_lrm: bool = False) -> Graph:
    """The boxes and arrows of a NetParameter in today's format; `phase` leaves the other phase's layers out.

    A layer whose top has the name of one of its several bottoms makes a new octagon of that name, so arrows never
    go back. NetError: no layer is left to draw.
    """
    graph = Graph()
    blobs: dict[str, int] = {}

    def blob(name: str, new: bool = False) -> int:
        if new or name not in blobs:
            blobs[name] = graph.add(Node([Part([name], BLOB)], True))
        return blobs[name]

    for layer in net.layer:
        if not _included(layer, phase):
            continue
        lines = label(layer, rankdir, display_lrm)
        if len(layer.bottom) == 1 and list(layer.bottom) == list(layer.top):
            graph.nodes[blob(layer.bottom[0])].parts.append(Part(lines, IN_PLACE))
            continue
        at = graph.add(Node([Part(lines, COLORS.get(layer.type, LAYER))], False))
        graph.edges += [(blob(name), at, "") for name in layer.bottom]
        graph.edges += [(at, blob(name, name in layer.bottom), edge_label(layer)) for name in layer.top]
    if not graph.nodes:
        raise NetError("there is no layer to draw; is it the right phase?")
    return graph


def _included(layer: Any, phase: int | None) -> bool:
    """As draw.py decides: by the phases in the layer's rules alone."""
    if phase is None:
        return True
    if layer.include and layer.exclude:
        raise NetError(f"layer '{layer.name}' has both include and exclude; keep one of them")
    if layer.include:
        return any(not rule.HasField("phase") or rule.phase == phase for rule in layer.include)
    return all(not rule.HasField("phase") or rule.phase != phase for rule in layer.exclude)


def label(layer: Any, rankdir: str, display_lrm: bool = False) -> list[str]:
    """A layer's text: name, type, kernel size, stride and pad; in one line after the other or all beside each other,
    where there is more room."""
    kind = layer.type
    if kind == "Pooling":
        kind += f" {caffe_pb2.PoolingParameter.PoolMethod.Name(layer.pooling_param.pool)}"
    spatial = []
    if layer.type == "Pooling" and layer.pooling_param.global_pooling:
        spatial = ["global"]
    elif layer.type in ("Convolution", "Deconvolution", "Pooling"):
        p = layer.pooling_param if layer.type == "Pooling" else layer.convolution_param
        spatial = [
            f"kernel size: {_extent(p, 'kernel_size', 'kernel', 1)}",
            f"stride: {_extent(p, 'stride', 'stride', 1)}",
            f"pad: {_extent(p, 'pad', 'pad', 0)}",
        ]
        if layer.type != "Pooling" and p.dilation and set(p.dilation) != {1}:
            spatial.append(f"dilation: {_extent(p, 'dilation', 'dilation', 1)}")
    if display_lrm and layer.type in LEARNING:
        rates = ([spec.lr_mult for spec in layer.param] + [1.0, 1.0])[:2]
        if any(rates):
            spatial.append(f"lr mult: {rates[0]:.1f}, {rates[1]:.1f}")
    if rankdir in ("TB", "BT"):
        return [f"{layer.name} ({kind})", *([" ".join(spatial)] if spatial else [])]
    return [layer.name, f"({kind})", *spatial]


def _extent(p: Any, field: str, stem: str, default: int) -> str:
    """One number, or rows x columns where they differ (draw.py shows the first one only)."""
    names = [f"{stem}_h", f"{stem}_w"]
    if names[0] in p.DESCRIPTOR.fields_by_name and any(p.HasField(name) for name in names):
        values = [getattr(p, name) for name in names]
    else:
        value = getattr(p, field)
        values = [value] if isinstance(value, int) else list(value) or [default]
    return str(values[0]) if len(set(values)) == 1 else "x".join(map(str, values))


def edge_label(layer: Any) -> str:
    """What flows out: the batch size of a Data layer, the channels of what has num_output."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    return str(layer.inner_product_param.num_output) if layer.type == "InnerProduct" else ""


def draw(net: Any, rankdir: str = "LR", phase: int | None = None, display_lrm: bool = False) -> Picture:
    """The picture of a net. `rankdir`: where arrows lead, TB (top to bottom), BT, LR or RL."""
    graph = graph_of(net, rankdir, phase, display_lrm)
    across = rankdir in ("LR", "RL")
    sizes = [(n.height, n.width) if across else (n.width, n.height) for n in graph.nodes]
    rooms = [text_width(text, LABEL) + 22 if across and text else 0.0 for _, _, text in graph.edges]
    layout = lay_out(sizes, [(a, b) for a, b, _ in graph.edges], rooms)
    width, height = (layout.depth, layout.width) if across else (layout.width, layout.depth)
    title = net.name or "Net"
    width = max(width, text_width(title, 18))
    picture = Picture(width + 2 * MARGIN, height + HEAD + MARGIN, title)

    def place(point: Point) -> Point:
        x, y = (point[1], point[0]) if across else point
        x, y = (width - x if rankdir == "RL" else x), (height - y if rankdir == "BT" else y)
        return x + MARGIN, y + HEAD

    picture.add(Text(picture.width / 2, HEAD / 2, title, 18))
    for path in layout.paths:
        picture.add(Line([place(p) for p in path], QUIET, 1.2, curved=True, arrow=True))
    for node, center in zip(graph.nodes, layout.centers, strict=True):
        _node(picture, node, place(center), upwards=rankdir == "BT")
    _edge_labels(picture, graph, layout, place, across)
    return picture


def _node(picture: Picture, node: Node, center: Point, upwards: bool) -> None:
    top = center[1] - node.height / 2
    for part in reversed(node.parts) if upwards else node.parts:
        is_octagon = node.is_blob and part is node.parts[0]
        half = (node.width - (8 if node.is_blob and not is_octagon else 0)) / 2
        box = _octagon if is_octagon else _box
        points = box(center[0] - half, top, center[0] + half, top + part.height)
        picture.add(Polygon(points, part.color, "#444444", 1.0, " ".join(part.lines)))
        for n, line in enumerate(part.lines):
            picture.add(Text(center[0], top + PAD_Y + LEADING * (n + 0.5), line, SIZE))
        top += part.height


def _edge_labels(picture: Picture, graph: Graph, layout: Layout, place: Any, across: bool) -> None:
    """Once a layer, beside the arrow near where it leaves."""
    told = set()
    for (start, _, text), path in zip(graph.edges, layout.paths, strict=True):
        if text and start not in told:
            told.add(start)
            (x, y), (next_x, next_y) = place(path[0]), place(path[3])
            wide = text_width(text, LABEL)
            if across:
                x, y = (x + 4, y - 8) if next_x > x else (x - 4 - wide, y - 8)
            else:
                x, y = x + 6, y + (9 if next_y > y else -9)
            behind = Polygon(_box(x, y - 5, x + wide, y + 5), "#ffffff", "#ffffff", 0.0)  # hides arrows that pass
            picture.add(behind, Text(x, y, text, LABEL, QUIET, "start"))


def _box(x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _octagon(x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    c = min(8.0, (y1 - y0) / 3)
    right = [(x1 - c, y0), (x1, y0 + c), (x1, y1 - c), (x1 - c, y1)]
    return [*right, (x0 + c, y1), (x0, y1 - c), (x0, y0 + c), (x0 + c, y0)]
