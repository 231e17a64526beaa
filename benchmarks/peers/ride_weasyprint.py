"""WeasyPrint: a page of HTML with embedded fonts, the barcode as SVG; the font configuration is kept."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.peers.ride_loop import main

_STYLE = """
@page { size: A4; margin: 10mm }
@font-face { font-family: Face; src: url(file://%(font)s) }
@font-face { font-family: Face; font-weight: bold; src: url(file://%(bold)s) }
body { font: 7pt Face; margin: 0 }
.box { border: 0.2mm solid #444; padding: 3mm; float: left; box-sizing: border-box; width: 93mm; margin-right: 2mm }
.left { height: 80mm } .left img { width: 60mm }
table { border-collapse: collapse; width: 100%%; clear: both; margin-top: 3mm }
th { background: #eee; text-align: left } td, th { border-bottom: 0.1mm solid #bbb; padding: 0.8mm }
.totals { width: 66mm; float: right }
p { margin: 1mm 0 }
"""


def prepare(folder: Path, document: dict[str, Any]) -> Callable[[], bytes]:
    """Return what prints the document once."""
    from weasyprint import CSS, HTML
    from weasyprint.text.fonts import FontConfiguration

    fonts = FontConfiguration()
    style = CSS(string=_STYLE % document, font_config=fonts)

    def rows(cells: list[list[str]], tag: str = "td") -> str:
        return "".join(f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in row)}</tr>" for row in cells)

    def paragraphs(texts: list[str]) -> str:
        return "".join(f"<p>{escape(text)}</p>" for text in texts)

    def draw() -> bytes:
        bars, left = [], 0
        for place, width in enumerate(document["bars"]):
            if place % 2 == 0:
                bars.append(f'<rect x="{left}" y="0" width="{width}" height="50"/>')
            left += width
        code = f'<svg width="{left * 0.254}mm" height="12.5mm" viewBox="0 0 {left} 50">{"".join(bars)}</svg>'
        html = (
            f'<div class="box left"><img src="file://{folder / "logo.png"}">{paragraphs(document["issuer"])}</div>'
            f'<div class="box">{paragraphs(document["key_box"])}{code}</div>'
            f'<div style="clear:both">{paragraphs(document["buyer"])}</div>'
            f"<table><thead>{rows([document['heads']], 'th')}</thead>{rows(document['rows'])}</table>"
            f'<table class="totals">{rows(document["totals"])}</table>{paragraphs(document["notes"])}'
        )
        return bytes(HTML(string=html).write_pdf(stylesheets=[style], font_config=fonts))

    return draw


if __name__ == "__main__":
    main("weasyprint", prepare)
