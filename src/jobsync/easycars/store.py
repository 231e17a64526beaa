"""
The SQL of stock sync, on the connection it is given: it never commits, and it decides nothing.

Statements over the two large tables are planned each time (`prepare=False`): a plan kept from when a table was small
would read all of it once it has grown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, LiteralString
from uuid import UUID

import msgspec

from jobsync.cron import DEFAULT_CRON, DEFAULT_ZONE, Rule, Wanted, next_slot
from jobsync.easycars.model import (
    FEED_COLUMNS,
    Car,
    Change,
    Current,
    HeldSet,
    Listed,
    Refused,
    Row,
    StockPlan,
)
from jobsync.easycars.parse import fingerprint
from jobsync.easycars.plan import spell
from jobsync.easycars.schedule import RETRY_MINUTES, Schedule, next_retry
from jobsync.logs import visible
from jobsync.runner.items import ItemFailure
from jobsync.runner.lock import lock_key

if TYPE_CHECKING:
    from psycopg import Connection

API_VERSION = "1.01"
_BATCH = 500
_ROWS_AT_ONCE = 64
_END_OF_LINE = f"\t{API_VERSION}\n".encode()

# How each feed column travels inside one JSON document (see _write_changes).
_TYPES: Mapping[str, LiteralString] = {
    "year": "integer",
    "price": "numeric",
    "special_price": "numeric",
    "is_drive_away": "boolean",
    "odometer": "integer",
    "doors": "integer",
    "seats": "integer",
    "features": "jsonb",
    "images": "jsonb",
}


@dataclass(frozen=True)
class Dealership:
    """One dealership as the job sees it; `why_not` says why a run that names nobody leaves it out."""

    id: int
    name: str
    why_not: str | None
    attempt: int
    due: str | None
    environment: str | None


# --- who is to be synced ---------------------------------------------------------------------------------------------


def read_dealerships(connection: Connection[Any]) -> list[Dealership]:
    """
    Return all dealerships, those with the fewest unfinished attempts first, then those not tried for longest.

    `due` is `slot` or `retry` for those whose time has come, else None.
    """
    rows = connection.execute(
        """
        SELECT d.id, d.name,
               CASE WHEN c.dealership_id IS NULL OR NOT c.is_active THEN 'no_credentials'
                    WHEN NOT coalesce(s.easycar_auto_sync_enabled, true) THEN 'auto_sync_off'
                    WHEN s.paused_until > now() THEN 'paused' END,
               coalesce(h.attempt, 0),
               CASE WHEN h.next_at <= now() THEN 'slot' WHEN h.retry_at <= now() THEN 'retry' END,
               c.environment
        FROM dealerships d
        LEFT JOIN easycar_credentials c ON c.dealership_id = d.id
        LEFT JOIN dealership_settings s ON s.dealership_id = d.id
        LEFT JOIN sync_schedule h ON h.dealership_id = d.id
        ORDER BY coalesce(h.attempt, 0), h.attempted_at NULLS FIRST, d.id
        """
    ).fetchall()
    return [Dealership(*row) for row in rows]


def keep_dealership(connection: Connection[Any], dealership_id: int) -> bool:
    """Keep the host application from deleting the dealership until the transaction ends; False if it has done so."""
    statement = "SELECT 1 FROM dealerships WHERE id = %s FOR KEY SHARE"
    return connection.execute(statement, [dealership_id]).fetchone() is not None


def read_account_secrets(connection: Connection[Any]) -> list[str]:
    """Return the account secrets in use, as stored."""
    rows = connection.execute("SELECT account_secret_encrypted FROM easycar_credentials WHERE is_active ORDER BY id")
    return [row[0] for row in rows]


StoredCredentials = tuple[str, ...]


def read_credentials(connection: Connection[Any], dealership_id: int) -> StoredCredentials | None:
    """
    Return the active credentials as stored: four ciphertexts (client id and secret, account number and secret),
    environment, yard code; None if there are none.
    """
    return connection.execute(
        "SELECT client_id_encrypted, client_secret_encrypted, account_number_encrypted, account_secret_encrypted,"
        " environment, yard_code FROM easycar_credentials WHERE dealership_id = %s AND is_active",
        [dealership_id],
    ).fetchone()


def read_schedules(connection: Connection[Any]) -> list[Schedule]:
    """Return the schedule of every dealership, as wanted and as last computed."""
    rows = connection.execute(
        """
        WITH common AS MATERIALIZED (
            SELECT coalesce((SELECT value FROM system_settings WHERE key = 'easycar_sync_cron'), %s) AS cron,
                   coalesce((SELECT value FROM system_settings WHERE key = 'easycar_sync_timezone'), %s) AS timezone)
        SELECT d.id, coalesce(nullif(btrim(s.sync_cron), ''), common.cron),
               coalesce(nullif(btrim(d.timezone), ''), common.timezone), common.cron, common.timezone,
               h.cron, h.timezone, h.seen, h.next_at, h.slot_started_at, h.attempted_at
        FROM dealerships d CROSS JOIN common
        LEFT JOIN dealership_settings s ON s.dealership_id = d.id
        LEFT JOIN sync_schedule h ON h.dealership_id = d.id
        ORDER BY d.id
        """,
        [DEFAULT_CRON, DEFAULT_ZONE],
    ).fetchall()
    return [Schedule(row[0], Wanted(*row[1:5]), *row[5:]) for row in rows]


_NOT_IN_THE_FUTURE: LiteralString = ", ".join(
    f"{column} = CASE WHEN h.{column} > now() THEN now() ELSE h.{column} END"
    for column in ("attempted_at", "slot_at", "slot_started_at", "last_success_at")
)


def write_schedule(connection: Connection[Any], found: Schedule, rule: Rule, *, next_at: datetime) -> None:
    """
    Keep a schedule and what it was computed from, unless another run has done so since `found` was read.

    A retry of the slot stays while the rule does. A dealership that the host application is about to delete is left
    out. Instants that a wrong clock left in the future become now.
    """
    connection.execute(
        "INSERT INTO sync_schedule AS h (dealership_id, cron, timezone, seen, next_at)"
        " SELECT d.id, %(cron)s, %(timezone)s, %(seen)s, %(next_at)s FROM dealerships d WHERE d.id = %(id)s"
        " FOR KEY SHARE SKIP LOCKED"
        " ON CONFLICT (dealership_id) DO UPDATE SET cron = excluded.cron, timezone = excluded.timezone,"
        " retry_at = CASE WHEN (h.cron, h.timezone, h.retry_at IS NULL) = (excluded.cron, excluded.timezone, false)"
        " THEN least(h.retry_at, now() + %(longest_wait)s) END,"
        f" seen = excluded.seen, next_at = excluded.next_at, {_NOT_IN_THE_FUTURE}"
        " WHERE h.seen IS NOT DISTINCT FROM %(seen_before)s AND h.next_at IS NOT DISTINCT FROM %(next_before)s",
        {
            "id": found.dealership_id,
            "cron": rule.cron,
            "timezone": rule.timezone,
            "seen": found.wanted.seen,
            "next_at": next_at,
            "seen_before": found.seen,
            "next_before": found.next_at,
            "longest_wait": timedelta(minutes=max(RETRY_MINUTES)),
        },
    )


def begin_attempt(connection: Connection[Any], dealership_id: int, *, scheduled: bool) -> int:
    """
    Commit an attempt before it starts; one that never finishes stays counted.

    A scheduled attempt uses up its slot, or one of the slot's retries: the next slot and the next retry are set now,
    so that a process that dies leaves nothing to be repaired. Returns the number of attempts.
    """
    row = connection.execute(
        "INSERT INTO sync_schedule AS s (dealership_id, attempt, attempted_at) VALUES (%s, 1, now())"
        " ON CONFLICT (dealership_id) DO UPDATE SET attempt = s.attempt + 1, attempted_at = now()"
        " RETURNING attempt, cron, timezone, next_at, slot_started_at, now()",
        [dealership_id],
    ).fetchone()
    assert row is not None  # noqa: S101 - INSERT … RETURNING
    attempt, cron, timezone, next_at, slot_started_at, now = row
    if not scheduled or cron is None:
        return int(attempt)
    if next_at is not None and next_at <= now:
        connection.execute(
            "UPDATE sync_schedule SET slot_at = next_at, next_at = %s, slot_started_at = now(), attempt = 1,"
            " retry_at = %s WHERE dealership_id = %s",
            [next_slot(cron, timezone, now), next_retry(1, slot_started_at=now, now=now), dealership_id],
        )
        return 1
    connection.execute(
        "UPDATE sync_schedule SET retry_at = %s WHERE dealership_id = %s",
        [next_retry(attempt, slot_started_at=slot_started_at or now, now=now), dealership_id],
    )
    return int(attempt)


_ATTEMPT: LiteralString = "attempt, attempted_at, slot_at, next_at, slot_started_at, retry_at"
StoredAttempt = tuple[Any, ...]


def read_attempt(connection: Connection[Any], dealership_id: int) -> StoredAttempt:
    """Return the schedule as it is, for `take_back`."""
    row = connection.execute(
        f"SELECT {_ATTEMPT} FROM sync_schedule WHERE dealership_id = %s", [dealership_id]
    ).fetchone()
    return row or (0, None, None, None, None, None)


def take_back(connection: Connection[Any], dealership_id: int, before: StoredAttempt, *, asked: bool) -> None:
    """
    Undo an attempt's beginning: slot and retries are as before it.

    Args:
        asked: it was tried all the same, so that others come before it the next time.
    """
    connection.execute(
        f"UPDATE sync_schedule SET ({_ATTEMPT}) = (%s, CASE WHEN %s THEN attempted_at ELSE %s END, %s, %s, %s, %s)"
        " WHERE dealership_id = %s",
        [before[0], asked, *before[1:], dealership_id],
    )


def end_attempt(connection: Connection[Any], dealership_id: int) -> None:
    """Forget the attempts: this one got through."""
    connection.execute(
        "UPDATE sync_schedule SET attempt = 0, retry_at = NULL, last_success_at = now() WHERE dealership_id = %s",
        [dealership_id],
    )


def fail_attempt(connection: Connection[Any], dealership_id: int, *, scheduled: bool, transient: bool) -> None:
    """
    Keep a failed attempt's consequence: a transient cause leaves the slot's next retry, any other ends the slot.

    A hand run that failed counts for nothing: neither does it use up a retry of the slot, nor does it cancel one.
    """
    if not scheduled:
        connection.execute(
            "UPDATE sync_schedule SET attempt = greatest(attempt - 1, 0) WHERE dealership_id = %s", [dealership_id]
        )
    elif not transient:
        connection.execute("UPDATE sync_schedule SET retry_at = NULL WHERE dealership_id = %s", [dealership_id])


# --- what we have ----------------------------------------------------------------------------------------------------

# What str.strip() takes away: parse reads the feed's word with it, and the two must not differ.
BLANKS: LiteralString = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_FEED_SAYS_SOLD: LiteralString = (
    "(lower(btrim(coalesce((SELECT d.stock_item_json->>'StockStatus' FROM easycar_stock_data d"
    f" WHERE d.vehicle_id = v.id), v.stock_status, ''), '{BLANKS}')) = 'sold')"
)
# CASE keeps its order: a join, or AND alone, would have the document of every row read
_LOCALLY_SOLD: LiteralString = f"CASE WHEN v.status = 'sold' THEN NOT {_FEED_SAYS_SOLD} ELSE false END"


# A removed row whose last status was "sold here" is sold again when it comes back.
_SOLD_HERE_BEFORE: LiteralString = (
    "coalesce((SELECT c.old = 'sold' FROM vehicle_changes c WHERE c.vehicle_id = v.id AND c.field = 'status'"
    " AND c.new = 'removed' ORDER BY c.id DESC LIMIT 1), false)"
    f" AND NOT {_FEED_SAYS_SOLD}"
)


def read_listed(connection: Connection[Any], dealership_id: int) -> dict[str, Listed]:
    """Return our rows that are not removed, by stock number."""
    rows = connection.execute(
        f"""
        SELECT v.id, v.stock_number, v.vin, v.status, v.content_hash, v.locked_fields, v.missing_since,
               {_LOCALLY_SOLD}, v.yard_code
        FROM vehicles v
        WHERE v.dealership_id = %s AND v.data_source = 'easycars' AND v.status <> 'removed'
        """,
        [dealership_id],
        binary=True,
        prepare=False,
    ).fetchall()
    return {row[1]: Listed._make(row) for row in rows}


def read_rows(
    connection: Connection[Any], dealership_id: int, stock_numbers: Sequence[str], *, for_update: bool
) -> dict[str, Row]:
    """Return our rows of these stock numbers in full, removed ones too; `for_update` keeps other writers out."""
    if not stock_numbers:
        return {}
    columns: LiteralString = ", ".join(f"v.{column}" for column in FEED_COLUMNS)
    rows = connection.execute(
        f"""
        SELECT v.id, v.stock_number, v.vin, v.status, v.content_hash, v.locked_fields, v.missing_since,
               CASE WHEN v.status = 'removed' THEN {_SOLD_HERE_BEFORE} ELSE ({_LOCALLY_SOLD}) END,
               v.yard_code, coalesce(d.stock_item_json::text, '{{}}'), {columns}
        FROM vehicles v LEFT JOIN easycar_stock_data d ON d.vehicle_id = v.id
        WHERE v.dealership_id = %s AND v.data_source = 'easycars' AND v.stock_number = ANY(%s)
        {"FOR NO KEY UPDATE OF v" if for_update else ""}
        """,
        [dealership_id, list(stock_numbers)],
        prepare=False,
    ).fetchall()
    found = {}
    for row in rows:
        listed = Listed._make(row[:9])
        found[listed.stock_number] = Row(listed, dict(zip(FEED_COLUMNS, row[10:], strict=True)), row[9])
    return found


def read_current(
    connection: Connection[Any],
    dealership_id: int,
    listed: Mapping[str, Listed],
    *,
    for_update: bool,
) -> tuple[Current, datetime]:
    """
    Return all that the plan compares with, and the database's clock; full rows are read when the plan asks for them.

    Of removals that a person was asked about: the open question, the approval not yet carried out, and the refusal if
    it was the last word.
    """
    [(now, others, past, held)] = connection.execute(
        """
        SELECT now(),
               (SELECT coalesce(jsonb_agg(jsonb_build_array(stock_number, vin)), '[]')
                FROM vehicles WHERE dealership_id = %(id)s AND data_source <> 'easycars'),
               (SELECT coalesce(jsonb_agg(jsonb_build_array(yard_code, blocked)), '[]') FROM
                 (SELECT yard_code, removals_blocked IS NOT NULL AS blocked FROM easycar_sync_logs
                  WHERE dealership_id = %(id)s AND sync_type = 'stock' AND status <> 'Failed'
                  ORDER BY synced_at DESC, id DESC LIMIT 10) AS past),
               (SELECT coalesce(jsonb_agg(jsonb_build_array(id, stock_numbers, status, reason)), '[]') FROM
                 (SELECT id, stock_numbers, status, reason FROM held_removals
                  WHERE dealership_id = %(id)s AND applied_at IS NULL AND status <> 'superseded'
                  ORDER BY id DESC LIMIT 20) AS held)
        """,
        {"id": dealership_id},
        prepare=False,
    ).fetchall()
    run_of_blocked = next((n for n, (_, blocked) in enumerate(past) if not blocked), len(past))
    sets: dict[str, HeldSet] = {}
    for number, stock_numbers, status, reason in held:
        sets.setdefault(status, HeldSet(number, frozenset(stock_numbers), status, reason))
    current = Current(
        listed=listed,
        rows=lambda stock_numbers: read_rows(connection, dealership_id, stock_numbers, for_update=for_update),
        other_stock_numbers=frozenset(number.strip() for number, _ in others if number and number.strip()),
        other_vins=frozenset(vin.strip().upper() for _, vin in others if vin and vin.strip()),
        synced_before=bool(past),
        yard_code=past[0][0] if past else None,
        blocked_in_a_row=run_of_blocked,
        **sets,
    )
    return current, now


# --- what the plan changes -------------------------------------------------------------------------------------------


def apply_plan(
    connection: Connection[Any], dealership_id: int, plan: StockPlan, *, run_id: UUID, now: datetime
) -> None:
    """
    Carry out everything in the plan; the caller's transaction makes it all true at once.

    Raises:
        ChangedMeanwhile: a row to be removed is no longer what was planned with.
    """
    _lock_removed(connection, plan.removed)
    for row in plan.retired:
        connection.execute(
            "UPDATE vehicles SET stock_number = %s, updated_at = now() WHERE id = %s", [_retired_number(row), row.id]
        )
    _write_created(connection, dealership_id, plan.created)
    _write_changed(connection, plan.changed)
    _mark(connection, "status = 'removed', removed_at = %(now)s", plan.removed, now, since=now)
    _mark(connection, "missing_since = %(now)s", plan.missing, now)
    _mark(connection, "missing_since = NULL", plan.returned, now)
    if plan.recognized:
        connection.execute(
            "UPDATE vehicles v SET content_hash = n.hash"
            " FROM unnest(%s::bigint[], %s::bytea[]) AS n (id, hash) WHERE v.id = n.id",
            [[row.id for row, _ in plan.recognized], [digest for _, digest in plan.recognized]],
            prepare=False,
        )
    if plan.retired or plan.changed or plan.removed:
        with connection.cursor().copy(
            "COPY vehicle_changes (vehicle_id, run_id, changed_at, field, old, new) FROM STDIN"
        ) as copy:
            for vehicle_id, name, old, new in _history(plan):
                copy.write_row((vehicle_id, run_id, now, name, spell(old), spell(new)))
    write_refused(connection, dealership_id, plan.refused, run_id=run_id)
    _write_held(connection, dealership_id, plan, run_id=run_id)


class ChangedMeanwhile(ItemFailure):
    """The host application deleted, sold or took over a vehicle after it was read; with a new plan all is well."""

    def __init__(self) -> None:
        super().__init__(
            "another session keeps changing vehicles that this sync would remove; nothing was written, the next sync"
            " tries again",
            reason="changed_meanwhile",
            transient=True,
        )


def _lock_removed(connection: Connection[Any], rows: Sequence[Listed]) -> None:
    """
    Keep other writers away from the rows to be removed, and look whether they still are what was planned with.

    Rows that get new values are locked as they are read; to lock every row there is would cost more than the sync.
    """
    if not rows:
        return
    found = connection.execute(
        "SELECT id, status FROM vehicles WHERE id = ANY(%s) AND data_source = 'easycars' ORDER BY id FOR NO KEY UPDATE",
        [[row.id for row in rows]],
        prepare=False,
    ).fetchall()
    if dict(found) != {row.id: row.status for row in rows}:
        raise ChangedMeanwhile


def _retired_number(row: Listed) -> str:
    """Name a row whose number is taken over; the blank at the end is one that no item's trimmed number can have."""
    return f"{row.stock_number}~{row.id} "


