"""The printed form, as independent readers see it: text positions, a barcode reader, the PDF's structure."""

from __future__ import annotations

import copy
import hashlib
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import cast

import pikepdf
import pytest
from lxml import etree
from PIL import Image
from stdnum.ec import ruc

from jobsync.fiscal.access_key import DocumentKind
from jobsync.fiscal.codes import withheld_tax
from jobsync.fiscal.element import Amount, UnreadableDocument
from jobsync.fiscal.read import read_document
from jobsync.ride.figures import digits, money
from jobsync.ride.model import Logo, Rendered, Stamp
from jobsync.ride.paper.barcode import MODULE_MM, QUIET_MODULES
from jobsync.ride.render import render
from jobsync.sri.parse import UnreadableFile, open_file
from tests.ride import documents
from tests.ride.documents import AUTHORIZED, LONG, UNBROKEN, digests, picture, tag, tags
from tests.ride.pages import (
    PAGE,
    Word,
    barcodes,
    code_128,
    crossed_rules,
    outside,
    overlaps,
    page_count,
    pages,
    text,
    text_as_drawn,
    words,
)

ALL = documents.ALL
KINDS = pytest.mark.parametrize("make", ALL.values(), ids=ALL.keys())
REFERENCES = Path(__file__).with_name("references")
REWRITE = "JOBSYNC_REWRITE_REFERENCES"
# read before the environment is wiped for the tests
REWRITING = os.environ.get(REWRITE) == "1"


def printed(
    xml: bytes, stamp: Stamp = AUTHORIZED, *, logo: Logo | None = None, attach: bytes | None = None
) -> Rendered:
    """Return the printed form of a document."""
    return render(read_document(xml), stamp, logo=logo, attach_xml=attach)


# --- what is printed -------------------------------------------------------------------------------------------------


@KINDS
def test_barcode_is_the_key(make: Callable[[], bytes]) -> None:
    """A reader finds one barcode on the printed page, and it says the key."""
    xml = make()

    assert [("Code 128", read_document(xml).access_key)] == [
        (kind.replace("Code128", "Code 128"), key) for kind, key in barcodes(printed(xml).data)
    ]


@pytest.mark.parametrize("dpi", [200, 216, 240, 288, 300, 600])
def test_barcode_is_read_at_every_printer_s_resolution(dpi: int) -> None:
    """Bars stand on whole dots where they can, and are coarse enough where they cannot."""
    keys = [str(number)[:49] for number in (10**48 + 7**57, 10**48 + 3**101, 123456789 * 10**40 + 11**38)]
    found = [code_128(printed(documents.invoice(key=key)).data, dpi=dpi) for key in keys]

    assert [[key] for key in keys] == found


def test_barcode_has_its_quiet_zones() -> None:
    """Ten modules on either side stay blank, up to the box's edge."""
    [page] = pages(printed(documents.invoice()).data)
    bars = [bar for bar in page.rects if 30 < bar["height"] < 40 and bar["width"] < 4]
    box = max(curve["x0"] for curve in page.curves), max(curve["x1"] for curve in page.curves)
    quiet = QUIET_MODULES * MODULE_MM * 72 / 25.4
    first, last = min(bar["x0"] for bar in bars), max(bar["x1"] for bar in bars)

    assert (first - box[0] >= quiet, box[1] - last >= quiet) == (True, True)
    assert MODULE_MM >= 0.25


@KINDS
def test_every_amount_is_printed_with_its_own_digits(make: Callable[[], bytes]) -> None:
    """Each number of a tidy document stands in the text exactly as it stands in the XML."""
    xml = make()
    whole = xml.decode()
    rows = re.findall("<retencion>.*?</retencion>|<impuestos><impuesto>.*?</impuestos>", whole)
    shown = "".join(rows) if "comprobanteRetencion" in whole else re.sub("<impuestos>.*?</impuestos>", "", whole)
    numbers = re.findall(
        "<(?:cantidad|precioUnitario|precioTotalSinImpuesto|importeTotal|valorModificacion|valorTotal|valorRetenido|"
        "totalSinImpuestos|baseImponible|porcentajeRetener|total)>([^<]+)<",
        shown,
    )
    seen = text(printed(xml).data).split()

    assert set(numbers) - set(seen) == set()


@KINDS
def test_identity_is_printed(make: Callable[[], bytes]) -> None:
    """Issuer, number, key, authorization and the hour of it on Guayaquil's clocks."""
    xml = make()
    document = read_document(xml)
    seen = text(printed(xml).data)

    for part in (
        document.issuer.ruc,
        document.series_number,
        document.issuer.name,
        "16/03/2026 09:05:09",
        "PRODUCCIÓN",
    ):
        assert part is not None
        assert part in seen
    assert seen.count(document.access_key) == 1  # below its bars; it is the authorization number too
    assert "Página 1 de 1" in seen


def test_totals_stand_in_order() -> None:
    """One line a rate, named by what the lines say; then the order of the SRI's own form."""
    xml = documents.invoice(taxes=MANY_TAXES, lines=SPECIAL_LINES)
    seen = text(printed(xml).data)
    expected = [
        "SUBTOTAL 15% 100.00",
        "SUBTOTAL 5% 50.00",
        "SUBTOTAL TARIFA ESPECIAL 8% 30.60",
        "SUBTOTAL 0% 10.00",
        "SUBTOTAL NO OBJETO DE IVA 11.00",
        "SUBTOTAL EXENTO DE IVA 12.00",
        "SUBTOTAL SIN IMPUESTOS",
        "TOTAL DESCUENTO 0.00",
        "ICE 3.75",
        "IVA 15% 15.00",
        "IVA 5% 2.50",
        "IVA 8% 2.45",
        "TOTAL DEVOLUCIÓN IVA 1.10",
        "IRBPNR 0.02",
        "PROPINA 0.00",
        "VALOR TOTAL",
    ]
    places = [seen.find(line) for line in expected]

    assert -1 not in places
    assert sorted(places) == places


MANY_TAXES = documents.total_taxes(
    documents.tax("100.00", name="totalImpuesto", with_rate=False),
    documents.tax("50", "5", "5", name="totalImpuesto").replace(
        "</totalImpuesto>", "<valorDevolucionIva>1.10</valorDevolucionIva></totalImpuesto>"
    ),
    documents.tax("30.6", "8", "8", name="totalImpuesto", with_rate=False),
    documents.tax("10.00", "0", "0", name="totalImpuesto", with_rate=False),
    documents.tax("11.0", "0", "6", name="totalImpuesto", with_rate=False),
    documents.tax("12", "0", "7", name="totalImpuesto", with_rate=False),
    documents.tax("5.00", "75", "3072", kind="3", name="totalImpuesto"),
    documents.tax("1.00", "2", "5001", kind="5", name="totalImpuesto"),
)
SPECIAL_LINES = [documents.line(0), documents.line(1, taxes=documents.tax("30.6", "8", "8"))]


