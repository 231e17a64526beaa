"""Each item in isolation: attempt committed first, worked on under its own lock, recorded; nothing stops the others."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar, runtime_checkable
from uuid import UUID

from psycopg import Connection

from jobsync.errors import ConfigurationProblem, JobsyncError, Unavailable
from jobsync.logs import get_logger, log_fields, show_progress, visible
from jobsync.runner import record
from jobsync.runner.job import ItemResult, ItemStatus
from jobsync.runner.lock import Fence, LockLost, OldWriter
from jobsync.runner.run import DryRun, Run


class ItemFailure(JobsyncError):
    """One item failed for a foreseen reason, a short stable code such as `credentials`."""

    status = ItemStatus.FAILED

    def __init__(self, text: str, *, reason: str, unreachable: bool = False, transient: bool = False) -> None:
        super().__init__(text)
        self.reason = reason
        self.unreachable = unreachable
        self.transient = transient


class NoLongerDue(JobsyncError):
    """Between being chosen and being started the item was changed by somebody; it is left alone."""


class NotStarted(JobsyncError):
    """An attempt comes to nothing by no fault of its item; `undo` takes back, in the slice's rows, that it began."""

    def __init__(self, text: str, *, undo: Callable[[Connection[Any]], None]) -> None:
        super().__init__(text)
        self.undo = undo


@dataclass(frozen=True)
class Item:
    """One piece of work."""

    key: str
    label: str
    lock_name: str | None = None  # taken while it is worked on
    named: bool = False  # the caller asked for this very item
    about: Mapping[str, object] = field(default_factory=dict)  # in every log line about it
    group: str | None = None  # what its slice sorts it by, such as whom it asks
    seen: object = None  # what its slice saw of it when it was chosen


@dataclass
class Trial:
    """What finding out about one item may use; in a dry run all that there is of an attempt."""

    run: Run | DryRun
    item: Item
    number: int = 0  # of the attempt; 0 in a dry run
    let_next: Callable[[], None] = lambda: None  # called when another item may start
    turn: ExitStack = field(default_factory=ExitStack)  # left when it is over
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_ms(self) -> int:
        return round((time.monotonic() - self.started) * 1000)


@dataclass
class Attempt(Trial):
    """What the work on one item may use."""

    run: Run
    on_commit: list[Callable[[], None]] = field(default_factory=list)  # called in order after its commit; for the log

    @property
    def run_id(self) -> UUID:
        return self.run.who.run_id

    def record(self, connection: Connection[Any], result: ItemResult) -> None:
        """Record the result inside the transaction that did the work, so that both are true or neither."""
        if self.run.spec.keeps_items:
            record.finish_item(connection, self.run_id, result, self.elapsed_ms)
        elif result.status is ItemStatus.FAILED:
            record.keep_failure(connection, self.run_id, result, attempt=self.number, duration_ms=self.elapsed_ms)


F = TypeVar("F")
T = TypeVar("T")


class Work(Protocol[F]):
    """
    What a slice supplies for its items: begin -> find -> keep, or failed.

    Only `find` asks the network, and no transaction is open meanwhile. The others are handed theirs, behind the fence;
    the runner opens and commits it, with the item's result in it.
    """

    def begin(self, connection: Connection[Any], item: Item) -> int:
        """Commit the attempt (count, next time) before it starts; return its number; raise NoLongerDue to leave it."""

    def find(self, attempt: Attempt) -> F:
        """Find out what there is to know; raise ItemFailure for what was foreseen, NotStarted to take it all back."""

    def keep(self, connection: Connection[Any], attempt: Attempt, found: F) -> ItemResult:
        """Write what was found; what it raises is rolled back with it."""

    def failed(self, connection: Connection[Any], attempt: Attempt, result: ItemResult) -> None:
        """Record the slice's own view of what `find` or `keep` raised."""


@runtime_checkable
class DryWork(Work[F], Protocol[F]):
    """Work that can be shown instead of done: a dry run finds, and keeps nothing."""

    def find(self, attempt: Trial) -> F:
        """Find out what there is to know, also where nothing was begun."""

    def show(self, connection: Connection[Any], item: Item, found: F) -> ItemResult:
        """Return what keeping it would come to; the transaction is read-only."""


