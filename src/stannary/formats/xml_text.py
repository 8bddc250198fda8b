"""XML, parsed by expat without ever resolving anything: document types and entities are reported, not used.

`parse` is shared by the readers of XML model formats. Internal entities in text are not expanded;
expat itself bounds those in attributes. Source: XML 1.0, XInclude 1.0, xml-stylesheet.

Facts:
- `xml.document` root
- `xml.doctype` name, system, public
- `xml.entity` name, system, external, nested, parameter
- `xml.reference` what, value: a stylesheet instruction, or an inclusion
- `xml.active`, `xml.command`, `xml.source` of documents without a reader of their own: `xml_active`
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol
from xml.parsers import expat

from stannary.core.errors import BudgetExceeded, FormatError
from stannary.formats.identify import identify
from stannary.formats.interface import Sink, View, clip
from stannary.formats.xml_active import Active

__all__ = ["Handler", "looks_like", "parse", "probe", "read"]

_BLOCK = 1 << 20
_DEPTH = 2000
_ROOT = re.compile(r"<(?:[A-Za-z_][\w.\-]*:)?([A-Za-z_][\w.\-]*)[\s/>]")
_SKIPPED = re.compile(r"<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>", re.DOTALL)
_PLAIN_STYLESHEETS = re.compile(r"text/css")
# Classes that the deserialisers of Java (XMLDecoder, XStream, Spring) make and call, and that run what they are given.
_RUNS = re.compile(
    r"\bjava\.lang\.(?:ProcessBuilder|Runtime|Process)\b|\bjava\.beans\.(?:XMLDecoder|EventHandler)\b|\bjavax\.script\.ScriptEngine\w*"
    r"|\bcom\.sun\.(?:rowset\.JdbcRowSetImpl|org\.apache\.xalan[\w.]*TemplatesImpl)|\bjavax\.naming\.InitialContext\b"
    r"|\borg\.apache\.commons\.(?:collections4?\.functors|beanutils)\.\w+|\bgroovy\.(?:lang\.GroovyShell|util\.Eval)"
    r"|\borg\.springframework\.[\w.]*(?:ClassPathXmlApplicationContext|FileSystemXmlApplicationContext)"
)
_ELSEWHERE = re.compile(r"/|~|[A-Za-z]:[\\/]|\\\\|\w+://|.*\.\.[\\/]")
_XINCLUDE = "http://www.w3.org/2001/XInclude"


class Handler(Protocol):
    """What a format does with elements; names come without their prefix."""

    def start(self, name: str, attributes: dict[str, str], offset: int) -> None:
        """An element begins."""
        ...

    def end(self, name: str, text: str, offset: int) -> None:
        """An element that holds text ends; `text` is its own character data, cut to 64 KiB."""
        ...


def _head(view: View) -> str:
    raw = view.head(8192)
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return raw[: len(raw) & ~1].decode(encoding, "replace").lstrip()


def looks_like(view: View, *roots: str) -> bool:
    """Tell whether the first element of the document, behind declarations and comments, is one of `roots`."""
    match = _ROOT.search(_SKIPPED.sub("", _head(view)))
    return match is not None and match[1] in roots


def probe(view: View) -> bool:
    """Tell whether the text begins as XML does."""
    head = _head(view)
    return head.startswith(("<?xml", "<!DOCTYPE", "<!ENTITY")) and not head[:200].lower().startswith("<!doctype html")


def read(view: View, sink: Sink) -> None:
    """Read XML of no particular format. Raises FormatError."""
    if any(row.name in ("openvino", "pmml") for row in identify(view)) or _head(view)[:200].lower().startswith(
        ("<!doctype html", "<html")
    ):
        return  # OpenVINO and PMML have readers of their own; HTML is not XML
    if _head(view)[:1] != "<":
        return
    parse(view, sink, Active(sink))


def parse(view: View, sink: Sink, handler: Handler, *, blank: Callable[[bytes], bytes] = bytes) -> None:
    """Walk a document. Raises FormatError when it is not well formed; what came before was handled.

    `blank` is given every block first, and puts spaces in the place of elements that need no look.
    """
    if len(view) > 8 * sink.budget.limits.text:
        msg = f"a document of {len(view)} bytes is over the limit of {8 * sink.budget.limits.text}"
        raise BudgetExceeded(msg)
    parser = expat.ParserCreate()
    events = _Events(sink, handler, parser)
    events.connect()
    try:
        for start in range(0, len(view), _BLOCK):
            parser.Parse(blank(bytes(view.data[start : start + _BLOCK])), start + _BLOCK >= len(view))
            sink.budget.check_time()
    except expat.ExpatError as exc:
        msg = f"not well formed: {expat.ErrorString(exc.code)}"
        raise FormatError(msg, parser.ErrorByteIndex) from exc
    except (ValueError, LookupError) as exc:  # an unknown encoding
        msg = f"cannot be decoded: {clip(str(exc))}"
        raise FormatError(msg, 0) from exc


class _Events:
    """Connects expat's callbacks to facts and to the handler."""

    def __init__(self, sink: Sink, handler: Handler, parser: expat.XMLParserType) -> None:
        self.sink = sink
        self.handler = handler
        self.active = handler if isinstance(handler, Active) else None
        self.text: list[list[str]] = [[]]
        self.root = ""
        self.parser = parser

    def connect(self) -> None:
        parser = self.parser
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.buffer_text = True
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.characters
        parser.StartDoctypeDeclHandler = self.doctype
        parser.EntityDeclHandler = self.entity
        parser.ProcessingInstructionHandler = self.instruction
        parser.ExternalEntityRefHandler = self.external
        parser.DefaultHandler = self.other  # with it, expat does not expand internal entities in text

    def start(self, name: str, attributes: dict[str, str]) -> None:
        prefix, _, local = name.rpartition(":") if ":" in name else ("", "", name)
        offset = self.parser.CurrentByteIndex
        if not self.root:
            self.root = name
            self.sink.fact("xml.document", offset, root=clip(name))
        if len(self.text) > _DEPTH:
            msg = f"elements nested deeper than {_DEPTH}"
            raise BudgetExceeded(msg, offset)
        if (
            local == "include"
            and "href" in attributes
            and (prefix == "xi" or _XINCLUDE in attributes.values() or "parse" in attributes)
        ):
            self.sink.fact("xml.reference", offset, what="include", value=clip(attributes["href"], 500))
        for value in attributes.values():
            if "." in value and (found := _RUNS.search(value)) is not None:
                self.sink.fact("xml.class", offset, element=clip(name), name=found[0])
        if local == "plugin" and _ELSEWHERE.match(attributes.get("location", "")):
            self.sink.fact("xml.reference", offset, what="plugin", value=clip(attributes["location"], 500))
        self.text.append([])
        self.handler.start(local, attributes, offset)

    def end(self, name: str) -> None:
        own = self.text.pop()
        local = name.rpartition(":")[2]
        if own:
            self.handler.end(local, "".join(own), self.parser.CurrentByteIndex)
        if self.active is not None:
            self.active.leave(local, self.parser.CurrentByteIndex)

    def characters(self, data: str) -> None:
        own = self.text[-1]
        if self.active is not None:  # code and commands: to their end, however many lines stand before
            own.append(data)
        elif len(own) < 64:
            own.append(data[:1024])

    def doctype(self, name: str, system: str | None, public: str | None, _internal: object) -> None:
        self.sink.fact(
            "xml.doctype", self.parser.CurrentByteIndex, name=clip(name), system=clip(system or "", 500), public=clip(public or "")
        )

    def entity(
        self, name: str, parameter: int, value: str | None, _base: object, system: str | None, _public: object, _notation: object
    ) -> None:
        nested = (
            value is not None
            and re.search(r"[&%][A-Za-z_#]", value) is not None
            and not re.fullmatch(r"(?:[^&]|&(?:lt|gt|amp|quot|apos|#\d+);)*", value)
        )
        self.sink.fact(
            "xml.entity",
            self.parser.CurrentByteIndex,
            name=clip(name),
            system=clip(system or "", 500),
            external=value is None,
            nested=nested,
            parameter=bool(parameter),
        )

    def instruction(self, target: str, data: str) -> None:
        if (target == "xml-stylesheet" and not _PLAIN_STYLESHEETS.search(data)) or target.lower().startswith(
            ("php", "python", "jelly", "import", "include", "xml-model-script")
        ):
            self.sink.fact("xml.reference", self.parser.CurrentByteIndex, what=clip(target), value=clip(data, 500))

    def external(self, _context: object, _base: object, _system: object, _public: object) -> int:
        return 1  # go on without it: it was reported where it was declared

    def other(self, _data: str) -> None:
        """Take what no other handler takes."""