def _history(plan: StockPlan) -> Iterator[tuple[int, str, Any, Any]]:
    """Yield every change of a kept row: vehicle, field, old value, new value."""
    for row in plan.retired:
        yield row.id, "stock_number", row.stock_number, _retired_number(row)
    for change in plan.changed:
        for name, (old, new) in change.changes.items():
            yield change.row.id, name, old, new
    for row in plan.removed:
        yield row.id, "status", row.status, "removed"


def _mark(
    connection: Connection[Any],
    assignment: LiteralString,
    rows: Iterable[Listed],
    now: datetime,
    *,
    since: datetime | None = None,
) -> None:
    ids = [row.id for row in rows]
    if ids:
        also: LiteralString = ", missing_since = coalesce(missing_since, %(now)s)" if since else ""
        connection.execute(
            f"UPDATE vehicles SET {assignment}{also}, updated_at = now()"
            " WHERE id = ANY(%(ids)s) AND status <> 'removed'",
            {"now": now, "ids": ids},
            prepare=False,
        )


def _write_created(connection: Connection[Any], dealership_id: int, cars: Sequence[Car]) -> None:
    """COPY new rows straight in, with ids drawn beforehand so that their documents can follow."""
    if not cars:
        return
    ids = connection.execute(
        "SELECT nextval(s.name) FROM (SELECT pg_get_serial_sequence('vehicles', 'id')::regclass AS name OFFSET 0) s,"
        " generate_series(1, %s)",
        [len(cars)],
    ).fetchall()
    columns: LiteralString = ", ".join(FEED_COLUMNS)
    with connection.cursor().copy(
        f"COPY vehicles (id, dealership_id, data_source, content_hash, {columns}, stock_number) FROM STDIN"
    ) as copy:
        for start in range(0, len(cars), _ROWS_AT_ONCE):
            rows = zip(ids[start : start + _ROWS_AT_ONCE], cars[start : start + _ROWS_AT_ONCE], strict=True)
            copy.write(b"".join([_copy_row(vehicle_id, dealership_id, car) for (vehicle_id,), car in rows]))
    with connection.cursor().copy(
        "COPY easycar_stock_data (vehicle_id, stock_item_json, api_version) FROM STDIN"
    ) as copy:
        for start in range(0, len(cars), _ROWS_AT_ONCE):
            lines = [
                f"{vehicle_id}\t".encode() + _copy_text(car) + _END_OF_LINE
                for (vehicle_id,), car in zip(
                    ids[start : start + _ROWS_AT_ONCE], cars[start : start + _ROWS_AT_ONCE], strict=True
                )
            ]
            copy.write(b"".join(lines))


