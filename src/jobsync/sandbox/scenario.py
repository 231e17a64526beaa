"""
What the stand-ins play: EasyCars' clients, dealers, and how each dealer's feed behaves on each night; and the SRI.

A scenario is a TOML or JSON file of this shape (only `clients`, and name and account of a dealer, are required):

    night = 1                        # the night it starts on
    seed = 7                         # other stock for another seed
    token_lifetime_s = 600
    latency_ms = 20                  # before every answer
    wrong_account = "empty"          # or "code": what a wrong AccountNumber or AccountSecret is told

    [[clients]]
    client_id = "sandbox-client"
    client_secret = "sandbox-client-secret"
    behaviour = "normal"             # of its token requests

    [[dealers]]
    name = "Bilby Creek Motors"
    account_number = "EC900001"
    account_secret = "sandbox-account-secret-1"
    client = "sandbox-client"        # needed when there are several clients
    yards = ["100", "200"]
    vehicles = 40                    # invented; or items = [{...}], items_file = "x.json", body_file = "x.json"
    behaviour = "normal"             # of every night that says nothing else

    [dealers.nights.2]
    behaviour = {kind = "http_error", status = 503, retry_after = 1, times = 1}
    oddities = ["nan_price", "duplicate_conflicting"]

Items written inline are completed with the vendor's blanks; those of `items_file` (a JSON array) are sent as they
stand, and `body_file` is the whole answer. A behaviour is a word of BEHAVIOURS or a table of `kind` and parameters;
oddities are words of `oddities.ODDITIES`. `mistyped = true` has the dealer's operator store a wrong secret. Paths
are relative to the scenario file.

The table `sri` is told in `sri_scenario`. A file that has nothing else plays the default dealers.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from jobsync.sandbox.fields import blank_vehicle
from jobsync.sandbox.oddities import ODDITIES
from jobsync.sandbox.scenario_file import ScenarioError, ScenarioTable
from jobsync.sandbox.sri_scenario import SriScenario, default_sri_scenario, read_sri_scenario

# behaviour -> the parameters that it takes beside `times` (only the first so many requests of a night)
BEHAVIOURS: Mapping[str, tuple[str, ...]] = {
    "normal": (),
    "empty": (),  # Code 0 and an empty list
    "null_list": (),  # Code 0 and StockList null
    "code": ("code", "message", "with_list"),  # an error envelope, with_list: beside the list
    "html": (),  # a firewall's page with status 200
    "http_error": ("status", "retry_after"),
    "garbage": ("hex",),  # these bytes, declared as JSON
    "truncated": (),  # half of the body, then the connection is cut
    "slow": ("seconds",),  # waits before it answers
    "drip": ("bytes_per_second",),
    "not_listening_drop": (),  # the connection is closed without an answer
    "expired_token_once": (),  # Code 1 once, the token is void from then on
    "unauthorized_401_once": (),  # the same with HTTP status 401
}
_ONCE = ("expired_token_once", "unauthorized_401_once")
_OF_STOCK_ONLY = ("empty", "null_list", *_ONCE)


@dataclass(frozen=True)
class Behaviour:
    """How a request is answered; `kind` is one of BEHAVIOURS, `times` None means always."""

    kind: str = "normal"
    times: int | None = None
    status: int = 503
    retry_after: str | None = None
    code: int = 7
    message: str = "Failed."
    with_list: bool = False
    raw: bytes = b"\x00\xff\xfe{\x80 not JSON"
    seconds: float = 30.0
    bytes_per_second: float = 20.0


NORMAL = Behaviour()


@dataclass(frozen=True)
class Client:
    """An integrator's pair; `behaviour` is that of RequestToken for its ClientID."""

    client_id: str
    client_secret: str = field(repr=False)
    behaviour: Behaviour = NORMAL


@dataclass(frozen=True)
class ScenarioFeed:
    """What a dealer sends instead of invented stock: raw JSON items, or a whole body."""

    items: tuple[bytes, ...] = ()
    body: bytes | None = None


