"""Python source that removes or replaces itself, and pages that run what their visitors send.

Both take a `python.call` fact and return the words that show it, or an empty text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from stannary.checks.static.judges.word_sets import words

__all__ = ["erases", "resets", "runs_sent"]

_REMOVES = frozenset({
    "os.remove", "os.unlink", "os.truncate", "os.rename", "os.replace", "os.rmdir", "os.removedirs", "shutil.rmtree", "shutil.move",
    "send2trash.send2trash", "pathlib.Path.unlink", "pathlib.Path.write_text", "pathlib.Path.write_bytes",
})  # fmt: skip
_REPLACES = frozenset({"os.rename", "os.replace", "shutil.move", "shutil.copy", "shutil.copy2", "shutil.copyfile"})
_PATH_REMOVES = frozenset({"unlink", "write_text", "write_bytes", "rename", "replace", "rmdir"})
_COMMAND = re.compile(
    r"(?:sudo\s+)?(?:\S*/)?(?:rm|shred|unlink|truncate|del|erase)\s(?:.*\s)?[\"']?(?:\{\}|<__file__>|<[\w.]+\(\)>)[\"']?(?:\s|;|&|$)"
)
_DISCARDS = (
    r"(?:reset\s(?:\S+\s+)*?--hard\b|checkout\s(?!-[bBt]\b|--orphan)|restore\s(?!--staged\s)|clean\s+(?:\S+\s+)*?-\w*f|rm\s"
    r"|stash(?!\s+(?:list|show|pop|apply|branch))|switch\s(?!-c))"
)
_GIT = r"(?:sudo\s+)?(?:\S*/)?git\s+(?:-c\s+\S+\s+|--\S+\s+)*"
_GIT_HERE = re.compile(rf"{_GIT}(?:-C\s+<[^>\n]*>\s+)?{_DISCARDS}")
_FOLDER = r"[\"']?\{\}[\"']?"
_GIT_THERE = re.compile(
    rf"cd\s+{_FOLDER}\s*(?:&&|;)\s*{_GIT}{_DISCARDS}|{_GIT}-C\s+{_FOLDER}\s+{_DISCARDS}|{_GIT}(?:checkout|restore|rm)\s(?:\S+\s+)*{_FOLDER}(?:\s|$)"
)
_OF_TREE = frozenset({"checkout", "clean", "restore", "rm", "stash"})
_RUNS_TEXT = frozenset({"eval", "exec", "execfile", "compile", "pandas.eval"})
_RUNS_FILE = re.compile(
    r"(?:\S*/)?(?:python[\d.]*|<sys\.executable>|(?:ba|z|da)?sh|node|perl|ruby|Rscript|php|julia)\s+(?:-\w+\s+)*(?:[<{]|\S+\.\w+(?:\s|$))"
)
_TEMPLATES = frozenset(
    {"flask.render_template_string", "quart.render_template_string", "jinja2.Template", "mako.template.Template"}
)
_SHELL = re.compile(
    r"(?:\S*/)?(?:(?:ba|z|da|k)?sh|cmd(?:\.exe)?|powershell|python[\d.]*|node|perl|<sys\.executable>)\s+(?:-\w+\s+)*[-/]c\s+<"
)


def erases(name: str, args: Sequence[str], call: Mapping[str, Any]) -> str:
    """Return what a call does to the source that makes it: removes, moves, empties or overwrites it."""
    receiver, *own = [*call.get("own", ()), *[""] * 5][:5]
    mode = args[1] if len(args) > 1 else call["keywords"].get("mode", "r")
    removes = (name in _REMOVES and own[0]) or (name in _REPLACES and own[1] == "file")
    removes = removes or (name in {"open", "io.open"} and own[0] in {"file", "sources"} and any(m in mode for m in "wax+"))
    method = name.rpartition(".")[2]
    if (
        name.startswith(("pathlib.", "importlib.resources.", "importlib_resources."))
        and receiver
        and method in {*_PATH_REMOVES, "open"}
    ):
        opened = args[0] if args else call["keywords"].get("mode", "r")
        removes = receiver != "folder" and (method != "open" or any(m in opened for m in "wax+"))
    removes = removes or (name == "fileinput.input" and own[0] == "file" and call["keywords"].get("inplace") == "True")
    handed = not _REMOVES.isdisjoint(call["refs"]) and any(own)
    if removes or handed:
        return f"{name} removes or replaces the source that calls it"
    shown = " ".join(args)
    by_command = name in words("python_process") and ("file" in own or "__file__" in call["origins"]) and _COMMAND.match(shown)
    return f"{name} removes the source that calls it: {shown[:80]}" if by_command else ""


def resets(name: str, args: Sequence[str], call: Mapping[str, Any]) -> str:
    """Return how a call has git put other sources in the place of those that make it, in their own folder.

    What git does in the folder it is started from, or in one below, is ordinary: launchers keep the repositories of others so.
    """
    own, shown = call.get("own", ()), " ".join(args)
    if name in words("python_process"):
        found = _GIT_HERE.match(shown) if any(own) else _GIT_THERE.match(shown) if "__file__" in call["origins"] else None
        return f"{name} has git replace the source that calls it: {shown[:80]}" if found else ""
    method = name.rpartition(".")[2]
    if not own or not own[0] or not name.startswith("git."):
        return ""
    hard = "--hard" in args or call["keywords"].get("working_tree") == "True" or method in _OF_TREE
    return f"{name}({shown[:60]}) replaces the source that calls it" if hard and method in {"reset", *_OF_TREE} else ""


def runs_sent(name: str, args: Sequence[str], call: Mapping[str, Any]) -> str:
    """Return what a visitor's own text or file is run by; a program of the page's own with a visitor's argument is none."""
    whole = bool(args) and args[0].startswith("<")
    if name.startswith("rpyc.") and "SlaveService" in " ".join([*args, *call["refs"]]):
        return f"{name} lets whoever connects run code"
    if not call.get("sent"):
        return ""
    if call["sent"] == "file":
        ran = name == "runpy.run_path" or (name in words("python_process") and args and _RUNS_FILE.match(args[0]))
        return f"{name} runs a file written from what a visitor sends" if ran else ""
    if (name in _RUNS_TEXT or name in words("python_process")) and (whole or _SHELL.match(args[0])):
        return f"{name} runs what a visitor sends"
    if (name in _TEMPLATES or name == "jinja2.Environment().from_string") and whole:
        return f"{name} renders a template that a visitor sends"
    if call["keywords"].get("trust_remote_code") == "True" and name.endswith(".from_pretrained") and whole:
        return f"{name} runs the code of whatever repository a visitor names"
    if name in words("python_unsafe_load") and whole and not call["paths"]:
        given = call["keywords"]
        told = given.get("weights_only") == "False" if name.startswith("torch.") else given.get("allow_pickle") == "True"
        if name.startswith("yaml."):
            loader = given.get("Loader", args[1] if len(args) > 1 else "")
            told = loader.removesuffix(">").endswith(("yaml.Loader", "UnsafeLoader", "CLoader")) or name == "yaml.unsafe_load"
        plain = not name.startswith(("torch.", "numpy.", "yaml.", "keras.", "tensorflow."))
        return f"{name} loads what a visitor sends, with the code in it" if plain or told else ""
    return ""
