"""
The fiscal document inside an answer of the SRI: XML in, frozen nouns out.

What is read follows the elements that are there, never the version that a document claims. Numbers keep the digits that
the XML has. Source: the schemas of all six documents and what authorized files carry besides (docs/facts/ride.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import cast

from lxml import etree

from jobsync.errors import JobsyncError
from jobsync.fiscal.access_key import Environment

DOCUMENT_BYTES_MAX = 64 * 1024 * 1024  # the SRI takes 320 KB; this only keeps a wrong file from filling the memory

_KEY = re.compile(r"[0-9]{49}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_DIGITS_MOST = 100  # the database refuses numbers of more than some ten thousand
_DATE = re.compile(r"([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4})")
_TEXT_KEPT = 200
_SIGNATURE = "Signature"


class UnreadableDocument(JobsyncError):
    """
    The XML is none, or lacks what no fiscal document can lack.

    Args:
        path: the element, from the root: `factura/infoTributaria/ruc`; empty if the XML as a whole is meant.
        line: where its parent, or the trouble, stands in the XML; 0 if unknown.
    """

    def __init__(self, reason: str, *, path: str = "", line: int = 0) -> None:
        self.reason, self.path, self.line = reason, path, line
        super().__init__(f"the fiscal document is unreadable: {reason}" + (f" (line {line})" if line else ""))


class DocumentKind(StrEnum):
    """The six documents, by the SRI's document code."""

    INVOICE = "01"
    PURCHASE_SETTLEMENT = "03"
    CREDIT_NOTE = "04"
    DEBIT_NOTE = "05"
    DELIVERY_NOTE = "06"
    WITHHOLDING = "07"


@dataclass(frozen=True, slots=True)
class Amount:
    """
    A number as it stands in the XML.

    Args:
        text: its digits, without the blanks around them.

    >>> Amount("12.50000").value
    Decimal('12.50000')
    >>> Amount("12,5").value is None
    True
    """

    text: str

    @property
    def value(self) -> Decimal | None:
        """The exact number; None if the text is no plain decimal number, or one of absurd length."""
        return Decimal(self.text) if len(self.text) <= _DIGITS_MOST and _NUMBER.fullmatch(self.text) else None


@dataclass(frozen=True, slots=True)
class Unknown:
    """An element that nothing reads: its path from the root, its line, the beginning of its text."""

    path: str
    line: int
    text: str = ""


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

    ruc: str
    name: str
    trade_name: str | None = None
    head_office: str | None = None
    branch: str | None = None
    special_taxpayer: str | None = None
    keeps_accounts: str | None = None
    withholding_agent: str | None = None
    rimpe: str | None = None
    micro_enterprise: str | None = None
    rise: str | None = None


@dataclass(frozen=True, slots=True)
class Party:
    """The other side: buyer, supplier, carrier or recipient; `id_type` is a code of the identification table."""

    name: str | None = None
    id_type: str | None = None
    id: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """A named text: `campoAdicional`, `detAdicional`; either side may be empty."""

    name: str
    value: str


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

    code: str | None
    rate_code: str | None
    rate: Amount | None = None
    base: Amount | None = None
    amount: Amount | None = None
    additional_discount: Amount | None = None
    refund: Amount | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One `detalle`."""

    code: str | None = None
    auxiliary_code: str | None = None
    description: str | None = None
    unit: str | None = None
    quantity: Amount | None = None
    unit_price: Amount | None = None
    price_without_subsidy: Amount | None = None
    discount: Amount | None = None
    total: Amount | None = None
    details: tuple[Field, ...] = ()
    taxes: tuple[Tax, ...] = ()


@dataclass(frozen=True, slots=True)
class Payment:
    """One `pago`; `method` is a code of the payment table, `term` counts `term_unit`s."""

    method: str | None = None
    total: Amount | None = None
    term: str | None = None
    term_unit: str | None = None


@dataclass(frozen=True, slots=True)
class Compensation:
    """One `compensacion` of 2016 to 2018: points of IVA given back."""

    code: str | None = None
    rate: Amount | None = None
    amount: Amount | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """What an invoice for export says besides; amounts in the document's currency, countries as codes."""

    foreign_trade: str | None = None
    incoterm: str | None = None
    incoterm_place: str | None = None
    origin_country: str | None = None
    loading_port: str | None = None
    discharge_port: str | None = None
    destination_country: str | None = None
    purchase_country: str | None = None
    incoterm_untaxed: str | None = None
    freight: Amount | None = None
    insurance: Amount | None = None
    customs: Amount | None = None
    other_transport: Amount | None = None


@dataclass(frozen=True, slots=True)
class ReimbursementTotals:
    """What all reimbursed documents come to; `code` is 41."""

    code: str | None = None
    documents: Amount | None = None
    base: Amount | None = None
    tax: Amount | None = None


