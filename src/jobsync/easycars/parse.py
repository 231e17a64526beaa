"""The vendor's JSON -> our nouns: a strict fast reading, and a tolerant one so that a bad item never costs the feed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from jobsync.easycars.model import MAPPING_VERSION, Car, Envelope, RawItem, Refused
from jobsync.runner.items import ItemFailure

# The 72 documented keys of an item (vendor's Stock API paper V1.01, 2025-09-16), by what becomes of them.
_TEXT = {
    "make": "Make",
    "model": "Model",
    "badge": "Badge",
    "series": "Series",
    "body": "Body",
    "colour": "Colour",
    "interior_colour": "InteriorColor",
    "stock_type": "StockType",
    "stock_status": "StockStatus",
    "description": "AdvDescription",
    "short_description": "ShortDescription",
    "registration": "RegoNum",
    "registration_state": "RegoState",
    "fuel_type": "FuelType",
    "transmission": "GearType",
    "drive_train": "DriveTrain",
    "engine_capacity": "EngineCapacity",
    "yard_code": "YardCode",
    "video_link": "VideoLink",
}
_TEXT_COLUMNS = tuple(_TEXT.items())
_WHOLE: Mapping[str, str] = {"year": "YearGroup", "odometer": "Odometer", "doors": "DoorNum", "seats": "SeatCapacity"}
_WHOLE_COLUMNS = tuple(_WHOLE.items())
_MONEY = {"price": "Price", "special_price": "AdvSpecialPrice"}
_FLAG = {"is_drive_away": "IsDriveAway"}
_DERIVED_KEYS = (
    "VIN",
    "IsMiles",
    "IsUsed",
    "IsDemo",
    "IsDepositTaken",
    "StandardFeatures",
    "OptionalFeatures",
    "ImageURLs",
)
_WATCHED = (
    "YardName",
    "RegoExpiry",
    "EngineNumber",
    "SerialNumber",
    "RedbookCode",
    "NVIC",
    "AdditionalDescription",
    "Location",
    "Warranty",
    "BuiltDate",
    "ComplianceDate",
    "IsSpecial",
    "IsPrestiged",
    "SleepingCapacity",
    "GearCount",
    "EngineSize",
    "GCM",
    "GVM",
    "Tare",
    "EnginePower",
    "PowerkW",
    "Powerhp",
    "Length",
    "Cylinder",
    "EngineTypeDescription",
    "EngineMake",
    "AxleConfiguration",
    "Wheels",
    "Wheelsize",
    "TowBallWeight",
    "GPS",
    "Stereo",
    "AirConditioning",
    "Fridge",
    "Toilet",
    "Shower",
)
DOCUMENTED_KEYS = frozenset(
    (
        *_TEXT.values(),
        *_WHOLE.values(),
        *_MONEY.values(),
        *_FLAG.values(),
        *_DERIVED_KEYS,
        *_WATCHED,
        "StockNumber",
        "ImageCount",  # follows from ImageURLs
    )
)
STOCK_NUMBER_MOST = 255  # far above the vendor's 20; a unique index cannot hold much more than 2,700 bytes
INTEGER_MOST = 2**31 - 1
RAW_KEPT = 20_000
_NUMBER_DIGITS_MOST = 400
_DECIMALS_MOST = 16_383  # of the database's numeric, and of a number inside jsonb
_VERSION = bytes([MAPPING_VERSION])
_ODD_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CODE = re.compile("-?[0-9]{1,9}")
_SOLD = "sold"


class UnreadableAnswer(ItemFailure):
    """The body is not the vendor's JSON: a firewall page, a cut-off answer, noise."""

    def __init__(self, text: str, *, reason: str) -> None:
        super().__init__(text, reason=reason, unreachable=True, transient=True)


class _Plain(msgspec.Struct):
    """The answer as the vendor's paper has it: read in one pass."""

    Code: int | str | None = None
    ErrorMessage: str | None = None
    Token: str | None = None
    StockList: list[msgspec.Raw] | None = None


