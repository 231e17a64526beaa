"""How stock-sync stands: its dealerships and what is held of them, read from the tables and judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import cast
from uuid import UUID

from sqlalchemy import Connection, text

from jobsync.causes import Cause, Kind
from jobsync.cron import next_slot, problem_of_cron, text_of_cron, text_of_zone
from jobsync.db.engine import driver
from jobsync.db.jsonb import as_lines
from jobsync.db.statements import rows_of
from jobsync.db.system_settings import SystemSettings
from jobsync.easycars import due
from jobsync.easycars.phrases import EMPTY_FEED, FOREIGN_FEED, HELD
from jobsync.errors import ExitCode
from jobsync.hosts.watch import ASKED, CIRCUIT, HostFacts, names_of, notes_of, problems_of, read_hosts, section_of
from jobsync.jobs import STOCK_SYNC
from jobsync.logs import visible
from jobsync.phrases import ago, many, pause_end, stamp
from jobsync.watch import model

CREDENTIALS = {
    "credentials_client": Cause.CREDENTIALS_REFUSED,
    "credentials_account": Cause.CREDENTIALS_REFUSED,
    "credentials": Cause.CREDENTIALS_UNREADABLE,
}
CAUSES = {
    **CREDENTIALS,
    **dict.fromkeys(("unreachable", "html", "empty_answer", "unreadable"), Cause.VENDOR_UNREACHABLE),
    **dict.fromkeys(("vendor_failed", "vendor_error", "no_list", "token_refused"), Cause.VENDOR_FAILED),
    "database": Cause.DATABASE_REFUSES,
}
ABOUT = model.About(
    STOCK_SYNC.name,
    unused="no dealership has credentials",
    blocked="paused, off or without credentials",
    first_steps="jobsync dealership add NAME, then jobsync credentials set ID",
    checks={
        "credentials": "does EasyCars take the credentials of every dealership?",
        "silence": "has every dealership had its success in time?",
        "held": "does anything wait for a person?",
        CIRCUIT: ASKED,
    },
    item="dealership",
    causes=CAUSES,
    whole=" of a whole run",  # what was done for named dealerships only says nothing of the job as a whole
)


@dataclass(frozen=True)
class HeldFacts:
    """One hold: of which kind, of how many vehicles, why and since when."""

    id: int
    kind: str
    vehicles: int
    reason: str
    since: datetime


@dataclass(frozen=True)
class DealershipFacts:
    """One dealership."""

    id: int
    name: str
    why_not: str | None  # no_credentials, auto_sync_off or paused; None if scheduled runs take it
    paused_until: datetime | None  # None while it is paused: until it is resumed
    paused_reason: str | None
    cron: str  # with the zone what the next tick goes by
    timezone: str
    unreadable_cron: str | None  # a text of its own that is not in force
    unreadable_zone: str | None
    due_since: datetime | None  # None if the next scheduled run does not take it
    too_far_ahead: bool  # due because its next time is further ahead than any that its rule sets
    next_at: datetime | None  # its next slot
    retry_at: datetime | None
    attempt: int
    last_success_at: datetime | None
    expected_at: datetime | None  # slot by which the next success was to come, counted from the last
    last_status: str | None
    last_synced_at: datetime | None
    last_run_id: UUID | None
    failures: int  # failed syncs since the last success
    error: str | None  # the first of the last sync, if that failed
    reason: str | None  # its code
    is_unanswered: bool  # the last sync failed, in a run without any answer
    holds: tuple[HeldFacts, ...]
    is_empty: bool  # the last sync went well, its feed was empty, and nothing is listed
    kept: tuple[HeldFacts, ...]  # what a person rejected to change


@dataclass(frozen=True)
class StockFacts:
    """What the tables say of all dealerships, and of EasyCars' hosts."""

    dealerships: tuple[DealershipFacts, ...]
    hosts: tuple[HostFacts, ...]


def facts_of(seen: model.Snapshot) -> StockFacts:
    return cast("StockFacts", seen.parts[ABOUT.job])


def read(connection: Connection, now: datetime, _since: datetime, _settings: SystemSettings) -> StockFacts:
    hosts = read_hosts(connection, now, vendor="EasyCars", which="environments <> '{}'", behind=_BEHIND)
    return StockFacts(read_dealerships(connection, now), hosts)


