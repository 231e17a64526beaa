"""One run from start to exit code: lock -> record -> work -> close."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import FrameType
from typing import Any, ClassVar, Self
from uuid import uuid4

from psycopg import Connection
from sqlalchemy import Engine
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from jobsync.db.engine import Database, transaction, translated
from jobsync.errors import ExitCode, JobsyncError
from jobsync.jobs import Job
from jobsync.logs import get_logger, log_fields, visible, visible_lines
from jobsync.runner import lock, record
from jobsync.runner.job import ItemResult, Report, RunStatus, count_items, judge_run
from jobsync.runner.progress import Progress, notify_systemd
from jobsync.runner.signals import stop_noted

_WAIT_STEP_S = 0.25


def _after(start: float, seconds: float | None) -> float:
    return math.inf if seconds is None else start + seconds


@dataclass(frozen=True)
class Request:
    """How a run was asked for."""

    scheduled: bool = False  # by a timer or cron: it counts for the job's streak
    wait_s: float = 0.0  # for a lock that another run holds
    named_locks: tuple[str, ...] = ()  # of named items, taken instead of the job's


class Run:
    """What the work of one run may use; made by `run_job`."""

    def __init__(
        self,
        spec: Job,
        request: Request,
        who: record.RunIdentity,
        database: Database,
        connections: int,
        environ: Mapping[str, str],
    ) -> None:
        self.spec = spec
        self.request = request
        self.who = who
        self.database = database
        self.started = time.monotonic()
        self._ends_at = _after(self.started, spec.deadline_s)
        budget_s = spec.budget_s if request.scheduled else None  # the rest is the next tick's
        self._begins_until = min(self._ends_at, _after(self.started, budget_s))
        self.eligible = 0
        self.streak = request.scheduled
        self.traceback: str | None = None
        self.progress = Progress(noun=spec.noun, environ=environ, write_row=self._write_progress)
        self._fences: dict[str, lock.Fence] = {}
        self._wake = threading.Event()
        self.cancelled = False
        self.interrupted = False
        self.why_lost: str | None = None
        self.why_held: str | None = None
        name = who.application_name
        self.engine = database.job_engine(application_name=name, connections=connections, prepare=True)
        self.locks = lock.LockSession(lambda: database.lock_connection(application_name=name), on_lost=self.lose)

    # --- stopping ------------------------------------------------------------------------------------------------

    def cancel(self, *, interrupted: bool = False) -> None:
        """
        Stop starting items; those that run finish. `interrupted`: a person asked for it (SIGINT).

        Called by signal handlers: it takes no lock, which the thread that it interrupts may be holding.
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
        return time.monotonic() >= self._ends_at

    def must_stop(self) -> bool:
        """Whether no further item may be started."""
        stopped = self.cancelled or self.why_lost is not None or self.why_held is not None
        return stopped or time.monotonic() >= self._begins_until

    def pause(self, seconds: float) -> bool:
        """Wait, but not beyond the run's end; returns whether the whole time has passed and the run goes on."""
        until = min(time.monotonic() + seconds, self._begins_until)
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
    def own_fences(self) -> list[lock.Fence]:
        """Those of the locks that the run took at its start: the job's, or those of the named items."""
        names = self.request.named_locks or (self.spec.name,)
        return [self._fences[name] for name in names]

    @contextmanager
    def holding(self, name: str | None) -> Iterator[Sequence[lock.Fence] | None]:
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
                except lock.LockLost as error:
                    self.lose(str(error))

    @contextmanager
    def transaction(self) -> Iterator[Connection[Any]]:
        """Open a transaction that no fence protects: to read, or to write what is this run's alone."""
        with translated(), transaction(self.engine) as connection:
            yield connection

    @contextmanager
    def writing(self, fences: Sequence[lock.Fence]) -> Iterator[Connection[Any]]:
        """Open a write transaction behind the fence; raises LockLost, and rolls back, where a lock is gone."""
        if self.why_lost is not None:
            raise lock.LockLost(self.why_lost)
        with self.transaction() as connection:
            lock.pass_fence(connection, fences)
            yield connection
            lock.prove_locks(connection, fences)

    def keep_traceback(self) -> None:
        """Keep the traceback being handled for the run's row, if it is the first."""
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


@dataclass
class DryRun:
    """What the work of a dry run may use: it takes no lock, writes nothing, and ends when its work does."""

    spec: Job
    engine: Engine
    eligible: int = 0
    streak: bool = False
    shown: int = 0

    def must_stop(self) -> bool:
        """Whether no further item may be started."""
        return False

    def pause(self, seconds: float) -> bool:
        """Wait; returns True: the whole time has passed."""
        time.sleep(seconds)
        return True

    @contextmanager
    def transaction(self) -> Iterator[Connection[Any]]:
        """Open a read-only transaction, which waits for what others keep locked no longer than a write."""
        with translated(), transaction(self.engine) as connection:
            connection.execute("SET TRANSACTION READ ONLY")
            record.limit_waits(connection)
            yield connection


class JobWork:
    """What a slice supplies for its job: asked in this order, in one transaction, before it is called with a run."""

    job: ClassVar[Job]

    def require_known(self, connection: Connection[Any]) -> None:
        """Raise UsageProblem if what is named does not exist, or is of no use."""

    def if_due(self, connection: Connection[Any]) -> Self | None:
        """Stamp the tick; return what of a scheduled run there is to do by now, None if nothing is."""
        return self if record.is_tick_due(connection, self.job.name) else None

    def told_again_at(self, connection: Connection[Any], now: datetime) -> datetime:  # noqa: ARG002 - others do
        """Return when a tick that finds the job switched off says so again, if work is due then."""
        return now + timedelta(hours=1)

    def require_ready(self, connection: Connection[Any]) -> None:
        """Raise what would make the whole run pointless."""

    @property
    def named_locks(self) -> tuple[str, ...]:
        """The locks of what is named, which a run then takes instead of the job's."""
        return ()

    @property
    def connections(self) -> int:
        """How many connections the run may open."""
        raise NotImplementedError

    def __call__(self, run: Run | DryRun) -> list[ItemResult]:
        """Do it; sets `run.eligible`, returns the items' results."""
        raise NotImplementedError


