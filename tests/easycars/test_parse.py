"""The vendor's JSON and all that has been seen or feared in its place."""

from __future__ import annotations

import json
import time
from collections.abc import Set
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from jobsync.easycars.model import FEED_COLUMNS, Car, Refused
from jobsync.easycars.parse import (
    DOCUMENTED_KEYS,
    INTEGER_MOST,
    RAW_KEPT,
    STOCK_NUMBER_MOST,
    UnreadableAnswer,
    fingerprint,
    parse_envelope,
    parse_item,
    rules_of,
    watched_of,
)
from jobsync.sandbox.fields import FIELDS, blank_vehicle

GOOD = b'{"StockNumber": "G1", "Make": "TOYOTA"}'
GOOD_TOO = '{"StockNumber":"G2","Make":"CITROËN","AdvDescription":"a \\" ] } , b","Nested":[{"x":[1]}]}'.encode()


def item(**keys: Any) -> bytes:
    """A complete item of which nothing but these keys is known."""
    return json.dumps({**blank_vehicle(), "StockNumber": "A1", **keys}).encode()


def raw_item(text: str | bytes) -> bytes:
    """An item with this raw text behind its stock number."""
    return b'{"StockNumber": "A1", ' + (text if isinstance(text, bytes) else text.encode()) + b"}"


def car(raw: bytes) -> Car:
    """Read an item that must be readable."""
    read = parse_item(raw, 1)
    assert isinstance(read, Car), read
    return read


def refused(raw: bytes) -> Refused:
    """Read an item that must be refused."""
    read = parse_item(raw, 1)
    assert isinstance(read, Refused), read
    return read


def body(items: bytes, code: bytes = b"0") -> bytes:
    """An answer around the text of a list."""
    return b'{"StockList": ' + items + b', "Code": ' + code + b', "ErrorMessage": null}'


# --- the documented keys ---------------------------------------------------------------------------------------------


def test_documented_keys_are_the_papers_72() -> None:
    """We know the vendor's 72 keys, no more and no less."""
    assert len(FIELDS) == 72
    assert set(FIELDS) == DOCUMENTED_KEYS


def test_documented_keys_are_the_catalogues(samples: Path) -> None:
    """The keys are those that somebody else read in the vendor's paper."""
    catalogue = json.loads((samples / "easycars" / "samples" / "field-catalogue.json").read_text())

    assert {field["name"] for field in catalogue["fields"]} == DOCUMENTED_KEYS


def test_every_item_fills_every_column() -> None:
    """Whatever an item holds, each feed column has a value."""
    assert set(FEED_COLUMNS) == set(car(GOOD).values)


