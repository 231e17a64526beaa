"""Comprobante de retención, both versions in the layout of the first: where each block stands."""

from __future__ import annotations

from jobsync.fiscal import codes
from jobsync.fiscal.document import Document, Withheld, Withholding
from jobsync.ride.blocks import (
    Entry,
    TotalLine,
    draw_fields,
    draw_lines,
    information_pieces,
    machine_fields,
    party_row,
    table,
    total_pieces,
)
from jobsync.ride.figures import cents, digits, money
from jobsync.ride.paper.flow import Filled, Flow, TableColumn

TITLE = "COMPROBANTE DE RETENCIÓN"


def draw(flow: Flow, document: Document, withholding: Withholding) -> None:
    """Draw everything below the two boxes."""
    sheet = flow.sheet
    subject, rows = withholding.subject, withholding.rows
    draw_fields(
        flow,
        [
            party_row(subject.name, subject.id, document.issue_date_text),
            [Entry("Dirección", subject.address, 12)],
        ],
    )
    columns: list[Filled] = [
        (TableColumn("Comprobante"), [_document_name(row) for row in rows]),
        (TableColumn("Número", "code"), [row.document.number for row in rows]),
        (TableColumn("Fecha Emisión", "code"), [row.document.issue_date for row in rows]),
        (TableColumn("Ejercicio Fiscal", "code"), [withholding.fiscal_period for _ in rows]),
        (
            TableColumn("Base Imponible para la Retención", "number"),
            [money(row.base) for row in rows],
        ),
        (TableColumn("IMPUESTO", "code"), [codes.withheld_tax(row.tax, row.code) for row in rows]),
        (TableColumn("Código", "code"), [row.code for row in rows]),
        (TableColumn("Porcentaje Retención", "number"), [digits(row.percent) for row in rows]),
        (TableColumn("Valor Retenido", "number"), [money(row.amount) for row in rows]),
    ]
    right = total_pieces(sheet, _total(withholding))
    left = [
        *information_pieces(sheet, document.additional),
        *information_pieces(sheet, machine_fields(document.machine), "Máquina Fiscal"),
    ]
    draw_lines(flow, table(columns), right, left)


def _document_name(row: Withheld) -> str:
    code = row.document.code or ""
    name = codes.DOCUMENTS.get(code.zfill(2), code) or " "
    details = [
        ("Dividendo pagado", row.dividend.paid if row.dividend else None),
        ("Impuesto a la Renta de la sociedad", money(row.dividend.income_tax) if row.dividend else None),
        ("Ejercicio de la utilidad", row.dividend.year if row.dividend else None),
        ("Cajas de banano", digits(row.bananas.boxes) if row.bananas else None),
        ("Precio por caja", money(row.bananas.price) if row.bananas else None),
    ]
    return "\n".join([name, *(f"{label}: {text}" for label, text in details if text)])


def _total(withholding: Withholding) -> list[TotalLine]:
    """Return the sum: the document names none, and a reader wants one; nothing if a row has no readable amount."""
    amounts = [row.amount.value if row.amount else None for row in withholding.rows]
    known = [amount for amount in amounts if amount is not None]
    if not known or len(known) < len(amounts):
        return []
    return [TotalLine("TOTAL RETENIDO", cents(*known), grand=True)]
