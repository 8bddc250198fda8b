"""Objects serialised by Java, .NET, PHP and Ruby: the classes that they name.

Weka, H2O, MOA and DL4J keep models as Java objects. Which code reading them runs depends on the classes that the reader
has; the names tell. Sources: the Java Object Serialization Specification 6.4, MS-NRBF, Ruby's `marshal` format 4.8, PHP's
`serialize` and the phar manual.

Fact: `serial.object` language, classes (at most 100, in order).
"""

from __future__ import annotations

import re

from stannary.formats.interface import Sink, View, clip

__all__ = ["probe_php", "read_java", "read_net", "read_phar", "read_php", "read_ruby"]

_LIMIT = 64 << 20
_MOST = 1000
_JAVA = re.compile(rb"r\0([\x02-\xff])(?=[\[A-Za-z_$])")
_JAVA_NAME = re.compile(rb"\[*L?[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*;?|\[+[BCDFIJSZ]")
_NET = re.compile(rb"[A-Z][\w`]*(?:\.[A-Z][\w`+]*)+")
_RUBY = re.compile(rb"[ocCemMUS]:?([\x06-\x7f])([A-Z]\w*(?:::[A-Z]\w*)*)")
_PHP_FIRST = re.compile(rb'[OC]:\d{1,4}:"[\w\\]+":\d+:\{|a:\d+:\{(?:i:\d+|s:\d+:"[^"]{0,120}");[aOCsidbN][:;]')
_PHP = re.compile(rb'[OC]:\d{1,4}:"([\w\\]+)"')


def _report(view: View, language: str, names: list[str], sink: Sink) -> None:
    classes = list(dict.fromkeys(names))
    sink.fact("serial.object", 0, language=language, classes=[clip(name, 120) for name in classes[:_MOST]])
    if len(classes) > _MOST:
        sink.incomplete(f"objects of {language} of {len(classes)} classes: only {_MOST} were looked at")
    if len(view) > _LIMIT:
        sink.incomplete(f"objects of {language} of {len(view)} bytes: only the first {_LIMIT} were searched")
    sink.inert(f"objects of {language}")


def read_java(view: View, sink: Sink) -> None:
    """Report the class descriptors of a stream."""
    raw = view.head(_LIMIT)
    names = []
    for match in _JAVA.finditer(raw):
        name = raw[match.end() : match.end() + match[1][0]]
        if _JAVA_NAME.fullmatch(name):
            names.append(name.decode("ascii"))
    _report(view, "Java", names, sink)


def read_net(view: View, sink: Sink) -> None:
    """Report the types that a stream of BinaryFormatter names."""
    _report(view, ".NET", [match[0].decode("ascii") for match in _NET.finditer(view.head(_LIMIT))], sink)


def read_ruby(view: View, sink: Sink) -> None:
    """Report the classes that a stream of Marshal names."""
    raw = view.head(_LIMIT)
    _report(view, "Ruby", [match[2].decode("ascii") for match in _RUBY.finditer(raw) if len(match[2]) >= match[1][0] - 5], sink)


def probe_php(view: View) -> bool:
    """Tell whether content is what PHP's `serialize` writes: an object, or a list whose first item is followed by a value."""
    return _PHP_FIRST.match(view.head(200)) is not None


def read_php(view: View, sink: Sink) -> None:
    """Report the classes of objects that PHP's `unserialize` makes, with their `__wakeup` and `__destruct`."""
    names = [match[1].decode("ascii") for match in _PHP.finditer(view.head(_LIMIT))]
    if names:
        _report(view, "PHP", names, sink)
    elif len(view) <= _LIMIT and view.head(_LIMIT).rstrip().endswith(b"}"):
        sink.inert("values of PHP without objects")
    else:
        sink.incomplete("values of PHP that do not end, or are too large to be searched")


def read_phar(view: View, sink: Sink) -> None:
    """Report a PHP archive, whose metadata is unserialised when it is touched."""
    _report(view, "PHP", ["phar", *(match[1].decode("ascii") for match in _PHP.finditer(view.head(_LIMIT)))], sink)
