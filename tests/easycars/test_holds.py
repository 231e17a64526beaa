"""Holds: a night judged whole, against a dealership in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobsync.easycars.identity import stock_key
from jobsync.easycars.model import Policy, StockPlan
from jobsync.easycars.plan import show_plan
from jobsync.runner.job import ItemStatus
from tests.easycars.memory import DAY, Dealer, feed, item

RECEIVED = ("created", "updated", "unchanged", "revived", "refused", "skipped")
VIN = "6T1BF3FK00X{:06}"


def counts(plan: StockPlan) -> dict[str, int]:
    """The plan's numbers that are not 0."""
    return {name: number for name, number in plan.counts.items() if number}


def kinds(plan: StockPlan) -> dict[str, int]:
    """How many vehicles each kind holds."""
    return {hold.kind: len(hold.stock_numbers) for hold in plan.holds}


def going(plan: StockPlan) -> list[str]:
    """The stock numbers that the plan removes."""
    return sorted(row.stock_number for row in plan.removed)


def lot(first: int, last: int, start: int = 0, **keys: Any) -> list[bytes]:
    """Items S1 … Sn, each with a VIN of its own, a price, a picture and a text; VINs count from `start`."""
    told = {"Price": 20000, "ImageURLs": "http://x/1.jpg", "AdvDescription": "as new", **keys}
    return [item(f"S{n}", VIN=VIN.format(start + n), **told) for n in range(first, last + 1)]


def dealer_with(items: Sequence[bytes], **more: Any) -> Dealer:
    """A dealership after its first night."""
    dealer = Dealer(**more)
    dealer.night(items)
    return dealer


def prices(dealer: Dealer) -> set[Any]:
    """All prices that there are."""
    return {row.values["price"] for row in dealer.rows.values()}


# --- removals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sold", "sale", "gone", "held"), [(200, 40, 40, True), (20, 8, 8, True), (200, 40, 12, False)]
)
def test_sold_cars_do_not_dilute_what_is_for_sale(sold: int, sale: int, gone: int, held: bool) -> None:
    """A small share of the list may be all that is advertised."""
    old = feed(*(f"X{number}" for number in range(sold)), StockStatus="Sold")
    plan = dealer_with([*old, *lot(1, sale)]).plan([*old, *lot(gone + 1, sale)])

    assert plan.counts["held"] == (gone if held else 0)
    assert len(plan.removed) == (0 if held else gone)


def test_excluded_rows_are_neither_listed_nor_advertised() -> None:
    """They are no part of the whole that a share is taken of, and do not go."""
    dealer = dealer_with(lot(1, 30))
    for number in range(11, 31):
        dealer.edit(f"S{number}", status="excluded")
    plan = dealer.plan(lot(1, 4))

    assert (plan.listed, plan.advertised, plan.counts["held"], going(plan)) == (10, 10, 6, [])


def nights_of(dealer: Dealer, *last: int) -> list[tuple[int, int]]:
    """How many go and are held in nights whose feed ends at these numbers."""
    plans = [dealer.night(lot(1, number)) for number in last]
    return [(plan.counts["removed"], plan.counts["held"]) for plan in plans]


def test_a_drain_is_judged_over_the_week() -> None:
    """A quarter each night is within the limit of a night and beyond that of a week."""
    assert nights_of(dealer_with(lot(1, 40)), 31, 24, 18, 14) == [(9, 0), (0, 7), (0, 13), (0, 17)]


def test_a_week_later_the_count_begins_anew() -> None:
    """What went more than seven days ago counts no more."""
    dealer = dealer_with(lot(1, 40))
    nights = nights_of(dealer, 31)
    dealer.now += 7 * DAY

    assert [*nights, *nights_of(dealer, 24)] == [(9, 0), (7, 0)]


def test_a_lot_that_is_restocked_does_not_drain() -> None:
    """As many come as go: it has not shrunk."""
    dealer = dealer_with(lot(1, 40))
    plans = [dealer.night(lot(start, start + 39)) for start in (10, 19, 28, 37)]

    assert [plan.counts["held"] for plan in plans] == [0, 0, 0, 0]


