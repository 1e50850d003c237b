"""A graph whose nodes stand in ranks, with a bend in every rank that an edge passes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Ranked:
    """Nodes are 0..first_bend-1; bends follow. `up` and `down` hold neighbours in the ranks beside."""

    widths: list[float]
    depths: list[float]
    ranks: list[int]
    first_bend: int
    up: list[list[int]] = field(default_factory=list)
    down: list[list[int]] = field(default_factory=list)

    def is_bend(self, node: int) -> bool:
        return node >= self.first_bend

    def insert_bends(self, edges: list[tuple[int, int]]) -> list[list[int]]:
        """Each edge as a chain of nodes, one a rank."""
        chains = []
        for a, b in edges:
            chain = [a]
            for rank in range(self.ranks[a] + 1, self.ranks[b]):
                chain.append(len(self.widths))
                self.widths.append(0.0)
                self.depths.append(0.0)
                self.ranks.append(rank)
            chains.append([*chain, b])
        self.up = [[] for _ in self.widths]
        self.down = [[] for _ in self.widths]
        for chain in chains:
            for above, below in zip(chain, chain[1:], strict=False):
                self.down[above].append(below)
                self.up[below].append(above)
        return chains
