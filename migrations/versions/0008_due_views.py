"""What is due of the SRI's jobs is said once, by two views; a host remembers why its circuit is open."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = (
    # faults: nobody answered; too_often: the SRI says that we ask too often
    "ALTER TABLE vendor_hosts ADD COLUMN open_cause TEXT",
    # The longest wait that the two jobs ever set is 6 hours, and a tenth for jitter: what lies further ahead was
    # written by a clock that was wrong, and is due. NULL is never.
    """
    CREATE VIEW due_documents AS
        SELECT i.id, i.tenant_id, t.ruc AS tenant_ruc, i.access_key, i.status, t.environment AS tenant_environment,
               i.check_count, i.submitted_at, coalesce(i.submitted_at, i.created_at) AS waiting_since, i.attention_since,
               i.empty_since, i.empty_count, i.refused_at, i.refused_submission,
               CASE WHEN i.next_check_at <= now() AND isfinite(i.next_check_at) THEN i.next_check_at ELSE now() END
                   AS due_since, i.next_check_at > now() AS too_far_ahead
        FROM invoices i JOIN tenants t ON t.id = i.tenant_id
        WHERE i.status IN ('pending_authorization', 'needs_attention') AND i.deleted_at IS NULL
          AND (i.next_check_at <= now() OR i.next_check_at > now() + interval '6 hours 36 minutes')
          AND t.is_active AND (t.paused_until IS NULL OR t.paused_until <= now())
    """,
    """
    CREATE VIEW due_rides AS
        SELECT i.id, i.tenant_id, t.ruc AS tenant_ruc, i.access_key, i.status, t.logo_path, i.ride_attempts,
               CASE WHEN i.ride_next_at <= now() AND isfinite(i.ride_next_at) THEN i.ride_next_at ELSE now() END
                   AS due_since, i.ride_next_at > now() AS too_far_ahead
        FROM invoices i JOIN tenants t ON t.id = i.tenant_id
        WHERE i.status = 'authorized' AND i.ride_generated_at IS NULL AND i.deleted_at IS NULL
          AND (i.ride_next_at <= now() OR i.ride_next_at > now() + interval '6 hours 36 minutes')
          AND t.is_active AND (t.paused_until IS NULL OR t.paused_until <= now())
    """,
    """
    CREATE OR REPLACE FUNCTION jobsync_tick(job text) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
        wanted_cron text;
        wanted_zone text;
    BEGIN
        INSERT INTO jobs (name, last_tick_at) VALUES (job, now())
        ON CONFLICT (name) DO UPDATE SET last_tick_at = excluded.last_tick_at;
        IF job = 'check-authorizations' THEN
            RETURN jobsync_switch('sri_check_enabled')
               AND jobsync_rested(job, jobsync_seconds('sri_check_interval_s', 30))
               AND EXISTS (SELECT FROM due_documents);
        ELSIF job = 'generate-ride' THEN
            RETURN jobsync_switch('ride_enabled')
               AND jobsync_rested(job, jobsync_seconds('ride_interval_s', 60))
               AND EXISTS (SELECT FROM due_rides);
        ELSIF job <> 'stock-sync' THEN
            RETURN true;
        END IF;
        IF NOT jobsync_switch('easycar_sync_enabled') THEN
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
              AND NOT jobsync_host_rests(c.environment)
              AND (h.next_at IS NULL OR h.next_at <= now() OR h.retry_at <= now()
                   -- the clock was ahead when this was computed
                   OR h.attempted_at > now()
                   OR h.seen IS DISTINCT FROM coalesce(nullif(btrim(s.sync_cron), ''), wanted_cron)
                      || ' @ ' || coalesce(nullif(btrim(d.timezone), ''), wanted_zone)));
    END
    $$
    """,
)


def upgrade() -> None:
    """Add the column, the views and their tick."""
    for statement in STATEMENTS:
        op.execute(statement)
