"""Printing an invoice: pages a second, the first from a cold start, size, memory; beside what others would use."""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks import environment, measure
from benchmarks.measure import ROOT, Command, Cost, bare_environment, measured

_PEERS = Path(__file__).with_name("peers")
_OURS = "jobsync"
_CASES = {
    _OURS: "ride_jobsync.py",
    "fpdf2": "ride_fpdf2.py",
    "reportlab": "ride_reportlab.py",
    "weasyprint": "ride_weasyprint.py",
}
_SHOWN = {
    _OURS: "jobsync, XML to PDF",
    "fpdf2": "plain fpdf2, TrueType and table()",
    "reportlab": "ReportLab, embedded fonts",
    "weasyprint": "WeasyPrint",
}
_SLOWER = {_OURS: 10, "reportlab": 2}  # pages in a batch, times --pages: quick ones need more to be told apart
_MEMORY = (_OURS, "reportlab")
_HEADS = ("case", "ms a page", "range of batches", "pages/s", "jobsync is", "first PDF, whole process, ms", "KB")


@dataclass(frozen=True)
class Size:
    """Batches of each case, pages in a batch, lines of the invoice, documents of the memory run."""

    runs: int = 5
    pages: int = 10
    lines: int = 20
    documents: int = 1000


def run(folder: Path, size: Size) -> str:
    """Measure everything and return the report."""
    versions = environment.ensure()
    expected = _write_input(folder, size.lines)
    batches: dict[str, list[float]] = {case: [] for case in _CASES}
    firsts: dict[str, list[Cost]] = {case: [] for case in (*_CASES, "import fpdf")}
    sizes: dict[str, int] = {}
    for case in _CASES:  # bytecode, page cache, and whether it does the whole work
        _measure(folder, case, 0)
        _check(folder / f"{case}.pdf", expected)
    for number in range(size.runs):
        measure.note(f"ride {number + 1} of {size.runs}")
        for case in _CASES:
            told, _ = _measure(folder, case, size.pages * _SLOWER.get(case, 1))
            batches[case].append(statistics.median(told["times"]))
            sizes[case] = told["bytes"]
            firsts[case].append(_measure(folder, case, 0)[1])
        plain = [sys.executable, "-c", "import fpdf"]
        firsts["import fpdf"].append(measured(plain, bare_environment(folder), folder))
    measure.note(f"memory over {size.documents} documents")
    memory = {case: _measure(folder, case, size.documents)[0] for case in _MEMORY}
    shown = {name: versions[name] for name in ("fpdf2", "reportlab", "weasyprint")}
    return _report(size, batches, firsts, sizes, memory, measure.machine(shown))


def _measure(folder: Path, case: str, count: int) -> tuple[dict[str, Any], Cost]:
    python = sys.executable if case == _OURS else environment.PYTHON
    command: Command = [python, _PEERS / _CASES[case], folder, str(count)]
    cost = measured(command, {**bare_environment(folder), "PYTHONPATH": str(ROOT)}, folder)
    told: dict[str, Any] = json.loads(cost.output.strip().splitlines()[-1])
    return told, cost


def _report(
    size: Size,
    batches: dict[str, list[float]],
    firsts: dict[str, list[Cost]],
    sizes: dict[str, int],
    memory: dict[str, dict[str, Any]],
    machine: str,
) -> str:
    ours = statistics.median(batches[_OURS])
    rows = []
    for case, times in batches.items():
        each = statistics.median(times)
        rows.append(
            [
                _SHOWN[case],
                f"{each * 1000:.1f}",
                f"{min(times) * 1000:.1f}–{max(times) * 1000:.1f}",
                f"{1 / each:.0f}",
                "" if case == _OURS else f"{each / ours:.1f} x faster",
                f"{statistics.median(cost.wall_s for cost in firsts[case]) * 1000:.0f}",
                f"{sizes[case] / 1000:.0f}",
            ]
        )
    importing = statistics.median(cost.cpu_s for cost in firsts["import fpdf"]) * 1000
    above = statistics.median(cost.cpu_s for cost in firsts[_OURS]) * 1000 - importing
    kept = [
        [
            _SHOWN[case],
            str(len(told["times"])),
            f"{told['early_mb']:.0f}",
            f"{told['late_mb']:.0f}",
            f"{told['late_mb'] - told['early_mb']:+.1f}",
        ]
        for case, told in memory.items()
    ]
    return "\n".join(
        [
            f"## Printing an invoice of {size.lines} lines",
            "",
            machine,
            "",
            measure.table(_HEADS, rows),
            "",
            f"`python -c 'import fpdf'` takes {importing:.0f} ms of CPU; our whole first PDF {above:.0f} ms more.",
            "",
            measure.table(("memory", "documents", "peak MB after 100", "after all", "grown by"), kept),
        ]
    )


