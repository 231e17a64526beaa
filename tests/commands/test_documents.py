"""Whole commands about tenants and documents: taking files in, asking once more, giving them out again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from html import escape
from pathlib import Path

import psycopg
import pytest
from PIL import Image

from jobsync.sri import import_
from tests.commands.support import Cli, Rows, command, finish, until
from tests.sri import documents
from tests.sri.documents import OTHER_RUC, RUC, invoice, make_key

KEY = make_key(1)


@pytest.fixture
def cli(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Cli:
    """Commands in a database with one tenant."""
    cli = Cli(environ, capsys)
    assert cli("tenant", "add", RUC, "Emisora Inventada", "--environment", "test").code == 0
    return cli


def said(document: bytes, state: str = "AUTORIZADO", *, element: str = "autorizacion", form: str = "cdata") -> bytes:
    """Return the document inside what people pass around as the authorized XML."""
    text = document.decode().removeprefix('<?xml version="1.0" encoding="UTF-8"?>').strip()
    inside = {"cdata": f"<![CDATA[{document.decode()}]]>", "escaped": escape(document.decode()), "inline": text}[form]
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><{element}><estado>{state}</estado>'
        f"<numeroAutorizacion>{KEY}</numeroAutorizacion><fechaAutorizacion>01/11/2026 10:00:00</fechaAutorizacion>"
        f"<ambiente>PRUEBAS</ambiente><comprobante>{inside}</comprobante></{element}>"
    ).encode()


FILES: dict[str, tuple[bytes, str]] = {
    "bare": (invoice(KEY), "pending_authorization"),
    "bare, byte order mark": (b"\xef\xbb\xbf" + invoice(KEY), "pending_authorization"),
    "bare, UTF-16": (
        invoice(KEY).decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        "pending_authorization",
    ),
    "bare, Latin-1 that says UTF-8": (
        invoice(KEY, customer="MUÑOZ PEÑA").decode().encode("latin-1"),
        "pending_authorization",
    ),
    "autorizacion, CDATA": (said(invoice(KEY)), "authorized"),
    "autorizacion, escaped": (said(invoice(KEY), form="escaped"), "authorized"),
    "autorizacion, inline": (said(invoice(KEY), form="inline"), "authorized"),
    "Authorization": (said(invoice(KEY), element="Authorization"), "authorized"),
    "refused": (said(invoice(KEY), "NO AUTORIZADO"), "pending_authorization"),
    "whole answer": (documents.authorized(KEY), "authorized"),
}


@pytest.mark.parametrize(("content", "status"), FILES.values(), ids=FILES.keys())
def test_every_wrapper_goes_in(cli: Cli, rows: Rows, tmp_path: Path, content: bytes, status: str) -> None:
    """Whatever people call the XML, the document inside it goes in with its columns."""
    (tmp_path / "file.xml").write_bytes(content)

    ran = cli("invoice", "import", str(tmp_path / "file.xml"), "--json")

    assert (ran.code, ran.json["items"]) == (
        0,
        [{"file": str(tmp_path / "file.xml"), "status": "imported", "access_key": KEY}],
    )
    assert rows("SELECT status, document_type, series_number, issue_date::text, total::text FROM invoices") == [
        (status, "invoice", "001-001-000000001", "2026-11-01", "11.50")
    ]
    [(confirmed_by, at)] = rows("SELECT confirmed_by, authorized_at::text FROM invoices")
    assert (confirmed_by, bool(at)) == (("file", True) if status == "authorized" else (None, False))


def test_customer_keeps_accents(cli: Cli, rows: Rows, tmp_path: Path) -> None:
    """Bytes that are not what they say they are, are read as what they are."""
    (tmp_path / "file.xml").write_bytes(FILES["bare, Latin-1 that says UTF-8"][0])

    assert cli("invoice", "import", str(tmp_path)).code == 0

    assert rows("SELECT customer_name FROM invoices") == [("MUÑOZ PEÑA",)]


def wrong_digit(key: str) -> str:
    """Return the key with another check digit."""
    return key[:-1] + str((int(key[-1]) + 1) % 10)


REFUSED: dict[str, tuple[bytes, str]] = {
    "another tenant's": (invoice(make_key(1, ruc=OTHER_RUC)), "no tenant has the RUC"),
    "another issuer inside": (invoice(KEY, ruc=OTHER_RUC), OTHER_RUC),
    "wrong check digit": (invoice(wrong_digit(KEY)), "digits ask for"),
    "half": (invoice(KEY)[:400], "line"),
    "empty": (b"", "empty"),
    "no XML": (b"%PDF-1.7", "XML"),
    "another XML": (b"<html/>", "web page"),
    "no key": (invoice(KEY).replace(b"claveAcceso", b"otraCosa"), "claveAcceso"),
    "entities": (b'<!DOCTYPE a [<!ENTITY b "c">]>' + invoice(KEY), "DOCTYPE"),
    "too large": (b" " * (9 << 20), "larger than 8 MB"),
}


@pytest.mark.parametrize(("content", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_go_in_is_named_and_stops_no_other(
    cli: Cli, rows: Rows, tmp_path: Path, content: bytes, words: str
) -> None:
    """The file and the reason are told; the good one beside it goes in; exit 3."""
    (tmp_path / "bad.xml").write_bytes(content)
    (tmp_path / "good.xml").write_bytes(invoice(make_key(2)))

    ran = cli("invoice", "import", str(tmp_path), "--json")

    assert (ran.code, ran.json["counts"]["imported"], ran.json["counts"]["refused"]) == (3, 1, 1)
    [bad] = [item for item in ran.json["items"] if item["status"] == "refused"]
    assert bad["file"].endswith("bad.xml")
    assert words in bad["reason"]
    assert rows("SELECT access_key FROM invoices") == [(make_key(2),)]


def test_only_refused_files_fail(cli: Cli, tmp_path: Path) -> None:
    """Nothing went in: exit 1, and without --json the reason stands on standard error."""
    (tmp_path / "bad.xml").write_bytes(b"")

    ran = cli("invoice", "import", str(tmp_path / "bad.xml"))

    assert (ran.code, "bad.xml" in ran.err) == (1, True)


@pytest.mark.parametrize(
    ("before", "again", "expected", "stored"),
    [
        ("pending_authorization", invoice(KEY), "unchanged", "pending_authorization"),
        ("pending_authorization", invoice(KEY, total="1.00"), "replaced", "pending_authorization"),
        ("rejected", invoice(KEY, total="1.00"), "replaced", "pending_authorization"),
        ("rejected", invoice(KEY), "unchanged", "rejected"),
        ("needs_attention", invoice(KEY, total="1.00"), "replaced", "pending_authorization"),
        ("authorized", invoice(KEY, total="1.00"), "refused", "authorized"),
        ("authorized", invoice(KEY), "unchanged", "authorized"),
        ("cancelled", invoice(KEY, total="1.00"), "refused", "cancelled"),
        ("pending_authorization", said(invoice(KEY)), "replaced", "authorized"),
        ("rejected", said(invoice(KEY)), "replaced", "authorized"),
    ],
)
def test_same_key_again(
    cli: Cli,
    rows: Rows,
    connection: psycopg.Connection[object],
    tmp_path: Path,
    before: str,
    again: bytes,
    expected: str,
    stored: str,
) -> None:
    """What becomes of a document whose key is known depends on its bytes and on its state."""
    file = tmp_path / "file.xml"
    file.write_bytes(invoice(KEY))
    assert cli("invoice", "import", str(file)).code == 0
    connection.execute("UPDATE invoices SET status = %s", [before])
    file.write_bytes(again)

    ran = cli("invoice", "import", str(file), "--json")

    assert ran.json["items"][0]["status"] == expected
    assert rows("SELECT status FROM invoices") == [(stored,)]


def test_folder_is_read_in_order_and_once(cli: Cli, rows: Rows, tmp_path: Path) -> None:
    """XML files of a folder and of those below it; other files are left alone; a second time changes nothing."""
    below = tmp_path / "b"
    below.mkdir()
    for number in range(250):
        ((below if number % 2 else tmp_path) / f"{number}.xml").write_bytes(invoice(make_key(number)))
    (tmp_path / "readme.txt").write_text("not a document")

    first = cli("invoice", "import", str(tmp_path), "--json")
    second = cli("invoice", "import", str(tmp_path), "--json")

    assert first.json["counts"] == {"imported": 250, "replaced": 0, "unchanged": 0, "refused": 0}
    assert second.json["counts"] == {"imported": 0, "replaced": 0, "unchanged": 250, "refused": 0}
    assert rows("SELECT count(*) FROM invoices") == [(250,)]


def test_import_tried_out_says_what_it_would_do_and_writes_nothing(cli: Cli, rows: Rows, tmp_path: Path) -> None:
    """With --dry-run each file has the status and the run the exit code of the real one; no row is made or changed."""
    counted = "SELECT (SELECT count(*) FROM invoices), (SELECT count(*) FROM sri_events), (SELECT count(*) FROM audit)"
    for number in range(120):  # more than one part
        (tmp_path / f"{number:03d}.xml").write_bytes(invoice(make_key(number)))
    (tmp_path / "again.xml").write_bytes(invoice(make_key(3)))
    (tmp_path / "bad.xml").write_bytes(b"<a/>")
    before = rows(counted)

    tried = cli("invoice", "import", str(tmp_path), "--dry-run", "--json")
    after = rows(counted)
    done = cli("invoice", "import", str(tmp_path), "--json")

    assert after == before
    assert tried.json == done.json
    assert (tried.code, tried.json["counts"]) == (3, {"imported": 120, "replaced": 0, "unchanged": 1, "refused": 1})
    assert cli("invoice", "import", str(tmp_path), "--dry-run").out.startswith(
        "nothing was written; 122 files would be: "
    )


def test_trying_an_import_out_waits_for_nobody_and_holds_nobody_up(
    cli: Cli, tmp_path: Path, connection: psycopg.Connection[object], database_url: str
) -> None:
    """Rows that another has locked are judged as they are; statuses follow one another as in the real import."""
    files = [invoice(KEY), invoice(KEY, customer="OTRA"), said(invoice(KEY, customer="OTRA")), said(invoice(KEY))]
    for number, content in enumerate(files):
        (tmp_path / f"{number}.xml").write_bytes(content)
    connection.execute("INSERT INTO invoices (tenant_id, access_key) SELECT id, %s FROM tenants", [KEY])
    sequence = "SELECT last_value FROM invoices_id_seq"
    before = connection.execute(sequence).fetchone()

    with psycopg.connect(database_url) as holder:
        holder.execute("SELECT FROM invoices FOR UPDATE")
        tried = cli("invoice", "import", str(tmp_path), "--dry-run", "--json")
    after = connection.execute(sequence).fetchone()
    done = cli("invoice", "import", str(tmp_path), "--json")

    assert [item["status"] for item in tried.json["items"]] == ["replaced", "replaced", "replaced", "refused"]
    assert tried.json == done.json
    assert before == after


def test_an_import_that_is_broken_off_says_what_went_in(
    cli: Cli, tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C: 130, the files of whole parts, how many are left; the next import does the rest."""
    for number in range(25):
        (tmp_path / f"{number:02d}.xml").write_bytes(invoice(make_key(number)))
    monkeypatch.setattr(import_, "_BATCH", 10)
    looks = iter(range(1000))
    monkeypatch.setattr("jobsync.cli.invoice.stop_noted", lambda: signal.SIGINT if next(looks) >= 15 else None)

    ran = cli("invoice", "import", str(tmp_path), "--json")
    monkeypatch.undo()
    rest = cli("invoice", "import", str(tmp_path), "--json")

    assert (ran.code, ran.json["counts"]["imported"], ran.json["remaining"]) == (130, 10, 15)
    assert (rest.code, rest.json["counts"]["imported"], rest.json["counts"]["unchanged"]) == (0, 15, 10)
    assert rows("SELECT details->>'imported' FROM audit WHERE action = 'invoice.import' ORDER BY id") == [
        ("10",),
        ("15",),
    ]


