"""Is anything wrong that a person must see to? A pure verdict over one look, a line for each thing and what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from jobsync.db.system_settings import CATALOGUE, SystemSettings, problem_of_value
from jobsync.errors import ExitCode
from jobsync.phrases import ago, many, percent, span, stamp
from jobsync.watch.snapshot import WATCH, DealershipFacts, JobFacts, Snapshot
from jobsync.watch.state import (
    FAILED,
    TOO_OFTEN,
    Standing,
    by_hand,
    dealership_status,
    dealership_statuses,
    is_timer_silent,
    job_status,
    missing_ticks,
    run_limit,
    service_levels,
    silent_since,
    storage_is_held,
    told_held,
    unreadable_schedule,
    what_of_held,
    why_held,
)
from jobsync.watch.timers import how_to_wake

# A queue that has been too long stays so until it is clearly shorter: else every load near the limit would ring twice.
_RELIEF = 0.8
_WATCH_LEAST = timedelta(minutes=20)
_CIRCUIT_RIPE = timedelta(minutes=5)  # the SRI often blinks; a message is for what lasts
_PROBED_WITHIN = timedelta(hours=2)  # a document waits an hour at most; an older probe says nothing of now


@dataclass(frozen=True)
class Problem:
    """
    One thing that needs a person.

    Args:
        subject: what it is about; with `kind` the identity of its alert.
        text: what is wrong, one sentence; `what_to_do` the next step.
        since: since when, as far as it is known.
        ripe: whether it deserves a message already; all of them count for the verdict.
    """

    subject: str
    kind: str
    text: str
    what_to_do: str
    since: datetime | None = None
    ripe: bool = True


@dataclass(frozen=True)
class Check:
    """One question that was asked, and the problems it found."""

    name: str
    asked: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Health:
    """The verdict, at an instant of the database's clock."""

    now: datetime
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "problems", tuple(problem for check in self.checks for problem in check.problems))

    @property
    def exit_code(self) -> ExitCode:
        """0 if all is well, 3 if anything needs attention."""
        return ExitCode.NEEDS_ATTENTION if self.problems else ExitCode.DONE

    def as_json(self) -> dict[str, Any]:
        """Return the document of `health --json`."""
        return {
            "status": "attention" if self.problems else "ok",
            "exit_code": int(self.exit_code),
            "checked_at": self.now,
            "problems": [vars(problem) for problem in self.problems],
            "checks": [
                {"name": check.name, "asked": check.asked, "status": "attention" if check.problems else "ok"}
                for check in self.checks
            ],
            "notes": list(self.notes),
        }


def judge_health(seen: Snapshot, *, open_kinds: Collection[tuple[str, str]] = ()) -> Health:
    """
    Return the verdict.

    Args:
        open_kinds: (subject, kind) of the alerts that are open: a queue's ends only once it is clearly shorter.
    """
    number = seen.settings.number
    checks = (
        Check("tick", "do the timers tick?", tuple(_ticks(seen))),
        Check("skips", "do ticks find the lock free?", tuple(_skips(seen))),
        Check("duration", "does a run take too long?", tuple(_durations(seen))),
        Check("failures", f"{number('alert_after_failures')} scheduled runs failed in a row?", tuple(_failures(seen))),
        Check("silence", "has every dealership had its success in time?", tuple(_silence(seen))),
        Check("held", "does anything wait for a person?", tuple(_held(seen))),
        Check("circuit", "do EasyCars and the SRI answer?", tuple(_circuits(seen))),
        Check("queue", f"more than {number('alert_queue_length')} due?", tuple(_queues(seen, open_kinds))),
        Check("documents", "do documents need a person?", tuple(_documents(seen))),
        Check("storage", "can RIDE files be written?", tuple(_storage(seen))),
        Check("ride", "can every RIDE be drawn?", tuple(_rides(seen))),
        Check("settings", "can every setting be read?", tuple(unreadable_values(seen.settings, seen.dealerships))),
        Check("unit", "did a unit fail again and again?", tuple(_told(seen, "unit"))),
        Check("prune", "can old rows be deleted?", tuple(_told(seen, "prune"))),
        Check("mail", "does every address take its mail?", tuple(_told(seen, "mail"))),
    )
    return Health(seen.now, checks, tuple(_notes(seen)))


