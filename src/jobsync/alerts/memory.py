"""
Where alerts are remembered: the table `alerts`, and a small file on each host for when the database is away.

Both satisfy `Memory`. While the database answers, the table is right. A file that was last written without it
holds what the table does not know yet: of two records of one alert the one changed last counts, and whoever was told by
either has been told; silences are put together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import delete, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_or_not
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from jobsync.alerts.local_file import LocalFile, open_file
from jobsync.alerts.model import Alert, Book, Silence, as_plain
from jobsync.db.audit import write_audit
from jobsync.db.engine import translated
from jobsync.db.jsonb import as_object
from jobsync.db.statements import rows_of
from jobsync.db.tables import alert_silences, alerts
from jobsync.errors import JobsyncError
from jobsync.logs import get_logger, visible
from jobsync.runner.lock import lock_key
from jobsync.upkeep.model import BEFORE, RetentionRule, oldest

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from jobsync.db.engine import Database

RULES = (RetentionRule(alerts, "runs_retention_days", oldest(alerts, alerts.c.closed_at < BEFORE)),)
_LOCK_WITHIN_S = 15.0
_COLUMNS = ("kind", "subject", "cause", "text", "what_to_do", "opened_at", "told", "silenced_until", "closed_at")
Audit = tuple[str, str | None, Mapping[str, Any]]


class Memory(Protocol):
    """What is known of all alerts, while no other process can change it."""

    def read(self) -> Book:
        """Return all of it; what is damaged is left out."""

    def write(self, book: Book) -> None:
        """Replace it; what did not change since it was read is left alone."""


class TableMemory:
    """
    The tables `alerts` and `alert_silences`.

    Args:
        audit: what a person changed: action, subject, details; kept with what `write` changes.
    """

    def __init__(self, engine: Engine, audit: Audit | None = None) -> None:
        self._engine = engine
        self._audit = audit
        self._known = Book()

    @property
    def is_asked(self) -> bool:
        """Whether a person waits to hear that it was written."""
        return self._audit is not None

    def read(self) -> Book:
        with translated(), self._engine.begin() as connection:
            self._known = _read_tables(connection)
        return self._known

    def write(self, book: Book) -> None:
        fresh = [alert for key, alert in book.alerts.items() if alert != self._known.alerts.get(key)]
        gone, new = ({*self._known.silences} - {*book.silences}, {*book.silences} - {*self._known.silences})
        if not fresh and not gone and not new and self._audit is None:
            return
        with translated(), self._engine.begin() as connection:
            for alert in fresh:
                _write_row(connection, alert)
            for silence in gone:  # another host may have set one meanwhile
                connection.execute(delete(alert_silences).where(alert_silences.c.set_at == silence.set_at))
            for silence in sorted(new, key=lambda each: each.set_at):
                values = {alert_silences.c[name]: value for name, value in vars(silence).items()}
                connection.execute(insert(alert_silences).values(values))
            if self._audit is not None:
                write_audit(connection, *self._audit)
        self._known, self._audit = book, None


def _read_tables(connection: Connection) -> Book:
    lately = or_(alerts.c.closed_at.is_(None), alerts.c.closed_at > func.now() - text("interval '8 days'"))
    latest_last = (alerts.c.closed_at.is_(None), alerts.c.opened_at, alerts.c.id)
    found = {}
    for row in rows_of(connection, select(alerts).where(lately).order_by(*latest_last)):
        columns = {name: row[name] for name in _COLUMNS}
        whole = {"seen_at": row["opened_at"], **as_object(row["details"]), **columns}
        bare = {**columns, "seen_at": row["opened_at"], "told": {}}
        for alert in [*Book.read([whole], [], {}).alerts.values(), *Book.read([bare], [], {}).alerts.values()][:1]:
            found[alert.key] = _as_noticed(alert, row["notified_at"])
    rows = rows_of(connection, select(alert_silences).order_by(alert_silences.c.id))
    silences = [{each.name: row[each.name] for each in fields(Silence)} for row in rows]
    return replace(Book.read([], silences, {}), alerts=found)


def _as_noticed(alert: Alert, at: datetime | None) -> Alert:
    """Return an alert as its column `notified_at` has it, which may have been set by hand."""
    if at is None:
        return alert
    said: dict[str, Any] = {
        name: {to: min(each, at) for to, each in getattr(alert, name).items()} for name in ("told", "reminded")
    }
    return replace(alert, **said)


def _write_row(connection: Connection, alert: Alert) -> None:
    """Write one alert: into its open row, else as a new one."""
    plain = as_plain(alert)
    said = [*alert.told.values(), *alert.reminded.values()]
    values = {
        **{name: getattr(alert, name) for name in ("opened_at", "silenced_until", "closed_at")},
        **{name: plain.pop(name) for name in ("text", "what_to_do", "told")},
        "notified_at": max(said, default=None),
        "details": {name: value for name, value in plain.items() if name not in _COLUMNS},
    }
    identity = {name: plain[name] for name in ("kind", "subject", "cause")}
    row = (
        select(alerts.c.id)
        .where(
            *(alerts.c[name] == value for name, value in identity.items()),
            or_(alerts.c.closed_at.is_(None), alerts.c.opened_at == alert.opened_at),
        )
        .order_by(alerts.c.closed_at.is_(None).desc(), alerts.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    if not connection.execute(update(alerts).where(alerts.c.id == row).values(values)).rowcount:
        connection.execute(insert_or_not(alerts).values({**identity, **values}).on_conflict_do_nothing())


class FileMemory:
    """
    The small file of this host.

    Args:
        handed_in: whether what is written is in the table too.
    """

    def __init__(self, file: LocalFile) -> None:
        self._file = file
        self.handed_in = False

    @property
    def folder(self) -> Path | None:
        """Where it is written."""
        return self._file.folder

    def read(self) -> Book:
        noted = self._file.read()
        self.handed_in = noted.get("handed_in") is True
        listed = [noted.get(name) for name in ("alerts", "silences")]
        known, silences = [each if isinstance(each, list) else [] for each in listed]
        return Book.read(known, silences, noted.get("limits"))

    def write(self, book: Book) -> None:
        self._file.write(
            {
                "handed_in": self.handed_in,
                "limits": as_plain(book.limits),
                "silences": [as_plain(silence) for silence in book.silences],
                "alerts": [as_plain(alert) for alert in book.alerts.values()],
            }
        )


class BothMemories:
    """
    Table and file, as one.

    Args:
        table: None while the database is away.
    """

    def __init__(self, file: FileMemory, table: TableMemory | None) -> None:
        self._file = file
        self._table = table

    def read(self) -> Book:
        noted = self._file.read()
        if self._table is None:
            return noted
        kept = self._table.read()
        return replace(kept if self._file.handed_in else merge(noted, kept), limits=noted.limits)

    def write(self, book: Book) -> None:
        self._file.handed_in = False
        if self._table is not None:
            try:
                self._table.write(book)
                self._file.handed_in = True
            except JobsyncError as error:
                if self._table.is_asked:  # no other host, and perhaps no unit of this one, would ever see the file's
                    raise
                get_logger().warning("alert.not_recorded", error=visible(error))
        self._file.write(book)


def merge(noted: Book, kept: Book) -> Book:
    """Return what is known, from a file that was written without the database and from the database."""
    merged = dict(kept.alerts)
    for key, alert in noted.alerts.items():
        row = kept.alerts.get(key)
        if row is None:
            merged[key] = alert
            continue
        newer, older = (alert, row) if alert.changed_at >= row.changed_at else (row, alert)
        same = older.closed_at is None or newer.opened_at <= older.closed_at
        if not same:
            merged[key] = newer
            continue
        said: dict[str, Any] = {
            name: {**getattr(older, name), **getattr(newer, name)} for name in ("told", "reminded", "ended")
        }
        merged[key] = replace(
            newer,
            opened_at=min(newer.opened_at, older.opened_at),
            times=max(newer.times, older.times),
            ripe=newer.ripe or older.ripe,
            **said,
        )
    silences = {(each.kind, each.subject, each.set_at): each for each in (*kept.silences, *noted.silences)}
    return replace(kept, alerts=merged, silences=tuple(sorted(silences.values(), key=lambda each: each.set_at)))


def look_up(environ: Mapping[str, str], engine: Engine | None) -> Book:
    """Return what is remembered, for somebody who only looks."""
    with open_file(environ) as file:
        return BothMemories(FileMemory(file), TableMemory(engine) if engine is not None else None).read()


@contextmanager
def opened(
    environ: Mapping[str, str], database: tuple[Database, Engine] | None, audit: Audit | None = None
) -> Iterator[tuple[Memory, bool, Path | None]]:
    """
    Hold what is remembered for the block; never while a server thinks.

    Yields the memory, whether no other host holds the table's, and the folder of this host's file.
    """
    with open_file(environ) as file, _only_here(database) as alone:
        local = FileMemory(file)
        table = TableMemory(database[1], audit) if database is not None else None
        yield BothMemories(local, table), alone, local.folder


@contextmanager
def _only_here(database: tuple[Database, Engine] | None) -> Iterator[bool]:
    """Hold the lock of alerts for the block: hosts that share a database tell it once. False if it stays taken."""
    if database is None:
        yield False
        return
    with translated(), database[0].lock_connection(application_name="jobsync:alert") as connection:

        def is_taken() -> bool:
            key = lock_key("alerts", database[0].schema)
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()
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
