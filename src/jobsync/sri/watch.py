"""How check-authorizations stands: documents by tenant, the SRI's hosts and answers, and what was promised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, text

from jobsync.causes import Cause
from jobsync.db.statements import rows_of
from jobsync.db.system_settings import CATALOGUE, Number, SystemSettings
from jobsync.hosts.watch import (
    ASKED,
    CIRCUIT,
    TOO_OFTEN,
    HostFacts,
    names_of,
    notes_of,
    problems_of,
    read_hosts,
    section_of,
)
from jobsync.jobs import CHECK_AUTHORIZATIONS
from jobsync.phrases import ago, many, pause_end, span, stamp
from jobsync.sri.model import ADDRESSES, DocumentStatus
from jobsync.watch import model

ABOUT = model.About(
    CHECK_AUTHORIZATIONS.name,
    unused="there is no tenant",
    blocked="of tenants that are paused or inactive",
    turn="check",
    first_steps="jobsync tenant add RUC NAME, then jobsync invoice import FOLDER",
    checks={CIRCUIT: ASKED, model.QUEUE: "", "documents": "do documents need a person?"},
)
_CONCURRENCY_MOST = cast("Number", CATALOGUE["sri_check_concurrency"]).most
_PROMISED = {"authorized": timedelta(minutes=5), "rendered": timedelta(minutes=2)}


class SriFacts(NamedTuple):
    """What the tables say of documents and of the SRI."""

    tenants: Sequence[Row[Any]]  # of `_TENANTS`
    hosts: tuple[HostFacts, ...]
    asks: Sequence[Row[Any]]  # of `_ASKS`: answers within the window, of all first
    told: Row[Any]  # of `_SERVICE`: what became of documents within the window


def facts_of(seen: model.Snapshot) -> SriFacts:
    return cast("SriFacts", seen.parts[ABOUT.job])


def read(connection: Connection, now: datetime, since: datetime, _settings: SystemSettings) -> SriFacts:
    within = {"now": now, "since": since}
    tenants = connection.execute(text(_TENANTS), {"now": now}).all()
    waiting: dict[str, object] = {name: urlsplit(address).netloc for name, address in ADDRESSES.items()}
    for name in ("asked_test", "asked_production"):
        waiting[name] = sum(getattr(found, name) for found in tenants if found.takes_part)
    return SriFacts(
        tenants,
        read_hosts(connection, now, vendor="SRI", which="environments = '{}'", behind=_BEHIND, **waiting),
        connection.execute(text(_ASKS), within).all(),
        connection.execute(text(_SERVICE), {**within, **_PROMISED}).one(),
    )


def work_of(facts: SriFacts, now: datetime, *, known: bool) -> model.WorkToDo:  # noqa: ARG001 - as every slice is asked
    open_tenants = [found for found in facts.tenants if found.takes_part]
    due = sum(found.due for found in open_tenants)
    return model.WorkToDo(
        in_use=bool(facts.tenants),
        due=due,
        waiting=max(0, sum(found.pending + found.needs_attention for found in open_tenants) - due),
        blocked=sum(found.pending for found in facts.tenants if not found.takes_part),
        oldest_due_at=min((f.oldest_due_at for f in open_tenants if f.oldest_due_at), default=None),
        next_at=min((found.next_at for found in open_tenants if found.next_at), default=None),
        too_far_ahead=facts.told.ahead + sum(found.too_far_ahead for found in facts.tenants),
    )


# Each number comes from an index: what is authorized, the great mass, is not counted.
_TENANTS = """
    WITH due AS (
        SELECT tenant_id, count(*) AS due, min(due_since) AS oldest_due_at,
               count(*) FILTER (WHERE too_far_ahead) AS too_far_ahead
        FROM due_documents GROUP BY tenant_id
    )
    SELECT t.id, t.ruc, t.name, t.is_active, paused.paused, t.is_active AND NOT paused.paused AS takes_part,
           CASE WHEN t.paused_until < '9000-01-01' THEN t.paused_until END AS paused_until,
           o.pending, o.needs_attention, rejected.rejected,
           coalesce(due.due, 0) AS due, due.oldest_due_at, coalesce(due.too_far_ahead, 0) AS too_far_ahead,
           o.attention_since, o.attention_key, o.next_at, o.asked_test, o.asked_production
    FROM tenants t
    CROSS JOIN LATERAL (SELECT coalesce(t.paused_until > :now, false)) paused (paused)
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE status = 'pending_authorization') AS pending,
               count(*) FILTER (WHERE status = 'needs_attention') AS needs_attention,
               min(coalesce(attention_since, updated_at)) FILTER (WHERE status = 'needs_attention') AS attention_since,
               min(access_key) FILTER (WHERE status = 'needs_attention') AS attention_key,
               min(next_check_at) FILTER (WHERE next_check_at > now() AND isfinite(next_check_at)) AS next_at,
               -- a key's 24th digit says whose host is asked: 1 test, 2 production
               count(*) FILTER (WHERE next_check_at IS NOT NULL AND substr(access_key, 24, 1) = '1') AS asked_test,
               count(*) FILTER (WHERE next_check_at IS NOT NULL AND substr(access_key, 24, 1) <> '1')
                   AS asked_production
        FROM invoices i WHERE i.tenant_id = t.id AND i.status IN ('pending_authorization', 'needs_attention')
          AND i.deleted_at IS NULL
    ) o
    CROSS JOIN LATERAL (
        SELECT count(*) AS rejected FROM (
            SELECT 1 FROM invoices i WHERE i.tenant_id = t.id AND i.status = 'rejected'
            AND i.deleted_at IS NULL LIMIT 100000) few
    ) rejected
    LEFT JOIN due ON due.tenant_id = t.id
    ORDER BY t.id
