"""What encrypted blobs cost: sealing and opening, a range out of 10 GB, another key for 10 GB; beside age and plain blobs.

./dev bench store encryption [--small]

Reading is from the system's cache, but for the row that says otherwise.
Everything is one thread, so CPU seconds (user and system) are a core's. age is pyrage (rage), in an environment of its own under
`.venv-peers/`. The object of 10 GB is a file of that length with holes: its header, and the chunks that are read, are real.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stannary.core.model import Digest
from stannary.crypto.chunked import BLOCK, HEADER, Message, _Scratch, sealed_size
from stannary.crypto.envelope import Envelopes
from stannary.crypto.wrapping import WrappingKey
from stannary.store.blobs.encrypted import EncryptedBlobs, _for_key, _for_message
from stannary.store.blobs.folder import FolderBlobs, FolderObjects
from stannary.store.blobs.interface import blob_name

ROOT = Path(__file__).resolve().parents[2]
PEER = ROOT / ".venv-peers" / "pyrage"
PYRAGE = "pyrage==1.4.0"
MIB = 1 << 20
ROUNDS = 5
KEY = bytes(range(32))

AGE = """
import io, os, sys, time, pyrage
size = int(sys.argv[1]) << 20
identity = pyrage.x25519.Identity.generate()
plain = io.BytesIO(os.urandom(1 << 20) * (size >> 20))
for _ in range(int(sys.argv[2])):
    sealed, opened = io.BytesIO(), io.BytesIO()
    plain.seek(0)
    a = time.process_time()
    pyrage.encrypt_io(plain, sealed, [identity.to_public()])
    b = time.process_time()
    sealed.seek(0)
    pyrage.decrypt_io(sealed, opened, [identity])
    print(b - a, time.process_time() - b)
    assert opened.tell() == size
"""


def median(values):
    return sorted(values)[len(values) // 2]


def timed(work):
    """Return CPU seconds and seconds by the clock of one call."""
    before, started = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - before, time.perf_counter() - started


def drained(chunks):
    for _ in chunks:
        pass


def fetch(folder):
    """Have the files in the system's cache."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb", buffering=0) as file:
            while file.read(MIB):
                pass


