"""The unit files themselves: what systemd is told of each job, and why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobsync.deploy.installation import STATE_FOLDER, Installation
from jobsync.deploy.message_catalog import CATALOG, render_catalog
from jobsync.jobs import CHECK_AUTHORIZATIONS, GENERATE_RIDE, JOBS, STOCK_SYNC, Job
from jobsync.settings import CONFIG_FILE, CREDENTIALS_FOLDER

UNITS_FOLDER = "/etc/systemd/system"
SYSUSERS = "/etc/sysusers.d/jobsync.conf"
TMPFILES = "/etc/tmpfiles.d/jobsync.conf"
_DATABASE = ("JOBSYNC_DATABASE_URL", "JOBSYNC_LOCK_DATABASE_URL", "JOBSYNC_DATABASE_SCHEMA")
_ALERTS = ("JOBSYNC_SMTP_URL", "JOBSYNC_ALERT_TO", "JOBSYNC_ALERT_WEBHOOK", "JOBSYNC_ALERT_URLS", "JOBSYNC_PROXY")
_EVERYWHERE = ("JOBSYNC_CONFIG", "JOBSYNC_LOG_LEVEL", "JOBSYNC_LOG_FORMAT")


@dataclass(frozen=True)
class _Service:
    """
    What one service has of its own.

    Args:
        arguments: of the command, after the program's name; the file that it writes comes behind them.
        calendar: when its timer starts it, None for one that is started by others.
        accuracy: how late it may be started, with the reason.
        settings: names of the settings that it may see.
        network: it talks to somebody beside the database.
        alerts: its failure is told; not of a run that a person started, who sees how it ended.
        rides: it writes RIDE files.
        file: the setting that names the file that it writes; without one there is no such service.
        before: what is looked at before it starts.
        limits: directives of the [Service] section, with their reasons.
    """

    name: str
    description: str
    arguments: str
    settings: tuple[str, ...]
    limits: str
    calendar: str | None = None
    accuracy: str = """\
# with the default of one minute a tick may wander over the whole minute
AccuracySec=1s"""
    why: str = ""
    network: bool = True
    alerts: bool = True
    rides: bool = False
    file: str | None = None
    before: str = ""

    @property
    def units(self) -> tuple[str, ...]:
        """The names of its unit files."""
        return (f"jobsync-{self.name}.service", *([f"jobsync-{self.name}.timer"] if self.calendar else []))

    def written(self, installation: Installation) -> Path | None:
        """Return the file that it writes; one that is not configured is not installed."""
        return getattr(installation, self.file) if self.file else None


def _calendar(job: Job) -> str:
    """Return when a job's timer wakes it, as systemd.time(7) has it; a beat of a minute or less."""
    return f"*:*:{job.offset_s:02}" + (f"/{job.beat_s}" if job.beat_s < 60 else "")


def _calm(job: Job) -> str:
    return "SuccessExitStatus=" + " ".join(str(int(code)) for code in job.calm)


_JOB = (*_DATABASE, "JOBSYNC_PING_URL", "JOBSYNC_PROXY", *_EVERYWHERE)
_STOCK_SYNC = (
    *_JOB,
    "JOBSYNC_ENCRYPTION_KEY",
    "JOBSYNC_ENCRYPTION_KEY_PREVIOUS",
    "JOBSYNC_EASYCARS_URL",
)
_WRITING = """\
# what it prints is for people who ask; what fails is logged
StandardOutput=null
RuntimeMaxSec=4min
TimeoutStopSec=30s
Nice=10
MemoryMax=512M
"""
_KNOWN = [job.name for job in JOBS]
_HAND_RUN_OF = f"{', '.join(_KNOWN[:-1])} or {_KNOWN[-1]}"

