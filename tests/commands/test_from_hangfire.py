"""docs/from-hangfire.md, run as it stands there: rehearsal, cut-over, readers, mirror, the way back, documents."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobsync.easycars.credentials import Cipher
from jobsync.sandbox.documents import invent_documents
from tests.adopt.tables import KEY, make
from tests.commands.support import CREDENTIALS, Feed, car
from tests.pages import Block, Shell, read_page

PAGE = read_page("from-hangfire.md")
REHEARSE, CUT_OVER, READERS = "Rehearse", "Cut over", "Readers: the old shape as views"
MIRROR, BACK = "Foreign keys and writers: mirror into the old table", "The way back"
DOCUMENTS = "The second product: documents that wait for the SRI"

HANGFIRE = """
CREATE SCHEMA hangfire;
CREATE TABLE hangfire.job (id bigserial PRIMARY KEY, statename text);
CREATE TABLE hangfire.set (key text, value text);
CREATE TABLE hangfire.hash (key text, field text, value text);
INSERT INTO hangfire.set VALUES ('recurring-jobs', 'easycar-stock-sync'), ('recurring-jobs', 'lead-sync');
INSERT INTO hangfire.hash VALUES ('recurring-job:easycar-stock-sync', 'Cron', '0 2 * * *');
"""
Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def shop(empty_url: str) -> Iterator[str]:
    """The old database with its rows, Hangfire's tables, and a role that reads."""
    make(empty_url)
    with psycopg.connect(empty_url) as connection:
        connection.execute(HANGFIRE.encode())
        connection.execute("CREATE ROLE website LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO website")
    yield empty_url
    with psycopg.connect(empty_url) as connection:
        connection.execute("DROP OWNED BY website; DROP ROLE website")


@pytest.fixture
def ask(shop: str) -> Ask:
    """Ask, or change, as the owner, or as another role with the settings that it was given."""

    def ask(statement: str, *given: Any, role: str | None = None) -> list[tuple[Any, ...]]:
        url = f"{shop}&user={role}" if role else f"{shop}&options=-csearch_path%3Dpublic"
        with psycopg.connect(url) as connection:
            cursor = connection.execute(statement.encode(), given or None)
            return cursor.fetchall() if cursor.description else []

    return ask


@pytest.fixture
def shell(shop: str, environ: dict[str, str], easycars_url: str, tmp_path: Path) -> Shell:
    """Runs the page's blocks."""
    own = {
        "JOBSYNC_DATABASE_URL": shop,
        "JOBSYNC_DATABASE_SCHEMA": "jobsync",
        "JOBSYNC_EASYCARS_URL": easycars_url,
        "ORIGINAL": shop,
    }
    return Shell({**environ, **own}, tmp_path, f"{shop}&options=-csearch_path%3Dpublic")


def run(shell: Shell, *sections: str) -> list[int]:
    """Run all blocks of some sections; returns each command's exit code."""
    codes: list[int] = []
    for block in (block for title in sections for block in PAGE[title]):
        codes += shell(block)
        assert {0, 3} >= set(codes), shell.said
    return codes


def test_every_block_stands_in_a_section_that_is_run() -> None:
    """A block that is added under another heading would be run by nobody."""
    run_here = {REHEARSE, CUT_OVER, READERS, MIRROR, BACK, DOCUMENTS}

    assert {title for title, blocks in PAGE.items() if blocks} == run_here
    assert {block.language for blocks in PAGE.values() for block in blocks} == {"sh", "sql"}


