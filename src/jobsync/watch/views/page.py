"""One HTML page that needs nothing else: how the last weeks went, what is wrong now, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any

from jobsync import __version__
from jobsync.jobs import BY_NAME
from jobsync.logs import visible
from jobsync.phrases import ago, many, percent, span, stamp
from jobsync.watch.health import Health
from jobsync.watch.model import (
    CALM,
    Chart,
    Check,
    Days,
    JobStatus,
    Past,
    Row,
    Section,
    Series,
    Severity,
    Snapshot,
    State,
    Unit,
    Watched,
)
from jobsync.watch.sections import read_past, sections_of
from jobsync.watch.snapshot import rows_of
from jobsync.watch.state import job_statuses, service_levels
from jobsync.watch.views.charts import draw_bars, draw_lines, draw_strip
from jobsync.watch.views.json_ import ALL_WELL, headline
from jobsync.watch.views.style import PAGE, STYLE

if TYPE_CHECKING:
    from sqlalchemy import Connection

_STRIP_DAYS = 30
_PROBLEMS_OPEN, _PROBLEMS_MOST = 3, 50
# a command in a sentence ends at a sign, or at the word that goes on with the sentence
_COMMAND = re.compile(
    r"\b(?:jobsync|systemctl|journalctl)(?: (?!(?:says|shows|has|then|tests|lets|and|or|on|to|draws)\b)[^\s;:,()]+)+"
)


@dataclass(frozen=True)
class History:
    """What a page shows beyond one look: days, each row with what its statement selects."""

    days: Days
    runs: tuple[dict[str, Any], ...]
    sections: Mapping[str, Past]
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
_BAD_RUNS = """
    SELECT id AS run_id, job, status, exit_code, trigger, host, started_at, finished_at, error FROM job_runs
    WHERE job = ANY(:jobs) AND started_at BETWEEN :since AND :now
      AND status NOT IN ('running', 'succeeded', 'cancelled') ORDER BY started_at DESC LIMIT 25
"""
_ALERTS = """
    SELECT subject, kind, opened_at, notified_at, closed_at, details->>'text' AS text FROM alerts
    WHERE closed_at IS NULL OR closed_at >= :since ORDER BY opened_at DESC LIMIT 50
