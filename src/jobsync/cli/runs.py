"""jobsync runs, jobsync locks: what ran, how it ended, who holds what now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from jobsync.cli.options import Json, group, instant, tools_of, transaction
from jobsync.cli.output import print_facts, print_lines, print_table, room_of_screen, say, show, write
from jobsync.cli.run import Wait
from jobsync.db.audit import write_audit
from jobsync.db.engine import driver
from jobsync.db.statements import read_now
from jobsync.db.system_settings import read_system_settings
from jobsync.errors import ExitCode, JobsyncError, UsageProblem
from jobsync.jobs import BY_NAME, CHECK_AUTHORIZATIONS, STOCK_SYNC
from jobsync.logs import complain, configure_hand_run, end_progress, show_progress, visible, visible_lines
from jobsync.phrases import stamp
from jobsync.runner.job import Report, RunStatus
from jobsync.runner.signals import stop_noted
from jobsync.upkeep import runs
from jobsync.upkeep.prune import count_old, prune

app = group("Runs of all jobs.")
RunName = Annotated[str, typer.Argument(metavar="RUN", help="The run's id or its beginning.", show_default=False)]


@app.command("list")
def list_(
    context: typer.Context,
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="Only runs of this job.", show_default=False)
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", metavar="STATUS", help="Only runs that ended so (repeatable).", show_default=False),
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only runs that failed, crashed or needed attention.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="WHEN", help="An instant, a date, or a span such as 12h or 1d6h.", show_default=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, metavar="N", help="At most so many.")] = 20,
    as_json: Json = False,
) -> None:
    """List the latest runs, newest first."""
    jobs = list(BY_NAME)
    if job is not None and job not in jobs:
        raise UsageProblem(f"--job: {visible(job, most=80)!r} is none of {', '.join(jobs)}")
    wanted = _wanted(status or (), failed=failed)
    with transaction(context) as connection:
        start = instant(since, connection) if since else None
        rows = runs.list_runs(connection, job=job, limit=limit, statuses=wanted, since=start)
    empty = "no such runs" if job or wanted or since else "no runs yet"
    table = _short if 0 < room_of_screen() < _WHOLE_FROM else _whole
    show(rows, as_json=as_json, otherwise=lambda: print_table(*table(rows), empty=empty))


_COUNTS = ("eligible", "succeeded", "partial", "held", "failed", "skipped")
_WHOLE_FROM = 140  # columns of a screen
Table = tuple[list[str], list[list[object]]]


def _whole(rows: Sequence[dict[str, Any]]) -> Table:
    columns = ["run", "job", "trigger", "status", "exit", "started", "seconds", *_COUNTS, "error"]
    return columns, [
        [
            str(row["run_id"])[:8],
            row["job"],
            row["trigger"],
            row["status"],
            row["exit_code"],
            row["started_at"],
            row["duration_s"],
            *(row["counts"].get(name) for name in _COUNTS),
            row["error"],
        ]
        for row in rows
    ]


def _short(rows: Sequence[dict[str, Any]]) -> Table:
    """Return what 80 columns hold, a line a run; `runs show` has the rest."""
    columns = ["run", "job", "trigger", "status", "started", "succeeded", "error"]
    return columns, [
        [
            str(row["run_id"])[:8],
            row["job"],
            row["trigger"],
            row["status"],
            stamp(row["started_at"]),
            f"{row['counts'].get('succeeded', 0)}/{row['counts'].get('eligible', 0)}",
            row["error"],
        ]
        for row in rows
    ]


def _wanted(statuses: Sequence[str], *, failed: bool) -> list[str]:
    known = [str(status) for status in RunStatus if status not in (RunStatus.DISABLED, RunStatus.SKIPPED)]
    unknown = [status for status in statuses if status not in known]
    if unknown:
        raise UsageProblem(f"--status: {unknown[0]!r} is none of {', '.join(known)}")
    good = ("running", "succeeded", "cancelled")
    return [*statuses, *(status for status in known if failed and status not in good)]


@app.command("prune")
def prune_(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would go, by table, and write nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """
    Delete what is past its retention now; the health timer does the same, bit by bit.

    After Ctrl-C it says how much went; the rest goes next time.
    """
    from jobsync.wiring.upkeep import RETENTION  # of every slice: who reads of runs does not pay for it

    tools = tools_of(context)
    with transaction(context) as connection:
        settings, now = read_system_settings(driver(connection)), read_now(connection)
    kept: list[str] = []
    stopped = False

    def stop(gone: Mapping[str, int]) -> bool:
        nonlocal stopped
        show_progress(f"{sum(gone.values())} rows deleted")
        stopped = stop_noted() is not None
        return stopped

    configure_hand_run(tools.environ)
    try:
        if dry_run:
            gone = count_old(
                tools.engine, settings, RETENTION, now=now, told=lambda table: show_progress(f"counting {table}")
            )
        else:
            gone = prune(tools.engine, settings, RETENTION, now=now, told=kept.append, stop=stop)
    finally:
        end_progress()
    some = {table: number for table, number in gone.items() if number}
    if some and not dry_run:
        with transaction(context) as connection:
            write_audit(connection, "runs.prune", None, some)
    done = ", ".join(f"{number} of {table}" for table, number in some.items())
    nothing = (
        "nothing could be deleted" if kept else "nothing was deleted" if stopped else "nothing is past its retention"
    )
    words = f"{'nothing was written; past retention:' if dry_run else 'deleted'} {done}" if done else nothing
    document = {"deleted": gone, "kept": kept, "interrupted": stopped, "dry_run": dry_run}
    show(document, as_json=as_json, otherwise=lambda: say(f"interrupted: {words}" if stopped else words))
    for sentence in kept:
        complain(f"jobsync: {sentence}")
    if stopped or kept:
        raise typer.Exit(ExitCode.INTERRUPTED if stopped else ExitCode.NEEDS_ATTENTION)


@app.command("show")
def show_(
    context: typer.Context,
    run: RunName,
    as_json: Json = False,
) -> None:
    """Show one run with its items."""
    from jobsync.wiring.upkeep import ITEMS_OF_RUNS

    with transaction(context) as connection:
        row = runs.show_run(connection, run, ITEMS_OF_RUNS)

    def tell() -> None:
        print_facts({name: value for name, value in row.items() if name not in ("items", "traceback")})
        columns = ["item_key", "label", "status", "attempt", "duration_ms", "counts", "error"]
        if all(item["label"] == item["item_key"] for item in row["items"]):
            columns.remove("label")
        print_table(columns, [[item[c] for c in columns] for item in row["items"]], title="items", empty="none")
        told = [f"{item['label']}: {warning}" for item in row["items"] for warning in item["warnings"]]
        print_lines(told, title="warnings")
        if row["traceback"]:
            write("\n" + visible_lines(row["traceback"]) + "\n")

    show(row, as_json=as_json, otherwise=tell)


class StillRunning(JobsyncError):
    """What failed in a run is known when it has ended."""

    exit_code = ExitCode.LOCKED


@app.command()
def retry(context: typer.Context, run: RunName, wait: Wait = 0.0, as_json: Json = False) -> None:
    """
    Run again, by hand and at once, exactly the items of a run that failed.

    Exit codes are those of the job. 0 where nothing failed; 75 while the run is still at work.
    """
    from jobsync.wiring.upkeep import ITEMS_OF_RUNS

    with transaction(context) as connection:
        row = runs.show_run(connection, run, ITEMS_OF_RUNS)
        job, name = row["job"], str(row["run_id"])
        if job not in BY_NAME:
            raise UsageProblem(f"run {name} is one of {visible(job, most=60)}, a job that this jobsync does not have")
        if row["status"] == RunStatus.RUNNING:
            raise StillRunning(f"run {name} is still running; what failed in it is known when it has ended")
        keys, gone = runs.read_retriable(connection, row, ITEMS_OF_RUNS)
        if keys:
            write_audit(connection, "runs.retry", name, {"job": job, "items": len(keys), "first": keys[:20]})
    for key in gone:
        complain(f"jobsync: {visible(key, most=80)} is gone or cancelled, and is left out")
    if not keys:
        nothing = Report(job, RunStatus.SUCCEEDED, ExitCode.DONE)
        told = vars(nothing) | {"counts": nothing.counts.as_json()}
        told = {name: told[name] for name in ("run_id", "job", "status", "exit_code", "counts", "items")}
        show(told, as_json=as_json, otherwise=lambda: say(f"no item failed in run {name}; nothing was done"))
    elif job == STOCK_SYNC.name:
        from jobsync.cli.stock_sync import stock_sync  # each brings its slice: who reads of runs does not pay for three

        stock_sync(context, dealership=[int(key) for key in keys], wait=wait, as_json=as_json)
    elif job == CHECK_AUTHORIZATIONS.name:
        from jobsync.cli.check_authorizations import check_authorizations

        check_authorizations(context, access_key=keys, wait=wait, as_json=as_json)
    else:  # a file that was lost, and could not be made again then, is one of what failed
        from jobsync.cli.generate_ride import generate_ride

        generate_ride(context, access_key=keys, missing=True, wait=wait, as_json=as_json)


def locks(context: typer.Context, as_json: Json = False) -> None:
    """Show who holds which lock now."""
    with transaction(context) as connection:
        rows = runs.list_locks(connection)
    columns = ["name", "holder", "acquired_at", "run_id", "backend_pid"]
    show(
        rows,
        as_json=as_json,
        otherwise=lambda: print_table(columns, [[row[c] for c in columns] for row in rows], empty="no lock is held"),
    )