def _copy_row(vehicle_id: int, dealership_id: int, car: Car) -> bytes:
    """
    Return a new row in COPY's text form; the driver, which looks at each value by itself, takes three times as long.

    The fields are joined by signs that hardly any text has, so that all are escaped at once.
    """
    values: list[Any] = list(map(car.values.__getitem__, FEED_COLUMNS))
    values[-2:] = msgspec.json.encode(values[-2]).decode(), msgspec.json.encode(values[-1]).decode()
    values.append(car.stock_number)
    row = "\0".join(
        [value if type(value) is str else "\1" if value is None else str(value) for value in values]
    ).encode()
    if row.count(b"\0") == len(values) - 1 and row.count(b"\1") == values.count(None):
        row = _escaped(row).replace(b"\1", rb"\N").replace(b"\0", b"\t")
    else:
        row = b"\t".join([rb"\N" if value is None else _escaped(str(value).encode()) for value in values])
    return b"%d\t%d\teasycars\t\\\\x%s\t%s\n" % (vehicle_id, dealership_id, car.content_hash.hex().encode(), row)


def _copy_text(car: Car) -> bytes:
    """Return the item's document in COPY's text form; as a row's value it would be decoded and copied twice more."""
    return _escaped(bytes(car.raw) if car.mended is None else car.mended.encode())


