"""Is anything wrong that a person must see to? A pure verdict over one look, a line for each thing and what to do."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobsync.causes import Cause, Kind
from jobsync.db.system_settings import CATALOGUE, SystemSettings, problem_of_value
from jobsync.errors import ExitCode
from jobsync.phrases import ago, many, percent, stamp
from jobsync.watch import state
from jobsync.watch.model import QUEUE, WATCH, Check, JobFacts, Problem, Snapshot, by_hand

# A queue that has been too long stays so until it is clearly shorter: a load near the limit is told once.
_RELIEF = 0.8
_WATCH_LEAST = timedelta(minutes=20)
NOBODY_TOLD = "nobody will be told of anything: no mail, webhook, ping or alert URL is set"
HOW_TO_SET = (  # a shell's own variables reach no unit
    "set JOBSYNC_SMTP_URL and JOBSYNC_ALERT_TO, or JOBSYNC_ALERT_WEBHOOK, or JOBSYNC_ALERT_URLS; for units: smtp_url"
    " and alert_to in /etc/jobsync/config.toml, then as root: jobsync units install"
)
HOW_TO_TELL = f"{HOW_TO_SET}; whether it works: jobsync alerts test"


@dataclass(frozen=True)
class Health:
    """The verdict, at an instant of the database's clock."""

    now: datetime
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(problem for check in self.checks for problem in check.problems)

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
            "problems": [problem.as_json() for problem in self.problems],
            "checks": [
                {"name": check.name, "asked": check.asked, "status": "attention" if check.problems else "ok"}
                for check in self.checks
            ],
            "notes": list(self.notes),
        }


def judge_health(seen: Snapshot) -> Health:
    number = seen.settings.number
    asked = {
        "tick": "do the timers tick?",
        "skips": "do ticks find the lock free?",
        "duration": "does a run take too long?",
        "failures": f"{number('alert_after_failures')} scheduled runs failed in a row?",
        **{kind: words for each in seen.watched for kind, words in each.ABOUT.checks.items()},
        "settings": "can every setting be read?",
        "unit": "did a unit, or the work on one dealership, fail again and again?",
        "prune": "can old rows be deleted?",
        "mail": "does every address take its mail?",
    }
    asked[QUEUE] = f"more than {number('alert_queue_length')} due?"
    found = [problem for facts in seen.jobs for problem in _of_job(seen, facts)]
    found += [*unreadable_values(seen.settings), *(problem for each in seen.watched for problem in each.problems(seen))]
    found += [*_queues(seen), *_told(seen)]
    by_kind = {kind: tuple(problem for problem in found if problem.kind == kind) for kind in asked}
    checks = tuple(Check(kind, words, by_kind[kind]) for kind, words in asked.items())
    return Health(seen.now, checks, tuple(_notes(seen)))


def _of_job(seen: Snapshot, facts: JobFacts) -> Iterator[Problem]:
    name = facts.name
    if facts.enabled and facts.in_use and state.is_timer_silent(facts, seen.now):
        yield Problem(
            name,
            f"{name}: no tick since {stamp(facts.last_tick_at)}; {state.missing_ticks(seen, facts)}",
            f"{state.wake_advice(seen, name)}; or its host is down; not wanted any more:"
            f" jobsync settings set {facts.kind.switch} false",
            facts.last_tick_at,
            cause=Cause.TIMER_SILENT,
        )
    if facts.enabled and facts.holder and facts.consecutive_skips * facts.kind.beat_s > state.run_limit_s(seen, facts):
        text = f"{name}: the last {facts.consecutive_skips} ticks found the lock taken: {facts.holder}"
        yield Problem(name, text, Cause.LOCK_HELD.do(), cause=Cause.LOCK_HELD)
    for run, how_long, what in state.overdue(seen, facts):
        text = f"{name}: run {run.short} works since {stamp(run.started_at)}, {how_long}"
        yield Problem(name, text, what, run.started_at, cause=Cause.RUN_TOO_LONG)
    if facts.enabled and facts.consecutive_failures >= seen.settings.number("alert_after_failures"):
        bad = facts.last_missed or facts.last_bad
        why = f": {bad.error}" if bad and bad.error else ""
        yield Problem(
            name,
            f"{name}: {facts.consecutive_failures} scheduled runs failed in a row, last success"
            f"{by_hand(facts.last_good)} {stamp(facts.last_success_at)}{why}",
            state.job_status(seen, facts).what_to_do or Cause.RUNS_FAILING.do(),
            facts.last_success_at,
            cause=Cause.RUNS_FAILING,
        )


