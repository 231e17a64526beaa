"""What ran, how it ended, and who holds a lock now; a row that says running is checked against its lock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import text

from jobsync.db.engine import driver
from jobsync.db.jsonb import as_counts, as_lines
from jobsync.errors import UsageProblem
from jobsync.runner.lock import read_holders
from jobsync.runner.record import living_runs

if TYPE_CHECKING:
    from sqlalchemy import Connection

_RUN = """
    SELECT id AS run_id, job, trigger, status, exit_code, started_at, finished_at,
           round(extract(epoch FROM coalesce(finished_at, now()) - started_at)::numeric, 3)::float8 AS duration_s,
           counts, error, host, pid, version, invocation_id
    FROM job_runs
"""


def list_runs(
    connection: Connection,
    *,
    job: str | None,
    limit: int,
    statuses: Sequence[str] = (),
    since: datetime | None = None,
) -> list[dict[str, Any]]:
    """
    Return the latest runs, newest first; one whose process is gone is shown as crashed at once.

    Args:
        statuses: only runs that ended so; empty means all.
        since: only runs that began then or later.
    """
    rows = connection.execute(
        text(
            _RUN + " WHERE (CAST(:job AS text) IS NULL OR job = :job)"
            " AND (CAST(:since AS timestamptz) IS NULL OR started_at >= :since)"
            " AND (CAST(:statuses AS text[]) IS NULL OR status = ANY(:statuses))"
            " ORDER BY started_at DESC, id LIMIT :limit"
        ),
        {"job": job, "limit": limit, "since": since, "statuses": _with_running(statuses) or None},
    ).mappings()
    found = _tell_dead(connection, [dict(row) for row in rows])
    return [run for run in found if not statuses or run["status"] in statuses]


def _with_running(statuses: Sequence[str]) -> list[str]:
    """A row that says running may be that of a crashed run."""
    return [*statuses, "running"] if "crashed" in statuses and "running" not in statuses else list(statuses)


def find_run(connection: Connection, name: str) -> UUID:
    """
    Return the id of a run.

    Args:
        name: the run's id, or as many of its first characters as make it unique.

    Raises:
        UsageProblem: no run, or more than one, has such an id.
    """
    found = connection.execute(
        text("SELECT id FROM job_runs WHERE starts_with(id::text, :name) LIMIT 2"), {"name": name.strip().lower()}
    ).all()
    if len(found) != 1 or not name.strip():
        raise UsageProblem(f"{'more than one' if len(found) > 1 else 'no'} run {name}; jobsync runs list shows them")
    run_id: UUID = found[0][0]
    return run_id


def show_run(connection: Connection, name: str) -> dict[str, Any]:
    """
    Return one run with its items.

    Args:
        name: the run's id, or as many of its first characters as make it unique.

    Raises:
        UsageProblem: no run, or more than one, has such an id.
    """
    rows = connection.execute(
        text(_RUN.replace("error,", "error, traceback,") + " WHERE id = :id"), {"id": find_run(connection, name)}
    )
    [run] = _tell_dead(connection, [dict(row) for row in rows.mappings()])
    items = connection.execute(
        text(
            "SELECT item_key, label, status, attempt, started_at, duration_ms, counts, error FROM job_items"
            " WHERE run_id = :id ORDER BY id"
        ),
        {"id": run["run_id"]},
    ).mappings()
    warnings = _warnings(connection, run["run_id"])
    run["items"] = [
        {**item, "counts": as_counts(item["counts"]), "warnings": warnings.get(item["item_key"], [])} for item in items
    ]
    if run["status"] == "crashed":
        for item in run["items"]:
            item["status"] = "crashed" if item["status"] == "running" else item["status"]
    return run


def _warnings(connection: Connection, run_id: UUID) -> dict[str, list[str]]:
    """Return what syncs of the run warned of, by dealership."""
    rows = connection.execute(
        text("SELECT dealership_id, warnings FROM easycar_sync_logs WHERE run_id = :id"), {"id": run_id}
    )
    return {str(row.dealership_id): as_lines(row.warnings) for row in rows}


def _tell_dead(connection: Connection, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    open_runs: list[UUID] = [run["run_id"] for run in runs if run["status"] == "running"]
    alive = living_runs(driver(connection), open_runs) if open_runs else set()
    # A run may have closed its row between the two looks.
    still_open = {
        row[0]
        for row in connection.execute(
            text("SELECT id FROM job_runs WHERE id = ANY(:ids) AND status = 'running'"), {"ids": open_runs}
        )
    }
    for run in runs:
        run["counts"] = as_counts(run["counts"])
        if run["status"] == "running" and run["run_id"] not in alive and run["run_id"] in still_open:
            run["status"] = "crashed"
            run["duration_s"] = None  # when it died nobody knows
            run["error"] = run["error"] or "the process died without a word; the run's lock is free"
    return runs


def list_locks(connection: Connection) -> list[dict[str, Any]]:
    """Return every lock that somebody holds now, with the holder."""
    names = [name for (name,) in connection.execute(text("SELECT name FROM run_locks ORDER BY name"))]
    return [
        {
            "name": holder.name,
            "run_id": holder.run_id,
            "holder": holder.holder,
            "acquired_at": holder.acquired_at,
            "backend_pid": holder.pid,
            "application_name": holder.application_name,
        }
        for holder in (read_holders(driver(connection), names) if names else ())
        if holder.pid is not None
    ]
