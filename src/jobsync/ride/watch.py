"""How generate-ride stands: which RIDEs wait, which cannot be drawn, and whether their files can be written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from jobsync.causes import Cause
from jobsync.db.statements import rows_of
from jobsync.db.system_settings import SystemSettings
from jobsync.jobs import GENERATE_RIDE
from jobsync.phrases import many
from jobsync.watch import model

ABOUT = model.About(
    GENERATE_RIDE.name,
    unused="nothing has asked for it yet",
    blocked="of tenants that are paused or inactive",
    checks={
        model.QUEUE: "",
        "storage": "can RIDE files be written where they belong?",
        "ride": "can every RIDE be drawn?",
    },
)
_PARKED_WITHIN = timedelta(days=30)


@dataclass(frozen=True)
class TenantRides:
    """A tenant's RIDEs, counted; the texts are those of one that was refused, and None where none was."""

    tenant_id: int
    waiting: int  # due
    ahead: int  # of these, due because their next time was set by a wrong clock
    parked: int  # refused for good
    ruc: str
    name: str
    key: str
    error: str


RideFacts = Sequence[TenantRides]


def _refused(seen: model.Snapshot) -> list[TenantRides]:
    return [tenant for tenant in seen.parts[ABOUT.job] if tenant.parked]


# What cannot be drawn is found by when its document was authorized: the great mass of these is not looked through.
_RIDES = """
    SELECT tenant_id, coalesce(waiting, 0) AS waiting, coalesce(ahead, 0) AS ahead, coalesce(parked, 0) AS parked,
           ruc, name, key, error
    FROM (
        SELECT tenant_id, count(*) AS waiting, count(*) FILTER (WHERE too_far_ahead) AS ahead
        FROM due_rides GROUP BY tenant_id
    ) due
    FULL JOIN (
        SELECT i.tenant_id, t.ruc, t.name, count(*) AS parked, min(i.access_key) AS key, min(i.ride_error) AS error
        FROM invoices i
        JOIN tenants t ON t.id = i.tenant_id
        JOIN sri_events e ON e.invoice_id = i.id AND e.kind = 'authorized' AND e.at BETWEEN :since AND :now
        WHERE i.status = 'authorized' AND i.ride_generated_at IS NULL AND i.ride_next_at IS NULL
          AND i.ride_error IS NOT NULL AND i.deleted_at IS NULL
        GROUP BY i.tenant_id, t.ruc, t.name
    ) refused USING (tenant_id) ORDER BY tenant_id
"""


def read(connection: Connection, now: datetime, _since: datetime, _settings: SystemSettings) -> RideFacts:
    since = now - min(_PARKED_WITHIN, now - datetime.min.replace(tzinfo=now.tzinfo))
    return [TenantRides(**row) for row in rows_of(connection, text(_RIDES), {"now": now, "since": since})]


def work_of(facts: RideFacts, now: datetime, *, known: bool) -> model.WorkToDo:  # noqa: ARG001 - as every slice is asked
    """Return how many RIDEs wait; until one does, or the job has run, the job is not in use."""
    due = sum(tenant.waiting for tenant in facts)
    return model.WorkToDo(in_use=known or bool(due), due=due, too_far_ahead=sum(tenant.ahead for tenant in facts))


def _storage_hold(job: model.JobFacts) -> tuple[Cause, str, str] | None:
    """Return cause, words and remedy if the storage stopped the last run: its error begins with cause and folder."""
    run = job.last_run
    if run is None or run.status != "held":
        return None
    code, _, words = (run.error or "").partition(": ")
    cause = next((cause for cause in Cause if cause.kind == "storage" and cause == code), None)
    if cause is None:
        cause, words = Cause.STORAGE_UNWRITABLE, run.error or "the storage of RIDE files could not be written"
    root = re.match("storage (.+?): ", words)
    return cause, words, cause.do(ROOT=shlex.quote(root[1])) if root else cause.remedy


