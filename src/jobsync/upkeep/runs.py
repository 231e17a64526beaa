"""What ran, how it ended, and who holds a lock now; a row that says running is checked against its lock."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Double, Numeric, Text, cast, extract, func, select

from jobsync.db.engine import driver
from jobsync.db.jsonb import as_counts
from jobsync.db.statements import rows_of
from jobsync.db.tables import job_items, job_runs, run_locks
from jobsync.errors import UsageProblem
from jobsync.runner.lock import read_holders
from jobsync.runner.record import living_runs
from jobsync.upkeep.model import ItemsOfRuns

_LASTED = extract("epoch", func.coalesce(job_runs.c.finished_at, func.now()) - job_runs.c.started_at)
_BEGUN = (
    job_runs.c.id.label("run_id"),
    *(job_runs.c[name] for name in ("job", "trigger", "status", "exit_code", "started_at", "finished_at")),
    cast(func.round(cast(_LASTED, Numeric), 3), Double).label("duration_s"),
    job_runs.c.counts,
    job_runs.c.error,
)
_ITEM = [job_items.c[name] for name in ("item_key", "label", "status", "attempt", "started_at", "duration_ms")]
_ITEM += [job_items.c.counts, job_items.c.error]
_WHERE = (job_runs.c.host, job_runs.c.pid, job_runs.c.version, job_runs.c.invocation_id)


def list_runs(
    connection: Connection,
    *,
    job: str | None,
    limit: int,
    statuses: Sequence[str] = (),
    since: datetime | None = None,
) -> list[dict[str, Any]]:
    """Return the latest runs, newest first; without statuses all. One whose process is gone is shown as crashed."""
    wanted = select(*_BEGUN, *_WHERE)
    if job is not None:
        wanted = wanted.where(job_runs.c.job == job)
    if since is not None:
        wanted = wanted.where(job_runs.c.started_at >= since)
    if statuses:  # a row that says running may be that of a crashed run
        looked_for = [*statuses, "running"] if "crashed" in statuses else statuses
        wanted = wanted.where(job_runs.c.status.in_(looked_for))
    latest = wanted.order_by(job_runs.c.started_at.desc(), job_runs.c.id).limit(limit)
    found = _tell_dead(connection, rows_of(connection, latest))
    return [run for run in found if not statuses or run["status"] in statuses]


def find_run(connection: Connection, name: str) -> UUID:
    """Return the id of a run by as many of its first characters as make it unique; raises UsageProblem."""
    starts = func.starts_with(cast(job_runs.c.id, Text), name.strip().lower())
    found = connection.execute(select(job_runs.c.id).where(starts).limit(2)).all()
    if len(found) != 1 or not name.strip():
        raise UsageProblem(f"{'more than one' if len(found) > 1 else 'no'} run {name}; jobsync runs list shows them")
    run_id: UUID = found[0][0]
    return run_id


def read_run(connection: Connection, name: str) -> dict[str, Any]:
    """Return one run, without its items; `name` and what is raised are those of `find_run`."""
    this = select(*_BEGUN, job_runs.c.traceback, *_WHERE).where(job_runs.c.id == find_run(connection, name))
    [run] = _tell_dead(connection, rows_of(connection, this))
    return run


def show_run(connection: Connection, name: str, of_jobs: Mapping[str, ItemsOfRuns]) -> dict[str, Any]:
    """Return one run, found as `find_run` does, with its items and what each of them warned of, as its slice knows."""
    run = read_run(connection, name)
    items = rows_of(connection, select(*_ITEM).where(job_items.c.run_id == run["run_id"]).order_by(job_items.c.id))
    known = of_jobs.get(run["job"])
    warnings = known.read_warnings(connection, run["run_id"]) if known else {}
    for item in items:
        item.update(counts=as_counts(item["counts"]), warnings=warnings.get(item["item_key"], []))
        if run["status"] == "crashed" and item["status"] == "running":
            item["status"] = "crashed"
    return {**run, "items": items}


def read_retriable(
    connection: Connection, run: Mapping[str, Any], items_of: ItemsOfRuns
) -> tuple[list[str], list[str]]:
    """
    Return the keys of the items of a run that failed, or were begun and never ended; and those of them that no run can
    take any more, since the dealership or document is gone.
    """
    failed = [item["item_key"] for item in run["items"] if item["status"] in ("failed", "crashed", "running")]
    there = items_of.read_there(connection, failed)
    return [key for key in failed if key in there], [key for key in failed if key not in there]


def _tell_dead(connection: Connection, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    open_runs: list[UUID] = [run["run_id"] for run in runs if run["status"] == "running"]
    alive = living_runs(driver(connection), open_runs) if open_runs else set()
    # A run may have closed its row between the two looks.
    open_now = select(job_runs.c.id).where(job_runs.c.id.in_(open_runs), job_runs.c.status == "running")
    still_open = set(connection.execute(open_now).scalars()) if open_runs else set()
    for run in runs:
        run["counts"] = as_counts(run["counts"])
        if run["status"] == "running" and run["run_id"] not in alive and run["run_id"] in still_open:
            run["status"] = "crashed"
            run["duration_s"] = None  # when it died is unknown
            run["error"] = run["error"] or "the process died without a word; the run's lock is free"
    return runs


def list_locks(connection: Connection) -> list[dict[str, Any]]:
    """Return every lock that somebody holds now, with the holder."""
    names = list(connection.execute(select(run_locks.c.name).order_by(run_locks.c.name)).scalars())
    return [
        {"backend_pid" if name == "pid" else name: value for name, value in vars(holder).items()}
        for holder in (read_holders(driver(connection), names) if names else ())
        if holder.pid is not None
    ]
