"""One look at everything runs left behind: a fixed number of statements, however much there is, into frozen facts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select, text

from jobsync.cron import DEFAULT_CRON, DEFAULT_ZONE, Wanted, next_slot, resolve, text_of_cron, text_of_zone
from jobsync.db.engine import driver
from jobsync.db.jsonb import as_counts, as_object
from jobsync.db.system_settings import SystemSettings, read_system_settings
from jobsync.db.tables import alerts, jobs
from jobsync.runner.lock import Holder, read_holders
from jobsync.runner.record import living_runs
from jobsync.watch.error_kinds import fingerprint, normalise
from jobsync.watch.timers import Waker

if TYPE_CHECKING:
    from sqlalchemy import Connection

WINDOW = timedelta(days=7)
AUTHORIZED_WITHIN = timedelta(minutes=5)
RENDERED_WITHIN = timedelta(minutes=2)
_FAILURES_MOST = 5000  # different texts looked at; beyond that the oldest are left out


WATCH = "health"  # the row of `jobs` that says when the health timer last acted


@dataclass(frozen=True)
class Kind:
    """One job as its operator knows it: the switch, the beat of its timer, what its items are called."""

    name: str
    switch: str
    beat_s: int
    noun: str


KINDS = (
    Kind("stock-sync", "easycar_sync_enabled", 60, "dealerships"),
    Kind("check-authorizations", "sri_check_enabled", 30, "documents"),
    Kind("generate-ride", "ride_enabled", 60, "documents"),
)


@dataclass(frozen=True)
class RunFacts:
    """One run; `alive` says, for one whose row says running, whether its own lock is held."""

    run_id: UUID
    job: str
    status: str
    trigger: str
    exit_code: int | None
    started_at: datetime
    finished_at: datetime | None
    counts: Mapping[str, int]
    error: str | None
    host: str
    pid: int
    alive: bool = False


@dataclass(frozen=True)
class Numbers:
    """Finished runs of a job within the window; `clean` ended with exit code 0; durations are in seconds."""

    runs: int = 0
    clean: int = 0
    failed: int = 0
    p50_s: float | None = None
    p95_s: float | None = None

    @property
    def clean_percent(self) -> float | None:
        """Share of clean runs, None if there were none."""
        return 100 * self.clean / self.runs if self.runs else None


@dataclass(frozen=True)
class JobFacts:
    """
    One job.

    Args:
        in_use: there is something for it to work on: credentials, tenants, authorized documents.
        due: items whose time has come; `waiting` are eligible but not due yet; `blocked` are eligible for nothing
            (paused, switched off, no credentials).
        next_at: when the first of the waiting ones is due.
        next_is_retry: that one is tried again then; otherwise its slot comes.
        last_bad: the last run within the window that did not end clean.
        last_missed: the last scheduled run within the window that failed: the end of a row of failures.
        last_good: the run within the window that set `last_success_at`; it may be one by hand, which ends no streak.
    """

    kind: Kind
    enabled: bool
    in_use: bool
    last_tick_at: datetime | None
    last_finished_at: datetime | None
    last_success_at: datetime | None
    consecutive_failures: int
    consecutive_skips: int
    skipped_by: str | None
    holder: Holder | None
    running: tuple[RunFacts, ...]
    last_run: RunFacts | None
    last_bad: RunFacts | None
    last_missed: RunFacts | None
    last_good: RunFacts | None
    numbers: Numbers
    due: int
    waiting: int
    blocked: int
    oldest_due_at: datetime | None
    next_at: datetime | None
    next_is_retry: bool = False


@dataclass(frozen=True)
class HeldFacts:
    """One hold: of which kind, of how many vehicles, why and since when."""

    id: int
    kind: str
    vehicles: int
    reason: str
    since: datetime

    @classmethod
    def read(cls, rows: Iterable[Sequence[Any]]) -> tuple[HeldFacts, ...]:
        """Make them of rows whose instant is text, as JSON has it."""
        return tuple(
            cls(number, kind, vehicles, reason, datetime.fromisoformat(since))
            for number, kind, vehicles, reason, since in rows
        )


@dataclass(frozen=True)
class DealershipFacts:
    """
    One dealership.

    Args:
        why_not: no_credentials, auto_sync_off or paused; None if scheduled runs take it.
        paused_until: None while it is paused: until it is resumed.
        next_at: its next slot; None where its cron cannot be read.
        cron, timezone: what the next tick goes by.
        unreadable_cron, unreadable_zone: texts of its own that cannot be read, so that something else is in force.
        expected_at: the slot by which the next success was to come, counted from the last one.
        failures: failed syncs since the last success.
        is_empty: the last sync went well, its feed was empty, and nothing is listed.
        holds: what waits for a person.
        kept: what stays as it is, because a person rejected the change.
        error: the first error of the last sync that failed.
    """

    id: int
    name: str
    why_not: str | None
    paused_until: datetime | None
    paused_reason: str | None
    cron: str
    timezone: str
    unreadable_cron: str | None
    unreadable_zone: str | None
    next_at: datetime | None
    retry_at: datetime | None
    attempt: int
    last_success_at: datetime | None
    expected_at: datetime | None
    last_status: str | None
    last_synced_at: datetime | None
    last_run_id: UUID | None
    failures: int
    error: str | None
    holds: tuple[HeldFacts, ...]
    is_empty: bool
    kept: tuple[HeldFacts, ...]


@dataclass(frozen=True)
class TenantFacts:
    """
    One tenant.

    Args:
        paused_until: None while it is paused: until it is resumed.
        oldest_due_at: the longest time that a due document of it waits.
    """

    id: int
    ruc: str
    name: str
    is_active: bool
    paused: bool
    paused_until: datetime | None
    pending: int
    needs_attention: int
    rejected: int
    due: int
    oldest_due_at: datetime | None
    ride_waiting: int
    ride_parked: int
    attention_since: datetime | None
    attention_key: str | None
    ride_parked_key: str | None
    ride_error: str | None

    @property
    def takes_part(self) -> bool:
        """Whether scheduled runs take its documents."""
        return self.is_active and not self.paused


@dataclass(frozen=True)
class HostFacts:
    """
    One host of a vendor; its circuit is open since `opened_at`.

    Args:
        behind: documents that will be asked about there, or dealerships; without any, nobody probes whether it answers
            again.
        open_cause: `faults`, or `too_often` if the SRI says that we ask too often.
        vendor: SRI or EasyCars.
        not_before: it does not want to be asked until then.
    """

    host: str
    faults_in_a_row: int
    opened_at: datetime | None
    last_probe_at: datetime | None
    behind: int = 0
    open_cause: str | None = None
    vendor: str = "SRI"
    not_before: datetime | None = None

    @property
    def too_often(self) -> bool:
        """Whether it is given a rest because of what we do."""
        return self.open_cause == "too_often"

    @property
    def trouble(self) -> str:
        """What is wrong with it while its circuit is open: the verb of a sentence."""
        return "says that we ask too often (code 33)" if self.too_often else "does not answer"


@dataclass(frozen=True)
class AsksFacts:
    """Answers of one outcome within the window, with the time they took."""

    outcome: str
    asks: int
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True)
class Service:
    """
    What was promised within the window; of each pair the first is how many kept it, the second of how many.

    Args:
        undisturbed: documents that ended as authorized, of all that the SRI or we decided on.
        rejected: of the others those that the SRI has refused, and nobody has submitted again since.
    """

    authorized: tuple[int, int] = (0, 0)
    rendered: tuple[int, int] = (0, 0)
    undisturbed: tuple[int, int] = (0, 0)
    rejected: int = 0


@dataclass(frozen=True)
class Failure:
    """One kind of failure within the window."""

    fingerprint: str
    job: str
    sample: str
    pattern: str
    times: int
    items: int
    first_at: datetime
    last_at: datetime
    run_id: UUID


@dataclass(frozen=True)
class AlertFacts:
    """One open alert."""

    subject: str
    kind: str
    opened_at: datetime
    notified_at: datetime | None
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """
    Everything, at one instant of the database's clock.

    Args:
        watched_at: when the health timer last acted.
        waker: what wakes the jobs on the host that looks.
        too_far_ahead: documents and RIDEs that are due, or were within the window, because their next time lay further
            ahead than any that the jobs set.
    """

    now: datetime
    since: datetime
    database: str
    settings: SystemSettings = field(repr=False)
    jobs: tuple[JobFacts, ...] = ()
    dealerships: tuple[DealershipFacts, ...] = ()
    tenants: tuple[TenantFacts, ...] = ()
    hosts: tuple[HostFacts, ...] = ()
    asks: tuple[AsksFacts, ...] = ()
    service: Service = Service()
    failures: tuple[Failure, ...] = ()
    alerts: tuple[AlertFacts, ...] = ()
    watched_at: datetime | None = None
    waker: Waker = Waker.UNITS
    too_far_ahead: int = 0

    def job(self, name: str) -> JobFacts:
        """Return one job."""
        return next(job for job in self.jobs if job.kind.name == name)

    @property
    def runs_clean(self) -> tuple[int, int]:
        """How many runs of all jobs within the window were clean, and of how many."""
        return sum(job.numbers.clean for job in self.jobs), sum(job.numbers.runs for job in self.jobs)


def rows_of(connection: Connection, statement: str, **parameters: Any) -> list[dict[str, Any]]:
    """Return the rows of a statement as dictionaries."""
    return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]


# Compiling these statements would cost more than running them.
_CLOCK = "SELECT now() AS now, current_database() AS database, set_config('jit', 'off', true)"


def look(
    connection: Connection, *, now: datetime | None = None, window: timedelta = WINDOW, waker: Waker = Waker.UNITS
) -> Snapshot:
    """
    Read everything an operator asks about.

    Args:
        now: another instant than the database's clock, for tests.
        window: how far rates, durations and failures look back.
        waker: what wakes the jobs on this host, for advice that works here.
    """
    [clock] = rows_of(connection, _CLOCK)
    now = now or clock["now"]
    since = _before(now, window)
    settings = read_system_settings(driver(connection))
    dealerships = read_dealerships(connection, now, settings)
    tenants = _tenants(connection, now)
    return Snapshot(
        now=now,
        since=since,
        database=clock["database"],
        settings=settings,
        jobs=_jobs(connection, settings, now, since, dealerships, tenants),
        dealerships=dealerships,
        tenants=tenants,
        hosts=_hosts(connection, now),
        asks=_asks(connection, now, since),
        service=_service(connection, now, since),
        failures=_failures(connection, now, since),
        alerts=_alerts(connection),
        watched_at=connection.execute(select(jobs.c.last_tick_at).where(jobs.c.name == WATCH)).scalar_one_or_none(),
        waker=waker,
        too_far_ahead=rows_of(connection, _TOO_FAR_AHEAD, now=now, since=since)[0]["number"],
    )


def _before(now: datetime, window: timedelta) -> datetime:
    try:
        return now - window
    except OverflowError:
        return datetime(1, 1, 2, tzinfo=UTC)


# --- jobs ------------------------------------------------------------------------------------------------------------

_RUN = "id AS run_id, job, status, trigger, exit_code, started_at, finished_at, counts, error, host, pid"
_LAST = f"""
    SELECT {_RUN}, 'last' AS which FROM unnest(CAST(:jobs AS text[])) AS wanted (name) CROSS JOIN LATERAL (
        SELECT * FROM job_runs r WHERE r.job = wanted.name AND r.status <> 'running' AND r.started_at <= :now
        ORDER BY started_at DESC LIMIT 1) r
    UNION ALL
    SELECT {_RUN}, 'bad' FROM unnest(CAST(:jobs AS text[])) AS wanted (name) CROSS JOIN LATERAL (
        SELECT * FROM job_runs r WHERE r.job = wanted.name AND r.started_at BETWEEN :since AND :now
        AND r.status NOT IN ('running', 'succeeded', 'cancelled') ORDER BY started_at DESC LIMIT 1) r
    UNION ALL
    SELECT {_RUN}, 'missed' FROM unnest(CAST(:jobs AS text[])) AS wanted (name) CROSS JOIN LATERAL (
        SELECT * FROM job_runs r WHERE r.job = wanted.name AND r.started_at BETWEEN :since AND :now
        AND r.status IN ('failed', 'crashed', 'lock_lost', 'timed_out') AND r.trigger <> 'manual'
        ORDER BY started_at DESC LIMIT 1) r
    UNION ALL
    SELECT {_RUN}, 'good' FROM jobs j CROSS JOIN LATERAL (
        SELECT * FROM job_runs r WHERE r.job = j.name AND r.started_at BETWEEN :since AND j.last_success_at
        AND r.finished_at = j.last_success_at ORDER BY started_at DESC LIMIT 1) r
    UNION ALL
    SELECT {_RUN}, 'running' FROM job_runs r WHERE r.status = 'running'
