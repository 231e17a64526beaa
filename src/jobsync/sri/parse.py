"""
The SRI's XML -> our nouns: answers of the service, and the files that people keep of them.

Elements are found by local name, in any case: the service sends them without the namespaces that its WSDL declares.
Source: docs/facts/sri.md, "Answers" and "Files".
"""

from __future__ import annotations

import copy
import re
import unicodedata
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import unescape

from lxml import etree

from jobsync.errors import JobsyncError
from jobsync.fiscal.access_key import Environment
from jobsync.fiscal.states import ANNULLED, AUTHORIZED, normal_state
from jobsync.logs import visible
from jobsync.sri.model import Answer, Authorization, DocumentFile, Fault, FaultKind, Message

FILE_BYTES_MAX = 10_000_000  # what the parser takes in one text; the SRI takes documents up to 320 KB
# An answer has one authorization, or a few of the same document; each is read in Python, whatever its bytes.
AUTHORIZATIONS_MOST = 500
MESSAGES_MOST = 500  # of one answer
MARKS_MOST = 100_000  # "<" outside CDATA; a document of 320 KB that comes as a tree has fewer
_DOCUMENTS = frozenset(
    {"factura", "liquidacioncompra", "notacredito", "notadebito", "guiaremision", "comprobanteretencion"}
)
_AUTHORIZATION = ("autorizacion", "authorization")
_AUTHORIZATION_ANSWER = (
    "respuestaautorizacioncomprobante",
    "respuestaautorizacion",
    "autorizacioncomprobanteresponse",
)
_RECEPTION_ANSWER = ("respuestarecepcioncomprobante", "validarcomprobanteresponse")
_QUERY_ANSWER = ("estadoautorizacioncomprobante", "consultarestadoautorizacioncomprobanteresponse")
_STATE = ("estado", "estadoautorizacion", "estadoconsulta")  # the query service has two spellings
_ENVELOPES = ("envelope", *_AUTHORIZATION_ANSWER, *_RECEPTION_ANSWER, *_QUERY_ANSWER)
_RECEPTION_STATES = ("RECIBIDA", "DEVUELTA")
_BLAMES_US = ("client", "sender", "versionmismatch", "mustunderstand", "dataencodingunknown")
_FIREWALL_WORDS = "request rejected"
_CHUNK_BYTES = 1024  # the head of an ordinary document ends within
_LONG_DIGITS = re.compile(r"\d{10,}")


class UnreadableFile(JobsyncError):
    """A file holds no fiscal document that can be taken in; the text says what is wrong and what was expected."""


# --- text and trees --------------------------------------------------------------------------------------------------


class _Unreadable(ValueError):
    """The text is no XML that we take; `kind` is the fault of an answer that is such a text."""

    def __init__(self, text: str, kind: FaultKind = FaultKind.UNREADABLE) -> None:
        super().__init__(text)
        self.kind = kind


_MARKS = (  # the longer one first: UTF-32's begins with UTF-16's
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"<\x00", "utf-16-le"),
    (b"\x00<", "utf-16-be"),
)
_BLANK = "\ufeff \t\r\n"
_PROLOG = re.compile(rf"(?:[{_BLANK}]++|<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z))*+", re.DOTALL)
_DECLARATION = re.compile(r"<\?xml\s[^>]*?\?>")
_ENCODING = re.compile(r"""(\sencoding\s*=\s*)(["'])([A-Za-z][A-Za-z0-9._-]*)\2""")
_BROKEN = re.compile("[\ud800-\udfff]+")
_BEYOND_ASCII = re.compile("[^\x00-\x7f\ud800-\udfff]")
_ALMOST_UTF8 = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]|\xc0\x80")  # surrogates and NUL as some writers have them
_LATIN = re.compile(r"iso-?8859-1|latin-?1", re.IGNORECASE)
_SINGLE_BYTE = re.compile(r"iso-?8859-\d+|windows-125\d|cp\d+|latin-?\d", re.IGNORECASE)


