"""Items that a feed should not hold and sometimes does, as raw JSON text (no encoder would write some of them)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from jobsync.sandbox.fields import Vehicle

HUGE_BYTES = 5_000_000

# what each name puts into the feed; all stock numbers are odd_stock_number(name)
ODDITIES: Mapping[str, str] = {
    "duplicate_identical": "one item twice, the same text",
    "duplicate_conflicting": "one stock number twice, with different prices",
    "numbers_as_strings": "price, odometer and year as lossless numbers in strings",
    "nan_price": "Price is the bare word NaN, which is not JSON",
    "nul_character": "a NUL character in the description",
    "lone_surrogate": "half of a surrogate pair in the description",
    "huge_description": "a description of 5 MB",
    "missing_fields": "only stock number, make, model and year",
    "unknown_fields": "two keys more than documented",
    "no_stock_number": "the stock number is empty",
    "not_an_object": "a string where an item should stand",
    "wrong_yard": "a yard that this dealer does not have, sent whatever yard is asked for",
    "negative_price": "a price below zero",
    "lossy_number": "an odometer with a fraction, a price and doors that are no numbers",
}
WRONG_YARD = "ELSEWHERE"

_NAN, _LONE_SURROGATE = "@nan@", "@lone-surrogate@"


def odd_stock_number(name: str) -> str:
    """
    Return the stock number that an oddity's item carries (`no_stock_number` and `not_an_object` carry none).

    >>> odd_stock_number("nan_price")
    'ODD04'
    """
    return f"ODD{list(ODDITIES).index(name) + 1:02}"


def odd_items(name: str, template: Vehicle) -> list[bytes]:
    """
    Render an oddity's items.

    Args:
        name: one of ODDITIES.
        template: a sound vehicle, from which all that is not odd is taken.
    """
    vehicle = {**template, "StockNumber": odd_stock_number(name), "VIN": "", "RegoNum": "", "Price": 21990}
    if name == "duplicate_identical":
        return [_render(vehicle)] * 2
    if name == "duplicate_conflicting":
        return [_render(vehicle), _render({**vehicle, "Price": 18990})]
    if name == "not_an_object":
        return [b'"see the office"']
    if name == "missing_fields":
        return [_render({key: vehicle[key] for key in ("StockNumber", "Make", "Model", "YearGroup")})]
    return [_render({**vehicle, **_oddness(name)})]


def _oddness(name: str) -> Vehicle:
    oddness: dict[str, Vehicle] = {
        "numbers_as_strings": {"Price": "23990.00", "Odometer": "45210", "YearGroup": "2019"},
        "nan_price": {"Price": _NAN},
        "nul_character": {"AdvDescription": "Low kilometres\x00one owner"},
        "lone_surrogate": {"AdvDescription": f"A happy car {_LONE_SURROGATE}"},
        "huge_description": {"AdvDescription": "Tidy. " * (HUGE_BYTES // 6)},
        "unknown_fields": {"BatteryHealth": 97, "Paperwork": {"LogBooks": True, "Keys": [1, 2]}},
        "no_stock_number": {"StockNumber": ""},
        "wrong_yard": {"YardCode": WRONG_YARD, "YardName": "Somewhere else"},
        "negative_price": {"Price": -1},
        "lossy_number": {"Odometer": 45210.5, "Price": "from 24 thousand", "DoorNum": "four"},
    }
    return oddness[name]


def _render(vehicle: Vehicle) -> bytes:
    text = msgspec.json.encode(vehicle)
    return text.replace(f'"{_NAN}"'.encode(), b"NaN").replace(_LONE_SURROGATE.encode(), rb"\ud83d")
