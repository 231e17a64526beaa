"""EasyCars as a host: an outage costs three dealerships a try, a wish to rest nobody, and all are synced afterwards."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from jobsync.cli import main
from jobsync.easycars import client
from jobsync.sandbox.serve import serve
from jobsync.wiring import Tools
from tests.commands.support import Cli, Feed, Rows, cars

Connection = psycopg.Connection[Any]
DUE = "UPDATE sync_schedule SET next_at = date_trunc('second', now()) - interval '2 minutes' RETURNING 1"
KEPT = (
    "SELECT count(*) FROM sync_schedule WHERE next_at <= now() AND attempt = 0 AND retry_at IS NULL"
    " AND slot_at IS NULL AND slot_started_at IS NULL"
)


@pytest.fixture
def many(cli: Cli, feed: Feed, add: Callable[..., int], connection: Connection) -> Callable[[int], None]:
    """Make so many dealerships, whose slot has come; all have one client and accounts of their own."""

    def make(number: int) -> None:
        first = add("Yard 1", "EC1")
        assert cli("credentials", "rotate-key", "--unbound").code == 0  # what is bound to its dealership has no copies
        connection.execute(
            "WITH d AS (INSERT INTO dealerships (name) SELECT 'Yard ' || n FROM generate_series(2, %s) n RETURNING id)"
            " INSERT INTO easycar_credentials (dealership_id, client_id_encrypted, client_secret_encrypted,"
            " account_number_encrypted, account_secret_encrypted, environment, key_version)"
            " SELECT d.id, client_id_encrypted, client_secret_encrypted, account_number_encrypted,"
            " account_secret_encrypted, environment, key_version FROM d, easycar_credentials c"
            " WHERE c.dealership_id = %s",
            [number, first],
        )
        feed.answers["EC1"] = cars("A1")
        assert cli("stock-sync", "--scheduled").code == 0
        connection.execute(DUE)

    return make


@contextmanager
def silent() -> Iterator[str]:
    """A vendor that accepts connections and requests, and says nothing; gives its URL."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    held.append(listener.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)
    for peer in held:
        peer.close()


@contextmanager
def refusing() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}/"


def moved(connection: Connection, url: str, to: str) -> None:
    """Let what is remembered of one host be that of another, as if the first had answered again."""
    names = [client.host_of("Test", address) for address in (to, url)]
    connection.execute("DELETE FROM vendor_hosts WHERE host = %s", [names[0]])
    connection.execute("UPDATE vendor_hosts SET host = %s WHERE host = %s", names)


@pytest.mark.parametrize("concurrency", ["1", "8"])
@pytest.mark.parametrize("outage", [refusing, silent])
def test_an_outage_costs_a_few_dealerships_a_try(
    cli: Cli,
    many: Callable[[int], None],
    rows: Rows,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    outage: Any,
    concurrency: str,
) -> None:
    """Two hundred are due and nobody answers: who was not asked keeps all; when it answers, each is synced once."""
    monkeypatch.setattr(client, "FIRST_BYTE_WITHIN_S", 0.3)
    many(200)
    with outage() as url:
        began = time.monotonic()
        run = cli("stock-sync", "--scheduled", "--concurrency", concurrency, "--json", JOBSYNC_EASYCARS_URL=url)
        took_s = time.monotonic() - began
        [[asked]] = rows("SELECT count(*) FROM job_items i JOIN job_runs r ON r.id = i.run_id WHERE r.exit_code = 69")
        counts = run.json["counts"]

        assert (run.code, counts["failed"] + counts["remaining"]) == (69, 200)
        assert counts["failed"] == asked == len(run.json["items"])
        assert asked <= 3 + 2 * int(concurrency)
        assert took_s < 60  # six seconds of it are pauses, were they not left out
        assert rows(KEPT) == [(200 - asked,)]
        assert rows("SELECT count(*) FROM easycar_sync_logs WHERE status = 'Failed'") == [(asked,)]
        assert rows("SELECT opened_at IS NOT NULL FROM vendor_hosts WHERE environments <> '{}'") == [(True,)]

        said = cli("stock-sync", JOBSYNC_EASYCARS_URL=url).out
        assert "what remains was not asked about: the host does not answer; jobsync status has since when\n" in said
        probe = cli("stock-sync", "--scheduled", "--json", JOBSYNC_EASYCARS_URL=url)
        assert (probe.code, probe.json["counts"]["remaining"]) == (0, 199 - asked)
        assert [item["status"] for item in probe.json["items"]] == ["skipped"]
        assert rows(KEPT) == [(200 - asked,)]
        [[probed]] = rows(
            "SELECT id FROM dealerships d JOIN sync_schedule s ON s.dealership_id = d.id"
            " WHERE attempt = 0 AND attempted_at > now() - interval '5 minutes'"
            " ORDER BY attempted_at DESC LIMIT 1"
        )
        assert probed == probe.json["items"][0]["dealership_id"]

    moved(connection, url, cli.environ["JOBSYNC_EASYCARS_URL"])
    rows("UPDATE sync_schedule SET retry_at = now() WHERE retry_at IS NOT NULL RETURNING 1")
    after = cli("stock-sync", "--scheduled", "--json")

    assert (after.code, after.json["counts"]["succeeded"]) == (0, 200)
    assert after.json["items"][0]["dealership_id"] != probed
    assert rows("SELECT count(*), count(last_success_at) FROM sync_schedule WHERE next_at > now() AND attempt = 0") == [
        (200, 200)
    ]
    assert rows("SELECT faults_in_a_row, opened_at FROM vendor_hosts WHERE environments <> '{}'") == [(0, None)]
    assert cli("stock-sync", "--scheduled", "--json").json["items"] == []