def test_rows_that_come_back_do_not_drain() -> None:
    """A feed that leaves out others each night flaps; nothing is gone for good."""
    dealer = dealer_with(lot(1, 40))
    nights = [[*lot(1, start), *lot(start + 10, 40)] for start in (1, 11, 21, 28, 1, 11)]

    assert [dealer.night(night).counts["held"] for night in nights] == [0] * 6


def test_an_approval_begins_a_new_week() -> None:
    """What a person let go is no part of a drain."""
    dealer = dealer_with(lot(1, 40))
    dealer.night(lot(1, 20))
    dealer.decide("approved")
    dealer.night(lot(1, 20))

    assert nights_of(dealer, 15) == [(5, 0)]


def test_a_drain_in_days_of_grace_is_seen() -> None:
    """Missing rows that wait for their time are as good as gone."""
    dealer = dealer_with(lot(1, 40), policy=Policy(grace_days=3))

    assert [held for _, held in nights_of(dealer, 31, 24)] == [0, 7]


def test_sales_alone_are_no_drain() -> None:
    """Cars that become sold stay listed; only what goes counts, against those that are for sale too."""
    dealer = dealer_with(lot(1, 40))
    sold = [*lot(1, 25), *lot(26, 35, StockStatus="Sold")]
    dealer.night([*sold, *lot(36, 40)])
    plan = dealer.night(sold)

    assert (plan.counts["removed"], plan.counts["held"]) == (5, 0)


# --- an item without a number ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nameless", "gone"),
    [
        ({"VIN": VIN.format(999)}, ["S1", "S2"]),
        ({"VIN": VIN.format(1)}, ["S2"]),
        ({"VIN": f" {VIN.format(1).lower()}"}, ["S2"]),
        ({"VIN": "TBA", "Make": "FORD", "Model": "Ranger", "YearGroup": 2020}, ["S2"]),
        ({"VIN": "", "Make": "Ford"}, []),
        ({"VIN": "", "Make": "ford", "Model": "Ranger", "YearGroup": 2019}, ["S1", "S2"]),
        ({"VIN": ""}, []),
    ],
    ids=["another VIN", "its VIN", "its VIN spelled", "make, model, year", "make", "another year", "nothing"],
)
def test_an_item_without_a_number_keeps_what_it_could_be(nameless: dict[str, Any], gone: list[str]) -> None:
    """Its VIN, or else make, model and year, tell which rows may be it; only those stay."""
    first = item("S1", VIN=VIN.format(1), Make="Ford", Model="RANGER", YearGroup=2020)
    second = item("S2", VIN=VIN.format(2), Make="Ford", Model="Focus", YearGroup=2020)
    dealer = dealer_with([first, second, *lot(3, 12)])
    plan = dealer.plan([*lot(3, 12), item("", **{"Make": "", "Model": "", "YearGroup": 0, **nameless})])

    assert (going(plan), plan.status) == (gone, ItemStatus.PARTIAL)


# --- values ----------------------------------------------------------------------------------------------------------

LOST = [
    ("sold", {"StockStatus": "Sold"}, "status"),
    ("prices", {"Price": None}, "price"),
    ("prices", {"Price": 0}, "price"),
    ("prices", {"Price": 2000}, "price"),
    ("prices", {"Price": 200000}, "price"),
    ("pictures", {"ImageURLs": "", "ImageCount": 0}, "images"),
    ("descriptions", {"AdvDescription": " "}, "description"),
]


@pytest.mark.parametrize(("kind", "keys", "column"), LOST)
@pytest.mark.parametrize(("of", "lose", "held"), [(12, 12, True), (20, 7, True), (20, 6, False), (9, 5, False)])
def test_what_too_many_lose_is_held(
    kind: str, keys: dict[str, Any], column: str, of: int, lose: int, held: bool
) -> None:
    """Beyond share and floor the values stay, below they follow the feed."""
    dealer = dealer_with(lot(1, of))
    before = dealer.values("S1")[column]
    plan = dealer.night([*lot(1, lose, **keys), *lot(lose + 1, of)])

    assert kinds(plan) == ({kind: lose} if held else {})
    assert plan.counts["held"] == (lose if held else 0)
    assert (dealer.values("S1")[column] == before) is held
    assert (plan.status is ItemStatus.HELD) is held