@dataclass(frozen=True)
class ScenarioNight:
    """What is special about one night; None means as on every night."""

    behaviour: Behaviour | None = None
    oddities: tuple[str, ...] = ()
    feed: ScenarioFeed | None = None


@dataclass(frozen=True)
class Dealer:
    """
    A dealer account.

    `client` is the ClientID that may ask for it. `vehicles` are invented unless `feed` says otherwise. `mistyped`
    means that `Scenario.credentials_to_store` hands out a wrong client secret.
    """

    name: str
    account_number: str
    account_secret: str = field(repr=False)
    client: str
    vehicles: int = 30
    yards: tuple[str, ...] = ("100",)
    seed: int = 1
    feed: ScenarioFeed | None = None
    behaviour: Behaviour = NORMAL
    nights: Mapping[int, ScenarioNight] = field(default_factory=dict)
    mistyped: bool = False

    def on(self, night: int) -> ScenarioNight:
        """Return what holds on a night, with the dealer's own behaviour and feed where the night says nothing."""
        plan = self.nights.get(night, ScenarioNight())
        return replace(plan, behaviour=plan.behaviour or self.behaviour, feed=plan.feed or self.feed)


@dataclass(frozen=True)
class Scenario:
    """All that the stand-ins play; `wrong_account` is "empty" (a list without items) or "code" (Code 7)."""

    clients: tuple[Client, ...]
    dealers: tuple[Dealer, ...]
    night: int = 1
    token_lifetime_s: float = 600
    latency_ms: float = 0
    wrong_account: str = "empty"
    sri: SriScenario = field(default_factory=default_sri_scenario)

    def dealer(self, account_number: str) -> Dealer:
        """Return a dealer; KeyError if there is none with this account."""
        for dealer in self.dealers:
            if dealer.account_number == account_number:
                return dealer
        raise KeyError(account_number)

    def credentials(self, dealer: Dealer) -> dict[str, str]:
        """Return the credentials that work, under the names that `jobsync credentials set --from-stdin` reads."""
        client = next(client for client in self.clients if client.client_id == dealer.client)
        return {
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "account_number": dealer.account_number,
            "account_secret": dealer.account_secret,
            "environment": "Test",
        }

    def wrong_credentials(self, dealer: Dealer) -> dict[str, str]:
        """Return credentials whose client secret is refused with Code 1."""
        return self.credentials(dealer) | {"client_secret": "sandbox-mistyped-secret"}

    def credentials_to_store(self, dealer: Dealer) -> dict[str, str]:
        """Return what this dealer's operator typed in: the wrong ones if the dealer is `mistyped`."""
        return self.wrong_credentials(dealer) if dealer.mistyped else self.credentials(dealer)


def default_scenario() -> Scenario:
    """
    Six dealerships: two sound ones (the second sends a refused pair on night 2), one whose secret was mistyped, one
    behind a firewall page, one whose feed is empty on night 2, one that is down once a night and then answers.
    """
    client = Client("sandbox-client", "sandbox-client-secret")

    def dealer(
        number: int,
        name: str,
        vehicles: int,
        *,
        yards: tuple[str, ...] = ("100",),
        behaviour: Behaviour = NORMAL,
        nights: Mapping[int, ScenarioNight] | None = None,
        mistyped: bool = False,
    ) -> Dealer:
        return Dealer(
            name=name,
            account_number=f"EC90000{number}",
            account_secret=f"sandbox-account-secret-{number}",
            client=client.client_id,
            vehicles=vehicles,
            yards=yards,
            behaviour=behaviour,
            nights=nights or {},
            mistyped=mistyped,
        )

    return Scenario(
        clients=(client,),
        dealers=(
            dealer(1, "Bilby Creek Motors", 48, yards=("100", "200")),
            dealer(2, "Kookaburra 4x4 & Caravans", 32, nights={2: ScenarioNight(oddities=("duplicate_conflicting",))}),
            dealer(3, "Wattle Park Prestige", 20, mistyped=True),
            dealer(4, "Harbour Lane Cars", 26, behaviour=Behaviour("html")),
            dealer(5, "Red Gum Utes", 36, nights={2: ScenarioNight(behaviour=Behaviour("empty"))}),
            dealer(6, "Gumleaf Auto Centre", 60, behaviour=Behaviour("http_error", times=1, retry_after="1")),
        ),
    )


