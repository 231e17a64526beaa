"""The rows a run leaves: job_runs opened, in progress and closed; its items; the job's streaks; who was found dead."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection, errors
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from jobsync import __version__
from jobsync.errors import ExitCode, JobsyncError
from jobsync.hostname import host_name
from jobsync.logs import get_logger, visible
from jobsync.runner import lock
from jobsync.runner.job import ItemResult, ItemStatus, Report, RunStatus
from jobsync.runner.lock import LockSession, held_names, run_lock_name
from jobsync.runner.totals import count_run

CLOSE_FOR_S = 10.0

# Opens a transaction that commits at the end of its block.
Begin = Callable[[], AbstractContextManager["Connection[Any]"]]
# Told of a run that left items begun and not finished, in the transaction that closes it.
Unfinished = Callable[["Connection[Any]", UUID], None]


def tell_nobody(connection: Connection[Any], run_id: UUID) -> None:
    """Nothing but the run's own rows says what was left unfinished."""


@dataclass(frozen=True)
class RunIdentity:
    """Who this run is, for its row and for the people who meet its locks."""

    run_id: UUID
    job: str
    trigger: str
    host: str
    pid: int
    invocation_id: str | None

    @property
    def holder(self) -> str:
        """The words that run_locks shows."""
        return f"{self.job} on {self.host}, pid {self.pid}, {self.trigger}"

    @property
    def application_name(self) -> str:
        """The words that pg_stat_activity shows; Postgres keeps 63 bytes."""
        return f"jobsync:{self.job}:{str(self.run_id)[:8]}:{self.host}"[:63]


def is_tick_due(connection: Connection[Any], job: str) -> bool:
    """Stamp a tick of the job and ask the one function of the database that says whether anything is due."""
    [(due,)] = connection.execute("SELECT jobsync_tick(%s)", [job]).fetchall()
    return bool(due)


def say_disabled_again_at(connection: Connection[Any], job: str, again_at: datetime) -> None:
    """A tick has said that the job is switched off: until then others with work keep quiet."""
    connection.execute(
        "UPDATE jobs SET disabled_said_at = now(), disabled_quiet_until = %s WHERE name = %s", [again_at, job]
    )


def identify(run_id: UUID, job: str, trigger: str, environ: Mapping[str, str]) -> RunIdentity:
    return RunIdentity(run_id, job, trigger, host_name(), os.getpid(), environ.get("INVOCATION_ID"))


def limit_waits(connection: Connection[Any], lock_s: float | None = None) -> None:
    """
    Limit a transaction's waits: for rows that somebody else has locked, by default as long as a write waits, and the
    server's for a host that vanished. A person's forgotten transaction would else stop this run, and every later one.
    """
    connection.execute(
        "SELECT set_config('lock_timeout', %s, true), set_config('idle_in_transaction_session_timeout', '1min', true)",
        [f"{(lock.ROWS_WITHIN_S if lock_s is None else lock_s) * 1000:.0f}ms"],
    )


def open_run(connection: Connection[Any], who: RunIdentity, *, holds_job: bool = True) -> None:
    """
    Insert the row; the lock `run:<id>` must be held by now.

    `holds_job`: the run has the job's own lock, so the ticks that found it taken are over.
    """
    limit_waits(connection, CLOSE_FOR_S)
    connection.execute(
        "INSERT INTO job_runs (id, job, trigger, host, pid, invocation_id, version) VALUES (%s,%s,%s,%s,%s,%s,%s)",
        [who.run_id, who.job, who.trigger, who.host, who.pid, who.invocation_id, __version__],
    )
    connection.execute(
        "INSERT INTO jobs (name, last_started_at) VALUES (%s, now())"
        " ON CONFLICT (name) DO UPDATE SET last_started_at = now(),"
        " consecutive_skips = CASE WHEN %s THEN 0 ELSE jobs.consecutive_skips END,"
        " skipped_by = CASE WHEN %s THEN NULL ELSE jobs.skipped_by END",
        [who.job, holds_job, holds_job],
    )


def write_progress(connection: Connection[Any], run_id: UUID, counts: Mapping[str, int]) -> None:
    """Show how far the run is; raises if somebody else keeps the row: the next time will do."""
    limit_waits(connection, 1.0)
    connection.execute(
        "UPDATE job_runs SET counts = %s WHERE id = %s AND status = 'running'", [json.dumps(counts), run_id]
    )


def begin_item(connection: Connection[Any], run_id: UUID, key: str, label: str, attempt: int) -> None:
    """Commit the attempt before it starts: one that never finishes is then known."""
    connection.execute(
        "INSERT INTO job_items (run_id, item_key, label, attempt) VALUES (%s, %s, %s, %s)",
        [run_id, key, visible(label), attempt],
    )


def forget_item(connection: Connection[Any], run_id: UUID, key: str) -> None:
    connection.execute("DELETE FROM job_items WHERE run_id = %s AND item_key = %s", [run_id, key])


