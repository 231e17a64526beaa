"""jobsync adopt: what the original's tables hold is here, under its ids, once; and nothing of it is lost in silence."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.adopt.tables import add_credentials, make
from tests.commands.support import Cli, Feed, Ran, car, contents

# What this product's papers say of the original, and of tests/adopt/tables.py.
COUNTS = {"dealerships": 2, "credentials": 2, "vehicles": 6, "documents": 2, "logs": 3, "settings": 3}
NONE = dict.fromkeys(COUNTS, 0)
LEFT = [("setting", "easycar_image_sync_enabled")]


@pytest.fixture
def old(empty_url: str) -> str:
    """The original's database, on the same server."""
    make(empty_url)
    return empty_url


@pytest.fixture
def in_old(old: str) -> Callable[[str], list[tuple[Any, ...]]]:
    """Run a statement in the original's database."""

    def run(statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(old) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    return run


Rows = Callable[[str], list[tuple[Any, ...]]]


def left(ran: Ran) -> list[tuple[Any, ...]]:
    """What was left, without the reasons."""
    return [(found["what"], found["id"]) for found in ran.json["left"]]


def adopt(cli: Cli, old: str, *more: str) -> Ran:
    """Bring all, with its JSON."""
    return cli("adopt", "--from", old, *more, "--json")


# --- what is brought -------------------------------------------------------------------------------------------------


def test_everything_is_brought_under_its_id(cli: Cli, old: str, rows: Rows) -> None:
    """Dealerships, switches, credentials, vehicles, documents, logs and settings; what is left is named: exit 3."""
    ran = adopt(cli, old)

    assert (3, COUNTS, LEFT) == (ran.code, ran.json["counts"], left(ran))
    assert [(3, "Old Yard", "old@yard.example", None), (8, "New Yard", None, None)] == rows(
        "SELECT id, name, email, timezone FROM dealerships ORDER BY id"
    )
    assert [(3, True), (8, False)] == rows(
        "SELECT dealership_id, easycar_auto_sync_enabled FROM dealership_settings ORDER BY 1"
    )
    assert [
        (10, 3, "A10", "active", None, "easycars"),
        (11, 3, "A11", "deposit", None, "easycars"),
        (12, 3, None, "excluded", "person", "manual"),
        (13, 3, "A13", "sold", None, "easycars"),
        (14, 3, "A14", "excluded", "person", "easycars"),
        (40, 8, "A10", "active", None, "easycars"),
    ] == rows("SELECT id, dealership_id, stock_number, status, excluded_by, data_source FROM vehicles ORDER BY id")
    assert [("6T1BF3FK00X000010", 1000, ["ABS", "Airbags"], 2, "Fine")] == rows(
        "SELECT vin, odometer, features, jsonb_array_length(images), description FROM vehicles WHERE id = 10"
    )
    assert [(None, None)] == rows("SELECT vin, description FROM vehicles WHERE id = 11")
    assert [(10, "1.50"), (11, None)] == rows(
        "SELECT vehicle_id, stock_item_json->'Unheard'->>0 FROM easycar_stock_data ORDER BY 1"
    )
    assert [("Failed", "stock", ["no answer"]), ("Success", "stock", []), ("Success", "lead", [])] == rows(
        "SELECT status, sync_type, error_messages FROM easycar_sync_logs ORDER BY synced_at"
    )
    assert [
        ("easycar_sync_concurrency", "4"),
        ("easycar_sync_cron", "30 3 * * *"),
        ("easycar_sync_timezone", "UTC"),
    ] == (
        rows(
            "SELECT key, value FROM system_settings WHERE key IN"
            " ('easycar_sync_cron', 'easycar_sync_concurrency', 'easycar_sync_timezone') ORDER BY 1"
        )
    )


def test_ciphertexts_are_brought_as_they_are(cli: Cli, old: str, in_old: Rows, rows: Rows) -> None:
    """Both programs read them; the key need not leave the host."""
    adopt(cli, old)
    columns = "client_id_encrypted, client_secret_encrypted, account_number_encrypted, account_secret_encrypted"

    assert in_old(f"SELECT {columns} FROM dealership_easycars_credentials ORDER BY dealership_id") == rows(
        f"SELECT {columns} FROM easycar_credentials ORDER BY dealership_id"
    )


@pytest.mark.parametrize("schema", ["public", "Old Shape"])
def test_the_names_of_its_papers_are_known(cli: Cli, empty_url: str, schema: str) -> None:
    """Plural tables, and a schema of any name, are read alike."""
    make(empty_url, schema=schema, plural=True)
    ran = adopt(cli, empty_url, "--from-schema", schema)

    assert (3, COUNTS, LEFT) == (ran.code, ran.json["counts"], left(ran))


def test_fewer_columns_are_enough(cli: Cli, empty_url: str, rows: Rows) -> None:
    """Whatever is there is read; what is not there is empty."""
    with psycopg.connect(empty_url) as connection:
        connection.execute("CREATE TABLE dealership (id int, name text)")
        connection.execute("CREATE TABLE vehicle (id int, dealership_id int, make text, created_at timestamp)")
        connection.execute("INSERT INTO dealership VALUES (1, 'Bare')")
        connection.execute("INSERT INTO vehicle VALUES (5, 1, 'Kia', '2020-01-01'), (6, 1, NULL, NULL)")
    ran = adopt(cli, empty_url)

    assert (0, {**NONE, "dealerships": 1, "vehicles": 2}) == (ran.code, ran.json["counts"])
    assert [(5, "Kia", "manual", "active", True), (6, None, "manual", "active", False)] == rows(
        "SELECT id, make, data_source, status, created_at = '2020-01-01T00:00Z' FROM vehicles ORDER BY id"
    )


def test_what_is_added_later_gets_other_ids(cli: Cli, old: str, rows: Rows) -> None:
    """The sequences go on behind the ids that were brought."""
    adopt(cli, old)
    added = cli("dealership", "add", "Third", "--timezone", "UTC", "--json").json["id"]

    assert added == 9
    assert [(41,)] == rows("INSERT INTO vehicles (dealership_id) VALUES (3) RETURNING id")


def test_who_brought_it_is_kept(cli: Cli, old: str, rows: Rows) -> None:
    """One audit row, without a secret."""
    adopt(cli, old)

    assert [("adopt", "6")] == rows("SELECT action, details->'counts'->>'vehicles' FROM audit WHERE action = 'adopt'")


# --- once ------------------------------------------------------------------------------------------------------------


def test_a_dry_run_says_the_same_and_writes_nothing(cli: Cli, old: str, database_url: str) -> None:
    """Not even a sequence moves."""
    before = contents(database_url)
    tried = adopt(cli, old, "--dry-run")

    assert before == contents(database_url)
    assert (tried.code, tried.json) == ((done := adopt(cli, old)).code, done.json)


def test_a_second_time_changes_nothing(cli: Cli, old: str, database_url: str) -> None:
    """All counts are 0, every row stays as it is."""
    adopt(cli, old)
    before = contents(database_url)
    again = adopt(cli, old)

    assert (3, NONE, LEFT) == (again.code, again.json["counts"], left(again))
    assert before == contents(database_url)


def test_a_new_vehicle_takes_a_number_that_another_gave_up(cli: Cli, old: str, in_old: Rows, rows: Rows) -> None:
    """Whatever their ids: the one that is here gives it up first."""
    adopt(cli, old)
    in_old("UPDATE vehicle SET easycars_stock_number = 'A99' WHERE id = 11")
    in_old(
        'INSERT INTO vehicle SELECT (jsonb_populate_record(v, \'{"id": 5, "easycars_stock_number": "A11"}\')).*'
        " FROM vehicle v WHERE id = 10"
    )
    ran = adopt(cli, old)

    assert (LEFT, [(5, "A11"), (11, "A99")]) == (
        left(ran),
        rows("SELECT id, stock_number FROM vehicles WHERE id IN (5, 11) ORDER BY id"),
    )


def test_until_the_first_sync_changes_there_are_brought(cli: Cli, old: str, in_old: Rows, rows: Rows) -> None:
    """New, changed and deleted rows; what a person changed here and nobody there stays."""
    adopt(cli, old)
    assert 0 == cli("stock", "exclude", "3", "A13").code
    assert 0 == cli("dealership", "set", "3", "--timezone", "Australia/Perth").code
    in_old("UPDATE vehicle SET price = 17000 WHERE id = 10")
    in_old("DELETE FROM vehicle WHERE id = 14")
    in_old("UPDATE dealership SET name = 'Renamed' WHERE id = 3")
    in_old('UPDATE easycar_stock_data SET stock_item_json = \'{"StockNumber": "A10", "New": 1}\'')
    in_old("DELETE FROM dealership_easycars_credentials WHERE dealership_id = 8")
    in_old("INSERT INTO easycar_sync_logs (dealership_id, synced_at, status) VALUES (3, now(), 'Success')")
    ran = adopt(cli, old)

    expected = {"dealerships": 1, "credentials": 1, "vehicles": 2, "documents": 1, "logs": 1, "settings": 0}
    assert (3, expected) == (ran.code, ran.json["counts"])
    assert [("Renamed", "Australia/Perth")] == rows("SELECT name, timezone FROM dealerships WHERE id = 3")
    assert [(10, 17000, "active"), (11, 0, "deposit"), (12, 5000.5, "excluded"), (13, 9000, "excluded")] == rows(
        "SELECT id, price::float, status FROM vehicles WHERE dealership_id = 3 ORDER BY id"
    )
    assert [(3,)] == rows("SELECT dealership_id FROM easycar_credentials")


def test_the_first_sync_creates_nothing_twice(cli: Cli, old: str, feed: Feed, in_old: Rows, rows: Rows) -> None:
    """Its vehicles are known by number; sold here and kept off stay so; afterwards adopt changes nothing of it."""
    adopt(cli, old)
    feed.answers["EC000003"] = [car("a10 "), car("A11"), car("A13"), car("A14"), car("A15")]
    synced = cli("stock-sync", "--dealership", "3", "--json")
    [item] = synced.json["items"]

    assert (0, 1, 2, 2) == (synced.code, item["created"], item["updated"], item["skipped"])
    assert [(10, "active"), (11, "active"), (13, "sold"), (14, "excluded"), (41, "active")] == rows(
        "SELECT id, status FROM vehicles WHERE dealership_id = 3 AND data_source = 'easycars' ORDER BY id"
    )
    in_old("UPDATE vehicle SET price = 1")
    in_old("UPDATE dealership SET name = 'Renamed'")
    in_old("UPDATE system_settings SET value = '7' WHERE key = 'easycar_sync_concurrency'")
    again = adopt(cli, old)

    assert (0, {**NONE, "dealerships": 1, "vehicles": 1}) == (again.code, again.json["counts"])
    assert [3] == again.json["untouched"]
    assert [("Old Yard",), ("Renamed",)] == rows("SELECT name FROM dealerships ORDER BY id")
    assert [(20000,)] == rows("SELECT price::int FROM vehicles WHERE id = 10")


def test_a_failed_sync_is_no_first_sync(cli: Cli, old: str, feed: Feed, in_old: Rows) -> None:
    """It has changed nothing here, so what changed there is still brought."""
    adopt(cli, old)
    feed.answers["EC000003"] = ("503 Service Unavailable", b"")
    assert 0 != cli("stock-sync", "--dealership", "3").code
    in_old("UPDATE vehicle SET price = 1 WHERE id = 10")

    assert 1 == adopt(cli, old).json["counts"]["vehicles"]


def test_the_removals_of_years_are_held(cli: Cli, old: str, feed: Feed, in_old: Rows) -> None:
    """The original never removed a vehicle, so the first night has many that are gone; a person is asked."""
    in_old(
        "INSERT INTO vehicle (dealership_id, make, model, year, price, mileage, condition, status, title,"
        " easycars_stock_number, data_source) SELECT 3, 'Old', 'Car', 2000, 1, 1, 'used', 'active', 'Old car',"
        " 'Z' || n, 'EasyCars' FROM generate_series(1, 20) n"
    )
    adopt(cli, old)
    feed.answers["EC000003"] = [car("A10"), car("A11"), car("A13"), car("A14")]
    synced = cli("stock-sync", "--dealership", "3", "--json")

    assert (3, "held", 20) == (synced.code, synced.json["items"][0]["status"], synced.json["items"][0]["held"])


# --- what is left ----------------------------------------------------------------------------------------------------


def test_rows_of_one_key_are_settled(cli: Cli, old: str, in_old: Rows, rows: Rows) -> None:
    """The advertised one keeps the number, else the newer; the others get a retired one, with a line of history."""
    in_old(
        "INSERT INTO vehicle (id, dealership_id, make, model, year, price, mileage, condition, status, title,"
        " easycars_stock_number, data_source) SELECT n, 3, 'Old', 'Car', 2000, 1, 1, 'used', s, 'Old car', k,"
        " 'EasyCars' FROM (VALUES (20, 'sold', ' a10'), (21, 'active', 'B1'), (22, 'active', 'b1')) v(n, s, k)"
    )
    ran = adopt(cli, old)

    assert (3, 9, 2) == (ran.code, ran.json["counts"]["vehicles"], len(ran.json["warnings"]))
    assert [(10, "A10"), (20, "a10~20 "), (21, "B1~21 "), (22, "b1")] == rows(
        "SELECT id, stock_number FROM vehicles WHERE id IN (10, 20, 21, 22) ORDER BY id"
    )
    assert [(20, "a10", "a10~20 "), (21, "B1", "B1~21 ")] == rows(
        "SELECT vehicle_id, old, new FROM vehicle_changes ORDER BY 1"
    )
    assert NONE == adopt(cli, old).json["counts"]

    in_old("UPDATE vehicle SET status = 'sold' WHERE id = 22")

    assert 2 == adopt(cli, old).json["counts"]["vehicles"]
    assert [(21, "B1"), (22, "b1~22 ")] == rows(
        "SELECT id, stock_number FROM vehicles WHERE id IN (21, 22) ORDER BY id"
    )


def test_what_cannot_be_brought_is_named(cli: Cli, old: str, in_old: Rows) -> None:
    """A vehicle without a number, a cron that is none, a damaged ciphertext: each with its reason."""
    in_old("UPDATE vehicle SET easycars_stock_number = ' ' WHERE id = 40")
    in_old("UPDATE system_settings SET value = '@daily' WHERE key = 'easycar_sync_cron'")
    in_old("UPDATE dealership_easycars_credentials SET client_secret_encrypted = 'AAAA' WHERE dealership_id = 8")
    in_old("INSERT INTO easycar_sync_logs (id, dealership_id, synced_at, status) VALUES (99, 3, now(), 'InProgress')")
    ran = adopt(cli, old)

    expected = [("credentials", 8), ("log", 99), ("setting", "easycar_image_sync_enabled")]
    expected += [("setting", "easycar_sync_cron"), ("vehicle", 40)]
    assert (3, expected) == (ran.code, sorted(left(ran)))
    assert {"dealerships": 2, "credentials": 1, "vehicles": 5, "documents": 2, "logs": 3, "settings": 2} == (
        ran.json["counts"]
    )
    assert all(found["reason"] for found in ran.json["left"])


def test_a_row_that_the_database_refuses_costs_itself_alone(
    cli: Cli, old: str, connection: psycopg.Connection[Any]
) -> None:
    """A rule of the host's own on our table: one of many is left in the database's words."""
    connection.execute("ALTER TABLE vehicles ADD CONSTRAINT no_corolla CHECK (model <> 'Corolla')")
    ran = adopt(cli, old)

    assert (3, 5, 1) == (ran.code, ran.json["counts"]["vehicles"], ran.json["counts"]["documents"])
    assert ("vehicle", 10) in left(ran)
    assert any("no_corolla" in found["reason"] for found in ran.json["left"])


# --- what is refused -------------------------------------------------------------------------------------------------


def test_an_id_of_somebody_else_stops_all(cli: Cli, old: str, database_url: str, rows: Rows) -> None:
    """It is here and not remembered: exit 1, named, and nothing is brought."""
    rows("INSERT INTO dealerships (id, name) VALUES (3, 'Another') RETURNING 1")
    before = contents(database_url)
    ran = adopt(cli, old)

    assert (1, NONE, [("dealership", 3)]) == (ran.code, ran.json["counts"], left(ran))
    assert "dealership 3" in ran.json["error"]
    assert before == contents(database_url)
    assert 1 == adopt(cli, old, "--dry-run").code


def test_another_source_is_somebody_else(cli: Cli, old: str) -> None:
    """The same ids from another schema of the original are not those that were brought."""
    make(old, schema="other")
    adopt(cli, old)

    assert 1 == adopt(cli, old, "--from-schema", "other").code


def test_a_key_that_opens_nothing_brings_nothing(cli: Cli, old: str, database_url: str) -> None:
    """It is proven on the ciphertexts before anything is written: 78, and which variable."""
    before = contents(database_url)
    wrong = base64.b64encode(b"x" * 32).decode()
    ran = cli("adopt", "--from", old, "--json", JOBSYNC_ENCRYPTION_KEY=wrong)

    assert (78, True) == (ran.code, "EASYCARS_ENCRYPTION_KEY" in ran.json["error"])
    assert before == contents(database_url)


def test_the_originals_own_variable_is_read(cli: Cli, old: str) -> None:
    """EASYCARS_ENCRYPTION_KEY serves where JOBSYNC_ENCRYPTION_KEY is not set."""
    key = cli.environ.pop("JOBSYNC_ENCRYPTION_KEY")

    assert 78 == adopt(cli, old).code
    assert 3 == cli("adopt", "--from", old, EASYCARS_ENCRYPTION_KEY=key).code


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://reader:hunter2secret@127.0.0.1:1/shop", 69),
        ("postgresql://reader:hunter2secret@127.0.0.1:none/shop", 78),
        ("mysql://reader:hunter2secret@127.0.0.1/shop", 2),
        ("postgresql://reader:hunter2secret@/postgres?host=/nowhere", 69),
    ],
)
def test_a_source_that_cannot_be_read_is_named_without_its_password(cli: Cli, url: str, code: int) -> None:
    """The message says --from, so that nobody looks at our own database; the password is in no output."""
    ran = adopt(cli, url)

    assert (code, True) == (ran.code, "--from" in ran.json["error"])
    assert "hunter2secret" not in ran.out + ran.err


