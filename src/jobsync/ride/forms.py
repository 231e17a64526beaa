"""The six documents: where each block stands; what is absent leaves no trace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jobsync.fiscal import codes
from jobsync.fiscal import document as fiscal
from jobsync.fiscal.access_key import DocumentKind
from jobsync.fiscal.element import exact, total_of
from jobsync.ride.blocks import (
    GAP,
    LEFT,
    PARTY,
    SECTION,
    Entry,
    TotalLine,
    draw_fields,
    draw_lines,
    information_pieces,
    small_table,
    table,
    total_pieces,
)
from jobsync.ride.figures import cents, digits, has_value, money, percent
from jobsync.ride.paper.flow import Column, Flow, Piece, Table
from jobsync.ride.paper.sheet import Sheet
from jobsync.ride.totals import sale_totals

TITLES: dict[DocumentKind, str] = {
    **{kind: codes.DOCUMENTS[kind] for kind in DocumentKind},
    DocumentKind.PURCHASE_SETTLEMENT: "LIQUIDACIÓN DE COMPRA DE BIENES Y PRESTACIÓN DE SERVICIOS",
}
_NAME = "Razón Social / Nombres y Apellidos"


def draw(flow: Flow, document: fiscal.Document) -> None:
    """Draw everything below the two boxes."""
    match document.body:
        case fiscal.Sale() as sale:
            _draw_sale(flow, document, sale)
        case fiscal.Withholding() as withholding:
            _draw_withholding(flow, document, withholding)
        case fiscal.DeliveryNote() as note:
            _draw_delivery_note(flow, document, note)


# --- invoice, purchase settlement, credit note, debit note ------------------------------------------------------------


def _draw_sale(flow: Flow, document: fiscal.Document, sale: fiscal.Sale) -> None:
    kind, sheet, party = document.kind, flow.sheet, sale.party
    note = kind in (DocumentKind.CREDIT_NOTE, DocumentKind.DEBIT_NOTE)
    draw_fields(
        flow,
        Entry(_NAME + (" (Proveedor)" if kind is DocumentKind.PURCHASE_SETTLEMENT else ""), party.name, 6, PARTY),
        Entry("Identificación", party.id, 3, PARTY),
        Entry("Fecha Emisión" if note else "Fecha", document.issue_date_text, 3, PARTY),
        Entry("Comprobante que se modifica", codes.DOCUMENTS.get(sale.modified_code or "", sale.modified_code)),
        Entry("Número", sale.modified_number),
        Entry("Fecha Emisión (Comprobante a modificar)", sale.modified_issue_date, 6),
        Entry("Placa / Matrícula", sale.plate),
        Entry("Guía", sale.delivery_note),
        Entry("Dirección", party.address, 6),
        Entry("Razón de Modificación", sale.reason, 12),
    )
    export = sale.export
    draw_fields(
        flow,
        Entry("Comercio Exterior", export.foreign_trade, 2),
        Entry("Incoterm", export.incoterm, 2),
        Entry("Lugar Incoterm", export.incoterm_place, 4),
        Entry("Incoterm Total sin Impuestos", export.incoterm_untaxed, 4),
        Entry("País Origen", export.origin_country, 2),
        Entry("País Destino", export.destination_country, 2),
        Entry("País Adquisición", export.purchase_country, 2),
        Entry("Puerto Embarque", export.loading_port),
        Entry("Puerto Destino", export.discharge_port),
        Entry("Flete Internacional", money(export.freight)),
        Entry("Seguro Internacional", money(export.insurance)),
        Entry("Gastos Aduaneros", money(export.customs)),
        Entry("Gastos Transporte Otros", money(export.other_transport)),
        title="Exportación",
    )
    charges = table(
        Column("Razón de la Modificación", [charge.reason or " " for charge in sale.charges]),
        Column("Valor de la Modificación", [money(charge.amount) for charge in sale.charges], "number"),
    )
    lines = _lines_table(sale, kind)
    if charges.columns and lines.columns:
        charges.draw(flow)
        flow.y += GAP
    assert document.total is not None  # noqa: S101 - only the two other kinds have none
    totals = total_pieces(sheet, sale_totals(sale, document.total), currency=sale.currency)
    draw_lines(flow, lines if lines.columns else charges, totals, _sale_notes(sheet, document, sale))
    flow.y += GAP
    _draw_reimbursements(flow, sale)
    for transport in sale.transports:
        _draw_transport(flow, transport)


def _lines_table(sale: fiscal.Sale, kind: DocumentKind) -> Table:
    lines = sale.lines
    subsidized = has_value(sale.subsidy) or any(has_value(line.price_without_subsidy) for line in lines)
    note = kind is DocumentKind.CREDIT_NOTE
    return table(
        Column("Código" if note else "Cód. Principal", [line.code for line in lines], "code"),
        Column("Cód. Adicional" if note else "Cód. Auxiliar", [line.auxiliary_code for line in lines], "code"),
        Column("Cantidad", [digits(line.quantity) for line in lines], "number"),
        Column("Unidad", [line.unit for line in lines], "code"),
        *_described(lines),
        Column("Precio Unitario", [digits(line.unit_price) for line in lines], "number"),
        Column("Subsidio", [_subsidy(line) for line in lines if subsidized], "number"),
        Column("Precio sin Subsidio", [digits(line.price_without_subsidy) for line in lines if subsidized], "number"),
        Column("Descuento", [money(line.discount) for line in lines], "number"),
        Column("Precio Total", [money(line.total) for line in lines], "number"),
    )


def _described(goods: Sequence[fiscal.Good]) -> tuple[Column, Column]:
    details = ["\n".join(": ".join(filter(None, (one.name, one.value))) for one in good.details) for good in goods]
    return Column("Descripción", [good.description or " " for good in goods]), Column("Detalle Adicional", details)


def _subsidy(line: fiscal.Line) -> str | None:
    """Return what a line's price is subsidized with: the exact difference of its two prices."""
    if line.price_without_subsidy is None or line.unit_price is None:
        return None
    without, price = line.price_without_subsidy.value, line.unit_price.value
    with exact():
        return None if without is None or price is None else f"{without - price:f}"


