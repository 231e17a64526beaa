"""Whole runs against a real server: who may start, what ends them, and that the verdict is the same everywhere."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest

from jobsync.db.engine import Database
from jobsync.errors import ConfigurationProblem, ExitCode, Unavailable
from jobsync.jobs import Job
from jobsync.runner import lock
from jobsync.runner.items import Attempt
from jobsync.runner.job import ItemResult, ItemStatus, Report, RunStatus
from jobsync.runner.lock import LockLost, LockSession, run_lock_name
from jobsync.runner.run import Request, Run, disabled_report, run_job
from tests.runner.pooler import transaction_pooler
from tests.runner.support import (
    SPEC,
    Scripted,
    ask,
    done,
    items,
    on_lock_connection,
    process,
    role,
    run_row,
    terminate,
    until,
    with_user,
    working,
)

Direct = psycopg.Connection[Any]
Open = Callable[[], LockSession]
Work = Callable[[Run], list[ItemResult]]
Go = Callable[..., Report]


def nothing(_run: Run) -> list[ItemResult]:
    return []


@pytest.fixture
def go(database: Database) -> Go:
    """Run a job on the test's database."""

    def go(work: Work = nothing, *, spec: Job = SPEC, environ: dict[str, str] | None = None, **asked: Any) -> Report:
        return run_job(spec, Request(**asked), work, database=database, environ=environ or {})

    return go


def deadline(seconds: float) -> Job:
    return Job(name=SPEC.name, noun=SPEC.noun, deadline_s=seconds)


def job_row(connection: Direct) -> tuple[Any, ...]:
    """Return the job's skips in a row, and by whom."""
    [row] = ask(connection, "SELECT consecutive_skips, skipped_by FROM jobs WHERE name = 'test-job'")
    return row


# --- who may start ---------------------------------------------------------------------------------------------------


def test_one_of_two_that_start_together_works(go: Go) -> None:
    """However close together two start, exactly one works; the other says 75 and who has it."""
    both = threading.Barrier(2)
    gave_up = threading.Event()

    def work(_run: Run) -> list[ItemResult]:
        gave_up.wait(10)
        return []

    def start() -> Report:
        both.wait(10)
        report = go(work)
        if report.status is RunStatus.SKIPPED:
            gave_up.set()
        return report

    for _ in range(3):
        gave_up.clear()
        with ThreadPoolExecutor(2) as pool:
            reports = sorted((future.result() for future in [pool.submit(start), pool.submit(start)]), key=_code)

        assert [(r.status, r.exit_code) for r in reports] == [(RunStatus.SUCCEEDED, 0), (RunStatus.SKIPPED, 75)]
        assert str(reports[0].run_id)[:8] in str(reports[1].error)


def _code(report: Report) -> int:
    return int(report.exit_code)


def test_lock_is_seen_by_others_for_the_whole_run(go: Go, open_session: Open) -> None:
    """From before the first item until after the last, also between transactions, the job's lock is taken."""
    other = open_session()
    seen: list[bool] = []

    def look(attempt: Attempt) -> ItemResult:
        seen.append(other.try_lock(SPEC.name))
        return done(attempt)

    def keep(_connection: Direct, attempt: Attempt) -> None:
        look(attempt)
        attempt.on_commit.append(lambda: seen.append(other.try_lock(SPEC.name)))

    go(working(Scripted(look, keep), items("a", "b")))

    assert seen == [False] * 6


def test_lock_is_free_after_the_run(go: Go, open_session: Open) -> None:
    """What the run took, it gives back."""
    report = go()
    other = open_session()
    until(lambda: other.try_lock(SPEC.name))

    assert other.try_lock(run_lock_name(report.run_id or UUID(int=0)))


def test_skip_opens_no_row(go: Go, open_session: Open, connection: Direct) -> None:
    """A start that found the lock taken leaves no run behind."""
    open_session().try_lock(SPEC.name)
    report = go()

    assert (report.run_id, ask(connection, "SELECT 1 FROM job_runs")) == (None, [])


