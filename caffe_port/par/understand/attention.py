"""What the attention module (equations 6 and 7) learned about attributes' relations, against how they occur together.

y_i = b_i + w_i x2_i, where w and b are made of stage I's maps x1. The effect of attribute j on attribute i is the
derivative of the mean of a map of i when stage I's map of j rises by one everywhere, averaged over pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from caffe_port.par.metrics import IGNORE


@dataclass(frozen=True)
class Attention:
    """`w`, `b`, `y`: effect of attribute j's stage-I map (column) on attribute i's w, b and final logit (row). `maps`
    holds par1_map, par2_map, att_w, att_b, att_y of the pictures, (N, I, h, w)."""

    w: np.ndarray
    b: np.ndarray
    y: np.ndarray
    maps: dict[str, np.ndarray]


def attention(net: Any, par1_map: np.ndarray, par2_map: np.ndarray) -> Attention:
    """From a net with the layers att_down, att_w and att_b, and both stages' maps of some pictures."""
    device = net.device
    x1 = torch.from_numpy(np.ascontiguousarray(par1_map)).to(device).requires_grad_(True)
    x2 = torch.from_numpy(np.ascontiguousarray(par2_map)).to(device)
    down = torch.relu(net.layer("att_down")(x1))
    w, b = torch.relu(net.layer("att_w")(down)), net.layer("att_b")(down)
    y = b + w * x2
    maps = {"att_w": w, "att_b": b, "att_y": y}
    arrays = {name: value.detach().cpu().numpy() for name, value in maps.items()}
    everything = {"par1_map": par1_map, "par2_map": par2_map, **arrays}
    return Attention(effect(w, x1), effect(b, x1), effect(y, x1), everything)


def effect(top: torch.Tensor, x1: torch.Tensor) -> np.ndarray:
    """(I, I): change of top's mean map i for a rise of x1's map j by one everywhere, averaged over the pictures."""
    means = top.mean((2, 3)).mean(0)
    rows = []
    for i in range(len(means)):
        (gradient,) = torch.autograd.grad(means[i], x1, retain_graph=True)
        rows.append(gradient.sum((0, 2, 3)).cpu().numpy())
    return np.stack(rows).astype(np.float64)


def cooccurrence(labels: np.ndarray) -> np.ndarray:
    """(I, I): the phi coefficient of each pair of attributes (the correlation of two 0/1 columns) over the records
    where both are known; NaN where one of them never changes."""
    known = labels != IGNORE
    value = np.where(known, labels == 1, 0).astype(np.float64)
    k = known.astype(np.float64)
    n, both = k.T @ k, value.T @ value
    a, b = value.T @ k, k.T @ value
    with np.errstate(invalid="ignore", divide="ignore"):
        return (n * both - a * b) / np.sqrt(a * (n - a) * b * (n - b))


def agreement(phi: np.ndarray, learned: np.ndarray) -> float:
    """Spearman's rank correlation of two matrices beside their diagonals; NaN where there is nothing to correlate."""
    from scipy.stats import spearmanr

    beside = ~np.eye(len(phi), dtype=bool) & np.isfinite(phi)
    if beside.sum() < 3:
        return float("nan")
    return float(spearmanr(phi[beside], learned[beside]).statistic)


def order(phi: np.ndarray) -> list[int]:
    """Attributes that occur together beside each other: the leaves of an average-linkage tree over 1 - phi."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(phi) < 3:
        return list(range(len(phi)))
    apart = 1 - np.nan_to_num(phi)
    apart = (apart + apart.T) / 2
    np.fill_diagonal(apart, 0)
    return leaves_list(linkage(squareform(apart, checks=False), "average", optimal_ordering=True)).tolist()


def strongest(
    learned: np.ndarray, phi: np.ndarray, names: Sequence[str], count: int = 12
) -> list[tuple[str, str, float, float]]:
    """(from j, to i, learned effect, phi) of the strongest pairs."""
    size = np.abs(learned).astype(np.float64)
    np.fill_diagonal(size, -1)
    flat = np.argsort(-size, axis=None)[: min(count, size.size - len(size))]
    pairs = [divmod(int(f), len(names)) for f in flat]
    return [(names[j], names[i], float(learned[i, j]), float(phi[i, j])) for i, j in pairs]
