"""The fiscal document -> the printed form."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time

from fpdf.image_datastructures import RasterImageInfo

from jobsync.fiscal.document import Document
from jobsync.ride import blocks, forms
from jobsync.ride.model import Logo, Rendered, Stamp
from jobsync.ride.paper import pdf
from jobsync.ride.paper.sheet import Sheet

_NO_DATE = date(2012, 1, 1)  # the scheme's first year; for documents that name no day at all
_SHOWN = 5


def render(document: Document, stamp: Stamp, *, logo: Logo | None = None, attach_xml: bytes | None = None) -> Rendered:
    """
    Return the printed form of a fiscal document: for the same arguments the same bytes, in every process and time zone.

    Without an authorization in the stamp every page is marked. A logo that cannot be used is left out, with a warning;
    the XML, if it is to be attached, is carried inside the PDF.
    """
    warnings: list[str] = []
    picture = _picture(logo, warnings)
    sheet = Sheet()
    title = forms.TITLES[document.kind]
    ratio = picture.width / picture.height if picture is not None else None
    flow = blocks.begin(sheet, document, stamp, title=title, logo_ratio=ratio)
    forms.draw(flow, document)
    blocks.finish(sheet, document, stamp, title=title)
    created = stamp.authorized_at or datetime.combine(document.issue_date or _NO_DATE, time.min, UTC)
    file_name = re.sub("[^0-9A-Za-z]", "_", document.access_key)[:60]
    data = pdf.assemble(
        sheet.contents(),
        size="latin" if sheet.latin else "full",
        picture=picture,
        created=created.astimezone(UTC),
        attachment=(f"{file_name}.xml", attach_xml) if attach_xml else None,
        title=f"{title} {document.series_number or ''}".strip(),
        author=document.issuer.name,
        subject=f"RIDE {document.access_key}".strip(),
        keywords=document.access_key,
    )
    return Rendered(data, (*_warnings(document, stamp, sheet), *warnings), sheet.page_count)


def _picture(logo: Logo | None, warnings: list[str]) -> RasterImageInfo | None:
    if logo is None:
        return None
    try:
        return pdf.read_picture(logo.data)
    except pdf.UnusablePicture as error:
        warnings.append(f"{logo.name} was left out: {error}")
        return None


def _warnings(document: Document, stamp: Stamp, sheet: Sheet) -> list[str]:
    warnings = []
    if not stamp.authorized:
        said = f"the SRI says {stamp.state}" if stamp.state else "the document is bare, no authorization came with it"
        warnings.append(f"marked as not authorized: {said}")
    if document.environment == "test":
        warnings.append("a document of the test environment: marked as without validity")
    if not document.access_key:
        warnings.append("the access key (claveAcceso) is missing: printed without a barcode")
    elif not blocks.is_key(document.access_key):
        said = f"the access key (claveAcceso) {document.access_key!r}"
        warnings.append(f"{said} is not 49 digits: printed without a barcode")
    if sheet.replaced:
        shown = ", ".join(f"U+{ord(character):04X}" for character in list(sheet.replaced)[:_SHOWN])
        more = f" and {len(sheet.replaced) - _SHOWN} more" if len(sheet.replaced) > _SHOWN else ""
        warnings.append(f"the font has no glyph for {shown}{more}: printed as �")
    if sheet.shortened:
        warnings.append("a text far longer than the schema allows was cut, with … at its end")
    if document.unknown:
        paths = list(dict.fromkeys(document.unknown))
        shown = ", ".join(paths[:_SHOWN]) + (", …" if len(paths) > _SHOWN else "")
        warnings.append(f"elements that the printed form does not know: {shown}")
    return warnings