def test_an_import_that_the_database_breaks_off_says_what_went_in(
    cli: Cli, connection: psycopg.Connection[object], tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts that were committed are in the audit and are told, however the rest of the import ends."""
    for number in range(25):
        (tmp_path / f"{number:02d}.xml").write_bytes(invoice(make_key(number)))
    monkeypatch.setattr(import_, "_BATCH", 10)
    connection.execute(
        "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF (SELECT count(*) FROM invoices) >= 23"
        " THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END $$"
    )
    connection.execute("CREATE TRIGGER cut BEFORE INSERT ON invoices FOR EACH ROW EXECUTE FUNCTION cut()")
    ran = cli("invoice", "import", str(tmp_path))

    assert ran.code == 69
    assert "broken off after 20 of 25 files: 20 imported" in ran.err
    assert rows("SELECT count(*) FROM invoices") == [(20,)]
    assert rows("SELECT details->>'imported' FROM audit WHERE action = 'invoice.import'") == [("20",)]


@pytest.mark.parametrize("umask", [0, 0o077])
def test_exported_files_are_for_their_owner_and_group_at_most(cli: Cli, tmp_path: Path, umask: int) -> None:
    """They name a customer and what was bought; one that was closer stays so when it is written anew."""
    (tmp_path / "a.xml").write_bytes(documents.authorized(KEY))
    assert cli("invoice", "import", str(tmp_path / "a.xml")).code == 0
    (tmp_path / "to").mkdir()
    before = os.umask(umask)
    try:
        assert cli("invoice", "export", KEY, "--to", str(tmp_path / "to")).code == 0
        files = sorted((tmp_path / "to").iterdir())
        modes = {file.stat().st_mode & 0o777 for file in files}
        files[0].chmod(0o600)
        assert cli("invoice", "export", KEY, "--to", str(tmp_path / "to")).code == 0
    finally:
        os.umask(before)

    assert (len(files), modes) == (2, {0o640 & ~umask})
    assert files[0].stat().st_mode & 0o777 == 0o600


def test_same_document_twice_in_one_import(cli: Cli, tmp_path: Path) -> None:
    """The second copy finds the first."""
    for name in ("a.xml", "b.xml"):
        (tmp_path / name).write_bytes(invoice(KEY))

    ran = cli("invoice", "import", str(tmp_path), "--json")

    assert [item["status"] for item in ran.json["items"]] == ["imported", "unchanged"]


def test_two_imports_of_the_same_documents_do_not_stop_each_other(
    cli: Cli, connection: psycopg.Connection[object], tmp_path: Path, environ: dict[str, str], database_url: str
) -> None:
    """Whatever the names of the files, rows are written in one order, so that nobody waits in a circle."""
    first, last = sorted(make_key(number) for number in range(2))
    (tmp_path / "a.xml").write_bytes(invoice(last))
    (tmp_path / "b.xml").write_bytes(invoice(first))
    insert = "INSERT INTO invoices (tenant_id, access_key) SELECT id, %s FROM tenants"
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"

    with psycopg.connect(database_url) as other:
        other.execute(insert, [first])
        process = command(environ, "invoice", "import", str(tmp_path), "--json")
        until(lambda: connection.execute(waits).fetchone() == (1,))
        other.execute(insert, [last])
    ran = finish(process)

    assert (ran.code, ran.json["counts"]["replaced"]) == (0, 2), ran.err


def test_number_of_absurd_length_costs_only_its_column(cli: Cli, rows: Rows, tmp_path: Path) -> None:
    """What no database holds is left empty; the document, and those beside it, go in."""
    (tmp_path / "a.xml").write_bytes(invoice(make_key(1), total="1" * 140_000))
    (tmp_path / "b.xml").write_bytes(invoice(make_key(2)))

    ran = cli("invoice", "import", str(tmp_path), "--json")

    assert (ran.code, ran.json["counts"]["imported"]) == (0, 2), ran.err
    assert rows("SELECT total::text FROM invoices ORDER BY access_key") == [(None,), ("11.50",)]


def test_tenant_option_refuses_others(cli: Cli, tmp_path: Path) -> None:
    """With --tenant only that tenant's documents go in."""
    assert cli("tenant", "add", OTHER_RUC, "La Otra").code == 0
    (tmp_path / "a.xml").write_bytes(invoice(make_key(1, ruc=OTHER_RUC)))
    (tmp_path / "b.xml").write_bytes(invoice(KEY))

    ran = cli("invoice", "import", str(tmp_path), "--tenant", RUC, "--json")

    assert [item["status"] for item in ran.json["items"]] == ["refused", "imported"]


@pytest.mark.parametrize(
    ("before", "code"), [("rejected", 0), ("needs_attention", 0), ("pending_authorization", 0), ("cancelled", 2)]
)
def test_recheck_makes_a_document_due(
    cli: Cli, rows: Rows, connection: psycopg.Connection[object], tmp_path: Path, before: str, code: int
) -> None:
    """A person may have the SRI asked once more, unless the document is out of the game."""
    (tmp_path / "a.xml").write_bytes(invoice(KEY))
    assert cli("invoice", "import", str(tmp_path)).code == 0
    connection.execute("UPDATE invoices SET status = %s, next_check_at = NULL, empty_count = 3", [before])

    assert cli("invoice", "recheck", KEY).code == code

    expected = ("pending_authorization", True, 0) if code == 0 else (before, None, 3)
    assert rows("SELECT status, next_check_at <= now(), empty_count FROM invoices") == [expected]


def test_recheck_leaves_what_the_sri_authorized(
    cli: Cli, connection: psycopg.Connection[object], tmp_path: Path
) -> None:
    """An authorization by the SRI is final; one that only a file claims may be asked about."""
    (tmp_path / "a.xml").write_bytes(said(invoice(KEY)))
    assert cli("invoice", "import", str(tmp_path)).code == 0
    assert cli("invoice", "recheck", KEY).code == 0
    connection.execute("UPDATE invoices SET status = 'authorized', confirmed_by = 'sri'")

    assert cli("invoice", "recheck", KEY).code == 2


def test_export_gives_the_bytes_back(cli: Cli, tmp_path: Path) -> None:
    """What came in comes out, byte for byte."""
    content = said(invoice(KEY))
    (tmp_path / "a.xml").write_bytes(content)
    assert cli("invoice", "import", str(tmp_path / "a.xml")).code == 0
    out = tmp_path / "out"
    out.mkdir()

    ran = cli("invoice", "export", KEY, "--to", str(out), "--json")

    assert ran.code == 0
    assert {Path(name).read_bytes() for name in ran.json["files"]} == {content, invoice(KEY)}


def test_export_leaves_no_half_file(cli: Cli, tmp_path: Path, environ: dict[str, str]) -> None:
    """A folder that is full gets nothing, and what lay there before stays."""
    (tmp_path / "a.xml").write_bytes(invoice(KEY))
    assert cli("invoice", "import", str(tmp_path / "a.xml")).code == 0
    out = tmp_path / "out"
    out.mkdir()
    (out / f"{KEY}_submitted.xml").write_bytes(b"from before")
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500));"
        f"from jobsync.cli.main import run; sys.exit(run(['invoice', 'export', '{KEY}', '--to', '{out}']))"
    )

    # -B: a limited file size would leave half a compiled module behind
    full = subprocess.run([sys.executable, "-B", "-c", code], env=environ, capture_output=True, text=True)

    assert (full.returncode, "cannot be written" in full.stderr) == (2, True)
    assert [(file.name, file.read_bytes()) for file in out.iterdir()] == [(f"{KEY}_submitted.xml", b"from before")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tenant", "add", "123", "X"], "13 digits"),
        (["tenant", "add", RUC, "Again"], "already"),
        (["tenant", "add", OTHER_RUC, " "], "NAME"),
        (["tenant", "add", OTHER_RUC, "X", "--environment", "prod"], "test or production"),
        (["tenant", "add", OTHER_RUC, "X", "--logo", "/nowhere.png"], "--logo"),
        (["tenant", "show", OTHER_RUC], "no tenant"),
        (["tenant", "pause", OTHER_RUC], "no tenant"),
        (["invoice", "show", KEY], "no document"),
        (["invoice", "recheck", KEY], "no document"),
        (["invoice", "export", KEY, "--to", "/nowhere"], "no folder"),
        (["invoice", "list", "--status", "done"], "--status"),
        (["invoice", "import", "/nowhere.xml"], "no such file"),
        (["invoice", "import", "x" * 300], "cannot be looked at"),
        (["invoice", "export", KEY, "--to", "x" * 300], "no folder"),
        (["tenant", "add", OTHER_RUC, "X", "--logo", "x" * 300], "--logo"),
        (["invoice", "import", ".", "--tenant", OTHER_RUC], "no tenant"),
    ],
)
def test_bad_words_are_named(cli: Cli, arguments: list[str], words: str) -> None:
    """One sentence says what was expected; exit 2."""
    ran = cli(*arguments)

    assert (ran.code, words in ran.err) == (2, True), ran.err


