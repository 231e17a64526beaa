"""Which document an answer is about, as the document inside it tells: mostly from its beginning alone."""

from __future__ import annotations

import threading

import pytest

from jobsync.sri.model import Answer
from jobsync.sri.parse import _read_xml, parse_answer
from tests.sri import documents

KEY = documents.make_key(1)


def key_in(document: bytes) -> str | None:
    """Return the key that an answer with this document is found to hold."""
    read = parse_answer(documents.authorized(KEY, document=document), http_status=200, content_type="text/xml")
    assert isinstance(read, Answer), read
    return read.authorizations[0].document_key


def with_before_the_key(filling: str) -> bytes:
    """Return a document with something in its head before the key."""
    return documents.invoice(KEY).replace(b"<ambiente>", filling.encode() + b"<ambiente>", 1)


@pytest.mark.parametrize(
    "document",
    [
        documents.invoice(KEY),
        documents.invoice(KEY).partition(b"?>")[2],
        with_before_the_key("<otro>" + "ñ" * 5000 + "</otro>"),
        with_before_the_key("<!-- claveAcceso -->"),
        with_before_the_key("<dentro><infoTributaria><claveAcceso>1</claveAcceso></infoTributaria></dentro>"),
        documents.invoice(KEY).replace(b"infoTributaria>", b"INFOTRIBUTARIA>"),
        documents.invoice(KEY)
        .replace(b"<factura id", b'<f:factura xmlns:f="urn:f" id')
        .replace(b"</factura", b"</f:factura"),
        documents.invoice(KEY).replace(b"</factura>", b"<detalles>" + b"<d>x</d>" * 5000 + b"</detalles></factura>"),
    ],
    ids=["ordinary", "no declaration", "long head", "comment", "a head deeper inside", "case", "prefix", "long"],
)
def test_key_is_found(document: bytes) -> None:
    """However the head is written and wherever it ends."""
    assert key_in(document) == KEY


@pytest.mark.parametrize(
    "document",
    [
        b"no XML at all",
        b"<factura><detalle/></factura>",
        b"<factura><infoTributaria><ruc>1</ruc></infoTributaria></factura>",
        b"<factura><otro><infoTributaria><claveAcceso>1</claveAcceso></infoTributaria></otro></factura>",
        b"<!DOCTYPE factura><factura><infoTributaria><claveAcceso>1</claveAcceso></infoTributaria></factura>",
        b"<factura><infoTributaria><claveAcceso>1</cl",
    ],
    ids=["text", "no head", "no key", "head of something else", "doctype", "cut off within the head"],
)
def test_no_key_is_found(document: bytes) -> None:
    """What names no key in its own head names none."""
    assert key_in(document) is None


def test_many_threads_read_at_once() -> None:
    """Many answers at once are read as one after the other would be."""
    keys = [documents.make_key(number) for number in range(1, 9)]
    found: dict[str, set[str | None]] = {key: set() for key in keys}

    def read(key: str) -> None:
        for _ in range(50):
            answer = parse_answer(documents.authorized(key), http_status=200, content_type="text/xml")
            assert isinstance(answer, Answer)
            found[key].add(answer.authorizations[0].document_key)

    threads = [threading.Thread(target=read, args=[key]) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {key: {key} for key in keys}


def test_no_two_answers_share_a_parser() -> None:
    """Its trees share a table of names; two threads spoil it, and a sound answer is unreadable."""
    one, other = (_read_xml("<a/>").getroottree().parser for _ in range(2))

    assert one is not other
