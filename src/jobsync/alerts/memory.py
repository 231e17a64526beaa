"""
Where alerts are remembered: the table `alerts`, and a small file on each host for when the database is away.

While the database answers, the table is right. A file that was last written without it holds what the table does not
know yet: of two records of one alert the one changed last counts, and whoever was told by either has been told;
silences are put together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Executable, delete, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_or_not
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from jobsync.alerts.local_file import LocalFile, open_file
from jobsync.alerts.model import Alert, Book, as_json, read_kept
from jobsync.db.audit import write_audit
from jobsync.db.engine import Database, translated
from jobsync.db.jsonb import as_object
from jobsync.db.statements import rows_of
from jobsync.db.tables import alert_silences, alerts
from jobsync.errors import JobsyncError
from jobsync.logs import get_logger, visible
from jobsync.runner.lock import lock_key
from jobsync.upkeep.model import BEFORE, RetentionRule, oldest

RULES = (RetentionRule(alerts, "runs_retention_days", oldest(alerts, alerts.c.closed_at < BEFORE)),)
_LOCK_WITHIN_S = 15.0
Audit = tuple[str, str | None, Mapping[str, Any]]  # action, subject, details


@dataclass
class Memory:
    """What is known of all alerts, while no other process of this host can change it: table and file, as one."""

    file: LocalFile
    engine: Engine | None  # None while the database is away
    audit: Audit | None = None  # what a person changed; kept with what `write` changes
    alone: bool = False  # no other host holds the table's memory
    _kept: Book = field(default_factory=Book, init=False)  # as the table has it

    def read(self) -> Book:
        """Return all of it; what is damaged is left out."""
        told = self.file.read()
        noted = Book.read(told.get("alerts"), told.get("silences"), told.get("limits"))
        if self.engine is None:
            return noted
        with translated(), self.engine.begin() as connection:
            self._kept = _read_tables(connection)
        return replace(self._kept if told.get("handed_in") is True else merge(noted, self._kept), limits=noted.limits)

    def write(self, book: Book) -> None:
        """Replace it; what did not change since it was read is left alone."""
        try:
            handed_in = self.engine is not None and self._write_tables(self.engine, book)
        except JobsyncError as error:
            if self.audit is not None:  # no other host, and perhaps no unit of this one, would ever see the file's
                raise
            get_logger().warning("alert.not_recorded", error=visible(error))
            handed_in = False
        alerts = [*book.alerts.values()]
        self.file.write({"handed_in": handed_in, "limits": book.limits, "silences": book.silences, "alerts": alerts})

    def _write_tables(self, engine: Engine, book: Book) -> bool:
        fresh = [alert for key, alert in book.alerts.items() if alert != self._kept.alerts.get(key)]
        gone, new = ({*self._kept.silences} - {*book.silences}, {*book.silences} - {*self._kept.silences})
        if not (fresh or gone or new or self.audit):
            return True
        with translated(), engine.begin() as connection:
            for alert in fresh:
                _write_row(connection, alert)
            for silence in gone:  # another host may have set one meanwhile
                connection.execute(delete(alert_silences).where(alert_silences.c.set_at == silence.set_at))
            for silence in sorted(new, key=lambda each: each.set_at):
                connection.execute(insert(alert_silences).values(vars(silence)))
            if self.audit is not None:
                write_audit(connection, *self.audit)
        return True


def _read_tables(connection: Connection) -> Book:
    lately = or_(alerts.c.closed_at.is_(None), alerts.c.closed_at > func.now() - text("interval '8 days'"))
    latest_last = (alerts.c.closed_at.is_(None), alerts.c.opened_at, alerts.c.id)
    found = {}
    for row in _rows_of(connection, select(alerts).where(lately).order_by(*latest_last)):
        whole = {"seen_at": row["opened_at"], **as_object(row["details"]), **row}
        bare = {**row, "seen_at": row["opened_at"], "told": {}}
        if alert := read_kept(whole, Alert) or read_kept(bare, Alert):
            found[alert.key] = _as_noticed(alert, row["notified_at"])
    silences = _rows_of(connection, select(alert_silences).order_by(alert_silences.c.id))
    return replace(Book.read([], silences, {}), alerts=found)


def _rows_of(connection: Connection, statement: Executable) -> list[dict[str, Any]]:
    """Return rows by plain names: msgspec knows no name that is of SQLAlchemy's own kind of text."""
    return [{str(name): value for name, value in row.items()} for row in rows_of(connection, statement)]


