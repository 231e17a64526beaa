"""When two texts mean the same vehicle or the same yard: keys to compare, while what is shown stays as it was sent."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from jobsync.db.stock_key import ZERO_WIDTH

_NO_WIDTH = dict.fromkeys(map(ord, ZERO_WIDTH))
_FOLDED = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_SIGNS_LEAST = 8


def stock_key(number: str) -> str:
    """
    Return a stock number as it is compared: NFC, no signs without width, single blanks, A-Z without case.

    The column vehicles.stock_key holds the same, computed by the database.

    >>> stock_key(" AB  12\\u200b") == stock_key("ab 12")
    True
    """
    if number.isascii():
        return " ".join(number.split()).lower()
    bare = unicodedata.normalize("NFC", number.translate(_NO_WIDTH))
    # folding may let two signs become one again: H with a line below has no single sign, h has
    return unicodedata.normalize("NFC", " ".join(bare.split()).translate(_FOLDED))


def yard_key(code: str) -> str:
    """
    Return a yard code as it is compared: like a stock number, without leading zeros.

    >>> yard_key("007"), yard_key("00"), yard_key(" MEL")
    ('7', '0', 'mel')
    """
    key = stock_key(code)
    return key.lstrip("0") or key[-1:]


def vin_of(text: str) -> str | None:
    """Return a VIN as it is kept, upper case without blanks; None if nothing is left."""
    return "".join(text.split()).upper() or None


def telling_vin(vin: str | None) -> str | None:
    """
    Return a VIN that can tell one vehicle from another: 8 or more letters and digits, not all alike; else None.

    >>> telling_vin("6T1BF3FK00X000001"), telling_vin("TBA"), telling_vin("00000000000000000")
    ('6T1BF3FK00X000001', None, None)
    """
    if not vin or len(vin) < _SIGNS_LEAST:
        return None
    signs = vin if vin.isalnum() else re.sub(r"[\W_]", "", vin)
    return vin if len(signs) >= _SIGNS_LEAST and signs.count(signs[0]) < len(signs) else None


def kind_of(values: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """
    Return make, model and year in capitals, as far as they are told; a year of 0 is the vendor's "unknown".

    >>> sorted(kind_of({"make": " Ford", "model": None, "year": 2019}))
    [('make', 'FORD'), ('year', '2019')]
    """
    found = {name: str(values.get(name) or "").strip().upper() for name in ("make", "model", "year")}
    return frozenset((name, text) for name, text in found.items() if text and text != "0")
