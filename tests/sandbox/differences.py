"""How a dealer's stock of one night differs from that of another: what a sync should find."""

from __future__ import annotations

from dataclasses import dataclass

from jobsync.sandbox.fields import Vehicle
from jobsync.sandbox.scenario import Dealer
from jobsync.sandbox.stock import vehicles_on


@dataclass(frozen=True)
class Differences:
    """Stock numbers, sorted, each in one field only: a vehicle that is now marked sold is not also `changed`."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    sold: tuple[str, ...]


def expected_differences(dealer: Dealer, night_a: int, night_b: int) -> Differences:
    """
    Say how a dealer's stock of `night_b` differs from that of `night_a`.

    Compared is the stock itself: what a behaviour (an empty feed, an outage) hides and what oddities add is left
    out. `sold` vehicles are listed on both nights and have StockStatus "Sold" on `night_b` only; a vehicle whose
    sale and disappearance both fall between the nights is `removed`.

    Raises:
        ValueError: the dealer's answer of one of the nights is a raw body.
    """
    before, after = _by_stock_number(dealer, night_a), _by_stock_number(dealer, night_b)
    differ = {number for number in before.keys() & after.keys() if before[number] != after[number]}
    sold = {
        number for number in differ if after[number].get("StockStatus") == "Sold" != before[number].get("StockStatus")
    }
    return Differences(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(differ - sold)),
        sold=tuple(sorted(sold)),
    )


def _by_stock_number(dealer: Dealer, night: int) -> dict[str, Vehicle]:
    return {str(vehicle.get("StockNumber")): vehicle for vehicle in vehicles_on(dealer, night)}
