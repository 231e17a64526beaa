"""The schema: migrations from nothing build what tables.py says, once, whoever starts them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from jobsync.db import migrate
from jobsync.db.engine import Database, driver
from jobsync.db.hidden import VERSION_TABLE
from jobsync.db.system_settings import CATALOGUE
from jobsync.db.tables import metadata
from jobsync.errors import ConfigurationProblem

_OURS = f"c.relnamespace = 'public'::regnamespace AND c.relname <> '{VERSION_TABLE}'"
CATALOG = {
    "columns": f"""
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
               a.attcollation = 'default'::regcollation, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relkind = 'r' AND {_OURS}""",
    "constraints": f"""
        SELECT c.relname, k.conname, k.contype, k.convalidated, k.condeferrable, pg_get_constraintdef(k.oid)
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE {_OURS}""",
    "indexes": f"""
        SELECT c.relname, pg_get_indexdef(i.indexrelid), i.indisunique, i.indisvalid
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE {_OURS}""",
    "relations": f"SELECT c.relname, c.relkind, c.relpersistence FROM pg_class c WHERE c.relkind <> 'i' AND {_OURS}",
    "views": f"""
        SELECT c.relname, pg_get_viewdef(c.oid) FROM pg_class c WHERE c.relkind = 'v' AND {_OURS}""",
    "triggers": f"""
        SELECT c.relname, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND {_OURS}""",
}


@pytest.fixture
def empty(empty_url: str) -> Iterator[Engine]:
    """An engine on a database with nothing in it."""
    database = Database(empty_url)
    yield database.engine()
    database.close()


def read(url: str, statement: str) -> list[Any]:
    """Return the rows of a statement, in their own order."""
    with psycopg.connect(url) as connection:
        return sorted(connection.execute(statement.encode()).fetchall(), key=repr)


def script() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(migrate.migrations_folder()))
    return ScriptDirectory.from_config(config)


@pytest.mark.parametrize("part", CATALOG)
def test_migrations_from_nothing_equal_the_map(part: str, database_url: str, empty_url: str, empty: Engine) -> None:
    """What Postgres itself says of a migrated database is what it says of one made from tables.py."""
    metadata.create_all(empty)
    expected = read(empty_url, CATALOG[part])

    assert expected == read(database_url, CATALOG[part])


def test_alembic_sees_no_difference(database: Database) -> None:
    """Alembic's own comparison proposes no further migration."""
    with database.engine().connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True},
        )

        assert compare_metadata(context, metadata) == []


def test_head_is_the_last_migration() -> None:
    """The revision that the code asks for is the one that the folder ends in, and there is only one end."""
    assert script().get_heads() == [migrate.HEAD]


def test_revisions_sort_as_they_follow() -> None:
    """Older and newer are told by comparing texts, so the names must grow."""
    names = [revision.revision for revision in script().walk_revisions()][::-1]

    assert sorted(names) == names


def test_second_upgrade_changes_nothing(empty_url: str, empty: Engine) -> None:
    """An upgrade of an up-to-date database leaves tables and settings as they are."""
    migrate.upgrade(empty)
    with psycopg.connect(empty_url) as connection:
        connection.execute("UPDATE system_settings SET value = '9' WHERE key = 'easycar_sync_concurrency'")
    before = [read(empty_url, statement) for statement in (*CATALOG.values(), "SELECT * FROM system_settings")]
    status = migrate.upgrade(empty)

    assert status.up_to_date
    assert before == [read(empty_url, statement) for statement in (*CATALOG.values(), "SELECT * FROM system_settings")]


@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
def test_two_upgrades_at_once_are_one(empty_url: str, isolation: str) -> None:
    """Hosts that upgrade together wait for each other; each finds the schema up to date, whatever isolation is set."""
    with psycopg.connect(empty_url, autocommit=True) as owner:
        name = owner.info.dbname
        owner.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'".encode())

    def upgrade(number: int) -> migrate.SchemaStatus:
        database = Database(empty_url)
        try:
            return migrate.upgrade(database.engine(application_name=f"upgrade {number}", connections=2))
        finally:
            database.close()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(upgrade, range(4)))

    assert [(migrate.HEAD, True)] * 4 == [(status.current, status.up_to_date) for status in found]
    assert 1 == sum(bool(status.applied) for status in found)


