"""Commands against a stand-in EasyCars over loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from jobsync.easycars import registry
from jobsync.easycars.credentials import Cipher, parse_credentials
from jobsync.sandbox.serve import serve
from jobsync.wiring import Tools
from tests.commands.support import CREDENTIALS, Cli, Feed


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
