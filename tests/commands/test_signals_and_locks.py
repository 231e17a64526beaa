"""Processes that end, collide or lose what they stand on: nothing is lost or half-written, and it can be read why."""

# Expected stands before actual.

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobsync.db import embedded, migrate
from jobsync.db.engine import Database
from jobsync.easycars import registry
from jobsync.easycars.credentials import Cipher, parse_credentials
from jobsync.runner.lock import lock_key
from tests.commands.support import CREDENTIALS, Add, Cli, Feed, Rows, car, cars, command, finish, until
from tests.conftest import TEST_KEY

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(environ: dict[str, str], easycars_url: str, feed: Feed) -> Iterator[Start]:
    """Start commands as processes; whatever still runs at the end is killed."""
    environ["JOBSYNC_EASYCARS_URL"] = easycars_url
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        started.append(command(environ, *arguments))
        return started[-1]

    yield start
    feed.gate.set()
    for process in started:
        if process.poll() is None:
            process.kill()
        with suppress(ValueError):
            process.communicate()


@pytest.fixture
def held_run(start: Start, feed: Feed, add: Add) -> Callable[..., subprocess.Popen[str]]:
    """Start a sync of dealership 1 (Northside) and return once its request hangs at the vendor."""

    def held_run(*arguments: str) -> subprocess.Popen[str]:
        feed.gate.clear()
        feed.arrived.clear()
        process = start("stock-sync", "--json", *arguments)
        assert feed.arrived.wait(20)
        return process

    return held_run


@pytest.fixture
def north(add: Add, feed: Feed) -> int:
    """Dealership 1, with two vehicles in its feed."""
    feed.answers["N"] = cars("A", "B")
    return add("Northside", "N")


@pytest.fixture
def south(north: int, add: Add, feed: Feed) -> int:
    """Dealership 2, with one vehicle in its feed."""
    feed.answers["S"] = cars("X")
    return add("Southside", "S")


def open_gate(feed: Feed) -> threading.Event:
    """Let new requests through while those that hang already go on hanging; returns the gate that holds them."""
    held, feed.gate = feed.gate, threading.Event()
    feed.gate.set()
    return held


def last_run(rows: Rows) -> tuple[Any, ...]:
    """Return status and exit code of the latest run."""
    return rows("SELECT status, exit_code FROM job_runs ORDER BY started_at DESC LIMIT 1")[0]


def events(err: str) -> list[dict[str, Any]]:
    """Return the log's events."""
    return [json.loads(line) for line in err.splitlines() if line.startswith("{")]


# --- ended from outside ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_stopped_run_finishes_the_dealership_it_is_at(
    number: signal.Signals, code: int, held_run: Start, north: int, south: int, feed: Feed, rows: Rows
) -> None:
    """The current dealership is whole, the next is not begun and stays due; cancelled, exit 0 or, after Ctrl-C, 130."""
    process = held_run()
    process.send_signal(number)
    until(lambda: process.poll() is not None or "run.stopping" in _peek(process))
    feed.gate.set()

    ran = finish(process)

    assert (code, "cancelled", 1) == (ran.code, ran.json["status"], ran.json["counts"]["remaining"])
    assert [("A",), ("B",)] == rows("SELECT stock_number FROM vehicles ORDER BY 1")
    assert [("Northside", "success")] == rows("SELECT label, status FROM job_items")
    assert ("cancelled", code) == last_run(rows)
    assert ["N"] == feed.asked


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_stop_before_the_run_begins_is_a_clean_end(
    number: signal.Signals, code: int, start: Start, north: int, rows: Rows, connection: psycopg.Connection[Any]
) -> None:
    """While it still asks what there is to do: nothing is begun, no row is opened, one document is written."""
    with connection.transaction():
        connection.execute("LOCK TABLE system_settings IN ACCESS EXCLUSIVE MODE")
        process = start("stock-sync", "--json")
        until(lambda: rows("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'system_settings'::regclass"))
        process.send_signal(number)
        time.sleep(0.1)  # the signal is there before the answer

    ran = finish(process)

    assert (code, code) == (ran.code, ran.json["exit_code"])
    assert "Traceback" not in ran.err
    assert [] == rows("SELECT 1 FROM job_runs")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_stop_at_any_moment_of_a_start_is_a_clean_end(
    number: signal.Signals, code: int, start: Start, north: int
) -> None:
    """From the first line of the program on, whatever is being imported just then."""
    for waited_s in (0, 0.05, 0.1, 0.2, 0.3):
        process = start("stock-sync", "--json")
        until(lambda: _listens(process))  # noqa: B023 - asked at once
        time.sleep(waited_s)
        process.send_signal(number)
        ran = finish(process)

        assert ran.code in (code, 0), waited_s
        assert "Traceback" not in ran.err


