"""Weights into a net, with the lines that Caffe writes about it, and out of it in the two layouts of snapshots."""

from __future__ import annotations

import contextlib
import os

from caffe_port import hdf5, log
from caffe_port.errors import NetError
from caffe_port.net import Net
from caffe_port.proto.binary import read_net
from caffe_port.proto.upgrade import upgrade_net
from caffe_port.weights import CopySummary, copy_into, is_hdf5, read_layers


def copy_weights(net: Net, path: str | os.PathLike[str]) -> CopySummary:
    """Copy the blobs of `path` into the layers of the same names and log what was not taken.

    Caffe names every layer of the file that the net lacks, with or without blobs (`Net::CopyTrainedLayersFrom`). The
    summary line is ours, and only there when blobs were left out on either side.
    """
    if is_hdf5(path):
        layers = read_layers(path)
        if log.first_time("hdf5.cpp:33"):
            log.info("hdf5.cpp:33", "Datatype class: H5T_FLOAT")
    else:
        file = read_net(path)
        layers = file.layers
        with contextlib.suppress(NetError):  # blobs go by names: they are good whatever else the definition has
            upgrade_net(file.param, str(path))
    known = {node.name for node in net.graph.nodes}
    for layer in layers:
        if layer.name not in known:
            log.info("net.cpp:746", f"Ignoring source layer {layer.name}")
    summary = copy_into(net.graph, layers, str(path))
    if summary.only_in_file or summary.left:
        log.info("net.cpp:746", str(summary))
    return summary


def save_weights(net: Net, path: str | os.PathLike[str], diffs: bool = False) -> None:
    """Write the net's blobs, whole or not at all: HDF5 where the name ends in `.h5`, else a `.caffemodel`."""
    if not str(path).endswith(".h5"):
        net.save(path, diffs)
        return
    layers = net.layer_blobs(diffs)
    for node, layer in zip(net.graph.nodes, layers, strict=True):
        for i, name in enumerate(node.layer.present_blobs):
            if name in node.layer.shared:  # its owner has it; diffs Caffe writes all the same
                layer.blobs[i] = None  # type: ignore[call-overload]  # as write_layers takes it
    hdf5.write_layers(path, layers)
