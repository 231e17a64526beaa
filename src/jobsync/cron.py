"""Cron expressions and time zones: whether a text is one, what is in force if not, and when the next slot comes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

# What may stand around a value; the function jobsync_switch in the database takes the same away.
BLANKS = " \t\n\r\f\v"
DEFAULT_CRON = "0 2 * * *"
DEFAULT_ZONE = "UTC"
# Every minute, hour, day, month and weekday written out, by name where there is one, is 400 characters.
_LONGEST_CRON = 1000
_NEVER = "it never comes"


@dataclass(frozen=True)
class Wanted:
    """What dealership and settings ask for, as texts that may be unreadable; `common_...`: the settings alone."""

    cron: str
    timezone: str
    common_cron: str = DEFAULT_CRON
    common_timezone: str = DEFAULT_ZONE

    @property
    def seen(self) -> str:
        """The texts as one, to notice a change; the view dealership_schedules builds the same."""
        return f"{self.cron} @ {self.timezone}"


@dataclass(frozen=True)
class Rule:
    """A cron expression and a zone that can be read, and what of the wanted texts could not."""

    cron: str
    timezone: str
    unreadable: tuple[str, ...] = ()


@lru_cache(maxsize=1024)  # dealerships mostly share one
def text_of_cron(text: str) -> str | None:
    """Return a cron expression with single blanks, None if it is not one of five fields that ever comes."""
    return None if problem_of_cron(text) else " ".join(text.split())


def problem_of_cron(text: str) -> str | None:
    """
    Return what is wrong with any text as a cron expression, None if nothing is.

    >>> [problem_of_cron(text) for text in ("@daily", "0 26 * * *", "0 3 31 2 *", "0 2 * * *")]
    ['it has 1 field, not five', 'Bad hour', 'it never comes', None]
    """
    if len(text) > _LONGEST_CRON:
        return f"it is longer than {_LONGEST_CRON:,} characters"
    fields = text.split()
    if len(fields) != 5:
        return f"it has {len(fields)} field{'' if len(fields) == 1 else 's'}, not five"
    *before, month, weekday = fields
    try:
        next(CronSim(" ".join(fields), datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        # the library calls a day that its months do not have a bad one, too
        is_bad = "day-of-month" not in str(error) or month == "*"
        return str(error) if is_bad or problem_of_cron(" ".join([*before, "*", weekday])) else _NEVER
    except StopIteration:
        return _NEVER
    return None


def is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, or not even the form of a name
        return False
    return True


def text_of_zone(text: str) -> str | None:
    """Return a time zone's name without blanks around it, None if the tz database does not know it."""
    return text.strip(BLANKS) if is_zone(text.strip(BLANKS)) else None


def resolve(wanted: Wanted, *, last_cron: str | None, last_timezone: str | None) -> Rule:
    """
    Return the rule in force: an unreadable text leaves the last good one, or else that of the settings, or the default.

    >>> resolve(Wanted("0 2 * * *", "Mars/Olympus"), last_cron=None, last_timezone="Australia/Perth")
    Rule(cron='0 2 * * *', timezone='Australia/Perth', unreadable=('Mars/Olympus',))
    """
    cron, timezone = text_of_cron(wanted.cron), text_of_zone(wanted.timezone)
    return Rule(
        cron or text_of_cron(last_cron or "") or text_of_cron(wanted.common_cron) or DEFAULT_CRON,
        timezone or text_of_zone(last_timezone or "") or text_of_zone(wanted.common_timezone) or DEFAULT_ZONE,
        tuple(text for text, read in ((wanted.cron, cron), (wanted.timezone, timezone)) if read is None),
    )


def next_slot(cron: str, timezone: str, after: datetime) -> datetime:
    """
    Return the first slot later than `after`, in UTC.

    As with Debian's cron, a slot in an hour that the clock skips comes after the gap, and in one that comes twice once.

    >>> next_slot("30 2 * * *", "Australia/Sydney", datetime(2026, 7, 1, tzinfo=UTC)).isoformat()
    '2026-07-01T16:30:00+00:00'
    """
    slots = CronSim(cron, after.astimezone(ZoneInfo(timezone)))
    # in an hour that comes for the second time, the slot that comes next on the clock's face was in the first
    return next(slot.astimezone(UTC) for slot in slots if slot > after)
