"""YAML, TOML and INI: tags that construct objects, targets, flavors, registered functions, commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from stannary.checks.static.judges.addresses import doubtful_address
from stannary.checks.static.judges.commands import command_hit
from stannary.checks.static.judges.danger import danger_of
from stannary.checks.static.judges.json_config import target_hit
from stannary.checks.static.judges.python_outside import environment
from stannary.checks.static.judges.shell import classify
from stannary.checks.static.judges.word_sets import contains_any, words
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
_COVERAGE_PLUGINS = frozenset({"covdefaults", "Cython", "django_coverage_plugin", "coverage_conditional_plugin", "coverage_pth"})
_OTHERS = ("ruby/", "perl/", "php/", "java/", "javax.", "com.sun.", "org.springframework", "!ruby", "js/function")
_BUILDERS = frozenset({"new", "apply", "name", "module"})
_BOMB = 200_000
_HOST = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/@]*@)?([^/?#]*)", re.IGNORECASE)
# Addresses of one's own network, and what is only short or cheap.
_COMMON = re.compile(
    r"\.(?:xyz|top|tk)(?::\d+)?$|^(?:bit\.ly|t\.co|is\.gd|tinyurl\.com)|^(?:127|10|0)\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|169\.254\.|(?:100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)"
)
_ANYBODYS = re.compile(r"file:(?://)?/(?:tmp|var/tmp|dev/shm)(?:/|$)")
_LEFT = re.compile(r"^(?:/|(?:\.\./)+)(?:tmp|var/tmp|dev/shm)/[^\s:]*\.(?:py|so|pyz|zip|whl|sh|js|dll|jar)$")
_MOUNTED = re.compile(r"/(?:etc|root|home|var/run/docker\.sock)?:/")  # a volume that is the machine's own


def judge(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Judge the facts of one configuration file."""
    for fact in facts:
        found = _BY_KIND.get(fact.kind)
        if found is not None:
            yield from found(fact)


def _aliases(fact: Fact) -> Iterator[Hit]:
    if fact.data["expanded"] > _BOMB:
        yield Hit("YML006", fact)


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
    elif tag in _BUILDERS and name:
        yield from _built(fact, tag, name)
    elif tag in {"function", "!function"}:  # lm-eval's: imports the module, takes the function
        yield from _function(fact)
    elif tag.lstrip("!") in {"include", "inc", "import", "include_dir", "file", "load"}:
        given = fact.data["args"]
        path = name or (str(given[0]) if isinstance(given, list) and given else "")
        if path.startswith(("/", "\\", "~")) or ".." in path.replace("\\", "/").split("/") or "://" in path:
            yield Hit("CFG006", fact, f"{tag} {path[:120]}")
    elif tag.startswith(_OTHERS) or contains_any(f"{tag}:{name}", "foreign_gadgets"):
        yield Hit("YML002", fact)


def _built(fact: Fact, tag: str, name: str) -> Iterator[Hit]:
    """Tags of HyperPyYAML (SpeechBrain): `!new:` and `!apply:` call what they name, `!name:` keeps it with arguments."""
    level = danger_of(f"{name}.x" if tag == "module" else name)
    if level == "dangerous":
        yield Hit("YML001", fact, f"!{tag}:{name}", None, "high" if tag in {"name", "module"} else "critical")
    elif level == "loads" and tag != "name":
        yield Hit("YML001", fact, f"!{tag}:{name} fetches or unpickles", None, "medium")


def _function(fact: Fact) -> Iterator[Hit]:
    given = fact.data["args"]
    name = str(given[0]) if isinstance(given, list) and given else ""
    level = danger_of(name) if name else "known"
    if level == "dangerous":
        yield Hit("YML001", fact, f"!function {name}", None, "critical")
    elif level != "known" and not fact.data["own"]:
        yield Hit("YML001", fact, f"!function {name}, of a module that is not beside the document", None, "low")


def _value(fact: Fact) -> Iterator[Hit]:
    """What a setting is, whatever it is for: a file of credentials, another machine, a function that runs things."""
    kind, value, key = str(fact.data["kind"]), str(fact.data["value"]), str(fact.data["key"])
    if kind == "place":
        place = _place(value)
        if place:
            yield Hit("CFG006", fact, f"{key}: {value[:120]} ({place})")
        elif _LEFT.search(value):
            yield Hit("CFG006", fact, f"{key}: {value[:120]}, code in a folder that anybody can write to")
        elif value.startswith("\\\\") or _MOUNTED.match(value):
            yield Hit("CFG006", fact, f"{key}: {value[:120]}")
    elif key == "searchpath" and _ANYBODYS.match(value):  # Hydra's: configurations, and what they instantiate, come from there
        yield Hit("CFG006", fact, f"{key}: {value[:120]}, a folder that anybody can write to")
    elif (
        kind == "address"
        and (host := _HOST.match(value))
        and doubtful_address(f"https://{host[1]}")
        and not _COMMON.search(host[1])
    ):
        yield Hit("CFG006", fact, f"{key}: {value[:120]}, an address that no model needs")
    elif kind == "environment":
        if set_to := environment("os.environ.__setitem__", [key, value], {}):
            yield Hit("CFG006", fact, f"{set_to[:160]}: every program that is started with it loads that")
    elif kind == "search":
        yield Hit("CFG006", fact, f"{key}: modules are looked for in {value[:120]}", None, "low")
    elif kind == "name" and (value in words("python_process") or value in words("dangerous_names")):
        yield Hit("CFG006", fact, f"{key}: {value}, which runs programs or code")


def _place(value: str) -> str:
    """Return the file of start-up or credentials that a path leads to, as whole words: `token` is no `tokenizer.json`."""
    for place in sorted(words("startup_paths") | words("secret_paths")):
        at = value.find(place)
        if at >= 0 and not (place[-1].isalpha() and value[at + len(place) : at + len(place) + 1].isalpha()):
            return place
    return ""


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
    elif key == "absent-backend":
        yield Hit("CFG004", fact, f"builds with {value or 'a module'}, which is not here", None, "low")
    elif classify(value).kind not in {"tool", "other"}:
        yield from command_hit(fact, value, "CFG003")


def _plugin(fact: Fact) -> Iterator[Hit]:
    name = str(fact.data["name"])
    if danger_of(f"{name}.x") == "dangerous":
        yield Hit("CFG002", fact, f"tests import {name}", None, "high")
    elif not fact.data["own"] and name.partition(".")[0] not in _COVERAGE_PLUGINS:
        yield Hit("CFG002", fact, f"tests import {name}, which is not here", None, "low")


_BY_KIND: dict[str, Callable[[Fact], Iterator[Hit]]] = {
    "yaml.tag": _tag,
    "yaml.target": lambda fact: target_hit(fact, "YML003"),
    "config.target": lambda fact: target_hit(fact, "CFG002"),
    "yaml.flavor": _flavor,
    "yaml.command": lambda fact: command_hit(fact, str(fact.data["command"]), "YML005"),
    "config.command": lambda fact: command_hit(fact, str(fact.data["command"]), "CFG003", executed=False),
    "yaml.aliases": _aliases,
    "config.registered": _registered,
    "config.build": _build,
    "config.plugin": _plugin,
    "config.value": _value,
}
