"""Is this installation able to work? Each question answered with ok, warning or problem, and what to do."""

import difflib
import importlib.util
import os
import shlex
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from jobsync.alerts.local_file import state_folders
from jobsync.alerts.post import within
from jobsync.alerts.send import channels_of
from jobsync.db import migrate
from jobsync.db.causes import PoolerRefusal, ReadOnly, Standby
from jobsync.db.engine import LOCK_WITHIN_S, Database, driver, translated
from jobsync.db.statements import rows_of
from jobsync.db.tables import VIEWS, metadata
from jobsync.errors import ConfigurationProblem, ExitCode, JobsyncError, Unavailable
from jobsync.http import HttpClient, NoAnswer
from jobsync.jobs import BY_NAME, GENERATE_RIDE, JOBS
from jobsync.logs import visible
from jobsync.phrases import many
from jobsync.proxies import host_of
from jobsync.runner.lock import refuse_lock_url
from jobsync.settings import NAMES, Settings
from jobsync.upkeep.model import Finding, Level, ok, problem, some, warning
from jobsync.watch.health import HOW_TO_SET, judge_health
from jobsync.watch.model import Watched
from jobsync.watch.snapshot import read_snapshot
from jobsync.watch.timers import CRON_FILE, Waker, how_to_wake

_OLDEST_SERVER = 140000
_SKEW_WARNING_S, _SKEW_PROBLEM_S = 2.0, 30.0
_FREE_WARNING, _FREE_PROBLEM = 2 << 30, 256 << 20
_CERTIFICATE_DAYS = 14
_REACH_WITHIN_S = 6.0
# what else frees something, by what lies there
_ROOM = {"system": "journalctl --vacuum-size=500M", "database": "jobsync runs prune"}
_UNWOKEN = {
    Waker.NOBODY: "nothing wakes the jobs of the private database",
    Waker.SYSTEMD: "systemd runs here, the timers are not installed",
    Waker.ABSENT: f"no systemd here and no {CRON_FILE}",
}


def exit_code_of(findings: Sequence[Finding]) -> ExitCode:
    """Return 78 for configuration, else 69 for a database away, else 3 for any other problem, else 0."""
    codes = {finding.code for finding in findings if finding.level is Level.PROBLEM}
    order = (ExitCode.CONFIGURATION, ExitCode.UNAVAILABLE, ExitCode.NEEDS_ATTENTION)
    return next((code for code in order if code in codes), ExitCode.DONE)


def check_configuration(load: Callable[[], Settings]) -> tuple[Settings | None, list[Finding]]:
    """Return the settings, or a problem for each thing that is wrong with them."""
    try:
        settings = load()
    except ConfigurationProblem as error:
        whole = error.problems or (str(error).removeprefix("configuration: "),)
        return None, [problem("configuration", *_with_remedy(words), ExitCode.CONFIGURATION) for words in whole]
    return settings, [ok("configuration", "environment, credentials and configuration file can be read")]


def check_names(environ: Mapping[str, str]) -> list[Finding]:
    """Is a variable set whose name is nearly one of ours? Nobody reads it, and its default counts in silence."""
    return [
        warning("environment", f"{visible(name, most=60)} is read by nobody", f"is {meant} meant?")
        for name in sorted({name for name in environ if name.startswith("JOBSYNC_")} - {*NAMES})
        for meant in difflib.get_close_matches(name, NAMES, n=1, cutoff=0.85)
    ]


def _with_remedy(words: str) -> tuple[str, str]:
    """
    Return what is wrong, and what mends it: the line to type where the sentence has one.

    >>> _with_remedy("key is there, and jobsync may not read it; as root: chmod 0640 key")
    ('key is there, and jobsync may not read it', 'as root: chmod 0640 key')
    """
    for who in ("as root: ", "as the service's user: "):
        wrong, found, line = words.partition(f"; {who}")
        if found:
            return wrong, who + line
    return words, "mend the environment, the credential or /etc/jobsync/config.toml"


