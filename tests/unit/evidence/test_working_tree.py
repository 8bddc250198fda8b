"""What a working tree has beside its commit is named by a digest that anybody can make again."""

import hashlib
import os
import subprocess

import pytest

from stannary.core.errors import UsageError
from stannary.evidence import working_tree
from stannary.evidence.working_tree import code_at

WHO = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "ml"
    (root / "pkg").mkdir(parents=True)
    for name, text in (("train.py", "pass\n"), ("pkg/a.py", "a\n"), ("pkg/b.py", "b\n"), (".gitignore", "*.log\n")):
        (root / name).write_text(text)
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run(["git", "-C", root, *WHO, *arguments], check=True)
    return root


def test_a_clean_tree_has_no_changes_and_what_git_ignores_is_none(tree):
    assert code_at(tree).changes is None
    (tree / "run.log").write_text("ignored")
    found = code_at(tree)
    assert found.changes is None
    assert found.resource.name == "ml"


def test_the_digest_is_what_sha256sum_says(tree):
    (tree / "train.py").write_text("changed\n")
    (tree / "staged.py").write_text("staged\n")
    subprocess.run(["git", "-C", tree, "add", "staged.py"], check=True)
    (tree / "new folder").mkdir()
    (tree / "new folder" / "ünknown.py").write_text("new\n")
    (tree / "new folder" / "back\\slash\nline").write_text("odd\n")
    script = "git status --porcelain -z -uall --no-renames | cut -zc4- | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    told = subprocess.run(["sh", "-c", script], cwd=tree, capture_output=True, text=True, check=True).stdout
    changes = code_at(tree).changes
    assert changes is not None
    assert changes.digest == {"sha256": told.split()[0]}
    assert [row.path for row in changes.files] == ["new folder/back\\slash\nline", "new folder/ünknown.py", "staged.py", "train.py"]


def test_a_deleted_file_and_one_that_is_staged_are_in_it(tree):
    (tree / "pkg" / "b.py").unlink()
    (tree / "pkg" / "c.py").write_text("c\n")
    subprocess.run(["git", "-C", tree, "add", "pkg/c.py"], check=True)
    lines = f"-  pkg/b.py\n{hashlib.sha256(b'c' + bytes([10])).hexdigest()}  pkg/c.py\n"
    changes = code_at(tree).changes
    assert changes is not None
    assert changes.digest == {"sha256": hashlib.sha256(lines.encode()).hexdigest()}
    assert changes.files[0].sha256 == ""


def test_every_change_gives_another_digest(tree):
    seen = set()
    for path, text in (("train.py", "1"), ("train.py", "2"), ("pkg/a.py", "1"), ("other.py", "1"), ("other.py", "2")):
        (tree / path).write_text(text)
        changes = code_at(tree).changes
        assert changes is not None
        seen.add(changes.digest["sha256"])
    (tree / "link").symlink_to("train.py")
    with_link = code_at(tree).changes
    assert with_link is not None
    assert len(seen | {with_link.digest["sha256"]}) == 6


def test_many_files_are_counted_and_the_digest_has_them_all(tree):
    for number in range(working_tree._LISTED + 5):  # the limit itself
        (tree / f"n{number}").write_text("x")
    first = code_at(tree).changes
    assert first is not None
    assert (len(first.files), first.omitted) == (working_tree._LISTED, 5)
    (tree / "zz").write_text("x")
    second = code_at(tree).changes
    assert second is not None
    assert second.digest != first.digest


def test_what_cannot_be_told_is_an_error_and_no_clean_tree(tree):
    (tree / ".git" / "index").write_bytes(b"not an index")
    with pytest.raises(UsageError, match="what is not committed cannot be stated") as caught:
        code_at(tree)
    assert caught.value.code == "TRN004"


def test_a_changed_file_that_cannot_be_read_is_an_error(tree):
    (tree / "train.py").unlink()
    os.mkfifo(tree / "train.py")
    with pytest.raises(UsageError, match="cannot be stated") as caught:
        code_at(tree)
    assert caught.value.where == str(tree / "train.py")
