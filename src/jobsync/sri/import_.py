"""Takes documents in from files: what each is, whose it is, and what becomes of the row that may be there already."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, LiteralString, NamedTuple

import psycopg
from sqlalchemy import Connection

from jobsync.db.engine import driver
from jobsync.errors import UsageProblem
from jobsync.fiscal.access_key import AccessKey, AccessKeyError, parse_access_key
from jobsync.fiscal.document import Summary
from jobsync.fiscal.element import UnreadableDocument
from jobsync.fiscal.read import read_summary
from jobsync.fiscal.states import AUTHORIZED, normal_state
from jobsync.runner.run import database_now
from jobsync.sri import store
from jobsync.sri.model import Authorization, DocumentFile, DocumentStatus
from jobsync.sri.parse import UnreadableFile, open_file
from jobsync.sri.verdict import date_warnings

MOST_BYTES = 8 << 20  # the SRI takes documents of up to 320 KB; a file may hold one escaped, with its answer
_BATCH = 100
_FILLED = ("imported", "replaced")
Driver = psycopg.Connection[Any]


@dataclass(frozen=True)
class Taken:
    """What became of one file."""

    file: str
    status: str  # imported, unchanged, replaced or refused
    access_key: str | None = None
    reason: str | None = None
    unknown_ruc: str | None = None  # of the issuer, where the file was refused because no tenant has it


@dataclass(frozen=True)
class IncomingFile:
    """One readable file."""

    file: str
    raw: bytes  # kept if it holds the SRI's answer
    opened: DocumentFile
    key: AccessKey
    summary: Summary
    said: Authorization | None  # what it says of the document, if it says AUTORIZADO

    def ends(self, status: str, reason: str | None = None) -> Taken:
        return Taken(self.file, status, self.key.text, reason)


def find_files(paths: Sequence[Path]) -> Iterator[Path]:
    """
    Yield each file named, and each *.xml below each folder named, in the order of their names.

    Raises:
        UsageProblem: a path does not exist or cannot be looked at, or a folder cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise UsageProblem(f"{error.filename}: cannot be listed ({error.strerror})")

    for path in paths:
        try:
            is_folder, exists = path.is_dir(), path.exists()
        except OSError as error:
            raise UsageProblem(f"{path}: cannot be looked at ({error.strerror})") from None
        if not exists:
            raise UsageProblem(f"{path}: no such file or folder")
        if not is_folder:
            yield path
            continue
        for where, folders, files in os.walk(path, onerror=fail):
            folders.sort()
            names = (name for name in sorted(files) if name.lower().endswith(".xml") and not name.startswith("."))
            yield from map(Path(where).joinpath, names)


def take_in(
    files: Sequence[Path],
    *,
    transaction: Callable[[], AbstractContextManager[Connection]],
    tenant: str | None = None,
    told: Callable[[Taken], None],
    record: Callable[[Connection, Mapping[str, int]], object] = lambda _connection, _counts: None,
    stop: Callable[[], bool] = lambda: False,
    dry_run: bool = False,
) -> None:
    """
    Import files, a transaction for each hundred; one that cannot go in stops no other.

    Args:
        tenant: RUC; files of others are refused.
        told: called for each file, in their order, once it is committed.
        record: called in each transaction with how many files came to what in it; not in a dry run.
        stop: asked before each file; True leaves it and all after the last commit.
        dry_run: only say what would become of each: nothing is written or locked.
    """
    bring = _Trial() if dry_run else _write
    for start in range(0, len(files), _BATCH):
        done: dict[int, Taken] = {}
        readable: list[tuple[str, int, IncomingFile]] = []
        for at, path in enumerate(files[start : start + _BATCH]):
            if stop():
                return
            entry = _read(path, tenant)
            if isinstance(entry, Taken):
                done[at] = entry
            else:
                readable.append((entry.key.text, at, entry))
        with transaction() as connection:
            raw = driver(connection)
            # In the order of their keys: two imports of the same documents would else wait for each other.
            for _, at, entry in sorted(readable):
                of = raw.execute("SELECT id FROM tenants WHERE ruc = %s", [entry.key.ruc]).fetchone()
                done[at] = bring(raw, entry, of[0]) if of else _of_nobody(entry)
            if not dry_run:
                record(connection, Counter(taken.status for taken in done.values()))
        for _, taken in sorted(done.items()):
            told(taken)


