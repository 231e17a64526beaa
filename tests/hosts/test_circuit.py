"""How a host of the SRI is asked: apart in time, and hardly any more once it fails."""

from __future__ import annotations

import threading

import pytest

from jobsync.hosts.circuit import OPENS_AFTER, CircuitChange, HostLine, HostState, merged


class Time:
    """A clock that pauses move."""

    def __init__(self) -> None:
        self.now = 100.0
        self.stopped = False

    def pause(self, seconds: float) -> bool:
        self.now += seconds
        return not self.stopped

    def clock(self) -> float:
        return self.now


def line(
    time: Time, *, delay_s: float = 0.0, faults: int = 0, is_open: bool = False, idle: float | None = None
) -> HostLine:
    """Return the gate of a host."""
    known = HostState("sri.example", faults, is_open, idle_s=idle)
    return HostLine(known, delay_s=delay_s, pause=time.pause, clock=time.clock)


def test_starts_are_apart() -> None:
    """Each admission comes a delay after the one before."""
    time = Time()
    host = line(time, delay_s=0.5)

    starts = []
    for _ in range(4):
        assert host.admit()
        with host.leaving():
            pass
        starts.append(time.now)

    assert starts == [100.0, 100.5, 101.0, 101.5]


def test_last_call_of_the_run_before_counts() -> None:
    """A run that begins 0.2 s after a call waits for the rest of the delay."""
    time = Time()
    host = line(time, delay_s=0.5, idle=0.2)

    assert host.admit()

    assert time.now == 100.3


def test_clock_that_was_set_back_holds_nobody_up() -> None:
    """A last call that lies in the future counts as one just now."""
    time = Time()
    host = line(time, delay_s=0.5, idle=-3600.0)

    assert host.admit()

    assert time.now == 100.5


def test_call_that_left_late_pushes_the_next() -> None:
    """What counts is when a call has left, not when it was let through."""
    time = Time()
    host = line(time, delay_s=0.5)
    host.admit()
    time.now += 0.25
    with host.leaving():
        time.now += 0.125

    host.admit()

    assert time.now == 100.875


def test_ended_run_admits_nothing() -> None:
    """A wait that was cut short is no turn."""
    time = Time()
    host = line(time, delay_s=0.5)
    host.admit()
    time.stopped = True

    assert not host.admit()


def test_circuit_opens_after_faults_in_a_row() -> None:
    """Fewer change nothing, and an answer in between starts the count anew."""
    host = line(Time())
    for _ in range(OPENS_AFTER - 1):
        host.end(unreachable=True)
    assert host.end(unreachable=False) == CircuitChange(0, open=False, probed=False, turned=False)

    changes = [host.end(unreachable=True) for _ in range(OPENS_AFTER)]

    assert changes[-1] == CircuitChange(OPENS_AFTER, open=True, probed=False, turned=True)
    assert not host.admit()


def test_faults_of_earlier_runs_count() -> None:
    """A run that does one call a tick opens the circuit as well."""
    change = line(Time(), faults=OPENS_AFTER - 1).end(unreachable=True)

    assert change == CircuitChange(OPENS_AFTER, open=True, probed=False, turned=True)


def test_good_answers_leave_nothing_to_remember() -> None:
    """Only what changes is written."""
    assert line(Time()).end(unreachable=False) is None


def test_open_circuit_lets_one_probe_through() -> None:
    """The others wait for its end, and are turned away if it fails."""
    host = line(Time(), faults=7, is_open=True)
    assert host.admit()
    second: list[bool] = []
    waiting = threading.Thread(target=lambda: second.append(host.admit()))
    waiting.start()
    assert waiting.is_alive()

    change = host.end(unreachable=True)
    waiting.join(5)

    assert change == CircuitChange(8, open=True, probed=True, turned=False)
    assert second == [False]


def test_answered_probe_closes_the_circuit() -> None:
    """Whoever waited may go on."""
    host = line(Time(), faults=7, is_open=True)
    assert host.admit()

    change = host.end(unreachable=False)

    assert change == CircuitChange(0, open=False, probed=True, turned=True)
    assert host.admit()


def test_probe_that_was_not_made_goes_to_the_next() -> None:
    """A document that was decided meanwhile does not use the probe up."""
    host = line(Time(), faults=7, is_open=True)
    assert host.admit()

    host.give_back()

    assert host.admit()


