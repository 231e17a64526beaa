"""A network that only lets a proxy out: vendors, webhook and ping through it, and what is said where it refuses."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from jobsync import http
from jobsync.sandbox.serve import serve
from tests.commands.sri import Sri
from tests.commands.support import Add, Cli, Feed, cars, command
from tests.proxy import Authority, Proxy
from tests.sri import documents
from tests.sri.documents import RUC, make_key
from tests.watch.support import free_port

EASYCARS, SRI, HOOK = "easycars.example", "sri.example", "hook.example"
LOGIN = "batch:wallaby-secret"
SECRET_FORMS = ("wallaby-secret", base64.b64encode(LOGIN.encode()).decode())
KEY = make_key(1)


@pytest.fixture
def authority(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """The only one that this process believes."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    http.tls_context.cache_clear()
    yield made
    http.tls_context.cache_clear()


@pytest.fixture
def sri() -> Sri:
    """A stand-in SRI that authorizes."""
    made = Sri()
    made.default = documents.authorized
    return made


@pytest.fixture
def world(authority: Authority, easycars_url: str, sri: Sri) -> Iterator[Callable[..., Proxy]]:
    """Make a proxy behind which both vendors are."""
    with serve(sri, path="") as served:
        vendors = {host: int(urlsplit(url).port or 0) for host, url in ((EASYCARS, easycars_url), (SRI, served.origin))}
        yield lambda **more: Proxy(authority, vendors, **more)


@pytest.fixture
def ready(cli: Cli, feed: Feed, add: Add) -> Cli:
    """One dealership and one document, both vendors at names that no resolver knows."""
    add("Yard", "EC1")
    feed.answers["EC1"] = cars("A1", "A2")
    cli.environ |= {
        "JOBSYNC_EASYCARS_URL": f"https://{EASYCARS}/ECService/StockService/",
        "JOBSYNC_SRI_URL": f"https://{SRI}",
    }
    assert cli("tenant", "add", RUC, "Uno").code == 0
    return cli


def submit(connection: Any) -> None:
    """Insert the document as a host application would."""
    connection.execute(
        "INSERT INTO invoices (tenant_id, access_key, document_type) SELECT id, %s, 'invoice' FROM tenants", [KEY]
    )


def both(cli: Cli, connection: Any) -> tuple[int, int]:
    """Run both jobs and return their exit codes."""
    submit(connection)
    return cli("stock-sync").code, cli("check-authorizations", "--access-key", KEY).code


@pytest.mark.parametrize(
    "variables",
    [
        {"JOBSYNC_PROXY": "{url}"},
        {"HTTPS_PROXY": "{url}"},
        {"https_proxy": "{url}"},
        {"ALL_PROXY": "{url}"},
        {"HTTPS_PROXY": "{host}"},
        {"JOBSYNC_PROXY": "{url}", "HTTPS_PROXY": "http://127.0.0.1:9"},
        {"JOBSYNC_PROXY": "{url}", "NO_PROXY": "example.org, 10.0.0.0/8"},
    ],
    ids="+".join,
)
def test_both_vendors_through_a_proxy(
    ready: Cli, world: Callable[..., Proxy], connection: Any, variables: dict[str, str]
) -> None:
    """However the proxy is named, every request takes it."""
    with world().running() as proxy:
        texts = {"url": proxy.url, "host": proxy.url.removeprefix("http://")}
        ready.environ |= {name: text.format(**texts) for name, text in variables.items()}

        assert both(ready, connection) == (0, 0)

    assert set(proxy.asked) == {f"{EASYCARS}:443", f"{SRI}:443"}
    assert len(proxy.asked) == 2  # a tunnel is kept


def test_a_proxy_with_a_login(ready: Cli, world: Callable[..., Proxy], connection: Any) -> None:
    """User and password go to the proxy, and are told to nobody else."""
    with world(login=SECRET_FORMS[1]).running() as proxy:
        ready.environ["JOBSYNC_PROXY"] = proxy.url.replace("//", f"//{LOGIN}@")

        assert both(ready, connection) == (0, 0)
        doctor = ready("doctor", "--json")

    assert proxy.asked
    assert not any(form in doctor.out + doctor.err for form in SECRET_FORMS)


def test_a_proxy_that_is_spoken_to_over_tls(ready: Cli, world: Callable[..., Proxy], connection: Any) -> None:
    """TLS inside TLS, with a certificate for each."""
    with world(secure=True).running() as proxy:
        ready.environ["JOBSYNC_PROXY"] = proxy.url

        assert both(ready, connection) == (0, 0)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"login": "b3RoZXI6b3RoZXI="}, "HTTP 407"),
        ({"refusal": 403}, "HTTP 403"),
        ({"refusal": 503}, "HTTP 503"),
        ({"vendors": {}}, "HTTP 502"),
        (None, "Connection refused"),
    ],
    ids=["wants a login", "forbids", "is overloaded", "finds no such host", "is away"],
)
def test_a_refusal_of_the_proxy_is_told_as_its_own(
    ready: Cli, authority: Authority, connection: Any, more: dict[str, Any] | None, words: str
) -> None:
    """Both jobs end with 69 and name the proxy, its host alone."""
    proxy = Proxy(authority, **(more or {}))
    with proxy.running():
        address = f"127.0.0.1:{free_port()}" if more is None else proxy.url.removeprefix("http://")
        ready.environ["JOBSYNC_PROXY"] = f"http://{LOGIN}@{address}"
        submit(connection)
        for job in (["stock-sync"], ["check-authorizations", "--access-key", KEY]):
            ran = ready(*job, "--json")
            [item] = ran.json["items"]

            assert ran.code == 69
            assert f"proxy {address}" in item["error"]
            assert words in item["error"]
            assert not any(form in ran.out + ran.err for form in SECRET_FORMS)


