"""What the three jobs' commands share: their options, whether there is anything to do, one run, what is said of it."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

from psycopg import Connection

from jobsync.cli.command import Answer, flag, option
from jobsync.cli.output import print_table, say
from jobsync.db.engine import transaction, translated
from jobsync.db.system_settings import SystemSettings, read_system_settings
from jobsync.errors import ExitCode, JobsyncError, UsageProblem
from jobsync.jobs import BY_NAME, Job
from jobsync.logs import complain, configure_hand_run, end_progress, get_logger
from jobsync.runner.job import ItemResult, Report, RunStatus
from jobsync.runner.record import limit_waits, say_disabled_again_at
from jobsync.runner.run import JobWork, Request, Run, database_now, disabled_report, run_dry, run_job
from jobsync.wiring import Tools

Wait = Annotated[float, option("SEC", "Wait so long for a run that holds the lock.", min=0, show_default=False)]
Scheduled = Annotated[bool, flag("Only what is due; what timers pass.", "--scheduled")]
Limit = Annotated[int | None, option("N", "At most so many documents.", min=1)]
TenantRucs = Annotated[list[str] | None, option("RUC", "Only this tenant's (repeatable).")]
AccessKeys = Annotated[list[str] | None, option("KEY", "Only this one, due or not (repeatable).")]

_PRIVATE = (
    "JOBSYNC_DATABASE_URL is not set here: this tick asks the private database of this user; say embedded: if that is"
    " meant"
)
Make = Callable[[SystemSettings], JobWork]
Items = list[dict[str, Any]]
Tell = Callable[[Report, Items], None]


def each_once(texts: Iterable[str] | None) -> tuple[str, ...]:
    """Return the values of a repeatable option."""
    return tuple(dict.fromkeys(text.strip() for text in texts or ()))


def carry_out(
    tools: Tools,
    job: Job,
    prepare: Callable[[], Make],
    item_json: Callable[[ItemResult], dict[str, Any]],
    tell: Tell,
    *,
    scheduled: bool,
    wait_s: float,
    as_json: bool,
    dry_run: bool = False,
) -> Answer:
    """
    Do a job's command.

    Args:
        prepare: called before anything is asked; raises UsageProblem or ConfigurationProblem.
        item_json: an item in the shape of the contract.
        tell: tells a person of the items, in that shape.
    """
    tick = scheduled and not (as_json or dry_run)  # its log lines and its row are its output
    if not scheduled:
        configure_hand_run(tools.environ)
    try:
        report = _run(tools, job, prepare(), scheduled=scheduled, tick=tick, wait_s=wait_s, dry_run=dry_run)
    except JobsyncError as error:
        if not as_json:
            raise
        report = Report(job.name, RunStatus.FAILED, error.exit_code, error=str(error))
    end_progress()
    if scheduled and report.run_id is not None:  # idle ticks, skips, dry runs and hand runs tell nothing
        text = f"{report.status}: {report.summary}" + (f"; {report.error}" if report.error else "")
        tools.ping(job.name, str(int(report.exit_code)), run=str(report.run_id), text=text)
    if tick:
        return Answer(None, lambda: None, report.exit_code)
    items = [item_json(item) for item in report.items]
    return Answer(document_of(report, items), lambda: _tell(report, items, tell), report.exit_code)


def document_of(report: Report, items: Items) -> dict[str, Any]:
    """Return the one document of a job's command."""
    told: dict[str, Any] = {"run_id": report.run_id, "job": report.job, "status": str(report.status)}
    told |= {"exit_code": int(report.exit_code), "counts": report.counts.as_json(), "items": items}
    return {**told, "error": report.error} if report.error else told


def _tell(report: Report, items: Items, tell: Tell) -> None:
    if report.error:
        complain(f"jobsync: {report.error}")
    if report.status is RunStatus.DISABLED:
        switch = f"jobsync settings set {BY_NAME[report.job].switch} true"
        say(f"{report.job} is globally disabled; nothing was done; to switch it on: {switch}")
    elif report.status is not RunStatus.SKIPPED:
        tell(report, items)


def _run(tools: Tools, job: Job, make: Make, *, scheduled: bool, tick: bool, wait_s: float, dry_run: bool) -> Report:
    if not math.isfinite(wait_s):
        raise UsageProblem("--wait: expected a number of seconds")
    engine = tools.job_engine
    with translated(), transaction(engine) as connection:
        limit_waits(connection)
        settings = read_system_settings(connection)
        work = make(settings)
        work.require_known(connection)
        if scheduled and tools.settings.database_is_default:
            get_logger().warning("run.private_database", message=_PRIVATE)
        if not settings.switch(job.switch):
            quiet = tick and not work.named_locks and not _says_disabled(connection, job, work)
            return disabled_report(job.name, quiet=quiet)
        if scheduled and not dry_run:
            due = work.if_due(connection)
            if due is None:
                get_logger().debug("run.nothing_due", job=job.name)
                return Report(job.name, RunStatus.SUCCEEDED, ExitCode.DONE)  # no row is opened, no lock taken
            work = due
    with translated(), transaction(engine) as connection:  # the tick was one, whatever is missing here
        limit_waits(connection)
        work.require_ready(connection)
    if dry_run:
        return run_dry(job, work, engine)

    def begin(run: Run) -> list[ItemResult]:
        if scheduled:  # a run that hangs is noticed, and how long each took
            tools.ping(job.name, "start", run=str(run.who.run_id))
        return work(run)

    engine.dispose()  # a run has its own connections; the server may have few
    return run_job(
        job,
        Request(scheduled=scheduled, wait_s=wait_s, named_locks=work.named_locks),
        begin,
        database=tools.database,
        environ=tools.environ,
        unfinished=tools.log_unfinished,
        connections=work.connections,
    )


def _says_disabled(connection: Connection[Any], job: Job, work: JobWork) -> bool:
    """Whether a tick says that the job is switched off: if its work is due, and not again before long."""
    if is_due := work.if_due(connection) is not None:
        say_disabled_again_at(connection, job.name, work.told_again_at(connection, database_now(connection)))
    return is_due


def print_verdict(report: Report, *, dry_run: bool, outcomes: Iterable[str] = ()) -> None:
    """Print the run's verdict and its counts, with how many items came to what."""
    if report.counts.remaining and report.items and all(found.unreachable for found in report.items):
        say("what remains was not asked about: the host does not answer; jobsync status has since when")
    parts = [f"{number} {word}" for word, number in report.counts.as_json().items() if number or word == "eligible"]
    found = ", ".join(f"{number} {word}" for word, number in sorted(Counter(outcomes).items()))
    say(f"{'dry run: ' if dry_run else ''}{report.status}: {', '.join(parts)}{f'; {found}' if found else ''}")


def _reason(item: dict[str, Any]) -> str | None:
    """Return the word why, unless another column has it; a fault's is the network's, and no word of the SRI's."""
    told = item["status"] == "fault" and item.get("error")
    return None if told or item.get("reason") == item["status"] else item.get("reason")


def print_items(items: Sequence[dict[str, Any]], columns: dict[str, str], *, empty: str = "nothing is due") -> None:
    """Print documents, a row each; what none of them has is left out, and the key stands last, before what is wrong."""
    told = [{**item, "reason": _reason(item)} for item in items]
    columns = {**columns, "key": "access_key", "error": "error"}
    shown = {name: field for name, field in columns.items() if any(item.get(field) for item in told)}
    print_table(list(shown), [[item.get(field) or None for field in shown.values()] for item in told], empty=empty)