_SERVICES = (
    _Service(
        name=STOCK_SYNC.name,
        description="stock sync",
        arguments=" ".join(STOCK_SYNC.scheduled),
        settings=_STOCK_SYNC,
        calendar=_calendar(STOCK_SYNC),
        why="ask every minute whether a dealership is due",
        limits=f"""\
# another run holds the lock: said in the journal, and no failure
{_calm(STOCK_SYNC)}
# the run stops starting dealerships after 60 min by itself
RuntimeMaxSec=90min
# fed by finished dealerships only; longer than one dealership can take with its retries
WatchdogSec=15min
# on SIGTERM the dealerships in work are finished
TimeoutStopSec=5min
Nice=10
IOSchedulingClass=idle
MemoryMax=1G
""",
    ),
    _Service(
        name=CHECK_AUTHORIZATIONS.name,
        description="authorization checks at the SRI",
        arguments=" ".join(CHECK_AUTHORIZATIONS.scheduled),
        settings=(*_JOB, "JOBSYNC_SRI_URL"),
        calendar=_calendar(CHECK_AUTHORIZATIONS),
        accuracy="""\
# with the default of one minute every second tick is lost; with AccuracySec=1s one was seen to come 0.7 s early
# and the next 0.7 s late, as systemd happened to be awake
AccuracySec=100ms""",
        why="ask every 30 s whether a document is due",
        limits=f"""\
# 75: another run holds the lock; 3: some documents had no usable answer, and the next tick asks again
{_calm(CHECK_AUTHORIZATIONS)}
# the run stops starting documents after 25 s by itself, so that it ends before the next tick
RuntimeMaxSec=5min
# fed by finished documents only; longer than one answer can take with what is written of it
WatchdogSec=90s
TimeoutStopSec=30s
MemoryMax=384M
""",
    ),
    _Service(
        name=GENERATE_RIDE.name,
        description="printed form (RIDE) of authorized documents",
        arguments=" ".join(GENERATE_RIDE.scheduled),
        settings=(*_JOB, "JOBSYNC_STORAGE"),
        calendar=_calendar(GENERATE_RIDE),
        why="ask every minute whether a RIDE is missing; at :15, when the other two do not start",
        network=False,
        rides=True,
        limits=f"""\
# 75: another run holds the lock; 3: some failed, or the storage did, and the next tick tries again
{_calm(GENERATE_RIDE)}
# the run stops starting documents after 50 s by itself
RuntimeMaxSec=10min
# fed by finished documents only
WatchdogSec=2min
TimeoutStopSec=60s
Nice=5
MemoryMax=768M
""",
    ),
    _Service(
        name="health",
        description="health: silence, queues, durations, recovery; old rows are pruned",
        arguments="health --act",
        settings=(*_DATABASE, *_ALERTS, "JOBSYNC_PING_URL", "JOBSYNC_STORAGE", *_EVERYWHERE),
        calendar="*:0/5:40",
        why="look every five minutes at what the jobs left behind",
        limits="""\
# 3: something is not well, which it has told by itself
SuccessExitStatus=75 3
# its report is for people who ask; what needs one is logged and sent
StandardOutput=null
RuntimeMaxSec=4min
TimeoutStopSec=30s
Nice=10
MemoryMax=256M
""",
    ),
    _Service(
        name="report",
        description="report for a browser",
        arguments="report -o",
        settings=(*_DATABASE, *_EVERYWHERE),
        calendar="*:2/5:40",
        why="write the report every five minutes",
        network=False,
        file="report_file",
        limits=_WRITING,
    ),
    _Service(
        name="metrics",
        description="metrics for Prometheus",
        arguments="metrics -o",
        settings=(*_DATABASE, *_EVERYWHERE),
        calendar="*:2/5:50",
        why="write the metrics every five minutes",
        network=False,
        file="metrics_file",
        limits=_WRITING,
    ),
    _Service(
        name="now@",
        description="%i by hand",
        arguments="%i",  # not %I: unescaping turns a dash of the name into a slash
        settings=(*_STOCK_SYNC, "JOBSYNC_SRI_URL", "JOBSYNC_STORAGE"),
        alerts=False,
        rides=True,
        before=f"""\
# any other command would run here too
ExecStartPre=/bin/sh -c 'case "$$0" in {"|".join(_KNOWN)}) ;; \\
    *) echo "no job $$0, expected {_HAND_RUN_OF}" >&2; exit 2;; esac' %i
""",
        limits="""\
# another run holds the lock
SuccessExitStatus=75
# a run of stock-sync stops starting dealerships after 60 min by itself
RuntimeMaxSec=90min
WatchdogSec=15min
TimeoutStopSec=5min
Nice=10
MemoryMax=1G
""",
    ),
    _Service(
        name="alert@",
        description="tell that %i failed",
        arguments="alert --unit %i",  # not %I: unescaping turns a dash of the name into a slash
        settings=(*_DATABASE, *_ALERTS, *_EVERYWHERE),
        alerts=False,
        limits="""\
# not everybody was told, or the database is away: it said so, health tries again, and the unit that failed is the other
SuccessExitStatus=3 69 78
# database, locks, and a mail server that thinks for a minute
RuntimeMaxSec=3min
TimeoutStopSec=10s
MemoryMax=256M
""",
    ),
)

