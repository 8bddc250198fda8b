"""Independent readers of transparency logs accept ours, and we accept what they write: aics-tlog and pymerkle."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stannary.core.errors import IntegrityError
from stannary.crypto import keys
from stannary.crypto.merkle import (
    Frontier,
    inclusion_proof,
    leaf_hash,
    tile_path,
    verify_consistency,
    verify_inclusion,
)
from stannary.crypto.note import VerifierKey, cosigned_at, open_checkpoint
from stannary.evidence.ledger import Ledger, entry
from stannary.evidence.ledger.entry import leaf_of
from stannary.evidence.ledger.witness import Quorum, Witness, request_for

PROGRAM = Path(__file__).parent / "programs" / "tlog.py"
NOW = datetime(2026, 3, 4, 5, 6, 7, 89, UTC)


@pytest.fixture
def tlog(oracles):
    def run(*arguments):
        done = subprocess.run([oracles / "python", PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def opened(folder, name, key):
    folder.mkdir()
    return Ledger.open(folder / "ledger.db", key, origin=name, verifier=key.public, clock=lambda: NOW)


def record(n):
    return entry("evidence", {"n": n, "text": "z" * (70_000 if n == 5 else 20)}, time=NOW)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 700, 70_000])
def test_a_log_of_ours_is_read_from_its_tiles(tlog, tmp_path, size):
    key, other = keys.generate("ed25519"), keys.generate("ed25519")
    with (
        opened(tmp_path / "log", "our.example/log", key) as log,
        opened(tmp_path / "witness", "our.example/witness", other) as memory,
    ):
        for start in range(0, size, 8000):
            log.append([record(n) for n in range(start, min(size, start + 8000))])
        witness = Witness("our.example/witness", other, memory, lambda: NOW)
        log.add_cosignature(log.head_note() + witness.sign(request_for(log), log.key), [witness.key])
        head = log.export_tiles(tmp_path / "tiles")
        found = tlog("read", tmp_path / "tiles", log.key, witness.key)
        assert "error" not in found, found
        assert (found["size"], found["root"], found["witnesses"]) == (size, head.root.hex(), ["our.example/witness"])
        tiles = [path for path in (tmp_path / "tiles" / "tile").rglob("*") if path.is_file()]
        assert found["tiles"] + found["bundles"] == len(tiles)
        for index, proof in found["proofs"].items():
            assert tuple(proof) == log.prove(int(index)).proof
            assert found["entries"][index].encode() == leaf_of(log.read(int(index)).record)[0]
        old, consistency = found["consistency"]
        assert [item.hex() for item in log.consistency(old)] == consistency


def test_a_tile_of_ours_that_was_changed_is_refused_by_the_reader(tlog, oracles, tmp_path):
    key = keys.generate("ed25519")
    with opened(tmp_path / "log", "our.example/log", key) as log:
        log.append([record(n) for n in range(300)])
        log.export_tiles(tmp_path / "tiles")
        path = tmp_path / "tiles" / tile_path("entries", 0)
        path.write_bytes(path.read_bytes().replace(b"zzz", b"zyz", 1))
        done = subprocess.run(
            [oracles / "python", PROGRAM, "read", tmp_path / "tiles", str(log.key), str(log.key)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0 or "error" in json.loads(done.stdout)
        with pytest.raises(IntegrityError) as refused:
            log.export_tiles(tmp_path / "tiles")
        assert refused.value.code == "LED002"


def test_a_log_of_theirs_is_accepted(tlog, tmp_path):
    theirs = tlog("write", tmp_path / "theirs", 300)
    log, witness = VerifierKey.parse(theirs["log"]), VerifierKey.parse(theirs["witness"])
    head, note = open_checkpoint(theirs["note"], log)
    assert (head.size, head.root.hex()) == (300, theirs["roots"][300])
    assert cosigned_at(note, [witness]) == {"their.example/witness": 1767000000}
    assert Quorum((witness,), 1).require(theirs["note"], log, NOW) == head
    for index, proof in enumerate(theirs["proofs"]):
        verify_inclusion(leaf_hash(b"entry %d" % index), index, 300, [bytes.fromhex(item) for item in proof], head.root)
    for size, proof in enumerate(theirs["consistency"]):
        verify_consistency(size, 300, bytes.fromhex(theirs["roots"][size]), head.root, [bytes.fromhex(item) for item in proof])
    with pytest.raises(IntegrityError):
        open_checkpoint(theirs["note"].replace("300", "301"), log)


def test_their_tiles_are_ours(tlog, tmp_path):
    """The same leaves give the same files, byte for byte."""
    tlog("write", tmp_path / "theirs", 600)
    frontier, nodes = Frontier(), {}
    for n in range(600):
        nodes |= {(level, index): value for level, index, value in frontier.append(leaf_hash(b"entry %d" % n))}
    for level, count in ((0, 600), (1, 2)):
        for n in range(-(-count // 256)):
            part = min(256, count - n * 256)
            expected = b"".join(nodes[8 * level, n * 256 + i] for i in range(part))
            assert (tmp_path / "theirs" / tile_path(level, n, part)).read_bytes() == expected, (level, n)


def test_pymerkle_builds_the_same_trees(tlog):
    frontier, nodes = Frontier(), {}

    def node(level, index):
        return nodes[level, index]

    for size, theirs in enumerate(tlog("heads", 130), 1):
        nodes.update({(level, index): value for level, index, value in frontier.append(leaf_hash(b"%d" % (size - 1)))})
        assert frontier.root().hex() == theirs["root"]
        for index, proof in enumerate(theirs["proofs"]):
            assert [item.hex() for item in inclusion_proof(index, size, node)] == proof
