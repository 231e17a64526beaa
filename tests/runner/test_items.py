"""Items in isolation: what one of them does reaches neither the others nor the run's verdict on them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from jobsync.db.engine import Database
from jobsync.errors import Unavailable
from jobsync.masking import register_secret
from jobsync.runner import lock
from jobsync.runner.items import Attempt, Item, ItemFailure
from jobsync.runner.job import ItemResult, ItemStatus, Report
from jobsync.runner.lock import LockSession
from jobsync.runner.run import Request, run_job
from tests.runner.support import SPEC, Scripted, ask, done, items, run_row, terminate, until, working

Direct = psycopg.Connection[Any]
Go = Callable[..., Report]


@pytest.fixture
def go(database: Database) -> Go:
    """Run a job over items."""

    def go(work: Scripted, chosen: list[Item], *, concurrency: int = 1, **request: Any) -> Report:
        return run_job(
            SPEC,
            Request(**request),
            working(work, chosen, concurrency=concurrency),
            database=database,
            environ={},
            connections=concurrency + 2,
        )

    return go


def rows(connection: Direct, report: Report) -> list[tuple[Any, ...]]:
    """Return key, status and error of the run's items."""
    return ask(
        connection,
        "SELECT item_key, status, error FROM job_items WHERE run_id = %s ORDER BY item_key",
        report.run_id,
    )


def failing(error: Exception, *keys: str) -> Scripted:
    """Return work that raises for these keys."""

    def do(attempt: Attempt) -> ItemResult:
        if attempt.item.key in keys:
            raise error
        return done(attempt)

    return Scripted(do)


def test_bug_in_one_item_leaves_the_others_alone(go: Go, connection: Direct) -> None:
    """An exception nobody foresaw fails its item; the others are done."""
    report = go(failing(ZeroDivisionError("by nought"), "b"), items("a", "b", "c"))

    assert rows(connection, report) == [
        ("a", "success", None),
        ("b", "failed", "ZeroDivisionError: by nought"),
        ("c", "success", None),
    ]


def test_bug_keeps_its_traceback_in_the_run(go: Go, connection: Direct) -> None:
    """The run's row holds the traceback, with its lines, of the first bug."""
    report = go(failing(ZeroDivisionError("by nought"), "a"), items("a"))
    traceback = run_row(connection, report.run_id)[3]

    assert traceback.startswith("Traceback (most recent call last):\n  File ")
    assert traceback.endswith("\nZeroDivisionError: by nought")


def test_foreseen_failure_leaves_no_traceback(go: Go, connection: Direct) -> None:
    """What was foreseen is a sentence, not a bug."""
    report = go(failing(ItemFailure("no such account", reason="credentials"), "a"), items("a"))

    assert run_row(connection, report.run_id) == ("failed", 1, None, None)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ItemFailure("no", reason="credentials"), ("a", "credentials", False)),
        (ItemFailure("later", reason="http", transient=True), ("a", "http", True)),
        (Unavailable("gone"), ("a", "database", True)),
        (ValueError("bug"), ("a", "bug", False)),
    ],
)
def test_slice_is_told_of_each_failure_and_whether_to_retry(
    go: Go, error: Exception, told: tuple[str, str, bool]
) -> None:
    """Only transient causes are worth a retry; the slice is told which this was."""
    work = failing(error, "a")
    go(work, items("a"))

    assert [told] == work.failures


@pytest.mark.parametrize("carried_out", [True, False])
def test_lost_answer_to_a_commit_is_asked_after(go: Go, connection: Direct, carried_out: bool) -> None:
    """A connection cut just then says nothing of what the server did: what was written is no failure."""

    def do(attempt: Attempt) -> ItemResult:
        result = ItemResult(attempt.item.key, attempt.item.label, ItemStatus.SUCCESS)
        with suppress(RuntimeError), attempt.run.writing(attempt.fences) as inside:
            attempt.record(inside, result)
            if not carried_out:
                raise RuntimeError
        raise Unavailable("database: the connection was cut")

    work = Scripted(do)
    report = go(work, items("a"))
    told = ("a", "success", None) if carried_out else ("a", "failed", "database: the connection was cut")

    assert rows(connection, report) == [told]
    assert ([], [("a", "database", True)])[not carried_out] == work.failures
    assert [item.status for item in report.items] == [ItemStatus(told[1])]


