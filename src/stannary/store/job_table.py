"""The table of background jobs: claimed under leases, in batches, by any number of workers on any number of machines.

1. A worker claims jobs that are due for a while (the lease), and renews the lease as long as it lives.
2. A job whose lease ran out was lost with its worker: it is queued again, and counts a crash. What has crashed before is
   claimed alone, so that it takes nobody with it; after so many crashes it is quarantined (`poisoned`).
3. What a job came to is written down by its owner alone, once: the first value stays, however often the job is run.
4. It is done when its value was kept (`settle`). That happens alone, under the lock of all writers; a worker that dies in
   between leaves the value, and the next one keeps that same value. Keeping the same value twice has to change nothing.
5. A time that others compare with is of the clock of whoever wrote it: the clocks of workers have to agree within a lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from stannary.core.clock import Clock, system_clock
from stannary.core.model import Json
from stannary.store.database import Database
from stannary.store.tables import job as table

__all__ = ["ENDED", "STATES", "Claimed", "DayCount", "JobRow", "JobTable", "NewJob", "Run"]

STATES = ("queued", "running", "done", "failed", "poisoned", "cancelled")
ENDED = STATES[2:]
_C = table.c
_ASKED_AGAIN = ("failed", "cancelled")  # what is queued again when somebody asks for it again
_KEYS_AT_ONCE = 500
_LONGEST_ERROR = 2000


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """Work to be queued: its key, what it is, for which model (for the rights to see it), who asked for it."""

    key: str
    kind: str
    inputs: tuple[str, ...]
    params: Mapping[str, Json]
    namespace: str = "default"
    model: str = "*"
    actor: str = ""


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands in the table; times in RFC 3339, empty for what has not happened."""

    key: str
    kind: str
    inputs: tuple[str, ...]
    params: dict[str, Json]
    namespace: str
    model: str
    actor: str
    state: str
    created: str
    due: str
    started: str
    finished: str
    tries: int
    crashes: int
    progress: dict[str, Json]
    error: str
    evidence: tuple[str, ...]


class Claimed(NamedTuple):
    """A job that is ours for now. With a value, it was run before, and is only to be kept."""

    key: str
    kind: str
    inputs: tuple[str, ...]
    params: dict[str, Json]
    tries: int
    crashes: int
    value: bytes | None


class DayCount(NamedTuple):
    """How many jobs about a model of one state were created on a day."""

    namespace: str
    model: str
    day: str
    state: str
    jobs: int


class Run(NamedTuple):
    """When a job about a model was created, begun (the last time) and ended; RFC 3339."""

    namespace: str
    model: str
    created: str
    started: str
    finished: str


_ROW = tuple(_C[name] for name in JobRow.__struct_fields__)


