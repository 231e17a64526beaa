"""One HTML page that needs nothing else: how the last weeks went, what is wrong now, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any

from jobsync import __version__
from jobsync.easycars.watch import DealershipStatus, Standing, dealership_statuses
from jobsync.jobs import BY_NAME
from jobsync.logs import visible
from jobsync.phrases import ago, many, percent, span, stamp
from jobsync.sri import watch as sri
from jobsync.watch.health import Health
from jobsync.watch.model import CALM, Check, JobStatus, Snapshot, State
from jobsync.watch.snapshot import rows_of
from jobsync.watch.state import job_statuses, service_levels
from jobsync.watch.views.charts import Series, draw_bars, draw_lines, draw_strip
from jobsync.watch.views.json_ import ALL_WELL, headline
from jobsync.watch.views.style import PAGE, STYLE
from jobsync.watch.views.tenants import tenants_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

_STRIP_DAYS = 30
_PROBLEMS_OPEN, _PROBLEMS_MOST = 3, 50
# a command in a sentence ends at a sign, or at the word that goes on with the sentence
_COMMAND = re.compile(
    r"\b(?:jobsync|systemctl|journalctl)(?: (?!(?:says|shows|has|then|tests|lets|and|or|on|to|draws)\b)[^\s;:,()]+)+"
)
_AGES = ("< 1 min", "< 5 min", "< 30 min", "< 2 h", "< 1 d", "older")
_STATES = ("pending_authorization", "authorized", "rejected", "needs_attention", "cancelled")


@dataclass(frozen=True)
class History:
    """What a page shows beyond one look: days, each row with what its statement selects."""

    days: tuple[date, ...]
    runs: tuple[dict[str, Any], ...]
    syncs: Mapping[tuple[int, date], str]
    asks: tuple[dict[str, Any], ...]
    waits: tuple[dict[str, Any], ...]
    states: Mapping[str, int]
    ages: Mapping[str, Sequence[int]]
    bad_runs: tuple[dict[str, Any], ...]
    alerts: tuple[dict[str, Any], ...]


_RUNS = """
    SELECT (started_at AT TIME ZONE 'UTC')::date AS day, job,
           count(*) FILTER (WHERE status IN ('succeeded', 'cancelled')) AS clean,
           count(*) FILTER (WHERE status IN ('partial', 'held')) AS attention,
           count(*) FILTER (WHERE status IN ('failed', 'crashed', 'lock_lost', 'timed_out')) AS failed,
           percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY
               extract(epoch FROM finished_at - started_at)::float8) FILTER (WHERE status <> 'crashed') AS seconds
    FROM job_runs WHERE job = ANY(:jobs) AND started_at BETWEEN :since AND :now AND status <> 'running'
    GROUP BY 1, 2
"""
_SYNCS = """
    SELECT l.dealership_id, (l.synced_at AT TIME ZONE 'UTC')::date AS day,
           max(CASE l.status WHEN 'Success' THEN 4 WHEN 'PartialSuccess' THEN 3 WHEN 'Held' THEN 2 ELSE 1 END) AS best
    FROM dealerships d CROSS JOIN LATERAL (
        SELECT dealership_id, synced_at, status FROM easycar_sync_logs s WHERE s.dealership_id = d.id
        AND s.sync_type = 'stock' AND s.synced_at BETWEEN :since AND :now) l
    GROUP BY 1, 2
"""
_ASKS = """
    SELECT (at AT TIME ZONE 'UTC')::date AS day, kind, count(*) AS asks FROM sri_events
    WHERE at BETWEEN :since AND :now AND duration_ms IS NOT NULL GROUP BY 1, 2
"""
_WAITS = """
    SELECT (at AT TIME ZONE 'UTC')::date AS day,
           percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY duration_ms) AS ms FROM sri_events
    WHERE at BETWEEN :since AND :now AND duration_ms IS NOT NULL GROUP BY 1
