"""One look at everything runs left behind: a fixed number of statements, however much there is, into frozen facts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from jobsync.db.engine import driver
from jobsync.db.jsonb import as_counts, as_object
from jobsync.db.statements import rows_of
from jobsync.db.system_settings import read_system_settings
from jobsync.db.tables import alerts, jobs
from jobsync.jobs import BY_NAME
from jobsync.runner.lock import read_holders
from jobsync.runner.record import living_runs
from jobsync.watch.error_kinds import fingerprint, normalise
from jobsync.watch.model import WATCH, AlertFacts, FailureKind, JobFacts, RunFacts, Snapshot, Watched
from jobsync.watch.timers import Waker

WINDOW = timedelta(days=7)
_LONG_AGO = datetime(1, 1, 2, tzinfo=UTC)  # no window goes further back
_FAILURES_MOST = 5000  # different texts looked at; beyond that the oldest are left out

# Compiling these statements would cost more than running them.
_CLOCK = "SELECT now() AS now, current_database() AS database, set_config('jit', 'off', true)"


def read_snapshot(
    connection: Connection,
    watched: Sequence[Watched],
    *,
    now: datetime | None = None,  # another instant than the database's clock, for tests
    window: timedelta = WINDOW,  # how far rates, durations and failures look back
    waker: Waker = Waker.UNITS,
    timers_on: frozenset[str] = frozenset(),
    channels: tuple[str, ...] | None = None,
) -> Snapshot:
    """Read everything an operator asks about."""
    [clock] = rows_of(connection, _CLOCK)
    now = now or clock["now"]
    since = now - min(window, now - _LONG_AGO)
    settings = read_system_settings(driver(connection))
    seen = Snapshot(
        now=now,
        since=since,
        database=clock["database"],
        settings=settings,
        waker=waker,
        timers_on=timers_on,
        channels=channels,
        watched=tuple(watched),
        parts={each.ABOUT.job: each.read(connection, now, since, settings) for each in watched},
    )
    return replace(
        seen,
        jobs=tuple(_jobs(connection, seen)),
        failures=_failures(connection, seen),
        alerts=_alerts(connection),
        watched_at=connection.execute(select(jobs.c.last_tick_at).where(jobs.c.name == WATCH)).scalar_one_or_none(),
    )


_RUN = "id AS run_id, job, status, trigger, exit_code, started_at, finished_at, counts, error, host, pid"
_STATES = """
    SELECT name, j.name IS NOT NULL AS known, last_tick_at, last_finished_at, last_status, last_success_at, skipped_by,
           ticks_held_until,
           coalesce(consecutive_failures, 0) AS consecutive_failures,
           coalesce(consecutive_skips, 0) AS consecutive_skips, coalesce(runs, 0) AS runs, coalesce(clean, 0) AS clean,
           coalesce(failed, 0) AS failed, seconds[1] AS p50_s, seconds[2] AS p95_s
    FROM unnest(CAST(:jobs AS text[])) WITH ORDINALITY AS wanted (name, place) LEFT JOIN jobs j USING (name)
    LEFT JOIN (
        SELECT job, count(*) AS runs, count(*) FILTER (WHERE status IN ('succeeded', 'cancelled')) AS clean,
               count(*) FILTER (WHERE status IN ('failed', 'crashed', 'lock_lost', 'timed_out')) AS failed,
               -- the end of one that died is when it was found
               max(finished_at) FILTER (WHERE trigger <> 'manual' AND status <> 'crashed') AS ticks_held_until,
               percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY
                   extract(epoch FROM finished_at - started_at)::float8) FILTER (WHERE status <> 'crashed') AS seconds
        FROM job_runs WHERE job = ANY(:jobs) AND started_at BETWEEN :since AND :now AND status <> 'running'
        GROUP BY job) numbers ON job = name
    ORDER BY place
