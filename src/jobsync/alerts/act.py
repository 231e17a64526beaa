"""What the health timer, OnFailure= and people do about alerts, in their order: look, decide, remember, tell, prune."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

from jobsync.alerts.decide import Delivery, OutgoingMessage, decide, record
from jobsync.alerts.memory import opened
from jobsync.alerts.message import TEST, AlertMessage, AlertNote
from jobsync.alerts.model import Alert, FoundCause, Limits, Look
from jobsync.alerts.post import NotSent
from jobsync.alerts.units import (
    UnitFailure,
    look_at_failure,
    look_at_no_database,
    passed_by_health,
    read_record,
    read_successes,
)
from jobsync.causes import Cause, Kind
from jobsync.db.engine import driver, translated
from jobsync.db.statements import read_now
from jobsync.db.system_settings import SystemSettings, read_system_settings
from jobsync.errors import JobsyncError
from jobsync.hostname import host_name
from jobsync.jobs import BY_NAME
from jobsync.logs import get_logger, visible
from jobsync.upkeep.model import RetentionRule
from jobsync.upkeep.prune import prune
from jobsync.watch.health import Health, judge_health
from jobsync.watch.model import WATCH, Check, Problem, Watched
from jobsync.watch.snapshot import read_snapshot
from jobsync.watch.timers import Waker, read_timers_on

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from jobsync.alerts.send import Channel
    from jobsync.db.engine import Database

SECOND_LOOK_S = 20.0  # after the first began: a server that restarts is back by then
_PRUNE_S = 10.0


@dataclass(frozen=True)
class Done:
    """
    What was done.

    Args:
        health: None if the database did not answer; `database_error` says why.
        not_sent: what could not be told; it is tried again the next time.
        refused: addresses that the mail server refuses although it took the mail for others.
    """

    health: Health | None = None
    database_error: JobsyncError | None = None
    not_sent: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    pruned: Mapping[str, int] | None = None


class _Teller:
    """Where alerts are told from; what is remembered is held only while it is read and written."""

    def __init__(self, channels: Sequence[Channel], environ: Mapping[str, str], host: str) -> None:
        self._channels = {channel.name: channel for channel in channels}
        self._environ = environ
        self._host = host
        self.database: tuple[Database, Engine] | None = None
        self.not_sent: list[str] = []
        self.refused: list[str] = []

    def tell(self, now: datetime, look: Look, limits: Limits | None) -> None:
        """
        Remember a look, and tell every channel what follows from it.

        Args:
            limits: None while the database is away: those that were in force when it last answered.
        """
        with opened(self._environ, self.database) as (memory, alone, _):
            book = memory.read()
            book = book if limits is None else replace(book, limits=limits)
            book, outgoing = decide(book, look, now, host=self._host, channels=tuple(self._channels), alone=alone)
            memory.write(book)
        if not outgoing:
            return
        outcomes = list(self._send(outgoing))
        try:
            self._record(outcomes, now)
        except JobsyncError as error:  # the file must do
            get_logger().warning("alert.not_recorded", error=visible(error))
            self.database = None
            self._record(outcomes, now)

    def _send(self, outgoing: Sequence[OutgoingMessage]) -> Iterator[tuple[OutgoingMessage, Delivery, Sequence[str]]]:
        broken = set()
        for planned in outgoing:
            size = len(planned.due)
            if planned.channel in broken:  # it would cost the same time again
                yield planned, Delivery.NOT_SENT, ()
                continue
            try:
                refused = self._channels[planned.channel].send(planned.message)
            except NotSent as problem:
                broken.add(planned.channel)
                self.not_sent.append(f"{problem}{'; perhaps it arrived, said again later' if problem.perhaps else ''}")
                get_logger().error(
                    "alert.not_sent", channel=planned.channel, error=str(problem), alerts=size, perhaps=problem.perhaps
                )
                yield planned, Delivery.PERHAPS if problem.perhaps else Delivery.NOT_SENT, ()
                continue
            get_logger().warning("alert.sent", channel=planned.channel, title=planned.message.title, alerts=size)
            for words in refused:
                get_logger().warning("alert.address_refused", channel=planned.channel, error=words)
            yield planned, Delivery.SENT, refused

    def _record(self, outcomes: Sequence[tuple[OutgoingMessage, Delivery, Sequence[str]]], now: datetime) -> None:
        with opened(self._environ, self.database) as (memory, alone, _):
            book = memory.read()
            for planned, outcome, refused in outcomes:
                book = record(book, planned, outcome, now)
                if planned.channel == "mail" and outcome is Delivery.SENT:
                    look = self.own(Cause.ADDRESS_REFUSED, "; ".join(refused))
                    book, _ = decide(book, look, now, host=self._host, channels=(), alone=alone)
                    self.refused = list(refused)
            memory.write(book)

    def own(self, cause: Cause, trouble: str, *, after: int = 1) -> Look:
        """Return a look at a trouble of this host's own; an empty one is none."""
        found = FoundCause.on(self._host, cause, trouble, after=after)
        return Look((found,) if trouble else (), lambda alert: alert.key == found.key)


