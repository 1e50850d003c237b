"""The order of the nodes within their ranks: few crossings."""

from __future__ import annotations

from caffe_port.cli.drawing.ranked import Ranked

SWEEPS = 12


def order(graph: Ranked) -> list[list[int]]:
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


def _transpose(graph: Ranked, rows: list[list[int]]) -> None:
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


def _crossings(graph: Ranked, rows: list[list[int]]) -> int:
    total = 0
    for above, below in zip(rows, rows[1:], strict=False):
        places = {node: i for i, node in enumerate(below)}
        ends = [place for node in above for place in sorted(places[n] for n in graph.down[node])]
        total += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
    return total
