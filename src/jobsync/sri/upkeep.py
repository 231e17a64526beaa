"""What keeps the checks' rows in order: how long they stay, and which of the SRI's environments is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from jobsync.db.tables import sri_events, tenants
from jobsync.upkeep.model import AFTER, BATCH_SIZE, BEFORE, Rule

if TYPE_CHECKING:
    from sqlalchemy import Connection

RULES = (
    Rule(
        sri_events,
        "events_retention_days",
        select(sri_events.c.id)
        .where(sri_events.c.at < BEFORE, AFTER.is_not(None))
        .order_by(sri_events.c.at)
        .limit(BATCH_SIZE),
    ),
)


def environments_in_use(connection: Connection) -> set[str]:
    """Return which environments of the SRI anybody uses: `test`, `production`."""
    return set(connection.scalars(select(tenants.c.environment).where(tenants.c.is_active)))
