"""What the paper reports (tables 1 and 2), to stand beside a run of ours on the same data set. Percent; None: lost.

Gao et al. 2019. Table 1 is with the weighted loss; table 2 adds the full model with the original one.
"""

from __future__ import annotations

Five = tuple[float | None, float | None, float | None, float | None, float | None]

MEASURES = ("mA", "Acc", "Prec", "Rec", "F1")

WEIGHTED: dict[str, dict[str, Five]] = {
    "rap": {
        "baseline": (81.42, 49.03, 54.79, 79.24, 64.78),
        "multitask": (81.38, 49.53, 54.82, 78.94, 64.71),
        "mtms S1": (75.74, 37.00, 41.29, 77.08, 53.77),
        "mtms S2": (81.91, 48.90, 54.82, 79.96, 65.05),
        "mtms_att": (82.45, 49.10, 55.00, 80.44, 65.33),
    },
    "peta": {
        "baseline": (85.81, 76.54, 84.23, 87.14, 85.66),
        "multitask": (85.13, 76.83, 84.79, 86.82, 85.79),
        "mtms S1": (78.24, 69.72, 79.81, 83.52, 81.62),
        "mtms S2": (86.32, 77.19, 84.61, 87.15, 85.86),
        "mtms_att": (86.23, 77.21, 84.52, 87.22, 85.85),
    },
}
ORIGINAL: dict[str, dict[str, Five]] = {
    "rap": {"mtms_att": (74.43, 67.09, 79.41, None, None)},
    "peta": {"mtms_att": (85.72, 78.62, 85.12, 87.32, 86.21)},
}


def rows(dataset: str, variant: str, loss: str) -> dict[str, Five]:
    """The paper's rows for that data set, variant and loss, by name; empty where it reports none."""
    table = (WEIGHTED if loss == "weighted" else ORIGINAL).get(dataset, {})
    return {name: five for name, five in table.items() if name.split()[0] == variant}
