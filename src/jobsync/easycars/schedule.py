"""When a dealership is due: slots from cron and time zone, and the retries inside a slot; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache

from jobsync.cron import Rule, Wanted, next_slot, resolve

_RETRY_LEAST = timedelta(minutes=1)
RETRY_MOST = timedelta(days=1)  # of easycar_retry_minutes; a later one was set by a wrong clock


_next_slot = lru_cache(maxsize=1024)(next_slot)  # dealerships mostly share a rule


@dataclass(frozen=True)
class Dealership:
    """A dealership as the view dealership_schedules has it: who takes part, what it wants, what its schedule says."""

    wanted: Wanted
    id: int
    name: str
    environment: str | None
    why_not: str | None  # no_credentials, auto_sync_off or paused, where it takes no part
    due: str | None  # slot or retry if its time has come; not if the slot is to be computed first
    attempt: int
    cron: str | None  # what its slot was computed from, with the zone
    timezone: str | None
    seen: str | None  # the texts of both, readable or not
    next_at: datetime | None
    slot_started_at: datetime | None  # a scheduled attempt changes this or the next
    retry_at: datetime | None
    clock_ahead: bool  # some of it was written while the clock was ahead
    attempted_ahead: bool  # its last attempt, too, by more than a day

    @cached_property
    def rule(self) -> Rule:
        return resolve(self.wanted, last_cron=self.cron, last_timezone=self.timezone)

    @property
    def keeps_rule(self) -> bool:
        """Whether slot and retries come from the rule in force; another rule ends them, other texts for it do not."""
        return (self.rule.cron, self.rule.timezone) == (self.cron, self.timezone)

    def slot(self, now: datetime) -> datetime:
        """
        Return the slot that the next tick goes by, also where it has yet to compute it.

        A slot later than the rule's next one was computed while the clock was ahead, and does not count. An attempt
        made then brought in what is older than it says: the slot is now.
        """
        if self.attempted_ahead:
            return now
        rule = self.rule.cron, self.rule.timezone
        if self.next_at is None or (self.seen != self.wanted.seen and not self.keeps_rule):
            # a slot of this minute counts: the tick that meets a change is often the one it was made for
            minute = now.replace(second=0, microsecond=0)
            begun = self.slot_started_at is not None and self.slot_started_at >= minute
            return _next_slot(*rule, now if begun else minute - timedelta(seconds=1))
        return min(self.next_at, _next_slot(*rule, now))


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
