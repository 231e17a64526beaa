"""EasyCars and stock sync, built."""

from collections.abc import Callable

from jobsync.db.system_settings import SystemSettings
from jobsync.easycars.client import ADDRESSES, EasyCarsClient, host_of
from jobsync.easycars.job import StockSync
from jobsync.http import HttpClient
from jobsync.wiring import Tools


def make_client(tools: Tools, pause: Callable[[float], bool], *, connections: int) -> EasyCarsClient:
    """Return a client for the EasyCars API; `pause` ends with the run."""
    http = HttpClient(connections=connections, proxies=tools.settings.proxies)
    tools.stack.callback(http.close)
    return EasyCarsClient(http, base_url=tools.settings.easycars_url, pause=tools.pause or pause)


def stock_sync(
    tools: Tools, settings: SystemSettings, *, named: tuple[int, ...], scheduled: bool, concurrency: int | None
) -> StockSync:
    """Return stock sync's work."""
    workers = concurrency or settings.number("easycar_sync_concurrency")
    return StockSync(
        read_key=lambda: tools.cipher,
        make_client=lambda pause: make_client(tools, pause, connections=workers),
        hosts={environment: host_of(environment, tools.settings.easycars_url) for environment in ADDRESSES},
        settings=settings,
        named=named,
        scheduled=scheduled,
        concurrency=workers,
    )