"""
# Another host stands in for both of the SRI's.
_BEHIND = """
    CASE WHEN host = :production THEN 0 ELSE CAST(:asked_test AS bigint) END
    + CASE WHEN host = :test THEN 0 ELSE CAST(:asked_production AS bigint) END
"""
_ASKS = """
    SELECT coalesce(kind, 'all') AS outcome, count(*) AS asks,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) AS p50_ms,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) AS p95_ms
    FROM sri_events WHERE at BETWEEN :since AND :now AND duration_ms IS NOT NULL GROUP BY GROUPING SETS ((kind), ())
    HAVING count(*) > 0 ORDER BY kind NULLS FIRST
"""
# Only what was decided within the window is looked at, found by the instant at which we knew. Those that are due now
# because their time lay too far ahead have no event yet; the attempt writes it, for a RIDE too.
_SERVICE = """
    WITH told AS (
        SELECT DISTINCT ON (invoice_id) invoice_id, at, kind FROM sri_events
        WHERE at BETWEEN :since AND :now AND kind IN ('authorized', 'rejected', 'needs_attention')
          AND invoice_id IS NOT NULL
        ORDER BY invoice_id, at DESC
    ), decided AS (
        SELECT told.kind, told.at, i.status, coalesce(i.submitted_at, i.created_at) AS submitted_at, i.ride_generated_at
        FROM told JOIN invoices i ON i.id = told.invoice_id
    )
    SELECT count(*) AS decided, count(*) FILTER (WHERE kind = 'authorized') AS authorized,
           count(*) FILTER (WHERE kind = 'authorized'
               AND at - submitted_at < CAST(:authorized AS interval)) AS in_time,
           count(*) FILTER (WHERE kind = 'authorized'
               AND ride_generated_at - at < CAST(:rendered AS interval)) AS drawn,
           count(*) FILTER (WHERE kind = 'authorized' AND (ride_generated_at IS NOT NULL
               OR at < CAST(:now AS timestamptz) - CAST(:rendered AS interval))) AS to_draw,
           count(*) FILTER (WHERE ride_generated_at IS NOT NULL) AS any_drawn,
           count(*) FILTER (WHERE kind = 'rejected' AND status = 'rejected') AS rejected,
           (SELECT count(*) FROM invoices WHERE status = 'pending_authorization' AND next_check_at IS NOT NULL
            AND deleted_at IS NULL AND coalesce(submitted_at, created_at)
                < CAST(:now AS timestamptz) - CAST(:authorized AS interval)) AS late,
           (SELECT count(*) FROM sri_events WHERE at BETWEEN :since AND :now AND code = 'due_too_far_ahead') AS ahead
    FROM decided
