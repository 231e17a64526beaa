"""How times, shares and numbers are said to a person, and spans of time read as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from jobsync.errors import UsageProblem
from jobsync.logs import visible

SPANS = "90m, 1h30m, 3d or 2w"  # what parse_span takes, for messages and helps
_SPAN = re.compile(
    r"(?:(?P<weeks>\d{1,4})w)? *(?:(?P<days>\d{1,5})d)? *(?:(?P<hours>\d{1,5})h)? *(?:(?P<minutes>\d{1,5})m)?"
    r" *(?:(?P<seconds>\d{1,5})s)?",
    re.ASCII,
)


def parse_span(words: str) -> timedelta | None:
    """
    Return a span of weeks, days, hours, minutes and seconds, the larger first; None if the words are none.

    >>> parse_span("90m"), parse_span(" 1h30m "), parse_span("2w 3d") == timedelta(days=17)
    (datetime.timedelta(seconds=5400), datetime.timedelta(seconds=5400), True)
    >>> parse_span("3 days"), parse_span("30m1h"), parse_span("")
    (None, None, None)
    """
    found = _SPAN.fullmatch(words.strip().lower())
    parts = {unit: int(digits) for unit, digits in found.groupdict().items() if digits} if found else {}
    return timedelta(**parts) if parts else None


def parse_when(words: str, *, now: datetime, zone: str = "UTC", past: bool) -> datetime | None:
    """
    Return an instant that a person typed: ISO 8601, a date, or a span before or after now; None if it is none.

    `zone` is what the words mean where they name no offset; a span counts back from now if `past`, else forth.
    """
    if (length := parse_span(words)) is not None:
        return now - length if past else now + length
    try:
        then = datetime.fromisoformat(words.strip())
    except ValueError:
        return None
    return then if then.tzinfo else then.replace(tzinfo=ZoneInfo(zone))


def read_when(option: str, words: str, *, now: datetime, zone: str = "UTC", past: bool, more: str = "") -> datetime:
    """As `parse_when`; raises UsageProblem with all that is accepted, and what more the option takes."""
    if (when := parse_when(words, now=now, zone=zone, past=past)) is not None:
        return when
    expected = f"2026-12-24T18:00Z, 2026-12-24 or a span such as {SPANS}{more}"
    raise UsageProblem(f"{option}: {visible(words, most=80)!r} is not understood, expected {expected}")


def span(seconds: float) -> str:
    """
    Return a length of time in at most two units.

    >>> [span(s) for s in (0.25, 12.34, 90, 7300, 200000)]
    ['0.25 s', '12.3 s', '1 min 30 s', '2 h 1 min', '2 d 7 h']
    """
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    whole = int(seconds)
    units = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
    large, name, small, rest = next(each for each in units if whole >= each[0])
    more = whole % large // small
    return f"{whole // large} {name}{f' {more} {rest}' if more else ''}"


def ago(now: datetime, then: datetime | None) -> str:
    """Return how long ago, or in how long, something is."""
    if then is None:
        return "never"
    seconds = (now - then).total_seconds()
    return f"{span(int(seconds))} ago" if seconds >= 1 else "now" if seconds > -1 else f"in {span(int(-seconds))}"


def stamp(then: datetime | None) -> str:
    """Return an instant as every table shows it."""
    return "-" if then is None else then.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")


def local_stamp(then: datetime | None, zone: str) -> str:
    """Return an instant as the clocks of a time zone show it, with its day of the week and offset."""
    return "-" if then is None else then.astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M %z")


def pause_end(until: datetime | None, zone: str | None = None) -> str:
    """Return how long a pause lasts (None: without end), by the clocks of a time zone if one is given."""
    if until is None:
        return "until it is resumed"
    return f"until {local_stamp(until, zone) if zone else stamp(until)}"


def percent(kept: int, of: int) -> str:
    """
    Return a share, rounded down: 95.0 % is not said of what is below it.

    >>> [percent(9999, 10000), percent(3, 3), percent(9496, 10000), percent(0, 0)]
    ['99.9 %', '100 %', '94.9 %', '-']
    """
    if not of:
        return "-"
    if kept == of:
        return "100 %"
    return f"{1000 * kept // of / 10:.1f} %"


def many(number: int, noun: str, plural: str | None = None) -> str:
    """
    Return a number with its noun.

    >>> [many(1, "run"), many(2, "dealership")]
    ['1 run', '2 dealerships']
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
