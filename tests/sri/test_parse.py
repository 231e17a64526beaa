"""Whatever the SRI, or something in front of it, can send, and whatever people keep as files."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree

from jobsync.sri.client import HEADERS, PATH, build_authorization_request
from jobsync.sri.model import Answer, Authorization, Fault, FaultKind, Message
from jobsync.sri.parse import (
    AUTHORIZATIONS_MOST,
    FILE_BYTES_MAX,
    MARKS_MOST,
    MESSAGES_MOST,
    UnreadableFile,
    mend,
    open_file,
    parse_answer,
    parse_date,
)
from tests.sri.answers import (
    DECLARATION,
    KEY,
    OTHER_KEY,
    answer,
    authorization,
    document,
    envelope,
    message,
    reception,
    returned,
    soap_fault,
)
from tests.sri.documents import FIREWALL

NAME = "Panadería El Ñandú Imaginario S.A."
BOMB = '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


def parse(body: bytes | str, *, status: int = 200, content_type: str | None = "text/xml") -> Answer | Fault:
    """Read a body, in UTF-8 if it is text."""
    raw = body if isinstance(body, bytes) else body.encode()
    return parse_answer(raw, http_status=status, content_type=content_type)


def read(body: bytes | str) -> Answer:
    """Read a body that must be an answer."""
    found = parse(body)
    assert isinstance(found, Answer), found
    return found


def one(body: bytes | str) -> Authorization:
    """Read the only authorization of an answer."""
    (found,) = read(body).authorizations
    return found


def fault(body: bytes | str, *, status: int = 200, content_type: str | None = "text/xml") -> Fault:
    """Read a body that must be a fault."""
    found = parse(body, status=status, content_type=content_type)
    assert isinstance(found, Fault), found
    return found


# --- the question ----------------------------------------------------------------------------------------------------


def test_request_has_the_papers_names() -> None:
    """The operation stands in the service's namespace, its parameter in none."""
    root = etree.fromstring(build_authorization_request(KEY))
    [operation] = root.iter("{http://ec.gob.sri.ws.autorizacion}autorizacionComprobante")

    assert root.tag == "{http://schemas.xmlsoap.org/soap/envelope/}Envelope"
    assert [(child.tag, child.text) for child in operation] == [("claveAccesoComprobante", KEY)]
    assert PATH == "/comprobantes-electronicos-ws/AutorizacionComprobantesOffline"
    assert HEADERS == {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}


@pytest.mark.parametrize("text", ["", "<x/>", "12 34", "١٢٣"])
def test_request_takes_digits_only(text: str) -> None:
    """Nothing can slip into the envelope."""
    with pytest.raises(ValueError, match="digits"):
        build_authorization_request(text)


def prefixed(text: str) -> str:
    """The same elements, each with a prefix."""
    return re.sub("<(/?)(?=[a-z])", r"<\1n:", text)


# --- an ordinary answer ----------------------------------------------------------------------------------------------


def test_authorized() -> None:
    """Everything that an answer says is there, the document as UTF-8."""
    body = envelope(answer(authorization(messages=message("60", text="AMBIENTE DE PRUEBAS", severity="ADVERTENCIA"))))

    assert read(body) == Answer(
        access_key=KEY,
        declared=1,
        authorizations=(
            Authorization(
                state="AUTORIZADO",
                number=KEY,
                authorized_at=datetime(2026, 7, 1, 15, 30, tzinfo=UTC),
                authorized_at_text="2026-07-01T10:30:00-05:00",
                environment="test",
                document=(DECLARATION + document()).encode(),
                document_key=KEY,
                messages=(Message("60", "AMBIENTE DE PRUEBAS", None, "ADVERTENCIA"),),
            ),
        ),
    )


def test_empty_answer() -> None:
    """Nothing to tell is an answer."""
    assert read(envelope(answer())) == Answer(KEY, 0, ())


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("<ns2:autorizacionComprobanteResponse xmlns:ns2='urn:x'/>", Answer(None, None, ())),
        ("<RespuestaAutorizacionComprobante/>", Answer(None, None, ())),
        (answer(key=None, declared=""), Answer(None, None, ())),
        (answer(key=" ", declared="uno"), Answer(None, None, ())),
        (answer(key=f" {KEY}\n", declared=" 3 "), Answer(KEY, 3, ())),
        (answer("<autorizacion/>"), Answer(KEY, 1, (Authorization(""),))),
        (
            answer(
                "<autorizacion><estado/><numeroAutorizacion/><fechaAutorizacion/><comprobante/><mensajes/></autorizacion>"
            ),
            Answer(KEY, 1, (Authorization(""),)),
        ),
        (
            answer("<autorizacion><estado> en\n proceso </estado></autorizacion>"),
            Answer(KEY, 1, (Authorization("en\n proceso"),)),
        ),
    ],
)
def test_missing_and_empty_elements(inside: str, expected: Answer) -> None:
    """Every element may be absent or empty."""
    assert read(envelope(inside)) == expected


