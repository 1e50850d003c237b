"""Python layers as users of pycaffe write them, for test_python.py; BVLC Caffe's own examples among them in kind."""

import caffe
import numpy as np


class Euclidean(caffe.Layer):
    """The shape of BVLC's pyloss example: keeps its difference for backward, ignores the loss weight."""

    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise Exception("two inputs, please")

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise Exception("inputs differ in size")
        self.difference = np.zeros_like(bottom[0].data)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.difference[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.difference**2) / bottom[0].num / 2.0

    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * self.difference / bottom[i].num


class Scaled(caffe.Layer):
    """Multiplies by a learnable factor that starts at the number in param_str, by its older name."""

    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = float(self.param_str_)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * self.blobs[0].data[0]

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff * self.blobs[0].data[0]
        self.blobs[0].diff[0] += np.sum(top[0].diff * bottom[0].data)


class GradientInForward(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(bottom[0].num, bottom[0].channels)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data.reshape(top[0].shape) ** 2
        bottom[0].diff[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] *= top[0].diff.reshape(bottom[0].shape)


class Source(caffe.Layer):
    """No bottoms; two tops, one of which changes its shape in forward, as detection data layers do."""

    def setup(self, bottom, top):
        self.calls = 0
        top[0].reshape()
        top[1].reshape(1, 3)

    def forward(self, bottom, top):
        self.calls += 1
        top[0].data[()] = self.phase
        top[1].reshape(self.calls, 3)
        top[1].data[...] = self.calls


class DoubledInPlace(caffe.Layer):
    """Relies on its top being its bottom."""

    def forward(self, bottom, top):
        bottom[0].data[...] *= 2

    def backward(self, top, propagate_down, bottom):
        top[0].diff[...] *= 2


class Failing(caffe.Layer):
    def setup(self, bottom, top):
        if self.param_str == "setup":
            raise KeyError("lost")

    def reshape(self, bottom, top):
        top[0].reshape(bottom[0].num / 2 if self.param_str == "reshape" else 1)

    def forward(self, bottom, top):
        raise RuntimeError("no luck")


class NotALayer:
    pass
