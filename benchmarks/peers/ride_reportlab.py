"""ReportLab: canvas and platypus tables, embedded fonts registered and the logo read once a process."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks.peers.ride_loop import main


def prepare(folder: Path, document: dict[str, Any]) -> Callable[[], bytes]:
    """Return what prints the document once."""
    from reportlab.lib.colors import Color
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import Table, TableStyle

    pdfmetrics.registerFont(TTFont("Face", document["font"]))
    pdfmetrics.registerFont(TTFont("Face-Bold", document["bold"]))
    logo = ImageReader(str(folder / "logo.png"))
    grey = Color(0.92, 0.92, 0.92)
    top = A4[1]

    def draw() -> bytes:
        target = BytesIO()
        canvas = Canvas(target, pagesize=A4)
        canvas.drawImage(logo, 20 * mm, top - 42 * mm, width=60 * mm, height=30 * mm, mask="auto")
        canvas.rect(10 * mm, top - 85 * mm, 92 * mm, 40 * mm)
        canvas.rect(105 * mm, top - 85 * mm, 95 * mm, 75 * mm)
        for index, text in enumerate(document["issuer"]):
            canvas.setFont("Face-Bold" if index == 0 else "Face", 8)
            canvas.drawString(12 * mm, top - (50 + 5 * index) * mm, text)
        for index, text in enumerate(document["key_box"]):
            canvas.setFont("Face-Bold" if index < 2 else "Face", 8)
            canvas.drawString(108 * mm, top - (16 + 5 * index) * mm, text)
        left = 109.22
        for place, width in enumerate(document["bars"]):
            if place % 2 == 0:
                canvas.rect(left * mm, top - 74.5 * mm, width * 0.254 * mm, 12.5 * mm, stroke=0, fill=1)
            left += width * 0.254
        canvas.setFont("Face", 8)
        for index, text in enumerate(document["buyer"]):
            canvas.drawString(10 * mm, top - (91 + 5 * index) * mm, text)
        style = [
            ("FONT", (0, 0), (-1, -1), "Face", 7),
            ("FONT", (0, 0), (-1, 0), "Face-Bold", 7),
            ("BACKGROUND", (0, 0), (-1, 0), grey),
            ("LINEBELOW", (0, 0), (-1, -1), 0.25, Color(0.7, 0.7, 0.7)),
            ("ALIGN", (3, 0), (-1, -1), "RIGHT"),
            ("TOPPADDING", (0, 0), (-1, -1), 1),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ]
        widths = [width * mm for width in (28, 18, 84, 22, 18, 20)]
        table = Table([document["heads"], *document["rows"]], colWidths=widths, repeatRows=1, style=TableStyle(style))
        _, height = table.wrapOn(canvas, 190 * mm, 200 * mm)
        below = top - 106 * mm - height
        table.drawOn(canvas, 10 * mm, below)
        totals = Table(document["totals"], colWidths=[40 * mm, 26 * mm], style=TableStyle(style[:1] + style[3:4]))
        _, height = totals.wrapOn(canvas, 66 * mm, 100 * mm)
        totals.drawOn(canvas, 134 * mm, below - 3 * mm - height)
        canvas.setFont("Face", 7)
        for index, text in enumerate(document["notes"]):
            canvas.drawString(10 * mm, below - (7 + 4 * index) * mm, text)
        canvas.showPage()
        canvas.save()
        return target.getvalue()

    return draw


if __name__ == "__main__":
    main("reportlab", prepare)
