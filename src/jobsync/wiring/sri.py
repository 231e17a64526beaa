"""The SRI, asked over the network."""

from jobsync.db.system_settings import SystemSettings
from jobsync.http import HttpClient
from jobsync.sri.client import MOST_BYTES, SriClient
from jobsync.wiring import Tools


def make_client(tools: Tools, settings: SystemSettings) -> SriClient:
    connections = 2 * settings.number("sri_check_concurrency")
    http = HttpClient(connections=connections, most_bytes=MOST_BYTES, proxies=tools.settings.proxies)
    tools.stack.callback(http.close)
    return SriClient(http, base_url=tools.settings.sri_url)