"""
_LATELY = "started_at BETWEEN :since AND :now AND"
_LASTS = {  # the latest run of a job for which this holds
    "last_run": "status <> 'running' AND started_at <= :now",
    "last_bad": f"{_LATELY} status NOT IN ('running', 'succeeded', 'cancelled')",
    "last_missed": f"{_LATELY} status IN ('failed', 'crashed', 'lock_lost', 'timed_out') AND trigger <> 'manual'",
    "last_good": "started_at BETWEEN :since AND last_success_at AND finished_at = last_success_at",
}
_LAST = f"SELECT {_RUN}, 'running' AS which FROM job_runs WHERE status = 'running'" + "".join(
    f"""
    UNION ALL SELECT {_RUN}, '{which}' FROM unnest(CAST(:jobs AS text[])) AS wanted (name) LEFT JOIN jobs USING (name)
    CROSS JOIN LATERAL (
        SELECT * FROM job_runs WHERE job = wanted.name AND {condition} ORDER BY started_at DESC LIMIT 1) r
    """
    for which, condition in _LASTS.items()
)


def _jobs(connection: Connection, seen: Snapshot) -> Iterator[JobFacts]:
    asked = {"jobs": [*BY_NAME], "now": seen.now, "since": seen.since}
    states = rows_of(connection, _STATES, asked)
    runs: dict[tuple[str, str], list[RunFacts]] = defaultdict(list)
    for row in rows_of(connection, _LAST, asked):
        which = row.pop("which")
        runs[row["job"], which].append(RunFacts(**{**row, "counts": as_counts(row["counts"])}))
    open_runs = [run.run_id for (_, which), found in runs.items() if which == "running" for run in found]
    alive = living_runs(driver(connection), open_runs) if open_runs else set()
    holders = {holder.name: holder for holder in read_holders(driver(connection), [*BY_NAME])}
    for state in states:
        name, known = state.pop("name"), state.pop("known")
        last: dict[str, Any] = {which: next(iter(runs[name, which]), None) for which in _LASTS}
        yield JobFacts(
            kind=BY_NAME[name],
            enabled=seen.settings.switch(BY_NAME[name].switch),
            holder=holders[name] if holders[name].pid is not None else None,
            running=tuple(replace(run, alive=run.run_id in alive) for run in runs[name, "running"]),
            **state,
            **last,
            **vars(seen.owner(name).work_of(seen.parts[name], seen.now, known=known)),
        )


_FAILURES = f"""
    WITH bad AS (
        SELECT id, job, started_at, error FROM job_runs WHERE job = ANY(:jobs) AND started_at BETWEEN :since AND :now
          AND status NOT IN ('running', 'succeeded', 'cancelled')
    )
    SELECT job, error, count(*) AS times, count(DISTINCT item_key) AS items, min(at) AS first_at, max(at) AS last_at,
           (array_agg(run_id ORDER BY at DESC))[1] AS run_id
    FROM (
        SELECT bad.job, left(i.error, 2000) AS error, i.started_at AS at, i.run_id, i.item_key
        FROM bad JOIN job_items i ON i.run_id = bad.id WHERE i.status IN ('failed', 'crashed') AND i.error IS NOT NULL
        UNION ALL
        SELECT job, left(error, 2000), started_at, id, NULL FROM bad WHERE error IS NOT NULL
    ) every GROUP BY job, error ORDER BY max(at) DESC LIMIT {_FAILURES_MOST}
"""


def _failures(connection: Connection, seen: Snapshot) -> tuple[FailureKind, ...]:
    groups: dict[tuple[str, str], FailureKind] = {}
    for row in rows_of(connection, _FAILURES, jobs=[*BY_NAME], now=seen.now, since=seen.since):
        error = row.pop("error")
        found = FailureKind(**row, fingerprint=fingerprint(error), sample=error, pattern=normalise(error))
        known = groups.setdefault((found.job, found.pattern), found)  # the latest text comes first
        if known is not found:
            groups[found.job, found.pattern] = replace(
                known,
                times=known.times + found.times,
                items=known.items + found.items,
                first_at=min(known.first_at, found.first_at),
            )
    return tuple(sorted(groups.values(), key=lambda group: (-group.times, group.fingerprint)))


def _alerts(connection: Connection) -> tuple[AlertFacts, ...]:
    open_ones = select(*(alerts.c[each.name] for each in fields(AlertFacts))).where(alerts.c.closed_at.is_(None))
    rows = rows_of(connection, open_ones.order_by(alerts.c.opened_at, alerts.c.id).limit(1000))
    return tuple(AlertFacts(**{**row, "details": as_object(row["details"])}) for row in rows)