@dataclass(frozen=True)
class ItemQueue:
    """
    Items that wait only for each other.

    `gate` is asked before each is started, from one thread; it may wait; False leaves the item for another run.
    """

    items: Sequence[Item]
    gate: Callable[[Item], bool] | None = None


def work_queues(
    run: Run | DryRun, queues: Sequence[ItemQueue], work: Work[Any], *, concurrency: int, total: int | None = None
) -> list[ItemResult]:
    """
    Work on several queues at once, `concurrency` items of each; a dry run on one item after the other.

    `total`: how many the run will have worked on in the end, if these are not all.
    """
    total = sum(len(waiting.items) for waiting in queues) if total is None else total
    if isinstance(run, DryRun):
        assert isinstance(work, DryWork)  # noqa: S101 - the jobs that have none take no --dry-run
        return [
            result for waiting in queues for item in waiting.items if (result := _show(run, waiting, item, work, total))
        ]
    run.progress.start(total)
    if len(queues) == 1:
        return _work_queue(run, queues[0], work, concurrency)
    with ThreadPoolExecutor(max_workers=max(1, len(queues)), thread_name_prefix="jobsync-queue") as pool:
        asked = [
            pool.submit(contextvars.copy_context().run, _work_queue, run, waiting, work, concurrency)
            for waiting in queues
        ]
        return [result for future in asked for result in future.result()]


def in_pages(
    run: Run | DryRun,
    first: Sequence[T],
    later: Sequence[int],
    read: Callable[[Connection[Any], Sequence[int]], Sequence[T]],
    *,
    most: int,
) -> Iterator[Sequence[T]]:
    """
    Yield `first`, then what `read` says is still to be worked on of `later`, `most` of them a page, until the run must
    stop. The numbers were read once, so what becomes due again meanwhile is not taken twice.
    """
    if not run.must_stop():
        yield first
    for start in range(0, len(later), most):
        if run.must_stop():
            return
        with run.transaction() as connection:
            page = read(connection, later[start : start + most])
        yield page


Ending = Future[ItemResult | None]  # None: it was not started after all


def _work_queue(run: Run, line: ItemQueue, work: Work[Any], concurrency: int) -> list[ItemResult]:
    results: list[ItemResult] = []
    waiting = iter(line.items)
    room = threading.Semaphore(concurrency)
    said: queue.SimpleQueue[Ending | None] = queue.SimpleQueue()  # who has ended; None: there is room
    most = 2 * concurrency  # with those that gave their place back and still write
    with ThreadPoolExecutor(max_workers=most, thread_name_prefix="jobsync-item") as pool:
        flying: dict[Ending, ExitStack] = {}
        exhausted = False
        while True:
            starting = not exhausted and len(flying) < most and not run.must_stop() and room.acquire(blocking=False)
            if starting:
                place = ExitStack()  # among those at work; given back once, early or at the item's end
                place.callback(said.put, None)
                place.callback(room.release)
                item = next(waiting, None)
                if item is None:
                    exhausted = True
                elif line.gate is None or line.gate(item):
                    future = pool.submit(contextvars.copy_context().run, _work_one, run, item, work, place.close)
                    flying[future] = place
                    future.add_done_callback(said.put)
                else:
                    place.close()
            elif not flying:
                return results
            for ended in _ended(said, wait_s=0.0 if starting else 1.0):
                flying.pop(ended).close()
                result = ended.result()
                if result is None:
                    continue
                results.append(result)
                run.progress.advance(failed=result.status is ItemStatus.FAILED)
            run.progress.beat()


def _ended(said: queue.SimpleQueue[Ending | None], *, wait_s: float) -> Iterator[Ending]:
    with suppress(queue.Empty):
        word = said.get(timeout=wait_s) if wait_s else said.get_nowait()
        while True:
            if word is not None:
                yield word
            word = said.get_nowait()


def _show(run: DryRun, line: ItemQueue, item: Item, work: DryWork[Any], total: int) -> ItemResult | None:
    show_progress(f"{run.shown}/{total} {run.spec.noun}")
    if line.gate is not None and not line.gate(item):
        return None
    run.shown += 1
    trial = Trial(run, item)
    with log_fields(item=item.key, **item.about):
        try:
            with trial.turn:
                found = work.find(trial)
                with run.transaction() as connection:
                    result = work.show(connection, item, found)
        except NotStarted:
            return None
        except Exception as error:  # noqa: BLE001 - as in a real run, one item never stops the others
            result = failure_of(item, error)
    return replace(result, named=item.named)


