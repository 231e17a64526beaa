"""Vehicles are told apart by a key instead of by the bytes of their stock number; status words are remembered."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from jobsync.db.stock_key import STOCK_KEY_FUNCTION
from jobsync.errors import ConfigurationProblem
from jobsync.logs import get_logger

revision = "0005"
down_revision = "0004"

# Of rows that become one: the advertised one stays, else one that is still listed, else the newer.
_COLLIDING = """
    SELECT * FROM (
        SELECT id, dealership_id, stock_number, status, stock_number || '~' || id || ' ' AS retired,
               first_value(id) OVER same AS kept_id, first_value(stock_number) OVER same AS kept
        FROM vehicles WHERE data_source = 'easycars'
        WINDOW same AS (PARTITION BY dealership_id, jobsync_stock_key(stock_number)
                        ORDER BY status IN ('active', 'deposit') DESC, status <> 'removed' DESC, id DESC)) AS ranked
    WHERE id <> kept_id ORDER BY dealership_id, kept, id
"""

STATEMENTS = (
    "DROP INDEX vehicles_dealership_id_stock_number_easycars_key",
    "ALTER TABLE vehicles ADD COLUMN stock_key text GENERATED ALWAYS AS (jobsync_stock_key(stock_number)) STORED",
    """
    CREATE UNIQUE INDEX vehicles_dealership_id_stock_key_easycars_key ON vehicles (dealership_id, stock_key)
    WHERE data_source = 'easycars'
    """,
    """
    ALTER TABLE sync_schedule
        ADD COLUMN status_words text[] DEFAULT '{}'::text[] NOT NULL,
        ADD COLUMN status_map jsonb DEFAULT '{}'::jsonb NOT NULL
    """,
)


def upgrade() -> None:
    """Say which rows have the same key, retire the numbers of all but one, then add the column and its index."""
    op.execute(STOCK_KEY_FUNCTION.replace(":", r"\:"))
    connection = op.get_bind()
    colliding = connection.execute(text(_COLLIDING)).mappings().all()
    if colliding:
        get_logger().warning(
            "migration.stock_numbers_collide",
            vehicles=len(colliding),
            message=f"{len(colliding)} vehicles have a stock number that differs from another one's in case, blanks or"
            " signs without width alone; it is retired, and stock history shows it",
        )
    for row in colliding:
        get_logger().warning(
            "migration.stock_number_retired",
            dealership_id=row["dealership_id"],
            vehicle_id=row["id"],
            status=row["status"],
            stock_number=row["stock_number"],
            becomes=row["retired"],
            kept=row["kept"],
            kept_vehicle_id=row["kept_id"],
        )
    for row in colliding:
        done = connection.execute(
            text("UPDATE vehicles SET stock_number = :retired, updated_at = now() WHERE id = :id"),
            {"retired": row["retired"], "id": row["id"]},
        )
        if not done.rowcount:
            raise ConfigurationProblem(
                f"vehicle {row['id']}: the stock number {row['stock_number']!r} must become {row['retired']!r}, but a"
                " trigger of the database keeps the row as it is; disable it for the upgrade, then: jobsync db upgrade"
            )
        connection.execute(
            text(
                "INSERT INTO vehicle_changes (vehicle_id, field, old, new) VALUES (:id, 'stock_number', :number, :retired)"
            ),
            {"id": row["id"], "number": row["stock_number"], "retired": row["retired"]},
        )
    if colliding:
        op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a table with checks of a trigger still to come cannot be altered
    for statement in STATEMENTS:
        op.execute(statement)
