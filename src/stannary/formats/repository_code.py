"""The Python that a framework runs when it loads a repository: read file by file, imports followed."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from stannary.core.errors import FormatError
from stannary.core.model import Json
from stannary.formats.interface import Budget, Sink, View, clip
from stannary.formats.repository_files import Folder

__all__ = ["LoadPath"]

_MAX_FILES = 400
_INSTALLED = frozenset({"install", "develop", "egg_info", "install_lib", "install_scripts", "easy_install", "bdist_egg"})


class LoadPath:
    """Collects the source files that loading reaches and reports what their code does.

    Facts: `repo.code`: file, trigger, reference, how (load: imported when the model is loaded; deploy: imported by a
    server; install: run by an installer). `repo.call`: a `python.call` of such a file, with file, trigger and place.
    `repo.reduce`, `repo.bytecode`, `repo.missing`: as their names say; each with file and trigger.
    """

    def __init__(self, folder: Folder, sink: Sink) -> None:
        self.folder = folder
        self.sink = sink
        self.seen: dict[str, str] = {}

    def module(self, base: str, dotted: str, trigger: str, *, how: str = "load") -> bool:
        """Follow a module name from a folder; report it missing when there is no such file. Returns whether it is there."""
        found = self.folder.module(base, dotted)
        if found is None:
            compiled = [
                n
                for n in self.folder.names
                if n.endswith((".pyc", ".so", ".pyd")) and posixpath.basename(n).split(".")[0] == dotted.rpartition(".")[2]
            ]
            for name in sorted(compiled)[:10]:
                self.sink.fact("repo.bytecode", None, file=clip(name), trigger=clip(trigger), source=False)
            if not compiled:
                self.sink.fact("repo.missing", None, file=clip(dotted), trigger=clip(trigger), what="module")
            return False
        self.file(found, trigger, how=how, reference=dotted)
        return True

    def file(self, name: str, trigger: str, *, how: str = "load", reference: str = "") -> None:
        """Read one source file, and the files of the repository that it imports."""
        queue = [(name, trigger, reference)]
        while queue:
            current, why, what = queue.pop()
            if current in self.seen:
                continue
            self.seen[current] = why
            if len(self.seen) > _MAX_FILES:
                self.sink.incomplete(f"more than {_MAX_FILES} source files are reached by loading")
                return
            self.sink.fact("repo.code", None, file=clip(current), trigger=clip(why), reference=clip(what), how=how)
            self._bytecode(current, why)
            through = f"{why} > {posixpath.basename(current)}"
            queue.extend((imported, through, "") for imported in self._source(current, why, how))

    def _source(self, name: str, trigger: str, how: str) -> Iterator[str]:
        raw = self.folder.read(name)
        if raw is None:
            return
        from stannary.formats import python_source  # only when code is in the load path

        collector = _Collector(self.sink.budget)
        try:
            python_source.read(View(raw, name), collector)
        except FormatError as exc:
            self.sink.incomplete(f"{clip(name)}: {exc.message}")
        for reason in collector.reasons:
            self.sink.incomplete(f"{clip(name)}: {reason}")
        commands = _install_commands(collector.facts) if how == "install" else frozenset()
        for kind, data in collector.facts:
            if kind == "python.call":
                place = {"import": "load", "function": "serve", "main": "other"}[str(data["scope"])]
                if how == "install" and place == "serve":
                    place = "load" if str(data["function"]).rpartition(".")[0] in commands else "other"
                self.sink.fact("repo.call", None, **data, file=clip(name), trigger=clip(trigger), place=place)
            elif kind in {"python.reduce", "python.inner", "python.coding", "python.word"}:
                self.sink.fact(kind.replace("python.", "repo."), None, **data, file=clip(name), trigger=clip(trigger))
        yield from self._imports(name, raw)

    def _imports(self, name: str, raw: bytes) -> Iterator[str]:
        import ast

        from stannary.formats.python_names import parse

        try:
            tree = parse(raw, name)
        except FormatError:
            return
        here = posixpath.dirname(name)
        for node in ast.walk(tree):
            wanted: list[tuple[str, str]] = []
            if isinstance(node, ast.Import):
                wanted = [(here, a.name) for a in node.names] + [("", a.name) for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = here
                for _ in range(max(0, node.level - 1)):
                    base = posixpath.dirname(base)
                module = node.module or ""
                wanted = [(base, module)] if module else []
                wanted += [(base, f"{module}.{a.name}".strip(".")) for a in node.names]
                if not node.level:
                    wanted += [("", module)]
            for base, dotted in wanted:
                found = self.folder.module(base, dotted) if dotted else None
                if found is not None and found != name:
                    yield found

    def _bytecode(self, name: str, trigger: str) -> None:
        """Report cached bytecode beside a source file of the load path: Python may run it instead."""
        directory, base = posixpath.split(name)
        stem = base.removesuffix(".py")
        cache = posixpath.join(directory, "__pycache__", f"{stem}.cpython-")
        for other in sorted(self.folder.names):
            if other.startswith(cache) and other.endswith(".pyc"):
                # PEP 552: bit 0 of the flags marks a hash-based file, bit 1 clear one that is never checked against its source.
                flags = int.from_bytes(self.folder.head(other, 8)[4:8], "little")
                self.sink.fact("repo.bytecode", None, file=clip(other), trigger=clip(trigger), source=True, unchecked=flags == 1)


def _install_commands(facts: list[tuple[str, dict[str, Json]]]) -> frozenset[str]:
    """Return the classes that replace a command which every installation runs; those that compile run tools by design."""
    found = set()
    for kind, data in facts:
        bases = data.get("bases") if kind == "python.class" else None
        if isinstance(bases, list) and any(str(base).rpartition(".")[2] in _INSTALLED for base in bases):
            found.add(str(data["name"]))
    return frozenset(found)


class _Collector:
    """A sink that keeps facts for the repository's own."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.siblings: frozenset[str] = frozenset()
        self.facts: list[tuple[str, dict[str, Json]]] = []
        self.reasons: list[str] = []

    def fact(self, kind: str, offset: int | None = None, /, **data: Json) -> None:  # noqa: ARG002 - the shape of a sink
        """Keep a fact."""
        if len(self.facts) < 20_000:
            self.facts.append((kind, data))

    def child(self, name: str, content: memoryview | bytes, *, offset: int | None = None, hint: str = "") -> None:
        """Ignore embedded content: the file's own reading follows it."""

    def inflate(self, name: str, chunks: Iterator[bytes], *, hint: str = "", size: int = 0) -> None:
        """Ignore embedded content: the file's own reading follows it."""

    def incomplete(self, reason: str, offset: int | None = None) -> None:  # noqa: ARG002 - the shape of a sink
        """Keep a reason."""
        self.reasons.append(reason)

    def inert(self, reason: str) -> None:
        """Nothing to keep."""
