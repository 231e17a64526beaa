"""A primary and its standby, as whole commands see them: who is asked, what is said where nothing is written."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from jobsync.db import migrate
from jobsync.db.engine import Database
from tests.commands.support import Cli, Ran, command, finish
from tests.db.servers import Pair, pair_of_servers
from tests.runner.support import ask, until

TICK = ("stock-sync", "--scheduled")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A primary with the schema, and a standby that has it too."""
    with pair_of_servers(tmp_path_factory.mktemp("pair")) as pair:
        database = Database(pair.url(pair.standby, pair.primary))
        migrate.upgrade(database.engine())
        database.close()
        with psycopg.connect(pair.url(pair.primary), autocommit=True) as primary:
            primary.execute("CREATE ROLE careful LOGIN SUPERUSER")
            primary.execute("ALTER ROLE careful SET default_transaction_read_only = on")
        with psycopg.connect(pair.url(pair.standby), autocommit=True) as standby:
            until(lambda: ask(standby, "SELECT 1 FROM pg_roles WHERE rolname = 'careful'"))
        yield pair


def run(cli: Cli, url: str, *arguments: str) -> Ran:
    """Run a command as a process, since a tick ends its own."""
    return finish(command({**cli.environ, "JOBSYNC_DATABASE_URL": url}, *arguments))


def test_standby_first_in_the_url_works(cli: Cli, pair: Pair) -> None:
    """Tick, run and doctor all find the primary behind it."""
    url = pair.url(pair.standby, pair.primary)
    tick, sync, doctor = run(cli, url, *TICK), run(cli, url, "stock-sync"), run(cli, url, "doctor", "--offline")

    assert (0, "") == (tick.code, tick.err)
    assert sync.code == 0
    assert "is a standby" not in doctor.out  # whose state folder has this test's name
    with psycopg.connect(pair.url(pair.primary)) as primary:
        assert ask(primary, "SELECT last_tick_at IS NOT NULL FROM jobs WHERE name = 'stock-sync'") == [(True,)]


@pytest.mark.parametrize(
    ("role", "servers", "code", "words"),
    [
        ("jobsync", ["standby"], 69, "is a standby, which takes no writes until it is promoted"),
        ("careful", ["primary"], 78, "the role careful is set read-only"),
        ("careful", ["standby", "primary"], 78, "the role careful is set read-only"),
    ],
)
def test_what_takes_no_writes_is_named_alike(
    cli: Cli, pair: Pair, role: str, servers: list[str], code: int, words: str
) -> None:
    """A tick, a run, an alerting health and doctor say the same words, with the same exit code."""
    url = pair.url(*[getattr(pair, server) for server in servers]).replace("jobsync@", f"{role}@")
    for arguments in (TICK, ("stock-sync",), ("dealership", "add", "Yard"), ("doctor", "--offline")):
        ran = run(cli, url, *arguments)

        assert code == ran.code, (arguments, ran.out, ran.err)
        assert words in " ".join(f"{ran.out} {ran.err}".split()), (arguments, ran.out, ran.err)
