"""The private server as the program uses it: where it lies, and what its errors are to a command."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from jobsync.db import embedded
from jobsync.errors import ConfigurationProblem, ExitCode, Unavailable
from jobsync.private_postgres.guardian import ServerNotStarted


def test_default_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_DATA_HOME, else HOME, else the account's; and a sentence where there is none."""
    assert embedded.default_folder({"XDG_DATA_HOME": "/data"}) == Path("/data/jobsync/postgres")
    assert embedded.default_folder({"XDG_DATA_HOME": "relative", "HOME": "/home/a"}) == Path(
        "/home/a/.local/share/jobsync/postgres"
    )
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises(ConfigurationProblem, match="JOBSYNC_DATABASE_URL=embedded:/path"):
        embedded.default_folder({})


def test_what_is_not_allowed_is_a_matter_of_configuration(tmp_path: Path) -> None:
    """The sentence of the room, and where else the database may be; exit code 78."""
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(
        ConfigurationProblem, match=r"is a file, not a folder; elsewhere: JOBSYNC_DATABASE_URL="
    ) as caught:
        embedded.acquire(file)

    assert ExitCode.CONFIGURATION == caught.value.exit_code


def test_what_did_not_start_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence of the room as it is; exit code 69."""

    def fail(*_: object, **__: object) -> None:
        raise ServerNotStarted("the disk is full")

    monkeypatch.setattr(embedded, "_acquire", fail)
    with pytest.raises(Unavailable, match="the disk is full") as caught:
        embedded.acquire(tmp_path)

    assert ExitCode.UNAVAILABLE == caught.value.exit_code


def test_temporary_server_has_ended_before_its_folder_is_removed() -> None:
    """Nothing is written any more into a folder that is being removed, and nothing of it is left."""
    with embedded.acquire_temporary("jobsync-test-") as (folder, _):
        server = json.loads((folder / "postgres" / "server.json").read_text())["server"]

    assert (Path(f"/proc/{server}").exists(), folder.exists()) == (False, False)
