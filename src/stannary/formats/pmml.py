"""PMML documents: functions, extensions, and code in them.

Source: PMML 4.4.1 (dmg.org), "Built-in functions" and "Extension mechanism". Evaluators such as JPMML
resolve a function that is neither built in nor defined in the document as a class by its name.

Facts:
- `pmml.document` version, application, models
- `pmml.apply` function, known: each distinct function that is applied
- `pmml.extension` name, value, extender
- `pmml.code` name, excerpt: text or attribute that reads as program code, or a script element
"""

from __future__ import annotations

import re

from stannary.formats.embedded_text import hand_on
from stannary.formats.interface import Sink, View, clip
from stannary.formats.xml_dull import blank
from stannary.formats.xml_text import looks_like, parse

__all__ = ["probe", "read"]

_BUILT_IN = frozenset(
    [
        "+",
        "-",
        "*",
        "/",
        "min",
        "max",
        "sum",
        "avg",
        "median",
        "product",
        "log10",
        "ln",
        "sqrt",
        "abs",
        "exp",
        "pow",
        "threshold",
        "floor",
        "ceil",
        "round",
        "modulo",
        "isMissing",
        "isNotMissing",
        "isValid",
        "isNotValid",
        "equal",
        "notEqual",
        "lessThan",
        "lessOrEqual",
        "greaterThan",
        "greaterOrEqual",
        "and",
        "or",
        "not",
        "isIn",
        "isNotIn",
        "if",
        "uppercase",
        "lowercase",
        "stringLength",
        "substring",
        "trimBlanks",
        "concat",
        "replace",
        "matches",
        "formatNumber",
        "formatDatetime",
        "dateDaysSinceYear",
        "dateSecondsSinceYear",
        "dateSecondsSinceMidnight",
        "normalCDF",
        "normalPDF",
        "stdNormalCDF",
        "stdNormalPDF",
        "erf",
        "normalIDF",
        "stdNormalIDF",
        "expm1",
        "hypot",
        "ln1p",
        "rint",
        "sin",
        "asin",
        "sinh",
        "cos",
        "acos",
        "cosh",
        "tan",
        "atan",
        "tanh",
        "atan2",
        "x-sin",
        "x-cos",
        "x-tan",
        "x-expm1",
        "x-ln1p",
        "x-hypot",
        "x-atan2",
        "x-rint",
        "x-modulo",
        "x-truncate",
        "x-erf",
        "sin",
        "cos",
        "tan",
        "isinf",
        "isnan",
        "log1p",
        "log2",
        "logit",
        "sign",
        "sigmoid",
    ]
)
_CODE = re.compile(
    r"Runtime\s*\.\s*getRuntime|ProcessBuilder|java\.lang\.(?:Runtime|Process|System|Class|reflect)|javax\.script|ScriptEngine|javax\.naming|ldap://|rmi://"
    r"|\bnew\s+(?:java\.|ProcessBuilder|URLClassLoader|File)|Class\.forName|\.exec\s*\(|\beval\s*\(|\bexec\s*\(|__import__|os\.system|subprocess|<script|javascript:"
    r"|/bin/(?:ba|z|da)?sh\b|powershell|cmd(?:\.exe)?\s*/c|\bcurl\s+\S*http|\bwget\s+\S*http|#\{.*?T\(java|\$\{.*?(?:jndi|exec|getClass)|xp_cmdshell|jdbc:[a-z]\w*:[^\s<>]{0,400}(?:\bINIT\s*=|RUNSCRIPT|socketFactory|autoDeserialize|allowLoadLocalInfile|allowUrlInLocalInfile|queryInterceptors|TRACE_LEVEL|jndi|rmi:|ldap:)|System\.(?:Diagnostics|load)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"-?[0-9]{0,20}\.?[0-9]{0,20}(?:[eE][+-]?[0-9]{1,4})?|\s{6,2000}")
_PLAIN = 20_000
_LARGE = 1 << 20
_SCRIPTS = frozenset({"script", "x-script", "groovy", "javascript", "python", "java", "beanshell", "code", "command"})


def probe(view: View) -> bool:
    """Tell whether the root element is PMML."""
    return looks_like(view, "PMML")


def read(view: View, sink: Sink) -> None:
    """Read a document. Raises FormatError."""
    if not looks_like(view, "PMML"):
        return  # by its name only: the XML reader reports what can be reported
    handler = _Document(sink)
    try:
        if len(view) > _LARGE:
            parse(view, sink, handler, blank=blank)
        else:
            parse(view, sink, handler)
    finally:
        handler.report()


class _Document:
    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.applied: dict[str, int] = {}
        self.defined: set[str] = set()
        self.version = self.application = ""
        self.models: list[str] = []
        self.extensions = 0
        self.plain: set[str] = set()  # short texts in which nothing is

    def start(self, name: str, attributes: dict[str, str], offset: int) -> None:
        """Look at one element."""
        if name == "PMML":
            self.version = clip(attributes.get("version", ""))
        elif name == "Application":
            self.application = clip(attributes.get("name", ""))
        elif name == "Apply":
            self.applied.setdefault(attributes.get("function", ""), offset)
        elif name == "DefineFunction":
            self.defined.add(attributes.get("name", ""))
        elif name == "Extension":
            self._extension(attributes, offset)
        elif name.endswith("Model") and len(self.models) < 100:
            self.models.append(clip(name))
        if name in _SCRIPTS or (not name.islower() and name.lower() in _SCRIPTS):
            self.sink.fact("pmml.code", offset, name=clip(name), excerpt=clip(" ".join(f"{k}={v}" for k, v in attributes.items())))
        for key, value in attributes.items():
            if len(value) > 5:
                self._text(f"{name}.{key}", value, offset)

    def _extension(self, attributes: dict[str, str], offset: int) -> None:
        self.extensions += 1
        if self.extensions <= 1000:
            kept = {key: clip(attributes.get(key, "")) for key in ("name", "value", "extender")}
            self.sink.fact("pmml.extension", offset, **kept)

    def _text(self, where: str, text: str, offset: int) -> None:
        # Millions of thresholds and the same few operators and fields: looked at once, or not at all.
        if len(text) < 6 or text in self.plain or _NUMBER.fullmatch(text):
            return
        match = _CODE.search(text)
        if match is not None:
            start = max(0, match.start() - 20)
            self.sink.fact("pmml.code", offset, name=clip(where), excerpt=clip(text[start : match.end() + 80]))
        elif len(text) > 24:
            hand_on(self.sink, clip(where), text, offset)
        elif len(self.plain) < _PLAIN:
            self.plain.add(text)

    def end(self, name: str, text: str, offset: int) -> None:
        """Look at the text of one element."""
        if len(text) > 5 and name not in ("Array", "Real", "INT-Entries", "REAL-Entries"):
            self._text(name, text, offset)

    def report(self) -> None:
        """Report the functions, now that all definitions are known."""
        self.sink.fact("pmml.document", 0, version=self.version, application=self.application, models=self.models)
        for function, offset in list(self.applied.items())[:5000]:
            known = function in _BUILT_IN or function in self.defined
            self.sink.fact("pmml.apply", offset, function=clip(function), known=known)
