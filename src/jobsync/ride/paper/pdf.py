"""
Finished pages -> a PDF, through fpdf2, which only rendering imports.

Text never passes through fpdf2's own text functions: docs/decisions/0012-drawing-below-fpdf2.md.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from io import BytesIO
from typing import cast

from fpdf import FPDF
from fpdf.image_datastructures import ImageCache, RasterImageInfo
from fpdf.image_parsing import preload_image
from fpdf.output import OutputProducer, PDFPage, PDFResources
from fpdf.syntax import Name, PDFContentStream, PDFObject
from PIL import Image, UnidentifiedImageError

from jobsync.ride.paper import PICTURE_BYTES_MAX, fonts

FONT_NAMES: dict[fonts.FaceName, str] = {"regular": "F1", "bold": "F2"}
PICTURE_NAME = "I1"
PICTURE_PIXELS_MAX = 20_000_000
PRINTED_PIXELS = (1000, 400)  # 300 dots per inch in the room it gets
_JPEG_QUALITY = 88
_PICTURES_KEPT = 16
_STEM_WIDTH = {"regular": 80, "bold": 140}  # a hint for viewers that lack the font; it is embedded


class UnusablePicture(Exception):
    """The picture is none, too large, or of another kind than PNG and JPEG; the text says which."""


def assemble(
    pages: Sequence[str],
    *,
    size: fonts.Size,
    picture: RasterImageInfo | None,
    created: datetime,
    attachment: tuple[str, bytes] | None,
    **said: str,
) -> bytes:
    """
    Return the PDF of these pages.

    Args:
        pages: content streams, latin-1, in points from the lower left corner of an A4 sheet; fonts are called as in
            FONT_NAMES and take two bytes a character (UTF-16, big end first), the picture is PICTURE_NAME.
        size: which size of the font files holds all the characters.
        created: aware; part of the bytes, so never the present.
        attachment: the name and bytes of a file to carry along.
        said: title, author, subject, keywords.
    """
    document = FPDF(unit="pt", format="A4")
    document.set_auto_page_break(False)
    document.allow_images_transparency = False
    document.pdf_version = "1.7"
    for what, text in said.items():
        getattr(document, f"set_{what}")(text)
    document.set_creator("jobsync")
    document.set_lang("es-EC")
    document.set_creation_date(created)
    document.str_alias_nb_pages = ""
    for content in pages:
        document.add_page()
        document.pages[document.page].contents = bytearray(content.encode("latin-1"))
    if attachment is not None:
        document.embed_file(
            bytes=attachment[1],
            basename=attachment[0],
            mime_type="application/xml",
            associated_file_relationship="Source",
            modification_date=created,
            compress=True,
            checksum=True,
        )

    class Producer(_Producer):
        font_size = size
        image = picture

    return bytes(document.output(output_producer_class=Producer))


@lru_cache(maxsize=_PICTURES_KEPT)
def read_picture(data: bytes) -> RasterImageInfo:
    """Return a picture to embed, on white, no finer than it is printed; raise UnusablePicture if it cannot be used."""
    if len(data) > PICTURE_BYTES_MAX:
        raise UnusablePicture(f"it is larger than {PICTURE_BYTES_MAX >> 20} MB")
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(data), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > PICTURE_PIXELS_MAX:
                raise UnusablePicture(f"it has {image.width} x {image.height} pixels")
            embeddable = _embeddable(image, data)
    except UnidentifiedImageError as error:
        raise UnusablePicture("it is neither PNG nor JPEG") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnusablePicture(f"it cannot be decoded ({error})") from error
    return cast("RasterImageInfo", preload_image(ImageCache(), embeddable)[2])


def _embeddable(image: Image.Image, data: bytes) -> Image.Image | BytesIO:
    """Return what fpdf2 shall embed: pixels, to be packed without loss, or a JPEG as it is."""
    if image.format == "JPEG":
        image.load()  # finds what is cut off
        small = image.width <= PRINTED_PIXELS[0] and image.height <= PRINTED_PIXELS[1]
        if small and image.mode in ("L", "RGB") and "icc_profile" not in image.info:
            return BytesIO(data)
        image = image.convert("RGB")
        image.thumbnail(PRINTED_PIXELS, Image.Resampling.LANCZOS)
        target = BytesIO()
        image.save(target, "JPEG", quality=_JPEG_QUALITY)
        return target
    layers = image.convert("RGBA")
    layers.thumbnail(PRINTED_PIXELS, Image.Resampling.LANCZOS)
    flat = Image.new("RGB", layers.size, "white")
    flat.paste(layers, mask=layers.getchannel("A"))
    return flat


class _Producer(OutputProducer):
    """fpdf2's producer with our fonts, embedded as they are, where it would cut them anew for each document."""

    font_size: fonts.Size
    image: RasterImageInfo | None

    def _insert_resources(self, page_objs: list[PDFPage]) -> None:
        embedded = " ".join(f"/{name} {self._font(face)} 0 R" for face, name in FONT_NAMES.items())
        images = ""
        if self.image is not None:
            image = self._add_image(RasterImageInfo(self.image))
            images = f"/XObject <</{PICTURE_NAME} {image.id} 0 R>>"
        resources = _Dictionary(f"<</Font <<{embedded}>> {images}>>")
        self._add_pdf_obj(resources)
        for page in page_objs:
            page.resources = cast("PDFResources", resources)

    def _font(self, name: fonts.FaceName) -> int:
        """Add a composite font whose codes are Unicode numbers; return its object's number."""
        face, program = fonts.face(name), fonts.program(name, self.font_size)
        base = f"/AAAAAA+{face.name}"
        file = self._add_pdf_obj(_Deflated(program.font, length1=program.font_bytes))
        glyphs = self._add_pdf_obj(_Deflated(program.glyphs))
        unicode = self._add_pdf_obj(_Deflated(_TO_UNICODE))
        left, bottom, right, top = face.box
        descriptor = self._dictionary(
            f"/Type /FontDescriptor /FontName {base} /Flags 4 /FontBBox [{left} {bottom} {right} {top}]"
            f" /ItalicAngle 0 /Ascent {face.ascent} /Descent {face.descent} /CapHeight {face.cap_height}"
            f" /StemV {_STEM_WIDTH[name]} /FontFile2 {file} 0 R"
        )
        descendant = self._dictionary(
            f"/Type /Font /Subtype /CIDFontType2 /BaseFont {base} /DW 500 /W {program.widths}"
            " /CIDSystemInfo <</Registry (Adobe) /Ordering (Identity) /Supplement 0>>"
            f" /FontDescriptor {descriptor} 0 R /CIDToGIDMap {glyphs} 0 R"
        )
        return self._dictionary(
            f"/Type /Font /Subtype /Type0 /BaseFont {base} /Encoding /Identity-H"
            f" /DescendantFonts [{descendant} 0 R] /ToUnicode {unicode} 0 R"
        )

    def _dictionary(self, body: str) -> int:
        return self._add_pdf_obj(_Dictionary(f"<<{body}>>"))


class _Dictionary(PDFObject):
    def __init__(self, body: str) -> None:
        super().__init__()
        self._body = body

    def serialize(self, *_: object, **__: object) -> str:
        return f"{self.id} 0 obj\n{self._body}\nendobj"


class _Deflated(PDFContentStream):
    def __init__(self, deflated: bytes, *, length1: int | None = None) -> None:
        super().__init__(deflated, compress=False)
        self.filter = Name("FlateDecode")
        self.length1 = length1


_HIGH_BYTES = (0x00, 0x01, 0x02, 0x03, 0x20, 0x21, 0x22, 0xFF)
_TO_UNICODE = zlib.compress(
    (
        "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"
        "/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def\n"
        "/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n"
        "1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n"
        f"{len(_HIGH_BYTES)} beginbfrange\n"
        + "".join(f"<{high:02X}00> <{high:02X}FF> <{high:02X}00>\n" for high in _HIGH_BYTES)
        + "endbfrange\nendcmap\nCMapName currentdict /CMap defineresource pop\nend\nend"
    ).encode()
)
