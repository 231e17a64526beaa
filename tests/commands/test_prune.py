"""jobsync runs prune: audited, tried out, broken off."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.commands.support import Cli, Rows
from tests.watch.support import (
    add_run,
)

Connection = psycopg.Connection[Any]


def test_pruning_by_hand_is_audited(cli: Cli, connection: Connection, rows: Rows) -> None:
    """What went is told and recorded; nothing to do records nothing."""
    assert "nothing is past its retention\n" == cli("runs", "prune").out
    add_run(connection, began=datetime.now(UTC) - timedelta(days=500))
    ran = cli("runs", "prune", "--json")

    assert 1 == ran.json["deleted"]["job_runs"]
    assert [("runs.prune", {"job_runs": 1})] == rows("SELECT action, details FROM audit")


def test_prune_tried_out_and_broken_off(
    cli: Cli, connection: Connection, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--dry-run counts by table and writes nothing; after Ctrl-C (130) what is said to be gone is what went."""
    for _ in range(3):
        add_run(connection, began=datetime.now(UTC) - timedelta(days=500))
        connection.execute("INSERT INTO alerts (subject, kind, closed_at) VALUES ('s', 'k', now() - interval '500 d')")
    tried, told = cli("runs", "prune", "--dry-run", "--json"), cli("runs", "prune", "--dry-run")
    before = rows("SELECT (SELECT count(*) FROM job_runs), (SELECT count(*) FROM audit)")
    monkeypatch.setattr("jobsync.cli.runs.stop_noted", lambda: signal.SIGINT)

    broken = cli("runs", "prune", "--json")
    monkeypatch.undo()
    rest = cli("runs", "prune", "--json")

    assert (0, True) == (tried.code, tried.json["dry_run"])
    assert (3, 3) == (tried.json["deleted"]["job_runs"], tried.json["deleted"]["alerts"])
    assert told.out.startswith("nothing was written; past retention: ")
    assert [(3, 0)] == before
    assert (130, True) == (broken.code, broken.json["interrupted"])
    assert {"job_runs": 3, "alerts": 3} == {
        table: broken.json["deleted"][table] + rest.json["deleted"][table] for table in ("job_runs", "alerts")
    }
