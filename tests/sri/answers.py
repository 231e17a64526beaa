"""Answers of the service, put together by hand around invented taxpayers."""

from __future__ import annotations

from xml.sax.saxutils import escape

KEY = "0107202601179999999000110010010000001231234567816"
OTHER_KEY = "0107202601179999999000110010010000001241234567811"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'


def document(key: str = KEY, *, name: str = "Panadería El Ñandú Imaginario S.A.", root: str = "factura") -> str:
    """A fiscal document with little in it."""
    return (
        f'<{root} id="comprobante" version="1.1.0"><infoTributaria><ambiente>1</ambiente>'
        f"<razonSocial>{escape(name)}</razonSocial><claveAcceso>{key}</claveAcceso></infoTributaria></{root}>"
    )


def message(code: str, *, text: str = "TEXTO", info: str | None = None, severity: str | None = "ERROR") -> str:
    """One message, with the element of its own name inside."""
    more = "" if info is None else f"<informacionAdicional>{escape(info)}</informacionAdicional>"
    kind = "" if severity is None else f"<tipo>{severity}</tipo>"
    return f"<mensaje><identificador>{code}</identificador><mensaje>{escape(text)}</mensaje>{more}{kind}</mensaje>"


def authorization(
    state: str | None = "AUTORIZADO",
    *,
    number: str | None = KEY,
    date: str | None = "2026-07-01T10:30:00-05:00",
    environment: str | None = "PRUEBAS",
    inner: str | None = None,
    messages: str = "",
) -> str:
    """One authorization; `inner` is what stands between the tags of `comprobante`."""
    parts = [
        ("estado", state),
        ("numeroAutorizacion", number),
        ("fechaAutorizacion", date),
        ("ambiente", environment),
        ("comprobante", f"<![CDATA[{DECLARATION}{document()}]]>" if inner is None else inner),
        ("mensajes", messages),
    ]
    return (
        "<autorizacion>"
        + "".join(f"<{tag}>{text}</{tag}>" for tag, text in parts if text is not None)
        + "</autorizacion>"
    )


def answer(*authorizations: str, key: str | None = KEY, declared: str | None = None) -> str:
    """What stands in the body of an envelope."""
    asked = "" if key is None else f"<claveAccesoConsultada>{key}</claveAccesoConsultada>"
    number = str(len(authorizations)) if declared is None else declared
    return (
        '<ns2:autorizacionComprobanteResponse xmlns:ns2="http://ec.gob.sri.ws.autorizacion">'
        f"<RespuestaAutorizacionComprobante>{asked}<numeroComprobantes>{number}</numeroComprobantes>"
        f"<autorizaciones>{''.join(authorizations)}</autorizaciones></RespuestaAutorizacionComprobante>"
        "</ns2:autorizacionComprobanteResponse>"
    )


def reception(state: str, *documents: str) -> str:
    """What the reception service says."""
    return (
        '<ns2:validarComprobanteResponse xmlns:ns2="http://ec.gob.sri.ws.recepcion"><RespuestaRecepcionComprobante>'
        f"<estado>{state}</estado><comprobantes>{''.join(documents)}</comprobantes>"
        "</RespuestaRecepcionComprobante></ns2:validarComprobanteResponse>"
    )


def returned(key: str, *messages: str) -> str:
    """One document of a reception answer."""
    return f"<comprobante><claveAcceso>{key}</claveAcceso><mensajes>{''.join(messages)}</mensajes></comprobante>"


def soap_fault(code: str, text: str = "Unmarshalling Error") -> str:
    """A fault of SOAP 1.1."""
    return f"<soap:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring></soap:Fault>"


def envelope(inside: str) -> bytes:
    """A whole SOAP answer."""
    return (
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
        f"{inside}</soap:Body></soap:Envelope>"
    ).encode()
