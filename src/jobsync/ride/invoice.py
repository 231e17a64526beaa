"""Factura: where each block stands."""

from __future__ import annotations

from jobsync.fiscal import codes
from jobsync.fiscal.document import Document, Export, Field, Invoice, Transport
from jobsync.ride import totals
from jobsync.ride.blocks import (
    GAP,
    Entry,
    compensation_fields,
    draw_fields,
    draw_lines,
    draw_reimbursement_totals,
    draw_reimbursements,
    information_pieces,
    lines_table,
    machine_fields,
    packed,
    party_row,
    payment_pieces,
    small_table,
    total_pieces,
)
from jobsync.ride.figures import digits, has_value, money
from jobsync.ride.paper.flow import Filled, Flow, Piece, TableColumn
from jobsync.ride.paper.sheet import Sheet

TITLE = "FACTURA"


def draw(flow: Flow, document: Document, invoice: Invoice) -> None:
    """Draw everything below the two boxes."""
    sheet = flow.sheet
    buyer = invoice.buyer
    draw_fields(
        flow,
        [
            party_row(buyer.name, buyer.id, document.issue_date_text),
            *packed(
                Entry("Placa / Matrícula", invoice.plate),
                Entry("Guía", invoice.delivery_note),
                Entry("Dirección", buyer.address, 6),
            ),
        ],
    )
    if invoice.export is not None:
        _draw_export(flow, invoice.export)
    right = total_pieces(sheet, totals.invoice_totals(invoice), currency=invoice.currency)
    lines = lines_table(invoice.lines, subsidy_total=invoice.subsidy)
    draw_lines(flow, lines, right, _notes(sheet, document, invoice))
    flow.y += GAP
    draw_reimbursement_totals(flow, invoice.reimbursement_totals, invoice.reimbursements)
    draw_reimbursements(flow, invoice.reimbursements)
    if invoice.transport is not None:
        _draw_transport(flow, invoice.transport)


def _notes(sheet: Sheet, document: Document, invoice: Invoice) -> list[Piece]:
    withheld = [("Valor Retenido IVA", invoice.withheld_vat), ("Valor Retenido Renta", invoice.withheld_income)]
    if not any(has_value(amount) for _, amount in withheld):
        withheld = []
    more = [
        *compensation_fields(invoice.compensations),
        *(Field(name, text) for name, amount in withheld if (text := money(amount))),
        *([Field("Correo Factura Negociable", invoice.negotiable_email)] if invoice.negotiable_email else []),
    ]
    fuel: list[Filled] = [
        (TableColumn("Retención"), [codes.withheld_tax(tax.code, tax.rate_code) for tax in invoice.fuel_withheld]),
        (TableColumn("Código", "code"), [tax.rate_code for tax in invoice.fuel_withheld]),
        (TableColumn("Tarifa", "number"), [digits(tax.rate) for tax in invoice.fuel_withheld]),
        (TableColumn("Valor", "number"), [money(tax.amount) for tax in invoice.fuel_withheld]),
    ]
    return [
        *payment_pieces(sheet, invoice.payments),
        *small_table(sheet, fuel, title="Retenciones"),
        *information_pieces(sheet, document.additional),
        *information_pieces(sheet, more, "Otros Datos"),
        *information_pieces(sheet, machine_fields(document.machine), "Máquina Fiscal"),
    ]


def _draw_export(flow: Flow, export: Export) -> None:
    draw_fields(
        flow,
        [
            [
                Entry("Comercio Exterior", export.foreign_trade, 2),
                Entry("Incoterm", export.incoterm, 2),
                Entry("Lugar Incoterm", export.incoterm_place, 4),
                Entry("Incoterm Total sin Impuestos", export.incoterm_untaxed, 4),
            ],
            [
                Entry("País Origen", export.origin_country, 2),
                Entry("País Destino", export.destination_country, 2),
                Entry("País Adquisición", export.purchase_country, 2),
                Entry("Puerto Embarque", export.loading_port),
                Entry("Puerto Destino", export.discharge_port),
            ],
            [
                Entry("Flete Internacional", money(export.freight)),
                Entry("Seguro Internacional", money(export.insurance)),
                Entry("Gastos Aduaneros", money(export.customs)),
                Entry("Gastos Transporte Otros", money(export.other_transport)),
            ],
        ],
        title="Exportación",
    )


def _draw_transport(flow: Flow, transport: Transport) -> None:
    draw_fields(
        flow,
        [
            [
                Entry("Razón Social / Nombres y Apellidos (Transportista)", transport.carrier.name, 9),
                Entry("Identificación (Transportista)", transport.carrier.id),
            ],
            [
                Entry("Punto de Partida", transport.from_address, 6),
                Entry("Destino (Punto de llegada)", transport.to_address, 6),
            ],
            [
                Entry("Placa", transport.plate),
                Entry("Fecha inicio Transporte", transport.starts),
                Entry("Fecha fin Transporte", transport.ends),
            ],
            *(
                [
                    Entry("Motivo Traslado", one.reason, 3),
                    Entry("Documento Aduanero", one.customs_document),
                    Entry("Código Establecimiento Destino", one.establishment),
                    Entry("Ruta", one.route, 3),
                ]
                for one in transport.destinations
            ),
        ],
        title="Información Sustitutiva de la Guía de Remisión",
    )
