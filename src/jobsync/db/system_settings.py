"""The catalogue of system settings: what each means, what it may be, and how a stored text is read."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from jobsync.cron import BLANKS, DEFAULT_CRON, DEFAULT_ZONE, problem_of_cron, text_of_cron, text_of_zone
from jobsync.errors import UsageProblem
from jobsync.jobs import CHECK_AUTHORIZATIONS, GENERATE_RIDE, STOCK_SYNC
from jobsync.logs import get_logger, visible

_ON = ("true", "1", "on", "yes")
_OFF = ("false", "0", "off", "no")


@dataclass(frozen=True)
class Switch:
    """On or off; a text that is neither counts as off."""

    default: bool
    description: str
    expected: str = "true or false"
    consequence: str = "it counts as off"

    def read(self, text: str) -> bool | None:
        """Return what the text says, None if it says neither."""
        word = text.strip(BLANKS).lower()
        return True if word in _ON else False if word in _OFF else None

    def spell(self, text: str) -> str:
        """Return the text as it is stored."""
        return "true" if self.read(text) else "false"


@dataclass(frozen=True)
class Number:
    """A whole number within a range; an unreadable one counts as the default."""

    default: int
    least: int
    most: int
    description: str

    @property
    def consequence(self) -> str:
        """What an unreadable value leads to."""
        return f"{self.default} is used"

    @property
    def expected(self) -> str:
        """The range in words."""
        return f"a whole number from {self.least} to {self.most}"

    def read(self, text: str) -> int | None:
        """Return the number, None if it is none or out of range."""
        word = text.strip(BLANKS)
        if not word.isascii() or not word.removeprefix("-").isdigit() or len(word) > 12:
            return None
        return int(word) if self.least <= int(word) <= self.most else None

    def spell(self, text: str) -> str:
        """Return the text as it is stored."""
        return str(int(text))


@dataclass(frozen=True)
class Cron:
    """A cron expression of five fields; an unreadable one leaves the last good one in force."""

    default: str
    description: str
    expected: str = "a cron expression of five fields, for example: 0 2 * * *"
    consequence: str = "the last good one stays in force"

    def read(self, text: str) -> str | None:
        """Return the expression with single blanks, None if it is none."""
        return text_of_cron(text)

    def spell(self, text: str) -> str:
        """Return the text as it is stored."""
        return " ".join(text.split())


@dataclass(frozen=True)
class Zone:
    """A time zone of the tz database; an unreadable one counts as the default."""

    default: str
    description: str
    expected: str = "a time zone such as Australia/Sydney"
    consequence: str = "the default is used"

    def read(self, text: str) -> str | None:
        """Return the zone's name, None if there is no such zone."""
        return text_of_zone(text)

    def spell(self, text: str) -> str:
        """Return the text as it is stored."""
        return text.strip(BLANKS)


@dataclass(frozen=True)
class Minutes:
    """Growing numbers of minutes, the times of retries; unreadable ones count as the default."""

    default: str
    description: str
    most: int = 1440
    few: int = 20

    @property
    def expected(self) -> str:
        """The form in words."""
        return f"up to {self.few} growing numbers of minutes from 1 to {self.most}, for example: {self.default}"

    @property
    def consequence(self) -> str:
        """What an unreadable value leads to."""
        return f"{self.default} is used"

    def read(self, text: str) -> tuple[int, ...] | None:
        """Return the minutes, None if the text is no such list."""
        words = [word.strip(BLANKS) for word in text.split(",")]
        if len(words) > self.few or not all(word.isascii() and word.isdigit() and len(word) <= 6 for word in words):
            return None
        minutes = tuple(int(word) for word in words)
        grows = all(first < second for first, second in zip((0, *minutes), minutes, strict=False))
        return minutes if grows and minutes[-1] <= self.most else None

    def spell(self, text: str) -> str:
        """Return the text as it is stored."""
        return ",".join(str(number) for number in self.read(text) or ())


STATUSES = ("active", "deposit", "sold", "excluded")