def test_scheduled_skips_are_counted_with_the_holder(go: Go, open_session: Open, connection: Direct) -> None:
    """Each tick that found the lock taken counts, and says by whom."""
    holder = open_session()
    holder.take(SPEC.name, run_id=UUID(int=7), holder="the hung one")
    go(scheduled=True)
    go(scheduled=True)
    skips, by = job_row(connection)

    assert (skips, "the hung one" in by, str(UUID(int=7)) in by) == (2, True, True)


def test_skips_of_hand_runs_are_not_counted(go: Go, open_session: Open, connection: Direct) -> None:
    """A person who meets the lock is told so; the job's skips are those of its schedule."""
    open_session().try_lock(SPEC.name)
    go()

    assert ask(connection, "SELECT 1 FROM jobs") == []


def test_run_ends_the_skips(go: Go, open_session: Open, connection: Direct) -> None:
    """The first run that gets the lock sets the skips back to none."""
    holder = open_session()
    holder.try_lock(SPEC.name)
    go(scheduled=True)
    holder.unlock(SPEC.name)
    go(scheduled=True)

    assert job_row(connection) == (0, None)


def test_hand_run_of_one_item_does_not_end_the_skips(go: Go, open_session: Open, connection: Direct) -> None:
    """A hand run beside a hung one does not hide that ticks are being skipped."""
    open_session().try_lock(SPEC.name)
    go(scheduled=True)
    go(named_locks=("test-job:thing:1",))

    assert job_row(connection)[0] == 1


def test_wait_takes_the_lock_when_it_comes_free(go: Go, open_session: Open) -> None:
    """With --wait a taken lock is waited for, and the run then works."""
    holder = open_session()
    holder.try_lock(SPEC.name)
    threading.Timer(0.4, holder.unlock, [SPEC.name]).start()

    assert go(wait_s=20).status is RunStatus.SUCCEEDED


def test_wait_ends(go: Go, open_session: Open) -> None:
    """A lock that stays taken is given up when the time is over, with 75."""
    open_session().try_lock(SPEC.name)
    began = time.monotonic()
    report = go(wait_s=0.5)

    assert report.exit_code is ExitCode.LOCKED
    assert 0.5 <= time.monotonic() - began < 5


def test_wait_ends_on_sigterm(go: Go, open_session: Open) -> None:
    """Somebody who stops a waiting command is not made to wait for the lock."""
    open_session().try_lock(SPEC.name)
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGTERM]).start()
    began = time.monotonic()
    report = go(wait_s=60)

    assert report.status is RunStatus.SKIPPED
    assert time.monotonic() - began < 10


def test_named_locks_work_beside_the_whole_job(go: Go, open_session: Open) -> None:
    """A hand run of named items does not need the job's lock, only theirs."""
    open_session().try_lock(SPEC.name)
    report = go(working(Scripted(), items("a", locked=True)), named_locks=("test-job:thing:a",))

    assert (report.exit_code, report.counts.succeeded) == (0, 1)


def test_all_named_locks_taken_is_75(go: Go, open_session: Open) -> None:
    """If others work on all that was named, nothing is done."""
    other = open_session()
    other.try_lock("test-job:thing:a")
    other.try_lock("test-job:thing:b")

    assert go(named_locks=("test-job:thing:a", "test-job:thing:b")).exit_code is ExitCode.LOCKED


def test_some_named_locks_taken_does_the_rest(go: Go, open_session: Open) -> None:
    """If others work on some of what was named, the rest is done and the exit code says 3."""
    open_session().try_lock("test-job:thing:a")
    chosen = [dataclasses.replace(item, named=True) for item in items("a", "b", locked=True)]
    report = go(working(Scripted(), chosen), named_locks=("test-job:thing:a", "test-job:thing:b"))

    assert (
        report.exit_code,
        {item.key: str(item.status) for item in report.items},
    ) == (3, {"a": "skipped", "b": "success"})


