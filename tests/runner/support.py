"""What the runner's tests share: scripted work, waiting with a deadline, other roles and other processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict

from jobsync.db.engine import Database
from jobsync.errors import Unavailable
from jobsync.jobs import Job
from jobsync.runner.items import Attempt, Item, ItemQueue, work_queues
from jobsync.runner.job import ItemResult, ItemStatus
from jobsync.runner.lock import LockSession
from jobsync.runner.run import Run

SPEC = Job(name="test-job", noun="things", deadline_s=None)

Rows = list[tuple[Any, ...]]


def until(condition: Callable[[], object], *, timeout_s: float = 10.0) -> None:
    """Poll until the condition holds; fails if it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def ask(connection: psycopg.Connection[Any], statement: str, *values: object) -> Rows:
    """Return the rows of a statement."""
    return connection.execute(statement.encode(), values or None).fetchall()


def session(database: Database, name: str = "test") -> LockSession:
    """Open a lock session of the database."""
    return LockSession(lambda: database.lock_connection(application_name=name))


def on_lock_connection(locks: LockSession, statement: str, *values: object) -> Rows:
    """Run a statement behind the session's back, on its own connection and thread."""
    return locks._call(lambda: ask(locks._connection, statement, *values))


def terminate(connection: psycopg.Connection[Any], backend_pid: int) -> None:
    """End a backend as an administrator would, and wait until it is gone with all that it held."""
    connection.execute("SELECT pg_terminate_backend(%s)", [backend_pid])
    until(lambda: not ask(connection, "SELECT 1 FROM pg_stat_activity WHERE pid = %s", backend_pid))


def with_user(url: str, user: str, password: str = "") -> str:
    """Return the URL for another role."""
    return url.replace("//jobsync@", f"//{user}:{password}@" if password else f"//{user}@")


@contextmanager
def role(connection: psycopg.Connection[Any], *options: str) -> Iterator[str]:
    """An ordinary role that may use every table of the test's database; `options` as in ALTER ROLE."""
    name = f"role_{uuid4().hex[:12]}"
    connection.execute(f"CREATE ROLE {name} LOGIN".encode())
    connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}".encode())
    connection.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}".encode())
    for option in options:
        connection.execute(f"ALTER ROLE {name} {option}".encode())
    try:
        yield name
    finally:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [name])
        connection.execute(f"DROP OWNED BY {name}".encode())
        connection.execute(f"DROP ROLE {name}".encode())


def dbname(url: str) -> str:
    """Return the name of the URL's database."""
    return str(conninfo_to_dict(url)["dbname"])


def done(attempt: Attempt) -> ItemResult:
    """Succeed at the item."""
    return ItemResult(attempt.item.key, attempt.item.label, ItemStatus.SUCCESS)


class Scripted:
    """Work that is a function or two; remembers what it was told of failures."""

    def __init__(
        self,
        find: Callable[[Attempt], ItemResult] = done,
        keep: Callable[[psycopg.Connection[Any], Attempt], object] = lambda _connection, _attempt: None,
    ) -> None:
        self._find = find
        self._keep = keep
        self.begun: list[str] = []
        self.failures: list[tuple[str, str | None, bool]] = []

    def begin(self, connection: psycopg.Connection[Any], item: Item) -> int:  # noqa: ARG002
        self.begun.append(item.key)
        return len(self.begun)

    def find(self, attempt: Attempt) -> ItemResult:
        return self._find(attempt)

    def keep(self, connection: psycopg.Connection[Any], attempt: Attempt, found: ItemResult) -> ItemResult:
        self._keep(connection, attempt)
        return found

    def failed(
        self,
        connection: psycopg.Connection[Any],  # noqa: ARG002
        attempt: Attempt,  # noqa: ARG002
        result: ItemResult,
    ) -> None:
        self.failures.append((result.key, result.reason, result.transient))


def items(*keys: str, locked: bool = False) -> list[Item]:
    """Return items of these keys, each with a lock of its own if `locked`."""
    return [Item(key, f"thing {key}", f"test-job:thing:{key}" if locked else None) for key in keys]


def working(
    work: Scripted, chosen: list[Item], *, concurrency: int = 1, left_out: tuple[ItemResult, ...] = ()
) -> Callable[[Run], list[ItemResult]]:
    """Return a run's work over the items."""

    def over(run: Run) -> list[ItemResult]:
        run.eligible = len(chosen)
        return [*work_queues(run, [ItemQueue(chosen)], work, concurrency=concurrency), *left_out]

    return over


_PREAMBLE = """
import sys, time
from jobsync.db.engine import Database
from jobsync.runner.lock import LockSession
from jobsync.runner.run import Request, run_job
from tests.runner.support import SPEC, Scripted, items, working
database = Database(sys.argv[1])
def forever(*_):
    print("ready", flush=True)
    time.sleep(60)
"""


@contextmanager
def process(url: str, script: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has said "ready"; it is killed at the end if it has not been before."""
    started = subprocess.Popen(
        [sys.executable, "-c", _PREAMBLE + script, url], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        yield started
    finally:
        started.kill()
        started.communicate(timeout=20)


def on(connection: psycopg.Connection[Any]) -> Callable[[], AbstractContextManager[psycopg.Connection[Any]]]:
    """Return what opens transactions on one connection, as a run's engine does on several."""

    @contextmanager
    def begin() -> Iterator[psycopg.Connection[Any]]:
        with connection.transaction():
            yield connection

    return begin


class FlakyDoor:
    """Opens transactions, but only after the database has been away for some tries."""

    def __init__(self, database: Database, tries: int) -> None:
        self._database = database
        self.tries_left = tries

    @contextmanager
    def __call__(self) -> Iterator[psycopg.Connection[Any]]:
        self.tries_left -= 1
        if self.tries_left >= 0:
            raise Unavailable("database: away")
        with self._database.direct() as connection, connection.transaction():
            yield connection


def run_row(connection: psycopg.Connection[Any], run_id: UUID | None) -> tuple[Any, ...]:
    """Return status, exit code, error and traceback of a run."""
    [row] = ask(connection, "SELECT status, exit_code, error, traceback FROM job_runs WHERE id = %s", run_id)
    return row
