"""Invented fiscal documents and what an SRI would answer about them."""

from __future__ import annotations

from jobsync.fiscal.access_key import check_digit
from tests.sri import answers

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
    return answers.envelope(answers.answer(*nodes, key=key, declared=None if declared is None else str(declared)))


def authorized(key: str, *, document: bytes | None = None, at: str = "2026-11-01T10:00:00-05:00") -> bytes:
    """Return the answer that authorizes a document."""
    inside = (document if document is not None else invoice(key)).decode()
    return answer(key, answers.authorization(number=key, date=at, inner=f"<![CDATA[{inside}]]>"))


def refused(key: str, *codes: int, at: str = "2026-11-01T10:00:00-05:00") -> bytes:
    """Return the answer that refuses a document, with a message for each code."""
    messages = "".join(answers.message(str(code), text=f"MENSAJE {code}", info=f"detalle {code}") for code in codes)
    return answer(key, answers.authorization("NO AUTORIZADO", number=None, date=at, inner="", messages=messages))


def in_process(key: str) -> bytes:
    """Return the answer about a document that is being looked at."""
    return answer(key, "<autorizacion><estado>EN PROCESO</estado><mensajes/></autorizacion>")


def empty(key: str) -> bytes:
    """Return the answer about a key that the SRI has nothing to tell about."""
    return answer(key)


SOAP_CLIENT_FAULT = answers.envelope(answers.soap_fault("soap:Client"))
FIREWALL = b"<html><title>Request Rejected</title></html>"
