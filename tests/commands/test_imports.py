"""What a run that finds work loads: the libraries that do its work, and nothing that it does not use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import jobsync
from jobsync.sandbox.serve import serve
from tests.commands.sri import Sri
from tests.commands.support import Add, Cli, Feed, Rows, cars
from tests.sri.documents import RUC, make_key

_WATCHED = """
import sys
import jobsync.__main__ as program
program._leave = sys.exit
try:
    program.main()
finally:
    print("loaded", *sorted({name.partition(".")[0] for name in sys.modules}))
"""
_CHOSEN = {
    "stock-sync": {"httpx", "sqlalchemy", "structlog", "tenacity", "typer"},
    "check-authorizations": {"httpx", "sqlalchemy", "structlog", "tenacity", "typer"},
    "generate-ride": {"sqlalchemy", "structlog", "tenacity", "typer"},
}
_UNUSED = {"alembic", "jinja2", "pydantic", "rich"}
_NOT_AT_REST = {
    *_UNUSED,
    "fpdf",
    "httpcore",
    "httpx",
    "lxml",
    "psycopg",
    "sqlalchemy",
    "structlog",
    "tenacity",
    "typer",
}


def loaded(environ: dict[str, str], *arguments: str) -> set[str]:
    """Run a command and return what it had loaded at its end."""
    program = subprocess.run(
        [sys.executable, "-c", _WATCHED, *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert program.returncode == 0, program.stderr
    first, *names = program.stdout.splitlines()[-1].split()
    assert first == "loaded"
    return set(names)


@pytest.fixture
def due(
    cli: Cli, feed: Feed, add: Add, connection: psycopg.Connection[Any], tmp_path: Path
) -> Iterator[dict[str, str]]:
    """An environment in which both vendors have something to be asked about."""
    add("Yard", "EC1")
    feed.answers["EC1"] = cars("A1")
    sri = Sri()
    assert cli("tenant", "add", RUC, "Uno").code == 0
    connection.execute(
        "INSERT INTO invoices (tenant_id, access_key, document_type) SELECT id, %s, 'invoice' FROM tenants",
        [make_key(1)],
    )
    with serve(sri, path="") as served:
        yield {**cli.environ, "JOBSYNC_STORAGE": str(tmp_path), "JOBSYNC_SRI_URL": served.origin}


@pytest.mark.parametrize("job", ["stock-sync", "check-authorizations", "generate-ride"])
def test_a_run_uses_the_chosen_libraries_and_no_others(due: dict[str, str], rows: Rows, job: str) -> None:
    """Requests leave through httpx and tries are counted by tenacity; what a run does not use is not loaded."""
    found = loaded(due, job)

    assert rows("SELECT job, status FROM job_runs") == [(job, "succeeded")]
    assert _CHOSEN[job] - found == set()
    assert _UNUSED & found == set()


@pytest.mark.parametrize("job", ["stock-sync", "check-authorizations", "generate-ride"])
def test_an_idle_tick_loads_none_of_them(cli: Cli, tmp_path: Path, job: str) -> None:
    """A proxy or not: where nothing is due, nothing heavy is loaded."""
    environ = {**cli.environ, "JOBSYNC_STORAGE": str(tmp_path), "JOBSYNC_PROXY": "http://127.0.0.1:9"}

    assert _NOT_AT_REST & loaded(environ, job, "--scheduled") == set()


def test_no_http_of_our_own() -> None:
    """What the standard library offers for requests is used nowhere in the program."""
    texts = {path.name: path.read_text() for path in Path(jobsync.__file__).parent.rglob("*.py")}

    assert [name for name, text in texts.items() if "HTTPConnection" in text or "http.client" in text] == []
