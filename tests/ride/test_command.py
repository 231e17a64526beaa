"""`jobsync ride render`: from a file to a file, without a database."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from jobsync.cli import main
from tests.ride import documents
from tests.ride.pages import barcodes, text


def wrapped(document: bytes, *, state: str = "AUTORIZADO") -> str:
    """Return the file that people call the authorized XML."""
    return (
        f"<autorizacion><estado>{state}</estado><fechaAutorizacion>2026-03-16T09:05:09-05:00</fechaAutorizacion>"
        f"<comprobante><![CDATA[{document.decode()}]]></comprobante></autorizacion>"
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An authorized invoice."""
    path = tmp_path / "factura.xml"
    path.write_text(wrapped(documents.invoice()))
    return path


def test_authorized_file_is_printed(
    file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file in, one out; no database is looked for, and nothing is left beside it."""
    monkeypatch.setenv("JOBSYNC_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")

    code = main.run(["ride", "render", str(file), "-o", str(tmp_path / "out.pdf")])

    assert (code, sorted(path.name for path in tmp_path.iterdir())) == (0, ["factura.xml", "out.pdf"])
    assert "16/03/2026 09:05:09" in text((tmp_path / "out.pdf").read_bytes())
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("content", [documents.invoice().decode(), wrapped(documents.invoice(), state="NO AUTORIZADO")])
def test_unauthorized_file_is_printed_and_marked(
    content: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is printed all the same, exit 0; page and operator are told."""
    (tmp_path / "in.xml").write_text(content)

    code = main.run(["ride", "render", str(tmp_path / "in.xml"), "-o", str(tmp_path / "out.pdf")])

    assert code == 0
    assert "SIN AUTORIZACIÓN – SIN VALIDEZ TRIBUTARIA" in text((tmp_path / "out.pdf").read_bytes())
    assert "jobsync: warning: marked as not authorized" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("key", "named"),
    [(None, "claveAcceso"), ("", "claveAcceso"), ("12345", "12345"), ("1" * 48 + "X", "1" * 48 + "X")],
)
def test_file_without_a_right_key_is_printed(
    key: str | None, named: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One page without a barcode, a warning that names the key, exit 0."""
    written = "" if key is None else f"<claveAcceso>{key}</claveAcceso>"
    content = re.sub("<claveAcceso>.*</claveAcceso>", written, documents.invoice().decode())
    (tmp_path / "in.xml").write_text(wrapped(content.encode()))

    code = main.run(["ride", "render", str(tmp_path / "in.xml"), "-o", str(tmp_path / "out.pdf"), "--json"])

    told = capfd.readouterr()
    report = json.loads(told.out)
    assert (code, report["access_key"], report["pages"]) == (0, key or None, 1)
    assert barcodes((tmp_path / "out.pdf").read_bytes()) == []
    assert (told.err.count("jobsync: warning: the access key"), named in told.err) == (1, True)


def test_json(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One JSON document says what was written."""
    out = tmp_path / "out.pdf"

    code = main.run(["ride", "render", str(file), "-o", str(out), "--json"])

    report = json.loads(capfd.readouterr().out)
    assert code == 0
    assert (report["path"], report["bytes"], report["authorized"], report["warnings"]) == (
        str(out),
        out.stat().st_size,
        True,
        [],
    )
    assert [(report["access_key"])] == [key for _, key in barcodes(out.read_bytes())]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "holds nothing|no XML|empty"),
        ("<html><title>Request Rejected</title></html>", "web page"),
        ("<factura><infoTributaria/></factura>", "missing"),
        (wrapped(documents.invoice(total="mucho")), "factura/infoFactura/importeTotal is no number"),
    ],
)
def test_unreadable_file_leaves_nothing(
    content: str, sentence: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit 1 and one sentence; an older PDF of that name stays as it was."""
    (tmp_path / "in.xml").write_text(content)
    (tmp_path / "out.pdf").write_text("older")

    code = main.run(["ride", "render", str(tmp_path / "in.xml"), "-o", str(tmp_path / "out.pdf")])

    said = capfd.readouterr().err
    assert (code, said.count("\n")) == (1, 1)
    assert re.search(sentence, said)
    assert (tmp_path / "out.pdf").read_text() == "older"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{folder}/nix.xml", "-o", "{folder}/out.pdf"], "cannot read"),
        (["{folder}", "-o", "{folder}/out.pdf"], "cannot read"),
        (["{file}", "-o", "{folder}"], "is a folder"),
        (["{file}", "-o", "{folder}/nix/out.pdf"], "does not exist"),
        (["{file}", "-o", "{file}"], "is the document itself"),
        (["{file}", "-o", "{folder}/out.pdf", "--logo", "{folder}/nix.png"], "cannot read"),
    ],
)
def test_usage(arguments: list[str], sentence: str, file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What cannot be is said before anything is written: exit 2."""
    given = [argument.format(folder=file.parent, file=file) for argument in arguments]

    code = main.run(["ride", "render", *given])

    assert (code, sentence in capfd.readouterr().err) == (2, True)
    assert [path.name for path in file.parent.iterdir()] == ["factura.xml"]


def test_bad_logo_is_a_warning(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The document is printed without it."""
    (tmp_path / "logo.png").write_bytes(b"no picture")

    code = main.run(
        ["ride", "render", str(file), "-o", str(tmp_path / "out.pdf"), "--logo", str(tmp_path / "logo.png")]
    )

    assert (code, "was left out" in capfd.readouterr().err) == (0, True)


def test_full_disk_is_one_sentence(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A place that takes nothing: exit 1, no traceback."""
    code = main.run(["ride", "render", str(file), "-o", "/dev/full"])

    assert (code, "cannot write /dev/full: No space left on device" in capfd.readouterr().err) == (1, True)


@pytest.mark.parametrize("umask", [0, 0o077])
def test_the_page_is_for_its_owner_and_group_at_most(file: Path, tmp_path: Path, umask: int) -> None:
    """It names a customer and what was bought, whatever the umask."""
    before = os.umask(umask)
    try:
        assert main.run(["ride", "render", str(file), "-o", str(tmp_path / "a.pdf")]) == 0
    finally:
        os.umask(before)

    assert (tmp_path / "a.pdf").stat().st_mode & 0o777 == 0o640 & ~umask
