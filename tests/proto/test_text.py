"""Text in: what is accepted, what is said of unknown names, and where each error points."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_port.errors import PrototxtError
from caffe_port.proto import caffe_pb2, names, text

GOLDEN = Path(__file__).parents[1] / "golden"
CONV = 'layer {{ name: "c" type: "Convolution"\n  convolution_param {{ {} }} }}'

SAME = {  # text -> the same in its plainest form
    "# a comment\nname: 'x' # another\n": 'name: "x"',
    'name: "a" \'b\'\n"c"': 'name: "abc"',
    'name: "\\x41\\102\\n\\"\\\'"': 'name: "AB\\n\\"\'"',
    "name: '\\303' '\\251'": 'name: "é"',
    "name: 'n'; force_backward: 1, debug_info: f": 'name: "n" force_backward: true debug_info: false',
    "layer < name: 'q' include < phase: TEST > >": 'layer { name: "q" include { phase: TEST } }',
    "layer: { loss_weight: [1, .5, 1e-3f, 2.] loss_weight: -inf }": "layer { loss_weight: 1 loss_weight: 0.5 "
    "loss_weight: 0.001 loss_weight: 2 loss_weight: -inf }",
    "layer { power_param { shift: - 3 } }": "layer { power_param { shift: -3 } }",
    "layer { param: [{ lr_mult: 1 }, < lr_mult: 2 >] bottom: [] }":
        "layer { param { lr_mult: 1 } param { lr_mult: 2 } }",
    "input_dim: 0x10 input_dim: 010 input_dim: -1": "input_dim: 16 input_dim: 8 input_dim: -1",
    'layer{name:"a"type:"b"}layer{name:"c"}': 'layer { name: "a" type: "b" } layer { name: "c" }',
    "layer { pooling_param { pool: 1 } }": "layer { pooling_param { pool: AVE } }",
}  # fmt: skip


@pytest.mark.parametrize("given", SAME)
def test_accepted_as_protobuf_accepts_it(given: str) -> None:
    plain = text.parse(SAME[given], caffe_pb2.NetParameter).message
    assert text.parse(given, caffe_pb2.NetParameter).message == plain
    assert text.parse(given.replace("\n", "\r\n"), caffe_pb2.NetParameter).message == plain


NAME = 'name: "é"'
ENCODINGS = {
    "utf-8": NAME.encode(),
    "utf-8 with mark": NAME.encode("utf-8-sig"),
    "utf-16": NAME.encode("utf-16"),
    "utf-16 big": b"\xfe\xff" + NAME.encode("utf-16-be"),
    "latin-1": NAME.encode("latin-1"),
    "old Mac lines": b"# \xc3\xa9\r" + NAME.encode(),
}


@pytest.mark.parametrize("raw", ENCODINGS.values(), ids=ENCODINGS.keys())
def test_encodings(raw: bytes) -> None:
    assert text.parse(raw, caffe_pb2.NetParameter).message.name == "é"


ERRORS = [  # text, what the message says
    (CONV.format("kernal_size: 3"), "f:2:23: layer 'c': unknown field 'kernal_size' in ConvolutionParameter; "
     "did you mean 'kernel_size'?"),
    ('layer { name: "c" botom: "x" }', "f:1:19: layer 'c': unknown field 'botom' in LayerParameter; "
     "did you mean 'bottom'?"),
    ('layer { botom: "x" name: "c" }', "f:1:9: layer 'c': unknown"),
    ("\n\nlayer { topp: 'x' }", "f:3:9: the layer at line 3: unknown field 'topp'"),
    ("layer { convolution_parm { } }", "did you mean 'convolution_param'?"),
    ("layer { num_output: 3 }", "it belongs into convolution_param or embed_param or inner_product_param"),
    ("layer { lr_mult: 3 }", "it belongs into param"),
    ("layer { pooling_param { pool: MAXX } }", "f:1:31: the layer at line 1: unknown value 'MAXX' for 'pool' in "
     "PoolingParameter; did you mean 'MAX'?"),
    ("layers { type: CONVOLUTIO }", "unknown value 'CONVOLUTIO' for 'type' in V1LayerParameter; "
     "did you mean 'CONVOLUTION'?"),
    ("layers { layer { name: 'v' kernl: 3 } }", "layer 'v': unknown field 'kernl' in V0LayerParameter; it "
     "has name, type"),
    ("base_lr: 0.1", "f:1:1: net: unknown field 'base_lr' in NetParameter; that is a field of SolverParameter"),
    ("nmae: 'x'", "did you mean 'name'?"),
    (CONV.format("num_output: 1 num_output: 2"), "f:2:37: non-repeated field 'num_output' is specified multiple times "
     "(first in line 2)"),
    ("layer { relu_param { } relu_param { } }", "non-repeated field 'relu_param' is specified multiple times"),
    (CONV.format("stride: 2.0"), "f:2:31: 'stride' takes a whole number that is not negative, found 2.0"),
    (CONV.format("group: -1"), "out of its range 0 to 4294967295"),
    (CONV.format("group: 4294967296"), "out of its range"),
    (CONV.format("axis: 2147483648"), "out of its range -2147483648 to 2147483647"),
    (CONV.format("group: [1]"), "'group' takes one value, not a list"),
    (CONV.format("bias_term: yes"), "'bias_term' takes true or false, found yes"),
    (CONV.format('bias_term: "true"'), "found \"true\"; without quotes"),
    (CONV.format("group { }"), "'group' takes a whole number that is not negative, found '{'"),
    ('layer { pooling_param { pool: "MAX" } }',
     'takes one of MAX, AVE, STOCHASTIC, AVE_EXC_PAD, AVE_TF, found "MAX"; without quotes'),
    ("layer { type: Convolution }", "f:1:15: 'type' takes text in quotes, found Convolution; put it in quotes"),
    ("layer { loss_weight: 1.5x }", "'loss_weight' takes a number, found 1.5x"),
    ("input_dim: 08", "a number that starts with 0 is octal"),
    ("layer: 3", "f:1:8: 'layer' takes a message in { }, found '3'"),
    ("layer { param: [3] }", "'param' takes messages in { }, found '3'"),
    ("layer { name 'a' }", "f:1:14: expected ':' after 'name', found 'a'"),
    ("layer { loss_weight: [1, ] }", "expected a value for 'loss_weight', found ']'"),
    ("layer { loss_weight: [1 2] }", "expected ',' or ']' in the list of 1:22, found '2'"),
    ("layer {\n  name: 'a'\nlayer { }", "f:3:1: 'layer' inside layer 'a': is the '}' missing that "
     "closes the layer before?"),
    ("layer {\n  name: 'a'\n", "f:3:1: the file ends, but '{' of 1:7 is not closed"),
    ("layer { }\n}", "f:2:1: expected a field's name, found '}' that closes nothing"),
    ("layer < }", "expected a field's name, found '}'"),
    ("layer { 3 }", "f:1:9: expected a field's name, found '3'"),
    ("name: 'abc\n'", "f:1:7: a string that is not closed with ' on its line"),
    ("name: 'a' // b", "f:1:11: unexpected character '/'; a comment starts with #"),
    ("name = 'a'", "a value follows a ':'"),
    ("name: 'a' 'b\\377'", "f:1:7: 'name' takes text, and the escapes of 'a' are not UTF-8"),
    ("name: 'D:\\data'", "f:1:10: invalid escape '\\d' in a string; in a path write / or"),
    ("a{" * 100, "f:1:131: messages nested more than 64 deep"),
    ("layer { }\nlayer { clip_param { min: 1 } }", "f:2:1: missing: layer[1].clip_param.max"),
    ("name: 'a'\n<<<<<<< HEAD\n", "f:2:1: a merge-conflict mark '<<<<<<<'"),
    ("name: 'a'\n=======\n", "f:2:1: a merge-conflict mark"),
    ("\n<!DOCTYPE html>", "an HTML page, not a prototxt"),
    ("<html><body>", "an HTML page"),
    ("version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
    (b"\n\x04name\xa2\x06\x00", "f:2:8: a zero byte: this is binary data"),
    (b"\xff\xfe\x00", "is not: truncated data"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "said"), ERRORS, ids=[said[:60] for _, said in ERRORS])
def test_errors_say_where_and_what(given: str | bytes, said: str) -> None:
    with pytest.raises(PrototxtError) as e:
        text.parse(given, caffe_pb2.NetParameter, "f")
    assert said in str(e.value) and str(e.value).startswith("f:")


def test_solver_errors() -> None:
    for given, said in [
        (
            "solver_typ: ADAM",
            "s:1:1: solver: unknown field 'solver_typ' in SolverParameter; did you mean 'solver_type'?",
        ),
        ("net: 'x' layer { }", "that is a field of NetParameter"),
        ("warmup_iter: 3", "unknown field 'warmup_iter' in SolverParameter; it has net, net_param"),
    ]:
        with pytest.raises(PrototxtError, match=None) as e:
            text.parse(given, caffe_pb2.SolverParameter, "s")
        assert said in str(e.value)


KEPT = [  # a fork's field that the layer can do without, the text after it must keep its positions
    "quantization_param { bits: 8 mode { deep: [1, 2] } }",
    "multipatch_data_param { source: 'x' }",
    "forward_type: FLOAT16",
    "my_param < a: -1 b: 'x' 'y' c [ { d: 1 } ] >;",
    "selu_param { alpha: 1 }",
    "gn_param { groups: 4 }",
    "l2_loss_param { a: 1 }",
    "batch_norm_param { engine: CUDNN }",
    "convolution_param { cudnn_convolution_algo_seeker: FINDEX conv_algos_override: '1,1,1' }",
]


@pytest.mark.parametrize("field", KEPT)
def test_unknown_fields_of_forks_are_kept_by_name(field: str) -> None:
    found = text.parse(f'layer {{ {field} name: "a" }}\nlayer {{ name: "b" }}', caffe_pb2.NetParameter, "f")
    assert [layer.name for layer in found.message.layer] == ["a", "b"] and found.layer_lines == [1, 2]
    assert found.unknown and all(u.where == "layer 'a'" and not u.fatal and u.line == 1 for u in found.unknown)
    first = found.unknown[0]
    assert first.text.startswith(first.name) and first.text.rstrip(";") in field and first.hint
    with pytest.raises(PrototxtError, match="f:2:24: "):
        text.parse(f'layer {{ {field}\nname: "a" loss_weight: x }}', caffe_pb2.NetParameter, "f")


def test_not_strict_lists_everything_fatal() -> None:
    given = "layer { name: 'a' botom: 'x' pooling_param { pool: MAXX q: 2 kernel_size: 3 } }\nnaem: 'x' layer { }"
    found = text.parse(given, caffe_pb2.NetParameter, strict=False)
    assert [(u.name, u.line, u.fatal, u.where) for u in found.unknown] == [
        ("botom", 1, True, "layer 'a'"),
        ("pool", 1, True, "layer 'a'"),
        ("q", 1, True, "layer 'a'"),
        ("naem", 2, True, "net"),
    ]
    assert found.message.layer[0].pooling_param.kernel_size == 3 and found.layer_lines == [1, 2]


SLIPS = [  # what is written, what it may be, whether it is that
    ("convolution_parm", "convolution_param", True),
    ("convolution_params", "convolution_param", True),
    ("innerproduct_param", "inner_product_param", True),
    ("tpo", "top", True),
    ("tops", "top", True),
    ("namee", "name", True),
    ("loss_wieght", "loss_weight", True),
    ("multiimage_data_param", "image_data_param", False),
    ("l2_loss_param", "l1_loss_param", False),
    ("gn_param", "bn_param", False),
    ("selu_param", "relu_param", False),
    ("quantization_param", "convolution_param", False),
]


@pytest.mark.parametrize(("written", "known", "slip"), SLIPS)
def test_slips_of_the_pen(written: str, known: str, slip: bool) -> None:
    assert names.is_slip(written, known) is slip


def test_files(tmp_path: Path) -> None:
    empty = tmp_path / "empty.prototxt"
    empty.write_text("# nothing\n")
    with pytest.raises(PrototxtError, match="empty.prototxt:1:1: the file is empty: no field of NetParameter"):
        text.read(empty, caffe_pb2.NetParameter)
    with pytest.raises(PrototxtError, match="absent.prototxt: cannot be read: No such file"):
        text.read(tmp_path / "absent.prototxt", caffe_pb2.NetParameter)
    with pytest.raises(PrototxtError, match="cannot be read: Is a directory"):
        text.read(tmp_path, caffe_pb2.NetParameter)


@pytest.mark.parametrize("path", sorted(GOLDEN.rglob("*.prototxt")), ids=lambda p: str(p.relative_to(GOLDEN)))
def test_golden_files_are_read_and_written_back(path: Path) -> None:
    cls = caffe_pb2.SolverParameter if "solver" in path.name else caffe_pb2.NetParameter
    found = text.read(path, cls)
    assert not found.unknown
    assert text.parse(text.format(found.message), cls).message == found.message
