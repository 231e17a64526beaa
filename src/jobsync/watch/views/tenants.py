"""Tenants as every view lists them: their documents, and their RIDEs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobsync.ride import watch as ride
from jobsync.sri import watch as sri
from jobsync.watch.model import Snapshot


@dataclass(frozen=True)
class Tenant:
    """One tenant, with what every slice knows of its documents."""

    id: int
    ruc: str
    name: str
    is_active: bool
    paused: bool
    paused_until: datetime | None
    pending: int
    needs_attention: int
    rejected: int
    due: int
    oldest_due_at: datetime | None
    ride_waiting: int
    ride_parked: int
    attention_since: datetime | None
    attention_key: str | None
    ride_parked_key: str | None
    ride_error: str | None

    @property
    def takes_part(self) -> bool:
        """Whether scheduled runs take its documents."""
        return self.is_active and not self.paused


def tenants_of(seen: Snapshot) -> list[Tenant]:
    """Return the tenants, those with documents that need a person first, then those with the longest queue."""
    rides = ride.facts_of(seen)
    found = []
    for each in sri.facts_of(seen).tenants:
        parked = rides.parked.get(each.id)
        found.append(
            Tenant(
                **vars(each),
                ride_waiting=rides.waiting.get(each.id, 0),
                ride_parked=parked.parked if parked else 0,
                ride_parked_key=parked.key if parked else None,
                ride_error=parked.error if parked else None,
            )
        )
    return sorted(found, key=lambda each: (-each.needs_attention, -each.ride_parked, -each.due, -each.pending, each.id))
