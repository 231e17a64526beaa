"""
The nouns of the six fiscal documents: each field with its English name, its type and the tag that it is read from.

A path is relative to the noun's own element; `info` stands for the document's head, `infoFactura` and the like. Numbers
keep the digits that the XML has. Source: the schemas of all six documents and what authorized files carry besides
(docs/facts/ride.md).
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date
from decimal import Decimal

from msgspec.structs import replace

from jobsync.fiscal.access_key import ENVIRONMENTS, DocumentKind, Environment
from jobsync.fiscal.element import Amount, Noun, tag

_KEY = re.compile(r"[0-9]{49}")
_DATE = re.compile(r"([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4})")
_SERIES = ("infoTributaria/estab", "infoTributaria/ptoEmi", "infoTributaria/secuencial")
_ROLES = ("Comprador", "Proveedor", "SujetoRetenido", "Transportista", "Destinatario")


class Party(Noun, frozen=True):
    """The other side: buyer, supplier, taxpayer withheld from, carrier or recipient; the tags say which."""

    NOT_PRINTED = tuple(f"tipoIdentificacion{role}" for role in _ROLES)

    name: str | None = tag(*(f"razonSocial{role}" for role in _ROLES))
    id: str | None = tag(*(f"identificacion{role}" for role in _ROLES), "rucTransportista")
    address: str | None = tag(*(f"direccion{role}" for role in _ROLES[:3]))


class Summary(Noun, frozen=True):
    """What the list of documents needs to know of one; the receiver is its Party, or the first recipient of goods."""

    access_key: str = tag("infoTributaria/claveAcceso")  # right or not
    document_code: str = ""  # as in DocumentKind
    issuer_ruc: str = tag("infoTributaria/ruc")
    issuer_name: str | None = tag("infoTributaria/razonSocial")
    environment: Environment | None = None  # of `ambiente`, else of the key
    series_number: str | None = tag(*_SERIES, joined=True)  # 001-001-000000001, as far as its parts are there
    issue_date: date | None = None  # of `fechaEmision`, else of the key
    receiver_name: str | None = None
    receiver_id: str | None = None
    total: Decimal | None = None  # None for delivery notes; of a withholding, which names none, the sum


class Issuer(Noun, frozen=True):
    """Who issued the document, and the legends the law makes them print, as sent."""

    ruc: str = tag("infoTributaria/ruc")
    name: str = tag("infoTributaria/razonSocial")
    trade_name: str | None = tag("infoTributaria/nombreComercial")
    head_office: str | None = tag("infoTributaria/dirMatriz")
    branch: str | None = tag("info/dirEstablecimiento")
    special_taxpayer: str | None = tag("info/contribuyenteEspecial")  # number of the resolution
    keeps_accounts: str | None = tag("info/obligadoContabilidad")
    withholding_agent: str | None = tag("infoTributaria/agenteRetencion")  # number of the resolution
    rimpe: str | None = tag("infoTributaria/contribuyenteRimpe")
    micro_enterprise: str | None = tag("infoTributaria/regimenMicroempresas")
    rise: str | None = tag("info/rise")


class Field(Noun, frozen=True):
    """A named text: `campoAdicional`, `detAdicional`; either side may be empty, and without both it is left out."""

    name: str = tag("@nombre", default="")
    value: str = tag(".", "@valor", default="")

    def __bool__(self) -> bool:
        return bool(self.name or self.value)


class Tax(Noun, frozen=True):
    """One tax on a line, on the whole document, or on a reimbursed one."""

    code: str | None = tag("codigo")  # codes.TAXES
    rate_code: str | None = tag("codigoPorcentaje")
    rate: Amount | None = tag("tarifa")  # percent; totals often lack it
    base: Amount | None = tag("baseImponible", "baseImponibleReembolso")
    amount: Amount | None = tag("valor", "impuestoReembolso")
    additional_discount: Amount | None = tag("descuentoAdicional")
    refund: Amount | None = tag("valorDevolucionIva")  # the document's total has it taken off already


class Good(Noun, frozen=True):
    """One `detalle` of a delivery note."""

    code: str | None = tag("codigoPrincipal", "codigoInterno")
    auxiliary_code: str | None = tag("codigoAuxiliar", "codigoAdicional")
    description: str | None = tag("descripcion")
    quantity: Amount | None = tag("cantidad")
    details: tuple[Field, ...] = tag("detallesAdicionales/detAdicional")


class Line(Good, frozen=True):
    """One `detalle` of the other documents."""

    unit: str | None = tag("unidadMedida")
    unit_price: Amount | None = tag("precioUnitario")
    price_without_subsidy: Amount | None = tag("precioSinSubsidio")
    discount: Amount | None = tag("descuento")
    total: Amount | None = tag("precioTotalSinImpuesto")
    taxes: tuple[Tax, ...] = tag("impuestos/impuesto")


class Payment(Noun, frozen=True):
    """One `pago`; `method` is a code of the payment table, `term` counts `term_unit`s."""

    method: str | None = tag("formaPago")
    total: Amount | None = tag("total")
    term: Amount | None = tag("plazo")
    term_unit: str | None = tag("unidadTiempo")


class Compensation(Noun, frozen=True):
    """One `compensacion` of 2016 to 2018: points of IVA given back."""

    NOT_PRINTED = ("codigo",)

    rate: Amount | None = tag("tarifa")
    amount: Amount | None = tag("valor")


class Export(Noun, frozen=True):
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
    freight: Amount | None = tag("fleteInternacional")
    insurance: Amount | None = tag("seguroInternacional")
    customs: Amount | None = tag("gastosAduaneros")
    other_transport: Amount | None = tag("gastosTransporteOtros")


class Reimbursement(Noun, frozen=True):
    """One document that somebody paid for the buyer (`reembolsoDetalle`)."""

    NOT_PRINTED = ("tipoIdentificacionProveedorReembolso", "compensacionesReembolso")

    supplier_id: str | None = tag("identificacionProveedorReembolso")
    supplier_country: str | None = tag("codPaisPagoProveedorReembolso")
    supplier_kind: str | None = tag("tipoProveedorReembolso")
    document_code: str | None = tag("codDocReembolso")
    number: str | None = tag("estabDocReembolso", "ptoEmiDocReembolso", "secuencialDocReembolso", joined=True)
    issue_date: str | None = tag("fechaEmisionDocReembolso")
    # spelled with a small a in invoices, with a capital one in withholdings
    authorization: str | None = tag("numeroautorizacionDocReemb", "numeroAutorizacionDocReemb")
    taxes: tuple[Tax, ...] = tag("detalleImpuestos/detalleImpuesto")


class Destination(Noun, frozen=True):
    """Where goods are carried, and why: a `destino` of a transport, a `destinatario` of a delivery note."""

    reason: str | None = tag("motivoTraslado")
    customs_document: str | None = tag("docAduaneroUnico")
    establishment: str | None = tag("codEstabDestino")
    route: str | None = tag("ruta")


class Transport(Noun, frozen=True):
    """Who carries the goods of a delivery note, or of an invoice that stands for one."""

    carrier: Party = tag("")
    from_address: str | None = tag("dirPartida")
    to_address: str | None = tag("dirDestinatario")
    starts: str | None = tag("fechaIniTransporte")
    ends: str | None = tag("fechaFinTransporte")
    plate: str | None = tag("placa")
    destinations: tuple[Destination, ...] = tag("destinos/destino")


class Charge(Noun, frozen=True):
    """Money with its reason: a `motivo` of a debit note, a `rubro` that is collected for somebody else."""

    reason: str | None = tag("razon", "concepto")
    amount: Amount | None = tag("valor", "total")


class Sale(Noun, frozen=True):
    """What an invoice, a purchase settlement or a note on one says; which elements are there makes the difference."""

    party: Party = tag("info")  # the buyer; of a purchase settlement, which the buyer writes, the supplier
    modified_code: str | None = tag("info/codDocModificado")
    modified_number: str | None = tag("info/numDocModificado")
    modified_issue_date: str | None = tag("info/fechaEmisionDocSustento")
    reason: str | None = tag("info/motivo")
    lines: tuple[Line, ...] = tag("detalles/detalle")
    charges: tuple[Charge, ...] = tag("motivos/motivo")  # a debit note has them where others have lines
    delivery_note: str | None = tag("info/guiaRemision")
    plate: str | None = tag("info/placa")
    currency: str | None = tag("info/moneda")
    untaxed: Amount | None = tag("info/totalSinImpuestos")
    discount: Amount | None = tag("info/totalDescuento")
    subsidy: Amount | None = tag("info/totalSubsidio")
    tip: Amount | None = tag("info/propina")
    taxes: tuple[Tax, ...] = tag("info/totalConImpuestos/totalImpuesto", "info/impuestos/impuesto")
    compensations: tuple[Compensation, ...] = tag("info/compensaciones/compensacion")
    payments: tuple[Payment, ...] = tag("info/pagos/pago")
    withheld_vat: Amount | None = tag("info/valorRetIva")
    withheld_income: Amount | None = tag("info/valorRetRenta")
    export: Export = tag("info")
    reimbursed_code: str | None = tag("info/codDocReembolso")
    reimbursed_total: Amount | None = tag("info/totalComprobantesReembolso")
    reimbursed_base: Amount | None = tag("info/totalBaseImponibleReembolso")
    reimbursed_tax: Amount | None = tag("info/totalImpuestoReembolso")
    reimbursements: tuple[Reimbursement, ...] = tag("reembolsos/reembolsoDetalle")
    fuel_withheld: tuple[Tax, ...] = tag("retenciones/retencion")
    transports: tuple[Transport, ...] = tag("infoSustitutivaGuiaRemision")  # the delivery note that it stands for
    third_party_items: tuple[Charge, ...] = tag("otrosRubrosTerceros/rubro")  # part of the total
    negotiable_email: str | None = tag("tipoNegociable/correo")


class SupportingDocument(Noun, frozen=True):
    """The document from whose payment something was withheld; `code` is of the annex's table, 1 to 3 digits."""

    code: str | None = tag("codDocSustento")
    number: str | None = tag("numDocSustento")
    issue_date: str | None = tag("fechaEmisionDocSustento")


