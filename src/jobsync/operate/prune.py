"""
Retention: what is older than its setting goes, oldest first, in short transactions that each stand alone.

runs_retention_days: job_runs with their items, easycar_sync_logs (the last 30 of each dealership stay: plans and
listings read them), vehicle_changes (the last removal of each vehicle stays), decided holds, closed alerts.
items_retention_days: job_items, refused_items. events_retention_days: sri_events. Kept for good: documents, and audit,
which grows no faster than people type.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from jobsync.db.engine import translated
from jobsync.db.system_settings import SystemSettings
from jobsync.logs import get_logger, visible
from jobsync.operate.words import many

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

BATCH = 5000
LOGS_KEPT = 30
_BELOW_ALL = -(2**63)


@dataclass(frozen=True)
class Rule:
    """
    One table's retention.

    Args:
        find: selects the next batch of ids older than :before, locked; rows that somebody else has locked are left.
        most: rows of one transaction at most.
    """

    table: str
    setting: str
    find: str
    most: int = 1_000_000


_LOCKED = " LIMIT :batch FOR UPDATE SKIP LOCKED"

# Ids of these tables grow with time, so the oldest rows are the first of the primary key, and no further index is
# needed; :after is the last id of the batch before.
RULES = (
    Rule(
        "job_items",
        "items_retention_days",
        "SELECT id FROM job_items WHERE id > :after AND started_at < :before AND status <> 'running'"
        " AND id <= (SELECT max(id) FROM (SELECT id FROM job_items WHERE id > :after ORDER BY id LIMIT :batch) few)"
        " ORDER BY id" + _LOCKED,
    ),
    Rule(
        "refused_items",
        "items_retention_days",
        "SELECT id FROM refused_items WHERE id > :after AND created_at < :before"
        " AND id <= (SELECT max(id) FROM (SELECT id FROM refused_items WHERE id > :after ORDER BY id LIMIT :batch) few)"
        " ORDER BY id" + _LOCKED,
    ),
    Rule(
        "sri_events",
        "events_retention_days",
        "SELECT id FROM sri_events WHERE at < :before AND CAST(:after AS bigint) IS NOT NULL ORDER BY at" + _LOCKED,
    ),
    Rule(
        "job_runs",
        "runs_retention_days",
        # each job's oldest rows, found by the index on job and start; a row a job of the recursion
        "WITH RECURSIVE names AS ((SELECT job FROM job_runs ORDER BY job LIMIT 1) UNION ALL SELECT (SELECT r.job FROM"
        " job_runs r WHERE r.job > names.job ORDER BY r.job LIMIT 1) FROM names WHERE names.job IS NOT NULL)"
        " SELECT r.id FROM job_runs r WHERE r.job = ANY(ARRAY(SELECT job FROM names WHERE job IS NOT NULL))"
        " AND r.started_at < :before AND r.status <> 'running' AND CAST(:after AS bigint) IS NOT NULL" + _LOCKED,
        most=500,  # their items go with them
    ),
    Rule(
        "easycar_sync_logs",
        "runs_retention_days",
        "SELECT l.id FROM dealerships d CROSS JOIN LATERAL ("
        "   SELECT n.synced_at FROM easycar_sync_logs n WHERE n.dealership_id = d.id AND n.sync_type = 'stock'"
        f"  ORDER BY n.synced_at DESC OFFSET {LOGS_KEPT - 1} LIMIT 1) kept"
        " JOIN easycar_sync_logs l ON l.dealership_id = d.id AND l.sync_type = 'stock' AND l.synced_at < :before"
        " AND l.synced_at < kept.synced_at AND CAST(:after AS bigint) IS NOT NULL LIMIT :batch"
        " FOR UPDATE OF l SKIP LOCKED",
    ),
    Rule(
        "vehicle_changes",
        "runs_retention_days",
        "SELECT id FROM vehicle_changes WHERE id > :after AND changed_at < :before"
        " AND NOT (field = 'status' AND new = 'removed')"
        " AND id <= (SELECT max(id) FROM (SELECT id FROM vehicle_changes WHERE id > :after ORDER BY id LIMIT :batch) f)"
        " ORDER BY id" + _LOCKED,
    ),
    Rule(
        "holds",
        "runs_retention_days",
        "SELECT id FROM holds WHERE id > :after AND created_at < :before AND status IN ('rejected',"
        " 'superseded', 'approved') AND (status <> 'approved' OR applied_at IS NOT NULL) AND id NOT IN ("
        "  SELECT max(id) FROM holds GROUP BY dealership_id, kind) ORDER BY id" + _LOCKED,
    ),
    Rule(
        "alerts",
        "runs_retention_days",
        "SELECT id FROM alerts WHERE id > :after AND closed_at < :before ORDER BY id" + _LOCKED,
    ),
)
# Walked along the primary key: their batches end at an id, not at the first row that stays.
_WALKED = ("job_items", "refused_items", "vehicle_changes")


def prune(
    engine: Engine,
    settings: SystemSettings,
    *,
    now: datetime,
    batch: int = BATCH,
    within_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    told: Callable[[str], object] = lambda sentence: get_logger().warning("prune.rows_kept", message=sentence),
) -> dict[str, int]:
    """
    Delete what is past its retention; returns how many rows went, by table.

    Args:
        batch: rows of one transaction.
        within_s: stop after this long; what is left goes next time. None: all of it.
        told: gets a sentence about rows that the database does not let go.
    """
    end = None if within_s is None else clock() + within_s
    gone = {rule.table: 0 for rule in RULES}
    kept = Kept()
    try:
        for rule in RULES:
            before = cutoff(settings, rule, now)
            if before is None:
                continue
            span = Span(before, now, thorough=within_s is None)
            for number in _batches(engine, rule, span, min(batch, rule.most), kept):
                gone[rule.table] += number
                if end is not None and clock() >= end:
                    return gone
        return gone
    finally:
        for sentence in kept.sentences():
            told(sentence)


@dataclass(frozen=True)
class Span:
    """What is older than `before` goes; a thorough walk ends only where its table does."""

    before: datetime
    now: datetime
    thorough: bool


class Kept:
    """Rows past their retention that the database refused to delete: something else refers to them."""

    def __init__(self) -> None:
        self._why: dict[tuple[str, str], int] = {}

    def add(self, table: str, error: Exception) -> None:
        """Remember one row."""
        diagnosis = getattr(getattr(error, "orig", None), "diag", None)
        constraint, other = getattr(diagnosis, "constraint_name", None), getattr(diagnosis, "table_name", None)
        why = f"constraint {constraint} on table {other}" if constraint else str(getattr(error, "orig", error))
        key = (table, visible(why, most=200))
        self._why[key] = self._why.get(key, 0) + 1

    def sentences(self) -> list[str]:
        """Return one for each table and reason."""
        return [
            f"{table}: {many(number, 'row')} past retention cannot be deleted: {why}; delete what refers to it, or let"
            " that constraint cascade"
            for (table, why), number in self._why.items()
        ]


def cutoff(settings: SystemSettings, rule: Rule, now: datetime) -> datetime | None:
    """Return the instant before which a table's rows go, None if that is before all time."""
    try:
        return now - timedelta(days=settings.number(rule.setting))
    except OverflowError:
        return None


