"""How long the rows of each table stay, as each room says of its own."""

from __future__ import annotations

from jobsync.alerts import memory
from jobsync.easycars import upkeep as easycars
from jobsync.sri import upkeep as sri
from jobsync.upkeep.model import Rule
from jobsync.upkeep.prune import RULES

RETENTION: tuple[Rule, ...] = (*RULES, *easycars.RULES, *sri.RULES, *memory.RULES)
