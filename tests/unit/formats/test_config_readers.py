"""JSON, YAML, TOML, INI, notebooks, dependency lists: the keys and tags that mean code, and bounds."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stannary.checks.static.walk import read_view
from stannary.formats.interface import View
from stannary.formats.requirements_text import normal_name, parse_requirement
from stannary.formats.yaml_scan import scan
from stannary.testing.forges import all_forges, make

PREFIXES = ("json.", "yaml.", "config.", "notebook.", "requirements.", "text.", "secret.")


def read(raw, name):
    return read_view(View(raw.encode() if isinstance(raw, str) else raw, name), strict=True)


def facts(raw, name, kind):
    return [fact.data for fact in read(raw, name).facts if fact.kind == kind]


# JSON


def test_tags_are_found_at_any_depth():
    document = [1, {"a": [{"b": {"py/reduce": [{"py/type": "os.system"}, {"py/tuple": ["x"]}]}}]}]
    tags = {(f["tag"], f["name"]) for f in facts(json.dumps(document), "x.json", "json.object")}
    assert ("py/type", "os.system") in tags
    assert any(tag == "py/reduce" for tag, _ in tags)


@pytest.mark.parametrize("pad", [10, 3 << 20])
def test_large_and_small_documents_give_the_same_tags(pad):
    raw = json.dumps({"pad": "x" * pad, "m": {"_target_": "os.system"}, "auto_map": {"AutoModel": "a--b.C"}})
    assert [f["name"] for f in facts(raw, "x.json", "json.target")] == ["os.system"]
    assert [f["value"] for f in facts(raw, "x.json", "json.remote_code")] == ["a--b.C"]


def test_a_key_twice_is_reported():
    assert facts('{"a": 1, "b": {"c": 1, "c": 2}}', "x.json", "json.duplicate_key") == [{"key": "c", "path": "b"}]


def test_json_lines_are_read_to_the_last():
    assert [f["name"] for f in facts('{"a":1}\n{"_target_":"os.system"}\n', "x.jsonl", "json.target")] == ["os.system"]


def test_a_broken_document_still_shows_its_tags():
    report = read('{"py/reduce": [{"py/type": "os.system"}], "x": ', "x.json")
    assert report.missed
    assert any(fact.kind == "json.object" and fact.data["name"] == "os.system" for fact in report.facts)


def test_text_that_only_starts_like_json_is_no_error():
    assert not read('["quoted"] is how the text starts\n', "notes.txt").missed


def test_a_template_in_a_list_is_handed_on():
    report = read(json.dumps({"chat_template": [{"name": "default", "template": "{{ x.__class__ }}"}]}), "tokenizer_config.json")
    assert any(name.endswith(":jinja") for name in report.formats)


@pytest.mark.parametrize(
    "raw", [b"[" * 300_000, b'{"a":' * 300_000, b'{"a": "' + b"x" * 5_000_000, b"[1," * 2_000_000, b'{"a": 1,' * 500_000]
)
def test_hostile_json_ends_soon_and_is_not_complete(raw):
    started = time.process_time()
    report = read(raw, "x.json")
    assert time.process_time() - started < 3
    assert report.missed or len(raw) > 2 << 20


# YAML


@pytest.mark.parametrize(
    "text, path, value",
    [
        ("a: b\n", "a", "b"),
        ("a:\n  b:\n    c: d\n", "a.b.c", "d"),
        ("a:\n- b\n- c: d\n  e: f\n", "a[1].e", "f"),
        ("a: [b, {c: d}]\n", "a[1].c", "d"),
        ("a: {b: [c,\n  d]}\n", "a.b[1]", "d"),
        ("'a b': \"c\\td\"\n", "a b", "c\td"),
        ("a: 'it''s'\n", "a", "it's"),
        ("a: |\n  b\n   c\nd: e\n", "a", "b\n c"),
        ("a: >-\n  b\nd: e\n", "d", "e"),
        ("a: http://x.y/z # no\n", "a", "http://x.y/z"),
        ("a: b\n  c\n", "a", "b c"),
        ("- - a\n  - b\n- c\n", "[0][1]", "b"),
        ("a: 1\n---\nb: 2\n", "b", "2"),
        ("? a\n", "", "a"),
        ("a: !!str b\n", "a", "b"),
        ("a: &x b\n", "a", "b"),
        ("{a: b}\n", "a", "b"),
        ("\ufeffa: b\r\nc: d\r\n", "c", "d"),
        ('a: "b\n  c"\nd: e\n', "d", "e"),
        ("a:\n  - b: c\n    d:\n      e: f\n", "a[0].d.e", "f"),
    ],
)
def test_nesting_is_followed(text, path, value):
    assert (path, value) in {(node.path, node.value) for node in scan(text).nodes}


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system [x]",
        "a: !<tag:yaml.org,2002:python/object/apply:os.system> [x]",
        "%TAG !e! tag:yaml.org,2002:python/object/\n--- !e!apply:os.system [x]",
        "%TAG ! tag:yaml.org,2002:python/object/\n---\na: !apply:os.system [x]",
        "a: !!python/object/apply:o%73.system [x]",
        "- [1, {b: !!python/object/apply:os.system [x]}]",
        "!!python/object/apply:os.system\n- x\n",
        "? !!python/object/apply:os.system [x]\n: 1\n",
        "a: &z !!python/object/apply:os.system [x]",
        "a: !!python/object/apply:os.system &z [x]",
        "{{ broken\nb: !!python/object/apply:os.system [x]",
    ],
)
def test_a_tag_is_found_however_it_is_written(text):
    found = facts(text, "x.yaml", "yaml.tag")
    assert any(f["name"] == "os.system" and f["tag"] == "python/object/apply" for f in found), found


def test_words_in_comments_and_text_are_no_tags():
    text = "# !!python/name:os.system\na: 'b !!python/name:os.system'\nc: |\n  !!python/name:os.system\n"
    assert not facts(text, "x.yaml", "yaml.tag")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 300_000,
        "- " * 300_000,
        "a: " * 300_000,
        "{a b " * 100_000,
        '"' + '\\"' * 500_000,
        "a: 'x\n" * 100_000,
        "&a " * 300_000,
        "\t" * 1_000_000,
        "? " * 300_000,
    ],
)
def test_hostile_yaml_ends_soon(text):
    started = time.process_time()
    read(text, "x.yaml")
    assert time.process_time() - started < 5


@given(st.text(alphabet="ab:- \n[]{}'\"|>&*!#?,%\\\t", max_size=80))
def test_any_text_is_scanned(text):
    scan(text)


_SCALARS = st.one_of(st.integers(-5, 5).map(str), st.text(alphabet="abc xyz", min_size=1, max_size=6).map(str.strip).filter(bool))


@given(
    st.recursive(
        _SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3),
            st.dictionaries(st.text(alphabet="klm", min_size=1, max_size=3), inner, min_size=1, max_size=3),
        ),
        max_leaves=12,
    )
)
def test_json_scanned_as_yaml_gives_its_leaves(value):
    leaves = []

    def walk(path, item):
        if isinstance(item, dict):
            for key, inner in item.items():
                walk(f"{path}.{key}" if path else key, inner)
        elif isinstance(item, list):
            for index, inner in enumerate(item):
                walk(f"{path}[{index}]", inner)
        else:
            leaves.append((path, item))

    walk("", value)
    assert [(node.path, node.value) for node in scan(json.dumps(value)).nodes] == leaves


# Dependencies


@pytest.mark.parametrize(
    "text, expected",
    [
        ("torch==2.1.0", ("torch", "2.1.0", "pypi")),
        ("Torch_Vision >= 0.1", ("torch-vision", None, "pypi")),
        ("a[b,c]===1.0 ; python_version < '3'", ("a", "1.0", "pypi")),
        ("a @ https://x.invalid/a.whl", ("a", None, "url")),
        ("a @ git+https://x.invalid/a@main", ("a", None, "vcs")),
        ("git+ssh://git@x.invalid/a.git#egg=a_b", ("a-b", None, "vcs")),
        ("./wheels/a-1.whl", ("", None, "path")),
        ("numpy==1.*", ("numpy", None, "pypi")),
    ],
)
def test_requirements_are_read(text, expected):
    found = parse_requirement(text)
    assert (found.name, found.version, found.source) == expected


def test_words_are_no_requirements():
    assert parse_requirement("this is a sentence") is None


def test_names_are_normalised():
    assert normal_name("A__b.-C") == "a-b-c"


def test_every_kind_of_list_is_read():
    names = lambda raw, file: {f["name"] for f in facts(raw, file, "requirements.entry")}  # noqa: E731 - three uses
    assert names("name: x\ndependencies:\n- python=3.11\n- pip:\n  - torch==2.0\n", "environment.yml") == {"python", "torch"}
    assert names(
        '[project]\ndependencies = ["a>1"]\n[tool.poetry.dependencies]\nb = {git = "https://x.invalid/b"}\n', "pyproject.toml"
    ) == {"a", "b"}
    assert names("[options]\ninstall_requires =\n    a\n    b==1\n", "setup.cfg") == {"a", "b"}
    assert names('[packages]\na = "*"\nb = "==1"\n', "Pipfile") == {"a", "b"}
    assert names("a==1 \\\n  --hash=sha256:00\n-r other.txt\n# c\nb\n", "requirements.txt") == {"a", "b"}


# All of them


@pytest.mark.parametrize(
    "name", sorted(name for name, item in all_forges().items() if name.startswith(PREFIXES) and len(item.build()) < 20_000)
)
def test_every_truncation_is_read(name):
    raw = make(name)
    for end in range(0, len(raw), max(1, len(raw) // 30)):
        read(raw[:end], all_forges()[name].filename)
