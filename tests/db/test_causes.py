"""What a server's refusal means, whatever language it speaks, and which of several servers is asked."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import psycopg
import pytest

from jobsync.db.causes import ReadOnly, Standby, meaning_of
from jobsync.db.engine import Database, connect, driver, transaction, translated
from jobsync.errors import ConfigurationProblem, JobsyncError, Unavailable
from tests.db.servers import Pair, new_cluster, pair_of_servers, place, serving, spanish, system_programs
from tests.runner.support import ask, role, until, with_user

# --- by code ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("28P01", ConfigurationProblem, "wrong password"),
        ("28000", ConfigurationProblem, "NOLOGIN"),
        ("3D000", ConfigurationProblem, "no such database"),
        ("42501", ConfigurationProblem, "right"),
        ("42704", ConfigurationProblem, "parameter"),
        ("22023", ConfigurationProblem, "parameter"),
        ("53300", Unavailable, "53300"),
        ("55000", Unavailable, "55000"),
        ("57P03", Unavailable, "57P03"),
        ("08P01", Unavailable, "pooler"),
        ("XX000", Unavailable, "XX000"),
    ],
)
def test_a_refused_login_is_read_from_its_code(code: str, kind: type[JobsyncError], words: str) -> None:
    """The server's own words are shown, and decide nothing."""
    problem = meaning_of(code, "en otro idioma")

    assert isinstance(problem, kind)
    assert words in str(problem)
    assert "en otro idioma" in str(problem)


@pytest.fixture(scope="module")
def foreign_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that speaks Spanish and asks the role `asked` for a password."""
    folder = tmp_path_factory.mktemp("spanish")
    programs, environ = system_programs(), spanish(folder)
    new_cluster(programs, folder / "data")
    hba = folder / "data" / "pg_hba.conf"
    hba.write_text(
        "host all asked 127.0.0.1/32 scram-sha-256\nhost all rejected 127.0.0.1/32 reject\n" + hba.read_text()
    )
    with serving(programs, folder / "data", "lc_messages=es_ES.UTF-8", environ=environ) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE ROLE asked LOGIN PASSWORD 'right-one'")
            connection.execute("CREATE ROLE mute NOLOGIN")
            connection.execute("CREATE ROLE rejected LOGIN")
            connection.execute("CREATE ROLE outside LOGIN")
            connection.execute("CREATE DATABASE closed")
            connection.execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
        yield url


@pytest.mark.parametrize(
    ("user", "database", "code"),
    [
        ("asked:wrong-one", "postgres", "28P01"),
        ("asked", "postgres", None),
        ("nobody_here", "postgres", "28000"),
        ("mute", "postgres", "28000"),
        ("rejected", "postgres", "28000"),
        ("jobsync", "not_there", "3D000"),
        ("outside", "closed", "42501"),
    ],
)
def test_wrong_login_is_configuration_in_any_language(
    foreign_url: str, user: str, database: str, code: str | None
) -> None:
    """Password, role, NOLOGIN, pg_hba.conf, database: 78, though the server says so in Spanish."""
    url = foreign_url.replace("jobsync@", f"{user}@").replace("/postgres?", f"/{database}?")

    with pytest.raises(ConfigurationProblem) as refused:
        connect(url, application_name="test")
    assert code is None or f"({code})" in str(refused.value)
    assert "wrong-one" not in str(refused.value)


def test_server_speaks_another_language(foreign_url: str) -> None:
    """The server of these tests says nothing in English."""
    with pytest.raises(psycopg.OperationalError, match="no existe la base de datos"):
        psycopg.connect(foreign_url.replace("/postgres?", "/not_there?"))


def test_table_altered_under_a_kept_statement_is_tried_again_in_any_language(foreign_url: str) -> None:
    """What the server kept of a statement no longer fits: transient, and no bug."""
    database = Database(foreign_url)
    engine = database.job_engine(connections=1, prepare=True)
    with psycopg.connect(foreign_url, autocommit=True) as other:
        other.execute("CREATE TABLE altered (a int)")

        def read() -> None:
            with translated(), transaction(engine) as connection:
                for _ in range(5):
                    connection.execute("SELECT * FROM altered")

        read()
        other.execute("ALTER TABLE altered ADD COLUMN b int")
        with pytest.raises(Unavailable):
            read()
        read()
        other.execute("DROP TABLE altered")
    database.close()


# --- what cannot write ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("set_on", "words"),
    [
        ("ROLE {role}", "the role {role} is set read-only"),
        ("DATABASE {database}", "the database {database} is set read-only"),
        ("ROLE {role} IN DATABASE {database}", "the role {role} in the database {database} is set read-only"),
    ],
)
def test_read_only_is_named_as_what_it_is(
    database_url: str, connection: psycopg.Connection[tuple[object, ...]], set_on: str, words: str
) -> None:
    """Role, database, or both: 78 for jobs and locks, with the statement that mends it."""
    with role(connection) as name:
        names = {"role": name, "database": connection.info.dbname}
        connection.execute(f"ALTER {set_on.format(**names)} SET default_transaction_read_only = on".encode())
        database = Database(with_user(database_url, name))
        for act in (
            lambda: begin_job(database),
            lambda: database.lock_connection(application_name="test"),
        ):
            with pytest.raises(ReadOnly) as refused:
                act()
            assert words.format(**names) in str(refused.value)
            assert f"ALTER {set_on.format(**names)} RESET default_transaction_read_only" in str(refused.value)
        database.close()


def test_read_only_url_is_named(database_url: str) -> None:
    """The URL's own options can be the reason."""
    url = database_url.replace("options=", "options=-c%20default_transaction_read_only%3Don%20")

    with pytest.raises(ReadOnly, match="options"):
        connect(url, application_name="test", writes=True)


