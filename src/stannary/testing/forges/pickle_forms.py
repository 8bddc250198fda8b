"""Calls that dill and cloudpickle write for annotations, enumerations and generic classes, and what hides in the same calls."""

from __future__ import annotations

import types
from functools import partial

from stannary.testing.forges import forge
from stannary.testing.forges.pickle_code import carried, code_arguments
from stannary.testing.pickle_assembler import Assembler

__all__: list[str] = []

_ECHO = "echo stannary"
_INIT = "import os\nclass K:\n def __init__(self, x):\n  os.system('echo stannary')\n"


def _a() -> Assembler:
    return Assembler(4)


def _name(module: str, name: str) -> Assembler:
    return _a().name(module, name)


def _dill_type(name: str) -> Assembler:
    return _a().call("dill._dill", "_load_type", name)


def _partial(function: Assembler, members: object) -> Assembler:
    made = _a().push(_dill_type("PartialType")).reduce(_name("dill._dill", "_setitems"))
    return made.push((function, (), {"source": members}, {})).op("BUILD")


def _class(members: object, function: Assembler | None = None) -> Assembler:
    bases = (_a().call("_operator", "getitem", _name("typing", "Generic"), _name("typing", "Any")),)
    body = _partial(function or _name("dill._dill", "_setitems"), members)
    return _a().call("types", "new_class", "Box", bases, {"metaclass": _dill_type("type")}, body)


def _own(name: str, base: Assembler, *args: object) -> Assembler:
    return _a().push(_a().call("dill._dill", "_create_type", _dill_type("type"), name, (base,), {})).reduce(*args)


def _object(source: str) -> Assembler:
    """Return the last function or class of a source, as dill writes it."""
    return _a().raw(carried(source, dill=True)[2:-1])


def _function(source: str) -> Assembler:
    """Return the function of a source itself, as dill writes it."""
    (code,) = (c for c in compile(source, "<forge>", "exec").co_consts if isinstance(c, types.CodeType))
    made = _a().call("dill._dill", "_create_code", b"", *code_arguments(code, _a().push))
    return _a().call("dill._dill", "_create_function", made, {"__name__": "__main__"}, code.co_name, None, ())


_HONEST = {
    "union": _a().call("_functools", "reduce", _name("_operator", "or_"), (_name("builtins", "int"), _dill_type("NoneType"))),
    "singleton": _a().call("dill._dill", "_eval_repr", "Ellipsis"),
    "alias": _a().call("types", "GenericAlias", _name("builtins", "list"), (_name("builtins", "int"),)),
    "method": _a().call("dill._dill", "_getattr", _dill_type("str"), "lower", "<method 'lower' of 'str' objects>"),
    "bound_method": _a().call("builtins", "getattr", "abc", "upper"),
    "field": _a().call("_collections", "_tuplegetter", 0, "Alias for field number 0"),
    "enum_new": _a().call("builtins", "getattr", _name("enum", "Enum"), "__new__"),
    "new_class": _class({"__module__": "__main__", "size": 3}),
    "own_name": _a().call("builtins", "setattr", _class({}), "__qualname__", "Box"),
    "own_exception": _own("Failed", _name("builtins", "ValueError"), "x"),
    "lock": _a().call("dill._dill", "_create_rlock", 0, 0),
}
_HOSTILE = {
    "union_called": _a().call("_functools", "reduce", _name("os", "system"), (_ECHO, _ECHO)),
    "union_of_values": _a().call("_functools", "reduce", _name("_operator", "or_"), (_a().call("os", "system", _ECHO), 1)),
    "singleton_code": _a().call("dill._dill", "_eval_repr", "print('stannary')"),
    "alias_of_value": _a().call("types", "GenericAlias", _a().call("os", "popen", _ECHO), (1,)),
    # dill evaluates what stands between the third and the fourth quotation mark.
    "method_code": _a().call("dill._dill", "_getattr", _dill_type("str"), "lower", "<method 'lower' of 'print(1) or str' objects>"),
    "method_name": _a().call(
        "dill._dill", "_getattr", _dill_type("str"), '"] or print(1) or ["', "<method 'lower' of 'str' objects>"
    ),
    "method_subclasses": _a().call(
        "dill._dill", "_getattr", _dill_type("object"), "__subclasses__", "<method '__subclasses__' of 'type' objects>"
    ),
    "bound_format": _a().call("builtins", "getattr", "{0.__class__}", "format"),
    "bound_globals": _a().call("builtins", "getattr", _object("def f(x):\n return x\n"), "__globals__"),
    "enum_subclasses": _a().call("builtins", "getattr", _name("enum", "Enum"), "__subclasses__"),
    "new_class_body": _class({}, _name("os", "system")),
    "new_class_member": _class({"__module__": "__main__", "run": _name("os", "system")}),
    "new_class_metaclass": _a().call("types", "new_class", "K", (), {"metaclass": _name("os", "system")}, None),
    "set_code": _a().call("builtins", "setattr", _class({}), "__init__", _name("os", "system")),
    "set_name_of_other": _a().call("builtins", "setattr", _name("torch.nn", "Module"), "__qualname__", "x"),
    "own_popen": _own("K", _name("subprocess", "Popen"), _ECHO),
    "own_of_bases_made": _a()
    .push(
        _a().call("dill._dill", "_create_type", _dill_type("type"), "K", _a().call("builtins", "tuple", [_name("evil", "run")]), {})
    )
    .reduce(_ECHO),
    "tracked": _a().push(_a().call("cloudpickle.cloudpickle", "_lookup_class_or_track", "x", _name("evil", "run"))).reduce(_ECHO),
    "file_type": _a().push(_dill_type("FileType")).reduce("/tmp/stannary", "w"),
    "file_type_of_that_name": _a().push(
        (_object("class FileType:\n def f(self):\n  return 1\n"), _a().push(_dill_type("FileType")).reduce("/tmp/stannary", "w"))
    ),
    "member_that_deletes": _a().call(
        "dill._dill",
        "_create_type",
        _dill_type("type"),
        "K",
        (_name("builtins", "object"),),
        {"predict": _name("shutil", "rmtree"), "fit": _function("def fit(self, x):\n return x\n")},
    ),
    "own_init": _object(_INIT),
    "held_and_given": _a().push(
        (_object("import os\nfrom os import system\ndef f(x):\n return len(x) if x else system\n"), _name("os", "system"))
    ),
    "cached_property": _a()
    .push(_name("functools", "cached_property"))
    .push(())
    .op("NEWOBJ")
    .push({"func": _name("os", "system")})
    .op("BUILD"),
}


def _register() -> None:
    for forms, malicious in ((_HONEST, False), (_HOSTILE, True)):
        for name, made in forms.items():
            content = _a().push(made).stop()
            forge(f"pickle.form_{name}", filename="model.pkl", family="forms of dill", malicious=malicious)(partial(bytes, content))


_register()
