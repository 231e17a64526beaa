"""`jobsync logs RUN`: the journal's entries where there are some, else the place to look."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from jobsync.upkeep.run_log import where_to_look
from tests.commands.support import Cli

RUN = str(uuid4())
ENTRY: dict[str, Any] = {
    "__REALTIME_TIMESTAMP": "1795332840000000",
    "PRIORITY": "4",
    "MESSAGE": "run.finished stock-sync: 3 dealerships, 2 succeeded, 1 failed, 4.2 s status=partial",
    "MESSAGE_ID": "0" * 32,
    "JOBSYNC_RUN_ID": RUN,
    "JOBSYNC_OUTCOME": "partial",
    "_PID": "17",
}
Journalctl = Callable[..., Path]


@pytest.fixture
def journalctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journalctl:
    """A journal that says what it is told to; returns the file with the arguments that it was asked with."""

    def journalctl(*lines: object, code: int = 0) -> Path:
        (tmp_path / "entries").write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines))
        program = tmp_path / "journalctl"
        program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat {tmp_path}/entries\nexit {code}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return tmp_path / "asked"

    return journalctl


@pytest.fixture
def cli(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Cli:
    """Commands of a database."""
    return Cli(environ, capsys)


@pytest.fixture
def ran(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """One run, of a timer of another host."""
    connection.execute(
        "INSERT INTO job_runs (id, job, trigger, host, pid, version, status, finished_at)"
        " VALUES (%s, 'stock-sync', 'timer', 'elsewhere', 1, '0', 'partial', now())",
        [RUN],
    )


@pytest.mark.usefixtures("ran")
def test_entries_are_asked_by_the_whole_id(cli: Cli, journalctl: Journalctl) -> None:
    """The beginning of an id is enough; the journal is asked for the run's own field."""
    asked = journalctl(ENTRY)
    document = json.loads(cli("logs", RUN[:6], "--json").out)

    assert f"JOBSYNC_RUN_ID={RUN} " in asked.read_text()
    assert document == {
        "run_id": RUN,
        "where": None,
        "entries": [
            {
                "at": "2026-11-22T07:34:00+00:00",
                "level": "warning",
                "message": ENTRY["MESSAGE"],
                "fields": {"MESSAGE_ID": "0" * 32, "JOBSYNC_RUN_ID": RUN, "JOBSYNC_OUTCOME": "partial"},
            }
        ],
    }


@pytest.mark.usefixtures("ran")
def test_a_line_for_a_person(cli: Cli, journalctl: Journalctl) -> None:
    """Time, level, message."""
    journalctl(ENTRY)

    assert cli("logs", RUN).out == f"2026-11-22 07:34:00Z warning {ENTRY['MESSAGE']}\n"


@pytest.mark.usefixtures("ran")
@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ([78, 105, 195, 177, 111, 27, 91, 51, 49, 109], "Niño [31m"),
        (["one", "two"], "one"),
        (None, ""),
        ("first\n  second", "first\n  second"),
    ],
)
def test_whatever_the_journal_holds_is_shown_safely(
    cli: Cli, journalctl: Journalctl, message: object, shown: str
) -> None:
    """Bytes, repeated fields and control characters: text that no terminal acts on."""
    journalctl({**ENTRY, "MESSAGE": message}, "no JSON", {"PRIORITY": "99"})
    [entry] = json.loads(cli("logs", RUN, "--json").out)["entries"]

    assert entry["message"] == shown


@pytest.mark.usefixtures("ran")
def test_without_entries_it_says_where_to_look(cli: Cli, journalctl: Journalctl) -> None:
    """Another host's run: ask there. Exit 0, the answer is an answer."""
    journalctl()
    found = cli("logs", RUN)

    assert (found.code, found.out) == (0, f"it ran on elsewhere: ask there, jobsync logs {RUN}\n")


def test_journal_is_asked_while_the_database_is_away(cli: Cli, journalctl: Journalctl) -> None:
    """A whole id needs no database."""
    journalctl(ENTRY)
    away = {"JOBSYNC_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"}

    assert cli("logs", RUN, **away).code == 0
    assert cli("logs", RUN[:8], **away).code == 69
    assert cli("logs", " ", **away).code == 2


def test_unknown_run_is_a_usage_error(cli: Cli) -> None:
    """It says which there are."""
    found = cli("logs", "ffffffff")

    assert found.code == 2
    assert "jobsync runs list" in found.err


@pytest.mark.parametrize(
    ("trigger", "host", "readable", "said"),
    [
        ("manual", "here", True, "standard error"),
        ("cron", "here", True, "MAILTO"),
        ("timer", "there", True, "it ran on there"),
        ("timer", "here", False, "no journal can be read here"),
        ("timer", "here", True, "group systemd-journal"),
    ],
)
def test_where_to_look(trigger: str, host: str, readable: bool, said: str) -> None:
    """Each way in which a run can have spoken elsewhere has its sentence."""
    run = {"run_id": RUN, "trigger": trigger, "host": host, "started_at": datetime(2026, 11, 22, tzinfo=UTC)}

    assert said in where_to_look(run, this_host="here", readable=readable)


def test_where_to_look_without_a_database() -> None:
    """Then only the journal could have known."""
    assert "database cannot be asked" in where_to_look(None, this_host="here", readable=True)
