"""Hostile pickles, one gadget each: a callable that some installed library has, with arguments that do something.

The table is `pickle_gadgets.txt`: module, name, arguments as JSON (`@bytes:` makes bytes, `@global:`
a reference). Arguments only ever echo, or name things that do not exist. Protocols take turns.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from typing import Any

from stannary.testing.forges import forge
from stannary.testing.pickle_assembler import Assembler

__all__ = ["GADGETS", "Gadget", "value"]

FAMILY = "stdlib+lib gadgets"
_PROTOCOLS: tuple[int | None, ...] = (2, 4, None, 3, 5, 0, 1)

Gadget = tuple[str, str, list[Any]]


def _table() -> list[Gadget]:
    found: list[Gadget] = []
    for line in resources.files(__package__).joinpath("pickle_gadgets.txt").read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            module, name, arguments = text.split(" ", 2)
            found.append((module, name, json.loads(arguments)))
    return found


def value(spec: Any, protocol: int | None) -> Any:  # noqa: ANN401 - JSON in, pickle values out
    """Turn a JSON argument into what the assembler writes."""
    if isinstance(spec, str) and spec.startswith("@bytes:"):
        return spec[7:].encode().decode("unicode_escape").encode("latin-1")
    if isinstance(spec, str) and spec.startswith("@global:"):
        module, _, name = spec[8:].partition(":")
        part = Assembler(protocol)
        part.name(module, name)
        return part
    if isinstance(spec, list):
        return [value(item, protocol) for item in spec]
    if isinstance(spec, dict):
        if "@tuple" in spec:
            return tuple(value(item, protocol) for item in spec["@tuple"])
        return {key: value(item, protocol) for key, item in spec.items()}
    return spec


GADGETS = _table()


def _builder(gadget: Gadget, protocol: int | None) -> Callable[[], bytes]:
    module, name, arguments = gadget

    def build() -> bytes:
        return Assembler(protocol).call(module, name, *(value(a, protocol) for a in arguments)).stop()

    return build


def _register() -> None:
    seen: dict[str, int] = {}
    for index, gadget in enumerate(GADGETS):
        title = f"{gadget[0]}.{gadget[1]}".replace(".", "_").lower()
        seen[title] = seen.get(title, 0) + 1
        suffix = f"_{seen[title]}" if seen[title] > 1 else ""
        register = forge(f"pickle.gadget.{title}{suffix}", filename="model.pkl", family=FAMILY, malicious=True)
        register(_builder(gadget, _PROTOCOLS[index % len(_PROTOCOLS)]))


_register()
