"""YAML text: tags that construct objects, targets and commands, and the files of MLflow, DVC and conda.

Facts (`path` is the place in the document, `a.b[3]`; `line` counts from 1):
`yaml.document`: keys (of the top level, at most 60), documents, size, name (of the file).
`yaml.tag`: a tag that is not one of YAML's own. Fields: tag, name (behind its first colon), args, path, line,
    own (the module of the function that it is given is beside the document).
`yaml.target`: a dotted name that a configuration framework imports and calls. Fields: key, name, args, path, line.
`yaml.command`: a command line that a tool runs. Fields: key, command, path, line.
`yaml.flavor`: an MLflow model flavor. Fields: flavor, loader_module, code, model_code_path, python_model, data, path.
`yaml.remote_code`: trust_remote_code and the like. Fields: key, value, path, line.
`yaml.opened`: a place outside of the folder in an `MLmodel`. Fields: key, value, how, path, line.
`yaml.aliases`: aliases and how many nodes they expand to. Fields: aliases, expanded.
`yaml.python`: Python code as a value (block scalar with import or def). Fields: path, line; the code is read as Python.
"""

from __future__ import annotations

import re

from stannary.core.errors import FormatError
from stannary.formats.embedded_text import hand_on, opens_encoded
from stannary.formats.inline_code import hand_on_inline, note_evaluated
from stannary.formats.inline_expressions import Expressions
from stannary.formats.interface import Sink, View, clip
from stannary.formats.setting_values import LARGEST, note_setting, outside
from stannary.formats.yaml_scan import Node, Scanned, scan

__all__ = ["CORE_TAGS", "read"]

CORE_TAGS = frozenset(
    ["str", "int", "float", "bool", "null", "map", "seq", "set", "omap", "pairs", "binary", "timestamp", "merge", "value", "!"]
)
_LIMIT = 4 << 20
_TARGETS = frozenset(
    {
        "_target_",
        "__target__",
        "target",
        "class_path",
        "callable",
        "import_path",
        "entry_point",
        "_target",
        "obj",
        "factory",
        "()",
        "func",
        "function",
        "class",
        "type",
        "cls",
        "loader_module",
    }
)
_ALWAYS = frozenset({"_target_", "__target__", "_target", "class_path", "import_path", "()"})
_COMMANDS = frozenset(
    [
        "command",
        "cmd",
        "entrypoint",
        "run",
        "script",
        "before_script",
        "after_script",
        "pre_script",
        "post_script",
        "postCreateCommand",
        "preinstall",
        "postinstall",
        "shell",
        "exec",
        "install",
        "build",
        "before_install",
        "setup_commands",
        "entry",
        "setup",
    ]
)
# Where BentoML, Cog, docker-compose and others have packages come from.
_INDEXES = {
    "index_url": "--index-url", "extra_index_url": "--extra-index-url", "find_links": "--find-links",
    "trusted_host": "--trusted-host", "PIP_INDEX_URL": "--index-url", "PIP_EXTRA_INDEX_URL": "--extra-index-url",
    "UV_INDEX_URL": "--index-url",
}  # fmt: skip
_REMOTE = frozenset({"trust_remote_code", "trust-remote-code", "custom_pipeline", "auto_map", "remote_code"})
_FLAVOR = re.compile(
    r"^flavors\.([\w.-]+?)\.(loader_module|code|model_code_path|python_model|data|env|cloudpickle_version|model_class)(?:\.path)?$"
)
# What MLflow opens below the folder of a model.
_PLACES = frozenset({
    "model_path", "pickled_model", "python_model", "code", "data", "env", "conda", "virtualenv", "model_data", "path",
    "model_code_path", "model_class", "model_file", "state_dict_path", "saved_model_dir", "keras_model", "xgb_model",
})  # fmt: skip
_LISTED = re.compile(
    r"(?:^|\.)(?:plugins|callbacks|hooks|pipeline|components|transforms|custom_imports\.imports)\[\d+\](?:\.name)?$"
)
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:[.:][A-Za-z_]\w*)+")
_TAG_WORD = re.compile(r"(?:!!|!<tag:yaml\.org,2002:|!)((?:python|ruby|java|perl|php|object)[/:][^\s\"',\]}>]{1,200})")
_JINJA = re.compile(r"\{%|\{\{")
_PYTHON = re.compile(r"^(?:import |from \w[\w.]* import |def \w+\(|exec\(|eval\(|__import__\()", re.MULTILINE)
_LONG = 40
_SHORTEST = 24  # characters of an encoded pickle that calls something
_EXPANSION = 10_000


def read(view: View, sink: Sink) -> None:
    """Read a YAML stream. Raises BudgetExceeded when it is larger than can be scanned."""
    base = view.name.replace("\\", "/").rsplit("/", 1)[-1]
    if len(view) > _LIMIT:
        _words(bytes(view.data[: 32 << 20]).decode("utf-8", "replace"), sink)
        sink.incomplete(f"YAML of {len(view)} bytes was only searched for tags")
        return
    text = view.text(_LIMIT)
    try:
        found = scan(text)
    except RecursionError as exc:
        _words(text, sink)
        msg = "YAML nested too deeply to be read"
        raise FormatError(msg) from exc
    sink.fact(
        "yaml.document",
        None,
        keys=[clip(k, 60) for k in found.keys[:60]],
        documents=found.documents,
        size=len(view),
        name=clip(base),
    )
    if found.expanded > _EXPANSION and found.aliases:
        sink.fact("yaml.aliases", None, aliases=found.aliases, expanded=found.expanded)
    if found.irregular:
        _words(text, sink)
    _nodes(found, sink, base)
    if len(view) <= LARGEST:
        told: set[str] = set()
        expressions = Expressions(sink)
        for node in found.nodes:
            if node.value:
                expressions.note(node.value)
                note_setting(sink, node.path, node.key, node.value, told)
        expressions.hand_on()
    _flavors(found, sink)


