"""The schema: every number, type, default and packed flag of Caffe's, and classes that live in a pool of their own."""

from __future__ import annotations

import copy
import csv
import importlib.util
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from caffe_port.proto import caffe_pb2, generate
from caffe_port.proto.forks import fork_fields
from caffe_port.proto.names import STOCK

GOLDEN = Path(__file__).parents[1] / "golden" / "schema" / "caffe_schema.csv"
LABELS = {1: "optional", 2: "required", 3: "repeated"}
TYPES = {
    1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 8: "bool", 9: "string", 12: "bytes", 13: "uint32",
}  # fmt: skip


def table(file: descriptor_pb2.FileDescriptorProto) -> dict[tuple[str, str, str], tuple[str, ...]]:
    """(kind, message, name) -> what the golden table says of it, from our descriptor."""
    rows: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for message in file.message_type:
        for field in message.field:
            kind = TYPES.get(field.type) or field.type_name.removeprefix(".caffe.")
            flags = str(int(field.options.packed)), str(int(field.options.deprecated))
            value = field.default_value
            rows["field", message.name, field.name] = (str(field.number), LABELS[field.label], kind, value, *flags)
    for enum, owner in [(e, m.name + ".") for m in file.message_type for e in m.enum_type] + [
        (e, "") for e in file.enum_type
    ]:
        for value in enum.value:
            rows["enum", owner + enum.name, value.name] = (str(value.number), "", "", "", "", "")
    return rows


def same_default(ours: str, theirs: str) -> bool:
    try:
        return float(ours) == float(theirs)
    except ValueError:
        return ours == theirs


def test_every_field_is_caffes() -> None:
    ours = table(descriptor_pb2.FileDescriptorProto.FromString(caffe_pb2.SERIALIZED))
    wrong = []
    rows = list(csv.DictReader(GOLDEN.open()))
    for row in rows:
        key = row["kind"], row["message"], row["name"]
        found = ours.get(key)
        wanted = tuple(row[column] for column in ("number", "label", "type", "default", "packed", "deprecated"))
        if found is None or found[:3] + found[4:] != wanted[:3] + wanted[4:] or not same_default(found[3], wanted[3]):
            wrong.append((key, found, wanted))
    assert len(rows) == 534 and not wrong


def test_everything_else_is_marked_as_not_caffes() -> None:
    stock = {(row["message"], row["name"]) for row in csv.DictReader(GOLDEN.open())}
    messages = {message for message, _ in stock}
    ours = {"weighted_sigmoid_cross_entropy_loss_param"}
    for message in caffe_pb2.DESCRIPTOR.message_types_by_name.values():
        for field in message.fields if message.name in messages else ():
            assert (message.name, field.name) in stock or field.number >= STOCK or field.name in ours


def test_the_module_is_what_the_proto_file_says() -> None:
    """Also without protoc: every `name = number` of the text is in the descriptor, and nothing else is."""
    text = re.sub(r"//.*", "", Path(generate.HERE, "caffe.proto").read_text())
    written = set(re.findall(r"(?:optional|required|repeated) \S+ (\w+) = (\d+)", text))
    built = {(f.name, str(f.number)) for m in caffe_pb2.DESCRIPTOR.message_types_by_name.values() for f in m.fields}
    assert written == built


@pytest.mark.skipif(importlib.util.find_spec("grpc_tools") is None, reason="protoc comes with grpcio-tools")
def test_the_module_is_what_protoc_makes() -> None:
    assert generate.compile_proto() == caffe_pb2.SERIALIZED
    text = generate.module_text(caffe_pb2.SERIALIZED)
    head = text[: text.index("SERIALIZED =")]
    assert Path(generate.HERE, "caffe_pb2.py").read_text().startswith(head)


def test_names_as_in_caffes_own_module() -> None:
    assert (caffe_pb2.TRAIN, caffe_pb2.TEST, caffe_pb2.Phase.Name(1)) == (0, 1, "TEST")
    assert caffe_pb2.PoolingParameter.AVE == 1 and caffe_pb2.PoolingParameter.PoolMethod.Value("STOCHASTIC") == 2
    assert caffe_pb2.V1LayerParameter.LayerType.Name(caffe_pb2.V1LayerParameter.RELU) == "RELU"
    assert caffe_pb2.LayerParameter.__module__ == "caffe_port.proto.caffe_pb2"


def test_messages_are_copied_and_pickled() -> None:
    layer = caffe_pb2.LayerParameter(name="pool", loss_weight=[0.5])
    layer.pooling_param.kernel_size = 3
    for other in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer), copy.copy(layer)):
        assert type(other) is caffe_pb2.LayerParameter and other == layer and other is not layer


def test_a_genuine_caffe_can_be_in_the_same_process() -> None:
    """Its schema has the same names in protobuf's common pool, before or after ours."""
    program = """
from google.protobuf import descriptor_pb2, descriptor_pool
def genuine(name):
    file = descriptor_pb2.FileDescriptorProto(name=name, package="caffe")
    file.message_type.add(name="NetParameter")
    return file
descriptor_pool.Default().Add(genuine("caffe.proto"))
assert descriptor_pool.Default().FindMessageTypeByName("caffe.NetParameter").fields == []
from caffe_port.proto import caffe_pb2
assert caffe_pb2.NetParameter(name="x").name == "x"
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_fork_fields_are_listed() -> None:
    net = caffe_pb2.NetParameter()
    layer = net.layer.add(name="pool")
    layer.pooling_param.kernel_size = 3
    assert fork_fields(net) == []
    layer.pooling_param.ceil_mode = False
    layer.roi_pooling_param.pooled_h = 7
    assert fork_fields(layer) == ["pooling_param.ceil_mode", "roi_pooling_param"]
    assert fork_fields(net) == ["layer.pooling_param.ceil_mode", "layer.roi_pooling_param"]


def test_a_forks_binary_fields_are_kept_and_not_misread() -> None:
    """Number 149 means five things in five forks; here it is unknown and survives."""
    layer = caffe_pb2.LayerParameter.FromString(b"\x0a\x01a" + b"\xaa\x09\x02\x08\x03")
    assert layer.ListFields()[0][1] == "a" and len(layer.ListFields()) == 1
    assert layer.SerializeToString() == b"\x0a\x01a" + b"\xaa\x09\x02\x08\x03"
