"""JSON documents: type tags, targets, remote code and commands."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence

from stannary.checks.static.judges.addresses import doubtful_address
from stannary.checks.static.judges.commands import command_hit
from stannary.checks.static.judges.danger import Danger, danger_of
from stannary.checks.static.judges.word_sets import contains_any, words
from stannary.checks.static.knowledge import role
from stannary.checks.static.ruleset import Hit
from stannary.core.model import Severity
from stannary.formats.interface import Fact

__all__ = ["judge", "target_hit"]

_CALLS = frozenset({"py/reduce", "py/function", "py/repr", "__reduce__", "__reduce_ex__", "__callable__", "__import__"})
_NAMES = frozenset(
    {"py/object", "py/type", "py/class", "py/newobj", "py/module", "__class__", "__pyclass__", "__type__", "py_object"}
)
_SPARK = (
    "org.apache.spark.", "pyspark.", "com.johnsnowlabs.", "sparknlp.", "ml.dmlc.xgboost4j.", "xgboost.spark.", "com.microsoft.",
    "synapse.ml.", "ai.h2o.", "com.databricks.", "org.apache.systemml.", "com.linkedin.", "io.github.",
)  # fmt: skip
_JAVA = ("java.", "javax.", "sun.", "com.sun.", "jdk.", "scala.sys.", "groovy.", "org.codehaus.groovy.", "bsh.")
_IN_MESSAGE = re.compile(r"\b(?:additional_kwargs|response_metadata|usage_metadata|metadata|content|tool_calls|artifact)\b")
_CODE_KEYS = frozenset(
    {
        "auto_map",
        "architectures",
        "_target_",
        "py/object",
        "py/reduce",
        "chat_template",
        "weight_map",
        "custom_pipelines",
        "trust_remote_code",
        "model_type",
        "_class_name",
        "__metadata__",
    }
)
# A server of one's own, which need not have TLS.
_INSIDE = re.compile(
    r"https?://(?:[\w-]+|[\w.-]+\.(?:local|internal|lan|svc|cluster\.local)|(?:10|127|0|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2,3}|\[::1\])(?=[:/]|$)",
    re.IGNORECASE,
)


def judge(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Judge the facts of one file's JSON."""
    tags = {str(f.data["tag"]) for f in facts if f.kind == "json.object"}
    for fact in facts:
        match fact.kind:
            case "json.object":
                yield from _object(fact, tags)
            case "json.target":
                yield from target_hit(fact, "JSN003")
            case "json.constructor" | "json.spark_class":
                yield from (_constructor if fact.kind == "json.constructor" else _spark)(fact)
            case "json.type":
                if str(fact.data["name"]) in words("langchain_types"):
                    yield Hit("JSN005", fact)
            case "json.remote_code":
                yield from _remote(fact)
            case "json.module_type":
                name = str(fact.data["name"])
                level = danger_of(name)
                if not name.startswith(("sentence_transformers.", "transformers.")):
                    yield Hit("JSN009", fact, None, None, _module_type(level, name, own=bool(fact.data["own"])))
            case "json.command":
                yield from command_hit(
                    fact, str(fact.data["command"]), "JSN007", executed=fact.data["key"] in {"preinstall", "postinstall", "install"}
                )
            case "json.duplicate_key":
                yield Hit("JSN008", fact, None, None, "medium" if fact.data["key"] in _CODE_KEYS else "info")


def target_hit(fact: Fact, rule: str) -> Iterator[Hit]:
    """Yield a finding for a dotted name that a framework imports and calls, by how dangerous the name is."""
    name = str(fact.data["name"])
    key = str(fact.data["key"])
    level = danger_of(name)
    # `target:` and `class:` are ordinary words; only a name that is code makes them a target.
    certain = key.strip("_") in {"target", "class_path", "import_path", "partial_target"} or key == "()"
    args = fact.data.get("args")
    handed = [a for a in (args.values() if isinstance(args, dict) else ()) if "." in str(a) and danger_of(str(a)) == "dangerous"]
    if level == "dangerous":
        yield Hit(rule, fact, None, None, "critical" if certain or key == "component" else "high")
    elif handed and certain:
        yield Hit(rule, fact, f"{name} is given {str(handed[0])[:120]}", None, "high")
    elif level == "loads":
        yield Hit(rule, fact, None, None, "medium")
    elif level == "unknown" and key.startswith("quanti"):  # a class of the publisher's own, not read here
        yield Hit(rule, fact, None, None, "low")
    elif level == "unknown" and key in {"_target_", "__target__"}:
        yield Hit(rule, fact, None, None, "info")
    elif level == "unknown" and key == "component" and isinstance(args, dict) and not args.get("own"):
        yield Hit("JSN012", fact)


def _module_type(level: Danger, name: str, *, own: bool) -> Severity:
    """Judge a module of sentence-transformers that is not the library's: what is not beside it is imported from elsewhere."""
    if level == "dangerous":
        return "critical"
    return "medium" if "--" in name or (level == "unknown" and not own) else "low"


