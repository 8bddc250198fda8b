"""torch.fx graph modules: the source text that `reduce_graph_module` executes when the pickle is loaded.

`torch.fx` writes a block of imports and one `forward`; executing them only defines a function.
Text that does no more than that is code like any other in a pickle; anything else is an attack.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from stannary.checks.static.judges.pickle_schema import DANGEROUS_NAMES

__all__ = ["source_problem"]

_IMPORTS = frozenset({"torch", "math", "operator", "_operator", "typing", "torchvision", "torch.fx._pytree", "torch.utils._pytree"})
_PLAIN = frozenset(
    {
        "abs",
        "bool",
        "dict",
        "float",
        "getattr",
        "int",
        "len",
        "list",
        "max",
        "min",
        "range",
        "round",
        "slice",
        "str",
        "sum",
        "tuple",
        "zip",
    }
)
_FROM = {"math": {"inf", "nan"}, "torch": {"device"}, "builtins": _PLAIN}
_TORCH = frozenset({"nn", "_C", "ops", "functional", "special", "linalg", "fft", "sparse", "Tensor"})  # torch.X.y that graphs call
_OPS = frozenset({"aten", "prims", "quantized", "torchvision"})
_NEVER = frozenset({"load", "save", "from_file", "compile", "hub", "jit", "package", "classes", "import_ir_module"})  # torch.x
_LIMIT = 1 << 20
_ALLOWED = frozenset({"getattr", "call", "run", "code", "write", "send"})  # words of ordinary graphs


def source_problem(texts: Sequence[str] | None) -> str:
    """Return what the texts do besides defining a graph's function, '' for nothing."""
    if not texts:
        return "its source is computed"
    for text in texts:
        if len(text) > _LIMIT:
            return "its source is too long to judge"
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return "its source cannot be parsed"
        for statement in tree.body:
            if problem := _statement(statement):
                return problem
        if words := sorted(_words(tree)):
            return f"its source uses {', '.join(words[:4])}"
    return ""


def _statement(node: ast.stmt) -> str:
    """Judge one statement at the top of the text: it runs at load."""
    if isinstance(node, ast.Import):
        foreign = [alias.name for alias in node.names if alias.name not in _IMPORTS or (alias.asname or "").startswith("__")]
        return f"its source imports {foreign[0]}" if foreign else ""
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        plain = not node.level and all(alias.name in _FROM.get(module, ()) for alias in node.names)
        return "" if plain else f"its source imports from {module or 'a relative module'}"
    if isinstance(node, ast.Assign):
        # NoneType = type(None), the one assignment that torch writes.
        return "" if ast.unparse(node) == "NoneType = type(None)" else "its source assigns when it is executed"
    if isinstance(node, ast.FunctionDef):
        arguments = node.args
        evaluated = [
            *node.decorator_list, *arguments.defaults, *filter(None, arguments.kw_defaults), *filter(None, [node.returns]),
            *(a.annotation for a in ast.walk(arguments) if isinstance(a, ast.arg) and a.annotation is not None),
        ]  # fmt: skip
        runs = any(isinstance(part, ast.Call | ast.Lambda | ast.NamedExpr) for item in evaluated for part in ast.walk(item))
        return "its function's signature calls something" if runs or node.decorator_list else ""
    return f"its source has a {type(node).__name__} that runs at load"


def _words(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        word = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if (word in DANGEROUS_NAMES and word not in _ALLOWED) or (word.startswith("__") and word.endswith("__")):
            found.add(word)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr" and not _plain_attribute(node):
            found.add(ast.unparse(node)[:80])
        if isinstance(node, ast.Attribute) and not _plain_torch(ast.unparse(node).split(".")):
            found.add(ast.unparse(node)[:80])
    return found


def _plain_attribute(call: ast.Call) -> bool:
    """Tell whether `getattr` takes an attribute that could stand after a dot as well."""
    name = call.args[1].value if len(call.args) > 1 and isinstance(call.args[1], ast.Constant) else None
    # Modules in a Sequential are named 0, 1, 2: that is what torch writes this call for.
    return isinstance(name, str) and f"_{name}".isidentifier() and not name.startswith("__") and name not in DANGEROUS_NAMES


def _plain_torch(parts: list[str]) -> bool:
    """Tell whether a dotted name below torch is one of those that graphs call; the body is run when it is traced."""
    if parts[0] != "torch" or len(parts) < 2:  # noqa: PLR2004 - torch.x
        return parts[0] not in {"operator", "_operator", "math"} or parts[-1] not in {"attrgetter", "methodcaller", "call"}
    if len(parts) == 2:  # noqa: PLR2004 - torch.x
        return parts[1] not in _NEVER
    return parts[1] in _TORCH and (parts[1] != "ops" or parts[2] in _OPS)
