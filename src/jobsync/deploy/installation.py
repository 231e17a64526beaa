"""What of a server's configuration its unit files depend on: paths, the database's address, where secrets lie."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from urllib.parse import urlsplit

from jobsync.errors import ConfigurationProblem
from jobsync.jobs import GENERATE_RIDE, JOBS, Job
from jobsync.logs import visible
from jobsync.settings import ALWAYS_SECRET, CONFIG_FILE, CREDENTIALS_FOLDER, Settings, load_settings, read_texts

STATE_FOLDER = Path("/var/lib/jobsync")
UNITS_FOLDER = "/etc/systemd/system"
# What ProtectHome= and PrivateTmp= hide from a unit.
_HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 - named, not used
_DATABASE_URLS = ("JOBSYNC_DATABASE_URL", "JOBSYNC_LOCK_DATABASE_URL")
_VENDOR_URLS = ("JOBSYNC_EASYCARS_URL", "JOBSYNC_SRI_URL")


@dataclass(frozen=True)
class Installation:
    """What unit files are rendered from."""

    executable: Path  # the jobsync that timers start
    environment: Mapping[str, str] = field(default_factory=dict)  # settings that are no secrets, by name
    credentials: tuple[str, ...] = ()  # names of the secrets that lie in the credentials folder
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # those of the environment, to be put there
    sockets_only: bool = True  # nothing else leads to the database
    database_hosts: tuple[str, ...] = ()  # as long as all of them are literal addresses
    local_database: bool = True  # the server runs on this host
    settings: Settings = field(default_factory=Settings)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs that are to be woken; without a storage every tick of generate-ride would end with 78."""
        return tuple(job for job in JOBS if job is not GENERATE_RIDE or self.settings.storage)


def read_installation(
    environ: Mapping[str, str], *, root: Path, executable: Path | None = None, sandboxed: bool = True
) -> Installation:
    """
    Read what the units need to know from the environment, the credentials folder and the configuration file.

    What the environment says is written down for the units; what the file says each run reads there, but for what a
    tick with nothing to do needs: the database's address, if it holds no secret, its schema, the storage.

    Args:
        root: the file system that is installed to.
        executable: None for the jobsync that runs now.
        sandboxed: for units, from which home folders are hidden; not for cron.

    Raises:
        ConfigurationProblem: naming all that keeps units or cron's lines from running, or leads them to a sandbox.
    """
    readers = "units" if sandboxed else "cron's lines"
    named = environ.get("JOBSYNC_CONFIG")
    environ = {
        **environ,
        "JOBSYNC_CONFIG": named or _readable(below(root, CONFIG_FILE)),
        "CREDENTIALS_DIRECTORY": str(below(root, CREDENTIALS_FOLDER)),
    }
    problems: list[str] = []
    texts = read_texts(environ, problems)
    known = load_settings(environ)  # raises what is wrong, in its own words
    if known.database_url is None:
        problems.append(
            f"JOBSYNC_DATABASE_URL: {readers} need the URL of a PostgreSQL server (postgresql://…), in the environment,"
            f" in {CREDENTIALS_FOLDER}/jobsync_database_url or in {CONFIG_FILE}"
        )
        raise ConfigurationProblem("configuration: " + "; ".join(problems))
    hosts = [host for url in (known.database_url, known.lock_database_url) if url for host in _hosts(url)]
    tcp = tuple(dict.fromkeys(host for host in hosts if not host.startswith(("/", "@"))))
    program = _find_program(problems, executable, sandboxed=sandboxed)
    for name in ("storage", "report_file", "metrics_file"):
        if (path := getattr(known, name)) is not None:
            _require_seen(problems, f"JOBSYNC_{name.upper()}", path, sandboxed=sandboxed)
    sockets = [Path(host) for host in hosts if host.startswith("/")]
    _require_seen(problems, "the database's socket", *sockets, sandboxed=sandboxed)
    plain, secret = _sort_out(texts, problems)
    secret.pop("JOBSYNC_DATABASE_SCHEMA", None)
    plain["JOBSYNC_DATABASE_SCHEMA"] = known.database_schema  # also the default: it says that nothing else holds
    problems.extend(
        f"{name} is exported and leads to this host: timers would ask a sandbox instead of the vendor;"
        f" unset {name}, or, to try out, write it into {CONFIG_FILE}"
        for name in _VENDOR_URLS
        if name in texts and texts[name][1] is None and _is_loopback(texts[name][0])
    )
    if named:
        _require_seen(problems, "JOBSYNC_CONFIG", Path(named), sandboxed=sandboxed)
        plain["JOBSYNC_CONFIG"] = named
    if problems:
        raise ConfigurationProblem("configuration: " + "; ".join(problems))
    return Installation(
        executable=program,
        environment=plain,
        credentials=tuple(secret),
        secrets={name: text for name, text in secret.items() if text},
        sockets_only=not tcp,
        database_hosts=tcp if all(map(_address, tcp)) else (),
        local_database=all(host in ("localhost", "127.0.0.1", "::1") for host in tcp),
        settings=known,
    )


