"""Environment, credentials folder and configuration file -> one frozen Settings; all that is wrong is named at once."""

from __future__ import annotations

import base64
import binascii
import grp
import os
import pwd
import re
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jobsync import schema_name
from jobsync.errors import ConfigurationProblem
from jobsync.proxies import read_proxies

CONFIG_FILE = "/etc/jobsync/config.toml"
# Where the units' secrets lie; a command typed by the service's user or by root reads them there itself.
CREDENTIALS_FOLDER = "/etc/jobsync/credentials"
# The user that the units run as, and its group.
SERVICE = "jobsync"
_POSTGRES_SCHEMES = ("postgresql", "postgres")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
_LOG_FORMATS = ("auto", "json", "console")
NAMES = (
    "JOBSYNC_DATABASE_URL",
    "JOBSYNC_LOCK_DATABASE_URL",
    "JOBSYNC_DATABASE_SCHEMA",
    "JOBSYNC_ENCRYPTION_KEY",
    "JOBSYNC_ENCRYPTION_KEY_PREVIOUS",
    "JOBSYNC_EASYCARS_URL",
    "JOBSYNC_SRI_URL",
    "JOBSYNC_PROXY",
    "JOBSYNC_STORAGE",
    "JOBSYNC_REPORT_FILE",
    "JOBSYNC_METRICS_FILE",
    "JOBSYNC_LOG_LEVEL",
    "JOBSYNC_LOG_FORMAT",
    "JOBSYNC_SMTP_URL",
    "JOBSYNC_ALERT_TO",
    "JOBSYNC_ALERT_WEBHOOK",
    "JOBSYNC_ALERT_URLS",
    "JOBSYNC_PING_URL",
)
# Where a timer writes, if they are set; nothing else may be written in the file's folder by the unit of that timer.
_FILES = ("JOBSYNC_REPORT_FILE", "JOBSYNC_METRICS_FILE")
_NOT_TEXT = re.compile("[\ud800-\udfff]")  # how Python passes on a byte that is no text
_ALERT_NAMES = (
    "JOBSYNC_SMTP_URL",
    "JOBSYNC_ALERT_TO",
    "JOBSYNC_ALERT_WEBHOOK",
    "JOBSYNC_ALERT_URLS",
    "JOBSYNC_PING_URL",
    "JOBSYNC_PROXY",
)


@dataclass(frozen=True)
class Settings:
    """
    What the outside told this process.

    `database_url` is a libpq URL, or None for the embedded server, whose data folder is then `embedded_folder`
    (None: the user's data folder); `database_is_default` says that neither is set. Keys are 32 bytes. `proxies`
    are the rules of where requests leave (jobsync.proxies), from JOBSYNC_PROXY or else from the environment. Fields
    that may hold a secret stay out of `repr`.
    """

    database_url: str | None = field(default=None, repr=False)
    embedded_folder: Path | None = None
    database_is_default: bool = False
    lock_database_url: str | None = field(default=None, repr=False)
    database_schema: str = schema_name.DEFAULT
    encryption_key: bytes | None = field(default=None, repr=False)
    encryption_key_previous: bytes | None = field(default=None, repr=False)
    easycars_url: str | None = None
    sri_url: str | None = None
    proxy: str | None = field(default=None, repr=False)
    proxies: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    storage: Path | None = None
    report_file: Path | None = None
    metrics_file: Path | None = None
    log_level: str = "info"
    log_format: str = "auto"
    smtp_url: str | None = field(default=None, repr=False)
    alert_to: str | None = None
    alert_webhook: str | None = field(default=None, repr=False)
    alert_urls: str | None = field(default=None, repr=False)
    ping_url: str | None = field(default=None, repr=False)
    under_systemd: bool = False

    @property
    def channels(self) -> tuple[str, ...]:
        """By which ways people are told of what needs one."""
        told = {
            "mail": self.smtp_url and self.alert_to,
            "webhook": self.alert_webhook,
            "ping": self.ping_url,
        }
        services = enumerate(filter(None, re.split(r"[\s,]+", self.alert_urls or "")), 1)
        named = (f"{url.partition('://')[0].lower()} #{number}" for number, url in services)
        return (*(name for name, where in told.items() if where), *named)