def _listens(process: subprocess.Popen[str]) -> bool:
    """Whether the process has a handler for SIGTERM, which the interpreter by itself has not."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    [mask] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


def _peek(process: subprocess.Popen[str]) -> str:
    """Return the next line of a process's standard error; it is read before the rest."""
    assert process.stderr is not None
    return process.stderr.readline()


def test_a_killed_run_leaves_nothing_half_written_and_is_shown_as_crashed_at_once(
    held_run: Start, north: int, feed: Feed, rows: Rows, cli: Cli
) -> None:
    """kill -9 in the middle of a dealership: no vehicle, the item says so; the next run finds it and does the work."""
    process = held_run()
    [(run_id,)] = rows("SELECT id FROM job_runs")
    assert ["running"] == [row["status"] for row in cli("runs", "list", "--json").json]
    process.kill()
    process.wait()

    until(lambda: cli("runs", "list", "--json").json[0]["status"] == "crashed")
    shown = cli("runs", "show", str(run_id), "--json").json

    assert ("crashed", "crashed") == (shown["status"], shown["items"][0]["status"])
    assert [("running", None)] == rows("SELECT status, exit_code FROM job_runs")
    assert [] == rows("SELECT 1 FROM vehicles")
    assert [] == cli("locks", "--json").json
    feed.gate.set()
    assert 0 == cli("stock-sync").code
    assert [("crashed",), ("succeeded",)] == rows("SELECT status FROM job_runs ORDER BY started_at")
    assert [("crashed",), ("success",)] == rows("SELECT status FROM job_items ORDER BY id")
    assert [("Failed",), ("Success",)] == rows("SELECT status FROM easycar_sync_logs ORDER BY id")
    assert [(2,)] == rows("SELECT count(*) FROM vehicles")


def test_a_feed_that_kills_the_process_does_not_starve_the_others(
    start: Start, north: int, south: int, feed: Feed, rows: Rows
) -> None:
    """Whichever run meets the killer dies there; the others have their turn before it from the second run on."""
    pids: list[int] = []

    def kill() -> bytes:
        os.kill(pids[-1], signal.SIGKILL)
        raise ConnectionError("the asker is dead")

    feed.answers["N"] = kill
    codes = []
    for _ in range(3):
        process = start("stock-sync", "--json")
        pids.append(process.pid)
        codes.append(finish(process).code)

    assert [-signal.SIGKILL] * 3 == codes
    assert ["N", "S", "N", "S", "N"] == feed.asked
    assert [("X",)] == rows("SELECT stock_number FROM vehicles")
    assert [("Northside", 3), ("Southside", 1)] == rows(
        "SELECT label, max(attempt) FROM job_items GROUP BY label ORDER BY label"
    )
    feed.answers["N"] = cars("A")
    assert 0 == finish(start("stock-sync")).code


# --- collisions ------------------------------------------------------------------------------------------------------


def test_of_two_starts_at_the_same_instant_one_works(
    start: Start, north: int, south: int, feed: Feed, rows: Rows
) -> None:
    """One run row, each dealership asked once; the other ends with 75 and names the holder."""
    feed.gate.clear()
    processes = [start("stock-sync", "--json") for _ in range(2)]
    until(lambda: any(process.poll() is not None for process in processes))
    feed.gate.set()

    first, second = sorted((finish(process) for process in processes), key=lambda ran: ran.code)

    assert (0, 75) == (first.code, second.code)
    assert ("skipped", None, []) == tuple(second.json[key] for key in ("status", "run_id", "items"))
    assert first.json["run_id"] in second.json["error"]
    assert [("succeeded",)] == rows("SELECT status FROM job_runs")
    assert ["N", "S"] == feed.asked


