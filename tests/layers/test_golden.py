"""Every layer case that a genuine Caffe answered, forward and backward, through the pycaffe face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe_port.pycaffe as caffe

GOLDEN = Path(__file__).parents[1] / "golden" / "layers"
CASES = sorted(GOLDEN.glob("*/*.npz"))
TOLERANCE = 2e-4  # float32 sums in another order, relative to the blob's own scale


def close(got: np.ndarray, want: np.ndarray, what: str) -> None:
    assert got.shape == want.shape, f"{what}: shape {got.shape}, not {want.shape}"
    if not want.size:
        return
    assert (np.isnan(got) == np.isnan(want)).all(), f"{what}: NaN in different places"
    error = np.abs(np.nan_to_num(got) - np.nan_to_num(want))
    scale = max(float(np.abs(np.nan_to_num(want)).max()), 1e-2)  # below: sums of large terms that cancel
    worst = np.unravel_index(int(np.argmax(error)), error.shape)
    assert error[worst] <= TOLERANCE * scale, (
        f"{what}{list(map(int, worst))}: {got[worst]!r}, not {want[worst]!r} (scale {scale:g})"
    )


@pytest.mark.parametrize("path", CASES, ids=[f"{p.parent.name}/{p.stem}" for p in CASES])
def test_as_caffe(path: Path, tmp_path: Path) -> None:
    golden = np.load(path)
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(str(golden["prototxt"]))
    net = caffe.Net(str(prototxt), getattr(caffe, str(golden["phase"])))
    parts = {
        kind: {k[len(kind) + 1 :]: golden[k] for k in golden.files if k.startswith(kind + ".")}
        for kind in ("bottom", "param", "top", "top_diff", "bottom_diff", "param_diff", "param_after")
    }
    for key, value in parts["param"].items():
        layer, i = key.rsplit(".", 1)
        net.params[layer][int(i)].data[...] = value
    for name, value in parts["bottom"].items():
        net.blobs[name].reshape(*value.shape)
        net.blobs[name].data[...] = value
    net.forward()
    for name, value in parts["top"].items():
        close(net.blobs[name].data, value, f"top {name}")
    for key, value in parts["param_after"].items():
        layer, i = key.rsplit(".", 1)
        close(net.params[layer][int(i)].data, value, f"param {key} after forward")
    if not (parts["bottom_diff"] or parts["param_diff"]):
        return
    for name, value in parts["top_diff"].items():
        net.blobs[name].diff[...] = value
    net.backward()
    for name, value in parts["bottom_diff"].items():
        close(net.blobs[name].diff, value, f"diff of {name}")
    for key, value in parts["param_diff"].items():
        layer, i = key.rsplit(".", 1)
        close(net.params[layer][int(i)].diff, value, f"diff of param {key}")