@pytest.mark.parametrize(
    "body",
    [
        f"<RespuestaAutorizacionComprobante>{authorization('EN PROCESO')}</RespuestaAutorizacionComprobante>",
        f"<response><RespuestaAutorizacion>{authorization('EN PROCESO')}</RespuestaAutorizacion></response>",
        f"<a:x xmlns:a='urn:a' xmlns='urn:b'>{authorization('EN PROCESO')}</a:x>",
        f"<n:x xmlns:n='urn:n'>{prefixed(authorization('EN PROCESO', inner=''))}</n:x>",
        authorization("EN PROCESO").replace("autorizacion>", "AUTORIZACION>").replace("estado>", "Estado>"),
    ],
    ids=["without an envelope", "with a wrapper", "with a default namespace", "with a prefix", "in other case"],
)
def test_names_are_local(body: str) -> None:
    """Prefixes, namespaces, case and what stands around do not matter."""
    assert one(body).state == "EN PROCESO"


def test_state_with_a_comment_inside() -> None:
    """A comment is no text."""
    assert (
        one(envelope(answer("<autorizacion><estado>AUTO<!-- NO -->RIZADO</estado></autorizacion>"))).state
        == "AUTORIZADO"
    )


def test_several_authorizations_keep_their_order() -> None:
    """Every authorization is told, as listed."""
    body = envelope(answer(authorization("NO AUTORIZADO"), authorization(), authorization("EN PROCESO")))

    assert [node.state for node in read(body).authorizations] == ["NO AUTORIZADO", "AUTORIZADO", "EN PROCESO"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PRUEBAS", "test"),
        ("1", "test"),
        ("PRODUCCIÓN", "production"),
        ("produccion", "production"),
        ("2", "production"),
    ],
)
def test_environment(text: str, expected: str) -> None:
    """The environment has many spellings."""
    assert one(envelope(answer(authorization(environment=text)))).environment == expected


@pytest.mark.parametrize("text", [None, "", "3", "DESARROLLO"])
def test_unknown_environment(text: str | None) -> None:
    """What is none of them is unknown."""
    assert one(envelope(answer(authorization(environment=text)))).environment is None


# --- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ("", ()),
        (message("39"), (Message("39", "TEXTO", None, "ERROR"),)),
        (message(" 39 ", text="  A\n B "), (Message("39", "A\n B", None, "ERROR"),)),
        (message("39") + message("60", severity=None), (Message("39", "TEXTO", None, "ERROR"), Message("60", "TEXTO"))),
        (message("52", info="a < b\nc"), (Message("52", "TEXTO", "a < b\nc", "ERROR"),)),
        ("<mensaje/>", ()),
        ("<mensaje>solo texto</mensaje>", (Message("", "solo texto"),)),
        ("<mensaje><identificador>70</identificador></mensaje>", (Message("70"),)),
        ("<mensaje><mensaje>TEXTO</mensaje></mensaje>", (Message("", "TEXTO"),)),
        (
            f"<mensaje>{message('39')}{message('40')}</mensaje>",
            (Message("39", "TEXTO", None, "ERROR"), Message("40", "TEXTO", None, "ERROR")),
        ),
        ("<mensaje><tipo>ERROR</tipo></mensaje>", (Message("", "", None, "ERROR"),)),
    ],
)
def test_messages(messages: str, expected: tuple[Message, ...]) -> None:
    """Each message is read once, though its text is an element of the same name."""
    assert one(envelope(answer(authorization(messages=messages)))).messages == expected


def test_messages_without_their_list() -> None:
    """A message right below the authorization counts too."""
    body = envelope(answer(f"<autorizacion><estado>NAT</estado>{message('39')}</autorizacion>"))

    assert [said.code for said in one(body).messages] == ["39"]


# --- the document inside ---------------------------------------------------------------------------------------------


