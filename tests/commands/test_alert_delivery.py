"""jobsync alert and the health timer: told while the database is away, and with addresses that are wrong."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobsync.alerts.local_file import state_folders
from tests.commands.support import Cli, Rows
from tests.watch.support import (
    HOSTILE,
    add_dealership,
    add_run,
    free_port,
    listener,
    post_office,
)

Connection = psycopg.Connection[Any]


def test_the_health_timer_tells_and_prunes(cli: Cli, connection: Connection, tmp_path: Path, rows: Rows) -> None:
    """One mail and one webhook for what is wrong, none the second time, a recovery; old rows are gone."""
    number = add_dealership(connection, HOSTILE, success=datetime.now(UTC) - timedelta(days=9))
    add_run(connection, began=datetime.now(UTC) - timedelta(days=500))
    with post_office() as (office, port), listener() as (hook, url):
        cli.environ |= {
            "JOBSYNC_SMTP_URL": f"smtp://127.0.0.1:{port}",
            "JOBSYNC_ALERT_TO": "ops@example.org",
            "JOBSYNC_ALERT_WEBHOOK": f"{url}/hook",
            "STATE_DIRECTORY": str(tmp_path),
        }
        first, second = cli("health", "--act", "--json"), cli("health", "--act", "--json")
        rows(f"UPDATE sync_schedule SET last_success_at = now() WHERE dealership_id = {number} RETURNING 1")
        third = cli("health", "--act", "--json")

    assert [3, 3, 0] == [first.code, second.code, third.code]
    assert {"job_runs": 1} == first.json["pruned"]
    assert ["problem", "recovered"] == [mail["Subject"].split("] ")[1].split(":")[0] for mail in office.mails]
    assert [["firing"], ["resolved"]] == [[a["status"] for a in each["alerts"]] for each in hook.documents]
    assert [(1, 1)] == rows("SELECT count(*), count(closed_at) FROM alerts")


def test_a_failing_unit_while_the_database_is_away(cli: Cli, tmp_path: Path) -> None:
    """It is counted and told all the same; the exit code says that the database is away."""
    cli.environ |= {
        "STATE_DIRECTORY": str(tmp_path),
        "JOBSYNC_DATABASE_URL": f"postgresql://u@127.0.0.1:{free_port()}/x",
    }
    ran = cli("alert", "--unit", "jobsync-stock-sync.service", "--json")

    assert (69, "away", True) == (ran.code, ran.json["database"], ran.json["sent"])
    assert json.loads((tmp_path / "alerts.json").read_text())["alerts"]


def test_a_failing_unit_with_nothing_but_its_name(cli: Cli, tmp_path: Path) -> None:
    """The configuration is broken, the database is away, nobody is configured: still no trace, and it is counted."""
    cli.environ |= {"STATE_DIRECTORY": str(tmp_path), "JOBSYNC_ENCRYPTION_KEY": "broken", "MONITOR_EXIT_STATUS": "78"}
    ran = cli("alert", "--unit", "jobsync-stock-sync.service")

    assert 78 == ran.code
    assert "nobody is told" in ran.err
    [noted] = json.loads((tmp_path / "alerts.json").read_text())["alerts"]
    assert "JOBSYNC_ENCRYPTION_KEY" in noted["text"]


@pytest.mark.parametrize("text", ["htps://hooks.example/services/token-token-token", "https://["])
def test_a_mistyped_address_is_named_and_the_others_are_told(cli: Cli, tmp_path: Path, text: str) -> None:
    """78: not everybody was told. The address itself, which is a secret, is nowhere."""
    with post_office() as (office, port):
        cli.environ |= {
            "JOBSYNC_SMTP_URL": f"smtp://127.0.0.1:{port}",
            "JOBSYNC_ALERT_TO": "ops@example.org",
            "STATE_DIRECTORY": str(tmp_path),
            "JOBSYNC_ALERT_WEBHOOK": text,
        }
        *_, ran = [cli("alert", "--unit", "jobsync-stock-sync.service", "--json") for _ in range(5)]

    assert (78, 1) == (ran.code, len(office.mails))
    assert "JOBSYNC_ALERT_WEBHOOK: " in ran.json["not_sent"][0]
    assert "not everybody can be told: JOBSYNC_ALERT_WEBHOOK: " in ran.err
    assert "token-token" not in ran.out + ran.err


def test_a_mistyped_mail_server_is_one_mistake(cli: Cli, tmp_path: Path) -> None:
    """That the address stands without its server follows from it; nor is anybody asked to set what is set."""
    cli.environ |= {
        "JOBSYNC_SMTP_URL": "smpt://ops:hunter2-secret@mail.example",
        "JOBSYNC_ALERT_TO": "ops@example.org",
        "STATE_DIRECTORY": str(tmp_path),
    }
    ran = cli("alert", "--unit", "jobsync-stock-sync.service", "--json")

    assert 78 == ran.code
    assert ["JOBSYNC_SMTP_URL: expected smtp://… or smtps://… (jobsync doctor)"] == ran.json["not_sent"]
    assert "nobody is told" not in ran.err
    assert "hunter2" not in ran.out + ran.err


def test_a_state_folder_that_cannot_be_written_is_no_obstacle(cli: Cli, connection: Connection, tmp_path: Path) -> None:
    """The message goes out, and the table remembers it."""
    connection.execute("UPDATE system_settings SET value = '1' WHERE key = 'alert_after_failures'")
    (tmp_path / "file").write_text("")
    with post_office() as (office, port):
        cli.environ |= {
            "JOBSYNC_SMTP_URL": f"smtp://127.0.0.1:{port}",
            "JOBSYNC_ALERT_TO": "ops@example.org",
            "STATE_DIRECTORY": str(tmp_path / "file"),
        }
        for _ in range(3):
            assert 0 == cli("alert", "--unit", "jobsync-stock-sync.service").code
    shutil.rmtree(state_folders(cli.environ)[-1], ignore_errors=True)

    assert 1 == len(office.mails)