def test_command_may_read_where_it_cannot_write(
    database_url: str, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    """Screens work where only reading is allowed; what writes is told why it cannot."""
    with role(connection, "SET default_transaction_read_only = on") as name:
        database = Database(with_user(database_url, name))
        engine = database.engine()
        with translated(), engine.begin() as reading:
            assert ask(driver(reading), "SELECT count(*) FROM dealerships") == [(0,)]
        with pytest.raises(ReadOnly, match="ALTER ROLE"), translated(), engine.begin() as writing:
            driver(writing).execute("INSERT INTO dealerships (name) VALUES ('x')")
        database.close()


# --- several hosts ----------------------------------------------------------------------------------------------------


def begin_job(database: Database) -> None:
    with translated(), transaction(database.job_engine()):
        pass


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A primary and a standby that follows it."""
    with pair_of_servers(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


def test_work_goes_to_the_primary(pair: Pair) -> None:
    """The standby comes first in the URL: jobs, locks and commands all work on the primary."""
    database = Database(pair.url(pair.standby, pair.primary))
    with translated(), transaction(database.job_engine()) as job, database.engine().begin() as command:
        locks = database.lock_connection(application_name="test")
        found = {place(f"postgresql://{c.info.host}:{c.info.port}") for c in (job, driver(command), locks)}
        locks.close()
    database.close()

    assert {pair.primary} == found


def test_standby_alone_is_unavailable(pair: Pair) -> None:
    """It may be promoted: 69, and it is called a standby, for jobs and locks; reading is allowed."""
    database = Database(pair.url(pair.standby))
    for act in (
        lambda: begin_job(database),
        lambda: database.lock_connection(application_name="test"),
    ):
        with pytest.raises(Standby, match=f"{pair.standby} is a standby"):
            act()
    with database.direct() as reading:
        assert ask(reading, "SELECT pg_is_in_recovery()") == [(True,)]
    database.close()


def free_place() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_no_primary_among_the_hosts_is_unavailable(pair: Pair) -> None:
    """A standby, and a primary that is down: 69, both are named."""
    down = free_place()
    with pytest.raises(Standby, match="is a standby") as refused:
        connect(pair.url(pair.standby, down), application_name="test")
    assert down.rpartition(":")[2] in str(refused.value)


def test_wrong_role_is_configuration_among_several_hosts(pair: Pair) -> None:
    """What no waiting mends is told, though another host is away."""
    url = pair.url(free_place(), pair.primary).replace("jobsync@", "nobody_here@")
    with pytest.raises(ConfigurationProblem, match="28000"):
        connect(url, application_name="test")


def test_url_that_says_which_server_it_wants_is_obeyed(pair: Pair) -> None:
    """`target_session_attrs` of the URL wins; what cannot write is refused all the same where writes are needed."""
    url = pair.url(pair.standby, pair.primary, more="&target_session_attrs=any")
    with connect(url, application_name="test") as connection:
        assert ask(connection, "SELECT pg_is_in_recovery()") == [(True,)]
    with pytest.raises(Standby):
        connect(url, application_name="test", writes=True)


def test_primary_that_is_set_read_only_is_named_among_several_hosts(pair: Pair) -> None:
    """libpq only says that no host takes writes; we say which one would, and what keeps it."""
    with psycopg.connect(pair.url(pair.primary), autocommit=True) as primary:
        primary.execute("CREATE ROLE careful LOGIN")
        primary.execute("ALTER ROLE careful SET default_transaction_read_only = on")
        with psycopg.connect(pair.url(pair.standby), autocommit=True) as standby:
            until(lambda: ask(standby, "SELECT 1 FROM pg_roles WHERE rolname = 'careful'"))
        url = pair.url(pair.standby, pair.primary).replace("jobsync@", "careful@")
        with pytest.raises(ReadOnly, match="the role careful is set read-only"):
            connect(url, application_name="test")
        primary.execute("DROP ROLE careful")
