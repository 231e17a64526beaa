"""The whole system on one screen, what is wrong first, each with the next step."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from jobsync import __version__
from jobsync.easycars.watch import Standing, dealership_statuses
from jobsync.logs import visible
from jobsync.phrases import ago, many, pause_end, percent, span, stamp
from jobsync.sri import watch as sri
from jobsync.watch.health import Health, is_unwatched
from jobsync.watch.model import CALM, WATCH, JobFacts, JobStatus, Snapshot, State, by_hand
from jobsync.watch.state import about, job_statuses, service_levels
from jobsync.watch.timers import how_to_wake
from jobsync.watch.views.json_ import ALL_WELL, headline
from jobsync.watch.views.tenants import Tenant, tenants_of

_TROUBLED_MOST = 6  # rows of a kind on one screen; the rest is counted
_FAILURES_MOST = 4
_INDENT = 9
_ADVICE = re.compile(r" +do {5}")

# how a line looks on a terminal; off it all lines are plain
BAD, WARN, GOOD, DIM, HEAD, PLAIN = "bold red", "yellow", "green", "dim", "bold", ""
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
    words = headline(seen, verdict)
    style = BAD if verdict.problems else GOOD if words == ALL_WELL else WARN
    yield DIM, f"jobsync {__version__}  {seen.now:%Y-%m-%d %H:%M:%SZ}"
    yield style, f"{words}: jobsync health" if verdict.problems else words
    yield from _nowhere_else(seen, verdict)
    yield from _jobs(seen)
    yield from _dealerships(seen)
    yield from _tenants(seen)
    yield from _levels(seen)
    yield from _failures(seen)
    yield from _watch(seen)


_HOMELESS = ("settings", "unit", "prune", "mail")  # kinds of problems that none of the sections below is about


def _nowhere_else(seen: Snapshot, verdict: Health) -> Iterator[Line]:
    """What needs a person and is neither a job's, a dealership's nor a tenant's."""
    below = {f"dealership {each.facts.id}" for each in dealership_statuses(seen) if each.standing is Standing.WARNED}
    found = [each for each in verdict.problems if each.kind in _HOMELESS and each.subject not in below]
    if found:
        yield PLAIN, ""
    for each in found[:_TROUBLED_MOST]:
        yield BAD, f"{each.kind.ljust(12)} {visible(each.text, most=300)}"
        yield HEAD, f"  do     {visible(each.what_to_do, most=300)}"
    if len(found) > _TROUBLED_MOST:
        yield DIM, f"  ... and {len(found) - _TROUBLED_MOST} more: jobsync health"


def _watch(seen: Snapshot) -> Iterator[Line]:
    """Whether anybody is told of all this."""
    if not seen.alerts and not any(facts.in_use for facts in seen.jobs):
        return
    told = sum(1 for alert in seen.alerts if alert.notified_at)
    acted = f"the health timer acted {ago(seen.now, seen.watched_at)}" if seen.watched_at else "nobody watches"
    yield PLAIN, ""
    style = BAD if is_unwatched(seen) else WARN if seen.alerts else DIM
    spared = [alert.silenced_until for alert in seen.alerts if alert.silenced_until and alert.silenced_until > seen.now]
    silenced = f", {len(spared)} silenced until {stamp(max(spared))} at the latest" if spared else ""
    yield style, f"alerts       {many(len(seen.alerts), 'open', 'open')}, {told} told{silenced}; {acted}"
    if is_unwatched(seen):
        yield HEAD, f"  do     {how_to_wake(seen.waker, WATCH)}"


# --- jobs ------------------------------------------------------------------------------------------------------------


def _jobs(seen: Snapshot) -> Iterator[Line]:
    for found in job_statuses(seen):
        style = BAD if found.state not in CALM else DIM if found.state in (State.OFF, State.UNUSED) else GOOD
        yield PLAIN, ""
        yield style, f"{found.name.ljust(21)} {found.state.upper()}"
        mark = f" [{found.fingerprint}]" if found.fingerprint else ""
        if found.why:
            yield PLAIN, f"  why    {visible(found.why, most=300)}{mark}"
        if found.what_to_do:
            yield HEAD, f"  do     {visible(found.what_to_do, most=300)}"
        if found.state is not State.UNUSED:
            yield from _job_lines(seen, found)


