"""The server that every case writes to, its databases, and jobsync's set-up in one."""

from __future__ import annotations

import base64
import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from benchmarks.feed import account
from benchmarks.measure import bare_environment
from jobsync.db import embedded, migrate
from jobsync.db.engine import Database
from jobsync.easycars import registry
from jobsync.easycars.credentials import Cipher, Credentials

KEY = bytes(range(32))
WRITTEN_TABLES = ("vehicles", "easycar_stock_data")


class Postgres:
    """A durable private server; its databases are made afresh for every measurement."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.version = self.ask("postgres", "SHOW server_version")[0][0]
        durability = self.ask("postgres", "SELECT current_setting('fsync'), current_setting('synchronous_commit')")
        assert durability == [("on", "on")], durability

    def url(self, database: str) -> str:
        """Return a database's URL."""
        return self._url.replace("/jobsync?", f"/{database}?")

    def libpq_host(self) -> str:
        """Return the folder of the socket as it stands, escaped, in a URL."""
        return self._url.partition("host=")[2].partition("&")[0]

    def ask(self, database: str, query: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
        """Run one query."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            return connection.execute(query, values).fetchall()

    def fresh(self, database: str, template: str = "template1") -> str:
        """Make a database anew, write everything out so that its cost falls on nobody, and return its URL."""
        name = sql.Identifier(database)
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(template)))
        self.settle()
        return self.url(database)

    def settle(self) -> None:
        """Write everything out."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def vacuum(self, database: str) -> None:
        """Do what autovacuum does in the day between two nights."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")

    def rows_written(self, database: str) -> int:
        """Return the rows inserted, updated and deleted so far in the two tables of stock."""
        time.sleep(0.2)  # a backend hands its numbers in when it ends
        rows = self.ask(
            database,
            "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables"
            " WHERE relname = ANY(%s)",
            list(WRITTEN_TABLES),
        )
        return int(rows[0][0])

    def make_jobsync(self, database: str, dealerships: int) -> None:
        """Make a database with jobsync's schema and dealerships that have credentials."""
        database_url = self.fresh(database)
        opened = Database(database_url)
        engine = opened.engine()
        migrate.upgrade(engine)
        cipher = Cipher(KEY)
        with engine.begin() as connection:
            for number in range(1, dealerships + 1):
                row = registry.add_dealership(connection, f"Dealer {number}", timezone="Australia/Sydney", email=None)
                credentials = Credentials("bench", "bench-secret", account(number), "bench-account-secret", "Test")
                registry.set_credentials(connection, row["id"], credentials, cipher)
        opened.close()


@contextmanager
def running(folder: Path) -> Iterator[Postgres]:
    """Run a private server in a folder."""
    home = folder / "postgres"
    with embedded.acquire(home, durable=True) as lease:
        yield Postgres(lease.url)
    with (home / "guardian.lock").open() as lock:  # free once the server has ended and left the folder
        fcntl.flock(lock, fcntl.LOCK_EX)


def jobsync_environment(home: Path, database_url: str, easycars_url: str) -> dict[str, str]:
    """Return the environment of a jobsync command."""
    return {
        **bare_environment(home),
        "JOBSYNC_DATABASE_URL": database_url,
        "JOBSYNC_EASYCARS_URL": easycars_url,
        "JOBSYNC_ENCRYPTION_KEY": base64.b64encode(KEY).decode(),
    }
