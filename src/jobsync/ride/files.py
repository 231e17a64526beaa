"""Where RIDE files lie: one folder, each file whole or not there, never outside."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

from jobsync.causes import Cause
from jobsync.errors import ExitCode, JobsyncError
from jobsync.whole_file import write_new

_UNFINISHED = ".unfinished"  # beside the tenants' folders: the same file system, so that a rename is all or nothing
_UNFINISHED_NAME = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-.+\.pdf")
# At most; a stricter umask takes more away. Documents name customers and what they bought.
_FILE_MODE = 0o640
_FOLDER_MODE = 0o750
MARKER = ".jobsync-database"  # in the root: the id of the database whose files lie there


class StorageFault(JobsyncError):
    """
    The storage itself is full, read-only, broken or not the one of this database; no document is to blame.

    `cause` is one of those of the kind `storage`.
    """

    exit_code = ExitCode.NEEDS_ATTENTION

    def __init__(self, text: str, *, cause: Cause = Cause.STORAGE_UNWRITABLE) -> None:
        super().__init__(text)
        self.cause = cause


class PlaceFault(StorageFault):
    """One place below the root cannot be used, for example a folder of somebody else; the rest of it can."""


_WORDS = {
    errno.ENOSPC: ("it is full", Cause.STORAGE_FULL),
    errno.EDQUOT: ("its quota is used up", Cause.STORAGE_FULL),
    errno.EROFS: ("it is read-only", Cause.STORAGE_READ_ONLY),
}
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})  # some network file systems
_OF_THE_WHOLE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
)


class Storage:
    """The folder of RIDE files, made when needed; whatever reads or writes it may raise StorageFault."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def relative(self, tenant_id: int, access_key: str) -> str:
        """Return a document's place below the root; year and month are those of its access key."""
        return f"tenant-{tenant_id}/invoices/{access_key[4:8]}/{access_key[2:4]}/{access_key}_ride.pdf"

    def read_marker(self) -> UUID | None:
        """Return the id of the database whose files lie here, None where no marker is."""
        try:
            marker = os.open(self.root / MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:  # no file object: of a folder none can be made, and the descriptor would stay open
                text = os.read(marker, 200) if stat.S_ISREG(os.fstat(marker).st_mode) else b""
            finally:
                os.close(marker)
            return UUID(text.decode().split()[0])
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (*_OF_THE_WHOLE, errno.ENOTDIR):
                raise self._fault(error) from None
            why = "it is a link" if error.errno == errno.ELOOP else error.strerror
            raise self._broken(f"its marker {MARKER} cannot be read ({why})", Cause.STORAGE_MARKER) from None
        except (ValueError, IndexError):
            words = f"what stands at {MARKER} is no marker: no file with a database's id in it"
            raise self._broken(words, Cause.STORAGE_MARKER) from None

    def is_marked(self, database_id: UUID) -> bool:
        """Whether the marker is there and names this database; it is a fault if it names another."""
        found = self.read_marker()
        if found not in (None, database_id):
            words = f"its files are those of another database ({found}, this one is {database_id})"
            raise self._broken(words, Cause.STORAGE_OF_ANOTHER)
        return found is not None

    def require_marker(self, database_id: UUID) -> None:
        """Make sure that this is the database's storage; asked before each file, since a mount may go in mid-run."""
        if not self.is_marked(database_id):
            words = f"it has no marker ({MARKER}): it is not mounted, or another folder"
            raise self._broken(words, Cause.STORAGE_UNMARKED)

    def recognize(self, database_id: UUID, files: Sequence[tuple[str, str | None]]) -> None:
        """
        Make sure that the storage is this database's, or may become it.

        One without a marker may be this database's if no row names a file, or one of `files`, paths and hashes that
        rows name, lies there as it was written: so is the storage of an installation that is older than markers.
        """
        if not self.is_marked(database_id) and files and all(self.state_of(*file) for file in files):
            self.require_marker(database_id)

    def mark(self, database_id: UUID, *, anew: bool = False) -> None:
        """Write the marker, whole or not at all; `anew` also over one that is there, which else stays."""
        marker, draft = self.root / MARKER, self.root / f"{MARKER}.{uuid4()}.new"
        words = f"{database_id}\nThe RIDE files in this folder are those of the jobsync database with this id.\n"
        with self._faults():
            _make_folders(self.root)
            if anew and marker.is_dir() and not marker.is_symlink():
                raise self._broken(f"{MARKER} is a folder; remove it", Cause.STORAGE_MARKER)
            write_new(draft, words.encode(), most=_FILE_MODE)
            try:
                if os.geteuid() == 0:  # typed by root: the service's user, whose folder it is, must be able to read it
                    owner = self.root.stat()
                    with suppress(OSError):  # some network file systems take no orders from root
                        os.chown(draft, owner.st_uid, owner.st_gid)
                if anew:
                    draft.replace(marker)
                else:
                    _place_first(draft, marker)
            finally:
                draft.unlink(missing_ok=True)
            _sync_folder(self.root)
        self.require_marker(database_id)

    def state_of(self, path: str, sha256: str | None) -> str | None:
        """Return `missing` or `altered`, None if the file is as it was written; a path out of the root is altered."""
        try:
            file = (self.root / path).resolve()
            if not file.is_relative_to(self.root.resolve()):
                return "altered"
            if not file.is_file():  # a pipe would be waited for
                return "altered" if file.exists() else "missing"
            with file.open("rb") as stream:
                same = hashlib.file_digest(stream, "sha256").hexdigest() == (sha256 or "").lower()
            return None if same else "altered"
        except (FileNotFoundError, NotADirectoryError):
            return "missing"
        except OSError as error:
            if error.errno in _OF_THE_WHOLE:
                raise self._fault(error) from None
            return "altered"
        except (RuntimeError, ValueError):  # links in a circle; a path that no system takes
            return "altered"

    def write(self, run_id: UUID, access_key: str, data: bytes) -> Path:
        """Write a file that is not in its place yet, and make sure that it is on the disk."""
        folder = self.root / _UNFINISHED
        path = folder / f"{run_id}-{access_key}.pdf"
        if folder.is_symlink():
            raise self._broken(f"{_UNFINISHED} is a link, not a folder; remove it: rm {folder}")
        with self._faults():
            _make_folders(folder)
            write_new(path, data, most=_FILE_MODE)
        return path

    def place(self, unfinished: Path, relative: str) -> None:
        """
        Move a written file into its place, over whatever is there, and make sure that this is on the disk.

        Raises PlaceFault if only this place cannot be used.
        """
        with self._faults(relative):
            target = self.root / relative
            if not target.resolve().is_relative_to(self.root.resolve()):  # for example through a symbolic link
                raise PlaceFault(f"storage {self.root}: {relative} would lie outside of it")
            made = _make_folders(target.parent)
            unfinished.replace(target)
            for folder in (target.parent, *(parent.parent for parent in made)):
                _sync_folder(folder)

    def drop(self, unfinished: Path) -> None:
        """Remove a written file that will not be placed."""
        with suppress(OSError):
            unfinished.unlink()

    def sweep(self, ended: Callable[[Set[UUID]], Set[UUID]]) -> int:
        """
        Remove what dead runs left unfinished; returns how many files.

        `ended` returns which of these runs are known to be over; it is called only if there are any. Other files are
        not ours: of runs of another database on the same storage, of people, behind a link that stands where our
        folder or file belongs.
        """
        with suppress(OSError), _opened(self.root / _UNFINISHED, more=os.O_NOFOLLOW) as folder:
            with os.scandir(folder) as entries:
                files = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
            left = {name: UUID(match[1]) for name in files if (match := _UNFINISHED_NAME.fullmatch(name))}
            dead = ended(set(left.values())) if left else frozenset()
            swept = [name for name, run_id in left.items() if run_id in dead]
            for name in swept:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
            return len(swept)
        return 0

    def _broken(self, words: str, cause: Cause = Cause.STORAGE_UNWRITABLE) -> StorageFault:
        return StorageFault(f"storage {self.root}: {words}", cause=cause)

    @contextmanager
    def _faults(self, relative: str | None = None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if relative is not None and error.errno not in _OF_THE_WHOLE:
                why = error.strerror or type(error).__name__
                raise PlaceFault(f"storage {self.root}: {relative} cannot be written ({why})") from None
            raise self._fault(error) from None

    def _fault(self, error: OSError) -> StorageFault:
        why, cause = _WORDS.get(error.errno or 0, (error.strerror or type(error).__name__, Cause.STORAGE_UNWRITABLE))
        return self._broken(why, cause)


def _place_first(draft: Path, place: Path) -> None:
    try:
        os.link(draft, place)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if not os.path.lexists(place):
            draft.replace(place)


def _sync_folder(folder: Path) -> None:
    with _opened(folder) as handle:
        os.fsync(handle)


@contextmanager
def _opened(folder: Path, *, more: int = 0) -> Iterator[int]:
    """Keep a folder open, also with `more` of the flags of os.open; its files are reached through the descriptor."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | more)
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
