"""Connections: what the server's and libpq's words become, and what of the URL reaches the server."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from jobsync.db import engine as engine_module
from jobsync.db.engine import Database, connect, driver, passwords_in, transaction, translated
from jobsync.errors import ConfigurationProblem, ExitCode, Unavailable
from tests.runner.support import ask, role, terminate, until, with_user

Direct = psycopg.Connection[Any]


@pytest.fixture
def password_role(server_url: str, connection: Direct) -> Iterator[str]:
    """A role that the server asks for a password, which is "right-one"."""
    with role(connection, "PASSWORD 'right-one'") as name, psycopg.connect(server_url, autocommit=True) as server:
        [(path, before)] = ask(server, "SELECT current_setting('hba_file'), pg_read_file(current_setting('hba_file'))")
        copy = "COPY (SELECT unnest(string_to_array(current_setting('test.hba'), E'\\n'))) TO '{}'"

        def rules(content: str) -> None:
            server.execute("SELECT set_config('test.hba', %s, false)", [content])
            server.execute(copy.format(path).encode())
            server.execute("SELECT pg_reload_conf()")

        rules(f"local all {name} scram-sha-256\n{before}")
        until(lambda: ask(server, "SELECT 1 FROM pg_hba_file_rules WHERE %s = ANY(user_name)", name))
        yield name
        rules(before)


def open_and_close(url: str) -> None:
    connect(url, application_name="test").close()


def test_right_password_is_let_in(database_url: str, password_role: str) -> None:
    """The password of the URL reaches the server."""
    url = with_user(database_url, password_role, "right-one")

    def let_in() -> bool:
        try:
            open_and_close(url)
        except ConfigurationProblem:
            return False
        return True

    until(let_in)


@pytest.mark.parametrize("password", ["wrong-one", ""])
def test_wrong_password_is_configuration(database_url: str, password_role: str, password: str) -> None:
    """A password that is wrong or missing stays so: 78, and it is not repeated in the message."""
    until(lambda: _refused(with_user(database_url, password_role)))

    with pytest.raises(ConfigurationProblem, match="password") as refused:
        open_and_close(with_user(database_url, password_role, password))
    assert "wrong-one" not in str(refused.value)


def _refused(url: str) -> bool:
    try:
        open_and_close(url)
    except ConfigurationProblem:
        return True
    return False


def test_database_that_does_not_exist_is_configuration(database_url: str) -> None:
    """A wrong database name: 78."""
    url = database_url.split("?", maxsplit=1)
    wrong = f"{url[0]}_not_there?{url[1]}"

    with pytest.raises(ConfigurationProblem, match="does not exist") as refused:
        open_and_close(wrong)
    assert refused.value.exit_code is ExitCode.CONFIGURATION


def test_role_that_does_not_exist_is_configuration(database_url: str) -> None:
    """A wrong role name: 78."""
    with pytest.raises(ConfigurationProblem, match="nobody_here"):
        open_and_close(with_user(database_url, "nobody_here"))


def test_role_that_may_not_log_in_is_configuration(database_url: str, connection: Direct) -> None:
    """A role without LOGIN: 78."""
    with role(connection, "NOLOGIN") as name, pytest.raises(ConfigurationProblem, match="log in"):
        open_and_close(with_user(database_url, name))


def test_role_that_may_not_enter_is_configuration(database_url: str, connection: Direct) -> None:
    """A role without CONNECT on the database: 78."""
    [(database,)] = ask(connection, "SELECT current_database()")
    connection.execute(f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC".encode())
    with role(connection) as name, pytest.raises(ConfigurationProblem, match="permission denied"):
        open_and_close(with_user(database_url, name))


def test_nobody_answering_is_unavailable() -> None:
    """A closed port: 69."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    with pytest.raises(Unavailable) as refused:
        open_and_close(f"postgresql://u@127.0.0.1:{port}/d")
    assert refused.value.exit_code is ExitCode.UNAVAILABLE


def test_missing_socket_is_unavailable(tmp_path: Any) -> None:
    """A socket folder without a server: 69, since the server may only be down."""
    with pytest.raises(Unavailable):
        open_and_close(f"postgresql://u@/d?host={tmp_path}")