@pytest.mark.parametrize(("kind", "keys", "column"), LOST)
@pytest.mark.parametrize(("of", "held"), [(1, False), (2, True), (5, True)])
def test_a_small_lot_may_sell_out_but_not_lose_all_else(
    kind: str, keys: dict[str, Any], column: str, of: int, held: bool
) -> None:
    """All of two or more is too many whatever the floor, except for sales."""
    held = held and kind != "sold"
    dealer = dealer_with(lot(1, of))
    plan = dealer.night(lot(1, of, **keys))

    assert kinds(plan) == ({kind: of} if held else {})
    assert [hold.reason for hold in plan.holds] == (["all"] if held else [])


@pytest.mark.parametrize(
    ("prices", "held"),
    [
        ((200, 250), True),
        ((20, 25), True),
        ((2_000_000, 2_500_000), True),
        ((199.99, 249.99), True),
        ((2000, 250), True),
        ((2000, 250_000), True),
        ((2000, 0), True),
        ((None, 25), True),
        ((5, 5), False),
        ((None, 5), True),
        ((1999, 999_999), False),
        ((None, 25_001), False),
    ],
)
def test_a_small_lots_prices_are_lost_if_one_is_gone_or_its_decimal_point_moved(
    prices: tuple[float | None, float], held: bool
) -> None:
    """All of them must be lost; a handful that each move by much otherwise may be a handful of new prices."""
    dealer = dealer_with([*lot(1, 1, Price=20_000), *lot(2, 2, Price=25_000)])
    plan = dealer.night([*lot(1, 1, Price=prices[0]), *lot(2, 2, Price=prices[1])])

    assert kinds(plan) == ({"prices": 2} if held else {})


@pytest.mark.parametrize("price", [2001, 199999, 19000])
def test_a_price_that_moves_is_not_lost(price: int) -> None:
    """Less than a factor of ten is a price."""
    assert kinds(dealer_with(lot(1, 12)).plan(lot(1, 12, Price=price))) == {}


def test_prices_that_come_are_not_held() -> None:
    """From none to some, or from 0, nothing is lost."""
    assert kinds(dealer_with(lot(1, 12, Price=None)).plan(lot(1, 12))) == {}
    assert kinds(dealer_with(lot(1, 12, Price=0)).plan(lot(1, 12))) == {}


def test_only_what_is_advertised_can_lose() -> None:
    """Sold cars often lose price and pictures; nobody misses them."""
    dealer = dealer_with([*lot(1, 12, StockStatus="Sold"), *lot(13, 14)])
    plan = dealer.plan([*lot(1, 12, StockStatus="Sold", Price=None, ImageURLs="", ImageCount=0), *lot(13, 14)])

    assert (kinds(plan), counts(plan)) == ({}, {"updated": 12, "unchanged": 2})


def test_a_car_sold_tonight_may_lose_its_price_with_it() -> None:
    """A small lot that sells out does not ask about the prices of what it sold."""
    dealer = dealer_with(lot(1, 3))
    plan = dealer.night(lot(1, 3, StockStatus="Sold", Price=None))

    assert (kinds(plan), prices(dealer)) == ({}, {None})


def test_where_sales_are_held_prices_are_too() -> None:
    """A car that stays advertised keeps its price; each vehicle is counted once."""
    dealer = dealer_with(lot(1, 12))
    plan = dealer.night(lot(1, 12, StockStatus="Sold", Price=None))

    assert (kinds(plan), plan.counts["held"]) == ({"sold": 12, "prices": 12}, 12)
    assert {*dealer.statuses().values()} == {"active"}
    assert prices(dealer) == {20000}


def test_special_price_stays_with_the_price() -> None:
    """Both are one offer."""
    dealer = dealer_with(lot(1, 12, AdvSpecialPrice=15000))
    dealer.night(lot(1, 12, Price=None, AdvSpecialPrice=None))

    assert dealer.values("S1")["special_price"] == 15000