def _job_lines(seen: Snapshot, found: JobStatus) -> Iterator[Line]:
    facts, numbers = found.facts, found.facts.numbers
    tick = f"tick {ago(seen.now, facts.last_tick_at)}" if facts.last_tick_at else "no timer has ever ticked"
    last = "no run yet"
    if facts.last_run:
        run = facts.last_run
        length = f", {span((run.finished_at - run.started_at).total_seconds())}" if run.finished_at else ""
        last = f"last run{by_hand(run)} {run.status}, {ago(seen.now, run.started_at)}{length}"
    whole = about(seen, facts.kind.name).whole
    success = f"success{whole}{by_hand(facts.last_good)} {ago(seen.now, facts.last_success_at)}"
    yield PLAIN, f"  seen   {tick}; {last}; {success}"
    if numbers.runs:
        p50 = f", p50 {span(numbers.p50_s)}" if numbers.p50_s is not None else ""
        p95 = f", p95 {span(numbers.p95_s)}" if numbers.p95_s is not None else ""
        window = span((seen.now - seen.since).total_seconds())
        clean = percent(numbers.clean, numbers.runs)
        failures = facts.consecutive_failures
        streak = f", {many(failures, 'scheduled failure')} in a row" if failures else ""
        yield PLAIN, f"  {window.ljust(6)} {many(numbers.runs, 'run')}, {clean} clean{p50}{p95}{streak}"
    if found.state is not State.RUNNING:
        for run in facts.running:
            words = "running" if run.alive else "dead, its row still says running"
            yield PLAIN, f"  now    run {str(run.run_id)[:8]} on {visible(run.host)}, pid {run.pid}: {words}"
    if facts.holder and not any(run.alive for run in facts.running):
        yield WARN, f"  lock   {visible(facts.holder, most=200)}"
    yield PLAIN, f"  next   {_queue(seen, facts)}"


def _queue(seen: Snapshot, facts: JobFacts) -> str:
    parts = [f"{facts.due} due"]
    if facts.oldest_due_at and facts.oldest_due_at < seen.now:
        parts[0] += f" (oldest {ago(seen.now, facts.oldest_due_at)})"
    if facts.waiting:
        parts.append(f"{facts.waiting} waiting")
    if facts.blocked:
        parts.append(f"{facts.blocked} paused, off or without credentials")
    if facts.next_at:
        parts.append(
            f"next {'retry' if facts.next_is_retry else 'slot'} {stamp(facts.next_at)}, {ago(seen.now, facts.next_at)}"
        )
    return ", ".join(parts)


# --- the rest of the screen ------------------------------------------------------------------------------------------


def _dealerships(seen: Snapshot) -> Iterator[Line]:
    statuses = dealership_statuses(seen)
    if not statuses:
        return
    counts = {standing: sum(1 for found in statuses if found.standing is standing) for standing in Standing}
    yield PLAIN, ""
    summary = ", ".join(f"{number} {standing}" for standing, number in counts.items() if number)
    yield HEAD, f"dealerships  {len(statuses)}: {summary}"
    told = (Standing.PARTIAL, Standing.WARNED, Standing.PAUSED)
    calm = (Standing.FINE, Standing.NEW, Standing.OFF, Standing.NO_CREDENTIALS, *told)
    troubled = [found for found in statuses if found.standing not in calm]
    others = [found for found in statuses if found.standing in told]
    rows = (troubled + others)[:_TROUBLED_MOST]
    advised: set[tuple[Standing, str]] = set()
    for found in rows:
        name = visible(f"{found.facts.id} {found.facts.name}", most=40)
        style = BAD if found.standing in (Standing.SILENT, Standing.FAILING) else WARN
        yield (
            style,
            f"  {name.ljust(28)}  {str(found.standing).ljust(9)}  {visible(found.why or '', most=200)}".rstrip(),
        )
        kind = found.standing, re.sub(r"[0-9a-f]*\d[0-9a-f]*", "N", found.what_to_do or "")
        if found.what_to_do and kind not in advised:  # the others differ in their number only
            advised.add(kind)
            yield HEAD, f"{''.ljust(_INDENT)}do     {visible(found.what_to_do, most=200)}"
    more = len(troubled) + len(others) - len(rows)
    if more > 0:
        yield DIM, f"  ... and {more} more: jobsync status --json, jobsync dealership list"


