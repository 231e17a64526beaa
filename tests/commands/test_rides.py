"""Whole commands of RIDE rendering: files whole or not there, rows that say what the files are."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from jobsync.ride import job
from tests.commands.support import Cli, Rows, command, finish, until
from tests.sri.documents import OTHER_RUC, RUC, authorized, invoice, make_key

Connection = psycopg.Connection[tuple[object, ...]]
Authorized = Callable[..., None]


@pytest.fixture
def storage(tmp_path: Path, environ: dict[str, str]) -> Path:
    """The root folder of RIDE files."""
    environ["JOBSYNC_STORAGE"] = str(tmp_path / "rides")
    return tmp_path / "rides"


@pytest.fixture
def cli(environ: dict[str, str], storage: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Commands in a database with one tenant, without a pause between documents."""
    cli = Cli(environ, capsys)
    assert cli("tenant", "add", RUC, "Emisora Inventada", "--environment", "test").code == 0
    assert cli("settings", "set", "ride_delay_ms", "0").code == 0
    return cli


@pytest.fixture
def put(connection: Connection) -> Authorized:
    """Insert authorized documents as a check would have left them."""

    def put(*keys: str, xml: bytes | None = None) -> None:
        for key in keys:
            connection.execute(
                "WITH new AS (INSERT INTO invoices (tenant_id, access_key, status, authorized_at)"
                " SELECT id, %s, 'authorized', '2026-11-01 15:00+00' FROM tenants WHERE ruc = %s RETURNING id)"
                " INSERT INTO invoice_documents (invoice_id, authorized_xml) SELECT id, %s FROM new",
                [key, key[10:23], xml if xml is not None else invoice(key)],
            )

    return put


def place(storage: Path, key: str) -> Path:
    """Return where the contract wants the file."""
    return storage / f"tenant-1/invoices/2026/11/{key}_ride.pdf"


def agree(storage: Path, rows: Rows) -> int:
    """Check that every row's hash is its file's and that no other file lies there; returns how many."""
    found = rows("SELECT ride_path, ride_sha256 FROM invoices WHERE ride_generated_at IS NOT NULL")
    assert {str(storage / path) for path, _ in found} == {str(path) for path in storage.rglob("*.pdf")}
    for path, sha256 in found:
        assert hashlib.sha256((storage / path).read_bytes()).hexdigest() == sha256
    return len(found)


