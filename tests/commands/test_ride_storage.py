"""A storage that is not there, or somebody else's, and files that are lost: whole commands."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from jobsync.ride import job, store
from jobsync.ride.files import MARKER
from tests.commands.support import Cli, Rows
from tests.commands.test_rides import Authorized, agree, cli, place, put, storage  # noqa: F401 - fixtures
from tests.sri.documents import OTHER_RUC, RUC, make_key

Connection = psycopg.Connection[tuple[object, ...]]
KEYS = [make_key(number) for number in range(4)]
# what a restored file must leave as it is; xmin tells of any write at all
ROWS = "SELECT id, xmin::text, ride_path, ride_sha256, ride_generated_at, ride_attempts FROM invoices ORDER BY id"
IDENTITY = "SELECT id::text FROM database_identity"


@pytest.fixture
def printed(cli: Cli, put: Authorized) -> Cli:  # noqa: F811
    """Four printed documents."""
    put(*KEYS)
    assert cli("generate-ride").code == 0
    return cli


@pytest.fixture
def unmounted(printed: Cli, storage: Path, put: Authorized) -> Cli:  # noqa: F811
    """Their storage is not mounted: the mount point is an empty folder; one document more is due."""
    storage.rename(storage.with_name("disk"))
    storage.mkdir()
    put(make_key(9))
    return printed


def marker(root: Path) -> str:
    """Return the id in the marker."""
    return (root / MARKER).read_text().split()[0]


def test_the_first_file_marks_the_storage(printed: Cli, storage: Path, rows: Rows) -> None:  # noqa: F811
    """With the id of the database, which is made once."""
    assert rows(IDENTITY) == [(marker(storage),)]


FORMS = [
    ["--scheduled"],
    [],
    ["--missing"],
    ["--force", "--tenant", RUC],
    ["--access-key", make_key(9)],
    ["--force", "--access-key", KEYS[0]],
]


def test_a_disk_that_is_not_mounted_holds_every_form(unmounted: Cli, storage: Path, rows: Rows) -> None:  # noqa: F811
    """Exit 3, held; nothing is written to the mount point, and no row is changed or charged an attempt."""
    before = rows(ROWS)

    for form in FORMS:
        ran = unmounted("generate-ride", *form, "--json")

        assert (ran.code, ran.json["status"], ran.json["counts"]["succeeded"]) == (3, "held", 0), form
        assert "not mounted" in ran.json["error"]
        assert rows(ROWS) == before
        assert list(storage.iterdir()) == []


def test_a_disk_that_is_not_mounted_holds_what_has_nothing_to_do(printed: Cli, storage: Path) -> None:  # noqa: F811
    """A run by hand says so too."""
    shutil.rmtree(storage)

    ran = printed("generate-ride", "--json")

    assert (ran.code, ran.json["status"], ran.json["items"]) == (3, "held", [])


def test_screens_and_doctor_say_what_to_do_about_the_disk(unmounted: Cli) -> None:
    """Mount it, or say that it is new; not that something is full."""
    assert unmounted("generate-ride").code == 3

    for said in (unmounted("status"), unmounted("health"), unmounted("doctor", "--offline")):
        assert "not mounted" in said.out
        assert "jobsync storage claim; then jobsync generate-ride --missing" in " ".join(said.out.split())


def test_it_goes_on_by_itself_when_it_is_mounted(unmounted: Cli, storage: Path, rows: Rows) -> None:  # noqa: F811
    """The next tick does what was due."""
    assert unmounted("generate-ride", "--scheduled").code == 3
    storage.rmdir()
    storage.with_name("disk").rename(storage)

    assert unmounted("generate-ride").code == 0
    assert agree(storage, rows) == 5
    assert "not mounted" not in unmounted("health").out


def test_the_storage_of_another_database_is_refused(
    printed: Cli,
    storage: Path,  # noqa: F811
    connection: Connection,
    rows: Rows,
    put: Authorized,  # noqa: F811
) -> None:
    """Also by one that has no files yet; its remedy is another one."""
    connection.execute("UPDATE database_identity SET id = gen_random_uuid()")
    connection.execute("UPDATE invoices SET ride_path = NULL, ride_generated_at = NULL, ride_next_at = now()")
    before, found = rows(ROWS), marker(storage)

    ran = printed("generate-ride", "--scheduled", "--json")
    health = printed("health")
    doctor = printed("doctor", "--offline", "--json")

    assert (ran.code, ran.json["status"]) == (3, "held")
    assert (rows(ROWS), marker(storage)) == (before, found)
    assert "another database" in health.out
    assert "do not belong together" in health.out
    [line] = [line for line in doctor.json["findings"] if line["name"] == "storage" and line["level"] == "problem"]
    assert "do not belong together" in line["what_to_do"]


def test_an_installation_of_before_markers_is_marked(printed: Cli, storage: Path, rows: Rows) -> None:  # noqa: F811
    """Its storage is known by a file that is as it was written, though others are lost."""
    (storage / MARKER).unlink()
    for key in KEYS[1:]:
        place(storage, key).unlink()
    assert [line["level"] for line in printed("doctor", "--offline", "--json").json["findings"] if
            line["name"] == "storage"] == ["ok"]  # fmt: skip

    assert printed("generate-ride", "--missing").code == 0
    assert rows(IDENTITY) == [(marker(storage),)]
    assert agree(storage, rows) == 4


def test_a_new_storage_is_claimed_and_filled_again(unmounted: Cli, storage: Path, rows: Rows) -> None:  # noqa: F811
    """Two commands; the rows of files that are the same byte for byte stay as they are."""
    before = rows(ROWS)
    claimed = unmounted("storage", "claim", "--json")
    again = unmounted("storage", "claim")

    restored = unmounted("generate-ride", "--missing", "--json")

    assert (claimed.code, again.code, claimed.json["before"]) == (0, 0, None)
    assert (restored.code, restored.json["counts"]["succeeded"]) == (0, 4)
    assert rows(ROWS) == before
    assert agree(storage, rows) == 4
    assert rows("SELECT action FROM audit WHERE action LIKE 'storage%'") == [("storage.claim",)]


def test_a_claim_that_cannot_be_recorded_is_not_made(unmounted: Cli, storage: Path, connection: Connection) -> None:  # noqa: F811
    """The audit knows of every marker that was written anew."""
    connection.execute("ALTER TABLE audit ADD CONSTRAINT no_claims CHECK (action <> 'storage.claim')")
    ran = unmounted("storage", "claim")

    assert ran.code != 0
    assert not (storage / MARKER).exists()


def test_taking_another_databases_storage_needs_a_yes(
    printed: Cli,
    storage: Path,  # noqa: F811
    connection: Connection,
    rows: Rows,
) -> None:
    """Without a terminal to ask on, --yes; nothing is done without it."""
    connection.execute("UPDATE database_identity SET id = gen_random_uuid()")
    before = marker(storage)

    refused = printed("storage", "claim")
    after = marker(storage)
    taken = printed("storage", "claim", "--yes", "--json")

    assert (refused.code, after) == (2, before)
    assert (taken.code, taken.json["before"], rows(IDENTITY)) == (0, before, [(marker(storage),)])


def test_a_disk_that_goes_in_the_middle_of_a_run(
    cli: Cli,  # noqa: F811
    storage: Path,  # noqa: F811
    rows: Rows,
    put: Authorized,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No file is written after it; what was not begun remains, and nobody is charged."""
    from jobsync.ride import render as module

    real, drawn = module.render, []

    def render(*arguments: object, **more: object) -> object:
        drawn.append(1)
        if len(drawn) == 2:
            storage.rename(storage.with_name("disk"))
            storage.mkdir()
        return real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "render", render)
    monkeypatch.setattr(job, "AT_ONCE", 1)
    put(*KEYS)

    ran = cli("generate-ride", "--json")

    assert (ran.code, ran.json["status"]) == (3, "held")
    assert list(storage.iterdir()) == []
    assert rows("SELECT count(*) FROM invoices WHERE ride_generated_at IS NULL AND ride_attempts > 0") == [(0,)]


