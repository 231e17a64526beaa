"""Environment, credentials folder and configuration file -> one frozen Settings; all that is wrong is named at once."""

from __future__ import annotations

import base64
import grp
import os
import pwd
import re
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
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
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
_OLD_KEY = "EASYCARS_ENCRYPTION_KEY"  # stands in for JOBSYNC_ENCRYPTION_KEY, in the environment alone
_NOT_TEXT = re.compile("[\ud800-\udfff]")  # how Python passes on a byte that is no text
_ALERT_NAMES = (
    *("JOBSYNC_SMTP_URL", "JOBSYNC_ALERT_TO", "JOBSYNC_ALERT_WEBHOOK", "JOBSYNC_ALERT_URLS", "JOBSYNC_PING_URL"),
    "JOBSYNC_PROXY",
)


# Readers of a setting's text. Each raises ValueError with what is expected, never with the text: it may be a secret.


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("not base64 (expected the base64 of 32 bytes)") from None
    if len(key) != 32:
        raise ValueError(f"{len(key)} bytes (expected the base64 of 32 bytes)")
    return key


def _one(fits: Callable[[str], bool], expected: str, then: Callable[[str], Any] = str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        if not fits(text):
            raise ValueError(expected)
        return then(text)

    return read


def _choice(*choices: str) -> Callable[[str], str]:
    return _one(lambda text: _word(text) in choices, f"expected one of {', '.join(choices)}", _word)


def _url(*schemes: str) -> Callable[[str], str]:
    expected = f"expected {' or '.join(f'{scheme}://…' for scheme in schemes)}"

    def read(text: str) -> str:
        try:
            parts = urlsplit(text)
            _ = parts.port  # raises if there is no such port
        except ValueError:
            raise ValueError(f"not a URL ({expected})") from None
        if parts.scheme not in schemes or ("http" in schemes and not parts.netloc):
            raise ValueError(expected)
        return text

    return read


def _word(text: str) -> str:
    return text.strip().lower()


def _database(text: str) -> str | Path | None:
    folder = text.removeprefix("embedded:")
    if folder == text:
        return str(_one(_is_postgres, "expected postgresql://…, embedded: or embedded:/path")(text))
    if folder and not _is_absolute(folder):
        raise ValueError("embedded:/path needs an absolute path")
    return Path(folder) if folder else None


def _is_postgres(text: str) -> bool:
    return text.startswith(("postgresql://", "postgres://"))  # libpq reads the rest by rules of its own


def _is_absolute(text: str) -> bool:
    return Path(text).is_absolute()


def _is_file(text: str) -> bool:
    return _is_absolute(text) and Path(text).parent != Path("/") and not text.endswith("/")


def _schema(text: str) -> str:
    if (wrong := schema_name.problem_of_schema(text)) is not None:
        raise ValueError(f"{wrong} (expected a schema's name, such as jobsync)")
    return text


_LIKE_A_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_HTTP = _url("http", "https")
_ADDRESS = _one(lambda text: not {*"?#"} & {*text}, "a path is appended to it, so nothing may follow a ? or #", _HTTP)
_FILE = _one(_is_file, "expected the absolute path of a file, in a folder below /", Path)


def _read(by: Callable[[str], Any], default: Any = None, *, secret: bool = False) -> Any:
    """Return a field that is the setting of its name, read from its text; some are secrets whatever they say."""
    return field(default=default, metadata={"read": by, "secret": secret})


@dataclass(frozen=True, repr=False)
class Settings:
    """
    What the outside told this process; `repr` shows no field, as many may hold a secret.

    `database_url` is a libpq URL, or None for the embedded server, whose data folder is then `embedded_folder`
    (None: the user's data folder); `database_is_default` says that neither is set. Keys are 32 bytes. `proxies`: see
    jobsync.proxies.
    """

    database_url: str | None = _read(_database)
    lock_database_url: str | None = _read(_one(_is_postgres, "expected postgresql://… or postgres://…"))
    database_schema: str = _read(_schema, schema_name.DEFAULT)
    encryption_key: bytes | None = _read(_key, secret=True)
    encryption_key_previous: bytes | None = _read(_key, secret=True)
    easycars_url: str | None = _read(_ADDRESS)
    sri_url: str | None = _read(_ADDRESS)
    proxy: str | None = _read(_HTTP, secret=True)
    storage: Path | None = _read(_one(_is_absolute, "expected an absolute path", Path))
    report_file: Path | None = _read(_FILE)
    metrics_file: Path | None = _read(_FILE)
    log_level: str = _read(_choice(*LOG_LEVELS), "info")
    log_format: str = _read(_choice("auto", "json", "console"), "auto")
    smtp_url: str | None = _read(_url("smtp", "smtps"), secret=True)
    alert_to: str | None = _read(str)
    alert_webhook: str | None = _read(_HTTP, secret=True)
    alert_urls: str | None = _read(str, secret=True)
    ping_url: str | None = _read(_HTTP, secret=True)
    embedded_folder: Path | None = None
    database_is_default: bool = False
    proxies: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def channels(self) -> tuple[str, ...]:
        """By which ways people are told of what needs one."""
        told = {"mail": self.smtp_url and self.alert_to, "webhook": self.alert_webhook, "ping": self.ping_url}
        services = enumerate(filter(None, re.split(r"[\s,]+", self.alert_urls or "")), 1)
        named = (f"{url.partition('://')[0].lower()} #{number}" for number, url in services)
        return (*(name for name, where in told.items() if where), *named)


_FIELDS = {f"JOBSYNC_{each.name.upper()}": each for each in fields(Settings) if each.metadata}
NAMES = tuple(_FIELDS)
ALWAYS_SECRET = tuple(name for name, each in _FIELDS.items() if each.metadata["secret"])
_Texts = dict[str, tuple[str, Path | None]]  # by name, each with the file that it stands in


def load_settings(environ: Mapping[str, str]) -> Settings:
    """
    Read every setting: environment first, then `$CREDENTIALS_DIRECTORY/<lower-case name>`, then the configuration file.

    Without that variable the folder is /etc/jobsync/credentials, as far as this user may read it. The file is
    `$JOBSYNC_CONFIG` or /etc/jobsync/config.toml; its keys are the lower-case names, with `jobsync_` or without.

    Raises:
        ConfigurationProblem: everything that is wrong, in one message.
    """
    problems: list[str] = []
    settings = _parse(read_texts(environ, problems), problems, environ)
    if problems:
        raise ConfigurationProblem("configuration: " + "; ".join(problems), problems=problems)
    return settings


def load_alert_settings(environ: Mapping[str, str]) -> tuple[Settings, tuple[str, ...]]:
    """Return what an alert needs, and what is wrong with it; whatever else is wrong may be the very thing to tell."""
    collected: list[str] = []
    raw = {name: text for name, text in read_texts(environ, collected).items() if name in _ALERT_NAMES}
    others = tuple(f"{name}:" for name in NAMES if name not in _ALERT_NAMES)
    problems = [words for words in collected if not words.startswith(others)]  # a file's may be about alerts
    settings = _parse(raw, problems, environ)
    if settings.smtp_url is None and "JOBSYNC_SMTP_URL" in raw:
        settings = replace(settings, alert_to=None)  # it has been named; half of mail is not another mistake
    return settings, tuple(problems)


def _parse(raw: _Texts, problems: list[str], environ: Mapping[str, str]) -> Settings:
    found: dict[str, Any] = {}
    for name, (text, where) in raw.items():
        try:
            found[_FIELDS[name].name] = _FIELDS[name].metadata["read"](text)
        except ValueError as error:
            problems.append(f"{name if where or environ.get(name) else _OLD_KEY}: {error}")
    database = found.pop("database_url", None)
    return Settings(
        **found,
        database_url=database if isinstance(database, str) else None,
        embedded_folder=database if isinstance(database, Path) else None,
        database_is_default="JOBSYNC_DATABASE_URL" not in raw,
        proxies=read_proxies(environ, found.get("proxy")),
    )


def read_texts(environ: Mapping[str, str], problems: list[str]) -> _Texts:
    """Return each setting that is not empty, by name; what cannot be read is added to `problems`."""
    path = Path(environ.get("JOBSYNC_CONFIG") or CONFIG_FILE)
    found: _Texts = {name: (text, path) for name, text in _from_file(environ, problems)}
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
    if environ.get(_OLD_KEY):
        found.setdefault("JOBSYNC_ENCRYPTION_KEY", (environ[_OLD_KEY], None))
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
            # what looks like no name may be the value, in the wrong place
            problems.append(f"{path}: unknown key {key if _LIKE_A_NAME.fullmatch(key) else '…'!r}")
        elif not isinstance(value, str):
            problems.append(f"{path}: {key}: expected text in quotes")
        else:
            yield name, value


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
        return bool(path.stat())
    except OSError as error:
        return isinstance(error, PermissionError)