@pytest.mark.parametrize("variables", [{"JOBSYNC_PROXY": "{dead}"}, {"HTTP_PROXY": "{dead}"}, {"ALL_PROXY": "{dead}"}])
def test_no_proxy_exempts(
    ready: Cli, easycars_url: str, variables: dict[str, str], authority: Authority, feed: Feed
) -> None:
    """A host in NO_PROXY is asked directly, whichever way the proxy was named."""
    ready.environ["JOBSYNC_EASYCARS_URL"] = easycars_url
    with Proxy(authority).running() as proxy:
        ready.environ |= dict.fromkeys(variables, proxy.url)
        ready.environ["NO_PROXY"] = "example.org,127.0.0.1"

        assert ready("stock-sync").code == 0
        assert not proxy.asked
        assert feed.asked

        ready.environ["NO_PROXY"] = "example.org"
        assert ready("stock-sync").code != 0
        assert proxy.asked


def test_doctor_names_the_proxy(ready: Cli, world: Callable[..., Proxy]) -> None:
    """Its host, where it was named, and whom it does not serve; services are reached through it."""
    with world().running() as proxy:
        ready.environ |= {"JOBSYNC_PROXY": proxy.url.replace("//", f"//{LOGIN}@"), "NO_PROXY": "intranet.example"}
        ran = ready("doctor", "--json")
        found = {each["name"]: each for each in ran.json["findings"]}

    host = proxy.url.removeprefix("http://")
    assert found["proxy"]["text"] == f"all requests through {host} (JOBSYNC_PROXY); NO_PROXY exempts intranet.example"
    assert (found["EasyCars"]["level"], found["SRI"]["level"]) == ("warning", "warning")  # certificates of one day
    assert f"{EASYCARS}:443" in proxy.asked
    assert not any(form in ran.out + ran.err for form in SECRET_FORMS)


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"JOBSYNC_PROXY": "socks5://127.0.0.1:1080"}, 78),
        ({"JOBSYNC_PROXY": "proxy.example:3128"}, 78),
        ({"JOBSYNC_PROXY": "http://h:port"}, 78),
        ({"ALL_PROXY": "socks5://127.0.0.1:1080"}, 78),
        ({"HTTPS_PROXY": "http://"}, 78),
        ({"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "[::1"}, 78),
    ],
)
def test_a_proxy_that_is_none(ready: Cli, variables: dict[str, str], code: int) -> None:
    """It is a mistake of the configuration, named as such, and no screen needs it."""
    ready.environ |= variables
    ran = ready("stock-sync")

    assert ran.code == code
    assert "PROXY" in ran.err
    assert "Traceback" not in ran.err


def test_webhook_and_ping_take_the_proxy(ready: Cli, authority: Authority, connection: Any, tmp_path: Path) -> None:
    """What tells people leaves by the same way."""
    with Proxy(authority).running() as proxy:
        ready.environ |= {
            "STATE_DIRECTORY": str(tmp_path),
            "JOBSYNC_PROXY": proxy.url,
            "JOBSYNC_ALERT_WEBHOOK": f"http://{HOOK}/services/token-token-token",
            "JOBSYNC_PING_URL": f"http://{HOOK}/ping-token-token",
        }
        submit(connection)
        for _ in range(5):
            ready("alert", "--unit", "jobsync-stock-sync.service")
        assert ready("check-authorizations", "--scheduled").code == 69

    assert proxy.asked[0] == f"http://{HOOK}/services/token-token-token"
    assert any(url.startswith(f"http://{HOOK}/ping-token-token/69?rid=") for url in proxy.asked)


def test_the_demonstration_needs_no_proxy(cli: Cli, authority: Authority) -> None:
    """Both of its sides are on this machine, whatever the environment says."""
    with Proxy(authority).running() as proxy:
        process = command({**cli.environ, "HTTP_PROXY": proxy.url, "NO_PROXY": "example.org"}, "demo")
        out, err = process.communicate(timeout=120)

    assert (process.returncode, proxy.asked) == (0, []), out + err


def test_the_sandbox_says_how_to_reach_it(cli: Cli) -> None:
    """With a proxy in the environment, its own address is exempted beside the others."""
    environ = {**cli.environ, "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "example.org"}
    process = command(environ, "sandbox", "serve")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    process.terminate()
    process.communicate(timeout=20)

    assert "NO_PROXY=example.org,127.0.0.1" in lines[2]