def test_authorized_documents_get_their_file(cli: Cli, storage: Path, rows: Rows, put: Authorized) -> None:
    """Path, hash and size are told, stored and true; the second run finds nothing."""
    keys = [make_key(number) for number in range(3)]
    put(*keys)

    first = cli("generate-ride", "--json")
    second = cli("generate-ride", "--json")

    assert (first.code, first.json["status"], first.json["counts"]["succeeded"]) == (0, "succeeded", 3), first.err
    for item in first.json["items"]:
        file = place(storage, item["access_key"])
        assert (item["status"], item["tenant_ruc"]) == ("rendered", RUC)
        assert item["path"] == str(file.relative_to(storage))
        assert item["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert item["bytes"] == file.stat().st_size
    assert agree(storage, rows) == 3
    assert (second.code, second.json["items"]) == (0, [])


def test_whole_way_from_file_to_page(cli: Cli, storage: Path, tmp_path: Path) -> None:
    """A file that says AUTORIZADO is imported and printed."""
    (tmp_path / "a.xml").write_bytes(authorized(make_key(1)))
    assert cli("invoice", "import", str(tmp_path / "a.xml")).code == 0

    assert cli("generate-ride").code == 0

    assert place(storage, make_key(1)).read_bytes().startswith(b"%PDF-")
    assert "ride_path" in cli("invoice", "show", make_key(1)).out


def test_unreadable_document_is_parked_and_stops_no_other(cli: Cli, storage: Path, rows: Rows, put: Authorized) -> None:
    """The others get theirs; it says why, and is not tried again until it is forced."""
    put(make_key(1), xml=b"<factura>")
    put(make_key(2))

    ran = cli("generate-ride", "--json")
    again = cli("generate-ride", "--json")

    assert (ran.code, sorted(item["status"] for item in ran.json["items"])) == (3, ["failed", "rendered"])
    assert again.json["items"] == []
    [(error, next_at)] = rows(f"SELECT ride_error, ride_next_at FROM invoices WHERE access_key = '{make_key(1)}'")
    assert ("cannot be read" in error, next_at) == (True, None)
    assert "cannot be read" in cli("invoice", "show", make_key(1)).out
    assert agree(storage, rows) == 1


def test_document_that_crashes_the_renderer_is_tried_ever_more_rarely(
    cli: Cli, storage: Path, rows: Rows, put: Authorized, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others get theirs at once; its tries are 1, 2, 4 ... minutes apart, six hours at most."""
    from jobsync.ride import render as module

    real = module.render

    def fragile(document: Any, *rest: Any, **more: Any) -> Any:
        if document.access_key == make_key(1):
            raise ZeroDivisionError("a bug")
        return real(document, *rest, **more)

    monkeypatch.setattr(module, "render", fragile)
    put(make_key(1), make_key(2))

    assert cli("generate-ride", "--json").code == 3
    waits = []
    for _ in range(12):
        waits += rows("SELECT round(extract(epoch FROM ride_next_at - now()) / 60)::int FROM invoices WHERE id = 1")
        connection.execute("UPDATE invoices SET ride_next_at = now()")
        assert cli("generate-ride", "--json").code == 1

    assert [minutes for (minutes,) in waits] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]
    assert "ZeroDivisionError" in cli("invoice", "show", make_key(1)).out
    assert agree(storage, rows) == 1


def test_process_that_dies_says_so(cli: Cli, rows: Rows, put: Authorized, environ: dict[str, str]) -> None:
    """A document that kills the process has its attempt counted before, and its row says what happened."""
    put(make_key(1))
    code = (
        "import os; from jobsync.ride import render; render.render = lambda *a, **k: os.kill(os.getpid(), 9);"
        "from jobsync.cli.main import run; run(['generate-ride'])"
    )
    killed = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True)

    assert killed.returncode == -signal.SIGKILL
    assert rows("SELECT ride_attempts, ride_next_at > now() FROM invoices") == [(1, True)]
    assert "process died" in cli("invoice", "show", make_key(1)).out


@pytest.mark.parametrize("force", [False, True])
def test_killed_while_writing_many(
    cli: Cli, storage: Path, rows: Rows, put: Authorized, environ: dict[str, str], connection: Connection, force: bool
) -> None:
    """No half file under its final name, whatever the moment; the next run completes them, also those of --force."""
    put(*[make_key(number) for number in range(60)])
    arguments = ["generate-ride"]
    if force:
        assert cli("generate-ride").code == 0
        arguments += ["--force", "--tenant", RUC]
    unfinished = "SELECT count(*) FROM invoices WHERE ride_attempts > 0 AND ride_generated_at IS NULL"
    for delay_s in (0.0, 0.04, 0.11):
        process = command(environ, *arguments)
        until(lambda: rows(unfinished)[0][0] > 0)
        time.sleep(delay_s)
        process.kill()
        assert finish(process).code == -signal.SIGKILL
        for file in storage.rglob("*_ride.pdf"):
            assert file.read_bytes().rstrip().endswith(b"%%EOF")
        arguments = ["generate-ride"]
    connection.execute("UPDATE invoices SET ride_next_at = now() WHERE ride_generated_at IS NULL")

    assert cli("generate-ride").code == 0

    assert agree(storage, rows) == 60


def test_full_storage_charges_nobody_and_is_tried_again(
    cli: Cli, storage: Path, rows: Rows, put: Authorized, environ: dict[str, str]
) -> None:
    """The run stops with 3 and the reason; when there is room again the rest is rendered."""
    put(*[make_key(number) for number in range(6)])
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "from jobsync.cli.main import run; sys.exit(run(['generate-ride', '--json']))"
    )
    # -B: a limited file size would leave half a compiled module behind
    full = subprocess.run([sys.executable, "-B", "-c", code], env=environ, capture_output=True, text=True)
    document = json.loads(full.stdout)

    assert (full.returncode, document["status"]) == (3, "held"), full.stderr
    assert "storage" in document["items"][0]["error"]
    assert 1 <= document["counts"]["held"] <= 3  # those that were begun by then
    assert document["counts"]["remaining"] + document["counts"]["held"] == 6
    assert rows("SELECT DISTINCT ride_attempts, ride_next_at <= now() FROM invoices") == [(0, True)]
    assert list(storage.rglob("*.pdf")) == []
    assert cli("generate-ride").code == 0
    assert agree(storage, rows) == 6


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_storage_is_named(cli: Cli, storage: Path, put: Authorized) -> None:
    """A folder that cannot be written is the storage's fault, not the document's."""
    put(make_key(1))
    storage.mkdir()
    storage.chmod(0o500)

    ran = cli("generate-ride", "--json")
    storage.chmod(0o700)

    assert (ran.code, "storage" in ran.json["items"][0]["error"]) == (3, True)


def test_storage_that_is_a_file(cli: Cli, storage: Path, put: Authorized) -> None:
    """What cannot be a folder is named, and the document waits without blame."""
    put(make_key(1))
    storage.write_text("not a folder")

    ran = cli("generate-ride", "--json")

    assert (ran.code, "storage" in ran.json["items"][0]["error"]) == (3, True)


def test_link_that_leads_outside_is_not_followed(cli: Cli, storage: Path, put: Authorized, tmp_path: Path) -> None:
    """Nothing is written outside the root."""
    put(make_key(1))
    (tmp_path / "elsewhere").mkdir()
    storage.mkdir()
    (storage / "tenant-1").symlink_to(tmp_path / "elsewhere")

    ran = cli("generate-ride", "--json")

    assert (ran.code, "outside" in ran.json["items"][0]["error"]) == (3, True)
    assert list((tmp_path / "elsewhere").rglob("*.pdf")) == []


@pytest.mark.parametrize("in_the_way", ["link", "file"])
def test_place_that_cannot_be_used_stops_no_other(
    cli: Cli, storage: Path, rows: Rows, put: Authorized, tmp_path: Path, in_the_way: str
) -> None:
    """Whose folder is no folder of the storage waits, ever longer; all others get their files in the same run."""
    assert cli("tenant", "add", OTHER_RUC, "La Otra").code == 0
    put(*[make_key(number) for number in range(6)], *[make_key(number, ruc=OTHER_RUC) for number in range(6)])
    storage.mkdir()
    if in_the_way == "link":
        (storage / "tenant-1").symlink_to(tmp_path)
    else:
        (storage / "tenant-1").write_text("not a folder")

    ran = cli("generate-ride", "--json")

    assert (ran.code, ran.json["counts"]["succeeded"], ran.json["counts"]["held"]) == (3, 6, 6)
    assert rows("SELECT tenant_id, ride_generated_at IS NOT NULL, count(*) FROM invoices GROUP BY 1, 2 ORDER BY 1") == [
        (1, False, 6),
        (2, True, 6),
    ]
    waiting = "SELECT DISTINCT ride_attempts, ride_next_at > now(), ride_error ~ 'storage' FROM invoices"
    assert rows(f"{waiting} WHERE tenant_id = 1") == [(1, True, True)]


def test_force_renders_anew(cli: Cli, storage: Path, rows: Rows, put: Authorized) -> None:
    """Only what is named; the file is the same, byte for byte, since the document is."""
    put(make_key(1), make_key(2))
    assert cli("generate-ride").code == 0
    before = place(storage, make_key(1)).read_bytes()
    place(storage, make_key(1)).write_bytes(b"altered")

    plain = cli("generate-ride", "--access-key", make_key(1), "--json")
    forced = cli("generate-ride", "--access-key", make_key(1), "--force", "--json")

    assert (plain.code, plain.json["items"][0]["status"]) == (0, "skipped")
    assert (forced.code, [item["status"] for item in forced.json["items"]]) == (0, ["rendered"])
    assert place(storage, make_key(1)).read_bytes() == before
    assert agree(storage, rows) == 2


def test_named_document_is_rendered_before_its_time(cli: Cli, put: Authorized, connection: Connection) -> None:
    """--access-key acts now even if not due."""
    put(make_key(1))
    connection.execute("UPDATE invoices SET ride_next_at = now() + interval '1 hour', ride_attempts = 3")

    ran = cli("generate-ride", "--access-key", make_key(1), "--json")

    assert [item["status"] for item in ran.json["items"]] == ["rendered"]


def test_document_without_authorization_gets_none(cli: Cli, put: Authorized, connection: Connection) -> None:
    """A named one is skipped with the reason; exit 3."""
    put(make_key(1))
    connection.execute("UPDATE invoices SET status = 'pending_authorization'")

    ran = cli("generate-ride", "--access-key", make_key(1), "--json")

    assert (ran.code, ran.json["items"][0]["status"], ran.json["items"][0]["reason"]) == (
        3,
        "skipped",
        "not_authorized",
    )


def test_limit_leaves_the_rest(cli: Cli, put: Authorized) -> None:
    """What is beyond the limit remains."""
    put(*[make_key(number) for number in range(5)])

    ran = cli("generate-ride", "--limit", "2", "--json")

    assert (len(ran.json["items"]), ran.json["counts"]["remaining"]) == (2, 3)


def test_tenant_option_only_filters(cli: Cli, put: Authorized) -> None:
    """Others' documents wait."""
    assert cli("tenant", "add", OTHER_RUC, "La Otra").code == 0
    put(make_key(1), make_key(2, ruc=OTHER_RUC))

    ran = cli("generate-ride", "--tenant", OTHER_RUC, "--json")

    assert [item["access_key"] for item in ran.json["items"]] == [make_key(2, ruc=OTHER_RUC)]


@pytest.fixture
def unfinished(storage: Path) -> Path:
    """The folder of files that are not in their place yet."""
    folder = storage / ".unfinished"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def dead_run(connection: Connection) -> str:
    """A run whose row says running, and whose process is gone."""
    run_id = str(uuid4())
    connection.execute(
        "INSERT INTO job_runs (id, job, trigger, host, pid, version)"
        " VALUES (%s, 'generate-ride', 'timer', 'h', 1, '1')",
        [run_id],
    )
    return run_id


def test_strays_of_dead_runs_are_swept(cli: Cli, unfinished: Path, dead_run: str, put: Authorized) -> None:
    """What a killed run left unfinished goes with the next."""
    put(make_key(1))
    (unfinished / f"{dead_run}-{make_key(1)}.pdf").write_bytes(b"half")

    assert cli("generate-ride").code == 0

    assert list(unfinished.iterdir()) == []


def test_nothing_else_is_swept(cli: Cli, unfinished: Path, dead_run: str, put: Authorized) -> None:
    """Other names, a run that another database may know, a link and a folder with a dead run's name stay."""
    put(make_key(1))
    elsewhere = unfinished.parent / "elsewhere.pdf"
    elsewhere.write_bytes(b"precious")
    (unfinished / "precious.pdf").write_bytes(b"precious")
    (unfinished / f"{uuid4()}-{make_key(1)}.pdf").write_bytes(b"half")
    (unfinished / f"{dead_run}-{make_key(2)}.pdf").symlink_to(elsewhere)
    (unfinished / f"{dead_run}-{make_key(3)}.pdf").mkdir()
    before = sorted(unfinished.iterdir())

    assert cli("generate-ride").code == 0

    assert before == sorted(unfinished.iterdir())
    assert elsewhere.read_bytes() == b"precious"


def test_a_link_in_place_of_the_folder_is_not_followed(
    cli: Cli, storage: Path, tmp_path: Path, dead_run: str, put: Authorized
) -> None:
    """Files behind it are neither removed nor written; the run says what to remove, and charges nobody an attempt."""
    put(make_key(1))
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / f"{dead_run}-{make_key(1)}.pdf").write_bytes(b"precious")
    storage.mkdir(exist_ok=True)
    (storage / ".unfinished").symlink_to(foreign)

    ran = cli("generate-ride", "--json")

    assert (3, True) == (ran.code, f"remove it: rm {storage}/.unfinished" in ran.err)
    assert [path.name for path in foreign.iterdir()] == [f"{dead_run}-{make_key(1)}.pdf"]


@pytest.mark.parametrize(("umask", "file", "folder"), [(0, 0o640, 0o750), (0o077, 0o600, 0o700)])
def test_files_are_for_their_owner_and_group_at_most(
    umask: int, file: int, folder: int, cli: Cli, storage: Path, put: Authorized
) -> None:
    """Whatever the umask allows: documents name customers and what they bought."""
    put(make_key(1))
    before = os.umask(umask)
    try:
        assert cli("generate-ride").code == 0
    finally:
        os.umask(before)

    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in storage.rglob("*")}
    assert {False: file, True: folder} == modes
    assert len({path.stat().st_mode for path in storage.rglob("*") if path.is_dir()}) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--force"], 2, "--force"),
        (["--scheduled", "--force", "--tenant", RUC], 2, "--scheduled"),
        (["--access-key", make_key(9)], 2, "no document"),
        (["--tenant", OTHER_RUC], 2, "no tenant"),
    ],
)
def test_bad_words_are_named(cli: Cli, arguments: list[str], code: int, words: str) -> None:
    """One sentence says what was expected."""
    ran = cli("generate-ride", *arguments, "--json")

    assert (ran.code, words in ran.json["error"]) == (code, True)


