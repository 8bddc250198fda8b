"""Callables that real pickles call with certain arguments only: one function each.

Each takes the rendered arguments and returns '' when they are what a pickler writes, else what
is wrong with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from stannary.checks.static.judges import pickle_schema_plain as plain
from stannary.checks.static.judges import pickle_schema_sizes as sizes
from stannary.checks.static.judges.pickle_made import CLASS_MAKERS, FUNCTION_MAKERS, is_class, made_by
from stannary.checks.static.judges.word_sets import words
from stannary.checks.static.knowledge import Knowledge

_RANDOM = ("numpy.random._pickle", "numpy.random", "numpy.random.mtrand", "mtrand")
_FILES = re.compile(
    r"(?:tofile|dump|to_(?:csv|pickle|json|parquet|excel|html|sql|feather|hdf|latex|stata|string|xml|clipboard)|save\w*|write\w*"
    r"|load\w*|read\w*|unlink|rmdir|rename|touch|mkdir|symlink_to|hardlink_to|link_to|chmod|lchmod|open|query|eval|exec\w*|system"
    r"|popen|run|spawn\w*|from_file|from_pretrained)\Z"
)
# What a module of torch has called when a dictionary of weights is put into it: it renames keys.
_HOOK = re.compile(r"_?(?:pre_|lazy_)?(?:load|save)(?:_state_dict)?(?:_pre|_post)?_hook")

__all__ = [
    "CODE_MAKERS",
    "DANGEROUS_NAMES",
    "EXECUTES_SOURCE",
    "SCHEMAS",
    "code_names",
    "role_of",
]

Args = list[Any]
_PLAIN = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z]\w*)*\Z")


_UFUNC_MODULES = frozenset({
    "numpy", "numpy.core.umath", "numpy._core.umath", "numpy.core._multiarray_umath", "numpy._core._multiarray_umath",
    "scipy.special", "scipy.special._ufuncs",
})  # fmt: skip
_WORDS = """
system popen spawn exec eval compile __import__ import_module subprocess Popen check_output check_call call run socket urlopen
urlretrieve requests urllib http ctypes pty fork execv execve execl startfile remove unlink rmtree rmdir os posix nt sys shutil
pickle marshal loads base64 b64decode builtins __builtins__ globals getattr setattr open write putenv environ webbrowser runpy
code platform importlib __subclasses__ __globals__ __class__ __bases__ __mro__ connect sendall send recv paramiko ftplib smtplib
telnetlib chmod asyncio multiprocessing _posixsubprocess cffi tempfile create_subprocess_shell create_subprocess_exec import_string
vars locals
f_builtins f_globals f_locals f_back tb_frame gi_frame cr_frame ag_frame __loader__ __spec__ __getattribute__ load_module
breakpoint __self__ __base__ __traceback__ __reduce_ex__ __code__ __closure__ mro currentframe _getframe get_objects _os _sys
write_text write_bytes sqlite3 mmap HTTPConnection HTTPSConnection httpx aiohttp boto3 urllib3
attrgetter methodcaller
"""
DANGEROUS_NAMES = frozenset(_WORDS.split())


def _split(value: Any, known: Knowledge) -> str:  # noqa: ANN401 - rendered JSON
    """Return the role of a rendered global, '?' when the value is no global."""
    if not isinstance(value, dict) or "global" not in value:
        return "?"
    return role_of(value["global"], known)


def role_of(dotted: str, known: Knowledge) -> str:
    """Return the role of a dotted name, wherever its module ends."""
    parts = dotted.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        role = known.role(".".join(parts[:cut]), ".".join(parts[cut:]))
        if role:
            return role
    return ""


def _getattr(args: Args, known: Knowledge) -> str:
    if len(args) < 2 or not isinstance(args[1], str):  # noqa: PLR2004 - object and name
        return "the attribute's name is computed"
    if args[1].startswith("__"):
        return f"attribute {args[1]}"
    if _FILES.match(args[1].rpartition(".")[2]) and not _HOOK.fullmatch(args[1]):
        return f"method {args[1]}"
    target = args[0]
    if args[1:] == ["_setattr", {"global": "builtins.setattr"}] and args[0] in (
        {"global": "dill._dill"},
        {"global": "dill._shims._dill"},
    ):
        return ""
    if isinstance(target, dict) and "global" in target:
        if role_of(f"{target['global']}.{args[1]}", known) in {"c", "k", "f", "r"}:
            return ""
        return (
            ""
            if _split(target, known) in {"c", "k", "f", "r"}
            else f"attribute of {target['global']}, which no pickler takes attributes of"
        )
    if isinstance(target, dict) and ("object" in target or "call" in target):
        name = target.get("object") or target.get("call")
        return "" if _split({"global": name}, known) in {"c", "k", "r"} else f"attribute of the result of {name}"
    return "attribute of something computed"


def _partial(args: Args, known: Knowledge) -> str:
    if not args:
        return "no callable"
    target = args[0][0] if isinstance(args[0], list) and args[0] else args[0]
    if isinstance(target, dict) and ("global" in target):
        # What is dangerous to name at all is found by name; here only what is never a plain function.
        return (
            ""
            if not known.is_stdlib(target["global"]) or _split(target, known) in {"c", "k", "f", "r"}
            else f"partial of {target['global']}"
        )
    if isinstance(target, dict) and ("call" in target or "object" in target):
        return ""
    return "partial of something computed"


def _names(args: Args, _known: Knowledge) -> str:
    wrong = [a for a in args if not isinstance(a, str) or not _PLAIN.match(a) or DANGEROUS_NAMES & set(a.split("."))]
    return f"attribute {wrong[0]}" if wrong else ""


def _method(args: Args, _known: Knowledge) -> str:
    if not args or not isinstance(args[0], str) or not _PLAIN.match(args[0]):
        return "the method's name is computed or special"
    return f"method {args[0]}" if args[0] in DANGEROUS_NAMES or args[0] in words("method_effects") else ""


def _from_bytes(args: Args, _known: Knowledge) -> str:
    """The bytes are read as a file of their own; here only that they are bytes."""
    plain = (
        len(args) == 1
        and isinstance(args[0], dict)
        and ("bytes" in args[0] or args[0].get("call") in {"_codecs.encode", "_io.BytesIO", "io.BytesIO"})
    )
    return "" if plain else "its argument is no byte string"


def _ufunc(args: Args, known: Knowledge) -> str:
    if len(args) == 2 and all(isinstance(a, str) for a in args) and known.role(args[0], args[1]) in {"f", "k", "r"}:  # noqa: PLR2004 - module, name
        return ""
    module = args[0] if args and isinstance(args[0], str) else ""
    numeric = module in _UFUNC_MODULES and len(args) == 2 and isinstance(args[1], str) and _PLAIN.match(args[1])  # noqa: PLR2004
    return "" if numeric else f"takes {module or 'something computed'} for a module of ufuncs"


def _dill_setattr(args: Args, _known: Knowledge) -> str:
    owner, name = (args[0], args[1]) if len(args) > 1 else (None, None)
    cell = isinstance(owner, dict) and owner.get("call") == "dill._dill._create_cell" and name == "cell_contents"
    return "" if cell else "sets an attribute of something that is no cell"


def _rebuild_from_type(args: Args, _known: Knowledge) -> str:
    function = args[0].get("global", "") if args and isinstance(args[0], dict) else ""
    return "" if function.startswith("torch._utils._rebuild_") else f"rebuilds through {function or 'something computed'}"


def _import_module(args: Args, known: Knowledge) -> str:
    name = args[0] if args and isinstance(args[0], str) else ""
    if f"{name}." in words("code_harmless"):
        return ""  # its functions compute
    top = name.partition(".")[0]
    if not name or top in DANGEROUS_NAMES or known.gadget(name, "") or (known.is_stdlib(name) and not known.known_module(name)):
        return f"imports {name or 'a computed module'}"
    return "" if known.is_package(name) or known.is_stdlib(name) else f"imports {top}"


def _import_attr(args: Args, known: Knowledge) -> str:
    if len(args) == 2 and all(isinstance(a, str) for a in args):  # noqa: PLR2004 - module and name
        return "" if known.role(args[0], args[1]) in {"c", "k", "f", "r"} else f"takes {args[1]} of {args[0]}"
    return (
        _getattr(args, known)
        if args and not (isinstance(args[0], dict) and args[0].get("call", "").endswith("_import_module"))
        else ""
    )


def _multimethod(args: Args, known: Knowledge) -> str:
    """`unpickle_function(module, name, None)`: imports the module and takes what the name says; with a third it binds a method."""
    return _import_attr(args[:2], known) or ("" if args[2:] in ([], [None]) else "binds what it finds to an object")


def _class_first(args: Args, _known: Knowledge) -> str:
    return "" if args and isinstance(args[0], dict) and ("global" in args[0] or is_class(args[0])) else "its class is no class"


def _reconstructor(args: Args, known: Knowledge) -> str:
    """`copyreg._reconstructor(class, base, state)` calls __new__ and __init__ of the base: a built-in, when a pickler writes it."""
    base = args[1] if len(args) == 3 and isinstance(args[1], dict) else {}  # noqa: PLR2004 - class, base, state
    builtin = base.get("global", "").startswith(("builtins.", "__builtin__."))
    builtin = builtin or base == {"call": "dill._dill._load_type", "args": ["object"]}
    return _class_first(args, known) or ("" if builtin and is_class(base) else "its base is no built-in")


def _metaclass_first(args: Args, _known: Knowledge) -> str:
    return "" if args and is_class(args[0]) else "its metaclass is no class"


def _function_first(args: Args, _known: Knowledge) -> str:
    return "" if args and made_by(args[0]) in FUNCTION_MAKERS else "changes a function that the pickle did not make"


def _own_class_first(args: Args, _known: Knowledge) -> str:
    return "" if args and made_by(args[0]) in CLASS_MAKERS else "changes a class that the pickle did not make"


def _random_ctor(args: Args, _known: Knowledge) -> str:
    good = [a for a in args[1:] if isinstance(a, dict) and re.match(r"(?:numpy|mtrand)\b.*_ctor\Z", a.get("global", ""))]
    return "" if len(good) == len(args[1:]) else "its constructor is none of numpy's"


def _of_numpy(args: Args, _known: Knowledge) -> str:
    names = [a.get("global", "") for a in args if isinstance(a, dict)]
    plain = all(isinstance(a, (str, dict)) for a in args) and all(n.startswith(("numpy.random.", "mtrand.")) for n in names)
    return "" if plain else "its argument is no bit generator"


def _create_array(args: Args, _known: Knowledge) -> str:
    maker = args[0].get("global", "") if args and isinstance(args[0], dict) else ""
    known_maker = maker.startswith("numpy.") and maker.endswith("._reconstruct")
    return "" if known_maker else f"makes an array with {maker or 'something computed'}"


def _create_ftype(args: Args, known: Knowledge) -> str:
    partials = ({"global": "functools.partial"}, {"call": "dill._dill._load_type", "args": ["PartialType"]})
    if len(args) < 2 or args[0] not in partials:  # noqa: PLR2004 - the type and the function
        return "makes no partial"
    return _partial(args[1:], known)


def _create_namedtuple(args: Args, known: Knowledge) -> str:
    module = args[2] if len(args) > 2 and isinstance(args[2], str) else ""  # noqa: PLR2004 - name, fields, module
    return _import_module([module], known) if not module or known.is_stdlib(module) or known.gadget(module, "") else ""


def _encode(args: Args, _known: Knowledge) -> str:
    return "" if len(args) == 2 and args[1] == "latin1" else "no pickler writes bytes that way"  # noqa: PLR2004 - text, encoding


def _custom_rebuild(args: Args, _known: Knowledge) -> str:
    maker = made_by(args[0]) if len(args) == 1 else ""
    own = maker == "numba.core.serialize._unpickle__CustomPickled" or (
        maker in FUNCTION_MAKERS and plain.rebuilt_dispatcher(args[0])
    )
    return "" if own else "its argument is built by hand"


def _lru_cache(args: Args, _known: Knowledge) -> str:
    plain = all(a is None or isinstance(a, (int, bool)) for a in args)
    return "" if plain or (len(args) == 1 and made_by(args[0]) in FUNCTION_MAKERS) else "it caches no function of the pickle's own"


def _never(_args: Args, _known: Knowledge) -> str:
    return "no pickler calls it"


SCHEMAS: dict[tuple[str, str], Callable[[Args, Knowledge], str]] = {
    ("builtins", "getattr"): _getattr,
    **{("builtins", name): sizes.sized for name in ("bytes", "bytearray", "list", "tuple", "set", "frozenset", "dict")},
    ("functools", "partial"): _partial,
    ("functools", "partialmethod"): _partial,
    ("operator", "attrgetter"): _names,
    ("_operator", "attrgetter"): _names,
    ("operator", "methodcaller"): _method,
    ("_operator", "methodcaller"): _method,
    ("numpy.core", "_ufunc_reconstruct"): _ufunc,
    ("numpy._core", "_ufunc_reconstruct"): _ufunc,
    ("dill._dill", "_setattr"): _dill_setattr,
    ("dill", "_dill._setattr"): _dill_setattr,
    ("dill._shims", "_dill._setattr"): _dill_setattr,
    ("numba.core.serialize", "_unpickle__CustomPickled"): _from_bytes,
    ("torch.storage", "_load_from_bytes"): _from_bytes,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
    ("dill._dill", "_import_module"): _import_module,
    ("cloudpickle.cloudpickle", "subimport"): _import_module,
    ("dill._dill", "_get_attr"): _import_attr,
    **{
        (module, "unpickle_function"): _multimethod
        for module in ("scipy._lib._uarray._backend", "scipy._lib.uarray", "scipy._lib._uarray", "uarray._backend", "uarray")
    },
    ("array", "array"): sizes.typed,
    ("builtins", "int"): sizes.number,
    ("fractions", "Fraction"): sizes.number,
    **{("collections", name): sizes.sized for name in ("deque", "Counter", "OrderedDict")},
    ("copyreg", "_reconstructor"): _reconstructor,
    ("copyreg", "__newobj__"): _class_first,
    ("copyreg", "__newobj_ex__"): _class_first,
    ("numpy.ma.core", "_mareconstruct"): _class_first,
    ("numpy.ma.mrecords", "_mrreconstruct"): _class_first,
    **{
        ("pandas.core.indexes." + kind, f"_new_{name}"): _class_first
        for kind, name in (
            ("base", "Index"),
            ("datetimes", "DatetimeIndex"),
            ("interval", "IntervalIndex"),
            ("period", "PeriodIndex"),
            ("timedeltas", "TimedeltaIndex"),
        )
    },
    **{(module, "new_object"): _class_first for module in ("scipy.spatial._ckdtree", "scipy.spatial.ckdtree")},
    ("hdbscan.dist_metrics", "newObj"): _class_first,
    **{(module, f"__{name}_ctor"): _random_ctor for module in _RANDOM for name in ("generator", "randomstate", "RandomState")},
    **{(module, "__bit_generator_ctor"): _of_numpy for module in _RANDOM},
    ("torch._tensor", "_rebuild_from_type"): _rebuild_from_type,
    ("_codecs", "encode"): _encode,
    ("codecs", "encode"): _encode,
    ("numba.core.serialize", "custom_rebuild"): _custom_rebuild,
    ("numba.core.types.abstract", "_type_reconstructor"): plain.numba_type,
    ("numba.core.serialize", "_rebuild_reduction"): _class_first,
    **{(module, "_function_setstate"): _function_first for module in ("cloudpickle.cloudpickle", "cloudpickle.cloudpickle_fast")},
    **{(module, "_class_setstate"): _own_class_first for module in ("cloudpickle.cloudpickle", "cloudpickle.cloudpickle_fast")},
    ("cloudpickle.cloudpickle", "_make_skeleton_class"): _metaclass_first,
    ("dill._dill", "_create_type"): _metaclass_first,
    ("dill._dill", "_create_array"): _create_array,
    ("jax._src.array", "_reconstruct_array"): _create_array,
    ("dill._dill", "_create_ftype"): _create_ftype,
    ("dill._dill", "_create_namedtuple"): _create_namedtuple,
    ("dill._dill", "_setitems"): plain.set_items,
    **{("builtins", name): plain.decorator for name in ("property", "staticmethod", "classmethod")},
    ("_operator", "getitem"): plain.annotation,
    ("operator", "getitem"): plain.annotation,
    ("builtins", "type"): plain.type_of,
    ("builtins", "iter"): plain.iterator,
    ("functools", "lru_cache"): _lru_cache,
    ("functools", "cache"): _lru_cache,
}

# Build functions from bytecode that the pickle carries.
EXECUTES_SOURCE = frozenset({("torch.fx.graph_module", "reduce_graph_module")})  # of text that it is given: `pickle_fx`
CODE_MAKERS = frozenset({
    ("numba.core.serialize", "_rebuild_function"),
    ("dill._dill", "_create_code"), ("dill._dill", "_create_function"),
    ("cloudpickle.cloudpickle", "_make_function"), ("cloudpickle.cloudpickle", "_make_skel_func"),
    ("cloudpickle.cloudpickle", "_fill_function"), ("cloudpickle.cloudpickle", "dynamic_subimport"),
})  # fmt: skip

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*\Z")


def code_names(args: Any) -> list[str]:  # noqa: ANN401 - rendered JSON
    """Return the identifiers among the arguments of a code object: names, attributes, constants it uses."""
    found: list[str] = []
    stack = [args]
    while stack and len(found) < 8192:  # noqa: PLR2004 - more than any real function has
        item = stack.pop()
        if isinstance(item, str):
            found += [part for part in item.split(".") if _IDENTIFIER.match(part)]
        elif isinstance(item, list):
            stack += item
        elif isinstance(item, dict):
            stack += [item[key] for key in ("args", "list", "dict") if key in item]
    return found
