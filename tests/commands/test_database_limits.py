"""A server that gives little: rows that others hold, no room for connections, no writes, its own ideas of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from jobsync.runner import record
from tests.commands.support import Add, Cli, Feed, Rows, cars, command, finish
from tests.runner.support import role, with_user

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def yards(add: Add, feed: Feed) -> Callable[[int], None]:
    """Add so many dealerships with two vehicles each."""

    def yards(number: int) -> None:
        for place in range(1, number + 1):
            add(f"Yard {place}", f"EC{place}")
            feed.answers[f"EC{place}"] = cars("A", "B")

    return yards


@contextmanager
def takes_no_writes(server_url: str) -> Iterator[None]:
    """Switch the whole server to read-only, as hosted ones do when their disk is full."""

    def alter(statement: bytes) -> None:
        with psycopg.connect(server_url, autocommit=True) as server:
            server.execute("SET default_transaction_read_only = off")
            server.execute(statement)
            server.execute("SELECT pg_reload_conf()")
        time.sleep(0.3)

    alter(b"ALTER SYSTEM SET default_transaction_read_only = on")
    try:
        yield
    finally:
        alter(b"ALTER SYSTEM RESET default_transaction_read_only")


def test_row_of_the_run_that_somebody_holds_stops_nothing(
    cli: Cli, feed: Feed, yards: Callable[[int], None], database_url: str, rows: Rows
) -> None:
    """A forgotten transaction on the run's own row: items go on; the verdict is tried for a while, here a second."""
    yards(3)
    holding = psycopg.connect(database_url)

    def hold() -> object:
        holding.execute("UPDATE job_runs SET counts = '{}' WHERE status = 'running'")
        time.sleep(2.5)  # until progress is due
        return cars("A")

    feed.answers["EC1"] = hold
    hurried = "from jobsync.runner import record; record.CLOSE_FOR_S = 1.0"
    ran = finish(command(cli.environ, "stock-sync", "--concurrency", "1", before=hurried), timeout_s=40)
    holding.close()

    assert (ran.code, len(feed.asked)) == (0, 3), ran.err
    assert "run.progress_not_written" in ran.err
    assert "run.verdict_not_recorded" in ran.err
    assert rows("SELECT status FROM easycar_sync_logs") == [("Success",)] * 3


def test_dead_run_whose_row_somebody_holds_is_left_to_a_later_run(
    cli: Cli, yards: Callable[[int], None], database_url: str, rows: Rows, connection: Connection
) -> None:
    """The next run of any job does its work and buries the dead one another time."""
    yards(1)
    connection.execute(
        "INSERT INTO job_runs (id, job, trigger, host, pid, version)"
        " VALUES (gen_random_uuid(), 'check-authorizations', 'manual', 'h', 1, '1')"
    )
    with psycopg.connect(database_url) as holding:
        holding.execute("SELECT 1 FROM job_runs FOR UPDATE")
        first = cli("stock-sync")
    second = cli("stock-sync")

    assert (0, 0) == (first.code, second.code)
    assert "run.crashed_row_locked" in first.err
    assert rows("SELECT job, status FROM job_runs ORDER BY started_at") == [
        ("check-authorizations", "crashed"),
        ("stock-sync", "succeeded"),
        ("stock-sync", "succeeded"),
    ]


@pytest.mark.parametrize(("limit", "concurrency"), [(3, 1), (6, 4)])
def test_few_connections_are_enough(
    cli: Cli,
    yards: Callable[[int], None],
    connection: Connection,
    database_url: str,
    rows: Rows,
    limit: int,
    concurrency: int,
) -> None:
    """A role's limit costs time, not work: who gets no connection waits for one of ours, and the verdict is written."""
    yards(8)
    with role(connection, f"CONNECTION LIMIT {limit}") as name:
        cli.environ["JOBSYNC_DATABASE_URL"] = with_user(database_url, name)
        ran = cli("stock-sync", "--concurrency", str(concurrency))

    assert (0, [("succeeded", 0)]) == (ran.code, rows("SELECT status, exit_code FROM job_runs")), ran.err
    assert rows("SELECT count(*) FROM vehicles") == [(16,)]


def test_server_that_takes_no_writes_any_more_is_an_outage(
    cli: Cli, feed: Feed, yards: Callable[[int], None], server_url: str, rows: Rows
) -> None:
    """What was done counts, what could not be is the database's fault and no bug, and progress ends no run."""
    yards(3)

    def turn() -> object:
        with takes_no_writes(server_url):
            time.sleep(3)  # until progress was to be written
        return cars("A", "B")

    feed.answers["EC2"] = turn
    ran = cli("stock-sync", "--concurrency", "1", "--json")

    assert "run.progress_not_written" in ran.err
    assert [item["status"] for item in ran.json["items"]] == ["success"] * 3
    assert (0, [("succeeded",)]) == (ran.code, rows("SELECT status FROM job_runs"))


