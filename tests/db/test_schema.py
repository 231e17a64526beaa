"""A schema of its own: its name, what each transaction sees, and what the role's search_path has to do with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from jobsync import tick
from jobsync.db import migrate
from jobsync.db.engine import Database, transaction
from jobsync.errors import ConfigurationProblem
from jobsync.runner.lock import LockSession, lock_key, read_holder, run_lock_name
from jobsync.schema_name import problem_of_schema
from jobsync.settings import load_settings
from tests.conftest import _fresh
from tests.db.test_migrate import CATALOG, read
from tests.runner.pooler import transaction_pooler
from tests.runner.support import dbname

ODD = 'Our "Cars" %s; x'
PATHS = ["''", "pg_catalog", "elsewhere", '"$user"']


def upgraded(server_url: str, schema: str) -> Iterator[Database]:
    for url in _fresh(server_url, "template1"):
        database = Database(url, schema=schema)
        migrate.upgrade(database.engine(connections=1))
        yield database
        database.close()


@pytest.fixture(scope="module", params=["jobsync", ODD, "ß" * 31 + "x"], ids=["plain", "odd", "63 bytes"])
def ours(request: pytest.FixtureRequest, server_url: str) -> Iterator[Database]:
    """A database whose tables of ours are in a schema of their own."""
    yield from upgraded(server_url, request.param)


@pytest.fixture(scope="module")
def in_public_and_moved(server_url: str, template: str) -> Iterator[tuple[str, str]]:
    """Two databases with our tables, in public and in a schema of their own."""
    for url in _fresh(server_url, template):
        for database in upgraded(server_url, "jobsync"):
            yield url, database.url


@pytest.mark.parametrize("part", CATALOG)
def test_schema_of_its_own_holds_all(part: str, in_public_and_moved: tuple[str, str]) -> None:
    """Tables, views, indexes and alembic's own table: all of them are there, and nothing is in public."""
    public_url, moved_url = in_public_and_moved
    in_public = read(public_url, CATALOG[part])
    moved = read(moved_url, CATALOG[part].replace("'public'", "'jobsync'"))

    assert [repr(row).replace("public.", "") for row in in_public] == [
        repr(row).replace("jobsync.", "") for row in moved
    ]
    assert [] == read(moved_url, CATALOG[part])


def test_name_is_spelled_as_it_is(ours: Database) -> None:
    """Capitals, quotes, blanks, percent signs, 63 bytes: the schema has that name; locks work in it."""
    locks = LockSession(lambda: ours.lock_connection(application_name="test"))
    fence = locks.take("stock-sync", run_id=uuid4(), holder="me")
    with transaction(ours.engine()) as connection:
        holder = read_holder(connection, "stock-sync")
    locks.close()

    assert [(ours.schema,)] == read(ours.url, "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|info|public)'")
    assert fence is not None
    assert (lock_key(f"{ours.schema}/stock-sync"), "me") == (fence.key, holder.holder)


@pytest.mark.parametrize("name", ["", " x", "pg_x", "information_schema", "$user", "x" * 64, "é" * 32, "a\nb"])
def test_name_that_cannot_be_is_refused(name: str) -> None:
    """With a sentence that says what it has against it; an empty variable counts as unset."""
    assert problem_of_schema(name)
    if name:
        with pytest.raises(ConfigurationProblem, match="JOBSYNC_DATABASE_SCHEMA: "):
            load_settings({"JOBSYNC_DATABASE_SCHEMA": name})


def test_schema_that_is_not_there_is_named(empty_url: str) -> None:
    """Nobody but the upgrade makes it."""
    database = Database(empty_url, schema="jobsync")
    with (
        pytest.raises(ConfigurationProblem, match=r'schema "jobsync" has no jobsync tables yet; run: jobsync db up'),
        transaction(database.engine()) as connection,
    ):
        migrate.check_schema(connection)
    database.close()


def test_tables_in_another_schema_are_named(ours: Database) -> None:
    """Whoever had them where the role's search_path led is not sent to make a second, empty set."""
    public = Database(ours.url)
    with pytest.raises(ConfigurationProblem) as problem, transaction(public.engine()) as connection:
        migrate.check_schema(connection)
    public.close()

    assert f'there are some in "{ours.schema.replace(chr(34), chr(34) * 2)}"' in str(problem.value)


