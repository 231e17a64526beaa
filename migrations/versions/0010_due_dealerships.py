"""Who takes part in stock sync and who is due is said once, by two views; a tick sees what hides rows from its role."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"

STATEMENTS = (
    # when next_at was computed: one computed later than now was computed by a clock that was wrong
    "ALTER TABLE sync_schedule ADD COLUMN computed_at TIMESTAMP WITH TIME ZONE",
    # clock_ahead: something lies in the future that was only ever written as "now", or a slot further ahead than its
    # rule allows. attempted_ahead: what was brought in then is older than it says.
    """
    CREATE VIEW dealership_schedules AS
        SELECT d.id AS dealership_id, d.name, c.environment,
               CASE WHEN c.dealership_id IS NULL OR NOT c.is_active THEN 'no_credentials'
                    WHEN NOT coalesce(s.easycar_auto_sync_enabled, true) THEN 'auto_sync_off'
                    WHEN s.paused_until > now() THEN 'paused' END AS why_not,
               w.cron AS wanted_cron, w.timezone AS wanted_timezone, common.cron AS common_cron,
               common.timezone AS common_timezone, h.cron, h.timezone, h.seen,
               h.next_at IS NULL OR h.seen IS DISTINCT FROM w.cron || ' @ ' || w.timezone AS changed,
               coalesce(greatest(h.slot_at, h.slot_started_at, h.attempted_at, h.last_success_at, h.computed_at)
                        > now() OR h.next_at > now() + CASE
                            WHEN h.cron ~ '^[^ ]+ [^ ]+ [*] [*] [*]$' THEN interval '26 hours'
                            WHEN h.cron ~ '^[^ ]+ [^ ]+ [*] [*] [^ #Ll]+$' THEN interval '8 days'
                            ELSE interval '9 years' END, false) AS clock_ahead,
               coalesce(greatest(h.slot_at, h.slot_started_at, h.attempted_at, h.last_success_at)
                        > now() + interval '1 day', false) AS attempted_ahead,
               coalesce(h.attempt, 0) AS attempt, h.attempted_at, h.slot_started_at, h.next_at, h.retry_at
        FROM dealerships d
        CROSS JOIN (SELECT coalesce((SELECT value FROM system_settings WHERE key = 'easycar_sync_cron'), '0 2 * * *')
                               AS cron,
                           coalesce((SELECT value FROM system_settings WHERE key = 'easycar_sync_timezone'), 'UTC')
                               AS timezone) common
        LEFT JOIN easycar_credentials c ON c.dealership_id = d.id
        LEFT JOIN dealership_settings s ON s.dealership_id = d.id
        LEFT JOIN sync_schedule h ON h.dealership_id = d.id
        CROSS JOIN LATERAL (SELECT coalesce(nullif(btrim(s.sync_cron), ''), common.cron) AS cron,
                                   coalesce(nullif(btrim(d.timezone), ''), common.timezone) AS timezone) w
    """,
    """
    CREATE VIEW due_dealerships AS
        SELECT e.dealership_id, e.name, e.environment, e.attempt, e.attempted_at, w.why,
               CASE WHEN w.why = 'slot' THEN e.next_at
                    WHEN w.why = 'retry' AND e.retry_at <= now() THEN e.retry_at ELSE now() END AS due_since,
               e.clock_ahead OR coalesce(e.retry_at > now() + interval '1 day', false) AS too_far_ahead
        FROM dealership_schedules e
        CROSS JOIN LATERAL (SELECT CASE
            WHEN e.clock_ahead THEN 'clock ahead'
            WHEN e.changed THEN 'changed'
            WHEN e.next_at <= now() THEN 'slot'
            WHEN e.retry_at <= now() OR e.retry_at > now() + interval '1 day' THEN 'retry' END AS why) w
        WHERE e.why_not IS NULL AND w.why IS NOT NULL
          AND NOT EXISTS (SELECT FROM vendor_hosts v WHERE e.environment = ANY (v.environments)
                          AND v.not_before > now() AND v.not_before <= now() + interval '1 hour')
    """,
    # jobsync_hidden(), which knows every table of this version, is made anew after each upgrade
    """
    CREATE OR REPLACE FUNCTION jobsync_tick(job text) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM pg_class c WHERE c.relrowsecurity AND row_security_active(c.oid)) THEN  -- hardly ever
            IF EXISTS (SELECT FROM jobsync_hidden()) THEN
                RETURN true;  -- what the role may not see would count as absent: the ordinary way says so
            END IF;
        END IF;
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
        ELSIF job = 'stock-sync' THEN
            RETURN jobsync_switch('easycar_sync_enabled') AND EXISTS (SELECT FROM due_dealerships);
        END IF;
        RETURN true;
    END
    $$
    """,
    "DROP FUNCTION jobsync_host_rests(text)",
)


def upgrade() -> None:
    """Add the column and the views, and replace the tick."""
    for statement in STATEMENTS:
        op.execute(statement)
