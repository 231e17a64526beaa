"""Fiscal documents of taxpayers that do not exist, with correct RUCs, keys and arithmetic; plain ones and ugly ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from xml.sax.saxutils import escape, quoteattr

from PIL import Image

from jobsync.fiscal.read import read_document
from jobsync.ride.model import Logo, Stamp
from jobsync.ride.render import render

RUC = "1793123406001"
AUTHORIZED = Stamp("AUTORIZADO", None, datetime(2026, 3, 16, 14, 5, 9, tzinfo=UTC))
UNBROKEN = "ABCDEFGHIJ" * 30
LONG = ("Repuesto original para maquinaria agrícola, con garantía de fábrica y certificado de origen; " * 4)[:300]

Part = str


def tag(name: str, *children: str | Decimal | None, **attributes: str) -> Part:
    """Return an element; text is escaped, a finished element is taken as it is."""
    inner = "".join(
        str(child) if str(child).startswith("<") else escape(str(child)) for child in children if child is not None
    )
    return f"<{name}{''.join(f' {key}={quoteattr(value)}' for key, value in attributes.items())}>{inner}</{name}>"


def tags(**values: str | Decimal | None) -> Part:
    """Return an element for each value that is there."""
    return "".join(tag(name, value) for name, value in values.items() if value is not None)


def access_key(code: str, *, date: str = "15032026", environment: str = "2", sequential: str = "000000123") -> str:
    """Return a key of 49 digits with its check digit."""
    digits = f"{date}{code}{RUC}{environment}001002{sequential}123456781"
    weighed = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(digits)))
    return digits + {11: "0", 10: "1"}.get(11 - weighed % 11, str(11 - weighed % 11))


def issuer(code: str, *, environment: str = "2", **more: str | None) -> Part:
    """Return `infoTributaria`."""
    values: dict[str, str | Decimal | None] = {
        "ambiente": environment,
        "tipoEmision": "1",
        "razonSocial": "COMERCIAL ANDINA DEL PACÍFICO S.A.",
        "nombreComercial": "Almacenes El Ceibo",
        "ruc": RUC,
        "claveAcceso": access_key(code, environment=environment),
        "codDoc": code,
        "estab": "001",
        "ptoEmi": "002",
        "secuencial": "000000123",
        "dirMatriz": "Av. 12 de Octubre N24-562 y Luis Cordero, Quito",
        "agenteRetencion": None,
        "contribuyenteRimpe": None,
    }
    return tag("infoTributaria", tags(**{**values, **more}))


BRANCH = "Calle Larga 7-07 y Borrero, Cuenca"
BUYER = tags(
    tipoIdentificacionComprador="05",
    razonSocialComprador="ROSA ELENA GUAMÁN QUISHPE",
    identificacionComprador="0104567896",
)


def fields(*pairs: tuple[str, str]) -> Part:
    """Return `infoAdicional`."""
    return tag("infoAdicional", "".join(tag("campoAdicional", value, nombre=name) for name, value in pairs))


FIELDS = fields(
    ("Teléfono", "07 283 4455"),
    ("Correo", "rosa.guaman@correo.example"),
    ("RUC Proveedor", "0992345608001"),
    ("Observación", "Entregar en horario de oficina, bodega 4"),
)


def tax(
    base: str | Decimal,
    rate: str = "15",
    code: str = "4",
    *,
    kind: str = "2",
    name: str = "impuesto",
    with_rate: bool = True,
) -> Part:
    """Return one tax; the amount follows from base and rate."""
    amount = (Decimal(base) * Decimal(rate) / 100).quantize(Decimal("0.01"))
    return tag(
        name,
        tags(codigo=kind, codigoPorcentaje=code, tarifa=rate if with_rate and name == "impuesto" else None),
        tags(baseImponible=base, tarifa=rate if with_rate and name != "impuesto" else None, valor=amount),
    )


GOODS = (
    ("7861000234567", "Café tostado y molido de altura, funda 400 g", "12", "6.45"),
    ("7861000981123", "Chocolate negro 70 % con sal de Galápagos, barra 50 g", "24", "2.10"),
    ("SOM-PAJ-M", "Sombrero de paja toquilla, fino, talla M", "2", "48.5000"),
    ("TEX-0091", "Poncho de alpaca tejido a mano, Otavalo", "1", "62.00"),
    ("7861002217780", "Panela orgánica granulada, funda 1 kg", "10", "1.875"),
    ("MIEL-500", "Miel de abeja multifloral, frasco 500 g", "6", "7.20"),
)


def line(
    number: int,
    *,
    code: str | None = None,
    description: str | None = None,
    details: Sequence[tuple[str, str]] = (),
    taxes: Part | None = None,
    subsidy: str | None = None,
    codes: tuple[str, str] = ("codigoPrincipal", "codigoAuxiliar"),
    auxiliary: str | None = None,
    quantity: str | None = None,
    price: str | None = None,
) -> Part:
    """Return the line with this number, from a small stock that repeats."""
    goods = GOODS[number % len(GOODS)]
    quantity, price = quantity or goods[2], price or goods[3]
    total = (Decimal(quantity) * Decimal(price)).quantize(Decimal("0.01"))
    more = "".join(f"<detAdicional nombre={quoteattr(name)} valor={quoteattr(value)}/>" for name, value in details)
    return tag(
        "detalle",
        tags(**{codes[0]: code or goods[0], codes[1]: auxiliary}),
        tags(
            descripcion=description or goods[1],
            cantidad=quantity,
            precioUnitario=price,
            precioSinSubsidio=subsidy,
            descuento="0.00",
            precioTotalSinImpuesto=total,
        ),
        tag("detallesAdicionales", more) if more else None,
        tag("impuestos", taxes or tax(total)),
    )


def total_taxes(*taxes: Part) -> Part:
    """Return `totalConImpuestos`."""
    return tag("totalConImpuestos", "".join(taxes))


def payments(total: str, *more: tuple[str, str]) -> Part:
    """Return `pagos`: one on credit, and more by method and amount."""
    first = tag("pago", tags(formaPago="20", total=total, plazo="30", unidadTiempo="dias"))
    return tag("pagos", first, *(tag("pago", tags(formaPago=method, total=amount)) for method, amount in more))


def invoice(
    *,
    lines: int | Sequence[Part] = 6,
    version: str = "1.1.0",
    environment: str = "2",
    key: str | None = None,
    before_buyer: Part = "",
    before_name: Part = "",
    buyer: Part | None = None,
    untaxed: str | None = None,
    subsidy: str | None = None,
    reimbursed: Part = "",
    taxes: Part | None = None,
    compensations: Part = "",
    after_tip: Part = "",
    total: str | None = None,
    plate: str | None = None,
    paid: Part | None = None,
    withheld: Part = "",
    rest: Part = "",
    additional: Part = FIELDS,
    obligated: str = "SI",
    special: str | None = "5368",
    **tax_info: str | None,
) -> bytes:
    """Return an invoice; without arguments one that a shop would write."""
    parts = [line(number) for number in range(lines)] if isinstance(lines, int) else list(lines)
    amount = sum(
        ((Decimal(GOODS[n % 6][2]) * Decimal(GOODS[n % 6][3])).quantize(Decimal("0.01")) for n in range(len(parts))),
        Decimal(),
    )
    iva = (amount * 15 / 100).quantize(Decimal("0.01"))
    owed = total or str(amount + iva)
    if key is not None:
        tax_info["claveAcceso"] = key
    info = "".join(
        (
            tags(
                fechaEmision="15/03/2026",
                dirEstablecimiento=BRANCH,
                contribuyenteEspecial=special,
                obligadoContabilidad=obligated,
            ),
            before_buyer,
            before_name
            or buyer
            or (
                BUYER.replace(
                    "<razonSocialComprador>", "<guiaRemision>001-001-000000045</guiaRemision><razonSocialComprador>"
                )
                + tag("direccionComprador", "Av. Loja y Remigio Crespo, edificio Los Álamos, Cuenca")
            ),
            tags(totalSinImpuestos=untaxed or amount, totalSubsidio=subsidy),
            tags(totalDescuento="0.00"),
            reimbursed,
            taxes or total_taxes(tax(amount, name="totalImpuesto", with_rate=False)),
            compensations,
            tags(propina="0.00"),
            after_tip,
            tags(importeTotal=owed, moneda="DOLAR", placa=plate),
            payments(owed) if paid is None else paid,
            withheld,
        )
    )
    return document(
        "factura",
        version,
        issuer("01", environment=environment, **tax_info),
        tag("infoFactura", info),
        tag("detalles", "".join(parts)) + rest + additional,
    )


def document(root: str, version: str, *parts: Part) -> bytes:
    """Return a whole document."""
    body = tag(root, "".join(parts), id="comprobante", version=version)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode()


def purchase_settlement(*, reimbursed: bool = False, version: str = "1.1.0") -> bytes:
    """Return a settlement for somebody who writes no invoices."""
    lines = [
        line(
            0,
            code="CACAO-01",
            description="Cacao en grano fino de aroma, quintal",
            quantity="14.20",
            price="118.50",
            taxes=tax("1682.70", "0", "0"),
        ),
        line(
            1,
            code="FLETE",
            description="Transporte desde la finca a la bodega de Guayaquil",
            quantity="1",
            price="85.00",
            taxes=tax("85.00", "15", "4"),
        ),
    ]
    sums = tags(
        codDocReembolso="41",
        totalComprobantesReembolso="40.25",
        totalBaseImponibleReembolso="35.00",
        totalImpuestoReembolso="5.25",
    )
    info = tag(
        "infoLiquidacionCompra",
        tags(fechaEmision="15/03/2026", dirEstablecimiento=BRANCH, obligadoContabilidad="SI"),
        tags(
            tipoIdentificacionProveedor="05",
            razonSocialProveedor="SEGUNDO MANUEL CHÁVEZ TOALA",
            identificacionProveedor="1308765435",
            direccionProveedor="Recinto Las Mercedes, vía a Quevedo km 12",
            totalSinImpuestos="1767.70",
            totalDescuento="0.00",
        ),
        sums if reimbursed else None,
        total_taxes(
            tax("1682.70", "0", "0", name="totalImpuesto", with_rate=False),
            tax("85.00", "15", "4", name="totalImpuesto", with_rate=False),
        ),
        tags(importeTotal="1780.45", moneda="DOLAR"),
        payments("1780.45"),
    )
    more = fields(("Calidad", "Fino de aroma, humedad 7 %"), ("Bodega", "Guayaquil, puerto marítimo"))
    rest = tag("detalles", *lines) + (reimbursements() if reimbursed else "") + more
    return document("liquidacionCompra", version, issuer("03", agenteRetencion="1"), info, rest)


def reimbursements(*, capital: bool = False) -> Part:
    """Return two reimbursed documents, one of them with two taxes."""
    name = "numeroAutorizacionDocReemb" if capital else "numeroautorizacionDocReemb"

    def one(supplier: str, sequential: str, *taxes: tuple[str, str, str, str]) -> Part:
        return tag(
            "reembolsoDetalle",
            tags(
                tipoIdentificacionProveedorReembolso="04",
                identificacionProveedorReembolso=supplier,
                codPaisPagoProveedorReembolso="593",
                tipoProveedorReembolso="02",
                codDocReembolso="01",
                estabDocReembolso="003",
                ptoEmiDocReembolso="001",
                secuencialDocReembolso=sequential,
                fechaEmisionDocReembolso="10/03/2026",
            ),
            tags(**{name: "1003202601099234560800120030010000078911234567813"}),
            tag(
                "detalleImpuestos",
                *(
                    tag(
                        "detalleImpuesto",
                        tags(
                            codigo="2",
                            codigoPorcentaje=code,
                            tarifa=rate,
                            baseImponibleReembolso=base,
                            impuestoReembolso=value,
                        ),
                    )
                    for code, rate, base, value in taxes
                ),
            ),
        )

    return tag(
        "reembolsos",
        one("0992345608001", "000007891", ("4", "15", "25.00", "3.75"), ("0", "0", "4.00", "0.00")),
        one("0190567818001", "000000042", ("4", "15", "10.00", "1.50")),
    )


def note_head(amount: Decimal) -> Part:
    """Return with what each note begins: its buyer, and the document it changes."""
    return (
        tags(fechaEmision="15/03/2026", dirEstablecimiento=BRANCH)
        + BUYER
        + tags(
            obligadoContabilidad="SI",
            codDocModificado="01",
            numDocModificado="001-002-000000098",
            fechaEmisionDocSustento="02/03/2026",
            totalSinImpuestos=amount,
        )
    )


def credit_note(*, lines: int = 2, version: str = "1.1.0") -> bytes:
    """Return a note over goods that came back; its totals name no rate, as the schema wants."""
    parts = [
        line(number, codes=("codigoInterno", "codigoAdicional"), auxiliary=f"DEV-{number:03d}")
        for number in range(lines)
    ]
    amount = sum(
        ((Decimal(GOODS[n % 6][2]) * Decimal(GOODS[n % 6][3])).quantize(Decimal("0.01")) for n in range(lines)),
        Decimal(),
    )
    iva = (amount * 15 / 100).quantize(Decimal("0.01"))
    info = tag(
        "infoNotaCredito",
        note_head(amount),
        tags(valorModificacion=amount + iva, moneda="DOLAR"),
        total_taxes(tax(amount, name="totalImpuesto", with_rate=False)),
        tag("motivo", "Devolución de mercadería por empaque dañado"),
    )
    return document("notaCredito", version, issuer("04"), info, tag("detalles", *parts) + FIELDS)


def debit_note(
    *,
    reasons: Sequence[tuple[str, str]] = (
        ("Intereses por mora, febrero de 2026", "12.40"),
        ("Gastos de cobranza", "5.00"),
    ),
) -> bytes:
    """Return a note that charges interest."""
    amount = sum((Decimal(value) for _, value in reasons), Decimal())
    iva = (amount * 15 / 100).quantize(Decimal("0.01"))
    info = tag(
        "infoNotaDebito",
        note_head(amount),
        tag("impuestos", tax(amount)),
        tags(valorTotal=amount + iva),
        payments(str(amount + iva)),
    )
    motives = tag("motivos", *(tag("motivo", tags(razon=reason, valor=value)) for reason, value in reasons))
    return document(
        "notaDebito", "1.0.0", issuer("05", contribuyenteRimpe="CONTRIBUYENTE RÉGIMEN RIMPE"), info, motives + FIELDS
    )


def withholding(version: str = "2.0.0", *, rows: int = 2) -> bytes:
    """Return a withholding in either version's form, from one invoice."""
    kinds = (
        ("1", "312", "350.00", "1.75", "6.13"),
        ("2", "1", "52.50", "30", "15.75"),
        ("1", "3440", "120.50", "2.75", "3.31"),
    )
    chosen = [kinds[number % len(kinds)] for number in range(rows)]
    subject = tags(
        tipoIdentificacionSujetoRetenido="04",
        parteRel="NO" if version == "2.0.0" else None,
        razonSocialSujetoRetenido="FERRETERÍA LOS SAUCES CÍA. LTDA.",
        identificacionSujetoRetenido="0190567818001",
        periodoFiscal="03/2026",
    )
    info = tag(
        "infoCompRetencion",
        tags(
            fechaEmision="15/03/2026",
            dirEstablecimiento=BRANCH,
            contribuyenteEspecial="5368",
            obligadoContabilidad="SI",
        ),
        subject,
    )

    def amounts(row: tuple[str, str, str, str, str]) -> Part:
        kind, code, base, percent, value = row
        return tags(
            codigo=kind, codigoRetencion=code, baseImponible=base, porcentajeRetener=percent, valorRetenido=value
        )

    named = tags(codDocSustento="01", numDocSustento="003001000004512", fechaEmisionDocSustento="12/03/2026")
    if version == "1.0.0":
        body = tag("impuestos", *(tag("impuesto", amounts(row), named) for row in chosen))
    else:
        body = tag(
            "docsSustento",
            tag(
                "docSustento",
                tag("codSustento", "01"),
                named,
                tags(
                    fechaRegistroContable="13/03/2026",
                    numAutDocSustento="1203202601019056781800120030010000045121234567811",
                    pagoLocExt="01",
                    totalSinImpuestos="350.00",
                    importeTotal="402.50",
                ),
                tag(
                    "impuestosDocSustento",
                    tag(
                        "impuestoDocSustento",
                        tags(
                            codImpuestoDocSustento="2",
                            codigoPorcentaje="4",
                            baseImponible="350.00",
                            tarifa="15",
                            valorImpuesto="52.50",
                        ),
                    ),
                ),
                tag("retenciones", *(tag("retencion", amounts(row)) for row in chosen)),
                tag("pagos", tag("pago", tags(formaPago="20", total="402.50"))),
            ),
        )
    more = fields(("Correo", "contabilidad@lossauces.example"), ("Dirección", "Av. España 3-21, Cuenca"))
    return document("comprobanteRetencion", version, issuer("07", agenteRetencion="1"), info, body + more)