def load_scenario(path: Path) -> Scenario:
    """
    Read a scenario file (JSON if its name ends in .json, else TOML).

    Raises:
        ScenarioError: the first mistake in it, by key, with what was expected there.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error
    try:
        values: object = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise ScenarioError(f"{path}: is not {'JSON' if path.suffix == '.json' else 'TOML'}: {error}") from error
    return _read_scenario(ScenarioTable(path, "", values))


def _read_scenario(table: ScenarioTable) -> Scenario:
    sri = default_sri_scenario()
    if "sri" in table.values:
        sri = read_sri_scenario(ScenarioTable(table.path, "sri", table.values.pop("sri")))
        if not table.values:
            return replace(default_scenario(), sri=sri)
    clients = tuple(_read_client(each) for each in table.tables("clients"))
    ids = tuple(client.client_id for client in clients)
    seed = table.whole("seed", 1, least=0)
    dealers = tuple(_read_dealer(each, ids, seed) for each in table.tables("dealers"))
    scenario = Scenario(
        clients=clients,
        dealers=dealers,
        night=table.whole("night", 1, least=1),
        token_lifetime_s=table.number("token_lifetime_s", 600, above=0),
        latency_ms=table.number("latency_ms", 0),
        wrong_account=table.one_of("wrong_account", "empty", ("empty", "code")),
        sri=sri,
    )
    table.done("clients", "dealers", "night", "seed", "token_lifetime_s", "latency_ms", "wrong_account", "sri")
    _refuse_twins(table, "clients", "client_id", ids)
    _refuse_twins(table, "dealers", "account_number", tuple(dealer.account_number for dealer in dealers))
    return scenario


def _refuse_twins(table: ScenarioTable, tables: str, key: str, values: tuple[str, ...]) -> None:
    for index, value in enumerate(values, 1):
        if value in values[: index - 1]:
            raise table.wrong(f"{tables}[{index}].{key}", "one that no other has", value)


def _read_client(table: ScenarioTable) -> Client:
    behaviour = _read_behaviour(table, NORMAL) or NORMAL
    if behaviour.kind in _OF_STOCK_ONLY:
        raise table.wrong("behaviour", "one that a token request can have", behaviour.kind)
    client = Client(table.text("client_id"), table.text("client_secret"), behaviour)
    table.done("client_id", "client_secret", "behaviour")
    return client


def _read_dealer(table: ScenarioTable, clients: tuple[str, ...], seed: int) -> Dealer:
    feed = _read_feed(table)  # before `vehicles` is taken
    dealer = Dealer(
        name=table.text("name"),
        account_number=table.text("account_number"),
        account_secret=table.text("account_secret"),
        client=table.one_of("client", clients[0] if len(clients) == 1 else "", clients),
        vehicles=table.whole("vehicles", 30, least=0, most=1_000_000),
        yards=table.texts("yards", ("100",)),
        seed=table.whole("seed", seed, least=0),
        feed=feed,
        behaviour=_read_behaviour(table, NORMAL) or NORMAL,
        nights=dict(_read_nights(table)),
        mistyped=table.flag("mistyped"),
    )
    if not dealer.yards:
        raise table.wrong("yards", "at least one yard", [])
    table.done(
        *("name", "account_number", "account_secret", "client", "vehicles", "items", "items_file", "body_file"),
        *("yards", "seed", "behaviour", "nights", "mistyped"),
    )
    return dealer


def _read_nights(table: ScenarioTable) -> Iterator[tuple[int, ScenarioNight]]:
    nights = ScenarioTable(table.path, table.name("nights"), table.values.pop("nights", {}))
    for number, value in nights.values.items():
        if not re.fullmatch("[1-9][0-9]{0,5}", number):
            raise nights.wrong(number, "the number of a night, from 1", number)
        night = ScenarioTable(table.path, nights.name(number), value)
        yield (
            int(number),
            ScenarioNight(
                behaviour=_read_behaviour(night, None),
                oddities=night.texts("oddities", (), tuple(ODDITIES)),
                feed=_read_feed(night),
            ),
        )
        night.done("behaviour", "oddities", "items", "items_file", "body_file")


def _read_behaviour(table: ScenarioTable, default: Behaviour | None) -> Behaviour | None:
    value = table.values.pop("behaviour", None)
    if value is None:
        return default
    given = ScenarioTable(table.path, table.name("behaviour"), {"kind": value} if isinstance(value, str) else value)
    kind = given.one_of("kind", "", tuple(BEHAVIOURS))
    allowed = BEHAVIOURS[kind] if kind == "normal" or kind in _ONCE else ("times", *BEHAVIOURS[kind])
    for key in given.values:
        if key not in allowed:
            raise ScenarioError(
                f"{table.path}: {given.name(key)}: unknown key, {kind} takes {', '.join(allowed) or 'no parameters'}"
            )
    if isinstance(given.values.get("retry_after"), int):
        given.values["retry_after"] = str(given.values["retry_after"])
    if kind in _ONCE:
        times: int | None = 1
    else:
        times = given.whole("times", 1, least=1) if "times" in given.values else None
    return Behaviour(
        kind=kind,
        times=times,
        status=given.whole("status", NORMAL.status, least=400, most=599),
        retry_after=given.text("retry_after") if "retry_after" in given.values else None,
        code=given.whole("code", NORMAL.code, least=0, most=9999),
        message=given.text("message", NORMAL.message),
        with_list=given.flag("with_list"),
        raw=_read_hex(given),
        seconds=given.number("seconds", NORMAL.seconds),
        bytes_per_second=given.number("bytes_per_second", NORMAL.bytes_per_second, above=0),
    )


def _read_hex(table: ScenarioTable) -> bytes:
    text = table.text("hex", NORMAL.raw.hex())
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise table.wrong("hex", "pairs of hexadecimal digits", text) from None


def _read_feed(table: ScenarioTable) -> ScenarioFeed | None:
    given = [key for key in ("vehicles", "items", "items_file", "body_file") if key in table.values]
    if len(given) > 1:
        raise ScenarioError(f"{table.path}: {table.name(given[1])}: expected either {' or '.join(given)}, got both")
    if "items" in table.values:
        items = table.values.pop("items")
        if not isinstance(items, list):
            raise table.wrong("items", "a list of items", items)
        return ScenarioFeed(items=tuple(_completed(table, item) for item in items))
    for key in ("items_file", "body_file"):
        if key in table.values:
            name = table.text(key)
            try:
                content = (table.path.parent / name).read_bytes()
            except OSError as error:
                raise table.wrong(key, f"a file that can be read ({error.strerror})", name) from error
            return (
                ScenarioFeed(body=content)
                if key == "body_file"
                else ScenarioFeed(items=_raw_items(table, key, content))
            )
    return None


def _completed(table: ScenarioTable, item: object) -> bytes:
    try:
        return json.dumps(blank_vehicle() | item if isinstance(item, dict) else item).encode()
    except TypeError:
        raise table.wrong("items", "values that JSON knows", item) from None


def _raw_items(table: ScenarioTable, key: str, content: bytes) -> tuple[bytes, ...]:
    try:
        return tuple(bytes(item) for item in msgspec.json.decode(content, type=list[msgspec.Raw]))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise table.wrong(key, f"a JSON array (use body_file for what is not JSON; {error})", content[:40]) from error
