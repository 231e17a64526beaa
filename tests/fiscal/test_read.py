"""The fiscal document: what is read, what is kept aside, what is refused."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from jobsync.fiscal.document import Document, Sale, Summary, Withholding
from jobsync.fiscal.element import Amount, UnreadableDocument, _parse
from jobsync.fiscal.read import read_document, read_summary

KEY = "1503202601179312345600120010020000001231234567811"
TAX = (
    "<infoTributaria><ambiente>2</ambiente><razonSocial>Andina S.A.</razonSocial><ruc>1793123456001</ruc>"
    f"<claveAcceso>{KEY}</claveAcceso><codDoc>01</codDoc><estab>001</estab><ptoEmi>002</ptoEmi>"
    "<secuencial>000000123</secuencial></infoTributaria>"
)


def invoice(*, tax: str = TAX, info: str = "<importeTotal>11.50</importeTotal>", rest: str = "") -> bytes:
    """Return the smallest invoice that can be read."""
    return f'<factura version="1.1.0">{tax}<infoFactura>{info}</infoFactura>{rest}</factura>'.encode()


def body_of(xml: bytes) -> Sale:
    """Return the invoice inside."""
    body = read_document(xml).body
    assert isinstance(body, Sale)
    return body


def test_summary_of_an_invoice() -> None:
    """What the list of documents shows comes from the XML's own elements."""
    info = (
        "<fechaEmision>15/03/2026</fechaEmision><razonSocialComprador> Rosa Pérez\n</razonSocialComprador>"
        "<identificacionComprador>1710034065</identificacionComprador><importeTotal> 11.50 </importeTotal>"
    )
    expected = Summary(
        access_key=KEY,
        document_code="01",
        issuer_ruc="1793123456001",
        issuer_name="Andina S.A.",
        environment="production",
        series_number="001-002-000000123",
        issue_date=date(2026, 3, 15),
        receiver_name="Rosa Pérez",
        receiver_id="1710034065",
        total=Decimal("11.50"),
    )

    assert expected == read_summary(invoice(info=info))


def test_summary_takes_what_is_missing_as_unknown() -> None:
    """Only key, RUC and kind must be there; the date then comes from the key."""
    xml = (
        f"<notaCredito><infoTributaria><claveAcceso>{KEY}</claveAcceso><ruc>1793123456001</ruc>"
        "</infoTributaria></notaCredito>"
    ).encode()
    expected = Summary(
        access_key=KEY,
        document_code="04",
        issuer_ruc="1793123456001",
        issuer_name=None,
        environment="production",
        series_number=None,
        issue_date=date(2026, 3, 15),
    )

    assert expected == read_summary(xml)


@pytest.mark.parametrize(
    ("total", "date_text"),
    [("once", "15/03/2026"), ("NaN", "31/02/2026"), ("1e5", "2026-03-15"), ("", "ayer")],
)
def test_summary_survives_unreadable_values(total: str, date_text: str) -> None:
    """A total that is no number is None; a date that is none comes from the key."""
    info = f"<fechaEmision>{date_text}</fechaEmision><importeTotal>{total}</importeTotal>"

    summary = read_summary(invoice(info=info))

    assert (None, date(2026, 3, 15)) == (summary.total, summary.issue_date)


@pytest.mark.parametrize("name", ["claveAcceso", "ruc"])
def test_summary_names_the_missing_element(name: str) -> None:
    """An operator is told which element is not there, and where it should be."""
    xml = invoice(tax=TAX.replace(f"<{name}>", "<x>").replace(f"</{name}>", "</x>"))

    with pytest.raises(UnreadableDocument, match=rf"factura/infoTributaria/{name} is missing \(line 1\)"):
        read_summary(xml)


def test_withholding_total_is_the_sum() -> None:
    """No element names a withholding's total; rows of both versions are added up."""
    old = "<impuestos><impuesto><valorRetenido>1.10</valorRetenido></impuesto></impuestos>"
    new = (
        "<docsSustento><docSustento><retenciones><retencion><valorRetenido>2.20</valorRetenido></retencion>"
        "<retencion><valorRetenido>3.30</valorRetenido></retencion></retenciones></docSustento></docsSustento>"
    )
    xml = f"<comprobanteRetencion>{TAX}<infoCompRetencion/>{old}{new}</comprobanteRetencion>".encode()

    assert Decimal("6.60") == read_summary(xml).total


def test_withholding_rows_carry_their_document() -> None:
    """A row of the second version names the document whose payment it was withheld from."""
    xml = (
        f"<comprobanteRetencion>{TAX}<infoCompRetencion/><docsSustento><docSustento><codDocSustento>01</codDocSustento>"
        "<numDocSustento>001001000000007</numDocSustento><retenciones><retencion><codigo>1</codigo></retencion>"
        "<retencion><codigo>2</codigo></retencion></retenciones></docSustento></docsSustento></comprobanteRetencion>"
    ).encode()

    body = read_document(xml).body

    assert isinstance(body, Withholding)
    assert [("1", "001001000000007"), ("2", "001001000000007")] == [(r.tax, r.document.number) for r in body.rows]