ODD_MONEY = (
    ("000000011.50", "11.50"),
    ("11.5000", "11.50"),
    ("11.5", "11.50"),
    ("11", "11.00"),
    ("0", "0.00"),
    ("000000000.00", "0.00"),
    ("0.000000", "0.00"),
    ("150.075", "150.075"),
    ("150.07500", "150.075"),
    ("0.49995", "0.49995"),
    (".5", "0.50"),
    ("7.", "7.00"),
    ("-1.5", "-1.50"),
    ("+1.5", "1.50"),
    ("-0", "0.00"),
    ("1234567890123456.1", "1234567890123456.10"),
    ("56,00", "56,00"),
    ("1.234,50", "1.234,50"),
    ("1e3", "1e3"),
    ("12.3.4", "12.3.4"),
    ("-", "-"),
)
MONEY: dict[str, Callable[[], bytes]] = {
    "importeTotal": documents.invoice,
    "propina": documents.invoice,
    "totalSinImpuestos": documents.invoice,
    "totalDescuento": documents.invoice,
    "descuento": documents.invoice,
    "precioTotalSinImpuesto": documents.invoice,
    "total": documents.invoice,
    "valorModificacion": documents.credit_note,
    "valorTotal": documents.debit_note,
    "valor": documents.debit_note,
    "valorRetenido": lambda: documents.withholding("1.0.0"),
    "baseImponible": lambda: documents.withholding("1.0.0"),
    "totalBaseImponibleReembolso": lambda: documents.purchase_settlement(reimbursed=True),
    "impuestoReembolso": lambda: documents.purchase_settlement(reimbursed=True),
}
ODD_DIGITS = (
    ("000001.00", "1.00"),
    ("1", "1"),
    ("3.333000", "3.333000"),
    ("000", "0"),
    ("000.20", "0.20"),
    ("1,50", "1,50"),
)
NO_MONEY: dict[str, Callable[[], bytes]] = {
    "cantidad": documents.invoice,
    "precioUnitario": documents.invoice,
    "plazo": documents.invoice,
    "porcentajeRetener": documents.withholding,
}


def altered(xml: bytes, name: str, text: str) -> bytes:
    """Return a document whose elements of this name all hold this text."""
    return re.sub(f"<{name}>[^<]*</{name}>", f"<{name}>{text}</{name}>", xml.decode()).encode()


@pytest.mark.parametrize(("written", "expected"), ODD_MONEY)
def test_money_has_two_decimals(written: str, expected: str) -> None:
    """Whatever the issuer's software writes, its value stands there with two decimals, or with all it needs."""
    assert expected == money(Amount(written))


@pytest.mark.parametrize("name", MONEY)
def test_every_element_of_money_has_two_decimals(name: str) -> None:
    """Totals, discounts, taxes, payments and lines alike."""
    seen = text(printed(altered(MONEY[name](), name, "000731.7500")).data)

    assert ("731.75" in seen.split(), "731.7500" in seen) == (True, False)


@pytest.mark.parametrize(("written", "expected"), ODD_DIGITS)
def test_quantities_prices_and_rates_keep_their_digits(written: str, expected: str) -> None:
    """Only leading zeros go."""
    assert expected == digits(Amount(written))


@pytest.mark.parametrize("name", NO_MONEY)
def test_every_element_that_is_no_money_keeps_its_decimals(name: str) -> None:
    """Quantities, unit prices, terms and percentages alike."""
    assert "731.7500" in text(printed(altered(NO_MONEY[name](), name, "000731.7500")).data).split()


@pytest.mark.parametrize("name", ["importeTotal", "total"])
def test_decimal_comma_is_printed_as_it_stands(name: str) -> None:
    """What is no number is neither read as one nor a reason to refuse the page."""
    assert "56,00" in text(printed(altered(documents.invoice(), name, "56,00")).data).split()


def test_what_the_page_works_out_has_two_decimals() -> None:
    """The sum of what was withheld, exact before it is rounded, however many digits there are."""
    many = "9" * 60
    xml = altered(documents.withholding("1.0.0", rows=3), "valorRetenido", "0.335")
    large = altered(documents.withholding("1.0.0", rows=2), "valorRetenido", many)

    assert "TOTAL RETENIDO 1.01" in text(printed(xml).data)
    assert f"{2 * int(many)}.00" in text_as_drawn(printed(large).data)


@pytest.mark.parametrize(
    ("group", "code", "expected"),
    [
        *(("4", code, "IVA PRESUNTIVO") for code in ("3", "4", "5", "6", "003")),
        *(("4", code, "RENTA") for code in ("327", "328")),
        *(("4", code, "IVA PRESUNTIVO Y RENTA") for code in ("1", "7", "329", "999", "32x", None)),
        ("1", "312", "RENTA"),
        ("2", "3", "IVA"),
        ("6", "4580", "ISD"),
        ("9", "1", "9"),
        (None, None, None),
    ],
)
def test_withheld_taxes_are_named_by_their_sub_code(group: str | None, code: str | None, expected: str | None) -> None:
    """One group of invoices for fuel and press is for two taxes (Ficha Técnica, tables 22 and 23)."""
    assert expected == withheld_tax(group, code)


def test_what_fuel_invoices_withhold() -> None:
    """Tax, code, rate and amount stand there; the rate may be a factor or a fraction, and gets no % of ours."""
    rows = [("3", "1", "0.09"), ("4", "0.12", "1.5"), ("328", "0.30", "0.30"), ("999", "007", "2.00")]
    withheld = tag(
        "retenciones",
        *(
            tag("retencion", tags(codigo="4", codigoPorcentaje=code, tarifa=rate, valor=amount))
            for code, rate, amount in rows
        ),
    )
    seen = text(printed(documents.invoice(rest=withheld)).data)

    assert [
        line
        for line in (
            "IVA PRESUNTIVO 3 1 0.09",
            "IVA PRESUNTIVO 4 0.12 1.50",
            "RENTA 328 0.30 0.30",
            "IVA PRESUNTIVO Y RENTA 999 7 2.00",
        )
        if line not in seen
    ] == []


def test_decimal_points_stand_below_each_other() -> None:
    """Prices of two, three and four decimals share one place for their point."""
    data = printed(documents.invoice()).data
    prices = {word.text: word for word in words(data) if word.text in ("48.5000", "1.875", "6.45")}
    digit = (prices["48.5000"].right - prices["48.5000"].left - (prices["6.45"].right - prices["6.45"].left)) / 3
    points = {text: word.right - digit * len(text.partition(".")[2]) for text, word in prices.items()}

    assert max(points.values()) - min(points.values()) < 0.3


def test_padded_numbers_are_stripped() -> None:
    """Blanks and line breaks around a number are no part of it."""
    xml = documents.invoice().replace(b"<precioUnitario>48.5000<", b"<precioUnitario>\n   48.5000  \n<")

    assert "48.5000" in {word.text for word in words(printed(xml).data)}


def test_total_that_differs_by_a_cent_is_printed_as_it_is() -> None:
    """What the XML says stands on the paper, whether or not it adds up."""
    assert "VALOR TOTAL 401.07" in text(printed(documents.invoice(total="401.07")).data)


