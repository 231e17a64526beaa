"""Plain fpdf2 as its manual shows it: a TrueType font, cells, table(), the logo by its path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.ride_loop import main


def prepare(folder: Path, document: dict[str, Any]) -> Callable[[], bytes]:
    """Return what prints the document once."""
    from fpdf import FPDF

    def draw() -> bytes:
        pdf = FPDF(format="A4")
        pdf.set_margin(10)
        pdf.add_font("Face", "", document["font"])
        pdf.add_font("Face", "B", document["bold"])
        pdf.add_page()
        pdf.image(folder / "logo.png", 20, 12, w=60)
        pdf.rect(10, 45, 92, 40)
        pdf.rect(105, 10, 95, 75)
        pdf.set_xy(12, 47)
        for index, text in enumerate(document["issuer"]):
            pdf.set_font("Face", "B" if index == 0 else "", 8)
            pdf.cell(88, 5, text, new_x="LEFT", new_y="NEXT")
        pdf.set_xy(108, 13)
        for index, text in enumerate(document["key_box"]):
            pdf.set_font("Face", "B" if index < 2 else "", 8)
            pdf.cell(88, 5, text, new_x="LEFT", new_y="NEXT")
        left = 109.22
        for place, width in enumerate(document["bars"]):
            if place % 2 == 0:
                pdf.rect(left, 62, width * 0.254, 12.5, style="F")
            left += width * 0.254
        pdf.set_xy(10, 88)
        pdf.set_font("Face", "", 8)
        for text in document["buyer"]:
            pdf.cell(190, 5, text, new_x="LMARGIN", new_y="NEXT")
        pdf.ln(3)
        pdf.set_font("Face", "", 7)
        with pdf.table(col_widths=(28, 18, 84, 22, 18, 20), width=190, line_height=4.4) as table:
            for cells in (document["heads"], *document["rows"]):
                row = table.row()
                for cell in cells:
                    row.cell(cell)
        pdf.ln(3)
        with pdf.table(
            col_widths=(40, 26), width=66, align="RIGHT", line_height=4.4, first_row_as_headings=False
        ) as table:
            for cells in document["totals"]:
                row = table.row()
                for cell in cells:
                    row.cell(cell)
        for text in document["notes"]:
            pdf.cell(190, 4, text, new_x="LMARGIN", new_y="NEXT")
        return bytes(pdf.output())

    return draw


if __name__ == "__main__":
    main("fpdf2", prepare)
