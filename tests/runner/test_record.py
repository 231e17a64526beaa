"""The rows a run leaves, and how one that died is found."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from jobsync.db.engine import Database
from jobsync.errors import ConfigurationProblem, ExitCode
from jobsync.masking import register_secret
from jobsync.runner import record
from jobsync.runner.job import ItemStatus, Report, RunStatus
from jobsync.runner.lock import LockSession, run_lock_name
from jobsync.runner.record import RunIdentity, bury_crashed, close_run, identify, living_runs, open_run
from tests.runner.support import FlakyDoor, ask, on, run_row, until

Direct = psycopg.Connection[Any]
Open = Callable[[], LockSession]


def opened(connection: Direct, *, job: str = "test-job", trigger: str = "timer") -> UUID:
    """Open a run's row and return its id."""
    who = RunIdentity(uuid4(), job, trigger, "host", 1, None)
    open_run(connection, who)
    return who.run_id


def verdict(run_id: UUID, status: RunStatus = RunStatus.SUCCEEDED, code: ExitCode = ExitCode.DONE) -> Report:
    return Report("test-job", status, code, run_id)


def close(database: Database, report: Report, *, streak: bool = True, **more: Any) -> bool:
    return close_run(FlakyDoor(database, 0), report, counts_for_streak=streak, **more)[1]


def failures(connection: Direct) -> int:
    """Return the job's failures in a row."""
    [(number,)] = ask(connection, "SELECT consecutive_failures FROM jobs WHERE name = 'test-job'")
    return int(number)


# --- who -------------------------------------------------------------------------------------------------------------


def test_application_name_fits_what_postgres_keeps() -> None:
    """No part of the name is cut off by the server behind our back."""
    who = identify(uuid4(), "check-authorizations", "timer", {"INVOCATION_ID": "abc"})
    long = dataclasses.replace(who, host="a" * 80)

    assert (len(long.application_name), long.invocation_id) == (63, "abc")


# --- found dead ------------------------------------------------------------------------------------------------------


def test_run_without_a_living_lock_is_crashed(connection: Direct, open_session: Open) -> None:
    """A row that says running and whose lock is free is closed as crashed, with a word on why."""
    run_id = opened(connection)
    found = bury_crashed(on(connection), open_session())
    status, _, error, _ = run_row(connection, run_id)

    assert ([run_id], "crashed", True) == (found, status, "died" in error)


def test_living_run_is_never_marked(connection: Direct, open_session: Open) -> None:
    """As long as its process holds the lock, a run is running, however old its row."""
    living = open_session()
    run_id = opened(connection)
    connection.execute("UPDATE job_runs SET started_at = now() - interval '10 days'")
    living.try_lock(run_lock_name(run_id))
    found = bury_crashed(on(connection), open_session())

    assert (found, run_row(connection, run_id)[0]) == ([], "running")


def test_unfinished_items_of_a_dead_run_are_marked_with_it(connection: Direct, open_session: Open) -> None:
    """The item it died on is crashed; what it had finished keeps its verdict."""
    run_id = opened(connection)
    record.begin_item(connection, run_id, "a", "done", 1)
    connection.execute("UPDATE job_items SET status = 'success'")
    record.begin_item(connection, run_id, "b", "cut off", 1)
    bury_crashed(on(connection), open_session())

    assert ask(connection, "SELECT item_key, status FROM job_items ORDER BY item_key") == [
        ("a", "success"),
        ("b", "crashed"),
    ]


@pytest.mark.parametrize(("trigger", "counted"), [("timer", 1), ("cron", 1), ("manual", 0)])
def test_crash_counts_for_the_streak_of_scheduled_runs(
    connection: Direct, open_session: Open, trigger: str, counted: int
) -> None:
    """A crash of a scheduled run is a failure of the job; one of a hand run is not."""
    opened(connection, trigger=trigger)
    bury_crashed(on(connection), open_session())

    assert counted == failures(connection)


def test_burying_leaves_no_lock_behind(connection: Direct, open_session: Open) -> None:
    """Whoever buries a run gives its lock back."""
    run_id = opened(connection)
    burying = open_session()
    bury_crashed(on(connection), burying)

    assert set() == living_runs(connection, [run_id])


