"""
A stand-in for the SRI's authorization service, from its paper (Ficha Técnica v2.34), WSDL and public answers.

Guessed are the answer for a key that is none (message 80), HTTP status 500 for faults, and an empty answer for a key
whose check digit is wrong.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from random import Random
from typing import Any, NamedTuple
from wsgiref.types import WSGIEnvironment

from lxml import etree
from markupsafe import Markup

from jobsync.sandbox.documents import invent_document, is_key, make_key, templates
from jobsync.sandbox.sri_scenario import Play, SriBehaviour, SriScenario
from jobsync.sandbox.stand_in import Reply, StandIn, plain, read_body

OPERATION = "AutorizacionComprobantesOffline"
ASKS_KEPT = 1_000_000
_NAMESPACE = "http://ec.gob.sri.ws.autorizacion"
_XML = "text/xml; charset=UTF-8"
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
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>\s*")


class SriSandbox(StandIn):
    """`POST …/AutorizacionComprobantesOffline` and `…/__control`, below any prefix; documents ripen by `now`."""

    FIREWALL_PAGE = b"<html><head><title>Request Rejected</title></head><body>The request was blocked.</body></html>"
    CONTROL = f'{{"outage": null}} or one of {", ".join(SriBehaviour.KINDS)}'

    def __init__(self, scenario: SriScenario, **clocks: Callable[..., Any]) -> None:
        super().__init__(latency_ms=scenario.latency_ms, **clocks)
        self.scenario = scenario
        self.asks = deque[str](maxlen=ASKS_KEPT)  # the keys asked for, oldest first
        self._started = self.now()
        self._outage: SriBehaviour | None = None
        self._first_asked: dict[str, float] = {}

    def change(self, asked: Any) -> None:
        self._outage = None if asked["outage"] is None else SriBehaviour(asked["outage"])

    def state(self) -> Mapping[str, object]:
        outage = self._outage_now()
        return {"asks": len(self.asks), "keys": len(self._first_asked), "outage": outage.kind if outage else None}

    def answer(self, operation: str, environ: WSGIEnvironment) -> tuple[Reply, SriBehaviour]:
        usual = SriBehaviour()
        if operation != OPERATION or environ["REQUEST_METHOD"] == "GET":
            return plain(404, "no such operation"), usual
        if environ["REQUEST_METHOD"] != "POST":
            return plain(405, "POST only"), usual
        if not environ.get("CONTENT_TYPE", "").lower().startswith("text/xml"):
            return plain(415, "SOAP 1.1 is text/xml"), usual
        key = _read_question(read_body(environ))
        self.asks.append(key or "")
        number, play = self.scenario.play_for(key or "")
        behaviour = self._outage_now() or self.turn((number, key), play.behaviour)
        if (instead := self.misbehave(behaviour) or _said_instead(behaviour, key or "")) is not None:
            return instead, behaviour
        return _reply(500, fault="Client") if key is None else self._say(key, play), behaviour

    def _outage_now(self) -> SriBehaviour | None:
        since = self.now() - self._started
        outages = (outage.behaviour for outage in self.scenario.outages if outage.from_s <= since < outage.to_s)
        return next(outages, self._outage)

    def _say(self, key: str, play: Play) -> Reply:
        if len(key) != 49 or not key.isdigit():
            return _reply(key=key, nodes=[_Node("RECHAZADA", codes=("80",))])
        folder = self.scenario.documents
        file = folder / f"{key}.xml" if folder is not None else None
        there = file is not None and file.is_file()
        if not is_key(key) or (self.scenario.unknown == "empty" and not there):
            return _reply(key=key)
        now = self.now()
        asked = self._first_asked.setdefault(key, now)
        rng = Random(f"delays {key}")
        received, in_process_s = asked + _draw(rng, play.received_s), _draw(rng, play.in_process_s)
        decided = received + in_process_s
        if now < received:
            return _reply(key=key)
        if now < decided or play.outcome == "in_process":
            return _waiting(key, play)
        if play.outcome == "empty":
            return _reply(key=key)
        if play.outcome == "returned":
            return _reply(key=key, returned=play.codes or ("35",))
        raw = file.read_bytes() if file is not None and there else invent_document(key)
        return _decided(key, play, raw.decode("utf-8-sig", "replace"), datetime.fromtimestamp(decided, UTC))


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
    return operation.findtext("claveAccesoComprobante", default="")  # in no namespace, as the WSDL says


def _draw(rng: Random, span: float | list[float]) -> float:
    return rng.uniform(*span) if isinstance(span, list) else rng.uniform(span, span)


class _Node(NamedTuple):
    state: str
    number: str | None = None
    date: str | None = None
    environment: str | None = None
    document: str | None = None
    codes: Iterable[str] = ()


def _reply(status: int = 200, **values: object) -> Reply:
    given = {"fault": None, "returned": (), "nodes": (), "oddities": (), **values}
    body = templates().get_template("answer.xml").render(texts=_TEXTS, namespace=_NAMESPACE, **given)
    return Reply(body.strip().encode(), _XML, status)


def _said_instead(behaviour: SriBehaviour, key: str) -> Reply | None:
    if behaviour.kind == "soap_fault":
        return _reply(500, fault=behaviour.code)
    if behaviour.kind == "garbage":
        return Reply(b"\x00\xff\xfe<not xml", _XML)
    if behaviour.kind == "empty":
        return _reply(key=key)
    if behaviour.kind == "other_key":
        other = _other_key(key)
        return _decided(other, Play(), invent_document(other).decode(), datetime(2026, 1, 2, 15, tzinfo=UTC))
    return None


def _other_key(key: str) -> str:
    if not is_key(key):
        return make_key(date(2026, 1, 2), "01", "1799999990001", 1)
    day = date(int(key[4:8]), int(key[2:4]), int(key[:2]))
    sequence = (int(key[30:39]) + 1) % 10**9
    return make_key(day, key[8:10], key[10:23], sequence, environment=key[23], series=key[24:30], number=key[39:47])


def _waiting(key: str, play: Play) -> Reply:
    if play.waiting != "in_process":
        return _reply(key=key, returned=("70",) if play.waiting == "code_70" else ())
    state = "EN PROCESO" if int(key[-1]) % 2 else "EN PROCESAMIENTO"
    return _reply(key=key, nodes=[_Node(state)], oddities=play.oddities)


def _decided(key: str, play: Play, document: str, at: datetime) -> Reply:
    oddities, codes, authorized = play.oddities, play.codes or ("39",), play.outcome == "authorized"
    test = (key[23] == "1") != ("other_environment" in oddities)
    environment = "PRUEBAS" if test else "PRODUCCIÓN"
    if "bare_environment" in oddities:
        environment = "1" if test else "2"
    inside = _document_inside(key, document, oddities)

    def node(state: str, codes: Iterable[str], minutes_before: int = 0, number: str | None = None) -> _Node:
        date = _date(at - timedelta(minutes=minutes_before), oddities)
        return _Node(state, number, date, environment, inside, codes)

    if authorized:
        notices = ("60", "62") if key[23] == "1" else ("62",)
        number = None if "no_number" in oddities else key
        last = node("AUTORIZADO", notices if "notice" in oddities else (), number=number)
    else:
        last = node("RECHAZADO" if play.outcome == "rejected" else "NO AUTORIZADO", codes)
    refused = "NO AUTORIZADO" if authorized else last.state
    before = ((9, 4) if authorized else (60,)) if "several" in oddities else ()  # minutes
    nodes = [*(node(refused, codes, minutes) for minutes in before), last]
    if authorized and "several_after" in oddities:
        nodes.append(node(refused, codes, 2))
    return _reply(key=key, nodes=nodes, oddities=oddities)


_DATES = {
    "bad_date": "31/02/2026 10:30:00",
    "day_first_date": "%d/%m/%Y %H:%M:%S",
    "local_date": "%Y-%m-%d %H:%M:%S",
}


def _date(moment: datetime, oddities: Iterable[str]) -> str | None:
    local = moment.astimezone(_ECUADOR)
    usual = local.isoformat(timespec="milliseconds" if local.second % 2 else "seconds")
    odd = next((form for oddity, form in _DATES.items() if oddity in oddities), None)
    return None if "no_date" in oddities else local.strftime(odd) if odd else usual


def _document_inside(key: str, document: str, oddities: Iterable[str]) -> str | None:
    """Return what stands in `comprobante`; what is no Markup is escaped there."""
    if "no_document" in oddities:
        return None
    if "other_document" in oddities:
        document = invent_document(_other_key(key)).decode()
    if "tree" in oddities:
        return Markup(_DECLARATION.sub("", document))  # noqa: S704 - a document is XML
    if "byte_order_mark" in oddities:
        document = f"\ufeff{document}"
    if "escaped" in oddities or "]]>" in document:
        return document
    return Markup(f"<![CDATA[{document}]]>")  # noqa: S704 - it ends where it should
