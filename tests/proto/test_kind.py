"""What a text is, before it is read."""

from __future__ import annotations

import pytest

from caffe_port.proto.kind import kind, placeholder, top_level

# text, kind
KINDS = [
    ('name: "n" layer { name: "a" }', "net"),
    ("layers { layer { } }", "net"),
    ("input: 'data' input_dim: 3", "net"),
    ("base_lr: 0.1 debug_info: true", "solver"),
    ("net_param { layer { } }", "solver"),  # a layer inside braces is the solver's net's
    ("train_net: 'a' layer { }", "net"),  # a solver's fields in a net's file are told as such
    ("item { base_lr: 1 }", "other"),
    ("# base_lr: 0.1", "other"),
    ("'layer {' }}}", "other"),
    ("", "other"),
]


@pytest.mark.parametrize("text, name", KINDS)
def test_kind(text, name):
    assert kind(text).name == name


def test_the_reason_names_fields():
    assert "it has item, other" in kind("item { } other: 1").reason


def test_top_level_names_are_those_with_a_value():
    assert top_level('a: b c { d: 1 } e < f: 2 > g: "h: { i" } j {') == {"a", "c", "e", "g", "j"}


# text, line, placeholder; None: what a prototxt may hold
PLACEHOLDERS = [
    ("\ndim: ${n}", 2, "${n}"), ("dim: $N$", 1, "$N$"), ("dim: {{ n }}", 1, "{{ n }}"), ("dim: @N@", 1, "@N@"),
    ("dim: %(n)s", 1, "%(n)s"), ("dim: {width}", 1, "{width}"), ("num_output: cls6x", 1, "cls6x"),
    ("{% if x %}", 1, "{% if x %}"),
    ('source: "$HOME/x" # ${n}\n', None, None), ("shape { dim: 1 }", None, None), ("layer { } layer { }", None, None),
    ("a < b: 1 >", None, None),
]  # fmt: skip


@pytest.mark.parametrize("text, line, found", PLACEHOLDERS)
def test_placeholder(text, line, found):
    assert placeholder(text) == ((line, found) if line else None)
