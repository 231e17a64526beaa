"""How many runs ever ended and how long they took, kept when each ends: deleting old rows takes nothing away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from psycopg import Connection

# Upper bounds of a run's length in seconds; what took longer than the last counts under infinity.
BOUNDS_S = (0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 150.0, 300.0, 900.0, 1800.0, 3600.0)
RESULTS = ("succeeded", "partial", "held", "failed")


@dataclass(frozen=True)
class Totals:
    """What was ever counted: runs, and their seconds, by job, status and bound; items by job and result."""

    runs: Mapping[tuple[str, str, float], tuple[int, float]]
    items: Mapping[tuple[str, str], int]


def count_run(connection: Connection[Any], run_id: UUID) -> None:
    """Count a run that has just ended, in the transaction that ends it; one found dead is not counted again."""
    connection.execute(
        "INSERT INTO run_totals AS t (job, status, le, runs, seconds)"
        " SELECT job, status, coalesce((SELECT min(b) FROM unnest(%s::float8[]) b WHERE seconds <= b), 'Infinity'), 1,"
        " seconds FROM (SELECT job, status, greatest(0, extract(epoch FROM finished_at - started_at)::float8)"
        " AS seconds FROM job_runs WHERE id = %s) run"
        " ON CONFLICT (job, status, le) DO UPDATE SET runs = t.runs + 1, seconds = t.seconds + excluded.seconds",
        [list(BOUNDS_S), run_id],
    )
    connection.execute(
        "INSERT INTO item_totals AS t (job, result, items)"
        " SELECT r.job, result, (r.counts->>result)::bigint FROM job_runs r CROSS JOIN unnest(%s::text[]) AS result"
        " WHERE r.id = %s AND (r.counts->>result) ~ '^[1-9][0-9]{0,8}$' ORDER BY result"
        " ON CONFLICT (job, result) DO UPDATE SET items = t.items + excluded.items",
        [sorted(RESULTS), run_id],
    )


def read_totals(connection: Connection[Any]) -> Totals:
    runs = connection.execute("SELECT job, status, le, runs, seconds FROM run_totals").fetchall()
    items = connection.execute("SELECT job, result, items FROM item_totals").fetchall()
    return Totals({tuple(row[:3]): (row[3], row[4]) for row in runs}, {tuple(row[:2]): row[2] for row in items})
