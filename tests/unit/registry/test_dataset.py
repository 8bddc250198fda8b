"""What is said about a dataset: columns, rows, and what could not be read."""

import pytest

from stannary.core.errors import IntegrityError
from stannary.registry import registry as registry_module
from stannary.registry.names import Name, parse
from stannary.testing.forges import make

DATA = Name("default", "data")


@pytest.fixture
def registry(local):
    return local.opened[0]


def pushed(registry, folder, **files):
    folder.mkdir()
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return registry.push(folder, DATA, kind="dataset").info


def test_tables_have_columns_and_rows(registry, tmp_path):
    info = pushed(
        registry, tmp_path / "d",
        a__csv=b'id,text\n1,"two\nlines"\n2,"with ""quotes"""\n',
        b__tsv="\ufeffx\ty\n1\t2\n".encode(),
        c__jsonl=b'{"q": "a", "n": 1}\n\n{"q": "b", "ok": true}\n{"q": "c"}\n',
        d__parquet=make("parquet.plain"),
        e__txt=b"not a table",
    )  # fmt: skip
    found = {table["file"]: table for table in info["tables"]}
    assert found["a.csv"]["rows"] == 2
    assert found["a.csv"]["columns"] == [{"name": "id", "type": "integer"}, {"name": "text", "type": "text"}]
    assert (found["b.tsv"]["rows"], found["b.tsv"]["columns"][0]["name"]) == (1, "x")
    assert (found["c.jsonl"]["rows"], found["c.jsonl"]["columns"][2]) == (3, {"name": "ok", "type": "boolean", "empty": 2})
    assert found["d.parquet"]["columns"]
    assert info["rows"] == 6 + found["d.parquet"]["rows"]
    assert "unread" not in info
    assert registry.show(parse("data:1")).info == info


BROKEN = {
    "a__csv": b"a,b\n\xff\xfe\n",
    "b__jsonl": b'{"a": 1}\n{"a": \n',
    "c__parquet": b"PAR1",
    "d__parquet": b"PAR1" + b"\xff" * 100 + (90).to_bytes(4, "little") + b"PAR1",
    "e__parquet": b"PAR1" + b"\0" * 50 + (1 << 31).to_bytes(4, "little") + b"PAR1",
    "f__parquet": b"",
    "g__parquet": b"PAR1" + b"\x19" * 60_000 + (60_000).to_bytes(4, "little") + b"PAR1",
    "h__csv": b'a\n"' + b"x" * 200_000,
}


def test_what_cannot_be_read_is_named_and_the_rest_is_kept(registry, tmp_path):
    info = pushed(registry, tmp_path / "d", good__csv=b"a\n1\n", **BROKEN)
    assert [table["file"] for table in info["tables"]] == ["good.csv"]
    assert sorted(row["file"] for row in info["unread"]) == sorted(name.replace("__", ".") for name in BROKEN)
    assert all(row["reason"] for row in info["unread"])


def test_a_single_file_is_a_dataset_too(registry, tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n")
    assert registry.push(tmp_path / "x.csv", DATA, kind="dataset").info["rows"] == 2


def test_a_model_is_not_read_as_tables(registry, tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    assert registry.push(tmp_path / "x.csv", Name("default", "model")).info == {}


def test_json_lines_are_read_to_the_end(registry, tmp_path):
    rows = [b'{"n": 1, "x": null, "late": null}'] * 5000
    rows += [
        b'{"n": 2.5, "x": "a", "more": [1]}',
        b'{"n": 3, "x": 4, "more": [], "late": {"y": 1}}',
        b'"no object"',
        b'{"gone": null}',
    ]
    info = pushed(registry, tmp_path / "d", a__jsonl=b"\n".join(rows))
    assert info["tables"] == [
        {
            "file": "a.jsonl", "format": "jsonl", "rows": 5004,
            "columns": [
                {"name": "n", "type": "number", "empty": 2},
                {"name": "x", "type": "mixed", "empty": 5002},
                {"name": "late", "type": "object", "empty": 5003},
                {"name": "more", "type": "list", "empty": 5002},
                {"name": "gone", "type": "null", "empty": 5004},
            ],
        }
    ]  # fmt: skip


def test_a_line_that_is_no_json_is_named_wherever_it_is(registry, tmp_path):
    info = pushed(registry, tmp_path / "d", a__jsonl=b'{"a": 1}\n' * 3000 + b"{oops\n")
    assert info["tables"] == []
    assert info["unread"][0]["reason"].startswith("line 3,001 is no JSON: ")


@pytest.mark.parametrize("name", ["a__csv", "c__jsonl", "d__parquet"])
def test_what_changes_while_it_is_pushed_is_described_by_nobody(registry, tmp_path, monkeypatch, name):
    first = {"a__csv": b"id\n1\n", "c__jsonl": b'{"a": 1}\n', "d__parquet": make("parquet.plain")}[name]
    later = {"a__csv": b"id\n1\n2\n", "c__jsonl": b'{"a": 1}\n{"a": 2}\n', "d__parquet": b"PAR1" + make("parquet.plain")}[name]
    pushed(registry, tmp_path / "before", **{name: first})  # so that its contents are there, and not read again
    real = registry_module.upload

    def upload(blobs, artifact, path):
        done = real(blobs, artifact, path)
        (path / name.replace("__", ".")).write_bytes(later)
        return done

    monkeypatch.setattr(registry_module, "upload", upload)
    with pytest.raises(IntegrityError, match="changed while it was read"):
        pushed(registry, tmp_path / "d", **{name: first, "more__txt": b"so that it is another version"})
    assert [version.number for version in registry.versions(DATA)] == [1]