def _outcome(result: ItemResult, duration_ms: int) -> dict[str, Any]:
    return {
        "key": result.key,
        "status": str(result.status),
        "duration_ms": duration_ms,
        "error": visible(result.error) if result.error else result.reason,
        "reason": result.reason,
    }


def finish_item(connection: Connection[Any], run_id: UUID, result: ItemResult, duration_ms: int) -> None:
    connection.execute(
        "UPDATE job_items SET status = %(status)s, duration_ms = %(duration_ms)s, counts = %(counts)s,"
        " error = %(error)s, reason = %(reason)s WHERE run_id = %(run_id)s AND item_key = %(key)s",
        {**_outcome(result, duration_ms), "run_id": run_id, "counts": json.dumps(dict(result.counts))},
    )


def is_item_open(connection: Connection[Any], run_id: UUID, key: str) -> bool:
    """Whether no result of the item is committed; waits for a transaction that is just about to be."""
    row = connection.execute(
        "SELECT status = 'running' FROM job_items WHERE run_id = %s AND item_key = %s FOR UPDATE", [run_id, key]
    ).fetchone()
    return row is None or bool(row[0])


def keep_failure(
    connection: Connection[Any], run_id: UUID, result: ItemResult, *, attempt: int, duration_ms: int
) -> None:
    """Record an item that failed, of a job whose items leave no other row."""
    more = {"run_id": run_id, "label": visible(result.label), "attempt": attempt, "took_s": duration_ms / 1000}
    connection.execute(
        "INSERT INTO job_items (run_id, item_key, label, status, attempt, started_at, duration_ms, error, reason)"
        " VALUES (%(run_id)s, %(key)s, %(label)s, %(status)s, %(attempt)s, now() - make_interval(secs => %(took_s)s),"
        " %(duration_ms)s, %(error)s, %(reason)s)",
        {**_outcome(result, duration_ms), **more},
    )


def count_skip(connection: Connection[Any], job: str, by: str) -> None:
    """A tick found the lock taken: no row for it, only a count and the holder."""
    connection.execute(
        "INSERT INTO jobs (name, consecutive_skips, skipped_by) VALUES (%s, 1, %s)"
        " ON CONFLICT (name) DO UPDATE SET consecutive_skips = jobs.consecutive_skips + 1,"
        " skipped_by = excluded.skipped_by",
        [job, by],
    )


def read_ended(connection: Connection[Any], run_ids: Collection[UUID]) -> set[UUID]:
    """Return which of these runs this database knows to be over; one that it does not know may be alive elsewhere."""
    rows = connection.execute("SELECT id FROM job_runs WHERE id = ANY(%s) AND status <> 'running'", [list(run_ids)])
    return {row[0] for row in rows.fetchall()}


def bury_crashed(begin: Begin, locks: LockSession, unfinished: Unfinished = tell_nobody) -> list[UUID]:
    """
    Mark every run whose row says running and whose own lock can be taken, with its unfinished items; returns the runs.

    Each burial is a transaction of its own, over before the dead run's lock is given back: two jobs that start together
    after a crash would else wait for each other's rows. A row that somebody else keeps is left to a later run.
    """
    dead = []
    with begin() as connection:
        running = connection.execute("SELECT id FROM job_runs WHERE status = 'running'").fetchall()
    for (run_id,) in running:
        name = run_lock_name(run_id)
        if not locks.try_lock(name):
            continue
        try:
            with begin() as connection:
                buried = _bury(connection, run_id, unfinished)
        finally:
            locks.unlock(name)
        if buried:
            dead.append(run_id)
            get_logger().warning("run.found_crashed", crashed_run=str(run_id))
    return dead


def _bury(connection: Connection[Any], run_id: UUID, unfinished: Unfinished) -> bool:
    try:
        with connection.transaction():
            limit_waits(connection, 1.0)
            closed = connection.execute(
                "UPDATE job_runs SET status = 'crashed', finished_at = now(),"
                " error = coalesce(error, 'the process died without a word; the run''s lock was free')"
                " WHERE id = %s AND status = 'running' RETURNING job, trigger",
                [run_id],
            ).fetchone()
            left = connection.execute(
                "UPDATE job_items SET status = 'crashed', error = 'the process died while working on it'"
                " WHERE run_id = %s AND status = 'running'",
                [run_id],
            ).rowcount
            if closed and left:
                unfinished(connection, run_id)
            if closed:
                count_run(connection, run_id)
                connection.execute(
                    "UPDATE jobs SET last_status = 'crashed', last_finished_at = now(),"
                    " consecutive_failures = consecutive_failures + %s WHERE name = %s",
                    [int(closed[1] != "manual"), closed[0]],
                )
    except errors.LockNotAvailable:
        get_logger().warning("run.crashed_row_locked", crashed_run=str(run_id))
        return False
    return closed is not None