def _of_nobody(incoming: IncomingFile) -> Taken:
    where = " --environment test" if incoming.key.environment == "test" else ""
    ruc, name = incoming.key.ruc, shlex.quote(incoming.summary.issuer_name or "NAME")
    words = f"no tenant has the RUC {ruc}; add it: jobsync tenant add {ruc} {name}{where}"
    return replace(incoming.ends("refused", words), unknown_ruc=ruc)


def _read(path: Path, tenant: str | None) -> IncomingFile | Taken:
    name, key = str(path), None
    try:
        raw = _read_bytes(path)
        opened = open_file(raw)
        summary = read_summary(opened.document)
        try:
            key = parse_access_key(summary.access_key)
        except AccessKeyError as error:
            raise UnreadableFile(f"infoTributaria/claveAcceso: {error}") from None
        key.require_ruc(summary.issuer_ruc)
        if summary.document_code != key.document_code:
            raise UnreadableFile(
                f"it is a document of type {summary.document_code}, its key is of type {key.document_code}"
            )
        if tenant is not None and key.ruc != tenant:
            raise UnreadableFile(f"it is of RUC {key.ruc}, expected {tenant}")
        said = _authorization(opened.authorization, key)
        return IncomingFile(name, raw, opened, key, summary, said)
    except (UnreadableFile, UnreadableDocument, AccessKeyError) as error:
        return Taken(name, "refused", key.text if key else None, str(error))


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UnreadableFile("it is not a regular file")
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UnreadableFile(f"it cannot be read ({error.strerror or type(error).__name__})") from None
    if len(raw) > MOST_BYTES:
        raise UnreadableFile(f"it is larger than {MOST_BYTES >> 20} MB")
    return raw


def _authorization(said: Authorization | None, key: AccessKey) -> Authorization | None:
    """Return what a file says only if it says AUTORIZADO; about anything else the SRI is asked."""
    if said is None or normal_state(said.state) not in AUTHORIZED:
        return None
    if said.number is not None and len(said.number) == len(key.text) and said.number != key.text:
        raise UnreadableFile(f"its authorization number {said.number} is not its access key {key.text}")
    return said


class There(NamedTuple):
    """A document that is here already."""

    id: int
    tenant_id: int
    status: str
    deleted: bool
    kept: Sequence[bytes | None]  # SHA-256 of the XML as submitted and as authorized


def _write(raw: Driver, incoming: IncomingFile, tenant_id: int) -> Taken:
    inserted = raw.execute(
        "INSERT INTO invoices (tenant_id, access_key, submitted_at) VALUES (%s, %s, now())"
        " ON CONFLICT (access_key) DO NOTHING RETURNING id",
        [tenant_id, incoming.key.text],
    ).fetchone()
    if inserted:
        taken, invoice_id = incoming.ends("imported"), inserted[0]
    elif there := _find(raw, incoming, " FOR UPDATE OF i"):
        taken, invoice_id = _judge(incoming, tenant_id, there), there.id
    else:
        return incoming.ends("refused", "its row was deleted this very moment; import it again")
    if taken.status in _FILLED:
        _fill(raw, invoice_id, tenant_id, incoming, kind=taken.status)
    return taken


