"""
Which lines the totals have, in which order and under which names.

The amounts are those of the XML; only what a subsidy saves stands in no element and is worked out
(docs/decisions/0013-printed-numbers.md). Source of the order and the names: Ficha Técnica v2.34, annexes 2, 7 and 20.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from jobsync.fiscal import codes
from jobsync.fiscal.document import CreditNote, DebitNote, Invoice, Line, PurchaseSettlement, Tax
from jobsync.fiscal.element import Amount
from jobsync.ride.blocks import TotalLine
from jobsync.ride.figures import cents, exact, has_value, percent

_NAMED_SUBTOTALS = {codes.IVA_NOT_SUBJECT: "SUBTOTAL NO OBJETO DE IVA", codes.IVA_EXEMPT: "SUBTOTAL EXENTO DE IVA"}


def invoice_totals(invoice: Invoice) -> list[TotalLine]:
    """Return the totals of an invoice."""
    rates = Rates(invoice.lines)
    return [
        *_lines(
            rates,
            invoice.taxes,
            untaxed=invoice.untaxed,
            discount=invoice.discount,
            tip=invoice.tip,
            before_total=[
                (item.concept or "OTROS RUBROS DE TERCEROS", item.total) for item in invoice.third_party_items
            ],
        ),
        TotalLine("VALOR TOTAL", invoice.total, grand=True),
        *_subsidy(invoice, rates),
    ]


def purchase_settlement_totals(settlement: PurchaseSettlement) -> list[TotalLine]:
    """Return the totals of a purchase settlement."""
    rates = Rates(settlement.lines)
    lines = _lines(rates, settlement.taxes, untaxed=settlement.untaxed, discount=settlement.discount)
    return [*lines, TotalLine("VALOR TOTAL", settlement.total, grand=True)]


def credit_note_totals(note: CreditNote) -> list[TotalLine]:
    """Return the totals of a credit note, whose own totals never name a rate."""
    lines = _lines(Rates(note.lines), note.taxes, untaxed=note.untaxed)
    return [*lines, TotalLine("VALOR TOTAL", note.total, grand=True)]


def debit_note_totals(note: DebitNote) -> list[TotalLine]:
    """Return the totals of a debit note, which has no lines."""
    lines = _lines(Rates(()), note.taxes, untaxed=note.untaxed)
    return [*lines, TotalLine("VALOR TOTAL", note.total, grand=True)]


class Rates:
    """
    The rate of each tax: its own element, else what the lines say, else the SRI's table.

    Lines that disagree about one code leave it without a rate.
    """

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
        if len(said) == 1:
            return next(iter(said))
        if said or tax.code != codes.IVA:
            return None
        known = codes.IVA_RATES.get(tax.rate_code or "")
        return None if known is None else percent(str(known))


def _lines(
    rates: Rates,
    taxes: Sequence[Tax],
    *,
    untaxed: Amount | None,
    discount: Amount | None = None,
    tip: Amount | None = None,
    before_total: Sequence[tuple[str, Amount | None]] = (),
) -> Iterator[TotalLine]:
    iva = [tax for tax in taxes if tax.code == codes.IVA]
    taxed = [tax for tax in iva if tax.rate_code not in ("0", *_NAMED_SUBTOTALS)]
    lines: list[tuple[str, Amount | None]] = [(_subtotal(tax, rates), tax.base) for tax in taxed]
    lines += [("SUBTOTAL 0%", tax.base) for tax in iva if tax.rate_code == "0"]
    for code, label in _NAMED_SUBTOTALS.items():
        lines += [(label, tax.base) for tax in iva if tax.rate_code == code]
    lines.append(("SUBTOTAL SIN IMPUESTOS", untaxed))
    lines.append(("TOTAL DESCUENTO", discount))
    lines += [("DESCUENTO ADICIONAL", tax.additional_discount) for tax in taxes if has_value(tax.additional_discount)]
    ice = [tax for tax in taxes if tax.code == codes.ICE]
    lines += [("ICE" if len(ice) == 1 else f"ICE {tax.rate_code or ''}".strip(), tax.amount) for tax in ice]
    lines += [(_tax(tax, rates), tax.amount) for tax in taxed]
    lines += [("TOTAL DEVOLUCIÓN IVA", tax.refund) for tax in taxes if has_value(tax.refund)]
    lines += [("IRBPNR", tax.amount) for tax in taxes if tax.code == codes.IRBPNR]
    others = [tax for tax in taxes if tax.code not in (codes.IVA, codes.ICE, codes.IRBPNR)]
    lines += [(" ".join(filter(None, ("IMPUESTO", tax.code, tax.rate_code))), tax.amount) for tax in others]
    lines.append(("PROPINA", tip))
    lines += before_total
    for label, amount in lines:
        if amount is not None:
            yield TotalLine(label, amount)


def _subtotal(tax: Tax, rates: Rates) -> str:
    rate = rates.of(tax)
    if tax.rate_code == codes.IVA_SPECIAL:
        return f"SUBTOTAL TARIFA ESPECIAL {rate or ''}".strip()
    return f"SUBTOTAL {rate}" if rate else f"SUBTOTAL IVA CÓDIGO {tax.rate_code or '?'}"


def _tax(tax: Tax, rates: Rates) -> str:
    rate = rates.of(tax)
    if rate is None and tax.rate_code == codes.IVA_SPECIAL:
        return "IVA TARIFA ESPECIAL"
    return f"IVA {rate}" if rate else f"IVA CÓDIGO {tax.rate_code or '?'}"


def _subsidy(invoice: Invoice, rates: Rates) -> Iterator[TotalLine]:
    """
    Yield what the buyer would pay without subsidy and what they save, IVA in both; nothing if there is no subsidy.

    Where the IVA cannot be told, only the document's own sum remains.
    """
    if invoice.subsidy is None or not has_value(invoice.subsidy):
        return
    saved, total = _saved(invoice, invoice.subsidy, rates), invoice.total.value
    if saved is None or total is None:
        yield TotalLine("TOTAL SUBSIDIO", invoice.subsidy)
        return
    yield TotalLine("VALOR TOTAL SIN SUBSIDIO", cents(total, saved))
    yield TotalLine("AHORRO POR SUBSIDIO (Incluye IVA cuando corresponda)", cents(saved))


def _saved(invoice: Invoice, subsidy: Amount, rates: Rates) -> Decimal | None:
    said = subsidy.value
    factors = {_iva_factor(line, rates) for line in invoice.lines if has_value(line.price_without_subsidy)}
    if said is None or len(factors) != 1:
        return None
    factor = factors.pop()
    with exact():
        return None if factor is None else said * factor


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