def _ticks(seen: Snapshot) -> Iterator[Problem]:
    for facts in seen.jobs:
        if facts.enabled and facts.in_use and is_timer_silent(facts, seen.now):
            yield Problem(
                facts.kind.name,
                "tick",
                f"{facts.kind.name}: no tick since {stamp(facts.last_tick_at)}; {missing_ticks(seen, facts)}",
                f"{how_to_wake(seen.waker, facts.kind.name)}; or its host is down; not wanted any more:"
                f" jobsync settings set {facts.kind.switch} false",
                facts.last_tick_at,
            )


def _skips(seen: Snapshot) -> Iterator[Problem]:
    for facts in seen.jobs:
        long_s = run_limit(seen, facts.kind.name).total_seconds()
        if facts.enabled and facts.holder and facts.consecutive_skips * facts.kind.beat_s > long_s:
            yield Problem(
                facts.kind.name,
                "skips",
                f"{facts.kind.name}: the last {facts.consecutive_skips} ticks found the lock taken: {facts.holder}",
                "jobsync locks shows the holder; if it hangs, stop its process: its locks go with it",
            )


def _durations(seen: Snapshot) -> Iterator[Problem]:
    for facts in seen.jobs:
        limit = run_limit(seen, facts.kind.name)
        for run in facts.running:
            if run.alive and seen.now - run.started_at > limit:
                yield Problem(
                    facts.kind.name,
                    "duration",
                    f"{facts.kind.name}: run {str(run.run_id)[:8]} works since {stamp(run.started_at)}, more than"
                    f" {span(limit.total_seconds())}",
                    f"jobsync runs show {str(run.run_id)[:8]}; on {run.host}: kill {run.pid} lets it end its item",
                    run.started_at,
                )


def _failures(seen: Snapshot) -> Iterator[Problem]:
    limit = seen.settings.number("alert_after_failures")
    for facts in seen.jobs:
        if facts.enabled and facts.consecutive_failures >= limit:
            status = job_status(seen, facts)
            yield Problem(
                facts.kind.name,
                "failures",
                f"{facts.kind.name}: {facts.consecutive_failures} scheduled runs failed in a row, last success"
                f"{by_hand(facts.last_good)} {stamp(facts.last_success_at)}{_reason(facts)}",
                status.what_to_do or "jobsync runs list --failed",
                facts.last_success_at,
            )


def _reason(facts: JobFacts) -> str:
    run = facts.last_missed or facts.last_bad
    return f": {run.error}" if run and run.error else ""


def _silence(seen: Snapshot) -> Iterator[Problem]:
    for found in seen.dealerships:
        missed = silent_since(seen, found)
        if missed is not None:
            status = dealership_status(seen, found)
            yield Problem(
                f"dealership {found.id}",
                "silence",
                f"dealership {found.id} {found.name}: {status.why}",
                status.what_to_do or f"jobsync dealership show {found.id}",
                missed,
            )


def _held(seen: Snapshot) -> Iterator[Problem]:
    for found in seen.dealerships:
        if found.holds:
            yield Problem(
                f"dealership {found.id}",
                "held",
                f"dealership {found.id} {found.name}: {told_held(found)} since {stamp(found.holds[0].since)}, for a"
                f" person to decide{why_held(found)}",
                what_of_held(found),
                found.holds[0].since,
            )


