"""What the SRI says of a document and what we make of it; frozen values that know no network and no table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from jobsync.fiscal.access_key import Environment

# Source: docs/facts/sri.md, "Web service".
ADDRESSES: dict[Environment, str] = {"test": "https://celcer.sri.gob.ec", "production": "https://cel.sri.gob.ec"}


class DocumentStatus(StrEnum):
    """The column `invoices.status`."""

    PENDING = "pending_authorization"
    AUTHORIZED = "authorized"
    REJECTED = "rejected"
    NEEDS_ATTENTION = "needs_attention"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """What one ask led to; only a fault is a failure of the ask, and it says nothing about the document."""

    AUTHORIZED = "authorized"
    REJECTED = "rejected"
    PENDING = "pending"
    NEEDS_ATTENTION = "needs_attention"
    FAULT = "fault"


@dataclass(frozen=True)
class Message:
    """One message of the SRI."""

    code: str  # `identificador`; empty if it was not sent
    text: str = ""
    additional_info: str | None = None
    severity: str | None = None  # `tipo` as it was sent: ERROR, ADVERTENCIA, INFORMATIVO


@dataclass(frozen=True)
class Authorization:
    """One `autorizacion` element of an answer; what is absent or empty in it is None."""

    state: str  # `estado`, as it was spelled
    number: str | None = None
    authorized_at: datetime | None = None  # aware, UTC; None if unreadable, never a guess
    authorized_at_text: str | None = None  # `fechaAutorizacion` as it was sent
    environment: Environment | None = None
    document: bytes | None = None  # the fiscal document inside, as UTF-8 without byte order mark
    document_key: str | None = None  # the `claveAcceso` that the document inside names
    messages: tuple[Message, ...] = ()
    mended: bool = False  # what XML forbids was in the document and is left out of it here


@dataclass(frozen=True)
class Answer:
    """A readable answer of the authorization service."""

    access_key: str | None  # `claveAccesoConsultada`
    declared: int | None  # `numeroComprobantes`; None if absent or no number
    authorizations: tuple[Authorization, ...]
    messages: tuple[Message, ...] = ()  # those that stand beside the authorizations, in none of them
    mended: bool = False  # what XML forbids was in it and is left out of what was read


class FaultKind(StrEnum):
    """Why an ask led to no usable answer."""

    REFUSED = "refused"  # no connection
    TLS = "tls"
    TIMEOUT = "timeout"
    BROKEN = "broken"  # reset, cut off, undecodable
    TOO_LARGE = "too_large"
    ADDRESS = "address"  # the configured URL is none
    PROXY = "proxy"  # ours refuses, or is away
    HTTP_STATUS = "http_status"
    FIREWALL = "firewall"
    SOAP_SERVER = "soap_server"
    SOAP_CLIENT = "soap_client"  # the SRI blames our request
    OTHER_KEY = "other_key"
    UNREADABLE = "unreadable"  # no answer of the service at all
    MALFORMED = "malformed"  # a complete answer with something wrong inside
    TOO_MANY_PARTS = "too_many_parts"
    UNKNOWN_STATE = "unknown_state"


# A complete answer, of which nothing can be made for the document that was asked for.
UNUSABLE = frozenset({FaultKind.OTHER_KEY, FaultKind.MALFORMED, FaultKind.TOO_MANY_PARTS, FaultKind.UNKNOWN_STATE})


@dataclass(frozen=True)
class Fault:
    """No usable answer; says nothing about the document."""

    kind: FaultKind
    text: str  # one line for an operator, without anything of a taxpayer

    @property
    def unreachable(self) -> bool:
        """Whether the host gave no complete answer, not for what we sent; such faults in a row open its circuit."""
        return self.kind not in UNUSABLE and self.kind is not FaultKind.SOAP_CLIENT


@dataclass(frozen=True)
class History:
    """What is known of a document before an answer is judged."""

    access_key: str  # 49 digits, already found correct
    waiting_since: datetime  # when it was submitted, or came to us
    status: str = DocumentStatus.PENDING
    attention_since: datetime | None = None  # None while it does not need attention
    empty_since: datetime | None = None  # when the first of the empty answers in a row came
    empty_count: int = 0  # empty answers in a row so far
    earlier_refusal_at: datetime | None = None  # the SRI's instant of a refusal of an earlier submission


@dataclass(frozen=True)
class Verdict:
    """What one ask means for one document."""

    outcome: Outcome
    reason: str  # a short stable code for why: `in_process`, `empty`, `code_39`, or a fault's kind
    advice: str | None = None  # one sentence for the person who has to do something
    authorization: Authorization | None = None  # the element that decided; None for empty answers and faults
    messages: tuple[Message, ...] = ()
    next_check_in: timedelta | None = None  # None: it is asked about no more
    empty_since: datetime | None = None  # with the count to be remembered; a fault leaves both as they were
    empty_count: int = 0
    warnings: tuple[str, ...] = ()  # what needs a look although it changes no state, such as `date_unreadable`
    status_stays: bool = False  # nothing was said about the document; its status and reason stay as they are
    too_often: bool = False  # the SRI says that we ask too often; the host's circuit opens

    @property
    def codes(self) -> list[str]:
        """The codes of all messages, in their order, each once."""
        return list(dict.fromkeys(message.code for message in self.messages if message.code))


@dataclass(frozen=True)
class DocumentFile:
    """A file that holds a fiscal document, in whatever people call the authorized XML."""

    document: bytes  # as UTF-8, without byte order mark
    authorization: Authorization | None = None  # what the element around it says; None for a bare document
    mended: bool = False  # what XML forbids was in the file and is left out of the document
