"""Callables that real pickles call with certain arguments only: one function each.

Each takes the rendered arguments and returns '' when they are what a pickler writes, else what
is wrong with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from stannary.checks.static.knowledge import Knowledge

__all__ = ["CODE_MAKERS", "DANGEROUS_NAMES", "SCHEMAS", "code_names", "role_of"]

Args = list[Any]
_PLAIN = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z]\w*)*\Z")


_UFUNC_MODULES = frozenset({
    "numpy", "numpy.core.umath", "numpy._core.umath", "numpy.core._multiarray_umath", "numpy._core._multiarray_umath",
    "scipy.special", "scipy.special._ufuncs",
})  # fmt: skip
_MOST_ITEMS = 1 << 27
_WORDS = """
system popen spawn exec eval compile __import__ import_module subprocess Popen check_output check_call call run socket urlopen
urlretrieve requests urllib http ctypes pty fork execv execve execl startfile remove unlink rmtree rmdir os posix nt sys shutil
pickle marshal loads base64 b64decode builtins __builtins__ globals getattr setattr open write putenv environ webbrowser runpy
code platform importlib __subclasses__ __globals__ __class__ __bases__ __mro__ connect sendall send recv paramiko ftplib smtplib
telnetlib chmod
"""
DANGEROUS_NAMES = frozenset(_WORDS.split())


def _split(value: Any, known: Knowledge) -> str:  # noqa: ANN401 - rendered JSON
    """Return the role of a rendered global, '?' when the value is no global."""
    if not isinstance(value, dict) or "global" not in value:
        return "?"
    return role_of(value["global"], known)


def role_of(dotted: str, known: Knowledge) -> str:
    """Return the role of a dotted name, wherever its module ends."""
    parts = dotted.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        role = known.role(".".join(parts[:cut]), ".".join(parts[cut:]))
        if role:
            return role
    return ""


def _getattr(args: Args, known: Knowledge) -> str:
    if len(args) < 2 or not isinstance(args[1], str):  # noqa: PLR2004 - object and name
        return "the attribute's name is computed"
    if args[1].startswith("__"):
        return f"attribute {args[1]}"
    target = args[0]
    if args[1:] == ["_setattr", {"global": "builtins.setattr"}] and args[0] in (
        {"global": "dill._dill"},
        {"global": "dill._shims._dill"},
    ):
        return ""
    if isinstance(target, dict) and "global" in target:
        if role_of(f"{target['global']}.{args[1]}", known) in {"c", "k", "f", "r"}:
            return ""
        return (
            ""
            if _split(target, known) in {"c", "k", "f", "r"}
            else f"attribute of {target['global']}, which no pickler takes attributes of"
        )
    if isinstance(target, dict) and ("object" in target or "call" in target):
        name = target.get("object") or target.get("call")
        return "" if _split({"global": name}, known) in {"c", "k", "r"} else f"attribute of the result of {name}"
    return "attribute of something computed"


def _partial(args: Args, known: Knowledge) -> str:
    if not args:
        return "no callable"
    target = args[0][0] if isinstance(args[0], list) and args[0] else args[0]
    if isinstance(target, dict) and ("global" in target):
        # What is dangerous to name at all is found by name; here only what is never a plain function.
        return (
            ""
            if not known.is_stdlib(target["global"]) or _split(target, known) in {"c", "k", "f", "r"}
            else f"partial of {target['global']}"
        )
    if isinstance(target, dict) and ("call" in target or "object" in target):
        return ""
    return "partial of something computed"


def _names(args: Args, _known: Knowledge) -> str:
    wrong = [a for a in args if not isinstance(a, str) or not _PLAIN.match(a) or DANGEROUS_NAMES & set(a.split("."))]
    return f"attribute {wrong[0]}" if wrong else ""


def _method(args: Args, _known: Knowledge) -> str:
    if not args or not isinstance(args[0], str) or not _PLAIN.match(args[0]):
        return "the method's name is computed or special"
    return f"method {args[0]}" if args[0] in DANGEROUS_NAMES else ""


def _sized(args: Args, _known: Knowledge) -> str:
    """Containers and byte strings made from a number or a range: the number is memory."""
    todo, biggest = list(args[:1]), 0
    while todo:
        item = todo.pop()
        if isinstance(item, dict) and "args" in item:
            if item.get("call", "").startswith("itertools.") and item["call"].rpartition(".")[2] in {
                "count",
                "repeat",
                "cycle",
                "product",
            }:
                return f"made from {item['call']}"
            todo += item["args"] if isinstance(item["args"], list) else [item["args"]]
        elif isinstance(item, int) and not isinstance(item, bool):
            biggest = max(biggest, item)
        elif isinstance(item, str) and item.startswith("0x"):
            biggest = 1 << 60
    return f"asks for {biggest} items" if biggest > _MOST_ITEMS else ""


def _from_bytes(args: Args, _known: Knowledge) -> str:
    """The bytes are read as a file of their own; here only that they are bytes."""
    plain = (
        len(args) == 1
        and isinstance(args[0], dict)
        and ("bytes" in args[0] or args[0].get("call") in {"_codecs.encode", "_io.BytesIO", "io.BytesIO"})
    )
    return "" if plain else "its argument is no byte string"


def _ufunc(args: Args, known: Knowledge) -> str:
    if len(args) == 2 and all(isinstance(a, str) for a in args) and known.role(args[0], args[1]) in {"f", "k", "r"}:  # noqa: PLR2004 - module, name
        return ""
    module = args[0] if args and isinstance(args[0], str) else ""
    numeric = module in _UFUNC_MODULES and len(args) == 2 and isinstance(args[1], str) and _PLAIN.match(args[1])  # noqa: PLR2004
    return "" if numeric else f"takes {module or 'something computed'} for a module of ufuncs"


def _dill_setattr(args: Args, _known: Knowledge) -> str:
    owner, name = (args[0], args[1]) if len(args) > 1 else (None, None)
    cell = isinstance(owner, dict) and owner.get("call") == "dill._dill._create_cell" and name == "cell_contents"
    return "" if cell else "sets an attribute of something that is no cell"


def _rebuild_from_type(args: Args, _known: Knowledge) -> str:
    function = args[0].get("global", "") if args and isinstance(args[0], dict) else ""
    return "" if function.startswith("torch._utils._rebuild_") else f"rebuilds through {function or 'something computed'}"


def _import_module(args: Args, known: Knowledge) -> str:
    name = args[0] if args and isinstance(args[0], str) else ""
    top = name.partition(".")[0]
    if not name or top in DANGEROUS_NAMES or known.gadget(name, "") or (known.is_stdlib(name) and not known.known_module(name)):
        return f"imports {name or 'a computed module'}"
    return "" if known.is_package(name) or known.is_stdlib(name) else f"imports {top}"


def _import_attr(args: Args, known: Knowledge) -> str:
    if len(args) == 2 and all(isinstance(a, str) for a in args):  # noqa: PLR2004 - module and name
        return "" if known.role(args[0], args[1]) in {"c", "k", "f", "r"} else f"takes {args[1]} of {args[0]}"
    return (
        _getattr(args, known)
        if args and not (isinstance(args[0], dict) and args[0].get("call", "").endswith("_import_module"))
        else ""
    )


def _never(_args: Args, _known: Knowledge) -> str:
    return "no pickler calls it"


SCHEMAS: dict[tuple[str, str], Callable[[Args, Knowledge], str]] = {
    ("builtins", "getattr"): _getattr,
    **{("builtins", name): _sized for name in ("bytes", "bytearray", "list", "tuple", "set", "frozenset")},
    ("functools", "partial"): _partial,
    ("functools", "partialmethod"): _partial,
    ("operator", "attrgetter"): _names,
    ("_operator", "attrgetter"): _names,
    ("operator", "methodcaller"): _method,
    ("_operator", "methodcaller"): _method,
    ("numpy.core", "_ufunc_reconstruct"): _ufunc,
    ("numpy._core", "_ufunc_reconstruct"): _ufunc,
    ("dill._dill", "_setattr"): _dill_setattr,
    ("dill", "_dill._setattr"): _dill_setattr,
    ("dill._shims", "_dill._setattr"): _dill_setattr,
    ("numba.core.serialize", "_unpickle__CustomPickled"): _from_bytes,
    ("torch.storage", "_load_from_bytes"): _from_bytes,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
    ("dill._dill", "_import_module"): _import_module,
    ("cloudpickle.cloudpickle", "subimport"): _import_module,
    ("dill._dill", "_get_attr"): _import_attr,
}

# Build functions from bytecode that the pickle carries.
CODE_MAKERS = frozenset({
    ("numba.core.serialize", "_rebuild_function"),
    ("dill._dill", "_create_code"), ("dill._dill", "_create_function"),
    ("cloudpickle.cloudpickle", "_make_function"), ("cloudpickle.cloudpickle", "_make_skel_func"),
    ("cloudpickle.cloudpickle", "_fill_function"), ("cloudpickle.cloudpickle", "dynamic_subimport"),
})  # fmt: skip

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*\Z")


def code_names(args: Any) -> list[str]:  # noqa: ANN401 - rendered JSON
    """Return the identifiers among the arguments of a code object: names, attributes, constants it uses."""
    found: list[str] = []
    stack = [args]
    while stack and len(found) < 256:  # noqa: PLR2004 - enough to judge
        item = stack.pop()
        if isinstance(item, str):
            found += [part for part in item.split(".") if _IDENTIFIER.match(part)]
        elif isinstance(item, list):
            stack += item
        elif isinstance(item, dict):
            stack += [item[key] for key in ("args", "list", "dict") if key in item]
    return found