def forget(folder):
    """Have none of them there."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def age(size):
    """Return the median CPU seconds of age's encrypting and decrypting, or why there are none."""
    python = PEER / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEER)], check=True)
        done = subprocess.run([str(python), "-m", "pip", "install", "-q", PYRAGE], capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(PEER)
            return None, f"not installed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1][:100]}"
    environment = {**os.environ, "PYTHONPATH": ""}
    command = [str(python), "-c", AGE, str(size), str(ROUNDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    rows = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    return tuple(median([row[n] for row in rows]) for n in (0, 1)), ""


def throughput(folder, size):
    """Measure in turn, so that what else runs on the machine is in every row alike."""
    piece = os.urandom(MIB)
    content = [piece] * size
    digest = hashlib.sha256()
    drained(digest.update(chunk) or chunk for chunk in content)
    name = Digest(digest.hexdigest())
    sealed = [bytes(part) for part in Message(KEY, b"").seal(content)]
    opener = Message(KEY, b"", sealed[0])
    body = b"".join(sealed[1:])
    parts = [body[n : n + MIB] for n in range(0, len(body), MIB)]
    plain = FolderBlobs(folder / "plain")
    encrypted = EncryptedBlobs(FolderObjects(folder / "sealed"), Envelopes([WrappingKey(KEY)]))

    def put(blobs):
        blobs.delete(name)
        blobs.put(name, size * MIB, content)

    rows = {
        "seal": lambda: drained(Message(KEY, b"").seal(content, lent=True)),
        "open": lambda: drained(opener.unseal(parts)),
        "SHA-256 alone": lambda: [digest.update(chunk) for chunk in content],
        "put, plain: digest, file": lambda: put(plain),
        "put, encrypted: digest, seal, file": lambda: put(encrypted),
        "read, plain: file, digest": lambda: drained(plain.read(name)),
        "read, encrypted: file, open, digest": lambda: drained(encrypted.read(name)),
        "read, encrypted, all but the last byte: file, open": lambda: drained(encrypted.read(name, 0, size * MIB - 1)),
        "read, encrypted, from the disk: file, open, digest": lambda: drained(encrypted.read(name)),
    }
    found = {row: [] for row in rows}
    for _ in range(ROUNDS):
        for row, work in rows.items():
            if row.startswith("read"):  # long contents are written past the system's cache: once read, they are there
                (forget if "disk" in row else fetch)(folder)
            found[row].append(timed(work))
    return {row: tuple(median([value[n] for value in values]) for n in (0, 1)) for row, values in found.items()}


def sparse(folder, size, keys):
    """Make an object of `size` bytes of which one MiB is there, and return its digest and where the MiB begins."""
    content, start = os.urandom(2 * MIB), size // 2 // BLOCK * BLOCK + 12_345
    digest = Digest(hashlib.sha256(b"ten gigabytes").hexdigest())
    objects = FolderObjects(folder)
    header = keys.begin(_for_key(digest))
    objects.create(f"keys/{blob_name(digest)}", [header], len(header))
    message = keys.message(keys.key(header, _for_key(digest)), _for_message(digest, size))
    path = folder / blob_name(digest)
    path.parent.mkdir(parents=True)
    first = start // BLOCK * BLOCK // 16_384
    with path.open("wb") as file:
        file.write(message.header)
        file.seek(HEADER + first * 16_400)
        for block in range(2):
            plain = memoryview(content)[block * MIB : (block + 1) * MIB]
            file.write(message._run(first + 64 * block, plain, 16_384, 16_400, _Scratch(), last=False))  # noqa: SLF001 - from the middle
        file.truncate(sealed_size(size))
    return EncryptedBlobs(objects, keys), digest, start, content[start % BLOCK : start % BLOCK + MIB]


def of_ten_gigabytes(folder, size):
    old, new = WrappingKey(b"\1" * 32), WrappingKey(b"\2" * 32)
    blobs, digest, start, wanted = sparse(folder / "sparse", size, Envelopes([old]))
    ranges, turns = [], []
    for number in range(40):
        got = []
        ranges.append(timed(lambda g=got, b=blobs: g.extend(b.read(digest, start, MIB))))
        assert b"".join(got) == wanted
        turned = EncryptedBlobs(blobs.objects, Envelopes(*([new], [old]) if number % 2 == 0 else ([old], [new])))
        turns.append(timed(lambda t=turned: t.rewrap(digest)))
        blobs = turned
    return ranges, turns


def main(arguments):
    small = "--small" in arguments
    size, large = (64, 1 << 30) if small else (1024, 10_000_000_000)
    folder = Path(tempfile.mkdtemp(prefix="stannary-bench-", dir=os.environ.get("STANNARY_BENCH_DIR")))
    try:
        found = throughput(folder, size)
        peer, why = age(size)
        ranges, turns = of_ten_gigabytes(folder, large)
    finally:
        shutil.rmtree(folder)
    speed = lambda seconds: size / 1000 * 1.048576 / seconds  # noqa: E731 - GB of 10^9 bytes
    print(f"{size} MiB in pieces of 1 MiB, medians of {ROUNDS}.\n")
    print("| what | GB per CPU s | GB per s of the clock | beside age (CPU) |\n|---|---|---|---|")
    beside = {"seal": 0, "open": 1, "put, encrypted: digest, seal, file": 0, "read, encrypted: file, open, digest": 1}
    for row, (seconds, clock) in found.items():
        ratio = f"{peer[beside[row]] / seconds:.1f} x" if peer and row in beside else ""
        print(f"| {row} | {speed(seconds):.2f} | {speed(clock):.2f} | {ratio} |")
    if peer:
        for what, seconds in (("encrypt", peer[0]), ("decrypt", peer[1])):
            print(f"| age ({PYRAGE}), {what}, in memory | {speed(seconds):.2f} | | |")
    else:
        print(f"| age | {why} | | |")
    print(f"\nAn object of {large / 1e9:.2f} GB, 40 times each.\n")
    print("| what | by the clock, median | worst | CPU, median |\n|---|---|---|---|")
    for what, rows in (("a range of 1 MiB from its middle", ranges), ("its key wrapped by another", turns)):
        clock = sorted(row[1] * 1000 for row in rows)
        print(f"| {what} | {median(clock):.1f} ms | {clock[-1]:.1f} ms | {median([row[0] * 1000 for row in rows]):.1f} ms |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
