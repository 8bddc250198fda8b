"""What every blob store has to do: run these on a store of your own.

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
    def test_it_is_a_blob_store(case, tmp_path):
        case(Place(open=lambda: MyBlobs(tmp_path), objects=..., address="mine:" + str(tmp_path)))

A case raises AssertionError when the store does not hold. Cases with several processes, and those that kill one,
need an address that `open_address` (or an entry of OPENERS) opens in another process, and do nothing without one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

from stannary.core.errors import InputError, IntegrityError, StannaryError, UsageError
from stannary.core.model import Digest
from stannary.store.blobs.interface import CHUNK, Blobs, blob_name
from stannary.store.blobs.objects import Objects, Stat

__all__ = ["CASES", "OPENERS", "SIZES", "Place", "content_of", "digest_of", "open_address"]

# Around nothing, around a chunk of the cipher, around a chunk of the store, around what S3 sends in one request.
SIZES = (0, 1, 16383, 16384, 16385, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5, 8 * CHUNK, 8 * CHUNK + 1)


@dataclasses.dataclass(frozen=True)
class Place:
    """A store under test.

    Args:
        open: opens it; several times, at once.
        objects: what it is built on, for the cases that damage what is kept.
        address: opens it in another process. Empty: none can.
        authentic: a range is verified too.
        once: of several who put one content of up to so many bytes, one alone is told True.
    """

    open: Callable[[], Blobs]
    objects: Objects
    address: str = ""
    authentic: bool = False
    once: int = 1 << 62


def content_of(size: int, seed: int = 0) -> bytes:
    """Return bytes that are always the same."""
    return random.Random(f"{size}/{seed}").randbytes(size)  # noqa: S311 - the same every time is the point


def digest_of(content: bytes) -> Digest:
    """Return the digest of a content."""
    return Digest(hashlib.sha256(content).hexdigest())


def pieces(content: bytes, seed: int = 0) -> Iterator[bytes]:
    """Yield a content in pieces of odd lengths, some of them empty."""
    choice, begin = random.Random(seed), 0  # noqa: S311 - the same every time is the point
    while begin < len(content):
        length = choice.choice([0, 1, 4096, 16384, CHUNK, CHUNK + 1, 5 * CHUNK])
        yield content[begin : begin + length]
        begin += length


def sizes_go_in_and_come_out(place: Place) -> None:
    """Contents of every length come back, in chunks that are not too long, and are listed."""
    blobs = place.open()
    for size in SIZES:
        content = content_of(size)
        digest = digest_of(content)
        _hold(not blobs.has(digest), "a blob is there before it was put")
        _hold(blobs.put(digest, size, pieces(content)) is True, "the first put says that the blob was there")
        _hold(blobs.has(digest) and blobs.size(digest) == size, f"{size} bytes were put, {blobs.size(digest)} are said to be there")
        found = list(blobs.read(digest))
        _hold(b"".join(found) == content, f"{size} bytes came back otherwise")
        _hold(
            all(0 < len(chunk) <= CHUNK and isinstance(chunk, bytes) for chunk in found), "a chunk is empty, too long, or no bytes"
        )
    listed = sorted((digest.hex, size) for digest, size, _ in blobs.digests())
    _hold(
        listed == sorted((digest_of(content_of(size)).hex, size) for size in SIZES), f"what is listed is not what was put: {listed}"
    )
    _hold(all(abs(when.timestamp() - time.time()) < 600 for _, _, when in blobs.digests()), "a time is not that of the put")  # noqa: PLR2004 - clocks differ
    blobs.close()


def what_is_there_is_not_sent_again(place: Place) -> None:
    """A second put reads nothing, a deleted blob is gone, and can be put again."""
    blobs = place.open()
    content = content_of(100_000)
    digest = digest_of(content)
    blobs.put(digest, len(content), [content])
    _hold(blobs.put(digest, len(content), _untouched()) is False, "a blob that is there was put again")
    _hold(blobs.delete(digest) is True, "deleting a blob says that it was not there")
    _hold(blobs.delete(digest) is False and not blobs.has(digest), "a deleted blob is there")
    _refuses(blobs.read, InputError, digest, text=digest.hex)
    _refuses(blobs.size, InputError, digest, text=digest.hex)
    _hold(blobs.put(digest, len(content), [content]) is True, "a blob cannot be put after it was deleted")
    _hold(b"".join(blobs.read(digest)) == content, "a blob that was put again comes back otherwise")


def what_is_not_the_content_is_refused(place: Place) -> None:
    """Bytes that are changed, missing or too many, and a source that fails, leave nothing."""
    for size in (1, 16384, CHUNK + 1, 8 * CHUNK + 1):
        _refuse_others(place.open(), content_of(size, 1))


def _refuse_others(blobs: Blobs, content: bytes) -> None:
    digest, size = digest_of(content), len(content)
    for wrong in (_flip(content, 0), content[:-1], content + b"x", b""):
        _refuses(lambda chunks: blobs.put(digest, size, chunks), IntegrityError, pieces(wrong), text=digest.hex)
        _hold(not blobs.has(digest), "something that is not the content was kept")
    _refuses(lambda chunks: blobs.put(digest, size + 1, chunks), IntegrityError, pieces(content), text=digest.hex)

    def failing() -> Iterator[bytes]:
        yield content[: size // 2]
        raise ZeroDivisionError

    _refuses(lambda chunks: blobs.put(digest, size, chunks), ZeroDivisionError, failing())
    _hold(not blobs.has(digest) and not list(blobs.digests()), "half a content was kept")
    _refuses(blobs.read, InputError, digest, text=digest.hex)


def ranges_are_what_was_asked_for(place: Place) -> None:
    """Ranges at and around every boundary, cut at the end; those that are nowhere are refused."""
    blobs = place.open()
    content = content_of(2 * CHUNK + 16384 + 7)
    digest, size = digest_of(content), len(content)
    blobs.put(digest, size, [content])
    edges = (0, 1, 16383, 16384, 16385, 32768, CHUNK - 1, CHUNK, CHUNK + 1, size - 7, size - 1, size)
    for offset in edges:
        for length in (0, 1, 7, 16384, 16385, CHUNK, CHUNK + 1, size, None):
            found = list(blobs.read(digest, offset, length))
            wanted = content[offset:] if length is None else content[offset : offset + length]
            _hold(b"".join(found) == wanted, f"the range of {length} bytes from {offset} is another")
            _hold(all(0 < len(chunk) <= CHUNK for chunk in found), "a chunk of a range is empty or too long")
    for offset, length in ((size + 1, None), (-1, 1), (0, -1), (size + 1, 0)):
        _refuses(blobs.read, UsageError, digest, offset, length)
    nothing = digest_of(b"")
    blobs.put(nothing, 0, [])
    _hold(list(blobs.read(nothing)) == [] and list(blobs.read(nothing, 0, 5)) == [], "the empty blob has bytes")


def damage_is_found(place: Place) -> None:
    """A bit that changed, an end that is missing, bytes that were added, another blob in its place: before the last chunk."""
    blobs = place.open()
    content, other = content_of(CHUNK + 20_000, 2), content_of(CHUNK + 20_000, 3)
    digest, second = digest_of(content), digest_of(other)
    for one, what in ((digest, content), (second, other)):
        blobs.put(one, len(what), [what])
    name = blob_name(digest)
    kept = b"".join(place.objects.read(name, 0, (place.objects.head(name) or _missing()).size))
    swapped = b"".join(place.objects.read(blob_name(second), 0, len(kept)))
    choice = random.Random(4)  # noqa: S311 - the same every time is the point
    damaged = [swapped, kept[:-1], kept[:-20_000], kept[:CHUNK], kept[:10], b"", kept + b"\0", kept + kept[-16_400:]]
    damaged += [_flip(kept, bit) for bit in (0, 8 * len(kept) - 1, *(choice.randrange(8 * len(kept)) for _ in range(40)))]
    if place.authentic:
        chunk = 16_400
        damaged += [  # two chunks change places, one is there twice, one is left out
            kept[:56] + kept[56 + chunk : 56 + 2 * chunk] + kept[56 : 56 + chunk] + kept[56 + 2 * chunk :],
            kept[: 56 + chunk] + kept[56 : 56 + chunk] + kept[56 + 2 * chunk :],
            kept[:56] + kept[56 + chunk :],
        ]
    for changed in damaged:
        place.objects.replace(name, changed)
        _refuses(lambda: _to_the_end(blobs.read(digest), content), IntegrityError)
        if place.authentic:
            _true_or_refused(blobs, digest, content, choice)
    place.objects.replace(name, kept)
    _hold(b"".join(blobs.read(digest)) == content, "a blob is not found to be whole again")


def many_threads_put_one_content(place: Place) -> None:
    """Each is told that it was put, or was there, and finds it whole; one alone made it."""
    for size in (0, 1000, CHUNK + 1, 9 * CHUNK):
        told = _put_together(place, content_of(size, 5))
        _hold(sum(told) == 1 or (size > place.once and any(told)), f"{sum(told)} of 8 made one blob of {size} bytes")


def _put_together(place: Place, content: bytes) -> list[bool]:
    told: list[bool] = []
    errors: list[Exception] = []
    ready = threading.Barrier(8)

    def put() -> None:
        try:
            blobs = place.open()
            ready.wait()
            told.append(blobs.put(digest_of(content), len(content), pieces(content)))
            _hold(b"".join(blobs.read(digest_of(content))) == content, "what was acknowledged cannot be read")
        except (StannaryError, AssertionError) as error:
            errors.append(error)

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _hold(not errors, f"a put among others failed: {errors[:1]}")
    return told


def many_processes_put_the_same(place: Place) -> None:
    """Several processes put the same hundred contents; each is there once, and whole."""
    if not place.address:
        return
    writers = [_writer(place.address, "each", 40) for _ in range(4)]
    said = [writer.communicate(timeout=120)[0].split() for writer in writers]
    _hold(all(writer.returncode == 0 for writer in writers), "a process that put blobs failed")
    blobs = place.open()
    contents = {digest_of(content_of(size, 6)).hex: content_of(size, 6) for size in _written(40)}
    made = [line for lines in said for line in lines if line.startswith(b"made:")]
    _hold(len(made) == len(contents), f"{len(made)} were told that they made one of {len(contents)} blobs")
    for name, content in contents.items():
        _hold(b"".join(blobs.read(Digest(name))) == content, "a blob that several processes put is another")
    _hold({digest.hex for digest, _, _ in blobs.digests()} == set(contents), "what is listed is not what was put")


def a_killed_writer_leaves_nothing_that_is_half(place: Place, rounds: int = 12) -> None:
    """A kill -9 at any moment: what was acknowledged is there, and whatever is there is whole."""
    if not place.address:
        return
    choice = random.Random(7)  # noqa: S311 - moments, no secrets
    for _ in range(rounds):
        writer = _writer(place.address, "large", 1000)
        assert writer.stdout is not None  # noqa: S101 - it was asked for
        lines = [writer.stdout.readline()]
        timer = threading.Timer(choice.uniform(0, 0.4), writer.send_signal, [signal.SIGKILL])
        timer.start()
        lines += writer.stdout.readlines()
        writer.wait()
        writer.stdout.close()
        _hold(writer.returncode == -signal.SIGKILL, f"the writer was not killed, but ended with {writer.returncode}")
        blobs = place.open()
        told = {line.strip().partition(b":")[2].decode() for line in lines if line.endswith(b"\n") and b":" in line}
        there = {digest.hex for digest, _, _ in blobs.digests()}
        _hold(told <= there, f"acknowledged, and gone: {told - there}")
        for name in there:
            for _ in blobs.read(Digest(name)):
                pass
        for name in there:
            blobs.delete(Digest(name))


CASES: tuple[Callable[[Place], None], ...] = (
    sizes_go_in_and_come_out,
    what_is_there_is_not_sent_again,
    what_is_not_the_content_is_refused,
    ranges_are_what_was_asked_for,
    damage_is_found,
    many_threads_put_one_content,
    many_processes_put_the_same,
    a_killed_writer_leaves_nothing_that_is_half,
)


def _folder(address: str) -> Objects:
    from stannary.store.blobs.folder import FolderObjects

    return FolderObjects(address)


def _bucket(address: str) -> Objects:
    from stannary.store.blobs.s3 import S3Objects

    return S3Objects(address)


# What stands before the first colon of an address, for other processes.
OPENERS: dict[str, Callable[[str], Objects]] = {"folder": _folder, "bucket": _bucket}


def open_address(address: str) -> Blobs:
    """Open `folder:PATH` or `bucket:s3://…`, and `encrypted:KEY-FILE:folder:PATH`."""
    from stannary.crypto.envelope import Envelopes
    from stannary.crypto.wrapping import read_wrapping
    from stannary.store.blobs.encrypted import EncryptedBlobs
    from stannary.store.blobs.plain import PlainBlobs

    kind, _, rest = address.partition(":")
    if kind != "encrypted":
        return PlainBlobs(OPENERS[kind](rest))
    key, _, inner = rest.partition(":")
    kind, _, rest = inner.partition(":")
    return EncryptedBlobs(OPENERS[kind](rest), Envelopes([read_wrapping(key)]))


def _hold(condition: bool, what: str) -> None:  # noqa: FBT001 - what holds
    if not condition:
        raise AssertionError(what)


def _refuses(call: Callable[..., object], kind: type[BaseException], *arguments: object, text: str = "") -> None:
    try:
        call(*arguments)
    except kind as error:
        _hold(text in str(error), f"the error does not say {text[:16]}…: {error}")
        return
    msg = f"no {kind.__name__} was raised"
    raise AssertionError(msg)


def _to_the_end(chunks: Iterator[bytes], content: bytes) -> None:
    """Read to the end; before an error the whole may come only where it is the content, and something was added to it."""
    came = b""
    for chunk in chunks:
        came += chunk
        _hold(len(came) < len(content) or came == content, "the last chunk came before the damage was found")


def _true_or_refused(blobs: Blobs, digest: Digest, content: bytes, choice: random.Random) -> None:
    """Read a range of what was damaged: what comes is the content's, or nothing does."""
    offset = choice.randrange(len(content))
    length = choice.randrange(1, 40_000)
    found = b""
    try:
        for chunk in blobs.read(digest, offset, length):
            found += chunk
    except IntegrityError:
        pass
    _hold(content[offset : offset + length].startswith(found), "a range of a damaged blob is not the content's")


def _untouched() -> Iterator[bytes]:
    _hold(False, "the chunks of a blob that is there were read")  # noqa: FBT003 - nothing holds
    yield b""


def _missing() -> Stat:
    msg = "a blob that was put is not among the objects"
    raise AssertionError(msg)


def _flip(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _written(count: int) -> list[int]:
    return [number * 7919 % (CHUNK + 5000) for number in range(count)]


def _writer(address: str, what: str, count: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "stannary.testing.blobs", address, what, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ))  # noqa: S603 - this module


def main(address: str, what: str, count: int) -> None:
    """Put contents, and say of each what was acknowledged: `made:HEX` or `there:HEX`."""
    blobs = open_address(address)
    order = _written(count)
    if what == "each":
        random.shuffle(order)
    for number, size in enumerate(order):
        content = content_of(size, 6) if what == "each" else os.urandom(number * 700_001 % (12 * CHUNK))
        made = blobs.put(digest_of(content), len(content), pieces(content))
        sys.stdout.write(f"{'made' if made else 'there'}:{digest_of(content).hex}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
