"""What a run that finds work loads: the libraries that do its work, and nothing that it does not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.support import Add, Cli, Feed, Rows, cars

_WATCHED = """
import sys
from jobsync.cli.main import run
code = run(sys.argv[1:])
known = {"sqlalchemy", "tenacity", "alembic", "pydantic", "rich"}
print(*sorted(known & {name.partition(".")[0] for name in sys.modules}))
sys.exit(code)
"""


@pytest.mark.parametrize("job", ["stock-sync", "check-authorizations", "generate-ride"])
def test_a_run_loads_what_it_uses_and_no_more(
    cli: Cli, feed: Feed, add: Add, rows: Rows, tmp_path: Path, job: str
) -> None:
    """Jobs speak to the database through SQLAlchemy's pool and wait by tenacity's rules."""
    add("Yard", "EC1")
    feed.answers["EC1"] = cars("A1")
    environ = {**cli.environ, "JOBSYNC_STORAGE": str(tmp_path)}
    program = subprocess.run(
        [sys.executable, "-c", _WATCHED, job], env=environ, capture_output=True, text=True, timeout=60, check=False
    )

    assert (0, "sqlalchemy tenacity") == (program.returncode, program.stdout.splitlines()[-1]), program.stderr
    assert rows("SELECT job, status FROM job_runs") == [(job, "succeeded")]
