"""
The question to the SRI's authorization service: SOAP 1.1, document/literal, written by hand.

Source: docs/facts/sri.md, "Web service". No WSDL is fetched: when the SRI is down it does not serve that either.
"""

from __future__ import annotations

from collections.abc import Mapping

PATH = "/comprobantes-electronicos-ws/AutorizacionComprobantesOffline"
HEADERS: Mapping[str, str] = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}

_REQUEST = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    b' xmlns:ec="http://ec.gob.sri.ws.autorizacion">'
    b"<soapenv:Header/><soapenv:Body><ec:autorizacionComprobante>"
    b"<claveAccesoComprobante>%b</claveAccesoComprobante>"
    b"</ec:autorizacionComprobante></soapenv:Body></soapenv:Envelope>"
)


def build_authorization_request(access_key: str) -> bytes:
    """
    Return the body that asks for the authorization of one document.

    Args:
        access_key: 49 digits; anything else would change the envelope.

    Raises:
        ValueError: it has something else than digits.
    """
    if not (access_key.isascii() and access_key.isdigit()):
        raise ValueError("an access key has digits only")
    return _REQUEST % access_key.encode("ascii")
