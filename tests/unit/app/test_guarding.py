"""What a guarded process leaves behind is read as what it is: the bytes of a file, and nothing that it points to."""

from __future__ import annotations

import os

import pytest

from stannary.app.guarding import left_behind, listened, served


def test_a_file_is_read_up_to_what_is_asked_for(tmp_path) -> None:
    (tmp_path / "made").write_bytes(b"model" * 100)
    assert left_behind(tmp_path / "made") == b"model" * 100
    assert left_behind(tmp_path / "made", 7) == b"modelmo"


def test_a_link_a_pipe_and_a_folder_are_not_followed(tmp_path) -> None:
    (tmp_path / "secret").write_text("of the caller")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")  # opened as usual, it would hold the caller for ever
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder", "absent"):
        with pytest.raises(OSError, match=name):
            left_behind(tmp_path / name)


def test_how_far_a_process_is_is_said_once_for_each_thing_that_it_says(tmp_path) -> None:
    heard: list[str] = []
    say, said = served(str(tmp_path)), ""
    said = listened(tmp_path / "progress", heard.append, said)
    for text in ("reading", "reading", "training", "training", "training", "reading"):
        say(text)
        said = listened(tmp_path / "progress", heard.append, said)
    assert heard == ["reading", "training", "reading"]
    say("\x1b[2Jgone")
    listened(tmp_path / "progress", heard.append, said)
    assert "\x1b" not in heard[-1]
