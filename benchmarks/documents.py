"""Invented fiscal documents: access keys, an invoice of any size, and the answer that authorizes it."""

from __future__ import annotations

from jobsync.fiscal.access_key import check_digit

KEY_HERE = "@KEY@"
_LINE = """
<detalle><codigoPrincipal>PROD-{n:05}</codigoPrincipal><codigoAuxiliar>7861234{n:06}</codigoAuxiliar>
<descripcion>Artículo inventado número {n}, caja de doce unidades</descripcion><cantidad>3.000000</cantidad>
<precioUnitario>4.250000</precioUnitario><descuento>0.00</descuento>
<precioTotalSinImpuesto>12.75</precioTotalSinImpuesto><impuestos><impuesto><codigo>2</codigo>
<codigoPorcentaje>4</codigoPorcentaje><tarifa>15.00</tarifa><baseImponible>12.75</baseImponible><valor>1.91</valor>
</impuesto></impuestos></detalle>"""


def ruc(tenant: int) -> str:
    """Return the RUC of the tenant `tenant`, counted from 1: of a company that nobody founded, digit not checked."""
    return f"17{tenant:07}9001"


def access_key(tenant: int, number: int) -> str:
    """Return the access key of a tenant's invoice, counted from 1."""
    first = "01112026" + f"01{ruc(tenant)}1001001{number:09d}123456781"
    return f"{first}{check_digit(first)}"


def answer_template(document_bytes: int) -> bytes:
    """Return the answer that authorizes an invoice of about so many bytes; KEY_HERE stands for its access key."""
    key = KEY_HERE
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
        '<ns2:autorizacionComprobanteResponse xmlns:ns2="http://ec.gob.sri.ws.autorizacion">'
        f"<RespuestaAutorizacionComprobante><claveAccesoConsultada>{key}</claveAccesoConsultada>"
        "<numeroComprobantes>1</numeroComprobantes><autorizaciones>"
        f"<autorizacion><estado>AUTORIZADO</estado><numeroAutorizacion>{key}</numeroAutorizacion>"
        "<fechaAutorizacion>2026-11-01T10:00:00-05:00</fechaAutorizacion><ambiente>PRUEBAS</ambiente>"
        f"<comprobante><![CDATA[{invoice_template(document_bytes)}]]></comprobante><mensajes/></autorizacion>"
        "</autorizaciones></RespuestaAutorizacionComprobante></ns2:autorizacionComprobanteResponse></soap:Body>"
        "</soap:Envelope>"
    ).encode()


def invoice_template(document_bytes: int) -> str:
    """Return an invoice of about so many bytes."""
    head = f"""<?xml version="1.0" encoding="UTF-8"?>
<factura id="comprobante" version="1.1.0"><infoTributaria><ambiente>1</ambiente><tipoEmision>1</tipoEmision>
<razonSocial>EMISORA INVENTADA S.A.</razonSocial><ruc>{ruc(1)}</ruc><claveAcceso>{KEY_HERE}</claveAcceso>
<codDoc>01</codDoc><estab>001</estab><ptoEmi>001</ptoEmi><secuencial>000000001</secuencial>
<dirMatriz>Calle Uno</dirMatriz></infoTributaria><infoFactura><fechaEmision>01/11/2026</fechaEmision>
<tipoIdentificacionComprador>05</tipoIdentificacionComprador>
<razonSocialComprador>CLIENTA INVENTADA</razonSocialComprador>
<identificacionComprador>1710034065</identificacionComprador><totalSinImpuestos>12.75</totalSinImpuestos>
<totalDescuento>0.00</totalDescuento><importeTotal>14.66</importeTotal></infoFactura><detalles>"""
    tail = "\n</detalles></factura>"
    lines, size = [], len((head + tail).encode())
    while size < document_bytes:
        lines.append(_LINE.format(n=len(lines) + 1))
        size += len(lines[-1].encode())
    return head + "".join(lines) + tail