def _sale_notes(sheet: Sheet, document: fiscal.Document, sale: fiscal.Sale) -> list[Piece]:
    payments, withheld = sale.payments, sale.fuel_withheld
    others = []
    if any(has_value(one.amount) for one in sale.compensations):
        named = ((f"Compensación {digits(one.rate) or ''}%", one.amount) for one in sale.compensations)
        others += [fiscal.Field(name.replace(" %", ""), money(amount) or "") for name, amount in named]
    if has_value(sale.withheld_vat) or has_value(sale.withheld_income):
        taxes = (("Valor Retenido IVA", sale.withheld_vat), ("Valor Retenido Renta", sale.withheld_income))
        others += [fiscal.Field(name, text) for name, amount in taxes if (text := money(amount))]
    if sale.negotiable_email:
        what = "Documento" if document.kind is DocumentKind.PURCHASE_SETTLEMENT else "Factura"
        others.append(fiscal.Field(f"Correo {what} Negociable", sale.negotiable_email))
    return [
        *small_table(
            sheet,
            Column("Forma de pago", [codes.named(codes.PAYMENTS, payment.method) for payment in payments]),
            Column("Valor", [money(payment.total) for payment in payments], "number"),
            Column("Plazo", [digits(payment.term) for payment in payments], "number"),
            Column("Tiempo", [payment.term_unit for payment in payments], "code"),
        ),
        *small_table(
            sheet,
            Column("Retención", [codes.withheld_tax(tax.code, tax.rate_code) for tax in withheld]),
            Column("Código", [tax.rate_code for tax in withheld], "code"),
            Column("Tarifa", [digits(tax.rate) for tax in withheld], "number"),
            Column("Valor", [money(tax.amount) for tax in withheld], "number"),
            title="Retenciones",
        ),
        *_notes(sheet, document, others),
    ]