def work_of(facts: StockFacts, now: datetime, *, known: bool) -> model.WorkToDo:  # noqa: ARG001 - as every slice is asked
    ready = [found for found in facts.dealerships if found.why_not is None]
    due = [found.due_since for found in ready if found.due_since is not None]
    times = [time for found in ready if found.due_since is None for time in (found.next_at, found.retry_at)]
    next_at = min((time for time in times if time is not None and time > now), default=None)
    return model.WorkToDo(
        in_use=any(found.why_not != "no_credentials" for found in facts.dealerships),
        due=len(due),
        waiting=len(ready) - len(due),
        blocked=len(facts.dealerships) - len(ready),
        oldest_due_at=min(due, default=None),
        next_at=next_at,
        next_is_retry=next_at is not None and all(found.next_at != next_at for found in ready),
        too_far_ahead=sum(found.too_far_ahead for found in facts.dealerships),
    )


_LATELY = timedelta(hours=2)  # a slot with all its retries, as they are set by default
_BEHIND = """
    SELECT count(*) FROM easycar_credentials c JOIN dealership_schedules e USING (dealership_id)
    WHERE c.environment = ANY(environments) AND e.why_not IS NULL
"""
_DEALERSHIPS = f"""
    SELECT d.id, d.name,
           CASE WHEN coalesce(e.why_not, 'paused') <> 'paused' THEN e.why_not
                WHEN s.paused_until > :now THEN 'paused' END AS why_not,
           due.due_since, coalesce(due.too_far_ahead, false) AS too_far_ahead,
           CAST(:now AS timestamptz) = now() AND coalesce(due.why IN ('slot', 'retry'), true) AS as_it_is,
           CASE WHEN s.paused_until < '9000-01-01' THEN s.paused_until END AS paused_until, s.paused_reason,
           h.last_success_at,
           nullif(btrim(s.sync_cron), '') AS own_cron, nullif(btrim(d.timezone), '') AS own_zone,
           greatest(coalesce(greatest(h.last_success_at, g.through_at), h.first_seen_at, c.created_at),
                    CASE WHEN s.paused_until <= :now THEN s.paused_until END) AS counted_from,
           l.status AS last_status, l.synced_at AS last_synced_at, l.run_id AS last_run_id,
           CASE WHEN l.status = 'Failed' THEN (
               SELECT count(*) FROM (
                   SELECT 1 FROM easycar_sync_logs f WHERE f.dealership_id = d.id AND f.sync_type = 'stock'
                   AND f.synced_at > coalesce(h.last_success_at, '-infinity') AND f.status = 'Failed' LIMIT 1000) few)
               ELSE 0 END AS failures,
           CASE WHEN l.status = 'Failed' THEN l.error_messages->>0 END AS error,
           CASE WHEN l.status = 'Failed' THEN (SELECT i.reason FROM job_items i
               WHERE i.run_id = l.run_id AND i.item_key = CAST(d.id AS text)) END AS reason,
           coalesce(l.status = 'Failed' AND coalesce((SELECT r.exit_code FROM job_runs r WHERE r.id = l.run_id), 69)
               = 69, false) AS is_unanswered,
           coalesce(r.pending, '[]') AS holds, coalesce(r.rejected, '[]') AS kept,
           coalesce(l.status = 'Success' AND l.items_processed = 0 AND NOT EXISTS (
               SELECT FROM vehicles v WHERE v.dealership_id = d.id AND v.data_source = 'easycars'
               AND v.status NOT IN ('removed', 'excluded')), false) AS is_empty
    {due.OF_DEALERSHIPS}
    JOIN dealership_schedules e ON e.dealership_id = d.id
    LEFT JOIN due_dealerships due ON due.dealership_id = d.id
    LEFT JOIN (
        SELECT dealership_id,
               jsonb_agg(jsonb_build_array(id, kind, cardinality(stock_numbers), reason, created_at) ORDER BY id)
               FILTER (WHERE status = 'pending') AS pending,
               jsonb_agg(jsonb_build_array(id, kind, cardinality(stock_numbers), reason, created_at) ORDER BY id)
               FILTER (WHERE status = 'rejected') AS rejected
        FROM holds WHERE status = 'pending' OR (status = 'rejected' AND applied_at IS NULL) GROUP BY dealership_id
    ) r ON r.dealership_id = d.id
    -- what was held or partial is no success, and no silence either
    LEFT JOIN LATERAL (
        SELECT synced_at AS through_at FROM easycar_sync_logs
        WHERE dealership_id = d.id AND sync_type = 'stock' AND status IN ('PartialSuccess', 'Held')
        AND synced_at > coalesce(h.last_success_at, '-infinity') ORDER BY synced_at DESC LIMIT 1
    ) g ON true
    ORDER BY d.id
"""


