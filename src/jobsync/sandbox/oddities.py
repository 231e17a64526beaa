"""Items that a feed should not hold and sometimes does, as raw JSON text (no encoder would write some of them)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from jobsync.sandbox.fields import Vehicle

HUGE_BYTES = 5_000_000
WRONG_YARD = "ELSEWHERE"
_NAN, _LONE_SURROGATE = "@nan@", "@lone-surrogate@"

# what each name changes in a sound vehicle, for each item that it puts into the feed
ODDITIES: Mapping[str, tuple[Vehicle, ...]] = {
    "duplicate_identical": ({}, {}),
    "duplicate_conflicting": ({}, {"Price": 18990}),
    "numbers_as_strings": ({"Price": "23990.00", "Odometer": "45210", "YearGroup": "2019"},),
    "nan_price": ({"Price": _NAN},),  # the bare word NaN, which is not JSON
    "nul_character": ({"AdvDescription": "Low kilometres\x00one owner"},),
    "lone_surrogate": ({"AdvDescription": f"A happy car {_LONE_SURROGATE}"},),  # half of a pair
    "huge_description": ({"AdvDescription": "Tidy. " * (HUGE_BYTES // 6)},),
    "missing_fields": ({},),  # only stock number, make, model and year
    "unknown_fields": ({"BatteryHealth": 97, "Paperwork": {"LogBooks": True, "Keys": [1, 2]}},),
    "no_stock_number": ({"StockNumber": ""},),
    "not_an_object": ({},),  # a string where an item should stand
    "wrong_yard": ({"YardCode": WRONG_YARD, "YardName": "Somewhere else"},),  # sent whatever yard is asked for
    "negative_price": ({"Price": -1},),
    "lossy_number": ({"Odometer": 45210.5, "Price": "from 24 thousand", "DoorNum": "four"},),
}


def odd_stock_number(name: str) -> str:
    """Return the stock number that an oddity's item carries: `ODD04` (two oddities carry none)."""
    return f"ODD{list(ODDITIES).index(name) + 1:02}"


def odd_items(name: str, template: Vehicle) -> list[bytes]:
    """Render an oddity's items; what is not odd in them is that of `template`."""
    if name == "not_an_object":
        return [b'"see the office"']
    vehicle = {**template, "StockNumber": odd_stock_number(name), "VIN": "", "RegoNum": "", "Price": 21990}
    if name == "missing_fields":
        vehicle = {key: vehicle[key] for key in ("StockNumber", "Make", "Model", "YearGroup")}
    texts = [msgspec.json.encode({**vehicle, **changes}) for changes in ODDITIES[name]]
    return [text.replace(f'"{_NAN}"'.encode(), b"NaN").replace(_LONE_SURROGATE.encode(), rb"\ud83d") for text in texts]