def _draw_reimbursements(flow: Flow, sale: fiscal.Sale) -> None:
    paid = sale.reimbursements
    sums = [sum_ for sum_ in (sale.reimbursed_total, sale.reimbursed_base, sale.reimbursed_tax) if sum_ is not None]
    if paid or not sums or any(map(has_value, sums)):  # zeros without such documents say nothing
        draw_fields(
            flow,
            Entry("Código Documento Reembolso", codes.named(codes.DOCUMENTS, sale.reimbursed_code)),
            Entry("Total Comprobantes Reembolso", money(sale.reimbursed_total)),
            Entry("Total Base Imponible Reembolso", money(sale.reimbursed_base)),
            Entry("Total Impuesto Reembolso", money(sale.reimbursed_tax)),
            title="Reembolso de Gastos",
        )
    if not paid:
        return
    flow.need(20)
    flow.y += 1.5
    flow.sheet.write(LEFT, flow.y, "Reembolsos", SECTION)
    flow.y += SECTION.line_mm + 0.6
    table(
        Column("Comprobante", [codes.named(codes.DOCUMENTS, one.document_code) for one in paid], "code"),
        Column("Número", [one.number for one in paid], "code"),
        Column("Fecha Emisión", [one.issue_date for one in paid], "code"),
        Column("Proveedor", [_supplier(one) for one in paid], "code"),
        Column("Número de Autorización", [one.authorization for one in paid]),
        Column("Impuesto", ["\n".join(map(_tax_name, one.taxes)) for one in paid], "code"),
        Column("Base Imponible", ["\n".join(money(tax.base) or "–" for tax in one.taxes) for one in paid], "number"),
        Column("Valor Impuesto", ["\n".join(money(tax.amount) or "–" for tax in one.taxes) for one in paid], "number"),
    ).draw(flow)
    flow.y += GAP


def _tax_name(tax: fiscal.Tax) -> str:
    name, rate = codes.TAXES.get(tax.code or "", tax.code or ""), digits(tax.rate)
    return f"{name} {percent(rate)}" if rate else name


def _supplier(one: fiscal.Reimbursement) -> str:
    kind = codes.SUPPLIER_KINDS.get(one.supplier_kind or "", one.supplier_kind)
    country = f"País {one.supplier_country}" if one.supplier_country else None
    return "\n".join(filter(None, (one.supplier_id, kind, country)))


def _draw_transport(flow: Flow, transport: fiscal.Transport) -> None:
    draw_fields(
        flow,
        Entry(f"{_NAME} (Transportista)", transport.carrier.name, 9),
        Entry("Identificación (Transportista)", transport.carrier.id),
        Entry("Punto de Partida", transport.from_address, 6),
        Entry("Destino (Punto de llegada)", transport.to_address, 6),
        Entry("Placa", transport.plate),
        Entry("Fecha inicio Transporte", transport.starts),
        Entry("Fecha fin Transporte", transport.ends, 6),
        *(
            entry
            for one in transport.destinations
            for entry in (
                Entry("Motivo Traslado", one.reason),
                Entry("Documento Aduanero", one.customs_document),
                Entry("Código Establecimiento Destino", one.establishment),
                Entry("Ruta", one.route),
            )
        ),
        title="Información Sustitutiva de la Guía de Remisión",
    )


# --- withholding, both versions in the layout of the first ------------------------------------------------------------


def _draw_withholding(flow: Flow, document: fiscal.Document, withholding: fiscal.Withholding) -> None:
    subject, rows = withholding.subject, withholding.rows
    draw_fields(
        flow,
        Entry(_NAME, subject.name, 6, PARTY),
        Entry("Identificación", subject.id, 3, PARTY),
        Entry("Fecha", document.issue_date_text, 3, PARTY),
        Entry("Dirección", subject.address, 12),
    )
    lines = table(
        Column("Comprobante", [_document_name(row) for row in rows]),
        Column("Número", [row.document.number for row in rows], "code"),
        Column("Fecha Emisión", [row.document.issue_date for row in rows], "code"),
        Column("Ejercicio Fiscal", [withholding.fiscal_period for _ in rows], "code"),
        Column("Base Imponible para la Retención", [money(row.base) for row in rows], "number"),
        Column("IMPUESTO", [codes.withheld_tax(row.tax, row.code) for row in rows], "code"),
        Column("Código", [row.code for row in rows], "code"),
        Column("Porcentaje Retención", [digits(row.percent) for row in rows], "number"),
        Column("Valor Retenido", [money(row.amount) for row in rows], "number"),
    )
    # the document names no sum, and a reader wants one
    total = total_of(row.amount for row in rows)
    totals = [TotalLine("TOTAL RETENIDO", cents(total), grand=True)] if total is not None else []
    draw_lines(flow, lines, total_pieces(flow.sheet, totals), _notes(flow.sheet, document))


