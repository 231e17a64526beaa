"""What a night makes of values that cannot be read, of status words, and of pictures whose URLs are signed anew."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from jobsync.easycars.model import Policy
from jobsync.runner.job import ItemStatus
from tests.easycars.memory import feed, item
from tests.easycars.test_plan import counts, dealer_with

KNOWN: Mapping[str, Any] = {
    "Price": 39990,
    "Odometer": 12345,
    "IsUsed": True,
    "IsDemo": False,
    "IsMiles": False,
    "YearGroup": 2019,
    "Make": "FORD",
    "VIN": "6T1A00000X0000001",
    "StandardFeatures": "ABS",
    "ImageURLs": "https://x/1",
    "IsDepositTaken": True,
    "StockStatus": "In Stock",
    "YardCode": "7",
}


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("Price", "POA"),
        ("Price", -5),
        ("Price", [1]),
        ("Odometer", "low kms"),
        ("Odometer", -1),
        ("IsUsed", "perhaps"),
        ("IsMiles", "x"),
        ("YearGroup", "MY19"),
        ("Make", {"a": 1}),
        ("VIN", ["x"]),
        ("StandardFeatures", 1 == 1),
        ("ImageURLs", [{"url": "x"}]),
        ("IsDepositTaken", "maybe"),
        ("StockStatus", {"Sold": True}),
        ("YardCode", False),
    ],
)
def test_what_cannot_be_read_leaves_what_is_known(key: str, given: object) -> None:
    """No value of a known row changes; a warning names the vehicle and the key, every night until it is mended."""
    dealer = dealer_with([item("A", **KNOWN)])
    was = dict(dealer.values("A"))
    for _ in range(2):
        plan = dealer.night([item("A", **{**KNOWN, key: given})])
        assert (counts(plan), plan.restated, plan.recognized) == ({"unchanged": 1}, [], [])
        assert any(line.startswith(f"A: {key}: ") for line in plan.warnings)

    assert was == dealer.values("A")
    assert counts(dealer.night([item("A", **{**KNOWN, "Price": 5})])) == {"updated": 1}


def test_the_rest_of_an_item_is_written() -> None:
    """One unreadable value keeps itself back and no other."""
    dealer = dealer_with([item("A", Price=1, Colour="RED")])
    dealer.night([item("A", Price="POA", Colour="BLUE")])

    assert (Decimal(1), "BLUE") == (dealer.values("A")["price"], dealer.values("A")["colour"])
    assert counts(dealer.plan([item("A", Price=1, Colour="RED")])) == {"updated": 1}


def test_on_a_new_row_it_is_unknown() -> None:
    """Nothing is invented where nothing is known."""
    dealer = dealer_with([item("A", Price="POA")])

    assert dealer.values("A")["price"] is None


@pytest.mark.parametrize(
    ("bad", "good", "status"),
    [(6, 14, ItemStatus.SUCCESS), (7, 13, ItemStatus.PARTIAL), (5, 0, ItemStatus.SUCCESS), (6, 0, ItemStatus.PARTIAL)],
)
def test_many_unreadable_values_in_one_key_are_partial(bad: int, good: int, status: ItemStatus) -> None:
    """More than the limit's share and floor: somebody has to look, on every such night."""
    items = [*feed(*range(bad), Price="POA"), *feed(*range(100, 100 + good), Price=1)]
    dealer = dealer_with(feed(*range(bad), *range(100, 100 + good), Price=1))

    assert [(plan.status, plan.removed) for plan in (dealer.night(items), dealer.night(items))] == [(status, [])] * 2


def test_a_few_in_each_of_many_keys_are_not() -> None:
    """The share is that of one key."""
    keys = ("Price", "Odometer", "YearGroup", "DoorNum")
    items = [item(f"{key}{n}", **{key: "?"}) for key in keys for n in range(5)]

    assert dealer_with([]).plan(items).status is ItemStatus.SUCCESS


# --- status words ----------------------------------------------------------------------------------------------------


def test_a_word_never_seen_is_told_once() -> None:
    """Once at a dealership, in whatever case and spacing it comes; the usual words never."""
    dealer = dealer_with([item("A", StockStatus="Wholesaled"), item("B", StockStatus="On Order")])
    first = dealer.plan([item("A", StockStatus="wholesaled  "), item("C", StockStatus="Under Offer")]).warnings

    assert [("Under Offer" in line, line.startswith("C: StockStatus: ")) for line in first] == [(True, True)]


