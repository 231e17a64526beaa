"""The example that shares stock sync out over hosts, with two workers as its README starts them."""

# Expected stands before actual.

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.commands.support import Add, Cli, Feed, Rows, cars, until

EXAMPLE = Path(__file__).parents[2] / "examples" / "procrastinate"
Program = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def procrastinate(environ: Mapping[str, str], easycars_url: str) -> Iterator[Program]:
    """Start procrastinate over the example on a host of the name; what runs still at the end is killed."""
    programs = Path(sys.executable).parent
    path = f"{programs}:{os.environ['PATH']}"
    started: list[subprocess.Popen[bytes]] = []

    def start(host: str, *arguments: str) -> subprocess.Popen[bytes]:
        named = ["unshare", "--uts", "sh", "-c", f'hostname {host}; exec "$@"', "sh"] if os.geteuid() == 0 else []
        command = [*named, str(programs / "procrastinate"), "--app", "stock_tasks.app", *arguments]
        given = {**environ, "PATH": path, "PYTHONPATH": str(EXAMPLE), "JOBSYNC_EASYCARS_URL": easycars_url}
        started.append(subprocess.Popen(command, env=given, cwd=EXAMPLE, stdout=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_two_workers_sync_each_dealership_once_and_none_waits_for_another(
    procrastinate: Program, cli: Cli, add: Add, feed: Feed, rows: Rows
) -> None:
    """While one dealership's feed hangs, the other five are done; then it, too; nothing is left that is due."""
    names = [f"Yard {number}" for number in range(1, 7)]
    for name in names:
        feed.answers[name] = cars("A")
        add(name, name)
    assert 0 == cli("stock-sync", "--scheduled").code  # computes the slots
    rows("UPDATE sync_schedule SET next_at = now() - interval '1 minute' RETURNING 1")
    feed.asked.clear()

    def after_the_others() -> list[dict[str, object]]:
        until(lambda: [(5,)] == rows("SELECT count(*) FROM easycar_sync_logs"), timeout_s=30)
        return cars("A")

    feed.answers["Yard 1"] = after_the_others
    assert 0 == procrastinate("host-a", "schema", "--apply").wait(30)
    assert 0 == procrastinate("host-a", "defer", "stock_tasks.ask_what_is_due", '{"timestamp": 0}').wait(30)
    assert 0 == procrastinate("host-a", "worker", "--one-shot", "--queues", "what-is-due").wait(30)

    workers = [procrastinate(host, "worker", "--one-shot", "--queues", "stock-sync", "-c", "2") for host in "ab"]
    codes = [worker.wait(60) for worker in workers]

    assert [0, 0] == codes
    assert sorted(names) == sorted(feed.asked)
    assert [("Success", 6)] == rows("SELECT status, count(*) FROM easycar_sync_logs GROUP BY 1")
    assert [("succeeded",)] == rows("SELECT DISTINCT status FROM procrastinate_jobs WHERE queue_name = 'stock-sync'")
    assert [] == rows("SELECT 1 FROM due_dealerships")
    if os.geteuid() == 0:
        assert [("a",), ("b",)] == rows("SELECT DISTINCT host FROM job_runs WHERE status = 'succeeded' ORDER BY 1")
