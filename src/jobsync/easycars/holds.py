"""Holds: what of a night waits for a person, judged whole before anything is written; pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from jobsync.easycars.model import Current, HeldSet, Hold, Incoming, Listed, Policy

BLOCKED_MOST = 7


class Removals:
    """What becomes of our listed rows that the feed does not name; a value object computed once."""

    def __init__(
        self, incoming: Incoming, current: Current, policy: Policy, now: datetime, *, absent: Sequence[Listed]
    ) -> None:
        self.missing: list[Listed] = []
        self.removed: list[Listed] = []
        self.hold: Hold | None = None
        self.spent: int | None = None
        self.superseded: int | None = None
        self.lapsed: int | None = None
        self.warnings: list[str] = []
        self.blocked = _why_blocked(incoming, current)
        self._incoming, self._current, self._policy = incoming, current, policy
        fresh = self._carry_out_approval(absent)
        if self.blocked:
            self._wait_or_ask(fresh)
            return
        # An empty feed is no second witness: rows in their days of grace wait with the others.
        settled = [row for row in fresh if row.missing_since is not None and incoming.received]
        fresh = [row for row in fresh if row.missing_since is None or not incoming.received]
        grace = timedelta(days=policy.grace_days)
        self.removed += [row for row in settled if row.missing_since is not None and row.missing_since + grace <= now]
        # Other rows that come or return make a set a smaller share; what a person was asked or said still stands.
        rejected = self._was_rejected(fresh)
        if current.rejected is not None and not rejected:
            self.lapsed = current.rejected.id
        reason = self._why_held(fresh) or self._why_still_asked(fresh)
        if reason and not rejected:
            self._ask(fresh, reason)
            return
        if current.pending is not None:
            self.superseded = current.pending.id
        if rejected:  # the rows stay listed and nobody is asked again
            self.warnings.append(f"{len(fresh)} missing vehicles stay listed: their removal was rejected")
            return
        if policy.grace_days:
            self.missing += fresh
        else:
            self.removed += fresh

    def _carry_out_approval(self, absent: Sequence[Listed]) -> list[Listed]:
        approved = self._current.approved
        if approved is None or (self.blocked and not approved.reason.startswith("blocked")):
            return list(absent)
        self.spent = approved.id
        self.removed += [row for row in absent if row.stock_number in approved.stock_numbers]
        return [row for row in absent if row.stock_number not in approved.stock_numbers]

    def _wait_or_ask(self, fresh: Sequence[Listed]) -> None:
        """After seven syncs in a row without removals a person is asked; until then what is missing just stays."""
        if not fresh:
            return
        if self._current.blocked_in_a_row + 1 >= BLOCKED_MOST and not self._was_rejected(fresh):
            self._ask(fresh, f"blocked_{self.blocked}")
        else:
            self.warnings.append(f"{len(fresh)} missing vehicles stay listed: {_BLOCKED[str(self.blocked)]}")

    def _why_held(self, fresh: Sequence[Listed]) -> str | None:
        if not fresh:
            return None
        if self._incoming.received == 0:
            return "empty_feed"
        listed = len(self._current.listed) - len([row for row in self.removed if row.missing_since is None])
        over_share = len(fresh) * 100 > listed * self._policy.limit_percent
        return "limit" if over_share and len(fresh) > self._policy.limit_floor else None

    def _why_still_asked(self, fresh: Sequence[Listed]) -> str | None:
        pending = self._current.pending
        if pending is None or pending.reason.startswith("blocked") or not _are(fresh, pending):
            return None
        return pending.reason

    def _was_rejected(self, fresh: Sequence[Listed]) -> bool:
        rejected = self._current.rejected
        return bool(fresh) and rejected is not None and _are(fresh, rejected)

    def _ask(self, fresh: Sequence[Listed], reason: str) -> None:
        numbers = tuple(sorted(row.stock_number for row in fresh))
        pending = self._current.pending
        same = pending is not None and _are(fresh, pending)
        if pending is not None and not same:
            self.superseded = pending.id
        self.hold = Hold(
            stock_numbers=numbers,
            reason=reason,
            listed_before=len(self._current.listed),
            listed_now=self._incoming.received,
            pending_id=pending.id if pending is not None and same else None,
        )


def _are(rows: Sequence[Listed], held: HeldSet) -> bool:
    return held.stock_numbers == {row.stock_number for row in rows}


_BLOCKED = {
    "vendor_warning": "the vendor answered with a warning (Code 5), the list may be incomplete",
    "no_stock_number": "an item had no readable stock number, it could be any of them",
    "yard_filter_changed": "the yard asked for is not that of the last sync",
}


def _why_blocked(incoming: Incoming, current: Current) -> str | None:
    """Return why nothing may be removed from this answer, None if it is complete."""
    if incoming.warned:
        return "vendor_warning"
    if any(item.stock_number is None for item in incoming.refused):
        return "no_stock_number"
    if current.synced_before and current.yard_code != incoming.yard_code:
        return "yard_filter_changed"
    return None
