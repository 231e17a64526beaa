"""One run from start to exit code: lock -> record -> work -> close."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from jobsync.db.engine import Database, transaction, translated
from jobsync.errors import ExitCode, JobsyncError
from jobsync.jobs import Job
from jobsync.logs import get_logger, visible, visible_lines
from jobsync.runner import record
from jobsync.runner.job import ItemResult, Report, RunStatus, count_items, judge_run
from jobsync.runner.lock import (
    Fence,
    LockLost,
    LockSession,
    OldWriter,
    pass_fence,
    prove_locks,
    refuse_pooler,
    refuse_strange_locks,
    run_lock_name,
)
from jobsync.runner.progress import Progress, notify_systemd
from jobsync.runner.signals import stop_noted

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Engine

_WAIT_STEP_S = 0.25


@dataclass(frozen=True)
class Request:
    """
    How a run was asked for.

    Args:
        scheduled: a timer or cron asked; counts for the job's streak.
        wait_s: how long to wait for a lock that another run holds.
        named_locks: work under these locks only, not under the job's (a hand run of named items).
    """

    scheduled: bool = False
    wait_s: float = 0.0
    named_locks: tuple[str, ...] = ()


class Run:
    """What the work of one run may use; made by `run_job`."""

    def __init__(
        self,
        *,
        spec: Job,
        request: Request,
        who: record.RunIdentity,
        database: Database,
        engine: Engine,
        locks: LockSession,
        environ: Mapping[str, str],
    ) -> None:
        self.spec = spec
        self.request = request
        self.who = who
        self.database = database
        self.engine = engine
        self.locks = locks
        self.started = time.monotonic()
        self.eligible = 0
        self.streak = request.scheduled
        self.traceback: str | None = None
        self.progress = Progress(noun=spec.noun, environ=environ, write_row=self._write_progress)
        self._fences: dict[str, Fence] = {}
        self._wake = threading.Event()
        self.cancelled = False
        self.interrupted = False
        self.why_lost: str | None = None
        self.why_held: str | None = None

    # --- stopping ------------------------------------------------------------------------------------------------

    def cancel(self, *, interrupted: bool = False) -> None:
        """
        Stop starting items; those that run finish. `interrupted`: a person asked for it (SIGINT).

        Called by signal handlers: it takes no lock, since the thread that it interrupts may be holding it.
        """
        self.interrupted = self.interrupted or interrupted
        self.cancelled = True
        self.database.patience.hurry()

    def lose(self, why: str) -> None:
        """The lock is gone: nothing may be written any more."""
        self.why_lost = self.why_lost or why
        self._wake.set()

    def hold(self, why: str) -> None:
        """What every item needs cannot be used: nothing more is started, and no item is to blame."""
        self.why_held = self.why_held or why
        self._wake.set()

    @property
    def timed_out(self) -> bool:
        """Whether the job's deadline has passed."""
        return self.spec.deadline_s is not None and time.monotonic() - self.started >= self.spec.deadline_s

    @property
    def budget_spent(self) -> bool:
        """Whether a scheduled run leaves the rest to the next tick."""
        budget_s = self.spec.budget_s if self.request.scheduled else None
        return budget_s is not None and time.monotonic() - self.started >= budget_s

    def must_stop(self) -> bool:
        """Whether no further item may be started."""
        stopped = self.cancelled or self.why_lost is not None or self.why_held is not None
        return stopped or self.timed_out or self.budget_spent

    def pause(self, seconds: float) -> bool:
        """Wait, but not beyond the run's end; returns whether the whole time has passed and the run goes on."""
        ends = [self.spec.deadline_s, self.spec.budget_s if self.request.scheduled else None]
        for end_s in ends:
            if end_s is not None:
                seconds = min(seconds, max(0.0, self.started + end_s - time.monotonic()))
        until = time.monotonic() + seconds
        while not self.must_stop() and (left_s := until - time.monotonic()) > 0:
            self._wake.wait(min(left_s, _WAIT_STEP_S))
        return not self.must_stop()

    # --- locks and writes ----------------------------------------------------------------------------------------

    def take(self, name: str) -> bool:
        """Take a lock and raise its fence; False if another run holds it."""
        with translated():
            fence = self.locks.take(name, run_id=self.who.run_id, holder=self.who.holder)
        if fence is None:
            return False
        self._fences[name] = fence
        return True

    @property
    def own_fences(self) -> list[Fence]:
        """The fences of the locks that the run took at its start: the job's, or those of the named items."""
        names = self.request.named_locks or (self.spec.name,)
        return [self._fences[name] for name in names]

    @contextmanager
    def holding(self, name: str | None) -> Iterator[Sequence[Fence] | None]:
        """Hold an item's lock for the block; yields all fences that protect the item, None if it is taken."""
        job = self._fences.get(self.spec.name)  # one look: other threads take and drop locks meanwhile
        base = [job] if job else []
        if name is None:
            yield base
        elif name in self.request.named_locks:
            yield [self._fences[name]]
        elif not self.take(name):
            yield None
        else:
            try:
                yield [*base, self._fences[name]]
            finally:
                self._fences.pop(name, None)
                try:
                    self.locks.unlock(name)
                except LockLost as error:
                    self.lose(str(error))

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """Open a transaction that no fence protects: to read, or to write what is this run's alone."""
        with translated(), transaction(self.engine) as connection:
            yield connection

    @contextmanager
    def writing(self, fences: Sequence[Fence]) -> Iterator[psycopg.Connection[Any]]:
        """Open a write transaction behind the fence; commits at the end of the block, rolls back on any exception."""
        if self.why_lost is not None:
            raise LockLost(self.why_lost)
        with self.transaction() as connection:
            pass_fence(connection, fences)
            yield connection
            prove_locks(connection, fences)

    def keep_traceback(self) -> None:
        """Keep the traceback being handled for the run's row (the first one)."""
        self.traceback = self.traceback or visible_lines(traceback.format_exc())

    def _write_progress(self, done: int, failed: int) -> None:
        if self.why_lost is not None:
            return
        try:
            with self.transaction() as connection:
                counts = {"eligible": self.eligible, "done": done, "failed": failed}
                record.write_progress(connection, self.who.run_id, counts)
        except Exception as error:  # noqa: BLE001 - to show how far a run is must never end it
            get_logger().warning("run.progress_not_written", error=visible(error))


