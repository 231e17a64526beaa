"""The operator's reading commands: exit codes, hostile names, a database away, filters; nothing is written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.commands.support import Cli
from tests.watch.support import (
    add_dealership,
    add_run,
    free_port,
)

Connection = psycopg.Connection[Any]
READING = (["status"], ["health"], ["doctor", "--offline"], ["metrics"], ["report", "-o", "-"], ["runs", "list"])


def harmless(text: str) -> bool:
    """Whether the text holds nothing that a terminal would obey."""
    return not any((ord(sign) < 32 and sign != "\n") or 0x7F <= ord(sign) < 0xA0 for sign in text)


@pytest.mark.parametrize("words", READING)
def test_a_hostile_name_has_no_effect(words: list[str], cli: Cli, hostile: int) -> None:
    """In every form of every command; what it says stays readable."""
    ran = cli(*words)

    assert harmless(ran.out)
    assert harmless(ran.err)
    assert not any(line.startswith("WATCHDOG") for line in ran.out.splitlines())
    if words[0] in ("status", "health", "metrics"):
        assert "X WATCHDOG=1" in ran.out


@pytest.mark.parametrize("words", [["status"], ["health"], ["doctor", "--offline"], ["runs", "list"]])
def test_json_keeps_the_name_as_it_is_or_harmless(words: list[str], cli: Cli, hostile: int) -> None:
    """One document, printable."""
    ran = cli(*words, "--json")

    assert ran.json is not None
    assert harmless(ran.out)


def test_a_trace_is_one_command_away(cli: Cli, hostile: int) -> None:
    """status names the run, runs show prints the trace."""
    [found] = [job for job in cli("status", "--json").json["jobs"] if job["job"] == "stock-sync"]
    assert "failing" == found["state"]
    ran = cli(*found["what_to_do"].split(";")[0].split()[1:])

    assert "Traceback" in ran.out
    assert harmless(ran.out)


def test_health_has_three_exit_codes(cli: Cli, connection: Connection) -> None:
    """0 fine, 3 attention, 69 the database does not answer; one document each time."""
    fine = cli("health", "--json")
    add_dealership(connection, success=datetime.now(UTC) - timedelta(days=9))
    attention = cli("health", "--json")
    away = cli("health", "--json", JOBSYNC_DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/x")

    assert [(0, "ok", 0), (3, "attention", 3), (69, "unavailable", 69)] == [
        (ran.code, ran.json["status"], ran.json["exit_code"]) for ran in (fine, attention, away)
    ]
    assert ["silence"] == [problem["kind"] for problem in attention.json["problems"]]
    assert all(problem["what_to_do"] for problem in attention.json["problems"])


@pytest.mark.parametrize("words", [["status"], ["health"], ["doctor", "--offline"], ["metrics"], ["runs", "prune"]])
def test_a_database_away_is_one_sentence(words: list[str], lookup: Cli) -> None:
    """Exit 69, never a trace."""
    ran = lookup(*words, JOBSYNC_DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/x")

    assert 69 == ran.code
    assert "Traceback" not in ran.out + ran.err
    assert "refused" in ran.out + ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status", "--window", "soon"], "--window"),
        (["status", "--window", "0h"], "--window"),
        (["status", "--watch", "--json"], "--watch"),
        (["runs", "list", "--status", "odd"], "succeeded"),
        (["runs", "list", "--since", "soon"], "--since"),
        (["report"], "-o"),
        (["alert"], "--unit"),
    ],
)
def test_what_cannot_be_meant_is_usage(words: list[str], said: str, lookup: Cli) -> None:
    """Exit 2 with what was expected."""
    ran = lookup(*words)

    assert 2 == ran.code
    assert said in ran.err


def test_looking_writes_nothing(lookup: Cli) -> None:
    """All reading commands, on a database that is compared before and after."""
    for words in READING:
        lookup(*words)


def test_runs_are_filtered(cli: Cli, connection: Connection) -> None:
    """By job, status, beginning, and whether they were clean."""
    now = datetime.now(UTC)
    old = add_run(connection, began=now - timedelta(days=3))
    bad = add_run(connection, "check-authorizations", "failed", exit_code=1, began=now - timedelta(hours=2))
    held = add_run(connection, status="held", exit_code=3, began=now - timedelta(hours=1))

    def ids(*words: str) -> list[str]:
        return [row["run_id"] for row in cli("runs", "list", "--json", *words).json]

    assert [held, bad] == ids("--failed")
    assert [bad] == ids("--status", "failed")
    assert [held, old] == ids("--status", "held", "--status", "succeeded")
    assert [held, bad] == ids("--since", "1d")
    assert [held, bad, old] == ids("--since", (now - timedelta(days=4)).date().isoformat())
    assert [held] == ids("--job", "stock-sync", "--since", (now - timedelta(days=1)).isoformat())


def test_metrics_of_a_database_away_replace_the_old_ones(cli: Cli, tmp_path: Path) -> None:
    """Yesterday's numbers would look like today's."""
    file = tmp_path / "jobsync.prom"
    cli("metrics", "-o", str(file))
    ran = cli("metrics", "-o", str(file), JOBSYNC_DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/x")

    assert 69 == ran.code
    assert "jobsync_up 0" in file.read_text()
    assert "jobsync_job" not in file.read_text()


def test_metrics_are_one_document_as_json(cli: Cli, tmp_path: Path) -> None:
    """The samples of the text, by family; a database away is an error in the one document, and up is 0 in the file."""
    file = tmp_path / "jobsync.prom"
    told = {family["name"]: family for family in cli("metrics", "--json").json}
    away = {"JOBSYNC_DATABASE_URL": f"postgresql://127.0.0.1:{free_port()}/x"}
    ran = cli("metrics", "--json", "-o", str(file), **away)

    assert [{"name": "jobsync_up", "labels": {}, "value": 1.0}] == told["jobsync_up"]["samples"]
    assert "counter" == told["jobsync_runs"]["type"]
    assert (69, 69) == (ran.code, ran.json["exit_code"])
    assert "jobsync_up 0" in file.read_text()
    assert 69 == cli("metrics", "--json", **away).json["exit_code"]


def test_settings_are_all_in_use(lookup: Cli) -> None:
    """No setting is said to be without effect."""
    assert all(row["used"] for row in lookup("settings", "list", "--json").json)
    assert "not used" not in lookup("settings", "list").out
