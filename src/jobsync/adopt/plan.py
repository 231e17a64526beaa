"""The rule of moving in, pure: each `plan_` returns a row as it is written here, or raises Leave with the reason."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobsync.db.system_settings import CATALOGUE
from jobsync.easycars.credentials import ENVIRONMENTS
from jobsync.easycars.identity import stock_key, vin_of
from jobsync.easycars.parse import title_of
from jobsync.jobs import STOCK_SYNC

Row = Mapping[str, Any]
Values = dict[str, Any]

# Settings of the original that mean the same here.
SETTINGS = (STOCK_SYNC.switch, "easycar_sync_cron", "easycar_sync_concurrency")
_STATUSES = {"active": "active", "pending": "deposit", "sold": "sold", "draft": "excluded"}
_SOURCES = ("easycars", "manual", "import")
_CONDITIONS = ("new", "used", "demo")
_LOG_STATUSES = {
    "success": "Success",
    "failed": "Failed",
    **dict.fromkeys(("partialsuccess", "warning"), "PartialSuccess"),
}
_COUNTS = ("duration_ms", "items_processed", "items_succeeded", "items_failed")
# What the original wrote where the feed had no description; kept, the first sync would seem to take descriptions away.
_NO_DESCRIPTION = "No description available"


@dataclass(frozen=True)
class Left:
    """Something of the original that is not brought: a dealership, credentials, vehicle, document, log or setting."""

    what: str
    id: int | str
    reason: str


class Leave(Exception):
    """Why a row is left."""


@dataclass
class Lot:
    """The vehicles that can be brought, before they are read in full."""

    dealership_of: dict[int, int] = field(default_factory=dict)  # by vehicle
    # the numbers of EasyCars rows that another row of their dealership needs, by vehicle: (old, new)
    retired: dict[int, tuple[str, str]] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)


def fingerprint(values: Row) -> bytes:
    """Return a hash of what is to be written of one row."""
    text = json.dumps(values, sort_keys=True, default=str, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def plan_dealership(row: Row, switch: bool | None) -> Values:
    """Return a dealership; its `switch`, of `dealership_settings`, is None where it has none, which here means on."""
    values = {name: _text(row[name]) for name in ("name", "email", "timezone")}
    if values["name"] is None:
        raise Leave("it has no name")
    return {**values, "created_at": row["created_at"], "auto_sync": switch}


def plan_credentials(row: Row) -> Values:
    """Return credentials, the ciphertexts as they are."""
    names = ("client_id", "client_secret", "account_number", "account_secret")
    values = {f"{name}_encrypted": row[f"{name}_encrypted"] for name in names}
    missing = [name.removesuffix("_encrypted") for name, value in values.items() if not value]
    if missing:
        raise Leave(f"{', '.join(missing)}: empty")
    environment = {name.lower(): name for name in ENVIRONMENTS}.get(_lower(row["environment"]))
    if environment is None:
        raise Leave("environment: expected Test or Production; set it there, or: jobsync credentials set")
    return {
        **values,
        "environment": environment,
        "yard_code": _text(row["yard_code"]),
        "is_active": row["is_active"] is not False,
    }


def plan_setting(row: Row) -> Values:
    """Return a setting's value, spelled as here; one that jobsync does not have or cannot read is left."""
    key, value = str(row["key"]), row["value"]
    kind = CATALOGUE.get(key) if key in SETTINGS else None
    if kind is None:
        raise Leave("jobsync has no such setting")
    if value is None or kind.read(value) is None:
        raise Leave(f"expected {kind.expected}; {kind.consequence}; jobsync settings set {key} …")
    return {"value": kind.spell(value)}


def settle(rows: Iterable[Row], dealerships: Iterable[int]) -> Lot:
    """
    Find out which vehicles can be brought, and settle EasyCars rows of one dealership that have one stock key.

    Of those the advertised one keeps the number, else the newer; the others get a retired one. The rows have id,
    dealership_id, stock_number, status and data_source; the dealerships are those that are brought.
    """
    lot, known = Lot(), set(dealerships)
    same: dict[tuple[int, str], list[tuple[bool, int, str]]] = defaultdict(list)
    for row in rows:
        vehicle_id, dealership_id = row["id"], row["dealership_id"]
        try:
            if dealership_id not in known:
                raise Leave(f"its dealership {dealership_id} is not brought")
            status, number = _status(row["status"]), _text(row["stock_number"])
            if _source(row["data_source"]) == "easycars":
                if number is None or not (key := stock_key(number)):
                    raise Leave("an EasyCars vehicle without a stock number")
                same[dealership_id, key].append((status in ("active", "deposit"), vehicle_id, number))
        except Leave as why:
            lot.left.append(Left("vehicle", vehicle_id, str(why)))
            continue
        lot.dealership_of[vehicle_id] = dealership_id
    for copies in same.values():
        for _, vehicle_id, number in sorted(copies)[:-1]:
            lot.retired[vehicle_id] = (number, f"{number}~{vehicle_id} ")
    return lot


