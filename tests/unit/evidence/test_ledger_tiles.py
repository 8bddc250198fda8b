"""An export that is killed at any of its writes: what is published stays right, and the next one cleans up and finishes."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from stannary.crypto import keys
from stannary.crypto.note import open_checkpoint
from stannary.evidence.ledger import Ledger, entry
from stannary.evidence.ledger.log_keys import LogKeys
from stannary.evidence.ledger.replay import follow_into

KEY = keys.generate("ed25519")
ORIGIN = "example.com/tiles"
WHILE_WRITING, WHILE_FLUSHING = (1, 2, 5), (8, 9, 10)  # files, then the folders that they are in
EXPORT = """
import os, sys
from pathlib import Path
from stannary.crypto.keys import read_public
from stannary.evidence.ledger import Ledger
folder, at, real, count = Path(sys.argv[1]), int(sys.argv[2]), os.fsync, 0
def dies(descriptor):
    global count
    count += 1
    if count == at: os.kill(os.getpid(), 9)
    real(descriptor)
os.fsync = dies
with Ledger.open(folder / "ledger.db", None, origin="example.com/tiles", verifier=read_public(folder / "key.pub")) as ledger:
    ledger.export_tiles(folder / "tiles")
"""


def left(folder):
    return [path for path in folder.rglob(".tile-*") if path.is_file()]


@pytest.mark.parametrize("at", [*WHILE_WRITING, *WHILE_FLUSHING])
def test_an_export_that_is_killed_is_finished_by_the_next(tmp_path, at):
    (tmp_path / "key.pub").write_bytes(KEY.public.pem())
    with Ledger.open(tmp_path / "ledger.db", KEY, origin=ORIGIN, verifier=KEY.public) as ledger:
        ledger.append([entry("evidence", {"n": n}, time=datetime.now(UTC)) for n in range(300)])
        first = ledger.export_tiles(tmp_path / "tiles")
        ledger.append([entry("evidence", {"n": n, "text": "z" * 70_000 * (n == 9)}, time=datetime.now(UTC)) for n in range(400)])
        killed = subprocess.run([sys.executable, "-c", EXPORT, tmp_path, str(at)], env={**os.environ}, check=False)
        assert killed.returncode == -signal.SIGKILL
        assert len(left(tmp_path)) == (at in WHILE_WRITING)
        published = open_checkpoint((tmp_path / "tiles" / "checkpoint").read_bytes(), ledger.key)[0]
        assert published in (first, ledger.head())
        copied = follow_into(tmp_path / f"{at}.db", tmp_path / "tiles", LogKeys(ledger.key), tmp_path / f"{at}.head")
        assert copied == published, "what is published can be read as a whole"
        assert ledger.export_tiles(tmp_path / "tiles") == ledger.head()
        assert not left(tmp_path)
    whole = follow_into(tmp_path / f"{at}.db", tmp_path / "tiles", LogKeys(ledger.key), tmp_path / f"{at}.head")
    assert whole.size == 700
