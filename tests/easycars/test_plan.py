"""The business rule: nights against a dealership in memory."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from jobsync.easycars.holds import BLOCKED_MOST
from jobsync.easycars.identity import stock_key
from jobsync.easycars.model import Policy, StockPlan
from jobsync.easycars.parse import parse_envelope
from jobsync.easycars.plan import show_plan, sort_feed, spell
from jobsync.runner.job import ItemStatus
from tests.easycars.memory import DAY, Dealer, feed, item, numbered

RECEIVED = ("created", "updated", "unchanged", "revived", "refused", "skipped")


def counts(plan: StockPlan) -> dict[str, int]:
    """The plan's numbers that are not 0."""
    return {name: number for name, number in plan.counts.items() if number}


def going(plan: StockPlan) -> list[str]:
    """The stock numbers that the plan removes."""
    return sorted(row.stock_number for row in plan.removed)


def dealer_with(items: Sequence[bytes], **more: Any) -> Dealer:
    """A dealership after its first night."""
    dealer = Dealer(**more)
    dealer.night(items)
    return dealer


# --- create, update, unchanged, revive, retire -----------------------------------------------------------------------


def test_first_night_creates() -> None:
    """Items without a row become rows."""
    assert counts(Dealer().plan(numbered(1, 3))) == {"created": 3}


def test_same_feed_again_changes_nothing() -> None:
    """The same items in another order are all unchanged."""
    plan = dealer_with(numbered(1, 3)).plan(numbered(1, 3)[::-1])

    assert counts(plan) == {"unchanged": 3}


def test_same_values_in_other_bytes_change_nothing() -> None:
    """Another order of keys and another spelling of numbers are no update."""
    dealer = dealer_with([item("A", Price=10.50, Odometer=5, Length=1.5)])
    document = json.loads(item("A", Price="10.5", Odometer="5", Length=1.50))
    plan = dealer.plan([json.dumps(dict(reversed(document.items())), indent=1).encode()])

    assert counts(plan) == {"unchanged": 1}


def test_update_says_old_and_new() -> None:
    """A change names field, old and new value, and touches nothing else."""
    dealer = dealer_with([item("A", Price=100, Colour="RED")])
    [change] = dealer.plan([item("A", Price=90.5, Colour="RED")]).changed

    assert {"price": (Decimal(100), Decimal("90.5"))} == change.changes


def test_a_watched_key_counts_as_a_change() -> None:
    """Documented keys that fill no column are followed too."""
    dealer = dealer_with([item("A", Fridge="")])
    [change] = dealer.plan([item("A", Fridge="3 way")]).changed

    assert change.changes == {"Fridge": ("", "3 way")}


@pytest.mark.parametrize(("old", "new"), [("", None), (None, " "), ("a", " a "), (1, 1.0), (2.5, 2.50)])
def test_a_watched_key_that_says_the_same_is_no_change(old: object, new: object) -> None:
    """Blank is null, and 1 is 1.0."""
    dealer = dealer_with([item("A", Fridge=old)])

    assert counts(dealer.plan([item("A", Fridge=new)])) == {"unchanged": 1}


def test_true_is_not_one() -> None:
    """A flag that becomes a number has changed."""
    dealer = dealer_with([item("A", IsSpecial=True)])

    assert counts(dealer.plan([item("A", IsSpecial=1)])) == {"updated": 1}


def test_order_of_images_is_a_change() -> None:
    """The first picture is the one that is shown: order matters."""
    dealer = dealer_with([item("A", ImageURLs="/x,/y")])
    [change] = dealer.plan([item("A", ImageURLs="/y,/x")]).changed

    assert change.changes == {"images": (["/x", "/y"], ["/y", "/x"])}


def test_removed_row_revives() -> None:
    """A number that comes back is the row it was, and is not also an update."""
    dealer = dealer_with(feed("A", "B"))
    dealer.night(feed("B"))
    plan = dealer.night([item("A", Price=5), *feed("B")])

    assert counts(plan) == {"revived": 1, "unchanged": 1}
    assert dealer.statuses() == {"A": "active", "B": "active"}


def test_removed_row_revives_as_it_was() -> None:
    """The very same item revives its row as well."""
    dealer = dealer_with(feed("A", "B"))
    dealer.night(feed("B"))

    assert counts(dealer.night(feed("A", "B"))) == {"revived": 1, "unchanged": 1}


