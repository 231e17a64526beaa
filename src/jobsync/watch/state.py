"""What state each job and dealership is in, why, and what to do about it: pure, from one look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from jobsync.cron import problem_of_cron
from jobsync.db.system_settings import CATALOGUE
from jobsync.errors import ExitCode
from jobsync.logs import visible
from jobsync.phrases import EMPTY_FEED, FOREIGN_FEED, HELD, ago, how_to_decide, many, pause_end, span, stamp
from jobsync.watch.snapshot import DealershipFacts, JobFacts, RunFacts, Snapshot, TenantFacts
from jobsync.watch.timers import BY_SYSTEMD, Waker, how_to_wake

SILENT_BEATS = 5  # ticks that may be missing before the timer counts as off
_SILENT_LEAST_S = 300.0
SKIPS_MOST = 3  # skips in a row that are no more than one long run


class State(StrEnum):
    """What a job as a whole is doing; the first that holds, in this order."""

    OFF = "switched off"
    TIMER_OFF = "timer off"
    BLOCKED = "always skipped"
    STUCK = "running too long"
    TOO_OFTEN = "asks too often"
    UPSTREAM_DOWN = "upstream down"
    FAILING = "failing"
    ATTENTION = "needs attention"
    PAUSED = "all paused"
    RUNNING = "running"
    DUE = "work is due"
    IDLE = "nothing to do"
    UNUSED = "not in use"


TOO_OFTEN = (
    "nothing is lost: one call a run until an answer comes without it; let fewer calls leave from this address: jobsync"
    " settings set sri_call_delay_ms 2000; jobsync sri explain 33"
)

# What nobody needs to get up for.
CALM = (State.OFF, State.PAUSED, State.RUNNING, State.DUE, State.IDLE, State.UNUSED)


@dataclass(frozen=True)
class JobStatus:
    """A job's state with the reason and the next step, each one sentence or None."""

    facts: JobFacts
    state: State
    why: str | None = None
    what_to_do: str | None = None
    fingerprint: str | None = None

    @property
    def name(self) -> str:
        """The job's name."""
        return self.facts.kind.name


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


@dataclass(frozen=True)
class DealershipStatus:
    """A dealership's standing with the reason and the next step."""

    facts: DealershipFacts
    standing: Standing
    why: str | None = None
    what_to_do: str | None = None


def job_statuses(seen: Snapshot) -> list[JobStatus]:
    """Return every job's state."""
    return [job_status(seen, facts) for facts in seen.jobs]


def is_timer_silent(facts: JobFacts, now: datetime) -> bool:
    """Whether the timer has ticked once, and should have done so again long ago; a run in progress holds ticks back."""
    if facts.last_tick_at is None or any(run.alive for run in facts.running):
        return False
    last = max(filter(None, (facts.last_tick_at, facts.last_finished_at)))
    return (now - last).total_seconds() > max(_SILENT_LEAST_S, SILENT_BEATS * facts.kind.beat_s)


def missing_ticks(seen: Snapshot, facts: JobFacts) -> str:
    """Return the words for a silent timer; where none is installed, a person may have been the only one to tick."""
    words = f"one is expected every {facts.kind.beat_s} s"
    if seen.waker in (Waker.UNITS, Waker.CRON):
        return words
    return f"{words}; no timer is installed on this host, and --scheduled typed by hand counts as a tick"


def run_limit(seen: Snapshot, name: str) -> timedelta:
    """Return how long a run may take before somebody should look."""
    return timedelta(minutes=60 if name == "stock-sync" else seen.settings.number("alert_run_minutes"))


def job_status(seen: Snapshot, facts: JobFacts) -> JobStatus:
    """Return the state of one job: the first of `State` that holds."""
    for judge in (_off, _timer, _skips, _stuck, _upstream, _failing, _attention, _paused):
        found = judge(seen, facts)
        if found is not None:
            return found
    if any(run.alive for run in facts.running):
        return JobStatus(facts, State.RUNNING, _progress(seen, facts))
    if not facts.in_use:
        return JobStatus(facts, State.UNUSED, _unused(facts), _FIRST_STEPS[facts.kind.name])
    if facts.due:
        waits = (
            f", the first since {span(int((seen.now - facts.oldest_due_at).total_seconds()))}"
            if (facts.oldest_due_at and facts.oldest_due_at < seen.now)
            else ""
        )
        return JobStatus(facts, State.DUE, f"{facts.due} due{waits}; the next tick takes them")
    return JobStatus(facts, State.IDLE)