"""


# --- how the job stands -----------------------------------------------------------------------------------------------


def job_state(seen: model.Snapshot, job: model.JobFacts) -> model.JobStatus | None:
    facts = facts_of(seen)
    hosts = [host for host in facts.hosts if host.behind]
    if scolding := [host for host in hosts if host.too_often]:
        why = f"the SRI says that we ask too often (code 33): {names_of(scolding)}"
        return model.JobStatus(job, model.State.TOO_OFTEN, why, TOO_OFTEN)
    if hosts:
        why = f"the SRI does not answer: {names_of(hosts)}"
        return model.JobStatus(job, model.State.UPSTREAM_DOWN, why, Cause.HOST_SILENT.do())
    if count := sum(tenant.needs_attention for tenant in facts.tenants):
        why = f"{many(count, 'document needs', 'documents need')} a person"
        return model.JobStatus(job, model.State.ATTENTION, why, Cause.DOCUMENTS_WAIT.do())
    if job.in_use and job.blocked and not job.due and not job.waiting:
        why = f"{many(job.blocked, 'document')} wait at paused or inactive tenants"
        return model.JobStatus(job, model.State.PAUSED, why, "jobsync tenant list; jobsync tenant resume RUC")
    return None


def problems(seen: model.Snapshot) -> Iterator[model.Problem]:
    facts = facts_of(seen)
    if seen.job(ABOUT.job).enabled:
        yield from problems_of(facts.hosts, seen.now)
    for tenant in facts.tenants:
        if tenant.needs_attention:
            count = many(tenant.needs_attention, "document needs", "documents need")
            yield model.Problem(
                f"tenant {tenant.ruc}",
                f"tenant {tenant.ruc} {tenant.name}: {count} a person since {stamp(tenant.attention_since)}",
                Cause.DOCUMENTS_WAIT.do(KEY=tenant.attention_key),
                tenant.attention_since,
                cause=Cause.DOCUMENTS_WAIT,
            )


def queue(seen: model.Snapshot, _job: model.JobFacts) -> model.Queue:
    number, asks = seen.settings.number, facts_of(seen).asks
    p50_ms = asks[0].p50_ms if asks else None
    return model.Queue(
        "to be asked about", *what_limits(number("sri_call_delay_ms"), number("sri_check_concurrency"), p50_ms)
    )


def what_limits(delay_ms: int, concurrency: int, p50_ms: float | None) -> tuple[str, str]:
    """
    Return what limits the calls while the job runs, and what makes it faster; half of the answers take up to `p50_ms`.

    >>> what_limits(500, 8, 8.0)
    ('calls start 500 ms apart, 2 a second at most', 'jobsync settings set sri_call_delay_ms 250')
    """
    if p50_ms is None:
        return "no answer of the SRI is known", Cause.QUEUE_LONG.do()
    apart_ms = p50_ms / concurrency
    if delay_ms >= apart_ms:
        why = f"calls start {delay_ms} ms apart, {1000 / max(1, delay_ms):.3g} a second at most"
        return why, f"jobsync settings set sri_call_delay_ms {max(delay_ms // 2, round(apart_ms))}"
    why = f"half of the answers take {p50_ms:.0f} ms or more, {concurrency} at once"
    if concurrency >= _CONCURRENCY_MOST:
        return why, "nothing here makes the SRI answer sooner; the queue is worked off in its order"
    return why, f"jobsync settings set sri_check_concurrency {min(2 * concurrency, _CONCURRENCY_MOST)}"


def notes(seen: model.Snapshot) -> Iterator[str]:
    facts = facts_of(seen)
    yield from notes_of(facts.hosts, seen.now, "document")
    if rejected := facts.told.rejected:
        window = span((seen.now - seen.since).total_seconds())
        yield (
            f"the SRI rejected {many(rejected, 'document')} in the last {window}, for the issuer to"
            " correct and submit again: jobsync invoice list --status rejected"
        )


def pauses(seen: model.Snapshot) -> Iterator[str]:
    if paused := sum(1 for tenant in facts_of(seen).tenants if tenant.paused):
        yield f"{many(paused, 'tenant is', 'tenants are')} paused"


def levels(seen: model.Snapshot) -> Iterator[model.ServiceLevel]:
    told = facts_of(seen).told
    drawn = told.to_draw if told.any_drawn else 0
    submitted = told.authorized + told.late
    yield model.ServiceLevel("authorized within 5 min of submission", told.in_time, submitted, timely=True)
    yield model.ServiceLevel("PDF within 2 min of authorization", told.drawn, drawn, timely=True)
    yield model.ServiceLevel("neither rejected nor waiting for a person", told.authorized, told.decided)


# --- what every view draws --------------------------------------------------------------------------------------------


def _count(name: str, noun: str, nouns: str | None = None) -> model.Column:
    words = "Documents that are not authorized and drawn, by state."
    metric = model.Metric("documents", words, {"tenant": "ruc"}, {"state": name})
    return model.Column(name, model.Unit.COUNT, noun, nouns or noun, metric)


_TENANT_COLUMNS = (
    *map(model.Column, ("id", "ruc", "name", "is_active", "paused", "paused_until")),
    _count("pending", "pending"),
    _count("needs_attention", "needs a person", "need a person"),
    _count("rejected", "rejected"),
    model.Column("due", model.Unit.COUNT, "due", "due"),
    *map(model.Column, ("oldest_due_at", "too_far_ahead", "attention_since", "attention_key", "next_at")),
    *map(model.Column, ("asked_test", "asked_production")),
)


def _asks(name: str, unit: model.Unit, metric: str, words: str) -> model.Column:
    return model.Column(name, unit, metric=model.Metric(metric, words, {"outcome": "outcome"}))


_MS = model.Unit.MILLISECONDS
_ASKS_COLUMNS = (
    model.Column("outcome"),
    _asks("asks", model.Unit.COUNT, "sri_answers", "Answers of the SRI within the window."),
    _asks("p50_ms", _MS, "sri_answer_p50_seconds", "Half of the SRI's answers within the window took no longer."),
    _asks("p95_ms", _MS, "sri_answer_p95_seconds", "95 % of the SRI's answers within the window took no longer."),
)


def sections(seen: model.Snapshot) -> Iterator[model.Section]:
    """Return the tenants with their documents, and for machines the SRI's hosts and answers."""
    tenants, hosts, asks, _ = facts_of(seen)
    rejected = sum(found.rejected for found in tenants)
    attention = many(sum(found.needs_attention for found in tenants), "needs a person", "need a person")
    notes = ["rejected: for the issuer to correct; jobsync invoice list --status rejected"] if rejected else []
    if asks:
        notes.append(f"the SRI answered {asks[0].asks} times, p50 {asks[0].p50_ms:.0f} ms, p95 {asks[0].p95_ms:.0f} ms")
    ordered = sorted(tenants, key=lambda found: (-found.needs_attention, -found.due, -found.pending, found.id))
    yield model.Section(
        "tenants",
        _TENANT_COLUMNS,
        tuple(_row(seen, found) for found in ordered),
        title="Tenants",
        summary=f"{sum(found.pending for found in tenants)} pending, {attention}, {rejected} rejected",
        state="standing",
        states=("needs a person", "takes no part", "fine"),
        notes=tuple(notes),
        listing="jobsync tenant list",
    )
    yield section_of("sri.hosts", hosts)
    yield model.Section(
        "sri.asks", _ASKS_COLUMNS, tuple(model.Row(row.outcome, row.outcome, row._asdict()) for row in asks)
    )