@dataclass(frozen=True)
class StatusMap:
    """What words of a feed's StockStatus mean; an unreadable map leaves the last good one in force."""

    default: str
    description: str
    expected: str = (
        f"word={'|'.join(STATUSES)} with commas between, for example: wholesaled=excluded, under offer=deposit"
    )
    consequence: str = "the last good one stays in force"

    def read(self, text: str) -> Mapping[str, str] | None:
        """
        Return status by word, None if the text is no such map.

        Words are trimmed and without case; one word may not mean two things.

        >>> dict(StatusMap("", "").read("Wholesaled = excluded, under  offer=deposit"))
        {'wholesaled': 'excluded', 'under offer': 'deposit'}
        """
        found: dict[str, str] = {}
        for part in text.split(",") if text.strip(BLANKS) else ():
            word, sign, status = part.rpartition("=")
            word, status = " ".join(word.split()).casefold(), status.strip(BLANKS).casefold()
            if not sign or not word or status not in STATUSES or found.setdefault(word, status) != status:
                return None
        return found

    def spell(self, text: str) -> str:
        """Return the text as it is stored."""
        return ", ".join(f"{word}={status}" for word, status in (self.read(text) or {}).items())


Kind = Switch | Number | Cron | Zone | Minutes | StatusMap

CATALOGUE: Mapping[str, Kind] = {
    STOCK_SYNC.switch: Switch(True, "switch: stock sync of all dealerships"),
    "easycar_sync_cron": Cron(DEFAULT_CRON, "when each dealership is synced, in its own time zone"),
    "easycar_sync_timezone": Zone(DEFAULT_ZONE, "time zone of dealerships that name none"),
    "easycar_sync_concurrency": Number(1, 1, 32, "dealerships asked for at once"),
    "easycar_retry_minutes": Minutes(
        "5,15,45", "minutes after the start of a slot at which a dealership that failed is tried again"
    ),
    "easycar_status_map": StatusMap(
        "", "what words of StockStatus mean: word=active|deposit|sold|excluded, commas between"
    ),
    "easycar_removal_limit_percent": Number(
        30, 0, 100, "what one night does to more than this share of the vehicles waits for approval"
    ),
    "easycar_removal_limit_floor": Number(5, 0, 1000000, "what one night does to up to this many vehicles never waits"),
    "easycar_removal_grace_days": Number(0, 0, 365, "days a vehicle may be missing before it counts as removed"),
    CHECK_AUTHORIZATIONS.switch: Switch(True, "switch: authorization checks"),
    "sri_check_interval_s": Number(30, 1, 86400, "seconds between two rounds of authorization checks"),
    "sri_call_delay_ms": Number(500, 0, 60000, "milliseconds between the starts of two calls to one SRI host"),
    "sri_check_concurrency": Number(8, 1, 64, "SRI calls in flight at once"),
    GENERATE_RIDE.switch: Switch(True, "switch: RIDE rendering"),
    "ride_interval_s": Number(60, 1, 86400, "seconds between two rounds of RIDE rendering"),
    "ride_delay_ms": Number(200, 0, 60000, "milliseconds between two RIDE documents"),
    "ride_attach_xml": Switch(True, "attach the authorized XML to the RIDE"),
    "alert_after_failures": Number(5, 1, 1000, "failed runs in a row before an alert"),
    "alert_run_minutes": Number(5, 1, 1440, "minutes a run of a frequent job may take before an alert"),
    "alert_queue_length": Number(100, 1, 1000000, "due invoices waiting before an alert"),
    "alert_silence_hours": Number(26, 1, 8760, "hours without a success beyond the expected slot before an alert"),
    "alert_reminder_hours": Number(24, 1, 8760, "hours between two reminders of an open alert"),
    "runs_retention_days": Number(400, 1, 36500, "days that runs are kept"),
    "items_retention_days": Number(90, 1, 36500, "days that items of runs are kept"),
    "events_retention_days": Number(400, 1, 36500, "days that SRI events are kept"),
}


