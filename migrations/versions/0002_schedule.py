"""Slots and retries of stock sync, and the one function that a scheduled tick asks."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    # the texts that the slot was computed from, readable or not: a change of them is itself due
    "ALTER TABLE sync_schedule ADD COLUMN seen TEXT",
    # when the slot's first attempt began; retries count from there
    "ALTER TABLE sync_schedule ADD COLUMN slot_started_at TIMESTAMP WITH TIME ZONE",
    """
    CREATE FUNCTION jobsync_tick(job text) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
        wanted_cron text;
        wanted_zone text;
    BEGIN
        INSERT INTO jobs (name, last_tick_at) VALUES (job, now())
        ON CONFLICT (name) DO UPDATE SET last_tick_at = excluded.last_tick_at;
        IF job <> 'stock-sync' THEN
            RETURN true;
        END IF;
        IF NOT coalesce((SELECT lower(btrim(value)) IN ('true', '1', 'on', 'yes') FROM system_settings
                         WHERE key = 'easycar_sync_enabled'), true) THEN
            RETURN false;
        END IF;
        wanted_cron := coalesce((SELECT value FROM system_settings WHERE key = 'easycar_sync_cron'), '0 2 * * *');
        wanted_zone := coalesce((SELECT value FROM system_settings WHERE key = 'easycar_sync_timezone'), 'UTC');
        RETURN EXISTS (
            SELECT 1
            FROM easycar_credentials c
            JOIN dealerships d ON d.id = c.dealership_id
            LEFT JOIN dealership_settings s ON s.dealership_id = d.id
            LEFT JOIN sync_schedule h ON h.dealership_id = d.id
            WHERE c.is_active
              AND coalesce(s.easycar_auto_sync_enabled, true)
              AND (s.paused_until IS NULL OR s.paused_until <= now())
              AND (h.next_at IS NULL OR h.next_at <= now() OR h.retry_at <= now()
                   OR h.seen IS DISTINCT FROM coalesce(nullif(btrim(s.sync_cron), ''), wanted_cron)
                      || ' @ ' || coalesce(nullif(btrim(d.timezone), ''), wanted_zone)));
    END
    $$
    """,
)


def upgrade() -> None:
    """Add the columns and the function."""
    for statement in STATEMENTS:
        op.execute(statement)
