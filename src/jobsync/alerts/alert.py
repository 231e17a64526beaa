"""
Alerts: what is wrong is told once, reminded of once a day, and told again when it is over.

What was told is remembered in the table `alerts` and, for the nights when the database is the thing that is down, in a
small file on this host. While the database answers it is right, except for what only the file knows yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from jobsync.alerts.local_file import Notebook
from jobsync.alerts.send import Channel, Message, Note
from jobsync.db.engine import translated
from jobsync.db.system_settings import CATALOGUE, SystemSettings
from jobsync.db.tables import alerts
from jobsync.errors import ExitCode, JobsyncError
from jobsync.jobs import BY_NAME
from jobsync.logs import get_logger, visible
from jobsync.phrases import many
from jobsync.runner.lock import lock_key
from jobsync.upkeep.model import BEFORE, Rule, oldest
from jobsync.watch.health import Health
from jobsync.watch.model import WATCH, Problem, Snapshot

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from jobsync.db.engine import Database

RULES = (Rule(alerts, "runs_retention_days", oldest(alerts, alerts.c.closed_at < BEFORE)),)
UNIT, DATABASE, PRUNE, MAIL = "unit", "database", "prune", "mail"
# what a host tells of itself, not what a look at the database found
OF_HOST = (UNIT, DATABASE, PRUNE, MAIL)
_QUIET = timedelta(minutes=10)  # without a new failure while ticks go on: a unit that never had a run is well again
_FORGOTTEN = timedelta(days=7)  # nobody has heard of a host's unit for so long
_SAID_ANEW = timedelta(days=1)  # well before it would be taken for forgotten
_KEPT = timedelta(days=7)  # how long a recovery that could not be told is tried
_AGAIN = timedelta(
    minutes=10
)  # longer than sending takes; what perhaps arrived is said again then, and ever more rarely
_RARER = 3
_LOCK_WITHIN_S = 15.0
_LETTERS = 3  # to one channel at a time: each may cost it its whole deadline


@dataclass(frozen=True)
class Limits:
    """How many failures in a row make an alert, and when an open one is told again."""

    after_failures: int
    reminder: timedelta

    @classmethod
    def of(cls, settings: SystemSettings) -> Limits:
        """Return the limits in force."""
        return cls(settings.number("alert_after_failures"), timedelta(hours=settings.number("alert_reminder_hours")))

    @classmethod
    def noted(cls, noted: Mapping[str, Any]) -> Limits:
        """Return the limits that were in force when the database last answered, else the defaults."""
        limits = noted.get("limits")
        known = limits if isinstance(limits, dict) else {}

        def number(key: str) -> int:
            value = known.get(key)
            return value if isinstance(value, int) and value > 0 else int(CATALOGUE[key].default)

        return cls(number("alert_after_failures"), timedelta(hours=number("alert_reminder_hours")))

    def as_json(self) -> dict[str, int]:
        """Return what the file keeps."""
        return {
            "alert_after_failures": self.after_failures,
            "alert_reminder_hours": int(self.reminder.total_seconds() // 3600),
        }


@dataclass(frozen=True)
class Try:
    """
    A message that is on its way, or perhaps arrived: written down before it is sent, and gone once that is known.

    Args:
        message: its identity; a second try has the same.
        phase: what it tells.
        until: nobody tells it before; then it is said again.
        times: how often it was sent.
    """

    message: str
    phase: str
    until: datetime
    times: int = 1


@dataclass(frozen=True)
class Entry:
    """
    One alert, from the first failure on.

    Args:
        tried: by channel, what nobody knows to have arrived.
        host: the host that it is about; None for what every host sees alike.
        count: times it was seen in a row; it is told from `threshold` on.
        told: by channel, the instant of each phase (opened, reminded, closed).
        cause: `database` if the database did not answer; a host tells one alert of that cause.
        covered: another alert of the same cause has been told in its place.
        run_id: the run that failed; a unit without one never got to work.
    """

    subject: str
    kind: str
    opened_at: datetime
    last_at: datetime
    text: str
    what_to_do: str
    host: str | None = None
    count: int = 1
    threshold: int = 1
    told: Mapping[str, Mapping[str, datetime]] = field(default_factory=dict)
    tried: Mapping[str, Try] = field(default_factory=dict)
    cause: str | None = None
    covered: bool = False
    run_id: str | None = None
    closed_at: datetime | None = None
    synced: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """The identity of an open alert."""
        return self.subject, self.kind

    @property
    def ripe(self) -> bool:
        """Whether it has been seen often enough to be told."""
        return self.count >= self.threshold

    @property
    def spoken(self) -> bool:
        """Whether anybody was told of it, or perhaps was."""
        return bool(self.told or self.tried)

    def phase(self, channel: str, now: datetime, reminder: timedelta) -> str | None:
        """Return what the channel has to be told now, None if nothing."""
        phase = self._phase(channel, now, reminder)
        tried = self.tried.get(channel)
        longest = max(reminder, _AGAIN)  # what was noted by a clock that was wrong holds nobody back for years
        waits = tried is not None and tried.phase == phase and timedelta() < tried.until - now <= longest
        return None if waits else phase

    def _phase(self, channel: str, now: datetime, reminder: timedelta) -> str | None:
        told = self.told.get(channel, {})
        if self.covered or not self.ripe:
            return None
        if self.closed_at is not None:
            return "closed" if self._waits_for_end(channel) else None
        if "opened" not in told:
            return "opened"
        return "reminded" if now - max(told.values()) >= reminder else None

    def _waits_for_end(self, channel: str) -> bool:
        told = self.told.get(channel, {})
        return ("opened" in told or channel in self.tried) and "closed" not in told

    def before(self, channel: str, phase: str, message: str, now: datetime, reminder: timedelta) -> Entry:
        """Return the entry while the channel is being told, which may be the last that is heard of this process."""
        known = self.tried.get(channel)
        times = known.times + 1 if known is not None and known.message == message else 1
        until = now + min(_AGAIN * _RARER ** min(times - 1, 9), max(reminder, _AGAIN))
        return replace(self, tried={**self.tried, channel: Try(message, phase, until, times)}, synced=False)

    def after(self, channel: str, phase: str, now: datetime) -> Entry:
        """Return the entry once the channel was told."""
        told = {**self.told, channel: {**self.told.get(channel, {}), phase: now}}
        tried = {name: each for name, each in self.tried.items() if name != channel or each.phase != phase}
        return replace(self, told=told, tried=tried, synced=False)

    def untold(self, channel: str, message: str, now: datetime) -> Entry:
        """Return the entry once it is certain that this message did not arrive this time."""
        known = self.tried.get(channel)
        if known is None or known.message != message:
            return self
        tried = {name: each for name, each in self.tried.items() if name != channel}
        if known.times > 1:  # perhaps it had arrived before
            tried[channel] = replace(known, until=now, times=known.times - 1)
        return replace(self, tried=tried, synced=False)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be told of it."""
        if self.closed_at is None:
            return False
        return self.covered or not any(self._waits_for_end(name) for name in {*self.told, *self.tried})

    def as_json(self) -> dict[str, Any]:
        """Return what the file and the row's details keep."""
        plain = {**vars(self), "ripe": self.ripe}
        plain["told"] = {name: {k: v.isoformat() for k, v in told.items()} for name, told in self.told.items()}
        plain["tried"] = {name: {**vars(each), "until": each.until.isoformat()} for name, each in self.tried.items()}
        for name in ("opened_at", "last_at", "closed_at"):
            plain[name] = plain[name].isoformat() if plain[name] else None
        return plain


