"""The vendor's JSON -> our nouns: a strict fast reading, and a tolerant one so that a bad item never costs the feed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from hashlib import sha256
from sys import intern
from typing import Any, NamedTuple, TypeGuard, TypeVar

import msgspec

from jobsync.db.stock_key import BLANKS
from jobsync.easycars.identity import kind_of, stock_key, vin_of
from jobsync.easycars.model import FEED_KEYS, MAPPING_VERSION, Car, Envelope, Note, RawItem, Refused
from jobsync.runner.items import ItemFailure

T = TypeVar("T")
_WHOLE = {column: FEED_KEYS[column][0] for column in ("year", "odometer", "doors", "seats")}
_MONEY = {column: FEED_KEYS[column][0] for column in ("price", "special_price")}
_OF_THEIR_OWN = {*_WHOLE, *_MONEY, "vin", "is_drive_away", "odometer_unit", "images"}
_TEXT = {column: keys[0] for column, keys in FEED_KEYS.items() if len(keys) == 1 and column not in _OF_THEIR_OWN}
_TEXT_COLUMNS, _WHOLE_COLUMNS = tuple(_TEXT.items()), tuple(_WHOLE.items())
# The rest of the 72 documented keys of an item (vendor's Stock API paper V1.01, 2025-09-16): they fill no column.
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
# ImageCount is only compared with ImageURLs
DOCUMENTED_KEYS = frozenset((*sum(FEED_KEYS.values(), ()), *_WATCHED, "StockNumber", "ImageCount"))
STOCK_NUMBER_MOST = 255  # the vendor's is 20; a unique index holds about 2,700 bytes
INTEGER_MOST = 2**31 - 1
RAW_KEPT = 20_000
_NUMBER_DIGITS_MOST = 400
_DECIMALS_MOST = 16_383  # of the database's numeric, and of a number inside jsonb
_ODD_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CODE = re.compile("-?[0-9]{1,9}")
_SOLD = "sold"


class Rules(NamedTuple):
    """By what items are read, beside the code itself."""

    status_map: Mapping[str, str]  # by `status_word`: active, deposit, sold or excluded
    version: bytes  # begins every fingerprint, 3 bytes: the mapping's and the map's


def rules_of(status_map: Mapping[str, str]) -> Rules:
    """Return the rules with this map; another map is another version, so that items that come again are read again."""
    told = "\0".join(f"{word}={status}" for word, status in sorted(status_map.items()))
    return Rules(status_map, bytes([MAPPING_VERSION]) + (sha256(told.encode()).digest()[:2] if told else b"\0\0"))


PLAIN_RULES = rules_of({})


def status_word(text: str | None) -> str:
    """
    Return a StockStatus as it is compared: trimmed, single blanks, without case.

    >>> status_word(" On  Offer ")
    'on offer'
    """
    return " ".join(text.split()).casefold() if text else ""


def says_sold(word: str, status_map: Mapping[str, str]) -> bool:
    mapped = status_map.get(word)
    return mapped == _SOLD if mapped is not None else word.startswith(_SOLD)


class UnreadableAnswer(ItemFailure):
    """The body is not the vendor's JSON: a firewall page, a cut-off answer, noise."""

    def __init__(self, text: str, *, reason: str) -> None:
        super().__init__(text, reason=reason, unreachable=True, transient=True)


class _Answer(msgspec.Struct):
    """The answer, with anything in its places; the list's items are not looked into."""

    Code: Any = None
    ErrorMessage: Any = None
    Token: Any = None
    StockList: list[msgspec.Raw] | dict[str, msgspec.Raw] | str | float | bool | None = None


_NONE: frozenset[str] = frozenset()


class _TooLarge(ValueError):
    """A value that the database cannot hold."""


class _Unreadable(ValueError):
    """A value that cannot be read: why, and what was seen."""


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


_ANSWER = msgspec.json.Decoder(_Answer)
_ITEM = msgspec.json.Decoder(float_hook=_number)
_MENDED = msgspec.json.Encoder(decimal_format="number")


