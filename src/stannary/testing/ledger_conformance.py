"""What a store of a ledger has to do, as checks that any back end is put through: ours, and a plug-in's.

    @pytest.mark.parametrize("name", CHECKS)
    def test_it_conforms(name, open_mine):
        CHECKS[name](open_mine)

`open_mine(create=..., write=...)` opens the same empty place each time it is called. A check raises AssertionError.
"""

from __future__ import annotations

import operator
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from stannary.core.errors import BackendError, IntegrityError, StannaryError, UsageError
from stannary.store.ledger_store import LedgerStore, Row

__all__ = ["CHECKS", "Opener"]

_META = {"origin": "example.com/conformance", "format": "stannary.ledger/1"}
_LONG_TURN = 0.3
_WAYS = {"=": operator.eq, ">=": operator.ge, "<": operator.lt}


class Opener(Protocol):
    """Opens a store at one place; with `create`, its meta, it is made when it is not there."""

    def __call__(self, *, create: Mapping[str, str] | None = None, write: bool = False) -> LedgerStore:
        """Open it."""
        ...


CHECKS: dict[str, Callable[[Opener], None]] = {}


def _check(function: Callable[[Opener], None]) -> Callable[[Opener], None]:
    CHECKS[function.__name__.removeprefix("_").replace("_", " ")] = function
    return function