def _nodes(found: Scanned, sink: Sink, base: str) -> None:
    nodes = found.nodes
    if base.lower() == "mlmodel":
        for node in nodes:
            if node.key in _PLACES and node.value and (how := outside(node.value)):
                sink.fact("yaml.opened", None, key=node.key, value=clip(node.value), how=how, path=clip(node.path), line=node.line)
    for index, node in enumerate(nodes):
        if node.tag and node.tag not in CORE_TAGS:
            tag, _, name = node.tag.partition(":")
            sink.fact(
                "yaml.tag",
                None,
                tag=clip(tag),
                name=clip(name),
                args=_arguments(nodes, index),
                path=clip(node.path),
                line=node.line,
                own=_is_beside(nodes, index, sink),
            )
        if node.value is not None:
            _value(nodes, index, sink)


def _is_beside(nodes: list[Node], index: int, sink: Sink) -> bool:
    """Tell whether the module of a function that a tag is given is a file or folder beside the document."""
    given = _arguments(nodes, index)
    module = given[0].rpartition(".")[0] if given else ""
    root = module.partition(".")[0]
    return not sink.siblings.isdisjoint({root, f"{root}.py"})


def _value(nodes: list[Node], index: int, sink: Sink) -> None:
    node = nodes[index]
    value = node.value or ""
    if node.key in _TARGETS and _DOTTED.fullmatch(value) and (node.key in _ALWAYS or value.count(".") + value.count(":") >= 1):
        args = _siblings(nodes, index)
        sink.fact("yaml.target", None, key=node.key, name=clip(value), args=args, path=clip(node.path), line=node.line)
    elif _LISTED.search(node.path) and _DOTTED.fullmatch(value):
        sink.fact("yaml.target", None, key="name", name=clip(value), args={}, path=clip(node.path), line=node.line)
    elif node.key in _REMOTE and value and value.lower() not in {"false", "null", "none", "no"}:
        sink.fact("yaml.remote_code", None, key=node.key, value=clip(value), path=clip(node.path), line=node.line)
    elif node.key in _COMMANDS and value:
        sink.fact("yaml.command", None, key=node.key, command=clip(value, 4000), path=clip(node.path), line=node.line)
        hand_on_inline(sink, node.path, value)
    elif node.key in _INDEXES and value:
        sink.fact("requirements.option", None, option=_INDEXES[node.key], value=clip(value), line=node.line)
    note_evaluated(sink, node.path, value)
    if node.key in {"chat_template", "prompt_template", "template"} and _JINJA.search(value):
        sink.child(f"{clip(node.path, 80)}.jinja", value.encode("utf-8", "surrogatepass"), hint="jinja")
    elif "\n" in value and node.key not in _COMMANDS and _PYTHON.search(value):
        sink.fact("yaml.python", None, path=clip(node.path), line=node.line)
        sink.child(f"{clip(node.path, 80)}.py", value.encode("utf-8", "surrogatepass"), hint="python")
    elif (len(value) >= _LONG and " " not in value.strip()) or (len(value) >= _SHORTEST and opens_encoded(value)):
        hand_on(sink, clip(node.path, 80), value)


def _arguments(nodes: list[Node], index: int) -> list[str]:
    """Return the scalars below a tagged node: what its constructor is given."""
    node = nodes[index]
    found = [clip(node.value)] if node.value else []
    for other in nodes[index + 1 : index + 13]:
        if not other.path.startswith(node.path) or other.path == node.path:
            break
        if other.value is not None:
            found.append(clip(other.value))
    return found[:8]


def _siblings(nodes: list[Node], index: int) -> dict[str, str]:
    """Return the scalar values beside a target: its keyword arguments."""
    parent = nodes[index].path.rpartition(".")[0]
    found: dict[str, str] = {}
    for other in nodes[max(0, index - 12) : index + 13]:
        if other.value is not None and other.path != nodes[index].path and other.path.startswith(parent):
            name = other.path[len(parent) :].lstrip(".")
            found[clip(name, 60)] = clip(other.value)
    return dict(list(found.items())[:12])


def _flavors(found: Scanned, sink: Sink) -> None:
    """Report MLflow flavors (`MLmodel`: mlflow.models.Model, storage format)."""
    flavors: dict[str, dict[str, str]] = {}
    for node in found.nodes:
        match = _FLAVOR.match(node.path)
        if match and node.value:
            flavors.setdefault(match[1], {}).setdefault(match[2], clip(node.value))
    for name, fields in list(flavors.items())[:40]:
        known = {
            key: fields.get(key) for key in ("loader_module", "code", "model_code_path", "python_model", "data", "model_class")
        }
        sink.fact("yaml.flavor", None, flavor=clip(name), path=f"flavors.{clip(name)}", **known)


def _words(text: str, sink: Sink) -> None:
    """Find tags in text that could not be scanned to its end."""
    for count, match in enumerate(_TAG_WORD.finditer(text)):
        if count >= 1000:
            return
        tag, _, name = match[1].partition(":")
        sink.fact(
            "yaml.tag",
            None,
            tag=clip(tag),
            name=clip(name),
            args=[],
            path="",
            line=text.count("\n", 0, match.start()) + 1,
            own=False,
        )