def _tenants(seen: Snapshot) -> Iterator[Line]:
    tenants = tenants_of(seen)
    if not tenants:
        return
    pending = sum(found.pending for found in tenants)
    rejected = sum(found.rejected for found in tenants)
    attention = many(sum(found.needs_attention for found in tenants), "needs a person", "need a person")
    yield PLAIN, ""
    yield HEAD, f"tenants      {len(tenants)}: {pending} pending, {attention}, {rejected} rejected"
    told = [found for found in tenants if found.needs_attention or found.ride_parked]
    told += [found for found in tenants if not found.takes_part and found not in told]
    for found in told[:_TROUBLED_MOST]:
        name = visible(f"{found.ruc} {found.name}", most=44)
        yield WARN, f"  {name.ljust(44)}  {', '.join(_of_tenant(seen, found))}"
    if len(told) > _TROUBLED_MOST:
        yield DIM, f"  ... and {len(told) - _TROUBLED_MOST} more: jobsync tenant list"
    if rejected:
        yield DIM, "  rejected: for the issuer to correct; jobsync invoice list --status rejected"
    for asks in sri.facts_of(seen).asks:
        if asks.outcome == "all":
            timing = f"p50 {asks.p50_ms:.0f} ms, p95 {asks.p95_ms:.0f} ms" if asks.p50_ms is not None else ""
            yield PLAIN, f"  the SRI answered {asks.asks} times, {timing}"


def _of_tenant(seen: Snapshot, found: Tenant) -> Iterator[str]:
    if not found.takes_part:
        yield f"paused {pause_end(found.paused_until)}" if found.paused else "inactive"
    if found.needs_attention:
        yield f"{many(found.needs_attention, 'needs', 'need')} a person"
    if found.ride_parked:
        yield f"{many(found.ride_parked, 'RIDE')} refused"
    if found.due:
        yield f"{found.due} due, oldest {ago(seen.now, found.oldest_due_at)}"
    if found.pending:
        yield f"{found.pending} pending"
    if found.rejected:
        yield f"{found.rejected} rejected"


def _levels(seen: Snapshot) -> Iterator[Line]:
    levels = [level for level in service_levels(seen) if level.of]
    if not levels:
        return
    yield PLAIN, ""
    yield HEAD, "service levels"
    for level in levels:
        word = "ok" if level.met else f"below {level.target_percent:g} %"
        text = f"  {level.name.ljust(41)} {percent(level.kept, level.of).rjust(7)}  {level.kept} of {level.of}  {word}"
        yield GOOD if level.met else BAD, text


def _failures(seen: Snapshot) -> Iterator[Line]:
    if not seen.failures:
        return
    yield PLAIN, ""
    yield HEAD, f"failures     {many(len(seen.failures), 'kind')}, most frequent first"
    for group in seen.failures[:_FAILURES_MOST]:
        yield PLAIN, f"  {group.times:>5}x  {group.fingerprint}  {group.job}: {visible(group.sample, most=160)}"
        when = f"last {ago(seen.now, group.last_at)}"
        yield DIM, f"          {when}; trace and items: jobsync runs show {str(group.run_id)[:8]}"
    if len(seen.failures) > _FAILURES_MOST:
        yield DIM, f"  ... and {len(seen.failures) - _FAILURES_MOST} more: jobsync status --json"
