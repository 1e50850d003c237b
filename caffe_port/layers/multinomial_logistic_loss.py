"""MultinomialLogisticLoss: minus the logarithm of the probability that a Softmax before it gave to the label."""

from __future__ import annotations

from math import prod

from torch import Tensor

from caffe_port.layers import labels as label
from caffe_port.layers.base import Layer, Shape, register


@register()
class MultinomialLogisticLoss(Layer):
    """loss = -1/N sum_n log max(p_n[label_n], 1e-20).

    Bottoms: probabilities p (N x K; further axes are flattened into the classes), N labels. Top: the loss (). The
    gradient is -1/(N max(p, 1e-20)) at the label's class and 0 elsewhere; labels get none. A label that is no class
    raises LayerError on the CPU. An empty batch gives NaN (0/0).

    Source: multinomial_logistic_loss_layer.cpp of BVLC Caffe 1.0. Unlike `F.nll_loss` it takes probabilities and not
    their logarithms. SoftmaxWithLoss is the same with a stable gradient.
    """

    bottoms = (2, 2)
    role = "loss"
    differentiable_bottoms = (0,)
    auto_tops = True

    def top_shapes(self, bottom_shapes: list[Shape]) -> list[Shape]:
        label.same_batch(self, bottom_shapes)
        label.one_label_each(self, bottom_shapes[0][0], 1, bottom_shapes[1])
        return [()]

    def forward(self, probabilities: Tensor, labels: Tensor) -> Tensor:
        batch, classes = probabilities.shape[0], prod(probabilities.shape[1:])
        wanted = label.class_labels(self, labels, classes).reshape(batch, 1)
        given = probabilities.reshape(batch, classes).gather(1, wanted)
        return -label.floor(given, label.LOG_THRESHOLD).log().sum() / batch
