"""jobsync credentials: what a dealership signs in with; stored encrypted, never shown."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from jobsync.cli.command import Answer, DealershipId, Yes, command, confirm, flag, group, said
from jobsync.cli.output import print_facts, say
from jobsync.db.engine import driver
from jobsync.easycars import registry
from jobsync.easycars.credentials import find_problem, parse_credentials
from jobsync.easycars.job import check_credentials, load_credentials
from jobsync.errors import UsageProblem
from jobsync.logs import complain
from jobsync.wiring import Tools
from jobsync.wiring.easycars import make_client

app = group("EasyCars credentials of dealerships.")
_AS_JSON = (
    "Read {client_id, client_secret, account_number, account_secret, environment, yard_code?} as JSON;"
    ' environment is "Test" or "Production", every value a text in quotes.'
)


@command("credentials set 17 --from-stdin < credentials.json", of=app)
def set_(
    tools: Tools,
    dealership_id: DealershipId,
    from_stdin: Annotated[bool, flag(_AS_JSON)] = False,
    key_lost: Annotated[
        bool, flag("Store them though the key decrypts no other dealership's: theirs is lost.")
    ] = False,
) -> Answer:
    """Store credentials, replacing all that was there; an omitted yard code clears the old one."""
    cipher = tools.cipher
    with tools.transaction() as connection:
        name = registry.require_dealership(connection, dealership_id)
        if not key_lost:  # before anybody types four secrets
            registry.require_key_of_others(connection, dealership_id, cipher)
    credentials = parse_credentials(_read_stdin() if from_stdin else _ask())
    with tools.transaction() as connection:
        if not key_lost:
            registry.require_key_of_others(connection, dealership_id, cipher)
        registry.set_credentials(connection, dealership_id, credentials, cipher)
        sharers = registry.find_sharers(connection, cipher, dealership_id)
    told = {"environment": credentials.environment, "yard_code": credentials.yard_code}
    return said(
        {"dealership_id": dealership_id, **told, **({"shared_with": sharers} if sharers else {})},
        f"credentials of {dealership_id} {name} stored",
        *_warnings(sharers),
        f"next: jobsync credentials test {dealership_id}",
        f"then: jobsync stock-sync --dealership {dealership_id}"
        " (after wrong credentials no run tries again before the next slot)",
    )


def _warnings(sharers: Sequence[Mapping[str, Any]]) -> list[str]:
    if not sharers:
        return []
    others = ", ".join(f"{found['dealership_id']} {found['name']}" for found in sharers)
    return [f"the same client, account and yard are those of dealership {others}: each would list the other's stock"]


@command("credentials delete 17 --yes", of=app)
def delete(tools: Tools, dealership_id: DealershipId, yes: Yes = False) -> Answer:
    """Delete a dealership's credentials; it is not synced any more."""
    with tools.transaction() as connection:
        name = registry.require_dealership(connection, dealership_id)
    confirm(f"Delete the credentials of dealership {dealership_id} {name}?", yes=yes)
    with tools.transaction() as connection:
        gone = registry.delete_credentials(connection, dealership_id)
    document = {"dealership_id": dealership_id, "deleted": gone}
    return said(document, f"credentials of {dealership_id}: {'deleted' if gone else 'there were none'}")


@command("credentials test 17", of=app, reads=True)
def test(tools: Tools, dealership_id: DealershipId) -> Answer:
    """Ask EasyCars whether it takes the client pair and the account pair; nothing is stored."""
    cipher = tools.cipher
    with tools.transaction() as connection:
        name = registry.require_dealership(connection, dealership_id)
        credentials = load_credentials(driver(connection), dealership_id, cipher)
        sharers = registry.find_sharers(connection, cipher, dealership_id)
    found = check_credentials(credentials, make_client(tools, lambda _seconds: False, connections=1))
    document = {"dealership_id": dealership_id, "name": name, **vars(found)}

    def tell() -> None:
        print_facts(document)
        for warning in _warnings(sharers):
            say(warning)

    return Answer({**document, **({"shared_with": sharers} if sharers else {})}, tell, code=found.exit_code)


@command("credentials rotate-key", of=app)
def rotate_key(
    tools: Tools,
    unbound: Annotated[
        bool, flag("In the layout of the program that jobsync replaces, for the way back to it.")
    ] = False,
) -> Answer:
    """
    Encrypt all stored credentials with the current key, each bound to its dealership and field, all or nothing.

    With the key left as it is, it binds those that are not bound yet.
    """
    cipher = tools.cipher
    with tools.transaction() as connection:
        number = registry.rotate_key(connection, cipher, bound=not unbound)
    how = "bound to nothing, as the original program reads them" if unbound else "bound to their dealership and field"
    words = f"{number} dealerships' credentials are now encrypted with JOBSYNC_ENCRYPTION_KEY, {how}"
    return said({"rotated": number}, words)


def _read_stdin() -> Any:
    try:
        return json.loads(sys.stdin.read())
    except (ValueError, RecursionError):
        # the decoder's own message could quote a secret
        raise UsageProblem("credentials: standard input is not JSON; expected one object") from None


def _ask() -> dict[str, str]:
    if not sys.stdin.isatty():
        raise UsageProblem("credentials: standard input is no terminal to ask on; use --from-stdin with JSON")
    answers = {name: _answer(name, words) for name, words in _QUESTIONS.items()}
    return {name: answer for name, answer in answers.items() if answer}


_QUESTIONS = {
    "client_id": "ClientID",
    "client_secret": "ClientSecret",
    "account_number": "AccountNumber",
    "account_secret": "AccountSecret",
    "environment": "Environment (Test or Production)",
    "yard_code": "YardCode (empty: all yards)",
}


def _answer(name: str, words: str) -> str:
    """Ask until the answer can be stored, so that a slip in the last answer does not cost the others."""
    default = "" if name == "yard_code" else None
    while True:
        answer: str = typer.prompt(
            words, hide_input=name.endswith("_secret"), default=default, show_default=False, err=True
        ).strip()
        if name == "environment":
            answer = answer.capitalize()
        problem = find_problem(name, answer)
        if problem is None:
            return answer
        complain(f"jobsync: {problem}")
