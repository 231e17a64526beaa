"""Whole processes before a database that lets them in and then says nothing: they end, and are heard of."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobsync import tick
from jobsync.db import silence
from jobsync.runner import lock, record
from tests.commands.support import Add, Cli, Feed, Rows, cars, command, finish, until
from tests.db.servers import Freezer, freezer
from tests.watch.support import listener

# Here every wait is a part of what it is outside, and so is the time in which a process must end.
SCREENS_WITHIN_S = 60.0
RUN_WITHIN_S = 90.0
STOP_WITHIN_S = 30.0
BUSY_S = 30.0  # what a machine that runs many tests may add
SHORTENED = """
from jobsync import tick
from jobsync.db import silence
from jobsync.runner import lock, record
silence.SILENCE_S /= {0}
silence.HURRIED_S /= {0}
silence.ANSWER_WITHIN_S /= {0}
tick._ANSWER_WITHIN_S /= {0}
lock.CHECK_EVERY_S /= {0}
record.CLOSE_FOR_S /= {0}
"""


def test_the_waits_that_are_shortened_here() -> None:
    """Half a minute of silence, five seconds where it is no surprise any more."""
    patience = silence.Patience()
    limits = [patience.limit_s]
    patience.hurry()

    assert [30, 5] == [*limits, patience.limit_s]
    assert 5 == silence.Patience(found_silent=True).limit_s
    assert (5, 6.5, 10, 10) == (
        silence.ANSWER_WITHIN_S,
        tick._ANSWER_WITHIN_S,
        lock.CHECK_EVERY_S,
        record.CLOSE_FOR_S,
    )


@pytest.fixture
def proxy(database_url: str) -> Iterator[Freezer]:
    """A proxy before the test's database."""
    with freezer(database_url) as proxy:
        yield proxy


def seconds(processes: dict[str, subprocess.Popen[str]], *, within_s: float) -> tuple[dict[str, int], dict[str, str]]:
    """Return each process's exit code and complaints; fails if one of them lives too long."""
    deadline = time.monotonic() + within_s
    codes, said = {}, {}
    for name, process in processes.items():
        try:
            ran = finish(process, timeout_s=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            pytest.fail(f"{name} is still there after {within_s:g} s")
        codes[name], said[name] = ran.code, ran.err
    return codes, said


def test_ticks_screens_and_alerts_end_and_the_alerts_go_out(cli: Cli, add: Add, proxy: Freezer, tmp_path: Path) -> None:
    """Within a minute each of them ends with 69, and the webhook got what `health` and `alert` had to say."""
    add("Yard", "EC1")
    proxy.freeze()
    with listener() as (hook, url):
        environ = {
            **cli.environ,
            "JOBSYNC_DATABASE_URL": proxy.url,
            "JOBSYNC_ALERT_WEBHOOK": f"{url}/hook",
            "JOBSYNC_STORAGE": str(tmp_path),
        }
        words = {
            "stock-sync": ["stock-sync", "--scheduled"],
            "check-authorizations": ["check-authorizations", "--scheduled"],
            "generate-ride": ["generate-ride", "--scheduled"],
            "cron": ["cron", "run", "stock-sync"],
            "status": ["status"],
            "health": ["health", "--act"],
            "alert": ["alert", "--unit", "jobsync-stock-sync.service"],
        }
        processes = {}
        for name, arguments in words.items():
            (tmp_path / name).mkdir()
            own = {**environ, "STATE_DIRECTORY": str(tmp_path / name), "MONITOR_EXIT_STATUS": "69"}
            processes[name] = command(own, *arguments, before=SHORTENED.format(4))
        codes, said = seconds(processes, within_s=BUSY_S + SCREENS_WITHIN_S / 4)
        told = str(hook.got)

    assert dict.fromkeys(words, 69) == codes, said
    assert "said nothing" in said["status"]
    assert "cannot use the database" in told


@pytest.fixture
def frozen_run(cli: Cli, add: Add, feed: Feed, proxy: Freezer) -> Callable[..., subprocess.Popen[str]]:
    """Start a run, and let the database fall silent in its middle."""

    def frozen_run(before: str = "") -> subprocess.Popen[str]:
        for number in range(1, 5):
            add(f"Yard {number}", f"EC{number}")
            feed.answers[f"EC{number}"] = cars("A", "B")

        def freeze() -> object:
            proxy.freeze()
            return cars("A", "B")

        feed.answers["EC3"] = freeze
        environ = {**cli.environ, "JOBSYNC_DATABASE_URL": proxy.url}
        process = command(environ, "stock-sync", "--concurrency", "1", before=SHORTENED.format(10) + before)
        until(lambda: "EC3" in feed.asked)
        return process

    return frozen_run


def test_run_in_progress_ends(
    frozen_run: Callable[[], subprocess.Popen[str]], proxy: Freezer, rows: Rows, cli: Cli
) -> None:
    """Within a minute and a half: the lock is lost, what was done counts, and the next run finds this one crashed."""
    codes, said = seconds({"run": frozen_run()}, within_s=BUSY_S + RUN_WITHIN_S / 10)

    assert {"run": 70} == codes, said
    assert rows("SELECT count(*) FROM easycar_sync_logs WHERE status = 'Success'") == [(2,)]
    assert rows("SELECT status FROM job_runs") == [("running",)]
    proxy.thaw()  # now the server hears that its client has gone
    until(lambda: not rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"))
    assert cli("stock-sync").code == 0
    assert rows("SELECT status FROM job_runs ORDER BY started_at") == [("crashed",), ("succeeded",)]


def test_sigterm_ends_a_run_whose_server_is_silent(frozen_run: Callable[..., subprocess.Popen[str]]) -> None:
    """Whoever stops it waits no longer for a word that will not come: here that would be ten minutes."""
    process = frozen_run("silence.SILENCE_S = 600")
    time.sleep(0.5)  # by now it waits for the server
    os.kill(process.pid, signal.SIGTERM)
    codes, said = seconds({"run": process}, within_s=STOP_WITHIN_S)

    assert {"run": 70} == codes, said
