"""
The nouns of watching, and what a slice hands in so that it is watched: a module that satisfies `Watched`.

Judging, drawing and telling know these and no slice; a slice's `watch.py` knows these and none of those rooms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection

from jobsync.causes import Cause, Kind
from jobsync.db.statements import rows_of
from jobsync.db.system_settings import SystemSettings
from jobsync.jobs import Job
from jobsync.runner.lock import Holder
from jobsync.watch.timers import Waker

QUEUE = "queue"
WATCH = "health"  # the row of `jobs` that says when the health timer last acted


@dataclass(frozen=True)
class RunFacts:
    """One run; `alive` says, for one whose row says running, whether its own lock is held."""

    run_id: UUID
    job: str
    status: str
    trigger: str
    exit_code: int | None
    started_at: datetime
    finished_at: datetime | None
    counts: Mapping[str, int]
    error: str | None
    host: str
    pid: int
    alive: bool = False

    @property
    def short(self) -> str:
        """As much of its id as commands ask for."""
        return str(self.run_id)[:8]


def by_hand(run: RunFacts | None) -> str:
    """Return the words for a run that somebody typed; such a run neither adds to a row of failures nor ends it."""
    return " by hand" if run is not None and run.trigger == "manual" else ""


@dataclass(frozen=True)
class WorkToDo:
    """What a job has to work on."""

    in_use: bool  # there is something: credentials, tenants, authorized documents
    due: int  # items whose time has come
    waiting: int = 0  # eligible, and not due yet
    blocked: int = 0  # eligible for nothing: paused, switched off, no credentials
    oldest_due_at: datetime | None = None
    next_at: datetime | None = None  # when the first of those that wait is due
    next_is_retry: bool = False  # it is tried again then; otherwise its slot comes
    # due, or attempted within the window, because their next time lay further ahead than any that is set here
    too_far_ahead: int = 0


@dataclass(frozen=True, kw_only=True)
class JobFacts(WorkToDo):
    """One job, with the numbers of its finished runs within the window, of which `clean` ended with exit code 0."""

    kind: Job
    enabled: bool
    last_tick_at: datetime | None
    last_finished_at: datetime | None
    ticks_held_until: datetime | None  # the end of the window's last run that was not by hand
    last_status: str | None
    last_success_at: datetime | None
    consecutive_failures: int
    consecutive_skips: int
    skipped_by: str | None
    holder: Holder | None
    running: tuple[RunFacts, ...]
    last_run: RunFacts | None
    last_bad: RunFacts | None  # of the window, that did not end clean
    last_missed: RunFacts | None  # of the window, scheduled, that failed: the end of a row of failures
    last_good: RunFacts | None  # that set `last_success_at`; one by hand ends no row of failures
    runs: int = 0
    clean: int = 0
    failed: int = 0
    p50_s: float | None = None
    p95_s: float | None = None

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def alive(self) -> RunFacts | None:
        """The run that works now."""
        return next((run for run in self.running if run.alive), None)


@dataclass(frozen=True)
class FailureKind:
    """One kind of failure within the window."""

    fingerprint: str
    job: str
    sample: str
    pattern: str
    times: int
    items: int
    first_at: datetime
    last_at: datetime
    run_id: UUID


@dataclass(frozen=True)
class AlertFacts:
    """One open alert."""

    subject: str
    kind: str
    cause: str
    text: str
    what_to_do: str
    opened_at: datetime
    notified_at: datetime | None  # when it was last told; None if it was not
    silenced_until: datetime | None  # it is not told before; None if it is not silenced
    details: Mapping[str, Any]  # `ripe` is false while it was not seen often enough to be told


@dataclass(frozen=True)
class Snapshot:
    """Everything, at one instant of the database's clock."""

    now: datetime
    since: datetime
    database: str
    settings: SystemSettings = field(repr=False)
    jobs: tuple[JobFacts, ...] = ()
    failures: tuple[FailureKind, ...] = ()
    alerts: tuple[AlertFacts, ...] = ()
    watched_at: datetime | None = None  # when the health timer last acted
    waker: Waker = Waker.UNITS  # what wakes the jobs on the host that looks
    timers_on: frozenset[str] = frozenset()  # the jobs whose timer is active there
    channels: tuple[str, ...] | None = None  # by which people are told from there; None: not asked
    watched: tuple[Watched, ...] = ()  # the slices, in their order
    parts: Mapping[str, Any] = field(default_factory=dict)  # what each has read, by the name of its job

    def job(self, name: str) -> JobFacts:
        return next(job for job in self.jobs if job.name == name)

    def owner(self, name: str) -> Watched:
        return next(each for each in self.watched if each.ABOUT.job == name)

    def reason(self, run: RunFacts) -> tuple[str, str | None]:
        """Return why a run failed, to be put behind a sentence, and the fingerprint if it is the latest of its kind."""
        found = next((group for group in self.failures if group.run_id == run.run_id), None)
        text = run.error or (found.sample if found else None)
        return f": {text}" if text else "", found.fingerprint if found else None