def _decode(raw: bytes) -> str:
    """Return the text, whatever its declaration says: bytes that are UTF-8 are meant as UTF-8."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            try:
                return raw.decode(encoding, "surrogatepass").removeprefix("\ufeff")
            except UnicodeDecodeError:
                raise _Unreadable(f"is not the {encoding.upper()} text that it begins as") from None
    with suppress(UnicodeDecodeError):
        return raw.decode("utf-8-sig")
    # It is UTF-8 if at least as many characters beyond ASCII are right as there are broken places: a text cut in the
    # middle of a letter must not cost all the others theirs. What is broken becomes halves of surrogates.
    text = raw.decode("utf-8-sig", "surrogateescape")
    if len(_BEYOND_ASCII.findall(text)) + len(_ALMOST_UTF8.findall(raw)) >= len(_BROKEN.findall(text)):
        return text
    declared = _ENCODING.search(raw[:200].decode("latin-1"))
    named = declared[3] if declared and _SINGLE_BYTE.fullmatch(declared[3]) else "latin-1"
    with suppress(UnicodeDecodeError, LookupError):
        return raw.decode("cp1252" if _LATIN.fullmatch(named) else named)  # what writers on Windows mean by Latin-1
    return raw.decode("latin-1")


def _to_document(text: str) -> bytes:
    """Return a document's text as UTF-8 that says it is UTF-8, without byte order mark or blanks around it."""
    text = text.strip(_BLANK)
    declaration = _DECLARATION.match(text)
    named = _ENCODING.search(declaration[0]) if declaration else None
    if named and named[3].upper() != "UTF-8":
        text = text[: named.start(3)] + "UTF-8" + text[named.end(3) :]
    return text.encode()


_SAFE: dict[str, Any] = {
    "encoding": "utf-8",
    "resolve_entities": False,
    "no_network": True,
    "huge_tree": False,
    "load_dtd": False,
    "dtd_validation": False,
}


def _prolog(text: str) -> int:
    """Return where blanks, comments and processing instructions end."""
    found = _PROLOG.match(text)
    return found.end() if found else 0


def _read_xml(text: str) -> etree._Element:
    """Parse text that may be hostile; raise _Unreadable if it is no XML, cut off, too deep or large, has a DOCTYPE."""
    start = _prolog(text)
    if not text[start:].strip():
        if not text.strip(_BLANK):
            raise _Unreadable("is empty")
        raise _Unreadable("is cut off before its first element", FaultKind.BROKEN)
    if text[start] != "<":
        raise _Unreadable("is no XML")
    if text[start : start + 9].upper() == "<!DOCTYPE":
        raise _Unreadable("has a DOCTYPE, which no document of the SRI has")
    if text.count("<") > MARKS_MOST and _CDATA.sub("", text).count("<") > MARKS_MOST:
        raise _Unreadable(f"has more than {MARKS_MOST // 2} elements", FaultKind.TOO_MANY_PARTS)
    lines = text.count("\n", 0, start)
    if broken := _FORBIDDEN.search(text, 0, start):
        line = text.count("\n", 0, broken.start()) + 1
        raise _Unreadable(f"has a character at line {line} that XML does not allow")
    try:
        # its own parser: trees of one share a table of names, which two threads spoil (lxml 6.1.3, seen 2026-11-28)
        parser = etree.XMLParser(**_SAFE)
        # without its declaration, which may lie; the blank lines keep the line numbers
        return etree.fromstring(("\n" * lines + text[start:]).encode("utf-8", "surrogatepass"), parser)
    except etree.XMLSyntaxError as error:
        raise _explain(error, text) from None


