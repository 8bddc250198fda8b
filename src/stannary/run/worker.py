"""Inside a worker process: clean up what was inherited, enter the jail, handle jobs until the pipe closes.

Frames in both directions are `ticket (u64), kind (u8), length (u32)` and that many bytes. The
ticket a worker is on is written to a page shared with the supervisor before each job, so that
a death can be laid at the right door without a message for every job.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import mmap
import os
import signal
import struct
import sys
import time

import msgspec

from stannary.core.errors import StannaryError
from stannary.formats import stall
from stannary.run import alarm
from stannary.run.interface import Handler, Setup
from stannary.run.jail import Jail, enter
from stannary.run.libc import libc
from stannary.run.limits import renew_processor_time

__all__ = ["DONE", "FAILED", "HEADER", "READY", "REFUSED", "die_with", "load_handler", "serve"]

HEADER = struct.Struct("<QBI")
READY, DONE, FAILED, REFUSED = range(4)

_CURRENT = struct.Struct("<Q")
_FLUSH_BYTES = 1 << 15
_FLUSH_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1


def serve(inbox: int, outbox: int, page: mmap.mmap, setup: Setup, jail: Jail | None) -> None:
    """Run a worker on two pipe ends until `inbox` closes. Never returns: leaves by `os._exit`."""
    status = 1
    try:
        _detach(inbox, outbox)
        try:
            alarm.allow()  # before the jail, from which a process cannot see its own memory
            stall.allow()
            held = b"" if jail is None else _confine(jail)
            handler = load_handler(setup)
        except StannaryError as exc:
            _send(outbox, HEADER.pack(0, REFUSED, len(text := str(exc).encode())) + text)
        except Exception as exc:  # noqa: BLE001 - a factory that fails is reported, not lost with the process
            _send(outbox, HEADER.pack(0, REFUSED, len(text := repr(exc).encode())) + text)
        else:
            _send(outbox, HEADER.pack(0, READY, len(held)) + held)
            _loop(inbox, outbox, page, handler, jail.processor_seconds if jail else None)
            status = 0
    except (OSError, KeyboardInterrupt):
        pass  # the supervisor is gone
    finally:
        os._exit(status)


def _detach(inbox: int, outbox: int) -> None:
    """Keep nothing of the parent but the two pipe ends; leave Ctrl-C to it."""
    gc.freeze()  # inherited objects are never collected here: their finalizers own the parent's descriptors
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    low, high = sorted((inbox, outbox))
    os.closerange(3, low)
    os.closerange(low + 1, high)
    os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))


def _confine(jail: Jail) -> bytes:
    if jail.write:
        os.environ["TMPDIR"] = jail.write[0]
        if "tempfile" in sys.modules:
            sys.modules["tempfile"].tempdir = jail.write[0]  # type: ignore[attr-defined]
    return msgspec.msgpack.encode(enter(jail))


def load_handler(setup: Setup) -> Handler:
    """Import the factory and call it."""
    module, _, name = setup.factory.partition(":")
    made: Handler = getattr(importlib.import_module(module), name)(setup.data)
    return made


def _loop(inbox: int, outbox: int, page: mmap.mmap, handler: Handler, seconds: int | None) -> None:
    buffer = bytearray()
    out: list[bytes] = []
    size = 0
    flushed = time.monotonic()
    used = time.process_time()
    head = HEADER.size
    while chunk := os.read(inbox, 1 << 18):
        buffer += chunk
        at = 0
        while len(buffer) - at >= head:
            ticket, degraded, length = HEADER.unpack_from(buffer, at)
            if len(buffer) - at - head < length:
                break
            payload = bytes(buffer[at + head : at + head + length])
            at += head + length
            _CURRENT.pack_into(page, 0, ticket)
            kind, answer = _handle(handler, payload, degraded=bool(degraded))
            out.append(HEADER.pack(ticket, kind, len(answer)) + answer)
            size += len(answer)
            if size > _FLUSH_BYTES or time.monotonic() - flushed > _FLUSH_SECONDS:
                _send(outbox, b"".join(out))
                out.clear()
                size = 0
                flushed = time.monotonic()
                if seconds is not None and time.process_time() - used > 1:
                    renew_processor_time(seconds)
                    used = time.process_time()
        del buffer[:at]
        if out:
            _send(outbox, b"".join(out))
            out.clear()
            size = 0
            flushed = time.monotonic()
        _CURRENT.pack_into(page, 0, 0)


def _handle(handler: Handler, payload: bytes, *, degraded: bool) -> tuple[int, bytes]:
    try:
        return DONE, handler(payload, degraded)
    except Exception as exc:  # noqa: BLE001 - whatever a handler raises belongs to its job; the worker goes on
        return FAILED, f"{type(exc).__name__}: {exc}".encode("utf-8", "replace")


def _send(outbox: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(outbox, view) :]


def die_with(parent: int) -> None:
    """Ask Linux to end this process with its parent."""
    if sys.platform.startswith("linux"):
        libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)
