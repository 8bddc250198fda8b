"""The JSON keys that mean code, and the facts that come of them (see `json_text`)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from stannary.formats.diffusers_index import LIBRARIES, beside
from stannary.formats.inline_code import SOURCE_KEYS, hand_on_inline, note_source
from stannary.formats.interface import Sink, clip
from stannary.formats.requirements_text import parse_requirement
from stannary.formats.setting_values import outside

__all__ = ["KEYS", "Tags", "outside"]

_TYPE_TAGS = frozenset(
    [
        "py/object",
        "py/reduce",
        "py/type",
        "py/function",
        "py/module",
        "py/mod",
        "py/repr",
        "py/newobj",
        "py/newargs",
        "py/newargsex",
        "py/initargs",
        "py/state",
        "py/class",
        "py/bytes",
        "py/b64",
        "__reduce__",
        "__reduce_ex__",
        "__class__",
        "$type",
        "@class",
        "@type",
        "__proto__",
        "__js_function",
        "javaClass",
        "__type__",
        "__pyclass__",
        "__callable__",
        "py_object",
        "__import__",
    ]
)
_TARGETS = frozenset(
    {"_target_", "__target__", "class_path", "_partial_target_", "entry_point", "callable", "function_path", "import_path", "()"}
    # A name with a dot is none of a tokenizer, a processor or a measure that these keys are for.
    | {
        "type",
        "tokenizer_class",
        "processor_class",
        "image_processor_type",
        "feature_extractor_type",
        "similarity_fn_name",
        "_class_name",
        "quantizer",
        "quantizer_class",
        "quantization_class",
    }
)
_TEMPLATES = frozenset(
    {"chat_template", "default_chat_template", "prompt_template", "template", "tool_use_template", "jinja_template"}
)
_COMMANDS = frozenset(
    [
        "preinstall",
        "install",
        "postinstall",
        "prepare",
        "prepublish",
        "postCreateCommand",
        "postStartCommand",
        "postAttachCommand",
        "onCreateCommand",
        "updateContentCommand",
        "initializeCommand",
        "runOptions",
        "entrypoint",
        "ENTRYPOINT",
        "command",
        "cmd",
    ]
)
_REMOTE = frozenset(
    {
        "auto_map",
        "trust_remote_code",
        "custom_pipelines",
        "custom_pipeline",
        "custom_generate",
        "auto_mapping",
        "handler",
        "code_revision",
        "_attn_implementation_internal",
        "_attn_implementation",
        "attn_implementation",
        "_experts_implementation_internal",
        "experts_implementation",
    }
)
# What LangChain's loaders of chains, prompts and tools open besides the document itself.
_OPENED = frozenset(
    {"template_path", "prefix_path", "suffix_path", "prompt_path", "llm_path", "llm_chain_path", "examples", "example_prompt_path"}
)
_FUNCTION = "_$$ND_FUNC$$_"  # node-serialize calls what follows
_CLASS = re.compile(r"[a-z][\w$]*(?:\.[a-z_$][\w$]*)+\.[A-Z][\w$]*")  # of Java, as Jackson writes [class, fields]
# What ONNX Runtime, Triton and others load as native code.
_NATIVE = frozenset(
    {"custom_ops_library", "custom_op_library", "register_custom_ops_library", "op_library_filename", "plugin_library"}
)
_PADDLE = re.compile(r"(?:pd_op|cinn_op|custom_op|\d)\.((?:py_|pylayer|run_program|custom|exec|system|shell)\w*)")
_SHARED = re.compile(r"\.(?:so(?:\.\d+)*|dll|dylib)$", re.IGNORECASE)
_DIGEST = re.compile(r"[a-z0-9]{2,12}:[0-9a-f]{16,128}")
# The manifest of a TorchServe archive: what the server imports and opens.
_PACKAGED = frozenset({"handler", "serializedFile", "modelFile", "extraFiles", "requirementsFile"})
_PACKAGE = frozenset({"serializedFile", "modelFile", "modelName"})
KEYS = _TYPE_TAGS | _TARGETS | _TEMPLATES | _REMOTE | {"lc", "weight_map", "_type"}
_DOTTED = re.compile(r"[A-Za-z_][\w]*(?:[.:/][A-Za-z_]\w*)+")
_JINJA = re.compile(r"\{%|\{\{")


class Tags:
    """Turns members of objects into facts."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    def object(self, path: str, members: dict[str, Any], pairs: Sequence[tuple[str, Any]]) -> None:
        """Report what the members of one object mean. `pairs` has repeated keys."""
        for key, value in pairs:
            if key in _TYPE_TAGS and (key != "__proto__" or isinstance(value, list)):
                for name in _names(value):
                    self.sink.fact("json.object", None, tag=key, name=clip(name), path=clip(path))
            elif key in _TARGETS and isinstance(value, str) and _DOTTED.fullmatch(value):
                args = {
                    k: clip(str(v), 200) for k, v in members.items() if k not in _TARGETS and isinstance(v, (str, int, float, list))
                }
                self.sink.fact("json.target", None, key=key, name=clip(value), args=dict(list(args.items())[:12]), path=clip(path))
            elif key in _REMOTE:
                self._remote(key, value, path)
            elif key in _TEMPLATES:
                self._template(key, value, path)
            elif key in _COMMANDS:
                self._command(key, value, members, path)
            elif key == "requirements":
                self._requirements(value)
            elif key in {"weight_map", "weightsManifest"}:
                (self._shards if key == "weight_map" else self._groups)(value, path)
            elif key == "_type" and isinstance(value, str):
                self.sink.fact("json.type", None, name=clip(value), path=clip(path))
        self._named(path, members)
        self._opened(path, members, pairs)
        self._sources(path, members)
        ids = members.get("id") if "lc" in members else None
        # Numbers are words of a vocabulary, an object (here its pairs) codes of languages.
        if isinstance(ids, str) or (isinstance(ids, list) and any(isinstance(part, str) for part in ids)):
            name = ids if isinstance(ids, str) else ".".join(map(str, ids))
            self.sink.fact(
                "json.constructor",
                None,
                name=clip(name),
                type=clip(str(members.get("type"))),
                path=clip(path),
                sends=_sent(members.get("kwargs")),
            )

    def _named(self, path: str, members: dict[str, Any]) -> None:
        """Report a class that is named in two members, and an operator of a program of PaddlePaddle 3."""
        operator = members.get("#")
        if isinstance(operator, str) and (acts := _PADDLE.fullmatch(operator)):
            self.sink.fact("paddle.operator", None, op=acts[1], count=1)
        module, named = members.get("__module__"), members.get("__class__", members.get("__name__", members.get("__qualname__")))
        if isinstance(module, str) and isinstance(named, str) and _DOTTED.fullmatch(f"{module}.{named}"):
            self.sink.fact("json.object", None, tag="__class__", name=clip(f"{module}.{named}"), path=clip(path))
        # Fiddle's reference to a function: [("type", "pyref"), ("module", ...), ("name", ...)].
        module, named = members.get("module"), members.get("name")
        if members.get("type") == "pyref" and isinstance(module, str) and isinstance(named, str):
            self.sink.fact("json.target", None, key="import_path", name=clip(f"{module}.{named}"), args={}, path=clip(path))

    def _sources(self, path: str, members: dict[str, Any]) -> None:
        """Read the functions that flows and agents keep as text; a list of records is data."""
        for key, value in members.items():
            if isinstance(value, str) and value.startswith(_FUNCTION):
                self.sink.fact(
                    "json.object", None, tag=_FUNCTION, name=clip(value.removeprefix(_FUNCTION)), path=clip(f"{path}.{key}")
                )
        # Of Open WebUI: a function, a pipe or a tool with its whole source as `content`.
        plugin = (
            isinstance(members.get("content"), str)
            and {"id", "content"} <= members.keys()
            and bool({"meta", "specs"} & members.keys())
        )
        if plugin:
            note_source(self.sink, f"{path}.content".lstrip("."), members["content"])
        for index, value in enumerate(_texts(members.get("widgets_values"))):  # of ComfyUI: what a node's fields hold, source too
            note_source(self.sink, f"{path}.widgets_values.{index}".lstrip("."), value)
        for key in SOURCE_KEYS & members.keys() if not path.startswith("[") else ():
            if isinstance(members[key], str):
                note_source(self.sink, f"{path}.{key}".lstrip("."), members[key])

    def _opened(self, path: str, members: dict[str, Any], pairs: Sequence[tuple[str, Any]]) -> None:
        """Report the files outside of its folder that loading the object opens."""
        for key in _NATIVE & members.keys():
            if isinstance(members[key], str) and (
                how := outside(members[key]) or ("library" if _SHARED.search(members[key]) else "")
            ):
                self.sink.fact("json.opened", None, key=key, value=clip(members[key]), how=how, path=clip(path))
        digest = members.get("digest")
        if (
            isinstance(digest, str) and "mediaType" in members and not _DIGEST.fullmatch(digest)
        ):  # a registry's blob is a file of that name
            self.sink.fact("json.opened", None, key="digest", value=clip(digest), how="digest", path=clip(path))
        self._components(path, members)
        chain, packaged = "_type" in members, bool(_PACKAGE & members.keys())
        for key, value in pairs if chain or packaged else ():
            named = (chain and key in _OPENED) or (packaged and key in _PACKAGED)
            if named and isinstance(value, str) and outside(value):
                self.sink.fact("json.opened", None, key=key, value=clip(value), how=outside(value), path=clip(path))

    def _components(self, path: str, members: dict[str, Any]) -> None:
        """Report the classes of a diffusers pipeline, [library, class] under each name, and the parts of a Core ML package."""
        if not path and "_class_name" in members:
            pipeline = "Pipeline" in str(
                members["_class_name"]
            )  # else a model, whose blocks may be two: ["DownBlock2D", "DownBlock2D"]
            for key, value in members.items():
                if isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value):
                    if not pipeline and value[0][:1].isupper():
                        continue
                    if how := outside(value[0]):
                        self.sink.fact("json.opened", None, key=key, value=clip(value[0]), how=how, path=clip(key))
                    else:
                        # `own`: the repository brings the module, and it is read with the rest.
                        own = value[0] in LIBRARIES or beside(value[0], key, self.sink.siblings)
                        self.sink.fact(
                            "json.target", None, key="component", name=clip(".".join(value)), args={"own": own}, path=clip(key)
                        )
        if {"class", "paramMap"} <= members.keys() and isinstance(members["class"], str):  # Spark loads it by that name
            self.sink.fact("json.spark_class", None, name=clip(members["class"]), path=clip(path))
        parts = members.get("itemInfoEntries")
        for _, part in parts if isinstance(parts, list) else ():
            name = dict(part).get("path") if isinstance(part, list) and part and isinstance(part[0], tuple) else None
            if isinstance(name, str) and (how := outside(name)):
                self.sink.fact("json.opened", None, key="path", value=clip(name), how=how, path="itemInfoEntries")

    def array(self, path: str, items: list[Any]) -> None:
        """Report the classes of a sentence-transformers module list, and objects that Jackson writes as [class, fields]."""
        if len(items) == 2 and isinstance(items[0], str) and _CLASS.fullmatch(items[0]):
            self.sink.fact("json.object", None, tag="[]", name=clip(items[0]), path=clip(path))
        for item in items:
            members = dict(item) if isinstance(item, list) and item and isinstance(item[0], tuple) else None
            if members is None:
                return
            if isinstance(kind := members.get("type"), str) and {"idx", "path"} <= members.keys():
                root = kind.partition(".")[0]
                own = not self.sink.siblings.isdisjoint({root, f"{root}.py"})
                self.sink.fact("json.module_type", None, name=clip(kind), path=clip(path), own=own)
                if isinstance(members["path"], str) and (how := outside(members["path"])):
                    self.sink.fact("json.opened", None, key="path", value=clip(members["path"]), how=how, path=clip(path))

    def _remote(self, key: str, value: Any, path: str) -> None:  # noqa: ANN401 - any JSON value
        if key in {"trust_remote_code", "handler", "custom_pipeline", "custom_generate", "code_revision"}:
            if value is True or (isinstance(value, str) and value):
                self.sink.fact("json.remote_code", None, key=key, entry="", value=clip(str(value)), path=clip(path))
                if key == "handler" and (file := str(value).partition(":")[0]).endswith(".py"):
                    self.sink.fact("python.served", None, name=clip(file.replace("\\", "/").rpartition("/")[2]))
            return
        entries = (
            value
            if isinstance(value, list) and value and isinstance(value[0], tuple)
            else list(value.items())
            if isinstance(value, dict)
            else [("", value)]
        )
        for entry, item in entries[:200]:
            if key == "custom_pipelines" and isinstance(item, (list, dict)):
                item = dict(item).get("impl", "")  # noqa: PLW2901 - the class of a pipeline entry
            for reference in item if isinstance(item, list) else (item,):
                if isinstance(reference, str) and reference:
                    self.sink.fact(
                        "json.remote_code", None, key=key, entry=clip(str(entry), 80), value=clip(reference), path=clip(path)
                    )

    def _template(self, key: str, value: Any, path: str) -> None:  # noqa: ANN401 - any JSON value
        if isinstance(value, str):
            if _JINJA.search(value):
                self.sink.child(f"{clip(path, 80)}.{key}".lstrip("."), value.encode("utf-8", "surrogatepass"), hint="jinja")
            return
        # Several templates by name: [{"name": ..., "template": ...}], or an object of strings.
        if key == "chat_template" and isinstance(value, list):
            for item in value[:40]:
                members = dict([item] if isinstance(item, tuple) else item) if isinstance(item, (list, tuple, dict)) else {}
                for name, text in members.items():
                    if name != "template" and isinstance(text, str) and _JINJA.search(text):
                        self.sink.child(f"{key}.{clip(str(name), 60)}", text.encode("utf-8", "surrogatepass"), hint="jinja")

    def _command(self, key: str, value: Any, members: dict[str, Any], path: str) -> None:  # noqa: ANN401 - any JSON value
        if key in {"install", "prepare", "runOptions"} and "scripts" not in path:
            return
        words = (
            [str(v) for v in value if isinstance(v, str)] if isinstance(value, list) else [value] if isinstance(value, str) else []
        )
        args = members.get("args")
        if isinstance(args, list):
            words += [str(a) for a in args if isinstance(a, (str, int))]
        if words:
            self.sink.fact("json.command", None, key=key, command=clip(" ".join(words), 2000), path=clip(path))
            hand_on_inline(self.sink, key, " ".join(words) if isinstance(value, str) else shlex.join(words))

    def _requirements(self, items: Any) -> None:  # noqa: ANN401 - any JSON value
        """Report the packages of a spaCy pipeline's `meta.json` that come from an address."""
        for item in items[:200] if isinstance(items, list) else ():
            found = parse_requirement(item) if isinstance(item, str) else None
            if found and found.source in {"url", "vcs"}:
                self.sink.fact(
                    "requirements.entry", None, name=clip(found.name), raw=clip(item), specifier="", version=None,
                    source=found.source, url=clip(found.url), editable=False, hashes=0, line=None,
                )  # fmt: skip

    def _groups(self, groups: Any, path: str) -> None:  # noqa: ANN401 - any JSON value
        """Report the files of a model of TensorFlow.js that lie elsewhere."""
        for group in groups if isinstance(groups, list) else ():
            paths = dict(group).get("paths") if isinstance(group, list) and group and isinstance(group[0], tuple) else None
            if isinstance(paths, list):
                self._shards([("", item) for item in paths], path)

    def _shards(self, value: Any, path: str) -> None:  # noqa: ANN401 - any JSON value
        pairs = value if isinstance(value, list) and value and isinstance(value[0], tuple) else []
        for name in dict.fromkeys(item for _, item in pairs if isinstance(item, str)):
            how = outside(name)
            if how:
                self.sink.fact("json.shard", None, value=clip(name), how=how, path=clip(path))


def _texts(value: Any) -> list[str]:  # noqa: ANN401 - any JSON value
    """Return the texts of a list, or of an object's members."""
    items = [item[1] if isinstance(item, tuple) else item for item in value[:100]] if isinstance(value, list) else []
    return [item for item in items if isinstance(item, str)]


def _sent(given: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return the address among arguments that hold a secret as well: where the client sends it."""
    pairs = [pair for pair in given[:200] if isinstance(pair, tuple)] if isinstance(given, list) else []
    secret = any(
        isinstance(v, list) and ("type", "secret") in v and any(p[0] == "lc" for p in v if isinstance(p, tuple)) for _, v in pairs
    )
    addresses = [clip(v) for _, v in pairs if isinstance(v, str) and "://" in v]
    return addresses[0] if secret and addresses else ""


def _names(value: Any) -> list[str]:  # noqa: ANN401 - any JSON value
    """Return the names in the value of a type tag: a string, or the strings of a list and the tags in it."""
    if isinstance(value, str):
        return [value]
    found: list[str] = []
    if isinstance(value, list):
        for item in value[:20]:
            if isinstance(item, str):
                found.append(item)
            elif isinstance(item, tuple) and isinstance(item[1], str):
                found.append(item[1])
    return found or [""]
