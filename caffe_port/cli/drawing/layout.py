"""Places for the nodes of a directed graph, rank below rank, with few crossings and straight long edges.

The method of Sugiyama, Tagawa and Toda (1981): ranks by longest paths, bends for edges over several ranks, an order in
each rank by medians of neighbours, then positions that pull neighbours above each other as far as boxes allow (here the
exact weighted least squares of one rank at a time: pool adjacent violators).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]
SPACE = 18.0  # between two boxes of a rank
BEND_SPACE = 12.0  # between a bend and anything
SWEEPS = 12


@dataclass
class Layout:
    """`centers` of the nodes, `paths` of the edges (a start and three points a Bezier piece), and the whole size."""

    centers: list[Point]
    paths: list[list[Point]]
    width: float
    depth: float


@dataclass
class _Graph:
    """Nodes are 0..n-1; bends follow. `up` and `down` hold neighbours in the ranks beside."""

    widths: list[float]
    depths: list[float]
    ranks: list[int]
    up: list[list[int]] = field(default_factory=list)
    down: list[list[int]] = field(default_factory=list)
    first_bend: int = 0

    def is_bend(self, node: int) -> bool:
        return node >= self.first_bend


def lay_out(sizes: Sequence[Point], edges: Sequence[tuple[int, int]], gap: float = 26.0) -> Layout:
    """Place nodes of `sizes` (across, along) with edges mostly pointing along; `gap`: least distance of ranks."""
    forward = _without_cycles(len(sizes), edges)
    graph = _Graph([w for w, _ in sizes], [d for _, d in sizes], _ranks(len(sizes), forward), first_bend=len(sizes))
    chains = _insert_bends(graph, forward)
    order = _order(graph)
    xs = _positions(graph, order)
    left = min(x - w / 2 for x, w in zip(xs, graph.widths, strict=True))
    xs = [x - left for x in xs]
    tops, depths = _rank_places(graph, order, xs, gap)
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
    """The longest path to each node; then what only feeds others moves down beside its first reader."""
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
        if after[node] and len(before[node]) <= len(after[node]) and all(ranks[b] == 0 or not before[b] for b in before[node]):
            ranks[node] = min(ranks[target] for target in after[node]) - 1
    lowest = min(ranks, default=0)
    return [rank - lowest for rank in ranks]


def _insert_bends(graph: _Graph, edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Each edge as a chain of nodes, one a rank."""
    chains = []
    for a, b in edges:
        chain = [a]
        for rank in range(graph.ranks[a] + 1, graph.ranks[b]):
            chain.append(len(graph.widths))
            graph.widths.append(0.0)
            graph.depths.append(0.0)
            graph.ranks.append(rank)
        chains.append([*chain, b])
    graph.up = [[] for _ in graph.widths]
    graph.down = [[] for _ in graph.widths]
    for chain in chains:
        for above, below in zip(chain, chain[1:], strict=False):
            graph.down[above].append(below)
            graph.up[below].append(above)
    return chains


def _order(graph: _Graph) -> list[list[int]]:
    """The nodes of each rank from left to right: the best of several sweeps down and up by medians."""
    rows: list[list[int]] = [[] for _ in range(max(graph.ranks) + 1)]
    seen: set[int] = set()
    for root in range(len(graph.widths)):  # depth first, so that connected nodes start beside each other
        stack = [root]
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                rows[graph.ranks[node]].append(node)
                stack += reversed(graph.down[node])
    best, fewest = [list(row) for row in rows], _crossings(graph, rows)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        for rank in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            beside = {node: i for i, node in enumerate(rows[rank - 1 if down else rank + 1])}
            _sort_by_medians(rows[rank], graph.up if down else graph.down, beside)
        _transpose(graph, rows)
        crossings = _crossings(graph, rows)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _sort_by_medians(row: list[int], neighbours: list[list[int]], places: dict[int, int]) -> None:
    """Nodes without neighbours keep their places."""

    def median(node: int) -> float:
        at = sorted(places[n] for n in neighbours[node])
        middle = len(at) // 2
        return at[middle] if len(at) % 2 else (at[middle - 1] + at[middle]) / 2

    moving = sorted((n for n in row if neighbours[n]), key=median)
    following = iter(moving)
    row[:] = [next(following) if neighbours[n] else n for n in row]


