"""Jinja templates that never end, or grow what they put out without measure.

A server renders a template for each request; one that feeds the list it loops over, calls itself without a way out, or
doubles a text with every message stops it. Sizes are estimated by going through the statements in order, a loop of unknown
length as if it had `_UNKNOWN` rounds; nothing is rendered.

Facts: `jinja.endless`: what (list, recursion, loop), expression. `jinja.size` of what `growth`: count (characters or items).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jinja2 import nodes

from stannary.formats.jinja_fold import Folder

__all__ = ["Growth"]

_GROWS = frozenset({"append", "extend", "insert", "update", "add", "setdefault", "push"})
_KEEPS = (
    "join",
    "replace",
    "batch",
    "indent",
    "list",
    "string",
    "trim",
    "upper",
    "lower",
    "safe",
    "e",
    "escape",
    "tojson",
    "reverse",
)
_WIDENS = frozenset({"ljust", "rjust", "zfill", "center", "expandtabs"})
_UNKNOWN = 24  # rounds of a loop over the conversation
_ROUNDS = 80  # of a loop that counts, before its growth is taken to go on as it was
_STEPS = 20_000
_DEPTH = 40
_MOST = 1e18
_LARGE = 10_000_000  # no answer is as long; a text that only gains what is said stays far below
_LONG = 10_000  # bits of a number
_DEEP = 20  # calls within calls that branch: 2 ** 20 of them

Tell = Callable[..., None]


class Growth:
    """Looks for loops without end and for growth. `tell(kind, node, **fields)` takes the facts."""

    def __init__(self, tree: nodes.Template, folder: Folder, show: Callable[[nodes.Node], str], tell: Tell) -> None:
        self.tree = tree
        self.folder = folder
        self.show = show
        self.tell = tell
        self.sizes: dict[str, float] = {}
        self.steps = 0
        self.same: dict[str, str] = {}  # a name and the one it was made of: `l` is `messages` too
        for assign in tree.find_all(nodes.Assign):
            if isinstance(assign.target, nodes.Name) and isinstance(assign.node, nodes.Name):
                self.same.setdefault(assign.target.name, assign.node.name)

    def run(self) -> None:
        """Report what there is."""
        for loop in self.tree.find_all(nodes.For):
            self._feeds(loop)
            self._recurses(loop)
        self._macros()
        for power in self.tree.find_all(nodes.Pow):
            # Python's jinja2 takes a ** b ** c from the left, llama.cpp's from the right.
            bits = max(self._bits(power, 0), self._from_right(power, 0))
            if bits > _LONG:
                self.tell("jinja.size", power, what="power", count=bits, expression=self.show(power))
        self._statements(self.tree.body, 0)
        worst = max(self.sizes.items(), key=lambda item: item[1], default=("", 0.0))
        if worst[1] > _LARGE:
            self.tell("jinja.size", self.tree, what="growth", count=int(min(worst[1], _MOST)), expression=worst[0])

    # Loops without an end

    def _root(self, node: nodes.Node | None) -> str:
        """Return the name that an expression is another word for, or nothing."""
        key = _key(node)
        for _ in range(_DEPTH):
            if key not in self.same:
                return key
            key = self.same[key]
        return key

    def _feeds(self, loop: nodes.For) -> None:
        """Report a loop that adds to the list it goes through."""
        looped = self._root(loop.iter)
        if not looped or _leaves(loop):
            return
        for call in _inside(loop.body, nodes.Call):
            target = call.node
            if isinstance(target, nodes.Getattr) and target.attr in _GROWS and self._root(target.node) == looped:
                self.tell("jinja.endless", call, what="list", expression=self.show(call))

    def _recurses(self, loop: nodes.For) -> None:
        """Report a recursive loop that is called with something other than a part of its item."""
        if not loop.recursive:
            return
        own = {name.name for name in _inside([loop.target], nodes.Name)}
        made = {_key(a.target) for a in _inside(loop.body, nodes.Assign)}
        for call in _inside(loop.body, nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "loop" and call.args:
                used = {name.name for name in _inside(call.args, nodes.Name)}
                if not used & (own | made):
                    self.tell("jinja.endless", call, what="loop", expression=self.show(call))

    # Macros that call themselves

    def _macros(self) -> None:
        macros = self.folder.macros
        certain = {name: {c[0] for c in _calls(m.body) if not c[2] and c[0] in macros} for name, m in macros.items()}
        for name, macro in macros.items():
            if name in _reached(name, certain):
                self.tell("jinja.endless", macro, what="recursion", expression=f"macro {name}")
                continue
            own = [c for c in _calls(macro.body) if c[0] == name]
            if any(self._unchanged(macro, call, tests) for _, call, tests in own):
                self.tell("jinja.endless", macro, what="recursion", expression=f"macro {name}")
            elif len(own) > 1 or any(_in_counting_loop(macro, call) for _, call, _ in own):
                self._branches(macro, [call for _, call, _ in own])

    def _unchanged(self, macro: nodes.Macro, call: nodes.Call, tests: tuple[nodes.Node, ...]) -> bool:
        """Tell whether a macro calls itself with what it was given, or with a number that moves away from its test."""
        names = [a.name for a in macro.args]
        if call.args and [_key(a) for a in call.args] == names[: len(call.args)] and not call.kwargs:
            return True
        if all(isinstance(t, nodes.Const) and t.value for t in tests):
            return True
        for argument, name in zip(call.args, names, strict=False):
            if isinstance(argument, nodes.Add) and name in (_key(argument.left), _key(argument.right)):
                compared = [c for t in tests for c in [t, *t.find_all(nodes.Compare)] if isinstance(c, nodes.Compare)]
                if any(_key(c.expr) == name and c.ops[0].op in {"gt", "gteq", "ne"} for c in compared):
                    return True
        return False

    def _branches(self, macro: nodes.Macro, own: list[nodes.Call]) -> None:
        """Report a macro that calls itself more than once and counts down from a large number."""
        counted = {
            number
            for call in own
            for number, argument in enumerate(call.args)
            if isinstance(argument, (nodes.Sub, nodes.Add, nodes.FloorDiv))
        }
        inner = {id(call) for call in own}
        for call in self.tree.find_all(nodes.Call):
            if id(call) in inner or _key(call.node) != macro.name:
                continue
            for number in counted & set(range(len(call.args))):
                if any(isinstance(v, int) and v >= _DEEP for v in self.folder.fold(call.args[number])):
                    self.tell("jinja.endless", call, what="recursion", expression=self.show(call))

    # Sizes

    def _statements(self, body: Iterable[nodes.Node], depth: int) -> None:
        for node in body:
            self.steps += 1
            if self.steps > _STEPS or depth > _DEPTH:
                return
            if isinstance(node, nodes.For):
                self._loop(node, depth)
            elif isinstance(node, nodes.Assign):
                self._set(_key(node.target), self._size(node.node))
                self._grow(node.node)
            elif isinstance(node, nodes.AssignBlock):
                self._set(_key(node.target), sum(self._size(n) for n in node.body))
            elif isinstance(node, nodes.Output):
                for part in node.nodes:
                    self._set("the text", self.sizes.get("the text", 0.0) + self._size(part))
                    self._grow(part)
            elif isinstance(node, nodes.ExprStmt):
                self._grow(node.node)
            elif isinstance(node, nodes.If):
                self._branched([node.body, *(e.body for e in node.elif_), node.else_], depth + 1)
            elif isinstance(node, (nodes.With, nodes.Scope, nodes.FilterBlock, nodes.CallBlock, nodes.Block, nodes.Macro)):
                self._statements(node.body, depth + 1)

    def _branched(self, branches: list[list[nodes.Node]], depth: int) -> None:
        """Go through branches of which one is taken: the largest counts."""
        before, largest = dict(self.sizes), dict(self.sizes)
        for branch in branches:
            self.sizes = dict(before)
            self._statements(branch, depth)
            for key, size in self.sizes.items():
                largest[key] = max(size, largest.get(key, 0.0))
        self.sizes = largest

    def _loop(self, loop: nodes.For, depth: int) -> None:
        known = _count(self.folder, loop.iter)
        rounds = min(known, _ROUNDS) if known else max(2, _UNKNOWN // (depth + 1))
        before: dict[str, float] = {}
        for _ in range(rounds):
            before = dict(self.sizes)
            self._statements(loop.body, depth + 1)
        for key, size in self.sizes.items() if known > rounds else ():
            self.sizes[key] = min(size + (size - before.get(key, size)) * (known - rounds), _MOST)

    def _set(self, key: str, size: float) -> None:
        if key:
            self.sizes[key] = min(size, _MOST)

    def _grow(self, expression: nodes.Node) -> None:
        """Follow `list.append(x)` and its like."""
        for call in _inside([expression], nodes.Call):
            if isinstance(call.node, nodes.Getattr) and call.node.attr in _GROWS and call.args:
                key = _key(call.node.node)
                added = self._size(call.args[-1]) if call.node.attr in {"extend", "update"} else 1.0
                if key and key in {_key(name) for name in _inside(call.args, nodes.Name)} and call.node.attr != "extend":
                    self.tell("jinja.endless", call, what="list", expression=self.show(call))
                self._set(key, self.sizes.get(key, 1.0) + added)

    def _bits(self, node: Any, depth: int) -> int:  # noqa: ANN401 - any expression
        """Return how many bits a power has: (9 ** 9) ** 9 has 257, 9 ** 10 ** 9 stops the server."""
        if isinstance(node, nodes.Pow) and depth < _DEPTH:
            exponents = [abs(v) for v in self.folder.fold(node.right) if isinstance(v, int)]
            if isinstance(node.right, nodes.Pow):
                exponents.append(1 << min(self._bits(node.right, depth + 1), 64))
            return min(self._bits(node.left, depth + 1) * max(exponents, default=1), 1 << 62)
        return max((abs(v).bit_length() for v in self.folder.fold(node) if isinstance(v, int)), default=1)

    def _from_right(self, node: nodes.Pow, depth: int) -> int:
        """Return the bits of a chain of powers read from the right."""
        if not isinstance(node.left, nodes.Pow) or depth > _DEPTH:
            return self._bits(node, depth)
        upper = min(self._bits(node.right, depth + 1) + self._bits(node.left.right, depth + 1), 64)
        exponent = 1 << (upper if isinstance(node.right, nodes.Pow) else min(self._power(node.left.right, node.right), 62))
        return min(self._bits(node.left.left, depth + 1) * exponent, 1 << 62)

    def _power(self, base: nodes.Expr, exponent: nodes.Expr) -> int:
        """Return the bits of a power of two constants."""
        exponents = [abs(v) for v in self.folder.fold(exponent) if isinstance(v, int)]
        return self._bits(base, 0) * max(exponents, default=1)

    def _size(self, node: Any, depth: int = 0) -> float:  # noqa: ANN401, PLR0911 - a table of expressions
        """Return about how many characters or items an expression has, 1 for what only the data tells."""
        depth += 1
        if depth > _DEPTH:
            return 1.0
        match node:
            case nodes.Const():
                return float(len(node.value)) if isinstance(node.value, str) else 1.0
            case nodes.TemplateData():
                return float(len(node.data))
            case nodes.Name() | nodes.Getattr():
                return self.sizes.get(_key(node), 1.0)
            case nodes.Output() | nodes.Concat():
                return sum(self._size(n, depth) for n in node.nodes)
            case nodes.List() | nodes.Tuple():
                return sum(self._size(n, depth) for n in node.items[:_ROUNDS])
            case nodes.Add():
                return self._size(node.left, depth) + self._size(node.right, depth)
            case nodes.Mul():
                times = [v for n in (node.left, node.right) for v in self.folder.fold(n) if isinstance(v, int)]
                return max(self._size(node.left, depth), self._size(node.right, depth)) * max([1, *times])
            case nodes.CondExpr():
                return max(self._size(node.expr1, depth), self._size(node.expr2, depth) if node.expr2 else 0.0)
            case nodes.Filter() if node.name in _KEEPS:
                return self._kept(node.name, self._size(node.node, depth) if node.node else 1.0, _arguments(node), depth)
            case nodes.Call():
                return self._called(node, depth)
        return 1.0

    def _kept(self, name: str, size: float, arguments: list[nodes.Node], depth: int) -> float:
        numbers = [v for a in arguments for v in self.folder.fold(a) if isinstance(v, int)]
        if name == "replace" and len(arguments) > 1:
            return size * max(1.0, self._size(arguments[1], depth))
        if name == "join" and arguments:
            return size * max(1.0, self._size(arguments[0], depth))
        return max([size, *numbers]) if name == "batch" else size * max([1, *numbers]) if name == "indent" else size

    def _called(self, node: nodes.Call, depth: int) -> float:
        if isinstance(node.node, nodes.Name):
            return float(max(_count(self.folder, node), 1))
        if not isinstance(node.node, nodes.Getattr):
            return 1.0
        size, name = self._size(node.node.node, depth), node.node.attr
        numbers = [v for a in _arguments(node) for v in self.folder.fold(a) if isinstance(v, int)]
        if name in _WIDENS and numbers:
            return max(size, *numbers)
        if name == "replace" and len(node.args) > 1:
            return size * max(1.0, self._size(node.args[1], depth))
        if name == "join" and node.args:
            return self._size(node.args[0], depth) * max(1.0, size)
        return sum((self._size(a, depth) for a in node.args), size) if name == "format" else size


def _key(node: nodes.Node | None) -> str:
    """Return the name that a target or an expression is: `x`, `ns.x`."""
    match node:
        case nodes.Name():
            return node.name
        case nodes.NSRef():
            return f"{node.name}.{node.attr}"
        case nodes.Getattr(node=nodes.Name(name=name)):
            return f"{name}.{node.attr}"
    return ""


def _inside(roots: Iterable[nodes.Node], kind: Any) -> Iterator[Any]:  # noqa: ANN401 - a class of nodes, or several
    for root in roots:
        if isinstance(root, kind):
            yield root
        yield from root.find_all(kind)


def _arguments(node: Any) -> list[nodes.Node]:  # noqa: ANN401 - a call, filter or test
    return [*node.args, *(k.value for k in node.kwargs)]


def _leaves(loop: nodes.For) -> bool:
    """Tell whether a loop has a way out."""
    return any(type(node).__name__ in {"Break", "Continue"} for node in loop.find_all(nodes.Stmt))


def _count(folder: Folder, iterated: nodes.Node) -> int:
    """Return how many rounds a loop has, 0 when only the data tells."""
    if isinstance(iterated, nodes.Call) and _key(iterated.node) == "range":
        numbers = [max((v for v in folder.fold(a) if isinstance(v, int)), default=0) for a in iterated.args]
        if not numbers:
            return 0
        start, stop = (0, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
        return max(0, stop - start)
    return max((len(v) for v in folder.fold(iterated) if isinstance(v, (list, tuple, dict))), default=0)


def _calls(body: Iterable[nodes.Node]) -> Iterator[tuple[str, nodes.Call, tuple[nodes.Node, ...]]]:
    """Yield the calls by name in a body, each with the conditions and loops that it stands in."""
    stack: list[tuple[nodes.Node, tuple[nodes.Node, ...]]] = [(node, ()) for node in body]
    while stack:
        node, tests = stack.pop()
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name):
            yield node.node.name, node, tests
        match node:
            case nodes.If():
                inner = [(n, (*tests, node.test)) for n in (*node.body, *node.elif_, *node.else_)]
                stack += [*inner, (node.test, tests)]
            case nodes.CondExpr():
                stack += [(n, (*tests, node.test)) for n in (node.expr1, node.expr2) if n is not None]
            case nodes.And() | nodes.Or():
                stack += [(node.left, tests), (node.right, (*tests, node.left))]
            case nodes.For(iter=nodes.List() | nodes.Tuple() | nodes.Const()):
                stack += [(n, tests) for n in node.iter_child_nodes()]
            case nodes.For(iter=nodes.Call(node=nodes.Name(name="range"), args=[nodes.Const(), *_])):
                stack += [(n, tests) for n in node.iter_child_nodes()]
            case nodes.For():
                stack += [(n, (*tests, node.iter)) for n in node.iter_child_nodes()]
            case nodes.Macro():
                pass
            case _:
                stack += [(n, tests) for n in node.iter_child_nodes()]


def _reached(start: str, edges: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [*edges[start]]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += edges.get(name, ())
    return found


def _in_counting_loop(macro: nodes.Macro, call: nodes.Call) -> bool:
    """Tell whether a call stands in a loop of constant length within a macro."""
    return any(
        call is inner
        for loop in macro.find_all(nodes.For)
        if isinstance(loop.iter, (nodes.List, nodes.Tuple, nodes.Const)) or _key(getattr(loop.iter, "node", None)) == "range"
        for inner in _inside(loop.body, nodes.Call)
    )