def test_paused_tenant_is_left_out(cli: Cli, rows: Rows, tmp_path: Path) -> None:
    """A pause takes a tenant's documents out of what is due, and resuming brings them back."""
    (tmp_path / "a.xml").write_bytes(invoice(KEY))
    assert cli("invoice", "import", str(tmp_path)).code == 0
    due: Callable[[], object] = lambda: rows("SELECT jobsync_tick('check-authorizations')")[0][0]  # noqa: E731

    assert due() is True
    assert cli("tenant", "pause", RUC).code == 0
    assert due() is False
    assert cli("tenant", "resume", RUC).code == 0
    assert due() is True


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"no picture", "neither PNG nor JPEG"), (b"", "neither PNG nor JPEG"), (b"GIF89a" + bytes(40), "neither PNG"),
     (b"\x89PNG\r\n\x1a\n" + bytes(40), "expected a PNG or JPEG")],
)  # fmt: skip
def test_a_logo_that_cannot_be_printed_is_refused(
    cli: Cli, rows: Rows, tmp_path: Path, content: bytes, words: str
) -> None:
    """Before each RIDE of the tenant goes out without it."""
    (tmp_path / "logo.png").write_bytes(content)
    ran = cli("tenant", "add", OTHER_RUC, "X", "--logo", str(tmp_path / "logo.png"))

    assert (2, True) == (ran.code, words in ran.err), ran.err
    assert [] == rows(f"SELECT 1 FROM tenants WHERE ruc = '{OTHER_RUC}'")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_logo_that_can_be_printed_is_taken(cli: Cli, rows: Rows, tmp_path: Path, kind: str) -> None:
    """Its whole path is kept."""
    Image.new("RGB", (30, 12), "red").save(tmp_path / "logo", kind)

    assert 0 == cli("tenant", "add", OTHER_RUC, "X", "--logo", str(tmp_path / "logo")).code
    assert [(str(tmp_path / "logo"),)] == rows(f"SELECT logo_path FROM tenants WHERE ruc = '{OTHER_RUC}'")