# --- one value -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "given", "column", "expected"),
    [
        ("Make", "TOYOTA", "make", "TOYOTA"),
        ("Badge", " D5 CROSS COUNTRY ", "badge", "D5 CROSS COUNTRY"),
        ("Make", "", "make", None),
        ("Make", " \t\r\n ", "make", None),
        ("Make", None, "make", None),
        ("Make", 205, "make", "205"),
        ("StockStatus", "Bought by a neighbour", "stock_status", "Bought by a neighbour"),
        ("VIN", " 6t1bf3fk00x000001 ", "vin", "6T1BF3FK00X000001"),
        ("VIN", "", "vin", None),
        ("Price", None, "price", None),
        ("Price", 0, "price", Decimal(0)),
        ("Price", 31990, "price", Decimal(31990)),
        ("Price", 29990.5, "price", Decimal("29990.5")),
        ("Price", "23990.00", "price", Decimal("23990.00")),
        ("Price", " 23990 ", "price", Decimal(23990)),
        ("Price", "", "price", None),
        ("Odometer", None, "odometer", None),
        ("Odometer", 0, "odometer", 0),
        ("Odometer", 45210.0, "odometer", 45210),
        ("Odometer", "45210", "odometer", 45210),
        ("Odometer", "45210.0", "odometer", 45210),
        ("Odometer", INTEGER_MOST, "odometer", INTEGER_MOST),
        ("Price", "24,990", "price", Decimal(24990)),
        ("Price", "1,024,990.50", "price", Decimal("1024990.50")),
        ("Price", "24 990", "price", Decimal(24990)),
        ("Price", "24\u00a0990", "price", Decimal(24990)),
        ("Price", "24\u202f990", "price", Decimal(24990)),
        ("Price", "$24990", "price", Decimal(24990)),
        ("Price", "$ 24,990.00", "price", Decimal("24990.00")),
        ("Price", "AUD 24,990", "price", Decimal(24990)),
        ("Price", "aud24990", "price", Decimal(24990)),
        ("AdvSpecialPrice", "$0", "special_price", Decimal(0)),
        ("Odometer", "45,210", "odometer", 45210),
        ("Odometer", "45,210 km", "odometer", 45210),
        ("Odometer", "45 210 KMS", "odometer", 45210),
        ("Odometer", "45210km", "odometer", 45210),
        ("YearGroup", "2,019", "year", 2019),
        ("YearGroup", "2019", "year", 2019),
        ("YearGroup", None, "year", None),
        ("YearGroup", 0, "year", 0),
        ("DoorNum", None, "doors", None),
        ("IsDriveAway", None, "is_drive_away", None),
        ("IsDriveAway", False, "is_drive_away", False),
        ("IsDriveAway", "True", "is_drive_away", True),
        ("IsDriveAway", 0, "is_drive_away", False),
        ("IsDriveAway", "", "is_drive_away", None),
        ("StandardFeatures", "ABS, Tow Bar,,Aux ", "features", ["ABS", "Tow Bar", "Aux"]),
        ("StandardFeatures", ["b", " a ", ""], "features", ["b", "a"]),
        ("ImageURLs", "", "images", []),
        ("ImageURLs", None, "images", []),
    ],
)
def test_a_value_is_read_without_a_word(key: str, given: object, column: str, expected: object) -> None:
    """What the vendor's paper allows, and what loses nothing, is taken; nothing is invented for what is unknown."""
    read = car(item(**{key: given}))

    assert (expected, ()) == (read.values[column], read.warnings)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://x/2,https://x/1", ["https://x/2", "https://x/1"]),
        (
            "https://x/w_800,h_600,c_fill/a.jpg,https://x/w_8,h_6/b.jpg",
            ["https://x/w_800,h_600,c_fill/a.jpg", "https://x/w_8,h_6/b.jpg"],
        ),
        ("//x/a,1.jpg , /b/c.jpg,HTTP://y/d", ["//x/a,1.jpg", "/b/c.jpg", "HTTP://y/d"]),
        (" ,https://x/1,, https://x/2 , ", ["https://x/1", "https://x/2"]),
        ("a.jpg,b.jpg", ["a.jpg,b.jpg"]),
        (["b,c", " a ", ""], ["b,c", "a"]),
    ],
)
def test_pictures_are_cut_where_a_url_begins(given: object, expected: list[str]) -> None:
    """A comma inside a URL belongs to it; order is kept, blanks and empty pieces are not."""
    read = car(item(ImageURLs=given, ImageCount=len(expected)))

    assert (expected, ()) == (read.values["images"], read.warnings)


def test_many_commas_cost_no_more_than_each() -> None:
    """A text of nothing but commas is read in time that grows with its length."""
    began = time.process_time()
    car(item(ImageURLs="," * 2_000_000, ImageCount=0))

    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("urls", "count", "said", "absent"),
    [
        ("https://x/1", 4, True, False),
        ("https://x/1", 0, True, False),
        ("https://x/1", 1, False, False),
        ("https://x/1", "1", False, False),
        ("https://x/1", None, False, False),
        ("https://x/1", "many", False, False),
        ("", 1, True, True),
        (None, 2, True, True),
        ("", 0, False, False),
    ],
)
def test_a_count_of_pictures_is_compared(urls: str | None, count: object, said: bool, absent: bool) -> None:
    """A count that disagrees is a warning; pictures that are counted and not named are not known, rather than none."""
    read = car(item(ImageURLs=urls, ImageCount=count))

    assert (said, absent) == (len(read.warnings) == 1, "images" in read.absent)
    assert not read.unreadable


@pytest.mark.parametrize(
    ("word", "deposit", "expected"),
    [
        ("In Stock", False, "active"),
        (" sold - Delivered", True, "sold"),
        ("SOLD/Delivered", False, "sold"),
        ("Unsold", False, "active"),
        ("Wholesaled", False, "excluded"),
        ("under\u00a0 OFFER ", False, "deposit"),
        ("Sold Here", True, "active"),
        ("gone", False, "sold"),
    ],
)
def test_the_map_decides_before_the_word(word: str, deposit: bool, expected: str) -> None:
    """What people say a word means holds; else words that begin with sold are sold; else the deposit tells."""
    words = {"wholesaled": "excluded", "under offer": "deposit", "sold here": "active", "gone": "sold"}
    read = parse_item(item(StockStatus=word, IsDepositTaken=deposit), 1, rules=rules_of(words))
    assert isinstance(read, Car)

    assert (expected, expected == "sold") == (read.values["status"], read.says_sold)