@dataclass(frozen=True, slots=True)
class Reimbursement:
    """One document that somebody paid for the buyer (`reembolsoDetalle`)."""

    supplier_id_type: str | None = None
    supplier_id: str | None = None
    supplier_country: str | None = None
    supplier_kind: str | None = None
    document_code: str | None = None
    number: str | None = None
    issue_date: str | None = None
    authorization: str | None = None
    taxes: tuple[Tax, ...] = ()
    compensations: tuple[Compensation, ...] = ()


@dataclass(frozen=True, slots=True)
class Transport:
    """The delivery note that an invoice stands for (`infoSustitutivaGuiaRemision`)."""

    carrier: Party
    from_address: str | None = None
    to_address: str | None = None
    starts: str | None = None
    ends: str | None = None
    plate: str | None = None
    destinations: tuple[Destination, ...] = ()


@dataclass(frozen=True, slots=True)
class Destination:
    """One `destino` of such a transport."""

    reason: str | None = None
    customs_document: str | None = None
    establishment: str | None = None
    route: str | None = None


@dataclass(frozen=True, slots=True)
class ThirdPartyItem:
    """Money collected for somebody else; part of the total."""

    concept: str | None = None
    total: Amount | None = None


@dataclass(frozen=True, slots=True)
class FiscalMachine:
    """The machine that printed the document."""

    brand: str | None = None
    model: str | None = None
    serial: str | None = None


@dataclass(frozen=True, slots=True)
class Invoice:
    """A `factura`; totals and lines as they stand, `fuel_withheld` are the retentions within fuel invoices."""

    buyer: Party
    total: Amount
    lines: tuple[Line, ...]
    delivery_note: str | None = None
    plate: str | None = None
    currency: str | None = None
    untaxed: Amount | None = None
    discount: Amount | None = None
    subsidy: Amount | None = None
    tip: Amount | None = None
    taxes: tuple[Tax, ...] = ()
    compensations: tuple[Compensation, ...] = ()
    payments: tuple[Payment, ...] = ()
    withheld_vat: Amount | None = None
    withheld_income: Amount | None = None
    export: Export | None = None
    reimbursement_totals: ReimbursementTotals | None = None
    reimbursements: tuple[Reimbursement, ...] = ()
    fuel_withheld: tuple[Tax, ...] = ()
    transport: Transport | None = None
    third_party_items: tuple[ThirdPartyItem, ...] = ()
    negotiable_email: str | None = None


@dataclass(frozen=True, slots=True)
class PurchaseSettlement:
    """A `liquidacionCompra`: the buyer writes it for a supplier who cannot."""

    supplier: Party
    total: Amount
    lines: tuple[Line, ...]
    currency: str | None = None
    untaxed: Amount | None = None
    discount: Amount | None = None
    taxes: tuple[Tax, ...] = ()
    payments: tuple[Payment, ...] = ()
    reimbursement_totals: ReimbursementTotals | None = None
    reimbursements: tuple[Reimbursement, ...] = ()
    negotiable_email: str | None = None


@dataclass(frozen=True, slots=True)
class Modified:
    """The document that a note changes; `code` is a document code."""

    code: str | None = None
    number: str | None = None
    issue_date: str | None = None


@dataclass(frozen=True, slots=True)
class CreditNote:
    """A `notaCredito`; its total is `valorModificacion`."""

    buyer: Party
    modified: Modified
    total: Amount
    lines: tuple[Line, ...]
    reason: str | None = None
    currency: str | None = None
    untaxed: Amount | None = None
    taxes: tuple[Tax, ...] = ()
    compensations: tuple[Compensation, ...] = ()


@dataclass(frozen=True, slots=True)
class Charge:
    """One `motivo` of a debit note."""

    reason: str | None = None
    amount: Amount | None = None


@dataclass(frozen=True, slots=True)
class DebitNote:
    """A `notaDebito`: it has reasons where others have lines."""

    buyer: Party
    modified: Modified
    total: Amount
    charges: tuple[Charge, ...]
    untaxed: Amount | None = None
    taxes: tuple[Tax, ...] = ()
    compensations: tuple[Compensation, ...] = ()
    payments: tuple[Payment, ...] = ()