def job_state(seen: model.Snapshot, job: model.JobFacts) -> model.JobStatus | None:
    if hold := _storage_hold(job):
        _, words, what_to_do = hold
        why = f"{words}; the last run stopped, no document was charged an attempt"
        return model.JobStatus(job, model.State.ATTENTION, why, what_to_do)
    if parked := sum(tenant.parked for tenant in _refused(seen)):
        why = f"{many(parked, 'document')} cannot be drawn"
        return model.JobStatus(job, model.State.ATTENTION, why, Cause.RIDE_REFUSED.do())
    return None


def problems(seen: model.Snapshot) -> Iterator[model.Problem]:
    job = seen.job(ABOUT.job)
    if not job.enabled:
        return
    if (hold := _storage_hold(job)) and (run := job.last_run):
        cause, words, what_to_do = hold
        stopped = f"run {run.short} on {run.host} stopped, no document was charged an attempt"
        yield model.Problem(ABOUT.job, f"generate-ride: {words}; {stopped}", what_to_do, run.started_at, cause=cause)
    for tenant in _refused(seen):
        subject = f"tenant {tenant.ruc}"
        refused = f"{subject} {tenant.name}: {many(tenant.parked, 'RIDE')} refused: {tenant.error}"
        yield model.Problem(subject, refused, Cause.RIDE_REFUSED.do(KEY=tenant.key), cause=Cause.RIDE_REFUSED)


def queue(seen: model.Snapshot, job: model.JobFacts) -> model.Queue | None:
    """Return the documents without their RIDE; while the storage cannot be written, that is the problem."""
    if _storage_hold(job):
        return None
    delay_ms = seen.settings.number("ride_delay_ms")
    if not delay_ms:
        return model.Queue("without their RIDE", "this host draws as fast as it can", "how fast: jobsync runs list")
    why = f"documents start {delay_ms} ms apart, {1000 / delay_ms:.3g} a second at most"
    return model.Queue("without their RIDE", why, "jobsync settings set ride_delay_ms 0")


def notes(_seen: model.Snapshot) -> Iterator[Any]:
    """Return nothing: what is worth knowing of a RIDE needs a person, and its time is measured with its document."""
    return iter(())


pauses = levels = notes


# --- what every view draws --------------------------------------------------------------------------------------------

_DOCUMENTS = "documents", "Documents that are not authorized and drawn, by state.", {"tenant": "ruc"}
_COLUMNS = (
    model.Column("ride_waiting", model.Unit.COUNT, metric=model.Metric(*_DOCUMENTS, {"state": "ride_waiting"})),
    model.Column(
        "ride_parked",
        model.Unit.COUNT,
        "RIDE refused",
        "RIDEs refused",
        model.Metric(*_DOCUMENTS, {"state": "ride_refused"}),
    ),
    model.Column("ride_parked_key"),
    model.Column("ride_error"),
)


def sections(seen: model.Snapshot) -> Iterator[model.Section]:
    yield model.Section("tenants", _COLUMNS, tuple(map(_row, seen.parts[ABOUT.job])))


def _row(tenant: TenantRides) -> model.Row:
    waiting = {"ride_waiting": tenant.waiting}
    if not tenant.parked:
        return model.Row(tenant.tenant_id, "", waiting)
    told = {**waiting, "ride_parked": tenant.parked, "ride_parked_key": tenant.key, "ride_error": tenant.error}
    what_to_do = Cause.RIDE_REFUSED.do(KEY=tenant.key)
    return model.Row(tenant.tenant_id, "", told, model.Severity.ATTENTION, "needs a person", tenant.error, what_to_do)


def past(connection: Connection, _days: model.Days) -> Mapping[str, model.Past]:
    return {"tenants": model.Past(charts=model.chart_of_ages(connection, "due_rides", "RIDEs by how long they wait"))}


def lately(_connection: Connection, _section: str, _row: model.Row, _days: model.Days) -> Iterator[model.Moment]:
    """Return nothing: what happened to a tenant's documents is told with what the SRI says of them."""
    return iter(())
