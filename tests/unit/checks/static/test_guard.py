"""The load guard: what the scanner would object to is refused, by file and by name; the rest loads."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

import stannary
from stannary import LoadRefused
from stannary.core.errors import UsageError
from stannary.testing.forges import make

EXEC = make("pickle.rule_exec")
PLAIN = make("pickle.plain")


def save(folder: Path, content: bytes, name: str = "model.pkl") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_hostile_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = save(tmp_path, EXEC)
    with stannary.guard(), pytest.raises(LoadRefused, match="PKL001") as refused:
        path.open("rb")
    assert refused.value.findings[0].rule == "PKL001"


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no shared memory that is a folder")
def test_a_hostile_file_in_shared_memory_is_refused_too() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = save(Path(folder), EXEC)
        with stannary.guard(), pytest.raises(LoadRefused, match="PKL001"):
            path.open("rb")
    with stannary.guard():
        assert Path("/dev/null").read_bytes() == b""


def test_a_hostile_stream_without_a_file_is_refused_by_name() -> None:
    with stannary.guard(), pytest.raises(LoadRefused, match="runs a command"):
        pickle.loads(EXEC)
    with stannary.guard(), pytest.raises(LoadRefused):
        pickle._Unpickler(io.BytesIO(EXEC)).load()


def test_what_is_clean_loads(tmp_path: Path) -> None:
    with stannary.guard():
        with save(tmp_path, PLAIN).open("rb") as file:
            assert pickle.load(file)["name"] == "plain"
        assert pickle.loads(PLAIN)["ok"] is True


def test_outside_the_block_nothing_is_guarded(tmp_path: Path) -> None:
    with stannary.guard():
        pass
    assert pickle.loads(pickle.dumps(os.getcwd))() == str(Path.cwd())
    assert save(tmp_path, EXEC).read_bytes() == EXEC


def test_another_thread_is_not_guarded() -> None:
    seen: list[object] = []
    with stannary.guard():
        thread = threading.Thread(target=lambda: seen.append(pickle.loads(pickle.dumps(os.getcwd))))
        thread.start()
        thread.join()
    assert seen == [os.getcwd]


def test_starting_a_process_in_the_block_is_refused() -> None:
    with stannary.guard(), pytest.raises(LoadRefused, match=r"subprocess\.Popen"):
        subprocess.run(["true"], check=False)


def test_names_of_ones_own_are_allowed() -> None:
    content = b"\x80\x04cmimetypes\nMimeTypes\n."
    with stannary.guard(), pytest.raises(LoadRefused):
        pickle.loads(content)
    with stannary.guard(allow=("mimetypes.",)):
        assert pickle.loads(content).__name__ == "MimeTypes"


def test_what_was_not_read_is_refused_unless_asked_for(tmp_path: Path) -> None:
    path = save(tmp_path, b"\x80\x04]" + b"\xff", "broken.pkl")
    with stannary.guard(), pytest.raises(LoadRefused, match="completely"):
        path.read_bytes()
    with stannary.guard(incomplete=True):
        assert path.read_bytes()


def test_safe_load_loads_the_bytes_it_scanned(tmp_path: Path) -> None:
    assert stannary.safe_load(save(tmp_path, PLAIN))["shape"] == (2, 3)
    with pytest.raises(LoadRefused):
        stannary.safe_load(save(tmp_path, EXEC, "bad.pkl"))
    with pytest.raises(UsageError, match="no loader"):
        stannary.safe_load(save(tmp_path, b'{"a": 1}', "a.json"))


def test_a_refusal_says_what_to_do_next(tmp_path: Path) -> None:
    path = save(tmp_path, EXEC)
    with pytest.raises(LoadRefused) as refused:
        stannary.safe_load(path)
    assert refused.value.help == f"stannary scan {path}"
    assert refused.value.exit_code == 1
