"""What becomes of the original's words."""

from __future__ import annotations

from typing import Any

import pytest

from jobsync.adopt.plan import Leave, plan_credentials, plan_document, plan_log, plan_setting, plan_vehicle, settle

VEHICLE: dict[str, Any] = {
    **dict.fromkeys(
        ("id", "dealership_id", "stock_number", "yard_code", "vin", "make", "model", "badge", "series", "year", "price")
    ),
    **dict.fromkeys(
        ("special_price", "odometer", "condition", "status", "title", "description", "images", "data_source", "colour")
    ),
    **dict.fromkeys(
        ("interior_colour", "body", "fuel_type", "transmission", "engine_capacity", "doors", "features", "created_at")
    ),
    "id": 1,
    "dealership_id": 1,
}


def vehicle(**values: Any) -> dict[str, Any]:
    """Plan one vehicle."""
    row = {**VEHICLE, **values}
    return plan_vehicle(row, settle([row], [1]))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("active", ("active", None)),
        ("Pending", ("deposit", None)),
        ("sold", ("sold", None)),
        ("draft", ("excluded", "person")),
        (None, ("active", None)),
    ],
)
def test_status(word: str | None, expected: tuple[str, str | None]) -> None:
    """A draft was kept off by a person, so only a person lists it."""
    planned = vehicle(status=word)

    assert expected == (planned["status"], planned["excluded_by"])


@pytest.mark.parametrize(
    ("word", "expected"),
    [("EasyCars", "easycars"), ("Manual", "manual"), ("Import", "import"), (None, "manual"), ("Other", "manual")],
)
def test_source(word: str | None, expected: str) -> None:
    """What is not plainly of EasyCars is of a person, and no sync touches it."""
    assert expected == vehicle(data_source=word, stock_number="A1")["data_source"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        (["a", " b ", "", None], ["a", "b"]),
        ([{"url": "https://x.example/1"}, {"url": ""}], ["https://x.example/1"]),
        ({"Safety": ["ABS", "Airbags"], "Comfort": ["Aircon"]}, ["ABS", "Airbags", "Aircon"]),
        ('["a", "b"]', ["a", "b"]),
        ("a, b,", ["a", "b"]),
    ],
)
def test_features_in_any_form_are_texts_in_their_order(value: object, expected: list[str]) -> None:
    """A list, groups of lists, JSON text, or one text with commas."""
    assert expected == vehicle(features=value)["features"]


def test_a_url_with_a_comma_stays_whole() -> None:
    """Only features are cut at commas."""
    assert ["https://x.example/w_1,h_2/a.jpg"] == vehicle(images="https://x.example/w_1,h_2/a.jpg")["images"]


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"stock_number": " ", "data_source": "EasyCars"}, "stock number"),
        ({"stock_number": "\u200b", "data_source": "EasyCars"}, "stock number"),
        ({"status": "archived"}, "archived"),
        ({"dealership_id": 2}, "dealership 2"),
    ],
)
def test_a_vehicle_is_left_with_its_reason(row: dict[str, Any], word: str) -> None:
    """It is not brought in another form than it had."""
    lot = settle([{**VEHICLE, **row}], [1])

    assert ([], [("vehicle", 1)]) == ([*lot.dealership_of], [(left.what, left.id) for left in lot.left])
    assert word in lot.left[0].reason


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([(1, "active"), (2, "sold")], 1),
        ([(1, "sold"), (2, "pending")], 2),
        ([(1, "active"), (2, "active")], 2),
        ([(1, "draft"), (2, "sold"), (3, "sold")], 3),
    ],
)
def test_the_advertised_row_keeps_the_number_else_the_newer(rows: list[tuple[int, str]], kept: int) -> None:
    """As for rows that collided when the key was introduced."""
    found = settle(
        [{**VEHICLE, "id": n, "status": s, "stock_number": "A1", "data_source": "EasyCars"} for n, s in rows], [1]
    )

    assert {number for number, _ in rows} - {kept} == found.retired.keys()
    assert all(new == f"A1~{number} " for number, (_, new) in found.retired.items())


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("easycar_sync_enabled", "True", "true"),
        ("easycar_sync_cron", " 0  2 * * * ", "0 2 * * *"),
        ("easycar_sync_concurrency", "08", "8"),
    ],
)
def test_setting(key: str, value: str, expected: str) -> None:
    """Spelled as they are stored here."""
    assert {"value": expected} == plan_setting({"key": key, "value": value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("easycar_image_sync_enabled", "true"),
        ("easycar_sync_cron", "@daily"),
        ("easycar_sync_cron", "0 0 2 * * *"),
        ("easycar_sync_concurrency", "0"),
        ("easycar_sync_enabled", None),
        ("ride_enabled", "true"),
    ],
)
def test_a_setting_that_is_left(key: str, value: str | None) -> None:
    """Unknown here, or unreadable: nothing is guessed."""
    with pytest.raises(Leave):
        plan_setting({"key": key, "value": value})


@pytest.mark.parametrize("text", ["[]", '"x"', "{", "1", "{" * 3])
def test_a_document_that_is_no_object_is_left(text: str) -> None:
    """It can be no stock item."""
    with pytest.raises(Leave):
        plan_document({"vehicle_id": 1, "document": text, "synced_at": None})


@pytest.mark.parametrize(
    ("word", "expected"), [("Success", "Success"), ("partialsuccess", "PartialSuccess"), ("Warning", "PartialSuccess")]
)
def test_log_status(word: str, expected: str) -> None:
    """Those of an earlier version too."""
    row = dict.fromkeys(
        ("sync_type", "started_at", "duration_ms", "error_messages", "api_version", "items_processed"), None
    )
    row |= {"items_succeeded": None, "items_failed": None, "dealership_id": 1, "status": word, "synced_at": "then"}

    assert expected == plan_log(row, None)["status"]


@pytest.mark.parametrize("values", [{"environment": None}, {"client_secret_encrypted": ""}])
def test_credentials_that_cannot_be_used_are_left(values: dict[str, Any]) -> None:
    """Which value is missing is said, never a value."""
    names = ("client_id_encrypted", "client_secret_encrypted", "account_number_encrypted", "account_secret_encrypted")
    row: dict[str, Any] = dict.fromkeys(names, "AA")
    row |= {"environment": "test", "yard_code": None, "is_active": True}
    with pytest.raises(Leave, match=r"client_secret|environment"):
        plan_credentials({**row, **values})
