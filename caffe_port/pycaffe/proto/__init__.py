"""`caffe.proto.caffe_pb2`, where pycaffe users look for it."""

from caffe_port.proto import caffe_pb2

__all__ = ["caffe_pb2"]
