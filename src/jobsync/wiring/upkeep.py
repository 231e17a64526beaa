"""What each room says of its own rows: how long they stay, and what is known of the items of past runs."""

from collections.abc import Mapping

from jobsync.alerts import memory
from jobsync.easycars import upkeep as easycars
from jobsync.ride import upkeep as ride
from jobsync.sri import upkeep as sri
from jobsync.upkeep.model import ItemsOfRuns, RetentionRule
from jobsync.upkeep.prune import RULES

RETENTION: tuple[RetentionRule, ...] = (*RULES, *easycars.RULES, *sri.RULES, *memory.RULES)
ITEMS_OF_RUNS: Mapping[str, ItemsOfRuns] = {room.ITEMS.job: room.ITEMS for room in (easycars, sri, ride)}
