"""Invented documents: right keys, right sums, the same for the same wishes."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from lxml import etree
from stdnum.ec import ruc as rules

from jobsync.fiscal.access_key import DOCUMENT_TYPES, find_ruc_problem, parse_access_key
from jobsync.sandbox.documents import (
    EXTRAS,
    KINDS,
    check_digit,
    invent_document,
    invent_documents,
    invent_rucs,
    is_key,
    make_key,
    taxpayer_of,
    write_documents,
)
from jobsync.sri.parse import open_file

RUC = "1799999990001"
XSD = {
    "01": "factura",
    "03": "LiquidacionCompra",
    "04": "NotaCredito",
    "05": "NotaDebito",
    "06": "GuiaRemision",
    "07": "ComprobanteRetencion",
}
VERSIONS = [(code, version) for code, (_, versions) in KINDS.items() for version in versions]


def key_of(code: str, number: int = 1, *, environment: str = "1") -> str:
    """A key of the invented issuer."""
    return make_key(date(2026, 7, 1), code, RUC, number, environment=environment)


def wrap_authorized(document: bytes, key: str, at: datetime) -> bytes:
    """Return a document as people keep it once it is authorized; `at` is aware."""
    environment = "PRUEBAS" if key[23] == "1" else "PRODUCCIÓN"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<autorizacion><estado>AUTORIZADO</estado><numeroAutorizacion>{key}</numeroAutorizacion>"
        f"<fechaAutorizacion>{at.isoformat(timespec='seconds')}</fechaAutorizacion><ambiente>{environment}</ambiente>"
        f"<comprobante><![CDATA[{document.decode()}]]></comprobante><mensajes/></autorizacion>"
    ).encode()


def test_rucs_are_right_and_differ() -> None:
    """Every invented RUC passes the check that python-stdnum knows."""
    rucs = invent_rucs(300)

    assert len(set(rucs)) == 300
    assert all(rules.is_valid(ruc) for ruc in rucs)
    assert {ruc[2] for ruc in rucs} == {"5", "9"}
    assert all(find_ruc_problem(ruc) is None for ruc in rucs)


def test_names_are_of_nobody() -> None:
    """The names say that they are invented, and stay the same."""
    names = {taxpayer_of(ruc).name for ruc in invent_rucs(100)}

    assert len(names) > 30
    assert taxpayer_of(RUC) == taxpayer_of(RUC)


@pytest.mark.parametrize("environment", ["1", "2"])
@pytest.mark.parametrize("code", KINDS)
def test_keys_are_read_by_the_other_side(code: str, environment: str) -> None:
    """A key made from the paper is read by the code that never saw this one."""
    key = parse_access_key(key_of(code, 7, environment=environment))

    assert (key.document_code, key.ruc, key.issue_date) == (code, RUC, date(2026, 7, 1))
    assert (key.environment, key.series_number) == ({"1": "test", "2": "production"}[environment], "001-001-000000007")
    assert code in DOCUMENT_TYPES


def test_both_check_digits_agree() -> None:
    """Written twice, from one paper: both say the same."""
    for number in range(500):
        parse_access_key(key_of("01", number))


@pytest.mark.parametrize("text", ["", "1" * 49, key_of("01")[:-1], key_of("01")[:-1] + "x", "x" * 49])
def test_what_is_no_key(text: str) -> None:
    """A key of the wrong length, with letters or a wrong last digit is none."""
    assert not is_key(text)


def test_check_digit_of_a_kind_that_does_not_exist() -> None:
    """A key is of a kind that exists."""
    first = key_of("01")[:8] + "99" + key_of("01")[10:48]

    assert not is_key(first + check_digit(first))


@pytest.mark.parametrize(("code", "version"), VERSIONS)
@pytest.mark.parametrize("extras", [(), EXTRAS])
def test_documents(code: str, version: str, extras: tuple[str, ...]) -> None:
    """Each kind and version has its root, its version, its key, and is a document to the other side."""
    key = key_of(code, 5)
    raw = invent_document(key, version=version, lines=20, extras=extras)
    root = etree.fromstring(raw)

    assert (root.tag, root.get("version"), root.get("id")) == (KINDS[code][0], version, "comprobante")
    assert root.findtext("infoTributaria/claveAcceso") == key
    assert root[-1].tag == "{http://www.w3.org/2000/09/xmldsig#}Signature"
    assert open_file(raw).document == raw


@pytest.mark.parametrize(("code", "version"), VERSIONS)
def test_same_wishes_same_bytes(code: str, version: str) -> None:
    """Nothing but key and wishes decides."""
    key = key_of(code)

    assert invent_document(key, version=version) == invent_document(key, version=version)
    assert invent_document(key, version=version) != invent_document(key_of(code, 2), version=version)


@pytest.mark.parametrize("number", range(1, 40))
def test_invoices_add_up(number: int) -> None:
    """The total is what lines, taxes, tip, charges and refunds make."""
    root = etree.fromstring(invent_document(key_of("01", number), lines=number % 20 + 1, extras=EXTRAS[1:]))

    def total(path: str) -> Decimal:
        return sum((Decimal(node.text or "0") for node in root.findall(path)), Decimal(0))

    info = "infoFactura"
    charges = ("propina", "fleteInternacional", "seguroInternacional", "gastosAduaneros", "gastosTransporteOtros")

    assert total(f"{info}/totalSinImpuestos") == total("detalles/detalle/precioTotalSinImpuesto")
    assert total(f"{info}/totalConImpuestos/totalImpuesto/valor") == total("detalles/detalle/impuestos/impuesto/valor")
    assert total(f"{info}/importeTotal") == (
        total(f"{info}/totalSinImpuestos")
        + total(f"{info}/totalConImpuestos/totalImpuesto/valor")
        + sum(total(f"{info}/{name}") for name in charges)
        + total("otrosRubrosTerceros/rubro/total")
        - total(f"{info}/totalConImpuestos/totalImpuesto/valorDevolucionIva")
    )
    if root.find(f"{info}/pagos") is not None:
        assert total(f"{info}/pagos/pago/total") == total(f"{info}/importeTotal")


def test_long_texts_are_as_long_as_the_schema_allows() -> None:
    """With `long`, names, descriptions and additional fields fill their elements."""
    root = etree.fromstring(invent_document(key_of("01"), lines=2, extras=["long"]))
    texts = [root.findtext(path) or "" for path in ("infoTributaria/razonSocial", "detalles/detalle/descripcion")]

    assert all(290 <= len(text) <= 300 for text in texts)
    assert len(root.findall("infoAdicional/campoAdicional")) == 15
    assert len(root.findtext("detalles/detalle/codigoPrincipal") or "") == 25


def test_a_folder_of_documents(tmp_path: Path) -> None:
    """Each document has a file named after its key; kinds and issuers come in turn, days in order."""
    keys = write_documents(tmp_path / "new" / "folder", invent_documents(60, seed=3))
    files = sorted((tmp_path / "new" / "folder").iterdir())

    assert sorted(f"{key}.xml" for key in keys) == [path.name for path in files]
    assert Counter(key[8:10] for key in keys) == dict.fromkeys(KINDS, 10)
    assert len({key[10:23] for key in keys}) == 3
    days = [parse_access_key(key).issue_date for key in keys]
    assert days == sorted(days)
    assert all(open_file(path.read_bytes()).document == path.read_bytes() for path in files)


def test_seeds() -> None:
    """The same seed invents the same documents, another one others."""
    first, again, other = (list(invent_documents(12, seed=seed)) for seed in (1, 1, 2))

    assert first == again
    assert not {one.key for one in first} & {one.key for one in other}
    assert first[1].key[8:10] == "03"


def test_rich_documents() -> None:
    """Rich ones have up to twenty lines and blocks that plain ones do not have."""
    roots = [etree.fromstring(one.document) for one in invent_documents(40, codes=["01"], rich=True)]

    assert max(len(root.findall("detalles/detalle")) for root in roots) > 15
    assert {child.tag for root in roots for child in root} > {"reembolsos", "otrosRubrosTerceros", "maquinaFiscal"}


def test_thousands_take_little_time() -> None:
    """Ten thousand documents are a matter of seconds."""
    started = time.process_time()
    made = sum(1 for _ in invent_documents(300))

    assert made == 300
    assert time.process_time() - started < 1


def test_authorized_file() -> None:
    """What people keep opens with its authorization."""
    key = key_of("04")
    raw = invent_document(key)
    found = open_file(wrap_authorized(raw, key, datetime(2026, 7, 1, 15, 30, tzinfo=UTC)))

    assert found.document == raw
    assert found.authorization is not None
    assert (found.authorization.state, found.authorization.number) == ("AUTORIZADO", key)
    assert found.authorization.authorized_at == datetime(2026, 7, 1, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(("code", "version"), VERSIONS)
def test_documents_are_valid_by_the_outside_schemas(code: str, version: str, samples: Path) -> None:
    """The tax authority's own schemas take every kind: plain, rich and long, signed where they want it."""
    found = 0
    for folder, signed in (("oca", False), ("sri-2026-04", True)):
        path = samples / "sri" / "xsd" / folder / f"{XSD[code]}_V{version}.xsd"
        if not path.exists():
            continue
        schema = etree.XMLSchema(etree.parse(str(path)))
        for number in range(1, len(EXTRAS) + 1):
            for extras in ((), EXTRAS, EXTRAS[1:], EXTRAS[number % len(EXTRAS) :][:1]):
                raw = invent_document(key_of(code, number), version=version, lines=number, extras=extras, signed=signed)

                assert schema.validate(etree.fromstring(raw)), str(schema.error_log)
                found += 1
    assert found >= 4 * len(EXTRAS)
