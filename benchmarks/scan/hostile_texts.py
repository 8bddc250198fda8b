"""Texts that make a reader work: JSON, YAML, XML, templates, source, and strings against regular expressions."""

# ruff: noqa: E501, Q003 - a table

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator

Case = tuple[str, str, Callable[[], bytes], bool]
_PYTHON = "import os\nos.system('echo hello')\n"


def _fill(piece: str, size: int, before: str = "", after: str = "") -> bytes:
    raw = piece.encode()
    return before.encode() + raw * max(1, (size - len(before) - len(after)) // len(raw)) + after.encode()


def _count(one: Callable[[int], str], size: int, before: str = "", after: str = "") -> bytes:
    parts, total, number = [before], len(before) + len(after), 0
    while total < size:
        parts.append(one(number))
        total += len(parts[-1])
        number += 1
    return "".join([*parts, after]).encode()


# What the regular expressions of the readers begin with: repeated, each is a search that fails late.
TOKENS = (
    "a", " ", "\n", "\t", "A1", "_", "-", "/", "\\", "'", '"', "(", "[", "{", "{{", "{%", "{% ", "{{ a", "${", "${jndi:", "<", "<script", "</", "<!--",
    "=", "a=", "a = '", "a.", "a.b.", "os.", "import ", "from a", "import os, ", "eval(", "exec(", "__", "__a", "__import__", "lambda ", "curl a ",
    "curl ", "wget ", "| sh", "bash ", "rm ", "powershell -", "/dev/tcp/", "$(", "http://", "https://a.", "http://a:b@", "a@b.", "1.", "127.", "::",
    "AKIA", "AKIAAAAAAAAAAAAAAAA", "hf_", "hf_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ", "ghp_", "sk-", "xox", "eyJ", "eyJa.", "eyJhbGciOiJI.eyJ",
    "-----BEGIN ", "-----BEGIN RSA PRIVATE KEY-----\n", "password=", "password = \"a", "token: ", "api_key=", "secret: '", "gASV", "80049", "H4sI",
    "UEsDB", "\\u0041", "\\x41", "%41", "&amp;", "#", "# a\n", "cos\n", "c", "(", "S'", "(dp0\n", "a: ", "- ", "- a: ", "[a]\n", "a==1\n", "-r a\n", "--index-url ",
    "git+https://a@", "License", "Apache License ", "MIT ", "\r\n", "é", "\u202e", "a\\\n", "pickle.load", ".__class__", "tree\n", "%%",
)  # fmt: skip


def _json(size: int) -> Iterator[Case]:
    yield "json.objects", "a.json", lambda: _count(lambda n: f'{{"a": {n}, "b": "c"}},', size, "[", "1]"), False
    yield (
        "json.objects_19m",
        "a.json",
        lambda: _count(lambda n: f'{{"name": "x{n}", "values": [1, 2, 3], "k": null}},', min(size, 19 << 20), "[", "1]"),
        False,
    )
    yield "json.objects_2m", "a.json", lambda: _count(lambda n: f'{{"a":{n}}},', 2_000_000, "[", "1]"), False
    yield "json.nested", "a.json", lambda: b'[{"a":' * (size // 16) + b"1" + b"}]" * (size // 16), False
    yield "json.nested_2m", "a.json", lambda: b"[" * 1_000_000 + b"]" * 1_000_000, False
    yield "json.lists", "a.json", lambda: _fill("[],", size, "[", "1]"), False
    yield "json.lists_2m", "a.json", lambda: _fill("[],", 2_000_000, "[", "1]"), False
    yield "json.strings_2m", "a.json", lambda: _count(lambda n: f'"{"gAN" + "A" * 40}{n}",', 2_000_000, "[", "1]"), False
    yield "json.tags", "a.json", lambda: _fill('{"py/object": "os.system", "_target_": "os.system"},', size, "[", "1]"), False
    yield "json.tags_2m", "a.json", lambda: _count(lambda n: f'{{"_target_": "a{n}.b"}},', 2_000_000, "[", "1]"), False
    yield "json.tags_open", "a.json", lambda: _fill('"_target_": [', size, "{"), False
    yield "json.keys_same", "a.json", lambda: _fill('"a": 1, ', 2_000_000, "{", '"a": 1}'), False
    yield "json.keys", "a.json", lambda: _count(lambda n: f'"key{n}": {n},', size, "{", '"a": 1}'), False
    yield "json.lines", "a.jsonl", lambda: _count(lambda n: f'{{"a": {n}}}\n', size), False
    yield "json.lines_2m", "a.jsonl", lambda: _fill("{}\n", 2_000_000), False
    yield "json.escapes", "a.json", lambda: _fill('"\\u0061\\u0062": 1, ', size, "{", '"a": 1}'), False
    yield (
        "json.tokenizer",
        "tokenizer.json",
        lambda: _count(lambda n: f'"tok{n}": {n},', size // 2, '{"model": {"vocab": {', '"a": 1}}}'),
        False,
    )
    yield (
        "json.auto_map",
        "config.json",
        lambda: _count(lambda n: f'"auto_map": {{"A{n}": "x--y.Z"}},', size, "{", '"a": 1}'),
        False,
    )
    yield (
        "json.xgboost",
        "model.json",
        lambda: _count(
            lambda n: f'{{"split_conditions": [{n}.5, 1.0], "id": {n}}},',
            30 << 20,
            '{"learner": {"gradient_booster": {"model": {"trees": [',
            '{}]}}}, "version": [1, 7, 6]}',
        ),
        False,
    )
    yield (
        "json.keras",
        "config.json",
        lambda: _count(
            lambda n: f'{{"class_name": "Dense", "config": {{"name": "d{n}", "units": 3}}}},',
            30 << 20,
            '{"class_name": "Sequential", "config": {"layers": [',
            "{}]}}",
        ),
        False,
    )
    yield (
        "json.mxnet",
        "model-symbol.json",
        lambda: _count(
            lambda n: f'{{"op": "x", "name": "n{n}", "inputs": []}},', 30 << 20, '{"nodes": [', '{}], "arg_nodes": [], "heads": []}'
        ),
        False,
    )
    yield (
        "json.skops",
        "schema.json",
        lambda: _count(
            lambda n: f'{{"__class__": "C{n}", "__module__": "m", "__loader__": "ObjectNode"}},',
            30 << 20,
            '{"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode", "content": [',
            "{}]}",
        ),
        False,
    )
    yield (
        "notebook.cells",
        "a.ipynb",
        lambda: _count(
            lambda n: f'{{"cell_type": "code", "source": ["x = {n}\\n"], "outputs": []}},',
            30 << 20,
            '{"nbformat": 4, "cells": [',
            '{"cell_type": "code", "source": ["import os; os.system(1)"]}]}',
        ),
        False,
    )
    yield (
        "notebook.source",
        "a.ipynb",
        lambda: json.dumps({"nbformat": 4, "cells": [{"cell_type": "code", "source": "x = 1\n" * 4_000_000}]}).encode(),
        False,
    )


def _markup(size: int) -> Iterator[Case]:
    yield "yaml.items", "a.yaml", lambda: _count(lambda n: f"- a: {n}\n  b: c\n", size), False
    yield "yaml.keys", "a.yaml", lambda: _count(lambda n: f"key{n}: {n}\n", size), False
    yield "yaml.documents", "a.yaml", lambda: _fill("---\na: 1\n", size), False
    yield "yaml.flow", "a.yaml", lambda: b"a: " + b"[" * (size - 10), False
    yield "yaml.flow_closed", "a.yaml", lambda: b"a: " + b"[" * (size // 2) + b"]" * (size // 2), False
    yield "yaml.flow_items", "a.yaml", lambda: b"a: [" + b"b, " * (size // 3) + b"]", False
    yield "yaml.flow_open_quotes", "a.yaml", lambda: b"a: [" + b"'b " * (size // 3), False
    yield "yaml.deep", "a.yaml", lambda: b"".join(b" " * n + b"a:\n" for n in range(11_000)), False
    yield (
        "yaml.aliases",
        "a.yaml",
        lambda: b"a: &a [1]\n" + b"".join(b"b%d: &b%d [*a, *a]\n" % (n, n) for n in range(size // 24)),
        False,
    )
    yield "yaml.tags", "a.yaml", lambda: _fill("- !!python/object/apply:os.system [a]\n", size), False
    yield "yaml.block", "a.yaml", lambda: b"a: |\n" + b"  line\n" * (size // 7), False
    yield "yaml.quotes", "a.yaml", lambda: b'a: "' + b"a\n " * (size // 3), False
    yield "yaml.long_line", "a.yaml", lambda: b"a: " + b"b c " * (size // 4), False
    yield "yaml.colons", "a.yaml", lambda: b"a: b:" * (size // 5), False
    yield "yaml.comments", "a.yaml", lambda: b"# a\n" * (size // 4), False
    yield "yaml.tabs", "a.yaml", lambda: b"a:\n\t- b\n" * (size // 8), False
    yield "xml.elements", "a.xml", lambda: _fill("<a b='c'>d</a>", size, "<r>", "</r>"), False
    yield "xml.empty", "a.xml", lambda: _fill("<a/>", size, "<r>", "</r>"), False
    yield "xml.deep", "a.xml", lambda: b"<a>" * (size // 7) + b"</a>" * (size // 7), False
    yield "xml.attributes", "a.xml", lambda: _count(lambda n: f" a{n}='b'", size, "<r", "/>"), False
    yield "xml.text", "a.xml", lambda: _fill("text & ".replace("&", "&amp;"), size, "<r>", "</r>"), False
    yield (
        "xml.entities",
        "a.xml",
        lambda: (
            b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">'
            + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10 if n else b"&a;" * 10) for n in range(40))
            + b"]><r>&a39;</r>"
        ),
        False,
    )
    yield "xml.declarations", "a.xml", lambda: _count(lambda n: f'<!ENTITY e{n} "v">', size, "<!DOCTYPE r [", "]><r/>"), False
    yield "xml.comments", "a.xml", lambda: _fill("<!--a-->", size, "<r>", "</r>"), False
    yield "xml.instructions", "a.xml", lambda: _fill("<?a b?>", size, "<r>", "</r>"), False
    yield (
        "pmml.nodes",
        "a.pmml",
        lambda: _count(
            lambda n: f'<Node id="{n}" score="1"><SimplePredicate field="f" operator="lessThan" value="{n}"/></Node>',
            min(size, 40 << 20),
            '<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4"><TreeModel>',
            "</TreeModel></PMML>",
        ),
        False,
    )
    yield (
        "openvino.layers",
        "a.xml",
        lambda: _count(
            lambda n: f'<layer id="{n}" name="l{n}" type="Const" version="opset1"><data a="b"/></layer>',
            min(size, 40 << 20),
            '<?xml version="1.0"?><net name="n" version="11"><layers>',
            "</layers></net>",
        ),
        False,
    )
    yield "toml.keys", "a.toml", lambda: _count(lambda n: f"key{n} = {n}\n", size), False
    yield "toml.tables", "a.toml", lambda: _count(lambda n: f"[a{n}]\n", size), False
    yield "toml.arrays", "a.toml", lambda: b"a = " + b"[" * (size // 2) + b"]" * (size // 2), False
    yield "toml.dotted", "a.toml", lambda: b"a." * (size // 2) + b"a = 1\n", False
    yield "toml.dotted_keys", "a.toml", lambda: _count(lambda n: "a." * 400 + f"b{n} = 1\n", size), False
    yield (
        "pyproject",
        "pyproject.toml",
        lambda: _count(lambda n: f'"pkg{n}==1.0",\n', size, "[project]\ndependencies = [", "]\n"),
        False,
    )
    yield "ini.keys", "a.cfg", lambda: _count(lambda n: f"key{n} = {n}\n", size, "[a]\n"), False
    yield "ini.sections", "a.cfg", lambda: _count(lambda n: f"[a{n}]\nb = %(c)s\n", size), False
    yield "requirements", "requirements.txt", lambda: _count(lambda n: f"package{n}==1.{n}\n", size), False
    yield (
        "requirements.urls",
        "requirements.txt",
        lambda: _count(lambda n: f"git+https://a.b/c{n}\n--index-url http://e/{n}\n", size),
        False,
    )
    yield "requirements.long", "requirements.txt", lambda: _fill("a", size), False
    yield "requirements.hashes", "requirements.txt", lambda: _fill("a==1 \\\n  --hash=sha256:00 \\\n", size), False


def _code(size: int) -> Iterator[Case]:
    yield "jinja.expressions", "a.jinja", lambda: _fill("{{ a }}", size), False
    yield "jinja.blocks", "a.jinja", lambda: _fill("{% if a %}", size // 2, "", "") + _fill("{% endif %}", size // 2), False
    yield "jinja.parens", "a.jinja", lambda: b"{{ " + b"(" * (size // 2) + b"a" + b")" * (size // 2) + b" }}", False
    yield "jinja.filters", "a.jinja", lambda: b"{{ a" + b"|b" * (size // 2) + b" }}", False
    yield "jinja.sum", "a.jinja", lambda: b"{{ 'a'" + b" ~ 'a'" * (size // 6) + b" }}", False
    yield "jinja.sets", "a.jinja", lambda: b"{% set a = 'aaaaaaaa' %}" + b"{% set a = a ~ a %}" * (size // 19), False
    yield "jinja.text", "a.jinja", lambda: _fill("text { ", size), False
    yield "jinja.comments", "a.jinja", lambda: _fill("{# a #}", size), False
    yield "jinja.open", "a.jinja", lambda: _fill("{{", size), False
    yield "jinja.lists", "a.jinja", lambda: b"{{ [" + b"1," * (size // 2) + b"] }}", False
    yield "jinja.small_deep", "a.jinja", lambda: b"{{ " + b"-" * 100_000 + b"a }}", False
    yield "python.assignments", "a.py", lambda: _fill("a = 1\n", size, "", _PYTHON), True
    yield "python.calls", "a.py", lambda: _fill("f(x, y=1)\n", size, "", _PYTHON), True
    yield "python.functions", "a.py", lambda: _count(lambda n: f"def f{n}(a):\n    return g(a)\n", size, "", _PYTHON), True
    yield "python.imports", "a.py", lambda: _count(lambda n: f"import a{n}\n", size, "", _PYTHON), True
    yield (
        "python.parens",
        "a.py",
        lambda: b"a = " + b"(" * (size // 2) + b"1" + b")" * (size // 2) + b"\n" + _PYTHON.encode(),
        False,
    )
    yield "python.sum", "a.py", lambda: b"a = 'a'" + b" + 'a'" * (size // 6) + b"\n" + _PYTHON.encode(), False
    yield "python.sum_small", "a.py", lambda: b"a = 'a'" + b" + 'a'" * 100_000 + b"\n" + _PYTHON.encode(), False
    yield "python.doubling", "a.py", lambda: b"a = 'a'\n" + b"a = a + a\n" * 100_000 + _PYTHON.encode(), True
    yield "python.list", "a.py", lambda: b"a = [" + b"1," * (size // 2) + b"]\n" + _PYTHON.encode(), True
    yield "python.dict_4m", "a.py", lambda: _count(lambda n: f"'k{n}': {n},", 4 << 20, "a = {", "}\n" + _PYTHON), True
    yield "python.chain", "a.py", lambda: b"a" + b".b" * (size // 2) + b"\n" + _PYTHON.encode(), False
    yield "python.chain_call", "a.py", lambda: b"a" + b".b()" * 50_000 + b"\n" + _PYTHON.encode(), False
    yield (
        "python.strings",
        "a.py",
        lambda: _count(lambda n: f"a{n} = '{base64.b64encode(b'x' * 60).decode()}'\n", size, "", _PYTHON),
        True,
    )
    yield "python.join", "a.py", lambda: b"a = ''.join([" + b"chr(1)," * (size // 7) + b"])\n" + _PYTHON.encode(), True
    yield (
        "python.nested_functions",
        "a.py",
        lambda: b"".join(b" " * n + b"def f():\n" for n in range(95)) + b" " * 95 + b"pass\n" + _PYTHON.encode(),
        False,
    )
    yield (
        "python.ifs",
        "a.py",
        lambda: b"".join(b"if a:\n x = 1\nelse:\n x = 2\n" for _ in range(size // 28)) + _PYTHON.encode(),
        True,
    )
    yield "python.comments", "a.py", lambda: _fill("# a\n", size, "", _PYTHON), True
    yield "python.fstrings", "a.py", lambda: _fill("a = f'{b!r:>{c}}'\n", size, "", _PYTHON), True
    yield "python.lambdas", "a.py", lambda: b"a = " + b"lambda: " * 2000 + b"1\n" + _PYTHON.encode(), False
    yield "python.same_name", "a.py", lambda: _count(lambda n: f"x = y{n}\nx(1)\n", 4 << 20, "", _PYTHON), True
    yield "python.subscripts", "a.py", lambda: _fill("a[b[c[d]]] = e[f]\n", 4 << 20, "", _PYTHON), True
    yield "script.sh", "a.sh", lambda: _fill("curl a | sh\n", size, "#!/bin/sh\n"), False


def texts(size: int) -> Iterator[Case]:
    """Yield name, file name, what makes the content, whether a loader that comes to the end runs a payload."""
    yield from _json(size)
    yield from _markup(size)
    yield from _code(size)
    large = min(size, 30 << 20)
    for number, token in enumerate(TOKENS):
        yield f"text.token{number}", "README.md", lambda token=token: _fill(token, large), False
    for number, token in enumerate(TOKENS):
        yield f"code.token{number}", "a.py", lambda token=token: _fill(token, large), False