def test_revived_row_takes_a_status_without_the_keys() -> None:
    """A returning item that lacks its status keys is listed all the same."""
    dealer = dealer_with(feed("A", "B"))
    dealer.night(feed("B"))
    dealer.night([b'{"StockNumber": "A"}', *feed("B")])

    assert dealer.statuses()["A"] == "active"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("6T1A0000X1", "6T1A0000X2", {"created": 1}),
        ("6T1A0000X1", " 6t1a 0000x1 ", {"revived": 1}),
        ("6T1A0000X1", "", {"revived": 1}),
        ("", "6T1A0000X1", {"revived": 1}),
        ("TBA", "6T1A0000X1", {"revived": 1}),
        ("6T1A0000X1", "00000000000000000", {"revived": 1}),
        ("", None, {"revived": 1}),
    ],
)
def test_removed_row_with_another_vin_is_another_vehicle(
    before: str, after: str | None, expected: dict[str, int]
) -> None:
    """Only two different VINs tell two vehicles apart."""
    dealer = dealer_with([item("A", VIN=before), *feed("B")])
    dealer.night(feed("B"))
    plan = dealer.night([item("A", VIN=after), *feed("B")])

    assert {"unchanged": 1, **expected} == counts(plan)
    assert expected.get("created", 0) == len(plan.retired) == len(dealer.retired)


def test_listed_row_with_another_vin_is_updated() -> None:
    """While a row is listed its VIN may be corrected."""
    dealer = dealer_with([item("A", VIN="VIN1")])

    assert counts(dealer.plan([item("A", VIN="VIN2")])) == {"updated": 1}


def test_one_vin_under_two_numbers_is_two_rows() -> None:
    """A VIN is a hint, not an identity."""
    assert counts(Dealer().plan(feed("A", "B", VIN="VIN1"))) == {"created": 2}


def test_status_follows_the_feed() -> None:
    """Deposit and sold come and go with the feed."""
    dealer = dealer_with([item("A")])
    seen = []
    for keys in ({"IsDepositTaken": True}, {"StockStatus": "SOLD "}, {"StockStatus": "In Stock"}):
        dealer.night([item("A", **keys)])
        seen.append(dealer.statuses()["A"])

    assert seen == ["deposit", "sold", "active"]


# --- what is protected -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "others",
    [
        {"other_stock_keys": {"a": "a"}},
        {"other_vins": {"6T1A0000X1": "HOST-7"}},
    ],
)
def test_manual_row_is_left_alone(others: dict[str, Any]) -> None:
    """A number or a VIN that a person's row has is theirs, blanks and case aside."""
    plan = Dealer(**others).plan([item(" A ", VIN=" 6t1a0000x1"), item("B", VIN="6T1A0000X2"), item("C", VIN="")])

    assert [(skip.stock_number, skip.reason) for skip in plan.skipped] == [("A", "manual_row")]
    assert counts(plan) == {"created": 2, "skipped": 1}


@pytest.mark.parametrize("price", [1, 2], ids=["same bytes", "changed"])
def test_manual_row_made_later_protects_our_own(price: int) -> None:
    """When a person takes a number over, ours is neither written nor missing."""
    dealer = dealer_with([item("A", Price=1)])
    dealer.other_stock_keys = {"a": "A"}

    assert counts(dealer.plan([item("A", Price=price)])) == {"skipped": 1}


@pytest.mark.parametrize("price", [1, 2], ids=["same bytes", "changed"])
def test_locally_sold_stays_sold(price: int) -> None:
    """A row that a person sold is skipped while the feed still offers it."""
    dealer = dealer_with([item("A", Price=1)])
    dealer.edit("A", status="sold")
    plan = dealer.night([item("A", Price=price)])

    assert [(skip.stock_number, skip.reason) for skip in plan.skipped] == [("A", "locally_sold")]
    assert dealer.statuses()["A"] == "sold"


def test_locally_sold_follows_once_the_feed_says_sold() -> None:
    """When both say sold there is nothing left to protect."""
    dealer = dealer_with([item("A")])
    dealer.edit("A", status="sold")

    assert counts(dealer.plan([item("A", StockStatus="Sold", Price=3)])) == {"updated": 1}


def test_locally_sold_row_that_leaves_the_feed_is_removed() -> None:
    """Protection is against the feed's word, not against its silence."""
    dealer = dealer_with(feed("A", "B"))
    dealer.edit("A", status="sold")

    assert going(dealer.plan(feed("B"))) == ["A"]


def test_sold_in_the_feed_without_a_deposit_key_can_be_offered_again() -> None:
    """A lacking IsDepositTaken keeps nothing sold that is in stock."""
    dealer = dealer_with([item("A", StockStatus="Sold")])
    dealer.night([item("A", IsDepositTaken=...)])

    assert dealer.statuses()["A"] == "active"


def test_some_locked_fields_stay_and_the_rest_is_written() -> None:
    """A lock holds its field and no other."""
    dealer = dealer_with([item("A", Price=1, Colour="RED")])
    dealer.edit("A", locked=("price",), price=Decimal(7))
    plan = dealer.night([item("A", Price=2, Colour="BLUE")])

    assert counts(plan) == {"updated": 1}
    assert (Decimal(7), "BLUE") == (dealer.values("A")["price"], dealer.values("A")["colour"])


def test_all_changes_locked_is_skipped() -> None:
    """An item whose every change is locked is counted as protected."""
    dealer = dealer_with([item("A", Price=1)])
    dealer.edit("A", locked=("price", "colour"))
    plan = dealer.plan([item("A", Price=2, Colour="BLUE")])

    assert [(skip.stock_number, skip.reason) for skip in plan.skipped] == [("A", "locked_fields")]


