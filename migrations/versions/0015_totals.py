"""Counts runs and their items for ever: what counts for Prometheus may not fall when old rows are deleted."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0012"

STATEMENTS = (
    (
        "CREATE TABLE run_totals (job TEXT NOT NULL, status TEXT NOT NULL, le DOUBLE PRECISION NOT NULL, runs BIGINT"
        " NOT NULL DEFAULT 0, seconds DOUBLE PRECISION NOT NULL DEFAULT 0,"
        " CONSTRAINT run_totals_pkey PRIMARY KEY (job, status, le))"
    ),
    (
        "CREATE TABLE item_totals (job TEXT NOT NULL, result TEXT NOT NULL, items BIGINT NOT NULL DEFAULT 0,"
        " CONSTRAINT item_totals_pkey PRIMARY KEY (job, result))"
    ),
    # what is there is the beginning
    """
    INSERT INTO run_totals (job, status, le, runs, seconds)
    SELECT job, status, le, count(*), sum(seconds) FROM (
        SELECT job, status, seconds, coalesce((
            SELECT min(bound) FROM unnest(ARRAY[0.5, 1, 2.5, 5, 10, 25, 60, 150, 300, 900, 1800, 3600]) AS b (bound)
            WHERE seconds <= bound), 'Infinity') AS le
        FROM (SELECT job, status, greatest(0, extract(epoch FROM finished_at - started_at)::float8) AS seconds
              FROM job_runs WHERE status <> 'running' AND finished_at IS NOT NULL) run) found
    GROUP BY job, status, le
    """,
    """
    INSERT INTO item_totals (job, result, items)
    SELECT job, result, sum(items) FROM (
        SELECT job, key AS result, value::bigint AS items
        FROM job_runs CROSS JOIN jsonb_each_text(CASE jsonb_typeof(counts) WHEN 'object' THEN counts ELSE '{}' END)
        WHERE status <> 'running' AND key IN ('succeeded', 'partial', 'held', 'failed') AND value ~ '^[0-9]{1,9}$'
    ) found GROUP BY job, result
    """,
)


def upgrade() -> None:
    """Make the tables, and count what is there."""
    for statement in STATEMENTS:
        op.execute(statement)