def _escaped(text: bytes) -> bytes:
    return text.replace(b"\\", rb"\\").replace(b"\n", rb"\n").replace(b"\r", rb"\r").replace(b"\t", rb"\t")


def _write_changed(connection: Connection[Any], changes: Sequence[Change]) -> None:
    """Update rows in batches: each batch travels as one JSON document that the server takes apart."""
    columns: LiteralString = ", ".join(FEED_COLUMNS)
    sources: LiteralString = ", ".join(f"n.{column}" for column in FEED_COLUMNS)
    typed: LiteralString = ", ".join(f"{column} {_TYPES.get(column, 'text')}" for column in FEED_COLUMNS)
    for start in range(0, len(changes), _BATCH):
        batch = changes[start : start + _BATCH]
        document = msgspec.json.encode(
            [
                {
                    **change.values,
                    "id": change.row.id,
                    "hash": fingerprint_of(change).hex(),
                }
                for change in batch
            ]
        ).decode()
        connection.execute(
            f"""
            UPDATE vehicles v SET ({columns}) = ROW({sources}), content_hash = decode(n.hash, 'hex'),
                   missing_since = NULL, removed_at = NULL, updated_at = now()
            FROM jsonb_to_recordset(%s::jsonb) AS n (id bigint, hash text, {typed})
            WHERE v.id = n.id
            """,
            [document],
            prepare=False,
        )
        # JSON inside JSON: an array of texts would have every quote of every document escaped in Python
        documents = ",".join(f'{{"id":{change.row.id},"document":{change.car.document}}}' for change in batch)
        connection.execute(
            """
            INSERT INTO easycar_stock_data (vehicle_id, stock_item_json, api_version, synced_at)
            SELECT n.id, n.document, %s, now() FROM jsonb_to_recordset(%s::jsonb) AS n (id bigint, document jsonb)
            ON CONFLICT (vehicle_id) DO UPDATE SET stock_item_json = excluded.stock_item_json,
                   api_version = excluded.api_version, synced_at = excluded.synced_at, updated_at = now()
            """,
            [API_VERSION, f"[{documents}]"],
            prepare=False,
        )


