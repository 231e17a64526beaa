"""The nouns of alerting: an alert, who was told of it, what people asked to be spared, and all that is remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec

from jobsync.causes import Cause
from jobsync.db.system_settings import CATALOGUE, SystemSettings
from jobsync.watch.model import Problem

T = TypeVar("T")
Key: TypeAlias = tuple[str, str, str]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
OPENED, REMINDED, CLOSED = "opened", "reminded", "closed"
_YEARS = frozenset(range(2000, 9000))  # what a clock may say, and dates can be reckoned with


@dataclass(frozen=True)
class Try:
    """A message that is on its way, or perhaps arrived: written down before it is sent, gone once that is known."""

    message: str  # its identity; a second try has the same
    phase: str  # what it tells
    until: Instant  # it is not sent again before
    times: int = 1  # it was sent


@dataclass(frozen=True)
class Alert:
    """One alert, from the first time that it was seen on."""

    kind: str
    subject: str
    cause: str  # a code of `jobsync.causes`, or of another version's
    text: str
    what_to_do: str
    opened_at: Instant
    seen_at: Instant
    host: str | None = None  # that it is about; None for what every host sees alike
    times: int = 1  # in a row it was seen
    ripe: bool = True  # it was seen often enough to be told
    run_id: str | None = None  # the run that failed; a unit without one never got to work
    # by channel: when it was first told, last reminded of, told to be over; messages that may or may not have arrived
    told: Mapping[str, Instant] = field(default_factory=dict)
    reminded: Mapping[str, Instant] = field(default_factory=dict)
    ended: Mapping[str, Instant] = field(default_factory=dict)
    tries: Mapping[str, Try] = field(default_factory=dict)
    back_at: Instant | None = None  # when it came back, the same alert, soon after it had been over
    silenced_until: Instant | None = None  # as the silence that holds it says, for whoever looks
    closed_at: Instant | None = None

    @property
    def key(self) -> Key:
        return self.kind, self.subject, self.cause

    @property
    def changed_at(self) -> datetime:
        at = [self.seen_at, self.closed_at, *self.told.values(), *self.reminded.values(), *self.ended.values()]
        return max(filter(None, at))

    def said_open(self, channel: str) -> datetime | None:
        """Return when a channel was last told that it is open."""
        return max(filter(None, (self.told.get(channel), self.reminded.get(channel))), default=None)


def on_host(host: str, cause: Cause, text: str, **more: Any) -> Problem:
    """Return what only one host knows of itself; a cause that no retry mends is told at once."""
    after = 1 if cause.lasts else None
    plain = {"subject": f"{cause.kind} of {host}", "what_to_do": cause.do(), "after": after}
    return Problem(**{**plain, "text": text, "cause": cause, "host": host, **more})


@dataclass(frozen=True)
class Look:
    """
    What one look brought to light.

    `passed` says whether an alert's own check was made now: if it was not found again, it is over.
    """

    found: tuple[Problem, ...] = ()
    passed: Callable[[Alert], bool] = lambda _alert: False


@dataclass(frozen=True)
class Silence:
    """What somebody asked to be spared until an instant; one that ends as it is set ends others."""

    kind: str | None  # None for any, as of the subject
    subject: str | None
    until: Instant
    set_at: Instant
    causes: tuple[Key, ...] | None = None  # the alerts that were open when it was set; None for whatever comes

    def fits(self, alert: Alert) -> bool:
        return (
            self.kind in (None, alert.kind)
            and self.subject in (None, alert.subject)
            and (self.causes is None or alert.key in self.causes)
        )

    def covers(self, other: Silence) -> bool:
        """Whether whatever another is about, this one is about too."""
        return self.causes is None and self.kind in (None, other.kind) and self.subject in (None, other.subject)


@dataclass(frozen=True)
class Limits:
    """How many failures in a row make an alert, and when an open one is told again."""

    after_failures: Annotated[int, msgspec.Meta(ge=1, le=1000)] = int(CATALOGUE["alert_after_failures"].default)
    reminder_hours: Annotated[int, msgspec.Meta(ge=1, le=8760)] = int(CATALOGUE["alert_reminder_hours"].default)

    @classmethod
    def of(cls, settings: SystemSettings) -> Limits:
        return cls(settings.number("alert_after_failures"), settings.number("alert_reminder_hours"))

    @property
    def reminder(self) -> timedelta:
        return timedelta(hours=self.reminder_hours)


@dataclass(frozen=True)
class Book:
    """All that is remembered: the alert of each identity, silences in the order in which they were set, limits."""

    alerts: Mapping[Key, Alert] = field(default_factory=dict)
    silences: tuple[Silence, ...] = ()
    limits: Limits = Limits()

    @classmethod
    def read(cls, alerts: Any, silences: Any, limits: Any) -> Book:
        """Return what was kept; what cannot be read of it is left out."""
        held = _all_of(silences, Silence)
        return cls(
            {alert.key: alert for alert in _all_of(alerts, Alert)},
            tuple(sorted(held, key=lambda each: each.set_at)),
            read_kept(limits, Limits) or Limits(),
        )

    def held_until(self, alert: Alert) -> datetime | None:
        """Return until when the latest silence that is about an alert holds it, or held it before it was lifted."""
        fitting = [each for each in self.silences if each.fits(alert)]
        if fitting and fitting[-1].until <= fitting[-1].set_at:  # it ends the one before
            return min(fitting[-1].until, fitting[-2].until) if len(fitting) > 1 else None
        return fitting[-1].until if fitting else None

    def with_alert(self, alert: Alert) -> Book:
        return replace(self, alerts={**self.alerts, alert.key: alert})


def as_json(kept: Any) -> bytes:
    """Return what is kept as JSON; instants of another class than the plain one too."""
    return msgspec.json.encode(kept, enc_hook=lambda each: each.isoformat())


def read_kept(plain: Any, kind: type[T]) -> T | None:
    """Return an alert, a silence or limits from what JSON had of it; None if it cannot be one."""
    try:
        kept = msgspec.convert(plain, kind, strict=False)
    except (msgspec.ValidationError, RecursionError, OverflowError):
        return None
    at: list[datetime | None] = []
    if isinstance(kept, Silence):
        at = [kept.until, kept.set_at]
    elif isinstance(kept, Alert):
        if "\0" in "".join((*kept.key, kept.text, kept.what_to_do)):
            return None
        at = [kept.opened_at, kept.seen_at, kept.closed_at, kept.back_at, *(each.until for each in kept.tries.values())]
        at += [*kept.told.values(), *kept.reminded.values(), *kept.ended.values()]
    return kept if {instant.year for instant in at if instant is not None} <= _YEARS else None


def _all_of(listed: Any, kind: type[T]) -> list[T]:
    found = [read_kept(each, kind) for each in (listed if isinstance(listed, list) else ())]
    return [each for each in found if each is not None]
