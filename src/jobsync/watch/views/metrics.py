"""The same facts in Prometheus' text format, for node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from jobsync import __version__
from jobsync.easycars.watch import Standing, dealership_statuses, held_vehicles
from jobsync.logs import visible
from jobsync.sri import watch as sri
from jobsync.watch.health import Health
from jobsync.watch.model import Snapshot
from jobsync.watch.state import service_levels
from jobsync.watch.views.tenants import tenants_of

Sample = tuple[Mapping[str, object], float | int | None]


def render_metrics(seen: Snapshot, health: Health) -> str:
    """Return every metric; a value that nobody knows is left out."""
    text = Text()
    text.add("jobsync_up", "The database answered.", [({}, 1)])
    text.add("jobsync_build_info", "The version that wrote this.", [({"version": __version__}, 1)])
    text.add("jobsync_checked_timestamp_seconds", "When this was read.", [({}, _unix(seen.now))])
    text.add("jobsync_healthy", "Whether nothing needs a person.", [({}, int(not health.problems))])
    text.add("jobsync_watched_timestamp_seconds", "When the health timer last acted.", [({}, _unix(seen.watched_at))])
    kinds = {check.name: len(check.problems) for check in health.checks}
    text.add("jobsync_problems", "What needs a person, by check.", [({"check": k}, n) for k, n in kinds.items()])
    text.add("jobsync_open_alerts", "Open alerts.", [({}, len(seen.alerts))])
    _jobs(text, seen)
    _dealerships(text, seen)
    _documents(text, seen)
    text.add(
        "jobsync_service_level_ratio",
        "Share that kept the promise, within the window.",
        [({"level": level.name}, level.kept / level.of if level.of else None) for level in service_levels(seen)],
    )
    text.add(
        "jobsync_failures",
        "Failures within the window, the 50 most frequent kinds.",
        [({"job": group.job, "fingerprint": group.fingerprint}, group.times) for group in seen.failures[:50]],
    )
    return text.done()


def render_away() -> str:
    """Return what is true while the database does not answer."""
    text = Text()
    text.add("jobsync_up", "The database answered.", [({}, 0)])
    return text.done()


def _jobs(text: Text, seen: Snapshot) -> None:
    jobs = {facts.kind.name: facts for facts in seen.jobs}

    def each(name: str, words: str, values: Mapping[str, float | int | None]) -> None:
        text.add(name, words, [({"job": job}, value) for job, value in values.items()])

    each("jobsync_job_enabled", "The job's switch.", {n: int(f.enabled) for n, f in jobs.items()})
    each(
        "jobsync_job_running",
        "Runs whose own lock is held now.",
        {n: sum(run.alive for run in f.running) for n, f in jobs.items()},
    )
    each(
        "jobsync_job_last_tick_timestamp_seconds",
        "When the timer last asked.",
        {n: _unix(f.last_tick_at) for n, f in jobs.items()},
    )
    each(
        "jobsync_job_last_success_timestamp_seconds",
        "When a run last succeeded.",
        {n: _unix(f.last_success_at) for n, f in jobs.items()},
    )
    each(
        "jobsync_job_consecutive_failures",
        "Scheduled runs that failed in a row; hand runs and retries neither count nor end it.",
        {n: f.consecutive_failures for n, f in jobs.items()},
    )
    each("jobsync_job_consecutive_skips", "Skipped ticks in a row.", {n: f.consecutive_skips for n, f in jobs.items()})
    each("jobsync_job_due_items", "Items whose time has come.", {n: f.due for n, f in jobs.items()})
    each(
        "jobsync_job_oldest_due_seconds",
        "How long the oldest of them waits.",
        {n: max(0.0, _age(seen, f.oldest_due_at)) for n, f in jobs.items()},
    )
    each("jobsync_job_runs", "Finished runs within the window.", {n: f.numbers.runs for n, f in jobs.items()})
    each("jobsync_job_clean_runs", "Those that ended with exit code 0.", {n: f.numbers.clean for n, f in jobs.items()})
    each("jobsync_job_failed_runs", "Those that failed.", {n: f.numbers.failed for n, f in jobs.items()})
    text.add(
        "jobsync_job_run_seconds",
        "Duration of runs within the window.",
        [
            ({"job": name, "quantile": quantile}, value)
            for name, facts in jobs.items()
            for quantile, value in (("0.5", facts.numbers.p50_s), ("0.95", facts.numbers.p95_s))
        ],
    )


def _dealerships(text: Text, seen: Snapshot) -> None:
    statuses = sorted(dealership_statuses(seen), key=lambda status: status.facts.id)
    counts = {standing: sum(1 for found in statuses if found.standing is standing) for standing in Standing}
    text.add("jobsync_dealerships", "Dealerships by standing.", [({"standing": str(s)}, n) for s, n in counts.items()])

    def labels(found_id: int, name: str) -> dict[str, object]:
        return {"dealership": found_id, "name": visible(name, most=80)}

    text.add(
        "jobsync_dealership_last_success_timestamp_seconds",
        "When a dealership's sync last succeeded.",
        [(labels(s.facts.id, s.facts.name), _unix(s.facts.last_success_at)) for s in statuses],
    )
    text.add(
        "jobsync_dealership_failures",
        "Failed syncs since the last success.",
        [(labels(s.facts.id, s.facts.name), s.facts.failures) for s in statuses],
    )
    held = held_vehicles(seen)
    text.add(
        "jobsync_held_removals",
        "Vehicles whose removal waits for a person.",
        [({}, held["removals"])],
    )
    text.add(
        "jobsync_held_vehicles",
        "Vehicles of which something waits for a person, by kind of hold.",
        [({"kind": kind}, number) for kind, number in held.items()],
    )


def _documents(text: Text, seen: Snapshot) -> None:
    facts = sri.facts_of(seen)
    text.add(
        "jobsync_documents",
        "Documents that are not authorized and drawn, by state.",
        [
            ({"tenant": found.ruc, "state": state}, number)
            for found in sorted(tenants_of(seen), key=lambda each: each.id)
            for state, number in (
                ("pending", found.pending),
                ("needs_attention", found.needs_attention),
                ("rejected", found.rejected),
                ("ride_waiting", found.ride_waiting),
                ("ride_refused", found.ride_parked),
            )
        ],
    )
    text.add(
        "jobsync_sri_circuit_open",
        "Whether a host of the SRI is given a rest.",
        [({"host": host.host}, int(host.opened_at is not None)) for host in facts.hosts],
    )
    text.add(
        "jobsync_sri_answers",
        "Answers of the SRI within the window.",
        [({"outcome": asks.outcome}, asks.asks) for asks in facts.asks if asks.outcome != "all"],
    )
    text.add(
        "jobsync_sri_answer_seconds",
        "Time that the SRI took within the window.",
        [
            ({"quantile": quantile}, None if value is None else value / 1000)
            for asks in facts.asks
            if asks.outcome == "all"
            for quantile, value in (("0.5", asks.p50_ms), ("0.95", asks.p95_ms))
        ],
    )


def _unix(instant: datetime | None) -> float | None:
    return None if instant is None else instant.timestamp()


def _age(seen: Snapshot, since: datetime | None) -> float:
    return 0.0 if since is None else (seen.now - since).total_seconds()


class Text:
    """The exposition format: HELP, TYPE, then a line a sample; all of ours are gauges."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, name: str, words: str, samples: Iterable[Sample]) -> None:
        """Add one metric, unless nothing of it is known; of two samples with the same labels the first counts."""
        values: dict[str, str] = {}
        for labels, value in samples:
            if value is not None:
                values.setdefault(_labels(labels), _number(value))
        lines = [f"{name}{labels} {value}" for labels, value in values.items()]
        if lines:
            self._lines += [f"# HELP {name} {words}", f"# TYPE {name} gauge", *lines]

    def done(self) -> str:
        """Return the whole text."""
        return "\n".join(self._lines) + "\n"


def _labels(labels: Mapping[str, object]) -> str:
    if not labels:
        return ""
    parts = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(parts) + "}"


def _escaped(value: object) -> str:
    return visible(value, most=200).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))