@dataclass(frozen=True, slots=True)
class SupportingDocument:
    """
    The document from whose payment something was withheld.

    Args:
        code: table of documents of the annex; 1 to 3 digits.
        support: `codSustento`, the tax ground; only in `docsSustento`, like all that follows.
    """

    code: str | None = None
    number: str | None = None
    issue_date: str | None = None
    support: str | None = None
    booked: str | None = None
    authorization: str | None = None
    paid_abroad: str | None = None
    regime: str | None = None
    country: str | None = None
    treaty: str | None = None
    foreign_withholding: str | None = None
    fiscal_regime: str | None = None
    untaxed: Amount | None = None
    total: Amount | None = None
    reimbursement_totals: ReimbursementTotals | None = None
    taxes: tuple[Tax, ...] = ()
    payments: tuple[Payment, ...] = ()
    reimbursements: tuple[Reimbursement, ...] = ()


@dataclass(frozen=True, slots=True)
class Dividend:
    """When a dividend was paid, the income tax the company paid on it, the year it was earned in."""

    paid: str | None = None
    income_tax: Amount | None = None
    year: str | None = None


@dataclass(frozen=True, slots=True)
class Bananas:
    """How many boxes were bought, and the price of one."""

    boxes: Amount | None = None
    price: Amount | None = None


@dataclass(frozen=True, slots=True)
class Withheld:
    """
    One retention; both versions of the document lead to these.

    Args:
        tax: 1 renta, 2 IVA, 6 ISD.
        code: `codigoRetencion`.
    """

    tax: str | None
    code: str | None
    base: Amount | None
    percent: Amount | None
    amount: Amount | None
    document: SupportingDocument
    dividend: Dividend | None = None
    bananas: Bananas | None = None


@dataclass(frozen=True, slots=True)
class Withholding:
    """A `comprobanteRetencion` of either version."""

    subject: Party
    fiscal_period: str | None
    rows: tuple[Withheld, ...]
    subject_kind: str | None = None
    related_party: str | None = None


@dataclass(frozen=True, slots=True)
class Good:
    """One `detalle` of a delivery note."""

    code: str | None = None
    auxiliary_code: str | None = None
    description: str | None = None
    quantity: Amount | None = None
    details: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipient:
    """One `destinatario`: who gets which goods, why, and for which sale."""

    party: Party
    goods: tuple[Good, ...]
    reason: str | None = None
    customs_document: str | None = None
    establishment: str | None = None
    route: str | None = None
    document_code: str | None = None
    document_number: str | None = None
    document_authorization: str | None = None
    document_date: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryNote:
    """A `guiaRemision`: no money, one carrier, several recipients."""

    carrier: Party
    recipients: tuple[Recipient, ...]
    from_address: str | None = None
    starts: str | None = None
    ends: str | None = None
    plate: str | None = None


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
    access_key: str
    issuer: Issuer
    body: Body
    environment: Environment | None = None
    emission_type: str | None = None
    document_code: str | None = None
    establishment: str | None = None
    emission_point: str | None = None
    sequential: str | None = None
    issue_date_text: str | None = None
    additional: tuple[Field, ...] = ()
    machine: FiscalMachine | None = None
    unknown: tuple[Unknown, ...] = ()

    @property
    def series_number(self) -> str | None:
        """The number people call it by: 001-001-000000001, as far as its parts are there."""
        return _series_number(self.establishment, self.emission_point, self.sequential)

    @property
    def issue_date(self) -> date | None:
        """From `fechaEmision`, else from the first eight digits of the key."""
        return _date(self.issue_date_text) or _date_of_key(self.access_key)


def read_summary(xml: bytes) -> Summary:
    """
    Read what the list of documents needs; only key, RUC and kind must be there, all else is None if it is unreadable.

    Args:
        xml: a bare fiscal document, without wrapper.

    Raises:
        UnreadableDocument: it is no fiscal document, or lacks the access key or the issuer's RUC.
    """
    root = _Element.root(xml)
    kind = _kind(root)
    tax = root.need_child("infoTributaria")
    key, ruc = tax.need("claveAcceso"), tax.need("ruc")
    info = root.child(_INFO[kind])
    name, identification = _RECEIVER.get(kind, ("", ""))
    holder = info
    if kind is DocumentKind.DELIVERY_NOTE:
        holder = next(root.items("destinatarios", "destinatario"), None)
    return Summary(
        access_key=key,
        document_code=kind.value,
        issuer_ruc=ruc,
        issuer_name=tax.text("razonSocial"),
        environment=_environment(tax.text("ambiente"), key),
        series_number=_series_number(tax.text("estab"), tax.text("ptoEmi"), tax.text("secuencial")),
        issue_date=_date(info.text("fechaEmision") if info else None) or _date_of_key(key),
        receiver_name=holder.text(name) if holder else None,
        receiver_id=holder.text(identification) if holder else None,
        total=_summary_total(kind, root, info),
    )


