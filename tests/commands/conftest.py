"""Commands against a stand-in EasyCars over loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from jobsync.easycars import registry
from jobsync.easycars.credentials import Cipher, parse_credentials
from jobsync.sandbox.serve import serve
from jobsync.wiring import Tools
from tests.commands.support import CREDENTIALS, Cli, Feed, contents
from tests.conftest import TEST_KEY, url_of
from tests.watch.support import HOSTILE, add_dealership, add_run, set_job


@pytest.fixture
def feed() -> Feed:
    """The stand-in's answers."""
    return Feed()


@pytest.fixture
def easycars_url(feed: Feed) -> Iterator[str]:
    """Where the stand-in answers."""
    with serve(feed) as served:
        yield served.url
        feed.gate.set()


@pytest.fixture
def cli(environ: dict[str, str], easycars_url: str, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs commands in this process."""
    environ["JOBSYNC_EASYCARS_URL"] = easycars_url
    return Cli(environ, capsys)


@pytest.fixture(scope="session")
def still_url(server_url: str, template: str) -> Iterator[str]:
    """One database with the schema and nothing else, for all the commands that must write nothing."""
    yield from _unwritten(server_url, "commands_still", template)


@pytest.fixture(scope="session")
def bare_url(server_url: str) -> Iterator[str]:
    """One database with nothing in it, for all the commands that must write nothing."""
    yield from _unwritten(server_url, "commands_bare", "template1")


def _unwritten(server_url: str, name: str, template: str) -> Iterator[str]:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    url = url_of(server_url, name)
    before = contents(url)
    yield url
    assert before == contents(url)


@pytest.fixture
def lookup(still_url: str, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs commands that write nothing, all on one database."""
    environ = {"JOBSYNC_DATABASE_URL": still_url, "JOBSYNC_ENCRYPTION_KEY": TEST_KEY, "JOBSYNC_LOG_FORMAT": "json"}
    return Cli(environ, capsys)


@pytest.fixture
def add(tools: Tools) -> Callable[..., int]:
    """Add a dealership with credentials; returns its number."""

    def add(name: str, account: str, **credentials: str) -> int:
        document = {**CREDENTIALS, "account_number": account, **credentials}
        with tools.engine.begin() as connection:
            row = registry.add_dealership(connection, name, timezone="Australia/Sydney", email=None)
            cipher: Cipher = tools.cipher
            registry.set_credentials(connection, row["id"], parse_credentials(document), cipher)
        return int(row["id"])

    return add


@pytest.fixture
def rows(connection: psycopg.Connection[tuple[object, ...]]) -> Callable[[str], list[tuple[object, ...]]]:
    """Ask the test's database."""
    return lambda statement: connection.execute(statement.encode()).fetchall()


@pytest.fixture
def hostile(connection: psycopg.Connection[Any]) -> int:
    """A dealership that is long silent under the worst of names, with a failed run of the same text."""
    number = add_dealership(connection, HOSTILE, success=datetime.now(UTC) - timedelta(days=9), failed=HOSTILE)
    add_run(connection, status="failed", exit_code=1, error=HOSTILE, traceback=f"Traceback\n  {HOSTILE}",
            began=datetime.now(UTC) - timedelta(hours=1))  # fmt: skip
    set_job(connection, last_tick_at=datetime.now(UTC), skipped_by=HOSTILE, consecutive_failures=9)
    return number
