"""The idle tick: what it spares, and that it never decides anything the ordinary way would not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest

from jobsync.db.migrate import HEAD
from jobsync.tick import SCHEMA

HEAVY = (
    *("typer", "sqlalchemy", "psycopg", "httpx", "tenacity", "structlog", "rich", "fpdf"),
    *("typing", "pathlib", "re"),
)
Tick = Callable[..., subprocess.CompletedProcess[str]]

_WATCHED = """
import os, sys
real = os._exit
def leave(code):
    print(*sorted(name for name in {heavy} if name in sys.modules))
    sys.stdout.flush()
    real(code)
os._exit = leave
sys.argv = ["jobsync", *{arguments}]
from jobsync.__main__ import main
main()
"""


@pytest.fixture
def tick(environ: dict[str, str]) -> Tick:
    """Run a tick in a fresh interpreter; a tick that ends early prints which heavy modules it had imported."""

    def tick(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        script = _WATCHED.format(heavy=HEAVY, arguments=arguments or ("stock-sync", "--scheduled"))
        return subprocess.run(
            [sys.executable, "-c", script], env={**environ, **more}, capture_output=True, text=True, timeout=60
        )

    return tick


def test_schema_of_the_tick_is_the_code_s() -> None:
    """The tick trusts only a schema of this version; the number is repeated there to keep it light."""
    assert HEAD == SCHEMA


def test_idle_tick_imports_nothing_heavy(tick: Tick) -> None:
    """With nothing due the process ends with 0, having said nothing and imported nothing that costs."""
    ran = tick()

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "\n", "")


def test_idle_tick_is_stamped(tick: Tick, connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """A tick leaves its time in jobs, and nothing else."""
    tick()

    stamped = connection.execute("SELECT name, last_tick_at IS NOT NULL, last_started_at FROM jobs").fetchall()
    assert stamped == [("stock-sync", True, None)]
    assert connection.execute("SELECT count(*) FROM job_runs").fetchall() == [(0,)]
    assert connection.execute("SELECT count(*) FROM run_locks").fetchall() == [(0,)]


def test_a_tick_of_a_job_that_is_switched_off_says_so_once_while_work_is_due(
    tick: Tick, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    """The first tick with work goes the ordinary way; what it has said, the next one does not import anything for."""
    connection.execute("UPDATE system_settings SET value = 'false' WHERE key = 'sri_check_enabled'")
    connection.execute("INSERT INTO tenants (ruc, name) VALUES ('1790012345001', 'T')")
    connection.execute("INSERT INTO invoices (tenant_id, access_key) VALUES (1, lpad('1', 49, '0'))")

    first, second = (tick("check-authorizations", "--scheduled") for _ in range(2))

    assert (0, 1) == (first.returncode, first.stderr.count("globally disabled"))
    assert (0, "\n", "") == (second.returncode, second.stdout, second.stderr)


def test_a_tick_of_a_job_that_is_switched_off_is_idle_when_nothing_is_due(
    tick: Tick, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    """Nothing is kept from being done: nothing is said, and nothing that costs is imported."""
    connection.execute("UPDATE system_settings SET value = 'false' WHERE key = 'easycar_sync_enabled'")

    ran = tick()

    assert (0, "\n", "") == (ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://nobody@127.0.0.1:1/nothing", 69),
        ("mysql://elsewhere", 78),
        ("postgresql://%zz", 78),
    ],
    ids=["unreachable", "not Postgres", "malformed"],
)
def test_oddity_goes_the_ordinary_way(tick: Tick, url: str, code: int) -> None:
    """What the tick cannot settle gets the ordinary way's sentence and exit code."""
    ran = tick(JOBSYNC_DATABASE_URL=url)

    assert code == ran.returncode
    assert ran.stderr.startswith("jobsync: ")


def test_older_schema_goes_the_ordinary_way(tick: Tick, connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """A schema of another version is refused with the command that mends it."""
    connection.execute("UPDATE jobsync_schema_version SET version_num = '0001'")

    ran = tick()

    assert ran.returncode == 78
    assert "jobsync db upgrade" in ran.stderr