# --- the envelope ----------------------------------------------------------------------------------------------------


def parse_envelope(body: bytes | bytearray) -> Envelope:
    """Split an answer into code, message and the text of each item; UnreadableAnswer if it is no whole JSON object."""
    try:
        answer = _ANSWER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        answer = _read_tolerantly(body)
    code, message, token, items = answer.Code, answer.ErrorMessage, answer.Token, answer.StockList
    if isinstance(code, str) and _CODE.fullmatch(code.strip()):
        code = int(code)
    return Envelope(
        code if isinstance(code, int) and not isinstance(code, bool) else None,
        message if isinstance(message, str) and message.strip() else None,
        items if isinstance(items, list) else None,
        token if isinstance(token, str) else None,
        len(body),
    )


def _read_tolerantly(body: bytes | bytearray) -> _Answer:
    """Read a body that strict JSON refuses: byte order mark, NaN, lone surrogates, bad bytes, control characters."""
    start = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if not start:
        raise UnreadableAnswer("the answer is empty", reason="empty_answer")
    if start == b"<":
        raise UnreadableAnswer("the answer is a web page, not JSON (a firewall or maintenance page?)", reason="html")
    text = body.decode("utf-8-sig", "surrogateescape")  # each item gets its very bytes back
    decoder = json.JSONDecoder(strict=False)
    values: dict[str, Any] = {}
    try:
        at = _expect(text, 0, "{")
        while text[at] != "}":
            key, at = decoder.raw_decode(text, at)
            at = _expect(text, _blank(text, at), ":")
            is_list = key == "StockList" and text[at] == "["
            values[str(key)], at = _cut(text, at) if is_list else decoder.raw_decode(text, at)
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
    return _Answer(**{name: value for name, value in values.items() if name in _Answer.__struct_fields__})


# A string that is cut off runs to the end: looked for anew from each quote inside it, it would cost its length squared.
_MARKS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)


def _cut(text: str, at: int) -> tuple[list[bytes], int]:
    """Cut a list into the text of its items, by strings and brackets alone; returns them and the place behind it."""
    items, start, depth = [], at + 1, 0
    for mark in _MARKS.finditer(text, at):
        sign = text[mark.start()]
        depth += (sign in "[{") - (sign in "]}")
        if depth == 0 or (depth == 1 and sign == ","):
            items.append(text[start : mark.start()].strip(_BLANK).encode("utf-8", "surrogateescape"))
            start = mark.end()
        if depth == 0 and sign != "]":
            break  # something was lost: whatever follows, the list has no end
        if depth == 0:
            return items if items[-1] else items[:-1], start
    raise ValueError("cut off")


_BLANK = " \t\r\n"
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


def fingerprint(raw: RawItem, locked: Sequence[str] = (), version: bytes = PLAIN_RULES.version) -> bytes:
    """
    Return the 16 bytes that say "this very item, read by these rules, with these fields locked".

    The rules' version, then 104 bits of SHA-256: processors have instructions for it, so it takes half of BLAKE2's
    time.
    """
    digest = sha256(raw)
    if locked:
        digest.update(b"\0" + "\0".join(sorted(locked)).encode())
    return version + digest.digest()[:13]


