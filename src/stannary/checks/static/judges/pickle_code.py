"""Functions and classes in a pickle, judged by what their code does.

The facts are those of source (`python_behaviour.py`), found in bytecode. Code that the loader runs by itself is judged
as code that runs on loading; a function that somebody has to call is judged by what it would do then. It is harmless
only when everything it names is known to be: a name that is not, an attribute whose name is computed, code that does
not add up leave it unverified.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from stannary.checks.static.judges.python_behaviour import behaviour
from stannary.checks.static.judges.python_kinds import SEVERITIES
from stannary.checks.static.judges.word_sets import words
from stannary.checks.static.knowledge import Knowledge
from stannary.checks.static.ruleset import Hit
from stannary.core.model import Severity, severity_rank
from stannary.formats.interface import Fact

__all__ = ["judge"]

# What a function in a model does when it is called: nobody reads its source before.
_CARRIED: dict[str, Severity] = {
    "reverse-shell": "critical", "download-run": "critical", "decode-run": "critical", "hidden-call": "high",
    "hidden-member": "medium", "hostile-command": "critical", "process": "high", "process-unknown": "medium", "tool":
    "medium", "install": "medium",
    "code": "medium", "network": "medium", "steal": "critical", "secret-file": "high", "persist": "critical", "destroy": "critical",
    "native": "medium", "unsafe-load": "low", "remote-load": "high", "remote-odd": "high",
    "remote-code": "low", "shellcode": "critical",
    "native-file": "medium", "native-foreign": "high", "patch": "medium", "foreign-code": "medium", "environment": "high",
    "data-run": "high", "pickle-load": "low", "shell-unknown": "medium", "exec-unknown": "medium", "network-odd": "high",
    "erase": "high", "reset": "medium", "visitor-run": "medium", "disturb": "medium", "tool-odd": "medium", "writes": "medium",
    "fetched-load": "medium", "absent-load": "low", "absent-module": "medium",
}  # fmt: skip
_UNPICKLERS = ("pickle.", "_pickle.", "marshal.", "dill.", "cloudpickle.", "shelve.")
_CATEGORIES: dict[str, Severity] = {"exec": "medium", "native": "medium", "net": "medium"}
_WALKED = frozenset({
    "os", "_os", "sys", "_sys", "subprocess", "posix", "nt", "builtins", "__builtin__", "importlib", "ctypes",
    "_ctypes", "shutil", "socket", "pickle", "marshal", "pty", "runpy", "code", "imp", "_posixsubprocess",
})  # fmt: skip
_CHANGES = frozenset({
    "os.remove", "os.unlink", "os.rmdir", "os.removedirs", "os.rename", "os.replace", "os.chmod", "os.symlink",
    "os.link", "os.mkfifo", "os.truncate", "os.putenv", "os.kill", "os.fork", "os.write", "shutil.rmtree",
    "shutil.move", "shutil.copy", "shutil.copyfile", "shutil.copytree", "shutil.copy2", "os.fdopen", "os.open",
    "os.chown", "os._exit", "os.abort", "os.setuid",
})  # fmt: skip
_WRITES = frozenset({"write_text", "write_bytes", "unlink", "rmdir", "symlink_to", "hardlink_to", "touch", "chmod"})
_OPENERS = frozenset({"open", "io.open", "codecs.open", "gzip.open", "bz2.open", "lzma.open"})
_MODE = 4  # letters of a mode
_INNER = frozenset({"__subclasses__", "__globals__", "__builtins__"})
_NETWORK = ("socket.", "urllib.request", "requests.", "http.client", "httpx.", "aiohttp.", "ftplib.", "smtplib.",
"telnetlib.", "paramiko.",
            "urllib3.")  # fmt: skip
_HARMLESS_GADGETS = frozenset({
    "functools.reduce", "itertools.starmap", "numpy.vectorize", "numpy.apply_along_axis", "numpy.fromfunction",
    "operator.methodcaller", "operator.attrgetter", "torch.multiprocessing", "tensorflow.function",
})  # fmt: skip
_EXCEPTIONS = ("Error", "Exception", "Warning", "Interrupt", "Exit", "Iteration")


def judge(facts: Sequence[Fact], known: Knowledge) -> Iterator[Hit]:
    """Judge all `pickle.code*` facts of one file."""
    flagged: dict[str, set[str]] = {}
    for fact in facts:
        hit = _act(fact)
        if hit is not None:
            flagged.setdefault(fact.data["of_code"], set()).add(str(fact.data.get("name", "")))
            yield hit
    hits = [
        hit for fact in facts if fact.kind == "pickle.code" for hit in _whole(fact, flagged.get(fact.data["name"], set()), known)
    ]
    guilty = bool(flagged) or any(hit.rule == "PKL035" for hit in hits)
    yield from (hit for hit in hits if not guilty or hit.rule != "PKL036")


def _act(fact: Fact) -> Hit | None:
    """Return the finding for one thing that carried code does, None when it is nothing."""
    data = fact.data
    loading = data.get("scope") in {"import", "main"}
    when = " while it is loaded" if loading else ""
    if fact.kind == "pickle.code_inner" and data["attribute"] in _INNER:
        return Hit(
            "PKL035",
            fact,
            f"{data['of_code']} reaches {data['of']}.{data['attribute']}{when}",
            None,
            "high" if loading else "medium",
        )
    if fact.kind != "pickle.code_call":
        return None
    found = behaviour(data)
    if found is not None and (found.kind not in {"writes", "disturb"} or not _changed(data)):
        severity = SEVERITIES[found.kind]["load"] if loading else _CARRIED[found.kind]
        if found.kind in {"unsafe-load", "pickle-load", "absent-load"} and data["name"].startswith(_UNPICKLERS):
            severity = "low" if _is_callers(data) else "medium"
        if loading and severity_rank(severity) > severity_rank(_CARRIED[found.kind]):
            severity = _CARRIED[found.kind]
        return Hit("PKL035", fact, f"{data['of_code']}: {found.what}{when}", None, severity)
    changed = _changed(data)
    if changed:
        severity = "high" if loading else "low" if _is_callers(data) else "medium"
        return Hit("PKL035", fact, f"{data['of_code']}: {changed}{when}", None, severity)
    return None


def _is_callers(data: Any) -> bool:  # noqa: ANN401 - the data of a fact
    """Tell whether a file is the one that the caller names, as in the `load(path)` and `save(path)` of models."""
    args, origins = data["args"], data["origins"]
    if data["paths"] or data["refs"] or not args:
        return False
    if data["name"] in _OPENERS:
        return args[0] == "<?>" and not origins
    return data["name"] in {"pickle.load", "dill.load", "cloudpickle.load"} and args[0] == "<open()>" and set(origins) <= {"open"}


def _changed(data: Any) -> str:  # noqa: ANN401 - the data of a fact
    """Return what a call changes outside the program, '' when nothing."""
    name, args = data["name"], data["args"]
    shown = f"{name}({', '.join(args)[:100]})"
    if name in _CHANGES:
        return shown
    mode = args[1] if len(args) > 1 else data["keywords"].get("mode", "r")
    if name in _OPENERS and set("wax+") & set(mode) and len(mode) <= _MODE:
        return shown
    if name.startswith("pathlib.") and name.rpartition(".")[2] in _WRITES:
        return f"{name}({data['of'][:80]})"
    if name.startswith(_NETWORK):
        return shown
    return ""


def _whole(fact: Fact, flagged: set[str], known: Knowledge) -> Iterator[Hit]:
    """Judge everything that one function or class names."""
    data = fact.data
    reasons: list[str] = []
    for name in data["touched"]:
        if any(name.startswith(act.partition("(")[0]) or act.startswith(name.partition("(")[0] + ".") for act in flagged if act):
            continue
        if "." not in name and any(other.startswith(name + ".") for other in data["touched"]):
            continue  # a module: what is taken from it counts
        severity, reason = _named(name, known)
        if severity == "medium":
            yield Hit("PKL035", fact, f"{data['name']} refers to {reason}", {"name": name}, severity)
            flagged.add(name)
        elif reason:
            reasons.append(reason)
    strong = [a for a in data["attributes"] if a in words("code_strong")]
    if strong:
        yield Hit("PKL035", fact, f"{data['name']} uses {', '.join(strong[:4])} of what it is given", {"names": strong}, "medium")
        flagged.update(strong)
    used = {part for name in data["touched"] for part in name.replace("()", "").replace("[]", "").split(".")} | set(
        data["attributes"]
    )
    unused = [word[1:] for word in data["strong"] if word[:1] == "." and word[1:] in words("code_strong") and word[1:] not in used]
    if unused and not flagged:  # no compiler keeps a name that the code does not use: another version may read it otherwise
        yield Hit("PKL035", fact, f"{data['name']} names {', '.join(unused[:4])} and does not use it", {"names": unused}, "medium")
    reasons += [f"uses the method {a}" for a in data["attributes"] if a in words("code_weak")]
    reasons += [f"uses {name}, which the pickle does not define" for name in data["missing"]]
    reasons += data["unclear"]
    reasons += [f"cannot be read: {what}" for what in data["broken"]]
    if data["more"]:
        reasons.append("names more than is kept")
    if not flagged:
        reasons += [f"mentions {word}" for word in data["strong"] if word in words("code_strong")]
    evidence = {key: data[key] for key in ("name", "kind", "version", "runs", "calls", "missing", "unclear") if data[key]}
    if reasons:
        yield Hit("PKL030", fact, f"{data['kind']} {data['name']}: {reasons[0]}", {**evidence, "reasons": reasons[:20]})
    elif not flagged:
        called = ", ".join(data["calls"][:6]) or "nothing outside it"
        yield Hit("PKL036", fact, f"{data['kind']} {data['name']} calls {called}", evidence)


def _named(name: str, known: Knowledge) -> tuple[Severity | None, str]:
    """Return (severity, reason) for an outside name; no reason when it is harmless, no severity when it is only not known."""
    found = _cached(name)
    if found is None:
        found = _judge_name(name, known)
        _remember(name, found)
    return found


_SEEN: dict[str, tuple[Severity | None, str]] = {}


def _cached(name: str) -> tuple[Severity | None, str] | None:
    return _SEEN.get(name)


def _remember(name: str, found: tuple[Severity | None, str]) -> None:
    if len(_SEEN) < 4096:  # noqa: PLR2004 - names of all files that a worker reads
        _SEEN[name] = found


def _judge_name(name: str, known: Knowledge) -> tuple[Severity | None, str]:  # noqa: C901, PLR0911 - one test after the other
    plain = name.partition("(")[0].partition("[")[0]
    parts = name.replace("()", "").replace("[]", "").split(".")
    if "<?>" in name:
        return ("medium" if parts[0] in _WALKED else None), f"a member of {plain.removesuffix('.<?>')} whose name is computed"
    if parts[0] in {"__builtins__", "__loader__", "__spec__"}:
        return "medium", f"{name}, which leads into the interpreter"
    for place, part in enumerate(parts):
        tail = ".".join(p.lstrip("_") if i == 0 else p for i, p in enumerate(parts[place:]))
        if part in _WALKED and place + 1 < len(parts) and not tail.startswith(("os.path", "code.", "sys.std")):
            bare = tail.partition("(")[0]
            if _harmless(bare):
                continue
            gadget = known.gadget(*_split(bare))
            if place or (gadget and gadget.category in {"exec", "native", "net"}):
                return "medium", f"{name}, which {gadget.what if gadget else 'leads to ' + part}"
    if name.endswith(_EXCEPTIONS) and "." not in name:
        return None, ""
    listed = _harmless(plain)
    members = name.partition("(")[2].replace("()", "").replace("[]", "").replace(")", ".").split(".") if listed else parts[1:]
    weak = [part for part in members if part in words("code_weak") or part in words("code_strong")]
    if listed and not weak:
        return None, ""
    if plain in _HARMLESS_GADGETS:
        return None, ""
    if "." not in plain and known.is_package(plain) and not known.is_stdlib(plain):
        return None, ""  # the module by itself
    if "." not in plain and known.is_stdlib(plain) and plain not in words("dangerous_modules"):
        return None, ""
    gadget = known.gadget(*_split(plain))
    if gadget is not None:
        return _CATEGORIES.get(gadget.category) if "." in plain else None, f"{plain}, which {gadget.what}"
    if weak:
        return None, f"uses {name}"
    if known.is_package(plain) and not known.is_stdlib(plain):
        return None, ""
    return None, f"uses {plain}"


def _split(dotted: str) -> tuple[str, str]:
    module, _, name = dotted.rpartition(".")
    return module or "builtins", name


@lru_cache(maxsize=4096)
def _harmless(name: str) -> bool:
    """Tell whether a name, or what it is a member of, is on the list."""
    listed = words("code_harmless")
    if name in listed or name + "." in listed:
        return True
    prefix = name
    while prefix := prefix.rpartition(".")[0]:
        if prefix + "." in listed or prefix in listed:
            return True
    return False
