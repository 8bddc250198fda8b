"""Statements that are put together once, and go to the driver as they are from then on.

SQLAlchemy's own way from a statement to the driver (caches, contexts, results) costs five to ten times what SQLite needs to
answer it. Here a statement is compiled once for each kind of database; what its types do to values on the way in and
out, JSON and booleans, they do here too.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

__all__ = ["Prepared"]

_SQLITE = "sqlite"
_Process = Callable[[Any], Any]


class _Compiled(NamedTuple):
    """A statement as a driver takes it."""

    text: str
    names: tuple[str, ...]  # of the parameters, in their order
    fixed: Mapping[str, Any]  # values that stand in the statement
    bind: Mapping[str, _Process]
    result: tuple[tuple[int, _Process], ...]
    row: Callable[[Sequence[Any]], Any]


class Prepared:
    """A statement of SQLAlchemy Core whose parameters are named by `bindparam`. It may be used by any number of threads."""

    def __init__(self, statement: sa.Select[Any] | sa.Insert | sa.Update | sa.Delete) -> None:
        self._statement = statement
        self._made: dict[str, _Compiled] = {}

    def rows(self, connection: Connection, **values: Any) -> list[Any]:  # noqa: ANN401 - what a column takes
        """Return the rows, with the columns as attributes."""
        found, cursor = self._run(connection, values)
        rows = cursor.fetchall()
        if found.result:
            rows = [_processed(row, found.result) for row in rows]
        return [found.row(row) for row in rows]

    def first(self, connection: Connection, **values: Any) -> Any:  # noqa: ANN401 - None, or a row
        """Return the first row, None when there is none."""
        rows = self.rows(connection, **values)
        return rows[0] if rows else None

    def change(self, connection: Connection, **values: Any) -> int:  # noqa: ANN401 - what a column takes
        """Change rows, and return how many there were."""
        return int(self._run(connection, values)[1].rowcount)

    def _run(self, connection: Connection, values: Mapping[str, Any]) -> tuple[_Compiled, Any]:
        dialect = connection.dialect
        found = self._made.get(dialect.name) or self._compiled(dialect)
        given = {**found.fixed, **values} if found.fixed else dict(values)
        for name, process in found.bind.items():
            given[name] = process(given[name])
        if dialect.name == _SQLITE:
            # The transaction is SQLAlchemy's; the driver's connection is the same one.
            driver: Any = connection.connection.dbapi_connection
            return found, driver.execute(found.text, [given[name] for name in found.names])
        return found, connection.exec_driver_sql(found.text, given)

    def _compiled(self, dialect: Dialect) -> _Compiled:
        compiled = self._statement.compile(dialect=dialect)
        types = {name: item.type.dialect_impl(dialect) for name, item in compiled.binds.items()}
        bind = {name: process for name, type_ in types.items() if (process := type_.bind_processor(dialect)) is not None}
        columns = list(getattr(self._statement, "exported_columns", ()))
        results = [(at, column.type.dialect_impl(dialect).result_processor(dialect, None)) for at, column in enumerate(columns)]
        made = namedtuple("Row", [column.key for column in columns], rename=True)  # type: ignore[misc] # noqa: PYI024 - the columns are not known before
        names = tuple(compiled.positiontup or compiled.binds)
        self._made[dialect.name] = _Compiled(
            text=str(compiled), names=names, fixed={key: value for key, value in compiled.params.items() if value is not None},
            bind=bind, result=tuple((at, process) for at, process in results if process is not None), row=made._make,
        )  # fmt: skip
        return self._made[dialect.name]


def _processed(row: Sequence[Any], result: tuple[tuple[int, _Process], ...]) -> list[Any]:
    made = list(row)
    for at, process in result:
        made[at] = process(made[at])
    return made