def test_unlocking_lets_the_feed_in() -> None:
    """What a lock held back comes with the next night, though the bytes are the same."""
    dealer = dealer_with([item("A", Price=1)])
    dealer.edit("A", locked=("price",))
    later = [item("A", Price=2, Colour="BLUE")]
    dealer.night(later)
    dealer.edit("A", locked=())
    dealer.night(later)

    assert Decimal(2) == dealer.values("A")["price"]


def test_a_lock_does_not_keep_a_removed_row_removed() -> None:
    """A locked status gives way when the vehicle returns, or it could never be listed again."""
    dealer = dealer_with(feed("A", "B"))
    dealer.edit("A", locked=("status", "price"))
    dealer.night(feed("B"))
    dealer.night([item("A", Price=9), *feed("B")])

    assert (dealer.statuses()["A"], dealer.values("A")["price"]) == ("active", None)


def test_absent_keys_keep_what_is_there() -> None:
    """A key that the item lacks changes nothing, a null does."""
    dealer = dealer_with([item("A", Price=1, Colour="RED", Make="FORD")])
    [change] = dealer.plan([item("A", Price=..., Colour=None, Make="FORD")]).changed

    assert change.changes == {"colour": ("RED", None)}
    assert Decimal(1) == change.values["price"]


def test_the_title_follows_what_is_kept() -> None:
    """The title is made of the year, make and model that the row ends with, whichever of them a lock or drift kept."""
    dealer = dealer_with([item("A", YearGroup=2019, Make="FORD", Model="FOCUS")])
    dealer.edit("A", locked=("make",))
    dealer.night([item("A", YearGroup=..., Make="Frod", Model="FIESTA")])

    assert dealer.values("A")["title"] == "2019 FORD FIESTA"


def test_drift_is_reported_once() -> None:
    """However many items lack a key or bring a new one, there is one line each."""
    plan = Dealer().plan(feed(*range(50), Colour=..., BatteryHealth=1))

    assert [line.startswith("drift: ") and "(50)" in line for line in plan.warnings] == [True, True]


# --- duplicates and yards --------------------------------------------------------------------------------------------


def test_identical_copies_collapse() -> None:
    """Copies count once as received, also when only their bytes differ."""
    one = item("A", Price=1)
    plan = Dealer().plan([one, one, item(" A", Price="1.0")])

    assert (counts(plan), plan.received) == ({"created": 1}, 1)


def test_conflicting_copies_are_all_refused() -> None:
    """Nobody can say which copy is right: each is refused, and none is written."""
    plan = Dealer().plan([item("A", Price=1), item("B"), item("A", Price=2)])

    assert [(refused.position, refused.stock_number, refused.code) for refused in plan.refused] == [
        (1, "A", "conflicting_duplicate"),
        (3, "A", "conflicting_duplicate"),
    ]
    assert counts(plan) == {"created": 1, "refused": 2}


def test_many_conflicting_copies_cost_no_more_than_each() -> None:
    """Thousands of copies of one stock number are read once each, and each refusal names a few of the places."""
    copies = [item("A", Price=number % 5, Location=f"L{number // 5}") for number in range(5_000)]
    began = time.process_time()
    plan = Dealer().plan([*copies, *copies[:10]])

    assert time.process_time() - began < 15
    assert (counts(plan), plan.received) == ({"refused": 5_000}, 5_000)
    assert {refused.reason for refused in plan.refused} == {
        "stock number A stands at places 1, 2, 3, 4, 5 and 4,995 more, differently"
    }


def test_copies_that_differ_in_what_fills_no_column_are_a_conflict() -> None:
    """Nested values count as well, and 1.50 is still 1.5."""
    nested = [item("A", GPS=[{"x": 1.5}, "y"]), item("A", GPS=[{"x": 1.5}, "z"])]
    alike = [item("B", GPS=[{"x": 1.5}, "y"]), item("B", GPS=[{"x": 1.5}, "y"]).replace(b"1.5", b"1.50")]

    assert counts(Dealer().plan([*nested, *alike])) == {"refused": 2, "created": 1}


def test_a_conflict_with_what_is_stored_is_a_conflict() -> None:
    """That one copy is as stored does not make it the right one; the row stays and is not missing."""
    dealer = dealer_with([item("A", Price=1)])
    plan = dealer.plan([item("A", Price=1), item("A", Price=2)])

    assert counts(plan) == {"refused": 2}


def test_a_copy_of_what_is_stored_in_other_bytes_is_unchanged() -> None:
    """Two spellings of the stored item are one item, as stored."""
    dealer = dealer_with([item("A", Price=1)])
    plan = dealer.plan([item("A", Price="1"), item("A", Price=1)])

    assert (counts(plan), plan.received) == ({"unchanged": 1}, 1)


