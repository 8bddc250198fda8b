"""The wire reader, the choice among schemas, and paths through graphs."""

from __future__ import annotations

from pathlib import Path

import pytest

from stannary.checks.static.walk import read_file, read_view
from stannary.core.errors import FormatError, Truncated
from stannary.formats.interface import View
from stannary.formats.protobuf import fields, packed, position, shape, signed
from stannary.formats.protobuf_models import schemas
from stannary.testing.forges import make
from stannary.testing.forges._protobuf_writer import message, number, varint
from stannary.testing.forges.onnx import external, model, node, tensor
from stannary.testing.forges.tensorflow import const, saved_model
from stannary.testing.forges.tensorflow import node as tf_node


def facts(raw, kind, name="x"):
    return [f.data for f in read_view(View(raw, name), strict=True).facts if f.kind == kind]


def test_fields_of_all_wire_types():
    raw = number(1, 300) + b"\x11" + bytes(7) + b"\x01" + message(3, b"abc") + b"\x25\x02\0\0\0" + b"\x2b" + number(1, 7) + b"\x2c"
    found = [(f.number, f.value if isinstance(f.value, int) else bytes(f.value.data)) for f in fields(View(raw))]
    assert found == [(1, 300), (2, 1 << 56), (3, b"abc"), (4, 2), (5, b"\x08\x07")]


def test_offsets_count_from_the_outermost_message():
    raw = number(1, 1) + message(2, message(3, b"abc"))
    outer = list(fields(View(raw)))[1]
    (inner,) = fields(outer.value)
    assert bytes(raw[position(inner.value) :][:3]) == b"abc"
    assert raw[inner.offset] == 3 << 3 | 2


@pytest.mark.parametrize("raw", [b"\x0a\x05abc", b"\x0a\xff\xff\xff\xff\x0f", b"\x08", b"\x09abc", b"\x80"])
def test_what_ends_too_early(raw):
    with pytest.raises(Truncated):
        list(fields(View(raw)))


@pytest.mark.parametrize("raw", [b"\x00\x01", b"\x0e", b"\x0c", b"\x0b\x08\x01", b"\x08" + b"\xff" * 11])
def test_what_is_no_message(raw):
    with pytest.raises(FormatError):
        list(fields(View(raw)))
    assert shape(View(raw)) is None


def test_numbers():
    assert signed((1 << 64) - 1) == -1
    (field,) = fields(View(message(1, varint(3) + varint(500))))
    assert packed(field) == [3, 500]


@pytest.mark.parametrize(
    "forge,expected",
    [
        ("onnx.plain", ["onnx"]),
        ("tensorflow.saved_model_plain", ["tf-saved-model"]),
        ("tensorflow.frozen_plain", ["tf-graph"]),
        ("tensorflow.checkpoint_graph_plain", ["tf-meta-graph"]),
        ("coreml.plain", ["coreml"]),
        ("paddle.plain", ["paddle"]),
        ("caffe.plain", ["caffe"]),
    ],
)
def test_each_model_fits_one_schema(forge, expected):
    assert schemas(View(make(forge))) == expected


def test_sentencepiece_is_inert():
    pieces = b"".join(message(1, message(1, p) + b"\x15\0\0\0\0" + number(3, 2)) for p in ("<unk>", "<s>", "</s>"))
    report = read_view(View(pieces + message(2, number(3, 1)), "tokenizer.model"), strict=True)
    assert "SentencePiece" in report.skipped
    assert not report.missed


def test_constant_paths_are_followed_through_identities_and_functions():
    raw = saved_model(
        const("a", "/etc/"),
        const("b", "passwd"),
        tf_node("j", "StringJoin", "a", "b"),
        tf_node("i", "Identity", "j:0"),
        tf_node("r", "ReadFile", "i", "^a"),
    )
    assert {f["value"] for f in facts(raw, "tf.path", "saved_model.pb")} == {"/etc/", "passwd"}


def test_only_the_first_input_of_save_is_a_path():
    raw = saved_model(const("p", "model"), const("n", "/dense/kernel"), tf_node("s", "SaveV2", "p", "n"))
    assert [f["value"] for f in facts(raw, "tf.path", "saved_model.pb")] == ["model"]


def test_tensor_payload_is_not_searched_for_operators():
    payload = message(1, message(4, "PyOp"))
    raw = model(node("Relu"), message(5, tensor("w", (len(payload),), 3, payload)))
    assert [f["op"] for f in facts(raw, "onnx.operator")] == ["Relu"]


def test_external_data_behind_a_symbolic_link(tmp_path):
    (tmp_path / "model.onnx").write_bytes(model(node("Relu"), message(5, tensor("w", raw=None, extra=external("w.bin")))))
    (tmp_path / "w.bin").symlink_to(Path("/etc/passwd"))
    report = read_file(str(tmp_path / "model.onnx"), strict=True)
    (fact,) = [f for f in report.facts if f.kind == "onnx.external_data"]
    assert fact.data["exists"] is True
    assert fact.data["link"] == "/etc/passwd"


@pytest.mark.parametrize("dims,kind,size", [((3,), 22, 2), ((2, 2), 16, 8), ((), 7, 8), ((0, 5), 1, 0), ((5,), 2, 5)])
def test_sizes_that_fit(dims, kind, size):
    raw = model(node("Relu"), message(5, tensor("w", dims, kind, bytes(size))))
    assert facts(raw, "onnx.tensor_size") == []
