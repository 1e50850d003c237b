"""Makes caffe_pb2.py from caffe.proto: `python -m caffe_port.proto.generate` (needs `pip install grpcio-tools`).

The module holds the compiled schema as data and builds its classes in a descriptor pool of its own. So it does not
depend on the protoc that made it (code from a newer protoc refuses older runtimes), and a genuine `caffe`, whose
schema has the same names, can live in the same process.
"""

from __future__ import annotations

import base64
import tempfile
import textwrap
import zlib
from pathlib import Path

HERE = Path(__file__).parent
TEMPLATE = '''"""The messages of caffe.proto. Made by `python -m caffe_port.proto.generate`; do not edit."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.internal import enum_type_wrapper

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def _build(serialized: bytes) -> None:
    """Puts every message class, enum and top-level enum value of the schema into this module."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(serialized)
    file = pool.FindFileByName("caffe_port/proto/caffe.proto")
    names = globals()
    names["DESCRIPTOR"] = file
    for name, enum in file.enum_types_by_name.items():
        names[name] = enum_type_wrapper.EnumTypeWrapper(enum)
        names.update((value.name, value.number) for value in enum.values)
    for name, message in file.message_types_by_name.items():
        names[name] = message_factory.GetMessageClass(message)
        names[name].__module__ = __name__  # so that pickle finds the class


SERIALIZED = zlib.decompress(
    base64.b85decode(
@DATA@
    )
)
_build(SERIALIZED)
'''


def compile_proto(path: Path = HERE / "caffe.proto") -> bytes:
    """The serialized FileDescriptorProto of the schema, without comments."""
    from google.protobuf import descriptor_pb2
    from grpc_tools import _protoc_compiler  # its wrapper, grpc_tools.protoc, asks setuptools for a file we do not need

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        root = path.resolve().parents[2]
        arguments = ["protoc", f"-I{root}", f"--descriptor_set_out={out}", str(path.resolve())]
        if _protoc_compiler.run_main([argument.encode() for argument in arguments]) != 0:
            raise SystemExit(f"{path}: protoc refuses it, see above")
        (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    for message in file.message_type:
        for field in message.field:
            field.ClearField("json_name")
    return file.SerializeToString(deterministic=True)


def module_text(serialized: bytes) -> str:
    data = base64.b85encode(zlib.compress(serialized, 9)).decode()
    lines = (f'        b"{chunk}"' for chunk in textwrap.wrap(data, 100))
    return TEMPLATE.replace("@DATA@", "\n".join(lines))


def main() -> None:
    serialized = compile_proto()
    (HERE / "caffe_pb2.py").write_text(module_text(serialized))
    print(f"{HERE / 'caffe_pb2.py'}: {len(serialized)} bytes of schema")


if __name__ == "__main__":
    main()
