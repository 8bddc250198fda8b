"""What each framework's loader does with the configuration files of a repository folder.

Sources: transformers `dynamic_module_utils.py`, diffusers `pipeline_loading_utils.py`,
sentence-transformers `SentenceTransformer.py` (`import_from_string`), peft `auto.py`
(`auto_mapping`), MLflow `pyfunc/__init__.py` (`load_model`, models from code), TorchServe
`model_loader.py`, spaCy `util.load_model_from_path`, PyTorch `hub.py`, Triton python backend.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from typing import Any

from stannary.formats.diffusers_index import LIBRARIES
from stannary.formats.interface import Sink, clip
from stannary.formats.json_keys import outside
from stannary.formats.repository_code import LoadPath
from stannary.formats.repository_fields import activations, own_files
from stannary.formats.repository_files import Folder
from stannary.formats.yaml_scan import scan

__all__ = ["read"]

Reader = Callable[[str, Folder, LoadPath, Sink], None]
_REMOTE = re.compile(r"^(.+?)--(.+)$")
_PICKLERS = frozenset({"mlflow", "pickle", "cloudpickle", "dill", "torch"})
_HANDLERS = frozenset(
    {
        "image_classifier",
        "image_segmenter",
        "object_detector",
        "text_classifier",
        "text_handler",
        "vision_handler",
        "request_envelope",
    }
)


def read(name: str, base: str, folder: Folder, code: LoadPath, sink: Sink) -> str:
    """Read one file for what its loader does; return the kind of repository that it shows, or an empty string."""
    entry = _BY_NAME.get(base)
    if entry is None:
        if base.endswith(".index.json"):
            _index(name, folder, sink)
        elif base.endswith("_config.json"):
            _transformers(name, folder, code, sink)
        return ""
    kind, reader = entry
    reader(name, folder, code, sink)
    return kind


def _transformers(name: str, folder: Folder, code: LoadPath, sink: Sink) -> None:
    document = folder.json(name)
    if not isinstance(document, dict):
        return
    here, base = posixpath.dirname(name), posixpath.basename(name)
    for key, entry, reference in _references(document):
        trigger = f"{base} {key} {entry}".strip()
        remote = _REMOTE.match(reference)
        if remote:
            sink.fact("repo.remote", None, file=clip(name), trigger=clip(trigger), reference=clip(reference))
            continue
        module = reference.rpartition(".")[0] or reference
        how = outside(module.replace(".", "/") if "/" not in module else module)
        if how or "/" in module or "\\" in module:
            sink.fact("repo.outside", None, file=clip(name), trigger=clip(trigger), reference=clip(reference), how=how or "path")
            continue
        code.module(here, module, trigger)
    mapping = document.get("auto_mapping")
    if isinstance(mapping, dict) and isinstance(mapping.get("parent_library"), str):
        library = mapping["parent_library"]
        if not library.startswith("transformers") and not code.folder.module(here, library):
            sink.fact("repo.dotted", None, file=clip(name), trigger=f"{base} auto_mapping", name=clip(library))
        elif code.folder.module(here, library):
            code.module(here, library, f"{base} auto_mapping")
    custom = document.get("custom_pipeline")
    if isinstance(custom, str) and custom:
        sink.fact("repo.remote", None, file=clip(name), trigger=f"{base} custom_pipeline", reference=clip(custom))
    own_files(name, document, sink)
    for key, dotted in activations(document):
        if not dotted.startswith("torch.nn."):
            sink.fact("repo.dotted", None, file=clip(name), trigger=f"{base} {key}", name=clip(dotted))


def _references(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:  # noqa: C901 - the shapes that auto_map may have
    """Yield (key, entry, reference) of every class that the hub's dynamic modules would import, nested configs included."""
    stack: list[tuple[dict[str, Any], int]] = [(document, 0)]
    while stack:
        current, depth = stack.pop()
        for key, value in current.items():
            if isinstance(value, dict) and key not in {"auto_map", "custom_pipelines"} and depth < 6:
                stack.append((value, depth + 1))
        auto = current.get("auto_map")
        if isinstance(auto, str):
            yield "auto_map", "", auto
        elif isinstance(auto, list):
            yield from (("auto_map", "", item) for item in auto if isinstance(item, str))
        elif isinstance(auto, dict):
            for entry, value in auto.items():
                for item in value if isinstance(value, list) else (value,):
                    if isinstance(item, str) and item:
                        yield "auto_map", clip(str(entry), 60), item
        pipelines = current.get("custom_pipelines")
        if isinstance(pipelines, dict):
            for task, value in pipelines.items():
                if isinstance(value, dict) and isinstance(value.get("impl"), str):
                    yield "custom_pipelines", clip(str(task), 60), value["impl"]