def test_dead_run_is_counted_once_by_two_who_find_it(
    connection: Direct, database: Database, open_session: Open
) -> None:
    """Two jobs that start together bury a run once between them."""
    run_id = opened(connection)
    meeting = threading.Barrier(2)
    found: list[UUID] = []

    def bury(locks: LockSession) -> None:
        with database.direct() as direct:
            meeting.wait(10)
            found.extend(bury_crashed(on(direct), locks))

    threads = [threading.Thread(target=bury, args=[open_session()]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert ([run_id], 1) == (found, failures(connection))


# --- closed ----------------------------------------------------------------------------------------------------------


def test_verdict_is_written(connection: Direct, database: Database) -> None:
    """Status, exit code, error and traceback reach the row."""
    run_id = opened(connection)
    report = dataclasses.replace(verdict(run_id, RunStatus.FAILED, ExitCode.UNAVAILABLE), error="nobody\nanswers")
    written = close(database, report, traceback="Traceback")

    assert (written, run_row(connection, run_id)) == (True, ("failed", 69, "nobody answers", "Traceback"))


def test_verdict_survives_a_short_outage(connection: Direct, database: Database) -> None:
    """A database that is away for some tries gets the verdict as soon as it is back."""
    run_id = opened(connection)
    _, written = close_run(FlakyDoor(database, 3), verdict(run_id), counts_for_streak=True)

    assert (written, run_row(connection, run_id)[0]) == (True, "succeeded")


def test_verdict_that_cannot_be_written_is_given_up_after_a_while(
    connection: Direct, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that stays away makes the run end without its row, in bounded time and without an exception."""
    monkeypatch.setattr(record, "CLOSE_FOR_S", 0.3)
    run_id = opened(connection)

    assert False is close_run(FlakyDoor(database, 10**6), verdict(run_id), counts_for_streak=True)[1]


def test_server_that_refuses_for_another_reason_does_not_break_the_end(
    connection: Direct, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is being set up anew at that moment costs the row, not the exit code."""
    monkeypatch.setattr(record, "CLOSE_FOR_S", 0.0)

    def refuse() -> AbstractContextManager[Direct]:
        raise ConfigurationProblem("database does not exist")

    assert False is close_run(refuse, verdict(opened(connection)), counts_for_streak=True)[1]


def test_verdict_already_given_is_not_overwritten(connection: Direct, database: Database) -> None:
    """Whoever comes second does not change a verdict."""
    run_id = opened(connection)
    close(database, verdict(run_id))
    second = close(database, verdict(run_id, RunStatus.FAILED, ExitCode.FAILED))

    assert (second, run_row(connection, run_id)[0]) == (False, "succeeded")


def test_run_that_was_taken_for_dead_has_the_last_word(
    connection: Direct, database: Database, open_session: Open
) -> None:
    """A run that lost its lock and was buried still says how it really ended."""
    run_id = opened(connection)
    bury_crashed(on(connection), open_session())
    close(database, verdict(run_id, RunStatus.LOCK_LOST, ExitCode.LOCK_LOST))

    assert run_row(connection, run_id)[:2] == ("lock_lost", 70)


def test_run_that_was_taken_for_dead_is_one_failure(connection: Direct, database: Database, open_session: Open) -> None:
    """Buried first and closed as lost afterwards, the same run counts once in the streak."""
    run_id = opened(connection)
    bury_crashed(on(connection), open_session())
    close(database, verdict(run_id, RunStatus.LOCK_LOST, ExitCode.LOCK_LOST))

    assert failures(connection) == 1


@pytest.mark.parametrize("alive", [True, False])
def test_verdict_is_kept_only_where_the_run_s_lock_is_seen(
    connection: Direct, database: Database, open_session: Open, alive: bool
) -> None:
    """A server that does not know the run's lock is not the one that did the work: lock_lost, 70."""
    run_id = opened(connection)
    if alive:
        open_session().try_lock(run_lock_name(run_id))
    report, written = close_run(FlakyDoor(database, 0), verdict(run_id), counts_for_streak=True, held=True)

    expected = ("succeeded", 0) if alive else ("lock_lost", 70)
    assert (expected, True) == ((str(report.status), int(report.exit_code)), written)
    assert expected == run_row(connection, run_id)[:2]


def test_each_run_is_counted_once_however_it_ended(connection: Direct, database: Database, open_session: Open) -> None:
    """A run that was taken for dead, and ended all the same, is no second one."""
    ended, dead = opened(connection), opened(connection)
    close(database, verdict(ended))
    bury_crashed(on(connection), open_session())
    close(database, verdict(dead))
    close(database, verdict(ended))

    assert [("crashed", 1), ("succeeded", 1)] == ask(
        connection, "SELECT status, sum(runs)::int FROM run_totals GROUP BY status ORDER BY status"
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [(RunStatus.SUCCEEDED, True), (RunStatus.PARTIAL, False), (RunStatus.HELD, False), (RunStatus.FAILED, False)],
)
def test_only_a_success_is_the_last_success(
    connection: Direct, database: Database, status: RunStatus, expected: bool
) -> None:
    """What was held or left out ends a row of failures, and is no success."""
    close(database, verdict(opened(connection), status))

    assert [(expected,)] == ask(connection, "SELECT last_success_at IS NOT NULL FROM jobs WHERE name = 'test-job'")


def test_item_left_open_is_failed_with_its_run(connection: Direct, database: Database) -> None:
    """No item of a closed run is still running."""
    run_id = opened(connection)
    record.begin_item(connection, run_id, "a", "thing a", 1)
    close(database, verdict(run_id, RunStatus.LOCK_LOST, ExitCode.LOCK_LOST))

    assert [(str(ItemStatus.FAILED), "unfinished when the run ended as lock_lost")] == ask(
        connection, "SELECT status, error FROM job_items"
    )


@pytest.mark.parametrize(
    ("status", "streak", "left"),
    [
        ("succeeded", True, 0),
        ("partial", True, 0),
        ("held", True, 0),
        ("failed", True, 3),
        ("timed_out", True, 3),
        ("lock_lost", True, 3),
        ("cancelled", True, 2),
        ("failed", False, 2),
        ("succeeded", False, 2),
    ],
)
def test_streak(connection: Direct, database: Database, status: str, streak: bool, left: int) -> None:
    """Failures in a row grow with a bad run and end with a good one; cancelled and hand runs leave them."""
    run_id = opened(connection)
    connection.execute("UPDATE jobs SET consecutive_failures = 2")
    close(database, verdict(run_id, RunStatus(status)), streak=streak)

    assert left == failures(connection)


def test_progress_does_not_touch_a_closed_run(connection: Direct, database: Database) -> None:
    """A late word on progress does not replace the final numbers."""
    run_id = opened(connection)
    close(database, verdict(run_id))
    before = ask(connection, "SELECT counts FROM job_runs")
    record.write_progress(connection, run_id, {"done": 1})

    assert before == ask(connection, "SELECT counts FROM job_runs")


# --- skipped ---------------------------------------------------------------------------------------------------------


def test_skips_are_counted_not_listed(connection: Direct) -> None:
    """A thousand skips leave one row with a number and the last holder."""
    for number in range(1000):
        record.count_skip(connection, "test-job", f"run {number}")

    assert ask(
        connection, "SELECT name, consecutive_skips, skipped_by, (SELECT count(*)::int FROM job_runs) FROM jobs"
    ) == [("test-job", 1000, "run 999", 0)]


@pytest.mark.parametrize(("holds_job", "left"), [(True, (0, None)), (False, (1, "run 1"))])
def test_run_with_the_jobs_lock_ends_the_skips(
    connection: Direct, holds_job: bool, left: tuple[int, str | None]
) -> None:
    """Only a run that has the job's own lock proves that whoever held it is gone."""
    record.count_skip(connection, "test-job", "run 1")
    open_run(connection, RunIdentity(uuid4(), "test-job", "manual", "host", 1, None), holds_job=holds_job)

    assert [left] == ask(connection, "SELECT consecutive_skips, skipped_by FROM jobs")


def test_no_secret_reaches_a_row(connection: Direct, database: Database) -> None:
    """What is known to be secret is masked in the run's error and in an item's label and error."""
    register_secret("hunter2-hunter2")
    run_id = opened(connection)
    record.begin_item(connection, run_id, "a", "label hunter2-hunter2", 1)
    close(database, dataclasses.replace(verdict(run_id), error="error hunter2-hunter2"))

    assert ask(connection, "SELECT i.label, r.error FROM job_items i JOIN job_runs r ON r.id = i.run_id") == [
        ("label •••", "error •••")
    ]


def test_living_is_told_from_dead(connection: Direct, open_session: Open) -> None:
    """Whose lock is held lives; the others do not."""
    living, dead = uuid4(), uuid4()
    locks = open_session()
    locks.try_lock(run_lock_name(living))
    until(lambda: living_runs(connection, [living]))

    assert {living} == living_runs(connection, [living, dead])
