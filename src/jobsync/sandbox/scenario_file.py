"""What the scenario files of both stand-ins are made of: types that say what is allowed; msgspec tells mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar

from msgspec import Meta, Struct
from msgspec.structs import fields

Text = Annotated[str, Meta(min_length=1)]
Seconds = Annotated[float, Meta(ge=0, lt=1e9)]


def words(choices: Iterable[str]) -> Meta:
    """Return the rule that a text is one of these words."""
    return Meta(pattern=f"^({'|'.join(choices)})$")


class Behaviour(Struct, frozen=True, forbid_unknown_fields=True):
    """How a request is answered; `kind` is one of KINDS, `times` None means always."""

    kind: str = "normal"
    times: Annotated[int, Meta(ge=1)] | None = None
    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    retry_after: Text | int | None = None
    seconds: Seconds = 30.0
    bytes_per_second: Annotated[float, Meta(gt=0)] = 20.0

    # kind -> the parameters that it takes beside `times` (only the first so many requests)
    KINDS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "normal": (),
        "empty": (),  # an answer with nothing in it
        "html": ("status",),  # a firewall's page, with status 200 or another
        "http_error": ("status", "retry_after"),
        "garbage": (),
        "truncated": (),  # half of the body, then the connection is cut
        "slow": ("seconds",),  # waits before it answers
        "drip": ("bytes_per_second",),
    }

    def __post_init__(self) -> None:
        if self.kind not in self.KINDS:
            raise ValueError(f"kind: expected one of {', '.join(self.KINDS)}, got {self.kind!r}")
        takes = ("times", *self.KINDS[self.kind])
        for name, default in ((field.name, field.default) for field in fields(self)[1:]):
            if name not in takes and getattr(self, name) != default:
                raise ValueError(f"{name}: unknown key, {self.kind} takes {', '.join(takes)}")
