"""What the recorder asks of symbolic values: what they are made by, what a state sets, which strings they hold."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

from stannary.formats.pickle_values import Blob, Global, Made, Map, Opaque, root_name

__all__ = [
    "EXECUTED",
    "GETATTR",
    "NAMESPACES",
    "TAKE_BYTES",
    "UNNAMED",
    "Aside",
    "Keys",
    "Told",
    "Traits",
    "is_common",
    "is_partial",
    "is_plain",
    "kind_of",
    "makes_code",
    "names_set",
    "source_of",
    "state_code",
    "strings",
    "takes_plain_bytes",
    "traits_of",
]

GETATTR = frozenset({("builtins", "getattr"), ("dill._dill", "_get_attr")})
TAKE_BYTES = frozenset({"numpy", "_codecs", "builtins", "datetime", "collections", "decimal", "array", "uuid", "pandas"})
_CODE = frozenset({
    ("dill._dill", "_create_code"), ("dill._dill", "_load_type"), ("types", "CodeType"),
    ("numba.core.serialize", "_rebuild_function"),
})  # fmt: skip
_CARRIERS = frozenset({
    "_import_module", "subimport", "_create_code", "_create_function", "_create_type", "_load_type", "_builtin_type",
    "_make_function", "_make_skel_func",
    "_make_skeleton_class", "_make_skeleton_enum", "_function_setstate", "_fill_function", "_class_setstate",
    "_rehydrate_skeleton_class",
    "_setitems", "_setattr", "cell_set", "_rebuild_function", "CodeType", "FunctionType", "LambdaType",
})  # fmt: skip
_PARTIAL = frozenset({("functools", "partial"), ("_functools", "partial")})
_FOLDED = frozenset({"builtins", "dill._dill", "_codecs", "copyreg"})
_LONG = 256  # characters of a name with its module
_NAMES = 4096  # strings of a code object that are looked at
_STEPS = 1 << 16
_ASIDE = 4096
_SOURCE = 1 << 20  # bytes of source text worth reporting
_TEXT_MAKERS = frozenset({("builtins", "str"), ("builtins", "getattr"), ("builtins", "bytes"), ("_codecs", "encode")})


# No pickler puts items into these: their state holds what they hold.
NAMESPACES = frozenset({
    ("types", "SimpleNamespace"), ("argparse", "Namespace"), ("collections", "ChainMap"), ("collections", "UserDict"),
    ("collections", "UserList"),
})  # fmt: skip
EXECUTED = frozenset({"_parse_arg_template"})  # keys of a state
# Roots of libraries whose classes are known by name, and judged so.
_COMMON = frozenset({
    "sklearn", "numpy", "pandas", "torch", "scipy", "xgboost", "lightgbm", "catboost", "keras", "tensorflow", "transformers",
    "joblib", "collections", "datetime", "builtins", "spacy", "statsmodels", "torchvision", "nltk", "gensim",
})  # fmt: skip
_INSTANCES, _LOOKS, _WIDE, _ARGV, _EXCERPT = 4, 400, 64, 8, 2000
_TELLING = re.compile(
    r"(?:[|;&`]|\$\(|://|\\\\|\b(?:ba|z|da)?sh\b|\bcmd\b|(?i:powershell)|\bpython|\bcurl\b|\bwget\b|\brm\b|\bimport\b|\bexec\b|\beval\b|\bos\.|subprocess|__|/etc/|\.ssh|/\.\w|\.(?:so|dll|exe|pth|py|sh|ps1|bat)\Z)"
)
_INTERPRETER = re.compile(
    r"(?:^|[/\\])(?:(?:ba|z|da|k)?sh|cmd(?:\.exe)?|powershell(?:\.exe)?|pwsh|python[\d.]*|perl|ruby|node|curl|wget)\Z"
)


_BUILT = frozenset({tuple, list, Map, Made, Global, Opaque})


class Aside:
    """Values that nothing refers to any more, but that something was given: `full` when there were more than are kept."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.full = False

    def keep(self, value: Any) -> None:  # noqa: ANN401 - symbolic
        """Put a value aside; numbers and text are of no interest."""
        if type(value) in _BUILT and value != ():
            if len(self.values) < _ASIDE:
                self.values.append(value)
            else:
                self.full = True


