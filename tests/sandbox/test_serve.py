"""Listening, closing, and the command's loop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from jobsync.errors import UsageProblem
from jobsync.sandbox.easycars import EasyCarsSandbox
from jobsync.sandbox.scenario import Behaviour, Client, Dealer, Scenario
from jobsync.sandbox.serve import ServeProblem, serve


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("sandbox")}


def test_connections_are_kept_alive() -> None:
    """Many requests travel over one connection."""
    app = EasyCarsSandbox(Scenario())
    with serve(app) as served, httpx.Client(base_url=served.url, trust_env=False) as http:
        ports = set()
        for _ in range(3):
            answer = http.get("__control")
            ports.add(answer.extensions["network_stream"].get_extra_info("client_addr"))

        assert len(ports) == 1
        assert served.url == served.origin + "/ECService/StockService/"


def test_closing_leaves_no_thread_and_cuts_what_waits() -> None:
    """Closing does not wait for a slow answer: its connection is cut, all threads end, the port is free again."""
    slow = Dealer("Test Yard", "EC900001", "a", "c", behaviour=Behaviour("slow", seconds=600))
    app = EasyCarsSandbox(Scenario((Client("c", "s"),), (slow,)))
    caught: list[Exception] = []

    def ask(url: str) -> None:
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
            token = http.post("RequestToken", params={"ClientID": "c", "ClientSecret": "s"}).json()["Token"]
            account = {"AccountNumber": "EC900001", "AccountSecret": "a"}
            try:
                http.post("GetAdvertisementStocks", json=account, headers={"Authorization": f"Bearer {token}"})
            except httpx.TransportError as error:
                caught.append(error)

    before = _threads()
    with serve(app) as served:
        port = int(served.origin.rsplit(":", 1)[1])
        asking = threading.Thread(target=ask, args=(served.url,))
        asking.start()
        while len(app.requests) < 2:
            time.sleep(0.01)
        started = time.monotonic()
    asking.join()

    assert time.monotonic() - started < 2
    assert caught
    assert _threads() == before
    with serve(app, port=port):
        pass


def test_close_twice() -> None:
    """A second close does nothing."""
    served = serve(EasyCarsSandbox(Scenario()))
    served.close()
    served.close()


def test_port_in_use_is_a_usage_error() -> None:
    """A taken port and another machine's address are told in one sentence."""
    app = EasyCarsSandbox(Scenario())
    with serve(app) as served:
        port = int(served.origin.rsplit(":", 1)[1])
        with pytest.raises(UsageProblem, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use"):
            serve(app, port=port)
    with pytest.raises(ServeProblem, match=r"cannot listen on 192\.0\.2\.1"):
        serve(app, "192.0.2.1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_tells_its_url_and_ends_on_signals(number: signal.Signals, tmp_path: Path) -> None:
    """The command prints the variables to set, serves both vendors, and exits 0 on a signal with a last word."""
    scenario = tmp_path / "s.toml"
    scenario.write_text(
        '[[clients]]\nclient_id = "c"\nclient_secret = "s"\n'
        '[[dealers]]\nname = "From a file"\naccount_number = "EC900001"\naccount_secret = "a"\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "jobsync", "sandbox", "serve", "--scenario", str(scenario)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        url = line.split("JOBSYNC_EASYCARS_URL=")[1].strip()
        sri = process.stdout.readline().split("JOBSYNC_SRI_URL=")[1].strip()
        state = httpx.get(url + "__control", trust_env=False).json()
        other = httpx.get(sri + "/comprobantes-electronicos-ws/__control", trust_env=False).json()
        process.send_signal(number)
        rest, errors = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()

    assert [dealer["name"] for dealer in state["dealers"]] == ["From a file"]
    assert (other["asks"], other["outage"]) == (0, None)
    assert (process.returncode, rest, errors) == (0, "The stand-ins have ended.\n", "")