def _as_noticed(alert: Alert, at: datetime | None) -> Alert:
    """Return an alert as its column `notified_at` has it, which may have been set by hand."""
    if at is None:
        return alert
    told, reminded = ({to: min(each, at) for to, each in said.items()} for said in (alert.told, alert.reminded))
    return replace(alert, told=told, reminded=reminded)


def _write_row(connection: Connection, alert: Alert) -> None:
    plain = msgspec.json.decode(as_json(alert))
    values = {
        **{name: value for name, value in vars(alert).items() if name in alerts.c},
        "told": plain["told"],
        "notified_at": max([*alert.told.values(), *alert.reminded.values()], default=None),
        "details": {name: value for name, value in plain.items() if name not in alerts.c},
    }
    same = [alerts.c[name] == values[name] for name in ("kind", "subject", "cause")]
    is_it = or_(alerts.c.closed_at.is_(None), alerts.c.opened_at == alert.opened_at)
    open_first = (alerts.c.closed_at.is_(None).desc(), alerts.c.id.desc())
    row = select(alerts.c.id).where(*same, is_it).order_by(*open_first).limit(1).scalar_subquery()
    if not connection.execute(update(alerts).where(alerts.c.id == row).values(values)).rowcount:
        connection.execute(insert_or_not(alerts).values(values).on_conflict_do_nothing())


def merge(noted: Book, kept: Book) -> Book:
    """Return what is known, from a file that was written without the database and from the database."""
    merged = dict(kept.alerts)
    for key, alert in noted.alerts.items():
        row = kept.alerts.get(key, alert)
        newer, older = (alert, row) if alert.changed_at >= row.changed_at else (row, alert)
        if older.closed_at is not None and newer.opened_at > older.closed_at:  # it is another
            merged[key] = newer
            continue
        merged[key] = replace(
            newer,
            opened_at=min(newer.opened_at, older.opened_at),
            times=max(newer.times, older.times),
            ripe=newer.ripe or older.ripe,
            told={**older.told, **newer.told},
            reminded={**older.reminded, **newer.reminded},
            ended={**older.ended, **newer.ended},
        )
    silences = {(each.kind, each.subject, each.set_at): each for each in (*kept.silences, *noted.silences)}
    return replace(kept, alerts=merged, silences=tuple(sorted(silences.values(), key=lambda each: each.set_at)))


def look_up(environ: Mapping[str, str], engine: Engine | None) -> Book:
    """Return what is remembered, for somebody who only looks."""
    with open_file(environ) as file:
        return Memory(file, engine).read()


@contextmanager
def opened(
    environ: Mapping[str, str], database: tuple[Database, Engine] | None, audit: Audit | None = None
) -> Iterator[Memory]:
    """Hold what is remembered for the block; never while a server thinks."""
    with open_file(environ) as file, _only_here(database) as alone:
        yield Memory(file, database[1] if database is not None else None, audit, alone=alone)


@contextmanager
def _only_here(database: tuple[Database, Engine] | None) -> Iterator[bool]:
    """Hold the lock of alerts for the block: hosts that share a database tell it once. False if it stays taken."""
    if database is None:
        yield False
        return
    key = lock_key("alerts", database[0].schema)
    with translated(), database[0].lock_connection(application_name="jobsync:alert") as connection:
        trying = Retrying(
            retry=retry_if_result(lambda row: row != (True,)),
            stop=stop_after_delay(_LOCK_WITHIN_S),
            wait=wait_fixed(0.2),
            retry_error_callback=lambda _: None,
        )
        taken = trying(lambda: connection.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone())
        alone = taken is not None
        if not alone:
            get_logger().warning("alert.lock_taken", message="another host is telling; this one tells only its own")
        yield alone