def run_job(
    spec: Job,
    request: Request,
    work: Callable[[Run], list[ItemResult]],
    *,
    database: Database,
    environ: Mapping[str, str],
    connections: int = 4,
    unfinished: record.Unfinished = record.tell_nobody,
) -> Report:
    """
    Do one run and return its verdict; never raises for what happens inside the work.

    Args:
        work: gets the run, sets `run.eligible`, returns the items' results.
        connections: work connections the run may open.
        unfinished: told of every run that is closed here, this one or one found dead, if it left items unfinished.

    Raises:
        Unavailable, ConfigurationProblem: the run could not even begin; no row was opened. Nor is one for a run that
            was stopped before it took a lock.
    """
    import structlog

    who = record.identify(uuid4(), spec.name, _trigger(request, environ), environ)
    with (
        structlog.contextvars.bound_contextvars(job=spec.name, run_id=str(who.run_id)),
        ExitStack() as stack,
        translated(),
    ):
        started = time.monotonic()
        refuse_strange_locks(database, application_name=who.application_name)
        refuse_pooler(lambda: database.lock_connection(application_name=who.application_name))
        engine = database.job_engine(application_name=who.application_name, connections=connections, prepare=True)
        holder: list[Run] = []
        locks = LockSession(
            lambda: database.lock_connection(application_name=who.application_name),
            on_lost=lambda why: holder[0].lose(why) if holder else None,
        )
        stack.callback(locks.close)
        run = Run(spec=spec, request=request, who=who, database=database, engine=engine, locks=locks, environ=environ)
        holder.append(run)
        stack.enter_context(_stopped_by_signals(run))
        if run.cancelled:
            return Report(spec.name, *judge_run([], cancelled=True, interrupted=run.interrupted))
        taken = _take_locks(run)
        if taken is not None:
            return _report_skip(run, taken)
        if not locks.try_lock(run_lock_name(who.run_id)):
            raise AssertionError("a new run's lock is taken")
        record.bury_crashed(run.transaction, locks, unfinished)
        with run.transaction() as connection:
            record.open_run(connection, who, holds_job=not run.request.named_locks)
        report = _work(run, work, started)
        engine.dispose()  # the verdict goes over a fresh connection, and the server may have no room for one more
        report, recorded = record.close_run(
            run.transaction,
            report,
            traceback=run.traceback,
            whole_job=not run.request.named_locks,
            counts_for_streak=run.streak,
            held=True,
            unfinished=unfinished,
        )
        _say(report, recorded=recorded)
        notify_systemd(environ, "STOPPING=1", f"STATUS={report.status}: {report.summary}")
        return report


def _trigger(request: Request, environ: Mapping[str, str]) -> str:
    """Return who asked: a person (also one who types --scheduled at a terminal), systemd, or cron and its like."""
    if not request.scheduled or os.isatty(0) or os.isatty(2):  # no service and no cron line has a terminal
        return "manual"
    return "timer" if "INVOCATION_ID" in environ else "cron"


def disabled_report(job: str, *, quiet: bool = False) -> Report:
    """Return what a run says whose job is switched off, or keeps quiet of; no row is opened."""
    if not quiet:
        get_logger().info("run.globally_disabled", job=job, message=f"{job} is globally disabled; nothing was done")
    return Report(job, RunStatus.DISABLED, ExitCode.DONE)


