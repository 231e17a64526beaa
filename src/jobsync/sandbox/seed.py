"""Fills a test database with the dealerships, tenants and documents that the stand-ins serve."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, text

from jobsync.db.audit import AuditOfParts
from jobsync.db.tables import dealerships, tenants
from jobsync.easycars import registry as stock
from jobsync.easycars.credentials import Cipher, parse_credentials
from jobsync.errors import UsageProblem
from jobsync.fiscal.element import UnreadableDocument
from jobsync.fiscal.read import read_summary
from jobsync.sandbox.documents import ENVIRONMENTS, invent_documents, is_key, taxpayer_of, write_documents
from jobsync.sandbox.scenario import Scenario
from jobsync.sri import registry as documents
from jobsync.sri.import_ import find_files, take_in
from jobsync.sri.parse import UnreadableFile, open_file

ZONE = "Australia/Sydney"  # where EasyCars' customers are


def seed(
    connection: Connection, cipher: Cipher, scenario: Scenario, *, invented: int, environment: str, add: bool
) -> dict[str, Any]:
    """
    Add the scenario's dealerships with what their operators typed in, the issuers of its documents, and these.

    Returns dealerships {id, name}, tenants {ruc, name} and how many documents of each outcome of the import; the
    transaction is the caller's. Where the scenario names no folder of documents, so many as `invented` are invented for
    the `environment`, test or production; the stand-in answers with the same bytes.

    Raises:
        UsageProblem: the database holds dealerships or tenants, and `add` does not say to leave those and add the rest.
    """
    connection.execute(text("LOCK TABLE dealerships, tenants IN SHARE ROW EXCLUSIVE MODE"))
    names = set(connection.execute(select(dealerships.c.name)).scalars())
    rucs = set(connection.execute(select(tenants.c.ruc)).scalars())
    if not add and (names or rucs):
        raise UsageProblem(
            f"this database holds {len(names)} dealerships and {len(rucs)} tenants already; seed is for an empty test"
            " database: name another one (JOBSYNC_DATABASE_URL), or say --add to leave those and add the rest"
        )
    with tempfile.TemporaryDirectory(prefix="jobsync-seed-") as folder:
        if scenario.sri.documents is not None:
            files = [file for file in find_files([scenario.sri.documents]) if is_key(file.stem)]
        else:
            write_documents(Path(folder), invent_documents(invented, issuers=2, environment=ENVIRONMENTS[environment]))
            files = list(find_files([Path(folder)]))
        added: list[dict[str, object]] = []
        for dealer in (dealer for dealer in scenario.dealers if dealer.name not in names):
            row = stock.add_dealership(connection, dealer.name, timezone=ZONE, email=None)
            stored = parse_credentials(scenario.credentials_to_store(dealer))
            stock.set_credentials(connection, row["id"], stored, cipher)
            added.append({"id": row["id"], "name": dealer.name})
        issuers = _add_tenants(connection, files, rucs)
        taken = Counter[str]()
        take_in(
            files,
            transaction=lambda: nullcontext(connection),
            told=lambda file: taken.update([file.status]),
            record=AuditOfParts("invoice.import", paths=["jobsync sandbox seed"]),
        )
    return {"dealerships": added, "tenants": issuers, "documents": dict(taken)}


def _add_tenants(connection: Connection, files: Iterable[Path], there: set[str]) -> list[dict[str, object]]:
    added: list[dict[str, object]] = []
    for file in files:
        ruc, environment = file.stem[10:23], "test" if file.stem[23] == ENVIRONMENTS["test"] else "production"
        if ruc in there:
            continue
        there.add(ruc)
        name = taxpayer_of(ruc).name
        with suppress(OSError, UnreadableFile, UnreadableDocument):
            name = read_summary(open_file(file.read_bytes()).document).issuer_name or name
        documents.add_tenant(connection, ruc, name, environment=environment, logo_path=None)
        added.append({"ruc": ruc, "name": name})
    return added