def _transpose(graph: _Graph, rows: list[list[int]]) -> None:
    """Swap neighbours of a rank as long as that takes crossings away."""
    for _ in range(4):
        improved = False
        for rank, row in enumerate(rows):
            places = [
                {node: i for i, node in enumerate(rows[r])} if 0 <= r < len(rows) else {} for r in (rank - 1, rank + 1)
            ]
            for i in range(len(row) - 1):
                a, b = row[i], row[i + 1]
                gain = sum(
                    _pair(n[a], n[b], where) - _pair(n[b], n[a], where)
                    for n, where in zip((graph.up, graph.down), places, strict=True)
                )
                if gain > 0:
                    row[i], row[i + 1], improved = b, a, True
        if not improved:
            return


def _pair(left: list[int], right: list[int], places: dict[int, int]) -> int:
    """Crossings between the edges of two nodes that stand beside each other."""
    return sum(places[a] > places[b] for a in left for b in right)


def _crossings(graph: _Graph, rows: list[list[int]]) -> int:
    total = 0
    for above, below in zip(rows, rows[1:], strict=False):
        places = {node: i for i, node in enumerate(below)}
        ends = [place for node in above for place in sorted(places[n] for n in graph.down[node])]
        total += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
    return total


def _positions(graph: _Graph, rows: list[list[int]]) -> list[float]:
    """Where each node's middle is across: sweeps that put each rank at its neighbours' weighted means."""
    xs = [0.0] * len(graph.widths)
    for row in rows:
        place = 0.0
        for i, node in enumerate(row):
            place += _apart(graph, row[i - 1], node) if i else 0.0
            xs[node] = place
        middle = place / 2
        for node in row:
            xs[node] -= middle
    for sweep in range(4 * SWEEPS):
        down = sweep % 2 == 0
        last = sweep >= 4 * SWEEPS - 4
        for row in rows if down else reversed(rows):
            wanted, weights = [], []
            for node in row:
                sides = [graph.up[node], graph.down[node]] if last or sweep > SWEEPS else [(graph.up if down else graph.down)[node]]
                pulls = [(xs[n], 8.0 if graph.is_bend(n) and graph.is_bend(node) else 1.0) for side in sides for n in side]
                weight = sum(w for _, w in pulls)
                wanted.append(sum(x * w for x, w in pulls) / weight if weight else xs[node])
                weights.append(weight or 0.1)
            for node, x in zip(row, _apart_at_least(graph, row, wanted, weights), strict=True):
                xs[node] = x
    return xs


def _apart(graph: _Graph, left: int, right: int) -> float:
    """The least distance of the middles of two nodes beside each other."""
    space = BEND_SPACE if graph.is_bend(left) or graph.is_bend(right) else SPACE
    return (graph.widths[left] + graph.widths[right]) / 2 + space


def _apart_at_least(graph: _Graph, row: list[int], wanted: list[float], weights: list[float]) -> list[float]:
    """The places nearest to the wanted ones (least squares) that keep order and distances."""
    shifts = [0.0]
    for left, right in zip(row, row[1:], strict=False):
        shifts.append(shifts[-1] + _apart(graph, left, right))
    blocks: list[tuple[float, float, int]] = []  # mean, weight, nodes
    for x, shift, weight in zip(wanted, shifts, weights, strict=True):
        block = (x - shift, weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            mean, other, count = blocks.pop()
            total = other + block[1]
            block = ((mean * other + block[0] * block[1]) / total, total, count + block[2])
        blocks.append(block)
    means = [mean for mean, _, count in blocks for _ in range(count)]
    return [mean + shift for mean, shift in zip(means, shifts, strict=True)]


def _rank_places(graph: _Graph, rows: list[list[int]], xs: list[float], gap: float) -> tuple[list[float], list[float]]:
    """Top and depth of each rank; ranks stand further apart where edges between them go far sideways."""
    depths = [max(graph.depths[node] for node in row) for row in rows]
    tops = [0.0]
    for row, depth in zip(rows[:-1], depths, strict=False):
        far = max((abs(xs[a] - xs[b]) for a in row for b in graph.down[a]), default=0.0)
        tops.append(tops[-1] + depth + gap + min(far / 12, 2 * gap))
    return tops, depths


def _path(graph: _Graph, chain: list[int], xs: list[float], tops: list[float], depths: list[float]) -> list[Point]:
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
