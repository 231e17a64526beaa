"""What the stand-ins play; docs/sandbox.md shows the files, whose keys are those of the types here."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta, Struct

from jobsync.errors import UsageProblem
from jobsync.sandbox import stand_in
from jobsync.sandbox.fields import blank_vehicle
from jobsync.sandbox.oddities import ODDITIES
from jobsync.sandbox.sri_scenario import DEFAULT_SRI, Play, SriScenario
from jobsync.sandbox.stand_in import Seconds, Text, words

_Oddity = Annotated[str, words(ODDITIES)]


class ScenarioError(UsageProblem):
    """A scenario file cannot be played; the text names file and key and says what was expected."""


class Behaviour(stand_in.Behaviour, frozen=True):
    """What EasyCars can do beside; `hex` is what `garbage` sends, declared as JSON."""

    code: Annotated[int, Meta(ge=0, le=9999)] = 7
    message: Text = "Failed."
    with_list: bool = False
    hex: Annotated[str, Meta(pattern="^([0-9a-fA-F]{2})*$")] = b"\x00\xff\xfe{\x80 not JSON".hex()

    KINDS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **stand_in.Behaviour.KINDS,
        "garbage": ("hex",),
        "null_list": (),  # Code 0 and StockList null
        "code": ("code", "message", "with_list"),  # an error envelope, with_list: beside the list
        "not_listening_drop": (),  # the connection is closed without an answer
        "expired_token_once": (),  # Code 1 once, the token is void from then on
        "unauthorized_401_once": (),  # the same with HTTP status 401
    }


NORMAL = Behaviour()
_OF_STOCK_ONLY = ("empty", "null_list", "expired_token_once", "unauthorized_401_once")


class Client(Struct, frozen=True, forbid_unknown_fields=True):
    """An integrator's pair; `behaviour` is that of RequestToken for its ClientID."""

    client_id: Text
    client_secret: Text
    behaviour: Behaviour = NORMAL

    def __post_init__(self) -> None:
        if self.behaviour.kind in _OF_STOCK_ONLY:
            raise ValueError(f"behaviour: expected one that a token request can have, got {self.behaviour.kind!r}")


class Body(bytes):
    """A whole answer, as it stands in a file."""


class Items(tuple[bytes, ...]):
    """Raw JSON items of an answer."""


