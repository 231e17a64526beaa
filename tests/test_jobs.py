"""The three jobs and the exit codes: each is spelled in one place, and who names them reads it there."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import jobsync
from jobsync.cli.app import COMMANDS
from jobsync.deploy.cron import COMMANDS as CRON_COMMANDS
from jobsync.deploy.cron import is_silent
from jobsync.errors import ExitCode
from jobsync.jobs import BY_NAME, JOBS

SOURCE = Path(jobsync.__file__).parent


def test_no_second_spelling() -> None:
    """No other file has a job's name or switch as a text of its own; sentences may name the command."""
    ours = {text for job in JOBS for text in (job.name, job.switch)}
    sources = {path: path.read_text() for path in sorted(SOURCE.rglob("*.py"))}
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno} {node.value}"
        for path, source in sources.items()
        if path != SOURCE / "jobs.py" and "_migrations" not in path.parts and any(text in source for text in ours)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and node.value in ours
    ]

    assert found == []


def test_each_job_is_a_command_and_a_cron_line() -> None:
    """A job can be run by hand, and by cron."""
    assert BY_NAME.keys() <= COMMANDS.keys()
    assert BY_NAME.keys() <= CRON_COMMANDS.keys()


def test_cron_is_silent_about_calm_ends() -> None:
    """What systemd counts as no failure is none under cron either."""
    assert all(is_silent(job.name, code) for job in JOBS for code in (ExitCode.DONE, *job.calm))
    assert not any(is_silent(job.name, ExitCode.FAILED) for job in JOBS)


def test_a_job_costs_the_idle_tick_nothing() -> None:
    """The idle tick imports the jobs and notes signals: both load nothing that a bare interpreter has not loaded."""
    program = (
        "import sys; before = set(sys.modules); import jobsync.jobs, jobsync.runner.signals;"
        " print(*sorted(name for name in set(sys.modules) - before if not name.startswith(('jobsync', '__future__'))))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert found.stdout.split() == []
