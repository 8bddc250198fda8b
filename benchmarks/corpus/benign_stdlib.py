"""Pickles of what the standard library itself has: containers, numbers, times, small objects."""

from __future__ import annotations

import argparse
import array
import collections
import datetime  # noqa: ICN001 - named as in the pickles
import decimal
import enum
import fractions
import functools
import ipaddress
import operator
import pathlib
import pickle
import random
import re
import types
import uuid
from typing import Any, NamedTuple

from benign_out import Out


class Colour(enum.Enum):
    """A user's own enumeration."""

    RED = 1
    BLUE = 2


class Point(NamedTuple):
    """A user's own record."""

    x: int
    y: int


class Settings:
    """A user's own plain class."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.names = ["a", "b"]


def values() -> dict[str, Any]:
    """Return named values, none of which refers to a class of ours."""
    rng = random.Random(0)
    return {
        "datetime": [datetime.datetime(2024, 1, 2, 3, 4), datetime.date(2024, 1, 2), datetime.timedelta(3), datetime.time(1, 2)],  # noqa: DTZ001
        "timezone": datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
        "decimal": [decimal.Decimal("1.50"), fractions.Fraction(1, 3), complex(1, 2)],
        "uuid": uuid.UUID(int=7),
        "path": [pathlib.PurePosixPath("a/b"), pathlib.Path("models/x.bin")],
        "deque": collections.deque([1, 2, 3], 5),
        "defaultdict": collections.defaultdict(list, {"a": [1]}),
        "defaultdict-int": collections.defaultdict(int, {"a": 1}),
        "counter": collections.Counter("abracadabra"),
        "ordered": collections.OrderedDict([("a", 1), ("b", 2)]),
        "chainmap": collections.ChainMap({"a": 1}, {"b": 2}),
        "userdict": collections.UserDict(a=1),
        "regex": re.compile(r"\d+", re.IGNORECASE),
        "range": [range(1, 10, 2), slice(1, 2, 3), Ellipsis, NotImplemented],
        "bytes": [b"abc", bytearray(b"xyz"), b"x" * 70000],
        "array": [array.array("d", [1.0, 2.0]), array.array("i", [1, 2])],
        "random": [rng, rng.getstate()],
        "sets": [frozenset({1, 2}), {3, 4}],
        "namespace": types.SimpleNamespace(a=1, b="x"),
        "args": argparse.Namespace(lr=0.1, epochs=3, model="resnet18"),
        "partial": functools.partial(int, base=2),
        "getters": [operator.itemgetter(1, 2), operator.attrgetter("a.b"), operator.methodcaller("lower")],
        "builtins": [len, max, int, str, sorted, isinstance, Exception],
        "ip": ipaddress.ip_address("10.0.0.1"),
        "exception": ValueError("bad value"),
        "numbers": [
            0,
            1,
            -1,
            255,
            256,
            65535,
            65536,
            2**31,
            -(2**31),
            2**63,
            2**200,
            -(2**200),
            1.5,
            float("inf"),
            None,
            True,
            False,
        ],
        "text": ["", "ascii", "ümlaut", "\U0001f600", "a\nb\\c", "x" * 300, "y" * 70000],
        "recursive": _recursive(),
        "shared": [[1, 2]] * 5,
        "deep": _deep(200),
        "config": {
            "model": {"layers": [64, 32], "activation": "relu"},
            "seed": 3,
            "paths": ["/data/train", "https://example.org/model"],
        },
        "code-like text": {"prompt": "import os; os.system('ls')", "sql": "select 1", "html": "<script>x</script>"},
    }


def _recursive() -> list[Any]:
    loop: list[Any] = [1]
    loop.append(loop)
    loop.append({"self": loop, "t": (loop,)})
    return loop


def _deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def make(out: Out) -> None:
    """Every value in every protocol (in CI: one protocol each), and all in one; then the user's own classes."""
    found = values()
    for name, value in found.items():
        for protocol in [None] if out.small else range(pickle.HIGHEST_PROTOCOL + 1):
            out.pickle(name.replace(" ", "_"), value, protocol)
    found.pop("random")
    out.pickle("everything", list(found.values()))
    for protocol in (0, 2, pickle.HIGHEST_PROTOCOL):
        out.pickle("custom-enum", [Colour.RED, Colour.BLUE], protocol)
        out.pickle("custom-tuple", Point(1, 2), protocol)
        out.pickle("custom-class", Settings(0.1), protocol)
