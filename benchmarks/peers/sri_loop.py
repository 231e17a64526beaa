"""
The loop that most people would write: ask, wait for the answer, write it down, sleep.

`sri_loop.py URL DATABASE_URL DELAY_S SECONDS` works on pending documents for so many seconds, on one connection each.
"""

from __future__ import annotations

import sys
import time

import psycopg
import requests  # type: ignore[import-untyped, unused-ignore]
from lxml import etree

QUESTION = (
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:ec="http://ec.gob.sri.ws.autorizacion"><soapenv:Body><ec:autorizacionComprobante>'
    "<claveAccesoComprobante>{}</claveAccesoComprobante></ec:autorizacionComprobante></soapenv:Body></soapenv:Envelope>"
)


def main() -> None:
    """Work until the time is over."""
    url, database_url, delay_s, ends = (
        sys.argv[1],
        sys.argv[2],
        float(sys.argv[3]),
        time.monotonic() + float(sys.argv[4]),
    )
    http = requests.Session()
    with psycopg.connect(database_url) as connection:
        pending = connection.execute(
            "SELECT id, access_key FROM invoices WHERE status = 'pending_authorization' ORDER BY id"
        ).fetchall()
        connection.commit()
        for number, key in pending:
            if time.monotonic() >= ends:
                break
            answer = http.post(
                f"{url}/comprobantes-electronicos-ws/AutorizacionComprobantesOffline",
                data=QUESTION.format(key),
                headers={"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'},
                timeout=15,
            ).content
            [one] = etree.fromstring(answer).iter("autorizacion")
            if one.findtext("estado") == "AUTORIZADO":
                document = (one.findtext("comprobante") or "").encode()
                connection.execute(
                    "UPDATE invoices SET status = 'authorized', sri_authorization = %s, authorized_at = %s,"
                    " next_check_at = NULL, check_count = check_count + 1, updated_at = now() WHERE id = %s",
                    [one.findtext("numeroAutorizacion"), one.findtext("fechaAutorizacion"), number],
                )
                connection.execute(
                    "INSERT INTO invoice_documents (invoice_id, authorized_answer, authorized_xml) VALUES (%s, %s, %s)",
                    [number, answer, document],
                )
                connection.commit()
            time.sleep(delay_s)


main()