OPTIONAL_BLOCKS: dict[str, tuple[dict[str, object], list[str]]] = {
    "export": (
        {
            "before_buyer": tags(
                comercioExterior="EXPORTADOR",
                incoTermFactura="FOB",
                lugarIncoTerm="Guayaquil",
                paisOrigen="593",
                puertoEmbarque="Contecon",
                puertoDestino="Rotterdam",
                paisDestino="331",
                paisAdquisicion="332",
            ),
            "after_tip": tags(
                fleteInternacional="1200.00",
                seguroInternacional="85.50",
                gastosAduaneros="40.01",
                gastosTransporteOtros="15.25",
            ),
        },
        [
            "Exportación",
            "EXPORTADOR",
            "FOB",
            "593",
            "331",
            "332",
            "Contecon",
            "Rotterdam",
            "1200.00",
            "85.50",
            "40.01",
            "15.25",
        ],
    ),
    "reimbursements": (
        {
            "reimbursed": tags(codDocReembolso="41", totalComprobantesReembolso="44.25"),
            "rest": documents.reimbursements(),
        },
        ["Reembolso de Gastos", "44.25", "Reembolsos", "003-001-000007891", "0190567818001", "25.00", "3.75", "IVA 0%"],
    ),
    "reimbursements, spelled as in withholdings": (
        {"rest": documents.reimbursements(capital=True)},
        ["1003202601099234560800120030010000078911234567813"],
    ),
    "third parties": (
        {"rest": tag("otrosRubrosTerceros", tag("rubro", tags(concepto="Contribución bomberos", total="3.51")))},
        ["Contribución bomberos 3.51"],
    ),
    "transport": (
        {
            "rest": tag(
                "infoSustitutivaGuiaRemision",
                tags(
                    dirPartida="Panamericana Sur km 14",
                    dirDestinatario="Av. Loja",
                    fechaIniTransporte="15/03/2026",
                    fechaFinTransporte="16/03/2026",
                    razonSocialTransportista="TRANSPORTES CORDILLERA",
                    rucTransportista="1792001102001",
                    placa="PBX1234",
                ),
                tag("destinos", tag("destino", tags(motivoTraslado="Consignación", ruta="Quito – Loja"))),
            )
        },
        [
            "Información Sustitutiva",
            "TRANSPORTES CORDILLERA",
            "1792001102001",
            "PBX1234",
            "Consignación",
            "Quito – Loja",
        ],
    ),
    "fuel": (
        {
            "rest": tag(
                "retenciones", tag("retencion", tags(codigo="4", codigoPorcentaje="327", tarifa="0.20", valor="0.71"))
            )
        },
        ["Retenciones", "327", "0.20", "0.71"],
    ),
    "withheld": ({"withheld": tags(valorRetIva="10.07", valorRetRenta="5.03")}, ["10.07", "5.03"]),
    "negotiable": ({"rest": tag("tipoNegociable", tags(correo="cobros@andina.example"))}, ["cobros@andina.example"]),
    "machine": (
        {"rest": tag("maquinaFiscal", tags(marca="EPSON", modelo="TM-T900FA", serie="X7Y600123"))},
        ["Máquina Fiscal", "EPSON", "TM-T900FA", "X7Y600123"],
    ),
    "compensations": (
        {"compensations": tag("compensaciones", tag("compensacion", tags(codigo="1", tarifa="2", valor="6.97")))},
        ["Compensación 2%", "6.97"],
    ),
    "plate": ({"plate": "PBX1234"}, ["Placa / Matrícula", "PBX1234"]),
    "rimpe": ({"contribuyenteRimpe": "CONTRIBUYENTE RÉGIMEN RIMPE"}, ["CONTRIBUYENTE RÉGIMEN RIMPE"]),
    "rimpe, small": (
        {"contribuyenteRimpe": "CONTRIBUYENTE NEGOCIO POPULAR - RÉGIMEN RIMPE"},
        ["CONTRIBUYENTE NEGOCIO POPULAR - RÉGIMEN RIMPE"],
    ),
    "agent": ({"agenteRetencion": "12345678"}, ["Agente de Retención Resolución No. 12345678"]),
    "micro": ({"regimenMicroempresas": "CONTRIBUYENTE RÉGIMEN MICROEMPRESAS"}, ["CONTRIBUYENTE RÉGIMEN MICROEMPRESAS"]),
    "special": ({"special": "5368"}, ["Contribuyente Especial Nro. 5368"]),
    "details": (
        {"lines": [documents.line(0, details=[("Lote", "A-77"), ("Caduca", "01/2027")], auxiliary="AUX-9")]},
        ["Detalle Adicional", "Lote: A-77", "Caduca: 01/2027", "AUX-9"],
    ),
    "subsidy": (
        {
            "lines": [documents.line(0, price="2.1427", quantity="4.17", subsidy="3.3907")],
            "subsidy": "5.20",
            "total": "10.28",
        },
        ["Subsidio", "1.2480", "3.3907", "VALOR TOTAL SIN SUBSIDIO 16.26", "AHORRO POR SUBSIDIO", "5.98"],
    ),
}


@pytest.mark.parametrize(("more", "expected"), OPTIONAL_BLOCKS.values(), ids=OPTIONAL_BLOCKS.keys())
def test_optional_blocks(more: dict[str, object], expected: list[str]) -> None:
    """Each block that an invoice may have is printed when it is there, and leaves no trace when it is not."""
    without = text(printed(documents.invoice(special=None, additional="")).data)
    data = printed(documents.invoice(**{"special": None, "additional": "", **more})).data  # type: ignore[arg-type]
    seen = text(data)

    assert [part for part in expected if part not in seen] == []
    assert expected[0] not in without
    assert (overlaps(data), outside(data)) == ([], [])


ZERO_SUMS = {
    "totalComprobantesReembolso": "0",
    "totalBaseImponibleReembolso": "0.00",
    "totalImpuestoReembolso": "000.000",
}


@pytest.mark.parametrize(
    "more",
    [
        {"reimbursed": tags(**ZERO_SUMS)},
        {"reimbursed": tags(codDocReembolso="00", **ZERO_SUMS)},
        {"withheld": tags(valorRetIva="0", valorRetRenta="0.00")},
        {"withheld": tags(valorRetIva="0.0000")},
        {"subsidy": "0.00", "lines": [documents.line(0, subsidy="0.000000")]},
        {"compensations": tag("compensaciones", tag("compensacion", tags(codigo="1", tarifa="2", valor="0.00")))},
    ],
)
def test_blocks_of_zeros_are_left_out(more: dict[str, object]) -> None:
    """Zeros that an issuer's software fills in make no ordinary invoice a reimbursement or a subsidized one."""
    plain_lines = {"lines": [documents.line(0)]}

    assert text(printed(documents.invoice(**plain_lines)).data) == text(  # type: ignore[arg-type]
        printed(documents.invoice(**{**plain_lines, **more})).data  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            {"reimbursed": tags(**{**ZERO_SUMS, "totalImpuestoReembolso": "0.01"})},
            "Total Comprobantes Reembolso Total Base Imponible Reembolso Total Impuesto Reembolso\n0.00 0.00 0.01",
        ),
        ({"reimbursed": tags(**ZERO_SUMS), "rest": documents.reimbursements()}, "0.00 0.00 0.00"),
        ({"withheld": tags(valorRetIva="0", valorRetRenta="0.01")}, "Valor Retenido IVA 0.00"),
        (
            {"lines": [documents.line(0, subsidy="0.000000"), documents.line(1, subsidy="2.50")]},
            "0.000000",
        ),
        ({"subsidy": "7.81", "lines": [documents.line(0)]}, "TOTAL SUBSIDIO 7.81"),
        (
            {
                "compensations": tag(
                    "compensaciones",
                    tag("compensacion", tags(codigo="1", tarifa="2", valor="0")),
                    tag("compensacion", tags(codigo="1", tarifa="4", valor="0.05")),
                )
            },
            "Compensación 2% 0.00",
        ),
        (
            {"after_tip": tags(fleteInternacional="0.00", seguroInternacional="0.00")},
            "Flete Internacional Seguro Internacional\n0.00 0.00",
        ),
        (
            {"lines": [documents.line(0, quantity="1", price="0.00")]},
            "1 Café tostado y molido de altura, funda 400 g 0.00",
        ),
    ],
)
def test_one_value_keeps_its_block(more: dict[str, object], expected: str) -> None:
    """A block with one value that is not zero stays whole; lines and what an export costs stay in any case."""
    assert expected in text(printed(documents.invoice(**more)).data)  # type: ignore[arg-type]