def test_a_paused_tenant_is_visible(cli: Cli, rows: Rows) -> None:
    """On the status screen, in health's notes and in the list, until when; in JSON a pause without end has no end."""
    paused = cli("tenant", "pause", RUC, "--json").json
    screen, listed = cli("status").out, cli("tenant", "list").out
    [found] = cli("tenant", "list", "--json").json
    [seen] = cli("status", "--json").json["tenants"]
    notes = cli("health", "--json").json["notes"]

    assert {"ruc": RUC, "paused": True, "paused_until": None} == paused
    assert ["paused until it is resumed"] == re.findall(rf"{RUC}.*?  (paused[^,\n]*)$", screen, re.MULTILINE)
    assert "until it is resumed" in listed
    assert [(True, None)] * 2 == [(row["paused"], row["paused_until"]) for row in (found, seen)]
    assert "1 tenant is paused" in notes
    assert "9999" not in screen + listed + cli("tenant", "show", RUC).out + cli("audit").out

    cli("tenant", "resume", RUC)
    rows("UPDATE tenants SET is_active = false RETURNING 1")
    assert ["inactive"] == re.findall(rf"{RUC}.*?  (inactive)$", cli("status").out, re.MULTILINE)


def test_changes_are_in_the_audit(cli: Cli, rows: Rows, tmp_path: Path) -> None:
    """Who added, imported, paused or asked once more is on record."""
    (tmp_path / "a.xml").write_bytes(invoice(KEY))
    for arguments in (
        ["invoice", "import", str(tmp_path)],
        ["invoice", "recheck", KEY],
        ["tenant", "pause", RUC],
        ["tenant", "resume", RUC],
    ):
        assert cli(*arguments).code == 0

    actions = [action for (action,) in rows("SELECT action FROM audit ORDER BY id")]
    assert actions == ["tenant.add", "invoice.import", "invoice.recheck", "tenant.pause", "tenant.resume"]
