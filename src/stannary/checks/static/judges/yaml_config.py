"""YAML, TOML and INI: tags that construct objects, targets, flavors, registered functions, commands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stannary.checks.static.judges.commands import command_hit
from stannary.checks.static.judges.danger import danger_of
from stannary.checks.static.judges.json_config import target_hit
from stannary.checks.static.judges.shell import classify
from stannary.checks.static.ruleset import Hit
from stannary.formats.interface import Fact

__all__ = ["judge"]

_CALLS = ("python/object/apply", "python/object/new", "python/object/init")
_DATA = frozenset(
    {
        "python/none",
        "python/bool",
        "python/bytes",
        "python/str",
        "python/unicode",
        "python/int",
        "python/long",
        "python/float",
        "python/complex",
        "python/list",
        "python/tuple",
        "python/dict",
        "python/set",
        "python/frozenset",
    }
)
_CALLBACKS = re.compile(r"(?:before|after)_(?:creation|pipeline_creation|init|to_disk|update)|^callbacks$")
_SPACY = (
    "spacy",
    "thinc",
    "confection",
    "catalogue",
    "explosion",
    "bert",
    "prodigy",
    "coreferee",
    "sense2vec",
    "scispacy",
    "medspacy",
)
_BOMB = 1_000_000


def judge(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Judge the facts of one configuration file."""
    for fact in facts:
        match fact.kind:
            case "yaml.tag":
                yield from _tag(fact)
            case "yaml.target":
                yield from target_hit(fact, "YML003")
            case "config.target":
                yield from target_hit(fact, "CFG002")
            case "yaml.flavor":
                yield from _flavor(fact)
            case "yaml.command":
                yield from command_hit(fact, str(fact.data["command"]), "YML005")
            case "config.command":
                yield from command_hit(fact, str(fact.data["command"]), "CFG003", executed=False)
            case "yaml.aliases":
                if fact.data["expanded"] > _BOMB:
                    yield Hit("YML006", fact)
            case "config.registered":
                yield from _registered(fact)
            case "config.build":
                yield from _build(fact)


def _tag(fact: Fact) -> Iterator[Hit]:
    tag, name = str(fact.data["tag"]), str(fact.data["name"])
    if tag in _DATA:
        return
    if tag.startswith("python/"):
        called = tag.startswith(_CALLS)
        level = danger_of(name) if name else "unknown"
        if tag == "python/module":
            yield Hit("YML001", fact, None, None, "high" if danger_of(f"{name}.x") == "dangerous" else "medium")
        elif level == "dangerous":
            yield Hit("YML001", fact, None, None, "critical" if called else "high")
        elif called:
            # Loaders that accept these tags call whatever is named; OmegaConf and old trainers write a few data classes so.
            yield Hit("YML001", fact, None, None, "info" if level == "known" else "high")
        else:
            yield Hit("YML001", fact, None, None, "info" if level == "known" else "medium" if tag != "python/name" else "low")
    elif tag in {"function", "!function"}:  # lm-eval's: imports the module, takes the function
        given = fact.data["args"]
        if isinstance(given, list) and given and danger_of(str(given[0])) == "dangerous":
            yield Hit("YML001", fact, f"!function {given[0]}", None, "critical")
    elif tag.startswith(("ruby/", "perl/", "php/", "java/", "javax.", "com.sun.", "org.springframework", "!ruby")):
        yield Hit("YML002", fact)


def _flavor(fact: Fact) -> Iterator[Hit]:
    loader = str(fact.data.get("loader_module") or "")
    if not loader or loader in {"null", "~"}:
        if fact.data.get("model_code_path"):
            yield Hit("YML004", fact, f"loading runs the script {fact.data['model_code_path']}", None, "low")
        return
    if loader.startswith("mlflow.") and danger_of(loader) != "dangerous":
        if fact.data.get("model_code_path"):
            yield Hit("YML004", fact, f"loading runs the script {fact.data['model_code_path']}", None, "low")
        return
    level = danger_of(loader) if "." in loader else danger_of(f"{loader}.x")
    yield Hit("YML004", fact, None, None, "critical" if level == "dangerous" else "low" if level == "known" else "medium")


def _registered(fact: Fact) -> Iterator[Hit]:
    registry, name, section = (str(fact.data[k]) for k in ("registry", "name", "section"))
    root = name.partition(".")[0].lower()
    if danger_of(name) == "dangerous":
        yield Hit("CFG001", fact, None, None, "high")
    elif registry == "callbacks" or _CALLBACKS.search(section.rpartition(".")[2]):
        if not root.startswith(_SPACY):
            yield Hit("CFG001", fact, None, None, "medium")
    elif not root.startswith(_SPACY) and not re.fullmatch(r"[\w-]+\.v\d+", name):
        yield Hit("CFG001", fact, None, None, "info")


def _build(fact: Fact) -> Iterator[Hit]:
    key, value = str(fact.data["key"]), str(fact.data["value"])
    if key == "backend-path":
        yield Hit("CFG004", fact)
    elif classify(value).kind not in {"tool", "other"}:
        yield from command_hit(fact, value, "CFG003")
