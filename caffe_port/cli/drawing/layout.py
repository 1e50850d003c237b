"""Places for the nodes of a directed graph, rank below rank, with few crossings and straight long edges.

The method of Sugiyama, Tagawa and Toda (1981): ranks by longest paths, bends for edges over several ranks, an order in
each rank by medians of neighbours (`ordering.py`), then positions in which long edges are straight (`placing.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from caffe_port.cli.drawing.ordering import order
from caffe_port.cli.drawing.placing import positions
from caffe_port.cli.drawing.ranked import Ranked

Point = tuple[float, float]


@dataclass
class Layout:
    """`centers` of the nodes, `paths` of the edges (a start and three points a Bezier piece), and the whole size."""

    centers: list[Point]
    paths: list[list[Point]]
    width: float
    depth: float


def lay_out(
    sizes: Sequence[Point], edges: Sequence[tuple[int, int]], rooms: Sequence[float], gap: float = 26.0
) -> Layout:
    """Place nodes of `sizes` (across, along) with edges mostly pointing along. `rooms`: what each edge needs along for
    its label; `gap`: the least distance of ranks."""
    forward = _without_cycles(len(sizes), edges)
    graph = Ranked([w for w, _ in sizes], [d for _, d in sizes], _ranks(len(sizes), forward), len(sizes))
    chains = graph.insert_bends(forward)
    rows = order(graph)
    xs = positions(graph, rows)
    spaces = [gap] * len(rows)
    for chain, room in zip(chains, rooms, strict=True):
        spaces[graph.ranks[chain[0]]] = max(spaces[graph.ranks[chain[0]]], room)
    left = min(x - w / 2 for x, w in zip(xs, graph.widths, strict=True))
    xs = [x - left for x in xs]
    tops, depths = _rank_places(graph, rows, xs, spaces)
    centers = [(xs[v], tops[graph.ranks[v]] + depths[graph.ranks[v]] / 2) for v in range(len(sizes))]
    paths = []
    for (start, _), chain in zip(edges, chains, strict=True):
        path = _path(graph, chain, xs, tops, depths)
        paths.append(path if chain[0] == start else path[::-1])
    width = max(x + w / 2 for x, w in zip(xs, graph.widths, strict=True))
    return Layout(centers, paths, width, tops[-1] + depths[-1])


def _without_cycles(count: int, edges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The edges, those that close a cycle turned round."""
    following: list[list[int]] = [[] for _ in range(count)]
    for i, (a, _) in enumerate(edges):
        following[a].append(i)
    state, out = [0] * count, list(edges)
    for root in range(count):
        stack = [(root, iter(following[root]))] if not state[root] else []
        state[root] = state[root] or 1
        while stack:
            node, rest = stack[-1]
            for i in rest:
                target = edges[i][1]
                if state[target] == 1:
                    out[i] = (target, node)
                elif state[target] == 0:
                    state[target] = 1
                    stack.append((target, iter(following[target])))
                    break
            else:
                state[node] = 2
                stack.pop()
    return out


def _ranks(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The longest path to each node; then sources, and blobs that come out of them, move down to their first reader."""
    after: list[list[int]] = [[] for _ in range(count)]
    before: list[list[int]] = [[] for _ in range(count)]
    for a, b in edges:
        after[a].append(b)
        before[b].append(a)
    waiting = [len(b) for b in before]
    ready = [v for v in range(count) if not waiting[v]]
    ranks, order = [0] * count, []
    while ready:
        node = ready.pop()
        order.append(node)
        for target in after[node]:
            ranks[target] = max(ranks[target], ranks[node] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for node in reversed(order):
        feeds_only = len(before[node]) <= len(after[node]) and not any(before[b] for b in before[node])
        if after[node] and feeds_only:
            ranks[node] = min(ranks[target] for target in after[node]) - 1
    lowest = min(ranks, default=0)
    return [rank - lowest for rank in ranks]


def _rank_places(
    graph: Ranked, rows: list[list[int]], xs: list[float], spaces: list[float]
) -> tuple[list[float], list[float]]:
    """Top and depth of each rank; ranks stand further apart where edges between them go far sideways."""
    depths = [max(graph.depths[node] for node in row) for row in rows]
    tops = [0.0]
    for row, depth, space in zip(rows[:-1], depths, spaces, strict=False):
        far = max((abs(xs[a] - xs[b]) for a in row for b in graph.down[a]), default=0.0)
        tops.append(tops[-1] + depth + space + min(far / 12, 50.0))
    return tops, depths


def _path(graph: Ranked, chain: list[int], xs: list[float], tops: list[float], depths: list[float]) -> list[Point]:
    """From the lower edge of the first node to the upper edge of the last: curves between ranks, straight within."""

    def ends(node: int) -> tuple[float, float]:
        rank = graph.ranks[node]
        if graph.is_bend(node):
            return tops[rank], tops[rank] + depths[rank]
        middle = tops[rank] + depths[rank] / 2
        return middle - graph.depths[node] / 2, middle + graph.depths[node] / 2

    path = [(xs[chain[0]], ends(chain[0])[1])]
    for node in chain[1:]:
        (x, y), (top, bottom) = path[-1], ends(node)
        middle = (y + top) / 2
        path += [(x, middle), (xs[node], middle), (xs[node], top)]
        if node != chain[-1]:
            path += [(xs[node], top), (xs[node], bottom), (xs[node], bottom)]
    return path