# --- lost files ------------------------------------------------------------------------------------------------------


def test_lost_files_are_rendered_again(printed: Cli, storage: Path, rows: Rows) -> None:  # noqa: F811
    """Missing and altered ones, no other; each row stays as it is, since the file is the same."""
    before = rows(ROWS)
    untouched = place(storage, KEYS[0]).stat().st_ino  # a file that is rendered again is another
    place(storage, KEYS[1]).unlink()
    place(storage, KEYS[2]).write_bytes(b"altered")
    doctor = printed("doctor", "--offline").out

    ran = printed("generate-ride", "--missing", "--json")
    again = printed("generate-ride", "--missing", "--json")

    assert "jobsync generate-ride --missing" in doctor
    assert printed("generate-ride", "--missing").out.startswith("no file is missing or altered\n")
    assert (ran.code, ran.json["counts"]["eligible"]) == (0, 2)
    assert sorted(item["access_key"] for item in ran.json["items"]) == sorted(KEYS[1:3])
    assert {item["status"] for item in ran.json["items"]} == {"rendered"}
    assert rows(ROWS) == before
    assert place(storage, KEYS[0]).stat().st_ino == untouched
    assert agree(storage, rows) == 4
    assert (again.code, again.json["items"]) == (0, [])


def test_what_is_due_is_no_lost_file(printed: Cli, put: Authorized, rows: Rows) -> None:  # noqa: F811
    """A document that has no file yet waits for the run whose turn it is."""
    put(make_key(9))

    ran = printed("generate-ride", "--missing", "--json")

    assert (ran.code, ran.json["items"]) == (0, [])
    assert rows("SELECT count(*) FROM invoices WHERE ride_path IS NULL") == [(1,)]


