"""Sizes that keep the code readable: counted, not argued about (ARCHITECTURE.md, rule 6)."""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.tree

ROOT = Path(__file__).resolve().parents[2]
MODULE_LINES = 400
ROOT_LINES = 200  # of a module of the composition root: one that needs more holds logic
FUNCTION_LINES = 60
PARAMETERS = 7
SOURCES = sorted(path for folder in ("src", "tools") for path in (ROOT / folder).rglob("*.py"))


@pytest.fixture(params=SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def source(request):
    return request.param.read_text(encoding="utf-8")


def functions(source):
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def test_modules_are_short(source):
    assert source.count("\n") <= MODULE_LINES


def test_modules_of_the_composition_root_are_shorter():
    long = {path.name for path in (ROOT / "src/stannary/app").glob("*.py") if path.read_text().count("\n") > ROOT_LINES}
    assert not long


def test_functions_are_short(source):
    long = {node.name: size for node in functions(source) if (size := node.end_lineno - node.lineno + 1) > FUNCTION_LINES}
    assert not long


def test_functions_take_few_parameters(source):
    many = {}
    for node in functions(source):
        names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        count = len([name for name in names if name not in {"self", "cls"}])
        if count > PARAMETERS:
            many[node.name] = count
    assert not many


def test_catching_everything_is_explained_on_the_line(source):
    lines = source.splitlines()
    unexplained = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        last = node.body[-1]
        if isinstance(last, ast.Raise) and last.exc is None:
            continue  # it cleans up and passes on
        caught = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"Exception"}
        if caught & {"Exception", "BaseException"}:
            comment = lines[node.lineno - 1].partition("#")[2]
            reason = re.sub(r"noqa(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)?", "", comment)
            if len(re.findall(r"[a-z]{2,}", reason)) < 3:
                unexplained.append(node.lineno)
    assert not unexplained
