"""The views that say what is due: by index, whatever else is stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from jobsync.db.engine import connect
from tests.conftest import _fresh

Connection = psycopg.Connection[Any]
OF_DOCUMENTS = ("due_documents", "due_rides")


@pytest.fixture(scope="module")
def shared(server_url: str, template: str) -> Iterator[Connection]:
    """A database that each test leaves as it was."""
    for url in _fresh(server_url, template):
        with connect(url, application_name="tests") as connection:
            yield connection


@pytest.fixture(scope="module")
def many(server_url: str, template: str) -> Iterator[Connection]:
    """A database with 30,000 authorized and printed documents, and a few of every other kind; it is only read."""
    for url in _fresh(server_url, template):
        with connect(url, application_name="tests") as connection:
            _fill(connection)
            yield connection


def _fill(connection: Connection) -> None:
    connection.execute("INSERT INTO tenants (ruc, name) VALUES ('1790012345001', 'T')")
    connection.execute(
        "INSERT INTO invoices (tenant_id, access_key, status, next_check_at, ride_next_at, ride_generated_at)"
        " SELECT 1, lpad(n::text, 49, '0'), CASE WHEN n % 1000 = 0 THEN 'pending_authorization' ELSE 'authorized' END,"
        " CASE WHEN n % 1000 = 0 THEN now() + (n / 1000 % 2 * 2 - 1) * interval '1 day' END,"
        " CASE WHEN n % 1000 = 1 THEN now() + (n / 1000 % 2 * 2 - 1) * interval '1 day' END,"
        " CASE WHEN n % 1000 <> 1 THEN now() END"
        " FROM generate_series(1, 30000) n"
    )
    connection.execute("ANALYZE")


@pytest.mark.parametrize("view", OF_DOCUMENTS)
@pytest.mark.parametrize(
    "question", ["SELECT EXISTS (SELECT FROM {})", "SELECT count(*) FROM {}", "SELECT FROM {} WHERE too_far_ahead"]
)
def test_what_is_due_is_found_by_index(many: Connection, view: str, question: str) -> None:
    """The great mass of decided documents is never read."""
    plan = "".join(row[0] for row in many.execute(("EXPLAIN " + question.format(view)).encode()))

    assert "Seq Scan on invoices" not in plan
    assert {"due_documents": "invoices_check_due_idx", "due_rides": "invoices_ride_due_idx"}[view] in plan


@pytest.mark.parametrize("view", OF_DOCUMENTS)
def test_due_rows_say_since_when_and_why(many: Connection, view: str) -> None:
    """What lies a day ahead is due since now, and says that it is too far ahead."""
    statement = f"SELECT too_far_ahead, count(*), min(now() - due_since) FROM {view} GROUP BY 1 ORDER BY 1"
    with many.transaction():
        found = many.execute(statement.encode()).fetchall()

    assert [(False, 15), (True, 15)] == [row[:2] for row in found]
    assert found[1][2] == timedelta(0) < found[0][2]


@pytest.fixture
def dealership(shared: Connection) -> Iterator[Connection]:
    """A dealership that takes part, whose slot comes in an hour, by a rule of every night."""
    with shared.transaction(force_rollback=True):
        shared.execute("INSERT INTO dealerships (id, name) VALUES (1, 'D')")
        shared.execute(
            "INSERT INTO easycar_credentials (dealership_id, client_id_encrypted, client_secret_encrypted,"
            " account_number_encrypted, account_secret_encrypted, environment) VALUES (1, '', '', '', '', 'Test')"
        )
        shared.execute(
            "INSERT INTO sync_schedule (dealership_id, cron, timezone, seen, next_at, computed_at, slot_at,"
            " last_success_at)"
            " VALUES (1, '0 2 * * *', 'UTC', '0 2 * * * @ UTC', now() + interval '1 hour', now(), now(), now())"
        )
        yield shared


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("next_at = next_at", None),
        ("next_at = now()", "slot"),
        ("retry_at = now(), next_at = now()", "slot"),
        ("retry_at = now()", "retry"),
        ("retry_at = now() + interval '23 hours'", None),
        ("retry_at = now() + interval '25 hours'", "retry"),
        ("retry_at = 'infinity'", "retry"),
        ("next_at = NULL", "changed"),
        ("seen = 'another'", "changed"),
        ("next_at = now() + interval '25 hours'", None),
        ("next_at = now() + interval '27 hours'", "clock ahead"),
        ("next_at = 'infinity'", "clock ahead"),
        ("cron = '0 2 * * 1', next_at = now() + interval '6 days'", None),
        ("cron = '0 2 * * MON', next_at = now() + interval '9 days'", "clock ahead"),
        ("cron = '0 2 * * 1#1', next_at = now() + interval '30 days'", None),
        ("cron = '0 2 29 2 *', next_at = now() + interval '7 years'", None),
        ("cron = '0 2 29 2 *', next_at = now() + interval '10 years'", "clock ahead"),
        ("computed_at = now() + interval '1 s'", "clock ahead"),
        ("attempted_at = now() + interval '1 s'", "clock ahead"),
        ("slot_at = now() + interval '1 s'", "clock ahead"),
        ("slot_started_at = now() + interval '1 s'", "clock ahead"),
        ("last_success_at = now() + interval '1 s'", "clock ahead"),
    ],
)
def test_dealership_is_due_for_a_reason(dealership: Connection, change: str, why: str | None) -> None:
    """Slot, retry, a changed rule, or a clock that was ahead; the tick answers by the same view."""
    dealership.execute(f"UPDATE sync_schedule SET {change}".encode())

    rows = dealership.execute("SELECT why FROM due_dealerships").fetchall()

    assert ([(why,)] if why else []) == rows
    assert [(why is not None,)] == dealership.execute("SELECT jobsync_tick('stock-sync')").fetchall()


@pytest.mark.parametrize(
    ("statement", "due"),
    [
        ("UPDATE easycar_credentials SET is_active = false", False),
        ("INSERT INTO dealership_settings (dealership_id, easycar_auto_sync_enabled) VALUES (1, false)", False),
        ("INSERT INTO dealership_settings (dealership_id, paused_until) VALUES (1, 'infinity')", False),
        ("INSERT INTO dealership_settings (dealership_id, paused_until) VALUES (1, now())", True),
        ("INSERT INTO vendor_hosts (host, environments, not_before) VALUES ('h', '{Test}', now() + '1 min')", False),
        ("INSERT INTO vendor_hosts (host, environments, not_before) VALUES ('h', '{Test}', now() + '2 hours')", True),
        ("INSERT INTO vendor_hosts (host, environments, not_before) VALUES ('h', '{Production}', 'infinity')", True),
    ],
)
def test_dealership_that_takes_no_part_is_not_due(dealership: Connection, statement: str, due: bool) -> None:
    """Whatever its slot says; a host rests for an hour at most."""
    dealership.execute("UPDATE sync_schedule SET next_at = now()")
    dealership.execute(statement.encode())

    assert [(int(due),)] == dealership.execute("SELECT count(*) FROM due_dealerships").fetchall()


@pytest.mark.parametrize(
    ("switch", "said_at", "quiet_until", "due"),
    [
        ("true", "NULL", "NULL", True),
        ("true", "now()", "now() + interval '1 hour'", True),
        ("false", "NULL", "NULL", True),
        ("false", "now()", "now() - interval '1 s'", True),
        ("false", "now()", "now() + interval '1 hour'", False),
        ("false", "now() - interval '2 min'", "now() + interval '1 hour'", True),
        ("maybe", "now()", "now() + interval '1 hour'", False),
    ],
)
def test_a_tick_with_work_goes_on_until_it_is_known_that_the_job_is_switched_off(
    dealership: Connection, switch: str, said_at: str, quiet_until: str, due: bool
) -> None:
    """Then it has nothing to say before a later slot has come; a switch that is on needs no memory."""
    dealership.execute("UPDATE sync_schedule SET next_at = now() - interval '1 min'")
    dealership.execute("UPDATE system_settings SET value = %s WHERE key = 'easycar_sync_enabled'", [switch])
    dealership.execute(
        "INSERT INTO jobs (name, disabled_said_at, disabled_quiet_until)"
        f" VALUES ('stock-sync', {said_at}, {quiet_until})".encode()
    )

    assert [(due,)] == dealership.execute("SELECT jobsync_tick('stock-sync')").fetchall()
