"""Describe the devices that the other commands can use, as `caffe device_query` does."""

from __future__ import annotations

import argparse

from caffe_port.cli.flags import add_gpu

NAME = "device_query"
HELP = "describe the GPUs that can be used"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_gpu(parser)


def run(args: argparse.Namespace) -> int:
    import torch

    from caffe_port.cli.device import gpu_ids
    from caffe_port.log import info

    ids = gpu_ids(args.gpu or "all")
    if not ids:
        info(
            "common.cpp:152",
            f"No GPU to query. PyTorch {torch.__version__} on the CPU, {torch.get_num_threads()} threads",
        )
        return 0
    info("caffe.cpp:138", f"Querying GPUs {args.gpu or 'all'}")
    for number in ids:
        device = torch.cuda.get_device_properties(number)
        facts = {
            "Device id": number,
            "Major revision number": device.major,
            "Minor revision number": device.minor,
            "Name": device.name,
            "Total global memory": device.total_memory,
            "Total shared memory per block": getattr(device, "shared_memory_per_block", None),
            "Warp size": getattr(device, "warp_size", 32),
            "Number of multiprocessors": device.multi_processor_count,
        }
        for name, value in facts.items():
            if value is not None:  # some versions of torch do not tell all
                info("common.cpp:182", f"{name + ':':<30} {value}")
    return 0
