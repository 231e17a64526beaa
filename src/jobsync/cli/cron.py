"""jobsync cron: the lines for hosts without systemd, and a run under them."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from jobsync.cli.command import argument, command, group, option
from jobsync.cli.invoke import invoke
from jobsync.cli.output import write
from jobsync.deploy import cron
from jobsync.deploy.installation import read_installation
from jobsync.errors import ConfigurationProblem, UsageProblem
from jobsync.jobs import BY_NAME
from jobsync.logs import visible
from jobsync.watch.error_kinds import fingerprint
from jobsync.wiring import Tools

app = group("Hosts without systemd.")
_ERRORS_SHOWN = 5


@command("cron show > /etc/cron.d/jobsync", of=app)
def show(
    tools: Tools,
    executable: Annotated[Path | None, option("FILE", "The jobsync that cron starts; default: this one.")] = None,
) -> None:
    """Print the text of /etc/cron.d/jobsync."""
    installation = read_installation(tools.environ, root=Path("/"), executable=executable, sandboxed=False)
    write(cron.render_crontab(installation))


@command("cron run stock-sync", of=app)
def run(
    context: typer.Context,
    tools: Tools,
    job: Annotated[str, argument("JOB", "As cron show names it.")],
) -> None:
    """Do one tick of a job as cron wants it: silent when all is well, one report when not."""
    if job not in (*cron.COMMANDS, *cron.FILES):
        raise UsageProblem(f"no job {job}; expected one of {', '.join((*cron.COMMANDS, *cron.FILES))}")
    arguments = cron.COMMANDS.get(job) or _writing(job, tools)
    within = Tools({**tools.environ, "JOBSYNC_LOG_FORMAT": "json"})
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = invoke(context.find_root().command, arguments, within)
    memory = cron.CronMemory(tools.environ, job)
    events, sentences = _sort(said.getvalue())
    if not cron.is_silent(job, code):
        if memory.is_news(_cause(code, events, sentences)):
            write(_report(job, code, events, sentences))
    elif job not in BY_NAME or any(event.get("event") == "run.finished" for event in events):
        memory.forget()  # an idle tick shows nothing
    raise typer.Exit(code)


def _writing(name: str, tools: Tools) -> tuple[str, str, str]:
    file = cron.file_of(name, tools.settings)
    if file is None:
        raise ConfigurationProblem(
            f"JOBSYNC_{name.upper()}_FILE is not set; jobsync cron show has the lines without it"
        )
    return name, "-o", str(file)


def _cause(code: int, events: list[dict[str, Any]], sentences: list[str]) -> str:
    """Return why a run failed: the codes of what failed, else its errors without what differs each time."""
    bad = [event for event in events if event.get("level") in ("error", "critical")]
    why = {str(event.get("reason") or fingerprint(str(event.get("error") or event.get("event")))) for event in bad}
    return " ".join([str(code), *sorted({*why, *map(fingerprint, sentences)})])


def _report(job: str, code: int, events: list[dict[str, Any]], sentences: list[str]) -> str:
    finished: dict[str, Any] = next((event for event in reversed(events) if event.get("event") == "run.finished"), {})
    bad = [event for event in events if event.get("level") in ("error", "critical")]
    lines = [f"jobsync {job}: ended with {code}" + (f", {finished['summary']}" if "summary" in finished else "")]
    lines += [visible(sentence) for sentence in sentences[:_ERRORS_SHOWN]]
    for event in bad[:_ERRORS_SHOWN]:
        about = event.get("name") or event.get("access_key") or event.get("item") or event.get("event")
        lines.append(f"  {visible(about)}: {visible(event.get('error') or event.get('message') or event.get('event'))}")
    if len(bad) > _ERRORS_SHOWN:
        lines.append(f"  and {len(bad) - _ERRORS_SHOWN} more")
    if "run_id" in finished:
        lines.append(f"More: jobsync runs show {finished['run_id']}")
    lines.append("A failure of the same cause is not told again for 24 hours.")
    return "\n".join(lines) + "\n"


def _sort(said: str) -> tuple[list[dict[str, Any]], list[str]]:
    events: list[dict[str, Any]] = []
    sentences: list[str] = []
    for line in said.splitlines():
        event: Any = None
        with suppress(ValueError):
            event = json.loads(line)
        if isinstance(event, dict):
            events.append(event)
        elif line.strip():
            sentences.append(line)
    return events, sentences