def test_a_whole_run_passes_by_a_dealership_somebody_works_on(
    held_run: Start, north: int, south: int, feed: Feed, rows: Rows, cli: Cli
) -> None:
    """Its item is skipped as locked, with the holder; the rest is done, and that costs nothing."""
    hand = held_run("--dealership", str(north))
    locks = cli("locks", "--json").json
    held = open_gate(feed)

    whole = cli("stock-sync", "--json")

    assert (0, None) == (whole.code, hand.poll())
    held.set()
    assert 0 == finish(hand).code
    assert [f"stock-sync:dealership:{north}"] == [row["name"] for row in locks]
    items = {item["name"]: item for item in whole.json["items"]}
    assert ("skipped", "locked") == (items["Northside"]["status"], items["Northside"]["reason"])
    assert str(locks[0]["run_id"]) in items["Northside"]["error"]
    assert "success" == items["Southside"]["status"]


def test_a_hand_run_of_a_dealership_that_a_whole_run_works_on_is_refused(
    held_run: Start, north: int, south: int, feed: Feed, rows: Rows, cli: Cli
) -> None:
    """75, it names the holder, opens no row; `locks` shows both locks meanwhile; --dealership of another one works."""
    whole = held_run()
    held = open_gate(feed)

    hand = cli("stock-sync", "--dealership", str(north), "--json")
    other = cli("stock-sync", "--dealership", str(south), "--json")
    both = cli("stock-sync", "--dealership", str(north), "--dealership", str(south), "--json")
    locks = cli("locks", "--json").json
    again = cli("stock-sync", "--json")
    held.set()
    ran = finish(whole)

    assert (75, "skipped", None) == (hand.code, hand.json["status"], hand.json["run_id"])
    assert ran.json["run_id"] in hand.json["error"]
    assert f"pid {whole.pid}" in hand.json["error"]
    assert 0 == other.code
    assert (3, {"Northside": "skipped", "Southside": "success"}) == (
        both.code,
        {item["name"]: item["status"] for item in both.json["items"]},
    )
    assert 75 == again.code
    assert ["stock-sync", f"stock-sync:dealership:{north}"] == [row["name"] for row in locks]
    assert {ran.json["run_id"]} == {row["run_id"] for row in locks}
    assert 0 == ran.code
    assert [("succeeded",), ("succeeded",), ("partial",)] == rows("SELECT status FROM job_runs ORDER BY started_at")


def test_wait_waits_for_the_lock(held_run: Start, start: Start, north: int, feed: Feed, rows: Rows) -> None:
    """--wait: the second run begins when the first has ended."""
    first = held_run()
    second = start("stock-sync", "--json", "--wait", "30")
    sessions = "SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE application_name LIKE 'jobsync:st%'"
    until(lambda: rows(sessions) == [(2,)])
    assert second.poll() is None
    feed.gate.set()

    assert [0, 0] == [finish(first).code, finish(second).code]
    assert [("succeeded",), ("succeeded",)] == rows("SELECT status FROM job_runs")


def test_a_hand_run_that_waits_in_vain_gives_up(held_run: Start, north: int, feed: Feed, cli: Cli) -> None:
    """--wait 0.3 on a lock that stays taken: 75."""
    held_run()

    assert 75 == cli("stock-sync", "--wait", "0.3").code


# --- the fence -------------------------------------------------------------------------------------------------------


def test_an_old_writer_is_waited_for_and_named(north: int, feed: Feed, rows: Rows, cli: Cli, database_url: str) -> None:
    """The lock is free but a transaction of its last holder is open: 75, nothing written, then free again."""
    assert 0 == cli("stock-sync").code
    [(run_id,)] = rows("SELECT id FROM job_runs")
    feed.answers["N"] = cars("A")
    with psycopg.connect(database_url) as old:
        old.execute("SELECT 1 FROM run_locks WHERE name = 'stock-sync' FOR SHARE")

        ran = cli("stock-sync", "--json")

    assert (75, None) == (ran.code, ran.json["run_id"])
    assert str(run_id) in ran.json["error"]
    assert "still writing" in ran.json["error"]
    assert [(1,)] == rows("SELECT count(*) FROM job_runs")
    assert 0 == cli("stock-sync").code