class Withheld(Noun, frozen=True):
    """One retention; both versions of the document lead to these."""

    document: SupportingDocument = tag("")
    tax: str | None = tag("codigo")  # codes.WITHHELD_TAXES
    code: str | None = tag("codigoRetencion")
    base: Amount | None = tag("baseImponible")
    percent: Amount | None = tag("porcentajeRetener")
    amount: Amount | None = tag("valorRetenido")
    dividend_paid: str | None = tag("dividendos/fechaPagoDiv")
    dividend_income_tax: Amount | None = tag("dividendos/imRentaSoc")  # what the company paid on the dividend
    dividend_year: str | None = tag("dividendos/ejerFisUtDiv")  # in which it was earned
    banana_boxes: Amount | None = tag("compraCajBanano/numCajBan")
    banana_price: Amount | None = tag("compraCajBanano/precCajBan")  # of one box


class Supported(Noun, frozen=True):
    """One `docSustento`: what was withheld at its payment; the rows' own `document` says nothing."""

    NOT_PRINTED = (
        *("codSustento", "fechaRegistroContable", "numAutDocSustento", "pagoLocExt", "tipoRegi", "paisEfecPago"),
        *("aplicConvDobTrib", "pagExtSujRetNorLeg", "pagoRegFis", "totalSinImpuestos", "importeTotal"),
        *("codDocReembolso", "totalComprobantesReembolso", "totalBaseImponibleReembolso", "totalImpuestoReembolso"),
        *("impuestosDocSustento", "pagos", "reembolsos"),
    )

    document: SupportingDocument = tag("")
    rows: tuple[Withheld, ...] = tag("retenciones/retencion")


