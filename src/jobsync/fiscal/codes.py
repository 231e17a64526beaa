"""
The SRI's codes by the names that the printed form bears; an unknown code is printed as it is.

Source: Ficha Técnica, Comprobantes Electrónicos, esquema offline, v2.34 (July 2026), its code tables. Names of
documents beyond its six are those of the ATS catalogue, shortened, and were not checked against the SRI's own copy.
"""

from __future__ import annotations

# The six, and what a withholding, a note or a reimbursement can name besides.
DOCUMENTS = {
    "01": "FACTURA",
    "02": "NOTA DE VENTA",
    "03": "LIQUIDACIÓN DE COMPRA",
    "04": "NOTA DE CRÉDITO",
    "05": "NOTA DE DÉBITO",
    "06": "GUÍA DE REMISIÓN",
    "07": "COMPROBANTE DE RETENCIÓN",
    "08": "BOLETO O ENTRADA A ESPECTÁCULO PÚBLICO",
    "09": "TIQUETE DE MÁQUINA REGISTRADORA",
    "11": "PASAJE DE EMPRESA DE AVIACIÓN",
    "12": "DOCUMENTO DE INSTITUCIÓN FINANCIERA",
    "15": "COMPROBANTE DE VENTA EMITIDO EN EL EXTERIOR",
    "16": "FORMULARIO ÚNICO DE EXPORTACIÓN",
    "18": "DOCUMENTO AUTORIZADO EN VENTAS",
    "19": "COMPROBANTE DE PAGO DE CUOTAS O APORTES",
    "20": "DOCUMENTO POR SERVICIOS ADMINISTRATIVOS DEL ESTADO",
    "21": "CARTA DE PORTE AÉREO",
    "41": "COMPROBANTE DE REEMBOLSO",
    "42": "DOCUMENTO DE RETENCIÓN PRESUNTIVA",
    "43": "LIQUIDACIÓN DE EXPLOTACIÓN DE HIDROCARBUROS",
    "47": "NOTA DE CRÉDITO POR REEMBOLSO",
    "48": "NOTA DE DÉBITO POR REEMBOLSO",
}

# Since 2018 always 1; 2 stands in older documents.
EMISSIONS = {"1": "NORMAL", "2": "INDISPONIBILIDAD DEL SISTEMA"}

IVA, ICE, IRBPNR = "2", "3", "5"
TAXES = {IVA: "IVA", ICE: "ICE", IRBPNR: "IRBPNR"}

# The rate of each IVA code, in percent. 6, 7 and 8 have none: no objeto, exento, diferenciado.
IVA_RATES = {"0": "0", "2": "12", "3": "14", "4": "15", "5": "5", "10": "13"}
IVA_NOT_SUBJECT, IVA_EXEMPT, IVA_SPECIAL = "6", "7", "8"

# What is withheld, by group. Group 4, in invoices for fuel and press, is for two taxes; the code within it says which.
WITHHELD_TAXES = {"1": "RENTA", "2": "IVA", "4": "IVA PRESUNTIVO Y RENTA", "6": "ISD"}
_IVA_OR_INCOME = "4"
_OF_IVA_OR_INCOME = {**dict.fromkeys((3, 4, 5, 6), "IVA PRESUNTIVO"), **dict.fromkeys((327, 328), "RENTA")}

PAYMENTS = {
    "01": "SIN UTILIZACIÓN DEL SISTEMA FINANCIERO",
    "15": "COMPENSACIÓN DE DEUDAS",
    "16": "TARJETA DE DÉBITO",
    "17": "DINERO ELECTRÓNICO",
    "18": "TARJETA PREPAGO",
    "19": "TARJETA DE CRÉDITO",
    "20": "OTROS CON UTILIZACIÓN DEL SISTEMA FINANCIERO",
    "21": "ENDOSO DE TÍTULOS",
}

SUPPLIER_KINDS = {"01": "PERSONA NATURAL", "02": "SOCIEDAD"}


def withheld_tax(group: str | None, code: str | None) -> str | None:
    """
    Return the name of a withheld tax; the group as it is if it has none. Within the group `code` counts as a number.

    >>> [withheld_tax("4", code) for code in ("3", "327", "999")]
    ['IVA PRESUNTIVO', 'RENTA', 'IVA PRESUNTIVO Y RENTA']
    """
    known = WITHHELD_TAXES.get(group or "", group)
    if group == _IVA_OR_INCOME and code and code.isascii() and code.isdigit():
        return _OF_IVA_OR_INCOME.get(int(code[:9]), known)
    return known


def named(table: dict[str, str], code: str | None) -> str | None:
    """
    Return a code's name with the code before it; the bare code if it has none.

    >>> named(PAYMENTS, "01")
    '01 - SIN UTILIZACIÓN DEL SISTEMA FINANCIERO'
    >>> named(PAYMENTS, "14")
    '14'
    """
    if code is None:
        return None
    name = table.get(code)
    return f"{code} - {name}" if name else code
