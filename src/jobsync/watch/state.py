"""What state each job and dealership is in, why, and what to do about it: pure, from one look."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from jobsync.causes import Cause
from jobsync.db.system_settings import CATALOGUE
from jobsync.phrases import ago, span
from jobsync.watch.model import JobFacts, JobStatus, Queue, RunFacts, ServiceLevel, Snapshot, State, by_hand
from jobsync.watch.timers import BY_SYSTEMD, Waker, how_to_wake

SILENT_BEATS = 5  # ticks that may be missing before the timer counts as off
_SILENT_LEAST_S = 300.0
SKIPS_MOST = 3  # skips in a row that are no more than one long run
_ORDER = {state: place for place, state in enumerate(State)}


def job_statuses(seen: Snapshot) -> list[JobStatus]:
    return [job_status(seen, facts) for facts in seen.jobs]


def is_timer_silent(facts: JobFacts, now: datetime) -> bool:
    """
    Whether the timer has ticked once, and should have done so again long ago.

    A run that the timer started holds its ticks back, as long as it works. One by hand does not: a tick is stamped
    before it asks for the lock.
    """
    if facts.last_tick_at is None or any(run.alive and not by_hand(run) for run in facts.running):
        return False
    last = max(filter(None, (facts.last_tick_at, facts.ticks_held_until)))
    return (now - last).total_seconds() > max(_SILENT_LEAST_S, SILENT_BEATS * facts.kind.beat_s)


def missing_ticks(seen: Snapshot, facts: JobFacts) -> str:
    """Return the words for a silent timer; where none is installed, a person may have been the only one to tick."""
    words = f"one is expected every {facts.kind.beat_s} s"
    if facts.name in seen.timers_on:
        return f"{words}; its timer is on, so its service ends before it asks"
    if seen.waker in (Waker.UNITS, Waker.CRON):
        return words
    return f"{words}; no timer is installed on this host, and --scheduled typed by hand counts as a tick"


def wake_advice(seen: Snapshot, name: str) -> str:
    """Return the commands that let the host that looks wake a job (or `health`) again."""
    return how_to_wake(seen.waker, name, is_on=name in seen.timers_on)


def run_limit_s(seen: Snapshot, facts: JobFacts) -> float:
    """Return how long a run may take before somebody should look."""
    return facts.kind.deadline_s or 60 * seen.settings.number("alert_run_minutes")


def overdue(seen: Snapshot, facts: JobFacts) -> Iterator[tuple[RunFacts, str, str]]:
    """Return each run that takes longer than it may, that in words, and the commands that show and end it."""
    limit_s = run_limit_s(seen, facts)
    for run in facts.running:
        if run.alive and (seen.now - run.started_at).total_seconds() > limit_s:
            yield run, f"more than {span(limit_s)}", Cause.RUN_TOO_LONG.do(RUN=run.short, HOST=run.host, PID=run.pid)


def job_status(seen: Snapshot, facts: JobFacts) -> JobStatus:
    """Return the state of one job: the first of `State` that holds."""
    return next(_states(seen, facts))


def _states(seen: Snapshot, facts: JobFacts) -> Iterator[JobStatus]:
    if not facts.enabled:
        yield _off(seen, facts)
    if facts.in_use and (why := _timer_off(seen, facts)):
        yield JobStatus(facts, State.TIMER_OFF, why, wake_advice(seen, facts.name))
    if facts.consecutive_skips >= SKIPS_MOST:
        by = str(facts.holder) if facts.holder else facts.skipped_by or "an unknown run"
        why = f"the last {facts.consecutive_skips} ticks found the lock taken: {by}"
        what = Cause.LOCK_HELD.do() if facts.holder else "nothing holds the lock now: the next tick runs"
        yield JobStatus(facts, State.BLOCKED, why, what)
    for run, how_long, what in overdue(seen, facts):
        yield JobStatus(facts, State.STUCK, f"{_progress(seen, facts, run)}; {how_long}", what)
    owner = seen.owner(facts.name)
    own = owner.job_state(seen, facts)
    failing = _failing(seen, facts, own)
    yield from sorted(filter(None, (own, failing)), key=lambda found: _ORDER[found.state])
    if facts.alive:
        yield JobStatus(facts, State.RUNNING, _progress(seen, facts, facts.alive))
    if not facts.in_use:
        yield JobStatus(facts, State.UNUSED, owner.ABOUT.unused, owner.ABOUT.first_steps)
    if facts.due:
        yield JobStatus(facts, State.DUE, *_due(seen, facts))
    yield JobStatus(facts, State.IDLE)


def _off(seen: Snapshot, facts: JobFacts) -> JobStatus:
    key = facts.kind.switch
    value, words = seen.settings.texts.get(key, ""), "is off"
    if CATALOGUE[key].read(value) is None:
        words = f"is {value!r}, which cannot be read and counts as off"
    what = f"jobsync settings set {key} true; who set it by command, not by SQL: jobsync audit"
    return JobStatus(facts, State.OFF, f"{key} {words}: every form of this job does nothing", what)


def _timer_off(seen: Snapshot, facts: JobFacts) -> str | None:
    if is_timer_silent(facts, seen.now):
        return f"the last tick was {ago(seen.now, facts.last_tick_at)}, {missing_ticks(seen, facts)}"
    if facts.last_tick_at is not None:
        return None
    if facts.last_run is None and facts.name not in seen.timers_on:
        return "no tick and no run ever came"
    waits_s = (seen.now - (facts.oldest_due_at or seen.now)).total_seconds()
    why = f"no tick ever came, and {facts.due} due, the first since {span(waits_s)}"
    return why if waits_s > _SILENT_LEAST_S else None


def _due(seen: Snapshot, facts: JobFacts) -> tuple[str, str | None]:
    why = f"{facts.due} due"
    if facts.oldest_due_at and facts.oldest_due_at < seen.now:
        why += f", the first since {span(int((seen.now - facts.oldest_due_at).total_seconds()))}"
    if facts.last_tick_at is None and facts.name not in seen.timers_on:
        return f"{why}; no timer has ever woken this job", wake_advice(seen, facts.name)
    most = seen.settings.number("alert_queue_length")
    queue = seen.owner(facts.name).queue(seen, facts) if facts.due > most else None
    if queue:
        return f"{why}; more than {most} is a long queue; {queue.limit}", queue.what_to_do
    return f"{why}; taken from the next tick on", None


def _progress(seen: Snapshot, facts: JobFacts, run: RunFacts) -> str:
    eligible, done = run.counts.get("eligible", 0), run.counts.get("done", 0)
    failed = f", {run.counts['failed']} failed" if run.counts.get("failed") else ""
    how_far = f"{done}/{eligible} {facts.kind.noun}{failed}" if eligible else "at its start"
    who = f"run {run.short} on {run.host}, pid {run.pid}, {run.trigger}"
    return f"{who}, began {ago(seen.now, run.started_at)}: {how_far}"


def _failing(seen: Snapshot, facts: JobFacts, own: JobStatus | None) -> JobStatus | None:
    last = facts.last_run
    dead = [run for run in facts.running if not run.alive]
    is_bad = last is not None and last.status in ("failed", "crashed", "lock_lost", "timed_out")
    bad = is_bad and not (own and own.says_last_run)
    if not (bad or facts.consecutive_failures >= 2 or (dead and not facts.alive)):
        return None
    run = last if bad else facts.last_missed or facts.last_bad or last
    if dead and (run is None or dead[0].started_at > run.started_at):
        run = dead[0]
        why = f"run {run.short} died without a word on {run.host}, pid {run.pid}"
        log = f"journalctl --since '{run.started_at.astimezone(UTC):%F %H:%M} UTC'"
        log = log if seen.waker in BY_SYSTEMD else "dmesg -T"
        what = f"nothing is half-done, the next run goes on; why it died: {log}"
        return JobStatus(facts, State.FAILING, why, what)
    if run is None:  # nothing has been due since, and the runs that failed are past their retention
        why = f"{_in_a_row(seen, facts)}, too long ago for their rows to be kept"
        return JobStatus(facts, State.FAILING, why, f"jobsync {facts.name} shows whether it works now")
    which = "last run" if run == last else "last scheduled run to fail" if run == facts.last_missed else "last bad run"
    reason, fingerprint = seen.reason(run)
    ended = f"the {which}{by_hand(run)} ended as {run.status}{reason}"
    why = "; ".join(filter(None, (_in_a_row(seen, facts), ended)))
    return JobStatus(facts, State.FAILING, why, f"jobsync runs show {run.short}", fingerprint)


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


def next_turn(seen: Snapshot, facts: JobFacts) -> str:
    """Return what comes for the first of the items that wait."""
    return f"next {'retry' if facts.next_is_retry else seen.owner(facts.name).ABOUT.turn}"


# in these a job takes nothing, or next to nothing, from its queue
_HALTED = (State.OFF, State.TIMER_OFF, State.BLOCKED, State.STUCK, State.TOO_OFTEN, State.UPSTREAM_DOWN)


def limit_of(status: JobStatus, queue: Queue) -> tuple[str, str]:
    """Return what limits a queue, and the next step: what halts its job, else what makes it slow while it runs."""
    if status.state in _HALTED:
        return f"{status.state}: {status.why}", status.what_to_do or queue.what_to_do
    return queue.limit, queue.what_to_do


def service_levels(seen: Snapshot) -> list[ServiceLevel]:
    """Return the promises of the window: those about time, then that runs are clean, then what became of the items."""
    clean = ServiceLevel("runs clean", sum(job.clean for job in seen.jobs), sum(job.runs for job in seen.jobs))
    found = [clean, *(level for each in seen.watched for level in each.levels(seen))]
    return sorted(found, key=lambda level: not level.timely)
