"""Authorization checks' SQL against a real Postgres."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from jobsync.db.system_settings import SystemSettings
from jobsync.documents import DocumentQueue, DocumentWork
from jobsync.hosts.circuit import HostState
from jobsync.hosts.store import read_hosts
from jobsync.runner import record
from jobsync.sri import store
from jobsync.sri.model import Authorization, Outcome, Verdict
from tests.sri.documents import OTHER_RUC, RUC, make_key

Connection = psycopg.Connection[Any]
Add = Callable[..., int]


@pytest.fixture
def add(connection: Connection) -> Add:
    """Insert a document of a tenant, both by SQL alone."""

    def add(number: int, *, ruc: str = RUC, **columns: object) -> int:
        connection.execute("INSERT INTO tenants (ruc, name) VALUES (%s, 'T') ON CONFLICT DO NOTHING", [ruc])
        row = connection.execute(
            "INSERT INTO invoices (tenant_id, access_key) SELECT id, %s FROM tenants WHERE ruc = %s RETURNING id",
            [make_key(number, ruc=ruc), ruc],
        ).fetchone()
        assert row is not None
        for name, value in columns.items():
            connection.execute(f"UPDATE invoices SET {name} = {value} WHERE id = %s".encode(), [row[0]])
        return int(row[0])

    return add


def due_ids(connection: Connection, **asked: Any) -> list[int]:
    """Return the ids of what is due, in order."""
    return list(store.QUEUE.read_due(connection, **{"limit": 100, **asked})[0])


def due(connection: Connection, limit: int) -> tuple[list[store.DueDocument], int]:
    """Return what is due, in order, and how many there are in all."""
    numbers, total = store.QUEUE.read_due(connection, limit=limit)
    return store.QUEUE.read_due_of(connection, numbers), total


@pytest.mark.parametrize(
    ("columns", "due"),
    [
        ({}, True),
        ({"status": "'needs_attention'"}, True),
        ({"next_check_at": "now() + interval '1 minute'"}, False),
        ({"next_check_at": "NULL"}, False),
        ({"next_check_at": "now() + interval '6 hours 30 minutes'"}, False),
        ({"next_check_at": "now() + interval '6 hours 40 minutes'"}, True),
        ({"next_check_at": "'infinity'"}, True),
        ({"next_check_at": "'-infinity'"}, True),
        ({"status": "'authorized'"}, False),
        ({"status": "'rejected'"}, False),
        ({"status": "'cancelled'"}, False),
        ({"deleted_at": "now()"}, False),
    ],
)
def test_due_is_what_waits_and_whose_time_has_come(
    connection: Connection, add: Add, columns: dict[str, str], due: bool
) -> None:
    """The query and the tick's function agree on it."""
    number = add(1, **columns)

    assert due_ids(connection) == ([number] if due else [])
    assert record.is_tick_due(connection, "check-authorizations") is due


@pytest.mark.parametrize("tenant", ["is_active = false", "paused_until = now() + interval '1 day'"])
def test_tenant_that_rests_is_not_due(connection: Connection, add: Add, tenant: str) -> None:
    """Neither for the query nor for the tick."""
    add(1)
    connection.execute(f"UPDATE tenants SET {tenant}".encode())

    assert due_ids(connection) == []
    assert record.is_tick_due(connection, "check-authorizations") is False


def test_tenants_take_turns(connection: Connection, add: Add) -> None:
    """The first of each, then the second of each; the total counts them all."""
    first = [add(number) for number in range(5)]
    other = [add(number, ruc=OTHER_RUC) for number in range(2)]

    documents, total = due(connection, 5)

    assert [document.id for document in documents] == [first[0], other[0], first[1], other[1], first[2]]
    assert total == 7


def test_fewest_asks_come_first(connection: Connection, add: Add) -> None:
    """A document that was asked about often stands behind a new one of the same tenant."""
    often = add(1, check_count=9)
    new = add(2)

    assert due_ids(connection) == [new, often]


def test_only_the_named_tenants(connection: Connection, add: Add) -> None:
    """A filter by RUC."""
    add(1)
    other = add(2, ruc=OTHER_RUC)

    assert due_ids(connection, tenants=[OTHER_RUC]) == [other]


def test_attempt_is_counted_before_it_starts(connection: Connection, add: Add) -> None:
    """Count and next time stand, and the host's last call is stamped."""
    add(1)
    [document], _ = due(connection, 1)

    number = store.begin_attempt(connection, document, next_in=timedelta(minutes=5), host="sri.example")

    assert number == 1
    assert due_ids(connection) == []
    state = read_hosts(connection, ["sri.example", "other.example"])
    assert state["sri.example"].idle_s is not None
    assert state["other.example"] == HostState("other.example")


@pytest.mark.parametrize(
    "change", ["status = 'cancelled'", "deleted_at = now()", "submitted_at = now()", "status = 'authorized'"]
)
def test_changed_document_is_neither_begun_nor_written(connection: Connection, add: Add, change: str) -> None:
    """What its owner did meanwhile holds."""
    add(1)
    [document], _ = due(connection, 1)
    connection.execute(f"UPDATE invoices SET {change}".encode())
    before = connection.execute("SELECT * FROM invoices").fetchall()

    begun = store.begin_attempt(connection, document, next_in=timedelta(0), host=None)
    waited = store.write_waiting(connection, document, Verdict(Outcome.REJECTED, "code_39"))
    columns = {"document_type": "invoice"}
    authorized = store.write_authorized(connection, document, Authorization("AUT"), answer=b"a", columns=columns)

    assert (begun, waited, authorized) == (None, False, False)
    assert connection.execute("SELECT * FROM invoices").fetchall() == before
    assert connection.execute("SELECT count(*) FROM invoice_documents").fetchone() == (0,)


