"""What the health timer, OnFailure= and people do about alerts, in their order: look, decide, remember, tell, prune."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Engine, text

from jobsync.alerts import units
from jobsync.alerts.decide import Delivery, decide, record
from jobsync.alerts.memory import opened
from jobsync.alerts.message import TEST, AlertMessage, AlertNote
from jobsync.alerts.model import Alert, Limits, Look, on_host
from jobsync.alerts.post import NotSent
from jobsync.causes import Cause, Kind
from jobsync.db.engine import Database, driver, translated
from jobsync.db.statements import read_now
from jobsync.db.system_settings import read_system_settings
from jobsync.errors import JobsyncError
from jobsync.hostname import host_name
from jobsync.jobs import BY_NAME
from jobsync.logs import get_logger, visible
from jobsync.upkeep.model import RetentionRule
from jobsync.upkeep.prune import prune
from jobsync.watch.health import Health, judge_health
from jobsync.watch.model import WATCH, Snapshot, Watched
from jobsync.watch.snapshot import read_snapshot
from jobsync.watch.timers import Waker, read_timers_on

if TYPE_CHECKING:
    from jobsync.alerts.send import Channel

SECOND_LOOK_S = 20.0  # after the first began: a server that restarts is back by then
_PRUNE_S = 10.0
# Whoever looks can see that alerts are being told at all.
_WATCHED = (
    "INSERT INTO jobs (name, last_tick_at) VALUES (:name, :now)"
    " ON CONFLICT (name) DO UPDATE SET last_tick_at = excluded.last_tick_at"
)


@dataclass
class Done:
    """What was done."""

    health: Health | None = None  # None if the database did not answer; the error says why
    database_error: JobsyncError | None = None
    not_sent: tuple[str, ...] = ()  # what could not be told; it is tried again the next time
    refused: tuple[str, ...] = ()  # addresses that the mail server refuses while others have the mail
    pruned: Mapping[str, int] | None = None


class _Teller:
    """Where alerts are told from; what is remembered is held only while it is read and written."""

    def __init__(self, channels: Sequence[Channel], environ: Mapping[str, str], host: str) -> None:
        self._channels = {channel.name: channel for channel in channels}
        self._environ, self._host = environ, host
        self.database: tuple[Database, Engine] | None = None
        self.done = Done()

    def tell(self, now: datetime, look: Look, limits: Limits | None) -> None:
        """Remember a look, and tell every channel what follows; None as limits: those that were in force last."""
        with opened(self._environ, self.database) as memory:
            book = memory.read()
            book = book if limits is None else replace(book, limits=limits)
            names = tuple(self._channels)
            book, outgoing = decide(book, look, now, host=self._host, channels=names, alone=memory.alone)
            memory.write(book)
        broken: set[str] = set()
        outcomes = [(message, *self._send(message, broken)) for message in outgoing]
        if not outcomes:
            return
        try:
            self._record(outcomes, now)
        except JobsyncError as error:  # the file must do
            get_logger().warning("alert.not_recorded", error=visible(error))
            self.database = None
            self._record(outcomes, now)

    def tell_no_database(self, error: JobsyncError, now: datetime | None, *, at_once: bool) -> Done:
        self.database, self.done.database_error = None, error
        self.tell(now or datetime.now(UTC), units.look_at_no_database(error, self._host, at_once=at_once), None)
        return self.done

    def _send(self, message: AlertMessage, broken: set[str]) -> tuple[Delivery, Sequence[str]]:
        if message.channel in broken:  # it would cost the same time again
            return Delivery.NOT_SENT, ()
        log = get_logger().bind(channel=message.channel, alerts=len(message.notes))
        try:
            refused = self._channels[message.channel].send(message)
        except NotSent as problem:
            broken.add(message.channel)
            later = "; perhaps it arrived, said again later" if problem.perhaps else ""
            self.done.not_sent += (f"{problem}{later}",)
            log.error("alert.not_sent", error=str(problem), perhaps=problem.perhaps)
            return Delivery.PERHAPS if problem.perhaps else Delivery.NOT_SENT, ()
        log.warning("alert.sent", title=message.title)
        for words in refused:
            log.warning("alert.address_refused", error=words)
        return Delivery.SENT, refused

    def _record(self, outcomes: Sequence[tuple[AlertMessage, Delivery, Sequence[str]]], now: datetime) -> None:
        with opened(self._environ, self.database) as memory:
            book = memory.read()
            for message, outcome, refused in outcomes:
                book = record(book, message, outcome, now)
                if message.channel == "mail" and outcome is Delivery.SENT:
                    look = self.own(Cause.ADDRESS_REFUSED, "; ".join(refused))
                    book, _ = decide(book, look, now, host=self._host, channels=(), alone=memory.alone)
                    self.done.refused = tuple(refused)
            memory.write(book)

    def own(self, cause: Cause, trouble: str, *, after: int = 1) -> Look:
        """Return a look at a trouble of this host's own; an empty one is none."""
        found = (on_host(self._host, cause, trouble, after=after),) if trouble else ()
        return Look(found, lambda alert: (alert.cause, alert.host) == (cause, self._host))