_FIRST_STEPS = {
    "stock-sync": "jobsync dealership add NAME, then jobsync credentials set ID",
    "check-authorizations": "jobsync tenant add RUC NAME, then jobsync invoice import FOLDER",
    "generate-ride": None,
}


def _unused(facts: JobFacts) -> str:
    return {
        "stock-sync": "no dealership has credentials",
        "check-authorizations": "there is no tenant",
        "generate-ride": "nothing has asked for it yet",
    }[facts.kind.name]


def _off(seen: Snapshot, facts: JobFacts) -> JobStatus | None:
    if facts.enabled:
        return None
    key = facts.kind.switch
    value = seen.settings.texts.get(key, "")
    is_readable = CATALOGUE[key].read(value) is not None
    words = "is off" if is_readable else f"is {value!r}, which cannot be read and counts as off"
    return JobStatus(
        facts,
        State.OFF,
        f"{key} {words}: every form of this job does nothing",
        f"jobsync settings set {key} true; jobsync audit says who set it by command, of SQL it knows nothing",
    )


def _timer(seen: Snapshot, facts: JobFacts) -> JobStatus | None:
    if not facts.in_use:
        return None
    what = how_to_wake(seen.waker, facts.kind.name)
    if is_timer_silent(facts, seen.now):
        why = f"the last tick was {ago(seen.now, facts.last_tick_at)}, {missing_ticks(seen, facts)}"
        return JobStatus(facts, State.TIMER_OFF, why, what)
    if facts.last_tick_at is None and facts.last_run is None:
        return JobStatus(facts, State.TIMER_OFF, "no tick and no run ever came", what)
    oldest = facts.oldest_due_at
    if facts.last_tick_at is None and oldest and (seen.now - oldest).total_seconds() > _SILENT_LEAST_S:
        why = f"no tick ever came, and {facts.due} due, the first since {span((seen.now - oldest).total_seconds())}"
        return JobStatus(facts, State.TIMER_OFF, why, what)
    return None


def _skips(_seen: Snapshot, facts: JobFacts) -> JobStatus | None:
    if facts.consecutive_skips < SKIPS_MOST:
        return None
    by = str(facts.holder) if facts.holder else facts.skipped_by or "an unknown run"
    why = f"the last {facts.consecutive_skips} ticks found the lock taken: {by}"
    what = "jobsync locks shows the holder; if it hangs, stop its process: its locks go with it"
    if not facts.holder:
        what = "nobody holds the lock now: the next tick runs"
    return JobStatus(facts, State.BLOCKED, why, what)


def _stuck(seen: Snapshot, facts: JobFacts) -> JobStatus | None:
    limit = run_limit(seen, facts.kind.name)
    for run in facts.running:
        if run.alive and seen.now - run.started_at > limit:
            why = f"{_progress(seen, facts)}; more than {span(limit.total_seconds())}"
            return JobStatus(
                facts,
                State.STUCK,
                why,
                f"jobsync runs show {str(run.run_id)[:8]}; on {run.host}: kill {run.pid} lets it end its item",
            )
    return None


def _progress(seen: Snapshot, facts: JobFacts) -> str:
    run = next(run for run in facts.running if run.alive)
    eligible, done = run.counts.get("eligible", 0), run.counts.get("done", 0)
    failed = f", {run.counts['failed']} failed" if run.counts.get("failed") else ""
    how_far = f"{done}/{eligible} {facts.kind.noun}{failed}" if eligible else "at its start"
    who = f"run {str(run.run_id)[:8]} on {run.host}, pid {run.pid}, {run.trigger}"
    return f"{who}, began {ago(seen.now, run.started_at)}: {how_far}"


