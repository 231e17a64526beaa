"""The invented stock and its oddities."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from jobsync.sandbox.fields import FIELDS
from jobsync.sandbox.oddities import HUGE_BYTES, ODDITIES, WRONG_YARD, odd_items, odd_stock_number
from jobsync.sandbox.scenario import Body, Dealer, Items, Night, Scenario
from jobsync.sandbox.stock import entries_on, vehicles_on
from tests.sandbox.differences import expected_differences

DEALER = Dealer("Test Yard", "EC900001", "secret", "client", vehicles=200, yards=("100", "200"))


def test_fields_are_72() -> None:
    """The document knows 72 fields, none twice."""
    assert len(FIELDS) == len(set(FIELDS)) == 72


@pytest.mark.parametrize("night", [1, 2, 9])
def test_vehicles_have_the_fields(night: int) -> None:
    """Every vehicle of every night has the documented fields in the documented order, and a stock number of its own."""
    lot = vehicles_on(DEALER, night)

    assert {tuple(vehicle) for vehicle in lot} == {FIELDS}
    assert len({vehicle["StockNumber"] for vehicle in lot}) == len(lot) == 200


def test_stock_is_deterministic() -> None:
    """The same dealer, seed and night give the same stock; another seed or account gives another."""
    again, other_seed = replace(DEALER, name="Test Yard"), replace(DEALER, seed=2)

    assert vehicles_on(again, 3) == vehicles_on(DEALER, 3)
    assert vehicles_on(other_seed, 3) != vehicles_on(DEALER, 3)
    assert vehicles_on(replace(DEALER, account_number="EC900002"), 3) != vehicles_on(DEALER, 3)


def test_stock_has_the_vendors_habits() -> None:
    """Some VINs are empty, some prices null, some badges end in a space, some vehicles have no photo."""
    lot = vehicles_on(DEALER, 1)

    assert 0 < sum(vehicle["VIN"] == "" for vehicle in lot) < 100
    assert 0 < sum(vehicle["Price"] is None for vehicle in lot) < 50
    assert any(str(vehicle["Badge"]).endswith(" ") for vehicle in lot)
    assert any(vehicle["ImageURLs"] == "" and vehicle["ImageCount"] == 0 for vehicle in lot)


def test_nights_differ_by_the_documented_shares() -> None:
    """Of 200 vehicles 4 change, 2 go, 2 come and 2 are sold in the first night; the sold are gone the night after."""
    first, second = expected_differences(DEALER, 1, 2), expected_differences(DEALER, 2, 3)

    assert [len(part) for part in (first.changed, first.removed, first.added, first.sold)] == [4, 2, 2, 2]
    assert set(first.sold) < set(second.removed)
    assert len(second.removed) == len(second.added) == 4


def test_differences_of_one_night_with_itself_are_none() -> None:
    """A night does not differ from itself."""
    same = expected_differences(DEALER, 4, 4)

    assert same.added == same.removed == same.changed == same.sold == ()


def test_a_raw_body_has_no_differences() -> None:
    """What is not a list of items cannot be compared, and that is said."""
    raw = replace(DEALER, nights={2: Night(body_file=Body(b"{}"))})

    with pytest.raises(ValueError, match="raw body on night 2"):
        expected_differences(raw, 1, 2)


@pytest.mark.parametrize("vehicles", [0, 1, 4, 5])
def test_small_lots_live_for_many_nights(vehicles: int) -> None:
    """A dealer with few or no vehicles has as many after 50 nights."""
    assert len(vehicles_on(replace(DEALER, vehicles=vehicles), 50)) == vehicles


def test_demo_dealers_show_every_difference() -> None:
    """The two sound demo dealers have something added, removed, changed and sold on night 2, one price among it."""
    scenario = Scenario()
    for dealer in scenario.dealers[:2]:
        differences = expected_differences(dealer, 1, 2)
        before = {vehicle["StockNumber"]: vehicle["Price"] for vehicle in vehicles_on(dealer, 1)}
        after = {vehicle["StockNumber"]: vehicle["Price"] for vehicle in vehicles_on(dealer, 2)}

        assert all((differences.added, differences.removed, differences.changed, differences.sold))
        assert any(before[number] != after[number] for number in differences.changed)


def _odd(name: str) -> list[bytes]:
    night = Night(oddities=(name,))
    entries = entries_on(replace(DEALER, vehicles=3, nights={1: night}), 1)
    return [entry.text for entry in entries[3:]]


@pytest.mark.parametrize("name", ODDITIES)
def test_oddities_are_added_after_the_sound_items(name: str) -> None:
    """Each oddity adds one item, the duplicates two, and leaves the sound ones as they are."""
    assert len(_odd(name)) == (2 if name.startswith("duplicate") else 1)


def test_identical_duplicates_are_identical() -> None:
    """Both copies are the same bytes."""
    first, second = _odd("duplicate_identical")

    assert first == second


def test_conflicting_duplicates_share_their_number() -> None:
    """Both copies have one stock number and two prices."""
    first, second = map(json.loads, _odd("duplicate_conflicting"))

    assert first["StockNumber"] == second["StockNumber"] == odd_stock_number("duplicate_conflicting")
    assert first["Price"] != second["Price"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nan_price", b'"Price":NaN,'),
        ("nul_character", rb"kilometres\u0000one"),
        ("lone_surrogate", rb"car \ud83d"),
        ("numbers_as_strings", b'"Price":"23990.00"'),
        ("no_stock_number", b'"StockNumber":""'),
        ("not_an_object", b'"see the office"'),
        ("wrong_yard", f'"YardCode":"{WRONG_YARD}"'.encode()),
        ("negative_price", b'"Price":-1,'),
        ("lossy_number", b'"Odometer":45210.5'),
        ("unknown_fields", b'"BatteryHealth":97'),
    ],
)
def test_oddities_are_odd_as_text(name: str, text: bytes) -> None:
    """What makes an item odd stands in its raw text."""
    assert text in _odd(name)[0]


def test_the_huge_description_is_huge() -> None:
    """One item is larger than 5 MB."""
    assert len(_odd("huge_description")[0]) > HUGE_BYTES


def test_missing_fields_are_missing() -> None:
    """Only four fields are left."""
    assert list(json.loads(_odd("missing_fields")[0])) == ["StockNumber", "Make", "Model", "YearGroup"]


def test_oddities_need_no_stock() -> None:
    """Oddities can be sent by a dealer without vehicles, and by one whose items are written down."""
    empty = replace(DEALER, vehicles=0, nights={1: Night(oddities=("nan_price",))})
    listed = replace(empty, vehicles=None, items=Items([b"{}"]))

    assert [len(entries_on(dealer, 1)) for dealer in (empty, listed)] == [1, 2]
    assert odd_items("nan_price", vehicles_on(DEALER, 1)[0])