def test_another_map_is_another_fingerprint() -> None:
    """Items that come byte for byte again are read again when the map or the locks have changed."""
    maps: list[dict[str, str]] = [{}, {"a": "sold"}, {"a": "active"}, {"b": "sold"}]
    found = {fingerprint(b"{}", locked, rules_of(words).version) for words in maps for locked in ((), ("price",))}

    assert (len(found), {len(digest) for digest in found}) == (8, {16})


@pytest.mark.parametrize(
    ("key", "given", "column"),
    [
        ("Price", -1, "price"),
        ("Price", "-1", "price"),
        ("Price", "from 24 thousand", "price"),
        ("Price", "24,99", "price"),
        ("Price", "2,4990", "price"),
        ("Price", "24,990 500", "price"),
        ("Price", "24,990 000,000", "price"),
        ("Price", "0,500", "price"),
        ("Price", "24.990,00", "price"),
        ("Price", "POA", "price"),
        ("Price", "12k", "price"),
        ("Price", "$", "price"),
        ("Price", "$1e5", "price"),
        ("Price", "US$24990", "price"),
        ("Price", "24990 km", "price"),
        ("Odometer", "$24990", "odometer"),
        ("Odometer", "low kms", "odometer"),
        ("Odometer", "km", "odometer"),
        ("Odometer", "120 m", "odometer"),
        ("Odometer", "12 km 5", "odometer"),
        ("Price", "24_990", "price"),
        ("Price", "٢٤", "price"),
        ("Price", "NaN", "price"),
        ("Price", "sNaN", "price"),
        ("Price", "Infinity", "price"),
        ("Price", True, "price"),
        ("Price", [1], "price"),
        ("Price", {}, "price"),
        ("Odometer", -5, "odometer"),
        ("Odometer", 45210.5, "odometer"),
        ("Odometer", "45210.5", "odometer"),
        ("Odometer", False, "odometer"),
        ("DoorNum", "four", "doors"),
        ("YearGroup", "MY21", "year"),
        ("Make", ["TOYOTA"], "make"),
        ("Make", {"Name": "TOYOTA"}, "make"),
        ("Make", True, "make"),
        ("IsDriveAway", "perhaps", "is_drive_away"),
        ("IsDriveAway", 2, "is_drive_away"),
        ("IsDriveAway", [True], "is_drive_away"),
        ("StandardFeatures", {"a": 1}, "features"),
        ("ImageURLs", [{"url": "x"}], "images"),
        ("VIN", ["6T1BF3FK00X000001"], "vin"),
    ],
)
def test_a_lossy_value_is_unknown_with_a_warning(key: str, given: object, column: str) -> None:
    """What cannot be taken without loss counts as absent, and the warning names the key."""
    read = car(item(**{key: given}))

    assert not read.values[column]
    assert column in read.absent
    assert [key] == list(read.unreadable)
    assert [str(warning).startswith(f"{key}: ") for warning in read.warnings] == [True]


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ('"Price": NaN', "price", None),
        ('"Price": -Infinity', "price", None),
        ('"Price": 1E+4', "price", Decimal(10000)),
        ('"Price": 0.1000000000000000055511151231257827', "price", Decimal("0.1000000000000000055511151231257827")),
        (r'"Make": "A\u0000B"', "make", "A\ufffdB"),
        (r'"Make": "A\ud83dB"', "make", "A\ufffdB"),
        (r'"Make": "A\ude00\ud83dB"', "make", "A\ufffd\ufffdB"),
        (r'"Make": "A\ud83d\ude00B"', "make", "A\U0001f600B"),
        (r'"Make": "A\\u0000B"', "make", r"A\u0000B"),
        (b'"Make": "A\xffB"', "make", "A\ufffdB"),
        (b'"Make": "A\x01B"', "make", "A\x01B"),
        ('"Make": "A\tB"', "make", "A\tB"),
        ('"Make": "first", "Make": "second"', "make", "second"),
        ('"Odometer": 1e3', "odometer", 1000),
    ],
)
def test_an_odd_spelling_is_mended(text: str | bytes, column: str, expected: object) -> None:
    """NUL, half characters and bad bytes become U+FFFD, NaN is unknown, and the rest of the item stands."""
    assert expected == car(raw_item(text)).values[column]


