"""Connections that the server ends at an unlucky moment: one sentence and an exit code, and a traceback nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from jobsync.db import engine
from jobsync.db.silence import Connection
from jobsync.errors import ExitCode
from tests.commands.support import Add, Cli, Feed, Ran, cars
from tests.runner.support import terminate

Broken = Callable[..., Ran]
moments = pytest.mark.parametrize("moment", ["begin", "first statement", "commit", "return to the pool"])


@pytest.fixture
def broken(
    moment: str,
    cli: Cli,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Broken]:
    """
    Run a command whose connection the server ends when that moment comes for the time of that number; returns what it
    left, which holds no traceback.
    """
    to_come = 0

    def end(connection: Connection) -> None:
        nonlocal to_come
        if not connection.closed and not connection.autocommit:
            to_come -= 1
            if to_come == 0:
                terminate(other, connection.info.backend_pid)

    def after_end(do: Callable[..., Any]) -> Callable[..., Any]:
        def ended(connection: Connection, *arguments: Any) -> Any:
            end(connection)
            return do(connection, *arguments)

        return ended

    def begin(connection: Connection, *arguments: Any, begin: Callable[..., None] = engine._begin) -> None:
        begin(connection, *arguments)
        end(connection)

    if moment == "begin":
        monkeypatch.setattr(engine, "_begin", after_end(engine._begin))
    elif moment == "first statement":
        monkeypatch.setattr(engine, "_begin", begin)
    elif moment == "commit":
        monkeypatch.setattr(Connection, "commit", after_end(psycopg.Connection.commit))
    else:
        monkeypatch.setattr(Connection, "rollback", after_end(psycopg.Connection.rollback))

    def broken(number: int, *arguments: str) -> Ran:
        nonlocal to_come
        to_come = number
        ran = cli(*arguments)
        assert "Traceback" not in ran.err + caplog.text
        return ran

    with psycopg.connect(database_url, autocommit=True) as other:
        yield broken


@moments
@pytest.mark.parametrize("command", [("dealership", "list"), ("dealership", "add", "X")], ids="{0[1]}".format)
def test_a_command_whose_connection_breaks(broken: Broken, command: tuple[str, ...]) -> None:
    """Wherever it breaks: 69 and one document that says so, or all that was asked for."""
    left = [broken(number, *command, "--json") for number in range(1, 4)]

    codes = {ran.code for ran in left}
    assert ExitCode.UNAVAILABLE in codes
    assert codes <= {0, ExitCode.UNAVAILABLE}
    assert all("error" in ran.json for ran in left if ran.code)


@moments
def test_a_job_whose_connection_breaks(broken: Broken, add: Add, feed: Feed) -> None:
    """Before its run, in the middle of a dealership and after it: 69, or the work is done; its document agrees."""
    add("Northside", "N")
    feed.answers["N"] = cars("A")
    left = [broken(number, "stock-sync", "--json") for number in (1, 5, 6, 7)]

    assert ExitCode.UNAVAILABLE in {ran.code for ran in left}
    for ran in left:
        assert (ran.code, ran.json["status"]) in ((0, "succeeded"), (ExitCode.UNAVAILABLE, "failed"))
        assert ran.code == ran.json["exit_code"]
