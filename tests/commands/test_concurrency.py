"""Several dealerships at once: how many are asked for, how many are written, and what waits for what."""

from __future__ import annotations

import json
import time

import psycopg
import pytest

from tests.commands.support import Add, Cli, Feed, Rows, cars, command, finish, until


def answer(padding: int) -> bytes:
    """Return a feed of one vehicle with that many bytes around it."""
    return json.dumps({"Padding": "x" * padding, "StockList": cars("A1"), "Code": 0, "ErrorMessage": None}).encode()


def test_no_more_are_asked_for_than_was_said(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """With --concurrency 2 there are never more than two requests, although more dealerships are worked on."""
    for number in range(6):
        add(f"Yard {number}", f"EC{number}")
        feed.answers[f"EC{number}"] = cars("A1")
    feed.gate.clear()
    process = command(cli.environ, "stock-sync", "--concurrency", "2")
    until(lambda: rows("SELECT count(*) FROM job_items WHERE status = 'running'") == [(4,)])
    until(lambda: len(feed.asked) >= 2)
    time.sleep(0.2)
    asked = len(feed.asked)
    feed.gate.set()
    ran = finish(process)

    assert (0, 2, 6) == (ran.code, asked, len(feed.asked))


@pytest.mark.parametrize(("padding", "expected"), [(0, 4), (9 << 20, 2)], ids=["small", "large"])
def test_small_feeds_are_fetched_ahead(
    cli: Cli, feed: Feed, add: Add, connection: psycopg.Connection[object], padding: int, expected: int
) -> None:
    """While nothing can be written others are asked for, but a large feed keeps its turn until it is written."""
    for number in range(6):
        add(f"Yard {number}", f"EC{number}")
        feed.answers[f"EC{number}"] = answer(padding)
    with connection.transaction():
        connection.execute("LOCK TABLE vehicles IN EXCLUSIVE MODE")
        process = command(cli.environ, "stock-sync", "--concurrency", "2")
        until(lambda: len(feed.asked) >= expected)
        time.sleep(0.5)
        asked = len(feed.asked)
    ran = finish(process)

    assert (0, expected, 6) == (ran.code, asked, len(feed.asked))


def test_one_at_a_time_means_one(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """With --concurrency 1 the next dealership is begun when the one before it is done."""
    running: list[object] = []
    for number in range(3):
        add(f"Yard {number}", f"EC{number}")

        def tell() -> object:
            running.extend(rows("SELECT count(*) FROM job_items WHERE status = 'running'"))
            return cars("A1")

        feed.answers[f"EC{number}"] = tell
    ran = finish(command(cli.environ, "stock-sync", "--concurrency", "1"))

    assert (0, [(1,), (1,), (1,)]) == (ran.code, running)