def test_role_that_may_not_create_the_schema_is_told_how(empty_url: str) -> None:
    """The owner's statement, ready to be typed."""
    with psycopg.connect(empty_url, autocommit=True) as owner:
        owner.execute("CREATE ROLE nothing_to_create LOGIN")
        database = Database(empty_url.replace("//jobsync@", "//nothing_to_create@"), schema="jobsync")
        with pytest.raises(ConfigurationProblem, match='CREATE SCHEMA "jobsync" AUTHORIZATION nothing_to_create'):
            migrate.upgrade(database.engine(connections=1))
        database.close()
        owner.execute("DROP ROLE nothing_to_create")


@pytest.mark.parametrize("path", PATHS)
def test_role_s_own_search_path_does_not_matter(empty_url: str, path: str) -> None:
    """Also where the tables are in public: upgrade, locks and every transaction see them."""
    with psycopg.connect(empty_url, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA elsewhere")
        owner.execute(f"ALTER DATABASE {dbname(empty_url)} SET search_path TO {path}".encode())
    database = Database(empty_url)
    migrate.upgrade(database.engine(connections=1))
    with transaction(database.job_engine()) as connection:
        migrate.check_schema(connection)
        [seen] = connection.execute("SELECT current_setting('search_path')").fetchall()
    locks = LockSession(lambda: database.lock_connection(application_name="jobsync:test"))
    fence = locks.take("stock-sync", run_id=uuid4(), holder="me")
    locks.close()
    database.close()

    assert ("public",) == seen
    assert fence is not None
    assert 0 == len(read(empty_url, "SELECT relname FROM pg_class WHERE relnamespace = 'elsewhere'::regnamespace"))


def test_functions_carry_the_schema(ours: Database) -> None:
    """Whoever calls the tick, with whatever search_path, asks about our tables."""
    name = ours.schema.replace('"', '""')
    with psycopg.connect(ours.url) as connection:
        connection.execute("SET search_path TO ''")
        found = connection.execute(f"""SELECT "{name}".jobsync_tick('stock-sync')""".encode()).fetchone()

    assert (False,) == found


@pytest.mark.parametrize("schema", ["public", "jobsync", ODD])
def test_idle_tick_sees_the_schema_alone(empty_url: str, schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs no other way, whatever the role's search_path says."""
    database = Database(empty_url, schema=schema)
    migrate.upgrade(database.engine(connections=1))
    database.close()
    with psycopg.connect(empty_url, autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE {dbname(empty_url)} SET search_path TO ''".encode())
    monkeypatch.setenv("JOBSYNC_DATABASE_URL", empty_url)
    monkeypatch.setenv("JOBSYNC_DATABASE_SCHEMA", schema)

    assert tick.nothing_is_due(["stock-sync", "--scheduled"])


@pytest.mark.parametrize(
    ("file", "named", "idle"),
    [(False, None, True), (True, None, False), (True, "public", True), (False, "$user", False)],
)
def test_idle_tick_asks_nowhere_but_in_its_environment(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: bool, named: str | None, idle: bool
) -> None:
    """A configuration file may name a schema: the ordinary way reads it. So it is with a name that cannot be."""
    monkeypatch.setenv("JOBSYNC_DATABASE_URL", database_url)
    monkeypatch.setenv("JOBSYNC_CONFIG", str(tmp_path / "config.toml"))
    if file:
        (tmp_path / "config.toml").touch()
    if named:
        monkeypatch.setenv("JOBSYNC_DATABASE_SCHEMA", named)

    assert idle is tick.nothing_is_due(["stock-sync", "--scheduled"])


def test_schema_reaches_through_a_pooler(empty_url: str) -> None:
    """Transactions that meet other server connections each time see the schema; none of them keeps it."""
    direct = Database(empty_url, schema="jobsync")
    migrate.upgrade(direct.engine(connections=1))
    direct.close()
    with transaction_pooler(empty_url, servers=2) as url:
        database = Database(url, lock_url=empty_url, schema="jobsync")
        engine = database.job_engine()
        for _ in range(4):
            with transaction(engine) as connection:
                migrate.check_schema(connection)
        with psycopg.connect(url, prepare_threshold=None) as other:
            left: Any = other.execute("SELECT current_setting('search_path')").fetchone()
        database.close()

    assert ('"$user", public',) == left


def test_two_schemas_lock_each_for_itself() -> None:
    """The same name in public is hashed as ever, elsewhere with its schema."""
    name = run_lock_name(UUID(int=1))

    assert lock_key(name) == lock_key(name, "public")
    assert lock_key(name, "jobsync") == lock_key(f"jobsync/{name}") != lock_key(name)
