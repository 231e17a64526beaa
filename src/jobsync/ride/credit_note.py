"""Nota de crédito: where each block stands."""

from __future__ import annotations

from jobsync.ride import codes, totals
from jobsync.ride.blocks import (
    Entry,
    compensation_fields,
    draw_fields,
    information_pieces,
    lines_table,
    machine_fields,
    total_pieces,
)
from jobsync.ride.flow import Flow, Piece
from jobsync.ride.sheet import Sheet
from jobsync.sri.comprobante import CreditNote, Document

TITLE = "NOTA DE CRÉDITO"


def draw(flow: Flow, document: Document, note: CreditNote) -> None:
    """Draw everything below the two boxes."""
    sheet = flow.sheet
    draw_fields(
        flow,
        [
            [
                Entry("Razón Social / Nombres y Apellidos", note.buyer.name, 9),
                Entry("Identificación", note.buyer.id),
            ],
            [
                Entry("Fecha Emisión", document.issue_date_text),
                Entry("Comprobante que se modifica", codes.DOCUMENTS.get(note.modified.code or "", note.modified.code)),
                Entry("Número", note.modified.number),
                Entry("Fecha Emisión (Comprobante a modificar)", note.modified.issue_date),
            ],
            [Entry("Razón de Modificación", note.reason, 9), Entry("Moneda", note.currency)],
        ],
    )
    right = total_pieces(sheet, totals.credit_note_totals(note))
    called = ("Código", "Cód. Adicional")
    lines_table(note.lines, codes_called=called).draw(flow, tail_mm=sum(piece.height_mm for piece in right) + 3)
    flow.y += 3
    flow.pour(right, _notes(sheet, document, note))


def _notes(sheet: Sheet, document: Document, note: CreditNote) -> list[Piece]:
    return [
        *information_pieces(sheet, document.additional),
        *information_pieces(sheet, compensation_fields(note.compensations), "Otros Datos"),
        *information_pieces(sheet, machine_fields(document.machine), "Máquina Fiscal"),
    ]
