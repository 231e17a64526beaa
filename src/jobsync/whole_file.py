"""A new file, whole and on the disk or not there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_new(path: Path, data: bytes, *, most: int, mode: int | None = None, place: Path | None = None) -> None:
    """
    Write a new file and make sure that it is on the disk; whatever was at its path is removed, and so is a half file.

    Args:
        most: its permissions, as far as the umask allows; `mode`: exactly these.
        place: it is moved there in the end, over whatever is there: no half file ever has that name.
    """
    try:
        path.unlink(missing_ok=True)
        # exclusive: what somebody puts there meanwhile, a link for example, is not written through
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, most), "wb") as file:  # noqa: PTH123
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if place is not None:
            path.replace(place)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