def _row(seen: model.Snapshot, found: Row[Any]) -> model.Row:
    whys, severity, state, what = [], model.Severity.OK, "fine", None
    if not found.takes_part:
        severity, state = model.Severity.PAUSED, "takes no part"
        whys.append(f"paused {pause_end(found.paused_until)}" if found.paused else "inactive")
        what = f"jobsync tenant resume {found.ruc}" if found.is_active else None
    if found.due:
        whys.append(f"the oldest due {ago(seen.now, found.oldest_due_at)}")
    if found.needs_attention:
        severity, state = model.Severity.ATTENTION, "needs a person"
        what = Cause.DOCUMENTS_WAIT.do(KEY=found.attention_key)
    name, why = f"{found.ruc} {found.name}", ", ".join(whys) or None
    return model.Row(found.id, name, found._asdict(), severity, state, why, what, f"tenant {found.ruc}")


_OUTCOMES = {
    "authorized": "clean",
    "pending": "waiting",
    "rejected": "attention",
    "needs_attention": "held",
    "fault": "failed",
}
_ASKS_A_DAY = """
    SELECT (at AT TIME ZONE 'UTC')::date AS day, kind, count(*) AS asks,
           percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY duration_ms) AS ms
    FROM sri_events WHERE at BETWEEN :since AND :now AND duration_ms IS NOT NULL
    GROUP BY GROUPING SETS ((1, 2), (1))
"""