def run_dry(spec: Job, work: Callable[[DryRun], list[ItemResult]], engine: Engine) -> Report:
    """Return the report of a run's work, were it done now; raises what a run would close its row with."""
    run = DryRun(spec, engine)
    results = work(run)
    status, code = judge_run(results)
    return Report(spec.name, status, code, None, count_items(results, eligible=run.eligible), tuple(results))


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
        unfinished: told of every run that is closed here, this one or one found dead, if it left items unfinished.

    Raises:
        Unavailable, ConfigurationProblem: the run could not even begin; no row was opened. Nor is one for a run that
            was stopped before it took a lock.
    """
    who = record.identify(uuid4(), spec.name, _trigger(request, environ), environ)
    with log_fields(job=spec.name, run_id=str(who.run_id)), ExitStack() as stack, translated():
        lock.refuse_lock_url(database, application_name=who.application_name)
        run = Run(spec, request, who, database, connections, environ)
        stack.callback(run.locks.close)
        stack.enter_context(_stopped_by_signals(run))
        if run.cancelled:
            return Report(spec.name, *judge_run([], cancelled=True, interrupted=run.interrupted))
        taken = _take_locks(run)
        if taken is not None:
            return _report_skip(run, taken)
        if not run.locks.try_lock(lock.run_lock_name(who.run_id)):
            raise AssertionError("a new run's lock is taken")
        record.bury_crashed(run.transaction, run.locks, unfinished)
        with run.transaction() as connection:
            record.open_run(connection, who, holds_job=not run.request.named_locks)
        report = _work(run, work)
        run.engine.dispose()  # the verdict goes over a fresh connection, and the server may have no room for one more
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
    if not request.scheduled or os.isatty(0) or os.isatty(2):  # no service and no cron line has a terminal
        return "manual"
    return "timer" if "INVOCATION_ID" in environ else "cron"


def disabled_report(job: str, *, quiet: bool = False) -> Report:
    """Return what a run says whose job is switched off, or keeps quiet of."""
    if not quiet:
        get_logger().info("run.globally_disabled", job=job, message=f"{job} is globally disabled; nothing was done")
    return Report(job, RunStatus.DISABLED, ExitCode.DONE)


def _take_locks(run: Run) -> str | None:
    """Take the job's lock, or those of the named items that are free; returns who is in the way if none is."""
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
    try:
        return None if run.take(name) else f"{run.locks.holder(name)} holds the lock {name}"
    except lock.OldWriter as error:
        return str(error)


def _report_skip(run: Run, by: str) -> Report:
    get_logger().warning("run.skipped", reason=by)
    with run.transaction() as connection:
        if run.request.scheduled and not run.request.named_locks:  # else the job itself was not in the way
            record.count_skip(connection, run.spec.name, visible(by))
    return Report(run.spec.name, RunStatus.SKIPPED, ExitCode.LOCKED, error=by)


def _work(run: Run, work: Callable[[Run], list[ItemResult]]) -> Report:
    results: list[ItemResult] = []
    error: str | None = None
    broken_off: ExitCode | None = None
    try:
        results = work(run)
    except lock.LockLost as problem:
        run.lose(str(problem))
    except JobsyncError as problem:
        error, broken_off = visible(problem), problem.exit_code
        get_logger().error("run.failed", error=error)
    except Exception as problem:  # noqa: BLE001 - a bug in the work still closes its row, with the traceback
        get_logger().exception("run.bug")
        run.keep_traceback()
        error, broken_off = f"{type(problem).__name__}: {visible(problem)}", ExitCode.FAILED
    counts = count_items(results, eligible=run.eligible)
    status, code = judge_run(
        results,
        lock_lost=run.why_lost is not None,
        cancelled=run.cancelled,
        interrupted=run.interrupted,
        timed_out=run.timed_out and counts.remaining > 0,
        held=run.why_held is not None,
    )
    if broken_off is not None and run.why_lost is None:  # often work raised because the lock's server was gone
        status, code = RunStatus.FAILED, broken_off
    error = error or run.why_lost or run.why_held
    took_s = time.monotonic() - run.started
    return Report(run.spec.name, status, code, run.who.run_id, counts, tuple(results), error, took_s)


def _say(report: Report, *, recorded: bool) -> None:
    say = get_logger().info if report.exit_code is ExitCode.DONE else get_logger().warning
    say(
        "run.finished",
        status=str(report.status),
        exit_code=int(report.exit_code),
        **report.counts.as_json(),
        duration_s=round(report.duration_s, 3),
        summary=report.summary,
        **({"error": report.error} if report.error else {}),
        **({} if recorded else {"recorded": False}),
    )


@contextmanager
def _stopped_by_signals(run: Run) -> Iterator[None]:
    """SIGTERM and SIGINT let current items finish, also one that came before the run could listen."""
    if threading.current_thread() is not threading.main_thread():  # no other may set handlers
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


def database_now(connection: Connection[Any]) -> datetime:
    """Return the database's clock, read once a transaction and handed down."""
    now: datetime
    [(now,)] = connection.execute("SELECT now()").fetchall()
    return now
