"""Where RIDE files lie: one folder, each file whole or not there, never outside."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from jobsync.errors import ExitCode, JobsyncError

_UNFINISHED = ".unfinished"  # beside the tenants' folders: the same file system, so that a rename is all or nothing
_UNFINISHED_NAME = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-.+\.pdf")
# At most; a stricter umask takes more away. Documents name customers and what they bought.
_FILE_MODE = 0o640
_FOLDER_MODE = 0o750


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
        if folder.is_symlink():
            raise StorageFault(f"storage {self.root}: {_UNFINISHED} is a link, not a folder; remove it: rm {folder}")
        with self._faults():
            _make_folders(folder)
            path.unlink(missing_ok=True)
            try:
                # exclusive: what somebody puts there meanwhile, a link for example, is not written through
                with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE), "wb") as file:  # noqa: PTH123
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
            made = _make_folders(target.parent)
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

    def sweep(self, ended: Callable[[Set[UUID]], Set[UUID]]) -> int:
        """
        Remove what dead runs left unfinished; returns how many files.

        Other files are not ours to remove: of runs of another database on the same storage, of people, behind a link
        that stands where our folder or our file belongs.

        Args:
            ended: returns which of these runs are known to be over; asked only if there are any.
        """
        with suppress(OSError), _opened(self.root / _UNFINISHED) as folder:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
            left = {name: UUID(match[1]) for name in names if (match := _UNFINISHED_NAME.fullmatch(name))}
            dead = ended(set(left.values())) if left else frozenset()
            swept = [name for name, run_id in left.items() if run_id in dead]
            for name in swept:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
            return len(swept)
        return 0

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


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Keep a folder open, which must not be a link; its files are reached through the descriptor."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield handle
    finally:
        os.close(handle)


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder with all above it that are not there; returns those that were made, the innermost first."""
    made = []
    for missing in [folder, *folder.parents]:
        if missing.exists():
            break
        made.append(missing)
    for missing in reversed(made):
        missing.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    return made