def test_the_rest_of_a_held_item_is_applied() -> None:
    """A hold keeps its own columns and nothing else; the vendor's word follows the feed."""
    dealer = dealer_with(lot(1, 12))
    plan = dealer.night([*lot(1, 1, StockStatus="Sold", Price=19000), *lot(2, 12, StockStatus="Sold")])
    values = dealer.values("S1")

    assert counts(plan) == {"updated": 12, "held": 12}
    assert (values["status"], values["stock_status"], values["price"]) == ("active", "Sold", 19000)


def test_an_item_whose_only_change_is_held_is_unchanged() -> None:
    """Nothing of it is written."""
    plan = dealer_with(lot(1, 12)).plan(lot(1, 12, Price=None))

    assert (counts(plan), plan.changed) == ({"unchanged": 12, "held": 12}, [])


@pytest.mark.parametrize("decision", [None, "rejected"])
def test_what_is_kept_back_is_judged_again_each_night(decision: str | None) -> None:
    """The same feed again finds the same difference, be it undecided or rejected."""
    dealer = dealer_with(lot(1, 12))
    night = [*lot(1, 6, StockStatus="Sold"), *lot(7, 12, StockStatus="Sold", Price=19000)]
    dealer.night(night)
    if decision:
        dealer.decide(decision)
    plan = dealer.night(night)

    assert counts(plan) == {"unchanged": 12} | ({} if decision else {"held": 12})
    assert [hold.pending_id for hold in plan.holds] == ([] if decision else [1])
    assert plan.status is (ItemStatus.SUCCESS if decision else ItemStatus.HELD)
    assert any("rejected" in warning for warning in plan.warnings) is (decision is not None)


def test_the_old_feed_ends_a_hold_and_what_it_left() -> None:
    """What was applied beside the hold goes back too, though the very bytes of before come again."""
    dealer = dealer_with(lot(1, 12))
    dealer.night(lot(1, 12, StockStatus="Sold", Price=19000))
    plan = dealer.night(lot(1, 12))

    assert (counts(plan), plan.superseded) == ({"updated": 12}, [1])
    assert prices(dealer) == {20000}
    assert counts(dealer.night(lot(1, 12))) == {"unchanged": 12}


@pytest.mark.parametrize(("kind", "keys", "column"), LOST)
def test_approval_lets_through_what_the_feed_still_says(kind: str, keys: dict[str, Any], column: str) -> None:
    """Of the approved set; the night after is quiet."""
    dealer = dealer_with(lot(1, 12))
    before = dealer.values("S1")[column]
    night = lot(1, 12, **keys)
    dealer.night(night)
    dealer.decide("approved")
    plan = dealer.night(night)

    assert (kinds(plan), plan.spent) == ({}, [1])
    assert dealer.values("S1")[column] != before
    assert counts(dealer.night(night)) == {"unchanged": 12}


def test_beyond_an_approval_is_judged_anew() -> None:
    """Six were approved, twelve more follow."""
    dealer = dealer_with(lot(1, 30))
    dealer.night([*lot(1, 10, Price=None), *lot(11, 30)])
    dealer.decide("approved")
    plan = dealer.night([*lot(1, 22, Price=None), *lot(23, 30)])

    assert (kinds(plan), plan.spent) == ({"prices": 12}, [1])
    assert dealer.values("S1")["price"] is None
    assert dealer.values("S22")["price"] == 20000


def test_another_set_supersedes_and_one_within_the_limit_is_applied() -> None:
    """Of each kind by itself."""
    dealer = dealer_with(lot(1, 20))
    dealer.night([*lot(1, 10, Price=None), *lot(11, 20)])
    other = dealer.night([*lot(1, 11, Price=None), *lot(12, 20)])
    few = dealer.night([*lot(1, 3, Price=None), *lot(4, 20)])

    assert (kinds(other), other.superseded) == ({"prices": 11}, [1])
    assert (kinds(few), few.superseded, counts(few)) == ({}, [2], {"updated": 3, "unchanged": 17})