def delivery_note(*, recipients: int = 2, goods: int = 3) -> bytes:
    """Return a delivery note for several recipients."""
    people = (
        ("0104567896", "ROSA ELENA GUAMÁN QUISHPE", "Av. Loja y Remigio Crespo, Cuenca"),
        ("0190567818001", "FERRETERÍA LOS SAUCES CÍA. LTDA.", "Av. España 3-21 y Sebastián de Benalcázar, Cuenca"),
    )

    def one(number: int) -> Part:
        identification, name, address = people[number % 2]
        return tag(
            "destinatario",
            tags(
                identificacionDestinatario=identification,
                razonSocialDestinatario=name,
                dirDestinatario=address,
                motivoTraslado="Venta",
                docAduaneroUnico=None if number % 2 == 0 else "0041314836996",
                codEstabDestino="001",
                ruta="Quito – Ambato – Cuenca",
                codDocSustento="01",
                numDocSustento=f"001-002-{120 + number:09d}",
                numAutDocSustento="1503202601179312340600120010020000001201234567811",
                fechaEmisionDocSustento="14/03/2026",
            ),
            tag(
                "detalles",
                *(
                    tag(
                        "detalle",
                        tags(
                            codigoInterno=GOODS[place % 6][0],
                            codigoAdicional=f"L-{place:04d}",
                            descripcion=GOODS[place % 6][1],
                            cantidad=GOODS[place % 6][2],
                        ),
                        '<detallesAdicionales><detAdicional nombre="Lote" valor="C-2026-03"/></detallesAdicionales>'
                        if place == 0
                        else None,
                    )
                    for place in range(goods)
                ),
            ),
        )

    info = tag(
        "infoGuiaRemision",
        tags(
            dirEstablecimiento=BRANCH,
            dirPartida="Bodega central, Panamericana Sur km 14, Quito",
            razonSocialTransportista="TRANSPORTES CORDILLERA CÍA. LTDA.",
            tipoIdentificacionTransportista="04",
            rucTransportista="1792001102001",
            obligadoContabilidad="SI",
            fechaIniTransporte="15/03/2026",
            fechaFinTransporte="17/03/2026",
            placa="PBX1234",
        ),
    )
    body = tag("destinatarios", *(one(number) for number in range(recipients)))
    more = fields(("Chofer", "Luis Alberto Tipán"), ("Teléfono", "099 812 3344"))
    return document("guiaRemision", "1.1.0", issuer("06"), info, body + more)


ALL: dict[str, Callable[[], bytes]] = {
    "invoice": invoice,
    "purchase_settlement": purchase_settlement,
    "credit_note": credit_note,
    "debit_note": debit_note,
    "withholding_1": lambda: withholding("1.0.0"),
    "withholding_2": withholding,
    "delivery_note": delivery_note,
}


def picture(width: int = 300, height: int = 120, *, kind: str = "PNG", mode: str = "RGBA") -> bytes:
    """Return a picture file."""
    target = BytesIO()
    Image.new(mode, (width, height), 120 if mode == "L" else (20, 90, 60, 128)[: len(mode)]).save(target, kind)
    return target.getvalue()


def digests() -> list[str]:
    """Return the SHA-256 of each kind of document as printed, and of one that nobody has authorized."""
    logo = Logo(picture())
    files = [render(read_document(make()), AUTHORIZED, logo=logo, attach_xml=make()) for make in ALL.values()]
    files.append(render(read_document(invoice()), Stamp()))
    return [hashlib.sha256(file.data).hexdigest() for file in files]
