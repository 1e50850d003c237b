"""The names of `import caffe`, over this project's nets and solvers: `import caffe_port.pycaffe as caffe`.

Thin on purpose: what it adds is pycaffe's shapes of things (NumPy views, ordered dicts, keyword inputs), no
mathematics. Source of the names: python/caffe/{__init__,pycaffe,io}.py and _caffe.cpp of BVLC Caffe 1.0.
"""

from caffe_port import __version__
from caffe_port.layers.python import PythonLayerBase as Layer
from caffe_port.pycaffe import draw, io, proto
from caffe_port.pycaffe.blob import Blob
from caffe_port.pycaffe.classifier import Classifier
from caffe_port.pycaffe.detector import Detector
from caffe_port.pycaffe.modes import (
    NCCL,
    TEST,
    TRAIN,
    has_nccl,
    init_log,
    layer_type_list,
    log,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from caffe_port.pycaffe.net import Net
from caffe_port.pycaffe.net_spec import NetSpec, layers, params, to_proto
from caffe_port.pycaffe.solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    Solver,
    get_solver,
)
from caffe_port.pycaffe.timer import Timer

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "Timer",
    "__version__",
    "draw",
    "get_solver",
    "has_nccl",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "params",
    "proto",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]
