"""What an upgrade makes of runs and syncs that are there already."""

from __future__ import annotations

import runpy
from datetime import timedelta
from typing import Any

import psycopg

from jobsync.db.migrate import migrations_folder
from jobsync.runner.totals import count_run, read_totals
from tests.watch.support import NOW, add_dealership, add_run, set_job

STATEMENTS = runpy.run_path(str(migrations_folder() / "versions" / "0015_totals.py"))["STATEMENTS"]
Connection = psycopg.Connection[Any]


def upgrade(connection: Connection) -> None:
    """Run what the migration does with rows."""
    for statement in STATEMENTS[2:]:
        connection.execute(statement.encode())


def test_an_upgrade_counts_as_each_end_does(connection: Connection) -> None:
    """What was there begins with the sums that it would have, had it been counted when it ended."""
    for lasted, status in ((2, "succeeded"), (40, "succeeded"), (9000, "failed")):
        run = add_run(connection, status=status, lasted=timedelta(seconds=lasted))
        connection.execute('UPDATE job_runs SET counts = \'{"succeeded": 3, "eligible": 4}\' WHERE id = %s', [run])
    upgrade(connection)
    found = read_totals(connection)
    connection.execute("TRUNCATE run_totals, item_totals")
    for (run_id,) in connection.execute("SELECT id FROM job_runs").fetchall():
        count_run(connection, run_id)

    assert found == read_totals(connection)


def test_an_upgrade_finds_the_last_success_of_who_was_held_since(connection: Connection) -> None:
    """The held sync or run that was put down as one is one no more; a real one stays."""
    held, fine = add_dealership(connection), add_dealership(connection)
    connection.execute("UPDATE sync_schedule SET last_success_at = %s", [NOW - timedelta(hours=1)])
    connection.execute(
        "INSERT INTO easycar_sync_logs (dealership_id, status, started_at, synced_at) SELECT %s, 'Success', at, at"
        " FROM (VALUES (%s::timestamptz)) v (at)",
        [held, NOW - timedelta(days=3)],
    )
    connection.execute(
        "UPDATE easycar_sync_logs SET status = 'Held' WHERE dealership_id = %s AND synced_at = %s",
        [held, NOW - timedelta(hours=1)],
    )
    add_run(connection, began=NOW - timedelta(days=2))
    add_run(connection, status="partial", exit_code=3)
    set_job(connection, last_success_at=NOW - timedelta(hours=1) + timedelta(seconds=30))
    upgrade(connection)
    found = dict(connection.execute("SELECT dealership_id, last_success_at FROM sync_schedule").fetchall())
    [(run,)] = connection.execute("SELECT last_success_at FROM jobs").fetchall()

    assert {held: NOW - timedelta(days=3), fine: NOW - timedelta(hours=1)} == found
    assert NOW - timedelta(days=2) + timedelta(seconds=30) == run
