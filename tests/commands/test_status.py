"""jobsync status: the screen, `--watch`, colours and line breaks, and what stands on it."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from jobsync.logs import visible
from jobsync.watch.views.screen import fold
from tests.commands.support import Add, Cli, Rows
from tests.watch.support import (
    HOSTILE,
    add_dealership,
    add_run,
)

Connection = psycopg.Connection[Any]


def test_watch_shows_again_and_ends_on_interrupt(environ: dict[str, str], hostile: int) -> None:
    """Ctrl-C is how it ends: exit 0."""
    process = subprocess.Popen(
        [sys.executable, "-m", "jobsync", "status", "--watch", "--every", "0.5"],
        env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    screens = 0
    while screens < 2:
        line = process.stdout.readline()
        assert line, process.communicate()
        screens += line.startswith("stock-sync            ")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert (0, "") == (process.returncode, err)


@pytest.mark.parametrize("rows", [4, 12, 200])
def test_watch_counts_what_does_not_fit(
    cli: Cli, connection: Connection, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """No line goes missing in silence; on a screen that holds all there is nothing to say."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    add_dealership(connection)
    whole = len(cli("status").out.splitlines())
    screen = Terminal()
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("LINES", str(rows))
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr("jobsync.wiring.Tools.wait", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    cli("status", "--watch")
    shown = re.sub(r"\x1b\[[0-9;]*[mHJ]", "", screen.getvalue()).rstrip("\n").split("\n")
    told = re.findall(r"\.\.\. (\d+) more lines; enlarge the terminal or run jobsync status", shown[-1])

    if rows == 200:
        assert (whole, []) == (len(shown), told)
    else:
        assert ([str(whole - len(shown) + 1)], True) == (told, len(shown) <= max(4, rows - 1))


def test_success_of_named_dealerships_is_not_that_of_the_job(cli: Cli, connection: Connection) -> None:
    """The last run may have succeeded, and a whole one never."""
    add_dealership(connection)
    add_run(connection, trigger="manual", began=datetime.now(UTC) - timedelta(minutes=5))
    connection.execute("INSERT INTO jobs (name) VALUES ('stock-sync')")

    assert "last run by hand succeeded, 5 min ago, 30 s; success of a whole run never" in cli("status").out


def on_a_terminal(environ: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Return the exit code of a command, and what it sent to a pseudo terminal."""
    import pty

    reader, writer = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "jobsync", *arguments], env=environ, stdout=writer, stderr=writer)
    os.close(writer)
    parts = []
    while True:
        try:
            part = os.read(reader, 4096)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(reader)
    return process.wait(20), b"".join(parts).decode().replace("\r", "")


def test_a_terminal_gets_colours_and_no_markup(environ: dict[str, str], hostile: int) -> None:
    """Through a pseudo terminal: our own colours only; [red] in a name is text."""
    code, out = on_a_terminal({**environ, "COLUMNS": "200"}, "status")

    assert 0 == code
    assert "\x1b[1;31m" in out
    assert visible(HOSTILE) in out


def test_no_color_is_heeded(environ: dict[str, str], hostile: int) -> None:
    """Bold and dim stay, as https://no-color.org has it."""
    _, out = on_a_terminal({**environ, "NO_COLOR": "1"}, "status")

    assert re.search(r"\x1b\[1m", out)
    assert not re.search(r"\x1b\[[\d;]*3\dm", out)


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_a_line_is_broken_where_it_may_be(columns: int) -> None:
    """Prose between words, below its beginning; advice between its commands, each of which can be copied."""
    name, advice = "  why    " + "word " * 40, "         do     jobsync runs show 1a; " + "jobsync invoice show 1 " * 3
    prose = list(fold(("", name.rstrip()), columns))

    assert all(len(text) <= columns and text.startswith("  ") for _, text in prose)
    assert name.split() == " ".join(text for _, text in prose).split()
    parts = ["         do     jobsync runs show 1a", " " * 16 + "jobsync invoice show 1 " * 3]
    assert (parts if columns < len(advice) else [advice]) == [text for _, text in fold(("bold", advice), columns)]


def test_what_needs_attention_and_is_no_job_stands_on_the_screen(cli: Cli, add: Add, rows: Rows) -> None:
    """`1 needs attention` is followed by what and what to do, whatever it is; doctor agrees."""
    add("Northside", "N")
    rows("UPDATE system_settings SET value = '0 26 * * *' WHERE key = 'easycar_sync_cron' RETURNING 1")

    screen = cli("status").out

    assert "1 needs attention" in screen
    assert "settings     the setting easycar_sync_cron cannot be read: '0 26 * * *' cannot be used (Bad hour)" in screen
    assert "its default: jobsync settings set easycar_sync_cron '0 2 * * *'" in screen
    doctor = cli("doctor", "--offline")
    assert 3 == doctor.code
    assert "PROBLEM  settings: the setting easycar_sync_cron cannot be read" in doctor.out


def test_a_cron_of_one_dealership_that_cannot_be_read_stands_on_every_screen(cli: Cli, add: Add, rows: Rows) -> None:
    """Once on the screen: in its own line."""
    number = add("Northside", "N")
    rows(
        "INSERT INTO dealership_settings (dealership_id, sync_cron) VALUES (1, 'often') ON CONFLICT (dealership_id)"
        " DO UPDATE SET sync_cron = 'often' RETURNING 1"
    )

    screen = cli("status").out

    assert 1 == screen.count("'often'")
    assert f"do     jobsync dealership schedule {number} '0 2 * * *' (or --default)" in screen
    assert 3 == cli("health").code
    assert 3 == cli("doctor", "--offline").code


@pytest.mark.parametrize(
    "arguments", [("settings", "set", "easycar_sync_cron", "0 3 31 2 *"), ("dealership", "schedule", "1", "0 3 31 2 *")]
)
def test_a_cron_that_never_comes_is_refused_for_that(cli: Cli, add: Add, arguments: tuple[str, ...]) -> None:
    """It has five fields; February has no 31st."""
    add("Northside", "N")
    ran = cli(*arguments)

    assert 2 == ran.code
    assert "'0 3 31 2 *' cannot be used (it never comes)" in ran.err
