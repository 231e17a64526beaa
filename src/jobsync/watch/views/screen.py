"""The whole system on one screen, what is wrong first, each with the next step."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from jobsync import __version__
from jobsync.logs import visible
from jobsync.phrases import ago, many, percent, span, stamp
from jobsync.watch.health import HOW_TO_TELL, NOBODY_TOLD, Health, is_unwatched
from jobsync.watch.model import WATCH, JobFacts, JobStatus, Section, Severity, Snapshot, State, by_hand
from jobsync.watch.sections import sections_of, told
from jobsync.watch.state import job_statuses, next_turn, service_levels, wake_advice
from jobsync.watch.views.json_ import ALL_WELL, headline

_TROUBLED_MOST = 6  # rows of a kind on one screen; the rest is counted
_FAILURES_MOST = 4
_INDENT = 9
_ADVICE = re.compile(r" +do {5}")

# how a line looks on a terminal; off it all lines are plain
BAD, WARN, GOOD, DIM, HEAD, PLAIN = "bold red", "yellow", "green", "dim", "bold", ""
_STYLES = dict(zip(Severity, (BAD, WARN, WARN, GOOD, DIM), strict=True))
Line = tuple[str, str]


def fold(line: Line, width: int) -> Iterator[Line]:
    """Break a line that is too long: prose between words, advice between its commands only, so that each is whole."""
    style, text = line
    advice = _ADVICE.match(text)
    if len(text) <= width:
        parts = [text]
    elif advice:
        first, *rest = text.split("; ")
        parts = [first, *(" " * advice.end() + command for command in rest)]
    else:
        parts = textwrap.wrap(
            text, width, subsequent_indent=" " * _INDENT, break_long_words=False, break_on_hyphens=False
        )
    yield from ((style, part) for part in parts)


def screen(seen: Snapshot, verdict: Health) -> Iterator[Line]:
    """Return the lines of the screen; every text from outside has passed visible()."""
    if seen.channels == ():
        yield BAD, NOBODY_TOLD
        yield _do(HOW_TO_TELL)
    words = headline(seen, verdict)
    style = BAD if verdict.problems else GOOD if words == ALL_WELL else WARN
    yield DIM, f"jobsync {__version__}  {seen.now:%Y-%m-%d %H:%M:%SZ}"
    yield style, f"{words}: jobsync health" if verdict.problems else words
    sections = [section for section in sections_of(seen) if section.title and section.rows]
    blocks = [_nowhere_else(sections, verdict), *(_job(seen, found) for found in job_statuses(seen))]
    blocks += [*map(_section, sections), _levels(seen), _failures(seen), _watch(seen)]
    for block in map(list, blocks):
        if block:
            yield PLAIN, ""
        yield from block


def _do(what: str) -> Line:
    return HEAD, f"  do     {visible(what, most=300)}"


_HOMELESS = ("settings", "unit", "prune", "mail")  # kinds of problems that none of the sections below is about


def _nowhere_else(sections: Sequence[Section], verdict: Health) -> Iterator[Line]:
    """What needs a person, and neither a job nor a row below says."""
    below = {row.subject: row.what_to_do or "" for section in sections for row in section.rows}
    found = [
        each
        for each in verdict.problems
        if each.kind in _HOMELESS and each.what_to_do not in below.get(each.subject, "")
    ]
    for each in found[:_TROUBLED_MOST]:
        yield BAD, f"{each.kind.ljust(12)} {visible(each.text, most=300)}"
        yield _do(each.what_to_do)
    if len(found) > _TROUBLED_MOST:
        yield DIM, f"  ... and {len(found) - _TROUBLED_MOST} more: jobsync health"


def _watch(seen: Snapshot) -> Iterator[Line]:
    """Whether there is a channel by which people are told."""
    if not seen.alerts and not any(facts.in_use for facts in seen.jobs):
        return
    heard = sum(1 for alert in seen.alerts if alert.notified_at)
    acted = f"health --act ran {ago(seen.now, seen.watched_at)}" if seen.watched_at else "nobody watches"
    if seen.watched_at is None and WATCH in seen.timers_on:
        acted = "the health timer is on, and has not acted yet"
    style = BAD if is_unwatched(seen) else WARN if seen.alerts else DIM
    spared = [alert.silenced_until for alert in seen.alerts if alert.silenced_until and alert.silenced_until > seen.now]
    silenced = f", {len(spared)} silenced until {stamp(max(spared))} at the latest" if spared else ""
    yield style, f"alerts       {many(len(seen.alerts), 'open', 'open')}, {heard} told{silenced}; {acted}"
    if is_unwatched(seen):
        yield _do(wake_advice(seen, WATCH))


def _job(seen: Snapshot, found: JobStatus) -> Iterator[Line]:
    facts = found.facts
    yield _STYLES[found.severity], f"{found.name.ljust(21)} {found.state.upper()}"
    if found.why:
        mark = f" [{found.fingerprint}]" if found.fingerprint else ""
        yield PLAIN, f"  why    {visible(found.why, most=300)}{mark}"
    if found.what_to_do:
        yield _do(found.what_to_do)
    if found.state is State.UNUSED:
        return
    tick = f"tick {ago(seen.now, facts.last_tick_at)}" if facts.last_tick_at else "no timer has ever ticked"
    last = "no run yet"
    if facts.last_run:
        run = facts.last_run
        length = f", {span((run.finished_at - run.started_at).total_seconds())}" if run.finished_at else ""
        last = f"last run{by_hand(run)} {run.status}, {ago(seen.now, run.started_at)}{length}"
    whole = seen.owner(facts.name).ABOUT.whole
    success = f"success{whole}{by_hand(facts.last_good)} {ago(seen.now, facts.last_success_at)}"
    yield PLAIN, f"  seen   {tick}; {last}; {success}"
    if facts.runs:
        p50 = f", p50 {span(facts.p50_s)}" if facts.p50_s is not None else ""
        p95 = f", p95 {span(facts.p95_s)}" if facts.p95_s is not None else ""
        window = span((seen.now - seen.since).total_seconds())
        clean = percent(facts.clean, facts.runs)
        failures = facts.consecutive_failures
        streak = f", {many(failures, 'scheduled failure')} in a row" if failures else ""
        yield PLAIN, f"  {window.ljust(6)} {many(facts.runs, 'run')}, {clean} clean{p50}{p95}{streak}"
    if found.state is not State.RUNNING:
        for run in facts.running:
            words = "running" if run.alive else "dead, its row still says running"
            yield PLAIN, f"  now    run {run.short} on {visible(run.host)}, pid {run.pid}: {words}"
    if facts.holder and not facts.alive:
        yield WARN, f"  lock   {visible(facts.holder, most=200)}"
    yield PLAIN, f"  next   {_queue(seen, facts)}"


def _queue(seen: Snapshot, facts: JobFacts) -> str:
    parts = [f"{facts.due} due"]
    if facts.oldest_due_at and facts.oldest_due_at < seen.now:
        parts[0] += f" (oldest {ago(seen.now, facts.oldest_due_at)})"
    if facts.waiting:
        parts.append(f"{facts.waiting} waiting")
    if facts.blocked:
        parts.append(f"{facts.blocked} {seen.owner(facts.name).ABOUT.blocked}")
    if facts.next_at:
        parts.append(f"{next_turn(seen, facts)} {stamp(facts.next_at)}, {ago(seen.now, facts.next_at)}")
    return ", ".join(parts)


def _section(section: Section) -> Iterator[Line]:
    yield HEAD, f"{section.title.lower().ljust(12)} {len(section.rows)}: {section.summary}"
    troubled = [row for row in section.rows if row.severity not in (Severity.OK, Severity.UNUSED)]
    rows = troubled[:_TROUBLED_MOST]
    names = [visible(row.name, most=44) for row in rows]
    wide = max(map(len, names), default=0), max((len(row.state) for row in rows), default=0)
    advised: set[tuple[str, str]] = set()
    for row, name in zip(rows, names, strict=True):
        words = visible(", ".join(filter(None, (*told(section, row), row.why))), most=200)
        yield _STYLES[row.severity], f"  {name.ljust(wide[0])}  {row.state.ljust(wide[1])}  {words}".rstrip()
        kind = row.state, re.sub(r"[0-9a-f]*\d[0-9a-f]*", "N", row.what_to_do or "")
        if row.what_to_do and kind not in advised:  # the others differ in their number only
            advised.add(kind)
            yield HEAD, f"{''.ljust(_INDENT)}do     {visible(row.what_to_do, most=200)}"
    if len(troubled) > len(rows):
        yield DIM, f"  ... and {len(troubled) - len(rows)} more: jobsync status --json, {section.listing}"
    yield from ((PLAIN, f"  {note}") for note in section.notes)


def _levels(seen: Snapshot) -> Iterator[Line]:
    levels = [level for level in service_levels(seen) if level.of]
    if not levels:
        return
    yield HEAD, "service levels"
    for level in levels:
        word = "ok" if level.met else f"below {level.target_percent:g} %"
        text = f"  {level.name.ljust(41)} {percent(level.kept, level.of).rjust(7)}  {level.kept} of {level.of}  {word}"
        yield GOOD if level.met else BAD, text


def _failures(seen: Snapshot) -> Iterator[Line]:
    if not seen.failures:
        return
    yield HEAD, f"failures     {many(len(seen.failures), 'kind')}, most frequent first"
    for group in seen.failures[:_FAILURES_MOST]:
        yield PLAIN, f"  {group.times:>5}x  {group.fingerprint}  {group.job}: {visible(group.sample, most=160)}"
        when = f"last {ago(seen.now, group.last_at)}"
        yield DIM, f"          {when}; in full: jobsync runs show {str(group.run_id)[:8]}"
    if len(seen.failures) > _FAILURES_MOST:
        yield DIM, f"  ... and {len(seen.failures) - _FAILURES_MOST} more: jobsync status --json"