def read_dealerships(connection: Connection, now: datetime) -> tuple[DealershipFacts, ...]:
    slot = cache(next_slot)
    found = []
    schedules = {each.id: each for each in due.read_dealerships(driver(connection))}
    for row in rows_of(connection, text(_DEALERSHIPS), {"now": now}):
        own_cron, own_zone, start = row.pop("own_cron"), row.pop("own_zone"), row.pop("counted_from")
        # Of another rule the next tick makes a new slot, takes nothing before it, and ends the retries of the old one;
        # what cannot be read leaves the rule that was in force, with its slot and its retries.
        schedule = schedules.get(row["id"])
        if schedule is None:  # it was added between the two questions
            continue
        rule = schedule.rule
        before = text_of_cron(schedule.cron or "") or rule.cron, text_of_zone(schedule.timezone or "") or rule.timezone
        kept_at, retry_at = (schedule.next_at, schedule.retry_at) if schedule.keeps_rule else (None, None)
        next_at = kept_at or schedule.slot(now)
        if not row.pop("as_it_is"):  # its slot is computed first, or it is looked at from another instant
            earliest = min(filter(None, (next_at, retry_at)))
            row["due_since"] = earliest if earliest <= now else None
        for name in ("holds", "kept"):  # JSON has an instant as text
            row[name] = tuple(
                HeldFacts(number, kind, vehicles, reason, datetime.fromisoformat(since))
                for number, kind, vehicles, reason, since in row[name]
            )
        found.append(
            DealershipFacts(
                **row,
                attempt=schedule.attempt,
                next_at=next_at,
                retry_at=retry_at,
                expected_at=slot(*before, start.replace(second=0, microsecond=0)) if start else None,
                cron=rule.cron,
                timezone=rule.timezone,
                unreadable_cron=own_cron if own_cron in rule.unreadable else None,
                unreadable_zone=own_zone if own_zone in rule.unreadable else None,
            )
        )
    return tuple(found)


# --- how a dealership stands ------------------------------------------------------------------------------------------


class Standing(StrEnum):
    """How a dealership stands; in the order in which they are listed."""

    SILENT = "silent"
    FAILING = "failing"
    HELD = "held"
    RETRYING = "retrying"
    PARTIAL = "partial"
    WARNED = "warned"
    NEW = "never synced"
    FINE = "fine"
    PAUSED = "paused"
    OFF = "auto sync off"
    NO_CREDENTIALS = "no credentials"


_TROUBLED = (Standing.SILENT, Standing.FAILING, Standing.HELD, Standing.RETRYING)
_ALARMS = (Kind.CREDENTIALS, Kind.SILENCE, Kind.HELD)  # what of that needs a person; the others are tried again


def silent_since(seen: model.Snapshot, found: DealershipFacts) -> datetime | None:
    """Return the slot that a dealership has missed by more than alert_silence_hours, None if it is not silent."""
    if found.why_not is not None or found.expected_at is None or not seen.job(ABOUT.job).enabled:
        return None
    limit = timedelta(hours=seen.settings.number("alert_silence_hours"))
    return found.expected_at if seen.now - found.expected_at > limit else None


def dealership_statuses(seen: model.Snapshot) -> list[model.Row]:
    """Return how every dealership stands, failing ones first, then by how long they have had no success."""
    order: list[str] = list(Standing)
    rows = [_row(found, *_standing(seen, found)) for found in facts_of(seen).dealerships]
    return sorted(rows, key=lambda row: (order.index(row.state), -row.cells["failures"], row.cells["id"]))