@pytest.mark.parametrize("text", [r'"Make": "A\u0000"', r'"Make": "A\ud83d"', b'"Make": "A\xff"', '"Price": NaN'])
def test_a_mended_item_says_so(text: str | bytes) -> None:
    """A replaced character or a number that is none is reported."""
    assert car(raw_item(text)).warnings != ()


def test_a_whole_emoji_in_escapes_needs_no_warning() -> None:
    """A proper pair of escapes is an ordinary character."""
    assert car(raw_item(r'"Make": "\ud83d\ude00"')).warnings == ()


@pytest.mark.parametrize(
    "text", [r'"Make": "A\u0000"', r'"X\ud83d": "y"', b'"Make": "A\xff\x01"', '"Price": NaN', '"Price": 1e300']
)
def test_the_document_can_be_kept_as_jsonb(text: str | bytes) -> None:
    """The text that goes to the database is plain JSON without NUL, half characters or NaN."""
    document = car(raw_item(text)).document
    document.encode()

    def no_constant(name: str) -> None:
        raise AssertionError(name)

    assert json.loads(document, parse_constant=no_constant)["StockNumber"] == "A1"
    assert "\\u0000" not in document


def test_a_sound_document_is_kept_as_received() -> None:
    """An item that needs no mending is stored byte for byte, unknown keys too."""
    assert GOOD_TOO.decode() == car(GOOD_TOO).document


def test_a_description_of_5_mb_is_kept_whole() -> None:
    """Length alone is no fault."""
    description = "Tidy. " * 833_333 + "End"

    assert description == car(item(AdvDescription=description)).values["description"]


def test_features_are_standard_then_optional() -> None:
    """Both lists are one, in the vendor's order."""
    assert car(item(StandardFeatures="ABS,Bluetooth", OptionalFeatures="Tow Bar")).values["features"] == [
        "ABS",
        "Bluetooth",
        "Tow Bar",
    ]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"StockStatus": "In Stock"}, "active"),
        ({"StockStatus": "Whatever"}, "active"),
        ({"StockStatus": ""}, "active"),
        ({"StockStatus": "On Offer", "IsDepositTaken": True}, "deposit"),
        ({"StockStatus": "Sold"}, "sold"),
        ({"StockStatus": "  sOLD\t"}, "sold"),
        ({"StockStatus": "Sold", "IsDepositTaken": True}, "sold"),
        ({"StockStatus": "Sold - Delivered"}, "sold"),
    ],
)
def test_status_is_sold_else_deposit_else_active(keys: dict[str, Any], expected: str) -> None:
    """Sold wins over a deposit; words are compared trimmed and without case."""
    assert expected == car(item(**keys)).values["status"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"IsUsed": True}, "used"),
        ({"IsUsed": False}, "new"),
        ({"IsUsed": False, "IsDemo": True}, "demo"),
        ({"IsUsed": True, "IsDemo": True}, "demo"),
        ({"IsUsed": None}, None),
        ({"IsUsed": False, "StockType": "C"}, "new"),
    ],
)
def test_condition_comes_from_the_flags(keys: dict[str, Any], expected: str | None) -> None:
    """Demo, used or new is told by the flags and not by the kind of vehicle."""
    assert expected == car(item(**keys)).values["condition"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"Odometer": 10, "IsMiles": True}, "mi"),
        ({"Odometer": 10, "IsMiles": False}, "km"),
        ({"Odometer": 10, "IsMiles": None}, "km"),
        ({"Odometer": None, "IsMiles": None}, None),
    ],
)
def test_odometer_unit(keys: dict[str, Any], expected: str | None) -> None:
    """Kilometres unless miles are said."""
    assert expected == car(item(**keys)).values["odometer_unit"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"YearGroup": 2021, "Make": "TOYOTA", "Model": "CAMRY "}, "2021 TOYOTA CAMRY"),
        ({"YearGroup": None, "Make": "TOYOTA", "Model": ""}, "TOYOTA"),
        ({"YearGroup": 0, "Make": "TOYOTA"}, "TOYOTA"),
        ({"YearGroup": 0}, None),
    ],
)
def test_title(keys: dict[str, Any], expected: str | None) -> None:
    """A vehicle is called by what is known of year, make and model."""
    assert car(item(**keys)).values["title"] == expected


