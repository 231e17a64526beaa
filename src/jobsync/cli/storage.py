"""jobsync storage: whose RIDE files lie in the folder that JOBSYNC_STORAGE names."""

from __future__ import annotations

import typer

from jobsync.causes import Cause
from jobsync.cli.options import Json, Yes, confirm, group, tools_of, transaction
from jobsync.cli.output import say, show
from jobsync.db.audit import write_audit
from jobsync.db.engine import driver
from jobsync.ride.files import StorageFault
from jobsync.ride.store import read_database_id

app = group("The folder of RIDE files, and whose files they are.")


@app.callback()
def storage() -> None:
    """The folder of RIDE files, and whose files they are."""


@app.command()
def claim(context: typer.Context, yes: Yes = False, as_json: Json = False) -> None:
    """
    Mark the storage as this database's: a new one, or one that was restored without its marker.

    generate-ride marks a storage by itself as long as no row names a file. Asks where another database has marked it.
    """
    place = tools_of(context).storage
    with transaction(context) as connection:
        database_id = read_database_id(driver(connection))
    try:
        before = place.read_marker()
    except StorageFault as fault:
        if fault.cause is not Cause.STORAGE_MARKER:
            raise
        before = None  # no marker, but something in its place
    if before not in (None, database_id):
        confirm(f"The files in {place.root} are those of database {before}. Make them those of this one?", yes=yes)
    if before != database_id:
        place.mark(database_id, anew=True)
        with transaction(context) as connection:
            write_audit(connection, "storage.claim", str(place.root), {"id": database_id, "before": before})
    document = {"storage": str(place.root), "database_id": database_id, "before": before}
    words = f"storage {place.root}: marked as that of this database ({database_id})"
    if before == database_id:
        words = f"storage {place.root}: is marked as that of this database ({database_id}) already"
    show(
        document,
        as_json=as_json,
        otherwise=lambda: say(f"{words}; files that are lost: jobsync generate-ride --missing"),
    )
