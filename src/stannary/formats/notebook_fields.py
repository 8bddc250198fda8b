"""Fields of a notebook that are no cell: what extensions, converters and viewers do with the text in its metadata.

The variable inspector and the prettifiers of nbextensions send fields of the metadata to the kernel when the notebook is opened;
RISE, nbconvert and the table of contents put fields into a page as they are (CVE-2021-32862); nbconvert imports the exporter that
the language information names; Voila looks for its template by name; the extension *Python Markdown* evaluates what stands between
double braces in a Markdown cell. Which field does so is beyond counting: every text is looked at for what it is.

Facts: `notebook.output` (mime `metadata`), `notebook.command` (magic `metadata`), `json.target`; source is read as a child.
Places and addresses are told by `json_text`, which reads the document, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stannary.core.errors import FormatError
from stannary.core.model import Json
from stannary.formats import pages
from stannary.formats.interface import Sink, clip
from stannary.formats.python_names import parse

__all__ = ["braces", "report"]

_MOST = 20_000  # texts of one table
_LONGEST = 1 << 16
_DEPTH = 24
# What is worth reading as source: a field of plain words has none of it.
_CODE = re.compile(
    r"\b(?:import|from)\s+\w|__\w+__|\b(?:exec|eval|compile|open|getattr|system|popen|run_cell|run_line_magic|get_ipython)\s*\(|\bsubprocess\b"
)
_COMMAND = re.compile(r"\b(?:curl|wget|bash|sh|nc|ncat|powershell|certutil|mshta)\b")
_BRACES = re.compile(r"\{\{(.{3,400}?)\}\}", re.DOTALL)
_STATE = "widgets"  # read by `notebook`
_OWN_EXPORTERS = ("nbconvert.", "jupytext.", "nbsphinx.")


def report(table: Json, where: str, cell: int, sink: Sink) -> None:
    """State what the texts in a table of metadata are: source, a command, a page with script, a place.

    Args:
        table: of the notebook, a cell or an output.
        where: what it is of, for the names of children.
        cell: number of the cell, -1 for the notebook itself.
        sink: takes the facts.
    """
    for count, (path, key, text) in enumerate(_texts(table, where, 0)):
        if count >= _MOST:
            sink.incomplete(f"{clip(where)}: only {_MOST} texts of the metadata were read")
            return
        if key == "nbconvert_exporter" and "." in text and not text.startswith(_OWN_EXPORTERS):
            sink.fact("json.target", None, key="import_path", name=clip(text), args={}, path=clip(path))
        if pages.is_active(text):
            sink.fact(
                "notebook.output",
                None,
                mime="metadata",
                cell=cell,
                script=True,
                remote=clip(pages.sends_to(text)) or None,
                does=pages.takes(text) or ("hidden" if pages.hides(text) else "metadata"),
                text=clip(text.strip(), 120),
            )
        _executed(text, path, cell, sink)


def braces(text: str, number: int, sink: Sink) -> None:
    """Read the expressions of a Markdown cell that an extension evaluates in the kernel."""
    for count, found in enumerate(_BRACES.finditer(text)):
        if count >= _MOST:
            sink.incomplete(f"cell {number}: only {_MOST} expressions were read")
            return
        if _CODE.search(found[1]):
            _source(found[1].strip(), f"cell {number} braces", sink)


def _texts(value: Json, path: str, depth: int) -> Iterator[tuple[str, str, str]]:
    """Yield path, key and text of each string of a table, and of each list of lines."""
    if depth > _DEPTH:
        return
    members: list[tuple[str, Json]] = []
    if isinstance(value, dict):
        members = [(key, item) for key, item in value.items() if depth or key != _STATE]
    elif isinstance(value, list):
        members = [(path.rpartition(".")[2], item) for item in value]
    for key, item in members:
        inner = f"{path}.{key}" if isinstance(value, dict) else path
        if isinstance(item, str):
            yield inner, key, item
        elif isinstance(item, list) and item and all(isinstance(line, str) and line.endswith("\n") for line in item[:-1]):
            yield inner, key, "".join(map(str, item))  # lines of one text
        elif isinstance(item, dict | list):
            yield from _texts(item, inner[-300:], depth + 1)


def _executed(text: str, path: str, cell: int, sink: Sink) -> None:
    if len(text) < len("import x") or len(text) > _LONGEST:
        return
    if _CODE.search(text):
        _source(text, path, sink)
    if _COMMAND.search(text):
        sink.fact("notebook.command", None, command=clip(text, 4000), cell=cell, magic="metadata")


def _source(text: str, name: str, sink: Sink) -> None:
    """Hand on what is Python; prose that only has its words is none."""
    try:
        parse(text)
    except FormatError:
        return
    sink.child(f"{clip(name, 80)}.py", text.encode("utf-8", "surrogatepass"), hint="python")