def test_a_locked_value_is_not_lost() -> None:
    """What cannot change is no part of the share."""
    dealer = dealer_with(lot(1, 12))
    for number in range(1, 8):
        dealer.edit(f"S{number}", locked=("price",))

    assert kinds(dealer.plan(lot(1, 12, Price=None))) == {}


@pytest.mark.parametrize("price", ["POA", "39,99", "12k"])
def test_unreadable_prices_are_no_loss(price: str) -> None:
    """They count as absent: the prices stay, and somebody has to look."""
    dealer = dealer_with(lot(1, 12))
    plan = dealer.night(lot(1, 12, Price=price))

    assert (plan.status, kinds(plan), prices(dealer)) == (ItemStatus.PARTIAL, {}, {20000})


def test_a_map_that_excludes_too_many_is_held() -> None:
    """As if all were sold: they would be gone from the site."""
    dealer = dealer_with(lot(1, 12))
    dealer.policy = Policy(status_map={"in stock": "excluded"})
    plan = dealer.night(lot(1, 12))

    assert (kinds(plan), {*dealer.statuses().values()}) == ({"sold": 12}, {"active"})


def test_values_are_judged_though_the_answer_is_incomplete() -> None:
    """What comes with Code 5 is applied, so it is judged."""
    assert kinds(dealer_with(lot(1, 12)).plan(lot(1, 12, Price=None), warned=True)) == {"prices": 12}


def test_several_kinds_in_one_night() -> None:
    """Each has a hold of its own; the plan shows what is applied and what is kept back."""
    dealer = dealer_with(lot(1, 24))
    plan = dealer.plan([*lot(1, 8, Price=None, Colour="RED"), *lot(9, 16, StockStatus="Sold")])
    shown = [(entry["action"], entry["changes"]) for entry in show_plan(plan) if entry["stock_number"] == "S1"]

    assert kinds(plan) == {"removals": 8, "sold": 8, "prices": 8}
    assert plan.reason == "limit, sold, prices"
    assert shown == [("update", {"colour": [None, "RED"]}), ("hold", {"price": ["20000", None]})]


# --- another dealership's feed ---------------------------------------------------------------------------------------


def other(first: int, last: int) -> list[bytes]:
    """A lot of other numbers and VINs."""
    return [item(f"O{n}", VIN=VIN.format(500 + n), Price=1) for n in range(first, last + 1)]


def elsewhere(first: int, last: int) -> frozenset[str]:
    """The VINs of `other`."""
    return frozenset(VIN.format(500 + n) for n in range(first, last + 1))


def test_a_feed_that_shares_nothing_is_not_applied() -> None:
    """Neither its vehicles come nor those that are listed go; each item is skipped, each listed vehicle held."""
    dealer = dealer_with(lot(1, 4))
    plan = dealer.night(other(1, 12))

    assert (plan.status, counts(plan)) == (ItemStatus.HELD, {"skipped": 12, "held": 4})
    assert [(hold.kind, hold.reason, len(hold.stock_numbers), len(hold.vins)) for hold in plan.holds] == [
        ("foreign_feed", "nothing_in_common", 12, 12)
    ]
    assert dealer.statuses() == {f"S{n}": "active" for n in range(1, 5)}


@pytest.mark.parametrize(
    ("items", "shares"),
    [
        (lot(1, 1), True),
        ([item(" s1 ")], True),
        ([item("NEW", VIN=VIN.format(2))], True),
        ([item("NEW", VIN="TBA")], False),
        ([item("S3", Odometer=10**12)], True),
    ],
    ids=["number", "spelling", "VIN", "no VIN", "refused"],
)
def test_one_shared_vehicle_is_enough(items: list[bytes], shares: bool) -> None:
    """A number in any spelling, a VIN, even of an item that is refused."""
    dealer = dealer_with([*lot(1, 3), item("S4", VIN="TBA")])
    plan = dealer.plan([*items, *other(1, 2)])

    assert ("foreign_feed" not in kinds(plan)) is shares


