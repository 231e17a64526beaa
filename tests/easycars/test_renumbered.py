"""A vehicle keeps its row, locks and history when the vendor writes its number otherwise or gives it another one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from jobsync.easycars.model import StockPlan
from jobsync.easycars.plan import show_plan
from tests.easycars.memory import Dealer, feed, item
from tests.easycars.test_plan import counts, dealer_with, going

V1, V2 = "6T1A00000X0000001", "6T1A00000X0000002"


def renumbered(plan: StockPlan) -> list[tuple[Any, Any]]:
    """Old and new numbers of the vehicles that have another one now."""
    return [change.changes["stock_number"] for change in plan.changed if change.renumbered]


def row_id(dealer: Dealer, number: str) -> int:
    """The id of the row that is shown under a number."""
    return dealer.rows[number].listed.id


# --- another spelling ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelled", ["AB 12", "ab  12", "Ab\u200b 12", "ab\u00a012"])
def test_another_spelling_is_the_same_row_without_news(spelled: str) -> None:
    """The number is stored as last sent; that is neither an update nor a line in the history."""
    dealer = dealer_with([item("ab 12"), *feed("B")])
    was = row_id(dealer, "ab 12")
    plan = dealer.night([item(spelled), *feed("B")])

    assert (counts(plan), plan.changed, list(dealer.rows)) == ({"unchanged": 2}, [], ["B", spelled])
    assert was == row_id(dealer, spelled)


def test_another_spelling_beside_news_is_no_news_itself() -> None:
    """Only what changed has a line."""
    dealer = dealer_with([item("a1", Price=1)])
    [change] = dealer.night([item("A1", Price=2)]).changed

    assert change.changes == {"price": (Decimal(1), Decimal(2))}
    assert list(dealer.rows) == ["A1"]


def test_a_locked_row_takes_the_spelling() -> None:
    """Locks are of fields; the number is shown as last sent also where all that changed is locked."""
    dealer = dealer_with([item("a1", Price=1)])
    dealer.edit("a1", locked=("price",))
    plan = dealer.night([item("A1", Price=2)])

    assert (counts(plan), dealer.values("A1")["price"]) == ({"skipped": 1}, Decimal(1))


def test_two_spellings_in_one_feed_are_a_conflict() -> None:
    """Nobody can say which is right, though they say the same but for their number."""
    dealer = dealer_with(feed("a1", "B"))
    plan = dealer.night(feed("a1", "A1", "B"))

    assert [refused.stock_number for refused in plan.refused] == ["a1", "A1"]
    assert all("a1, A1" in refused.reason for refused in plan.refused)
    assert (counts(plan), dealer.statuses()["a1"]) == ({"refused": 2, "unchanged": 1}, "active")


def test_a_number_that_nobody_can_see_is_none() -> None:
    """Signs without width alone are no stock number."""
    [refused] = Dealer().plan(feed("\u200b\u00ad")).refused

    assert (refused.code, refused.stock_number) == ("no_stock_number", None)


# --- another number --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vin", [V1, f" {V1[:5].lower()} {V1[5:]} "])
def test_a_new_number_with_the_vin_of_a_missing_row_is_that_row(vin: str) -> None:
    """The row stays, with its values; the number has a line in the history and counts as an update."""
    dealer = dealer_with([item("U1", VIN=V1, Price=1), *feed("B")])
    was = row_id(dealer, "U1")
    plan = dealer.night([item("N1", VIN=vin, Price=1), *feed("B")])

    assert counts(plan) == {"updated": 1, "unchanged": 1, "renumbered": 1}
    assert renumbered(plan) == [("U1", "N1")]
    assert (was, ["B", "N1"]) == (row_id(dealer, "N1"), sorted(dealer.rows))
    assert [entry["changes"]["stock_number"] for entry in show_plan(plan)] == [["U1", "N1"]]


def test_a_removed_row_is_known_by_its_vin_too() -> None:
    """It is revived under the new number."""
    dealer = dealer_with([item("U1", VIN=V1), *feed("B")])
    dealer.night(feed("B"))
    plan = dealer.night([item("N1", VIN=V1), *feed("B")])

    assert counts(plan) == {"revived": 1, "unchanged": 1, "renumbered": 1}
    assert dealer.statuses() == {"N1": "active", "B": "active"}


@pytest.mark.parametrize("removed_first", [False, True])
def test_sold_here_stays_sold_under_a_new_number(removed_first: bool) -> None:
    """What a person sold is not advertised again because the vendor renumbered it."""
    dealer = dealer_with([item("U1", VIN=V1, Price=1), *feed("B")])
    dealer.edit("U1", status="sold")
    if removed_first:
        dealer.night(feed("B"))
    else:
        dealer.edit("U1", price=Decimal(7))
    dealer.night([item("N1", VIN=V1, Price=2), *feed("B")])

    assert dealer.statuses()["N1"] == "sold"
    assert removed_first or dealer.values("N1")["price"] == Decimal(7)
    assert counts(dealer.night([item("N1", VIN=V1, Price=2), *feed("B")])).get("created") is None


def test_locks_stay_with_a_renumbered_row() -> None:
    """A locked price is not lost with the number."""
    dealer = dealer_with([item("U1", VIN=V1, Price=1), *feed("B")])
    dealer.edit("U1", locked=("price",))
    dealer.night([item("N1", VIN=V1, Price=2, Colour="RED"), *feed("B")])

    assert (Decimal(1), "RED") == (dealer.values("N1")["price"], dealer.values("N1")["colour"])


@pytest.mark.parametrize("vin", ["", "TBA", "N/A", "0" * 17, "1234567", None])
def test_a_vin_that_tells_nothing_matches_nothing(vin: str | None) -> None:
    """Placeholders are many vehicles'."""
    dealer = dealer_with([item("U1", VIN=vin), *feed("B")])

    assert counts(dealer.plan([item("N1", VIN=vin), *feed("B")])) == {"created": 1, "removed": 1, "unchanged": 1}