def _upstream(seen: Snapshot, facts: JobFacts) -> JobStatus | None:
    if facts.kind.name == "check-authorizations":
        hosts = [host for host in seen.hosts if host.behind and host.vendor == "SRI"]
        scolding = [host for host in hosts if host.too_often]
        if scolding:
            names = ", ".join(f"{host.host} since {stamp(host.opened_at)}" for host in scolding)
            why = f"the SRI says that we ask too often (code 33): {names}"
            return JobStatus(facts, State.TOO_OFTEN, why, TOO_OFTEN)
        if hosts:
            names = ", ".join(f"{host.host} since {stamp(host.opened_at)}" for host in hosts)
            return JobStatus(
                facts,
                State.UPSTREAM_DOWN,
                f"the SRI does not answer: {names}",
                "nothing is lost: one call a run probes, the rest waits; jobsync doctor tests the way there",
            )
        return None
    if facts.kind.name != "stock-sync":
        return None
    hosts = [host for host in seen.hosts if host.behind and host.vendor == "EasyCars"]
    if hosts:
        names = ", ".join(f"{host.host} since {stamp(host.opened_at)}" for host in hosts)
        return JobStatus(
            facts,
            State.UPSTREAM_DOWN,
            f"EasyCars does not answer: {names}",
            "nothing is lost: one dealership a run probes, the rest keeps its slot; jobsync doctor tests the way there",
        )
    if facts.last_run and facts.last_run.exit_code == ExitCode.UNAVAILABLE:
        run = facts.last_run
        why = f"EasyCars did not answer for any dealership in run {str(run.run_id)[:8]}{by_hand(run)}"
        what = f"{_tried_again(seen, facts)}; jobsync doctor tests the way there"
        return JobStatus(facts, State.UPSTREAM_DOWN, why + _reason(seen, run), what, _print_of(seen, run))
    return None


def _tried_again(seen: Snapshot, facts: JobFacts) -> str:
    """Say when the next try comes: runs by hand and slots that are given up have no retries."""
    retry_at = min((d.retry_at for d in seen.dealerships if d.why_not is None and d.retry_at), default=None)
    if retry_at is not None:
        return f"tried again {ago(seen.now, retry_at)}" if retry_at > seen.now else "tried again at the next tick"
    slot = f" of {stamp(facts.next_at)}" if facts.next_at else ""
    return f"not tried again before the next slot{slot}; once it answers: jobsync stock-sync"


def _failing(seen: Snapshot, facts: JobFacts) -> JobStatus | None:
    last = facts.last_run
    dead = [run for run in facts.running if not run.alive]
    bad = last is not None and last.status in ("failed", "crashed", "lock_lost", "timed_out")
    if not (bad or facts.consecutive_failures >= 2 or (dead and not any(run.alive for run in facts.running))):
        return None
    run = last if bad else facts.last_missed or facts.last_bad or last
    if dead and (run is None or dead[0].started_at > run.started_at):
        run = dead[0]
        why = f"run {str(run.run_id)[:8]} died without a word on {run.host}, pid {run.pid}"
        log = (
            f"journalctl --since '{run.started_at.astimezone(UTC):%F %H:%M} UTC'"
            if seen.waker in BY_SYSTEMD
            else "dmesg -T"
        )
        what = f"nothing is half-done, the next run goes on; why it died: {log}"
        return JobStatus(facts, State.FAILING, why, what)
    assert run is not None  # noqa: S101 - one of the two is there, or it would not be failing
    which = "last run" if run == last else "last scheduled run to fail" if run == facts.last_missed else "last bad run"
    ended = f"the {which}{by_hand(run)} ended as {run.status}{_reason(seen, run)}"
    why = "; ".join(filter(None, (_in_a_row(seen, facts), ended)))
    return JobStatus(facts, State.FAILING, why, f"jobsync runs show {str(run.run_id)[:8]}", _print_of(seen, run))


def _in_a_row(seen: Snapshot, facts: JobFacts) -> str:
    """Say how many scheduled runs failed in a row, and what a success means that did not end the row."""
    if facts.consecutive_failures < 2:
        return ""
    words = f"{facts.consecutive_failures} scheduled runs failed in a row"
    good, missed = facts.last_good, facts.last_missed
    if good is None:
        return words
    when = ago(seen.now, facts.last_success_at)
    how = "succeeded" if good.status == "succeeded" else f"got through, {good.status}"
    if missed is None or good.started_at > missed.started_at:
        who = "a run by hand" if by_hand(good) else "a retry"
        return f"{words}; {who} {how} {when}: the job can work, the next scheduled run shows whether it is over"
    return f"{words}; a run by hand {how} {when}, scheduled ones still fail" if by_hand(good) else words


def by_hand(run: RunFacts | None) -> str:
    """Return the words for a run that somebody typed; such a run neither adds to a row of failures nor ends it."""
    return " by hand" if run is not None and run.trigger == "manual" else ""


def _reason(seen: Snapshot, run: RunFacts) -> str:
    found = _failure_of(seen, run)
    text = run.error or (found.sample if found else None)
    return f": {text}" if text else ""


def _print_of(seen: Snapshot, run: RunFacts) -> str | None:
    found = _failure_of(seen, run)
    return found.fingerprint if found else None


def _failure_of(seen: Snapshot, run: RunFacts) -> Any:
    return next((group for group in seen.failures if group.run_id == run.run_id), None)