@dataclass(frozen=True)
class SystemSettings:
    """The settings as stored, read once a run; what cannot be read is reported and never a crash."""

    texts: Mapping[str, str]
    last_good: Mapping[str, str] = field(default_factory=dict)

    def switch(self, key: str) -> bool:
        """Return a switch; unreadable counts as off."""
        kind = CATALOGUE[key]
        if key not in self.texts:
            return bool(kind.default)
        value = kind.read(self.texts[key])
        if value is None:
            _report(key, self.texts[key], kind)
        return bool(value)

    def number(self, key: str) -> int:
        """Return a number; unreadable or out of range counts as its default."""
        kind = CATALOGUE[key]
        assert isinstance(kind, Number)  # noqa: S101 - asked of no other key
        value = kind.read(self.texts[key]) if key in self.texts else kind.default
        if value is None:
            _report(key, self.texts[key], kind)
            value = kind.default
        return value

    def zone(self, key: str) -> str:
        """Return a time zone; unreadable counts as its default."""
        kind = CATALOGUE[key]
        value = kind.read(self.texts[key]) if key in self.texts else kind.default
        if value is None:
            _report(key, self.texts[key], kind)
        return str(value if value is not None else kind.default)

    def cron(self, key: str) -> str | None:
        """Return a cron expression, None if the stored one cannot be read (the last good one stays in force)."""
        kind = CATALOGUE[key]
        value = kind.read(self.texts[key]) if key in self.texts else kind.default
        if value is None:
            _report(key, self.texts[key], kind)
        return None if value is None else str(value)

    def minutes(self, key: str) -> tuple[int, ...]:
        """Return growing minutes; unreadable counts as its default."""
        kind = CATALOGUE[key]
        assert isinstance(kind, Minutes)  # noqa: S101 - asked of no other key
        value = kind.read(self.texts.get(key, kind.default))
        if value is None:
            _report(key, self.texts[key], kind)
            value = kind.read(kind.default) or ()
        return value

    def status_map(self, key: str = "easycar_status_map") -> Mapping[str, str]:
        """Return status by word of StockStatus; of an unreadable map the last good one."""
        kind = CATALOGUE[key]
        assert isinstance(kind, StatusMap)  # noqa: S101 - asked of no other key
        value = kind.read(self.texts.get(key, kind.default))
        if value is None:
            _report(key, self.texts[key], kind)
            value = kind.read(self.last_good.get(key, kind.default)) or {}
        return value


_reported: set[tuple[str, str]] = set()


def _report(key: str, text: str, kind: Kind) -> None:
    """Say it once: a command reads its settings many times."""
    if (key, text) in _reported:
        return
    _reported.add((key, text))
    get_logger().warning(
        "settings.unreadable",
        key=key,
        value=visible(text, most=80),
        expected=kind.expected,
        consequence=kind.consequence,
    )


def read_system_settings(connection: psycopg.Connection[Any]) -> SystemSettings:
    """Read all stored settings."""
    rows = connection.execute("SELECT key, value, last_good FROM system_settings").fetchall()
    return SystemSettings(
        {key: value for key, value, _ in rows}, {key: good for key, _, good in rows if good is not None}
    )


def keep_last_good(connection: psycopg.Connection[Any], settings: SystemSettings) -> None:
    """Remember values that can be read, of the settings whose unreadable ones leave the last good one in force."""
    for key, kind in CATALOGUE.items():
        text = settings.texts.get(key)
        good = isinstance(kind, StatusMap) and text is not None and kind.read(text) is not None
        if good and settings.last_good.get(key, kind.default) != text:
            connection.execute(
                "UPDATE system_settings SET last_good = value WHERE key = %s AND value = %s", [key, text]
            )


def check_setting(key: str, value: str) -> str:
    """
    Return a value as it is to be stored.

    Raises:
        UsageProblem: there is no such setting, or it cannot have this value; the range is named.
    """
    kind = require_setting(key)
    if kind.read(value) is None:
        raise UsageProblem(f"{key}: {problem_of_value(kind, value)}")
    return kind.spell(value)


def problem_of_value(kind: Kind, value: str) -> str:
    """Return why an unreadable value cannot be used, and what is expected."""
    why = f" ({problem_of_cron(value)})" if isinstance(kind, Cron) else ""
    return f"{visible(value, most=80)!r} cannot be used{why}, expected {kind.expected}"


def require_setting(key: str) -> Kind:
    """
    Return the kind of a setting.

    Raises:
        UsageProblem: there is no such setting; a near name is offered.
    """
    kind = CATALOGUE.get(key)
    if kind is None:
        hint = near_setting(key) or "jobsync settings list shows them all"
        raise UsageProblem(f"no setting {visible(key, most=80)}; {hint}")
    return kind


def near_setting(key: str) -> str | None:
    """Return a question that offers the setting of nearly this name, None if there is none."""
    near = difflib.get_close_matches(key, CATALOGUE, n=1)
    return f"did you mean {near[0]}?" if near else None
