"""What a hostile service, host application or shell once broke."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from jobsync.logs import visible
from jobsync.masking import register_secret
from tests.commands.support import Cli, Feed, until

Rows = Callable[[str], list[Any]]
Connection = psycopg.Connection[tuple[object, ...]]


def car(number: str, **keys: Any) -> dict[str, Any]:
    """One item."""
    return {"StockNumber": number, "Make": "MAZDA", "StockStatus": "In Stock", **keys}


@pytest.mark.parametrize("form", ["Pa$$w0rd+/= long", "Pa%24%24w0rd%2B%2F%3D+long", "Pa%24%24w0rd%2B%2F%3D%20long"])
def test_a_secret_is_masked_in_the_form_it_travels_in(form: str) -> None:
    """A vendor that quotes our own request back does not make us print the secret."""
    register_secret("Pa$$w0rd+/= long")

    assert "Pa" not in visible(f"bad request ?ClientSecret={form}&x")


@pytest.mark.parametrize("redirect", ["2>&-", ">&-", ">&- 2>&-", "> /dev/full"])
def test_closed_streams_change_neither_the_work_nor_its_exit_code(
    redirect: str, environ: dict[str, str], easycars_url: str, add: Callable[..., int], feed: Feed, rows: Rows
) -> None:
    """A crontab that closes standard streams gets the same sync and the same exit code."""
    add("A", "A")
    feed.answers["A"] = [car("1")]
    ran = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -m jobsync stock-sync {redirect}'],
        env={**environ, "JOBSYNC_EASYCARS_URL": easycars_url},
        timeout=60,
    )

    assert (0, [("succeeded", 0)]) == (ran.returncode, rows("SELECT status, exit_code FROM job_runs"))


@pytest.mark.parametrize("instant", ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC"])
def test_an_instant_beyond_python_breaks_no_listing(
    instant: str, cli: Cli, add: Callable[..., int], feed: Feed, connection: Connection
) -> None:
    """One strange row stops neither the listings nor the scheduled runs of the others."""
    number = add("A", "A")
    feed.answers["A"] = [car("1")]
    cli("stock-sync", "--scheduled")
    connection.execute(
        "INSERT INTO dealership_settings (dealership_id, paused_until) VALUES (%s, %s::timestamptz)", [number, instant]
    )
    connection.execute("UPDATE sync_schedule SET retry_at = %s::timestamptz, next_at = 'infinity'", [instant])

    assert [0, 0, 0] == [
        cli(*words).code for words in (["dealership", "list"], ["schedule", "show"], ["stock-sync", "--scheduled"])
    ]


def test_a_zero_beyond_numeric_costs_only_its_item(cli: Cli, add: Callable[..., int], feed: Feed) -> None:
    """A price that no column can hold is one refused or unknown value, never the dealership's night."""
    add("A", "A")
    feed.answers["A"] = [car("1", Price="0e-999999999"), car("2", Price=5)]
    [item] = cli("stock-sync", "--json").json["items"]

    assert 2 == item["created"] + item["refused"]


def test_a_number_like_a_retired_one_clashes_with_nothing(cli: Cli, add: Callable[..., int], feed: Feed) -> None:
    """A feed may use the very form that retired numbers have."""
    add("A", "A")
    others = [car(str(n)) for n in range(100, 120)]
    feed.answers["A"] = [car("7", VIN="6T1A00000X0000001"), *others]
    cli("stock-sync")
    feed.answers["A"] = [car("7~1"), *others]
    cli("stock-sync")
    feed.answers["A"] = [car("7", VIN="6T1A00000X0000002"), car("7~1"), *others]
    [item] = cli("stock-sync", "--json").json["items"]

    assert ("success", 1, 21) == (item["status"], item["created"], item["unchanged"])


def test_a_number_like_a_retired_one_is_no_old_vehicle(
    cli: Cli, add: Callable[..., int], feed: Feed, connection: Connection
) -> None:
    """An item that has the number which a retired vehicle was given is a vehicle of its own."""
    add("A", "A")
    others = [car(str(n)) for n in range(100, 120)]
    items: list[dict[str, object]] = []
    for vehicles in ([car("7", VIN="6T1A00000X0000001")], [], [car("7", VIN="6T1A00000X0000002")], [car("7~1")]):
        feed.answers["A"] = [*vehicles, *others]
        items = cli("stock-sync", "--json").json["items"]
    [item] = items

    assert ("success", 1) == (item["status"], item["created"])
    assert [("7~1 ~1 ",), ("7",), ("7~1",)] == connection.execute(
        "SELECT stock_number FROM vehicles WHERE stock_number LIKE '7%' ORDER BY id"
    ).fetchall()


