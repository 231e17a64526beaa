"""What statements over the map of tables share: rows as dictionaries, insert-or-change, the database's clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Executable, func, select, text
from sqlalchemy.dialects.postgresql import Insert, insert


def rows_of(
    connection: Connection, statement: Executable | str, parameters: Mapping[str, Any] | None = None, **more: Any
) -> list[dict[str, Any]]:
    """Return the rows of a statement, which may be SQL, each a dictionary by the names of its columns."""
    executable = text(statement) if isinstance(statement, str) else statement
    return [dict(row) for row in connection.execute(executable, {**(parameters or {}), **more}).mappings()]


def read_now(connection: Connection) -> datetime:
    """Return the database's clock."""
    now: datetime = connection.execute(select(func.now())).scalar_one()
    return now


def upsert(key: Column[Any], values: Mapping[Column[Any], Any], *, only_new: tuple[Column[Any], ...] = ()) -> Insert:
    """
    Return the statement that inserts a row, or changes the one with the same unique key, `updated_at` with it.

    `values` includes the key's; an existing row keeps its columns of `only_new`.
    """
    table = key.table
    statement = insert(table).values(dict(values))
    kept = {key.name, *(column.name for column in only_new)}
    changes = {column.name: statement.excluded[column.name] for column in values if column.name not in kept}
    return statement.on_conflict_do_update(index_elements=[key], set_={**changes, "updated_at": func.now()})
