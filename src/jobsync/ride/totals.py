"""
Which lines the totals have, in which order and under which names. Source: Ficha Técnica v2.34, annexes 2, 7 and 20.

The amounts are the XML's; only what a subsidy saves is worked out (docs/decisions/0013-printed-numbers.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from jobsync.fiscal import codes
from jobsync.fiscal.document import Line, Sale, Tax
from jobsync.fiscal.element import Amount, exact
from jobsync.ride.blocks import TotalLine
from jobsync.ride.figures import cents, has_value, percent

_NAMED_SUBTOTALS = {codes.IVA_NOT_SUBJECT: "SUBTOTAL NO OBJETO DE IVA", codes.IVA_EXEMPT: "SUBTOTAL EXENTO DE IVA"}


def sale_totals(sale: Sale, total: Amount) -> list[TotalLine]:
    """Return the totals of any document but a withholding and a delivery note."""
    rates = Rates(sale.lines)
    lines = [TotalLine(label, amount) for label, amount in _lines(rates, sale) if amount is not None]
    return [*lines, TotalLine("VALOR TOTAL", total, grand=True), *_subsidy(sale, total, rates)]


class Rates:
    """The rate of each tax: its own, else what the lines say (none if they disagree), else that of the SRI's table."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._of_lines: dict[tuple[str | None, str | None], set[str]] = {}
        for line in lines:
            for tax in line.taxes:
                if tax.rate is not None:
                    self._of_lines.setdefault((tax.code, tax.rate_code), set()).add(percent(tax.rate.text))

    def of(self, tax: Tax) -> str | None:
        """Return the rate as it is printed: `15%`; None if the document does not have it."""
        if tax.rate is not None:
            return percent(tax.rate.text)
        said = self._of_lines.get((tax.code, tax.rate_code), set())
        if not said and tax.code == codes.IVA and tax.rate_code in codes.IVA_RATES:
            return percent(codes.IVA_RATES[tax.rate_code])
        return next(iter(said)) if len(said) == 1 else None


def _lines(rates: Rates, sale: Sale) -> Iterator[tuple[str, Amount | None]]:
    iva = [tax for tax in sale.taxes if tax.code == codes.IVA]
    taxed = [tax for tax in iva if tax.rate_code not in ("0", *_NAMED_SUBTOTALS)]
    for tax in taxed:
        rate = rates.of(tax)
        if tax.rate_code == codes.IVA_SPECIAL:
            yield f"SUBTOTAL TARIFA ESPECIAL {rate or ''}".strip(), tax.base
        else:
            yield f"SUBTOTAL {rate}" if rate else f"SUBTOTAL IVA CÓDIGO {tax.rate_code or '?'}", tax.base
    for code, label in {"0": "SUBTOTAL 0%", **_NAMED_SUBTOTALS}.items():
        yield from ((label, tax.base) for tax in iva if tax.rate_code == code)
    yield "SUBTOTAL SIN IMPUESTOS", sale.untaxed
    yield "TOTAL DESCUENTO", sale.discount
    discounted = [tax.additional_discount for tax in sale.taxes if has_value(tax.additional_discount)]
    yield from (("DESCUENTO ADICIONAL", discount) for discount in discounted)
    ice = [tax for tax in sale.taxes if tax.code == codes.ICE]
    yield from (("ICE" if len(ice) == 1 else f"ICE {tax.rate_code or ''}".strip(), tax.amount) for tax in ice)
    for tax in taxed:
        rate = rates.of(tax) or ("TARIFA ESPECIAL" if tax.rate_code == codes.IVA_SPECIAL else None)
        yield f"IVA {rate}" if rate else f"IVA CÓDIGO {tax.rate_code or '?'}", tax.amount
    yield from (("TOTAL DEVOLUCIÓN IVA", tax.refund) for tax in sale.taxes if has_value(tax.refund))
    yield from (("IRBPNR", tax.amount) for tax in sale.taxes if tax.code == codes.IRBPNR)
    others = [tax for tax in sale.taxes if tax.code not in codes.TAXES]
    yield from ((" ".join(filter(None, ("IMPUESTO", tax.code, tax.rate_code))), tax.amount) for tax in others)
    yield "PROPINA", sale.tip
    yield from ((item.reason or "OTROS RUBROS DE TERCEROS", item.amount) for item in sale.third_party_items)


def _subsidy(sale: Sale, total: Amount, rates: Rates) -> Iterator[TotalLine]:
    """
    Yield what the buyer would pay without subsidy and what they save, IVA in both; nothing if there is no subsidy.

    Where the IVA cannot be told, only the document's own sum remains.
    """
    if sale.subsidy is None or not has_value(sale.subsidy):
        return
    factors = {_iva_factor(line, rates) for line in sale.lines if has_value(line.price_without_subsidy)}
    factor = factors.pop() if len(factors) == 1 else None
    if sale.subsidy.value is None or total.value is None or factor is None:
        yield TotalLine("TOTAL SUBSIDIO", sale.subsidy)
        return
    with exact():
        saved = sale.subsidy.value * factor
    yield TotalLine("VALOR TOTAL SIN SUBSIDIO", cents(total.value, saved))
    yield TotalLine("AHORRO POR SUBSIDIO (Incluye IVA cuando corresponda)", cents(saved))


def _iva_factor(line: Line, rates: Rates) -> Decimal | None:
    """Return what a line's price is multiplied with to have its IVA in it; None if a rate is unknown."""
    factor = Decimal(1)
    for tax in line.taxes:
        if tax.code == codes.IVA:
            rate = rates.of(tax) if tax.rate_code not in _NAMED_SUBTOTALS else "0%"
            value = Amount(rate.rstrip("%")).value if rate else None
            if value is None:
                return None
            factor += value / 100
    return factor
