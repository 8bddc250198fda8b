"""A repository folder as a graph: what loading reaches, and what leads outside."""

from __future__ import annotations

import json
import os

import pytest

from stannary.checks.static.walk import Walker
from stannary.formats.interface import Budget
from stannary.formats.repository import read_repository


def read(tmp_path, files):
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            content
            if isinstance(content, bytes)
            else content.encode()
            if isinstance(content, str)
            else json.dumps(content).encode()
        )
    found = [os.path.relpath(f"{folder}/{name}", tmp_path) for folder, _, names in os.walk(tmp_path) for name in names]
    walker = Walker(Budget(), strict=True)
    read_repository(str(tmp_path), found, walker)
    return walker


def facts(walker, kind, *fields):
    return [tuple(fact.data[field] for field in fields) for fact in walker.facts if fact.kind == kind]


def test_imports_are_followed_from_the_configuration(tmp_path):
    walker = read(
        tmp_path,
        {
            "config.json": {"auto_map": {"AutoModel": "modeling_x.Model"}},
            "modeling_x.py": "from .parts import layer\nfrom helper import *\n",
            "parts/__init__.py": "from . import deep\n",
            "parts/layer.py": "",
            "parts/deep.py": "import os\nos.system('echo')\n",
            "helper.py": "",
            "unused.py": "import os\nos.system('echo')\n",
        },
    )
    reached = {file for (file,) in facts(walker, "repo.code", "file")}
    assert reached == {"modeling_x.py", "parts/__init__.py", "parts/layer.py", "parts/deep.py", "helper.py"}
    assert facts(walker, "repo.call", "file", "name", "place") == [("parts/deep.py", "os.system", "load")]


@pytest.mark.parametrize(
    "value, kind, expected",
    [
        ("org/name--modeling.M", "repo.remote", "org/name--modeling.M"),
        ("../evil.M", "repo.outside", "../evil.M"),
        ("/tmp/evil.M", "repo.outside", "/tmp/evil.M"),
    ],
)
def test_references_that_leave_the_folder(tmp_path, value, kind, expected):
    walker = read(tmp_path, {"config.json": {"auto_map": {"AutoModel": value}}})
    assert facts(walker, kind, "reference") == [(expected,)]


def test_a_module_that_is_not_here(tmp_path):
    walker = read(tmp_path, {"tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["tok.T", None]}}})
    assert facts(walker, "repo.missing", "file", "what") == [("tok", "module")]


def test_shards_of_an_index(tmp_path):
    index = {"weight_map": {"a": "a.safetensors", "b": "../b.safetensors", "c": "gone.safetensors", "d": "https://x.invalid/d.bin"}}
    walker = read(tmp_path, {"model.safetensors.index.json": index, "a.safetensors": b"x"})
    assert set(facts(walker, "repo.outside", "reference", "how")) == {
        ("../b.safetensors", "traversal"),
        ("https://x.invalid/d.bin", "url"),
    }
    assert facts(walker, "repo.missing", "file") == [("gone.safetensors",)]


def test_a_pointer_is_not_weights(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 99\n"
    walker = read(tmp_path, {"model.safetensors": pointer, "notes.txt": pointer})
    assert facts(walker, "repo.pointer", "file", "size") == [("model.safetensors", 99)]
    assert [m.reason for m in walker.missed] == ["model.safetensors: a Git LFS pointer, the weights are not here"]


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    outside = tmp_path / "secret.py"
    outside.write_text("import os\nos.system('echo')\n")
    root = tmp_path / "root"
    root.mkdir()
    (root / "handler.py").symlink_to(outside)
    walker = read(root, {})
    assert facts(walker, "repo.symlink", "file") == [("handler.py",)]
    assert not facts(walker, "repo.call", "name")
    assert walker.missed


def test_links_of_the_hub_cache_are_followed(tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "1").write_text('{"auto_map": {"AutoModel": "m.M"}}')
    (blobs / "2").write_text("import os\nos.system('echo')\n")
    (snapshot / "config.json").symlink_to("../../blobs/1")
    (snapshot / "m.py").symlink_to("../../blobs/2")
    walker = read(snapshot, {})
    assert not facts(walker, "repo.symlink", "file")
    assert facts(walker, "repo.call", "name", "file") == [("os.system", "m.py")]


def test_bytecode_that_is_never_checked(tmp_path):
    pyc = b"\xa7\r\r\n" + (1).to_bytes(4, "little") + bytes(8)
    walker = read(
        tmp_path, {"hubconf.py": "", "__pycache__/hubconf.cpython-311.pyc": pyc, "__pycache__/other.cpython-311.pyc": pyc}
    )
    assert facts(walker, "repo.bytecode", "file", "unchecked") == [("__pycache__/hubconf.cpython-311.pyc", True)]


def test_a_folder_of_many_models(tmp_path):
    walker = read(
        tmp_path,
        {
            f"m{i}/{name}": content
            for i in range(3)
            for name, content in {"config.json": {"auto_map": {"AutoModel": "m.M"}}, "m.py": "eval(open)\n"}.items()
        },
    )
    assert sorted(facts(walker, "repo.call", "file", "name")) == [(f"m{i}/m.py", "eval") for i in range(3)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"auto_map": 3}',
        b'{"auto_map": [[["x"]]]}',
        b'{"auto_map": {"a": {"b": 1}}}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"weight_map": {"a": null}}',
        b'[{"type": 1}]',
        b'{"model": {"handler": 7}}',
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "model_index.json",
        "modules.json",
        "x.index.json",
        "MAR-INF/MANIFEST.json",
        "MLmodel",
        "config.cfg",
        "adapter_config.json",
        "config.pbtxt",
        "cog.yaml",
    ],
)
def test_malformed_configurations_are_survived(tmp_path, name, content):
    read(tmp_path, {name: content})
