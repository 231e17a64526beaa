"""Guía de remisión: where each block stands; no money, and goods by recipient."""

from __future__ import annotations

from jobsync.fiscal import codes
from jobsync.fiscal.document import DeliveryNote, Document, Good, Recipient
from jobsync.ride.blocks import (
    PARTY,
    Entry,
    called,
    draw_fields,
    information_pieces,
    machine_fields,
    table,
)
from jobsync.ride.figures import digits
from jobsync.ride.paper.flow import Filled, Flow, TableColumn

TITLE = "GUÍA DE REMISIÓN"


def draw(flow: Flow, document: Document, note: DeliveryNote) -> None:
    """Draw everything below the two boxes."""
    sheet = flow.sheet
    draw_fields(
        flow,
        [
            [
                Entry("Identificación (Transportista)", note.carrier.id, 3, PARTY),
                Entry("Razón Social / Nombres y Apellidos", note.carrier.name, 6, PARTY),
                Entry("Placa", note.plate, 3, PARTY),
            ],
            [
                Entry("Punto de Partida", note.from_address, 6),
                Entry("Fecha inicio Transporte", note.starts),
                Entry("Fecha fin Transporte", note.ends),
            ],
        ],
    )
    many = len(note.recipients) > 1
    for number, recipient in enumerate(note.recipients, 1):
        title = f"Destinatario {number} de {len(note.recipients)}" if many else "Destinatario"
        _draw_recipient(flow, recipient, title)
    flow.pour(
        [
            *information_pieces(sheet, document.additional),
            *information_pieces(sheet, machine_fields(document.machine), "Máquina Fiscal"),
        ]
    )


def _draw_recipient(flow: Flow, recipient: Recipient, title: str) -> None:
    name = codes.DOCUMENTS.get(recipient.document_code or "", recipient.document_code)
    number = " ".join(filter(None, (name, recipient.document_number)))
    draw_fields(
        flow,
        [
            [
                Entry("Identificación (Destinatario)", recipient.party.id, 3, PARTY),
                Entry("Razón Social / Nombres y Apellidos", recipient.party.name, 9, PARTY),
            ],
            [
                Entry("Destino (Punto de llegada)", recipient.party.address, 6),
                Entry("Ruta", recipient.route, 6),
            ],
            [
                Entry("Motivo Traslado", recipient.reason, 6),
                Entry("Documento Aduanero", recipient.customs_document),
                Entry("Código Establecimiento Destino", recipient.establishment),
            ],
            [
                Entry("Comprobante de Venta", number),
                Entry("Fecha", recipient.document_date),
                Entry("Número de Autorización", recipient.document_authorization, 6),
            ],
        ],
        title=title,
    )
    if recipient.goods:
        _goods_table(flow, recipient.goods)


def _goods_table(flow: Flow, goods: tuple[Good, ...]) -> None:
    columns: list[Filled] = [
        (TableColumn("Cantidad", "number"), [digits(good.quantity) for good in goods]),
        (TableColumn("Descripción"), [good.description or " " for good in goods]),
        (TableColumn("Detalle Adicional"), ["\n".join(map(called, good.details)) for good in goods]),
        (TableColumn("Código Principal", "code"), [good.code for good in goods]),
        (TableColumn("Código Auxiliar", "code"), [good.auxiliary_code for good in goods]),
    ]
    flow.y -= 1
    table(columns).draw(flow)
    flow.y += 4
