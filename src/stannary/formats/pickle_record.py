"""What the symbolic machine saw, kept small: each distinct import, call and change of state once.

Facts (kind: fields)
- pickle.global: module, name, op, uses (call, newobj, build, mutate, data), count, raw (the
  Python 2 spelling, when mapped), held (only by carried functions and classes)
- pickle.call: module, name, how (REDUCE, NEWOBJ, INST, OBJ, NEWOBJ_EX), args, count, computed
  (the callable is itself the result of a call, shown as callable), raw
  `strings` of a code object, `source` that torch.fx executes
- pickle.build: module, name, target (global | computed | instance), state: BUILD on something
  that is no fresh instance, or with a state that sets dunder attributes
- pickle.state_code: module, name, key, text: state that the class executes when it is set (no key: not known)
- state.told: module, name, text: strings of the state of a class of no common library that may be commands, code or places
- pickle.mutate: module, name, target, how, items: items put into something that is no container
- pickle.computed_name: op, module, name: an import whose name the stream computes
- pickle.array_file: path: an old joblib array that numpy loads, with pickles, from a file of this name
- pickle.extension: code: an extension code nobody registered in the stream
- pickle.persistent: value: persistent ids that are not plain storage references
- pickle.frame: length, left: a frame that goes beyond the content, is smaller than any pickler writes, or ends inside an opcode
- pickle.note: what, count: oddities a pickler never writes (memo_overwritten)
- pickle.bomb: what: `key` of nested, shared tuples (hashing it, a loader does not come back), or `memo` index that
  makes a loader allocate gigabytes
- pickle.embedded: what, length: bytes that are themselves a known format (read as a child)
"""

from __future__ import annotations

from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from typing import TYPE_CHECKING, Any

from stannary.formats.pickle_embedded import embedded_kind, encoded_head, latin_head
from stannary.formats.pickle_encodings import reversed_head
from stannary.formats.pickle_traits import (
    GETATTR,
    NAMESPACES,
    TAKE_BYTES,
    UNNAMED,
    Aside,
    Keys,
    Told,
    Traits,
    is_partial,
    is_plain,
    kind_of,
    names_set,
    source_of,
    state_code,
    strings,
    traits_of,
)
from stannary.formats.pickle_values import DROPPED, Blob, Global, Made, Map, Opaque, leaves, render, root_name

if TYPE_CHECKING:
    from stannary.formats.pickle_machine import Machine

__all__ = ["MOST_BYTES", "MOST_CALLS", "Recorder"]

