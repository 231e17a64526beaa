"""jobsync tenant: whose documents we follow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobsync.cli.options import Json, group, holds, transaction
from jobsync.cli.output import print_facts, print_table, say, show, with_pause
from jobsync.errors import UsageProblem
from jobsync.fiscal.access_key import find_ruc_problem, is_ruc_shaped
from jobsync.logs import complain
from jobsync.ride.paper import PICTURE_BYTES_MAX
from jobsync.ride.paper.pdf import UnusablePicture, read_picture
from jobsync.sri import registry

app = group("Taxpayers of Ecuador whose documents are followed.")
Ruc = Annotated[str, typer.Argument(metavar="RUC", help="The tenant's 13 digits.", show_default=False)]


@app.command()
def add(
    context: typer.Context,
    ruc: Ruc,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name (razón social).", show_default=False)],
    environment: Annotated[
        str, typer.Option("--environment", metavar="test|production", help="Where it submits.")
    ] = "production",
    logo: Annotated[
        Path | None,
        typer.Option("--logo", metavar="FILE", help="PNG or JPEG, printed on the RIDE.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a taxpayer whose documents are to be followed."""
    ruc = ruc.strip()
    if not is_ruc_shaped(ruc):
        raise UsageProblem(f"RUC: {ruc!r} cannot be one, expected 13 digits")
    if not name.strip() or len(name) > 300:
        raise UsageProblem("NAME: expected 1 to 300 characters")
    if environment not in ("test", "production"):
        raise UsageProblem(f"--environment: {environment!r} is unknown, expected test or production")
    if logo is not None:
        _require_picture(logo)
    with transaction(context) as connection:
        row = registry.add_tenant(
            connection,
            ruc,
            name.strip(),
            environment=environment,
            logo_path=str(logo.absolute()) if logo is not None else None,
        )
    show(row, as_json=as_json, otherwise=lambda: say(f"tenant {row['ruc']}: {row['name']}"))
    if odd := find_ruc_problem(ruc):
        complain(f"jobsync: RUC {ruc}: {odd}; is it typed right? Only the SRI knows which exist")


def _require_picture(logo: Path) -> None:
    """
    Look whether a logo can be printed, before a RIDE has to go without.

    Raises:
        UsageProblem: it cannot, and why.
    """
    if not holds(logo.is_file):
        raise UsageProblem(f"--logo: no file {logo}")
    try:
        with logo.open("rb") as file:
            read_picture(file.read(PICTURE_BYTES_MAX + 1))
    except OSError as error:
        raise UsageProblem(f"--logo: {logo} cannot be read: {error.strerror}") from None
    except UnusablePicture as error:
        raise UsageProblem(f"--logo: {logo}: {error}; expected a PNG or JPEG") from None


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List all tenants with the number of their documents."""
    with transaction(context) as connection:
        rows = registry.list_tenants(connection)
    columns = ["ruc", "name", "environment", "is_active", "paused", "pending", "authorized", "rejected"]
    columns += ["needs_attention"]
    lines = [[with_pause(row)[column] for column in columns] for row in rows]
    show(rows, as_json=as_json, otherwise=lambda: print_table(columns, lines, empty="no tenants yet"))


@app.command("show")
def show_(context: typer.Context, ruc: Ruc, as_json: Json = False) -> None:
    """Show one tenant, its documents by status and the oldest that waits."""
    with transaction(context) as connection:
        row = registry.show_tenant(connection, ruc)
    show(row, as_json=as_json, otherwise=lambda: print_facts(with_pause(row)))


@app.command()
def pause(context: typer.Context, ruc: Ruc, as_json: Json = False) -> None:
    """Leave a tenant's documents out of every run that does not name them with --access-key."""
    with transaction(context) as connection:
        registry.pause_tenant(connection, ruc, pause=True)
    document = {"ruc": ruc, "paused": True, "paused_until": None}
    show(document, as_json=as_json, otherwise=lambda: say(f"tenant {ruc}: paused until it is resumed"))


@app.command()
def resume(context: typer.Context, ruc: Ruc, as_json: Json = False) -> None:
    """End a pause; what is due is asked about at the next tick."""
    with transaction(context) as connection:
        registry.pause_tenant(connection, ruc, pause=False)
    document = {"ruc": ruc, "paused": False, "paused_until": None}
    show(document, as_json=as_json, otherwise=lambda: say(f"tenant {ruc}: resumed"))