class _Failing(Scripted):
    def __init__(self, at: str, error: Exception) -> None:
        super().__init__()
        self._at = at
        self._error = error

    def begin(self, connection: Direct, item: Item) -> int:
        if self._at == "begin" and item.key == "a":
            raise self._error
        return super().begin(connection, item)

    def do(self, attempt: Attempt) -> ItemResult:
        if self._at == "failed" and attempt.item.key == "a":
            raise ItemFailure("no", reason="http")
        return super().do(attempt)

    def failed(self, connection: Direct, attempt: Attempt, result: ItemResult) -> None:  # noqa: ARG002
        raise self._error


@pytest.mark.parametrize("at", ["begin", "failed"])
def test_bug_round_an_attempt_leaves_the_others_alone(go: Go, at: str) -> None:
    """Beginning an attempt, or recording a failure, may break for one item without costing the others."""
    report = go(_Failing(at, ZeroDivisionError("by nought")), items("a", "b"))

    assert {item.key: str(item.status) for item in report.items} == {"a": "failed", "b": "success"}


def test_attempt_is_committed_before_the_work(go: Go, connection: Direct) -> None:
    """While an item is worked on, others can see that its attempt began."""
    seen: list[Any] = []

    def do(attempt: Attempt) -> ItemResult:
        seen.extend(ask(connection, "SELECT item_key, status, attempt FROM job_items"))
        return done(attempt)

    go(Scripted(do), items("a"))

    assert seen == [("a", "running", 1)]


def test_result_that_was_rolled_back_is_not_taken_for_recorded(go: Go, connection: Direct) -> None:
    """If the transaction that carried the result fails after all, the failure is recorded in its place."""

    def do(attempt: Attempt) -> ItemResult:
        result = ItemResult("a", "thing a", ItemStatus.SUCCESS)
        with attempt.writing() as writing:
            attempt.record(writing, result)
            writing.execute("SELECT 1/0")
        return result

    work = Scripted(do)
    report = go(work, items("a"))
    [(_, status, error)] = rows(connection, report)

    assert (status, "DivisionByZero" in error, work.failures) == ("failed", True, [("a", "bug", False)])


def test_commit_that_fails_is_a_failure(go: Go, connection: Direct) -> None:
    """A connection that dies at COMMIT takes the success with it, in the row and in what the slice is told."""

    def do(attempt: Attempt) -> ItemResult:
        result = ItemResult("a", "thing a", ItemStatus.SUCCESS)
        with attempt.writing() as writing:
            attempt.record(writing, result)
            terminate(connection, writing.info.backend_pid)
        return result

    work = Scripted(do)
    report = go(work, items("a"))
    [(_, status, _)] = rows(connection, report)

    assert (status, work.failures) == ("failed", [("a", "database", True)])


def test_work_that_did_not_record_is_recorded(go: Go, connection: Direct) -> None:
    """A result that the work only returned reaches its row all the same."""
    report = go(Scripted(lambda _attempt: ItemResult("a", "thing a", ItemStatus.HELD, reason="limit")), items("a"))

    assert rows(connection, report) == [("a", "held", "limit")]


def test_locked_item_is_skipped_and_says_who_has_it(
    go: Go, open_session: Callable[[], LockSession], connection: Direct
) -> None:
    """An item that another process works on is skipped with its holder's name; the others are done."""
    other = open_session()
    other.try_lock("test-job:thing:b")
    report = go(Scripted(), items("a", "b", "c", locked=True))
    skipped = next(item for item in report.items if item.key == "b")

    assert (skipped.status, skipped.reason, report.counts.succeeded) == (ItemStatus.SKIPPED, "locked", 2)


def test_item_lock_is_given_back_after_each_item(go: Go, open_session: Callable[[], LockSession]) -> None:
    """While the second item is worked on, the first is free for others."""
    other = open_session()
    free: dict[str, bool] = {}

    def do(attempt: Attempt) -> ItemResult:
        if attempt.item.key == "b":
            free["a"] = other.try_lock("test-job:thing:a")
            free["b"] = other.try_lock("test-job:thing:b")
        return done(attempt)

    go(Scripted(do), items("a", "b", locked=True))

    assert free == {"a": True, "b": False}


