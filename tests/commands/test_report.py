"""jobsync report and metrics as files: whole or not there; pages about one dealership or tenant."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.commands.support import Cli
from tests.watch.support import (
    add_dealership,
    add_invoices,
    add_tenant,
)

Connection = psycopg.Connection[Any]


def test_files_are_whole_or_not_there(cli: Cli, tmp_path: Path) -> None:
    """Written beside and renamed; a folder that is none is one sentence."""
    assert 0 == cli("metrics", "-o", str(tmp_path / "jobsync.prom")).code
    assert 0 == cli("report", "-o", str(tmp_path / "r.html")).code
    ran = cli("report", "-o", str(tmp_path / "no" / "r.html"))

    assert ["jobsync.prom", "r.html"] == sorted(path.name for path in tmp_path.iterdir())
    assert 1 == ran.code
    assert "cannot write" in ran.err


def test_a_device_or_a_link_is_written_to_and_never_replaced(cli: Cli, tmp_path: Path) -> None:
    """`-o /dev/stdout`, a pipe, a link to the real file: each is what it was afterwards."""
    pipe, link, real = tmp_path / "pipe", tmp_path / "link", tmp_path / "real"
    os.mkfifo(pipe)
    link.symlink_to(real)
    real.write_text("old")
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    codes = [cli("metrics", "-o", str(place)).code for place in (pipe, link)]
    reader.join(10)

    assert [0, 0] == codes
    assert "jobsync_up 1" in got[0]
    assert "jobsync_up 1" in real.read_text()
    assert (True, True) == (pipe.is_fifo(), link.is_symlink())
    assert 2 == cli("metrics", "-o", str(tmp_path)).code


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--dealership", "999"), "no dealership 999"),
        (("--tenant", "1790012345001"), "no tenant 1790012345001"),
        (("--dealership", "1", "--tenant", "1790012345001"), "one of them"),
    ],
)
def test_a_page_about_nobody_is_refused(
    arguments: tuple[str, ...], said: str, cli: Cli, connection: Connection, tmp_path: Path
) -> None:
    """Exit 2, and no file."""
    add_dealership(connection)
    ran = cli("report", "-o", str(tmp_path / "page.html"), *arguments)

    assert (2, True, False) == (ran.code, said in ran.err, (tmp_path / "page.html").exists())


def test_a_page_about_one_dealership_tells_of_no_other(cli: Cli, connection: Connection, tmp_path: Path) -> None:
    """Its standing, its syncs and its alerts."""
    first = add_dealership(connection, "Wanted Motors", failed="the account is not known")
    add_dealership(connection, "Another Yard", failed="quite another thing")
    for number, text in ((first, "it is told"), (first + 1, "that is told")):
        connection.execute(
            "INSERT INTO alerts (subject, kind, text) VALUES (%s, 'failing', %s)", [f"dealership {number}", text]
        )
    connection.execute("UPDATE easycar_sync_logs SET synced_at = now()")
    page = tmp_path / "page.html"
    ran = cli("report", "-o", str(page), "--dealership", str(first))
    text = page.read_text()

    assert (0, 0o640) == (ran.code, page.stat().st_mode & 0o777)
    assert all(words in text for words in ("Wanted Motors", "the account is not known", "it is told"))
    assert not any(words in text for words in ("Another Yard", "quite another thing", "that is told"))


def test_a_page_about_one_tenant_tells_of_its_documents(cli: Cli, connection: Connection, tmp_path: Path) -> None:
    """Those about which something was learnt, and of no other tenant's."""
    mine = add_tenant(connection, name="Mine S.A.")
    other = add_tenant(connection, "1790012352001", "Other S.A.")
    add_invoices(connection, mine, 2)
    add_invoices(connection, other, 2)
    connection.execute("UPDATE invoices SET updated_at = now()")
    keys = [[row[0] for row in connection.execute("SELECT access_key FROM invoices WHERE tenant_id = %s", [tenant])]
            for tenant in (mine, other)]  # fmt: skip
    page = tmp_path / "page.html"
    assert 0 == cli("report", "-o", str(page), "--tenant", "1790012345001").code
    text = page.read_text()

    assert "Other S.A." not in text
    assert [2, 0] == [sum(key in text for key in of) for of in keys]
