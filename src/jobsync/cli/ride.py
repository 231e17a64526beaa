"""jobsync ride: the printed form of a document, from a file and without a database."""

from hashlib import sha256
from pathlib import Path
from typing import Annotated

from jobsync.cli.command import Answer, argument, command, flag, group, holds, option, said
from jobsync.cli.output import OF_DOCUMENT, write_file
from jobsync.errors import UsageProblem
from jobsync.fiscal.read import read_document
from jobsync.logs import visible
from jobsync.phrases import many
from jobsync.ride.model import Logo, Stamp
from jobsync.ride.render import render as render_document
from jobsync.sri.parse import FILE_BYTES_MAX, open_file

app = group("The printed form (RIDE) of a document.")


@command("ride render invoice.xml -o invoice.pdf --logo logo.png", of=app)
def render(
    file: Annotated[Path, argument("FILE.xml", "The authorized XML, or a bare document.")],
    output: Annotated[Path, option("OUT.pdf", "Where the PDF goes.", "--output", "-o")],
    logo: Annotated[Path | None, option("FILE", "A PNG or JPEG to stand above the issuer.")] = None,
    attach_xml: Annotated[bool, flag("Carry FILE.xml inside the PDF.")] = False,
) -> Answer:
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
    found = opened.authorization
    stamp = Stamp(found.state, found.number, found.authorized_at, found.authorized_at_text) if found else Stamp()
    rendered = render_document(document, stamp, logo=picture, attach_xml=raw if attach_xml else None)
    write_file(output, rendered.data, most=OF_DOCUMENT)
    report = {
        "file": str(file),
        "path": str(output),
        "access_key": document.access_key or None,
        "authorized": stamp.authorized,
        "pages": rendered.pages,
        "bytes": len(rendered.data),
        "sha256": sha256(rendered.data).hexdigest(),
        "warnings": rendered.warnings,
    }
    words = f"{output}: {many(rendered.pages, 'page')}, {len(rendered.data)} bytes"
    return said(report, words, complaints=[f"warning: {visible(warning)}" for warning in rendered.warnings])


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as source:
            return source.read(FILE_BYTES_MAX + 1)  # one more, so that too large a file is found to be
    except OSError as error:
        raise UsageProblem(f"cannot read {path}: {error.strerror or error}") from error
