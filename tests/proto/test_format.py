"""Text out: as a genuine Caffe (protobuf 3.17, C++) printed the same values."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_port.proto import caffe_pb2, text

GOLDEN = Path(__file__).parents[1] / "golden"
FLOATS = {
    0.1234567: "0.123456702", 1.00000001: "1", 0.333333343: "0.333333343", 1e10: "1e+10", 3e-12: "3e-12",
    16777217: "16777216", 123456789: "123456792", 1234567: "1234567", 0.0078125: "0.0078125", -0.0: "-0",
    3.402823466e38: "3.40282347e+38", 1e-45: "1.40129846e-45", 1.17549435e-38: "1.17549435e-38", 100000: "100000",
    2.7182818284: "2.71828175", 9.5367431640625e-07: "9.53674316e-07", 33554436: "33554436", 0.30000001192: "0.3",
    float("nan"): "nan", float("-inf"): "-inf", 0.0005: "0.0005", 1e-05: "1e-05",
}  # fmt: skip


@pytest.mark.parametrize("value", FLOATS, ids=str)
def test_floats(value: float) -> None:
    assert text.format(caffe_pb2.PowerParameter(scale=value)) == f"scale: {FLOATS[value]}\n"


def test_doubles() -> None:
    blob = caffe_pb2.BlobProto(double_data=[0.1, 1.0, 0.1 + 0.2, 1e300])
    lines = ["0.1", "1", "0.30000000000000004", "1e+300"]
    assert text.format(blob) == "".join(f"double_data: {line}\n" for line in lines)


def test_strings_and_structure() -> None:
    net = caffe_pb2.NetParameter(name="a'b\"c\\d\n\t\001é", force_backward=False)
    net.state.phase = caffe_pb2.TRAIN
    net.layer.add(name="x").input_param.shape.add(dim=[2, 3])
    assert text.format(net) == (
        'name: "a\\\'b\\"c\\\\d\\n\\t\\001\\303\\251"\nforce_backward: false\nstate {\n  phase: TRAIN\n}\n'
        'layer {\n  name: "x"\n  input_param {\n    shape {\n      dim: 2\n      dim: 3\n    }\n  }\n}\n'
    )


def test_unknown_binary_fields_become_comments() -> None:
    layer = caffe_pb2.LayerParameter.FromString(b"\x0a\x01a" + b"\xaa\x09\x02\x08\x03")
    assert text.format(layer) == 'name: "a"\n# unknown field 149\n'
    assert text.parse(text.format(layer), caffe_pb2.LayerParameter).message.name == "a"


def test_a_solver_as_caffe_prints_it() -> None:
    lines = (GOLDEN / "cli" / "train.log").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.endswith("Initializing solver from parameters: ")) + 1
    end = next(i for i in range(start, len(lines)) if lines[i].startswith("I2"))
    printed = "\n".join(lines[start:end]) + "\n"
    assert text.format(text.parse(printed, caffe_pb2.SolverParameter).message) == printed