class Night(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is special about one night; None means as on every night."""

    behaviour: Behaviour | None = None
    oddities: tuple[_Oddity, ...] = ()
    items: Items | None = None
    items_file: Items | None = None
    body_file: Body | None = None

    def __post_init__(self) -> None:
        keys = ("vehicles", "items", "items_file", "body_file")
        given = [key for key in keys if getattr(self, key, None) is not None]
        if len(given) > 1:
            raise ValueError(f"{given[1]}: expected either {' or '.join(given)}, got both")

    @property
    def feed(self) -> Items | Body | None:
        return next((feed for feed in (self.items, self.items_file, self.body_file) if feed is not None), None)


class Dealer(Night, frozen=True):
    """
    A dealer account, and what holds on every night that says nothing else.

    `client` is the ClientID that may ask for it. `vehicles` are invented unless a feed is given. `mistyped`: its
    operator stores a wrong client secret.
    """

    name: Text
    account_number: Text
    account_secret: Text
    client: str = ""
    vehicles: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    yards: Annotated[tuple[Text, ...], Meta(min_length=1)] = ("100",)
    seed: Annotated[int, Meta(ge=0)] = 1
    nights: dict[Annotated[int, Meta(ge=1)], Night] = {}
    mistyped: bool = False

    def on(self, night: int) -> Night:
        """Return what holds on a night: the dealer's own behaviour, oddities and feed where the night has none."""
        plan = self.nights.get(night, Night())
        feed = self if plan.feed is None else plan
        return Night(
            behaviour=plan.behaviour or self.behaviour or NORMAL,
            oddities=plan.oddities or self.oddities,
            items=feed.feed if isinstance(feed.feed, Items) else None,
            body_file=feed.body_file,
        )


_SANDBOX_CLIENT = Client("sandbox-client", "sandbox-client-secret")


def _dealer(number: int, name: str, vehicles: int, **more: Any) -> Dealer:
    secret = f"sandbox-account-secret-{number}"
    return Dealer(name, f"EC90000{number}", secret, _SANDBOX_CLIENT.client_id, vehicles, **more)


# Two sound ones (the second sends a refused pair on night 2), one whose secret was mistyped, one behind a firewall
# page, one whose feed is empty on night 2, one that is down once a night and then answers.
_DEFAULT_DEALERS = (
    _dealer(1, "Bilby Creek Motors", 48, yards=("100", "200")),
    _dealer(2, "Kookaburra 4x4 & Caravans", 32, nights={2: Night(oddities=("duplicate_conflicting",))}),
    _dealer(3, "Wattle Park Prestige", 20, mistyped=True),
    _dealer(4, "Harbour Lane Cars", 26, behaviour=Behaviour("html")),
    _dealer(5, "Red Gum Utes", 36, nights={2: Night(behaviour=Behaviour("empty"))}),
    _dealer(6, "Gumleaf Auto Centre", 60, behaviour=Behaviour("http_error", times=1, retry_after="1")),
)


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    clients: Annotated[tuple[Client, ...], Meta(min_length=1)] = (_SANDBOX_CLIENT,)
    dealers: Annotated[tuple[Dealer, ...], Meta(min_length=1)] = _DEFAULT_DEALERS
    night: Annotated[int, Meta(ge=1, le=10_000_000)] = 1
    seed: Annotated[int, Meta(ge=0)] = 1
    token_lifetime_s: Annotated[float, Meta(gt=0, lt=1e9)] = 600
    latency_ms: Seconds = 0
    sri: SriScenario = DEFAULT_SRI

    def __post_init__(self) -> None:
        ids = [client.client_id for client in self.clients]
        numbers = [dealer.account_number for dealer in self.dealers]
        for key, values in (("client_id", ids), ("account_number", numbers)):
            if twice := [value for value in values if values.count(value) > 1]:
                raise ValueError(f"{key}: expected one that no other has, got {twice[0]!r}")
        for dealer in self.dealers:
            if dealer.client not in ids:
                expected = f"expected one of {', '.join(ids)}, got {dealer.client!r}"
                raise ValueError(f"client of {dealer.account_number}: {expected}")

    def credentials(self, dealer: Dealer) -> dict[str, str]:
        """Return the credentials that work, under the names that `credentials set --from-stdin` reads."""
        client = next(client for client in self.clients if client.client_id == dealer.client)
        return {
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "account_number": dealer.account_number,
            "account_secret": dealer.account_secret,
            "environment": "Test",
        }

    def credentials_to_store(self, dealer: Dealer) -> dict[str, str]:
        """Return what this dealer's operator typed in: a secret that is refused with Code 1 if it is `mistyped`."""
        mistyped = {"client_secret": "sandbox-mistyped-secret"} if dealer.mistyped else {}
        return self.credentials(dealer) | mistyped


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file (JSON if its name ends in .json, else TOML); ScenarioError names the first mistake in it."""
    language, loads = ("JSON", json.loads) if path.suffix == ".json" else ("TOML", tomllib.loads)
    try:
        values = loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error
    except ValueError as error:
        raise ScenarioError(f"{path}: is not {language}: {error}") from error
    try:
        completed = _complete(_spell_out(values))
        return msgspec.convert(completed, Scenario, str_keys=True, dec_hook=_reading_files(path.parent))
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        place = re.sub(r"[`$]\.?", "", place)
        place = re.sub(r"\[(\d+)\]", lambda found: f"[{int(found[1]) + 1}]", place)  # people count from 1
        raise ScenarioError(f"{path}: {place or 'the file'}: {what}") from error


def _spell_out(values: Any) -> Any:
    """Write each behaviour that is a word as a table."""
    if isinstance(values, dict):
        short = isinstance(values.get("behaviour"), str)
        values = values | {"behaviour": {"kind": values["behaviour"]}} if short else values
        return {key: _spell_out(value) for key, value in values.items()}
    return [_spell_out(value) for value in values] if isinstance(values, list) else values


def _complete(values: Any) -> Any:
    """Give dealers and rules what holds for all of them and they do not say."""
    if not isinstance(values, dict):
        return values
    common = {"seed": values.get("seed", 1)}
    match values:
        case {"clients": [{"client_id": only}]}:
            common["client"] = only
    _inherit(values, "dealers", common)
    sri = values.get("sri")
    if isinstance(sri, dict):
        _inherit(sri, "rules", {key: value for key, value in sri.items() if key in Play.__struct_fields__})
    return values


def _inherit(table: dict[str, Any], key: str, common: dict[str, Any]) -> None:
    if isinstance(table.get(key), list):
        table[key] = [common | each if isinstance(each, dict) else each for each in table[key]]


_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])


def _reading_files(folder: Path) -> Callable[[type, Any], object]:
    def read(kind: type, given: Any) -> object:
        if kind is Items and isinstance(given, list):
            completed = (blank_vehicle() | item if isinstance(item, dict) else item for item in given)
            return Items(json.dumps(item, default=str).encode() for item in completed)
        if not isinstance(given, str):
            raise ValueError(f"expected the name of a file, got {given!r}")
        file = folder / given
        if kind is Path:
            if not file.is_dir():
                raise ValueError(f"expected a folder that is there, got {given!r}")
            return file
        try:
            content = file.read_bytes()
            return Body(content) if kind is Body else Items(map(bytes, _ITEMS.decode(content)))
        except OSError as error:
            raise ValueError(f"expected a file that can be read, got {given!r}: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"expected a JSON array (use body_file for what is not JSON; {error})") from error

    return read