def _row(found: DealershipFacts, standing: Standing, why: str | None, what_to_do: str | None) -> model.Row:
    return model.Row(
        found.id,
        f"{found.id} {found.name}",
        {**vars(found), "holds": [vars(hold) for hold in found.holds], "kept": [vars(hold) for hold in found.kept]},
        _SEVERITY.get(standing, model.Severity.OK),
        standing,
        why,
        what_to_do,
        f"dealership {found.id}",
    )


def _standing(seen: model.Snapshot, found: DealershipFacts) -> tuple[Standing, str | None, str | None]:
    if found.why_not is not None:
        return _out(found)
    error = f": {found.error}" if found.error else ""
    missed = silent_since(seen, found)
    if missed is not None:
        last = f"last success {ago(seen.now, found.last_success_at)}"
        why = f"no success since the slot of {stamp(missed)}, {last}{error}"
        return Standing.SILENT, why, _what_failed(found, Cause.NO_SUCCESS)
    if found.last_status == "Failed":
        since = " since the last success" if found.last_success_at else ", never a success"
        why = f"failed {many(found.failures, 'time')}{since}{error}"
        if found.retry_at is None:
            return Standing.FAILING, why, _what_failed(found)
        again = f"tried again {ago(seen.now, found.retry_at)}" if found.retry_at > seen.now else "due again now"
        return Standing.RETRYING, f"{why}; {again}", _what_failed(found)
    if found.holds:
        return Standing.HELD, _told_held(found), _what_of_held(found)
    if found.last_status == "PartialSuccess":
        return Standing.PARTIAL, "the last sync was partial", f"jobsync stock refused {found.id}"
    if found.last_synced_at is None:
        return Standing.NEW, f"first slot {ago(seen.now, found.next_at)}", None
    if warned := list(_warnings(found)):
        whys, whats = zip(*warned, strict=True)
        return Standing.WARNED, "; ".join(whys), "; ".join(whats)
    return Standing.FINE, None, None


def _warnings(found: DealershipFacts) -> Iterator[tuple[str, str]]:
    """Return what a sync that went well leaves to be looked at, and what to do; it is not urgent."""
    if schedule := _unreadable_schedule(found):
        yield schedule
    if found.is_empty:
        yield f"{EMPTY_FEED}; nothing is listed", f"jobsync credentials test {found.id}"
    for held in found.kept:
        yield HELD[held.kind].told_rejected(held.vehicles), f"jobsync holds show {held.id}"


def _unreadable_schedule(found: DealershipFacts) -> tuple[str, str] | None:
    whys, whats = [], []
    if found.unreadable_cron is not None:
        wrong = problem_of_cron(found.unreadable_cron)
        text = visible(found.unreadable_cron, most=80)
        whys.append(f"its cron {text!r} cannot be used ({wrong}), {found.cron!r} is in force")
        whats.append(f"jobsync dealership schedule {found.id} '0 2 * * *' (or --default)")
    if found.unreadable_zone is not None:
        text = visible(found.unreadable_zone, most=80)
        whys.append(f"its time zone {text!r} is unknown, {found.timezone} is in force")
        whats.append(f"jobsync dealership set {found.id} --timezone Australia/Sydney")
    return ("; ".join(whys), "; ".join(whats)) if whys else None


def _told_held(found: DealershipFacts, more: str = "") -> str:
    held = ", ".join(HELD[hold.kind].told(hold.vehicles) for hold in found.holds)
    why = ""
    if any(hold.kind == "foreign_feed" for hold in found.holds):
        why = f": {FOREIGN_FEED}"
    elif any(hold.reason == "empty_feed" for hold in found.holds):
        why = f": {EMPTY_FEED}"
    return f"{held} since {stamp(found.holds[0].since)}{more}{why}"


def _what_of_held(found: DealershipFacts) -> str:
    """Return the commands that lead to a decision; an empty or a foreign feed has the account tested first."""
    doubtful = any(hold.reason == "empty_feed" or hold.kind == "foreign_feed" for hold in found.holds)
    first = [f"jobsync credentials test {found.id}"] if doubtful else []
    return "; ".join([*first, *(Cause.DECISION_WAITS.do(ID=hold.id) for hold in found.holds)])


