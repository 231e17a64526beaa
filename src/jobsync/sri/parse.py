"""
The SRI's XML -> our nouns: answers of the service, and the files that people keep of them.

Elements are found by local name, in any case: the service sends them without the namespaces that its WSDL declares.
Source: docs/facts/sri.md, "Answers" and "Files".
"""

from __future__ import annotations

import copy
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

from lxml import etree

from jobsync.errors import JobsyncError
from jobsync.fiscal.access_key import Environment
from jobsync.fiscal.states import is_annulled, is_authorized
from jobsync.logs import visible
from jobsync.sri.model import Answer, Authorization, DocumentFile, Fault, FaultKind, Message

FILE_BYTES_MAX = 10_000_000  # what the parser takes in one text; the SRI takes documents up to 320 KB
DOCUMENT_ROOTS = frozenset(
    {"factura", "liquidacioncompra", "notacredito", "notadebito", "guiaremision", "comprobanteretencion"}
)
_GUAYAQUIL = timezone(timedelta(hours=-5))  # no daylight saving; the Galápagos' hour is not used here
# An answer has one authorization, or a few of the same document; each is read in Python, whatever its bytes.
AUTHORIZATIONS_MOST = 500
MESSAGES_MOST = 500  # of one answer
MARKS_MOST = 100_000  # "<" outside CDATA; a document of 320 KB that comes as a tree has fewer
_AUTHORIZATION = frozenset({"autorizacion", "authorization"})
_PARTS = _AUTHORIZATION | {"comprobante"}  # the reception service's answers have only the second
_AUTHORIZATION_ANSWER = frozenset(
    {"respuestaautorizacioncomprobante", "respuestaautorizacion", "autorizacioncomprobanteresponse"}
)
_RECEPTION_ANSWER = frozenset({"respuestarecepcioncomprobante", "validarcomprobanteresponse"})
_QUERY_ANSWER = frozenset({"estadoautorizacioncomprobante", "consultarestadoautorizacioncomprobanteresponse"})
_STATE = ("estado", "estadoautorizacion", "estadoconsulta")  # the query service has two spellings
_WRAPPERS = _AUTHORIZATION_ANSWER | _QUERY_ANSWER
_ENVELOPES = frozenset({"envelope"}) | _AUTHORIZATION_ANSWER | _RECEPTION_ANSWER | _QUERY_ANSWER
_RECEPTION_STATES = frozenset({"RECIBIDA", "DEVUELTA"})
_BLAMES_US = frozenset({"client", "sender", "versionmismatch", "mustunderstand", "dataencodingunknown"})
_FIREWALL_WORDS = "request rejected"
_HEAD_BYTES = 1024  # the head of an ordinary document ends well before
_LONG_DIGITS = re.compile(r"\d{10,}")


class UnreadableFile(JobsyncError):
    """A file holds no fiscal document that can be read; the text says what is wrong and what was expected."""


# --- text and trees --------------------------------------------------------------------------------------------------


class _Unreadable(ValueError):
    """The text is no XML that we take; `cut_off`: it ends too early; `too_many`: it has too many parts."""

    def __init__(self, text: str, *, cut_off: bool = False, too_many: bool = False) -> None:
        super().__init__(text)
        self.cut_off = cut_off
        self.too_many = too_many


_MARKS = (  # the longer one first: UTF-32's begins with UTF-16's
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"<\x00", "utf-16-le"),
    (b"\x00<", "utf-16-be"),
)
_BLANK = "\ufeff \t\r\n"
_BLANKS = re.compile(f"[{_BLANK}]*")
_DECLARATION = re.compile(r"\s*<\?xml\s[^>]*?\?>")
_ENCODING = re.compile(r"""(\sencoding\s*=\s*)(["'])([A-Za-z][A-Za-z0-9._-]*)\2""")
_BROKEN = re.compile("[\ud800-\udfff]+")
_BEYOND_ASCII = re.compile("[^\x00-\x7f\ud800-\udfff]")
_ALMOST_UTF8 = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]|\xc0\x80")  # surrogates and NUL as some writers have them
_SINGLE_BYTE = re.compile(r"(?:iso-?8859-\d+|windows-125\d|cp\d+|latin-?\d)", re.IGNORECASE)


