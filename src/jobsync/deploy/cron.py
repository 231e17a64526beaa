"""Cron lines for hosts without systemd, and the rule by which a run under cron prints or is silent."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from jobsync.deploy.installation import STATE_FOLDER, Installation
from jobsync.errors import ExitCode
from jobsync.jobs import JOBS, Job
from jobsync.settings import CREDENTIALS_FOLDER, Settings

HEALTH = "health"
REMINDER_S = 24 * 3600

# job: what its run is asked for
COMMANDS = {**{job.name: job.scheduled for job in JOBS}, HEALTH: (HEALTH, "--act")}
FILES = ("report", "metrics")  # written where the setting of that name says
_CALM = {
    **{job.name: job.calm for job in JOBS},
    HEALTH: (ExitCode.LOCKED, ExitCode.NEEDS_ATTENTION),  # it has told by itself what is not well
    **dict.fromkeys(FILES, ()),
}


def is_silent(job: str, exit_code: int) -> bool:
    """Whether a run of the job that ended so prints nothing for cron to mail."""
    return exit_code == ExitCode.DONE or exit_code in _CALM[job]


def render_crontab(installation: Installation) -> str:
    """
    Return the text of /etc/cron.d/jobsync.

    >>> print(render_crontab(Installation(executable=Path("/opt/jobsync/bin/jobsync"))).splitlines()[-1])
    */5 * * * *  jobsync  test -d /run/systemd/system || exec /opt/jobsync/bin/jobsync cron run health
    """
    # cron turns a bare % into the end of the line
    command = shlex.quote(str(installation.executable)).replace("%", "\\%") + " cron run"
    settings = "".join(f"{name}={text}\n" for name, text in installation.environment.items())
    settings += "".join(
        f"# {name} is a secret: put it into {CREDENTIALS_FOLDER}/{name.lower()}, readable by the user jobsync alone\n"
        for name in installation.secrets
    )
    unless, end = "test -d /run/systemd/system ||", "\n"
    others = [HEALTH, *(name for name in FILES if file_of(name, installation.settings))]
    return f"""\
# jobsync without systemd. Where systemd runs, each line does nothing: the timers are at work there.
# Silent when all is well, when nothing is due and when another run holds the lock; a failure is told once, as mail.
SHELL=/bin/sh
PATH=/usr/local/bin:/usr/bin:/bin
MAILTO=root
# a tick with nothing to do reads no other file than these secrets
CREDENTIALS_DIRECTORY={CREDENTIALS_FOLDER}
{settings}{"".join(_render_lines(job, f"jobsync  {unless}", command) for job in JOBS)}\
{"".join(f"*/5 * * * *  jobsync  {unless} exec {command} {name}{end}" for name in others)}"""


def file_of(name: str, settings: Settings) -> Path | None:
    """Return where `report` or `metrics` is written to, None if it is not set."""
    return {"report": settings.report_file, "metrics": settings.metrics_file}[name]


def _render_lines(job: Job, before: str, command: str) -> str:
    """Return a line for each of the job's ticks in a minute; seconds do not exist in cron, so that a line sleeps."""
    starts = range(job.offset_s, 60, job.beat_s)
    note = f"# every {job.beat_s} s, by {len(starts)} lines: cron knows no seconds\n" if starts[1:] else ""
    run = f"exec {command} {job.name}"
    return note + "".join(f"* * * * *  {before} {f'{{ sleep {s}; {run}; }}' if s else run}\n" for s in starts)


class CronMemory:
    """
    The failures that a job's runs under cron have told, by cause: one that lasts is told once a day, not at every tick.

    A small file below the state folder; where it cannot be written, each failure is told.
    """

    def __init__(self, environ: Mapping[str, str], job: str) -> None:
        self._path = Path(environ.get("STATE_DIRECTORY") or STATE_FOLDER) / "cron" / job

    def is_news(self, cause: str) -> bool:
        """Whether a failure of this cause has not been told in the last 24 hours; from now on it has."""
        told, now = self._read(), time.time()
        if 0 <= now - told.get(cause, -1.0) < REMINDER_S:
            return False
        kept = {each: at for each, at in told.items() if 0 <= now - at < REMINDER_S}
        with suppress(OSError):
            self._path.parent.mkdir(exist_ok=True)
            self._path.write_text(json.dumps({**kept, cause: now}), encoding="utf-8")
        return True

    def _read(self) -> dict[str, float]:
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return {each: at for each, at in told.items() if isinstance(at, float)} if isinstance(told, dict) else {}

    def forget(self) -> None:
        """All is well again: the next failure is news."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