def test_a_dealership_deleted_under_its_sync_is_said_plainly(
    cli: Cli, add: Callable[..., int], feed: Feed, connection: Connection
) -> None:
    """The host application may delete a dealership while its feed is on the way."""
    number = add("A", "A")

    def delete() -> bytes:
        connection.execute("DELETE FROM dealerships WHERE id = %s", [number])
        return json.dumps({"StockList": [car("1")], "Code": 0}).encode()

    feed.answers["A"] = delete
    ran = cli("stock-sync", "--json")

    assert (1, "deleted") == (ran.code, ran.json["items"][0]["reason"])
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("words", ["runs list", "stock-sync", "stock-sync --scheduled", "db upgrade", "db status"])
def test_a_role_without_rights_gets_a_sentence(words: str, cli: Cli, connection: Connection) -> None:
    """Missing rights are a matter of configuration, with the server's own words and no traceback."""
    connection.execute("DO $$ BEGIN CREATE ROLE weak LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    ran = cli(*words.split(), JOBSYNC_DATABASE_URL=cli.environ["JOBSYNC_DATABASE_URL"].replace("jobsync@", "weak@", 1))

    assert 78 == ran.code
    assert "permission denied" in ran.err
    assert "Traceback" not in ran.err


def test_no_commit_follows_the_loss_of_the_lock(
    cli: Cli, add: Callable[..., int], feed: Feed, connection: Connection, rows: Rows, database_url: str
) -> None:
    """A lock connection that goes while the transaction is already writing takes the transaction with it."""
    number = add("A", "A")
    feed.answers["A"] = [car("1", Price=1)]
    cli("stock-sync")
    feed.answers["A"] = [car("1", Price=2)]

    host = psycopg.connect(database_url)
    host.execute("SELECT 1 FROM vehicles FOR UPDATE")
    advisory = (
        "FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )

    def cut_while_it_waits() -> None:
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        until(lambda: rows(waits))
        rows(f"SELECT pg_terminate_backend(pid) {advisory}")
        until(lambda: not rows(f"SELECT 1 {advisory}"))
        host.close()

    cutter = threading.Thread(target=cut_while_it_waits)
    cutter.start()
    ran = cli("stock-sync", "--dealership", str(number), "--json")
    cutter.join()

    assert (70, "lock_lost") == (ran.code, ran.json["status"])
    assert [(1,)] == rows("SELECT price::int FROM vehicles")


def test_rows_that_somebody_keeps_locked_cost_one_dealership_and_not_the_run(
    cli: Cli,
    add: Callable[..., int],
    feed: Feed,
    database_url: str,
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A person's forgotten transaction over one vehicle: its dealership is tried again later, the others are done."""
    monkeypatch.setattr("jobsync.runner.lock.ROWS_WITHIN_S", 0.3)
    held, _ = add("A", "A"), add("B", "B")
    feed.answers = {name: [car("1", Price=1)] for name in "AB"}
    cli("stock-sync")
    feed.answers = {name: [car("1", Price=2)] for name in "AB"}
    with psycopg.connect(database_url) as host:
        host.execute("SELECT 1 FROM vehicles WHERE dealership_id = %s FOR UPDATE", [held])
        ran = cli("stock-sync", "--json")

    assert (3, ["failed", "success"]) == (ran.code, [item["status"] for item in ran.json["items"]])
    assert "another session keeps locked" in ran.json["items"][0]["error"]
    assert '"vehicles"' in ran.json["items"][0]["error"]
    assert [(1,), (2,)] == rows("SELECT price::int FROM vehicles ORDER BY dealership_id")
    assert 0 == cli("stock-sync").code
    assert [(2,), (2,)] == rows("SELECT price::int FROM vehicles ORDER BY dealership_id")


class Packed:
    """A service that answers with the given body and encoding, whatever it is asked."""

    def __init__(self, encoding: str, body: bytes) -> None:
        self.encoding, self.body = encoding, body

    def __call__(self, _environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Encoding", self.encoding)])
        return [self.body]


@pytest.mark.parametrize(
    ("encoding", "body", "said"),
    [
        ("gzip", gzip.compress(b"plain"), "plain"),
        ("gzip", gzip.compress(bytes(50 << 20)), "larger than"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"x")), "not asked for"),
        ("br", b"x", "not asked for"),
        ("gzip", gzip.compress(b"cut off")[:-9], "cut off"),
        ("gzip", b"no gzip at all", "cannot be read"),
    ],
    ids=["plain gzip", "bomb", "twice", "brotli", "cut", "noise"],
)
def test_a_compressed_body_inflates_in_bounds(encoding: str, body: bytes, said: str) -> None:
    """Only gzip, once, and never beyond the largest body allowed."""
    from jobsync.http import HttpClient, NoAnswer
    from jobsync.sandbox.serve import serve

    with serve(Packed(encoding, body)) as served:
        client = HttpClient(connections=1, most_bytes=1 << 20)
        try:
            answer = client.post(served.url, deadline_s=10).body.decode()
        except NoAnswer as problem:
            answer = str(problem)
        finally:
            client.close()

    assert said in answer
