"""What is in a namespace and what keeps it there, and jobs by day: on SQLite and on PostgreSQL."""

from datetime import timedelta

from tests.unit.registry.conftest import APPROVED

from stannary.app.jobs import Asked, describe, open_table
from stannary.registry import promotion, retention
from stannary.registry.names import Name, parse
from stannary.registry.namespaces import kept_in, key_state, models_in, namespaces


def test_versions_are_counted_as_far_as_they_are_not_deleted(bench):
    registry = bench.opened[0]
    for content, name in ((b"1", "a/x"), (b"22", "a/x"), (b"333", "a/y"), (b"4444", "b/x")):
        bench.push(content, name)
    empty = len(b"{}")  # a file that each of them has besides
    with registry.reading() as connection:
        rows = {row.name: (row.models, row.versions, row.size) for row in namespaces(connection)}
        assert rows == {"a": (2, 3, 6 + 3 * empty), "b": (1, 1, 4 + empty)}
        assert [row.name for row in namespaces(connection, "b")] == ["b"]
        assert namespaces(connection, "c") == []
        assert [(row.name.name, row.versions, row.size) for row in models_in(connection, "a", 9)] == [
            ("x", 2, 3 + 2 * empty), ("y", 1, 3 + empty),
        ]  # fmt: skip
        assert len(models_in(connection, "a", 1)) == 1
    retention.retain(registry, Name("a", "x"), keep=1, older_than=-timedelta(minutes=1), reason="old")
    with registry.reading() as connection:
        (found,) = namespaces(connection, "a")
    assert (found.models, found.versions, found.size) == (2, 2, 5 + 2 * empty)
    assert [
        key_state(found, separate=separate, has_key=has, was_shredded=was)
        for separate, has, was in ((False, True, True), (True, True, True), (True, False, False), (True, False, True))
    ] == ["shared", "own", "lost", "lost"]


def test_what_is_kept_is_found_each_for_its_reason(bench):
    registry = bench.opened[0]
    for content, name in ((b"1", "a/x"), (b"2", "a/x"), (b"3", "a/y"), (b"4", "a/z"), (b"5", "b/x")):
        bench.push(content, name)
    retention.hold(registry, Name("a", "x"), 2, "law")
    retention.hold(registry, Name("b", "x"), 1, "law")
    retention.quarantine(registry, registry.show(parse("a/y:1")).digest, "bad")
    promotion.protect(registry, Name("a", "z"), "staging", APPROVED)
    bench.say(registry.show(parse("a/z:1")))
    assert promotion.promote(registry, Name("a", "z"), 1, "staging").moved
    with registry.reading() as connection:
        found = kept_in(connection, "a", 9)
        assert [(str(row), row.held, row.quarantined, row.aliases) for row in found] == [
            ("a/x:2", "law", "", ()), ("a/y:1", "", "bad", ()), ("a/z:1", "", "", ("staging",)),
        ]  # fmt: skip
        assert len(kept_in(connection, "a", 2)) == 2
        assert kept_in(connection, "nothing", 9) == []


def test_jobs_are_counted_by_day_and_listed_by_state(bench):
    registry, table = bench.opened[0], open_table(bench.opened[0])
    bench.push(b"1", "a/x")
    bench.push(b"2", "b/x")
    keys = {}
    for days, target in ((3, "a/x"), (3, "b/x"), (1, "a/x")):
        bench.offset = -timedelta(days=days)
        row, _ = table.add(describe(registry, Asked("scan", f"registry:{target}:1", again=True)))
        keys[days, target] = row.key
    bench.offset = -timedelta(days=2)
    (claimed,) = table.claim("w", 1, 60)
    table.deliver("w", [(claimed.key, b"x")])
    table.settle("w", lambda values: [[] for _ in values])
    bench.offset = timedelta()
    day = {days: (bench.clock() - timedelta(days=days)).date().isoformat() for days in (1, 3)}
    together = {(row.day, row.state): row.jobs for row in table.by_day(day[3], apart=False)}
    assert together == {(day[3], "done"): 1, (day[3], "queued"): 1, (day[1], "queued"): 1}
    apart = {(row.namespace, row.model, row.day): row.jobs for row in table.by_day(day[3], apart=True)}
    assert apart == {("a", "x", day[3]): 1, ("b", "x", day[3]): 1, ("a", "x", day[1]): 1}
    assert [row.day for row in table.by_day(day[1], apart=False)] == [day[1]]
    (run,) = table.runs(day[3], 9)
    assert run.created[:10] == day[3]
    assert run.started[:10] == run.finished[:10] == (bench.clock() - timedelta(days=2)).date().isoformat()
    assert table.runs(day[1], 9) == []
    assert [row.key for row in table.rows(state="done")] == [claimed.key]
    assert [row.key for row in table.rows(state="queued")] == [
        keys[1, "a/x"], *(key for (days, _), key in keys.items() if days == 3 and key != claimed.key),
    ]  # fmt: skip