"""
_QUEUES = """
    SELECT name, width_bucket(age, ARRAY[60, 300, 1800, 7200, 86400]::float8[]) AS bucket, count(*) AS documents FROM (
        SELECT 'check' AS name, extract(epoch FROM now() - due_since)::float8 AS age FROM due_documents
        UNION ALL
        SELECT 'ride', extract(epoch FROM now() - due_since)::float8 FROM due_rides) due
    GROUP BY 1, 2
"""
_BAD_RUNS = """
    SELECT id AS run_id, job, status, exit_code, trigger, host, started_at, finished_at, error FROM job_runs
    WHERE job = ANY(:jobs) AND started_at BETWEEN :since AND :now
      AND status NOT IN ('running', 'succeeded', 'cancelled') ORDER BY started_at DESC LIMIT 25
"""
_ALERTS = """
    SELECT subject, kind, opened_at, notified_at, silenced_until, closed_at, text FROM alerts
    WHERE closed_at IS NULL OR closed_at >= :since ORDER BY opened_at DESC LIMIT 50
"""


def read_history(connection: Connection, *, now: datetime, since: datetime) -> History:
    """Read the days between two instants: a fixed number of statements."""
    days = _days(since, now)
    jobs = list(BY_NAME)
    words = {4: "Success", 3: "PartialSuccess", 2: "Held", 1: "Failed"}
    strip_since = max(since, now - timedelta(days=_STRIP_DAYS))
    ages: dict[str, list[int]] = {"check": [0] * len(_AGES), "ride": [0] * len(_AGES)}
    for row in rows_of(connection, _QUEUES):
        ages[row["name"]][row["bucket"]] = row["documents"]
    states = rows_of(connection, "SELECT status, count(*) AS documents FROM invoices GROUP BY status")
    return History(
        days=days,
        runs=tuple(rows_of(connection, _RUNS, jobs=jobs, now=now, since=since)),
        syncs={
            (row["dealership_id"], row["day"]): words[row["best"]]
            for row in rows_of(connection, _SYNCS, now=now, since=strip_since)
        },
        asks=tuple(rows_of(connection, _ASKS, now=now, since=since)),
        waits=tuple(rows_of(connection, _WAITS, now=now, since=since)),
        states={row["status"]: row["documents"] for row in states},
        ages=ages,
        bad_runs=tuple(rows_of(connection, _BAD_RUNS, jobs=jobs, now=now, since=since)),
        alerts=tuple(rows_of(connection, _ALERTS, since=since)),
    )


def _days(since: datetime, now: datetime) -> tuple[date, ...]:
    first, last = since.astimezone(UTC).date(), now.astimezone(UTC).date()
    return tuple(first + timedelta(days=number) for number in range((last - first).days + 1))


# --- the page --------------------------------------------------------------------------------------------------------


def say(value: object, *, most: int = 400) -> str:
    """Return text from anywhere as harmless markup."""
    return escape(visible("" if value is None else value, most=most))


def render_report(seen: Snapshot, history: History, health: Health) -> str:
    """Return the whole page."""
    verdict = headline(seen, health)
    css = "bad" if health.problems else "good" if verdict == ALL_WELL else "warn"
    body = [
        _header(seen, verdict, css),
        _problems(health),
        _levels(seen),
        *(_job(seen, history, status) for status in job_statuses(seen)),
        _dealerships(seen, history),
        _documents(seen, history),
        _failures(seen),
        _bad_runs(history),
        _alerts(seen, history),
        _footer(),
    ]
    return PAGE.format(title=f"jobsync: {verdict}", style=STYLE, body="\n".join(filter(None, body)))


def _header(seen: Snapshot, verdict: str, css: str) -> str:
    when = f"{seen.now:%Y-%m-%d %H:%M:%S} UTC, the last {span((seen.now - seen.since).total_seconds())}"
    pill = f'<p class="pill {css}">{say(verdict)}</p>'
    return f"<header><h1>jobsync</h1>{pill}<p class=meta>{say(seen.database)} at {when}</p></header>"


def _footer() -> str:
    same = "The same on a terminal: <code>jobsync status</code>, <code>jobsync health</code>."
    return f"<footer>jobsync {say(__version__)}. {same}</footer>"


def _problems(health: Health) -> str:
    if not health.problems and not health.notes:
        return ""
    cards = "".join(_problem_group(check) for check in health.checks if check.problems)
    notes = "".join(f"<li>{say(note)}</li>" for note in health.notes)
    notes = f"<ul class=notes>{notes}</ul>" if notes else ""
    head = "<h2>Needs a person</h2>" if health.problems else ""
    return f"<section>{head}<ul class=cards>{cards}</ul>{notes}</section>"


def _problem_group(check: Check) -> str:
    """Return a check's problems: the first three, the others folded."""
    cards = [
        f'<li class="card bad"><p>{say(problem.text)}</p><p class=do><b>do</b> {_code(problem.what_to_do)}</p></li>'
        for problem in check.problems[:_PROBLEMS_MOST]
    ]
    left_out = len(check.problems) - len(cards)
    if left_out > 0:
        cards.append(f"<li class=meta>and {left_out} more: <code>jobsync health --json</code></li>")
    if len(cards) <= _PROBLEMS_OPEN + 1:
        return "".join(cards)
    first, rest = "".join(cards[:_PROBLEMS_OPEN]), "".join(cards[_PROBLEMS_OPEN:])
    words = f"{len(check.problems) - _PROBLEMS_OPEN} more: {check.asked}"
    return f"{first}<li><details><summary>{say(words)}</summary><ul class=cards>{rest}</ul></details></li>"


