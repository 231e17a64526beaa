"""EasyCars as a host: whether it is asked at all, for how long it wants to rest, and what a run learned of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection

from jobsync.hosts.circuit import CircuitChange, HostLine, HostState
from jobsync.hosts.store import write_host
from jobsync.logs import get_logger
from jobsync.runner.items import Item, ItemQueue

_SPREAD = 3  # dealerships that must have met the faults before they count as the host's
_PROBE_MOST_S = 180.0  # a token and a feed, each with its deadline, and what is written of them


def resting(hosts: Mapping[str, str], known: Mapping[str, HostState]) -> dict[str, datetime]:
    """Return the environments whose host wants to rest, and until when."""
    found = {environment: known[host].not_before for environment, host in hosts.items()}
    return {environment: until for environment, until in found.items() if until is not None}


class Hosts:
    """
    The vendor's hosts in one run.

    Args:
        names: by environment.
        users: how many dealerships have each environment. Faults of all of them, if they are fewer than three, are the
            host's; a retry that is due alone says nothing of the host where others were answered.
    """

    def __init__(
        self,
        names: Mapping[str, str],
        known: Mapping[str, HostState],
        users: Mapping[str, int],
        *,
        pause: Callable[[float], bool],
    ) -> None:
        self._names = names
        self.resting = resting(names, known)
        self.lines: dict[str, HostLine] = {}
        for host in set(names.values()):
            served = [environment for environment, name in names.items() if name == host]
            spread = max(1, min(_SPREAD, sum(users.get(each, 0) for each in served)))
            line = HostLine(known[host], delay_s=0.0, pause=pause, spread=spread, probe_most_s=_PROBE_MOST_S)
            self.lines |= dict.fromkeys(served, line)

    def queues(self, items: Sequence[Item]) -> list[ItemQueue]:
        """Return a queue of items for each host, and one for items that are asked nowhere."""
        by_host: dict[str, list[Item]] = {}
        for item in items:
            by_host.setdefault(self._names.get(item.group or "", ""), []).append(item)
        return [ItemQueue(queued, gate=self.admit if host else None) for host, queued in by_host.items()] or [
            ItemQueue([])
        ]

    def admit(self, item: Item) -> bool:
        """Whether the item may be begun; waits where another's end decides that."""
        line = self.lines.get(item.group or "")
        if line is None:
            return True
        return item.group not in self.resting and line.admit(item.key)

    def write(self, connection: Connection[Any], environment: str, change: CircuitChange) -> None:
        host = self._names[environment]
        write_host(connection, host, self.lines[environment], change)
        if change.turned:
            get_logger().warning("stock_sync.circuit", host=host, open=change.open)
