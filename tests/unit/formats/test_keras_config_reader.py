"""Keras configurations: what the reader states, form by form."""

from __future__ import annotations

import json

import pytest

from stannary.checks.static.judges.keras_config import judge
from stannary.checks.static.walk import read_view
from stannary.formats.interface import Fact, View
from stannary.formats.keras_config import probe
from stannary.testing.forges.keras import bytecode, layer


def facts(config, kind):
    text = config if isinstance(config, str) else json.dumps(config)
    return [f for f in read_view(View(text.encode(), "config.json"), strict=True).facts if f.kind == kind]


def rules_of(config):
    text = json.dumps(config)
    return {hit.rule for hit in judge(read_view(View(text.encode(), "config.json"), strict=True).facts)}


@pytest.mark.parametrize(
    "text,expected",
    [
        ('{"class_name": "Dense", "config": {}}', True),
        ('\ufeff {"config": {}, "class_name": "Dense"}', True),
        ('{"class\\u005fname": "Dense", "config": {}}', True),
        ('{"a": "\\u00e9", "b_key": 1}', False),
        ('["class_name"]', False),
        ('{"model_type": "bert"}', False),
    ],
)
def test_probe(text, expected):
    assert probe(View(text.encode())) is expected


def test_objects_are_reported_once_each():
    config = layer("Sequential", {"layers": [layer("Dense", {}), layer("Dense", {}), layer("LSTM", {})]}, module="keras")
    assert [f.data["class_name"] for f in facts(config, "keras.object")] == ["Sequential", "LSTM", "Dense"]


@pytest.mark.parametrize(
    "function",
    [
        [bytecode("lambda x: __import__('os').system('echo owned')"), None, None],
        {
            "class_name": "__lambda__",
            "config": {"code": bytecode("lambda x: __import__('os').system('echo owned')"), "defaults": None},
        },
        {
            "class_name": "__lambda__",
            "config": {"value": [bytecode("lambda x: __import__('os').system('echo owned')"), None, None]},
        },
        {"class_name": "__tuple__", "items": [bytecode("lambda x: __import__('os').system('echo owned')"), None, None]},
        {"code": bytecode("lambda x: __import__('os').system('echo owned')")},
        bytecode("lambda x: __import__('os').system('echo owned')"),
    ],
)
def test_every_form_of_a_lambda(function):
    found = facts({"class_name": "Lambda", "config": {"function": function, "function_type": "lambda"}}, "keras.lambda")
    assert len(found) == 1
    assert "system" in found[0].data["names"]
    assert found[0].data["parsed"]


def test_bytecode_of_no_known_layout_still_gives_its_strings():
    (found,) = facts(
        {
            "class_name": "Lambda",
            "config": {"function": ["//+Q" + bytecode("lambda x: os.system('echo owned')"), None, None], "function_type": "lambda"},
        },
        "keras.lambda",
    )
    assert not found.data["parsed"]
    assert "system" in found.data["strings"]


def test_the_value_that_a_duplicate_key_hides_is_read():
    text = '{"class_name": "Lambda", "config": {"function": "f"}, "class_name": "Dense"}'
    assert [f.data["name"] for f in facts(text, "keras.lambda_name")] == ["f"]
    assert facts(text, "keras.duplicate_key")


@pytest.mark.parametrize(
    "value,how",
    [
        ("/etc/passwd", "absolute"),
        ("C:\\Users\\me\\x.txt", "absolute"),
        ("~/.ssh/id_rsa", "absolute"),
        ("https://a.example/v.txt", "url"),
        ("file:///etc/passwd", "url"),
        ("a/../../b.txt", "traversal"),
        ("\\\\host\\share\\v.txt", "absolute"),
        ("vocab.txt", "plain"),
        ("imagenet", None),
    ],
)
def test_paths(value, how):
    found = facts({"class_name": "StringLookup", "config": {"vocabulary": value}}, "keras.resource")
    assert [f.data["how"] for f in found] == ([how] if how else [])


@pytest.mark.parametrize(
    "module,name,rule",
    [
        ("os", "system", "KER001"),
        ("posix", "system", "KER001"),
        ("builtins", "eval", "KER001"),
        ("shutil", "rmtree", "KER001"),
        ("torch", "load", "KER002"),
        ("helpers", "exec", "KER002"),
        ("helpers", "os.system", "KER002"),
        ("keras.utils", "get_file", "KER003"),
        ("keras.src.utils.io_utils", "set_logging_verbosity", "KER003"),
        ("keras.saving", "load_model", "KER003"),
        ("keras.callbacks", "ModelCheckpoint", "KER003"),
        ("keras.layers", "TFSMLayer", "KER009"),
        ("keras.layers", "NewLayer", "KER004"),
        ("acme.layers", "Attention", "KER004"),
        ("__main__", "MyLayer", "KER004"),
    ],
)
def test_names_that_are_not_layers(module, name, rule):
    assert rules_of(layer(name, {}, module=module)) == {rule}
    if rule != "KER009":
        assert rules_of({"module": module, "class_name": "function", "config": name, "registered_name": "function"}) == {rule}


@pytest.mark.parametrize(
    "module,name",
    [
        ("keras.layers", "Dense"),
        ("keras", "Sequential"),
        ("keras.src.ops.numpy", "GetItem"),
        ("tf_keras.src.engine.functional", "Functional"),
        (None, "Dense"),
        ("tensorflow.python.keras.layers", "LSTM"),
        ("keras_hub.src.models.bert.bert_backbone", "BertBackbone"),
        (None, "Addons>AdamW"),
        ("keras.optimizers", "Adam"),
        ("keras.optimizers.schedules", "CosineDecay"),
        ("builtins", "slice"),
        ("keras.initializers", "GlorotUniform"),
        ("keras.losses", "Huber"),
    ],
)
def test_names_of_real_configurations_are_silent(module, name):
    assert rules_of(layer(name, {}, module=module)) == set()


def test_judge_needs_only_facts():
    fact = Fact("keras.symbol", 0, {"symbol": "tf.io.write_file", "path": "x"})
    assert [hit.rule for hit in judge([fact])] == ["KER007"]
