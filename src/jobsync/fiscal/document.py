"""
The nouns of the six fiscal documents: each field with its English name, its meaning and the tag that it is read from.

A path is relative to the noun's own element; `info` stands for the document's head, `infoFactura` and the like. Numbers
keep the digits that the XML has. Source: the schemas of all six documents and what authorized files carry besides
(docs/facts/ride.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum

from jobsync.fiscal.access_key import ENVIRONMENTS, Environment
from jobsync.fiscal.element import (
    Amount,
    Unknown,
    amount_tag,
    attribute,
    each,
    joined_tags,
    need_amount_tag,
    need_tag,
    one,
    own_text_or,
    part,
    part_if_any,
    tag,
)

_KEY = re.compile(r"[0-9]{49}")
_DATE = re.compile(r"([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4})")


class DocumentKind(StrEnum):
    """The six documents, by the SRI's document code."""

    INVOICE = "01"
    PURCHASE_SETTLEMENT = "03"
    CREDIT_NOTE = "04"
    DEBIT_NOTE = "05"
    DELIVERY_NOTE = "06"
    WITHHOLDING = "07"


@dataclass(frozen=True, slots=True)
class Summary:
    """
    What the list of documents needs to know of one.

    Args:
        access_key: as it stands in the document; whether it is 49 right digits is judged elsewhere.
        document_code: "01", "03" to "07".
        environment: from `ambiente`, else from the key; None if neither says.
        series_number: "001-001-000000001", as far as the document names its parts.
        issue_date: from `fechaEmision`, else (delivery notes have none) from the first digits of the key.
        receiver_name, receiver_id: buyer, supplier, taxpayer withheld from, or the first recipient of the goods.
        total: in the document's currency; None for delivery notes. A withholding names none: it is the sum.
    """

    access_key: str
    document_code: str
    issuer_ruc: str
    issuer_name: str | None = None
    environment: Environment | None = None
    series_number: str | None = None
    issue_date: date | None = None
    receiver_name: str | None = None
    receiver_id: str | None = None
    total: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Issuer:
    """
    Who issued the document, and the legends the law makes them print.

    Args:
        special_taxpayer: number of the resolution (`contribuyenteEspecial`).
        keeps_accounts: SI or NO, as sent (`obligadoContabilidad`).
        withholding_agent: number of the resolution (`agenteRetencion`).
        rimpe, micro_enterprise, rise: the legend itself, as sent; the last two in old documents.
    """

    ruc: str = need_tag("infoTributaria/ruc")
    name: str = need_tag("infoTributaria/razonSocial")
    trade_name: str | None = tag("infoTributaria/nombreComercial")
    head_office: str | None = tag("infoTributaria/dirMatriz")
    branch: str | None = tag("info/dirEstablecimiento")
    special_taxpayer: str | None = tag("info/contribuyenteEspecial")
    keeps_accounts: str | None = tag("info/obligadoContabilidad")
    withholding_agent: str | None = tag("infoTributaria/agenteRetencion")
    rimpe: str | None = tag("infoTributaria/contribuyenteRimpe")
    micro_enterprise: str | None = tag("infoTributaria/regimenMicroempresas")
    rise: str | None = tag("info/rise")


@dataclass(frozen=True, slots=True)
class Party:
    """
    The other side: buyer, supplier, carrier or recipient; `id_type` is a code of the identification table.

    The tags depend on who it is, and stand where a noun has one.
    """

    name: str | None = tag("")
    id_type: str | None = tag("")
    id: str | None = tag("")
    address: str | None = tag("")


def _named(suffix: str) -> dict[str, str]:
    """Return the tags of a party, which all end in its role."""
    return {
        "name": f"razonSocial{suffix}",
        "id_type": f"tipoIdentificacion{suffix}",
        "id": f"identificacion{suffix}",
        "address": f"direccion{suffix}",
    }