def _write_input(folder: Path, lines: int) -> str:
    """Write the document in every form that a case wants; return its key."""
    from PIL import Image, ImageDraw

    from jobsync.fiscal.document import Sale
    from jobsync.fiscal.read import read_document
    from jobsync.ride.figures import digits
    from jobsync.ride.paper.barcode import code128
    from tests.ride import documents

    xml = documents.invoice(lines=lines)
    document = read_document(xml)
    body = document.body
    assert isinstance(body, Sale)
    logo = Image.new("RGBA", (800, 400), (255, 255, 255, 0))
    draw = ImageDraw.Draw(logo)
    for ring in range(8):
        draw.ellipse((40 * ring, 20 * ring, 800 - 40 * ring, 400 - 20 * ring), fill=(20 + 25 * ring, 90, 60, 255))
    logo.save(folder / "logo.png")
    (folder / "document.xml").write_bytes(xml)
    fonts = environment.VENV / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    issuer = document.issuer
    total = (document.total and document.total.value) or Decimal()
    data = {
        "font": str(fonts / "reportlab" / "fonts" / "Vera.ttf"),
        "bold": str(fonts / "reportlab" / "fonts" / "VeraBd.ttf"),
        "issuer": [
            issuer.name,
            issuer.trade_name,
            f"Dirección Matriz: {issuer.head_office}",
            f"Dirección Sucursal: {issuer.branch}",
            "OBLIGADO A LLEVAR CONTABILIDAD: SI",
        ],
        "key_box": [
            f"R.U.C.: {issuer.ruc}",
            f"FACTURA No. {document.series_number}",
            "NÚMERO DE AUTORIZACIÓN",
            document.access_key,
            "FECHA Y HORA DE AUTORIZACIÓN",
            "16/03/2026 09:05:09",
            "AMBIENTE: PRODUCCIÓN    EMISIÓN: NORMAL",
            "CLAVE DE ACCESO",
        ],
        "bars": code128(document.access_key),
        "buyer": [
            f"Razón Social / Nombres y Apellidos: {body.party.name}",
            f"Identificación: {body.party.id}    Fecha: {document.issue_date_text}",
            f"Dirección: {body.party.address}",
        ],
        "heads": ["Cód. Principal", "Cantidad", "Descripción", "Precio Unitario", "Descuento", "Precio Total"],
        "rows": [
            [
                str(text)
                for text in (
                    line.code,
                    digits(line.quantity),
                    line.description,
                    digits(line.unit_price),
                    digits(line.discount),
                    digits(line.total),
                )
            ]
            for line in body.lines
        ],
        "totals": [
            ["SUBTOTAL 15%", str(digits(body.untaxed))],
            ["SUBTOTAL SIN IMPUESTOS", str(digits(body.untaxed))],
            ["TOTAL DESCUENTO", "0.00"],
            ["IVA 15%", str(digits(body.taxes[0].amount))],
            ["PROPINA", "0.00"],
            ["VALOR TOTAL", str(total)],
        ],
        "notes": [f"{field.name}: {field.value}" for field in document.additional],
    }
    (folder / "document.json").write_text(json.dumps(data))
    return document.access_key


def _check(path: Path, key: str) -> None:
    """End the benchmark if a page has no readable barcode, or lacks the last line or the total."""
    import pypdfium2
    import zxingcpp

    pdf = pypdfium2.PdfDocument(path)
    found = [code.text for code in zxingcpp.read_barcodes(pdf[0].render(scale=300 / 72).to_pil().convert("L"))]
    text = "".join(page.get_textpage().get_text_range() for page in pdf)
    if found != [key] or "VALOR TOTAL" not in text or "RUC Proveedor" not in text:
        raise SystemExit(f"benchmarks: {path.name} is not the whole invoice: {found}")
