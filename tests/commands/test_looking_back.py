"""What can be asked afterwards: runs, items, locks, history, refused items; and that all of it is safe to look at."""

# Expected stands before actual.

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from jobsync.runner.lock import lock_key
from tests.commands.support import Add, Cli, Feed, Rows, car, cars, command, envelope, finish

EVIL = "\x1b[31mEvil\x1b]0;title\x07 [bold red]Motors[/] \x9b2J\u202e\r\nline"


def harmless(text: str) -> bool:
    """Whether the text holds nothing that a terminal would obey."""
    return not any(
        (ord(sign) < 32 and sign != "\n") or 0x7F <= ord(sign) < 0xA0 or 0x202A <= ord(sign) <= 0x202E for sign in text
    )


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_is_shown_with_its_items(cli: Cli, feed: Feed, add: Add) -> None:
    """By its id or the beginning of it, in any case; each item with attempt, counts and error."""
    good, bad = add("Good", "G"), add("Bad", "B")
    feed.answers = {"G": cars("A"), "B": envelope(7, message="no")}
    run_id = cli("stock-sync", "--json").json["run_id"]

    ran = cli("runs", "show", run_id[:8].upper(), "--json")

    assert (0, run_id, "partial", 3, "manual") == (
        ran.code,
        *(ran.json[key] for key in ("run_id", "status", "exit_code", "trigger")),
    )
    items = {int(item["item_key"]): item for item in ran.json["items"]}
    assert ("success", 1, 1) == (items[good]["status"], items[good]["attempt"], items[good]["counts"]["created"])
    assert "failed" == items[bad]["status"]
    assert "Code 7" in items[bad]["error"]
    assert "Code 7" in cli("runs", "show", run_id).out
    assert "label" in cli("runs", "show", run_id).out


def test_a_key_that_is_its_own_label_is_printed_once(cli: Cli, rows: Rows) -> None:
    """Documents have no other name than their access key."""
    key = "1" * 49
    [(run_id,)] = rows(
        "INSERT INTO job_runs (id, job, trigger, host, pid, version)"
        " VALUES (gen_random_uuid(), 'generate-ride', 'timer', 'h', 1, '0') RETURNING id::text"
    )
    rows(
        f"INSERT INTO job_items (run_id, item_key, label, attempt) VALUES ('{run_id}', '{key}', '{key}', 1) RETURNING 1"
    )
    ran = cli("runs", "show", run_id)

    assert (1, False) == (ran.out.count(key), "label" in ran.out)
    assert key == cli("runs", "show", run_id, "--json").json["items"][0]["label"]


def test_a_run_is_found_by_its_beginning_only(cli: Cli, feed: Feed) -> None:
    """With one run in the table, what is no beginning of its id finds nothing."""
    cli("stock-sync")
    for name in ("", " ", "%", "_", "\\", "zz", "' OR 1=1 --"):
        ran = cli("runs", "show", "--json", "--", name)

        assert 2 == ran.code


def test_an_ambiguous_beginning_is_refused(cli: Cli, rows: Rows) -> None:
    """Two runs begin alike."""
    for digit in "01":
        rows(
            "INSERT INTO job_runs (id, job, trigger, host, pid, version, status)"
            f" VALUES ('abcdef0{digit}-0000-0000-0000-000000000000', 'x', 'cron', 'h', 1, '0', 'failed') RETURNING 1"
        )

    ran = cli("runs", "show", "abcdef", "--json")

    assert 2 == ran.code
    assert "more than one" in ran.json["error"]


def test_runs_are_listed_newest_first_by_job(cli: Cli, feed: Feed) -> None:
    """The limit and the job are heeded."""
    ids = [cli("stock-sync", "--json").json["run_id"] for _ in range(3)]

    assert ids[::-1] == [row["run_id"] for row in cli("runs", "list", "--json").json]
    assert ids[:0:-1] == [row["run_id"] for row in cli("runs", "list", "--limit", "2", "--json").json]
    assert [] == cli("runs", "list", "--job", "generate-ride", "--json").json


def test_a_row_that_says_running_is_believed_only_with_its_lock(cli: Cli, rows: Rows) -> None:
    """Two open rows: the one whose lock is held runs, the other is shown as crashed; neither is written."""
    dead, alive = (f"{digit * 8}-0000-0000-0000-000000000000" for digit in "12")
    for run in (dead, alive):
        rows(
            "INSERT INTO job_runs (id, job, trigger, host, pid, version)"
            f" VALUES ('{run}', 'stock-sync', 'timer', 'h', 1, '0') RETURNING 1"
        )
    rows(f"INSERT INTO job_items (run_id, item_key, label, attempt) VALUES ('{dead}', '1', 'Northside', 1) RETURNING 1")
    rows(f"SELECT pg_advisory_lock({lock_key(f'run:{alive}')})")

    shown = {row["run_id"]: row for row in cli("runs", "list", "--json").json}

    assert {dead: "crashed", alive: "running"} == {run: row["status"] for run, row in shown.items()}
    assert "died" in shown[dead]["error"]
    assert ["crashed"] == [item["status"] for item in cli("runs", "show", dead, "--json").json["items"]]
    assert [("running",), ("running",)] == rows("SELECT status FROM job_runs")


# --- stock -----------------------------------------------------------------------------------------------------------


def test_the_history_of_a_vehicle(cli: Cli, feed: Feed, add: Add) -> None:
    """Newest first, decimals in plain form, one stock number only where asked."""
    number = str(add("Northside", "N"))
    feed.answers["N"] = [car("A", Price=20000), car("A_", Price=1), car("AB", Price=1)]
    cli("stock-sync")
    feed.answers["N"] = [car("A", Price="19990.50"), car("A_", Price=2), car("AB", Price=2)]
    cli("stock-sync")
    feed.answers["N"] = [car("A_", Price=2), car("AB", Price=2)]
    cli("stock-sync")

    everything = cli("stock", "history", number, "--json").json
    one = cli("stock", "history", number, "--stock-number", "A", "--json").json
    underscore = cli("stock", "history", number, "--stock-number", "A_", "--json").json

    assert 4 == len(everything)
    assert [("status", "active", "removed"), ("price", "20000", "19990.50")] == [
        (row["field"], row["old"], row["new"]) for row in one
    ]
    assert ["A_"] == [row["stock_number"] for row in underscore]
    assert 1 == len(cli("stock", "history", number, "--limit", "1", "--json").json)
    assert "19990.50" in cli("stock", "history", number).out


def test_refused_items_are_shown_with_reason_and_text(cli: Cli, feed: Feed, add: Add) -> None:
    """All dealerships, or one."""
    north, south = add("Northside", "N"), add("Southside", "S")
    feed.answers = {"N": [7], "S": [car(None, Make="Lada")]}
    cli("stock-sync")

    everything = cli("stock", "refused", "--json").json
    [row] = cli("stock", "refused", str(south), "--json").json

    assert {north, south} == {row["dealership_id"] for row in everything}
    assert ("no_stock_number", 1, None) == (row["reason_code"], row["position"], row["stock_number"])
    assert "Lada" in row["raw"]


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
