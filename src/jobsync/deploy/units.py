"""The unit files: which there are, and what each is told; their lines, with the reasons, are templates."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from jobsync.deploy.installation import STATE_FOLDER, UNITS_FOLDER, Installation
from jobsync.jobs import BY_NAME, CHECK_AUTHORIZATIONS, GENERATE_RIDE, STOCK_SYNC, Job
from jobsync.journal import MESSAGE_IDS
from jobsync.settings import CONFIG_FILE, CREDENTIALS_FOLDER

SYSUSERS = "/etc/sysusers.d/jobsync.conf"
TMPFILES = "/etc/tmpfiles.d/jobsync.conf"
# What `journalctl -x` says below an entry of ours: what happened, and the next command.
CATALOG = "/usr/local/lib/systemd/catalog/jobsync.catalog"
_ALERTS = ("JOBSYNC_SMTP_URL", "JOBSYNC_ALERT_TO", "JOBSYNC_ALERT_WEBHOOK", "JOBSYNC_ALERT_URLS", "JOBSYNC_PROXY")
_ALL = (
    *("JOBSYNC_DATABASE_URL", "JOBSYNC_LOCK_DATABASE_URL", "JOBSYNC_DATABASE_SCHEMA"),
    *("JOBSYNC_CONFIG", "JOBSYNC_LOG_LEVEL", "JOBSYNC_LOG_FORMAT"),
)


@dataclass(frozen=True)
class _Service:
    """What one service has of its own, beside the templates of its name."""

    name: str
    arguments: str  # of the command, after the program's name; the file that it writes comes behind them
    settings: tuple[str, ...]  # that it may see
    calendar: str | None = None  # when its timer starts it, None for one that is started by others
    network: bool = True  # it talks to somebody beside the database
    alerts: bool = True  # its failure is told; not of a run that a person started, who sees how it ended
    rides: bool = False  # it writes RIDE files
    file: str | None = None  # the setting that names the file that it writes; without one there is no such service

    @property
    def units(self) -> tuple[str, ...]:
        return (f"jobsync-{self.name}.service", *([f"jobsync-{self.name}.timer"] if self.calendar else []))


def _of_job(job: Job, *settings: str, **more: Any) -> _Service:
    calendar = f"*:*:{job.offset_s:02}" + (f"/{job.beat_s}" if job.beat_s < 60 else "")  # a minute's beat, or less
    return _Service(job.name, " ".join(job.scheduled), (*_OF_RUNS, *settings), calendar, **more)


_OF_RUNS = (*_ALL, "JOBSYNC_PING_URL", "JOBSYNC_PROXY")
_EASYCARS = ("JOBSYNC_ENCRYPTION_KEY", "JOBSYNC_ENCRYPTION_KEY_PREVIOUS", "JOBSYNC_EASYCARS_URL")
_OF_NOW = (*_OF_RUNS, *_EASYCARS, "JOBSYNC_SRI_URL", "JOBSYNC_STORAGE")
_OF_HEALTH = (*_ALL, *_ALERTS, "JOBSYNC_PING_URL", "JOBSYNC_STORAGE")
_SERVICES = (
    _of_job(STOCK_SYNC, *_EASYCARS),
    _of_job(CHECK_AUTHORIZATIONS, "JOBSYNC_SRI_URL"),
    _of_job(GENERATE_RIDE, "JOBSYNC_STORAGE", network=False, rides=True),
    _Service("health", "health --act", _OF_HEALTH, "*:0/5:40"),
    _Service("report", "report -o", _ALL, "*:2/5:40", network=False, file="report_file"),
    _Service("metrics", "metrics -o", _ALL, "*:2/5:50", network=False, file="metrics_file"),
    _Service("now@", "%i", _OF_NOW, alerts=False, rides=True),  # not %I: unescaping turns a dash into a slash
    _Service("alert@", "alert --unit %i", (*_ALL, *_ALERTS), alerts=False),
)

# Every unit that this version may write, whatever is configured.
NAMES = frozenset(name for service in _SERVICES for name in service.units)


def _wanted(installation: Installation) -> Iterator[tuple[_Service, Path | None]]:
    for service in _SERVICES:
        file: Path | None = getattr(installation.settings, service.file) if service.file else None
        if file or not service.file:
            yield service, file


def timers_of(installation: Installation) -> list[str]:
    """Return the timers that are to be on: not those of jobs that are not to be woken."""
    awake = (None, *installation.jobs)
    wanted = [service for service, _ in _wanted(installation) if BY_NAME.get(service.name) in awake]
    return [service.units[1] for service in wanted if service.calendar]


def render_units(installation: Installation) -> dict[str, str]:
    """
    Return every file of an installation by its absolute path.

    >>> from pathlib import Path
    >>> files = render_units(Installation(executable=Path("/opt/jobsync/bin/jobsync")))
    >>> "ExecStart=/opt/jobsync/bin/jobsync stock-sync --scheduled" in files[
    ...     "/etc/systemd/system/jobsync-stock-sync.service"
    ... ]
    True
    """
    files = {}
    for service, file in _wanted(installation):
        outside = service.network or bool(installation.settings.ping_url and "JOBSYNC_PING_URL" in service.settings)
        storage = installation.settings.storage if service.rides else None
        folders = [storage] if storage and not storage.is_relative_to(STATE_FOLDER) else []
        known = {
            "installation": installation,
            "service": service,
            "job": BY_NAME.get(service.name),
            "file": file,
            "folders": [*folders, file.parent] if file else folders,  # that it writes to, besides its state folder
            "outside": outside,
            "network": outside or not installation.sockets_only,
        }
        for name in service.units:
            text = templates().get_template(name.removeprefix("jobsync-")).render(known)
            files[f"{UNITS_FOLDER}/{name}"] = text
    for path, template in ((SYSUSERS, "sysusers.conf"), (TMPFILES, "tmpfiles.conf"), (CATALOG, "jobsync.catalog")):
        files[path] = templates().get_template(template).render(installation=installation)
    return files


@cache
def templates() -> Environment:
    """Return the templates of what is installed."""
    environment = Environment(  # noqa: S701 - no HTML: a value is escaped by `quoted`
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = _quoted
    environment.globals |= {
        "config_file": CONFIG_FILE,
        "credentials_folder": CREDENTIALS_FOLDER,
        "ids": MESSAGE_IDS,
        "jobs": BY_NAME,
        "state_folder": STATE_FOLDER,
    }
    return environment


def _quoted(value: object, *, always: bool = False) -> str:
    """
    Return a value as unit files and tmpfiles.d take it: no specifier is expanded, no blank divides it.

    >>> _quoted("/srv/50% off")
    '"/srv/50%% off"'
    """
    doubled = str(value).replace("%", "%%")
    if not always and re.fullmatch(r"[\w/.:@+,=%-]+", doubled, re.ASCII):
        return doubled
    escaped = doubled.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
