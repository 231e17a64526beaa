"""RIDE files and their rendering, built."""

from jobsync.errors import ConfigurationProblem
from jobsync.ride.files import Storage
from jobsync.settings import closed_place
from jobsync.sri.parse import open_file
from jobsync.wiring import Tools


def storage_of(tools: Tools) -> Storage:
    """Return where RIDE files lie: JOBSYNC_STORAGE, or beside the embedded database; raises ConfigurationProblem."""
    settings = tools.settings
    if settings.storage is not None:
        return Storage(settings.storage)
    if settings.database_url is None:
        return Storage(tools.embedded_folder / "storage")
    raise ConfigurationProblem(
        closed_place("JOBSYNC_STORAGE", tools.environ)
        or "JOBSYNC_STORAGE is not set: with a database of its own name jobsync must be told where RIDE files lie"
    )


def open_document(raw: bytes) -> bytes:
    """Return the fiscal document inside whatever was stored as the authorized XML."""
    return open_file(raw, mend_bare=True).document
