"""What wakes the jobs is read from the machine; the advice is a command that works there."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobsync.db.engine import Database
from jobsync.watch.health import judge_health
from jobsync.watch.state import job_status
from jobsync.watch.timers import Waker, how_to_wake, read_waker
from tests.watch.support import NOW, add_dealership, add_run, look, set_job


@pytest.mark.parametrize(
    ("there", "embedded", "expected"),
    [
        ({"run", "units", "cron"}, False, Waker.UNITS),
        ({"run", "units"}, True, Waker.UNITS),
        ({"run", "cron"}, False, Waker.SYSTEMD),
        ({"run"}, True, Waker.NOBODY),
        ({"units", "cron"}, False, Waker.CRON),
        ({"units"}, False, Waker.ABSENT),
        (set(), True, Waker.NOBODY),
    ],
)
def test_what_wakes_is_read_from_the_machine(there: set[str], embedded: bool, expected: Waker, tmp_path: Path) -> None:
    """Timers where systemd runs, cron's lines where it does not, neither for a private database."""
    (tmp_path / "units").mkdir()
    if "run" in there:
        (tmp_path / "run").mkdir()
    if "units" in there:
        (tmp_path / "units" / "jobsync-stock-sync.timer").touch()
    if "cron" in there:
        (tmp_path / "cron").touch()
    found = read_waker(
        embedded=embedded, systemd=tmp_path / "run", units=tmp_path / "units", cron_file=tmp_path / "cron"
    )

    assert expected is found


@pytest.mark.parametrize("waker", list(Waker))
def test_every_advice_is_for_this_machine(
    waker: Waker, database: Database, connection: psycopg.Connection[Any]
) -> None:
    """The same one in status and health, for a timer that is silent and for the one that tells people."""
    add_dealership(connection)
    add_run(connection)
    set_job(connection, last_tick_at=NOW - timedelta(hours=1))
    with database.engine().connect() as opened:
        seen = look(opened, now=NOW, waker=waker)
    verdict = judge_health(seen)
    advice = how_to_wake(waker, "stock-sync")

    assert advice == job_status(seen, seen.job("stock-sync")).what_to_do
    assert verdict.problems[0].what_to_do.startswith(advice)
    assert any(note.endswith(how_to_wake(waker, "health")) for note in verdict.notes)
    assert ("systemctl" in advice) is (waker is Waker.UNITS)


@pytest.mark.parametrize(("waker", "advice"), [(Waker.UNITS, "journalctl --since"), (Waker.CRON, "dmesg -T")])
def test_why_a_run_died_is_looked_for_where_this_host_has_it(
    waker: Waker, advice: str, database: Database, connection: psycopg.Connection[Any]
) -> None:
    """No journal without systemd."""
    add_dealership(connection)
    add_run(connection, status="running", lasted=None, exit_code=None)
    set_job(connection)
    with database.engine().connect() as opened:
        seen = look(opened, now=NOW, waker=waker)

    assert advice in (job_status(seen, seen.job("stock-sync")).what_to_do or "")
