"""Jinja templates as a syntax tree: what they reach for, never what they render.

Chat templates (Hugging Face, llama.cpp, vLLM) run on every request; CVE-2024-34359 and its
like walk from any object to `os.popen` through dunder attributes. jinja2's parser is used and
nothing is rendered; names hidden by concatenation, filters, loops or variables are folded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from stannary.core.errors import BudgetExceeded
from stannary.formats.embedded_text import note_code
from stannary.formats.hidden_orders import INSTRUCTION
from stannary.formats.interface import Sink, View, clip

if TYPE_CHECKING:
    from jinja2 import Environment, nodes

    from stannary.formats.jinja_fold import Folder

__all__ = ["read"]

_MAX_TEXT = 4 << 20
_MAX_PARSED = 256 << 10  # the largest template of a public model is a tenth of that
_MAX_NODES = 150_000
_DOCUMENT = re.compile(r"\.(?:html?|txt|md|xml|tex|css|js|ya?ml|toml|conf|cfg|sh|sql|py)\.(?:j2|jinja2?)$|\.j2$")
_DUNDER_TEXT = re.compile(r"_{1,2}[A-Za-z]\w*__|\bgi_frame\b|\bf_globals\b|\bfunc_globals\b")
_FORMAT_FIELD = re.compile(r"\{\w*((?:\.\w+|\[[^\]]*\])+)[^}]*\}")
# Filters whose string arguments name attributes (jinja2.filters.make_attrgetter).
_GETTER_KEYWORDS = frozenset({"attribute", "by"})
_GETTERS = frozenset({"map", "selectattr", "rejectattr", "groupby", "sum", "sort", "min", "max", "unique"})
_GENERATORS = frozenset({"map", "select", "reject", "selectattr", "rejectattr", "batch", "slice", "reverse", "groupby", "unique"})
_FUNCTIONS = frozenset(
    {"lipsum", "cycler", "joiner", "range", "dict", "namespace", "self", "raise_exception", "strftime_now", "caller"}
)
_STRINGIFY = frozenset(
    {"string", "e", "escape", "pprint", "urlencode", "forceescape", "format", "center", "upper", "lower", "replace"}
)
_NOISE = 10  # one character in so many that is no UTF-8


def read(view: View, sink: Sink) -> None:
    """Report attributes, calls, names, filters, inclusions, sizes and content-dependent text of a template.

    A template jinja2 cannot parse is searched word by word and reported incomplete.
    """
    text = view.text(min(_MAX_TEXT, sink.budget.limits.text))
    base = view.name.rsplit("/", 1)[-1].lower()
    chat = not _DOCUMENT.search(base)
    if chat:  # pages and scripts made from templates are read as text by others
        note_code(sink, "template", text)
    if "{" not in text or base.endswith(".json"):  # `chat_template.json` holds a template, and is none
        return
    if len(text) > _MAX_PARSED:
        _search(text, sink)
        sink.incomplete(f"a template of {len(text)} characters was only searched")
        return
    from jinja2 import TemplateSyntaxError

    try:
        tree = _environment().parse(text)
    except (TemplateSyntaxError, RecursionError) as exc:
        _search(text, sink)
        if text.count("\ufffd") * _NOISE > len(text):
            return  # numbers of weights, among which two braces stood
        sink.incomplete(f"the template cannot be parsed: {clip(str(exc) or type(exc).__name__)}")
        return
    try:
        _Walk(tree, sink, chat=chat).run()
    except RecursionError:
        _search(text, sink)
        sink.incomplete("the template is nested too deeply")


def _environment() -> Environment:
    from jinja2 import Environment, nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        """The block transformers adds: `{% generation %} ... {% endgeneration %}`."""

        tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

        def parse(self, parser: Any) -> nodes.Node:  # noqa: ANN401 - jinja2's parser
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    # Only parsed, never rendered: autoescape has nothing to escape.
    return Environment(extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do", "jinja2.ext.i18n", Generation])  # noqa: S701


def _search(text: str, sink: Sink) -> None:
    """Report dunder words in a text that is no template jinja2 knows, escapes decoded."""
    decoded = re.sub(
        r"\\x([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\([0-7]{3})",
        lambda m: chr(int(m[1] or m[2], 16)) if m[1] or m[2] else chr(int(m[3], 8)),
        text,
    )
    for name in sorted(set(_DUNDER_TEXT.findall(decoded)))[:50]:
        sink.fact("jinja.attribute", None, name=clip(name), via="text", called=False, line=None, expression="")


class _Walk:
    def __init__(self, tree: nodes.Template, sink: Sink, *, chat: bool) -> None:
        from jinja2 import nodes

        from stannary.formats.jinja_fold import Folder

        self.nodes = nodes
        self.tree = tree
        self.sink = sink
        self.chat = chat
        self.folder: Folder = Folder(tree)
        self.seen: set[tuple[Any, ...]] = set()
        self.stored: set[str] = set(self.folder.macros)
        for name in tree.find_all(nodes.Name):
            if name.ctx != "load":
                self.stored.add(name.name)
        for node in tree.find_all(nodes.Import):
            self.stored.add(node.target)
        for source in tree.find_all(nodes.FromImport):
            self.stored.update(n if isinstance(n, str) else n[1] for n in source.names)
        self.visitors = {
            nodes.Getattr: self._getattr, nodes.Getitem: self._getitem, nodes.Filter: self._filter, nodes.Test: self._test,
            nodes.Call: self._call, nodes.Name: self._name, nodes.Const: self._const, nodes.If: self._if, nodes.CondExpr: self._if,
            nodes.Include: self._include, nodes.Extends: self._include, nodes.Import: self._include,
            nodes.FromImport: self._include, nodes.TemplateData: self._output, nodes.Mul: self._mul,
            nodes.Concat: self._concat, nodes.Mod: self._mod,
        }  # fmt: skip

    def run(self) -> None:
        """Visit every node once, keeping the product of the constant loops around it."""
        stack: list[tuple[nodes.Node, int]] = [(self.tree, 1)]
        count = 0
        called = {id(call.node) for call in self.tree.find_all(self.nodes.Call)}
        self.called = called
        while stack:
            node, loops = stack.pop()
            count += 1
            if count > _MAX_NODES:
                msg = f"a template of more than {_MAX_NODES} nodes"
                raise BudgetExceeded(msg)
            visit = self.visitors.get(type(node))
            if visit is not None:
                visit(node)
            if isinstance(node, self.nodes.For):
                loops *= self._loop_size(node)
                self._size("loop", node, loops)
            stack.extend((child, loops) for child in node.iter_child_nodes())
        from stannary.formats.jinja_growth import Growth

        Growth(self.tree, self.folder, lambda node: clip(_show(node)), self._fact).run()

    def _fact(self, kind: str, node: nodes.Node, **data: Any) -> None:  # noqa: ANN401 - fact fields
        key = (kind, *(str(v) for v in data.values()))
        if key not in self.seen and len(self.seen) < 5000:
            self.seen.add(key)
            self.sink.fact(kind, None, **data, chat=self.chat, line=node.lineno)

    # Attributes

    def _attribute(self, node: nodes.Node, name: str, via: str) -> None:
        own = isinstance(node, self.nodes.Getattr) and isinstance(node.node, self.nodes.Name) and node.node.name in self.stored
        self._fact(
            "jinja.attribute", node, name=clip(name), via=via, called=id(node) in self.called, own=own, expression=clip(_show(node))
        )

    def _getattr(self, node: Any) -> None:  # noqa: ANN401 - the node type is the key in `visitors`
        self._attribute(node, node.attr, "attribute")

    def _getitem(self, node: Any) -> None:  # noqa: ANN401
        if isinstance(node.arg, self.nodes.Slice):
            return
        texts = self.folder.texts(node.arg)
        for text in texts:
            self._attribute(node, text, "subscript" if isinstance(node.arg, self.nodes.Const) else "computed subscript")
        base = node.node
        plain = isinstance(base, (self.nodes.Const, self.nodes.List, self.nodes.Tuple)) or (
            isinstance(base, self.nodes.Name) and base.name in _FUNCTIONS and base.name not in self.stored
        )
        if plain and not self.folder.fold(node.arg):
            self._fact("jinja.dynamic_attribute", node, via="subscript", expression=clip(_show(node)))

    def _filter(self, node: Any) -> None:  # noqa: ANN401
        self._fact("jinja.filter", node, name=clip(node.name))
        if node.name == "attr":
            texts = self.folder.texts(node.args[0]) if node.args else []
            for text in texts:
                self._attribute(node, text, "attr filter")
            if not texts:
                self._fact("jinja.dynamic_attribute", node, via="attr filter", expression=clip(_show(node)))
        if node.name in _GETTERS:
            arguments = [*node.args, *(k.value for k in node.kwargs if k.key in _GETTER_KEYWORDS)]
            for argument in arguments:
                for text in self.folder.texts(argument):
                    for part in re.split(r"[.,]", text):
                        self._attribute(node, part, f"{node.name} filter")
                        if part == "attr" and node.name == "map":
                            self._fact("jinja.dynamic_attribute", node, via="map('attr')", expression=clip(_show(node)))
        if node.name in _STRINGIFY and self._unprintable(node.node):
            self._fact("jinja.object_text", node, expression=clip(_show(node)))
        if node.name in {"center", "indent", "format", "round"}:
            self._width(node, [*self.folder.fold(node.node), *(v for a in node.args for v in self.folder.fold(a))])

    def _unprintable(self, node: nodes.Node | None) -> bool:
        """Whether an expression is a function or a generator, whose text is only good for its underscores."""
        if isinstance(node, self.nodes.Name):
            return node.name in _FUNCTIONS and node.name not in self.stored
        return isinstance(node, self.nodes.Filter) and node.name in _GENERATORS

    def _concat(self, node: Any) -> None:  # noqa: ANN401
        if any(self._unprintable(n) for n in node.nodes):
            self._fact("jinja.object_text", node, expression=clip(_show(node)))

    def _mod(self, node: Any) -> None:  # noqa: ANN401
        if isinstance(node.left, self.nodes.Const) and isinstance(node.left.value, str):
            self._width(node, [node.left.value])
            if self._unprintable(node.right):
                self._fact("jinja.object_text", node, expression=clip(_show(node)))

    def _test(self, node: Any) -> None:  # noqa: ANN401
        self._fact("jinja.test", node, name=clip(node.name))

    # Calls and names

    def _call(self, node: Any) -> None:  # noqa: ANN401
        target = node.node
        if isinstance(target, self.nodes.Name) and target.name not in self.stored:
            self._fact("jinja.call", node, name=clip(target.name))
            if target.name == "range":
                self._size("range", node, _range_size([self.folder.fold(a) for a in node.args]))
            if target.name == "lipsum":
                given = [*node.args, *(k.value for k in node.kwargs)]
                self._size("lipsum", node, max((v for a in given for v in self.folder.fold(a) if isinstance(v, int)), default=1))
        if isinstance(target, self.nodes.Getattr) and target.attr in {"format", "format_map"}:
            for text in self.folder.texts(target.node):
                for fields in _FORMAT_FIELD.findall(text):
                    for part in re.findall(r"\w+", fields):
                        self._attribute(node, part, "format string")
            if not self.folder.fold(target.node):  # what the user said may be `{0.__class__}`
                self._fact("jinja.dynamic_attribute", node, via="format of a text that is not known", expression=clip(_show(node)))

    def _name(self, node: Any) -> None:  # noqa: ANN401
        if node.ctx == "load" and node.name not in self.stored:
            self._fact("jinja.name", node, name=clip(node.name))

    def _const(self, node: Any) -> None:  # noqa: ANN401
        if isinstance(node.value, str) and "_" in node.value:
            match = re.search(r"__[A-Za-z]\w*__|^__[A-Za-z]{0,12}$|^[A-Za-z]{0,12}__$", node.value)
            if match:
                self._fact("jinja.string", node, what="dunder", text=clip(match.group(), 80))

        if isinstance(node.value, str) and len(node.value) > 20:
            self._instruction(node, node.value)

    def _output(self, node: Any) -> None:  # noqa: ANN401
        self._instruction(node, node.data)

    def _instruction(self, node: nodes.Node, text: str) -> None:
        for match in INSTRUCTION.finditer(text):
            self._fact("jinja.instruction", node, what=match.lastgroup, text=clip(match.group(), 160))

    def _include(self, node: Any) -> None:  # noqa: ANN401
        targets = self.folder.texts(node.template) or [""]
        for target in targets:
            self._fact("jinja.include", node, how=type(node).__name__.lower(), target=clip(target))

    # Sizes

    def _size(self, what: str, node: nodes.Node, count: int) -> None:
        if count > 10_000:
            self._fact("jinja.size", node, what=what, count=min(count, 1 << 63), expression=clip(_show(node)))

    def _loop_size(self, node: Any) -> int:  # noqa: ANN401
        iterated = node.iter
        if isinstance(iterated, self.nodes.Call) and isinstance(iterated.node, self.nodes.Name) and iterated.node.name == "range":
            return max(1, _range_size([self.folder.fold(a) for a in iterated.args]))
        return max((len(v) for v in self.folder.fold(iterated) if isinstance(v, (list, str, tuple, dict))), default=1) or 1

    def _mul(self, node: Any) -> None:  # noqa: ANN401
        left, right = self.folder.fold(node.left), self.folder.fold(node.right)
        numbers = [v for v in (*left, *right) if isinstance(v, int)]
        if len(numbers) == len(left) + len(right) and left and right:
            return  # a product of numbers
        self._size("repeat", node, max(numbers, default=0))

    def _width(self, node: nodes.Node, values: list[Any]) -> None:
        for value in values:
            numbers = [value] if isinstance(value, int) else [int(n) for n in re.findall(r"%[-+0 #]*(\d{4,15})", str(value))]
            for number in numbers:
                self._size("width", node, number)

    # Text that depends on what the user said

    def _if(self, node: Any) -> None:  # noqa: ANN401
        literals = sorted({v for n in self._compared(node.test) for v in self.folder.texts(n) if v})
        if not literals:
            return
        body = node.body if isinstance(node, self.nodes.If) else [node.expr1]
        added = " ".join(_texts(self.nodes, body)).strip()
        if re.search(r"https?://|\b(?:you|your|must|always|never|respond|answer|include|ignore)\b", added, re.IGNORECASE):
            on = sorted(
                {_show(n).rpartition(".")[2] for n in node.test.find_all((self.nodes.Getattr, self.nodes.Getitem, self.nodes.Name))}
            )
            self._fact(
                "jinja.condition",
                node,
                literals=[clip(v, 60) for v in literals[:20]],
                on=[clip(v, 40) for v in on[:8]],
                adds=clip(added, 600),
            )

    def _compared(self, test: nodes.Node) -> list[nodes.Node]:
        """Return the constants that something is compared with or searched for in a condition."""
        n = self.nodes
        found: list[nodes.Node] = []
        for compare in [test, *test.find_all((n.Compare, n.Call))]:
            if isinstance(compare, n.Compare) and any(o.op in {"in", "eq"} for o in compare.ops):
                found += [
                    c
                    for c in (compare.expr, *(o.expr for o in compare.ops))
                    if isinstance(c, (n.Const, n.Concat, n.Add, n.Name, n.List))
                ]
            elif (
                isinstance(compare, n.Call)
                and isinstance(compare.node, n.Getattr)
                and compare.node.attr in {"startswith", "endswith", "find", "count"}
            ):
                found += compare.args
        return found


def _texts(n: Any, body: list[nodes.Node]) -> list[str]:  # noqa: ANN401 - the jinja2.nodes module
    """Return the literal text that a body puts out, without that of the conditions inside it."""
    found: list[str] = []
    stack = list(reversed(body))
    while stack:
        node = stack.pop()
        if isinstance(node, n.TemplateData):
            found.append(node.data)
        elif isinstance(node, n.Const) and isinstance(node.value, str):
            found.append(node.value)
        elif not isinstance(node, (n.Test, n.Compare)):
            stack.extend(reversed(list(node.iter_child_nodes())))
    return found


def _range_size(arguments: list[list[Any]]) -> int:
    """Return the largest number of steps a range of folded arguments can have, 0 when unknown."""
    numbers = [max((v for v in values if isinstance(v, int)), default=None) for values in arguments]
    if not numbers or any(v is None for v in numbers[:2]):
        return 0
    start, stop = (0, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
    step = numbers[2] if len(numbers) > 2 and numbers[2] else 1
    return max(0, ((stop or 0) - (start or 0)) // (step or 1))


def _show(node: nodes.Node, depth: int = 0) -> str:
    """Write an expression back, roughly, for messages."""
    name = type(node).__name__
    if depth > 8:
        return "..."
    if name == "Name":
        return str(node.name)  # type: ignore[attr-defined]
    if name == "Const":
        return repr(node.value)  # type: ignore[attr-defined]
    if name == "Getattr":
        return f"{_show(node.node, depth + 1)}.{node.attr}"  # type: ignore[attr-defined]
    if name == "Getitem":
        return f"{_show(node.node, depth + 1)}[{_show(node.arg, depth + 1)}]"  # type: ignore[attr-defined]
    if name == "Call":
        return f"{_show(node.node, depth + 1)}({', '.join(_show(a, depth + 1) for a in node.args[:4])})"  # type: ignore[attr-defined]
    if name == "Filter":
        inner = _show(node.node, depth + 1) if node.node is not None else ""  # type: ignore[attr-defined]
        return f"{inner}|{node.name}({', '.join(_show(a, depth + 1) for a in node.args[:4])})"  # type: ignore[attr-defined]
    parts = [_show(child, depth + 1) for child in node.iter_child_nodes()]
    return f" {'~' if name == 'Concat' else name.lower()} ".join(parts[:6])