def _find_program(problems: list[str], executable: Path | None, *, sandboxed: bool) -> Path:
    program = executable or Path(sys.executable).with_name("jobsync")
    behind = () if executable else (Path(sys.executable).resolve(), Path(__file__).resolve())
    _require_seen(problems, "the program", program, *behind, sandboxed=sandboxed)
    if sandboxed and not {*"\"'\\$"}.isdisjoint(str(program)):
        problems.append(
            f"the program: {visible(program)}: systemd starts none with a quote, a backslash or a $ in its path"
        )
    return program


def below(root: Path, path: str | Path) -> Path:
    """Return where an absolute path of the installed system lies while that system's root is `root`."""
    return root / Path(path).relative_to("/")


def _readable(path: Path) -> str:
    try:
        path.stat()
        return str(path)
    except PermissionError:
        raise ConfigurationProblem(f"configuration: {path} cannot be read; run it as root") from None
    except OSError:
        return os.devnull


def _sort_out(
    texts: Mapping[str, tuple[str, Path | None]], problems: list[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what may stand in a unit file, and the secrets: their text if it has still to be put away, else ""."""
    plain, secret = dict[str, str](), dict[str, str]()
    for name, (text, path) in sorted(texts.items()):
        in_folder = path is not None and path.name == name.lower()
        if _is_secret(name, text) or in_folder:
            if path is None or in_folder:
                secret[name] = "" if in_folder else text
        elif path is None or name in (*_DATABASE_URLS, "JOBSYNC_STORAGE"):
            if not text.isprintable():
                problems.append(f"{name}: holds a control character")
            plain[name] = text
    return plain, secret


def _is_secret(name: str, text: str) -> bool:
    if name in ALWAYS_SECRET:
        return True
    if name in _DATABASE_URLS:
        return not _parts(text).keys().isdisjoint({"password", "sslpassword"})
    return name.endswith("_URL") and urlsplit(text).password is not None


def _parts(url: str) -> Mapping[str, str]:
    import psycopg

    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise ConfigurationProblem("configuration: the database's URL cannot be read by libpq") from None
    return {name: str(value) for name, value in parts.items() if value}


def _hosts(url: str) -> list[str]:
    parts = _parts(url)
    hosts = (parts.get("hostaddr") or parts.get("host") or "").split(",")
    return [host or "/var/run/postgresql" for host in hosts] + ["service"] * ("service" in parts)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    with suppress(ValueError):
        return ip_address("127.0.0.1" if host == "localhost" else host)
    return None


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    address = _address("localhost" if host.endswith(".localhost") else host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def _require_seen(problems: list[str], what: str, *paths: Path, sandboxed: bool) -> None:
    """Units see no home folder and only temporary files of their own."""
    for path in paths:
        if not path.is_absolute():
            problems.append(f"{what}: {path} is not an absolute path")
        elif not str(path).isprintable():
            problems.append(f"{what}: {visible(path)} holds a control character")
        elif hidden := next((folder for folder in _HIDDEN if sandboxed and path.is_relative_to(folder)), None):
            problems.append(f"{what}: {path} lies below {hidden}, which the units' sandbox hides from them")
            return
