"""jobsync storage: whose RIDE files lie in the folder that JOBSYNC_STORAGE names."""

from jobsync.causes import Cause
from jobsync.cli.command import Answer, Yes, command, confirm, group, said
from jobsync.db.audit import write_audit
from jobsync.db.engine import driver
from jobsync.ride.files import StorageFault
from jobsync.ride.store import read_database_id
from jobsync.wiring import Tools
from jobsync.wiring.ride import storage_of

app = group("The folder of RIDE files, and whose files they are.")


@command("storage claim --yes", of=app)
def claim(tools: Tools, yes: Yes = False) -> Answer:
    """
    Mark the storage as this database's: a new one, or one that was restored without its marker.

    generate-ride marks a storage by itself as long as no row names a file. Asks where another database has marked it.
    """
    place = storage_of(tools)
    with tools.transaction() as connection:
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
        with tools.transaction() as connection:
            write_audit(connection, "storage.claim", str(place.root), {"id": database_id, "before": before})
            place.mark(database_id, anew=True)  # behind it only the commit can fail
    done = "is marked as that of this database" if before == database_id else "marked as that of this database"
    words = f"storage {place.root}: {done} ({database_id}){' already' if before == database_id else ''}"
    return said(
        {"storage": str(place.root), "database_id": database_id, "before": before},
        f"{words}; files that are lost: jobsync generate-ride --missing",
    )
