"""Landlock through ctypes: which files a process may read and write, and no TCP. Needs no privilege.

Rights that the running kernel knows are all handled, so that what is not granted is refused:
files (ABI 1), renames across folders (2), truncation (3), TCP bind and connect (4), device
ioctls (5), abstract sockets and signals to outside (6). Source: landlock(7), `linux/landlock.h`.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from stannary.run.libc import check, libc

__all__ = ["abi_version", "restrict"]

# The same numbers on every architecture.
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION_FLAG, _RULE_PATH_BENEATH = 1, 1

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_TRUNCATE = 1 << 14
_READ = _READ_FILE | _READ_DIR
_WRITE = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _TRUNCATE
_FILE_ONLY = _READ_FILE | _WRITE_FILE | _TRUNCATE

_ALL_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP = 0b11
_SCOPES = 0b11


def abi_version() -> int:
    """Return the Landlock ABI of the kernel, 0 when it has none or has it switched off."""
    found = libc.syscall(ctypes.c_long(_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_FLAG))
    return max(0, int(found))


def restrict(read: Iterable[str], write: Iterable[str]) -> int:
    """Confine this thread and its future children. Paths that are not there are left out.

    Needs no_new_privs. Returns the ABI that was used. Raises OSError.
    """
    abi = abi_version()
    handled = _ALL_FILE_RIGHTS[min(abi, 5)]
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    attributes = struct.pack("=QQQ", handled, _TCP, _SCOPES)[:size]
    ruleset = check(libc.syscall(ctypes.c_long(_CREATE), attributes, ctypes.c_size_t(size), ctypes.c_uint(0)), "Landlock")
    try:
        for paths, rights in ((read, _READ), (write, _WRITE)):
            for path in paths:
                _grant(ruleset, path, rights & handled)
        check(libc.syscall(ctypes.c_long(_RESTRICT), ctypes.c_int(ruleset), ctypes.c_uint(0)), "Landlock")
    finally:
        os.close(ruleset)
    return abi


def _grant(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return  # nothing to grant: what cannot be reached now cannot be reached inside either
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _FILE_ONLY
        rule = struct.pack("=Qi", rights, descriptor)
        arguments = (ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH_BENEATH), rule, ctypes.c_uint(0))
        check(libc.syscall(ctypes.c_long(_ADD), *arguments), "Landlock")
    finally:
        os.close(descriptor)
