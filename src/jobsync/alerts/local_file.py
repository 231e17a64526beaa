"""The small file that remembers what was told while the database cannot: one writer at a time, whole or not at all."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import msgspec
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from jobsync.alerts.model import as_json
from jobsync.logs import get_logger, visible
from jobsync.whole_file import write_new

_WAIT_S = 15.0  # it is held while it is read and written, and while the database is asked what it knows
_MOST_BYTES = 8 << 20
_UNITS_FOLDER = Path("/var/lib/jobsync")  # where the units keep theirs


def state_folders(environ: Mapping[str, str]) -> list[Path]:
    """
    Return where the file may lie, best first.

    `$STATE_DIRECTORY` is what systemd gives a unit; the units' user finds the same folder by hand, anybody else has one
    below his home. Where none can be written (a full or read-only disk is a likely night for an alert) memory must do.
    """
    found = []
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        found.append(Path(given))
    else:
        with suppress(OSError):
            if _UNITS_FOLDER.stat().st_uid == os.getuid():
                found.append(_UNITS_FOLDER)
        home = environ.get("XDG_STATE_HOME") or (
            f"{environ['HOME']}/.local/state" if environ.get("HOME") else str(_UNITS_FOLDER.parent)
        )
        found.append(Path(home) / "jobsync")
    # in memory; made by us, closed to others, checked below; one for each folder that it stands in for
    name = blake2b(str(found[0]).encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    found.append(Path(f"/dev/shm/jobsync-{os.getuid()}-{name}"))  # noqa: S108
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class LocalFile:
    """The file `alerts.json` of one folder, while its lock is held."""

    folder: Path | None  # where it is written; None if nowhere
    others: Sequence[Path]  # where it may have been written when this folder could not be, or when that one still could

    def read(self) -> dict[str, Any]:
        """Return what was noted last; an unreadable file is put aside and counts as empty."""
        places = filter(None, (self.folder, *self.others))
        return max(map(_read, places), key=_written_at, default={})

    def write(self, noted: Mapping[str, Any]) -> None:
        """Replace what is noted, whole or not at all."""
        if self.folder is None:
            return
        path = self.folder / "alerts.json"
        text = msgspec.json.format(as_json({**noted, "written_at": time.time()}), indent=1)
        try:
            write_new(self.folder / "alerts.json.new", text, most=0o600, place=path)
        except OSError as error:
            get_logger().warning("alert.file_not_written", path=str(path), error=str(error))


def _written_at(noted: Mapping[str, Any]) -> float:
    at = noted.get("written_at")
    return float(at) if isinstance(at, float) else -1.0 if not noted else 0.0


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "alerts.json"
    try:
        # a pipe, which would never end, and what is too large for us are no such file
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
                raise ValueError("not a regular file of at most 8 MB")
            return msgspec.json.decode(file.read(_MOST_BYTES), type=dict[str, Any])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        get_logger().warning("alert.file_unreadable", path=str(path), error=visible(error, most=200))
    with suppress(OSError):
        path.replace(path.with_suffix(".unreadable"))
    return {}


@contextmanager
def open_file(environ: Mapping[str, str]) -> Iterator[LocalFile]:
    """
    Hold the file of this host and user: a second process waits, and then sees what the first has told.

    Where somebody holds it all the time (stopped, or hanging), the next folder must do, so that nothing is lost.
    """
    folders = state_folders(environ)
    for folder in folders:
        descriptor = _open(folder)
        if descriptor is None:
            continue
        try:
            if not _lock(descriptor):
                get_logger().warning("alert.file_held", path=str(folder), waited_s=_WAIT_S)
                continue
            yield LocalFile(folder, [other for other in folders if other != folder and _is_ours(other)])
        finally:
            os.close(descriptor)
        return
    get_logger().warning("alert.no_file", message="no state folder can be written: set STATE_DIRECTORY")
    yield LocalFile(None, [folder for folder in folders if _is_ours(folder)])


def _lock(descriptor: int) -> bool:
    trying = Retrying(
        retry=retry_if_exception_type(BlockingIOError),
        stop=stop_after_delay(_WAIT_S),
        wait=wait_fixed(0.1),
        retry_error_callback=lambda _: False,
    )
    return trying(fcntl.flock, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB) is not False


def _is_ours(folder: Path) -> bool:
    """Whether the folder exists and, in a place where every user may write, belongs to this user."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    if not folder.is_relative_to("/dev/shm"):  # noqa: S108
        return folder.is_dir()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _open(folder: Path) -> int | None:
    """Return a descriptor to lock, None where the folder is not ours or cannot be written."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(folder):
            return None
        with NamedTemporaryFile(dir=folder, prefix="alerts.probe.") as probe:
            probe.write(bytes(4096))  # a full disk still lets an empty file be made
        return os.open(folder / "alerts.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