def test_items_of_another_yard_are_refused() -> None:
    """With a yard asked for, an item of another is refused; one that names none is taken."""
    plan = Dealer(yard="100").plan([item("A", YardCode="100 "), item("B", YardCode="200"), item("C", YardCode="")])

    assert [(refused.stock_number, refused.code) for refused in plan.refused] == [("B", "other_yard")]
    assert counts(plan) == {"created": 2, "refused": 1}


def test_a_stored_row_of_another_yard_is_refused_too() -> None:
    """An item that came byte for byte again is judged by the new filter as well."""
    dealer = dealer_with([item("A", YardCode="200")])
    dealer.yard = "100"

    assert counts(dealer.plan([item("A", YardCode="200")])) == {"refused": 1}


def test_without_a_yard_asked_for_all_yards_count() -> None:
    """No filter, no other yard."""
    assert counts(Dealer().plan([item("A", YardCode="100"), item("B", YardCode="200")])) == {"created": 2}


# --- removal and its limit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "gone", "policy", "held"),
    [
        (100, 30, Policy(), False),
        (100, 31, Policy(), True),
        (17, 5, Policy(), False),
        (17, 6, Policy(), True),
        (6, 5, Policy(), False),
        (20, 6, Policy(), False),
        (19, 6, Policy(), True),
        (4, 3, Policy(limit_percent=30, limit_floor=0), True),
        (10, 3, Policy(limit_percent=30, limit_floor=0), False),
        (10, 1, Policy(limit_percent=0, limit_floor=0), True),
        (10, 9, Policy(limit_percent=100, limit_floor=0), False),
        (10, 9, Policy(limit_percent=30, limit_floor=9), False),
    ],
)
def test_limit_by_share_and_floor(listed: int, gone: int, policy: Policy, held: bool) -> None:
    """Removals wait only if they are more than the share and also more than the floor."""
    plan = dealer_with(numbered(1, listed), policy=policy).plan(numbered(gone + 1, listed))

    assert (0, gone) if held else (gone, 0) == (plan.counts["removed"], plan.counts["held"])
    assert (plan.status is ItemStatus.HELD) is held


def test_sold_rows_count_as_listed_and_removed_ones_do_not() -> None:
    """The share is of what is listed now."""
    dealer = dealer_with([*numbered(1, 10), *feed(*(f"X{number}" for number in range(10)), StockStatus="Sold")])
    dealer.night([*numbered(1, 9), *feed(*(f"X{number}" for number in range(6)), StockStatus="Sold")])
    plan = dealer.plan(numbered(1, 9))  # 6 of the 15 that are left

    assert plan.counts["held"] == 6


def test_the_rest_of_a_held_night_is_applied() -> None:
    """A hold keeps removals back and nothing else."""
    plan = dealer_with(numbered(1, 20)).plan([item("S1", Price=5), item("NEW")])

    assert counts(plan) == {"created": 1, "updated": 1, "held": 19}
    assert [(hold.reason, plan.listed, plan.received) for hold in plan.holds] == [("limit", 20, 2)]


def test_empty_feed_with_anything_listed_is_held() -> None:
    """Even one row is not removed because nothing came."""
    plan = dealer_with(feed("A")).plan([])

    assert (plan.status, plan.reason, counts(plan)) == (ItemStatus.HELD, "empty_feed", {"held": 1})


def test_empty_feed_with_nothing_ever_listed_is_a_success_with_a_warning() -> None:
    """A new dealership may have published nothing, or its secret is wrong."""
    plan = Dealer().plan([])

    assert (plan.status, "AccountSecret" in " ".join(plan.warnings)) == (ItemStatus.SUCCESS, True)


def test_empty_feed_removes_nothing_in_its_days_of_grace() -> None:
    """Rows that went missing before wait with the others when the feed is empty."""
    dealer = dealer_with(feed("A", "B"), policy=Policy(grace_days=1))
    dealer.night(feed("B"))
    plan = dealer.plan([])

    assert (counts(plan), [hold.stock_numbers for hold in plan.holds]) == ({"held": 2}, [("A", "B")])


def test_feed_of_refused_items_only_is_not_empty() -> None:
    """Items that cannot be used still say that their rows are there."""
    plan = dealer_with(feed("A")).plan([item("A", Odometer=10**12)])

    assert counts(plan) == {"refused": 1}


# --- what blocks removals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "warned", "yard", "reason"),
    [
        (feed("B"), True, None, "vendor_warning"),
        ([*feed("B"), b'{"StockNumber": ""}'], False, None, "no_stock_number"),
        ([*feed("B"), b'"see the office"'], False, None, "no_stock_number"),
        (feed("B"), False, "100", "yard_filter_changed"),
        ([], True, None, "vendor_warning"),
    ],
)
def test_an_incomplete_answer_removes_nothing(items: list[bytes], warned: bool, yard: str | None, reason: str) -> None:
    """Code 5, an item without a number, another filter: nothing goes, and the report says why."""
    dealer = dealer_with(feed("A", "B"))
    dealer.yard = yard
    plan = dealer.plan(items, warned=warned)

    assert (reason, 0, 0) == (plan.blocked, plan.counts["removed"], plan.counts["held"])
    assert any("stay listed" in warning for warning in plan.warnings)