"""
_NUMBERS = """
    SELECT job, count(*) AS runs, count(*) FILTER (WHERE status IN ('succeeded', 'cancelled')) AS clean,
           count(*) FILTER (WHERE status IN ('failed', 'crashed', 'lock_lost', 'timed_out')) AS failed,
           percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY
               extract(epoch FROM finished_at - started_at)::float8) FILTER (WHERE status <> 'crashed') AS seconds
    FROM job_runs WHERE job = ANY(:jobs) AND started_at BETWEEN :since AND :now AND status <> 'running' GROUP BY job
"""


def _jobs(
    connection: Connection,
    settings: SystemSettings,
    now: datetime,
    since: datetime,
    dealerships: Sequence[DealershipFacts],
    tenants: Sequence[TenantFacts],
) -> tuple[JobFacts, ...]:
    names = [kind.name for kind in KINDS]
    states = {row["name"]: dict(row) for row in connection.execute(select(jobs)).mappings()}
    runs: dict[tuple[str, str], list[RunFacts]] = defaultdict(list)
    for row in rows_of(connection, _LAST, jobs=names, now=now, since=since):
        which = row.pop("which")
        runs[row["job"], which].append(RunFacts(**{**row, "counts": as_counts(row["counts"])}))
    open_runs = [run.run_id for (_, which), found in runs.items() if which == "running" for run in found]
    alive = living_runs(driver(connection), open_runs) if open_runs else set()
    numbers = {row["job"]: _numbers(row) for row in rows_of(connection, _NUMBERS, jobs=names, now=now, since=since)}
    holders = {holder.name: holder for holder in read_holders(driver(connection), names)}
    facts = []
    for kind in KINDS:
        state: Mapping[str, Any] = states.get(kind.name, {})
        due = _due(kind.name, now, dealerships, tenants)
        facts.append(
            JobFacts(
                kind=kind,
                enabled=settings.switch(kind.switch),
                last_tick_at=state.get("last_tick_at"),
                last_finished_at=state.get("last_finished_at"),
                last_success_at=state.get("last_success_at"),
                consecutive_failures=state.get("consecutive_failures", 0),
                consecutive_skips=state.get("consecutive_skips", 0),
                skipped_by=state.get("skipped_by"),
                holder=holders[kind.name] if holders[kind.name].pid is not None else None,
                running=tuple(
                    RunFacts(**{**vars(run), "alive": run.run_id in alive}) for run in runs[kind.name, "running"]
                ),
                last_run=next(iter(runs[kind.name, "last"]), None),
                last_bad=next(iter(runs[kind.name, "bad"]), None),
                last_missed=next(iter(runs[kind.name, "missed"]), None),
                last_good=next(iter(runs[kind.name, "good"]), None),
                numbers=numbers.get(kind.name, Numbers()),
                in_use=due["in_use"] or (kind.name == "generate-ride" and bool(due["due"] or state)),
                **{name: value for name, value in due.items() if name != "in_use"},
            )
        )
    return tuple(facts)


def _numbers(row: Mapping[str, Any]) -> Numbers:
    p50_s, p95_s = row["seconds"] or (None, None)
    return Numbers(row["runs"], row["clean"], row["failed"], p50_s, p95_s)


def _due(
    name: str, now: datetime, dealerships: Sequence[DealershipFacts], tenants: Sequence[TenantFacts]
) -> dict[str, Any]:
    """Return what of a job's items is due, waiting, blocked, and since or until when."""
    if name == "stock-sync":
        ready = [found for found in dealerships if found.why_not is None]
        times = [min(filter(None, (found.next_at, found.retry_at)), default=None) for found in ready]
        due = [time for time in times if time is not None and time <= now]
        next_at = min((time for time in times if time is not None and time > now), default=None)
        return {
            "in_use": any(found.why_not != "no_credentials" for found in dealerships),
            "due": len(due),
            "waiting": len(ready) - len(due),
            "blocked": len(dealerships) - len(ready),
            "oldest_due_at": min(due, default=None),
            "next_at": next_at,
            "next_is_retry": next_at is not None and all(found.next_at != next_at for found in ready),
        }
    open_tenants = [found for found in tenants if found.takes_part]
    closed = [found for found in tenants if not found.takes_part]
    if name == "check-authorizations":
        due_now = sum(found.due for found in open_tenants)
        return {
            "in_use": bool(tenants),
            "due": due_now,
            "waiting": max(0, sum(found.pending + found.needs_attention for found in open_tenants) - due_now),
            "blocked": sum(found.pending for found in closed),
            "oldest_due_at": min((f.oldest_due_at for f in open_tenants if f.oldest_due_at), default=None),
            "next_at": None,
        }
    return {
        "in_use": False,
        "due": sum(found.ride_waiting for found in open_tenants),
        "waiting": 0,
        "blocked": sum(found.ride_waiting for found in closed),
        "oldest_due_at": None,
        "next_at": None,
    }


