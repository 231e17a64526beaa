"""The SQL of moving in, on the connection it is given: it never commits, and it decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Text, bindparam, cast, delete, func, null, select, text
from sqlalchemy.dialects.postgresql import JSONB, REGCLASS, insert
from sqlalchemy.exc import DBAPIError

from jobsync.db import tables
from jobsync.db.statements import read_now, upsert
from jobsync.logs import visible

# what is to be written of each, behind the id that it has in the original
Rows = Sequence[tuple[Any, Any]]
Memory = dict[str, dict[str, bytes]]
# classes of SQLSTATE with which a database refuses a row; P0001 and others are raised by triggers of its owner
_OF_A_ROW = ("22", "23", "P0", "44")


def lock_tables(connection: Connection) -> None:
    """Keep every other writer out until the transaction ends: a sync, a person, another adoption."""
    of_jobs = "dealerships, dealership_settings, easycar_credentials, vehicles, easycar_sync_logs"
    connection.execute(text(f"LOCK TABLE {of_jobs}, adopted IN SHARE ROW EXCLUSIVE MODE"))


def read_memory(connection: Connection, source: str) -> Memory:
    """Return what was brought from there before: fingerprint by id in the original, by what it is."""
    found: Memory = {}
    told = select(*tables.adopted.c["what", "source_id", "fingerprint"]).where(tables.adopted.c.source == source)
    for what, source_id, mark in connection.execute(told):
        found.setdefault(what, {})[source_id] = mark
    return found


def read_synced(connection: Connection) -> set[int]:
    """Return the dealerships that a sync of ours has gone through."""
    done = (tables.easycar_sync_logs.c.run_id.is_not(None), tables.easycar_sync_logs.c.status != "Failed")
    return set(connection.scalars(select(tables.easycar_sync_logs.c.dealership_id).where(*done).distinct()))


def read_ids(
    connection: Connection, key: Column[int], ids: Iterable[int], *, dealerships: Iterable[int] | None = None
) -> set[int]:
    """Return which of some ids a table has, by the column that is its key; with `dealerships` only theirs."""
    found = select(key).where(key == func.any(list(ids)))
    if dealerships is not None:
        found = found.where(key.table.c.dealership_id == func.any(list(dealerships)))
    return set(connection.scalars(found))


def remember(connection: Connection, what: str, source: str, brought: Mapping[int | str, bytes]) -> None:
    """Keep what was brought, with the hash of what was written."""
    if not brought:
        return
    statement, same = insert(tables.adopted), {"source": source, "what": what}
    changes = {"fingerprint": statement.excluded.fingerprint, "adopted_at": func.now()}
    given = [{**same, "source_id": str(number), "fingerprint": mark} for number, mark in brought.items()]
    connection.execute(statement.on_conflict_do_update(index_elements=[*same, "source_id"], set_=changes), given)


def forget(connection: Connection, what: str, source: str, ids: Iterable[int]) -> None:
    """Remember rows no more: they were deleted in the original."""
    column = tables.adopted.c
    known = (column.source == source, column.what == what, column.source_id == func.any(list(map(str, ids))))
    connection.execute(delete(tables.adopted).where(*known))


def write_each(connection: Connection, rows: Rows, write: Callable[[Connection, Rows], None]) -> dict[int, str]:
    """
    Write all rows that the database takes; returns, by id, its words about those that it does not.

    What it refuses is found by halves, each try in a savepoint.
    """
    if not rows:
        return {}
    try:
        with connection.begin_nested():
            write(connection, rows)
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or ""
        if not state.startswith(_OF_A_ROW):
            raise
        if len(rows) == 1:
            return {rows[0][0]: f"the database refuses it: {visible(str(error.orig).partition(chr(10))[0], most=300)}"}
    else:
        return {}
    middle = len(rows) // 2
    return {**write_each(connection, rows[:middle], write), **write_each(connection, rows[middle:], write)}


def put(key: Column[Any], connection: Connection, rows: Rows) -> None:
    """Insert rows of a table by their key, or change those that are here."""
    for number, row in rows:
        values = {key.table.c[name]: value for name, value in row.items()}
        connection.execute(upsert(key, {key: number, **values}))


def write_dealerships(connection: Connection, rows: Rows) -> None:
    """Insert dealerships under their ids, or change those that are here; with their switch, if they have one."""
    for number, row in rows:
        given = {name: row[name] for name in ("timezone", "created_at") if row[name]}
        put(tables.dealerships.c.id, connection, [(number, {"name": row["name"], "email": row["email"], **given})])
        if row["auto_sync"] is not None:
            switch = {"easycar_auto_sync_enabled": row["auto_sync"]}
            put(tables.dealership_settings.c.dealership_id, connection, [(number, switch)])


def delete_rows(key: Column[Any], connection: Connection, rows: Rows) -> None:
    """Delete rows by their key, and what belongs to them."""
    connection.execute(delete(key.table).where(key == func.any([number for number, _ in rows])))


def write_vehicles(connection: Connection, rows: Rows, *, retired: Mapping[int, tuple[str, str]]) -> None:
    """Insert vehicles under their ids, or change those that are here; a retired number gets a line of history."""
    giving = {number: retired[number] for number, _ in rows if number in retired}
    of_vehicle = tables.vehicles.c
    told = select(of_vehicle.id, of_vehicle.stock_number).where(of_vehicle.id == func.any(list(giving)))
    were = {row.id: row.stock_number for row in connection.execute(told)} if giving else {}
    lines = [(number, was, now) for number, (was, now) in giving.items() if were.get(number) != now]
    # those that give a number up come first, for others may take it; so do those that are here, for new ones may
    here = read_ids(connection, tables.vehicles.c.id, [number for number, _ in rows])
    rows = sorted(rows, key=lambda row: row[0] not in here)
    _write_vehicles(connection, [row for row in rows if row[0] in retired])
    _write_vehicles(connection, [row for row in rows if row[0] not in retired])
    if lines:
        connection.execute(
            insert(tables.vehicle_changes),
            [{"vehicle_id": number, "field": "stock_number", "old": was, "new": now} for number, was, now in lines],
        )


def _write_vehicles(connection: Connection, rows: Rows) -> None:
    if not rows:
        return
    now = read_now(connection)
    given = [
        {"id": number, "first_seen_at": row["created_at"] or now, **row, "created_at": row["created_at"] or now}
        for number, row in rows
    ]
    statement = insert(tables.vehicles)
    changes = {name: statement.excluded[name] for name in rows[0][1] if name != "created_at"}
    changes |= {"content_hash": null(), "updated_at": func.now()}
    connection.execute(statement.on_conflict_do_update(index_elements=[tables.vehicles.c.id], set_=changes), given)


def write_documents(connection: Connection, rows: Rows) -> None:
    """Insert or replace the latest stock items, by vehicle."""
    column = tables.easycar_stock_data.c
    values = {
        column.vehicle_id: bindparam("vehicle"),
        column.stock_item_json: cast(bindparam("item", type_=Text()), JSONB),
        column.api_version: bindparam("version"),
        column.synced_at: func.coalesce(bindparam("synced", type_=column.synced_at.type), func.now()),
    }
    given = [
        {"vehicle": number, "item": row["document"], "version": row["api_version"], "synced": row["synced_at"]}
        for number, row in rows
    ]
    connection.execute(upsert(column.vehicle_id, values), given)


def write_logs(connection: Connection, rows: Rows) -> None:
    """Add entries of the sync log; their ids here are new ones, since nothing refers to those there."""
    connection.execute(insert(tables.easycar_sync_logs), [dict(row) for _, row in rows])


def move_sequences(connection: Connection) -> None:
    """Have what is added later get ids beyond those that were brought."""
    for table in (tables.dealerships, tables.vehicles):
        sequence = cast(cast(func.pg_get_serial_sequence(table.name, "id"), Text()), REGCLASS)
        most = select(func.max(table.c.id)).scalar_subquery()
        last = func.coalesce(func.pg_sequence_last_value(sequence), 0)
        connection.execute(select(func.setval(sequence, most)).where(most > last))
