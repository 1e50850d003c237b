"""Where the nodes of ranks stand across: long edges straight, readers under what they read.

The method of Brandes and Koepf, "Fast and simple horizontal coordinate assignment" (Graph Drawing 2001): nodes are tied
to a median neighbour in blocks that share one place; four such ties (from above and below, left and right first) give
four drawings, and each node takes the mean of its two middle places. Blocks are packed by longest paths. That leaves
gaps where the four differ: what came out straight is then moved, as one, towards its neighbours.
"""

from __future__ import annotations

from caffe_port.cli.drawing.ranked import Ranked

SPACE = 18.0  # between two boxes of a rank
BEND_SPACE = 14.0  # between a bend and anything

STRAIGHT = 0.5  # how far apart the ends of a straight edge may be
SWEEPS = 24

Rows = list[list[int]]


def positions(graph: Ranked, rows: Rows) -> list[float]:
    """The middle of each node; the first of all is near 0."""
    crossed = _conflicts(graph, rows)
    drawings = []
    for downwards in (True, False):
        for leftwards in (True, False):
            ordered = [row if leftwards else row[::-1] for row in (rows if downwards else rows[::-1])]
            roots = _tie(ordered, graph.up if downwards else graph.down, crossed)
            xs = _pack(graph, ordered, roots)
            drawings.append(xs if leftwards else [-x for x in xs])
    spans = [(min(xs), max(xs)) for xs in drawings]
    low, high = min(spans, key=lambda span: span[1] - span[0])
    for i, (xs, span) in enumerate(zip(drawings, spans, strict=True)):
        shift = low - span[0] if i % 2 == 0 else high - span[1]
        drawings[i] = [x + shift for x in xs]
    return _close_gaps(graph, rows, [sum(sorted(places)[1:3]) / 2 for places in zip(*drawings, strict=True)])


def _conflicts(graph: Ranked, rows: Rows) -> set[tuple[int, int]]:
    """Pieces of edges (from above, below) that cross the straight part of a long edge, between two bends: they give
    way."""
    crossed = set()
    for above, below in zip(rows, rows[1:], strict=False):
        places = {node: i for i, node in enumerate(above)}
        start, left = 0, 0
        for i, node in enumerate(below):
            inner = next((n for n in graph.up[node] if graph.is_bend(n)), None) if graph.is_bend(node) else None
            if inner is None and i < len(below) - 1:
                continue
            right = len(above) - 1 if inner is None else places[inner]
            for other in below[start : i + 1]:
                for n in graph.up[other]:
                    if not left <= places[n] <= right and not (graph.is_bend(n) and graph.is_bend(other)):
                        crossed.add((n, other))
            start, left = i, right
    return crossed


def _tie(rows: Rows, neighbours: list[list[int]], crossed: set[tuple[int, int]]) -> list[int]:
    """The first node of each node's block. A node joins the block of a median neighbour in the row before, unless its
    tie would cross one that is there already."""
    root = list(range(len(neighbours)))
    for before, row in zip(rows, rows[1:], strict=False):
        places = {node: i for i, node in enumerate(before)}
        last = -1
        for node in row:
            near = sorted(neighbours[node], key=places.__getitem__)
            middle = (len(near) - 1) / 2
            for i in sorted({int(middle), int(middle + 0.5)}) if near else ():
                other = near[i]
                if places[other] > last and (other, node) not in crossed and (node, other) not in crossed:
                    root[node] = root[other]
                    last = places[other]
                    break
    return root


def _pack(graph: Ranked, rows: Rows, root: list[int]) -> list[float]:
    """Blocks as far left as they go, then those with room towards what is right of them."""
    right: dict[int, dict[int, float]] = {r: {} for r in root}
    left: dict[int, dict[int, float]] = {r: {} for r in root}
    for row in rows:
        for a, b in zip(row, row[1:], strict=False):
            space = max(right[root[a]].get(root[b], 0.0), _apart(graph, a, b))
            right[root[a]][root[b]] = left[root[b]][root[a]] = space
    order = _in_order(right)
    xs: dict[int, float] = {}
    for block in order:
        xs[block] = max((xs[other] + space for other, space in left[block].items()), default=0.0)
    for block in reversed(order):
        room = min((xs[other] - space for other, space in right[block].items()), default=xs[block])
        xs[block] = max(xs[block], room)
    return [xs[r] for r in root]


def _in_order(right: dict[int, dict[int, float]]) -> list[int]:
    """Blocks so that each comes after those left of it."""
    waiting = dict.fromkeys(right, 0)
    for others in right.values():
        for other in others:
            waiting[other] += 1
    ready = [block for block, count in waiting.items() if not count]
    out = []
    while ready:
        block = ready.pop()
        out.append(block)
        for other in right[block]:
            waiting[other] -= 1
            if not waiting[other]:
                ready.append(other)
    return out


def _apart(graph: Ranked, left: int, right: int) -> float:
    """The least distance of the middles of two nodes beside each other."""
    space = BEND_SPACE if graph.is_bend(left) or graph.is_bend(right) else SPACE
    return (graph.widths[left] + graph.widths[right]) / 2 + space


def _close_gaps(graph: Ranked, rows: Rows, xs: list[float]) -> list[float]:
    """Move every straight piece to the mean of its neighbours, as far as those beside it let it, again and again."""
    pieces = _straight_pieces(graph, xs)
    beside: list[tuple[int | None, int | None]] = [(None, None)] * len(xs)
    for row in rows:
        for i, node in enumerate(row):
            beside[node] = (row[i - 1] if i else None, row[i + 1] if i + 1 < len(row) else None)
    for sweep in range(SWEEPS):
        for piece in pieces if sweep % 2 == 0 else reversed(pieces):
            inside = set(piece)
            pulls = [xs[n] for node in piece for n in (*graph.up[node], *graph.down[node]) if n not in inside]
            if not pulls:
                continue
            low = max((xs[a] + _apart(graph, a, n) for n in piece if (a := beside[n][0]) is not None), default=-1e9)
            high = min((xs[b] - _apart(graph, n, b) for n in piece if (b := beside[n][1]) is not None), default=1e9)
            x = min(max(sum(pulls) / len(pulls), low), max(low, high))
            for node in piece:
                xs[node] = x
    return xs


def _straight_pieces(graph: Ranked, xs: list[float]) -> list[list[int]]:
    """The nodes, those together that straight edges join, from left to right."""
    pieces: list[list[int]] = []
    seen: set[int] = set()
    for start in sorted(range(len(xs)), key=xs.__getitem__):
        if start in seen:
            continue
        seen.add(start)
        piece, todo = [], [start]
        while todo:
            node = todo.pop()
            piece.append(node)
            for other in (*graph.up[node], *graph.down[node]):
                if other not in seen and abs(xs[other] - xs[node]) < STRAIGHT:
                    seen.add(other)
                    todo.append(other)
        pieces.append(piece)
    return pieces