def test_probe_that_never_ends_does_not_hold_the_line() -> None:
    """The wait for it has an end."""
    time = Time()
    host = line(time, faults=7, is_open=True)
    assert host.admit()
    time.now += 1000
    ticking = threading.Event()

    def admit() -> None:
        assert not host.admit()
        ticking.set()

    thread = threading.Thread(target=admit, daemon=True)
    thread.start()
    while not ticking.wait(0.06):
        time.now += 100
    thread.join(5)
    assert ticking.is_set()


def test_host_that_is_asked_too_often_is_left_alone_at_once() -> None:
    """One answer that says so opens the circuit; answers to calls under way do not close it."""
    host = line(Time())
    assert host.admit()
    assert host.admit()

    change = host.end(unreachable=False, too_often=True)
    under_way = host.end(unreachable=False)

    assert change == CircuitChange(0, open=True, probed=False, turned=True, too_often=True)
    assert under_way is None
    assert not host.admit()


@pytest.mark.parametrize(
    ("unreachable", "too_often", "state"),
    [(False, False, (0, False, False)), (False, True, (0, True, True)), (True, False, (3, True, True))],
)
def test_probe_of_a_host_that_was_asked_too_often(
    *, unreachable: bool, too_often: bool, state: tuple[int, bool, bool]
) -> None:
    """Only an answer without those words closes the circuit."""
    time = Time()
    known = HostState("sri.example", 2, open=True, too_often=True)
    host = HostLine(known, delay_s=0, pause=time.pause, clock=time.clock)
    assert host.admit()

    host.end(unreachable=unreachable, too_often=too_often)

    assert host.state == state


# --- items of a host -------------------------------------------------------------------------------------------------


def easycars(faults: int = 0, *, is_open: bool = False, **more: object) -> HostLine:
    """A line as stock sync has it: no distance, three items for a verdict on the host."""
    known = HostState("easycars.example", faults, is_open)
    return HostLine(known, **{"delay_s": 0.0, "pause": lambda _seconds: True, "spread": 3, **more})  # type: ignore[arg-type]


def test_faults_of_few_items_are_not_the_hosts() -> None:
    """One account that never answers, tried again and again, is no outage; of three it is."""
    line = easycars()
    for item in "aaaabbbb":
        line.end(unreachable=True, item=item)
    assert line.state[:2] == (8, False)

    change = line.end(unreachable=True, item="c")
    assert change is not None
    assert (change.open, change.turned) == (True, True)


def test_five_faults_end_the_tries_of_whoever_met_them() -> None:
    """Before the circuit opens nobody tries again: the next item's first fault decides."""
    line = easycars()
    for item in "aaab":
        line.end(unreachable=True, item=item)
    assert line.may_go_on()

    line.end(unreachable=True, item="b")
    assert not line.may_go_on()


def test_only_the_probe_may_ask_an_open_host() -> None:
    """What was admitted before it opened is left for another run; what is admitted while it is open is the probe."""
    line = easycars(6, is_open=True)
    assert line.admit("a")

    assert (line.may_ask("a"), line.may_ask("b")) == (True, False)
    assert not line.may_go_on()


def test_a_probe_that_succeeds_lets_the_run_go_on() -> None:
    """The host answers again: everybody may ask."""
    line = easycars(6, is_open=True)
    line.admit("a")
    change = line.end(unreachable=False, item="a")

    assert change == CircuitChange(0, open=False, probed=True, turned=True)
    assert (line.admit("b"), line.may_ask("c")) == (True, True)


@pytest.mark.parametrize(("seconds", "asked"), [(3.0, True), (60.0, True), (61.0, False), (3600.0, False)])
def test_a_host_that_wants_to_rest(seconds: float, asked: bool) -> None:
    """A short rest is waited for, a long one leaves everybody for another run; it is remembered either way."""
    waits: list[float] = []

    def pause(wait_s: float) -> bool:
        waits.append(wait_s)
        return True

    line = easycars(pause=pause, clock=lambda: 100.0)
    line.hold_off(seconds)
    change = line.end(unreachable=True, item="a")

    assert change is not None
    assert change.not_before_s == seconds
    assert (line.admit("b"), waits) == (asked, [seconds] if asked else [])
    assert line.may_ask("a") is asked
    assert line.may_go_on() is asked


def test_two_changes_are_remembered_as_one() -> None:
    """What opened and closed again has not turned; a wish to rest is not forgotten."""
    opened = CircuitChange(5, open=True, probed=False, turned=True, not_before_s=30.0)
    closed = CircuitChange(0, open=False, probed=True, turned=True)

    assert merged(None, opened) == opened
    assert merged(opened, closed) == CircuitChange(0, open=False, probed=True, turned=False, not_before_s=30.0)
