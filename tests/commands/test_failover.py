"""A standby that is promoted under a run, its old primary dead or answering still: nothing lost, nothing twice."""

# Expected stands before actual.

from __future__ import annotations

import base64
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from jobsync.db import migrate
from jobsync.db.engine import Database
from jobsync.easycars import registry
from jobsync.easycars.credentials import Cipher, parse_credentials
from tests.commands.support import CREDENTIALS, Feed, Ran, cars, command, finish, until
from tests.conftest import TEST_KEY
from tests.db.servers import Pair, commit_on_both, crash, cut_off, freezer, pair_of_servers, promote

Sync = Callable[[str], "subprocess.Popen[str]"]


class Second:
    """The second dealership's feed: a request hangs until `go` is set, and tells that it came."""

    def __init__(self) -> None:
        self.came, self.go = threading.Event(), threading.Event()

    def __call__(self) -> list[dict[str, object]]:
        self.came.set()
        assert self.go.wait(60)
        return cars("X")


@pytest.fixture
def second(feed: Feed) -> Iterator[Second]:
    """The feeds of two dealerships; the first one's comes at once."""
    second = Second()
    feed.answers.update(N=cars("A", "B"), S=second)
    yield second
    second.go.set()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """A primary with both dealerships, and its standby; their data lies in `tmp_path`."""
    with pair_of_servers(tmp_path) as pair:
        database = Database(pair.url(pair.primary))
        migrate.upgrade(database.engine())
        with database.engine().begin() as connection:
            for name in ("Northside", "Southside"):
                number = registry.add_dealership(connection, name, timezone=None, email=None)["id"]
                given = parse_credentials({**CREDENTIALS, "account_number": name[0]})
                registry.set_credentials(connection, number, given, Cipher(base64.b64decode(TEST_KEY)))
        database.close()
        yield pair


@pytest.fixture
def sync(environ: Mapping[str, str], easycars_url: str, second: Second) -> Iterator[Sync]:
    """Start a sync of all dealerships over a URL as a process; what runs still at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def sync(url: str) -> subprocess.Popen[str]:
        settings = {"JOBSYNC_EASYCARS_URL": easycars_url, "JOBSYNC_DATABASE_URL": url}
        started.append(command({**environ, **settings}, "stock-sync", "--json"))
        return started[-1]

    yield sync
    second.go.set()
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def rows(url: str, question: LiteralString) -> list[tuple[Any, ...]]:
    """Ask a server."""
    with psycopg.connect(url) as connection:
        return connection.execute(question).fetchall()


def vehicles(url: str) -> list[tuple[Any, ...]]:
    """Return the stock numbers that a server holds."""
    return rows(url, "SELECT stock_number FROM vehicles ORDER BY 1")


def require_everything_once(pair: Pair, again: Ran, *, first: str) -> None:
    """The run after the promotion did what was left, and only that."""
    url = pair.url(pair.standby)
    created = {item["name"]: item["created"] for item in again.json["items"]}
    done = "SELECT sum(created) FROM easycar_sync_logs WHERE status = 'Success'"

    assert (0, "succeeded") == (again.code, again.json["status"])
    assert [("A",), ("B",), ("X",)] == vehicles(url)
    assert {"Northside": 2 if first == "lost" else 0, "Southside": 1} == created
    assert [(3,)] == rows(url, done)
    assert [] == rows(url, "SELECT 1 FROM vehicle_changes GROUP BY vehicle_id, field HAVING count(*) > 1")
    assert [] == rows(url, "SELECT 1 FROM job_runs WHERE status = 'running'")


@pytest.mark.parametrize("first", ["kept", "lost"])
def test_a_promotion_with_the_old_primary_dead(
    first: str, pair: Pair, sync: Sync, second: Second, tmp_path: Path
) -> None:
    """
    The run under way ends as `lock_lost`, and the next one does what is left.

    With a synchronous standby that is what was not finished; with one that had fallen behind, what it never got too.
    """
    both = pair.url(pair.primary, pair.standby)
    if first == "kept":
        commit_on_both(pair.url(pair.primary))
    else:
        cut_off(pair.url(pair.standby))
    under_way = sync(both)
    assert second.came.wait(30)
    until(lambda: [("A",), ("B",)] == vehicles(pair.url(pair.primary)))

    crash(tmp_path / "primary")
    promote(pair.url(pair.standby))
    second.go.set()
    ended = finish(under_way)

    assert (70, "lock_lost") == (ended.code, ended.json["status"])
    assert "Traceback" not in ended.err
    require_everything_once(pair, finish(sync(both)), first=first)


def test_a_promotion_with_the_old_primary_answering_still(pair: Pair, sync: Sync, second: Second) -> None:
    """
    An address that has moved, while open connections stay with the old primary.

    A second host's run does all of it on the new one; the first may write where it is no longer read, and says
    `lock_lost` instead of a success that nobody will find.
    """
    with freezer(pair.url(pair.primary)) as address:
        under_way = sync(address.url)
        assert second.came.wait(30)
        until(lambda: [("A",), ("B",)] == vehicles(pair.url(pair.standby)))

        promote(pair.url(pair.standby))
        address.move(pair.url(pair.standby))
        other_host = sync(address.url)
        until(lambda: rows(pair.url(pair.standby), "SELECT 1 FROM job_runs OFFSET 1"))
        second.go.set()
        ended, again = finish(under_way), finish(other_host)

    assert (70, "lock_lost") == (ended.code, ended.json["status"])
    assert "another server answers now" in ended.json["error"]
    require_everything_once(pair, again, first="kept")