_HELD_STORAGE = (
    "the storage of RIDE files could not be written: the last run stopped, no document was charged an attempt"
)


def storage_is_held(facts: JobFacts) -> bool:
    """Whether the last run of generate-ride stopped because the storage itself is full, read-only or broken."""
    return facts.kind.name == "generate-ride" and facts.last_run is not None and facts.last_run.status == "held"


def _attention(seen: Snapshot, facts: JobFacts) -> JobStatus | None:
    if facts.kind.name == "stock-sync":
        return _stock_attention(seen, facts)
    if facts.kind.name == "check-authorizations":
        count = sum(tenant.needs_attention for tenant in seen.tenants)
        if count:
            return JobStatus(
                facts,
                State.ATTENTION,
                f"{many(count, 'document needs', 'documents need')} a person",
                "jobsync invoice list --status needs_attention; jobsync invoice show KEY says what to do",
            )
        return None
    if storage_is_held(facts):
        return JobStatus(
            facts, State.ATTENTION, _HELD_STORAGE, "jobsync doctor (lines storage, disk); each tick tries again"
        )
    parked = sum(tenant.ride_parked for tenant in seen.tenants)
    if parked:
        return JobStatus(
            facts,
            State.ATTENTION,
            f"{many(parked, 'document')} cannot be drawn",
            "jobsync invoice show KEY has the reason; then jobsync generate-ride --force --access-key KEY",
        )
    return None


def _stock_attention(seen: Snapshot, facts: JobFacts) -> JobStatus | None:
    found = [status for status in dealership_statuses(seen) if status.standing in _TROUBLED]
    if not found:
        return None
    counts = [
        f"{number} {standing}"
        for standing in _TROUBLED
        if (number := sum(1 for status in found if status.standing is standing))
    ]
    return JobStatus(facts, State.ATTENTION, f"dealerships: {', '.join(counts)}", found[0].what_to_do)


def _paused(_seen: Snapshot, facts: JobFacts) -> JobStatus | None:
    if not facts.in_use or not facts.blocked or facts.due or facts.waiting:
        return None
    if facts.kind.name == "stock-sync":
        why = f"none of {many(facts.blocked, 'dealership')} takes part (paused, switched off, no credentials)"
        return JobStatus(facts, State.PAUSED, why, "jobsync schedule show says why; jobsync dealership resume ID")
    why = f"{many(facts.blocked, 'document')} wait at paused or inactive tenants"
    return JobStatus(facts, State.PAUSED, why, "jobsync tenant list; jobsync tenant resume RUC")


# --- dealerships -----------------------------------------------------------------------------------------------------

FAILED = (Standing.FAILING, Standing.RETRYING)  # at the last sync, and not silent yet
_TROUBLED = (Standing.SILENT, Standing.FAILING, Standing.HELD, Standing.RETRYING)
_ORDER = {standing: place for place, standing in enumerate(Standing)}


def silent_since(seen: Snapshot, found: DealershipFacts) -> datetime | None:
    """Return the slot that a dealership has missed by more than alert_silence_hours, None if it is not silent."""
    if found.why_not is not None or found.expected_at is None or not seen.job("stock-sync").enabled:
        return None
    limit = timedelta(hours=seen.settings.number("alert_silence_hours"))
    return found.expected_at if seen.now - found.expected_at > limit else None


def dealership_statuses(seen: Snapshot) -> list[DealershipStatus]:
    """Return how every dealership stands, failing ones first, then by how long they have had no success."""
    statuses = [dealership_status(seen, found) for found in seen.dealerships]
    return sorted(
        statuses,
        key=lambda status: (_ORDER[status.standing], -status.facts.failures, status.facts.id),
    )


def dealership_status(seen: Snapshot, found: DealershipFacts) -> DealershipStatus:
    """Return how one dealership stands."""
    if found.why_not is not None:
        return _out(found)
    error = f": {found.error}" if found.error else ""
    missed = silent_since(seen, found)
    if missed is not None:
        last = f"last success {ago(seen.now, found.last_success_at)}"
        why = f"no success since the slot of {stamp(missed)}, {last}{error}"
        return DealershipStatus(found, Standing.SILENT, why, _what_failed(found))
    if found.last_status == "Failed":
        times = (
            f"failed {many(found.failures, 'time')} since the last success"
            if found.last_success_at
            else (f"failed {many(found.failures, 'time')}, never a success")
        )
        if found.retry_at is not None:
            again = f"; tried again {ago(seen.now, found.retry_at)}" if found.retry_at > seen.now else "; due again now"
            return DealershipStatus(found, Standing.RETRYING, times + error + again, _what_failed(found))
        return DealershipStatus(found, Standing.FAILING, times + error, _what_failed(found))
    if found.holds:
        why = f"{told_held(found)} since {stamp(found.holds[0].since)}{why_held(found)}"
        return DealershipStatus(found, Standing.HELD, why, what_of_held(found))
    if found.last_status == "PartialSuccess":
        return DealershipStatus(
            found, Standing.PARTIAL, "the last sync was partial", f"jobsync stock refused {found.id}"
        )
    if found.last_synced_at is None:
        return DealershipStatus(
            found, Standing.NEW, f"first slot {ago(seen.now, found.next_at)}" if found.next_at else None
        )
    return _warned(found) or DealershipStatus(found, Standing.FINE)