def escaped(text: str) -> str:
    """The text as it stands in an element."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (f"<![CDATA[{document()}]]>", document()),
        (f"<![CDATA[{DECLARATION}\n{document()}]]>", f"{DECLARATION}\n{document()}"),
        (escaped(DECLARATION + document()), DECLARATION + document()),
        (escaped(escaped(document())), document()),
        (f"\n  <![CDATA[\n  {DECLARATION}{document()}\n]]>\n ", DECLARATION + document()),
        (f"<![CDATA[\ufeff{DECLARATION}{document()}]]>", DECLARATION + document()),
        (f"<![CDATA[<?xml version='1.0' encoding='ISO-8859-1' standalone='yes'?>{document()}]]>",
         f"<?xml version='1.0' encoding='UTF-8' standalone='yes'?>{document()}"),
        (f'<![CDATA[<?xml version="1.0" encoding="utf-16"?>{document()}]]>', DECLARATION + document()),
        (f'<![CDATA[<?xml version="1.0"?>{document()}]]>', f'<?xml version="1.0"?>{document()}'),
        (f"<![CDATA[{document(name='Peña y ' + chr(0xFFFD))}]]>", document(name="Peña y \ufffd")),
        (document(), document()),
        (f"\n  {document()}\n  ", document()),
    ],
)  # fmt: skip
def test_document(inner: str, expected: str) -> None:
    """CDATA, escaped text and a tree give the same document, in UTF-8 that says so."""
    found = one(envelope(answer(authorization(inner=inner))))

    assert (found.document, found.document_key) == (expected.encode(), KEY)


def test_tree_keeps_what_is_its_own() -> None:
    """A tree is written out with its own prefixes and comments, and without the envelope's."""
    tree = (
        f'<factura xmlns:own="urn:own" id="comprobante"><!-- kept --><infoTributaria><claveAcceso>{KEY}</claveAcceso>'
        f'</infoTributaria><ds:Signature xmlns:ds="urn:ds" Id="S"><ds:Value> x </ds:Value></ds:Signature></factura>'
    )

    assert one(envelope(answer(authorization(inner=tree)))).document == tree.encode()


def test_state_inside_a_document_counts_for_nothing() -> None:
    """What an issuer writes into a document is not the SRI's word."""
    evil = f"<factura><infoTributaria/><x>{authorization()}</x>{soap_fault('a:Server')}</factura>"
    for inner in (evil, escaped(evil)):
        found = one(envelope(answer(authorization("NO AUTORIZADO", inner=inner))))

        assert found.state == "NO AUTORIZADO"


@pytest.mark.parametrize(
    "inner",
    [
        "no xml at all",
        f"<![CDATA[{document()[:-20]}]]>",
        f"<![CDATA[{BOMB}{document()}]]>",
        "<![CDATA[<factura/>]]>",
        "<![CDATA[<factura><claveAcceso>1</claveAcceso></factura>]]>",
        "<![CDATA[<?xml version='1.0'?>]]>",
        "<factura/>",
        "<![CDATA[" + "<a>" * 1000 + "]]>",
    ],
)
def test_key_of_an_unreadable_document_is_unknown(inner: str) -> None:
    """The document is kept, its key is not guessed."""
    found = one(envelope(answer(authorization(inner=inner))))

    assert found.document is not None
    assert found.document_key is None


@pytest.mark.parametrize("inner", ["", "  ", "<![CDATA[]]>", "<![CDATA[ \n]]>", "<!-- nothing -->"])
def test_no_document(inner: str) -> None:
    """An empty element holds no document."""
    assert one(envelope(answer(authorization(inner=inner)))).document is None


# --- the reception service's answers ---------------------------------------------------------------------------------


def test_received() -> None:
    """RECIBIDA is an answer in the reception's shape."""
    assert read(envelope(reception("RECIBIDA"))) == Answer(None, None, (Authorization("RECIBIDA"),))


def test_returned() -> None:
    """DEVUELTA tells of each document; N/A is no key."""
    body = envelope(reception("DEVUELTA", returned(KEY, message("70")), returned("N/A", message("35"), message("36"))))
    first, second = read(body).authorizations

    assert (first.state, first.document_key, [said.code for said in first.messages]) == ("DEVUELTA", KEY, ["70"])
    assert (second.state, second.document_key, [said.code for said in second.messages]) == (
        "DEVUELTA",
        None,
        ["35", "36"],
    )


@pytest.mark.parametrize(
    "inside",
    [
        "<RespuestaRecepcionComprobante/>",
        "<RespuestaRecepcionComprobante><estado>DEVUELTA</estado></RespuestaRecepcionComprobante>",
        "<x><estado>recibida</estado></x>",
    ],
)
def test_reception_with_little_in_it(inside: str) -> None:
    """Its elements may be absent as well."""
    assert len(read(envelope(inside)).authorizations) == 1