# --- stock numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"1042"', "1042"),
        ('" B-003 "', "B-003"),
        ('"0012"', "0012"),
        ("12", "12"),
        ("12.0", "12"),
        ("-3", "-3"),
        ("18446744073709551617", "18446744073709551617"),
        (r'"A\u0000"', "A\ufffd"),
        ('"' + "x" * STOCK_NUMBER_MOST + '"', "x" * STOCK_NUMBER_MOST),
    ],
)
def test_stock_number_is_text_or_a_whole_number(text: str, expected: str) -> None:
    """A stock number is trimmed text, leading zeros kept; a whole number is read as its digits."""
    assert expected == car(b'{"StockNumber": ' + text.encode() + b"}").stock_number


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'"see the office"', "not_an_object"),
        (b"null", "not_an_object"),
        (b"[]", "not_an_object"),
        (b"7", "not_an_object"),
        (b"NaN", "not_an_object"),
        (b"{}", "no_stock_number"),
        (b'{"StockNumber": null}', "no_stock_number"),
        (b'{"StockNumber": ""}', "no_stock_number"),
        (b'{"StockNumber": " \\t"}', "no_stock_number"),
        (b'{"StockNumber": true}', "no_stock_number"),
        (b'{"StockNumber": 12.5}', "no_stock_number"),
        (b'{"StockNumber": ["A1"]}', "no_stock_number"),
        (b'{"StockNumber": NaN, "StockNumber": {}}', "no_stock_number"),
        (b'{"StockNumber": ' + b"9" * 5000 + b"}", "unreadable"),
        (b'{"StockNumber": 1e999999}', "unreadable"),
        (b'{"StockNumber": "\\u200b", "Price": 1e999999}', "unreadable"),
        (b'{"Price": 01}', "unreadable"),
        (b"", "unreadable"),
    ],
)
def test_refused_without_a_stock_number(raw: bytes, code: str) -> None:
    """What is no object, or has no readable stock number, is refused and names none."""
    item = refused(raw)

    assert (code, None) == (item.code, item.stock_number)


@pytest.mark.parametrize(
    ("raw", "code", "number"),
    [
        (raw_item(f'"Odometer": {INTEGER_MOST + 1}'), "value_too_large", "A1"),
        (raw_item('"YearGroup": "99999999999"'), "value_too_large", "A1"),
        (raw_item('"DoorNum": ' + "9" * 4000), "value_too_large", "A1"),
        (raw_item('"Price": "1e999999"'), "value_too_large", "A1"),
        (raw_item('"Price": "' + "9" * 5000 + '"'), "value_too_large", "A1"),
        (raw_item('"AdvSpecialPrice": "1.' + "0" * 16_384 + '"'), "value_too_large", "A1"),
        (raw_item('"Zzz": 1.' + "1" * 16_384), "unreadable", "A1"),
        (raw_item('"Zzz": [1.' + "1" * 16_384 + r'], "Make": "\u0000"'), "unreadable", "A1"),
        (raw_item('"Price": 1e999999'), "unreadable", "A1"),
        (raw_item('"Zzz": -1e999999'), "unreadable", "A1"),
        (raw_item('"Zzz": 1e-999999'), "unreadable", "A1"),
        (raw_item('"Price": ' + "9" * 5000), "unreadable", "A1"),
        (b'{"StockNumber": 17, "Price": ' + b"9" * 5000 + b"}", "unreadable", "17"),
        (b'{"StockNumber": 17.0, "Price": 1e999999}', "unreadable", "17"),
        (rb'{"StockNumber": "A\u0000\ud800", "Price": 1e999999}', "unreadable", "A\ufffd\ufffd"),
        (b'{"StockNumber": "' + b"x" * 300 + b'"}', "stock_number_too_long", "x" * STOCK_NUMBER_MOST),
    ],
)
def test_refused_with_a_stock_number(raw: bytes, code: str, number: str) -> None:
    """An item that the database cannot hold still names its stock number, so that its row is not taken for missing."""
    item = refused(raw)

    assert (code, number) == (item.code, item.stock_number)


