"""Retention: what goes, what stays, in batches that each stand alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from jobsync.db.audit import AuditOfParts
from jobsync.db.engine import Database
from jobsync.db.system_settings import SystemSettings
from jobsync.db.tables import metadata
from jobsync.easycars.upkeep import LOGS_KEPT
from jobsync.upkeep.prune import count_old, prune
from jobsync.wiring.upkeep import RETENTION
from tests.watch.support import NOW, add_dealership, add_invoices, add_run, add_tenant

Connection = psycopg.Connection[Any]
DAY = timedelta(days=1)
DEFAULTS = SystemSettings({})


def count(connection: Connection, table: str) -> int:
    """Return how many rows a table has."""
    row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def fill(connection: Connection, *, each: int = 7) -> None:
    """Put `each` old and `each` new rows into every table that grows."""
    dealership = add_dealership(connection)
    tenant = add_tenant(connection)
    add_invoices(connection, tenant, 1)
    connection.execute("INSERT INTO vehicles (dealership_id) VALUES (%s)", [dealership])
    for days in (500, 5):  # ids grow with time
        for number in range(each):
            at = NOW - days * DAY - number * timedelta(minutes=1)
            run = add_run(connection, began=at)
            connection.execute(
                "INSERT INTO job_items (run_id, item_key, status, started_at) VALUES (%s, 'a', 'success', %s)",
                [run, at],
            )
            connection.execute(
                "INSERT INTO sri_events (tenant_id, invoice_id, kind, at) SELECT %s, id, 'pending', %s FROM invoices",
                [tenant, at],
            )
            connection.execute(
                "INSERT INTO refused_items (dealership_id, reason_code, reason, created_at) VALUES (%s, 'x', 'x', %s)",
                [dealership, at],
            )
            connection.execute(
                "INSERT INTO vehicle_changes (vehicle_id, changed_at, field) SELECT id, %s, 'price' FROM vehicles", [at]
            )
            connection.execute(
                "INSERT INTO alerts (subject, kind, opened_at, closed_at) VALUES ('s', 'k', %s, %s)", [at, at]
            )


TABLES = ("job_runs", "job_items", "sri_events", "refused_items", "vehicle_changes", "alerts")


@pytest.mark.parametrize("batch", [1, 3, 7, 5000])
def test_old_rows_go_and_new_ones_stay(database: Database, connection: Connection, batch: int) -> None:
    """Whatever the size of a batch."""
    fill(connection)
    gone = prune(database.engine(), DEFAULTS, RETENTION, now=NOW, batch=batch)

    assert dict.fromkeys(TABLES, 7) == {table: number for table, number in gone.items() if number}
    assert [7] * 6 == [count(connection, table) for table in TABLES]


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_walked_tables_in_their_order_of_life(database: Database, connection: Connection, batch: int) -> None:
    """Oldest ids first: every old row goes, whatever the batch."""
    number = add_dealership(connection)
    for days in (*range(120, 80, -2), 3, 2):
        connection.execute(
            "INSERT INTO refused_items (dealership_id, reason_code, reason, created_at) VALUES (%s, 'x', 'x', %s)",
            [number, NOW - days * DAY],
        )
    gone = prune(database.engine(), DEFAULTS, RETENTION, now=NOW, batch=batch)

    assert 15 == gone["refused_items"]
    assert 7 == count(connection, "refused_items")


WALKED = {
    "refused_items": "INSERT INTO refused_items (dealership_id, reason_code, reason, created_at)"
    " SELECT %s, 'x', 'x', %s",
    "vehicle_changes": "INSERT INTO vehicle_changes (vehicle_id, field, changed_at) SELECT id, 'price', %s"
    " FROM vehicles",
    "job_items": "INSERT INTO job_items (run_id, item_key, status, started_at)"
    " SELECT id, gen_random_uuid(), 'success', %s FROM job_runs",
}


@pytest.mark.parametrize("table", WALKED)
@pytest.mark.parametrize("first", [[NOW + 3000 * DAY] * 9, [NOW - DAY] * 9, [NOW - 900 * DAY, NOW + DAY]])
def test_whatever_stands_before_them_old_rows_go(
    database: Database, connection: Connection, table: str, first: list[datetime]
) -> None:
    """A clock that was wrong once, or rows put in late, keep nothing behind them for ever."""
    number = add_dealership(connection)
    connection.execute("INSERT INTO vehicles (dealership_id) VALUES (%s)", [number])
    add_run(connection, began=NOW)
    statement = WALKED[table]
    for at in [*first, *[NOW - 900 * DAY] * 7]:
        connection.execute(statement, [number, at] if statement.count("%s") == 2 else [at])
    prune(database.engine(), DEFAULTS, RETENTION, now=NOW, batch=3)
    column = {"refused_items": "created_at", "vehicle_changes": "changed_at", "job_items": "started_at"}[table]

    assert [(0,)] == connection.execute(
        f"SELECT count(*) FROM {table} WHERE {column} < %s".encode(), [NOW - 800 * DAY]
    ).fetchall()


@pytest.mark.parametrize("first", [[NOW + 3000 * DAY] * 9, [NOW + DAY, NOW - DAY]])
def test_instants_to_come_do_not_end_the_timers_walk_either(
    database: Database, connection: Connection, first: list[datetime]
) -> None:
    """The health timer ends its walk at the first batch that is young as a whole; one from the future is not young."""
    number = add_dealership(connection)
    for at in [*first, *[NOW - 900 * DAY] * 7]:
        connection.execute(WALKED["refused_items"], [number, at])

    assert 7 == prune(database.engine(), DEFAULTS, RETENTION, now=NOW, batch=3, within_s=60)["refused_items"]


@pytest.mark.parametrize("noted", [1, 5, 7])
def test_rows_that_somebody_refers_to_stay_and_the_others_go(
    database: Database, connection: Connection, noted: int
) -> None:
    """An administrator's own constraint blocks its rows, not their batch; each reason is told once."""
    fill(connection)
    connection.execute(
        "CREATE TABLE notes (run uuid REFERENCES job_runs (id), event bigint REFERENCES sri_events (id))"
    )
    connection.execute("INSERT INTO notes (run) SELECT id FROM job_runs ORDER BY started_at LIMIT %s", [noted])
    connection.execute("INSERT INTO notes (event) SELECT id FROM sri_events ORDER BY at LIMIT %s", [noted])
    told: list[str] = []
    gone = prune(database.engine(), DEFAULTS, RETENTION, now=NOW, batch=3, told=told.append)

    assert (7 - noted, 7 - noted, 7) == (gone["job_runs"], gone["sri_events"], gone["alerts"])
    assert ["sri_events", "job_runs"] == [sentence.partition(":")[0] for sentence in told]
    assert "notes_run_fkey on table notes" in told[1]