PAID = tag("pagos", tag("pago", tags(formaPago="19", total="731.75")))


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        (documents.credit_note().replace(b"</infoNotaCredito>", f"{PAID}</infoNotaCredito>".encode()), "731.75"),
        (documents.debit_note().replace(b"</infoNotaDebito>", b"<moneda>EURO</moneda></infoNotaDebito>"), "EURO"),
        (documents.invoice(rest=tag("motivos", tag("motivo", tags(razon="Mora", valor="7.3100")))), "Mora 7.31"),
    ],
)
def test_elements_decide_not_the_kind_of_document(xml: bytes, expected: str) -> None:
    """What a document has beside what its schema names is printed with it, and takes nothing else's place."""
    rendered = printed(xml)
    seen = text(rendered.data)

    assert (expected in seen, "Café tostado" in seen or b"notaDebito" in xml, rendered.warnings) == (True, True, ())


def test_absent_blocks_leave_no_frames() -> None:
    """The smallest invoice has the two boxes, the buyer's, one table and the totals."""
    xml = documents.invoice(lines=1, paid="<pagos/>", additional="")
    seen = text(printed(xml).data)

    assert [
        word
        for word in ("Forma de pago", "Información Adicional", "Reembolso", "Exportación", "Guía de")
        if word in seen
    ] == []
    with pikepdf.open(BytesIO(printed(xml).data)) as pdf:
        operators = [str(one.operator) for one in pikepdf.parse_content_stream(pdf.pages[0])]
    assert operators.count("h") == 3


def test_provider_of_the_software_is_printed() -> None:
    """Since 2026 the RIDE shows the RUC of whoever made the software (Ficha Técnica, annex 26)."""
    assert "RUC Proveedor 0992345608001" in text(printed(documents.invoice()).data)


def test_withholding_rows_of_both_versions_read_alike() -> None:
    """A document of version 2 is printed in the columns of version 1."""
    old, new = (text(printed(documents.withholding(version)).data) for version in ("1.0.0", "2.0.0"))

    assert "FACTURA 003001000004512 12/03/2026 03/2026 350.00 RENTA 312 1.75 6.13" in old
    assert [line for line in old.splitlines() if "FACTURA 003" in line] == [
        line for line in new.splitlines() if "FACTURA 003" in line
    ]


def test_delivery_note_prints_each_recipient_with_its_goods() -> None:
    """Several recipients each have their box and their table."""
    seen = text(printed(documents.delivery_note(recipients=3)).data)

    assert [f"Destinatario {number} de 3" in seen for number in (1, 2, 3)] == [True] * 3
    assert seen.count("Café tostado y molido de altura") == 3


def test_fixtures_are_taxpayers_that_could_exist() -> None:
    """The invented RUC has the form of a company's."""
    assert ruc.is_valid(documents.RUC)


# --- what has no validity --------------------------------------------------------------------------------------------

NO = "SIN AUTORIZACIÓN – SIN VALIDEZ TRIBUTARIA"


@pytest.mark.parametrize("state", [None, "NO AUTORIZADO", "RECHAZADO", "no autorizado", "EN PROCESO", "NAT"])
def test_unauthorized_documents_are_marked_on_every_page(state: str | None) -> None:
    """Every page says that the document has no validity, beside barcode and tables, and an operator is warned."""
    rendered = printed(documents.invoice(lines=60), Stamp(state))
    pages = page_count(rendered.data)
    marked = [word for word in words(rendered.data) if word.text in ("VALIDEZ", "TRIBUTARIA")]

    assert pages > 1
    assert len(marked) == 2 * pages
    assert max(word.bottom for word in marked) < 60
    assert "not authorized" in rendered.warnings[0]
    assert len(barcodes(rendered.data)) == 1


@pytest.mark.parametrize("state", ["AUTORIZADO", " autorizado ", "AUT"])
def test_authorized_documents_are_not_marked(state: str) -> None:
    """The state may be spelled in several ways."""
    rendered = printed(documents.invoice(), Stamp(state))

    assert (NO in text(rendered.data), rendered.warnings) == (False, ())


def test_test_environment_is_marked() -> None:
    """A document of the test environment says so in large letters."""
    rendered = printed(documents.invoice(environment="1"))

    assert "AMBIENTE DE PRUEBAS – SIN VALIDEZ TRIBUTARIA" in text(rendered.data)
    assert "test environment" in rendered.warnings[0]


def test_unreadable_authorization_time_is_printed_as_it_came() -> None:
    """No other time stands in for one that could not be read."""
    seen = text(printed(documents.invoice(), Stamp("AUTORIZADO", authorized_at_text="ayer a las tres")).data)

    assert "ayer a las tres" in seen


@pytest.mark.parametrize("written", ["", "<claveAcceso></claveAcceso>", "<claveAcceso>  </claveAcceso>"])
def test_absent_key_is_printed_without_barcode(written: str) -> None:
    """The page is whole without a key, and an operator is told which element is missing."""
    xml = re.sub("<claveAcceso>.*</claveAcceso>", written, documents.invoice().decode()).encode()
    rendered = printed(xml)

    assert "VALOR TOTAL" in text(rendered.data)
    assert barcodes(rendered.data) == []
    assert ["claveAcceso" in warning for warning in rendered.warnings] == [True]


def test_authorization_number_of_old_documents_is_not_the_key() -> None:
    """Before 2018 the number had 37 digits; then both stand there, each once."""
    number = "2309201515561701112227001946028221100"
    xml = documents.invoice()
    seen = text(printed(xml, Stamp("AUTORIZADO", number)).data)

    assert (seen.count(number), seen.count(read_document(xml).access_key)) == (1, 1)


def test_odd_key_is_printed_without_barcode() -> None:
    """A key that is not 49 digits stands there as text."""
    rendered = printed(documents.invoice(key="18112023011790016919001207212600025400207110135X"))

    assert "18112023011790016919001207212600025400207110135X" in text(rendered.data)
    assert barcodes(rendered.data) == []
    assert "not 49 digits" in rendered.warnings[0]


def test_unknown_elements_are_named() -> None:
    """What nobody reads is not printed, but an operator hears of it."""
    rendered = printed(documents.invoice(rest="<novedad>7</novedad>"))

    assert any("factura/novedad" in warning for warning in rendered.warnings)


