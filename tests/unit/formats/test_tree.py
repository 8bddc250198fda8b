"""Artifacts on disk: the files of a folder, what is wrong with it, its identity."""

import os
import shutil
import socket
import subprocess
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stannary.core.errors import UsageError
from stannary.formats.hashing import BackgroundHasher, hash_bytes, hash_file
from stannary.formats.tree import artifact_of, dir_hash, list_tree

COMMAND = (
    r"find -L . \( -name .git -o -name .hg -o -name .svn \) -prune -o -type f -print0 |"
    r" cut -z -c3- | LC_ALL=C sort -z | xargs -0r sha256sum | sha256sum"
)


def make(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def kinds(tree):
    return sorted((problem.kind, problem.path) for problem in tree.problems)


def names(tree):
    return [entry.path for entry in tree.entries]


def identity(path):
    tree = list_tree(str(path))
    artifact = artifact_of(tree, {entry.path: hash_file(entry.real).sha256 for entry in tree.entries})
    return artifact.digest.hex if artifact else None


def printed(command, folder):
    return subprocess.run(["/bin/bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True).stdout.split()[0]


FILES = {
    "config.json": b"{}",
    "a b.txt": b"space",
    "sub/z.bin": b"\0" * 5000,
    "sub/deeper/ünï.txt": b"",
    "sub.txt": b"sorts between",
    "Z": b"capital",
    ".hidden/x": b"1",
    ".git/hooks/post-checkout": b"#!/bin/sh\n",
}


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs GNU coreutils to compare with")
class TestIdentity:
    def test_a_folder_is_what_the_documented_command_prints(self, tmp_path):
        make(tmp_path, FILES)
        (tmp_path / "link.txt").symlink_to("a b.txt")
        (tmp_path / "linked").symlink_to("sub")
        assert identity(tmp_path) == printed(COMMAND, tmp_path)

    def test_a_file_is_what_the_documented_command_prints(self, tmp_path):
        make(tmp_path, FILES)
        assert identity(tmp_path / "config.json") == printed("sha256sum config.json | sha256sum", tmp_path)


def test_identity_binds_names_and_contents(tmp_path):
    base = identity(make(tmp_path / "base", {"a": b"1", "b": b"2"}))
    assert identity(make(tmp_path / "same", {"b": b"2", "a": b"1"})) == base
    for number, other in enumerate(({"a": b"2", "b": b"1"}, {"a": b"1", "c": b"2"}, {"a": b"1"}, {"a": b"1", "b": b"2", "c": b""})):
        assert identity(make(tmp_path / str(number), other)) != base


@given(st.dictionaries(st.text(min_size=1), st.binary(), min_size=1))
def test_dir_hash_does_not_depend_on_order(files):
    pairs = [(name, hash_bytes(content)) for name, content in files.items() if name.isprintable()]
    assert dir_hash(pairs) == dir_hash(reversed(pairs))


def test_version_control_is_left_out_and_said_so(tmp_path):
    tree = list_tree(str(make(tmp_path, FILES)))
    assert not any(name.startswith(".git") for name in names(tree))
    assert [skip.path for skip in tree.skipped] == [".git"]
    assert "version control" in tree.skipped[0].reason


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside", "/nowhere/at/all"])
def test_a_link_out_of_the_tree_is_a_problem_and_the_rest_is_read(tmp_path, target):
    (tmp_path / "outside").write_text("x")
    root = make(tmp_path / "root", {"a": b"1", "sub/b": b"2"})
    (root / "link").symlink_to(target)
    tree = list_tree(str(root))
    assert kinds(tree) == [("escape", "link")]
    assert names(tree) == ["a", "sub/b"]
    assert identity(root) is None


def test_a_linked_folder_out_of_the_tree_is_not_entered(tmp_path):
    make(tmp_path / "outside", {"secret": b"1"})
    root = make(tmp_path / "root", {"a": b"1"})
    (root / "sub").symlink_to("../outside")
    assert kinds(list_tree(str(root))) == [("escape", "sub")]


def test_a_folder_whose_name_only_begins_like_the_root_is_outside(tmp_path):
    make(tmp_path / "root-evil", {"x": b"1"})
    root = make(tmp_path / "root", {"a": b"1"})
    (root / "link").symlink_to("../root-evil/x")
    assert kinds(list_tree(str(root))) == [("escape", "link")]


def test_links_inside_are_followed_under_both_names(tmp_path):
    root = make(tmp_path, {"checkpoint-1/w.bin": b"1"})
    (root / "latest").symlink_to("checkpoint-1")
    (root / "w.bin").symlink_to("latest/w.bin")
    tree = list_tree(str(root))
    assert tree.problems == ()
    assert names(tree) == ["checkpoint-1/w.bin", "latest/w.bin", "w.bin"]
    assert all(entry.real == str(root / "checkpoint-1/w.bin") for entry in tree.entries)


def test_circles_and_dangling_links_end(tmp_path):
    root = make(tmp_path, {"a/x": b"1"})
    (root / "a" / "up").symlink_to("..")
    (root / "self").symlink_to("self")
    (root / "gone").symlink_to("nothing")
    (root / "b").mkdir()
    (root / "a" / "to_b").symlink_to("../b")
    (root / "b" / "to_a").symlink_to("../a")
    tree = list_tree(str(root))
    assert {kind for kind, _ in kinds(tree)} <= {"loop", "dangling"}
    assert ("dangling", "gone") in kinds(tree)
    assert ("loop", "a/up") in kinds(tree)
    assert "a/x" in names(tree)
    assert len(tree.entries) < 20


def test_the_cache_of_a_hub_is_read_through_its_snapshots(tmp_path):
    repo = make(tmp_path / "models--org--name", {"blobs/abc": b"{}", "blobs/def": b"w", "blobs/orphan": b"o", "refs/main": b"rev"})
    snapshot = repo / "snapshots" / "rev"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../blobs/abc")
    (snapshot / "model.bin").symlink_to("../../blobs/def")
    inside = list_tree(str(snapshot))
    assert inside.problems == ()
    assert names(inside) == ["config.json", "model.bin"]
    assert str(repo / "blobs") in inside.granted
    whole = list_tree(str(repo))
    assert names(whole) == ["blobs/orphan", "refs/main", "snapshots/rev/config.json", "snapshots/rev/model.bin"]
    assert sorted(skip.path for skip in whole.skipped) == ["blobs/abc", "blobs/def"]
    (snapshot / "evil").symlink_to("../../refs/main")
    assert kinds(list_tree(str(snapshot))) == [("escape", "evil")]


def test_names_that_mislead(tmp_path):
    for name in ("new\nline", "esc\x1b[2K", "rtl\u202egnp.exe", "zero\u200bwidth", "back\\slash"):
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "fine é ü 模型.bin").write_bytes(b"1")
    (tmp_path / os.fsdecode(b"\xff\xfe")).write_bytes(b"1")
    found = kinds(list_tree(str(tmp_path)))
    assert [kind for kind, _ in found] == ["encoding"] + ["name"] * 5
    assert identity(tmp_path) is None


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        (tmp_path / "to_pipe").symlink_to("pipe")
        tree = list_tree(str(tmp_path))
    assert kinds(tree) == [("special", "pipe"), ("special", "socket"), ("special", "to_pipe")]
    assert tree.entries == ()


def test_names_that_differ_by_case_are_said_but_do_not_cost_the_identity(tmp_path):
    make(tmp_path, {"Config.json": b"1", "config.json": b"2"})
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system folds case")
    assert kinds(list_tree(str(tmp_path))) == [("collision", "config.json")]
    assert identity(tmp_path)


def test_what_is_too_much_is_cut_and_said(tmp_path):
    make(tmp_path, {f"{n:03}": b"" for n in range(50)})
    assert ("limit", ".") in kinds(list_tree(str(tmp_path), most_files=10))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_cannot_be_listed_is_a_problem(tmp_path):
    make(tmp_path, {"sub/x": b"1"})
    (tmp_path / "sub").chmod(0)
    assert kinds(list_tree(str(tmp_path))) == [("unreadable", "sub")]
    (tmp_path / "sub").chmod(0o700)


def test_a_path_with_nothing_to_read_is_a_usage_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("nothing", "pipe"):
        with pytest.raises(UsageError):
            list_tree(str(tmp_path / name))


# Hashing


@pytest.mark.parametrize("size", [0, 1, 1000, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 3_000_000])
def test_files_are_hashed_whatever_their_size(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "x").write_bytes(content)
    hashed = hash_file(str(tmp_path / "x"))
    assert (hashed.sha256, hashed.problem) == (hash_bytes(content), "")
    assert hashed.identity.size == size


def test_links_and_missing_files_are_not_hashed(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    (tmp_path / "link").symlink_to("x")
    os.mkfifo(tmp_path / "pipe")
    assert hash_file(str(tmp_path / "link")).problem
    assert hash_file(str(tmp_path / "pipe")).problem == "is not a regular file"
    assert hash_file(str(tmp_path / "nothing")).problem == "cannot be opened: No such file or directory"


def test_a_file_that_changes_meanwhile_has_no_hash(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"x" * (1 << 20))

    def disturb(_):
        with path.open("ab") as file:
            file.write(b"more")
        return True

    assert hash_file(str(path), disturb).problem == "changed while it was read"


def test_threads_hash_everything_once(tmp_path):
    for number in range(20):
        (tmp_path / str(number)).write_bytes(bytes([number]) * 500_000)
    hasher = BackgroundHasher(3)
    for number in range(20):
        hasher.add(number, str(tmp_path / str(number)))
    found = {}
    while hasher.pending:
        hasher.wait(0.05)
        found.update(hasher.take())
    assert {n: h.sha256 for n, h in found.items()} == {n: hash_bytes(bytes([n]) * 500_000) for n in range(20)}
    assert hasher.bytes == 20 * 500_000
    hasher.add(99, str(tmp_path / "0"))
    while hasher.pending:
        hasher.wait(0.05)
        found.update(hasher.take())
    assert found[99].sha256 == found[0].sha256


def test_hashing_can_be_stopped(tmp_path):
    with (tmp_path / "x").open("wb") as file:
        file.truncate(4 << 30)
    before = set(threading.enumerate())  # servers of other tests may still have some
    hasher = BackgroundHasher(1)
    hasher.add(0, str(tmp_path / "x"))
    hasher.stop()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()
    assert hasher.bytes < 4 << 30


def test_what_version_control_runs_is_read_and_changes_no_identity(tmp_path):
    hooks = {".git/hooks/pre-commit.sample": b"#!/bin/sh\n", ".git/config": b"[core]\n", ".git/objects/ab/cd": b"x"}
    folder = make(tmp_path, FILES | hooks)
    (folder / ".git/hooks/post-merge").symlink_to("/bin/true")
    plain, read = list_tree(str(folder)), list_tree(str(folder), control=True)
    assert read.control == {".git/config", ".git/hooks/post-checkout"} == set(names(read)) - set(names(plain))
    assert read.size == plain.size
    hashes = {entry.path: hash_bytes((folder / entry.path).read_bytes()) for entry in read.entries}
    assert artifact_of(read, hashes) == artifact_of(plain, hashes)
