"""What is printed: harmless to a terminal, whole as JSON, no verdict changed by a reader that leaves; logs apart."""

# Expected stands before actual.

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.commands.support import Add, Cli, Feed, Rows, car, cars, command, envelope, finish

EVIL = "\x1b[31mEvil\x1b]0;title\x07 [bold red]Motors[/] \x9b2J\u202e\r\nline"


def harmless(text: str) -> bool:
    """Whether the text holds nothing that a terminal would obey."""
    return not any(
        (ord(sign) < 32 and sign != "\n") or 0x7F <= ord(sign) < 0xA0 or 0x202A <= ord(sign) <= 0x202E for sign in text
    )


# --- harmless on every screen ----------------------------------------------------------------------------------------


def test_vendor_text_cannot_steer_a_terminal(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """Names, errors, stock numbers and reasons with escapes and markup: on screen, in logs and in JSON only text."""
    number = str(add("Northside", "N"))
    with_escapes = EVIL.replace("'", "''")
    rows(f"UPDATE dealerships SET name = E'{with_escapes}' RETURNING 1")
    feed.answers["N"] = [car(EVIL, Price=1), car("B"), car("B", Price=3), car("C")]
    outputs = [cli("stock-sync", "--dry-run"), cli("stock-sync", "--dry-run", "--json"), cli("stock-sync")]
    feed.answers["N"] = [car(EVIL, Price=2, Colour=EVIL)]
    outputs += [cli("stock-sync", JOBSYNC_LOG_FORMAT="console")]
    feed.answers["N"] = []
    outputs += [cli("stock-sync", "--json")]
    feed.answers["N"] = envelope(7, message=EVIL)
    outputs += [cli("stock-sync", JOBSYNC_LOG_FORMAT="console"), cli("stock-sync", "--json")]
    run_id = outputs[-1].json["run_id"]
    looks = [
        ("dealership", "list"),
        ("dealership", "show", number),
        ("runs", "list"),
        ("runs", "show", run_id),
        ("holds", "list"),
        ("holds", "show", "1"),
        ("stock", "history", number),
        ("stock", "refused"),
    ]
    for arguments in looks:
        outputs += [cli(*arguments), cli(*arguments, "--json")]

    assert all(harmless(ran.out) and harmless(ran.err) for ran in outputs), [
        ran for ran in outputs if not harmless(ran.out + ran.err)
    ]
    assert "[bold red]Motors[/]" in "".join(ran.out for ran in outputs)
    assert EVIL == cli("dealership", "show", number, "--json").json["name"]


def test_markup_is_no_markup_on_a_terminal(cli: Cli, rows: Rows, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of a terminal shows square brackets as they are."""
    add("Northside", "N")
    rows("UPDATE dealerships SET name = '[red]North[/] [link=http://x]side[/link]' RETURNING 1")

    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setenv("COLUMNS", "300")
    cli("dealership", "list")

    assert "[red]North[/]" in out.getvalue()


def test_json_is_whole_on_a_terminal_without_utf8(environ: dict[str, str], add: Add) -> None:
    """ASCII only: nothing becomes a question mark in what programs read."""
    number = add("Müller & Söhne 東京 🚗", "N")
    environ |= {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}

    machine = finish(command(environ, "dealership", "show", str(number), "--json"))
    person = finish(command(environ, "dealership", "list"))

    assert "Müller & Söhne 東京 🚗" == machine.json["name"]
    assert (0, 0) == (machine.code, person.code)
    assert "M?ller" in person.out


def test_a_reader_that_leaves_early_is_no_error(environ: dict[str, str], rows: Rows) -> None:
    """`| head -1` on a long table: no traceback, exit 0."""
    rows("INSERT INTO dealerships (name) SELECT repeat('x', 200) FROM generate_series(1, 2000) RETURNING 1")
    for arguments in (["dealership", "list"], ["dealership", "list", "--json"]):
        process = command(environ, *arguments)
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None

        ran = finish(process)

        assert (0, "") == (ran.code, ran.err or "")


def test_a_reader_that_leaves_early_does_not_change_the_verdict(
    environ: dict[str, str], easycars_url: str, feed: Feed, add: Add, rows: Rows
) -> None:
    """Standard output and standard error both lead to somebody who has gone: the sync is done, the code is its own."""
    add("Good", "G")
    add("Bad", "B")
    feed.answers = {"G": cars("A"), "B": envelope(7, message="no")}
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(
        [sys.executable, "-m", "jobsync", "stock-sync"],
        env={**environ, "JOBSYNC_EASYCARS_URL": easycars_url},
        stdin=subprocess.DEVNULL,
        stdout=write,
        stderr=write,
    )
    os.close(write)

    code = process.wait(60)

    assert [("partial", 3)] == rows("SELECT status, exit_code FROM job_runs")
    assert [("failed",), ("success",)] == rows("SELECT status FROM job_items ORDER BY status")
    assert 3 == code


def test_logs_are_events_and_never_on_standard_output(cli: Cli, feed: Feed, add: Add) -> None:
    """Each line of standard error is a JSON object; the last one is the verdict."""
    add("Northside", "N")
    feed.answers["N"] = envelope(5, stock=[])

    ran = cli("stock-sync", "--json")

    events: list[dict[str, Any]] = [json.loads(line) for line in ran.err.splitlines()]
    assert ("run.finished", "partial", 3, ran.json["run_id"]) == tuple(
        events[-1][key] for key in ("event", "status", "exit_code", "run_id")
    )
    assert "1 dealership, 0 succeeded, 1 partial" in events[-1]["summary"]
