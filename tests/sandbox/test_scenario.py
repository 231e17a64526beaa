"""Scenario files: what they may say, and what is told about mistakes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from jobsync.errors import UsageProblem
from jobsync.sandbox import scenario as module
from jobsync.sandbox.fields import FIELDS
from jobsync.sandbox.scenario import Behaviour, Scenario, ScenarioError, load_scenario
from jobsync.sandbox.stock import entries_on

CLIENT = '[[clients]]\nclient_id = "c"\nclient_secret = "s"\n'
DEALER = '[[dealers]]\nname = "Test Yard"\naccount_number = "EC900001"\naccount_secret = "a"\n'


def _load(folder: Path, text: str, name: str = "scenario.toml") -> Scenario:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return load_scenario(path)


def test_the_documented_example_loads(tmp_path: Path) -> None:
    """The file shown in the module's docstring is a scenario."""
    example = re.search(r"(    night = 1.*?)\n\nItems", module.__doc__ or "", re.DOTALL)
    assert example

    loaded = _load(tmp_path, example[1])

    dealer = loaded.dealers[0]
    assert (dealer.vehicles, dealer.yards, dealer.seed, loaded.latency_ms) == (40, ("100", "200"), 7, 20)
    assert dealer.on(2).behaviour == Behaviour("http_error", times=1, status=503, retry_after=1)
    assert dealer.on(2).oddities == ("nan_price", "duplicate_conflicting")
    assert dealer.on(1).behaviour == Behaviour()


def test_json_is_a_scenario_too(tmp_path: Path) -> None:
    """A file whose name ends in .json is read as JSON, with the same keys."""
    text = json.dumps(
        {
            "clients": [{"client_id": "c", "client_secret": "s"}],
            "dealers": [{"name": "N", "account_number": "EC900001", "account_secret": "a", "nights": {"2": {}}}],
        }
    )

    assert _load(tmp_path, text, "scenario.json").dealers[0].client == "c"


def test_items_written_down_are_completed(tmp_path: Path) -> None:
    """An inline item gets the vendor's blanks for what it does not say; one in a file stays as it is."""
    (tmp_path / "items.json").write_text('[{"StockNumber": "A1", "Price": 19990.00}, 7]')

    inline = _load(tmp_path, CLIENT + DEALER + 'items = [{StockNumber = "A1", Price = 19990}]')
    from_file = _load(tmp_path, CLIENT + DEALER + '[dealers.nights.2]\nitems_file = "items.json"')

    assert set(json.loads(entries_on(inline.dealers[0], 1)[0].text)) == set(FIELDS)
    assert [entry.text for entry in entries_on(from_file.dealers[0], 2)] == [
        b'{"StockNumber": "A1", "Price": 19990.00}',
        b"7",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = ", "is not TOML"),
        ("clients = []", "clients: Expected `array` of length >= 1"),
        ("clients = 3", "clients: Expected `array`, got `int`"),
        (CLIENT, "the file: client of EC900001: expected one of c, got 'sandbox-client'"),
        ("colour = 1\n" + CLIENT + DEALER, "the file: Object contains unknown field `colour`"),
        ("night = 0\n" + CLIENT + DEALER, "night: Expected `int` >= 1"),
        ("token_lifetime_s = 0\n" + CLIENT + DEALER, "token_lifetime_s: Expected `float` > 0"),
        ("latency_ms = nan\n" + CLIENT + DEALER, "latency_ms: Expected `float` >= 0"),
        ("latency_ms = true\n" + CLIENT + DEALER, "latency_ms: Expected `float`, got `bool`"),
        (CLIENT + 'behaviour = "empty"\n' + DEALER, "clients[1]: behaviour: expected one that a token request can"),
        (CLIENT + CLIENT + DEALER, "client_id: expected one that no other has, got 'c'"),
        (
            CLIENT + CLIENT.replace('"c"', '"d"') + DEALER,
            "the file: client of EC900001: expected one of c, d, got ''",
        ),
        (CLIENT + DEALER + DEALER, "account_number: expected one that no other has, got 'EC900001'"),
        (CLIENT + "[[dealers]]\n", "dealers[1]: Object missing required field `name`"),
        (CLIENT + DEALER + 'vehicles = "many"', "dealers[1].vehicles: Expected `int | null`, got `str`"),
        (CLIENT + DEALER + "vehicles = 1\nitems = []", "dealers[1]: items: expected either vehicles or items"),
        (CLIENT + DEALER + 'items_file = "no.json"', "items_file: expected a file that can be read, got 'no.json': No"),
        (CLIENT + DEALER + 'items_file = "scenario.toml"', "dealers[1].items_file: expected a JSON array (use body"),
        (CLIENT + DEALER + "body_file = 3", "dealers[1].body_file: expected the name of a file, got 3"),
        (CLIENT + DEALER + "yards = []", "dealers[1].yards: Expected `array` of length >= 1"),
        (CLIENT + DEALER + "yards = [1]", "dealers[1].yards[1]: Expected `str`, got `int`"),
        (CLIENT + DEALER + 'mistyped = "yes"', "dealers[1].mistyped: Expected `bool`, got `str`"),
        (CLIENT + DEALER + 'behaviour = "rude"', "dealers[1].behaviour: kind: expected one of normal, empty,"),
        (CLIENT + DEALER + "behaviour = 3", "dealers[1].behaviour: Expected `object | null`, got `int`"),
        (CLIENT + DEALER + 'behaviour = {kind = "html", code = 5}', "code: unknown key, html takes times, status"),
        (CLIENT + DEALER + 'behaviour = {kind = "html", colour = 5}', "Object contains unknown field `colour`"),
        (
            CLIENT + DEALER + 'behaviour = {kind = "garbage", hex = "0"}',
            "dealers[1].behaviour.hex: Expected `str` match",
        ),
        (CLIENT + DEALER + 'behaviour = {kind = "http_error", status = 99}', "behaviour.status: Expected `int` >= 200"),
        (CLIENT + DEALER + "[dealers.nights.zero]", "key in dealers[1].nights: Expected `int`, got `str`"),
        (CLIENT + DEALER + "[dealers.nights.2]\nvehicles = 1", "nights[...]: Object contains unknown field `vehicles`"),
        (
            CLIENT + DEALER + '[dealers.nights.2]\noddities = ["odd"]',
            "oddities[1]: Expected `str` matching regex '^(dup",
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    """A mistake gives one usage error that names the file and the key, and says what was expected."""
    with pytest.raises(ScenarioError) as caught:
        _load(tmp_path, text)

    assert isinstance(caught.value, UsageProblem)
    assert str(caught.value).startswith(str(tmp_path / "scenario.toml"))
    assert message in str(caught.value)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(ScenarioError, match=r"gone\.toml: cannot be read"):
        load_scenario(tmp_path / "gone.toml")


def test_default_scenario_is_the_demo() -> None:
    """The demo has six dealers of 20 to 60 vehicles, one of which stores a secret that is wrong."""
    demo = Scenario()

    assert len(demo.dealers) == 6
    assert all(20 <= (dealer.vehicles or 0) <= 60 for dealer in demo.dealers)
    wrong = [dealer for dealer in demo.dealers if demo.credentials_to_store(dealer) != demo.credentials(dealer)]
    assert len(wrong) == 1
    assert set(demo.credentials(wrong[0])) == {
        *("client_id", "client_secret", "account_number", "account_secret", "environment"),
    }