def _explain(error: etree.XMLSyntaxError, text: str) -> _Unreadable:
    """Say in our words what is wrong: libxml2's may quote what it read."""
    line, said = error.lineno or 1, (error.msg or "").lower()
    code, codes = getattr(error, "code", None), etree.ErrorTypes
    if code == codes.ERR_RESOURCE_LIMIT or "huge" in said or "too big" in said:
        return _Unreadable(f"is nested too deeply or too large (line {line})")
    if code in (codes.ERR_INVALID_CHAR, codes.ERR_INVALID_ENCODING, codes.ERR_INVALID_CHARREF) or (
        code == codes.ERR_CDATA_NOT_FINISHED and _FORBIDDEN.search(text)
    ):
        return _Unreadable(f"has a character at line {line} that XML does not allow")
    unfinished = code in (codes.ERR_TAG_NOT_FINISHED, codes.ERR_CDATA_NOT_FINISHED)
    if unfinished or not text.rstrip().endswith(">"):
        return _Unreadable(f"is cut off at line {line}", FaultKind.BROKEN)
    return _Unreadable(f"is not well-formed XML at line {line}")


# What XML 1.0 forbids: characters, references to them, and "&" that begins no reference.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
_CDATA = re.compile(r"<!\[CDATA\[.*?(?:\]\]>|\Z)", re.DOTALL)
_SUSPECT = re.compile("&(?!(?:amp|lt|gt|quot|apos);)")
_REFERENCE = re.compile(
    rf"(?P<kept>{_CDATA.pattern}|<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)|&(?:amp|lt|gt|quot|apos);)"
    r"|&(?:#(?:(?P<decimal>[0-9]+)|x(?P<hex>[0-9a-fA-F]+));)?",
    re.DOTALL,
)
_REFERENCE_DIGITS_MOST = 20  # leading zeros are allowed, up to a length that no writer exceeds


def mend(text: str) -> str:
    """
    Return XML without what XML 1.0 forbids: characters and references to them are left out, a bare "&" is escaped.

    Of bytes that are no character of their encoding U+FFFD tells that something stood there. All else stays as it is.

    >>> mend("<a>P\x0bEREZ &#11;&amp; &#65; CIA & CO<![CDATA[A & B]]></a>")
    '<a>PEREZ &amp; &#65; CIA &amp; CO<![CDATA[A & B]]></a>'
    """
    return _mend_references(_FORBIDDEN.sub("", _BROKEN.sub("\ufffd", text)))


def _mend_references(text: str) -> str:
    suspect = _SUSPECT.search(text) and text.count("&") <= MARKS_MOST
    return _REFERENCE.sub(_mend_reference, text) if suspect else text


def _mend_reference(found: re.Match[str]) -> str:
    digits, base = (found["decimal"], 10) if found["decimal"] else (found["hex"], 16)
    if found["kept"] or digits is None:
        return found["kept"] or "&amp;"
    number = int(digits, base) if len(digits) <= _REFERENCE_DIGITS_MOST else -1
    allowed = 0 <= number <= 0x10FFFF and not _FORBIDDEN.match(chr(number))
    return found[0] if allowed else ""


def _read_mended(text: str) -> tuple[etree._Element, str]:
    """Parse text, once more without what XML forbids if that is in the way; returns the root and what was parsed."""
    try:
        return _read_xml(text), text
    except _Unreadable as error:
        mended = mend(text) if error.kind != FaultKind.TOO_MANY_PARTS else text
        if mended == text:
            raise
        return _read_xml(mended), mended


def _local(node: etree._Element) -> str:
    return str(node.tag).rpartition("}")[2].lower()


def _spelled(node: etree._Element) -> str:
    return visible(etree.QName(node).localname, most=60)


def _simplify(root: etree._Element) -> None:
    """
    Give every element its local name in small letters, and take comments away.

    A document that stands in it as a tree becomes text: what an issuer wrote into it is not the SRI's word.
    """
    waiting = [root]
    for node in waiting:
        node.tag = name = _local(node)
        children = list(node.iterchildren("*"))
        if name != "comprobante" or next(node.iterancestors(), root).tag == "comprobantes":
            waiting.extend(children)
        elif children:
            tree = next(filter(_is_document, children), children[0])
            del node[:]
            # a copy leaves behind the prefixes that only the envelope declares
            node.text = etree.tostring(copy.deepcopy(tree), encoding="unicode", with_tail=False)
    etree.strip_tags(root, etree.Comment, etree.ProcessingInstruction)