def _work_one(run: Run, item: Item, work: Work[Any], let_next: Callable[[], None]) -> ItemResult | None:
    with log_fields(item=item.key, **item.about):
        try:
            with run.holding(item.lock_name) as fences:
                if fences is None:
                    holder = run.locks.holder(item.lock_name or "")
                    get_logger().info("item.locked", label=item.label, holder=str(holder))
                    return _result(item, ItemStatus.SKIPPED, "locked", f"{holder} works on it")
                return _attempt(run, item, work, fences, let_next)
        except NoLongerDue as error:
            return _result(item, ItemStatus.SKIPPED, "changed", str(error))
        except OldWriter as error:
            return _result(item, ItemStatus.SKIPPED, "locked", str(error))
        except LockLost as error:
            run.lose(str(error))
            return _result(item, ItemStatus.FAILED, "lock_lost", f"{error}; nothing was written")
        except Exception as error:  # noqa: BLE001 - what fails around one attempt must not cost the others theirs
            return _blamed(run, item, error)


def _attempt(
    run: Run, item: Item, work: Work[Any], fences: Sequence[Fence], let_next: Callable[[], None]
) -> ItemResult | None:
    """Whatever goes wrong inside becomes the item's result. None: it was not started after all."""
    with run.writing(fences) as connection:
        number = work.begin(connection, item)
        if run.spec.keeps_items:
            record.begin_item(connection, run.who.run_id, item.key, item.label, number)
    attempt = Attempt(run, item, number, let_next)
    kept: ItemResult | None = None
    try:
        with attempt.turn:
            found = work.find(attempt)
            with run.writing(fences) as connection:
                kept = replace(work.keep(connection, attempt, found), named=item.named)
                attempt.record(connection, kept)
    except (LockLost, OldWriter, NoLongerDue):
        raise
    except NotStarted as left:
        with run.writing(fences) as connection:
            left.undo(connection)
            if run.spec.keeps_items:
                record.forget_item(connection, run.who.run_id, item.key)
        get_logger().info("item.not_started", label=item.label, why=str(left))
        return None
    except Exception as error:  # noqa: BLE001 - one item's failure must not stop the others
        result = _blamed(run, item, error)
        with run.writing(fences) as connection:
            # what was to be kept may have been, though the answer to the commit was lost
            unheard = kept is not None and run.spec.keeps_items
            if unheard and not record.is_item_open(connection, attempt.run_id, item.key):
                get_logger().warning("item.commit_unheard", label=item.label, error=result.error)
                return kept
            work.failed(connection, attempt, result)
            attempt.record(connection, result)
        return result
    for tell in attempt.on_commit:
        tell()
    return kept


def _blamed(run: Run, item: Item, error: Exception) -> ItemResult:
    """Return the result of an item that raised, to be called while it is handled; a bug's traceback is kept."""
    result = failure_of(item, error)
    if result.reason == "bug":
        run.keep_traceback()
    return result


def failure_of(item: Item, error: Exception) -> ItemResult:
    """Return the result of an item that raised, to be called while it is handled; a bug's traceback is logged."""
    if isinstance(error, ItemFailure):
        found = _result(item, error.status, error.reason, str(error))
        return replace(found, unreachable=error.unreachable, transient=error.transient)
    if isinstance(error, Unavailable):
        found = _result(item, ItemStatus.FAILED, "database", str(error))
        return replace(found, unreachable=True, transient=True)
    if isinstance(error, ConfigurationProblem):
        return _result(item, ItemStatus.FAILED, "configuration", str(error))
    get_logger().exception("item.bug", label=item.label)
    return _result(item, ItemStatus.FAILED, "bug", f"{type(error).__name__}: {error}")


def _result(item: Item, status: ItemStatus, reason: str, words: str) -> ItemResult:
    return ItemResult(item.key, item.label, status, reason=reason, error=visible(words), named=item.named)


def as_json(result: ItemResult) -> Mapping[str, Any]:
    """Return what every job's items have in common; a slice adds its identity and numbers."""
    shown = {"status": str(result.status), "reason": result.reason, "error": visible(result.error or "")}
    return {name: text for name, text in shown.items() if text}