def _diffusers(name: str, folder: Folder, code: LoadPath, sink: Sink) -> None:
    document = folder.json(name)
    if not isinstance(document, dict):
        return
    here = posixpath.dirname(name)
    own = document.get("_class_name")
    if isinstance(own, list) and own and isinstance(own[0], str):
        code.module(here, own[0], "model_index.json _class_name")
    for part, value in document.items():
        if outside(part):
            sink.fact("repo.outside", None, file=clip(name), trigger="model_index.json", reference=clip(part), how=outside(part))
        if part.startswith("_") or not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)):
            continue
        library = value[0]
        if "." in library or outside(library) or "/" in library:
            sink.fact(
                "repo.dotted",
                None,
                file=clip(name),
                trigger=f"model_index.json {clip(part, 60)}",
                name=clip(f"{library}.{value[1]}"),
            )
        elif library not in LIBRARIES:
            inside = posixpath.join(here, part)
            if folder.module(inside, library):
                code.module(inside, library, f"model_index.json {clip(part, 60)}")
            elif folder.module(here, library):
                code.module(here, library, f"model_index.json {clip(part, 60)}")
            else:
                sink.fact(
                    "repo.dotted",
                    None,
                    file=clip(name),
                    trigger=f"model_index.json {clip(part, 60)}",
                    name=clip(f"{library}.{value[1]}"),
                )
    custom = document.get("custom_pipeline")
    if isinstance(custom, str) and custom and not code.folder.module(here, custom.removesuffix(".py")):
        sink.fact("repo.remote", None, file=clip(name), trigger="model_index.json custom_pipeline", reference=clip(custom))


def _sentence_transformers(name: str, folder: Folder, code: LoadPath, sink: Sink) -> None:
    document = folder.json(name)
    here = posixpath.dirname(name)
    for item in document if isinstance(document, list) else ():
        if not isinstance(item, dict):
            continue
        kind, path = item.get("type"), item.get("path")
        if isinstance(path, str) and outside(path):
            sink.fact("repo.outside", None, file=clip(name), trigger="modules.json path", reference=clip(path), how=outside(path))
        if not isinstance(kind, str) or kind.startswith(("sentence_transformers.", "transformers.")):
            continue
        remote = _REMOTE.match(kind)
        module = (remote[2] if remote else kind).rpartition(".")[0]
        if remote:
            sink.fact("repo.remote", None, file=clip(name), trigger="modules.json type", reference=clip(kind))
        elif folder.module(here, module) is not None:
            code.module(here, module, "modules.json type")
        else:
            sink.fact("repo.dotted", None, file=clip(name), trigger="modules.json type", name=clip(kind))


def _index(name: str, folder: Folder, sink: Sink) -> None:
    document = folder.json(name)
    weights = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(weights, dict):
        return
    here = posixpath.dirname(name)
    missing = 0
    for shard in dict.fromkeys(v for v in weights.values() if isinstance(v, str)):
        how = outside(shard)
        if how:
            sink.fact("repo.outside", None, file=clip(name), trigger="weight_map", reference=clip(shard), how=how)
        elif folder.resolve(here, shard) not in folder.names:
            missing += 1
            if missing <= 5:
                sink.fact(
                    "repo.missing", None, file=clip(shard), trigger=clip(f"{posixpath.basename(name)} weight_map"), what="weights"
                )


def _mlflow(name: str, folder: Folder, code: LoadPath, sink: Sink) -> None:
    here = posixpath.dirname(name)
    values = {node.path: node.value for node in scan(folder.text(name)).nodes if node.value}
    loader = values.get("flavors.python_function.loader_module", "")
    paths = [
        v
        for p, v in values.items()
        if re.fullmatch(
            r"flavors\.[\w.-]+\.(?:code|model_code_path|data|model_path|python_model|pickled_model|saved_model"
            r"|artifacts\.[\w.-]+\.path)(?:\[\d+\]|\.path)?",
            p,
        )
        and v not in {"null", "~"}
    ]
    for path in paths:
        how = outside(path)
        # MLflow writes where the code of a model from code was; it loads the copy inside.
        if how and not (how == "absolute" and folder.resolve(here, posixpath.basename(path)) in folder.names):
            sink.fact("repo.outside", None, file=clip(name), trigger="MLmodel", reference=clip(path), how=how)
    script = values.get("flavors.python_function.model_code_path") or values.get("model_code_path", "")
    if script:
        local = folder.resolve(here, posixpath.basename(script.replace("\\", "/")))
        if local in folder.names:
            code.file(local, "MLmodel model_code_path")
    roots = [
        folder.resolve(here, values[k])
        for k in values
        if re.fullmatch(r"flavors\.[\w.-]+\.code(?:\[\d+\])?", k) and values[k] not in {"null", "~"}
    ]
    for root in roots:
        for other in sorted(folder.names):
            if other.startswith(f"{root}/") and other.endswith(".py"):
                code.file(other, "MLmodel code")
    foreign = bool(loader) and not loader.startswith("mlflow.")
    if foreign and not any(
        folder.module(root, loader) and code.module(root, loader, "MLmodel loader_module") for root in (*roots, here)
    ):
        sink.fact("repo.dotted", None, file=clip(name), trigger="MLmodel loader_module", name=clip(loader))


