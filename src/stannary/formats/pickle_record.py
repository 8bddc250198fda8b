"""What the symbolic machine saw, kept small: each distinct import, call and change of state once.

Facts (kind: fields)
- pickle.global: module, name, op, uses (call, newobj, build, mutate, data), count, raw (the
  Python 2 spelling, when mapped)
- pickle.call: module, name, how (REDUCE, NEWOBJ, INST, OBJ, NEWOBJ_EX), args, count, computed
  (the callable is itself the result of a call, shown as callable), raw
- pickle.build: module, name, target (global | computed | instance), state: BUILD on something
  that is no fresh instance, or with a state that sets dunder attributes
- pickle.mutate: module, name, target, how, items: items put into something that is no container
- pickle.computed_name: op, module, name: an import whose name the stream computes
- pickle.extension: code: an extension code nobody registered in the stream
- pickle.persistent: value: persistent ids that are not plain storage references
- pickle.frame: length, left: a frame that goes beyond the content, or is smaller than any pickler writes
- pickle.note: what, count: oddities a pickler never writes (memo_overwritten)
- pickle.bomb: what: `key` of nested, shared tuples (hashing it, a loader does not come back), or `memo` index that
  makes a loader allocate gigabytes
- pickle.embedded: what, length: bytes that are themselves a known format (read as a child)
"""

from __future__ import annotations

import zlib
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from typing import TYPE_CHECKING, Any

from stannary.formats.pickle_values import DROPPED, Blob, Global, Made, Map, Opaque, leaves, render, root_name

if TYPE_CHECKING:
    from stannary.formats.interface import Sink
    from stannary.formats.pickle_machine import Machine

__all__ = ["Recorder", "embedded_kind"]

_MOST = 20_000  # distinct calls worth keeping; real models have hundreds
_DETAILED = 500_000  # calls told apart by their arguments; after that by what is called
_MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "zip"), (b"\x1f\x8b\x08", "gzip"), (b"7z\xbc\xaf\x27\x1c", "7z"), (b"\xfd7zXZ\x00", "xz"),
    (b"\x93NUMPY", "numpy"), (b"\x89HDF\r\n\x1a\n", "hdf5"), (b"\x7fELF", "elf"), (b"MZ\x90\x00", "pe"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)  # fmt: skip
_ENCODED = frozenset((b"gA", b"Y2", b"Y3", b"KG", b"H4", b"eJ", b"UE", b"f0", b"80", b"63", b"28"))
_GETATTR = frozenset({("builtins", "getattr"), ("dill._dill", "_get_attr")})
_FOLDED = frozenset({"builtins", "dill._dill", "_codecs", "copyreg"})
_WIDE = 16  # arguments that tell two calls apart
_CODE = frozenset({
    ("dill._dill", "_create_code"), ("dill._dill", "_load_type"), ("types", "CodeType"), ("numba.core.serialize", "_rebuild_function"),
})  # fmt: skip
_NAMES = 4096  # strings of a code object that are looked at
# Functions that unpickle bytes they are given: in which argument.
_UNPICKLERS = {
    ("torch.storage", "_load_from_bytes"): 0, ("numba.core.serialize", "_unpickle__CustomPickled"): 0,
    ("spacy.tokens.doc", "unpickle_doc"): 1, ("spacy.vocab", "unpickle_vocab"): 4,
}  # fmt: skip
_RAW = frozenset({"numpy", "_codecs", "builtins", "datetime", "collections", "decimal", "array", "uuid", "pandas"})  # take plain bytes
_NAMESPACES = frozenset({("types", "SimpleNamespace"), ("argparse", "Namespace")})
_LATIN = (b"PK\x03\x04", b"\x1f\xc2\x8b", b"\xc2\x93NUMPY", b"\xc2\x89HDF")
_KEPT = 4096  # the machine copies strings up to this length
_FRAME_MIN = 4  # no pickler frames less
_PICKLE_NEXT = frozenset(b"\x95}](cC)XU\x8c\x8aKNMJGV\x88\x89\x8f\x8d\x8e\x96")


def embedded_kind(head: bytes) -> str:
    """Return which format some bytes open with, '' when none; a pickle is told by two bytes."""
    if head[:1] == b"\x80" and len(head) > 3 and 2 <= head[1] <= 5 and head[2] in _PICKLE_NEXT:
        return "pickle"
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            return kind
    return "zlib" if head[:1] == b"\x78" and _deflated(head) else ""


def _deflated(head: bytes) -> bool:
    """Tell whether zlib data opens into something known: its own two bytes of magic are common in arrays of numbers."""
    if head[:2] not in (b"\x78\x9c", b"\x78\xda", b"\x78\x01", b"\x78\x5e"):
        return False
    try:
        inside = zlib.decompressobj().decompress(head, 64)
    except zlib.error:
        return False
    return inside[:1] != b"\x78" and bool(embedded_kind(inside) or inside[:1] in (b"c", b"("))


