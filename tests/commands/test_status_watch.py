"""`status --watch`, which asks again and again."""

from __future__ import annotations

import psycopg
import pytest

from jobsync.errors import ConfigurationProblem
from jobsync.wiring import Tools


def test_asking_again_leaves_no_connection_behind(tools: Tools, connection: psycopg.Connection[object]) -> None:
    """Where the schema is another version's, each try is refused and gives its connection back."""
    connection.execute("UPDATE jobsync_schema_version SET version_num = '0001'")
    for _ in range(3):
        for engine in ("engine", "job_engine"):
            with pytest.raises(ConfigurationProblem, match="older"):
                getattr(tools, engine)
    ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for _ in range(50):  # a backend ends a moment after its client
        if connection.execute(ours).fetchone() == (0,):
            break
        connection.execute("SELECT pg_sleep(0.1)")

    assert connection.execute(ours).fetchone() == (0,)
