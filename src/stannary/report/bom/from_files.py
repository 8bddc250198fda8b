"""From what readers answered to models: which files are one model, and what their headers and configurations say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from stannary.core.model import File, Json
from stannary.formats.headers import Header
from stannary.report.bom.inventory import Facts, Model, Source
from stannary.report.bom.reading.gather import Gathered

__all__ = ["models_of"]

_MARKS = frozenset(
    {"config.json", "adapter_config.json", "model_index.json", "modules.json", "mlmodel", "tokenizer_config.json", "params.json"}
)
_SHARD = re.compile(r"[-_.]?\d{1,6}[-_]of[-_]\d{1,6}")
_MODELS = 1000
# Numbers of arrays are data as often as weights: alone in a folder they make no model.
_DATA = frozenset({"numpy"})

# config.json and GGUF metadata → field. Several names, the first that is there.
_CONFIG: dict[str, tuple[str, ...]] = {
    "family": ("model_type",),
    "vocabulary": ("vocab_size", "n_vocab"),
    "context_length": ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "max_seq_len", "n_ctx"),
    "embedding_length": ("hidden_size", "d_model", "n_embd", "dim"),
    "blocks": ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    "heads": ("num_attention_heads", "n_head", "num_heads", "n_heads"),
    "kv_heads": ("num_key_value_heads", "n_kv_heads"),
    "feed_forward": ("intermediate_size", "ffn_dim", "d_ff", "n_inner"),
    "dtype": ("torch_dtype", "dtype"),
}
_GGUF: dict[str, str] = {
    "context_length": "context_length", "embedding_length": "embedding_length", "blocks": "block_count",
    "heads": "attention.head_count", "kv_heads": "attention.head_count_kv", "feed_forward": "feed_forward_length",
    "rope_dimensions": "rope.dimension_count",
}  # fmt: skip
_GENERAL: dict[str, str] = {
    "name": "general.name", "description": "general.description", "author": "general.author", "licence": "general.license",
    "supplier": "general.organization", "version": "general.version", "repository": "general.repo_url",
    "tokenizer": "tokenizer.ggml.model",
    "languages": "general.languages", "tags": "general.tags", "quantisation_version": "general.quantization_version",
    "distribution": "general.source.url", "homepage": "general.url",
}  # fmt: skip
_TRANSFORMERS = re.compile(
    r"bert|gpt|llama|mistral|qwen|gemma|t5|bart|opt|bloom|falcon|vit|clip|whisper|transformer|deepseek|phi|mpt|starcoder",
    re.IGNORECASE,
)
_FAMILIES = (
    (_TRANSFORMERS, "transformer"),
    (re.compile(r"resnet|vgg|convnext|efficientnet|mobilenet|densenet|unet|yolo|conv", re.IGNORECASE), "convolutional"),
    (re.compile(r"lstm|gru\b|rnn|rwkv|mamba", re.IGNORECASE), "recurrent"),
    (re.compile(r"xgb|lightgbm|catboost|gradientboosting|boosting", re.IGNORECASE), "gradient-boosted trees"),
    (re.compile(r"forest|decisiontree|extratrees", re.IGNORECASE), "decision trees"),
    (re.compile(r"logistic|linear|ridge|lasso|elasticnet|sgd", re.IGNORECASE), "linear"),
    (re.compile(r"svc|svr|svm", re.IGNORECASE), "support-vector machine"),
    (re.compile(r"kmeans|dbscan|cluster", re.IGNORECASE), "clustering"),
    (re.compile(r"diffusion", re.IGNORECASE), "diffusion"),
)  # fmt: skip
# The end of a Transformers class name → the task it is for.
_TASKS = {
    "ForCausalLM": "text-generation", "LMHeadModel": "text-generation", "ForMaskedLM": "fill-mask",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification", "ForQuestionAnswering": "question-answering",
    "ForImageClassification": "image-classification",
    "ForConditionalGeneration": "text2text-generation", "ForObjectDetection": "object-detection",
    "ForSemanticSegmentation": "image-segmentation",
    "ForSpeechSeq2Seq": "automatic-speech-recognition", "ForCTC": "automatic-speech-recognition",
    "ForAudioClassification": "audio-classification",
}  # fmt: skip


def models_of(gathered: Gathered) -> list[Model]:
    """Return the models of an artifact, the one that it is about first. There is always one, if only by name."""
    headers = {name: answer.header for name, answer in gathered.answers.items() if answer.header is not None}
    marked = {
        name.rpartition("/")[0]
        for name, role in gathered.roles.items()
        if role == "config" and name.rpartition("/")[2].lower() in _MARKS
    }
    groups: dict[str, dict[str, Header]] = {}
    for name, header in sorted(headers.items()):
        if header.format in _DATA and not _within(name, marked):
            continue
        groups.setdefault(_group(name, marked), {})[name] = header
    if not groups:
        groups = {min(marked, key=len): {}} if marked else {"": {}}
    order = sorted(groups, key=lambda path: (path.count("/"), -_elements(groups[path].values()), path))
    return [_model(path, groups[path], gathered, single=len(groups) == 1) for path in order[:_MODELS]]


def _within(name: str, marked: set[str]) -> bool:
    return any(not folder or name.startswith(folder + "/") for folder in marked)


def _group(name: str, marked: set[str]) -> str:
    """Return what a file belongs to: the outermost folder with a configuration, or itself without the number of its shard."""
    folders = [folder for folder in marked if not folder or name.startswith(folder + "/")]
    if folders:
        return min(folders, key=len)
    folder, _, base = name.rpartition("/")
    if base.startswith(("variables.", "saved_model")) or folder.endswith("variables"):
        return folder.removesuffix("/variables").removesuffix("variables")
    return _SHARD.sub("", name)


def _elements(headers: Iterable[Header]) -> int:
    return sum(header.parameters or 0 for header in headers)


def _model(path: str, headers: dict[str, Header], gathered: Gathered, *, single: bool) -> Model:
    folder = path if path not in headers and not path.rpartition("/")[2].count(".") else path.rpartition("/")[0]
    prefix = f"{folder}/" if folder else ""
    is_file = path in headers or (bool(headers) and not all(name.startswith(f"{path}/" if path else "") for name in headers))
    files = gathered.files if single else tuple(row for row in gathered.files if _belongs(row, path, headers, is_file=is_file))
    facts = Facts()
    _from_headers(headers, facts)
    beside = (
        {}
        if is_file and not single
        else {name: answer for name, answer in gathered.answers.items() if name.startswith(prefix) and answer.config}
    )
    _from_configs(beside, prefix, facts)
    _derived(facts)
    name = str(facts.value("name") or "") or (path.rpartition("/")[2] if path else gathered.tree.name)
    first = next((header for header in headers.values() if header.inputs or header.outputs), None)
    return Model(
        name=name,
        path=path,
        files=files,
        headers=headers,
        facts=facts,
        inputs=first.inputs if first else (),
        outputs=first.outputs if first else (),
    )


def _belongs(row: File, path: str, headers: Mapping[str, Header], *, is_file: bool) -> bool:
    return row.path in headers if is_file else not path or row.path.startswith(f"{path}/")


def _from_headers(headers: dict[str, Header], facts: Facts) -> None:
    dtypes: Counter[str] = Counter()
    counted = [header for header in headers.values() if header.parameters is not None]
    variants = {header.format for header in counted}
    # A repository that holds the same weights in several formats has them once.
    for kind in sorted(variants, key=_rank):
        rows = [header for header in counted if header.format == kind]
        where = next(name for name, header in headers.items() if header is rows[0])
        source = Source("header", where if len(rows) == 1 else f"{where} and {len(rows) - 1} more")
        alternatives = kind == "gguf" and len({header.quantisation for header in rows}) > 1
        used = rows[:1] if alternatives else rows
        if not facts.value("parameters"):
            for header in used:
                dtypes.update(header.dtypes)
        facts.say("parameters", sum(header.parameters or 0 for header in used), source)
        facts.say("tensors", sum(header.tensors or 0 for header in used), source)
    # What is beside the weights (a pickled scaler, an optimiser's state) says less about the model than they do.
    for name, header in sorted(headers.items(), key=lambda row: (_rank(row[1].format), row[0])):
        source = Source("header", name)
        facts.say("architecture", header.architecture, source)
        facts.say("framework", header.framework, source)
        facts.say("framework_version", header.framework_version, source)
        facts.say("quantisation", header.quantisation, source)
        facts.say("format", header.format, source)
        _from_metadata(header, name, facts)
    if dtypes:
        where = next(name for name, header in headers.items() if header.dtypes)
        facts.say("dtypes", dict(dtypes.most_common(20)), Source("header", where))


def _rank(kind: str) -> int:
    order = ("safetensors", "gguf", "torch-zip", "pickle", "hdf5", "onnx", "tensorflow")
    return order.index(kind) if kind in order else len(order)


def _from_metadata(header: Header, name: str, facts: Facts) -> None:
    metadata = header.metadata
    if header.format == "gguf":
        for field, key in _GENERAL.items():
            facts.say(field, metadata.get(key), Source("header", name, key))
        for field, suffix in _GGUF.items():
            key = f"{header.architecture}.{suffix}"
            facts.say(field, metadata.get(key), Source("header", name, key))
        facts.say("vocabulary", metadata.get("tokenizer.vocabulary"), Source("header", name, "tokenizer.ggml.tokens"))
        facts.say("file_type", metadata.get("general.file_type"), Source("header", name, "general.file_type"))
    for key, value in metadata.items():
        if header.format != "gguf":
            facts.say("metadata", {key: value}, Source("header", name, key))


def _from_configs(answers: Mapping[str, Any], prefix: str, facts: Facts) -> None:
    for name, answer in sorted(answers.items(), key=lambda item: (item[0].count("/"), item[0])):
        read = _CONFIGS.get(name[len(prefix) :].rpartition("/")[2].lower())
        if read is not None:
            read(answer.config, name, facts)


def _adapter(config: dict[str, Json], name: str, facts: Facts) -> None:
    for field, key in (("adapter", "peft_type"), ("task", "task_type")):
        facts.say(field, config.get(key), Source("config", name, key))
    _keyed("hyperparameter", ("r", "lora_alpha", "lora_dropout", "target_modules"), config, name, facts)


def _tokenizer(config: dict[str, Json], name: str, facts: Facts) -> None:
    facts.say("tokenizer", config.get("tokenizer_class"), Source("config", name, "tokenizer_class"))
    length = config.get("model_max_length")
    if isinstance(length, int) and length < 1 << 40:  # what means "no limit" is 10^30
        facts.say("context_length", length, Source("config", name, "model_max_length"))


def _pipeline(config: dict[str, Json], name: str, facts: Facts) -> None:
    facts.say("architecture", config.get("_class_name"), Source("config", name, "_class_name"))
    facts.say("library_version", config.get("_diffusers_version"), Source("config", name, "_diffusers_version"))
    facts.say("library", "diffusers", Source("config", name))


def _generation(config: dict[str, Json], name: str, facts: Facts) -> None:
    _keyed("generation", ("temperature", "top_p", "top_k", "max_new_tokens", "repetition_penalty"), config, name, facts)


def _training(config: dict[str, Json], name: str, facts: Facts) -> None:
    _keyed(
        "hyperparameter", tuple(key for key, value in config.items() if isinstance(value, (str, int, float))), config, name, facts
    )


def _keyed(field: str, keys: tuple[str, ...], config: dict[str, Json], name: str, facts: Facts) -> None:
    for key in keys:
        if config.get(key) is not None:
            facts.say(field, {key: config[key]}, Source("config", name, key))


def _config_json(config: dict[str, Json], name: str, facts: Facts) -> None:
    architectures = config.get("architectures")
    listed = architectures if isinstance(architectures, list) else []
    for architecture in listed[:5]:
        if not isinstance(architecture, str):
            continue
        facts.say("architecture", architecture, Source("config", name, "architectures"))
        task = next((task for ending, task in _TASKS.items() if architecture.endswith(ending)), None)
        facts.say("task", task, Source("config", name, "architectures"))
    nested = config.get("text_config") if isinstance(config.get("text_config"), dict) else {}
    for field, keys in _CONFIG.items():
        for key in keys:
            value = config.get(key, nested.get(key))  # type: ignore[union-attr]
            if isinstance(value, (str, int)) and not isinstance(value, bool):
                facts.say(field, value, Source("config", name, key))
                break
    if isinstance(config.get("transformers_version"), str):
        facts.say("library", "transformers", Source("config", name, "transformers_version"))
        facts.say("library_version", config["transformers_version"], Source("config", name, "transformers_version"))
    if isinstance(config.get("quantization_config"), dict):
        _quantisation(config["quantization_config"], name, facts)
    labels = config.get("id2label")
    if isinstance(labels, dict):
        facts.say("labels", [str(label) for label in labels.values()][:50], Source("config", name, "id2label"))


def _quantisation(config: dict[str, Json], name: str, facts: Facts) -> None:
    method = config.get("quant_method") or ("gptq" if "desc_act" in config else "")
    bits = config.get("bits") or (4 if config.get("load_in_4bit") else 8 if config.get("load_in_8bit") else "")
    facts.say("quantisation", f"{method}{f' {bits} bit' if bits else ''}".strip(), Source("config", name, "quantization_config"))


def _mlmodel(config: dict[str, Json], name: str, facts: Facts) -> None:
    for key, value in config.items():
        flavor = re.fullmatch(r"flavors\.(\w+)\.(\w+_version|sklearn_version|pickled_model|model_type)", key)
        if flavor and flavor[1] != "python_function":
            facts.say("library", flavor[1], Source("config", name, key))
            if flavor[2].endswith("version"):
                facts.say("library_version", value, Source("config", name, key))
    facts.say("created", config.get("utc_time_created"), Source("config", name, "utc_time_created"))
    facts.say("version", config.get("model_uuid"), Source("config", name, "model_uuid"))


def _emissions(config: dict[str, Json], name: str, facts: Facts) -> None:
    for field, key, factor in (("emissions", "emissions", 1000.0), ("energy", "energy_consumed", 1.0)):
        try:
            facts.say(field, float(str(config.get(key))) * factor, Source("config", name, key))
        except ValueError:
            continue
    facts.say("hardware", config.get("gpu_model") or config.get("cpu_model"), Source("config", name, "gpu_model"))


def _derived(facts: Facts) -> None:
    """Say the family and the kind of learning that an architecture's name implies."""
    for fact in facts.all("architecture"):
        named = str(fact.value)
        found = next((family for pattern, family in _FAMILIES if pattern.search(named)), None)
        facts.say("architecture_family", found, fact.source)


# Name of a configuration → what reads it.
_CONFIGS: dict[str, Callable[[dict[str, Json], str, Facts], None]] = {
    "config.json": _config_json,
    "adapter_config.json": _adapter,
    "tokenizer_config.json": _tokenizer,
    "model_index.json": _pipeline,
    "generation_config.json": _generation,
    **dict.fromkeys(("training_args.json", "trainer_config.json", "hyperparameters.json"), _training),
    **dict.fromkeys(("quantize_config.json", "quantization_config.json"), _quantisation),
    "mlmodel": _mlmodel,
    "emissions.csv": _emissions,
}
