"""The private server as this program uses it: its name, its folder, and what its errors mean to an operator."""

from __future__ import annotations

import contextlib
import os
import pwd
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from jobsync.errors import ConfigurationProblem, Unavailable
from jobsync.private_postgres.guardian import NotAllowed, ServerNotStarted
from jobsync.private_postgres.server import Lease, remove
from jobsync.private_postgres.server import acquire as _acquire

_NAME = "jobsync"  # of the superuser, the database and the folder
_ELSEWHERE = "elsewhere: JOBSYNC_DATABASE_URL=embedded:/path is another folder, postgresql://… a PostgreSQL of yours"


def default_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the user's own private server; raises ConfigurationProblem without a home folder."""
    data_home = Path(environ.get("XDG_DATA_HOME", ""))
    if data_home.is_absolute():
        return data_home / _NAME / "postgres"
    home = environ.get("HOME", "")
    if not home:
        with contextlib.suppress(KeyError):
            home = pwd.getpwuid(os.getuid()).pw_dir
    if not Path(home).is_absolute():
        raise ConfigurationProblem(f"no home folder is known for this user; {_ELSEWHERE}")
    return Path(home, ".local", "share", _NAME, "postgres")


def acquire(folder: Path, *, durable: bool = True) -> Lease:
    """Return the use of the private server in `folder`; raises ConfigurationProblem or Unavailable for its errors."""
    try:
        return _acquire(folder, name=_NAME, durable=durable)
    except NotAllowed as error:
        raise ConfigurationProblem(f"{error}; {_ELSEWHERE}") from error
    except ServerNotStarted as error:
        raise Unavailable(str(error)) from error


@contextlib.contextmanager
def acquire_temporary(prefix: str) -> Iterator[tuple[Path, Lease]]:
    """Return a new folder and the use of a server in it; at the end the server goes first: it writes until then."""
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        place = Path(folder, "postgres")
        try:
            with acquire(place) as lease:
                yield Path(folder), lease
        finally:
            with contextlib.suppress(NotAllowed, ServerNotStarted, OSError):
                remove(place)