# Every unit that this version may write, whatever is configured.
NAMES = frozenset(name for service in _SERVICES for name in service.units)


def _wanted(installation: Installation) -> Iterator[_Service]:
    return (each for each in _SERVICES if each.file is None or each.written(installation))


def timers_of(installation: Installation) -> list[str]:
    """
    Return the timers that are to be on.

    Without a storage every tick of generate-ride would end with 78.
    """
    return [
        f"jobsync-{service.name}.timer"
        for service in _wanted(installation)
        if service.calendar and (service.name != GENERATE_RIDE.name or installation.storage)
    ]


_SANDBOX = """\
# sandbox: nothing of the host but the network and what is named above
CapabilityBoundingSet=
NoNewPrivileges=yes
PrivateUsers=yes
PrivateMounts=yes
PrivateDevices=yes
PrivateTmp=yes
PrivateIPC=yes
RemoveIPC=yes
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
KeyringMode=private
DevicePolicy=closed
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
"""


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
    for service in _wanted(installation):
        files[f"{UNITS_FOLDER}/jobsync-{service.name}.service"] = _render_service(service, installation)
        if service.calendar:
            files[f"{UNITS_FOLDER}/jobsync-{service.name}.timer"] = _render_timer(service)
    files[SYSUSERS] = (
        "# the jobs' own user: its name is its role in Postgres (peer), and it owns the RIDE files\n"
        f'u jobsync - "jobsync scheduled jobs" {STATE_FOLDER} -\n'
        "# a user that was there before, perhaps in another group, may read the configuration too\n"
        "m jobsync jobsync\n"
    )
    files[TMPFILES] = _render_tmpfiles(installation)
    files[CATALOG] = render_catalog()
    return files


def _render_service(service: _Service, installation: Installation) -> str:
    sections = [_render_unit(service, installation), _render_start(service, installation)]
    sections += [service.limits.removesuffix("\n"), "# threads count as tasks\nTasksMax=128"]
    sections += [_render_configuration(service, installation), _render_files(service, installation)]
    sections += [_SANDBOX.removesuffix("\n"), _render_network(service, installation)]
    head, start, *rest = sections
    return f"{head}\n\n{start}\n" + "\n\n".join([rest[0] + "\n" + rest[1], *rest[2:]]) + "\n"


def _render_unit(service: _Service, installation: Installation) -> str:
    network = _needs_network(service, installation)
    after = ["network-online.target", "nss-lookup.target"] if network else []
    after += ["time-sync.target"] + (["postgresql.service"] if installation.local_database else [])
    lines = [
        "[Unit]",
        f"Description=jobsync: {service.description}",
        "Documentation=man:jobsync(1)",
        *(["Wants=network-online.target"] if network else []),
        f"After={' '.join(after)}",
    ]
    folders = _writable(service, installation)
    lines += [f"RequiresMountsFor={_quoted(str(folder))}" for folder in folders]
    lines += ["# started by its timer and by hand: never refuse a start", "StartLimitIntervalSec=0"]
    if service.alerts:
        lines.append("OnFailure=jobsync-alert@%n.service")
    return "\n".join(lines)


def _render_start(service: _Service, installation: Installation) -> str:
    command = f"{_quoted(str(installation.executable))} {service.arguments}"
    if file := service.written(installation):
        command += f" {_quoted(str(file)).replace('$', '$$')}"  # in a command a $ begins a variable's name
    return f"""\
[Service]
# exec, not oneshot (would ignore the time limits), not notify (an exit before READY=1 would count as a failure)
Type=exec
# lets the run say how far it is (STATUS=) and that it goes on (WATCHDOG=1)
NotifyAccess=main
User=jobsync
Group=jobsync
{service.before}ExecStart={command}
# the next tick is the retry
Restart=no
KillMode=mixed"""