def parse_item(
    raw: RawItem, position: int, *, content_hash: bytes | None = None, rules: Rules = PLAIN_RULES
) -> Car | Refused:
    """
    Read one item.

    Text is trimmed and blank text is None; a number in a string is a number if nothing is lost by it; a value that
    cannot be read counts as absent, with a warning; nothing is invented. Refused are only: what is no object, has no
    readable stock number, or holds a value that the database cannot.

    Source: docs/facts/easycars.md, "Stock item".
    """
    notes: list[Note] = []
    try:
        item, odd = _decode(raw, notes)
    except (ValueError, RecursionError, InvalidOperation) as error:
        return _refuse(raw, position, _glimpse(raw), "unreadable", f"cannot be read: {error}")
    if not isinstance(item, dict):
        return _refuse(raw, position, {}, "not_an_object", f"is {_kind(item)}, expected an object")
    stock_number = _stock_number(item.get("StockNumber"))
    key = stock_key(stock_number) if stock_number is not None else ""
    if stock_number is None or not key:
        shown = "is missing" if "StockNumber" not in item else f"is {_kind(item['StockNumber'])}"
        shown = "has no sign that can be seen" if stock_number is not None else shown
        reason = f"StockNumber {shown}, expected text or a whole number"
        return _refuse(raw, position, item, "no_stock_number", reason)
    if len(stock_number) > STOCK_NUMBER_MOST:
        reason = f"StockNumber has {len(stock_number)} characters, at most {STOCK_NUMBER_MOST} can be kept"
        item = {**item, "StockNumber": stock_number[:STOCK_NUMBER_MOST]}
        return _refuse(raw, position, item, "stock_number_too_long", reason)
    keys = item.keys()
    plain = len(keys) == len(DOCUMENTED_KEYS) and keys == DOCUMENTED_KEYS
    missing = _NONE if plain else DOCUMENTED_KEYS - keys
    try:
        values, absent, unreadable, sold = _values(item, notes, rules, missing)
    except _TooLarge as error:
        return _refuse(raw, position, item, "value_too_large", str(error))
    return Car(
        position=position,
        stock_number=stock_number,
        stock_key=key,
        vin=values["vin"],
        yard_code=values["yard_code"],
        values=values,
        absent=absent,
        says_sold=sold,
        raw=raw,
        mended=_MENDED.encode(item).decode() if odd else None,
        content_hash=content_hash or fingerprint(raw, version=rules.version),
        warnings=tuple(notes) if notes else (),
        unknown_keys=_NONE if plain else frozenset(keys - DOCUMENTED_KEYS),
        missing_keys=missing,
        unreadable=frozenset(unreadable) if unreadable else _NONE,
    )


def _decode(raw: RawItem, notes: list[Note]) -> tuple[Any, bool]:
    if _ODD_ESCAPE.search(raw) is None:
        try:
            return _ITEM.decode(raw), False
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
    return _mend(bytes(raw), notes), True


def _values(
    item: dict[str, Any], notes: list[Note], rules: Rules, missing: frozenset[str]
) -> tuple[dict[str, Any], frozenset[str], list[str], bool]:
    """Return every column's value, the columns not told, the unreadable keys, and whether it says sold."""
    get = item.get
    unreadable: list[str] = []

    def told(read: Callable[[Any], T | None], key: str) -> T | None:
        value = get(key)
        if value is None:
            return None
        try:
            return read(value)
        except _Unreadable as problem:  # it counts as absent
            reason, seen = problem.args
            notes.append(Note(key, f"{reason}; it counts as absent", seen))
            unreadable.append(key)
            return None
        except _TooLarge as error:
            raise _TooLarge(f"{key} is {error}") from None

    values: dict[str, Any] = {}
    for column, key in _TEXT_COLUMNS:
        text = get(key)
        values[column] = (text.strip() or None) if type(text) is str else told(_text, key)  # mostly worth a call less
    for column, key in _WHOLE_COLUMNS:
        number = get(key)
        plain = type(number) is int and 0 <= number <= INTEGER_MOST
        values[column] = number if plain else told(_kilometres if column == "odometer" else _whole, key)
    for column, key in _MONEY.items():
        values[column] = told(_money, key)
    values["is_drive_away"] = told(_flag, "IsDriveAway")
    values["vin"] = vin_of(told(_text, "VIN") or "")
    miles = told(_flag, "IsMiles")
    values["odometer_unit"] = "mi" if miles else "km" if values["odometer"] is not None or miles is False else None
    # new or used comes from these flags; StockType only says car, boat, caravan
    demo, used = told(_flag, "IsDemo"), told(_flag, "IsUsed")
    values["condition"] = "demo" if demo else None if used is None else "used" if used else "new"
    deposit = told(_flag, "IsDepositTaken")
    word = status_word(values["stock_status"])
    mapped, sold = rules.status_map.get(word), says_sold(word, rules.status_map)
    values["status"] = mapped or (_SOLD if sold else "deposit" if deposit else "active")
    values["title"] = title_of(values)
    values["features"] = (told(_features, "StandardFeatures") or []) + (told(_features, "OptionalFeatures") or [])
    values["images"] = images = told(_images, "ImageURLs") or []
    count = get("ImageCount")
    uncounted = False
    if count != len(images) and (number := _count(count)) is not None and number != len(images):
        uncounted = not images
        if "ImageURLs" in item and "ImageURLs" not in unreadable:
            reason = f"not as many as ImageCount says{'; it counts as absent' if uncounted else ''}"
            notes.append(Note("ImageURLs", reason, f"{len(images)} of {number}"))
    absent = _NONE
    if unreadable or missing or uncounted:
        untold = {*unreadable, *missing, *(("ImageURLs",) if uncounted else ())}
        absent = _absent_columns(untold, miles=miles, decided=sold or mapped is not None)
    return values, absent, unreadable, sold