@pytest.mark.parametrize(
    ("before", "tonight", "warned"),
    [
        ([item("U1", VIN=V1)], [item("N1", VIN=V1), item("N2", VIN=V1)], False),
        ([item("U1", VIN=V1), item("U2", VIN=V1)], [item("N1", VIN=V1)], False),
        ([item("U1", VIN=V1)], [item("U1", VIN=V1), item("N1", VIN=V1)], False),
        ([item("U1", VIN=V1)], [item("U1", VIN=V2), item("N1", VIN=V1)], False),
        ([item("U1", VIN=V1)], [item("", VIN=V1), item("N1", VIN=V1)], False),
        ([item("U1", VIN=V1)], [item("N2", VIN=V1, Odometer=10**12), item("N1", VIN=V1)], False),
        ([item("U1", VIN=V1)], [item("N1", VIN=V1)], True),
    ],
    ids=[
        "twice in the feed",
        "two rows",
        "still there",
        "there with another vin",
        "nameless too",
        "refused too",
        "incomplete answer",
    ],
)
def test_in_doubt_nothing_is_merged(before: list[bytes], tonight: list[bytes], warned: bool) -> None:
    """Where a VIN is not one vehicle's alone, the new number is a new row and a warning names it."""
    dealer = dealer_with([*before, *feed("B", "C", "D")])
    plan = dealer.night([*tonight, *feed("B", "C", "D")], warned=warned)

    assert (renumbered(plan), "N1" in [car.stock_number for car in plan.created]) == ([], True)
    assert any(line.startswith("N1: VIN: ") for line in plan.warnings)


def test_a_number_that_another_vehicle_had_is_freed() -> None:
    """A removed row gives its number up to a vehicle that is known by its VIN."""
    dealer = dealer_with([item("A", VIN=V1), item("B", VIN=V2), *feed("C")])
    dealer.night([item("B", VIN=V2), *feed("C")])
    was = row_id(dealer, "B")
    plan = dealer.night([item("A", VIN=V2), *feed("C")])

    assert (renumbered(plan), [row.stock_number for row in plan.retired]) == ([("B", "A")], ["A"])
    assert was == row_id(dealer, "A")


def test_vehicles_that_pass_their_numbers_on() -> None:
    """Each of two vehicles becomes the row that has its VIN, though the one's number was the other's."""
    dealer = dealer_with([item("A", VIN=V1), item("B", VIN=V2), *feed("C")])
    dealer.night([item("B", VIN=V2), *feed("C")])
    ids = row_id(dealer, "A"), row_id(dealer, "B")
    plan = dealer.night([item("A", VIN=V2), item("N", VIN=V1), *feed("C")])

    assert (sorted(renumbered(plan)), plan.retired) == ([("A", "N"), ("B", "A")], [])
    assert ids == (row_id(dealer, "N"), row_id(dealer, "A"))


def test_a_renumbered_vehicle_is_not_missing() -> None:
    """Its old number does not go as well."""
    dealer = dealer_with([item("U1", VIN=V1), *feed("B")])

    assert going(dealer.plan([item("N1", VIN=V1), *feed("B")])) == []


# --- yards -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "named"), [("mel", "MEL "), ("7", "007"), ("00", "0"), ("North  Yard", "north yard")]
)
def test_a_yard_in_another_spelling_is_that_yard(asked: str, named: str) -> None:
    """SQL Server at the vendor's takes them for the same."""
    dealer = dealer_with([item("A", YardCode=named)], yard=asked)

    assert counts(dealer.night([item("A", YardCode=named)])) == {"unchanged": 1}
    dealer.yard = f" {asked.upper()}"
    assert (counts(dealer.night([])), dealer.log[-1][1]) == ({"held": 1}, None)


@pytest.mark.parametrize(("asked", "named"), [("7", "70"), ("mel", "syd"), ("0", "1")])
def test_another_yard_is_refused(asked: str, named: str) -> None:
    """With the code as it was sent and as it was asked for."""
    [refused] = Dealer(yard=asked).plan([item("A", YardCode=named)]).refused

    assert (refused.code, f"yard {named}" in refused.reason) == ("other_yard", True)