def busy(status: str, retry_after: str, times: int = 10**6) -> tuple[Any, list[float]]:
    """A vendor that answers so many stock requests so, then well; and when it was asked."""
    asked: list[float] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if environ["PATH_INFO"].endswith("RequestToken"):
            start_response("200 OK", [])
            return [json.dumps({"Code": 0, "Token": "token-token"}).encode()]
        asked.append(time.monotonic())
        if len(asked) <= times:
            start_response(status, [("Retry-After", retry_after)])
            return [b""]
        start_response("200 OK", [])
        return [json.dumps({"Code": 0, "StockList": []}).encode()]

    return app, asked


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_host_that_wants_to_rest_is_left_alone(
    cli: Cli, many: Callable[[int], None], rows: Rows, status: str
) -> None:
    """One request, then nobody asks before the time has come; by hand it is told until when."""
    many(10)
    app, asked = busy(status, "600")
    with serve(app) as served:
        cli.environ["JOBSYNC_EASYCARS_URL"] = served.url
        run = cli("stock-sync", "--scheduled", "--json")
        assert (run.code, run.json["counts"]["failed"], run.json["counts"]["remaining"]) == (69, 1, 9)
        assert len(asked) == 1
        assert rows("SELECT round(extract(epoch FROM not_before - now())) BETWEEN 500 AND 600 FROM vendor_hosts") == [
            (True,)
        ]
        assert rows(KEPT) == [(9,)]

        assert rows("SELECT jobsync_tick('stock-sync')") == [(False,)]
        idle = cli("stock-sync", "--scheduled", "--json")
        assert (idle.code, idle.json["items"], idle.json["run_id"]) == (0, [], None)

        for arguments in ([], ["--dealership", "2"]):
            by_hand = cli("stock-sync", *arguments, "--json")
            [[until]] = rows("SELECT not_before FROM vendor_hosts WHERE not_before IS NOT NULL")
            assert isinstance(until, datetime)
            assert by_hand.code == 69
            assert until.astimezone(UTC).isoformat(timespec="seconds")[:16] in by_hand.json["error"]
        assert len(asked) == 1

        rows("UPDATE vendor_hosts SET not_before = now() - interval '1 second' RETURNING 1")
        assert rows("SELECT jobsync_tick('stock-sync')") == [(True,)]


def test_a_wish_of_more_than_an_hour_is_a_mistake(cli: Cli, many: Callable[[int], None], rows: Rows) -> None:
    """A vendor's is cut to an hour; one that a wrong clock wrote is past."""
    many(3)
    app, _ = busy("429 Too Many Requests", "86400")
    with serve(app) as served:
        cli.environ["JOBSYNC_EASYCARS_URL"] = served.url
        cli("stock-sync", "--scheduled")
        assert rows("SELECT not_before <= now() + interval '1 hour' FROM vendor_hosts") == [(True,)]

    rows("UPDATE vendor_hosts SET not_before = now() + interval '2 hours' RETURNING 1")
    assert rows("SELECT jobsync_tick('stock-sync')") == [(True,)]


def test_a_short_rest_is_kept_by_everybody(cli: Cli, many: Callable[[int], None]) -> None:
    """The next dealership waits as long as the one that was told."""
    many(4)
    app, asked = busy("429 Too Many Requests", "1", times=1)
    with serve(app) as served:
        patient = Tools({**cli.environ, "JOBSYNC_EASYCARS_URL": served.url})  # which waits as long as it must
        code = main.run(["stock-sync", "--scheduled", "--concurrency", "4"], patient)

    assert (code, len(asked)) == (0, 5)
    assert asked[4] - asked[0] >= 0.95
