"""Nota de débito: where each block stands; reasons stand where other documents have lines."""

from __future__ import annotations

from jobsync.fiscal.document import DebitNote, Document
from jobsync.ride import totals
from jobsync.ride.blocks import (
    compensation_fields,
    draw_fields,
    draw_lines,
    information_pieces,
    machine_fields,
    note_rows,
    payment_pieces,
    table,
    total_pieces,
)
from jobsync.ride.figures import money
from jobsync.ride.paper.flow import Filled, Flow, Piece, TableColumn
from jobsync.ride.paper.sheet import Sheet

TITLE = "NOTA DE DÉBITO"


def draw(flow: Flow, document: Document, note: DebitNote) -> None:
    """Draw everything below the two boxes."""
    sheet = flow.sheet
    draw_fields(flow, note_rows(document, note))
    columns: list[Filled] = [
        (TableColumn("Razón de la Modificación"), [charge.reason or " " for charge in note.charges]),
        (
            TableColumn("Valor de la Modificación", "number"),
            [money(c.amount) for c in note.charges],
        ),
    ]
    right = total_pieces(sheet, totals.debit_note_totals(note))
    draw_lines(flow, table(columns), right, _notes(sheet, document, note))


def _notes(sheet: Sheet, document: Document, note: DebitNote) -> list[Piece]:
    return [
        *payment_pieces(sheet, note.payments),
        *information_pieces(sheet, document.additional),
        *information_pieces(sheet, compensation_fields(note.compensations), "Otros Datos"),
        *information_pieces(sheet, machine_fields(document.machine), "Máquina Fiscal"),
    ]