# --- long things -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [1, 20, 33, 34, 35, 36, 37, 54, 90])
def test_pages(lines: int) -> None:
    """Every line is there once, the heading on every page that has lines, and the totals stand with some of them."""
    data = printed(documents.invoice(lines=[documents.line(n, code=f"COD-{n:04d}") for n in range(lines)])).data
    seen = words(data)
    pages = page_count(data)
    codes = [word for word in seen if word.text.startswith("COD-")]
    total = [word for word in seen if word.text == "VALOR"]

    assert [f"COD-{number:04d}" for number in range(lines)] == [word.text for word in codes]
    assert {word.page for word in seen if word.text == "Cantidad"} == set(range(pages))
    assert [word.page for word in total] == [pages - 1] * len(total)
    assert sum(word.page == pages - 1 for word in codes) >= min(lines, 2)
    assert f"Página {pages} de {pages}" in text(data)
    assert outside(data) == []


def test_rows_come_closer_where_that_saves_a_page() -> None:
    """As long as rows can move together, the totals stay on the first page; then rows have their usual room again."""
    one = [documents.invoice(lines=[documents.line(n, code=f"COD-{n:04d}") for n in range(40)])]
    details = [("Lote", "A-77"), ("Caduca", "01/2027")]
    one.append(documents.invoice(lines=[documents.line(n, details=details) for n in range(21)]))

    def distance(lines: int) -> float:
        rows = [documents.line(n, code=f"COD-{n:04d}") for n in range(lines)]
        tops = [word.top for word in words(printed(documents.invoice(lines=rows)).data) if word.text.startswith("COD-")]
        return round(tops[1] - tops[0], 1)

    assert [page_count(printed(xml).data) for xml in one] == [1, 1]
    assert distance(40) < distance(34) <= distance(10) == distance(54)


def test_two_thousand_lines() -> None:
    """The largest document anybody sends is printed whole."""
    rendered = printed(documents.invoice(lines=[documents.line(n, code=f"COD-{n:04d}") for n in range(2000)]))
    seen = text_as_drawn(rendered.data)

    assert re.findall(r"COD-\d{4}", seen) == [f"COD-{n:04d}" for n in range(2000)]
    assert seen.count("Descripción") == rendered.pages
    assert f"Página{rendered.pages}de{rendered.pages}" in seen


def test_row_taller_than_a_page_goes_on() -> None:
    """A text longer than a page is divided, not cut off."""
    long = " ".join(f"palabra{number:05d}" for number in range(1500))
    data = printed(
        documents.invoice(lines=[documents.line(0), documents.line(1, description=long), documents.line(2)])
    ).data
    found = [word.text for word in words(data) if word.text.startswith("palabra")]

    assert long.split() == found
    assert (page_count(data) > 1, outside(data)) == (True, [])


# --- columns, and what the eye meets first ---------------------------------------------------------------------------

WIDE_LINE = documents.line(
    0,
    code="0101",
    auxiliary="786100123456",
    description="GASOLINA EXTRA CON ETANOL (ECOPAIS) 85 OCTANOS",
    details=[("Autotanque", "PBA-1234 sello 00045678"), ("Despacho", "Terminal El Beaterio")],
    quantity="10868.900000",
    price="1.652000",
    subsidy="2.224696",
).replace("<cantidad>", "<unidadMedida>GALONES</unidadMedida><cantidad>")


def test_eleven_columns_leave_room_for_texts() -> None:
    """Where every column is there, numbers take what they need, and description and details read well."""
    data = printed(documents.invoice(lines=[WIDE_LINE], subsidy="7.81")).data
    rows = {round(word.top) for word in words(data) if word.text in ("GASOLINA", "Autotanque:", "Beaterio")}
    heights = sorted(rows)

    assert heights[-1] - heights[0] < 4 * 10  # points: four rows of text at most


@pytest.mark.parametrize(
    "word",
    ["ELECTRODOMÉSTICOS", "descripcion0descripcion0", "CODIGO-MUY-LARGO-SIN-BLAN", "otorrinolaringológicamente"],
)
@pytest.mark.parametrize("place", ["code", "auxiliary", "description", "details"])
def test_words_that_fit_are_not_broken(place: str, word: str) -> None:
    """A word is whole in whichever of the eleven columns it stands, beside long texts in the others."""
    cells: dict[str, object] = {"code": "0101", "auxiliary": "7861", "description": LONG, "details": [("Lote", LONG)]}
    cells[place] = [("Lote", f"a {word} z")] if place == "details" else word
    line = documents.line(0, quantity="12.500000", price="1.652000", subsidy="2.224696", **cells)  # type: ignore[arg-type]
    data = printed(
        documents.invoice(lines=[line.replace("<cantidad>", "<unidadMedida>KG</unidadMedida><cantidad>")])
    ).data

    assert word in {word.text for word in words(data)}
    assert (outside(data), overlaps(data)) == ([], [])


def test_words_that_fit_nowhere_cost_no_other_word() -> None:
    """Beside three hundred letters without a blank, codes and ordinary words stay whole."""
    line = documents.line(
        0, code="CODIGO-MUY-LARGO-SIN-BLAN", auxiliary="X" * 25, description=f"{UNBROKEN} mantenimiento", quantity="1.5"
    )
    data = printed(documents.invoice(lines=[line])).data

    assert {"CODIGO-MUY-LARGO-SIN-BLAN", "X" * 25, "mantenimiento", "1.5"} <= {word.text for word in words(data)}
    assert (outside(data), overlaps(data)) == ([], [])


@pytest.mark.parametrize("name", ["cantidad", "precioUnitario", "valor", "total", "tarifa"])
def test_number_of_letters_without_glyph_is_printed(name: str) -> None:
    """Whatever stands in the place of a number is printed, as far as there are letters for it."""
    assert "\ufffd" in text(printed(altered(documents.invoice(), name, "漢 12")).data)


def test_numbers_are_not_broken_to_make_room_for_texts() -> None:
    """Texts go over several lines before a digit does."""
    line = documents.line(0, description=LONG, details=[("Lote", LONG)], quantity="123456789.123456", price="0.123456")

    assert {"123456789.123456", "0.123456"} <= {
        word.text for word in words(printed(documents.invoice(lines=[line])).data)
    }


@pytest.mark.parametrize("make", [*ALL.values(), lambda: documents.invoice(lines=60, environment="1")])
def test_no_text_is_too_small_or_too_pale(make: Callable[[], bytes]) -> None:
    """Seven points at least, and nothing paler than dark grey."""
    letters = [letter for page in pages(printed(make()).data) for letter in page.chars]
    greys = [grey for letter in letters for grey in letter["non_stroking_color"]]

    assert min(letter["size"] for letter in letters) >= 6.999
    assert max(greys) <= 0.3


def test_key_stands_once_however_many_pages() -> None:
    """Below its bars and nowhere else; later pages are told apart by number and RUC."""
    xml = documents.invoice(lines=90)
    document = read_document(xml)
    seen = text(printed(xml).data)

    assert seen.count(document.access_key) == 1
    assert seen.count(document.series_number or "") == page_count(printed(xml).data)


@pytest.mark.parametrize("trade_name", ["Almacenes El Ceibo", None])
def test_name_stands_where_there_is_no_logo(trade_name: str | None) -> None:
    """Large, above the issuer's box; no name is said twice, and the box ends where the key's ends."""
    data = printed(documents.invoice(nombreComercial=trade_name)).data
    seen = text(data)
    shown = trade_name or "COMERCIAL ANDINA DEL PACÍFICO S.A."
    [page] = pages(data)
    sizes = {letter["size"] for letter in page.chars if letter["text"] == shown[0]}
    boxes = [curve for curve in page.curves if curve["width"] < PAGE[0] / 2]
    issuer, key = sorted(boxes, key=lambda box: float(box["x0"]))

    assert [seen.count(name) for name in ("COMERCIAL ANDINA DEL PACÍFICO S.A.", "Almacenes El Ceibo")] == [
        1,
        1 if trade_name else 0,
    ]
    assert max(sizes) > 14
    assert abs(issuer["bottom"] - key["bottom"]) < 0.1


