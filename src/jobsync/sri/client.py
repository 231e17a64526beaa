"""
Asks the SRI's authorization service about one document: addresses, question, deadline, what no answer means.

The question is SOAP 1.1, document/literal, written by hand (docs/facts/sri.md, "Web service"). No WSDL is fetched: when
the SRI is down it does not serve that either.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from urllib.parse import urlsplit

from jobsync.fiscal.access_key import AccessKey, Environment
from jobsync.http import HttpClient, NoAnswer
from jobsync.sri.model import ADDRESSES, Answer, Fault, FaultKind
from jobsync.sri.parse import parse_answer

PATH = "/comprobantes-electronicos-ws/AutorizacionComprobantesOffline"
HEADERS: Mapping[str, str] = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
DEADLINE_S = 15.0
# A document has at most 320 KB (docs/facts/sri.md); escaped twice and sent several times it stays far below this.
MOST_BYTES = 16 << 20
_KINDS = {kind.value: kind for kind in FaultKind} | {"redirect": FaultKind.HTTP_STATUS}
_REQUEST = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    b' xmlns:ec="http://ec.gob.sri.ws.autorizacion">'
    b"<soapenv:Header/><soapenv:Body><ec:autorizacionComprobante>"
    b"<claveAccesoComprobante>%b</claveAccesoComprobante>"
    b"</ec:autorizacionComprobante></soapenv:Body></soapenv:Envelope>"
)


def build_authorization_request(access_key: str) -> bytes:
    """Return the body that asks for one document; raise ValueError for a key that would change the envelope."""
    if not (access_key.isascii() and access_key.isdigit()):
        raise ValueError("an access key has digits only")
    return _REQUEST % access_key.encode("ascii")


@dataclass(frozen=True)
class Asked:
    """One ask and what came of it."""

    key: AccessKey
    answer: Answer | Fault
    body: bytes  # byte for byte; empty if no answer came
    http_status: int | None  # None if no answer came
    duration_ms: int


@dataclass(frozen=True, repr=False)
class SriClient:
    """Asks one of the SRI's two hosts."""

    http: HttpClient
    base_url: str | None = None  # `scheme://host[:port]`, replaces both

    def host(self, environment: Environment) -> str:
        """Return the name under which the environment's service is paced and its outages are remembered."""
        return urlsplit(self.base_url or ADDRESSES[environment]).netloc.rpartition("@")[2].lower()

    def ask(self, key: AccessKey, *, sending: AbstractContextManager[None] | None = None) -> Asked:
        """Ask once; whatever goes wrong comes back as a Fault. `sending` is around the moment when the call leaves."""
        started = time.monotonic()
        answer: Answer | Fault
        body, status = b"", None
        try:
            got = self.http.post(
                (self.base_url or ADDRESSES[key.environment]).rstrip("/") + PATH,
                deadline_s=DEADLINE_S,
                headers=HEADERS,
                content=build_authorization_request(key.text),
                sending=sending,
            )
        except NoAnswer as fault:
            status = fault.status if fault.kind == "redirect" else None
            answer = Fault(_KINDS.get(fault.kind, FaultKind.BROKEN), f"the SRI: {fault}")
        else:
            body, status = bytes(got.body), got.status
            answer = parse_answer(body, http_status=status, content_type=got.headers.get("content-type"))
        return Asked(key, answer, body, status, round((time.monotonic() - started) * 1000))