def test_each_table_follows_its_setting(database: Database, connection: Connection) -> None:
    """The three settings are heeded separately."""
    fill(connection)
    settings = SystemSettings({"items_retention_days": "1", "runs_retention_days": "36500"})
    gone = prune(database.engine(), settings, RETENTION, now=NOW)

    assert (14, 14, 7, 0) == tuple(gone[name] for name in ("job_items", "refused_items", "sri_events", "job_runs"))


def test_what_others_still_need_stays(database: Database, connection: Connection) -> None:
    """Running runs, the last syncs of each dealership, the last removal of a vehicle, undecided sets, open alerts."""
    number = add_dealership(connection)
    old = NOW - 1000 * DAY
    add_run(connection, status="running", began=old, lasted=None, exit_code=None)
    connection.execute("DELETE FROM easycar_sync_logs")
    connection.execute(
        "INSERT INTO easycar_sync_logs (dealership_id, status, synced_at) SELECT %s, 'Success', %s + n * interval"
        " '1 day' FROM generate_series(1, %s) n",
        [number, old, LOGS_KEPT + 10],
    )
    connection.execute("INSERT INTO vehicles (dealership_id) VALUES (%s)", [number])
    connection.execute(
        "INSERT INTO vehicle_changes (vehicle_id, changed_at, field, old, new) SELECT id, %s, 'status', 'sold',"
        " 'removed' FROM vehicles",
        [old],
    )
    for status in ("rejected", "superseded", "pending"):
        connection.execute(
            "INSERT INTO holds (dealership_id, stock_numbers, reason, status, created_at)"
            " VALUES (%s, '{a}', 'limit', %s, %s)",
            [number, status, old],
        )
    connection.execute("INSERT INTO alerts (subject, kind, opened_at) VALUES ('s', 'k', %s)", [old])
    connection.execute("INSERT INTO audit (actor, host, action, at) VALUES ('a', 'h', 'x', %s)", [old])
    gone = prune(database.engine(), DEFAULTS, RETENTION, now=NOW)

    assert {"easycar_sync_logs": 10, "holds": 2} == {name: n for name, n in gone.items() if n}