def _document_name(row: fiscal.Withheld) -> str:
    code = row.document.code or ""
    name = codes.DOCUMENTS.get(code.zfill(2), code) or " "
    details = [
        ("Dividendo pagado", row.dividend_paid),
        ("Impuesto a la Renta de la sociedad", money(row.dividend_income_tax)),
        ("Ejercicio de la utilidad", row.dividend_year),
        ("Cajas de banano", digits(row.banana_boxes)),
        ("Precio por caja", money(row.banana_price)),
    ]
    return "\n".join([name, *(f"{label}: {text}" for label, text in details if text)])


# --- delivery note: no money, and goods by recipient ------------------------------------------------------------------


def _draw_delivery_note(flow: Flow, document: fiscal.Document, note: fiscal.DeliveryNote) -> None:
    transport, count = note.transport, len(note.recipients)
    draw_fields(
        flow,
        Entry("Identificación (Transportista)", transport.carrier.id, 3, PARTY),
        Entry(_NAME, transport.carrier.name, 6, PARTY),
        Entry("Placa", transport.plate, 3, PARTY),
        Entry("Punto de Partida", transport.from_address, 6),
        Entry("Fecha inicio Transporte", transport.starts),
        Entry("Fecha fin Transporte", transport.ends),
    )
    for number, recipient in enumerate(note.recipients, 1):
        _draw_recipient(flow, recipient, f"Destinatario {number} de {count}" if count > 1 else "Destinatario")
    flow.pour(_notes(flow.sheet, document))


def _draw_recipient(flow: Flow, recipient: fiscal.Recipient, title: str) -> None:
    destination, sale, goods = recipient.destination, recipient.document, recipient.goods
    name = codes.DOCUMENTS.get(sale.code or "", sale.code)
    draw_fields(
        flow,
        Entry("Identificación (Destinatario)", recipient.party.id, 3, PARTY),
        Entry(_NAME, recipient.party.name, 9, PARTY),
        Entry("Destino (Punto de llegada)", recipient.address, 6),
        Entry("Ruta", destination.route, 6),
        Entry("Motivo Traslado", destination.reason, 6),
        Entry("Documento Aduanero", destination.customs_document),
        Entry("Código Establecimiento Destino", destination.establishment),
        Entry("Comprobante de Venta", " ".join(filter(None, (name, sale.number)))),
        Entry("Fecha", sale.issue_date),
        Entry("Número de Autorización", recipient.document_authorization, 6),
        title=title,
    )
    if goods:
        flow.y -= 1
        table(
            Column("Cantidad", [digits(good.quantity) for good in goods], "number"),
            *_described(goods),
            Column("Código Principal", [good.code for good in goods], "code"),
            Column("Código Auxiliar", [good.auxiliary_code for good in goods], "code"),
        ).draw(flow)
        flow.y += 4


def _notes(sheet: Sheet, document: fiscal.Document, others: Iterable[fiscal.Field] = ()) -> list[Piece]:
    machine = (
        ("Marca", document.machine_brand),
        ("Modelo", document.machine_model),
        ("Serie", document.machine_serial),
    )
    return [
        *information_pieces(sheet, document.additional),
        *information_pieces(sheet, [*others], "Otros Datos"),
        *information_pieces(sheet, [fiscal.Field(name, text) for name, text in machine if text], "Máquina Fiscal"),
    ]
