"""One HTML page that needs nothing else: how the last weeks went, what is wrong now, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from markupsafe import Markup
from sqlalchemy import Connection, or_, select

from jobsync import __version__
from jobsync.db.jsonb import as_counts, as_object
from jobsync.db.statements import rows_of
from jobsync.db.tables import alerts
from jobsync.errors import UsageProblem
from jobsync.jobs import BY_NAME
from jobsync.phrases import ago, many, percent, span, stamp
from jobsync.runner.job import Counts
from jobsync.watch import model
from jobsync.watch.health import Health
from jobsync.watch.model import Chart, Days, JobFacts, Past, Row, Section, Series, Severity, Snapshot, State
from jobsync.watch.sections import read_past, sections_of, told
from jobsync.watch.state import job_statuses, next_turn, service_levels
from jobsync.watch.views.charts import draw, draw_strip
from jobsync.watch.views.json_ import ALL_WELL, headline
from jobsync.watch.views.templates import render

_STRIP_DAYS = 30
_HOURS = 48
_ALERTS_MOST = 50
_RUNS_OF_A_JOB, _BAD_RUNS_OF_A_JOB, _ITEMS_OF_A_RUN = 20, 15, 25


@dataclass(frozen=True)
class PageHistory:
    """What a page shows beyond one look."""

    days: Days  # those since the first run, or since the window began
    charts: Mapping[str, Sequence[Chart]]  # by job; those by the hour go back two days
    sections: Mapping[str, Past]
    runs: tuple[dict[str, Any], ...]  # the latest of each job, and the latest that were not clean, with their items
    alerts: tuple[dict[str, Any], ...]
    moments: tuple[model.Moment, ...] = ()  # what happened to the one row that the page is about


_FIRST_RUN = """
    SELECT min(r.started_at) AS at FROM unnest(CAST(:jobs AS text[])) AS wanted (name) CROSS JOIN LATERAL (
        SELECT started_at FROM job_runs r WHERE r.job = wanted.name ORDER BY started_at LIMIT 1) r
"""
# by the day, and by the hour since `recent`
_BY_SLOT = """
    SELECT job, day, hour,
           count(*) FILTER (WHERE status IN ('succeeded', 'cancelled')) AS clean,
           count(*) FILTER (WHERE status IN ('partial', 'held')) AS attention,
           count(*) FILTER (WHERE status IN ('failed', 'crashed', 'lock_lost', 'timed_out')) AS failed,
           percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY
               extract(epoch FROM finished_at - started_at)::float8) FILTER (WHERE status <> 'crashed') AS seconds
    FROM (SELECT job, status, started_at, finished_at, date_trunc('day', started_at AT TIME ZONE 'UTC') AS day,
                 CASE WHEN started_at >= :recent THEN date_trunc('hour', started_at AT TIME ZONE 'UTC') END AS hour
          FROM job_runs
          WHERE job = ANY(:jobs) AND started_at BETWEEN :since AND :now AND status <> 'running') runs
    GROUP BY GROUPING SETS ((job, day), (job, hour))
"""
_RUN = "id AS run_id, job, status, exit_code, trigger, host, started_at, finished_at, counts, error"
_RUNS = f"""
    SELECT r.*, (SELECT count(*) FROM job_items i WHERE i.run_id = r.run_id) AS items_all, (
        SELECT jsonb_agg(i) FROM (
            SELECT item_key, label, status, attempt, duration_ms, counts, error FROM job_items
            WHERE run_id = r.run_id
            ORDER BY array_position(ARRAY['crashed', 'failed', 'held', 'partial', 'running', 'skipped'], status), id
            LIMIT {_ITEMS_OF_A_RUN}) i) AS items
    FROM unnest(CAST(:jobs AS text[])) AS wanted (name) CROSS JOIN LATERAL (
        (SELECT {_RUN} FROM job_runs WHERE job = wanted.name AND started_at BETWEEN :since AND :now
         ORDER BY started_at DESC LIMIT {_RUNS_OF_A_JOB})
        UNION
        (SELECT {_RUN} FROM job_runs WHERE job = wanted.name AND started_at BETWEEN :since AND :now
         AND status NOT IN ('running', 'succeeded', 'cancelled')
         ORDER BY started_at DESC LIMIT {_BAD_RUNS_OF_A_JOB})) r
    ORDER BY r.started_at DESC