class JobTable:
    """Jobs in a database.

    Args:
        database: with the table.
        clock: now.
        most_crashes: after so many a job is quarantined.
        backoff: seconds until a job that crashed or failed is tried again; twice as long each time, at most an hour.
    """

    def __init__(self, database: Database, clock: Clock = system_clock, *, most_crashes: int = 3, backoff: float = 1.0) -> None:
        self.database = database
        self.most_crashes = most_crashes
        self._clock = clock
        self._backoff = backoff

    # Asking for work

    def add(self, new: NewJob) -> tuple[JobRow, bool]:
        """Queue a job, and tell whether that was needed. The same one is there once; one that failed is queued again."""
        made = self.add_all([new])
        row = self.get(new.key)
        assert row is not None  # noqa: S101 - nothing deletes what has not ended long ago
        return row, new.key in made

    def add_all(self, news: Sequence[NewJob]) -> set[str]:
        """Queue jobs, all or none, and return the keys of those that were not there, or had failed."""
        now = self._now()
        rest = {
            "state": "queued", "created": now, "due": now, "started": "", "finished": "", "tries": 0, "crashes": 0,
            "owner": "", "lease": "", "progress": {}, "error": "", "value": None, "evidence": [],
        }  # fmt: skip
        again = {name: rest[name] for name in ("state", "due", "tries", "crashes", "error", "finished")}
        with self.database.sharing() as connection:
            insert = _insert(self.database)(table).on_conflict_do_nothing().returning(_C.key)
            rows = [{**msgspec.to_builtins(new), **rest} for new in news]
            made = set(connection.execute(insert, rows).scalars()) if rows else set()
            for new in news:
                if new.key not in made:
                    chosen = (_C.key == new.key) & _C.state.in_(_ASKED_AGAIN)
                    if connection.execute(sa.update(table).where(chosen).values(**again, actor=new.actor)).rowcount:
                        made.add(new.key)
        return made

    def cancel(self, key: str) -> bool:
        """End a job that has not ended. Its worker notices when it renews the lease; what it comes to is dropped."""
        chosen = (_C.key == key) & _C.state.in_(("queued", "running"))
        values = {"state": "cancelled", "owner": "", "lease": "", "finished": self._now()}
        with self.database.sharing() as connection:
            return connection.execute(sa.update(table).where(chosen).values(**values)).rowcount > 0

    # Looking

    def get(self, key: str) -> JobRow | None:
        """Return a job."""
        with self.database.reading() as connection:
            found = connection.execute(sa.select(*_ROW).where(_C.key == key)).first()
        return _row(found) if found else None

    def value(self, key: str) -> bytes | None:
        """Return what a job came to."""
        with self.database.reading() as connection:
            return connection.execute(sa.select(_C.value).where(_C.key == key)).scalar()

    def find(self, prefix: str) -> list[str]:
        """Return the keys that begin like this, two at most."""
        with self.database.reading() as connection:
            return list(connection.execute(sa.select(_C.key).where(_C.key.startswith(prefix, autoescape=True)).limit(2)).scalars())

    def rows(self, *, state: str = "", before: tuple[str, str] | None = None, limit: int = 100) -> list[JobRow]:
        """Return jobs, the newest first; `before`: when the last one seen was created, and its key."""
        query = sa.select(*_ROW).order_by(_C.created.desc(), _C.key.desc()).limit(limit)
        if state:
            # An expression: else the index by state is taken, and all of that state sorted (10,000 jobs: a page of 41 ms, now 6).
            query = query.where(_C.state + "" == state)
        if before:
            query = query.where((_C.created < before[0]) | ((_C.created == before[0]) & (_C.key < before[1])))
        with self.database.reading() as connection:
            return [_row(found) for found in connection.execute(query)]

    def ended(self, keys: Sequence[str]) -> list[tuple[JobRow, bytes | None]]:
        """Return which of these jobs have ended, with what they came to."""
        found = []
        with self.database.reading() as connection:
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                some = keys[start : start + _KEYS_AT_ONCE]
                query = sa.select(*_ROW, _C.value).where(_C.key.in_(some), _C.state.in_(ENDED))
                found += [(_row(row[:-1]), row[-1]) for row in connection.execute(query)]
        return found

    def counts(self) -> dict[str, int]:
        """Return how many jobs there are in each state."""
        with self.database.reading() as connection:
            found = connection.execute(sa.select(_C.state, sa.func.count()).group_by(_C.state)).all()
        return dict.fromkeys(STATES, 0) | {str(state): int(count) for state, count in found}

    def by_day(self, since: str, *, apart: bool) -> list[DayCount]:
        """Return how many jobs were created on each day from then on, by the state that they are in now.

        `apart`: by model, too; else the model is `*` in every namespace.
        """
        day = sa.func.substr(_C.created, 1, 10).label("day")
        key = (*((_C.namespace, _C.model) if apart else ()), day, _C.state)
        query = sa.select(*key, sa.func.count()).where(_C.created >= since).group_by(*key)
        with self.database.reading() as connection:
            return [DayCount(*(row if apart else ("", "*", *row))) for row in connection.execute(query)]

    def runs(self, since: str, most: int) -> list[Run]:
        """Return when the last jobs were created, begun and ended of those that were created from then on and are done."""
        columns = (_C.namespace, _C.model, _C.created, _C.started, _C.finished)
        query = sa.select(*columns).where(_C.created >= since, _C.state + "" == "done").order_by(_C.created.desc()).limit(most)
        with self.database.reading() as connection:
            return [Run(*row) for row in connection.execute(query)]

    # Working

    def claim(self, owner: str, most: int, lease: float) -> list[Claimed]:
        """Take up to `most` jobs that are due, the longest due first, for `lease` seconds."""
        now = self._clock()
        with self.database.reading() as connection:  # an empty queue is looked at often, and is no reason to keep writers waiting
            if connection.execute(sa.select(_C.key).where(_C.state == "queued", _C.due <= _stamp(now)).limit(1)).first() is None:
                return []
        due = sa.select(_C.key, _C.crashes).where(_C.state == "queued", _C.due <= _stamp(now)).order_by(_C.due, _C.key)
        with self.database.sharing() as connection:
            found = connection.execute(due.limit(most).with_for_update(skip_locked=True)).all()
            if not found:
                return []
            alone = found[0].crashes > 0
            keys = [row.key for row in (found[:1] if alone else [row for row in found if not row.crashes])]
            values = {
                "state": "running", "owner": owner, "lease": _stamp(now + timedelta(seconds=lease)), "started": _stamp(now),
                "tries": _C.tries + 1, "progress": {},
            }  # fmt: skip
            columns = tuple(_C[name] for name in Claimed._fields)
            update = sa.update(table).where(_C.key.in_(keys)).values(**values).returning(*columns)
            rows = connection.execute(update).all()
        return [Claimed(*row)._replace(inputs=tuple(row.inputs)) for row in rows]

    def beat(self, owner: str, lease: float, progress: Mapping[str, dict[str, Json]] | None = None) -> set[str]:
        """Renew the leases of a worker, note how far its jobs are, and return which jobs are still its own."""
        until = _stamp(self._clock() + timedelta(seconds=lease))
        mine = (_C.owner == owner) & (_C.state == "running")
        with self.database.sharing() as connection:
            kept = set(connection.execute(sa.update(table).where(mine).values(lease=until).returning(_C.key)).scalars())
            for key, value in (progress or {}).items():
                if key in kept:
                    connection.execute(sa.update(table).where(mine, _C.key == key).values(progress=value))
        return kept

    def reap(self) -> int:
        """Queue again what was lost with its worker, quarantine what has crashed too often, and return how many there were."""
        now = self._clock()
        lost = sa.select(_C.key, _C.owner, _C.crashes).where(_C.state == "running", _C.lease < _stamp(now))
        with self.database.sharing() as connection:
            found = connection.execute(lost.with_for_update(skip_locked=True)).all()
            for row in found:
                self._crashed(connection, row, "its worker was lost", 1, now)
        return len(found)

    def crashed(self, owner: str, key: str, reason: str, count: int = 1) -> None:
        """Note that a job took its process with it, `count` times."""
        with self.database.sharing() as connection:
            row = connection.execute(sa.select(_C.key, _C.owner, _C.crashes).where(_mine(owner, key)).with_for_update()).first()
            if row is not None:
                self._crashed(connection, row, reason, count, self._clock())

    def failed(self, owner: str, key: str, error: str, *, retry_after: float | None = None) -> None:
        """Note that a job failed; it is tried again after so many seconds, or not at all. A value that it has stays."""
        now = self._clock()
        values: dict[str, Any] = {"error": error[:_LONGEST_ERROR], "owner": "", "lease": ""}
        if retry_after is None:
            values |= {"state": "failed", "finished": _stamp(now)}
        else:
            values |= {"state": "queued", "due": _stamp(now + timedelta(seconds=retry_after))}
        with self.database.sharing() as connection:
            connection.execute(sa.update(table).where(_mine(owner, key)).values(**values))

    def deliver(self, owner: str, values: Iterable[tuple[str, bytes]]) -> None:
        """Write down what jobs came to. A job that is no longer the worker's own, or has a value, is left as it is."""
        mine = (_C.key == sa.bindparam("k")) & (_C.owner == owner) & (_C.state == "running") & _C.value.is_(None)
        rows = [{"k": key, "v": value} for key, value in values]
        with self.database.sharing() as connection:
            connection.execute(sa.update(table).where(mine).values(value=sa.bindparam("v")), rows)

    def settle(self, owner: str, keep: Callable[[Sequence[bytes]], Sequence[Sequence[str]]], *, key: str = "") -> int:
        """Keep what a worker's jobs came to (or one of them), alone, and return how many there were.

        `keep` gets the values and returns the ids of the evidence of each. It may see a value that was kept before.
        """
        with self.database.writing() as connection:
            chosen = (_C.owner == owner) & (_C.state == "running") & _C.value.is_not(None)
            if key:
                chosen &= _C.key == key
            rows = connection.execute(sa.select(_C.key, _C.value).where(chosen).order_by(_C.key).with_for_update()).all()
            if not rows:
                return 0
            kept = keep([bytes(row.value) for row in rows])
            values = {
                "state": "done",
                "owner": "",
                "lease": "",
                "finished": self._now(),
                "error": "",
                "evidence": sa.bindparam("e"),
            }
            update = sa.update(table).where(_C.key == sa.bindparam("k")).values(**values)
            connection.execute(update, [{"k": row.key, "e": list(ids)} for row, ids in zip(rows, kept, strict=True)])
        return len(rows)

    def release(self, owner: str) -> int:
        """Give back what a worker has, as if it had not been tried: it stops in good order."""
        mine = (_C.owner == owner) & (_C.state == "running")
        values = {"state": "queued", "owner": "", "lease": "", "tries": _C.tries - 1}
        with self.database.sharing() as connection:
            return connection.execute(sa.update(table).where(mine).values(**values)).rowcount

    def prune(self, older_than: timedelta) -> int:
        """Forget jobs that ended before then, and return how many. Their evidence is in the ledger, and stays."""
        chosen = _C.state.in_(ENDED) & (_C.finished < _stamp(self._clock() - older_than))
        with self.database.sharing() as connection:
            return connection.execute(sa.delete(table).where(chosen)).rowcount

    def pause(self, tries: int) -> float:
        """Return how many seconds to wait after so many tries."""
        return float(min(self._backoff * 2 ** max(0, tries - 1), 3600.0))

    def _crashed(self, connection: sa.Connection, row: Any, reason: str, count: int, now: datetime) -> None:  # noqa: ANN401 - a row
        crashes = row.crashes + count
        values: dict[str, Any] = {"crashes": crashes, "owner": "", "lease": "", "error": reason[:_LONGEST_ERROR]}
        if crashes >= self.most_crashes:
            values |= {"state": "poisoned", "finished": _stamp(now)}
        else:
            values |= {"state": "queued", "due": _stamp(now + timedelta(seconds=self.pause(crashes)))}
        connection.execute(sa.update(table).where(_mine(row.owner, row.key)).values(**values))

    def _now(self) -> str:
        return _stamp(self._clock())


def _mine(owner: str, key: str) -> sa.ColumnElement[bool]:
    return (_C.key == key) & (_C.owner == owner) & (_C.state == "running")


def _insert(database: Database) -> Any:  # noqa: ANN401 - one of two dialects' insert
    if database.is_sqlite:
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert
    from sqlalchemy.dialects.postgresql import insert as postgres_insert

    return postgres_insert


def _row(found: Any) -> JobRow:  # noqa: ANN401 - a row
    return msgspec.convert(dict(zip(JobRow.__struct_fields__, found, strict=True)), JobRow)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