def test_item_with_an_old_writer_is_skipped(
    go: Go, open_session: Callable[[], LockSession], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item whose earlier holder still writes is left alone this time, and is not a failure."""
    monkeypatch.setattr(lock, "OLD_WRITER_S", 0.2)
    first = open_session()
    fence = first.take("test-job:thing:a", run_id=uuid4(), holder="an old one")
    assert fence is not None
    with psycopg.connect(database_url) as writing:
        lock.pass_fence(writing, [fence])
        first.close()
        report = go(Scripted(), items("a", "b", locked=True))
        writing.rollback()

    assert {item.key: str(item.status) for item in report.items} == {"a": "skipped", "b": "success"}


@pytest.mark.parametrize("concurrency", [1, 2, 4])
def test_as_many_items_at_once_as_asked(go: Go, concurrency: int) -> None:
    """Exactly `concurrency` items are in work together: never more, and as many as there can be."""
    meeting = threading.Barrier(concurrency)
    guard = threading.Lock()
    now = most = 0

    def do(attempt: Attempt) -> ItemResult:
        nonlocal now, most
        with guard:
            now += 1
            most = max(most, now)
        meeting.wait(10)
        with guard:
            now -= 1
        return done(attempt)

    report = go(Scripted(do), items(*"abcdefgh", locked=True), concurrency=concurrency)

    assert (concurrency, 8) == (most, report.counts.succeeded)


def test_next_item_may_start_before_this_one_is_written(go: Go) -> None:
    """An item that gives its place back early is overtaken by the next, once; it gives back no second place."""
    started = {key: threading.Event() for key in "abc"}
    at_once: list[int] = []

    def do(attempt: Attempt) -> ItemResult:
        key = attempt.item.key
        started[key].set()
        if key == "a":
            attempt.let_next()
            attempt.let_next()
            assert started["b"].wait(5)
            at_once.append(sum(event.is_set() for event in started.values()))
        elif key == "b":
            assert not started["c"].wait(0.2)
        return done(attempt)

    report = go(Scripted(do), items("a", "b", "c"))

    assert (report.counts.succeeded, at_once) == (3, [2])


def test_locks_come_and_go_under_many_workers(go: Go) -> None:
    """Workers that take and drop their locks all the time do not disturb each other's view of the fences."""
    report = go(Scripted(), items(*(f"{n:03}" for n in range(60)), locked=True), concurrency=8)

    assert report.counts.succeeded == 60


def test_pooled_connection_that_the_server_ended_is_replaced(go: Go, connection: Direct) -> None:
    """A work connection that died while its item was out in the network does not cost the item."""

    def do(attempt: Attempt) -> ItemResult:
        idle = ask(
            connection,
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'"
            " AND application_name LIKE 'jobsync:%%' AND pid <> %s AND pid <> pg_backend_pid()",
            attempt.run.locks.backend_pid,
        )
        assert idle
        for (pid,) in idle:
            terminate(connection, pid)
        return done(attempt)

    report = go(Scripted(do), items("a"))

    assert report.counts.succeeded == 1


def test_secret_reaches_neither_row_nor_report(go: Go, connection: Direct) -> None:
    """A known secret in an error is masked in the item, the run's row, the traceback and the report."""
    register_secret("hunter2-hunter2")
    report = go(failing(ValueError("the key is hunter2-hunter2"), "a", "b"), items("a", "b"))
    kept = [*rows(connection, report), run_row(connection, report.run_id), report.items]

    assert "hunter2" not in repr(kept)
    assert "the key is •••" in repr(kept)


def test_items_finish_after_cancel_but_none_is_started(go: Go) -> None:
    """Those in work finish; those that wait stay due."""

    def do(attempt: Attempt) -> ItemResult:
        attempt.run.cancel()
        until(attempt.run.must_stop)
        return done(attempt)

    report = go(Scripted(do), items("a", "b", "c"))

    assert (report.counts.succeeded, report.counts.remaining) == (1, 2)
