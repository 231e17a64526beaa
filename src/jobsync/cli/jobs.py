"""The jobs themselves: options in, one run, exit code out."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobsync.cli.options import Json, tools_of
from jobsync.cli.output import print_json, print_table, say
from jobsync.cli.ping import ping_end, ping_start
from jobsync.errors import ExitCode, JobsyncError, UsageProblem
from jobsync.jobs import CHECK_AUTHORIZATIONS, GENERATE_RIDE, STOCK_SYNC, Job
from jobsync.logs import complain, configure_hand_run, end_progress, get_logger
from jobsync.runner.job import ItemStatus, Report, RunStatus

if TYPE_CHECKING:
    from psycopg import Connection

    from jobsync.wiring import Tools


Wait = Annotated[
    float,
    typer.Option(
        "--wait", min=0, metavar="SEC", help="Wait so long for a run that holds the lock.", show_default=False
    ),
]
Scheduled = Annotated[bool, typer.Option("--scheduled", help="Only what is due; what timers pass.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change; write nothing.")]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="At most so many documents.", show_default=False)
]
TenantRucs = Annotated[
    list[str] | None,
    typer.Option("--tenant", metavar="RUC", help="Only this tenant's (repeatable).", show_default=False),
]
AccessKeys = Annotated[
    list[str] | None,
    typer.Option("--access-key", metavar="KEY", help="Only this one, due or not (repeatable).", show_default=False),
]

_DISABLED_SAID_EVERY = timedelta(hours=1)


def stock_sync(
    context: typer.Context,
    dealership: Annotated[
        list[int] | None,
        typer.Option(
            "--dealership", metavar="ID", help="Only this one, even if paused (repeatable).", show_default=False
        ),
    ] = None,
    scheduled: Scheduled = False,
    dry_run: DryRun = False,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", min=1, max=32, metavar="N", help="Dealerships at once; default: easycar_sync_concurrency."
        ),
    ] = None,
    wait: Wait = 0.0,
    as_json: Json = False,
) -> None:
    """
    Bring dealerships' EasyCars stock into Postgres.

    Without options: that of every dealership which is neither paused nor switched off, now.
    """
    tools = tools_of(context)
    named = tuple(sorted(set(dealership or ())))  # one order for all, so that two runs never wait for each other

    def do() -> Report:
        _require_seconds(wait)
        if scheduled and named:
            raise UsageProblem("--scheduled asks what is due; it cannot go with --dealership")
        return _run_stock_sync(
            tools,
            named=named,
            scheduled=scheduled,
            tick=scheduled and not (as_json or dry_run),
            dry_run=dry_run,
            concurrency=concurrency,
            wait_s=wait,
        )

    report = _reported(STOCK_SYNC.name, do, tools, scheduled=scheduled, as_json=as_json)
    if as_json or not scheduled or dry_run:  # a timer's run speaks through its log lines and its row
        _print(report, as_json=as_json, dry_run=dry_run, scheduled=scheduled)
    raise typer.Exit(report.exit_code)


def check_authorizations(
    context: typer.Context,
    tenant: TenantRucs = None,
    access_key: AccessKeys = None,
    scheduled: Scheduled = False,
    limit: Limit = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask the SRI, and write nothing.")] = False,
    wait: Wait = 0.0,
    as_json: Json = False,
) -> None:
    """
    Ask the SRI whether documents are authorized.

    Without options: about every document whose next check is due.
    """
    tools = tools_of(context)
    keys, tenants = _each_once(access_key), _each_once(tenant)

    def do() -> Report:
        _require_seconds(wait)
        if scheduled and keys:
            raise UsageProblem("--scheduled asks what is due; it cannot go with --access-key")
        return _run_check_authorizations(
            tools,
            keys=keys,
            tenants=tenants,
            scheduled=scheduled,
            tick=scheduled and not (as_json or dry_run),
            limit=limit,
            dry_run=dry_run,
            wait_s=wait,
        )

    report = _reported(CHECK_AUTHORIZATIONS.name, do, tools, scheduled=scheduled, as_json=as_json)
    if as_json or not scheduled or dry_run:
        _print_documents(report, as_json=as_json, dry_run=dry_run)
    raise typer.Exit(report.exit_code)


def generate_ride(
    context: typer.Context,
    tenant: TenantRucs = None,
    access_key: AccessKeys = None,
    scheduled: Scheduled = False,
    force: Annotated[bool, typer.Option("--force", help="Render anew what has its file already.")] = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="Render again those whose file is missing or altered.")
    ] = False,
    limit: Limit = None,
    wait: Wait = 0.0,
    as_json: Json = False,
) -> None:
    """
    Render the RIDE (PDF) of authorized documents.

    Without options: of every one that is due, which means new or to be tried again.
    """
    tools = tools_of(context)
    keys, tenants = _each_once(access_key), _each_once(tenant)

    def do() -> Report:
        _require_seconds(wait)
        if scheduled and (keys or force or missing):
            raise UsageProblem("--scheduled asks what is due; it cannot go with --access-key, --force or --missing")
        if force and missing:
            raise UsageProblem("--force renders anew whatever is there, --missing what is not: one of the two")
        if force and not (keys or tenants):
            raise UsageProblem("--force renders anew: say whose with --tenant, or which with --access-key")
        return _run_generate_ride(
            tools,
            keys=keys,
            tenants=tenants,
            scheduled=scheduled,
            tick=scheduled and not as_json,
            force=force,
            missing=missing,
            limit=limit,
            wait_s=wait,
        )

    report = _reported(GENERATE_RIDE.name, do, tools, scheduled=scheduled, as_json=as_json)
    if as_json or not scheduled:
        _print_rides(report, tools, as_json=as_json)
    raise typer.Exit(report.exit_code)


def _run_generate_ride(
    tools: Tools,
    *,
    keys: tuple[str, ...],
    tenants: tuple[str, ...],
    scheduled: bool,
    tick: bool,
    force: bool,
    missing: bool,
    limit: int | None,
    wait_s: float,
) -> Report:
    from jobsync.db.system_settings import read_system_settings
    from jobsync.ride import job
    from jobsync.runner.run import Request, idle_report, run_job

    tools.storage  # noqa: B018 - a missing setting is named before anything else
    with _asking(tools) as connection:
        settings = read_system_settings(connection)
        work = tools.generate_ride(
            settings,
            access_keys=keys,
            tenants=tenants,
            force=force,
            missing=missing,
            limit=limit,
            every=not scheduled,
        )
        job.require_known(connection, work)
        _warn_of_private_database(tools, scheduled=scheduled)
        if not settings.switch(GENERATE_RIDE.switch):
            return _disabled(connection, GENERATE_RIDE, partial(job.is_due, connection), tick=tick)
        if scheduled and not job.is_due(connection):
            return idle_report(GENERATE_RIDE.name)
    tools.job_engine.dispose()  # a run has its own connections; the server may have few
    return run_job(
        GENERATE_RIDE,
        Request(scheduled=scheduled, wait_s=wait_s),
        ping_start(tools, work),
        database=tools.database,
        environ=tools.environ,
        unfinished=tools.log_unfinished,
        connections=job.AT_ONCE + 2,
    )


def _each_once(texts: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.strip() for text in texts or ()))


def _require_seconds(wait_s: float) -> None:
    if not math.isfinite(wait_s):
        raise UsageProblem("--wait: expected a number of seconds")


def _reported(job: str, do: Callable[[], Report], tools: Tools, *, scheduled: bool, as_json: bool) -> Report:
    """Return the report of what is done, when its ping has left; with --json also when it could not even begin."""
    if not scheduled:
        configure_hand_run(tools.environ)
    try:
        report = do()
    except JobsyncError as error:
        if not as_json:
            raise
        report = Report(job, RunStatus.FAILED, error.exit_code, error=str(error))
    finally:
        end_progress()
    ping_end(tools, report, scheduled=scheduled)
    return report


def _run_check_authorizations(
    tools: Tools,
    *,
    keys: tuple[str, ...],
    tenants: tuple[str, ...],
    scheduled: bool,
    tick: bool,
    limit: int | None,
    dry_run: bool,
    wait_s: float,
) -> Report:
    from jobsync.db.system_settings import read_system_settings
    from jobsync.runner.run import Request, idle_report, run_job
    from jobsync.sri import job

    with _asking(tools) as connection:
        settings = read_system_settings(connection)
        work = tools.check_authorizations(settings, access_keys=keys, tenants=tenants, limit=limit, every=not scheduled)
        job.require_known(connection, work)
        _warn_of_private_database(tools, scheduled=scheduled)
        if not settings.switch(CHECK_AUTHORIZATIONS.switch):
            return _disabled(connection, CHECK_AUTHORIZATIONS, partial(job.is_due, connection), tick=tick)
        if scheduled and not dry_run and not job.is_due(connection):
            return idle_report(CHECK_AUTHORIZATIONS.name)
    if dry_run:
        return job.dry_run(work, tools.job_engine, pause=lambda seconds: not threading.Event().wait(seconds))
    tools.job_engine.dispose()  # a run has its own connections; the server may have few
    return run_job(
        CHECK_AUTHORIZATIONS,
        Request(scheduled=scheduled, wait_s=wait_s),
        ping_start(tools, work),
        database=tools.database,
        environ=tools.environ,
        unfinished=tools.log_unfinished,
        connections=min(2 * work.concurrency + 2, _CONNECTIONS_MOST),
    )


# Writes are short: calls in flight share them, instead of using up what the server has for everybody. Each more costs
# the server a process that learns everything anew, which weighs more than the few writes that it lets run side by side.
_CONNECTIONS_MOST = 8


@contextmanager
def _asking(tools: Tools) -> Iterator[Connection[Any]]:
    """Open the transaction that asks what there is to do; waits for what others keep locked no longer than a write."""
    from jobsync.db.engine import transaction, translated
    from jobsync.runner.lock import ROWS_WITHIN_S
    from jobsync.runner.record import limit_waits

    with translated(), transaction(tools.job_engine) as connection:
        limit_waits(connection, ROWS_WITHIN_S)
        yield connection


def _disabled(
    connection: Connection[Any],
    job: Job,
    is_due: Callable[[], bool],
    again_at: Callable[[datetime], datetime] = lambda now: now + _DISABLED_SAID_EVERY,
    *,
    tick: bool,
) -> Report:
    """Return the report of a job that is switched off; a tick says so if its work is due, and not again before long."""
    from jobsync.runner.record import say_disabled_again_at
    from jobsync.runner.run import database_now, disabled_report

    if tick and not is_due():
        return disabled_report(job.name, quiet=True)
    if tick:
        say_disabled_again_at(connection, job.name, again_at(database_now(connection)))
    return disabled_report(job.name)


def _warn_of_private_database(tools: Tools, *, scheduled: bool) -> None:
    if scheduled and tools.settings.database_is_default:
        get_logger().warning(
            "run.private_database",
            message="JOBSYNC_DATABASE_URL is not set here: this tick asks the private database of this user;"
            " say embedded: if that is meant",
        )


def _run_stock_sync(
    tools: Tools,
    *,
    named: tuple[int, ...],
    scheduled: bool,
    tick: bool,
    dry_run: bool,
    concurrency: int | None,
    wait_s: float,
) -> Report:
    from jobsync.db.system_settings import read_system_settings
    from jobsync.easycars import job
    from jobsync.runner.run import Request, idle_report, run_job

    with _asking(tools) as connection:
        job.require_known(connection, named)
        settings = read_system_settings(connection)
        _warn_of_private_database(tools, scheduled=scheduled)
        if not settings.switch(STOCK_SYNC.switch):
            return _disabled(
                connection,
                STOCK_SYNC,
                partial(job.is_due, connection, tools.easycars_hosts),
                partial(job.next_slot_of_any, connection),
                tick=tick,
            )
        if scheduled and not dry_run and not job.is_due(connection, tools.easycars_hosts):
            return idle_report(STOCK_SYNC.name)
        if not scheduled:
            job.require_awake(connection, named, tools.easycars_hosts)
        work = tools.stock_sync(settings, named=named, scheduled=scheduled, concurrency=concurrency)
        if scheduled:
            job.require_key(connection, work.cipher)
    if dry_run:
        return job.dry_run(work, tools.job_engine, pause=lambda seconds: not threading.Event().wait(seconds))
    tools.job_engine.dispose()  # a run has its own connections; the server may have few
    return run_job(
        STOCK_SYNC,
        Request(scheduled=scheduled, wait_s=wait_s, named_locks=tuple(job.lock_name(number) for number in named)),
        ping_start(tools, work),
        database=tools.database,
        environ=tools.environ,
        unfinished=tools.log_unfinished,
        connections=work.at_once + 2,
    )


def _print(report: Report, *, as_json: bool, dry_run: bool, scheduled: bool) -> None:
    from jobsync.easycars.job import item_json

    items = [item_json(item) for item in report.items]
    if _is_told(report, items, as_json=as_json):
        return
    items.sort(key=lambda item: item["dealership_id"])
    numbers = [name for name in _NUMBERS if any(item[name] for item in items)]
    print_table(
        ["dealership", "status", *numbers],
        [[f"{item['dealership_id']} {item['name']}", item["status"], *(item[n] for n in numbers)] for item in items],
        empty="no dealership was reached"
        if report.exit_code is not ExitCode.DONE
        else "no dealership is due: jobsync schedule show has the next slots"
        if scheduled
        else "no dealership is eligible",
    )
    for item in items:
        if why := _why(item, dry_run=dry_run):
            say(f"{item['dealership_id']} {item['name']}: {why}")
    if dry_run:
        _print_plan(items)
    _print_verdict(report, dry_run=dry_run)


def _is_told(report: Report, items: list[dict[str, Any]], *, as_json: bool) -> bool:
    """Print what every job prints alike; whether that was all."""
    if as_json:
        document: dict[str, Any] = {
            "run_id": report.run_id,
            "job": report.job,
            "status": str(report.status),
            "exit_code": int(report.exit_code),
            "counts": report.counts.as_json(),
            "items": items,
        }
        if report.error:
            document["error"] = report.error
        print_json(document)
        return True
    if report.error:
        with suppress(BrokenPipeError):  # the exit code still tells
            complain(f"jobsync: {report.error}")
    if report.status is RunStatus.DISABLED:
        say(f"{report.job} is globally disabled; nothing was done")
    return report.status in (RunStatus.DISABLED, RunStatus.SKIPPED)


def _print_verdict(report: Report, *, dry_run: bool, outcomes: Iterable[str] = ()) -> None:
    parts = [f"{number} {word}" for word, number in report.counts.as_json().items() if number or word == "eligible"]
    found = ", ".join(f"{number} {word}" for word, number in sorted(Counter(outcomes).items()))
    say(f"{'dry run: ' if dry_run else ''}{report.status}: {', '.join(parts)}{f'; {found}' if found else ''}")


def _print_rides(report: Report, tools: Tools, *, as_json: bool) -> None:
    from jobsync.ride.job import item_json

    items = [item_json(item) for item in report.items]
    if _is_told(report, items, as_json=as_json):
        return
    if items or not report.error:
        _print_items(items, {"status": "status", "why": "reason", "bytes": "bytes", "tenant": "tenant_ruc"})
    if paths := [str(item["path"]) for item in items if item["path"]]:
        number = "1 file below" if len(paths) == 1 else f"{len(paths)} files, such as this one, below"
        say(f"{number} {tools.storage.root}")
        say(paths[0])
    _print_verdict(report, dry_run=False)


def _print_items(items: Sequence[dict[str, Any]], columns: dict[str, str]) -> None:
    """Print documents, a row each; what none of them has is left out, and the key stands last, before what is wrong."""
    told = [{**item, "reason": item.get("reason") if item.get("reason") != item["status"] else None} for item in items]
    columns = {**columns, "key": "access_key", "error": "error"}
    shown = {name: field for name, field in columns.items() if any(item.get(field) for item in told)}
    print_table(
        list(shown), [[item.get(field) or None for field in shown.values()] for item in told], empty="nothing is due"
    )


def _print_documents(report: Report, *, as_json: bool, dry_run: bool) -> None:
    from jobsync.sri.job import item_json

    items = [item_json(item) for item in report.items]
    if _is_told(report, items, as_json=as_json):
        return
    _print_items(items, {"status": "status", "why": "reason", "codes": "codes", "tenant": "tenant_ruc"})
    _print_verdict(report, dry_run=dry_run, outcomes=[item["status"] for item in items])


_NUMBERS = ("created", "updated", "unchanged", "revived", "refused", "skipped", "removed", "held")


def _why(item: dict[str, Any], *, dry_run: bool) -> str:
    reason = str(item.get("reason") or "")
    if item["status"] == ItemStatus.HELD:
        return _why_held(item["dealership_id"], reason, dry_run=dry_run)
    if reason == "vendor_warning" and item.get("removed"):
        return "the vendor warned (Code 5): nothing was removed but what was approved"
    return str(item.get("error") or _REASONS.get(reason, reason) or "; ".join(item.get("warnings", [])) or "")


_REASONS = {
    "refused_items": "items were refused: jobsync stock refused",
    "vendor_warning": "the vendor warned (Code 5): nothing was removed",
    "no_credentials": "no credentials: jobsync credentials set",
    "auto_sync_off": "switched off",
}


def _why_held(dealership_id: int, reason: str, *, dry_run: bool) -> str:
    """Return what was held in words; `reason` has a word for each hold."""
    from jobsync.easycars.phrases import EMPTY_FEED, FOREIGN_FEED

    words = {
        "limit": "too many would go",
        "drain": "too many would go within a week",
        "empty_feed": EMPTY_FEED,
        "sold": "too many would become sold",
        "prices": "too many prices would go or change tenfold",
        "pictures": "too many would lose all pictures",
        "descriptions": "too many would lose their description",
        "foreign_feed": FOREIGN_FEED,
    }
    reasons = reason.split(", ")
    told = "; ".join(words.get(word, word) for word in reasons)
    doubtful = {"empty_feed", "foreign_feed"} & set(reasons)
    first = f"jobsync credentials test {dealership_id}; " if doubtful else ""
    return f"{told}: {first}{'a run that writes would hold them and ask' if dry_run else 'jobsync holds list'}"


def _print_plan(items: list[dict[str, Any]]) -> None:
    for item in items:
        rows = [
            [
                entry["stock_number"],
                entry["action"],
                "; ".join(f"{name}: {_short(old)} -> {_short(new)}" for name, (old, new) in entry["changes"].items())
                if entry["action"] != "create"
                else "",
                entry.get("reason"),
            ]
            for entry in item.get("plan", [])
        ]
        if rows:
            print_table(
                ["stock number", "action", "changes", "reason"], rows, title=f"{item['dealership_id']} {item['name']}"
            )


def _short(value: object) -> str:
    text = str(value) if value is not None else "nothing"
    return text if len(text) <= 40 else text[:39] + "…"