def living_runs(connection: Connection[Any], run_ids: list[UUID]) -> set[UUID]:
    """Return those runs whose own lock is held, that is whose process lives."""
    names = {run_lock_name(run_id): run_id for run_id in run_ids}
    return {names[name] for name in held_names(connection, names)}


def close_run(
    begin: Begin,
    report: Report,
    *,
    traceback: str | None = None,
    whole_job: bool = True,
    counts_for_streak: bool,
    held: bool = False,
    unfinished: Unfinished = tell_nobody,
) -> tuple[Report, bool]:
    """
    Write the verdict by compare-and-set, trying for ten seconds; returns it, and whether it was written: if not, the
    next run finds this one crashed.

    No fence: a run that lost its lock must still be able to say so, and only its own row is touched.

    Args:
        whole_job: the run was not for named items only; what the job as a whole last did is then written too.
        held: the run's own lock must be seen where the verdict is written. Where it is not, this is another server than
            the one that did the work (an old primary may still answer after a failover): the verdict is `lock_lost`.
    """

    def write() -> tuple[Report, bool]:
        with begin() as connection:
            limit_waits(connection, 2.0)
            proved = _proved(connection, report) if held else report
            was = _close_row(connection, proved, traceback, unfinished)
            if was is not None and whole_job:
                _write_job(connection, proved, counts_for_streak=counts_for_streak, counted=was == "crashed")
            return proved, was is not None

    refusals = (psycopg.Error, JobsyncError)  # a server that changes its role raises any of them
    stop, wait = stop_after_delay(CLOSE_FOR_S), wait_fixed(0.2)
    trying = Retrying(retry=retry_if_exception_type(refusals), stop=stop, wait=wait, reraise=True)
    try:
        return trying(write)
    except refusals as error:
        get_logger().error("run.verdict_not_recorded", error=visible(error))
        return report, False


def _proved(connection: Connection[Any], report: Report) -> Report:
    name = run_lock_name(report.run_id) if report.run_id else ""
    if report.status is RunStatus.LOCK_LOST or name in held_names(connection, [name]):
        return report
    error = "the run's lock is not held where its verdict was to be written: another server answers now"
    return replace(report, status=RunStatus.LOCK_LOST, exit_code=ExitCode.LOCK_LOST, error=report.error or error)


def _close_row(
    connection: Connection[Any], report: Report, traceback: str | None, unfinished: Unfinished
) -> str | None:
    """Return what the run's row said before, None if it is closed already."""
    row = connection.execute(
        "UPDATE job_runs r SET status = %s, exit_code = %s, finished_at = now(), counts = %s, error = %s,"
        " traceback = %s FROM (SELECT id, status FROM job_runs WHERE id = %s FOR UPDATE) old"
        " WHERE r.id = old.id AND old.status IN ('running', 'crashed') RETURNING r.id, old.status",
        [
            str(report.status),
            int(report.exit_code),
            json.dumps(report.counts.as_json()),
            visible(report.error) if report.error else None,
            traceback,
            report.run_id,
        ],
    ).fetchone()
    left = connection.execute(
        "UPDATE job_items SET status = %s, error = concat_ws(': ', %s::text, %s::jsonb ->> item_key)"
        " WHERE run_id = %s AND status = 'running'",
        [
            str(ItemStatus.FAILED),
            f"unfinished when the run ended as {report.status}",
            json.dumps({item.key: item.error for item in report.items if item.error and item.reason != "lock_lost"}),
            report.run_id,
        ],
    ).rowcount
    if row is None:
        return None
    run_id, was = row
    if left:
        unfinished(connection, run_id)
    if was != "crashed":
        count_run(connection, run_id)
    return str(was)


def _write_job(connection: Connection[Any], report: Report, *, counts_for_streak: bool, counted: bool) -> None:
    """`counted`: this run was taken for dead meanwhile, and counted as a failure then."""
    counts = report.counts
    done = counts.eligible == 0 or counts.succeeded + counts.partial + counts.held > 0
    # a run that only tried what is known to be down has neither failed nor succeeded; what was held or left out ends a
    # row of failures, and is no success
    good = done and report.status in (RunStatus.SUCCEEDED, RunStatus.PARTIAL, RunStatus.HELD)
    bad = report.status in (RunStatus.FAILED, RunStatus.LOCK_LOST, RunStatus.TIMED_OUT)
    connection.execute(
        "UPDATE jobs SET last_finished_at = now(), last_status = %(status)s,"
        " last_success_at = CASE WHEN %(success)s THEN now() ELSE last_success_at END,"
        " consecutive_failures = CASE WHEN NOT %(streak)s THEN consecutive_failures WHEN %(good)s THEN 0"
        " WHEN %(bad)s THEN consecutive_failures + 1 ELSE consecutive_failures END WHERE name = %(job)s",
        {
            "status": str(report.status),
            "good": good,
            "success": good and report.status is RunStatus.SUCCEEDED,
            "bad": bad and not counted,
            "streak": counts_for_streak,
            "job": report.job,
        },
    )
