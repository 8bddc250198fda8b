"""Data files of this package, without importlib.resources, which costs a start 10 ms."""

from __future__ import annotations

import os

__all__ = ["shipped"]

_HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")


def shipped(name: str) -> bytes:
    """Return the content of `data/NAME` as installed. Raises OSError."""
    with open(os.path.join(_HERE, *name.split("/")), "rb") as file:
        return file.read()
