"""The shapes that forged repositories share: a model of the hub, the same with its own code, how a tree is registered."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

from stannary.testing.forges import forge

__all__ = ["CARD", "CONFIGURATION", "CUSTOM", "ECHO", "HF", "LFS", "MLFLOW_ENV", "MODELING", "safetensors", "tree"]

ECHO = "import os\nos.system('echo stannary')\n"
MODELING = """
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
CONFIGURATION = "from transformers import PretrainedConfig\n\n\nclass XConfig(PretrainedConfig):\n    model_type = 'x'\n\n    def __init__(self, hidden_size=8, head_dim=8, num_layers=1, **kwargs):\n        self.hidden_size = hidden_size\n        self.head_dim = head_dim\n        self.num_layers = num_layers\n        super().__init__(**kwargs)\n"
CARD = "---\nlicense: apache-2.0\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n# X\n\nA model.\n"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "ab" * 32 + "\nsize 1234567\n"


def safetensors() -> bytes:
    """Return a safetensors file of one tensor."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(8)


def tree(name: str, files: Mapping[str, Any], *, family: str = "repo dirs", malicious: bool | None = True) -> None:
    """Register a folder under `repo.NAME`."""
    built = {
        path: content
        if isinstance(content, bytes)
        else content.encode()
        if isinstance(content, str)
        else json.dumps(content, indent=2).encode()
        for path, content in files.items()
    }
    forge(f"repo.{name}", filename=name, family=family, malicious=malicious)(lambda: built)


HF: dict[str, Any] = {
    "config.json": {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 8},
    "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "model_max_length": 512},
    "special_tokens_map.json": {"cls_token": "[CLS]"},
    "vocab.txt": "[PAD]\n[CLS]\nhello\n",
    "model.safetensors": safetensors(),
    "README.md": CARD,
    ".gitattributes": "*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
}
CUSTOM = {**HF, "config.json": {"auto_map": {"AutoConfig": "configuration_x.XConfig", "AutoModel": "modeling_x.XModel"}, "model_type": "x"},
           "configuration_x.py": CONFIGURATION, "modeling_x.py": MODELING}  # fmt: skip


MLFLOW_ENV = {
    "conda.yaml": "channels:\n- conda-forge\ndependencies:\n- python=3.11.4\n- pip<=23.2\n- pip:\n  - mlflow==2.9.2\n  - cloudpickle==3.0.0\nname: mlflow-env\n",
    "python_env.yaml": "python: 3.11.4\nbuild_dependencies:\n- pip==23.2\n- setuptools\ndependencies:\n- -r requirements.txt\n",
    "requirements.txt": "mlflow==2.9.2\nscikit-learn==1.4.0\n",
}
