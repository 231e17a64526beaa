"""jobsync settings: the switches and numbers that live in the database."""

from typing import Annotated

from sqlalchemy import Connection

from jobsync.cli.command import Answer, argument, command, group, said, table
from jobsync.db.stored_settings import list_settings, write_setting
from jobsync.db.system_settings import check_setting, require_setting
from jobsync.errors import ExitCode
from jobsync.wiring import Tools

app = group("Settings in the database. An UPDATE in SQL works too.")
Key = Annotated[str, argument("KEY", "Its name; settings list shows all.")]


@command("settings list", of=app, reads=True)
def list_(connection: Connection) -> Answer:
    """List every setting with its value, default and range."""
    rows = list_settings(connection)
    columns = ["key", "value", "in force", "default", "expected", "description"]
    return table(rows, columns, [{**row, "in force": _in_force(row)} for row in rows])


def _in_force(row: dict[str, object]) -> str:
    if not row["used"]:
        return f"no: {row['in_force']}"
    return "yes" if row["readable"] else f"no: cannot be read, {row['in_force']}"


@command("settings get easycar_sync_cron", of=app, reads=True)
def get(tools: Tools, key: Key) -> Answer:
    """Print one setting."""
    require_setting(key)
    with tools.transaction() as connection:
        [row] = [row for row in list_settings(connection) if row["key"] == key]
    if row["readable"]:
        return said(row, str(row["value"]))
    problem = f"{key}: the stored value cannot be read, expected {row['expected']}; {row['in_force']}"
    return said(row, str(row["value"]), code=ExitCode.NEEDS_ATTENTION, complaints=[problem])


@command("settings set easycar_sync_concurrency 4", of=app)
def set_(
    tools: Tools,
    key: Key,
    value: Annotated[str, argument("VALUE", "As settings list expects it.")],
) -> Answer:
    """Change one setting; it takes effect at the next tick."""
    stored = check_setting(key, value)
    with tools.transaction() as connection:
        old = write_setting(connection, key, stored)
    was = old if old is not None else "unset"
    return said({"key": key, "value": stored, "old": old}, f"{key}: {stored} (was {was})")
