"""The migration to holds of every kind: what was held before are removals."""

from __future__ import annotations

import psycopg
from alembic import command

from jobsync.db import migrate
from jobsync.db.engine import Database


def test_held_removals_become_holds(empty_url: str) -> None:
    """With their numbers, so that a decision on one is still possible; the next gets a new one."""
    database = Database(empty_url)
    engine = database.engine()
    config = migrate._config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
    with psycopg.connect(empty_url, autocommit=True) as asking:
        asking.execute("INSERT INTO dealerships (name) VALUES ('A')")
        asking.execute(
            "INSERT INTO held_removals (id, dealership_id, stock_numbers, reason, status) VALUES"
            " (3, 1, '{A,B}', 'limit', 'superseded'), (7, 1, '{A,C}', 'empty_feed', 'pending')"
        )
        migrate.upgrade(engine)
        asking.execute("INSERT INTO holds (dealership_id, kind, stock_numbers, reason) VALUES (1, 'sold', '{}', 'x')")
        found = asking.execute("SELECT id, kind, stock_numbers, reason, status FROM holds ORDER BY id").fetchall()
    database.close()

    assert found == [
        (3, "removals", ["A", "B"], "limit", "superseded"),
        (7, "removals", ["A", "C"], "empty_feed", "pending"),
        (8, "sold", [], "x", "pending"),
    ]
