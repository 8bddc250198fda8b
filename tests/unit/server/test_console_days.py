"""Charts of the ledger and of jobs: each number is in a table and in the twin, and is what there is; of what is not seen, none."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta

from stannary.app.jobs import Asked, describe, open_table
from stannary.server.console.views.days import days_of, midnights

DAY = timedelta(days=1)


def test_entries_are_counted_by_day_and_kind_and_lead_to_them(bench, open_as):
    for days in (40, 29, 3, 3, 0):
        bench.offset = -days * DAY
        bench.say(bench.push(f"of {days} {bench.opened[0].chain.ledger.head().size}".encode()))
    auditor, ledger = open_as("aud", "auditor"), bench.opened[0].chain.ledger
    page = auditor.get("/ledger.json").json()
    found = page["activity"]
    assert (len(found["days"]), found["days"][-1]["day"]) == (30, bench.clock().astimezone(UTC).date().isoformat())
    wanted = Counter((row.time.date().isoformat(), row.kind) for row in ledger.entries() if row.time > bench.clock() - 29.5 * DAY)
    counted = Counter({(row["day"], kind): n for row in found["days"] for kind, n in row["counts"].items()})
    wanted = Counter({key: n for key, n in wanted.items() if key[0] >= found["days"][0]["day"]})
    assert counted == wanted
    assert found["total"] == wanted.total()
    text = auditor.get("/ledger").text
    rows = re.findall(r'<tr data-x="(\d+)" data-parts="([\d ]+)" data-text="([^"]+)">', text)
    assert [int(x) for x, _, _ in rows] == [row["index"] for row in reversed(found["days"]) if row["total"]]
    assert [sum(map(int, parts.split())) for _, parts, _ in rows] == [
        row["total"] for row in reversed(found["days"]) if row["total"]
    ]
    day = found["days"][26]["day"]
    assert f'<a href="/ledger?since={day}&until={day}&kind=statement">2</a>' in text.replace("&amp;", "&")
    there = auditor.get(f"/ledger.json?since={day}&until={day}&kind=statement").json()
    assert (len(there["entries"]), there["activity"]) == (2, None)
    one = auditor.get(f"/ledger.json?since={day}&until={day}").json()["activity"]
    assert [(row["day"], row["counts"]["version"]) for row in one["days"]] == [(day, 2)]
    for query in ("?until=0001-01-01", "?since=9999-01-01", "?until=9999-12-30"):
        assert auditor.get(f"/ledger{query}").status_code == 200, query
    assert "chart.js" not in auditor.get("/ledger?actor=aud").text


def test_jobs_are_counted_by_day_and_state_and_how_long_they_ran_of_those_one_may_see(bench, open_as):
    bench.push(b"own")
    bench.push(b"foreign", "secret/m")
    registry, table = bench.opened[0], open_table(bench.opened[0])
    for days, target, took in (
        (45, "claims", 1),
        (9, "claims", 10),
        (9, "claims", 30),
        (9, "secret/m", 999),
        (2, "claims", 0),
        (2, "secret/m", 0),
    ):
        bench.offset = -days * DAY
        row, _ = table.add(describe(registry, Asked("scan", f"registry:{target}:1", again=True)))
        if took:
            bench.offset += timedelta(seconds=5)
            table.claim("w", 1, 5000)
            bench.offset += timedelta(seconds=took)
            table.deliver("w", [(row.key, b"x")])
            table.settle("w", lambda values: [[] for _ in values])
    bench.offset = timedelta()
    found = open_as("carl", "contributor", place="default/*").get("/jobs.json").json()["activity"]
    names = {row["day"]: row["counts"] for row in found["states"]["days"] if row["total"]}
    today = bench.clock().astimezone(UTC).date()
    assert names == {(today - 9 * DAY).isoformat(): {"done": 2}, (today - 2 * DAY).isoformat(): {"queued": 1}}
    (run,) = found["runs"]
    assert (run["done"], run["index"]) == (2, 20)
    assert [round(run[name]) for name in ("median", "shortest", "longest", "waited")] == [20, 10, 30, 5]
    boss = open_as("boss", "fetcher").get("/jobs.json").json()["activity"]
    assert boss["states"]["total"] == 5
    assert round(boss["runs"][0]["longest"]) == 999
    nobody = open_as("nora", "viewer", place="elsewhere/*")
    assert nobody.get("/jobs.json").json()["activity"]["states"]["total"] == 0
    assert "<figure" not in nobody.get("/jobs").text
    text = open_as("ann", "viewer", place="default/*").get("/jobs").text
    assert text.count("<figure") == 2
    assert "secret" not in text
    assert open_as("eve", "viewer").get("/jobs.json?state=done").json()["activity"] is None


def test_what_is_rare_is_one_column_and_loses_nothing():
    starts = midnights(datetime(2026, 3, 1, tzinfo=UTC).date(), 3)
    assert [start.date().isoformat() for start in starts] == ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]
    counts = [{f"kind{n}": n + 1 for n in range(9)}, {}, {"kind0": 100, "": 3}]
    found = days_of(starts, counts)
    assert found.names == ("kind0", "kind8", "kind7", "kind6", "kind5", "kind4")
    assert found.columns[-1] == "4 others"
    assert [row.parts[-1] for row in found.days] == [4 + 3 + 2, 0, 3]
    assert [sum(row.parts) for row in found.days] == [row.total for row in found.days] == [45, 0, 103]
    assert days_of(starts, [{"a": 1, "": 1}, {}, {}]).columns == ("without", "a")
