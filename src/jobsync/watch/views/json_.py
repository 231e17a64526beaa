"""The whole system at once, from one look and its verdict: in one line, and as the document of `status --json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobsync.phrases import many
from jobsync.watch.health import Health
from jobsync.watch.model import CALM, JobStatus, Section, Snapshot
from jobsync.watch.sections import sections_of
from jobsync.watch.state import job_statuses, service_levels

ALL_WELL = "all is well"


def headline(seen: Snapshot, health: Health) -> str:
    """Return what one line can say: what needs a person, else which jobs do not go well; which promises are broken."""
    count = len(health.problems)
    parts = [f"{count} need{'s' if count == 1 else ''} attention"] if count else []
    parts += [f"{job.name} {job.state}" for job in job_statuses(seen) if job.state not in CALM and not count]
    missed = sum(1 for level in service_levels(seen) if level.met is False)
    parts += [f"{many(missed, 'service level')} below target"] if missed else []
    return ", ".join(parts) or ALL_WELL


def as_json(seen: Snapshot, health: Health) -> dict[str, Any]:
    """Return the document of `status --json`."""
    return {
        "checked_at": seen.now,
        "database": seen.database,
        "watched_at": seen.watched_at,
        "channels": seen.channels,
        "window": {"since": seen.since, "hours": round((seen.now - seen.since).total_seconds() / 3600, 3)},
        "status": "attention" if health.problems else "ok",
        "problems": [problem.as_json() for problem in health.problems],
        "jobs": [_job_json(status) for status in job_statuses(seen)],
        **_sections_json(sections_of(seen)),
        "service_levels": [
            {**_some_of(level, "name kept of target_percent"), "percent": _rounded(level.percent), "met": level.met}
            for level in service_levels(seen)
        ],
        "failures": [vars(group) for group in seen.failures],
        "alerts": [_some_of(alert, "subject kind cause opened_at notified_at silenced_until") for alert in seen.alerts],
    }


def _some_of(facts: object, names: str) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in names.split()}


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)


def _job_json(status: JobStatus) -> dict[str, Any]:
    facts = status.facts
    ticks = "enabled last_tick_at last_success_at consecutive_failures consecutive_skips skipped_by"
    return {
        "job": status.name,
        "state": str(status.state),
        **_some_of(status, "why what_to_do fingerprint"),
        **_some_of(facts, ticks),
        "holder": vars(facts.holder) if facts.holder else None,
        "running": [vars(run) for run in facts.running],
        "last_run": vars(facts.last_run) if facts.last_run else None,
        "window": {
            **_some_of(facts, "runs clean failed"),
            "clean_percent": _rounded(100 * facts.clean / facts.runs) if facts.runs else None,
            "p50_s": _rounded(facts.p50_s),
            "p95_s": _rounded(facts.p95_s),
        },
        **_some_of(facts, "due waiting blocked oldest_due_at next_at next_is_retry"),
    }


def _sections_json(sections: Sequence[Section]) -> dict[str, Any]:
    """Return the rows of each section under its name; a dot in it leads one object deeper."""
    document: dict[str, Any] = {}
    for section in sections:
        *outer, name = section.name.split(".")
        inner = document
        for each in outer:
            inner = inner.setdefault(each, {})
        inner[name] = [
            {column.name: row.cells[column.name] for column in section.columns}
            | ({section.state: row.state, **_some_of(row, "severity why what_to_do")} if section.state else {})
            for row in section.rows
        ]
    return document