def test_a_word_of_the_map_is_known() -> None:
    """Whoever said what it means need not be told of it."""
    dealer = dealer_with([], policy=Policy(status_map={"wholesaled": "excluded"}))
    plan = dealer.night([item("A", StockStatus=" WHOLESALED")])

    assert ([line for line in plan.warnings if "Wholesaled" in line], dealer.statuses()) == ([], {"A": "excluded"})


def test_a_feed_of_nothing_but_words_is_one_line() -> None:
    """Thousands of words are neither thousands of lines nor kept for ever."""
    dealer = dealer_with([item(n, StockStatus=f"word {n}") for n in range(3_000)])

    assert len(dealer.status_words) == 1_000
    assert len(dealer.plan([item(n, StockStatus=f"other {n}") for n in range(50)]).warnings) == 1


def test_another_map_counts_for_items_that_come_again() -> None:
    """The bytes are the same, what they mean is not; with the map taken back all is as before."""
    items = [item("A", StockStatus="Wholesaled"), item("B", StockStatus="Under Offer"), item("C")]
    dealer = dealer_with(items)
    seen = []
    for words in ({}, {"wholesaled": "excluded", "under offer": "deposit"}, {"wholesaled": "sold"}, {}):
        dealer.policy = Policy(status_map=words)
        dealer.night(items)
        seen.append([status for _, status in sorted(dealer.statuses().items())])
        again = dealer.plan(items)
        assert (again.changed, again.restated, again.recognized, again.status_map) == ([], [], [], None)

    assert seen == [
        ["active", "active", "active"],
        ["excluded", "deposit", "active"],
        ["sold", "active", "active"],
        ["active", "active", "active"],
    ]


def test_excluded_by_the_map_is_skipped_until_another_word_comes() -> None:
    """An excluded item is skipped and named; with another word the vehicle is listed again, as the feed has it."""
    dealer = dealer_with(
        [item("A", StockStatus="Wholesaled", Price=1)], policy=Policy(status_map={"wholesaled": "excluded"})
    )
    plan = dealer.night([item("A", StockStatus="Wholesaled", Price=2)])

    assert (counts(plan), [line.startswith("A: ") for line in plan.warnings]) == ({"skipped": 1}, [True])
    dealer.night([item("A", Price=2)])
    assert (dealer.statuses(), dealer.values("A")["price"]) == ({"A": "active"}, Decimal(2))


# --- pictures --------------------------------------------------------------------------------------------------------


def test_signed_urls_are_no_news() -> None:
    """Other queries are stored, without a line in the history, and the item counts as unchanged."""
    dealer = dealer_with([item("A", ImageURLs="https://x/1?sig=a,https://x/2?sig=a")])
    plan = dealer.night([item("A", ImageURLs="https://x/1?sig=b,https://x/2?sig=b")])

    assert (counts(plan), plan.changed) == ({"unchanged": 1}, [])
    assert dealer.values("A")["images"] == ["https://x/1?sig=b", "https://x/2?sig=b"]
    assert not dealer.plan([item("A", ImageURLs="https://x/1?sig=b,https://x/2?sig=b")]).restated


@pytest.mark.parametrize(
    "after",
    [
        "https://x/2?a,https://x/1?a",
        "https://x/1?a",
        "https://x/1?a,https://y/2?a",
        "https://x/1?a#t,https://x/2?a",
        "",
    ],
)
def test_other_pictures_are_news(after: str) -> None:
    """Another order, number, place or fragment is a change."""
    dealer = dealer_with([item("A", ImageURLs="https://x/1?a,https://x/2?a")])
    [change] = dealer.plan([item("A", ImageURLs=after)]).changed

    assert list(change.changes) == ["images"]


def test_new_queries_beside_news_have_no_line() -> None:
    """They are stored with the news."""
    dealer = dealer_with([item("A", ImageURLs="https://x/1?a", Price=1)])
    [change] = dealer.night([item("A", ImageURLs="https://x/1?b", Price=2)]).changed

    assert list(change.changes) == ["price"]
    assert dealer.values("A")["images"] == ["https://x/1?b"]


def test_pictures_that_are_counted_and_not_named_stay() -> None:
    """A count without a URL takes nothing away."""
    dealer = dealer_with([item("A", ImageURLs="https://x/1", ImageCount=1)])
    plan = dealer.night([item("A", ImageURLs="", ImageCount=1)])

    assert (counts(plan), dealer.values("A")["images"]) == ({"unchanged": 1}, ["https://x/1"])
    assert any("A: ImageURLs: " in line for line in plan.warnings)