def title_of(values: Mapping[str, Any]) -> str | None:
    """
    Return what a vehicle is called: year (unless 0, which is the vendor's "unknown"), make and model.

    >>> title_of({"year": 2019, "make": "FORD", "model": None})
    '2019 FORD'
    """
    return " ".join([str(part) for part in (values["year"] or None, values["make"], values["model"]) if part]) or None


def _absent_columns(untold: set[str], *, miles: bool | None, decided: bool) -> frozenset[str]:
    """Return the columns that cannot be told without these keys; a word may decide the status by itself."""
    columns = {column for column, keys in FEED_KEYS.items() if any(key in untold for key in keys)}
    if "Odometer" in untold and miles is None:  # without a reading there is no unit either
        columns.add("odometer_unit")
    return frozenset(columns - {"status"} if decided and "StockStatus" not in untold else columns)


def watched_of(document: str) -> dict[str, Any]:
    """
    Return the documented keys of an item's JSON text that fill no column, for the change history.

    All are None where the text is no item that can be read: by SQL anything may have been stored.
    """
    try:
        item = _ITEM.decode(document)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        item = None
    return {key: item.get(key) for key in _WATCHED} if isinstance(item, dict) else dict.fromkeys(_WATCHED)


def _refuse(raw: RawItem, position: int, item: Mapping[str, Any], code: str, reason: str) -> Refused:
    number = _UNSTORABLE.sub("\ufffd", _stock_number(item.get("StockNumber")) or "")
    told = {name: item.get(FEED_KEYS[name][0]) for name in ("vin", "make", "model", "year")}
    texts = {name: str(value) for name, value in told.items() if type(value) in (str, int, Decimal)}
    shown = _UNSTORABLE.sub("\ufffd", bytes(memoryview(raw)[:RAW_KEPT]).decode("utf-8", "replace"))
    vin = vin_of(texts.get("vin", ""))
    return Refused(
        position,
        number if stock_key(number) and len(number) <= STOCK_NUMBER_MOST else None,
        code,
        reason,
        shown,
        vin,
        kind_of(texts),
    )


def refuse_car(car: Car, code: str, reason: str) -> Refused:
    """Turn a readable item into a refused one, keeping its text."""
    return Refused(car.position, car.stock_number, code, reason, car.document[:RAW_KEPT], car.vin)


def _glimpse(raw: RawItem) -> Mapping[str, Any]:
    """Return what can be read of an item that cannot be kept, so that its own row is not taken for missing."""
    try:
        # Whole numbers as text: one of any length can be read so.
        item = json.loads(bytes(raw).decode("utf-8", "replace"), strict=False, parse_int=str, parse_float=_fraction)
    except (ValueError, RecursionError):
        return {}
    return item if isinstance(item, dict) else {}


def _fraction(text: str) -> Decimal | None:
    try:
        return _number(text)
    except (InvalidOperation, ValueError):
        return None


