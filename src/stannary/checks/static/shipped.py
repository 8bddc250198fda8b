"""Data files of this package, without importlib.resources, which costs a start 10 ms."""

from __future__ import annotations

import mmap
import os

__all__ = ["mapped", "shipped"]

_HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")


def shipped(name: str) -> bytes:
    """Return the content of `data/NAME` as installed. Raises OSError."""
    with open(os.path.join(_HERE, *name.split("/")), "rb") as file:
        return file.read()


def mapped(name: str) -> mmap.mmap:
    """Return `data/NAME` mapped, for a large file of which little is looked at. Raises OSError."""
    with open(os.path.join(_HERE, *name.split("/")), "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
