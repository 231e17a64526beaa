"""
The same questions through zeep, as its documentation shows: `zeep_ask.py URL CALLS KEY`.

It reads the WSDL from the service at its start, and keeps its connection. Prints as sri_ask.py does.
"""

from __future__ import annotations

import json
import sys
import time

from zeep import Client  # type: ignore[import-not-found]


def main() -> None:
    """Ask once, then so many times."""
    url, calls, text = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    client = Client(f"{url}/comprobantes-electronicos-ws/AutorizacionComprobantesOffline?wsdl")

    def ask() -> None:
        answer = client.service.autorizacionComprobante(claveAccesoComprobante=text)
        [one] = answer.autorizaciones.autorizacion
        assert one.estado == "AUTORIZADO"
        assert one.numeroAutorizacion == text
        assert one.comprobante.startswith("<?xml")

    ask()
    first, started_cpu = time.monotonic(), time.process_time()
    for _ in range(calls):
        ask()
    took = {"wall_s": time.monotonic() - first, "cpu_s": time.process_time() - started_cpu}
    print(json.dumps({"first": first, **took}))


main()
