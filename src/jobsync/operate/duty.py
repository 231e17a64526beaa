"""What the health timer and OnFailure= do, in their order: look, judge, remember, tell, prune."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobsync.db.engine import driver, translated
from jobsync.db.system_settings import read_system_settings
from jobsync.errors import JobsyncError
from jobsync.logs import get_logger, visible
from jobsync.operate import alert
from jobsync.operate.health import Health, judge_health
from jobsync.operate.look import look, read_now
from jobsync.operate.notebook import open_notebook
from jobsync.operate.prune import prune
from jobsync.operate.send import Channel
from jobsync.operate.wake import Waker

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from jobsync.db.engine import Database

SECOND_LOOK_S = 20.0  # a server that restarts is back by then
_PRUNE_S = 10.0


@dataclass(frozen=True)
class Done:
    """
    What a duty led to.

    Args:
        health: None if the database did not answer; `database_error` says why.
        not_sent: what could not be told; it is tried again at the next duty.
    """

    health: Health | None = None
    database_error: JobsyncError | None = None
    not_sent: tuple[str, ...] = ()
    pruned: Mapping[str, int] | None = None


def do_health(
    open_database: Callable[[], tuple[Database, Engine]],
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
        wait: between two looks at a database that does not answer.
        waker: what wakes the jobs on this host.
        now: another instant than the database's clock (or, while it is away, this host's), for tests.
    """
    host = alert.host_name()
    try:
        try:
            database, engine = open_database()
        except JobsyncError:
            wait(SECOND_LOOK_S)
            database, engine = open_database()
        return _with_database(database, engine, channels, environ, host=host, waker=waker, now=now)
    except JobsyncError as error:
        get_logger().error("health.no_database", error=visible(error))
        moment = now or datetime.now(UTC)
        with open_notebook(environ) as notebook:
            book = alert.Book(notebook, None, host)
            alert.tell_database(book, str(error), now=moment, host=host)
            not_sent = book.announce(channels, moment, book.limits(None), alone=False)
        return Done(database_error=error, not_sent=tuple(not_sent))


def _with_database(
    database: Database,
    engine: Engine,
    channels: Sequence[Channel],
    environ: Mapping[str, str],
    *,
    host: str,
    waker: Waker,
    now: datetime | None,
) -> Done:
    with open_notebook(environ) as notebook, alert.only_here(database) as alone:
        with translated(), engine.begin() as connection:
            seen = look(connection, now=now, waker=waker)
            alert.stamp_watch(connection, seen.now)
        book = alert.Book(notebook, engine, host)
        limits = book.limits(seen.settings)
        open_kinds = {key for key, entry in book.entries.items() if entry.closed_at is None}
        health = judge_health(seen, open_kinds=open_kinds)
        alert.tell_health(book, health, seen, limits=limits, host=host, alone=alone)
        not_sent = book.announce(channels, seen.now, limits, alone=alone)
    pruned = prune(engine, seen.settings, now=seen.now, within_s=_PRUNE_S)
    if any(pruned.values()):
        get_logger().info("health.pruned", **{table: number for table, number in pruned.items() if number})
    return Done(health=health, not_sent=tuple(not_sent), pruned=pruned)


def do_unit_failure(
    failure: alert.UnitFailure,
    open_database: Callable[[], tuple[Database, Engine]],
    channels: Sequence[Channel],
    environ: Mapping[str, str],
    *,
    now: datetime | None = None,
) -> Done:
    """Count one failure of a unit and tell what is due; works without the database."""
    with open_notebook(environ) as notebook:
        try:
            database, engine = open_database()
            with translated(), engine.begin() as connection:
                settings = read_system_settings(driver(connection))
                moment = now or read_now(connection)
                success_at, run_id, error = alert.read_unit_facts(connection, failure.unit, failure.invocation_id)
            with alert.only_here(database) as alone:
                book = alert.Book(notebook, engine, failure.host)
                limits = book.limits(settings)
                known = replace(failure, run_id=run_id, error=error)
                alert.tell_unit(book, known, now=moment, limits=limits, success_at=success_at)
                return Done(not_sent=tuple(book.announce(channels, moment, limits, alone=alone)))
        except JobsyncError as problem:
            moment = now or datetime.now(UTC)
            book = alert.Book(notebook, None, failure.host)
            limits = book.limits(None)
            known = replace(failure, database_error=str(problem))
            alert.tell_unit(book, known, now=moment, limits=limits, success_at=None)
            not_sent = book.announce(channels, moment, limits, alone=False)
            return Done(database_error=problem, not_sent=tuple(not_sent))
