"""jobsync dealership: whom we sync."""

from __future__ import annotations

from typing import Annotated

import typer

from jobsync.cli.options import DealershipId, Json, group, transaction
from jobsync.cli.output import print_facts, print_table, say, show
from jobsync.errors import UsageProblem

app = group("Dealerships.")

_NO_ZONE = (
    "no --timezone: its slots follow easycar_sync_timezone (UTC unless set), and 02:00 UTC is midday in Sydney;"
    " Australian dealerships want for example --timezone Australia/Sydney"
)


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the dealership.", show_default=False)],
    timezone: Annotated[str | None, typer.Option("--timezone", metavar="TZ", help="E.g. Australia/Sydney.")] = None,
    email: Annotated[str | None, typer.Option("--email", metavar="E", help="Contact.")] = None,
    as_json: Json = False,
) -> None:
    """Add a dealership; prints its number."""
    from jobsync.db.system_settings import is_zone
    from jobsync.easycars import registry

    if not name.strip() or len(name) > 255:
        raise UsageProblem("NAME: expected 1 to 255 characters")
    if timezone is not None and not is_zone(timezone):
        raise UsageProblem(f"--timezone: no time zone {timezone!r}, expected one such as Australia/Sydney")
    if email is not None and ("@" not in email or len(email) > 255):
        raise UsageProblem("--email: expected an address such as stock@dealer.example")
    with transaction(context) as connection:
        row = registry.add_dealership(connection, name.strip(), timezone=timezone, email=email)
    show(row, as_json=as_json, otherwise=lambda: say(f"dealership {row['id']}: {row['name']}"))
    if timezone is None:
        typer.echo(f"jobsync: {_NO_ZONE}", err=True)


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List all dealerships."""
    from jobsync.easycars import registry

    with transaction(context) as connection:
        rows = registry.list_dealerships(connection)
    columns = ["id", "name", "timezone", "auto_sync", "paused_until", "has_credentials", "last_status"]
    columns += ["last_synced_at", "vehicles", "held"]
    show(
        rows,
        as_json=as_json,
        otherwise=lambda: print_table(
            columns, [[row[column] for column in columns] for row in rows], empty="no dealerships yet"
        ),
    )


@app.command("show")
def show_(context: typer.Context, dealership_id: DealershipId, as_json: Json = False) -> None:
    """Show one dealership and its last syncs."""
    from jobsync.easycars import registry

    with transaction(context) as connection:
        row = registry.show_dealership(connection, dealership_id)

    def tell() -> None:
        print_facts({name: value for name, value in row.items() if name != "syncs"})
        columns = ["synced_at", "status", "created", "updated", "unchanged", "revived", "refused", "skipped"]
        columns += ["removed", "held", "error_messages"]
        syncs = [[sync[column] for column in columns] for sync in row["syncs"]]
        print_table(columns, syncs, title="last syncs", empty="none yet")

    show(row, as_json=as_json, otherwise=tell)