def test_a_schema_without_its_tables_is_refused(cli: Cli, old: str, database_url: str) -> None:
    """Exit 2 with the schemas that have them; our own tables are never taken for the original's."""
    ran = adopt(cli, old, "--from-schema", "elsewhere")
    ours = adopt(cli, database_url)

    assert (2, True) == (ran.code, "--from-schema public" in ran.json["error"])
    assert 2 == ours.code


def test_hidden_rows_are_not_taken_for_none(cli: Cli, old: str, in_old: Rows) -> None:
    """Row-level security that binds the reading role, or a table that it may not read: 78, with the cure."""
    in_old("ALTER TABLE vehicle ENABLE ROW LEVEL SECURITY")
    in_old("DROP ROLE IF EXISTS adopt_reader; CREATE ROLE adopt_reader LOGIN")
    in_old("GRANT SELECT ON ALL TABLES IN SCHEMA public TO adopt_reader")
    hidden = adopt(cli, f"{old}&user=adopt_reader")
    in_old("ALTER TABLE vehicle DISABLE ROW LEVEL SECURITY")
    read = adopt(cli, f"{old}&user=adopt_reader", "--dry-run")
    in_old("REVOKE SELECT ON vehicle FROM adopt_reader")
    refused = adopt(cli, f"{old}&user=adopt_reader")
    in_old("DROP OWNED BY adopt_reader; DROP ROLE adopt_reader")

    assert (78, True) == (hidden.code, "row-level security" in hidden.json["error"])
    assert (3, COUNTS) == (read.code, read.json["counts"])
    assert (78, True) == (refused.code, "GRANT SELECT" in refused.json["error"])