class Severity(StrEnum):
    """How a row or a job stands; those that need a person first."""

    BAD = "bad"
    ATTENTION = "attention"
    PAUSED = "paused"  # somebody took it out for a time: shown, and needs no person
    OK = "ok"
    UNUSED = "unused"  # it takes no part


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


# What is not urgent.
CALM = (State.OFF, State.PAUSED, State.RUNNING, State.DUE, State.IDLE, State.UNUSED)


@dataclass(frozen=True)
class JobStatus:
    """A job's state with the reason and the next step, each one sentence or None."""

    facts: JobFacts
    state: State
    why: str | None = None
    what_to_do: str | None = None
    fingerprint: str | None = None
    says_last_run: bool = False  # it tells of the last run, which failed for some items while others went well

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def severity(self) -> Severity:
        if self.state not in CALM:
            return Severity.BAD
        return Severity.UNUSED if self.state in (State.OFF, State.UNUSED) else Severity.OK


@dataclass(frozen=True)
class ServiceLevel:
    """One promise: how many kept it, of how many, and the share that is expected."""

    name: str
    kept: int
    of: int
    target_percent: float = 95.0
    timely: bool = False  # it is about time; such promises are told first

    @property
    def percent(self) -> float | None:
        """The share, None if there was nothing to keep."""
        return 100 * self.kept / self.of if self.of else None

    @property
    def met(self) -> bool | None:
        return None if self.percent is None else self.percent >= self.target_percent


@dataclass(frozen=True)
class Problem:
    """One thing that needs a person; kind, subject and cause are the identity of its alert."""

    subject: str  # what it is about
    text: str  # what is wrong, one sentence
    what_to_do: str  # the next step
    since: datetime | None = None  # as far as it is known
    ripe: bool = True  # it deserves a message already; what does not is a problem too, and keeps an alert open
    _: KW_ONLY
    cause: Cause
    host: str | None = None  # that it is about; None for what every host sees alike
    after: int | None = 1  # told once seen so often in a row; None: alert_after_failures
    run_id: str | None = None
    well_at: datetime | None = None  # when it last went well: a row of failures ends there

    @property
    def kind(self) -> Kind:
        return self.cause.kind

    @property
    def key(self) -> tuple[str, str, str]:
        return str(self.kind), self.subject, str(self.cause)

    def as_json(self) -> dict[str, Any]:
        """Return it as documents have it."""
        names = ("subject", "kind", "text", "what_to_do", "since", "ripe", "cause")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Check:
    """One question that was asked, and the problems it found."""

    name: str
    asked: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Queue:
    """A queue that may become too long."""

    words: str  # what its documents wait for
    limit: str  # what keeps it from getting shorter faster while its job runs
    what_to_do: str


@dataclass(frozen=True)
class About:
    """What is said of a slice's job, whatever it does."""

    job: str
    unused: str  # why it is not in use; then the first steps
    blocked: str  # why items of it are eligible for nothing
    first_steps: str | None = None
    checks: Mapping[str, str] = field(default_factory=dict)  # its questions, by kind; QUEUE is health's own
    whole: str = ""  # words for a success of the job, where runs may be for named items only
    turn: str = "slot"  # what comes for the first of its items that wait
    item: str | None = None  # what one of its items is called, if each is a subject of its own
    causes: Mapping[str, Cause] = field(default_factory=dict)  # what the codes of failed items mean


# --- tables ----------------------------------------------------------------------------------------------------------


class Unit(StrEnum):
    """What a column holds."""

    TEXT = "text"
    COUNT = "count"
    INSTANT = "instant"
    MILLISECONDS = "milliseconds"


@dataclass(frozen=True)
class Metric:
    """A column as Prometheus sees it: a gauge with a sample for each row."""

    name: str  # without the program's prefix; columns of one name are one metric, told apart by `labels`
    words: str
    row_labels: Mapping[str, str]  # what tells the rows apart: by label, the column that has its value
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """One column of a section; its name is its key in JSON."""

    name: str
    unit: Unit = Unit.TEXT
    noun: str = ""  # a count's noun, an instant's event; without one it is for machines only
    nouns: str | None = None  # of several
    metric: Metric | None = None


def columns_of(facts: type, *told: Column) -> tuple[Column, ...]:
    """Return a column for each field of a frozen type; `told` are those that are more than a key in JSON."""
    known = {column.name: column for column in told}
    return tuple(known.get(found.name) or Column(found.name) for found in fields(facts))


@dataclass(frozen=True)
class Row:
    """One thing of a section."""

    key: object  # tells it from the others of its section, whichever slice names it
    name: str  # what a person reads, with what it is called in a command
    cells: Mapping[str, Any]  # by name of the column
    severity: Severity = Severity.OK
    state: str = ""  # how it stands, in a word or two
    why: str | None = None
    what_to_do: str | None = None
    subject: str = ""  # of the problems about it