def test_lost_files_of_one_tenant_and_so_many(
    cli: Cli,  # noqa: F811
    storage: Path,  # noqa: F811
    put: Authorized,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """--tenant and --limit do as elsewhere, over however many pages; the rest remains."""
    monkeypatch.setattr(store, "_PAGE", 2)
    monkeypatch.setattr(job.GenerateRide, "most", 2)
    assert cli("tenant", "add", OTHER_RUC, "La Otra").code == 0
    put(*KEYS, make_key(9, ruc=OTHER_RUC))
    assert cli("generate-ride").code == 0
    for file in storage.rglob("*.pdf"):
        file.unlink()

    other = cli("generate-ride", "--missing", "--tenant", OTHER_RUC, "--json")
    some = cli("generate-ride", "--missing", "--limit", "3", "--json")
    rest = cli("generate-ride", "--missing", "--json")

    assert [item["access_key"] for item in other.json["items"]] == [make_key(9, ruc=OTHER_RUC)]
    assert (len(some.json["items"]), some.json["counts"]["remaining"]) == (3, 1)
    assert (rest.code, len(rest.json["items"])) == (0, 1)


def test_a_page_that_has_changed_takes_its_row_along(
    printed: Cli,
    storage: Path,  # noqa: F811
    rows: Rows,
    connection: Connection,
) -> None:
    """Where the stored XML is another by now, the row says what the new file is."""
    place(storage, KEYS[0]).unlink()
    connection.execute("UPDATE invoices SET authorized_at = '2026-11-02 15:00+00'")

    assert printed("generate-ride", "--missing").code == 0
    assert agree(storage, rows) == 4


@pytest.mark.parametrize(
    "arguments",
    [["--missing", "--force", "--tenant", RUC], ["--missing", "--scheduled"], ["--missing", "--tenant", OTHER_RUC]],
    ids=" ".join,
)
def test_missing_goes_with_neither_force_nor_scheduled(cli: Cli, arguments: list[str]) -> None:  # noqa: F811
    """Exit 2 before anything else."""
    assert cli("generate-ride", *arguments).code == 2


def test_a_lost_file_that_cannot_be_rendered_again_fails_and_is_retried(
    printed: Cli,
    storage: Path,  # noqa: F811
    rows: Rows,
    connection: Connection,
) -> None:
    """Its row goes on naming the file; once the cause is gone, `runs retry` renders that one."""
    place(storage, KEYS[0]).unlink()
    place(storage, KEYS[1]).unlink()
    good = connection.execute(
        "SELECT d.authorized_xml FROM invoice_documents d JOIN invoices i ON i.id = d.invoice_id WHERE access_key = %s",
        [KEYS[0]],
    ).fetchone()
    spoilt = "UPDATE invoice_documents SET authorized_xml = %s FROM invoices WHERE id = invoice_id AND access_key = %s"
    connection.execute(spoilt, [b"<factura>", KEYS[0]])
    before = rows(ROWS)

    ran = printed("generate-ride", "--missing", "--json")
    assert good is not None
    connection.execute(spoilt, [good[0], KEYS[0]])
    retried = printed("runs", "retry", ran.json["run_id"], "--json")

    assert (ran.code, sorted(item["status"] for item in ran.json["items"])) == (3, ["failed", "rendered"])
    assert [(item["access_key"], item["status"]) for item in retried.json["items"]] == [(KEYS[0], "rendered")]
    assert (retried.code, rows(ROWS)) == (0, before)
    assert agree(storage, rows) == 4


def test_killed_between_the_file_and_the_commit(
    printed: Cli,
    storage: Path,  # noqa: F811
    rows: Rows,
    environ: dict[str, str],
) -> None:
    """The file is in its place and the row true all the same; the next run does the rest."""
    before = rows(ROWS)
    for key in KEYS:
        place(storage, key).unlink()
    code = (
        "import os; from jobsync.ride.files import Storage; real = Storage.place\n"
        "def place(self, *rest):\n    real(self, *rest)\n    os.kill(os.getpid(), 9)\n"
        "Storage.place = place\n"
        "from jobsync.cli.main import run; run(['generate-ride', '--missing'])"
    )
    killed = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True)
    there = len(list(storage.rglob("*_ride.pdf")))

    assert (killed.returncode, 1 <= there < 4) == (-signal.SIGKILL, True)
    ran = printed("generate-ride", "--missing", "--json")
    assert (ran.code, ran.json["counts"]["succeeded"]) == (0, 4 - there)
    assert rows(ROWS) == before
    assert agree(storage, rows) == 4


def test_two_at_once(printed: Cli, storage: Path, connection: Connection) -> None:  # noqa: F811
    """The second finds the lock taken: 75."""
    from jobsync.runner.lock import lock_key

    place(storage, KEYS[0]).unlink()
    connection.execute("SELECT pg_advisory_lock(%s)", [lock_key("generate-ride")])

    assert printed("generate-ride", "--missing").code == 75


def test_a_run_that_is_stopped_counts_what_it_did(
    printed: Cli,
    storage: Path,  # noqa: F811
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After Ctrl-C: 130, the files that are there again, and how many remain."""
    from jobsync.ride import render as module

    real: Callable[..., object] = module.render

    def render(*arguments: object, **more: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return real(*arguments, **more)

    monkeypatch.setattr(module, "render", render)
    for key in KEYS:
        place(storage, key).unlink()

    ran = printed("generate-ride", "--missing", "--json")

    done = len(list(storage.rglob("*_ride.pdf")))
    assert (ran.code, ran.json["status"]) == (130, "cancelled")
    assert (ran.json["counts"]["succeeded"], ran.json["counts"]["remaining"]) == (done, 4 - done)
    assert done < 4
