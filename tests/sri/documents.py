"""Invented fiscal documents and what an SRI would answer about them."""

from __future__ import annotations

from jobsync.fiscal.access_key import check_digit

RUC = "1790012345001"
OTHER_RUC = "0990012345001"


def make_key(number: int, *, ruc: str = RUC, environment: int = 1, document_code: str = "01") -> str:
    """Return a correct access key."""
    first = f"01112026{document_code}{ruc}{environment}001001{number:09d}123456781"
    return f"{first}{check_digit(first)}"


def invoice(key: str, *, total: str = "11.50", ruc: str | None = None, customer: str = "CLIENTA INVENTADA") -> bytes:
    """Return a small invoice with this key."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<factura id="comprobante" version="1.1.0"><infoTributaria><ambiente>{key[23]}</ambiente><tipoEmision>1</tipoEmision>
<razonSocial>EMISORA INVENTADA S.A.</razonSocial><ruc>{ruc or key[10:23]}</ruc><claveAcceso>{key}</claveAcceso>
<codDoc>{key[8:10]}</codDoc><estab>{key[24:27]}</estab><ptoEmi>{key[27:30]}</ptoEmi><secuencial>{key[30:39]}</secuencial>
<dirMatriz>Calle Uno</dirMatriz></infoTributaria><infoFactura><fechaEmision>01/11/2026</fechaEmision>
<tipoIdentificacionComprador>05</tipoIdentificacionComprador><razonSocialComprador>{customer}</razonSocialComprador>
<identificacionComprador>1710034065</identificacionComprador><totalSinImpuestos>10.00</totalSinImpuestos>
<totalDescuento>0.00</totalDescuento><importeTotal>{total}</importeTotal></infoFactura><detalles><detalle>
<codigoPrincipal>A1</codigoPrincipal><descripcion>Cosa inventada</descripcion><cantidad>1</cantidad>
<precioUnitario>10.00</precioUnitario><descuento>0.00</descuento><precioTotalSinImpuesto>10.00</precioTotalSinImpuesto>
<impuestos><impuesto><codigo>2</codigo><codigoPorcentaje>4</codigoPorcentaje><tarifa>15</tarifa>
<baseImponible>10.00</baseImponible><valor>1.50</valor></impuesto></impuestos></detalle></detalles></factura>""".encode()


def answer(key: str, *nodes: str, declared: int | None = None) -> bytes:
    """Return a whole answer of the authorization service about a key."""
    number = len(nodes) if declared is None else declared
    return (
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
        '<ns2:autorizacionComprobanteResponse xmlns:ns2="http://ec.gob.sri.ws.autorizacion">'
        f"<RespuestaAutorizacionComprobante><claveAccesoConsultada>{key}</claveAccesoConsultada>"
        f"<numeroComprobantes>{number}</numeroComprobantes><autorizaciones>{''.join(nodes)}</autorizaciones>"
        "</RespuestaAutorizacionComprobante></ns2:autorizacionComprobanteResponse></soap:Body></soap:Envelope>"
    ).encode()


def authorized(key: str, *, document: bytes | None = None, at: str = "2026-11-01T10:00:00-05:00") -> bytes:
    """Return the answer that authorizes a document."""
    inside = (document if document is not None else invoice(key)).decode()
    return answer(
        key,
        f"<autorizacion><estado>AUTORIZADO</estado><numeroAutorizacion>{key}</numeroAutorizacion>"
        f"<fechaAutorizacion>{at}</fechaAutorizacion><ambiente>PRUEBAS</ambiente>"
        f"<comprobante><![CDATA[{inside}]]></comprobante><mensajes/></autorizacion>",
    )


def refused(key: str, *codes: int, at: str = "2026-11-01T10:00:00-05:00") -> bytes:
    """Return the answer that refuses a document, with a message for each code."""
    messages = "".join(
        f"<mensaje><identificador>{code}</identificador><mensaje>MENSAJE {code}</mensaje>"
        f"<informacionAdicional>detalle {code}</informacionAdicional><tipo>ERROR</tipo></mensaje>"
        for code in codes
    )
    return answer(
        key,
        f"<autorizacion><estado>NO AUTORIZADO</estado><fechaAutorizacion>{at}</fechaAutorizacion>"
        f"<ambiente>PRUEBAS</ambiente><mensajes>{messages}</mensajes></autorizacion>",
    )


def in_process(key: str) -> bytes:
    """Return the answer about a document that is being looked at."""
    return answer(key, "<autorizacion><estado>EN PROCESO</estado><mensajes/></autorizacion>")


def empty(key: str) -> bytes:
    """Return the answer about a key that the SRI has nothing to tell about."""
    return answer(key)


SOAP_CLIENT_FAULT = (
    b'<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault>'
    b"<faultcode>soap:Client</faultcode><faultstring>Unmarshalling Error</faultstring></soap:Fault></soap:Body>"
    b"</soap:Envelope>"
)
FIREWALL = b"<html><title>Request Rejected</title></html>"