def read_document(xml: bytes) -> Document:
    """
    Read a whole fiscal document.

    Args:
        xml: a bare fiscal document, without wrapper; its signature is passed over.

    Raises:
        UnreadableDocument: it is no fiscal document, or lacks what no such document can: the issuer's RUC and name, the
            total where there is one. The error names element and line.
    """
    root = _Element.root(xml)
    kind = _kind(root)
    tax = root.need_child("infoTributaria")
    info = root.need_child(_INFO[kind])
    key = tax.text("claveAcceso") or ""
    issuer = Issuer(
        ruc=tax.need("ruc"),
        name=tax.need("razonSocial"),
        trade_name=tax.text("nombreComercial"),
        head_office=tax.text("dirMatriz"),
        branch=info.text("dirEstablecimiento"),
        special_taxpayer=info.text("contribuyenteEspecial"),
        keeps_accounts=info.text("obligadoContabilidad"),
        withholding_agent=tax.text("agenteRetencion"),
        rimpe=tax.text("contribuyenteRimpe"),
        micro_enterprise=tax.text("regimenMicroempresas"),
        rise=info.text("rise"),
    )
    return Document(
        kind=kind,
        version=root.attribute("version"),
        access_key=key,
        issuer=issuer,
        body=_BODY[kind](root, info),
        environment=_environment(tax.text("ambiente"), key),
        emission_type=tax.text("tipoEmision"),
        document_code=tax.text("codDoc"),
        establishment=tax.text("estab"),
        emission_point=tax.text("ptoEmi"),
        sequential=tax.text("secuencial"),
        issue_date_text=info.text("fechaEmision"),
        additional=tuple(_named_texts(root.items("infoAdicional", "campoAdicional"))),
        machine=_machine(root.child("maquinaFiscal")),
        unknown=root.unread(),
    )


# --- one element, and what of it was read ----------------------------------------------------------------------------


class _Element:
    """An element whose children are taken one by one; what nobody takes is unknown."""

    __slots__ = ("_children", "_node", "_opened", "_path")

    def __init__(self, node: etree._Element, path: str, opened: list[_Element]) -> None:
        children: dict[str, list[etree._Element]] = {}
        for child in node:
            children.setdefault(_local(child.tag), []).append(child)
        self._node, self._path, self._children, self._opened = node, path, children, opened
        opened.append(self)

    @classmethod
    def root(cls, xml: bytes) -> _Element:
        node = _parse(xml)
        return cls(node, _local(node.tag), [])

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2]

    @property
    def line(self) -> int:
        return _line_of(self._node)

    def text(self, name: str) -> str | None:
        """Return the child's text without the blanks around it; None if it is absent or blank."""
        nodes = self._children.get(name)
        return _text(nodes.pop(0)) or None if nodes else None

    def need(self, name: str) -> str:
        text = self.text(name)
        if text is None:
            raise self._lacking(name)
        return text

    def amount(self, name: str) -> Amount | None:
        text = self.text(name)
        return None if text is None else Amount(text)

    def need_amount(self, name: str) -> Amount:
        amount = Amount(self.need(name))
        if not any(map(str.isdecimal, amount.text)):  # a decimal comma is no number either, but people can read it
            raise UnreadableDocument(f"{self._path}/{name} is no number", path=f"{self._path}/{name}", line=self.line)
        return amount

    def attribute(self, name: str) -> str | None:
        return str(self._node.get(name) or "").strip() or None

    def own_text(self) -> str:
        return _text(self._node)

    def child(self, name: str) -> _Element | None:
        nodes = self._children.get(name)
        return _Element(nodes.pop(0), f"{self._path}/{name}", self._opened) if nodes else None

    def need_child(self, name: str) -> _Element:
        child = self.child(name)
        if child is None:
            raise self._lacking(name)
        return child

    def each(self, name: str) -> Iterator[_Element]:
        for node in self._children.pop(name, ()):
            yield _Element(node, f"{self._path}/{name}", self._opened)

    def items(self, container: str, name: str) -> Iterator[_Element]:
        """Iterate over the named children of a container that may be absent, or there several times."""
        for holder in self.each(container):
            yield from holder.each(name)

    def unread(self) -> tuple[Unknown, ...]:
        """Return what nobody took, here and in every element opened from the same root."""
        return tuple(unknown for element in self._opened for unknown in element.left())

    def left(self) -> Iterator[Unknown]:
        """Iterate over the children that nobody took, but for the signature."""
        for name, nodes in self._children.items():
            for node in nodes:
                if name != _SIGNATURE:
                    yield Unknown(f"{self._path}/{name}", _line_of(node), _text(node)[:_TEXT_KEPT])

    def _lacking(self, name: str) -> UnreadableDocument:
        return UnreadableDocument(f"{self._path}/{name} is missing", path=f"{self._path}/{name}", line=self.line)