def idle_report(job: str) -> Report:
    """Return what a tick says that finds nothing due; no row is opened, no lock taken."""
    get_logger().debug("run.nothing_due", job=job)
    return Report(job, RunStatus.SUCCEEDED, ExitCode.DONE)


def _take_locks(run: Run) -> str | None:
    """Take the job's lock, or those of the named items; returns None, or who is in the way of all of them."""
    from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

    names = run.request.named_locks or (run.spec.name,)
    deadline = time.monotonic() + run.request.wait_s
    refused: dict[str, str] = {}
    for name in names:
        # its waits are plain sleeps: the main thread waits on no lock that its own signal handler may want
        trying = Retrying(
            retry=retry_if_result(lambda reason: reason is not None and not run.must_stop()),
            stop=stop_after_delay(max(0.0, deadline - time.monotonic())),
            wait=wait_fixed(_WAIT_STEP_S),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        if (reason := trying(_why_not_taken, run, name)) is not None:
            refused[name] = reason
    if len(refused) == len(names):
        return next(iter(refused.values()))
    if refused:
        kept = tuple(name for name in names if name not in refused)
        run.request = replace(run.request, named_locks=kept)
    return None


def _why_not_taken(run: Run, name: str) -> str | None:
    """Take a lock; returns None, or who is in the way."""
    try:
        return None if run.take(name) else f"{run.locks.holder(name)} holds the lock {name}"
    except OldWriter as error:
        return str(error)


def _report_skip(run: Run, by: str) -> Report:
    get_logger().warning("run.skipped", reason=by)
    with run.transaction() as connection:
        if run.request.scheduled:
            record.count_skip(connection, run.spec.name, visible(by))
    return Report(run.spec.name, RunStatus.SKIPPED, ExitCode.LOCKED, error=by)


def _work(run: Run, work: Callable[[Run], list[ItemResult]], started: float) -> Report:
    results: list[ItemResult] = []
    error: str | None = None
    try:
        results = work(run)
    except LockLost as problem:
        run.lose(str(problem))
    except JobsyncError as problem:
        error = visible(problem)
        get_logger().error("run.failed", error=error)
        return _make_report(run, *_broken_off(run, problem.exit_code), results, error, started)
    except Exception as problem:  # noqa: BLE001 - a bug in the work still closes its row, with the traceback
        get_logger().exception("run.bug")
        run.keep_traceback()
        error = f"{type(problem).__name__}: {visible(problem)}"
        return _make_report(run, *_broken_off(run, ExitCode.FAILED), results, error, started)
    unfinished = count_items(results, eligible=run.eligible).remaining > 0
    status, code = judge_run(
        results,
        lock_lost=run.why_lost is not None,
        cancelled=run.cancelled,
        interrupted=run.interrupted,
        timed_out=run.timed_out and unfinished,
        held=run.why_held is not None,
    )
    return _make_report(run, status, code, results, run.why_lost or run.why_held, started)


def _broken_off(run: Run, code: ExitCode) -> tuple[RunStatus, ExitCode]:
    """Return the verdict over work that raised; often it did so because the lock's server was gone."""
    if run.why_lost is not None:
        return RunStatus.LOCK_LOST, ExitCode.LOCK_LOST
    return RunStatus.FAILED, code


def _make_report(
    run: Run, status: RunStatus, code: ExitCode, results: list[ItemResult], error: str | None, started: float
) -> Report:
    return Report(
        job=run.spec.name,
        status=status,
        exit_code=code,
        run_id=run.who.run_id,
        counts=count_items(results, eligible=run.eligible),
        items=tuple(results),
        error=error,
        duration_s=time.monotonic() - started,
    )


def _say(report: Report, *, recorded: bool) -> None:
    level = "info" if report.exit_code is ExitCode.DONE else "warning"
    fields: dict[str, Any] = {
        "status": str(report.status),
        "exit_code": int(report.exit_code),
        **report.counts.as_json(),
        "duration_s": round(report.duration_s, 3),
        "summary": report.summary,
    }
    if report.error:
        fields["error"] = report.error
    if not recorded:
        fields["recorded"] = False
    getattr(get_logger(), level)("run.finished", **fields)


@contextmanager
def _stopped_by_signals(run: Run) -> Iterator[None]:
    """
    SIGTERM and SIGINT let current items finish, also one that came before the run could listen; handlers can be set in
    the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, _frame: FrameType | None) -> None:
        run.cancel(interrupted=number == signal.SIGINT)
        with suppress(RuntimeError):  # it may have interrupted this very stream in the middle of a line
            get_logger().warning("run.stopping", signal=signal.Signals(number).name)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    if (early := stop_noted()) is not None:
        on_signal(early, None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def database_now(connection: psycopg.Connection[Any]) -> datetime:
    """Return the database's clock, read once a transaction and handed down."""
    row = connection.execute("SELECT now()").fetchone()
    assert row is not None  # noqa: S101 - SELECT of a function
    now: datetime = row[0]
    return now
