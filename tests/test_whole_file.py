"""A new file, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobsync.whole_file import write_new


def test_a_link_in_the_drafts_place_is_not_written_through(tmp_path: Path) -> None:
    """It goes, and what it leads to stays as it is."""
    (tmp_path / "other").write_bytes(b"kept")
    (tmp_path / "draft").symlink_to("other")
    write_new(tmp_path / "draft", b"new", most=0o640, place=tmp_path / "file")

    assert (b"kept", b"new") == ((tmp_path / "other").read_bytes(), (tmp_path / "file").read_bytes())
    assert {"other", "file"} == {path.name for path in tmp_path.iterdir()}


def test_a_file_that_finds_no_place_leaves_nothing(tmp_path: Path) -> None:
    """Neither half a file nor a draft stays, and what is in its place does."""
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_new(tmp_path / "draft", b"new", most=0o640, place=tmp_path / "file")

    assert ["file"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(("mode", "found"), [(None, 0o600), (0o644, 0o644)])
def test_permissions(mode: int | None, found: int, tmp_path: Path) -> None:
    """The umask takes from those that are at most given, not from those that are exactly asked for."""
    before = os.umask(0o077)
    try:
        write_new(tmp_path / "file", b"new", most=0o640, mode=mode)
    finally:
        os.umask(before)

    assert found == (tmp_path / "file").stat().st_mode & 0o777
