"""Where RIDE files lie: one folder, each file whole or not there, never outside."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from jobsync.errors import ExitCode, JobsyncError

_UNFINISHED = ".unfinished"  # beside the tenants' folders: the same file system, so that a rename is all or nothing


class StorageFault(JobsyncError):
    """The storage itself is full, read-only or broken; no document is to blame."""

    exit_code = ExitCode.NEEDS_ATTENTION


class PlaceFault(StorageFault):
    """One place below the root cannot be used, for example a folder of somebody else; the rest of it can."""


_OF_THE_WHOLE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
)


class Storage:
    """
    Args:
        root: made if it is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def relative(self, tenant_id: int, access_key: str) -> str:
        """
        Return a document's place below the root; year and month are those of its access key.

        >>> Storage(Path("/srv")).relative(7, "01112026" + "0" * 41)
        'tenant-7/invoices/2026/11/0111202600000000000000000000000000000000000000000_ride.pdf'
        """
        return f"tenant-{tenant_id}/invoices/{access_key[4:8]}/{access_key[2:4]}/{access_key}_ride.pdf"

    def inside(self, relative: str) -> Path:
        """
        Return the absolute path.

        Raises:
            PlaceFault: it would lie outside the root, for example through a symbolic link.
        """
        path = self.root / relative
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise PlaceFault(f"storage {self.root}: {relative} would lie outside of it")
        return path

    def write(self, run_id: UUID, access_key: str, data: bytes) -> Path:
        """
        Write a file that is not in its place yet, and make sure that it is on the disk.

        Raises:
            StorageFault: it cannot be written.
        """
        folder = self.root / _UNFINISHED
        path = folder / f"{run_id}-{access_key}.pdf"
        with self._faults():
            folder.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    path.unlink()
                raise
        return path

    def place(self, unfinished: Path, relative: str) -> None:
        """
        Move a written file into its place, over whatever is there, and make sure that this is on the disk.

        Raises:
            PlaceFault: this place cannot be used.
            StorageFault: the storage cannot.
        """
        with self._faults(relative):
            target = self.inside(relative)
            made = [parent for parent in target.parents if not parent.exists()]
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished.replace(target)
            for folder in (target.parent, *(parent.parent for parent in made)):
                handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)

    def drop(self, unfinished: Path) -> None:
        """Remove a written file that will not be placed."""
        with suppress(OSError):
            unfinished.unlink()

    def sweep(self, own: UUID) -> int:
        """
        Remove what dead runs left unfinished; returns how many files.

        Whoever calls it holds the job's lock, so no other run writes here.
        """
        swept = 0
        with suppress(OSError):
            for entry in os.scandir(self.root / _UNFINISHED):
                if not entry.name.startswith(str(own)):
                    with suppress(OSError):
                        os.unlink(entry.path)  # noqa: PTH108 - an entry, not a Path
                        swept += 1
        return swept

    @contextmanager
    def _faults(self, relative: str | None = None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if relative is not None and error.errno not in _OF_THE_WHOLE:
                why = error.strerror or type(error).__name__
                raise PlaceFault(f"storage {self.root}: {relative} cannot be written ({why})") from None
            words = {errno.ENOSPC: "it is full", errno.EDQUOT: "its quota is used up", errno.EROFS: "it is read-only"}
            why = words.get(error.errno or 0, error.strerror or type(error).__name__)
            raise StorageFault(f"storage {self.root}: {why}") from None
