"""A ledger whose writer is killed, again and again: what was acknowledged has to be there, in one history.

`crash_rounds` starts a writer (this module as a program: threads that append, and print what was
acknowledged), kills it with SIGKILL at a random moment, opens the ledger and looks. With a database the server
is restarted under the writer besides. `append_together`
has several such writers at it at once, and lets them finish.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from stannary.core.errors import BackendError
from stannary.crypto.keys import PrivateKey, generate, read_private
from stannary.evidence.ledger import Ledger, entry

__all__ = ["Outcome", "append_together", "crash_rounds"]

_ORIGIN = "example.com/crash"
_THREADS = 3


class Acknowledged(msgspec.Struct):
    """What a writer says of a batch when `append` has returned: the index of the first, the leaves, the signed head."""

    first: int
    leaves: list[str]
    size: int
    checkpoint: str


class Outcome(msgspec.Struct):
    """What happened: entries acknowledged and of those lost, entries in the end, heads that the last one does not continue.

    `doubled` are entries that are there more than once; `resumed` batches were acknowledged to a writer after a disturbance.
    """

    rounds: int = 0
    killed: int = 0
    disturbed: int = 0
    resumed: int = 0
    acknowledged: int = 0
    lost: list[int] = []
    doubled: int = 0
    entries: int = 0
    forks: int = 0
    deviations: list[str] = []


class _Place(msgspec.Struct, frozen=True):
    """A folder with the key and the memory of the head, and the ledger unless that is in a database."""

    folder: Path
    url: str = ""

    def key(self) -> PrivateKey:
        path = self.folder / "log.pem"
        if not path.exists():
            generate("ed25519").write(path, None)
        return read_private(path)

    def open(self) -> Ledger:
        key, file = self.key(), self.folder / "ledger.db"
        return Ledger.open(self.url or file, key, origin=_ORIGIN, verifier=key.public, head=f"{file}.head")

    def start(self, name: str, each: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", __name__, str(self.folder), self.url, name, each]
        return subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - this module


def crash_rounds(
    folder: Path, rounds: int, *, seed: int = 0, url: str = "", disturb: Callable[[], object] | None = None
) -> Outcome:
    """Kill a writer `rounds` times. The ledger is in `folder`, which may be empty (creation is interrupted too), or in a database.

    In every third round `disturb` does, before the writer is killed, what it has to outlive: it restarts the server.
    """
    place, outcome, choice = _Place(folder, url), Outcome(rounds=rounds), random.Random(seed)  # noqa: S311 - moments, no secrets
    place.key()
    kept: list[Acknowledged] = []
    for number in range(rounds):
        process = place.start(f"{number}", "0")
        if disturb is not None and number % 3 == 1:
            found = _disturbed(process, choice.uniform(0, 0.15), disturb, outcome)
        else:
            found = _collect(process, choice.uniform(0, 0.08) if number % 4 else None, choice.uniform(0.05, 0.5))
        outcome.killed += process.returncode == -signal.SIGKILL
        with place.open() as ledger:
            for batch in found:
                for index, leaf in enumerate(batch.leaves, batch.first):
                    if ledger.head().size <= index or ledger.prove(index).leaf != leaf:
                        outcome.lost.append(index)
            outcome.forks += sum(_forked(ledger, batch) for batch in kept[-3:] + found)
        outcome.acknowledged += sum(len(batch.leaves) for batch in found)
        kept += found
    _settle(place, kept, outcome)
    return outcome


def append_together(folder: Path, writers: int, each: int, *, url: str = "") -> Outcome:
    """Have several processes append to one ledger at the same time."""
    place, outcome = _Place(folder, url), Outcome()
    place.key()
    processes = [place.start(f"writer-{number}", str(each)) for number in range(writers)]
    found = [batch for process in processes for batch in _collect(process, None, 120)]
    outcome.acknowledged = sum(len(batch.leaves) for batch in found)
    places = {index for batch in found for index in range(batch.first, batch.first + len(batch.leaves))}
    outcome.lost = sorted(set(range(outcome.acknowledged)) - places)
    _settle(place, found, outcome)
    return outcome


def _settle(place: _Place, kept: list[Acknowledged], outcome: Outcome) -> None:
    """Hold the ledger in the end against everything that was acknowledged on the way."""
    with place.open() as ledger:
        leaves = [ledger.prove(index).leaf for index in range(ledger.head().size)]
        outcome.entries = len(leaves)
        outcome.doubled = len(leaves) - len({item.id for item in ledger.entries()})
        for batch in kept:
            outcome.lost += [n for n, leaf in enumerate(batch.leaves, batch.first) if n >= len(leaves) or leaves[n] != leaf]
        outcome.forks += sum(_forked(ledger, batch) for batch in kept)
        report = ledger.audit(deep=True)
    outcome.deviations = [item.message for item in report.deviations]


def _forked(ledger: Ledger, batch: Acknowledged) -> bool:
    from stannary.core.errors import IntegrityError

    try:
        ledger.verify_since(batch.checkpoint)
    except IntegrityError:
        return True
    return False


def _disturbed(
    process: subprocess.Popen[bytes], after_first: float, disturb: Callable[[], object], outcome: Outcome
) -> list[Acknowledged]:
    """Return what a writer acknowledged that was disturbed some time after its first line, and killed when it had gone on."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    lines: list[bytes] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()))
    reader.start()
    _wait(lambda: bool(lines), 100)
    time.sleep(after_first)
    disturb()
    outcome.disturbed += 1
    before = len(lines)
    _wait(lambda: len(lines) > before + 3, 100)
    process.kill()
    process.wait()
    reader.join()
    process.stdout.close()
    outcome.resumed += len(lines) - before
    return _decoded(lines)


def _wait(until: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        time.sleep(0.005)


def _collect(process: subprocess.Popen[bytes], after_first: float | None, limit: float) -> list[Acknowledged]:
    """Return what a writer acknowledged until it was killed: some time after its first line, or after `limit` seconds, or not."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    lines: list[bytes] = []

    def read() -> None:
        for line in process.stdout or ():
            if after_first is not None and not lines:
                threading.Timer(after_first, process.kill).start()
            lines.append(line)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        process.wait(timeout=100 if after_first is not None else limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    reader.join()
    process.stdout.close()
    return _decoded(lines)


def _decoded(lines: list[bytes]) -> list[Acknowledged]:
    return [msgspec.json.decode(line, type=Acknowledged) for line in lines if line.endswith(b"\n")]


def main(place: _Place, name: str, each: int) -> None:
    """Append from several threads, `each` batches a thread or for ever, and print the receipts of each batch as they come.

    A batch that failed because the database was away is not tried again: then it is there, or it is not, and never twice.
    """
    ledger, turn = place.open(), threading.Lock()

    def work(number: int) -> None:
        batch = 0
        while not each or batch < each:
            now = datetime.now(UTC)
            records = [entry("evidence", {"by": f"{name}/{number}", "n": [batch, i]}, time=now) for i in range(1 + batch % 4 * 40)]
            batch += 1
            try:
                receipts = ledger.append(records)
            except BackendError:
                continue
            leaves = [receipt.leaf for receipt in receipts]
            said = msgspec.json.encode(Acknowledged(receipts[0].index, leaves, receipts[0].size, receipts[0].checkpoint))
            with turn:
                sys.stdout.buffer.write(said + b"\n")
                sys.stdout.buffer.flush()

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()


if __name__ == "__main__":
    main(_Place(Path(sys.argv[1]), sys.argv[2]), sys.argv[3], int(sys.argv[4]))