# --- what is no answer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "content_type", "expected"),
    [
        (FIREWALL, 200, "text/html", FaultKind.FIREWALL),
        (FIREWALL, 403, "text/html", FaultKind.FIREWALL),
        (FIREWALL, 200, None, FaultKind.FIREWALL),
        (FIREWALL, 503, "text/html", FaultKind.FIREWALL),
        (b"<!DOCTYPE html><html><body>hola</body></html>", 200, "text/html", FaultKind.FIREWALL),
        (b"\xef\xbb\xbf\n<!doctype HTML PUBLIC 'x'><HTML>", 200, "text/xml", FaultKind.FIREWALL),
        (b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'/>", 200, None, FaultKind.FIREWALL),
        (b"<p>Request Rejected. Your support ID is: 1", 200, "text/html", FaultKind.FIREWALL),
        (b"The requested URL was rejected", 200, "text/html; charset=utf-8", FaultKind.FIREWALL),
        (b"<html><body>Forbidden</body></html>", 403, "text/html", FaultKind.FIREWALL),
        (b"<html><body>Service Unavailable</body></html>", 503, "text/html", FaultKind.HTTP_STATUS),
        (b"<html><body>Bad Gateway</body></html>", 502, None, FaultKind.HTTP_STATUS),
        (b"", 403, None, FaultKind.HTTP_STATUS),
        (b"", 302, None, FaultKind.HTTP_STATUS),
        (b"", 500, None, FaultKind.HTTP_STATUS),
        (b"not found", 404, "text/plain", FaultKind.HTTP_STATUS),
        (envelope(answer(authorization())), 500, "text/xml", FaultKind.HTTP_STATUS),
        (envelope(answer(authorization())), 404, "text/xml", FaultKind.HTTP_STATUS),
        (envelope(soap_fault("soap:Client")), 500, "text/xml", FaultKind.SOAP_CLIENT),
        (envelope(soap_fault("soap:Client")), 200, "text/xml", FaultKind.SOAP_CLIENT),
        (envelope(soap_fault("SOAP-ENV:Client.Authentication")), 400, "text/xml", FaultKind.SOAP_CLIENT),
        (envelope(soap_fault("Client")), 500, None, FaultKind.SOAP_CLIENT),
        (envelope(soap_fault("soap:VersionMismatch")), 500, None, FaultKind.SOAP_CLIENT),
        (envelope(soap_fault("soap:Server")), 500, "text/xml", FaultKind.SOAP_SERVER),
        (envelope(soap_fault("")), 500, "text/xml", FaultKind.SOAP_SERVER),
        (envelope("<soap:Fault/>"), 500, "text/xml", FaultKind.SOAP_SERVER),
        (
            envelope("<f:Fault xmlns:f='urn:12'><f:Code><f:Value>f:Sender</f:Value></f:Code></f:Fault>"),
            500, "application/soap+xml", FaultKind.SOAP_CLIENT,
        ),
        (
            envelope("<f:Fault xmlns:f='urn:12'><f:Code><f:Value>f:Receiver</f:Value></f:Code>"
                     "<f:Reason><f:Text>later</f:Text></f:Reason></f:Fault>"),
            500, "application/soap+xml", FaultKind.SOAP_SERVER,
        ),
        (b"", 200, "text/xml", FaultKind.UNREADABLE),
        (b" \r\n\t", 200, "text/xml", FaultKind.UNREADABLE),
        (b"\xef\xbb\xbf", 200, "text/xml", FaultKind.UNREADABLE),
        (b"\x00" * 100, 200, "text/xml", FaultKind.UNREADABLE),
        (b"OK", 200, "text/plain", FaultKind.UNREADABLE),
        (b'{"estado": "AUTORIZADO"}', 200, "application/json", FaultKind.UNREADABLE),
        (b"<ok/>", 200, "text/xml", FaultKind.UNREADABLE),
        (b"<definitions xmlns='http://schemas.xmlsoap.org/wsdl/'/>", 200, "text/xml", FaultKind.UNREADABLE),
        (envelope(""), 200, "text/xml", FaultKind.MALFORMED),
        (document().encode(), 200, "text/xml", FaultKind.UNREADABLE),
        (b"<?xml version='1.0'?>", 200, "text/xml", FaultKind.BROKEN),
        (b"<?xml version='1.0'", 200, "text/xml", FaultKind.BROKEN),
        (b"<!-- a comment", 200, "text/xml", FaultKind.BROKEN),
        (b"<", 200, "text/xml", FaultKind.BROKEN),
        (envelope(answer(authorization()))[:-1], 200, "text/xml", FaultKind.BROKEN),
        (envelope(answer(authorization()))[:300], 200, "text/xml", FaultKind.BROKEN),
        (envelope(answer(authorization(inner="<![CDATA[<fac"))), 200, "text/xml", FaultKind.MALFORMED),
        (envelope(answer("<autorizacion><estado>x</autorizacion>")), 200, "text/xml", FaultKind.MALFORMED),
        (envelope("<otro/>"), 200, "text/xml", FaultKind.MALFORMED),
        (envelope(answer()) + b"what came after", 200, "text/xml", FaultKind.MALFORMED),
        (b"<!DOCTYPE x><x/>", 200, "text/xml", FaultKind.UNREADABLE),
        (BOMB.encode() + envelope(answer()), 200, "text/xml", FaultKind.MALFORMED),
        (b"<?xml version='1.0'?><!-- -->\n<?x ?>" + BOMB.encode() + b"<b>&b;</b>", 200, None, FaultKind.UNREADABLE),
        (b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><x/>", 200, "text/xml", FaultKind.UNREADABLE),
        (b"<a>" * 5000 + b"</a>" * 5000, 200, "text/xml", FaultKind.UNREADABLE),
        (b"\xff\xfe\x00\xd8\x00\x00", 200, "text/xml", FaultKind.UNREADABLE),
        (b"\xff\xfe<\x00a", 200, "text/xml", FaultKind.UNREADABLE),
        (b"\x0b<a/>", 200, "text/xml", FaultKind.UNREADABLE),
    ],
)  # fmt: skip
def test_faults(body: bytes, status: int, content_type: str | None, expected: FaultKind) -> None:
    """Everything else is a fault of a named kind."""
    found = fault(body, status=status, content_type=content_type)

    assert found.kind == expected
    assert found.text
    assert "\n" not in found.text


@pytest.mark.parametrize("pieces", [1, 12])
def test_ten_megabytes_of_text_are_not_taken(pieces: int) -> None:
    """Ten million characters, in one piece or several, are beyond anything that the SRI sends."""
    inner = "<![CDATA[" + "x" * (12_000_000 // pieces) + "]]>"
    found = fault(envelope(answer(authorization(inner=inner * pieces))))

    assert (found.kind, "too large" in found.text) == (FaultKind.MALFORMED, True)


def test_a_cut_off_answer_is_the_hosts_fault_however_many_parts_it_has() -> None:
    """An answer without its end counts against the host, whatever was wrong inside what came of it."""
    found = fault(envelope(answer("<x/>" * MARKS_MOST))[:-20])

    assert (found.kind, found.unreachable) == (FaultKind.UNREADABLE, True)


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (answer("<autorizacion/>" * AUTHORIZATIONS_MOST), None),
        (answer("<autorizacion/>" * (AUTHORIZATIONS_MOST + 1)), FaultKind.TOO_MANY_PARTS),
        (answer("<autorizacion><estado>NAT</estado></autorizacion>" * 300_000), FaultKind.TOO_MANY_PARTS),
        (answer(authorization(messages=message("39") * MESSAGES_MOST)), None),
        (answer(authorization(messages=message("39") * (MESSAGES_MOST + 1))), FaultKind.TOO_MANY_PARTS),
        (answer(*[authorization("NAT", messages=message("39") * 3)] * 300), FaultKind.TOO_MANY_PARTS),
        (reception("DEVUELTA", *[returned("1")] * (AUTHORIZATIONS_MOST + 1)), FaultKind.TOO_MANY_PARTS),
        (answer("<x/>" * MARKS_MOST), FaultKind.TOO_MANY_PARTS),
        (answer(authorization(inner=f"<![CDATA[{'<a/>' * MARKS_MOST}]]>")), None),
    ],
    ids=range(9),
)
def test_answers_are_bounded_in_parts(inside: str, expected: FaultKind | None) -> None:
    """More authorizations, messages or elements than make sense are a fault of the answer, not of the host."""
    found = parse(envelope(inside))

    assert (found.kind if isinstance(found, Fault) else None) == expected
    assert not (isinstance(found, Fault) and found.unreachable)


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        (kind, kind not in ("soap_client", "other_key", "malformed", "too_many_parts", "unknown_state"))
        for kind in FaultKind
    ],
)
def test_which_faults_count_against_the_host(kind: FaultKind, *, counts: bool) -> None:
    """What a complete answer has wrong inside is about one document; the service answers."""
    assert Fault(kind, "").unreachable is counts