def test_old_writer_makes_the_next_start_give_way(
    go: Go, open_session: Open, connection: Direct, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a transaction of a run without its lock is open, nobody else starts: 75, "is still writing"."""
    monkeypatch.setattr(lock, "OLD_WRITER_S", 0.2)
    first = open_session()
    fence = first.take(SPEC.name, run_id=UUID(int=7), holder="the old one")
    assert fence is not None
    with psycopg.connect(database_url) as writing:
        lock.pass_fence(writing, [fence])
        terminate(connection, first.backend_pid)
        report = go()
        writing.rollback()

    assert (report.exit_code, "is still writing" in str(report.error)) == (ExitCode.LOCKED, True)


# --- what stands in the way ------------------------------------------------------------------------------------------


def test_database_that_is_down_is_unavailable() -> None:
    """Nobody answers where the database should be: 69."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    with pytest.raises(Unavailable) as refused:
        run_job(SPEC, Request(), nothing, database=Database(f"postgresql://u@127.0.0.1:{port}/d"), environ={})
    assert refused.value.exit_code is ExitCode.UNAVAILABLE


def test_pooler_is_refused_before_anything_is_done(database_url: str, connection: Direct) -> None:
    """A run whose lock would mean nothing does not begin: 78, no row."""
    with transaction_pooler(database_url) as url, pytest.raises(ConfigurationProblem):
        run_job(SPEC, Request(), nothing, database=Database(url), environ={})

    assert ask(connection, "SELECT 1 FROM job_runs") == []


def test_work_may_go_through_a_pooler(database_url: str) -> None:
    """With a direct connection for the lock, all the work may go through a pooler in transaction mode."""
    with transaction_pooler(database_url, servers=2) as url:
        database = Database(url, lock_url=database_url)
        work = working(Scripted(), items("a", "b", locked=True))
        report = run_job(SPEC, Request(), work, database=database, environ={})
        database.close()

    assert (report.status, report.counts.succeeded) == (RunStatus.SUCCEEDED, 2)


def test_run_survives_a_role_whose_idle_sessions_are_ended(database_url: str, connection: Direct) -> None:
    """Neither the lock nor a work connection that idled for the length of a request costs the run anything."""
    with role(connection, "SET idle_session_timeout = '100ms'") as name:
        database = Database(with_user(database_url, name))

        def do(attempt: Attempt) -> ItemResult:
            mine = "SELECT pid FROM pg_stat_activity WHERE usename = %s AND pid <> %s"
            until(lambda: not ask(connection, mine, name, attempt.run.locks.backend_pid))
            return done(attempt)

        report = run_job(SPEC, Request(), working(Scripted(do), items("a", "b")), database=database, environ={})
        database.close()

    assert (report.status, report.counts.succeeded) == (RunStatus.SUCCEEDED, 2)


# --- found dead ------------------------------------------------------------------------------------------------------

_HANGING = "run_job(SPEC, Request(), working(Scripted(forever), items('a', 'b')), database=database, environ={})"


def test_killed_run_is_found_by_the_next(go: Go, database_url: str, connection: Direct) -> None:
    """After SIGKILL the next start works at once, and marks the dead run and the item it died on."""
    with process(database_url, _HANGING) as hanging:
        [(dead,)] = ask(connection, "SELECT id FROM job_runs WHERE status = 'running'")
        skipped = go()
        hanging.kill()
        hanging.wait(10)
        report = go(wait_s=5)

    assert (skipped.status, report.status) == (RunStatus.SKIPPED, RunStatus.SUCCEEDED)
    assert ask(connection, "SELECT item_key, status FROM job_items WHERE run_id = %s", dead) == [("a", "crashed")]
    assert run_row(connection, dead)[0] == "crashed"


def test_living_run_of_another_job_is_left_alone(go: Go, connection: Direct) -> None:
    """A run that starts beside a living one does not take it for dead."""
    seen: list[Any] = []

    def beside(_run: Run) -> list[ItemResult]:
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(go, spec=Job(name="other-job", noun=SPEC.noun)).result(20)
        seen.extend([other.status, ask(connection, "SELECT status FROM job_runs WHERE job = 'test-job'")])
        return []

    go(beside)

    assert seen == [RunStatus.SUCCEEDED, [("running",)]]


def test_two_jobs_that_start_after_a_crash_of_both_do_not_block_each_other(go: Go, connection: Direct) -> None:
    """After a reboot every job starts at once and buries what it finds; none of them fails over it."""
    specs = [Job(name=f"job-{number}", noun=SPEC.noun) for number in range(3)]
    for _ in range(3):
        for spec in specs:
            connection.execute(
                "INSERT INTO job_runs (id, job, trigger, host, pid, version)"
                " SELECT gen_random_uuid(), %s, 'timer', 'h', 1, '0' FROM generate_series(1, 4)",
                [spec.name],
            )
        with ThreadPoolExecutor(3) as pool:
            reports = list(pool.map(lambda spec: go(spec=spec), specs))

        assert {RunStatus.SUCCEEDED} == {report.status for report in reports}
    assert ask(connection, "SELECT status, count(*)::int FROM job_runs WHERE status <> 'succeeded' GROUP BY 1") == [
        ("crashed", 36)
    ]


# --- the lock lost mid-run -------------------------------------------------------------------------------------------


def lose_by_kill(attempt: Attempt, connection: Direct) -> None:
    terminate(connection, attempt.run.locks.backend_pid)


def lose_by_unlock(attempt: Attempt, _connection: Direct) -> None:
    on_lock_connection(attempt.run.locks, "SELECT pg_advisory_unlock(%s)", lock.lock_key(SPEC.name))


@pytest.mark.parametrize("lose", [lose_by_kill, lose_by_unlock])
def test_lost_lock_ends_the_run_with_70(go: Go, connection: Direct, lose: Callable[[Attempt, Direct], None]) -> None:
    """A run whose lock goes writes nothing more, starts nothing more, and says lock_lost in row and exit code."""

    def find(attempt: Attempt) -> ItemResult:
        lose(attempt, connection)
        return done(attempt)

    def keep(writing: Direct, _attempt: Attempt) -> None:
        writing.execute("INSERT INTO dealerships (name) VALUES ('written')")

    work = Scripted(find, keep)
    report = go(working(work, items("a", "b")))

    assert (report.status, report.exit_code, work.begun) == (RunStatus.LOCK_LOST, 70, ["a"])
    assert run_row(connection, report.run_id)[:2] == ("lock_lost", 70)
    assert ask(connection, "SELECT 1 FROM dealerships") == []


def test_loss_while_the_work_waits_stops_the_waiting(go: Go, connection: Direct) -> None:
    """Somebody who pauses between two tries is woken by the loss of the lock."""

    def do(attempt: Attempt) -> ItemResult:
        lose_by_kill(attempt, connection)
        began = time.monotonic()
        whole = attempt.run.pause(60)
        assert (whole, time.monotonic() - began < 10) == (False, True)
        raise LockLost("as found")

    assert go(working(Scripted(do), items("a"))).status is RunStatus.LOCK_LOST


def test_second_run_may_begin_while_the_first_still_thinks_it_has_the_lock(go: Go, connection: Direct) -> None:
    """The run that lost its lock cannot write beside its successor, and both get their own verdict."""
    reports: list[Report] = []

    def do(attempt: Attempt) -> ItemResult:
        lose_by_kill(attempt, connection)
        with ThreadPoolExecutor(1) as pool:
            reports.append(pool.submit(go, working(Scripted(), items("a"))).result(20))
        return done(attempt)

    reports.append(go(working(Scripted(do), items("a"))))

    assert [report.status for report in reports] == [RunStatus.SUCCEEDED, RunStatus.LOCK_LOST]
    assert [run_row(connection, report.run_id)[0] for report in reports] == ["succeeded", "lock_lost"]


def test_lost_lock_stands_above_work_that_broke_off(go: Go, connection: Direct) -> None:
    """If the server went away with the lock, work that raised for it does not turn the verdict into another."""

    def broken(run: Run) -> list[ItemResult]:
        terminate(connection, run.locks.backend_pid)
        until(run.must_stop)
        raise Unavailable("database: gone")

    report = go(broken)

    assert (report.status, report.exit_code) == (RunStatus.LOCK_LOST, 70)


# --- stopped ---------------------------------------------------------------------------------------------------------


def test_sigterm_finishes_the_current_item(go: Go, connection: Direct) -> None:
    """SIGTERM lets the item in work finish, starts none after it, and is no failure: cancelled, 0."""

    def do(attempt: Attempt) -> ItemResult:
        os.kill(os.getpid(), signal.SIGTERM)
        until(attempt.run.must_stop)
        return done(attempt)

    work = Scripted(do)
    report = go(working(work, items("a", "b")))

    assert (report.status, report.exit_code, work.begun) == (RunStatus.CANCELLED, 0, ["a"])
    assert ask(connection, "SELECT item_key, status FROM job_items") == [("a", "success")]
    assert run_row(connection, report.run_id)[:2] == ("cancelled", 0)


def test_sigterm_ends_a_pause(go: Go) -> None:
    """Whoever waits between two tries stops waiting on SIGTERM, and learns that the time has not passed."""
    whole: list[bool] = []

    def do(attempt: Attempt) -> ItemResult:
        os.kill(os.getpid(), signal.SIGTERM)
        whole.append(attempt.run.pause(60))
        return done(attempt)

    go(working(Scripted(do), items("a")))

    assert whole == [False]


def test_signal_handlers_are_put_back(go: Go) -> None:
    """After the run SIGTERM means what it meant before."""
    before = signal.getsignal(signal.SIGTERM)
    during: list[Any] = []

    def work(_run: Run) -> list[ItemResult]:
        during.append(signal.getsignal(signal.SIGTERM))
        return []

    go(work)

    assert (during[0] is not before, signal.getsignal(signal.SIGTERM) is before) == (True, True)


def test_deadline_leaves_the_rest_due(go: Go, connection: Direct) -> None:
    """After the deadline no item is started: timed_out, 3, and the rest is counted as remaining."""

    def do(attempt: Attempt) -> ItemResult:
        until(lambda: attempt.run.timed_out)
        return done(attempt)

    report = go(working(Scripted(do), items("a", "b", "c")), spec=deadline(1.0))

    assert (report.status, report.exit_code, report.counts.remaining) == (RunStatus.TIMED_OUT, 3, 2)
    assert run_row(connection, report.run_id)[:2] == ("timed_out", 3)


def test_items_left_out_do_not_hide_the_deadline(go: Go) -> None:
    """Ineligible items in the list do not stand in for the eligible ones that were not reached."""

    def do(attempt: Attempt) -> ItemResult:
        until(lambda: attempt.run.timed_out)
        return done(attempt)

    left_out = tuple(ItemResult(str(n), "out", ItemStatus.SKIPPED, reason="paused") for n in range(5))
    report = go(working(Scripted(do), items("a", "b", "c"), left_out=left_out), spec=deadline(1.0))

    assert RunStatus.TIMED_OUT is report.status


def test_deadline_reached_with_the_last_item_is_no_time_out(go: Go) -> None:
    """If all is done, it does not matter how late it became."""

    def do(attempt: Attempt) -> ItemResult:
        until(lambda: attempt.run.timed_out)
        return done(attempt)

    assert go(working(Scripted(do), items("a")), spec=deadline(1.0)).status is RunStatus.SUCCEEDED


def test_pause_ends_at_the_deadline(go: Go) -> None:
    """A pause that would reach beyond the deadline ends there."""
    passed: list[float | bool] = []

    def do(attempt: Attempt) -> ItemResult:
        began = time.monotonic()
        passed.append(attempt.run.pause(60))
        passed.append(time.monotonic() - began < 10)
        return done(attempt)

    go(working(Scripted(do), items("a")), spec=deadline(1.0))

    assert passed == [False, True]


# --- the verdict -----------------------------------------------------------------------------------------------------


def test_bug_outside_the_items_is_recorded_with_its_traceback(go: Go, connection: Direct) -> None:
    """Work that breaks as a whole is a failed run with its traceback, not a row that says running."""

    def broken(_run: Run) -> list[ItemResult]:
        raise ZeroDivisionError("by nought")

    report = go(broken)
    status, code, error, traceback = run_row(connection, report.run_id)

    assert (status, code, error) == ("failed", 1, "ZeroDivisionError: by nought")
    assert "Traceback" in traceback


def test_foreseen_problem_of_the_whole_work_keeps_its_exit_code(go: Go, connection: Direct) -> None:
    """Work that says the database is away is a failed run with 69, in row and report."""

    def away(_run: Run) -> list[ItemResult]:
        raise Unavailable("database: away")

    report = go(away)

    assert (report.exit_code, ("failed", 69, "database: away", None)) == (69, run_row(connection, report.run_id))


def test_verdict_survives_an_outage_at_the_end(go: Go, connection: Direct, server_url: str) -> None:
    """A server that lets nobody in when the run ends is asked again until the verdict is written."""
    [(name,)] = ask(connection, "SELECT current_database()")

    def shut(attempt: Attempt) -> ItemResult:
        result = done(attempt)
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        again.start()
        return result

    with psycopg.connect(server_url, autocommit=True) as server:
        again = threading.Timer(0.7, server.execute, [f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode()])
        report = go(working(Scripted(shut), items("a")))
        again.join(10)

    assert run_row(connection, report.run_id)[:2] == ("succeeded", 0)


@pytest.mark.parametrize(
    ("scheduled", "environ", "trigger"),
    [(False, {}, "manual"), (True, {}, "cron"), (True, {"INVOCATION_ID": "a1"}, "timer")],
)
def test_trigger(go: Go, connection: Direct, scheduled: bool, environ: dict[str, str], trigger: str) -> None:
    """A row says whether a person, a timer or cron asked."""
    go(scheduled=scheduled, environ=environ)

    assert [(trigger, environ.get("INVOCATION_ID"))] == ask(connection, "SELECT trigger, invocation_id FROM job_runs")


@pytest.mark.parametrize("descriptor", [0, 2])
def test_who_types_scheduled_at_a_terminal_is_a_person(
    go: Go, connection: Direct, monkeypatch: pytest.MonkeyPatch, descriptor: int
) -> None:
    """Neither a service nor a cron line has a terminal; INVOCATION_ID may be inherited from a desktop's session."""
    monkeypatch.setattr(os, "isatty", lambda number: number == descriptor)
    go(scheduled=True, environ={"INVOCATION_ID": "a1"})

    assert [("manual",)] == ask(connection, "SELECT trigger FROM job_runs")


def test_failed_hand_run_does_not_count_for_the_streak(go: Go, connection: Direct) -> None:
    """A person who tries something out does not raise an alert."""

    def broken(_run: Run) -> list[ItemResult]:
        raise ZeroDivisionError

    go(broken)
    go(broken, scheduled=True)
    go(broken, scheduled=True)
    go(broken)

    assert ask(connection, "SELECT consecutive_failures FROM jobs") == [(2,)]


def test_switched_off_job_is_done() -> None:
    """A job that is switched off did what it should: nothing, 0."""
    report = disabled_report("test-job")

    assert (report.status, report.exit_code, report.run_id) == (RunStatus.DISABLED, 0, None)


def test_signal_handler_waits_for_no_lock(go: Go) -> None:
    """It may interrupt the thread that holds the lock which a wake-up would want."""

    def over(run: Run) -> list[ItemResult]:
        with run._wake._cond:  # type: ignore[attr-defined]
            run.cancel()
        return []

    assert go(over).status is RunStatus.CANCELLED
