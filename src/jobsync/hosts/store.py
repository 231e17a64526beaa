"""What is remembered of the vendors' hosts from run to run: faults in a row, an open circuit, a wish to rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

from jobsync.hosts.circuit import LONGEST_REST_S, CircuitChange, HostLine, HostState


def read_hosts(connection: psycopg.Connection[Any], hosts: Iterable[str]) -> dict[str, HostState]:
    names = list(hosts)
    rows = connection.execute(
        "SELECT host, faults_in_a_row, opened_at IS NOT NULL, open_cause IS NOT DISTINCT FROM 'too_often',"
        " extract(epoch FROM clock_timestamp() - last_start_at)::float8,"
        " CASE WHEN not_before > now() AND not_before <= now() + make_interval(secs => %s) THEN not_before END"
        " FROM vendor_hosts WHERE host = ANY(%s)",
        [LONGEST_REST_S, names],
    ).fetchall()
    known = {row[0]: HostState(*row) for row in rows}
    return {host: known.get(host) or HostState(host) for host in names}


def write_host(connection: psycopg.Connection[Any], host: str, line: HostLine, change: CircuitChange) -> None:
    """
    Remember how a host answers; the instant of its first opening stays until it answers again.

    Ends that come together are written in any order: each writes how the line stands once it has locked the row.
    """
    connection.execute("INSERT INTO vendor_hosts (host) VALUES (%s) ON CONFLICT (host) DO NOTHING", [host])
    connection.execute("SELECT FROM vendor_hosts WHERE host = %s FOR UPDATE", [host])
    faults, is_open, too_often = line.state
    connection.execute(
        "UPDATE vendor_hosts SET faults_in_a_row = %(faults)s, open_cause = %(cause)s,"
        " not_before = coalesce(clock_timestamp() + make_interval(secs => %(rest_s)s), not_before),"
        " opened_at = CASE WHEN %(open)s THEN coalesce(opened_at, now()) END,"
        " last_probe_at = CASE WHEN %(probed)s THEN now() ELSE last_probe_at END WHERE host = %(host)s",
        {
            "host": host,
            "faults": faults,
            "open": is_open,
            "probed": change.probed or change.turned,
            "cause": ("too_often" if too_often else "faults") if is_open else None,
            "rest_s": None if change.not_before_s is None else min(change.not_before_s, LONGEST_REST_S),
        },
    )


def claim_hosts(connection: psycopg.Connection[Any], hosts: Mapping[str, str]) -> None:
    """Remember which host each environment of EasyCars leads to: `jobsync_tick` asks whether it wants to rest."""
    known = dict(
        connection.execute("SELECT env, host FROM vendor_hosts, unnest(environments) AS env ORDER BY host").fetchall()
    )
    if known == dict(hosts):
        return
    connection.execute("UPDATE vendor_hosts SET environments = '{}' WHERE environments <> '{}'")
    for host in sorted(set(hosts.values())):
        served = sorted(environment for environment, name in hosts.items() if name == host)
        connection.execute(
            "INSERT INTO vendor_hosts (host, environments) VALUES (%s, %s)"
            " ON CONFLICT (host) DO UPDATE SET environments = excluded.environments",
            [host, served],
        )
