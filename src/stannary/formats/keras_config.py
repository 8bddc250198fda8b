"""Keras configurations (Keras 2 and 3): every object, function, lambda and path a deserialiser would act on.

Found in HDF5 attributes (`model_config`), `config.json` of `.keras` archives, `keras_metadata.pb`,
and `model.to_json()` output. Semantics from Keras `serialization_lib.py` and the legacy
`serialization.py`: a dictionary with `class_name` and `config` is an object wherever it occurs.

Facts (`path` is the place in the configuration):
- `keras.config` class_name, version, objects
- `keras.object` class_name, module, registered_name, path: each distinct object; absent fields are null
- `keras.function` name, module, registered_name, path: a function to be looked up
- `keras.typespec` name, module, path
- `keras.lambda` path, owner, names, strings, parsed, size: code kept as marshalled bytecode; read: to its end; uses:
  outside names; members: of what it is given; clear: there is nothing else to know of it
- `keras.lambda_name` path, name, module: a Lambda layer over a function found by name
- `keras.symbol` symbol, path: a TensorFlow function by its public name (TFOpLambda)
- `keras.resource` key, value, how, class_name, path: text that names a file or an address
  (`how`: url, absolute, traversal, plain)
- `keras.pickle` path, class_name, size: a pickled object inside the configuration
- `keras.duplicate_key` key, path: the same key twice; readers differ in which one counts
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from stannary.core.errors import FormatError
from stannary.formats.embedded import carve
from stannary.formats.interface import Sink, View, clip
from stannary.formats.keras_code import Followed, follow, lambda_code

__all__ = ["probe", "read", "read_config"]

_HEAD = 1 << 16
_ESCAPED_KEY = re.compile(b'"' + b"".join(rb"(?:%c|\\u00%x(?i:%x))" % (c, c >> 4, c & 15) for c in b"class_name") + rb'"\s*:')
_PATH_KEYS = frozenset(
    [
        "vocabulary",
        "vocab",
        "vocabulary_file",
        "vocab_file",
        "filename",
        "filepath",
        "file",
        "file_path",
        "path",
        "url",
        "uri",
        "origin",
        "fname",
        "handle",
        "merges",
        "proto",
        "dictionary",
        "idf_weights",
        "saved_model",
        "model_path",
        "weights_path",
        "weights",
        "checkpoint",
        "checkpoint_path",
        "data_path",
        "log_dir",
        "directory",
        "cache_dir",
        "state_path",
        "asset",
    ]
)
_LAMBDA_KEYS = ("function", "output_shape", "mask", "arguments", "value")
_URL = re.compile(r"^[a-z][a-z0-9+.\-]{1,20}://", re.IGNORECASE)
_ABSOLUTE = re.compile(r"^(?:/|~[/\w]|[A-Za-z]:[\\/]|\\\\|%[A-Za-z]+%|\$\{?[A-Z_]+)")
# Where a document says what it is, came from and may be used for; no layer has such an argument.
_SAYS = re.compile(
    r"\$(?:schema|id|ref)|source_?ur[li]|home_?page|licen[cs]e(?:_?url)?|repository|documentation|citation", re.IGNORECASE
)
_SENSITIVE = re.compile(
    r"^/(?:etc|proc|root|home|var|dev|sys|tmp|usr|opt|mnt|Users|app|data|run|boot|lib|bin)(?:/|$)|^~/|^[A-Za-z]:\\|(?:^|[\\/])\.\.[\\/]"
)
_PLAIN_FILE = re.compile(r"\.[A-Za-z0-9]{1,8}$")
_MARSHALLED = re.compile(r"\s*(?:4w|Yw)[A-Za-z0-9+/]{2}")  # base64 of a code object, with and without the flag of references
_DISTINCT = 5000
_NESTED_TEXT = 4
_MARKER = "\0duplicates"


def probe(view: View) -> bool:
    """Tell whether a JSON object has Keras objects in it, even when the key is written with escapes."""
    head = view.head(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    encoding = _encoding(view)
    if encoding and len(view) <= 32 << 20:
        return '"class_name"'.encode(encoding) in bytes(view.data)
    if head[:1] != b"{":
        return False
    if view.find(b'"class_name"') >= 0:
        return True
    if len(view) > 32 << 20 or view.find(b"\\u00") < 0:
        return False
    return _ESCAPED_KEY.search(view.data) is not None


def read(view: View, sink: Sink) -> None:
    """Read a configuration as JSON. Raises FormatError."""
    encoding = _encoding(view)
    if encoding and len(view) <= sink.budget.limits.text:
        read_config(bytes(view.data).decode(encoding, "replace").lstrip("\ufeff"), sink)
    else:
        read_config(view.text(sink.budget.limits.text), sink)


def _encoding(view: View) -> str:
    """Return UTF-16 or UTF-32 with its byte order when it is one: Keras hands `json.loads` bytes, which takes these too."""
    found = json.detect_encoding(view.head(4))
    little = (
        {"utf-16": "utf-16-le", "utf-32": "utf-32-le"}
        if view.head(1) == b"\xff"
        else {"utf-16": "utf-16-be", "utf-32": "utf-32-be"}
    )
    return little.get(found, found) if found.startswith(("utf-16", "utf-32")) else ""


def read_config(text: str, sink: Sink, *, offset: int | None = 0, path: str = "") -> None:
    """Read a configuration from text. Raises FormatError when it is not JSON."""
    try:
        root = json.loads(text, object_pairs_hook=_pairs)
    except ValueError as exc:
        msg = f"not JSON: {clip(str(exc))}"
        raise FormatError(msg, offset) from exc
    walk = _Walk(sink, offset)
    walk.run(root, path)
    if isinstance(root, dict) and isinstance(root.get("class_name"), str):
        inner = root.get("config")
        version = root.get("keras_version") or (inner.get("keras_version") if isinstance(inner, dict) else None)
        sink.fact(
            "keras.config",
            offset,
            class_name=clip(root["class_name"]),
            version=clip(str(version)) if version else None,
            objects=walk.objects,
        )


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a dictionary as Python's reader does (the last key wins), keeping what it would drop."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        dropped = []
        for key, value in reversed(pairs):
            if key in seen:
                dropped.append([key, value])
            seen.add(key)
        found[_MARKER] = dropped
    return found


class _Walk:
    """Visits every value; the stack holds (value, path, class of the object it belongs to, depth of nested text)."""

    def __init__(self, sink: Sink, offset: int | None) -> None:
        self.sink = sink
        self.offset = offset
        self.objects = 0
        self.seen: set[tuple[object, ...]] = set()
        self.stack: list[tuple[Any, str, str, int]] = []
        self.code: set[bytes] = set()

    def run(self, root: object, path: str) -> None:
        self.stack.append((root, path, "", 0))
        count = 0
        while self.stack:
            count += 1
            if not count & 0xFFF:
                self.sink.budget.check_time()
            value, where, owner, depth = self.stack.pop()
            if isinstance(value, dict):
                self._dict(value, where, owner, depth)
            elif isinstance(value, list):
                self._list(value, where, owner, depth)
            elif isinstance(value, str) and len(value) > 24:
                self._text(value, where, owner, depth)

    def _fact(self, kind: str, **data: object) -> None:
        """Report a fact once for each distinct content, whatever its path."""
        key = (kind, *(str(v) for k, v in data.items() if k != "path"))
        if key not in self.seen and len(self.seen) < _DISTINCT:
            self.seen.add(key)
            if len(self.seen) == _DISTINCT:
                self.sink.incomplete(f"more than {_DISTINCT} distinct objects in a configuration", self.offset)
            self.sink.fact(kind, self.offset, **data)

    def _dict(self, node: dict[str, Any], path: str, owner: str, depth: int) -> None:
        name = node.get("class_name")
        if isinstance(name, str) and ("config" in node or "module" in node):
            self.objects += 1
            self._object(node, name, path)
            owner = name
        for key, value in node.get(_MARKER, ()):
            if key in ("class_name", "module", "config", "function", "registered_name"):
                self._fact("keras.duplicate_key", key=key, path=clip(path))
            shadow = {**node, key: value}
            shadow.pop(_MARKER)
            self.stack.append((shadow, f"{path}({key} again)", owner, depth))
        for key, value in node.items():
            if isinstance(value, str):
                self._resource(key, value, path, owner)
            if isinstance(value, (dict, list, str)) and key != _MARKER:
                self.stack.append((value, _join(path, key), owner, depth))

    def _list(self, node: list[Any], path: str, owner: str, depth: int) -> None:
        for index, value in enumerate(node):
            if isinstance(value, (dict, list)) or (isinstance(value, str) and len(value) > 24):
                self.stack.append((value, f"{path}[{index}]" if len(path) < 1000 else path, owner, depth))

    def _object(self, node: dict[str, Any], name: str, path: str) -> None:
        config, module, registered = node.get("config"), _text_of(node.get("module")), _text_of(node.get("registered_name"))
        where = clip(path)
        if name == "function" and isinstance(config, str):
            self._fact("keras.function", name=clip(config), module=module, registered_name=registered, path=where)
            return
        if name == "__typespec__":
            self._fact("keras.typespec", name=_text_of(node.get("spec_name")), module=module, path=where)
            return
        self._fact("keras.object", class_name=clip(name), module=module, registered_name=registered, path=where)
        if name == "__lambda__":
            inner = config.get("value", config) if isinstance(config, dict) else config
            self._code(inner, path, "__lambda__")
        elif name == "__bytes__" and isinstance(config, dict) and isinstance(config.get("value"), str):
            self._bytes(config["value"], path)
        elif isinstance(config, dict):
            self._layer(name, config, path)

    def _layer(self, name: str, config: dict[str, Any], path: str) -> None:
        short = name.rpartition(">")[2]
        if short == "Lambda":
            self._lambda(config, path)
        elif short in ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty"):
            symbol = config.get("function", config.get("cls_symbol", config.get("method_name")))
            if isinstance(symbol, str):
                self._fact("keras.symbol", symbol=clip(symbol), path=clip(path))
        elif short == "TensorFlowOpLayer":  # a node of a graph, kept as text
            told = _NODE_OP.search(json.dumps(config.get("node_def"))[:_NODE])
            if told:
                self._fact("keras.symbol", symbol=clip(f"raw_ops.{told[1]}"), path=clip(path))
        elif short == "TorchModuleWrapper" and isinstance(config.get("module"), str):
            self._pickle(name, config["module"], path)

    def _lambda(self, config: dict[str, Any], path: str) -> None:
        for key in _LAMBDA_KEYS:
            value = config.get(key)
            kind = config.get(f"{key}_type")
            module = _text_of(config.get("module" if key == "function" else f"{key}_module"))
            if isinstance(value, dict) and value.get("class_name") == "function":
                self._fact(
                    "keras.lambda_name", name=_text_of(value.get("config")), module=_text_of(value.get("module")), path=clip(path)
                )
            elif isinstance(value, str) and key == "function":
                if kind == "lambda" or len(value) > 80:
                    self._code(value, _join(path, key), "Lambda")
                else:
                    self._fact("keras.lambda_name", name=clip(value), module=module, path=clip(path))
            elif isinstance(value, dict) and value.get("class_name") == "__tuple__":
                self._code(value.get("items"), _join(path, key), "Lambda")
            elif isinstance(value, dict) and "class_name" in value:
                continue  # an object of its own: visited as such
            elif isinstance(value, (list, dict)) and (kind == "lambda" or _codelike(value)):
                self._code(value, _join(path, key), "Lambda")

    def _code(self, value: object, path: str, owner: str) -> None:
        """Report bytecode: the first element of a list, the `code` of a dictionary, or text."""
        if isinstance(value, dict):
            value = value.get("code", value.get("value"))
        if isinstance(value, list):
            value = value[0] if value else None
        if isinstance(value, dict):
            value = value.get("code")
        raw = _base64(value) if isinstance(value, str) else b""
        if raw and raw in self.code:
            return
        self.code.add(raw)
        found = lambda_code(raw) if raw else None
        followed = follow(raw, self.sink) if found and found.parsed else Followed(read=False)
        self.sink.fact(
            "keras.lambda",
            self.offset,
            path=clip(path),
            owner=owner,
            names=list(found.names) if found else [],
            strings=list(found.strings) if found else [],
            parsed=bool(found and found.parsed),
            size=len(raw),
            read=followed.read,
            uses=list(followed.uses),
            members=list(followed.members),
            clear=followed.clear,
        )

    def _pickle(self, name: str, text: str, path: str) -> None:
        raw = _base64(text)
        self.sink.fact("keras.pickle", self.offset, path=clip(path), class_name=clip(name), size=len(raw))
        if raw:
            self.sink.child(_join(path, "module"), raw, offset=self.offset)

    def _bytes(self, value: str, path: str) -> None:
        try:
            raw = value.encode("latin-1")
        except UnicodeEncodeError:
            raw = value.encode("utf-8", "surrogatepass")
        carve(self.sink, clip(path), raw, self.offset)

    def _resource(self, key: str, value: str, path: str, owner: str) -> None:
        if not value or len(value) > 4096 or "\n" in value:
            return
        named = key in _PATH_KEYS
        how = ""
        if _URL.match(value):
            how = "" if _SAYS.fullmatch(key) else "url"
        elif re.search(r"(?:^|[\\/])\.\.[\\/]", value):
            how = "traversal"
        elif (_ABSOLUTE if named else _SENSITIVE).match(value):
            how = "absolute"
        elif named and _PLAIN_FILE.search(value):
            how = "plain"
        if how:
            self._fact("keras.resource", key=clip(key), value=clip(value, 500), how=how, class_name=owner, path=clip(path))

    def _text(self, value: str, path: str, owner: str, depth: int) -> None:
        """Look into text: a configuration kept as a string, or something that looks like content of its own."""
        if _MARSHALLED.match(value):
            raw = _base64(value)
            if raw in self.code or lambda_code(raw).parsed:
                self._code(value, path, owner)
                return
        if depth < _NESTED_TEXT and '"class_name"' in value and value.lstrip()[:1] in ("{", "["):
            try:
                self.stack.append((json.loads(value, object_pairs_hook=_pairs), f"{path}(text)", owner, depth + 1))
            except (ValueError, RecursionError):
                self.sink.incomplete(f"{clip(path)}: a configuration in a string that is not JSON", self.offset)
            return
        carve(self.sink, clip(path) or "text", value.encode("utf-8", "surrogatepass"), self.offset)


def _join(path: str, key: str) -> str:
    """Extend a path; long ones stop growing, so that deep nesting stays linear."""
    if len(path) > 1000:
        return path
    return f"{path}.{key[:80]}" if path else key[:80]


_NODE = 1 << 16
_NODE_OP = re.compile(r"\bop\W{1,8}(\w+)")


def _text_of(value: object) -> str | None:
    if value is None:
        return None
    return clip(value if isinstance(value, str) else str(value))


def _codelike(value: list[Any] | dict[str, Any]) -> bool:
    """Tell whether a value has the form of dumped code: [code, defaults, closure] or {"code": …}."""
    if isinstance(value, dict):
        return isinstance(value.get("code"), str)
    return len(value) == 3 and isinstance(value[0], str) and len(value[0]) > 40


def _base64(text: str) -> bytes:
    """Decode as Python's base64 codec does: characters outside the alphabet are skipped."""
    try:
        return base64.b64decode(text.encode("ascii", "ignore"))
    except (binascii.Error, ValueError):
        try:
            return base64.b64decode(text.encode("ascii", "ignore") + b"==")
        except (binascii.Error, ValueError):
            return text.encode("latin-1", "ignore")
