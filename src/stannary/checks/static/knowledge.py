"""What is known about names found in pickles: shipped data, never what is installed here.

Roles: `c` a class that may be instantiated without a call and be given state; `k` one that may
also be called; `r` a function picklers write; `f` something that may be referred to but is never
called; `s` judged by its arguments. `data/knowledge.json` is generated from the wheels of real
libraries (`tools/knowledge.py`); the standard library (`data/pickle_stdlib.toml`) and the gadgets
(`data/pickle_gadgets.toml`) are written by hand and compiled into `data/pickle.json`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import msgspec

from stannary.checks.static.module_index import ModuleIndex
from stannary.checks.static.shipped import mapped, shipped

__all__ = ["Gadget", "Knowledge", "compile_sources", "load", "remember", "role"]


class Gadget(NamedTuple):
    """Why a callable is dangerous."""

    category: str
    what: str


class _Library(msgspec.Struct, frozen=True):
    packages: dict[str, str]
    stdlib: tuple[str, ...]
    version: int = 1


class _Packed(msgspec.Struct, frozen=True):
    stdlib: dict[str, dict[str, str]]
    modules: dict[str, str]  # module prefix → category
    names: dict[str, str]  # dotted name → category
    what: dict[str, str]  # category → words


_MOST, _LONG = 1 << 15, 256  # answers that are kept; characters of a name above which none is


def remember(kept: dict[Any, Any], key: object, answer: object, length: int) -> None:
    """Keep an answer for the files that come after, whose memory it takes: not for names that are long, nor for ever more."""
    if length < _LONG:
        if len(kept) >= _MOST:
            kept.clear()
        kept[key] = answer


class Knowledge:
    """Answers about (module, qualified name)."""

    def __init__(self, modules: ModuleIndex, packed: _Packed) -> None:
        library = msgspec.json.decode(modules.head, type=_Library)
        self._modules = modules
        self._packages = library.packages
        self._packed = packed
        self._stdlib = frozenset(library.stdlib)
        self._roles: dict[str, dict[str, str]] = {}
        self._tops: dict[str, bool] = {}
        self.resolved: dict[tuple[str, str], str] = {}  # a judge's own answers, by name
        self._gadgets: dict[tuple[str, str], Gadget | None] = {}

    def role(self, module: str, name: str) -> str:
        """Return the role of a name, '' when nothing is known."""
        roles = self._roles.get(module)
        if roles is None:
            roles = {}
            for source in (self._modules.roles(module), self._packed.stdlib.get(module, {})):
                for role_, names in source.items():
                    roles.update(dict.fromkeys(names.split(), role_))
            remember(self._roles, module, roles, len(module))
        return roles.get(name, "")

    def known_module(self, module: str) -> bool:
        """Tell whether the module itself is in the knowledge (not only its package)."""
        return module in self._packed.stdlib or module in self._modules

    def parent_module(self, module: str) -> bool:
        """Tell whether known modules lie below a name, as below `scipy.stats`."""
        return self._modules.has_below(module + ".")

    def is_stdlib(self, module: str) -> bool:
        """Tell whether a module belongs to the standard library of Python 2.7 or 3."""
        return module.partition(".")[0] in self._stdlib

    def is_package(self, module: str) -> bool:
        """Tell whether a module belongs to a library whose names are known."""
        top = module.partition(".")[0]
        known = self._tops.get(top)
        if known is None:
            known = top in self._packages or top in self._modules or self._modules.has_below(top + ".")
            remember(self._tops, top, known, len(top))
        return known

    def gadget(self, module: str, name: str) -> Gadget | None:
        """Return why a callable is dangerous, by exact name, by any dotted suffix of it, or by module."""
        key = (module, name)
        if key in self._gadgets:
            return self._gadgets[key]
        found = self._find_gadget(module, name)
        remember(self._gadgets, key, found, len(module) + len(name))
        return found

    def _find_gadget(self, module: str, name: str) -> Gadget | None:
        packed = self._packed
        dotted = f"{module}.{name}"
        category = packed.names.get(dotted)
        parts = name.split(".")
        if category is None and len(parts) > 1:
            category = self._walked(parts)
        if category is None:
            prefix = dotted
            while prefix:
                if prefix in packed.modules:
                    category = packed.modules[prefix]
                    break
                prefix = prefix.rpartition(".")[0]
        return Gadget(category, packed.what[category]) if category else None

    def _walked(self, parts: list[str]) -> str | None:
        """Look at what a dotted walk ends in: `torch.serialization` + `os.system` is `os.system`."""
        for start in range(len(parts) - 1):
            tail = ".".join(parts[start:])
            if tail in self._packed.names:
                return self._packed.names[tail]
            if parts[start] in self._packed.modules:
                return self._packed.modules[parts[start]]
        return None


def compile_sources() -> bytes:
    """Pack the hand-written TOML files (`./dev rules`). Raises ValueError when a name has two roles."""
    import tomllib
    from importlib import resources  # neither is needed to scan

    data = resources.files(__package__).joinpath("data")
    stdlib_raw = tomllib.loads(data.joinpath("pickle_stdlib.toml").read_text(encoding="utf-8"))
    stdlib = {".".join(path): roles for path, roles in _tables((), stdlib_raw)}
    gadgets = tomllib.loads(data.joinpath("pickle_gadgets.toml").read_text(encoding="utf-8"))
    modules: dict[str, str] = {}
    names: dict[str, str] = {}
    for category, table in gadgets.items():
        modules.update(dict.fromkeys(table.get("modules", "").split(), category))
        names.update(dict.fromkeys(table.get("names", "").split(), category))
    what = {category: table["what"] for category, table in gadgets.items()}
    return msgspec.json.encode(_Packed(stdlib, modules, names, what), order="sorted")


def _tables(path: tuple[str, ...], table: dict[str, object]) -> list[tuple[tuple[str, ...], dict[str, str]]]:
    roles = {k: v for k, v in table.items() if isinstance(v, str)}
    found = [(path, roles)] if roles else []
    for key, value in table.items():
        if isinstance(value, dict):
            found += _tables((*path, key), value)
    return found


@cache
def load() -> Knowledge:
    """Return the shipped knowledge."""
    return Knowledge(ModuleIndex(mapped("knowledge.json")), msgspec.json.decode(shipped("pickle.json"), type=_Packed))


def role(module: str, name: str) -> str:
    """Return the role of (module, qualified name), '' when nothing is known."""
    return load().role(module, name)