def _decode(raw: bytes) -> str:
    """Return the text, whatever its declaration says: bytes that are UTF-8 are meant as UTF-8."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            try:
                return raw.decode(encoding, "surrogatepass").removeprefix("\ufeff")
            except UnicodeDecodeError:
                raise _Unreadable(f"is not the {encoding.upper()} text that it begins as") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _decode_broken(raw) or _decode_single_byte(raw)


def _decode_broken(raw: bytes) -> str | None:
    """
    Return UTF-8 whose wrong bytes are halves of surrogates, which no XML allows; None if it is no UTF-8 at all.

    It is UTF-8 if at least as many characters beyond ASCII are right as there are broken places: a text cut in the
    middle of a letter must not cost all the others theirs.
    """
    text = raw.decode("utf-8-sig", "surrogateescape")
    right = len(_BEYOND_ASCII.findall(text)) + len(_ALMOST_UTF8.findall(raw))
    return text if right >= len(_BROKEN.findall(text)) else None


def _decode_single_byte(raw: bytes) -> str:
    declared = _ENCODING.search(raw[:200].decode("latin-1"))
    encodings = [declared[3]] if declared and _SINGLE_BYTE.fullmatch(declared[3]) else []
    if not encodings or encodings[0].lower() in ("iso-8859-1", "iso8859-1", "latin-1", "latin1"):
        encodings = ["cp1252"]  # what writers on Windows mean by it
    for encoding in (*encodings, "latin-1"):
        try:
            return raw.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    raise AssertionError("latin-1 reads every byte")


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


class _Parsers(threading.local):
    """One for each thread: making one, and filling its table of names, costs as much as parsing."""

    def __init__(self) -> None:
        self.one = etree.XMLParser(**_SAFE)


_parsers = _Parsers()


def _read_xml(text: str) -> etree._Element:
    """
    Parse text that may be hostile.

    Raises:
        _Unreadable: it is not XML, has a DOCTYPE, is cut off, too deep or too large.
    """
    start = _skip_prolog(text)
    if not text[start:].strip():
        if not text.strip(_BLANK):
            raise _Unreadable("is empty")
        raise _Unreadable("is cut off before its first element", cut_off=True)
    if text[start] != "<":
        raise _Unreadable("is no XML")
    if text[start : start + 9].upper() == "<!DOCTYPE":
        raise _Unreadable("has a DOCTYPE, which no document of the SRI has")
    if text.count("<") > MARKS_MOST and _CDATA.sub("", text).count("<") > MARKS_MOST:
        raise _Unreadable(f"has more than {MARKS_MOST // 2} elements", too_many=True)
    lines = text.count("\n", 0, start)
    try:
        # without its declaration, which may lie; the blank lines keep the line numbers
        return etree.fromstring(("\n" * lines + text[start:]).encode("utf-8", "surrogatepass"), _parsers.one)
    except etree.XMLSyntaxError as error:
        raise _explain(error, text) from None


# What XML 1.0 forbids: characters, references to them, and "&" that begins no reference.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
_CDATA = re.compile(r"<!\[CDATA\[.*?(?:\]\]>|\Z)", re.DOTALL)
_SUSPECT = re.compile("&(?!(?:amp|lt|gt|quot|apos);)")
_LITERAL = re.compile(
    r"(<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z))", re.DOTALL
)  # there "&" means itself
_REFERENCE_DIGITS_MOST = 20  # leading zeros are allowed, up to a length that no writer exceeds
_AMPERSAND = re.compile(r"&(?:(?P<named>(?:amp|lt|gt|quot|apos);)|#(?:(?P<decimal>[0-9]+)|x(?P<hex>[0-9a-fA-F]+));)?")


def mend(text: str) -> str:
    """
    Return XML without what XML 1.0 forbids: characters and references to them are left out, a bare "&" is escaped.

    Of bytes that are no character of their encoding U+FFFD tells that something stood there.

    What is allowed stays as it is, so that text in which nothing is wrong comes back unchanged.

    >>> mend("<a>P\x0bEREZ &#11;&amp; &#65; CIA & CO<![CDATA[A & B]]></a>")
    '<a>PEREZ &amp; &#65; CIA &amp; CO<![CDATA[A & B]]></a>'
    """
    return _mend_references(_FORBIDDEN.sub("", _BROKEN.sub("\ufffd", text)))


def _mend_references(text: str) -> str:
    if not _SUSPECT.search(text) or text.count("&") > MARKS_MOST:
        return text
    pieces = _LITERAL.split(text)  # every second one is literal
    pieces[::2] = [_AMPERSAND.sub(_mend_reference, piece) for piece in pieces[::2]]
    return "".join(pieces)


def _mend_reference(found: re.Match[str]) -> str:
    if found["named"]:
        return found[0]
    digits, base = (found["decimal"], 10) if found["decimal"] else (found["hex"], 16)
    if digits is None:
        return "&amp;"
    number = int(digits, base) if len(digits) <= _REFERENCE_DIGITS_MOST else -1
    allowed = 0 <= number <= 0x10FFFF and not _FORBIDDEN.match(chr(number))
    return found[0] if allowed else ""


def _read_mended(text: str) -> tuple[etree._Element, str, bool]:
    """
    Parse text as `_read_xml` does, once more without what XML forbids if that is in the way.

    Returns the root, the text that was read, and whether something was left out of it.
    """
    try:
        return _read_xml(text), text, False
    except _Unreadable as error:
        mended = mend(text) if not error.too_many else text
        if mended == text:
            raise
        return _read_xml(mended), mended, True


def _skip_prolog(text: str) -> int:
    """Return where blanks, comments and processing instructions end."""
    at = _blanks(text, 0)
    while True:
        for opening, closing in (("<!--", "-->"), ("<?", "?>")):
            if text.startswith(opening, at):
                end = text.find(closing, at + len(opening))
                at = _blanks(text, end + len(closing)) if end >= 0 else len(text)
                break
        else:
            return at


def _blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _explain(error: etree.XMLSyntaxError, text: str) -> _Unreadable:
    """Say in our words what is wrong: libxml2's may quote what it read."""
    line = error.lineno or 1
    code = getattr(error, "code", None)
    codes = etree.ErrorTypes
    said = (error.msg or "").lower()
    if code == codes.ERR_RESOURCE_LIMIT or "huge" in said or "too big" in said:
        return _Unreadable(f"is nested too deeply or too large (line {line})")
    if code in (codes.ERR_INVALID_CHAR, codes.ERR_INVALID_ENCODING, codes.ERR_INVALID_CHARREF) or (
        code == codes.ERR_CDATA_NOT_FINISHED and _FORBIDDEN.search(text)
    ):
        return _Unreadable(f"has a character at line {line} that XML does not allow")
    if code in (codes.ERR_TAG_NOT_FINISHED, codes.ERR_CDATA_NOT_FINISHED) or not text.rstrip().endswith(">"):
        return _Unreadable(f"is cut off at line {line}", cut_off=True)
    return _Unreadable(f"is not well-formed XML at line {line}")


