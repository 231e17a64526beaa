"""jobsync runs, jobsync locks: what ran, how it ended, who holds what now."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from sqlalchemy import Connection

from jobsync.cli.command import Answer, Json, Since, argument, command, flag, group, option, said, since_when, table
from jobsync.cli.output import print_facts, print_lines, print_table, room_of_screen, write
from jobsync.cli.run import Wait, document_of
from jobsync.db.audit import AuditOfParts, write_audit
from jobsync.db.engine import driver
from jobsync.db.statements import read_now
from jobsync.db.system_settings import read_system_settings
from jobsync.errors import ExitCode, JobsyncError, UsageProblem
from jobsync.jobs import BY_NAME, CHECK_AUTHORIZATIONS, STOCK_SYNC
from jobsync.logs import complain, configure_hand_run, show_progress, visible, visible_lines
from jobsync.phrases import stamp
from jobsync.runner.job import Report, RunStatus
from jobsync.runner.signals import stop_noted
from jobsync.upkeep import runs
from jobsync.upkeep.prune import count_old, prune
from jobsync.wiring import Tools

app = group("Runs of all jobs.")
RunName = Annotated[str, argument("RUN", "The run's id or its beginning.")]


@command("runs list --failed --since 1d12h", of=app, reads=True)
def list_(
    tools: Tools,
    job: Annotated[str | None, option("JOB", "Only runs of this job.")] = None,
    status: Annotated[list[str] | None, option("STATUS", "Only runs that ended so (repeatable).")] = None,
    failed: Annotated[bool, flag("Only runs that failed, crashed or needed attention.")] = False,
    since: Since = None,
    limit: Annotated[int, option("N", "At most so many.", min=1, max=10_000)] = 20,
) -> Answer:
    """List the latest runs, newest first."""
    if job is not None and job not in BY_NAME:
        raise UsageProblem(f"--job: {visible(job, most=80)!r} is none of {', '.join(BY_NAME)}")
    wanted = _wanted(status or (), failed=failed)
    with tools.transaction() as connection:
        start = since_when(since, connection)
        rows = runs.list_runs(connection, job=job, limit=limit, statuses=wanted, since=start)
    empty = "no such runs" if job or wanted or since else "no runs yet"
    columns = {name: name for name in ("run", "job", "trigger", "status")}
    if 0 < room_of_screen() < _WHOLE_FROM:  # what 80 columns hold, a line a run; `runs show` has the rest
        columns |= {"started": "began", "succeeded": "share"}
    else:
        columns |= {"exit": "exit_code", "started": "started_at", "seconds": "duration_s"}
        columns |= {name: name for name in _COUNTS}
    return table(rows, columns | {"error": "error"}, map(_told, rows), empty=empty)


_COUNTS = ("eligible", "succeeded", "partial", "held", "failed", "skipped")
_WHOLE_FROM = 140  # columns of a screen


def _told(row: dict[str, Any]) -> dict[str, Any]:
    counts = {name: row["counts"].get(name) for name in _COUNTS}
    share = f"{counts['succeeded'] or 0}/{counts['eligible'] or 0}"
    return {**row, **counts, "run": str(row["run_id"])[:8], "began": stamp(row["started_at"]), "share": share}


def _wanted(statuses: Sequence[str], *, failed: bool) -> list[str]:
    known = [str(status) for status in RunStatus if status not in (RunStatus.DISABLED, RunStatus.SKIPPED)]
    if unknown := [status for status in statuses if status not in known]:
        raise UsageProblem(f"--status: {unknown[0]!r} is none of {', '.join(known)}")
    good = ("running", "succeeded", "cancelled")
    return [*statuses, *(status for status in known if failed and status not in good)]


@command("runs prune --dry-run", of=app)
def prune_(
    tools: Tools,
    dry_run: Annotated[bool, flag("Count what would go, by table, and write nothing.")] = False,
) -> Answer:
    """
    Delete what is past its retention now; the health timer does the same, bit by bit.

    After Ctrl-C it says how much went; the rest goes next time.
    """
    from jobsync.wiring.upkeep import RETENTION  # of every slice: who reads of runs does not pay for it

    with tools.transaction() as connection:
        settings, now = read_system_settings(driver(connection)), read_now(connection)
    kept: list[str] = []

    def stop(gone: Mapping[str, int]) -> bool:
        show_progress(f"{sum(gone.values())} rows deleted")
        return stop_noted() is not None

    configure_hand_run(tools.environ)
    if dry_run:
        counting = lambda table: show_progress(f"counting {table}")  # noqa: E731
        gone = count_old(tools.engine, settings, RETENTION, now=now, told=counting)
    else:
        record = AuditOfParts("runs.prune")
        gone = prune(tools.engine, settings, RETENTION, now=now, told=kept.append, record=record, stop=stop)
    stopped = not dry_run and stop_noted() is not None
    some = {table: number for table, number in gone.items() if number}
    done = ", ".join(f"{number} of {table}" for table, number in some.items())
    words = (
        "nothing could be deleted" if kept else "nothing was deleted" if stopped else "nothing is past its retention"
    )
    if done:
        words = f"{'nothing was written; past retention:' if dry_run else 'deleted'} {done}"
    return said(
        {"deleted": gone, "kept": kept, "interrupted": stopped, "dry_run": dry_run},
        f"interrupted: {words}" if stopped else words,
        code=ExitCode.INTERRUPTED if stopped else ExitCode.NEEDS_ATTENTION if kept else ExitCode.DONE,
        complaints=kept,
    )


@command("runs show 3f2a", of=app, reads=True)
def show(connection: Connection, run: RunName) -> Answer:
    """Show one run with its items."""
    from jobsync.wiring.upkeep import ITEMS_OF_RUNS

    row = runs.show_run(connection, run, ITEMS_OF_RUNS)

    def tell() -> None:
        print_facts({name: value for name, value in row.items() if name not in ("items", "traceback")})
        columns = ["item_key", "label", "status", "attempt", "duration_ms", "counts", "error"]
        if all(item["label"] == item["item_key"] for item in row["items"]):
            columns.remove("label")
        print_table(columns, row["items"], title="items", empty="none")
        told = [f"{item['label']}: {warning}" for item in row["items"] for warning in item["warnings"]]
        print_lines(told, title="warnings")
        if row["traceback"]:
            write("\n" + visible_lines(row["traceback"]) + "\n")

    return Answer(row, tell)


class StillRunning(JobsyncError):
    """What failed in a run is known when it has ended."""

    exit_code = ExitCode.LOCKED


@command("runs retry 3f2a", of=app)
def retry(tools: Tools, run: RunName, wait: Wait = 0.0, as_json: Json = False) -> Answer:
    """
    Run again, by hand and at once, exactly the items of a run that failed.

    Exit codes are those of the job. 0 where nothing failed; 75 while the run is still at work.
    """
    from jobsync.wiring.upkeep import ITEMS_OF_RUNS

    with tools.transaction() as connection:
        row = runs.show_run(connection, run, ITEMS_OF_RUNS)
        job, name = row["job"], str(row["run_id"])
        if job not in BY_NAME:
            raise UsageProblem(f"run {name} is one of {visible(job, most=60)}, a job that this jobsync does not have")
        if row["status"] == RunStatus.RUNNING:
            raise StillRunning(f"run {name} is still running; what failed in it is known when it has ended")
        keys, gone = runs.read_retriable(connection, row, ITEMS_OF_RUNS[job])
        if keys:
            write_audit(connection, "runs.retry", name, {"job": job, "items": len(keys), "first": keys[:20]})
    for key in gone:
        complain(f"jobsync: {visible(key, most=80)} is gone or cancelled, and is left out")
    if not keys:
        nothing = Report(job, RunStatus.SUCCEEDED, ExitCode.DONE)
        return said(document_of(nothing, []), f"no item failed in run {name}; nothing was done")
    if job == STOCK_SYNC.name:
        from jobsync.cli.stock_sync import stock_sync  # each brings its slice: who reads of runs does not pay for three

        return stock_sync(tools, dealership=[int(key) for key in keys], wait=wait, as_json=as_json)
    if job == CHECK_AUTHORIZATIONS.name:
        from jobsync.cli.check_authorizations import check_authorizations

        return check_authorizations(tools, access_key=keys, wait=wait, as_json=as_json)
    from jobsync.cli.generate_ride import generate_ride

    # a file that was lost, and could not be made again then, is one of what failed
    return generate_ride(tools, access_key=keys, missing=True, wait=wait, as_json=as_json)


@command("locks", reads=True)
def locks(connection: Connection) -> Answer:
    """Show who holds which lock now."""
    columns = ["name", "holder", "acquired_at", "run_id", "backend_pid"]
    return table(runs.list_locks(connection), columns, empty="no lock is held")
