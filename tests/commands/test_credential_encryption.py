"""Stored credentials: bound to their place, under one key, through rotations and slips."""

# Expected stands before actual.

from __future__ import annotations

import base64
import io
import json
import threading
from typing import Any

import pytest

from jobsync.easycars import registry
from jobsync.easycars.credentials import Cipher
from jobsync.errors import ConfigurationProblem
from jobsync.wiring import Tools
from tests.commands.support import CREDENTIALS, Add, Cli, Feed, Ran, Rows, cars, envelope, until
from tests.conftest import TEST_KEY


def stored_credentials(rows: Rows) -> dict[int, list[str]]:
    """Return each dealership's four ciphertexts."""
    columns = "client_id_encrypted, client_secret_encrypted, account_number_encrypted, account_secret_encrypted"
    found = rows(f"SELECT dealership_id, {columns} FROM easycar_credentials ORDER BY dealership_id")
    return {number: list(texts) for number, *texts in found}


FROM_ANOTHER_ROW = """
UPDATE easycar_credentials t SET account_secret_encrypted = f.account_secret_encrypted
FROM easycar_credentials f WHERE t.dealership_id = 2 AND f.dealership_id = 1 RETURNING 1
"""
FROM_ANOTHER_COLUMN = """
UPDATE easycar_credentials SET client_id_encrypted = account_secret_encrypted WHERE dealership_id = 2 RETURNING 1
"""


@pytest.mark.parametrize(
    ("statement", "field"), [(FROM_ANOTHER_ROW, "account_secret"), (FROM_ANOTHER_COLUMN, "client_id")]
)
def test_a_ciphertext_that_was_copied_elsewhere_is_refused(
    cli: Cli, add: Add, rows: Rows, feed: Feed, statement: str, field: str
) -> None:
    """Another row's or column's is never used: the dealership fails, nothing is asked, field and remedy are named."""
    add("Northside", "N")
    add("Southside", "S", account_secret="another-secret")
    feed.answers["N"] = feed.answers["S"] = cars("A")
    rows(statement)

    ran = cli("stock-sync", "--json")
    doctor = cli("doctor", "--offline")

    [north, south] = sorted(ran.json["items"], key=lambda item: item["dealership_id"])
    assert ("success", "failed", "credentials") == (north["status"], south["status"], south["reason"])
    assert f"{field} of dealership 2" in south["error"]
    assert "jobsync credentials set 2" in south["error"]
    assert ["N"] == feed.asked
    assert (78, True) == (doctor.code, f"dealership 2 ({field})" in doctor.out)


def test_a_row_that_was_copied_whole_is_used_and_told(cli: Cli, add: Add, rows: Rows, feed: Feed) -> None:
    """As by an administrator's statement: the item warns, the doctor counts it, and a rotation makes it its own."""
    add("Northside", "N")
    feed.answers["N"] = cars("A")
    rows("INSERT INTO dealerships (name) VALUES ('Southside') RETURNING 1")
    rows(
        "INSERT INTO easycar_credentials (dealership_id, client_id_encrypted, client_secret_encrypted,"
        " account_number_encrypted, account_secret_encrypted, environment) SELECT 2, client_id_encrypted,"
        " client_secret_encrypted, account_number_encrypted, account_secret_encrypted, environment"
        " FROM easycar_credentials RETURNING 1"
    )

    item = cli("stock-sync", "--dealership", "2", "--json").json["items"][0]
    before = cli("doctor", "--offline").out
    cli("credentials", "rotate-key")
    after = cli("doctor", "--offline").out

    assert ("success", 1) == (item["status"], item["created"])
    assert "copied from dealership 1: jobsync credentials set 2" in item["warnings"][0]
    assert ("by the program before or copied: dealership 2" in before, "or copied" in after) == (True, False)


def test_rotation_binds_and_unbinds(cli: Cli, add: Add, rows: Rows, feed: Feed) -> None:
    """With the key left as it is, too; unbound ones are counted by the doctor, and work."""
    add("Northside", "N")
    feed.answers["N"] = cars("A")
    bound = stored_credentials(rows)
    unbinding = cli("credentials", "rotate-key", "--unbound", "--json")
    unbound = stored_credentials(rows)
    doctor = [cli("doctor", "--offline").out]
    tested = cli("credentials", "test", "1")
    cli("credentials", "rotate-key")
    doctor.append(cli("doctor", "--offline").out)

    assert (0, {"rotated": 1}, 0) == (unbinding.code, unbinding.json, tested.code)
    marks = [{text.startswith("v2:") for text in texts[1]} for texts in (bound, unbound, stored_credentials(rows))]
    assert [{True}, {False}, {True}] == marks
    cipher = Cipher(base64.b64decode(TEST_KEY))
    assert "N" == cipher.decrypt(unbound[1][2])
    assert ["bound credentials" in out for out in doctor] == [True, False]