def _local(node: etree._Element) -> str:
    return _local_name(str(node.tag))


@lru_cache(maxsize=256)
def _local_name(tag: str) -> str:
    return tag.rpartition("}")[2].lower()


def _spelled(node: etree._Element) -> str:
    return str(node.tag).rpartition("}")[2]


def _children(node: etree._Element) -> list[etree._Element]:
    """Return child elements, without comments and processing instructions."""
    return [child for child in node if not callable(child.tag)]


def _child(node: etree._Element, name: str) -> etree._Element | None:
    return next((child for child in _children(node) if _local(child) == name), None)


def _text(node: etree._Element | None) -> str | None:
    """Return an element's text without blanks around it; None if there is none."""
    return None if node is None else "".join(_parts(node)).strip(_BLANK + "\u00a0") or None


def _parts(node: etree._Element) -> Iterator[str]:
    """Yield the pieces of text below an element; those of comments are none."""
    yield node.text or ""
    for child in node:
        if not callable(child.tag):
            yield from _parts(child)
        yield child.tail or ""


def _text_of(node: etree._Element, name: str) -> str | None:
    return _text(_child(node, name))


def _walk(root: etree._Element) -> Iterator[etree._Element]:
    """Yield the element and all below it, in their order, but nothing inside a document."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        if _local(node) != "comprobante":
            waiting.extend(reversed(_children(node)))


# --- an answer of the service ----------------------------------------------------------------------------------------


def parse_answer(body: bytes, *, http_status: int, content_type: str | None) -> Answer | Fault:
    """Read what the service sent; whatever it is, the result is an answer or a fault, never an exception."""
    try:
        text = _decode(body)
        read = _parse_text(text, html="html" in (content_type or "").lower())
    except _Unreadable as error:
        text, read = "", _fault_of(error)
    if not 200 <= http_status <= 299 and not _outweighs_status(read, text, http_status):
        return Fault(FaultKind.HTTP_STATUS, f"HTTP status {http_status}", http_status)
    return replace(read, http_status=http_status) if isinstance(read, Fault) else read


def _outweighs_status(read: Answer | Fault, text: str, http_status: int) -> bool:
    """Whether the body of an error tells more than its status."""
    if not isinstance(read, Fault):
        return False
    if read.kind == FaultKind.FIREWALL:
        return http_status == 403 or _FIREWALL_WORDS in text[:4096].lower()
    return read.kind in (FaultKind.SOAP_CLIENT, FaultKind.SOAP_SERVER)


def _parse_text(text: str, *, html: bool) -> Answer | Fault:
    start = text[_skip_prolog(text) :][:20].lower()
    if start.startswith(("<!doctype html", "<html")):
        return _firewall(text)
    try:
        root, _, mended = _read_mended(text)
    except _Unreadable as error:
        if _is_complete(text):
            return _fault_inside(error)
        return _firewall(text) if html or _FIREWALL_WORDS in text[:4096].lower() else _fault_of(error)
    read = _parse_tree(root)
    return replace(read, mended=True) if mended and isinstance(read, Answer) else read


_OPENING = re.compile(r"<(?P<name>(?:[\w.-]{1,60}:)?(?P<local>[\w.-]{1,60}))[\s/>]")


def _is_complete(text: str) -> bool:
    """Whether the text is an answer of the service from its first element to the end of it, whatever stands between."""
    text = _FORBIDDEN.sub("", text)
    start = _skip_prolog(text)
    find = _OPENING.search if text.startswith("<!DOCTYPE", start) else _OPENING.match
    opening = find(text, start)
    if opening is None or opening["local"].lower() not in _ENVELOPES:
        return False
    closing = text.rfind(f"</{opening['name']}")
    return closing >= 0 and text[closing + len(opening["name"]) + 2 :].lstrip().startswith(">")


def _fault_inside(error: _Unreadable) -> Fault:
    return Fault(FaultKind.TOO_MANY_PARTS if error.too_many else FaultKind.MALFORMED, f"the answer {error}")


def _firewall(text: str) -> Fault:
    quoted = ' ("Request Rejected")' if _FIREWALL_WORDS in text[:4096].lower() else ""
    return Fault(FaultKind.FIREWALL, f"a web page instead of an answer{quoted}: a firewall in front of the SRI")


def _fault_of(error: _Unreadable) -> Fault:
    return Fault(FaultKind.BROKEN if error.cut_off else FaultKind.UNREADABLE, f"the answer {error}")


def _parse_tree(root: etree._Element) -> Answer | Fault:
    nodes = list(_walk(root))
    fault = next((node for node in nodes if _local(node) == "fault"), None)
    if fault is not None:
        return _parse_soap_fault(fault)
    names = Counter(map(_local, nodes))
    if any(names[name] > AUTHORIZATIONS_MOST for name in _PARTS):
        return Fault(FaultKind.TOO_MANY_PARTS, f"the answer has more than {AUTHORIZATIONS_MOST} authorizations")
    answer = _parse_parts(root, nodes)
    if isinstance(answer, Answer):
        several = [answer.messages, *(one.messages for one in answer.authorizations)]
        if sum(map(len, several)) > MESSAGES_MOST:
            return Fault(FaultKind.TOO_MANY_PARTS, f"the answer has more than {MESSAGES_MOST} messages")
    return answer


def _parse_parts(root: etree._Element, nodes: Sequence[etree._Element]) -> Answer | Fault:
    authorizations = _find_authorizations(nodes)
    query = next((node for node in nodes if _local(node) in _QUERY_ANSWER and _state_of(node)), None)
    if query is not None:
        return Answer(None, None, (_parse_query(query),))
    reception = _find_reception(nodes) if not authorizations else None
    if reception is not None:
        return Answer(None, None, _parse_reception(reception), reception=True)
    wrappers = [node for node in nodes if _local(node) in _WRAPPERS]
    if not authorizations and not wrappers:
        if _local(root) == "html":
            return _firewall("")
        # a closed envelope is the service's own, an empty one too: it answers, and something is wrong inside
        kind = FaultKind.MALFORMED if _local(root) == "envelope" else FaultKind.UNREADABLE
        return Fault(kind, f"the answer is XML of another kind: {visible(_spelled(root), most=60)}")
    whole = set(authorizations)
    beside = [node for node in wrappers if node not in whole]
    asked = next((text for node in nodes if _local(node) == "claveaccesoconsultada" and (text := _text(node))), None)
    declared = next((text for node in nodes if _local(node) == "numerocomprobantes" and (text := _text(node))), "")
    return Answer(
        access_key=asked,
        declared=int(declared) if re.fullmatch("[0-9]{1,9}", declared) else None,
        authorizations=(found := tuple(map(_parse_authorization, authorizations))),
        messages=tuple(message for node in beside for message in _parse_messages(node)),
        mended=any(one.mended for one in found),
    )


def _state_of(node: etree._Element) -> str:
    return next((text for name in _STATE if (text := _text_of(node, name))), "")


def _parse_query(node: etree._Element) -> Authorization:
    """Read what the service ConsultaComprobante says of one key."""
    moment = _text_of(node, "fechaautorizacion")
    return Authorization(
        state=_state_of(node),
        authorized_at=parse_date(moment) if moment else None,
        authorized_at_text=moment,
        document_key=_key_or_none(_text_of(node, "claveacceso")),
        messages=_parse_messages(node),
    )


def _parse_soap_fault(node: etree._Element) -> Fault:
    code = _text_of(node, "faultcode")
    words = _text_of(node, "faultstring")
    if code is None:  # SOAP 1.2
        outer, reason = _child(node, "code"), _child(node, "reason")
        code = _text_of(outer, "value") if outer is not None else None
        words = words or _text(reason)
    name = (code or "").rpartition(":")[2].partition(".")[0]
    kind = FaultKind.SOAP_CLIENT if name.lower() in _BLAMES_US else FaultKind.SOAP_SERVER
    said = _LONG_DIGITS.sub("…", visible(": ".join(filter(None, [name, words])), most=200))
    return Fault(kind, f"SOAP fault {said}".rstrip())


def _find_authorizations(nodes: Sequence[etree._Element]) -> list[etree._Element]:
    """Return the authorization elements; a wrapper that has the parts of one itself counts as one."""
    found = [node for node in nodes if _local(node) in _AUTHORIZATION]
    found = [node for node in found if not any(_local(above) in _AUTHORIZATION for above in node.iterancestors())]
    if found:
        return found
    return [node for node in nodes if _local(node) in _AUTHORIZATION_ANSWER and _child(node, "estado") is not None]


def _find_reception(nodes: Iterable[etree._Element]) -> etree._Element | None:
    fallback = None
    for node in nodes:
        state = (_text_of(node, "estado") or "").upper()
        if state in _RECEPTION_STATES or (state and _local(node) in _RECEPTION_ANSWER):
            return node
        if _local(node) in _RECEPTION_ANSWER:
            fallback = node
    return fallback


def _parse_reception(node: etree._Element) -> tuple[Authorization, ...]:
    state = _text_of(node, "estado") or ""
    container = _child(node, "comprobantes")
    documents = (
        [child for child in _children(container) if _local(child) == "comprobante"] if container is not None else []
    )
    if not documents:
        return (Authorization(state=state, messages=_parse_messages(node)),)
    return tuple(
        Authorization(
            state=_text_of(document, "estado") or state,
            document_key=_key_or_none(_text_of(document, "claveacceso")),
            messages=_parse_messages(document),
        )
        for document in documents
    )


def _key_or_none(text: str | None) -> str | None:
    return None if text is None or text.upper() in ("N/A", "NA") else text


def _parse_authorization(node: etree._Element) -> Authorization:
    moment = _text_of(node, "fechaautorizacion")
    document, mended = _parse_inner(_child(node, "comprobante"))
    return Authorization(
        state=_state_of(node),
        number=_text_of(node, "numeroautorizacion"),
        authorized_at=parse_date(moment) if moment else None,
        authorized_at_text=moment,
        environment=_parse_environment(_text_of(node, "ambiente")),
        document=document,
        document_key=_find_key(document) if document is not None else None,
        messages=_parse_messages(node),
        mended=mended,
    )


def _parse_inner(node: etree._Element | None) -> tuple[bytes | None, bool]:
    """
    Return the document inside a `comprobante`: CDATA and escaped text are one to a parser, a tree is written out.

    And whether something that XML forbids was left out of it.
    """
    if node is None:
        return None, False
    trees = _children(node)
    if trees:
        return _write_out(next((tree for tree in trees if _is_document(tree)), trees[0])), False
    text = _text(node)
    if text is not None and text.startswith("&lt;"):  # escaped twice
        for escaped, sign in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&")):
            text = text.replace(escaped, sign)
    if text is None:
        return None, False
    mended = _mend_references(text)  # the characters themselves came through a parser
    return _to_document(mended), mended != text


def _write_out(tree: etree._Element) -> bytes:
    """Write one subtree as it stands; a copy leaves behind the prefixes that only the envelope declares."""
    copied = copy.deepcopy(tree)
    copied.tail = None
    return etree.tostring(copied, encoding="unicode").encode()


def _is_document(root: etree._Element) -> bool:
    return _local(root) in DOCUMENT_ROOTS or _child(root, "infotributaria") is not None


def _find_key(document: bytes) -> str | None:
    """Return the access key that a document names; it stands at its beginning, where reading may end."""
    head = _find_head(document[:_HEAD_BYTES])
    if head is None:
        try:
            head = _child(_read_xml(document.decode()), "infotributaria")
        except _Unreadable:
            return None
    return _text_of(head, "claveacceso") if head is not None else None


def _find_head(beginning: bytes) -> etree._Element | None:
    """Return the document's whole `infoTributaria` if it ends within its beginning."""
    if b"<!" in beginning:  # a comment, a DOCTYPE: no ordinary document
        return None
    parser = etree.XMLPullParser(("start", "end"), **_SAFE)
    try:
        parser.feed(beginning)
    except etree.XMLSyntaxError:
        return None
    events: Any = parser.read_events()
    depth = 0
    for event, node in events:
        depth += 1 if event == "start" else -1
        if event == "end" and depth == 1 and _local(node) == "infotributaria":
            head: etree._Element = node
            return head
    return None


