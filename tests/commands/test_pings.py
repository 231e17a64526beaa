"""Which runs ping, and that a ping that fails changes no exit code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.commands.support import Add, Cli, Feed, Rows, cars, envelope
from tests.watch.support import (
    add_dealership,
    free_port,
    listener,
)

Connection = psycopg.Connection[Any]


# --- the dead-man ping -----------------------------------------------------------------------------------------------


def make_due(cli: Cli, rows: Rows) -> None:
    """The first tick computes the slots; then they have come."""
    cli("stock-sync", "--scheduled")
    rows("UPDATE sync_schedule SET next_at = now() - interval '1 minute' RETURNING 1")


@pytest.mark.parametrize(("answer", "code", "told"), [(cars("A"), 0, "/p/0"), (envelope(7, message="no"), 1, "/p/1")])
def test_a_scheduled_run_that_had_work_is_announced(
    answer: Any, code: int, told: str, cli: Cli, feed: Feed, add: Add, rows: Rows
) -> None:
    """Start, then its exit code, with the run's id and its summary; the idle tick after it says nothing."""
    add("Good", "G")
    feed.answers = {"G": answer}
    make_due(cli, rows)
    with listener() as (hook, url):
        cli.environ["JOBSYNC_PING_URL"] = f"{url}/p"
        ran = cli("stock-sync", "--scheduled", "--json")
        cli("stock-sync", "--scheduled")

    assert code == ran.code
    assert ["/p/start", told] == hook.paths
    assert all(path.endswith(f"rid={ran.json['run_id']}") for path, _ in hook.got)
    assert hook.got[1][1].decode().startswith(f"{ran.json['status']}: 1 dealership, ")


def test_hand_runs_and_dry_runs_ping_nobody(cli: Cli, feed: Feed, add: Add) -> None:
    """Only what the timers woke proves that they do."""
    add("Good", "G")
    feed.answers = {"G": cars("A")}
    with listener() as (hook, url):
        cli.environ["JOBSYNC_PING_URL"] = f"{url}/p"
        cli("stock-sync")
        cli("stock-sync", "--scheduled", "--dry-run")

    assert [] == hook.got


def test_a_ping_that_fails_changes_no_exit_code(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """Its host and token are not told either."""
    add("Good", "G")
    feed.answers = {"G": cars("A")}
    make_due(cli, rows)
    cli.environ["JOBSYNC_PING_URL"] = f"http://127.0.0.1:{free_port()}/tokentokentoken"
    ran = cli("stock-sync", "--scheduled")

    assert 0 == ran.code
    assert "ping.not_sent" in ran.err
    assert "tokentoken" not in ran.err


@pytest.mark.parametrize(("address", "expected"), [("p/{job}", ["/p/health", "/p/health/fail"]), ("p", [])])
def test_the_health_timer_pings_where_each_job_has_its_own_switch(
    address: str, expected: list[str], cli: Cli, connection: Connection, tmp_path: Path
) -> None:
    """Once well, once not; with one address for all it keeps still."""
    with listener() as (hook, url):
        cli.environ |= {"JOBSYNC_PING_URL": f"{url}/{address}", "STATE_DIRECTORY": str(tmp_path)}
        cli("health", "--act")
        add_dealership(connection, success=datetime.now(UTC) - timedelta(days=9))
        cli("health", "--act")

    assert expected == hook.paths
