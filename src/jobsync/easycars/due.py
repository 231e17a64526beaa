"""The SQL of who is due; screens ask it too, so it loads nothing of a run."""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import Connection

from jobsync.cron import Wanted
from jobsync.easycars.schedule import Dealership

# Every dealership, with its settings, credentials, schedule and last sync.
OF_DEALERSHIPS: LiteralString = """
    FROM dealerships d
    LEFT JOIN dealership_settings s ON s.dealership_id = d.id
    LEFT JOIN easycar_credentials c ON c.dealership_id = d.id
    LEFT JOIN sync_schedule h ON h.dealership_id = d.id
    LEFT JOIN LATERAL (
        SELECT * FROM easycar_sync_logs
        WHERE dealership_id = d.id AND sync_type = 'stock' ORDER BY synced_at DESC, id DESC LIMIT 1
    ) l ON true
"""


def read_dealerships(connection: Connection[Any]) -> list[Dealership]:
    """Return all dealerships, those with the fewest unfinished attempts first, then those not tried for longest."""
    rows = connection.execute(
        """
        SELECT e.wanted_cron, e.wanted_timezone, e.common_cron, e.common_timezone,
               e.dealership_id, e.name, e.environment, e.why_not, due.why, e.attempt,
               e.cron, e.timezone, e.seen, e.next_at, e.slot_started_at, e.retry_at, e.clock_ahead, e.attempted_ahead
        FROM dealership_schedules e
        LEFT JOIN due_dealerships due ON due.dealership_id = e.dealership_id AND due.why IN ('slot', 'retry')
        ORDER BY e.attempt, e.attempted_at NULLS FIRST, e.dealership_id
        """
    ).fetchall()
    return [Dealership(Wanted(*row[:4]), *row[4:]) for row in rows]
