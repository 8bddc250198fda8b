"""One supervised child: started by fork, as a fresh interpreter or under bubblewrap; spoken to over a pair of pipes."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import struct
import sys
import time
import warnings
from collections.abc import Iterable, Iterator

import msgspec

from stannary.run import fresh
from stannary.run.interface import Job, Setup, Ticket
from stannary.run.jail import Jail
from stannary.run.worker import HEADER, die_with, serve

__all__ = ["Child", "describe_status", "interrupts_held"]

_CURRENT = struct.Struct("<Q")
_LARGEST_FRAME = 256 << 20
_PATIENCE = 1.0
_WARNS_OF_THREADS = sys.version_info >= (3, 12)

_SIGNALS = {
    "SIGKILL": "killed by the system, most likely for memory",
    "SIGSYS": "made a forbidden system call",
    "SIGVTALRM": "did not come back from native code",
    "SIGXCPU": "used up its processor time",
    "SIGXFSZ": "wrote more than it may",
}


class Child:
    """A worker as its supervisor sees it."""

    __slots__ = (
        "_buffer", "_page", "_pending", "_seen", "_seen_at",
        "inbox", "killed_for", "outbox", "pid", "ready", "sent", "solo", "used",
    )  # fmt: skip

    def __init__(self, setup: Setup, jail: Jail | None) -> None:
        self.sent: dict[Ticket, tuple[Job, bool]] = {}  # in the order they are worked on
        self.ready = False
        self.used = False  # a job was given to it
        self.solo = False  # it is on a second try, alone
        self.killed_for = ""
        self._buffer = bytearray()
        self._pending = bytearray()
        self._seen: Ticket = 0
        self._seen_at = time.monotonic()
        if (jail is not None and jail.level == "bwrap") or fresh.needed():
            self._start(setup, jail)
        else:
            self._page = mmap.mmap(-1, mmap.PAGESIZE)
            self._fork(setup, jail)

    # Starting

    def _fork(self, setup: Setup, jail: Jail | None) -> None:
        child_in, self.inbox = os.pipe()
        self.outbox, child_out = os.pipe()
        parent = os.getpid()
        self.pid = _fork_quietly()
        if self.pid == 0:
            try:
                die_with(parent)
                serve(child_in, child_out, self._page, setup, jail)
            finally:
                os._exit(1)
        os.close(child_in)
        os.close(child_out)
        self._unblock()

    def _start(self, setup: Setup, jail: Jail | None) -> None:
        """Start a fresh interpreter, under bubblewrap where the jail says so."""
        from stannary.run.boot import Settings

        page = fresh.shared_page()
        self._page = mmap.mmap(page, mmap.PAGESIZE)
        child_in, self.inbox = os.pipe()
        self.outbox, child_out = os.pipe()
        given = (child_in, child_out, page)
        arguments = [str(number) for number in given]
        if jail is not None and jail.level == "bwrap":
            from stannary.run import bubblewrap

            line, environment = bubblewrap.command(jail, [*arguments, "0"]), {"LC_ALL": "C.UTF-8"}
        else:
            line, environment = [*fresh.program(), *arguments, str(os.getpid())], dict(os.environ)
        for descriptor in given:
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - positional only
        null = os.open(os.devnull, os.O_RDWR)
        actions = [(os.POSIX_SPAWN_DUP2, null, n) for n in (0, 1, 2)]
        self.pid = os.posix_spawn(line[0], line, environment, file_actions=actions)
        for descriptor in (null, *given):
            os.close(descriptor)
        self._unblock()
        settings = msgspec.msgpack.encode(Settings(setup, jail))
        self._pending += HEADER.pack(0, 0, len(settings)) + settings
        self.write()

    def _unblock(self) -> None:
        os.set_blocking(self.inbox, False)
        os.set_blocking(self.outbox, False)

    # Talking

    def give(self, jobs: Iterable[tuple[Ticket, Job]], *, degraded: bool = False) -> None:
        """Send jobs, as far as the pipe takes them now."""
        self.used = True
        self.solo = degraded
        pending = self._pending
        for ticket, job in jobs:
            self.sent[ticket] = (job, degraded)
            pending += HEADER.pack(ticket, degraded, len(job.payload))
            pending += job.payload
        self.write()

    def write(self) -> None:
        """Push what is pending. A dead child is noticed by reading, not here."""
        pending = self._pending
        with contextlib.suppress(BlockingIOError):
            while pending:
                try:
                    count = os.write(self.inbox, pending)
                except BrokenPipeError:
                    pending.clear()
                    return
                del pending[:count]

    @property
    def wants_to_write(self) -> bool:
        """True when the pipe was full."""
        return bool(self._pending)

    def read(self) -> tuple[list[tuple[Ticket, int, bytes]], bool]:
        """Return the frames that arrived, and whether the child closed its end."""
        closed = False
        while True:
            try:
                chunk = os.read(self.outbox, 1 << 18)
            except BlockingIOError:
                break
            if not chunk:
                closed = True
                break
            self._buffer += chunk
            if len(chunk) < 1 << 15:
                break
        return list(self._frames()), closed

    def _frames(self) -> Iterator[tuple[Ticket, int, bytes]]:
        buffer, at, head = self._buffer, 0, HEADER.size
        while len(buffer) - at >= head:
            ticket, kind, length = HEADER.unpack_from(buffer, at)
            if length > _LARGEST_FRAME:
                self.kill(f"sent a result of {length} bytes")
                at = len(buffer)
                break
            if len(buffer) - at - head < length:
                break
            yield ticket, kind, bytes(buffer[at + head : at + head + length])
            at += head + length
        del buffer[:at]

    # Watching and ending

    def current(self) -> Ticket:
        """Return the ticket it says it is on, 0 for none."""
        ticket: Ticket = _CURRENT.unpack_from(self._page, 0)[0]
        return ticket

    def busy_for(self, now: float) -> float:
        """Return for how many seconds it has been on its job (or on getting ready), by our clock."""
        if not self.sent and self.ready:
            return 0.0
        current = self.current()
        if current != self._seen:
            self._seen = current
            self._seen_at = now
        return now - self._seen_at

    def started_work(self, now: float) -> None:
        """Restart the clock: it was idle until now."""
        self._seen_at = now

    def kill(self, reason: str) -> None:
        """End it; `reason` is what its job will be told."""
        self.killed_for = self.killed_for or reason
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> str:
        """Wait for its end, close the pipes and say why it died."""
        status = self._wait()
        for descriptor in (self.inbox, self.outbox):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        return self.killed_for or describe_status(status)

    def _wait(self) -> int:
        """Return the wait status; a child that only closed its pipe gets `_PATIENCE` seconds to leave."""
        patience = 0.0 if self.killed_for else _PATIENCE
        deadline = time.monotonic() + patience
        try:
            while time.monotonic() < deadline:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    return status
                time.sleep(0.001)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            return os.waitpid(self.pid, 0)[1]
        except ChildProcessError:  # SIGCHLD is ignored in this program
            return 0


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Let a Ctrl-C wait until the block is left. A process that is started inside begins with it held, and keeps it so."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def describe_status(status: int) -> str:
    """Put a wait status into words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
    else:
        code = os.waitstatus_to_exitcode(status)
        if code <= 128:
            return f"left with exit code {code}"
        number = code - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{_SIGNALS.get(name, 'crashed')} ({name})"


def _fork_quietly() -> int:
    if not _WARNS_OF_THREADS:
        return os.fork()
    # The child runs only this package's loop; threads of the parent (hashing) hold no lock it takes.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
