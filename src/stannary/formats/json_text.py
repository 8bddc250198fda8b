r"""JSON text: the keys that make a deserialiser import, call or fetch, wherever they are nested.

Up to 2 MiB the document is parsed and walked; above, its bytes are searched for the same keys in
place, without building the tree (a tokenizer of 30 MB has millions of nodes and none of these).

Facts (`path` is the place in the document, `a.b[3]`):
`json.document`: kind (object, array, ...), keys (of the top level, at most 60), size, lines (JSON Lines: how many documents).
`json.object`: a type tag. Fields: tag (`py/object`, `py/reduce`, `$type`, `@class`, ...), name, path.
`json.target`: a dotted name that a configuration framework imports and calls (`_target_`). Fields: key, name, args, path.
`json.constructor`: LangChain `lc` object. Fields: name (ids joined by dots), type, path.
`json.type`: `_type` of a serialised LangChain chain, prompt or tool. Fields: name, path.
`json.opened`: a file outside the folder that loading such an object opens. Fields: key, value, how, path.
`json.remote_code`: auto_map, custom_pipelines, trust_remote_code, ... Fields: key, entry, value, path.
`python.served`: the file that a manifest names as its handler (TorchServe). Fields: name.
`json.spark_class`: a class that Spark looks up by name when it loads a stage. Fields: name, path.
`json.module_type`: sentence-transformers `modules.json`: a class to import. Fields: name, path.
`json.shard`: a weight file named by an index outside its folder. Fields: value, how (absolute, traversal, url, encoded), path.
`json.command`: a command line that a tool runs. Fields: key, command, path.
`json.duplicate_key`: the same key twice in one object; parsers differ in which one they take. Fields: key, path.
`json.escaped_key`: a large document holds keys written with escapes of plain letters. Fields: text.
"""

from __future__ import annotations

import json
import re
from typing import Any

from stannary.core.errors import FormatError
from stannary.formats.embedded_text import hand_on, opens_encoded
from stannary.formats.inline_code import note_evaluated, note_script
from stannary.formats.inline_expressions import Expressions
from stannary.formats.interface import Sink, View, clip
from stannary.formats.json_keys import KEYS, Tags
from stannary.formats.setting_values import LARGEST, note_setting, outside

__all__ = ["probe", "read"]