@pytest.mark.parametrize("text", ["30.6", "255", "12.50000", "0.0000000001", "-3.00", "1234567890123.45"])
def test_numbers_keep_their_digits(text: str) -> None:
    """A number is what the XML says, digit for digit, without the blanks around it."""
    total = read_document(invoice(info=f"<importeTotal>\n  {text}\t</importeTotal>")).total

    assert total is not None
    assert (text, Decimal(text)) == (total.text, total.value)


def test_empty_elements_are_absent() -> None:
    """An empty optional element is as good as none."""
    body = body_of(invoice(info="<importeTotal>1</importeTotal><placa> </placa><propina/>"))

    assert (None, None) == (body.plate, body.tip)


def test_unknown_elements_are_kept_aside() -> None:
    """What nobody reads is reported with its path, and is never fatal; a signature is no news."""
    rest = (
        '\n<novedad><dato>x</dato></novedad><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>'
        "<detalles><detalle><raro>7</raro></detalle></detalles>"
    )
    document = read_document(invoice(info="<importeTotal>1</importeTotal><importeTotal>2</importeTotal>", rest=rest))

    assert {"factura/novedad", "factura/infoFactura/importeTotal", "factura/detalles/detalle/raro"} == {
        *document.unknown
    }


def test_what_a_compensation_does_not_print_is_unknown() -> None:
    """It has a rate and an amount; another number in it is told, not taken for known as in a tax."""
    said = "<codigo>1</codigo><tarifa>2</tarifa><impuestoReembolso>5.00</impuestoReembolso><valor>1.00</valor>"
    info = f"<importeTotal>1</importeTotal><compensaciones><compensacion>{said}</compensacion></compensaciones>"
    empty = "<compensacion><baseImponible>7.00</baseImponible></compensacion>"
    path = "factura/infoFactura/compensaciones/compensacion"

    document = read_document(invoice(info=info.replace("</compensaciones>", f"{empty}</compensaciones>")))

    assert document.unknown == (f"{path}/impuestoReembolso", f"{path}/baseImponible")


def test_fields_with_one_side_only_are_kept() -> None:
    """Old documents put a whole legend into the name of an empty additional field."""
    rest = (
        '<infoAdicional><campoAdicional nombre="Contribuyente Régimen Microempresas"/>'
        "<campoAdicional>solo texto</campoAdicional><campoAdicional/></infoAdicional>"
    )

    fields = read_document(invoice(rest=rest)).additional

    assert [("Contribuyente Régimen Microempresas", ""), ("", "solo texto")] == [(f.name, f.value) for f in fields]


def read(xml: bytes) -> Document:
    """Read the whole document."""
    return read_document(xml)


@pytest.mark.parametrize("reader", [read, read_summary])
@pytest.mark.parametrize(
    ("xml", "sentence"),
    [
        (b"", "not XML"),
        (b"<html><title>Request Rejected</title></html>", "its root is <html>"),
        (b"<factura><infoTributaria>", "not XML"),
        (b"<factura/>", "factura/infoTributaria is missing"),
        (b'<!DOCTYPE factura [<!ENTITY a "b">]><factura/>', "DOCTYPE"),
        (b"<factura>" * 300 + b"</factura>" * 300, "not XML"),
        (b"\xff\xfe\x00", "not XML"),
        (b"<factura>\x00</factura>", "not XML"),
    ],
)
def test_unreadable_documents_say_why(reader: object, xml: bytes, sentence: str) -> None:
    """No input leads to anything but a document or one sentence."""
    assert callable(reader)

    with pytest.raises(UnreadableDocument, match=sentence):
        reader(xml)


def test_document_needs_its_total() -> None:
    """A printed invoice without a total would be a wrong invoice."""
    with pytest.raises(UnreadableDocument, match=r"factura/infoFactura/importeTotal is missing \(line 1\)"):
        read_document(invoice(info=""))
    with pytest.raises(UnreadableDocument, match=r"notaDebito/infoNotaDebito/valorTotal is missing \(line 1\)"):
        read_document(f"<notaDebito>{TAX}<infoNotaDebito/></notaDebito>".encode())


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "utf-16"])
def test_encodings(encoding: str) -> None:
    """Bytes that are UTF-8 are read as such, whatever the declaration says; others follow their declaration."""
    info = "<importeTotal>1</importeTotal><razonSocialComprador>Muñoz</razonSocialComprador>"
    declared = "iso-8859-1" if encoding == "utf-8" else encoding
    text = f'<?xml version="1.0" encoding="{declared}"?>' + invoice(info=info).decode()

    assert body_of(text.encode(encoding)).party.name == "Muñoz"


def test_amount_that_is_no_number() -> None:
    """Such a text is printed as it stands and counts as no value."""
    assert Amount("12,50").value is None


def test_no_two_documents_share_a_parser() -> None:
    """Its trees share a table of names; two threads spoil it, and a sound document is unreadable."""
    one, other = (_parse(b"<a/>").getroottree().parser for _ in range(2))

    assert one is not other
