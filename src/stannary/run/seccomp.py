"""A seccomp-BPF filter through ctypes: an allow list of system calls (`syscalls.py`), on x86_64 and aarch64.

- A call of another architecture, or of the x32 ABI, kills the process: numbers mean other things there.
- `clone` makes threads, never processes; `clone3` answers ENOSYS, since its flags are behind a
  pointer and C libraries then fall back to `clone` (EPERM instead makes thread pools hang).
- `kill` and `tgkill` reach the process itself only, so that `abort()` works.
- `prctl`, `prlimit64`, `ioctl` and `fcntl` are allowed for listed operations.
- Everything else answers EPERM, numbers newer than this table ENOSYS.

The rest of the list becomes a binary tree of range tests: a few steps a call, and cheap for the
kernel to cache. Source: seccomp(2), `linux/filter.h`, `linux/audit.h`.
"""

from __future__ import annotations

import ctypes
import os
import struct
from functools import cache

from stannary.run.libc import check, libc
from stannary.run.syscalls import CHECKED, PLAIN, table

__all__ = ["ARCHITECTURES", "available", "install", "prepare", "program"]

# uname machine -> AUDIT_ARCH_*
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_EPERM, _ENOTTY, _ENOSYS = 1, 25, 38
_X32 = 0x40000000
_FIRST_UNKNOWN = 470  # numbers from here on were not assigned when the table was made
_CLONE_THREAD = 0x00010000
_PID_MARK = b"\xfe\xedpi"  # stands for the process id until the filter is installed

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_GET_ACTION_AVAIL = {"x86_64": 317, "aarch64": 277}  # seccomp(2)

# PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_GET_SECCOMP, PR_CAPBSET_READ, PR_GET_NO_NEW_PRIVS, PR_SET_VMA
_PRCTL = (3, 15, 16, 21, 23, 39, 0x53564D41)
# TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_OFD_*LK, F_DUPFD_CLOEXEC,
# F_SETPIPE_SZ, F_GETPIPE_SZ, F_GET_SEALS. Not F_SETOWN and F_SETSIG: they send signals to others.
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1031, 1032, 1034)

_Code = list[tuple[int, int, int, int]]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def available(machine: str) -> bool:
    """Tell whether the kernel takes filters that kill, and the table knows the machine."""
    number = _GET_ACTION_AVAIL.get(machine)
    if number is None:
        return False
    action = ctypes.c_uint32(_KILL)
    return bool(libc.syscall(ctypes.c_long(number), ctypes.c_uint(2), ctypes.c_uint(0), ctypes.byref(action)) == 0)


def install(machine: str) -> None:
    """Install the filter for this process. Needs no_new_privs. Raises OSError."""
    code = b"".join(_packed(machine)).replace(_PID_MARK, struct.pack("=I", os.getpid()))
    buffer = ctypes.create_string_buffer(code, len(code))
    body = _Program(len(code) // 8, ctypes.addressof(buffer))
    unsigned = ctypes.c_ulong
    arguments = (unsigned(_SECCOMP_MODE_FILTER), ctypes.byref(body), unsigned(0), unsigned(0))
    check(libc.prctl(_PR_SET_SECCOMP, *arguments), "seccomp")


def prepare(machine: str) -> None:
    """Build the filter now, so that processes forked later need not."""
    if machine in ARCHITECTURES:
        _packed(machine)


@cache
def _packed(machine: str) -> tuple[bytes, ...]:
    pid = int.from_bytes(_PID_MARK, "little")
    return tuple(struct.pack("=HBBI", *step) for step in program(machine, pid))


def program(machine: str, pid: int) -> _Code:
    """Return the filter as (code, jump if true, jump if false, constant) steps. Pure."""
    checked = table(CHECKED, machine)
    code: _Code = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, ARCHITECTURES[machine]), _stop(_KILL), (_LOAD, 0, 0, 0)]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32), _stop(_KILL)]
    for name, body in _argument_checks(pid).items():
        code += [(_EQUAL, 0, len(body), checked[name]), *body]
    return code + _tree(_segments(sorted(table(PLAIN, machine).values())))


def _argument_checks(pid: int) -> dict[str, _Code]:
    return {
        "clone": [_argument(0), (_ANY_BIT, 0, 1, _CLONE_THREAD), _stop(_ALLOW), _refuse(_EPERM)],
        "clone3": [_refuse(_ENOSYS)],
        "kill": _one_of(0, (pid,), _EPERM),
        "tgkill": _one_of(0, (pid,), _EPERM),
        "prlimit64": _one_of(0, (0, pid), _EPERM),
        "prctl": _one_of(0, _PRCTL, _EPERM),
        "ioctl": _one_of(1, _IOCTL, _ENOTTY),
        "fcntl": _one_of(1, _FCNTL, _EPERM),
    }


def _one_of(index: int, values: tuple[int, ...], error: int) -> _Code:
    tests = [(_EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
    return [_argument(index), *tests, _refuse(error), _stop(_ALLOW)]


def _argument(index: int) -> tuple[int, int, int, int]:
    return (_LOAD, 0, 0, 16 + 8 * index)  # low half: both machines are little-endian


def _stop(action: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, action)


def _refuse(error: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, _ERRNO | error)


def _segments(allowed: list[int]) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Cut the numbers into (first number, what to do from there on)."""
    found = [(0, _refuse(_EPERM))]
    for number in allowed:
        if found[-1][0] == number:  # directly after an allowed run
            found.pop()
            if not found or found[-1][1] != _stop(_ALLOW):
                found.append((number, _stop(_ALLOW)))
        else:
            found.append((number, _stop(_ALLOW)))
        found.append((number + 1, _refuse(_EPERM)))
    return [*found, (_FIRST_UNKNOWN, _refuse(_ENOSYS))]


def _tree(segments: list[tuple[int, tuple[int, int, int, int]]]) -> _Code:
    if len(segments) == 1:
        return [segments[0][1]]
    middle = len(segments) // 2
    left, right = _tree(segments[:middle]), _tree(segments[middle:])
    return [(_AT_LEAST, len(left), 0, segments[middle][0]), *left, *right]