class _Raw(msgspec.Struct):
    """The answer with anything in its places."""

    Code: msgspec.Raw = msgspec.Raw(b"null")
    ErrorMessage: msgspec.Raw = msgspec.Raw(b"null")
    Token: msgspec.Raw = msgspec.Raw(b"null")
    StockList: msgspec.Raw = msgspec.Raw(b"null")


class _TooLarge(ValueError):
    """A value that the database cannot hold."""


def _number(text: str) -> Decimal:
    value = Decimal(text)
    if not -_NUMBER_DIGITS_MOST < value.adjusted() < _NUMBER_DIGITS_MOST or (
        len(text) > _DECIMALS_MOST - _NUMBER_DIGITS_MOST and _decimals(value) > _DECIMALS_MOST
    ):
        raise _TooLarge("a number beyond what the database can hold")
    return value


def _decimals(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


_PLAIN = msgspec.json.Decoder(_Plain)
_ENVELOPE = msgspec.json.Decoder(_Raw)
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_ITEM = msgspec.json.Decoder(float_hook=_number)
_MENDED = msgspec.json.Encoder(decimal_format="number")


# --- the envelope ----------------------------------------------------------------------------------------------------


def parse_envelope(body: bytes | bytearray) -> Envelope:
    """
    Split an answer into its code, message and the text of each item; no item is looked into.

    Raises:
        UnreadableAnswer: the body is not JSON, is cut off, or is no object.
    """
    try:
        plain = _PLAIN.decode(body)
        code, message = _code(plain.Code), _message(plain.ErrorMessage)
        return Envelope(code, message, plain.StockList, plain.Token, size=len(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        pass  # not so plain
    try:
        raw = _ENVELOPE.decode(body)
        # a raw value starts at its first character: no copy of the list is needed to see what it is
        items = _ITEMS.decode(raw.StockList) if bytes(memoryview(raw.StockList)[:1]) == b"[" else None
        code, message, token = (_plain(part) for part in (raw.Code, raw.ErrorMessage, raw.Token))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return _parse_tolerantly(body)
    return Envelope(_code(code), _message(message), items, token if isinstance(token, str) else None, size=len(body))


def _plain(raw: msgspec.Raw) -> Any:
    return msgspec.json.decode(raw)


def _code(value: object) -> int | None:
    if isinstance(value, str) and _CODE.fullmatch(value.strip()):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _message(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _parse_tolerantly(body: bytes | bytearray) -> Envelope:
    """Read a body that strict JSON refuses: byte order mark, NaN, lone surrogates, bad bytes, control characters."""
    start = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if not start:
        raise UnreadableAnswer("the answer is empty", reason="empty_answer")
    if start == b"<":
        raise UnreadableAnswer("the answer is a web page, not JSON (a firewall or maintenance page?)", reason="html")
    text = body.decode("utf-8-sig", "surrogateescape")  # so that each item gets its very bytes back
    decoder = json.JSONDecoder(strict=False)
    values: dict[str, Any] = {}
    items: list[bytes] | None = None
    try:
        at = _expect(text, 0, "{")
        while text[at] != "}":
            key, at = decoder.raw_decode(text, at)
            at = _expect(text, _blank(text, at), ":")
            if key == "StockList" and text[at] == "[":
                items, at = _cut_items(text, at + 1)
            else:
                values[str(key)], at = decoder.raw_decode(text, at)
                items = None if key == "StockList" else items
            at = _blank(text, at)
            if text[at] == ",":
                at = _blank(text, at + 1)
            elif text[at] != "}":
                raise ValueError("neither comma nor end")
        if _blank(text, at + 1) != len(text):
            raise ValueError("text behind the end")
    except RecursionError:
        raise UnreadableAnswer("the answer is nested too deeply to be read", reason="unreadable") from None
    except (ValueError, IndexError):
        raise UnreadableAnswer(
            f"the answer is not JSON or was cut off ({len(body)} bytes)", reason="unreadable"
        ) from None
    token = values.get("Token")
    return Envelope(
        _code(values.get("Code")),
        _message(values.get("ErrorMessage")),
        items,
        token if isinstance(token, str) else None,
        strict=False,
        size=len(body),
    )


def _cut_items(text: str, at: int) -> tuple[list[bytes], int]:
    """Cut a list into the text of its items; returns them and the place behind the list."""
    items = []
    at = _blank(text, at)
    while text[at] != "]":
        end = _end_of_item(text, at)
        items.append(text[at:end].rstrip(" \t\r\n").encode("utf-8", "surrogateescape"))
        at = end
        if text[at] == ",":
            at = _blank(text, at + 1)
        elif text[at] != "]":
            raise ValueError("neither comma nor end")
    return items, at + 1


# A string that is cut off runs to the end: looked for anew from each quote inside it, it would cost its length squared.
_MARKS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)


def _end_of_item(text: str, at: int) -> int:
    """Return where an item ends, told from strings and brackets alone: what stands between them may be anything."""
    depth = 0
    for mark in _MARKS.finditer(text, at):
        character = text[mark.start()]
        if character in "[{":
            depth += 1
        elif depth == 0 and character != '"':
            return mark.start()
        elif character in "]}":
            depth -= 1
    raise ValueError("cut off")


_BLANKS = re.compile(r"[ \t\r\n]*")


def _blank(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return match.end() if match else at


def _expect(text: str, at: int, character: str) -> int:
    at = _blank(text, at)
    if text[at] != character:
        raise ValueError(f"no {character}")
    return _blank(text, at + 1)


# --- one item --------------------------------------------------------------------------------------------------------


def fingerprint(raw: RawItem, locked: Sequence[str] = ()) -> bytes:
    """
    Return the 16 bytes that say "this very item, mapped this way, with these fields locked".

    The mapping's version, then 120 bits of SHA-256: processors have instructions for it, so it takes half of BLAKE2's
    time.
    """
    digest = sha256(raw)
    if locked:
        digest.update(b"\0" + "\0".join(sorted(locked)).encode())
    return _VERSION + digest.digest()[:15]


def is_outdated(content_hash: bytes | None) -> bool:
    """Whether a stored fingerprint was made by another version of the mapping, so that no item can have it any more."""
    return content_hash is None or not content_hash.startswith(_VERSION)


def parse_item(raw: RawItem, position: int, *, content_hash: bytes | None = None) -> Car | Refused:
    """
    Read one item.

    Text is trimmed and blank text is None; a number in a string is a number if nothing is lost by it, else None with
    a warning; nothing is invented. Refused are only: what is no object, has no readable stock number, or holds a
    value that the database cannot.

    Source: docs/facts/easycars.md, "Stock item".
    """
    warnings: list[str] = []
    odd = _ODD_ESCAPE.search(raw) is not None
    try:
        item = _read_tolerantly(bytes(raw), warnings) if odd else _ITEM.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        odd = True
        try:
            item = _read_tolerantly(bytes(raw), warnings)
        except (ValueError, RecursionError, InvalidOperation) as error:
            return _refuse(raw, position, _glimpse_stock_number(raw), "unreadable", f"cannot be read: {error}")
    except (ValueError, RecursionError, InvalidOperation) as error:
        return _refuse(raw, position, _glimpse_stock_number(raw), "unreadable", f"cannot be read: {error}")
    if not isinstance(item, dict):
        return _refuse(raw, position, None, "not_an_object", f"is {_kind(item)}, expected an object")
    stock_number = _stock_number(item.get("StockNumber"))
    if stock_number is None:
        shown = "is missing" if "StockNumber" not in item else f"is {_kind(item['StockNumber'])}"
        return _refuse(raw, position, None, "no_stock_number", f"StockNumber {shown}, expected text or a whole number")
    if len(stock_number) > STOCK_NUMBER_MOST:
        return _refuse(
            raw,
            position,
            stock_number[:STOCK_NUMBER_MOST],
            "stock_number_too_long",
            f"StockNumber has {len(stock_number)} characters, at most {STOCK_NUMBER_MOST} can be kept",
        )
    try:
        return _car(item, raw, position, stock_number, warnings, odd=odd, content_hash=content_hash)
    except _TooLarge as error:
        return _refuse(raw, position, stock_number, "value_too_large", str(error))


def _car(
    item: dict[str, Any],
    raw: RawItem,
    position: int,
    stock_number: str,
    warnings: list[str],
    *,
    odd: bool,
    content_hash: bytes | None,
) -> Car:
    get = item.get
    values: dict[str, Any] = {}
    for column, key in _TEXT_COLUMNS:
        text = get(key)
        if type(text) is str:  # nearly always: worth a call less
            values[column] = text.strip() or None
        else:
            values[column] = _text(text, key, warnings)
    for column, key in _WHOLE_COLUMNS:
        number = get(key)
        values[column] = (
            number if type(number) is int and 0 <= number <= INTEGER_MOST else _whole(number, key, warnings)
        )
    for column, key in _MONEY.items():
        values[column] = _money(get(key), key, warnings)
    for column, key in _FLAG.items():
        values[column] = _flag(get(key), key, warnings)
    vin = _text(get("VIN"), "VIN", warnings)
    values["vin"] = vin = vin.upper() if vin else None
    miles = _flag(get("IsMiles"), "IsMiles", warnings)
    values["odometer_unit"] = "mi" if miles else "km" if values["odometer"] is not None or miles is False else None
    values["condition"] = _condition(_flag(get("IsDemo"), "IsDemo", warnings), _flag(get("IsUsed"), "IsUsed", warnings))
    stock_status = values["stock_status"]
    says_sold = stock_status is not None and stock_status.lower() == _SOLD
    deposit = _flag(get("IsDepositTaken"), "IsDepositTaken", warnings)
    values["status"] = "sold" if says_sold else "deposit" if deposit else "active"
    values["title"] = title_of(values)
    values["features"] = [
        *_texts(get("StandardFeatures"), "StandardFeatures", warnings, known=_known_features),
        *_texts(get("OptionalFeatures"), "OptionalFeatures", warnings, known=_known_features),
    ]
    values["images"] = _texts(get("ImageURLs"), "ImageURLs", warnings)
    keys = item.keys()
    missing: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    if len(keys) != len(DOCUMENTED_KEYS) or keys != DOCUMENTED_KEYS:
        missing, unknown = DOCUMENTED_KEYS - keys, frozenset(keys - DOCUMENTED_KEYS)
    return Car(
        position=position,
        stock_number=stock_number,
        vin=vin,
        yard_code=values["yard_code"],
        values=values,
        absent=_absent_columns(missing, says_sold=says_sold) if missing else missing,
        says_sold=says_sold,
        raw=raw,
        mended=_MENDED.encode(item).decode() if odd else None,
        content_hash=content_hash or fingerprint(raw),
        warnings=tuple(warnings),
        unknown_keys=unknown,
        missing_keys=missing,
    )


def title_of(values: Mapping[str, Any]) -> str | None:
    """
    Return what a vehicle is called: year (unless 0, which is the vendor's "unknown"), make and model.

    >>> title_of({"year": 2019, "make": "FORD", "model": None})
    '2019 FORD'
    """
    return " ".join([str(part) for part in (values["year"] or None, values["make"], values["model"]) if part]) or None


_DEPENDS: Mapping[str, tuple[str, ...]] = {
    **{column: (key,) for table in (_TEXT, _WHOLE, _MONEY, _FLAG) for column, key in table.items()},
    "vin": ("VIN",),
    "odometer_unit": ("IsMiles",),
    "condition": ("IsUsed", "IsDemo"),
    "status": ("StockStatus", "IsDepositTaken"),
    "features": ("StandardFeatures", "OptionalFeatures"),
    "images": ("ImageURLs",),
}


def _absent_columns(missing: frozenset[str], *, says_sold: bool) -> frozenset[str]:
    """Return the columns that cannot be told without the missing keys."""
    columns = {column for column, keys in _DEPENDS.items() if any(key in missing for key in keys)}
    return frozenset(columns - {"status"} if says_sold else columns)


def watched_of(document: str) -> dict[str, Any]:
    """
    Return the documented keys of an item's JSON text that fill no column, for the change history.

    All are None where the text is no item that can be read: whoever knows SQL may have stored anything.
    """
    try:
        item = _ITEM.decode(document)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        item = None
    return {key: item.get(key) for key in _WATCHED} if isinstance(item, dict) else dict.fromkeys(_WATCHED)


def _refuse(raw: RawItem, position: int, stock_number: str | None, code: str, reason: str) -> Refused:
    shown = _UNSTORABLE.sub("\ufffd", bytes(memoryview(raw)[:RAW_KEPT]).decode("utf-8", "replace"))
    return Refused(position, stock_number, code, reason, shown)


def refuse_car(car: Car, code: str, reason: str) -> Refused:
    """Turn a readable item into a refused one, keeping its text."""
    return Refused(car.position, car.stock_number, code, reason, car.document[:RAW_KEPT])


def _glimpse_stock_number(raw: RawItem) -> str | None:
    """Return the stock number of an item that cannot be kept, so that its own row is not taken for missing."""
    try:
        # Whole numbers as text: one of any length can be read so.
        item = json.loads(bytes(raw).decode("utf-8", "replace"), strict=False, parse_int=str, parse_float=_fraction)
    except (ValueError, RecursionError):
        return None
    number = _stock_number(item.get("StockNumber")) if isinstance(item, dict) else None
    return _UNSTORABLE.sub("\ufffd", number) if number and len(number) <= STOCK_NUMBER_MOST else None


class Traits(NamedTuple):
    """What an item without a stock number says of its vehicle, in capitals; None and empty where it says nothing."""

    vin: str | None
    kind: tuple[tuple[str, str], ...]

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> Traits:
        """Return the traits of a row's values; a year of 0 is the vendor's "unknown"."""
        found = {name: str(values.get(name) or "").strip().upper() for name in ("make", "model", "year")}
        return cls(values.get("vin"), tuple((name, text) for name, text in found.items() if text and text != "0"))

    def could_be(self, other: Traits) -> bool:
        """Whether the other one says the same of all that this one says."""
        return set(self.kind) <= set(other.kind)


def traits_of(raw: str) -> Traits:
    """Return the traits of a refused item; of one that cannot be read there are none."""
    try:
        item = json.loads(raw, strict=False, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        item = None
    if not isinstance(item, dict):
        return Traits(None, ())
    vin, make, model, year = (
        value if isinstance(value := item.get(key), str) else None for key in ("VIN", "Make", "Model", "YearGroup")
    )
    return Traits.of_values({"vin": (vin or "").strip().upper() or None, "make": make, "model": model, "year": year})


def _fraction(text: str) -> Decimal | None:
    try:
        return _number(text)
    except (InvalidOperation, ValueError):
        return None


def _read_tolerantly(raw: bytes, warnings: list[str]) -> Any:
    """Decode an item that strict JSON refuses, replacing what the database cannot hold by U+FFFD."""
    strange = False

    def constant(name: str) -> str:
        warnings.append(f"{name} is not a number; kept as text")
        return name

    def clean(value: Any) -> Any:
        nonlocal strange
        if isinstance(value, str):
            mended = _UNSTORABLE.sub("\ufffd", value)
            strange = strange or mended != value
            return mended
        if isinstance(value, list):
            return [clean(part) for part in value]
        if isinstance(value, dict):
            return {clean(key): clean(part) for key, part in value.items()}
        return value

    text = raw.decode("utf-8", "replace")
    item = clean(json.loads(text, strict=False, parse_constant=constant, parse_float=_number))
    if strange or text.encode() != raw:
        warnings.append("characters that cannot be stored (NUL, lone surrogate, bad bytes) were replaced by U+FFFD")
    return item


# --- one value -------------------------------------------------------------------------------------------------------


def _kind(value: object) -> str:
    kinds: list[tuple[type | tuple[type, ...], str]] = [
        (bool, "true or false"),
        ((int, float, Decimal), "a number"),
        (str, "text" if value else "blank"),
        (list, "a list"),
        (dict, "an object"),
    ]
    return next((word for kind, word in kinds if isinstance(value, kind)), "null")


def _stock_number(value: object) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    return None


def _text(value: object, key: str, warnings: list[str]) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        warnings.append(f"{key}: {_kind(value)} where text is expected; kept as unknown")
        return None
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _decimal(value: object, key: str, warnings: list[str]) -> Decimal | int | None:
    """Return a number, exactly; None with a warning if that cannot be had."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)) or isinstance(value, Decimal):
        number: Decimal | int | None = value
    elif isinstance(value, str):
        if not value.strip():
            return None
        try:
            number = _number(value.strip()) if value.isascii() and "_" not in value else None
        except _TooLarge as error:
            raise _TooLarge(f"{key} is {error}") from None
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite():
            warnings.append(f"{key}: the text {value.strip()[:40]!r} is not plainly a number; kept as unknown")
            return None
    else:
        warnings.append(f"{key}: {_kind(value)} where a number is expected; kept as unknown")
        return None
    if number is not None and number < 0:
        warnings.append(f"{key}: {number} is negative; kept as unknown")
        return None
    return number


def _whole(value: object, key: str, warnings: list[str]) -> int | None:
    number = value if type(value) is int and value >= 0 else _decimal(value, key, warnings)
    if number is None:
        return None
    if number != int(number):
        warnings.append(f"{key}: {number} is not a whole number; kept as unknown")
        return None
    if number > INTEGER_MOST:
        raise _TooLarge(f"{key} is {number}, at most {INTEGER_MOST} can be kept")
    return int(number)


def _money(value: object, key: str, warnings: list[str]) -> Decimal | None:
    number = _decimal(value, key, warnings)
    if number is None:
        return None
    return number if isinstance(number, Decimal) else Decimal(number)


_FLAGS = {"true": True, "false": False, "1": True, "0": False}


def _flag(value: object, key: str, warnings: list[str]) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else "?"
    if word in _FLAGS:
        return _FLAGS[word]
    if word:
        warnings.append(f"{key}: {_kind(value)} where true or false is expected; kept as unknown")
    return None


# Parts of texts -> the same without blanks around, each held in memory once: thousands of cars have the same few
# hundred features.
_known_features: dict[str, str] = {}
_KNOWN_MOST = 20_000


def _texts(value: object, key: str, warnings: list[str], *, known: dict[str, str] | None = None) -> list[str]:
    """Split the vendor's comma-separated text, order kept; a JSON list of texts is taken as it is."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        parts: list[str] = value
    else:
        text = _text(value, key, warnings)
        if not text:
            return []
        parts = text.split(",")
    if known is None:
        return [part for part in map(str.strip, parts) if part]
    try:
        return [known[part] for part in parts]
    except KeyError:  # one is new, or blank
        if len(known) > _KNOWN_MOST:
            known.clear()
        for part in parts:
            if bare := part.strip():
                known.setdefault(part, known.setdefault(bare, bare))
        return [part for part in map(str.strip, parts) if part]


def _condition(demo: bool | None, used: bool | None) -> str | None:
    """New or used comes from these flags; StockType only says car, boat, caravan."""
    if demo:
        return "demo"
    return None if used is None else "used" if used else "new"
