"""What the doctor asks of RIDE files: can they be written, and are they there and unaltered?"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from jobsync.db.engine import translated
from jobsync.db.statements import rows_of
from jobsync.phrases import many
from jobsync.upkeep.model import Finding, ok, problem, some, warning

if TYPE_CHECKING:
    from sqlalchemy import Engine

SAMPLE = 200
_PAGE = 1000


def check_storage(root: Path | None, engine: Engine | None, *, every: bool, named: bool = True) -> Iterator[Finding]:
    """
    Can RIDE files be written, and are those that were written still there and unaltered?

    Args:
        root: where they lie; None where nobody has said so.
        named: the folder was named, so it is to be there; the default one is made by the first file.
    """
    if root is None:
        yield warning("storage", "JOBSYNC_STORAGE is not set", "generate-ride needs it: set the RIDE files' folder")
        return
    if not root.is_dir() and not named:
        yield ok("storage", f"{root} is made when the first file is")
        return
    if not root.is_dir():
        yield problem("storage", f"{root} is not a folder", f"install -d -o jobsync {root}, or mount it")
        return
    draft = root / f".jobsync-doctor-{os.getpid()}"
    try:
        draft.write_bytes(b"jobsync")
        draft.unlink()
    except OSError as error:
        what = "owner and mode of the folder, ReadWritePaths= of the unit, a full or read-only disk"
        yield problem("storage", f"{root} cannot be written ({error.strerror})", what)
    else:
        yield ok("storage", f"{root} can be written")
    if engine is not None:
        yield from _files(engine, root, every=every)


def _files(engine: Engine, root: Path, *, every: bool) -> Iterator[Finding]:
    missing: list[str] = []
    altered: list[str] = []
    seen = 0
    for row in _drawn(engine, None if every else SAMPLE):
        seen += 1
        state = _state_of(root, row["ride_path"], row["ride_sha256"])
        if state:
            (missing if state == "missing" else altered).append(row["access_key"])
    what = "jobsync generate-ride --force --access-key KEY draws it again; or restore the folder"
    for words, keys in (("missing", missing), ("altered", altered)):
        if keys:
            yield problem("RIDE files", f"{many(len(keys), 'file')} {words}: {some(keys)}", what)
    if not missing and not altered:
        kind = "all" if every else "the latest"
        yield ok("RIDE files", f"{kind} {many(seen, 'file')} there and unaltered" if seen else "none drawn yet")


def _drawn(engine: Engine, most: int | None) -> Iterator[dict[str, Any]]:
    """Return drawn documents, newest first, a page in each short transaction."""
    below, left = 1 << 62, most
    while left is None or left > 0:
        with translated(), engine.connect() as connection:
            rows = rows_of(
                connection,
                text(
                    "SELECT id, access_key, ride_path, ride_sha256 FROM invoices WHERE id < :below"
                    " AND ride_path IS NOT NULL AND ride_generated_at IS NOT NULL AND deleted_at IS NULL"
                    " ORDER BY id DESC LIMIT :page"
                ),
                {"below": below, "page": _PAGE if left is None else min(_PAGE, left)},
            )
        if not rows:
            return
        yield from rows
        below = rows[-1]["id"]
        left = None if left is None else left - len(rows)


def _state_of(root: Path, path: str, sha256: str | None) -> str | None:
    """Return `missing` or `altered`, None if the file is as it was written; a path out of the root is altered."""
    try:
        file = (root / path).resolve()
        if not file.is_relative_to(root.resolve()):
            return "altered"
        with file.open("rb") as stream:
            return None if hashlib.file_digest(stream, "sha256").hexdigest() == (sha256 or "").lower() else "altered"
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except (OSError, ValueError):
        return "altered"
