"""Cron expressions: whatever text stands there is judged, and what is good leads to a slot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsync.cron import Wanted, next_slot, problem_of_cron, resolve, text_of_cron

# What expressions are made of, right and wrong, in any number and order.
_PIECES = [
    "*",
    "?",
    "L",
    "LW",
    "W",
    "#",
    ",",
    "-",
    "/",
    "MON",
    "sun",
    "JAN",
    "feb",
    "0",
    "00",
    "1",
    "5",
    "7",
    "29",
    "30",
]
_PIECES += ["31", "32", "60", "99999", "9" * 50, "٣", "²", "-1", "1.5", "@daily", "é", "\x00", "\ud800"]
_FIELD = st.lists(st.sampled_from(_PIECES), min_size=1, max_size=6).map("".join)
TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(_FIELD, max_size=7).map(" ".join),
    st.tuples(*([_FIELD] * 5)).map(" ".join),
    st.builds(
        "{} {} {} {} {}".format, *(st.integers(low, high) for low, high in [(0, 60), (0, 24), (0, 32), (0, 13), (0, 8)])
    ),
)
_ZONES = st.sampled_from(["UTC", "Australia/Lord_Howe", "America/Guayaquil", "Antarctica/Troll", "Europe/Dublin"])
_INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(text=TEXTS, zone=_ZONES, now=_INSTANTS)
def test_any_text_is_refused_with_a_word_or_leads_to_a_later_slot(text: str, zone: str, now: datetime) -> None:
    """Nothing raises; a good one stays good in its normal form, and its slots come within 41 years (29 February)."""
    why, normal = problem_of_cron(text), text_of_cron(text)

    assert (why is None) is (normal is not None)
    if normal is not None:
        assert normal == text_of_cron(normal)
        assert now < next_slot(normal, zone, now) < now + timedelta(days=41 * 366)


@given(cron=TEXTS, zone=st.text(max_size=40), last=TEXTS, common=TEXTS)
def test_there_is_always_a_rule(cron: str, zone: str, last: str, common: str) -> None:
    """Whatever a dealership, the settings and what a tick kept say."""
    rule = resolve(Wanted(cron, zone, common, zone), last_cron=last, last_timezone=zone)

    assert problem_of_cron(rule.cron) is None
    next_slot(rule.cron, rule.timezone, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("text", ["0,1" * 300_000, "9" * 1_000_000, " " * 1_000_000, "* " * 500_000, "1-" * 500_000])
def test_a_megabyte_is_judged_at_once(text: str) -> None:
    """What nobody can have meant costs no time."""
    assert problem_of_cron(text) == "it is longer than 1,000 characters"
