"""How one host of the SRI is asked: calls apart in time, and none any more once it has failed too often in a row."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

OPENS_AFTER = 5  # faults in a row
_PROBE_MOST_S = 60.0  # far beyond a call's deadline: an ask that never reported its end must not hold the line


@dataclass(frozen=True)
class Change:
    """
    What an ask's end changed in a host's circuit, to be remembered.

    Args:
        faults_in_a_row: so far, over all runs.
        open: no further call to be started, except one a run.
        probed: this ask was the one that an open circuit lets through.
        turned: it opened or closed just now.
        too_often: it is open because the host says that we ask too often.
    """

    faults_in_a_row: int
    open: bool
    probed: bool
    turned: bool
    too_often: bool = False


class HostLine:
    """
    The gate of one host, shared by the run's threads.

    Args:
        delay_s: between the starts of two calls.
        faults_in_a_row, is_open, too_often: what earlier runs left.
        idle_s: since the last call of an earlier run; None if there was none. Less than 0 if the clock was set back.
        pause: waits that many seconds; False if the run is to stop.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        delay_s: float,
        pause: Callable[[float], bool],
        faults_in_a_row: int = 0,
        is_open: bool = False,
        too_often: bool = False,
        idle_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._delay_s = delay_s
        self._pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._door = threading.Lock()
        self._faults = faults_in_a_row
        self._open = is_open
        self._too_often = too_often and is_open
        self._done = False  # the host said in this run that we ask too often: what ends later closes nothing
        self._probe_allowed = is_open
        self._probe_over = threading.Event()
        self._next_at = clock() + (delay_s - max(0.0, idle_s) if idle_s is not None else 0.0)
        self._sent_at = float("-inf")

    def admit(self) -> bool:
        """
        Wait for the next turn and return True; False if the host is not to be called any more in this run.

        Called from one thread. While the circuit is open one call goes through, and the others wait for how it ends.
        """
        if not self._admits():
            return False
        with self._lock:
            wait_s = self._next_at - self._clock()
        if wait_s > 0 and not self._pause(wait_s):
            return False
        with self._lock:
            if self._open and not self._probe_allowed:  # it opened while we waited
                return False
            self._probe_allowed = False
            self._next_at = max(self._next_at, self._clock()) + self._delay_s
        return True

    def _admits(self) -> bool:
        """Say whether a call may go out, waiting for the probe's end while one is under way."""
        give_up_at = self._clock() + _PROBE_MOST_S
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
        """The faults in a row, whether the circuit is open, and whether because we ask too often, now."""
        with self._lock:
            return self._faults, self._open, self._too_often

    def end(self, *, unreachable: bool, too_often: bool = False) -> Change | None:
        """
        Take in how a call ended; returns what is to be remembered of it, None if nothing changed.

        Args:
            too_often: the host said that we ask too often. That opens the circuit at once; a later run's probe closes
                it, not the answers to calls that were under way.
        """
        with self._lock:
            probed = self._open and not self._probe_over.is_set()
            before = (self._faults, self._open, self._too_often)
            self._done = self._done or too_often
            self._faults = self._faults + 1 if unreachable else 0
            self._open = self._done or (unreachable and (self._open or self._faults >= OPENS_AFTER))
            self._too_often = self._done or (self._open and self._too_often)
            if probed or self._open:
                self._probe_over.set()
            if before == (self._faults, self._open, self._too_often) and not probed:
                return None
            return Change(self._faults, self._open, probed, before[1] != self._open, self._too_often)