def test_storage_must_be_named_with_a_named_database(cli: Cli) -> None:
    """So that a unit and a hand run never differ: 78."""
    del cli.environ["JOBSYNC_STORAGE"]

    ran = cli("generate-ride", "--scheduled")

    assert (ran.code, "JOBSYNC_STORAGE" in ran.err) == (78, True)


def test_switched_off_renders_nothing(cli: Cli, put: Authorized) -> None:
    """The global switch ends every form of the job."""
    put(make_key(1))
    assert cli("settings", "set", "ride_enabled", "no").code == 0

    ran = cli("generate-ride", "--json")

    assert (ran.code, ran.json["status"]) == (0, "disabled")


def test_logo_that_is_gone_is_only_a_warning(cli: Cli, put: Authorized, connection: Connection, storage: Path) -> None:
    """The page is printed without it."""
    put(make_key(1))
    connection.execute("UPDATE tenants SET logo_path = '/nowhere/logo.png'")

    ran = cli("generate-ride", "--json")

    assert (ran.code, "logo" in ran.err, place(storage, make_key(1)).is_file()) == (0, True, True)


def test_logo_that_is_a_pipe_is_not_waited_for(
    cli: Cli, put: Authorized, connection: Connection, tmp_path: Path, environ: dict[str, str]
) -> None:
    """Nobody writes into it; the page is printed without a logo."""
    put(make_key(1))
    os.mkfifo(tmp_path / "logo.png")
    connection.execute("UPDATE tenants SET logo_path = %s", [str(tmp_path / "logo.png")])
    process = command(environ, "generate-ride", "--json")

    try:
        ran = finish(process, timeout_s=20)
    finally:
        process.kill()

    assert (ran.code, "logo_unreadable" in ran.err) == (0, True)


@pytest.mark.parametrize(("arguments", "taken"), [((), 8), (("--limit", "7"), 7), (("--scheduled",), 3)], ids=str)
def test_a_hand_run_renders_all_that_is_due(
    arguments: tuple[str, ...], taken: int, cli: Cli, put: Authorized, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are read at once; a tick leaves what is beyond to the next. What fails is tried once a run."""
    monkeypatch.setattr(job.GenerateRide, "most", 3)
    put(*(make_key(number) for number in range(1, 8)))
    put(make_key(8), xml=b"<factura/>")
    ran = cli("generate-ride", "--json", *arguments)

    assert taken == len(ran.json["items"])
    assert 8 - taken == ran.json["counts"]["remaining"]
    assert [(1,)] == rows("SELECT DISTINCT ride_attempts FROM invoices WHERE ride_attempts > 0")
