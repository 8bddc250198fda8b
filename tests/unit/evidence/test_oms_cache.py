"""The digest cache: saves reading, never changes what is signed, and believes nobody else."""

import os
import time
from pathlib import Path

import pytest

from stannary.crypto.keys import generate
from stannary.evidence.oms.cache import DigestCache
from stannary.evidence.oms.key import KeyMaterial, KeyTrust
from stannary.evidence.oms.manifest import parse_manifest
from stannary.evidence.oms.sign import SignOptions, sign_model
from stannary.evidence.oms.verify import examine_model

KEY = generate()
OLD = time.time() - 3600


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_text(name * 100)
    settle(folder)
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return DigestCache.of_user()


def settle(folder):
    """Let the files have been there for long, as the cache sees it: change times cannot be set, so the clock is waited for."""
    for path in folder.iterdir():
        os.utime(path, (OLD, OLD))
    time.sleep(2.1)


def sign(model, cache):
    made = sign_model(str(model), KeyMaterial(KEY), SignOptions(cache=cache))
    assert examine_model(str(model), made.bundle, KeyTrust(KEY.public)).outcome == "verified"
    return made


def test_what_did_not_change_is_not_read_again(model, cache):
    first, second = sign(model, cache), sign(model, cache)
    assert (first.cached, second.cached) == (0, 3)
    assert first.bundle.payload == second.bundle.payload
    (model / "b").write_text("other")
    third = sign(model, cache)
    assert third.cached == 2
    assert third.artifact != first.artifact


def test_a_file_that_was_just_written_is_not_believed_yet(tmp_path, cache):
    model = tmp_path / "fresh"
    model.mkdir()
    (model / "a").write_text("1")
    assert [sign(model, cache).cached for _ in range(2)] == [0, 0]


def test_the_same_size_and_modification_time_are_not_enough(model, cache):
    sign(model, cache)
    path = model / "a"
    before = path.stat()
    path.write_text("A" * 100)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert sign(model, cache).cached == 2


def test_a_file_that_was_replaced_is_read(model, cache):
    sign(model, cache)
    (model / "new").write_text("A" * 100)
    os.utime(model / "new", (OLD, OLD))
    (model / "new").replace(model / "a")
    assert sign(model, cache).cached == 2


def test_another_folder_is_another_model(model, cache, tmp_path):
    sign(model, cache)
    model.rename(tmp_path / "moved")
    assert sign(tmp_path / "moved", cache).cached == 0


def only_file(folder):
    return next(path for path in folder.rglob("*") if path.is_file())


def test_a_cache_that_was_changed_counts_for_nothing(model, cache, tmp_path):
    first = sign(model, cache)
    path = only_file(tmp_path / "cache")
    content = path.read_bytes()
    for position in range(0, len(content), max(len(content) // 40, 1)):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(bytes(changed))
        made = sign(model, cache)
        assert (made.cached, made.artifact) == (0, first.artifact)
    for odd in (b"", content[:20], content[:-1], content + b"x"):
        path.write_bytes(odd)
        assert sign(model, cache).cached == 0


def test_a_cache_of_somebody_else_counts_for_nothing(model, cache, tmp_path):
    sign(model, cache)
    only_file(tmp_path / "state").write_bytes(os.urandom(32))
    assert sign(model, cache).cached == 0
    assert sign(model, cache).cached == 3


def test_the_key_is_the_user_s_alone_and_is_not_in_the_cache(model, cache, tmp_path):
    sign(model, cache)
    key = only_file(tmp_path / "state")
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_bytes() not in only_file(tmp_path / "cache").read_bytes()
    key.write_bytes(b"half")
    assert sign(model, cache).cached == 0
    assert len(key.read_bytes()) == 32


def test_a_home_that_cannot_be_written_is_no_error(model, tmp_path):
    (tmp_path / "file").write_text("")
    cache = DigestCache(tmp_path / "file" / "cache", tmp_path / "file" / "key")
    assert [sign(model, cache).cached for _ in range(2)] == [0, 0]


def test_shards_do_not_use_it(model, cache):
    sign(model, cache)
    made = sign_model(str(model), KeyMaterial(KEY), SignOptions(cache=cache, shard_size=10))
    assert made.cached == 0
    assert len(parse_manifest(made.bundle.payload).resources) == 30


def test_nothing_that_verifies_knows_of_it():
    """By its source: the cache is imported where things are signed, and nowhere else."""
    import stannary.evidence.oms

    folder = Path(stannary.evidence.oms.__file__).parents[2]
    users = {str(path.relative_to(folder)) for path in folder.rglob("*.py") if "oms.cache" in path.read_text(encoding="utf-8")}
    assert users == {"cli/sign.py", "evidence/oms/sign.py"}