def _circuits(seen: Snapshot) -> Iterator[Problem]:
    for host in seen.hosts:
        asked_by = "check-authorizations" if host.vendor == "SRI" else "stock-sync"
        if seen.job(asked_by).enabled and host.opened_at is not None and host.behind:
            tried = host.last_probe_at is None or seen.now - host.last_probe_at < _PROBED_WITHIN
            if host.too_often:
                yield Problem(
                    host.host,
                    "circuit",
                    f"{host.host} says since {stamp(host.opened_at)} that we ask too often (code 33), last tried"
                    f" {ago(seen.now, host.last_probe_at)}",
                    TOO_OFTEN,
                    host.opened_at,
                    ripe=tried,  # our own doing: nothing to wait for
                )
                continue
            yield Problem(
                host.host,
                "circuit",
                f"{host.host} has not answered since {stamp(host.opened_at)}, last tried"
                f" {ago(seen.now, host.last_probe_at)}",
                "nothing is lost, one call a run probes; an outage of theirs ends by itself, else: jobsync doctor",
                host.opened_at,
                ripe=tried and seen.now - host.opened_at >= _CIRCUIT_RIPE,
            )


def _queues(seen: Snapshot, open_kinds: Collection[tuple[str, str]]) -> Iterator[Problem]:
    limit = seen.settings.number("alert_queue_length")
    for name, words in (("check-authorizations", "to be asked about"), ("generate-ride", "without their RIDE")):
        facts = seen.job(name)
        most = limit * _RELIEF if (name, "queue") in open_kinds else limit
        if facts.enabled and facts.due > most:
            since = f", the oldest since {stamp(facts.oldest_due_at)}" if facts.oldest_due_at else ""
            yield Problem(
                name,
                "queue",
                f"{name}: {facts.due} documents {words}{since}; the limit is {limit}",
                "jobsync status says whether it runs and the SRI answers; faster: jobsync settings set"
                f" {'sri_check_concurrency' if name == 'check-authorizations' else 'ride_delay_ms'} N",
                facts.oldest_due_at,
            )


def _documents(seen: Snapshot) -> Iterator[Problem]:
    for tenant in seen.tenants:
        if tenant.needs_attention:
            count = many(tenant.needs_attention, "document needs", "documents need")
            yield Problem(
                f"tenant {tenant.ruc}",
                "documents",
                f"tenant {tenant.ruc} {tenant.name}: {count} a person since {stamp(tenant.attention_since)}",
                f"jobsync invoice show {tenant.attention_key} says what to do; all: jobsync invoice list"
                " --status needs_attention",
                tenant.attention_since,
            )


def _storage(seen: Snapshot) -> Iterator[Problem]:
    facts = seen.job("generate-ride")
    if facts.enabled and storage_is_held(facts) and facts.last_run is not None:
        run = str(facts.last_run.run_id)[:8]
        yield Problem(
            "generate-ride",
            "storage",
            f"generate-ride: the storage could not be written, run {run} stopped; no document was charged an attempt",
            "jobsync doctor (lines storage, disk); each tick tries again",
            facts.last_run.started_at,
        )


def _rides(seen: Snapshot) -> Iterator[Problem]:
    for tenant in seen.tenants:
        if seen.job("generate-ride").enabled and tenant.ride_parked:
            yield Problem(
                f"tenant {tenant.ruc}",
                "ride",
                f"tenant {tenant.ruc} {tenant.name}: {many(tenant.ride_parked, 'RIDE')} refused: {tenant.ride_error}",
                f"jobsync invoice show {tenant.ride_parked_key}; then jobsync generate-ride --force --access-key"
                f" {tenant.ride_parked_key}",
            )


def unreadable_values(settings: SystemSettings, dealerships: Sequence[DealershipFacts]) -> Iterator[Problem]:
    """Return the stored settings, and the own crons and zones of dealerships that take part, that cannot be read."""
    for key, value in sorted(settings.texts.items()):
        kind = CATALOGUE.get(key)
        if kind is not None and kind.read(value) is None:
            yield Problem(
                key,
                "settings",
                f"the setting {key} cannot be read: {problem_of_value(kind, value)}; {kind.consequence}",
                f"jobsync settings set {key} VALUE",
            )
    for found in dealerships:
        schedule = unreadable_schedule(found) if found.why_not is None else None
        if schedule:
            words, what = schedule
            yield Problem(f"dealership {found.id}", "settings", f"dealership {found.id} {found.name}: {words}", what)