def _code(words: str) -> str:
    """Return advice with its commands set apart."""
    parts, end = [], 0
    for found in _COMMAND.finditer(words):
        parts += [say(words[end : found.start()]) or "", f"<code>{say(found[0])}</code>"]
        end = found.end()
        parts.append(" " if words[end : end + 1] == " " else "")
    joined = "".join([*parts, say(words[end:])])
    return joined.replace("</code>;<code>", "</code>; <code>").replace("</code><code>", "</code> <code>")


def _levels(seen: Snapshot) -> str:
    tiles = []
    for level in service_levels(seen):
        css = "none" if level.met is None else "good" if level.met else "bad"
        words = "nothing to measure" if level.met is None else f"{level.kept:,} of {level.of:,}, at least"
        target = "" if level.met is None else f" {level.target_percent:g} %"
        tiles.append(
            f'<li class="tile {css}"><b>{percent(level.kept, level.of)}</b><span>{say(level.name)}</span>'
            f"<small>{words}{target}</small></li>"
        )
    return f"<section><h2>Service levels</h2><ul class=tiles>{''.join(tiles)}</ul></section>"


_LEGEND = {
    "runs": (("clean", "clean"), ("attention", "partial or held"), ("failed", "failed")),
    "seconds": (("p50", "half of the runs within"), ("p95", "95 % within")),
}


def _legend(entries: Iterable[tuple[str, str]]) -> str:
    return (
        "<p class=legend>" + "".join(f'<span><i class="{css}"></i>{say(name)}</span>' for css, name in entries) + "</p>"
    )