def _pickle_module(name: str, folder: Folder, code: LoadPath, sink: Sink) -> None:
    """MLflow imports the module that this file names and unpickles with it."""
    module = folder.text(name).strip()
    root = posixpath.dirname(posixpath.dirname(name))
    if (
        module
        and module.partition(".")[0] not in _PICKLERS
        and not (folder.module(root, module) and code.module(root, module, "pickle_module_info.txt"))
    ):
        sink.fact("repo.dotted", None, file=clip(name), trigger="pickle_module_info.txt", name=clip(module))


def _torchserve(name: str, folder: Folder, code: LoadPath, sink: Sink) -> None:
    document = folder.json(name)
    model = document.get("model") if isinstance(document, dict) else None
    here = posixpath.dirname(posixpath.dirname(name))
    members = model if isinstance(model, dict) else {}
    for key in ("handler", "modelFile"):
        value = members.get(key)
        if not isinstance(value, str) or not value or value in _HANDLERS:
            continue
        file = value.partition(":")[0]
        if outside(file):
            sink.fact(
                "repo.outside", None, file=clip(name), trigger=f"MANIFEST.json {key}", reference=clip(value), how=outside(file)
            )
        else:
            code.module(here, file.removesuffix(".py").replace("/", "."), f"MANIFEST.json {key}")


def _script(trigger: str, how: str) -> Reader:
    def reader(name: str, folder: Folder, code: LoadPath, sink: Sink) -> None:  # noqa: ARG001 - the shape of a reader
        # Within a package it is a module like any other.
        if how != "deploy" or posixpath.join(posixpath.dirname(name), "__init__.py") not in folder.names:
            code.file(name, trigger, how=how)

    return reader


def _spacy(name: str, folder: Folder, code: LoadPath, sink: Sink) -> None:  # noqa: ARG001 - the shape of a reader
    text = folder.text(name)
    here = posixpath.dirname(name)
    if "[nlp]" not in text or "@" not in text:
        return
    for other in sorted(folder.names):
        if posixpath.dirname(other) == here and other.endswith(".py") and posixpath.basename(other) != "setup.py":
            code.file(other, "spaCy pipeline code")


def _triton(name: str, folder: Folder, code: LoadPath, sink: Sink) -> None:  # noqa: ARG001 - the shape of a reader
    if re.search(r"backend\s*:\s*\"python\"", folder.text(name)):
        here = posixpath.dirname(name)
        for other in sorted(folder.names):
            if re.fullmatch(rf"{re.escape(here + '/' if here else '')}\d+/model\.py", other):
                code.file(other, "Triton python backend", how="deploy")


def _cog(name: str, folder: Folder, code: LoadPath, sink: Sink) -> None:  # noqa: ARG001 - the shape of a reader
    match = re.search(r"^\s*(?:predict|train|service)\s*:\s*[\"']?([\w./-]+?)(?:\.py)?:\w+", folder.text(name), re.MULTILINE)
    if match:
        code.module(posixpath.dirname(name), match[1].replace("/", "."), f"{posixpath.basename(name)}", how="deploy")


def _generate(name: str, folder: Folder, code: LoadPath, sink: Sink) -> None:  # noqa: ARG001 - the shape of a reader
    if posixpath.dirname(name).rpartition("/")[2] == "custom_generate":
        code.file(name, "custom_generate")


_BY_NAME: dict[str, tuple[str, Reader]] = {
    **dict.fromkeys(("config.json", "adapter_config.json"), ("transformers", _transformers)),
    **dict.fromkeys(
        (
            "tokenizer_config.json",
            "processor_config.json",
            "preprocessor_config.json",
            "generation_config.json",
            "image_processor_config.json",
            "video_preprocessor_config.json",
            "feature_extractor_config.json",
        ),
        ("transformers", _transformers),
    ),
    "model_index.json": ("diffusers", _diffusers),
    "modules.json": ("sentence-transformers", _sentence_transformers),
    "MLmodel": ("mlflow", _mlflow),
    "MANIFEST.json": ("torchserve", _torchserve),
    "pickle_module_info.txt": ("mlflow", _pickle_module),
    "config.cfg": ("spacy", _spacy),
    "config.pbtxt": ("triton", _triton),
    "cog.yaml": ("cog", _cog),
    "bentofile.yaml": ("bentoml", _cog),
    "hubconf.py": ("torch-hub", _script("torch.hub.load", "load")),
    "handler.py": ("endpoint", _script("inference endpoint handler", "deploy")),
    "generate.py": ("", _generate),
    "pipeline.py": ("", _script("custom pipeline", "deploy")),
    "inference.py": ("", _script("SageMaker inference script", "deploy")),
    "score.py": ("", _script("scoring script", "deploy")),
    "setup.py": ("", _script("pip install", "install")),
}
