"""Asking costs a fixed number of statements, and each finds its rows by an index; however long the history."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from benchmarks.operate import History, seed
from jobsync.db.engine import Database
from jobsync.easycars import watch as easycars
from jobsync.sri import watch as sri
from jobsync.watch.health import judge_health
from jobsync.watch.model import Snapshot
from jobsync.watch.views.page import read_history, render_report
from tests.conftest import url_of
from tests.watch.support import look

# tables whose size grows without end: no question of the status screen may read one from end to end
GROWING = ("job_runs", "job_items", "sri_events", "easycar_sync_logs", "invoices", "vehicle_changes")


@pytest.fixture(scope="module")
def long_history(server_url: str, template: str) -> Iterator[str]:
    """A database with a tenth of the history that is measured."""
    url = url_of(server_url, "long_history")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE long_history TEMPLATE {template}".encode())
    seed(url, History(runs=10_000, dealerships=50, invoices=5_000, tenants=10))
    yield url
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE long_history WITH (FORCE)")


def asked(url: str, *, window: timedelta) -> tuple[Snapshot, list[tuple[str, Any]]]:
    """Return one look, with the statements that it took."""
    statements: list[tuple[str, Any]] = []
    database = Database(url)
    engine = database.engine(connections=1)
    event.listen(engine, "before_cursor_execute", lambda _c, _cu, text, values, *_: statements.append((text, values)))
    with engine.connect() as connection:
        seen = look(connection, window=window)
    database.close()
    return seen, statements


def test_the_number_of_statements_does_not_grow(long_history: str, database_url: str) -> None:
    """Nothing is asked once for each dealership, tenant or run."""
    seen, many = asked(long_history, window=timedelta(days=7))
    _, few = asked(database_url, window=timedelta(days=7))

    assert (50, 10) == (len(easycars.facts_of(seen).dealerships), len(sri.facts_of(seen).tenants))
    assert len(few) <= len(many) <= len(few) + 1 <= 16


def test_no_question_reads_a_growing_table_from_end_to_end(long_history: str) -> None:
    """With a day's window, as on a system of years, every growing table is met through an index."""
    _, statements = asked(long_history, window=timedelta(hours=6))
    whole = []
    with psycopg.connect(long_history, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")  # small tables are read whole for good reason
        for text, values in statements:
            if not re.match(r"\s*(SELECT|WITH)", text):
                continue
            [(plan,)] = connection.execute(f"EXPLAIN (FORMAT JSON) {text}".encode(), values).fetchall()
            whole += [
                node
                for node in re.findall(r'"Node Type": "Seq Scan".*?"Relation Name": "(\w+)"', json.dumps(plan))
                if node in GROWING
            ]

    assert [] == whole


def test_the_whole_report_over_a_long_history(long_history: str) -> None:
    """A page of moderate size from few statements."""
    database = Database(long_history)
    engine = database.engine(connections=1)
    statements = []
    event.listen(engine, "before_cursor_execute", lambda *_: statements.append(1))
    with engine.connect() as connection:
        seen = look(connection, window=timedelta(days=30))
        history = read_history(connection, seen)
    database.close()
    page = render_report(seen, history, judge_health(seen))

    assert len(statements) <= 25
    assert len(page) < 400_000
    assert 31 == len(history.days.days)
