"""XML in, a fiscal document out: what is read follows the elements that are there, never the version that it claims."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from jobsync.fiscal.document import (
    Body,
    CreditNote,
    DebitNote,
    DeliveryNote,
    Document,
    DocumentKind,
    Invoice,
    Issuer,
    PurchaseSettlement,
    Summary,
    Withholding,
    environment_of,
    issue_date,
    series_number,
)
from jobsync.fiscal.element import Element, UnreadableDocument, read, read_fields


class _Form(NamedTuple):
    """One of the six documents: its kind, its head, its class, where its other side and its total stand."""

    kind: DocumentKind
    info: str
    body: type[Body]
    receiver: str
    total: str | None = None


_FORMS = {
    "factura": _Form(DocumentKind.INVOICE, "infoFactura", Invoice, "Comprador", "importeTotal"),
    "liquidacioncompra": _Form(
        DocumentKind.PURCHASE_SETTLEMENT, "infoLiquidacionCompra", PurchaseSettlement, "Proveedor", "importeTotal"
    ),
    "notacredito": _Form(DocumentKind.CREDIT_NOTE, "infoNotaCredito", CreditNote, "Comprador", "valorModificacion"),
    "notadebito": _Form(DocumentKind.DEBIT_NOTE, "infoNotaDebito", DebitNote, "Comprador", "valorTotal"),
    "guiaremision": _Form(DocumentKind.DELIVERY_NOTE, "infoGuiaRemision", DeliveryNote, "Destinatario"),
    "comprobanteretencion": _Form(DocumentKind.WITHHOLDING, "infoCompRetencion", Withholding, "SujetoRetenido"),
}


def read_summary(xml: bytes) -> Summary:
    """
    Read what the list of documents needs; only key, RUC and kind must be there, all else is None if it is unreadable.

    Args:
        xml: a bare fiscal document, without wrapper.

    Raises:
        UnreadableDocument: it is no fiscal document, or lacks the access key or the issuer's RUC.
    """
    root = Element.root(xml)
    form = _form(root)
    tax = root.need_child("infoTributaria")
    key, ruc = tax.need("claveAcceso"), tax.need("ruc")
    info = holder = root.child(form.info)
    if form.kind is DocumentKind.DELIVERY_NOTE:
        holder = next(root.items("destinatarios", "destinatario"), None)
    return Summary(
        access_key=key,
        document_code=form.kind.value,
        issuer_ruc=ruc,
        issuer_name=tax.text("razonSocial"),
        environment=environment_of(tax.text("ambiente"), key),
        series_number=series_number(tax.text("estab"), tax.text("ptoEmi"), tax.text("secuencial")),
        issue_date=issue_date(info.text("fechaEmision") if info else None, key),
        receiver_name=holder.text(f"razonSocial{form.receiver}") if holder else None,
        receiver_id=holder.text(f"identificacion{form.receiver}") if holder else None,
        total=_total(form, root, info),
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
    root = Element.root(xml)
    form = _form(root)
    root.heads = {"infoTributaria": root.need_child("infoTributaria"), "info": root.need_child(form.info)}
    issuer, body = read(Issuer, root), read(form.body, root)
    fields = read_fields(Document, root)
    key = fields.pop("access_key") or ""
    return Document(
        kind=form.kind,
        version=root.attribute("version"),
        issuer=issuer,
        body=body,
        access_key=key,
        environment=environment_of(fields.pop("environment"), key),
        unknown=root.unread(),
        **fields,
    )


def _form(root: Element) -> _Form:
    form = _FORMS.get(root.name.lower())
    if form is None:
        raise UnreadableDocument(f"its root is <{root.name}>, not a fiscal document", path=root.name, line=root.line)
    return form


def _total(form: _Form, root: Element, info: Element | None) -> Decimal | None:
    if form.kind is DocumentKind.WITHHOLDING:
        groups = root.items("docsSustento", "docSustento")
        newer = (row for group in groups for row in group.items("retenciones", "retencion"))
        rows = [*root.items("impuestos", "impuesto"), *newer]
        found = [row.amount("valorRetenido") for row in rows]
        amounts = [amount.value if amount else None for amount in found]
        known = [amount for amount in amounts if amount is not None]
        return sum(known, Decimal()) if known and len(known) == len(amounts) else None
    amount = info.amount(form.total) if info and form.total else None
    return amount.value if amount else None