def test_code_5_is_partial_and_applies() -> None:
    """What came with a warning is written."""
    plan = dealer_with(feed("A", "B")).plan([item("B", Price=1), item("C")], warned=True)

    assert (plan.status, counts(plan)) == (ItemStatus.PARTIAL, {"created": 1, "updated": 1})


@pytest.mark.parametrize("first", [None, "100"])
def test_the_first_sync_has_no_other_filter_before_it(first: str | None) -> None:
    """A dealership that was never synced cannot have changed its yard."""
    assert None is Dealer(yard=first).plan(feed("A")).blocked


def test_a_new_filter_counts_from_the_next_night() -> None:
    """The night after a changed filter removes again."""
    dealer = dealer_with(feed("A", "B"))
    dealer.yard = "100"
    dealer.night(feed("B"))

    assert going(dealer.plan(feed("B"))) == ["A"]


@pytest.mark.parametrize(
    "broken",
    [item("A", Odometer=10**12), b'{"StockNumber": "A", "Price": 1e999999}', rb'{"StockNumber": " A", "X": 1e-999999}'],
)
def test_a_refused_items_own_row_is_never_missing(broken: bytes) -> None:
    """A row whose item is refused stays, the others go."""
    plan = dealer_with(feed("A", "B", "C")).plan([broken, *feed("B")])

    assert going(plan) == ["C"]


def test_seven_blocked_nights_lead_to_a_question() -> None:
    """Six nights only warn, the seventh asks about what is missing; the question then stays the same."""
    dealer = dealer_with(feed("A", "B"))
    held = [dealer.night(feed("B"), warned=True).counts["held"] for _ in range(BLOCKED_MOST + 1)]

    assert held == [0] * (BLOCKED_MOST - 1) + [1, 1]
    assert [question.status for question in dealer.held] == ["pending"]


def test_a_complete_night_ends_the_row_of_blocked_ones() -> None:
    """Blocked nights count in a row only."""
    dealer = dealer_with(feed("A", "B"))
    for _ in range(BLOCKED_MOST - 1):
        dealer.night(feed("B"), warned=True)
    dealer.night(feed("A", "B"))

    assert dealer.plan(feed("B"), warned=True).counts["held"] == 0


def test_approval_of_a_blocked_set_is_carried_out_while_still_blocked() -> None:
    """A person's yes is enough where the feed never gives a complete answer."""
    dealer = dealer_with(feed("A", "B"))
    for _ in range(BLOCKED_MOST):
        dealer.night(feed("B"), warned=True)
    dealer.decide("approved")

    assert going(dealer.night(feed("B"), warned=True)) == ["A"]


# --- a person decides ------------------------------------------------------------------------------------------------


def held_dealer() -> Dealer:
    """Twenty rows of which S1 … S10 are asked about."""
    dealer = dealer_with(numbered(1, 20))
    dealer.night(numbered(11, 20))
    return dealer


def test_the_same_set_stays_the_same_question() -> None:
    """Another night without change asks nothing new."""
    plan = held_dealer().night(numbered(11, 20))

    assert (
        counts(plan),
        [hold.pending_id for hold in plan.holds],
        plan.superseded,
    ) == ({"unchanged": 10, "held": 10}, [1], [])


def test_a_question_outlives_a_smaller_share() -> None:
    """New rows make the set a smaller share of the list: the question about it stays open all the same."""
    dealer = held_dealer()
    plan = dealer.night([*numbered(11, 20), *numbered(101, 150)])
    again = dealer.night([*numbered(11, 20), *numbered(101, 150)])

    assert [plan.counts["held"], again.counts["held"]] == [10, 10]


def test_a_question_from_blocked_nights_ends_with_a_complete_one() -> None:
    """It was asked for want of a complete answer; when that comes, the rule decides."""
    dealer = dealer_with(feed("A", "B"))
    for _ in range(BLOCKED_MOST):
        dealer.night(feed("B"), warned=True)
    plan = dealer.night(feed("B"))

    assert (going(plan), plan.superseded) == (["A"], [1])


@pytest.mark.parametrize(("first", "held"), [(12, 11), (9, 8)])
def test_another_set_supersedes(first: int, held: int) -> None:
    """One more or one less missing makes another question, and withdraws the first."""
    dealer = held_dealer()
    plan = dealer.night(numbered(first, 20))

    assert (held, [1]) == (plan.counts["held"], plan.superseded)
    assert [question.status for question in dealer.held] == ["superseded", "pending"]


def test_a_set_that_falls_below_the_limit_needs_no_answer() -> None:
    """When most return, the question is withdrawn and the few are removed."""
    dealer = held_dealer()
    plan = dealer.night(numbered(3, 20))

    assert (going(plan), plan.superseded) == (["S1", "S2"], [1])


def test_a_set_that_returns_withdraws_the_question() -> None:
    """When all return, nobody is asked any more."""
    dealer = held_dealer()
    plan = dealer.night(numbered(1, 20))

    assert (counts(plan), plan.superseded) == ({"unchanged": 20}, [1])


