"""jobsync health, jobsync alert: is anything wrong, and who is told."""

from collections.abc import Sequence
from typing import Annotated

from jobsync.alerts.act import Done, do_health, do_unit_failure
from jobsync.alerts.send import Channel, channels_of
from jobsync.alerts.units import UnitFailure, look_at_no_database
from jobsync.cli.command import Answer, command, flag, option
from jobsync.cli.output import say, write
from jobsync.db.causes import LoginRefused
from jobsync.errors import ExitCode, JobsyncError, Unavailable
from jobsync.hostname import host_name
from jobsync.logs import complain, get_logger, visible
from jobsync.watch.health import HOW_TO_SET, NOBODY_TOLD, Health
from jobsync.watch.model import Problem
from jobsync.wiring import Tools
from jobsync.wiring.watched import WATCHED, look


@command("health --json", reads=True, unless=("--act",))
def health(
    tools: Tools,
    act: Annotated[bool, flag("Also open, send and close alerts, and delete what is past its retention.")] = False,
) -> Answer:
    """Say what needs a person: exit 0 nothing, 3 something, 69 the database does not answer."""
    if act:
        return _act(tools)
    try:
        with tools.transaction() as connection:
            _, verdict = look(tools, connection)
    except JobsyncError as error:
        return _no_database(error)
    return Answer(verdict.as_json(), lambda: _tell(verdict), verdict.exit_code)


def with_remedy(error: JobsyncError) -> JobsyncError:
    """Return why nothing can be looked at, with what to do, unless its sentence has that."""
    if not isinstance(error, Unavailable):
        return error
    return Unavailable(f"{error}; what to do: {_found(error).what_to_do}", cause=error.alert_cause)


def _found(error: JobsyncError) -> Problem:
    [found] = look_at_no_database(error, host_name(), at_once=True).found
    return found


def _no_database(error: JobsyncError) -> Answer:
    found, text = _found(error), visible(error)
    problem = {"subject": "database", "kind": found.kind, "cause": found.cause, "text": text}
    problems = [{**problem, "what_to_do": found.what_to_do}]
    document = {"status": "unavailable", "exit_code": int(error.exit_code), "error": text, "problems": problems}
    return Answer(document, lambda: complain(f"jobsync: {visible(with_remedy(error))}"), error.exit_code)


def _tell(verdict: Health) -> None:
    tells_nobody = any(note.startswith(NOBODY_TOLD) for note in verdict.notes)
    for check in verdict.checks:
        well = "--" if check.name == "mail" and tells_nobody else "ok"  # there is none: nothing is well with it
        write(f"{'!!' if check.problems else well}  {check.name.ljust(9)}  {check.asked}\n")
        for problem in check.problems[:20]:
            write(f"    {visible(problem.text, most=400)}\n")
            write(f"      what to do: {visible(problem.what_to_do)}\n")
        if len(check.problems) > 20:
            write(f"      ... and {len(check.problems) - 20} more: jobsync health --json\n")
    for note in verdict.notes:
        write(f"--  {visible(note)}\n")
    count = len(verdict.problems)
    say("nothing needs a person" if not count else f"{count} need{'s' if count == 1 else ''} attention")


def require_units_user(tools: Tools) -> None:
    """
    Have root on a server whose database cannot be used say the line to type, before anybody is told of it: a refusal of
    root is none of the service, and what root notes beside the database no unit reads.

    Raises:
        JobsyncError: what the database said, with the line.
    """
    if not LoginRefused.advice:
        return
    try:
        _ = (tools.database, tools.engine)
    except JobsyncError as error:
        refused = JobsyncError(str(error).removesuffix(LoginRefused.advice) + LoginRefused.advice)
        refused.exit_code = error.exit_code
        raise refused from None


def _act(tools: Tools) -> Answer:
    from jobsync.wiring.upkeep import RETENTION  # of every slice: status, which shares this file, does not pay for it

    require_units_user(tools)
    channels, wrong = usable_channels(tools)
    done = do_health(
        lambda: (tools.database, tools.engine),
        WATCHED,
        RETENTION,
        channels,
        tools.environ,
        wait=tools.wait,
        waker=lambda: tools.waker,
    )
    not_sent = _say_not_sent(done, wrong)
    problems = done.health.problems if done.health else ()
    text = "\n".join(problem.text for problem in problems) or str(done.database_error or "all is well")
    if "{job}" in (tools.alert_settings[0].ping_url or ""):  # a common address would hide missing jobs
        tools.ping("health", "success" if done.health is not None and not problems else "fail", text=text)
    if done.health is None:
        assert done.database_error is not None  # noqa: S101 - one of the two is there
        return _no_database(done.database_error)
    verdict = done.health
    pruned = {table: number for table, number in (done.pruned or {}).items() if number}
    document = {**verdict.as_json(), "not_sent": not_sent, "pruned": pruned}
    return Answer(document, lambda: _tell(verdict), verdict.exit_code)


def usable_channels(tools: Tools, *, is_asked: bool = False) -> tuple[list[Channel], list[str]]:
    """
    Return the ways out that can be used, whatever else is wrong, and what is wrong with the others.

    With `is_asked` the caller says itself that there is none.
    """
    settings, problems = tools.alert_settings
    channels, wrong = channels_of(settings)
    wrong = [*problems, *wrong]
    for words in wrong:
        get_logger().error("alert.misconfigured", error=words)
    if not channels and not wrong and not is_asked:
        get_logger().warning("alert.no_channel", message=f"nobody is told: {HOW_TO_SET}")
    return channels, wrong


def _say_not_sent(done: Done, wrong: Sequence[str]) -> list[str]:
    said = [f"{words} (jobsync doctor)" for words in wrong]
    for prefix, listed in (
        ("not everybody can be told", said),
        ("not sent, tried again at the next run", done.not_sent),
        ("not everybody was told", done.refused),
    ):
        for words in listed:
            complain(f"jobsync: {prefix}: {visible(words)}")
    return [visible(words) for words in (*said, *done.not_sent, *done.refused)]


@command("alert --unit jobsync-stock-sync.service")
def alert(tools: Tools, unit: Annotated[str, option("UNIT", "The unit that failed.")]) -> Answer:
    """Find out why a unit failed, and tell it once, where no retry mends it or after so many (OnFailure= starts it)."""
    environ = tools.environ
    failure = UnitFailure(
        unit=unit,
        host=host_name(),
        result=environ.get("MONITOR_SERVICE_RESULT"),
        status=environ.get("MONITOR_EXIT_STATUS"),
        invocation_id=environ.get("MONITOR_INVOCATION_ID"),
    )
    require_units_user(tools)
    channels, wrong = usable_channels(tools)
    done = do_unit_failure(failure, lambda: (tools.database, tools.engine), WATCHED, channels, environ)
    not_sent = _say_not_sent(done, wrong)
    away = done.database_error  # it was told with the alert, if anybody could be told
    code = ExitCode.UNAVAILABLE if done.not_sent else ExitCode.NEEDS_ATTENTION if done.refused else ExitCode.DONE
    code = ExitCode.CONFIGURATION if wrong else away.exit_code if away else code
    document = {"unit": visible(failure.unit), "sent": not not_sent, "not_sent": not_sent}
    document |= {"database": "away" if away else "ok"}
    return Answer(document, lambda: None, code, [visible(away)] if away and not wrong else [])
