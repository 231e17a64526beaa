"""A database that logs in and then says nothing: what ends, what goes on, and how soon."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from jobsync.db import silence
from jobsync.db.engine import Database, connect, transaction, translated
from jobsync.errors import Unavailable
from jobsync.runner.lock import LockLost, LockSession
from tests.db.servers import Freezer, freezer
from tests.runner.support import ask, role, until, with_user

Direct = psycopg.Connection[Any]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is judged after a third of a second instead of thirty."""
    monkeypatch.setattr(silence, "SILENCE_S", 0.3)
    monkeypatch.setattr(silence, "HURRIED_S", 0.2)
    monkeypatch.setattr(silence, "ANSWER_WITHIN_S", 0.4)


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers, and has time for it."""
    monkeypatch.setattr(silence, "ANSWER_WITHIN_S", 2.0)


@pytest.fixture
def proxy(database_url: str) -> Iterator[Freezer]:
    """A proxy before the test's database."""
    with freezer(database_url) as proxy:
        yield proxy


def ends(act: Callable[[], object], kind: type[Exception] = Unavailable) -> float:
    """Return how many seconds it took until the kind of error was raised."""
    began = time.monotonic()
    with pytest.raises(kind):
        act()
    return time.monotonic() - began


def copy_in(connection: Direct) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY dealerships (name) FROM STDIN") as copy:
        for number in range(200_000):
            copy.write_row([f"{number}" * 20])


def copy_out(connection: Direct) -> None:
    statement = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for _ in copy:
            pass


def in_a_pipeline(connection: Direct) -> None:
    with connection.pipeline():
        for _ in range(3):
            connection.execute("SELECT 1")


@pytest.mark.parametrize(
    "act",
    [lambda connection: connection.execute("SELECT 1"), copy_in, copy_out, in_a_pipeline, psycopg.Connection.commit],
    ids=["statement", "COPY in", "COPY out", "pipeline", "commit"],
)
def test_silence_ends_what_waits_for_it(proxy: Freezer, act: Callable[[Direct], object]) -> None:
    """Whatever a job does on its connection ends as an outage, and the connection is not lent again."""
    database = Database(proxy.url)
    engine = database.job_engine(connections=1)

    def frozen() -> None:
        with translated(), transaction(engine) as lent:
            lent.execute("SELECT 1")
            proxy.freeze()
            act(lent)

    assert ends(frozen) < 5
    proxy.thaw()
    with transaction(engine) as lent:
        assert ask(lent, "SELECT 1") == [(1,)]
    database.close()


def test_silence_ends_a_command(proxy: Freezer) -> None:
    """The same through SQLAlchemy's own statements."""
    database = Database(proxy.url)
    engine = database.engine(connections=1)

    def frozen() -> None:
        with translated(), engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            proxy.freeze()
            connection.execute(text("SELECT 1"))

    assert ends(frozen) < 5
    database.close()


def test_silence_from_the_login_on_ends_the_first_statement(proxy: Freezer) -> None:
    """A server that lets us in and then says nothing is an outage."""
    proxy.freeze()
    database = Database(proxy.url)

    def frozen() -> None:
        with translated(), database.engine(connections=1).begin():
            pass

    assert ends(frozen) < 5
    database.close()


def test_second_try_on_a_silent_database_is_shorter(proxy: Freezer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a database was silent, the next connection to it waits for the shorter time until one has answered."""
    monkeypatch.setattr(silence, "SILENCE_S", 1.5)
    proxy.freeze()
    database = Database(proxy.url)

    def frozen() -> None:
        with translated(), database.direct() as direct:
            direct.execute("SELECT 1")

    first, second = ends(frozen), ends(frozen)
    database.close()

    assert second < 1.5 < first


@pytest.mark.usefixtures("busy")
def test_slow_statement_goes_on(proxy: Freezer) -> None:
    """A server that answers somebody else is asked no more: the statement takes its time."""
    with connect(proxy.url, application_name="test") as connection:
        assert ask(connection, "SELECT 7 FROM pg_sleep(1)") == [(7,)]


@pytest.mark.usefixtures("busy")
def test_statement_that_waits_for_a_lock_goes_on(proxy: Freezer, connection: Direct) -> None:
    """A backend that waits for another's lock works on our statement."""
    with connect(proxy.url, application_name="test") as waiting, connection.transaction():
        connection.execute("LOCK TABLE dealerships")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            waiting.execute("SET lock_timeout = '1s'; SELECT * FROM dealerships")


@pytest.mark.usefixtures("busy")
def test_server_without_room_for_a_second_connection_answers_too(proxy: Freezer, connection: Direct) -> None:
    """A refusal is a word: a role's connection limit ends no slow statement."""
    with (
        role(connection, "CONNECTION LIMIT 1", "NOSUPERUSER") as name,
        connect(with_user(proxy.url, name), application_name="test") as slow,
    ):
        assert ask(slow, "SELECT 7 FROM pg_sleep(1)") == [(7,)]


@pytest.mark.usefixtures("busy")
def test_statement_that_the_server_never_got_is_ended(proxy: Freezer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers somebody else, but knows nothing of our statement, will never answer ours."""
    monkeypatch.setattr(silence, "_QUESTION", silence._QUESTION.replace("5 s", "1 s"))
    database = Database(proxy.url)

    def frozen() -> None:
        with translated(), database.direct() as direct:
            direct.execute("SELECT 1")
            proxy.freeze_old()
            direct.execute("SELECT 1")

    assert 1 < ends(frozen) < 5
    database.close()


def test_silence_on_the_lock_connection_loses_the_lock(proxy: Freezer) -> None:
    """Whoever asks the lock thread is told, and so is the run."""
    database = Database(proxy.url)
    told: list[str] = []
    locks = LockSession(lambda: database.lock_connection(application_name="test"), on_lost=told.append)
    locks.try_lock("one")
    proxy.freeze()

    assert ends(locks.check, LockLost) < 5
    until(lambda: told)
    locks.close()
    database.close()


def test_close_of_locks_waits_little_for_a_silent_server(proxy: Freezer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The locks go with the connection in any case: a run that is over does not wait long to give them back."""
    monkeypatch.setattr(silence, "SILENCE_S", 30.0)
    database = Database(proxy.url)
    locks = LockSession(lambda: database.lock_connection(application_name="test"))
    locks.try_lock("one")
    proxy.freeze()

    began = time.monotonic()
    locks.close()

    assert time.monotonic() - began < 3
    database.close()