def test_the_key_from_before_a_rotation_stores_nothing(
    cli: Cli, add: Add, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """78 with the remedy; stored with the newer key as previous, for a dealership alone, or where the key is lost."""
    add("Northside", "N")
    old = cli.environ["JOBSYNC_ENCRYPTION_KEY"]
    new = "A" * 43 + "="
    cli("credentials", "rotate-key", JOBSYNC_ENCRYPTION_KEY=new, JOBSYNC_ENCRYPTION_KEY_PREVIOUS=old)
    cli("dealership", "add", "Southside")
    before = stored_credentials(rows)

    def store(number: int, *more: str, **keys: str) -> Ran:
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(CREDENTIALS)))
        return cli("credentials", "set", str(number), "--from-stdin", "--json", *more, **keys)

    refused = store(2)

    assert (78, before) == (refused.code, stored_credentials(rows))
    assert "credentials set 2 --key-lost" in refused.json["error"]
    assert 0 == store(1).code  # its own are replaced, whatever they were stored with
    assert 0 == store(1, JOBSYNC_ENCRYPTION_KEY=new).code
    assert 0 == store(2, JOBSYNC_ENCRYPTION_KEY_PREVIOUS=new).code
    assert 0 == store(1, "--key-lost", JOBSYNC_ENCRYPTION_KEY="B" * 43 + "=").code


def test_credentials_stored_beside_a_rotation_are_refused_or_rotated(
    cli: Cli, add: Add, rows: Rows, tools: Tools
) -> None:
    """Whoever comes second waits for the first and then judges by what it left: no row keeps the old key unnoticed."""
    add("Northside", "N")
    cli("dealership", "add", "Southside")
    old = cli.environ["JOBSYNC_ENCRYPTION_KEY"]
    new = Cipher(bytes(32), previous=base64.b64decode(old))
    failed: list[BaseException] = []

    def store() -> None:
        try:
            with tools.engine.begin() as connection:
                registry.require_key_of_others(connection, 2, tools.cipher)
        except ConfigurationProblem as problem:
            failed.append(problem)

    storing = threading.Thread(target=store)
    with tools.engine.begin() as connection:
        registry.rotate_key(connection, new)
        storing.start()
        until(lambda: rows("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'relation'"))
    storing.join(20)

    assert "decrypts none of the other" in str(failed[0])


def test_a_rotation_that_breaks_off_changes_nothing(cli: Cli, add: Add, rows: Rows, connection: Any) -> None:
    """The database refuses the last of three rows: all are as they were, under the key that they were stored with."""
    for number in range(3):
        add(f"Yard {number}", f"EC{number}")
    before = stored_credentials(rows)
    connection.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not this one'; END$$;"
        "CREATE TRIGGER refuse BEFORE UPDATE ON easycar_credentials FOR EACH ROW WHEN (NEW.dealership_id = 3)"
        " EXECUTE FUNCTION refuse()"
    )

    ran = cli("credentials", "rotate-key", "--json")

    assert (False, before) == (ran.code == 0, stored_credentials(rows))


def test_what_a_vendor_quotes_back_reaches_no_output(cli: Cli, add: Add, rows: Rows, feed: Feed) -> None:
    """A secret in an error of EasyCars, in any of its forms: not in the log, in JSON, on a screen, nor in a table."""
    secret = "Wombat-7f3A/x+9=zz"
    raw = secret.encode()
    forms = {
        "upper": secret.upper(),
        "base64": base64.b64encode(b"N:" + raw).decode(),
        "hex": raw.hex(),
        "url": "".join(f"%{byte:02X}" for byte in raw),
        "wrapped": secret[:9] + "\r\n " + secret[9:],
        "begun": secret[:12],
        "short": "N1x",
    }
    add("Northside", "N1x", account_secret=secret)
    feed.answers["N1x"] = envelope(7, message="refused: " + " | ".join(forms.values()))
    ran = [cli("stock-sync", "--json"), cli("stock-sync"), cli("credentials", "test", "1", "--json")]
    ran += [cli(*words.split()) for words in ("runs list --json", "status", "health --json", "stock history 1 --json")]
    said = [text for one in ran for text in (one.out, one.err)]
    said += [str(rows(f"SELECT * FROM {table}")) for table in ("job_runs", "job_items", "easycar_sync_logs")]

    assert 1 == ran[0].code
    assert "•••" in ran[0].json["items"][0]["error"]
    cores = [*forms.values(), secret[9:], forms["base64"][4:24], secret[2:], secret[:9] + " "]
    assert [] == [core for core in cores for text in said if core.casefold() in text.casefold()]
