"""The tables of a ledger on PostgreSQL, how they are known again, and what is checked of them. `@` is the schema and a dot."""

from __future__ import annotations

from typing import Any

import psycopg

__all__ = ["MAKE", "SHAPE", "SHAPE_QUERY", "VERSION", "check"]

VERSION = 1
# Texts are compared byte for byte ("C"): other collations change with the system's libraries, and break indexes when they do.
# Hashes are not compressible. The two small tables whose rows come and go are vacuumed by the number of rows gone.
MAKE = """
CREATE TABLE @version (version int4 NOT NULL);
CREATE TABLE @meta (name text COLLATE "C" PRIMARY KEY, value text NOT NULL);
CREATE TABLE @entry (
  idx int8 PRIMARY KEY,
  type text COLLATE "C" NOT NULL, kind text COLLATE "C" NOT NULL, subject text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL, time text COLLATE "C" NOT NULL,
  record bytea NOT NULL
);
CREATE INDEX entry_id ON @entry (id);
CREATE INDEX entry_subject ON @entry (subject) WHERE subject <> '';
CREATE INDEX entry_type ON @entry (type, time);
CREATE INDEX entry_kind ON @entry (kind, time) WHERE kind <> '';
CREATE TABLE @body (digest text COLLATE "C" PRIMARY KEY, content bytea NOT NULL);
CREATE TABLE @tile (level int4 NOT NULL, n int8 NOT NULL, hashes bytea STORAGE EXTERNAL NOT NULL, PRIMARY KEY (level, n));
CREATE TABLE @tail (idx int8 PRIMARY KEY, leaf bytea NOT NULL)
  WITH (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0);
CREATE TABLE @checkpoint (size int8 PRIMARY KEY, note text NOT NULL)
  WITH (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0);
"""

# Everything in the schema that decides what a statement sees or does, one line each.
SHAPE_QUERY = """
WITH relation AS (SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %(schema)s)
SELECT concat(relkind, ' ', relname, CASE WHEN relpersistence <> 'p' THEN concat(' ', relpersistence) END,
  CASE WHEN relrowsecurity THEN ' row security' END) FROM relation WHERE relkind <> 'i'
UNION ALL SELECT concat('c ', relname, '.', attname, ' ', format_type(atttypid, NULL), CASE WHEN NOT attnotnull THEN ' null' END,
  CASE WHEN atthasdef OR attidentity <> '' OR attgenerated <> '' THEN ' default' END, ' ' || collname)
  FROM relation JOIN pg_attribute ON attrelid = relation.oid
  LEFT JOIN pg_collation l ON l.oid = attcollation AND collname <> 'default'
  WHERE relkind = 'r' AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT concat(pg_get_indexdef(relation.oid), CASE WHEN NOT indisvalid THEN ' invalid' END)
  FROM relation JOIN pg_index ON indexrelid = relation.oid
UNION ALL SELECT 'trigger ' || tgname FROM relation JOIN pg_trigger ON tgrelid = relation.oid
UNION ALL SELECT 'rule ' || rulename FROM relation JOIN pg_rewrite ON ev_class = relation.oid
UNION ALL SELECT 'policy ' || polname FROM relation JOIN pg_policy ON polrelid = relation.oid
UNION ALL SELECT 'constraint ' || conname
  FROM relation JOIN pg_constraint ON conrelid = relation.oid WHERE contype NOT IN ('p', 'n')
UNION ALL SELECT concat('child ', inhrelid::regclass) FROM relation JOIN pg_inherits ON inhparent = relation.oid
UNION ALL SELECT 'function ' || proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = %(schema)s
"""
SHAPE = frozenset(
    """
r version
r meta
r entry
r body
r tile
r tail
r checkpoint
c version.version integer
c meta.name text C
c meta.value text
c entry.idx bigint
c entry.type text C
c entry.kind text C
c entry.subject text C
c entry.id text C
c entry.time text C
c entry.record bytea
c body.digest text C
c body.content bytea
c tile.level integer
c tile.n bigint
c tile.hashes bytea
c tail.idx bigint
c tail.leaf bytea
c checkpoint.size bigint
c checkpoint.note text
CREATE UNIQUE INDEX meta_pkey ON meta USING btree (name)
CREATE UNIQUE INDEX entry_pkey ON entry USING btree (idx)
CREATE INDEX entry_id ON entry USING btree (id)
CREATE INDEX entry_subject ON entry USING btree (subject) WHERE (subject <> ''::text)
CREATE INDEX entry_type ON entry USING btree (type, "time")
CREATE INDEX entry_kind ON entry USING btree (kind, "time") WHERE (kind <> ''::text)
CREATE UNIQUE INDEX body_pkey ON body USING btree (digest)
CREATE UNIQUE INDEX tile_pkey ON tile USING btree (level, n)
CREATE UNIQUE INDEX tail_pkey ON tail USING btree (idx)
CREATE UNIQUE INDEX checkpoint_pkey ON checkpoint USING btree (size)
""".strip().splitlines()
)

_COUNTS = {
    "entry_pkey": "SELECT count(*) FROM @entry WHERE idx > -1",
    "entry_id": "SELECT count(*) FROM @entry WHERE id > ''",
    "entry_type": "SELECT count(*) FROM @entry WHERE type > ''",
    "entry_subject": "SELECT count(*) FROM @entry WHERE subject <> ''",
    "entry_kind": "SELECT count(*) FROM @entry WHERE kind <> ''",
}


def check(connection: psycopg.Connection[Any], schema: str, *, deep: bool) -> list[str]:
    """Return what is wrong with the structures of the database: indexes that do not agree with their table.

    Without `deep`, in how many entries they have; with it every row is looked for as well.
    """
    found: list[str] = []
    for index, text in _COUNTS.items():
        query = text.replace("@", f"{schema}.").encode()
        with connection.transaction():
            counts = []
            for way in ("seqscan", "indexscan"):
                for other in {"seqscan", "indexscan", "indexonlyscan", "bitmapscan"} - {way, way.replace("scan", "onlyscan")}:
                    connection.execute(f"SET LOCAL enable_{other} = off".encode())
                connection.execute(f"SET LOCAL enable_{way} = on; SET LOCAL enable_indexonlyscan = on".encode())
                counts.append(connection.execute(query).fetchone())
        if counts[0] != counts[1]:
            found.append(f"the index {index} does not agree with its table")
    if not deep:
        return found
    amcheck = connection.execute(
        "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace "
        "JOIN pg_proc p ON pronamespace = n.oid AND proname = 'bt_index_check' AND pronargs = 2 "
        "WHERE extname = 'amcheck' AND has_function_privilege(p.oid, 'EXECUTE')"
    ).fetchone()
    for index in _COUNTS:
        if amcheck is None:
            break
        try:
            connection.execute(f"SELECT \"{amcheck[0]}\".bt_index_check('{schema}.{index}'::regclass, true)".encode())
        except (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted) as error:
            found.append(" ".join(str(error).split())[:200])
    return found
