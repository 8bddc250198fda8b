"""What is written past the cache is what was given, of any length, in any pieces, and wherever that cannot be done."""

import errno
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stannary.store.blobs import direct_file
from stannary.store.blobs.direct_file import DirectFile


def written(path, pieces):
    with path.open("wb") as file:
        target = DirectFile(file.fileno())
        for piece in pieces:
            target.write(piece)
        target.flush()
        target.close()
    return path.read_bytes()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 70_000), max_size=6), st.sampled_from([4096, 8192, 65_536]))
def test_any_pieces_are_the_file(tmp_path_factory, lengths, buffer):
    path = tmp_path_factory.getbasetemp() / "direct"
    pieces = [os.urandom(length) for length in lengths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(direct_file, "_BUFFER", buffer)
        assert written(path, pieces) == b"".join(pieces)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, (4 << 20) - 1, 4 << 20, (4 << 20) + 4096, (9 << 20) + 3])
def test_lengths_at_the_edges_of_block_and_buffer(tmp_path, size):
    content = os.urandom(size)
    assert written(tmp_path / "f", [memoryview(content)]) == content


def test_memory_may_be_used_again_for_the_next_piece(tmp_path):
    memory, content = bytearray(300_000), b""

    def pieces():
        nonlocal content
        for number in range(40):
            memory[:] = bytes([number]) * len(memory)
            content += memory
            yield memoryview(memory)

    found = written(tmp_path / "f", pieces())
    assert found == content


@pytest.mark.parametrize("refused", ["flag", "write", "system"])
def test_where_it_cannot_be_done_it_is_written_as_ever(tmp_path, monkeypatch, refused):
    """A file system that does not take the flag, one that takes it and then no write, and a system that has none."""
    real_fcntl, real_write, calls = direct_file.fcntl.fcntl, os.write, []

    def fcntl(descriptor, command, *flags):
        if refused == "flag" and flags and flags[0] & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real_fcntl(descriptor, command, *flags)

    def write(descriptor, content):
        direct = real_fcntl(descriptor, direct_file.fcntl.F_GETFL) & os.O_DIRECT
        calls.append(bool(direct))
        if refused == "write" and direct:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real_write(descriptor, content)

    monkeypatch.setattr(direct_file.fcntl, "fcntl", fcntl)
    monkeypatch.setattr(direct_file.os, "write", write)
    if refused == "system":
        monkeypatch.setattr(direct_file, "_DIRECT", 0)
    content = os.urandom((9 << 20) + 3)
    assert written(tmp_path / "f", [content[: 5 << 20], content[5 << 20 :]]) == content
    assert sum(calls) == (refused == "write")


def test_a_disk_that_is_full_says_so(monkeypatch, tmp_path):
    def write(descriptor, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(direct_file.os, "write", write)
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path / "f", [bytes(5 << 20)])
