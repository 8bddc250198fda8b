"""Limits the kernel keeps on one process: memory, processor time, files, core dumps, capabilities.

Memory is RLIMIT_DATA (private writable memory) and not RLIMIT_AS: files of many gigabytes are
mapped read-only, and address space is not what they cost.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import struct

from stannary.run.libc import check, libc

__all__ = ["drop_capabilities", "limit", "no_new_privileges", "private_memory", "renew_processor_time"]

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPGET = {"x86_64": 125, "aarch64": 90}
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_READ_SEARCH = 1 << 2


def private_memory() -> int:
    """Return the bytes of private writable memory this process has, 0 where the kernel does not tell."""
    try:
        with open("/proc/self/statm", encoding="utf-8") as file:
            return int(file.read().split()[5]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def limit(*, memory: int, processor_seconds: int | None, open_files: int, file_size: int) -> None:
    """Set the limits (bytes, seconds, counts); a lower limit that is already there stays.

    `memory` is what the process may take beyond what a fork inherited: a program that scans may be large itself.
    """
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_DATA, memory + private_memory())
    _lower(resource.RLIMIT_NOFILE, open_files)
    _lower(resource.RLIMIT_FSIZE, file_size)
    for name in ("RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE"):
        if hasattr(resource, name):
            _lower(getattr(resource, name), 0)
    if processor_seconds is not None:
        renew_processor_time(processor_seconds)


def renew_processor_time(seconds: int) -> None:
    """Let this process use `seconds` of processor time from now on; then SIGXCPU ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    wanted = int(used.ru_utime + used.ru_stime) + 1 + seconds
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (wanted, hard))


def no_new_privileges() -> None:
    """Give up, for good, what set-user-id programs would add; refuse debuggers and core dumps. Raises OSError.

    Linux only; elsewhere nothing happens.
    """
    if not hasattr(os, "O_PATH"):
        return
    zero = ctypes.c_ulong(0)
    check(libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero), "no_new_privs")
    libc.prctl(_PR_SET_DUMPABLE, zero, zero, zero, zero)


def drop_capabilities(machine: str) -> None:
    """Drop every capability but reading files of other owners, which root keeps to scan them. Raises OSError."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), 8)
    data = ctypes.create_string_buffer(24)
    check(libc.syscall(ctypes.c_long(_CAPGET[machine]), header, data), "capget")
    kept = struct.unpack("=6I", data.raw)[1] & _CAP_DAC_READ_SEARCH
    data = ctypes.create_string_buffer(struct.pack("=6I", kept, kept, 0, 0, 0, 0), 24)
    check(libc.syscall(ctypes.c_long(_CAPSET[machine]), header, data), "capset")


def _lower(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    with contextlib.suppress(OSError, ValueError):  # macOS refuses some; the report says what holds
        resource.setrlimit(which, (value, value))
