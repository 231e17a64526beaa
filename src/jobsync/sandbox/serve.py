"""Serves stand-ins over HTTP/1.1 on a port of this machine."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from jobsync.errors import ConfigurationProblem, UsageProblem
from jobsync.sandbox.easycars import EasyCarsSandbox
from jobsync.sandbox.sri import SriSandbox

EASYCARS_PATH = "/ECService/StockService/"
SRI_PATH = "/comprobantes-electronicos-ws/"
_AT_ONCE = 16  # requests


class Served(AbstractContextManager["Served"]):
    """
    A running stand-in; leaving the `with` block closes its socket and ends its threads, cutting requests under way.

    `origin` is `http://host:port`, `url` the origin and the path below which the service lives.
    """

    def __init__(self, app: WSGIApplication, listener: socket.socket, *, path: str) -> None:
        import waitress

        # waitress tells at WARNING about every body that is shorter than declared, which here is meant
        logging.getLogger("waitress").setLevel(logging.ERROR)
        host, port = listener.getsockname()[:2]
        self.origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self.url = self.origin + path
        self._interrupt = getattr(app, "interrupt", lambda: None)
        self._sockets: dict[int, Any] = {}
        self._stopping = False
        self._woken = threading.Event()  # the trigger has been pulled, its descriptor may be closed
        self._server = waitress.create_server(
            app,
            map=self._sockets,
            sockets=[listener],
            threads=_AT_ONCE,
            ident=None,
            connection_limit=2000,
            asyncore_use_poll=True,
            outbuf_overflow=256 * 1024 * 1024,  # no temporary files
            max_request_body_size=1024 * 1024,
            log_socket_errors=False,  # an app that raises ConnectionError closes the connection without an answer
        )
        self._loop = threading.Thread(target=self._run, name="sandbox-http", daemon=True)
        self._loop.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, cut what is under way, end the threads; a second call does nothing."""
        if self._stopping:
            return
        self._stopping = True
        self._server.pull_trigger()
        self._woken.set()
        self._loop.join()

    def _run(self) -> None:
        from waitress import wasyncore

        while not self._stopping:
            wasyncore.loop(timeout=1, use_poll=True, map=self._sockets, count=1)
        self._woken.wait()
        self._server.accepting = False
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()
        workers = self._server.task_dispatcher
        workers.set_thread_count(0)
        while workers.threads:
            self._interrupt()
            time.sleep(0.002)
        self._server.close()
        wasyncore.close_all(self._sockets, ignore_all=True)


class BothVendors:
    """Two stand-ins at one address: what is asked below the SRI's path goes to the one, all else to the other."""

    def __init__(self, easycars: EasyCarsSandbox, sri: SriSandbox) -> None:
        self.easycars = easycars
        self.sri = sri

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        of_the_sri = SRI_PATH in str(environ.get("PATH_INFO", ""))
        return self.sri(environ, start_response) if of_the_sri else self.easycars(environ, start_response)

    def interrupt(self) -> None:
        self.easycars.interrupt()
        self.sri.interrupt()


def serve(app: WSGIApplication, host: str = "127.0.0.1", port: int = 0, *, path: str = EASYCARS_PATH) -> Served:
    """
    Serve `app` until the returned context manager is left; port 0 takes any that is free.

    If it has a method `interrupt()`, that is called on closing until no request is under way. Raises UsageProblem if
    the address is in use, or not one of this machine's; ConfigurationProblem if waitress is missing.
    """
    if find_spec("waitress") is None:
        raise ConfigurationProblem("the stand-ins are served by waitress, which is not installed: pip install waitress")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise UsageProblem(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    return Served(app, listener, path=path)