def test_buyer_outweighs_additional_information() -> None:
    """Whom the document is for stands in larger letters than what was added to it."""
    [page] = pages(printed(documents.invoice()).data)
    sizes = {word["text"]: word["size"] for word in page.extract_words(extra_attrs=["size"])}

    assert sizes["GUAMÁN"] > sizes["Entregar"] + 2


def test_currency_stands_below_the_totals() -> None:
    """It is the totals' unit, no field of its own."""
    seen = text(printed(documents.invoice()).data).splitlines()
    place = next(index for index, line in enumerate(seen) if "Moneda" in line)
    total = next(index for index, line in enumerate(seen) if "VALOR TOTAL" in line)

    assert seen[place].endswith("Moneda: DOLAR")
    assert place > total


UGLY_FIELDS = documents.fields(
    *[(f"Campo {n} {LONG[:60] if n % 3 == 0 else ''}", UNBROKEN if n % 2 else LONG) for n in range(15)]
)
UGLY_LINES = [
    documents.line(
        number,
        code="CODIGO-MUY-LARGO-SIN-BLAN",
        auxiliary="X" * 25,
        description=UNBROKEN if number % 3 == 0 else LONG,
        details=[("Lote", UNBROKEN), ("S" * 300, LONG)] if number % 2 else [],
        quantity="123456789012.123456",
        price="0.123456",
    )
    for number in range(6)
]
UGLY: dict[str, Callable[[], bytes]] = {
    "long issuer": lambda: documents.invoice(razonSocial=LONG, nombreComercial=UNBROKEN, dirMatriz=UNBROKEN),
    "long buyer": lambda: documents.invoice(buyer=documents.BUYER.replace("ROSA ELENA", UNBROKEN + " " + LONG)),
    "long lines": lambda: documents.invoice(lines=UGLY_LINES),
    "many fields": lambda: documents.invoice(additional=UGLY_FIELDS),
    "many taxes": lambda: documents.invoice(taxes=MANY_TAXES, total="1234567890123456.123456"),
    "huge total": lambda: documents.invoice(total="1" * 60 + ".00"),
    "odd key": lambda: documents.invoice(key="A" * 300),
    "all of it": lambda: documents.invoice(
        lines=UGLY_LINES,
        taxes=MANY_TAXES,
        additional=UGLY_FIELDS,
        razonSocial=UNBROKEN,
        nombreComercial=LONG,
        plate=UNBROKEN,
    ),
    "debit note": lambda: documents.debit_note(reasons=[(UNBROKEN, "1234567.123456"), (LONG, "1")] * 20),
    "withholding": lambda: documents.withholding(rows=80),
    "delivery note": lambda: documents.delivery_note(recipients=7, goods=15),
    "settlement": lambda: documents.purchase_settlement(reimbursed=True),
    "third parties": lambda: documents.invoice(
        rest=tag("otrosRubrosTerceros", *(tag("rubro", tags(concepto=UNBROKEN, total="1.00")) for _ in range(12)))
    ),
}


@pytest.mark.parametrize("make", UGLY.values(), ids=UGLY.keys())
def test_nothing_leaves_its_room(make: Callable[[], bytes]) -> None:
    """Whatever the texts, none leaves the page, crosses a box, or is printed over another."""
    data = printed(make()).data

    assert (outside(data), overlaps(data), crossed_rules(data)) == ([], [], [])


@pytest.mark.parametrize("count", range(12, 40, 3))
def test_no_page_is_empty(count: int) -> None:
    """Space below the last words never opens a page of its own."""
    data = printed(documents.debit_note(reasons=[(LONG, "1.00")] * count)).data

    assert {word.page for word in words(data) if 60 < word.top < 790} == set(range(page_count(data)))


@pytest.mark.parametrize("make", [UGLY["long lines"], UGLY["many fields"], UGLY["long issuer"]])
def test_unbroken_text_is_printed_whole(make: Callable[[], bytes]) -> None:
    """Three hundred letters without a blank are broken into lines, and none is lost."""
    letters = "".join(word.text for word in sorted(words(printed(make()).data), key=_column))

    assert UNBROKEN in letters


def _column(word: Word) -> tuple[int, int, float]:
    return (word.page, round(word.left), word.top)


def test_random_documents() -> None:
    """Texts of any length and letters in every place, and nothing leaves its room."""
    dice = random.Random(20260315)
    letters = "abc dñé-WM.mm,/ ÁÑ0123456789 ( ) \\ čā €"

    def some(most: int) -> str:
        return "".join(dice.choice(letters) for _ in range(dice.randint(1, most))).strip() or "x"

    for _ in range(4):
        lines = [
            documents.line(
                n,
                code=some(25),
                auxiliary=some(25) if dice.random() < 0.5 else None,
                description=some(300),
                details=[(some(300), some(300)) for _ in range(dice.randint(0, 3))],
                quantity=f"{dice.random() * 10 ** dice.randint(0, 9):.{dice.randint(0, 6)}f}",
            )
            for n in range(dice.randint(1, 12))
        ]
        fields = documents.fields(*((some(300), some(300)) for _ in range(dice.randint(0, 15))))
        xml = documents.invoice(lines=lines, additional=fields, razonSocial=some(300), dirMatriz=some(300))
        data = printed(xml).data

        assert (outside(data), overlaps(data), crossed_rules(data)) == ([], [], [])


TEXTS = (
    "",
    "   ",
    "0",
    "-1.5",
    "1e9",
    "ñ" * 300,
    "W" * 300,
    "A" * 3000,
    "palabra " * 400,
    "(((\\)))",
    "😀" * 20,
    "007",
    "…<&>'",
)


@pytest.mark.parametrize("seed", range(24))
def test_mangled_documents(seed: int) -> None:
    """Elements lost, repeated, or with any text: a page that holds together, or a word on what is missing."""
    dice = random.Random(seed)
    bases = [*ALL.values(), UGLY["all of it"], UGLY["settlement"]]
    root = etree.fromstring(bases[seed % len(bases)]())
    for _ in range(dice.randint(1, 12)):
        element = dice.choice([one for one in root.iter() if one is not root])
        parent = element.getparent()
        assert parent is not None
        what = dice.random()
        if what < 0.3:
            parent.remove(element)
        elif what < 0.7 and len(element) == 0:
            element.text = dice.choice(TEXTS)
        else:
            parent.extend([copy.deepcopy(element) for _ in range(dice.choice((1, 1, 20)))])
    try:
        document = read_document(etree.tostring(root, encoding="utf-8"))
    except UnreadableDocument:
        return
    data = render(document, dice.choice([Stamp(), AUTHORIZED]), logo=Logo(picture())).data

    assert (outside(data), overlaps(data), crossed_rules(data)) == ([], [], [])


def test_document_without_lines_is_printed() -> None:
    """What has no lines has no table, and its totals stand all the same."""
    seen = text(printed(documents.invoice(lines=[], total="0.00")).data)

    assert ("VALOR TOTAL 0.00" in seen, "Cantidad" in seen) == (True, False)


