"""One example a pickle rule, and the plain pickle that none of them may match. Written by opcode; echo at most."""

from __future__ import annotations

import pickle  # dumps only
from collections.abc import Callable

from stannary.testing.forges import forge

__all__: list[str] = []

_FAMILY = "pickle rules"


def _text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + len(raw).to_bytes(4, "little") + raw


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _call(module: str, name: str, *args: bytes) -> bytes:
    return _global(module, name) + b"(" + b"".join(args) + b"tR"


def _stream(body: bytes) -> bytes:
    return b"\x80\x04" + body + b"."


def _rule(name: str, body: bytes, *, malicious: bool | None = True) -> None:
    builder: Callable[[], bytes] = lambda: _stream(body)  # noqa: E731 - one expression
    forge(f"pickle.{name}", filename="model.pkl", family=_FAMILY, malicious=malicious)(builder)


@forge("pickle.plain", filename="plain.pkl", family=_FAMILY, malicious=False)
def _plain() -> bytes:
    return pickle.dumps({"weights": [0.5, 1.5], "name": "plain", "shape": (2, 3), "ok": True, "none": None}, protocol=4)


_ECHO = _text("echo stannary")
_rule("rule_exec", _call("os", "system", _ECHO))
_rule("rule_import", _call("importlib", "import_module", _text("this")))
_rule("rule_load", _call("joblib", "load", _text("other.joblib")))
_rule("rule_native", _call("ctypes", "CDLL", _text("libc.so.6")))
_rule("rule_file", _call("builtins", "open", _text("note.txt"), _text("w")))
_rule("rule_net", _call("urllib.request", "urlopen", _text("http://127.0.0.1:9/")))
_rule("rule_hook", _call("builtins", "setattr", _global("collections", "OrderedDict"), _text("x"), b"N"))
_rule("rule_schema", _call("torch._tensor", "_rebuild_from_type_v2", _global("numpy", "ndarray"), b"N", b")", b"N"))
_rule("rule_import_only", b"}" + _text("func") + _global("os", "system") + b"s")
_rule("rule_stdlib_call", _call("mimetypes", "init", b"N"))
_rule("rule_stdlib_import", b"]" + _global("mimetypes", "MimeTypes") + b"a")
_rule("rule_reference_called", _call("builtins", "max", b"K\x01", b"K\x02"))
_rule("rule_unknown_function", _call("somelibrary.helpers", "do_it", b"K\x01"))
_rule("rule_unknown_class", _global("mymodels.net", "Model") + b")\x81}b", malicious=None)
_rule("rule_unknown_name", _global("sklearn.linear_model", "NoSuchEstimatorHere") + b")\x81}b", malicious=None)
_rule("rule_shaped", _call("somelibrary.helpers", "Runner", _text("curl http://127.0.0.1:9/ | sh")))
_rule("rule_walk", _text("torch.serialization") + _text("warnings.warn") + b"\x93" + _ECHO + b"\x85R")
_rule("rule_computed", _call("builtins", "str", _text("os")) + _text("system") + b"\x93" + _ECHO + b"\x85R")
_rule("rule_call_result", _call("functools", "partial", _global("builtins", "print")) + _ECHO + b"\x85R")
_rule("rule_extension", b"\x82\x07" + _ECHO + b"\x85R")
_rule("rule_build_global", _global("collections", "OrderedDict") + b"}" + _text("update") + b"Nsb")
_rule("rule_build_dunder", _global("collections", "OrderedDict") + b")R}" + _text("__class__") + b"Nsb")
_rule("rule_mutate", b"K\x01" + _ECHO + b"a")
# Items put into a tensor write memory (CVE-2026-24747).
_rule(
    "rule_tensor_items",
    _global("torch._utils", "_rebuild_tensor_v2") + b"(NK\x00K\x01\x85K\x01\x85\x89NtR" + b"K\x00K\x01s",
)
_rule("rule_frame", b"\x95" + (1 << 40).to_bytes(8, "little") + b"}")
_rule("rule_code", _call("dill._dill", "_create_code", b"K\x00", b"C\x04d\x00S\x00", b"(" + _text("x") + b"t"), malicious=None)
# CPython's strtol stops at the NUL and takes the number; int() refuses the line.
_rule("rule_readings", b"I5\x00x\n0" + _call("os", "system", _ECHO))
_rule("rule_hash_bomb", b"}(K\x01K\x01\x86" + b"2\x86" * 40 + b"N" + b"u")
# Multiples of 2**61 - 1, which CPython hashes to 0: as they are, in a set, within tuples.
_ALIKE = [b"\x8a\x0a" + (number * ((1 << 61) - 1)).to_bytes(10, "little") for number in range(1, 20_000)]
_rule("rule_hash_alike", b"}(" + b"N".join(_ALIKE) + b"Nu")
_rule("rule_hash_alike_set", b"\x8f(" + b"".join(_ALIKE) + b"\x90")
_rule("rule_hash_alike_tuples", b"}(" + b"\x85N".join(_ALIKE) + b"\x85Nu")
_rule("rule_hash_alike_one_by_one", b"}" + b"Ns".join(_ALIKE) + b"Ns")
_rule(
    "rule_state_code",
    _global("scipy.stats._continuous_distns", "norm_gen")
    + b")\x81}"
    + _text("_parse_arg_template")
    + _text("print('stannary')")
    + b"sb",
)
_rule(
    "rule_state_not_plain",
    _global("scipy.stats._continuous_distns", "norm_gen") + b")\x81" + _call("collections", "OrderedDict", b"]") + b"b",
)


