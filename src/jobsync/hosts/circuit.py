"""How one host of a vendor is asked: calls apart in time, and none any more once it has failed too often in a row."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

OPENS_AFTER = 5  # faults in a row
LONGEST_REST_S = 3600.0  # a longer Retry-After is taken for a mistake
REST_MOST_S = 60.0  # a host that wants to rest for longer is left for another run
_PROBE_MOST_S = 60.0  # far beyond a call's deadline: an ask that never reported its end must not hold the line


@dataclass(frozen=True)
class HostState:
    """What earlier runs learned of a host."""

    host: str
    faults_in_a_row: int = 0
    open: bool = False
    too_often: bool = False  # its circuit is open because it says that we ask too often
    idle_s: float | None = None  # since its last call, None: never; negative if the clock was set back
    not_before: datetime | None = None  # its wish to rest; None if past, or too far ahead


@dataclass(frozen=True)
class CircuitChange:
    """What an ask's end changed in a host's circuit, to be remembered."""

    faults_in_a_row: int  # over all runs
    open: bool  # no further call is started, except one a run
    probed: bool  # this ask was the one that an open circuit lets through
    turned: bool  # it opened or closed just now
    too_often: bool = False
    not_before_s: float | None = None  # its wish to rest, from now, if it has just said so


def merged(before: CircuitChange | None, after: CircuitChange) -> CircuitChange:
    """Return what two ends, one after the other, changed together."""
    if before is None:
        return after
    rest_s = before.not_before_s if after.not_before_s is None else after.not_before_s
    return replace(
        after, probed=before.probed or after.probed, turned=before.turned != after.turned, not_before_s=rest_s
    )


class HostLine:
    """The gate of one host, shared by the run's threads."""

    def __init__(
        self,
        known: HostState,
        *,
        delay_s: float,  # between the starts of two calls
        pause: Callable[[float], bool],  # waits that many seconds; False if the run is to stop
        spread: int = 1,  # items that must have met the faults before they are the host's
        probe_most_s: float = _PROBE_MOST_S,  # a probe that takes longer holds up nobody
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._delay_s = delay_s
        self._pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._door = threading.Lock()
        self._faults = known.faults_in_a_row
        self._open = known.open
        self._too_often = known.too_often and known.open
        self._done = False  # the host said in this run that we ask too often: what ends later closes nothing
        self._probe_allowed = known.open
        self._probe_over = threading.Event()
        self._next_at = clock() + (delay_s - max(0.0, known.idle_s) if known.idle_s is not None else 0.0)
        self._sent_at = float("-inf")
        self._spread = spread
        self._probe_most_s = probe_most_s
        self._met_by: set[str] = set()  # the items that met the faults in a row
        self._prober: str | None = None
        self._not_before = float("-inf")
        self._asked_to_wait = False

    def admit(self, item: str = "") -> bool:
        """
        Wait for the next turn and return True; False if the host is not to be called any more in this run.

        Called from one thread. While the circuit is open one call goes through, and the others wait for how it ends.
        """
        if not self._admits() or not self._rest():
            return False
        with self._lock:
            wait_s = self._next_at - self._clock()
        if wait_s > 0 and not self._pause(wait_s):
            return False
        with self._lock:
            if self._open and not self._probe_allowed:  # it opened while we waited
                return False
            if self._open:
                self._prober = item
            self._probe_allowed = False
            self._next_at = max(self._next_at, self._clock()) + self._delay_s
        return True

    def may_go_on(self) -> bool:
        """Whether an item may ask once more after a fault: no try goes on from where the faults are enough."""
        with self._lock:
            if self._not_before - self._clock() > REST_MOST_S:
                return False
            return not self._open and self._faults < OPENS_AFTER

    def may_ask(self, item: str) -> bool:
        """Whether an item that was admitted may still ask; waits where the host wants to rest for a little."""
        with self._lock:
            refused = self._open and self._prober != item
        return not refused and self._rest()

    def hold_off(self, seconds: float) -> None:
        with self._lock:
            self._not_before = max(self._not_before, self._clock() + seconds)
            self._asked_to_wait = True

    def _rest(self) -> bool:
        with self._lock:
            wait_s = self._not_before - self._clock()
        return wait_s <= 0 or (wait_s <= REST_MOST_S and self._pause(wait_s))

    def _admits(self) -> bool:
        give_up_at = self._clock() + self._probe_most_s
        while True:
            over = self._probe_over.is_set()  # looked at first: the probe may end between the two looks
            with self._lock:
                if not self._open or self._probe_allowed:
                    return True
            if over or self._clock() >= give_up_at or not self._pause(0.0):
                return False
            self._probe_over.wait(0.05)

    def give_back(self) -> None:
        """The admitted call will not be made: its document was changed meanwhile."""
        with self._lock:
            self._probe_allowed = self._open and not self._probe_over.is_set()

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """
        Around the sending of a call, from any thread: keeps the distance to the one that left before.

        Entered once the connection stands, so that a slow handshake brings no call closer to the next.
        """
        with self._door:
            while (wait_s := self._sent_at + self._delay_s - self._clock()) > 0:
                time.sleep(wait_s)
            try:
                yield
            finally:
                with self._lock:
                    self._sent_at = self._clock()
                    self._next_at = max(self._next_at, self._sent_at + self._delay_s)

    @property
    def idle_s(self) -> float | None:
        """Seconds since the last call left; None if none did."""
        with self._lock:
            return self._clock() - self._sent_at if self._sent_at > float("-inf") else None

    @property
    def state(self) -> tuple[int, bool, bool]:
        """The faults in a row, whether the circuit is open, and whether because we ask too often."""
        with self._lock:
            return self._faults, self._open, self._too_often

    def end(self, *, unreachable: bool, too_often: bool = False, item: str = "") -> CircuitChange | None:
        """
        Take in how a call ended; returns what is to be remembered of it, None if nothing changed.

        Asking too often, as the host says, opens the circuit at once; a later run's probe closes it, not the answers to
        calls that were under way.
        """
        with self._lock:
            probed = self._open and not self._probe_over.is_set()
            before = (self._faults, self._open, self._too_often)
            self._done = self._done or too_often
            self._faults = self._faults + 1 if unreachable else 0
            self._met_by = self._met_by | {item} if unreachable else set()
            enough = self._faults >= OPENS_AFTER and len(self._met_by) >= self._spread
            self._open = self._done or (unreachable and (self._open or enough))
            self._too_often = self._done or (self._open and self._too_often)
            if probed or self._open:
                self._probe_over.set()
            asked_to_wait, self._asked_to_wait = self._asked_to_wait, False
            if before == (self._faults, self._open, self._too_often) and not probed and not asked_to_wait:
                return None
            not_before_s = self._not_before - self._clock() if asked_to_wait else None
            return CircuitChange(
                self._faults, self._open, probed, before[1] != self._open, self._too_often, not_before_s
            )