# --- dealerships -----------------------------------------------------------------------------------------------------

_DEALERSHIPS = """
    SELECT d.id, d.name,
           CASE WHEN c.dealership_id IS NULL OR NOT c.is_active THEN 'no_credentials'
                WHEN NOT coalesce(s.easycar_auto_sync_enabled, true) THEN 'auto_sync_off'
                WHEN s.paused_until > :now THEN 'paused' END AS why_not,
           CASE WHEN s.paused_until < '9000-01-01' THEN s.paused_until END AS paused_until, s.paused_reason,
           h.next_at, h.retry_at, coalesce(h.attempt, 0) AS attempt,
           h.last_success_at,
           nullif(btrim(s.sync_cron), '') AS own_cron, nullif(btrim(d.timezone), '') AS own_zone,
           h.cron AS last_cron, h.timezone AS last_zone,
           greatest(coalesce(h.last_success_at, h.first_seen_at, c.created_at),
                    CASE WHEN s.paused_until <= :now THEN s.paused_until END) AS counted_from,
           l.status AS last_status, l.synced_at AS last_synced_at, l.run_id AS last_run_id,
           CASE WHEN l.status = 'Failed' THEN (
               SELECT count(*) FROM (
                   SELECT 1 FROM easycar_sync_logs f WHERE f.dealership_id = d.id AND f.sync_type = 'stock'
                   AND f.synced_at > coalesce(h.last_success_at, '-infinity') AND f.status = 'Failed' LIMIT 1000) few)
               ELSE 0 END AS failures,
           CASE WHEN l.status = 'Failed' THEN l.error_messages->>0 END AS error,
           coalesce(r.pending, '[]') AS holds, coalesce(r.rejected, '[]') AS kept,
           coalesce(l.status = 'Success' AND l.items_processed = 0 AND NOT EXISTS (
               SELECT FROM vehicles v WHERE v.dealership_id = d.id AND v.data_source = 'easycars'
               AND v.status NOT IN ('removed', 'excluded')), false) AS is_empty
    FROM dealerships d
    LEFT JOIN dealership_settings s ON s.dealership_id = d.id
    LEFT JOIN easycar_credentials c ON c.dealership_id = d.id
    LEFT JOIN sync_schedule h ON h.dealership_id = d.id
    LEFT JOIN (
        SELECT dealership_id,
               jsonb_agg(jsonb_build_array(id, kind, cardinality(stock_numbers), reason, created_at) ORDER BY id)
               FILTER (WHERE status = 'pending') AS pending,
               jsonb_agg(jsonb_build_array(id, kind, cardinality(stock_numbers), reason, created_at) ORDER BY id)
               FILTER (WHERE status = 'rejected') AS rejected
        FROM holds WHERE status = 'pending' OR (status = 'rejected' AND applied_at IS NULL) GROUP BY dealership_id
    ) r ON r.dealership_id = d.id
    LEFT JOIN LATERAL (
        SELECT status, synced_at, run_id, error_messages, items_processed FROM easycar_sync_logs
        WHERE dealership_id = d.id AND sync_type = 'stock' ORDER BY synced_at DESC, id DESC LIMIT 1
    ) l ON true
    ORDER BY d.id
"""