def past(connection: Connection, days: model.Days) -> Mapping[str, model.Past]:
    states = rows_of(connection, "SELECT status, count(*) AS documents FROM invoices GROUP BY status")
    known = {row["status"]: row["documents"] for row in states}
    told = connection.execute(text(_ASKS_A_DAY), {"now": days.now, "since": days.since}).all()
    asks = {(day, kind): count for day, kind, count, _ in told if kind is not None}
    waits: dict[date, list[float]] = {day: ms for day, kind, _, ms in told if kind is None}
    charts = []
    if asks:
        bars = (
            model.Series(kind.replace("_", " "), css, [asks.get((day, kind)) for day in days.days])
            for kind, css in _OUTCOMES.items()
            if any(kind == found for _, found in asks)
        )
        times = [waits.get(day, ()) for day in days.days]
        charts = [
            model.Chart("answers of the SRI a day", days.labels, tuple(bars)),
            model.chart_of_times("time the SRI takes to answer", days.labels, times, " ms"),
        ]
    charts += model.chart_of_ages(connection, "due_documents", "due documents by how long they wait")
    totals = tuple((state.replace("_", " "), known[state]) for state in DocumentStatus if state in known)
    return {"tenants": model.Past(totals=totals, charts=tuple(charts))}


_LATELY = """
    SELECT access_key, document_type, series_number, status, status_reason, ride_error, updated_at FROM invoices
    WHERE tenant_id = :id AND deleted_at IS NULL AND updated_at BETWEEN :since AND :now
    ORDER BY updated_at DESC LIMIT 60
"""
_STATUS = {
    "authorized": model.Severity.OK,
    "pending_authorization": model.Severity.UNUSED,
    "rejected": model.Severity.ATTENTION,
    "needs_attention": model.Severity.BAD,
}


def lately(connection: Connection, section: str, row: model.Row, days: model.Days) -> Iterator[model.Moment]:
    if section != "tenants":
        return
    for found in rows_of(connection, _LATELY, id=row.key, since=days.since, now=days.now):
        kind = " ".join(filter(None, (found["document_type"], found["series_number"])))
        why = "; ".join(filter(None, (kind, found["status_reason"], found["ride_error"])))
        severity = _STATUS.get(found["status"], model.Severity.UNUSED)
        yield model.Moment(found["updated_at"], found["status"].replace("_", " "), severity, why, found["access_key"])