def _job(seen: Snapshot, history: History, status: JobStatus) -> str:
    facts, numbers = status.facts, status.facts.numbers
    if status.state is State.UNUSED:
        return f"<section><h2>{say(status.name)} <span class='pill none'>not in use</span></h2></section>"
    css = "bad" if status.state not in CALM else "none" if status.state is State.OFF else "good"
    lines = [f'<h2>{say(status.name)} <span class="pill {css}">{say(status.state)}</span></h2>']
    if status.why:
        lines.append(f"<p>{say(status.why)}</p>")
    if status.what_to_do:
        lines.append(f"<p class=do><b>do</b> {_code(status.what_to_do)}</p>")
    times = [
        ("last tick", ago(seen.now, facts.last_tick_at)),
        ("last success", ago(seen.now, facts.last_success_at)),
        ("runs", f"{numbers.runs:,}, {percent(numbers.clean, numbers.runs)} clean"),
        ("due now", f"{facts.due:,}"),
    ]
    if numbers.p95_s is not None and numbers.p50_s is not None:
        times.append(("duration", f"p50 {span(numbers.p50_s)}, p95 {span(numbers.p95_s)}"))
    if facts.next_at:
        times.append(("next retry" if facts.next_is_retry else "next slot", stamp(facts.next_at)))
    lines.append(_facts(times))
    rows = {row["day"]: row for row in history.runs if row["job"] == status.name}
    if rows:
        labels = _labels(history.days)
        lines.append("<div class=pair>")
        lines.append(
            _figure(
                "runs a day",
                draw_bars(
                    labels,
                    [
                        Series("clean", "clean", [_of(rows, day, "clean") for day in history.days]),
                        Series("partial or held", "attention", [_of(rows, day, "attention") for day in history.days]),
                        Series("failed", "failed", [_of(rows, day, "failed") for day in history.days]),
                    ],
                    title=f"{status.name}: runs a day",
                ),
                _LEGEND["runs"],
            )
        )
        lines.append(
            _figure(
                "duration of a run",
                draw_lines(
                    labels,
                    [
                        Series("p50", "p50", [_quantile(rows, day, "seconds", 0) for day in history.days]),
                        Series("p95", "p95", [_quantile(rows, day, "seconds", 1) for day in history.days]),
                    ],
                    title=f"{status.name}: seconds a run",
                    unit=" s",
                ),
                _LEGEND["seconds"],
            )
        )
        lines.append("</div>")
    return f"<section>{''.join(lines)}</section>"


def _of(rows: Mapping[date, Mapping[str, Any]], day: date, name: str) -> float | None:
    return rows[day][name] if day in rows else None


def _quantile(rows: Mapping[date, Mapping[str, Any]], day: date, name: str, at: int) -> float | None:
    values = rows[day][name] if day in rows else None
    return values[at] if values else None


def _labels(days: Sequence[date]) -> list[str]:
    return [f"{day:%d %b}" for day in days]


def _figure(words: str, chart: str, legend: Iterable[tuple[str, str]] = ()) -> str:
    entries = list(legend)
    return f"<figure><figcaption>{say(words)}{_legend(entries) if entries else ''}</figcaption>{chart}</figure>"


