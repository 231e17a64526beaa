"""Nota de crédito: where each block stands."""

from __future__ import annotations

from jobsync.fiscal.document import CreditNote, Document
from jobsync.ride import totals
from jobsync.ride.blocks import (
    Entry,
    compensation_fields,
    draw_fields,
    draw_lines,
    information_pieces,
    lines_table,
    machine_fields,
    note_rows,
    total_pieces,
)
from jobsync.ride.paper.flow import Flow, Piece
from jobsync.ride.paper.sheet import Sheet

TITLE = "NOTA DE CRÉDITO"


def draw(flow: Flow, document: Document, note: CreditNote) -> None:
    """Draw everything below the two boxes."""
    sheet = flow.sheet
    reason = [Entry("Razón de Modificación", note.reason, 12)]
    draw_fields(flow, [*note_rows(document, note), reason])
    lines = lines_table(note.lines, codes_called=("Código", "Cód. Adicional"))
    right = total_pieces(sheet, totals.credit_note_totals(note), currency=note.currency)
    draw_lines(flow, lines, right, _notes(sheet, document, note))


def _notes(sheet: Sheet, document: Document, note: CreditNote) -> list[Piece]:
    return [
        *information_pieces(sheet, document.additional),
        *information_pieces(sheet, compensation_fields(note.compensations), "Otros Datos"),
        *information_pieces(sheet, machine_fields(document.machine), "Máquina Fiscal"),
    ]
