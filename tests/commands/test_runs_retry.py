"""`jobsync runs retry`: exactly what failed in a run, again, as a hand run."""

# Expected stands before actual.

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from jobsync.runner.lock import lock_key, run_lock_name
from tests.commands.sri import Sri
from tests.commands.support import Add, Cli, Feed, Rows, cars, envelope
from tests.commands.test_authorizations import cli as sri_cli  # noqa: F401 - a fixture
from tests.commands.test_authorizations import pending, sri  # noqa: F401 - fixtures
from tests.sri import documents
from tests.sri.documents import make_key
from tests.watch.support import add_run

Connection = psycopg.Connection[Any]


@pytest.fixture
def failed_night(cli: Cli, feed: Feed, add: Add) -> dict[str, Any]:
    """A run over three dealerships, of which two failed."""
    for name in "ABC":
        add(name, name)
    feed.answers = {"A": cars("1"), "B": envelope(7, message="no"), "C": envelope(7, message="no")}
    ran = cli("stock-sync", "--json")
    assert ran.code == 3
    feed.asked.clear()
    document: dict[str, Any] = ran.json
    return document


def test_dealerships_that_failed(cli: Cli, feed: Feed, failed_night: dict[str, Any], rows: Rows) -> None:
    """They alone are asked, the codes are those of the job, and the audit says who asked for it."""
    feed.answers["B"] = cars("2")

    ran = cli("runs", "retry", failed_night["run_id"][:8].upper(), "--json")
    again = cli("runs", "retry", ran.json["run_id"])

    assert (3, "stock-sync", "partial") == (ran.code, ran.json["job"], ran.json["status"])
    assert [(2, "success"), (3, "failed")] == sorted((i["dealership_id"], i["status"]) for i in ran.json["items"])
    assert ["B", "C", "C"] == sorted(feed.asked)
    assert 1 == again.code
    assert [(failed_night["run_id"], 2), (ran.json["run_id"], 1)] == rows(
        "SELECT subject, (details->>'items')::int FROM audit WHERE action = 'runs.retry' ORDER BY id"
    )


def test_nothing_failed(cli: Cli, feed: Feed, failed_night: dict[str, Any], rows: Rows) -> None:
    """Exit 0, in words or as the document of a job that had nothing to do; no run is begun."""
    feed.answers |= {"B": cars("2"), "C": cars("3")}
    good = cli("runs", "retry", failed_night["run_id"], "--json").json["run_id"]
    before = rows("SELECT count(*) FROM job_runs")

    said, told = cli("runs", "retry", good), cli("runs", "retry", good, "--json")

    assert (0, 0) == (said.code, told.code)
    assert "no item failed" in said.out
    assert (None, "stock-sync", "succeeded", 0, []) == tuple(
        told.json[name] for name in ("run_id", "job", "status", "exit_code", "items")
    )
    assert 0 == told.json["counts"]["eligible"]
    assert before == rows("SELECT count(*) FROM job_runs")


def test_a_dealership_that_is_gone_is_left_out(
    cli: Cli, failed_night: dict[str, Any], connection: Connection, feed: Feed
) -> None:
    """It is named, the others are retried; where all are gone there is nothing to do."""
    feed.answers["B"] = cars("2")
    connection.execute("DELETE FROM dealerships WHERE id = 3")

    ran = cli("runs", "retry", failed_night["run_id"], "--json")
    connection.execute("DELETE FROM dealerships WHERE id = 2")
    rest = cli("runs", "retry", failed_night["run_id"])

    assert (0, [2]) == (ran.code, [item["dealership_id"] for item in ran.json["items"]])
    assert "3 is gone" in ran.err
    assert 0 == rest.code


def test_a_run_that_is_still_at_work_is_refused(cli: Cli, connection: Connection) -> None:
    """75 while its lock is held; one whose process is gone has crashed, and its open items are retried."""
    run_id = add_run(connection, status="running", exit_code=None)
    key = lock_key(run_lock_name(UUID(str(run_id))))
    connection.execute("SELECT pg_advisory_lock(%s)", [key])
    at_work = cli("runs", "retry", str(run_id), "--json")
    connection.execute("SELECT pg_advisory_unlock(%s)", [key])
    connection.execute("INSERT INTO dealerships (name) VALUES ('A')")
    connection.execute("INSERT INTO job_items (run_id, item_key, label) VALUES (%s, '1', 'A')", [run_id])

    crashed = cli("runs", "retry", str(run_id), "--json")

    assert (75, 75) == (at_work.code, at_work.json["exit_code"])
    assert "still running" in at_work.json["error"]
    assert ([1], "credentials" in crashed.json["items"][0]["error"]) == (
        [item["dealership_id"] for item in crashed.json["items"]],
        True,
    )


def test_an_unknown_run(lookup: Cli) -> None:
    """Exit 2, and where runs are listed."""
    ran = lookup("runs", "retry", "7777", "--json")

    assert (2, True) == (ran.code, "jobsync runs list" in ran.json["error"])


def test_documents_that_could_not_be_asked_about(
    sri_cli: Cli,  # noqa: F811
    sri: Sri,  # noqa: F811
    pending: Any,  # noqa: F811
    connection: Connection,
) -> None:
    """Though their next time has not come; one that was cancelled meanwhile is left out."""
    keys = [make_key(number) for number in range(4)]
    pending(*keys)
    sri.default = documents.authorized
    sri.answers = dict.fromkeys(keys[1:], documents.FIREWALL)
    ran = sri_cli("check-authorizations", "--json")
    assert sorted(keys[1:]) == sorted(item["access_key"] for item in ran.json["items"] if item["status"] == "fault")
    sri.answers, sri.asked = {}, []
    connection.execute("UPDATE invoices SET status = 'cancelled' WHERE access_key = %s", [keys[1]])

    retried = sri_cli("runs", "retry", ran.json["run_id"], "--json")

    assert (0, "check-authorizations") == (retried.code, retried.json["job"])
    assert sorted(keys[2:]) == sorted(sri.asked)
    assert {"authorized"} == {item["status"] for item in retried.json["items"]}


def test_a_run_of_a_job_that_is_not_ours_is_no_run_of_another(cli: Cli, connection: Connection, rows: Rows) -> None:
    """A row of another version's, or of nobody's: its keys are no documents to be printed."""
    run_id = add_run(connection, job="stock-sync", status="failed")
    connection.execute("UPDATE job_runs SET job = 'send-mails' WHERE id = %s", [run_id])
    ran = cli("runs", "retry", str(run_id), "--json")

    assert (2, 2) == (ran.code, ran.json["exit_code"])
    assert "send-mails" in ran.err
    assert [(1,)] == rows("SELECT count(*) FROM job_runs")
