"""Benign repository folders in the shapes of the hub, MLflow, TorchServe, spaCy, NeMo and diffusers."""

from __future__ import annotations

from stannary.testing.forges.repository_shapes import CARD, CUSTOM, HF, MLFLOW_ENV, safetensors, tree

__all__: list[str] = []

tree("hf_plain", HF, malicious=False)
tree("hf_sharded", {**{k: v for k, v in HF.items() if k != "model.safetensors"}, "model-00001-of-00002.safetensors": safetensors(), "model-00002-of-00002.safetensors": safetensors(),
                     "model.safetensors.index.json": {"metadata": {"total_size": 16}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}, "generation_config.json": {"bos_token_id": 1}}, malicious=False)  # fmt: skip
tree(
    "hf_chat",
    {**HF, "tokenizer_config.json": {"chat_template": "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}{% endfor %}"}},
    malicious=False,
)
tree(
    "hf_vision",
    {
        **HF,
        "preprocessor_config.json": {
            "do_resize": True,
            "image_processor_type": "ViTImageProcessor",
            "size": {"height": 224, "width": 224},
        },
    },
    malicious=False,
)
tree(
    "hf_llama",
    {
        **HF,
        "config.json": {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "rope_scaling": None},
        "LICENSE": "LLAMA 3.1 COMMUNITY LICENSE AGREEMENT\n",
        "README.md": "---\nlicense: llama3.1\n---\n",
        "USE_POLICY.md": "# Use policy\n",
    },
    malicious=False,
)
tree(
    "hf_lora",
    {
        "adapter_config.json": {
            "peft_type": "LORA",
            "auto_mapping": None,
            "base_model_name_or_path": "org/base",
            "r": 8,
            "target_modules": ["q_proj"],
        },
        "adapter_model.safetensors": safetensors(),
        "README.md": "---\nbase_model: org/base\nlibrary_name: peft\nlicense: mit\n---\n",
    },
    malicious=False,
)
tree(
    "hf_peft_auto",
    {
        "adapter_config.json": {
            "peft_type": "LORA",
            "auto_mapping": {"base_model_class": "BertModel", "parent_library": "transformers.models.bert.modeling_bert"},
        },
        "README.md": CARD,
    },
    malicious=False,
)
tree(
    "hf_training_output",
    {
        **HF,
        "trainer_state.json": {"best_metric": None, "log_history": [{"epoch": 1.0, "loss": 0.5}]},
        "all_results.json": {"eval_loss": 0.4},
        "runs/events.txt": "x\n",
    },
    malicious=False,
)
tree(
    "hf_gguf_card",
    {
        "README.md": "---\nlicense: gemma\n---\n# X-GGUF\n\n```\nollama run hf.co/org/x\nhuggingface-cli download org/x --local-dir .\n```\n"
    },
    malicious=False,
)
tree(
    "hf_timm",
    {
        "config.json": {
            "architecture": "resnet50",
            "num_classes": 1000,
            "pretrained_cfg": {"url": "", "mean": [0.5], "custom_load": False},
        },
        "README.md": CARD,
        "model.safetensors": safetensors(),
    },
    malicious=False,
)
tree(
    "hf_dataset",
    {
        "README.md": "---\nlicense: cc-by-4.0\nconfigs:\n- config_name: default\n  data_files: data/*.csv\n---\n",
        "data/train.csv": "text,label\nhello,1\n",
    },
    malicious=False,
)
tree("sentence_transformer", {
    **HF, "modules.json": [{"idx": i, "name": str(i), "path": p, "type": f"sentence_transformers.models.{t}"} for i, (p, t) in enumerate((("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")))],
    "config_sentence_transformers.json": {"__version__": {"sentence_transformers": "3.0.1"}, "prompts": {"query": "query: "}, "similarity_fn_name": "cosine"}, "sentence_bert_config.json": {"max_seq_length": 512}, "1_Pooling/config.json": {"word_embedding_dimension": 8},
}, malicious=False)  # fmt: skip
tree("diffusers_plain", {
    "model_index.json": {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.30.0", "feature_extractor": ["transformers", "CLIPImageProcessor"], "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
                         "scheduler": ["diffusers", "PNDMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"], "unet": ["diffusers", "UNet2DConditionModel"], "image_encoder": [None, None], "force_zeros_for_empty_prompt": True},
    "unet/config.json": {"_class_name": "UNet2DConditionModel", "sample_size": 64}, "scheduler/scheduler_config.json": {"_class_name": "PNDMScheduler"}, "text_encoder/config.json": {"architectures": ["CLIPTextModel"]},
    "README.md": "---\nlicense: creativeml-openrail-m\n---\n",
}, malicious=False)  # fmt: skip
tree(
    "mlflow_sklearn",
    {
        **MLFLOW_ENV,
        "MLmodel": "artifact_path: model\nflavors:\n  python_function:\n    env:\n      conda: conda.yaml\n      virtualenv: python_env.yaml\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n    predict_fn: predict\n    python_version: 3.11.4\n  sklearn:\n    code: null\n    pickled_model: model.pkl\n    serialization_format: cloudpickle\n    sklearn_version: 1.4.0\nmlflow_version: 2.9.2\nrun_id: 0123456789abcdef0123456789abcdef\n",
    },
    malicious=False,
)
tree(
    "mlflow_pyfunc",
    {
        **MLFLOW_ENV,
        "MLmodel": "flavors:\n  python_function:\n    cloudpickle_version: 3.0.0\n    env:\n      conda: conda.yaml\n    loader_module: mlflow.pyfunc.model\n    python_model: python_model.pkl\n    python_version: 3.11.4\nmlflow_version: 2.9.2\n",
    },
    malicious=False,
)
tree(
    "mlflow_pytorch",
    {
        **MLFLOW_ENV,
        "MLmodel": "flavors:\n  python_function:\n    data: data\n    loader_module: mlflow.pytorch\n    pickle_module_name: mlflow.pytorch.pickle_module\n  pytorch:\n    code: null\n    model_data: data\n    pytorch_version: 2.3.1\n",
        "data/pickle_module_info.txt": "mlflow.pytorch.pickle_module",
    },
    malicious=False,
)
tree(
    "mlflow_project",
    {
        "MLproject": 'name: tutorial\nconda_env: conda.yaml\nentry_points:\n  main:\n    parameters:\n      alpha: {type: float, default: 0.1}\n    command: "python train.py {alpha}"\n',
        "train.py": "import sys\nprint(float(sys.argv[1]))\n",
        "conda.yaml": MLFLOW_ENV["conda.yaml"],
    },
    malicious=False,
)
tree(
    "spacy_plain",
    {
        "config.cfg": '[nlp]\nlang = "en"\npipeline = ["tok2vec","tagger"]\nbefore_creation = null\n\n[nlp.tokenizer]\n@tokenizers = "spacy.Tokenizer.v1"\n\n[components.tagger.model]\n@architectures = "spacy.Tagger.v2"\n\n[training.batcher]\n@batchers = "spacy.batch_by_words.v1"\n',
        "meta.json": {"lang": "en", "name": "core_web_sm", "license": "MIT", "requirements": []},
        "tokenizer": b"\x81\xadprefix_search\xa1a",
        "vocab/strings.json": ["hello"],
        "README.md": CARD,
    },
    malicious=False,
)
tree(
    "nemo_plain",
    {
        "model_config.yaml": "target: nemo.collections.asr.models.EncDecCTCModel\nnemo_version: 1.23.0\npreprocessor:\n  _target_: nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor\nencoder:\n  _target_: nemo.collections.asr.modules.ConformerEncoder\n"
    },
    malicious=False,
)
tree(
    "torchserve_plain",
    {
        "MAR-INF/MANIFEST.json": {
            "runtime": "python",
            "model": {"modelName": "densenet", "serializedFile": "model.pt", "handler": "image_classifier", "modelVersion": "1.0"},
            "archiverVersion": "0.12.0",
        },
        "index_to_name.json": {"0": ["n01440764", "tench"]},
    },
    malicious=False,
)
tree(
    "hydra_project",
    {
        "configs/train.yaml": "defaults:\n- _self_\n- model: linear\ntrainer:\n  _target_: pytorch_lightning.Trainer\n  callbacks:\n  - _target_: pytorch_lightning.callbacks.ModelCheckpoint\n    monitor: val_loss\n",
        "src/train.py": "import hydra\n\n\n@hydra.main(config_path='../configs', config_name='train')\ndef main(cfg):\n    trainer = hydra.utils.instantiate(cfg.trainer)\n    trainer.fit()\n\n\nif __name__ == '__main__':\n    main()\n",
        "requirements.txt": "torch>=2.0\nhydra-core==1.3.2\n",
        "LICENSE": "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy\n",
    },
    malicious=False,
)
tree(
    "python_package",
    {
        "pyproject.toml": '[build-system]\nrequires = ["setuptools>=61"]\nbuild-backend = "setuptools.build_meta"\n\n[project]\nname = "x"\nversion = "1"\ndependencies = ["numpy>=1.24", "torch"]\n',
        "setup.py": "from setuptools import setup\nsetup()\n",
        "src/x/__init__.py": "from x.core import run\n",
        "src/x/core.py": "import subprocess\n\n\ndef run(path):\n    return subprocess.run(['ffmpeg', '-i', path, 'out.wav'], check=True)\n",
        "Makefile": "test:\n\tpytest -q\n",
        "README.md": "# x\n\n    pip install x\n",
    },
    malicious=False,
)
tree(
    "space_gradio",
    {
        "README.md": "---\ntitle: X\nsdk: gradio\nlicense: mit\n---\n",
        "app.py": "import os\nimport gradio as gr\nfrom transformers import pipeline\n\nos.system('pip install -q flash-attn')\npipe = pipeline('text-generation', model='org/x', token=os.getenv('HF_TOKEN'))\ngr.Interface(lambda t: pipe(t), 'text', 'text').launch()\n",
        "requirements.txt": "transformers\ngradio\n",
    },
    malicious=False,
)
tree(
    "notebook_project",
    {
        "train.ipynb": {
            "cells": [
                {
                    "cell_type": "code",
                    "metadata": {},
                    "outputs": [],
                    "execution_count": 1,
                    "source": ["!pip install -q torch\n", "import torch\n"],
                }
            ],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 5,
        },
        "dvc.yaml": "stages:\n  prep:\n    cmd: python prep.py\n",
        "params.yaml": "lr: 0.1\n",
    },
    malicious=False,
)
tree(
    "lightning_checkpoint",
    {
        "hparams.yaml": "lr: 0.001\nbatch_size: 32\nlayers: !!python/tuple\n- 1\n- 2\n",
        "config.yaml": "seed_everything: 42\nmodel:\n  class_path: torch.nn.Linear\n  init_args:\n    in_features: 2\n",
    },
    malicious=False,
)
tree("bert_with_pickle", {**HF, "pytorch_model.bin.index.json": {"weight_map": {}}}, malicious=False)
tree(
    "git_clone",
    {
        **HF,
        ".git/HEAD": "ref: refs/heads/main\n",
        ".git/hooks/pre-push": '#!/bin/sh\ncommand -v git-lfs >/dev/null 2>&1 || exit 2\ngit lfs pre-push "$@"\n',
        ".git/hooks/pre-commit.sample": "#!/bin/sh\nexit 0\n",
    },
    malicious=False,
)
tree("custom_code_plain", CUSTOM, malicious=False)