def test_as_many_decimals_as_the_database_holds_are_kept() -> None:
    """The limit is the database's own: up to it nothing is lost, however long the number."""
    read = car(item(Price="1." + "1" * 16_383))

    assert (read.values["price"], read.warnings) == (Decimal("1." + "1" * 16_383), ())


@pytest.mark.parametrize("depth", [1_500, 200_000])
def test_deep_nesting_costs_one_item(depth: int) -> None:
    """An item nested beyond any sense is refused, without a crash."""
    assert refused(raw_item('"X": ' + "[" * depth + "]" * depth)).code == "unreadable"


def test_the_raw_text_of_a_refused_item_is_kept_within_bounds() -> None:
    """What is kept of a refused item can be stored, and is not megabytes."""
    raw = refused(b'"\x00\xff' + b"x" * 100_000 + b'"').raw

    assert len(raw) == RAW_KEPT
    assert "\x00" not in raw


# --- absent and unknown keys -----------------------------------------------------------------------------------------


def test_a_complete_item_has_no_drift() -> None:
    """An item with the 72 keys misses nothing and brings nothing new."""
    read = car(item())

    assert (frozenset(), frozenset(), frozenset()) == (read.missing_keys, read.unknown_keys, read.absent)


@pytest.mark.parametrize(
    ("key", "columns"),
    [
        ("Colour", {"colour"}),
        ("Price", {"price"}),
        ("VIN", {"vin"}),
        ("ImageURLs", {"images"}),
        ("OptionalFeatures", {"features"}),
        ("Make", {"make"}),
        ("StockStatus", {"stock_status", "status"}),
        ("IsDepositTaken", {"status"}),
        ("IsDemo", {"condition"}),
        ("IsMiles", {"odometer_unit"}),
        ("ImageCount", set()),
        ("Fridge", set()),
    ],
)
def test_an_absent_key_leaves_its_columns_untold(key: str, columns: Set[str]) -> None:
    """Columns that cannot be told without a missing key are named as absent, not as unknown."""
    keys = json.loads(item())
    del keys[key]
    read = car(json.dumps(keys).encode())

    assert (frozenset({key}), columns) == (read.missing_keys, read.absent)


def test_sold_needs_no_deposit_key() -> None:
    """An item that says sold is sold, whatever else is missing."""
    read = car(b'{"StockNumber": "A1", "StockStatus": "Sold"}')

    assert "status" not in read.absent


def test_unknown_keys_are_named() -> None:
    """A key beyond the documented ones is drift and is kept in the document."""
    read = car(item(BatteryHealth=97))

    assert frozenset({"BatteryHealth"}) == read.unknown_keys
    assert json.loads(read.document)["BatteryHealth"] == 97


def test_watched_keys_can_be_read_back_from_the_document() -> None:
    """What is watched for changes is found in what is stored."""
    read = car(item(Fridge="3 way", GearCount=8))

    watched = watched_of(read.document)

    assert ("3 way", 8) == (watched["Fridge"], watched["GearCount"])


# --- the envelope ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"0", 0),
        (b"9", 9),
        (b'"0"', 0),
        (b'" 5 "', 5),
        (b'"-1"', -1),
        (b'"--5"', None),
        ('"²"'.encode(), None),
        (b'"' + b"9" * 5000 + b'"', None),
        (b'"zero"', None),
        (b'""', None),
        (b"null", None),
        (b"true", None),
        (b"[0]", None),
        (b"{}", None),
    ],
)
def test_code(text: bytes, expected: int | None) -> None:
    """The code is a number, or a number in a text; anything else is no code, and never a crash."""
    assert expected == parse_envelope(b'{"Code": ' + text + b"}").code


@pytest.mark.parametrize("spoil", [lambda raw: raw, lambda raw: b"\xef\xbb\xbf" + raw], ids=["strict", "tolerant"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"Code": 0}', None),
        (b'{"Code": 0, "StockList": null}', None),
        (b'{"Code": 0, "StockList": {}}', None),
        (b'{"Code": 0, "StockList": "[]"}', None),
        (b'{"Code": 0, "StockList": []}', []),
        (b'{"StockList":[1, "x" ,null\n], "Code": 0 } \r\n', [b"1", b'"x"', b"null"]),
        (b'{"StockList":[1], "Code": 0, "StockList": [2]}', [b"2"]),
        (b'{"StockList":[1], "Code": 0, "StockList": null}', None),
        (b'{"Code": 0, "New": {"a": [1, {}]}, "StockList": [ {"a": "]"} ]}', [b'{"a": "]"}']),
    ],
)
def test_the_list(spoil: Any, text: bytes, expected: list[bytes] | None) -> None:
    """Both readings find the same list: null, absent and other things are no list, `[]` is an empty one."""
    items = parse_envelope(spoil(text)).items

    assert expected == (items and [bytes(item) for item in items])


