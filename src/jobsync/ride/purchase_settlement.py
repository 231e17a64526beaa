"""Liquidación de compra: where each block stands."""

from __future__ import annotations

from jobsync.fiscal.document import Document, Field, PurchaseSettlement
from jobsync.ride import totals
from jobsync.ride.blocks import (
    GAP,
    Entry,
    draw_fields,
    draw_lines,
    draw_reimbursement_totals,
    draw_reimbursements,
    information_pieces,
    lines_table,
    machine_fields,
    party_row,
    payment_pieces,
    total_pieces,
)
from jobsync.ride.paper.flow import Flow, Piece
from jobsync.ride.paper.sheet import Sheet

TITLE = "LIQUIDACIÓN DE COMPRA DE BIENES Y PRESTACIÓN DE SERVICIOS"


def draw(flow: Flow, document: Document, settlement: PurchaseSettlement) -> None:
    """Draw everything below the two boxes."""
    sheet = flow.sheet
    supplier = settlement.supplier
    draw_fields(
        flow,
        [
            party_row(supplier.name, supplier.id, document.issue_date_text, called=" (Proveedor)"),
            [Entry("Dirección", supplier.address, 12)],
        ],
    )
    right = total_pieces(sheet, totals.purchase_settlement_totals(settlement), currency=settlement.currency)
    draw_lines(flow, lines_table(settlement.lines), right, _notes(sheet, document, settlement))
    flow.y += GAP
    draw_reimbursement_totals(flow, settlement.reimbursement_totals, settlement.reimbursements)
    draw_reimbursements(flow, settlement.reimbursements)


def _notes(sheet: Sheet, document: Document, settlement: PurchaseSettlement) -> list[Piece]:
    email = settlement.negotiable_email
    more = [Field("Correo Documento Negociable", email)] if email else []
    return [
        *payment_pieces(sheet, settlement.payments),
        *information_pieces(sheet, document.additional),
        *information_pieces(sheet, more, "Otros Datos"),
        *information_pieces(sheet, machine_fields(document.machine), "Máquina Fiscal"),
    ]