def _text(node: etree._Element | None) -> str | None:
    return None if node is None else "".join(map(str, node.itertext())).strip(_BLANK + "\u00a0") or None


def _text_of(node: etree._Element, path: str) -> str | None:
    return _text(node.find(path))


# --- an answer of the service ----------------------------------------------------------------------------------------


def parse_answer(body: bytes, *, http_status: int, content_type: str | None) -> Answer | Fault:
    """Read what the service sent; whatever it is, the result is an answer or a fault, never an exception."""
    text = ""
    try:
        text = _decode(body)
        read = _parse_text(text, html="html" in (content_type or "").lower())
    except _Unreadable as error:
        read = Fault(error.kind, f"the answer {error}")
    if 200 <= http_status <= 299:
        return read
    if isinstance(read, Fault):  # the body of an error may tell more than its status
        tells = (FaultKind.SOAP_CLIENT, FaultKind.SOAP_SERVER)
        if read.kind in tells or (read.kind == FaultKind.FIREWALL and (http_status == 403 or _is_rejection(text))):
            return read
    return Fault(FaultKind.HTTP_STATUS, f"HTTP status {http_status}")


def _is_rejection(text: str) -> bool:
    return _FIREWALL_WORDS in text[:4096].lower()


def _parse_text(text: str, *, html: bool) -> Answer | Fault:
    if text[_prolog(text) :][:20].lower().startswith(("<!doctype html", "<html")):
        return _firewall(text)
    try:
        root, read_text = _read_mended(text)
    except _Unreadable as error:
        kind, too_many = error.kind, error.kind == FaultKind.TOO_MANY_PARTS
        if _is_complete(text):
            kind = kind if too_many else FaultKind.MALFORMED
        elif html or _is_rejection(text):
            return _firewall(text)
        elif too_many:  # of an answer that has no end: the host's fault, not a document's
            kind = FaultKind.UNREADABLE
        return Fault(kind, f"the answer {error}")
    read = _parse_tree(root)
    return replace(read, mended=True) if read_text != text and isinstance(read, Answer) else read


_OPENING = re.compile(r"<(?P<name>(?:[\w.-]{1,60}:)?(?P<local>[\w.-]{1,60}))[\s/>]")


def _is_complete(text: str) -> bool:
    """Whether the text is an answer of the service from its first element to the end of it, whatever stands between."""
    text = _FORBIDDEN.sub("", text)
    start = _prolog(text)
    find = _OPENING.search if text.startswith("<!DOCTYPE", start) else _OPENING.match
    opening = find(text, start)
    if opening is None or opening["local"].lower() not in _ENVELOPES:
        return False
    closing = text.rfind(f"</{opening['name']}")
    return closing >= 0 and text[closing + len(opening["name"]) + 2 :].lstrip().startswith(">")


def _firewall(text: str) -> Fault:
    quoted = ' ("Request Rejected")' if _is_rejection(text) else ""
    return Fault(FaultKind.FIREWALL, f"a web page instead of an answer{quoted}: a firewall in front of the SRI")


def _parse_tree(root: etree._Element) -> Answer | Fault:
    name = _spelled(root)
    _simplify(root)
    fault = next(root.iter("fault"), None)
    if fault is not None:
        return _parse_soap_fault(fault)
    if any(sum(1 for _ in root.iter(part)) > AUTHORIZATIONS_MOST for part in (*_AUTHORIZATION, "comprobante")):
        return Fault(FaultKind.TOO_MANY_PARTS, f"the answer has more than {AUTHORIZATIONS_MOST} authorizations")
    answer = _parse_parts(root)
    if answer is None:
        if root.tag == "html":
            return _firewall("")
        # a closed envelope is the service's own, an empty one too: it answers, and something is wrong inside
        kind = FaultKind.MALFORMED if root.tag == "envelope" else FaultKind.UNREADABLE
        return Fault(kind, f"the answer is XML of another kind: {name}")
    if sum(map(len, [answer.messages, *(one.messages for one in answer.authorizations)])) > MESSAGES_MOST:
        return Fault(FaultKind.TOO_MANY_PARTS, f"the answer has more than {MESSAGES_MOST} messages")
    return answer