_CARRIER = {
    "name": "razonSocialTransportista",
    "id_type": "tipoIdentificacionTransportista",
    "id": "rucTransportista",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A named text: `campoAdicional`, `detAdicional`; either side may be empty."""

    name: str = attribute("nombre")
    value: str = own_text_or("valor")

    def __bool__(self) -> bool:
        """Whether it says anything."""
        return bool(self.name or self.value)


@dataclass(frozen=True, slots=True)
class Tax:
    """
    One tax on a line or on the whole document.

    Args:
        code: 2 IVA, 3 ICE, 5 IRBPNR.
        rate_code: `codigoPorcentaje`.
        rate: `tarifa` in percent; totals often lack it.
        refund: `valorDevolucionIva`; the document's total has it taken off already.
    """

    code: str | None = tag("codigo")
    rate_code: str | None = tag("codigoPorcentaje")
    rate: Amount | None = amount_tag("tarifa")
    base: Amount | None = amount_tag("baseImponible")
    amount: Amount | None = amount_tag("valor")
    additional_discount: Amount | None = amount_tag("descuentoAdicional")
    refund: Amount | None = amount_tag("valorDevolucionIva")


_NEITHER = {"additional_discount": "", "refund": ""}  # only taxes of lines and totals have them


@dataclass(frozen=True, slots=True)
class Line:
    """One `detalle`."""

    code: str | None = tag("codigoPrincipal", "codigoInterno")
    auxiliary_code: str | None = tag("codigoAuxiliar", "codigoAdicional")
    description: str | None = tag("descripcion")
    unit: str | None = tag("unidadMedida")
    quantity: Amount | None = amount_tag("cantidad")
    unit_price: Amount | None = amount_tag("precioUnitario")
    price_without_subsidy: Amount | None = amount_tag("precioSinSubsidio")
    discount: Amount | None = amount_tag("descuento")
    total: Amount | None = amount_tag("precioTotalSinImpuesto")
    details: tuple[Field, ...] = each("detallesAdicionales/detAdicional", Field)
    taxes: tuple[Tax, ...] = each("impuestos/impuesto", Tax)


@dataclass(frozen=True, slots=True)
class Payment:
    """One `pago`; `method` is a code of the payment table, `term` counts `term_unit`s."""

    method: str | None = tag("formaPago")
    total: Amount | None = amount_tag("total")
    term: str | None = tag("plazo")
    term_unit: str | None = tag("unidadTiempo")


@dataclass(frozen=True, slots=True)
class Compensation:
    """One `compensacion` of 2016 to 2018: points of IVA given back."""

    code: str | None = tag("codigo")
    rate: Amount | None = amount_tag("tarifa")
    amount: Amount | None = amount_tag("valor")


@dataclass(frozen=True, slots=True)
class Export:
    """What an invoice for export says besides; amounts in the document's currency, countries as codes."""

    foreign_trade: str | None = tag("comercioExterior")
    incoterm: str | None = tag("incoTermFactura")
    incoterm_place: str | None = tag("lugarIncoTerm")
    origin_country: str | None = tag("paisOrigen")
    loading_port: str | None = tag("puertoEmbarque")
    discharge_port: str | None = tag("puertoDestino")
    destination_country: str | None = tag("paisDestino")
    purchase_country: str | None = tag("paisAdquisicion")
    incoterm_untaxed: str | None = tag("incoTermTotalSinImpuestos")
    freight: Amount | None = amount_tag("fleteInternacional")
    insurance: Amount | None = amount_tag("seguroInternacional")
    customs: Amount | None = amount_tag("gastosAduaneros")
    other_transport: Amount | None = amount_tag("gastosTransporteOtros")


@dataclass(frozen=True, slots=True)
class ReimbursementTotals:
    """What all reimbursed documents come to; `code` is 41."""

    code: str | None = tag("codDocReembolso")
    documents: Amount | None = amount_tag("totalComprobantesReembolso")
    base: Amount | None = amount_tag("totalBaseImponibleReembolso")
    tax: Amount | None = amount_tag("totalImpuestoReembolso")


@dataclass(frozen=True, slots=True)
class Reimbursement:
    """One document that somebody paid for the buyer (`reembolsoDetalle`)."""

    supplier_id_type: str | None = tag("tipoIdentificacionProveedorReembolso")
    supplier_id: str | None = tag("identificacionProveedorReembolso")
    supplier_country: str | None = tag("codPaisPagoProveedorReembolso")
    supplier_kind: str | None = tag("tipoProveedorReembolso")
    document_code: str | None = tag("codDocReembolso")
    number: str | None = joined_tags("estabDocReembolso", "ptoEmiDocReembolso", "secuencialDocReembolso")
    issue_date: str | None = tag("fechaEmisionDocReembolso")
    # spelled with a small a in invoices, with a capital one in withholdings
    authorization: str | None = tag("numeroautorizacionDocReemb", "numeroAutorizacionDocReemb")
    taxes: tuple[Tax, ...] = each(
        "detalleImpuestos/detalleImpuesto", Tax, base="baseImponibleReembolso", amount="impuestoReembolso", **_NEITHER
    )
    compensations: tuple[Compensation, ...] = each("compensacionesReembolso/compensacionReembolso", Compensation)


@dataclass(frozen=True, slots=True)
class Destination:
    """One `destino` of a transport."""

    reason: str | None = tag("motivoTraslado")
    customs_document: str | None = tag("docAduaneroUnico")
    establishment: str | None = tag("codEstabDestino")
    route: str | None = tag("ruta")


@dataclass(frozen=True, slots=True)
class Transport:
    """The delivery note that an invoice stands for (`infoSustitutivaGuiaRemision`)."""

    carrier: Party = part(Party, **_CARRIER)
    from_address: str | None = tag("dirPartida")
    to_address: str | None = tag("dirDestinatario")
    starts: str | None = tag("fechaIniTransporte")
    ends: str | None = tag("fechaFinTransporte")
    plate: str | None = tag("placa")
    destinations: tuple[Destination, ...] = each("destinos/destino", Destination)


@dataclass(frozen=True, slots=True)
class ThirdPartyItem:
    """Money collected for somebody else; part of the total."""

    concept: str | None = tag("concepto")
    total: Amount | None = amount_tag("total")


@dataclass(frozen=True, slots=True)
class FiscalMachine:
    """The machine that printed the document."""

    brand: str | None = tag("marca")
    model: str | None = tag("modelo")
    serial: str | None = tag("serie")


@dataclass(frozen=True, slots=True)
class Invoice:
    """A `factura`; totals and lines as they stand, `fuel_withheld` are the retentions within fuel invoices."""

    buyer: Party = part(Party, under="info", **_named("Comprador"))
    total: Amount = need_amount_tag("info/importeTotal")
    lines: tuple[Line, ...] = each("detalles/detalle", Line)
    delivery_note: str | None = tag("info/guiaRemision")
    plate: str | None = tag("info/placa")
    currency: str | None = tag("info/moneda")
    untaxed: Amount | None = amount_tag("info/totalSinImpuestos")
    discount: Amount | None = amount_tag("info/totalDescuento")
    subsidy: Amount | None = amount_tag("info/totalSubsidio")
    tip: Amount | None = amount_tag("info/propina")
    taxes: tuple[Tax, ...] = each("info/totalConImpuestos/totalImpuesto", Tax)
    compensations: tuple[Compensation, ...] = each("info/compensaciones/compensacion", Compensation)
    payments: tuple[Payment, ...] = each("info/pagos/pago", Payment)
    withheld_vat: Amount | None = amount_tag("info/valorRetIva")
    withheld_income: Amount | None = amount_tag("info/valorRetRenta")
    export: Export | None = part_if_any(Export, under="info")
    reimbursement_totals: ReimbursementTotals | None = part_if_any(ReimbursementTotals, under="info")
    reimbursements: tuple[Reimbursement, ...] = each("reembolsos/reembolsoDetalle", Reimbursement)
    fuel_withheld: tuple[Tax, ...] = each("retenciones/retencion", Tax)
    transport: Transport | None = one("infoSustitutivaGuiaRemision", Transport)
    third_party_items: tuple[ThirdPartyItem, ...] = each("otrosRubrosTerceros/rubro", ThirdPartyItem)
    negotiable_email: str | None = tag("tipoNegociable/correo")


@dataclass(frozen=True, slots=True)
class PurchaseSettlement:
    """A `liquidacionCompra`: the buyer writes it for a supplier who cannot."""

    supplier: Party = part(Party, under="info", **_named("Proveedor"))
    total: Amount = need_amount_tag("info/importeTotal")
    lines: tuple[Line, ...] = each("detalles/detalle", Line)
    currency: str | None = tag("info/moneda")
    untaxed: Amount | None = amount_tag("info/totalSinImpuestos")
    discount: Amount | None = amount_tag("info/totalDescuento")
    taxes: tuple[Tax, ...] = each("info/totalConImpuestos/totalImpuesto", Tax)
    payments: tuple[Payment, ...] = each("info/pagos/pago", Payment)
    reimbursement_totals: ReimbursementTotals | None = part_if_any(ReimbursementTotals, under="info")
    reimbursements: tuple[Reimbursement, ...] = each("reembolsos/reembolsoDetalle", Reimbursement)
    negotiable_email: str | None = tag("tipoNegociable/correo")


@dataclass(frozen=True, slots=True)
class Modified:
    """The document that a note changes; `code` is a document code."""

    code: str | None = tag("codDocModificado")
    number: str | None = tag("numDocModificado")
    issue_date: str | None = tag("fechaEmisionDocSustento")


@dataclass(frozen=True, slots=True)
class CreditNote:
    """A `notaCredito`; its total is `valorModificacion`."""

    buyer: Party = part(Party, under="info", **_named("Comprador"))
    modified: Modified = part(Modified, under="info")
    total: Amount = need_amount_tag("info/valorModificacion")
    lines: tuple[Line, ...] = each("detalles/detalle", Line)
    reason: str | None = tag("info/motivo")
    currency: str | None = tag("info/moneda")
    untaxed: Amount | None = amount_tag("info/totalSinImpuestos")
    taxes: tuple[Tax, ...] = each("info/totalConImpuestos/totalImpuesto", Tax)
    compensations: tuple[Compensation, ...] = each("info/compensaciones/compensacion", Compensation)


@dataclass(frozen=True, slots=True)
class Charge:
    """One `motivo` of a debit note."""

    reason: str | None = tag("razon")
    amount: Amount | None = amount_tag("valor")


@dataclass(frozen=True, slots=True)
class DebitNote:
    """A `notaDebito`: it has reasons where others have lines."""

    buyer: Party = part(Party, under="info", **_named("Comprador"))
    modified: Modified = part(Modified, under="info")
    total: Amount = need_amount_tag("info/valorTotal")
    charges: tuple[Charge, ...] = each("motivos/motivo", Charge)
    untaxed: Amount | None = amount_tag("info/totalSinImpuestos")
    taxes: tuple[Tax, ...] = each("info/impuestos/impuesto", Tax)
    compensations: tuple[Compensation, ...] = each("info/compensaciones/compensacion", Compensation)
    payments: tuple[Payment, ...] = each("info/pagos/pago", Payment)


@dataclass(frozen=True, slots=True)
class SupportingDocument:
    """
    The document from whose payment something was withheld.

    Args:
        code: table of documents of the annex; 1 to 3 digits.
        support: `codSustento`, the tax ground; only in `docsSustento`, like all that follows.
    """

    code: str | None = tag("codDocSustento")
    number: str | None = tag("numDocSustento")
    issue_date: str | None = tag("fechaEmisionDocSustento")
    support: str | None = tag("codSustento")
    booked: str | None = tag("fechaRegistroContable")
    authorization: str | None = tag("numAutDocSustento")
    paid_abroad: str | None = tag("pagoLocExt")
    regime: str | None = tag("tipoRegi")
    country: str | None = tag("paisEfecPago")
    treaty: str | None = tag("aplicConvDobTrib")
    foreign_withholding: str | None = tag("pagExtSujRetNorLeg")
    fiscal_regime: str | None = tag("pagoRegFis")
    untaxed: Amount | None = amount_tag("totalSinImpuestos")
    total: Amount | None = amount_tag("importeTotal")
    reimbursement_totals: ReimbursementTotals | None = part_if_any(ReimbursementTotals)
    taxes: tuple[Tax, ...] = each(
        "impuestosDocSustento/impuestoDocSustento",
        Tax,
        code="codImpuestoDocSustento",
        amount="valorImpuesto",
        **_NEITHER,
    )
    payments: tuple[Payment, ...] = each("pagos/pago", Payment)
    reimbursements: tuple[Reimbursement, ...] = each("reembolsos/reembolsoDetalle", Reimbursement)


# of the older version's rows; what follows is in the newer one only
_LATER = {field.name: "" for field in fields(SupportingDocument)[3:]}


@dataclass(frozen=True, slots=True)
class Dividend:
    """When a dividend was paid, the income tax the company paid on it, the year it was earned in."""

    paid: str | None = tag("fechaPagoDiv")
    income_tax: Amount | None = amount_tag("imRentaSoc")
    year: str | None = tag("ejerFisUtDiv")


@dataclass(frozen=True, slots=True)
class Bananas:
    """How many boxes were bought, and the price of one."""

    boxes: Amount | None = amount_tag("numCajBan")
    price: Amount | None = amount_tag("precCajBan")


@dataclass(frozen=True, slots=True)
class Withheld:
    """
    One retention; both versions of the document lead to these.

    Args:
        tax: 1 renta, 2 IVA, 6 ISD.
        code: `codigoRetencion`.
    """

    document: SupportingDocument = part(SupportingDocument, **_LATER)
    tax: str | None = tag("codigo")
    code: str | None = tag("codigoRetencion")
    base: Amount | None = amount_tag("baseImponible")
    percent: Amount | None = amount_tag("porcentajeRetener")
    amount: Amount | None = amount_tag("valorRetenido")
    dividend: Dividend | None = one("dividendos", Dividend)
    bananas: Bananas | None = one("compraCajBanano", Bananas)


@dataclass(frozen=True, slots=True)
class Supported:
    """One `docSustento`: what was withheld at its payment; the rows' own `document` is not set."""

    document: SupportingDocument = part(SupportingDocument)
    rows: tuple[Withheld, ...] = each("retenciones/retencion", Withheld, document="")


@dataclass(frozen=True, slots=True)
class Withholding:
    """A `comprobanteRetencion` of either version: the older one has `plain` rows, the newer one `supported` ones."""

    subject: Party = part(Party, under="info", **_named("SujetoRetenido"))
    fiscal_period: str | None = tag("info/periodoFiscal")
    subject_kind: str | None = tag("info/tipoSujetoRetenido")
    related_party: str | None = tag("info/parteRel")
    plain: tuple[Withheld, ...] = each("impuestos/impuesto", Withheld)
    supported: tuple[Supported, ...] = each("docsSustento/docSustento", Supported)

    @property
    def rows(self) -> tuple[Withheld, ...]:
        """All retentions, each with its document."""
        return (*self.plain, *(replace(row, document=one.document) for one in self.supported for row in one.rows))


@dataclass(frozen=True, slots=True)
class Good:
    """One `detalle` of a delivery note."""

    code: str | None = tag("codigoInterno")
    auxiliary_code: str | None = tag("codigoAdicional")
    description: str | None = tag("descripcion")
    quantity: Amount | None = amount_tag("cantidad")
    details: tuple[Field, ...] = each("detallesAdicionales/detAdicional", Field)


@dataclass(frozen=True, slots=True)
class Recipient:
    """One `destinatario`: who gets which goods, why, and for which sale."""

    party: Party = part(
        Party, name="razonSocialDestinatario", id="identificacionDestinatario", address="dirDestinatario"
    )
    goods: tuple[Good, ...] = each("detalles/detalle", Good)
    reason: str | None = tag("motivoTraslado")
    customs_document: str | None = tag("docAduaneroUnico")
    establishment: str | None = tag("codEstabDestino")
    route: str | None = tag("ruta")
    document_code: str | None = tag("codDocSustento")
    document_number: str | None = tag("numDocSustento")
    document_authorization: str | None = tag("numAutDocSustento")
    document_date: str | None = tag("fechaEmisionDocSustento")


@dataclass(frozen=True, slots=True)
class DeliveryNote:
    """A `guiaRemision`: no money, one carrier, several recipients."""

    carrier: Party = part(Party, under="info", **_CARRIER)
    recipients: tuple[Recipient, ...] = each("destinatarios/destinatario", Recipient)
    from_address: str | None = tag("info/dirPartida")
    starts: str | None = tag("info/fechaIniTransporte")
    ends: str | None = tag("info/fechaFinTransporte")
    plate: str | None = tag("info/placa")


Body = Invoice | PurchaseSettlement | CreditNote | DebitNote | Withholding | DeliveryNote


@dataclass(frozen=True, slots=True)
class Document:
    """
    A whole fiscal document.

    Args:
        kind: from the root element.
        access_key: as it stands in the document, right or not; empty if it names none.
        document_code: `codDoc`, as sent.
        issue_date_text: `fechaEmision` as sent; delivery notes have none.
        additional: `infoAdicional`, in its order.
        unknown: elements that nothing reads.
    """

    kind: DocumentKind
    version: str | None
    issuer: Issuer
    body: Body
    access_key: str = tag("infoTributaria/claveAcceso")
    environment: Environment | None = tag("infoTributaria/ambiente")
    emission_type: str | None = tag("infoTributaria/tipoEmision")
    document_code: str | None = tag("infoTributaria/codDoc")
    establishment: str | None = tag("infoTributaria/estab")
    emission_point: str | None = tag("infoTributaria/ptoEmi")
    sequential: str | None = tag("infoTributaria/secuencial")
    issue_date_text: str | None = tag("info/fechaEmision")
    additional: tuple[Field, ...] = each("infoAdicional/campoAdicional", Field)
    machine: FiscalMachine | None = one("maquinaFiscal", FiscalMachine)
    unknown: tuple[Unknown, ...] = ()

    @property
    def series_number(self) -> str | None:
        """The number people call it by: 001-001-000000001, as far as its parts are there."""
        return series_number(self.establishment, self.emission_point, self.sequential)

    @property
    def issue_date(self) -> date | None:
        """From `fechaEmision`, else from the first eight digits of the key."""
        return issue_date(self.issue_date_text, self.access_key)


def series_number(*parts: str | None) -> str | None:
    """Return establishment, emission point and sequential with hyphens between, as far as they are there."""
    return "-".join(filter(None, parts)) or None


def issue_date(text: str | None, key: str) -> date | None:
    """Return the day that a document names, else that of its access key; None if neither is one."""
    return _date(text or "") or (_date(f"{key[:2]}/{key[2:4]}/{key[4:8]}") if _KEY.fullmatch(key) else None)


def environment_of(text: str | None, key: str) -> Environment | None:
    """Return what `ambiente` says, else the access key."""
    return ENVIRONMENTS.get(text or (key[23] if _KEY.fullmatch(key) else ""))


def _date(text: str) -> date | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    day, month, year = map(int, found.groups())
    try:
        return date(year, month, day)
    except ValueError:
        return None
