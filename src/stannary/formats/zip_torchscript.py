"""TorchScript code in a torch archive: which operators it calls.

It has Python's grammar, but torch's interpreter runs it: no imports, no builtins. What it can do
outside of arithmetic it does through operators, so those are the facts. See torch's
`docs/source/jit_language_reference.md` and `aten/src/ATen/native/native_functions.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stannary.formats.interface import Sink, clip

__all__ = ["read_sources"]

_OPS = re.compile(r"\bops\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)")
_TORCH = re.compile(r"\btorch\.(from_file|save|load|_C\.[\w.]+|ops\.[\w.]+|distributed\.[\w.]+|hub\.[\w.]+|package\.[\w.]+)")
_CLASSES = re.compile(r"\btorch\.classes\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)")
_PYTHON = re.compile(r"\^([A-Za-z_]\w*)\(")
# A loop with the lines that are further in than it.
_LOOP = re.compile(r"^(?P<in>[ \t]*)while (?P<condition>True|\w+):\n(?P<body>(?:(?P=in)[ \t]+[^\n]*\n?|[ \t]*\n)*)", re.MULTILINE)
_MADE = re.compile(
    r"\btorch\.(?:zeros|ones|empty|full|rand|randn|randint|eye|arange)\(\[?(?P<sizes>\d{1,19}(?:, ?\d{1,19}){0,8})[\],)]"
)
_ELEMENTS = 1 << 40  # four terabytes as float32
_EFFECTS = frozenset({"from_file", "save", "PythonOp", "system", "exec", "popen", "shell", "eval"})
_IMPORTS = re.compile(r"^[ \t]*(?:import|from)[ \t]+(?!__torch__\b|torch\b)([A-Za-z_][\w.]*)", re.MULTILINE)
_STRING = re.compile(r"(?P<q>\"\"\"|'''|\"|')(?:\\.|(?!(?P=q)).)*?(?P=q)", re.DOTALL)


def read_sources(sources: Sequence[tuple[str, str]], sink: Sink) -> None:
    """Report each distinct operator outside of plain tensor arithmetic, with the file and line of its first use."""
    seen: set[str] = set()
    size = 0
    for name, source in sources:
        size += len(source)
        # Strings are blanked, not cut, so that lines and columns stay; an operator's name is never in one.
        code = _STRING.sub(lambda m: "\n" * m.group().count("\n"), source) if len(source) < 1 << 20 else source
        for operator, namespace, at in _operators(code):
            if operator not in seen:
                seen.add(operator)
                line = code.count("\n", 0, at) + 1
                sink.fact("torchscript.operator", None, operator=clip(operator), namespace=namespace, file=clip(name), line=line)
        for what, at, shown in _stalls(code):
            sink.fact(
                "torchscript.stall", None, what=what, shown=clip(shown, 120), file=clip(name), line=code.count("\n", 0, at) + 1
            )
    sink.fact("torchscript.source", None, files=len(sources), bytes=size)


def _stalls(code: str) -> Iterator[tuple[str, int, str]]:
    """Yield loops that nothing ends, and tensors of more elements than a machine has room for, by their constants."""
    for match in _LOOP.finditer(code):
        body, condition = match["body"], match["condition"]
        if condition != "True":
            if not re.search(rf"^[ \t]*{condition} = True$", code[: match.start()], re.MULTILINE):
                continue
            # The serializer keeps the condition in a variable, and sets it anew at the end of each turn.
            assigned = re.findall(rf"(?:^|,)[ \t]*{condition}(?:, ?\w+)*,? = ([^\n]*)", body, re.MULTILINE)
            if any(value.split(",")[0].strip() != "True" for value in assigned):
                continue
        if not re.search(r"\b(?:break|return|raise)\b", body):
            yield "loop", match.start(), f"while {condition}"
    for match in _MADE.finditer(code):
        count = 1
        for word in match["sizes"].split(","):
            count *= int(word) if word.strip() else 1
        if count > _ELEMENTS:
            yield "size", match.start(), match[0]


def _operators(code: str) -> list[tuple[str, str, int]]:
    found = [(f"{m[1]}::{m[2]}", m[1], m.start()) for m in _OPS.finditer(code) if m[1] not in {"aten", "prim"} or m[2] in _EFFECTS]
    found += [(f"import {m[1]}", "import", m.start()) for m in _IMPORTS.finditer(code)]
    found += [
        (
            f"aten::{m[1]}" if m[1] in {"from_file", "save", "load"} else f"torch.{m[1]}",
            "aten" if m[1] in {"from_file", "save", "load"} else "torch",
            m.start(),
        )
        for m in _TORCH.finditer(code)
    ]
    found += [(f"torch.classes.{m[1]}.{m[2]}", m[1], m.start()) for m in _CLASSES.finditer(code)]
    found += [(f"prim::PythonOp({m[1]})", "prim", m.start()) for m in _PYTHON.finditer(code)]
    return found