def _render_configuration(service: _Service, installation: Installation) -> str:
    lines = ["# configuration: what is not said here is read from /etc/jobsync/config.toml"]
    lines += [
        f"Environment={_quoted(f'{name}={text}', always=True)}"
        for name, text in installation.environment.items()
        if name in service.settings
    ]
    lines += [
        f"LoadCredential={name.lower()}:{CREDENTIALS_FOLDER}/{name.lower()}"
        for name in installation.credentials
        if name in service.settings
    ]
    lines += [
        "# a run that the watchdog ends with SIGABRT says where each thread stood",
        "Environment=PYTHONFAULTHANDLER=1",
    ]
    return "\n".join([*lines, "SyslogIdentifier=jobsync"])


def _render_files(service: _Service, installation: Installation) -> str:
    lines = ["# files"]
    if service.rides or service.name in ("health", "alert@"):
        lines += [f"StateDirectory={STATE_FOLDER.name}", "StateDirectoryMode=0750"]
    folders = _writable(service, installation)
    lines += [f"ReadWritePaths={_quoted(str(folder))}" for folder in folders]
    if service.rides:
        lines += ["# who is to read the RIDE files joins the group jobsync", "UMask=0027"]
    else:
        lines.append("UMask=0077")
    return "\n".join(lines)


def _render_network(service: _Service, installation: Installation) -> str:
    if not _needs_network(service, installation):
        return "# the database's unix socket is all it talks to\nPrivateNetwork=yes\nRestrictAddressFamilies=AF_UNIX"
    lines = ["RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"]
    if not service.network and not _pings(service, installation) and installation.database_hosts:
        lines += [
            "# the database is all it talks to",
            "IPAddressDeny=any",
            f"IPAddressAllow={' '.join(installation.database_hosts)}",
        ]
    return "\n".join(lines)


def _needs_network(service: _Service, installation: Installation) -> bool:
    return service.network or _pings(service, installation) or not installation.sockets_only


def _pings(service: _Service, installation: Installation) -> bool:
    return installation.pings and "JOBSYNC_PING_URL" in service.settings


def _writable(service: _Service, installation: Installation) -> list[Path]:
    """Return the folders that the service writes to, besides its state folder."""
    file, storage = service.written(installation), installation.storage if service.rides else None
    return [
        *([storage] if storage and not storage.is_relative_to(STATE_FOLDER) else []),
        *([file.parent] if file else []),
    ]


def _render_timer(service: _Service) -> str:
    return f"""\
[Unit]
Description=jobsync: {service.why}
Documentation=man:jobsync(1)

[Timer]
OnCalendar={service.calendar}
{service.accuracy}

[Install]
WantedBy=timers.target
"""


def _render_tmpfiles(installation: Installation) -> str:
    lines = [
        "# the service reads what is here, and nobody else but root",
        "d /etc/jobsync 0750 root jobsync -",
        f"d {CREDENTIALS_FOLDER} 0750 root jobsync -",
        f"z {CREDENTIALS_FOLDER}/* 0640 root jobsync -",
        f"z {CONFIG_FILE} 0640 root jobsync -",
        f"d {STATE_FOLDER} 0750 jobsync jobsync -",
    ]
    if installation.storage is not None and installation.storage != STATE_FOLDER:
        lines.append(f"d {_quoted(str(installation.storage))} 0750 jobsync jobsync -")
    return "\n".join(lines) + "\n"


def _quoted(text: str, *, always: bool = False) -> str:
    """
    Return a value as unit files and tmpfiles.d take it: no specifier is expanded, no blank divides it.

    >>> _quoted("/srv/50% off")
    '"/srv/50%% off"'
    """
    doubled = text.replace("%", "%%")
    if not always and re.fullmatch(r"[\w/.:@+,=%-]+", doubled, re.ASCII):
        return doubled
    escaped = doubled.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
