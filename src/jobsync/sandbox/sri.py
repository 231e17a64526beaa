"""
A stand-in for the SRI's authorization service, as a WSGI application.

Written from the tax authority's paper (Ficha Técnica v2.34), the service's WSDL and answers that were made public. What
they leave open is guessed here: the shape of the answer for a key that is none (message 80), HTTP status 500 for
faults, an empty answer for a key whose check digit is wrong.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from lxml import etree

from jobsync.sandbox.documents import invent_document, is_key, make_key
from jobsync.sandbox.sri_scenario import BEHAVIOURS, Play, SriBehaviour, SriScenario
from jobsync.sandbox.wire import REASONS, Body, ConnectionDropped, Waits, drip

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

OPERATION = "AutorizacionComprobantesOffline"
ASKS_KEPT = 1_000_000
BODY_BYTES_MAX = 64 * 1024
_NAMESPACE = "http://ec.gob.sri.ws.autorizacion"
_XML = "text/xml; charset=UTF-8"
_HTML = "text/html; charset=utf-8"
_FIREWALL_PAGE = b"<html><head><title>Request Rejected</title></head><body>The request was blocked.</body></html>"
_ECUADOR = timezone(timedelta(hours=-5))
_TEXTS = {
    "35": "ARCHIVO NO CUMPLE ESTRUCTURA XML",
    "39": "FIRMA INVALIDA",
    "43": "CLAVE ACCESO REGISTRADA",
    "45": "SECUENCIAL REGISTRADO",
    "52": "ERROR EN DIFERENCIAS",
    "60": "AMBIENTE DE PRUEBAS",
    "70": "CLAVE DE ACCESO EN PROCESAMIENTO",
    "80": "ERROR EN LA ESTRUCTURA DE LA CLAVE DE ACCESO",
}
_NOTICES = {"60": "ADVERTENCIA", "70": "INFORMATIVO"}


class Ask(NamedTuple):
    """One question that came: when, by the monotonic clock in seconds, and about which key."""

    at: float
    key: str


@dataclass(frozen=True)
class _Reply:
    body: bytes
    status: int = 200
    content_type: str = _XML
    headers: tuple[tuple[str, str], ...] = ()


class SriSandbox:
    """
    The application: `POST …/AutorizacionComprobantesOffline` and `…/__control`, below any prefix.

    `GET …/__control` tells the state; `POST …/__control` with `{"outage": "http_error"}`, or another word of
    BEHAVIOURS, begins an outage, and with `{"outage": null}` ends it.

    Args:
        scenario: what is played.
        now: seconds since the epoch; documents ripen by it, and authorizations are dated by it.
        sleep: how latency, `slow` and `drip` wait; None waits really, and gives up when the server closes.
    """

    def __init__(
        self,
        scenario: SriScenario,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.scenario = scenario
        self._now = now
        self._sleep = Waits(sleep)
        self._lock = threading.Lock()
        self._started = now()
        self._outage: SriBehaviour | None = None
        self._submitted: dict[str, float] = {}
        self._documents: dict[str, bytes] = {}
        self._turns: dict[tuple[int, str], int] = {}
        self._asks: deque[Ask] = deque(maxlen=ASKS_KEPT)
        self._in_flight = 0
        self._in_flight_max = 0

    @property
    def asks(self) -> list[Ask]:
        """The questions that came, oldest first (at most ASKS_KEPT)."""
        with self._lock:
            return list(self._asks)

    @property
    def in_flight_max(self) -> int:
        """How many questions were under way at once, at most."""
        return self._in_flight_max

    def submit(self, key: str, document: bytes | None = None) -> None:
        """Take a document as received now, as if its issuer had sent it; else its first ask counts as that."""
        with self._lock:
            self._submitted[key] = self._now()
            if document is not None:
                self._documents[key] = document

    def decided_at(self, key: str) -> float | None:
        """Return when, by `now`, the last word on a key is known; None while nobody submitted it or asked for it."""
        with self._lock:
            submitted = self._submitted.get(key)
        return None if submitted is None else submitted + sum(_delays(key, self.scenario.play_for(key)[1]))

    def set_outage(self, behaviour: SriBehaviour | None) -> None:
        """From now on answer everybody in one way, or (None) as the scenario says."""
        self._outage = behaviour

    def interrupt(self) -> None:
        """End every wait under way by dropping its connection; called when the server closes."""
        self._sleep.interrupt()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        operation = str(environ.get("PATH_INFO", "")).rsplit("/", 1)[-1]
        if operation == "__control":
            return self._start(self._control(environ), SriBehaviour(), start_response, lambda: None)
        with self._lock:
            self._in_flight += 1
            self._in_flight_max = max(self._in_flight_max, self._in_flight)
        try:
            reply, behaviour = self._answer(operation, environ)
            return self._start(reply, behaviour, start_response, self._leave)
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        with self._lock:
            self._in_flight -= 1

    def _start(
        self, reply: _Reply, behaviour: SriBehaviour, start_response: StartResponse, on_close: Callable[[], None]
    ) -> Iterable[bytes]:
        headers = [
            ("Content-Type", reply.content_type),
            ("Content-Length", str(len(reply.body))),
            *reply.headers,
        ]
        start_response(f"{reply.status} {REASONS.get(reply.status, 'Sandbox')}", headers)
        chunks: Iterable[bytes] = (reply.body,)
        if behaviour.kind == "truncated":
            chunks = (reply.body[: len(reply.body) // 2],)
        elif behaviour.kind == "drip":
            chunks = drip(reply.body, behaviour.bytes_per_second, self._sleep)
        return Body(chunks, on_close)

    # One question

    def _answer(self, operation: str, environ: WSGIEnvironment) -> tuple[_Reply, SriBehaviour]:
        usual = SriBehaviour()
        if operation != OPERATION or environ["REQUEST_METHOD"] == "GET":
            return _Reply(b"no such operation\n", 404, "text/plain"), usual
        if environ["REQUEST_METHOD"] != "POST":
            return _Reply(b"POST only\n", 405, "text/plain"), usual
        if not environ.get("CONTENT_TYPE", "").lower().startswith("text/xml"):
            return _Reply(b"SOAP 1.1 is text/xml\n", 415, "text/plain"), usual
        key = _read_question(_read_body(environ))
        with self._lock:
            self._asks.append(Ask(time.monotonic(), key or ""))
        if self.scenario.latency_ms:
            self._sleep(self.scenario.latency_ms / 1000)
        number, play = self.scenario.play_for(key or "")
        behaviour = self._outage_now() or self._turn(number, key or "", play.behaviour)
        if behaviour.kind == "drop":
            raise ConnectionDropped("the scenario closes the connection without an answer")
        if behaviour.kind == "slow":
            self._sleep(behaviour.seconds)
        said = _said_instead(behaviour, key)
        if said is None:
            said = _fault("Client", "Unmarshalling Error") if key is None else self._say(key, play)
        return said, behaviour

    def _outage_now(self) -> SriBehaviour | None:
        since = self._now() - self._started
        for outage in self.scenario.outages:
            if outage.from_s <= since < outage.to_s:
                return outage.behaviour
        return self._outage

    def _turn(self, number: int, key: str, behaviour: SriBehaviour) -> SriBehaviour:
        """Return the behaviour, or normal once it was played `times` times for this key."""
        if behaviour.times is None:
            return behaviour
        with self._lock:
            turn = (number, key)
            self._turns[turn] = self._turns.get(turn, 0) + 1
            return behaviour if self._turns[turn] <= behaviour.times else SriBehaviour()

    def _say(self, key: str, play: Play) -> _Reply:
        """Say what is known of a key by now."""
        if len(key) != 49 or not key.isdigit():
            return _Reply(_envelope(key, [_node("RECHAZADA", messages=_messages(["80"]))]))
        if not is_key(key) or (self.scenario.unknown == "empty" and not self._knows(key)):
            return _Reply(_envelope(key, []))
        now = self._now()
        with self._lock:
            submitted = self._submitted.setdefault(key, now)
        received_s, in_process_s = _delays(key, play)
        if now < submitted + received_s:
            return _Reply(_envelope(key, []))
        decided = submitted + received_s + in_process_s
        if now < decided or play.outcome == "in_process":
            return _Reply(_waiting(key, play))
        if play.outcome == "empty":
            return _Reply(_envelope(key, []))
        if play.outcome == "returned":
            return _Reply(_returned(key, play.codes or ("35",)))
        return _Reply(_decided(key, play, self._document(key), datetime.fromtimestamp(decided, UTC)))

    def _knows(self, key: str) -> bool:
        with self._lock:
            known = key in self._submitted and key in self._documents
        return known or _file_of(self.scenario.documents, key) is not None

    def _document(self, key: str) -> str:
        """Return what was submitted, or a document invented for the key."""
        with self._lock:
            held = self._documents.get(key)
        path = _file_of(self.scenario.documents, key) if held is None else None
        if held is None and path is not None:
            held = path.read_bytes()
        return (held or invent_document(key)).decode("utf-8-sig", "replace")

    # Control

    def _control(self, environ: WSGIEnvironment) -> _Reply:
        if environ["REQUEST_METHOD"] == "POST":
            try:
                kind = json.loads(_read_body(environ))["outage"]
                if kind is not None and kind not in BEHAVIOURS:
                    raise ValueError(kind)
            except (ValueError, TypeError, KeyError):
                words = ", ".join(BEHAVIOURS)
                return _Reply(f'expected {{"outage": null}} or one of {words}\n'.encode(), 400, "text/plain")
            self.set_outage(None if kind is None else SriBehaviour(kind))
        elif environ["REQUEST_METHOD"] != "GET":
            return _Reply(b"GET or POST\n", 405, "text/plain")
        outage = self._outage_now()
        with self._lock:
            state = {
                "asks": len(self._asks),
                "keys": len(self._submitted),
                "in_flight": self._in_flight,
                "in_flight_max": self._in_flight_max,
                "outage": outage.kind if outage else None,
            }
        return _Reply(json.dumps(state).encode(), content_type="application/json")


# --- the question ----------------------------------------------------------------------------------------------------


def _read_body(environ: WSGIEnvironment) -> bytes:
    length = environ.get("CONTENT_LENGTH") or "0"
    body: bytes = environ["wsgi.input"].read(min(int(length), BODY_BYTES_MAX) if length.isdigit() else 0)
    return body


def _read_question(body: bytes) -> str | None:
    """Return the key asked for; None: not the envelope that the WSDL asks for."""
    try:
        root = etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError:
        return None
    soap = "{http://schemas.xmlsoap.org/soap/envelope/}"
    operation = root.find(f"{soap}Body/{{{_NAMESPACE}}}autorizacionComprobante")
    if root.tag != f"{soap}Envelope" or operation is None:
        return None
    named = operation.find("claveAccesoComprobante")  # in no namespace, as the WSDL says
    return "" if named is None else (named.text or "")


def _delays(key: str, play: Play) -> tuple[float, float]:
    rng = Random(f"delays {key}")
    return rng.uniform(*play.received_s), rng.uniform(*play.in_process_s)


def _file_of(folder: Path | None, key: str) -> Path | None:
    path = folder / f"{key}.xml" if folder is not None else None
    return path if path is not None and path.is_file() else None


# --- what is said ----------------------------------------------------------------------------------------------------


def _said_instead(behaviour: SriBehaviour, key: str | None) -> _Reply | None:
    """Return what a behaviour says in place of any answer; None: the answer."""
    if behaviour.kind == "html":
        return _Reply(_FIREWALL_PAGE, behaviour.status or 200, _HTML)
    if behaviour.kind == "http_error":
        status = behaviour.status or 503
        retry = (("Retry-After", behaviour.retry_after),) if behaviour.retry_after else ()
        return _Reply(b"<html><body><h1>Error %d</h1></body></html>" % status, status, _HTML, retry)
    if behaviour.kind == "soap_fault":
        return _fault(behaviour.code, "Unmarshalling Error" if behaviour.code == "Client" else "Internal Error")
    if behaviour.kind == "garbage":
        return _Reply(b"\x00\xff\xfe<not xml")
    if behaviour.kind == "empty":
        return _Reply(_envelope(key or "", []))
    if behaviour.kind == "other_key":
        other = _other_key(key or "")
        play = Play()
        return _Reply(_decided(other, play, invent_document(other).decode(), datetime(2026, 1, 2, 15, tzinfo=UTC)))
    return None


def _other_key(key: str) -> str:
    """Return a key of the same issuer and day, or of anybody, that is not this one."""
    if not is_key(key):
        return make_key(datetime(2026, 1, 2, tzinfo=UTC).date(), "01", "1799999990001", 1)
    day = datetime.strptime(key[:8], "%d%m%Y").replace(tzinfo=UTC).date()
    sequence = (int(key[30:39]) + 1) % 10**9
    return make_key(day, key[8:10], key[10:23], sequence, environment=key[23], series=key[24:30], number=key[39:47])


def _soap(inside: str) -> bytes:
    return (
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
        f"{inside}</soap:Body></soap:Envelope>"
    ).encode()


def _fault(code: str, text: str) -> _Reply:
    inside = f"<soap:Fault><faultcode>soap:{code}</faultcode><faultstring>{text}</faultstring></soap:Fault>"
    return _Reply(_soap(inside), 500)


def _envelope(key: str, nodes: list[str], *, oddities: tuple[str, ...] = ()) -> bytes:
    asked = "" if "no_key" in oddities else f"<claveAccesoConsultada>{escape(key)}</claveAccesoConsultada>"
    listed = f"<autorizaciones>{''.join(nodes)}</autorizaciones>" if nodes else "<autorizaciones/>"
    return _soap(
        f'<ns2:autorizacionComprobanteResponse xmlns:ns2="{_NAMESPACE}"><RespuestaAutorizacionComprobante>{asked}'
        f"<numeroComprobantes>{len(nodes)}</numeroComprobantes>{listed}"
        "</RespuestaAutorizacionComprobante></ns2:autorizacionComprobanteResponse>"
    )


def _returned(key: str, codes: Iterable[str]) -> bytes:
    """What the reception service says of a document that it does not take."""
    return _soap(
        '<ns2:validarComprobanteResponse xmlns:ns2="http://ec.gob.sri.ws.recepcion"><RespuestaRecepcionComprobante>'
        f"<estado>DEVUELTA</estado><comprobantes><comprobante><claveAcceso>{key}</claveAcceso>{_messages(codes)}"
        "</comprobante></comprobantes></RespuestaRecepcionComprobante></ns2:validarComprobanteResponse>"
    )


def _messages(codes: Iterable[str]) -> str:
    """Write messages; each has its text in an element of its own name."""
    inside = "".join(
        f"<mensaje><identificador>{escape(code)}</identificador><mensaje>{_TEXTS.get(code, 'MENSAJE ' + escape(code))}"
        f"</mensaje><informacionAdicional>Respuesta inventada</informacionAdicional>"
        f"<tipo>{_NOTICES.get(code, 'ERROR')}</tipo></mensaje>"
        for code in codes
    )
    return f"<mensajes>{inside}</mensajes>" if inside else "<mensajes/>"


def _node(
    state: str,
    *,
    number: str | None = None,
    date: str | None = None,
    environment: str | None = None,
    document: str | None = None,
    messages: str = "<mensajes/>",
    oddities: tuple[str, ...] = (),
) -> str:
    parts = {
        "estado": state.lower() if "lower_case" in oddities else state,
        "numeroAutorizacion": number,
        "fechaAutorizacion": date,
        "ambiente": environment,
        "comprobante": document,
    }
    inside = "".join(f"<{name}>{text}</{name}>" for name, text in parts.items() if text is not None) + messages
    if "qualified" in oddities:
        return f'<q:autorizacion xmlns:q="{_NAMESPACE}">{inside}</q:autorizacion>'
    return f"<autorizacion>{inside}</autorizacion>"


def _waiting(key: str, play: Play) -> bytes:
    if play.waiting == "empty":
        return _envelope(key, [])
    if play.waiting == "code_70":
        return _returned(key, ["70"])
    state = "EN PROCESO" if int(key[-1]) % 2 else "EN PROCESAMIENTO"
    return _envelope(key, [_node(state, oddities=play.oddities)], oddities=play.oddities)


def _decided(key: str, play: Play, document: str, at: datetime) -> bytes:
    """Write the last word on a document, with what is odd about it."""
    oddities = play.oddities
    environment = _environment(key, oddities)
    inside = _document_inside(key, document, oddities)
    codes = play.codes or ("39",)

    def refused(state: str, moment: datetime) -> str:
        return _node(
            state,
            date=_date(moment, oddities),
            environment=environment,
            document=inside,
            messages=_messages(codes),
            oddities=oddities,
        )

    if play.outcome != "authorized":
        state = "RECHAZADO" if play.outcome == "rejected" else "NO AUTORIZADO"
        nodes = [refused(state, at - timedelta(hours=1))] if "several" in oddities else []
        return _envelope(key, [*nodes, refused(state, at)], oddities=oddities)
    notices = [*(["60"] if key[23] == "1" and "notice" in oddities else []), *(["62"] if "notice" in oddities else [])]
    good = _node(
        "AUTORIZADO",
        number=None if "no_number" in oddities else key,
        date=_date(at, oddities),
        environment=environment,
        document=inside,
        messages=_messages(notices),
        oddities=oddities,
    )
    before = [refused("NO AUTORIZADO", at - timedelta(minutes=number)) for number in (9, 4)]
    nodes = [
        *(before if "several" in oddities else []),
        good,
        *([refused("NO AUTORIZADO", at - timedelta(minutes=2))] if "several_after" in oddities else []),
    ]
    return _envelope(key, nodes, oddities=oddities)


def _environment(key: str, oddities: tuple[str, ...]) -> str:
    test = (key[23] == "1") != ("other_environment" in oddities)
    if "bare_environment" in oddities:
        return "1" if test else "2"
    return "PRUEBAS" if test else "PRODUCCIÓN"


def _date(moment: datetime, oddities: tuple[str, ...]) -> str | None:
    local = moment.astimezone(_ECUADOR)
    if "no_date" in oddities:
        return None
    if "bad_date" in oddities:
        return "31/02/2026 10:30:00"
    if "day_first_date" in oddities:
        return f"{local:%d/%m/%Y %H:%M:%S}"
    if "local_date" in oddities:
        return f"{local:%Y-%m-%d %H:%M:%S}"
    return local.isoformat(timespec="milliseconds" if local.second % 2 else "seconds")


_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>\s*")


def _document_inside(key: str, document: str, oddities: tuple[str, ...]) -> str | None:
    if "no_document" in oddities:
        return None
    if "other_document" in oddities:
        document = invent_document(_other_key(key)).decode()
    if "tree" in oddities:
        return _DECLARATION.sub("", document)
    if "byte_order_mark" in oddities:
        document = f"\ufeff{document}"
    if "escaped" in oddities or "]]>" in document:
        return escape(document)
    return f"<![CDATA[{document}]]>"
