"""Why a unit of systemd failed, by what its run recorded and what systemd says; and when it is well again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from jobsync.alerts.model import Alert, Look, on_host
from jobsync.causes import BEFORE_TABLES, Cause, Kind
from jobsync.db.statements import rows_of
from jobsync.errors import ExitCode, JobsyncError
from jobsync.jobs import BY_NAME
from jobsync.logs import visible
from jobsync.watch.model import About, Problem, Snapshot, Watched

_OF_HOST = (Kind.CONFIGURATION, Kind.DATABASE)
_QUIET = timedelta(minutes=10)  # without a failure while ticks go on: a unit that had no run is well
_FORGOTTEN = timedelta(days=7)  # a host's alert was not seen for so long
_RESULTS = {
    "watchdog": Cause.UNIT_WATCHDOG,
    "timeout": Cause.UNIT_TIMED_OUT,
    "oom-kill": Cause.UNIT_OUT_OF_MEMORY,
    **dict.fromkeys(("signal", "core-dump"), Cause.UNIT_KILLED),
    **dict.fromkeys(("resources", "protocol", "start-limit-hit"), Cause.UNIT_NOT_STARTED),
}
_EXITS = {
    **dict.fromkeys(map(str, range(200, 246)), Cause.UNIT_NOT_STARTED),  # systemd's own, such as 203/EXEC
    str(int(ExitCode.UNAVAILABLE)): Cause.UNIT_UNAVAILABLE,
    str(int(ExitCode.LOCK_LOST)): Cause.UNIT_LOCK_LOST,
    str(int(ExitCode.CONFIGURATION)): Cause.UNIT_CONFIGURATION,
}
_STATUSES = {"lock_lost": Cause.UNIT_LOCK_LOST, "timed_out": Cause.UNIT_TIMED_OUT}
_CALM = ("partial", "held", "succeeded", "cancelled")  # what of these needs a person, health finds in the tables
_MEANINGS = {str(int(code)): code.short for code in ExitCode}


@dataclass(frozen=True)
class UnitFailure:
    """What systemd says of a unit that failed (systemd.exec(5), $MONITOR_…)."""

    unit: str
    host: str
    result: str | None = None  # $MONITOR_SERVICE_RESULT: exit-code, timeout, watchdog, signal, oom-kill, ...
    status: str | None = None  # $MONITOR_EXIT_STATUS: an exit code or a signal's name
    invocation_id: str | None = None

    @property
    def subject(self) -> str:
        """What an alert about the unit as a whole is about."""
        return f"{visible(self.unit, most=120)} on {self.host}"


@dataclass(frozen=True)
class FailedItem:
    """An item that failed in a run; `reason` is its code."""

    key: str
    label: str | None
    reason: str | None
    error: str | None


@dataclass(frozen=True)
class Record:
    """What the database knows of a failed unit: when its job last succeeded, and the run of this invocation."""

    success_at: datetime | None = None
    run_id: str | None = None
    status: str | None = None
    error: str | None = None
    items: tuple[FailedItem, ...] = ()


def job_of(subject: str) -> str | None:
    """
    Return the job that a unit's alert is about.

    >>> job_of("jobsync-stock-sync.service on db1")
    'stock-sync'
    """
    name = subject.partition(" on ")[0].removeprefix("jobsync-").partition(".")[0].partition("@")[0]
    return name if name in BY_NAME else None


_RECORD = """
    SELECT (SELECT last_success_at FROM jobs WHERE name = :job) AS success_at, run_id, status, error
    FROM (SELECT) one LEFT JOIN LATERAL (
        SELECT CAST(id AS text) AS run_id, status, error FROM job_runs WHERE job = :job AND invocation_id = :invocation
        AND started_at > now() - interval '2 days' ORDER BY started_at DESC LIMIT 1) run ON true
"""
_FAILED = """
    SELECT item_key AS key, label, reason, error FROM job_items
    WHERE run_id = CAST(:run_id AS uuid) AND status IN ('failed', 'crashed') ORDER BY id LIMIT 1000
