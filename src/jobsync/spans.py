"""Spans of time as people type them."""

from __future__ import annotations

import re
from datetime import timedelta

_SPAN = re.compile(r"(\d{1,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def parse_span(words: str) -> timedelta | None:
    """
    Return a span of minutes, hours or days; None if the words are none.

    >>> parse_span("90m"), parse_span(" 3d "), parse_span("3 days")
    (datetime.timedelta(seconds=5400), datetime.timedelta(days=3), None)
    """
    found = _SPAN.fullmatch(words.strip())
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