@pytest.mark.parametrize("spoil", [lambda raw: raw, lambda raw: b"\xef\xbb\xbf" + raw], ids=["strict", "tolerant"])
def test_message_and_token(spoil: Any) -> None:
    """Both readings find the message and the token."""
    read = parse_envelope(spoil('{"Token": "a.b.c", "Code": "1", "ErrorMessage": "Très mauvais"}'.encode()))

    assert (read.code, read.message, read.token) == (1, "Très mauvais", "a.b.c")


@pytest.mark.parametrize(
    "bad",
    [
        b'{"StockNumber": "B", "Price": NaN}',
        rb'{"StockNumber": "B", "Make": "\ud83d"}',
        b'{"StockNumber": "B", "Make": "\xff\xfe"}',
        b'{"StockNumber": "B", "Make": "\x00\x01"}',
        b'{"StockNumber": "B", "Price": 01}',
        b'{"StockNumber": "B", "Price": }',
        b'{"StockNumber": "B" "Price": 1}',
        b"{'StockNumber': 'B'}",
        b"NaN",
        b"undefined",
        b"",
        b'{"StockNumber": "B", "X": ' + b"9" * 5000 + b"}",
        b'{"StockNumber": "B", "X": 1e999999}',
        b'{"StockNumber": "B", "X": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        rb'{"StockNumber": "B", "Make": "\x41 \q ] } , \" "}',
    ],
)
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b" \r\n"], ids=["plain", "bom", "blanks"])
def test_one_bad_item_never_costs_the_feed(bad: bytes, start: bytes) -> None:
    """Whatever one item holds, the others keep the bytes, and so the fingerprint, of a strict reading."""
    strict = parse_envelope(body(b"[" + GOOD + b" , " + GOOD_TOO + b"]")).items or ()
    read = parse_envelope(start + body(b"[" + GOOD + b"," + bad + b", " + GOOD_TOO + b"]")).items or ()

    assert [fingerprint(raw) for raw in strict] == [fingerprint(read[0]), fingerprint(read[-1])]
    assert len(read) == 3


def test_the_bytes_of_a_bad_item_are_kept() -> None:
    """A tolerant reading hands on what was received, so that whoever reads the item can say what was wrong."""
    bad = b'{"StockNumber": "B", "Make": "\xff\xed\xa0\x80"}'

    items = parse_envelope(body(b"[" + bad + b"]")).items

    assert items is not None
    assert [bad] == [bytes(item) for item in items]


def test_a_feed_of_bad_items_is_read_item_by_item() -> None:
    """The bad item in a tolerant reading is the one that is refused, the good ones are cars."""
    items = parse_envelope(body(b"[" + GOOD + b', {"StockNumber": "B", "X": 1e999999}, NaN]')).items or ()

    assert [type(parse_item(raw, 1)).__name__ for raw in items] == ["Car", "Refused", "Refused"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "empty_answer"),
        (b" \r\n\t", "empty_answer"),
        (b"\xef\xbb\xbf", "empty_answer"),
        (b"<!DOCTYPE html><html></html>", "html"),
        (b"\xef\xbb\xbf \n<html>", "html"),
        (b"[]", "unreadable"),
        (b"null", "unreadable"),
        (b'"Code"', "unreadable"),
        (b"Service unavailable", "unreadable"),
        (b"\x00\xff\xfe{\x80 not JSON", "unreadable"),
        (body(b"[" + GOOD + b"]") + b"<!-- 12 ms -->", "unreadable"),
        (body(b"[" + GOOD + b"]") * 2, "unreadable"),
        (b'{"Code": 0, "X": ' + b"[" * 200_000, "unreadable"),
        (b'{"Code": 0, "X": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "unreadable"),
        (b'{"Code": ' + b"9" * 5000 + b"}", "unreadable"),
        (body(b"[" + GOOD + b"]").decode().encode("utf-16"), "unreadable"),
    ],
)
def test_what_is_no_answer(text: bytes, reason: str) -> None:
    """A web page, noise, and an empty body are transport faults that may pass."""
    with pytest.raises(UnreadableAnswer) as raised:
        parse_envelope(text)

    assert (reason, True, True) == (raised.value.reason, raised.value.unreachable, raised.value.transient)


