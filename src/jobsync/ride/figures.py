"""
How the XML's numbers are written on the page; no value is changed (docs/decisions/0013-printed-numbers.md).

Authorized documents do not keep to the Ficha Técnica (v2.34 §9.17: money as 123456.98): docs/facts/ride.md.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

from jobsync.fiscal.element import Amount, exact

_NUMBER = re.compile(r"([+-]?)([0-9]*)(\.?)([0-9]*)")
_CENT = Decimal("0.01")


def money(amount: Amount | None) -> str | None:
    """
    Return an amount with two decimals, or with all that its value needs; a text that is no number as it stands.

    >>> [money(Amount(text)) for text in ("000000011.50", "6.5000", "0", "150.075", "12,5")]
    ['11.50', '6.50', '0.00', '150.075', '12,5']
    """
    if amount is None:
        return None
    found = _NUMBER.fullmatch(amount.text)
    if found is None or not (found[2] or found[4]):
        return amount.text
    whole, fraction = found[2].lstrip("0"), found[4].rstrip("0")
    sign = "-" if found[1] == "-" and (whole or fraction) else ""
    return f"{sign}{whole or '0'}.{fraction:0<2}"


def digits(amount: Amount | None) -> str | None:
    """
    Return a quantity, unit price or rate with the XML's decimals; only leading zeros go.

    >>> [digits(Amount(text)) for text in ("000001.00", "3.333000", "0.20", "12,5")]
    ['1.00', '3.333000', '0.20', '12,5']
    """
    if amount is None:
        return None
    found = _NUMBER.fullmatch(amount.text)
    if found is None or not found[2]:
        return amount.text
    return f"{found[1]}{found[2].lstrip('0') or '0'}{found[3]}{found[4]}"


def percent(rate: str) -> str:
    """
    Return a rate without trailing zeros.

    >>> percent("15.00"), percent("12"), percent("1.75")
    ('15%', '12%', '1.75%')
    """
    value = Amount(rate).value
    if value is None:
        return f"{rate}%"
    text = f"{value:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"


def has_value(amount: Amount | None) -> bool:
    """Whether a number is there and is not zero; one that cannot be read counts as a value."""
    return amount is not None and amount.text.strip("+-0.,") != ""


def cents(*amounts: Decimal) -> Amount:
    """Return what was worked out, a sum of exact parts, rounded to cents."""
    with exact():
        return Amount(f"{sum(amounts, Decimal()).quantize(_CENT, ROUND_HALF_UP):f}")