def check_alerts(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Would anybody hear of a failure?"""
    channels, wrong = channels_of(settings)
    for words in wrong:
        yield problem("alerts", words, "correct it; whether it works: jobsync alerts test", ExitCode.CONFIGURATION)
    if channels:
        yield ok("alerts", f"sent by {' and '.join(channel.name for channel in channels)}")
    elif not wrong:
        told = "only whoever watches the dead-man ping learns that something failed, and nobody what"
        yield warning("alerts", told if settings.ping_url else "nobody is told of failures", HOW_TO_SET)
    if settings.ping_url:
        yield ok("dead-man ping", "set")
    else:
        what = "set JOBSYNC_PING_URL, for example healthchecks.io"
        yield warning("dead-man ping", "nobody notices if this host is gone", what)
    for folder in state_folders(environ)[:1]:
        if os.access(_existing(folder) or "", os.W_OK | os.X_OK):
            yield ok("state folder", f"{folder} can be written")
        else:
            words = "cannot be written by this user: alerts are remembered in the database and in memory only"
            what = "StateDirectory=jobsync in the unit, or run this as the service's user"
            yield warning("state folder", f"{folder} {words}", what)


def check_settings(connection: Connection, watched: Sequence[Watched]) -> list[Finding]:
    """Can what is stored in the database be read? The question of `jobsync health` of the same name."""
    checks = judge_health(read_snapshot(connection, watched)).checks
    wrong = next(check.problems for check in checks if check.name == "settings")
    found = [problem("settings", each.text, each.what_to_do) for each in wrong]
    return found or [ok("settings", "every value stored in the database can be read")]


def check_upkeep(connection: Connection) -> list[Finding]:
    """What only health can find: rows that cannot be deleted, addresses that take no mail."""
    rows = connection.execute(
        text(
            "SELECT CASE kind WHEN 'mail' THEN 'alerts' ELSE 'old rows' END, text, what_to_do FROM alerts"
            " WHERE closed_at IS NULL AND kind IN ('prune', 'mail') ORDER BY id"
        )
    )
    return [warning(*row) for row in rows]


def _existing(folder: Path) -> Path | None:
    return next((place for place in (folder, *folder.parents) if place.exists()), None)


def check_database(settings: Settings, open_database: Callable[[], Database]) -> tuple[Engine | None, list[Finding]]:
    """Return an engine if the database can be used, and what was found on the way."""
    findings = []
    if settings.database_url is None:
        words = "the private server of this user (embedded): for trying out and one small machine"
        if settings.database_is_default and os.path.isdir("/run/systemd/system"):  # noqa: PTH112
            what = "JOBSYNC_DATABASE_URL names a server; embedded: says that this is meant"
            findings.append(warning("database", words, what))
        else:
            findings.append(ok("database", words))
    try:
        database = open_database()
        engine = database.engine(application_name="jobsync:doctor", connections=2, lock_timeout_s=LOCK_WITHIN_S)
        with translated(), engine.connect() as connection:
            findings += list(_server(connection))
            wrong = {finding.name for finding in findings if finding.level is Level.PROBLEM}
            findings += [] if wrong else list(_rights(connection))
    except JobsyncError as error:
        return None, [*findings, _refusal(error)]
    findings += _locks(database)
    return (None if "schema" in wrong else engine), findings


def _refusal(error: JobsyncError) -> Finding:
    words = visible(error, most=500).removeprefix("database: ")
    return problem("database", words, _remedy(error), error.exit_code)


def _remedy(error: JobsyncError) -> str:
    if isinstance(error, Standby | ReadOnly):
        return "as the message says; then psql with the same URL"
    if isinstance(error, PoolerRefusal):
        return "look at the pooler: its log, its list of users with their passwords, its databases and their limits"
    if isinstance(error, ConfigurationProblem):
        return "role, password, database name or pg_hba.conf: correct what the message names"
    return "is the server up? on its host: pg_lsclusters, or systemctl status postgresql; then psql with the same URL"


def _server(connection: Connection) -> Iterator[Finding]:
    started = time.monotonic()
    [row] = rows_of(
        connection,
        "SELECT clock_timestamp() AS now, current_setting('server_version') AS version,"
        " current_setting('server_version_num')::int AS number, current_user AS role, current_database() AS database",
    )
    took_s = time.monotonic() - started
    here = datetime.now(UTC)
    who = f"PostgreSQL {row['version']}, database {row['database']} as {row['role']}, {took_s * 1000:.0f} ms away"
    if row["number"] < _OLDEST_SERVER:
        yield problem("database", f"{who}: too old", "PostgreSQL 14 or newer", ExitCode.CONFIGURATION)
    elif (why := driver(connection).no_writes) is not None:
        yield _refusal(why)
    else:
        yield ok("database", who)
    skew_s = abs((here - row["now"]).total_seconds()) - took_s
    words = f"this host and the database differ by {max(0.0, skew_s):.1f} s"
    what = "date -u on both hosts"
    if skew_s > _SKEW_PROBLEM_S:
        yield problem("clock", words, f"{what}; then chrony or systemd-timesyncd on the one that is wrong")
    else:
        yield warning("clock", words, what) if skew_s > _SKEW_WARNING_S else ok("clock", words)
    try:
        migrate.check_schema(driver(connection))
    except ConfigurationProblem as error:
        yield problem("schema", str(error), "jobsync db upgrade", ExitCode.CONFIGURATION)
        return
    if missing := _missing(connection):
        words = f"version {migrate.HEAD}, but damaged: {some(missing)} missing"
        what = "restore the database from a backup, or create them as in a fresh one: jobsync db upgrade in another"
        yield problem("schema", words, what, ExitCode.CONFIGURATION)
    else:
        yield ok("schema", f"{migrate.HEAD}, as this version needs it")


def _missing(connection: Connection) -> list[str]:
    wanted = [(table.name, column.name) for table in metadata.tables.values() for column in table.columns]
    wanted += [(view, "") for view in VIEWS]
    found = connection.execute(
        text(
            "(SELECT CASE WHEN to_regclass(quote_ident(name)) IS NOT NULL THEN concat('column ', name, '.', col)"
            "  WHEN col = '' THEN concat('view ', name) ELSE concat('table ', name) END"
            " FROM unnest(CAST(:names AS text[]), CAST(:columns AS text[])) AS wanted (name, col)"
            " WHERE to_regclass(quote_ident(name)) IS NULL OR col <> '' AND NOT EXISTS (SELECT FROM pg_attribute a"
            "  WHERE a.attrelid = to_regclass(quote_ident(name)) AND a.attname = col AND NOT a.attisdropped)"
            " ORDER BY col = '', name, col) UNION ALL"
            " SELECT 'function jobsync_tick' WHERE to_regprocedure('jobsync_tick(text)') IS NULL"
        ),
        {"names": [name for name, _ in wanted], "columns": [column for _, column in wanted]},
    )
    return [*dict.fromkeys(found.scalars())]


def _rights(connection: Connection) -> Iterator[Finding]:
    rows = rows_of(
        connection,
        "SELECT name FROM unnest(CAST(:names AS text[])) AS wanted (name) WHERE to_regclass(quote_ident(name)) IS NOT"
        " NULL AND NOT (has_table_privilege(quote_ident(name), 'SELECT') AND (name = ANY(:views) OR ("
        "has_table_privilege(quote_ident(name), 'INSERT') AND has_table_privilege(quote_ident(name), 'UPDATE')"
        " AND has_table_privilege(quote_ident(name), 'DELETE'))))",
        names=sorted([*metadata.tables, *VIEWS]),
        views=list(VIEWS),
    )
    if rows:
        role, schema = connection.execute(text("SELECT quote_ident(current_user), quote_ident(current_schema())")).one()
        what = f"in psql as the owner: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"
        words = f"the role may not read and write {many(len(rows), 'table')}: {some([row['name'] for row in rows])}"
        yield problem("rights", words, what, ExitCode.CONFIGURATION)
    else:
        yield ok("rights", "the role may read and write every table")


def _locks(database: Database) -> Iterator[Finding]:
    try:
        refuse_lock_url(database, application_name="jobsync:doctor")
    except JobsyncError as error:
        what = "set JOBSYNC_LOCK_DATABASE_URL to a direct connection to the same server"
        named = isinstance(error, Unavailable | ReadOnly)
        yield problem("locks", visible(error), _remedy(error) if named else what, error.exit_code)
    else:
        yield ok("locks", "session locks hold: no pooler in the way, one and the same server")


def check_proxy(settings: Settings) -> Iterator[Finding]:
    """Through which proxy do requests leave? Its URL is a secret, its host is told."""
    through: dict[str, list[str]] = {}
    for pattern, url in settings.proxies.items():
        if url is not None:
            through.setdefault(host_of(url), []).append(pattern)
    if not through:
        return
    named = "JOBSYNC_PROXY" if settings.proxy else None
    words = [
        f"{'all requests' if 'all://' in patterns else ' and '.join(patterns)} through {host}"
        f" ({named or ', '.join(pattern.removesuffix('://').upper() + '_PROXY' for pattern in patterns)})"
        for host, patterns in through.items()
    ]
    exempt = [pattern.partition("://")[2].removeprefix("*") for pattern, url in settings.proxies.items() if url is None]
    if exempt:
        words.append(f"NO_PROXY exempts {', '.join(exempt)}")
    try:
        HttpClient(connections=1, proxies=settings.proxies).close()
    except ConfigurationProblem as error:
        yield problem("proxy", str(error), "correct it, or take it away", ExitCode.CONFIGURATION)
    else:
        yield ok("proxy", "; ".join(words))


def check_reach(name: str, url: str, proxies: Mapping[str, str | None]) -> Finding:
    """Does the service's host answer, with a certificate that holds? Asked the way that jobs take."""
    host = host_of(url)
    if host == "?":
        return problem(name, "its address is not a URL", "correct it", ExitCode.CONFIGURATION)
    started = time.monotonic()
    try:
        client = HttpClient(connections=1, proxies=proxies)
    except ConfigurationProblem:
        return problem(name, f"{host}: not asked, since the proxy is no usable address", "see the line proxy")
    try:
        certificate = within(_REACH_WITHIN_S, lambda: client.look(url, deadline_s=_REACH_WITHIN_S))
    except (NoAnswer, TimeoutError) as error:
        what = "DNS, routing, firewall or proxy from this host; or the service itself is down"
        return problem(name, f"{host}: {visible(error, most=200)}", what)
    finally:
        client.close()
    took = f"{host} answers in {(time.monotonic() - started) * 1000:.0f} ms"
    ends = (certificate or {}).get("notAfter")
    if not isinstance(ends, str):  # without TLS
        return ok(name, took)
    days = int((ssl.cert_time_to_seconds(ends) - time.time()) // 86400)
    if days < _CERTIFICATE_DAYS:
        return warning(name, f"{took}; its certificate ends in {days} days", "theirs to renew: tell them")
    return ok(name, f"{took}; certificate good for {days} days")


def check_disk(folders: Mapping[str, Path]) -> Iterator[Finding]:
    """Is there room?"""
    told: set[int] = set()
    for name, folder in folders.items():
        if (place := _existing(folder)) is None:
            continue
        device = place.stat().st_dev
        if device in told:
            continue
        told.add(device)
        free = shutil.disk_usage(place).free
        words = f"{free / (1 << 30):.1f} GB free at {place} ({name})"
        what = f"df -h {place}; {_ROOM.get(name, 'make room there, or a larger disk')}"
        if free < _FREE_PROBLEM:
            yield problem("disk", words, what)
        else:
            yield warning("disk", words, what) if free < _FREE_WARNING else ok("disk", words)


def check_bytecode(package: Path) -> Finding:
    """Is the program compiled? A service that may not write compiles anew at every start."""
    sources = [(source, Path(importlib.util.cache_from_source(str(source)))) for source in package.rglob("*.py")]
    stale = sum(
        not cached.exists() or cached.stat().st_mtime < source.stat().st_mtime - 1 for source, cached in sources
    )
    if not stale:
        return ok("bytecode", "compiled")
    what = f"as the owner: {shlex.quote(sys.executable)} -m compileall -q {shlex.quote(str(package))}"
    return warning("bytecode", f"{stale} of {len(sources)} files are not compiled: every start costs more", what)


def _run(command: Sequence[str]) -> str:
    with suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    return ""


def check_timers(
    waker: Waker, *, run: Callable[[Sequence[str]], str] = _run, renders: bool = True, also: Sequence[str] = ()
) -> Iterator[Finding]:
    """
    Does anything wake the jobs on this host, and `also` what else is configured?

    `renders`: RIDE files have a place; where they have none, their timer is left off on purpose.
    """
    if waker is Waker.CRON:
        yield ok("timers", f"no systemd here; cron wakes the jobs ({CRON_FILE})")
        return
    if waker is not Waker.UNITS:
        yield warning("timers", _UNWOKEN[waker], how_to_wake(waker, JOBS[0].name))
        return
    names = [f"jobsync-{name}.timer" for name in (*BY_NAME, "health", *also)]
    shown = run(["systemctl", "show", "-p", "Id,LoadState,UnitFileState,ActiveState", *names])
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n")]
    states = {facts.get("Id"): facts for facts in blocks}
    for name in names:
        facts = states.get(name, {})
        if name == f"jobsync-{GENERATE_RIDE.name}.timer" and not renders and facts.get("ActiveState") != "active":
            yield ok("timers", f"{name} is off: no JOBSYNC_STORAGE is set, so nothing is rendered here")
            continue
        enable = f"systemctl enable --now {name}"
        if facts.get("LoadState") != "loaded":
            yield warning("timers", f"{name} is not installed", f"jobsync units install; {enable}")
        elif facts.get("ActiveState") != "active":
            yield problem("timers", f"{name} is {facts.get('ActiveState')}: nothing wakes its job here", enable)
        elif facts.get("UnitFileState") not in ("enabled", "enabled-runtime", "static"):
            yield warning("timers", f"{name} runs, but not after the next boot", enable)
        else:
            yield ok("timers", f"{name} is active")


def check_units(read_changed: Callable[[], Sequence[str]]) -> Finding:
    """
    Are the installed unit files those that this version and configuration would write?

    `read_changed` returns the paths of those that differ or are missing; it raises what keeps them from being compared.
    """
    try:
        changed = read_changed()
    except JobsyncError as error:
        words = f"the installed files cannot be compared: {visible(error)}"
        return warning("units", words, "as root: jobsync units diff")
    if not changed:
        return ok("units", "the installed files are as this version and configuration would write them")
    names = some([Path(path).name for path in changed])
    differ = many(len(changed), "installed file differs", "installed files differ")
    words = f"{differ} from what this version and configuration would write: {names}"
    return warning("units", words, "what: jobsync units diff; as root: jobsync units install")
