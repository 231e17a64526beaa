"""What holds for any feed after any other."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobsync.easycars.identity import stock_key
from tests.easycars.memory import Dealer, item

NUMBERS = st.sampled_from(["A1", "a1", "A 1", "B", "b\u200b", "É", "E\u0301", "C", "D", "", None, 7, "7"])
VINS = st.sampled_from(["", "TBA", *(f"6T1A00000X000000{n}" for n in range(4))])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "VIN": VINS,
    "Price": st.one_of(st.integers(0, 3), st.sampled_from([None, "", "POA", "$39,990", -1, [], "1.0"])),
    "Odometer": st.sampled_from([None, 0, "12,345 km", "low", -3, 10**12]),
    "StockStatus": st.sampled_from(["In Stock", "Sold", "sold - gone", "Wholesaled", "", None, {}]),
    "IsDepositTaken": st.sampled_from([True, False, None, "maybe"]),
    "ImageURLs": st.sampled_from(["", "https://x/1?a", "https://x/1?b", "https://x/1,2,https://x/3", ["u"], [{}]]),
    "ImageCount": st.sampled_from([None, 0, 1, 2, "x"]),
    "AdvDescription": st.sampled_from(["", "nice", None, 5]),
}
ITEMS = st.fixed_dictionaries({"StockNumber": NUMBERS}, optional=VALUES)
NOISE = st.sampled_from([b"null", b"[]", b'"x"', b'{"StockNumber": "B"', b"{}"])
FEEDS = st.lists(st.one_of(ITEMS.map(lambda keys: item(keys.pop("StockNumber"), **keys)), NOISE), max_size=8)
SUM = ("created", "updated", "unchanged", "revived", "refused", "skipped")
FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(st.lists(FEEDS, min_size=1, max_size=4))
@FEW
def test_the_second_night_of_a_feed_is_empty(feeds: list[list[bytes]]) -> None:
    """Whatever came before, the same answer again changes nothing, and each night's items add up."""
    dealer = Dealer()
    for items in feeds:
        plan = dealer.night(items)
        assert plan.received == sum(plan.counts[name] for name in SUM)
        again = dealer.plan(items)
        assert (list(again.created), list(again.changed), list(again.restated)) == ([], [], [])
        assert (again.retired, again.returned, again.recognized, again.new_words) == ([], [], [], [])


@given(FEEDS, FEEDS, st.sampled_from(["price", "status", "images", "description"]))
@FEW
def test_what_a_person_locked_stays(first: list[bytes], then: list[bytes], field: str) -> None:
    """A locked field of a listed row has the value that it had, under whatever number the vehicle comes."""
    dealer = Dealer()
    dealer.night(first)
    for number in list(dealer.rows):
        dealer.edit(number, locked=(field,))
    before = {row.listed.id: row.values[field] for row in dealer.rows.values()}
    dealer.night(then)
    after = {row.listed.id: row.values for row in dealer.rows.values()}

    assert all(after[number][field] in (value, "removed") for number, value in before.items() if number in after)


@given(FEEDS, FEEDS)
@FEW
def test_what_a_person_sold_stays_sold(first: list[bytes], then: list[bytes]) -> None:
    """No value of it changes while the feed offers it; it may go, and the feed may say that it is sold."""
    dealer = Dealer()
    dealer.night(first)
    sold = [number for number, status in dealer.statuses().items() if status in ("active", "deposit")]
    for number in sold:
        dealer.edit(number, status="sold", price=Decimal(77))
    ids = {dealer.rows[number].listed.id for number in sold}
    dealer.night(then)
    rows = [row for row in dealer.rows.values() if row.listed.id in ids]

    assert {row.values["status"] for row in rows} <= {"sold", "removed"}
    assert all(row.values["price"] == Decimal(77) for row in rows if row.listed.locally_sold)


@given(FEEDS, FEEDS)
@FEW
def test_what_is_not_in_the_feed_and_not_held_goes(first: list[bytes], then: list[bytes]) -> None:
    """Each row that was listed is named by the feed, or removed, or waits for a person, or the answer cannot tell."""
    dealer = Dealer()
    dealer.night(first)
    plan = dealer.night(then)
    if plan.blocked or plan.foreign or plan.holds:
        return
    named = set()
    for raw in then:
        try:
            named.add(stock_key(str(json.loads(raw)["StockNumber"])))
        except (ValueError, TypeError, KeyError):
            continue
    left = {row.listed.stock_key for row in dealer.rows.values() if row.listed.status not in ("removed", "excluded")}
    nameless = any(refused.stock_number is None for refused in plan.refused)
    cut = {stock_key(refused.stock_number) for refused in plan.refused if refused.stock_number}

    assert nameless or left <= named | cut
