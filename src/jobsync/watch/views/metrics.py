"""The same facts as Prometheus' metrics, in its text format, for node_exporter's textfile collector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import accumulate
from math import inf
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from jobsync import __version__
from jobsync.jobs import BY_NAME
from jobsync.logs import visible
from jobsync.runner.job import RunStatus
from jobsync.runner.totals import BOUNDS_S, RESULTS, Totals
from jobsync.watch.health import Health
from jobsync.watch.model import JobFacts, Snapshot, Unit
from jobsync.watch.sections import sections_of
from jobsync.watch.state import service_levels

Sample = tuple[Mapping[str, object], float | None]
_FAILURES_MOST = 50
_LES = (*BOUNDS_S, inf)


def render_metrics(seen: Snapshot, health: Health, totals: Totals) -> str:
    """Return every metric; an unknown value is left out."""
    return _text([*_whole(seen, health), *_jobs(seen), *_totals(totals), *_sections(seen)])


def render_away() -> str:
    """Return what is true while the database does not answer."""
    return _text(_gauge("up", "The database answered.", [({}, 0)]))


def read_metrics(text: str) -> list[dict[str, Any]]:
    """Return what a text says, for a program that does not read Prometheus' format."""
    return [
        {
            "name": family.name,
            "type": family.type,
            "help": family.documentation,
            "samples": [{"name": each.name, "labels": each.labels, "value": each.value} for each in family.samples],
        }
        for family in text_string_to_metric_families(text)
    ]


def _text(families: Iterable[Metric]) -> str:
    return generate_latest(cast("Collector", SimpleNamespace(collect=lambda: families))).decode()


def _gauge(name: str, words: str, samples: Iterable[Sample]) -> Iterator[Metric]:
    """Return a gauge, unless nothing of it is known; of two samples with the same labels the first counts."""
    found: dict[tuple[str, ...], float] = {}
    names: list[str] = []
    for labels, value in samples:
        names = list(labels)
        if value is not None:
            found.setdefault(tuple(visible(label, most=200) for label in labels.values()), value)
    if found:
        family = GaugeMetricFamily(f"jobsync_{name}", words, labels=names)
        for values, number in found.items():
            family.add_metric(values, number)
        yield family


def _whole(seen: Snapshot, health: Health) -> Iterator[Metric]:
    yield from _gauge("up", "The database answered.", [({}, 1)])
    yield from _gauge("build_info", "The version that wrote this.", [({"version": __version__}, 1)])
    yield from _gauge("checked_timestamp_seconds", "When this was read.", [({}, _unix(seen.now))])
    yield from _gauge("healthy", "Whether nothing needs a person.", [({}, not health.problems)])
    yield from _gauge("watched_timestamp_seconds", "When the health timer last acted.", [({}, _unix(seen.watched_at))])
    problems = [({"check": check.name}, len(check.problems)) for check in health.checks]
    yield from _gauge("problems", "What needs a person, by check.", problems)
    yield from _gauge("open_alerts", "Open alerts.", [({}, len(seen.alerts))])
    levels = [({"level": level.name}, level.kept / level.of if level.of else None) for level in service_levels(seen)]
    yield from _gauge("service_level_ratio", "Share that kept the promise, within the window.", levels)
    kinds = [({"job": kind.job, "fingerprint": kind.fingerprint}, kind.times) for kind in seen.failures]
    words = f"Failures within the window, the {_FAILURES_MOST} most frequent kinds."
    yield from _gauge("failures", words, kinds[:_FAILURES_MOST])


_OF_A_JOB: tuple[tuple[str, str, Callable[[JobFacts, datetime], float | None]], ...] = (
    ("enabled", "The job's switch.", lambda job, _: job.enabled),
    ("running", "Runs whose own lock is held now.", lambda job, _: sum(run.alive for run in job.running)),
    ("last_tick_timestamp_seconds", "When the timer last asked.", lambda job, _: _unix(job.last_tick_at)),
    ("last_success_timestamp_seconds", "When a run last succeeded.", lambda job, _: _unix(job.last_success_at)),
    (
        "consecutive_failures",
        "Scheduled runs that failed in a row; hand runs and retries neither count nor end it.",
        lambda job, _: job.consecutive_failures,
    ),
    ("consecutive_skips", "Skipped ticks in a row.", lambda job, _: job.consecutive_skips),
    ("due_items", "Items whose time has come.", lambda job, _: job.due),
    (
        "oldest_due_seconds",
        "How long the oldest of them waits.",
        lambda job, now: max(0, (now - (job.oldest_due_at or now)).total_seconds()),
    ),
)


def _jobs(seen: Snapshot) -> Iterator[Metric]:
    for name, words, value in _OF_A_JOB:
        yield from _gauge(f"job_{name}", words, [({"job": job.name}, value(job, seen.now)) for job in seen.jobs])


_ENDED = tuple(status for status in RunStatus if status is not RunStatus.RUNNING)


def _totals(totals: Totals) -> Iterator[Metric]:
    """What only ever grows, whatever is deleted; each starts at 0, so that the first of its kind is seen to grow."""
    ended = CounterMetricFamily("jobsync_runs", "Runs that ended, by status.", labels=["job", "status"])
    items = CounterMetricFamily("jobsync_items", "Items that runs worked on, by result.", labels=["job", "result"])
    lasted = HistogramMetricFamily(
        "jobsync_run_duration_seconds", "How long runs took; dead ones aside.", labels=["job"]
    )
    for job in BY_NAME:
        for status in _ENDED:
            ended.add_metric([job, status], sum(totals.runs.get((job, status, le), (0, 0))[0] for le in _LES))
        for result in RESULTS:
            items.add_metric([job, result], totals.items.get((job, result), 0))
        found = [
            [totals.runs.get((job, status, le), (0, 0.0)) for status in _ENDED if status is not RunStatus.CRASHED]
            for le in _LES
        ]
        up_to = accumulate(sum(runs for runs, _ in row) for row in found)
        buckets = [("+Inf" if le == inf else str(le), float(runs)) for le, runs in zip(_LES, up_to, strict=True)]
        lasted.add_metric([job], buckets, sum(seconds for row in found for _, seconds in row))
    yield from (ended, items, lasted)


def _sections(seen: Snapshot) -> Iterator[Metric]:
    """Each column that has a metric, and how many rows are in each state."""
    for section in sections_of(seen):
        if section.states:
            counts = Counter(row.state for row in section.rows)
            states = [({section.state: state}, counts[state]) for state in section.states]
            yield from _gauge(section.name, f"{section.title} by {section.state}.", states)
        told: dict[tuple[str, str], list[Sample]] = {}
        for column in section.columns:
            if metric := column.metric:
                samples = told.setdefault((metric.name, metric.words), [])
                for row in section.rows:
                    labels = {label: row.cells[name] for label, name in metric.row_labels.items()}
                    samples.append(({**labels, **metric.labels}, _number(row.cells[column.name], column.unit)))
        for (name, words), samples in told.items():
            yield from _gauge(name, words, samples)


def _number(value: Any, unit: Unit) -> float | None:
    if value is None or unit is Unit.INSTANT:
        return _unix(value)
    return value / 1000 if unit is Unit.MILLISECONDS else float(value)


def _unix(instant: datetime | None) -> float | None:
    return None if instant is None else instant.timestamp()