def entry_of(noted: Mapping[str, Any]) -> Entry | None:
    """Return an entry from what was kept, None if it cannot be read."""
    try:
        told = {
            str(name): {str(phase): _instant(at) for phase, at in phases.items()}
            for name, phases in dict(noted.get("told") or {}).items()
        }
        tried = {
            str(name): Try(str(each["message"]), str(each["phase"]), _instant(each["until"]), int(each["times"]))
            for name, each in dict(noted.get("tried") or {}).items()
        }
        return Entry(
            subject=str(noted["subject"]),
            kind=str(noted["kind"]),
            opened_at=_instant(noted["opened_at"]),
            last_at=_instant(noted["last_at"]),
            text=str(noted["text"]),
            what_to_do=str(noted["what_to_do"]),
            host=str(noted["host"]) if noted.get("host") else None,
            count=int(noted.get("count", 1)),
            threshold=int(noted.get("threshold", 1)),
            told=told,
            tried=tried,
            cause=str(noted["cause"]) if noted.get("cause") else None,
            covered=bool(noted.get("covered")),
            run_id=str(noted["run_id"]) if noted.get("run_id") else None,
            closed_at=_instant(noted["closed_at"]) if noted.get("closed_at") else None,
            synced=bool(noted.get("synced")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def _instant(words: object) -> datetime:
    at = datetime.fromisoformat(str(words))
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


# --- the rules: pure -------------------------------------------------------------------------------------------------


def see(entries: Mapping[tuple[str, str], Entry], found: Entry) -> Entry:
    """Return the entry after what was found now: one more of the same, or the first."""
    known = entries.get(found.key)
    if known is None or known.closed_at is not None:
        return found
    return replace(
        known,
        last_at=found.last_at,
        count=known.count + 1,
        threshold=found.threshold,
        text=found.text,
        what_to_do=found.what_to_do,
        cause=known.cause if known.spoken else found.cause,  # what it was told for, it stays
        covered=known.covered and found.cause is not None,
        run_id=found.run_id,
        synced=False,
    )


def close(entry: Entry, now: datetime) -> Entry:
    """Return the entry once it is over."""
    return replace(entry, closed_at=now, synced=False)


def cover(entries: Mapping[tuple[str, str], Entry], channels: Sequence[str]) -> dict[tuple[str, str], Entry]:
    """Return the entries with one alert of each cause on each host left to be told; the others stand behind it."""
    told: set[tuple[str | None, str]] = set()
    after = dict(entries)

    def rank(entry: Entry) -> tuple[bool, datetime]:
        return not entry.spoken, entry.opened_at

    for entry in sorted(entries.values(), key=rank):
        if entry.cause is None or entry.closed_at is not None or entry.covered or not entry.ripe or not channels:
            continue
        group = (entry.host, entry.cause)
        if group in told and not entry.spoken:
            after[entry.key] = replace(entry, covered=True, synced=False)
        told.add(group)
    return after


def judge_units(entries: Iterable[Entry], seen: Snapshot, host: str, limits: Limits) -> list[Entry]:
    """
    Return this host's unit alerts that are over, closed.

    A run that failed is made good by a run that succeeds; a unit that never came to a run (configuration, database)
    is well once ticks come and no failure does. What no host has reported for a week is closed too.
    """
    now = seen.now
    over = []
    for entry in entries:
        if entry.kind not in OF_HOST or entry.closed_at is not None:
            continue
        quiet = now - entry.last_at
        if entry.host != host:
            if quiet > _FORGOTTEN:
                over.append(close(entry, now))
            continue
        if entry.kind != UNIT:
            continue
        facts = next((facts for facts in seen.jobs if facts.kind.name == job_of(entry.subject)), None)
        if facts is None:
            is_ours = entry.subject.startswith("jobsync-health.service")  # this very run shows that it works again
            well = quiet >= timedelta(seconds=1) if is_ours else quiet >= limits.reminder
        else:
            success = facts.got_through_at is not None and facts.got_through_at > entry.last_at
            ticks = facts.last_tick_at is not None and facts.last_tick_at > entry.last_at
            well = success or (entry.run_id is None and ticks and quiet >= _QUIET)
        if well:
            over.append(close(entry, now))
    return over


def job_of(subject: str) -> str | None:
    """
    Return the job that a unit's alert is about.

    >>> job_of("jobsync-stock-sync.service on db1")
    'stock-sync'
    """
    name = subject.partition(" on ")[0].removeprefix("jobsync-").partition(".")[0].partition("@")[0]
    return name if name in BY_NAME else None


# --- where it is kept ------------------------------------------------------------------------------------------------


class Outcome(Enum):
    """What became of a letter."""

    SENT = "sent"
    NOT_SENT = "not sent"
    PERHAPS = "perhaps"


@dataclass(frozen=True)
class Letter:
    """One message to one channel, and what it tells: the keys of entries, each with its phase."""

    channel: Channel
    message: Message
    due: tuple[tuple[tuple[str, str], str], ...]


class Book:
    """
    What is known of all alerts, from file and database, while both are held.

    Args:
        engine: None while the database does not answer.
    """

    def __init__(self, notebook: Notebook, engine: Engine | None, host: str) -> None:
        self._notebook = notebook
        self._engine = engine
        self.host = host
        self._noted = notebook.read()
        self.entries: dict[tuple[str, str], Entry] = {}
        self._load()

    def limits(self, settings: SystemSettings | None) -> Limits:
        """Return the limits in force, and note them for when nobody can be asked."""
        if settings is None:
            return Limits.noted(self._noted)
        limits = Limits.of(settings)
        self._noted["limits"] = limits.as_json()
        return limits

    def _load(self) -> None:
        listed = self._noted.get("alerts")
        noted = [entry_of(each) for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        filed = {entry.key: entry for entry in noted if entry is not None}
        if self._engine is None:
            self.entries = filed
            return
        with translated(), self._engine.begin() as connection:
            kept = _read_rows(connection)
        self.entries = merge(filed, kept)

    def put(self, entry: Entry) -> None:
        """Remember an entry."""
        self.entries[entry.key] = entry

    def save(self) -> None:
        """Write to the database if it answers, and to the file in any case; what only the file has is marked so."""
        if self._engine is not None:
            fresh = [entry for entry in self.entries.values() if not entry.synced]
            try:
                if fresh:
                    with translated(), self._engine.begin() as connection:
                        for entry in fresh:
                            _write_row(connection, entry)
                for entry in fresh:
                    self.entries[entry.key] = replace(entry, synced=True)
            except JobsyncError as error:
                get_logger().warning("alert.not_recorded", error=str(error))
        self.entries = {key: entry for key, entry in self.entries.items() if not (entry.is_over and entry.synced)}
        self._noted["alerts"] = [entry.as_json() for entry in self.entries.values()]
        self._notebook.write(self._noted)

    def prepare(self, channels: Sequence[Channel], now: datetime, limits: Limits, *, alone: bool) -> list[Letter]:
        """
        Return what every channel has to be told now, and write down that it is being told.

        Args:
            alone: no other host does the same now; else only what is this host's own is told.

        Whoever looks before `record` leaves it alone for a while; a process that dies in between tells it again later,
        under the same Message-ID. So nobody has to be kept waiting while a server thinks.
        """
        hosts = (None, self.host) if alone else (self.host,)
        own = {key: entry for key, entry in self.entries.items() if entry.host == self.host}
        self.entries |= cover(own, [channel.name for channel in channels])
        self._drop_stale(now)
        letters = []
        for channel in channels:
            by_message: dict[str | None, list[tuple[Entry, str]]] = {}
            for entry, phase in self._due(channel, now, limits, hosts):
                tried = entry.tried.get(channel.name)
                again = tried.message if tried is not None and tried.phase == phase else None
                by_message.setdefault(again, []).append((entry, phase))
            new_first = sorted(by_message.items(), key=lambda each: each[0] is not None)
            for again, due in new_first[:_LETTERS]:
                message = Message(self.host, now, tuple(_note(entry, phase) for entry, phase in due), again)
                for entry, phase in due:
                    self.put(
                        self.entries[entry.key].before(channel.name, phase, message.identity, now, limits.reminder)
                    )
                letters.append(Letter(channel, message, tuple((entry.key, phase) for entry, phase in due)))
        self.save()
        return letters

    def record(self, letter: Letter, outcome: Outcome, now: datetime) -> None:
        """Remember what became of a letter; what perhaps arrived stays as it was written down before."""
        for key, phase in letter.due:
            entry = self.entries.get(key)
            if entry is None:
                continue
            if outcome is Outcome.SENT:
                self.put(entry.after(letter.channel.name, phase, now))
            elif outcome is Outcome.NOT_SENT:
                self.put(entry.untold(letter.channel.name, letter.message.identity, now))

    def _due(
        self, channel: Channel, now: datetime, limits: Limits, hosts: Sequence[str | None]
    ) -> list[tuple[Entry, str]]:
        return [
            (entry, phase)
            for entry in sorted(self.entries.values(), key=_rank)
            if (phase := entry.phase(channel.name, now, limits.reminder)) and entry.host in hosts
        ]

    def _drop_stale(self, now: datetime) -> None:
        """Give up recoveries that could not be told for a week."""
        for entry in list(self.entries.values()):
            if entry.closed_at is not None and not entry.is_over and now - entry.closed_at > _KEPT:
                names = {*entry.told, *entry.tried}
                told = {name: {**entry.told.get(name, {}), "closed": now} for name in names}
                self.put(replace(entry, told=told, tried={}, synced=False))


# the likelier cause stands before what it leads to
_ORDER = (DATABASE, MAIL, UNIT, "tick", "skips", "duration", "failures", "circuit", "silence", "held", "queue")


def _rank(entry: Entry) -> tuple[int, datetime, str]:
    place = _ORDER.index(entry.kind) if entry.kind in _ORDER else len(_ORDER)
    return place, entry.opened_at, entry.subject


def _note(entry: Entry, phase: str) -> Note:
    return Note(
        subject=entry.subject,
        kind=entry.kind,
        phase=phase,
        text=entry.text,
        what_to_do=entry.what_to_do,
        opened_at=entry.opened_at,
        closed_at=entry.closed_at,
        times=entry.count,
    )


def merge(
    filed: Mapping[tuple[str, str], Entry], kept: Mapping[tuple[str, str], Entry]
) -> dict[tuple[str, str], Entry]:
    """
    Return what is known, from the file and from the database.

    The database is right about whatever the file has already handed in; what the file learned while the database was
    away is added to the same open alert.
    """
    merged = dict(kept)
    for key, entry in filed.items():
        row = kept.get(key)
        if entry.synced:
            continue  # the row says it, or somebody has removed the row
        if row is None or (row.closed_at is not None and row.closed_at < entry.opened_at):
            merged[key] = entry
            continue
        if row.closed_at is not None and entry.closed_at is None and row.closed_at >= entry.last_at:
            continue
        told = {name: {**row.told.get(name, {}), **entry.told.get(name, {})} for name in {*row.told, *entry.told}}
        newer = entry if entry.last_at >= row.last_at else row
        merged[key] = replace(
            newer,
            opened_at=min(row.opened_at, entry.opened_at),
            count=max(row.count, entry.count),
            told=told,
            tried=entry.tried,
            closed_at=entry.closed_at or (row.closed_at if newer is row else None),
            synced=False,
        )
    return merged


_ROWS = """
    SELECT DISTINCT ON (subject, kind) subject, kind, opened_at, notified_at, reminded_at, closed_at, details
    FROM alerts WHERE closed_at IS NULL OR closed_at > now() - interval '8 days'
    ORDER BY subject, kind, (closed_at IS NULL) DESC, opened_at DESC, id DESC
"""


def _read_rows(connection: Connection) -> dict[tuple[str, str], Entry]:
    found = {}
    for row in connection.execute(text(_ROWS)).mappings():
        details = row["details"] if isinstance(row["details"], dict) else {}
        told_at = row["reminded_at"] or row["notified_at"]
        entry = entry_of(
            {
                "text": f"{row['subject']}: {row['kind']}",
                "what_to_do": "jobsync health",
                "last_at": row["opened_at"].isoformat(),
                **details,
                "subject": row["subject"],
                "kind": row["kind"],
                "opened_at": row["opened_at"].isoformat(),
                "closed_at": row["closed_at"].isoformat() if row["closed_at"] else None,
            }
        )
        if entry is None:
            continue
        if told_at is not None:  # the columns are right: they may have been set by hand
            told = {
                name: {phase: min(at, told_at) if phase != "closed" else at for phase, at in phases.items()}
                for name, phases in entry.told.items()
            }
            entry = replace(entry, told=told)
        entry = replace(entry, synced=True)
        found[entry.key] = entry
    return found


def _write_row(connection: Connection, entry: Entry) -> None:
    """Write one alert: into its open row, else as a new one."""
    told = [at for phases in entry.told.values() for phase, at in phases.items() if phase == "opened"]
    reminded = [at for phases in entry.told.values() for phase, at in phases.items() if phase == "reminded"]
    values = {
        "subject": _storable(entry.subject),
        "kind": entry.kind,
        "opened_at": entry.opened_at,
        "notified_at": min(told, default=None),
        "reminded_at": max(reminded, default=None),
        "closed_at": entry.closed_at,
        "details": _storable(json.dumps(entry.as_json(), ensure_ascii=False).replace("\\u0000", " ")),
    }
    changed = connection.execute(
        text(
            "UPDATE alerts SET opened_at = :opened_at, notified_at = :notified_at, reminded_at = :reminded_at,"
            " closed_at = :closed_at, details = CAST(:details AS jsonb) WHERE id = (SELECT id FROM alerts"
            " WHERE subject = :subject AND kind = :kind AND (closed_at IS NULL OR opened_at = :opened_at)"
            " ORDER BY (closed_at IS NULL) DESC, id DESC LIMIT 1)"
        ),
        values,
    ).rowcount
    if not changed:
        connection.execute(
            text(
                "INSERT INTO alerts (subject, kind, opened_at, notified_at, reminded_at, closed_at, details)"
                " VALUES (:subject, :kind, :opened_at, :notified_at, :reminded_at, :closed_at,"
                " CAST(:details AS jsonb)) ON CONFLICT DO NOTHING"
            ),
            values,
        )


def _storable(words: str) -> str:
    return words.replace("\0", " ").encode("utf-8", "replace").decode()


# --- what is done ----------------------------------------------------------------------------------------------------


@contextmanager
def only_here(database: Database | None) -> Iterator[bool]:
    """Hold the lock of alerts for the block: hosts that share a database tell it once. False if it stays taken."""
    if database is None:
        yield False
        return
    from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

    with translated(), database.lock_connection(application_name="jobsync:alert") as connection:

        def is_taken() -> bool:
            row = connection.execute(
                "SELECT pg_try_advisory_lock(%s)", [lock_key("alerts", database.schema)]
            ).fetchone()
            return row is not None and bool(row[0])

        trying = Retrying(
            retry=retry_if_result(lambda ours: not ours),
            stop=stop_after_delay(_LOCK_WITHIN_S),
            wait=wait_fixed(0.2),
            retry_error_callback=lambda _: False,
        )
        alone = trying(is_taken)
        if not alone:
            get_logger().warning("alert.lock_taken", message="another host is telling; this one tells only its own")
        yield alone


def tell_health(book: Book, health: Health, seen: Snapshot, *, limits: Limits, host: str, alone: bool) -> None:
    """
    Bring the book up to date with the verdict: open what is new, close what is over.

    Args:
        alone: no other host does the same now; else only what is this host's own is touched.
    """
    now = health.now
    for entry in judge_units(list(book.entries.values()), seen, host, limits):
        book.put(entry)
    for entry in list(book.entries.values()):
        if entry.kind == DATABASE and entry.host == host and entry.closed_at is None:
            book.put(close(entry, now))
    if not alone:
        return
    found = {(problem.subject, problem.kind): problem for problem in health.problems if problem.kind not in OF_HOST}
    for entry in list(book.entries.values()):
        if entry.host is None and entry.closed_at is None and entry.key not in found:
            book.put(close(entry, now))
    for key, problem in found.items():
        known = book.entries.get(key)
        is_open = known is not None and known.closed_at is None
        new = _entry(problem, now)
        if is_open and known is not None and (known.text, known.what_to_do) == (new.text, new.what_to_do):
            continue  # hundreds of them may be open for days: what says nothing new is not written again
        if problem.ripe or is_open:
            book.put(see(book.entries, new))


def _entry(problem: Problem, now: datetime) -> Entry:
    return Entry(
        subject=visible(problem.subject, most=200),
        kind=problem.kind,
        opened_at=now,
        last_at=now,
        text=visible(problem.text, most=500),
        what_to_do=visible(problem.what_to_do, most=500),
    )


def tell_database(book: Book, error: str, *, now: datetime, host: str) -> None:
    """Note that the database does not answer, seen from this host."""
    book.put(
        see(
            book.entries,
            Entry(
                subject=f"database of {host}",
                kind=DATABASE,
                opened_at=now,
                last_at=now,
                text=f"{host} cannot use the database: {visible(error, most=300).removeprefix('database: ')}",
                what_to_do="systemctl status postgresql on its host; free disk there; jobsync doctor",
                host=host,
                cause=DATABASE,
            ),
        )
    )


def own_subject(kind: str, host: str) -> str:
    """
    Return what a trouble of a host's own is about.

    >>> own_subject("prune", "db1")
    'prune on db1'
    """
    return f"{kind} on {host}"


def tell_own(book: Book, kind: str, trouble: str | None, what_to_do: str, *, now: datetime, times: int = 1) -> None:
    """
    Note a trouble of this host's own, or that it is over.

    Args:
        times: how often in a row it is seen before it is told.
    """
    subject = own_subject(kind, book.host)
    known = book.entries.get((subject, kind))
    if trouble is None:
        if known is not None and known.closed_at is None:
            book.put(close(known, now))
        return
    found = Entry(
        subject=subject,
        kind=kind,
        opened_at=now,
        last_at=now,
        text=visible(trouble, most=500),
        what_to_do=what_to_do,
        host=book.host,
        threshold=times,
    )
    is_open = known is not None and known.closed_at is None
    if is_open and known is not None and known.ripe and known.text == found.text and now - known.last_at < _SAID_ANEW:
        return  # nothing new
    book.put(see(book.entries, found))


@dataclass(frozen=True)
class UnitFailure:
    """
    What systemd says of a unit that failed (systemd.exec(5), $MONITOR_…).

    Args:
        result: $MONITOR_SERVICE_RESULT: exit-code, timeout, watchdog, signal, oom-kill, ...
        status: $MONITOR_EXIT_STATUS: an exit code or a signal's name.
    """

    unit: str
    host: str
    result: str | None = None
    status: str | None = None
    invocation_id: str | None = None
    run_id: str | None = None
    error: str | None = None
    database_error: str | None = None


def tell_unit(book: Book, failure: UnitFailure, *, now: datetime, limits: Limits, success_at: datetime | None) -> None:
    """
    Count one failure of a unit; from `alert_after_failures` in a row on it is told.

    Args:
        success_at: when the unit's job last succeeded, as far as anybody knows: a row of failures ends there.
    """
    subject = f"{visible(failure.unit, most=120)} on {failure.host}"
    known = book.entries.get((subject, UNIT))
    if known is not None and not known.spoken and success_at is not None and success_at > known.last_at:
        book.put(replace(known, count=0, opened_at=now))  # a new row of failures; one that was told goes on
    new = Entry(
        subject=subject,
        kind=UNIT,
        opened_at=now,
        last_at=now,
        text="",
        what_to_do=_what_about(failure),
        host=failure.host,
        threshold=limits.after_failures,
        cause=DATABASE if failure.database_error else None,
        run_id=failure.run_id,
    )
    seen = see(book.entries, new)
    book.put(replace(seen, text=_unit_words(failure, seen)))


def _unit_words(failure: UnitFailure, entry: Entry) -> str:
    times = f"failed {many(entry.count, 'time')} in a row" if entry.count > 1 else "failed"
    how = _how(failure)
    why = failure.error or failure.database_error
    return visible(f"{entry.subject} {times}{f' ({how})' if how else ''}{f': {why}' if why else ''}", most=500)


def _how(failure: UnitFailure) -> str | None:
    meaning = _MEANINGS.get(failure.status or "")
    if failure.result in (None, "", "exit-code"):
        return f"exit {failure.status}{f', {meaning}' if meaning else ''}" if failure.status else None
    return f"{failure.result}{f', {failure.status}' if failure.status else ''}"


_MEANINGS = {str(int(code)): code.short for code in ExitCode}
_NOT_USABLE = {str(int(code)) for code in (ExitCode.CONFIGURATION, ExitCode.UNAVAILABLE)}


def _what_about(failure: UnitFailure) -> str:
    journal = f"journalctl -u {visible(failure.unit, most=120)} -n 50"
    if failure.invocation_id:
        journal = f"journalctl _SYSTEMD_INVOCATION_ID={visible(failure.invocation_id, most=40)}"
    if failure.run_id:
        return f"jobsync runs show {failure.run_id[:8]}; {journal}"
    if failure.status in _NOT_USABLE:
        return f"jobsync doctor; {journal}"
    return f"jobsync status; {journal}"


def stamp_watch(connection: Connection, now: datetime) -> None:
    """Note that somebody watches: whoever looks can see that alerts are being told at all."""
    connection.execute(
        text(
            "INSERT INTO jobs (name, last_tick_at) VALUES (:name, :now)"
            " ON CONFLICT (name) DO UPDATE SET last_tick_at = excluded.last_tick_at"
        ),
        {"name": WATCH, "now": now},
    )


def read_unit_facts(
    connection: Connection, unit: str, invocation_id: str | None
) -> tuple[datetime | None, str | None, str | None]:
    """Return when the unit's job last succeeded, and the id and error of the run of this invocation."""
    job = job_of(unit)
    success: datetime | None = connection.scalar(
        text("SELECT last_success_at FROM jobs WHERE name = :job"), {"job": job or ""}
    )
    row = None
    if invocation_id and job:
        row = connection.execute(
            text(
                "SELECT id, error FROM job_runs WHERE job = :job AND invocation_id = :invocation"
                " AND started_at > now() - interval '2 days' ORDER BY started_at DESC LIMIT 1"
            ),
            {"job": job, "invocation": invocation_id},
        ).one_or_none()
    return success, (str(row[0]) if row else None), (row[1] if row else None)