def _what_failed(found: DealershipFacts, cause: Cause | None = None) -> str:
    """Return the next step; `cause`: of its alarm, unless its credentials are that."""
    run = f"jobsync runs show {str(found.last_run_id)[:8]}; " if found.last_run_id else ""
    cause = CREDENTIALS.get(found.reason or "", cause)  # what a test alone would not mend
    return f"{run}{cause.do(ID=found.id) if cause else f'jobsync credentials test {found.id}'}"


def _out(found: DealershipFacts) -> tuple[Standing, str | None, str]:
    if found.why_not == "paused":
        reason = f": {found.paused_reason}" if found.paused_reason else ""
        why = f"{pause_end(found.paused_until)}{reason}"
        return Standing.PAUSED, why, f"jobsync dealership resume {found.id}"
    if found.why_not == "auto_sync_off":
        what = f"jobsync dealership set {found.id} --auto-sync"
        return Standing.OFF, "easycar_auto_sync_enabled is false", what
    return Standing.NO_CREDENTIALS, None, f"jobsync credentials set {found.id}"


# --- how the job stands -----------------------------------------------------------------------------------------------


def job_state(seen: model.Snapshot, job: model.JobFacts) -> model.JobStatus | None:
    return _upstream(seen, job) or _attention(seen, job) or _paused(job)


def _upstream(seen: model.Snapshot, job: model.JobFacts) -> model.JobStatus | None:
    hosts = [host for host in facts_of(seen).hosts if host.behind]
    if hosts:
        why = f"EasyCars does not answer: {names_of(hosts)}"
        return model.JobStatus(job, model.State.UPSTREAM_DOWN, why, Cause.HOST_SILENT.do())
    run = job.last_run
    if run is None or run.exit_code != ExitCode.UNAVAILABLE or not _is_silent_for_all(seen):
        return None
    why = f"EasyCars did not answer for any dealership that was asked lately, last in run {str(run.run_id)[:8]}"
    what = f"{_tried_again(seen, job)}; the way there: jobsync doctor"
    reason, fingerprint = seen.reason(run)
    return model.JobStatus(job, model.State.UPSTREAM_DOWN, why + model.by_hand(run) + reason, what, fingerprint)


def _is_silent_for_all(seen: model.Snapshot) -> bool:
    """
    Whether none of the dealerships that were asked lately, in whichever run, had an answer.

    One alone, while others take part, says nothing of the vendor; where only one does, its run is all that is known.
    """
    ready = [found for found in facts_of(seen).dealerships if found.why_not is None]
    if len(ready) == 1:
        return True
    asked = [found for found in ready if found.last_synced_at and seen.now - found.last_synced_at < _LATELY]
    return len(asked) > 1 and all(found.is_unanswered for found in asked)


def _tried_again(seen: model.Snapshot, job: model.JobFacts) -> str:
    """Say when the next try comes: runs by hand and slots that are given up have no retries."""
    retry_at = min((d.retry_at for d in facts_of(seen).dealerships if d.why_not is None and d.retry_at), default=None)
    if retry_at is not None:
        return f"tried again {ago(seen.now, retry_at)}" if retry_at > seen.now else "tried again at the next tick"
    slot = f" of {stamp(job.next_at)}" if job.next_at else ""
    return f"not tried again before the next slot{slot}; once it answers: jobsync stock-sync"


def _attention(seen: model.Snapshot, job: model.JobFacts) -> model.JobStatus | None:
    found = [row for row in dealership_statuses(seen) if row.state in _TROUBLED]
    if not found:
        return None
    counts = Counter(row.state for row in found)
    first = next((problem for problem in problems(seen) if problem.kind in _ALARMS), found[0])
    return model.JobStatus(
        job,
        model.State.ATTENTION,
        f"dealerships: {', '.join(f'{number} {state}' for state, number in counts.items())}",
        first.what_to_do,
        says_last_run=_was_of_some(seen, job),
    )


