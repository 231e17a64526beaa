"""Cron lines for hosts without systemd, and the rule by which a run under cron prints or is silent."""

import json
import shlex
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from jobsync.deploy.installation import STATE_FOLDER, Installation
from jobsync.errors import ExitCode
from jobsync.jobs import JOBS
from jobsync.settings import Settings

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
    from jobsync.deploy.units import templates  # brings Jinja2, which a run under cron does without

    # cron turns a bare % into the end of the line
    command = shlex.quote(str(installation.executable)).replace("%", "\\%") + " cron run"
    others = [HEALTH, *(name for name in FILES if file_of(name, installation.settings))]
    crontab = templates().get_template("crontab")
    return crontab.render(installation=installation, command=command, others=others)


def file_of(name: str, settings: Settings) -> Path | None:
    """Return where `report` or `metrics` is written to, None if it is not set."""
    return settings.report_file if name == "report" else settings.metrics_file


class CronMemory:
    """The failures that a job's runs under cron have told, by cause; without a file for them each is told."""

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