def load_settings(environ: Mapping[str, str]) -> Settings:
    """
    Read every setting: environment first, then `$CREDENTIALS_DIRECTORY/<lower-case name>`, then the configuration file.

    Without that variable the folder is /etc/jobsync/credentials, as far as this user may read it. The file is
    `$JOBSYNC_CONFIG` or /etc/jobsync/config.toml; its keys are the lower-case names, with or without the `jobsync_`
    prefix.

    Raises:
        ConfigurationProblem: one message that names everything that is wrong, a line each.
    """
    problems: list[str] = []
    settings = _parse(_collect(environ, problems), problems, environ)
    if problems:
        raise ConfigurationProblem("configuration: " + "; ".join(problems), problems=problems)
    return settings


def load_alert_settings(environ: Mapping[str, str]) -> tuple[Settings, tuple[str, ...]]:
    """
    Read only what an alert needs to get out; whatever else is wrong may be the very thing to be told.

    Returns the settings, and what is wrong with them: somebody may not be told.
    """
    collected: list[str] = []
    raw = {name: text for name, text in _collect(environ, collected).items() if name in _ALERT_NAMES}
    others = tuple(f"{name}:" for name in NAMES if name not in _ALERT_NAMES)
    problems = [words for words in collected if not words.startswith(others)]  # a file's may be about alerts
    settings = _parse(raw, problems, environ)
    if settings.smtp_url is None and "JOBSYNC_SMTP_URL" in raw:
        settings = replace(settings, alert_to=None)  # it has been named; half of mail is not another mistake
    return settings, tuple(problems)


def _parse(raw: Mapping[str, str], problems: list[str], environ: Mapping[str, str]) -> Settings:
    def key_of(name: str) -> bytes | None:
        text = raw.get(name)
        if text is None:
            return None
        try:
            key = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            problems.append(f"{name}: not base64 (expected the base64 of 32 bytes)")
            return None
        if len(key) != 32:
            problems.append(f"{name}: {len(key)} bytes (expected the base64 of 32 bytes)")
            return None
        return key

    def url_of(name: str, schemes: tuple[str, ...]) -> str | None:
        text = raw.get(name)
        if text is None:
            return None
        if schemes == _POSTGRES_SCHEMES and text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            return text  # libpq reads it by rules of its own: a password may hold a [
        try:
            parts = urlsplit(text)
            _ = parts.port  # raises if there is no such port
        except ValueError:
            problems.append(f"{name}: not a URL (expected {' or '.join(s + '://…' for s in schemes)})")
            return None
        if parts.scheme not in schemes or (parts.scheme in ("http", "https") and not parts.netloc):
            problems.append(f"{name}: expected {' or '.join(s + '://…' for s in schemes)}")
            return None
        return text

    def choice_of(name: str, choices: tuple[str, ...], default: str) -> str:
        text = raw.get(name, default).strip().lower()
        if text not in choices:
            problems.append(f"{name}: expected one of {', '.join(choices)}")
            return default
        return text

    _check_places(raw, problems)
    database_url, embedded_folder = _database(raw, problems)
    proxy = url_of("JOBSYNC_PROXY", ("http", "https"))
    return Settings(
        database_url=database_url,
        embedded_folder=embedded_folder,
        database_is_default="JOBSYNC_DATABASE_URL" not in raw,
        lock_database_url=url_of("JOBSYNC_LOCK_DATABASE_URL", _POSTGRES_SCHEMES),
        database_schema=_schema(raw, problems),
        encryption_key=key_of("JOBSYNC_ENCRYPTION_KEY"),
        encryption_key_previous=key_of("JOBSYNC_ENCRYPTION_KEY_PREVIOUS"),
        easycars_url=url_of("JOBSYNC_EASYCARS_URL", ("http", "https")),
        sri_url=url_of("JOBSYNC_SRI_URL", ("http", "https")),
        proxy=proxy,
        proxies=read_proxies(environ, proxy),
        storage=Path(raw["JOBSYNC_STORAGE"]) if "JOBSYNC_STORAGE" in raw else None,
        report_file=Path(raw["JOBSYNC_REPORT_FILE"]) if "JOBSYNC_REPORT_FILE" in raw else None,
        metrics_file=Path(raw["JOBSYNC_METRICS_FILE"]) if "JOBSYNC_METRICS_FILE" in raw else None,
        log_level=choice_of("JOBSYNC_LOG_LEVEL", LOG_LEVELS, "info"),
        log_format=choice_of("JOBSYNC_LOG_FORMAT", _LOG_FORMATS, "auto"),
        smtp_url=url_of("JOBSYNC_SMTP_URL", ("smtp", "smtps")),
        alert_to=raw.get("JOBSYNC_ALERT_TO"),
        alert_webhook=url_of("JOBSYNC_ALERT_WEBHOOK", ("http", "https")),
        alert_urls=raw.get("JOBSYNC_ALERT_URLS"),
        ping_url=url_of("JOBSYNC_PING_URL", ("http", "https")),
        under_systemd="INVOCATION_ID" in environ,
    )