def test_a_cut_off_answer_is_never_a_shorter_list() -> None:
    """Wherever the body is cut, it is unreadable: half a feed must not look like a whole one."""
    whole = body(b"[" + GOOD + b"," + GOOD_TOO + b',{"StockNumber":"B","Price":NaN}]')
    read = []
    for end in range(len(whole)):
        try:
            read.append(parse_envelope(whole[:end]))
        except UnreadableAnswer:
            continue

    assert read == []


def test_every_sample_answer_reads_as_its_own_json(samples: Path) -> None:
    """Code and number of items of each sample are what a plain JSON reader finds."""
    for path in sorted((samples / "easycars").glob("*/*.json")):
        document = json.loads(path.read_text())
        if "StockList" not in document and "Code" not in document:
            continue
        envelope = parse_envelope(path.read_bytes())
        items = document.get("StockList")

        assert (document["Code"], items if items is None else len(items)) == (
            envelope.code,
            envelope.items if envelope.items is None else len(envelope.items),
        ), path.name


def test_the_vendors_own_item_is_read(samples: Path) -> None:
    """The one published item has neither VIN nor price, a deposit, and 96 features."""
    path = samples / "easycars" / "samples" / "vendor-stock-response.json"
    [raw] = parse_envelope(path.read_bytes()).items or ()
    read = car(raw)

    assert (
        read.vin,
        read.values["price"],
        read.values["status"],
        read.values["condition"],
        read.values["stock_status"],
        len(read.values["features"]),
        read.warnings,
    ) == (None, None, "deposit", "new", "On Offer", 96, ())


def test_no_sample_item_is_refused(samples: Path) -> None:
    """Every item of two nights of six dealers, and of every sample, is a car without drift or warning."""
    strange = [
        (path.name, position)
        for path in sorted((samples / "easycars").glob("*/*.json"))
        if path.name.startswith(("D0", "constructed", "vendor-stock"))
        for position, raw in enumerate(parse_envelope(path.read_bytes()).items or (), 1)
        if not isinstance(read := parse_item(raw, position), Car) or read.warnings or read.missing_keys
    ]

    assert strange == []


@pytest.mark.parametrize(
    "text",
    [
        b'{"Code": 0, "StockList": [%b] "StockList": [], }' % GOOD,
        b'{"Code": 0 "StockList": [NaN]}',
        b'{"StockList": [NaN] "Code": 0}',
    ],
)
def test_a_missing_comma_between_keys_is_no_answer(text: bytes) -> None:
    """Where a comma is missing something was lost or put in: a list from such an answer could be anyone's."""
    with pytest.raises(UnreadableAnswer, match="not JSON or was cut off"):
        parse_envelope(text)


def test_a_list_that_a_brace_closes_is_no_answer() -> None:
    """The end of the list is lost, and with it perhaps items: what is left must not look like a whole feed."""
    with pytest.raises(UnreadableAnswer, match="not JSON or was cut off"):
        parse_envelope(b'{"Code": 0, "StockList": [%b, {"Price": NaN}}, "ErrorMessage": null}' % GOOD)


@pytest.mark.parametrize("end", [b"", b'"', b"\\"])
def test_a_cut_off_string_costs_its_length_once(end: bytes) -> None:
    """200 KB cut off inside a string full of quotes take a moment; looked at from each quote they take minutes."""
    answer = b'{"Code": 0, "StockList": [{"StockNumber": "1", "AdvDescription": "' + b'\\"' * 100_000 + end
    began = time.process_time()
    with pytest.raises(UnreadableAnswer, match="cut off"):
        parse_envelope(answer)

    assert time.process_time() - began < 5


@pytest.mark.parametrize("document", ["[1]", '"text"', "null", "7", '{"GPS": 1' + "0" * 5000 + "}", "cut"])
def test_a_stored_document_that_is_no_item_says_nothing(document: str) -> None:
    """Whoever knows SQL may have stored anything: then nothing is known, and nothing breaks."""
    assert set(watched_of(document).values()) == {None}