def _mend(raw: bytes, notes: list[Note]) -> Any:
    """Decode an item that strict JSON refuses, replacing what the database cannot hold by U+FFFD."""
    strange = False

    def constant(name: str) -> str:
        notes.append(Note("JSON", "is not a number; kept as text", name))
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
        notes.append(
            Note("JSON", "characters that cannot be stored (NUL, lone surrogate, bad bytes) were replaced by U+FFFD")
        )
    return item


# --- one value -------------------------------------------------------------------------------------------------------


_KINDS = {bool: "true or false", list: "a list", dict: "an object", **dict.fromkeys((int, float, Decimal), "a number")}


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "text" if value else "blank"
    return _KINDS.get(type(value), "null")


def _stock_number(value: object) -> str | None:
    if isinstance(value, Decimal) and value == value.to_integral_value():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return (value.strip() or None) if isinstance(value, str) else None


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _Unreadable("is not text", _kind(value))
    return format(value, "f") if isinstance(value, Decimal) else str(value)


# Numbers as Australians write them: $39,990.00 or AUD 39 990 or 12,345 km. The groups of one number have one sign
# between them, and no zero before them: "0,500" may be half of something.
_MARKED = re.compile(
    r"(?P<currency>(?:aud\s*\$?|\$)\s*)?"
    r"(?P<number>-?[0-9]+(?:\.[0-9]+)?"
    r"|[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?:[ \u00a0][0-9]{3})+|(?:\u202f[0-9]{3})+)(?:\.[0-9]+)?)"
    r"(?P<unit>\s*kms?)?",
    re.IGNORECASE,
)
_SEPARATORS = {ord(sign): None for sign in ", \u00a0\u202f"}


def _decimal(value: object, *, currency: bool = False, unit: bool = False) -> Decimal | None:
    """Return a number, exactly; None if it is blank. A currency or a unit may stand beside it where it is meant."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        found = _MARKED.fullmatch(text)
        is_meant = found and (currency or not found["currency"]) and (unit or not found["unit"])
        bare = found["number"].translate(_SEPARATORS) if found and is_meant else text
        try:
            number = _number(bare) if bare.isascii() and "_" not in bare else None
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite():
            raise _Unreadable("is not plainly a number", repr(text[:40]))
    elif isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise _Unreadable("is not a number", _kind(value))
    else:
        number = Decimal(value)
    if number < 0:
        raise _Unreadable("is negative", str(number)[:40])
    return number


def _whole(value: object, *, unit: bool = False) -> int | None:
    number = _decimal(value, unit=unit)
    if number is None:
        return None
    if number != int(number):
        raise _Unreadable("is not a whole number", str(number)[:40])
    if number > INTEGER_MOST:
        raise _TooLarge(f"{number}, at most {INTEGER_MOST} can be kept")
    return int(number)


_kilometres = partial(_whole, unit=True)
_money = partial(_decimal, currency=True)
_FLAGS = {"true": True, "false": False, "1": True, "0": False}


def _flag(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else "?"
    if word and word not in _FLAGS:
        raise _Unreadable("is neither true nor false", repr(value[:40]) if isinstance(value, str) else _kind(value))
    return _FLAGS.get(word)


def _features(value: object) -> list[str]:
    """Split the vendor's comma-separated text, order kept; a JSON list of texts is taken as it is."""
    parts = value if _are_texts(value) else (_text(value) or "").split(",")
    # each in memory once: thousands of cars have the same few hundred features
    return list(filter(None, map(intern, map(str.strip, parts))))


def _are_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


# A comma may stand inside a URL (https://…/w_800,h_600/a.jpg): only one that a URL's beginning follows parts two.
_BETWEEN_URLS = re.compile(r",(?=\s*(?:[Hh][Tt]{2}[Pp][Ss]?:/)?/)")  # re.IGNORECASE takes twice as long


def _images(value: object) -> list[str]:
    """Split the vendor's text at the commas that stand between URLs, order kept; a list of texts is taken as it is."""
    if _are_texts(value):
        return list(filter(None, map(str.strip, value)))
    pieces = _BETWEEN_URLS.split(_text(value) or "")
    return [url for piece in pieces if (url := piece.strip("," + BLANKS))]


def _count(value: object) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