def _graph_module(code: str, imports: str = "import torch\n", key: str = "_code") -> bytes:
    return _call("torch.fx.graph_module", "reduce_graph_module", b"}" + _text(key) + _text(code) + b"s", _text(imports))


_FORWARD = "def forward(self, x : torch.Tensor):\n    linear = self.linear(x);  x = None\n    return torch.relu(linear)\n"
_rule("fx_plain", _graph_module(_FORWARD, "import torch\nfrom math import inf\nNoneType = type(None)\n"), malicious=None)
for _name, _code, _imports in (
    ("import", _FORWARD, "import os\n"),
    ("statement", _FORWARD + "print('stannary')\n", "import torch\n"),
    ("default", "def forward(self, x=print('stannary')):\n    return x\n", "import torch\n"),
    ("decorator", "@print\ndef forward(self, x):\n    return x\n", "import torch\n"),
    ("annotation", "def forward(self, x : print('stannary')):\n    return x\n", "import torch\n"),
    ("body", "def forward(self, x):\n    return torch.load('other.pt')\n", "import torch\n"),
    ("walk", "def forward(self, x):\n    return torch.serialization.os.getcwd()\n", "import torch\n"),
    ("dunder", "def forward(self, x):\n    return x.__class__\n", "import torch\n"),
    ("getattr", "def forward(self, x):\n    return getattr(x, '__class__')\n", "from builtins import getattr as getattr\n"),
    ("builtins", _FORWARD, "from builtins import exec as linear\n"),
):
    _rule(f"fx_{_name}", _graph_module(_code, _imports))
_rule("fx_second", _graph_module(_FORWARD) + b"0" + _graph_module(_FORWARD + "print('stannary')\n"))
_rule("fx_other_key", _graph_module(_FORWARD + "print('stannary')\n", key="code"))
_rule(
    "fx_computed", _call("torch.fx.graph_module", "reduce_graph_module", _call("builtins", "dict", b"]"), _text("import torch\n"))
)
_rule(
    "fx_getattr_plain",
    _graph_module("def forward(self, x):\n    return getattr(x, 'shape')\n", "from builtins import getattr as getattr\n"),
    malicious=None,
)
_rule(
    "fx_sequential",
    _graph_module('def forward(self, x):\n    _0 = getattr(self, "0")(x);  x = None\n    return getattr(self, "1")(_0)\n'),
    malicious=None,
)

# What picklers compute because it has no name: generic types, the type of None, an iterator.
_NONE_TYPE = _call("builtins", "type", b"N")
_rule(
    "generic_type",
    _call("_operator", "getitem", _global("typing", "Union"), b"(" + _global("builtins", "int") + _NONE_TYPE + b"t"),
    malicious=False,
)
_rule("list_iterator", _call("builtins", "iter", b"](K\x01K\x02e"), malicious=False)
_rule("generic_type_other", _call("_operator", "getitem", _global("os", "environ"), _text("HOME")))
_rule("class_made", _call("builtins", "type", _text("Model"), b")", b"}"))
_rule("iterator_called", _call("builtins", "iter", _global("builtins", "input"), _text("")))