def read_dealerships(connection: Connection, now: datetime, settings: SystemSettings) -> tuple[DealershipFacts, ...]:
    """Return every dealership's facts."""
    slot = cache(lambda cron, zone, after: next_slot(cron, zone, after.replace(second=0, microsecond=0)))
    found = []
    common = settings.texts.get("easycar_sync_cron", DEFAULT_CRON)
    common_zone = settings.texts.get("easycar_sync_timezone", DEFAULT_ZONE)
    for row in rows_of(connection, _DEALERSHIPS, now=now):
        own_cron, own_zone = row.pop("own_cron"), row.pop("own_zone")
        last, start = (row.pop("last_cron"), row.pop("last_zone")), row.pop("counted_from")
        # Of another rule the next tick makes a new slot, takes nothing before it, and ends the retries of the old one;
        # what cannot be read leaves the rule that was in force, with its slot and its retries.
        wanted = Wanted(own_cron or common, own_zone or common_zone, common, common_zone)
        in_force = resolve(wanted, last_cron=last[0], last_timezone=last[1])
        rule = in_force.cron, in_force.timezone
        before = text_of_cron(last[0] or "") or rule[0], text_of_zone(last[1] or "") or rule[1]
        expected = slot(*before, start) if start else None
        if rule != last:
            row["retry_at"] = None
        if rule != last or row["next_at"] is None:
            row["next_at"] = slot(*rule, now)
        row["holds"], row["kept"] = HeldFacts.read(row["holds"]), HeldFacts.read(row["kept"])
        found.append(
            DealershipFacts(
                **row,
                expected_at=expected,
                cron=rule[0],
                timezone=rule[1],
                unreadable_cron=own_cron if own_cron and text_of_cron(own_cron) is None else None,
                unreadable_zone=own_zone if own_zone and text_of_zone(own_zone) is None else None,
            )
        )
    return tuple(found)


