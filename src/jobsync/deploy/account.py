"""Whom the installed units run as, and how root acts as that user: peer authentication goes by the process's user."""

import os
import pwd
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobsync.deploy.installation import UNITS_FOLDER
from jobsync.errors import ConfigurationProblem
from jobsync.jobs import STOCK_SYNC
from jobsync.settings import load_settings

_UNIT = Path(UNITS_FOLDER, f"jobsync-{STOCK_SYNC.name}.service")
_USER = re.compile(r"^User=(\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Account:
    """A user of this host, with the groups that it is in."""

    name: str
    uid: int
    gid: int
    home: str
    groups: tuple[int, ...]

    def become(self) -> None:
        """Act as this user from now on; for root, at the end of what only root may do."""
        os.setgroups(self.groups)
        os.setgid(self.gid)
        os.setuid(self.uid)
        os.environ.update(self._environment)
        os.chdir("/")  # root's folder may be closed to it, and it names no file

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Act as this user until the end of the block, and then as root again; children would stay half root."""
        before, environ = os.getgroups(), dict(os.environ)
        os.setgroups(self.groups)
        os.setegid(self.gid)
        os.seteuid(self.uid)
        os.environ.update(self._environment)
        try:
            yield
        finally:
            os.environ.update(environ)
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(before)

    def sees(self, path: Path) -> bool:
        """Whether this user may read a file."""
        with self.lent():
            return os.access(path, os.R_OK, effective_ids=True)

    @property
    def _environment(self) -> dict[str, str]:
        """What leaves root's home: libpq reads certificates and passwords there."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name}


def account_of_server(environ: Mapping[str, str]) -> Account | None:
    """
    Return whom root acts as on a server: the user of the installed units.

    None for anybody else than root, where no units are installed or their user does not exist, and where the database
    is no named one.
    """
    if os.geteuid() != 0:
        return None
    names: list[str] = []
    try:
        for path in (_UNIT, *sorted(_UNIT.with_name(f"{_UNIT.name}.d").glob("*.conf"))):
            names += _USER.findall(path.read_text(encoding="utf-8", errors="replace"))
        found = pwd.getpwnam(names[-1])
        if load_settings(environ).database_url is None:
            return None
    except (OSError, KeyError, IndexError, ConfigurationProblem):  # of the last the command itself says what is wrong
        return None
    groups = tuple(os.getgrouplist(found.pw_name, found.pw_gid))
    return Account(found.pw_name, found.pw_uid, found.pw_gid, found.pw_dir, groups)
