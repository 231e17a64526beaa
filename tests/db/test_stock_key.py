"""The migration to stock keys: what collides is named and settled, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from alembic import command
from sqlalchemy import Engine
from structlog.testing import capture_logs

from jobsync.db import migrate
from jobsync.db.engine import Database
from jobsync.errors import ConfigurationProblem


@pytest.fixture
def before(empty_url: str) -> Iterator[tuple[Engine, psycopg.Connection[Any]]]:
    """A database of the revision before, with one dealership."""
    database = Database(empty_url)
    engine = database.engine()
    config = migrate._config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("INSERT INTO dealerships (name) VALUES ('A'), ('B')")
        yield engine, connection
    database.close()


def put(connection: psycopg.Connection[Any], number: str, status: str = "active", **more: Any) -> int:
    """Add a vehicle; returns its id."""
    row = connection.execute(
        "INSERT INTO vehicles (dealership_id, stock_number, status, data_source) VALUES (%s, %s, %s, %s) RETURNING id",
        [more.get("dealership", 1), number, status, more.get("source", "easycars")],
    ).fetchone()
    assert row is not None
    return int(row[0])


def numbers(connection: psycopg.Connection[Any]) -> dict[int, str]:
    """Every vehicle's stock number."""
    return dict(connection.execute("SELECT id, stock_number FROM vehicles").fetchall())


@pytest.mark.parametrize(
    ("statuses", "stays"),
    [
        (("active", "removed"), 0),
        (("removed", "active"), 1),
        (("removed", "deposit", "sold"), 1),
        (("active", "active"), 1),
        (("removed", "removed"), 1),
        (("sold", "removed"), 0),
    ],
)
def test_of_rows_with_one_key_one_keeps_its_number(
    before: tuple[Engine, psycopg.Connection[Any]], statuses: tuple[str, ...], stays: int
) -> None:
    """The advertised one, else one that is listed, else the newer; the others are retired, which their history says."""
    engine, connection = before
    spellings = ("ab 1", "AB 1", "Ab  1 ")
    ids = [put(connection, spelling, status) for spelling, status in zip(spellings, statuses, strict=False)]
    migrate.upgrade(engine)
    found = numbers(connection)
    retired = [(number, f"{found_of}~{number} ") for number, found_of in zip(ids, spellings, strict=False)]
    del retired[stays]

    assert found[ids[stays]] == spellings[stays]
    assert sorted(retired) == sorted((number, found[number]) for number in ids if number != ids[stays])
    assert sorted(retired) == sorted(
        connection.execute("SELECT vehicle_id, new FROM vehicle_changes WHERE field = 'stock_number'").fetchall()
    )


def test_what_does_not_collide_stays(before: tuple[Engine, psycopg.Connection[Any]]) -> None:
    """Other dealerships' rows and people's own rows may have the same key."""
    engine, connection = before
    put(connection, "A1")
    put(connection, "a1", dealership=2)
    put(connection, "a1", source="manual")
    put(connection, "a1 ", source="manual")
    was = numbers(connection)
    migrate.upgrade(engine)

    assert was == numbers(connection)


def test_the_migration_says_which(before: tuple[Engine, psycopg.Connection[Any]]) -> None:
    """Each retired number is named with the one that stays, before anything is changed."""
    engine, connection = before
    put(connection, "A1", "removed")
    put(connection, "a1")
    with capture_logs() as said:
        migrate.upgrade(engine)

    [named] = [entry for entry in said if entry["event"] == "migration.stock_number_retired"]
    assert (named["stock_number"], named["becomes"], named["kept"]) == ("A1", "A1~1 ", "a1")


def test_a_trigger_that_keeps_a_row_stops_the_upgrade(before: tuple[Engine, psycopg.Connection[Any]]) -> None:
    """Where the database does not let a number be retired, nothing is changed and the sentence says what to do."""
    engine, connection = before
    put(connection, "A1")
    put(connection, "a1")
    connection.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER keep BEFORE UPDATE ON vehicles FOR EACH ROW EXECUTE FUNCTION keep()"
    )
    with pytest.raises(ConfigurationProblem, match="trigger"):
        migrate.upgrade(engine)

    assert migrate.schema_status(engine).current == "0004"


def test_rows_of_another_writer_get_their_key(before: tuple[Engine, psycopg.Connection[Any]]) -> None:
    """Whoever writes a stock number by SQL need not know of the key."""
    engine, connection = before
    migrate.upgrade(engine)
    number = put(connection, "  Ab\u00a012 ")

    assert connection.execute("SELECT stock_key FROM vehicles WHERE id = %s", [number]).fetchone() == ("ab 12",)
