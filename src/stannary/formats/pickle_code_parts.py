"""The calls by which a pickle makes code, functions, classes and cells, sorted, and code objects read from their arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stannary.formats.bytecode import Code
from stannary.formats.pickle_values import Blob, Global, Made, Map, Opaque, root_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stannary.formats.pickle_record import Recorder

__all__ = ["LOADING", "Parts", "family", "last_name", "made_by", "pairs", "raw_bytes"]

_MAKERS = {
    "_create_code": "code", "_create_function": "function", "_make_function": "function", "_make_skel_func": "function",
    "_make_skeleton_class": "class", "_make_skeleton_enum": "class", "_create_type": "class", "_function_setstate": "fill",
    "_fill_function": "fill", "_class_setstate": "fill_class", "_rehydrate_skeleton_class": "fill_class", "_setitems": "fill_map",
    "_create_cell": "cell", "_make_cell": "cell", "_make_empty_cell": "cell", "_setattr": "fill_cell", "cell_set": "fill_cell",
    "_import_module": "module", "subimport": "module", "_rebuild_function": "numba",
}  # fmt: skip
_TYPES = {
    "CodeType": "code",
    "FunctionType": "function",
    "LambdaType": "function",
    "CellType": "cell",
    "type": "class",
    "ClassType": "class",
    "new_class": "class",
}
#: Methods that the unpickler, or what it fills, calls by itself.
LOADING = frozenset({
    "__new__", "__init__", "__setstate__", "__del__", "__init_subclass__", "__set_name__", "__call__", "__hash__", "__eq__",
    "__setitem__", "__setattr__", "__getattr__", "__getattribute__", "__prepare__", "append", "extend", "add", "__instancecheck__",
    "__subclasscheck__", "__class_getitem__", "__mro_entries__", "__reduce__", "__reduce_ex__", "__getnewargs__",
    "__copy__", "__missing__",
    "__delattr__", "__bool__", "__len__", "__iter__", "__next__", "__contains__", "__get__", "__set__",
})  # fmt: skip
_HOMES = ("dill", "cloudpickle", "types", "builtins", "numba", "__builtin__")
_MOST_TEXT = 1 << 20
_MOST_CONSTS = 65_536
_DEEPEST = 32


def made_by(value: Any) -> str:  # noqa: ANN401 - symbolic
    """Return the last name of what a value was made by, '' for what no maker of code made."""
    return family(value.func, value.args) if type(value) is Made else ""


def last_name(func: Any) -> str:  # noqa: ANN401 - symbolic
    """Return which type or maker a callable is: `CodeType` for dill's `_load_type("CodeType")`, too."""
    root = root_name(func)
    if root is None:
        return ""
    name = root[1].rpartition(".")[2]
    if type(func) is Made and name in {"_load_type", "_builtin_type"} and type(func.args) is tuple and func.args:
        return func.args[0] if type(func.args[0]) is str else ""
    return name if type(func) is Global else ""


def family(func: Any, args: Any) -> str:  # noqa: ANN401 - symbolic
    """Return what a call makes: code, function, class, cell, module, a filling, or ''."""
    root = root_name(func)
    if root is None or type(args) is not tuple:
        return ""
    module = root[0]
    if not module.startswith(_HOMES) and ".cloudpickle" not in module:
        return ""
    name = last_name(func)
    kind = _MAKERS.get(name) or _TYPES.get(name, "")
    if name == "type" and len(args) != 3:
        return ""
    if module.startswith("types") and name not in _TYPES:
        return ""
    return kind


def pairs(value: Any) -> dict[str, Any]:  # noqa: ANN401 - symbolic
    """Return the string keys of a symbolic dict."""
    if type(value) is not Map:
        return {}
    return {k: v for k, v in zip(value.items[::2], value.items[1::2], strict=False) if type(k) is str}


def raw_bytes(value: Any, content: memoryview | None) -> bytes | None:  # noqa: ANN401 - symbolic
    """Return the bytes of a value: given as such, as text in Latin-1 (protocols 0-2), or too long to have been copied."""
    if type(value) is Made and root_name(value) == ("_codecs", "encode") and type(value.args) is tuple and value.args:
        text = value.args[0]
        if type(text) is Blob:
            text = _text(text, content)
        try:
            return text.encode("latin-1") if type(text) is str else None
        except UnicodeEncodeError:
            return None
    if type(value) is Made and last_name(value.func) == "bytes" and value.args == ():
        return b""
    if type(value) is Blob and value.kind != "text" and content is not None and value.length <= _MOST_TEXT:
        return bytes(content[value.offset : value.offset + value.length])
    return bytes(value) if type(value) in (bytes, bytearray) else None


def _text(value: Blob, content: memoryview | None) -> str | None:
    if content is None or value.length > _MOST_TEXT:
        return None
    return bytes(content[value.offset : value.offset + value.length]).decode("utf-8", "surrogatepass")