_TREE = 2 << 20
_DEPTH = 200
_SHORTEST = 24  # characters of an encoded pickle that calls something
_NESTED_SETTINGS = 1 << 16
_NESTED = 20  # depth down to which documents in strings are read
_START = re.compile(rb'\s*(?:\{\s*["}]|\[\s*(?:["{\[\]]|-?\d|true|false|null))')
_KEY = re.compile(rb'"(' + b"|".join(re.escape(k.encode()) for k in sorted(KEYS)) + rb')"\s*:\s*')
_ESCAPED_KEY = re.compile(rb'"[\w/$@\\-]{0,40}\\u00[2-7][0-9a-fA-F][\w/$@\\-]{0,80}"\s*:')
_PLAIN_ESCAPE = re.compile(rb"\\u00[2-7][0-9a-fA-F]")
_MAX_HITS = 5000


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, in order, with repetitions."""


def probe(view: View) -> bool:
    """Tell whether text starts as a JSON object or array does."""
    head = view.head(256)
    return bool(_START.match(head.removeprefix(b"\xef\xbb\xbf"))) and b"\x00" not in head


def read(view: View, sink: Sink) -> None:
    """Read JSON or JSON Lines. Raises FormatError when a file named as JSON cannot be parsed."""
    if len(view) > _TREE:
        _search(view, sink)
        return
    text = view.text(_TREE)
    named = view.name.lower().endswith((".json", ".jsonl", ".ndjson"))
    documents, problem = _documents(text)
    if problem and not documents:
        _search(view, sink)
        if named or "nested" in problem:
            raise FormatError(problem)
        return  # text that only starts like JSON: the text reader has it
    first = documents[0]
    kind = "object" if isinstance(first, _Pairs) else "array" if isinstance(first, list) else type(first).__name__
    keys = [clip(key, 60) for key, _ in first][:60] if isinstance(first, _Pairs) else []
    sink.fact("json.document", None, kind=kind, keys=keys, size=len(view), documents=len(documents))
    tags = Tags(sink)
    # Lines of records and lists of them are data, whose strings mean nothing to a program.
    told: set[str] | None = set() if len(documents) == 1 and isinstance(first, _Pairs) and len(view) <= LARGEST else None
    expressions = Expressions(sink)
    for document in documents:
        _walk(document, tags, expressions if told is not None else None, told)
    expressions.hand_on()
    if problem:
        _search(view, sink)
        if named:
            sink.incomplete(problem)


def _documents(text: str) -> tuple[list[Any], str]:
    """Return the documents of a text and what stopped the parser."""
    decoder = json.JSONDecoder(object_pairs_hook=_Pairs, strict=False)
    found: list[Any] = []
    position = 0
    text = text.lstrip("\ufeff")
    while True:
        while position < len(text) and text[position] in " \t\r\n\x1e":
            position += 1
        if position >= len(text):
            return found, "" if found else "no JSON value"
        try:
            value, position = decoder.raw_decode(text, position)
        except ValueError as exc:
            return found, f"not JSON: {clip(str(exc), 100)}"
        except RecursionError:
            return found, "JSON nested too deeply to be read"
        found.append(value)


def _walk(document: Any, tags: Tags, expressions: Expressions | None, told: set[str] | None) -> None:  # noqa: ANN401 - any JSON value
    sink = tags.sink
    stack: list[tuple[str, Any, int]] = [("", document, 0)]
    while stack:
        path, value, depth = stack.pop()
        if isinstance(value, str):
            note_evaluated(sink, path, value)
            if expressions is not None:
                expressions.note(value)
            if told is not None:
                note_script(sink, path, path.rpartition(".")[2], value)
            if told is not None:
                note_setting(sink, path, path.rpartition(".")[2], value, told)
        if depth > _DEPTH:
            sink.incomplete(f"{clip(path)}: JSON nested deeper than {_DEPTH}")
            continue
        if isinstance(value, _Pairs):
            members = dict(value)
            if len(members) != len(value):
                _duplicates(path, value, sink)
            tags.object(path, members, value)
            stack.extend(
                (f"{path}.{clip(key, 60)}" if path else clip(key, 60), item, depth + 1)
                for key, item in value
                if isinstance(item, (list, str))
            )
        elif isinstance(value, list):
            tags.array(path, value)
            stack.extend(
                (f"{path}[{index}]", item, depth + 1)
                for index, item in enumerate(value)
                if isinstance(item, list)
                or (
                    isinstance(item, str)
                    and (len(item) >= _SHORTEST or "(" in item or "/" in item or "\\" in item or item[:1] == "$")
                )
            )
        elif isinstance(value, str) and depth < _NESTED and value[:1] in "{[" and _is_document(value, settings=told is not None):
            stack.extend((f"{path}(text)", inner, depth + 1) for inner in _documents(value)[0])
        elif isinstance(value, str) and len(value) >= _SHORTEST and opens_encoded(value):
            hand_on(sink, path or "value", value)


def _is_document(value: str, *, settings: bool) -> bool:
    """Tell whether a text is JSON to be read: it has a key that means code, or it stands in settings (CatBoost's `params`)."""
    return (settings and len(value) <= _NESTED_SETTINGS) or _KEY.search(value.encode("utf-8", "replace")) is not None


def _duplicates(path: str, members: _Pairs, sink: Sink) -> None:
    seen: set[str] = set()
    for key, _ in members:
        if key in seen:
            sink.fact("json.duplicate_key", None, key=clip(key), path=clip(path))
        seen.add(key)


def _search(view: View, sink: Sink) -> None:
    """Find the keys in a document that is too large, or too broken, to walk."""
    sink.fact("json.document", None, kind="text", keys=[], size=len(view), documents=0)
    tags = Tags(sink)
    decoder = json.JSONDecoder(strict=False)
    for count, match in enumerate(_KEY.finditer(view.data)):
        if count >= _MAX_HITS:
            sink.incomplete(f"more than {_MAX_HITS} keys of interest")
            break
        key = match[1].decode()
        raw = bytes(view.data[match.end() : match.end() + (1 << 18)]).decode("utf-8", "replace")
        try:
            value, _ = decoder.raw_decode(raw)
        except (ValueError, RecursionError):
            value = raw[:400].split("\n")[0]
        tags.object(f"@{match.start()}", {key: value}, [(key, value)])
        for item in value.values() if key == "weight_map" and isinstance(value, dict) else ():
            if isinstance(item, str) and outside(item):
                sink.fact("json.shard", match.start(), value=clip(item), how=outside(item), path=f"@{match.start()}")
    if view.find(b"\\u00") >= 0 and _PLAIN_ESCAPE.search(view.data):
        for match in _ESCAPED_KEY.finditer(view.data):
            try:
                name = json.loads(match[0].rstrip(b": \t\r\n"))
            except ValueError:
                continue
            if name in KEYS:
                sink.fact("json.escaped_key", match.start(), text=clip(name))