def do_health(
    open_database: Callable[[], tuple[Database, Engine]],  # raises what keeps it from being used
    watched: Sequence[Watched],
    rules: Sequence[RetentionRule],
    channels: Sequence[Channel],
    environ: Mapping[str, str],
    *,
    wait: Callable[[float], None],  # between two looks at a database that does not answer
    waker: Callable[[], Waker] = lambda: Waker.UNITS,  # asked once the database is open
    now: datetime | None = None,  # another than the database's clock, or this host's while that is away; for tests
) -> Done:
    """Evaluate, open and close alerts, send, prune: what jobsync-health.timer wakes every five minutes."""
    teller = _Teller(channels, environ, host_name())
    try:
        database, engine = _opened(open_database, wait)
        with translated(), engine.begin() as connection:
            by = waker()
            on = read_timers_on(by, (*BY_NAME, WATCH))
            seen = read_snapshot(connection, watched, now=now, waker=by, timers_on=on)
            successes = units.read_successes(connection, seen)
            connection.execute(text(_WATCHED), {"name": WATCH, "now": seen.now})
        health = judge_health(seen)
        limits = Limits.of(seen.settings)
        own = (Kind.UNIT, Kind.PRUNE, Kind.MAIL)
        found = tuple(problem for problem in health.problems if problem.kind not in own)
        teller.database = (database, engine)
        passed = units.passed_by_health(seen, successes, host_name(), limits.reminder)
        teller.tell(seen.now, Look(found, passed), limits)
    except JobsyncError as error:
        get_logger().error("health.no_database", error=visible(error))
        return teller.tell_no_database(error, now, at_once=True)
    _prune(teller, engine, health, seen, rules)
    return teller.done


def _opened(
    open_database: Callable[[], tuple[Database, Engine]], wait: Callable[[float], None]
) -> tuple[Database, Engine]:
    """Return the database; one that does not answer is looked at a second time, a little later."""
    began = time.monotonic()
    try:
        return open_database()
    except JobsyncError as error:
        left_s = SECOND_LOOK_S - (time.monotonic() - began)  # a silent one was waited for longer
        if left_s <= 0 or (error.alert_cause is not None and error.alert_cause.lasts):
            raise
        wait(left_s)
        return open_database()


def _prune(teller: _Teller, engine: Engine, health: Health, seen: Snapshot, rules: Sequence[RetentionRule]) -> None:
    """Delete what is past its retention; what keeps us from it is a problem of its own, not the database's."""
    cause, trouble = Cause.ROWS_NOT_DELETED, ""
    pruned: Mapping[str, int] = {}
    kept: list[str] = []
    try:
        pruned = prune(engine, seen.settings, rules, now=seen.now, within_s=_PRUNE_S, told=kept.append)
    except JobsyncError as error:
        kept.append(str(error).removeprefix("database: "))
    if kept:
        trouble = f"{host_name()} could not delete old rows: {visible('; '.join(kept), most=300)}"
        get_logger().error("health.not_pruned", error=visible("; ".join(kept)))
    if any(pruned.values()):
        get_logger().info("health.pruned", **{table: number for table, number in pruned.items() if number})
    look = teller.own(cause, trouble, after=2)  # once alone may be the database's
    if trouble or any(alert.kind == cause.kind for alert in seen.alerts):
        try:
            teller.tell(seen.now, look, Limits.of(seen.settings))
        except JobsyncError as error:  # the next look says whether it is the database
            get_logger().warning("alert.not_recorded", error=visible(error))
    [check] = (check for check in health.checks if check.name == cause.kind)  # it knew only how the last time ended
    others = (each for each in check.problems if each.subject != f"{cause.kind} of {host_name()}")
    now_known = replace(check, problems=(*others, *look.found))
    checks = tuple(now_known if each is check else each for each in health.checks)
    teller.done.health, teller.done.pruned = replace(health, checks=checks), pruned


def do_unit_failure(
    failure: units.UnitFailure,
    open_database: Callable[[], tuple[Database, Engine]],
    watched: Sequence[Watched],
    channels: Sequence[Channel],
    environ: Mapping[str, str],
    *,
    now: datetime | None = None,
) -> Done:
    """Find out why a unit failed, and tell what is due; works without the database."""
    teller = _Teller(channels, environ, failure.host)
    try:
        database, engine = open_database()
        with translated(), engine.begin() as connection:
            limits = Limits.of(read_system_settings(driver(connection)))
            moment = now or read_now(connection)
            known = units.read_record(connection, failure)
        teller.database = (database, engine)
        teller.tell(moment, units.look_at_failure(failure, known, watched), limits)
    except JobsyncError as error:
        return teller.tell_no_database(error, now, at_once=False)
    return teller.done


def send_test(channels: Sequence[Channel], *, now: datetime) -> list[tuple[str, bool, str]]:
    """Send a message to every channel; returns of each its name, whether all of it was taken, and what it answered."""
    host = host_name()
    words = f"a test from {host}: nothing is wrong"
    alert = Alert("test", f"test of {host}", "test", words, "nothing", now, now)
    answers = []
    for channel in channels:
        try:
            refused = channel.send(AlertMessage(host, now, (AlertNote(alert, TEST),)))
            answers.append((channel.name, not refused, "; ".join(refused) or "taken"))
        except NotSent as problem:
            answers.append((channel.name, False, str(problem)))
    return answers