def test_one_listed_vehicle_may_be_replaced() -> None:
    """Of a single car nothing can be told."""
    assert counts(dealer_with(lot(1, 1)).plan(other(1, 2))) == {"created": 2, "removed": 1}


@pytest.mark.parametrize(
    ("known", "foreign", "held"), [(0, 3, True), (0, 2, False), (3, 3, False), (3, 4, True), (10, 4, False)]
)
def test_most_vins_listed_elsewhere_are_another_dealerships_feed(known: int, foreign: int, held: bool) -> None:
    """Three at the least and more than half, though some vehicles are shared; also where nothing is listed yet."""
    dealer = dealer_with(lot(1, known))
    dealer.elsewhere = elsewhere(1, foreign)
    plan = dealer.plan([*lot(1, known), *other(1, foreign)])

    assert kinds(plan) == ({"foreign_feed": known + foreign} if held else {})


def test_what_two_dealerships_list_already_is_no_foreign_feed() -> None:
    """They share an account, and somebody approved that."""
    dealer = dealer_with(other(1, 12))
    dealer.elsewhere = elsewhere(1, 13)

    assert kinds(dealer.plan(other(1, 13))) == {}


def foreign_dealer() -> Dealer:
    """Four rows of its own, and a foreign feed of twelve that waits."""
    dealer = dealer_with(lot(1, 4))
    dealer.night(other(1, 12))
    return dealer


@pytest.mark.parametrize(("first", "last", "same"), [(1, 12, True), (6, 20, True), (7, 20, False)])
def test_the_same_foreign_feed_stays_one_question(first: int, last: int, same: bool) -> None:
    """While more than half of its vehicles come again."""
    plan = foreign_dealer().night(other(first, last))

    expected: tuple[list[int | None], list[int]] = ([1], []) if same else ([None], [1])
    assert expected == ([hold.pending_id for hold in plan.holds], list(plan.superseded))


def test_the_right_feed_ends_the_question() -> None:
    """Nothing was changed, nothing waits."""
    plan = foreign_dealer().night(lot(1, 4))

    assert (counts(plan), plan.superseded) == ({"unchanged": 4}, [1])


def test_an_approved_feed_goes_through_whole() -> None:
    """Its removals too, and no other question is asked about it."""
    dealer = dealer_with(lot(1, 12))
    dealer.night(other(1, 12))
    dealer.decide("approved")
    plan = dealer.night(other(12, 14))

    assert (counts(plan), plan.spent) == ({"created": 3, "removed": 12}, [1])
    assert counts(dealer.night(other(12, 14))) == {"unchanged": 3}


def test_an_approval_is_for_that_feed_alone() -> None:
    """Another foreign feed is asked about."""
    dealer = foreign_dealer()
    dealer.decide("approved")
    plan = dealer.night(other(13, 24))

    assert (kinds(plan), plan.spent) == ({"foreign_feed": 12}, [])


def test_an_approval_ends_with_the_right_feed() -> None:
    """The account was put right instead."""
    dealer = foreign_dealer()
    dealer.decide("approved")
    right = dealer.night(lot(1, 4))
    plan = dealer.night(other(1, 12))

    assert (counts(right), right.spent, kinds(plan)) == ({"unchanged": 4}, [1], {"foreign_feed": 12})


def test_an_approval_ends_after_a_week() -> None:
    """Nobody remembers what was meant."""
    dealer = foreign_dealer()
    dealer.decide("approved")
    dealer.now += 8 * DAY
    plan = dealer.night(other(1, 12))

    assert (kinds(plan), plan.spent) == ({"foreign_feed": 12}, [1])


def test_a_rejected_foreign_feed_is_not_asked_about_again() -> None:
    """Nothing of it is applied, as long as it comes."""
    dealer = foreign_dealer()
    dealer.decide("rejected")
    plan = dealer.night(other(2, 13))

    assert (plan.status, counts(plan)) == (ItemStatus.SUCCESS, {"skipped": 12})
    assert kinds(dealer.night(other(30, 40))) == {"foreign_feed": 11}


