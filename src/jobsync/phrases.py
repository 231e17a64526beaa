"""How times, shares and what is held are said to a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo


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
    for large, name, small, rest in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= large:
            more = whole % large // small
            return f"{whole // large} {name} {more} {rest}" if more else f"{whole // large} {name}"
    raise AssertionError(seconds)


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


# EasyCars answers a wrong account as it answers one without a vehicle.
EMPTY_FEED = "the feed is empty, which a wrong AccountSecret or AccountNumber looks like too"
FOREIGN_FEED = "the feed is not this dealership's stock, as after a wrong AccountNumber"


@dataclass(frozen=True)
class Held:
    """
    How one kind of hold is spoken of.

    Args:
        one, several: what was held of one vehicle and of several, behind their number.
        approved, rejected: what the decision leads to.
    """

    one: str
    several: str
    approved: str
    rejected: str

    def told(self, number: int) -> str:
        """
        Return what is held, with its number.

        >>> HELD["prices"].told(2), HELD["removals"].told(1)
        ('2 price changes held', '1 removal held')
        """
        return f"{number} {self.one if number == 1 else self.several} held"

    def told_rejected(self, number: int) -> str:
        """
        Return what stays as it is because a person rejected its change, with its number.

        >>> HELD["prices"].told_rejected(2), HELD["removals"].told_rejected(6)
        ('2 price changes rejected', '6 missing vehicles stay listed: removal rejected')
        """
        if self is HELD["removals"]:
            return f"{many(number, 'missing vehicle stays', 'missing vehicles stay')} listed: removal rejected"
        return f"{number} {self.one if number == 1 else self.several} rejected"


HELD = {
    "removals": Held(
        "removal",
        "removals",
        "those still missing go at the next sync",
        "they stay listed, as long as these are missing",
    ),
    "sold": Held(
        "change to sold",
        "changes to sold",
        "those that the feed still calls sold become so at the next sync",
        "they keep their status, as long as the feed says so of these",
    ),
    "prices": Held(
        "price change",
        "price changes",
        "the next sync brings the prices that the feed then has, or takes them away",
        "they keep their prices, as long as the feed says so of these",
    ),
    "pictures": Held(
        "loss of all pictures",
        "losses of all pictures",
        "those for which the feed still has none lose them at the next sync",
        "they keep their pictures, as long as the feed says so of these",
    ),
    "descriptions": Held(
        "loss of the description",
        "losses of the description",
        "those for which the feed still has none lose it at the next sync",
        "they keep their description, as long as the feed says so of these",
    ),
    "foreign_feed": Held(
        "vehicle of a foreign feed",
        "vehicles of a foreign feed",
        "the next feed that names one of these vehicles is applied whole, its removals included (within 7 days)",
        "nothing of that feed is applied, as long as more than half of it comes again",
    ),
}


def how_to_decide(dealership_id: int, holds: Sequence[tuple[int, str, str | None]]) -> str:
    """
    Return the commands that lead to a decision on holds, each as id, kind and reason.

    Before an empty or a foreign feed is believed, the account is tested.
    """
    doubtful = any(reason == "empty_feed" or kind == "foreign_feed" for _, kind, reason in holds)
    first = f"jobsync credentials test {dealership_id}; " if doubtful else ""
    return first + "; ".join(
        f"jobsync holds show {number}, then jobsync holds approve (or reject) {number}" for number, _, _ in holds
    )


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