class Keys:
    """What the keys of dictionaries and sets cost to hash, and those that have the hash of another one."""

    __slots__ = ("alike", "seen", "work")

    def __init__(self) -> None:
        self.seen: dict[int, Any] = {}
        self.alike: set[Any] = set()
        self.work = 0


class Told:
    """What classes that no common library has are told by their state: strings that may be commands, code, paths or addresses."""

    __slots__ = ("looked",)

    def __init__(self) -> None:
        self.looked: dict[Global, int] = {}

    def of(self, func: Global, state: Any) -> list[str]:  # noqa: ANN401 - symbolic
        """Return such strings of a state; of the first instances of a class alone."""
        looked = self.looked.get(func, 0)
        if is_common(func.module) or looked >= _INSTANCES:
            return []
        self.looked[func] = looked + 1
        found: list[str] = []
        todo = [state]
        for _ in range(_LOOKS):
            if not todo:
                break
            item = todo.pop()
            if type(item) is str:
                found += [item[:_EXCERPT]] if _TELLING.search(item) else []
            elif type(item) is Map:
                todo += item.items[: 2 * _WIDE]
            elif type(item) in (tuple, list):
                parts = [part for word in item[:_ARGV] for part in (word if type(word) in (tuple, list) else (word,))]
                words = [part for part in parts[:_ARGV] if type(part) is str]
                if len(words) > 1 and _INTERPRETER.search(words[0]):
                    found.append(" ".join(words)[:_EXCERPT])
                todo += item[:_WIDE]
        return found[:_WIDE]


def is_common(module: str) -> bool:
    """Tell whether a module is of a library whose classes are known by name: what their state tells them is not looked at."""
    return module.partition(".")[0] in _COMMON


def kind_of(target: Any, *, items: bool = False) -> str:  # noqa: ANN401 - symbolic
    """Name what BUILD, or what puts in `items`, is applied to: fresh instances are normal, items in a tensor write memory."""
    if type(target) is Made:
        if (
            items
            and type(target.func) is Global
            and target.func.module == "torch._utils"
            and target.func.name.startswith("_rebuild_")
        ):
            return "tensor"
        return "attribute" if type(target.func) is Global and (target.func.module, target.func.name) in GETATTR else "instance"
    return "global" if type(target) is Global else type(target).__name__.lower()


def is_partial(made: Made) -> bool:
    """Tell whether something made is a `functools.partial`, dill's spelling included."""
    if type(made.func) is Made:
        return bool(made.func.args == ("PartialType",))  # dill's name for it
    return root_name(made) in _PARTIAL


class Traits(NamedTuple):
    """What is asked of a name at each call: a folder of pickles has few names, and calls them ten thousand times."""

    bulk: bool  # models call it by the million, with harmless arguments
    folded: bool  # the result of such a call may plainly be another name
    code: bool  # it makes a code object
    type_maker: bool  # what it returns may
    carries: bool  # it makes or fills code, functions, classes or cells: no call is like another
    graph: bool  # torch.fx executes what it is given
    apart: bool  # any of the last four: its calls are told apart by more than their arguments
    attribute: bool  # it returns what something has, no new instance
    common: bool  # of a library whose classes are known by name
    wrapper: bool  # one of joblib's wrappers of arrays
    partial: bool  # functools.partial
    scipy: bool  # scipy.stats executes text of a state


def traits_of(module: str, name: str) -> Traits:
    """Return the traits of a name. Long ones, which no library has, are not kept: the next file needs the memory."""
    return (_known if len(module) + len(name) < _LONG else _find)(module, name)


def _find(module: str, name: str) -> Traits:
    root = (module, name)
    code, type_maker, graph = root in _CODE, name == "_builtin_type", name == "reduce_graph_module"
    carries = name in _CARRIERS or name.rpartition(".")[2] in _CARRIERS
    return Traits(
        bulk=takes_plain_bytes(module),
        folded=module in _FOLDED,
        code=code,
        type_maker=type_maker,
        carries=carries,
        graph=graph,
        apart=code or type_maker or carries or graph,
        attribute=root in GETATTR,
        common=is_common(module),
        wrapper=name.endswith("ArrayWrapper"),
        partial=root in _PARTIAL,
        scipy=module.startswith("scipy.stats."),
    )


_known = lru_cache(maxsize=1 << 13)(_find)