def test_a_foreign_night_leaves_other_questions_open() -> None:
    """It says nothing about them."""
    dealer = dealer_with(lot(1, 12))
    dealer.night(lot(1, 12, Price=None))
    dealer.night(other(1, 12))
    plan = dealer.night(lot(1, 12, Price=None))

    assert [hold.pending_id for hold in plan.holds] == [1]


# --- all feeds -------------------------------------------------------------------------------------------------------

VALUES = st.fixed_dictionaries(
    {},
    optional={
        "Price": st.sampled_from([None, 0, 2000, 20000, 21000, "POA"]),
        "StockStatus": st.sampled_from(["In Stock", "Sold", "sold - delivered", "Wholesaled"]),
        "ImageURLs": st.sampled_from(["", "http://x/1.jpg", "http://x/2.jpg"]),
        "AdvDescription": st.sampled_from(["", "as new"]),
    },
)
NIGHTS = st.lists(st.dictionaries(st.integers(1, 12), VALUES, max_size=12), min_size=1, max_size=6)
HELD = {
    "sold": ["status"],
    "prices": ["price", "special_price"],
    "pictures": ["images"],
    "descriptions": ["description"],
}


def items_of(night: dict[int, dict[str, Any]]) -> list[bytes]:
    """The items of a drawn night."""
    told = {"Price": 20000, "ImageURLs": "http://x/1.jpg", "AdvDescription": "as new"}
    return [item(f"S{n}", VIN=VIN.format(n), **{**told, **keys}) for n, keys in night.items()]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    NIGHTS,
    st.lists(st.sampled_from([None, None, "approved", "rejected"]), min_size=6, max_size=6),
    st.sampled_from([Policy(), Policy(limit_floor=1), Policy(limit_percent=10, limit_floor=0)]),
)
def test_nothing_held_changes_and_what_is_gone_goes(
    nights: list[dict[int, dict[str, Any]]], decisions: list[str | None], policy: Policy
) -> None:
    """Whatever comes: held values stay, what is missing and not kept goes, the same feed again changes nothing."""
    dealer = dealer_with(lot(1, 12), policy=policy)
    for night, decision in zip(nights, decisions, strict=False):
        items = items_of(night)
        before = replace(dealer, rows=dict(dealer.rows), held=list(dealer.held))
        plan = dealer.night(items)
        assert sum(plan.counts[name] for name in RECEIVED) == plan.received
        check_night(before, plan, dealer, {f"S{number}" for number in night})
        again = dealer.plan(items)
        assert {name: again.counts[name] for name in ("created", "updated", "revived", "removed")} == {
            "created": 0,
            "updated": 0,
            "revived": 0,
            "removed": 0,
        }
        assert {(hold.kind, hold.stock_numbers) for hold in again.holds} == {
            (hold.kind, hold.stock_numbers) for hold in plan.holds
        }
        assert all(hold.pending_id is not None for hold in again.holds)
        if decision:
            dealer.decide(decision)


def check_night(before: Dealer, plan: StockPlan, after: Dealer, named: set[str]) -> None:
    """What must be true of every night."""
    if plan.foreign:
        assert before.rows == after.rows
        return
    kept: set[str] = set()
    for hold in plan.holds:
        for number in hold.stock_numbers:
            for column in HELD.get(hold.kind, ["status"]):
                assert after.values(number)[column] == before.values(number)[column]
        kept |= set(hold.stock_numbers) if hold.kind == "removals" else set()
    rejected = [held.keys for held in after.held if (held.kind, held.status) == ("removals", "rejected")]
    for number, row in before.rows.items():
        if row.listed.status == "removed" or number in named or number in kept:
            continue
        if any(stock_key(number) in keys for keys in rejected):
            continue
        assert after.statuses()[number] == "removed"


def test_plans_are_json() -> None:
    """What is held is shown with plain values."""
    plan = dealer_with(lot(1, 12)).plan(lot(1, 12, Price=None))

    assert json.loads(json.dumps(show_plan(plan)))[0] == {
        "stock_number": "S1",
        "action": "hold",
        "changes": {"price": ["20000", None]},
        "reason": "prices",
    }