def test_server_that_takes_nobody_in_now_is_unavailable(server_url: str, database_url: str, connection: Direct) -> None:
    """A server that refuses for the moment: 69."""
    [(database,)] = ask(connection, "SELECT current_database()")
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false".encode())
        with pytest.raises(Unavailable, match="not currently accepting"):
            open_and_close(database_url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:se%zzcret-word@127.0.0.1:1/d",
        "postgresql://u:pw/secret-word@127.0.0.1:1/d",
        "postgresql://u:secret-word/x@127.0.0.1:1/d",
        "postgresql://u:pw@secret-word@127.0.0.1:1/d",
        "postgresql://u:pw@127.0.0.1:1/d?no_such=secret-word",
        "postgresql://u:pw@127.0.0.1:1/d?sslmode=secret-word",
    ],
)
def test_broken_url_is_configuration_and_its_pieces_stay_secret(url: str) -> None:
    """A URL that libpq cannot read: 78, without quoting what may be a piece of the password."""
    with pytest.raises(ConfigurationProblem) as refused:
        open_and_close(url)
    for piece in ("cret-word", "zz"):
        assert piece not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:plain@h/d", ["plain"]),
        ("postgresql://u:a[b@h/d", ["a[b"]),
        ("postgresql://u:a%5Bb@h/d", ["a[b"]),
        ("postgresql://h/d?password=q&sslpassword=s", ["q", "s"]),
        ("postgresql://u:half%@h/d", ["half%"]),
        ("postgresql://h/d", []),
        ("", []),
    ],
)
def test_passwords_are_found_as_libpq_finds_them(url: str, expected: list[str]) -> None:
    """Also in a URL that libpq refuses: it may be quoted back."""
    assert expected == passwords_in(url)


def test_options_of_the_url_are_kept_beside_ours(database_url: str) -> None:
    """The URL's own `options` reach the server, and so do those of the lock connection."""
    url = database_url.replace("options=", "options=-c%20search_path%3Delsewhere%20-c%20work_mem%3D5MB")
    with Database(url).lock_connection(application_name="test") as connection:
        row = ask(
            connection,
            "SELECT current_setting('search_path'), current_setting('work_mem'),"
            " current_setting('idle_session_timeout'), current_setting('client_connection_check_interval')",
        )

    assert row == [("elsewhere", "5MB", "0", "10s")]


def test_url_wins_over_our_network_defaults(database_url: str) -> None:
    """Whoever names a time-out in the URL gets it; the others have ours."""
    with connect(f"{database_url}&connect_timeout=77", application_name="test") as connection:
        parameters = connection.info.get_parameters()

    assert (parameters["connect_timeout"], parameters["tcp_user_timeout"]) == ("77", "15000")


@pytest.mark.parametrize("given", ["0", "-1"])
def test_no_url_makes_us_wait_for_ever(database_url: str, given: str) -> None:
    """To libpq, a time-out of 0 is none; here it is ours."""
    with connect(f"{database_url}&connect_timeout={given}", application_name="test") as connection:
        parameters = connection.info.get_parameters()

    assert parameters["connect_timeout"] == "5"


def test_name_is_shown_by_the_server(database_url: str, connection: Direct) -> None:
    """The application's name stands in pg_stat_activity."""
    with connect(database_url, application_name="jobsync:here") as opened:
        shown = ask(connection, "SELECT application_name FROM pg_stat_activity WHERE pid = %s", opened.info.backend_pid)

    assert shown == [("jobsync:here",)]


def test_dead_connection_is_unavailable(database: Database, connection: Direct) -> None:
    """A connection that dies under a statement: 69, above and below SQLAlchemy."""

    def die(*, below: bool) -> None:
        with translated(), database.engine().connect() as dying:
            terminate(connection, driver(dying).info.backend_pid)
            if below:
                driver(dying).execute("SELECT 1")
            dying.execute(text("SELECT 1"))

    with pytest.raises(Unavailable):
        die(below=False)
    with pytest.raises(Unavailable):
        die(below=True)


def test_transaction_that_idled_too_long_is_unavailable(database: Database, connection: Direct) -> None:
    """A session ended for idling in its transaction is gone too, though the driver calls that an internal error."""

    def idle() -> None:
        with translated(), database.engine().connect() as dying:
            raw = driver(dying)
            raw.execute("SET idle_in_transaction_session_timeout = '50ms'")
            pid = raw.info.backend_pid
            until(lambda: not ask(connection, "SELECT 1 FROM pg_stat_activity WHERE pid = %s", pid))
            raw.execute("SELECT 1")

    with pytest.raises(Unavailable):
        idle()


def test_wrong_statement_is_a_bug(database: Database) -> None:
    """An error of ours is not taken for an outage."""
    with pytest.raises(psycopg.errors.DivisionByZero), translated(), database.engine().connect() as connection:
        driver(connection).execute("SELECT 1/0")