# --- documents -------------------------------------------------------------------------------------------------------

# Each number comes from an index: what is authorized, the great mass, is not counted.
_TENANTS = """
    WITH due AS (
        SELECT tenant_id, count(*) AS due, min(due_since) AS oldest_due_at FROM due_documents GROUP BY tenant_id
    ), ride AS (
        SELECT tenant_id, count(*) AS ride_waiting FROM due_rides GROUP BY tenant_id
    )
    SELECT t.id, t.ruc, t.name, t.is_active, coalesce(t.paused_until > :now, false) AS paused,
           CASE WHEN t.paused_until < '9000-01-01' THEN t.paused_until END AS paused_until,
           o.pending, o.needs_attention, rejected.rejected,
           coalesce(due.due, 0) AS due, due.oldest_due_at, coalesce(ride.ride_waiting, 0) AS ride_waiting,
           o.attention_since, o.attention_key
    FROM tenants t
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE status = 'pending_authorization') AS pending,
               count(*) FILTER (WHERE status = 'needs_attention') AS needs_attention,
               min(coalesce(attention_since, updated_at)) FILTER (WHERE status = 'needs_attention') AS attention_since,
               min(access_key) FILTER (WHERE status = 'needs_attention') AS attention_key
        FROM invoices i WHERE i.tenant_id = t.id AND i.status IN ('pending_authorization', 'needs_attention')
          AND i.deleted_at IS NULL
    ) o
    CROSS JOIN LATERAL (
        SELECT count(*) AS rejected FROM (
            SELECT 1 FROM invoices i WHERE i.tenant_id = t.id AND i.status = 'rejected'
            AND i.deleted_at IS NULL LIMIT 100000) few
    ) rejected
    LEFT JOIN due ON due.tenant_id = t.id
    LEFT JOIN ride ON ride.tenant_id = t.id
    ORDER BY t.id
"""
# Documents whose RIDE was refused for good: looked for only where RIDEs are late at all.
_PARKED = """
    SELECT i.tenant_id, count(*) AS parked, min(i.access_key) AS ride_key, min(i.ride_error) AS ride_error
    FROM invoices i
    JOIN sri_events e ON e.invoice_id = i.id AND e.kind = 'authorized' AND e.at BETWEEN :since AND :now
    WHERE i.status = 'authorized' AND i.ride_generated_at IS NULL AND i.ride_next_at IS NULL
      AND i.ride_error IS NOT NULL AND i.deleted_at IS NULL
    GROUP BY i.tenant_id
"""