#: Of what is called without a name.
UNNAMED = Traits(*(False,) * len(Traits._fields))


def takes_plain_bytes(module: str) -> bool:
    """Tell whether the functions of a module that models call are given bytes, and never unpickle them."""
    return module.partition(".")[0] in TAKE_BYTES and module not in {"builtins", "_codecs"}


def makes_code(func: Any) -> bool:  # noqa: ANN401 - symbolic
    """Tell whether a call makes a code object."""
    root = root_name(func)
    return root is not None and (root in _CODE or (root[1] == "_builtin_type" and type(func) is Made))


def strings(value: Any, left: list[int] | None = None) -> list[str]:  # noqa: ANN401 - symbolic
    """Return the strings in the arguments of a code object, however many. `left[0]` counts down the steps that may be taken."""
    found: list[str] = []
    todo = [value]
    seen: set[int] = set()  # lists may hold themselves
    steps = 0
    while todo and len(found) < _NAMES and steps < _STEPS:
        steps += 1
        item = todo.pop()
        if type(item) is str:
            found.append(item[:200].encode("utf-8", "backslashreplace").decode())
        elif type(item) in (tuple, list) and id(item) not in seen:
            seen.add(id(item))
            todo += item[:_NAMES]
            steps += len(item[:_NAMES]) >> 3
    if left:
        left[0] -= steps + 8
    return found


def source_of(func: Any, args: Any, content: memoryview | None) -> list[str]:  # noqa: ANN401 - symbolic
    """Return the texts that torch.fx executes: the import block, and `_code` of the module's state. Empty when computed."""
    if (
        type(func) is not Global
        or func.name != "reduce_graph_module"
        or type(args) is not tuple
        or len(args) != 2
        or type(args[0]) is not Map
    ):
        return []
    pairs = dict(zip(filter(lambda k: type(k) is str, args[0].items[::2]), args[0].items[1::2], strict=False)) if all(
        type(k) is str for k in args[0].items[::2]
    ) else {}  # fmt: skip
    texts = []
    for value in (args[1], pairs.get("_code") or pairs.get("code")):
        if type(value) is Blob and value.kind == "text" and content is not None and value.length <= _SOURCE:
            texts.append(bytes(content[value.offset : value.offset + value.length]).decode("utf-8", "replace"))
        elif type(value) is str:
            texts.append(value)
        else:
            return []
    return [] if args[0].cut else texts


def state_code(root: tuple[str, str] | None, state: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - symbolic
    """Return (key, text) of state that a class hands to `exec` when it is set: scipy's distributions do.

    The key is empty when such a class is given a state that is no plain dict, and so not known.
    """
    if type(state) is tuple and state and type(state[0]) is Map:
        state = state[0]  # (parameters, random state), before scipy 1.5
    if type(state) is not Map:
        return [("", "")] if root is not None and root[0].startswith("scipy.stats.") and state not in (None, ()) else []
    pairs = zip(state.items[::2], state.items[1::2], strict=False)
    return [(key, value if type(value) is str else "") for key, value in pairs if type(key) is str and key in EXECUTED]


def is_plain(state: Any, traits: Traits) -> bool:  # noqa: ANN401 - symbolic
    """Tell whether a state is an array's, or a dict, not a large one, that sets no special name and nothing that is executed."""
    if type(state) is tuple:
        return len(state) > 2 and type(state[0]) is not Map and not traits.scipy
    if type(state) is not Map or len(state.items) > _WIDE:
        return False
    try:
        names = "\n".join(state.items[::2])
    except TypeError:  # a key that is no text
        return False
    return "__" not in names and not any(key in names for key in EXECUTED)


def names_set(state: Any, left: list[int]) -> list[str]:  # noqa: ANN401 - symbolic
    """Return the attribute names a BUILD state sets: keys of the dict, and of the slots dict beside it."""
    maps = (
        [state]
        if type(state) is Map
        else [item for item in state if type(item) is Map]
        if type(state) is tuple and len(state) == 2
        else []
    )
    made = [*strings(state.args, left), *(state.keys or ())] if type(state) is Made else []
    keys = [key for found in maps for key in found.items[::2]]
    computed = ["__computed__" for key in keys if type(key) is Made and root_name(key) in _TEXT_MAKERS]
    return [key for key in keys if type(key) is str] + made + computed[:1]