class Parts:
    """All makers' calls of one file. Keys of code are the ids of argument tuples, which the recorder keeps alive."""

    @classmethod
    def of(cls, code: Code, names: Mapping[str, str]) -> Parts:
        """Return the parts of something that carries nothing but one code object; `names`: what its globals are."""
        parts = cls(None)
        parts.names = dict(names)
        parts.codes, parts.offsets = {0: code}, {0: 0}
        return parts

    def __init__(self, recorder: Recorder | None) -> None:
        self.content = recorder.content if recorder is not None else None
        self.calls = [tuple(call) for call in recorder.calls.values()] if recorder is not None else []
        self.names: dict[str, str] = {}  # globals of a lone code object
        self.codes: dict[int, Code | None] = {}
        self.offsets: dict[int, int] = {}
        self.inner: set[int] = set()
        self.fills: dict[int, list[Any]] = {}  # id of a function's or class's arguments: states
        self.maps: dict[int, list[Any]] = {}  # id of a map: maps put into it
        self.cells: dict[int, Any] = {}  # id of a cell: its contents
        self.functions: set[int] = set()  # ids of the arguments of calls that make or fill a function of code that was read
        for _, func, args, _, offset in self.calls:
            kind = family(func, args)
            if kind == "code":
                self.offsets[id(args)] = offset
                self.code(args)
            elif kind in {"fill", "fill_class"} and len(args) > 1 and type(args[0]) is Made:
                self.fills.setdefault(id(args[0].args), []).append(args[1])
            elif kind == "fill_map" and len(args) > 1:
                self.maps.setdefault(id(args[0]), []).append(args[1])
            elif kind == "fill_cell" and len(args) > 1 and type(args[0]) is Made:
                self.cells[id(args[0])] = args[-1]
        for _, func, args, _, _ in self.calls:
            if family(func, args) in {"function", "fill"} and args and self.whole(args[0]):
                self.functions.add(id(args))

    def whole(self, value: Any) -> bool:  # noqa: ANN401 - symbolic
        """Tell whether a value is code that was read, or a function of it."""
        if made_by(value) == "function" and value.args:
            value = value.args[0]
        return made_by(value) == "code" and self.codes.get(id(value.args)) is not None

    def code(self, args: tuple[Any, ...], depth: int = 0) -> Code | None:
        """Return the code object that arguments of `types.CodeType` (or dill's) describe, None when they do not."""
        key = id(args)
        if key not in self.codes:
            self.codes[key] = None
            self.codes[key] = self._read(args, depth)
        return self.codes[key]

    def _read(self, args: tuple[Any, ...], depth: int) -> Code | None:
        items = list(args)
        while items and type(items[0]) is not int:  # dill puts a table of lines first
            items.pop(0)
            if len(args) - len(items) > 2:
                return None
        numbers: list[int] = []
        while items and type(items[0]) is int:
            numbers.append(items.pop(0))
        if len(numbers) not in {5, 6} or len(items) < 8 or depth > _DEEPEST:
            return None
        code = raw_bytes(items[0], self.content)
        consts, names, slots, _, name = items[1:6]
        rest = items[6:]
        qualified = type(rest[0]) is str
        line = rest[1 if qualified else 0]
        tables = [raw_bytes(item, self.content) for item in rest[2 if qualified else 1 : -2]]
        free, cell = rest[-2:]
        sequences = [self._names(item) for item in (names, slots, free, cell)]
        if code is None or type(consts) is not tuple or type(name) is not str or None in sequences or None in tables:
            return None
        layout = "3.11" if qualified else "3.8" if len(numbers) == 6 else "3.6"
        return Code(
            name, code, tuple(self._constant(c, depth) for c in consts[:_MOST_CONSTS]), sequences[0] or (), sequences[1] or (),
            sequences[3] or (), sequences[2] or (), numbers[0], numbers[-4], numbers[-1], line if type(line) is int else 1,
            (tables[-1] or b"") if layout == "3.11" and tables else b"", layout,
        )  # fmt: skip

    @staticmethod
    def _names(value: Any) -> tuple[str, ...] | None:  # noqa: ANN401 - symbolic
        if type(value) is not tuple or any(type(item) is not str or "\0" in item for item in value):
            return None
        return value

    def _constant(self, value: Any, depth: int) -> Any:  # noqa: ANN401 - symbolic in, constant out
        kind = type(value)
        if value is None or kind in (bool, int, float, str, bytes):
            return value
        if kind is tuple and depth < _DEEPEST:
            return tuple(self._constant(item, depth + 1) for item in value[:4096])
        if kind is Blob and value.kind == "text":
            return _text(value, self.content) or ...
        if kind is Blob or (kind is Made and root_name(value) == ("_codecs", "encode")):
            found = raw_bytes(value, self.content)
            return ... if found is None else found
        if made_by(value) == "code":
            self.inner.add(id(value.args))
            return self.code(value.args, depth + 1) or ...
        if kind is Made and root_name(value) in {("builtins", "frozenset"), ("__builtin__", "frozenset")} and value.args:
            return self._constant(tuple(value.args[0]) if type(value.args[0]) in (list, tuple) else ..., depth + 1)
        return ... if kind in (Opaque, Made, Global, Map) else self._constant(tuple(value), depth + 1) if kind is list else ...
