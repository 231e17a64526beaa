"""Who did it: the audit keeps the person who logged in."""

# Expected stands before actual.

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from jobsync.db import audit


@pytest.mark.parametrize(
    ("sudo", "login", "actor"),
    [
        ("ana", "root", "ana"),
        ("ana", None, "ana"),
        ("root", "ana", "ana"),
        (None, "ana", "ana"),
        (None, "root", "root"),
        (None, None, "jobsync"),
        ("", None, "jobsync"),
    ],
)
def test_audit_keeps_the_person(
    monkeypatch: pytest.MonkeyPatch, sudo: str | None, login: str | None, actor: str
) -> None:
    """Who became the service's user, through sudo or through root; the user itself where nobody logged in."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    if sudo is not None:
        monkeypatch.setenv("SUDO_USER", sudo)
    monkeypatch.setattr(audit, "_login_name", lambda: login)
    monkeypatch.setattr("getpass.getuser", lambda: "jobsync")

    assert actor == audit.actor()


@pytest.mark.parametrize(("uid", "login"), [("0", pwd.getpwuid(0).pw_name), ("4294967295", None), ("987654321", None)])
def test_login_is_what_the_kernel_keeps(monkeypatch: pytest.MonkeyPatch, uid: str, login: str | None) -> None:
    """Through su and runuser; nobody logged in for a service, and a number may have no name."""
    monkeypatch.setattr(Path, "read_text", lambda _path: f"{uid}")
    monkeypatch.setattr(os, "getlogin", _nobody)

    assert login == audit._login_name()


def _nobody() -> str:
    raise OSError