"""


def read_record(connection: Connection, failure: UnitFailure) -> Record:
    """Return what is known of the run of this invocation."""
    named = {"job": job_of(failure.unit) or "", "invocation": failure.invocation_id or ""}
    [known] = rows_of(connection, _RECORD, named)
    failed = rows_of(connection, _FAILED, run_id=known["run_id"])
    return Record(**known, items=tuple(FailedItem(**item) for item in failed))


def look_at_failure(failure: UnitFailure, record: Record, watched: Sequence[Watched]) -> Look:
    """Return what a failed unit shows, with a database that could be used."""
    job = job_of(failure.unit)
    about = next((each.ABOUT for each in watched if each.ABOUT.job == job), None)

    def passed(alert: Alert) -> bool:
        is_units = (alert.kind, alert.subject) == (Kind.UNIT, failure.subject)
        is_over = alert.kind in _OF_HOST or (is_units and _comes_after(record.success_at, alert))
        return alert.host == failure.host and is_over

    return Look(tuple(_found(failure, record, about)), passed)


def _found(failure: UnitFailure, record: Record, about: About | None) -> Iterator[Problem]:
    run = record.run_id[:8] if record.run_id else None
    if about is not None and about.item is not None and record.items:
        for item in record.items:
            cause = about.causes.get(item.reason or "", Cause.ITEM_FAILED)
            name = f"{about.item} {item.key}"
            words = f"{name}{f' {item.label}' if item.label else ''}: {item.error or item.reason or 'failed'}"
            what = cause.do(RUN=run, ID=item.key)
            found = on_host(failure.host, cause, words, subject=name, what_to_do=what, run_id=record.run_id)
            yield found if cause.kind is Kind.UNIT else replace(found, host=None)  # health finds it too, on any host
    elif whole := _cause_of(failure, record):
        what = whole.do(UNIT=visible(failure.unit, most=120))
        why = record.error or next((f"{item.key}: {item.error or item.reason}" for item in record.items), None)
        how = [failure.result, failure.status]
        if failure.result in (None, "", "exit-code"):
            how = [f"exit {failure.status}", _MEANINGS.get(failure.status)] if failure.status else []
        told = ", ".join(filter(None, how))
        yield on_host(
            failure.host,
            whole,
            f"{failure.subject} failed{f' ({told})' if told else ''}{f': {why}' if why else ''}",
            subject=failure.subject,
            what_to_do=f"jobsync runs show {run}; {what}" if run else what,
            run_id=record.run_id,
            well_at=record.success_at,
        )


def _cause_of(failure: UnitFailure, record: Record) -> Cause | None:
    """Return why the unit as a whole failed; None if its run says that it did not."""
    found = _STATUSES.get(record.status or "") or _RESULTS.get(failure.result or "")
    return found if found or record.status in _CALM else _EXITS.get(failure.status or "", Cause.UNIT_FAILED)


def look_at_no_database(error: JobsyncError, host: str, *, at_once: bool) -> Look:
    """Return what a database that cannot be used shows: whatever is looked at before that is well."""
    cause = error.alert_cause or (
        Cause.CONFIGURATION_WRONG if error.exit_code is ExitCode.CONFIGURATION else Cause.DATABASE_UNREACHABLE
    )
    words = str(error).removeprefix("database: ").removeprefix("configuration: ")
    what = "cannot use its configuration" if cause is Cause.CONFIGURATION_WRONG else "cannot use the database"
    before = {each.value for each in BEFORE_TABLES[: BEFORE_TABLES.index(cause)]} if cause in BEFORE_TABLES else set()
    found = on_host(host, cause, f"{host} {what}: {words}")
    found = replace(found, after=1) if at_once else found
    return Look((found,), lambda alert: alert.host == host and alert.cause in before)


_SUCCESSES = """
    SELECT i.item_key, max(i.started_at) AS at FROM job_items i JOIN job_runs r ON r.id = i.run_id
    WHERE r.job = :job AND r.started_at > now() - interval '8 days' AND i.item_key = ANY(:keys)
      AND i.status IN ('success', 'partial', 'held') GROUP BY i.item_key
"""


def read_successes(connection: Connection, seen: Snapshot) -> dict[str, datetime]:
    """Return when each item that has an alert of its own last went through, by the alert's subject."""
    found: dict[str, datetime] = {}
    for each in seen.watched:
        prefix = f"{each.ABOUT.item} "
        keys = [alert.subject.removeprefix(prefix) for alert in seen.alerts if alert.subject.startswith(prefix)]
        if each.ABOUT.item is None or not keys:
            continue
        for row in rows_of(connection, _SUCCESSES, job=each.ABOUT.job, keys=keys):
            found[f"{prefix}{row['item_key']}"] = row["at"]
    return found


def passed_by_health(
    seen: Snapshot, successes: Mapping[str, datetime], host: str, reminder: timedelta
) -> Callable[[Alert], bool]:
    """
    Return whether health has made an alert's check: all but those of pruning and mail, which are made after it.

    A run that failed is made good by one that succeeds; a unit that never came to a run is well once ticks come and no
    failure does. What no host has reported for a week is over too.
    """

    def passed(alert: Alert) -> bool:
        if alert.host == host:
            return alert.kind in _OF_HOST or (alert.kind == Kind.UNIT and _is_well(alert, seen, successes, reminder))
        return alert.host is None or seen.now - alert.seen_at > _FORGOTTEN

    return passed


def _is_well(alert: Alert, seen: Snapshot, successes: Mapping[str, datetime], reminder: timedelta) -> bool:
    quiet = seen.now - alert.seen_at
    if " on " not in alert.subject:
        return quiet > _FORGOTTEN or _comes_after(successes.get(alert.subject), alert)
    facts = next((facts for facts in seen.jobs if facts.name == job_of(alert.subject)), None)
    if facts is None:
        is_ours = alert.subject.startswith("jobsync-health.service")  # this very run shows that it works again
        return quiet >= timedelta(seconds=1) if is_ours else quiet >= reminder
    ticks = alert.run_id is None and _comes_after(facts.last_tick_at, alert)
    # of a run of the whole job, what was held or left out ends a row of failures too
    through = facts.last_status in ("succeeded", "partial", "held")
    went_well_at = facts.last_finished_at if through else facts.last_success_at
    return _comes_after(went_well_at, alert) or (ticks and quiet >= _QUIET)


def _comes_after(then: datetime | None, alert: Alert) -> bool:
    return then is not None and then > alert.seen_at