"""


def read_history(connection: Connection, seen: Snapshot, *, about: tuple[Section, Row] | None = None) -> PageHistory:
    """Read the days of a window, and what happened to the one row that the page is about: fixed statements."""
    now, since = seen.now, seen.since
    window = {"jobs": [*BY_NAME], "now": now, "since": since}
    [first] = rows_of(connection, _FIRST_RUN, window)
    known = min(now, max(since, first["at"] or since))
    days = Days(since, now, _days(known.astimezone(UTC).date(), now))
    recent = max(known, now - timedelta(hours=_HOURS))
    runs = rows_of(connection, _BY_SLOT, window, recent=recent)
    open_or_lately = or_(alerts.c.closed_at.is_(None), alerts.c.closed_at >= since)
    shown = select(alerts).where(open_or_lately).order_by(alerts.c.opened_at.desc(), alerts.c.id).limit(_ALERTS_MOST)
    return PageHistory(
        days=days,
        charts={job: _charts([row for row in runs if row["job"] == job], known, recent, now) for job in BY_NAME},
        sections=read_past(connection, seen.watched, days),
        runs=tuple(rows_of(connection, _RUNS, window)),
        alerts=tuple(rows_of(connection, shown)),
        moments=tuple(
            moment
            for each in seen.watched
            for moment in (each.lately(connection, about[0].name, about[1], days) if about else ())
        ),
    )


def _days(first: date, now: datetime) -> tuple[date, ...]:
    last = now.astimezone(UTC).date()
    return tuple(first + timedelta(days=number) for number in range((last - first).days + 1))


_BARS = (("clean", "clean"), ("attention", "partial or held"), ("failed", "failed"))


def _charts(rows: Sequence[dict[str, Any]], known: datetime, recent: datetime, now: datetime) -> list[Chart]:
    """Return how many runs of a job there were by day and by hour, then how long they took; nothing if none was."""
    day, hour = timedelta(days=1), timedelta(hours=1)
    bars, times = [], []
    for unit, since, step, words, form in (
        ("day", known.astimezone(UTC).replace(hour=0), day, "by the day", "%d %b"),
        ("hour", recent.astimezone(UTC), hour, "by the hour, two days", "%a %H:00"),
    ):
        first = since.replace(minute=0, second=0, microsecond=0, tzinfo=None)
        last = now.astimezone(UTC).replace(tzinfo=None)
        slots = [first + step * number for number in range((last - first) // step + 1)]
        by_slot = {row[unit]: row for row in rows if row[unit]}
        found = [by_slot.get(slot, {}) for slot in slots]
        labels = [f"{slot:{form}}" for slot in slots]
        series = (Series(name, css, [row.get(css) for row in found]) for css, name in _BARS)
        bars.append(Chart(f"runs {words}", labels, tuple(series)))
        seconds = [row.get("seconds") or () for row in found]
        times.append(model.chart_of_times(f"seconds a run took, {words}", labels, seconds, " s"))
    return [*bars, *times] if rows else []


# in the order of Severity
_CSS = dict(zip(Severity, ("bad", "warn", "none", "good", "none"), strict=True))
_TROUBLED = (Severity.BAD, Severity.ATTENTION)
_SQUARES = {Severity.OK: "clean", Severity.ATTENTION: "attention", Severity.BAD: "failed"}
# of runs and of items
_STATUS = {
    **dict.fromkeys(("succeeded", "success"), Severity.OK),
    **dict.fromkeys(("partial", "held", "timed_out"), Severity.ATTENTION),
    **dict.fromkeys(("failed", "crashed", "lock_lost"), Severity.BAD),
}


def find_row(seen: Snapshot, subject: str, listing: str) -> tuple[Section, Row]:
    """Return the row that problems with this subject are about, with its section; UsageProblem if there is none."""
    for section in sections_of(seen):
        for row in section.rows:
            if section.title and row.subject == subject:
                return section, row
    raise UsageProblem(f"no {subject}; {listing} has them")


def render_report(
    seen: Snapshot, history: PageHistory, health: Health, *, about: tuple[Section, Row] | None = None
) -> Markup:
    """Return the whole page, or that about one row of a section."""
    section, row = about or (None, None)
    verdict = row.name if row else headline(seen, health)
    checks = [
        (check.asked, [each for each in check.problems if row is None or each.subject == row.subject])
        for check in health.checks
    ]
    return render(
        "one.html" if row else "report.html",
        now=seen.now,
        seen=seen,
        title=f"jobsync: {verdict}",
        verdict=verdict,
        css="bad" if health.problems else "good" if verdict == ALL_WELL else "warn",
        window=(seen.now - seen.since).total_seconds(),
        checks=[(asked, problems) for asked, problems in checks if problems],
        notes=health.notes,
        levels=service_levels(seen),
        jobs=job_statuses(seen),
        sections=[
            (each, history.sections.get(each.name, Past())) for each in sections_of(seen) if each.title and each.rows
        ],
        runs=[(name, [run for run in history.runs if run["job"] == name]) for name in BY_NAME],
        alerts=[alert for alert in history.alerts if row is None or alert["subject"] == row.subject],
        section=section,
        row=row,
        past=history.sections.get(section.name, Past()) if section else Past(),
        moments=history.moments,
        version=__version__,
        draw=draw,
        charts=history.charts,
        numbers=_numbers,
        squares=partial(_squares, history),
        times=partial(_times, seen),
        told=partial(told, now=seen.now),
        told_to=_told_to,
        unused=State.UNUSED,
        css_of=_CSS,
        troubled=_TROUBLED,
        status_of=_STATUS,
    )


def _times(seen: Snapshot, facts: JobFacts) -> Iterator[tuple[str, str]]:
    yield "last tick", ago(seen.now, facts.last_tick_at)
    yield "last success", ago(seen.now, facts.last_success_at)
    yield "runs", f"{facts.runs:,}, {percent(facts.clean, facts.runs)} clean"
    yield "due now", f"{facts.due:,}"
    if facts.p95_s is not None and facts.p50_s is not None:
        yield "duration", f"p50 {span(facts.p50_s)}, p95 {span(facts.p95_s)}"
    if facts.next_at:
        yield next_turn(seen, facts), stamp(facts.next_at)


def _squares(history: PageHistory, past: Past, row: Row) -> Markup:
    """Return a square for each day of a row."""
    first = min((day for known in past.squares.values() for day in known), default=history.days.days[0])
    days = _days(min(first, history.days.days[0]), history.days.now)[-_STRIP_DAYS:]
    known = past.squares.get(row.key, {})
    good, failed = [[day for day in days if known.get(day) is how] for how in (Severity.OK, Severity.BAD)]
    words = f"{len(good)} of the last {many(len(days), 'day')} a success"
    words += f"; failed on {', '.join(f'{day:%d %b}' for day in failed)}" if failed else ""
    return draw_strip([_SQUARES.get(known[day]) if day in known else None for day in days], title=words)


def _numbers(counts: object) -> str:
    """Return the counts of a run or an item that are more than nothing: `3 eligible, 2 succeeded`."""
    known = as_counts(counts)
    told = {name: known[name] for name in (*vars(Counts()), *known) if known.get(name)}
    return ", ".join(f"{number:,} {name}" for name, number in told.items())


def _told_to(alert: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return when each channel was told what of an alert."""
    details = as_object(alert["details"])
    told = {"opened": alert["told"], "reminded": details.get("reminded"), "closed": details.get("ended")}
    return sorted(
        (str(at)[:16].replace("T", " ") + "Z", channel, phase)
        for phase, channels in told.items()
        for channel, at in as_object(channels).items()
    )
