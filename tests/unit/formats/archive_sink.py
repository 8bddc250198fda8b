"""A sink that keeps what a reader reports, for tests of one reader alone."""

from __future__ import annotations

from stannary.core.errors import FormatError
from stannary.formats.decompress import DECODE_ERRORS
from stannary.formats.interface import Budget, View


class Kept:
    """Facts, children (name -> content) and what was not read."""

    def __init__(self, limits=None):
        self.budget = Budget(limits)
        self.siblings = frozenset()
        self.facts = []
        self.children = {}
        self.contents = []  # of all children, also those that share a name
        self.hints = {}
        self.missed = []

    def fact(self, kind, offset=None, /, **data):
        self.facts.append((kind, offset, data))

    def child(self, name, content, *, offset=None, hint=""):  # noqa: ARG002 - the protocol's names
        self.children[name] = bytes(content)
        self.contents.append(bytes(content))
        self.hints[name] = hint

    def inflate(self, name, chunks, *, hint="", size=0):
        content = b""
        try:
            for chunk in chunks:
                self.budget.take_inflated(len(chunk))
                content += chunk
        except DECODE_ERRORS as exc:
            self.missed.append(f"{name}: {exc}")
        if size and len(content) != size:
            self.missed.append(f"{name}: size")
        self.children[name] = content
        self.contents.append(content)
        self.hints[name] = hint

    def incomplete(self, reason, offset=None):  # noqa: ARG002 - the protocol's names
        self.missed.append(reason)

    def inert(self, reason):
        pass

    def of(self, kind):
        """Return the data of all facts of a kind."""
        return [data for found, _, data in self.facts if found == kind]


def read_with(reader, content, name="x"):
    """Run a reader; a FormatError counts as missed, as the walker does it."""
    sink = Kept()
    try:
        reader(View(content, name), sink)
    except FormatError as exc:
        sink.missed.append(exc.message)
    return sink