class Withholding(Noun, frozen=True):
    """A `comprobanteRetencion` of either version: the older one has `plain` rows, the newer one `supported` ones."""

    NOT_PRINTED = ("info/tipoSujetoRetenido", "info/parteRel")

    subject: Party = tag("info")
    fiscal_period: str | None = tag("info/periodoFiscal")
    plain: tuple[Withheld, ...] = tag("impuestos/impuesto")
    supported: tuple[Supported, ...] = tag("docsSustento/docSustento")

    @property
    def rows(self) -> tuple[Withheld, ...]:
        """All retentions, each with its document."""
        return (*self.plain, *(replace(row, document=one.document) for one in self.supported for row in one.rows))


class Recipient(Noun, frozen=True):
    """One `destinatario`: who gets which goods, why, and for which sale."""

    party: Party = tag("")
    address: str | None = tag("dirDestinatario")
    destination: Destination = tag("")
    document: SupportingDocument = tag("")
    document_authorization: str | None = tag("numAutDocSustento")
    goods: tuple[Good, ...] = tag("detalles/detalle")


class DeliveryNote(Noun, frozen=True):
    """A `guiaRemision`: no money, one carrier, several recipients."""

    transport: Transport = tag("info")
    recipients: tuple[Recipient, ...] = tag("destinatarios/destinatario")


class Document(Noun, frozen=True):
    """A whole fiscal document."""

    NOT_PRINTED = ("infoTributaria/codDoc",)

    kind: DocumentKind  # from the root element
    body: Sale | Withholding | DeliveryNote
    total: Amount | None  # only a withholding and a delivery note name none
    issuer: Issuer = tag("")
    access_key: str = tag("infoTributaria/claveAcceso", default="")  # right or not
    environment_code: str | None = tag("infoTributaria/ambiente")
    emission_type: str | None = tag("infoTributaria/tipoEmision")
    series_number: str | None = tag(*_SERIES, joined=True)  # as in Summary
    issue_date_text: str | None = tag("info/fechaEmision")  # delivery notes have none
    additional: tuple[Field, ...] = tag("infoAdicional/campoAdicional")
    machine_brand: str | None = tag("maquinaFiscal/marca")
    machine_model: str | None = tag("maquinaFiscal/modelo")
    machine_serial: str | None = tag("maquinaFiscal/serie")
    unknown: tuple[str, ...] = ()  # paths of elements that nothing reads

    @property
    def environment(self) -> Environment | None:
        return environment_of(self.environment_code, self.access_key)

    @property
    def issue_date(self) -> date | None:
        return issue_date(self.issue_date_text, self.access_key)


def issue_date(text: str | None, key: str) -> date | None:
    """Return the day that a document names, else that of its access key; None if neither is one."""
    return _date(text or "") or (_date(f"{key[:2]}/{key[2:4]}/{key[4:8]}") if _KEY.fullmatch(key) else None)


def environment_of(text: str | None, key: str) -> Environment | None:
    """Return what `ambiente` says, else the access key."""
    return ENVIRONMENTS.get(text or (key[23] if _KEY.fullmatch(key) else ""))


def _date(text: str) -> date | None:
    found = _DATE.fullmatch(text)
    with suppress(ValueError):
        return date(*map(int, reversed(found.groups()))) if found else None
    return None
