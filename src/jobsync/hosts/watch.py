"""How a vendor's host stands, as a person is told of it; the slice that asks it says what waits behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from jobsync.causes import Cause
from jobsync.db.statements import rows_of
from jobsync.hosts.circuit import LONGEST_REST_S
from jobsync.phrases import ago, stamp
from jobsync.watch.model import Column, Metric, Problem, Row, Section, Severity, Unit, columns_of

CIRCUIT = "circuit"
ASKED = "do EasyCars and the SRI answer?"
TOO_OFTEN = Cause.ASKED_TOO_OFTEN.do()
_CIRCUIT_RIPE = timedelta(minutes=5)  # the SRI often blinks; a message is for what lasts
_PROBED_WITHIN = timedelta(hours=2)  # a document waits an hour at most; an older probe says nothing of now


@dataclass(frozen=True)
class HostFacts:
    """One host of a vendor; its circuit is open since `opened_at`."""

    host: str
    faults_in_a_row: int
    opened_at: datetime | None
    last_probe_at: datetime | None
    behind: int = 0  # documents or dealerships that wait for it; without any no call probes it
    open_cause: str | None = None  # faults, or too_often as the SRI says
    vendor: str = "SRI"
    not_before: datetime | None = None  # it does not want to be asked until then

    @property
    def too_often(self) -> bool:
        return self.open_cause == "too_often"


def read_hosts(
    connection: Connection, now: datetime, *, vendor: str, which: str, behind: str, **parameters: object
) -> tuple[HostFacts, ...]:
    """
    Return a vendor's hosts; `which` is a condition of `vendor_hosts`, `behind` an expression of how many wait for one.

    A host that was not tried for 7 hours is not in use, such as a sandbox that is no more: what waits is asked
    about every 6 hours at least.
    """
    statement = f"""
        SELECT host, faults_in_a_row, opened_at, last_probe_at, open_cause,
               CASE WHEN not_before BETWEEN :now AND CAST(:now AS timestamptz) + make_interval(secs => :rest_s)
                   THEN not_before END AS not_before,
               CASE WHEN opened_at IS NULL OR last_probe_at < CAST(:now AS timestamptz) - interval '7 hours' THEN 0
                   ELSE ({behind}) END AS behind
        FROM vendor_hosts WHERE {which} ORDER BY host
    """
    rows = rows_of(connection, text(statement), {"now": now, "rest_s": LONGEST_REST_S, **parameters})
    return tuple(HostFacts(**row, vendor=vendor) for row in rows)


def problems_of(hosts: Sequence[HostFacts], now: datetime) -> Iterator[Problem]:
    for host in hosts:
        if host.opened_at is None or not host.behind:
            continue
        cause, words = Cause.HOST_SILENT, f"has not answered since {stamp(host.opened_at)}"
        if host.too_often:
            cause, words = Cause.ASKED_TOO_OFTEN, f"says since {stamp(host.opened_at)} that we ask too often (code 33)"
        tried = host.last_probe_at is None or now - host.last_probe_at < _PROBED_WITHIN
        yield Problem(
            host.host,
            f"{host.host} {words}, last tried {ago(now, host.last_probe_at)}",
            cause.do(),
            host.opened_at,
            ripe=tried and (host.too_often or now - host.opened_at >= _CIRCUIT_RIPE),  # our own doing does not pass
            cause=cause,
        )


def notes_of(hosts: Sequence[HostFacts], now: datetime, noun: str) -> Iterator[str]:
    """Return what is to be known of hosts for which nothing waits, or which want to be left alone."""
    for host in hosts:
        if host.opened_at is not None and not host.behind:
            yield (
                f"{host.host} {'said that we ask too often' if host.too_often else 'did not answer'} when last asked,"
                f" {ago(now, host.last_probe_at or host.opened_at)}; nothing"
                f" waits for it, the next {noun} that does tries it again"
            )
    for host in hosts:
        if host.not_before is not None:
            yield (
                f"{host.host} ({host.vendor}) does not want to be asked before {stamp(host.not_before)}:"
                " nothing of it is due"
            )


def names_of(hosts: Sequence[HostFacts]) -> str:
    return ", ".join(f"{host.host} since {stamp(host.opened_at)}" for host in hosts)


_COLUMNS = (
    *columns_of(HostFacts),
    Column(
        "is_open",
        Unit.COUNT,
        metric=Metric("circuit_open", "Whether a vendor's host is given a rest.", {"vendor": "vendor", "host": "host"}),
    ),
)


def section_of(name: str, hosts: Sequence[HostFacts]) -> Section:
    """Return the hosts for machines; the job that asks there tells people of them."""
    rows = (
        Row(
            host.host,
            host.host,
            {**vars(host), "is_open": host.opened_at is not None},
            Severity.BAD if host.opened_at is not None and host.behind else Severity.OK,
        )
        for host in hosts
    )
    return Section(name, _COLUMNS, tuple(rows))