def plan_vehicle(row: Row, lot: Lot) -> Values:
    """Return a vehicle as it is written here; the first sync fills what the original did not keep."""
    source = _source(row["data_source"])
    status = _status(row["status"])
    number, description = _text(row["stock_number"]), row["description"]
    if row["id"] in lot.retired:
        number = lot.retired[row["id"]][1]
    if source == "easycars" and description == _NO_DESCRIPTION:
        description = None
    condition = _lower(row["condition"])
    values = {name: _text(row[name]) for name in _TEXTS} | {name: row[name] for name in _AS_THEY_ARE}
    values |= {
        "stock_number": number,
        "vin": vin_of(row["vin"] or ""),
        "description": description,
        "condition": condition if condition in _CONDITIONS else None,
        "status": status,
        "excluded_by": "person" if status == "excluded" else None,
        "data_source": source,
        "images": _texts(row["images"], cut=False),
        "features": _texts(row["features"], cut=True),
    }
    values["title"] = values["title"] or title_of(values)
    return values


_TEXTS = (
    *("make", "model", "badge", "series", "title", "yard_code", "colour", "interior_colour", "body", "fuel_type"),
    *("transmission", "engine_capacity"),
)
_AS_THEY_ARE = ("dealership_id", "year", "price", "special_price", "odometer", "doors", "created_at")


def plan_document(row: Row) -> Values:
    """Return the latest stock item of a vehicle; `document` is its JSON text."""
    text = row["document"]
    try:
        whole = text.lstrip().startswith("{") and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        whole = False
    if not whole:
        raise Leave("the stored stock item is no JSON object")
    return {"document": text, "synced_at": row["synced_at"], "api_version": _text(row.get("api_version")) or "1.0"}


def plan_log(row: Row, yard_code: str | None) -> Values:
    """
    Return an entry of the sync log; one without a type is of stock.

    `yard_code` is the dealership's: the original asked for it each night, and did not keep it.
    """
    status = _LOG_STATUSES.get(_lower(row["status"]))
    if status is None:
        raise Leave(f"status {row['status']!r} is unknown")
    if row["synced_at"] is None:
        raise Leave("it has no time")
    errors = row["error_messages"]
    return {
        **{name: row[name] for name in ("dealership_id", "started_at", "synced_at")},
        **{name: row[name] or 0 for name in _COUNTS},
        "sync_type": (_text(row["sync_type"]) or "stock").lower(),
        "status": status,
        "yard_code": yard_code,
        "error_messages": [str(text) for text in errors] if isinstance(errors, list) else [],
        "api_version": _text(row["api_version"]) or "1.0",
    }


def _status(word: Any) -> str:
    status = _STATUSES.get(_lower(word or "active"))
    if status is None:
        raise Leave(f"status {word!r} is unknown")
    return status


def _source(word: Any) -> str:
    """Return who keeps a row; what is not plainly of EasyCars is of a person, and no sync touches it."""
    return found if (found := _lower(word)) in _SOURCES else "manual"


def _lower(word: Any) -> str:
    return str(word or "").strip().lower()


def _text(value: Any) -> str | None:
    return None if value is None else str(value).strip() or None


def _texts(value: Any, *, cut: bool) -> list[str]:
    """Return what the original kept as a list of texts: a list, groups of lists, or one text, `cut` at its commas."""
    if isinstance(value, str):
        try:
            inner = json.loads(value)
        except (ValueError, RecursionError):
            inner = None
        if not isinstance(inner, list | dict):
            return [part for piece in (value.split(",") if cut else [value]) if (part := piece.strip())]
        value = inner
    if isinstance(value, dict):
        named = next((value[name] for name in ("url", "secure_url", "src", "name") if value.get(name)), None)
        value = list(value.values()) if named is None else [named]
    if not isinstance(value, list | tuple):
        return [text] if (text := _text(value)) else []
    return [text for part in value for text in _texts(part, cut=False)]
