"""Code 128 of access keys."""

from __future__ import annotations

import pytest
import zxingcpp
from PIL import Image

from jobsync.ride.paper.barcode import QUIET_MODULES, code128
from tests.ride import documents


def read(widths: list[int]) -> list[str]:
    """Return what a reader sees in these bars, three dots a module."""
    modules = [value for place, width in enumerate(widths) for value in [0 if place % 2 == 0 else 255] * width]
    line = [255] * QUIET_MODULES + modules + [255] * QUIET_MODULES
    image = Image.new("L", (len(line), 1))
    image.putdata(line)
    return [found.text for found in zxingcpp.read_barcodes(image.resize((3 * len(line), 60), Image.Resampling.NEAREST))]


@pytest.mark.parametrize("code", ["01", "03", "04", "05", "06", "07"])
def test_reader_sees_the_key(code: str) -> None:
    """Bars say the key, all 49 digits."""
    key = documents.access_key(code)

    assert [key] == read(code128(key))


@pytest.mark.parametrize("pair", range(0, 100, 7))
def test_every_pair_of_digits(pair: int) -> None:
    """No pair is drawn with a wrong pattern; the odd digit behind takes every value."""
    digits = "".join(f"{(pair + step) % 100:02d}" for step in range(7)) + str(pair % 10)

    assert [digits] == read(code128(digits))


def test_key_takes_321_modules() -> None:
    """49 digits are 24 pairs and one switch; more would be too fine for the box."""
    assert sum(code128("1" * 49)) == 321