def _batches(engine: Engine, rule: Rule, span: Span, batch: int, kept: Kept) -> Iterator[int]:
    """Delete a batch in each step, each in a transaction of its own; yields how many went."""
    after = _BELOW_ALL
    stuck: list[object] = []
    while True:
        with translated(), engine.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = '60s'"))
            end = _end_of_batch(connection, rule, after, span, batch) if rule.table in _WALKED else None
            ids = _find(connection, rule, span.before, after, batch, stuck)
            refused = _delete(connection, rule.table, ids, kept)
        stuck += refused
        yield len(ids) - len(refused)
        if rule.table in _WALKED:
            if end is None:
                return
            after = end
        elif len(ids) < batch:
            return


def _end_of_batch(connection: Connection, rule: Rule, after: int, span: Span, batch: int) -> int | None:
    """
    Return the last id of the batch, None where the walk is over.

    Ids grow with time, so a batch that is young as a whole ends it; not one with instants still to come, which say that
    some clock was wrong, nor one that only begins to be young.
    """
    column = {"job_items": "started_at", "refused_items": "created_at", "vehicle_changes": "changed_at"}[rule.table]
    row = connection.execute(
        text(
            f"SELECT max(id), count(*), min({column}) >= :before AND max({column}) <= :now FROM (SELECT id, {column}"
            f" FROM {rule.table} WHERE id > :after ORDER BY id LIMIT :batch) few"
        ),
        {"after": after, "before": span.before, "now": span.now, "batch": batch},
    ).one()
    young = row[2] and not span.thorough
    return row[0] if row[1] == batch and not young else None


def _find(
    connection: Connection, rule: Rule, before: datetime, after: int, batch: int, stuck: Sequence[object]
) -> list[object]:
    """Return the ids of the next batch, locked; `stuck` are those that were refused before."""
    parameters = {"before": before, "after": after, "batch": batch + len(stuck)}
    refused = set(stuck)
    found = [row[0] for row in connection.execute(text(rule.find), parameters)]
    return [id_ for id_ in found if id_ not in refused][:batch]


def _delete(connection: Connection, table: str, ids: Sequence[object], kept: Kept) -> list[object]:
    """Delete rows, by halves where the database refuses; returns the ids of those that cannot go."""
    from sqlalchemy.exc import DBAPIError

    if not ids:
        return []
    try:
        with connection.begin_nested():
            connection.execute(text(f"DELETE FROM {table} WHERE id = ANY(:ids)"), {"ids": list(ids)})
    except DBAPIError as error:
        if not _is_refusal(error.orig):
            raise
        if len(ids) == 1:
            kept.add(table, error)
            return list(ids)
        middle = len(ids) // 2
        return [*_delete(connection, table, ids[:middle], kept), *_delete(connection, table, ids[middle:], kept)]
    return []


def _is_refusal(error: BaseException | None) -> bool:
    """Whether a constraint or a trigger that somebody added says no."""
    from psycopg import errors

    return isinstance(error, errors.IntegrityError | errors.RaiseException)