MOST_CALLS = 15_000  # distinct calls worth keeping; real models have hundreds
_GLOBALS = 15_000  # distinct names; real models have hundreds
_DETAILED = 500_000  # calls told apart by their arguments; after that by what is called
_WIDE = 16  # arguments that tell two calls apart
# Functions that unpickle bytes they are given: in which argument.
_UNPICKLERS = {
    ("torch.storage", "_load_from_bytes"): 0, ("numba.core.serialize", "_unpickle__CustomPickled"): 0,
    ("spacy.tokens.doc", "unpickle_doc"): 1, ("spacy.vocab", "unpickle_vocab"): 4,
}  # fmt: skip
_SPECIAL = 256
MOST_BYTES = 8192  # byte strings that are looked into
_HUGE = 1 << 27  # a number that could be a size to allocate
_KEPT = 4096  # the machine copies strings up to this length
_FRAME_MIN = 4  # no pickler frames less


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
        self.content: memoryview | None = None  # what long strings refer to
        self.dropped_values = 0  # times that the machine let go of what it had built
        self.sequence: list[tuple[str, str]] = []  # imports of a stream in order, for the second reading
        self.encoded: list[tuple[int, bytes | Blob]] = []  # text that may be an encoded pickle
        self.latin: dict[int, tuple[int, str | Blob]] = {}  # bytes that protocols 0-2 write as text
        self.given: dict[int, tuple[int, Any, bool]] = {}  # bytes given to a call; whether it is known to unpickle them
        self.encoder: Global | None = None  # _codecs.encode
        self.left = [1 << 21]  # steps for looking at strings
        self.states: dict[int, tuple[Any, int, list[str], list[tuple[str, str]]]] = {}  # what big states set, by identity
        self.overflow = False  # more of something than is kept
        self.skipped = 0  # bytes of long strings, which cost no opcodes
        self.parted: int | None = None  # how many imports in, CPython's two unpicklers part
        self.nested_streams = False
        self.unclear_array = False  # a joblib array of a shape or type that cannot be told
        self.keys = Keys()
        self.told = Told()
        self.bombs: set[str] = set()  # what would exhaust a loader: "key" that takes for ever to hash, "memo" index
        self.torn = False  # a frame ends inside an opcode
        self.memo: list[Any] = []  # of the last stream
        self.aside = Aside()  # what streams built, arguments of repeated calls, items and states that went into objects
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
            if len(self.globals) >= _GLOBALS:
                self.sequence.append(key)
                self.note("many_names")
                return Opaque("one name too many")
            raw = None
            if proto < 3:
                mapped = NAME_MAPPING.get(key) or (IMPORT_MAPPING.get(module, module), name)
                if mapped != key:
                    raw, (module, name) = key, mapped
            found = self.globals[key] = Global(module, name, offset, op, raw, traits_of(module, name))
            if (module, name) == ("_codecs", "encode"):
                self.encoder = found
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
        self.aside.keep(value)
        self._other(("persid", str(render(value))[:200]), "pickle.persistent", offset, value=render(value))
        return Opaque("persistent id", value)

    # Calls and state

    def call(self, machine: Machine, func: Any, args: Any, how: str) -> Any:  # noqa: ANN401 - symbolic
        """Record a call or an instantiation and return its symbolic result."""
        if func is DROPPED:
            return DROPPED
        kind = type(func)
        if kind is Global:
            key: list[Any] = [how, func]
            traits: Traits = func.traits or UNNAMED
            func.uses.add("call" if how == "REDUCE" else "newobj" if how[:6] == "NEWOBJ" else "call")
        else:
            named = func.root if kind is Made else None
            traits = UNNAMED if named is None else named.traits or UNNAMED
            key = [how, kind]
            leaves(func, key)
        if type(args) is not tuple:  # that only the unpickler in Python unpacks, and anything else would not call
            args = tuple(args) if type(args) is list else (args,)
        self.called += 1
        if args and (self.called < _DETAILED or kind is not Global or not traits.bulk):
            taken = self._tell_apart(func, args, key, traits)
            if taken and not traits.bulk:
                self._take_bytes(func, args, machine.offset())
        known = self.calls.get(identity := tuple(key))
        if known is not None:
            known[0] += 1
            self.aside.keep(args)
        elif len(self.calls) < MOST_CALLS:
            known = self.calls[identity] = [1, func, args, how, machine.offset()]
        else:
            self.dropped += 1
        if traits.folded and kind is Global and (made := self._fold(machine, func, args)) is not None:
            if type(made) is Made:
                made.like = known
            return made
        return Made(func, args, how, known)

    def _tell_apart(self, func: Any, args: tuple[Any, ...], key: list[Any], traits: Traits) -> bool:  # noqa: ANN401 - symbolic
        """Append to `key` what tells one call from another; return whether there are byte strings among the arguments."""
        taken = False
        for item in args if len(args) <= _WIDE else args[:_WIDE]:
            kind = type(item)
            if kind is str or kind is Global:
                key.append(item)
            elif kind is int:
                if item > _HUGE:
                    key.append(_HUGE)
            elif kind is bytes or kind is Blob:
                taken = True
            elif kind is not bool and item is not None and not (kind is tuple and len(item) == 1 and type(item[0]) is int):
                leaves(item, key, 1)  # to which a shape, of numbers, adds nothing
                taken = taken or (kind is Made and item.func is self.encoder)
        if not traits.apart:
            return taken
        if traits.code or (traits.type_maker and type(func) is Made):
            if self.left[0] > 0:
                key += strings(args, self.left)
            else:
                self.overflow = True
        if traits.carries:
            key.append(self.called)
        if traits.graph:
            key += source_of(func, args, self.content)
        return taken

    def _take_bytes(self, func: Any, args: tuple[Any, ...], offset: int) -> None:  # noqa: ANN401 - symbolic
        """Remember byte strings given to a function: some unpickle them."""
        where = root_name(func) or ("", "")
        if where[0].partition(".")[0] in TAKE_BYTES:
            return
        unpickled = _UNPICKLERS.get(where, -1)
        for place, item in enumerate(args[:_WIDE]):
            if type(item) is Made and item.func is self.encoder and item.args:
                item = item.args[0]  # noqa: PLW2901 - what protocols 0-2 write for bytes
                if type(item) not in (str, bytes, Blob):
                    continue
            elif type(item) not in (bytes, Blob):
                continue
            if id(item) in self.given and place != unpickled:
                continue
            if len(self.given) < MOST_BYTES:
                self.given[id(item)] = (offset, item, place == unpickled)
            else:
                self.overflow = True

    def _fold(self, machine: Machine, func: Global, args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - symbolic
        """Follow the few calls whose result is plainly another name."""
        where = (func.module, func.name)
        if where in GETATTR and len(args) >= 2 and type(args[0]) is Global and type(args[1]) is str:
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
            text = args[0]
            head = text[:64].encode("utf-8", "replace") if type(text) is str else text.head if type(text) is Blob else b""
            if latin_head(head) or reversed_head(head):
                self.latin.setdefault(id(args[0]), (machine.offset(), args[0]))
                self.overflow = self.overflow or len(self.latin) > MOST_CALLS
        if where == ("copyreg", "add_extension") and len(args) == 3:
            module, name, code = args
            if type(module) is str and type(name) is str and type(code) is int:
                self.ext[code] = (module, name)
        made = where[1] in {"_reconstructor", "__newobj__", "__newobj_ex__"}
        if where[0] == "copyreg" and made and args and type(args[0]) is Global:
            args[0].uses.add("newobj")
            return Made(args[0], args[1:], "NEWOBJ")
        return None

    def _attribute(self, module: str, name: str, machine: Machine) -> Any:  # noqa: ANN401 - symbolic
        found = self.find(module, name, "getattr", machine.offset(), 4)
        self.sequence.pop()  # an attribute, no import of the unpickler's
        return found

    def build(self, machine: Machine, target: Any, state: Any) -> None:  # noqa: ANN401 - symbolic
        """BUILD: state for a fresh instance is normal; for anything else, or with dunder names, a fact."""
        if target is DROPPED:
            return
        dull = False  # the state of an array says nothing, and that of a model seldom does
        if type(target) is Made:
            traits = UNNAMED if target.root is None else target.root.traits or UNNAMED
            self._give_state(machine, target, state, traits)
            dull = self.left[0] > 0 and is_plain(state, traits)
            if dull and not traits.attribute:
                return  # a fresh instance, as nearly all of them
        offset, root = machine.offset(), root_name(target)
        odd, executed = ([], []) if dull else self._special(root, state)
        module, name = root or ("", "")
        for key, text in executed:
            self._other(("state_code", root, key, text), "pickle.state_code", offset,
                        module=module, name=name, key=key, text=text[:4096])  # fmt: skip
        kind = kind_of(target)
        if type(target) is Made and not odd and kind == "instance":
            return
        if type(target) is Global:
            target.uses.add("build")
        if ("build", root, kind, tuple(odd)) not in self.others:
            self._other(("build", root, kind, tuple(odd)), "pickle.build", offset,
                        module=module, name=name, target=kind, sets=odd[:16], state=render(state))  # fmt: skip

    def _give_state(self, machine: Machine, target: Made, state: Any, traits: Traits) -> None:  # noqa: ANN401 - symbolic
        if target.state is not None:
            self.aside.keep(target.state)
        target.state = state
        func = target.func
        if type(func) is Global:
            func.uses.add("build")
            for text in () if traits.common else self.told.of(func, state):
                self.tell("state.told", machine.offset(), module=func.module, name=func.name, text=text)
        if traits.wrapper and type(func) is Global:
            if func.name == "NumpyArrayWrapper" and func.module.endswith("joblib.numpy_pickle"):
                machine.array_follows(target, state)
            if func.name.endswith("NDArrayWrapper") and type(state) is Map and "filename" in state.items:
                path = str(render(state.items[state.items.index("filename") + 1]))
                self._other(("file", path), "pickle.array_file", machine.offset(), path=path)
        if (
            type(state) is tuple and state and (traits.partial or type(func) is not Global) and is_partial(target)
        ):  # partial.__setstate__ replaces the function
            target.args = (state[0], *(state[1] if len(state) > 1 and type(state[1]) is tuple else ()))
            target.like = self.call(machine, func, target.args, "SETSTATE").like

    def _special(self, root: tuple[str, str] | None, state: Any) -> tuple[list[str], list[tuple[str, str]]]:  # noqa: ANN401
        """Return the dunder names that a state sets, and what is executed; a big state that is used again is looked at once."""
        size = len(state.items) if type(state) is Map else 0
        known = self.states.get(id(state)) if size > _WIDE else None
        if known is None or known[1] != size:
            if self.left[0] <= 0:
                self.overflow = True
                return [], []
            odd = [key for key in names_set(state, self.left) if key.startswith("__") and key.endswith("__")]
            known = (state, size, odd, state_code(root, state))
            if size > _WIDE and len(self.states) < _SPECIAL:
                self.states[id(state)] = known
        return known[2], known[3]

    def mutate(self, target: Any, items: list[Any], how: str, offset: int) -> None:  # noqa: ANN401 - symbolic
        """APPEND(S), SETITEM(S), ADDITEMS on something that is no plain container calls its methods."""
        if target is DROPPED:
            return
        root, kind = root_name(target), kind_of(target, items=True)
        module, name = root or ("", "")
        self.aside.keep(items)
        if type(target) is Made:
            if type(target.func) is Global:
                target.func.uses.add("mutate")
            if how.startswith("SETITEM"):
                special = [key for key in items[::2] if type(key) is str and key.startswith("__")]
                if special and len(target.keys or ()) < _SPECIAL:
                    target.keys = (target.keys or set()) | set(special[:_SPECIAL])
            if target.state is None and root not in NAMESPACES and kind == "instance":
                return
        kind = "finished" if type(target) is Made and kind == "instance" else kind
        if ("mutate", root, how, kind) not in self.others:
            self._other(("mutate", root, how, kind), "pickle.mutate", offset,
                        module=module, name=name, target=kind, how=how, items=render(items[:8]))  # fmt: skip

    # Oddities

    def note(self, what: str) -> None:
        """Count an oddity."""
        self.notes[what] = self.notes.get(what, 0) + 1

    def frame(self, offset: int, start: int, length: int, size: int, *, torn: bool = False) -> None:
        """Note a frame that claims more than there is (`size` is where the content, or the stream, ends), or is torn."""
        self.torn = self.torn or torn
        if start + length > size or length < _FRAME_MIN or torn:
            self._other(("frame",), "pickle.frame", offset, length=length, left=size - start)

    def embedded(self, head: bytes, offset: int, length: int) -> None:
        """Remember bytes that open like a format a loader might be given."""
        if length > _KEPT:
            self.skipped += length
        if length >= 8 and (kind := embedded_kind(head) or ("reversed" if reversed_head(head) else "")):
            if len(self.inside) < MOST_BYTES:
                self.inside.append((kind, offset, length))
            else:
                self.overflow = True

    def text(self, head: bytes, offset: int, value: bytes | Blob) -> None:
        """Remember text that could be an encoded pickle or archive."""
        if encoded_head(head):
            if len(self.encoded) < MOST_BYTES:
                self.encoded.append((offset, value))
            else:
                self.overflow = True

    def tell(self, kind: str, offset: int, **data: str) -> None:
        """Remember what a dictionary tells a library to do."""
        self._other((kind, *data.values()), kind, offset, **data)

    def _other(self, key: Any, kind: str, offset: int, /, **data: Any) -> None:  # noqa: ANN401 - symbolic
        if key not in self.others:
            if len(self.others) < MOST_BYTES:
                self.others[key] = (kind, offset, data)
            else:
                self.overflow = True