def fingerprint_of(change: Change) -> bytes:
    """Return the fingerprint to store with a change; the row's locks are part of it."""
    return change.car.content_hash if not change.row.locked else fingerprint(change.car.content_hash, change.row.locked)


def write_refused(connection: Connection[Any], dealership_id: int, refused: Sequence[Refused], *, run_id: UUID) -> None:
    """Keep each refused item with its reason and its text."""
    if not refused:
        return
    with connection.cursor().copy(
        "COPY refused_items (dealership_id, run_id, position, stock_number, reason_code, reason, raw) FROM STDIN"
    ) as copy:
        for item in refused:
            copy.write_row(
                (dealership_id, run_id, item.position, item.stock_number, item.code, visible(item.reason), item.raw)
            )


def _write_held(connection: Connection[Any], dealership_id: int, plan: StockPlan, *, run_id: UUID) -> None:
    if plan.superseded is not None:
        connection.execute(
            "UPDATE held_removals SET status = 'superseded', decided_at = now() WHERE id = %s AND status = 'pending'",
            [plan.superseded],
        )
    if plan.spent is not None:
        connection.execute("UPDATE held_removals SET applied_at = now() WHERE id = %s", [plan.spent])
    if plan.lapsed is not None:
        connection.execute("UPDATE held_removals SET applied_at = now() WHERE id = %s", [plan.lapsed])
    if plan.hold is not None and plan.hold.pending_id is None:
        connection.execute(
            "INSERT INTO held_removals (dealership_id, run_id, stock_numbers, listed_before, listed_now, reason)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [
                dealership_id,
                run_id,
                list(plan.hold.stock_numbers),
                plan.hold.listed_before,
                plan.hold.listed_now,
                plan.hold.reason,
            ],
        )