def test_documents_of_one_host_leave_room_for_those_of_the_other(connection: Connection, add: Add) -> None:
    """Many that wait for a host that is down do not fill what one run reads."""
    for number in range(5):
        add(number)
    production = make_key(9, environment=2)
    connection.execute("INSERT INTO invoices (tenant_id, access_key) SELECT id, %s FROM tenants", [production])

    documents, total = due(connection, 2)

    assert (production in {document.access_key for document in documents}, total) == (True, 6)


@pytest.mark.parametrize("every", [False, True])
def test_what_is_cancelled_while_documents_are_chosen_is_not_counted(
    connection: Connection, add: Add, *, every: bool
) -> None:
    """It is neither taken nor left for later."""
    numbers = [add(number) for number in range(3)]

    class Meanwhile(DocumentQueue[store.DueDocument]):
        def read_due(self, connection: Connection, **asked: Any) -> tuple[array[int], int]:
            found = super().read_due(connection, **asked)
            connection.execute("UPDATE invoices SET status = 'cancelled' WHERE id = %s", [numbers[0]])
            return found

    class Work(DocumentWork[store.DueDocument]):
        most = 2000

    work = Work(settings=SystemSettings({}), limit=2, every=every)
    chosen = work.choose_from(connection, Meanwhile(**vars(store.QUEUE)), lambda _document: None)

    assert ([document.id for document in chosen.documents], chosen.total) == ([numbers[1]], 2)


def test_attention_keeps_its_first_instant(connection: Connection, add: Add) -> None:
    """Thirty days count from when it began, and end with another status."""
    add(1, status="'needs_attention'", attention_since="'2026-01-01+00'")
    [document], _ = due(connection, 1)

    def write(outcome: Outcome) -> object:
        stays = outcome is Outcome.FAULT
        verdict = Verdict(outcome, "empty", next_check_in=timedelta(0), status_stays=stays)
        store.write_waiting(connection, document, verdict)
        row = connection.execute("SELECT attention_since::date::text FROM invoices").fetchone()
        assert row is not None
        return row[0]

    assert [write(Outcome.NEEDS_ATTENTION), write(Outcome.FAULT), write(Outcome.PENDING)] == [
        "2026-01-01",
        "2026-01-01",
        None,
    ]


def test_event_text_that_postgres_cannot_hold(connection: Connection, add: Add) -> None:
    """NUL, lone surrogates and bytes that are no UTF-8 are replaced, never an error."""
    number = add(1)

    store.add_events(
        connection,
        [store.Event("fault", code="a\0b", message="c\ud800d", raw=b"\xff\x00e")],
        tenant_id=None,
        invoice_id=number,
    )

    assert connection.execute("SELECT code, message, raw FROM sri_events").fetchone() == (
        "a\ufffdb",
        "c?d",
        "\ufffd\ufffde",
    )


def test_due_query_uses_its_index(connection: Connection, add: Add) -> None:
    """Among many settled documents the few that wait are found by the partial index."""
    tenant = add(1)
    connection.execute(
        "INSERT INTO invoices (tenant_id, access_key, status, next_check_at)"
        " SELECT tenant_id, lpad(n::text, 49, '0'), 'authorized', NULL FROM invoices, generate_series(1, 20000) n"
        " WHERE id = %s",
        [tenant],
    )
    connection.execute("ANALYZE invoices")

    [(plan,)] = connection.execute(
        "EXPLAIN (FORMAT JSON) " + store.QUEUE.statement(), {"tenants": None, "limit": 100}
    ).fetchall()

    assert "invoices_check_due_idx" in json.dumps(plan)
    assert "Seq Scan on invoices" not in json.dumps(plan)


@pytest.mark.parametrize(
    ("interval", "started", "due"),
    [
        ("30", None, True),
        ("30", "now() - interval '29 seconds'", True),  # timers have some play
        ("30", "now() - interval '20 seconds'", False),
        ("3600", "now() - interval '31 minutes'", False),
        ("3600", "now() - interval '60 minutes'", True),
        ("often", "now() - interval '31 seconds'", True),  # unreadable: the default
        ("30", "now() + interval '1 hour'", True),  # a clock that was set back
    ],
)
def test_tick_keeps_the_interval(
    connection: Connection, add: Add, interval: str, started: str | None, due: bool
) -> None:
    """A tick before its time is not due; hand runs do not count."""
    add(1)
    connection.execute("UPDATE system_settings SET value = %s WHERE key = 'sri_check_interval_s'", [interval])
    for trigger, at in (("timer", started), ("manual", "now()")):
        if at is not None:
            connection.execute(
                "INSERT INTO job_runs (id, job, trigger, host, pid, version, status, started_at) VALUES"
                f" (gen_random_uuid(), 'check-authorizations', '{trigger}', 'h', 1, '0', 'succeeded', {at})".encode()
            )

    assert record.is_tick_due(connection, "check-authorizations") is due