def _parse_messages(node: etree._Element) -> tuple[Message, ...]:
    """Return the messages right below; a message has a part of its own name, its text, which is none of them."""
    found: list[Message] = []
    for child in _children(node):
        if _local(child) == "mensajes":
            found += _parse_messages(child)
        elif _local(child) == "mensaje":
            found += _parse_message(child)
    return tuple(found)


def _parse_message(node: etree._Element) -> tuple[Message, ...]:
    code = _text_of(node, "identificador") or ""
    words = _child(node, "mensaje")
    if words is not None and not code and _children(words):
        return _parse_messages(node)
    text = (_text(words) if _children(node) else _text(node)) or ""
    message = Message(
        code=code,
        text=text,
        additional_info=_text_of(node, "informacionadicional"),
        severity=_text_of(node, "tipo"),
    )
    return (message,) if message != Message("") else ()


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


# --- dates -----------------------------------------------------------------------------------------------------------

_YEAR_FIRST = r"(?P<year>[0-9]{4})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})"
_DAY_FIRST = r"(?P<day>[0-9]{1,2})[/-](?P<month>[0-9]{1,2})[/-](?P<year>[0-9]{4})"
_CLOCK = (
    r"(?:T|t|\s{1,3})(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r"\s?(?P<offset>Z|z|[+-][0-9]{2}(?::?[0-9]{2})?)?(?:\[[\w/]{1,40}\])?"
)
_DATES = tuple(re.compile(day + _CLOCK, re.ASCII) for day in (_YEAR_FIRST, _DAY_FIRST))
_FIRST_YEAR, _LAST_YEAR = 2000, 2100


