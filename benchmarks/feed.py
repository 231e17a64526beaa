"""
Write the bodies that the server will send: `python -m benchmarks.feed FOLDER DEALERSHIPS VEHICLES VERSION...`.

A version is a word and the share of vehicles that differ from the first version: `first=0 changed=0.02`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec

from benchmarks.measure import ROOT
from jobsync.sandbox.scenario import Dealer
from jobsync.sandbox.stock import vehicles_on


@dataclass(frozen=True)
class Feed:
    """The bodies in a folder, and what a database must hold after each version: rows, sum of prices."""

    folder: Path
    dealerships: int
    vehicles: int
    body_bytes: int
    sums: dict[str, tuple[int, float]]


def account(number: int) -> str:
    """Return the account number of the dealership `number`, counted from 1."""
    return f"EC{number:06}"


def make_feed(folder: Path, dealerships: int, vehicles: int, **versions: float) -> Feed:
    """Write the bodies in a process of its own, so that this one stays small."""
    folder.mkdir()
    shares = [f"{name}={share}" for name, share in versions.items()]
    command = [sys.executable, "-m", "benchmarks.feed", str(folder), str(dealerships), str(vehicles), *shares]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout)
    sums = {name: (rows, price) for name, (rows, price) in told["sums"].items()}
    return Feed(folder, dealerships, vehicles, told["body_bytes"], sums)


def write_feed(folder: Path, dealerships: int, vehicles: int, versions: dict[str, float]) -> dict[str, object]:
    """Write one file for each dealership and version; return the sizes and sums of `Feed`."""
    sums = dict.fromkeys(versions, 0.0)
    size = 0
    for number in range(1, dealerships + 1):
        name = f"Dealer {number}"
        dealer = Dealer(name=name, account_number=account(number), account_secret="", client="", vehicles=vehicles)
        first = [msgspec.json.encode(item) for item in vehicles_on(dealer, 1)]
        for version, share in versions.items():
            rng = Random(f"{number}/{version}")
            items = list(first)
            for index in rng.sample(range(vehicles), round(vehicles * share)):
                items[index] = _changed(items[index])
            body = b'{"StockList":[' + b",".join(items) + b'],"Code":0,"ErrorMessage":null}'
            (folder / f"{account(number)}.{version}.json").write_bytes(body)
            size += len(body)
            sums[version] += sum(float(msgspec.json.decode(item)["Price"] or 0) for item in items)
    return {
        "body_bytes": size // len(versions),
        "sums": {version: (dealerships * vehicles, total) for version, total in sums.items()},
    }


def _changed(item: bytes) -> bytes:
    """Return the item with another price; one without a price gets another description."""
    values = msgspec.json.decode(item)
    if values["Price"] is None:
        values["AdvDescription"] += " Call us."
    else:
        values["Price"] -= 500
    return msgspec.json.encode(values)


def main() -> None:
    """Write what the arguments ask for and print its sums as JSON."""
    folder, dealerships, vehicles, *shares = sys.argv[1:]
    versions = {name: float(share) for name, share in (text.split("=") for text in shares)}
    print(json.dumps(write_feed(Path(folder), int(dealerships), int(vehicles), versions)))


if __name__ == "__main__":
    main()
