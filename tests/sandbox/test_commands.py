"""`jobsync sandbox documents`."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobsync.fiscal.access_key import parse_access_key
from tests.commands.support import Cli


def test_documents_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It writes a file for each document and tells keys and issuers, without any database."""
    ran = Cli({}, capsys)("sandbox", "documents", str(tmp_path / "d"), "--count", "7", "--rich", "--json")

    assert ran.code == 0
    assert sorted(f"{key}.xml" for key in ran.json["documents"]) == sorted(p.name for p in (tmp_path / "d").iterdir())
    assert {parse_access_key(key).environment for key in ran.json["documents"]} == {"test"}
    assert set(ran.json["issuers"]) == {parse_access_key(key).ruc for key in ran.json["documents"]}


def test_documents_command_for_a_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says how to make the issuers known."""
    ran = Cli({}, capsys)("sandbox", "documents", str(tmp_path), "--environment", "production")

    assert ran.code == 0
    assert ran.out.startswith("12 documents in ")
    assert "jobsync tenant add " in ran.out
    assert "--environment production" in ran.out


@pytest.mark.parametrize("more", [["--environment", "mars"], ["--count", "0"]])
def test_wrong_wishes(more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be is a wrong command line, and writes nothing."""
    assert Cli({}, capsys)("sandbox", "documents", str(tmp_path / "d"), *more).code == 2
    assert not (tmp_path / "d").exists()


def test_folder_that_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that cannot be made is told in one sentence."""
    ran = Cli({}, capsys)("sandbox", "documents", "/dev/null/x")

    assert (ran.code, "cannot write to /dev/null/x" in ran.err) == (2, True)
