"""What keeps the checks' rows in order: how long they stay, which environments are asked, the items of past runs."""

from __future__ import annotations

from sqlalchemy import Connection, select

from jobsync.db.tables import sri_events, tenants
from jobsync.documents import read_there
from jobsync.jobs import CHECK_AUTHORIZATIONS
from jobsync.upkeep.model import BATCH_SIZE, BEFORE, ItemsOfRuns, RetentionRule

RULES = (
    RetentionRule(
        sri_events,
        "events_retention_days",
        select(sri_events.c.id).where(sri_events.c.at < BEFORE).order_by(sri_events.c.at).limit(BATCH_SIZE),
    ),
)


def environments_in_use(connection: Connection) -> set[str]:
    """Return which environments of the SRI anybody uses: `test`, `production`."""
    return set(connection.scalars(select(tenants.c.environment).where(tenants.c.is_active)))


ITEMS = ItemsOfRuns(CHECK_AUTHORIZATIONS.name, read_there)
