"""What the doctor asks of RIDE files: can they be written, and are they there unaltered? And the items of past runs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from sqlalchemy import Engine

from jobsync.db.engine import transaction, translated
from jobsync.documents import read_there
from jobsync.jobs import GENERATE_RIDE
from jobsync.phrases import many
from jobsync.ride import store
from jobsync.ride.files import Storage, StorageFault
from jobsync.upkeep.model import Finding, ItemsOfRuns, ok, problem, some, warning

SAMPLE = 200


def check_storage(root: Path | None, engine: Engine | None, *, every: bool, named: bool = True) -> Iterator[Finding]:
    """
    Can RIDE files be written, and are those that were written still there and unaltered?

    `root` is None where it is not set; one that was `named` is to be there, the default one is made by the first file.
    """
    if root is None:
        yield warning("storage", "JOBSYNC_STORAGE is not set", "generate-ride needs it: set the RIDE files' folder")
        return
    if named and not root.is_dir():
        yield problem("storage", f"{root} is not a folder", f"mount it; a new one: install -d -o jobsync {root}")
        return
    folder = _try_to_write(root) if root.is_dir() else ok("storage", f"{root} is made when the first file is")
    files: list[Finding] = []
    if engine is not None:
        try:
            with translated():
                files = list(_files(engine, Storage(root), every=every))
        except StorageFault as fault:  # the wrong folder, or a broken one: whether it can be written says nothing then
            folder = problem("storage", str(fault), fault.cause.do(ROOT=shlex.quote(str(root))))
    yield folder
    yield from files


def _try_to_write(root: Path) -> Finding:
    draft = root / f".jobsync-doctor-{os.getpid()}"
    try:
        draft.write_bytes(b"jobsync")
        draft.unlink()
    except OSError as error:
        what = "owner and mode of the folder, ReadWritePaths= of the unit, a full or read-only disk"
        return problem("storage", f"{root} cannot be written ({error.strerror})", what)
    return ok("storage", f"{root} can be written")


def _files(engine: Engine, storage: Storage, *, every: bool) -> Iterator[Finding]:
    with transaction(engine) as connection:
        database_id, files = store.read_database_id(connection), store.read_files(connection)
    storage.recognize(database_id, files)  # as a run does; an unused storage belongs to no database yet
    lost: dict[str, list[str]] = {"missing": [], "altered": []}
    seen = 0
    printed = store.each_printed(partial(transaction, engine))
    for _number, key, path, sha256 in islice(printed, None if every else SAMPLE):
        seen += 1
        if state := storage.state_of(path, sha256):
            lost[state].append(key)
    for words, keys in lost.items():
        if keys:
            what = "to draw them again: jobsync generate-ride --missing; or restore the folder"
            yield problem("RIDE files", f"{many(len(keys), 'file')} {words}: {some(keys)}", what)
    if not any(lost.values()):
        kind = "all" if every else "the latest"
        yield ok("RIDE files", f"{kind} {many(seen, 'file')} there and unaltered" if seen else "none drawn yet")


ITEMS = ItemsOfRuns(GENERATE_RIDE.name, read_there)