def test_item_that_meets_a_server_without_writes_may_be_tried_again(
    cli: Cli, feed: Feed, yards: Callable[[int], None], server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reason `database`, without a traceback."""
    monkeypatch.setattr(record, "CLOSE_FOR_S", 1.0)
    yards(1)
    switch = takes_no_writes(server_url)

    def turn() -> object:
        switch.__enter__()
        return cars("A", "B")

    feed.answers["EC1"] = turn
    try:
        ran = cli("stock-sync", "--json")
    finally:
        switch.__exit__(None, None, None)

    [item] = ran.json["items"]
    assert ("failed", "database") == (item["status"], item["reason"])
    assert "takes no writes now" in item["error"]
    assert "Traceback" not in ran.err


def test_missing_right_is_configuration_and_no_bug(
    cli: Cli, yards: Callable[[int], None], connection: Connection, database_url: str
) -> None:
    """The item says which right is missing; there is no traceback."""
    yards(1)
    with role(connection) as name:
        connection.execute(f"REVOKE INSERT ON vehicles FROM {name}".encode())
        cli.environ["JOBSYNC_DATABASE_URL"] = with_user(database_url, name)
        ran = cli("stock-sync", "--json")

    [item] = ran.json["items"]
    assert ("failed", "configuration") == (item["status"], item["reason"])
    assert "vehicles" in item["error"]
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("table", "command"),
    [
        ("dealerships", "dealership add Northside"),
        ("audit", "settings set sri_call_delay_ms 700"),
        ("job_runs", "stock-sync"),
    ],
)
def test_trigger_of_the_host_that_refuses_is_no_bug(
    cli: Cli, yards: Callable[[int], None], connection: Connection, table: str, command: str
) -> None:
    """Its own words are told, and where it stands; there is no traceback."""
    yards(1)
    connection.execute(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not on a Sunday'; END $$"
    )
    connection.execute(f"CREATE TRIGGER no BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION no()".encode())
    ran = cli(*command.split())

    assert ran.code == 78
    assert "not on a Sunday" in ran.err
    assert "function no()" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "rule",
    ["ADD CONSTRAINT hosts CHECK (length(name) > 20)", "ADD COLUMN hosts text NOT NULL", "ADD UNIQUE (timezone)"],
)
def test_constraint_of_the_host_that_refuses_is_no_bug(cli: Cli, connection: Connection, rule: str) -> None:
    """A check, a column of theirs that must be filled, a unique one: one sentence."""
    connection.execute(f"ALTER TABLE dealerships {rule}".encode())
    if "UNIQUE" in rule:
        connection.execute("INSERT INTO dealerships (name, timezone) VALUES ('Southside', 'Australia/Perth')")
    ran = cli("dealership", "add", "Northside", "--timezone", "Australia/Perth")

    assert ran.code == 78
    assert "none of jobsync's refuses what is written" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("setting", ["transaction_timeout", "statement_timeout"])
def test_timeout_that_an_administrator_set_is_no_bug(
    cli: Cli, yards: Callable[[int], None], connection: Connection, setting: str
) -> None:
    """The server ends a transaction or statement that takes too long: reason `database`."""
    if setting == "transaction_timeout" and connection.info.server_version < 170000:
        pytest.skip("transaction_timeout came with PostgreSQL 17")
    yards(1)
    connection.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1.2); RETURN NEW; END $$"
    )
    connection.execute("CREATE TRIGGER slow BEFORE INSERT ON vehicles FOR EACH STATEMENT EXECUTE FUNCTION slow()")
    connection.execute(f"ALTER DATABASE {connection.info.dbname} SET {setting} = '1s'".encode())
    ran = cli("stock-sync", "--json")

    [item] = ran.json["items"]
    assert (69, "failed", "database") == (ran.code, item["status"], item["reason"])


def test_isolation_that_an_administrator_set_is_not_the_jobs(
    cli: Cli, yards: Callable[[int], None], connection: Connection, rows: Rows
) -> None:
    """Jobs are written for READ COMMITTED; with serializable some dealerships would fail by chance."""
    yards(12)
    connection.execute(
        f"ALTER DATABASE {connection.info.dbname} SET default_transaction_isolation = 'serializable'".encode()
    )
    ran = cli("stock-sync", "--concurrency", "4")

    assert (0, [(24,)]) == (ran.code, rows("SELECT count(*) FROM vehicles")), ran.err


def test_field_that_is_given_back_gets_the_feeds_value(
    cli: Cli, feed: Feed, add: Add, connection: Connection, rows: Rows
) -> None:
    """After `stock unlock` the next sync brings the field's value, though the item itself has not changed."""
    number = str(add("Yard", "EC1"))
    feed.answers["EC1"] = cars("A")
    assert cli("stock-sync").code == 0
    assert cli("stock", "lock", number, "A", "price").code == 0
    connection.execute("UPDATE vehicles SET price = 19000")
    assert cli("stock-sync", "--json").json["items"][0]["skipped"] == 1
    assert cli("stock", "unlock", number, "A", "price").code == 0

    assert cli("stock-sync", "--json").json["items"][0]["updated"] == 1
    assert rows("SELECT price FROM vehicles") == [(20000,)]
    assert cli("stock-sync", "--json").json["items"][0]["unchanged"] == 1


def test_manual_rows_are_known_whatever_blanks_surround_them(
    cli: Cli, feed: Feed, add: Add, connection: Connection, rows: Rows
) -> None:
    """A tab, a line feed or a no-break space behind a number that somebody typed makes no second vehicle."""
    number = add("Yard", "EC1")
    feed.answers["EC1"] = [*cars("T1", "T2", "T3"), {**cars("T4")[0], "VIN": "VINX123456789"}]
    for stock_number, vin in [("T1\t", None), ("T2\n", None), ("T3\u00a0", None), ("X", " vinx123456789\n")]:
        connection.execute(
            "INSERT INTO vehicles (dealership_id, stock_number, vin) VALUES (%s, %s, %s)", [number, stock_number, vin]
        )
    ran = cli("stock-sync", "--json")

    assert ran.json["items"][0]["skipped"] == 4
    assert rows("SELECT count(*) FROM vehicles") == [(4,)]