def test_end_of_the_block_commits_and_an_error_rolls_back(database: Database, connection: Direct) -> None:
    """What a block wrote is there after it; of a block that failed nothing is, and its connection is used again."""
    engine = database.job_engine(connections=1)
    with transaction(engine) as writing:
        pid = writing.info.backend_pid
        writing.execute("INSERT INTO dealerships (name) VALUES ('kept')")

    def fail() -> None:
        with transaction(engine) as writing:
            writing.execute("INSERT INTO dealerships (name) VALUES ('lost')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with transaction(engine) as reading:
        assert pid == reading.info.backend_pid

    assert ask(connection, "SELECT name FROM dealerships") == [("kept",)]


def test_commit_that_fails_is_told(database: Database, connection: Direct) -> None:
    """A connection that dies at its commit: 69, and the next one is a new one."""
    engine = database.job_engine(connections=1)

    def die() -> None:
        with translated(), transaction(engine) as dying:
            dying.execute("INSERT INTO dealerships (name) VALUES ('lost')")
            terminate(connection, dying.info.backend_pid)

    with pytest.raises(Unavailable):
        die()
    with transaction(engine) as living:
        assert ask(living, "SELECT name FROM dealerships") == []


def test_exhausted_pool_is_unavailable(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting in vain for a connection of the pool is an outage, not a bug."""
    monkeypatch.setattr(engine_module, "ROOM_WITHIN_S", 0.1)
    engine = database.job_engine(connections=1)
    with transaction(engine), pytest.raises(Unavailable, match="free"), transaction(engine):
        pass


def test_threads_share_the_pool(database: Database) -> None:
    """More threads than connections: each gets its turn, and no two use a connection at the same time."""
    engine = database.job_engine(connections=3)
    used: set[int] = set()

    def work(number: int) -> int:
        with transaction(engine) as connection:
            pid = connection.info.backend_pid
            assert pid not in used
            used.add(pid)
            [(got,)] = ask(connection, "SELECT %s::int FROM pg_sleep(0.001)", number)
            used.remove(pid)
            return int(got)

    with ThreadPoolExecutor(12) as threads:
        assert list(threads.map(work, range(100))) == list(range(100))


@pytest.mark.parametrize("which", ["job", "command"])
def test_what_died_while_it_waited_is_replaced(database: Database, connection: Direct, which: str) -> None:
    """A connection that the server ended while it lay idle is not handed out."""
    lend = lender(database, which)
    with lend() as first:
        pid = first.info.backend_pid
    terminate(connection, pid)

    with translated(), lend() as second:
        assert ask(second, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("which", ["job", "command"])
def test_what_the_server_only_talked_to_is_kept(database: Database, connection: Direct, which: str) -> None:
    """A word that the server says unasked is not the end of a connection."""
    lend = lender(database, which)
    with lend() as first:
        pid = first.info.backend_pid
        first.execute("LISTEN anything")
        first.commit()
    connection.execute("NOTIFY anything")

    with translated(), lend() as second:
        assert pid == second.info.backend_pid


@pytest.mark.parametrize("which", ["job", "command"])
def test_close_ends_every_connection(database_url: str, connection: Direct, which: str) -> None:
    """A closed database leaves no session behind."""
    database = Database(database_url)
    with lender(database, which, application_name="to be closed")():
        pass
    database.close()

    until(lambda: not ask(connection, "SELECT 1 FROM pg_stat_activity WHERE application_name = 'to be closed'"))


def test_connection_that_is_lent_while_the_pool_closes_is_closed_when_it_comes_back(database: Database) -> None:
    """Whoever still works may finish."""
    engine = database.job_engine()
    with transaction(engine) as lent:
        engine.dispose()
        assert ask(lent, "SELECT 1") == [(1,)]

    assert lent.closed


@pytest.mark.parametrize(("elsewhere", "kept"), [(False, True), (True, False)], ids=["direct", "through a pooler"])
def test_statements_are_kept_only_on_the_proven_way(database_url: str, elsewhere: bool, kept: bool) -> None:
    """The server keeps statements where work goes the way that was proved direct, and nowhere else."""
    database = Database(database_url, f"{database_url}&sslmode=prefer" if elsewhere else None)
    with transaction(database.job_engine(prepare=True)) as connection:
        for number in range(6):
            connection.execute("SELECT %s::int", [number])
        [(found,)] = ask(connection, "SELECT count(*) > 0 FROM pg_prepared_statements")
    database.close()

    assert kept == found


def lender(
    database: Database, which: str, *, application_name: str = "test"
) -> Callable[[], AbstractContextManager[Direct]]:
    """Return what lends the one connection of a job's engine, or of a command's."""
    if which == "job":
        engine = database.job_engine(application_name=application_name, connections=1)
        return lambda: transaction(engine)
    opened = database.engine(application_name=application_name, connections=1)

    @contextmanager
    def lend() -> Iterator[Direct]:
        with opened.connect() as connection:
            yield driver(connection)

    return lend
