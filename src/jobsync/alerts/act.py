"""What the health timer and OnFailure= do, in their order: look, judge, remember, tell, prune."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobsync.alerts import alert
from jobsync.alerts.local_file import open_notebook
from jobsync.alerts.send import Channel, NotSent
from jobsync.causes import Cause
from jobsync.db.engine import driver, translated
from jobsync.db.statements import read_now
from jobsync.db.system_settings import SystemSettings, read_system_settings
from jobsync.errors import JobsyncError
from jobsync.hostname import host_name
from jobsync.logs import get_logger, visible
from jobsync.upkeep.model import Rule
from jobsync.upkeep.prune import prune
from jobsync.watch.health import Health, judge_health
from jobsync.watch.model import Check, Problem, Watched
from jobsync.watch.snapshot import read_snapshot
from jobsync.watch.timers import Waker

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from jobsync.db.engine import Database

SECOND_LOOK_S = 20.0  # after the first began: a server that restarts is back by then
_PRUNE_S = 10.0
_PRUNE_RIPE = 2  # one that fails with the database is told by the next look at the database
_PRUNE_HELP = "jobsync runs prune says it again; jobsync doctor; until it works the disk fills"
_MAIL_HELP = "correct JOBSYNC_ALERT_TO, or the mail server"


@dataclass(frozen=True)
class Done:
    """
    What a duty led to.

    Args:
        health: None if the database did not answer; `database_error` says why.
        not_sent: what could not be told; it is tried again at the next duty.
        refused: addresses that the mail server refuses although it took the mail for others.
    """

    health: Health | None = None
    database_error: JobsyncError | None = None
    not_sent: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    pruned: Mapping[str, int] | None = None


class _Desk:
    """Where alerts are told from: the book is open only while it is read and written, never while a server thinks."""

    def __init__(self, channels: Sequence[Channel], environ: Mapping[str, str], host: str) -> None:
        self._channels = channels
        self._environ = environ
        self._host = host
        self._database: tuple[Database, Engine] | None = None
        self.not_sent: list[str] = []
        self.refused: list[str] = []

    def use(self, database: tuple[Database, Engine] | None) -> None:
        """From now on the book is kept in the database too, or no more."""
        self._database = database

    def tell(self, now: datetime, settings: SystemSettings | None, change: Callable[[alert.Book, bool], None]) -> None:
        """
        Change the book, and tell every channel what follows from it.

        Args:
            change: gets the book, and whether no other host does the same now.
        """
        with self._book() as (book, alone):
            limits = book.limits(settings)
            change(book, alone)
            letters = book.prepare(self._channels, now, limits, alone=alone)
        if not letters:
            return
        outcomes = list(self._send(letters))
        try:
            self._record(outcomes, now)
        except JobsyncError as error:  # the file must do
            get_logger().warning("alert.not_recorded", error=visible(error))
            self.use(None)
            self._record(outcomes, now)

    @contextmanager
    def _book(self) -> Iterator[tuple[alert.Book, bool]]:
        database, engine = self._database or (None, None)
        with open_notebook(self._environ) as notebook, alert.only_here(database) as alone:
            yield alert.Book(notebook, engine, self._host), alone

    def _send(self, letters: Sequence[alert.Letter]) -> Iterator[tuple[alert.Letter, alert.Outcome, Sequence[str]]]:
        broken = set()
        for letter in letters:
            name, size = letter.channel.name, len(letter.due)
            if name in broken:  # it would cost the same time again
                yield letter, alert.Outcome.NOT_SENT, ()
                continue
            try:
                refused = letter.channel.send(letter.message)
            except NotSent as problem:
                broken.add(name)
                self.not_sent.append(f"{problem}{'; perhaps it arrived, said again later' if problem.perhaps else ''}")
                get_logger().error(
                    "alert.not_sent", channel=name, error=str(problem), alerts=size, perhaps=problem.perhaps
                )
                yield letter, alert.Outcome.PERHAPS if problem.perhaps else alert.Outcome.NOT_SENT, ()
                continue
            get_logger().warning("alert.sent", channel=name, title=letter.message.title, alerts=size)
            for words in refused:
                get_logger().warning("alert.address_refused", channel=name, error=words)
            yield letter, alert.Outcome.SENT, refused

    def _record(self, outcomes: Sequence[tuple[alert.Letter, alert.Outcome, Sequence[str]]], now: datetime) -> None:
        with self._book() as (book, _):
            for letter, outcome, refused in outcomes:
                book.record(letter, outcome, now)
                if letter.channel.name == alert.MAIL and outcome is alert.Outcome.SENT:
                    alert.tell_own(book, alert.MAIL, "; ".join(refused) or None, _MAIL_HELP, now=now)
                    self.refused = list(refused)
            book.save()


def do_health(
    open_database: Callable[[], tuple[Database, Engine]],
    watched: Sequence[Watched],
    rules: Sequence[Rule],
    channels: Sequence[Channel],
    environ: Mapping[str, str],
    *,
    wait: Callable[[float], None],
    waker: Waker = Waker.UNITS,
    now: datetime | None = None,
) -> Done:
    """
    Evaluate, open and close alerts, send, prune: what jobsync-health.timer wakes every five minutes.

    Args:
        open_database: raises what keeps the database from being used.
        watched: the slices.
        rules: how long rows stay.
        wait: between two looks at a database that does not answer.
        waker: what wakes the jobs on this host.
        now: another instant than the database's clock (or, while it is away, this host's), for tests.
    """
    host = host_name()
    desk = _Desk(channels, environ, host)
    try:
        began = time.monotonic()
        try:
            database, engine = open_database()
        except JobsyncError:
            left_s = SECOND_LOOK_S - (time.monotonic() - began)
            if left_s <= 0:  # a silent one was waited for longer than that
                raise
            wait(left_s)
            database, engine = open_database()
        with translated(), engine.begin() as connection:
            seen = read_snapshot(connection, watched, now=now, waker=waker)
            alert.stamp_watch(connection, seen.now)
        desk.use((database, engine))
        found: list[tuple[Health, bool]] = []

        def judge(book: alert.Book, alone: bool) -> None:
            open_kinds = {key for key, entry in book.entries.items() if entry.closed_at is None}
            health = judge_health(seen, open_kinds=open_kinds)
            alert.tell_health(book, health, seen, limits=book.limits(seen.settings), host=host, alone=alone)
            found.append((health, (alert.own_subject(alert.PRUNE, host), alert.PRUNE) in open_kinds))

        desk.tell(seen.now, seen.settings, judge)
    except JobsyncError as error:
        problem = error  # the name of an except clause is gone after it
        get_logger().error("health.no_database", error=visible(problem))
        moment = now or datetime.now(UTC)
        desk.use(None)
        desk.tell(moment, None, lambda book, _alone: alert.tell_database(book, str(problem), now=moment, host=host))
        return Done(database_error=problem, not_sent=tuple(desk.not_sent), refused=tuple(desk.refused))
    health, was_open = found[-1]
    health, pruned = _prune(desk, engine, health, seen.settings, rules, host=host, was_open=was_open)
    return Done(health, None, tuple(desk.not_sent), tuple(desk.refused), pruned)


def _prune(
    desk: _Desk,
    engine: Engine,
    health: Health,
    settings: SystemSettings,
    rules: Sequence[Rule],
    *,
    host: str,
    was_open: bool,
) -> tuple[Health, Mapping[str, int]]:
    """Delete what is past its retention; what keeps us from it is a problem of its own, not the database's."""
    trouble: str | None = None
    pruned: Mapping[str, int] = {}
    kept: list[str] = []
    try:
        pruned = prune(engine, settings, rules, now=health.now, within_s=_PRUNE_S, told=kept.append)
    except JobsyncError as error:
        kept.append(str(error).removeprefix("database: "))
    if kept:
        trouble = f"{host} could not delete old rows: {visible('; '.join(kept), most=300)}"
        get_logger().error("health.not_pruned", error=visible("; ".join(kept)))
    if any(pruned.values()):
        get_logger().info("health.pruned", **{table: number for table, number in pruned.items() if number})
    if trouble or was_open:

        def note(book: alert.Book, _alone: bool) -> None:
            alert.tell_own(book, alert.PRUNE, trouble, _PRUNE_HELP, now=health.now, times=_PRUNE_RIPE)

        try:
            desk.tell(health.now, settings, note)
        except JobsyncError as error:  # the next look says whether it is the database
            get_logger().warning("alert.not_recorded", error=visible(error))
    return _with_prune(health, trouble, host), pruned