def test_a_dealership_that_comes_later_is_brought_later(cli: Cli, old: str, feed: Feed, in_old: Rows) -> None:
    """The application still adds dealerships after the cut-over; adopt brings them, the others are ours."""
    adopt(cli, old)
    feed.answers["EC000003"] = [car("A10"), car("A11"), car("A13"), car("A14")]
    cli("stock-sync", "--dealership", "3")
    in_old("INSERT INTO dealership (id, name) VALUES (9, 'Third')")
    with psycopg.connect(old) as connection:
        add_credentials(connection, 9)
    ran = adopt(cli, old)

    assert {**NONE, "dealerships": 1, "credentials": 1} == ran.json["counts"]


# --- beside the original ---------------------------------------------------------------------------------------------


def test_upgrade_refuses_tables_of_others(cli: Cli, old: str) -> None:
    """In the original's own schema db upgrade makes nothing: 78, the names that are taken, and the cure."""
    before = contents(old)
    ran = cli("db", "upgrade", "--json", JOBSYNC_DATABASE_URL=old)

    assert 78 == ran.code
    for word in ("system_settings", "easycar_stock_data", "JOBSYNC_DATABASE_SCHEMA=jobsync", "jobsync adopt"):
        assert word in ran.json["error"]
    assert before == contents(old)


def test_a_schema_of_its_own_in_the_same_database(cli: Cli, old: str) -> None:
    """Beside the original's tables: made, adopted, and the original's rows stay as they are."""
    public = f"{old}&options=-csearch_path%3Dpublic"  # the role's own name is the schema's
    before = contents(public)
    own = {"JOBSYNC_DATABASE_URL": old, "JOBSYNC_DATABASE_SCHEMA": "jobsync"}
    made = cli("db", "upgrade", **own)
    ran = cli("adopt", "--from", old, "--json", **own)

    assert (0, 3, COUNTS) == (made.code, ran.code, ran.json["counts"])
    assert before == contents(public)
