"""The names of `import caffe`, over this project's nets and solvers: `import caffe_port.pycaffe as caffe`.

Thin on purpose: what it adds is pycaffe's shapes of things (NumPy views, ordered dicts, keyword inputs), no
mathematics. Source of the names: python/caffe/{__init__,pycaffe,io}.py and _caffe.cpp of BVLC Caffe 1.0.
"""

from caffe_port import __version__
from caffe_port.layers.python import PythonLayerBase as Layer
from caffe_port.pycaffe import io, proto
from caffe_port.pycaffe.blob import Blob
from caffe_port.pycaffe.classifier import Classifier
from caffe_port.pycaffe.detector import Detector
from caffe_port.pycaffe.modes import (
    TEST,
    TRAIN,
    init_log,
    layer_type_list,
    log,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_random_seed,
)
from caffe_port.pycaffe.net import Net
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

__all__ = [
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
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "__version__",
    "get_solver",
    "init_log",
    "io",
    "layer_type_list",
    "log",
    "proto",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
]