def unreadable_schedule(found: DealershipFacts) -> tuple[str, str] | None:
    """Return what of a dealership's own cron and time zone cannot be read, and what to do; None if all can."""
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


def _warned(found: DealershipFacts) -> DealershipStatus | None:
    """Return what a sync that went well leaves to be looked at; nobody needs to get up for it."""
    whys, whats = [], []
    if schedule := unreadable_schedule(found):
        whys.append(schedule[0])
        whats.append(schedule[1])
    if found.is_empty:
        whys.append(f"{EMPTY_FEED}; nothing is listed")
        whats.append(f"jobsync credentials test {found.id}")
    if found.kept:
        whys += [HELD[hold.kind].told_rejected(hold.vehicles) for hold in found.kept]
        whats += [f"jobsync holds show {hold.id}" for hold in found.kept]
    return DealershipStatus(found, Standing.WARNED, "; ".join(whys), "; ".join(whats)) if whys else None


def told_held(found: DealershipFacts) -> str:
    """Return what is held, each kind with its number."""
    return ", ".join(HELD[hold.kind].told(hold.vehicles) for hold in found.holds)


def why_held(found: DealershipFacts) -> str:
    """Return what else is to be known of holds, to be put behind a sentence."""
    if any(hold.kind == "foreign_feed" for hold in found.holds):
        return f": {FOREIGN_FEED}"
    return f": {EMPTY_FEED}" if any(hold.reason == "empty_feed" for hold in found.holds) else ""


def what_of_held(found: DealershipFacts) -> str:
    """Return the commands that lead to a decision."""
    return how_to_decide(found.id, [(hold.id, hold.kind, hold.reason) for hold in found.holds])


def _what_failed(found: DealershipFacts) -> str:
    run = f"jobsync runs show {str(found.last_run_id)[:8]}; " if found.last_run_id else ""
    return f"{run}jobsync credentials test {found.id}"


def _out(found: DealershipFacts) -> DealershipStatus:
    if found.why_not == "paused":
        reason = f": {found.paused_reason}" if found.paused_reason else ""
        why = f"{pause_end(found.paused_until)}{reason}"
        return DealershipStatus(found, Standing.PAUSED, why, f"jobsync dealership resume {found.id}")
    if found.why_not == "auto_sync_off":
        what = f"jobsync dealership set {found.id} --auto-sync"
        return DealershipStatus(found, Standing.OFF, "easycar_auto_sync_enabled is false", what)
    return DealershipStatus(found, Standing.NO_CREDENTIALS, None, f"jobsync credentials set {found.id}")


# --- tenants and service levels --------------------------------------------------------------------------------------


def tenant_order(seen: Snapshot) -> list[TenantFacts]:
    """Return the tenants, those with documents that need a person first, then those with the longest queue."""
    return sorted(
        seen.tenants,
        key=lambda found: (-found.needs_attention, -found.ride_parked, -found.due, -found.pending, found.id),
    )


@dataclass(frozen=True)
class Level:
    """One promise: how many kept it, of how many, and the share that is expected."""

    name: str
    kept: int
    of: int
    target_percent: float = 95.0

    @property
    def percent(self) -> float | None:
        """The share, None if there was nothing to keep."""
        return 100 * self.kept / self.of if self.of else None

    @property
    def met(self) -> bool | None:
        """Whether the promise is kept."""
        return None if self.percent is None else self.percent >= self.target_percent


def service_levels(seen: Snapshot) -> list[Level]:
    """Return the promises of the window."""
    return [
        Level("authorized within 5 min of submission", *seen.service.authorized),
        Level("PDF within 2 min of authorization", *seen.service.rendered),
        Level("runs clean", *seen.runs_clean),
        Level("neither rejected nor waiting for a person", *seen.service.undisturbed),
    ]
