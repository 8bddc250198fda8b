"""Jupyter notebooks: code cells as one Python module, shell magics, and active content in outputs.

Facts:
`notebook.document`: cells, code_cells, language, nbformat.
`notebook.command`: a line or cell handed to a shell (`!cmd`, `%%bash`, `%sx`). Fields: command, cell, magic.
`notebook.output`: an output that holds HTML or JavaScript which a viewer may run. Fields: mime, cell, script,
    remote (address of a script or frame, if any), text.
Code cells become `python.*` facts of context `notebook`; the line of a fact counts through all code cells.
"""

from __future__ import annotations

import json
import re

from stannary.core.errors import FormatError
from stannary.core.model import Json
from stannary.formats import pages
from stannary.formats.interface import Sink, View, clip
from stannary.formats.python_names import parse
from stannary.formats.python_source import analyse

__all__ = ["read"]

_SHELL_CELLS = frozenset({"bash", "sh", "script", "sx", "system", "cmd", "powershell", "!"})
_BROWSER_CELLS = frozenset({"javascript", "js", "html", "HTML", "svg"})
_SHELL_LINES = ("!", "%sx ", "%system ", "%%sx", "%bash ", "%pip ", "%conda ")
_FETCHED = re.compile(r"%(?:load|loadpy|load_ext|run)\s[^\n]*\b(?:https?|ftp)://")
_MIMES = frozenset(
    {
        "text/html",
        "application/javascript",
        "text/javascript",
        "image/svg+xml",
        "text/markdown",
        "application/vnd.jupyter.widget-view+json",
    }
)
_MAX_CELLS = 5000


def read(view: View, sink: Sink) -> None:
    """Read a notebook (nbformat 3 or 4). Raises FormatError when it is not one."""
    try:
        document = json.loads(view.text(sink.budget.limits.text))
    except (ValueError, RecursionError) as exc:
        msg = f"not a notebook: {clip(str(exc), 80)}"
        raise FormatError(msg) from exc
    cells = _cells(document)
    language = str(_table(_table(document.get("metadata")).get("kernelspec")).get("language") or "python")
    code = [(n, c) for n, c in enumerate(cells) if c.get("cell_type") == "code"]
    sink.fact(
        "notebook.document",
        None,
        cells=len(cells),
        code_cells=len(code),
        language=clip(language, 40),
        nbformat=document.get("nbformat"),
    )
    if len(cells) > _MAX_CELLS:
        sink.incomplete(f"notebook of {len(cells)} cells: only {_MAX_CELLS} were read")
    source: list[str] = []
    for number, cell in code[:_MAX_CELLS]:
        _code_cell(_text(cell.get("source", cell.get("input", ""))), number, source, sink)
    for number, cell in enumerate(cells[:_MAX_CELLS]):
        _outputs(cell, number, sink)
    if language.lower().startswith("python"):
        _python(source, sink)


def _cells(document: Json) -> list[dict[str, Json]]:
    if not isinstance(document, dict):
        msg = "not a notebook: the document is not an object"
        raise FormatError(msg)
    cells = document.get("cells")
    if cells is None and isinstance(document.get("worksheets"), list):
        cells = [c for sheet in document["worksheets"] if isinstance(sheet, dict) for c in sheet.get("cells", [])]
    if not isinstance(cells, list):
        msg = "not a notebook: no list of cells"
        raise FormatError(msg)
    return [cell for cell in cells if isinstance(cell, dict)]


def _table(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _text(source: Json) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _code_cell(text: str, number: int, source: list[str], sink: Sink) -> None:
    first, _, rest = text.lstrip().partition("\n")
    if first.startswith("%%"):
        magic = first[2:].split(" ", 1)[0].strip()
        if magic in _SHELL_CELLS:
            sink.fact("notebook.command", None, command=clip(rest or first, 4000), cell=number, magic=magic)
        elif magic in _BROWSER_CELLS:
            _active(rest, f"text/{magic}", number, sink)
        if magic not in {"time", "timeit", "capture", "prun"}:
            return
        text = rest
    lines: list[str] = []
    for line in text.split("\n"):
        bare = line.lstrip()
        indent = line[: len(line) - len(bare)]
        assigned = re.match(r"[\w, ]+=\s*!(.*)", bare)
        if bare.startswith(_SHELL_LINES) or assigned:
            command = assigned[1] if assigned else bare.lstrip("!%")
            sink.fact("notebook.command", None, command=clip(command, 4000), cell=number, magic="!")
            lines.append(f"{indent}pass")
        elif _FETCHED.match(bare):
            sink.fact("notebook.command", None, command=clip(bare, 4000), cell=number, magic="load")
            lines.append(f"{indent}pass")
        elif bare.startswith(("%", "?")) or bare.endswith("?"):
            lines.append(f"{indent}pass")
        else:
            lines.append(line)
    source.append("\n".join(lines))


def _outputs(cell: dict[str, Json], number: int, sink: Sink) -> None:
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        data = output.get("data") if isinstance(output, dict) else None
        for mime, content in data.items() if isinstance(data, dict) else ():
            if mime not in _MIMES:
                continue
            text = _text(content)
            script = "javascript" in mime or pages.is_active(text)
            if script:
                _active(text, mime, number, sink)


def _active(text: str, mime: str, number: int, sink: Sink) -> None:
    remote = pages.sends_to(f"<script>{text}" if "javascript" in mime or mime.endswith("/js") else text)
    sink.fact(
        "notebook.output",
        None,
        mime=clip(mime, 60),
        cell=number,
        script=True,
        remote=clip(remote) or None,
        text=clip(text.strip(), 120),
    )


def _python(source: list[str], sink: Sink) -> None:
    good: list[str] = []
    for cell in source:
        try:
            parse(cell)
        except FormatError as exc:
            if cell.strip():
                sink.incomplete(f"a notebook cell was not read: {exc.message}")
            continue
        good.append(cell)
    text = "\n".join(good)
    try:
        tree = parse(text)
    except FormatError as exc:
        sink.incomplete(f"the notebook's code was not read: {exc.message}")
        return
    analyse(tree, sink, name="notebook", lines=text.count("\n") + 1, context="notebook")
