"""Installs `caffe_port` (the runtime and the paper), `converters`, and the `caffe-port` command.

Each dependency and why it is there: torch runs the nets; numpy carries blobs; protobuf is Caffe's format; lmdb is
Caffe's database; onnx writes and checks ONNX files; pyyaml reads name maps and the weights' manifest; scipy reads the
data sets' MATLAB files; pillow decodes images. Extras are needed by what their name says only.
"""

from setuptools import find_packages, setup

EXTRAS = {
    "onnx": ["onnx>=1.16"],  # core already; the name that error messages give
    "onnxruntime": ["onnxruntime>=1.16"],  # runs exported files: the parity proof
    "opencv": ["opencv-python-headless>=4.11,<5"],  # an independent Caffe reader to compare with; OpenCV 5 dropped it
    "hdf5": ["h5py>=3.11"],  # .caffemodel.h5, .solverstate.h5, HDF5Data
    "safetensors": ["safetensors>=0.4.2"],  # .safetensors
    # Data layers on LevelDB
    "leveldb": ['plyvel>=1.5; python_version < "3.12"', 'plyvel-next>=2.1; python_version >= "3.12"'],
}
# plyvel has no build for newer Pythons, nor for every machine; the fork of it has none for older ones.
LEVELDB_BUILT = [
    'plyvel>=1.5; python_version < "3.12" and sys_platform == "linux" and platform_machine == "x86_64"',
    'plyvel-next>=2.1; python_version >= "3.12"',
]
DEV = ["pytest>=8", "pytest-xdist>=3.5", "hypothesis>=6.100", "ruff>=0.6", "mypy>=1.10"]
DEV += ["types-PyYAML", "grpcio-tools>=1.59"]  # the last one regenerates proto/caffe_pb2.py

setup(
    name="caffe-port",
    version="0.1.0",
    description="Caffe's networks, solvers and models in PyTorch and ONNX, with Caffe's numbers, and the proof",
    long_description=open("README.md", encoding="utf-8").read(),
    long_description_content_type="text/markdown",
    license="BSD-2-Clause",
    python_requires=">=3.10",
    packages=find_packages(include=["caffe_port", "caffe_port.*", "converters", "converters.*"]),
    package_data={"caffe_port": ["py.typed", "proto/*.proto", "par/*.csv"]},
    install_requires=[
        "torch>=2.4",
        "numpy>=1.26",
        "protobuf>=4.25",
        "lmdb>=1.4",
        "onnx>=1.16",
        "pyyaml>=6",
        "scipy>=1.11",
        "pillow>=10.1",
    ],
    extras_require={
        **EXTRAS,
        "all": [r for name, requirements in {**EXTRAS, "leveldb": LEVELDB_BUILT}.items() for r in requirements],
        "dev": DEV,
    },
    entry_points={"console_scripts": ["caffe-port = caffe_port.cli.main:main"]},
)
