"""Python: pycaffe-style classes run unchanged: losses, learnable blobs, data, in place, errors."""

import traceback

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from caffe_port.islands import Islands
from caffe_port.net import Net
from caffe_port.proto import caffe_pb2, text
from tests.layers.refusals import refusals
from tests.layers.runner import Case, make, run

NO_FORM = "Python code has no ONNX form"
OTHER = "it has no Python layers"


def layer(cls, param_str="", more="", module="tests.layers.python_layers"):
    return f'type: "Python" {more} python_param {{ module: "{module}" layer: "{cls}" param_str: "{param_str}" }}'


def half_squares(bottoms, blobs):
    return [np.array([((bottoms[0] - bottoms[1]) ** 2).sum() / len(bottoms[0]) / 2])]


CASES = [
    Case("loss", layer("Euclidean"), [(3, 4), (3, 4)], half_squares, gradient=False, onnx=NO_FORM, opencv=OTHER),
    Case("learnable blob", layer("Scaled", "3"), [(2, 3, 5)], lambda bottoms, blobs: [bottoms[0] * 3], onnx=NO_FORM,
         opencv=OTHER),
    Case("gradient in forward", layer("GradientInForward"), [(2, 3, 1)],
         lambda bottoms, blobs: [bottoms[0].reshape(2, 3) ** 2], gradient=False, onnx=NO_FORM, opencv=OTHER),
]
test_cases = run(CASES)
test_refused = refusals([
    ('type: "Python"', [(2,)], 1, "needs python_param"),
    (layer("Nobody"), [(2,)], 1, "has no class 'Nobody'"),
    (layer("NotALayer"), [(2,)], 1, "does not derive from"),
    (layer("Euclidean", module="no_such_module_here"), [(2,)], 1, "No module named 'no_such_module_here'"),
    (layer("Euclidean"), [(2, 3), (2, 2)], 1, "reshape raised Exception: inputs differ in size"),
    (layer("Failing", "reshape"), [(2,)], 1, "reshape raised TypeError"),
])


FAILURES = [("setup", KeyError, "'lost'"), ("forward", RuntimeError, "no luck")]


@pytest.mark.parametrize(("stage", "kind", "words"), FAILURES)
def test_an_error_keeps_its_kind_its_traceback_and_gets_the_layer(stage, kind, words):
    with pytest.raises(kind, match=f"layer 'l' .*Failing.{stage} raised {kind.__name__}: {words}") as caught:
        make(Case("l", layer("Failing", stage), [(2,)])).run()
    assert isinstance(caught.value, LayerError)
    assert "python_layers.py" in "".join(traceback.format_exception(caught.value))


def test_propagate_down_is_what_the_net_asks_for():
    net = make(Case("l", layer("Euclidean"), [(3, 4), (3, 4)]))
    a, b = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)
    net.layer("l")(a, b)[0].backward()
    assert torch.allclose(a.grad, (a.detach() - b) / 3)
    assert net.layer("l").bottom_blobs[1].diff.any() == False  # noqa: E712  (a NumPy bool)


def test_a_gradient_written_in_forward_is_there_in_backward():
    squares = make(CASES[2]).layer("l")
    x = torch.randn(2, 3, 1, requires_grad=True)
    (squares(x)[0] * torch.arange(6.0).reshape(2, 3)).sum().backward()
    assert torch.allclose(x.grad.flatten(), 2 * x.detach().flatten() * torch.arange(6.0))


def test_backward_of_an_earlier_run_is_run_again():
    loss = make(Case("l", layer("Euclidean"), [(3, 4), (3, 4)])).layer("l")
    a, b = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)
    (first,) = loss(a, b)
    loss(torch.zeros(3, 4), b)
    first.backward()
    assert torch.allclose(a.grad, (a.detach() - b) / 3)


def test_the_learnable_blob_is_the_nets_memory():
    net = make(CASES[1])
    (factor,) = net.layer("l").blobs
    assert [p.lr_mult for p in net.learnable] == [1] and factor.item() == 3
    with torch.no_grad():
        factor.fill_(5)
    assert torch.equal(net.run({"b0": torch.ones(2, 3, 5)}).outputs["t0"], torch.full((2, 3, 5), 5.0))
    factor.grad = None
    for passes in (1, 2):  # diffs of parameters add up over passes, as with iter_size
        net.run({"b0": torch.ones(2, 3, 5)}).outputs["t0"].sum().backward()
        assert factor.grad.item() == 30 * passes


def build(definition, phase=caffe_pb2.TEST):
    return Net(text.parse(definition, caffe_pb2.NetParameter).message, phase)


@pytest.mark.parametrize("phase", [caffe_pb2.TRAIN, caffe_pb2.TEST])
def test_data_that_changes_its_shape_and_knows_its_phase(phase):
    net = build(f'layer {{ name: "l" top: "phase" top: "data" {layer("Source")} }}', phase)
    assert net.layer("l").role == "data"
    for calls in (1, 2, 3):
        outputs = net.run().outputs
        assert outputs["phase"].item() == phase
        assert outputs["data"].shape == (calls, 3) and (outputs["data"] == calls).all()


def test_in_place():
    net = build(f"""force_backward: true
        layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 }} }} }}
        layer {{ name: "l" bottom: "x" top: "x" {layer("DoubledInPlace")} }}""")
    net.blobs["x"].data.fill_(1)
    x = torch.ones(2, 3, requires_grad=True)
    y = net.run({"x": x}).outputs["x"]
    y.sum().backward()
    assert (y == 2).all() and (x.grad == 2).all()
    islands = Islands(net)
    islands.forward()
    assert (net.blobs["x"].data == 2).all()


def test_a_loss_weight_makes_it_a_loss():
    net = make(Case("l", layer("Euclidean", more="loss_weight: 2"), [(3, 4), (3, 4)]))
    a, b = torch.randn(3, 4), torch.randn(3, 4)
    assert net.layer("l").role == "loss"
    assert net.run({"b0": a, "b1": b}).loss.item() == pytest.approx(((a - b) ** 2).sum().item() / 3)