def _object(fact: Fact, tags: set[str]) -> Iterator[Hit]:
    tag, name = str(fact.data["tag"]), str(fact.data["name"])
    if tag in {"__proto__", "__js_function", "_$$ND_FUNC$$_"}:
        yield Hit("JSN002", fact, f"{fact.data['path']}: {tag} {name[:80]}", None, "medium" if tag == "__proto__" else None)
        return
    if tag in {"$type", "@class", "javaClass", "@type", "[]"}:
        gadget = contains_any(name, "foreign_gadgets")
        if gadget:
            yield Hit("JSN002", fact)
        return
    if tag == "py/repr":
        yield Hit("JSN001", fact, f"py/repr evaluates {name[:80]!r}", None, "high")
        return
    if tag in {"py/mod", "py/module"}:
        if name and danger_of(f"{name}.x") in {"dangerous", "unknown"}:
            yield Hit("JSN001", fact, f"imports {name[:80]}", None, "medium")
        return
    level = danger_of(name) if name else "known"
    if tag in _CALLS | _NAMES and level == "dangerous":
        yield Hit("JSN001", fact, None, None, "critical" if tag in _CALLS or tags & _CALLS else "high")
    elif tag in {"py/function", "py/type"} and "py/reduce" in tags and name and _is_call(tag, name):
        yield Hit("JSN001", fact, f"calls {name[:80]}, which nothing writes that keeps an object", None, "medium")
    elif tag in {"py/reduce", "__reduce__", "__reduce_ex__"} and level in {"unknown", "loads"} and name:
        yield Hit("JSN001", fact, None, None, "medium")
    elif tag == "py/object" and level in {"unknown", "loads"} and name:
        yield Hit("JSN001", fact, None, None, "low")


def _is_call(tag: str, name: str) -> bool:
    """Tell whether a name beside `py/reduce` is called for what it does: no class, and nothing that puts an object together."""
    module, _, last = name.rpartition(".")
    made = role(module, last) not in {"", "f"}
    return not made and (tag == "py/function" or module.partition(".")[0] in sys.stdlib_module_names)


def _constructor(fact: Fact) -> Iterator[Hit]:
    name, kind = str(fact.data["name"]), str(fact.data["type"])
    if kind == "secret":
        # CVE-2025-68664: in what a user or a model wrote it is read from the environment into a message.
        told = _IN_MESSAGE.search(str(fact.data["path"])) is not None
        yield Hit("JSN005", fact, f"reads the secret {name} from the environment", None, "medium" if told else "info")
        return
    sent = str(fact.data.get("sends") or "")
    if doubtful_address(sent) and not _INSIDE.match(sent):
        yield Hit("JSN013", fact)
    if contains_any(name, "langchain_tools") or danger_of(name) == "dangerous":
        yield Hit("JSN005", fact, None, None, "high")
    elif not name.startswith("langchain"):
        yield Hit("JSN005", fact, None, None, "medium")


def _spark(fact: Fact) -> Iterator[Hit]:
    """Judge the class of a stage: the JVM looks it up by name and calls its `read`, PySpark imports its module."""
    name = str(fact.data["name"])
    if name.startswith(_SPARK):
        return
    if name.startswith(_JAVA) or contains_any(name, "foreign_gadgets") or danger_of(name) == "dangerous":
        yield Hit("JSN003", fact, f"Spark loads {name[:120]}", None, "high")
    else:
        yield Hit("JSN003", fact, f"Spark loads {name[:120]}, a class nobody knows", None, "low")


def _remote(fact: Fact) -> Iterator[Hit]:
    key, value = str(fact.data["key"]), str(fact.data["value"])
    severity: Severity = "info"
    if key == "trust_remote_code":
        # The publisher consents for whoever loads it; in these sentence-transformers passed it on until 2.3.
        severity = "medium" if str(fact.data["path"]) in {"model_args", "config_args", "tokenizer_args"} else "low"
    elif key in {"auto_map", "custom_pipelines"}:
        severity = "medium" if "--" in value else "low"
        if "/" in value.partition("--")[2] or ".." in value or value.startswith(("/", "\\", "~")) or "://" in value:
            severity = "high"
    elif key in {"custom_pipeline", "custom_generate"}:  # code of another repository, or of an address
        severity = "high" if "://" in value else "medium" if "/" in value.strip("./") else "low"
    elif key == "auto_mapping":
        if fact.data["entry"] != "parent_library" or value == "transformers" or value.startswith("transformers."):
            return
        severity = (
            "critical"
            if danger_of(f"{value}.x") == "dangerous"
            else "medium"
            if value.partition(".")[0] not in words("known_packages")
            else "info"
        )
    elif key.endswith(("_implementation", "_implementation_internal")):
        # CVE-2026-4372: a kernel of another repository, fetched and run without anybody's consent.
        if "/" not in value:
            return
        severity = "high" if key.startswith("_") else "medium"
    elif key == "handler" and value != "True":
        return
    yield Hit("JSN004", fact, None, None, severity)