def test_rehearsal_cut_over_and_readers(shell: Shell, feed: Feed, ask: Ask) -> None:
    """Nothing is created twice, the old job is off, and whoever reads the old names reads the new rows."""
    feed.answers |= {
        "EC000003": [car("A10", Price=18000), car("A11"), car("A13"), car("A14")],
        "EC000008": [car("A10")],
    }
    columns = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass"
    columns += " AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    rehearsed = run(shell, REHEARSE)
    old = ask("SELECT id, easycars_stock_number, status FROM vehicle ORDER BY id", role="website")
    cut_over = run(shell, CUT_OVER)
    run(shell, READERS)

    assert ([0, 3, 3], 0) == (rehearsed[:3], cut_over[-1])
    for view in ("vehicle", "easycar_stock_data", "easycar_sync_logs"):
        assert sorted(ask(columns, f"public.{view}")) == sorted(ask(columns, f"old_shape.{view}"))
    new = ask("SELECT id, easycars_stock_number, status FROM vehicle ORDER BY id", role="website")
    assert old == [(number, key, "pending" if number == 11 else status) for number, key, status in new]
    assert [(18000,)] == ask("SELECT price::int FROM vehicle WHERE id = 10", role="website")
    assert [("Old Yard",), ("New Yard",)] == ask("SELECT name FROM dealership ORDER BY id", role="website")
    assert [("lead-sync",)] == ask("SELECT value FROM hangfire.set")
    assert [("false", "true")] == ask(
        "SELECT o.value, n.value FROM system_settings o JOIN jobsync.system_settings n USING (key)"
        " WHERE key = 'easycar_sync_enabled'"
    )


def test_the_mirror_keeps_both_tables_alike(shell: Shell, feed: Feed, ask: Ask) -> None:
    """What a sync writes is in the old table; what the application writes is in ours, and a sync respects it."""
    feed.answers["EC000003"] = [car("A10", Price=18000), car("A11"), car("A13"), car("A14"), car("N1")]
    ask("CREATE TABLE enquiry (vehicle_id integer REFERENCES vehicle); INSERT INTO enquiry VALUES (10), (40)")
    ask(  # of the application's own: it names its tables as they are found in its connections
        "CREATE TABLE priced (vehicle_id integer, price numeric);"
        " CREATE FUNCTION note_price() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO priced VALUES (NEW.id, NEW.price); RETURN NULL; END$$;"
        " CREATE TRIGGER note AFTER UPDATE OF price ON vehicle FOR EACH ROW EXECUTE FUNCTION note_price()"
    )
    run(shell, REHEARSE, READERS, MIRROR)
    sync = Block("sh", "jobsync stock-sync --dealership 3")

    assert [0] == shell(sync)
    assert [(18000,)] == ask("SELECT price::int FROM vehicle WHERE id = 10")
    assert [(18000,)] == ask("SELECT price::int FROM priced WHERE vehicle_id = 10")
    assert [(1_000_000_000, "EasyCars", "active")] == ask(
        "SELECT id, data_source, status FROM vehicle WHERE easycars_stock_number = 'N1'"
    )

    ask("UPDATE vehicle SET status = 'sold' WHERE id = 10")
    ask(
        "INSERT INTO vehicle (dealership_id, make, model, year, price, mileage, condition, status, title, data_source,"
        " easycars_stock_number) VALUES (3, 'BMW', 'X1', 2020, 1, 1, 'used', 'pending', 'By hand', 'Manual', 'M1')"
    )
    ask("UPDATE vehicle SET price = 999 WHERE id = 12")
    [(third,)] = ask("INSERT INTO dealership (name) VALUES ('Third') RETURNING id")
    ask(
        "INSERT INTO vehicle (dealership_id, make, model, year, price, mileage, condition, status, title)"
        " VALUES (%s, 'BMW', 'X1', 2020, 1, 1, 'used', 'active', 'Of the third')",
        third,
    )
    feed.answers["EC000003"] = [car("A10", Price=1), car("A11"), car("A13"), car("A14"), car("M1")]

    assert [0] == shell(sync)
    assert [(10, "sold", 18000), (11, "active", 20000), (12, "excluded", 999), (41, "deposit", 1)] == ask(
        "SELECT id, status, price::int FROM jobsync.vehicles WHERE id IN (10, 11, 12, 41) ORDER BY id"
    )
    assert [("removed", "draft")] == ask(
        "SELECT n.status, o.status FROM jobsync.vehicles n JOIN vehicle o USING (id) WHERE n.stock_number = 'N1'"
    )