@pytest.mark.parametrize("name", ["stock-sync", "stock-sync:dealership:1"])
def test_a_stale_writer_writes_nothing(
    name: str, held_run: Start, north: int, south: int, feed: Feed, rows: Rows
) -> None:
    """Somebody has raised the fence meanwhile, of the job or of the dealership: lock_lost, exit 70, no vehicle."""
    process = held_run()
    rows(f"UPDATE run_locks SET fence = fence + 1 WHERE name = '{name}' RETURNING 1")
    feed.gate.set()

    ran = finish(process)

    assert (70, "lock_lost") == (ran.code, ran.json["status"])
    assert name in ran.json["error"]
    assert ("lock_lost", 70) == last_run(rows)
    assert [] == rows("SELECT 1 FROM vehicles")
    [(status, [why])] = rows("SELECT status, error_messages FROM easycar_sync_logs")
    assert ("Failed", True) == (status, "lock_lost" in why and name in why)
    assert ["N"] == feed.asked


def test_a_lost_lock_connection_ends_the_run_before_any_write(
    held_run: Start, north: int, south: int, feed: Feed, rows: Rows
) -> None:
    """The server ends only the lock's backend: nothing is written after it, exit 70, the reason in the row."""
    process = held_run()
    holder = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = {lock_key('stock-sync') & 0xFFFFFFFF}"
    assert [(True,)] == rows(f"SELECT pg_terminate_backend(pid) FROM ({holder}) l")
    until(lambda: not rows(holder))
    feed.gate.set()

    ran = finish(process)

    assert (70, "lock_lost") == (ran.code, ran.json["status"])
    assert "lock connection is gone" in ran.json["error"]
    assert ("lock_lost", 70) == last_run(rows)
    assert [] == rows("SELECT 1 FROM vehicles")
    assert ["N"] == feed.asked
    [item] = rows("SELECT status, error FROM job_items")
    assert ("failed", "unfinished when the run ended as lock_lost") == item
    [(dealership, status, [why])] = rows("SELECT dealership_id, status, error_messages FROM easycar_sync_logs")
    assert (north, "Failed", True) == (dealership, status, "lock connection is gone" in why)
    assert "lock_lost" in [event.get("status") for event in events(ran.err)]


def test_ending_every_connection_under_a_run_loses_nothing(
    held_run: Start, north: int, south: int, feed: Feed, rows: Rows, cli: Cli
) -> None:
    """All backends of the run are terminated: 70, the row is closed all the same, the next run does the work."""
    process = held_run()
    rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'jobsync:%'")
    feed.gate.set()

    ran = finish(process)

    assert (70, "lock_lost") == (ran.code, ran.json["status"])
    assert ("lock_lost", 70) == last_run(rows)
    assert [] == rows("SELECT 1 FROM vehicles")
    assert "Traceback" not in ran.err
    assert 0 == cli("stock-sync").code
    assert [(3,)] == rows("SELECT count(*) FROM vehicles")
    logged = rows("SELECT dealership_id, status FROM easycar_sync_logs ORDER BY dealership_id, status")
    assert [(north, "Failed"), (north, "Success"), (south, "Success")] == logged


# --- the server itself goes ------------------------------------------------------------------------------------------


@pytest.fixture
def own_server(tmp_path: Path, feed: Feed, easycars_url: str, environ: dict[str, str]) -> Iterator[Path]:
    """A server of the test's own, with dealership 1, whose folder is returned; commands use it."""
    folder = tmp_path / "own"
    with embedded.acquire(folder) as lease:
        database = Database(lease.url)
        migrate.upgrade(database.engine())
        with database.engine().begin() as connection:
            number = registry.add_dealership(connection, "Northside", timezone=None, email=None)["id"]
            document = {**CREDENTIALS, "account_number": "N"}
            cipher = Cipher(base64.b64decode(TEST_KEY))
            registry.set_credentials(connection, number, parse_credentials(document), cipher)
        database.close()
        environ |= {"JOBSYNC_DATABASE_URL": lease.url, "JOBSYNC_EASYCARS_URL": easycars_url}
        feed.answers["N"] = cars("A")
        yield folder