"""


def read_history(connection: Connection, watched: Sequence[Watched], *, now: datetime, since: datetime) -> History:
    """Read the days between two instants: a fixed number of statements."""
    first, last = since.astimezone(UTC).date(), now.astimezone(UTC).date()
    days = Days(since, now, tuple(first + timedelta(days=number) for number in range((last - first).days + 1)))
    jobs = list(BY_NAME)
    return History(
        days=days,
        runs=tuple(rows_of(connection, _RUNS, jobs=jobs, now=now, since=since)),
        sections=read_past(connection, watched, days),
        bad_runs=tuple(rows_of(connection, _BAD_RUNS, jobs=jobs, now=now, since=since)),
        alerts=tuple(rows_of(connection, _ALERTS, since=since)),
    )


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
        *(_section(seen, history, section) for section in sections_of(seen)),
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
        labels, days = history.days.labels, history.days.days
        bars = (
            Series(words, css, [_of(rows, day, css) for day in days])
            for css, words in (("clean", "clean"), ("attention", "partial or held"), ("failed", "failed"))
        )
        waits = (
            Series(words, css, [_quantile(rows, day, "seconds", at) for day in days])
            for at, (css, words) in enumerate((("p50", "half of the runs within"), ("p95", "95 % within")))
        )
        charts = (
            Chart(f"{status.name}: runs a day", labels, tuple(bars)),
            Chart(f"{status.name}: duration of a run", labels, tuple(waits), unit=" s", lines=True),
        )
        lines.append(_charts(charts))
    return f"<section>{''.join(lines)}</section>"


def _of(rows: Mapping[date, Mapping[str, Any]], day: date, name: str) -> float | None:
    return rows[day][name] if day in rows else None


def _quantile(rows: Mapping[date, Mapping[str, Any]], day: date, name: str, at: int) -> float | None:
    values = rows[day][name] if day in rows else None
    return values[at] if values else None


def _charts(charts: Sequence[Chart]) -> str:
    return f"<div class=pair>{''.join(map(_figure, charts))}</div>" if charts else ""


def _figure(chart: Chart) -> str:
    draw = draw_lines if chart.lines else draw_bars
    drawn = draw(chart.labels, chart.series, title=chart.title, unit=chart.unit)
    legend = _legend((each.css, each.name) for each in chart.series) if len(chart.series) > 1 else ""
    return f"<figure><figcaption>{say(chart.title)}{legend}</figcaption>{drawn}</figure>"


def _facts(pairs: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<div><dt>{say(name)}</dt><dd>{say(value)}</dd></div>" for name, value in pairs) + "</dl>"


_CSS = {Severity.BAD: "bad", Severity.ATTENTION: "warn", Severity.OK: "good"}
_SQUARES = {Severity.OK: "clean", Severity.ATTENTION: "attention", Severity.BAD: "failed"}
_SQUARE_WORDS = (("clean", "success"), ("attention", "partial or held"), ("failed", "failed"), ("none", "nothing"))


def _section(seen: Snapshot, history: History, section: Section) -> str:
    if not section.title or not section.rows:
        return ""
    past = history.sections.get(section.name, Past())
    troubled = [row for row in section.rows if row.severity in (Severity.BAD, Severity.ATTENTION)]
    others = [row for row in section.rows if row not in troubled]
    squares = " A square a day, the latest to the right." if past.squares else ""
    css = "rows squares" if past.squares else "rows"
    parts = [
        f"<h2>{say(section.title)}</h2>",
        f"<p class=meta>{len(section.rows)}: {say(section.summary)}.{squares}</p>",
        _legend(_SQUARE_WORDS) if past.squares else "",
        _facts([(name, f"{number:,}") for name, number in past.totals]) if past.totals else "",
        _charts(past.charts),
        f"<ul class='{css}'>{''.join(_row(seen, history, section, row) for row in troubled)}</ul>",
    ]
    if others:
        rest = "".join(_row(seen, history, section, row) for row in others)
        words = many(len(others), "other")
        parts.append(f"<details><summary>{words}</summary><ul class='{css}'>{rest}</ul></details>")
    parts += [f"<p class=meta>{say(note)}</p>" for note in section.notes]
    return f"<section>{''.join(parts)}</section>"


def _row(seen: Snapshot, history: History, section: Section, row: Row) -> str:
    squares = history.sections.get(section.name, Past()).squares
    days = history.days.days[-_STRIP_DAYS:]
    marks = [squares.get(row.key, {}).get(day) for day in days]
    strip = draw_strip([_SQUARES.get(mark) if mark else None for mark in marks], title=_strip_words(days, marks))
    is_troubled = row.severity in (Severity.BAD, Severity.ATTENTION)
    why = f"<p>{say(row.why)}</p>" if row.why else ""
    what = f"<p class=do><b>do</b> {_code(row.what_to_do)}</p>" if row.what_to_do and is_troubled else ""
    return (
        f"<li><div class=name><b>{say(row.name, most=100)}</b></div>"
        f'<span class="pill {_CSS.get(row.severity, "none")}">{say(row.state)}</span>{strip if squares else ""}'
        f"<small>{say(', '.join(_told(seen, section, row)))}</small>{why}{what}</li>"
    )


def _told(seen: Snapshot, section: Section, row: Row) -> Iterator[str]:
    """What a person is told of a row's columns."""
    for column in section.columns:
        value = row.cells[column.name]
        if column.noun and column.unit is Unit.INSTANT:
            yield f"{column.noun} {ago(seen.now, value)}"
        elif column.noun and column.unit is Unit.COUNT and value:
            yield many(value, column.noun, column.nouns)


def _strip_words(days: Sequence[date], marks: Sequence[Severity | None]) -> str:
    failed = [f"{day:%d %b}" for day, mark in zip(days, marks, strict=True) if mark is Severity.BAD]
    good = sum(1 for mark in marks if mark is Severity.OK)
    words = f"{good} of the last {len(days)} days a success"
    return f"{words}; failed on {', '.join(failed)}" if failed else words


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
    return (
        f"<li><div class=name>{say(row['text'] or row['subject'], most=300)}</div>"
        f'<span class="pill {css}">{word}</span>'
        f"<small>{stamp(row['opened_at'])}, {_lasted(seen, row)}{told}</small></li>"
    )


def _lasted(seen: Snapshot, row: Mapping[str, Any]) -> str:
    seconds = ((row["closed_at"] or seen.now) - row["opened_at"]).total_seconds()
    return f"{'lasted' if row['closed_at'] else 'for'} {span(max(0, int(seconds)))}"
