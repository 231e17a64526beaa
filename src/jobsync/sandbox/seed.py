"""Fills a test database with the dealerships, tenants and documents that the stand-ins serve."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from jobsync.db.tables import dealerships, tenants
from jobsync.easycars import registry as stock
from jobsync.easycars.credentials import Cipher, parse_credentials
from jobsync.errors import UsageProblem
from jobsync.fiscal.element import UnreadableDocument
from jobsync.fiscal.read import read_summary
from jobsync.sandbox.documents import ENVIRONMENTS, invent_documents, is_key, taxpayer_of, write_documents
from jobsync.sri import registry as documents
from jobsync.sri.import_ import Taken, find_files, take_in
from jobsync.sri.parse import UnreadableFile, open_file

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from jobsync.sandbox.scenario import Scenario

ZONE = "Australia/Sydney"  # where EasyCars' customers are


@dataclass
class Seeded:
    """What was added, and how many documents of each outcome of the import."""

    dealerships: list[dict[str, object]] = field(default_factory=list)
    tenants: list[dict[str, object]] = field(default_factory=list)
    documents: Counter[str] = field(default_factory=Counter)


def seed(
    connection: Connection, cipher: Cipher, scenario: Scenario, *, invented: int, environment: str, add: bool
) -> Seeded:
    """
    Add the scenario's dealerships with what their operators typed in, the issuers of its documents, and these.

    One transaction: the caller's. Where the scenario names a folder of documents, those are taken, else they are
    invented; the stand-in answers with the same bytes.

    Args:
        invented: how many documents to invent.
        environment: of the invented ones, test or production.
        add: leave what is there, and add what is not; else the database must hold neither dealership nor tenant.

    Raises:
        UsageProblem: it holds some.
    """
    connection.execute(text("LOCK TABLE dealerships, tenants IN SHARE ROW EXCLUSIVE MODE"))
    if not add:
        _require_empty(connection)
    made = Seeded()
    _add_dealerships(connection, cipher, scenario, made)
    with tempfile.TemporaryDirectory(prefix="jobsync-seed-") as folder:
        if scenario.sri.documents is not None:
            files = [file for file in find_files([scenario.sri.documents]) if is_key(file.stem)]
        else:
            write_documents(Path(folder), invent_documents(invented, issuers=2, environment=ENVIRONMENTS[environment]))
            files = list(find_files([Path(folder)]))
        _add_tenants(connection, _issuers(files), made)
        take_in(files, transaction=lambda: nullcontext(connection), told=_counter(made))
    documents.record_import(connection, ["jobsync sandbox seed"], dict(made.documents))
    return made


def _require_empty(connection: Connection) -> None:
    numbers = [
        connection.execute(select(func.count()).select_from(table)).scalar_one() for table in (dealerships, tenants)
    ]
    if any(numbers):
        raise UsageProblem(
            f"this database holds {numbers[0]} dealerships and {numbers[1]} tenants already; seed is for an empty test"
            " database: name another one (JOBSYNC_DATABASE_URL), or say --add to leave those and add the rest"
        )


def _add_dealerships(connection: Connection, cipher: Cipher, scenario: Scenario, made: Seeded) -> None:
    there = set(connection.execute(select(dealerships.c.name)).scalars())
    for dealer in scenario.dealers:
        if dealer.name in there:
            continue
        row = stock.add_dealership(connection, dealer.name, timezone=ZONE, email=None)
        stored = parse_credentials(scenario.credentials_to_store(dealer))
        stock.set_credentials(connection, row["id"], stored, cipher)
        made.dealerships.append({"id": row["id"], "name": dealer.name})


def _issuers(files: Iterable[Path]) -> Iterator[tuple[str, str, str]]:
    """Yield RUC, environment and name of each issuer, once."""
    seen = set()
    for file in files:
        ruc, digit = file.stem[10:23], file.stem[23]
        if ruc not in seen:
            seen.add(ruc)
            yield ruc, "test" if digit == "1" else "production", _name(file) or taxpayer_of(ruc).name


def _name(file: Path) -> str | None:
    try:
        return read_summary(open_file(file.read_bytes()).document).issuer_name
    except (OSError, UnreadableFile, UnreadableDocument):
        return None


def _add_tenants(connection: Connection, issuers: Iterable[tuple[str, str, str]], made: Seeded) -> None:
    there = set(connection.execute(select(tenants.c.ruc)).scalars())
    for ruc, environment, name in issuers:
        if ruc not in there:
            documents.add_tenant(connection, ruc, name, environment=environment, logo_path=None)
            made.tenants.append({"ruc": ruc, "name": name})


def _counter(made: Seeded) -> Callable[[Taken], None]:
    def told(entry: Taken) -> None:
        made.documents[entry.status] += 1

    return told