# --- what XML forbids ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<a>&amp;&lt;&#65;&#x41;&#10;</a>", "<a>&amp;&lt;&#65;&#x41;&#10;</a>"),
        ("\x00<a>\x0b\x1f\ufffe\uffff</a>", "<a></a>"),
        ("<a>\x85\u2028\t\n😀</a>", "<a>\x85\u2028\t\n😀</a>"),
        ("<a>&#0;&#x0;&#11;&#xFFFE;&#xD800;&#1114112;&#99999999999999999999999;</a>", "<a></a>"),
        ("<a>A & B &</a>", "<a>A &amp; B &amp;</a>"),
        ("<a>&aacute;&amp &#; &#x; &#xZ;</a>", "<a>&amp;aacute;&amp;amp &amp;#; &amp;#x; &amp;#xZ;</a>"),
        ("<a b='&'><!-- & --><![CDATA[ & &#0; \x01]]>&</a>", "<a b='&amp;'><!-- & --><![CDATA[ & &#0; ]]>&amp;</a>"),
        ("<a><![CDATA[ & ", "<a><![CDATA[ & "),
    ],
)
def test_mend(text: str, expected: str) -> None:
    """Characters and references that XML forbids go, a bare & is escaped, all else stays; twice is as once."""
    assert (mend(text), mend(mend(text))) == (expected, expected)


