"""Scratch folders are gone when the process is, wherever a Ctrl-C strikes."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stannary.core.errors import UsageError
from stannary.run import scratch

# Raises KeyboardInterrupt at the Nth line that Python runs in the module or in its caller, as a signal could.
STRUCK = """
import sys
from stannary.run import scratch

left = int(sys.argv[1])

def strike(frame, event, _):
    global left
    if frame.f_code.co_filename != scratch.__file__ and frame.f_code.co_name != "work":
        return None
    if event in ("line", "return"):
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
    return strike

def work():
    folder = scratch.make()
    try:
        open(folder + "/spilled", "w").close()
    finally:
        scratch.remove(folder)

try:
    sys.settrace(strike)
    work()
except KeyboardInterrupt:
    sys.settrace(None)
    print("struck")
finally:
    sys.settrace(None)
"""


@pytest.fixture(autouse=True)
def _base(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def run(source: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", source, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def test_a_folder_is_for_its_user_alone_and_goes_with_what_is_in_it(tmp_path):
    folder = Path(scratch.make())
    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (folder / "sub").mkdir()
    (folder / "sub" / "file").write_bytes(b"x")
    scratch.remove(str(folder))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    with pytest.raises(UsageError) as caught:
        scratch.make()
    assert caught.value.code == "SCAN003"


def test_nothing_is_left_at_whatever_line_a_ctrl_c_strikes(tmp_path):
    struck = 0
    while run(STRUCK, str(struck + 1)) == "struck\n":
        struck += 1
        assert list(tmp_path.iterdir()) == [], struck
    assert struck > 15  # making, using, removing: all of it was gone through
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_leaves_the_folders_of_its_parent_alone(tmp_path):
    source = """
import os, sys
from stannary.run import scratch
folder = scratch.make()
child = os.fork()
if child:
    os.waitpid(child, 0)
    print(os.path.isdir(folder))
sys.exit(0)
"""
    assert run(source) == "True\n"
    assert list(tmp_path.iterdir()) == []


def test_the_handler_of_ctrl_c_stays_as_it_was():
    before = signal.getsignal(signal.SIGINT)
    scratch.remove(scratch.make())
    assert signal.getsignal(signal.SIGINT) is before