def _queues(seen: Snapshot) -> Iterator[Problem]:
    limit = seen.settings.number("alert_queue_length")
    told = {alert.subject for alert in seen.alerts if alert.kind == QUEUE}
    for each in seen.watched:
        name = each.ABOUT.job
        facts = seen.job(name)
        most = limit * _RELIEF if name in told else limit
        if not facts.enabled or facts.due <= most:
            continue
        since = f", the oldest since {stamp(facts.oldest_due_at)}" if facts.oldest_due_at else ""
        if queue := each.queue(seen, facts):
            waits = queue.words
            why, what = state.limit_of(state.job_status(seen, facts), queue)
        elif name in told:  # what halts it has a name of its own; a queue that is there is not over
            halt = state.job_status(seen, facts)
            waits, why, what = "still wait", f"{halt.state}: {halt.why}", halt.what_to_do or Cause.QUEUE_LONG.do()
        else:
            continue
        text = f"{name}: {facts.due} documents {waits}{since}; the limit is {limit}; {why}"
        yield Problem(name, text, what, facts.oldest_due_at, cause=Cause.QUEUE_LONG)


def unreadable_values(settings: SystemSettings) -> Iterator[Problem]:
    """Return the stored settings that cannot be read."""
    for key, value in sorted(settings.texts.items()):
        kind = CATALOGUE.get(key)
        if kind is not None and kind.read(value) is None:
            yield Problem(
                key,
                f"the setting {key} cannot be read: {problem_of_value(kind, value)}; {kind.consequence}",
                Cause.SETTING_UNREADABLE.do(SETTING=key, VALUE=shlex.quote(kind.spell(str(kind.default)))),
                cause=Cause.SETTING_UNREADABLE,
            )


def _told(seen: Snapshot) -> Iterator[Problem]:
    """What only the host that met it knows, from its alert."""
    for alert in seen.alerts:
        if alert.kind in (Kind.UNIT, Kind.PRUNE, Kind.MAIL) and alert.details.get("ripe", True):
            of_kind = [cause for cause in Cause if cause.kind == alert.kind]
            cause = next((cause for cause in of_kind if cause == alert.cause), of_kind[-1])
            text, what = alert.text or f"{alert.subject} failed", alert.what_to_do or cause.do()
            yield Problem(alert.subject, text, what, alert.opened_at, cause=cause)


def is_unwatched(seen: Snapshot) -> bool:
    """Whether the health timer, which tells people, has not acted lately; one that is on may act for the first time."""
    if seen.watched_at is None:
        return WATCH not in seen.timers_on
    return seen.now - seen.watched_at > _WATCH_LEAST


def _notes(seen: Snapshot) -> Iterator[str]:
    """What is worth knowing, and needs no person now."""
    if seen.channels == ():
        yield f"{NOBODY_TOLD}: {HOW_TO_TELL}"
    if is_unwatched(seen) and any(facts.in_use for facts in seen.jobs):
        last = f"last acted {ago(seen.now, seen.watched_at)}" if seen.watched_at else "has never acted"
        yield f"nobody is told of anything: the health timer {last}; {state.wake_advice(seen, WATCH)}"
    for facts in seen.jobs:
        if not facts.enabled:
            yield f"{facts.name} is switched off ({facts.kind.switch})"
        elif facts.in_use and facts.last_tick_at is None and facts.name not in seen.timers_on:
            yield f"no timer has ever woken {facts.name}"
    if ahead := sum(facts.too_far_ahead for facts in seen.jobs):
        items = many(ahead, "dealership, document or RIDE", "dealerships, documents or RIDEs")
        yield (
            f"{items} had the next time further ahead than any that is set here, and counted as due: a clock was wrong,"
            " or something else writes the rows"
        )
    for each in seen.watched:
        yield from each.notes(seen)
    for level in state.service_levels(seen):
        if level.met is False:
            share = f"{level.name} {percent(level.kept, level.of)}, {level.kept} of {level.of}"
            yield f"service level below {level.target_percent:g} %: {share}"
    for each in seen.watched:
        yield from each.pauses(seen)
