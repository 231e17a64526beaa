"""Through which proxy requests leave: the environment's variables as httpx reads them, or JOBSYNC_PROXY instead."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

UNUSABLE = (
    "the proxy of JOBSYNC_PROXY (or else HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) is no address of one:"
    " expected http://[user:password@]host[:port] or https://…"
)
_SCHEMES = ("http", "https", "all")


def read_proxies(environ: Mapping[str, str], named: str | None) -> dict[str, str | None]:
    """
    Return a proxy's URL, or None for a direct connection, by pattern of URLs as `httpx.Client(mounts=…)` takes them.

    No pattern at all means direct connections only.

    Args:
        named: JOBSYNC_PROXY, which replaces the environment's proxies; NO_PROXY exempts from it too.

    Source: https://www.python-httpx.org/environment_variables/ and the code of httpx 0.28 (read 2026-11-28). Lower
    case wins; HTTP_PROXY is not believed where REQUEST_METHOD is set, as a CGI client could set it by a header.

    >>> read_proxies({"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "example.com,10.0.0.7"}, None)
    {'https://': 'http://p:3128', 'all://*example.com': None, 'all://10.0.0.7': None}
    >>> read_proxies({"HTTPS_PROXY": "http://p:3128", "no_proxy": "*"}, "http://q")
    {}
    """
    found = {name.lower(): text for name, text in environ.items() if name.lower().endswith("_proxy")}
    if "REQUEST_METHOD" in environ:
        found.pop("http_proxy", None)
    found |= {name: text for name, text in environ.items() if name == name.lower() and name.endswith("_proxy")}
    proxies = {scheme: found.get(f"{scheme}_proxy", "") for scheme in _SCHEMES} if named is None else {"all": named}
    rules: dict[str, str | None] = {
        f"{scheme}://": url if "://" in url else f"http://{url}" for scheme, url in proxies.items() if url
    }
    exempt = [host.strip() for host in found.get("no_proxy", "").split(",")]
    if not rules or "*" in exempt:
        return {}
    return {**rules, **{_pattern(host): None for host in exempt if host}}


def _pattern(host: str) -> str:
    import ipaddress

    if "://" in host:
        return host
    try:
        version = ipaddress.ip_address(host.partition("/")[0]).version
    except ValueError:
        return f"all://{host}" if host.lower() == "localhost" else f"all://*{host}"
    return f"all://{host}" if version == 4 else f"all://[{host}]"


def as_environment(rules: Mapping[str, str | None]) -> dict[str, str]:
    """
    Return the variables that say what rules of `read_proxies` say.

    >>> as_environment({"all://": "http://p:3128", "all://*example.com": None})
    {'http_proxy': 'http://p:3128', 'https_proxy': 'http://p:3128', 'no_proxy': 'example.com'}
    """
    exempt = ",".join(host.partition("://")[2].lstrip("*") for host, url in rules.items() if url is None)
    found = {f"{scheme}_proxy": rules.get(f"{scheme}://") or rules.get("all://") for scheme in ("http", "https")}
    return {name: text for name, text in (*found.items(), ("no_proxy", exempt)) if text}


def exempting(environ: Mapping[str, str], host: str) -> dict[str, str]:
    """
    Return the variable that exempts one more host, for an environment that may exempt others already.

    >>> exempting({"NO_PROXY": "example.com"}, "127.0.0.1")
    {'no_proxy': 'example.com,127.0.0.1'}
    """
    already = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return {"no_proxy": ",".join(filter(None, (already, host)))}


def host_of(url: str) -> str:
    """
    Return what may be told of a proxy, its host and port.

    >>> host_of("http://user:password@proxy.example:3128")
    'proxy.example:3128'
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "?", parts.port
    except ValueError:
        return "?"
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port or (443 if parts.scheme == 'https' else 80)}"


def secrets_of(url: str) -> list[str]:
    """Return what must never be shown of a proxy's URL; a user's name alone may be an ordinary word."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return [url]
    if not parts.password:
        return [url]
    password = unquote(parts.password)  # as it stands in the URL too: %ff is no UTF-8, and nobody could undo it
    return [url, parts.password, password, f"{unquote(parts.username or '')}:{password}"]
