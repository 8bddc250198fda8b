"""What a ledger on PostgreSQL asks and says. `@` is the schema and a dot."""

from __future__ import annotations

__all__ = ["ADD", "CHECKPOINT", "GLANCE", "ROWS", "STATE", "STATE_WIDTH", "TILE"]

# The head; the first and the last index; by which transactions the rows were written that it rests on.
STATE = """
SELECT (SELECT note FROM @checkpoint ORDER BY size DESC LIMIT 1) AS note,
  (SELECT min(idx) FROM @entry) AS first, (SELECT max(idx) FROM @entry) AS last, tails, tails_by, tiles, tiles_by
FROM (SELECT count(*) AS tails, sum(xmin::text::int8)::int8 AS tails_by FROM @tail) AS of_tail,
  (SELECT count(*) AS tiles, sum(xmin::text::int8)::int8 AS tiles_by FROM @tile WHERE level > 0) AS of_tiles
"""
STATE_WIDTH = 7
ROWS = "SELECT idx, type, kind, subject, id, time, record FROM @entry"
# The state, some full tiles and an entry, as of one moment.
GLANCE = """
SELECT state.*,
  ARRAY(SELECT (SELECT hashes FROM @tile AS tile WHERE tile.level = wanted.level AND tile.n = wanted.n)
    FROM unnest(%b::int4[], %b::int8[]) WITH ORDINALITY AS wanted (level, n, place) ORDER BY place),
  entry.*
FROM (:state) AS state LEFT JOIN (:rows) AS entry ON entry.idx = %b
""".replace(":state", STATE).replace(":rows", ROWS)
ADD = (
    "INSERT INTO @entry (idx, type, kind, subject, id, time, record) SELECT * FROM "
    "unnest(%b::int8[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bytea[])"
)
TILE = "INSERT INTO @tile VALUES (%b, %b, %b) ON CONFLICT (level, n) DO UPDATE SET hashes = excluded.hashes"
CHECKPOINT = "INSERT INTO @checkpoint VALUES (%b, %b) ON CONFLICT (size) DO UPDATE SET note = excluded.note"
