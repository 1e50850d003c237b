"""The net that Caffe builds inside LSTM and RNN, unrolled over time: here only its log shows it.

Source: `RecurrentLayer::LayerSetUp` (src/caffe/layers/recurrent_layer.cpp) and `FillUnrolledNet` of lstm_layer.cpp and
rnn_layer.cpp, BVLC Caffe 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from caffe_port.layers.base import Shape
from caffe_port.proto import caffe_pb2

Add = Callable[..., Any]


def unrolled(param: Any, bottom_shapes: Sequence[Shape], static: bool) -> Any:
    """The NetParameter inside the layer of definition `param`; `static`: whether its third bottom is a static input."""
    net = caffe_pb2.NetParameter()
    prefix = f"{param.name}_" if param.name else ""

    def add(kind: str, name: str, bottoms: Sequence[str], tops: Sequence[str], params: Sequence[str] = ()) -> Any:
        layer = net.layer.add(type=kind, bottom=bottoms, top=tops)
        if prefix + name:
            layer.name = prefix + name
        for each in params:
            layer.param.add().name = each
        return layer

    names = ["x", "cont", "x_static"][: 2 + static]
    _shape(add("Input", "", [], names), bottom_shapes[: 2 + static])
    time, streams = bottom_shapes[0][:2]
    output = (_lstm if param.type == "LSTM" else _rnn)(param.recurrent_param, time, streams, static, add)
    net.layer.add(
        name=f"{output}_pseudoloss", type="Reduction", bottom=[output], top=[f"{output}_pseudoloss"], loss_weight=[1]
    )
    return net


def _lstm(p: Any, time: int, streams: int, static: bool, add: Add) -> str:
    _shape(add("Input", "", [], ["c_0", "h_0"]), [(1, streams, p.num_output)] * 2)
    more = _inputs(p, 4 * p.num_output, time, static, add, "W_xc", "b_c")
    for t in range(1, time + 1):
        add("Scale", f"h_conted_{t - 1}", [f"h_{t - 1}", f"cont_{t}"], [f"h_conted_{t - 1}"]).scale_param.axis = 0
        _product(add("InnerProduct", f"transform_{t}", [f"h_conted_{t - 1}"], [f"W_hc_h_{t - 1}"], ["W_hc"]), p, 4)
        _sum(add("Eltwise", f"gate_input_{t}", [f"W_hc_h_{t - 1}", f"W_xc_x_{t}", *more], [f"gate_input_{t}"]))
        add("LSTMUnit", f"unit_{t}", [f"c_{t - 1}", f"gate_input_{t}", f"cont_{t}"], [f"c_{t}", f"h_{t}"])
    add("Split", "", [f"c_{time}"], ["c_T"])
    add("Concat", "h_concat", [f"h_{t}" for t in range(1, time + 1)], ["h"]).concat_param.axis = 0
    return "h"


def _rnn(p: Any, time: int, streams: int, static: bool, add: Add) -> str:
    _shape(add("Input", "", [], ["h_0"]), [(1, streams, p.num_output)])
    more = _inputs(p, p.num_output, time, static, add, "W_xh", "b_h")
    for t in range(1, time + 1):
        add("Scale", f"h_conted_{t - 1}", [f"h_{t - 1}", f"cont_{t}"], [f"h_conted_{t - 1}"]).scale_param.axis = 0
        _product(add("InnerProduct", f"W_hh_h_{t - 1}", [f"h_conted_{t - 1}"], [f"W_hh_h_{t - 1}"], ["W_hh"]), p)
        _sum(add("Eltwise", f"h_input_sum_{t}", [f"W_hh_h_{t - 1}", f"W_xh_x_{t}", *more], [f"h_neuron_input_{t}"]))
        add("TanH", f"h_neuron_{t}", [f"h_neuron_input_{t}"], [f"h_{t}"])
        _product(add("InnerProduct", f"W_ho_h_{t}", [f"h_{t}"], [f"W_ho_h_{t}"], ["W_ho", "b_o"]), p, bias=True)
        add("TanH", f"o_neuron_{t}", [f"W_ho_h_{t}"], [f"o_{t}"])
    add("Concat", "o_concat", [f"o_{t}" for t in range(1, time + 1)], ["o"]).concat_param.axis = 0
    return "o"


def _inputs(p: Any, size: int, time: int, static: bool, add: Add, weight: str, bias: str) -> list[str]:
    """The products with the inputs of all steps at once, cut into steps; the blobs that every step adds besides."""
    steps = range(1, time + 1)
    add("Slice", "cont_slice", ["cont"], [f"cont_{t}" for t in steps]).slice_param.axis = 0
    transform = add("InnerProduct", "x_transform", ["x"], [f"{weight}_x"], [weight, bias])
    _product(transform, p, size // p.num_output, bias=True)
    transform.propagate_down.append(True)
    if static:
        top = f"{weight}_x_static"
        product = add("InnerProduct", top, ["x_static"], [f"{top}_preshape"], [f"{weight}_static"])
        _product(product, p, size // p.num_output, axis=1)
        product.propagate_down.append(True)
        add("Reshape", f"{top}_reshape", [f"{top}_preshape"], [top]).reshape_param.shape.dim.extend([1, -1, size])
    add("Slice", f"{weight}_x_slice", [f"{weight}_x"], [f"{weight}_x_{t}" for t in steps]).slice_param.axis = 0
    return [f"{weight}_x_static"] if static else []


def _product(layer: Any, p: Any, gates: int = 1, bias: bool = False, axis: int = 2) -> None:
    inner = layer.inner_product_param
    inner.num_output, inner.bias_term, inner.axis = gates * p.num_output, bias, axis
    inner.weight_filler.CopyFrom(p.weight_filler)
    if bias:
        inner.bias_filler.CopyFrom(p.bias_filler)


def _sum(layer: Any) -> None:
    layer.eltwise_param.operation = caffe_pb2.EltwiseParameter.SUM


def _shape(layer: Any, shapes: Sequence[Shape]) -> None:
    for shape in shapes:
        layer.input_param.shape.add(dim=shape)