def _parse_parts(root: etree._Element) -> Answer | None:
    query = next((node for node in root.iter(*_QUERY_ANSWER) if _state_of(node)), None)
    if query is not None:
        return Answer(None, None, (_parse_authorization(query),))
    authorizations = _find_authorizations(root)
    reception = _find_reception(root) if not authorizations else None
    if reception is not None:
        state = _text_of(reception, "estado") or ""
        parts = reception.findall("comprobantes/comprobante") or [reception]
        return Answer(None, None, tuple(_parse_authorization(node, state) for node in parts))
    wrappers = list(root.iter(*_AUTHORIZATION_ANSWER, *_QUERY_ANSWER))
    if not authorizations and not wrappers:
        return None
    asked, declared = (
        next((text for node in root.iter(name) if (text := _text(node))), None)
        for name in ("claveaccesoconsultada", "numerocomprobantes")
    )
    found = tuple(map(_parse_authorization, authorizations))
    whole = set(authorizations)
    beside = [node for node in wrappers if node not in whole]
    return Answer(
        access_key=asked,
        declared=int(declared) if declared and re.fullmatch("[0-9]{1,9}", declared) else None,
        authorizations=found,
        messages=tuple(message for node in beside for message in _parse_messages(node)),
        mended=any(one.mended for one in found),
    )


def _parse_soap_fault(node: etree._Element) -> Fault:
    code = _text_of(node, "faultcode") or _text_of(node, "code/value") or ""  # the second is of SOAP 1.2
    words = _text_of(node, "faultstring") or _text_of(node, "reason")
    name = code.rpartition(":")[2].partition(".")[0]
    kind = FaultKind.SOAP_CLIENT if name.lower() in _BLAMES_US else FaultKind.SOAP_SERVER
    said = _LONG_DIGITS.sub("…", visible(": ".join(filter(None, [name, words])), most=200))
    return Fault(kind, f"SOAP fault {said}".rstrip())


def _find_authorizations(root: etree._Element) -> list[etree._Element]:
    """Return the authorization elements; a wrapper that has the parts of one itself counts as one."""
    outermost = (node for node in root.iter(*_AUTHORIZATION) if next(node.iterancestors(*_AUTHORIZATION), None) is None)
    return list(outermost) or [node for node in root.iter(*_AUTHORIZATION_ANSWER) if node.find("estado") is not None]


def _find_reception(root: etree._Element) -> etree._Element | None:
    last = None
    for node in root.iter("*"):
        state = (_text_of(node, "estado") or "").upper()
        if state in _RECEPTION_STATES or (state and node.tag in _RECEPTION_ANSWER):
            return node
        last = node if node.tag in _RECEPTION_ANSWER else last
    return last


def _state_of(node: etree._Element) -> str:
    return next((text for name in _STATE if (text := _text_of(node, name))), "")


def _parse_authorization(node: etree._Element, state: str = "") -> Authorization:
    """Read one authorization, what the query service says of a key, or what the reception service does."""
    moment = _text_of(node, "fechaautorizacion")
    document, mended = _parse_document(_text_of(node, "comprobante"))
    key = _text_of(node, "claveacceso") if document is None else _find_key(document)
    return Authorization(
        state=_state_of(node) or state,
        number=_text_of(node, "numeroautorizacion"),
        authorized_at=parse_date(moment) if moment else None,
        authorized_at_text=moment,
        environment=_parse_environment(_text_of(node, "ambiente")),
        document=document,
        document_key=None if (key or "").upper() in ("N/A", "NA") else key,
        messages=_parse_messages(node),
        mended=mended,
    )