def do_health(
    open_database: Callable[[], tuple[Database, Engine]],
    watched: Sequence[Watched],
    rules: Sequence[RetentionRule],
    channels: Sequence[Channel],
    environ: Mapping[str, str],
    *,
    wait: Callable[[float], None],
    waker: Callable[[], Waker] = lambda: Waker.UNITS,
    now: datetime | None = None,
) -> Done:
    """
    Evaluate, open and close alerts, send, prune: what jobsync-health.timer wakes every five minutes.

    Args:
        open_database: raises what keeps the database from being used.
        watched: the slices.
        rules: how long rows stay.
        wait: between two looks at a database that does not answer.
        waker: what wakes the jobs on this host; asked once the database is open.
        now: another instant than the database's clock (or, while it is away, this host's), for tests.
    """
    host = host_name()
    teller = _Teller(channels, environ, host)
    try:
        database, engine = _opened(open_database, wait)
        with translated(), engine.begin() as connection:
            by = waker()
            on = read_timers_on(by, (*BY_NAME, WATCH))
            seen = read_snapshot(connection, watched, now=now, waker=by, timers_on=on)
            successes = read_successes(connection, seen)
            _stamp_watch(connection, seen.now)
        health = judge_health(seen, open_kinds={(alert.subject, alert.kind) for alert in seen.alerts})
        limits = Limits.of(seen.settings)
        own = (Kind.UNIT, Kind.PRUNE, Kind.MAIL)
        found = tuple(FoundCause.of(problem) for problem in health.problems if problem.kind not in own)
        teller.database = (database, engine)
        teller.tell(seen.now, Look(found, passed_by_health(seen, successes, host, limits.reminder)), limits)
    except JobsyncError as error:
        get_logger().error("health.no_database", error=visible(error))
        teller.database = None
        teller.tell(now or datetime.now(UTC), look_at_no_database(error, host, at_once=True), None)
        return Done(database_error=error, not_sent=tuple(teller.not_sent), refused=tuple(teller.refused))
    was_open = any(alert.kind == Kind.PRUNE for alert in seen.alerts)
    health, pruned = _prune(teller, engine, health, seen.settings, rules, was_open=was_open)
    return Done(health, None, tuple(teller.not_sent), tuple(teller.refused), pruned)


def _opened(
    open_database: Callable[[], tuple[Database, Engine]], wait: Callable[[float], None]
) -> tuple[Database, Engine]:
    """Return the database; one that does not answer is looked at a second time, a little later."""
    began = time.monotonic()
    try:
        return open_database()
    except JobsyncError as error:
        left_s = SECOND_LOOK_S - (time.monotonic() - began)
        if left_s <= 0 or (
            error.alert_cause is not None and error.alert_cause.lasts
        ):  # a silent one was waited for longer
            raise
        wait(left_s)
        return open_database()


def _stamp_watch(connection: Connection, now: datetime) -> None:
    """Note that somebody watches: whoever looks can see that alerts are being told at all."""
    connection.execute(
        text(
            "INSERT INTO jobs (name, last_tick_at) VALUES (:name, :now)"
            " ON CONFLICT (name) DO UPDATE SET last_tick_at = excluded.last_tick_at"
        ),
        {"name": WATCH, "now": now},
    )


def _prune(
    teller: _Teller,
    engine: Engine,
    health: Health,
    settings: SystemSettings,
    rules: Sequence[RetentionRule],
    *,
    was_open: bool,
) -> tuple[Health, Mapping[str, int]]:
    """Delete what is past its retention; what keeps us from it is a problem of its own, not the database's."""
    pruned: Mapping[str, int] = {}
    kept: list[str] = []
    try:
        pruned = prune(engine, settings, rules, now=health.now, within_s=_PRUNE_S, told=kept.append)
    except JobsyncError as error:
        kept.append(str(error).removeprefix("database: "))
    trouble = f"{host_name()} could not delete old rows: {visible('; '.join(kept), most=300)}" if kept else ""
    if trouble:
        get_logger().error("health.not_pruned", error=visible("; ".join(kept)))
    if any(pruned.values()):
        get_logger().info("health.pruned", **{table: number for table, number in pruned.items() if number})
    if trouble or was_open:
        look = teller.own(Cause.ROWS_NOT_DELETED, trouble, after=2)  # once alone may be the database's
        try:
            teller.tell(health.now, look, Limits.of(settings))
        except JobsyncError as error:  # the next look says whether it is the database
            get_logger().warning("alert.not_recorded", error=visible(error))
    return _with_prune(health, teller.own(Cause.ROWS_NOT_DELETED, trouble).found), pruned


def _with_prune(health: Health, found: Sequence[FoundCause]) -> Health:
    """Return the verdict after pruning: before, it knew only how the last time ended."""
    cause = Cause.ROWS_NOT_DELETED
    now = tuple(Problem(each.subject, each.kind, each.text, each.what_to_do, cause=cause) for each in found)
    subject = f"{cause.kind} of {host_name()}"

    def renewed(check: Check) -> Check:
        others = tuple(problem for problem in check.problems if problem.subject != subject)
        return replace(check, problems=others + now) if check.name == cause.kind else check

    return replace(health, checks=tuple(map(renewed, health.checks)))


def do_unit_failure(
    failure: UnitFailure,
    open_database: Callable[[], tuple[Database, Engine]],
    watched: Sequence[Watched],
    channels: Sequence[Channel],
    environ: Mapping[str, str],
    *,
    now: datetime | None = None,
) -> Done:
    """Find out why a unit failed, and tell what is due; works without the database."""
    teller = _Teller(channels, environ, failure.host)
    problem = None
    try:
        database, engine = open_database()
        with translated(), engine.begin() as connection:
            limits = Limits.of(read_system_settings(driver(connection)))
            moment = now or read_now(connection)
            known = read_record(connection, failure)
        teller.database = (database, engine)
        teller.tell(moment, look_at_failure(failure, known, watched), limits)
    except JobsyncError as away:
        problem = away
        teller.database = None
        teller.tell(now or datetime.now(UTC), look_at_no_database(away, failure.host, at_once=False), None)
    return Done(database_error=problem, not_sent=tuple(teller.not_sent), refused=tuple(teller.refused))


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
