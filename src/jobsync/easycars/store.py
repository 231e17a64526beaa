"""
The SQL of stock sync, on the connection it is given: it never commits, and it decides nothing.

Statements over the two large tables are planned each time (`prepare=False`): a plan kept from when a table was small
would read all of it once it has grown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import chain, islice
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg
from psycopg import Connection

from jobsync.cron import next_slot
from jobsync.db.stock_key import BLANKS
from jobsync.db.tables import vehicles
from jobsync.easycars import model
from jobsync.easycars.identity import stock_key, telling_vin, vin_of
from jobsync.easycars.parse import fingerprint, refuse_car
from jobsync.easycars.plan import left_warnings, spell
from jobsync.easycars.schedule import RETRY_MOST, Dealership, next_retry
from jobsync.logs import get_logger, visible
from jobsync.runner.items import ItemFailure

API_VERSION = "1.01"
_BATCH = 500
_ROWS_AT_ONCE = 64
_END_OF_LINE = f"\t{API_VERSION}\n".encode()

_COLUMNS: LiteralString = ", ".join(model.FEED_COLUMNS)
_SOURCES: LiteralString = ", ".join(f"n.{column}" for column in model.FEED_COLUMNS)
_TYPED = ", ".join(f"{column} {vehicles.c[column].type}" for column in model.FEED_COLUMNS)


# --- who is to be synced ---------------------------------------------------------------------------------------------


def keep_dealership(connection: Connection[Any], dealership_id: int) -> bool:
    """Keep the host application from deleting the dealership until the transaction ends; False if it has done so."""
    statement = "SELECT 1 FROM dealerships WHERE id = %s FOR KEY SHARE"
    return connection.execute(statement, [dealership_id]).fetchone() is not None


def read_account_secrets(connection: Connection[Any]) -> list[tuple[int, str]]:
    """Return the account secrets in use, as stored, each with its dealership."""
    return connection.execute(
        "SELECT dealership_id, account_secret_encrypted FROM easycar_credentials WHERE is_active ORDER BY id"
    ).fetchall()


StoredCredentials = tuple[str, ...]


def read_credentials(connection: Connection[Any], dealership_id: int) -> StoredCredentials | None:
    """Return the active credentials as stored, four ciphertexts, environment and yard code; None without any."""
    return connection.execute(
        "SELECT client_id_encrypted, client_secret_encrypted, account_number_encrypted, account_secret_encrypted,"
        " environment, yard_code FROM easycar_credentials WHERE dealership_id = %s AND is_active",
        [dealership_id],
    ).fetchone()


_NOT_IN_THE_FUTURE: LiteralString = ", ".join(
    f"{column} = CASE WHEN h.{column} > now() THEN now() ELSE h.{column} END"
    for column in ("first_seen_at", "attempted_at", "slot_at", "slot_started_at", "last_success_at")
)


def write_schedule(connection: Connection[Any], found: Dealership, *, next_at: datetime) -> None:
    """
    Keep a schedule and what it was computed from, unless another run has done so since `found` was read.

    A retry of the slot stays while the rule does; one later than any that is set is due. A dealership that the host
    application is about to delete is left out. Instants that a wrong clock left in the future become now.
    """
    connection.execute(
        "INSERT INTO sync_schedule AS h (dealership_id, cron, timezone, seen, next_at, computed_at)"
        " SELECT d.id, %(cron)s, %(timezone)s, %(seen)s, %(next_at)s, now() FROM dealerships d WHERE d.id = %(id)s"
        " FOR KEY SHARE SKIP LOCKED"
        " ON CONFLICT (dealership_id) DO UPDATE SET cron = excluded.cron, timezone = excluded.timezone,"
        " retry_at = CASE WHEN (h.cron, h.timezone, h.retry_at IS NULL) = (excluded.cron, excluded.timezone, false)"
        " THEN CASE WHEN h.retry_at <= now() + %(longest_wait)s THEN h.retry_at ELSE now() END END,"
        " seen = excluded.seen, next_at = excluded.next_at, computed_at = excluded.computed_at,"
        f" {_NOT_IN_THE_FUTURE}"
        " WHERE h.seen IS NOT DISTINCT FROM %(seen_before)s AND h.next_at IS NOT DISTINCT FROM %(next_before)s",
        {
            "id": found.id,
            "cron": found.rule.cron,
            "timezone": found.rule.timezone,
            "seen": found.wanted.seen,
            "next_at": next_at,
            "seen_before": found.seen,
            "next_before": found.next_at,
            "longest_wait": RETRY_MOST,
        },
    )


def begin_attempt(
    connection: Connection[Any], dealership_id: int, *, scheduled: bool, retry_minutes: Sequence[int] = (5, 15, 45)
) -> int:
    """
    Commit an attempt before it starts, so that one that never finishes stays counted; returns the number of attempts.

    A scheduled attempt uses up its slot, or one of the slot's retries: the next slot and the next retry are set now,
    so that a process that dies leaves nothing to be repaired.
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
    sets: LiteralString = "retry_at = %(retry_at)s"
    if next_at is not None and next_at <= now:
        attempt, slot_started_at, next_at = 1, now, next_slot(cron, timezone, now)
        sets += ", slot_at = next_at, next_at = %(next_at)s, computed_at = now(), slot_started_at = now(), attempt = 1"
    retry_at = next_retry(attempt, slot_started_at=slot_started_at or now, now=now, minutes=retry_minutes)
    connection.execute(
        f"UPDATE sync_schedule SET {sets} WHERE dealership_id = %(id)s",
        {"id": dealership_id, "retry_at": retry_at, "next_at": next_at},
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
    """Undo an attempt's beginning. `asked`: it was tried all the same, so that others come before it the next time."""
    connection.execute(
        f"UPDATE sync_schedule SET ({_ATTEMPT}) = (%s, CASE WHEN %s THEN attempted_at ELSE %s END, %s, %s, %s, %s)"
        " WHERE dealership_id = %s",
        [before[0], asked, *before[1:], dealership_id],
    )


def end_attempt(connection: Connection[Any], dealership_id: int, *, success: bool) -> None:
    """Forget the attempts: this one got through; it is a success if nothing was held or left out."""
    connection.execute(
        "UPDATE sync_schedule SET attempt = 0, retry_at = NULL,"
        " last_success_at = CASE WHEN %s THEN now() ELSE last_success_at END WHERE dealership_id = %s",
        [success, dealership_id],
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

# What status_word() and says_sold() of parse.py make of the item as stored, by the map that the last sync had.
_WORD: LiteralString = (
    "lower(btrim(regexp_replace(coalesce((SELECT d.stock_item_json->>'StockStatus' FROM easycar_stock_data d"
    f" WHERE d.vehicle_id = v.id), v.stock_status, ''), '[{BLANKS}]+', ' ', 'g')))"
)
_FEED_SAYS_SOLD: LiteralString = (
    "(SELECT coalesce((SELECT m.status_map FROM sync_schedule m WHERE m.dealership_id = v.dealership_id)->>w.word"
    f" = 'sold', w.word LIKE 'sold%%') FROM (SELECT {_WORD} AS word OFFSET 0) w)"
)
# Of a removed row what it was before: sold here then, it is sold again when it comes back.
_SOLD_BEFORE: LiteralString = (
    "coalesce((SELECT c.old = 'sold' FROM vehicle_changes c WHERE c.vehicle_id = v.id AND c.field = 'status'"
    " AND c.new = 'removed' ORDER BY c.id DESC LIMIT 1), false)"
)
# CASE keeps its order: a join, or AND alone, would have the document of every row read
_LOCALLY_SOLD: LiteralString = (
    f"CASE WHEN CASE v.status WHEN 'removed' THEN {_SOLD_BEFORE} ELSE v.status = 'sold' END"
    f" THEN NOT {_FEED_SAYS_SOLD} ELSE false END"
)


def read_listed(connection: Connection[Any], dealership_id: int) -> dict[str, model.Listed]:
    """Return our rows that are not removed, by stock key; each column more is paid for every vehicle there is."""
    rows = connection.execute(
        f"""
        SELECT v.id, v.stock_number, v.vin, v.status, v.content_hash, v.locked_fields, v.missing_since,
               {_LOCALLY_SOLD}, v.yard_code,
               CASE v.status WHEN 'excluded' THEN (SELECT e.excluded_by FROM vehicles e WHERE e.id = v.id) END
        FROM vehicles v
        WHERE v.dealership_id = %s AND v.data_source = 'easycars' AND v.status <> 'removed'
        """,
        [dealership_id],
        binary=True,
        prepare=False,
    ).fetchall()
    return {(key := stock_key(row[1])): model.Listed._make((*row, key)) for row in rows}


def _read_rows(
    connection: Connection[Any],
    dealership_id: int,
    condition: LiteralString,
    wanted: Sequence[str],
    *,
    for_update: bool,
) -> list[model.VehicleRow]:
    if not wanted:
        return []
    columns: LiteralString = ", ".join(f"v.{column}" for column in model.FEED_COLUMNS)
    rows = connection.execute(
        f"""
        SELECT v.id, v.stock_number, v.vin, v.status, v.content_hash, v.locked_fields, v.missing_since,
               {_LOCALLY_SOLD}, v.yard_code, v.excluded_by, v.stock_key,
               coalesce(d.stock_item_json::text, '{{}}'), {columns}
        FROM vehicles v LEFT JOIN easycar_stock_data d ON d.vehicle_id = v.id
        WHERE v.dealership_id = %s AND v.data_source = 'easycars' AND {condition}
        {"FOR NO KEY UPDATE OF v" if for_update else ""}
        """,
        [dealership_id, list(wanted)],
        prepare=False,
    ).fetchall()
    count = len(model.Listed._fields)
    return [
        model.VehicleRow(
            model.Listed._make(row[:count]),
            dict(zip(model.FEED_COLUMNS, row[count + 1 :], strict=True)),
            row[count],
        )
        for row in rows
    ]


def read_current(
    connection: Connection[Any],
    dealership_id: int,
    listed: Mapping[str, model.Listed],
    *,
    for_update: bool,
) -> tuple[model.Current, datetime]:
    """
    Return all that the plan compares with, and the database's clock; full rows are read when the plan asks for them.

    Of what a person was asked about, of each kind: the open question, the approval not yet carried out, and the refusal
    if it was the last word.
    """
    [(now, others, words, word_map, past, held, window)] = connection.execute(
        """
        SELECT now(),
               (SELECT coalesce(jsonb_agg(jsonb_build_array(stock_key, vin, stock_number, id) ORDER BY id), '[]')
                FROM vehicles WHERE dealership_id = %(id)s AND data_source <> 'easycars'),
               (SELECT status_words FROM sync_schedule WHERE dealership_id = %(id)s),
               (SELECT status_map FROM sync_schedule WHERE dealership_id = %(id)s),
               (SELECT coalesce(jsonb_agg(jsonb_build_array(yard_code, blocked)), '[]') FROM
                 (SELECT yard_code, removals_blocked IS NOT NULL AS blocked FROM easycar_sync_logs
                  WHERE dealership_id = %(id)s AND sync_type = 'stock' AND status <> 'Failed'
                  ORDER BY synced_at DESC, id DESC LIMIT 10) AS past),
               (SELECT coalesce(jsonb_agg(jsonb_build_array(id, kind, status, stock_numbers, vins, reason, decided_at)
                                          ORDER BY id DESC), '[]')
                FROM (SELECT DISTINCT ON (kind, status) * FROM holds
                      WHERE dealership_id = %(id)s AND applied_at IS NULL AND status <> 'superseded'
                      ORDER BY kind, status, id DESC) AS held),
               (SELECT jsonb_build_array(listed, advertised, started_at) FROM easycar_sync_logs
                WHERE dealership_id = %(id)s AND sync_type = 'stock' AND status <> 'Failed' AND listed > 0
                  AND synced_at > now() - interval '7 days'
                  AND started_at > coalesce((SELECT max(applied_at) FROM holds
                                             WHERE dealership_id = %(id)s AND status = 'approved'), '-infinity')
                ORDER BY synced_at, id LIMIT 1)
        """,
        {"id": dealership_id},
        prepare=False,
    ).fetchall()
    asked = {}
    for number, kind, status, stock_numbers, vins, reason, decided_at in held:
        keys = [stock_key(text) for text in stock_numbers]
        seen = tuple(zip(keys, vins, strict=False)) if kind == "foreign_feed" else ()
        at = datetime.fromisoformat(decided_at) if decided_at else None
        asked[kind, status] = model.HeldSet(number, frozenset(keys), status, reason, kind, seen, at)
    read = partial(_read_rows, connection, dealership_id, for_update=for_update)
    current = model.Current(
        dealership_id=dealership_id,
        listed=listed,
        rows=lambda keys: {row.listed.stock_key: row for row in read("v.stock_key = ANY(%s)", keys)},
        # the length is the index's condition: what is longer is no VIN
        with_vins=lambda vins: read("length(v.vin) <= 64 AND v.vin = ANY(%s)", vins),
        other_stock_keys={key: number for key, _, number, _ in others if key},
        other_vins={
            told: number or f"vehicle {vehicle_id}"
            for _, vin, number, vehicle_id in others
            if (told := telling_vin(vin_of(vin or "")))
        },
        status_words=frozenset(words or ()),
        status_map=word_map or {},
        asked=asked,
        window=model.Window(window[0], window[1], datetime.fromisoformat(window[2])) if window else None,
        removed_since=lambda since: _count_removed(connection, dealership_id, since),
        elsewhere=lambda vins: _find_elsewhere(connection, dealership_id, vins),
        synced_before=bool(past),
        yard_code=past[0][0] if past else None,
        blocked_in_a_row=next((n for n, (_, blocked) in enumerate(past) if not blocked), len(past)),
    )
    return current, now


def _count_removed(connection: Connection[Any], dealership_id: int, since: datetime) -> tuple[int, int]:
    [counts] = connection.execute(
        """
        SELECT count(*), count(*) FILTER (WHERE (
            SELECT c.old IN ('active', 'deposit') FROM vehicle_changes c
            WHERE c.vehicle_id = v.id AND c.field = 'status' AND c.new = 'removed' ORDER BY c.id DESC LIMIT 1))
        FROM vehicles v
        WHERE v.dealership_id = %s AND v.data_source = 'easycars' AND v.status = 'removed' AND v.removed_at >= %s
        """,
        [dealership_id, since],
        prepare=False,
    ).fetchall()
    return int(counts[0]), int(counts[1])


def _find_elsewhere(connection: Connection[Any], dealership_id: int, vins: Sequence[str]) -> set[str]:
    rows = connection.execute(
        """
        SELECT DISTINCT vin FROM vehicles
        WHERE vin = ANY(%s) AND length(vin) <= 64 AND data_source = 'easycars' AND dealership_id <> %s
          AND status NOT IN ('removed', 'excluded')
        """,
        [list(vins), dealership_id],
        prepare=False,
    ).fetchall()
    return {vin for (vin,) in rows}


# --- what the plan changes -------------------------------------------------------------------------------------------


def apply_plan(
    connection: Connection[Any], dealership_id: int, plan: model.StockPlan, *, run_id: UUID, now: datetime
) -> model.StockPlan:
    """
    Carry out everything in the plan; the caller's transaction makes it all true at once.

    Returns the plan without what a trigger left as it was. ChangedMeanwhile: a row to be removed is another by now.
    """
    _lock_removed(connection, plan.removed)
    done = _write_rows(connection, dealership_id, plan, run_id=run_id, now=now)
    told = "COPY refused_items (dealership_id, run_id, position, stock_number, reason_code, reason, raw) FROM STDIN"
    refused = [(item.position, item.stock_number, item.code, visible(item.reason), item.raw) for item in plan.refused]
    _copy_rows(connection, told, ((dealership_id, run_id, *row) for row in refused))
    _write_held(connection, dealership_id, plan, run_id=run_id)
    _remember(connection, dealership_id, plan)
    return done


def _write_rows(
    connection: Connection[Any], dealership_id: int, plan: model.StockPlan, *, run_id: UUID, now: datetime
) -> model.StockPlan:
    retired = _free_numbers(connection, dealership_id, plan)
    created = _write_created(connection, dealership_id, plan.created)
    changed, restated = _write_changed(connection, plan.changed), _write_changed(connection, plan.restated)
    going: LiteralString = "status = 'removed', removed_at = %(now)s, missing_since = coalesce(missing_since, %(now)s)"
    gone = {row_id for row_id, status in _mark(connection, going, plan.removed, now).items() if status == "removed"}
    _mark(connection, "missing_since = %(now)s", plan.missing, now)
    _mark(connection, "missing_since = NULL", plan.returned, now)
    if plan.recognized:
        connection.execute(
            "UPDATE vehicles v SET content_hash = n.hash"
            " FROM unnest(%s::bigint[], %s::bytea[]) AS n (id, hash) WHERE v.id = n.id",
            [[row.id for row in plan.recognized], [row.content_hash for row in plan.recognized]],
            prepare=False,
        )
    done = replace(plan, created=created, changed=changed, removed=[row for row in plan.removed if row.id in gone])
    _note_left(done, plan, restated)
    history = [
        *((row.id, "stock_number", row.stock_number, retired[row.id]) for row in plan.retired),
        *((change.row.id, name, *pair) for change in changed for name, pair in change.changes.items()),
        *((row.id, "status", row.status, "removed") for row in done.removed),
    ]
    told = "COPY vehicle_changes (run_id, changed_at, vehicle_id, field, old, new) FROM STDIN"
    _copy_rows(connection, told, ((run_id, now, *about, spell(old), spell(new)) for *about, old, new in history))
    return done


def _copy_rows(connection: Connection[Any], statement: LiteralString, rows: Iterator[tuple[Any, ...]]) -> None:
    if (first := next(rows, None)) is not None:
        with connection.cursor().copy(statement) as copy:
            for row in chain([first], rows):  # never all in memory: a history of pictures is as large as the feed
                copy.write_row(row)


def _note_left(done: model.StockPlan, plan: model.StockPlan, restated: Sequence[model.Change]) -> None:
    """Note what was planned and a trigger left as it was: items are skipped, and a warning names each vehicle."""
    taken = {car.position for car in done.created}
    taken.update([change.car.position for change in (*done.changed, *restated)])
    items = [*plan.created, *(change.car for change in plan.changed)]
    left = [car.stock_number for car in items if car.position not in taken]
    gone = {row.id for row in done.removed}
    also = [row.stock_number for row in plan.removed if row.id not in gone]
    also += [change.car.stock_number for change in plan.restated if change.car.position not in taken]
    done.skipped = [*plan.skipped, *(model.Skipped(number, "kept_by_database") for number in left)]
    done.warnings = [*plan.warnings, *left_warnings([*left, *also])]


def _free_numbers(connection: Connection[Any], dealership_id: int, plan: model.StockPlan) -> dict[int, str]:
    """
    Give up the numbers that other vehicles get now: those of retired rows, and of rows that are renumbered too.

    Returns by vehicle the number that it has instead; the feed may use that very form, so a free one is looked for.
    """
    wanted = {car.stock_key for car in plan.created}
    wanted.update([change.car.stock_key for change in plan.changed if change.renumbered])
    moving = [change.row for change in plan.changed if change.renumbered and change.row.stock_key in wanted]
    numbers = {row.id: f"{row.stock_number}~{row.id} " for row in (*plan.retired, *moving)}
    if not numbers:
        return {}
    taken = wanted | {change.car.stock_key for change in plan.changed}
    while True:  # with a longer number each time, so this ends
        keys = {vehicle_id: stock_key(number) for vehicle_id, number in numbers.items()}
        found = connection.execute(
            "SELECT stock_key FROM vehicles WHERE dealership_id = %s AND data_source = 'easycars'"
            " AND stock_key = ANY(%s)",
            [dealership_id, list(keys.values())],
            prepare=False,
        ).fetchall()
        occupied = taken.union(key for (key,) in found)
        if occupied.isdisjoint(keys.values()):
            break
        for vehicle_id in [vehicle_id for vehicle_id, key in keys.items() if key in occupied]:
            numbers[vehicle_id] = f"{numbers[vehicle_id].removesuffix(f'~{vehicle_id} ')}~~{vehicle_id} "
    connection.execute(
        "UPDATE vehicles v SET stock_number = n.number, updated_at = now()"
        " FROM unnest(%s::bigint[], %s::text[]) AS n (id, number) WHERE v.id = n.id",
        [list(numbers), list(numbers.values())],
        prepare=False,
    )
    return numbers


def _remember(connection: Connection[Any], dealership_id: int, plan: model.StockPlan) -> None:
    if plan.new_words or plan.status_map is not None:
        connection.execute(
            "INSERT INTO sync_schedule AS s (dealership_id, status_words, status_map)"
            " VALUES (%(id)s, %(words)s, coalesce(%(map)s::jsonb, '{}'))"
            " ON CONFLICT (dealership_id) DO UPDATE SET status_words = s.status_words || excluded.status_words,"
            " status_map = coalesce(%(map)s::jsonb, s.status_map)",
            {
                "id": dealership_id,
                "words": list(plan.new_words),
                "map": None if plan.status_map is None else json.dumps(dict(plan.status_map)),
            },
        )


class ChangedMeanwhile(ItemFailure):
    """The host application deleted, sold or took over a vehicle after it was read; with a new plan all is well."""

    def __init__(self) -> None:
        words = (
            "another session keeps changing vehicles that this sync would remove; nothing was written, the next sync"
            " tries again"
        )
        super().__init__(words, reason="changed_meanwhile", transient=True)


def _lock_removed(connection: Connection[Any], rows: Sequence[model.Listed]) -> None:
    """Keep other writers from the rows to be removed (from every row would cost more than the sync); look again."""
    if not rows:
        return
    found = connection.execute(
        "SELECT id, status FROM vehicles WHERE id = ANY(%s) AND data_source = 'easycars' ORDER BY id FOR NO KEY UPDATE",
        [[row.id for row in rows]],
        prepare=False,
    ).fetchall()
    if dict(found) != {row.id: row.status for row in rows}:
        raise ChangedMeanwhile


def _mark(
    connection: Connection[Any], assignment: LiteralString, rows: Iterable[model.Listed], now: datetime
) -> dict[int, str]:
    """Set columns of rows that are not removed; returns the status that each has now, of those that a trigger let."""
    ids = [row.id for row in rows]
    if not ids:
        return {}
    found = connection.execute(
        f"UPDATE vehicles SET {assignment}, updated_at = now()"
        " WHERE id = ANY(%(ids)s) AND status <> 'removed' RETURNING id, status",
        {"now": now, "ids": ids},
        prepare=False,
    ).fetchall()
    return dict(found)


def _write_created(connection: Connection[Any], dealership_id: int, cars: Sequence[model.Car]) -> Sequence[model.Car]:
    """COPY new rows in, with ids drawn before, for their documents; returns the items that no trigger swallowed."""
    if not cars:
        return cars
    drawn = connection.execute(
        "SELECT nextval(s.name) FROM (SELECT pg_get_serial_sequence('vehicles', 'id')::regclass AS name OFFSET 0) s,"
        " generate_series(1, %s)",
        [len(cars)],
    ).fetchall()
    rows = [(vehicle_id, car) for (vehicle_id,), car in zip(drawn, cars, strict=True)]
    told = f"COPY vehicles (id, dealership_id, data_source, content_hash, {_COLUMNS}, stock_number) FROM STDIN"
    written = _copy_lines(connection, told, (_copy_row(vehicle_id, dealership_id, car) for vehicle_id, car in rows))
    if written != len(rows):
        found = connection.execute("SELECT id FROM vehicles WHERE id = ANY(%s)", [[row[0] for row in rows]]).fetchall()
        there = {vehicle_id for (vehicle_id,) in found}
        rows = [row for row in rows if row[0] in there]
    # text as it came: as rows' values the documents would be decoded and copied twice more
    texts = ((vehicle_id, bytes(car.raw) if car.mended is None else car.mended.encode()) for vehicle_id, car in rows)
    documents = (b"%d\t" % vehicle_id + _escaped(text) + _END_OF_LINE for vehicle_id, text in texts)
    _copy_lines(connection, "COPY easycar_stock_data (vehicle_id, stock_item_json, api_version) FROM STDIN", documents)
    excluded = [vehicle_id for vehicle_id, car in rows if car.values["status"] == "excluded"]
    if excluded:
        connection.execute("UPDATE vehicles SET excluded_by = 'map' WHERE id = ANY(%s)", [excluded], prepare=False)
    return [car for _, car in rows] if len(rows) < len(cars) else cars


def _copy_lines(connection: Connection[Any], statement: LiteralString, lines: Iterator[bytes]) -> int:
    cursor = connection.cursor()
    with cursor.copy(statement) as copy:
        while batch := b"".join(islice(lines, _ROWS_AT_ONCE)):
            copy.write(batch)
    return cursor.rowcount


def _copy_row(vehicle_id: int, dealership_id: int, car: model.Car) -> bytes:
    """
    Return a new row in COPY's text form; the driver, which looks at each value by itself, takes three times as long.

    The fields are joined by signs that hardly any text has, so that all are escaped at once.
    """
    values: list[Any] = list(map(car.values.__getitem__, model.FEED_COLUMNS))
    values[-2:] = msgspec.json.encode(values[-2]).decode(), msgspec.json.encode(values[-1]).decode()
    values.append(car.stock_number)
    row = "\0".join(
        [value if type(value) is str else "\1" if value is None else str(value) for value in values]
    ).encode()
    if row.count(b"\0") == len(values) - 1 and row.count(b"\1") == values.count(None):
        row = _escaped(row).replace(b"\1", rb"\N").replace(b"\0", b"\t")
    else:
        row = b"\t".join([rb"\N" if value is None else _escaped(str(value).encode()) for value in values])
    digest = rb"\N" if car.unreadable else rb"\\x" + car.content_hash.hex().encode()
    return b"%d\t%d\teasycars\t%s\t%s\n" % (vehicle_id, dealership_id, digest, row)


def _escaped(text: bytes) -> bytes:
    return text.replace(b"\\", rb"\\").replace(b"\n", rb"\n").replace(b"\r", rb"\r").replace(b"\t", rb"\t")


# A trigger may write another value, and so does a type narrower than ours: numeric(10,2) rounds, char(17) pads.
_MAY_ALTER: LiteralString = (
    "(SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'vehicles'::regclass AND NOT tgisinternal)"
    " OR EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
    " WHERE a.attrelid = 'vehicles'::regclass AND a.attnum > 0 AND (a.atttypmod <> -1 OR t.typtype = 'd')))"
)


def _write_changed(connection: Connection[Any], changes: Sequence[model.Change]) -> list[model.Change]:
    """Update rows in batches, each one JSON document; returns the changes that the database made, as it made them."""
    done: list[model.Change] = []
    for start in range(0, len(changes), _BATCH):
        batch = changes[start : start + _BATCH]
        rows = [
            {
                **change.values,
                "id": change.row.id,
                "stock_number": change.car.stock_number,
                "content_hash": rf"\x{_fingerprint_of(change).hex()}" if change.is_whole else None,
            }
            for change in batch
        ]
        found = connection.execute(
            f"""
            UPDATE vehicles v SET ({_COLUMNS}) = ROW({_SOURCES}), stock_number = n.stock_number,
                   content_hash = n.content_hash, missing_since = NULL, removed_at = NULL, updated_at = now(),
                   excluded_by = CASE WHEN n.status <> 'excluded' THEN NULL
                                      WHEN v.status = 'excluded' OR v.excluded_by = 'person' THEN v.excluded_by
                                      ELSE 'map' END
            FROM jsonb_to_recordset(%s) AS n (id bigint, content_hash bytea, stock_number text, {_TYPED})
            WHERE v.id = n.id
            RETURNING v.id, {_MAY_ALTER}
            """.encode(),
            [msgspec.json.encode(rows).decode()],
            prepare=False,
        ).fetchall()
        written = {vehicle_id for vehicle_id, _ in found}
        taken = [change for change in batch if change.row.id in written]
        if any(altered for _, altered in found):
            actual = _read_values(connection, written)
            taken = [now for change in taken if (now := _as_taken(change, actual.get(change.row.id))) is not None]
        _write_documents(connection, taken)
        done += taken
    return done


def _read_values(connection: Connection[Any], ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    found = connection.execute(
        f"SELECT id, stock_number, {_COLUMNS} FROM vehicles WHERE id = ANY(%s)", [list(ids)], prepare=False
    ).fetchall()
    return {row[0]: dict(zip(("stock_number", *model.FEED_COLUMNS), row[1:], strict=True)) for row in found}


def _as_taken(change: model.Change, actual: Mapping[str, Any] | None) -> model.Change | None:
    """Return the change with the values that the database made of it, None if it left the row as it was or has none."""
    if actual is None:
        return None
    changes = {
        name: (old, actual.get(name, new))
        for name, (old, new) in change.changes.items()
        if name not in actual or actual[name] != old
    }
    return replace(change, changes=changes) if changes or not change.changes else None


def _write_documents(connection: Connection[Any], changes: Sequence[model.Change]) -> None:
    if not changes:
        return
    # JSON inside JSON: an array of texts would have every quote of every document escaped in Python
    documents = ",".join(f'{{"id":{change.row.id},"document":{change.car.document}}}' for change in changes)
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


def _fingerprint_of(change: model.Change) -> bytes:
    digest = change.car.content_hash
    return digest if not change.row.locked else fingerprint(digest, change.row.locked, digest[:3])


def _write_held(connection: Connection[Any], dealership_id: int, plan: model.StockPlan, *, run_id: UUID) -> None:
    if plan.superseded:
        connection.execute(
            "UPDATE holds SET status = 'superseded', decided_at = now() WHERE id = ANY(%s) AND status = 'pending'",
            [list(plan.superseded)],
        )
    if over := [*plan.spent, *plan.lapsed]:
        connection.execute("UPDATE holds SET applied_at = now() WHERE id = ANY(%s)", [over])
    for hold in plan.holds:
        if hold.pending_id is None:
            told = (hold.kind, list(hold.stock_numbers), list(hold.vins), hold.reason)
            connection.execute(
                "INSERT INTO holds (dealership_id, run_id, listed_before, listed_now, kind, stock_numbers, vins,"
                " reason) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                [dealership_id, run_id, plan.listed, plan.received, *told],
            )


# --- what the database refuses ---------------------------------------------------------------------------------------


_ITEM_PARTS, _ROW_PARTS = ("created", "changed", "restated"), ("removed", "missing", "returned", "recognized")


@dataclass
class Blamed:
    """
    What the database refused, in its words: items by their place in the feed, rows by their id.

    `rows` are those that no item names: a tombstone, or a row whose return could not be noted.
    """

    items: dict[int, str] = field(default_factory=dict)
    rows: dict[int, str] = field(default_factory=dict)

    def refuse(self, incoming: model.Incoming) -> model.Incoming:
        """Return the feed with the items to blame among the refused."""
        if not self.items:
            return incoming
        refused = [
            refuse_car(car, "database", f"is refused by the database: {self.items[car.position]}")
            for car in incoming.cars
            if car.position in self.items
        ]
        return replace(
            incoming,
            cars=[car for car in incoming.cars if car.position not in self.items],
            refused=sorted([*incoming.refused, *refused], key=lambda item: item.position),
        )

    def spare(self, plan: model.StockPlan) -> model.StockPlan:
        """Return the plan without the rows to blame: each stays as it is, with a warning."""
        if not self.rows:
            return plan
        parts = {part: getattr(plan, part) for part in _ROW_PARTS}
        spared = {row.id: row.stock_number for rows in parts.values() for row in rows if row.id in self.rows}
        words = "the row stays as it is, the database refuses to change it"
        warnings = [f"{number}: {words}: {self.rows[row_id]}" for row_id, number in spared.items()]
        left: dict[str, Any] = {part: [row for row in rows if row.id not in spared] for part, rows in parts.items()}
        return replace(plan, **left, warnings=[*plan.warnings, *warnings])


# The server's own troubles, unless a trigger raises them on purpose: connection, transaction, resources, locks,
# cancellation, system.
_SERVERS_OWN = frozenset({"08", "0A", "25", "40", "53", "55", "57", "58", "F0", "XX"})
_ROWS_FAULT = frozenset({"22", "23", "27", "44", "54", "P0"})


def refusal_of(error: BaseException) -> str | None:
    """
    Return the database's words if an error says that it will not take a row, None if it is another trouble.

    A row's fault is a value of a wrong kind or size, a constraint, and whatever a trigger raises, with any SQLSTATE.
    """
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    if not isinstance(cause, psycopg.Error) or cause.sqlstate is None:
        return None
    found, kind = cause.diag, cause.sqlstate[:2]
    # the C function that reports a RAISE: the words of a context are in the server's language
    raised = found.source_function == "exec_stmt_raise"
    in_trigger = kind not in _SERVERS_OWN and "PL/" in (found.context or "")
    if not (kind in _ROWS_FAULT or raised or in_trigger):
        return None
    words = found.message_primary or str(cause)
    if cause.sqlstate in ("23503", "23505", "23P01") and found.message_detail:
        words = f"{words}: {found.message_detail}"  # of the other constraints it is the row in full
    column = _COPYING.search(found.context or "")
    return visible(f"{words} (column {column[1]})" if column else words, most=500)


_COPYING = re.compile(r"^COPY \w+, line \d+, column (\w+)", re.MULTILINE)
_Unit = tuple[str, Any]


def find_refused(
    connection: Connection[Any],
    dealership_id: int,
    plan: model.StockPlan,
    blamed: Blamed,
    *,
    run_id: UUID,
    now: datetime,
) -> bool:
    """
    Find by halves what of a plan the database refuses, with its deferred constraints; everything is rolled back.

    Costs a savepoint and a write for each half in which something is refused. Returns whether there is more to blame.
    """

    def write(units: Sequence[_Unit]) -> None:
        try:
            with connection.transaction():
                connection.execute("SET CONSTRAINTS ALL DEFERRED")
                _write_rows(connection, dealership_id, _part_of(plan, units), run_id=run_id, now=now)
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            words = refusal_of(error)
            if words is None:
                raise
            if len(units) > 1:
                half = len(units) // 2
                write(units[:half])
                write(units[half:])
                return
            [(part, unit)] = units
            if part in _ROW_PARTS:
                blamed.rows[unit.id] = words
            else:
                blamed.items[(unit if part == "created" else unit.car).position] = words

    before = len(blamed.items) + len(blamed.rows)
    with connection.transaction(force_rollback=True):
        write([(part, unit) for part in (*_ITEM_PARTS, *_ROW_PARTS) for unit in getattr(plan, part)])
    return len(blamed.items) + len(blamed.rows) > before


def _part_of(plan: model.StockPlan, units: Sequence[_Unit]) -> model.StockPlan:
    parts: dict[str, Any] = {}
    for part, unit in units:
        parts.setdefault(part, []).append(unit)
    keys = {car.stock_key for car in parts.get("created", ())}
    keys.update([change.car.stock_key for change in parts.get("changed", ())])
    return model.StockPlan(**parts, retired=[row for row in plan.retired if row.stock_key in keys])


# --- the log ---------------------------------------------------------------------------------------------------------


def write_log(
    connection: Connection[Any],
    dealership_id: int,
    *,
    run_id: UUID,
    status: str,
    duration_ms: int,
    plan: model.StockPlan | None = None,
    error: str | None = None,
) -> None:
    """
    Write the dealership's line of this run: processed = received, failed = refused.

    `plan` is as it was carried out, None where there was none; `error` and its first refused items are told.
    """
    planned, plan = plan is not None, model.StockPlan() if plan is None else plan
    counts = {name: plan.counts[name] for name in COUNT_NAMES}
    received = sum(list(counts.values())[:6])
    refused = [f"item {item.position} ({item.stock_number}): {item.reason}" for item in plan.refused[:50]]
    values = {
        "dealership_id": dealership_id,
        "run_id": run_id,
        "status": status,
        "duration_ms": duration_ms,
        "items_processed": received,
        "items_succeeded": received - counts["refused"],
        "items_failed": counts["refused"],
        **counts,
        "listed": plan.listed if planned else None,
        "advertised": plan.advertised if planned else None,
        "yard_code": plan.yard_code,
        "removals_blocked": plan.blocked,
        "error_messages": json.dumps([visible(words) for words in (error, *refused) if words], ensure_ascii=False),
        "warnings": json.dumps([visible(words, most=500) for words in plan.warnings], ensure_ascii=False),
        "api_version": API_VERSION,
    }
    connection.execute(
        f"INSERT INTO easycar_sync_logs (started_at, synced_at, {', '.join(values)})"
        " VALUES (clock_timestamp() - %(duration_ms)s * interval '1 ms', clock_timestamp(),"
        f" {', '.join(f'%({name})s' for name in values)})".encode(),
        values,
    )


COUNT_NAMES = ("created", "updated", "unchanged", "revived", "refused", "skipped", "removed", "held")


def log_unfinished(connection: Connection[Any], run_id: UUID) -> None:
    """
    Give each dealership that a run began and did not finish its line in the log, so that the history has no hole.

    It is called in the transaction that closes the run: its row is locked, so no line comes twice. A line that the
    host's own rule refuses is left out, with a warning: the run's verdict does not wait for it.
    """
    try:
        with connection.transaction():
            connection.execute(
                """
                INSERT INTO easycar_sync_logs (dealership_id, run_id, status, started_at, error_messages)
                SELECT d.id, i.run_id, 'Failed', i.started_at, jsonb_build_array(
                    CASE i.status WHEN 'failed' THEN concat_ws(': ', i.error, r.error) ELSE i.error END)
                FROM job_items i JOIN job_runs r ON r.id = i.run_id AND r.job = 'stock-sync'
                JOIN dealerships d ON d.id::text = i.item_key
                WHERE i.run_id = %s AND i.status IN ('failed', 'crashed')
                  AND NOT EXISTS (
                      SELECT 1 FROM easycar_sync_logs l WHERE l.run_id = i.run_id AND l.dealership_id = d.id)
                FOR KEY SHARE OF d
                """,
                [run_id],
            )
    except psycopg.Error as error:
        if (words := refusal_of(error)) is None:
            raise
        get_logger().warning("stock_sync.log_refused", unfinished_run=str(run_id), error=words)
