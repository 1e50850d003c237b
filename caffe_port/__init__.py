"""Caffe's networks, solvers and models in PyTorch, with Caffe's numbers."""

__version__ = "0.1.0"