def _tenants(connection: Connection, now: datetime) -> tuple[TenantFacts, ...]:
    found = rows_of(connection, _TENANTS, now=now)
    parked = {}
    if found:
        rows = rows_of(connection, _PARKED, now=now, since=_before(now, timedelta(days=30)))
        parked = {row["tenant_id"]: row for row in rows}
    return tuple(
        TenantFacts(
            **row,
            ride_parked=parked.get(row["id"], {}).get("parked", 0),
            ride_parked_key=parked.get(row["id"], {}).get("ride_key"),
            ride_error=parked.get(row["id"], {}).get("ride_error"),
        )
        for row in found
    )


# A key's 24th digit says whose host is asked: 1 celcer (test), 2 cel (production); another host stands in for both.
# Each document that waits is asked about every 6 hours at least: a host not tried for longer is asked by nobody, such
# as a sandbox that is no more.
_HOSTS = """
    SELECT host, faults_in_a_row, opened_at, last_probe_at, open_cause,
           CASE WHEN environments = '{}' THEN 'SRI' ELSE 'EasyCars' END AS vendor,
           CASE WHEN not_before BETWEEN :now AND CAST(:now AS timestamptz) + interval '1 hour' THEN not_before END
               AS not_before, CASE
        WHEN opened_at IS NULL OR last_probe_at < CAST(:now AS timestamptz) - interval '7 hours' THEN 0
        WHEN environments <> '{}' THEN (
            SELECT count(*) FROM easycar_credentials c LEFT JOIN dealership_settings s USING (dealership_id)
            WHERE c.is_active AND c.environment = ANY(environments) AND coalesce(s.easycar_auto_sync_enabled, true)
              AND (s.paused_until IS NULL OR s.paused_until <= :now)
        )
        ELSE (
            SELECT count(*) FROM invoices i JOIN tenants t ON t.id = i.tenant_id
            WHERE i.status IN ('pending_authorization', 'needs_attention') AND i.next_check_at IS NOT NULL
              AND i.deleted_at IS NULL AND t.is_active AND (t.paused_until IS NULL OR t.paused_until <= :now)
              AND substr(i.access_key, 24, 1) <>
                  CASE host WHEN 'cel.sri.gob.ec' THEN '1' WHEN 'celcer.sri.gob.ec' THEN '2' ELSE '' END
        ) END AS behind
    FROM vendor_hosts ORDER BY host
"""


