"""jobsync settings: the switches and numbers that live in the database."""

from __future__ import annotations

from typing import Annotated

import typer

from jobsync.cli.options import Json, group, transaction
from jobsync.cli.output import print_table, say, show
from jobsync.db.system_settings import check_setting, list_settings, require_setting, write_setting
from jobsync.errors import ExitCode
from jobsync.logs import complain

app = group("Settings in the database. An UPDATE in SQL works too.")
Key = Annotated[str, typer.Argument(metavar="KEY", help="Its name; settings list shows all.", show_default=False)]


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List every setting with its value, default and range."""
    with transaction(context) as connection:
        rows = list_settings(connection)
    columns = ["key", "value", "in force", "default", "expected", "description"]
    lines = [
        [
            row["key"],
            row["value"],
            _in_force(row),
            row["default"],
            row["expected"],
            row["description"],
        ]
        for row in rows
    ]
    show(rows, as_json=as_json, otherwise=lambda: print_table(columns, lines))


def _in_force(row: dict[str, object]) -> str:
    if not row["used"]:
        return f"no: {row['in_force']}"
    return "yes" if row["readable"] else f"no: cannot be read, {row['in_force']}"


@app.command()
def get(context: typer.Context, key: Key, as_json: Json = False) -> None:
    """Print one setting."""
    require_setting(key)
    with transaction(context) as connection:
        [row] = [row for row in list_settings(connection) if row["key"] == key]
    show(row, as_json=as_json, otherwise=lambda: say(str(row["value"])))
    if not row["readable"]:
        complain(f"jobsync: {key}: the stored value cannot be read, expected {row['expected']}; {row['in_force']}")
        raise typer.Exit(int(ExitCode.NEEDS_ATTENTION))


@app.command("set")
def set_(
    context: typer.Context,
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="As settings list expects it.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Change one setting; it takes effect at the next tick."""
    stored = check_setting(key, value)
    with transaction(context) as connection:
        old = write_setting(connection, key, stored)
    document = {"key": key, "value": stored, "old": old}
    was = old if old is not None else "unset"
    show(document, as_json=as_json, otherwise=lambda: say(f"{key}: {stored} (was {was})"))
