"""`python -m tests.ride.gallery`: draw the six pages of docs/ride anew, from the invented documents of the tests."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pypdfium2
from PIL import Image, ImageDraw

from jobsync.fiscal.read import read_document
from jobsync.ride.model import Logo
from jobsync.ride.render import render
from tests.ride import documents

FOLDER = Path(__file__).parents[2] / "docs" / "ride"
DPI = 110
COLOURS = 96
PAGES: dict[str, Callable[[], bytes]] = {
    "invoice": lambda: documents.invoice(lines=14, agenteRetencion="1"),
    "purchase_settlement": lambda: documents.purchase_settlement(reimbursed=True),
    "credit_note": lambda: documents.credit_note(lines=4),
    "debit_note": documents.debit_note,
    "withholding": lambda: documents.withholding(rows=3),
    "delivery_note": documents.delivery_note,
}


def logo() -> Logo:
    """Return the mark of a company that does not exist: a tree in a ring."""
    scale = 4
    image = Image.new("RGBA", (300 * scale, 300 * scale), (255, 255, 255, 0))
    draw = ImageDraw.Draw(image)

    def circle(x: int, y: int, radius: int, colour: tuple[int, int, int]) -> None:
        draw.ellipse([scale * value for value in (x - radius, y - radius, x + radius, y + radius)], fill=(*colour, 255))

    circle(150, 150, 146, (46, 92, 72))
    circle(150, 150, 132, (255, 255, 255))
    draw.rectangle([scale * value for value in (141, 150, 159, 245)], fill=(96, 72, 48, 255))
    draw.rectangle([scale * value for value in (70, 240, 230, 248)], fill=(96, 72, 48, 255))
    for x, y, radius in ((150, 95, 48), (104, 128, 38), (196, 128, 38), (150, 140, 40)):
        circle(x, y, radius, (86, 140, 96))
    target = BytesIO()
    image.resize((300, 300), Image.Resampling.LANCZOS).save(target, "PNG")
    return Logo(target.getvalue())


def main() -> None:
    """Write a PNG for each document."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        rendered = render(read_document(make()), documents.AUTHORIZED, logo=logo())
        page = pypdfium2.PdfDocument(rendered.data)[0].render(scale=DPI / 72).to_pil()
        page.quantize(COLOURS).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