def test_upgrade_is_recorded_with_what_it_ran_or_not_at_all(empty_url: str, empty: Engine) -> None:
    """The record is written where the tables are made: neither is there without the other, whatever dies when."""

    def die(_connection: object, _ran: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate.upgrade(empty, die)
    assert migrate.schema_status(empty).current is None

    told: list[object] = []
    for _ in range(2):
        migrate.upgrade(empty, lambda connection, ran: told.append((connection.in_transaction(), ran[0], ran[-1])))
    assert told == [(True, "0001", migrate.HEAD)]
    assert read(empty_url, f"SELECT version_num FROM {VERSION_TABLE}") == [(migrate.HEAD,)]


def test_upgrade_that_breaks_leaves_nothing(empty_url: str, empty: Engine) -> None:
    """A migration that fails half-way, here over the name of an index, is rolled back whole."""
    with psycopg.connect(empty_url) as connection:
        connection.execute("CREATE TABLE theirs (id int)")
        connection.execute("CREATE INDEX vehicle_changes_changed_at_idx ON theirs (id)")
    with pytest.raises(ConfigurationProblem, match=r"vehicle_changes_changed_at_idx.*JOBSYNC_DATABASE_SCHEMA"):
        migrate.upgrade(empty)

    assert read(empty_url, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'") == [("theirs",)]


@pytest.mark.parametrize(
    ("made", "names"),
    [
        ("CREATE TABLE vehicles ()", "vehicles"),
        ("CREATE TABLE system_settings (); CREATE VIEW due_rides AS SELECT 1", "due_rides, system_settings"),
        ("CREATE TABLE audit (id int) PARTITION BY RANGE (id)", "audit"),
    ],
)
def test_tables_of_others_are_refused_with_the_cure(empty_url: str, empty: Engine, made: str, names: str) -> None:
    """Where a name of ours is taken, nothing is made; all such names are said at once: 78."""
    with psycopg.connect(empty_url) as connection:
        connection.execute(made.encode())
    before = read(empty_url, "SELECT relname FROM pg_class")
    with pytest.raises(ConfigurationProblem, match=rf" {names}; .*JOBSYNC_DATABASE_SCHEMA=jobsync"):
        migrate.upgrade(empty)

    assert before == read(empty_url, "SELECT relname FROM pg_class")


def test_tables_of_others_elsewhere_are_no_matter(empty_url: str) -> None:
    """Only the schema in which ours are made counts."""
    with psycopg.connect(empty_url) as connection:
        connection.execute("CREATE TABLE public.system_settings ()")
    database = Database(empty_url, schema="jobsync")
    status = migrate.upgrade(database.engine())
    database.close()

    assert status.up_to_date


def test_pending_lists_what_an_upgrade_would_run(empty: Engine) -> None:
    """Before the first upgrade every revision is pending, in its order; afterwards none is."""
    before = migrate.schema_status(empty)
    after = migrate.upgrade(empty)

    assert (before.current, before.pending[:1], before.pending[-1]) == (None, ("0001",), migrate.HEAD)
    assert (after.current, after.pending) == (migrate.HEAD, ())


def test_newer_schema_is_refused(database: Database, connection: psycopg.Connection[Any]) -> None:
    """A schema from a newer program is neither used nor touched: 78."""
    connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    engine = database.engine()

    with pytest.raises(ConfigurationProblem, match="newer"):
        migrate.upgrade(engine)
    with pytest.raises(ConfigurationProblem, match="newer"), engine.connect() as looking:
        migrate.check_schema(driver(looking))
    assert migrate.schema_status(engine).pending == ()


def test_older_schema_names_the_command(database: Database, connection: psycopg.Connection[Any]) -> None:
    """A schema older than the code is refused with the command that mends it."""
    connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '0000'")

    with pytest.raises(ConfigurationProblem, match="jobsync db upgrade"), database.engine().connect() as looking:
        migrate.check_schema(driver(looking))


def test_missing_schema_names_the_command(empty: Engine) -> None:
    """An empty database is refused with the command that fills it."""
    with pytest.raises(ConfigurationProblem, match="jobsync db upgrade"), empty.connect() as looking:
        migrate.check_schema(driver(looking))


def test_version_table_of_the_host_application_is_left_alone(empty_url: str, empty: Engine) -> None:
    """An application that uses alembic in the same database keeps its own version."""
    with psycopg.connect(empty_url) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES ('host-application-7')")
    migrate.upgrade(empty)

    assert read(empty_url, "SELECT * FROM alembic_version") == [("host-application-7",)]


def test_settings_are_seeded_with_their_defaults(database_url: str) -> None:
    """Every setting of the catalogue, and no other, is there with its default."""
    expected = sorted((key, kind.spell(str(kind.default))) for key, kind in CATALOGUE.items())

    assert expected == read(database_url, "SELECT key, value FROM system_settings")


def test_settings_are_seeded_with_a_description(database_url: str) -> None:
    """Whoever looks at the table in SQL can read what each setting is for."""
    assert read(database_url, "SELECT key FROM system_settings WHERE length(description) < 10") == []
