"""XML in, a fiscal document out: what is read follows the elements that are there, never the version that it claims."""

from __future__ import annotations

from typing import NamedTuple

from jobsync.fiscal.access_key import DocumentKind
from jobsync.fiscal.document import (
    DeliveryNote,
    Document,
    Party,
    Sale,
    Summary,
    Withholding,
    environment_of,
    issue_date,
)
from jobsync.fiscal.element import Amount, Element, UnreadableDocument, read, read_fields, total_of


class _Form(NamedTuple):
    kind: DocumentKind
    info: str  # its head
    body: type[Sale | Withholding | DeliveryNote]
    total: str = ""  # where its total stands in the head


_FORMS = {
    "factura": _Form(DocumentKind.INVOICE, "infoFactura", Sale, "importeTotal"),
    "liquidacioncompra": _Form(DocumentKind.PURCHASE_SETTLEMENT, "infoLiquidacionCompra", Sale, "importeTotal"),
    "notacredito": _Form(DocumentKind.CREDIT_NOTE, "infoNotaCredito", Sale, "valorModificacion"),
    "notadebito": _Form(DocumentKind.DEBIT_NOTE, "infoNotaDebito", Sale, "valorTotal"),
    "guiaremision": _Form(DocumentKind.DELIVERY_NOTE, "infoGuiaRemision", DeliveryNote),
    "comprobanteretencion": _Form(DocumentKind.WITHHOLDING, "infoCompRetencion", Withholding),
}


def read_summary(xml: bytes) -> Summary:
    """
    Read what the list of documents needs; what is unreadable in it is None.

    Raises:
        UnreadableDocument: it is no bare fiscal document, or lacks the access key or the issuer's RUC.
    """
    root, form = _opened(xml)
    known = read_fields(Summary, root)
    key = known["access_key"]
    holders = root.each("destinatarios/destinatario" if form.kind is DocumentKind.DELIVERY_NOTE else "info")
    receiver = read(Party, holders[0]) if holders else None
    if form.kind is DocumentKind.WITHHOLDING:
        rows = (*root.each("impuestos/impuesto"), *root.each("docsSustento/docSustento/retenciones/retencion"))
        total = total_of(Amount(row.text("valorRetenido") or "") for row in rows)
    else:
        total = Amount(root.text(f"info/{form.total}") or "").value if form.total else None
    return Summary(
        **known,
        document_code=form.kind.value,
        environment=environment_of(root.text("infoTributaria/ambiente"), key),
        issue_date=issue_date(root.text("info/fechaEmision"), key),
        receiver_name=receiver.name if receiver else None,
        receiver_id=receiver.id if receiver else None,
        total=total,
    )


def read_document(xml: bytes) -> Document:
    """
    Read a whole fiscal document; its signature is passed over.

    Raises:
        UnreadableDocument: it is no bare fiscal document, or lacks what no such document can: the issuer's RUC and
            name, the total where there is one. The error names element and line.
    """
    root, form = _opened(xml)
    root.require("infoTributaria")
    info, known = root.require(form.info), read_fields(Document, root)
    total = Amount(info.need(form.total)) if form.total else None
    if total and not any(map(str.isdecimal, total.text)):  # a decimal comma is no number, but people can read it
        raise info.error(form.total, "is no number")
    return Document(form.kind, read(form.body, root), total, **known, unknown=root.unread())


def _opened(xml: bytes) -> tuple[Element, _Form]:
    root = Element.root(xml)
    form = _FORMS.get(root.name.lower())
    if form is None:
        raise UnreadableDocument(f"its root is <{root.name}>, not a fiscal document", line=root.line)
    root.open_head("infoTributaria", "infoTributaria")
    root.open_head(form.info, "info")
    return root, form