def test_mended_answers_say_so() -> None:
    """What was left out is remembered; an answer without such things is read as it is."""
    spoiled = envelope(answer(authorization())).replace(NAME.encode(), b"A\x0bB")

    assert (read(spoiled).mended, read(envelope(answer(authorization()))).mended) == (True, False)
    assert b"<razonSocial>AB</razonSocial>" in (one(spoiled).document or b"")


# --- the service that knows the state of one key ---------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["estadoAutorizacion", "estadoConsulta"])
def test_answer_of_the_query_service(tag: str) -> None:
    """Should it come, it is read, in both of its spellings."""
    found = one(
        envelope(
            "<n:consultarEstadoAutorizacionComprobanteResponse xmlns:n='urn:n'><EstadoAutorizacionComprobante>"
            f"<claveAcceso>{KEY}</claveAcceso><{tag}>RECHAZADA</{tag}><tipoComprobante>Factura</tipoComprobante>"
            f"<mensajes>{message('99')}</mensajes></EstadoAutorizacionComprobante>"
            "</n:consultarEstadoAutorizacionComprobanteResponse>"
        )
    )

    assert (found.state, found.document_key, [said.code for said in found.messages]) == ("RECHAZADA", KEY, ["99"])


def test_messages_beside_the_authorizations() -> None:
    """What stands in none of them is read too."""
    body = envelope(answer()).replace(
        b"<autorizaciones>", f"<mensajes>{message('33')}</mensajes>".encode() + b"<autorizaciones>"
    )

    assert [said.code for said in read(body).messages] == ["33"]


def test_fault_text_holds_no_taxpayer() -> None:
    """A fault that quotes the key, and with it the RUC, is told without it."""
    found = fault(envelope(soap_fault("soap:Server", f"cannot find {KEY} \x1b".replace("\x1b", ""))), status=500)

    assert KEY not in found.text
    assert "cannot find …" in found.text


def test_html_type_does_not_hide_an_answer() -> None:
    """An answer with the wrong content type is still an answer."""
    assert isinstance(parse(envelope(answer()), content_type="text/html"), Answer)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "iso-8859-1"]
)
@pytest.mark.parametrize("declared", [None, "UTF-8", "ISO-8859-1", "windows-1252", "UTF-16", "no-such-charset"])
def test_answer_in_any_charset(encoding: str, declared: str | None) -> None:
    """The bytes decide, whatever the declaration says."""
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    body = (head + envelope(answer(authorization(inner=escaped(document())))).decode()).encode(encoding)

    assert NAME.encode() in (one(body).document or b"")


def test_no_bytes_make_it_raise() -> None:
    """Good answers with bytes cut, doubled or changed at random are answers or faults, never exceptions."""
    rng = random.Random(7)
    good = [
        envelope(answer(authorization(messages=message("60")), authorization("NO AUTORIZADO", inner=document()))),
        envelope(reception("DEVUELTA", returned(KEY, message("43")))),
        envelope(soap_fault("soap:Server")),
        envelope(answer()).decode().encode("utf-16"),
    ]
    for turn in range(3000):
        body = bytearray(good[turn % len(good)])
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(body) or 1)
            kind = rng.randrange(4)
            if kind == 0:
                del body[at:]
            elif kind == 1:
                body[at : at + 1] = bytes([rng.randrange(256)])
            elif kind == 2:
                body[at:at] = body[at : at + rng.randrange(60)]
            else:
                del body[at : at + rng.randrange(30)]

        assert isinstance(parse(bytes(body), status=rng.choice([200, 200, 403, 500])), Answer | Fault)


# --- dates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-09-16T07:50:56-05:00", "2026-09-16T12:50:56+00:00"),
        ("2026-09-16T07:50:58.000-05:00", "2026-09-16T12:50:58+00:00"),
        ("2026-09-16T07:50:58.997-05:00", "2026-09-16T12:50:58.997000+00:00"),
        ("2026-09-16T07:50:58.123456789-05:00", "2026-09-16T12:50:58.123456+00:00"),
        ("2026-09-16T12:50:56Z", "2026-09-16T12:50:56+00:00"),
        ("2026-09-16T12:50:56+0000", "2026-09-16T12:50:56+00:00"),
        ("2026-09-16T07:50:56-05", "2026-09-16T12:50:56+00:00"),
        ("2026-09-16T07:50:56-05:00[America/Guayaquil]", "2026-09-16T12:50:56+00:00"),
        ("2026-09-16T07:50:56", "2026-09-16T12:50:56+00:00"),
        ("2022-12-12 14:59:53", "2022-12-12T19:59:53+00:00"),
        ("2022-12-12 14:59", "2022-12-12T19:59:00+00:00"),
        ("02/04/2026 10:30:00", "2026-04-02T15:30:00+00:00"),
        ("2/4/2026 9:30:00", "2026-04-02T14:30:00+00:00"),
        ("31/12/2026 23:30:00", "2027-01-01T04:30:00+00:00"),
        ("02-04-2026 10:30:00", "2026-04-02T15:30:00+00:00"),
        ("02/04/2026 10:30:00.5", "2026-04-02T15:30:00.500000+00:00"),
        ("  2026-09-16T07:50:56-05:00\n", "2026-09-16T12:50:56+00:00"),
    ],
)
def test_dates(text: str, expected: str) -> None:
    """Every shape that was seen is read; day comes first between slashes; no offset is Ecuador's."""
    found = parse_date(text)

    assert found is not None
    assert found.isoformat() == expected


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "hoy", "2026-09-16", "16/09/2026", "31/02/2026 10:30:00", "2026-02-30T10:00:00-05:00",
        "04/31/2026 10:30:00", "2026-13-01T00:00:00", "2026-09-16T24:00:00", "2026-09-16T10:60:00",
        "2026-09-16T10:00:60", "1999-12-31T10:00:00", "2101-01-01T10:00:00", "0001-01-01T00:00:00",
        "9999-12-31T23:59:59-05:00", "2026-09-16T07:50:56-25:00", "2026-09-16T07:50:56-05:99",
        "٢٠٢٦-09-16T07:50:56", "2026-09-16T07:50:56-05:00 and more", "20260916075056", "1789561856000",
        "1" * 10_000,
    ],
)  # fmt: skip
def test_dates_that_are_none(text: str) -> None:
    """What is unreadable, impossible, absurd or without an hour is unknown."""
    assert parse_date(text) is None


