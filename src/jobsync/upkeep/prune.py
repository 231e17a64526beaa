"""Retention: what is older than its setting goes, oldest first, in short transactions; documents and audit stay."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import errors
from sqlalchemy import ARRAY, Column, Connection, Engine, Table, and_, any_, delete, false, func, literal, select, text
from sqlalchemy.exc import DBAPIError

from jobsync.db.engine import translated
from jobsync.db.system_settings import SystemSettings
from jobsync.db.tables import job_items, job_runs
from jobsync.logs import get_logger, visible
from jobsync.phrases import many
from jobsync.upkeep.model import AFTER, BATCH_SIZE, BEFORE, RetentionRule, walk

BATCH = 5000
# Rows past their retention that the database refused to delete, by table and reason.
Kept = Counter[tuple[str, str]]
Record = Callable[[Connection, Mapping[str, int]], object]
_FIRST, _LAST = -(2**63), 2**63 - 1
_ORDER = ("items_retention_days", "events_retention_days", "runs_retention_days")  # most rows first


RULES = (
    walk(job_items.c.started_at, "items_retention_days", job_items.c.status != "running"),
    RetentionRule(
        job_runs,
        "runs_retention_days",
        # each job's oldest rows, found by the index on job and start; a row a job of the recursion
        text(
            "WITH RECURSIVE names AS ((SELECT job FROM job_runs ORDER BY job LIMIT 1) UNION ALL SELECT (SELECT r.job"
            " FROM job_runs r WHERE r.job > names.job ORDER BY r.job LIMIT 1) FROM names WHERE names.job IS NOT NULL)"
            " SELECT old.id FROM job_runs old WHERE old.job = ANY(ARRAY(SELECT job FROM names WHERE job IS NOT NULL))"
            " AND old.started_at < :before AND old.status <> 'running' LIMIT :batch"
        ),
        most=500,  # their items go with them
    ),
)


def prune(
    engine: Engine,
    settings: SystemSettings,
    rules: Sequence[RetentionRule],
    *,
    now: datetime,
    batch: int = BATCH,
    within_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    told: Callable[[str], object] = lambda sentence: get_logger().warning("prune.rows_kept", message=sentence),
    record: Record = lambda _connection, _gone: None,
    stop: Callable[[Mapping[str, int]], bool] = lambda _gone: False,
) -> dict[str, int]:
    """
    Delete what is past its retention; returns how many rows went, by table.

    Args:
        batch: rows of one transaction.
        within_s: stop after this long; what is left goes next time. None: all of it.
        told: gets a sentence about rows that the database does not let go.
        record: called in each transaction with how many rows of which table went in it.
        stop: asked after each batch with what went so far; True leaves the rest.
    """
    end = None if within_s is None else clock() + within_s
    rules = sorted(rules, key=lambda rule: _ORDER.index(rule.setting))
    kept: Kept = Counter()
    gone = {rule.table.name: 0 for rule in rules}
    try:
        for rule in rules:
            before = now - timedelta(days=settings.number(rule.setting))
            walked_to = None if within_s is None else now
            for number in _batches(engine, rule, before, min(batch, rule.most), kept, record, now=walked_to):
                gone[rule.table.name] += number
                if stop(gone) or (end is not None and clock() >= end):
                    return gone
        return gone
    finally:
        for (table, why), number in kept.items():
            told(
                f"{table}: {many(number, 'row')} past retention cannot be deleted: {why}; delete what refers to it, or"
                " let that constraint cascade"
            )


def count_old(
    engine: Engine,
    settings: SystemSettings,
    rules: Sequence[RetentionRule],
    *,
    now: datetime,
    told: Callable[[str], object],
) -> dict[str, int]:
    """
    Return how many rows are past their retention, by table; nothing is written or locked.

    `told` gets the name of each table before its rows are counted.
    """
    old = {rule.table.name: 0 for rule in rules}
    for rule in rules:
        told(rule.table.name)
        with translated(), engine.begin() as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            before = now - timedelta(days=settings.number(rule.setting))
            parameters = {"before": before, "after": _FIRST, "end": _LAST, "batch": 2**31 - 1}
            old[rule.table.name] += connection.execute(rule.count, parameters).scalar_one()
    return old


def _batches(
    engine: Engine,
    rule: RetentionRule,
    before: datetime,
    batch: int,
    kept: Kept,
    record: Record,
    *,
    now: datetime | None,
) -> Iterator[int]:
    """
    Delete a batch in each step, each in a transaction of its own; yields how many went.

    Args:
        now: a walk ends with a batch that is young as a whole; None: only where its table does.
    """
    after, over = _FIRST, False
    stuck: set[object] = set()  # refused before
    while not over:
        asked = {"before": before, "after": after, "batch": batch}
        with translated(), engine.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = '60s'"))
            if rule.walked is not None:
                after, over = _end_of_batch(connection, rule.walked, asked, now)
            asked |= {"end": after, "batch": batch + len(stuck)}
            ids = [row[0] for row in connection.execute(rule.find_locked, asked) if row[0] not in stuck][:batch]
            refused = _delete(connection, rule.table, ids, kept)
            if went := len(ids) - len(refused):
                record(connection, {rule.table.name: went})
        stuck.update(refused)
        yield went
        over = over or (rule.walked is None and len(ids) < batch)


def _end_of_batch(
    connection: Connection, walked: Column[Any], asked: Mapping[str, Any], now: datetime | None
) -> tuple[int, bool]:
    """
    Return the last id of the batch, and whether the walk is over.

    Ids grow with time, so a batch that is young as a whole ends it; not one with instants still to come, which say that
    some clock was wrong, nor one that only begins to be young.
    """
    ids = walked.table.c.id
    rows = select(ids, walked.label("at")).where(ids > AFTER).order_by(ids).limit(BATCH_SIZE).subquery()
    all_young = false() if now is None else and_(func.min(rows.c.at) >= BEFORE, func.max(rows.c.at) <= now)
    wanted = select(func.max(rows.c.id), func.count(), all_young).select_from(rows)
    last, number, young = connection.execute(wanted, asked).one()
    return last, number < asked["batch"] or young


def _delete(connection: Connection, table: Table, ids: Sequence[object], kept: Kept) -> list[object]:
    if not ids:
        return []
    try:
        with connection.begin_nested():
            which = literal(list(ids), ARRAY(table.c.id.type))
            connection.execute(delete(table).where(table.c.id == any_(which)))
    except DBAPIError as error:
        if not isinstance(error.orig, errors.IntegrityError | errors.RaiseException):  # somebody's constraint, trigger
            raise
        if len(ids) == 1:
            said = error.orig.diag
            why = f"constraint {said.constraint_name} on table {said.table_name}"
            kept[table.name, visible(why if said.constraint_name else error.orig, most=200)] += 1
            return list(ids)
        middle = len(ids) // 2
        return [*_delete(connection, table, ids[:middle], kept), *_delete(connection, table, ids[middle:], kept)]
    return []