def _parse_document(text: str | None) -> tuple[bytes | None, bool]:
    """Return the document that stands in a `comprobante`, and whether something that XML forbids was left out of it."""
    if text is None:
        return None, False
    if text.startswith("&lt;"):  # escaped twice
        text = unescape(text, {"&quot;": '"', "&apos;": "'"})
    mended = _mend_references(text)  # the characters themselves came through a parser
    return _to_document(mended), mended != text


def _is_document(root: etree._Element) -> bool:
    return _local(root) in _DOCUMENTS or any(_local(child) == "infotributaria" for child in root.iterchildren("*"))


def _find_key(document: bytes) -> str | None:
    """Return the access key that a document names; it stands at its beginning, where reading may end."""
    text = document.decode()
    document = text[_prolog(text) :].encode()  # without its declaration, which may lie
    if document.startswith(b"<!"):  # a DOCTYPE
        return None
    parser = etree.XMLPullParser(("end",), **_SAFE)
    with suppress(etree.XMLSyntaxError):
        for at in range(0, len(document), _CHUNK_BYTES):
            parser.feed(document[at : at + _CHUNK_BYTES])
            events: Any = parser.read_events()
            for _, node in events:
                if _local(node) == "infotributaria" and len(list(node.iterancestors())) == 1:
                    key = next((child for child in node.iterchildren("*") if _local(child) == "claveacceso"), None)
                    if key is not None:
                        _simplify(key)
                    return _text(key)
    return None


def _parse_messages(node: etree._Element) -> tuple[Message, ...]:
    """Return the messages right below; a message has a part of its own name, its text, which is none of them."""
    found: list[Message] = []
    for child in node.iterchildren("mensajes", "mensaje"):
        code, words = _text_of(child, "identificador") or "", child.find("mensaje")
        if child.tag == "mensajes" or (words is not None and not code and len(words)):
            found += _parse_messages(child)
            continue
        text = _text(words) if len(child) else _text(child)
        message = Message(code, text or "", _text_of(child, "informacionadicional"), _text_of(child, "tipo"))
        if message != Message(""):
            found.append(message)
    return tuple(found)


def _parse_environment(text: str | None) -> Environment | None:
    """
    Return what `ambiente` says, in any of its spellings.

    >>> [_parse_environment(text) for text in ("PRUEBAS", "2", "PRODUCCIÓN", "PRODUCCI\\ufffdN", "otro", None)]
    ['test', 'production', 'production', 'production', None, None]
    """
    plain = unicodedata.normalize("NFD", text or "").lower()
    if plain == "1" or plain.startswith("prueba"):
        return "test"
    return "production" if plain == "2" or plain.startswith("produc") else None


_DATE = re.compile(
    r"(?:([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})|([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4}))(?:T|t|\s{1,3})"
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r"\s?(?P<offset>Z|z|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)?(?:\[[\w/]{1,40}\])?",
    re.ASCII,
)
_GUAYAQUIL = "-05:00"  # no daylight saving; the Galápagos' hour is not used here
_FIRST_YEAR, _LAST_YEAR = 2000, 2100


def parse_date(text: str) -> datetime | None:
    """
    Read a date and hour of the SRI, which come in several shapes; without an offset it is mainland Ecuador's.

    Returns None for what is unreadable, impossible, without an hour, or outside 2000 to 2100.

    >>> [str(parse_date(text)) for text in ("2026-09-16T07:50:56-05:00", "02/04/2026 10:30:00", "2022-12-12 14:59:53")]
    ['2026-09-16 12:50:56+00:00', '2026-04-02 15:30:00+00:00', '2022-12-12 19:59:53+00:00']
    >>> parse_date("31/02/2026 10:30:00") is None
    True
    """
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day = found.group(1, 2, 3) if found[1] else found.group(6, 5, 4)
    clock = f"{found['hour']:0>2}:{found['minute']}:{found['second'] or '00'}.{found['fraction'] or '0'}"
    offset = (found["offset"] or _GUAYAQUIL).upper()
    if not _FIRST_YEAR <= int(year) <= _LAST_YEAR or int(found["hour"]) > 23:
        return None
    with suppress(ValueError):
        return datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2}T{clock}{offset}").astimezone(UTC)
    return None


