"""What a jsonb column holds: ours has a known shape, but by SQL anything may have been put there."""

from __future__ import annotations

import json
from typing import Any


def read_json(text: str | bytes) -> Any:
    """Return the value, None where it is nested deeper, or has a longer number, than Python reads."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def as_object(value: object) -> dict[str, Any]:
    """Return an object as it is, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_counts(value: object) -> dict[str, int]:
    """Return the whole numbers of an object by name, none for anything else."""
    return {name: number for name, number in as_object(value).items() if type(number) is int}


def as_lines(value: object) -> list[str]:
    """Return the texts of a list, none for anything else."""
    return [line for line in value if isinstance(line, str)] if isinstance(value, list) else []