def test_text_beyond_the_schema_is_cut_visibly() -> None:
    """A name of thousands of letters does not push everything off the page; an operator hears of it."""
    rendered = printed(documents.invoice(razonSocial="Nombre " * 500))

    assert "…" in text(rendered.data)
    assert "was cut" in rendered.warnings[0]


def test_letters_without_glyph_are_marked_and_named() -> None:
    """An emoji is no reason to fail, nor to vanish."""
    rendered = printed(documents.invoice(lines=[documents.line(0, description="Torta 🎂 de cumpleaños")]))

    assert "Torta � de cumpleaños" in text(rendered.data)
    assert "U+1F382" in rendered.warnings[0]


def test_other_alphabets_of_latin_letters_are_printed() -> None:
    """Names from elsewhere keep their letters; the larger font files come in."""
    rendered = printed(documents.invoice(lines=[documents.line(0, description="Dvořák Łódź Čapek Ștefan ĺ")]))

    assert ("Dvořák Łódź Čapek Ștefan ĺ" in text(rendered.data), rendered.warnings) == (True, ())


# --- the file --------------------------------------------------------------------------------------------------------


@KINDS
def test_size(make: Callable[[], bytes]) -> None:
    """A page without logo and attachment stays below 40 KB, fonts included."""
    assert len(printed(make()).data) < 40_000


@KINDS
def test_fonts_are_embedded(make: Callable[[], bytes]) -> None:
    """Every font on every page comes with its program and says which letters it shows."""
    with pikepdf.open(BytesIO(printed(make()).data)) as pdf:
        for page in pdf.pages:
            fonts = page.Resources.Font
            assert {"/F1", "/F2"} == set(fonts.keys())
            for font in fonts.values():
                descriptor = font.DescendantFonts[0].FontDescriptor
                assert len(descriptor.FontFile2.read_bytes()) == descriptor.FontFile2.Length1
                assert b"beginbfrange" in font.ToUnicode.read_bytes()


def test_structure_is_sound() -> None:
    """A strict reader has nothing to complain about."""
    with pikepdf.open(BytesIO(printed(documents.invoice(lines=60), attach=b"<x/>").data)) as pdf:
        assert pdf.check_pdf_syntax() == []


def test_file_says_what_it_is() -> None:
    """Title, author, key and language are in the file's own records."""
    xml = documents.invoice()
    key = read_document(xml).access_key
    with pikepdf.open(BytesIO(printed(xml).data)) as pdf:
        info = {name: str(value) for name, value in pdf.docinfo.items()}
        language = str(pdf.Root.Lang)

    assert info["/Title"] == "FACTURA 001-002-000000123"
    assert info["/Author"] == "COMERCIAL ANDINA DEL PACÍFICO S.A."
    assert (key in info["/Subject"], info["/Keywords"], language) == (True, key, "es-EC")
    assert info["/CreationDate"].startswith("D:20260316140509")


def test_xml_is_attached_when_asked() -> None:
    """The very bytes travel inside the PDF, under the key's name; unasked, nothing does."""
    xml = documents.invoice()
    key = read_document(xml).access_key
    with pikepdf.open(BytesIO(printed(xml, attach=xml).data)) as pdf:
        attached = {name: spec.get_file().read_bytes() for name, spec in pdf.attachments.items()}
    with pikepdf.open(BytesIO(printed(xml).data)) as pdf:
        unasked = len(pdf.attachments)

    assert ({f"{key}.xml": xml}, 0) == (attached, unasked)


@KINDS
def test_same_document_same_bytes(make: Callable[[], bytes]) -> None:
    """Twice in one process, and again after others."""
    first = printed(make()).data
    printed(documents.invoice(lines=3, razonSocial="Otro ñandú Dvořák"))

    assert first == printed(make()).data


def test_same_bytes_in_other_processes() -> None:
    """Neither the hash seed nor the time zone nor the present gets into the file."""
    script = "from tests.ride.documents import digests; print(*digests(), sep=chr(10))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "4242", "TZ": "Pacific/Auckland"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )

    assert digests() == done.stdout.split()


@pytest.mark.parametrize("name", ALL)
def test_reference(name: str) -> None:
    """
    Each layout is what it was when a person last looked at it.

    Compared without compression, whose bytes differ between builds of zlib. After a change that is meant:
    `JOBSYNC_REWRITE_REFERENCES=1 python -m pytest tests/ride -k reference`, and look at the pages.
    """
    path = REFERENCES / f"{name}.pdf"
    data = printed(ALL[name]()).data
    if REWRITING:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)

    assert plain(path.read_bytes()) == plain(data)


def plain(data: bytes) -> bytes:
    """Return a PDF with its streams unpacked and its objects in a fixed order."""
    target = BytesIO()
    with pikepdf.open(BytesIO(data)) as pdf:
        if "/ID" in pdf.trailer:
            del pdf.trailer.ID  # a digest of the compressed bytes
        pdf.docinfo["/Producer"] = "any"
        pdf.save(target, qdf=True, static_id=True, fix_metadata_version=False)
    return target.getvalue()


# --- the logo --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "mode", "size"),
    [
        ("PNG", "RGBA", (300, 120)),
        ("PNG", "RGB", (40, 400)),
        ("PNG", "L", (1, 1)),
        ("PNG", "P", (200, 100)),
        ("PNG", "RGBA", (3000, 1500)),
        ("JPEG", "RGB", (800, 400)),
        ("JPEG", "L", (2400, 600)),
        ("JPEG", "CMYK", (300, 200)),
    ],
)
def test_logo_is_printed(kind: str, mode: str, size: tuple[int, int]) -> None:
    """A picture of either kind stands above the issuer, in its proportions, and no finer than it is printed."""
    data = picture(*size, kind=kind, mode="RGB" if mode in ("P", "CMYK") else mode)
    if mode in ("P", "CMYK"):
        target = BytesIO()
        Image.open(BytesIO(data)).convert(mode).save(target, kind)
        data = target.getvalue()
    rendered = printed(documents.invoice(), logo=Logo(data))
    with pikepdf.open(BytesIO(rendered.data)) as pdf:
        image = pikepdf.PdfImage(cast("pikepdf.Stream", pdf.pages[0].Resources.XObject.I1))
        assert (image.width <= 1000, image.height <= 400) == (True, True)
        assert abs(image.width / image.height / (size[0] / size[1]) - 1) < 0.35

    assert (rendered.warnings, overlaps(rendered.data)) == ((), [])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "neither PNG nor JPEG"),
        (b"not a picture", "neither PNG nor JPEG"),
        (picture()[:60], "cannot be decoded"),
        (picture(kind="JPEG", mode="RGB")[:200], "neither PNG nor JPEG|cannot be decoded"),
        (picture(kind="GIF", mode="L"), "neither PNG nor JPEG"),
        (picture(9000, 9000, mode="L"), "9000 x 9000 pixels"),
        (b"\x89PNG" + b"0" * 9_000_000, "larger than 8 MB"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "neither PNG nor JPEG"),
    ],
)
def test_unusable_logo_is_left_out_with_a_warning(data: bytes, said: str) -> None:
    """A bad picture never costs the document."""
    rendered = printed(documents.invoice(), logo=Logo(data, "logo.png"))

    assert re.fullmatch(f"logo.png was left out: .*({said}).*", rendered.warnings[0])
    assert rendered.data == printed(documents.invoice()).data