# --- files -----------------------------------------------------------------------------------------------------------


def open_file(raw: bytes, *, mend_bare: bool = False) -> DocumentFile:
    """
    Find the fiscal document in whatever people keep as "the authorized XML"; raise UnreadableFile without one.

    That is the bare document, an `autorizacion` around it, an answer of the service, or a whole SOAP envelope. Of
    several authorizations the annulled one counts, then the authorized one, else the latest. What XML forbids is left
    out of an answer, which is the SRI's final answer; in a bare document it is an error of its issuer, unless the SRI
    has authorized it: `mend_bare`.
    """
    if len(raw) > FILE_BYTES_MAX:
        raise UnreadableFile(f"the file has {len(raw)} bytes, expected at most {FILE_BYTES_MAX}")
    try:
        given = _decode(raw)
        root, text = _read_mended(given)
        mended = text != given
        if mended and not mend_bare and _is_document(root):
            _read_xml(given)  # says what is wrong
    except _Unreadable as error:
        raise UnreadableFile(f"the file {error}; expected a fiscal document of the SRI as XML") from None
    if _is_document(root):
        return DocumentFile(document=_to_document(text), mended=mended)
    chosen = _choose(root)
    if chosen.document is None:
        state = visible(chosen.state, most=40) or "without a state"
        raise UnreadableFile(
            f"the file holds an authorization ({state}) without a document; expected one in its element comprobante"
        )
    try:
        inner = _read_xml(chosen.document.decode())
    except _Unreadable as error:
        raise UnreadableFile(f"the document in the element comprobante {error}") from None
    if not _is_document(inner):
        raise UnreadableFile(f"the element comprobante holds {_spelled(inner)}; expected a fiscal document of the SRI")
    return DocumentFile(document=chosen.document, authorization=chosen, mended=mended or chosen.mended)


def _choose(root: etree._Element) -> Authorization:
    """Return the authorization of a file that counts; raise UnreadableFile if there is none, or far too many."""
    name = _spelled(root)
    _simplify(root)
    if root.tag == "lote":
        raise UnreadableFile("the file is a lot (lote) of several documents; expected a single one")
    nodes = _find_authorizations(root)
    if len(nodes) > AUTHORIZATIONS_MOST:
        raise UnreadableFile(f"the file has {len(nodes)} authorizations; expected one, at most {AUTHORIZATIONS_MOST}")
    if not nodes:
        held = next((words for tags, words in _KINDS.items() if next(root.iter(*tags), None) is not None), None)
        held = held or ("a web page" if root.tag == "html" else f"XML of another kind ({name})")
        raise UnreadableFile(f"the file holds {held}; expected a fiscal document of the SRI")
    found = list(map(_parse_authorization, nodes))
    annulled, good = ([one for one in found if normal_state(one.state) in words] for words in (ANNULLED, AUTHORIZED))
    earliest = datetime.min.replace(tzinfo=UTC)
    chosen = max(annulled or good or found, key=lambda one: one.authorized_at or earliest)
    if chosen.document is None and annulled and good:  # the word of one, the document of the other
        return replace(chosen, document=next((one.document for one in good if one.document), None))
    return chosen


_KINDS = {
    ("fault",): "a SOAP fault",
    _RECEPTION_ANSWER: "an answer of the reception service, which has no document in it",
    _AUTHORIZATION_ANSWER: "an answer of the authorization service without an authorization",
}