def _parse(xml: bytes) -> etree._Element:
    if len(xml) > DOCUMENT_BYTES_MAX:
        raise UnreadableDocument(f"it is larger than {DOCUMENT_BYTES_MAX >> 20} MB")
    parser = etree.XMLParser(
        # whoever unwrapped the document wrote UTF-8, whatever its declaration says
        encoding="utf-8" if _is_utf8(xml) else None,
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        node = etree.fromstring(xml.strip(), parser)
    except etree.XMLSyntaxError as error:
        raise UnreadableDocument(f"it is not XML: {error.msg}", line=error.lineno or 0) from error
    except ValueError as error:
        raise UnreadableDocument(f"it is not XML: {error}") from error
    if node.getroottree().docinfo.internalDTD is not None:
        raise UnreadableDocument("it carries a DOCTYPE, which no fiscal document has")
    return node


def _is_utf8(xml: bytes) -> bool:
    try:
        xml.decode()
    except UnicodeDecodeError:
        return False
    return True


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _line_of(node: etree._Element) -> int:
    return cast("int | None", node.sourceline) or 0


def _text(node: etree._Element) -> str:
    return (node.text or "").strip()


# --- parts that several documents share ------------------------------------------------------------------------------


def _kind(root: _Element) -> DocumentKind:
    kind = _KINDS.get(root.name.lower())
    if kind is None:
        raise UnreadableDocument(f"its root is <{root.name}>, not a fiscal document", path=root.name, line=root.line)
    return kind


def _environment(text: str | None, key: str) -> Environment | None:
    code = text or (key[23] if _KEY.fullmatch(key) else "")
    return cast("Environment | None", {"1": "test", "2": "production"}.get(code))


def _series_number(*parts: str | None) -> str | None:
    return "-".join(filter(None, parts)) or None


def _date(text: str | None) -> date | None:
    found = _DATE.fullmatch(text or "")
    if found is None:
        return None
    day, month, year = map(int, found.groups())
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _date_of_key(key: str) -> date | None:
    return _date(f"{key[:2]}/{key[2:4]}/{key[4:8]}") if _KEY.fullmatch(key) else None


def _summary_total(kind: DocumentKind, root: _Element, info: _Element | None) -> Decimal | None:
    if kind is DocumentKind.WITHHOLDING:
        amounts = [row.amount.value if row.amount else None for row in _withheld(root)]
        known = [amount for amount in amounts if amount is not None]
        return sum(known, Decimal()) if known and len(known) == len(amounts) else None
    name = _TOTAL.get(kind)
    amount = info.amount(name) if info and name else None
    return amount.value if amount else None


def _party(element: _Element, suffix: str) -> Party:
    return Party(
        name=element.text(f"razonSocial{suffix}"),
        id_type=element.text(f"tipoIdentificacion{suffix}"),
        id=element.text(f"identificacion{suffix}"),
        address=element.text(f"direccion{suffix}"),
    )


def _named_texts(elements: Iterator[_Element]) -> Iterator[Field]:
    for element in elements:
        field = Field(element.attribute("nombre") or "", element.own_text() or element.attribute("valor") or "")
        if field.name or field.value:
            yield field


def _tax(element: _Element) -> Tax:
    return Tax(
        code=element.text("codigo"),
        rate_code=element.text("codigoPorcentaje"),
        rate=element.amount("tarifa"),
        base=element.amount("baseImponible"),
        amount=element.amount("valor"),
        additional_discount=element.amount("descuentoAdicional"),
        refund=element.amount("valorDevolucionIva"),
    )


def _line(element: _Element) -> Line:
    return Line(
        code=element.text("codigoPrincipal") or element.text("codigoInterno"),
        auxiliary_code=element.text("codigoAuxiliar") or element.text("codigoAdicional"),
        description=element.text("descripcion"),
        unit=element.text("unidadMedida"),
        quantity=element.amount("cantidad"),
        unit_price=element.amount("precioUnitario"),
        price_without_subsidy=element.amount("precioSinSubsidio"),
        discount=element.amount("descuento"),
        total=element.amount("precioTotalSinImpuesto"),
        details=tuple(_named_texts(element.items("detallesAdicionales", "detAdicional"))),
        taxes=tuple(map(_tax, element.items("impuestos", "impuesto"))),
    )


def _payment(element: _Element) -> Payment:
    return Payment(
        method=element.text("formaPago"),
        total=element.amount("total"),
        term=element.text("plazo"),
        term_unit=element.text("unidadTiempo"),
    )


def _compensation(element: _Element) -> Compensation:
    return Compensation(element.text("codigo"), element.amount("tarifa"), element.amount("valor"))


def _machine(element: _Element | None) -> FiscalMachine | None:
    if element is None:
        return None
    return FiscalMachine(element.text("marca"), element.text("modelo"), element.text("serie"))


def _reimbursement_totals(element: _Element) -> ReimbursementTotals | None:
    totals = ReimbursementTotals(
        code=element.text("codDocReembolso"),
        documents=element.amount("totalComprobantesReembolso"),
        base=element.amount("totalBaseImponibleReembolso"),
        tax=element.amount("totalImpuestoReembolso"),
    )
    return None if totals == ReimbursementTotals() else totals


def _reimbursement(element: _Element) -> Reimbursement:
    return Reimbursement(
        supplier_id_type=element.text("tipoIdentificacionProveedorReembolso"),
        supplier_id=element.text("identificacionProveedorReembolso"),
        supplier_country=element.text("codPaisPagoProveedorReembolso"),
        supplier_kind=element.text("tipoProveedorReembolso"),
        document_code=element.text("codDocReembolso"),
        number=_series_number(
            element.text("estabDocReembolso"),
            element.text("ptoEmiDocReembolso"),
            element.text("secuencialDocReembolso"),
        ),
        issue_date=element.text("fechaEmisionDocReembolso"),
        # spelled with a small a in invoices, with a capital one in withholdings
        authorization=element.text("numeroautorizacionDocReemb") or element.text("numeroAutorizacionDocReemb"),
        taxes=tuple(
            Tax(
                code=tax.text("codigo"),
                rate_code=tax.text("codigoPorcentaje"),
                rate=tax.amount("tarifa"),
                base=tax.amount("baseImponibleReembolso"),
                amount=tax.amount("impuestoReembolso"),
            )
            for tax in element.items("detalleImpuestos", "detalleImpuesto")
        ),
        compensations=tuple(map(_compensation, element.items("compensacionesReembolso", "compensacionReembolso"))),
    )


def _modified(info: _Element) -> Modified:
    return Modified(info.text("codDocModificado"), info.text("numDocModificado"), info.text("fechaEmisionDocSustento"))


# --- the six documents -----------------------------------------------------------------------------------------------


def _invoice(root: _Element, info: _Element) -> Invoice:
    return Invoice(
        buyer=_party(info, "Comprador"),
        total=info.need_amount("importeTotal"),
        lines=tuple(map(_line, root.items("detalles", "detalle"))),
        delivery_note=info.text("guiaRemision"),
        plate=info.text("placa"),
        currency=info.text("moneda"),
        untaxed=info.amount("totalSinImpuestos"),
        discount=info.amount("totalDescuento"),
        subsidy=info.amount("totalSubsidio"),
        tip=info.amount("propina"),
        taxes=tuple(map(_tax, info.items("totalConImpuestos", "totalImpuesto"))),
        compensations=tuple(map(_compensation, info.items("compensaciones", "compensacion"))),
        payments=tuple(map(_payment, info.items("pagos", "pago"))),
        withheld_vat=info.amount("valorRetIva"),
        withheld_income=info.amount("valorRetRenta"),
        export=_export(info),
        reimbursement_totals=_reimbursement_totals(info),
        reimbursements=tuple(map(_reimbursement, root.items("reembolsos", "reembolsoDetalle"))),
        fuel_withheld=tuple(map(_tax, root.items("retenciones", "retencion"))),
        transport=_transport(root.child("infoSustitutivaGuiaRemision")),
        third_party_items=tuple(
            ThirdPartyItem(item.text("concepto"), item.amount("total"))
            for item in root.items("otrosRubrosTerceros", "rubro")
        ),
        negotiable_email=_negotiable_email(root),
    )


def _export(info: _Element) -> Export | None:
    export = Export(
        foreign_trade=info.text("comercioExterior"),
        incoterm=info.text("incoTermFactura"),
        incoterm_place=info.text("lugarIncoTerm"),
        origin_country=info.text("paisOrigen"),
        loading_port=info.text("puertoEmbarque"),
        discharge_port=info.text("puertoDestino"),
        destination_country=info.text("paisDestino"),
        purchase_country=info.text("paisAdquisicion"),
        incoterm_untaxed=info.text("incoTermTotalSinImpuestos"),
        freight=info.amount("fleteInternacional"),
        insurance=info.amount("seguroInternacional"),
        customs=info.amount("gastosAduaneros"),
        other_transport=info.amount("gastosTransporteOtros"),
    )
    return None if export == Export() else export


def _transport(element: _Element | None) -> Transport | None:
    if element is None:
        return None
    return Transport(
        carrier=_carrier(element),
        from_address=element.text("dirPartida"),
        to_address=element.text("dirDestinatario"),
        starts=element.text("fechaIniTransporte"),
        ends=element.text("fechaFinTransporte"),
        plate=element.text("placa"),
        destinations=tuple(
            Destination(
                reason=one.text("motivoTraslado"),
                customs_document=one.text("docAduaneroUnico"),
                establishment=one.text("codEstabDestino"),
                route=one.text("ruta"),
            )
            for one in element.items("destinos", "destino")
        ),
    )


def _carrier(element: _Element) -> Party:
    return Party(
        name=element.text("razonSocialTransportista"),
        id_type=element.text("tipoIdentificacionTransportista"),
        id=element.text("rucTransportista"),
    )


def _negotiable_email(root: _Element) -> str | None:
    return next((one.text("correo") for one in root.each("tipoNegociable")), None)


def _purchase_settlement(root: _Element, info: _Element) -> PurchaseSettlement:
    return PurchaseSettlement(
        supplier=_party(info, "Proveedor"),
        total=info.need_amount("importeTotal"),
        lines=tuple(map(_line, root.items("detalles", "detalle"))),
        currency=info.text("moneda"),
        untaxed=info.amount("totalSinImpuestos"),
        discount=info.amount("totalDescuento"),
        taxes=tuple(map(_tax, info.items("totalConImpuestos", "totalImpuesto"))),
        payments=tuple(map(_payment, info.items("pagos", "pago"))),
        reimbursement_totals=_reimbursement_totals(info),
        reimbursements=tuple(map(_reimbursement, root.items("reembolsos", "reembolsoDetalle"))),
        negotiable_email=_negotiable_email(root),
    )


def _credit_note(root: _Element, info: _Element) -> CreditNote:
    return CreditNote(
        buyer=_party(info, "Comprador"),
        modified=_modified(info),
        total=info.need_amount("valorModificacion"),
        lines=tuple(map(_line, root.items("detalles", "detalle"))),
        reason=info.text("motivo"),
        currency=info.text("moneda"),
        untaxed=info.amount("totalSinImpuestos"),
        taxes=tuple(map(_tax, info.items("totalConImpuestos", "totalImpuesto"))),
        compensations=tuple(map(_compensation, info.items("compensaciones", "compensacion"))),
    )


def _debit_note(root: _Element, info: _Element) -> DebitNote:
    return DebitNote(
        buyer=_party(info, "Comprador"),
        modified=_modified(info),
        total=info.need_amount("valorTotal"),
        charges=tuple(Charge(one.text("razon"), one.amount("valor")) for one in root.items("motivos", "motivo")),
        untaxed=info.amount("totalSinImpuestos"),
        taxes=tuple(map(_tax, info.items("impuestos", "impuesto"))),
        compensations=tuple(map(_compensation, info.items("compensaciones", "compensacion"))),
        payments=tuple(map(_payment, info.items("pagos", "pago"))),
    )


def _withholding(root: _Element, info: _Element) -> Withholding:
    return Withholding(
        subject=_party(info, "SujetoRetenido"),
        fiscal_period=info.text("periodoFiscal"),
        rows=tuple(_withheld(root)),
        subject_kind=info.text("tipoSujetoRetenido"),
        related_party=info.text("parteRel"),
    )


def _withheld(root: _Element) -> Iterator[Withheld]:
    for one in root.items("impuestos", "impuesto"):
        yield _retention(
            one,
            SupportingDocument(
                code=one.text("codDocSustento"),
                number=one.text("numDocSustento"),
                issue_date=one.text("fechaEmisionDocSustento"),
            ),
        )
    for one in root.items("docsSustento", "docSustento"):
        yield from map(partial(_retention, document=_supporting(one)), one.items("retenciones", "retencion"))


def _retention(element: _Element, document: SupportingDocument) -> Withheld:
    return Withheld(
        tax=element.text("codigo"),
        code=element.text("codigoRetencion"),
        base=element.amount("baseImponible"),
        percent=element.amount("porcentajeRetener"),
        amount=element.amount("valorRetenido"),
        document=document,
        dividend=next(map(_dividend, element.each("dividendos")), None),
        bananas=next(map(_bananas, element.each("compraCajBanano")), None),
    )


def _dividend(element: _Element) -> Dividend:
    return Dividend(element.text("fechaPagoDiv"), element.amount("imRentaSoc"), element.text("ejerFisUtDiv"))


def _bananas(element: _Element) -> Bananas:
    return Bananas(element.amount("numCajBan"), element.amount("precCajBan"))


def _supporting(element: _Element) -> SupportingDocument:
    return SupportingDocument(
        code=element.text("codDocSustento"),
        number=element.text("numDocSustento"),
        issue_date=element.text("fechaEmisionDocSustento"),
        support=element.text("codSustento"),
        booked=element.text("fechaRegistroContable"),
        authorization=element.text("numAutDocSustento"),
        paid_abroad=element.text("pagoLocExt"),
        regime=element.text("tipoRegi"),
        country=element.text("paisEfecPago"),
        treaty=element.text("aplicConvDobTrib"),
        foreign_withholding=element.text("pagExtSujRetNorLeg"),
        fiscal_regime=element.text("pagoRegFis"),
        untaxed=element.amount("totalSinImpuestos"),
        total=element.amount("importeTotal"),
        reimbursement_totals=_reimbursement_totals(element),
        taxes=tuple(
            Tax(
                code=tax.text("codImpuestoDocSustento"),
                rate_code=tax.text("codigoPorcentaje"),
                rate=tax.amount("tarifa"),
                base=tax.amount("baseImponible"),
                amount=tax.amount("valorImpuesto"),
            )
            for tax in element.items("impuestosDocSustento", "impuestoDocSustento")
        ),
        payments=tuple(map(_payment, element.items("pagos", "pago"))),
        reimbursements=tuple(map(_reimbursement, element.items("reembolsos", "reembolsoDetalle"))),
    )


def _delivery_note(root: _Element, info: _Element) -> DeliveryNote:
    return DeliveryNote(
        carrier=_carrier(info),
        recipients=tuple(map(_recipient, root.items("destinatarios", "destinatario"))),
        from_address=info.text("dirPartida"),
        starts=info.text("fechaIniTransporte"),
        ends=info.text("fechaFinTransporte"),
        plate=info.text("placa"),
    )


def _recipient(element: _Element) -> Recipient:
    return Recipient(
        party=Party(
            name=element.text("razonSocialDestinatario"),
            id=element.text("identificacionDestinatario"),
            address=element.text("dirDestinatario"),
        ),
        goods=tuple(
            Good(
                code=one.text("codigoInterno"),
                auxiliary_code=one.text("codigoAdicional"),
                description=one.text("descripcion"),
                quantity=one.amount("cantidad"),
                details=tuple(_named_texts(one.items("detallesAdicionales", "detAdicional"))),
            )
            for one in element.items("detalles", "detalle")
        ),
        reason=element.text("motivoTraslado"),
        customs_document=element.text("docAduaneroUnico"),
        establishment=element.text("codEstabDestino"),
        route=element.text("ruta"),
        document_code=element.text("codDocSustento"),
        document_number=element.text("numDocSustento"),
        document_authorization=element.text("numAutDocSustento"),
        document_date=element.text("fechaEmisionDocSustento"),
    )


_KINDS = {
    "factura": DocumentKind.INVOICE,
    "liquidacioncompra": DocumentKind.PURCHASE_SETTLEMENT,
    "notacredito": DocumentKind.CREDIT_NOTE,
    "notadebito": DocumentKind.DEBIT_NOTE,
    "guiaremision": DocumentKind.DELIVERY_NOTE,
    "comprobanteretencion": DocumentKind.WITHHOLDING,
}
_INFO = {
    DocumentKind.INVOICE: "infoFactura",
    DocumentKind.PURCHASE_SETTLEMENT: "infoLiquidacionCompra",
    DocumentKind.CREDIT_NOTE: "infoNotaCredito",
    DocumentKind.DEBIT_NOTE: "infoNotaDebito",
    DocumentKind.DELIVERY_NOTE: "infoGuiaRemision",
    DocumentKind.WITHHOLDING: "infoCompRetencion",
}
_BODY: dict[DocumentKind, Callable[[_Element, _Element], Body]] = {
    DocumentKind.INVOICE: _invoice,
    DocumentKind.PURCHASE_SETTLEMENT: _purchase_settlement,
    DocumentKind.CREDIT_NOTE: _credit_note,
    DocumentKind.DEBIT_NOTE: _debit_note,
    DocumentKind.DELIVERY_NOTE: _delivery_note,
    DocumentKind.WITHHOLDING: _withholding,
}
_TOTAL = {
    DocumentKind.INVOICE: "importeTotal",
    DocumentKind.PURCHASE_SETTLEMENT: "importeTotal",
    DocumentKind.CREDIT_NOTE: "valorModificacion",
    DocumentKind.DEBIT_NOTE: "valorTotal",
}
_RECEIVER = {
    DocumentKind.INVOICE: ("razonSocialComprador", "identificacionComprador"),
    DocumentKind.PURCHASE_SETTLEMENT: ("razonSocialProveedor", "identificacionProveedor"),
    DocumentKind.CREDIT_NOTE: ("razonSocialComprador", "identificacionComprador"),
    DocumentKind.DEBIT_NOTE: ("razonSocialComprador", "identificacionComprador"),
    DocumentKind.DELIVERY_NOTE: ("razonSocialDestinatario", "identificacionDestinatario"),
    DocumentKind.WITHHOLDING: ("razonSocialSujetoRetenido", "identificacionSujetoRetenido"),
}