def _facts(pairs: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<div><dt>{say(name)}</dt><dd>{say(value)}</dd></div>" for name, value in pairs) + "</dl>"


_STRIP = {"Success": "clean", "PartialSuccess": "attention", "Held": "attention", "Failed": "failed"}
_STANDING_CSS = {
    Standing.SILENT: "bad",
    Standing.FAILING: "bad",
    Standing.HELD: "warn",
    Standing.RETRYING: "warn",
    Standing.PARTIAL: "warn",
    Standing.WARNED: "warn",
    Standing.FINE: "good",
}


def _dealerships(seen: Snapshot, history: History) -> str:
    statuses = dealership_statuses(seen)
    if not statuses:
        return ""
    troubled = [each for each in statuses if each.standing in _STANDING_CSS and each.standing is not Standing.FINE]
    others = [each for each in statuses if each not in troubled]
    counts = ", ".join(
        f"{number} {standing}"
        for standing in Standing
        if (number := sum(1 for each in statuses if each.standing is standing))
    )
    rows = "".join(_dealership(seen, history, each) for each in troubled)
    rest = "".join(_dealership(seen, history, each) for each in others)
    folded = (
        f"<details><summary>{many(len(others), 'other')}</summary><ul class='rows dealerships'>{rest}</ul></details>"
        if others
        else ""
    )
    legend = _legend(
        (("clean", "success"), ("attention", "partial or held"), ("failed", "failed"), ("none", "no sync"))
    )
    words = f"{len(statuses)}: {say(counts)}. A square a day, the latest to the right."
    head = f"<h2>Dealerships</h2><p class=meta>{words}</p>{legend}"
    return f"<section>{head}<ul class='rows dealerships'>{rows}</ul>{folded}</section>"


def _dealership(seen: Snapshot, history: History, status: DealershipStatus) -> str:
    found = status.facts
    days = history.days[-_STRIP_DAYS:]
    marks = [history.syncs.get((found.id, day)) for day in days]
    strip = draw_strip([_STRIP.get(mark) if mark else None for mark in marks], title=_strip_words(days, marks))
    css = _STANDING_CSS.get(status.standing, "none")
    why = f"<p>{say(status.why)}</p>" if status.why else ""
    is_troubled = css in ("bad", "warn")
    what = f"<p class=do><b>do</b> {_code(status.what_to_do)}</p>" if status.what_to_do and is_troubled else ""
    return (
        f"<li><div class=name><b>{say(found.id)}</b> {say(found.name, most=80)}</div>"
        f'<span class="pill {css}">{say(status.standing)}</span>{strip}'
        f"<small>success {say(ago(seen.now, found.last_success_at))}</small>{why}{what}</li>"
    )


def _strip_words(days: Sequence[date], marks: Sequence[str | None]) -> str:
    failed = [f"{day:%d %b}" for day, mark in zip(days, marks, strict=True) if mark == "Failed"]
    good = sum(1 for mark in marks if mark == "Success")
    words = f"{good} of the last {len(days)} days a success"
    return f"{words}; failed on {', '.join(failed)}" if failed else words


_OUTCOMES = (
    ("authorized", "clean"),
    ("pending", "waiting"),
    ("rejected", "attention"),
    ("needs_attention", "held"),
    ("fault", "failed"),
)


def _documents(seen: Snapshot, history: History) -> str:
    if not sri.facts_of(seen).tenants and not history.states:
        return ""
    parts = ["<h2>Documents and the SRI</h2>"]
    parts += [
        f'<p class="card bad">{say(host.host)} {host.trouble} since {stamp(host.opened_at)}</p>'
        for host in sri.facts_of(seen).hosts
        if host.opened_at and host.behind
    ]
    known = [(state.replace("_", " "), f"{history.states[state]:,}") for state in _STATES if state in history.states]
    parts.append(_facts(known))
    labels = _labels(history.days)
    if history.asks:
        by_day = {(row["day"], row["kind"]): row["asks"] for row in history.asks}
        kinds = [(kind, css) for kind, css in _OUTCOMES if any(row["kind"] == kind for row in history.asks)]
        series = [
            Series(kind.replace("_", " "), css, [by_day.get((day, kind)) for day in history.days])
            for kind, css in kinds
        ]
        legend = [(css, kind.replace("_", " ")) for kind, css in kinds]
        parts.append("<div class=pair>")
        parts.append(_figure("answers a day", draw_bars(labels, series, title="answers of the SRI a day"), legend))
        waits = {row["day"]: row for row in history.waits}
        lines = [
            Series("p50", "p50", [_quantile(waits, day, "ms", 0) for day in history.days]),
            Series("p95", "p95", [_quantile(waits, day, "ms", 1) for day in history.days]),
        ]
        chart = draw_lines(labels, lines, title="milliseconds an answer takes", unit=" ms")
        parts.append(_figure("time the SRI takes to answer", chart, (("p50", "half within"), ("p95", "95 % within"))))
        parts.append("</div>")
    parts.append("<div class=pair>")
    for name, words in (("check", "due documents by how long they wait"), ("ride", "RIDEs by how long they wait")):
        if any(history.ages[name]):
            chart = draw_bars(list(_AGES), [Series("documents", "waiting", list(history.ages[name]))], title=words)
            parts.append(_figure(words, chart))
    parts.append("</div>")
    parts.append(_tenants(seen))
    return f"<section>{''.join(parts)}</section>"


def _tenants(seen: Snapshot) -> str:
    rows = []
    for found in tenants_of(seen):
        numbers = [
            (found.needs_attention, "needs a person" if found.needs_attention == 1 else "need a person"),
            (found.ride_parked, "RIDE refused"),
            (found.due, "due"),
            (found.pending, "pending"),
            (found.rejected, "rejected"),
        ]
        words = ", ".join(f"{number:,} {name}" for number, name in numbers if number) or "nothing open"
        css = "bad" if found.needs_attention or found.ride_parked else "good"
        rows.append(
            f"<li><div class=name><b>{say(found.ruc)}</b> {say(found.name, most=80)}</div>"
            f'<span class="pill {css}">{"look" if css == "bad" else "fine"}</span><small>{say(words)}</small></li>'
        )
    first, rest = "".join(rows[:12]), "".join(rows[12:])
    folded = f"<details><summary>{len(rows) - 12} more</summary><ul class=rows>{rest}</ul></details>" if rest else ""
    return f"<h3>Tenants</h3><ul class=rows>{first}</ul>{folded}" if rows else ""


def _failures(seen: Snapshot) -> str:
    if not seen.failures:
        return ""
    rows = "".join(
        f"<li><div class=name><b>{group.times:,}×</b> {say(group.job)} <code>{say(group.fingerprint)}</code></div>"
        f"<small>{stamp(group.first_at)} to {stamp(group.last_at)}</small><p>{say(group.sample)}</p>"
        f"<p class=do><b>do</b> <code>jobsync runs show {say(str(group.run_id)[:8])}</code></p></li>"
        for group in seen.failures[:25]
    )
    more = len(seen.failures) - 25
    rest = f"<p class=meta>and {more} more kinds</p>" if more > 0 else ""
    words = "Grouped by what is the same in their texts; numbers, ids and quoted pieces are left out."
    return f"<section><h2>Failures</h2><p class=meta>{words}</p><ul class=rows>{rows}</ul>{rest}</section>"


def _bad_runs(history: History) -> str:
    if not history.bad_runs:
        return ""
    rows = "".join(
        f"<li><div class=name><code>{say(str(row['run_id'])[:8])}</code> {say(row['job'])}</div>"
        f'<span class="pill {"warn" if row["status"] in ("partial", "held") else "bad"}">{say(row["status"])}</span>'
        f"<small>{stamp(row['started_at'])}, {say(row['trigger'])} on {say(row['host'], most=60)}</small>"
        f"{'<p>' + say(row['error']) + '</p>' if row['error'] else ''}</li>"
        for row in history.bad_runs
    )
    folded = f"<details><summary>{many(len(history.bad_runs), 'run')}</summary><ul class=rows>{rows}</ul></details>"
    return f"<section><h2>Latest runs that were not clean</h2>{folded}</section>"


def _alerts(seen: Snapshot, history: History) -> str:
    if not history.alerts:
        return ""
    rows = "".join(_alert(seen, row) for row in history.alerts)
    return f"<section><h2>Alerts</h2><ul class=rows>{rows}</ul></section>"


def _alert(seen: Snapshot, row: Mapping[str, Any]) -> str:
    css, word = ("none", "over") if row["closed_at"] else ("bad", "open")
    told = "" if row["notified_at"] else ", not told"
    if not row["closed_at"] and row["silenced_until"] and row["silenced_until"] > seen.now:
        told += f", silenced until {stamp(row['silenced_until'])}"
    return (
        f"<li><div class=name>{say(row['text'] or row['subject'], most=300)}</div>"
        f'<span class="pill {css}">{word}</span>'
        f"<small>{stamp(row['opened_at'])}, {_lasted(seen, row)}{told}</small></li>"
    )


def _lasted(seen: Snapshot, row: Mapping[str, Any]) -> str:
    seconds = ((row["closed_at"] or seen.now) - row["opened_at"]).total_seconds()
    return f"{'lasted' if row['closed_at'] else 'for'} {span(max(0, int(seconds)))}"