def _stop_server(folder: Path, number: signal.Signals, url: str) -> None:
    postmaster = int(next(folder.rglob("postmaster.pid")).read_text().splitlines()[0])
    os.kill(postmaster, number)
    until(lambda: not _answers(url))


def test_a_server_that_is_restarted_under_a_run(
    own_server: Path, held_run: Start, feed: Feed, environ: dict[str, str]
) -> None:
    """Lock lost, exit 70, nothing written; the verdict still reaches the row; the next run does it all."""
    process = held_run()
    _stop_server(own_server, signal.SIGINT, environ["JOBSYNC_DATABASE_URL"])
    with embedded.acquire(own_server) as lease:
        assert environ["JOBSYNC_DATABASE_URL"] == lease.url
        feed.gate.set()

        ran = finish(process)

        assert (70, "lock_lost") == (ran.code, ran.json["status"])
        assert "Traceback" not in ran.err
        [row] = finish(command(environ, "runs", "list", "--json")).json
        assert ("lock_lost", 70) == (row["status"], row["exit_code"])
        again = finish(command(environ, "stock-sync", "--json"))
        assert (0, 1) == (again.code, again.json["items"][0]["created"])


def test_a_server_that_is_killed_under_a_run_and_stays_away(
    own_server: Path, feed: Feed, environ: dict[str, str]
) -> None:
    """The run says on screen what it could not record; once the server is back, it is shown as crashed."""
    patience = "import sys, jobsync.runner.record as record; record.CLOSE_FOR_S = 1.0"
    run = f"{patience}; from jobsync.cli.main import run; sys.exit(run(['stock-sync', '--json']))"
    feed.gate.clear()
    process = subprocess.Popen(
        [sys.executable, "-c", run], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert feed.arrived.wait(20)
    _stop_server(own_server, signal.SIGKILL, environ["JOBSYNC_DATABASE_URL"])
    feed.gate.set()

    ran = finish(process)

    assert (70, "lock_lost") == (ran.code, ran.json["status"])
    assert "Traceback" not in ran.err
    assert "run.verdict_not_recorded" in [event["event"] for event in events(ran.err)]
    with embedded.acquire(own_server):
        shown = finish(command(environ, "runs", "list", "--json"))
        again = finish(command(environ, "stock-sync", "--json"))
    assert ["crashed"] == [row["status"] for row in shown.json]
    # The backends of a killed server live on for a moment: what the run said it wrote is there, what it said it did not
    # write is not; only of a commit whose answer was lost it could say neither.
    said = {(item["status"], item.get("reason")) for item in ran.json["items"]}
    [item] = again.json["items"]
    written = {(1, 0): False, (0, 1): True}[item["created"], item["unchanged"]]
    assert again.code == 0
    assert written == (("success", None) in said) or ("failed", "database") in said, ran.out


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_price_is_whole_or_not_there(held_run: Start, north: int, feed: Feed, rows: Rows, cli: Cli) -> None:
    """A run killed while its transaction is open, waiting at a row: after that every value is the old one."""
    assert 0 == cli("stock-sync").code
    feed.answers["N"] = [car("A", Price=1), car("B", Price=1), car("C")]
    process = held_run()
    with psycopg.connect(cli.environ["JOBSYNC_DATABASE_URL"]) as blocker:
        blocker.execute("SELECT 1 FROM vehicles WHERE stock_number = 'B' FOR UPDATE")
        feed.gate.set()
        until(lambda: rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
        process.kill()
        process.wait()
    until(lambda: not cli("locks", "--json").json)

    assert [("A", 20000), ("B", 20000)] == rows("SELECT stock_number, price FROM vehicles ORDER BY 1")
    assert 0 == cli("stock-sync").code
    assert [("A", 1), ("B", 1), ("C", 20000)] == rows("SELECT stock_number, price FROM vehicles ORDER BY 1")