def test_unreadable_date_keeps_its_text() -> None:
    """The text stays for somebody to look at."""
    found = one(envelope(answer(authorization(date="31/02/2026 10:30:00"))))

    assert (found.authorized_at, found.authorized_at_text) == (None, "31/02/2026 10:30:00")


# --- files -----------------------------------------------------------------------------------------------------------

RESPUESTA = f"<RespuestaAutorizacion>{authorization()[14:-15]}</RespuestaAutorizacion>"


@pytest.mark.parametrize(
    "text",
    [
        authorization(),
        DECLARATION + authorization(inner=escaped(document())),
        authorization(inner=document()),
        authorization().replace("autorizacion>", "Authorization>"),
        RESPUESTA,
        f"<RespuestaAutorizacion>{authorization()}</RespuestaAutorizacion>",
        f"<RespuestaAutorizacionComprobante><x>{authorization()}</x></RespuestaAutorizacionComprobante>",
        envelope(answer(authorization())).decode(),
        f"<!-- kept by the shop -->\n{authorization()}",
    ],
)
def test_wrapped_files(text: str) -> None:
    """Every wrapper that people keep is opened."""
    found = open_file(text.encode())

    assert document().encode() in found.document
    assert found.authorization is not None
    assert (found.authorization.state, found.authorization.document_key) == ("AUTORIZADO", KEY)


