"""jobsync ride: the printed form of a document, from a file and without a database."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobsync.cli.options import Json, group, holds
from jobsync.cli.output import OF_DOCUMENT, say, show, write_file
from jobsync.errors import UsageProblem
from jobsync.fiscal.read import read_document
from jobsync.logs import complain, visible
from jobsync.ride.model import Logo, Stamp
from jobsync.ride.render import render as render_document
from jobsync.sri.parse import FILE_BYTES_MAX, open_file

if TYPE_CHECKING:
    from jobsync.sri.model import DocumentFile

app = group("The printed form (RIDE) of a document.")


@app.callback()
def ride() -> None:
    """The printed form (RIDE) of a document."""


@app.command()
def render(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.xml", help="The authorized XML, or a bare document.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT.pdf", help="Where the PDF goes.", show_default=False)
    ],
    logo: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A PNG or JPEG to stand above the issuer.", show_default=False)
    ] = None,
    attach_xml: Annotated[bool, typer.Option("--attach-xml", help="Carry FILE.xml inside the PDF.")] = False,
    as_json: Json = False,
) -> None:
    """Print a document as PDF. Without an authorization in the file every page says so."""
    raw = _read(file)
    picture = Logo(_read(logo), visible(logo)) if logo is not None else None
    if holds(output.is_dir):
        raise UsageProblem(f"{output} is a folder; expected the name of a PDF file")
    if not holds(output.parent.is_dir):
        raise UsageProblem(f"the folder {output.parent} does not exist")
    if holds(lambda: output.exists() and output.samefile(file)):
        raise UsageProblem(f"{output} is the document itself; expected another name for the PDF")
    opened = open_file(raw)
    document = read_document(opened.document)
    stamp = _stamp(opened)
    rendered = render_document(document, stamp, logo=picture, attach_xml=raw if attach_xml else None)
    write_file(output, rendered.data, most=OF_DOCUMENT)
    for warning in rendered.warnings:
        complain(f"jobsync: warning: {visible(warning)}")
    report = {
        "file": str(file),
        "path": str(output),
        "access_key": document.access_key or None,
        "authorized": stamp.authorized,
        "pages": rendered.pages,
        "bytes": len(rendered.data),
        "sha256": sha256(rendered.data).hexdigest(),
        "warnings": list(rendered.warnings),
    }
    pages = "1 page" if rendered.pages == 1 else f"{rendered.pages} pages"
    show(report, as_json=as_json, otherwise=lambda: say(f"{output}: {pages}, {len(rendered.data)} bytes"))


def _stamp(opened: DocumentFile) -> Stamp:
    said = opened.authorization
    if said is None:
        return Stamp()
    return Stamp(said.state, said.number, said.authorized_at, said.authorized_at_text)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as source:
            return source.read(FILE_BYTES_MAX + 1)  # one more, so that too large a file is found to be
    except OSError as error:
        raise UsageProblem(f"cannot read {path}: {error.strerror or error}") from error
