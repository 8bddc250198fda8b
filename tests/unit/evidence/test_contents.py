"""Where a workspace keeps contents: folders, buckets, encrypted or not; whose keys open them."""

import hashlib
import json

import msgspec
import pytest

from stannary.app import open_blobs
from stannary.core.errors import IntegrityError, UsageError
from stannary.core.model import Digest
from stannary.crypto.envelope import Envelopes, new_namespace
from stannary.crypto.wrapping import WrappingKey
from stannary.evidence import contents
from stannary.evidence.contents import begin_contents, turn_contents
from stannary.evidence.workspace import Workspace
from stannary.store.blobs.folder import FolderObjects

CONTENT = b"tin" * 20_000
DIGEST = Digest(hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def workspace(tmp_path):
    for name in ("one", "two", "three"):
        WrappingKey.generate().write(tmp_path / name, None)
    return Workspace.create(tmp_path, passphrase=None, origin="example.com/contents")


def again(workspace):
    return Workspace(workspace.root)


def put(workspace):
    blobs = open_blobs(workspace).of("default", begin=True)
    blobs.put(DIGEST, len(CONTENT), [CONTENT])
    return read(again(workspace)) == CONTENT


def read(workspace):
    return b"".join(open_blobs(workspace).of("default").read(DIGEST))


def of_before(workspace, keys):
    """Make of a new workspace what encrypted ones were before namespaces had keys: one key, of everything."""
    outer = Envelopes([workspace.wrapper(key) for key in keys])
    (workspace.root / "keys" / "contents.json").write_bytes(new_namespace(workspace.settings.origin, outer))
    workspace.keep_contents("", keys, "")


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_contents_are_in_the_workspace_as_they_are_unless_something_else_is_said(workspace):
    assert put(workspace)
    assert any(path.read_bytes() == CONTENT for path in files(workspace.root / "blobs"))


def test_reading_makes_nothing(workspace):
    assert not open_blobs(workspace).of("default").has(DIGEST)
    assert list(open_blobs(workspace).of("default").digests()) == []
    assert not (workspace.root / "blobs").exists()


def test_encrypted_contents_in_another_folder(workspace, tmp_path):
    begin_contents(workspace, str(tmp_path / "elsewhere"), (str(tmp_path / "one"), str(tmp_path / "two")))
    assert put(workspace)
    assert files(tmp_path / "elsewhere")
    assert all(b"tintin" not in path.read_bytes() for path in files(tmp_path) if path.is_file())
    assert (workspace.root / "keys").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in files(workspace.root / "keys" / "namespaces")] == ["default.json"]
    (tmp_path / "one").unlink()
    settings = msgspec.structs.replace(workspace.settings, wrapping_keys=(str(tmp_path / "two"),))
    (workspace.root / "workspace.json").write_bytes(msgspec.json.encode(settings))
    assert read(again(workspace)) == CONTENT


@pytest.fixture(params=["by namespace", "all at once"])
def begun(request, workspace, tmp_path):
    """Return a workspace whose contents one key opens, as they are made now, and as they were before namespaces had keys."""
    if request.param == "by namespace":
        begin_contents(workspace, "", (str(tmp_path / "one"),))
    else:
        of_before(workspace, (str(tmp_path / "one"),))
    return workspace


def key_file(workspace):
    folder = workspace.root / "keys"
    return folder / (f"namespaces/{'default.json'}" if workspace.settings.namespace_keys else "contents.json")


def test_other_keys_open_the_contents_and_those_of_before_no_more(begun, tmp_path):
    workspace = begun
    assert put(workspace)
    before = {path: path.read_bytes() for path in files(workspace.root / "blobs")}
    turn_contents(workspace, (str(tmp_path / "two"), str(tmp_path / "three")))
    (tmp_path / "one").unlink()
    assert read(again(workspace)) == CONTENT
    assert before == {path: path.read_bytes() for path in files(workspace.root / "blobs")}
    document = json.loads(key_file(workspace).read_text())
    rows = document["keys"][0]["keys"] if "namespace" in document else document["keys"]
    assert len(rows) == 2


@pytest.mark.parametrize("step", range(3))
def test_turning_keys_may_be_interrupted_anywhere(begun, tmp_path, monkeypatch, step):
    workspace = begun
    assert put(workspace)
    done = 0

    def interrupted(function):
        def call(*arguments):
            nonlocal done
            if done == step:
                raise KeyboardInterrupt
            done += 1
            return function(*arguments)

        return call

    monkeypatch.setattr(contents, "write_durably", interrupted(contents.write_durably))
    monkeypatch.setattr(FolderObjects, "replace", interrupted(FolderObjects.replace))
    monkeypatch.setattr(Workspace, "keep_contents", interrupted(Workspace.keep_contents))
    with pytest.raises(KeyboardInterrupt):
        turn_contents(workspace, (str(tmp_path / "two"),))
    monkeypatch.undo()
    assert read(again(workspace)) == CONTENT
    turn_contents(again(workspace), (str(tmp_path / "two"),))
    (tmp_path / "one").unlink()
    assert read(again(workspace)) == CONTENT


def test_contents_are_unreadable_without_their_key(begun, tmp_path):
    workspace = begun
    assert put(workspace)
    key_file(workspace).unlink()
    with pytest.raises(UsageError, match="unreadable") as raised:
        read(again(workspace))
    assert raised.value.code == "WSP008"


def test_the_key_of_another_workspace_does_not_open(workspace, tmp_path):
    begin_contents(workspace, "", (str(tmp_path / "one"),))
    other = Workspace.create(tmp_path / "other", passphrase=None)
    begin_contents(other, "", (str(tmp_path / "one"),))
    assert put(workspace)
    assert put(other)
    key_file(workspace).chmod(0o600)
    key_file(workspace).write_bytes(key_file(other).read_bytes())
    with pytest.raises(IntegrityError):
        read(workspace)


def test_the_key_of_another_workspace_of_before_does_not_open(workspace, tmp_path):
    of_before(workspace, (str(tmp_path / "one"),))
    other = Workspace.create(tmp_path / "other", passphrase=None)
    of_before(other, (str(tmp_path / "one"),))
    (workspace.root / "keys" / "contents.json").write_bytes((other.root / "keys" / "contents.json").read_bytes())
    with pytest.raises(IntegrityError):
        open_blobs(workspace)


def test_contents_that_are_there_stay_where_they_are(workspace, tmp_path):
    with pytest.raises(UsageError, match="not encrypted"):
        turn_contents(workspace, (str(tmp_path / "one"),))
    put(workspace)
    with pytest.raises(UsageError, match="has contents already"):
        begin_contents(workspace, "", (str(tmp_path / "one"),))
    other = Workspace.create(tmp_path / "other", passphrase=None)
    with pytest.raises(UsageError, match="of another workspace"):
        begin_contents(other, str(workspace.root / "blobs"), ())


def test_no_socket_is_opened_when_offline(workspace, tmp_path):
    workspace.offline = True
    for place, keys in (("s3://bucket/x", ()), ("", ("awskms:///alias/x",))):
        with pytest.raises(UsageError, match="no socket"):
            begin_contents(workspace, place, keys)


def test_a_token_s_library_is_not_named_by_a_workspace(workspace):
    with pytest.raises(UsageError, match="module-path"):
        begin_contents(workspace, "", ("pkcs11:object=k?module-path=/evil.so",))
