"""RIDE files and their rendering, built."""

from __future__ import annotations

from jobsync.db.system_settings import SystemSettings
from jobsync.errors import ConfigurationProblem
from jobsync.ride.files import Storage
from jobsync.ride.job import GenerateRide
from jobsync.settings import closed_place
from jobsync.sri.parse import open_file
from jobsync.wiring import Tools


def storage_of(tools: Tools) -> Storage:
    """
    Return where RIDE files lie: JOBSYNC_STORAGE, or beside the embedded database's data.

    Raises:
        ConfigurationProblem: the database is a named one, and the storage is not.
    """
    settings = tools.settings
    if settings.storage is not None:
        return Storage(settings.storage)
    if settings.database_url is None:
        return Storage(tools.embedded_folder / "storage")
    raise ConfigurationProblem(
        closed_place("JOBSYNC_STORAGE", tools.environ)
        or "JOBSYNC_STORAGE is not set: with a database of its own name jobsync must be told where RIDE files lie"
    )


def generate_ride(
    settings: SystemSettings,
    storage: Storage,
    *,
    access_keys: tuple[str, ...],
    tenants: tuple[str, ...],
    force: bool,
    missing: bool,
    limit: int | None,
    every: bool,
) -> GenerateRide:
    """Return RIDE rendering's work."""
    return GenerateRide(
        storage=storage,
        settings=settings,
        open_file=lambda raw: open_file(raw, mend_bare=True).document,
        access_keys=access_keys,
        tenants=tenants,
        force=force,
        missing=missing,
        limit=limit,
        every=every,
    )