def _collect(environ: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """Gather the raw texts by name; an empty text counts as unset."""
    return {name: text for name, (text, _) in read_texts(environ, problems).items()}


def read_texts(environ: Mapping[str, str], problems: list[str]) -> dict[str, tuple[str, Path | None]]:
    """
    Return each setting's text by name, with the file it stands in, None for the environment.

    An empty text counts as unset. What cannot be read is added to `problems`.
    """
    found: dict[str, tuple[str, Path | None]] = {}
    path = Path(environ.get("JOBSYNC_CONFIG") or CONFIG_FILE)
    for name, text in _from_file(environ, problems):
        found[name] = (text, path)
    folder = environ.get("CREDENTIALS_DIRECTORY")
    for name in NAMES:
        credential = Path(folder or CREDENTIALS_FOLDER) / name.lower()
        try:
            if folder or os.access(credential, os.R_OK):
                found[name] = (credential.read_text(encoding="utf-8").strip(), credential)
            elif not environ.get(name) and "INVOCATION_ID" not in environ and _rights_of(credential):
                # a unit is given what it needs, and what it is not given keeps it from nothing
                problems.append(f"{name}: {why_closed(credential)}")
        except FileNotFoundError:
            pass
        except PermissionError:
            problems.append(f"{name}: {why_closed(credential)}")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{name}: credential file {credential} cannot be read ({type(error).__name__})")
        if environ.get(name):
            found[name] = (environ[name], None)
    found = {name: text for name, text in found.items() if text[0]}
    if environ.get("EASYCARS_ENCRYPTION_KEY"):
        found.setdefault("JOBSYNC_ENCRYPTION_KEY", (environ["EASYCARS_ENCRYPTION_KEY"], None))
    for name, (text, where) in tuple(found.items()):
        what = "a NUL character" if "\0" in text else "bytes that are not UTF-8" if _NOT_TEXT.search(text) else None
        if what:
            problems.append(f"{name}: holds {what} ({where or 'environment'})")
            del found[name]
    return found


def _from_file(environ: Mapping[str, str], problems: list[str]) -> Iterator[tuple[str, str]]:
    named = environ.get("JOBSYNC_CONFIG")
    path = Path(named or CONFIG_FILE)
    if not named and not os.access(path, os.R_OK):
        elsewhere = environ.get("JOBSYNC_DATABASE_URL") or environ.get("CREDENTIALS_DIRECTORY")
        if not elsewhere and _is_closed(path):  # not to be taken for a machine without one, which has its own database
            problems.append(why_closed(path))
        return  # the system's file is optional
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except PermissionError:
        problems.append(why_closed(path))
        return
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        problems.append(f"{path}: cannot be read as TOML ({error})")
        return
    for key, value in table.items():
        name = key.upper() if key.upper().startswith("JOBSYNC_") else f"JOBSYNC_{key.upper()}"
        if name not in NAMES:
            problems.append(f"{path}: unknown key {key!r}")
        elif not isinstance(value, str):
            problems.append(f"{path}: {key}: expected text in quotes")
        else:
            yield name, value


def _check_places(raw: Mapping[str, str], problems: list[str]) -> None:
    problems.extend(
        f"{name}: a path is appended to it, so nothing may follow a ? or #"
        for name in ("JOBSYNC_EASYCARS_URL", "JOBSYNC_SRI_URL")
        if any(sign in raw.get(name, "") for sign in "?#")
    )
    if not Path(raw.get("JOBSYNC_STORAGE", "/")).is_absolute():
        problems.append("JOBSYNC_STORAGE: expected an absolute path")
    for name in _FILES:
        path = Path(raw.get(name, "/srv/file"))
        if not path.is_absolute() or path.parent == Path("/") or raw.get(name, "").endswith("/"):
            problems.append(f"{name}: expected the absolute path of a file, in a folder below /")


def closed_place(name: str, environ: Mapping[str, str]) -> str | None:
    """Return where a setting that was not found may stand all the same, for this user may not look there."""
    folder = Path(environ.get("CREDENTIALS_DIRECTORY") or CREDENTIALS_FOLDER)
    for path in (Path(environ.get("JOBSYNC_CONFIG") or CONFIG_FILE), folder / name.lower()):
        if not os.access(path, os.R_OK) and _is_closed(path):
            return f"{name} is not in the environment, and perhaps here: {why_closed(path)}"
    return None


@dataclass(frozen=True)
class Rights:
    """Whose a file is, and its mode, as `ls -l` and `chmod` have them."""

    owner: str
    group: str
    mode: int

    def __str__(self) -> str:
        """Return them as they are said."""
        return f"{self.owner}:{self.group}, mode {self.mode:04o}"

    @property
    def open_to_service(self) -> bool:
        """Whether the service's user may read it, which is alone in its group."""
        by_group = self.group == SERVICE and self.mode & stat.S_IRGRP
        return bool(self.owner == SERVICE or by_group or self.mode & stat.S_IROTH)


def read_rights(path: Path) -> Rights:
    """Return the rights of a file; raises OSError where it is not there, or its folder is closed."""
    found = path.stat()
    owner, group = _name_of(pwd.getpwuid, found.st_uid), _name_of(grp.getgrgid, found.st_gid)
    return Rights(owner, group, stat.S_IMODE(found.st_mode))


def _name_of(find: Callable[[int], tuple[Any, ...]], number: int) -> str:
    try:
        return str(find(number)[0])
    except KeyError:
        return str(number)


def _rights_of(path: Path) -> Rights | None:
    try:
        return read_rights(path)
    except OSError:
        return None


def why_closed(path: Path) -> str:
    """Return why this user may not read a file of the service, and what mends it: rights, or another user."""
    user, rights = _name_of(pwd.getpwuid, os.geteuid()), _rights_of(path)
    if rights is not None and not rights.open_to_service:
        return f"{path} is there ({rights}), and {user} may not read it; as root: {to_open(path)}"
    shut = next((each for each in path.parents[::-1] if not os.access(each, os.X_OK)), None)
    if user == SERVICE and shut is not None:
        return f"{path}: {user} may not look into {shut}; as root: {to_open(shut, mode=0o750)}"
    return f"{path}: you may not read it; as the service's user: runuser -u {SERVICE} -- jobsync …"


def to_open(path: Path, *, mode: int = 0o640) -> str:
    """Return what root types to let the service read a file, or look into a folder."""
    return f"chown root:{SERVICE} {shlex.quote(str(path))} && chmod {mode:04o} {shlex.quote(str(path))}"


def _is_closed(path: Path) -> bool:
    """Whether a file that this user may not read is there, or may be."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _schema(raw: Mapping[str, str], problems: list[str]) -> str:
    schema = raw.get("JOBSYNC_DATABASE_SCHEMA", schema_name.DEFAULT)
    if (wrong := schema_name.problem_of_schema(schema)) is not None:
        problems.append(f"JOBSYNC_DATABASE_SCHEMA: {wrong} (expected a schema's name, such as jobsync)")
    return schema


def _database(raw: Mapping[str, str], problems: list[str]) -> tuple[str | None, Path | None]:
    text = raw.get("JOBSYNC_DATABASE_URL", "embedded:")
    if text == "embedded:":
        return None, None
    if text.startswith("embedded:"):
        folder = Path(text.removeprefix("embedded:"))
        if not folder.is_absolute():
            problems.append("JOBSYNC_DATABASE_URL: embedded:/path needs an absolute path")
        return None, folder
    if not text.startswith(tuple(f"{scheme}://" for scheme in _POSTGRES_SCHEMES)):
        problems.append("JOBSYNC_DATABASE_URL: expected postgresql://…, embedded: or embedded:/path")
    return text, None
