"""The views that say what is due: by index, whatever else is stored."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from jobsync.db.tables import VIEWS

Connection = psycopg.Connection[Any]


@pytest.fixture
def many(connection: Connection) -> Connection:
    """A database with 30,000 authorized and printed documents, and a few of every other kind."""
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
    return connection


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "question", ["SELECT EXISTS (SELECT FROM {})", "SELECT count(*) FROM {}", "SELECT FROM {} WHERE too_far_ahead"]
)
def test_what_is_due_is_found_by_index(many: Connection, view: str, question: str) -> None:
    """The great mass of decided documents is never read."""
    plan = "".join(row[0] for row in many.execute(("EXPLAIN " + question.format(view)).encode()))

    assert "Seq Scan on invoices" not in plan
    assert {"due_documents": "invoices_check_due_idx", "due_rides": "invoices_ride_due_idx"}[view] in plan


@pytest.mark.parametrize("view", VIEWS)
def test_due_rows_say_since_when_and_why(many: Connection, view: str) -> None:
    """What lies a day ahead is due since now, and says that it is too far ahead."""
    statement = f"SELECT too_far_ahead, count(*), min(now() - due_since) FROM {view} GROUP BY 1 ORDER BY 1"
    with many.transaction():
        found = many.execute(statement.encode()).fetchall()

    assert [(False, 15), (True, 15)] == [row[:2] for row in found]
    assert found[1][2] == timedelta(0) < found[0][2]
