"""Model cards as hubs write them: YAML between two lines of dashes, then Markdown."""

from __future__ import annotations

import re
from typing import Any

from stannary.core.errors import FormatError
from stannary.formats.interface import clip
from stannary.report.bom.reading.answer import Card, Metric, Section

__all__ = ["read"]

_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_HEADING = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_LINK = re.compile(r"https?://[^\s<>()\[\]\"'`|\\^{}]{4,300}")
_FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
# What templates leave for an author to fill in says nothing.
_PLACEHOLDER = re.compile(r"\[?(?:more information needed|needs more information|todo|tbd)\]?\.?", re.IGNORECASE)
_BOILERPLATE = re.compile(r"\[[^\]]*\]\(https?://[^)]*\)|[*_`>|#-]|\s")
_LARGEST = 4 << 20
_DEEPEST = 40
_NODES = 100_000
_TEXT = 4000
_SECTIONS = 200
_METRICS = 2000
_LINKS = 200


def read(text: str) -> tuple[Card, str]:
    """Return a card, and what of it could not be read."""
    found = _FRONT.match(text)
    front: dict[str, Any] = {}
    problem = ""
    if found is not None:
        try:
            front = _front(found[1])
        except FormatError as error:
            problem = f"front matter: {error.message}"
    body = text[found.end() :] if found is not None else text
    line = text.count("\n", 0, found.end()) if found is not None else 0
    plain = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), body)
    title, description, sections = _sections(plain, line)
    links = tuple(dict.fromkeys(match.rstrip(".,;:!?") for match in _LINK.findall(plain)))[:_LINKS]
    metrics = tuple(_metrics(front))
    front.pop("model-index", None)
    card = Card(front=front, title=title, description=description, sections=tuple(sections), metrics=metrics, links=links)
    return card, problem


def _front(text: str) -> dict[str, Any]:
    """Return the front matter, every scalar as text. Raises FormatError; aliases, which can multiply, are refused."""
    import yaml

    if len(text) > _LARGEST:
        msg = f"{len(text)} characters are too many"
        raise FormatError(msg)
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        depth = 0
        for nodes, event in enumerate(yaml.parse(text, Loader=loader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                msg = "has aliases, which no card needs"
                raise FormatError(msg)
            if depth > _DEEPEST or nodes > _NODES:
                msg = "is nested too deeply" if depth > _DEEPEST else "has too many entries"
                raise FormatError(msg)
        loaded = yaml.load(text, Loader=loader)  # noqa: S506 - the base loader builds texts, lists and dicts only
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 2}" if mark is not None else ""
        msg = f"is not YAML{where}: {clip(str(getattr(error, 'problem', None) or error), 120)}"
        raise FormatError(msg) from error
    if loaded is None or loaded == "":
        return {}
    if not isinstance(loaded, dict):
        msg = "is no mapping"
        raise FormatError(msg)
    return {clip(str(key), 80): _bounded(value) for key, value in list(loaded.items())[:200]}


def _bounded(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - what YAML holds
    if isinstance(value, str):
        return clip(value.strip(), 1000)
    if isinstance(value, list):
        return [_bounded(item, depth + 1) for item in value[:2000]]
    if isinstance(value, dict):
        return {clip(str(key), 120): _bounded(item, depth + 1) for key, item in list(value.items())[:2000]}
    return clip(str(value), 200)


def _sections(body: str, first: int) -> tuple[str, str, list[Section]]:
    """Return the title, the first paragraph, and what stands under each heading."""
    fenced = [match.span() for match in _FENCE.finditer(body)]
    heads = [match for match in _HEADING.finditer(body) if not any(a <= match.start() < b for a, b in fenced)]
    title = next((clip(_plain(head[2]), 200) for head in heads if len(head[1]) == 1), "")
    sections: list[Section] = []
    description = _paragraph(body[: heads[0].start()]) if heads else _paragraph(body)
    for index, head in enumerate(heads[:_SECTIONS]):
        end = heads[index + 1].start() if index + 1 < len(heads) else len(body)
        text = body[head.end() : end].strip()
        said = _said(text)
        if said:
            line = first + body.count("\n", 0, head.start()) + 1
            sections.append(Section(clip(_plain(head[2]), 200), clip(said, _TEXT), line))
            description = description or (_paragraph(text) if not index or "description" in head[2].lower() else "")
    return title, description, sections


def _said(text: str) -> str:
    """Return the text of a section, empty when it is only what a template left there."""
    kept = _PLACEHOLDER.sub("", text)
    rest = re.sub(r"^[-*][ \t]+\*\*[^*\n]{1,80}:?\*\*:?[ \t]*$", "", kept, flags=re.MULTILINE)
    if not _BOILERPLATE.sub("", rest):
        return ""
    return re.sub(r"\n{3,}", "\n\n", kept).strip()


def _paragraph(text: str) -> str:
    for block in re.split(r"\n[ \t]*\n", text):
        stripped = block.strip()
        if not stripped or stripped[0] in "|!<`[{~" or stripped.startswith(("---", "* ", "- ", "#")):
            continue
        said = _plain(_PLACEHOLDER.sub("", stripped))
        if len(said) > 20:  # noqa: PLR2004 - less is a badge or a name
            return clip(said, 1000)
    return ""


def _plain(text: str) -> str:
    """Return Markdown as text: links by their words, no emphasis."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"\s+", " ", re.sub(r"[*_`]{1,3}|<[^<>]{1,200}>", "", text)).strip()


def _metrics(front: dict[str, Any]) -> list[Metric]:
    """Return the results of `model-index` (papers-with-code's form)."""
    found: list[Metric] = []
    for model in _rows(front.get("model-index")):
        for result in _rows(model.get("results")):
            dataset, task = _table(result.get("dataset")), _table(result.get("task"))
            named = [_text(dataset.get("name") or dataset.get("type")), _text(dataset.get("config")), _text(dataset.get("split"))]
            for metric in _rows(result.get("metrics")):
                value = _text(metric.get("value"))
                name = _text(metric.get("type") or metric.get("name"))
                if not value or not name or len(found) >= _METRICS:
                    continue
                kind = _text(task.get("name") or task.get("type"))
                found.append(Metric(name, value, " ".join(filter(None, named)), kind, _text(metric.get("verified")) == "true"))
    return found


def _rows(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - what a card holds
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _table(value: Any) -> dict[str, Any]:  # noqa: ANN401 - what a card holds
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:  # noqa: ANN401 - what a card holds
    return clip(value, 200) if isinstance(value, str) else ""