class _Trial:
    """What `_write` would do, without doing it; remembers what earlier files would have left."""

    def __init__(self) -> None:
        self._left: dict[str, There] = {}

    def __call__(self, raw: Driver, incoming: IncomingFile, tenant_id: int) -> Taken:
        key = incoming.key.text
        there = self._left.get(key) or _find(raw, incoming)
        taken = _judge(incoming, tenant_id, there) if there else incoming.ends("imported")
        if taken.status in _FILLED:
            document = hashlib.sha256(incoming.opened.document).digest()
            kept, status = [document, None], DocumentStatus.PENDING
            if incoming.said:
                kept, status = [there.kept[0] if there else None, document], DocumentStatus.AUTHORIZED
            self._left[key] = There(0, tenant_id, status, False, kept)
        return taken


def _find(raw: Driver, incoming: IncomingFile, locking: LiteralString = "") -> There | None:
    row = raw.execute(
        "SELECT i.id, i.tenant_id, i.status, i.deleted_at IS NOT NULL, ARRAY[sha256(d.submitted_xml),"
        " sha256(d.authorized_xml)] FROM invoices i LEFT JOIN invoice_documents d ON d.invoice_id = i.id"
        " WHERE i.access_key = %s" + locking,
        [incoming.key.text],
    ).fetchone()
    return There(*row) if row else None


def _judge(incoming: IncomingFile, tenant_id: int, there: There) -> Taken:
    waiting = there.status not in (DocumentStatus.AUTHORIZED, DocumentStatus.CANCELLED)
    news = incoming.said is not None and waiting
    if there.tenant_id != tenant_id:
        return incoming.ends("refused", "a document with this access key belongs to another tenant")
    if there.deleted:
        return incoming.ends("refused", "the document was deleted here")
    if hashlib.sha256(incoming.opened.document).digest() in there.kept and not news:
        return incoming.ends("unchanged")
    if not waiting:
        return incoming.ends("refused", f"the document is {there.status} here, with other content")
    return incoming.ends("replaced")


def _fill(raw: Driver, invoice_id: int, tenant_id: int, incoming: IncomingFile, *, kind: str) -> None:
    """Write everything a document tells; a submission gets an instant of its own, so that no old verdict counts."""
    said, document = incoming.said, incoming.opened.document
    columns = store.columns_of(incoming.key, incoming.summary)
    raw.execute(
        (
            f"UPDATE invoices SET {', '.join(f'{name} = %({name})s' for name in columns)},"
            " submitted_at = clock_timestamp(), check_count = 0, empty_since = NULL, empty_count = 0,"
            " attention_since = NULL, status_reason = NULL,"
            " status = CASE WHEN %(said)s THEN 'authorized' ELSE 'pending_authorization' END,"
            " confirmed_by = CASE WHEN %(said)s THEN 'file' END,"
            " next_check_at = CASE WHEN %(said)s THEN NULL ELSE now() END,"
            " sri_authorization = %(number)s, authorized_at = %(at)s, ride_next_at = now(), ride_attempts = 0,"
            " ride_generated_at = NULL, ride_error = NULL, updated_at = now() WHERE id = %(invoice)s"
        ).encode(),
        {
            **columns,
            "said": said is not None,
            "number": (said.number or incoming.key.text) if said else None,
            "at": said.authorized_at if said else None,
            "invoice": invoice_id,
        },
    )
    raw.execute(
        "INSERT INTO invoice_documents (invoice_id, submitted_xml, authorized_answer, authorized_xml)"
        " VALUES (%s, %s, %s, %s) ON CONFLICT (invoice_id) DO UPDATE SET"
        " submitted_xml = coalesce(excluded.submitted_xml, invoice_documents.submitted_xml),"
        " authorized_answer = excluded.authorized_answer, authorized_xml = excluded.authorized_xml, updated_at = now()",
        [invoice_id, None, incoming.raw, document] if said else [invoice_id, document, None, None],
    )
    events = [store.Event(kind, message="a file that says AUTORIZADO" if said else None)]
    warnings = date_warnings(said.authorized_at, incoming.key.text, database_now(raw)) if said else ()
    if incoming.opened.mended:
        warnings = (*warnings, "forbidden_characters")
    events += [store.warning_event(warning, said) for warning in warnings]
    store.add_events(raw, events, tenant_id=tenant_id, invoice_id=invoice_id)
