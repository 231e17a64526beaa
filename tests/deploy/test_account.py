"""Whom root acts as on a server, and that it is root again where only a part of a command was lent."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from jobsync.deploy import account as module
from jobsync.deploy.account import Account, account_of_server

NAMED = {"JOBSYNC_DATABASE_URL": "postgresql:///jobsync"}
_BECOME = """
import os, sys
from jobsync.deploy.account import Account
user, uid, gid = sys.argv[1:]
Account(user, int(uid), int(gid), "/nonexistent", (int(gid),)).become()
print(os.getresuid(), os.getresgid(), os.getgroups(), os.environ["HOME"], os.environ["USER"], os.getcwd())
"""

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The unit file of stock sync, of a user that each host has."""
    path = tmp_path / "jobsync-stock-sync.service"
    path.write_text("[Service]\nType=exec\nUser=nobody\nGroup=nogroup\n")
    monkeypatch.setattr(module, "_UNIT", path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return path


def name_of(environ: dict[str, str]) -> str | None:
    found = account_of_server(environ)
    return found.name if found else None


def test_root_acts_as_the_units_user(unit: Path) -> None:
    """With its groups and its home."""
    found, nobody = account_of_server(NAMED), pwd.getpwnam("nobody")

    assert found is not None
    assert (found.name, found.uid, found.gid, found.home) == ("nobody", nobody.pw_uid, nobody.pw_gid, nobody.pw_dir)
    assert nobody.pw_gid in found.groups


def test_a_drop_in_names_the_user(unit: Path) -> None:
    """As systemd reads it: what comes later counts."""
    drop_in = unit.with_name(f"{unit.name}.d") / "user.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nUser=daemon\n")

    assert name_of(NAMED) == "daemon"


@pytest.mark.parametrize(
    "environ", [{}, {"JOBSYNC_DATABASE_URL": "embedded:/srv/x"}, {"JOBSYNC_DATABASE_URL": "wrong"}]
)
def test_without_a_named_database_root_stays_root(unit: Path, environ: dict[str, str]) -> None:
    """A private server is the user's own; what is wrong, the command itself says."""
    assert name_of({**environ, "JOBSYNC_CONFIG": os.devnull}) is None


def test_elsewhere_root_stays_root(unit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user is nobody else; a user that is gone cannot be acted as; without units there is no server."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert name_of(NAMED) is None
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    unit.write_text("[Service]\nUser=no-such-user\n")
    assert name_of(NAMED) is None
    unit.unlink()
    assert name_of(NAMED) is None


@root_only
def test_lent_for_a_part_root_is_root_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens meanwhile; HOME leads where the user's certificates are, and back."""
    monkeypatch.setenv("HOME", "/root")
    nobody = pwd.getpwnam("nobody")
    account = Account("nobody", nobody.pw_uid, nobody.pw_gid, "/nonexistent", (nobody.pw_gid,))
    before = (os.geteuid(), os.getegid(), os.getgroups(), os.environ["HOME"])

    with suppress(ZeroDivisionError), account.lent():
        seen = (os.geteuid(), os.getegid(), os.getgroups(), os.environ["HOME"])
        raise ZeroDivisionError

    assert seen == (nobody.pw_uid, nobody.pw_gid, [nobody.pw_gid], "/nonexistent")
    assert before == (os.geteuid(), os.getegid(), os.getgroups(), os.environ["HOME"])


@root_only
def test_a_program_that_the_user_cannot_read_is_seen(tmp_path: Path) -> None:
    """Before anything is given up: it could import nothing more."""
    nobody = pwd.getpwnam("nobody")
    account = Account("nobody", nobody.pw_uid, nobody.pw_gid, "/nonexistent", (nobody.pw_gid,))
    closed = tmp_path / "closed"
    closed.touch(mode=0o600)

    assert (account.sees(closed), account.sees(Path("/etc/passwd"))) == (False, True)


@root_only
def test_what_root_became_it_stays() -> None:
    """Real, effective and saved user: there is no way back, nor root's groups, home or folder."""
    nobody = pwd.getpwnam("nobody")
    uid, gid = nobody.pw_uid, nobody.pw_gid
    ran = subprocess.run(
        [sys.executable, "-c", _BECOME, "nobody", str(uid), str(gid)], capture_output=True, text=True, check=True
    )

    assert ran.stdout.strip() == f"{(uid,) * 3} {(gid,) * 3} [{gid}] /nonexistent nobody /"
