"""The small file that remembers what was told while the database cannot: one writer at a time, whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jobsync.errors import Unavailable
from jobsync.logs import get_logger

_WAIT_S = 60.0  # longer than whoever holds it may take to reach every channel
_STEP_S = 0.1


def state_folders(environ: Mapping[str, str]) -> list[Path]:
    """
    Return where the notebook may lie, best first.

    `$STATE_DIRECTORY` is what systemd gives a unit; a hand run has its user's state folder. Where neither can be
    written (a full or read-only disk is a likely night for an alert) memory must do.
    """
    found = []
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        found.append(Path(given))
    elif os.getuid() == 0:
        found.append(Path("/var/lib/jobsync"))
    else:
        home = environ.get("XDG_STATE_HOME") or (f"{environ['HOME']}/.local/state" if environ.get("HOME") else None)
        if home:
            found.append(Path(home) / "jobsync")
    if environ.get("RUNTIME_DIRECTORY"):
        found.append(Path(environ["RUNTIME_DIRECTORY"].split(":")[0]))
    found.append(Path(f"/dev/shm/jobsync-{os.getuid()}"))  # noqa: S108 - made by us, closed to others, checked below
    return found


class Notebook:
    """The file `alerts.json` of one folder, while its lock is held."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def read(self) -> dict[str, Any]:
        """Return what is noted; an unreadable file is put aside and counts as empty."""
        if self.folder is None:
            return {}
        path = self.folder / "alerts.json"
        try:
            noted = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(noted, dict):
                return noted
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError):
            pass
        get_logger().warning("alert.notebook_unreadable", path=str(path))
        with suppress(OSError):
            path.replace(path.with_suffix(".unreadable"))
        return {}

    def write(self, noted: Mapping[str, Any]) -> bool:
        """Replace what is noted, whole or not at all; False if it could not be kept."""
        if self.folder is None:
            return False
        path = self.folder / "alerts.json"
        draft = self.folder / "alerts.json.new"
        try:
            with draft.open("w", encoding="utf-8") as file:
                json.dump(noted, file, indent=1, ensure_ascii=True)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            get_logger().warning("alert.notebook_not_written", path=str(path), error=str(error))
            return False
        return True


@contextmanager
def open_notebook(environ: Mapping[str, str], *, wait_s: float = _WAIT_S) -> Iterator[Notebook]:
    """
    Hold the notebook of this host and user: whoever comes second waits, and then sees what the first has told.

    Raises:
        Unavailable: another process has held it all the time.
    """
    import fcntl

    for folder in state_folders(environ):
        descriptor = _open(folder)
        if descriptor is None:
            continue
        try:
            deadline = time.monotonic() + wait_s
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise Unavailable(f"another alert is being sent for {wait_s:.0f} s ({folder})") from None
                    time.sleep(_STEP_S)
            yield Notebook(folder)
        finally:
            os.close(descriptor)
        return
    get_logger().warning("alert.no_notebook", message="no state folder can be written: set STATE_DIRECTORY")
    yield Notebook(None)


def _open(folder: Path) -> int | None:
    """Return a descriptor to lock, None where the folder is not ours or cannot be written."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) and not folder.is_dir():
            return None
        if folder.is_relative_to("/dev/shm") and (found.st_uid != os.getuid() or found.st_mode & 0o077):  # noqa: S108
            return None  # somebody else has put it there
        descriptor = os.open(folder / "alerts.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        probe = folder / "alerts.json.new"
        with probe.open("wb") as file:  # a full disk still lets an empty file be made
            file.write(b" " * 4096)
    except OSError:
        return None
    return descriptor
