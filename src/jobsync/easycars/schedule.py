"""When a dealership is due: slots from cron and time zone, and the retries inside a slot; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobsync.cron import Rule, Wanted, next_slot, resolve

_RETRY_LEAST = timedelta(minutes=1)
RETRY_MOST = timedelta(days=1)  # what easycar_retry_minutes allows; a later retry was set by a wrong clock


@dataclass(frozen=True)
class Schedule:
    """
    What a dealership wants and what its row of sync_schedule says.

    Args:
        clock_ahead: some of it was written while the clock was ahead.
        attempted_ahead: its last attempt, too, by more than a day.
    """

    dealership_id: int
    wanted: Wanted
    cron: str | None
    timezone: str | None
    seen: str | None
    next_at: datetime | None
    slot_started_at: datetime | None
    clock_ahead: bool = False
    attempted_ahead: bool = False

    @property
    def changed(self) -> bool:
        """Whether the next tick looks at it anew: other texts, or no tick has met it yet."""
        return self.seen != self.wanted.seen or self.next_at is None

    def was_computed_by(self, rule: Rule) -> bool:
        """Whether slot and retries come from this rule; another one ends them, other texts for the same one do not."""
        return (rule.cron, rule.timezone) == (self.cron, self.timezone)


def coming_slot(found: Schedule, now: datetime) -> tuple[Rule, datetime]:
    """
    Return the rule in force and the slot that the next tick goes by, also where it has yet to compute it.

    A slot later than the rule's next one was computed while the clock was ahead, and does not count. An attempt made
    then brought in what is older than it says: the slot is now.
    """
    rule = resolve(found.wanted, last_cron=found.cron, last_timezone=found.timezone)
    if found.attempted_ahead:
        return rule, now
    if found.next_at is None or (found.changed and not found.was_computed_by(rule)):
        return rule, first_slot(rule.cron, rule.timezone, now, started_at=found.slot_started_at)
    if found.next_at <= now:
        return rule, found.next_at
    return rule, min(found.next_at, next_slot(rule.cron, rule.timezone, now))


def first_slot(cron: str, timezone: str, now: datetime, *, started_at: datetime | None) -> datetime:
    """
    Return the slot that a schedule met for the first time leads to, in UTC.

    A slot of the minute that is running counts: the tick that meets a change is often the very one it was made for.
    It does not if an attempt began (`started_at`) in that minute already.

    >>> from datetime import UTC
    >>> now = datetime(2026, 7, 1, 2, 30, 4, tzinfo=UTC)
    >>> first_slot("30 2 * * *", "UTC", now, started_at=None).isoformat()
    '2026-07-01T02:30:00+00:00'
    """
    minute = now.replace(second=0, microsecond=0)
    begun = started_at is not None and started_at >= minute
    return next_slot(cron, timezone, now if begun else minute - timedelta(seconds=1))


def next_retry(
    attempt: int, *, slot_started_at: datetime, now: datetime, minutes: Sequence[int] = (5, 15, 45)
) -> datetime | None:
    """
    Return when to try again after this many attempts of a slot, None when the slot is given up.

    `minutes` count from the first attempt of the slot.

    >>> from datetime import UTC
    >>> start = datetime(2026, 1, 1, tzinfo=UTC)
    >>> [next_retry(n, slot_started_at=start, now=start) for n in (3, 4)]
    [datetime.datetime(2026, 1, 1, 0, 45, tzinfo=datetime.timezone.utc), None]
    """
    if attempt > len(minutes):
        return None
    return max(slot_started_at + timedelta(minutes=minutes[attempt - 1]), now + _RETRY_LEAST)