def _hosts(connection: Connection, now: datetime) -> tuple[HostFacts, ...]:
    rows = rows_of(connection, _HOSTS, now=now)
    return tuple(HostFacts(**row) for row in rows)


# Those that are due have no event yet; the attempt writes it.
_TOO_FAR_AHEAD = """
    SELECT (SELECT count(*) FROM due_documents WHERE too_far_ahead)
         + (SELECT count(*) FROM due_rides WHERE too_far_ahead)
         + (SELECT count(*) FROM sri_events WHERE at BETWEEN :since AND :now AND code = 'due_too_far_ahead') AS number
"""


_ASKS = """
    SELECT kind AS outcome, count(*) AS asks,
           percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY duration_ms) AS ms
    FROM sri_events WHERE at BETWEEN :since AND :now AND duration_ms IS NOT NULL GROUP BY GROUPING SETS ((kind), ())
    ORDER BY kind NULLS FIRST
"""


def _asks(connection: Connection, now: datetime, since: datetime) -> tuple[AsksFacts, ...]:
    return tuple(
        AsksFacts(row["outcome"] or "all", row["asks"], *(row["ms"] or (None, None)))
        for row in rows_of(connection, _ASKS, now=now, since=since)
        if row["asks"]
    )


# Only what was decided within the window is looked at, found by the instant at which we knew.
_SERVICE = """
    WITH told AS (
        SELECT DISTINCT ON (invoice_id) invoice_id, at, kind FROM sri_events
        WHERE at BETWEEN :since AND :now AND kind IN ('authorized', 'rejected', 'needs_attention')
          AND invoice_id IS NOT NULL
        ORDER BY invoice_id, at DESC
    ), decided AS (
        SELECT told.kind, told.at, i.status, coalesce(i.submitted_at, i.created_at) AS submitted_at, i.ride_generated_at
        FROM told JOIN invoices i ON i.id = told.invoice_id
    ), late AS (
        SELECT count(*) AS late FROM invoices
        WHERE status = 'pending_authorization' AND next_check_at IS NOT NULL AND deleted_at IS NULL
          AND coalesce(submitted_at, created_at) < CAST(:now AS timestamptz) - CAST(:authorized AS interval)
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
           (SELECT late FROM late) AS late
    FROM decided
"""


