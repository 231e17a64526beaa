"""What a run that finds work loads: its start is most of a short run's cost."""

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
heavy = {"sqlalchemy", "alembic", "httpx", "pydantic", "rich"}
print(*sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
sys.exit(code)
"""


@pytest.mark.parametrize("job", ["stock-sync", "check-authorizations", "generate-ride"])
def test_a_run_loads_no_more_than_it_uses(cli: Cli, feed: Feed, add: Add, rows: Rows, tmp_path: Path, job: str) -> None:
    """Jobs speak to the database through the driver and to vendors through the standard library."""
    add("Yard", "EC1")
    feed.answers["EC1"] = cars("A1")
    environ = {**cli.environ, "JOBSYNC_STORAGE": str(tmp_path)}
    program = subprocess.run(
        [sys.executable, "-c", _WATCHED, job], env=environ, capture_output=True, text=True, timeout=60, check=False
    )

    assert (0, "") == (program.returncode, program.stdout.splitlines()[-1]), program.stderr
    assert rows("SELECT job, status FROM job_runs") == [(job, "succeeded")]
