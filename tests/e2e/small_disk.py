"""A real file system of a few MiB, in a mount namespace of its own, and a script that works on it by the command line."""

import json
import os
import subprocess
import sys

# `disk` is the small one, `roomy` a folder with all the room there is. What the small one holds is gone with the process.
_PRELUDE = """
import json, os, shutil, subprocess, sys
from pathlib import Path
disk, roomy, given = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])

def ask(*line, code=None, at=None):
    command = [sys.executable, "-m", "stannary", *map(str, line)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=at)
    if code is not None and done.returncode != code:
        sys.exit(f"{line}: {done.returncode} {done.stdout} {done.stderr}")
    return done

def fill(room):
    free = os.statvfs(disk)
    with open(disk / "filler", "wb") as file:
        file.write(b"x" * max(0, free.f_bavail * free.f_frsize - room))

def empty():
    os.unlink(disk / "filler")

"""


def on_small_disk(folder, script, **given):
    """Run a script on a file system of 12 MiB; return what it printed, a value of JSON a line. `given` is there by that name."""
    disk, roomy = folder / "disk", folder / "roomy"
    disk.mkdir()
    roomy.mkdir()
    private = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-Urm"]
    mount = 'mount -t tmpfs -o size=12m none "$1" && exec "$2" -c "$3" "$1" "$4" "$5"'
    command = [*private, "sh", "-c", mount, "sh", str(disk), sys.executable, _PRELUDE + script, str(roomy), json.dumps(given)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STANNARY_")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_says_full(said):
    """Hold an error against what one of a full disk has to say: an error of ours, about which file, and that there is no room."""
    assert "Traceback" not in said, said
    assert "error[" in said, said
    assert any(word in said.lower() for word in ("full", "space", "room")), said
    assert "disk/" in said.splitlines()[0], said
