"""Odd variables, a full disk, closed readers, no file numbers or threads left: one sentence, no traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.commands.support import Cli, Ran, plain

Connection = psycopg.Connection[Any]


def shell(environ: Mapping[str, str], line: str, **more: str) -> Ran:
    """Run a line of bash in which $JOBSYNC is the program."""
    program = {"PROGRAM": sys.executable}
    done = subprocess.run(
        ["bash", "-c", line.replace("jobsync", '"$PROGRAM" -m jobsync', 1)],
        env={**environ, **program, **more},
        capture_output=True,
        timeout=60,
    )
    return Ran(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


# --- the environment -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JOBSYNC_DATABASE_URL", "postgresql://\udcff@h/d"),
        ("JOBSYNC_ALERT_WEBHOOK", "https://h/\udcff"),
        ("JOBSYNC_PING_URL", "https://h/\udcff"),
        ("JOBSYNC_STORAGE", "/srv/\udcff"),
    ],
)
@pytest.mark.parametrize("command", ["status", "alert --unit x", "settings set ride_delay_ms 200"])
def test_a_variable_that_is_no_text_is_named(name: str, value: str, command: str, lookup: Cli, tmp_path: Path) -> None:
    """Python would pass such bytes on until something chokes on them."""
    ran = lookup(*command.split(), **{name: value, "STATE_DIRECTORY": str(tmp_path)})

    plain(ran, 78, name, "not UTF-8")


@pytest.mark.parametrize("name", ["USER", "LOGNAME", "SUDO_USER", "MONITOR_INVOCATION_ID", "INVOCATION_ID"])
def test_a_name_that_is_no_text_gets_a_visible_sign(
    name: str, cli: Cli, tmp_path: Path, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is logged in, or what systemd says, keeps nobody from being told or from changing a setting."""
    for other in ("USER", "LOGNAME", "SUDO_USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "o\udcffo")
    more = {name: "o\udcffo", "STATE_DIRECTORY": str(tmp_path)}

    plain(cli("alert", "--unit", "jobsync-stock-sync.service", **more), 0)
    plain(cli("settings", "set", "ride_delay_ms", "201", **more), 0)
    if not name.endswith("INVOCATION_ID"):
        assert [("o?o",)] == connection.execute("SELECT actor FROM audit").fetchall()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("storage", "/srv/a\\u0000b"),
        ("database_url", "embedded:/srv/x\\u0000y"),
        ("database_url", "postgresql://h/jobsync\\u0000x"),
        ("alert_webhook", "https://h/\\u0000"),
    ],
)
def test_a_nul_in_the_configuration_names_key_and_file(key: str, value: str, tmp_path: Path, lookup: Cli) -> None:
    """C would read half of it, Python would choke."""
    file = tmp_path / "config.toml"
    file.write_text(f'{key} = "{value}"\n')
    lookup.environ.pop(f"JOBSYNC_{key.upper()}", None)
    ran = lookup("status", JOBSYNC_CONFIG=str(file))

    plain(ran, 78, f"JOBSYNC_{key.upper()}", "NUL", str(file))


# --- the outputs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["metrics", "report -o -", "runs list --json", "man", "status", "health --json", "--version", "--help"]
)
def test_output_that_a_full_disk_cut_is_no_success(command: str, environ: dict[str, str]) -> None:
    """Who asked for it must not take a part for the whole."""
    ran = shell(environ, f"jobsync {command} > /dev/full")

    plain(ran, 1, "No space left on device")


def test_job_whose_document_was_lost_says_so(environ: dict[str, str]) -> None:
    """A program that reads the JSON must not take half of it for success; the run's own verdict stays in its row."""
    ran = shell(environ, "jobsync check-authorizations --json > /dev/full")

    assert ran.code == 1
    assert "standard output cannot be written" in ran.err


@pytest.mark.parametrize("command", ["metrics", "man", "runs list --json"])
def test_a_reader_that_leaves_early_is_no_failure(command: str, environ: dict[str, str]) -> None:
    """As with head."""
    ran = shell(environ, f"set -o pipefail; jobsync {command} | true")

    plain(ran, 0)
    assert "" == ran.err


@pytest.mark.parametrize(
    ("command", "code"), [("status", 69), ("stock-sync --json", 69), ("status --no-such", 2), ("runs show x", 69)]
)
@pytest.mark.parametrize("where", ["2> /dev/full", "> /dev/full 2>&1"])
def test_a_complaint_that_nobody_hears_changes_no_exit_code(
    command: str, code: int, where: str, environ: dict[str, str]
) -> None:
    """The number is what timers and scripts read."""
    ran = shell(environ, f"jobsync {command} {where}", JOBSYNC_DATABASE_URL="postgresql://127.0.0.1:1/x")

    assert code == ran.code


@pytest.mark.parametrize("command", ["report", "metrics"])
def test_an_odd_place_for_a_file_gets_a_sentence(command: str, lookup: Cli, tmp_path: Path) -> None:
    """A folder, a circle of links, a name that is too long; the longest possible name is fine."""
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    for path, code, words in (
        ("/", 2, "is a folder"),
        (str(tmp_path), 2, "is a folder"),
        (str(circle), 1, "cannot write"),
        (str(tmp_path / ("n" * 300)), 1, ": File name too long"),
        (str(tmp_path / "no" / "such"), 1, ": No such file or directory"),
        (str(tmp_path / ("n" * 255)), 0, ""),
    ):
        plain(lookup(command, "-o", path), code, words)
    assert circle.is_symlink()
    assert ["circle", "n" * 255] == sorted(path.name for path in tmp_path.iterdir())


def test_a_process_without_file_numbers_gets_a_sentence(environ: dict[str, str]) -> None:
    """What is used up is named, with the knob."""
    ran = shell(environ, "ulimit -n 7; jobsync stock-sync")

    plain(ran, 1, "may open no more files (ulimit -n")
    assert 1 == len(ran.err.splitlines())


def test_a_thread_that_cannot_start_gets_a_sentence(lookup: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under ulimit -v, which no test can set so that nothing else fails first."""

    def refuse(*_: object, **__: object) -> Callable[[], None]:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("jobsync.upkeep.doctor.check_bytecode", refuse)

    plain(lookup("doctor", "--offline"), 1, "no thread could be started")
