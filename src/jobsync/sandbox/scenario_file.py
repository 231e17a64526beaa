"""Reading a scenario file key by key, so that a mistake is told with its key and what was expected there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jobsync.errors import UsageProblem


class ScenarioError(UsageProblem):
    """A scenario file cannot be played; the text names file and key and says what was expected."""


class ScenarioTable:
    """The keys of one table, taken one by one; what is left at the end is unknown."""

    def __init__(self, path: Path, key: str, values: object) -> None:
        self.path = path
        self.key = key
        if not isinstance(values, dict):
            raise ScenarioError(f"{path}: {key or 'the file'}: expected a table of keys, got {shown(values)}")
        self.values: dict[str, object] = dict(values)

    def wrong(self, key: str, expected: str, got: object) -> ScenarioError:
        return ScenarioError(f"{self.path}: {self.name(key)}: expected {expected}, got {shown(got)}")

    def name(self, key: str) -> str:
        return f"{self.key}.{key}" if self.key else key

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.pop(key, default)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "a text that is not empty", value)
        return value

    def whole(self, key: str, default: int, *, least: int, most: int = 10_000_000) -> int:
        value = self.values.pop(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(key, f"a whole number from {least} to {most}", value)
        return value

    def number(self, key: str, default: float, *, above: float | None = None) -> float:
        value = self.values.pop(key, default)
        bad = not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1e9
        if bad or (above is not None and not value > above):  # type: ignore[operator]
            raise self.wrong(key, f"a number above {above:g}" if above is not None else "a number of 0 or more", value)
        return float(value)  # type: ignore[arg-type]

    def flag(self, key: str) -> bool:
        value = self.values.pop(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false", value)
        return value

    def one_of(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.values.pop(key, default)
        if not isinstance(value, str) or value not in choices:
            raise self.wrong(key, "one of " + ", ".join(choices), value)
        return value

    def texts(self, key: str, default: tuple[str, ...], choices: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self.values.pop(key, list(default))
        expected = "a list of " + (", ".join(choices) if choices else "texts")
        if not isinstance(value, list):
            raise self.wrong(key, expected, value)
        for item in value:
            if not isinstance(item, str) or not item or (choices and item not in choices):
                raise self.wrong(key, expected, item)
        return tuple(value)

    def tables(self, key: str) -> Iterator[ScenarioTable]:
        value = self.values.pop(key, None)
        if not isinstance(value, list) or not value:
            raise self.wrong(key, "a list of at least one table", value)
        for index, item in enumerate(value, 1):
            yield ScenarioTable(self.path, f"{self.name(key)}[{index}]", item)

    def done(self, *known: str) -> None:
        for key in self.values:
            raise ScenarioError(f"{self.path}: {self.name(key)}: unknown key, expected one of {', '.join(known)}")


def shown(value: object) -> str:
    return "nothing" if value is None else repr(value)[:60]
