"""A database of which every row is said here, at one instant that lies in the past of every machine."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from tests.watch.support import NOW, add_dealership, add_invoices, add_run, add_tenant, set_job

Connection = psycopg.Connection[Any]
YEARS = timedelta(days=1461)  # earlier than what the tests of screens call now: nobody's clock is still there
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RUNS = {
    name: f"{number:08d}-0000-4000-8000-000000000000" for number, name in enumerate(("night", "bad", "ask", "page"), 1)
}


def fill(connection: Connection) -> None:
    """Something of everything that a screen tells, the good and the bad."""
    began = datetime.now(UTC)
    _stock(connection)
    _documents(connection)
    _runs(connection)
    connection.execute(
        "INSERT INTO alerts (kind, subject, cause, text, what_to_do, opened_at, notified_at, told, silenced_until)"
        " VALUES ('silence', 'dealership 2', 'no_success', 'Southside fails', 'look at it', %s, %s, %s, %s)",
        [NOW - DAY, NOW - DAY, json.dumps({"mail": (NOW - DAY).isoformat()}), NOW + DAY],
    )
    connection.execute(
        "INSERT INTO audit (at, actor, host, action, subject, details) VALUES (%s, 'ana', 'app1', 'settings.set',"
        " 'easycar_sync_cron', %s)",
        [NOW - DAY, json.dumps({"value": "0 2 * * *"})],
    )
    _settle(connection, began)


def _stock(connection: Connection) -> None:
    north = add_dealership(connection, "Northside")
    south = add_dealership(connection, "Southside", success=NOW - 4 * DAY, failed="EasyCars: Code 1, token refused")
    west = add_dealership(connection, "Westside", next_at=NOW + 3 * HOUR)
    add_dealership(connection, "Eastside")
    connection.execute("DELETE FROM easycar_credentials WHERE dealership_id = %s", [south + 2])
    connection.execute(
        "INSERT INTO dealership_settings (dealership_id, sync_cron, paused_until, paused_reason) VALUES"
        " (%s, NULL, '9999-12-31 00:00+00', 'stocktaking'), (%s, '30 4 * * *', NULL, NULL)",
        [west, north],
    )
    connection.execute(
        "UPDATE sync_schedule SET cron = '30 4 * * *', seen = '30 4 * * * @ UTC' WHERE dealership_id = %s", [north]
    )
    connection.execute("UPDATE easycar_sync_logs SET run_id = %s", [RUNS["night"]])
    for number in ("A1", "A2", "A3"):
        connection.execute(
            "INSERT INTO vehicles (dealership_id, stock_number, title, price, data_source, locked_fields)"
            " VALUES (%s, %s, 'Toyota Corolla', 20000.50, 'easycars', '{price}')",
            [north, number],
        )
    connection.execute(
        "INSERT INTO vehicle_changes (vehicle_id, run_id, changed_at, field, old, new)"
        " SELECT id, %s, %s, 'price', '21000', '20000.50' FROM vehicles WHERE stock_number = 'A1'",
        [RUNS["night"], NOW - HOUR],
    )
    connection.execute(
        "INSERT INTO holds (dealership_id, run_id, stock_numbers, listed_before, listed_now, reason,"
        " created_at) VALUES (%s, %s, '{A1,A2}', 3, 1, 'too many would go', %s)",
        [north, RUNS["night"], NOW - HOUR],
    )
    connection.execute(
        "INSERT INTO refused_items (dealership_id, run_id, position, reason_code, reason, raw, created_at)"
        " VALUES (%s, %s, 3, 'no_stock_number', 'it has no stock number', '{\"Make\": 1}', %s)",
        [north, RUNS["night"], NOW - HOUR],
    )


def _documents(connection: Connection) -> None:
    workshop = add_tenant(connection)
    bakery = add_tenant(connection, "0190012345001", "Bakery")
    add_invoices(connection, workshop, 2)
    add_invoices(connection, workshop, 1, "needs_attention", next_check_at=None, attention_since=NOW - DAY)
    add_invoices(connection, workshop, 1, "rejected", next_check_at=None)
    add_invoices(connection, bakery, 2, "authorized", next_check_at=None, confirmed_by="sri", total="112.00")
    connection.execute("UPDATE tenants SET paused_until = %s WHERE id = %s", [NOW + DAY, bakery])
    connection.execute(
        "INSERT INTO sri_events (tenant_id, invoice_id, run_id, at, kind, code, message, duration_ms)"
        " SELECT tenant_id, id, %s, %s, CASE status WHEN 'pending_authorization' THEN 'pending' ELSE status END,"
        " CASE status WHEN 'rejected' THEN '39' END, 'said so', 400 FROM invoices ORDER BY id",
        [RUNS["ask"], NOW - 2 * HOUR],
    )
    connection.execute(
        "INSERT INTO vendor_hosts (host, faults_in_a_row, opened_at, last_probe_at)"
        " VALUES ('cel.sri.gob.ec', 5, %s, %s)",
        [NOW - HOUR, NOW - HOUR],
    )


def _runs(connection: Connection) -> None:
    made = {
        "night": add_run(connection, status="partial", exit_code=3),
        "bad": add_run(
            connection, status="failed", exit_code=1, began=NOW - DAY, error="EasyCars: 503", traceback="Traceback …"
        ),
        "ask": add_run(connection, "check-authorizations", began=NOW - 2 * HOUR),
        "page": add_run(connection, "generate-ride", began=NOW - 3 * HOUR, trigger="manual"),
    }
    for name, run in made.items():
        connection.execute("UPDATE job_runs SET id = %s WHERE id = %s", [RUNS[name], run])
    connection.execute(
        "INSERT INTO job_items (run_id, item_key, label, status, started_at, duration_ms, counts, error) VALUES"
        " (%s, '1', 'Northside', 'held', %s, 900, '{\"updated\": 1}', NULL),"
        " (%s, '2', 'Southside', 'failed', %s, 300, '{}', 'EasyCars: Code 1, token refused')",
        [RUNS["night"], NOW - HOUR, RUNS["night"], NOW - HOUR],
    )
    set_job(connection, consecutive_failures=2, last_status="partial")
    set_job(connection, "check-authorizations", last_status="succeeded")
    set_job(connection, "generate-ride", last_tick_at=NOW - 2 * HOUR)
    set_job(connection, "health", last_tick_at=NOW - timedelta(minutes=2))


def _settle(connection: Connection, began: datetime) -> None:
    """Set what the database's clock filled in just now to the fixed instant, and take all back by some years."""
    connection.execute("UPDATE system_settings SET created_at = now(), updated_at = now()")
    for table, column in _instants(connection):
        connection.execute(
            f'UPDATE "{table}" SET "{column}" = %s WHERE "{column}" BETWEEN %s AND clock_timestamp()'.encode(),
            [NOW, began],
        )
        connection.execute(
            f'UPDATE "{table}" SET "{column}" = "{column}" - %s WHERE "{column}" < \'3000-01-01\''.encode(), [YEARS]
        )


def shift_past(connection: Connection, span: timedelta) -> None:
    """Move every instant that has passed further back."""
    for table, column in _instants(connection):
        connection.execute(
            f'UPDATE "{table}" SET "{column}" = "{column}" - %s WHERE "{column}" <= now()'.encode(), [span]
        )


def _instants(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        " AND data_type = 'timestamp with time zone'"
    ).fetchall()