class Recorder:
    """Collects across the streams of one file; `emit` turns it into facts."""

    def __init__(self) -> None:
        self.globals: dict[tuple[str, str], Global] = {}
        self.calls: dict[Any, list[Any]] = {}
        self.others: dict[Any, tuple[str, int, dict[str, Any]]] = {}
        self.notes: dict[str, int] = {}
        self.ext: dict[int, tuple[str, str]] = {}
        self.inside: list[tuple[str, int, int]] = []
        self.storages: list[tuple[str, str, int]] = []  # (type name, key, elements) in order
        self.called = 0
        self.dropped = 0
        self.dropped_values = 0  # times that the machine let go of what it had built
        self.sequence: list[tuple[str, str]] = []  # imports of a stream in order, for the second reading
        self.encoded: list[tuple[int, bytes | Blob]] = []  # text that may be an encoded pickle
        self.latin: list[tuple[int, str | Blob]] = []  # bytes that protocols 0-2 write as text
        self.given: list[tuple[int, Any, bool]] = []  # bytes given to a call; whether it is known to unpickle them
        self.skipped = 0  # bytes of long strings, which cost no opcodes
        self.nested_streams = False
        self.bombs: set[str] = set()  # what would exhaust a loader: "key" that takes for ever to hash, "memo" index
        self.memo: list[Any] = []  # of the last stream
        self.last: int | None = None  # what the last stream built, when a number

    # Imports

    def find(self, module: Any, name: Any, op: str, offset: int, proto: int) -> Any:  # noqa: ANN401 - symbolic
        """Return the symbol of an import; computed names are recorded and opaque."""
        if module is DROPPED or name is DROPPED:
            return DROPPED
        if type(module) is not str or type(name) is not str:
            self._other(
                ("computed", repr(type(module)), repr(type(name)), str(render(module)), str(render(name))),
                "pickle.computed_name", offset, op=op, module=render(module), name=render(name),
            )  # fmt: skip
            return Opaque("import of a computed name")
        key = (module, name)
        found = self.globals.get(key)
        if found is None:
            raw = None
            if proto < 3:
                mapped = NAME_MAPPING.get(key) or (IMPORT_MAPPING.get(module, module), name)
                if mapped != key:
                    raw, (module, name) = key, mapped
            found = self.globals[key] = Global(module, name, offset, op, raw)
        found.count += 1
        self.sequence.append(key)
        return found

    def extension(self, code: int, offset: int, proto: int) -> Any:  # noqa: ANN401 - symbolic
        """Return what an extension code stands for, as far as the stream registered it."""
        if code in self.ext:
            return self.find(*self.ext[code], "EXT", offset, max(proto, 3))
        self._other(("ext", code), "pickle.extension", offset, code=code)
        return Opaque("extension registry")

    def persistent(self, value: Any, offset: int) -> Any:  # noqa: ANN401 - symbolic
        """Note a persistent id: torch's storage references by type, key and size, others as a fact."""
        if type(value) is tuple and len(value) >= 5 and value[0] == "storage":
            kind = value[1].name if type(value[1]) is Global else "?"
            count = value[4] if type(value[4]) is int else -1
            self.storages.append((kind, str(value[2]), count))
            return Opaque("storage", value)
        if type(value) is tuple and len(value) >= 2 and value[0] == "module" and type(value[1]) is Global:
            return value[1]
        self._other(("persid", str(render(value))[:200]), "pickle.persistent", offset, value=render(value))
        return Opaque("persistent id", value)

    # Calls and state

    def call(self, machine: Machine, func: Any, args: Any, how: str) -> Any:  # noqa: ANN401 - symbolic
        """Record a call or an instantiation and return its symbolic result."""
        if func is DROPPED:
            return DROPPED
        key: list[Any] = [how, func] if type(func) is Global else [how, type(func)]
        if type(func) is not Global:
            leaves(func, key)
        if type(func) is Global:
            func.uses.add("newobj" if how.startswith("NEWOBJ") else "call")
        self.called += 1
        if args and self.called < _DETAILED:
            if type(args) is tuple:
                for item in args[:_WIDE]:
                    kind = type(item)
                    if kind is str or kind is Global:
                        key.append(item)
                    elif kind is not int and kind is not bool:
                        leaves(item, key, 1)
            else:
                leaves(args, key)
            if _makes_code(func):
                key += _strings(args)
        identity = tuple(key)
        known = self.calls.get(identity)
        if known is not None:
            known[0] += 1
        elif len(self.calls) < _MOST:
            known = self.calls[identity] = [1, func, args, how, machine.offset()]
            if type(args) is tuple:
                self._take_bytes(func, args, machine.offset())
        else:
            self.dropped += 1
        made = (self._fold(machine, func, args) if type(func) is Global and func.module in _FOLDED and type(args) is tuple else None) or Made(
            func, args, how
        )
        if type(made) is Made:
            made.like = known
        return made

    def _take_bytes(self, func: Any, args: tuple[Any, ...], offset: int) -> None:  # noqa: ANN401 - symbolic
        """Remember byte strings given to a function: some unpickle them."""
        where = root_name(func) or ("", "")
        if where[0].partition(".")[0] in _RAW:
            return
        unpickled = _UNPICKLERS.get(where, -1)
        for place, item in enumerate(args[:_WIDE]):
            encoded = type(item) is Made and root_name(item) == ("_codecs", "encode") and bool(item.args)
            if encoded:
                item = item.args[0]  # noqa: PLW2901 - what protocols 0-2 write for bytes
            if type(item) in (bytes, str, Blob) and len(self.given) < _NAMES:
                self.given.append((offset, item, place == unpickled and (encoded or type(item) is not str)))

    def _fold(self, machine: Machine, func: Global, args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - symbolic
        """Follow the few calls whose result is plainly another name."""
        where = (func.module, func.name)
        if where in _GETATTR and len(args) >= 2 and type(args[0]) is Global and type(args[1]) is str:
            return self._attribute(args[0].module, f"{args[0].name}.{args[1]}", machine)
        if where == ("dill._dill", "_get_attr") and len(args) == 2 and type(args[0]) is str and type(args[1]) is str:
            return self._attribute(args[0], args[1], machine)
        if where == ("dill._dill", "_get_attr") and len(args) == 2 and type(args[0]) is Made and type(args[1]) is str:
            imported = args[0].args[0] if root_name(args[0]) == ("dill._dill", "_import_module") and args[0].args else None
            if type(imported) is str:
                return self._attribute(imported, args[1], machine)
        if where == ("dill._dill", "_import_module") and args and type(args[0]) is str and "." in args[0]:
            module, _, name = args[0].rpartition(".")
            return self._attribute(module, name, machine)
        if where == ("_codecs", "encode") and len(args) == 2 and args[1] == "latin1":
            head = (
                args[0][:64].encode("utf-8", "replace") if type(args[0]) is str else args[0].head if type(args[0]) is Blob else b""
            )
            if head.startswith((b"\xc2\x80", *_LATIN)) and len(self.latin) < 4096:
                self.latin.append((machine.offset(), args[0]))
        if where == ("copyreg", "add_extension") and len(args) == 3:
            module, name, code = args
            if type(module) is str and type(name) is str and type(code) is int:
                self.ext[code] = (module, name)
        if (
            where[0] == "copyreg"
            and args
            and type(args[0]) is Global
            and where[1] in {"_reconstructor", "__newobj__", "__newobj_ex__"}
        ):
            args[0].uses.add("newobj")
            return Made(args[0], args[1:], "NEWOBJ")
        return None

    def _attribute(self, module: str, name: str, machine: Machine) -> Any:  # noqa: ANN401 - symbolic
        found = self.find(module, name, "getattr", machine.offset(), 4)
        self.sequence.pop()  # an attribute, no import of the unpickler's
        return found

    def build(self, machine: Machine, target: Any, state: Any) -> None:  # noqa: ANN401 - symbolic
        """BUILD: state for a fresh instance is normal; for anything else, or with dunder names, a fact."""
        offset = machine.offset()
        if target is DROPPED:
            return
        root = root_name(target)
        if type(target) is Made:
            target.state = state
            if type(target.func) is Global:
                target.func.uses.add("build")
                if target.func.name == "NumpyArrayWrapper" and target.func.module.endswith("joblib.numpy_pickle"):
                    machine.array_follows(target, state)
            if type(state) is tuple and state and _is_partial(target):  # partial.__setstate__ replaces the function
                target.args = (state[0], *(state[1] if len(state) > 1 and type(state[1]) is tuple else ()))
                target.like = self.call(machine, target.func, target.args, "SETSTATE").like
        odd = [key for key in _names_set(state) if key.startswith("__") and key.endswith("__")]
        if type(target) is Made and not odd and _kind(target) == "instance":
            return
        if type(target) is Global:
            target.uses.add("build")
        kind = _kind(target)
        module, name = root or ("", "")
        self._other(("build", root, kind, tuple(odd)), "pickle.build", offset,
                    module=module, name=name, target=kind, sets=odd[:16], state=render(state))  # fmt: skip

    def mutate(self, target: Any, items: list[Any], how: str, offset: int) -> None:  # noqa: ANN401 - symbolic
        """APPEND(S), SETITEM(S), ADDITEMS on something that is no plain container calls its methods."""
        if target is DROPPED:
            return
        root = root_name(target)
        module, name = root or ("", "")
        if type(target) is Made:
            if type(target.func) is Global:
                target.func.uses.add("mutate")
            if target.state is None and root not in _NAMESPACES and _kind(target) == "instance":
                return
        kind = "finished" if type(target) is Made and _kind(target) == "instance" else _kind(target)
        self._other(("mutate", root, how, kind), "pickle.mutate", offset,
                    module=module, name=name, target=kind, how=how, items=render(items[:8]))  # fmt: skip

    # Oddities

    def note(self, what: str) -> None:
        """Count an oddity."""
        self.notes[what] = self.notes.get(what, 0) + 1

    def frame(self, offset: int, start: int, length: int, size: int) -> None:
        """Note a frame that claims more than there is."""
        if start + length > size or length < _FRAME_MIN:
            self._other(("frame",), "pickle.frame", offset, length=length, left=size - start)

    def embedded(self, head: bytes, offset: int, length: int) -> None:
        """Remember bytes that open like a format a loader might be given."""
        if length > _KEPT:
            self.skipped += length
        if length >= 8 and len(self.inside) < 4096 and (kind := embedded_kind(head)):
            self.inside.append((kind, offset, length))

    def text(self, head: bytes, offset: int, value: bytes | Blob) -> None:
        """Remember text that could be an encoded pickle or archive."""
        if head[:2] in _ENCODED and len(self.encoded) < 4096:
            self.encoded.append((offset, value))

    def _other(self, key: Any, kind: str, offset: int, **data: Any) -> None:  # noqa: ANN401 - symbolic
        if key not in self.others and len(self.others) < _MOST:
            self.others[key] = (kind, offset, data)

    def emit(self, sink: Sink) -> None:
        """Report everything as facts."""
        for found in self.globals.values():
            sink.fact("pickle.global", found.offset, module=found.module, name=found.name, op=found.op,
                      uses=sorted(found.uses) or ["data"], count=found.count,
                      **({"raw": list(found.raw)} if found.raw else {}))  # fmt: skip
        for count, func, args, how, offset in self.calls.values():
            module, name = root_name(func) or ("", "")
            sink.fact("pickle.call", offset, module=module, name=name, how=how, count=count,
                      computed=type(func) is not Global, args=render(args),
                      **({"raw": list(func.raw)} if type(func) is Global and func.raw else {}),
                      **({"strings": _strings(args)} if _makes_code(func) else {}),
                      **({} if type(func) is Global else {"callable": render(func)}))  # fmt: skip
        for kind, offset, data in self.others.values():
            sink.fact(kind, offset, **data)
        for what, count in self.notes.items():
            sink.fact("pickle.note", None, what=what, count=count)
        for what in sorted(self.bombs):
            sink.fact("pickle.bomb", None, what=what)
        if self.dropped_values:
            sink.incomplete("too many objects to follow; names taken from the memo afterwards are not known")
        if self.dropped:
            sink.incomplete(f"more than {_MOST} distinct calls; {self.dropped} were not judged")


def _kind(target: Any) -> str:  # noqa: ANN401 - symbolic
    """Name what BUILD or an item assignment is applied to: fresh instances are normal."""
    if type(target) is Made:
        return "attribute" if type(target.func) is Global and (target.func.module, target.func.name) in _GETATTR else "instance"
    return "global" if type(target) is Global else type(target).__name__.lower()


def _is_partial(made: Made) -> bool:
    if type(made.func) is Made:
        return made.func.args == ("PartialType",)  # dill's name for it
    return root_name(made) in {("functools", "partial"), ("_functools", "partial")}


def _makes_code(func: Any) -> bool:  # noqa: ANN401 - symbolic
    root = root_name(func)
    return root is not None and (root in _CODE or (root[1] == "_builtin_type" and type(func) is Made))


def _strings(value: Any) -> list[str]:  # noqa: ANN401 - symbolic
    """Return the strings in the arguments of a code object, however many."""
    found: list[str] = []
    todo = [value]
    while todo and len(found) < _NAMES:
        item = todo.pop()
        if type(item) is str:
            found.append(item[:200].encode("utf-8", "backslashreplace").decode())
        elif type(item) in (tuple, list):
            todo += item[:_NAMES]
    return found


def _names_set(state: Any) -> list[str]:  # noqa: ANN401 - symbolic
    """Return the attribute names a BUILD state sets: keys of the dict, and of the slots dict beside it."""
    maps = (
        [state]
        if type(state) is Map
        else [item for item in state if type(item) is Map]
        if type(state) is tuple and len(state) == 2
        else []
    )
    return [key for found in maps for key in found.items[::2] if type(key) is str]