def test_a_blocked_night_leaves_the_question_open() -> None:
    """An incomplete answer says nothing about a question."""
    plan = held_dealer().night(numbered(11, 20), warned=True)

    assert (plan.superseded, plan.holds) == ([], [])


def test_approval_lets_the_set_go() -> None:
    """What was approved and is still missing is removed, whatever the limit; the approval is spent."""
    dealer = held_dealer()
    dealer.decide("approved")
    plan = dealer.night(numbered(11, 20))

    assert (plan.counts["removed"], plan.counts["held"], plan.spent) == (10, 0, [1])


def test_approval_spares_what_returned() -> None:
    """A row that came back is not removed because somebody once said yes."""
    dealer = held_dealer()
    dealer.decide("approved")

    assert [f"S{number}" for number in (1, 10, 2, 3, 4)] == going(dealer.night([*numbered(5, 9), *numbered(11, 20)]))


def test_approval_with_a_few_more_missing_removes_them_by_the_rule() -> None:
    """What is beyond the approval is judged as on any night: below the limit it goes."""
    dealer = held_dealer()
    dealer.decide("approved")

    assert len(going(dealer.night(numbered(13, 20)))) == 12


def test_approval_with_many_more_missing_asks_about_those() -> None:
    """What is beyond the approval and over the limit, of what is left, is a new question."""
    dealer = held_dealer()
    dealer.decide("approved")
    plan = dealer.night(numbered(17, 20))

    assert (len(going(plan)), [hold.stock_numbers for hold in plan.holds]) == (
        10,
        [("S11", "S12", "S13", "S14", "S15", "S16")],
    )


def test_approval_waits_for_a_complete_answer() -> None:
    """A blocked night does not spend an approval; the next complete one does."""
    dealer = held_dealer()
    dealer.decide("approved")
    blocked = dealer.night(numbered(11, 20), warned=True)
    plan = dealer.night(numbered(11, 20))

    assert (blocked.counts["removed"], blocked.spent, plan.counts["removed"], plan.spent) == (0, [], 10, [1])


def test_approval_of_an_empty_feed_empties_the_list() -> None:
    """A yes to an empty feed removes everything, and the night after is quiet."""
    dealer = dealer_with(numbered(1, 9))
    dealer.night([])
    dealer.decide("approved")

    assert [dealer.night([]).counts["removed"], dealer.night([]).counts["held"]] == [9, 0]


def rejected_dealer() -> Dealer:
    """Twenty rows of which S1 … S10 are missing and shall stay."""
    dealer = held_dealer()
    dealer.decide("rejected")
    return dealer


def test_rejected_set_stays_listed_and_is_not_asked_again() -> None:
    """A no stands while the same rows are missing, and the report says so."""
    plan = rejected_dealer().night(numbered(11, 20))

    assert (counts(plan), plan.holds, plan.status) == ({"unchanged": 10}, [], ItemStatus.SUCCESS)
    assert any("rejected" in warning for warning in plan.warnings)


@pytest.mark.parametrize(("first", "held"), [(12, 11), (9, 8)], ids=["superset", "subset"])
def test_rejection_ends_when_the_set_changes(first: int, held: int) -> None:
    """Another set over the limit is asked about, be it larger or smaller."""
    assert held == rejected_dealer().night(numbered(first, 20)).counts["held"]


def test_rejecting_an_empty_feed_is_no_answer_to_later_nights() -> None:
    """A no to "all of them" must not silence the question when a large part goes on another night."""
    dealer = dealer_with(numbered(1, 20))
    dealer.night([])
    dealer.decide("rejected")
    dealer.night(numbered(1, 20))

    assert dealer.night(numbered(11, 20)).counts["held"] == 10


def test_rejection_outlives_a_smaller_share() -> None:
    """New rows make the set a smaller share of the list: what a person wants kept is kept all the same."""
    dealer = rejected_dealer()
    dealer.night([*numbered(11, 20), *numbered(101, 150)])

    assert counts(dealer.night([*numbered(11, 20), *numbered(101, 150)])) == {"unchanged": 60}


def test_rejection_holds_on_blocked_nights() -> None:
    """Seven nights of Code 5 do not ask again what was refused."""
    dealer = rejected_dealer()
    held = [dealer.night(numbered(11, 20), warned=True).counts["held"] for _ in range(BLOCKED_MOST + 1)]

    assert held == [0] * (BLOCKED_MOST + 1)


# --- days of grace ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [0, 1, 3])
def test_grace(days: int) -> None:
    """A row goes on the night that is that many days after it went missing."""
    dealer = dealer_with(feed("A", "B"), policy=Policy(grace_days=days))
    gone = [going(dealer.night(feed("B"))) for _ in range(days + 2)]

    assert [[]] * days + [["A"], []] == gone


