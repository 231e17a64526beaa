"""The catalogue of system settings: what each means, what it may be, and how a stored text is read."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from psycopg import Connection

from jobsync.cron import BLANKS, DEFAULT_CRON, DEFAULT_ZONE, problem_of_cron, text_of_cron, text_of_zone
from jobsync.errors import UsageProblem
from jobsync.jobs import CHECK_AUTHORIZATIONS, GENERATE_RIDE, STOCK_SYNC
from jobsync.logs import get_logger, visible

STATUSES = ("active", "deposit", "sold", "excluded")
_RETRIES_MOST, _RETRY_MINUTES_MOST = 20, 1440


def _read_switch(text: str) -> bool | None:
    word = text.strip(BLANKS).lower()
    return True if word in ("true", "1", "on", "yes") else False if word in ("false", "0", "off", "no") else None


def _read_number(text: str, *, least: int, most: int) -> int | None:
    word = text.strip(BLANKS)
    if not word.isascii() or not word.removeprefix("-").isdigit() or len(word) > 12:
        return None
    return int(word) if least <= int(word) <= most else None


def _read_minutes(text: str) -> tuple[int, ...] | None:
    words = [word.strip(BLANKS) for word in text.split(",")]
    if len(words) > _RETRIES_MOST or not all(word.isascii() and word.isdigit() and len(word) <= 6 for word in words):
        return None
    minutes = tuple(int(word) for word in words)
    grows = all(first < second for first, second in zip((0, *minutes), minutes, strict=False))
    return minutes if grows and minutes[-1] <= _RETRY_MINUTES_MOST else None


def _read_status_map(text: str) -> Mapping[str, str] | None:
    """
    Return status by word, trimmed and without case; None if the text is no such map, or a word means two things.

    >>> _read_status_map("Wholesaled = excluded, under  offer=deposit")
    {'wholesaled': 'excluded', 'under offer': 'deposit'}
    """
    found: dict[str, str] = {}
    for part in text.split(",") if text.strip(BLANKS) else ():
        word, sign, status = part.rpartition("=")
        word, status = " ".join(word.split()).casefold(), status.strip(BLANKS).casefold()
        if not sign or not word or status not in STATUSES or found.setdefault(word, status) != status:
            return None
    return found


@dataclass(frozen=True)
class Setting:
    """One setting, and how its text is read and written."""

    default: bool | int | str
    description: str
    read: Callable[[str], Any]  # returns what a stored text means, None if it cannot be read
    expected: str
    consequence: str  # what holds where it cannot be read
    write: Callable[[Any], str] = str

    def spell(self, text: str) -> str:
        """Return a text that can be read as it is stored."""
        return self.write(self.read(text))


@dataclass(frozen=True)
class Number(Setting):
    """A whole number within a range."""

    least: int = 0
    most: int = 0


def _switch(default: bool, description: str) -> Setting:
    return Setting(default, description, _read_switch, "true or false", "it counts as off", lambda on: str(on).lower())


def _number(default: int, least: int, most: int, description: str) -> Number:
    read, expected = partial(_read_number, least=least, most=most), f"a whole number from {least} to {most}"
    return Number(default, description, read, expected, f"{default} is used", least=least, most=most)


STATUS_MAP = "easycar_status_map"
CATALOGUE: Mapping[str, Setting] = {
    STOCK_SYNC.switch: _switch(True, "switch: stock sync of all dealerships"),
    "easycar_sync_cron": Setting(
        DEFAULT_CRON,
        "when each dealership is synced, in its own time zone",
        text_of_cron,
        "a cron expression of five fields, for example: 0 2 * * *",
        "the last good one stays in force",
    ),
    "easycar_sync_timezone": Setting(
        DEFAULT_ZONE,
        "time zone of dealerships that name none",
        text_of_zone,
        "a time zone such as Australia/Sydney",
        "the default is used",
    ),
    "easycar_sync_concurrency": _number(1, 1, 32, "dealerships asked for at once"),
    "easycar_retry_minutes": Setting(
        "5,15,45",
        "minutes after the start of a slot at which a dealership that failed is tried again",
        _read_minutes,
        f"up to {_RETRIES_MOST} growing numbers of minutes from 1 to {_RETRY_MINUTES_MOST}, for example: 5,15,45",
        "5,15,45 is used",
        lambda minutes: ",".join(map(str, minutes)),
    ),
    STATUS_MAP: Setting(
        "",
        "what words of StockStatus mean: word=active|deposit|sold|excluded, commas between",
        _read_status_map,
        f"word={'|'.join(STATUSES)} with commas between, for example: wholesaled=excluded, under offer=deposit",
        "the last good one stays in force",
        lambda statuses: ", ".join(f"{word}={status}" for word, status in statuses.items()),
    ),
    "easycar_removal_limit_percent": _number(
        30, 0, 100, "what one night does to more than this share of the vehicles waits for approval"
    ),
    "easycar_removal_limit_floor": _number(
        5, 0, 1000000, "what one night does to up to this many vehicles never waits"
    ),
    "easycar_removal_grace_days": _number(0, 0, 365, "days a vehicle may be missing before it counts as removed"),
    CHECK_AUTHORIZATIONS.switch: _switch(True, "switch: authorization checks"),
    "sri_check_interval_s": _number(30, 1, 86400, "seconds between two rounds of authorization checks"),
    "sri_call_delay_ms": _number(500, 0, 60000, "milliseconds between the starts of two calls to one SRI host"),
    "sri_check_concurrency": _number(8, 1, 64, "SRI calls in flight at once"),
    GENERATE_RIDE.switch: _switch(True, "switch: RIDE rendering"),
    "ride_interval_s": _number(60, 1, 86400, "seconds between two rounds of RIDE rendering"),
    "ride_delay_ms": _number(200, 0, 60000, "milliseconds between two RIDE documents"),
    "ride_attach_xml": _switch(True, "attach the authorized XML to the RIDE"),
    "alert_after_failures": _number(5, 1, 1000, "failed runs in a row before an alert"),
    "alert_run_minutes": _number(5, 1, 1440, "minutes a run of a frequent job may take before an alert"),
    "alert_queue_length": _number(100, 1, 1000000, "due invoices waiting before an alert"),
    "alert_silence_hours": _number(26, 1, 8760, "hours without a success beyond the expected slot before an alert"),
    "alert_reminder_hours": _number(24, 1, 8760, "hours between two reminders of an open alert"),
    "runs_retention_days": _number(400, 1, 36500, "days that runs are kept"),
    "items_retention_days": _number(90, 1, 36500, "days that items of runs are kept"),
    "events_retention_days": _number(400, 1, 36500, "days that SRI events are kept"),
}


@dataclass(frozen=True)
class SystemSettings:
    """The settings as stored, read once a run; what cannot be read is reported and never a crash."""

    texts: Mapping[str, str]
    last_good: Mapping[str, str] = field(default_factory=dict)

    def switch(self, key: str) -> bool:
        """Return a switch; unreadable counts as off."""
        return bool(self._read(key, "off"))

    def number(self, key: str) -> int:
        """Return a number; unreadable or out of range counts as its default."""
        return int(self._read(key))

    def minutes(self, key: str) -> tuple[int, ...]:
        """Return growing minutes; unreadable counts as its default."""
        return tuple(self._read(key))

    def status_map(self) -> Mapping[str, str]:
        """Return status by word of StockStatus; of an unreadable map the last good one."""
        return self._read(STATUS_MAP, self.last_good.get(STATUS_MAP, "")) or {}

    def _read(self, key: str, otherwise: str | None = None) -> Any:
        setting = CATALOGUE[key]
        text = self.texts.get(key, str(setting.default))
        if (value := setting.read(text)) is not None:
            return value
        _report(key, text)
        return setting.read(str(setting.default) if otherwise is None else otherwise)


@cache  # it is said once: a command reads its settings many times
def _report(key: str, text: str) -> None:
    setting = CATALOGUE[key]
    get_logger().warning(
        "settings.unreadable",
        key=key,
        value=visible(text, most=80),
        expected=setting.expected,
        consequence=setting.consequence,
    )


def read_system_settings(connection: Connection[Any]) -> SystemSettings:
    rows = connection.execute("SELECT key, value, last_good FROM system_settings").fetchall()
    good = {key: last_good for key, _, last_good in rows if last_good is not None}
    return SystemSettings({key: value for key, value, _ in rows}, good)


def keep_last_good(connection: Connection[Any], settings: SystemSettings) -> None:
    """Remember the map of StockStatus while it can be read: an unreadable one leaves it in force."""
    text = settings.texts.get(STATUS_MAP)
    if text is None or text == settings.last_good.get(STATUS_MAP, "") or _read_status_map(text) is None:
        return
    connection.execute("UPDATE system_settings SET last_good = value WHERE key = %s AND value = %s", [STATUS_MAP, text])


def check_setting(key: str, value: str) -> str:
    """Return a value as it is to be stored; raises UsageProblem if there is no such setting, or not of this value."""
    setting = require_setting(key)
    if setting.read(value) is None:
        raise UsageProblem(f"{key}: {problem_of_value(setting, value)}")
    return setting.spell(value)


def problem_of_value(setting: Setting, value: str) -> str:
    """Return why an unreadable value cannot be used, and what is expected."""
    why = f" ({problem_of_cron(value)})" if setting.read is text_of_cron else ""
    return f"{visible(value, most=80)!r} cannot be used{why}, expected {setting.expected}"


def require_setting(key: str) -> Setting:
    """Return a setting; raises UsageProblem where there is none, and offers one of nearly that name."""
    setting = CATALOGUE.get(key)
    if setting is None:
        hint = near_setting(key) or "jobsync settings list shows them all"
        raise UsageProblem(f"no setting {visible(key, most=80)}; {hint}")
    return setting


def near_setting(key: str) -> str | None:
    """Return a question that offers the setting of nearly this name, None if there is none."""
    near = difflib.get_close_matches(key, CATALOGUE, n=1)
    return f"did you mean {near[0]}?" if near else None