@pytest.mark.parametrize("sections", [[READERS], [READERS, MIRROR], []])
def test_the_way_back(shell: Shell, feed: Feed, ask: Ask, sections: list[str]) -> None:
    """The old switch is on, ours off, and readers find the old tables again."""
    feed.answers |= {"EC000003": [car("A10"), car("A11"), car("A13"), car("A14")], "EC000008": [car("A10")]}
    run(shell, REHEARSE, CUT_OVER, *sections)
    run(shell, BACK)

    assert [("true", "false")] == ask(
        "SELECT o.value, n.value FROM system_settings o JOIN jobsync.system_settings n USING (key)"
        " WHERE key = 'easycar_sync_enabled'"
    )
    assert [(6,)] == ask("SELECT count(*) FROM vehicle", role="website")
    ask("UPDATE vehicle SET price = 5 WHERE id = 10")


def test_credentials_set_here_are_the_old_programs_again(shell: Shell, ask: Ask) -> None:
    """After the way back each is under the old key and bound to nothing, with its nonce beside it."""
    shell(Block("sh", 'jobsync db upgrade\njobsync adopt --from "$ORIGINAL"'))
    document = json.dumps({**CREDENTIALS, "account_number": "EC999999", "yard_code": "Y9"})
    assert [0] == shell(Block("sh", f"printf %s '{document}' | jobsync credentials set 8 --from-stdin"))
    run(shell, BACK)

    rows = ask(
        "SELECT dealership_id, account_number_encrypted, encryption_iv, yard_code FROM dealership_easycars_credentials"
        " ORDER BY dealership_id"
    )
    read = [(number, Cipher(KEY).decrypt(account), yard) for number, account, _, yard in rows]
    assert [(3, "EC000003", None), (8, "EC999999", "Y9")] == read
    assert all(base64.b64decode(account)[:12] == base64.b64decode(iv) for _, account, iv, _ in rows)


def test_documents_go_in_and_come_back(shell: Shell, ask: Ask) -> None:
    """Backlog and new ones wait for the SRI; verdict, number, time and path are in the application's row."""
    [first, second] = invent_documents(2)
    ask(
        "CREATE TABLE invoice (access_key text PRIMARY KEY, company_ruc text, company_name text, status text,"
        " signed_xml text, submitted_at timestamptz, authorization_number text, authorized_at timestamptz,"
        " ride_pdf_path text)"
    )
    insert = "INSERT INTO invoice VALUES (%s, %s, 'Emisora', 'PendingAuthorization', '<xml/>', now())"
    ask(insert, first.key, first.key[10:23])
    ask(insert, "no key", first.key[10:23])
    assert 0 == shell(Block("sh", "jobsync db upgrade"))[0]
    backlog, bridge = PAGE[DOCUMENTS]
    shell(backlog)

    assert "no key" in shell.said
    assert [0] == shell(bridge)
    ask("UPDATE invoice SET signed_xml = '<other/>' WHERE access_key = 'no key'")
    ask("DELETE FROM invoice WHERE access_key = 'no key'")
    ask(insert, second.key, second.key[10:23])

    assert [("test", b"<xml/>", "pending_authorization")] * 2 == ask(
        "SELECT t.environment, d.submitted_xml, i.status FROM jobsync.invoices i JOIN jobsync.invoice_documents d"
        " ON d.invoice_id = i.id JOIN jobsync.tenants t ON t.id = i.tenant_id"
    )
    ask("UPDATE jobsync.invoices SET status = 'authorized', sri_authorization = access_key, authorized_at = now()")
    ask("UPDATE jobsync.invoices SET ride_path = 'a.pdf'")

    assert [("Authorized", True, True, "a.pdf")] * 2 == ask(
        "SELECT status, authorization_number = access_key, authorized_at IS NOT NULL, ride_pdf_path FROM invoice"
    )
    ask("UPDATE jobsync.invoices SET status = 'rejected' WHERE access_key = %s", second.key)
    ask("UPDATE invoice SET status = 'PendingAuthorization', signed_xml = '<new/>', submitted_at = now()")

    assert [("authorized", b"<xml/>"), ("pending_authorization", b"<new/>")] == ask(
        "SELECT i.status, d.submitted_xml FROM jobsync.invoices i"
        " JOIN jobsync.invoice_documents d ON d.invoice_id = i.id ORDER BY i.status"
    )
