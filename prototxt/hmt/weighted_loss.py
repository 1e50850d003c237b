"""The weighted sigmoid cross-entropy loss, equation (2) of Gao et al. 2019, as a Python layer for any pycaffe.

For a genuine Caffe that does not know the layer WeightedSigmoidCrossEntropyLoss (PYTHONPATH must name this folder):

    layer {
      name: "par_loss" type: "Python" bottom: "logits" bottom: "targets" top: "par_loss" loss_weight: 1
      python_param {
        module: "weighted_loss" layer: "WeightedSigmoidCrossEntropyLossLayer"
        param_str: '{"source": "positive_rates.txt"}'
      }
    }

loss = -1/N sum_n sum_i t/(2 w_i) log s(x) + (1 - t)/(2 (1 - w_i)) log(1 - s(x))

`param_str` is JSON: either `source`, a text file with a line `rate` or `name,rate` for each attribute, or
`positive_rate`, a list of the rates; and, where there is one, `ignore_label`. Needs NumPy alone.
"""

import json

import caffe
import numpy as np


def read_rates(source):
    """The rates in a file: the last field of every line that is not empty or a comment."""
    with open(source) as f:
        lines = [line.split("#")[0].strip() for line in f]
    return [float(line.split(",")[-1]) for line in lines if line]


class WeightedSigmoidCrossEntropyLossLayer(caffe.Layer):
    """Bottoms: logits (N x I x ...), targets of the same count. Top: the loss, summed over I, averaged over N."""

    def setup(self, bottom, top):
        if len(bottom) != 2 or len(top) != 1:
            raise ValueError("takes logits and targets, and makes one loss")
        options = json.loads(self.param_str)
        rates = read_rates(options["source"]) if "source" in options else options["positive_rate"]
        rate = np.array(rates, dtype=np.float64)
        for i, w in enumerate(rate):
            if not 0 < w < 1:
                raise ValueError(f"the positive rate of attribute {i} is {w:g}; it must lie between 0 and 1")
        self.rate = rate
        self.ignore_label = options.get("ignore_label")

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise ValueError("logits and targets must have the same count")
        if bottom[0].data.shape[1] != len(self.rate):
            raise ValueError(f"{len(self.rate)} positive rates for {bottom[0].data.shape[1]} attributes")
        top[0].reshape(1)

    def weights(self, targets):
        """What a positive and a negative answer cost, element by element."""
        rate = self.rate.reshape((1, -1) + (1,) * (targets.ndim - 2))
        positive, negative = targets / (2 * rate), (1 - targets) / (2 * (1 - rate))
        if self.ignore_label is not None:
            known = np.trunc(targets) != self.ignore_label
            positive, negative = positive * known, negative * known
        return positive, negative

    def forward(self, bottom, top):
        x = bottom[0].data.astype(np.float64)
        positive, negative = self.weights(bottom[1].data.reshape(x.shape).astype(np.float64))
        # -log s(x) = log(1 + e^-x) and -log(1 - s(x)) = log(1 + e^x), both without overflow
        cost = positive * np.logaddexp(0, -x) + negative * np.logaddexp(0, x)
        top[0].data[...] = cost.sum() / x.shape[0]

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        x = bottom[0].data.astype(np.float64)
        positive, negative = self.weights(bottom[1].data.reshape(x.shape).astype(np.float64))
        probability = np.exp(-np.logaddexp(0, -x))
        slope = negative * probability - positive * (1 - probability)
        bottom[0].diff[...] = slope * top[0].diff.ravel()[0] / x.shape[0]