def _service(connection: Connection, now: datetime, since: datetime) -> Service:
    [row] = rows_of(connection, _SERVICE, now=now, since=since, authorized=AUTHORIZED_WITHIN, rendered=RENDERED_WITHIN)
    return Service(
        authorized=(row["in_time"], row["authorized"] + row["late"]),
        rendered=(row["drawn"], row["to_draw"] if row["any_drawn"] else 0),
        undisturbed=(row["authorized"], row["decided"]),
        rejected=row["rejected"],
    )


# --- failures and alerts ---------------------------------------------------------------------------------------------

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


def _failures(connection: Connection, now: datetime, since: datetime) -> tuple[Failure, ...]:
    groups: dict[tuple[str, str], Failure] = {}
    jobs = [kind.name for kind in KINDS]
    for row in rows_of(connection, _FAILURES, jobs=jobs, now=now, since=since):
        pattern = normalise(row["error"])
        key = (row["job"], pattern)
        known = groups.get(key)
        if known is None:  # the latest text comes first
            groups[key] = Failure(
                fingerprint=fingerprint(row["error"]),
                job=row["job"],
                sample=row["error"],
                pattern=pattern,
                times=row["times"],
                items=row["items"],
                first_at=row["first_at"],
                last_at=row["last_at"],
                run_id=row["run_id"],
            )
        else:
            more = {
                "times": known.times + row["times"],
                "items": known.items + row["items"],
                "first_at": min(known.first_at, row["first_at"]),
            }
            groups[key] = Failure(**{**vars(known), **more})
    return tuple(sorted(groups.values(), key=lambda group: (-group.times, group.fingerprint)))


def _alerts(connection: Connection) -> tuple[AlertFacts, ...]:
    told = (alerts.c.subject, alerts.c.kind, alerts.c.opened_at, alerts.c.notified_at, alerts.c.details)
    open_ones = select(*told).where(alerts.c.closed_at.is_(None)).order_by(alerts.c.opened_at, alerts.c.id).limit(1000)
    rows = [dict(row) for row in connection.execute(open_ones).mappings()]
    return tuple(AlertFacts(**{**row, "details": as_object(row["details"])}) for row in rows)
