"""Nota de débito: where each block stands; reasons stand where other documents have lines."""

from __future__ import annotations

from jobsync.ride import codes, totals
from jobsync.ride.blocks import (
    Entry,
    compensation_fields,
    digits,
    draw_fields,
    information_pieces,
    machine_fields,
    payment_pieces,
    table,
    total_pieces,
)
from jobsync.ride.flow import Column, Filled, Flow, Piece
from jobsync.ride.sheet import Sheet
from jobsync.sri.comprobante import DebitNote, Document

TITLE = "NOTA DE DÉBITO"


def draw(flow: Flow, document: Document, note: DebitNote) -> None:
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
        ],
    )
    columns: list[Filled] = [
        (Column("Razón de la Modificación"), [charge.reason or " " for charge in note.charges]),
        (
            Column("Valor de la Modificación", "number", most_mm=40, least_mm=32),
            [digits(c.amount) for c in note.charges],
        ),
    ]
    right = total_pieces(sheet, totals.debit_note_totals(note))
    if note.charges:
        table(columns).draw(flow, tail_mm=sum(piece.height_mm for piece in right) + 3)
    flow.y += 3
    flow.pour(right, _notes(sheet, document, note))


def _notes(sheet: Sheet, document: Document, note: DebitNote) -> list[Piece]:
    return [
        *payment_pieces(sheet, note.payments),
        *information_pieces(sheet, document.additional),
        *information_pieces(sheet, compensation_fields(note.compensations), "Otros Datos"),
        *information_pieces(sheet, machine_fields(document.machine), "Máquina Fiscal"),
    ]