def test_return_within_grace_starts_anew() -> None:
    """A row that came back was never gone: its days count from the next time."""
    dealer = dealer_with(feed("A", "B"), policy=Policy(grace_days=2))
    dealer.night(feed("B"))
    dealer.night(feed("A", "B"))
    gone = [going(dealer.night(feed("B"))) for _ in range(3)]

    assert gone == [[], [], ["A"]]


@pytest.mark.parametrize(
    "back",
    [
        item("A", Price=2),
        item("A", Odometer=10**12),
        item("A", VIN="MANUAL01"),
    ],
    ids=["changed", "refused", "protected"],
)
def test_return_in_any_form_ends_the_grace(back: bytes) -> None:
    """Changed, refused or protected: an item that is there says that its row is not missing."""
    dealer = dealer_with(feed("A", "B"), policy=Policy(grace_days=2), other_vins={"MANUAL01": "HOST-7"})
    dealer.night(feed("B"))
    dealer.night([back, *feed("B")])

    assert None is dealer.rows["A"].listed.missing_since


def test_limit_is_judged_on_the_night_of_going_missing() -> None:
    """Rows that went below the limit, night after night, go when their time comes, be it many at once."""
    dealer = dealer_with(numbered(1, 20), policy=Policy(grace_days=9))
    dealer.night(numbered(6, 20))
    dealer.now += 7 * DAY
    dealer.night(numbered(11, 20))
    dealer.policy = Policy(grace_days=0)

    assert len(going(dealer.night(numbered(11, 20)))) == 10


def test_over_the_limit_waits_without_grace_running() -> None:
    """A held set is not also missing: only a person's word lets it go."""
    dealer = dealer_with(numbered(1, 20), policy=Policy(grace_days=1))
    held = [dealer.night(numbered(11, 20)).counts["held"] for _ in range(4)]

    assert held == [10] * 4


# --- words -----------------------------------------------------------------------------------------------------------


def test_shown_plan_names_every_item_that_is_touched() -> None:
    """The dry run has one entry for each change, and it is plain JSON."""
    dealer = dealer_with([*numbered(1, 4), item("GONE"), item("LOCK")])
    dealer.night([*numbered(1, 4), item("LOCK")])
    dealer.edit("LOCK", locked=("price",))
    shown = show_plan(
        dealer.plan(
            [
                item("S1", Price="9.50"),
                item("S2"),
                item("GONE"),
                item("N"),
                item("LOCK", Price=3),
                item("S3", YearGroup=10**12),
            ]
        )
    )

    assert {entry["stock_number"]: entry["action"] for entry in json.loads(json.dumps(shown))} == {
        "S1": "update",
        "GONE": "revive",
        "N": "create",
        "LOCK": "skip",
        "S3": "refuse",
        "S4": "remove",
    }
    assert [entry["changes"] for entry in shown if entry["stock_number"] == "S1"] == [{"price": [None, "9.50"]}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", ""),
        ("text", "text"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (Decimal("1E+4"), "10000"),
        (Decimal("10.50"), "10.50"),
        (["é", "b"], '["é", "b"]'),
        ({"a": Decimal("1.5")}, '{"a": "1.5"}'),
    ],
)
def test_spell(value: object, expected: str | None) -> None:
    """The history keeps text: decimals in plain form, lists as JSON."""
    assert expected == spell(value)


def test_warnings_are_bounded() -> None:
    """Five hundred items with the same fault make one line, with their number and the first of them."""
    [line] = Dealer().plan(feed(*range(500), Price=-1)).warnings

    assert all(words in line for words in ("Price", "500", "0, 1, 2", "19"))
    assert "20" not in line


# --- over outside samples --------------------------------------------------------------------------------------------


def test_two_sample_nights(samples: Any) -> None:
    """A price cut, a reordered photo, a sale, one gone and one new are found, and nothing else."""
    folder = samples / "easycars" / "samples"
    dealer = Dealer()
    dealer.night(parse_envelope((folder / "constructed-stock-day1.json").read_bytes()).items or ())
    plan = dealer.night(parse_envelope((folder / "constructed-stock-day2.json").read_bytes()).items or ())

    assert (
        [car.stock_number for car in plan.created],
        sorted(change.row.stock_number for change in plan.changed),
        going(plan),
    ) == (["1055"], ["1042", "B-003"], ["N2077"])
    assert dealer.statuses()["B-003"] == "sold"


# --- random nights ---------------------------------------------------------------------------------------------------


CHANGES: Sequence[tuple[str, Sequence[object]]] = (
    ("Price", (0, 5, "7.50", None, -1, "lots")),
    ("Odometer", (1, 2, 10**12)),
    ("StockStatus", ("Sold", "In Stock", "")),
    ("IsDepositTaken", (True, False)),
    ("VIN", ("", "6T1A0000X1", "6T1A0000X2", "6T1A0000X3", "MANUAL01")),
    ("YardCode", ("100", "200", "")),
)
NOISE = (b'"noise"', b'{"StockNumber": null}', b'{"StockNumber": "S1", "X": 1e999999}', b'{"StockNumber": "S2"')


