"""What the printed form needs besides the document, and what comes of it; frozen values that draw nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobsync.fiscal.states import AUTHORIZED, normal_state


@dataclass(frozen=True)
class Stamp:
    """What the SRI said of the document."""

    state: str | None = None  # `estado` as it was spelled; None for a bare document
    number: str | None = None  # `numeroAutorizacion`; None is the access key, which is the same thing since 2018
    authorized_at: datetime | None = None  # aware; if unknown, nothing stands in for it
    authorized_at_text: str | None = None  # `fechaAutorizacion` as it was sent, printed if it could not be read

    @property
    def authorized(self) -> bool:
        """Whether the state, in any spelling, says that the document is valid."""
        return normal_state(self.state or "") in AUTHORIZED


@dataclass(frozen=True)
class Logo:
    """A picture to stand above the issuer: a whole PNG or JPEG file, and what to call it in a warning."""

    data: bytes
    name: str = "the logo"


@dataclass(frozen=True)
class Rendered:
    """A finished PDF, with a sentence for each thing that an operator should look at."""

    data: bytes
    warnings: tuple[str, ...]
    pages: int