def _with_prune(health: Health, trouble: str | None, host: str) -> Health:
    """Return the verdict after pruning: before, it knew only how the last time ended."""
    subject = alert.own_subject(alert.PRUNE, host)
    now = (Problem(subject, alert.PRUNE, trouble, _PRUNE_HELP, cause=Cause.ROWS_NOT_DELETED),) if trouble else ()

    def renewed(check: Check) -> Check:
        others = tuple(problem for problem in check.problems if problem.subject != subject)
        return replace(check, problems=others + now) if check.name == alert.PRUNE else check

    return replace(health, checks=tuple(map(renewed, health.checks)))


def do_unit_failure(
    failure: alert.UnitFailure,
    open_database: Callable[[], tuple[Database, Engine]],
    channels: Sequence[Channel],
    environ: Mapping[str, str],
    *,
    now: datetime | None = None,
) -> Done:
    """Count one failure of a unit and tell what is due; works without the database."""
    desk = _Desk(channels, environ, failure.host)

    def count(
        known: alert.UnitFailure, moment: datetime, settings: SystemSettings | None, success_at: datetime | None
    ) -> None:
        def note(book: alert.Book, _alone: bool) -> None:
            alert.tell_unit(book, known, now=moment, limits=book.limits(settings), success_at=success_at)

        desk.tell(moment, settings, note)

    problem = None
    try:
        database, engine = open_database()
        with translated(), engine.begin() as connection:
            settings = read_system_settings(driver(connection))
            moment = now or read_now(connection)
            success_at, run_id, error = alert.read_unit_facts(connection, failure.unit, failure.invocation_id)
        desk.use((database, engine))
        count(replace(failure, run_id=run_id, error=error), moment, settings, success_at)
    except JobsyncError as away:
        problem = away
        desk.use(None)
        count(replace(failure, database_error=str(away)), now or datetime.now(UTC), None, None)
    return Done(database_error=problem, not_sent=tuple(desk.not_sent), refused=tuple(desk.refused))
