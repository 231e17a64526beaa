"""How what is held, and why, is said to a person."""

from __future__ import annotations

from dataclasses import dataclass

from jobsync.phrases import many

# EasyCars answers a wrong account as it answers one without a vehicle.
EMPTY_FEED = "the feed is empty, which a wrong AccountSecret or AccountNumber looks like too"
FOREIGN_FEED = "the feed is not this dealership's stock, as after a wrong AccountNumber"


@dataclass(frozen=True)
class Held:
    """How one kind of hold is spoken of."""

    one: str  # what was held of one vehicle, behind its number
    several: str  # of several
    approved: str  # what the decision leads to
    rejected: str

    def told(self, number: int) -> str:
        """
        Return what is held, with its number.

        >>> HELD["prices"].told(2), HELD["removals"].told(1)
        ('2 price changes held', '1 removal held')
        """
        return f"{number} {self.one if number == 1 else self.several} held"

    def told_rejected(self, number: int) -> str:
        """
        Return what stays as it is because a person rejected its change, with its number.

        >>> HELD["prices"].told_rejected(2), HELD["removals"].told_rejected(6)
        ('2 price changes rejected', '6 missing vehicles stay listed: removal rejected')
        """
        if self is HELD["removals"]:
            return f"{many(number, 'missing vehicle stays', 'missing vehicles stay')} listed: removal rejected"
        return f"{number} {self.one if number == 1 else self.several} rejected"


HELD = {
    "removals": Held(
        "removal",
        "removals",
        "those still missing go at the next sync",
        "they stay listed, as long as these are missing",
    ),
    "sold": Held(
        "change to sold",
        "changes to sold",
        "those that the feed still calls sold become so at the next sync",
        "they keep their status, as long as the feed says so of these",
    ),
    "prices": Held(
        "price change",
        "price changes",
        "the next sync brings the prices that the feed then has, or takes them away",
        "they keep their prices, as long as the feed says so of these",
    ),
    "pictures": Held(
        "loss of all pictures",
        "losses of all pictures",
        "those for which the feed still has none lose them at the next sync",
        "they keep their pictures, as long as the feed says so of these",
    ),
    "descriptions": Held(
        "loss of the description",
        "losses of the description",
        "those for which the feed still has none lose it at the next sync",
        "they keep their description, as long as the feed says so of these",
    ),
    "foreign_feed": Held(
        "vehicle of a foreign feed",
        "vehicles of a foreign feed",
        "the next feed that names one of these vehicles is applied whole, its removals included (within 7 days)",
        "nothing of that feed is applied, as long as more than half of it comes again",
    ),
}
