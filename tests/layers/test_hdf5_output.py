"""HDF5Output: four axes as Caffe writes them, appended forward by forward, read again by HDF5Data."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from caffe_port.errors import CaffeError
from caffe_port.layers import Layer
from caffe_port.layers.hdf5_output import HDF5Output
from caffe_port.proto import caffe_pb2
from tests.layers.data_layer import make, tops


def output(path: Path | str, shapes: list[tuple[int, ...]]) -> Layer:
    param = caffe_pb2.LayerParameter(name="o", type="HDF5Output", bottom=["a", "b"])
    param.hdf5_output_param.file_name = str(path)
    layer = HDF5Output(param)
    layer.setup(shapes)
    assert layer.top_shapes(shapes) == []
    return layer


def test_four_axes(tmp_path: Path) -> None:
    """The shapes that a genuine Caffe wrote for (2, 3) and (2,)."""
    layer = output(tmp_path / "o.h5", [(2, 3), (2,)])
    assert layer(torch.arange(6.0).reshape(2, 3), torch.tensor([4.0, 5.0])) == ()
    with h5py.File(tmp_path / "o.h5") as file:
        stored = {k: (v.shape, v.dtype) for k, v in file.items()}
        assert stored == {"data": ((2, 3, 1, 1), "<f4"), "label": ((2, 1, 1, 1), "<f4")}
        assert file["data"][...].ravel().tolist() == [0, 1, 2, 3, 4, 5]


def test_appends_and_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "o.h5").write_text("what was there before")
    layer = output("o.h5", [(2, 3, 4, 5), (2, 7)])
    assert (tmp_path / "o.h5").read_text() == "what was there before", "only a forward writes"
    data, label = torch.randn(6, 3, 4, 5, dtype=torch.float64, requires_grad=True), torch.randn(6, 7)
    for i in range(3):
        layer(data[2 * i : 2 * i + 2], label[2 * i : 2 * i + 2])
    (tmp_path / "list.txt").write_text("o.h5")
    back = tops(make('type: "HDF5Data" top: "data" top: "label" hdf5_data_param { source: "list.txt" batch_size: 6 }'))
    np.testing.assert_array_equal(back[0], data.detach().float().numpy())
    np.testing.assert_array_equal(back[1][:, :, 0, 0], label.numpy())


@pytest.mark.parametrize(("shapes", "message"), [
    ([(2, 3), (3,)], "data has 2 rows and label 3; they must be as many"),
    ([(2, 1, 1, 1, 1), (2,)], "data has 5 axes; one to four can be written"),
    ([(2,), ()], "label has 0 axes"),
])
def test_bad_shapes(shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(CaffeError, match=rf"layer 'o' \(HDF5Output\): {message}"):
        output("x.h5", shapes)


def test_bad_file(tmp_path: Path) -> None:
    with pytest.raises(CaffeError, match="file_name must be given"):
        output("", [(1,), (1,)])
    with pytest.raises(CaffeError, match="gone/o.h5 cannot be written"):
        output(tmp_path / "gone" / "o.h5", [(1,), (1,)])(torch.zeros(1), torch.zeros(1))
