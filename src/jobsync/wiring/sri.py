"""The SRI and authorization checks, built."""

from __future__ import annotations

from jobsync.db.system_settings import SystemSettings
from jobsync.http import HttpClient
from jobsync.sri.client import MOST_BYTES, SriClient
from jobsync.sri.job import CheckAuthorizations
from jobsync.wiring import Tools


def check_authorizations(
    tools: Tools,
    settings: SystemSettings,
    *,
    access_keys: tuple[str, ...],
    tenants: tuple[str, ...],
    limit: int | None,
    every: bool,
) -> CheckAuthorizations:
    """Return authorization checks' work."""
    connections = 2 * settings.number("sri_check_concurrency")  # two hosts
    http = HttpClient(connections=connections, most_bytes=MOST_BYTES, proxies=tools.settings.proxies)
    tools.stack.callback(http.close)
    return CheckAuthorizations(
        client=SriClient(http, base_url=tools.settings.sri_url),
        settings=settings,
        access_keys=access_keys,
        tenants=tenants,
        limit=limit,
        every=every,
    )