def _was_of_some(seen: model.Snapshot, job: model.JobFacts) -> bool:
    """Whether the last run was a retry that failed, or one by hand, while others were synced lately."""
    run = job.last_run
    through = (
        found.last_synced_at for found in facts_of(seen).dealerships if found.last_status not in (None, "Failed")
    )
    return (
        run is not None
        and run.status == "failed"
        and job.consecutive_failures == 0
        and any(at is not None and seen.now - at < _LATELY for at in through)
    )


def _paused(job: model.JobFacts) -> model.JobStatus | None:
    if not job.in_use or not job.blocked or job.due or job.waiting:
        return None
    why = f"none of {many(job.blocked, 'dealership')} takes part (paused, switched off, no credentials)"
    return model.JobStatus(job, model.State.PAUSED, why, "why: jobsync schedule show; jobsync dealership resume ID")


# --- what a person is told --------------------------------------------------------------------------------------------


def problems(seen: model.Snapshot) -> Iterator[model.Problem]:
    facts, enabled = facts_of(seen), seen.job(ABOUT.job).enabled
    ready = [found for found in facts.dealerships if found.why_not is None]
    for found in ready:  # no retry mends credentials that were refused, or cannot be read
        cause = CREDENTIALS.get(found.reason or "")
        if cause is not None and enabled:
            yield _problem(found, cause, str(found.error), cause.do(ID=found.id), found.last_synced_at)
    for found in ready:
        missed = silent_since(seen, found)
        if missed is not None and (found.reason or "") not in CREDENTIALS:
            _, why, what = _standing(seen, found)
            yield _problem(found, Cause.NO_SUCCESS, str(why), str(what), missed)
    for found in facts.dealerships:
        if found.holds:
            words, since = _told_held(found, ", for a person to decide"), found.holds[0].since
            yield _problem(found, Cause.DECISION_WAITS, words, _what_of_held(found), since)
    if enabled:
        yield from problems_of(facts.hosts, seen.now)
    for found in ready:
        if schedule := _unreadable_schedule(found):
            yield _problem(found, Cause.SCHEDULE_UNREADABLE, *schedule)


def _problem(
    found: DealershipFacts, cause: Cause, text: str, what: str, since: datetime | None = None
) -> model.Problem:
    subject = f"dealership {found.id}"
    return model.Problem(subject, f"{subject} {found.name}: {text}", what, since, cause=cause)


def queue(_seen: model.Snapshot, _job: model.JobFacts) -> None:
    """Return none: a slot has as many dealerships as there are."""


def notes(seen: model.Snapshot) -> Iterator[str]:
    counts = Counter(row.state for row in dealership_statuses(seen))
    if failing := counts[Standing.FAILING] + counts[Standing.RETRYING]:
        yield (
            f"{many(failing, 'dealership')} failed at the last sync; an alarm once"
            f" {seen.settings.number('alert_silence_hours')} h have passed since a slot without a success:"
            " jobsync status shows them"
        )
    if warned := counts[Standing.WARNED]:
        yield f"{many(warned, 'dealership')} went well with a warning; jobsync status shows it"
    yield from notes_of(facts_of(seen).hosts, seen.now, "dealership")


def pauses(seen: model.Snapshot) -> Iterator[str]:
    paused = sum(1 for found in facts_of(seen).dealerships if found.why_not == "paused")
    if paused:
        yield f"{many(paused, 'dealership is', 'dealerships are')} paused"


def levels(_seen: model.Snapshot) -> Iterator[model.ServiceLevel]:
    """Return no promise: the only one is a clean run."""
    yield from ()


# --- what every view draws --------------------------------------------------------------------------------------------

