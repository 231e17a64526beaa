"""Two nights of six real-sized dealers, over a loopback server, against the differences that somebody else computed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands.support import Cli, Feed

DEALERS = [f"D0{number}" for number in range(1, 7)]


@pytest.fixture
def volume(samples: Path) -> Path:
    """The folder of two nights."""
    return samples / "easycars" / "volume"


def test_two_nights_give_exactly_the_known_differences(
    volume: Path, cli: Cli, feed: Feed, add: Callable[..., int], rows: Callable[[str], list[Any]]
) -> None:
    """Night 1 then night 2 create, change, sell and remove what the volume's own list says, and nothing else."""
    expected = json.loads((volume / "day1-to-day2.json").read_text())
    numbers = {dealer: add(dealer, dealer) for dealer in DEALERS}
    for dealer in DEALERS:
        feed.answers[dealer] = (volume / f"{dealer}-day1.json").read_bytes()
    first = cli("stock-sync", "--json")
    assert first.code == 0, first.err
    assert {item["name"]: item["created"] for item in first.json["items"]} == {
        dealer: expected[dealer]["day1"] for dealer in DEALERS
    }
    for dealer in DEALERS:
        feed.answers[dealer] = (volume / f"{dealer}-day2.json").read_bytes()
    dry = cli("stock-sync", "--dry-run", "--json").json
    second = cli("stock-sync", "--json")
    assert second.code == 0, second.err

    plans = {item["name"]: item["plan"] for item in dry["items"]}
    for item in second.json["items"]:
        want = expected[item["name"]]
        plan = plans[item["name"]]
        by_action = {
            action: sorted(entry["stock_number"] for entry in plan if entry["action"] == action)
            for action in ("create", "update", "remove")
        }
        changes = {entry["stock_number"]: entry["changes"] for entry in plan if entry["action"] == "update"}
        assert by_action["create"] == want["added"]
        assert by_action["remove"] == want["removed"]
        assert (
            sorted(number for number, change in changes.items() if {"price", "special_price"} & change.keys())
            == want["price_changed"]
        )
        assert (
            sorted(number for number, change in changes.items() if "description" in change)
            == want["description_changed"]
        )
        assert (
            sorted(number for number, change in changes.items() if change.get("status", [None, None])[1] == "sold")
            == want["status_to_sold"]
        )
        assert item["unchanged"] == want["unchanged"]
        assert item["created"] == len(by_action["create"])
        assert item["updated"] == len(by_action["update"])
        assert item["removed"] == len(by_action["remove"])
        listed = rows(
            f"SELECT count(*) FROM vehicles WHERE dealership_id = {numbers[item['name']]} AND status <> 'removed'"
        )
        assert listed == [(want["day2"],)]
