"""Functions and classes that a pickle carries as code: read, put together with their globals, and followed.

Written by dill, cloudpickle (and what vendors it), numba, and by hand. Nothing is built: a function here is the
definition that `bytecode_lift` makes of its code, in a scope that holds what the pickle puts into its globals,
its closure and its defaults.

Facts
- pickle.code: name, kind (function | class | code), version, runs (`load`: while the pickle is loaded; `use`: when somebody
  calls it), touched (outside names), calls (those that are called), attributes (of values nobody knows), missing (globals that
  are nowhere), unclear (what cannot be told), broken (what does not add up), strong (its names, for judges)
- pickle.code_call, pickle.code_inner, pickle.code_code, pickle.code_reduce, pickle.code_patch: as `python.*` of
  `python_flow.py`, with `of_code`: the name of the carried function
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stannary.core.errors import BudgetExceeded
from stannary.formats.bytecode import Code, versions_of
from stannary.formats.bytecode_flow import CodeFlow
from stannary.formats.bytecode_lift import OTHER_VERSION, Work
from stannary.formats.interface import clip
from stannary.formats.pickle_code_parts import LOADING, Parts, family
from stannary.formats.pickle_code_values import Builder
from stannary.formats.pickle_values import Made

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stannary.core.model import Json
    from stannary.formats.interface import Sink
    from stannary.formats.pickle_record import Recorder
    from stannary.formats.python_values import Value

__all__ = ["report", "report_code"]

_INSTRUCTIONS = 90_000  # of all versions of all the code in a file
_ROOTS = 600
_SHOWN = 200


def report(recorder: Recorder, sink: Sink) -> set[int]:
    """Report every function, class and lone code object. Returns the ids of the arguments of the code objects that were read."""
    return _report(Parts(recorder), sink)


def report_code(code: Code, sink: Sink, names: Mapping[str, str]) -> bool:
    """Report one code object that something else than a pickle carries, `names` being globals that it finds there.

    Returns whether it was read and adds up.
    """
    return bool(_report(Parts.of(code, names), sink))


def _report(parts: Parts, sink: Sink) -> set[int]:
    codes = {key: code for key, code in parts.codes.items() if code is not None}
    if not codes:
        return set()
    work = Work(_INSTRUCTIONS)
    versions = list(dict.fromkeys(v for code in codes.values() for v in versions_of(code)))
    runs = [_Run(parts, version, work, sink) for version in versions]
    whole = [run for run in runs if not run.builder.broken]
    seen: set[Any] = set()
    for run in whole or sorted(runs, key=lambda run: run.wrong)[:1]:
        run.follow(seen)
    # What does not add up in any version is judged by its names as well.
    return set(codes) | parts.functions if whole else set()


class _Held:
    """A sink that keeps facts apart until it is known that they are new."""

    def __init__(self, sink: Sink, seen: set[Any]) -> None:
        self._sink = sink
        self._seen = seen
        self.budget = sink.budget
        self.siblings = sink.siblings
        self.child, self.inflate, self.incomplete, self.inert = sink.child, sink.inflate, sink.incomplete, sink.inert

    def fact(self, kind: str, offset: int | None = None, /, **data: Json) -> None:
        """Pass a fact on once, whichever version it was seen in."""
        key = (kind, str(sorted((k, v) for k, v in data.items() if k != "version")))
        if key not in self._seen:
            self._seen.add(key)
            self._sink.fact(kind, offset, **data)


class _Run:
    """All code of one file read as code of one version."""

    def __init__(self, parts: Parts, version: tuple[int, int], work: Work, sink: Sink) -> None:
        self.parts = parts
        self.version = version
        self.sink = sink
        self.builder = Builder(parts, version, work)
        self.roots = self._roots()
        self.wrong = sum(100 if what.startswith(OTHER_VERSION) else 1 for what in self.builder.broken)

    def _roots(self) -> list[tuple[str, str, Value, int]]:
        """Return (kind, name, value, offset) of everything worth following; building them lifts their code."""
        found: list[tuple[str, str, Value, int]] = []
        for _, func, args, _, offset in self.parts.calls:
            kind = family(func, args)
            if kind not in {"function", "class"} or len(found) >= _ROOTS:
                continue
            value = self.builder.value(Made(func, args, "REDUCE"))
            if kind == "function" and value.node is not None:
                found.append((kind, getattr(value.node, "name", "?"), value, offset))
            elif kind == "class" and value.scope is not None:
                found.append((kind, value.scope.label, value, offset))
        for key, code in self.parts.codes.items():
            if code is not None and key not in self.builder.used and key not in self.parts.inner and len(found) < _ROOTS:
                found.append(("code", code.name, self.builder.bare(code), self.parts.offsets[key]))
        return found

    def follow(self, seen: set[Any]) -> None:
        """Follow every root and report it."""
        held = _Held(self.sink, seen)
        flow = CodeFlow(held, prefix="pickle.code_")
        for kind, name, value, offset in self.roots:
            flow.start(of_code=clip(name, 80))
            cut = ""
            runs = "use"
            try:
                runs = self._root(flow, kind, value)
            except (BudgetExceeded, RecursionError) as exc:
                cut = f"not followed to its end: {type(exc).__name__}"
                self.sink.incomplete(f"code of {clip(name, 80)} was not followed to its end", offset)
            broken = [clip(b, 120) for b in self.builder.broken][:4] + ([cut] if cut else [])
            held.fact(
                "pickle.code", offset, name=clip(name, 80), kind=kind, version=f"{self.version[0]}.{self.version[1]}", runs=runs,
                touched=_shown(flow.touched), calls=_shown(flow.called_names), attributes=_shown(flow.attributes),
                missing=_shown(flow.missing), unclear=_shown(flow.unclear), broken=broken, more=_cut(flow),
                strong=_shown(dict.fromkeys(self.builder.words.get(id(value.node), ()))),
            )  # fmt: skip

    def _root(self, flow: CodeFlow, kind: str, value: Value) -> str:
        if kind != "class" or value.scope is None:
            flow.run(value, "function")
            return "use"
        runs = "use"
        for name, member in list(value.scope.names.items()):
            for option in member.options():
                if option.node is None:
                    flow.touch(option)
                    continue
                loading = name in LOADING
                runs = "load" if loading else runs
                flow.run(option, "import" if loading else "function")
        for base in value.items or ():
            flow.touch(base)
        return runs


def _shown(names: dict[str, None]) -> list[str]:
    return [clip(name, 160) for name in list(names)[:_SHOWN]]


def _cut(flow: CodeFlow) -> bool:
    return any(len(kept) > _SHOWN for kept in (flow.touched, flow.attributes, flow.missing, flow.unclear))