_SEVERITY = {
    **dict.fromkeys((Standing.SILENT, Standing.FAILING), model.Severity.BAD),
    **dict.fromkeys((Standing.HELD, Standing.RETRYING, Standing.PARTIAL, Standing.WARNED), model.Severity.ATTENTION),
    Standing.PAUSED: model.Severity.PAUSED,
    **dict.fromkeys((Standing.OFF, Standing.NO_CREDENTIALS), model.Severity.UNUSED),
}
_LABELS = {"dealership": "id", "name": "name"}
_COLUMNS = model.columns_of(
    DealershipFacts,
    model.Column(
        "last_success_at",
        model.Unit.INSTANT,
        "success",
        metric=model.Metric(
            "dealership_last_success_timestamp_seconds", "When a dealership's sync last succeeded.", _LABELS
        ),
    ),
    model.Column(
        "failures",
        model.Unit.COUNT,
        metric=model.Metric("dealership_failures", "Failed syncs since the last success.", _LABELS),
    ),
)
_HELD = (
    model.Column("kind"),
    model.Column(
        "vehicles",
        model.Unit.COUNT,
        metric=model.Metric(
            "held_vehicles", "Vehicles of which something waits for a person, by kind of hold.", {"kind": "kind"}
        ),
    ),
)


def sections(seen: model.Snapshot) -> Iterator[model.Section]:
    rows = tuple(dealership_statuses(seen))
    counts = Counter(row.state for row in rows)
    yield model.Section(
        "dealerships",
        _COLUMNS,
        rows,
        title="Dealerships",
        summary=", ".join(f"{number} {state}" for state, number in counts.items()),
        state="standing",
        states=tuple(Standing),
        listing="jobsync dealership list",
    )
    facts = facts_of(seen)
    yield section_of("easycars.hosts", facts.hosts)
    held = dict.fromkeys(HELD, 0)
    for hold in (hold for found in facts.dealerships for hold in found.holds):
        held[hold.kind] += hold.vehicles
    kinds = (model.Row(kind, kind, {"kind": kind, "vehicles": number}) for kind, number in held.items())
    yield model.Section("easycars.held", _HELD, tuple(kinds))


# A day went well if every sync of it did, and badly if its last one failed.
_SYNCS = """
    SELECT l.dealership_id, (l.synced_at AT TIME ZONE 'UTC')::date AS day,
           CASE WHEN bool_and(l.status = 'Success') THEN 'ok'
                WHEN (array_agg(l.status ORDER BY l.synced_at DESC, l.id DESC))[1] = 'Failed' THEN 'bad'
                ELSE 'attention' END AS severity
    FROM dealerships d CROSS JOIN LATERAL (
        SELECT id, dealership_id, synced_at, status FROM easycar_sync_logs s WHERE s.dealership_id = d.id
        AND s.sync_type = 'stock' AND s.synced_at BETWEEN :since AND :now) l
    GROUP BY 1, 2
"""


def past(connection: Connection, days: model.Days) -> Mapping[str, model.Past]:
    squares: dict[object, dict[date, model.Severity]] = {}
    for row in rows_of(connection, text(_SYNCS), {"now": days.now, "since": days.since}):
        squares.setdefault(row["dealership_id"], {})[row["day"]] = model.Severity(row["severity"])
    return {"dealerships": model.Past(squares)}


_SYNCS_LATELY = """
    SELECT synced_at, status, run_id, items_processed AS received, created, updated, unchanged, revived, refused,
           skipped, removed, held, error_messages, warnings
    FROM easycar_sync_logs WHERE dealership_id = :id AND sync_type = 'stock' AND synced_at BETWEEN :since AND :now
    ORDER BY synced_at DESC LIMIT 60
"""
_OUTCOMES = {
    "Success": ("success", model.Severity.OK),
    "PartialSuccess": ("partial", model.Severity.ATTENTION),
    "Held": ("held", model.Severity.ATTENTION),
}


def lately(connection: Connection, section: str, row: model.Row, days: model.Days) -> Iterator[model.Moment]:
    if section != "dealerships":
        return
    found = rows_of(connection, text(_SYNCS_LATELY), {"id": row.key, "since": days.since, "now": days.now})
    for sync in found:
        at, status, run_id = sync.pop("synced_at"), sync.pop("status"), sync.pop("run_id")
        said = [*as_lines(sync.pop("error_messages")), *as_lines(sync.pop("warnings"))]
        numbers = ", ".join(f"{number:,} {name}" for name, number in sync.items() if number) or "nothing received"
        state, severity = _OUTCOMES.get(status, ("failed", model.Severity.BAD))
        yield model.Moment(at, state, severity, "; ".join([numbers, *said[:5]]), run_id=run_id)