@pytest.mark.parametrize(
    "root", ["factura", "liquidacionCompra", "notaCredito", "notaDebito", "guiaRemision", "comprobanteRetencion"]
)
def test_bare_files(root: str) -> None:
    """A bare document stays as it is."""
    text = f"{DECLARATION}\n<!-- x -->{document(root=root)}"
    found = open_file(b"\xef\xbb\xbf" + text.encode() + b"\n")

    assert (found.document, found.authorization) == (text.encode(), None)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "iso-8859-1"]
)
@pytest.mark.parametrize("declared", ["UTF-8", "ISO-8859-1", "windows-1252", "UTF-16", "utf8", "x-unknown"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_files_in_any_charset(encoding: str, declared: str, *, wrapped: bool) -> None:
    """The bytes decide, and the document says UTF-8 afterwards."""
    inside = f'<?xml version="1.0" encoding="{declared}"?>{document()}'
    text = inside.replace(document(), authorization(inner=f"<![CDATA[{inside}]]>")) if wrapped else inside
    found = open_file(text.encode(encoding))

    assert found.document == (DECLARATION + document()).encode()


@pytest.mark.parametrize("broken", [b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xff"])
def test_broken_letter_costs_no_other_its_own(broken: bytes) -> None:
    """UTF-8 with a byte that is none is still UTF-8; U+FFFD stands where the byte stood, and that is said."""
    body = envelope(answer(authorization(inner=escaped(document(name="MUÑOZ @"))))).replace(b"@", broken)
    found = parse_answer(body, http_status=200, content_type="text/xml")
    assert isinstance(found, Answer)
    assert "<razonSocial>MUÑOZ \ufffd</razonSocial>".encode() in (found.authorizations[0].document or b"")
    assert found.mended


@pytest.mark.parametrize("mark", [b"\x92", b"\x02", b"\xed\xa0\x80"])
def test_what_xml_forbids_before_the_first_element(mark: bytes) -> None:
    """It is left out there too: nothing of it is in what is kept as the document."""
    found = open_file(b"<!-- " + mark + b" -->" + document().encode(), mend_bare=True)

    assert found.mended
    assert etree.fromstring(found.document).tag == "factura"


def test_windows_quotes_in_a_latin_file() -> None:
    """A file that says ISO-8859-1 and has Windows' signs is read as Windows meant it."""
    text = f'<?xml version="1.0" encoding="ISO-8859-1"?>{document(name="A “B” – €")}'

    assert "A “B” – €".encode() in open_file(text.encode("cp1252")).document


def test_greek_file() -> None:
    """Another single-byte charset that is declared is believed where the bytes are no UTF-8."""
    text = f'<?xml version="1.0" encoding="ISO-8859-7"?>{document(name="Ελλάς")}'

    assert "Ελλάς".encode() in open_file(text.encode("iso-8859-7")).document


@pytest.mark.parametrize(
    ("several", "expected"),
    [
        ([("NO AUTORIZADO", "2026-07-03T10:00:00"), ("autorizado ", "2026-07-02T10:00:00")], "autorizado"),
        ([("NO AUTORIZADO", "2026-07-02T10:00:00"), ("RECHAZADO", "2026-07-03T10:00:00")], "RECHAZADO"),
        ([("RECHAZADO", "2026-07-03T10:00:00"), ("NO AUTORIZADO", "02/07/2026 10:00:00")], "RECHAZADO"),
        ([("NO AUTORIZADO", None), ("RECHAZADO", "2026-07-03T10:00:00")], "RECHAZADO"),
    ],
)
def test_several_authorizations_in_a_file(several: list[tuple[str, str | None]], expected: str) -> None:
    """The authorized one counts, else the latest."""
    found = open_file(envelope(answer(*(authorization(state, date=date) for state, date in several))))

    assert found.authorization is not None
    assert found.authorization.state == expected


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "is empty; expected a fiscal document"),
        (b"\n\n", "is empty"),
        (b"%PDF-1.7", "is no XML"),
        (b"PK\x03\x04", "is no XML"),
        (b"\x89PNG\r\n\x1a\n\xff", "is no XML"),
        (document().encode()[:-5], "cut off at line 1"),
        (document().replace("<razon", "\n\n<razon").encode()[:-5], "cut off at line 3"),
        (f"{DECLARATION}\n\n{document()}\n<x>".encode(), "line 4"),
        (document().replace("Imaginario", "a & b").encode(), "not well-formed XML at line 1"),
        (document().replace("Imaginario", "\x02").encode(), "character at line 1"),
        (b"<?xml version='1.0'?>\n<!-- \x92 \x02 -->" + document().encode(), "character at line 2"),
        (b"<!DOCTYPE factura [<!ENTITY a 'b'>]>" + document().encode(), "DOCTYPE"),
        (b"<a>" * 400, "too deeply|cut off"),
        (FIREWALL, "a web page"),
        (b"<xml/>", r"another kind \(xml\)"),
        (b"<lote><comprobantes/></lote>", "lot"),
        (envelope(soap_fault("soap:Client")), "a SOAP fault"),
        (envelope(reception("RECIBIDA")), "reception service"),
        (envelope(answer()), "without an authorization"),
        (envelope(answer(authorization("EN PROCESO", inner=""))), r"\(EN PROCESO\) without a document"),
        (envelope(answer(authorization(inner="hola"))), "the document in the element comprobante is no XML"),
        (authorization(inner=f"<![CDATA[{document()[:-9]}]]>").encode(), "comprobante is cut off at line 1"),
        (authorization(inner="<otro/>").encode(), "holds otro"),
        (b"<x>" + b"a" * FILE_BYTES_MAX + b"</x>", "bytes, expected at most"),
    ],
)
def test_files_that_cannot_be_opened(raw: bytes, words: str) -> None:
    """One sentence says what is wrong and what was expected."""
    with pytest.raises(UnreadableFile, match=words) as raised:
        open_file(raw)

    assert "\n" not in str(raised.value)


# --- over outside samples --------------------------------------------------------------------------------------------


def test_every_sample_document_opens(samples: Path) -> None:
    """Each sample of a fiscal document opens, and its own XML is well-formed."""
    paths = [
        path for path in sorted((samples / "sri" / "samples").glob("*.xml")) if path.name[:4] not in ("soap", "reco")
    ]
    roots = {path.name: etree.fromstring(open_file(path.read_bytes()).document).tag for path in paths}

    assert len(roots) >= 13
    assert set(roots.values()) == {
        "factura", "liquidacionCompra", "notaCredito", "notaDebito", "guiaRemision", "comprobanteRetencion"
    }  # fmt: skip


def test_other_key_is_only_text_here() -> None:
    """Reading judges nothing: a document of another key is handed on with its key."""
    found = one(envelope(answer(authorization(inner=escaped(document(OTHER_KEY))))))

    assert (found.number, found.document_key) == (KEY, OTHER_KEY)
