"""How dangerous it is to import and call a dotted name that a file gives: by exact names and by packages."""

from __future__ import annotations

from typing import Literal

from stannary.checks.static.judges.word_sets import words

__all__ = ["Danger", "danger_of"]

Danger = Literal["dangerous", "loads", "known", "unknown"]


def danger_of(name: str) -> Danger:
    """Classify a dotted name.

    `dangerous`: runs processes or code, or belongs to a module that does little else; `loads`: fetches or
    deserialises; `known`: belongs to a package that models are made of; `unknown`: the rest.
    """
    plain = name.strip().replace(":", ".").replace("/", ".").removeprefix("builtins.").removeprefix("__builtin__.")
    if plain in words("python_process") or plain in words("python_exec") or plain in words("dangerous_names"):
        return "dangerous"
    root = plain.partition(".")[0]
    if root in words("dangerous_modules") or any(plain.startswith(f"{m}.") for m in words("dangerous_modules") if "." in m):
        return "dangerous"
    if plain in words("python_unsafe_load") or plain in words("python_network_in"):
        return "loads"
    # A name that walks through another module's imports (torch.serialization.os.system) is that module's.
    if any(part in words("dangerous_modules") for part in plain.split(".")[1:-1]):
        return "dangerous"
    return "known" if root in words("known_packages") else "unknown"