# --- cost ------------------------------------------------------------------------------------------------------------


def test_memory_stays_flat() -> None:
    """Printing many documents keeps nothing of them."""
    script = """
import resource
from jobsync.ride.model import Logo
from jobsync.ride.render import render
from jobsync.fiscal.read import read_document
from tests.ride import documents
def some(count):
    for number in range(count):
        xml = documents.invoice(lines=20, razonSocial=f"Empresa {number}")
        logo = Logo(documents.picture(40 + number % 30))
        render(read_document(xml), documents.AUTHORIZED, logo=logo, attach_xml=xml)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = some(60)
print(some(150) - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )

    assert float(done.stdout) < 5  # MB


def test_printing_is_what_loads_the_engine() -> None:
    """Reading documents and the command line's other nouns do without fpdf2 and Pillow."""
    script = """
import sys, jobsync.cli.app, jobsync.fiscal.read, jobsync.wiring, jobsync.wiring.watched, jobsync.ride.upkeep
print('fpdf' in sys.modules, 'PIL' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "False False\n"


# --- documents that nobody here wrote --------------------------------------------------------------------------------


FOLDERS = ("sri/samples", "sri/more", "sri/more/inputs")
WITHOUT_DOCUMENT = ("soap-", "recorded-", "answer")  # answers, some of which hold none, or one that was cut


def test_samples(samples: Path) -> None:
    """
    Every outside sample that holds a document is printed: barcode, texts, and each amount with two decimals or its own.

    What has to stand there is read from the XML by this test alone, and sought in what other programs read of the PDF.
    """
    seen, without = 0, []
    for path in sorted(path for folder in FOLDERS for path in (samples / folder).glob("*.xml")):
        try:
            opened = open_file(path.read_bytes())
            document = read_document(opened.document)
        except (UnreadableFile, UnreadableDocument):
            without.append(path.name)
            continue
        seen += 1
        said = opened.authorization
        stamp = Stamp(said.state, said.number, said.authorized_at, said.authorized_at_text) if said else Stamp()
        data = render(document, stamp).data
        found, flat = {word.text.rstrip("%") for word in words(data)}, text_as_drawn(data)
        for name, expected in _shown(etree.fromstring(opened.document)):
            number = UNITS.fullmatch(name) or AMOUNTS.fullmatch(name)
            assert expected in (found if number else flat), (path.name, name, expected)
        for label in LABELS[document.kind]:
            assert "".join(label.split()) in flat, (path.name, label)
        key = re.fullmatch("[0-9]{49}", document.access_key)
        assert [document.access_key] * bool(key) == code_128(data), path.name
        assert (NO in text(data)) is not stamp.authorized, path.name
        assert (outside(data), overlaps(data)) == ([], []), path.name

    assert [name for name in without if not name.startswith(WITHOUT_DOCUMENT)] == []
    assert seen >= 45


LABELS = {
    DocumentKind.INVOICE: ["FACTURA", "R.U.C.", "Descripción", "SUBTOTAL SIN IMPUESTOS", "VALOR TOTAL"],
    DocumentKind.PURCHASE_SETTLEMENT: ["LIQUIDACIÓN DE COMPRA", "(Proveedor)", "VALOR TOTAL"],
    DocumentKind.CREDIT_NOTE: ["NOTA DE CRÉDITO", "Comprobante que se modifica", "Razón de Modificación"],
    DocumentKind.DEBIT_NOTE: ["NOTA DE DÉBITO", "Comprobante que se modifica", "VALOR TOTAL"],
    DocumentKind.WITHHOLDING: ["COMPROBANTE DE RETENCIÓN", "Ejercicio Fiscal", "IMPUESTO", "TOTAL RETENIDO"],
    DocumentKind.DELIVERY_NOTE: ["GUÍA DE REMISIÓN", "(Transportista)", "Punto de Partida", "Motivo Traslado"],
}
NOT_SHOWN = re.compile(
    "ambiente|tipo(?!Negociable).*|codDoc(?!Reembolso).*|codigo|codigoPorcentaje|parteRel|codPais.*|totalSubsidio|moneda"
    "|formaPago"
)
NOT_SHOWN_WITHIN = re.compile(
    r"/Signature/|/detalleImpuesto/tarifa|/detalle/impuestos/|/compensacionesReembolso/|/totalImpuesto/tarifa"
    "|/infoNotaDebito/impuestos/|/docSustento/(?!numDocSustento|fechaEmisionDocSustento|retenciones/)"
)
UNITS = re.compile("cantidad|precioUnitario|precioSinSubsidio|tarifa|porcentajeRetener|plazo|numCajBan")
AMOUNTS = re.compile(
    "importe.*|valor.*|total.*|descuento.*|propina|base.*|precio.*|impuesto.*|flete.*|seguro.*|gastos.*|imRenta.*|precCajBan"
)
ZEROS_ARE_LEFT_OUT = re.compile(
    "/(total.*Reembolso|valorRet(Iva|Renta)|precioSinSubsidio|descuentoAdicional|valorDevolucionIva|totalImpuesto/valor)$"
)


def _shown(root: etree._Element) -> Iterator[tuple[str, str]]:
    """Yield what a printed document has to show: words of its texts, and numbers as the rules write them."""
    for element in root.iter(etree.Element):
        name = etree.QName(element).localname
        path = "/".join(["", *(etree.QName(one).localname for one in reversed([*element.iterancestors()])), name])
        for attribute in (element.get("nombre"), element.get("valor")):
            yield from ((name, word) for word in (attribute or "").split())
        value = (element.text or "").strip()
        if len(element) or not value or NOT_SHOWN.fullmatch(name) or NOT_SHOWN_WITHIN.search(path):
            continue
        if path.endswith("totalImpuesto/baseImponible") and element.xpath("string(../codigo)") != "2":
            continue
        if ZEROS_ARE_LEFT_OUT.search(path) and not value.strip("0."):
            continue
        if UNITS.fullmatch(name):
            yield name, f"{int(value.partition('.')[0])}{''.join(value.partition('.')[1:])}"
        elif AMOUNTS.fullmatch(name) and re.fullmatch(r"[0-9.]+", value):
            yield name, _two_decimals(Decimal(value))
        else:
            yield from ((name, word) for word in value.split())


def _two_decimals(value: Decimal) -> str:
    cents = value.quantize(Decimal("0.01"))
    return f"{cents:f}" if cents == value else f"{value.normalize():f}"


def test_digest_of_the_document_is_not_the_present() -> None:
    """A document without any readable day gets a fixed one."""
    xml = documents.invoice(key="sin clave").replace(b"<fechaEmision>15/03/2026<", b"<fechaEmision>ayer<")
    one, other = (hashlib.sha256(printed(xml, Stamp()).data).hexdigest() for _ in range(2))

    assert one == other
    with pikepdf.open(BytesIO(printed(xml, Stamp()).data)) as pdf:
        assert str(pdf.docinfo["/CreationDate"]).startswith("D:20120101")


def test_authorization_in_another_zone_is_the_same_instant() -> None:
    """The printed hour is Guayaquil's, whatever offset the answer had."""
    stamp = Stamp("AUTORIZADO", None, datetime(2026, 3, 16, 2, 0, 0, tzinfo=UTC))

    assert "15/03/2026 21:00:00" in text(printed(documents.invoice(), stamp).data)