@dataclass(frozen=True)
class Section:
    """One table, as every view draws it."""

    name: str  # its place in JSON, dots between the parts; several slices may tell one
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    title: str = ""  # without one it is for machines only
    summary: str = ""  # all rows in a few words
    state: str = ""  # the key of the rows' state in JSON; without one they have none there
    states: tuple[str, ...] = ()  # all that a row may be in: how many are in each is a metric
    notes: tuple[str, ...] = ()  # what is to be known beside the rows
    listing: str = ""  # the command that lists all of them


# --- earlier days ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Series:
    """One row of values, one for each label of the chart; None where there is none. `css` is a class of the page."""

    name: str
    css: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Chart:
    """Bars on each other, or lines beside each other, over the same labels."""

    title: str
    labels: Sequence[str]
    series: tuple[Series, ...]
    unit: str = ""
    lines: bool = False


def chart_of_times(title: str, labels: Sequence[str], times: Sequence[Sequence[float]], unit: str) -> Chart:
    """Return how long half of something, and 95 % of it, took at each label; nothing where there is no pair."""
    lines = enumerate((("half within", "p50"), ("95 % within", "p95")))
    series = (Series(name, css, [each[at] if each else None for each in times]) for at, (name, css) in lines)
    return Chart(title, labels, tuple(series), unit, lines=True)


_AGES = ("< 1 min", "< 5 min", "< 30 min", "< 2 h", "< 1 d", "older")
_AGE = "width_bucket(extract(epoch FROM now() - due_since)::float8, ARRAY[60, 300, 1800, 7200, 86400]::float8[])"


def chart_of_ages(connection: Connection, view: str, title: str) -> tuple[Chart, ...]:
    """Return how long the rows of a view of what is due wait; nothing if none waits."""
    rows = rows_of(connection, f"SELECT {_AGE} AS age, count(*) AS rows FROM {view} GROUP BY 1")
    counts = {row["age"]: row["rows"] for row in rows}
    bars = Series("documents", "waiting", [counts.get(at, 0) for at in range(len(_AGES))])
    return (Chart(title, _AGES, (bars,)),) if counts else ()


@dataclass(frozen=True)
class Days:
    """The days of a page, in UTC, between two instants of the database's clock."""

    since: datetime
    now: datetime
    days: tuple[date, ...]

    @property
    def labels(self) -> list[str]:
        return [f"{day:%d %b}" for day in self.days]


@dataclass(frozen=True)
class Past:
    """What a page tells of a section beyond one look."""

    # how each day went, by the row's key; a day without anything has none
    squares: Mapping[object, Mapping[date, Severity]] = field(default_factory=dict)
    totals: tuple[tuple[str, int], ...] = ()  # name and number, of everything that is kept
    charts: tuple[Chart, ...] = ()


@dataclass(frozen=True)
class Moment:
    """One thing that happened to a row: when, how it ended, in a few words; `name` is what of the row it is about."""

    at: datetime
    state: str
    severity: Severity
    text: str = ""
    name: str = ""
    run_id: UUID | None = None


# --- what a slice hands in -------------------------------------------------------------------------------------------


class Watched(Protocol):
    """A slice as it is watched; its `watch.py` satisfies this."""

    ABOUT: About

    def read(self, connection: Connection, now: datetime, since: datetime, settings: SystemSettings, /) -> Any:
        """Return what the slice's tables say, frozen: a fixed number of statements."""

    def work_of(self, facts: Any, now: datetime, /, *, known: bool) -> WorkToDo:
        """Return what there is to do; `known` says whether the job has ever ticked or run."""

    def job_state(self, seen: Snapshot, job: JobFacts, /) -> JobStatus | None:
        """Return the state that only the slice can tell: upstream down, needs attention, all paused."""

    def problems(self, seen: Snapshot, /) -> Iterator[Problem]:
        """Return what needs a person, in the order of `ABOUT.checks`; other kinds are health's own."""

    def queue(self, seen: Snapshot, job: JobFacts, /) -> Queue | None:
        """Return its queue; None if none can be too long, or another problem says already why it does not move."""

    def notes(self, seen: Snapshot, /) -> Iterator[str]:
        """Return what is worth knowing, and needs no person now."""

    def pauses(self, seen: Snapshot, /) -> Iterator[str]:
        """Return what somebody has paused."""

    def levels(self, seen: Snapshot, /) -> Iterator[ServiceLevel]:
        """Return the promises of the window."""

    def sections(self, seen: Snapshot, /) -> Iterator[Section]:
        """Return the tables of what it knows, each in the order in which its rows are told."""

    def past(self, connection: Connection, days: Days, /) -> Mapping[str, Past]:
        """Return what a page tells of earlier days, by name of the section: a fixed number of statements."""

    def lately(self, connection: Connection, section: str, row: Row, days: Days, /) -> Iterator[Moment]:
        """Return what happened to one row of a section of its, the latest first: one statement, bounded."""