def test_killed_in_the_middle_leaves_a_consistent_state(database: Database, connection: Connection) -> None:
    """Each batch is a transaction of its own: those before the end are done, the rest is untouched, a rerun ends it."""
    for number in range(10):
        add_run(connection, began=NOW - 500 * DAY + number * DAY)
    engine = database.engine()
    statements = []

    class Killed(Exception):
        pass

    def before(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "DELETE FROM job_runs" in statement:
            statements.append(statement)
            if len(statements) == 3:
                raise Killed

    event.listen(engine, "before_cursor_execute", before)
    with pytest.raises(Killed):
        prune(engine, DEFAULTS, RETENTION, now=NOW, batch=2)
    assert 6 == count(connection, "job_runs")

    event.remove(engine, "before_cursor_execute", before)
    prune(engine, DEFAULTS, RETENTION, now=NOW, batch=2)
    assert 0 == count(connection, "job_runs")


def test_what_would_go_is_counted_and_left(database: Database, connection: Connection) -> None:
    """By table, as many as then go; nothing is written, and nothing that somebody has locked is waited for."""
    fill(connection)
    add_run(connection, status="running", began=NOW - 500 * DAY)
    before = {table: count(connection, table) for table in TABLES}

    with connection.transaction():
        connection.execute("SELECT id FROM job_runs FOR UPDATE")
        counted = count_old(database.engine(), DEFAULTS, RETENTION, now=NOW, told=lambda _: None)

    assert before == {table: count(connection, table) for table in TABLES}
    assert counted == prune(database.engine(), DEFAULTS, RETENTION, now=NOW)
    assert 7 == counted["job_runs"]


def test_a_stop_leaves_the_rest(database: Database, connection: Connection) -> None:
    """What is told is what went."""
    fill(connection)
    gone = prune(database.engine(), DEFAULTS, RETENTION, now=NOW, batch=2, stop=lambda gone: sum(gone.values()) >= 4)

    assert 4 == sum(gone.values())
    assert 10 == count(connection, "job_items")


def test_what_went_before_a_kill_is_in_the_audit(database: Database, connection: Connection) -> None:
    """The one row of a pruning commits with each batch, and says then what went so far."""
    fill(connection)
    went: list[dict[str, int]] = []

    def killed(gone: Mapping[str, int]) -> bool:
        went.append({table: number for table, number in gone.items() if number})
        if sum(gone.values()) >= 4:
            raise KeyboardInterrupt
        return False

    record = AuditOfParts("runs.prune")
    with pytest.raises(KeyboardInterrupt):
        prune(database.engine(), DEFAULTS, RETENTION, now=NOW, batch=2, record=record, stop=killed)

    assert [("runs.prune", went[-1])] == connection.execute("SELECT action, details FROM audit").fetchall()


def test_a_deadline_leaves_the_rest_for_next_time(database: Database, connection: Connection) -> None:
    """The health timer prunes bit by bit."""
    for _ in range(10):
        add_run(connection, began=NOW - 500 * DAY)
    ticks = iter(range(1000))
    prune(database.engine(), DEFAULTS, RETENTION, now=NOW, batch=1, within_s=7, clock=lambda: float(next(ticks)))

    assert 0 < count(connection, "job_runs") < 10


def test_rows_that_somebody_has_locked_are_left(database: Database, connection: Connection) -> None:
    """Nobody waits for pruning, and pruning waits for nobody."""
    for _ in range(3):
        add_run(connection, began=NOW - 500 * DAY)
    with connection.transaction():
        connection.execute("SELECT id FROM job_runs LIMIT 1 FOR UPDATE")
        gone = prune(database.engine(), DEFAULTS, RETENTION, now=NOW)

    assert 2 == gone["job_runs"]


def test_every_table_that_grows_has_a_rule() -> None:
    """A new table is either pruned, or named here with its reason to stay."""
    stays = {
        "system_settings", "dealerships", "dealership_settings", "sync_schedule", "easycar_credentials", "tenants",
        "vendor_hosts", "run_locks", "jobs", "database_identity", "run_totals", "item_totals",  # a row a thing
        "vehicles", "easycar_stock_data", "invoices", "invoice_documents",  # the business itself
        "audit", "adopted", "alert_silences",  # grow as people type, and once at moving in
    }  # fmt: skip

    assert set(metadata.tables) == stays | {rule.table.name for rule in RETENTION}
