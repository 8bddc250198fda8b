"""Jupyter notebooks: code cells as one Python module, shell magics, active content in outputs, and fields that are executed.

Facts:
`notebook.document`: cells, code_cells, language, nbformat.
`notebook.command`: a line or cell handed to a shell (`!cmd`, `%%bash`, `%sx`). Fields: command, cell, magic.
`notebook.output`: an output, a Markdown cell or a widget that holds HTML or JavaScript which a viewer may run. Fields: mime, cell,
    script, remote (address of a script or frame, if any), does (`kernel`, `secrets`, `hidden`: see `pages`; `metadata`: a field
    of metadata with script in it), text. Of metadata see `notebook_fields`.
Code cells become `python.*` facts of context `notebook`; the line of a fact counts through all code cells.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re

from stannary.core.errors import FormatError
from stannary.core.model import Json
from stannary.formats import notebook_fields, pages
from stannary.formats.interface import Sink, View, clip
from stannary.formats.python_names import parse
from stannary.formats.python_source import analyse

__all__ = ["read"]

_SHELL_CELLS = frozenset(
    {"bash", "sh", "zsh", "script", "sx", "system", "cmd", "powershell", "pwsh", "!", "perl", "ruby", "node", "R", "julia", "php"}
)
_BROWSER_CELLS = frozenset({"javascript", "js", "html", "HTML", "svg", "SVG", "markdown"})
_PYTHON_CELLS = frozenset(
    {"time", "timeit", "capture", "prun", "memit", "mprun", "lprun", "snakeviz", "python", "python2", "python3", "pypy"}
)
_FILE_CELLS = frozenset({"writefile", "file", "writetemplate"})
_SHELL_LINES = ("!", "%sx ", "%system ", "%%sx", "%bash ", "%pip ", "%conda ", "%sc ")
_FETCHED = re.compile(r"%(?:load|loadpy|load_ext|run)\s[^\n]*\b(?:https?|ftp)://")
_MEASURED = re.compile(r"%(?:time|timeit|prun|memit|lprun|mprun)\s+(?:-\w+\s*[\d.]*\s+)*(?=[^\s-])")  # statements that a magic runs
_ALIAS = re.compile(r"%alias\s+\S+\s+(.+)")
_ENVIRONMENT = re.compile(r"%(?:set_)?env\s+([A-Za-z_]\w*)(?:=|\s)\s*(.*)")
_ASSIGNED = re.compile(r"[\w, ]+=\s*(?:!|%(?:sx|system|sc)\s)(.*)")
_INACTIVE = frozenset({"markdown", "raw", "heading", "html"})
_OLD_OUTPUTS = {"html": "text/html", "javascript": "application/javascript", "svg": "image/svg+xml"}  # of nbformat 3
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
# What libraries of plots have the browser run when the notebook is opened.
_SCRIPTS = re.compile(r"application/vnd\.(?:holoviews|bokehjs)_(?:load|exec)\.v\d+\+json")
_MAX_CELLS = 5000
# What IPython takes for a magic or an alias without a sign before it, where it is no Python.
_AUTOMATIC = re.compile(
    r"(?:pip|conda|mamba|micromamba|uv|cd|ls|mkdir|rmdir|cat|rm|cp|mv|man|less|more)\s+(?!(?:in|is|if|and|or|not|for|else)\b)[\w~/.\"'$-][^=]*(?:[=<>!~]=[^=]*)*$"
)


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
        if cell.get("cell_type") in _INACTIVE:
            _beside(cell, number, sink)
        notebook_fields.report(cell.get("metadata"), f"cell {number}", number, sink)
    metadata = _table(document.get("metadata"))
    notebook_fields.report(metadata, "metadata", -1, sink)
    _metadata(metadata, sink)
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
        magic, _, arguments = first[2:].strip().partition(" ")
        _cell_magic(magic, arguments.strip(), rest, number, sink)
        if magic not in _PYTHON_CELLS:
            return
        text = f"{arguments}\n{rest}" if magic in {"timeit", "time"} and arguments and not arguments.startswith("-") else rest
    lines = [_line(line, number, sink) for line in text.split("\n")]
    if any(map(_AUTOMATIC.match, lines)) and not _parses("\n".join(lines)):
        lines = [_line(f"!{line}", number, sink) if _AUTOMATIC.match(line) else line for line in lines]
    source.append("\n".join(lines))


def _parses(text: str) -> bool:
    try:
        parse(text)
    except FormatError:
        return False
    return True


def _cell_magic(magic: str, arguments: str, rest: str, number: int, sink: Sink) -> None:
    """Report what a whole cell is handed to: a shell, another language, the browser, or a file."""
    if magic in _SHELL_CELLS:
        sink.fact("notebook.command", None, command=clip(rest or arguments, 4000), cell=number, magic=magic)
    elif magic in _BROWSER_CELLS:
        _active(rest, f"text/{magic}", number, sink)
    elif magic in _FILE_CELLS:
        path = next((word for word in arguments.split() if not word.startswith("-")), "")
        sink.fact("notebook.command", None, command=clip(f"cat > {path}\n{rest}", 4000), cell=number, magic="writefile")
        if rest.strip():
            sink.child(f"cell {number} {path.replace(chr(92), '/').rpartition('/')[2]}", rest.encode("utf-8", "surrogatepass"))


def _line(line: str, number: int, sink: Sink) -> str:
    """Report the magic of a line, and return the Python that stands in its place."""
    bare = line.lstrip()
    indent = line[: len(line) - len(bare)]
    measured = _MEASURED.match(bare)
    if measured:
        bare = bare[measured.end() :]
        line = indent + bare
    environment = _ENVIRONMENT.match(bare)
    if environment:
        return f"{indent}import os; os.environ[{environment[1]!r}] = {environment[2]!r}"
    assigned, alias = _ASSIGNED.match(bare), _ALIAS.match(bare)
    if bare.startswith(_SHELL_LINES) or assigned or alias:
        command = assigned[1] if assigned else alias[1] if alias else bare.lstrip("!%")
        sink.fact("notebook.command", None, command=clip(command, 4000), cell=number, magic="!")
    elif _FETCHED.match(bare):
        sink.fact("notebook.command", None, command=clip(bare, 4000), cell=number, magic="load")
    elif not bare.startswith(("%", "?")) and not bare.endswith("?"):
        return line
    return f"{indent}pass"


def _outputs(cell: dict[str, Json], number: int, sink: Sink) -> None:
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        shown = _table(output)
        old = {mime: shown[key] for key, mime in _OLD_OUTPUTS.items() if key in shown}
        for mime, content in {**_table(shown.get("data")), **old}.items():
            if _SCRIPTS.fullmatch(mime):
                _active(_text(content), mime, number, sink)
            elif mime in _MIMES or _is_markup(mime, content):
                _shown(_text(content), mime, number, sink)
        notebook_fields.report(shown.get("metadata"), f"cell {number} output", number, sink)


def _is_markup(mime: str, content: Json) -> bool:
    """Tell whether a picture or formula has signs that break out of the tag a viewer puts it in."""
    text = content if isinstance(content, str) else _text(content) if isinstance(content, list) else ""
    return ("<" in text or '"' in text or "javascript:" in text) if mime.startswith(("image/", "text/")) else False


def _beside(cell: dict[str, Json], number: int, sink: Sink) -> None:
    """Read what stands between the code: Markdown with HTML in it, and the pictures attached to it."""
    text = _text(cell.get("source", ""))
    _shown(text, "text/markdown", number, sink)
    if "{{" in text:
        notebook_fields.braces(text, number, sink)
    for attached in _table(cell.get("attachments")).values():
        for mime, content in _table(attached).items():
            if mime in _MIMES:
                text = _text(content)
                with contextlib.suppress(ValueError):
                    text = base64.b64decode(text, validate=True).decode("utf-8", "replace")
                _shown(text, mime, number, sink)


def _metadata(metadata: dict[str, Json], sink: Sink) -> None:
    """Report the command of a kernel, and widgets whose code comes from an address."""
    argv = _table(metadata.get("kernelspec")).get("argv")
    if isinstance(argv, list):
        sink.fact("notebook.command", None, command=clip(" ".join(map(str, argv)), 4000), cell=-1, magic="kernel")
    for state in _table(metadata.get("widgets")).values():
        widgets = _table(state)
        for widget in _table(widgets.get("state", widgets)).values():
            module = str(_table(widget).get("model_module", ""))
            if "//" in module:
                sink.fact(
                    "notebook.output",
                    None,
                    mime="widget",
                    cell=-1,
                    script=True,
                    remote=clip(module),
                    does="",
                    text=clip(module, 120),
                )
            for key, value in _table(_table(widget).get("state")).items():
                if key in {"value", "_esm", "description"} and isinstance(value, str):
                    _shown(value if key != "_esm" else f"<script>{value}", "widget", -1, sink)


def _shown(text: str, mime: str, number: int, sink: Sink) -> None:
    if "javascript" in mime or pages.is_active(text):
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
        does=pages.takes(text) or ("hidden" if pages.hides(text) else ""),
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