def _told(seen: Snapshot, kind: str) -> Iterator[Problem]:
    """What only the host that met it knows, from its alert."""
    for alert in seen.alerts:
        if alert.kind == kind and alert.details.get("ripe"):
            yield Problem(
                alert.subject,
                kind,
                str(alert.details.get("text") or f"{alert.subject} failed"),
                str(alert.details.get("what_to_do") or "jobsync status"),
                alert.opened_at,
            )


def is_unwatched(seen: Snapshot) -> bool:
    """Whether the health timer, which tells people, has not acted lately."""
    return seen.watched_at is None or seen.now - seen.watched_at > _WATCH_LEAST


def _unwatched(seen: Snapshot) -> str:
    last = f"last acted {ago(seen.now, seen.watched_at)}" if seen.watched_at else "has never acted"
    return f"the health timer {last}"


def _notes(seen: Snapshot) -> Iterator[str]:
    """What is worth knowing, and needs nobody now."""
    if is_unwatched(seen) and any(facts.in_use for facts in seen.jobs):
        yield f"nobody is told of anything: {_unwatched(seen)}; {how_to_wake(seen.waker, WATCH)}"
    for facts in seen.jobs:
        if not facts.enabled:
            yield f"{facts.kind.name} is switched off ({facts.kind.switch})"
        elif facts.in_use and facts.last_tick_at is None:
            yield f"no timer has ever woken {facts.kind.name}"
    statuses = dealership_statuses(seen)
    failing = [found for found in statuses if found.standing in FAILED]
    if failing:
        yield (
            f"{many(len(failing), 'dealership')} failed at the last sync; an alarm once"
            f" {seen.settings.number('alert_silence_hours')} h have passed since a slot without a success:"
            " jobsync status shows them"
        )
    warned = [found for found in statuses if found.standing is Standing.WARNED]
    if warned:
        yield f"{many(len(warned), 'dealership')} went well with a warning; jobsync status shows it"
    yield from (
        f"{host.host} {'said that we ask too often' if host.too_often else 'did not answer'} when last asked,"
        f" {ago(seen.now, host.last_probe_at or host.opened_at)}; nothing"
        f" waits for it, the next {'document' if host.vendor == 'SRI' else 'dealership'} that does tries it again"
        for host in seen.hosts
        if host.opened_at is not None and not host.behind
    )
    yield from (
        f"{host.host} ({host.vendor}) does not want to be asked before {stamp(host.not_before)}: nothing of it is due"
        for host in seen.hosts
        if host.not_before is not None
    )
    if seen.too_far_ahead:
        yield (
            f"{many(seen.too_far_ahead, 'document or RIDE', 'documents or RIDEs')} had the next time further ahead than"
            " any that is set here, and counted as due: a clock was wrong, or something else writes the rows"
        )
    if seen.service.rejected:
        window = span((seen.now - seen.since).total_seconds())
        yield (
            f"the SRI rejected {many(seen.service.rejected, 'document')} in the last {window}, for the issuer to"
            " correct and submit again: jobsync invoice list --status rejected"
        )
    missed = [level for level in service_levels(seen) if level.met is False]
    for level in missed:
        yield (
            f"service level below {level.target_percent:g} %: {level.name} {percent(level.kept, level.of)},"
            f" {level.kept} of {level.of}"
        )
    paused = sum(1 for found in seen.dealerships if found.why_not == "paused")
    if paused:
        yield f"{many(paused, 'dealership is', 'dealerships are')} paused"
    if paused_tenants := sum(1 for tenant in seen.tenants if tenant.paused):
        yield f"{many(paused_tenants, 'tenant is', 'tenants are')} paused"