def _same(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        msg = f"{what}: {found!r}, and not {wanted!r}"
        raise AssertionError(msg)


def _refused(call: Callable[[], object], kind: type[StannaryError], code: str) -> None:
    try:
        call()
    except kind as error:
        _same(error.code, code, "the code of the error")
        return
    msg = f"{kind.__name__} {code} was not raised"
    raise AssertionError(msg)


def _row(idx: int) -> Row:
    time_ = f"2026-01-01T00:00:{idx % 60:02}.000000Z"
    return Row(
        idx, "decision" if idx % 3 else "evidence", "scan" if idx % 2 else "", f"s{idx % 5}", f"i{idx}", time_, b"\0\xff%d" % idx
    )


def _fill(store: LedgerStore, start: int, end: int) -> None:
    with store.sequencer():
        store.add(map(_row, range(start, end)), [])
        store.drop_checkpoint(start)
        store.put_checkpoint(end, f"head {end}\n")


@_check
def _what_is_not_there_is_not_made_by_reading(opener: Opener) -> None:
    _refused(opener, UsageError, "LED018")
    _refused(opener, UsageError, "LED018")


@_check
def _a_new_one_is_empty_and_keeps_its_meta(opener: Opener) -> None:
    opener(create=_META, write=True).close()
    opener(create={"origin": "another", "format": "x"}, write=True).close()
    store = opener()
    with store.snapshot():
        _same(store.meta(), _META, "meta")
        _same((store.head(), store.span(), list(store.checkpoints())), ("", (0, 0), []), "an empty store")
        _same(set(store.counts().values()), {0}, "counts")
    _same(store.problems(deep=True), [], "problems")
    store.close()


@_check
def _rows_come_back_as_they_were_put(opener: Opener) -> None:
    writer = opener(create=_META, write=True)
    for start, end in ((0, 1), (1, 3), (3, 700)):
        _fill(writer, start, end)
    store = opener()
    wanted = [_row(idx) for idx in range(700)]
    with store.snapshot():
        _same(list(store.rows(0, 700)), wanted, "rows")
        _same(list(map(Row._make, store.block(250, 260))), wanted[250:260], "a block")
        _same(list(store.rows(690, 9000)), wanted[690:], "rows past the end")
        _same(store.span(), (700, 700), "span")
        _same(list(store.checkpoints()), [(700, "head 700\n")], "checkpoints")
        _same(store.head(), "head 700\n", "head")
        _same(store.counts(), {"entry": 700, "body": 0, "tile": 0, "tail": 0, "checkpoint": 1}, "counts")
    _same(store.problems(deep=True), [], "problems")
    writer.close()
    store.close()


@_check
def _rows_are_found_by_their_columns(opener: Opener) -> None:
    writer = opener(create=_META, write=True)
    _fill(writer, 0, 300)
    with writer.snapshot():
        for where in (
            [("type", "=", "evidence")],
            [("kind", "=", "scan"), ("subject", "=", "s3")],
            [("id", "=", "i77")],
            [("id", ">=", "i7"), ("id", "<", "i8")],
            [("time", ">=", "2026-01-01T00:00:30.000000Z"), ("type", "=", "decision")],
            [("subject", "=", "it's \"a\" %s % $1 ' OR 1=1 --")],
            [],
        ):
            wanted = [
                row for row in map(_row, range(300)) if all(_WAYS[way](getattr(row, name), value) for name, way, value in where)
            ]
            _same(writer.search(where, 1 << 62), wanted, f"search {where}")
            _same(writer.search(where, 3), wanted[:3], f"the first three of search {where}")
    writer.close()


@_check
def _tiles_the_tail_and_bodies(opener: Opener) -> None:
    store, leaves = opener(create=_META, write=True), [bytes([n]) * 32 for n in range(256)]
    with store.sequencer():
        store.add([], [("d1", b"\0body"), ("d2", b"")])
        store.add_tail(enumerate(leaves[:3]))
    with store.sequencer():
        store.add_tail([(3, leaves[3])])
        store.add([], [("d1", b"\0body")])
        store.put_tile(1, 0, b"partial")
    with store.snapshot():
        _same(
            (store.tile(0, 0), store.tile(1, 0), store.tile(1, 1), store.tile(0, 1)),
            (b"".join(leaves[:4]), b"partial", b"", b""),
            "tiles",
        )
        _same((store.body("d1"), store.body("d2"), store.body("d3")), (b"\0body", b"", None), "bodies")
        _same(store.counts(), {"entry": 0, "body": 2, "tile": 1, "tail": 4, "checkpoint": 0}, "counts")
    with store.sequencer():
        store.put_tile(0, 0, b"".join(leaves))
        store.add_tail([(256, leaves[9])])
        store.put_tile(1, 0, b"less")
    with store.snapshot():
        _same(
            (store.tile(0, 0), store.tile(0, 1), store.tile(1, 0)),
            (b"".join(leaves), leaves[9], b"less"),
            "a full tile takes the tail's place",
        )
        _same(store.counts()["tail"], 1, "the tail")
    store.close()


@_check
def _checkpoints_are_put_replaced_and_dropped(opener: Opener) -> None:
    store = opener(create=_META, write=True)
    with store.sequencer():
        for size, note in ((5, "five"), (70, "seventy — ✓"), (9, "nine"), (5, "five again")):
            store.put_checkpoint(size, note)
        store.drop_checkpoint(9)
        store.drop_checkpoint(4)
    with store.snapshot():
        _same(list(store.checkpoints()), [(5, "five again"), (70, "seventy — ✓")], "checkpoints")
        _same(store.head(), "seventy — ✓", "head")
    store.close()


@_check
def _a_block_that_raises_leaves_nothing_behind(opener: Opener) -> None:
    store = opener(create=_META, write=True)
    called: list[int] = []

    def broken() -> None:
        with store.sequencer() as after:
            after.append(lambda: called.append(1))
            store.add([_row(0)], [("d", b"x")])
            store.put_tile(1, 0, b"x")
            list(store.rows(0, 9))  # what was put so far is seen inside
            msg = "on purpose"
            raise BackendError(msg, code="X")

    _refused(broken, BackendError, "X")
    _fill(store, 0, 2)
    with store.snapshot():
        _same(store.counts(), {"entry": 2, "body": 0, "tile": 0, "tail": 0, "checkpoint": 1}, "counts")
    _same(called, [], "what was to be called after the commit")
    store.close()


@_check
def _what_was_put_is_seen_inside_and_called_for_after(opener: Opener) -> None:
    store, reader = opener(create=_META, write=True), opener()
    seen: list[object] = []
    with store.sequencer() as after:
        store.add([_row(0)], [])
        store.put_checkpoint(1, "one")
        _same((list(store.rows(0, 9)), store.head(), store.span()), ([_row(0)], "one", (1, 1)), "inside")
        with reader.snapshot():
            _same((list(reader.rows(0, 9)), reader.head()), ([], ""), "from outside, before the commit")

        def look() -> None:
            with reader.snapshot():
                seen.append(reader.head())

        after.append(look)
    _same(seen, ["one"], "from outside, after the commit")
    store.close()
    reader.close()


@_check
def _a_row_where_another_stands_is_refused_as_a_whole(opener: Opener) -> None:
    store = opener(create=_META, write=True)
    _fill(store, 0, 3)
    for many in (1, 100):

        def again(many: int = many) -> None:
            with store.sequencer():
                store.add(map(_row, range(2, 2 + many)), [("d", b"x")])

        _refused(again, IntegrityError, "LED006")
    with store.snapshot():
        _same((store.span(), store.counts()["body"]), ((3, 3), 0), "what is there")
    _fill(store, 3, 4)
    store.close()


@_check
def _a_snapshot_is_one_state(opener: Opener) -> None:
    writer, reader = opener(create=_META, write=True), opener()
    _fill(writer, 0, 2)
    with reader.snapshot():
        _same(reader.span(), (2, 2), "before")
        _fill(writer, 2, 5)
        _same((reader.span(), reader.head(), len(reader.block(0, 9))), ((2, 2), "head 2\n", 2), "meanwhile")
        with reader.snapshot():
            _same(len(list(reader.rows(0, 9))), 2, "in a snapshot within it")
    with reader.snapshot():
        _same((reader.span(), len(reader.block(0, 9))), ((5, 5), 5), "after")
    writer.close()
    reader.close()


@_check
def _a_glance_is_one_state_or_nothing(opener: Opener) -> None:
    writer = opener(create=_META, write=True)
    _fill(writer, 0, 9)
    with writer.sequencer():
        writer.put_tile(0, 0, b"\1" * 8192)
        writer.put_tile(1, 0, b"\2" * 32)
    store = opener()
    with store.snapshot(), store.glance([(0, 0)], 3) as inside:
        before = store.changed()
        _same(inside, None, "a glance inside of a snapshot")
    with store.glance([(1, 0), (0, 0), (2, 7)], 3) as found:
        if found is not None:  # a back end may have nothing that costs less than a snapshot
            _same((found.changed, found.note, found.row), (before, "head 9\n", _row(3)), "what is there")
            _same(dict(found.tiles), {(1, 0): b"\2" * 32, (0, 0): b"\1" * 8192}, "the tiles")
    _fill(writer, 9, 12)
    with store.glance((), -1) as found:
        if found is not None:
            _same((found.changed != before, found.note, found.row, dict(found.tiles)), (True, "head 12\n", None, {}), "afterwards")
    writer.close()
    store.close()


@_check
def _another_connection_s_writes_are_noticed_and_one_s_own_are_not(opener: Opener) -> None:
    one, two, reader = opener(create=_META, write=True), opener(write=True), opener()

    def changed(store: LedgerStore) -> int:
        with store.sequencer() if store is not reader else store.snapshot():
            return store.changed()

    _fill(one, 0, 1)
    first = changed(one)
    _fill(one, 1, 2)
    _same(changed(one), first, "after a write of its own")
    seen = changed(reader)
    _same(changed(reader), seen, "while nothing happened")
    _fill(two, 2, 3)
    if changed(one) == first or changed(reader) == seen:
        msg = "another connection wrote, and `changed` says the same number"
        raise AssertionError(msg)
    for store in (one, two, reader):
        store.close()


@_check
def _writers_take_turns(opener: Opener) -> None:
    stores = [opener(create=_META, write=True) for _ in range(3)]
    inside, most, order = [0], [0], []

    def work(store: LedgerStore) -> None:
        for _ in range(4):
            with store.sequencer():
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                (_, end) = store.span()
                time.sleep(_LONG_TURN / 30)
                store.add([_row(end)], [])
                order.append(end)
                inside[0] -= 1

    threads = [threading.Thread(target=work, args=(store,)) for store in stores for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _same((most[0], order), (1, list(range(24))), "the most writers at once, and what each saw")
    for store in stores:
        store.close()


@_check
def _reading_does_not_wait_for_a_writer(opener: Opener) -> None:
    writer, reader = opener(create=_META, write=True), opener()
    _fill(writer, 0, 1)
    with writer.sequencer():
        writer.add([_row(1)], [])
        started = time.monotonic()
        with reader.snapshot():
            _same(reader.span(), (1, 1), "while somebody writes")
        _same(int(time.monotonic() - started) // 5, 0, "the reader waited, in fives of seconds")
    writer.close()
    reader.close()


@_check
def _a_store_opened_for_reading_does_not_write(opener: Opener) -> None:
    opener(create=_META, write=True).close()
    reader = opener()

    def write() -> None:
        with reader.sequencer():
            reader.add([_row(0)], [])

    _refused(write, BackendError, "LED020")
    with reader.snapshot():
        _same(reader.span(), (0, 0), "what is there")
    reader.close()


@_check
def _it_is_opened_again_and_closed_twice(opener: Opener) -> None:
    writer = opener(create=_META, write=True)
    _fill(writer, 0, 2)
    again = writer.again()
    with again.snapshot():
        _same(again.span(), (2, 2), "opened again")
    _same(again.where, writer.where, "what it is called")
    for store in (again, again, writer):
        store.close()
