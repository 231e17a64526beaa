"""What the printed form needs besides the document, and what comes of it; frozen values that draw nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobsync.fiscal.states import AUTHORIZED, normal_state


@dataclass(frozen=True)
class Stamp:
    """
    What the SRI said of the document.

    Args:
        state: `estado` as it was spelled; None for a bare document.
        number: `numeroAutorizacion`; None is the access key, which is the same thing since 2018.
        authorized_at: aware; None if unknown, and then nothing stands in for it.
        authorized_at_text: `fechaAutorizacion` as it was sent, printed if it could not be read.
    """

    state: str | None = None
    number: str | None = None
    authorized_at: datetime | None = None
    authorized_at_text: str | None = None

    @property
    def authorized(self) -> bool:
        """Whether the state, in any spelling, says that the document is valid."""
        return normal_state(self.state or "") in AUTHORIZED


@dataclass(frozen=True)
class Logo:
    """
    A picture to stand above the issuer.

    Args:
        data: a whole PNG or JPEG file.
        name: what to call it in a warning.
    """

    data: bytes
    name: str = "the logo"


@dataclass(frozen=True)
class Rendered:
    """
    A finished PDF.

    Args:
        data: the file; the same input gives the same bytes in every process.
        warnings: one sentence for each thing that an operator should look at; none of them stopped the printing.
        pages: how many.
    """

    data: bytes
    warnings: tuple[str, ...]
    pages: int