def random_night(random: Random, lot: dict[str, dict[str, Any]], out: dict[str, dict[str, Any]]) -> list[bytes]:
    """Let vehicles change, go and return in place, and say what the feed makes of it."""
    going_rate = random.choice((0, 0.02, 0.1, 0.6))
    for number in list(lot):
        if random.random() < going_rate:
            out[number] = lot.pop(number)
        elif random.random() < 0.1:
            key, values = random.choice(CHANGES)
            lot[number][key] = random.choice(values)
    for number in list(out):
        if random.random() < 0.3:
            lot[number] = out.pop(number)
    for number in (f"N{random.randrange(60)}" for _ in range(random.randrange(3))):
        lot.setdefault(number, out.pop(number, json.loads(item(number, Price=random.randrange(3)))))
    items = []
    for document in lot.values():
        left_out = random.choice(("StockStatus", "IsDepositTaken", "Price", "VIN")) if random.random() < 0.02 else None
        items.append(json.dumps({key: value for key, value in document.items() if key != left_out}).encode())
    if items and random.random() < 0.3:
        copy = json.loads(random.choice(items))
        items.append(json.dumps({**copy, "Price": random.choice((copy.get("Price"), 77))}).encode())
    if random.random() < 0.05:
        items.append(random.choice(NOISE))
    random.shuffle(items)
    return [] if random.random() < 0.04 else items


@pytest.mark.parametrize("seed", range(12))
def test_random_nights(seed: int) -> None:
    """Whatever nights follow each other: the sum holds, nothing goes when it must not, and twice is as once."""
    random = Random(seed)
    dealer = Dealer(
        policy=Policy(
            limit_percent=random.choice((0, 30, 100)),
            limit_floor=random.choice((0, 5)),
            grace_days=random.choice((0, 0, 2)),
        ),
        other_stock_keys={"n7": "N7", "s3": "S3"},
        other_vins={"MANUAL01": "M"},
        yard=random.choice((None, "100")),
    )
    lot = {f"S{number}": json.loads(item(f"S{number}", Price=number, YardCode="100")) for number in range(1, 31)}
    out: dict[str, dict[str, Any]] = {}
    for _ in range(40):
        items = random_night(random, lot, out)
        warned = random.random() < 0.1
        if random.random() < 0.05:
            dealer.yard = random.choice((None, "100", "200"))
        if dealer.rows and random.random() < 0.2:
            number = random.choice(sorted(dealer.rows))
            dealer.edit(number, locked=random.choice(((), ("price",), ("price", "status"))))
            if dealer.statuses()[number] == "active":
                dealer.edit(number, status=random.choice(("active", "sold")))
        if random.random() < 0.3:
            dealer.decide(random.choice(("approved", "rejected")))
        before = replace(dealer, rows=dict(dealer.rows), held=list(dealer.held))
        plan = dealer.night(items, warned=warned)
        check(before, plan, dealer)
        again = dealer.plan(items, warned=warned)
        if plan.blocked == again.blocked:
            check_again(dealer, again)


def check(before: Dealer, plan: StockPlan, after: Dealer) -> None:
    """What must be true of every night."""
    approved = {key for held in before.held if held.status == "approved" for key in held.keys}
    removed = set(going(plan))
    named = {change.row.stock_number for change in plan.changed} | {car.stock_number for car in plan.created}
    named |= {skip.stock_number for skip in plan.skipped}
    named |= {refused.stock_number for refused in plan.refused if refused.stock_number}
    assert plan.received == sum(plan.counts[name] for name in RECEIVED)
    assert len(removed) == plan.counts["removed"] == len(plan.removed)
    assert not removed & named
    assert {row.stock_key for row in plan.removed} <= set(before.listed)
    if plan.blocked or plan.received == 0:
        assert {stock_key(number) for number in removed} <= approved
    for hold in plan.holds:
        assert hold.kind != "removals" or not removed & set(hold.stock_numbers)
        assert plan.status is ItemStatus.HELD
    for number, row in before.rows.items():
        price_locked = "price" in row.listed.locked and row.listed.status != "removed"
        if price_locked and number in after.rows and after.rows[number].listed.id == row.listed.id:
            assert row.values["price"] == after.values(number)["price"]
    pending = [held.kind for held in after.held if held.status == "pending"]
    assert len(set(pending)) == len(pending)


def check_again(dealer: Dealer, again: StockPlan) -> None:
    """What must be true when the same answer comes at once a second time."""
    counted = {name: again.counts[name] for name in ("created", "updated", "revived")}
    assert counted == {"created": 0, "updated": 0, "revived": 0}
    assert not again.retired
    assert not again.returned
    assert not again.superseded
    due = [row for row in again.removed if row.missing_since is None or row.missing_since + DAY > dealer.now]
    assert due == []


def test_sort_feed_needs_no_row_to_refuse() -> None:
    """Sorting an empty feed, or one of noise alone, is no special case."""
    incoming = sort_feed([b"null", b"{}", b"null"], {}, yard_code=None)

    assert (incoming.received, len(incoming.refused), len(incoming.cars)) == (2, 2, 0)
