"""Authenticated encryption of long messages: C2SP chunked encryption, Cobblestone-256 (https://c2sp.org/chunked-encryption).

    key ‖ base nonce ‖ commitment = HKDF-Expand-SHA-512(input key, info ‖ 0x00 ‖ salt ‖ context)
    info = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM"
    message = salt (24) ‖ commitment (32) ‖ chunks

Chunk n is AES-256-GCM of 16 KiB, its nonce the base nonce XOR n; the last chunk is shorter, perhaps empty, which
is how an end is told from a cut. The commitment binds a message to one key and one context. A chunk is decrypted
without those before it. AES and HKDF are the `cryptography` package's; its own Cobblestone (version 50) is what
the tests hold this against: it does streams, and not the random access that ranged reads need.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from stannary.core.errors import IntegrityError, UsageError

__all__ = ["BLOCK", "HEADER", "KEY", "Message", "plain_size", "sealed_size"]

KEY = 32
HEADER = 56
BLOCK = 1 << 20  # what is encrypted and yielded at once: 64 chunks
_SALT = 24
_NONCE = 12
_CHUNK = 1 << 14
_TAG = 16
_SEALED = _CHUNK + _TAG
_RUN = BLOCK // _CHUNK
_MOST = 1 << 38
_INFO = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"


def sealed_size(size: int) -> int:
    """Return how long the message of a content of `size` bytes is."""
    return HEADER + size + (size // _CHUNK + 1) * _TAG


def plain_size(sealed: int) -> int:
    """Return how long the content of a message is. Raises IntegrityError for a length that no message has."""
    whole, rest = divmod(sealed - HEADER, _SEALED)
    if sealed < HEADER or rest < _TAG:
        msg = f"no message is {sealed} bytes long: it was cut"
        raise IntegrityError(msg, code="ENC001")
    return whole * _CHUNK + rest - _TAG


class Message:
    """One message: a key, a context, and the salt that makes them unique.

    Args:
        key: 32 random bytes. One key serves any number of messages.
        context: what the message is bound to; whoever opens it has to know it.
        header: salt and commitment of a message that there is; a new salt when it is None.

    Raises:
        IntegrityError: the header was made with another key or another context.
    """

    def __init__(self, key: bytes, context: bytes, header: bytes | None = None) -> None:
        if len(key) != KEY or (header is not None and len(header) != HEADER):
            msg = f"a key has {KEY} bytes and a header {HEADER}"
            raise UsageError(msg, code="ENC002")
        salt = os.urandom(_SALT) if header is None else header[:_SALT]
        derived = HKDFExpand(SHA512(), KEY + _NONCE + 32, _INFO + salt + context).derive(key)
        commitment = derived[KEY + _NONCE :]
        if header is not None and not hmac.compare_digest(commitment, header[_SALT:]):
            msg = "the message was encrypted with another key, or for something else"
            raise IntegrityError(msg, code="ENC003", help="check which key the store is opened with")
        self.header = salt + commitment
        self._aead = AESGCM(derived[:KEY])
        self._base = int.from_bytes(derived[KEY : KEY + _NONCE], "big")

    def seal(self, chunks: Iterable[bytes], *, lent: bool = False) -> Iterator[bytes | memoryview]:
        """Yield the message of a content that comes in pieces of any length. Once only: a salt is for one content.

        `lent`: what is yielded is of memory that is used again for the next piece, which saves a copy.
        """
        yield self.header
        number, scratch = 0, _Scratch()
        for block in _blocks(chunks, BLOCK):
            last = len(block) < BLOCK
            made = self._run(number, block, _CHUNK, _SEALED, scratch, last=last)
            yield made if lent else bytes(made)
            number += _RUN

    def unseal(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the content of a message that comes, without its header, in pieces of any length.

        Everything that is yielded is authentic; that it is all is known when nothing was raised in the end.
        Raises IntegrityError.
        """
        number, scratch, other, begun = 0, _Scratch(), _Scratch(), bytearray()
        # Chunks are opened where they lie: what is copied together is one in each piece, that begins in the piece before.
        for piece in _cut(chunks, BLOCK):
            take = min(_SEALED - len(begun), len(piece)) if begun else 0
            begun += piece[:take]
            if 0 < len(begun) < _SEALED:
                continue
            whole = take + (len(piece) - take) // _SEALED * _SEALED
            parts = []
            for block, memory in ((memoryview(begun), other), (piece[take:whole], scratch)):
                if block:
                    parts.append(self._run(number, block, _SEALED, _CHUNK, memory, last=False))
                    number += len(block) // _SEALED
            begun = bytearray(piece[whole:])
            if parts:
                yield b"".join(parts)
        if plain := self._run(number, memoryview(begun), _SEALED, _CHUNK, scratch, last=True):
            yield bytes(plain)

    def unseal_range(self, start: int, end: int, size: int, fetch: Callable[[int, int], Iterator[bytes]]) -> Iterator[bytes]:
        """Yield the bytes from `start` to before `end` of a content.

        Args:
            start: the first byte.
            end: the one after the last, `size` at most.
            size: how long the content is. That it is so long is known only when the context says it.
            fetch: yields a range of the message, its header counted.

        Raises:
            IntegrityError: a chunk that was needed is not what was encrypted.
        """
        total = sealed_size(size)
        number, scratch, gathered = start // _CHUNK, _Scratch(), _Scratch()
        while start < end:
            stop = min((end - 1) // _CHUNK + 1, number + _RUN)
            begin, limit = HEADER + number * _SEALED, min(HEADER + stop * _SEALED, total)
            sealed = gathered.of(limit - begin)
            if _filled(sealed, fetch(begin, limit)) != len(sealed):
                raise _altered(number)
            plain = self._run(number, sealed, _SEALED, _CHUNK, scratch, last=limit == total)
            yield bytes(plain[start - number * _CHUNK : end - number * _CHUNK])
            number = stop
            start = number * _CHUNK

    def _run(self, number: int, block: memoryview, step: int, made: int, scratch: _Scratch, *, last: bool) -> memoryview:
        """Encrypt (or decrypt, when `step` is the longer) the chunks of a block, the last of them short if it is the end."""
        count, rest = divmod(len(block), step)
        if number + count >= _MOST:
            msg = "the message is longer than 4 PiB"
            raise UsageError(msg, code="ENC004")
        work = self._encrypt if step < made else self._decrypt
        short = (rest + made - step,) if last else ()
        if (short and short[0] < 0) or (not last and rest):
            raise _altered(number + count)  # an end without a tag
        view = scratch.of(count * made + sum(short))
        for index in range(count):
            work(number + index, block[index * step : (index + 1) * step], view[index * made : (index + 1) * made])
        if last:
            work(number + count, block[count * step :], view[count * made :])
        return view

    def _encrypt(self, number: int, chunk: memoryview, out: memoryview) -> None:
        nonce = (self._base ^ number).to_bytes(_NONCE, "big")
        if _INTO:
            self._aead.encrypt_into(nonce, chunk, None, out)
        else:
            out[:] = self._aead.encrypt(nonce, bytes(chunk), None)

    def _decrypt(self, number: int, chunk: memoryview, out: memoryview) -> None:
        nonce = (self._base ^ number).to_bytes(_NONCE, "big")
        try:
            if _INTO:
                self._aead.decrypt_into(nonce, chunk, None, out)
            else:
                out[:] = self._aead.decrypt(nonce, bytes(chunk), None)
        except InvalidTag:
            raise _altered(number) from None


# Six times as fast: no allocation a chunk. Older versions of the package do not have it.
_INTO = hasattr(AESGCM, "encrypt_into") and hasattr(AESGCM, "decrypt_into")


class _Scratch:
    """Memory that is used again and again: giving a mebibyte back and asking for it costs more than encrypting it."""

    def __init__(self) -> None:
        self._held = bytearray()

    def of(self, length: int) -> memoryview:
        """Return memory of a length, which holds what it did before."""
        if len(self._held) < length:
            self._held = bytearray(length)
        return memoryview(self._held)[:length]


def _blocks(chunks: Iterable[bytes], length: int) -> Iterator[memoryview]:
    """Yield blocks of one length, and in the end always one that is shorter, perhaps empty. A block lives until the next.

    What is kept of a chunk is copied: its maker may use the memory again, whatever its type says.
    """
    scratch, filled = _Scratch(), 0
    for chunk in chunks:
        view = memoryview(chunk)
        while filled + len(view) >= length:
            take = length - filled
            if filled:
                scratch.of(length)[filled:] = view[:take]
                yield scratch.of(length)
                filled = 0
            else:
                yield view[:take]
            view = view[take:]
        if view:
            scratch.of(length)[filled : filled + len(view)] = view
            filled += len(view)
    yield scratch.of(filled)


def _cut(chunks: Iterable[bytes], length: int) -> Iterator[memoryview]:
    """Yield the same pieces, those that are longer than `length` in several."""
    for chunk in chunks:
        view = memoryview(chunk)
        for start in range(0, len(view), length):
            yield view[start : start + length]


def _filled(into: memoryview, chunks: Iterator[bytes]) -> int:
    """Copy chunks into memory as far as they fit, and return how long they are."""
    done = 0
    for chunk in chunks:
        if done + len(chunk) <= len(into):
            into[done : done + len(chunk)] = chunk
        done += len(chunk)
    return done


def _altered(number: int) -> IntegrityError:
    msg = f"chunk {number} of the message was altered, moved, or is the place where it was cut"
    return IntegrityError(msg, code="ENC005", help="restore it from a backup, and find out who can write there")