def find_unstorable(connection: Connection[Any], cars: Iterable[Car]) -> dict[int, str]:
    """Return position -> reason of the items whose document the database refuses, each tried in a savepoint."""
    import psycopg

    found = {}
    for car in cars:
        try:
            with connection.transaction():
                connection.execute("SELECT %s::jsonb", [car.document])
        except psycopg.DataError as error:
            found[car.position] = visible(error, most=200)
    return found


# --- the log ---------------------------------------------------------------------------------------------------------


def write_log(
    connection: Connection[Any],
    dealership_id: int,
    *,
    run_id: UUID,
    status: str,
    duration_ms: int,
    counts: Mapping[str, int],
    yard_code: str | None = None,
    blocked: str | None = None,
    errors: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> None:
    """Write the dealership's line of this run: processed = received, failed = refused."""
    numbers = {name: counts.get(name, 0) for name in COUNT_NAMES}
    received = sum(numbers[name] for name in COUNT_NAMES[:6])
    columns: LiteralString = ", ".join(COUNT_NAMES)
    connection.execute(
        f"INSERT INTO easycar_sync_logs (dealership_id, run_id, status, started_at, synced_at, duration_ms,"
        f" items_processed, items_succeeded, items_failed, {columns}, yard_code, removals_blocked,"
        f" error_messages, warnings, api_version) VALUES (%s, %s, %s, clock_timestamp() - %s * interval '1 ms',"
        f" clock_timestamp(), %s, %s, %s, %s, {', '.join(['%s'] * len(COUNT_NAMES))}, %s, %s, %s, %s, %s)",
        [
            dealership_id,
            run_id,
            status,
            duration_ms,
            duration_ms,
            received,
            received - numbers["refused"],
            numbers["refused"],
            *numbers.values(),
            yard_code,
            blocked,
            json.dumps([visible(error) for error in errors], ensure_ascii=False),
            json.dumps([visible(warning, most=500) for warning in warnings], ensure_ascii=False),
            API_VERSION,
        ],
    )


COUNT_NAMES = ("created", "updated", "unchanged", "revived", "refused", "skipped", "removed", "held")


def log_crashed(connection: Connection[Any]) -> None:
    """Give each dealership at which a process died its line in the log, so that the history has no hole."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key("stock-sync:log-crashed")])
    connection.execute(
        """
        INSERT INTO easycar_sync_logs (dealership_id, run_id, status, started_at, error_messages)
        SELECT d.id, i.run_id, 'Failed', i.started_at, jsonb_build_array(i.error)
        FROM job_items i JOIN job_runs r ON r.id = i.run_id AND r.job = 'stock-sync'
        JOIN dealerships d ON d.id::text = i.item_key
        WHERE i.status = 'crashed'
          AND NOT EXISTS (SELECT 1 FROM easycar_sync_logs l WHERE l.run_id = i.run_id AND l.dealership_id = d.id)
        """
    )