def parse_date(text: str) -> datetime | None:
    """
    Read a date and hour of the SRI, which come in several shapes; without an offset it is mainland Ecuador's.

    Returns:
        The instant in UTC, or None for what is unreadable, impossible, without an hour, or outside 2000 to 2100.

    >>> [str(parse_date(text)) for text in ("2026-09-16T07:50:56-05:00", "02/04/2026 10:30:00", "2022-12-12 14:59:53")]
    ['2026-09-16 12:50:56+00:00', '2026-04-02 15:30:00+00:00', '2022-12-12 19:59:53+00:00']
    >>> parse_date("31/02/2026 10:30:00") is None
    True
    """
    found = next((match for pattern in _DATES if (match := pattern.fullmatch(text.strip()))), None)
    if found is None or not _FIRST_YEAR <= int(found["year"]) <= _LAST_YEAR:
        return None
    try:
        moment = datetime(
            int(found["year"]),
            int(found["month"]),
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            int(found["second"] or 0),
            int((found["fraction"] or "").ljust(6, "0")[:6]),
            _zone(found["offset"]),
        )
    except ValueError:
        return None
    return moment.astimezone(UTC)


def _zone(offset: str | None) -> timezone:
    if offset is None:
        return _GUAYAQUIL
    if offset in "Zz":
        return UTC
    digits = offset[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 14 or minutes > 59:
        raise ValueError("no such offset")
    return timezone(timedelta(hours=hours, minutes=minutes) * (-1 if offset[0] == "-" else 1))


# --- files -----------------------------------------------------------------------------------------------------------


def open_file(raw: bytes, *, mend_bare: bool = False) -> DocumentFile:
    """
    Find the fiscal document in whatever people keep as "the authorized XML".

    That is the bare document, an `autorizacion` around it, an answer of the service, or a whole SOAP envelope. Of
    several authorizations the annulled one counts, then the authorized one, else the latest. What XML forbids is left
    out of an answer, which is the SRI's final answer; in a bare document it is an error of its issuer.

    Args:
        mend_bare: leave it out of a bare document too, for one that the SRI has authorized.

    Raises:
        UnreadableFile: there is none, or not exactly one.
    """
    if len(raw) > FILE_BYTES_MAX:
        raise UnreadableFile(f"the file has {len(raw)} bytes, expected at most {FILE_BYTES_MAX}")
    try:
        root, text, mended = _read_mended(_decode(raw))
        if mended and not mend_bare and _is_document(root):
            _read_xml(_decode(raw))  # says what is wrong
    except _Unreadable as error:
        raise UnreadableFile(f"the file {error}; expected a fiscal document of the SRI as XML") from None
    if _is_document(root):
        return DocumentFile(document=_to_document(text), mended=mended)
    if _local(root) == "lote":
        raise UnreadableFile("the file is a lot (lote) of several documents; expected a single one")
    found = _find_authorizations(list(_walk(root)))
    if len(found) > AUTHORIZATIONS_MOST:
        raise UnreadableFile(f"the file has {len(found)} authorizations; expected one, at most {AUTHORIZATIONS_MOST}")
    if not found:
        raise UnreadableFile(f"the file holds {_name_kind(root)}; expected a fiscal document of the SRI")
    chosen = _choose([_parse_authorization(node) for node in found])
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
        raise UnreadableFile(
            f"the element comprobante holds {visible(_spelled(inner), most=60)}; expected a fiscal document of the SRI"
        )
    return DocumentFile(document=chosen.document, authorization=chosen, mended=mended or chosen.mended)


def _choose(authorizations: list[Authorization]) -> Authorization:
    annulled = [one for one in authorizations if is_annulled(one.state)]
    good = [one for one in authorizations if is_authorized(one.state)]
    earliest = datetime.min.replace(tzinfo=UTC)
    chosen = max(annulled or good or authorizations, key=lambda one: one.authorized_at or earliest)
    if chosen.document is None and annulled and good:  # the word of one, the document of the other
        return replace(chosen, document=next((one.document for one in good if one.document), None))
    return chosen


def _name_kind(root: etree._Element) -> str:
    names = {_local(node) for node in _walk(root)}
    if "fault" in names:
        return "a SOAP fault"
    if names & _RECEPTION_ANSWER:
        return "an answer of the reception service, which has no document in it"
    if names & _AUTHORIZATION_ANSWER:
        return "an answer of the authorization service without an authorization"
    if _local(root) == "html":
        return "a web page"
    return f"XML of another kind ({visible(_spelled(root), most=60)})"
