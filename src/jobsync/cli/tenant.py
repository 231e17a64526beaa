"""jobsync tenant: whose documents we follow."""

from pathlib import Path
from typing import Annotated

from sqlalchemy import Connection

from jobsync.cli.command import Answer, argument, command, facts, group, holds, option, said, table
from jobsync.cli.output import with_pause
from jobsync.errors import UsageProblem
from jobsync.fiscal.access_key import find_ruc_problem, is_ruc_shaped
from jobsync.ride.paper import PICTURE_BYTES_MAX
from jobsync.ride.paper.pdf import UnusablePicture, read_picture
from jobsync.sri import registry
from jobsync.wiring import Tools

app = group("Taxpayers of Ecuador whose documents are followed.")
Ruc = Annotated[str, argument("RUC", "The tenant's 13 digits.")]


@command("tenant add 1790012345001 'Comercial Andina S.A.' --logo logo.png", of=app)
def add(
    tools: Tools,
    ruc: Ruc,
    name: Annotated[str, argument("NAME", "Its name (razón social).")],
    environment: Annotated[str, option("test|production", "Where it submits.")] = "production",
    logo: Annotated[Path | None, option("FILE", "PNG or JPEG, printed on the RIDE.")] = None,
) -> Answer:
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
    with tools.transaction() as connection:
        path = str(logo.absolute()) if logo is not None else None
        row = registry.add_tenant(connection, ruc, name.strip(), environment=environment, logo_path=path)
    odd = find_ruc_problem(ruc)
    doubts = [f"RUC {ruc}: {odd}; is it typed right? Only the SRI knows which exist"] if odd else []
    return said(row, f"tenant {row['ruc']}: {row['name']}", complaints=doubts)


def _require_picture(logo: Path) -> None:
    if not holds(logo.is_file):
        raise UsageProblem(f"--logo: no file {logo}")
    try:
        with logo.open("rb") as file:
            read_picture(file.read(PICTURE_BYTES_MAX + 1))
    except OSError as error:
        raise UsageProblem(f"--logo: {logo} cannot be read: {error.strerror}") from None
    except UnusablePicture as error:
        raise UsageProblem(f"--logo: {logo}: {error}; expected a PNG or JPEG") from None


@command("tenant list", of=app, reads=True)
def list_(connection: Connection) -> Answer:
    """List all tenants with the number of their documents."""
    rows = registry.list_tenants(connection)
    columns = ["ruc", "name", "environment", "is_active", "paused", "pending", "authorized", "rejected"]
    columns += ["needs_attention"]
    return table(rows, columns, map(with_pause, rows), empty="no tenants yet")


@command("tenant show 1790012345001", of=app, reads=True)
def show(connection: Connection, ruc: Ruc) -> Answer:
    """Show one tenant, its documents by status and the oldest that waits."""
    row = registry.show_tenant(connection, ruc)
    return facts(row, with_pause(row))


@command("tenant pause 1790012345001", of=app)
def pause(connection: Connection, ruc: Ruc) -> Answer:
    """Leave a tenant's documents out of every run that does not name them with --access-key."""
    registry.pause_tenant(connection, ruc, pause=True)
    return said({"ruc": ruc, "paused": True, "paused_until": None}, f"tenant {ruc}: paused until it is resumed")


@command("tenant resume 1790012345001", of=app)
def resume(connection: Connection, ruc: Ruc) -> Answer:
    """End a pause; what is due is asked about at the next tick."""
    registry.pause_tenant(connection, ruc, pause=False)
    return said({"ruc": ruc, "paused": False, "paused_until": None}, f"tenant {ruc}: resumed")
